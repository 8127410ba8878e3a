//! One HT code block: its cleanup pass, from bytes to signed wavelet coefficients (ITU-T T.814, 7).
//!
//! Any bytes give either coefficients or an error, in time bounded by the size of the block.

use super::super::DecodeError;
use super::bits::BitBuffer;
use super::vlc::{Quad, Quads};

/// Most magnitude bits of a coefficient that this decoder holds in 32 bits.
pub const MAGNITUDE_BITS_MAX: u32 = 30;

/// Longest suffix segment, MEL and VLC together, in bytes (T.814, 7.1.1).
const SUFFIX_BYTES_MAX: usize = 4079;

/// Where the coefficients of a block go: a rectangle in a plane.
pub struct Target<'a> {
    /// The plane from the block's first sample on.
    pub plane: &'a mut [i32],
    /// Samples from one row of the plane to the next.
    pub stride: usize,
    /// Samples in a row of the block, 1 to 1024.
    pub width: usize,
    /// Rows of the block, 1 to 1024; at most 4096 samples in all.
    pub height: usize,
}

impl Target<'_> {
    /// Sets every coefficient to zero, as of a block that is not in the stream.
    pub fn clear(self) {
        for row in self.plane.chunks_mut(self.stride).take(self.height) {
            row[..self.width].fill(0);
        }
    }
}

/// Decodes code blocks with scratch memory that is reused.
#[derive(Default)]
pub struct BlockDecoder {
    quads: Quads,
    magnitudes: BitBuffer,
    /// The two rows of samples that a row of quads covers, each of even length.
    top: Vec<u32>,
    bottom: Vec<u32>,
    /// For each quad of the row above: its bottom left sample joined with the sample to the left of that.
    joined: Vec<u32>,
}

impl BlockDecoder {
    /// Decodes the one cleanup segment of a block whose magnitudes have at most `magnitude_bits` bits, 1 to
    /// [`MAGNITUDE_BITS_MAX`].
    pub fn decode(&mut self, segment: &[u8], magnitude_bits: u32, target: Target) -> Result<(), DecodeError> {
        let (magnitudes, suffix) = split_segment(segment)?;
        let Target {
            plane,
            stride,
            width,
            height,
        } = target;
        self.quads.read(suffix, width, height)?;
        self.magnitudes.fill_forward(magnitudes);

        let columns = width.div_ceil(2);
        self.top.resize(2 * columns, 0);
        self.bottom.resize(2 * columns, 0);
        self.joined.clear();
        self.joined.resize(columns + 1, 0);
        let mut reader = MagnitudeReader {
            bits: &self.magnitudes,
            position: 0,
            bound_max: magnitude_bits + 1,
        };
        let mut rows = plane.chunks_mut(stride).take(height);
        for quads in self.quads.rows(width) {
            reader.read_row(quads, (&mut self.top, &mut self.bottom), &mut self.joined)?;
            for samples in [&self.top, &self.bottom] {
                if let Some(row) = rows.next() {
                    store(samples, &mut row[..width]);
                }
            }
        }
        let position = reader.position;
        self.magnitudes.check_end(position)
    }
}

/// Cuts a cleanup segment into MagSgn bytes and the MEL and VLC suffix, whose length its last 12 bits give.
fn split_segment(segment: &[u8]) -> Result<(&[u8], &[u8]), DecodeError> {
    let [.., low, high] = segment else {
        return Err(DecodeError::Malformed("a code block is shorter than 2 bytes"));
    };
    let suffix_bytes = usize::from(*high) << 4 | usize::from(low & 0x0F);
    if !(2..=SUFFIX_BYTES_MAX).contains(&suffix_bytes) || suffix_bytes > segment.len() {
        return Err(DecodeError::Malformed(
            "a code block's suffix length is out of range",
        ));
    }
    Ok(segment.split_at(segment.len() - suffix_bytes))
}

/// Turns values as [`MagnitudeReader`] leaves them into signed coefficients.
#[inline]
fn store(values: &[u32], row: &mut [i32]) {
    for (coefficient, &value) in row.iter_mut().zip(values) {
        let sign = -((value & 1) as i32);
        *coefficient = ((value >> 1) as i32 ^ sign) - sign;
    }
}

/// Reads MagSgn values, quad by quad.
///
/// A value is twice the magnitude plus the sign bit; 0 is an insignificant sample.
struct MagnitudeReader<'a> {
    bits: &'a BitBuffer,
    position: usize,
    /// Largest exponent bound that can be right.
    bound_max: u32,
}

/// For each significance or known pattern, its four bits in four bytes.
const SPREAD: [u32; 16] = {
    let mut table = [0; 16];
    let mut pattern = 0;
    while pattern < 16 {
        let p = pattern as u32;
        table[pattern] = p & 1 | (p & 2) << 7 | (p & 4) << 14 | (p & 8) << 21;
        pattern += 1;
    }
    table
};

impl MagnitudeReader<'_> {
    fn read_row(
        &mut self,
        quads: &[Quad],
        (top, bottom): (&mut [u32], &mut [u32]),
        joined: &mut [u32],
    ) -> Result<(), DecodeError> {
        let samples = top.chunks_exact_mut(2).zip(bottom.chunks_exact_mut(2));
        let mut left = 0;
        let Some((mut slot, later)) = joined.split_first_mut() else {
            return Ok(());
        };
        let mut here = *slot;
        for ((&quad, (top, bottom)), next) in quads.iter().zip(samples).zip(later) {
            let values = if quad.significance() == 0 {
                [0; 4]
            } else {
                self.read_quad(quad, here | *next)?
            };
            top.copy_from_slice(&[values[0], values[2]]);
            bottom.copy_from_slice(&[values[1], values[3]]);
            *slot = left | raw(values[1]);
            left = raw(values[3]);
            here = *next;
            slot = next;
        }
        *slot = left;
        Ok(())
    }

    /// The four values of a quad, given the joined raw values above it (T.814, 7.3.7 and 7.3.8).
    #[inline(always)]
    fn read_quad(&mut self, quad: Quad, above: u32) -> Result<[u32; 4], DecodeError> {
        let significance = quad.significance();
        let above = if significance & (significance - 1) == 0 {
            0
        } else {
            above
        };
        // The predictor is one less than the largest exponent above, and at least 1.
        let bound = (31 - (above | 2).leading_zeros()) + quad.offset();
        if bound > self.bound_max {
            return Err(DecodeError::Malformed(
                "a coefficient has more bits than its subband",
            ));
        }
        let known = quad.known() & significance;
        let lengths = SPREAD[significance as usize] * bound - SPREAD[known as usize];
        // Byte n is the end of value n: the sum of the lengths up to it, at most 4 * 31.
        let ends = lengths.wrapping_mul(0x0101_0101);
        let total = ends >> 24;
        let starts = ends << 8;
        let window = self.bits.window(self.position);
        let mut values = [0; 4];
        for (n, value) in values.iter_mut().enumerate() {
            let length = lengths >> (8 * n) & 0xFF;
            let start = starts >> (8 * n) & 0xFF;
            let bits = if total <= 56 {
                window >> start
            } else {
                self.bits.window(self.position + start as usize)
            };
            let read = bits as u32 & ((1 << length) - 1) | (quad.reaches() >> n & 1) << length;
            *value = (read + 2) * (significance >> n & 1);
        }
        self.position += total as usize;
        Ok(values)
    }
}

/// A value as it was coded: twice (the magnitude less one) plus the sign bit; its bit length, but for 0, is the
/// sample's exponent.
#[inline(always)]
fn raw(value: u32) -> u32 {
    value.saturating_sub(2)
}
