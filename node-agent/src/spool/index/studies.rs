//! Rows of studies and the sums over their objects.

use rusqlite::params;
use tancho_domain::dicom::Priority;

use super::{
    IndexDb, IndexError, IndexResult, Row, execute, find, list, object_state, priority, signed, unsigned,
};
use crate::spool::studies::{ObjectState, PatientLabel, StudyLabel, first_generation};
use crate::spool::withheld::Withheld;

/// Text of a study that its character sets do not explain, as JSON, from version 7 of the tables on.
pub(super) const SCHEMA: &str = "alter table studies add column text_doubt text;";

/// Sums per study and state, read once at start.
#[derive(Debug, Clone)]
pub struct StudySum {
    /// Study.
    pub study_instance_uid: String,
    /// State.
    pub state: ObjectState,
    /// Objects.
    pub n_objects: u64,
    /// Bytes of data sets.
    pub original_len: u64,
    /// Bytes of containers.
    pub container_len: u64,
    /// Objects that are a second or later revision.
    pub n_revisions: u64,
    /// SOP Instance UIDs of which the first bytes that count are in this state.
    pub n_instances: u64,
    /// Bytes of those.
    pub instance_len: u64,
    /// First arrival.
    pub first_received_at_ms: i64,
    /// Last arrival.
    pub last_received_at_ms: i64,
}

/// A study's row.
#[derive(Debug, Clone)]
pub struct StudyRow {
    /// Study.
    pub study_instance_uid: String,
    /// Who and what, for the page.
    pub label: StudyLabel,
    /// Priority on the line.
    pub priority: Priority,
    /// Generation.
    pub generation: u64,
    /// Last generation that the relay confirmed whole.
    pub confirmed_generation: u64,
    /// When it was closed.
    pub closed_at_ms: Option<i64>,
    /// What the relay last said about its reading, as JSON.
    pub relay_update: Option<String>,
    /// What of it does not go to the relay.
    pub withheld: Withheld,
}

impl StudyRow {
    /// The row of a study of which no object that can be used has come.
    #[must_use]
    pub fn unseen(study: &str, now_ms: i64) -> Self {
        Self {
            study_instance_uid: study.to_owned(),
            label: StudyLabel::default(),
            priority: Priority::Routine,
            generation: first_generation(now_ms),
            confirmed_generation: 0,
            closed_at_ms: None,
            relay_update: None,
            withheld: Withheld::default(),
        }
    }

    /// Whether nobody knows who and what: the next object that can be used says it.
    #[must_use]
    pub fn is_unseen(&self) -> bool {
        self.label == StudyLabel::default()
    }
}

/// Writes the study's row as it is now.
pub fn put_study(db: &IndexDb, study: &StudyRow) -> IndexResult<()> {
    let label = &study.label;
    let doubt = label
        .text_doubt
        .as_ref()
        .map(serde_json::to_string)
        .transpose()
        .map_err(|_| IndexError::Malformed("text doubt"))?;
    execute(
        db,
        "insert into studies (study_instance_uid, patient_alphabetic, patient_ideographic, patient_phonetic,
             patient_name_uncertain, patient_id, birth_date, sex, study_date, study_time, description,
             modalities, priority, generation, confirmed_generation, closed_at_ms, relay_update,
             withheld, text_doubt)
         values (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19)
         on conflict (study_instance_uid) do update set
             patient_alphabetic = excluded.patient_alphabetic, patient_ideographic = excluded.patient_ideographic,
             patient_phonetic = excluded.patient_phonetic, patient_name_uncertain = excluded.patient_name_uncertain,
             patient_id = excluded.patient_id, birth_date = excluded.birth_date, sex = excluded.sex,
             study_date = excluded.study_date, study_time = excluded.study_time,
             description = excluded.description, modalities = excluded.modalities,
             priority = excluded.priority, generation = excluded.generation,
             confirmed_generation = excluded.confirmed_generation, closed_at_ms = excluded.closed_at_ms,
             relay_update = excluded.relay_update, withheld = excluded.withheld,
             text_doubt = excluded.text_doubt",
        params![
            &study.study_instance_uid,
            &label.patient.alphabetic,
            &label.patient.ideographic,
            &label.patient.phonetic,
            label.patient.name_uncertain,
            &label.patient.patient_id,
            &label.patient.birth_date,
            &label.patient.sex,
            &label.study_date,
            &label.study_time,
            &label.description,
            label.modalities.join(","),
            study.priority as i64,
            signed(study.generation),
            signed(study.confirmed_generation),
            study.closed_at_ms,
            &study.relay_update,
            study.withheld.to_string(),
            doubt
        ],
    )
    .map(drop)
}

