//! The model of a synthetic object, and addresses of long values.

use sha2::{Digest, Sha256};

use super::*;
use crate::container::encode;
use crate::element::{Tag, Vr};
use crate::scan::scan;
use crate::syntax;
use crate::synthetic::{CtSlice, ElementWriter};

fn ts(uid: &str) -> TransferSyntaxUid {
    TransferSyntaxUid::parse(uid).unwrap()
}

#[test]
fn the_model_is_the_same_in_every_encoding() {
    let options = MetadataOptions::default();
    let models: Vec<Value> = [
        syntax::EXPLICIT_LITTLE,
        syntax::IMPLICIT_LITTLE,
        syntax::EXPLICIT_BIG,
    ]
    .iter()
    .map(|uid| {
        dicom_json(
            &CtSlice::default().data_set(&ts(uid)).unwrap(),
            &ts(uid),
            &options,
        )
        .unwrap()
    })
    .collect();
    assert_eq!(models[0], models[1]);
    assert_eq!(models[0], models[2]);
    let name = &models[0]["00100010"];
    assert_eq!(name["vr"], "PN");
    assert_eq!(name["Value"][0]["Ideographic"], "道東^花子");
    assert_eq!(name["Value"][0]["Phonetic"], "ドウトウ^ハナコ");
    assert_eq!(models[0]["00080005"]["Value"][0], "ISO_IR 192");
    assert_eq!(models[0]["00280010"]["Value"][0], 8);
    assert_eq!(models[0]["00280030"]["Value"][1], 0.5);
    assert_eq!(models[0]["00200013"]["Value"][0], 1);
    assert!(models[0].get("7FE00010").is_none());
}

/// A data set of these elements behind the identifiers that every object has, and its container.
fn contained(
    transfer_syntax: &str,
    write: impl FnOnce(&mut ElementWriter),
) -> (Vec<u8>, Container<Cursor<Vec<u8>>>) {
    let ts = ts(transfer_syntax);
    let mut writer = ElementWriter::new(&ts);
    writer
        .ascii(Tag::SOP_CLASS_UID, Vr::UI, "1.2.840.10008.5.1.4.1.1.2")
        .ascii(Tag::SOP_INSTANCE_UID, Vr::UI, "2.25.3");
    write(&mut writer);
    let bytes = writer.finish();
    let mut src = Cursor::new(&bytes);
    let scan = scan(&mut src, &ts, &ScanLimits::default()).unwrap();
    let sha256 = Sha256::digest(&bytes).into();
    let mut out = Cursor::new(Vec::new());
    encode(&mut src, &scan, &ts, &sha256, &mut out).unwrap();
    (bytes, Container::open(out).unwrap())
}

fn identify(writer: &mut ElementWriter) {
    writer
        .ascii(Tag::STUDY_INSTANCE_UID, Vr::UI, "2.25.1")
        .ascii(Tag::SERIES_INSTANCE_UID, Vr::UI, "2.25.2");
}

#[test]
fn long_values_are_named_and_found_again() {
    let long: Vec<u8> = (0..2000u32).map(|n| n as u8).collect();
    let words: Vec<u8> = long.chunks_exact(2).flat_map(|word| [word[1], word[0]]).collect();
    for (syntax, sent) in [(syntax::EXPLICIT_LITTLE, &long), (syntax::EXPLICIT_BIG, &words)] {
        let (_, mut container) = contained(syntax, |writer| {
            writer.begin_sequence(Tag(0x0008, 0x1140)).begin_item();
            writer
                .bytes(Tag(0x0009, 0x1001), Vr::OB, b"ab")
                .bytes(Tag(0x0009, 0x1002), Vr::OW, sent);
            writer.end_item().end_sequence();
            identify(writer);
        });
        let options = MetadataOptions {
            bulk_data_base_url: Some("/i".to_owned()),
            ..Default::default()
        };
        let model = of_container(&mut container, Extent::Whole, &options).unwrap();
        let item = &model["00081140"]["Value"][0];
        assert_eq!(item["00091001"]["InlineBinary"], "YWI=");
        assert_eq!(item["00091002"]["BulkDataURI"], "/i/bulkdata/00081140.1.00091002");
        let mut value = |path| bulk_value(&mut container, path, &options.limits).unwrap();
        assert_eq!(value("00081140.1.00091002"), Some(long.clone()));
        assert_eq!(value("00091002"), None);
        assert_eq!(value("00081140.2.00091002"), None);
    }
}

