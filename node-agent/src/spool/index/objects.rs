//! Rows of received objects: taken in, moved from state to state, deleted.

use rusqlite::params;
use tancho_domain::dicom::{
    AeTitle, Priority, SeriesInstanceUid, SopClassUid, SopInstanceUid, StudyInstanceUid, TransferSyntaxUid,
};
use tancho_domain::ids::ObjectId;

use super::delivered::Numbering;
use super::line::CodedObject;
use super::{
    IndexDb, IndexResult, digest, execute, find, list, object_id, object_state, one, signed, unsigned,
};
use crate::spool::studies::ObjectState;

/// An object about to enter the index.
#[derive(Debug, Clone)]
pub struct NewObject {
    /// Our identifier.
    pub object_id: ObjectId,
    /// UIDs as scanned from the data set.
    pub study_instance_uid: StudyInstanceUid,
    /// Series Instance UID.
    pub series_instance_uid: SeriesInstanceUid,
    /// SOP Instance UID.
    pub sop_instance_uid: SopInstanceUid,
    /// SOP Class UID.
    pub sop_class_uid: SopClassUid,
    /// Transfer syntax it came in.
    pub transfer_syntax: TransferSyntaxUid,
    /// Who sent it.
    pub calling_ae: AeTitle,
    /// To which of our titles.
    pub called_ae: AeTitle,
    /// Priority on the line.
    pub priority: Priority,
    /// When it was whole.
    pub received_at_ms: i64,
    /// Bytes of the data set.
    pub original_len: u64,
    /// Digest of the data set.
    pub original_sha256: [u8; 32],
    /// Codes of tolerated faults, comma separated.
    pub warnings: String,
    /// `Stored`, or `Held` with a reason.
    pub state: ObjectState,
    /// Why it is held.
    pub reason: Option<&'static str>,
    /// Whom it names when it is held, as JSON.
    pub held_patient: Option<String>,
}

/// What is known of an object when a receipt or refusal comes.
#[derive(Debug, Clone)]
pub struct IndexedObject {
    /// Study it belongs to.
    pub study_instance_uid: String,
    /// Numbered folder.
    pub folder: i64,
    /// State now.
    pub state: ObjectState,
    /// Digest of the data set.
    pub original_sha256: [u8; 32],
    /// Digest of the container, once coded.
    pub container_sha256: Option<[u8; 32]>,
    /// Bytes of the data set.
    pub original_len: u64,
    /// Bytes of the container, 0 before it is coded.
    pub container_len: u64,
    /// SOP Instance UID.
    pub sop_instance_uid: String,
    /// 1, or more when the SOP Instance UID had come before with other bytes.
    pub revision: u64,
}

/// Adds an object; gives its revision, or `None` when the same bytes are already there.
pub fn insert_object(
    db: &IndexDb,
    object: &NewObject,
    folder: i64,
    numbering: Numbering,
) -> IndexResult<Option<u64>> {
    let (again, above) = match numbering {
        Numbering::Again(revision) => (Some(signed(revision)), 0),
        Numbering::Above(revision) => (None, signed(revision)),
    };
    find(
        db,
        "insert into objects (object_id, folder, study_instance_uid, series_instance_uid, sop_instance_uid,
             sop_class_uid, transfer_syntax, calling_ae, called_ae, priority, received_at_ms, original_len,
             original_sha256, revision, warnings, state, reason, held_patient)
         select ?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13,
             coalesce(?17, 1 + max(?18,
                 (select coalesce(max(revision), 0) from objects where sop_instance_uid = ?5))),
             ?14, ?15, ?16, ?19
         where true
         on conflict do nothing
         returning revision",
        params![
            object.object_id.as_str(),
            folder,
            object.study_instance_uid.as_str(),
            object.series_instance_uid.as_str(),
            object.sop_instance_uid.as_str(),
            object.sop_class_uid.as_str(),
            object.transfer_syntax.as_str(),
            object.calling_ae.as_str(),
            object.called_ae.as_str(),
            object.priority as i64,
            object.received_at_ms,
            signed(object.original_len),
            object.original_sha256.as_slice(),
            object.warnings.as_str(),
            object.state.as_str(),
            object.reason,
            again,
            above,
            object.held_patient.as_deref()
        ],
        |row| Ok(unsigned(row.get(0)?)),
    )
}

