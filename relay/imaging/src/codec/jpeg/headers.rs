//! Marker segments (T.81 annex B), up to and between scans.

use super::super::{CodecError, Colours};
use super::bits::Huffman;
use crate::container::FrameGeometry;

/// Most components.
pub(super) const COMPONENTS_MAX: usize = 3;

/// How samples were coded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Process {
    /// Baseline or extended, by discrete cosine transform.
    Sequential,
    /// By prediction.
    Lossless,
}

/// A component of the frame header.
#[derive(Debug, Clone, Copy)]
pub(super) struct Component {
    id: u8,
    /// Sampling factors across and down.
    pub(super) across: usize,
    pub(super) down: usize,
    pub(super) quantization: usize,
}

/// The frame header.
#[derive(Debug)]
pub(super) struct Frame {
    pub(super) process: Process,
    /// Bits of a sample.
    pub(super) precision: u8,
    pub(super) width: usize,
    pub(super) height: usize,
    pub(super) components: Vec<Component>,
}

/// A component of a scan.
#[derive(Debug, Clone, Copy)]
pub(super) struct Selected {
    /// Its place in the frame.
    pub(super) component: usize,
    pub(super) dc: usize,
    pub(super) ac: usize,
}

/// A scan header.
#[derive(Debug)]
pub(super) struct ScanHeader {
    pub(super) selected: Vec<Selected>,
    /// Start of spectral selection, or the predictor.
    pub(super) start: u8,
    pub(super) end: u8,
    /// Point transformation.
    pub(super) low: u8,
}

/// What has been read so far.
pub(super) struct Headers<'a> {
    codestream: &'a [u8],
    at: usize,
    pub(super) marked_colours: Option<Colours>,
    pub(super) quantizations: [Option<[u16; 64]>; 4],
    pub(super) dc: [Option<Huffman>; 4],
    pub(super) ac: [Option<Huffman>; 4],
    /// Units from one restart marker to the next; 0 for none.
    pub(super) restart_interval: usize,
    has_jfif: bool,
    adobe: Option<u8>,
}

impl<'a> Headers<'a> {
    pub(super) fn new(codestream: &'a [u8]) -> Result<Self, CodecError> {
        if !codestream.starts_with(&[0xFF, 0xD8]) {
            return Err(CodecError::Malformed("no beginning"));
        }
        Ok(Self {
            codestream,
            at: 2,
            marked_colours: None,
            quantizations: [None; 4],
            dc: Default::default(),
            ac: Default::default(),
            restart_interval: 0,
            has_jfif: false,
            adobe: None,
        })
    }

    /// Reads up to the frame header, which must hold the image that is expected.
    pub(super) fn read_frame(&mut self, expected: &FrameGeometry) -> Result<Frame, CodecError> {
        loop {
            let (marker, segment) = self.next_segment()?;
            match marker {
                0xC0 | 0xC1 | 0xC3 => {
                    let frame = frame_header(marker, segment, expected)?;
                    self.mark_colours(&frame)?;
                    return Ok(frame);
                }
                0xC2 | 0xC5..=0xC7 | 0xC9..=0xCB | 0xCD..=0xCF => {
                    return Err(CodecError::Unsupported("progressive or arithmetic processes"));
                }
                0xD9 | 0xDA => return Err(CodecError::Malformed("no frame header")),
                _ => self.read_tables(marker, segment)?,
            }
        }
    }

    /// Reads up to and with the next scan header.
    pub(super) fn read_scan(&mut self, frame: &Frame) -> Result<ScanHeader, CodecError> {
        loop {
            let (marker, segment) = self.next_segment()?;
            match marker {
                0xDA => return scan_header(segment, frame),
                0xD9 => return Err(CodecError::Truncated),
                0xC0..=0xC3 | 0xC5..=0xC7 | 0xC9..=0xCB | 0xCD..=0xCF | 0xDC | 0xDE | 0xDF => {
                    return Err(CodecError::Unsupported("several frames"));
                }
                _ => self.read_tables(marker, segment)?,
            }
        }
    }

