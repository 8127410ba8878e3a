//! The two schemas are one: same tables, same columns, same nullability, types that correspond.

use std::collections::BTreeMap;

use tancho_store::Db;

use crate::harness::{postgres_store, sqlite_store};

/// Type and whether a value is required, by table and column.
type Schema = BTreeMap<(String, String), (&'static str, bool)>;

fn common_type(name: &str) -> &'static str {
    match name.to_lowercase().as_str() {
        "integer" | "bigint" => "integer",
        "text" => "text",
        "blob" | "bytea" => "bytes",
        "real" | "double precision" => "real",
        other => panic!("a column type that is not one of ours: {other}"),
    }
}

async fn sqlite_schema() -> Schema {
    let store = sqlite_store().await;
    let Db::Sqlite { readers, .. } = &store.db else {
        panic!("SQLite asked for")
    };
    let rows: Vec<(String, String, String, i64, i64)> = sqlx::query_as(
        "select t.name, c.name, c.type, c.\"notnull\", c.pk from sqlite_master t, pragma_table_info(t.name) c \
         where t.type = 'table' and t.name not like 'sqlite_%' and t.name not like '_sqlx_%'",
    )
    .fetch_all(readers)
    .await
    .unwrap();
    // A primary key is required on both, whether or not SQLite was told so.
    rows.into_iter()
        .map(|(table, column, kind, required, key)| {
            ((table, column), (common_type(&kind), required + key > 0))
        })
        .collect()
}

async fn postgres_schema() -> Option<Schema> {
    let store = postgres_store().await?;
    let Db::Postgres(pool) = &store.db else {
        panic!("PostgreSQL asked for")
    };
    let rows: Vec<(String, String, String, String)> = sqlx::query_as(
        "select table_name::text, column_name::text, data_type::text, is_nullable::text \
         from information_schema.columns where table_schema = 'public' and table_name not like '\\_sqlx\\_%'",
    )
    .fetch_all(pool)
    .await
    .unwrap();
    let schema = rows
        .into_iter()
        .map(|(table, column, kind, nullable)| ((table, column), (common_type(&kind), nullable == "NO")))
        .collect();
    store.db.close().await;
    Some(schema)
}

#[tokio::test]
async fn the_schemas_are_the_same_on_both_databases() {
    let sqlite = sqlite_schema().await;
    let Some(postgres) = postgres_schema().await else {
        return;
    };
    let only = |one: &Schema, other: &Schema| -> Vec<String> {
        one.iter()
            .filter(|(column, about)| other.get(column) != Some(about))
            .map(|((table, column), about)| format!("{table}.{column} {about:?}"))
            .collect()
    };
    assert_eq!(
        only(&sqlite, &postgres),
        Vec::<String>::new(),
        "in SQLite, not so in PostgreSQL"
    );
    assert_eq!(
        only(&postgres, &sqlite),
        Vec::<String>::new(),
        "in PostgreSQL, not so in SQLite"
    );
    assert!(sqlite.len() > 50, "{} columns found", sqlite.len());
}

/// Migration files come in pairs with one name.
#[test]
fn every_migration_is_there_for_both_databases() {
    let names = |folder: &str| {
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("migrations")
            .join(folder);
        let mut names: Vec<_> = std::fs::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap().file_name())
            .collect();
        names.sort();
        names
    };
    assert_eq!(names("sqlite"), names("postgres"));
}
