//! Objects on their way: those the coder works on and those that wait for the line.

use rusqlite::params;
use tancho_domain::dicom::{SeriesInstanceUid, StudyInstanceUid, TransferSyntaxUid};
use tancho_domain::ids::ObjectId;

use super::{IndexDb, IndexResult, Row, digest, find, list, object_id, priority, uid, unsigned};
use crate::spool::outbound::OutboundObject;

/// Where the low-resolution parts of a container end, from version 4 of the tables on.
pub(super) const SCHEMA: &str = "alter table objects add column preview_end integer;";

/// Columns that [`stored`] reads.
macro_rules! stored_columns {
    () => {
        "object_id, seq, folder, study_instance_uid, series_instance_uid, transfer_syntax, original_sha256, \
         original_len, coalesce(reason, '') = 'coded_again'"
    };
}

/// Columns that [`outbound`] reads.
macro_rules! outbound_columns {
    () => {
        "seq, folder, object_id, study_instance_uid, series_instance_uid, sop_instance_uid, sop_class_uid, \
         transfer_syntax, container_sha256, container_len, head_end, original_sha256, original_len, \
         calling_ae, called_ae, priority, received_at_ms, preview_end"
    };
}

/// An object the coder has to work on.
#[derive(Debug, Clone)]
pub struct StoredObject {
    /// Our identifier.
    pub object_id: ObjectId,
    /// Order of arrival.
    pub seq: i64,
    /// Numbered folder its files are in.
    pub folder: i64,
    /// Study it belongs to.
    pub study_instance_uid: StudyInstanceUid,
    /// Series it belongs to.
    pub series_instance_uid: SeriesInstanceUid,
    /// The relay could not rebuild it from the container it was given.
    pub is_coded_again: bool,
    /// Transfer syntax it came in.
    pub transfer_syntax: TransferSyntaxUid,
    /// Digest of the data set.
    pub original_sha256: [u8; 32],
    /// Bytes of the data set.
    pub original_len: u64,
}

#[cfg(test)]
impl StoredObject {
    /// One of ten bytes, number `seq` to arrive.
    pub fn fixture(seq: i64, series: &str) -> Self {
        Self {
            object_id: ObjectId::new(uuid::Uuid::from_u128(seq as u128)),
            seq,
            folder: 1,
            study_instance_uid: "2.25.1".to_owned().try_into().unwrap(),
            series_instance_uid: series.to_owned().try_into().unwrap(),
            is_coded_again: false,
            transfer_syntax: "1.2.840.10008.1.2.1".to_owned().try_into().unwrap(),
            original_sha256: [0; 32],
            original_len: 10,
        }
    }
}

/// What the coder made of an object.
#[derive(Debug, Clone)]
pub struct CodedObject {
    /// Our identifier.
    pub object_id: ObjectId,
    /// Bytes of the container.
    pub container_len: u64,
    /// Digest of the container.
    pub container_sha256: [u8; 32],
    /// Bytes up to the end of the head section.
    pub head_end: u64,
    /// Bytes up to the end of the low-resolution parts of all frames; none when it has none.
    pub preview_end: Option<u64>,
}

/// An object in the order of the line.
#[derive(Debug, Clone)]
pub struct Queued {
    /// Order of arrival.
    pub seq: i64,
    /// Numbered folder its files are in.
    pub folder: i64,
    /// The object.
    pub object: OutboundObject,
}

/// Objects waiting for the coder, most urgent and oldest first: only those of stat priority, or only the others.
pub fn list_stored(db: &IndexDb, is_stat: bool, limit: usize) -> IndexResult<Vec<StoredObject>> {
    let priorities = if is_stat { 0..=0 } else { 1..=2 };
    list(
        db,
        concat!(
            "select ",
            stored_columns!(),
            " from objects where state = 'stored' and priority between ?1 and ?2 order by priority, seq limit ?3"
        ),
        params![priorities.start(), priorities.end(), limit as i64],
        stored,
    )
}

/// An object, as long as it waits for the coder.
pub fn find_stored(db: &IndexDb, id: &ObjectId) -> IndexResult<Option<StoredObject>> {
    find(
        db,
        concat!(
            "select ",
            stored_columns!(),
            " from objects where object_id = ?1 and state = 'stored'"
        ),
        params![id.as_str()],
        stored,
    )
}

/// The object of a series that came first, of those that are sent or were sent.
pub fn find_first_of_series(
    db: &IndexDb,
    study: &StudyInstanceUid,
    series: &SeriesInstanceUid,
) -> IndexResult<Option<StoredObject>> {
    find(
        db,
        concat!(
            "select ",
            stored_columns!(),
            " from objects where study_instance_uid = ?1 and series_instance_uid = ?2
             and state in ('stored', 'coded', 'receipted') order by seq limit 1"
        ),
        params![study.as_str(), series.as_str()],
        stored,
    )
}

fn stored(row: &Row<'_>) -> IndexResult<StoredObject> {
    Ok(StoredObject {
        object_id: object_id(row, 0)?,
        seq: row.get(1)?,
        folder: row.get(2)?,
        study_instance_uid: uid(row.get(3)?)?,
        series_instance_uid: uid(row.get(4)?)?,
        transfer_syntax: uid(row.get(5)?)?,
        original_sha256: digest(row.get(6)?)?,
        original_len: unsigned(row.get(7)?),
        is_coded_again: row.get(8)?,
    })
}

/// Coded objects without a receipt with their sequence numbers, most urgent and oldest first.
pub fn list_outbound(db: &IndexDb, limit: usize) -> IndexResult<Vec<Queued>> {
    list(
        db,
        concat!(
            "select ",
            outbound_columns!(),
            " from objects where state = 'coded' order by priority, seq limit ?1"
        ),
        params![limit as i64],
        outbound,
    )
}

/// One coded object.
pub fn get_outbound(db: &IndexDb, id: &ObjectId) -> IndexResult<Option<Queued>> {
    find(
        db,
        concat!(
            "select ",
            outbound_columns!(),
            " from objects where state = 'coded' and object_id = ?1"
        ),
        params![id.as_str()],
        outbound,
    )
}

fn outbound(row: &Row<'_>) -> IndexResult<Queued> {
    Ok(Queued {
        seq: row.get(0)?,
        folder: row.get(1)?,
        object: OutboundObject {
            object_id: object_id(row, 2)?,
            study_instance_uid: uid(row.get(3)?)?,
            series_instance_uid: uid(row.get(4)?)?,
            sop_instance_uid: uid(row.get(5)?)?,
            sop_class_uid: uid(row.get(6)?)?,
            transfer_syntax: uid(row.get(7)?)?,
            container_sha256: digest(row.get(8)?)?,
            container_len: unsigned(row.get(9)?),
            head_end: unsigned(row.get(10)?),
            preview_end: row.get::<_, Option<i64>>(17)?.map(unsigned),
            original_sha256: digest(row.get(11)?)?,
            original_len: unsigned(row.get(12)?),
            calling_ae: uid(row.get(13)?)?,
            called_ae: uid(row.get(14)?)?,
            priority: priority(row.get(15)?)?,
            received_at_ms: row.get(16)?,
        },
    })
}
