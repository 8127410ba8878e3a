//! The DICOM JSON model against pydicom's, value by value: of generated objects with every value representation, and of
//! every shared file.

use std::io::Cursor;

use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tancho_domain::dicom::{SopClassUid, SopInstanceUid, TransferSyntaxUid};
use tancho_imaging::container::{Container, encode};
use tancho_imaging::element::{Tag, Vr};
use tancho_imaging::limits::ScanLimits;
use tancho_imaging::metadata::{Extent, MetadataOptions, of_container};
use tancho_imaging::scan::scan;
use tancho_imaging::syntax;
use tancho_imaging::synthetic::{ElementWriter, part10_file};

use crate::data::{self, DataSet};
use crate::oracle::{PYDICOM_IS_WRONG, ask, python};

/// The model of an object as the relay makes it, from its container; `None` for one that is refused.
fn model_of(object: &DataSet) -> Option<Value> {
    let limits = ScanLimits::default();
    let mut src = Cursor::new(&object.bytes);
    let scan = scan(&mut src, &object.transfer_syntax, &limits).ok()?;
    let mut out = Cursor::new(Vec::new());
    encode(&mut src, &scan, &object.transfer_syntax, &object.sha256, &mut out).unwrap();
    let mut container = Container::open(out).unwrap();
    let options = MetadataOptions {
        inline_bytes_max: u64::MAX,
        limits: ScanLimits {
            max_head_bytes: u64::MAX,
            ..limits
        },
        ..MetadataOptions::default()
    };
    Some(of_container(&mut container, Extent::Whole, &options).unwrap())
}

/// One element of each value representation: its value little endian in units of so many bytes, and what it is in the
/// model.
type Sample = (Tag, Vr, usize, Vec<u8>, Value);

