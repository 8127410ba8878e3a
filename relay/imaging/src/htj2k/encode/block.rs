//! One code block as one HT cleanup pass over bit plane 0 (ITU-T T.814 clause 7): nothing is left
//! for refinement, so the block is exact.
//! A row of quads is first turned into exponents and sign-magnitudes for all its samples at once,
//! then coded quad by quad.

use super::bits::BitRow;
use super::magsgn::{MAGSGN_BYTES_MAX, MagSgnBits, write_magsgn};
use super::mel::MelEncoder;
use super::vlc::{
    FIRST_ROW_WORDS, LATER_ROW_WORDS, QuadWords, VLC_BYTES_MAX, VlcBits, first_row_offset_pair, offset_pair,
    quad_index, start_vlc, write_vlc,
};

/// Longest side of a code block.
pub const SIDE_MAX: usize = 64;

/// Bits of the largest magnitude: beyond, the buffers and the U-VLC table would not hold it.
pub const MAGNITUDE_BITS_MAX: u32 = 20;

/// Columns of the row buffers: the block's, one before it, and room for a whole quad after it.
const COLUMNS: usize = SIDE_MAX + 8;

/// Working memory of the block coder, kept between blocks.
#[derive(Debug)]
pub struct BlockEncoder {
    rows: QuadRow,
    magsgn: MagSgnBits,
    mel: MelEncoder,
    vlc: VlcBits,
    magsgn_bytes: Box<[u8; MAGSGN_BYTES_MAX]>,
    vlc_bytes: Box<[u8; VLC_BYTES_MAX]>,
}

impl Default for BlockEncoder {
    fn default() -> Self {
        Self {
            rows: QuadRow::default(),
            magsgn: BitRow::default(),
            mel: MelEncoder::default(),
            vlc: BitRow::default(),
            magsgn_bytes: Box::new([0; MAGSGN_BYTES_MAX]),
            vlc_bytes: Box::new([0; VLC_BYTES_MAX]),
        }
    }
}

impl BlockEncoder {
    /// Codes a block of `width` by `height` coefficients, 1 to [`SIDE_MAX`] each, that begins at
    /// `coefficients[0]` with rows `stride` apart, and appends its bytes to `body`.
    ///
    /// Returns how many bytes: 0, and nothing is written, if all coefficients are 0. Magnitudes must
    /// be below 2^[`MAGNITUDE_BITS_MAX`]: the caller asks [`magnitude_bits`] first.
    pub fn encode(
        &mut self,
        coefficients: &[i32],
        stride: usize,
        (width, height): (usize, usize),
        body: &mut Vec<u8>,
    ) -> usize {
        let mut rows = coefficients.chunks(stride).take(height);
        if rows.all(|row| row[..width].iter().all(|&c| c == 0)) {
            return 0;
        }
        self.rows.clear();
        self.magsgn.clear();
        self.mel.clear();
        start_vlc(&mut self.vlc);
        for y in (0..height).step_by(2) {
            let top = &coefficients[y * stride..][..width];
            let bottom = if y + 1 < height {
                &coefficients[(y + 1) * stride..][..width]
            } else {
                &[]
            };
            self.rows.load(top, bottom);
            if y == 0 {
                self.code_row::<true>(width, &FIRST_ROW_WORDS);
            } else {
                self.code_row::<false>(width, &LATER_ROW_WORDS);
            }
        }
        self.finish(body)
    }

    /// Codes the quads of one row, in pairs.
    fn code_row<const FIRST: bool>(&mut self, width: usize, words: &QuadWords) {
        // Significance of the quad to the left.
        let mut left = 0;
        for x in (0..width).step_by(4) {
            let a = self.code_quad::<FIRST>(x, left, words);
            let mut word = u64::from(a.word);
            let mut length = a.length;
            left = a.significance;
            let mut offset = 0;
            if x + 2 < width {
                let b = self.code_quad::<FIRST>(x + 2, left, words);
                word |= u64::from(b.word) << length;
                length += b.length;
                left = b.significance;
                offset = b.offset;
            }
            let offsets = if FIRST {
                if a.offset > 0 && offset > 0 {
                    self.mel.put(a.offset.min(offset) > 2);
                }
                first_row_offset_pair(a.offset, offset)
            } else {
                offset_pair(a.offset, offset)
            };
            word |= u64::from(offsets.word) << length;
            self.vlc.put(word, length + offsets.length);
        }
    }

