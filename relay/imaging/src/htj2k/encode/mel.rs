//! Adaptive run-length coder of the events that are nearly always "no" (ITU-T T.814, 7.3.3).
//! Its bytes follow the MagSgn bytes and grow towards the VLC bytes.

use super::super::tables::MEL_EXPONENTS;

/// Events of one code block. Bytes never exceed [`MEL_BYTES_MAX`].
#[derive(Debug)]
pub struct MelEncoder {
    bytes: [u8; MEL_BYTES_MAX],
    n_bytes: usize,
    partial: PartialByte,
    /// Events "no" since the last code word.
    run: u32,
    /// Index into the exponents, 0 to 12.
    state: usize,
}

/// A block of 64 by 64 samples has at most 1024 quads and 16 more events in its first row, each
/// costing at most 6 bits, in bytes of at least 7.
pub const MEL_BYTES_MAX: usize = 1024;

/// Bits that do not fill a byte, highest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PartialByte {
    /// The bits so far, in the low end.
    bits: u8,
    /// Bits still free: 8 down to 1, or 7 down to 1 after a byte of 0xFF.
    n_free: u32,
}

impl PartialByte {
    /// The bits at their final place; free bits are 0.
    pub fn value(self) -> u8 {
        ((u32::from(self.bits) << self.n_free) & 0xFF) as u8
    }

    /// Ones where `value` counts; the stuffed bit after 0xFF does.
    pub fn mask(self) -> u8 {
        ((0xFF_u32 << self.n_free) & 0xFF) as u8
    }
}

impl Default for MelEncoder {
    fn default() -> Self {
        Self {
            bytes: [0; MEL_BYTES_MAX],
            n_bytes: 0,
            partial: PartialByte { bits: 0, n_free: 8 },
            run: 0,
            state: 0,
        }
    }
}

impl MelEncoder {
    pub fn clear(&mut self) {
        self.n_bytes = 0;
        self.partial = PartialByte { bits: 0, n_free: 8 };
        self.run = 0;
        self.state = 0;
    }

    /// Appends one event.
    #[inline]
    pub fn put(&mut self, happened: bool) {
        let exponent = u32::from(MEL_EXPONENTS[self.state]);
        if happened {
            self.put_bit(0);
            for place in (0..exponent).rev() {
                self.put_bit((self.run >> place) as u8 & 1);
            }
            self.run = 0;
            self.state = self.state.saturating_sub(1);
            return;
        }
        self.run += 1;
        if self.run == 1 << exponent {
            self.put_bit(1);
            self.run = 0;
            self.state = (self.state + 1).min(MEL_EXPONENTS.len() - 1);
        }
    }

    fn put_bit(&mut self, bit: u8) {
        self.partial.bits = (self.partial.bits << 1) | bit;
        self.partial.n_free -= 1;
        if self.partial.n_free > 0 {
            return;
        }
        self.bytes[self.n_bytes] = self.partial.bits;
        self.n_bytes += 1;
        // After 0xFF the top bit stays 0, so that no marker can appear (T.814, 7.1.3).
        let n_free = if self.partial.bits == 0xFF { 7 } else { 8 };
        self.partial = PartialByte { bits: 0, n_free };
    }

    /// Ends the events: the whole bytes, and what remains of the last.
    pub fn finish(&mut self) -> (&[u8], PartialByte) {
        if self.run > 0 {
            self.put_bit(1);
            self.run = 0;
        }
        (&self.bytes[..self.n_bytes], self.partial)
    }
}
