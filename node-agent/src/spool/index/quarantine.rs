//! Rows of objects that cannot be used, and the study each belongs to as far as that is known.

use rusqlite::params;
use tancho_domain::ids::ObjectId;

use super::{IndexDb, IndexResult, execute, find, list, object_id, signed, unsigned};

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
pub fn insert_quarantine(db: &IndexDb, row: &QuarantineRow) -> IndexResult<()> {
    execute(
        db,
        "insert into quarantine (object_id, reason, received_at_ms, calling_ae, data_len, study_instance_uid,
             sop_instance_uid)
         values (?1, ?2, ?3, ?4, ?5, ?6, ?7) on conflict do nothing",
        params![
            row.object_id.as_str(),
            &row.reason,
            row.received_at_ms,
            &row.calling_ae,
            signed(row.data_len),
            row.study_instance_uid.as_deref(),
            row.sop_instance_uid.as_str()
        ],
    )
    .map(drop)
}

/// Says which study quarantined objects belong to that named none themselves.
pub fn place_quarantine(db: &IndexDb, objects: &[ObjectId], study: &str) -> IndexResult<()> {
    for object_id in objects {
        execute(
            db,
            "update quarantine set study_instance_uid = ?2 where object_id = ?1 and study_instance_uid is null",
            params![object_id.as_str(), study],
        )?;
    }
    Ok(())
}

/// Quarantined objects that nobody dismissed, newest first.
pub fn list_quarantine(db: &IndexDb, limit: usize) -> IndexResult<Vec<QuarantineRow>> {
    list(
        db,
        "select object_id, reason, received_at_ms, calling_ae, data_len, study_instance_uid, sop_instance_uid
         from quarantine
         where dismissed_at_ms is null order by received_at_ms desc limit ?1",
        params![limit as i64],
        |row| {
            Ok(QuarantineRow {
                object_id: object_id(row, 0)?,
                reason: row.get(1)?,
                received_at_ms: row.get(2)?,
                calling_ae: row.get(3)?,
                data_len: unsigned(row.get(4)?),
                study_instance_uid: row.get(5)?,
                sop_instance_uid: row.get(6)?,
            })
        },
    )
}

/// Whether the object is in quarantine and nobody dismissed it.
pub fn is_quarantined(db: &IndexDb, id: &ObjectId) -> IndexResult<bool> {
    let found = find(
        db,
        "select 1 from quarantine where object_id = ?1 and dismissed_at_ms is null",
        params![id.as_str()],
        |_| Ok(()),
    )?;
    Ok(found.is_some())
}

/// Takes a quarantined object off the technologist's list; its bytes stay. Gives its study; `None` outside when there
/// is no such object on the list.
pub fn dismiss_quarantine(db: &IndexDb, id: &ObjectId, at_ms: i64) -> IndexResult<Option<Option<String>>> {
    find(
        db,
        "update quarantine set dismissed_at_ms = ?2 where object_id = ?1 and dismissed_at_ms is null
         returning study_instance_uid",
        params![id.as_str(), at_ms],
        |row| Ok(row.get(0)?),
    )
}