    /// What lies behind the headers read so far.
    pub(super) fn rest(&self) -> &'a [u8] {
        &self.codestream[self.at..]
    }

    /// Goes on behind the entropy coded data of a scan.
    pub(super) fn skip(&mut self, len: usize) {
        self.at += len;
    }

    /// Checks that the end is where it should be.
    pub(super) fn end(&self) -> Result<(), CodecError> {
        let rest = self.rest();
        let fill = rest.iter().take_while(|byte| **byte == 0xFF).count();
        match (fill, rest.get(fill)) {
            (1.., Some(0xD9)) => Ok(()),
            _ => Err(CodecError::Truncated),
        }
    }

    fn next_segment(&mut self) -> Result<(u8, &'a [u8]), CodecError> {
        loop {
            let marker = self
                .codestream
                .get(self.at..self.at + 2)
                .ok_or(CodecError::Truncated)?;
            match marker {
                [0xFF, 0xFF] => self.at += 1,
                [0xFF, 0xD9] => return Ok((0xD9, &[])),
                [0xFF, 0x01..=0xFE] => break,
                _ => return Err(CodecError::Malformed("no marker")),
            }
        }
        let [_, marker, high, low, ..] = self.codestream[self.at..] else {
            return Err(CodecError::Truncated);
        };
        let end = self.at + 2 + usize::from(u16::from_be_bytes([high, low]));
        let segment = self
            .codestream
            .get(self.at + 4..end)
            .ok_or(CodecError::Truncated)?;
        self.at = end;
        Ok((marker, segment))
    }

    fn read_tables(&mut self, marker: u8, segment: &[u8]) -> Result<(), CodecError> {
        match marker {
            0xC4 => self.read_huffman(segment),
            0xDB => self.read_quantizations(segment),
            0xDD => {
                let interval = <[u8; 2]>::try_from(segment);
                let interval = interval.map_err(|_| CodecError::Malformed("restart interval"))?;
                self.restart_interval = usize::from(u16::from_be_bytes(interval));
                Ok(())
            }
            0xCC => Err(CodecError::Unsupported("arithmetic coding")),
            0xE0 => {
                self.has_jfif |= segment.starts_with(b"JFIF\0");
                Ok(())
            }
            // T.872 section 6.5.3.
            0xEE if segment.starts_with(b"Adobe") => {
                self.adobe = Some(*segment.get(11).ok_or(CodecError::Malformed("Adobe segment"))?);
                Ok(())
            }
            0xD0..=0xD8 | 0x01 => Err(CodecError::Malformed("a marker out of place")),
            _ => Ok(()),
        }
    }

    fn read_huffman(&mut self, mut segment: &[u8]) -> Result<(), CodecError> {
        const BAD: CodecError = CodecError::Malformed("Huffman table");
        while let [place, rest @ ..] = segment {
            let counts = rest.get(..16).ok_or(BAD)?;
            let n_values: usize = counts.iter().map(|count| usize::from(*count)).sum();
            let values = rest.get(16..16 + n_values).ok_or(BAD)?;
            let tables = match place >> 4 {
                0 => &mut self.dc,
                1 => &mut self.ac,
                _ => return Err(BAD),
            };
            let table = tables.get_mut(usize::from(place & 0x0F)).ok_or(BAD)?;
            *table = Some(Huffman::new(counts, values).ok_or(BAD)?);
            segment = &rest[16 + n_values..];
        }
        Ok(())
    }

    fn read_quantizations(&mut self, mut segment: &[u8]) -> Result<(), CodecError> {
        const BAD: CodecError = CodecError::Malformed("quantization table");
        while let [place, rest @ ..] = segment {
            let step = match place >> 4 {
                0 => 1,
                1 => 2,
                _ => return Err(BAD),
            };
            let values = rest.get(..64 * step).ok_or(BAD)?;
            let mut table = [0_u16; 64];
            for (entry, value) in table.iter_mut().zip(values.chunks_exact(step)) {
                *entry = value.iter().fold(0, |sum, byte| sum << 8 | u16::from(*byte));
            }
            let slot = self.quantizations.get_mut(usize::from(place & 0x0F));
            *slot.ok_or(BAD)? = Some(table);
            segment = &rest[64 * step..];
        }
        Ok(())
    }

    /// What the codestream says of its colours: by Adobe's segment, by JFIF (T.871), or by the letters of its components.
    fn mark_colours(&mut self, frame: &Frame) -> Result<(), CodecError> {
        if frame.components.len() != 3 {
            return Ok(());
        }
        let ids: Vec<u8> = frame.components.iter().map(|one| one.id).collect();
        self.marked_colours = match self.adobe {
            Some(0) => Some(Colours::Rgb),
            Some(1) => Some(Colours::YbrFull),
            Some(_) => return Err(CodecError::UnsureColours),
            None if self.has_jfif => Some(Colours::YbrFull),
            None if ids == b"RGB" => Some(Colours::Rgb),
            None => None,
        };
        Ok(())
    }
}

