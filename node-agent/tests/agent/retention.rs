//! When the spool may forget: after a receipt that names the object's digests, and after the retention time.

use std::time::Duration;

use tancho_agent::spool::{ObjectState, OutboundObject, Receipt, RequestForm, RequestResult, SpoolError};
use tancho_domain::ids::CommandId;
use tancho_imaging::synthetic::CtSlice;
use uuid::Uuid;

use crate::peer::{Peer, Proposal};
use crate::support::{CT, EXPLICIT_LE, TestAgent, slice};

/// The relay's receipt for an object.
pub fn receipt(object: &OutboundObject) -> Receipt {
    Receipt {
        object_id: object.object_id.clone(),
        container_sha256: object.container_sha256,
        original_sha256: object.original_sha256,
        received_at_ms: 1,
    }
}

/// Receipts an object and deletes what is expired until it is gone.
pub fn receipt_and_delete(agent: &TestAgent, object: &OutboundObject) {
    agent
        .block_on(agent.spool().record_receipt(receipt(object)))
        .unwrap();
    assert_eq!(
        agent.block_on(agent.spool().delete_expired()).unwrap(),
        0,
        "the retention time is not over"
    );
    // The test's quota is reached by the receipt's object alone, so its files must really go.
    let files = agent.object_files();
    agent
        .block_on(agent.spool().delete_receipted_before(i64::MAX))
        .unwrap();
    assert!(agent.object_files().len() < files.len());
}

#[test]
fn flt_035_only_a_receipt_with_the_right_digests_counts() {
    let agent = TestAgent::start_with(|config| config.spool.retention = Duration::ZERO);
    let mut peer = Peer::associate(agent.dimse, &Proposal::default());
    let (uid, data) = slice("2.25.20", 1);
    assert_eq!(peer.store(1, CT, &uid, &data), Some(0));
    let object = agent.outbound(1).remove(0);
    for wrong in [
        Receipt {
            container_sha256: [0; 32],
            ..receipt(&object)
        },
        Receipt {
            original_sha256: [0; 32],
            ..receipt(&object)
        },
    ] {
        let refused = agent.block_on(agent.spool().record_receipt(wrong));
        assert!(matches!(refused, Err(SpoolError::ReceiptMismatch)));
    }
    assert_eq!(agent.spool().outbound().len(), 1);
    assert_eq!(agent.block_on(agent.spool().delete_expired()).unwrap(), 0);
    agent
        .block_on(agent.spool().record_receipt(receipt(&object)))
        .unwrap();
    agent
        .block_on(agent.spool().record_receipt(receipt(&object)))
        .unwrap();
    assert!(agent.spool().outbound().is_empty());
    assert_eq!(
        agent.spool().studies()[0].tally(ObjectState::Receipted).n_objects,
        1
    );
    assert_eq!(agent.spool().counters().n_receipts, 1);
    agent
        .block_on(agent.spool().delete_receipted_before(i64::MAX))
        .unwrap();
    assert!(agent.object_files().is_empty());
    assert!(agent.spool().studies().is_empty());
}

#[test]
fn a_refused_object_stays_and_a_mismatching_container_is_made_again() {
    let agent = TestAgent::start();
    let mut peer = Peer::associate(agent.dimse, &Proposal::default());
    let (uid, data) = slice("2.25.21", 1);
    assert_eq!(peer.store(1, CT, &uid, &data), Some(0));
    let object = agent.outbound(1).remove(0);
    agent
        .block_on(
            agent
                .spool()
                .record_refusal(&object.object_id, "container_mismatch", "again"),
        )
        .unwrap();
    let again = agent.outbound(1).remove(0);
    assert_eq!(again.object_id, object.object_id);
    agent
        .block_on(
            agent
                .spool()
                .record_refusal(&object.object_id, "site_disabled", "no"),
        )
        .unwrap();
    assert!(agent.spool().outbound().is_empty());
    assert_eq!(
        agent.spool().studies()[0].tally(ObjectState::Refused).n_objects,
        1
    );
    assert_eq!(agent.object_files().len(), 1);
    assert_eq!(peer.store(1, CT, &uid, &data), Some(0));
    let sent_again = agent.outbound(1).remove(0);
    assert_eq!(sent_again.object_id, object.object_id);
    assert_eq!(
        agent.spool().studies()[0].tally(ObjectState::Refused).n_objects,
        0
    );
    assert_eq!(agent.object_files().len(), 1, "and no second copy");
}

