//! From a codestream to samples, whole and exact, or at a lower resolution from its beginning.
//!
//! Codestreams come from a network peer: lengths are checked against the bytes at hand, memory follows from the
//! shape the caller expects, and every outcome is samples of that shape or an error. `markers` reads the headers,
//! `packet` finds the code blocks, `block` decodes one, `inverse_wavelet` joins them.

mod bits;
mod block;
mod markers;
mod mel;
mod packet;
mod tagtree;
#[cfg(test)]
mod tests;
mod vlc;

use std::ops::Range;

use super::inverse_wavelet::{Bands, compose};
use super::layout::{Division, ImageShape, Layout, Resolution, ShapeError, side_at};
use block::{BlockDecoder, Target};
use markers::{MainHeader, TileParts};
use packet::{Block, PacketReader};

/// Why a codestream gave no samples.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DecodeError {
    /// The expected shape is one this coder cannot hold.
    Shape(ShapeError),
    /// The codestream holds an image of another shape than expected.
    OtherShape,
    /// The codestream ends too early for what was asked of it.
    Truncated,
    /// The codestream has fewer decompositions than resolution levels to discard.
    NoSuchResolution {
        /// Decompositions of the codestream.
        levels: u8,
    },
    /// The codestream may be right but uses what this decoder does not read.
    Unsupported(&'static str),
    /// The codestream is wrong.
    Malformed(&'static str),
}

impl std::fmt::Display for DecodeError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Shape(error) => error.fmt(f),
            Self::OtherShape => write!(f, "codestream holds an image of another shape than expected"),
            Self::Truncated => write!(f, "codestream ends too early"),
            Self::NoSuchResolution { levels } => {
                write!(
                    f,
                    "codestream has {levels} decompositions, fewer than levels to discard"
                )
            }
            Self::Unsupported(what) => write!(f, "codestream uses what is not supported: {what}"),
            Self::Malformed(what) => write!(f, "codestream is malformed: {what}"),
        }
    }
}

impl std::error::Error for DecodeError {}

impl From<ShapeError> for DecodeError {
    fn from(error: ShapeError) -> Self {
        Self::Shape(error)
    }
}

/// Decodes one codestream whole; see [`Decoder::decode`].
pub fn decode(codestream: &[u8], expected: &ImageShape, samples: &mut Vec<i32>) -> Result<(), DecodeError> {
    Decoder::default().decode(codestream, expected, samples)
}

/// Decodes the beginning of one codestream; see [`Decoder::decode_prefix`].
pub fn decode_prefix(
    prefix: &[u8],
    expected: &ImageShape,
    discard_levels: u8,
    samples: &mut Vec<i32>,
) -> Result<ImageShape, DecodeError> {
    Decoder::default().decode_prefix(prefix, expected, discard_levels, samples)
}

/// A decoder whose scratch memory serves frame after frame. It keeps about two words per pixel of the largest image
/// it decoded, four for colour.
#[derive(Default)]
pub struct Decoder {
    /// The division of the last image, which the next is likely to share.
    layout: Option<KnownLayout>,
    packets: PacketReader,
    /// Code blocks of each resolution and, within it, each component.
    blocks: Vec<Vec<Block>>,
    planes: PlaneDecoder,
    /// Second and third component.
    colours: [Vec<i32>; 2],
    has_colour_transform: bool,
}

struct KnownLayout {
    width: u32,
    height: u32,
    division: Division,
    layout: Layout,
}

impl Decoder {
    /// Decodes a whole codestream into `samples`, which it replaces: rows from the top, pixels from the left, the
    /// components of a pixel together. Samples lie within the range of `expected`.
    ///
    /// # Errors
    /// Unless the codestream holds exactly `expected`, lossless, with every code block. Then `samples` is empty.
    pub fn decode(
        &mut self,
        codestream: &[u8],
        expected: &ImageShape,
        samples: &mut Vec<i32>,
    ) -> Result<(), DecodeError> {
        let outcome = self.decode_resolution(codestream, expected, None, samples);
        outcome.map(drop).inspect_err(|_| samples.clear())
    }

