//! The MEL decoder: adaptive run lengths that say whether a quad in an all-zero context has anything in it
//! (ITU-T T.814, 7.3.3).

use super::super::tables::MEL_EXPONENTS;

/// Reads MEL events from the suffix segment of one code block.
///
/// Past its bytes the stream goes on with ones, as the standard has it, so reading never fails.
pub struct MelDecoder<'a> {
    bytes: &'a [u8],
    position: usize,
    /// Bits not yet used, the next one in bit 63.
    window: u64,
    n_bits: u32,
    after_ff: bool,
    state: usize,
    /// Zero events left before the current run ends.
    zeros: u32,
    /// Whether the current run ends with a one.
    ends_with_one: bool,
}

impl<'a> MelDecoder<'a> {
    /// Starts on a suffix segment; its last 12 bits, which hold its own length, read as ones.
    pub fn new(suffix: &'a [u8]) -> Self {
        Self {
            bytes: suffix,
            position: 0,
            window: 0,
            n_bits: 0,
            after_ff: false,
            state: 0,
            zeros: 0,
            ends_with_one: false,
        }
    }

    /// The next event.
    #[inline]
    pub fn next_event(&mut self) -> bool {
        loop {
            if self.zeros > 0 {
                self.zeros -= 1;
                return false;
            }
            if self.ends_with_one {
                self.ends_with_one = false;
                return true;
            }
            self.read_run();
        }
    }

    fn read_run(&mut self) {
        if self.n_bits < 8 {
            self.refill();
        }
        let exponent = u32::from(MEL_EXPONENTS[self.state]);
        if self.window >> 63 == 1 {
            self.zeros = 1 << exponent;
            self.state = (self.state + 1).min(MEL_EXPONENTS.len() - 1);
            self.skip(1);
        } else {
            self.zeros = ((self.window << 1) >> 32 >> (32 - exponent)) as u32;
            self.ends_with_one = true;
            self.state = self.state.saturating_sub(1);
            self.skip(1 + exponent);
        }
    }

    fn skip(&mut self, n: u32) {
        self.window <<= n;
        self.n_bits -= n;
    }

    fn refill(&mut self) {
        while self.n_bits <= 48 {
            let from_end = self.bytes.len().saturating_sub(self.position);
            let byte = match from_end {
                0 | 1 => 0xFF,
                2 => self.bytes[self.position] | 0x0F,
                _ => self.bytes[self.position],
            };
            self.position += usize::from(from_end > 0);
            let n = if self.after_ff { 7 } else { 8 };
            self.after_ff = byte == 0xFF;
            let bits = u64::from(byte) & ((1 << n) - 1);
            self.n_bits += n;
            self.window |= bits << (64 - self.n_bits);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 1 promises 2^exponent zeros and raises the state; 0 gives the count of zeros before a one.
    #[test]
    fn reads_runs() {
        // 1, 1, 1 (exponents 0: three zeros), 1 (exponent 1: two zeros), 0 1 (exponent 1: one zero, then a one)
        let mut mel = MelDecoder::new(&[0b1111_0100, 0, 0, 0]);
        let events: Vec<bool> = (0..7).map(|_| mel.next_event()).collect();
        assert_eq!(events, [false, false, false, false, false, false, true]);
    }

    #[test]
    fn goes_on_with_ones_past_the_end() {
        let mut mel = MelDecoder::new(&[0xFF, 0xFF]);
        assert!((0..100_000).all(|_| !mel.next_event()));
    }
}
