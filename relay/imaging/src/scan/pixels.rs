//! The Image Pixel module (PS3.3 section C.7.6.3) checked by arithmetic in 64 bits before any pixel is touched.

use super::codestream::Expected;
use super::{PixelDescription, WarningKind};
use crate::element::Tag;
use crate::limits::ScanLimits;
use crate::syntax::Encoding;

const SAMPLES_PER_PIXEL: Tag = Tag(0x0028, 0x0002);
const PHOTOMETRIC_INTERPRETATION: Tag = Tag(0x0028, 0x0004);
const PLANAR_CONFIGURATION: Tag = Tag(0x0028, 0x0006);
const NUMBER_OF_FRAMES: Tag = Tag(0x0028, 0x0008);
const ROWS: Tag = Tag(0x0028, 0x0010);
const COLUMNS: Tag = Tag(0x0028, 0x0011);
const BITS_ALLOCATED: Tag = Tag(0x0028, 0x0100);
const BITS_STORED: Tag = Tag(0x0028, 0x0101);
const HIGH_BIT: Tag = Tag(0x0028, 0x0102);
const RED_PALETTE_DESCRIPTOR: Tag = Tag(0x0028, 0x1101);

/// The module's values as they came; the first of a repeated element stays.
#[derive(Debug, Default)]
pub(super) struct PixelModule {
    samples_per_pixel: Option<u16>,
    photometric: Option<String>,
    planar_configuration: Option<u16>,
    number_of_frames: Option<String>,
    rows: Option<u16>,
    columns: Option<u16>,
    bits_allocated: Option<u16>,
    bits_stored: Option<u16>,
    high_bit: Option<u16>,
    pixel_representation: Option<u16>,
    has_palette: bool,
}

impl PixelModule {
    pub(super) fn wants(tag: Tag) -> bool {
        matches!(
            tag,
            SAMPLES_PER_PIXEL
                | PHOTOMETRIC_INTERPRETATION
                | PLANAR_CONFIGURATION
                | NUMBER_OF_FRAMES
                | ROWS
                | COLUMNS
                | BITS_ALLOCATED
                | BITS_STORED
                | HIGH_BIT
                | Tag::PIXEL_REPRESENTATION
                | RED_PALETTE_DESCRIPTOR
        )
    }

    /// Takes a value; whether it was the first of its tag.
    pub(super) fn set(&mut self, tag: Tag, value: &[u8], encoding: Encoding) -> bool {
        let text = || {
            String::from_utf8_lossy(value)
                .trim_matches(['\0', ' '])
                .to_owned()
        };
        let number = match value {
            [a, b, ..] if encoding.is_big_endian() => Some(u16::from_be_bytes([*a, *b])),
            [a, b, ..] => Some(u16::from_le_bytes([*a, *b])),
            _ => None,
        };
        let slot = match tag {
            PHOTOMETRIC_INTERPRETATION => {
                let first = self.photometric.is_none();
                self.photometric.get_or_insert_with(text);
                return first;
            }
            NUMBER_OF_FRAMES => {
                let first = self.number_of_frames.is_none();
                self.number_of_frames.get_or_insert_with(text);
                return first;
            }
            RED_PALETTE_DESCRIPTOR => {
                self.has_palette = true;
                return true;
            }
            SAMPLES_PER_PIXEL => &mut self.samples_per_pixel,
            PLANAR_CONFIGURATION => &mut self.planar_configuration,
            ROWS => &mut self.rows,
            COLUMNS => &mut self.columns,
            BITS_ALLOCATED => &mut self.bits_allocated,
            BITS_STORED => &mut self.bits_stored,
            HIGH_BIT => &mut self.high_bit,
            Tag::PIXEL_REPRESENTATION => &mut self.pixel_representation,
            _ => return false,
        };
        let first = slot.is_none();
        if first {
            *slot = number;
        }
        first
    }

    pub(super) fn is_signed(&self) -> bool {
        self.pixel_representation == Some(1)
    }

    /// What a codestream must agree with.
    pub(super) fn expected(&self) -> Expected {
        Expected {
            rows: u32::from(self.rows.unwrap_or(0)),
            columns: u32::from(self.columns.unwrap_or(0)),
            samples: self.samples_per_pixel.unwrap_or(1),
            bits_allocated: self.bits_allocated.unwrap_or(0),
            signed: self.is_signed(),
        }
    }

    /// The description, with what makes no sense; `None` when the object has no image attributes at all.
    pub(super) fn describe(
        &self,
        limits: &ScanLimits,
    ) -> Option<(PixelDescription, Vec<(WarningKind, Tag)>)> {
        if self.rows.is_none() && self.columns.is_none() && self.bits_allocated.is_none() {
            return None;
        }
        let mut faults = Vec::new();
        let mut check = |good: bool, kind: WarningKind, tag: Tag| {
            if !good {
                faults.push((kind, tag));
            }
        };
        let geometry = WarningKind::PixelGeometry;
        let rows = self.rows.unwrap_or(0);
        let columns = self.columns.unwrap_or(0);
        let samples = self.samples_per_pixel.unwrap_or(1);
        let bits = self.bits_allocated.unwrap_or(0);
        let stored = self.bits_stored.unwrap_or(bits);
        let high_bit = self.high_bit.unwrap_or(stored.saturating_sub(1));
        let photometric = self.photometric.clone().unwrap_or_default();
        let frames = match self.number_of_frames.as_deref() {
            None | Some("") => Some(1),
            Some(text) => text
                .trim()
                .parse::<u32>()
                .ok()
                .filter(|frames| *frames > 0 && *frames < 1 << 31),
        };
        check(rows > 0, geometry, ROWS);
        check(columns > 0, geometry, COLUMNS);
        check((1..=4).contains(&samples), geometry, SAMPLES_PER_PIXEL);
        check(matches!(bits, 1 | 8 | 16 | 32), geometry, BITS_ALLOCATED);
        check(stored > 0 && stored <= bits, geometry, BITS_STORED);
        check(high_bit < bits && high_bit + 1 >= stored, geometry, HIGH_BIT);
        check(
            self.pixel_representation.unwrap_or(0) <= 1,
            geometry,
            Tag::PIXEL_REPRESENTATION,
        );
        check(frames.is_some(), geometry, NUMBER_OF_FRAMES);
        let palette_fits = !photometric.starts_with("PALETTE") || self.has_palette;
        check(
            palette_fits,
            WarningKind::PaletteMissing,
            PHOTOMETRIC_INTERPRETATION,
        );

        let frames = frames.unwrap_or(0);
        // Native 4:2:2 stores two samples for each pixel of three (PS3.3 section C.7.6.3.1.2).
        let halved = samples == 3 && photometric.ends_with("_422");
        let stored_samples = if halved { 2 } else { u64::from(samples) };
        let frame_bits = u64::from(rows) * u64::from(columns) * stored_samples * u64::from(bits);
        let frame_bytes = frame_bits.div_ceil(8);
        let aligned = frame_bits.is_multiple_of(8) || frames <= 1;
        check(aligned, WarningKind::FramesNotByteAligned, NUMBER_OF_FRAMES);
        check(frame_bytes <= limits.max_frame_bytes, geometry, ROWS);
        let pixels = PixelDescription {
            rows,
            columns,
            samples_per_pixel: samples,
            bits_allocated: bits,
            bits_stored: stored,
            high_bit,
            signed: self.is_signed(),
            photometric_interpretation: photometric,
            planar_configuration: self.planar_configuration.unwrap_or(0),
            number_of_frames: frames,
            frame_bytes,
            displayable: faults.is_empty(),
        };
        Some((pixels, faults))
    }
}
