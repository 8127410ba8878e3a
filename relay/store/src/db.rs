//! One store over two databases: SQLite on one machine, PostgreSQL when several relays share it.
//!
//! A read is `db.read()`, a write is `db.write()`; both give a [`Tx`] that every function of this crate takes.
//! A dropped `Tx` is rolled back, only [`Tx::commit`] keeps it. One transaction holds the state change, its audit
//! row and its outbox rows, or none of them:
//!
//! ```ignore
//! let mut tx = db.write().await?;
//! if let Begun::Repeated(answer) = commands::begin(&mut tx, &scope, &command, now_ms).await? {
//!     return Ok(answer);                                             // the same command again: the same answer
//! }
//! reading::claim_reading_request(&mut tx, &scope, &id, seen_version, &claim).await?;   // compare-and-set, else Stale
//! outbox::enqueue(&mut tx, &scope.network_id, NewJob { .. }, now_ms).await?;
//! commands::finish(&mut tx, &scope, &command.id, 200, &answer).await?;
//! audit::append(&mut tx, &scope.network_id, entry, now_ms).await?;  // last: it serialises the writers of a network
//! tx.commit().await?;
//! ```
//!
//! Hold a write only for statements, never across a network call or a file copy: SQLite has one writer.
//!
//! Statements are written once, with `$1`, and run through `execute!`, `fetch_all!`, `fetch_optional!` and
//! `fetch_one!` into tuples or `#[derive(sqlx::FromRow)]` structs (`#[sqlx(try_from = "String")]` on id fields).
//! What to keep in mind so that one text means the same on both:
//! - integers are `integer` in SQLite, `bigint` in PostgreSQL and `i64` here; text, `blob`/`bytea` as `Vec<u8>`,
//!   `real`/`double precision` as `f64`; no booleans, a nullable instant instead;
//! - `sum`, `case ... then 1`, literals: write `cast(... as bigint)`, PostgreSQL would answer another width;
//! - `count(*)`, `coalesce`, `on conflict`, `returning`, `like` over `lower()`, window functions are the same;
//!   two-argument `max`, row locks, arrays, JSON functions, `ilike` are not;
//! - a filter that may be absent: `($2 is null or site_id = $2)` bound to an `Option<&str>`.

use std::path::Path;
use std::time::Duration;

use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};
use sqlx::{Connection, PgConnection, PgPool, Postgres, Sqlite, SqliteConnection, SqlitePool, Transaction};

use crate::dialect;
use crate::error::StoreError;
use crate::search_keys;

/// Read connections of the SQLite store.
pub const SQLITE_READERS_MAX: u32 = 4;
/// Connections to PostgreSQL of one relay.
pub const POSTGRES_CONNECTIONS_MAX: u32 = 16;
/// Longest wait for a free connection or, in SQLite, for the write lock, before `Unavailable`.
pub const WAIT_MAX: Duration = Duration::from_secs(10);

static SQLITE_MIGRATIONS: sqlx::migrate::Migrator = sqlx::migrate!("./migrations/sqlite");
static POSTGRES_MIGRATIONS: sqlx::migrate::Migrator = sqlx::migrate!("./migrations/postgres");

/// An open store; cheap to clone.
#[derive(Debug, Clone)]
pub enum Db {
    /// One file, one process.
    Sqlite {
        /// The one connection that writes.
        writer: SqlitePool,
        /// Connections that cannot write.
        readers: SqlitePool,
    },
    /// A server shared by any number of relays.
    Postgres(PgPool),
}

