//! The lossless process (T.81 annex H): each sample is predicted from its neighbours.

use super::super::CodecError;
use super::bits::{Bits, Huffman};
use super::headers::{Frame, Headers, Selected};

/// The samples, by pixel, and whether low bits were left out of them.
pub(super) fn decode(headers: &mut Headers<'_>, frame: &Frame) -> Result<(Vec<u16>, bool), CodecError> {
    if frame
        .components
        .iter()
        .any(|one| (one.across, one.down) != (1, 1))
    {
        return Err(CodecError::Unsupported("components of several sizes"));
    }
    let n_components = frame.components.len();
    let mut samples = vec![0_u16; frame.width * frame.height * n_components];
    let mut decoded = vec![false; n_components];
    let mut is_lossy = false;
    while decoded.contains(&false) {
        let scan = headers.read_scan(frame)?;
        for selected in &scan.selected {
            if std::mem::replace(&mut decoded[selected.component], true) {
                return Err(CodecError::Malformed("component in two scans"));
            }
        }
        if !(1..=7).contains(&scan.start) || scan.low >= frame.precision {
            return Err(CodecError::Malformed("predictor"));
        }
        is_lossy |= scan.low > 0;
        let given = headers.rest();
        let mut bits = Bits::new(given);
        let places = Places {
            frame,
            selected: &scan.selected,
            predictor: scan.start,
            low: u32::from(scan.low),
        };
        places.decode(headers, &mut bits, &mut samples)?;
        let len = bits.end(given)?;
        headers.skip(len);
    }
    headers.end()?;
    Ok((samples, is_lossy))
}

struct Places<'a> {
    frame: &'a Frame,
    selected: &'a [Selected],
    predictor: u8,
    /// Bits left out below.
    low: u32,
}

impl Places<'_> {
    fn decode(
        &self,
        headers: &Headers<'_>,
        bits: &mut Bits<'_>,
        samples: &mut [u16],
    ) -> Result<(), CodecError> {
        let n_components = self.frame.components.len();
        let (width, height) = (self.frame.width, self.frame.height);
        let tables: Vec<&Huffman> = self
            .selected
            .iter()
            .map(|one| headers.dc[one.dc].as_ref())
            .collect::<Option<_>>()
            .ok_or(CodecError::Malformed("missing table"))?;
        let rows_per_restart = match headers.restart_interval {
            0 => height,
            // T.81 section H.1.1.
            interval if interval.is_multiple_of(width) => interval / width,
            _ => return Err(CodecError::Malformed("restart interval")),
        };
        let line_len = width * n_components;
        for row in 0..height {
            let is_first = row.is_multiple_of(rows_per_restart);
            if is_first && row > 0 {
                bits.restart(row / rows_per_restart - 1)?;
            }
            let (before, line) = samples.split_at_mut(row * line_len);
            let line = &mut line[..line_len];
            let above = &before[before.len().saturating_sub(line_len)..];
            for column in 0..width {
                for (one, table) in self.selected.iter().zip(&tables) {
                    let at = column * n_components + one.component;
                    let left = || u32::from(line[at - n_components]) >> self.low;
                    let up = |at: usize| u32::from(above[at]) >> self.low;
                    let predicted = match (is_first, column) {
                        (true, 0) => 1 << (u32::from(self.frame.precision) - self.low - 1),
                        (true, _) => left(),
                        (false, 0) => up(at),
                        (false, _) => self.predicted(left(), up(at), up(at - n_components)),
                    };
                    let n_bits = u32::from(bits.code(table)?);
                    let difference = match n_bits {
                        0..=15 => bits.signed(n_bits)?,
                        16 => 1 << 15,
                        _ => return Err(CodecError::Malformed("size of a difference")),
                    };
                    let value = predicted.wrapping_add_signed(difference) as u16;
                    line[at] = value << self.low;
                }
            }
        }
        Ok(())
    }

    /// T.81 table H.1.
    fn predicted(&self, a: u32, b: u32, c: u32) -> u32 {
        let (a, b, c) = (a.cast_signed(), b.cast_signed(), c.cast_signed());
        let predicted = match self.predictor {
            1 => a,
            2 => b,
            3 => c,
            4 => a + b - c,
            5 => a + ((b - c) >> 1),
            6 => b + ((a - c) >> 1),
            _ => (a + b) >> 1,
        };
        predicted.cast_unsigned()
    }
}
