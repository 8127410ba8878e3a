//! The reading worklist: every reading request within reach, most urgent and longest waiting first.
//!
//! A line is the summary that the detail of a request begins with as well; `dto::summary_of` is the one place that
//! makes it.

pub mod dto;
pub mod service;
pub mod routes;
