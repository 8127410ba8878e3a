//! Containers of every version that was ever written stay readable: one of each, kept as it was written.

use std::io::Cursor;

use tancho_domain::dicom::TransferSyntaxUid;
use tancho_imaging::container::{Container, SectionKind};
use tancho_imaging::synthetic::CtSlice;

/// The data set that all of them hold.
pub fn original() -> Vec<u8> {
    let slice = CtSlice {
        rows: 96,
        columns: 80,
        samples: (0..96 * 80)
            .map(|n: i32| (n % 80 * 13 + n / 80 * 7 - 900) as i16)
            .collect(),
        ..CtSlice::default()
    };
    slice
        .data_set(&TransferSyntaxUid::parse("1.2.840.10008.1.2.1").unwrap())
        .unwrap()
}

#[test]
fn version_1_is_read() {
    let mut container = Container::open(Cursor::new(include_bytes!("../golden/version-1.tanc"))).unwrap();
    assert_eq!(container.header().version, 1);
    let mut back = Vec::new();
    container.rebuild(&mut back).unwrap();
    assert_eq!(back, original());
    assert_eq!(container.frame(1).unwrap().len(), 96 * 80 * 2);
    assert_eq!(container.codestream(1).unwrap(), None);
    assert_eq!(container.header().preview_end(), None);
}

#[test]
fn version_2_is_read() {
    let mut container = Container::open(Cursor::new(include_bytes!("../golden/version-2.tanc"))).unwrap();
    assert_eq!(container.header().version, 2);
    let kinds: Vec<SectionKind> = container
        .header()
        .sections
        .iter()
        .map(|section| section.kind)
        .collect();
    assert_eq!(
        kinds,
        [SectionKind::Head, SectionKind::Htj2kLow, SectionKind::Htj2kRest]
    );
    let mut back = Vec::new();
    container.rebuild(&mut back).unwrap();
    assert_eq!(back, original());
    let low = container.low_frame(1).unwrap().unwrap();
    assert_eq!((low.columns, low.rows, low.halvings), (20, 24, 2));
    assert!(
        container
            .codestream(1)
            .unwrap()
            .unwrap()
            .starts_with(&low.codestream)
    );
}
