//! Marker segments: the main header, and where the packets of the tile-parts lie
//! (ITU-T T.800 Annex A, T.814 Annex A).
//!
//! Anything that `encode` does not write and that changes how packets must be read is refused by name.

use std::ops::Range;

use super::super::DecodeError;
use super::super::layout::{Division, ImageShape};
use super::block::MAGNITUDE_BITS_MAX;

const SOC: u16 = 0xFF4F;
const CAP: u16 = 0xFF50;
const SIZ: u16 = 0xFF51;
const COD: u16 = 0xFF52;
const COC: u16 = 0xFF53;
const TLM: u16 = 0xFF55;
const PLM: u16 = 0xFF57;
const PLT: u16 = 0xFF58;
const CPF: u16 = 0xFF59;
const QCD: u16 = 0xFF5C;
const QCC: u16 = 0xFF5D;
const COM: u16 = 0xFF64;
const SOT: u16 = 0xFF90;
const SOD: u16 = 0xFF93;
const EOC: u16 = 0xFFD9;

/// Progression order resolution, position, component, layer.
const RPCL: u8 = 2;
/// The code-block style of HT blocks without any option.
const HT_BLOCKS: u8 = 0x40;
/// The reversible 5/3 transform.
const REVERSIBLE_5_3: u8 = 1;
/// The bit of Pcap that announces ITU-T T.814.
const PCAP_T814: u32 = 1 << (32 - 15);
/// Exponent of a precinct side that COD leaves out.
const PRECINCT_LOG2_DEFAULT: u8 = 15;

/// Everything the main header says that the packets depend on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MainHeader {
    /// Decompositions, code blocks and precincts.
    pub division: Division,
    /// For each component, the bit planes of each band: LL, then HL, LH, HH of each resolution.
    pub magnitude_bits: Vec<Vec<u32>>,
    /// Whether the reversible colour transform was applied.
    pub colour_transform: bool,
    /// Position of the first SOT marker.
    pub tile_parts: usize,
}

impl MainHeader {
    /// Reads the header of a codestream that must hold `expected`, which is a checked shape.
    pub fn read(codestream: &[u8], expected: &ImageShape) -> Result<Self, DecodeError> {
        let mut at = Cursor::new(codestream, 0..codestream.len());
        if at.read_u16()? != SOC || at.read_u16()? != SIZ {
            return Err(DecodeError::Malformed("a codestream starts with SOC and SIZ"));
        }
        check_size(&mut at.segment()?, expected)?;
        let (mut capable, mut division, mut quantization) = (false, None, None);
        let mut component_quantization = vec![None; usize::from(expected.components)];
        loop {
            let marker = at.read_u16()?;
            if marker == SOT {
                break;
            }
            let mut segment = at.segment()?;
            match marker {
                CAP => capable = segment.read_u32()? & PCAP_T814 != 0,
                COD => division = Some(read_coding(&mut segment, expected)?),
                QCD => quantization = Some(read_quantization(&mut segment)?),
                QCC => {
                    let component = usize::from(segment.read_u8()?);
                    let slot = component_quantization.get_mut(component);
                    *slot.ok_or(DecodeError::Malformed("QCC names a component that is not there"))? =
                        Some(read_quantization(&mut segment)?);
                }
                TLM | PLM | CPF | COM => {}
                COC => {
                    return Err(DecodeError::Unsupported(
                        "coding style of its own for a component",
                    ));
                }
                _ => return Err(DecodeError::Unsupported("a marker segment in the main header")),
            }
        }
        let (Some((division, colour_transform)), Some(quantization), true) =
            (division, quantization, capable)
        else {
            return Err(DecodeError::Malformed("the main header lacks CAP, COD or QCD"));
        };
        let n_bands = 3 * usize::from(division.levels) + 1;
        let magnitude_bits: Vec<Vec<u32>> = component_quantization
            .into_iter()
            .map(|own| own.unwrap_or_else(|| quantization.clone()))
            .collect();
        if magnitude_bits.iter().any(|bits| bits.len() < n_bands) {
            return Err(DecodeError::Malformed(
                "QCD has fewer entries than there are subbands",
            ));
        }
        Ok(Self {
            division,
            magnitude_bits,
            colour_transform,
            tile_parts: at.position - 2,
        })
    }
}

