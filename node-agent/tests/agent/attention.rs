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

/// What the relay is told to stay here of a study, and whether the study is closed.
fn withheld(agent: &TestAgent) -> (String, bool) {
    let manifests = agent.spool().study_manifests();
    (manifests[0].withheld.to_string(), manifests[0].closed)
}

/// A slice of a study that names no series, so that it cannot be used.
fn unusable(study: &str, sop: &str) -> Vec<u8> {
    let named = CtSlice {
        study_instance_uid: study.to_owned(),
        series_instance_uid: String::new(),
        sop_instance_uid: sop.to_owned(),
        ..CtSlice::default()
    };
    named
        .data_set(&EXPLICIT_LE.to_owned().try_into().unwrap())
        .unwrap()
}

#[test]
fn what_is_held_is_told_to_the_relay_until_it_goes_and_a_closed_study_is_told_again() {
    let folder = tempfile::tempdir().unwrap();
    let mut agent = TestAgent::start_in(folder.path(), |_| {}).unwrap();
    for (n, patient) in [(1, "A"), (2, "B"), (3, "B"), (4, "C")] {
        store_of(&agent, "2.25.83", n, patient);
    }
    assert_eq!(withheld(&agent), ("patient_differs:3".to_owned(), false));
    agent.block_on(agent.spool().close_study("2.25.83")).unwrap();
    let generation = agent.spool().study_manifests()[0].generation;
    let confirmed = agent.spool().record_manifest_confirmed("2.25.83", generation);
    agent.block_on(confirmed).unwrap();
    assert!(agent.spool().study_manifests().is_empty());
    let held_id = agent.state()["held"][0]["held_id"].clone();
    let answer = agent.post("/api/held/release", ORIGIN, &json!({ "held_id": held_id }));
    assert_eq!(answer.0, 204);
    assert_eq!(withheld(&agent), ("patient_differs:1".to_owned(), false));
    agent.stop();
    let agent = TestAgent::start_in(folder.path(), |_| {}).unwrap();
    assert_eq!(withheld(&agent).0, "patient_differs:1", "and after a restart");
}

#[test]
fn held_objects_of_another_patient_leave_the_study_and_the_same_bytes_are_held_again() {
    let folder = tempfile::tempdir().unwrap();
    let mut agent = TestAgent::start_in(folder.path(), |_| {}).unwrap();
    for (n, patient) in [(1, "A"), (2, "B"), (3, "C")] {
        store_of(&agent, "2.25.87", n, patient);
    }
    let state = agent.state();
    let of = |patient: &str| {
        let entries = state["held"].as_array().unwrap().iter();
        let mut entries = entries.filter(|entry| entry["patient"]["patient_id"] == patient);
        json!({ "held_id": entries.next().unwrap()["held_id"] })
    };
    let (status, _) = agent.post("/api/held/dismiss", "http://evil.example", &of("B"));
    assert_eq!(status, 403);
    assert_eq!(agent.post("/api/held/dismiss", ORIGIN, &of("B")).0, 204);
    assert_eq!(held(&agent.state()), [entry("A", "C", 1)]);
    assert_eq!(withheld(&agent).0, "patient_differs:1");
    let study = &agent.state()["studies"][0];
    assert_eq!((&study["n_held"], &study["n_received"]), (&json!(1), &json!(2)));
    assert!(agent.state()["quarantine"].as_array().unwrap().is_empty());
    let (status, answer) = agent.post("/api/held/dismiss", ORIGIN, &of("B"));
    assert!(
        status == 404 && answer.contains("held_not_found"),
        "{status} {answer}"
    );
    assert_eq!(
        (agent.object_files().len(), agent.names("quarantine").len()),
        (2, 1),
        "its bytes stay"
    );
    store_of(&agent, "2.25.87", 2, "B");
    assert_eq!(withheld(&agent).0, "patient_differs:2");
    agent.stop();
    let agent = TestAgent::start_in(folder.path(), |_| {}).unwrap();
    assert_eq!(held(&agent.state()), [entry("A", "C", 1), entry("A", "B", 1)]);
}

