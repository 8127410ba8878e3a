use std::slice;
use std::time::Duration;

use tancho_domain::dicom::{AeTitle, Priority};
use tempfile::TempDir;
use uuid::Uuid;

use super::*;
use crate::deliver::{Retry, Rule};
use crate::dimse::requestor::Callee;
use crate::spool::ObjectState;

pub(in crate::deliver) fn queue() -> (TempDir, Queue) {
    let folder = tempfile::tempdir().unwrap();
    let queue = Queue::open(&folder.path().join("queue.sqlite3"), &folder.path().join("aside")).unwrap();
    (folder, queue)
}

/// A destination that commits.
pub(in crate::deliver) fn committing() -> Destination {
    Destination {
        name: "pacs".to_owned(),
        callee: Callee {
            address: "192.0.2.9:104".to_owned(),
            ae_title: AeTitle::parse("PACS").unwrap(),
            calling_ae: AeTitle::parse("TANCHO").unwrap(),
            patience: Duration::from_secs(1),
        },
        rule: Rule::default(),
        storage_commitment: true,
        commitment_timeout: Duration::from_secs(1),
        retry: Retry::default(),
    }
}

fn object(n: u128) -> OnwardObject {
    OnwardObject {
        seq: 1,
        object_id: ObjectId::new(Uuid::from_u128(n + 1)),
        folder: 1,
        study_instance_uid: "1.2".to_owned(),
        series_instance_uid: "1.3".to_owned(),
        sop_instance_uid: format!("1.4.{n}"),
        sop_class_uid: "1.2.840.10008.5.1.4.1.1.2".to_owned(),
        transfer_syntax: "1.2.840.10008.1.2.1".to_owned(),
        calling_ae: "CT1".to_owned(),
        called_ae: "TANCHO".to_owned(),
        priority: Priority::Routine,
        received_at_ms: 1,
        original_len: 10,
        original_sha256: [0; 32],
        revision: 1,
        state: ObjectState::Stored,
    }
}

/// Puts objects into the queue and has everything due delivered.
pub(super) fn delivered(queue: &Queue, destination: &Destination, n_objects: u128) {
    for n in 0..n_objects {
        queue.add(&[(destination, &object(n))]).unwrap();
    }
    let due = queue.due(&destination.name, (i64::MAX, i64::MAX), 1_000).unwrap();
    assert!(!due.is_empty());
    let outcome = Outcome::Delivered {
        code: None,
        is_to_be_committed: destination.storage_commitment,
    };
    let outcomes: Vec<_> = due.iter().map(|one| (one.delivery_id, outcome.clone())).collect();
    queue.settle(&outcomes, 2).unwrap();
}

#[test]
fn an_object_is_queued_once_and_wanted_until_it_is_settled() {
    let (_folder, queue) = queue();
    let destination = committing();
    let (first, second) = (object(1), object(2));
    assert_eq!(
        queue
            .add(&[(&destination, &first), (&destination, &second)])
            .unwrap(),
        2
    );
    assert_eq!(queue.add(&[(&destination, &first)]).unwrap(), 0);
    let ids = [first.object_id.clone(), second.object_id.clone()];
    assert_eq!(queue.wanted(&ids).unwrap(), ids);
    let due = queue.due("pacs", (0, 100), 10).unwrap();
    assert_eq!(due.len(), 2);
    let later = Outcome::Later {
        code: "peer_aborts".to_owned(),
        at_ms: 50,
        is_tried: true,
        counts: true,
    };
    queue
        .settle(
            &[(due[0].delivery_id, later), (due[1].delivery_id, Outcome::Gone)],
            1,
        )
        .unwrap();
    assert_eq!(queue.due("pacs", (49, 100), 10).unwrap(), []);
    assert_eq!(queue.next_due_ms("pacs").unwrap(), Some(50));
    assert_eq!(queue.due("pacs", (50, 100), 10).unwrap()[0].n_tries, 1);
    assert_eq!(queue.wanted(&ids).unwrap(), ids[..1]);
    let figures = queue.figures("pacs").unwrap();
    assert_eq!(
        (figures.n_waiting, figures.bytes_waiting, figures.n_gone),
        (1, 10, 1)
    );
    // What is gone stays on the list until a person takes it off; then it may be forgotten.
    assert_eq!(queue.list_settled("", 10).unwrap(), []);
    queue.dismiss("pacs").unwrap();
    assert_eq!(queue.list_settled("", 10).unwrap(), ids[1..]);
    queue.forget_objects(&ids[1..]).unwrap();
    queue.forget_others(&["another"]).unwrap();
    assert_eq!(queue.figures("pacs").unwrap(), Figures::default());
}

