//! The spool's index: the one place outside `tancho-store` that holds SQL. It can be rebuilt from the files.
//!
//! SQLite in WAL mode with synchronous FULL; one connection writes (see `commit`), others only read.

use std::path::Path;

use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection, SqliteJournalMode, SqliteRow, SqliteSynchronous};
use sqlx::{ConnectOptions, Connection, Row};
use tancho_domain::dicom::{
    AeTitle, Priority, SeriesInstanceUid, SopClassUid, SopInstanceUid, StudyInstanceUid, TransferSyntaxUid,
};
use tancho_domain::ids::{CommandId, ObjectId};

use super::outbound::OutboundObject;
use super::studies::{ObjectState, PatientLabel, StudyLabel};

/// A connection to the index.
pub type IndexDb = SqliteConnection;
/// What the index answers.
pub type IndexResult<T> = sqlx::Result<T>;
/// What the index fails with.
pub type IndexError = sqlx::Error;

/// Grows when the tables change; an index of another version is rebuilt from the files.
const SCHEMA_VERSION: i64 = 1;

const SCHEMA: &str = "
create table objects (
    seq integer primary key autoincrement,
    object_id text not null unique,
    folder integer not null,
    study_instance_uid text not null,
    series_instance_uid text not null,
    sop_instance_uid text not null,
    sop_class_uid text not null,
    transfer_syntax text not null,
    calling_ae text not null,
    called_ae text not null,
    priority integer not null check (priority in (0, 1, 2)),
    received_at_ms integer not null,
    original_len integer not null,
    original_sha256 blob not null,
    revision integer not null,
    warnings text not null,
    state text not null check (state in ('stored', 'coded', 'receipted', 'refused', 'held', 'damaged')),
    reason text,
    container_len integer,
    container_sha256 blob,
    head_end integer,
    receipted_at_ms integer,
    unique (sop_instance_uid, original_sha256)
);
create index objects_by_work on objects (state, priority, seq);
create index objects_by_study on objects (study_instance_uid, state);
create table studies (
    study_instance_uid text primary key,
    patient_alphabetic text not null,
    patient_ideographic text not null,
    patient_phonetic text not null,
    patient_name_uncertain integer not null,
    patient_id text not null,
    birth_date text not null,
    sex text not null,
    study_date text not null,
    study_time text not null,
    description text not null,
    modalities text not null,
    priority integer not null check (priority in (0, 1, 2)),
    generation integer not null,
    confirmed_generation integer not null,
    closed_at_ms integer,
    relay_update text
);
create table requests (
    command_id text primary key,
    study_instance_uid text not null,
    form text not null,
    created_at_ms integer not null,
    result text,
    answered_at_ms integer
);
create table quarantine (
    object_id text primary key,
    reason text not null,
    received_at_ms integer not null,
    calling_ae text not null,
    data_len integer not null,
    dismissed_at_ms integer
);
";

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
}

/// An object the coder has to work on.
#[derive(Debug, Clone)]
pub struct StoredObject {
    /// Our identifier.
    pub object_id: ObjectId,
    /// Numbered folder its files are in.
    pub folder: i64,
    /// Transfer syntax it came in.
    pub transfer_syntax: TransferSyntaxUid,
    /// Digest of the data set.
    pub original_sha256: [u8; 32],
    /// Bytes of the data set.
    pub original_len: u64,
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
    /// Its SOP Instance UID had come before with other bytes.
    pub is_revision: bool,
}

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
    /// Bytes of their data sets.
    pub revision_len: u64,
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
}

/// A request form's row.
#[derive(Debug, Clone)]
pub struct RequestRow {
    /// The form as JSON.
    pub form: String,
    /// The relay's answer as JSON.
    pub result: Option<String>,
    /// When it came.
    pub answered_at_ms: Option<i64>,
}

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

fn options(path: &Path) -> SqliteConnectOptions {
    SqliteConnectOptions::new()
        .filename(path)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full)
        .busy_timeout(std::time::Duration::from_secs(10))
        .disable_statement_logging()
}

