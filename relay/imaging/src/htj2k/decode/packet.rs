//! Packet headers: which code blocks of a precinct are in the stream, and how long each is
//! (ITU-T T.800, B.9 and B.10, with the length coding of T.814 for a lone cleanup pass).

use std::ops::Range;

use super::super::DecodeError;
use super::super::layout::{Band, BlockGrid, Rect};
use super::tagtree::TagTree;

/// Most bits in which a length may be coded.
const LENGTH_BITS_MAX: u32 = 31;

/// One code block of a resolution of a component.
#[derive(Clone, Debug)]
pub struct Block {
    /// Index of its band in the resolution.
    pub band_idx: usize,
    /// Its coefficients within the band.
    pub rect: Rect,
    /// Its bytes in the codestream; empty if all its coefficients are zero.
    pub bytes: Range<usize>,
}

/// Bits of a packet header, most significant first; after a byte 0xFF comes one of 7 bits.
pub struct HeaderBits<'a> {
    bytes: &'a [u8],
    position: usize,
    byte: u8,
    n_bits: u32,
}

impl<'a> HeaderBits<'a> {
    /// Starts at the first byte.
    pub fn new(bytes: &'a [u8]) -> Self {
        Self {
            bytes,
            position: 0,
            byte: 0,
            n_bits: 0,
        }
    }

    /// The next bit, or an error at the end of the bytes.
    pub fn read_bit(&mut self) -> Result<bool, DecodeError> {
        if self.n_bits == 0 {
            self.n_bits = if self.byte == 0xFF { 7 } else { 8 };
            self.byte = *self.bytes.get(self.position).ok_or(DecodeError::Truncated)?;
            self.position += 1;
        }
        self.n_bits -= 1;
        Ok(self.byte >> self.n_bits & 1 == 1)
    }

    /// The next `n` bits as a number, `n` at most 31.
    fn read_number(&mut self, n: u32) -> Result<usize, DecodeError> {
        let mut number = 0;
        for _ in 0..n {
            number = number << 1 | usize::from(self.read_bit()?);
        }
        Ok(number)
    }

    /// Bytes in the header, with the one that must follow a last byte of 0xFF.
    fn finish(self) -> usize {
        self.position + usize::from(self.byte == 0xFF)
    }
}

/// Reads packets with scratch memory that is reused.
#[derive(Default)]
pub struct PacketReader {
    inclusion: TagTree,
    zero_planes: TagTree,
}

impl PacketReader {
    /// Reads the packet that starts at `range.start` of the codestream and lies within `range`, appends the
    /// precinct's blocks to `blocks`, and gives the position after the packet.
    ///
    /// `magnitude_bits` has the number of bit planes of each band. A packet that goes on past `range` is
    /// [`DecodeError::Truncated`].
    pub fn read(
        &mut self,
        codestream: &[u8],
        range: Range<usize>,
        (bands, grids, magnitude_bits): (&[Band], &[BlockGrid], &[u32]),
        blocks: &mut Vec<Block>,
    ) -> Result<usize, DecodeError> {
        let mut bits = HeaderBits::new(codestream.get(range.clone()).ok_or(DecodeError::Truncated)?);
        let first_block = blocks.len();
        let any = bits.read_bit()?;
        for (band_idx, ((band, grid), &planes)) in bands.iter().zip(grids).zip(magnitude_bits).enumerate() {
            if grid.columns == 0 || grid.rows == 0 {
                continue;
            }
            self.inclusion.reset(grid.columns as usize, grid.rows as usize);
            self.zero_planes.reset(grid.columns as usize, grid.rows as usize);
            for row in 0..grid.rows {
                for column in 0..grid.columns {
                    let at = (column as usize, row as usize);
                    let length = if any {
                        self.read_block(&mut bits, at, planes)?
                    } else {
                        0
                    };
                    blocks.push(Block {
                        band_idx,
                        rect: band.block(grid.first_column + column, grid.first_row + row),
                        bytes: 0..length,
                    });
                }
            }
        }
        let mut position = range.start + bits.finish();
        for block in &mut blocks[first_block..] {
            let length = block.bytes.len();
            if length > 0 {
                block.bytes = position..position.saturating_add(length);
                position = position.saturating_add(length);
            }
        }
        if position > range.end {
            return Err(DecodeError::Truncated);
        }
        Ok(position)
    }

    /// Length of one block in bytes; 0 if it is not in the stream.
    fn read_block(
        &mut self,
        bits: &mut HeaderBits,
        at: (usize, usize),
        planes: u32,
    ) -> Result<usize, DecodeError> {
        if self.inclusion.read(bits, at, 1)?.is_none() {
            return Ok(0);
        }
        match self.zero_planes.read(bits, at, planes as u8)? {
            Some(zero) if u32::from(zero) + 1 == planes => {}
            Some(_) => {
                return Err(DecodeError::Unsupported(
                    "code blocks cut above the lowest bit plane",
                ));
            }
            None => {
                return Err(DecodeError::Malformed(
                    "a code block has more zero bit planes than its subband",
                ));
            }
        }
        if bits.read_bit()? {
            return Err(DecodeError::Unsupported("refinement passes"));
        }
        let mut length_bits = 3;
        while bits.read_bit()? {
            length_bits += 1;
            if length_bits > LENGTH_BITS_MAX {
                return Err(DecodeError::Malformed(
                    "the length of a code block is out of range",
                ));
            }
        }
        let length = bits.read_number(length_bits)?;
        if length < 2 {
            return Err(DecodeError::Malformed("a code block is shorter than 2 bytes"));
        }
        Ok(length)
    }
}
