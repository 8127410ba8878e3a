//! Orthanc as the hospital's PACS that sends to us by C-STORE, and whose DICOMweb client fetches from us and stores to us.

use std::collections::BTreeSet;
use std::path::Path;

use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tancho_e2e::hospital::Network;
use tancho_e2e::orthanc::Orthanc;
use tancho_e2e::phantom::{Phantom, PhantomStudy, hex, names};
use tancho_e2e::program::{peer_script, peers_python, run};
use tancho_e2e::samples::{data_set, shared_data};

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

#[test]
fn orthancs_web_client_retrieves_from_us_and_stores_to_us() {
    let mut network = Network::small();
    let folder = tempfile::tempdir().unwrap();
    let write = |seed: &str| {
        let phantom = Phantom::normal(seed).with_slices(4);
        phantom.write(&folder.path().join(seed)).unwrap()
    };
    let (ours, theirs) = (write("ours"), write("theirs"));
    let sent = network.node().modality().send(&[&ours.folder]).unwrap();
    assert_eq!(sent.len(), 4);
    network.wait_for_study(&ours.study_instance_uid, 4);

    let token = network.relay.token("technologist").unwrap();
    let orthanc = folder.path().join("orthanc");
    let mut orthanc = Orthanc::start_on_the_web(&orthanc, &network.relay.url(), &token).unwrap();
    let found = orthanc
        .ask_the_relay(
            "qido",
            &json!({ "Uri": "/studies", "Arguments": { "StudyInstanceUID": ours.study_instance_uid } }),
        )
        .unwrap();
    assert_eq!(
        found[0]["0020000D"]["Value"],
        json!(ours.study_instance_uid),
        "{found}"
    );
    let study = json!({ "Resources": [{ "Study": ours.study_instance_uid }], "Synchronous": true });
    let account = orthanc.ask_the_relay("retrieve", &study).unwrap();
    assert_eq!(account["ReceivedInstancesCount"], json!("4"), "{account}");
    let retrieved: BTreeSet<String> = orthanc
        .files()
        .unwrap()
        .iter()
        .map(|file| digest(data_set(file)))
        .collect();
    assert_eq!(
        retrieved,
        digests(&ours),
        "what Orthanc retrieved is what was sent"
    );

    let before = orthanc.studies().unwrap();
    orthanc
        .import(theirs.files.iter().map(|file| file.path.as_path()))
        .unwrap();
    let new: Vec<String> = orthanc
        .studies()
        .unwrap()
        .into_iter()
        .filter(|id| !before.contains(id))
        .collect();
    // The account of its own format says nothing of single instances; the relay knows.
    orthanc
        .ask_the_relay("stow", &json!({ "Resources": new, "Synchronous": true }))
        .unwrap();
    network.assert_byte_exact(&theirs);
    orthanc.stop().unwrap();
}

/// The metadata of generated studies in every character set, and of the shared files where they are at hand.
#[test]
fn metadata_is_orthancs_but_for_what_is_explained() {
    let network = Network::small();
    let folder = tempfile::tempdir().unwrap();
    let studies = folder.path().join("studies");
    Phantom::stroke("metadata")
        .with_slices(1)
        .write(&studies.join("head"))
        .unwrap();
    let mut expected = 1;
    for named in names::studies() {
        named
            .phantom
            .write(&studies.join(&named.phantom.patient_id))
            .unwrap();
        expected += 1;
    }
    let token = network.relay.token("technologist").unwrap();
    let orthanc = folder.path().join("orthanc");
    let mut orthanc = Orthanc::start_on_the_web(&orthanc, &network.relay.url(), &token).unwrap();
    let mut arguments = vec![peer_script("metadata.py").into_os_string()];
    let servers = [network.relay.url(), token, format!("http://{}", orthanc.rest)];
    arguments.extend(servers.map(Into::into));
    arguments.push(studies.into());
    for name in [
        "charset-real",
        "compressed-real",
        "cr-dx",
        "ct-head-ge",
        "ct-head-single",
        "ct-phantom-tilt",
        "japanese",
        "mr-brain-t1-sag",
        "mr-dwi-mosaic",
        "multiframe",
        "odd-real",
        "syntaxes",
    ] {
        if let Some(shared) = shared_data(name) {
            arguments.push(shared.into());
            expected += 5;
        }
    }
    let told = run(Path::new(&peers_python()), &arguments, None).unwrap_or_else(|error| panic!("{error:#}"));
    let told: Value = serde_json::from_str(told.lines().last().unwrap()).unwrap();
    assert!(
        told["compared"].as_u64() >= Some(expected),
        "at least {expected} compared: {told}"
    );
    orthanc.stop().unwrap();
}

fn digests(study: &PhantomStudy) -> BTreeSet<String> {
    study
        .files
        .iter()
        .map(|file| file.data_set_sha256.clone())
        .collect()
}

fn digest(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}