#[test]
fn what_is_in_quarantine_is_told_to_the_relay_until_it_comes_well_or_is_dismissed() {
    let folder = tempfile::tempdir().unwrap();
    let mut agent = TestAgent::start_in(folder.path(), |_| {}).unwrap();
    let study = "2.25.84";
    let mut peer = Peer::associate(agent.dimse, &Proposal::default());
    let (first, good) = slice(study, 1);
    let (second, well) = slice(study, 2);
    // Names its study, and comes again: one image.
    assert_ne!(peer.store(1, CT, &second, &unusable(study, &second)), Some(0));
    assert_ne!(peer.store(1, CT, &second, &unusable(study, &second)), Some(0));
    // Names none: it belongs to the study of its neighbours.
    assert_ne!(peer.store(1, CT, "2.25.84.9", b"no data set"), Some(0));
    assert_eq!(
        withheld(&agent).0,
        "unusable:1",
        "told though nothing of it can be used"
    );
    assert_eq!(agent.spool().study_manifests()[0].n_instances, 0);
    assert_eq!(peer.store(1, CT, &first, &good), Some(0));
    assert_eq!(withheld(&agent).0, "unusable:2");
    assert_eq!(agent.spool().study_manifests()[0].n_instances, 1);
    assert_ne!(peer.store(1, CT, "2.25.84.8", b"no data set"), Some(0));
    assert_eq!(withheld(&agent).0, "unusable:3");
    assert_eq!(peer.store(1, CT, &second, &well), Some(0));
    assert_eq!(withheld(&agent).0, "unusable:2", "the second came well");
    peer.release();

    let close = async |agent: &TestAgent| {
        let spool = agent.spool();
        spool.close_study(study).await.unwrap();
        let generation = spool.study_manifests()[0].generation;
        spool.record_manifest_confirmed(study, generation).await.unwrap();
        assert!(spool.study_manifests().is_empty());
    };
    agent.block_on(close(&agent));
    let dismiss = |agent: &TestAgent, announced: &str| {
        let mut rows = agent.spool().quarantine().into_iter();
        let row = rows.find(|row| row.sop_instance_uid == announced).unwrap();
        agent
            .block_on(agent.spool().dismiss_quarantine(&row.object_id))
            .unwrap();
    };
    dismiss(&agent, "2.25.84.9");
    assert_eq!(
        withheld(&agent),
        ("unusable:1".to_owned(), true),
        "told again, still closed"
    );

    // All that the relay has goes; what waits for a person keeps the study, also without an index.
    for object in agent.outbound(2) {
        agent
            .block_on(agent.spool().record_receipt(crate::retention::receipt(&object)))
            .unwrap();
    }
    agent
        .block_on(agent.spool().delete_receipted_before(i64::MAX))
        .unwrap();
    assert_eq!(withheld(&agent), ("unusable:1".to_owned(), true));
    dismiss(&agent, "2.25.84.8");
    assert_eq!(
        withheld(&agent),
        (String::new(), true),
        "the relay has to hear it"
    );
    let generation = agent.spool().study_manifests()[0].generation;
    let confirmed = agent.spool().record_manifest_confirmed(study, generation);
    agent.block_on(confirmed).unwrap();
    assert!(
        agent.spool().studies().is_empty(),
        "and then the study is forgotten"
    );
    agent.stop();
}

#[test]
fn what_is_withheld_is_counted_anew_from_the_files() {
    let folder = tempfile::tempdir().unwrap();
    let mut agent = TestAgent::start_in(folder.path(), |_| {}).unwrap();
    store_of(&agent, "2.25.85", 1, "A");
    store_of(&agent, "2.25.85", 2, "B");
    let mut peer = Peer::associate(agent.dimse, &Proposal::default());
    assert_ne!(
        peer.store(1, CT, "2.25.85.7", &unusable("2.25.85", "2.25.85.7")),
        Some(0)
    );
    peer.release();
    assert_eq!(withheld(&agent).0, "patient_differs:1,unusable:1");
    agent.stop();
    std::fs::remove_file(folder.path().join("spool/index.sqlite3")).unwrap();
    let agent = TestAgent::start_in(folder.path(), |_| {}).unwrap();
    assert_eq!(withheld(&agent).0, "patient_differs:1,unusable:1");
}

