//! Objects held back because they name another patient than their study: whom they name, until a person decides.

use sqlx::Row;
use sqlx::sqlite::SqliteConnection;
use tancho_domain::ids::ObjectId;

use super::{object_id, unsigned};

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
pub async fn set_held(db: &mut SqliteConnection, id: &ObjectId, patient: &str) -> sqlx::Result<()> {
    sqlx::query(
        "update objects set state = 'held', reason = 'patient_differs', held_patient = $2 where object_id = $1",
    )
    .bind(id.as_str())
    .bind(patient)
    .execute(db)
    .await
    .map(drop)
}

/// What is held, by study and patient, the longest waiting first.
pub async fn list_held_groups(db: &mut SqliteConnection, limit: usize) -> sqlx::Result<Vec<HeldRow>> {
    // The bare column beside min() is that of the row with the minimum.
    let rows = sqlx::query(
        "select study_instance_uid, held_patient, calling_ae, count(*), sum(original_len), min(received_at_ms),
             max(received_at_ms)
         from objects where state = 'held' group by study_instance_uid, held_patient
         order by min(received_at_ms) limit $1",
    )
    .bind(limit as i64)
    .fetch_all(db)
    .await?;
    rows.iter()
        .map(|row| {
            Ok(HeldRow {
                study_instance_uid: row.try_get(0)?,
                patient: row.try_get(1)?,
                calling_ae: row.try_get(2)?,
                n_objects: unsigned(row.try_get(3)?),
                original_len: unsigned(row.try_get(4)?),
                first_received_at_ms: row.try_get(5)?,
                last_received_at_ms: row.try_get(6)?,
            })
        })
        .collect()
}

/// The held objects of a study that name this patient, in the order of their revisions and arrival.
pub async fn list_held(
    db: &mut SqliteConnection,
    study: &str,
    patient: Option<&str>,
) -> sqlx::Result<Vec<ObjectId>> {
    let rows = sqlx::query(
        "select object_id from objects where study_instance_uid = $1 and state = 'held' and held_patient is $2
         order by revision, seq",
    )
    .bind(study)
    .bind(patient)
    .fetch_all(db)
    .await?;
    rows.iter().map(|row| object_id(row, 0)).collect()
}
