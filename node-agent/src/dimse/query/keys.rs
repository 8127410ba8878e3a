//! The identifier of a request: its level and its keys, decoded in the character sets it declares.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;
use tancho_domain::dicom::{TransferSyntaxUid, is_uid};
use tancho_imaging::element::{Tag, Vr};
use tancho_imaging::metadata::{MetadataOptions, dicom_json};

/// Query/Retrieve Level.
pub const LEVEL: Tag = Tag(0x0008, 0x0052);
/// Study Instance UID.
pub const STUDY_UID: Tag = Tag::STUDY_INSTANCE_UID;
/// Series Instance UID.
pub const SERIES_UID: Tag = Tag::SERIES_INSTANCE_UID;
/// SOP Instance UID.
pub const INSTANCE_UID: Tag = Tag::SOP_INSTANCE_UID;
/// Most keys of one identifier.
const KEYS_MAX: usize = 256;

/// How deep a request reaches.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// STUDY.
    Study,
    /// SERIES.
    Series,
    /// IMAGE.
    Image,
}

impl Level {
    /// As it is written in identifiers.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Study => "STUDY",
            Self::Series => "SERIES",
            Self::Image => "IMAGE",
        }
    }
}

/// One key: its representation, and its value in the DICOM JSON model; null when it is empty.
#[derive(Debug, Clone)]
pub struct Key {
    /// Value representation.
    pub vr: Vr,
    /// Values.
    pub values: Value,
}

/// An identifier.
#[derive(Debug)]
pub struct Keys {
    /// Its level.
    pub level: Level,
    /// Its keys, without the level and the character sets.
    pub keys: BTreeMap<Tag, Key>,
}

impl Keys {
    /// Reads an identifier; `None` when it is none, has no level we know, or too many keys.
    #[must_use]
    pub fn parse(data_set: &[u8], syntax: &TransferSyntaxUid) -> Option<Self> {
        let json = dicom_json(data_set, syntax, &MetadataOptions::default()).ok()?;
        let level = match json[LEVEL.to_hex()]["Value"][0].as_str()?.trim() {
            "STUDY" => Level::Study,
            "SERIES" => Level::Series,
            "IMAGE" => Level::Image,
            _ => return None,
        };
        let json = json.as_object()?;
        if json.len() > KEYS_MAX {
            return None;
        }
        let mut keys = BTreeMap::new();
        for (hex, element) in json {
            let tag = Tag::parse_hex(hex)?;
            if tag == LEVEL || tag == Tag::SPECIFIC_CHARACTER_SET || tag.is_group_length() {
                continue;
            }
            let vr = element["vr"]
                .as_str()
                .and_then(|vr| vr.as_bytes().first_chunk().copied());
            let key = Key {
                vr: vr.map_or(Vr::UN, Vr),
                values: element["Value"].clone(),
            };
            keys.insert(tag, key);
        }
        Some(Self { level, keys })
    }

    /// The UIDs of a unique key, each once; `None` when it is missing, empty, or names something else.
    #[must_use]
    pub fn uids(&self, tag: Tag) -> Option<BTreeSet<&str>> {
        let values = self.keys.get(&tag)?.values.as_array()?;
        let uids = values.iter().map(|value| {
            let text = value.as_str()?.trim();
            is_uid(text).then_some(text)
        });
        uids.collect::<Option<BTreeSet<&str>>>()
            .filter(|uids| !uids.is_empty())
    }

    /// The one UID of a unique key.
    #[must_use]
    pub fn uid(&self, tag: Tag) -> Option<&str> {
        let uids = self.uids(tag)?;
        uids.first().copied().filter(|_| uids.len() == 1)
    }
}