/// Sums of all objects.
pub fn sum_by_study(db: &IndexDb) -> IndexResult<Vec<StudySum>> {
    list(
        db,
        "select study_instance_uid, state, count(*), sum(original_len), sum(coalesce(container_len, 0)),
             sum(revision > 1), min(received_at_ms), max(received_at_ms),
             sum(is_first), sum(case when is_first then original_len else 0 end)
         from (select *, state <> 'held' and (revision = 1 or not exists (
                 select 1 from objects p where p.sop_instance_uid = o.sop_instance_uid and p.state <> 'held'
                     and p.study_instance_uid = o.study_instance_uid and p.revision < o.revision)) as is_first
             from objects o)
         group by study_instance_uid, state",
        [],
        |row| {
            Ok(StudySum {
                study_instance_uid: row.get(0)?,
                state: object_state(row, 1)?,
                n_objects: unsigned(row.get(2)?),
                original_len: unsigned(row.get(3)?),
                container_len: unsigned(row.get(4)?),
                n_revisions: unsigned(row.get(5)?),
                first_received_at_ms: row.get(6)?,
                last_received_at_ms: row.get(7)?,
                n_instances: unsigned(row.get(8)?),
                instance_len: unsigned(row.get(9)?),
            })
        },
    )
}

/// All studies.
pub fn list_studies(db: &IndexDb) -> IndexResult<Vec<StudyRow>> {
    list(
        db,
        "select study_instance_uid, patient_alphabetic, patient_ideographic, patient_phonetic,
             patient_name_uncertain, patient_id, birth_date, sex, study_date, study_time, description,
             modalities, priority, generation, confirmed_generation, closed_at_ms, relay_update,
             withheld, text_doubt
         from studies",
        [],
        study_row,
    )
}

/// One study.
pub fn find_study(db: &IndexDb, study: &str) -> IndexResult<Option<StudyRow>> {
    find(
        db,
        "select study_instance_uid, patient_alphabetic, patient_ideographic, patient_phonetic,
             patient_name_uncertain, patient_id, birth_date, sex, study_date, study_time, description,
             modalities, priority, generation, confirmed_generation, closed_at_ms, relay_update,
             withheld, text_doubt
         from studies
         where study_instance_uid = ?1",
        params![study],
        study_row,
    )
}

fn study_row(row: &Row<'_>) -> IndexResult<StudyRow> {
    let modalities: String = row.get(11)?;
    let doubt: Option<String> = row.get(18)?;
    Ok(StudyRow {
        study_instance_uid: row.get(0)?,
        label: StudyLabel {
            patient: PatientLabel {
                alphabetic: row.get(1)?,
                ideographic: row.get(2)?,
                phonetic: row.get(3)?,
                name_uncertain: row.get(4)?,
                patient_id: row.get(5)?,
                birth_date: row.get(6)?,
                sex: row.get(7)?,
            },
            study_date: row.get(8)?,
            study_time: row.get(9)?,
            description: row.get(10)?,
            modalities: modalities
                .split(',')
                .filter(|m| !m.is_empty())
                .map(str::to_owned)
                .collect(),
            text_doubt: doubt.as_deref().and_then(|json| serde_json::from_str(json).ok()),
        },
        priority: priority(row.get(12)?)?,
        generation: unsigned(row.get(13)?),
        confirmed_generation: unsigned(row.get(14)?),
        closed_at_ms: row.get(15)?,
        relay_update: row.get(16)?,
        withheld: Withheld::parse(row.get_ref(17)?.as_str()?),
    })
}

/// Forgets studies and answered requests that have no objects left, and nothing in quarantine that the relay has been
/// told of and would wait for.
pub fn delete_empty_studies(db: &IndexDb) -> IndexResult<Vec<String>> {
    let gone: Vec<String> = list(
        db,
        "delete from studies where not exists
             (select 1 from objects where objects.study_instance_uid = studies.study_instance_uid)
         and not exists (select 1 from requests where requests.study_instance_uid = studies.study_instance_uid
             and requests.result is null)
         and withheld = '' and (closed_at_ms is null or confirmed_generation >= generation)
         returning study_instance_uid",
        [],
        |row| Ok(row.get(0)?),
    )?;
    for study in &gone {
        execute(
            db,
            "delete from requests where study_instance_uid = ?1",
            params![study],
        )?;
    }
    Ok(gone)
}
