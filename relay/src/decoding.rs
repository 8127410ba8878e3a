//! Decoding of what a peer sent, in processes of its own (`tancho-relay worker`).
//!
//! A decoder that fails, loops or takes too much memory ends its process and one answer, never the relay. `pool` keeps a few
//! workers warm and ends those that exceed their time, `protocol` is what both sides say, `worker` is the inside of such a
//! process, `sandbox` what is taken away from it, and `marks` the objects that ended two of them: those are never tried again.

mod marks;
mod pool;
mod protocol;
mod sandbox;
pub mod worker;

pub use pool::{DecodeFault, Decoders, Subject};
