//! Notices to people: in the application at once, and by mail through the outbox. No notice holds patient data.
//!
//! Sent, delivered, read and acknowledged are different facts; see `tancho_store::notifications`.

pub mod dto;
pub mod service;
pub mod mail;
pub mod routes;
