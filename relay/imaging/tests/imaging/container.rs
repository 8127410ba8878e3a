//! The container: every coding, every kind of damage.

use std::io::Cursor;

use proptest::prelude::*;
use sha2::{Digest, Sha256};
use tancho_domain::dicom::TransferSyntaxUid;
use tancho_imaging::container::{Container, ContainerError, SectionKind, digest, encode, parse_header};
use tancho_imaging::element::{Tag, Vr};
use tancho_imaging::limits::{ScanLimits, pieces};
use tancho_imaging::scan::scan;
use tancho_imaging::syntax;
use tancho_imaging::synthetic::{CtSlice, ElementWriter};

fn ts(uid: &str) -> TransferSyntaxUid {
    TransferSyntaxUid::parse(uid).unwrap()
}

fn contain(data_set: &[u8], transfer_syntax: &str) -> Vec<u8> {
    let mut src = Cursor::new(data_set);
    let ts = ts(transfer_syntax);
    let scan = scan(&mut src, &ts, &ScanLimits::default()).unwrap();
    let mut out = Cursor::new(Vec::new());
    let summary = encode(&mut src, &scan, &ts, &Sha256::digest(data_set).into(), &mut out).unwrap();
    assert_eq!(summary.container_len, out.get_ref().len() as u64);
    assert_eq!(digest(&mut out).unwrap()[..], Sha256::digest(out.get_ref())[..]);
    out.into_inner()
}

fn rebuilt(container: &[u8]) -> Result<Vec<u8>, ContainerError> {
    let mut back = Vec::new();
    Container::open(Cursor::new(container))?.rebuild(&mut back)?;
    Ok(back)
}

/// A slice with several frames and a given number of bits, in a native syntax.
fn native(
    transfer_syntax: &str,
    bits: u16,
    samples: u16,
    frames: usize,
    side: u16,
) -> (Vec<u8>, Vec<Vec<u8>>) {
    let mut writer = ElementWriter::new(&ts(transfer_syntax));
    writer
        .ascii(Tag::SOP_CLASS_UID, Vr::UI, "1.2.840.10008.5.1.4.1.1.7.2")
        .ascii(Tag::SOP_INSTANCE_UID, Vr::UI, "2.25.9")
        .ascii(Tag::STUDY_INSTANCE_UID, Vr::UI, "2.25.7")
        .ascii(Tag::SERIES_INSTANCE_UID, Vr::UI, "2.25.8")
        .us(Tag(0x0028, 0x0002), &[samples])
        .ascii(
            Tag(0x0028, 0x0004),
            Vr::CS,
            if samples == 3 { "RGB" } else { "MONOCHROME2" },
        )
        .ascii(Tag(0x0028, 0x0008), Vr::IS, &frames.to_string())
        .us(Tag(0x0028, 0x0010), &[side])
        .us(Tag(0x0028, 0x0011), &[side])
        .us(Tag(0x0028, 0x0100), &[bits])
        .us(Tag(0x0028, 0x0101), &[bits])
        .us(Tag(0x0028, 0x0102), &[bits - 1])
        .us(Tag(0x0028, 0x0103), &[0]);
    let frame_bytes = usize::from(side) * usize::from(side) * usize::from(samples) * usize::from(bits) / 8;
    let all: Vec<u8> = (0..frame_bytes * frames).map(|n| (n * n / 3 + n) as u8).collect();
    writer.bytes(Tag::PIXEL_DATA, Vr::OW, &all);
    writer.bytes(Tag::TRAILING_PADDING, Vr::OB, &[0; 100]);
    (
        writer.finish(),
        all.chunks(frame_bytes).map(<[u8]>::to_vec).collect(),
    )
}