fn samples() -> Vec<Sample> {
    let text = |tag, vr, value: &str, model: Value| -> Sample {
        (
            tag,
            vr,
            1,
            value.as_bytes().to_vec(),
            json!({ "vr": vr.as_str(), "Value": model }),
        )
    };
    let numbers = |tag, vr, unit, value: &[u8], model: Value| -> Sample {
        (
            tag,
            vr,
            unit,
            value.to_vec(),
            json!({ "vr": vr.as_str(), "Value": model }),
        )
    };
    let bytes = |tag, vr, unit, value: &[u8], base64: &str| -> Sample {
        (
            tag,
            vr,
            unit,
            value.to_vec(),
            json!({ "vr": vr.as_str(), "InlineBinary": base64 }),
        )
    };
    let doubles: Vec<u8> = [0.1f64, -0.0, f64::MAX]
        .iter()
        .flat_map(|value| value.to_le_bytes())
        .collect();
    let singles: Vec<u8> = [1.5f32, f32::NAN, -0.1, f32::INFINITY, f32::NEG_INFINITY]
        .iter()
        .flat_map(|value| value.to_le_bytes())
        .collect();
    let eight: Vec<u8> = (1..=8).collect();
    vec![
        text(
            Tag(0x0008, 0x0008),
            Vr::CS,
            "ORIGINAL\\\\AXIAL ",
            json!(["ORIGINAL", null, "AXIAL"]),
        ),
        text(
            Tag(0x0008, 0x0016),
            Vr::UI,
            "1.2.840.10008.5.1.4.1.1.2",
            json!(["1.2.840.10008.5.1.4.1.1.2"]),
        ),
        text(Tag(0x0008, 0x0018), Vr::UI, "2.25.3", json!(["2.25.3"])),
        text(Tag(0x0008, 0x0020), Vr::DA, "20260131", json!(["20260131"])),
        text(
            Tag(0x0008, 0x002A),
            Vr::DT,
            "20260131120000.5+0900",
            json!(["20260131120000.5+0900"]),
        ),
        text(
            Tag(0x0008, 0x0030),
            Vr::TM,
            "120000.123456",
            json!(["120000.123456"]),
        ),
        text(Tag(0x0008, 0x0050), Vr::SH, "A-1", json!(["A-1"])),
        text(Tag(0x0008, 0x0054), Vr::AE, "ONE\\TWO", json!(["ONE", "TWO"])),
        text(Tag(0x0008, 0x0081), Vr::ST, " a\\b ", json!([" a\\b"])),
        text(Tag(0x0008, 0x0090), Vr::PN, "", json!([])),
        text(Tag(0x0008, 0x0119), Vr::UC, "long code", json!(["long code"])),
        text(
            Tag(0x0008, 0x0120),
            Vr::UR,
            "urn:oid:2.25.1",
            json!(["urn:oid:2.25.1"]),
        ),
        text(Tag(0x0008, 0x1030), Vr::LO, "頭部\\CT", json!(["頭部", "CT"])),
        bytes(Tag(0x0009, 0x1001), Vr::UN, 1, b"abcd", "YWJjZA=="),
        text(
            Tag(0x0010, 0x0010),
            Vr::PN,
            "Doto^Hanako=道東^花子=ドウトウ^ハナコ\\^=山田",
            json!([
                { "Alphabetic": "Doto^Hanako", "Ideographic": "道東^花子", "Phonetic": "ドウトウ^ハナコ" },
                { "Alphabetic": "^", "Ideographic": "山田" },
            ]),
        ),
        text(Tag(0x0010, 0x1010), Vr::AS, "045Y", json!(["045Y"])),
        text(
            Tag(0x0010, 0x4000),
            Vr::LT,
            " two\r\nlines",
            json!([" two\r\nlines"]),
        ),
        numbers(Tag(0x0018, 0x6016), Vr::UL, 4, &[0xFF; 4], json!([u32::MAX])),
        numbers(
            Tag(0x0018, 0x6020),
            Vr::SL,
            4,
            &[0xFE, 0xFF, 0xFF, 0xFF],
            json!([-2]),
        ),
        numbers(
            Tag(0x0018, 0x9073),
            Vr::FD,
            8,
            &doubles,
            json!([0.1, -0.0, f64::MAX]),
        ),
        numbers(
            Tag(0x0018, 0x9219),
            Vr::SS,
            2,
            &[0xFF, 0xFF, 1, 0],
            json!([-1, 1]),
        ),
        text(Tag(0x0020, 0x000D), Vr::UI, "2.25.1", json!(["2.25.1"])),
        text(Tag(0x0020, 0x000E), Vr::UI, "2.25.2", json!(["2.25.2"])),
        text(Tag(0x0020, 0x0013), Vr::IS, "+7 ", json!([7])),
        numbers(
            Tag(0x0028, 0x0009),
            Vr::AT,
            2,
            &[0x18, 0, 0x63, 0x10],
            json!(["00181063"]),
        ),
        numbers(
            Tag(0x0028, 0x0010),
            Vr::US,
            2,
            &[0, 2, 0xFF, 0xFF],
            json!([512, 65535]),
        ),
        text(Tag(0x0028, 0x0030), Vr::DS, "0.5\\ 1e-3", json!([0.5, 0.001])),
        bytes(Tag(0x0028, 0x1201), Vr::OW, 2, &[1, 2, 3, 4], "AQIDBA=="),
        text(Tag(0x0040, 0xA160), Vr::UT, "all\\of it", json!(["all\\of it"])),
        bytes(Tag(0x0042, 0x0011), Vr::OB, 1, &[1, 2, 3, 4], "AQIDBA=="),
        bytes(Tag(0x0066, 0x0016), Vr::OF, 4, &[1, 2, 3, 4], "AQIDBA=="),
        bytes(Tag(0x0066, 0x0022), Vr::OD, 8, &eight, "AQIDBAUGBwg="),
        bytes(Tag(0x0066, 0x0040), Vr::OL, 4, &[1, 2, 3, 4], "AQIDBA=="),
        numbers(
            Tag(0x0070, 0x0022),
            Vr::FL,
            4,
            &singles,
            json!([1.5, "NaN", f64::from(-0.1f32), "inf", "-inf"]),
        ),
        numbers(Tag(0x0072, 0x0082), Vr::SV, 8, &[0xFF; 8], json!([-1])),
        numbers(Tag(0x0072, 0x0083), Vr::UV, 8, &[0xFF; 8], json!([u64::MAX])),
        bytes(Tag(0x7FE0, 0x0001), Vr::OV, 8, &eight, "AQIDBAUGBwg="),
    ]
}

