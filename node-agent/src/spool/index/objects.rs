//! Rows of received objects: taken in, moved from state to state, deleted.

use sqlx::Row;
use sqlx::sqlite::SqliteConnection;
use tancho_domain::dicom::{
    AeTitle, Priority, SeriesInstanceUid, SopClassUid, SopInstanceUid, StudyInstanceUid, TransferSyntaxUid,
};
use tancho_domain::ids::ObjectId;

use super::delivered::Numbering;
use super::line::CodedObject;
use super::{digest, object_id, object_state, signed, unsigned};
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
pub async fn insert_object(
    db: &mut SqliteConnection,
    object: &NewObject,
    folder: i64,
    numbering: Numbering,
) -> sqlx::Result<Option<u64>> {
    let (again, above) = match numbering {
        Numbering::Again(revision) => (Some(signed(revision)), 0),
        Numbering::Above(revision) => (None, signed(revision)),
    };
    let row = sqlx::query(
        "insert into objects (object_id, folder, study_instance_uid, series_instance_uid, sop_instance_uid,
             sop_class_uid, transfer_syntax, calling_ae, called_ae, priority, received_at_ms, original_len,
             original_sha256, revision, warnings, state, reason, held_patient)
         select $1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13,
             coalesce($17, 1 + max($18,
                 (select coalesce(max(revision), 0) from objects where sop_instance_uid = $5))), $14, $15, $16, $19
         where true
         on conflict do nothing
         returning revision",
    )
    .bind(object.object_id.as_str())
    .bind(folder)
    .bind(object.study_instance_uid.as_str())
    .bind(object.series_instance_uid.as_str())
    .bind(object.sop_instance_uid.as_str())
    .bind(object.sop_class_uid.as_str())
    .bind(object.transfer_syntax.as_str())
    .bind(object.calling_ae.as_str())
    .bind(object.called_ae.as_str())
    .bind(object.priority as i64)
    .bind(object.received_at_ms)
    .bind(signed(object.original_len))
    .bind(object.original_sha256.as_slice())
    .bind(object.warnings.as_str())
    .bind(object.state.as_str())
    .bind(object.reason)
    .bind(again)
    .bind(above)
    .bind(object.held_patient.as_deref())
    .fetch_optional(db)
    .await?;
    row.map(|row| Ok(unsigned(row.try_get(0)?))).transpose()
}

/// Removes the row of a damaged copy of the same bytes, so that a good copy can take its place; gives its revision.
pub async fn forget_damaged_copy(db: &mut SqliteConnection, object: &NewObject) -> sqlx::Result<Option<u64>> {
    let revision: Option<i64> = sqlx::query_scalar(
        "delete from objects where sop_instance_uid = $1 and original_sha256 = $2 and state = 'damaged'
         returning revision",
    )
    .bind(object.sop_instance_uid.as_str())
    .bind(object.original_sha256.as_slice())
    .fetch_optional(db)
    .await?;
    Ok(revision.map(unsigned))
}

/// Whether another object of this SOP Instance UID is in the study, those held back not counted.
pub async fn has_other(
    db: &mut SqliteConnection,
    study: &str,
    sop: &str,
    object_id: &ObjectId,
) -> sqlx::Result<bool> {
    let found: Option<i64> = sqlx::query_scalar(
        "select 1 from objects where sop_instance_uid = $2 and study_instance_uid = $1 and object_id <> $3
             and state <> 'held' limit 1",
    )
    .bind(study)
    .bind(sop)
    .bind(object_id.as_str())
    .fetch_optional(db)
    .await?;
    Ok(found.is_some())
}

/// The identifier under which the same bytes are already there.
pub async fn find_same_bytes(
    db: &mut SqliteConnection,
    object: &NewObject,
) -> sqlx::Result<Option<ObjectId>> {
    let id: Option<String> = sqlx::query_scalar(
        "select object_id from objects where sop_instance_uid = $1 and original_sha256 = $2",
    )
    .bind(object.sop_instance_uid.as_str())
    .bind(object.original_sha256.as_slice())
    .fetch_optional(db)
    .await?;
    Ok(id.and_then(|id| ObjectId::parse(&id).ok()))
}

