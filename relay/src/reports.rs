//! Signing, addenda, reading a report, and acknowledging it.
//!
//! A signed version never changes. Signing stores the version, its watch and the notices in one transaction.

pub mod dto;
pub mod service;
pub mod signing;
pub mod routes;