/// The samples in one transfer syntax, with a sequence in a sequence, and their model.
fn every_vr(transfer_syntax: &str) -> (DataSet, Value) {
    let transfer_syntax = TransferSyntaxUid::parse(transfer_syntax).unwrap();
    let mut writer = ElementWriter::new(&transfer_syntax);
    let mut model = serde_json::Map::new();
    writer.bytes(Tag::SPECIFIC_CHARACTER_SET, Vr::CS, b"ISO_IR 192");
    model.insert(
        "00080005".to_owned(),
        json!({ "vr": "CS", "Value": ["ISO_IR 192"] }),
    );
    for (tag, vr, unit, mut value, expected) in samples() {
        if tag == Tag(0x0009, 0x1001) {
            writer.begin_sequence(Tag(0x0008, 0x1140)).begin_item();
            writer.ascii(Tag(0x0008, 0x1155), Vr::UI, "2.25.9");
            writer.begin_sequence(Tag(0x0040, 0xA170)).begin_item().end_item();
            writer
                .begin_item()
                .ascii(Tag(0x0008, 0x0100), Vr::SH, "CODE")
                .end_item();
            writer.end_sequence().end_item().end_sequence();
            writer.begin_sequence(Tag(0x0008, 0x1199)).end_sequence();
            writer.ascii(Tag(0x0009, 0x0010), Vr::LO, "MAKER");
            model.insert(
                "00081140".to_owned(),
                json!({ "vr": "SQ", "Value": [{
                    "00081155": { "vr": "UI", "Value": ["2.25.9"] },
                    "0040A170": { "vr": "SQ", "Value": [{}, { "00080100": { "vr": "SH", "Value": ["CODE"] } }] },
                }] }),
            );
            model.insert("00081199".to_owned(), json!({ "vr": "SQ" }));
            model.insert("00090010".to_owned(), json!({ "vr": "LO", "Value": ["MAKER"] }));
        }
        if transfer_syntax.as_str() == syntax::EXPLICIT_BIG {
            value.chunks_exact_mut(unit).for_each(<[u8]>::reverse);
        }
        writer.bytes(tag, vr, &value);
        model.insert(tag.to_hex(), expected);
    }
    let bytes = writer.finish();
    let sha256 = Sha256::digest(&bytes).into();
    let object = DataSet {
        transfer_syntax,
        bytes,
        sha256,
    };
    (object, Value::Object(model))
}

