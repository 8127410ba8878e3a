//! Decoding of every family of codestream: the samples that other decoders give, and nothing at all from what is broken.

use std::collections::BTreeMap;
use std::io::Cursor;
use std::path::{Path, PathBuf};

use serde_json::Value;
use sha2::{Digest, Sha256};
use tancho_imaging::codec::{self, CodecError, DecodedFrame, FrameJob};
use tancho_imaging::container::{Container, encode};
use tancho_imaging::limits::ScanLimits;
use tancho_imaging::scan::scan;
use tancho_imaging::syntax::Codestream;
use tancho_imaging::transcode::explicit_little;

use crate::data::{self, DataSet};

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures/codecs")
}

fn contained(object: &DataSet) -> Container<Cursor<Vec<u8>>> {
    let mut src = Cursor::new(&object.bytes);
    let scan = scan(&mut src, &object.transfer_syntax, &ScanLimits::default()).unwrap();
    let mut out = Cursor::new(Vec::new());
    encode(&mut src, &scan, &object.transfer_syntax, &object.sha256, &mut out).unwrap();
    Container::open(out).unwrap()
}

/// Every fixture by name: what it asks for, its codestream, and what other decoders make of it.
fn cases() -> BTreeMap<String, (FrameJob, Vec<u8>, Value)> {
    let expected = std::fs::read(fixtures().join("expected.json")).unwrap();
    let expected: BTreeMap<String, Value> = serde_json::from_slice(&expected).unwrap();
    assert!(expected.len() > 30);
    let case = |(name, value): (String, Value)| {
        let mut container = contained(&data::data_set(&fixtures().join(format!("{name}.dcm"))).unwrap());
        let job = FrameJob::of(&mut container).unwrap_or_else(|error| panic!("{name}: {error}"));
        let codestream = container.frame(1).unwrap();
        (name, (job, codestream, value))
    };
    expected.into_iter().map(case).collect()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn every_codec_gives_the_samples_that_other_decoders_give() {
    let mut wrong = Vec::new();
    for (name, (job, codestream, expected)) in cases() {
        match codec::decode(&job, &codestream) {
            Ok(frame) => {
                let sha256 = hex(&Sha256::digest(&frame.samples));
                // Others name the colours of what they were given, and give luminance and its differences for each pixel.
                let stated = expected["photometric"].as_str().unwrap();
                let stated = stated.trim_end_matches("_422");
                let photometric = frame.facts.colours.photometric(&job.photometric);
                let is_lossy = ["lossy", "baseline", "extended", "near"]
                    .iter()
                    .any(|word| name.contains(word));
                if sha256 != expected["sha256"] {
                    wrong.push(format!("{name}: other samples"));
                }
                if photometric != stated {
                    wrong.push(format!("{name}: {photometric} and not {stated}"));
                }
                if frame.facts.is_lossy != is_lossy {
                    wrong.push(format!("{name}: lossy {}", frame.facts.is_lossy));
                }
            }
            Err(error) => wrong.push(format!("{name}: {error}")),
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn real_slices_come_back_from_every_lossless_syntax() {
    let Some(root) = data::folder() else { return };
    let list = std::fs::read(root.join("syntaxes/expected.json")).unwrap();
    let list: Vec<Value> = serde_json::from_slice(&list).unwrap();
    let mut n_compared = 0;
    let mut wrong = Vec::new();
    for entry in list {
        let name = entry["file"].as_str().unwrap();
        let mut container = contained(&data::data_set(&root.join("syntaxes").join(name)).unwrap());
        let Ok(job) = FrameJob::of(&mut container) else {
            continue;
        };
        n_compared += 1;
        match job.decode_here(&mut container, 1) {
            Ok(frame) => {
                let expected = entry["pixels_sha256"].as_str();
                if expected.is_some_and(|expected| expected != hex(&Sha256::digest(&frame.samples))) {
                    wrong.push(format!("{name}: other samples"));
                }
            }
            Err(error) => wrong.push(format!("{name}: {error}")),
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert!(n_compared >= 24, "{n_compared}");
}

/// A codestream that ends early is refused, or all of its samples were there.
#[test]
fn a_part_of_a_codestream_is_never_shown_as_the_whole() {
    for (name, (job, codestream, _)) in cases() {
        let whole = codec::decode(&job, &codestream).unwrap();
        let ends = (0..codestream.len())
            .step_by(7)
            .chain(codestream.len().saturating_sub(40)..codestream.len());
        for end in ends {
            if let Ok(part) = codec::decode(&job, &codestream[..end]) {
                assert!(part == whole, "{name} up to {end} of {}", codestream.len());
                assert!(
                    codestream.len() - end < 8,
                    "{name} up to {end} of {}",
                    codestream.len()
                );
            }
        }
    }
}

/// Damage gives an error or samples of the right number, and never a panic.
#[test]
fn damaged_codestreams_give_an_error_or_a_frame() {
    for (name, (job, codestream, _)) in cases() {
        let mut seed = 0x2545_F491_4F6C_DD1D_u64;
        for _ in 0..300 {
            let mut damaged = codestream.clone();
            for _ in 0..1 + seed % 3 {
                seed ^= seed << 13;
                seed ^= seed >> 7;
                seed ^= seed << 17;
                let at = seed as usize % damaged.len();
                damaged[at] = (seed >> 32) as u8;
            }
            if let Ok(frame) = codec::decode(&job, &damaged) {
                assert_eq!(frame.samples.len() as u64, job.geometry.frame_len(), "{name}");
            }
        }
    }
}

#[test]
fn a_codestream_of_another_size_than_the_header_is_refused_before_it_is_decoded() {
    for (name, (job, codestream, _)) in cases() {
        let mut larger = job.clone();
        larger.geometry.rows += 8;
        let outcome = codec::decode(&larger, &codestream);
        assert!(outcome.is_err(), "{name}");
        // The codestream says that it is as large as can be; the object's header does not.
        let mut huge = codestream.clone();
        let sides: &[usize] = match job.family {
            Codestream::Rle => continue,
            Codestream::Jpeg | Codestream::JpegLs => {
                let frame = |pair: &[u8]| pair[0] == 0xFF && matches!(pair[1], 0xC0 | 0xC1 | 0xC3 | 0xF7);
                let at = huge.windows(2).position(frame).unwrap();
                huge[at + 5..at + 9].fill(0xFF);
                &[]
            }
            _ => &[8, 12],
        };
        for at in sides {
            huge[*at..at + 4].copy_from_slice(&[0x7F, 0xFF, 0xFF, 0xFF]);
        }
        assert_eq!(codec::decode(&job, &huge), Err(CodecError::OtherShape), "{name}");
    }
}

/// Where the codestream's samples could be two things, neither is shown.
#[test]
fn samples_that_are_narrower_or_wider_than_the_header_says_are_refused_when_in_doubt() {
    let cases = cases();
    let with = |name: &str, change: &dyn Fn(&mut FrameJob)| {
        let (job, codestream, _) = &cases[name];
        let mut job = job.clone();
        change(&mut job);
        codec::decode(&job, codestream).map(|_| ())
    };
    // Lossy eight bits under a header of twelve, as a converter leaves it that forgets Bits Stored.
    let wider = |job: &mut FrameJob| {
        job.geometry.bits_allocated = 16;
        job.geometry.bits_stored = 12;
        job.geometry.high_bit = 11;
    };
    assert_eq!(with("jpeg_baseline_u8", &|_| {}), Ok(()));
    assert_eq!(with("jpeg_baseline_u8", &wider), Err(CodecError::OtherShape));
    // Words of sixteen bits in which twelve are stored at the top, or samples of twelve: nobody can tell.
    let at_the_top = |job: &mut FrameJob| {
        job.geometry.bits_stored = 12;
        job.geometry.high_bit = 15;
    };
    assert!(matches!(
        with("j2k_s16", &at_the_top),
        Err(CodecError::Unsupported(_))
    ));
}

#[test]
fn a_component_that_comes_twice_leaves_another_out_and_is_refused() {
    let (job, grey, _) = &cases()["jpeg_lossless_sv1_u8"];
    let marker = |code: u8| grey.windows(2).position(|pair| pair == [0xFF, code]).unwrap();
    let (frame, scan) = (marker(0xC3), marker(0xDA));
    let end = grey.len() - 2 - usize::from(grey.ends_with(&[0]));
    assert_eq!(grey[end..end + 2], [0xFF, 0xD9]);
    // The same samples for three components, each in a scan of its own.
    let with_scans_of = |ids: [u8; 3]| {
        // Without what comes before the tables and the frame, which may say something about colours.
        let tables = marker(0xC4).min(frame);
        let mut out = vec![0xFF, 0xD8];
        out.extend(&grey[tables..frame]);
        let mut header = grey[frame..frame + 13].to_vec();
        header[3] = 17;
        header[9] = 3;
        header[10] = b'R';
        out.extend(header);
        out.extend([b'G', 0x11, 0, b'B', 0x11, 0]);
        out.extend(&grey[frame + 13..scan]);
        for id in ids {
            let at = out.len();
            out.extend(&grey[scan..end]);
            out[at + 5] = id;
        }
        out.extend([0xFF, 0xD9]);
        out
    };
    let mut job = job.clone();
    job.geometry.samples_per_pixel = 3;
    job.photometric = "RGB".to_owned();
    let whole = codec::decode(&job, &with_scans_of(*b"RGB")).unwrap();
    assert!(
        whole
            .samples
            .chunks_exact(3)
            .all(|rgb| rgb[0] == rgb[1] && rgb[1] == rgb[2])
    );
    assert_eq!(
        codec::decode(&job, &with_scans_of(*b"RRR")),
        Err(CodecError::Malformed("component in two scans"))
    );
}

#[test]
fn colours_that_header_and_codestream_do_not_agree_on_are_refused() {
    let cases = cases();
    let outcome = |name: &str, photometric: &str| {
        let (job, codestream, _) = &cases[name];
        let job = FrameJob {
            photometric: photometric.to_owned(),
            ..job.clone()
        };
        let frame: Result<DecodedFrame, _> = codec::decode(&job, codestream);
        frame.map(|frame| frame.facts.colours.photometric(photometric).to_owned())
    };
    for (name, photometric, expected) in [
        ("rle_rgb", "RGB", Some("RGB")),
        ("rle_rgb", "YBR_FULL", Some("YBR_FULL")),
        ("rle_rgb", "YBR_FULL_422", None),
        ("jpeg_baseline_422", "YBR_FULL_422", Some("YBR_FULL")),
        // With a JFIF or Adobe segment the codestream itself says what it holds.
        ("jpeg_baseline_422", "RGB", Some("YBR_FULL")),
        ("jpeg_baseline_422", "YBR_PARTIAL_422", None),
        ("jpeg_lossless_sv1_rgb", "RGB", Some("RGB")),
        ("jpeg_ls_rgb_line", "RGB", Some("RGB")),
        ("jpeg_ls_rgb_line", "YBR_RCT", None),
        ("j2k_rgb", "YBR_RCT", Some("RGB")),
        ("j2k_rgb", "YBR_ICT", None),
        ("j2k_rgb", "YBR_FULL", None),
        ("j2k_rgb", "RGB", Some("RGB")),
        ("j2k_lossy_rgb", "YBR_ICT", Some("RGB")),
        ("j2k_lossy_rgb", "YBR_RCT", None),
    ] {
        assert_eq!(
            outcome(name, photometric).ok().as_deref(),
            expected,
            "{name} {photometric}"
        );
    }
}

/// The object that is written says what its samples are now.
#[test]
fn decoded_objects_say_what_they_hold() {
    for (name, photometric, lossy) in [
        ("jpeg_baseline_422", "YBR_FULL", true),
        ("j2k_lossy_rgb", "RGB ", true),
        ("j2k_rgb", "RGB ", false),
        ("htj2k_lossy_u12", "MONOCHROME2 ", true),
        ("rle_u16", "MONOCHROME2 ", false),
    ] {
        let mut container = contained(&data::data_set(&fixtures().join(format!("{name}.dcm"))).unwrap());
        let mut out = Vec::new();
        explicit_little(&mut container, &mut out, FrameJob::decode_here).unwrap();
        let value = |element: [u8; 4]| {
            let at = out
                .windows(6)
                .position(|window| window[..4] == element && &window[4..] == b"CS")?;
            let len = usize::from(out[at + 6]);
            Some(String::from_utf8(out[at + 8..at + 8 + len].to_vec()).unwrap())
        };
        assert_eq!(value([0x28, 0, 4, 0]).as_deref(), Some(photometric), "{name}");
        let told = value([0x28, 0, 0x10, 0x21]);
        assert_eq!(told.as_deref() == Some("01"), lossy, "{name} {told:?}");
    }
}
