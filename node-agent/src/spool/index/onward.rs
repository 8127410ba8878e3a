//! Rows of objects for those who take them onward from here: deliveries to a PACS, queries of the site's workstations.

use rusqlite::params;
use tancho_domain::ids::ObjectId;

use super::{IndexDb, IndexResult, Row, digest, find, list, object_id, object_state, priority, unsigned};
use crate::spool::onward::OnwardObject;

/// Objects after `seq`, in the order they came.
pub fn list_after(db: &IndexDb, seq: i64, limit: usize) -> IndexResult<Vec<OnwardObject>> {
    list(
        db,
        "select seq, object_id, folder, study_instance_uid, series_instance_uid, sop_instance_uid,
             sop_class_uid, transfer_syntax, calling_ae, called_ae, priority, received_at_ms,
             original_len, original_sha256, revision, state
         from objects where seq > ?1 order by seq limit ?2",
        params![seq, limit as i64],
        onward,
    )
}

/// One object.
pub fn find_onward(db: &IndexDb, object_id: &ObjectId) -> IndexResult<Option<OnwardObject>> {
    find(
        db,
        "select seq, object_id, folder, study_instance_uid, series_instance_uid, sop_instance_uid,
             sop_class_uid, transfer_syntax, calling_ae, called_ae, priority, received_at_ms,
             original_len, original_sha256, revision, state
         from objects where object_id = ?1",
        params![object_id.as_str()],
        onward,
    )
}

/// Objects of a study, in the order they came.
pub fn list_of_study(db: &IndexDb, study: &str, limit: usize) -> IndexResult<Vec<OnwardObject>> {
    list(
        db,
        "select seq, object_id, folder, study_instance_uid, series_instance_uid, sop_instance_uid,
             sop_class_uid, transfer_syntax, calling_ae, called_ae, priority, received_at_ms,
             original_len, original_sha256, revision, state
         from objects where study_instance_uid = ?1 order by seq limit ?2",
        params![study, limit as i64],
        onward,
    )
}

fn onward(row: &Row<'_>) -> IndexResult<OnwardObject> {
    Ok(OnwardObject {
        seq: row.get(0)?,
        object_id: object_id(row, 1)?,
        folder: row.get(2)?,
        study_instance_uid: row.get(3)?,
        series_instance_uid: row.get(4)?,
        sop_instance_uid: row.get(5)?,
        sop_class_uid: row.get(6)?,
        transfer_syntax: row.get(7)?,
        calling_ae: row.get(8)?,
        called_ae: row.get(9)?,
        priority: priority(row.get(10)?)?,
        received_at_ms: row.get(11)?,
        original_len: unsigned(row.get(12)?),
        original_sha256: digest(row.get(13)?)?,
        revision: unsigned(row.get(14)?),
        state: object_state(row, 15)?,
    })
}
