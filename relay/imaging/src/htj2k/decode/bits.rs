//! The two bit streams of a code block that are read in any-length pieces: MagSgn, forwards, and VLC, backwards
//! (ITU-T T.814, 7.1.2 and 7.1.4). Both are first laid out in a buffer without their stuffing bits, so that the
//! hot loops read 57 bits at any position with one load and never look at stuffing.

use super::super::DecodeError;

/// Bytes past the end of the bits that a load may touch.
const TAIL_BYTES: usize = 16;

/// Bits of one segment without stuffing, first bit in bit 0 of the first byte. Reused from block to block.
#[derive(Default)]
pub struct BitBuffer {
    bytes: Vec<u8>,
    /// Bits that came from the segment; what follows is fill.
    n_bits: usize,
}

/// Collects bits into a [`BitBuffer`].
struct Writer<'a> {
    bytes: &'a mut [u8],
    position: usize,
    pending: u64,
    n_pending: u32,
}

impl Writer<'_> {
    #[inline]
    fn push_byte(&mut self, bits: u8, n: u32) {
        self.pending |= u64::from(bits) << self.n_pending;
        self.n_pending += n;
        if self.n_pending >= 8 {
            self.bytes[self.position] = self.pending as u8;
            self.position += 1;
            self.pending >>= 8;
            self.n_pending -= 8;
        }
    }

    /// Appends 64 bits; fewer than 8 are pending before and after.
    #[inline]
    fn push_word(&mut self, word: u64) {
        let out = self.pending | word << self.n_pending;
        self.bytes[self.position..self.position + 8].copy_from_slice(&out.to_le_bytes());
        self.position += 8;
        self.pending = word >> 1 >> (63 - self.n_pending);
    }
}

impl BitBuffer {
    /// Lays out a MagSgn segment: a byte after 0xFF has 7 bits; past the end come ones.
    pub fn fill_forward(&mut self, segment: &[u8]) {
        let mut out = Self::writer(&mut self.bytes, segment.len());
        let mut rest = segment;
        let mut after_ff = false;
        while let Some((&byte, tail)) = rest.split_first() {
            if let Some(chunk) = rest.first_chunk::<8>().filter(|_| !after_ff) {
                let word = u64::from_le_bytes(*chunk);
                if !has_ff(word) {
                    out.push_word(word);
                    rest = &rest[8..];
                    continue;
                }
            }
            if after_ff {
                out.push_byte(byte & 0x7F, 7);
            } else {
                out.push_byte(byte, 8);
            }
            after_ff = byte == 0xFF;
            rest = tail;
        }
        self.n_bits = Self::finish(out, 0xFF);
    }

    /// Lays out the VLC bits of a suffix segment of at least 2 bytes: from its end backwards, without the 12
    /// bits that hold its length; a byte with 7 ones below, read after one above 0x8F, has 7 bits.
    /// Past the end come zeros.
    pub fn fill_backward(&mut self, suffix: &[u8]) {
        let mut out = Self::writer(&mut self.bytes, suffix.len());
        let (mut rest, first) = match suffix {
            [rest @ .., byte, _] => (rest, *byte),
            _ => (suffix, 0),
        };
        let n_first = if first >> 4 & 7 == 7 { 3 } else { 4 };
        out.push_byte(first >> 4 & ((1 << n_first) - 1), n_first);
        let mut last = first | 0x0F;
        while let Some((&byte, tail)) = rest.split_last() {
            if let Some(chunk) = rest.last_chunk::<8>() {
                let word = u64::from_be_bytes(*chunk);
                if !has_seven_ones(word) {
                    out.push_word(word);
                    last = chunk[0];
                    rest = &rest[..rest.len() - 8];
                    continue;
                }
            }
            if last > 0x8F && byte & 0x7F == 0x7F {
                out.push_byte(0x7F, 7);
            } else {
                out.push_byte(byte, 8);
            }
            last = byte;
            rest = tail;
        }
        self.n_bits = Self::finish(out, 0);
    }

