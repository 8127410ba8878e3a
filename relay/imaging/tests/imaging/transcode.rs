//! Real objects in Explicit VR Little Endian, against the same images as they were before they were coded.

use std::io::Cursor;

use tancho_domain::dicom::TransferSyntaxUid;
use tancho_imaging::codec::FrameJob;
use tancho_imaging::compare::same_elements;
use tancho_imaging::container::{Container, encode};
use tancho_imaging::limits::ScanLimits;
use tancho_imaging::scan::scan;
use tancho_imaging::syntax;
use tancho_imaging::transcode::explicit_little;

use crate::data::{self, DataSet};

fn contained(object: &DataSet) -> Container<Cursor<Vec<u8>>> {
    let mut src = Cursor::new(&object.bytes);
    let scan = scan(&mut src, &object.transfer_syntax, &ScanLimits::default()).unwrap();
    let mut out = Cursor::new(Vec::new());
    encode(&mut src, &scan, &object.transfer_syntax, &object.sha256, &mut out).unwrap();
    Container::open(out).unwrap()
}

#[test]
fn lossless_htj2k_of_other_coders_gives_the_native_samples_back() {
    let Some(root) = data::folder() else { return };
    for image in ["ct", "mr"] {
        let open = |name: &str| data::data_set(&root.join(format!("syntaxes/{image}_{name}.dcm"))).unwrap();
        let native = contained(&open("explicit_le")).frame_little_endian(1).unwrap();
        for coded in ["htj2k", "htj2k_eot", "htj2k_rpcl"] {
            let mut container = contained(&open(coded));
            let job = FrameJob::of(&mut container).unwrap();
            let frame = job.decode_here(&mut container, 1).unwrap();
            assert!(frame.samples == native, "{image}_{coded}");
        }
    }
}

#[test]
fn native_objects_keep_every_element_when_they_are_written_anew() {
    let Some(root) = data::folder() else { return };
    let explicit = TransferSyntaxUid::parse(syntax::EXPLICIT_LITTLE).unwrap();
    for file in [
        "ct-head-ge/14.dcm",
        "mr-brain-t1-sag/018.dcm",
        "multiframe/emri_small_big_endian.dcm",
        "multiframe/enhanced_ct_2f.dcm",
        "odd-real/test-SR.dcm",
        "syntaxes/ct_implicit_le.dcm",
        "syntaxes/ct_deflated.dcm",
    ] {
        let object = data::data_set(&root.join(file)).unwrap();
        let mut out = Vec::new();
        explicit_little(&mut contained(&object), &mut out, FrameJob::decode_here).unwrap();
        let same = same_elements(
            &mut Cursor::new(&out),
            &explicit,
            &mut Cursor::new(&object.bytes),
            &object.transfer_syntax,
            &ScanLimits::default(),
        );
        assert!(same.unwrap(), "{file}");
    }
}
