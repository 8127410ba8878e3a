//! DICOMweb clients in Python and JavaScript, and research software over one: what is stored over the web is found and
//! comes back, in every form they ask for.

use std::path::Path;

use serde_json::Value;
use tancho_e2e::hospital::Network;
use tancho_e2e::phantom::{Phantom, PhantomStudy, RawText};
use tancho_e2e::program::{peer_script, peers_python, run};

#[test]
fn a_dicomweb_client_stores_finds_and_retrieves() {
    let network = Network::small();
    let folder = tempfile::tempdir().unwrap();
    let study = Phantom::stroke("web")
        .with_slices(4)
        .write(&folder.path().join("study"))
        .unwrap();
    let token = network.relay.token("technologist").unwrap();
    let mut arguments = vec![peer_script("web.py").into_os_string()];
    arguments.push(network.relay.url().into());
    arguments.push(token.into());
    arguments.extend(study.files.iter().map(|file| file.path.as_os_str().to_owned()));
    run(Path::new(&peers_python()), &arguments, None).unwrap_or_else(|error| panic!("{error:#}"));
}

#[test]
fn the_clients_of_browsers_store_find_and_retrieve() {
    let network = Network::small();
    let folder = tempfile::tempdir().unwrap();
    let study = in_utf8(&folder.path().join("study"));
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("interop/javascript/web.mjs");
    let mut arguments = vec![script.into_os_string()];
    arguments.push(network.relay.url().into());
    arguments.push(network.relay.token("technologist").unwrap().into());
    arguments.extend(study.files.iter().map(|file| file.path.as_os_str().to_owned()));
    let told = run(Path::new("node"), &arguments, None).unwrap_or_else(|error| panic!("{error:#}"));
    assert_kept_byte_for_byte(&network, &told, 1);
    network.assert_byte_exact(&study);
}

#[test]
fn research_software_stores_a_segmentation_and_a_report() {
    let mut network = Network::small();
    let folder = tempfile::tempdir().unwrap();
    let study = in_utf8(&folder.path().join("study"));
    let sent = network.node().modality().send(&[&study.folder]).unwrap();
    assert_eq!(sent.len(), study.files.len());
    network.wait_for_study(&study.study_instance_uid, study.files.len());
    let arguments = [
        peer_script("derive.py").into_os_string(),
        network.relay.url().into(),
        network.relay.token("technologist").unwrap().into(),
        study.study_instance_uid.clone().into(),
    ];
    let told = run(Path::new(&peers_python()), &arguments, None).unwrap_or_else(|error| panic!("{error:#}"));
    assert_kept_byte_for_byte(&network, &told, 2);
}

/// A head whose text is in UTF-8: neither dcmjs nor highdicom takes code extensions.
fn in_utf8(folder: &Path) -> PhantomStudy {
    let mut phantom = Phantom::stroke("web in utf-8").with_slices(4);
    phantom.raw_text = Some(RawText {
        character_sets: "ISO_IR 192",
        patient_name: "DOTO^HANAKO=道東^花子=ドウトウ^ハナコ".into(),
        study_description: "頭部CT".into(),
        series_description: "単純".into(),
    });
    phantom.write(folder).unwrap()
}

/// What a script says that it made is at the relay, byte for byte.
fn assert_kept_byte_for_byte(network: &Network, told: &str, expected: usize) {
    let made: Vec<Value> = serde_json::from_str(told.lines().last().unwrap()).unwrap();
    assert_eq!(made.len(), expected, "{told}");
    for instance in made {
        let uid = instance["sop_instance_uid"].as_str().unwrap();
        let kept = network.relay.exported_sha256(uid).unwrap();
        assert_eq!(Some(kept.as_str()), instance["sha256"].as_str(), "{uid}");
    }
}
