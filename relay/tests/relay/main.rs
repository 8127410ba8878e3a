//! The relay in process: its routes over a real socket, its command line, its jobs.
//!
//! Every test has a relay of its own on free ports in a temporary folder, with a clock that the test moves.

#![expect(clippy::unwrap_used, reason = "a test says by failing what was not so")]

mod harness;

mod access_matrix;
mod audit;
mod clinical;
mod command_line;
mod config;
mod deploy;
mod events;
mod headers;
mod decoding;
mod dictionaries;
mod ingest;
mod jobs;
mod line;
mod mail;
mod openapi;
mod ohif;
mod origin;
mod previews;
mod sessions;
mod writes;
