//! The watch over a signed version until the requesting site has acknowledged it.
//!
//! Each step of the ladder (clinical.md 3.3 rule 6) is a timed outbox job that survives restarts; an acknowledgement
//! takes back the steps that have not run. Who was told meets the ladder as notices; whoever answers for the network
//! sees here what is still open.

pub mod dto;
pub mod watch;
pub mod ladder;
pub mod service;
pub mod routes;