/// A transaction on either database. Dropping it takes back everything done in it.
#[derive(Debug)]
pub enum Tx {
    /// On the SQLite file.
    Sqlite(Transaction<'static, Sqlite>),
    /// On the PostgreSQL server.
    Postgres(Transaction<'static, Postgres>),
}

/// The connection inside a [`Tx`], for the dispatch macro.
#[derive(Debug)]
pub enum Conn<'t> {
    /// Of the SQLite file.
    Sqlite(&'t mut SqliteConnection),
    /// Of the PostgreSQL server.
    Postgres(&'t mut PgConnection),
}

impl Db {
    /// Opens the store named by `url`: `sqlite:PATH` (made when missing) or `postgres://...`.
    ///
    /// Does not change the schema: see [`Db::migrate`]. Refuses an SQLite engine with a known corruption.
    pub async fn open(url: &str) -> Result<Self, StoreError> {
        match url.split_once(':') {
            Some(("sqlite", path)) => {
                Self::open_sqlite(Path::new(path.strip_prefix("//").unwrap_or(path))).await
            }
            Some(("postgres" | "postgresql", _)) => Self::open_postgres(url).await,
            _ => Err(StoreError::Unavailable(
                "database url expected: sqlite:PATH or postgres://...".to_owned(),
            )),
        }
    }

    async fn open_sqlite(path: &Path) -> Result<Self, StoreError> {
        let options = SqliteConnectOptions::new()
            .filename(path)
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full)
            .foreign_keys(true)
            // So that a row that another one replaces counts as removed.
            .pragma("recursive_triggers", "on")
            .busy_timeout(WAIT_MAX);
        let writer = SqlitePoolOptions::new()
            .max_connections(1)
            .acquire_timeout(WAIT_MAX)
            .connect_with(options.clone())
            .await?;
        let (version,): (String,) = sqlx::query_as("select sqlite_version()")
            .fetch_one(&writer)
            .await?;
        dialect::check_sqlite_version(&version)?;
        let readers = SqlitePoolOptions::new()
            .max_connections(SQLITE_READERS_MAX)
            .acquire_timeout(WAIT_MAX)
            .connect_with(options.create_if_missing(false).pragma("query_only", "on"))
            .await?;
        Ok(Self::Sqlite { writer, readers })
    }

    async fn open_postgres(url: &str) -> Result<Self, StoreError> {
        let options: PgConnectOptions = url.parse()?;
        let options = options
            .application_name("tancho-relay")
            .options(dialect::POSTGRES_SETTINGS);
        let pool = PgPoolOptions::new()
            .max_connections(POSTGRES_CONNECTIONS_MAX)
            .acquire_timeout(WAIT_MAX)
            .connect_with(options)
            .await?;
        Ok(Self::Postgres(pool))
    }

    /// Brings the schema up to this program's; each migration is one transaction. A store that a newer program
    /// has migrated is refused.
    pub async fn migrate(&self) -> Result<(), StoreError> {
        match self {
            Self::Sqlite { writer, .. } => SQLITE_MIGRATIONS.run(writer).await?,
            Self::Postgres(pool) => {
                // Not of the pool: a migration may take long, and waits for another relay's.
                let options = pool.connect_options().as_ref().clone();
                let options = options.options(dialect::POSTGRES_SETTINGS_OF_MIGRATIONS);
                let mut connection = PgConnection::connect_with(&options).await?;
                POSTGRES_MIGRATIONS.run(&mut connection).await?;
                connection.close().await?;
            }
        }
        // What a migration cannot work out in SQL.
        search_keys::fill_in(self).await
    }

    /// Starts a read that sees one moment of the store and cannot write.
    pub async fn read(&self) -> Result<Tx, StoreError> {
        Ok(match self {
            Self::Sqlite { readers, .. } => Tx::Sqlite(readers.begin().await?),
            Self::Postgres(pool) => Tx::Postgres(pool.begin_with(dialect::POSTGRES_BEGIN_READ).await?),
        })
    }

    /// Starts a write. In SQLite it waits for its turn: there is one writer.
    pub async fn write(&self) -> Result<Tx, StoreError> {
        Ok(match self {
            Self::Sqlite { writer, .. } => Tx::Sqlite(writer.begin_with(dialect::SQLITE_BEGIN_WRITE).await?),
            Self::Postgres(pool) => Tx::Postgres(pool.begin_with(dialect::POSTGRES_BEGIN_WRITE).await?),
        })
    }

    /// Waits for running transactions and closes the files or connections.
    pub async fn close(&self) {
        match self {
            Self::Sqlite { writer, readers } => {
                readers.close().await;
                writer.close().await;
            }
            Self::Postgres(pool) => pool.close().await,
        }
    }
}

impl Tx {
    /// Makes everything done in this transaction durable. After an error nothing of it is kept, except that a lost
    /// connection to PostgreSQL leaves it unknown; a repeated command finds out.
    pub async fn commit(self) -> Result<(), StoreError> {
        match self {
            Self::Sqlite(tx) => tx.commit().await?,
            Self::Postgres(tx) => tx.commit().await?,
        }
        Ok(())
    }

    /// The connection, for the macros of this module.
    pub fn conn(&mut self) -> Conn<'_> {
        match self {
            Self::Sqlite(tx) => Conn::Sqlite(tx),
            Self::Postgres(tx) => Conn::Postgres(tx),
        }
    }
}

/// Runs one expression on the connection of whichever database a [`Tx`] belongs to.
macro_rules! dispatch {
    ($tx:expr, $conn:ident => $run:expr) => {
        match $crate::db::Tx::conn($tx) {
            $crate::db::Conn::Sqlite($conn) => $run.await.map_err($crate::error::StoreError::from),
            $crate::db::Conn::Postgres($conn) => $run.await.map_err($crate::error::StoreError::from),
        }
    };
}

/// Runs a statement: `execute!(tx, "update ...", a, b)` gives the number of rows it touched.
macro_rules! execute {
    ($tx:expr, $text:expr $(, $bind:expr)* $(,)?) => {
        match $crate::db::Tx::conn($tx) {
            $crate::db::Conn::Sqlite(conn) => sqlx::query($text)$(.bind($bind))*.execute(conn).await
                .map(|done| done.rows_affected()).map_err($crate::error::StoreError::from),
            $crate::db::Conn::Postgres(conn) => sqlx::query($text)$(.bind($bind))*.execute(conn).await
                .map(|done| done.rows_affected()).map_err($crate::error::StoreError::from),
        }
    };
}

/// Reads every row: `fetch_all!(tx, Row, "select ...", a)` gives `Vec<Row>`.
macro_rules! fetch_all {
    ($tx:expr, $row:ty, $text:expr $(, $bind:expr)* $(,)?) => {
        dispatch!($tx, conn => sqlx::query_as::<_, $row>($text)$(.bind($bind))*.fetch_all(conn))
    };
}

/// Reads at most one row: gives `Option<Row>`.
macro_rules! fetch_optional {
    ($tx:expr, $row:ty, $text:expr $(, $bind:expr)* $(,)?) => {
        dispatch!($tx, conn => sqlx::query_as::<_, $row>($text)$(.bind($bind))*.fetch_optional(conn))
    };
}

/// Reads exactly one row; none is `NotFound`.
macro_rules! fetch_one {
    ($tx:expr, $row:ty, $text:expr $(, $bind:expr)* $(,)?) => {
        dispatch!($tx, conn => sqlx::query_as::<_, $row>($text)$(.bind($bind))*.fetch_one(conn))
    };
}
