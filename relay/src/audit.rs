//! The audit trail, to read and to check. Rows are written by `tancho_store::audit` where things happen.

pub mod routes;
pub mod checkpoints;
