//! First half of a code block: which samples of each quad are not zero, what is known of their exponents, and
//! how far the exponent bound exceeds its predictor (ITU-T T.814, 7.3.3 to 7.3.6).

use super::super::DecodeError;
use super::super::tables::{
    FIRST_ROW_CODES, LATER_ROW_CODES, OFFSET_EXTENSION_BITS, OFFSET_EXTENSION_FROM, OFFSET_PREFIXES, QuadCode,
};
use super::bits::BitBuffer;
use super::mel::MelDecoder;

/// What the VLC bits say about one quad. Sample order in each pattern as in [`QuadCode`].
#[derive(Clone, Copy, Default)]
pub struct Quad(u32);

impl Quad {
    /// Which samples are not zero.
    #[inline(always)]
    pub fn significance(self) -> u32 {
        self.0 >> 4 & 0xF
    }

    /// Samples of which it is known whether their exponent reaches the bound.
    #[inline(always)]
    pub fn known(self) -> u32 {
        self.0 >> 12 & 0xF
    }

    /// Those of the known samples whose exponent reaches the bound.
    #[inline(always)]
    pub fn reaches(self) -> u32 {
        self.0 >> 8 & 0xF
    }

    /// By how much the exponent bound exceeds its predictor.
    #[inline(always)]
    pub fn offset(self) -> u32 {
        self.0 >> 16
    }
}

/// By context and the next 7 bits: bits 0 to 2 code length, bit 3 whether an offset follows, then 4 bits each of
/// significance, reaches and known.
type QuadTable = [u16; 8 * 128];

static FIRST_ROW: QuadTable = quad_table(&FIRST_ROW_CODES);
static LATER_ROW: QuadTable = quad_table(&LATER_ROW_CODES);

const fn quad_table(rows: &[u32]) -> QuadTable {
    let mut table = [0; 8 * 128];
    let mut row = 0;
    while row < rows.len() {
        let code = QuadCode::unpack(rows[row]);
        let entry = code.length as u16
            | (code.has_offset as u16) << 3
            | (code.significance as u16) << 4
            | (code.reaches as u16) << 8
            | (code.known as u16) << 12;
        let mut window = code.word as usize;
        while window < 128 {
            table[code.context as usize * 128 + window] = entry;
            window += 1 << code.length;
        }
        row += 1;
    }
    table
}

/// By which of the two quads have an offset (bit 0 the first, bit 1 the second) and the next 6 bits: bits 0 to 3
/// length of all prefixes, 4 to 7 and 8 to 11 suffix lengths of first and second, 12 to 14 and 15 to 17 their
/// bases. Entries from 4 * 64 on are for the first row with offsets in both quads and no MEL event, where a
/// first prefix of three bits leaves one bit for the second.
static OFFSETS: [u32; 5 * 64] = offset_table();

const fn offset_table() -> [u32; 5 * 64] {
    let mut table = [0; 5 * 64];
    let mut idx = 64;
    while idx < table.len() {
        let mode = idx >> 6;
        let bits = idx & 63;
        let (mut first, mut second) = ([0; 3], [0; 3]);
        if mode != 2 {
            first = prefix_at(bits);
        }
        if mode == 4 && first[0] == 3 {
            second = [1, 0, 1 + (bits as u32 >> 3 & 1)];
        } else if mode != 1 {
            second = prefix_at(bits >> first[0]);
        }
        table[idx] =
            (first[0] + second[0]) | first[1] << 4 | second[1] << 8 | first[2] << 12 | second[2] << 15;
        idx += 1;
    }
    table
}

/// Length, suffix bits and base of the prefix that the bits begin with.
const fn prefix_at(bits: usize) -> [u32; 3] {
    let mut idx = 0;
    loop {
        let prefix = OFFSET_PREFIXES[idx];
        if bits & ((1 << prefix.length) - 1) == prefix.word as usize {
            return [
                prefix.length as u32,
                prefix.suffix_bits as u32,
                prefix.base as u32,
            ];
        }
        idx += 1;
    }
}

