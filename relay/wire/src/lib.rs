//! The agent-relay protocol, bytes only: frames, the handshake, and the state machines of both ends.
//!
//! Nothing here opens a socket, reads a clock or touches a file; instants are parameters, bytes come in and
//! go out. `congestion.rs` decides how fast, for quinn. `PROTOCOL.md` beside this crate describes the same protocol for someone writing another agent.
//! Start at `frame.rs`, then `transfer.rs`.

pub mod limits;
pub mod digest;
pub mod close;
pub mod frame;
pub mod handshake;
pub mod enrollment;
pub mod transfer;
pub mod congestion;
mod field;

pub use close::{CloseCode, Violation};
pub use digest::Digest;
pub use frame::Frame;