    /// Codes the quad whose left column is `x`; its code word is left to the caller, who interleaves
    /// it with that of its neighbour.
    #[inline(always)]
    fn code_quad<const FIRST: bool>(&mut self, x: usize, left: u32, words: &QuadWords) -> Quad {
        let exponents = self.rows.exponents(x);
        let significance = nonzero_bytes(exponents);
        let largest = u32::from(self.rows.largest[x]);
        // Contexts: T.814 figures 5 and 6.
        let (context, predicted) = if FIRST {
            ((left >> 1) | (left & 1), 1)
        } else {
            let above = u32::from(self.rows.above_pairs[x] != 0)
                | u32::from(self.rows.above_pairs[x + 2] != 0) << 2
                | u32::from(left & 0b1100 != 0) << 1;
            let several = significance & significance.wrapping_sub(1) != 0;
            let predictor = u32::from(self.rows.above_largest[x]).saturating_sub(1).max(1);
            (above, if several { predictor } else { 1 })
        };
        let bound = largest.max(predicted);
        let offset = bound - predicted;
        // With an offset the bound is the largest exponent; without, no sample is said to reach it.
        let reaching = if offset > 0 {
            15 ^ nonzero_bytes(exponents ^ (bound * BYTES_OF_ONE))
        } else {
            0
        };
        let code = words[quad_index(context, significance, reaching)];
        if context == 0 {
            self.mel.put(significance != 0);
        }
        let counts = (bound * BYTES_OF_ONE).wrapping_sub(BYTES_OF_BITS[usize::from(code.known & 15)])
            & (0xFF * BYTES_OF_BITS[(significance & 15) as usize]);
        self.put_column(x, counts);
        self.put_column(x + 1, counts >> 16);
        Quad {
            word: u32::from(code.word),
            length: u32::from(code.length),
            significance,
            offset,
        }
    }

    /// Appends the magnitude and sign of two samples, whose numbers of bits are the low two bytes of
    /// `counts`.
    #[inline(always)]
    fn put_column(&mut self, x: usize, counts: u32) {
        let (n_top, n_bottom) = (counts & 0x1F, (counts >> 8) & 0x1F);
        let top = self.rows.top[x] & ((1 << n_top) - 1);
        let bottom = self.rows.bottom[x] & ((1 << n_bottom) - 1);
        self.magsgn
            .put(u64::from(top) | u64::from(bottom) << n_top, n_top + n_bottom);
    }

    /// Joins the three streams and writes the length of the last two over the end (T.814, 7.1.4).
    fn finish(&mut self, body: &mut Vec<u8>) -> usize {
        let n_magsgn = write_magsgn(&self.magsgn, &mut self.magsgn_bytes);
        let (n_vlc, tail) = write_vlc(&self.vlc, &mut self.vlc_bytes);
        let (mel, partial) = self.mel.finish();
        let start = body.len();
        body.extend_from_slice(&self.magsgn_bytes[..n_magsgn]);
        body.extend_from_slice(mel);
        // Both streams end in part of a byte: one byte serves both if each reads its own bits in it.
        // The bytes that will hold the length are no place for MEL bits.
        let joined = partial.value() | tail.value;
        let agree =
            (joined ^ partial.value()) & partial.mask() == 0 && (joined ^ tail.value) & tail.mask == 0;
        if partial.mask() | tail.mask != 0 {
            if agree && joined != 0xFF && n_vlc > 1 {
                body.push(joined);
            } else {
                body.extend_from_slice(&[partial.value(), tail.value]);
            }
        }
        body.extend(self.vlc_bytes[..n_vlc].iter().rev());
        let end = body.len();
        let n_suffix = end - start - n_magsgn;
        body[end - 1] = (n_suffix >> 4) as u8;
        body[end - 2] = (body[end - 2] & 0xF0) | (n_suffix & 0xF) as u8;
        end - start
    }
}

/// What a coded quad leaves for the pair it belongs to.
struct Quad {
    word: u32,
    length: u32,
    significance: u32,
    offset: u32,
}

/// Bits of the largest magnitude in a row of coefficients; 0 if all are 0.
pub fn magnitude_bits(row: &[i32]) -> u32 {
    let all = row.iter().fold(0, |all, c| all | c.unsigned_abs());
    u32::BITS - all.leading_zeros()
}

/// Two rows of samples and what the row of quads above leaves behind. Columns outside the block
/// count as 0. Index 0 of the arrays that look back is the column before the block.
#[derive(Debug)]
struct QuadRow {
    /// Twice the magnitude less two, plus the sign: T.814 equation 3. Meaningless where 0.
    top: [u32; COLUMNS],
    bottom: [u32; COLUMNS],
    /// Exponents of a column: the upper sample in the low byte.
    exponents: [u16; COLUMNS],
    /// Largest exponent in this column and the next.
    largest: [u8; COLUMNS],
    /// Exponents of the lower samples, from the column before the block on.
    lower: [u8; COLUMNS],
    /// Larger exponent above the column before this one and above this one.
    above_pairs: [u8; COLUMNS],
    /// Largest exponent above the column before this one to two columns after it.
    above_largest: [u8; COLUMNS],
}

