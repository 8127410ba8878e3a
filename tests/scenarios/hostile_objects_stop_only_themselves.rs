//! Every broken or hostile object of the shared set is sent: each is answered as the set allows, memory stays bounded,
//! and the agent goes on serving.

use std::collections::BTreeMap;
use std::fs;

use serde_json::Value;
use sha2::{Digest, Sha256};
use tancho_e2e::hospital::{Network, assert_all_stored};
use tancho_e2e::phantom::{Phantom, hex};
use tancho_e2e::samples::{data_set_of, shared_data};
use tancho_e2e::wait::until;

/// The agent's bound, whatever it is sent.
const AGENT_MEMORY_KIB_MAX: u64 = 256 * 1024;

#[test]
fn every_hostile_object_is_answered_and_none_stops_the_agent() {
    let Some(folder) = shared_data("hostile") else {
        return;
    };
    let cases: Value = serde_json::from_slice(&fs::read(folder.join("cases.json")).unwrap()).unwrap();
    let cases: BTreeMap<String, &Value> = cases["cases"]
        .as_array()
        .unwrap()
        .iter()
        .map(|case| (case["file"].as_str().unwrap().to_owned(), case))
        .collect();
    let mut network = Network::small();
    let mut modality = network.node().modality();
    modality.raw = true;

    let files: Vec<_> = cases.keys().map(|file| folder.join(file)).collect();
    let paths: Vec<_> = files.iter().map(|path| path.as_path()).collect();
    let answers = modality.send(&paths).unwrap();
    assert_eq!(answers.len(), cases.len(), "every object was answered");
    let node = network.node().program().unwrap();
    assert!(node.is_running(), "the agent lives");
    let peak = node.peak_memory_kib().unwrap();
    assert!(peak < AGENT_MEMORY_KIB_MAX, "the agent took {peak} KiB");

    let mut wrong = Vec::new();
    let mut accepted = Vec::new();
    for answer in &answers {
        let name = answer.path.file_name().unwrap().to_str().unwrap();
        let may: Vec<&str> = cases[name]["may"]
            .as_array()
            .unwrap()
            .iter()
            .filter_map(Value::as_str)
            .collect();
        // To keep the bytes aside may be told to the modality as a success or as a failure.
        let allowed = match answer.status {
            Some(0) => may.contains(&"accept") || may.contains(&"quarantine"),
            Some(_) => may.contains(&"reject") || may.contains(&"quarantine"),
            None => false,
        };
        if !allowed {
            wrong.push(format!("{name}: {:?}, allowed: {may:?}", answer.status));
        }
        if may == ["accept"] {
            accepted.push(answer);
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));

    let mut n_of_uid: BTreeMap<&str, usize> = BTreeMap::new();
    for answer in &answers {
        *n_of_uid
            .entry(answer.sop_instance_uid.as_deref().unwrap_or_default())
            .or_default() += 1;
    }
    for answer in accepted {
        let uid = answer.sop_instance_uid.as_deref().unwrap();
        if n_of_uid[uid] == 1 {
            let exported = until(format!("the export of {}", answer.path.display()), || {
                network.relay.exported_sha256(uid).ok()
            });
            assert_eq!(exported, hex(&Sha256::digest(data_set_of(&answer.path))));
        }
    }

    let own = tempfile::tempdir().unwrap();
    let study = Phantom::stroke("after the hostile ones")
        .with_slices(2)
        .write(&own.path().join("study"))
        .unwrap();
    modality.called_ae_title = "TANCHO_STAT".to_owned();
    assert_all_stored(&modality.send(&[&study.folder]).unwrap(), 2);
    network.wait_for_study(&study.study_instance_uid, 2);
    network.assert_byte_exact(&study);
}
