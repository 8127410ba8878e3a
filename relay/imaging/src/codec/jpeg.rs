//! JPEG as DICOM has it (ITU-T T.81; PS3.5 sections 8.2.1 and A.4.1): baseline and extended sequential of 8 and 12 bits, and
//! lossless with every predictor, all Huffman coded.
//!
//! Colours are not converted: three components come as they were coded, with a luminance and its differences for each
//! pixel where they were halved.

mod bits;
mod headers;
mod lossless;
mod sequential;

use super::{CodecError, Colours, DecodedFrame, FrameFacts, FrameJob, unsigned_words};
use headers::{Headers, Process};

pub(super) fn decode(job: &FrameJob, codestream: &[u8]) -> Result<DecodedFrame, CodecError> {
    let geometry = &job.geometry;
    let mut headers = Headers::new(codestream)?;
    let frame = headers.read_frame(geometry)?;
    let colours = colours(job, &headers, frame.process)?;
    let (samples, is_lossy) = match frame.process {
        Process::Sequential => (sequential::decode(&mut headers, &frame)?, true),
        Process::Lossless => lossless::decode(&mut headers, &frame)?,
    };
    Ok(DecodedFrame {
        samples: unsigned_words(geometry, &samples, frame.precision)?,
        facts: FrameFacts { colours, is_lossy },
    })
}

/// Which colours the components are: those of the header, unless the codestream says something else.
fn colours(job: &FrameJob, headers: &Headers<'_>, process: Process) -> Result<Colours, CodecError> {
    if job.geometry.samples_per_pixel == 1 {
        return Ok(Colours::AsStated);
    }
    let marked = headers.marked_colours;
    match (job.photometric.trim(), marked, process) {
        // Where nothing is said, most programs take three components for luminance and its differences.
        ("RGB", None, Process::Sequential) => Err(CodecError::UnsureColours),
        ("RGB", None, Process::Lossless) | ("RGB", Some(Colours::Rgb), _) => Ok(Colours::AsStated),
        ("RGB", Some(Colours::YbrFull), Process::Sequential) => Ok(Colours::YbrFull),
        ("YBR_FULL" | "YBR_FULL_422", None | Some(Colours::YbrFull), _) => Ok(Colours::YbrFull),
        _ => Err(CodecError::UnsureColours),
    }
}