/// A copy whose bytes on the disk are no longer those received.
#[derive(Debug, Clone)]
pub struct DamagedCopy {
    /// Our identifier.
    pub object_id: ObjectId,
    /// Numbered folder.
    pub folder: i64,
    /// `Damaged`, or `Receipted` when the relay has it.
    pub state: ObjectState,
    /// Its number.
    pub revision: u64,
    /// Bytes of the container, 0 before it is coded.
    pub container_len: u64,
}

/// Removes the row of a damaged copy of the same bytes, so that a good copy can take its place; gives what it was.
pub fn forget_damaged_copy(db: &IndexDb, object: &NewObject) -> IndexResult<Option<DamagedCopy>> {
    find(
        db,
        "delete from objects where sop_instance_uid = ?1 and original_sha256 = ?2
             and (state = 'damaged' or (state = 'receipted' and reason = 'damaged_in_spool'))
         returning object_id, folder, state, revision, coalesce(container_len, 0)",
        params![
            object.sop_instance_uid.as_str(),
            object.original_sha256.as_slice()
        ],
        |row| {
            Ok(DamagedCopy {
                object_id: object_id(row, 0)?,
                folder: row.get(1)?,
                state: object_state(row, 2)?,
                revision: unsigned(row.get(3)?),
                container_len: unsigned(row.get(4)?),
            })
        },
    )
}

/// Whether another object of this SOP Instance UID is in the study, those held back not counted.
pub fn has_other(db: &IndexDb, study: &str, sop: &str, object_id: &ObjectId) -> IndexResult<bool> {
    let found: Option<i64> = find(
        db,
        "select 1 from objects where sop_instance_uid = ?2 and study_instance_uid = ?1 and object_id <> ?3
             and state <> 'held' limit 1",
        params![study, sop, object_id.as_str()],
        |row| Ok(row.get(0)?),
    )?;
    Ok(found.is_some())
}

/// The identifier under which the same bytes are already there.
pub fn find_same_bytes(db: &IndexDb, object: &NewObject) -> IndexResult<Option<ObjectId>> {
    let id: Option<String> = find(
        db,
        "select object_id from objects where sop_instance_uid = ?1 and original_sha256 = ?2",
        params![
            object.sop_instance_uid.as_str(),
            object.original_sha256.as_slice()
        ],
        |row| Ok(row.get(0)?),
    )?;
    Ok(id.and_then(|id| ObjectId::parse(&id).ok()))
}

/// Marks an object coded. Gives whether it was waiting for that.
pub fn set_coded(db: &IndexDb, coded: &CodedObject) -> IndexResult<bool> {
    let done = execute(
        db,
        "update objects set state = 'coded', container_len = ?2, container_sha256 = ?3, head_end = ?4,
             preview_end = ?5
         where object_id = ?1 and state = 'stored'",
        params![
            coded.object_id.as_str(),
            signed(coded.container_len),
            coded.container_sha256.as_slice(),
            signed(coded.head_end),
            coded.preview_end.map(signed)
        ],
    )?;
    Ok(done == 1)
}

/// Moves an object to another state with its reason; `receipted_at_ms` is kept with a receipt.
pub fn set_state(
    db: &IndexDb,
    object_id: &ObjectId,
    state: ObjectState,
    reason: Option<&str>,
    receipted_at_ms: Option<i64>,
) -> IndexResult<()> {
    execute(
        db,
        "update objects set state = ?2, reason = ?3, receipted_at_ms = coalesce(?4, receipted_at_ms)
         where object_id = ?1",
        params![object_id.as_str(), state.as_str(), reason, receipted_at_ms],
    )
    .map(drop)
}

/// Raises or lowers the priority of everything of a study that is still to be sent.
pub fn set_priority(db: &IndexDb, study: &str, priority: Priority) -> IndexResult<()> {
    execute(
        db,
        "update objects set priority = ?2
         where study_instance_uid = ?1 and state in ('stored', 'coded', 'held')",
        params![study, priority as i64],
    )
    .map(drop)
}