fn frame_header(marker: u8, segment: &[u8], expected: &FrameGeometry) -> Result<Frame, CodecError> {
    let [precision, h1, h0, w1, w0, n, rest @ ..] = segment else {
        return Err(CodecError::Malformed("frame header"));
    };
    let process = if marker == 0xC3 {
        Process::Lossless
    } else {
        Process::Sequential
    };
    let is_shape = u16::from_be_bytes([*h1, *h0]) == expected.rows
        && u16::from_be_bytes([*w1, *w0]) == expected.columns
        && *n == expected.samples_per_pixel
        && *precision <= expected.bits_allocated;
    if !is_shape || usize::from(*n) > COMPONENTS_MAX {
        return Err(CodecError::OtherShape);
    }
    // Lossy coding knows no smaller samples in wider words: they would be others than the header's.
    if matches!(process, Process::Sequential) && *precision < expected.bits_stored {
        return Err(CodecError::OtherShape);
    }
    let is_precision = match marker {
        0xC0 => *precision == 8,
        0xC1 => matches!(precision, 8 | 12),
        _ => (2..=16).contains(precision),
    };
    if !is_precision {
        return Err(CodecError::Malformed("precision"));
    }
    if rest.len() != 3 * usize::from(*n) {
        return Err(CodecError::Malformed("frame header"));
    }
    let mut components = Vec::new();
    for one in rest.chunks_exact(3) {
        let (across, down) = (usize::from(one[1] >> 4), usize::from(one[1] & 0x0F));
        if !(1..=4).contains(&across) || !(1..=4).contains(&down) || one[2] > 3 {
            return Err(CodecError::Malformed("component of the frame"));
        }
        components.push(Component {
            id: one[0],
            across,
            down,
            quantization: usize::from(one[2]),
        });
    }
    Ok(Frame {
        process,
        precision: *precision,
        width: usize::from(expected.columns),
        height: usize::from(expected.rows),
        components,
    })
}

fn scan_header(segment: &[u8], frame: &Frame) -> Result<ScanHeader, CodecError> {
    const BAD: CodecError = CodecError::Malformed("scan header");
    let [n, rest @ ..] = segment else {
        return Err(BAD);
    };
    let n = usize::from(*n);
    if n == 0 || n > frame.components.len() || rest.len() != 2 * n + 3 {
        return Err(BAD);
    }
    let mut selected: Vec<Selected> = Vec::new();
    for one in rest[..2 * n].chunks_exact(2) {
        let component = frame.components.iter().position(|found| found.id == one[0]);
        let component = component.ok_or(BAD)?;
        let (dc, ac) = (usize::from(one[1] >> 4), usize::from(one[1] & 0x0F));
        if dc > 3 || ac > 3 || selected.iter().any(|earlier| earlier.component >= component) {
            return Err(BAD);
        }
        selected.push(Selected { component, dc, ac });
    }
    let [start, end, approximation] = rest[2 * n..] else {
        return Err(BAD);
    };
    if approximation >> 4 != 0 {
        return Err(CodecError::Unsupported("successive approximation"));
    }
    Ok(ScanHeader {
        selected,
        start,
        end,
        low: approximation & 0x0F,
    })
}
