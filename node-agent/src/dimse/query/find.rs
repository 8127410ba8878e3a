//! C-FIND (PS3.4 section C.4.1): what is in the spool, level by level, one answer after another.

use std::collections::BTreeMap;
use std::io::{BufReader, Read, Seek, SeekFrom};

use serde_json::{Value, json};
use tancho_domain::dicom::TransferSyntaxUid;
use tancho_imaging::dictionary::vr_of;
use tancho_imaging::element::{Tag, Vr};
use tancho_imaging::limits::ScanLimits;
use tancho_imaging::metadata::{MetadataOptions, dicom_json};
use tancho_imaging::scan::scan;
use tancho_imaging::synthetic::ElementWriter;

use super::keys::{INSTANCE_UID, Keys, LEVEL, Level, SERIES_UID, STUDY_UID};
use super::matching::{fits, name_groups, text};
use super::{Broken, MATCHES_MAX, Work, answer};
use crate::dimse::command::WITH_DATA_SET;
use crate::dimse::fragments::send_message;
use crate::spool::object_file::DataSet;
use crate::spool::onward::OnwardObject;
use crate::spool::{Spool, StudyPicture};

const RETRIEVE_AE_TITLE: Tag = Tag(0x0008, 0x0054);
const AVAILABILITY: Tag = Tag(0x0008, 0x0056);
const MODALITIES: Tag = Tag(0x0008, 0x0061);
const N_SERIES_OF_STUDY: Tag = Tag(0x0020, 0x1206);
const N_INSTANCES_OF_STUDY: Tag = Tag(0x0020, 0x1208);
const N_INSTANCES_OF_SERIES: Tag = Tag(0x0020, 0x1209);
/// Longest part of an object that is read for its attributes. Bytes.
const HEAD_BYTES_MAX: u64 = 1024 * 1024;

/// Character sets that answers are written in, the first that has every character: those that old workstations know
/// come first.
const CHARACTER_SETS: [&str; 5] = [
    "",
    "\\ISO 2022 IR 87",
    "ISO 2022 IR 13\\ISO 2022 IR 87",
    "\\ISO 2022 IR 87\\ISO 2022 IR 159",
    "ISO_IR 192",
];

/// Attributes of one study, series or instance in the DICOM JSON model: tag to values.
type Attributes = BTreeMap<Tag, Value>;

/// Answers a query.
pub(super) fn run(work: &mut Work<'_>, keys: &Keys) -> Result<(), Broken> {
    let mut n_matches = 0;
    let Some(candidates) = candidates(work, keys) else {
        return work.end(answer::IDENTIFIER, "unique key of the level above missing");
    };
    for candidate in candidates {
        if work.is_cancelled()? {
            return work.end(answer::CANCELLED, "");
        }
        let attributes = candidate.read(work);
        let value = |tag: &Tag| attributes.get(tag).unwrap_or(&Value::Null);
        let mut matched = keys.keys.iter().filter(|(tag, _)| !is_computed(**tag));
        if !matched.all(|(tag, key)| fits(key, value(tag))) {
            continue;
        }
        if n_matches == MATCHES_MAX {
            return work.end(answer::OUT_OF_RESOURCES, "too many matches: ask for less");
        }
        n_matches += 1;
        let identifier = identifier(keys, &attributes, &work.syntax);
        let response = work.response(answer::PENDING, None).number(0x0800, WITH_DATA_SET);
        let message = (&response, identifier.as_slice());
        send_message(work.pdus, work.message.context_id, message, work.desk.pdu_bytes)?;
    }
    work.end(super::super::status::SUCCESS, "")
}

/// Keys that are no attribute of the objects; they are returned and not matched.
fn is_computed(tag: Tag) -> bool {
    matches!(
        tag,
        RETRIEVE_AE_TITLE | AVAILABILITY | N_SERIES_OF_STUDY | N_INSTANCES_OF_STUDY | N_INSTANCES_OF_SERIES
    )
}

/// What may match, before its object is read.
struct Candidate {
    known: Attributes,
    representative: Option<OnwardObject>,
}

impl Candidate {
    /// With the attributes of the object that stands for it.
    fn read(self, work: &Work<'_>) -> Attributes {
        let object = self.representative.as_ref();
        let read = object.and_then(|object| attributes_of(work.desk.spool, object));
        let mut attributes = read.unwrap_or_default();
        attributes.extend(self.known);
        attributes
    }
}

/// Candidates of the level; `None` when the level above is not named.
fn candidates(work: &Work<'_>, keys: &Keys) -> Option<Vec<Candidate>> {
    if keys.level == Level::Study {
        let studies = work.desk.spool.studies();
        let fitting = studies.iter().filter(|study| may_fit(study, keys));
        return Some(fitting.filter_map(|study| study_candidate(work, study)).collect());
    }
    let studies = keys.uids(STUDY_UID).filter(|uids| uids.len() == 1)?;
    let objects = work.objects_of(&studies[0]);
    if keys.level == Level::Series {
        let mut series: BTreeMap<String, Vec<OnwardObject>> = BTreeMap::new();
        for object in objects {
            series
                .entry(object.series_instance_uid.clone())
                .or_default()
                .push(object);
        }
        let candidates = series.into_values().filter_map(|objects| {
            let n = objects.len();
            let first = objects.into_iter().next()?;
            let known = Attributes::from([
                (RETRIEVE_AE_TITLE, json!([work.desk.ae_title])),
                (AVAILABILITY, json!(["ONLINE"])),
                (N_INSTANCES_OF_SERIES, json!([n])),
            ]);
            Some(Candidate {
                known,
                representative: Some(first),
            })
        });
        return Some(candidates.collect());
    }
    let series = keys.uids(SERIES_UID).filter(|uids| uids.len() == 1)?;
    let instances = keys.uids(INSTANCE_UID);
    let wanted = objects.into_iter().filter(|object| {
        object.series_instance_uid == series[0]
            && instances
                .as_ref()
                .is_none_or(|uids| uids.contains(&object.sop_instance_uid))
    });
    let candidates = wanted.map(|object| Candidate {
        known: Attributes::from([
            (RETRIEVE_AE_TITLE, json!([work.desk.ae_title])),
            (AVAILABILITY, json!(["ONLINE"])),
        ]),
        representative: Some(object),
    });
    Some(candidates.collect())
}

