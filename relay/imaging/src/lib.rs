//! DICOM bytes for Tancho: a bounded scanner, character sets, and the instance container.
//!
//! Nothing here trusts a peer: memory grows only with bytes that were received, nesting is walked with
//! an explicit stack, and bytes that were received are never rewritten. No sockets, no SQL, no clock.
//! Start with `scan` (what an object is), then `container` (how it travels and rests, `CONTAINER.md`).

pub mod limits;
pub mod element;
pub mod syntax;
pub mod text;
pub mod dictionary;
mod walk;
pub mod scan;
pub mod part10;
pub mod htj2k;
pub mod container;
mod elements;
pub mod metadata;
pub mod codec;
pub mod transcode;
pub mod render;
pub mod compare;
pub mod synthetic;
