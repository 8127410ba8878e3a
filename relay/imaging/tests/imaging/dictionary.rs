//! Heads coded with the head of another instance.

use std::io::Cursor;
use std::sync::Arc;

use sha2::{Digest, Sha256};
use tancho_domain::dicom::TransferSyntaxUid;
use tancho_imaging::container::{
    Coding, CodingTurns, Container, ContainerError, Dictionary, Encoder, Object, SectionKind,
};
use tancho_imaging::element::{Tag, Vr};
use tancho_imaging::limits::{ScanLimits, pieces};
use tancho_imaging::scan::scan;
use tancho_imaging::syntax;
use tancho_imaging::synthetic::{CtSlice, ElementWriter};

/// A slice of a series whose heads differ in a few bytes and are long otherwise, as those of some MR scanners.
fn slice(number: u32, noise_len: usize) -> Vec<u8> {
    let ts = TransferSyntaxUid::parse(syntax::EXPLICIT_LITTLE).unwrap();
    let mut writer = ElementWriter::new(&ts);
    let slice = CtSlice {
        sop_instance_uid: format!("2.25.1.1.{number}"),
        instance_number: number,
        ..CtSlice::default()
    };
    slice.write_head(&mut writer).unwrap();
    let mut state = 7u32;
    let noise: Vec<u8> = (0..noise_len)
        .map(|_| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 24) as u8
        })
        .collect();
    writer.bytes(Tag(0x0029, 0x1010), Vr::OB, &noise);
    writer.bytes(Tag::PIXEL_DATA, Vr::OW, &[7; 128]);
    writer.finish()
}

fn contain(data_set: &[u8], coding: &Coding<'_>) -> Vec<u8> {
    let ts = TransferSyntaxUid::parse(syntax::EXPLICIT_LITTLE).unwrap();
    let scan = scan(&mut Cursor::new(data_set), &ts, &ScanLimits::default()).unwrap();
    let object = Object {
        scan: &scan,
        transfer_syntax: &ts,
        original_sha256: &Sha256::digest(data_set).into(),
    };
    let mut out = Cursor::new(Vec::new());
    Encoder::new(Arc::new(CodingTurns::new(2, 1 << 20)))
        .unwrap()
        .encode(
            &mut Cursor::new(data_set),
            &object,
            coding,
            &mut Cursor::new(Vec::new()),
            &mut out,
        )
        .unwrap();
    out.into_inner()
}

fn head_of(container: &[u8]) -> Vec<u8> {
    Container::open(Cursor::new(container))
        .unwrap()
        .head_bytes(u64::MAX)
        .unwrap()
}

fn with(dictionary: Option<&Dictionary>) -> Coding<'_> {
    Coding {
        dictionary,
        ..Coding::default()
    }
}

#[test]
fn a_head_is_rebuilt_with_the_dictionary_it_names_and_with_no_other() {
    let (first, second) = (slice(1, 20_000), slice(2, 20_000));
    let base = contain(
        &first,
        &Coding {
            is_dictionary: true,
            ..Coding::default()
        },
    );
    assert!(
        Container::open(Cursor::new(&base))
            .unwrap()
            .header()
            .is_dictionary
    );
    let dictionary = Dictionary::new(head_of(&base)).unwrap();
    let packed = contain(&second, &with(Some(&dictionary)));
    assert!(
        packed.len() + 18_000 < base.len(),
        "{} {}",
        packed.len(),
        base.len()
    );

    let open = || Container::open(Cursor::new(&packed)).unwrap();
    assert_eq!(open().header().sections[0].kind, SectionKind::HeadWithDictionary);
    assert_eq!(
        open().header().dictionary_sha256.as_ref(),
        Some(dictionary.sha256())
    );
    assert!(!open().header().is_dictionary);
    let mut back = Vec::new();
    let at_hand = dictionary.clone();
    let mut container = open().with_dictionaries(move |_| Ok(Some(at_hand.clone())));
    container.rebuild(&mut back).unwrap();
    assert_eq!(back, second);
    let head = container.scan_identity(&ScanLimits::default()).unwrap().unwrap();
    assert_eq!(head.identity.sop_instance_uid.as_str(), "2.25.1.1.2");

    let other = Dictionary::new(b"another head".to_vec()).unwrap();
    let mut lacking = [
        open(),
        open().with_dictionaries(|_| Ok(None)),
        open().with_dictionaries(move |_| Ok(Some(other.clone()))),
    ];
    for container in &mut lacking {
        let missing = container.head_bytes(u64::MAX);
        assert!(
            matches!(missing, Err(ContainerError::DictionaryMissing(sha256)) if sha256 == *dictionary.sha256())
        );
        assert!(container.rebuild(&mut Vec::new()).is_err());
        assert!(container.frame(1).is_ok(), "frames need no dictionary");
        container.verify_sections().unwrap();
    }
}

#[test]
fn a_dictionary_is_used_only_where_it_pays() {
    let unlike = Dictionary::new(vec![0; 5000]).unwrap();
    let packed = contain(&slice(1, 3000), &with(Some(&unlike)));
    assert_eq!(
        Container::open(Cursor::new(&packed))
            .unwrap()
            .header()
            .dictionary_sha256,
        None
    );
    // A head that is nearly nothing when coded alone.
    let mut short = ElementWriter::new(&TransferSyntaxUid::parse(syntax::EXPLICIT_LITTLE).unwrap());
    CtSlice::default().write_head(&mut short).unwrap();
    short.bytes(Tag::PIXEL_DATA, Vr::OW, &[7; 128]);
    let short = short.finish();
    let own = Dictionary::new(head_of(&contain(&short, &Coding::default()))).unwrap();
    let alone = contain(&short, &Coding::default());
    let packed = contain(&short, &with(Some(&own)));
    let stored =
        |container: &[u8]| Container::open(Cursor::new(container)).unwrap().header().sections[0].stored_len;
    let saved = stored(&alone).saturating_sub(stored(&packed));
    assert!(saved == 0 || saved >= 200, "{saved}");
}

#[test]
fn raw_content_is_never_taken_for_a_trained_dictionary() {
    // The magic number of zstd's dictionary format, then nonsense.
    let mut first = vec![0x37, 0xA4, 0x30, 0xEC];
    first.extend(slice(1, 5000));
    let dictionary = Dictionary::new(first).unwrap();
    let second = slice(2, 5000);
    let packed = contain(&second, &with(Some(&dictionary)));
    let mut container = Container::open(Cursor::new(&packed))
        .unwrap()
        .with_dictionaries(move |_| Ok(Some(dictionary.clone())));
    assert!(container.header().dictionary_sha256.is_some());
    let mut back = Vec::new();
    container.rebuild(&mut back).unwrap();
    assert_eq!(back, second);
}

#[test]
fn dictionaries_have_a_longest_length() {
    let longest = usize::try_from(pieces::DICTIONARY_BYTES_MAX).unwrap();
    assert!(Dictionary::new(vec![1; longest]).is_some());
    assert!(Dictionary::new(vec![1; longest + 1]).is_none());
    assert!(Dictionary::new(Vec::new()).is_none());
    let flagged = Coding {
        is_dictionary: true,
        ..Coding::default()
    };
    for (noise_len, may_serve) in [(longest - 10_000, true), (longest, false)] {
        let packed = contain(&slice(1, noise_len), &flagged);
        let header = Container::open(Cursor::new(&packed)).unwrap().header().clone();
        assert_eq!(header.is_dictionary, may_serve);
    }
}
