//! Codestreams of every family: any bytes under any header never panic, and give a frame of the header's size or none.
//!
//! The first bytes are the family and the header; the rest is the codestream.

#![no_main]

use libfuzzer_sys::fuzz_target;
use tancho_imaging::codec::{FrameJob, decode};
use tancho_imaging::container::FrameGeometry;
use tancho_imaging::syntax::Codestream;

/// Larger images show nothing that small ones do not, and take longer. Pixels a side.
const SIDE_MAX: u16 = 140;

fuzz_target!(|input: &[u8]| {
    let Some((header, codestream)) = input.split_first_chunk::<8>() else {
        return;
    };
    // JPEG 2000 is a library's, which has its own fuzzing; here it would only stop the others.
    let family = [Codestream::Rle, Codestream::Jpeg, Codestream::JpegLs][usize::from(header[0] % 3)];
    let side = |high: u8, low: u8| u16::from_be_bytes([high, low]) % (SIDE_MAX + 1);
    let bits_allocated = if header[5] & 64 == 0 { 8 } else { 16 };
    let bits_stored = (header[5] & 15).min(bits_allocated - 1) + 1;
    let job = FrameJob {
        family,
        geometry: FrameGeometry {
            rows: side(header[1], header[2]),
            columns: side(header[3], header[4]),
            samples_per_pixel: if header[6] & 1 == 0 { 1 } else { 3 },
            bits_allocated,
            bits_stored,
            high_bit: bits_stored - 1,
            is_signed: header[5] & 128 != 0,
            is_planar: false,
        },
        photometric: ["RGB", "YBR_FULL", "YBR_FULL_422"][usize::from(header[7] % 3)].to_owned(),
    };
    if let Ok(frame) = decode(&job, codestream) {
        assert_eq!(frame.samples.len() as u64, job.geometry.frame_len());
    }
});