    /// At least 57 bits from a position on, the first in bit 0.
    #[inline(always)]
    pub fn window(&self, position: usize) -> u64 {
        let byte = (position >> 3).min(self.bytes.len().saturating_sub(8));
        match self.bytes[byte..].first_chunk::<8>() {
            Some(chunk) => u64::from_le_bytes(*chunk) >> (position & 7),
            None => 0,
        }
    }

    /// Refuses a position that lies further past the end of the segment than dropped fill can explain.
    pub fn check_end(&self, position: usize) -> Result<(), DecodeError> {
        if position > self.n_bits + 16 {
            return Err(DecodeError::Malformed("a code block reads past its bytes"));
        }
        Ok(())
    }

    fn writer(bytes: &mut Vec<u8>, segment_len: usize) -> Writer<'_> {
        bytes.resize(segment_len + 8 + TAIL_BYTES, 0);
        Writer {
            bytes,
            position: 0,
            pending: 0,
            n_pending: 0,
        }
    }

    fn finish(out: Writer<'_>, fill: u8) -> usize {
        let n_bits = out.position * 8 + out.n_pending as usize;
        let (_, tail) = out.bytes.split_at_mut(out.position);
        tail.fill(fill);
        tail[0] = (u64::from(fill) << out.n_pending | out.pending) as u8;
        n_bits
    }
}

/// Whether any byte is 0xFF.
#[inline]
fn has_ff(word: u64) -> bool {
    const LOW: u64 = 0x7F7F_7F7F_7F7F_7F7F;
    ((word & LOW) + (LOW / 0x7F)) & word & !LOW != 0
}

/// Whether any byte has its 7 lower bits set.
#[inline]
fn has_seven_ones(word: u64) -> bool {
    const LOW: u64 = 0x7F7F_7F7F_7F7F_7F7F;
    ((word & LOW) + (LOW / 0x7F)) & !LOW != 0
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn forward_bits(segment: &[u8]) -> Vec<bool> {
        let mut bits = Vec::new();
        let mut after_ff = false;
        for &byte in segment {
            bits.extend((0..if after_ff { 7 } else { 8 }).map(|n| byte >> n & 1 == 1));
            after_ff = byte == 0xFF;
        }
        bits
    }

    fn backward_bits(suffix: &[u8]) -> Vec<bool> {
        let mut bits = Vec::new();
        let mut last = 0xFF;
        for (idx, &byte) in suffix.iter().rev().skip(1).enumerate() {
            let byte = if idx == 0 { byte | 0x0F } else { byte };
            let stuffed = byte & 0x7F == 0x7F && (idx == 0 || last > 0x8F);
            bits.extend((0..if stuffed { 7 } else { 8 }).map(|n| byte >> n & 1 == 1));
            last = byte;
        }
        bits.drain(..4);
        bits
    }

    /// Bytes with many of the values that stuffing looks for.
    fn segment() -> impl Strategy<Value = Vec<u8>> {
        let byte = prop_oneof![
            Just(0xFF_u8),
            Just(0x7F),
            Just(0x90),
            any::<u8>(),
            any::<u8>(),
            any::<u8>(),
            any::<u8>()
        ];
        prop::collection::vec(byte, 2..100)
    }

    proptest! {
        #[test]
        fn layouts_equal_the_bitwise_reading(segment in segment()) {
            let mut buffer = BitBuffer::default();
            for (expected, fill) in [(forward_bits(&segment), true), (backward_bits(&segment), false)] {
                if fill {
                    buffer.fill_forward(&segment);
                } else {
                    buffer.fill_backward(&segment);
                }
                prop_assert_eq!(buffer.n_bits, expected.len());
                for position in 0..expected.len() + 80 {
                    let window = buffer.window(position);
                    for ahead in 0..57 {
                        let wanted = expected.get(position + ahead).copied().unwrap_or(fill);
                        prop_assert_eq!(window >> ahead & 1 == 1, wanted, "bit {}", position + ahead);
                    }
                }
            }
        }
    }
}
