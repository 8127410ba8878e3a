//! A row of bits, first bit lowest, before any byte is stuffed.
//! Writing costs the same whatever the bits are; the stuffing rules of each stream are applied
//! afterwards, a word at a time.

/// Bits gathered for one code block. The capacity is fixed: `N - 8` bytes.
#[derive(Debug)]
pub struct BitRow<const N: usize> {
    bytes: Box<[u8; N]>,
    /// Whole bytes written.
    n_bytes: usize,
    pending: u64,
    /// Bits in `pending`, 0 to 7 between calls.
    n_pending: u32,
}

impl<const N: usize> Default for BitRow<N> {
    fn default() -> Self {
        Self {
            bytes: Box::new([0; N]),
            n_bytes: 0,
            pending: 0,
            n_pending: 0,
        }
    }
}

impl<const N: usize> BitRow<N> {
    pub fn clear(&mut self) {
        self.n_bytes = 0;
        self.pending = 0;
        self.n_pending = 0;
    }

    /// Appends the low `n` bits of `word`, at most 56; the others are 0.
    #[inline(always)]
    pub fn put(&mut self, word: u64, n: u32) {
        self.pending |= word << self.n_pending;
        self.n_pending += n;
        self.bytes[self.n_bytes..self.n_bytes + 8].copy_from_slice(&self.pending.to_le_bytes());
        self.n_bytes += (self.n_pending >> 3) as usize;
        self.pending >>= self.n_pending & !7;
        self.n_pending &= 7;
    }

    /// Bits written.
    pub fn len(&self) -> usize {
        self.n_bytes * 8 + self.n_pending as usize
    }

    /// At least 57 bits from bit `position` on, lowest first; what lies beyond the end is undefined.
    #[inline(always)]
    pub fn peek(&self, position: usize) -> u64 {
        let first = position >> 3;
        let mut word = [0; 8];
        word.copy_from_slice(&self.bytes[first..first + 8]);
        u64::from_le_bytes(word) >> (position & 7)
    }
}

/// Whether any of the low seven bytes is 0xFF once `ignored` is set in each.
#[inline(always)]
pub fn any_full_byte(word: u64, ignored: u64) -> bool {
    const LOW_SEVEN: u64 = 0x00FF_FFFF_FFFF_FFFF;
    const ONES: u64 = 0x0001_0101_0101_0101;
    // A byte is 0xFF if and only if its complement is 0; the lowest such byte always shows.
    let zeros = !(word | ignored) & LOW_SEVEN;
    zeros.wrapping_sub(ONES) & !zeros & (ONES << 7) != 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gives_back_what_was_put() {
        let mut row = BitRow::<256>::default();
        let words: Vec<(u64, u32)> = (0..60)
            .map(|i| ((0x5A_5A5A >> (i % 9)) & ((1 << (i % 20)) - 1), i % 20))
            .collect();
        for &(word, n) in &words {
            row.put(word, n);
        }
        let mut position = 0;
        for &(word, n) in &words {
            assert_eq!(row.peek(position) & ((1 << n) - 1), word);
            position += n as usize;
        }
        assert_eq!(row.len(), position);
    }

    #[test]
    fn finds_full_bytes_in_the_low_seven_only() {
        for byte in 0..7 {
            assert!(any_full_byte(0xFF << (8 * byte), 0));
            assert!(!any_full_byte(0xFE << (8 * byte), 0));
            assert!(any_full_byte(0x7F << (8 * byte), 0x0080_8080_8080_8080));
        }
        assert!(!any_full_byte(0xFF << 56, 0));
        assert!(!any_full_byte(0x0001_0080_7F80_01FE, 0));
    }
}
