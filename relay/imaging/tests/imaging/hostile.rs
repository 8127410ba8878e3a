//! Every hostile case gives one of its acceptable outcomes, in time and in bounded memory.

use std::io::Cursor;
use std::time::{Duration, Instant};

use tancho_domain::dicom::TransferSyntaxUid;
use tancho_imaging::container::{Container, encode};
use tancho_imaging::element::{Tag, Vr};
use tancho_imaging::limits::ScanLimits;
use tancho_imaging::metadata::{MetadataOptions, dicom_json};
use tancho_imaging::scan::{DataSetScan, ScanError, WarningKind, named_study, scan};
use tancho_imaging::syntax;
use tancho_imaging::synthetic::{CtSlice, ElementWriter};

use crate::data;

/// Cases about several objects, decided where objects meet: not by looking at one.
const BETWEEN_OBJECTS: &[&str] = &[
    "113_dup_d_other_patient",
    "114_dup_e_other_series",
    "115_study_two_patients",
];

#[test]
fn every_hostile_file_gets_an_acceptable_answer() {
    let Some(root) = data::folder() else { return };
    let cases: serde_json::Value =
        serde_json::from_slice(&std::fs::read(root.join("hostile/cases.json")).unwrap()).unwrap();
    let mut wrong = Vec::new();
    for case in cases["cases"].as_array().unwrap() {
        let id = case["id"].as_str().unwrap();
        if BETWEEN_OBJECTS.contains(&id) {
            continue;
        }
        let path = root.join("hostile").join(case["file"].as_str().unwrap());
        let started = Instant::now();
        let (outcome, why) = judge(&path);
        let may: Vec<&str> = case["may"]
            .as_array()
            .unwrap()
            .iter()
            .filter_map(|may| may.as_str())
            .collect();
        println!("{id}: {outcome} {why}");
        if !may.contains(&outcome) || started.elapsed() > Duration::from_secs(2) {
            wrong.push(format!(
                "{id}: {outcome} {why}, may be {may:?}, {:?}",
                started.elapsed()
            ));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// What the product does with one object: refuse it, keep it without decoding, or take it.
fn judge(path: &std::path::Path) -> (&'static str, String) {
    let object = match data::data_set(path) {
        Ok(object) => object,
        Err(code) => return ("reject", code.to_owned()),
    };
    let mut src = Cursor::new(&object.bytes);
    let scan = match scan(&mut src, &object.transfer_syntax, &ScanLimits::default()) {
        Ok(scan) => scan,
        Err(error) => return ("reject", error.code().to_owned()),
    };
    let codes: Vec<&str> = scan.warnings.iter().map(|warning| warning.code()).collect();
    let mut out = Cursor::new(Vec::new());
    encode(&mut src, &scan, &object.transfer_syntax, &object.sha256, &mut out).unwrap();
    let mut container = Container::open(out).unwrap();
    let mut back = Vec::new();
    container.rebuild(&mut back).unwrap();
    assert!(back == object.bytes, "stored bytes are exactly those received");
    if container.header().has_head() {
        let head = container.head_bytes(u64::MAX).unwrap();
        dicom_json(&head, &object.transfer_syntax, &MetadataOptions::default()).unwrap();
    }
    let held = scan.pixels.is_some() && !scan.is_displayable();
    (if held { "quarantine" } else { "accept" }, codes.join(" "))
}

fn explicit() -> TransferSyntaxUid {
    TransferSyntaxUid::parse(syntax::EXPLICIT_LITTLE).unwrap()
}

fn scanned(bytes: &[u8], transfer_syntax: &str) -> Result<DataSetScan, ScanError> {
    let ts = TransferSyntaxUid::parse(transfer_syntax).unwrap();
    scan(&mut Cursor::new(bytes), &ts, &ScanLimits::default())
}

/// A valid slice with something written between Rescale Slope and Pixel Data.
fn slice_with(write: impl FnOnce(&mut ElementWriter)) -> Vec<u8> {
    let mut writer = ElementWriter::new(&explicit());
    let slice = CtSlice::default();
    slice.write_head(&mut writer).unwrap();
    write(&mut writer);
    writer.pixels_i16(&slice.samples);
    writer.finish()
}

#[test]
fn flt_007_identifiers_that_are_missing_or_paths_are_refused() {
    for (uid, code) in [
        ("", "uid_missing"),
        ("../../x", "uid_malformed"),
        ("1.2.3/4", "uid_malformed"),
        ("1.2\x003", "uid_malformed"),
    ] {
        let slice = CtSlice {
            series_instance_uid: uid.to_owned(),
            ..CtSlice::default()
        };
        let bytes = slice.data_set(&explicit()).unwrap();
        assert_eq!(
            scanned(&bytes, syntax::EXPLICIT_LITTLE).unwrap_err().code(),
            code,
            "{uid:?}"
        );
    }
}

#[test]
fn flt_009_a_length_beyond_the_data_is_refused_at_once() {
    let mut bytes = CtSlice::default().data_set(&explicit()).unwrap();
    bytes.extend_from_slice(&[0x09, 0x00, 0x10, 0x10, b'O', b'B', 0, 0, 0xF0, 0xFF, 0xFF, 0xFF]);
    let before_pixels = slice_with(|_| {});
    let cut = &before_pixels[..before_pixels.len() - 1];
    assert_eq!(
        scanned(cut, syntax::EXPLICIT_LITTLE).unwrap_err().code(),
        "value_beyond_object"
    );
    // After the pixels the bytes are kept, with a warning.
    assert!(
        scanned(&bytes, syntax::EXPLICIT_LITTLE)
            .unwrap()
            .has_warning(WarningKind::TrailingBytes)
    );
}

#[test]
fn the_study_of_an_object_that_cannot_be_used_is_still_named() {
    let explicit = explicit();
    let named = |bytes: &[u8]| {
        named_study(&mut Cursor::new(bytes), &explicit, &ScanLimits::default()).map(|uid| uid.to_string())
    };
    let slice = CtSlice {
        series_instance_uid: "no uid".to_owned(),
        ..CtSlice::default()
    };
    let study = Some(slice.study_instance_uid.clone());
    let bytes = slice.data_set(&explicit).unwrap();
    assert!(scanned(&bytes, syntax::EXPLICIT_LITTLE).is_err());
    assert_eq!(named(&bytes), study);
    let at = bytes
        .windows(4)
        .position(|tag| tag == [0x20, 0, 0x0D, 0])
        .unwrap();
    let end = at + 8 + slice.study_instance_uid.len().next_multiple_of(2);
    assert_eq!(named(&bytes[..end]), study, "cut right behind it");
    assert_eq!(named(&bytes[..end - 2]), None, "cut inside it");
    assert_eq!(named(&bytes[..at]), None);
    assert_eq!(named(&[]), None);
}

#[test]
fn flt_010_nesting_is_taken_to_the_limit_and_refused_beyond() {
    for (depth, taken) in [(64, true), (65, false), (20_000, false)] {
        let bytes = slice_with(|writer| {
            for _ in 0..depth {
                writer.begin_sequence(Tag(0x0040, 0xA730)).begin_item();
            }
            for _ in 0..depth {
                writer.end_item().end_sequence();
            }
        });
        match scanned(&bytes, syntax::EXPLICIT_LITTLE) {
            Ok(_) => assert!(taken, "{depth}"),
            Err(error) => assert_eq!((taken, error.code()), (false, "sequence_too_deep"), "{depth}"),
        }
    }
}

#[test]
fn flt_011_limits_hold_and_oddities_are_kept() {
    let elements = |n: u16| {
        slice_with(|writer| {
            for at in 0..n {
                writer.bytes(Tag(0x0029, 0x1000 + at), Vr::UN, b"");
            }
        })
    };
    let take = |bytes: &[u8], limits: &ScanLimits| {
        scan(&mut Cursor::new(bytes), &explicit(), limits)
            .map(|_| ())
            .map_err(|error| error.code())
    };
    let of_count = |max_elements| ScanLimits {
        max_elements,
        ..ScanLimits::default()
    };
    let own = (1..).find(|n| take(&elements(0), &of_count(*n)).is_ok()).unwrap();
    assert_eq!(take(&elements(60), &of_count(own + 60)), Ok(()));
    assert_eq!(take(&elements(61), &of_count(own + 60)), Err("too_many_elements"));
    let value = |n: usize| {
        slice_with(|writer| {
            writer.bytes(Tag(0x0029, 0x1000), Vr::UN, &vec![0; n]);
        })
    };
    let limits = ScanLimits {
        max_value_bytes: 1000,
        ..ScanLimits::default()
    };
    assert_eq!(take(&value(1000), &limits), Ok(()));
    assert_eq!(take(&value(1002), &limits), Err("value_too_long"));
    let whole = value(0);
    let limits = |max_object_bytes| ScanLimits {
        max_object_bytes,
        ..ScanLimits::default()
    };
    assert_eq!(take(&whole, &limits(whole.len() as u64)), Ok(()));
    assert_eq!(
        take(&whole, &limits(whole.len() as u64 - 1)),
        Err("object_too_large")
    );

    let odd = slice_with(|writer| {
        writer
            .bytes(Tag(0x0029, 0x1000), Vr(*b"??"), b"ab")
            .bytes(Tag(0x0010, 0x0020), Vr::LO, b"OTHER");
    });
    let scan = scanned(&odd, syntax::EXPLICIT_LITTLE).unwrap();
    for kind in [
        WarningKind::VrUnknown,
        WarningKind::OrderBroken,
        WarningKind::ElementRepeated,
    ] {
        assert!(scan.has_warning(kind), "{kind:?}");
    }
    assert_eq!(
        scan.identity.patient_id.as_deref(),
        Some("TEST-1"),
        "the first one counts"
    );
    assert!(scan.is_displayable());
}

#[test]
fn flt_012_unknown_transfer_syntaxes_are_kept_and_not_decoded() {
    let bytes = CtSlice::default().data_set(&explicit()).unwrap();
    let scan = scanned(&bytes, "1.2.3.4.5").unwrap();
    assert!(scan.has_warning(WarningKind::TransferSyntaxUnknown) && !scan.is_displayable());
}

#[test]
fn flt_013_an_encoding_unlike_the_negotiated_one_is_kept_and_not_decoded() {
    let slice = CtSlice::default();
    let all = [
        syntax::EXPLICIT_LITTLE,
        syntax::IMPLICIT_LITTLE,
        syntax::EXPLICIT_BIG,
    ];
    for written in all {
        let bytes = slice
            .data_set(&TransferSyntaxUid::parse(written).unwrap())
            .unwrap();
        for negotiated in all {
            let scan = scanned(&bytes, negotiated).unwrap();
            assert_eq!(
                scan.has_warning(WarningKind::EncodingMismatch),
                written != negotiated,
                "{written} as {negotiated}"
            );
            assert_eq!(scan.is_displayable(), written == negotiated);
            assert_eq!(scan.identity.patient_id.as_deref(), Some("TEST-1"));
        }
        // Native pixels under a compressed syntax, and a plain data set under the deflated one.
        for negotiated in ["1.2.840.10008.1.2.4.80", syntax::DEFLATED] {
            let scan = scanned(&bytes, negotiated);
            if written == syntax::EXPLICIT_LITTLE {
                let scan = scan.unwrap();
                assert!(scan.has_warning(WarningKind::EncodingMismatch) && !scan.is_displayable());
            }
        }
    }
}

#[test]
fn flt_065_geometry_that_the_bytes_cannot_fill_is_not_decoded() {
    let mut slice = CtSlice {
        rows: 65_535,
        columns: 65_535,
        ..CtSlice::default()
    };
    let scan = scanned(&slice.data_set(&explicit()).unwrap(), syntax::EXPLICIT_LITTLE).unwrap();
    assert!(scan.has_warning(WarningKind::PixelGeometry) && !scan.is_displayable());
    (slice.rows, slice.columns) = (8, 9);
    let scan = scanned(&slice.data_set(&explicit()).unwrap(), syntax::EXPLICIT_LITTLE).unwrap();
    assert!(scan.has_warning(WarningKind::PixelDataShort) && !scan.is_displayable());
    slice.columns = 7;
    let scan = scanned(&slice.data_set(&explicit()).unwrap(), syntax::EXPLICIT_LITTLE).unwrap();
    assert!(scan.has_warning(WarningKind::PixelDataLong) && scan.is_displayable());
}

#[test]
fn flt_066_a_deflated_data_set_stops_at_ratio_and_size() {
    use std::io::Write;
    let plain = slice_with(|writer| {
        for at in 0..200 {
            writer.bytes(Tag(0x0029, 0x1000 + at), Vr::UN, &vec![0; 1 << 20]);
        }
    });
    let mut encoder = flate2::write::DeflateEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(&plain).unwrap();
    let bomb = encoder.finish().unwrap();
    assert_eq!(
        scanned(&bomb, syntax::DEFLATED).unwrap_err().code(),
        "inflate_limit"
    );

    let small = CtSlice::default().data_set(&explicit()).unwrap();
    let mut encoder = flate2::write::DeflateEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(&small).unwrap();
    let deflated = encoder.finish().unwrap();
    let scan_with = |max_inflated_bytes: u64| {
        let limits = ScanLimits {
            max_inflated_bytes,
            ..ScanLimits::default()
        };
        let ts = TransferSyntaxUid::parse(syntax::DEFLATED).unwrap();
        scan(&mut Cursor::new(&deflated), &ts, &limits).map(|scan| scan.identity.patient_id)
    };
    assert_eq!(scan_with(small.len() as u64).unwrap().as_deref(), Some("TEST-1"));
    assert_eq!(
        scan_with(small.len() as u64 - 1).unwrap_err().code(),
        "inflate_limit"
    );
}

#[test]
fn fragments_are_given_to_frames_only_without_doubt() {
    let head = |frames: &str| {
        let mut writer = ElementWriter::new(&explicit());
        CtSlice::default().write_head(&mut writer).unwrap();
        writer.ascii(Tag(0x0028, 0x0008), Vr::IS, frames);
        writer
    };
    // A minimal JPEG-LS frame header: 8x8, one component, 16 bits.
    let jls: &[u8] = &[
        0xFF, 0xD8, 0xFF, 0xF7, 0, 11, 16, 0, 8, 0, 8, 1, 1, 0x11, 0, 0xFF, 0xD9, 0,
    ];
    let more: &[u8] = &[1, 2, 3, 4];
    let check = |frames: &str, offsets: &[u32], fragments: &[&[u8]]| {
        let mut writer = head(frames);
        writer.fragments(offsets, fragments);
        let scan = scanned(&writer.finish(), "1.2.840.10008.1.2.4.80").unwrap();
        match scan.layout.body {
            tancho_imaging::scan::Body::Fragments { fragments, .. } => {
                fragments.iter().map(|fragment| fragment.frame).collect()
            }
            _ => Vec::new(),
        }
    };
    assert_eq!(check("1", &[], &[jls, more]), [1, 1]);
    assert_eq!(check("2", &[], &[jls, jls]), [1, 2]);
    assert_eq!(check("2", &[0, 38], &[jls, more, jls]), [1, 1, 2]);
    assert_eq!(check("2", &[], &[jls, more, jls]), [1, 1, 2]);
    assert_eq!(check("2", &[0, 99], &[jls, more, jls]), [] as [u32; 0]);
    assert_eq!(check("3", &[], &[jls, more, jls]), [] as [u32; 0]);
    assert_eq!(check("1", &[], &[]), [] as [u32; 0]);
    // A header that claims one frame does not make the second image go unsaid.
    assert_eq!(check("1", &[], &[jls, jls]), [] as [u32; 0]);
    assert_eq!(check("1", &[], &[jls, more, jls]), [] as [u32; 0]);
    assert_eq!(check("2", &[0, 38], &[jls, jls, jls]), [] as [u32; 0]);
}
