//! The rules of Tancho: reading requests, findings, phone calls, critical results, access.
//!
//! Nothing here does I/O, reads a clock or draws random numbers; ids and instants are parameters.
//! Start at `reading.rs`, then `report.rs` and `call.rs`.

pub mod ids;
pub mod dicom;
pub mod access;
pub mod scores;
pub mod findings;
