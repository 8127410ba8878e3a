//! The spool's index: the one place outside `tancho-store` that holds SQL. It can be rebuilt from the files.
//!
//! SQLite in WAL mode with synchronous FULL; one connection writes (see `commit`), others only read.

mod objects;
mod line;
mod studies;
mod requests;
mod quarantine;
mod delivered;
mod held;
mod withheld;
mod onward;

use std::path::Path;
use std::time::Duration;

use rusqlite::{Connection, OpenFlags, Params};
use tancho_domain::dicom::Priority;
use tancho_domain::ids::ObjectId;

use super::studies::ObjectState;

pub use delivered::{
    InstanceSum, Numbering, forget_delivered, has_delivered, list_forgettable, number_after_delivered,
    remember_delivered, sum_delivered, sum_partly_delivered, take_over_delivered,
};
pub use held::{HeldRow, list_held, list_held_groups, set_held};
pub use line::{
    CodedObject, Queued, StoredObject, find_first_of_series, find_stored, get_outbound, list_outbound,
    list_stored,
};
pub use objects::{
    NewObject, ObjectStanding, delete_object, find_object, find_same_bytes, forget_damaged_copy, has_object,
    has_other, insert_object, list_expired, list_states, newest_folder, set_coded, set_priority, set_state,
};
pub use onward::{find_onward, list_after, list_of_study};
pub use quarantine::{
    QuarantineRow, dismiss_quarantine, insert_quarantine, is_quarantined, list_quarantine, place_quarantine,
};
pub use requests::{insert_request, list_requests, set_request_result};
pub use studies::{StudyRow, delete_empty_studies, find_study, list_studies, put_study, sum_by_study};
pub use withheld::{list_withholding, sum_withheld};

/// A connection to the index.
pub type IndexDb = Connection;
/// A row of an answer.
type Row<'r> = rusqlite::Row<'r>;
/// What the index answers.
pub type IndexResult<T> = Result<T, IndexError>;

