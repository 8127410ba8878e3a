//! The bits of a scan and its Golomb codes.

use super::super::CodecError;

/// Bits of a scan: a byte of ones is followed by one of seven bits (T.87 section A.1).
pub(super) struct Bits<'a> {
    bytes: &'a [u8],
    at: usize,
    held: u32,
    n_held: u32,
    is_behind_ones: bool,
}

impl<'a> Bits<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self {
            bytes,
            at: 0,
            held: 0,
            n_held: 0,
            is_behind_ones: false,
        }
    }

    fn fill(&mut self) -> Result<(), CodecError> {
        let byte = *self.bytes.get(self.at).ok_or(CodecError::Truncated)?;
        // A marker ends the scan.
        if self.is_behind_ones && byte >= 0x80
            || byte == 0xFF && self.bytes.get(self.at + 1).is_none_or(|next| *next >= 0x80)
        {
            return Err(CodecError::Truncated);
        }
        self.n_held = if self.is_behind_ones { 7 } else { 8 };
        self.held = u32::from(byte);
        self.is_behind_ones = byte == 0xFF;
        self.at += 1;
        Ok(())
    }

    pub(super) fn bit(&mut self) -> Result<bool, CodecError> {
        if self.n_held == 0 {
            self.fill()?;
        }
        self.n_held -= 1;
        Ok(self.held >> self.n_held & 1 == 1)
    }

    pub(super) fn take(&mut self, mut n_bits: u32) -> Result<u32, CodecError> {
        let mut value = 0;
        while n_bits > 0 {
            if self.n_held == 0 {
                self.fill()?;
            }
            let n = n_bits.min(self.n_held);
            self.n_held -= n;
            value = value << n | self.held >> self.n_held & ((1 << n) - 1);
            n_bits -= n;
        }
        Ok(value)
    }

    /// A mapped error (T.87 section A.5.3).
    pub(super) fn golomb(&mut self, k: u32, limit: u32, error_bits: u32) -> Result<i32, CodecError> {
        let Some(unary_max) = limit.checked_sub(error_bits + 1) else {
            return Err(CodecError::Malformed("limit of a code"));
        };
        let mut n_zeros = 0;
        while !self.bit()? {
            n_zeros += 1;
            if n_zeros > unary_max {
                return Err(CodecError::Malformed("a code that is too long"));
            }
        }
        let value = if n_zeros < unary_max {
            n_zeros << k | self.take(k)?
        } else {
            self.take(error_bits)? + 1
        };
        i32::try_from(value)
            .ok()
            .filter(|value| *value <= 1 << 20)
            .ok_or(CodecError::Malformed("an error that is too large"))
    }

    /// The place behind the scan.
    pub(super) fn end(&self) -> Result<usize, CodecError> {
        // A byte of ones is followed by one that only fills up.
        let at = self.at + usize::from(self.is_behind_ones);
        match self.bytes.get(at..at + 2) {
            Some([0xFF, marker]) if *marker >= 0x80 => Ok(at),
            _ => Err(CodecError::Truncated),
        }
    }
}
