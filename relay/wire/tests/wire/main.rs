//! The protocol as its peers see it: bytes on the line, hostile bytes, and two ends joined by a bad line.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking, in its helpers too")]

mod golden;
mod hostile;
mod offers;
mod order;
mod preview;
mod pace;
mod congestion;
mod conversation;
mod simulation;
