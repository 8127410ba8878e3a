//! What can go wrong in the store, by what the caller can do about it.
//!
//! Kinds come from the engine's error kind, never from constraint names: SQLite does not report them.
//! No message repeats a value of a row, since values may be patient data.

use sqlx::error::ErrorKind;
use tancho_domain::dicom::InvalidDicomId;
use tancho_domain::ids::InvalidId;

/// A failed read or write. The transaction it happened in has to be dropped.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// No such row, or none within the actor's reach; the two are not told apart.
    #[error("no such row within reach")]
    NotFound,
    /// A row with this identity exists already, or a row it refers to does not.
    #[error("the row conflicts with another one")]
    Conflict,
    /// The row is no longer in the state the caller saw; read again and decide again.
    #[error("the row has changed since it was read")]
    Stale,
    /// The database did not answer in time, is full, or asks for the transaction to be repeated.
    #[error("database unavailable: {0}")]
    Unavailable(String),
    /// What is stored, or was about to be, breaks a rule of the schema: a defect of the program or the disk.
    #[error("stored data is not what it must be: {0}")]
    Corrupt(String),
}

/// A write meant for one row reached it, or the refusal that says why there was none.
pub(crate) fn one_row(n_rows: u64, otherwise: StoreError) -> Result<(), StoreError> {
    if n_rows == 1 { Ok(()) } else { Err(otherwise) }
}

/// SQLite primary result codes (sqlite.org/rescode.html) that mean "not now": busy, locked, read-only, I/O, full,
/// cannot open.
const SQLITE_UNAVAILABLE: [u32; 6] = [5, 6, 8, 10, 13, 14];

/// PostgreSQL SQLSTATE classes and codes that mean "not now": connection, resources, operator intervention,
/// system error, the two that ask for a repeat (serialisation failure, deadlock), and time limits: of a lock, and of a
/// transaction that stood open.
const POSTGRES_UNAVAILABLE: [&str; 9] = [
    "08", "53", "57", "58", "40001", "40P01", "55P03", "25P03", "25P04",
];

/// What the triggers of SQLite say that refuse a row whose key is taken (migration 0004).
const EXISTS_ALREADY: &str = "the row exists already";

impl From<sqlx::Error> for StoreError {
    fn from(error: sqlx::Error) -> Self {
        match error {
            sqlx::Error::RowNotFound => Self::NotFound,
            sqlx::Error::Database(error) => match error.kind() {
                ErrorKind::UniqueViolation
                | ErrorKind::ForeignKeyViolation
                | ErrorKind::ExclusionViolation => Self::Conflict,
                _ if error.message() == EXISTS_ALREADY => Self::Conflict,
                ErrorKind::NotNullViolation => Self::Corrupt("a required column is missing".to_owned()),
                ErrorKind::CheckViolation => Self::Corrupt("a value breaks a check".to_owned()),
                _ => of_code(&error.code().unwrap_or_default()),
            },
            sqlx::Error::ColumnDecode { index, .. } => {
                Self::Corrupt(format!("column {index} cannot be read"))
            }
            sqlx::Error::ColumnNotFound(name) => Self::Corrupt(format!("column {name} is missing")),
            sqlx::Error::Decode(_) | sqlx::Error::Encode(_) | sqlx::Error::Protocol(_) => {
                Self::Corrupt("a value cannot be converted".to_owned())
            }
            sqlx::Error::PoolTimedOut => Self::Unavailable("no connection was free in time".to_owned()),
            sqlx::Error::PoolClosed => Self::Unavailable("the store is closed".to_owned()),
            sqlx::Error::Io(error) => Self::Unavailable(error.kind().to_string()),
            sqlx::Error::Migrate(error) => Self::Corrupt(error.to_string()),
            sqlx::Error::Configuration(_) => {
                Self::Unavailable("the database url is not understood".to_owned())
            }
            _ => Self::Unavailable("the database driver failed".to_owned()),
        }
    }
}

fn of_code(code: &str) -> StoreError {
    let sqlite_primary = code
        .parse::<u32>()
        .ok()
        .filter(|_| code.len() != 5)
        .map(|code| code & 0xff);
    let unavailable = match sqlite_primary {
        Some(primary) => SQLITE_UNAVAILABLE.contains(&primary),
        None => POSTGRES_UNAVAILABLE.iter().any(|prefix| code.starts_with(prefix)),
    };
    if unavailable {
        StoreError::Unavailable(format!("engine code {code}"))
    } else {
        StoreError::Corrupt(format!("engine code {code}"))
    }
}

impl From<sqlx::migrate::MigrateError> for StoreError {
    fn from(error: sqlx::migrate::MigrateError) -> Self {
        Self::Corrupt(format!("migration: {error}"))
    }
}

impl From<InvalidId> for StoreError {
    fn from(error: InvalidId) -> Self {
        Self::Corrupt(error.to_string())
    }
}

impl From<InvalidDicomId> for StoreError {
    fn from(error: InvalidDicomId) -> Self {
        Self::Corrupt(error.to_string())
    }
}

impl From<serde_json::Error> for StoreError {
    fn from(error: serde_json::Error) -> Self {
        Self::Corrupt(format!(
            "stored JSON, line {} column {}",
            error.line(),
            error.column()
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn engine_codes_that_mean_not_now_can_be_retried() {
        // 5 busy, 517 busy snapshot, 13 full, 3338 an I/O error; PostgreSQL: shutdown, deadlock, too many connections,
        // time limits of a statement, a lock and an open transaction.
        for code in [
            "5", "517", "13", "3338", "57P01", "40P01", "53300", "57014", "55P03", "25P03",
        ] {
            assert!(matches!(of_code(code), StoreError::Unavailable(_)), "{code}");
        }
        for code in ["1", "11", "26", "42601", "22P02", ""] {
            assert!(matches!(of_code(code), StoreError::Corrupt(_)), "{code}");
        }
    }
}