#[test]
fn every_value_representation_is_described_as_the_standard_and_pydicom_say() {
    let dir = tempfile::tempdir().unwrap();
    let mut files = Vec::new();
    let mut expected = Value::Null;
    for transfer_syntax in [
        syntax::EXPLICIT_LITTLE,
        syntax::IMPLICIT_LITTLE,
        syntax::EXPLICIT_BIG,
    ] {
        let (object, model) = every_vr(transfer_syntax);
        let ours = model_of(&object).unwrap();
        let mut wrong = Vec::new();
        compare(&ours, &model, transfer_syntax, true, &mut wrong);
        assert!(wrong.is_empty(), "{wrong:#?}");
        let file = part10_file(
            &object.transfer_syntax,
            &SopClassUid::parse("1.2.840.10008.5.1.4.1.1.2").unwrap(),
            &SopInstanceUid::parse("2.25.3").unwrap(),
            &object.bytes,
        );
        let path = dir.path().join(format!("{transfer_syntax}.dcm"));
        std::fs::write(&path, file).unwrap();
        files.push(path);
        expected = model;
    }
    let Some(python) = python() else { return };
    let answers = ask(&python, MODELS, &files);
    for path in &files {
        let file = data::name(path);
        let mut wrong = Vec::new();
        compare(
            &expected,
            &answers[path.to_str().unwrap()],
            &file,
            true,
            &mut wrong,
        );
        if file.starts_with(syntax::EXPLICIT_BIG) && !file.starts_with(syntax::EXPLICIT_LITTLE) {
            // pydicom leaves words in the order they came in; here they are little endian (PS3.18 section F.2.7).
            let n_all = wrong.len();
            wrong.retain(|difference| !difference.contains("InlineBinary"));
            assert_eq!(n_all - wrong.len(), 5);
        }
        assert!(wrong.is_empty(), "{wrong:#?}");
    }
}

/// Objects that pydicom reads otherwise than a reader of medical text may, and how.
const READ_OTHERWISE: [(&str, &str); 12] = [
    (
        "cr-dx/dx_j2k_1416x1420.dcm",
        "text no character set declares is shown as if it were certain",
    ),
    ("hostile/042_num_RescaleSlope_2.dcm", "1e400 is infinity"),
    (
        "hostile/061_ts_says_bigendian.dcm",
        "the file's word is taken for the byte order",
    ),
    ("hostile/122_bidi_name.dcm", "a zero byte stays in a name"),
    (
        "hostile/125_half_multibyte.dcm",
        "an escape sequence stays in a name",
    ),
    (
        "hostile/126_charset_unknown.dcm",
        "an unknown character set is taken for Latin 1",
    ),
    (
        "hostile/127_charset_sjis_term.dcm",
        "a term the standard does not have is understood",
    ),
    ("hostile/131_log_injection.dcm", "a line break stays in a name"),
    (
        "hostile/144_tags_out_of_order.dcm",
        "the last of a repeated element counts",
    ),
    ("hostile/145_unknown_vr.dcm", "a length field too many is read"),
    (
        "hostile/148_trailing_garbage.dcm",
        "bytes behind the object are an element",
    ),
    (
        "hostile/162_enc_no_delimiter.dcm",
        "nothing is read without the last delimiter",
    ),
];

/// Reads files as pydicom does, but with makers' private elements as the bytes they are in implicit encodings.
const MODELS: &str = r#"
import json, math, struct, sys, warnings
warnings.simplefilter("ignore")
import pydicom, pydicom.datadict
pydicom.datadict.private_dictionaries.clear()
out = {}
for path in sys.argv[1:]:
    try:
        ds = pydicom.dcmread(path, force=True)
        ds.pop(0x7FE00010, None)
        out[path] = ds.to_json_dict(bulk_data_threshold=10**9, bulk_data_element_handler=None)
    except Exception as error:
        out[path] = str(error)