    /// Decodes a preview from the first bytes of a codestream: both sides of `expected` are halved, rounding up,
    /// `discard_levels` times. Gives the shape of what is then in `samples`.
    ///
    /// # Errors
    /// As [`Self::decode`]; [`DecodeError::Truncated`] if the prefix does not reach the end of that resolution.
    pub fn decode_prefix(
        &mut self,
        prefix: &[u8],
        expected: &ImageShape,
        discard_levels: u8,
        samples: &mut Vec<i32>,
    ) -> Result<ImageShape, DecodeError> {
        let outcome = self.decode_resolution(prefix, expected, Some(discard_levels), samples);
        outcome.inspect_err(|_| samples.clear())
    }

    /// Whether the last image decoded came through the reversible colour transform, which decoding undoes (T.800, G.2).
    #[must_use]
    pub fn has_colour_transform(&self) -> bool {
        self.has_colour_transform
    }

    fn decode_resolution(
        &mut self,
        codestream: &[u8],
        expected: &ImageShape,
        prefix: Option<u8>,
        samples: &mut Vec<i32>,
    ) -> Result<ImageShape, DecodeError> {
        expected.check()?;
        let header = MainHeader::read(codestream, expected)?;
        self.has_colour_transform = header.colour_transform;
        let levels = header.division.levels;
        let discard_levels = prefix.unwrap_or(0);
        let Some(top) = levels.checked_sub(discard_levels).map(usize::from) else {
            return Err(DecodeError::NoSuchResolution { levels });
        };
        // Every precinct has a packet of a byte or more.
        if Layout::n_precincts(expected.width, expected.height, &header.division) > codestream.len() as u64 {
            return Err(DecodeError::Truncated);
        }
        let layout = known_layout(&mut self.layout, expected, &header.division);
        let resolutions = &layout.resolutions[..=top];

        let n_components = usize::from(expected.components);
        self.blocks
            .resize_with(resolutions.len() * n_components, Vec::new);
        let mut parts = TileParts::new(codestream, header.tile_parts, prefix.is_some());
        read_packets(
            &mut self.packets,
            codestream,
            &mut parts,
            (resolutions, &header),
            &mut self.blocks,
        )?;
        if prefix.is_none() && parts.next_packets()?.is_some() {
            return Err(DecodeError::Malformed("tile-parts go on after the last packet"));
        }

        let reduced = ImageShape {
            width: side_at(expected.width, discard_levels),
            height: side_at(expected.height, discard_levels),
            ..*expected
        };
        let [second, third] = &mut self.colours;
        let mut planes = [samples, second, third];
        for (component, plane) in planes[..n_components].iter_mut().enumerate() {
            let blocks = self.blocks.iter().skip(component).step_by(n_components);
            let blocks = resolutions.iter().zip(blocks);
            self.planes
                .decode(codestream, blocks, &header.magnitude_bits[component], plane)?;
        }
        let [samples, second, third] = planes;
        if n_components == 1 {
            finish_grey(samples, &reduced);
        } else {
            finish_colour(samples, (second, third), header.colour_transform, &reduced);
        }
        Ok(reduced)
    }
}

/// The division of this image: the one at hand if it is the same, else a new one.
fn known_layout<'a>(
    known: &'a mut Option<KnownLayout>,
    shape: &ImageShape,
    division: &Division,
) -> &'a Layout {
    let (width, height) = (shape.width, shape.height);
    let kept = known
        .take()
        .filter(|k| (k.width, k.height, &k.division) == (width, height, division));
    let kept = match kept {
        Some(kept) => kept,
        None => KnownLayout {
            width,
            height,
            division: division.clone(),
            layout: Layout::new(width, height, division),
        },
    };
    &known.insert(kept).layout
}

/// Finds the code blocks of these resolutions; `blocks` has a list for each resolution and component.
fn read_packets(
    reader: &mut PacketReader,
    codestream: &[u8],
    parts: &mut TileParts,
    (resolutions, header): (&[Resolution], &MainHeader),
    blocks: &mut [Vec<Block>],
) -> Result<(), DecodeError> {
    let n_components = header.magnitude_bits.len();
    let mut packets: Range<usize> = 0..0;
    for (r, (resolution, lists)) in resolutions
        .iter()
        .zip(blocks.chunks_mut(n_components))
        .enumerate()
    {
        lists.iter_mut().for_each(Vec::clear);
        let bands = band_range(r);
        for precinct in &resolution.precincts {
            for (list, planes) in lists.iter_mut().zip(&header.magnitude_bits) {
                while packets.is_empty() {
                    packets = parts.next_packets()?.ok_or(DecodeError::Truncated)?;
                }
                let precinct = (&resolution.bands[..], &precinct.grids[..], &planes[bands.clone()]);
                packets.start = reader.read(codestream, packets.clone(), precinct, list)?;
            }
        }
    }
    Ok(())
}