impl Default for QuadRow {
    fn default() -> Self {
        Self {
            top: [0; COLUMNS],
            bottom: [0; COLUMNS],
            exponents: [0; COLUMNS],
            largest: [0; COLUMNS],
            lower: [0; COLUMNS],
            above_pairs: [0; COLUMNS],
            above_largest: [0; COLUMNS],
        }
    }
}

impl QuadRow {
    /// Forgets the row above and whatever lies beyond the columns of the next block.
    fn clear(&mut self) {
        self.exponents.fill(0);
        self.lower.fill(0);
    }

    /// Takes the next two rows of the block; `bottom` is empty if there is only one.
    #[inline(never)]
    fn load(&mut self, top: &[i32], bottom: &[i32]) {
        for x in 0..COLUMNS - 1 {
            self.above_pairs[x] = self.lower[x].max(self.lower[x + 1]);
        }
        for x in 0..COLUMNS - 3 {
            self.above_largest[x] = self.above_pairs[x].max(self.above_pairs[x + 2]);
        }
        for ((&c, value), exponent) in top.iter().zip(&mut self.top).zip(&mut self.exponents) {
            *value = sign_magnitude(c);
            *exponent = exponent_of(c);
        }
        if bottom.is_empty() {
            self.lower.fill(0);
        }
        let columns = self.bottom.iter_mut().zip(&mut self.exponents);
        for ((&c, (value, both)), lower) in bottom.iter().zip(columns).zip(&mut self.lower[1..]) {
            let exponent = exponent_of(c);
            *value = sign_magnitude(c);
            *both |= exponent << 8;
            *lower = exponent as u8;
        }
        let mut tallest = [0; COLUMNS];
        for (tallest, both) in tallest.iter_mut().zip(&self.exponents) {
            *tallest = (*both as u8).max((both >> 8) as u8);
        }
        for x in 0..COLUMNS - 1 {
            self.largest[x] = tallest[x].max(tallest[x + 1]);
        }
    }

    /// Exponents of the quad whose left column is `x`, one a byte, in the order of its samples.
    #[inline(always)]
    fn exponents(&self, x: usize) -> u32 {
        u32::from(self.exponents[x]) | u32::from(self.exponents[x + 1]) << 16
    }
}

/// Twice the magnitude less two, plus 1 if negative; meaningless for 0.
#[inline(always)]
fn sign_magnitude(c: i32) -> u32 {
    (2 * c.unsigned_abs()).wrapping_sub(2) + ((c as u32) >> 31)
}

/// Bits in twice the magnitude less one (T.814, 7.2); 0 for 0.
///
/// A float of up to 24 bits is exact, so its own exponent is the number of bits; unlike counting
/// zeros this works on several samples at once.
#[inline(always)]
fn exponent_of(c: i32) -> u16 {
    const BIAS: u32 = 126;
    let doubled = (2 * c.unsigned_abs() as i32 - 1).max(0);
    ((doubled as f32).to_bits() >> 23).max(BIAS).wrapping_sub(BIAS) as u16
}

const BYTES_OF_ONE: u32 = 0x0101_0101;

/// Spreads four bits over four bytes.
const BYTES_OF_BITS: [u32; 16] = {
    let mut table = [0; 16];
    let mut i = 0;
    while i < 16 {
        let bits = i as u32;
        table[i] = (bits & 1) | (bits & 2) << 7 | (bits & 4) << 14 | (bits & 8) << 21;
        i += 1;
    }
    table
};

/// One bit for each byte that is not 0, lowest first; no byte is above 0x80.
#[inline(always)]
fn nonzero_bytes(bytes: u32) -> u32 {
    let tops = (bytes + 0x7F * BYTES_OF_ONE) >> 7 & BYTES_OF_ONE;
    tops.wrapping_mul(0x1020_4080) >> 28
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exponents_count_bits() {
        for c in (0..1 << 21).chain([-1, -2, -3, -4, -1000]) {
            let twice_less_one = (2 * i64::from(c).unsigned_abs()).saturating_sub(1);
            assert_eq!(
                u32::from(exponent_of(c)),
                u64::BITS - twice_less_one.leading_zeros()
            );
        }
    }

    #[test]
    fn patterns_gather_and_spread() {
        for (bits, bytes) in (0..).zip(BYTES_OF_BITS) {
            assert_eq!(nonzero_bytes(bytes * 0x15), bits);
        }
        assert_eq!(magnitude_bits(&[0, -4, 3]), 3);
        assert_eq!(magnitude_bits(&[0, 0]), 0);
    }
}
