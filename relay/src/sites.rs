//! The sites of a network: made by an administrator, on the command line or over HTTP.

pub mod dto;
pub mod service;
pub mod routes;
