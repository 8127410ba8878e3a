//! The agent against real and hostile peers over loopback, killed at every step of the spool, and as a program.

#![expect(
    clippy::unwrap_used,
    reason = "a failed expectation ends the test, helpers included"
)]

mod support;
mod peer;
mod receiver;
mod intake;
mod retention;
mod deliveries;
mod queries;
mod attention;
mod line;
mod hostile_peer;
mod hostile_objects;
mod recovery;
mod command_line;
