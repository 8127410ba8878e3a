//! Received objects onward to a PACS: whatever the peer does, each object is there once in the end, or a person is told.

use std::io::Cursor;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};
use tancho_agent::config::Config;
use tancho_agent::deliver::{Destination, Retry, Rule};
use tancho_agent::dimse::requestor::Callee;
use tancho_domain::dicom::{AeTitle, TransferSyntaxUid};
use tancho_imaging::compare::same_elements;
use tancho_imaging::limits::ScanLimits;
use tancho_imaging::synthetic::CtSlice;

use crate::peer::{Peer, Proposal};
use crate::receiver::{Behaviour, Receiver};
use crate::retention::receipt;
use crate::support::{CT, EXPLICIT_LE, TestAgent, slice};

const IMPLICIT_LE: &str = "1.2.840.10008.1.2";
const JPEG: &str = "1.2.840.10008.1.2.4.50";
const ORIGIN: &str = "http://127.0.0.1";

/// The site's PACS, with pauses a test can wait for.
pub fn pacs(address: SocketAddr) -> Destination {
    Destination {
        name: "pacs".to_owned(),
        callee: Callee {
            address: address.to_string(),
            ae_title: AeTitle::parse("PACS").unwrap(),
            calling_ae: AeTitle::parse("TANCHO").unwrap(),
            patience: Duration::from_secs(20),
        },
        rule: Rule::default(),
        storage_commitment: false,
        commitment_timeout: Duration::from_secs(60),
        retry: Retry {
            min: Duration::from_millis(5),
            max: Duration::from_millis(20),
            tries_max: 3,
        },
    }
}

fn to(destination: Destination) -> impl FnOnce(&mut Config) {
    move |config| config.deliver = vec![destination]
}

/// An agent that delivers to this receiver.
fn delivering(receiver: &Receiver) -> TestAgent {
    TestAgent::start_with(to(pacs(receiver.address)))
}

fn store(agent: &TestAgent, study: &str, n: u32) -> (String, Vec<u8>) {
    let (uid, data) = slice(study, n);
    store_in(agent, EXPLICIT_LE, &uid, &data);
    (uid, data)
}

fn store_in(agent: &TestAgent, transfer_syntax: &str, uid: &str, data: &[u8]) {
    let mut peer = Peer::associate(agent.dimse, &Proposal::storing(CT, transfer_syntax));
    assert_eq!(peer.store(1, CT, uid, data), Some(0));
    peer.release();
}

/// Waits until the page shows a number of the first destination.
pub fn until(agent: &TestAgent, key: &str, n: u64) -> Value {
    agent.until_page(&format!("{key} is {n}"), |state| {
        let one = &state["deliveries"][0];
        (one[key] == n).then(|| one.clone())
    })
}

/// Waits until the destination's last failure is this one.
fn until_error(agent: &TestAgent, code: &str) {
    agent.until_page(code, |state| {
        let one = &state["deliveries"][0];
        (one["last_error"]["code"] == code).then_some(())
    });
}

#[test]
fn what_is_received_reaches_the_pacs_as_it_came() {
    let receiver = Receiver::start(vec![Behaviour::Take(None)]);
    let agent = delivering(&receiver);
    let sent: Vec<_> = (1..=3).map(|n| store(&agent, "2.25.700", n)).collect();
    let one = until(&agent, "n_delivered", 3);
    assert_eq!((&one["n_waiting"], &one["bytes_waiting"]), (&json!(0), &json!(0)));
    let taken = receiver.taken();
    assert_eq!(taken.len(), 3);
    for (uid, data) in sent {
        let found = taken.iter().find(|one| one.sop_instance_uid == uid).unwrap();
        assert_eq!(
            (&found.data, found.transfer_syntax.as_str()),
            (&data, EXPLICIT_LE)
        );
    }
}