/// Marks an object coded. Gives whether it was waiting for that.
pub async fn set_coded(db: &mut SqliteConnection, coded: &CodedObject) -> sqlx::Result<bool> {
    let done = sqlx::query(
        "update objects set state = 'coded', container_len = $2, container_sha256 = $3, head_end = $4,
             preview_end = $5
         where object_id = $1 and state = 'stored'",
    )
    .bind(coded.object_id.as_str())
    .bind(signed(coded.container_len))
    .bind(coded.container_sha256.as_slice())
    .bind(signed(coded.head_end))
    .bind(coded.preview_end.map(signed))
    .execute(db)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// Moves an object to another state with its reason; `receipted_at_ms` is kept with a receipt.
pub async fn set_state(
    db: &mut SqliteConnection,
    object_id: &ObjectId,
    state: ObjectState,
    reason: Option<&str>,
    receipted_at_ms: Option<i64>,
) -> sqlx::Result<()> {
    sqlx::query(
        "update objects set state = $2, reason = $3, receipted_at_ms = coalesce($4, receipted_at_ms)
         where object_id = $1",
    )
    .bind(object_id.as_str())
    .bind(state.as_str())
    .bind(reason)
    .bind(receipted_at_ms)
    .execute(db)
    .await
    .map(drop)
}

/// Raises or lowers the priority of everything of a study that is still to be sent.
pub async fn set_priority(db: &mut SqliteConnection, study: &str, priority: Priority) -> sqlx::Result<()> {
    sqlx::query(
        "update objects set priority = $2
         where study_instance_uid = $1 and state in ('stored', 'coded', 'held')",
    )
    .bind(study)
    .bind(priority as i64)
    .execute(db)
    .await
    .map(drop)
}

/// What is known of an object.
pub async fn find_object(
    db: &mut SqliteConnection,
    object_id: &ObjectId,
) -> sqlx::Result<Option<IndexedObject>> {
    let row = sqlx::query(
        "select study_instance_uid, folder, state, original_sha256, container_sha256, original_len, container_len,
             revision, sop_instance_uid
         from objects where object_id = $1",
    )
    .bind(object_id.as_str())
    .fetch_optional(db)
    .await?;
    row.map(|row| {
        Ok(IndexedObject {
            study_instance_uid: row.try_get(0)?,
            folder: row.try_get(1)?,
            state: object_state(&row, 2)?,
            original_sha256: digest(row.try_get(3)?)?,
            container_sha256: row.try_get::<Option<Vec<u8>>, _>(4)?.map(digest).transpose()?,
            original_len: unsigned(row.try_get(5)?),
            container_len: row.try_get::<Option<i64>, _>(6)?.map_or(0, unsigned),
            revision: unsigned(row.try_get(7)?),
            sop_instance_uid: row.try_get(8)?,
        })
    })
    .transpose()
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
pub async fn list_states(
    db: &mut SqliteConnection,
    ids: &[ObjectId],
) -> sqlx::Result<Vec<Option<ObjectStanding>>> {
    let mut states = Vec::with_capacity(ids.len());
    for id in ids {
        let row = sqlx::query(
            "select study_instance_uid, state, original_len, coalesce(container_len, 0), reason
             from objects where object_id = $1",
        )
        .bind(id.as_str())
        .fetch_optional(&mut *db)
        .await?;
        let standing = row.map(|row| -> sqlx::Result<ObjectStanding> {
            Ok(ObjectStanding {
                study_instance_uid: row.try_get(0)?,
                state: object_state(&row, 1)?,
                original_len: unsigned(row.try_get(2)?),
                container_len: unsigned(row.try_get(3)?),
                reason: row.try_get(4)?,
            })
        });
        states.push(standing.transpose()?);
    }
    Ok(states)
}

/// Newest numbered folder and how many objects it holds.
pub async fn newest_folder(db: &mut SqliteConnection) -> sqlx::Result<(i64, u64)> {
    let folder: Option<i64> = sqlx::query_scalar("select folder from objects order by seq desc limit 1")
        .fetch_optional(&mut *db)
        .await?;
    let Some(folder) = folder else { return Ok((0, 0)) };
    let held: i64 = sqlx::query_scalar(
        "select count(*) from (select folder from objects order by seq desc limit 4096) where folder = $1",
    )
    .bind(folder)
    .fetch_one(db)
    .await?;
    Ok((folder, unsigned(held)))
}

/// Whether an object is in the index.
pub async fn has_object(db: &mut SqliteConnection, object_id: &ObjectId) -> sqlx::Result<bool> {
    let found: Option<i64> = sqlx::query_scalar("select 1 from objects where object_id = $1")
        .bind(object_id.as_str())
        .fetch_optional(db)
        .await?;
    Ok(found.is_some())
}

/// Receipted objects past their retention, oldest first.
pub async fn list_expired(
    db: &mut SqliteConnection,
    receipted_before_ms: i64,
    limit: usize,
) -> sqlx::Result<Vec<(ObjectId, i64)>> {
    let rows = sqlx::query(
        "select object_id, folder from objects where state = 'receipted' and receipted_at_ms < $1
         order by receipted_at_ms limit $2",
    )
    .bind(receipted_before_ms)
    .bind(limit as i64)
    .fetch_all(db)
    .await?;
    rows.iter()
        .map(|row| Ok((object_id(row, 0)?, row.try_get(1)?)))
        .collect()
}

/// Forgets an object whose files were deleted.
pub async fn delete_object(db: &mut SqliteConnection, object_id: &ObjectId) -> sqlx::Result<()> {
    sqlx::query("delete from objects where object_id = $1")
        .bind(object_id.as_str())
        .execute(db)
        .await
        .map(drop)
}
