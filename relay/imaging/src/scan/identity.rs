//! The indexed attributes of an object: collected raw, decoded once the character sets are known.

use std::collections::BTreeMap;

use super::{InstanceIdentity, PersonName, ScanError, WarningKind};
use crate::element::{Tag, Vr};
use crate::text::{self, CharacterSets};

const PATIENT_NAME: Tag = Tag(0x0010, 0x0010);
const PATIENT_ID: Tag = Tag(0x0010, 0x0020);
const ISSUER_OF_PATIENT_ID: Tag = Tag(0x0010, 0x0021);
const BIRTH_DATE: Tag = Tag(0x0010, 0x0030);
const SEX: Tag = Tag(0x0010, 0x0040);
const STUDY_DATE: Tag = Tag(0x0008, 0x0020);
const ACQUISITION_DATE: Tag = Tag(0x0008, 0x0022);
const STUDY_TIME: Tag = Tag(0x0008, 0x0030);
const ACQUISITION_TIME: Tag = Tag(0x0008, 0x0032);
const ACCESSION_NUMBER: Tag = Tag(0x0008, 0x0050);
const MODALITY: Tag = Tag(0x0008, 0x0060);
const MANUFACTURER: Tag = Tag(0x0008, 0x0070);
const INSTITUTION: Tag = Tag(0x0008, 0x0080);
const TIMEZONE_OFFSET: Tag = Tag(0x0008, 0x0201);
const STATION_NAME: Tag = Tag(0x0008, 0x1010);
const STUDY_DESCRIPTION: Tag = Tag(0x0008, 0x1030);
const SERIES_DESCRIPTION: Tag = Tag(0x0008, 0x103E);
const BODY_PART: Tag = Tag(0x0018, 0x0015);
const SERIES_NUMBER: Tag = Tag(0x0020, 0x0011);
const INSTANCE_NUMBER: Tag = Tag(0x0020, 0x0013);

/// Raw values by tag; the first of a repeated element stays.
#[derive(Debug, Default)]
pub(super) struct IdentityBuilder {
    raw: BTreeMap<Tag, Vec<u8>>,
}

impl IdentityBuilder {
    pub(super) fn wants(tag: Tag) -> bool {
        matches!(
            tag,
            Tag::SPECIFIC_CHARACTER_SET
                | Tag::SOP_CLASS_UID
                | Tag::SOP_INSTANCE_UID
                | Tag::STUDY_INSTANCE_UID
                | Tag::SERIES_INSTANCE_UID
                | PATIENT_NAME
                | PATIENT_ID
                | ISSUER_OF_PATIENT_ID
                | BIRTH_DATE
                | SEX
                | STUDY_DATE
                | ACQUISITION_DATE
                | STUDY_TIME
                | ACQUISITION_TIME
                | ACCESSION_NUMBER
                | MODALITY
                | MANUFACTURER
                | INSTITUTION
                | TIMEZONE_OFFSET
                | STATION_NAME
                | STUDY_DESCRIPTION
                | SERIES_DESCRIPTION
                | BODY_PART
                | SERIES_NUMBER
                | INSTANCE_NUMBER
        )
    }

    /// Keeps a raw value; `false` when there is one already.
    pub(super) fn set(&mut self, tag: Tag, value: Vec<u8>) -> bool {
        match self.raw.entry(tag) {
            std::collections::btree_map::Entry::Vacant(entry) => {
                entry.insert(value);
                true
            }
            std::collections::btree_map::Entry::Occupied(_) => false,
        }
    }