/// SIZ: one tile over the whole image, at the origin, components of full size.
fn check_size(siz: &mut Cursor, expected: &ImageShape) -> Result<(), DecodeError> {
    siz.read_u16()?;
    let size = [siz.read_u32()?, siz.read_u32()?];
    let offset = [siz.read_u32()?, siz.read_u32()?];
    let tile = [siz.read_u32()?, siz.read_u32()?];
    let tile_offset = [siz.read_u32()?, siz.read_u32()?];
    let components = siz.read_u16()?;
    if offset != [0, 0] || tile_offset != [0, 0] {
        return Err(DecodeError::Unsupported("images or tiles off the origin"));
    }
    if size != [expected.width, expected.height] || components != u16::from(expected.components) {
        return Err(DecodeError::OtherShape);
    }
    if tile[0] < size[0] || tile[1] < size[1] {
        return Err(DecodeError::Unsupported("several tiles"));
    }
    for _ in 0..components {
        let [depth, step_x, step_y] = [siz.read_u8()?, siz.read_u8()?, siz.read_u8()?];
        if depth != (expected.precision - 1) | u8::from(expected.signed) << 7 {
            return Err(DecodeError::OtherShape);
        }
        if (step_x, step_y) != (1, 1) {
            return Err(DecodeError::Unsupported("subsampled components"));
        }
    }
    siz.expect_end()
}

/// COD: how the image is divided, and whether the reversible colour transform was applied.
fn read_coding(cod: &mut Cursor, expected: &ImageShape) -> Result<(Division, bool), DecodeError> {
    let style = cod.read_u8()?;
    let progression = cod.read_u8()?;
    let layers = cod.read_u16()?;
    let colour_transform = cod.read_u8()?;
    let levels = cod.read_u8()?;
    let [width_log2, height_log2] = [cod.read_u8()?, cod.read_u8()?].map(|coded| coded.saturating_add(2));
    let block_style = cod.read_u8()?;
    let transform = cod.read_u8()?;
    let unsupported = [
        (style & !1 != 0, "SOP or EPH markers"),
        (progression != RPCL, "a progression other than RPCL"),
        (layers != 1, "several quality layers"),
        (
            colour_transform > u8::from(expected.components == 3),
            "this use of the colour transform",
        ),
        (
            block_style != HT_BLOCKS,
            "code blocks that are not plain HT blocks",
        ),
        (
            transform != REVERSIBLE_5_3,
            "a transform other than the reversible 5/3",
        ),
    ];
    if let Some((_, what)) = unsupported.into_iter().find(|(holds, _)| *holds) {
        return Err(DecodeError::Unsupported(what));
    }
    if levels > 32 || width_log2 > 10 || height_log2 > 10 || width_log2 + height_log2 > 12 {
        return Err(DecodeError::Malformed(
            "COD has levels or code-block sides out of range",
        ));
    }
    let precincts_log2 = (0..=levels)
        .map(|r| {
            let sides = match style & 1 {
                0 => (PRECINCT_LOG2_DEFAULT, PRECINCT_LOG2_DEFAULT),
                _ => {
                    let byte = cod.read_u8()?;
                    (byte & 15, byte >> 4)
                }
            };
            // At least 4 coefficients a side in every band, or a small header could ask for as many blocks as pixels.
            if sides.0.min(sides.1) < 2 + u8::from(r > 0) {
                return Err(DecodeError::Unsupported(
                    "precincts of less than four coefficients a side",
                ));
            }
            Ok(sides)
        })
        .collect::<Result<_, _>>()?;
    cod.expect_end()?;
    let division = Division {
        levels,
        block_width_log2: width_log2,
        block_height_log2: height_log2,
        precincts_log2,
    };
    Ok((division, colour_transform == 1))
}

/// QCD or QCC without quantization: bit planes of each band (T.800 equation E-2).
fn read_quantization(segment: &mut Cursor) -> Result<Vec<u32>, DecodeError> {
    let style = segment.read_u8()?;
    if style & 31 != 0 {
        return Err(DecodeError::Unsupported("quantization"));
    }
    let mut planes = Vec::new();
    while segment.position < segment.end {
        let exponent = segment.read_u8()? >> 3;
        let bits = (u32::from(style >> 5) + u32::from(exponent)).saturating_sub(1);
        if !(1..=MAGNITUDE_BITS_MAX).contains(&bits) {
            return Err(DecodeError::Unsupported("this number of bit planes"));
        }
        planes.push(bits);
    }
    Ok(planes)
}

