//! C-FIND (PS3.4 section C.4.1): what is in the spool, level by level, one answer after another.

use std::collections::{BTreeMap, BTreeSet};
use std::io::BufReader;

use serde_json::{Value, json};
use tancho_domain::dicom::TransferSyntaxUid;
use tancho_imaging::dictionary::vr_of;
use tancho_imaging::element::{Tag, Vr};
use tancho_imaging::metadata::top_level_json;
use tancho_imaging::synthetic::ElementWriter;
use tancho_imaging::text::{CharacterSets, encode};

use super::keys::{INSTANCE_UID, Keys, LEVEL, Level, SERIES_UID, STUDY_UID};
use super::matching::{fits, name_groups, text};
use super::{Broken, MATCHES_MAX, Work, answer};
use crate::dimse::command::WITH_DATA_SET;
use crate::dimse::fragments::send_message;
use crate::spool::object_file::DataSet;
use crate::spool::onward::OnwardObject;
use crate::spool::{Spool, SpoolError, StudyPicture};

const RETRIEVE_AE_TITLE: Tag = Tag(0x0008, 0x0054);
const AVAILABILITY: Tag = Tag(0x0008, 0x0056);
const MODALITIES: Tag = Tag(0x0008, 0x0061);
const N_SERIES_OF_STUDY: Tag = Tag(0x0020, 0x1206);
const N_INSTANCES_OF_STUDY: Tag = Tag(0x0020, 0x1208);
const N_INSTANCES_OF_SERIES: Tag = Tag(0x0020, 0x1209);
const SOP_CLASS_UID: Tag = Tag(0x0008, 0x0016);
/// Longest value of an element whose length is written in 16 bits; longer ones are neither read nor given. Bytes.
const SHORT_VALUE_MAX: usize = 65_534;
/// Objects of a study or series that are tried before its attributes are left out.
const READ_MAX: usize = 5;

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
    let candidates = match candidates(work, keys) {
        Ok(Some(candidates)) => candidates,
        Ok(None) => return work.end(answer::IDENTIFIER, "unique key of the level above missing"),
        Err(error) => return unreadable(work, &error),
    };
    for candidate in candidates {
        if work.is_cancelled()? {
            return work.end(answer::CANCELLED, "");
        }
        let attributes = match candidate.read(work) {
            Ok(Some(attributes)) => attributes,
            Ok(None) => continue,
            Err(error) => return unreadable(work, &error),
        };
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

fn unreadable(work: &mut Work<'_>, error: &SpoolError) -> Result<(), Broken> {
    tracing::error!(%error, "the spool's index cannot be read");
    work.end(answer::UNABLE, "the spool cannot be read")
}

/// Keys that are no attribute of the objects; they are returned and not matched.
fn is_computed(tag: Tag) -> bool {
    matches!(
        tag,
        RETRIEVE_AE_TITLE | AVAILABILITY | N_SERIES_OF_STUDY | N_INSTANCES_OF_STUDY | N_INSTANCES_OF_SERIES
    )
}

/// What may match, before its object is read.
enum Candidate<'a> {
    /// A study, whose objects are not looked up yet.
    Study(Box<StudyPicture>),
    /// A series.
    Series(&'a str, Vec<OnwardObject>),
    /// An instance.
    Instance(&'a str, Box<OnwardObject>),
}

impl Candidate<'_> {
    /// With the attributes of the first of its objects that can be read; what the index knows is there in any case.
    /// `None` when none of its objects is here.
    fn read(self, work: &Work<'_>) -> Result<Option<Attributes>, SpoolError> {
        let mut known = Attributes::from([
            (RETRIEVE_AE_TITLE, json!([work.desk.ae_title])),
            (AVAILABILITY, json!(["ONLINE"])),
        ]);
        let (mut attributes, objects) = match self {
            Self::Study(study) => {
                let objects = whole_objects(work, &study.study_instance_uid)?;
                let series: BTreeSet<&str> = objects
                    .iter()
                    .map(|object| object.series_instance_uid.as_str())
                    .collect();
                known.extend([
                    (STUDY_UID, json!([study.study_instance_uid])),
                    (MODALITIES, json!(study.label.modalities)),
                    (N_SERIES_OF_STUDY, json!([series.len()])),
                    (N_INSTANCES_OF_STUDY, json!([objects.len()])),
                ]);
                (label(&study), objects)
            }
            Self::Series(study, objects) => {
                let series = objects.first().map(|object| object.series_instance_uid.clone());
                known.extend([
                    (STUDY_UID, json!([study])),
                    (SERIES_UID, json!([series])),
                    (N_INSTANCES_OF_SERIES, json!([objects.len()])),
                ]);
                (Attributes::new(), objects)
            }
            Self::Instance(study, object) => {
                known.extend([
                    (STUDY_UID, json!([study])),
                    (SERIES_UID, json!([object.series_instance_uid])),
                    (INSTANCE_UID, json!([object.sop_instance_uid])),
                    (SOP_CLASS_UID, json!([object.sop_class_uid])),
                ]);
                (Attributes::new(), vec![*object])
            }
        };
        if objects.is_empty() {
            return Ok(None);
        }
        let mut tried = objects.iter().take(READ_MAX);
        let read = tried.find_map(|object| attributes_of(work.desk.spool, object));
        attributes.extend(read.unwrap_or_default());
        attributes.extend(known);
        Ok(Some(attributes))
    }
}

/// Objects of a study that may leave.
fn whole_objects(work: &Work<'_>, study: &str) -> Result<Vec<OnwardObject>, SpoolError> {
    let mut objects = work.objects_of(study)?;
    objects.retain(OnwardObject::may_leave);
    Ok(objects)
}

/// What the spool knows of a study without reading an object.
fn label(study: &StudyPicture) -> Attributes {
    let (label, patient) = (&study.label, &study.label.patient);
    let texts = [
        (Tag(0x0008, 0x0020), &label.study_date),
        (Tag(0x0008, 0x0030), &label.study_time),
        (Tag(0x0008, 0x1030), &label.description),
        (Tag(0x0010, 0x0020), &patient.patient_id),
        (Tag(0x0010, 0x0030), &patient.birth_date),
        (Tag(0x0010, 0x0040), &patient.sex),
    ];
    let some = texts.into_iter().filter(|(_, text)| !text.is_empty());
    let mut attributes: Attributes = some.map(|(tag, text)| (tag, json!([text]))).collect();
    let name = json!([{
        "Alphabetic": patient.alphabetic,
        "Ideographic": patient.ideographic,
        "Phonetic": patient.phonetic,
    }]);
    attributes.insert(Tag(0x0010, 0x0010), name);
    attributes
}

/// Candidates of the level; `None` when the level above is not named.
fn candidates<'a>(work: &Work<'_>, keys: &'a Keys) -> Result<Option<Vec<Candidate<'a>>>, SpoolError> {
    if keys.level == Level::Study {
        let studies = work.desk.spool.studies().into_iter();
        let fitting = studies.filter(|study| may_fit(study, keys));
        return Ok(Some(
            fitting.map(|study| Candidate::Study(Box::new(study))).collect(),
        ));
    }
    let Some(study) = keys.uid(STUDY_UID) else {
        return Ok(None);
    };
    let series = keys.uid(SERIES_UID);
    if keys.level == Level::Image && series.is_none() {
        return Ok(None);
    }
    let objects = whole_objects(work, study)?;
    if keys.level == Level::Series {
        let mut by_series: BTreeMap<String, Vec<OnwardObject>> = BTreeMap::new();
        for object in objects {
            let series = by_series.entry(object.series_instance_uid.clone());
            series.or_default().push(object);
        }
        let candidates = by_series
            .into_values()
            .map(|objects| Candidate::Series(study, objects));
        return Ok(Some(candidates.collect()));
    }
    let instances = keys.uids(INSTANCE_UID);
    let wanted = objects.into_iter().filter(|object| {
        let uid = object.sop_instance_uid.as_str();
        series == Some(object.series_instance_uid.as_str())
            && instances.as_ref().is_none_or(|uids| uids.contains(uid))
    });
    Ok(Some(
        wanted
            .map(|object| Candidate::Instance(study, Box::new(object)))
            .collect(),
    ))
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

/// The attributes of an object before its pixels, without its sequences; `None` when it cannot be read.
fn attributes_of(spool: &Spool, object: &OnwardObject) -> Option<Attributes> {
    let file = spool.open_object(object).ok()?;
    let data = BufReader::new(DataSet::new(file, object.original_len).ok()?);
    let syntax = TransferSyntaxUid::parse(&object.transfer_syntax).ok()?;
    let json = top_level_json(data, &syntax, SHORT_VALUE_MAX as u64).ok()?;
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
        writer.us(tag, &numbers.take(SHORT_VALUE_MAX / 2).collect::<Vec<u16>>());
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
    let encoded = if joined.is_ascii() {
        joined.into_bytes()
    } else if sets.is_empty() {
        return None;
    } else {
        encode(&joined, vr, &CharacterSets::parse(sets.as_bytes())).ok()?
    };
    let fits = vr.has_long_header() || encoded.len() <= SHORT_VALUE_MAX;
    writer.bytes(tag, vr, if fits { &encoded } else { b"" });
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_fit_a_short_length_is_given_back_empty() {
        let syntax = TransferSyntaxUid::parse(tancho_imaging::syntax::EXPLICIT_LITTLE).unwrap();
        let written = |vr, values: &[Value], sets| {
            let mut writer = ElementWriter::new(&syntax);
            write_element(&mut writer, (Tag(0x0020, 0x4000), vr), values, sets).unwrap();
            writer.finish().len() - 8
        };
        let text = |n: usize| json!("x".repeat(n));
        assert_eq!(written(Vr::LT, &[text(SHORT_VALUE_MAX)], ""), SHORT_VALUE_MAX);
        assert_eq!(written(Vr::LT, &[text(SHORT_VALUE_MAX + 1)], ""), 0);
        // Each change of the character set takes bytes of its own.
        let mixed = json!("a道".repeat(10_000));
        assert_eq!(written(Vr::LT, &[mixed], "\\ISO 2022 IR 87"), 0);
        let numbers = vec![json!(1); SHORT_VALUE_MAX];
        assert_eq!(written(Vr::US, &numbers, ""), SHORT_VALUE_MAX);
    }
}
