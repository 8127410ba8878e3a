//! Orthanc as the hospital's PACS that sends to us.

use tancho_e2e::hospital::Network;
use tancho_e2e::orthanc::Orthanc;
use tancho_e2e::phantom::Phantom;

use crate::assert_same_elements;

#[test]
fn orthanc_sends_a_study() {
    let mut network = Network::small();
    let folder = tempfile::tempdir().unwrap();
    let study = Phantom::normal("orthanc")
        .with_slices(5)
        .write(&folder.path().join("study"))
        .unwrap();
    let mut orthanc = Orthanc::start(&folder.path().join("orthanc"), network.node().plan.dimse, &[]).unwrap();
    orthanc
        .import(study.files.iter().map(|file| file.path.as_path()))
        .unwrap();
    let ids = orthanc.studies().unwrap();
    assert_eq!(ids.len(), 1);
    let account = orthanc.send_study(&ids[0]).unwrap();
    assert_eq!(account["FailedInstancesCount"], 0, "{account}");
    assert_eq!(account["InstancesCount"], 5, "{account}");
    network.wait_for_study(&study.study_instance_uid, 5);
    assert_same_elements(&network, &study);
    orthanc.stop().unwrap();
}
