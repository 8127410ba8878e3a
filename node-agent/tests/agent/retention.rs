//! When the spool may forget: after a receipt that names the object's digests, and after the retention time.

use std::time::Duration;

use tancho_agent::spool::{ObjectState, OutboundObject, Receipt, RequestForm, RequestResult, SpoolError};
use tancho_domain::ids::CommandId;
use uuid::Uuid;

use crate::peer::{Peer, Proposal};
use crate::support::{CT, TestAgent, slice};

fn receipt(object: &OutboundObject) -> Receipt {
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
