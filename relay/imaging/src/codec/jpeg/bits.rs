//! Huffman codes and the bits of entropy coded data (T.81 annexes C and F.2.2).

use super::super::CodecError;

/// Bits of a code that a table look-up decides.
const LOOKUP_BITS: u32 = 9;

/// A Huffman table.
pub(super) struct Huffman {
    /// By the next bits: length and value of the code, length 0 where it is longer.
    lookup: Vec<(u8, u8)>,
    /// For each length the smallest code, the code behind the largest, and the place of the smallest one's value.
    ranges: [(u32, u32, usize); 17],
    values: Vec<u8>,
}

impl Huffman {
    /// A table of as many codes of each length as `counts` says; `None` when there are no such codes.
    pub(super) fn new(counts: &[u8], values: &[u8]) -> Option<Self> {
        let mut lookup = vec![(0, 0); 1 << LOOKUP_BITS];
        let mut ranges = [(0, 0, 0); 17];
        let (mut code, mut place) = (0_u32, 0_usize);
        for (len, count) in (1_u32..).zip(counts) {
            let end = code + u32::from(*count);
            if end > 1 << len {
                return None;
            }
            ranges[len as usize] = (code, end, place);
            for (at, value) in (code..end).zip(values.get(place..)?) {
                if len <= LOOKUP_BITS {
                    let first = (at << (LOOKUP_BITS - len)) as usize;
                    lookup[first..first + (1 << (LOOKUP_BITS - len))].fill((len as u8, *value));
                }
            }
            place += usize::from(*count);
            code = end << 1;
        }
        Some(Self {
            lookup,
            ranges,
            values: values.to_vec(),
        })
    }
}

/// Reads entropy coded data up to a marker.
pub(super) struct Bits<'a> {
    bytes: &'a [u8],
    at: usize,
    held: u64,
    n_held: u32,
    /// Bits in `held` that stand for what lies behind the data.
    n_beyond: u32,
}

impl<'a> Bits<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self {
            bytes,
            at: 0,
            held: 0,
            n_held: 0,
            n_beyond: 0,
        }
    }

    #[inline]
    fn fill(&mut self) {
        while self.n_held <= 56 {
            let byte = match self.bytes.get(self.at..) {
                Some([0xFF, 0, ..]) => {
                    self.at += 2;
                    0xFF
                }
                Some([0xFF, ..] | []) | None => {
                    self.n_beyond += 8;
                    0
                }
                Some([byte, ..]) => {
                    self.at += 1;
                    *byte
                }
            };
            self.held = self.held << 8 | u64::from(byte);
            self.n_held += 8;
        }
    }

    #[inline]
    fn peek(&self, n_bits: u32) -> u32 {
        (self.held >> (self.n_held - n_bits)) as u32 & ((1 << n_bits) - 1)
    }

    #[inline]
    fn drop_bits(&mut self, n_bits: u32) -> Result<(), CodecError> {
        self.n_held -= n_bits;
        if self.n_held < self.n_beyond {
            return Err(CodecError::Truncated);
        }
        Ok(())
    }

    /// The value of the next code.
    #[inline]
    pub(super) fn code(&mut self, table: &Huffman) -> Result<u8, CodecError> {
        if self.n_held < 32 {
            self.fill();
        }
        let (len, value) = table.lookup[self.peek(LOOKUP_BITS) as usize];
        if len > 0 {
            self.drop_bits(u32::from(len))?;
            return Ok(value);
        }
        for len in LOOKUP_BITS + 1..=16 {
            let code = self.peek(len);
            let (first, end, place) = table.ranges[len as usize];
            if (first..end).contains(&code) {
                self.drop_bits(len)?;
                let value = table.values.get(place + (code - first) as usize);
                return value.copied().ok_or(CodecError::Malformed("code"));
            }
        }
        // Behind the end everything is zeros, which may be no code.
        Err(if self.n_beyond > 0 {
            CodecError::Truncated
        } else {
            CodecError::Malformed("code")
        })
    }

    /// A difference or coefficient of `n_bits` bits, at most 16 (T.81 section F.2.2.1).
    #[inline]
    pub(super) fn signed(&mut self, n_bits: u32) -> Result<i32, CodecError> {
        if n_bits == 0 {
            return Ok(0);
        }
        if self.n_held < 32 {
            self.fill();
        }
        let value = self.peek(n_bits).cast_signed();
        self.drop_bits(n_bits)?;
        Ok(if value >> (n_bits - 1) == 0 {
            value - (1 << n_bits) + 1
        } else {
            value
        })
    }

    /// Goes on behind the restart marker that must be here, the `number`th from 0.
    pub(super) fn restart(&mut self, number: usize) -> Result<(), CodecError> {
        let at = self.marker()?;
        if self.bytes[at] != 0xD0 + (number % 8) as u8 {
            return Err(CodecError::Malformed("restart marker"));
        }
        *self = Self::new(&self.bytes[at + 1..]);
        Ok(())
    }

    /// Bytes up to the marker that must be here, of `bytes` as they were given.
    pub(super) fn end(&mut self, given: &[u8]) -> Result<usize, CodecError> {
        let at = self.marker()?;
        Ok(given.len() - self.bytes.len() + at - 1)
    }

    /// The place of the next marker's second byte. Less than a byte of ones may fill up before it.
    fn marker(&mut self) -> Result<usize, CodecError> {
        if self.n_held - self.n_beyond >= 8 {
            // Whole bytes that nobody asked for.
            return Err(CodecError::Malformed("more data than samples"));
        }
        let rest = self.bytes.get(self.at..).unwrap_or_default();
        let fill = rest.iter().take_while(|byte| **byte == 0xFF).count();
        match (fill, rest.get(fill)) {
            (1.., Some(1..)) => Ok(self.at + fill),
            (0, Some(_)) => Err(CodecError::Malformed("more data than samples")),
            _ => Err(CodecError::Truncated),
        }
    }
}
