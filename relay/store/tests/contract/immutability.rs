//! What is final stays: every trigger of both databases, met by someone with a connection of the relay's own.

use sqlx::AssertSqlSafe;
use tancho_store::Db;
use tancho_store::audit::{self, Actor, Entry};
use tancho_store::instances;
use tancho_store::reading;
use tancho_store::studies::{Origin, Relation, VerifiedInstance, verify_instance};

use crate::hospital::{Hospital, NOW_MS, id, request};

/// Tables whose rows are final, with a change that is refused.
const FINAL: [(&str, &str); 12] = [
    ("report_versions", "body = 'x'"),
    ("reading_events", "detail = 'x'"),
    ("acknowledgements", "remark = 'x'"),
    ("calls", "conversation = 'x'"),
    ("call_attempts", "failure_reason = 'x'"),
    ("call_addenda", "text = 'x'"),
    ("audit", "action = 'x'"),
    ("audit_heads", "seq = seq - 1"),
    ("reports", "id = 'x'"),
    ("critical_results", "closed_as = 'superseded'"),
    ("ladder_steps", "outcome = 'cancelled'"),
    ("instances", "original_sha256 = 'x'"),
];

/// A row in every table of [`FINAL`], each in the state in which it is final.
async fn fill(db: &Db) {
    let hospital = Hospital::new(db).await;
    let scope = hospital.network_scope();
    let mut tx = db.write().await.unwrap();
    let request = request(&hospital, 1, "4711");
    reading::open_reading_request(&mut tx, &scope, &request)
        .await
        .unwrap();
    let shown = instances::list_instances(&mut tx, &scope, &hospital.study_id, None, None);
    let instance_id = shown.await.unwrap().remove(0).id;
    let origin = Origin {
        network_id: hospital.network_id.clone(),
        site_id: hospital.site.clone(),
        node_id: id(8),
    };
    let verified = VerifiedInstance {
        instance_id: &instance_id,
        relation: Relation::First,
    };
    verify_instance(&mut tx, &origin, &verified, NOW_MS)
        .await
        .unwrap();
    let entry = Entry::by(Actor::Relay, "x", "y", "z");
    audit::append(&mut tx, &hospital.network_id, entry, NOW_MS)
        .await
        .unwrap();
    tx.commit().await.unwrap();

    let (network, site, reader) = (&hospital.network_id, &hospital.site, &hospital.reader);
    let request = &request.id;
    let rows = [
        format!("reports values ('r', '{network}', '{request}', 1, 'final', 1)"),
        format!(
            "report_versions values ('v', '{network}', 'r', 1, 'final', 1, '{reader}', 'n', 'none', '', '', '', '', \
             '', null, '', '')"
        ),
        format!("reading_events values ('{request}', 1, '{network}', 'k', 1, null, null, null, null, '')"),
        format!(
            "acknowledgements values ('r', 1, '{reader}', '{network}', 'n', '{site}', 'observe', null, 1)"
        ),
        format!(
            "calls values ('c', '{network}', '{request}', 1, 'closed', 'third_party', 'x', '{reader}', 'n', 1, 1, 1, \
             null, null, null, null, 1)"
        ),
        format!(
            "call_attempts values ('c', 1, '{network}', '1', 'phone', 'x', null, 1, 1, 'busy', null, null)"
        ),
        format!("call_addenda values ('c', 1, '{network}', 't', '', '{reader}', 'n', 1)"),
        format!(
            "critical_results values ('r', 1, '{network}', '{request}', 'none', 1, 1, 1, 'acknowledged', '{reader}')"
        ),
        format!("ladder_steps values ('r', 1, 1, '{network}', 'k', 50, 1, 'j', 1, 'taken', 1)"),
    ];
    for row in rows {
        run(db, &format!("insert into {row}")).await.unwrap();
    }
}

async fn run(db: &Db, text: &str) -> Result<u64, sqlx::Error> {
    let text = AssertSqlSafe(text.to_owned());
    Ok(match db {
        Db::Sqlite { writer, .. } => sqlx::query(text).execute(writer).await?.rows_affected(),
        Db::Postgres(pool) => sqlx::query(text).execute(pool).await?.rows_affected(),
    })
}

async fn names(db: &Db, text: &str) -> Vec<String> {
    let text = AssertSqlSafe(text.to_owned());
    let names: Vec<(String,)> = match db {
        Db::Sqlite { writer, .. } => sqlx::query_as(text).fetch_all(writer).await.unwrap(),
        Db::Postgres(pool) => sqlx::query_as(text).fetch_all(pool).await.unwrap(),
    };
    names.into_iter().map(|(name,)| name).collect()
}

/// Whether a trigger refused it, and not a key or a reference.
fn is_refused_by_trigger(ended: &Result<u64, sqlx::Error>) -> bool {
    match ended {
        Err(sqlx::Error::Database(error)) => matches!(error.code().as_deref(), Some("1811" | "P0001")),
        _ => false,
    }
}

on_both_databases! {
    async fn what_is_final_is_neither_changed_nor_removed(db: &Db) {
        fill(db).await;
        for (table, change) in FINAL {
            let updated = run(db, &format!("update {table} set {change}")).await;
            assert!(is_refused_by_trigger(&updated), "{table} update: {updated:?}");
            let deleted = run(db, &format!("delete from {table}")).await;
            assert!(is_refused_by_trigger(&deleted), "{table} delete: {deleted:?}");
            let emptied = match db {
                Db::Sqlite { .. } => run(db, &format!("insert or replace into {table} select * from {table}")).await,
                Db::Postgres(_) => run(db, &format!("truncate {table} cascade")).await,
            };
            assert!(is_refused_by_trigger(&emptied) || matches!(emptied, Ok(0)), "{table}: {emptied:?}");
            let left = names(db, &format!("select 'a row' from {table}")).await;
            assert_eq!(left.len(), 1, "{table}");
        }
    }

    /// A trigger that nobody tests would be one that nobody misses.
    async fn every_trigger_is_one_of_those_tested(db: &Db) {
        let (listed, third) = match db {
            Db::Sqlite { .. } => ("select name from sqlite_master where type = 'trigger'", "replace"),
            Db::Postgres(_) => ("select tgname::text from pg_trigger where not tgisinternal", "truncate"),
        };
        let mut found = names(db, listed).await;
        found.sort();
        let of_table = |table| ["update", "delete", third].map(|what| format!("{table}_no_{what}"));
        let mut expected: Vec<String> = FINAL.into_iter().flat_map(|(table, _)| of_table(table)).collect();
        expected.sort();
        assert_eq!(found, expected);
    }
}

#[tokio::test]
async fn every_table_of_sqlite_takes_values_of_its_declared_types_only() {
    let store = crate::harness::sqlite_store().await;
    fill(&store.db).await;
    let loose = "select name from pragma_table_list where schema = 'main' and type = 'table' and strict = 0 \
                 and name not like 'sqlite_%' and name not like '_sqlx_%'";
    assert_eq!(names(&store.db, loose).await, Vec::<String>::new());
    assert_eq!(
        names(&store.db, "select integrity_check from pragma_integrity_check").await,
        ["ok"]
    );
    let wrong = run(&store.db, "update reading_requests set requested_at_ms = 'soon'").await;
    assert!(wrong.is_err());
    store.db.close().await;
}