/// Whether a study can fit the keys the spool knows without reading an object.
fn may_fit(study: &StudyPicture, keys: &Keys) -> bool {
    let known = [
        (STUDY_UID, study.study_instance_uid.as_str()),
        (Tag(0x0010, 0x0020), study.label.patient.patient_id.as_str()),
        (Tag(0x0008, 0x0020), study.label.study_date.as_str()),
    ];
    known.iter().all(|(tag, text)| {
        let key = keys.keys.get(tag);
        key.is_none_or(|key| fits(key, &json!([text])))
    })
}

fn study_candidate(work: &Work<'_>, study: &StudyPicture) -> Option<Candidate> {
    let objects = work.objects_of(&study.study_instance_uid);
    let series: std::collections::BTreeSet<&str> = objects
        .iter()
        .map(|object| object.series_instance_uid.as_str())
        .collect();
    let known = Attributes::from([
        (RETRIEVE_AE_TITLE, json!([work.desk.ae_title])),
        (AVAILABILITY, json!(["ONLINE"])),
        (MODALITIES, json!(study.label.modalities)),
        (N_SERIES_OF_STUDY, json!([series.len()])),
        (N_INSTANCES_OF_STUDY, json!([objects.len()])),
    ]);
    let representative = Some(objects.into_iter().next()?);
    Some(Candidate {
        known,
        representative,
    })
}

/// The attributes of an object before its pixels; `None` when it cannot be read.
fn attributes_of(spool: &Spool, object: &OnwardObject) -> Option<Attributes> {
    let file = spool.open_object(object).ok()?;
    let mut data = BufReader::new(DataSet::new(file, object.original_len).ok()?);
    let syntax = TransferSyntaxUid::parse(&object.transfer_syntax).ok()?;
    let found = scan(&mut data, &syntax, &ScanLimits::default()).ok()?;
    let len = found.layout.head_len.min(HEAD_BYTES_MAX);
    data.seek(SeekFrom::Start(0)).ok()?;
    let mut head = Vec::new();
    data.take(len).read_to_end(&mut head).ok()?;
    let json = dicom_json(&head, &syntax, &MetadataOptions::default()).ok()?;
    let elements = json.as_object()?.iter();
    Some(
        elements
            .filter_map(|(hex, element)| Some((Tag::parse_hex(hex)?, element["Value"].clone())))
            .collect(),
    )
}

/// The identifier of an answer: every key that was asked for, empty when there is nothing, in the first character sets
/// that have all of it.
fn identifier(keys: &Keys, attributes: &Attributes, syntax: &TransferSyntaxUid) -> Vec<u8> {
    let written = CHARACTER_SETS
        .iter()
        .find_map(|sets| write(keys, attributes, syntax, sets));
    written.unwrap_or_default()
}

/// `None` when a character is not in the sets.
fn write(keys: &Keys, attributes: &Attributes, syntax: &TransferSyntaxUid, sets: &str) -> Option<Vec<u8>> {
    let mut writer = ElementWriter::new(syntax);
    if !sets.is_empty() {
        writer.character_sets(sets);
    }
    let mut tags: Vec<Tag> = keys.keys.keys().copied().collect();
    tags.extend([LEVEL, RETRIEVE_AE_TITLE]);
    tags.extend(match keys.level {
        Level::Study => &[STUDY_UID][..],
        Level::Series => &[STUDY_UID, SERIES_UID],
        Level::Image => &[STUDY_UID, SERIES_UID, INSTANCE_UID],
    });
    tags.sort();
    tags.dedup();
    for tag in tags {
        if tag == LEVEL {
            writer.ascii(tag, Vr::CS, keys.level.as_str());
            continue;
        }
        let vr = match vr_of(tag, false) {
            Vr::UN => keys.keys.get(&tag).map_or(Vr::UN, |key| key.vr),
            known => known,
        };
        let values = attributes.get(&tag).and_then(Value::as_array);
        write_element(&mut writer, (tag, vr), values.map_or(&[], Vec::as_slice), sets)?;
    }
    Some(writer.finish())
}

fn write_element(
    writer: &mut ElementWriter,
    (tag, vr): (Tag, Vr),
    values: &[Value],
    sets: &str,
) -> Option<()> {
    if vr == Vr::US {
        let numbers = values
            .iter()
            .filter_map(|value| u16::try_from(value.as_u64()?).ok());
        writer.us(tag, &numbers.collect::<Vec<u16>>());
        return Some(());
    }
    // Sequences and numbers in binary are given back empty: nobody lists by them.
    if vr == Vr::SQ || vr.is_bulk() || vr.number_bytes() > 1 {
        writer.bytes(tag, vr, b"");
        return Some(());
    }
    let texts: Vec<String> = values
        .iter()
        .map(|value| match vr {
            Vr::PN => name_groups(value).join("=").trim_end_matches('=').to_owned(),
            _ => text(value),
        })
        .collect();
    let joined = texts.join("\\");
    if joined.is_ascii() {
        writer.ascii(tag, vr, &joined);
        return Some(());
    }
    if sets.is_empty() {
        return None;
    }
    writer.text(tag, vr, &joined).ok().map(drop)
}
