//! A modality that sends the same study again changes nothing, and is told that all is well.

use tancho_e2e::hospital::{Network, assert_all_stored};
use tancho_e2e::phantom::Phantom;

#[test]
fn the_same_study_twice_is_there_once() {
    let mut network = Network::small();
    let folder = tempfile::tempdir().unwrap();
    let study = Phantom::stroke("duplicates")
        .with_slices(4)
        .write(&folder.path().join("study"))
        .unwrap();
    let mut modality = network.node().modality();
    modality.called_ae_title = "TANCHO_STAT".to_owned();
    assert_all_stored(&modality.send(&[&study.folder]).unwrap(), 4);
    let before = network.wait_for_study(&study.study_instance_uid, 4);

    assert_all_stored(&modality.send(&[&study.folder]).unwrap(), 4);
    // A study sent after the duplicates has arrived, so they have been dealt with too.
    let other = Phantom::normal("after the duplicates")
        .with_slices(1)
        .write(&folder.path().join("other"))
        .unwrap();
    assert_all_stored(&modality.send(&[&other.folder]).unwrap(), 1);
    network.wait_for_study(&other.study_instance_uid, 1);

    let after = network.wait_for_study(&study.study_instance_uid, 4);
    assert_eq!(after["id"], before["id"]);
    assert_eq!(after["arrival"]["received"], 4);
    assert_eq!(after["warnings"], before["warnings"]);
    let requests = network
        .session("reader")
        .items("/api/v1/reading-requests?state=all")
        .unwrap();
    assert_eq!(requests.len(), 2, "one request a study");
    network.assert_byte_exact(&study);
}
