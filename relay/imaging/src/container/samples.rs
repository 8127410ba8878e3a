//! Between the bytes of a native frame and its samples (PS3.5 section 8.1.1).

use serde::{Deserialize, Serialize};

use crate::htj2k::ImageShape;
use crate::limits::pieces;
use crate::scan::PixelDescription;

/// How the samples of a native frame lie in its bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct FrameGeometry {
    /// Rows (0028,0010).
    pub rows: u16,
    /// Columns (0028,0011).
    pub columns: u16,
    /// Samples per Pixel (0028,0002): 1 or 3.
    pub samples_per_pixel: u8,
    /// Bits Allocated (0028,0100): 8 or 16.
    pub bits_allocated: u8,
    /// Bits Stored (0028,0101): 1 to Bits Allocated.
    pub bits_stored: u8,
    /// High Bit (0028,0102).
    pub high_bit: u8,
    /// Pixel Representation (0028,0103): samples are two's complement.
    pub is_signed: bool,
    /// Planar Configuration (0028,0006): all first samples, then all second ones, then all third ones.
    pub is_planar: bool,
}

impl FrameGeometry {
    /// The geometry of frames of `frame_len` bytes; `None` when their samples cannot be coded as an image.
    #[must_use]
    pub fn of(pixels: &PixelDescription, frame_len: u64) -> Option<Self> {
        let narrow = |value: u16| u8::try_from(value).ok();
        let geometry = Self {
            rows: pixels.rows,
            columns: pixels.columns,
            samples_per_pixel: narrow(pixels.samples_per_pixel)?,
            bits_allocated: narrow(pixels.bits_allocated)?,
            bits_stored: narrow(pixels.bits_stored)?,
            high_bit: narrow(pixels.high_bit)?,
            is_signed: pixels.signed,
            is_planar: pixels.samples_per_pixel == 3 && pixels.planar_configuration == 1,
        };
        (geometry.is_codable() && geometry.frame_len() == frame_len).then_some(geometry)
    }

    /// Whether these numbers describe an image that can be coded.
    pub(crate) fn is_codable(&self) -> bool {
        let bits = matches!(self.bits_allocated, 8 | 16)
            && (1..=self.bits_allocated).contains(&self.bits_stored)
            && (self.bits_stored - 1..self.bits_allocated).contains(&self.high_bit);
        let samples = self.samples_per_pixel == 1 && !self.is_planar || self.samples_per_pixel == 3;
        bits && samples && self.shape().check().is_ok() && self.frame_len() <= pieces::FRAME_SECTION_BYTES_MAX
    }

    /// Bytes of a frame.
    #[must_use]
    pub fn frame_len(&self) -> u64 {
        self.n_samples() as u64 * self.sample_bytes() as u64
    }

    pub(super) fn n_samples(&self) -> usize {
        usize::from(self.rows) * usize::from(self.columns) * usize::from(self.samples_per_pixel)
    }

    pub(super) fn sample_bytes(&self) -> usize {
        usize::from(self.bits_allocated / 8)
    }

    /// The image as the coder sees it.
    pub(crate) fn shape(&self) -> ImageShape {
        ImageShape {
            width: u32::from(self.columns),
            height: u32::from(self.rows),
            components: self.samples_per_pixel,
            precision: self.bits_stored,
            signed: self.is_signed,
        }
    }

    /// Bits below the stored ones.
    fn shift(&self) -> u32 {
        u32::from(self.high_bit + 1 - self.bits_stored)
    }

    /// The sample in a word of Bits Allocated.
    fn sample(&self, word: u16) -> i32 {
        let up = 32 - u32::from(self.bits_stored);
        let stored = u32::from(word >> self.shift()) << up;
        if self.is_signed {
            stored.cast_signed() >> up
        } else {
            (stored >> up).cast_signed()
        }
    }

    /// The word that is expected around a sample: its sign above, zeros below.
    fn word(&self, sample: i32) -> u16 {
        (sample << self.shift()).cast_unsigned() as u16
    }