/// Opens the index for writing, creating its tables when it is new. An index that does not pass its own
/// check is an error: the caller keeps it aside and rebuilds.
pub async fn open_writer(path: &Path) -> sqlx::Result<(SqliteConnection, bool)> {
    let mut db = options(path).create_if_missing(true).connect().await?;
    let check: String = sqlx::query_scalar("pragma quick_check(1)")
        .fetch_one(&mut db)
        .await?;
    if check != "ok" {
        return Err(sqlx::Error::Protocol("index fails its own check".to_owned()));
    }
    let version: i64 = sqlx::query_scalar("pragma user_version")
        .fetch_one(&mut db)
        .await?;
    match version {
        SCHEMA_VERSION => Ok((db, false)),
        0 => {
            let mut tx = db.begin().await?;
            sqlx::raw_sql(SCHEMA).execute(&mut *tx).await?;
            sqlx::raw_sql("pragma user_version = 1").execute(&mut *tx).await?;
            tx.commit().await?;
            Ok((db, true))
        }
        _ => Err(sqlx::Error::Protocol("index of another version".to_owned())),
    }
}

/// Opens the index for reading.
pub async fn open_reader(path: &Path) -> sqlx::Result<SqliteConnection> {
    options(path).read_only(true).connect().await
}

/// Ends the writer's connection. The write-ahead log is emptied first, so that the next start need not replay
/// it and the index file is whole by itself.
pub async fn close(mut db: SqliteConnection) {
    if let Err(error) = sqlx::query("pragma wal_checkpoint(truncate)")
        .execute(&mut db)
        .await
    {
        tracing::warn!(%error, "the index did not close cleanly; it is recovered at the next start");
    }
    db.close().await.ok();
}

/// Begins the writer's transaction.
pub async fn begin(db: &mut SqliteConnection) -> sqlx::Result<()> {
    sqlx::query("begin immediate").execute(db).await.map(drop)
}

/// Commits it: durable when this returns.
pub async fn commit(db: &mut SqliteConnection) -> sqlx::Result<()> {
    sqlx::query("commit").execute(db).await.map(drop)
}

/// Drops it.
pub async fn rollback(db: &mut SqliteConnection) -> sqlx::Result<()> {
    sqlx::query("rollback").execute(db).await.map(drop)
}

/// Adds an object; gives its sequence number and revision, or `None` when the same bytes are already there.
pub async fn insert_object(
    db: &mut SqliteConnection,
    object: &NewObject,
    folder: i64,
) -> sqlx::Result<Option<(i64, u64)>> {
    let row = sqlx::query(
        "insert into objects (object_id, folder, study_instance_uid, series_instance_uid, sop_instance_uid,
             sop_class_uid, transfer_syntax, calling_ae, called_ae, priority, received_at_ms, original_len,
             original_sha256, revision, warnings, state, reason)
         select $1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13,
             (select coalesce(max(revision), 0) + 1 from objects where sop_instance_uid = $5), $14, $15, $16
         where true
         on conflict do nothing
         returning seq, revision",
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
    .fetch_optional(db)
    .await?;
    row.map(|row| Ok((row.try_get(0)?, unsigned(row.try_get(1)?))))
        .transpose()
}

/// Removes the row of a damaged copy of the same bytes, so that a good copy can take its place; gives its revision.
pub async fn forget_damaged_copy(db: &mut SqliteConnection, object: &NewObject) -> sqlx::Result<Option<i64>> {
    sqlx::query_scalar(
        "delete from objects where sop_instance_uid = $1 and original_sha256 = $2 and state = 'damaged'
         returning revision",
    )
    .bind(object.sop_instance_uid.as_str())
    .bind(object.original_sha256.as_slice())
    .fetch_optional(db)
    .await
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

/// Writes the study's row as it is now.
pub async fn put_study(db: &mut SqliteConnection, study: &StudyRow) -> sqlx::Result<()> {
    let label = &study.label;
    sqlx::query(
        "insert into studies (study_instance_uid, patient_alphabetic, patient_ideographic, patient_phonetic,
             patient_name_uncertain, patient_id, birth_date, sex, study_date, study_time, description,
             modalities, priority, generation, confirmed_generation, closed_at_ms, relay_update)
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17)
         on conflict (study_instance_uid) do update set modalities = excluded.modalities,
             priority = excluded.priority, generation = excluded.generation,
             confirmed_generation = excluded.confirmed_generation, closed_at_ms = excluded.closed_at_ms,
             relay_update = excluded.relay_update",
    )
    .bind(&study.study_instance_uid)
    .bind(&label.patient.alphabetic)
    .bind(&label.patient.ideographic)
    .bind(&label.patient.phonetic)
    .bind(label.patient.name_uncertain)
    .bind(&label.patient.patient_id)
    .bind(&label.patient.birth_date)
    .bind(&label.patient.sex)
    .bind(&label.study_date)
    .bind(&label.study_time)
    .bind(&label.description)
    .bind(label.modalities.join(","))
    .bind(study.priority as i64)
    .bind(signed(study.generation))
    .bind(signed(study.confirmed_generation))
    .bind(study.closed_at_ms)
    .bind(&study.relay_update)
    .execute(db)
    .await
    .map(drop)
}

