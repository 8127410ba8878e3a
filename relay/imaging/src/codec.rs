//! Frames of encapsulated pixel data, from a peer's codestream to native samples (PS3.5 section 8.2 and annex G).
//!
//! The relay runs this in a process of its own that may die: a codestream is a peer's. Still nothing here takes memory
//! that the object's header does not ask for, what ends too early is refused and not shown in part, and colours are given
//! only where header and codestream agree on them.

mod jpeg;
mod jpeg2000;
mod jpeg_ls;
mod rle;

use serde::{Deserialize, Serialize};

use crate::container::FrameGeometry;
use crate::syntax::Codestream;

/// A frame that is to be decoded: what the object's header says of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FrameJob {
    /// The family of its codestream.
    pub family: Codestream,
    /// Its samples once decoded; never planar.
    pub geometry: FrameGeometry,
    /// Photometric Interpretation (0028,0004).
    pub photometric: String,
}

/// What the samples of a decoded frame mean.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Colours {
    /// What the header says: greys, indices of a palette, or the colours it names.
    AsStated,
    /// Red, green and blue: the decoder has undone a colour transformation.
    Rgb,
    /// Luminance and colour differences, one of each for each pixel.
    YbrFull,
}

impl Colours {
    /// The Photometric Interpretation of decoded frames of an object that says `stated`.
    #[must_use]
    pub fn photometric(self, stated: &str) -> &str {
        match self {
            Self::AsStated => stated,
            Self::Rgb => "RGB",
            Self::YbrFull => "YBR_FULL",
        }
    }
}

/// What is known of a frame besides its samples.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct FrameFacts {
    /// What the samples mean.
    pub colours: Colours,
    /// The codestream was made in a way that loses.
    pub is_lossy: bool,
}

/// A frame in native little endian samples, by pixel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DecodedFrame {
    /// As many bytes as the geometry says.
    pub samples: Vec<u8>,
    /// What they mean.
    pub facts: FrameFacts,
}

/// Why a codestream gave no frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CodecError {
    /// It holds an image of another shape than the header's.
    #[error("the codestream holds an image of another shape than expected")]
    OtherShape,
    /// It ends too early.
    #[error("the codestream ends too early")]
    Truncated,
    /// It may be right but uses what is not read here.
    #[error("the codestream uses what is not supported: {0}")]
    Unsupported(&'static str),
    /// It is wrong.
    #[error("the codestream is malformed: {0}")]
    Malformed(&'static str),
    /// Nothing makes sure which colours it holds.
    #[error("header and codestream do not agree on the colours")]
    UnsureColours,
}

/// Whether frames of this family can be decoded.
#[must_use]
pub fn is_decodable(family: Codestream) -> bool {
    matches!(
        family,
        Codestream::Jpeg | Codestream::JpegLs | Codestream::Jpeg2000 | Codestream::Htj2k | Codestream::Rle
    )
}

/// Decodes one frame.
///
/// # Errors
/// Unless the codestream is whole and holds what the job says.
pub fn decode(job: &FrameJob, codestream: &[u8]) -> Result<DecodedFrame, CodecError> {
    let geometry = &job.geometry;
    if !geometry.is_codable() || geometry.is_planar {
        return Err(CodecError::OtherShape);
    }
    match job.family {
        Codestream::Rle => rle::decode(job, codestream),
        Codestream::Jpeg => jpeg::decode(job, codestream),
        Codestream::JpegLs => jpeg_ls::decode(job, codestream),
        Codestream::Jpeg2000 | Codestream::Htj2k => jpeg2000::decode(job, codestream),
        _ => Err(CodecError::Unsupported("codestreams of this family")),
    }
}

/// The frame of unsigned samples that were coded with `precision` bits each. Coders that take whole words state Bits
/// Allocated as the precision, and the words come back as they were; else the samples are Bits Stored wide, and those of
/// signed ones lack the sign above.
fn unsigned_words(geometry: &FrameGeometry, samples: &[u16], precision: u8) -> Result<Vec<u8>, CodecError> {
    if precision > geometry.bits_allocated {
        return Err(CodecError::OtherShape);
    }
    let is_whole_words = precision == geometry.bits_allocated;
    if !is_whole_words && geometry.high_bit + 1 != geometry.bits_stored {
        return Err(CodecError::Unsupported(
            "samples that do not begin at the lowest bit",
        ));
    }
    if !is_whole_words && geometry.is_signed && precision < geometry.bits_stored {
        return Err(CodecError::Unsupported(
            "signed samples of fewer bits than are stored",
        ));
    }
    let up = 16 - u32::from(precision);
    let word = |sample: u16| {
        if geometry.is_signed {
            ((sample << up).cast_signed() >> up).cast_unsigned()
        } else {
            sample
        }
    };
    Ok(if geometry.bits_allocated == 8 {
        samples.iter().map(|sample| word(*sample) as u8).collect()
    } else {
        samples
            .iter()
            .flat_map(|sample| word(*sample).to_le_bytes())
            .collect()
    })
}

/// The colours of a codestream that has no colour transformation of its own.
fn stated_colours(job: &FrameJob) -> Result<Colours, CodecError> {
    match (job.geometry.samples_per_pixel, job.photometric.trim()) {
        (1, _) | (3, "RGB" | "YBR_FULL") => Ok(Colours::AsStated),
        _ => Err(CodecError::UnsureColours),
    }
}
