//! Power cuts in mid-study, on either side: what a modality was told is stored reaches the relay byte for byte.

use std::collections::BTreeMap;

use tancho_e2e::hospital::{Network, assert_all_stored};
use tancho_e2e::modality::Answer;
use tancho_e2e::phantom::{Phantom, PhantomStudy};
use tancho_e2e::wait::until;

/// Every acknowledged file is at the relay as it was sent. Nothing is sent again while this waits.
fn assert_acknowledged_are_there(network: &Network, study: &PhantomStudy, answers: &[Answer]) {
    let sent: BTreeMap<&str, &str> = study
        .files
        .iter()
        .map(|file| (file.sop_instance_uid.as_str(), file.data_set_sha256.as_str()))
        .collect();
    for answer in answers.iter().filter(|answer| answer.is_success()) {
        let uid = answer
            .sop_instance_uid
            .as_deref()
            .expect("the phantom names its instances");
        let exported = until(format!("acknowledged instance {uid}"), || {
            network.relay.exported_sha256(uid).ok()
        });
        assert_eq!(exported, sent[uid]);
    }
}

#[test]
fn agent_is_killed_in_mid_study() {
    let mut network = Network::small();
    let folder = tempfile::tempdir().unwrap();
    let study = Phantom::stroke("agent killed")
        .with_slices(24)
        .write(&folder.path().join("study"))
        .unwrap();
    let mut modality = network.node().modality();
    modality.called_ae_title = "TANCHO_STAT".to_owned();
    modality.associations = 2;

    let mut answers = Vec::new();
    for n_more in [5, 9] {
        let mut sending = modality.start_sending(&[&study.folder]).unwrap();
        answers.extend(sending.by_ref().take(n_more));
        network.node().kill();
        answers.extend(sending);
        network.node().start().unwrap();
        assert_acknowledged_are_there(&network, &study, &answers);
    }
    assert!(
        answers.iter().any(|answer| !answer.is_success()),
        "the agent died while the study was under way"
    );

    assert_all_stored(&modality.send(&[&study.folder]).unwrap(), 24);
    let request = network.wait_for_study(&study.study_instance_uid, 24);
    assert_eq!(
        request["arrival"]["received"], 24,
        "sent up to three times, there once: {request}"
    );
    network.assert_byte_exact(&study);
}

#[test]
fn relay_is_killed_in_mid_study() {
    let mut network = Network::small();
    let folder = tempfile::tempdir().unwrap();
    let study = Phantom::stroke("relay killed")
        .with_slices(24)
        .write(&folder.path().join("study"))
        .unwrap();
    let mut modality = network.node().modality();
    modality.called_ae_title = "TANCHO_STAT".to_owned();

    let mut answers = Vec::new();
    let mut sending = modality.start_sending(&[&study.folder]).unwrap();
    for n_more in [4, 6, 5] {
        answers.extend(sending.by_ref().take(n_more));
        network.relay.kill();
        answers.extend(sending.by_ref().take(3));
        network.relay.start().unwrap();
    }
    answers.extend(sending);
    assert_all_stored(&answers, 24);

    assert_acknowledged_are_there(&network, &study, &answers);
    let request = network.wait_for_study(&study.study_instance_uid, 24);
    assert_eq!(request["arrival"]["received"], 24);
    network.assert_byte_exact(&study);
}

#[test]
fn relay_is_away_while_a_study_is_sent() {
    let mut network = Network::small();
    let folder = tempfile::tempdir().unwrap();
    let study = Phantom::stroke("relay away")
        .with_slices(6)
        .write(&folder.path().join("study"))
        .unwrap();
    network.relay.kill();
    let mut modality = network.node().modality();
    modality.called_ae_title = "TANCHO_STAT".to_owned();
    assert_all_stored(&modality.send(&[&study.folder]).unwrap(), 6);
    network.node().kill();
    network.node().start().unwrap();
    network.relay.start().unwrap();
    network.wait_for_study(&study.study_instance_uid, 6);
    network.assert_byte_exact(&study);
}