/// Which entries of QCD belong to a resolution.
fn band_range(resolution: usize) -> Range<usize> {
    match resolution {
        0 => 0..1,
        r => 3 * r - 2..3 * r + 1,
    }
}

/// Decodes one component, lowest resolution first.
#[derive(Default)]
struct PlaneDecoder {
    blocks: BlockDecoder,
    /// The picture at the resolution below the current one.
    below: Vec<i32>,
    /// HL, LH and HH of the current resolution, one after the other.
    bands: Vec<i32>,
    evens: Vec<i32>,
}

impl PlaneDecoder {
    fn decode<'a>(
        &mut self,
        codestream: &[u8],
        resolutions: impl Iterator<Item = (&'a Resolution, &'a Vec<Block>)>,
        magnitude_bits: &[u32],
        plane: &mut Vec<i32>,
    ) -> Result<(), DecodeError> {
        for (r, (resolution, blocks)) in resolutions.enumerate() {
            let planes = &magnitude_bits[band_range(r)];
            if r == 0 {
                self.decode_bands(codestream, (resolution, blocks), planes)?;
                std::mem::swap(plane, &mut self.bands);
                continue;
            }
            std::mem::swap(plane, &mut self.below);
            self.decode_bands(codestream, (resolution, blocks), planes)?;
            let area =
                |idx: usize| resolution.bands[idx].width as usize * resolution.bands[idx].height as usize;
            let (hl, rest) = self.bands.split_at(area(0));
            let (lh, hh) = rest.split_at(area(1));
            let bands = Bands {
                ll: &self.below,
                hl,
                lh,
                hh,
            };
            let (width, height) = (resolution.width as usize, resolution.height as usize);
            plane.resize(width * height, 0);
            compose(&bands, width, plane, &mut self.evens);
        }
        Ok(())
    }

    /// Fills `bands` with the bands of a resolution, one after the other.
    fn decode_bands(
        &mut self,
        codestream: &[u8],
        (resolution, blocks): (&Resolution, &[Block]),
        magnitude_bits: &[u32],
    ) -> Result<(), DecodeError> {
        let mut starts = [0; 3];
        let mut end = 0;
        for (band, start) in resolution.bands.iter().zip(&mut starts) {
            *start = end;
            end += band.width as usize * band.height as usize;
        }
        self.bands.resize(end, 0);
        for block in blocks {
            let stride = resolution.bands[block.band_idx].width as usize;
            let first = starts[block.band_idx] + block.rect.y as usize * stride + block.rect.x as usize;
            let target = Target {
                plane: &mut self.bands[first..],
                stride,
                width: block.rect.width as usize,
                height: block.rect.height as usize,
            };
            match codestream.get(block.bytes.clone()) {
                Some([]) => target.clear(),
                Some(segment) => self
                    .blocks
                    .decode(segment, magnitude_bits[block.band_idx], target)?,
                None => return Err(DecodeError::Truncated),
            }
        }
        Ok(())
    }
}

/// Undoes the level shift of a grey image and keeps samples in range.
fn finish_grey(samples: &mut [i32], shape: &ImageShape) {
    let (shift, range) = (shape.level_shift(), shape.sample_range());
    for sample in samples {
        *sample = sample.wrapping_add(shift).clamp(*range.start(), *range.end());
    }
}

/// Undoes the reversible colour transform (T.800, G.2) and the level shift, and joins the components of each pixel.
fn finish_colour(
    samples: &mut Vec<i32>,
    (second, third): (&[i32], &[i32]),
    transformed: bool,
    shape: &ImageShape,
) {
    let (shift, range) = (shape.level_shift(), shape.sample_range());
    let n_pixels = samples.len();
    samples.resize(3 * n_pixels, 0);
    for pixel in (0..n_pixels).rev() {
        let mut colours = [samples[pixel], second[pixel], third[pixel]];
        if transformed {
            let [luma, blue, red] = colours;
            let green = luma.wrapping_sub(blue.wrapping_add(red) >> 2);
            colours = [red.wrapping_add(green), green, blue.wrapping_add(green)];
        }
        let shifted = colours.map(|colour| colour.wrapping_add(shift).clamp(*range.start(), *range.end()));
        samples[3 * pixel..3 * pixel + 3].copy_from_slice(&shifted);
    }
}
