//! Nodes: the relay's own certificate authority, enrolment by one-time code, renewal, the deny-list.
//!
//! A node is whoever holds a key that `authority` has certified and the store knows; site and network follow from
//! that alone. Connections are served in `ingest`; here is who may make one.

pub mod authority;
pub mod dto;
pub mod routes;
pub mod service;