#[test]
fn elements_behind_the_frames_are_described() {
    let jls: &[u8] = &[
        0xFF, 0xD8, 0xFF, 0xF7, 0, 11, 16, 0, 8, 0, 8, 1, 1, 0x11, 0, 0xFF, 0xD9, 0,
    ];
    let private = (Tag(0x7FE1, 0x0010), Tag(0x7FE1, 0x1001));
    for encapsulated in [false, true] {
        let syntax = if encapsulated {
            "1.2.840.10008.1.2.4.80"
        } else {
            syntax::EXPLICIT_LITTLE
        };
        let (_, mut container) = contained(syntax, |writer| {
            CtSlice::default().write_head(writer).unwrap();
            if encapsulated {
                writer.fragments(&[0], &[jls]);
            } else {
                writer.pixels_i16(&[7; 64]);
            }
            writer.ascii(private.0, Vr::LO, "MAKER");
            writer.bytes(private.1, Vr::OB, &[5; 3000]);
        });
        assert_eq!(container.frame_count(), 1);
        let options = MetadataOptions {
            bulk_data_base_url: Some("/i".to_owned()),
            ..Default::default()
        };
        let model = of_container(&mut container, Extent::Whole, &options).unwrap();
        assert_eq!(model["7FE00010"]["BulkDataURI"], "/i/bulkdata/7FE00010");
        assert_eq!(model["7FE10010"]["Value"][0], "MAKER");
        assert_eq!(model["7FE11001"]["BulkDataURI"], "/i/bulkdata/7FE11001");
        let value = bulk_value(&mut container, "7FE11001", &options.limits).unwrap();
        assert_eq!(value, Some(vec![5; 3000]));
        assert_eq!(
            bulk_value(&mut container, "7FE00010", &options.limits).unwrap(),
            None
        );
        let arriving = of_container(&mut container, Extent::Head, &options).unwrap();
        assert!(arriving.get("7FE10010").is_none());
        assert_eq!(arriving["00100010"], model["00100010"]);
    }
}

#[test]
fn a_compressed_icon_is_named_with_its_fragments() {
    let (_, mut container) = contained("1.2.840.10008.1.2.4.50", |writer| {
        identify(writer);
        writer.begin_sequence(Tag(0x0088, 0x0200)).begin_item();
        writer.fragments(&[], &[b"0123"]);
        writer.end_item().end_sequence();
    });
    let inline = MetadataOptions::default();
    let model = of_container(&mut container, Extent::Whole, &inline).unwrap();
    let icon = &model["00880200"]["Value"][0]["7FE00010"];
    let items = b"\xFE\xFF\x00\xE0\0\0\0\0\xFE\xFF\x00\xE0\x04\0\0\x000123";
    let encoded = base64::Engine::encode(&base64::engine::general_purpose::STANDARD, items);
    assert_eq!(icon["InlineBinary"], encoded);
    let options = MetadataOptions {
        bulk_data_base_url: Some("/i".to_owned()),
        inline_bytes_max: 8,
        ..Default::default()
    };
    let model = of_container(&mut container, Extent::Whole, &options).unwrap();
    let path = "00880200.1.7FE00010";
    let icon = &model["00880200"]["Value"][0]["7FE00010"];
    assert_eq!(icon["BulkDataURI"], format!("/i/bulkdata/{path}"));
    let value = bulk_value(&mut container, path, &options.limits).unwrap();
    assert_eq!(value.as_deref(), Some(items.as_slice()));
}