#[test]
fn a_request_form_waits_for_its_answer_over_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let mut agent = TestAgent::start_in(folder.path(), |_| {}).unwrap();
    let form = RequestForm {
        command_id: CommandId::new(Uuid::from_u128(77)),
        study_instance_uid: "2.25.22".to_owned().try_into().unwrap(),
        urgency: "critical".to_owned(),
        clinical_context: serde_json::json!({ "clinical_question": "出血?" }),
        callback_number: "0154-22-1111".to_owned(),
        callback_person: None,
        responsible_physician: None,
        created_at_ms: 5,
    };
    for _ in 0..2 {
        agent.block_on(agent.spool().add_request(form.clone())).unwrap();
    }
    agent.stop();
    let mut agent = TestAgent::start_in(folder.path(), |_| {}).unwrap();
    assert_eq!(agent.spool().pending_requests(), std::slice::from_ref(&form));
    let accepted = RequestResult::Accepted {
        reading_request_id: "r".to_owned(),
        case_code: "4711".to_owned(),
    };
    agent
        .block_on(
            agent
                .spool()
                .record_request_result(&form.command_id, accepted.clone()),
        )
        .unwrap();
    assert!(agent.spool().pending_requests().is_empty());
    agent.stop();
    let agent = TestAgent::start_in(folder.path(), |_| {}).unwrap();
    assert!(agent.spool().pending_requests().is_empty());
    assert_eq!(agent.spool().requests()[0].result, Some(accepted));
    assert!(agent.names("requests").is_empty());
}

fn store(agent: &TestAgent, uid: &str, data: &[u8]) {
    let mut peer = Peer::associate(agent.dimse, &Proposal::default());
    assert_eq!(peer.store(1, CT, uid, data), Some(0));
    peer.release();
}

/// Spools instances of a study, has the relay receipt them and deletes them; gives what went to the relay.
pub fn deliver_and_delete(agent: &TestAgent, study: &str, n: u32) -> Vec<OutboundObject> {
    for i in 1..=n {
        let (uid, data) = slice(study, i);
        store(agent, &uid, &data);
    }
    let objects = agent.outbound(n as usize);
    for object in &objects {
        agent
            .block_on(agent.spool().record_receipt(receipt(object)))
            .unwrap();
    }
    agent
        .block_on(agent.spool().delete_receipted_before(i64::MAX))
        .unwrap();
    assert!(agent.spool().studies().is_empty() && agent.object_files().is_empty());
    objects
}

/// Instances and bytes of the one manifest.
fn manifest(agent: &TestAgent) -> (u64, u64) {
    let manifests = agent.spool().study_manifests();
    assert_eq!(manifests.len(), 1);
    (manifests[0].n_instances, manifests[0].n_bytes_original)
}

#[test]
fn late_images_are_counted_with_those_that_were_delivered_and_deleted() {
    let folder = tempfile::tempdir().unwrap();
    let mut agent = TestAgent::start_in(folder.path(), |_| {}).unwrap();
    let delivered = deliver_and_delete(&agent, "2.25.23", 3);
    let (late, late_data) = slice("2.25.23", 4);
    store(&agent, &late, &late_data);
    let bytes = delivered.iter().map(|object| object.original_len).sum::<u64>() + late_data.len() as u64;
    assert_eq!(manifest(&agent), (4, bytes), "the relay has three of these four");
    agent.stop();

    let agent = TestAgent::start_in(folder.path(), |_| {}).unwrap();
    assert_eq!(manifest(&agent), (4, bytes), "and after a restart");
    // Sent again: it is offered again, with another dictionary perhaps.
    let (uid, data) = slice("2.25.23", 1);
    store(&agent, &uid, &data);
    let offered = agent.outbound(2);
    assert!(
        offered
            .iter()
            .any(|object| object.original_sha256 == delivered[0].original_sha256)
    );
    assert_eq!(manifest(&agent), (4, bytes));
    assert_eq!(
        agent.spool().counters().n_revisions,
        0,
        "the same bytes are no conflict"
    );
    let (uid, mut other) = slice("2.25.23", 2);
    let last = other.len() - 1;
    other[last] ^= 0x40;
    store(&agent, &uid, &other);
    assert_eq!(manifest(&agent), (4, bytes));
    assert_eq!(
        agent.spool().counters().n_revisions,
        1,
        "other bytes are a conflict"
    );
}