/// What the index fails with.
#[derive(Debug, thiserror::Error)]
pub enum IndexError {
    /// The database engine failed.
    #[error(transparent)]
    Engine(#[from] rusqlite::Error),
    /// A value is none that this program writes.
    #[error("{0} in the index is malformed")]
    Malformed(&'static str),
    /// The file does not pass the engine's own check.
    #[error("the index fails its own check")]
    Damaged,
    /// A newer program wrote it.
    #[error("the index is of a newer version")]
    TooNew,
}

impl IndexError {
    /// Whether the index itself is at fault, as against the disk or the system around it.
    pub fn is_of_the_file(&self) -> bool {
        use rusqlite::ErrorCode::{DatabaseCorrupt, NotADatabase, SchemaChanged, TypeMismatch, Unknown};
        match self {
            Self::Malformed(_) | Self::Damaged | Self::TooNew => true,
            Self::Engine(error) => match error.sqlite_error_code() {
                Some(code) => matches!(
                    code,
                    DatabaseCorrupt | NotADatabase | SchemaChanged | TypeMismatch | Unknown
                ),
                None => true,
            },
        }
    }
}

impl From<rusqlite::types::FromSqlError> for IndexError {
    fn from(error: rusqlite::types::FromSqlError) -> Self {
        Self::Engine(error.into())
    }
}

/// Each step makes the tables of one version from those of the version before. An index that is newer than this
/// program is rebuilt from the files.
const SCHEMA_STEPS: [&str; 7] = [
    SCHEMA,
    delivered::SCHEMA,
    held::SCHEMA,
    line::SCHEMA,
    quarantine::SCHEMA,
    withheld::SCHEMA,
    studies::SCHEMA,
];

/// The file's application id once a rebuild has come to its end: one that was interrupted begins again.
const TAKEN_IN: i64 = 0x7A6E_6368;

/// Tables of version 1.
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

/// Statements a connection keeps prepared.
const STATEMENTS_KEPT: usize = 64;
/// How long a statement waits for another connection's lock.
const BUSY_TIMEOUT: Duration = Duration::from_secs(10);

fn connect(path: &Path, flags: OpenFlags) -> IndexResult<IndexDb> {
    let db = Connection::open_with_flags(path, flags | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
    db.busy_timeout(BUSY_TIMEOUT)?;
    db.set_prepared_statement_cache_capacity(STATEMENTS_KEPT);
    Ok(db)
}

/// Opens the index for writing, creating its tables when it is new. An index that does not pass its own
/// check is an error: the caller keeps it aside and rebuilds. Says whether the folders must be taken in, because nobody
/// noted that they were (see [`note_taken_in`]).
pub fn open_writer(path: &Path) -> IndexResult<(IndexDb, bool)> {
    let db = connect(
        path,
        OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE,
    )?;
    db.pragma_update(None, "journal_mode", "wal")?;
    db.pragma_update(None, "synchronous", "full")?;
    let check: String = one(&db, "pragma quick_check(1)", [], |row| Ok(row.get(0)?))?;
    if check != "ok" {
        return Err(IndexError::Damaged);
    }
    let version: i64 = one(&db, "pragma user_version", [], |row| Ok(row.get(0)?))?;
    let missing = usize::try_from(version)
        .ok()
        .and_then(|version| SCHEMA_STEPS.get(version..))
        .ok_or(IndexError::TooNew)?;
    if !missing.is_empty() {
        let tx = db.unchecked_transaction()?;
        for step in missing {
            tx.execute_batch(step)?;
        }
        tx.pragma_update(None, "user_version", SCHEMA_STEPS.len() as i64)?;
        tx.commit()?;
    }
    let taken_in: i64 = one(&db, "pragma application_id", [], |row| Ok(row.get(0)?))?;
    Ok((db, taken_in != TAKEN_IN))
}

/// Notes that everything in the spool's folders is in the index: from now on a start looks at the newest folder only.
pub fn note_taken_in(db: &IndexDb) -> IndexResult<()> {
    Ok(db.pragma_update(None, "application_id", TAKEN_IN)?)
}

/// Opens the index for reading.
pub fn open_reader(path: &Path) -> IndexResult<IndexDb> {
    connect(path, OpenFlags::SQLITE_OPEN_READ_ONLY)
}

/// Ends the writer's connection. The write-ahead log is emptied first, so that the next start need not replay
/// it and the index file is whole by itself.
pub fn close(db: IndexDb) {
    if let Err(error) = db.execute_batch("pragma wal_checkpoint(truncate)") {
        tracing::warn!(%error, "the index did not close cleanly; it is recovered at the next start");
    }
    db.close().ok();
}

/// Begins the writer's transaction.
pub fn begin(db: &IndexDb) -> IndexResult<()> {
    execute(db, "begin immediate", []).map(drop)
}

/// Commits it: durable when this returns.
pub fn commit(db: &IndexDb) -> IndexResult<()> {
    execute(db, "commit", []).map(drop)
}

/// Drops it.
pub fn rollback(db: &IndexDb) -> IndexResult<()> {
    execute(db, "rollback", []).map(drop)
}

/// Runs a statement; gives the rows it changed.
fn execute(db: &IndexDb, sql: &str, params: impl Params) -> IndexResult<u64> {
    Ok(db.prepare_cached(sql)?.execute(params)? as u64)
}

/// The first row of an answer, if it has one.
fn find<T>(
    db: &IndexDb,
    sql: &str,
    params: impl Params,
    read: impl FnOnce(&Row<'_>) -> IndexResult<T>,
) -> IndexResult<Option<T>> {
    let mut statement = db.prepare_cached(sql)?;
    let mut rows = statement.query(params)?;
    let found = rows.next()?.map(read).transpose()?;
    // A statement that changes rows and returns them is done when it was walked to its end.
    while rows.next()?.is_some() {}
    Ok(found)
}

/// The first row of an answer that always has one.
fn one<T>(
    db: &IndexDb,
    sql: &str,
    params: impl Params,
    read: impl FnOnce(&Row<'_>) -> IndexResult<T>,
) -> IndexResult<T> {
    find(db, sql, params, read)?.ok_or(IndexError::Engine(rusqlite::Error::QueryReturnedNoRows))
}

/// All rows of an answer.
fn list<T>(
    db: &IndexDb,
    sql: &str,
    params: impl Params,
    mut read: impl FnMut(&Row<'_>) -> IndexResult<T>,
) -> IndexResult<Vec<T>> {
    let mut statement = db.prepare_cached(sql)?;
    let mut rows = statement.query(params)?;
    let mut all = Vec::new();
    while let Some(row) = rows.next()? {
        all.push(read(row)?);
    }
    Ok(all)
}

fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

fn unsigned(number: i64) -> u64 {
    u64::try_from(number).unwrap_or(0)
}

fn uid<T: TryFrom<String>>(text: String) -> IndexResult<T> {
    T::try_from(text).map_err(|_| IndexError::Malformed("identifier"))
}

fn object_id(row: &Row<'_>, at: usize) -> IndexResult<ObjectId> {
    uid(row.get(at)?)
}

fn object_state(row: &Row<'_>, at: usize) -> IndexResult<ObjectState> {
    ObjectState::parse(row.get_ref(at)?.as_str()?).ok_or_else(|| IndexError::Malformed("state"))
}

fn digest(bytes: Vec<u8>) -> IndexResult<[u8; 32]> {
    bytes.try_into().map_err(|_| IndexError::Malformed("digest"))
}

fn priority(number: i64) -> IndexResult<Priority> {
    match number {
        0 => Ok(Priority::Stat),
        1 => Ok(Priority::Urgent),
        2 => Ok(Priority::Routine),
        _ => Err(IndexError::Malformed("priority")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_index_of_version_1_gets_the_new_tables_and_one_of_the_future_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("index.sqlite3");
        let db = Connection::open(&path).unwrap();
        db.execute_batch(SCHEMA).unwrap();
        db.execute_batch("pragma user_version = 1; insert into quarantine values ('01890000-0000-7000-8000-000000000001', 'r', 1, 'CT', 2, null)")
            .unwrap();
        drop(db);
        let (db, must_rebuild) = open_writer(&path).unwrap();
        assert!(must_rebuild, "nothing says that the folders were taken in");
        assert_eq!(sum_delivered(&db, "1.2").unwrap(), InstanceSum::default());
        let kept = list_quarantine(&db, 9).unwrap();
        assert_eq!((kept.len(), kept[0].study_instance_uid.as_deref()), (1, None));
        db.execute_batch("pragma user_version = 1000").unwrap();
        drop(db);
        assert!(matches!(open_writer(&path), Err(IndexError::TooNew)));
    }
}
