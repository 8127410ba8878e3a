//! The HTTP side: router, what every request passes through, and the listener.
//!
//! A slice gives its routes as an `OpenApiRouter` and is merged in `http/router.rs`, one line per slice.
//! Handlers take [`caller::Caller`] (who is logged in), reads open `app.db.read()`, and writes take
//! [`write::Write`] (caller, command id and body in one), which makes them idempotent.

pub mod router;
pub mod caller;
pub mod write;
pub mod problem;
pub mod origin;
pub mod headers;
pub mod openapi;
pub mod docs;
pub mod health;
pub mod page;
pub mod ohif;
pub mod server;

/// The one type of axum that everything may use: refusals carry it.
pub use axum::http::StatusCode;
