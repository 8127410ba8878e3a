//! Variable-length codes of quads (ITU-T T.814, 7.3.5 and 7.3.6): last in the segment, read
//! backwards from its end. The code words are derived from `tables`, at compile time.

use super::super::tables::{FIRST_ROW_CODES, LATER_ROW_CODES, OFFSET_PREFIXES, QuadCode};
use super::bits::{BitRow, any_full_byte};

/// 512 pairs of quads of at most 2 * 7 bits of CxtVLC and 2 * 8 of U-VLC, and the writer's margin.
const ROW_BYTES: usize = 512 * 30 / 8 + 16;

/// Code words of one code block.
pub type VlcBits = BitRow<ROW_BYTES>;

/// Most bytes [`write_vlc`] needs.
pub const VLC_BYTES_MAX: usize = ROW_BYTES * 8 / 7 + 16;

/// The code word of a quad.
///
/// `known` are the samples whose exponent the word itself gives away: they send one bit less.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QuadWord {
    pub word: u8,
    pub length: u8,
    pub known: u8,
}

/// Code words by context, significance and the samples that reach the exponent bound (none if the
/// bound is the predicted one): see [`quad_index`].
pub type QuadWords = [QuadWord; 2048];

/// Words for the first row of quads.
pub static FIRST_ROW_WORDS: QuadWords = quad_words(&FIRST_ROW_CODES);
/// Words for all other rows.
pub static LATER_ROW_WORDS: QuadWords = quad_words(&LATER_ROW_CODES);

/// Index into [`QuadWords`]; all three in range (3, 4 and 4 bits).
#[inline(always)]
pub fn quad_index(context: u32, significance: u32, reaching: u32) -> usize {
    (((context << 8) | (significance << 4) | reaching) & 2047) as usize
}

/// Picks for every quad the row that gives away most exponents.
const fn quad_words(rows: &[u32]) -> QuadWords {
    let mut words = [QuadWord {
        word: 0,
        length: 0,
        known: 0,
    }; 2048];
    let mut i = 0;
    while i < rows.len() {
        let row = QuadCode::unpack(rows[i]);
        let mut reaching = 0;
        while reaching < 16 {
            let possible = reaching & !row.significance == 0
                && reaching & row.known == row.reaches
                && (reaching != 0) == row.has_offset;
            let index = (row.context as usize) << 8 | (row.significance as usize) << 4 | reaching as usize;
            let old = words[index];
            if possible && (old.length == 0 || old.known.count_ones() < row.known.count_ones()) {
                words[index] = QuadWord {
                    word: row.word,
                    length: row.length,
                    known: row.known,
                };
            }
            reaching += 1;
        }
        i += 1;
    }
    words
}

/// U-VLC code of one offset: prefix, then suffix. No extension: offsets stay below 32.
#[derive(Clone, Copy, Debug)]
struct Offset {
    prefix: u32,
    prefix_bits: u32,
    suffix: u32,
    suffix_bits: u32,
}

static OFFSETS: [Offset; 32] = offsets();

const fn offsets() -> [Offset; 32] {
    let mut codes = [Offset {
        prefix: 0,
        prefix_bits: 0,
        suffix: 0,
        suffix_bits: 0,
    }; 32];
    let mut value = 1;
    while value < 32 {
        let mut row = OFFSET_PREFIXES.len() - 1;
        while OFFSET_PREFIXES[row].base as usize > value {
            row -= 1;
        }
        let prefix = OFFSET_PREFIXES[row];
        codes[value] = Offset {
            prefix: prefix.word as u32,
            prefix_bits: prefix.length as u32,
            suffix: value as u32 - prefix.base as u32,
            suffix_bits: prefix.suffix_bits as u32,
        };
        value += 1;
    }
    codes
}

/// A code word with its length in bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PairWord {
    pub word: u32,
    pub length: u32,
}

/// The U-VLC codes of a pair of offsets, each 0 to 31, outside the first row of quads: both
/// prefixes, then both suffixes (T.814, 7.3.6).
#[inline(always)]
pub fn offset_pair(first: u32, second: u32) -> PairWord {
    let (a, b) = (OFFSETS[(first & 31) as usize], OFFSETS[(second & 31) as usize]);
    let prefix_bits = a.prefix_bits + b.prefix_bits;
    PairWord {
        word: a.prefix
            | b.prefix << a.prefix_bits
            | a.suffix << prefix_bits
            | b.suffix << (prefix_bits + a.suffix_bits),
        length: prefix_bits + a.suffix_bits + b.suffix_bits,
    }
}

/// The same in the first row of quads, where a MEL event says whether both offsets exceed 2, and
/// if not, an offset after one above 2 takes a single bit (T.814, 7.3.6).
pub fn first_row_offset_pair(first: u32, second: u32) -> PairWord {
    if first > 2 && second > 2 {
        return offset_pair(first - 2, second - 2);
    }
    if first > 2 && second > 0 {
        let a = OFFSETS[(first & 31) as usize];
        return PairWord {
            word: a.prefix | (second - 1) << a.prefix_bits | a.suffix << (a.prefix_bits + 1),
            length: a.prefix_bits + 1 + a.suffix_bits,
        };
    }
    offset_pair(first, second)
}

/// Bits that do not fill a byte, lowest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VlcTail {
    /// The bits; free bits are 0.
    pub value: u8,
    /// Ones where `value` counts.
    pub mask: u8,
}