/// Marks an object coded. Gives whether it was waiting for that.
pub async fn set_coded(db: &mut SqliteConnection, coded: &CodedObject) -> sqlx::Result<bool> {
    let done = sqlx::query(
        "update objects set state = 'coded', container_len = $2, container_sha256 = $3, head_end = $4
         where object_id = $1 and state = 'stored'",
    )
    .bind(coded.object_id.as_str())
    .bind(signed(coded.container_len))
    .bind(coded.container_sha256.as_slice())
    .bind(signed(coded.head_end))
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

/// Frees the held objects of a study for sending; gives how many and their bytes.
pub async fn release_held(db: &mut SqliteConnection, study: &str) -> sqlx::Result<()> {
    sqlx::query(
        "update objects set state = 'stored', reason = null where study_instance_uid = $1 and state = 'held'",
    )
    .bind(study)
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
             revision
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
            is_revision: row.try_get::<i64, _>(7)? > 1,
        })
    })
    .transpose()
}

/// Objects waiting for the coder, most urgent and oldest first.
pub async fn list_stored(db: &mut SqliteConnection, limit: usize) -> sqlx::Result<Vec<StoredObject>> {
    let rows = sqlx::query(
        "select object_id, folder, transfer_syntax, original_sha256, original_len
         from objects where state = 'stored' order by priority, seq limit $1",
    )
    .bind(limit as i64)
    .fetch_all(db)
    .await?;
    rows.into_iter()
        .map(|row| {
            Ok(StoredObject {
                object_id: object_id(&row, 0)?,
                folder: row.try_get(1)?,
                transfer_syntax: uid(row.try_get(2)?)?,
                original_sha256: digest(row.try_get(3)?)?,
                original_len: unsigned(row.try_get(4)?),
            })
        })
        .collect()
}

/// Coded objects without a receipt with their sequence numbers, most urgent and oldest first.
pub async fn list_outbound(db: &mut SqliteConnection, limit: usize) -> sqlx::Result<Vec<Queued>> {
    let rows = sqlx::query(
        "select seq, folder, object_id, study_instance_uid, series_instance_uid, sop_instance_uid, sop_class_uid,
             transfer_syntax, container_sha256, container_len, head_end, original_sha256, original_len,
             calling_ae, called_ae, priority, received_at_ms
         from objects where state = 'coded' order by priority, seq limit $1",
    )
    .bind(limit as i64)
    .fetch_all(db)
    .await?;
    rows.iter().map(outbound).collect()
}

/// One coded object.
pub async fn get_outbound(db: &mut SqliteConnection, id: &ObjectId) -> sqlx::Result<Option<Queued>> {
    let row = sqlx::query(
        "select seq, folder, object_id, study_instance_uid, series_instance_uid, sop_instance_uid, sop_class_uid,
             transfer_syntax, container_sha256, container_len, head_end, original_sha256, original_len,
             calling_ae, called_ae, priority, received_at_ms
         from objects where state = 'coded' and object_id = $1",
    )
    .bind(id.as_str())
    .fetch_optional(db)
    .await?;
    row.as_ref().map(outbound).transpose()
}

