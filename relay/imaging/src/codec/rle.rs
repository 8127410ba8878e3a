//! RLE Lossless (PS3.5 annex G): a segment for each byte of each sample, each packed by runs.

use super::{CodecError, DecodedFrame, FrameFacts, FrameJob, stated_colours};

/// The header: a count and fifteen offsets.
const HEADER_BYTES: usize = 64;

pub(super) fn decode(job: &FrameJob, frame: &[u8]) -> Result<DecodedFrame, CodecError> {
    let colours = stated_colours(job)?;
    let geometry = &job.geometry;
    let sample_bytes = usize::from(geometry.bits_allocated / 8);
    let pixel_bytes = sample_bytes * usize::from(geometry.samples_per_pixel);
    let n_pixels = usize::from(geometry.rows) * usize::from(geometry.columns);
    let header = frame.get(..HEADER_BYTES).ok_or(CodecError::Truncated)?;
    let words: Vec<usize> = header
        .chunks_exact(4)
        .map(|word| u32::from_le_bytes([word[0], word[1], word[2], word[3]]) as usize)
        .collect();
    if words[0] != pixel_bytes {
        return Err(CodecError::OtherShape);
    }
    let offsets = &words[1..=pixel_bytes];
    let mut samples = vec![0; n_pixels * pixel_bytes];
    for (at, begin) in offsets.iter().enumerate() {
        let end = offsets.get(at + 1).copied().unwrap_or(frame.len());
        if *begin < HEADER_BYTES {
            return Err(CodecError::Malformed("offset of a segment"));
        }
        let segment = frame
            .get(*begin..end)
            .ok_or(CodecError::Malformed("offset of a segment"))?;
        // The most significant byte of a sample comes first, and is last in little endian.
        let (sample, byte) = (at / sample_bytes, at % sample_bytes);
        let first = sample * sample_bytes + (sample_bytes - 1 - byte);
        unpack(segment, samples[first..].iter_mut().step_by(pixel_bytes))?;
    }
    Ok(DecodedFrame {
        samples,
        facts: FrameFacts {
            colours,
            is_lossy: false,
        },
    })
}

/// Fills `out` from a segment; what comes behind the last byte is padding.
fn unpack<'a>(segment: &[u8], mut out: impl ExactSizeIterator<Item = &'a mut u8>) -> Result<(), CodecError> {
    let mut rest = segment;
    while out.len() > 0 {
        let [control, after @ ..] = rest else {
            return Err(CodecError::Truncated);
        };
        let (control, is_literal) = (usize::from(*control), *control < 128);
        if is_literal {
            let literal = after.get(..=control).ok_or(CodecError::Truncated)?;
            rest = &after[control + 1..];
            // The literal first: the other way round an element of `out` could be taken and lost at its end.
            literal
                .iter()
                .zip(out.by_ref())
                .for_each(|(from, to)| *to = *from);
        } else if control == 128 {
            rest = after;
        } else {
            let [value, behind @ ..] = after else {
                return Err(CodecError::Truncated);
            };
            rest = behind;
            out.by_ref().take(257 - control).for_each(|to| *to = *value);
        }
    }
    Ok(())
}