/// What is known of an object.
pub fn find_object(db: &IndexDb, object_id: &ObjectId) -> IndexResult<Option<IndexedObject>> {
    find(
        db,
        "select study_instance_uid, folder, state, original_sha256, container_sha256, original_len,
             container_len,
             revision, sop_instance_uid
         from objects where object_id = ?1",
        params![object_id.as_str()],
        |row| {
            Ok(IndexedObject {
                study_instance_uid: row.get(0)?,
                folder: row.get(1)?,
                state: object_state(row, 2)?,
                original_sha256: digest(row.get(3)?)?,
                container_sha256: row.get::<_, Option<Vec<u8>>>(4)?.map(digest).transpose()?,
                original_len: unsigned(row.get(5)?),
                container_len: row.get::<_, Option<i64>>(6)?.map_or(0, unsigned),
                revision: unsigned(row.get(7)?),
                sop_instance_uid: row.get(8)?,
            })
        },
    )
}

/// How far an object is.
#[derive(Debug, Clone)]
pub struct ObjectStanding {
    /// Its study.
    pub study_instance_uid: String,
    /// Its state.
    pub state: ObjectState,
    /// Bytes of its data set.
    pub original_len: u64,
    /// Bytes of its container; 0 as long as there is none.
    pub container_len: u64,
    /// Why it is in this state.
    pub reason: Option<String>,
}

/// State of each object, `None` for those that are not in the index; in the order of `ids`.
pub fn list_states(db: &IndexDb, ids: &[ObjectId]) -> IndexResult<Vec<Option<ObjectStanding>>> {
    let mut states = Vec::with_capacity(ids.len());
    for id in ids {
        let standing = find(
            db,
            "select study_instance_uid, state, original_len, coalesce(container_len, 0), reason
             from objects where object_id = ?1",
            params![id.as_str()],
            |row| {
                Ok(ObjectStanding {
                    study_instance_uid: row.get(0)?,
                    state: object_state(row, 1)?,
                    original_len: unsigned(row.get(2)?),
                    container_len: unsigned(row.get(3)?),
                    reason: row.get(4)?,
                })
            },
        )?;
        states.push(standing);
    }
    Ok(states)
}

/// Newest numbered folder and how many objects it holds.
pub fn newest_folder(db: &IndexDb) -> IndexResult<(i64, u64)> {
    let folder: Option<i64> = find(
        db,
        "select folder from objects order by seq desc limit 1",
        [],
        |row| Ok(row.get(0)?),
    )?;
    let Some(folder) = folder else { return Ok((0, 0)) };
    let held: i64 = one(
        db,
        "select count(*) from (select folder from objects order by seq desc limit 4096) where folder = ?1",
        params![folder],
        |row| Ok(row.get(0)?),
    )?;
    Ok((folder, unsigned(held)))
}

/// Whether an object is in the index.
pub fn has_object(db: &IndexDb, object_id: &ObjectId) -> IndexResult<bool> {
    let found: Option<i64> = find(
        db,
        "select 1 from objects where object_id = ?1",
        params![object_id.as_str()],
        |row| Ok(row.get(0)?),
    )?;
    Ok(found.is_some())
}

/// Receipted objects past their retention, oldest first, the first `n_skipped` left out.
pub fn list_expired(
    db: &IndexDb,
    receipted_before_ms: i64,
    (n_skipped, limit): (usize, usize),
) -> IndexResult<Vec<(ObjectId, i64)>> {
    list(
        db,
        "select object_id, folder from objects where state = 'receipted' and receipted_at_ms < ?1
         order by receipted_at_ms, seq limit ?2 offset ?3",
        params![receipted_before_ms, limit as i64, n_skipped as i64],
        |row| Ok((object_id(row, 0)?, row.get(1)?)),
    )
}

/// Forgets an object whose files were deleted.
pub fn delete_object(db: &IndexDb, object_id: &ObjectId) -> IndexResult<()> {
    execute(
        db,
        "delete from objects where object_id = ?1",
        params![object_id.as_str()],
    )
    .map(drop)
}
