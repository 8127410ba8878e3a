//! The people of a network: made, closed and given passwords by an administrator.

pub mod dto;
pub mod service;
pub mod routes;
