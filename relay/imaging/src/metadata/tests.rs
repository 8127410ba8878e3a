//! The model of a synthetic object, and addresses of long values.

use super::*;
use crate::element::Vr;
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

#[test]
fn long_values_are_named_and_found_again() {
    let ts = ts(syntax::EXPLICIT_LITTLE);
    let mut writer = ElementWriter::new(&ts);
    let long: Vec<u8> = (0..2000u32).map(|n| n as u8).collect();
    writer.begin_sequence(Tag(0x0008, 0x1140)).begin_item();
    writer
        .bytes(Tag(0x0009, 0x1001), Vr::OB, b"ab")
        .bytes(Tag(0x0009, 0x1002), Vr::OB, &long);
    writer.end_item().end_sequence();
    let head = writer.finish();
    let options = MetadataOptions {
        bulk_data_base_url: Some("/i".to_owned()),
        ..Default::default()
    };
    let model = dicom_json(&head, &ts, &options).unwrap();
    let item = &model["00081140"]["Value"][0];
    assert_eq!(item["00091001"]["InlineBinary"], "YWI=");
    assert_eq!(item["00091002"]["BulkDataURI"], "/i/bulkdata/00081140.1.00091002");
    let found = bulk_value(&head, &ts, "00081140.1.00091002", &options.limits).unwrap();
    assert_eq!(found, Some(long));
    assert_eq!(bulk_value(&head, &ts, "00091002", &options.limits).unwrap(), None);
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
