//! The first bytes of a compressed frame, compared with what the object's header promises.
//!
//! A decoder that trusts a codestream's own size can be made to allocate anything; nothing whose header
//! disagrees with Rows, Columns and samples is ever offered for decoding. No pixels are decoded here.

use std::io::{self, Read};

use super::ScanError;
use crate::syntax::Codestream;
use crate::walk::{Input, Walker};

/// What the object's header promises.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Expected {
    pub(super) rows: u32,
    pub(super) columns: u32,
    pub(super) samples: u16,
    pub(super) bits_allocated: u16,
    pub(super) signed: bool,
}

/// What a fragment begins with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Start {
    /// A codestream that agrees, or whose size is too far inside to be seen.
    Agrees,
    /// An RLE header whose last segment begins here, from the start of the frame.
    Rle { last_offset: u32 },
    /// No beginning of a codestream: the middle of a frame.
    Inside,
    /// A codestream that disagrees, or a header that is broken.
    Disagrees,
}

impl Start {
    /// Whether a frame of `len` bytes may begin so.
    pub(super) fn fits_frame(self, len: u64) -> bool {
        match self {
            Self::Agrees => true,
            Self::Rle { last_offset } => u64::from(last_offset) < len,
            Self::Inside | Self::Disagrees => false,
        }
    }
}

#[derive(Debug, Clone, Copy)]
struct Size {
    columns: u32,
    rows: u32,
    samples: Option<u16>,
    bits: Option<u16>,
    signed: Option<bool>,
}

/// Judges the first bytes of a fragment of `len` bytes.
pub(super) fn start(family: Codestream, window: &[u8], len: u64, expected: &Expected) -> Start {
    let size = match family {
        Codestream::Jpeg | Codestream::JpegLs => {
            if !window.starts_with(&[0xFF, 0xD8]) {
                return Start::Inside;
            }
            jpeg(window)
        }
        Codestream::Jpeg2000 | Codestream::Htj2k => match jpeg2000_codestream(window) {
            Some(codestream) => jpeg2000(codestream),
            None => return Start::Inside,
        },
        Codestream::JpegXl => {
            if !window.starts_with(&[0xFF, 0x0A])
                && !window.starts_with(&[0, 0, 0, 12, b'J', b'X', b'L', b' '])
            {
                return Start::Inside;
            }
            jpeg_xl(window)
        }
        Codestream::Rle => return rle(window, expected),
        Codestream::Uncompressed => {
            let bits = u64::from(expected.rows)
                * u64::from(expected.columns)
                * u64::from(expected.samples)
                * u64::from(expected.bits_allocated);
            let bytes = bits.div_ceil(8);
            return if len == bytes || len == bytes + 1 {
                Start::Agrees
            } else {
                Start::Disagrees
            };
        }
        // Video has one frame per fragment only by accident; it is passed through.
        Codestream::DeflatedFrame | Codestream::Other => return Start::Agrees,
    };
    match size {
        Ok(Some(size)) if agrees(&size, expected) => Start::Agrees,
        // The size lies beyond what was looked at.
        Ok(None) => Start::Agrees,
        _ => Start::Disagrees,
    }
}

fn agrees(size: &Size, expected: &Expected) -> bool {
    size.columns == expected.columns
        && size.rows == expected.rows
        && size.samples.is_none_or(|samples| samples == expected.samples)
        && size
            .bits
            .is_none_or(|bits| bits >= 1 && bits <= expected.bits_allocated)
        && size.signed.is_none_or(|signed| signed == expected.signed)
}

/// A broken header.
struct Broken;

/// Walks JPEG markers to the frame header (ISO 10918-1 B.2.2; ISO 14495-1 C.2.2 for JPEG-LS).
fn jpeg(window: &[u8]) -> Result<Option<Size>, Broken> {
    let mut at = 2;
    loop {
        let Some(marker) = window.get(at..at + 2) else {
            return Ok(None);
        };
        if marker[0] != 0xFF {
            return Err(Broken);
        }
        match marker[1] {
            0xFF => {
                at += 1;
                continue;
            }
            0xC0..=0xC3 | 0xC5..=0xC7 | 0xC9..=0xCB | 0xCD..=0xCF | 0xF7 => {
                let Some(frame) = window.get(at + 4..at + 10) else {
                    return Ok(None);
                };
                return Ok(Some(Size {
                    columns: u32::from(u16::from_be_bytes([frame[3], frame[4]])),
                    rows: u32::from(u16::from_be_bytes([frame[1], frame[2]])),
                    samples: Some(u16::from(frame[5])),
                    bits: Some(u16::from(frame[0])),
                    signed: None,
                }));
            }
            // The scan, or the end, before any frame header.
            0xD9 | 0xDA => return Err(Broken),
            _ => {}
        }
        let Some(len) = window.get(at + 2..at + 4) else {
            return Ok(None);
        };
        let len = usize::from(u16::from_be_bytes([len[0], len[1]]));
        if len < 2 {
            return Err(Broken);
        }
        at += 2 + len;
    }
}

/// The raw codestream, also inside the boxes of a JP2 file.
pub(crate) fn jpeg2000_codestream(window: &[u8]) -> Option<&[u8]> {
    if window.starts_with(&[0xFF, 0x4F]) {
        return Some(window);
    }
    if !window.starts_with(&[0, 0, 0, 12, b'j', b'P', b' ', b' ']) {
        return None;
    }
    let at = window.windows(4).position(|four| four == b"jp2c")?;
    Some(&window[at + 4..])
}

