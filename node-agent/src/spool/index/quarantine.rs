//! Rows of objects that cannot be used.

use sqlx::Row;
use sqlx::sqlite::SqliteConnection;
use tancho_domain::ids::ObjectId;

use super::{object_id, signed, unsigned};

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
}

/// Adds a quarantined object.
pub async fn insert_quarantine(db: &mut SqliteConnection, row: &QuarantineRow) -> sqlx::Result<()> {
    sqlx::query(
        "insert into quarantine (object_id, reason, received_at_ms, calling_ae, data_len)
         values ($1, $2, $3, $4, $5) on conflict do nothing",
    )
    .bind(row.object_id.as_str())
    .bind(&row.reason)
    .bind(row.received_at_ms)
    .bind(&row.calling_ae)
    .bind(signed(row.data_len))
    .execute(db)
    .await
    .map(drop)
}

/// Quarantined objects that nobody dismissed, newest first.
pub async fn list_quarantine(db: &mut SqliteConnection, limit: usize) -> sqlx::Result<Vec<QuarantineRow>> {
    let rows = sqlx::query(
        "select object_id, reason, received_at_ms, calling_ae, data_len from quarantine
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
            })
        })
        .collect()
}

/// Takes a quarantined object off the technologist's list; its bytes stay.
pub async fn dismiss_quarantine(db: &mut SqliteConnection, id: &ObjectId, at_ms: i64) -> sqlx::Result<bool> {
    let done = sqlx::query("update quarantine set dismissed_at_ms = $2 where object_id = $1")
        .bind(id.as_str())
        .bind(at_ms)
        .execute(db)
        .await?;
    Ok(done.rows_affected() == 1)
}
