//! JPEG-LS, lossless and near-lossless (ITU-T T.87): one component a scan, or components by line or by sample.

mod bits;
mod scan;

use super::{CodecError, DecodedFrame, FrameFacts, FrameJob, stated_colours, unsigned_words};
use scan::{COMPONENTS_MAX, Interleave, Layout, Preset, Scan};

pub(super) fn decode(job: &FrameJob, codestream: &[u8]) -> Result<DecodedFrame, CodecError> {
    let colours = stated_colours(job)?;
    let geometry = &job.geometry;
    let n_components = usize::from(geometry.samples_per_pixel);
    let (width, height) = (usize::from(geometry.columns), usize::from(geometry.rows));
    let mut samples = Vec::new();
    let mut preset = Preset::default();
    let mut precision = None;
    let mut component_ids: Vec<u8> = Vec::new();
    let mut seen = [false; COMPONENTS_MAX];
    let mut is_lossy = false;
    if !codestream.starts_with(&[0xFF, 0xD8]) {
        return Err(CodecError::Malformed("no beginning"));
    }
    let mut at = 2;
    loop {
        let (marker, segment, next) = marker_at(codestream, at)?;
        at = next;
        match marker {
            0xF7 => {
                let [bits, h1, h0, w1, w0, n, components @ ..] = segment else {
                    return Err(CodecError::Malformed("frame header"));
                };
                let is_shape = u16::from_be_bytes([*h1, *h0]) == geometry.rows
                    && u16::from_be_bytes([*w1, *w0]) == geometry.columns
                    && usize::from(*n) == n_components;
                if !is_shape || precision.is_some() {
                    return Err(CodecError::OtherShape);
                }
                if !(2..=16).contains(bits) || *bits > geometry.bits_allocated {
                    return Err(CodecError::OtherShape);
                }
                if components.len() != 3 * n_components || components.chunks(3).any(|one| one[1] != 0x11) {
                    return Err(CodecError::Unsupported("components of several sizes"));
                }
                component_ids = components.iter().step_by(3).copied().collect();
                precision = Some(*bits);
                samples = vec![0_u16; width * height * n_components];
            }
            0xF8 => match segment {
                [1, values @ ..] if values.len() == 10 => {
                    let value =
                        |idx: usize| i32::from(u16::from_be_bytes([values[2 * idx], values[2 * idx + 1]]));
                    preset = Preset {
                        max_value: value(0),
                        thresholds: [value(1), value(2), value(3)],
                        reset: value(4),
                    };
                }
                _ => return Err(CodecError::Unsupported("mapping tables or large sizes")),
            },
            0xDD if segment.iter().any(|byte| *byte != 0) => {
                return Err(CodecError::Unsupported("restart intervals"));
            }
            // A transformation of colours that is no part of the standard.
            0xE8 if segment.starts_with(b"mrfx") && segment.get(4) != Some(&0) => {
                return Err(CodecError::UnsureColours);
            }
            0xDA => {
                let precision = precision.ok_or(CodecError::Malformed("scan without a frame"))?;
                let [n, rest @ ..] = segment else {
                    return Err(CodecError::Malformed("scan header"));
                };
                let n = usize::from(*n);
                if n == 0 || n > n_components || rest.len() != 2 * n + 3 {
                    return Err(CodecError::Malformed("scan header"));
                }
                let mut components = Vec::new();
                for selected in rest[..2 * n].chunks(2) {
                    let found = component_ids.iter().position(|id| *id == selected[0]);
                    let found = found.ok_or(CodecError::Malformed("component of a scan"))?;
                    if seen[found] || selected[1] != 0 {
                        return Err(CodecError::Unsupported("components twice or mapped"));
                    }
                    seen[found] = true;
                    components.push(found);
                }
                let [near, interleave, transform] = rest[2 * n..] else {
                    return Err(CodecError::Malformed("scan header"));
                };
                let interleave = match (interleave, n) {
                    (_, 1) => Interleave::None,
                    (1, _) => Interleave::Line,
                    (2, _) => Interleave::Sample,
                    _ => return Err(CodecError::Malformed("interleaving")),
                };
                is_lossy |= near > 0 || transform > 0;
                if transform > 0 {
                    return Err(CodecError::Unsupported("point transformation"));
                }
                let scan = Scan::new(precision, i32::from(near), &preset)?;
                let layout = Layout {
                    width,
                    height,
                    stride: n_components,
                    components: &components,
                };
                at += scan.decode(&codestream[at..], interleave, &layout, &mut samples)?;
                if seen[..n_components].iter().all(|seen| *seen) {
                    break;
                }
            }
            0xD9 => return Err(CodecError::Truncated),
            0xC0..=0xCF => return Err(CodecError::Unsupported("other processes of JPEG")),
            _ => {}
        }
    }
    // What is behind the last scan says that it was whole.
    let (marker, _, _) = marker_at(codestream, at)?;
    if marker != 0xD9 {
        return Err(CodecError::Truncated);
    }
    let precision = precision.ok_or(CodecError::Truncated)?;
    Ok(DecodedFrame {
        samples: unsigned_words(geometry, &samples, precision)?,
        facts: FrameFacts { colours, is_lossy },
    })
}

/// The marker at a place, its segment without the length, and the place behind it.
fn marker_at(codestream: &[u8], mut at: usize) -> Result<(u8, &[u8], usize), CodecError> {
    loop {
        match codestream.get(at..at + 2) {
            Some([0xFF, 0xFF]) => at += 1,
            Some([0xFF, 0xD9]) => return Ok((0xD9, &[], at + 2)),
            Some([0xFF, marker]) => {
                let len = codestream.get(at + 2..at + 4).ok_or(CodecError::Truncated)?;
                let end = at + 2 + usize::from(u16::from_be_bytes([len[0], len[1]]));
                let segment = codestream.get(at + 4..end).ok_or(CodecError::Truncated)?;
                return Ok((*marker, segment, end));
            }
            Some(_) => return Err(CodecError::Malformed("no marker")),
            None => return Err(CodecError::Truncated),
        }
    }
}
