//! Packet headers (ITU-T T.800 B.10) of the single layer: which code blocks are present, their zero
//! bit planes and their lengths.

use super::super::layout::BlockGrid;
use super::tagtree::TagTree;

/// A header's bits, highest first. After a byte of 0xFF the top bit of the next stays 0.
#[derive(Debug, Default)]
pub struct HeaderBits {
    bytes: Vec<u8>,
    pending: u8,
    /// Bits still free in `pending`: 8, or 7 after 0xFF, down to 1; 0 only before the first use.
    n_free: u32,
}

impl HeaderBits {
    fn clear(&mut self) {
        self.bytes.clear();
        self.pending = 0;
        self.n_free = 8;
    }

    pub fn put_bit(&mut self, bit: bool) {
        self.pending = (self.pending << 1) | u8::from(bit);
        self.n_free -= 1;
        if self.n_free == 0 {
            self.bytes.push(self.pending);
            self.n_free = if self.pending == 0xFF { 7 } else { 8 };
            self.pending = 0;
        }
    }

    fn put(&mut self, word: u32, n: u32) {
        for place in (0..n).rev() {
            self.put_bit((word >> place) & 1 != 0);
        }
    }

    /// Fills the last byte with zeros; a header never ends in 0xFF (B.10.1).
    fn finish(&mut self) -> &[u8] {
        let after_full = self.bytes.last() == Some(&0xFF);
        let n_byte = if after_full { 7 } else { 8 };
        if self.n_free < n_byte {
            // Its lowest bit is a filling 0, so this byte is not 0xFF.
            self.bytes.push(self.pending << self.n_free);
        } else if after_full {
            self.bytes.push(0);
        }
        &self.bytes
    }
}

/// The blocks of one band in a packet.
#[derive(Clone, Copy, Debug)]
pub struct PacketBand<'a> {
    pub grid: BlockGrid,
    /// Zero bit planes of every present block.
    pub zero_planes: u32,
    /// Bytes of each block in raster order; 0 for one that is absent.
    pub lengths: &'a [u32],
}

/// Writes packet headers; its memory is kept between packets.
#[derive(Debug, Default)]
pub struct PacketHeader {
    bits: HeaderBits,
    presence: TagTree,
    zero_planes: TagTree,
}

impl PacketHeader {
    /// The header of a packet with these bands; those without blocks take no bits.
    pub fn write<'a>(&mut self, bands: impl Iterator<Item = PacketBand<'a>> + Clone) -> &[u8] {
        self.bits.clear();
        let any = bands.clone().any(|band| band.lengths.iter().any(|&n| n > 0));
        self.bits.put_bit(any);
        if any {
            for band in bands.filter(|band| !band.lengths.is_empty()) {
                self.write_band(&band);
            }
        }
        self.bits.finish()
    }

    fn write_band(&mut self, band: &PacketBand<'_>) {
        let columns = band.grid.columns as usize;
        // The layer in which a block first appears: 0, or later than the only one.
        let layers = band.lengths.iter().map(|&n| u32::from(n == 0));
        self.presence.fill(layers, columns);
        let planes = band.lengths.iter().map(|_| band.zero_planes);
        self.zero_planes.fill(planes, columns);
        for (index, &length) in band.lengths.iter().enumerate() {
            let (column, row) = (index % columns, index / columns);
            self.presence.tell(column, row, 1, &mut self.bits);
            if length == 0 {
                continue;
            }
            self.zero_planes
                .tell(column, row, band.zero_planes + 1, &mut self.bits);
            // One coding pass (table B.4).
            self.bits.put_bit(false);
            // The length takes 3 bits, and one more for each 1 before the 0 (B.10.7.1).
            let n_bits = (u32::BITS - length.leading_zeros()).max(3);
            for _ in 3..n_bits {
                self.bits.put_bit(true);
            }
            self.bits.put_bit(false);
            self.bits.put(length, n_bits);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(bits: &[(u32, u32)]) -> Vec<u8> {
        let mut header = HeaderBits::default();
        header.clear();
        for &(word, n) in bits {
            header.put(word, n);
        }
        header.finish().to_vec()
    }

    /// A full byte within the last bits once spilled one filling bit into a byte of its own.
    #[test]
    fn a_full_byte_near_the_end_leaves_no_stray_byte() {
        assert_eq!(header(&[(0xFF, 8)]), [0xFF, 0]);
        assert_eq!(header(&[(0xFF, 8), (0b101, 3)]), [0xFF, 0b0101_0000]);
        assert_eq!(header(&[(0xFF, 8), (0x7F, 7)]), [0xFF, 0x7F]);
        assert_eq!(header(&[(0xFF, 8), (0x7F, 7), (1, 1)]), [0xFF, 0x7F, 0x80]);
        assert_eq!(header(&[(0, 1)]), [0]);
        assert_eq!(header(&[(0x12, 8)]), [0x12]);
        assert_eq!(header(&[]), [0; 0]);
    }

    #[test]
    fn a_packet_without_blocks_is_one_zero_bit() {
        let grid = BlockGrid {
            first_column: 0,
            first_row: 0,
            columns: 2,
            rows: 1,
        };
        let band = PacketBand {
            grid,
            zero_planes: 5,
            lengths: &[0, 0],
        };
        assert_eq!(PacketHeader::default().write([band].into_iter()), [0]);
    }

    #[test]
    fn blocks_are_told_in_raster_order() {
        let grid = BlockGrid {
            first_column: 0,
            first_row: 0,
            columns: 2,
            rows: 1,
        };
        let band = PacketBand {
            grid,
            zero_planes: 2,
            lengths: &[0, 9],
        };
        // Packet 1; root of presence 1 (some block is in layer 0), first leaf 0, second leaf 1;
        // planes: root 001, leaf 1; one pass 0; length of 4 bits: 10, 1001.
        assert_eq!(
            PacketHeader::default().write([band].into_iter()),
            [0b1101_0011, 0b0101_0010]
        );
    }
}
