use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::disposition::Disposition;
use crate::findings::Answers;

pub(crate) fn attempt(number: &str, role: CalleeRole, at_ms: i64) -> NewAttempt {
    NewAttempt {
        number_dialed: number.to_owned(),
        callee_role: role,
        callee_name: None,
        channel: Channel::Landline,
        started_at_ms: at_ms,
    }
}

pub(crate) fn end(outcome: Outcome, at_ms: i64) -> AttemptEnd {
    AttemptEnd {
        outcome,
        failure_reason: None,
        next_action: Some(NextAction::Redial),
        ended_at_ms: at_ms,
    }
}

pub(crate) fn conversation() -> Conversation {
    let party = |name: &str, role: &str| Party {
        name: name.to_owned(),
        facility: "中標津".to_owned(),
        role: role.to_owned(),
        number: None,
    };
    Conversation {
        parties: vec![party("読影 一郎", "reader"), party("主治 花子", "attending")],
        identity_confirmed: Some(Identity::RegisteredNumber),
        patient_identified_by: vec!["name".to_owned(), "birth_date".to_owned()],
        state_told: Answers::from_iter([("jcs".to_owned(), json!("II-20"))]),
        state_assessed_at_ms: Some(0),
        images_not_viewed_reason: Some("line down".to_owned()),
        findings_conveyed: Some(Conveyed {
            text: "被殻出血".to_owned(),
            criticality: Some(Criticality::Red),
        }),
        agreed_plan: Some(Plan {
            text: "転送".to_owned(),
            ..Plan::default()
        }),
        readback_text: Some("左被殻出血、転送".to_owned()),
        readback_ok: Some(true),
        ..Conversation::default()
    }
}

pub(crate) fn closed_with_readback(at_ms: i64) -> CallRecord {
    let mut call = CallRecord::begin(Direction::ReaderToReferrer, at_ms);
    call.start_attempt(attempt("0154-12-3456", CalleeRole::Attending, at_ms), at_ms)
        .expect("dialled");
    call.end_attempt(1, &end(Outcome::Connected, at_ms + 1), at_ms + 1)
        .expect("connected");
    call.put_conversation(conversation()).expect("written");
    call.close(Criticality::Red, &[], at_ms + 2).expect("closed");
    call
}

pub(crate) fn closed_with_exception(at_ms: i64, dials: &[(&str, CalleeRole)]) -> CallRecord {
    let mut call = CallRecord::begin(Direction::ReaderToReferrer, at_ms);
    for (position, (number, role)) in dials.iter().enumerate() {
        let at_ms = at_ms + position as i64;
        let no = call
            .start_attempt(attempt(number, *role, at_ms), at_ms)
            .expect("dialled");
        call.end_attempt(no, &end(Outcome::NoAnswer, at_ms), at_ms)
            .expect("ended");
    }
    let why = Escalation {
        who: "部長".to_owned(),
        role: "head".to_owned(),
        why: "nobody answers".to_owned(),
        at_ms,
    };
    call.escalate(why).expect("escalated");
    let delivery = AlternativeDelivery {
        kind: AlternativeKind::Fax,
        to: "0154-99-9999".to_owned(),
        sent_at_ms: at_ms,
        receipt_text: "received by ward".to_owned(),
        receipt_at_ms: at_ms + 10,
    };
    call.deliver_otherwise(delivery, at_ms + 10).expect("delivered");
    call.close(Criticality::None, &[], at_ms + 11).expect("closed");
    call
}

#[test]
fn a_call_with_readback_closes_and_never_changes_again() {
    let mut call = closed_with_readback(1_000);
    assert_eq!(call.state, CallState::Closed);
    let before = call.clone();
    assert_eq!(call.put_conversation(conversation()), Err(CallRefusal::Closed));
    assert_eq!(
        call.start_attempt(attempt("1", CalleeRole::Nurse, 1), 9_999),
        Err(CallRefusal::Closed)
    );
    assert_eq!(
        call.close(Criticality::None, &[], 9_999),
        Err(CallRefusal::Closed)
    );
    assert_eq!(call, before);
    let addendum = CallAddendum {
        text: "時刻訂正".to_owned(),
        corrects_fields: vec!["parties".to_owned()],
        at_ms: 2_000,
    };
    assert_eq!(call.add(addendum), Ok(()));
    assert_eq!(call.conversation, before.conversation);
}