/// Starts a row: the first byte and a half are where the length of the segment will be written,
/// and until then are ones (T.814, 7.1.4); the first byte itself is not in the row.
pub fn start_vlc(bits: &mut VlcBits) {
    bits.clear();
    bits.put(0xF, 4);
}

/// Writes the bits into `output` in the order of reading, that is from the last byte of the segment
/// towards its front, and returns the bytes written and what remains.
///
/// After a byte above 0x8F, seven ones make a byte of their own, so that no marker can appear.
pub fn write_vlc(bits: &VlcBits, output: &mut [u8; VLC_BYTES_MAX]) -> (usize, VlcTail) {
    const TOP_BITS: u64 = 0x0080_8080_8080_8080;
    output[0] = 0xFF;
    let n_bits = bits.len();
    let (mut position, mut n_bytes, mut last) = (0, 1, 0xFF);
    while position + 56 <= n_bits {
        let word = bits.peek(position);
        if !any_full_byte(word, TOP_BITS) {
            output[n_bytes..n_bytes + 8].copy_from_slice(&word.to_le_bytes());
            n_bytes += 7;
            position += 56;
            last = output[n_bytes - 1];
            continue;
        }
        let (byte, n) = next_byte(word, last);
        output[n_bytes] = byte;
        n_bytes += 1;
        position += n;
        last = byte;
    }
    loop {
        let n_left = n_bits - position;
        let word = bits.peek(position);
        let (byte, n) = next_byte(word, last);
        if n > n_left {
            let mask = ((1_u32 << n_left) - 1) as u8;
            return (
                n_bytes,
                VlcTail {
                    value: byte & mask,
                    mask,
                },
            );
        }
        output[n_bytes] = byte;
        n_bytes += 1;
        position += n;
        last = byte;
    }
}

/// The next byte after `last`, and how many bits of `word` it holds.
fn next_byte(word: u64, last: u8) -> (u8, usize) {
    if last > 0x8F && word & 0x7F == 0x7F {
        (0x7F, 7)
    } else {
        ((word & 0xFF) as u8, 8)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_fits_its_row_and_its_quad() {
        for (words, rows) in [
            (&FIRST_ROW_WORDS, &FIRST_ROW_CODES[..]),
            (&LATER_ROW_WORDS, &LATER_ROW_CODES[..]),
        ] {
            for context in 0..8_u32 {
                for significance in u32::from(context == 0)..16 {
                    for reaching in (0..16).filter(|r| r & !significance == 0) {
                        let chosen = words[quad_index(context, significance, reaching)];
                        let row = rows
                            .iter()
                            .map(|&packed| QuadCode::unpack(packed))
                            .find(|row| {
                                u32::from(row.context) == context
                                    && (row.word, row.length) == (chosen.word, chosen.length)
                            })
                            .expect("the word is in the table");
                        assert_eq!(u32::from(row.significance), significance);
                        assert_eq!(row.has_offset, reaching != 0);
                        assert_eq!(row.known, chosen.known);
                        assert_eq!(u32::from(row.reaches), reaching & u32::from(row.known));
                    }
                }
            }
        }
    }

    #[test]
    fn offsets_follow_table_3() {
        for (first, second, word, length) in [
            (0, 0, 0, 0),
            (1, 0, 0b1, 1),
            (2, 1, 0b110, 3),
            (3, 4, 0b1010_0100, 8),
            (5, 20, 0b0111_1000_0000_0000, 16),
        ] {
            assert_eq!(offset_pair(first, second), PairWord { word, length });
        }
        for (first, second, word, length) in [
            (3, 3, 0b11, 2),
            (4, 2, 0b1_1100, 5),
            (5, 1, 0, 9),
            (2, 5, 0b10, 10),
            (5, 0, 0, 8),
        ] {
            assert_eq!(first_row_offset_pair(first, second), PairWord { word, length });
        }
    }

    #[test]
    fn seven_ones_after_a_high_byte_stand_alone() {
        let mut bits = VlcBits::default();
        start_vlc(&mut bits);
        bits.put(0x7, 3);
        bits.put(0x7F, 8);
        let mut output = [0; VLC_BYTES_MAX];
        let (n, tail) = write_vlc(&bits, &mut output);
        assert_eq!(output[..n], [0xFF, 0x7F, 0x7F]);
        assert_eq!(tail, VlcTail { value: 0, mask: 0 });
    }

    /// Long rows take the path of seven bytes at a time, wherever high bytes fall.
    #[test]
    fn long_rows_read_back() {
        for period in 1..40 {
            let words: Vec<u64> = (0..900)
                .map(|i| {
                    if i % period < 2 {
                        0x1FFF
                    } else {
                        (0x0A5A ^ (i * 77)) & 0x1FFF
                    }
                })
                .collect();
            let mut bits = VlcBits::default();
            start_vlc(&mut bits);
            for &word in &words {
                bits.put(word, 13);
            }
            let mut output = [0; VLC_BYTES_MAX];
            let (n, tail) = write_vlc(&bits, &mut output);
            output[n] = tail.value;
            let mut read = Vec::new();
            for i in 1..=n {
                let n = if output[i - 1] > 0x8F && output[i] & 0x7F == 0x7F {
                    7
                } else {
                    8
                };
                assert!(!(output[i - 1] > 0x8F && output[i] == 0xFF));
                read.extend((0..n).map(|b| u64::from(output[i] >> b) & 1));
            }
            for (i, &word) in words.iter().enumerate() {
                let value = (0..13).fold(0, |v, b| v | read[4 + i * 13 + b] << b);
                assert_eq!(value, word);
            }
        }
    }
}
