//! The Unix socket in the data folder over which `tancho-agent send` and `status` talk to the running agent.
//!
//! Only the folder's owner can open it. A request is one JSON line; `send` then hands over objects as frames
//! of at most [`FRAME_BYTES_MAX`], so that neither side holds more than one frame.

pub mod message;
#[cfg(unix)]
mod server;
#[cfg(unix)]
mod client;

use std::path::{Path, PathBuf};

#[cfg(unix)]
pub use client::Client;
#[cfg(unix)]
pub use server::{ControlPort, Desk, serve};

/// Largest frame of object bytes.
pub const FRAME_BYTES_MAX: usize = 256 * 1024;
/// Longest JSON line.
pub const LINE_BYTES_MAX: usize = 16 * 1024 * 1024;

/// Where the socket is.
#[must_use]
pub fn socket_path(data_dir: &Path) -> PathBuf {
    data_dir.join("control.sock")
}
