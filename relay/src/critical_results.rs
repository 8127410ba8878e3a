//! The watch over a signed version until the requesting site has acknowledged it.
//!
//! Each step of the ladder (clinical.md 3.3 rule 6) is a timed outbox job that survives restarts; an acknowledgement
//! takes back the steps that have not run. There are no routes here: people meet the ladder as notices.

pub mod watch;
pub mod ladder;