#[test]
fn frames_of_every_depth_and_order_come_back() {
    for (bits, samples) in [(1, 1), (8, 1), (8, 3), (16, 1), (32, 1)] {
        for syntax in [
            syntax::EXPLICIT_LITTLE,
            syntax::IMPLICIT_LITTLE,
            syntax::EXPLICIT_BIG,
        ] {
            let (bytes, frames) = native(syntax, bits, samples, 3, 8);
            let packed = contain(&bytes, syntax);
            assert_eq!(rebuilt(&packed).unwrap(), bytes, "{bits} {samples} {syntax}");
            let mut container = Container::open(Cursor::new(&packed)).unwrap();
            assert_eq!(container.frame_count(), 3);
            for (idx, frame) in frames.iter().enumerate() {
                assert_eq!(&container.frame(idx as u32 + 1).unwrap(), frame);
                let mut little = frame.clone();
                if syntax == syntax::EXPLICIT_BIG {
                    let unit = usize::from(bits.div_ceil(8)).max(2);
                    little.chunks_exact_mut(unit).for_each(<[u8]>::reverse);
                }
                assert_eq!(container.frame_little_endian(idx as u32 + 1).unwrap(), little);
            }
            assert!(matches!(container.frame(0), Err(ContainerError::NoSuchFrame(0))));
            assert!(matches!(container.frame(4), Err(ContainerError::NoSuchFrame(4))));
        }
    }
}

#[test]
fn large_frames_are_cut_into_chunks_and_served_whole() {
    // 2050 x 2050 x 2 bytes is just above the limit of one section, 2040 x 2040 just below.
    for (side, chunked) in [(2050u16, true), (2040, false)] {
        let (bytes, frames) = native(syntax::EXPLICIT_LITTLE, 16, 1, 1, side);
        assert_eq!(frames[0].len() as u64 > pieces::WHOLE_FRAME_BYTES_MAX, chunked);
        let packed = contain(&bytes, syntax::EXPLICIT_LITTLE);
        let mut container = Container::open(Cursor::new(&packed)).unwrap();
        let opaque = container
            .header()
            .sections
            .iter()
            .filter(|section| section.kind == SectionKind::Opaque);
        assert_eq!(opaque.count() > 1, chunked);
        assert!(container.frame(1).unwrap() == frames[0]);
        assert!(rebuilt(&packed).unwrap() == bytes);
    }
}

#[test]
fn objects_without_pixels_are_opaque_and_still_readable() {
    let mut writer = ElementWriter::new(&ts(syntax::EXPLICIT_LITTLE));
    CtSlice::default().write_head(&mut writer).unwrap();
    let bytes = writer.finish();
    let packed = contain(&bytes, syntax::EXPLICIT_LITTLE);
    let mut container = Container::open(Cursor::new(&packed)).unwrap();
    assert_eq!(
        (container.frame_count(), container.header().has_head()),
        (0, false)
    );
    assert_eq!(container.head_bytes(1 << 20).unwrap(), bytes);
    assert!(matches!(
        container.head_bytes(10),
        Err(ContainerError::TooLarge(10))
    ));
    let head = container.scan_identity(&ScanLimits::default()).unwrap().unwrap();
    assert_eq!(head.identity.patient_id.as_deref(), Some("TEST-1"));
}

#[test]
fn the_header_is_read_from_a_growing_prefix() {
    let packed = contain(
        &CtSlice::default().data_set(&ts(syntax::EXPLICIT_LITTLE)).unwrap(),
        syntax::EXPLICIT_LITTLE,
    );
    let header = parse_header(&packed).unwrap().unwrap();
    let header_len = usize::try_from(header.header_len).unwrap();
    for len in 0..header_len {
        assert_eq!(parse_header(&packed[..len]).unwrap(), None, "{len}");
    }
    assert_eq!(parse_header(&packed[..header_len]).unwrap().unwrap(), header);
    assert_eq!(header.sop_instance_uid.as_str(), "2.25.1.1.1");
    assert!(header.head_end() > header.header_len && header.head_end() < header.container_len());
    assert!(matches!(
        parse_header(b"TanchoXX"),
        Err(ContainerError::Malformed(_))
    ));
}

#[test]
fn a_source_that_is_not_what_was_scanned_is_refused() {
    let bytes = CtSlice::default().data_set(&ts(syntax::EXPLICIT_LITTLE)).unwrap();
    let ts = ts(syntax::EXPLICIT_LITTLE);
    let scanned = scan(&mut Cursor::new(&bytes), &ts, &ScanLimits::default()).unwrap();
    let sha: [u8; 32] = Sha256::digest(&bytes).into();
    let mut changed = bytes.clone();
    *changed.last_mut().unwrap() ^= 1;
    let longer = [bytes.as_slice(), b"x"].concat();
    for source in [&changed[..], &bytes[..bytes.len() - 1], &longer] {
        let result = encode(
            &mut Cursor::new(source),
            &scanned,
            &ts,
            &sha,
            &mut Cursor::new(Vec::new()),
        );
        assert!(matches!(result, Err(ContainerError::SourceChanged)), "{result:?}");
    }
}

