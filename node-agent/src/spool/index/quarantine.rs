//! Rows of objects that cannot be used, and the study each belongs to as far as that is known.

use sqlx::Row;
use sqlx::sqlite::SqliteConnection;
use tancho_domain::ids::ObjectId;

use super::{object_id, signed, unsigned};

/// Columns and index of this part.
pub const SCHEMA: &str = "
alter table quarantine add column study_instance_uid text;
alter table quarantine add column sop_instance_uid text not null default '';
create index quarantine_by_study on quarantine (study_instance_uid) where study_instance_uid is not null;
";

/// A quarantined object's row.
#[derive(Debug, Clone)]
pub struct QuarantineRow {
    /// Our identifier.
    pub object_id: ObjectId,
    /// Stable code of the reason.
    pub reason: String,
    /// When it came.
    pub received_at_ms: i64,
    /// Who sent it.
    pub calling_ae: String,
    /// Bytes.
    pub data_len: u64,
    /// Study it belongs to, by its own word or by that of its association.
    pub study_instance_uid: Option<String>,
    /// SOP Instance UID that was announced for it; empty without one.
    pub sop_instance_uid: String,
}

/// Adds a quarantined object.
pub async fn insert_quarantine(db: &mut SqliteConnection, row: &QuarantineRow) -> sqlx::Result<()> {
    sqlx::query(
        "insert into quarantine (object_id, reason, received_at_ms, calling_ae, data_len, study_instance_uid,
             sop_instance_uid)
         values ($1, $2, $3, $4, $5, $6, $7) on conflict do nothing",
    )
    .bind(row.object_id.as_str())
    .bind(&row.reason)
    .bind(row.received_at_ms)
    .bind(&row.calling_ae)
    .bind(signed(row.data_len))
    .bind(row.study_instance_uid.as_deref())
    .bind(row.sop_instance_uid.as_str())
    .execute(db)
    .await
    .map(drop)
}

/// Says which study quarantined objects belong to that named none themselves.
pub async fn place_quarantine(
    db: &mut SqliteConnection,
    objects: &[ObjectId],
    study: &str,
) -> sqlx::Result<()> {
    for object_id in objects {
        sqlx::query(
            "update quarantine set study_instance_uid = $2 where object_id = $1 and study_instance_uid is null",
        )
        .bind(object_id.as_str())
        .bind(study)
        .execute(&mut *db)
        .await?;
    }
    Ok(())
}

/// Quarantined objects that nobody dismissed, newest first.
pub async fn list_quarantine(db: &mut SqliteConnection, limit: usize) -> sqlx::Result<Vec<QuarantineRow>> {
    let rows = sqlx::query(
        "select object_id, reason, received_at_ms, calling_ae, data_len, study_instance_uid, sop_instance_uid
         from quarantine
         where dismissed_at_ms is null order by received_at_ms desc limit $1",
    )
    .bind(limit as i64)
    .fetch_all(db)
    .await?;
    rows.iter()
        .map(|row| {
            Ok(QuarantineRow {
                object_id: object_id(row, 0)?,
                reason: row.try_get(1)?,
                received_at_ms: row.try_get(2)?,
                calling_ae: row.try_get(3)?,
                data_len: unsigned(row.try_get(4)?),
                study_instance_uid: row.try_get(5)?,
                sop_instance_uid: row.try_get(6)?,
            })
        })
        .collect()
}

/// Takes a quarantined object off the technologist's list; its bytes stay. Gives its study; `None` outside when there
/// is no such object.
pub async fn dismiss_quarantine(
    db: &mut SqliteConnection,
    id: &ObjectId,
    at_ms: i64,
) -> sqlx::Result<Option<Option<String>>> {
    sqlx::query_scalar(
        "update quarantine set dismissed_at_ms = $2 where object_id = $1 returning study_instance_uid",
    )
    .bind(id.as_str())
    .bind(at_ms)
    .fetch_optional(db)
    .await
}
