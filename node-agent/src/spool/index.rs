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

use std::path::Path;

use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection, SqliteJournalMode, SqliteRow, SqliteSynchronous};
use sqlx::{ConnectOptions, Connection, Row};
use tancho_domain::dicom::Priority;
use tancho_domain::ids::ObjectId;

use super::studies::ObjectState;

pub use delivered::{
    InstanceSum, Numbering, forget_delivered, has_delivered, list_forgettable, number_after_delivered,
    remember_delivered, sum_delivered, sum_partly_delivered, take_over_delivered,
};
pub use held::{HeldRow, list_held, list_held_groups, set_held};
pub use line::{
    CodedObject, Queued, StoredObject, find_first_of_series, get_outbound, list_outbound, list_stored,
};
pub use objects::{
    NewObject, ObjectStanding, delete_object, find_object, find_same_bytes, forget_damaged_copy, has_object,
    has_other, insert_object, list_expired, list_states, newest_folder, set_coded, set_priority, set_state,
};
pub use quarantine::{
    QuarantineRow, dismiss_quarantine, insert_quarantine, list_quarantine, place_quarantine,
};
pub use requests::{insert_request, list_requests, set_request_result};
pub use studies::{StudyRow, delete_empty_studies, find_study, list_studies, put_study, sum_by_study};
pub use withheld::{list_withholding, sum_withheld};

/// A connection to the index.
pub type IndexDb = SqliteConnection;
/// What the index answers.
pub type IndexResult<T> = sqlx::Result<T>;
/// What the index fails with.
pub type IndexError = sqlx::Error;

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
    let missing = usize::try_from(version)
        .ok()
        .and_then(|version| SCHEMA_STEPS.get(version..));
    let Some(missing) = missing else {
        return Err(sqlx::Error::Protocol("index of a newer version".to_owned()));
    };
    if !missing.is_empty() {
        let mut tx = db.begin().await?;
        for step in missing {
            sqlx::raw_sql(*step).execute(&mut *tx).await?;
        }
        let done = format!("pragma user_version = {}", SCHEMA_STEPS.len());
        sqlx::raw_sql(sqlx::AssertSqlSafe(done)).execute(&mut *tx).await?;
        tx.commit().await?;
    }
    Ok((db, version == 0))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn an_index_of_version_1_gets_the_new_tables_and_one_of_the_future_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("index.sqlite3");
        let mut db = options(&path).create_if_missing(true).connect().await.unwrap();
        sqlx::raw_sql(SCHEMA).execute(&mut db).await.unwrap();
        sqlx::raw_sql("pragma user_version = 1; insert into quarantine values ('01890000-0000-7000-8000-000000000001', 'r', 1, 'CT', 2, null)")
            .execute(&mut db)
            .await
            .unwrap();
        db.close().await.unwrap();
        let (mut db, is_new) = open_writer(&path).await.unwrap();
        assert!(!is_new);
        assert_eq!(
            sum_delivered(&mut db, "1.2").await.unwrap(),
            InstanceSum::default()
        );
        let kept = list_quarantine(&mut db, 9).await.unwrap();
        assert_eq!((kept.len(), kept[0].study_instance_uid.as_deref()), (1, None));
        sqlx::raw_sql("pragma user_version = 1000")
            .execute(&mut db)
            .await
            .unwrap();
        db.close().await.unwrap();
        assert!(open_writer(&path).await.is_err());
    }
}