#[test]
fn values_that_are_longer_together_than_a_head_may_be_are_refused() {
    let (_, mut container) = contained(syntax::EXPLICIT_LITTLE, |writer| {
        identify(writer);
        writer.ascii(Tag(0x0040, 0xA160), Vr::UT, &"t".repeat(3000));
        writer.bytes(Tag(0x0042, 0x0011), Vr::OB, &[1; 9000]);
    });
    let mut options = MetadataOptions::default();
    options.limits.max_head_bytes = 4000;
    let model = of_container(&mut container, Extent::Whole, &options).unwrap();
    assert_eq!(model["0040A160"]["Value"][0].as_str().unwrap().len(), 3000);
    options.limits.max_head_bytes = 2999;
    let refused = of_container(&mut container, Extent::Whole, &options);
    assert!(matches!(
        refused,
        Err(ElementsError::Scan(ScanError::ValueTooLong(Tag(0x0040, 0xA160))))
    ));
}

#[test]
fn each_item_may_have_its_own_character_sets() {
    let ts = ts(syntax::EXPLICIT_LITTLE);
    let (name, comment) = (Tag(0x0010, 0x0010), Tag(0x0040, 0x0254));
    let kanji = b"\x1b$B;3ED\x1b(B";
    let mut writer = ElementWriter::new(&ts);
    writer.bytes(Tag::SPECIFIC_CHARACTER_SET, Vr::CS, b"\\ISO 2022 IR 87 ");
    writer.begin_sequence(Tag(0x0008, 0x1140));
    writer.begin_item().bytes(name, Vr::PN, kanji).end_item();
    writer.begin_item();
    writer.bytes(Tag::SPECIFIC_CHARACTER_SET, Vr::CS, b"ISO_IR 144");
    writer.bytes(name, Vr::PN, b"\xbb\xee\xda\x65");
    writer.begin_sequence(Tag(0x0040, 0x0260)).begin_item();
    writer.bytes(comment, Vr::LO, b"\xbb\xee");
    writer.end_item().end_sequence().end_item();
    writer
        .begin_item()
        .bytes(name, Vr::PN, "山田".as_bytes())
        .end_item();
    writer.end_sequence();
    writer.bytes(comment, Vr::LO, kanji);
    let model = dicom_json(&writer.finish(), &ts, &MetadataOptions::default()).unwrap();
    let items = &model["00081140"]["Value"];
    let name_of = |item: usize| &items[item]["00100010"]["Value"][0]["Alphabetic"];
    assert_eq!(name_of(0), "山田");
    assert_eq!(name_of(1), "Люкe");
    assert_eq!(items[1]["00080005"]["Value"][0], "ISO_IR 192");
    assert_eq!(items[1]["00400260"]["Value"][0]["00400254"]["Value"][0], "Лю");
    // The sets of an item end with it, and undeclared UTF-8 is not passed off as declared text.
    assert_eq!(name_of(2), &"\u{FFFD}".repeat(6));
    assert_eq!(model["00400254"]["Value"][0], "山田");
}

#[test]
fn the_top_level_of_an_object_without_pixels_is_read_without_its_sequences_and_long_values() {
    for uid in [syntax::EXPLICIT_LITTLE, syntax::IMPLICIT_LITTLE] {
        let mut writer = ElementWriter::new(&ts(uid));
        writer
            .ascii(Tag(0x0008, 0x0060), Vr::CS, "SR")
            .begin_sequence(Tag(0x0008, 0x1111))
            .begin_item()
            .ascii(Tag(0x0008, 0x1155), Vr::UI, "1.2.3")
            .end_item()
            .end_sequence()
            .ascii(Tag(0x0020, 0x0013), Vr::IS, "7")
            .ascii(Tag(0x0040, 0xA160), Vr::UT, &"x".repeat(1001))
            .ascii(Tag(0x0040, 0xA491), Vr::CS, "COMPLETE");
        let model = top_level_json(Cursor::new(writer.finish()), &ts(uid), 1000).unwrap();
        let tags: Vec<&String> = model.as_object().unwrap().keys().collect();
        assert_eq!(tags, ["00080060", "00200013", "0040A491"]);
        assert_eq!(model["00200013"]["Value"][0], 7);
        let ct = CtSlice::default().data_set(&ts(uid)).unwrap();
        let whole = dicom_json(&ct, &ts(uid), &MetadataOptions::default()).unwrap();
        assert_eq!(top_level_json(Cursor::new(ct), &ts(uid), 1000).unwrap(), whole);
    }
}
