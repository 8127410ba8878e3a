//! Objects held back because they name another patient than their study: whom they name, until a person decides.

use rusqlite::params;
use tancho_domain::ids::ObjectId;

use super::{IndexDb, IndexResult, execute, list, object_id, unsigned};

/// Tables of this part.
pub const SCHEMA: &str = "
alter table objects add column held_patient text;
";

/// Held objects of one study that name the same patient.
#[derive(Debug, Clone)]
pub struct HeldRow {
    /// Study.
    pub study_instance_uid: String,
    /// Whom they name, as JSON; `None` when that was not recorded.
    pub patient: Option<String>,
    /// Who sent the first.
    pub calling_ae: String,
    /// Objects.
    pub n_objects: u64,
    /// Bytes of their data sets.
    pub original_len: u64,
    /// First arrival.
    pub first_received_at_ms: i64,
    /// Last arrival.
    pub last_received_at_ms: i64,
}

/// Holds an object back.
pub fn set_held(db: &IndexDb, id: &ObjectId, patient: &str) -> IndexResult<()> {
    execute(
        db,
        "update objects set state = 'held', reason = 'patient_differs', held_patient = ?2
         where object_id = ?1",
        params![id.as_str(), patient],
    )
    .map(drop)
}

/// What is held, by study and patient, the longest waiting first.
pub fn list_held_groups(db: &IndexDb, limit: usize) -> IndexResult<Vec<HeldRow>> {
    // The bare column beside min() is that of the row with the minimum.
    list(
        db,
        "select study_instance_uid, held_patient, calling_ae, count(*), sum(original_len),
             min(received_at_ms), max(received_at_ms)
         from objects where state = 'held' group by study_instance_uid, held_patient
         order by min(received_at_ms) limit ?1",
        params![limit as i64],
        |row| {
            Ok(HeldRow {
                study_instance_uid: row.get(0)?,
                patient: row.get(1)?,
                calling_ae: row.get(2)?,
                n_objects: unsigned(row.get(3)?),
                original_len: unsigned(row.get(4)?),
                first_received_at_ms: row.get(5)?,
                last_received_at_ms: row.get(6)?,
            })
        },
    )
}

/// The held objects of a study that name this patient, in the order of their revisions and arrival.
pub fn list_held(db: &IndexDb, study: &str, patient: Option<&str>) -> IndexResult<Vec<ObjectId>> {
    list(
        db,
        "select object_id from objects where study_instance_uid = ?1 and state = 'held'
             and held_patient is ?2 order by revision, seq",
        params![study, patient],
        |row| object_id(row, 0),
    )
}
