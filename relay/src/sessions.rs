//! Logging in and out.
//!
//! An unknown login, a wrong password and a closed login give the same answer in the same time. Attempts are counted
//! before the password is looked at, so that many at once do not slip through. A signature asks for the password again.

pub mod dto;
pub mod limits;
pub mod service;
pub mod routes;