fn outbound(row: &SqliteRow) -> sqlx::Result<Queued> {
    Ok(Queued {
        seq: row.try_get(0)?,
        folder: row.try_get(1)?,
        object: OutboundObject {
            object_id: object_id(row, 2)?,
            study_instance_uid: uid(row.try_get(3)?)?,
            series_instance_uid: uid(row.try_get(4)?)?,
            sop_instance_uid: uid(row.try_get(5)?)?,
            sop_class_uid: uid(row.try_get(6)?)?,
            transfer_syntax: uid(row.try_get(7)?)?,
            container_sha256: digest(row.try_get(8)?)?,
            container_len: unsigned(row.try_get(9)?),
            head_end: unsigned(row.try_get(10)?),
            original_sha256: digest(row.try_get(11)?)?,
            original_len: unsigned(row.try_get(12)?),
            calling_ae: uid(row.try_get(13)?)?,
            called_ae: uid(row.try_get(14)?)?,
            priority: priority(row.try_get(15)?)?,
            received_at_ms: row.try_get(16)?,
        },
    })
}

/// State of an object, bytes of its data set and its container, and the reason of its state.
pub type ObjectStanding = (ObjectState, u64, u64, Option<String>);

/// State of each object, `None` for those that are not in the index; in the order of `ids`.
pub async fn list_states(
    db: &mut SqliteConnection,
    ids: &[ObjectId],
) -> sqlx::Result<Vec<Option<ObjectStanding>>> {
    let mut states = Vec::with_capacity(ids.len());
    for id in ids {
        let row = sqlx::query(
            "select state, original_len, coalesce(container_len, 0), reason from objects where object_id = $1",
        )
        .bind(id.as_str())
        .fetch_optional(&mut *db)
        .await?;
        let standing = row.map(|row| -> sqlx::Result<ObjectStanding> {
            let (original, container) = (row.try_get(1)?, row.try_get(2)?);
            Ok((
                object_state(&row, 0)?,
                unsigned(original),
                unsigned(container),
                row.try_get(3)?,
            ))
        });
        states.push(standing.transpose()?);
    }
    Ok(states)
}

/// Sums of all objects.
pub async fn sum_by_study(db: &mut SqliteConnection) -> sqlx::Result<Vec<StudySum>> {
    let rows = sqlx::query(
        "select study_instance_uid, state, count(*), sum(original_len), sum(coalesce(container_len, 0)),
             sum(revision > 1), min(received_at_ms), max(received_at_ms),
             sum(case when revision > 1 then original_len else 0 end)
         from objects group by study_instance_uid, state",
    )
    .fetch_all(db)
    .await?;
    rows.into_iter()
        .map(|row| {
            Ok(StudySum {
                study_instance_uid: row.try_get(0)?,
                state: object_state(&row, 1)?,
                n_objects: unsigned(row.try_get(2)?),
                original_len: unsigned(row.try_get(3)?),
                container_len: unsigned(row.try_get(4)?),
                n_revisions: unsigned(row.try_get(5)?),
                first_received_at_ms: row.try_get(6)?,
                last_received_at_ms: row.try_get(7)?,
                revision_len: unsigned(row.try_get(8)?),
            })
        })
        .collect()
}

/// All studies.
pub async fn list_studies(db: &mut SqliteConnection) -> sqlx::Result<Vec<StudyRow>> {
    let rows = sqlx::query(
        "select study_instance_uid, patient_alphabetic, patient_ideographic, patient_phonetic,
             patient_name_uncertain, patient_id, birth_date, sex, study_date, study_time, description,
             modalities, priority, generation, confirmed_generation, closed_at_ms, relay_update from studies",
    )
    .fetch_all(db)
    .await?;
    rows.iter().map(study_row).collect()
}

/// One study.
pub async fn find_study(db: &mut SqliteConnection, study: &str) -> sqlx::Result<Option<StudyRow>> {
    let row = sqlx::query(
        "select study_instance_uid, patient_alphabetic, patient_ideographic, patient_phonetic,
             patient_name_uncertain, patient_id, birth_date, sex, study_date, study_time, description,
             modalities, priority, generation, confirmed_generation, closed_at_ms, relay_update from studies
         where study_instance_uid = $1",
    )
    .bind(study)
    .fetch_optional(db)
    .await?;
    row.as_ref().map(study_row).transpose()
}

