//! Lossless High-Throughput JPEG 2000 (ITU-T T.814 with T.800), as DICOM's HTJ2K Lossless RPCL
//! (1.2.840.10008.1.2.4.202) asks: one tile, one tile-part per resolution, lengths in TLM.
//! It never loses a bit: what cannot be coded exactly is refused. `layout` says where samples lie,
//! `encode` writes, `decode` reads.

mod decode;
mod encode;
mod inverse_wavelet;
mod layout;
mod tables;
mod wavelet;

pub use decode::{DecodeError, Decoder, decode, decode_prefix};
pub use encode::{Codestream, EncodeError, Encoder, encode};
pub use layout::{ImageShape, ShapeError};