#[test]
fn a_pacs_that_takes_implicit_only_gets_the_same_elements() {
    let receiver = Receiver::start(vec![Behaviour::Take(Some(IMPLICIT_LE))]);
    let agent = delivering(&receiver);
    let (_, data) = store(&agent, "2.25.701", 1);
    until(&agent, "n_delivered", 1);
    let taken = receiver.taken().remove(0);
    assert_eq!(taken.transfer_syntax, IMPLICIT_LE);
    let [explicit, implicit] = [EXPLICIT_LE, IMPLICIT_LE].map(|uid| TransferSyntaxUid::parse(uid).unwrap());
    let (mut sent, mut came) = (Cursor::new(&data), Cursor::new(&taken.data));
    let limits = ScanLimits::default();
    assert!(same_elements(&mut sent, &explicit, &mut came, &implicit, &limits).unwrap());
}

#[test]
fn a_pacs_with_short_pdus_gets_them_short() {
    let receiver = Receiver::start(vec![Behaviour::TakeInPieces(128)]);
    let agent = delivering(&receiver);
    let (_, data) = store(&agent, "2.25.702", 1);
    until(&agent, "n_delivered", 1);
    assert_eq!(receiver.taken()[0].data, data);
}

#[test]
fn pixels_are_not_decoded_for_a_pacs_that_does_not_take_their_coding_and_a_person_can_try_again() {
    let receiver = Receiver::start(vec![
        Behaviour::Take(Some(EXPLICIT_LE)),
        Behaviour::Take(Some(EXPLICIT_LE)),
        Behaviour::Take(Some(EXPLICIT_LE)),
        Behaviour::Take(None),
    ]);
    let agent = delivering(&receiver);
    let coded = CtSlice {
        sop_instance_uid: "2.25.703.1".to_owned(),
        ..CtSlice::default()
    };
    let jpeg = TransferSyntaxUid::parse(JPEG).unwrap();
    let mut writer = tancho_imaging::synthetic::ElementWriter::new(&jpeg);
    coded.write_head(&mut writer).unwrap();
    writer.fragments(&[], &[&[0xFF, 0xD8, 0xFF, 0xD9]]);
    let data = writer.finish();
    store_in(&agent, JPEG, &coded.sop_instance_uid, &data);
    let one = until(&agent, "n_failed", 1);
    assert_eq!(
        one["reasons"],
        json!([{ "code": "peer_refuses_transfer_syntax", "n": 1 }])
    );
    assert_eq!(receiver.n_associations(), 3, "as many tries as are allowed");
    let trouble = agent.state()["troubles"].clone();
    let lost = trouble
        .as_array()
        .unwrap()
        .iter()
        .find(|one| one["code"] == "delivery_lost");
    assert_eq!(lost.unwrap()["level"], "alarm");
    let body = json!({ "destination": "pacs" });
    let foreign = agent.post("/api/deliveries/retry", "http://evil.example", &body);
    assert_eq!(foreign.0, 403);
    assert_eq!(agent.post("/api/deliveries/retry", ORIGIN, &body).0, 204);
    until(&agent, "n_delivered", 1);
    assert_eq!(receiver.taken()[0].data, data);
}