#[test]
fn an_object_that_the_relay_refuses_is_told_back_until_it_is_sent_again() {
    let agent = TestAgent::start();
    let mut peer = Peer::associate(agent.dimse, &Proposal::default());
    let (uid, data) = slice("2.25.86", 1);
    assert_eq!(peer.store(1, CT, &uid, &data), Some(0));
    let object = agent.outbound(1).remove(0);
    let refusal = agent.spool().record_refusal(&object.object_id, "no_good", "");
    agent.block_on(refusal).unwrap();
    assert_eq!(withheld(&agent).0, "refused:1");
    assert_eq!(agent.spool().study_manifests()[0].n_instances, 1);
    assert_eq!(peer.store(1, CT, &uid, &data), Some(0));
    assert_eq!(withheld(&agent).0, "");
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

#[test]
fn a_quarantined_object_is_handed_out_as_it_came_and_not_released_while_it_cannot_be_used() {
    let folder = tempfile::tempdir().unwrap();
    let agent = TestAgent::start_in(folder.path(), |_| {}).unwrap();
    let sop = "2.25.86.7";
    let came = unusable("2.25.86", sop);
    let mut peer = Peer::associate(agent.dimse, &Proposal::default());
    assert_ne!(peer.store(1, CT, sop, &came), Some(0));
    assert_ne!(peer.store(1, CT, "no../uid", &came), Some(0));
    peer.release();
    let rows = agent.spool().quarantine();
    let body = |announced: &str| {
        let row = rows.iter().find(|row| row.sop_instance_uid == announced).unwrap();
        json!({ "object_id": row.object_id })
    };

    let (head, file) = agent.download("/api/quarantine/file", &body(sop));
    assert!(
        head.starts_with("HTTP/1.1 200") && head.contains("application/dicom"),
        "{head}"
    );
    assert!(
        head.contains("attachment; filename=\"quarantine-") && head.contains(".dcm\""),
        "{head}"
    );
    assert_eq!(&file[128..132], b"DICM");
    assert_eq!(file[file.len() - came.len()..], came);
    // With UIDs that are none there is no file of DICOM, but the data set is there.
    let (head, file) = agent.download("/api/quarantine/file", &body("no../uid"));
    assert!(head.contains(".bin\"") && !head.contains("no.."), "{head}");
    assert_eq!(file, came);

    for (announced, code) in [(sop, "uid_missing"), ("no../uid", "uid_missing")] {
        let (status, answer) = agent.post("/api/quarantine/release", ORIGIN, &body(announced));
        assert!(status == 409 && answer.contains(code), "{status} {answer}");
    }
    assert_eq!(agent.spool().quarantine().len(), 2, "they stay where they are");
    assert!(agent.object_files().is_empty() && agent.names("quarantine").len() == 2);

    for path in ["/api/quarantine/release", "/api/quarantine/file"] {
        let (status, _) = agent.post(path, "http://evil.example", &body(sop));
        assert_eq!(status, 403, "{path}");
        let unknown = json!({ "object_id": "01890000-0000-7000-8000-000000000001" });
        let (status, answer) = agent.post(path, ORIGIN, &unknown);
        assert!(
            status == 404 && answer.contains("quarantine_not_found"),
            "{path}: {status} {answer}"
        );
    }
    let rotten = agent
        .data_dir
        .join("spool/quarantine")
        .join(&agent.names("quarantine")[0]);
    let mut bytes = std::fs::read(&rotten).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    std::fs::write(&rotten, bytes).unwrap();
    let damaged = json!({ "object_id": rotten.file_stem().unwrap().to_str().unwrap() });
    for path in ["/api/quarantine/release", "/api/quarantine/file"] {
        let (status, answer) = agent.post(path, ORIGIN, &damaged);
        assert!(
            status == 409 && answer.contains("damaged_in_spool"),
            "{path}: {status} {answer}"
        );
    }
}

#[test]
fn flt_005_the_patient_is_known_after_a_restart_though_the_first_object_of_the_study_was_unusable() {
    let folder = tempfile::tempdir().unwrap();
    let study = "2.25.89";
    let mut agent = TestAgent::start_in(folder.path(), |_| {}).unwrap();
    let mut peer = Peer::associate(agent.dimse, &Proposal::default());
    assert_ne!(
        peer.store(1, CT, "2.25.89.1.1", &unusable(study, "2.25.89.1.1")),
        Some(0)
    );
    peer.release();
    store_of(&agent, study, 2, "A");
    agent.stop();
    let agent = TestAgent::start_in(folder.path(), |_| {}).unwrap();
    assert_eq!(agent.state()["studies"][0]["patient_id"], "A");
    store_of(&agent, study, 3, "B");
    assert_eq!(held(&agent.state()), [entry("A", "B", 1)]);
}

/// The relay would leave such an answer out, and the person would believe it was sent.
#[test]
fn a_form_with_a_time_that_has_not_come_is_refused_where_it_is_filled_in() {
    let folder = tempfile::tempdir().unwrap();
    let agent = TestAgent::start_in(folder.path(), |_| {}).unwrap();
    store_of(&agent, "2.25.99", 1, "A");
    let now_ms = agent.state()["now_ms"].as_i64().unwrap();
    let body = |n: u8, minutes: i64, context: &str| {
        let at = jiff::Timestamp::from_millisecond(now_ms + minutes * 60_000).unwrap();
        let context: Value = serde_json::from_str(&context.replace("AT", &at.to_string())).unwrap();
        json!({ "command_id": format!("01890000-0000-7000-8000-0000000000{n:02}"), "study_instance_uid": "2.25.99",
                "urgency": "urgent", "clinical_context": context, "callback_number": "0153-00-1111" })
    };
    for (n, context) in [
        (1, r#"{ "door_dt": "AT" }"#),
        (
            2,
            r#"{ "antithrombotics": [{ "class": "doac", "last_dose_dt": "AT" }] }"#,
        ),
    ] {
        let (status, answer) = agent.post("/api/requests", ORIGIN, &body(n, 7, context));
        assert!(
            status == 422 && answer.contains("time_in_future"),
            "{status} {answer}"
        );
    }
    assert!(agent.state()["studies"][0]["request"].is_null());
    let (status, answer) = agent.post("/api/requests", ORIGIN, &body(3, 4, r#"{ "door_dt": "AT" }"#));
    assert_eq!(status, 202, "clocks at a site differ: {answer}");
}
