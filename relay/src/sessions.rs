//! Logging in and out.
//!
//! An unknown login, a wrong password and a closed login give the same answer in the same time. Attempts are counted
//! before the password is looked at, so that many at once do not slip through.

pub mod dto;
pub mod service;
pub mod routes;