    /// Decodes everything; with what was not readable.
    #[expect(clippy::type_complexity, reason = "one caller, two halves of one result")]
    pub(super) fn finish(self) -> Result<(InstanceIdentity, Vec<(WarningKind, Option<Tag>)>), ScanError> {
        let declared = self
            .raw
            .get(&Tag::SPECIFIC_CHARACTER_SET)
            .map_or(&b""[..], Vec::as_slice);
        let sets = CharacterSets::parse(declared);
        let mut reader = Reader {
            raw: &self.raw,
            sets: &sets,
            faults: Vec::new(),
        };
        if sets.has_unknown_term() {
            reader.faults.push((
                WarningKind::CharacterSetUnknown,
                Some(Tag::SPECIFIC_CHARACTER_SET),
            ));
        }
        let identity = InstanceIdentity {
            sop_class_uid: reader.uid(Tag::SOP_CLASS_UID)?,
            sop_instance_uid: reader.uid(Tag::SOP_INSTANCE_UID)?,
            study_instance_uid: reader.uid(Tag::STUDY_INSTANCE_UID)?,
            series_instance_uid: reader.uid(Tag::SERIES_INSTANCE_UID)?,
            patient_id: reader.text(PATIENT_ID, Vr::LO),
            issuer_of_patient_id: reader.text(ISSUER_OF_PATIENT_ID, Vr::LO),
            patient_name: reader.person_name(PATIENT_NAME),
            birth_date: reader.text(BIRTH_DATE, Vr::DA),
            sex: reader.text(SEX, Vr::CS),
            study_date: reader.text(STUDY_DATE, Vr::DA),
            study_time: reader.text(STUDY_TIME, Vr::TM),
            accession_number: reader.text(ACCESSION_NUMBER, Vr::SH),
            study_description: reader.text(STUDY_DESCRIPTION, Vr::LO),
            series_description: reader.text(SERIES_DESCRIPTION, Vr::LO),
            series_number: reader.number(SERIES_NUMBER),
            instance_number: reader.number(INSTANCE_NUMBER),
            modality: reader.text(MODALITY, Vr::CS),
            body_part: reader.text(BODY_PART, Vr::CS),
            institution: reader.text(INSTITUTION, Vr::LO),
            manufacturer: reader.text(MANUFACTURER, Vr::LO),
            station_name: reader.text(STATION_NAME, Vr::SH),
            acquisition_date: reader.text(ACQUISITION_DATE, Vr::DA),
            acquisition_time: reader.text(ACQUISITION_TIME, Vr::TM),
            timezone_offset: reader.text(TIMEZONE_OFFSET, Vr::SH),
            character_sets: if declared.is_empty() {
                Vec::new()
            } else {
                sets.terms().to_vec()
            },
            text_uncertain: sets.has_unknown_term()
                || reader
                    .faults
                    .iter()
                    .any(|(kind, _)| *kind == WarningKind::TextUncertain),
            uncertain_elements: reader
                .faults
                .iter()
                .filter(|(kind, _)| *kind == WarningKind::TextUncertain)
                .filter_map(|(_, tag)| *tag)
                .collect(),
        };
        let faults = reader.faults;
        Ok((identity, faults))
    }
}

struct Reader<'a> {
    raw: &'a BTreeMap<Tag, Vec<u8>>,
    sets: &'a CharacterSets,
    faults: Vec<(WarningKind, Option<Tag>)>,
}

impl Reader<'_> {
    fn uid<T>(&self, tag: Tag) -> Result<T, ScanError>
    where
        T: TryFrom<String>,
    {
        let raw = self.raw.get(&tag).map_or(&b""[..], Vec::as_slice);
        let kept = raw
            .iter()
            .rposition(|byte| !matches!(byte, 0 | b' '))
            .map_or(0, |last| last + 1);
        if kept == 0 {
            return Err(ScanError::UidMissing(tag));
        }
        let text = std::str::from_utf8(&raw[..kept]).map_err(|_| ScanError::UidMalformed(tag))?;
        T::try_from(text.to_owned()).map_err(|_| ScanError::UidMalformed(tag))
    }

    fn text(&mut self, tag: Tag, vr: Vr) -> Option<String> {
        let decoded = text::decode(self.raw.get(&tag)?, vr, self.sets);
        if decoded.uncertain {
            self.faults.push((WarningKind::TextUncertain, Some(tag)));
        }
        let text = decoded.text.trim_matches(' ');
        (!text.is_empty()).then(|| text.to_owned())
    }

    fn person_name(&mut self, tag: Tag) -> Option<PersonName> {
        let mut name = text::decode_person_name(self.raw.get(&tag)?, self.sets);
        if name.uncertain {
            self.faults.push((WarningKind::TextUncertain, Some(tag)));
        }
        name.uncertain |= self.sets.has_unknown_term();
        (!name.is_empty()).then_some(name)
    }

    fn number(&mut self, tag: Tag) -> Option<i64> {
        self.text(tag, Vr::IS)?.parse().ok()
    }
}
