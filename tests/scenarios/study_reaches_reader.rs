//! A study pushed from the scanner console reaches the reader, and comes back out byte for byte.

use sha2::{Digest, Sha256};
use tancho_e2e::hospital::{Network, assert_all_stored};
use tancho_e2e::modality::Answer;
use tancho_e2e::phantom::{MATRIX, Phantom, hex};
use tancho_e2e::samples::{data_set_of, shared_data};
use tancho_e2e::wait::until;

#[test]
fn pushing_from_the_console_is_enough() {
    let mut network = Network::small();
    let folder = tempfile::tempdir().unwrap();
    let study = Phantom::stroke("reaches reader")
        .with_slices(12)
        .write(&folder.path().join("study"))
        .unwrap();

    let mut modality = network.node().modality();
    modality.called_ae_title = "TANCHO_STAT".to_owned();
    modality.associations = 3;
    assert_all_stored(&modality.send(&[&study.folder]).unwrap(), 12);

    let request = network.wait_for_study(&study.study_instance_uid, 12);
    assert_eq!(
        request["urgency"], "critical",
        "pushed to the title for stat: {request}"
    );
    assert_eq!(request["transfer_class"], "stat");
    assert_eq!(request["requesting_site"]["code"], "DOTO");
    assert_eq!(request["patient"]["name"]["alphabetic"], "DOTO^HANAKO");
    assert_eq!(request["patient"]["name"]["ideographic"], "道東^花子");
    assert_eq!(request["patient"]["name"]["phonetic"], "ドウトウ^ハナコ");
    assert_eq!(request["patient"]["name_uncertain"], false);
    assert_eq!(
        request["clinical_context_complete"], false,
        "nobody has filled in the form"
    );
    assert_eq!(
        request["callback_number"], "0153-00-1111",
        "the site's number until somebody names a better one"
    );
    network.assert_byte_exact(&study);
}

#[test]
fn dicomweb_finds_the_study_and_serves_its_frames() {
    let mut network = Network::small();
    let folder = tempfile::tempdir().unwrap();
    let study = Phantom::stroke("dicomweb")
        .with_slices(3)
        .write(&folder.path().join("study"))
        .unwrap();
    let mut modality = network.node().modality();
    modality.called_ae_title = "TANCHO_STAT".to_owned();
    assert_all_stored(&modality.send(&[&study.folder]).unwrap(), 3);
    network.wait_for_study(&study.study_instance_uid, 3);

    let reader = network.session("reader");
    let found = reader
        .search(&format!(
            "/dicom-web/studies?StudyInstanceUID={}",
            study.study_instance_uid
        ))
        .unwrap();
    assert_eq!(found.len(), 1);
    assert_eq!(found[0]["00100010"]["Value"][0]["Ideographic"], "道東^花子");
    let series = format!(
        "/dicom-web/studies/{}/series/{}",
        study.study_instance_uid, study.series_instance_uid
    );
    assert_eq!(reader.search(&format!("{series}/instances")).unwrap().len(), 3);

    for file in &study.files {
        let frame = format!("{series}/instances/{}/frames/1", file.sop_instance_uid);
        let (kind, pixels) = reader
            .get_bytes(&frame, "application/octet-stream; transfer-syntax=*")
            .unwrap();
        assert!(kind.contains("transfer-syntax=1.2.840.10008.1.2.1"), "{kind}");
        let data_set = data_set_of(&file.path);
        assert!(
            pixels == data_set[data_set.len() - MATRIX * MATRIX * 2..],
            "the frame is the pixels that were sent"
        );
    }

    let elsewhere = network.session("referrer2");
    let found = elsewhere.search(&format!(
        "/dicom-web/studies?StudyInstanceUID={}",
        study.study_instance_uid
    ));
    assert!(found.unwrap().is_empty(), "another site sees nothing");
    let metadata = format!("/dicom-web/studies/{}/metadata", study.study_instance_uid);
    assert_eq!(elsewhere.try_get(&metadata).unwrap().status, 404);
    let stranger = tancho_e2e::people::Session::anonymous(&network.relay.url()).unwrap();
    assert_eq!(stranger.try_get(&metadata).unwrap().status, 401);
}

#[test]
fn real_head_ct_comes_back_byte_for_byte() {
    let Some(folder) = shared_data("ct-head-ge") else {
        return;
    };
    let mut network = Network::small();
    let answers = network.node().modality().send(&[&folder]).unwrap();
    assert_all_stored(&answers, 28);
    for answer in answers {
        let uid = answer.sop_instance_uid.expect("a real file names its instance");
        let exported = until("the exported instance", || {
            network.relay.exported_sha256(&uid).ok()
        });
        assert_eq!(
            exported,
            hex(&Sha256::digest(data_set_of(&answer.path))),
            "{}",
            answer.path.display()
        );
    }
}

#[test]
fn every_kind_of_object_and_syntax_comes_back_byte_for_byte() {
    let names = ["compressed-real", "syntaxes", "multiframe", "japanese"];
    let folders: Vec<_> = names.iter().filter_map(|name| shared_data(name)).collect();
    if folders.is_empty() {
        return;
    }
    let mut network = Network::small();
    let mut modality = network.node().modality();
    modality.raw = true;
    modality.associations = 2;
    let mut sent = Vec::new();
    for folder in &folders {
        let mut files: Vec<_> = std::fs::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .collect();
        files.retain(|path| path.extension().is_some_and(|end| end == "dcm"));
        files.sort();
        let paths: Vec<_> = files.iter().map(|path| path.as_path()).collect();
        sent.extend(modality.send(&paths).unwrap());
    }
    // A few real files name another instance in their file meta than in their data set, and are refused for it.
    let (stored, refused): (Vec<_>, Vec<_>) = sent.into_iter().partition(Answer::is_success);
    assert!(
        refused.iter().all(|answer| answer.status == Some(0xa900)),
        "{refused:?}"
    );
    assert!(
        stored.len() > 10 * refused.len(),
        "{} stored, refused: {refused:?}",
        stored.len()
    );
    let mut first_of_uid = std::collections::BTreeMap::new();
    for answer in stored {
        let uid = answer
            .sop_instance_uid
            .expect("a stored object names its instance");
        first_of_uid.entry(uid).or_insert_with(Vec::new).push(answer.path);
    }
    for (uid, paths) in first_of_uid {
        let exported = until(format!("the export of {}", paths[0].display()), || {
            network.relay.exported_sha256(&uid).ok()
        });
        let may_be: Vec<String> = paths
            .iter()
            .map(|path| hex(&Sha256::digest(data_set_of(path))))
            .collect();
        assert!(
            may_be.contains(&exported),
            "{} came back changed",
            paths[0].display()
        );
    }
}