/// Finds the packets of each tile-part, in order.
pub struct TileParts<'a> {
    codestream: &'a [u8],
    position: usize,
    /// Whether the codestream may end anywhere.
    cut: bool,
    next_index: usize,
}

impl<'a> TileParts<'a> {
    /// Starts at the first SOT marker. With `cut` the last tile-part may lack its end.
    pub fn new(codestream: &'a [u8], first: usize, cut: bool) -> Self {
        Self {
            codestream,
            position: first,
            cut,
            next_index: 0,
        }
    }

    /// Where the packets of the next tile-part lie; none at EOC.
    pub fn next_packets(&mut self) -> Result<Option<Range<usize>>, DecodeError> {
        let start = self.position;
        let mut at = Cursor::new(self.codestream, start..self.codestream.len());
        match at.read_u16()? {
            SOT => {}
            EOC => return Ok(None),
            _ => return Err(DecodeError::Malformed("no SOT or EOC after a tile-part")),
        }
        let mut sot = at.segment()?;
        let tile = sot.read_u16()?;
        let length = sot.read_u32()? as usize;
        let index = usize::from(sot.read_u8()?);
        sot.read_u8()?;
        sot.expect_end()?;
        if tile != 0 || index != self.next_index {
            return Err(DecodeError::Malformed("a tile-part is out of order"));
        }
        self.next_index += 1;
        loop {
            match at.read_u16()? {
                SOD => break,
                COM | PLT => {
                    at.segment()?;
                }
                _ => return Err(DecodeError::Unsupported("a marker segment in a tile-part header")),
            }
        }
        let mut end = match length {
            0 => self.codestream.len(),
            length => start.saturating_add(length),
        };
        if length == 0 && self.codestream.ends_with(&EOC.to_be_bytes()) {
            end -= 2;
        }
        if end < at.position {
            return Err(DecodeError::Malformed("a tile-part is shorter than its header"));
        }
        if end > self.codestream.len() {
            if !self.cut {
                return Err(DecodeError::Truncated);
            }
            end = self.codestream.len();
        }
        self.position = end;
        Ok(Some(at.position..end))
    }
}

/// Reads big-endian numbers within a part of the codestream.
struct Cursor<'a> {
    codestream: &'a [u8],
    position: usize,
    end: usize,
}

impl<'a> Cursor<'a> {
    fn new(codestream: &'a [u8], range: Range<usize>) -> Self {
        Self {
            codestream,
            position: range.start,
            end: range.end,
        }
    }

    fn take<const N: usize>(&mut self) -> Result<[u8; N], DecodeError> {
        let rest = self.codestream.get(self.position..self.end);
        let bytes = *rest.and_then(<[u8]>::first_chunk).ok_or(DecodeError::Truncated)?;
        self.position += N;
        Ok(bytes)
    }

    fn read_u8(&mut self) -> Result<u8, DecodeError> {
        self.take().map(u8::from_be_bytes)
    }

    fn read_u16(&mut self) -> Result<u16, DecodeError> {
        self.take().map(u16::from_be_bytes)
    }

    fn read_u32(&mut self) -> Result<u32, DecodeError> {
        self.take().map(u32::from_be_bytes)
    }

    /// The content of the marker segment whose length comes next.
    fn segment(&mut self) -> Result<Cursor<'a>, DecodeError> {
        let length = usize::from(self.read_u16()?);
        let Some(content) = length.checked_sub(2) else {
            return Err(DecodeError::Malformed(
                "a marker segment is shorter than its length",
            ));
        };
        let end = self.position + content;
        if end > self.end {
            return Err(DecodeError::Truncated);
        }
        let segment = Cursor::new(self.codestream, self.position..end);
        self.position = end;
        Ok(segment)
    }

    fn expect_end(&self) -> Result<(), DecodeError> {
        if self.position != self.end {
            return Err(DecodeError::Malformed("a marker segment has the wrong length"));
        }
        Ok(())
    }
}