#[test]
fn whatever_a_pacs_does_each_object_is_there_in_the_end_and_what_went_wrong_is_told() {
    let cases = [
        (Behaviour::Reject(1, 1, 7), "peer_rejects_called_ae"),
        (Behaviour::Reject(1, 1, 3), "peer_rejects_calling_ae"),
        (Behaviour::Reject(2, 3, 2), "peer_busy"),
        (Behaviour::Garbage, "peer_violates_protocol"),
        (Behaviour::AbortInObject, "peer_aborts"),
        (Behaviour::WrongMessageId, "peer_violates_protocol"),
        (Behaviour::OversizedPdu, "peer_violates_protocol"),
        (Behaviour::Status(0xA701), "peer_out_of_resources"),
        (Behaviour::Status(0xC001), "peer_cannot_understand"),
        (Behaviour::Status(0x0110), "peer_status_0110"),
        (Behaviour::TakeNoClass, "peer_refuses_sop_class"),
    ];
    for (n, (behaviour, code)) in cases.into_iter().enumerate() {
        let receiver = Receiver::start(vec![behaviour.clone(), Behaviour::Take(None)]);
        let agent = delivering(&receiver);
        let (uid, data) = store(&agent, &format!("2.25.71{n}"), 1);
        until(&agent, "n_delivered", 1);
        until_error(&agent, code);
        let taken = receiver.taken();
        assert_eq!(taken.len(), 1, "{behaviour:?}");
        assert_eq!((&taken[0].sop_instance_uid, &taken[0].data), (&uid, &data));
    }
}

#[test]
fn a_pacs_that_hangs_is_given_up_in_time() {
    for behaviour in [Behaviour::Hang, Behaviour::HangAfterObject] {
        let receiver = Receiver::start(vec![behaviour, Behaviour::Take(None)]);
        let mut destination = pacs(receiver.address);
        destination.callee.patience = Duration::from_millis(200);
        let agent = TestAgent::start_with(to(destination));
        store(&agent, "2.25.720", 1);
        until_error(&agent, "peer_timeout");
        until(&agent, "n_delivered", 1);
    }
}

#[test]
fn an_object_the_pacs_cannot_bear_does_not_hold_up_the_others() {
    let receiver = Receiver::start(vec![
        Behaviour::Status(0xC000),
        Behaviour::Status(0xC000),
        Behaviour::Status(0xC000),
        Behaviour::Take(None),
    ]);
    let agent = delivering(&receiver);
    store(&agent, "2.25.721", 1);
    let one = until(&agent, "n_failed", 1);
    assert_eq!(one["reasons"][0]["code"], "peer_cannot_understand");
    let (uid, _) = store(&agent, "2.25.721", 2);
    until(&agent, "n_delivered", 1);
    assert_eq!(receiver.taken()[0].sop_instance_uid, uid);
    let body = json!({ "destination": "pacs" });
    assert_eq!(agent.post("/api/deliveries/dismiss", ORIGIN, &body).0, 204);
    until(&agent, "n_failed", 0);
}

/// An agent that got these slices of a study before it had anyone to deliver them to, and delivers now.
fn delivering_all_at_once(folder: &Path, study: &str, n_slices: u32, destination: Destination) -> TestAgent {
    let mut agent = TestAgent::start_in(folder, |_| {}).unwrap();
    for n in 1..=n_slices {
        store(&agent, study, n);
    }
    agent.stop();
    TestAgent::start_in(folder, to(destination)).unwrap()
}

#[test]
fn two_objects_the_pacs_aborts_at_do_not_hold_up_the_others_and_are_given_up_in_the_end() {
    let folder = tempfile::tempdir().unwrap();
    let receiver = Receiver::start(vec![Behaviour::AbortAt(&["2.25.730.1.1", "2.25.730.1.2"])]);
    let agent = delivering_all_at_once(folder.path(), "2.25.730", 3, pacs(receiver.address));
    until(&agent, "n_delivered", 1);
    // Each that is taken says that the peer is well, and that the others fail for a reason of their own.
    let given_up = (4..200).find(|n| {
        store(&agent, "2.25.730", *n);
        until(&agent, "n_delivered", u64::from(n - 2))["n_failed"] == 2
    });
    assert!(given_up.is_some());
    let one = until(&agent, "n_failed", 2);
    assert_eq!(one["reasons"], json!([{ "code": "peer_aborts", "n": 2 }]));
    assert_eq!(one["n_waiting"], 0);
}