fn study_row(row: &SqliteRow) -> sqlx::Result<StudyRow> {
    let modalities: String = row.try_get(11)?;
    Ok(StudyRow {
        study_instance_uid: row.try_get(0)?,
        label: StudyLabel {
            patient: PatientLabel {
                alphabetic: row.try_get(1)?,
                ideographic: row.try_get(2)?,
                phonetic: row.try_get(3)?,
                name_uncertain: row.try_get(4)?,
                patient_id: row.try_get(5)?,
                birth_date: row.try_get(6)?,
                sex: row.try_get(7)?,
            },
            study_date: row.try_get(8)?,
            study_time: row.try_get(9)?,
            description: row.try_get(10)?,
            modalities: modalities
                .split(',')
                .filter(|m| !m.is_empty())
                .map(str::to_owned)
                .collect(),
        },
        priority: priority(row.try_get(12)?)?,
        generation: unsigned(row.try_get(13)?),
        confirmed_generation: unsigned(row.try_get(14)?),
        closed_at_ms: row.try_get(15)?,
        relay_update: row.try_get(16)?,
    })
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

/// Forgets studies and answered requests that have no objects left.
pub async fn delete_empty_studies(db: &mut SqliteConnection) -> sqlx::Result<Vec<String>> {
    let gone: Vec<String> = sqlx::query_scalar(
        "delete from studies where not exists
             (select 1 from objects where objects.study_instance_uid = studies.study_instance_uid)
         and not exists (select 1 from requests where requests.study_instance_uid = studies.study_instance_uid
             and requests.result is null)
         returning study_instance_uid",
    )
    .fetch_all(&mut *db)
    .await?;
    for study in &gone {
        sqlx::query("delete from requests where study_instance_uid = $1")
            .bind(study)
            .execute(&mut *db)
            .await?;
    }
    Ok(gone)
}

/// Adds a request form; the same command again changes nothing. Gives whether it is new.
pub async fn insert_request(
    db: &mut SqliteConnection,
    command_id: &CommandId,
    study: &str,
    form: &str,
    created_at_ms: i64,
) -> sqlx::Result<bool> {
    let done = sqlx::query(
        "insert into requests (command_id, study_instance_uid, form, created_at_ms) values ($1, $2, $3, $4)
         on conflict do nothing",
    )
    .bind(command_id.as_str())
    .bind(study)
    .bind(form)
    .bind(created_at_ms)
    .execute(db)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// Records the relay's answer to a form.
pub async fn set_request_result(
    db: &mut SqliteConnection,
    command_id: &CommandId,
    result: &str,
    answered_at_ms: i64,
) -> sqlx::Result<bool> {
    let done = sqlx::query("update requests set result = $2, answered_at_ms = $3 where command_id = $1")
        .bind(command_id.as_str())
        .bind(result)
        .bind(answered_at_ms)
        .execute(db)
        .await?;
    Ok(done.rows_affected() == 1)
}

/// All request forms, oldest first.
pub async fn list_requests(db: &mut SqliteConnection) -> sqlx::Result<Vec<RequestRow>> {
    let rows =
        sqlx::query("select form, result, answered_at_ms from requests order by created_at_ms, command_id")
            .fetch_all(db)
            .await?;
    rows.iter()
        .map(|row| {
            Ok(RequestRow {
                form: row.try_get(0)?,
                result: row.try_get(1)?,
                answered_at_ms: row.try_get(2)?,
            })
        })
        .collect()
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

fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

fn unsigned(number: i64) -> u64 {
    u64::try_from(number).unwrap_or(0)
}

fn malformed(what: &str) -> sqlx::Error {
    sqlx::Error::Protocol(format!("{what} in the index is malformed"))
}

fn uid<T: TryFrom<String>>(text: String) -> sqlx::Result<T> {
    T::try_from(text).map_err(|_| malformed("identifier"))
}

fn object_id(row: &SqliteRow, at: usize) -> sqlx::Result<ObjectId> {
    uid(row.try_get(at)?)
}

fn object_state(row: &SqliteRow, at: usize) -> sqlx::Result<ObjectState> {
    ObjectState::parse(row.try_get(at)?).ok_or_else(|| malformed("state"))
}

fn digest(bytes: Vec<u8>) -> sqlx::Result<[u8; 32]> {
    bytes.try_into().map_err(|_| malformed("digest"))
}

fn priority(number: i64) -> sqlx::Result<Priority> {
    match number {
        0 => Ok(Priority::Stat),
        1 => Ok(Priority::Urgent),
        2 => Ok(Priority::Routine),
        _ => Err(malformed("priority")),
    }
}