#[test]
fn a_call_runs_from_the_answer_to_the_close() {
    let mut call = CallRecord::begin(Direction::ReaderToReferrer, 11);
    assert_eq!(call.dialed_at_ms(), None);
    call.start_attempt(attempt("1", CalleeRole::Attending, 13), 13)
        .expect("dialled");
    call.end_attempt(1, &end(Outcome::NoAnswer, 14), 14)
        .expect("nobody");
    assert_eq!((call.dialed_at_ms(), call.connected_at_ms()), (Some(13), None));
    call.start_attempt(attempt("2", CalleeRole::Attending, 15), 15)
        .expect("dialled");
    call.end_attempt(2, &end(Outcome::Connected, 16), 16)
        .expect("connected");
    call.put_conversation(conversation()).expect("said");
    assert_eq!((call.connected_at_ms(), call.ended_at_ms()), (Some(16), None));
    call.close(Criticality::Red, &[], 26).expect("closed");
    assert_eq!(
        (call.dialed_at_ms(), call.connected_at_ms(), call.ended_at_ms()),
        (Some(13), Some(16), Some(26))
    );
}

#[test]
fn everything_missing_is_named_at_once() {
    let mut call = CallRecord::begin(Direction::ReaderToReferrer, 0);
    assert_eq!(
        call.close(Criticality::None, &[], 0),
        Err(CallRefusal::WrongState(CallState::Draft))
    );
    call.start_attempt(attempt("0154", CalleeRole::Attending, 0), 0)
        .expect("dialled");
    assert_eq!(
        call.close(Criticality::None, &[], 0),
        Err(CallRefusal::AttemptOpen)
    );
    call.end_attempt(1, &end(Outcome::Connected, 1), 1)
        .expect("connected");
    let expected = [
        "parties",
        "identity_confirmed",
        "patient_identified_by",
        "state_told",
        "state_assessed_at_ms",
        "images_viewed",
        "findings_conveyed",
        "agreed_plan",
        "readback_text",
        "readback_ok",
        "late_entry_reason",
    ];
    let late_ms = LATE_ENTRY_MS + 2;
    assert_eq!(
        call.close(Criticality::Red, &[], late_ms),
        Err(CallRefusal::Missing(expected.to_vec()))
    );
    let mut said = conversation();
    said.readback_ok = Some(false);
    said.agreed_plan = Some(Plan {
        dispositions: ["transfer_requested", "observe_local"]
            .map(Disposition::named)
            .to_vec(),
        ..Plan::default()
    });
    call.put_conversation(said.clone()).expect("written");
    assert_eq!(call.state, CallState::ReadbackMismatch);
    let expected = ["uncertainty", "family_informed", "next_contact_at_ms"];
    assert_eq!(
        call.close(Criticality::None, &[], 2),
        Err(CallRefusal::Missing(expected.to_vec()))
    );
    said.uncertainty = Some("side unclear".to_owned());
    said.family_informed = Some(FamilyInformed::NotYet);
    said.next_contact_at_ms = Some(5);
    call.put_conversation(said).expect("written");
    assert_eq!(call.close(Criticality::Red, &[], 2), Ok(()));
}

#[test]
fn nobody_answers() {
    let dials = [("0154-1", CalleeRole::Attending); 3];
    let call = closed_with_exception(0, &dials);
    assert_eq!(call.state, CallState::ClosedWithException);
    assert_eq!(
        call.attempts[0].failure_reason,
        Some(FailureReason::RecipientUnavailable)
    );
    let mut call = CallRecord::begin(Direction::ReaderToReferrer, 0);
    let why = Escalation {
        who: "x".to_owned(),
        role: "x".to_owned(),
        why: " ".to_owned(),
        at_ms: 0,
    };
    assert_eq!(
        call.escalate(why.clone()),
        Err(CallRefusal::WrongState(CallState::Draft))
    );
    call.start_attempt(attempt("1", CalleeRole::Nurse, 0), 0)
        .expect("dialled");
    let mut undecided = end(Outcome::Busy, 0);
    undecided.next_action = None;
    call.end_attempt(1, &undecided, 0).expect("ended");
    assert_eq!(
        call.put_conversation(conversation()),
        Err(CallRefusal::WrongState(CallState::Attempted))
    );
    assert_eq!(
        call.escalate(why),
        Err(CallRefusal::Missing(vec!["why", "attempts.next_action"]))
    );
    assert_eq!(
        call.close(Criticality::None, &[], 0),
        Err(CallRefusal::FailureNotDocumented(vec![
            "escalation",
            "alternative_delivery"
        ]))
    );
}

