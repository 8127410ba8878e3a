//! Every real file: scanned, contained, rebuilt byte for byte, frames as expected.

use std::collections::BTreeMap;
use std::io::Cursor;
use std::path::Path;
use std::sync::Arc;

use sha2::{Digest, Sha256};
use tancho_imaging::container::{
    Coding, CodingTurns, Container, Dictionary, Encoder, Object, SectionKind, encode,
};
use tancho_imaging::limits::ScanLimits;
use tancho_imaging::scan::{WarningKind, scan, scan_head};
use tancho_imaging::syntax::{Codestream, codestream_of};

use crate::data;

const FOLDERS: &[&str] = &[
    "ct-head-ge",
    "mr-brain-t1-sag",
    "mr-dwi-mosaic",
    "ct-phantom-tilt",
    "ct-head-single",
    "cr-dx",
    "multiframe",
    "compressed-real",
    "charset-real",
    "odd-real",
    "syntaxes",
    "japanese",
];

#[test]
fn every_real_file_is_rebuilt_byte_for_byte() {
    let Some(root) = data::folder() else { return };
    let (mut rebuilt, mut refused) = (0, BTreeMap::new());
    for path in data::files(&root, FOLDERS) {
        let name = data::name(&path);
        let object = match data::data_set(&path) {
            Ok(object) => object,
            Err(code) => {
                refused.insert(name, code);
                continue;
            }
        };
        let mut src = Cursor::new(&object.bytes);
        let scan = match scan(&mut src, &object.transfer_syntax, &ScanLimits::default()) {
            Ok(scan) => scan,
            Err(error) => {
                refused.insert(name, error.code());
                continue;
            }
        };
        let mut out = Cursor::new(Vec::new());
        let summary = encode(&mut src, &scan, &object.transfer_syntax, &object.sha256, &mut out)
            .unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(summary.container_len, out.get_ref().len() as u64, "{name}");
        let mut container = Container::open(out).unwrap_or_else(|error| panic!("{name}: {error}"));
        container.verify_sections().unwrap();
        let mut back = Vec::new();
        container
            .rebuild(&mut back)
            .unwrap_or_else(|error| panic!("{name}: {error}"));
        assert!(back == object.bytes, "{name} is not rebuilt");
        // What the relay reads from the head alone is what the agent read from the whole.
        let head = container.scan_identity(&ScanLimits::default()).unwrap().unwrap();
        assert_eq!(head.identity, scan.identity, "{name}");
        if container.header().has_head() {
            let bytes = container.head_bytes(u64::MAX).unwrap();
            let head = scan_head(&bytes, &object.transfer_syntax, &ScanLimits::default()).unwrap();
            assert_eq!(head.identity, scan.identity, "{name}");
        }
        assert_eq!(scan.is_displayable(), container.frame_count() > 0, "{name}");
        rebuilt += 1;
    }
    println!("{rebuilt} rebuilt, refused: {refused:?}");
    assert!(rebuilt >= 180, "{rebuilt}");
    let expected = [
        ("DICOMDIR", "uid_missing"),
        ("GH223.dcm", "uid_missing"),
        ("MR_truncated.dcm", "value_beyond_object"),
    ];
    for (name, code) in expected {
        assert_eq!(refused.get(name), Some(&code), "{name}");
    }
}