#[test]
fn a_queue_of_another_version_is_put_aside() {
    for version in [VERSION - 1, 1000] {
        let (folder, queue) = queue();
        queue.db().pragma_update(None, "user_version", version).unwrap();
        drop(queue);
        let aside = folder.path().join("aside");
        Queue::open(&folder.path().join("queue.sqlite3"), &aside).unwrap();
        assert!(aside.join("queue.sqlite3").is_file());
    }
}

/// The object `object(n)` in its `revision`th version, as it came under an identifier.
fn version(n: u128, revision: u8, id: u128) -> OnwardObject {
    OnwardObject {
        object_id: ObjectId::new(Uuid::from_u128(id)),
        original_sha256: [revision; 32],
        revision: u64::from(revision),
        ..object(n)
    }
}

fn settle(queue: &Queue, outcome: &Outcome) {
    let due = queue.due("pacs", (0, 100), 10).unwrap();
    let outcomes: Vec<_> = due.iter().map(|one| (one.delivery_id, outcome.clone())).collect();
    queue.settle(&outcomes, 1).unwrap();
}

fn given_up() -> Outcome {
    Outcome::Failed {
        code: "damaged_in_spool".to_owned(),
    }
}

fn due(queue: &Queue) -> Vec<ObjectId> {
    let due = queue.due("pacs", (0, 100), 10).unwrap();
    due.into_iter().map(|one| one.object_id).collect()
}

#[test]
fn the_same_bytes_that_come_again_take_the_place_of_those_that_were_given_up_or_deleted() {
    for outcome in [given_up(), Outcome::Gone] {
        for is_dismissed in [false, true] {
            let (_folder, queue) = queue();
            let destination = committing();
            queue.add(&[(&destination, &version(1, 1, 100))]).unwrap();
            settle(&queue, &outcome);
            if is_dismissed {
                queue.dismiss("pacs").unwrap();
            }
            let again = version(1, 1, 101);
            assert_eq!(queue.add(&[(&destination, &again)]).unwrap(), 1);
            assert_eq!(due(&queue), slice::from_ref(&again.object_id));
            assert_eq!(queue.figures("pacs").unwrap().n_lost(), 0);
        }
    }
    // What the peer has it keeps.
    let (_folder, queue) = queue();
    delivered(&queue, &committing(), 1);
    let again = OnwardObject {
        object_id: ObjectId::new(Uuid::from_u128(77)),
        ..object(0)
    };
    queue.add(&[(&committing(), &again)]).unwrap();
    assert_eq!(due(&queue), []);
    assert_eq!(queue.figures("pacs").unwrap().n_uncommitted, 1);
}

#[test]
fn what_was_withheld_goes_once_the_other_version_does_not_and_a_person_is_told_until_then() {
    for outcome in [given_up(), Outcome::Gone] {
        let (_folder, queue) = queue();
        let destination = committing();
        let corrected = version(1, 3, 102);
        for one in [&version(1, 1, 100), &version(1, 2, 101), &corrected] {
            queue.add(&[(&destination, one)]).unwrap();
        }
        let figures = queue.figures("pacs").unwrap();
        assert_eq!((figures.n_waiting, figures.n_lost()), (1, 2));
        assert_eq!(figures.reason_lost.as_deref(), Some("same_uid_other_bytes"));
        settle(&queue, &outcome);
        // Of two the last that came.
        assert_eq!(due(&queue), slice::from_ref(&corrected.object_id));
    }
    for is_dismissed in [false, true] {
        let (_folder, queue) = queue();
        let destination = committing();
        queue.add(&[(&destination, &version(1, 1, 100))]).unwrap();
        settle(&queue, &given_up());
        if is_dismissed {
            queue.dismiss("pacs").unwrap();
        }
        let corrected = version(1, 2, 101);
        queue.add(&[(&destination, &corrected)]).unwrap();
        assert_eq!(due(&queue), slice::from_ref(&corrected.object_id));
    }
}