    /// The samples of a little endian frame, by pixel.
    pub(crate) fn samples(&self, frame: &[u8], out: &mut Vec<i32>) {
        out.clear();
        out.reserve(self.n_samples());
        if self.bits_allocated == 8 {
            out.extend(frame.iter().map(|byte| self.sample(u16::from(*byte))));
        } else {
            let words = frame
                .chunks_exact(2)
                .map(|word| u16::from_le_bytes([word[0], word[1]]));
            out.extend(words.map(|word| self.sample(word)));
        }
        if self.is_planar {
            let n_pixels = out.len() / 3;
            let planes = std::mem::take(out);
            out.extend(
                (0..n_pixels).flat_map(|at| [planes[at], planes[at + n_pixels], planes[at + 2 * n_pixels]]),
            );
        }
    }

    /// Whether these are the samples of a little endian frame, by pixel.
    pub(super) fn is_of(&self, frame: &[u8], samples: &[i32]) -> bool {
        let bytes = self.sample_bytes();
        if frame.len() != samples.len() * bytes {
            return false;
        }
        let word = |at: usize| match bytes {
            1 => u16::from(frame[at]),
            _ => u16::from_le_bytes([frame[2 * at], frame[2 * at + 1]]),
        };
        let n_pixels = samples.len() / usize::from(self.samples_per_pixel);
        let at = |idx: usize| match self.is_planar {
            true => idx % 3 * n_pixels + idx / 3,
            false => idx,
        };
        let mut samples = samples.iter().enumerate();
        samples.all(|(idx, sample)| self.sample(word(at(idx))) == *sample)
    }

    /// The little endian frame of these samples, without its side bits.
    pub(crate) fn frame(&self, samples: &[i32], out: &mut Vec<u8>) {
        out.clear();
        out.reserve(samples.len() * self.sample_bytes());
        if self.is_planar {
            (0..3).for_each(|plane| self.push(samples.iter().skip(plane).step_by(3), out));
        } else {
            self.push(samples.iter(), out);
        }
    }

    fn push<'a>(&self, samples: impl Iterator<Item = &'a i32>, out: &mut Vec<u8>) {
        if self.bits_allocated == 8 {
            out.extend(samples.map(|sample| self.word(*sample) as u8));
        } else {
            out.extend(samples.flat_map(|sample| self.word(*sample).to_le_bytes()));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_keep_their_sign_and_what_lies_outside_is_predicted() {
        let geometry = FrameGeometry {
            rows: 1,
            columns: 2,
            samples_per_pixel: 1,
            bits_allocated: 16,
            bits_stored: 12,
            high_bit: 13,
            is_signed: true,
            is_planar: false,
        };
        let (mut samples, mut frame) = (Vec::new(), Vec::new());
        // -1 in bits 2 to 13, then 1 with every other bit set.
        geometry.samples(&[0xFC, 0x3F, 0x07, 0xC0], &mut samples);
        assert_eq!(samples, [-1, 1]);
        assert!(geometry.is_of(&[0xFC, 0x3F, 0x07, 0xC0], &samples));
        assert!(!geometry.is_of(&[0xFC, 0x3F, 0x0B, 0xC0], &samples));
        geometry.frame(&samples, &mut frame);
        assert_eq!(frame, [0xFC, 0xFF, 0x04, 0x00]);
    }

    #[test]
    fn planes_become_pixels_and_planes_again() {
        let geometry = FrameGeometry {
            rows: 1,
            columns: 2,
            samples_per_pixel: 3,
            bits_allocated: 8,
            bits_stored: 8,
            high_bit: 7,
            is_signed: false,
            is_planar: true,
        };
        let (mut samples, mut frame) = (Vec::new(), Vec::new());
        geometry.samples(&[1, 2, 3, 4, 5, 6], &mut samples);
        assert_eq!(samples, [1, 3, 5, 2, 4, 6]);
        assert!(geometry.is_of(&[1, 2, 3, 4, 5, 6], &samples));
        assert!(!geometry.is_of(&[1, 2, 3, 5, 4, 6], &samples));
        geometry.frame(&samples, &mut frame);
        assert_eq!(frame, [1, 2, 3, 4, 5, 6]);
    }
}
