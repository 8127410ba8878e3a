//! Magnitude and sign bits of a code block (ITU-T T.814, 7.4): first in the segment, read forwards.

use super::bits::{BitRow, any_full_byte};

/// 64 by 64 samples of at most 21 bits each, and the writer's margin.
const ROW_BYTES: usize = 64 * 64 * 21 / 8 + 8;

/// Magnitude and sign bits of one code block.
pub type MagSgnBits = BitRow<ROW_BYTES>;

/// Most bytes [`write_magsgn`] needs: every 7 bits may become a byte, and it writes 8 at a time.
pub const MAGSGN_BYTES_MAX: usize = ROW_BYTES * 8 / 7 + 16;

/// Writes the bits into `output` and returns how many bytes they took.
///
/// After a byte of 0xFF the next holds seven bits only, so that no marker can appear. The end is
/// filled with ones, and a last byte of 0xFF is left out: the decoder reads ones beyond the end.
pub fn write_magsgn(bits: &MagSgnBits, output: &mut [u8; MAGSGN_BYTES_MAX]) -> usize {
    let n_bits = bits.len();
    let (mut position, mut n_bytes, mut last) = (0, 0, 0);
    while position + 56 <= n_bits {
        let word = bits.peek(position);
        if last != 0xFF && !any_full_byte(word, 0) {
            output[n_bytes..n_bytes + 8].copy_from_slice(&word.to_le_bytes());
            n_bytes += 7;
            position += 56;
            last = 0;
            continue;
        }
        let (byte, n) = next_byte(word, last);
        output[n_bytes] = byte;
        n_bytes += 1;
        position += n;
        last = byte;
    }
    while position < n_bits {
        let n_left = n_bits - position;
        let word = bits.peek(position) | (u64::MAX << n_left.min(63));
        let (byte, n) = next_byte(word, last);
        position += n;
        last = byte;
        output[n_bytes] = byte;
        n_bytes += 1;
    }
    n_bytes - usize::from(last == 0xFF)
}

/// The next byte after `last`, and how many bits of `word` it holds.
fn next_byte(word: u64, last: u8) -> (u8, usize) {
    if last == 0xFF {
        ((word & 0x7F) as u8, 7)
    } else {
        ((word & 0xFF) as u8, 8)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(words: &[(u64, u32)]) -> Vec<u8> {
        let mut bits = MagSgnBits::default();
        for &(word, n) in words {
            bits.put(word, n);
        }
        let mut output = [0; MAGSGN_BYTES_MAX];
        let n = write_magsgn(&bits, &mut output);
        output[..n].to_vec()
    }

    #[test]
    fn seven_bits_follow_a_full_byte() {
        assert_eq!(written(&[(0xFF, 8), (0xFF, 8), (0, 1)]), [0xFF, 0x7F, 0xFD]);
        assert_eq!(written(&[(0xFFFF, 15)]), [0xFF, 0x7F]);
    }

    #[test]
    fn the_end_is_ones_and_a_full_last_byte_is_left_out() {
        assert_eq!(written(&[]), [0; 0]);
        assert_eq!(written(&[(0b01, 2)]), [0b1111_1101]);
        assert_eq!(written(&[(0b11, 2)]), [0; 0]);
        assert_eq!(written(&[(0x1234, 16), (0xFF, 8)]), [0x34, 0x12]);
    }

    /// Long runs take the path of seven bytes at a time, wherever full bytes fall.
    #[test]
    fn long_rows_read_back() {
        for period in 1..40 {
            let words: Vec<(u64, u32)> = (0..900)
                .map(|i| {
                    if i % period == 0 {
                        (0x1FFF, 13)
                    } else {
                        (0x0A5A ^ i, 13)
                    }
                })
                .map(|(word, n)| (word & 0x1FFF, n))
                .collect();
            let bytes = written(&words);
            let mut read = Vec::new();
            for (i, &byte) in bytes.iter().enumerate() {
                let n = if i > 0 && bytes[i - 1] == 0xFF { 7 } else { 8 };
                assert_eq!(u32::from(byte) >> n, 0);
                read.extend((0..n).map(|b| u64::from(byte >> b) & 1));
            }
            read.resize(900 * 13 + 64, 1);
            for (i, &(word, n)) in words.iter().enumerate() {
                let value = (0..n as usize).fold(0, |v, b| v | read[i * 13 + b] << b);
                assert_eq!(value, word);
            }
        }
    }
}
