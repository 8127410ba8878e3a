//! pynetdicom: many associations at once, and what a careless sender does.

use tancho_e2e::hospital::{Network, assert_all_stored};
use tancho_e2e::phantom::Phantom;

#[test]
fn eight_associations_at_once_are_served() {
    let mut network = Network::small();
    let folder = tempfile::tempdir().unwrap();
    let study = Phantom::stroke("eight")
        .with_slices(16)
        .write(&folder.path().join("study"))
        .unwrap();
    let mut modality = network.node().modality();
    modality.called_ae_title = "TANCHO_STAT".to_owned();
    modality.associations = 8;
    assert_all_stored(&modality.send(&[&study.folder]).unwrap(), 16);
    network.wait_for_study(&study.study_instance_uid, 16);
    network.assert_byte_exact(&study);
}

#[test]
fn echo_is_answered_and_a_wrong_title_is_not() {
    let mut network = Network::small();
    let mut modality = network.node().modality();
    assert_eq!(modality.echo().unwrap(), Some(0));
    modality.called_ae_title = "SOMEBODY".to_owned();
    assert_eq!(modality.echo().unwrap(), None);
}

#[test]
fn a_request_that_names_another_instance_than_it_carries_is_refused() {
    let mut network = Network::small();
    let folder = tempfile::tempdir().unwrap();
    let study = Phantom::stroke("mismatch")
        .with_slices(2)
        .write(&folder.path().join("study"))
        .unwrap();
    // The file meta of one around the data set of the other: the request then names the wrong SOP Instance UID.
    let first = std::fs::read(&study.files[0].path).unwrap();
    let second = std::fs::read(&study.files[1].path).unwrap();
    let meta_len = first.len() - study.files[0].data_set_len as usize;
    let data_set = &second[second.len() - study.files[1].data_set_len as usize..];
    let mixed = folder.path().join("mixed.dcm");
    std::fs::write(&mixed, [&first[..meta_len], data_set].concat()).unwrap();

    let mut modality = network.node().modality();
    modality.raw = true;
    let answers = modality.send(&[&mixed]).unwrap();
    assert_eq!(
        answers[0].status,
        Some(0xa900),
        "data set does not match the request (PS3.4 B.2.3)"
    );
    modality.raw = false;
    modality.called_ae_title = "TANCHO_STAT".to_owned();
    assert_all_stored(&modality.send(&[&study.folder]).unwrap(), 2);
    network.wait_for_study(&study.study_instance_uid, 2);
    network.assert_byte_exact(&study);
}
