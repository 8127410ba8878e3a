//! The library against real and hostile objects, and against pydicom as the oracle.
#![expect(clippy::unwrap_used, reason = "a test that fails here says where")]

mod data;
mod codecs;
mod container;
mod dictionary;
mod frames;
mod golden;
mod hostile;
mod metadata;
mod oracle;
mod real;
mod transcode;
