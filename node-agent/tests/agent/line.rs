//! What the page and `status` say of the line, and what is kept of it over a restart.

use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rcgen::{CertificateParams, Issuer, KeyPair};
use serde_json::{Value, json};

use crate::peer::{Peer, Proposal};
use crate::support::{CT, TestAgent, slice};

/// Puts the certificate of an enrolment at a relay that is not there into a data folder.
fn enrol(data_dir: &Path, relay_address: &str) {
    let ca_key = KeyPair::generate().unwrap();
    let ca = CertificateParams::default().self_signed(&ca_key).unwrap();
    let issuer = Issuer::from_ca_cert_der(ca.der(), ca_key).unwrap();
    let key = KeyPair::generate().unwrap();
    let leaf = CertificateParams::default().signed_by(&key, &issuer).unwrap();
    let identity = json!({
        "node_id": "n", "site_code": "DOTO", "site_name": "Doto", "relay_address": relay_address,
        "chain_base64": [STANDARD.encode(leaf.der()), STANDARD.encode(ca.der())],
        "key_base64": STANDARD.encode(key.serialize_der()),
    });
    std::fs::create_dir(data_dir.join("node")).unwrap();
    std::fs::write(data_dir.join("node/identity.json"), identity.to_string()).unwrap();
}

fn store(agent: &TestAgent, study: &str) {
    let (uid, data) = slice(study, 1);
    let mut peer = Peer::associate(agent.dimse, &Proposal::default());
    assert_eq!(peer.store(1, CT, &uid, &data), Some(0));
    peer.release();
}

fn codes(state: &Value) -> Vec<&str> {
    let troubles = state["troubles"].as_array().unwrap().iter();
    troubles
        .map(|trouble| trouble["code"].as_str().unwrap())
        .collect()
}

/// Sum of a figure over the points of a view.
fn sum(agent: &TestAgent, span: &str, key: &str) -> u64 {
    let (status, body) = agent.get(&format!("/api/line?span={span}"));
    assert_eq!(status, 200, "{body}");
    let view: Value = serde_json::from_str(&body).unwrap();
    let points = view["points"].as_array().unwrap().iter();
    points.map(|point| point[key].as_u64().unwrap()).sum()
}

#[test]
fn a_node_without_a_certificate_says_so_and_what_waits_for_it() {
    let agent = TestAgent::start();
    agent.until_page("the line to be known", |state| {
        (state["link"]["state"] == "not_enrolled").then_some(())
    });
    assert_eq!(codes(&agent.state()), ["not_enrolled"]);
    store(&agent, "2.25.90");
    agent.outbound(1);
    let state = agent.state();
    assert_eq!(codes(&state), ["not_enrolled", "waiting"]);
    let waiting = &state["troubles"][1];
    assert_eq!(
        (&waiting["reason"], &waiting["n_objects"]),
        (&json!("offline"), &json!(1))
    );
    assert_eq!(
        waiting["oldest_at_ms"],
        state["studies"][0]["last_received_at_ms"]
    );
    assert_eq!(state["link"]["rtt_ms"], Value::Null);
}

#[test]
fn a_relay_that_does_not_answer_is_named_with_the_next_attempt() {
    let folder = tempfile::tempdir().unwrap();
    enrol(folder.path(), "127.0.0.1:9");
    let agent = TestAgent::start_in(folder.path(), |_| {}).unwrap();
    let trouble = agent.until_page("the relay to be unreachable", |state| {
        let found = state["troubles"].as_array()?.first()?.clone();
        (found["code"] == "relay_unreachable").then_some(found)
    });
    assert!(trouble["reason"].is_string() && trouble["next_attempt_at_ms"].is_number());
    let state = agent.state();
    assert_eq!(state["link"]["relay_address"], "127.0.0.1:9");
    assert!(state["link"]["certificate_ends_at_ms"].as_i64() > state["now_ms"].as_i64());
}

#[test]
fn a_disk_that_fills_is_spoken_of_before_it_is_full() {
    let roomy = TestAgent::start();
    let free_bytes = roomy.spool().room().unwrap().free_bytes;
    let low = TestAgent::start_with(|config| config.spool.reserve_bytes = Some(free_bytes / 3 * 2));
    assert!(codes(&low.state()).contains(&"disk_low"));
    let full = TestAgent::start_with(|config| config.spool.reserve_bytes = Some(free_bytes * 2));
    let state = full.state();
    let troubles = state["troubles"].as_array().unwrap();
    let full = troubles.iter().find(|trouble| trouble["code"] == "disk_full");
    assert_eq!(full.unwrap()["level"], "alarm");
}

#[test]
fn the_history_of_the_line_is_there_after_a_restart_and_a_torn_file_is_forgotten() {
    let folder = tempfile::tempdir().unwrap();
    let mut agent = TestAgent::start_in(folder.path(), |_| {}).unwrap();
    let down_ms = agent.until_page("some time to pass", |_| {
        Some(sum(&agent, "6h", "down_ms")).filter(|ms| *ms >= 50)
    });
    agent.stop();
    let mut agent = TestAgent::start_in(folder.path(), |_| {}).unwrap();
    agent.until_page("the history to be read", |_| {
        (sum(&agent, "48h", "down_ms") >= down_ms).then_some(())
    });
    agent.stop();
    std::fs::write(folder.path().join("line-history.jsonl"), [0xff; 4_096]).unwrap();
    let agent = TestAgent::start_in(folder.path(), |_| {}).unwrap();
    assert_eq!(agent.get("/api/line?span=48h").0, 200);
}