#[test]
fn a_pacs_that_refuses_everything_for_a_while_has_nothing_given_up() {
    let folder = tempfile::tempdir().unwrap();
    let mut behaviours = vec![Behaviour::Status(0x0110); 20];
    behaviours.push(Behaviour::Take(None));
    let receiver = Receiver::start(behaviours);
    let agent = delivering_all_at_once(folder.path(), "2.25.731", 5, pacs(receiver.address));
    let one = until(&agent, "n_delivered", 5);
    assert_eq!(
        (&one["n_failed"], &one["failing_since_ms"]),
        (&json!(0), &json!(null))
    );
}

#[test]
fn nothing_is_delivered_again_while_its_delivery_cannot_be_recorded() {
    let folder = tempfile::tempdir().unwrap();
    let receiver = Receiver::start(vec![Behaviour::Take(None)]);
    let agent = TestAgent::start_in(folder.path(), to(pacs(receiver.address))).unwrap();
    let queue = rusqlite::Connection::open(folder.path().join("spool/deliveries.sqlite3")).unwrap();
    queue
        .execute_batch(
            "create trigger full_disk before update of state on deliveries
             begin select raise(fail, 'disk full'); end",
        )
        .unwrap();
    store(&agent, "2.25.732", 1);
    until_error(&agent, "queue_unwritable");
    store(&agent, "2.25.732", 2);
    let first = agent.state()["deliveries"][0]["last_error"]["at_ms"].clone();
    agent.until_page("it was tried again", |state| {
        (state["deliveries"][0]["last_error"]["at_ms"] != first).then_some(())
    });
    assert_eq!(receiver.taken().len(), 1);
    queue.execute_batch("drop trigger full_disk").unwrap();
    until(&agent, "n_delivered", 2);
    assert_eq!(receiver.taken().len(), 2);
}

#[test]
fn a_pacs_without_storage_commitment_gets_everything_at_once() {
    let receiver = Receiver::start(vec![Behaviour::TakeStorage]);
    let mut destination = pacs(receiver.address);
    destination.storage_commitment = true;
    destination.retry.min = Duration::from_secs(3_600);
    destination.retry.max = Duration::from_secs(3_600);
    let agent = TestAgent::start_with(to(destination));
    for n in 1..=5 {
        store(&agent, "2.25.733", n);
        until(&agent, "n_delivered", u64::from(n));
    }
    until_error(&agent, "commitment_refused");
    assert_eq!(until(&agent, "n_not_committed", 0)["n_uncommitted"], 5);
}

#[test]
fn an_object_whose_modality_cannot_be_read_is_not_lost_without_a_word() {
    for (n, code) in [(0, "damaged_in_spool"), (1, "unreadable_in_spool")] {
        let folder = tempfile::tempdir().unwrap();
        let mut agent = TestAgent::start_in(folder.path(), |_| {}).unwrap();
        store(&agent, "2.25.734", 1);
        agent.outbound(1);
        let file = agent.object_files().remove(0);
        agent.stop();
        if n == 0 {
            std::fs::write(&file, vec![0; 4096]).unwrap();
        } else {
            std::fs::remove_file(&file).unwrap();
            std::fs::create_dir(&file).unwrap();
        }
        let receiver = Receiver::start(vec![Behaviour::Take(None)]);
        let mut destination = pacs(receiver.address);
        destination.rule.modalities = Some(vec!["CT".to_owned()]);
        let agent = TestAgent::start_in(folder.path(), to(destination)).unwrap();
        let one = until(&agent, "n_failed", 1);
        assert_eq!(one["reasons"][0]["code"], code);
    }
}

#[test]
fn deliveries_go_on_after_a_restart_and_nothing_goes_twice() {
    let folder = tempfile::tempdir().unwrap();
    let receiver = Receiver::start(vec![Behaviour::Take(None)]);
    let address = receiver.address;
    let start = || TestAgent::start_in(folder.path(), to(pacs(address))).unwrap();
    let mut agent = start();
    store(&agent, "2.25.722", 1);
    until(&agent, "n_delivered", 1);
    drop(receiver);
    store(&agent, "2.25.722", 2);
    until_error(&agent, "peer_unreachable");
    agent.stop();
    let receiver = Receiver::start_at(address, vec![Behaviour::Take(None)]);
    let agent = start();
    until(&agent, "n_delivered", 2);
    assert_eq!(receiver.taken().len(), 1);
}