#[test]
fn a_study_is_remembered_while_something_of_it_is_here_and_then_as_long_as_is_set() {
    let agent = TestAgent::start();
    deliver_and_delete(&agent, "2.25.24", 2);
    let (uid, data) = slice("2.25.24", 3);
    store(&agent, &uid, &data);
    let forget = |before_ms| {
        agent
            .block_on(agent.spool().forget_delivered_before(before_ms))
            .unwrap()
    };
    assert_eq!(forget(i64::MAX), 0, "one of its images is still here");
    assert_eq!(manifest(&agent).0, 3);
    let object = agent.outbound(1).remove(0);
    agent
        .block_on(agent.spool().record_receipt(receipt(&object)))
        .unwrap();
    agent
        .block_on(agent.spool().delete_receipted_before(i64::MAX))
        .unwrap();
    assert_eq!(forget(0), 0, "its time is not over");
    assert_eq!(forget(i64::MAX), 1);
    store(&agent, &uid, &data);
    assert_eq!(manifest(&agent).0, 1, "nothing is known of the others any more");
}

#[test]
fn an_image_damaged_here_still_counts_and_its_second_revision_does_not_hide_it() {
    let agent = TestAgent::start();
    let (uid, first) = slice("2.25.25", 1);
    store(&agent, &uid, &first);
    let object = agent.outbound(1).remove(0);
    std::fs::write(&agent.object_files()[0], b"rot").unwrap();
    let again = agent
        .spool()
        .record_refusal(&object.object_id, "container_mismatch", "");
    agent.block_on(again).unwrap();
    agent.until("the damage is seen", |spool| {
        (spool.counters().n_damaged == 1).then_some(())
    });
    let counted = (1, first.len() as u64);
    assert_eq!(
        manifest(&agent),
        counted,
        "the relay must not call the study complete"
    );
    let mut second = first.clone();
    let last = second.len() - 1;
    second[last] ^= 0x40;
    store(&agent, &uid, &second);
    agent.outbound(1);
    assert_eq!(manifest(&agent), counted, "one SOP Instance UID");
    store(&agent, &uid, &first);
    agent.outbound(2);
    assert_eq!(manifest(&agent), counted);
    assert_eq!(agent.spool().studies()[0].n_revisions, 1);
}

#[test]
fn a_held_image_counts_from_its_release_and_opens_the_study_again() {
    let agent = TestAgent::start();
    let (uid, data) = slice("2.25.26", 1);
    store(&agent, &uid, &data);
    let other_patient = CtSlice {
        study_instance_uid: "2.25.26".to_owned(),
        sop_instance_uid: "2.25.26.1.2".to_owned(),
        patient_id: "TEST-2".to_owned(),
        ..CtSlice::default()
    };
    let transfer_syntax = EXPLICIT_LE.to_owned().try_into().unwrap();
    let held = other_patient.data_set(&transfer_syntax).unwrap();
    store(&agent, &other_patient.sop_instance_uid, &held);
    assert_eq!(manifest(&agent).0, 1);
    agent.block_on(agent.spool().close_study("2.25.26")).unwrap();
    let closed = agent.spool().study_manifests().remove(0);
    let held_id = agent.spool().held().remove(0).held_id;
    agent.block_on(agent.spool().release_held(&held_id)).unwrap();
    let open = agent.spool().study_manifests().remove(0);
    assert_eq!((open.n_instances, open.closed), (2, false));
    assert!(open.generation > closed.generation);
    let nothing_held = agent.block_on(agent.spool().release_held(&held_id));
    assert!(matches!(nothing_held, Err(SpoolError::NotFound)));
}