#[test]
fn every_flipped_byte_is_noticed() {
    let bytes = CtSlice::default().data_set(&ts(syntax::EXPLICIT_LITTLE)).unwrap();
    let packed = contain(&bytes, syntax::EXPLICIT_LITTLE);
    for at in 0..packed.len() {
        let mut damaged = packed.clone();
        damaged[at] ^= 0x10;
        assert!(rebuilt(&damaged).is_err(), "byte {at}");
        let verified =
            Container::open(Cursor::new(&damaged)).and_then(|mut container| container.verify_sections());
        assert!(verified.is_err(), "byte {at}");
    }
    for len in 0..packed.len() {
        assert!(
            Container::open(Cursor::new(&packed[..len])).is_err(),
            "cut at {len}"
        );
    }
    assert!(Container::open(Cursor::new([packed.as_slice(), b"x"].concat())).is_err());
}

/// A header whose digest is right but whose content is arbitrary.
fn forged(mut header: Vec<u8>) -> Vec<u8> {
    let body = header.len() - 32;
    let digest: [u8; 32] = Sha256::digest(&header[..body]).into();
    header[body..].copy_from_slice(&digest);
    header
}

proptest! {
    #[test]
    fn arbitrary_bytes_are_refused(mut bytes: Vec<u8>, magic: bool) {
        if magic {
            bytes.splice(0..0, *b"TanchoIC\x01\x00\x01\x00\x80\x00\x00\x00");
        }
        let _ = parse_header(&bytes);
        prop_assert!(Container::open(Cursor::new(bytes)).is_err());
    }

    #[test]
    fn a_lying_table_never_panics_and_never_gives_wrong_bytes(changes in prop::collection::vec((64usize..600, any::<u8>()), 1..6)) {
        let bytes = CtSlice::default().data_set(&ts(syntax::EXPLICIT_LITTLE)).unwrap();
        let packed = contain(&bytes, syntax::EXPLICIT_LITTLE);
        let header_len = usize::try_from(parse_header(&packed).unwrap().unwrap().header_len).unwrap();
        let mut header = packed[..header_len].to_vec();
        for (at, value) in changes {
            let at = at % (header_len - 32);
            header[at] = value;
        }
        let lying = [forged(header), packed[header_len..].to_vec()].concat();
        if let Ok(back) = rebuilt(&lying) {
            prop_assert_eq!(back, bytes);
        }
        if let Ok(mut container) = Container::open(Cursor::new(&lying)) {
            let _ = container.frame(1);
            let _ = container.head_bytes(1 << 20);
            let _ = container.scan_identity(&ScanLimits::default());
        }
    }

    #[test]
    fn mutated_data_sets_are_refused_or_rebuilt(changes in prop::collection::vec((0usize..4000, any::<u8>()), 1..8), syntax in prop::sample::select(vec![syntax::EXPLICIT_LITTLE, syntax::IMPLICIT_LITTLE, syntax::EXPLICIT_BIG, "1.2.840.10008.1.2.4.80", syntax::RLE])) {
        let written = if syntax.contains(".4.") || syntax == syntax::RLE { syntax::EXPLICIT_LITTLE } else { syntax };
        let mut bytes = CtSlice::default().data_set(&ts(written)).unwrap();
        for (at, value) in changes {
            let at = at % bytes.len();
            bytes[at] = value;
        }
        let ts = ts(syntax);
        let mut src = Cursor::new(&bytes);
        if let Ok(scan) = scan(&mut src, &ts, &ScanLimits::default()) {
            let mut out = Cursor::new(Vec::new());
            encode(&mut src, &scan, &ts, &Sha256::digest(&bytes).into(), &mut out).unwrap();
            prop_assert_eq!(rebuilt(out.get_ref()).unwrap(), bytes);
        }
    }
}
