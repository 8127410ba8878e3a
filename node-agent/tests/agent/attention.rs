//! What the technologist decides on the page: whether held objects go, and whether a quarantined one leaves the list.

use serde_json::{Value, json};
use tancho_agent::spool::ObjectState;
use tancho_imaging::synthetic::CtSlice;

use crate::peer::{Peer, Proposal};
use crate::support::{CT, EXPLICIT_LE, TestAgent, slice};

const ORIGIN: &str = "http://127.0.0.1";

/// Stores a slice of a study that names this patient.
fn store_of(agent: &TestAgent, study: &str, n: u32, patient_id: &str) {
    let named = CtSlice {
        study_instance_uid: study.to_owned(),
        series_instance_uid: format!("{study}.1"),
        sop_instance_uid: format!("{study}.1.{n}"),
        patient_id: patient_id.to_owned(),
        ..CtSlice::default()
    };
    let data = named
        .data_set(&EXPLICIT_LE.to_owned().try_into().unwrap())
        .unwrap();
    let mut peer = Peer::associate(agent.dimse, &Proposal::default());
    assert_eq!(peer.store(1, CT, &named.sop_instance_uid, &data), Some(0));
    peer.release();
}

/// What the page shows as held: patient ID of the study, that of the held objects, how many.
fn held(state: &Value) -> Vec<(String, String, u64)> {
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let entries = state["held"].as_array().unwrap().iter();
    entries
        .map(|entry| {
            (
                text(&entry["study_patient"]["patient_id"]),
                text(&entry["patient"]["patient_id"]),
                entry["n_objects"].as_u64().unwrap(),
            )
        })
        .collect()
}

fn entry(study: &str, patient: &str, n_objects: u64) -> (String, String, u64) {
    (study.to_owned(), patient.to_owned(), n_objects)
}

#[test]
fn flt_005_held_objects_show_both_patients_and_only_the_confirmed_ones_are_released() {
    let folder = tempfile::tempdir().unwrap();
    let mut agent = TestAgent::start_in(folder.path(), |_| {}).unwrap();
    for (n, patient) in [(1, "A"), (2, "B"), (3, "B"), (4, "C")] {
        store_of(&agent, "2.25.80", n, patient);
    }
    assert_eq!(held(&agent.state()), [entry("A", "B", 2), entry("A", "C", 1)]);
    agent.stop();
    let agent = TestAgent::start_in(folder.path(), |_| {}).unwrap();
    let state = agent.state();
    assert_eq!(
        held(&state),
        [entry("A", "B", 2), entry("A", "C", 1)],
        "and after a restart"
    );
    let study = &state["studies"][0];
    assert_eq!(
        (study["n_held"].as_u64(), study["n_refused"].as_u64()),
        (Some(3), Some(0))
    );

    let body = json!({ "held_id": state["held"][0]["held_id"] });
    let (status, _) = agent.post("/api/held/release", "http://evil.example", &body);
    assert_eq!(status, 403, "another site's page decides nothing");
    assert_eq!(held(&agent.state()).len(), 2);
    // One more of the same patient comes while the person reads the question: it is covered by the answer.
    store_of(&agent, "2.25.80", 5, "B");
    let (status, answer) = agent.post("/api/held/release", ORIGIN, &body);
    assert_eq!((status, answer.as_str()), (204, ""));
    assert_eq!(held(&agent.state()), [entry("A", "C", 1)]);
    agent.outbound(4);
    assert_eq!(agent.spool().study_manifests()[0].n_instances, 4);
    assert_eq!(agent.spool().studies()[0].tally(ObjectState::Held).n_objects, 1);
    let (status, answer) = agent.post("/api/held/release", ORIGIN, &body);
    assert!(
        status == 404 && answer.contains("held_not_found"),
        "{status} {answer}"
    );
    let (status, _) = agent.post(
        "/api/held/release",
        ORIGIN,
        &json!({ "held_id": "x", "all": true }),
    );
    assert_eq!(status, 422);
}

#[test]
fn a_rebuilt_index_still_knows_whom_held_objects_name() {
    let folder = tempfile::tempdir().unwrap();
    let mut agent = TestAgent::start_in(folder.path(), |_| {}).unwrap();
    store_of(&agent, "2.25.81", 1, "A");
    store_of(&agent, "2.25.81", 2, "B");
    agent.stop();
    std::fs::remove_file(folder.path().join("spool/index.sqlite3")).unwrap();
    let agent = TestAgent::start_in(folder.path(), |_| {}).unwrap();
    assert_eq!(held(&agent.state()), [entry("A", "B", 1)]);
}

#[test]
fn a_quarantined_object_leaves_the_list_and_stays_on_the_disk() {
    let folder = tempfile::tempdir().unwrap();
    let mut agent = TestAgent::start_in(folder.path(), |_| {}).unwrap();
    let mut peer = Peer::associate(agent.dimse, &Proposal::default());
    let (_, data) = slice("2.25.82", 1);
    for announced in ["2.25.82.8", "2.25.82.9"] {
        assert_eq!(peer.store(1, CT, announced, &data), Some(0xA900));
    }
    peer.release();
    let state = agent.state();
    let shown = state["quarantine"].as_array().unwrap();
    assert_eq!(
        (shown.len(), shown[0]["code"].as_str()),
        (2, Some("uid_mismatch"))
    );
    let body = json!({ "object_id": shown[0]["object_id"] });
    let (status, _) = agent.post("/api/quarantine/dismiss", "http://evil.example", &body);
    assert_eq!(status, 403);
    assert_eq!(agent.post("/api/quarantine/dismiss", ORIGIN, &body).0, 204);
    let other = json!({ "object_id": "01890000-0000-7000-8000-000000000001" });
    let (status, answer) = agent.post("/api/quarantine/dismiss", ORIGIN, &other);
    assert!(
        status == 404 && answer.contains("quarantine_not_found"),
        "{status} {answer}"
    );
    agent.stop();
    let agent = TestAgent::start_in(folder.path(), |_| {}).unwrap();
    let left = agent.state()["quarantine"].clone();
    assert_eq!(left.as_array().unwrap().len(), 1);
    assert_eq!(left[0]["object_id"], shown[1]["object_id"]);
    assert_eq!(agent.names("quarantine").len(), 2);
}