#[test]
fn a_lost_queue_delivers_again_what_is_in_the_spool() {
    let folder = tempfile::tempdir().unwrap();
    let receiver = Receiver::start(vec![Behaviour::Take(None)]);
    let start = || TestAgent::start_in(folder.path(), to(pacs(receiver.address))).unwrap();
    let mut agent = start();
    store(&agent, "2.25.723", 1);
    until(&agent, "n_delivered", 1);
    agent.stop();
    // A connection of a page that was just open may still have the old ones.
    for suffix in ["", "-wal", "-shm"] {
        std::fs::remove_file(folder.path().join(format!("spool/deliveries.sqlite3{suffix}"))).ok();
    }
    std::fs::write(folder.path().join("spool/deliveries.sqlite3"), b"no database").unwrap();
    let agent = start();
    until(&agent, "n_delivered", 1);
    let taken = receiver.taken();
    assert_eq!((taken.len(), &taken[0]), (2, &taken[1]));
    assert!(folder.path().join("spool/aside/deliveries.sqlite3").is_file());
}

#[test]
fn flt_005_the_same_uid_with_other_bytes_is_not_delivered_over_the_first() {
    let receiver = Receiver::start(vec![Behaviour::Take(None)]);
    let agent = delivering(&receiver);
    let (uid, mut data) = store(&agent, "2.25.724", 1);
    let last = data.len() - 1;
    data[last] ^= 1;
    store_in(&agent, EXPLICIT_LE, &uid, &data);
    let one = until(&agent, "n_withheld", 1);
    assert_eq!(one["reasons"][0]["code"], "same_uid_other_bytes");
    until(&agent, "n_delivered", 1);
    assert_eq!(receiver.taken().len(), 1);
}

#[test]
fn flt_005_held_objects_are_not_delivered_before_a_person_releases_them() {
    let receiver = Receiver::start(vec![Behaviour::Take(None)]);
    let agent = delivering(&receiver);
    for (n, patient_id) in [(1, "A"), (2, "B")] {
        let named = CtSlice {
            study_instance_uid: "2.25.725".to_owned(),
            sop_instance_uid: format!("2.25.725.{n}"),
            patient_id: patient_id.to_owned(),
            ..CtSlice::default()
        };
        let data = named
            .data_set(&TransferSyntaxUid::parse(EXPLICIT_LE).unwrap())
            .unwrap();
        store_in(&agent, EXPLICIT_LE, &named.sop_instance_uid, &data);
    }
    until(&agent, "n_delivered", 1);
    agent.until_page("the held one waits", |state| {
        let reasons = &state["deliveries"][0]["reasons"];
        (*reasons == json!([{ "code": "held_for_patient", "n": 1 }])).then_some(())
    });
    let held = agent.spool().held().remove(0);
    agent.block_on(agent.spool().release_held(&held.held_id)).unwrap();
    until(&agent, "n_delivered", 2);
}

#[test]
fn a_destination_gets_what_its_rule_names_and_nothing_of_its_own() {
    let receiver = Receiver::start(vec![Behaviour::Take(None)]);
    let mut by_title = pacs(receiver.address);
    by_title.rule.calling_ae = Some(vec![AeTitle::parse("RAWPEER").unwrap()]);
    by_title.rule.modalities = Some(vec!["CT".to_owned()]);
    let mut others = pacs(receiver.address);
    others.name = "mr".to_owned();
    others.rule.modalities = Some(vec!["MR".to_owned()]);
    let mut itself = pacs(receiver.address);
    itself.name = "itself".to_owned();
    itself.callee.ae_title = AeTitle::parse("RAWPEER").unwrap();
    let agent = TestAgent::start_with(|config| config.deliver = vec![by_title, others, itself]);
    store(&agent, "2.25.726", 1);
    until(&agent, "n_delivered", 1);
    let state = agent.state();
    for n in [1, 2] {
        let one = &state["deliveries"][n];
        assert_eq!(
            (&one["n_waiting"], &one["n_delivered"]),
            (&json!(0), &json!(0)),
            "{one}"
        );
    }
}

