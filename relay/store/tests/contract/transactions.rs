//! What a transaction promises, on both databases.

use tancho_store::sites::SiteKind;
use tancho_store::{Db, StoreError, sites};

use crate::harness::{network, site, small_network, sqlite_store, whole};

on_both_databases! {
    async fn a_dropped_transaction_leaves_nothing(db: &Db) {
        let (network, centre, _) = small_network(db).await;
        let mut tx = db.write().await.unwrap();
        site(&mut tx, &network, "OTHER", SiteKind::Both).await;
        drop(tx);
        let mut tx = db.read().await.unwrap();
        assert_eq!(sites::list_sites(&mut tx, &whole(&network)).await.unwrap(), [centre]);
    }

    async fn a_read_sees_one_moment(db: &Db) {
        let (network_, centre, _) = small_network(db).await;
        let mut reading = db.read().await.unwrap();
        let seen = sites::list_sites(&mut reading, &whole(&network_)).await.unwrap();
        assert_eq!(seen, std::slice::from_ref(&centre));
        let mut tx = db.write().await.unwrap();
        site(&mut tx, &network_, "LATER", SiteKind::Both).await;
        tx.commit().await.unwrap();
        assert_eq!(sites::list_sites(&mut reading, &whole(&network_)).await.unwrap(), [centre]);
    }

    async fn a_read_cannot_write(db: &Db) {
        let (network_, _, _) = small_network(db).await;
        let mut tx = db.read().await.unwrap();
        let text = "update networks set name = name";
        let refused = match &mut tx {
            tancho_store::Tx::Sqlite(tx) => sqlx::query(text).execute(&mut **tx).await.map(|_| ()),
            tancho_store::Tx::Postgres(tx) => sqlx::query(text).execute(&mut **tx).await.map(|_| ()),
        };
        assert!(refused.is_err(), "{}", network_.name);
    }

    async fn a_second_migration_changes_nothing(db: &Db) {
        small_network(db).await;
        db.migrate().await.unwrap();
        let mut tx = db.write().await.unwrap();
        network(&mut tx, "default").await;
    }
}

#[tokio::test]
async fn a_store_of_a_newer_version_is_refused() {
    let store = sqlite_store().await;
    let Db::Sqlite { writer, .. } = &store.db else {
        panic!("SQLite asked for")
    };
    let text = "insert into _sqlx_migrations (version, description, success, checksum, execution_time) \
                values (9999, 'from the future', 1, x'00', 0)";
    sqlx::query(text).execute(writer).await.unwrap();
    let refused = store.db.migrate().await;
    assert!(matches!(refused, Err(StoreError::Corrupt(_))), "{refused:?}");
}

#[tokio::test]
async fn sqlite_is_opened_with_full_durability() {
    let store = sqlite_store().await;
    let Db::Sqlite { writer, .. } = &store.db else {
        panic!("SQLite asked for")
    };
    let (journal,): (String,) = sqlx::query_as("pragma journal_mode")
        .fetch_one(writer)
        .await
        .unwrap();
    let (synchronous,): (i64,) = sqlx::query_as("pragma synchronous")
        .fetch_one(writer)
        .await
        .unwrap();
    let (foreign_keys,): (i64,) = sqlx::query_as("pragma foreign_keys")
        .fetch_one(writer)
        .await
        .unwrap();
    assert_eq!((journal.as_str(), synchronous, foreign_keys), ("wal", 2, 1));
}

#[tokio::test]
async fn urls_of_other_databases_are_refused() {
    for url in ["mysql://x", "tancho.sqlite", ""] {
        assert!(
            matches!(Db::open(url).await, Err(StoreError::Unavailable(_))),
            "{url}"
        );
    }
}

/// Whatever the server is set to: a commit is durable, and nothing waits without end.
#[tokio::test]
async fn connections_to_postgresql_set_what_durability_and_waiting_depend_on() {
    let Some(store) = crate::harness::postgres_store().await else {
        return;
    };
    let Db::Postgres(pool) = &store.db else {
        panic!("PostgreSQL asked for")
    };
    let settings: Vec<(String, String)> = sqlx::query_as(
        "select name, setting from pg_settings where name in ('synchronous_commit', 'lock_timeout', \
         'statement_timeout', 'idle_in_transaction_session_timeout') order by name",
    )
    .fetch_all(pool)
    .await
    .unwrap();
    let settings: Vec<(&str, &str)> = settings
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_str()))
        .collect();
    let expected = [
        ("idle_in_transaction_session_timeout", "30000"),
        ("lock_timeout", "10000"),
        ("statement_timeout", "60000"),
        ("synchronous_commit", "on"),
    ];
    assert_eq!(settings, expected);
    store.db.close().await;
}
