//! HTJ2K codestreams: any bytes under any expected shape never panic, a preview has the halved shape, and every image
//! that is coded comes back sample by sample.
//!
//! The first bytes are the shape and what is done; the rest is a codestream, or the samples of an image to be coded.

#![no_main]

use libfuzzer_sys::fuzz_target;
use tancho_imaging::htj2k::{ImageShape, decode, decode_prefix, encode};

/// Larger images show nothing that small ones do not, and take longer. Pixels a side.
const SIDE_MAX: u32 = 140;

fuzz_target!(|input: &[u8]| {
    let Some((header, rest)) = input.split_first_chunk::<8>() else {
        return;
    };
    let shape = ImageShape {
        width: u32::from(u16::from_be_bytes([header[0], header[1]])) % (SIDE_MAX + 1),
        height: u32::from(u16::from_be_bytes([header[2], header[3]])) % (SIDE_MAX + 1),
        components: header[4] & 3,
        precision: header[5] & 31,
        signed: header[5] & 128 != 0,
    };
    match header[6] & 1 {
        0 => read(rest, &shape, header[7]),
        _ => code(rest, &shape),
    }
});

fn read(codestream: &[u8], shape: &ImageShape, discard_levels: u8) {
    let mut samples = Vec::new();
    if decode(codestream, shape, &mut samples).is_ok() {
        assert_eq!(samples.len(), shape.n_samples());
        assert_in_range(&samples, shape);
    }
    if let Ok(preview) = decode_prefix(codestream, shape, discard_levels, &mut samples) {
        assert_eq!(preview.width, halved(shape.width, discard_levels));
        assert_eq!(preview.height, halved(shape.height, discard_levels));
        assert_eq!(samples.len(), preview.n_samples());
    }
}

fn code(bytes: &[u8], shape: &ImageShape) {
    if shape.check().is_err() || bytes.is_empty() {
        return;
    }
    let (lowest, n_values) = range(shape);
    let samples: Vec<i32> = (0..shape.n_samples())
        .map(|at| {
            // The bytes again and again, each time a little different.
            let (round, place) = (at / bytes.len(), at % bytes.len());
            let pair = i64::from(bytes[place]) << 8 | i64::from(bytes[(place + 1) % bytes.len()]);
            (lowest + (pair + round as i64).rem_euclid(n_values)) as i32
        })
        .collect();
    let coded = encode(shape, &samples).expect("samples within the range are coded");
    let mut back = Vec::new();
    decode(&coded.bytes, shape, &mut back).expect("what was coded is read");
    assert!(back == samples, "an image came back changed");
    for (resolution, end) in coded.resolution_ends.iter().rev().enumerate() {
        let preview = decode_prefix(&coded.bytes[..*end as usize], shape, resolution as u8, &mut back);
        preview.expect("each resolution is readable from its prefix");
    }
}

fn range(shape: &ImageShape) -> (i64, i64) {
    let n_values = 1_i64 << shape.precision;
    (if shape.signed { -n_values / 2 } else { 0 }, n_values)
}

fn assert_in_range(samples: &[i32], shape: &ImageShape) {
    let (lowest, n_values) = range(shape);
    let is_inside = |sample: &i32| (lowest..lowest + n_values).contains(&i64::from(*sample));
    assert!(samples.iter().all(is_inside));
}

fn halved(side: u32, times: u8) -> u32 {
    (0..times).fold(side, |side, _| side.div_ceil(2))
}