/// Offsets of a pair of quads, and the bits they take (at most 30).
#[inline(always)]
fn read_offsets(mode: usize, bits: u64) -> ([u32; 2], u32) {
    let entry = OFFSETS[mode << 6 | (bits & 63) as usize];
    let mut used = entry & 15;
    let mut read = |n: u32| {
        let value = (bits >> used) as u32 & ((1 << n) - 1);
        used += n;
        value
    };
    let suffixes = [read(entry >> 4 & 15), read(entry >> 8 & 15)];
    let mut offsets = [(entry >> 12 & 7) + suffixes[0], (entry >> 15) + suffixes[1]];
    if suffixes[0] >= OFFSET_EXTENSION_FROM {
        offsets[0] += 4 * read(OFFSET_EXTENSION_BITS);
    }
    if suffixes[1] >= OFFSET_EXTENSION_FROM {
        offsets[1] += 4 * read(OFFSET_EXTENSION_BITS);
    }
    (offsets, used)
}

/// The quads of one code block, row by row, reused from block to block.
#[derive(Default)]
pub struct Quads {
    /// Each row begins with an empty quad, and one or two follow it, so that every quad has neighbours.
    quads: Vec<Quad>,
    stride: usize,
    vlc: BitBuffer,
}

impl Quads {
    /// Reads the suffix segment of a code block of `width` by `height` samples.
    pub fn read(&mut self, suffix: &[u8], width: usize, height: usize) -> Result<(), DecodeError> {
        let columns = width.div_ceil(2);
        self.stride = columns.next_multiple_of(2) + 2;
        self.quads.clear();
        self.quads
            .resize(self.stride * (height.div_ceil(2) + 1), Quad::default());
        self.vlc.fill_backward(suffix);
        let mut mel = MelDecoder::new(suffix);
        let mut position = 0;
        let (mut above, mut rest) = self.quads.split_at_mut(self.stride);
        let mut row_idx = 0;
        while let Some((row, below)) = rest.split_at_mut_checked(self.stride) {
            position = if row_idx == 0 {
                read_first_row(&self.vlc, &mut mel, position, &mut row[..columns + 1])
            } else {
                read_later_row(&self.vlc, &mut mel, position, (above, &mut row[..columns + 1]))
            };
            check_edges(&row[1..columns + 1], width % 2 == 1, 2 * row_idx + 1 == height)?;
            (above, rest) = (row, below);
            row_idx += 1;
        }
        self.vlc.check_end(position)
    }

    /// The rows of quads, without the empty ones around them.
    pub fn rows(&self, width: usize) -> impl Iterator<Item = &[Quad]> {
        let rows = self.quads.chunks_exact(self.stride).skip(1);
        rows.map(move |row| &row[1..=width.div_ceil(2)])
    }
}

/// Refuses samples outside a block of odd width or height.
fn check_edges(row: &[Quad], no_right: bool, no_bottom: bool) -> Result<(), DecodeError> {
    let right = row
        .last()
        .filter(|_| no_right)
        .is_some_and(|quad| quad.significance() & 0b1100 != 0);
    let bottom = no_bottom && row.iter().any(|quad| quad.significance() & 0b1010 != 0);
    if right || bottom {
        return Err(DecodeError::Malformed(
            "a code block has samples outside its edges",
        ));
    }
    Ok(())
}

/// Reads one quad's code; in an all-zero context only when the MEL event says there is one.
#[inline(always)]
fn read_quad(table: &QuadTable, mel: &mut MelDecoder, context: usize, bits: u64) -> u32 {
    if context == 0 && !mel.next_event() {
        return 0;
    }
    u32::from(table[(context & 7) << 7 | (bits & 127) as usize])
}

/// Context from the significance of the left neighbour alone (T.814, 7.3.5).
#[inline(always)]
fn first_row_context(left: u32) -> usize {
    ((left >> 4 | left >> 5) & 1 | left >> 5 & 0b110) as usize
}