def special(value):
    if isinstance(value, dict):
        return {key: special(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [special(inner) for inner in value]
    if isinstance(value, float) and math.isfinite(value):
        return "bits " + struct.pack(">d", value).hex()
    if isinstance(value, float):
        return "NaN" if math.isnan(value) else "inf" if value > 0 else "-inf"
    return value
print(json.dumps(special(out), default=str))
"#;

#[test]
fn metadata_of_every_shared_file_is_that_of_pydicom() {
    let (Some(root), Some(python)) = (data::folder(), python()) else {
        return;
    };
    let folders = [
        "charset-real",
        "compressed-real",
        "cr-dx",
        "ct-head-ge",
        "ct-head-single",
        "ct-phantom-tilt",
        "hostile",
        "japanese",
        "mr-brain-t1-sag",
        "mr-dwi-mosaic",
        "multiframe",
        "odd-real",
        "syntaxes",
    ];
    let files = data::files(&root, &folders);
    let answers = ask(&python, MODELS, &files);
    let mut compared = 0;
    let mut wrong = Vec::new();
    for path in &files {
        let Some(ours) = data::data_set(path).ok().and_then(|object| model_of(&object)) else {
            continue;
        };
        let theirs = &answers[path.to_str().unwrap()];
        let file = path.strip_prefix(&root).unwrap().display().to_string();
        if theirs.is_string() {
            println!("{file}: pydicom says {theirs}");
            continue;
        }
        let name = data::name(path);
        let is_text_compared =
            !name.starts_with("j2") && PYDICOM_IS_WRONG.iter().all(|(known, _)| *known != name);
        let before = wrong.len();
        compare(&ours, theirs, &file, is_text_compared, &mut wrong);
        if READ_OTHERWISE.iter().any(|(known, _)| *known == file) {
            assert!(wrong.len() > before, "{file} is read alike");
            wrong.truncate(before);
        }
        compared += 1;
    }
    println!("{compared} compared");
    assert!(
        wrong.is_empty(),
        "{} differ: {:#?}",
        wrong.len(),
        &wrong[..wrong.len().min(200)]
    );
    assert!(compared >= 280, "{compared}");
}

/// Notes every difference between two models.
fn compare(ours: &Value, theirs: &Value, place: &str, is_text_compared: bool, wrong: &mut Vec<String>) {
    let (ours, theirs) = (ours.as_object().unwrap(), theirs.as_object().unwrap());
    let mut tags: Vec<&String> = ours.keys().chain(theirs.keys()).collect();
    tags.sort();
    tags.dedup();
    for tag in tags {
        // Group lengths and padding are not in the model; JSON is UTF-8 whatever the object was in.
        if tag.ends_with("0000") || tag == "FFFCFFFC" || tag == "00080005" {
            continue;
        }
        let place = format!("{place} {tag}");
        let (Some(a), Some(b)) = (ours.get(tag), theirs.get(tag)) else {
            let [a, b] = [ours.get(tag), theirs.get(tag)]
                .map(|model| format!("{model:?}").chars().take(150).collect::<String>());
            wrong.push(format!("{place}: {a} / {b}"));
            continue;
        };
        if a["vr"] == "SQ" && b["vr"] == "SQ" {
            let items = |model: &Value| model["Value"].as_array().cloned().unwrap_or_default();
            let (a, b) = (items(a), items(b));
            if a.len() != b.len() {
                wrong.push(format!("{place}: {} / {} items", a.len(), b.len()));
            }
            for (a, b) in a.iter().zip(&b) {
                compare(a, b, &place, is_text_compared, wrong);
            }
            continue;
        }
        let is_text = matches!(
            a["vr"].as_str(),
            Some("LO" | "LT" | "PN" | "SH" | "ST" | "UC" | "UT")
        );
        let (a, b) = (normal(a), normal(b));
        if a != b && (!is_text || is_text_compared) {
            let [a, b] = [&a, &b].map(|model| model.to_string().chars().take(150).collect::<String>());
            wrong.push(format!("{place}: {a} / {b}"));
        }
    }
}

/// A model in a form that can be compared: fractions by their bits, because reading JSON rounds them; what is empty as
/// the standard says (PS3.18 section F.2.5), where pydicom writes empty text.
fn normal(model: &Value) -> Value {
    match model {
        Value::Number(number) if number.is_f64() => {
            Value::from(format!("bits {:016x}", number.as_f64().unwrap().to_bits()))
        }
        Value::String(text) if text.is_empty() => Value::Null,
        Value::Array(values) if values.is_empty() => Value::Null,
        Value::Array(values) => values.iter().map(normal).collect(),
        Value::Object(fields) => fields
            .iter()
            .map(|(key, value)| (key.clone(), normal(value)))
            .filter(|(_, value)| !value.is_null())
            .collect(),
        other => other.clone(),
    }
}
