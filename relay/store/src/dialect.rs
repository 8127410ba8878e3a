//! The few statements that must differ between SQLite and PostgreSQL, and the engine check.

use crate::error::StoreError;

/// Oldest SQLite engine that is accepted: 3.51.3 fixes a corruption when the write-ahead log is reset.
pub const SQLITE_VERSION_MIN: (u32, u32, u32) = (3, 51, 3);

/// Starts a write in SQLite: the write lock is taken now, so the transaction can never fail half way for want of it.
pub(crate) const SQLITE_BEGIN_WRITE: &str = "begin immediate";

/// Starts a read in PostgreSQL: all statements of one read see the same moment.
pub(crate) const POSTGRES_BEGIN_READ: &str = "begin isolation level repeatable read read only";

/// Starts a write in PostgreSQL: compare-and-set statements wait for each other and then see the newest row.
pub(crate) const POSTGRES_BEGIN_WRITE: &str = "begin isolation level read committed";

/// What every connection to PostgreSQL is set to, whatever the server's own settings are: a commit is on the disk when
/// it answers, and nothing waits or stands open without end.
pub(crate) const POSTGRES_SETTINGS: [(&str, &str); 4] = [
    ("synchronous_commit", "on"),
    ("lock_timeout", "10s"),
    ("statement_timeout", "60s"),
    ("idle_in_transaction_session_timeout", "30s"),
];

/// What differs for migrations.
pub(crate) const POSTGRES_SETTINGS_OF_MIGRATIONS: [(&str, &str); 2] =
    [("lock_timeout", "0"), ("statement_timeout", "0")];

/// Refuses an SQLite engine older than [`SQLITE_VERSION_MIN`]; `version` is what `sqlite_version()` answers.
pub fn check_sqlite_version(version: &str) -> Result<(), StoreError> {
    let mut parts = version.split('.').map(|part| part.parse::<u32>().unwrap_or(0));
    let mut next = || parts.next().unwrap_or(0);
    let found = (next(), next(), next());
    if found < SQLITE_VERSION_MIN {
        let (major, minor, patch) = SQLITE_VERSION_MIN;
        return Err(StoreError::Corrupt(format!(
            "SQLite engine {major}.{minor}.{patch} or newer expected, found {version}"
        )));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn engines_with_the_log_reset_defect_are_refused() {
        for old in ["3.51.2", "3.9.9", "2.99.99", "", "nonsense"] {
            assert!(check_sqlite_version(old).is_err(), "{old}");
        }
        for good in ["3.51.3", "3.52.0", "4.0.0"] {
            assert!(check_sqlite_version(good).is_ok(), "{good}");
        }
    }
}
