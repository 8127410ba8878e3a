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
    // Every packet has a byte or more.
    if header
        .style
        .as_ref()
        .is_some_and(|style| style.n_packets(&shape) > codestream.len() as u64)
    {
        return Err(CodecError::Truncated);
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
    // Many coders state Bits Allocated as the precision; the samples still have Bits Stored, but where they begin at the
    // lowest bit only it is known that they are no whole words.
    if header.precision > shape.precision && geometry.high_bit + 1 != geometry.bits_stored {
        return Err(CodecError::Unsupported(
            "samples that do not begin at the lowest bit",
        ));
    }
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
    /// The coding style, where it is that of every component.
    style: Option<Style>,
}

impl Header {
    fn read(codestream: &[u8]) -> Result<Self, CodecError> {
        let u32_of = |bytes: &[u8], at: usize| -> Option<u32> {
            let bytes = bytes.get(at..at + 4)?;
            Some(u32::from_be_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]))
        };
        let mut at = 2;
        let mut size = None;
        let mut style: Option<Style> = None;
        let mut is_one_style = true;
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
                    style = Some(Style::read(segment).ok_or(CodecError::Malformed("coding style"))?);
                }
                // A component may have a style of its own.
                0x53 => is_one_style = false,
                0x90 | 0x93 | 0xD9 => break,
                _ => {}
            }
        }
        let (size, style) = size
            .zip(style)
            .ok_or(CodecError::Malformed("incomplete main header"))?;
        let (width, height, components, depth) = size;
        Ok(Self {
            width,
            height,
            components,
            precision: (depth & 0x7F) + 1,
            is_signed: depth & 0x80 != 0,
            is_transformed: style.is_transformed,
            is_irreversible: style.is_irreversible,
            style: is_one_style.then_some(style),
        })
    }
}

/// The coding style of all components (T.800 section A.6.1).
struct Style {
    layers: u16,
    is_transformed: bool,
    is_irreversible: bool,
    /// For each resolution from the lowest, the exponents of the sides of its precincts.
    precincts: Vec<(u32, u32)>,
}

impl Style {
    fn read(segment: &[u8]) -> Option<Self> {
        let [
            style,
            _,
            high,
            low,
            transform,
            levels,
            _,
            _,
            _,
            wavelet,
            sizes @ ..,
        ] = segment
        else {
            return None;
        };
        if *levels > 32 {
            return None;
        }
        let n_resolutions = usize::from(*levels) + 1;
        let precincts = if style & 1 == 0 {
            vec![(15, 15); n_resolutions]
        } else {
            let sizes = sizes.get(..n_resolutions)?.iter();
            sizes
                .map(|size| (u32::from(size & 15), u32::from(size >> 4)))
                .collect()
        };
        Some(Self {
            layers: u16::from_be_bytes([*high, *low]),
            is_transformed: *transform != 0,
            is_irreversible: *wavelet == 0,
            precincts,
        })
    }

    /// Packets of an image, at least: where it is cut into tiles there are more.
    fn n_packets(&self, shape: &ImageShape) -> u64 {
        let resolutions = self.precincts.iter().rev().enumerate();
        let n = resolutions.map(|(halvings, (across, down))| {
            let side = |side: u32, exponent: u32| u64::from(side).div_ceil(1 << (halvings as u32 + exponent));
            side(shape.width, *across) * side(shape.height, *down)
        });
        n.sum::<u64>() * u64::from(self.layers) * u64::from(shape.components)
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