/// The SIZ marker segment (ISO 15444-1 A.5.1).
fn jpeg2000(codestream: &[u8]) -> Result<Option<Size>, Broken> {
    let Some(siz) = codestream.get(..43) else {
        return Err(Broken);
    };
    if siz[2..4] != [0xFF, 0x51] {
        return Err(Broken);
    }
    let u32_at = |at: usize| u32::from_be_bytes([siz[at], siz[at + 1], siz[at + 2], siz[at + 3]]);
    let columns = u32_at(8).checked_sub(u32_at(16)).ok_or(Broken)?;
    let rows = u32_at(12).checked_sub(u32_at(20)).ok_or(Broken)?;
    let (tile_columns, tile_rows) = (u32_at(24), u32_at(28));
    if tile_columns == 0 || tile_rows == 0 {
        return Err(Broken);
    }
    let tiles = u64::from(columns.div_ceil(tile_columns)) * u64::from(rows.div_ceil(tile_rows));
    if tiles > 65_535 {
        return Err(Broken);
    }
    Ok(Some(Size {
        columns,
        rows,
        samples: Some(u16::from_be_bytes([siz[40], siz[41]])),
        bits: Some(u16::from(siz[42] & 0x7F) + 1),
        signed: Some(siz[42] & 0x80 != 0),
    }))
}

/// The size header of JPEG XL (ISO 18181-1 D.2), also inside its box format (ISO 18181-2).
fn jpeg_xl(window: &[u8]) -> Result<Option<Size>, Broken> {
    let codestream = if window.starts_with(&[0xFF, 0x0A]) {
        window
    } else {
        let Some(at) = window
            .windows(4)
            .position(|four| four == b"jxlc" || four == b"jxlp")
        else {
            return Ok(None);
        };
        let skip = if &window[at..at + 4] == b"jxlp" { 8 } else { 4 };
        window.get(at + skip..).ok_or(Broken)?
    };
    if !codestream.starts_with(&[0xFF, 0x0A]) {
        return Err(Broken);
    }
    let mut bits = Bits {
        bytes: &codestream[2..],
        at: 0,
    };
    let small = bits.take(1)? == 1;
    let side = |bits: &mut Bits<'_>| -> Result<u64, Broken> {
        if small {
            return Ok((bits.take(5)? + 1) * 8);
        }
        let width = [9, 13, 18, 30][bits.take(2)? as usize];
        Ok(bits.take(width)? + 1)
    };
    let rows = side(&mut bits)?;
    let ratio = bits.take(3)?;
    let columns = match ratio {
        0 => side(&mut bits)?,
        ratio => {
            let (over, under) =
                [(1, 1), (12, 10), (4, 3), (3, 2), (16, 9), (5, 4), (2, 1)][ratio as usize - 1];
            rows * over / under
        }
    };
    Ok(Some(Size {
        columns: u32::try_from(columns).map_err(|_| Broken)?,
        rows: u32::try_from(rows).map_err(|_| Broken)?,
        samples: None,
        bits: None,
        signed: None,
    }))
}

struct Bits<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl Bits<'_> {
    /// The next `n` bits, least significant first.
    fn take(&mut self, n: usize) -> Result<u64, Broken> {
        let mut value = 0u64;
        for bit in 0..n {
            let byte = self.bytes.get(self.at / 8).ok_or(Broken)?;
            value |= u64::from(byte >> (self.at % 8) & 1) << bit;
            self.at += 1;
        }
        Ok(value)
    }
}

/// The RLE header (PS3.5 section G.5): a count and fifteen ascending offsets.
fn rle(window: &[u8], expected: &Expected) -> Start {
    let Some(header) = window.get(..64) else {
        return Start::Inside;
    };
    let words: Vec<u32> = header
        .chunks_exact(4)
        .map(|bytes| u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]))
        .collect();
    let segments = words[0] as usize;
    let planes = usize::from(expected.samples) * usize::from(expected.bits_allocated.div_ceil(8));
    if !(1..=15).contains(&segments) || words[1] != 64 {
        return Start::Inside;
    }
    let used = &words[1..=segments];
    if segments != planes || used.windows(2).any(|pair| pair[0] >= pair[1]) {
        return Start::Disagrees;
    }
    Start::Rle {
        last_offset: used[segments - 1],
    }
}

/// Inflates a deflated frame, counting only: it must be exactly one frame, give or take a padding byte.
pub(super) fn inflates_to<I: Input>(walker: &mut Walker<I>, frame_bytes: u64) -> Result<Start, ScanError> {
    struct Fragment<'a, I>(&'a mut Walker<I>, Option<ScanError>);
    impl<I: Input> Read for Fragment<'_, I> {
        fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
            self.0.read_some(buf).map_err(|error| {
                self.1 = Some(error);
                io::ErrorKind::Other.into()
            })
        }
    }
    let mut fragment = Fragment(walker, None);
    let limit = frame_bytes.saturating_add(2);
    let decoder = flate2::read::DeflateDecoder::new(&mut fragment);
    let inflated = io::copy(&mut decoder.take(limit), &mut io::sink());
    if let Some(error) = fragment.1 {
        return Err(error);
    }
    Ok(match inflated {
        Ok(bytes) if bytes == frame_bytes || bytes == frame_bytes + 1 => Start::Agrees,
        _ => Start::Disagrees,
    })
}
