//! Data sets from a peer: any bytes in any transfer syntax never panic, and whatever the scanner takes comes back from
//! its container byte for byte.
//!
//! The first byte names the transfer syntax; 255 has the rest read as a Part 10 file.

#![no_main]

use std::io::Cursor;

use libfuzzer_sys::fuzz_target;
use sha2::{Digest, Sha256};
use tancho_domain::dicom::TransferSyntaxUid;
use tancho_imaging::codec::FrameJob;
use tancho_imaging::container::{Container, encode};
use tancho_imaging::limits::ScanLimits;
use tancho_imaging::metadata::{Extent, MetadataOptions, bulk_value, dicom_json, of_container};
use tancho_imaging::render::{Look, picture};
use tancho_imaging::transcode::explicit_little;
use tancho_imaging::{part10, scan, syntax};

const SYNTAXES: [&str; 9] = [
    syntax::IMPLICIT_LITTLE,
    syntax::EXPLICIT_LITTLE,
    syntax::EXPLICIT_BIG,
    syntax::DEFLATED,
    syntax::ENCAPSULATED_UNCOMPRESSED,
    syntax::HTJ2K_LOSSLESS_RPCL,
    syntax::RLE,
    syntax::DEFLATED_FRAME,
    "1.2.840.10008.1.2.4.50",
];
const PART_10: u8 = 255;

fuzz_target!(|input: &[u8]| {
    let Some((kind, bytes)) = input.split_first() else {
        return;
    };
    if *kind == PART_10 {
        if let Ok(meta) = part10::split(&mut Cursor::new(bytes)) {
            let data_set = &bytes[meta.data_set_offset as usize..];
            take(data_set, &meta.transfer_syntax);
        }
        return;
    }
    let uid = SYNTAXES[usize::from(*kind) % SYNTAXES.len()];
    take(bytes, &TransferSyntaxUid::parse(uid).expect("a constant"));
});

fn take(bytes: &[u8], transfer_syntax: &TransferSyntaxUid) {
    // Smaller than the product's, so that a small input can reach them.
    let limits = ScanLimits {
        max_frame_bytes: 8 << 20,
        max_inflated_bytes: 8 << 20,
        ..ScanLimits::default()
    };
    let _ = dicom_json(bytes, transfer_syntax, &MetadataOptions::default());
    let mut source = Cursor::new(bytes);
    let Ok(scanned) = scan::scan(&mut source, transfer_syntax, &limits) else {
        return;
    };
    let sha256: [u8; 32] = Sha256::digest(bytes).into();
    let mut coded = Cursor::new(Vec::new());
    encode(&mut source, &scanned, transfer_syntax, &sha256, &mut coded).expect("what was scanned is coded");
    let mut container = Container::open(coded).expect("what was coded is opened");
    let mut back = Vec::new();
    container.rebuild(&mut back).expect("what was coded is rebuilt");
    assert!(back == bytes, "stored bytes are those received");
    if container.header().has_head() {
        let head = container.head_bytes(u64::MAX).expect("a head that was coded");
        dicom_json(&head, transfer_syntax, &MetadataOptions::default()).expect("a head that was scanned");
    }
    for number in 0..container.frame_count().min(4) {
        let _ = container.frame(number);
        let _ = container.low_frame(number);
    }
    serve(&mut container);
}

/// What a browser or another program is given of it.
fn serve(container: &mut Container<Cursor<Vec<u8>>>) {
    let options = MetadataOptions::default();
    if let Ok(model) = of_container(container, Extent::Whole, &options)
        && let (Ok(look), Some(geometry)) = (Look::of(&model, 1), container.header().geometry)
        && let Ok(frame) = container.frame_little_endian(1)
    {
        if let Ok(picture) = picture(&frame, &geometry, &look, None) {
            let small = picture.fitted(16, 16);
            assert!(small.width <= 16 && small.height <= 16);
        }
    }
    let _ = bulk_value(container, "00091010", &options.limits);
    let mut explicit = Vec::new();
    if explicit_little(container, &mut explicit, FrameJob::decode_here).is_ok() {
        let explicit_little_endian = TransferSyntaxUid::parse(syntax::EXPLICIT_LITTLE).expect("a constant");
        let _ = dicom_json(&explicit, &explicit_little_endian, &options);
    }
}
