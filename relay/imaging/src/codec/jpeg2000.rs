//! JPEG 2000 and High-Throughput JPEG 2000, lossless and lossy (ITU-T T.800, T.814): our own decoder for what it reads, and
//! OpenJPEG for all else.
//!
//! The main header is read here first, so that the library is only asked for images of the shape that is expected.

use jpeg2k::{DecodeParameters, Image};

use super::{CodecError, Colours, DecodedFrame, FrameFacts, FrameJob};
use crate::htj2k::{self, ImageShape};
use crate::scan::jpeg2000_codestream;
use crate::syntax::Codestream;

pub(super) fn decode(job: &FrameJob, frame: &[u8]) -> Result<DecodedFrame, CodecError> {
    let codestream = jpeg2000_codestream(frame).ok_or(CodecError::Malformed("no beginning"))?;
    let header = Header::read(codestream)?;
    let colours = colours(job, &header)?;
    let geometry = &job.geometry;
    let shape = geometry.shape();
    let is_expected = (header.width, header.height) == (shape.width, shape.height)
        && header.components == shape.components
        && header.precision <= geometry.bits_allocated
        && header.is_signed == shape.signed;
    if !is_expected {
        return Err(CodecError::OtherShape);
    }
    let stated = ImageShape {
        precision: header.precision,
        ..shape
    };
    let mut samples = Vec::new();
    let is_own = job.family == Codestream::Htj2k
        && stated.check().is_ok()
        && htj2k::decode(codestream, &stated, &mut samples).is_ok();
    if !is_own {
        samples = by_library(codestream, &header)?;
    }
    // Many coders state Bits Allocated as the precision; the samples still have Bits Stored.
    if header.precision > shape.precision {
        let range = shape.sample_range();
        if !samples.iter().all(|sample| range.contains(sample)) {
            return Err(CodecError::Malformed("samples of more bits than are stored"));
        }
    }
    let mut native = Vec::new();
    geometry.frame(&samples, &mut native);
    Ok(DecodedFrame {
        samples: native,
        facts: FrameFacts {
            colours,
            is_lossy: header.is_irreversible,
        },
    })
}

/// What header and codestream agree on (PS3.5 section 8.2.4); the decoder undoes the transformation of components.
fn colours(job: &FrameJob, header: &Header) -> Result<Colours, CodecError> {
    if job.geometry.samples_per_pixel == 1 {
        return Ok(Colours::AsStated);
    }
    match (
        job.photometric.trim(),
        header.is_transformed,
        header.is_irreversible,
    ) {
        ("RGB", ..) | ("YBR_FULL", false, _) => Ok(Colours::AsStated),
        ("YBR_RCT", true, false) | ("YBR_ICT", true, true) => Ok(Colours::Rgb),
        _ => Err(CodecError::UnsureColours),
    }
}

/// What the main header says (T.800 annexes A.5.1 and A.6.1).
struct Header {
    width: u32,
    height: u32,
    components: u8,
    precision: u8,
    is_signed: bool,
    /// The components were transformed together.
    is_transformed: bool,
    /// The wavelet loses.
    is_irreversible: bool,
}

impl Header {
    fn read(codestream: &[u8]) -> Result<Self, CodecError> {
        let u32_of = |bytes: &[u8], at: usize| -> Option<u32> {
            let bytes = bytes.get(at..at + 4)?;
            Some(u32::from_be_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]))
        };
        let mut at = 2;
        let mut size = None;
        loop {
            let [0xFF, marker, high, low] = *codestream.get(at..at + 4).ok_or(CodecError::Truncated)? else {
                return Err(CodecError::Malformed("no marker"));
            };
            let end = at + 2 + usize::from(u16::from_be_bytes([high, low]));
            let segment = codestream.get(at + 4..end).ok_or(CodecError::Truncated)?;
            at = end;
            match marker {
                0x51 => {
                    const BAD: CodecError = CodecError::Malformed("size of the image");
                    let sides =
                        |from: usize, to: usize| u32_of(segment, to)?.checked_sub(u32_of(segment, from)?);
                    let (width, height) = sides(10, 2).zip(sides(14, 6)).ok_or(BAD)?;
                    let components = segment.get(34..).ok_or(BAD)?;
                    let [0, n, components @ ..] = components else {
                        return Err(CodecError::OtherShape);
                    };
                    if components.len() != 3 * usize::from(*n) || *n == 0 {
                        return Err(BAD);
                    }
                    // All components are of one kind, and none is smaller.
                    let first = [components[0], 1, 1];
                    if components.chunks_exact(3).any(|one| one != first) {
                        return Err(CodecError::Unsupported("components of several kinds"));
                    }
                    size = Some((width, height, *n, components[0]));
                }
                0x52 => {
                    let (width, height, components, depth) =
                        size.ok_or(CodecError::Malformed("order of the main header"))?;
                    let [_, _, _, _, transform, _, _, _, _, wavelet, ..] = *segment else {
                        return Err(CodecError::Malformed("coding style"));
                    };
                    return Ok(Self {
                        width,
                        height,
                        components,
                        precision: (depth & 0x7F) + 1,
                        is_signed: depth & 0x80 != 0,
                        is_transformed: transform != 0,
                        is_irreversible: wavelet == 0,
                    });
                }
                0x90 | 0x93 | 0xD9 => return Err(CodecError::Malformed("no coding style")),
                _ => {}
            }
        }
    }
}

/// The samples by pixel.
fn by_library(codestream: &[u8], header: &Header) -> Result<Vec<i32>, CodecError> {
    let parameters = DecodeParameters::new().strict(true);
    let image = Image::from_bytes_with(codestream, parameters)
        .map_err(|_| CodecError::Malformed("the decoder of JPEG 2000 refuses it"))?;
    let components = image.components();
    let is_expected = components.len() == usize::from(header.components)
        && components.iter().all(|one| {
            (one.width(), one.height()) == (header.width, header.height)
                && one.precision() == u32::from(header.precision)
                && one.is_signed() == header.is_signed
        });
    if !is_expected {
        return Err(CodecError::OtherShape);
    }
    let n_pixels = header.width as usize * header.height as usize;
    let mut samples = vec![0; n_pixels * components.len()];
    for (at, component) in components.iter().enumerate() {
        let out = samples.iter_mut().skip(at).step_by(components.len());
        out.zip(component.data()).for_each(|(to, from)| *to = *from);
    }
    Ok(samples)
}
