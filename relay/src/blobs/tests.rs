//! Create-only, durable, and never given out when damaged.

use std::io::Cursor;

use sha2::{Digest, Sha256};
use tancho_domain::dicom::TransferSyntaxUid;
use tancho_imaging::limits::ScanLimits;
use tancho_imaging::scan::scan;
use tancho_imaging::syntax;
use tancho_imaging::synthetic::CtSlice;

use super::*;
use crate::blobs::check::BlobName;
use crate::secrets::new_uuid;

/// A container in a file, and its digest.
fn finished(dir: &Path, patient_id: &str) -> (PathBuf, [u8; 32]) {
    let ts = TransferSyntaxUid::parse(syntax::EXPLICIT_LITTLE).unwrap();
    let slice = CtSlice {
        patient_id: patient_id.to_owned(),
        ..CtSlice::default()
    };
    let mut src = Cursor::new(slice.data_set(&ts).unwrap());
    let scan = scan(&mut src, &ts, &ScanLimits::default()).unwrap();
    let sha256 = Sha256::digest(src.get_ref()).into();
    let mut out = Cursor::new(Vec::new());
    container::encode(&mut src, &scan, &ts, &sha256, &mut out).unwrap();
    let digest = container::digest(&mut out).unwrap();
    let path = dir.join(new_uuid().to_string());
    fs::write(&path, out.get_ref()).unwrap();
    (path, digest)
}

#[test]
fn a_blob_is_put_once_and_found_in_its_network_only() {
    let dir = tempfile::tempdir().unwrap();
    let blobs = Blobs::open(dir.path()).unwrap();
    let (ours, theirs) = (NetworkId::new(new_uuid()), NetworkId::new(new_uuid()));
    let (file, digest) = finished(dir.path(), "A");
    assert_eq!(blobs.put_file(&ours, &digest, &file).unwrap(), Put::Created);
    assert!(!file.exists());
    let (again, same) = finished(dir.path(), "A");
    assert_eq!(same, digest);
    assert_eq!(blobs.put_file(&ours, &digest, &again).unwrap(), Put::Existed);
    assert!(!again.exists());
    assert!(blobs.exists(&ours, &digest).unwrap() && !blobs.exists(&theirs, &digest).unwrap());
    assert!(matches!(
        blobs.container(&theirs, &digest),
        Err(BlobError::Missing)
    ));
    assert_eq!(blobs.container(&ours, &digest).unwrap().frame_count(), 1);
    blobs.verify(&ours, &digest).unwrap();
    let mut seen = Vec::new();
    blobs
        .visit(|name| {
            seen.push(name);
            true
        })
        .unwrap();
    assert_eq!(
        seen,
        [BlobName {
            network_id: ours,
            container_sha256: digest
        }]
    );
}

#[test]
fn rot_is_an_error_and_a_good_copy_repairs_it() {
    let dir = tempfile::tempdir().unwrap();
    let blobs = Blobs::open(dir.path()).unwrap();
    let network = NetworkId::new(new_uuid());
    let (file, digest) = finished(dir.path(), "A");
    blobs.put_file(&network, &digest, &file).unwrap();
    let path = blobs.path(&network, &digest);
    let mut bytes = fs::read(&path).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    fs::write(&path, &bytes).unwrap();
    assert!(matches!(
        blobs.verify(&network, &digest),
        Err(BlobError::NotItsDigest)
    ));
    let damaged = blobs
        .container(&network, &digest)
        .unwrap()
        .frame(1)
        .map_err(BlobError::from);
    assert!(matches!(damaged, Err(BlobError::Damaged(_))));

    // Another file under this name is refused, the right one replaces the damage.
    let (other, _) = finished(dir.path(), "B");
    assert!(matches!(
        blobs.put_file(&network, &digest, &other),
        Err(BlobError::NotItsDigest)
    ));
    let (good, _) = finished(dir.path(), "A");
    assert_eq!(blobs.put_file(&network, &digest, &good).unwrap(), Put::Repaired);
    blobs.verify(&network, &digest).unwrap();
}

#[test]
fn what_a_killed_run_left_behind_is_made_durable_before_it_counts() {
    let dir = tempfile::tempdir().unwrap();
    let network = NetworkId::new(new_uuid());
    let (file, digest) = finished(dir.path(), "A");
    Blobs::open(dir.path())
        .unwrap()
        .put_file(&network, &digest, &file)
        .unwrap();
    let blobs = Blobs::open(dir.path()).unwrap();
    blobs.make_durable(&network, &digest).unwrap();
    let folder = blobs.path(&network, &digest).parent().unwrap().to_owned();
    assert!(blobs.folders().durable.contains(&folder));
    assert!(matches!(
        blobs.make_durable(&network, &[0; 32]),
        Err(BlobError::Missing)
    ));

    // The disk has failed once: nothing in the folder counts any more, and what is published stays.
    blobs.folders().lost.insert(folder);
    let not_durable = |ended| matches!(ended, Err(BlobError::NotDurable(_)));
    assert!(not_durable(blobs.make_durable(&network, &digest)));
    let (again, _) = finished(dir.path(), "A");
    assert!(not_durable(blobs.put_file(&network, &digest, &again).map(|_| ())));
    assert!(blobs.exists(&network, &digest).unwrap());
}

#[test]
fn a_blob_that_cannot_be_opened_is_noted_and_set_aside_once() {
    let dir = tempfile::tempdir().unwrap();
    let blobs = Blobs::open(dir.path()).unwrap();
    let network = NetworkId::new(new_uuid());
    let (file, digest) = finished(dir.path(), "A");
    blobs.put_file(&network, &digest, &file).unwrap();
    assert!(
        !blobs.set_aside_damaged(&network, &digest).unwrap(),
        "it is what was stored"
    );
    fs::write(blobs.path(&network, &digest), b"rotten").unwrap();
    assert!(blobs.container(&network, &digest).is_err());
    let name = BlobName {
        network_id: network.clone(),
        container_sha256: digest,
    };
    assert_eq!(blobs.take_suspects(), [name]);
    assert!(blobs.take_suspects().is_empty());
    assert!(blobs.set_aside_damaged(&network, &digest).unwrap());
    assert!(!blobs.exists(&network, &digest).unwrap());
    assert!(!blobs.set_aside_damaged(&network, &digest).unwrap());
    let mut n_blobs = 0;
    blobs
        .visit(|_| {
            n_blobs += 1;
            true
        })
        .unwrap();
    assert_eq!(n_blobs, 0, "what is set aside is no blob any more");
    let (good, _) = finished(dir.path(), "A");
    assert_eq!(blobs.put_file(&network, &digest, &good).unwrap(), Put::Created);
}

#[test]
fn digests_are_written_in_one_way() {
    let digest = [0xAB; 32];
    assert_eq!(parse_hex(&hex(&digest)), Some(digest));
    for bad in ["", "ab", &"AB".repeat(32), &"zz".repeat(32), &"ab".repeat(33)] {
        assert_eq!(parse_hex(bad), None, "{bad}");
    }
}