fn read_first_row(vlc: &BitBuffer, mel: &mut MelDecoder, mut position: usize, row: &mut [Quad]) -> usize {
    let mut left = 0;
    for pair in row[1..].chunks_mut(2) {
        let mut bits = vlc.window(position);
        let mut used = 0;
        let mut entries = [0; 2];
        for entry in &mut entries[..pair.len()] {
            *entry = read_quad(&FIRST_ROW, mel, first_row_context(left), bits);
            left = *entry;
            bits >>= left & 7;
            used += left & 7;
        }
        let mode = (entries[0] >> 3 & 1 | entries[1] >> 2 & 2) as usize;
        let mut offsets = [0; 2];
        if mode != 0 {
            let raised = mode == 3 && mel.next_event();
            let n;
            (offsets, n) = read_offsets(if mode == 3 && !raised { 4 } else { mode }, bits);
            used += n;
            if raised {
                offsets = offsets.map(|offset| offset + 2);
            }
        }
        for ((quad, entry), offset) in pair.iter_mut().zip(entries).zip(offsets) {
            *quad = Quad(entry | offset << 16);
        }
        position += used as usize;
    }
    position
}

/// The part of a context that comes from the row above: its samples next to the quad, left two in bit 0, right
/// two in bit 2 (T.814, 7.3.5).
#[inline(always)]
fn context_from_above(above: &[Quad; 3]) -> u32 {
    let [left, middle, right] = above.map(|quad| quad.0);
    (left >> 7 | middle >> 5) & 1 | (middle >> 5 | right >> 3) & 4
}

fn read_later_row(
    vlc: &BitBuffer,
    mel: &mut MelDecoder,
    mut position: usize,
    rows: (&[Quad], &mut [Quad]),
) -> usize {
    let (above, row) = rows;
    let mut left = 0;
    for (pair, above) in row[1..].chunks_mut(2).zip(above.windows(4).step_by(2)) {
        let &[a, b, c, d] = above else { break };
        let mut bits = vlc.window(position);
        let mut used = 0;
        let mut entries = [0; 2];
        let contexts = [context_from_above(&[a, b, c]), context_from_above(&[b, c, d])];
        for (entry, context) in entries[..pair.len()].iter_mut().zip(contexts) {
            let context = context | (left >> 5 | left >> 6) & 2;
            *entry = read_quad(&LATER_ROW, mel, context as usize, bits);
            left = *entry;
            bits >>= left & 7;
            used += left & 7;
        }
        let mode = (entries[0] >> 3 & 1 | entries[1] >> 2 & 2) as usize;
        let (offsets, n) = read_offsets(mode, bits);
        for ((quad, entry), offset) in pair.iter_mut().zip(entries).zip(offsets) {
            *quad = Quad(entry | offset << 16);
        }
        position += (used + n) as usize;
    }
    position
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Bits as they come in the stream, first one first.
    fn bits(stream: &str) -> u64 {
        let digits = stream.chars().filter_map(|digit| digit.to_digit(2)).enumerate();
        digits.map(|(n, digit)| u64::from(digit) << n).sum()
    }

    #[test]
    fn reads_prefixes_then_suffixes_then_extensions() {
        assert_eq!(read_offsets(3, bits("01 000 11111 0100")), ([2, 5 + 31 + 8], 14));
        assert_eq!(read_offsets(3, bits("000 001 00100 1")), ([5 + 4, 3 + 1], 12));
        assert_eq!(read_offsets(2, bits("001 1")), ([0, 4], 4));
        assert_eq!(read_offsets(1, bits("001 1")), ([4, 0], 4));
        assert_eq!(read_offsets(0, bits("001 1")), ([0, 0], 0));
    }

    /// In the first row without a MEL event a first prefix of three bits leaves one bit for the second.
    #[test]
    fn first_row_shortens_the_second_prefix() {
        assert_eq!(read_offsets(4, bits("001 1 1")), ([4, 2], 5));
        assert_eq!(read_offsets(4, bits("001 0 0")), ([3, 1], 5));
        assert_eq!(read_offsets(4, bits("1 01")), ([1, 2], 3));
    }
}