/// Bytes of the files of a series and of their containers, coded as a node does: every head but the first with that
/// of the first. Every container is rebuilt.
fn coded_series(root: &Path, folder: &str) -> (u64, u64) {
    let mut encoder = Encoder::new(Arc::new(CodingTurns::new(2, 1 << 30))).unwrap();
    let mut dictionary: Option<Dictionary> = None;
    let (mut files_len, mut containers_len) = (0, 0);
    for path in data::files(root, &[folder]) {
        let object = data::data_set(&path).unwrap();
        let mut src = Cursor::new(&object.bytes);
        let scan = scan(&mut src, &object.transfer_syntax, &ScanLimits::default()).unwrap();
        let described = Object {
            scan: &scan,
            transfer_syntax: &object.transfer_syntax,
            original_sha256: &object.sha256,
        };
        let coding = Coding {
            dictionary: dictionary.as_ref(),
            is_dictionary: dictionary.is_none(),
            ..Coding::default()
        };
        let (mut scratch, mut out) = (Cursor::new(Vec::new()), Cursor::new(Vec::new()));
        encoder
            .encode(&mut src, &described, &coding, &mut scratch, &mut out)
            .unwrap();
        files_len += std::fs::metadata(&path).unwrap().len();
        containers_len += out.get_ref().len() as u64;
        let at_hand = dictionary.clone();
        let mut container = Container::open(out)
            .unwrap()
            .with_dictionaries(move |_| Ok(at_hand.clone()));
        let mut back = Vec::new();
        container.rebuild(&mut back).unwrap();
        assert!(back == object.bytes, "{path:?}");
        let kinds = container.header().sections.iter().map(|section| section.kind);
        assert!(
            kinds.into_iter().any(|kind| kind == SectionKind::Htj2kLow),
            "{path:?}"
        );
        if dictionary.is_none() {
            dictionary = Dictionary::new(container.head_bytes(u64::MAX).unwrap());
        }
    }
    println!("{folder}: {files_len} bytes of files, {containers_len} of containers");
    (files_len, containers_len)
}

#[test]
fn a_head_ct_and_a_brain_mr_become_as_small_as_the_thin_line_needs() {
    let Some(root) = data::folder() else { return };
    let (_, ct) = coded_series(&root, "ct-head-ge");
    assert!(ct <= 3_320_000, "{ct}");
    let (files, mr) = coded_series(&root, "mr-brain-t1-sag");
    assert!(mr * 13 / 2 <= files, "{files} / {mr}");
}

#[test]
fn frames_of_every_syntax_decode_to_the_expected_pixels() {
    let Some(root) = data::folder() else { return };
    let expected: serde_json::Value =
        serde_json::from_slice(&std::fs::read(root.join("syntaxes/expected.json")).unwrap()).unwrap();
    let mut checked = 0;
    for path in data::files(&root, &["syntaxes"]) {
        let name = data::name(&path);
        let object = data::data_set(&path).unwrap();
        let mut src = Cursor::new(&object.bytes);
        let scan = scan(&mut src, &object.transfer_syntax, &ScanLimits::default()).unwrap();
        let mut out = Cursor::new(Vec::new());
        encode(&mut src, &scan, &object.transfer_syntax, &object.sha256, &mut out).unwrap();
        let mut container = Container::open(out).unwrap();
        let family = codestream_of(object.transfer_syntax.as_str());
        if name.contains("deflated.dcm") {
            assert_eq!(container.frame_count(), 0);
            continue;
        }
        assert_eq!(container.frame_count(), 1, "{name}: {:?}", scan.warnings);
        let frame = container.frame_little_endian(1).unwrap();
        let native = !scan.has_warning(WarningKind::EncodingMismatch)
            && (family == Codestream::Uncompressed || object.transfer_syntax.as_str().len() <= 19)
            && family != Codestream::Rle;
        if native {
            let slice = if name.starts_with("ct_") { "ct" } else { "mr" };
            let wanted = pixel_hash(&expected, slice);
            assert_eq!(hex(&Sha256::digest(&frame)), wanted, "{name}");
            checked += 1;
        } else {
            assert!(!frame.is_empty(), "{name}");
        }
    }
    assert!(checked >= 6, "{checked}");
}

/// The digest all lossless files of one slice share: that of its explicit little endian file.
fn pixel_hash(expected: &serde_json::Value, slice: &str) -> String {
    let file = format!("{slice}_explicit_le.dcm");
    fn find(value: &serde_json::Value, file: &str) -> Option<String> {
        match value {
            serde_json::Value::Array(items) => items.iter().find_map(|item| find(item, file)),
            serde_json::Value::Object(map) => {
                if map.get("file").and_then(|name| name.as_str()) == Some(file) {
                    let digest = map
                        .iter()
                        .find(|(key, value)| key.contains("sha256") && value.is_string());
                    return digest.and_then(|(_, value)| value.as_str()).map(str::to_owned);
                }
                if let Some(inner) = map.get(file) {
                    let digest = inner
                        .as_object()?
                        .iter()
                        .find(|(key, _)| key.contains("sha256"))?;
                    return digest.1.as_str().map(str::to_owned);
                }
                map.values().find_map(|inner| find(inner, file))
            }
            _ => None,
        }
    }
    find(expected, &file).expect("expected.json names the explicit file")
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