#[test]
fn flt_035_what_is_still_to_be_delivered_outlives_the_retention_time() {
    let receiver = Receiver::start(vec![Behaviour::Reject(1, 1, 3)]);
    let address = receiver.address;
    let folder = tempfile::tempdir().unwrap();
    let start = || {
        let change = |config: &mut Config| {
            config.spool.retention = Duration::ZERO;
            config.deliver = vec![pacs(address)];
        };
        TestAgent::start_in(folder.path(), change).unwrap()
    };
    let mut agent = start();
    store(&agent, "2.25.727", 1);
    let object = agent.outbound(1).remove(0);
    agent
        .block_on(agent.spool().record_receipt(receipt(&object)))
        .unwrap();
    until_error(&agent, "peer_rejects_calling_ae");
    // Receipted in an earlier millisecond than the retention is looked at.
    assert_eq!(agent.block_on(agent.spool().delete_expired()).unwrap(), 0);
    assert_eq!(agent.object_files().len(), 1);
    agent.stop();
    drop(receiver);
    let receiver = Receiver::start_at(address, vec![Behaviour::Take(None)]);
    let agent = start();
    until(&agent, "n_delivered", 1);
    assert_eq!(receiver.taken().len(), 1);
    agent.block_on(agent.spool().delete_expired()).unwrap();
    assert!(agent.object_files().is_empty());
}

/// Changes the last byte of the only object file.
fn damage(agent: &TestAgent) {
    let file = agent.object_files().remove(0);
    let mut bytes = std::fs::read(&file).unwrap();
    let last = bytes.len() - 1;
    bytes[last] ^= 1;
    std::fs::write(&file, bytes).unwrap();
}

#[test]
fn flt_028_bytes_that_changed_on_the_disk_never_become_an_object_at_the_pacs_and_those_sent_again_do() {
    let folder = tempfile::tempdir().unwrap();
    for (n, is_receipted) in [(0, false), (1, true)] {
        let folder = folder.path().join(n.to_string());
        let mut agent = TestAgent::start_in(&folder, |_| {}).unwrap();
        let (uid, data) = store(&agent, "2.25.728", 1);
        let object = agent.outbound(1).remove(0);
        if is_receipted {
            agent
                .block_on(agent.spool().record_receipt(receipt(&object)))
                .unwrap();
        }
        agent.stop();
        damage(&agent);
        let receiver = Receiver::start(vec![Behaviour::Take(None)]);
        let agent = TestAgent::start_in(&folder, to(pacs(receiver.address))).unwrap();
        let one = until(&agent, "n_failed", 1);
        assert_eq!(one["reasons"][0]["code"], "damaged_in_spool");
        assert!(receiver.taken().is_empty());
        store_in(&agent, EXPLICIT_LE, &uid, &data);
        let one = until(&agent, "n_delivered", 1);
        assert_eq!((&one["n_failed"], &one["n_withheld"]), (&json!(0), &json!(0)));
        assert_eq!(receiver.taken()[0].data, data);
        // The damaged copy is gone, and the study has one image as before.
        let files = agent.object_files();
        let headers = files
            .iter()
            .filter(|path| path.extension().is_some_and(|one| one == "obj"));
        assert_eq!(headers.count(), 1, "{files:?}");
        assert_eq!(agent.spool().studies()[0].instances.n_instances, 1);
    }
}
