//! The rules of Tancho: reading requests, findings, phone calls, critical results, access.
//!
//! Nothing here does I/O, reads a clock or draws random numbers; ids and instants are parameters.
//! Start at `reading.rs`, then `report.rs` and `call.rs`.

pub mod ids;
pub mod dicom;
pub mod access;
pub mod patient;
pub mod search_key;
pub mod reading;
pub mod report;
pub mod call;
pub mod critical_result;
pub mod disposition;
pub mod findings;
pub mod scores;
pub mod clinical_context;
pub mod turnaround;
pub mod case_code;