#[test]
fn trying_again_sends_nothing_over_other_bytes_that_the_peer_has() {
    let (_folder, queue) = queue();
    let destination = committing();
    let first = version(1, 1, 100);
    queue.add(&[(&destination, &first)]).unwrap();
    settle(&queue, &given_up());
    queue.add(&[(&destination, &version(1, 2, 101))]).unwrap();
    let delivered = Outcome::Delivered {
        code: None,
        is_to_be_committed: false,
    };
    settle(&queue, &delivered);
    assert_eq!(queue.try_again("pacs").unwrap(), 0);
    assert_eq!(due(&queue), []);
    let figures = queue.figures("pacs").unwrap();
    assert_eq!(
        (figures.n_withheld, figures.n_failed, figures.n_delivered),
        (1, 0, 1)
    );
    // Both are remembered until a person takes the withheld one off the list, and its file is kept.
    assert_eq!(queue.list_settled("", 10).unwrap(), []);
    let wanted = slice::from_ref(&first.object_id);
    assert_eq!(queue.wanted(wanted).unwrap(), wanted);
    assert_eq!(queue.dismiss("pacs").unwrap(), 1);
    assert_eq!(queue.figures("pacs").unwrap().n_lost(), 0);
    assert_eq!(queue.list_settled("", 10).unwrap().len(), 2);
}

#[test]
fn what_failed_goes_behind_what_did_not_and_a_clock_that_went_wrong_holds_nothing_back() {
    let (_folder, queue) = queue();
    let destination = committing();
    queue
        .add(&[(&destination, &object(1)), (&destination, &object(2))])
        .unwrap();
    let later = |at_ms| Outcome::Later {
        code: "peer_aborts".to_owned(),
        at_ms,
        is_tried: true,
        counts: false,
    };
    let first = queue.due("pacs", (0, 100), 1).unwrap();
    queue.settle(&[(first[0].delivery_id, later(50))], 0).unwrap();
    let order: Vec<u32> = queue
        .due("pacs", (50, 100), 10)
        .unwrap()
        .iter()
        .map(|one| one.n_tries)
        .collect();
    assert_eq!(order, [0, 1]);
    queue
        .settle(&[(first[0].delivery_id, later(1_000_000))], 0)
        .unwrap();
    assert_eq!(queue.due("pacs", (50, 1_000_000), 10).unwrap().len(), 1);
    assert_eq!(queue.due("pacs", (50, 999_999), 10).unwrap().len(), 2);
}

#[test]
fn an_instance_is_committed_when_the_version_that_came_last_is() {
    let (_folder, queue) = queue();
    let destination = committing();
    let (first, second) = (version(1, 1, 100), version(1, 2, 101));
    let reference = crate::dimse::commitment::Reference {
        sop_class_uid: first.sop_class_uid.clone(),
        sop_instance_uid: first.sop_instance_uid.clone(),
    };
    let standing = || queue.standing(&["pacs"], &reference).unwrap();
    queue.add(&[(&destination, &first)]).unwrap();
    queue
        .db()
        .execute("update deliveries set state = 'committed'", [])
        .unwrap();
    assert_eq!(standing(), PromiseStanding::Committed);
    queue.add(&[(&destination, &second)]).unwrap();
    assert_eq!(standing(), PromiseStanding::Failed, "the new bytes are withheld");
    let all = "update deliveries set state = iif(object_id = ?1, 'failed', 'committed')";
    queue
        .db()
        .execute(all, params![first.object_id.as_str()])
        .unwrap();
    assert_eq!(standing(), PromiseStanding::Committed);
}

#[test]
fn an_answered_promise_keeps_no_instances() {
    let (_folder, queue) = queue();
    let promise = Promise {
        calling_ae: "CT1".to_owned(),
        transaction_uid: "2.25.1".to_owned(),
        asked_at_ms: 1,
        references: vec![crate::dimse::commitment::Reference {
            sop_class_uid: "1.2".to_owned(),
            sop_instance_uid: "1.3".to_owned(),
        }],
        n_tries: 0,
    };
    assert!(queue.promise(&promise).unwrap());
    queue.postpone_promise(&promise, None, 1_000).unwrap();
    assert_eq!(queue.due_promises((500, 1_000), 10).unwrap(), []);
    assert_eq!(
        queue.due_promises((500, 999), 10).unwrap(),
        slice::from_ref(&promise)
    );
    queue.keep_promise(&promise, 2).unwrap();
    let kept: String = queue
        .db()
        .query_row("select instances from promises", [], |row| row.get(0))
        .unwrap();
    assert_eq!(kept, "[]");
}

#[test]
fn what_was_given_up_is_kept_until_a_person_decides() {
    let (_folder, queue) = queue();
    queue.add(&[(&committing(), &object(1))]).unwrap();
    settle(&queue, &given_up());
    let ids = [object(1).object_id];
    assert_eq!(queue.wanted(&ids).unwrap(), ids);
    queue.dismiss("pacs").unwrap();
    assert_eq!(queue.wanted(&ids).unwrap(), []);
}