/// A record that went another way after these dials, not closed yet.
fn delivered_otherwise(dials: &[(&str, CalleeRole)]) -> CallRecord {
    let mut call = closed_with_exception(0, dials);
    call.state = CallState::AlternativeDelivered;
    call.closed_at_ms = None;
    call
}

#[test]
fn a_red_finding_that_reached_nobody_is_not_closed_into_a_dead_end() {
    use CalleeRole::{Attending, OnCall};
    let one_number = [
        ("0154-1", Attending),
        ("0154-1", Attending),
        ("0154-1", Attending),
    ];
    let mut call = delivered_otherwise(&one_number);
    let missing = |names: &[&'static str]| Err(CallRefusal::FailureNotDocumented(names.to_vec()));
    assert_eq!(
        call.close(Criticality::Red, &[], 20),
        missing(&["numbers_or_roles"])
    );
    assert_eq!(call.state, CallState::AlternativeDelivered, "nothing has changed");
    assert_eq!(
        delivered_otherwise(&one_number[..1]).close(Criticality::Red, &[], 20),
        missing(&["failed_attempts", "numbers_or_roles"])
    );
    // It may be dialled on in the same record, also after the delivery.
    let no = call
        .start_attempt(attempt("0154-2", OnCall, 21), 21)
        .expect("dialled");
    call.end_attempt(no, &end(Outcome::NoAnswer, 22), 22)
        .expect("nobody");
    assert_eq!(call.close(Criticality::Red, &[], 23), Ok(()));
    assert_eq!(call.state, CallState::ClosedWithException);
    // Less severe findings have other ways.
    assert_eq!(
        delivered_otherwise(&one_number).close(Criticality::Orange, &[], 20),
        Ok(())
    );
}

#[test]
fn what_other_records_of_the_case_have_counts_at_the_close() {
    use CalleeRole::{Attending, OnCall};
    let earlier = closed_with_exception(0, &[("0154-1", Attending), ("0154-1", Attending)]);
    let mut second = delivered_otherwise(&[("0154-2", OnCall)]);
    assert!(second.clone().close(Criticality::Red, &[], 20).is_err());
    assert_eq!(
        second.close(Criticality::Red, std::slice::from_ref(&earlier), 20),
        Ok(())
    );
    let told = closed_with_readback(0);
    assert_eq!(
        delivered_otherwise(&[("0154-2", OnCall)]).close(Criticality::Red, &[told], 20),
        Ok(()),
        "someone was told already"
    );
}

#[test]
fn what_is_told_on_the_phone_has_the_ranges_of_the_form() {
    let told = json!({"sbp": 400, "gcs_e": 3, "clinical_question": "x"})
        .as_object()
        .expect("object")
        .clone();
    let checked = check_told(&told, 0);
    let codes: Vec<_> = checked
        .problems
        .iter()
        .map(|problem| (problem.field.as_str(), problem.code))
        .collect();
    assert_eq!(
        codes,
        [("sbp", "out_of_range"), ("clinical_question", "unknown_field")]
    );
    assert_eq!(checked.answers["gcs_e"], "3");
    let known = crate::findings::context_definition();
    assert!(TOLD_FIELDS.iter().all(|id| known.field(id).is_some()));
}

#[test]
fn a_conversation_is_read_in_short_and_long_forms() {
    let read =
        |value: serde_json::Value| Conversation::read(value.as_object().expect("object"), 1_800_000_000_000);
    let short = read(json!({
        "parties": [{"name": "読影 一", "facility": "読影センター", "role": "reader"},
                    {"name": "北 健二", "facility": "道東診療所", "role": "attending", "number": "0153-00-1111"}],
        "identity_confirmed": "registered_number", "patient_identified_by": ["name", "birth_date"],
        "state_told": {"jcs": "II-20", "sbp": 196, "dbp": 104}, "state_assessed_at_ms": 1_769_102_000_000_i64,
        "images_not_viewed_reason": "相手施設に画面なし", "findings_conveyed": "左被殻出血 30 mL",
        "agreed_plan": "降圧、救急車で転院", "readback_text": "左被殻 30", "readback_ok": true}));
    assert_eq!(short.expect("read").missing(Criticality::Red), Vec::<&str>::new());
    let long = read(json!({
        "identity_confirmed": true, "findings_conveyed": {"text": "x", "criticality": "crit_red"},
        "images_viewed": [{"series_instance_uid": "1.2", "sop_instance_uid": "1.3", "frame": 2, "both_viewing": true}],
        "agreed_plan": {"dispositions": ["transfer_requested", {"code": "observe_local", "interval_h": 2}], "who": "北"},
        "family_informed": {"state": "done", "by": "北"}, "questions_answers": [{"q": "a", "a": "b"}],
        "others_informed": [{"name": "救急", "role": "ambulance"}], "readback_text": ""}));
    let long = long.expect("read");
    assert_eq!(
        long.agreed_plan.expect("plan").dispositions[1].fields["interval_h"],
        2
    );
    assert_eq!(
        long.findings_conveyed.expect("told").criticality,
        Some(Criticality::Red)
    );
    assert_eq!((long.images_viewed[0].frame, long.readback_text), (2, None));
    let wrong = read(json!({
        "dose": 1, "parties": "me", "identity_confirmed": "by face", "state_told": {"sbp": 400},
        "agreed_plan": ["cure"], "state_assessed_at_ms": 1_900_000_000_000_i64,
        "images_viewed": [{"series_instance_uid": "../x", "sop_instance_uid": "1"}]}));
    let fields: Vec<_> = wrong
        .expect_err("refused")
        .into_iter()
        .map(|problem| problem.field)
        .collect();
    let expected = [
        "dose",
        "parties",
        "identity_confirmed",
        "state_told.sbp",
        "state_assessed_at_ms",
        "images_viewed",
        "agreed_plan",
    ];
    assert_eq!(fields, expected);
}

proptest! {
    /// Whatever is pressed in whatever order: a closed record has what it must have and stays as it is.
    #[test]
    fn a_closed_record_is_complete_and_frozen(steps in proptest::collection::vec(0..9u8, 1..40)) {
        let mut call = CallRecord::begin(Direction::ReaderToReferrer, 0);
        let mut frozen: Option<CallRecord> = None;
        for (position, step) in steps.into_iter().enumerate() {
            let now_ms = position as i64;
            let no = call.attempts.len() as u32;
            let delivery = AlternativeDelivery {
                kind: AlternativeKind::Fax, to: "x".into(), sent_at_ms: now_ms, receipt_text: "y".into(), receipt_at_ms: now_ms,
            };
            let escalation = Escalation { who: "a".into(), role: "b".into(), why: "c".into(), at_ms: now_ms };
            let _ = match step {
                0 | 1 => call.start_attempt(attempt("1", CalleeRole::Nurse, now_ms), now_ms).map(|_| ()),
                2 => call.end_attempt(no, &end(Outcome::Connected, now_ms), now_ms),
                3 | 4 => call.end_attempt(no, &end(Outcome::NoAnswer, now_ms), now_ms),
                5 => call.put_conversation(conversation()),
                6 => call.escalate(escalation),
                7 => call.deliver_otherwise(delivery, now_ms),
                _ => call.close(Criticality::Red, &[], now_ms),
            };
            if let Some(frozen) = &frozen {
                prop_assert_eq!(frozen, &call);
            }
            match call.state {
                CallState::Closed => {
                    prop_assert!(call.conversation.as_ref().is_some_and(|said| said.missing(Criticality::Red).is_empty()));
                    prop_assert!(call.attempts.iter().any(|attempt| attempt.outcome == Some(Outcome::Connected)));
                }
                CallState::ClosedWithException => {
                    prop_assert!(call.escalation.is_some() && call.alternative_delivery.is_some());
                    prop_assert!(call.attempts.iter().any(Attempt::failed));
                }
                _ => {}
            }
            if call.state.is_closed() {
                frozen = Some(call.clone());
            }
        }
    }
}
