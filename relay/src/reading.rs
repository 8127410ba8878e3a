//! Reading requests: opening them, completing, claiming, writing drafts, returning and withdrawing them.
//!
//! `service.rs` loads a request, lets `tancho_domain::reading` decide, and saves state, event and audit row in one
//! transaction; `stored.rs` turns rows into the domain's terms and back. `automatic.rs` opens requests for the ingest:
//! from a rule, or from a node's form. `evaluation.rs` says what a text is worth and whether it may be signed.

pub mod dto;
pub mod stored;
pub mod service;
pub mod opening;
pub mod automatic;
pub mod evaluation;
pub mod drafts;
pub mod detail;
pub mod routes;
