//! `tancho-agent`: takes studies from modalities by C-STORE, keeps them durably, and brings them to the relay.
//!
//! Reading order: `config` (what can be set), `dimse` (what modalities see), `spool` (what success means),
//! `deliver` (objects onward to a PACS), `uplink` (the line to the relay), `page` (what the technologist sees), `cli` (what an operator types).

pub mod clock;
mod durable;
pub mod config;
pub mod logging;
pub mod dimse;
pub mod conformance;
pub mod spool;
pub mod deliver;
pub mod link;
pub mod troubles;
pub mod uplink;
pub mod requests;
pub mod metrics;
pub mod page;
pub mod control;
pub mod agent;
pub mod statement;
pub mod cli;

pub use agent::{Agent, StartError, run};
