//! Every public function of the store, on SQLite and on PostgreSQL.
//!
//! A test is written once inside `on_both_databases!` and runs twice, each time on an empty, migrated store.
//! The PostgreSQL server is started by the tests themselves, see `harness/postgres.rs`.

#![expect(clippy::unwrap_used, reason = "a test says by failing what was not so")]

#[macro_use]
mod harness;

mod audit;
mod clinical;
mod commands;
mod hospital;
mod immutability;
mod instances;
mod networks_sites_users;
mod nodes;
mod outbox;
mod reading;
mod schema;
mod sessions_tokens;
mod studies;
mod transactions;
