//! Everything the relay remembers besides instance files: all SQL of the product, for SQLite and PostgreSQL.
//!
//! Start at `db.rs`: it says how a read and a write are made and shows one write in full.
//! Every function takes an open [`db::Tx`] and the actor's `Scope`, says in its name what it does, and never
//! commits: the caller decides what belongs into one transaction.

#[macro_use]
pub mod db;
pub mod error;
pub mod dialect;
pub mod networks;
pub mod sites;
pub mod users;
pub mod sessions;
pub mod tokens;
pub mod nodes;
pub mod studies;
pub mod instances;
pub mod search_keys;
pub mod reading;
pub mod worklist;
pub mod calls;
pub mod reports;
pub mod critical_results;
pub mod notifications;
pub mod audit;
pub mod outbox;
pub mod commands;

pub use db::{Db, Tx};
pub use error::StoreError;
