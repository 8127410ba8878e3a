use serde_json::json;
use uuid::Uuid;

use super::*;
use crate::call::CalleeRole;
use crate::call::tests::{closed_with_exception, closed_with_readback};
use crate::findings::evaluate;

const NOW_MS: i64 = 1_800_000_000_000;

struct Case {
    body: ReportBody,
    images: ImagesAtSigning,
    calls: Vec<CallRecord>,
    previous: Option<PreviousVersion>,
    context: Answers,
}

impl Case {
    fn blockers(&self, sign_as: SignAs) -> Vec<&'static str> {
        self.sign(sign_as)
            .err()
            .unwrap_or_default()
            .iter()
            .map(Blocker::code)
            .collect()
    }

    fn sign(&self, sign_as: SignAs) -> Result<Clearance, Vec<Blocker>> {
        let around = Surroundings {
            context: &self.context,
            now_ms: NOW_MS,
        };
        let evaluation = evaluate(&self.body.finding_blocks, around);
        let input = SigningInput {
            body: &self.body,
            evaluation: &evaluation,
            images: self.images,
            calls: &self.calls,
            previous: self.previous.as_ref(),
            signer_site_code: "KUSHIRO",
            now_ms: NOW_MS,
            failure_policy: &FailurePolicy::default(),
        };
        clear(sign_as, &input)
    }
}

fn ready(criticality: Criticality) -> Case {
    let object = |value: serde_json::Value| value.as_object().expect("object").clone();
    let ich = object(json!({
        "location": ["putamen"], "side": "left", "volume_direct_ml": 12, "ivh": "absent",
        "surrounding_oedema": "mild", "sah_component": "absent", "sdh_component": "absent",
        "secondary_cause": ["none"],
        "mass": {"mls_mm": 0, "cisterns": "normal", "herniation": ["none"], "hydrocephalus": "absent"}}));
    let treat = object(json!({"what": ["bp_target"], "target": "SBP 120-140", "decided_by": "attending"}));
    Case {
        body: ReportBody {
            image_quality: Some("good".to_owned()),
            limits: vec!["lossless_compression".to_owned()],
            finding_blocks: vec![FindingBlock {
                template: "ich@1.0.0".to_owned(),
                input: ich,
            }],
            findings_text: "左被殻に高吸収域".to_owned(),
            impression_text: "左被殻出血".to_owned(),
            recommendation_text: "降圧".to_owned(),
            criticality: Some(criticality),
            disposition: vec![Disposition {
                code: "start_treatment".to_owned(),
                fields: treat,
            }],
            n_key_images: 1,
        },
        images: ImagesAtSigning {
            received: 30,
            verified: 30,
            announced: Some(30),
            closed: true,
            withheld: 0,
        },
        calls: Vec::new(),
        previous: None,
        context: Answers::new(),
    }
}

fn previous(status: VersionStatus, criticality: Criticality, signed_at_ms: i64) -> PreviousVersion {
    let reader = UserId::new(Uuid::from_u128(1));
    PreviousVersion {
        version: 1,
        status,
        criticality,
        signed_at_ms,
        acknowledged: None,
        reader,
    }
}

#[test]
fn a_red_finding_is_final_only_after_readback_or_a_documented_failure() {
    let mut case = ready(Criticality::Red);
    assert_eq!(
        case.sign(SignAs::Preliminary).expect("preliminary").status(),
        VersionStatus::Preliminary
    );
    assert_eq!(case.blockers(SignAs::Final), ["read_back_call_required"]);
    case.calls = vec![closed_with_readback(0)];
    let clearance = case.sign(SignAs::Final).expect("final");
    assert_eq!(
        (clearance.status(), clearance.communicated_by()),
        (VersionStatus::Final, CommunicatedBy::Readback)
    );
    let dials = [
        ("1", CalleeRole::Attending),
        ("1", CalleeRole::OnCall),
        ("2", CalleeRole::OnCall),
    ];
    case.calls = vec![closed_with_exception(0, &dials)];
    assert_eq!(
        case.sign(SignAs::Final).expect("final").communicated_by(),
        CommunicatedBy::DocumentedFailure
    );
    assert_eq!(
        ready(Criticality::Orange).blockers(SignAs::Final),
        ["read_back_call_or_acknowledgement_required"]
    );
    assert!(ready(Criticality::Yellow).sign(SignAs::Final).is_ok());
}

#[test]
fn an_orange_finding_may_be_acknowledged_in_time_instead() {
    let mut case = ready(Criticality::Orange);
    let mut first = previous(VersionStatus::Preliminary, Criticality::Orange, 0);
    first.acknowledged = Some((5, 10));
    case.previous = Some(first.clone());
    assert_eq!(
        case.sign(SignAs::Final).expect("final").communicated_by(),
        CommunicatedBy::Acknowledgement
    );
    first.criticality = Criticality::None;
    case.previous = Some(first);
    assert!(
        case.sign(SignAs::Final).is_err(),
        "what was acknowledged was not called urgent"
    );
}

#[test]
fn a_final_report_is_only_corrected() {
    let mut case = ready(Criticality::None);
    case.previous = Some(previous(VersionStatus::Final, Criticality::None, 5_000));
    assert_eq!(case.blockers(SignAs::Preliminary), ["report_already_final"]);
    assert_eq!(
        case.sign(SignAs::Final).expect("corrected").status(),
        VersionStatus::Corrected
    );
    case.body.criticality = Some(Criticality::Red);
    case.calls = vec![closed_with_readback(1_000)];
    assert_eq!(case.blockers(SignAs::Final), ["read_back_call_required"]);
    case.calls.push(closed_with_readback(6_000));
    assert!(case.sign(SignAs::Final).is_ok());
}

#[test]
fn a_call_before_the_finding_was_seen_as_red_does_not_tell_it() {
    let mut case = ready(Criticality::Red);
    case.previous = Some(previous(VersionStatus::Preliminary, Criticality::None, 5_000));
    case.calls = vec![closed_with_readback(1_000)];
    assert_eq!(case.blockers(SignAs::Final), ["read_back_call_required"]);
    case.calls.push(closed_with_readback(6_000));
    assert!(case.sign(SignAs::Final).is_ok());
    case.calls.pop();
    case.previous = Some(previous(VersionStatus::Preliminary, Criticality::Red, 5_000));
    assert!(
        case.sign(SignAs::Final).is_ok(),
        "red was told before the preliminary report"
    );
}

#[test]
fn an_addendum_follows_a_final_report_and_cannot_sneak_in_a_red_finding() {
    let policy = FailurePolicy::default();
    let codes = |found: Vec<Blocker>| found.iter().map(Blocker::code).collect::<Vec<_>>();
    let draft = previous(VersionStatus::Preliminary, Criticality::None, 0);
    let refused = clear_addendum("x", None, Some(&draft), &[], &policy).expect_err("not final");
    assert_eq!(codes(refused), ["report_not_final"]);
    let done = previous(VersionStatus::Final, Criticality::None, 5_000);
    let plain = clear_addendum("x", None, Some(&done), &[], &policy).expect("added");
    assert_eq!(
        (plain.status(), plain.criticality()),
        (VersionStatus::Addended, Criticality::None)
    );
    let refused =
        clear_addendum(" ", Some(Criticality::Red), Some(&done), &[], &policy).expect_err("no call");
    assert_eq!(codes(refused), ["required", "read_back_call_required"]);
    let calls = [closed_with_readback(6_000)];
    assert!(clear_addendum("x", Some(Criticality::Red), Some(&done), &calls, &policy).is_ok());
}

#[test]
fn images_that_are_missing_need_a_stated_reason() {
    let mut case = ready(Criticality::None);
    case.images.verified = 29;
    assert_eq!(case.blockers(SignAs::Final), ["images_incomplete"]);
    assert!(case.sign(SignAs::Preliminary).is_ok());
    case.body.limits.push("images_incomplete".to_owned());
    assert!(case.sign(SignAs::Final).is_ok());
    case.images = ImagesAtSigning::default();
    assert_eq!(case.blockers(SignAs::Preliminary), ["no_images"]);
    let whole = ready(Criticality::None).images;
    assert!(whole.complete());
    let lacking = [
        ImagesAtSigning {
            closed: false,
            ..whole
        },
        ImagesAtSigning {
            announced: Some(31),
            ..whole
        },
        // The sender has forgotten how many there were.
        ImagesAtSigning {
            announced: None,
            ..whole
        },
        // Kept back at the sender, which does not count them.
        ImagesAtSigning { withheld: 1, ..whole },
    ];
    for images in lacking {
        assert!(!images.complete(), "{images:?}");
        case = ready(Criticality::None);
        case.images = images;
        assert_eq!(case.blockers(SignAs::Final), ["images_incomplete"], "{images:?}");
    }
}

#[test]
fn every_gap_of_an_empty_report_is_named() {
    let mut case = ready(Criticality::None);
    case.body = ReportBody::default();
    let fields = |found: Result<Clearance, Vec<Blocker>>| {
        let found = found.expect_err("empty");
        assert!(
            found
                .iter()
                .all(|blocker| !blocker.message_ja().is_empty() && !blocker.message_en().is_empty())
        );
        found.iter().filter_map(Blocker::field).collect::<Vec<_>>()
    };
    let preliminary = [
        "image_quality",
        "impression_text",
        "criticality",
        "findings_text",
        "disposition",
    ];
    assert_eq!(fields(case.sign(SignAs::Preliminary)), preliminary);
    assert_eq!(fields(case.sign(SignAs::Final)).len(), 8);
    let mut case = ready(Criticality::None);
    case.body.n_key_images = 0;
    assert_eq!(case.blockers(SignAs::Final), ["key_image_missing"]);
    case.body.finding_blocks[0].input.remove("side");
    assert_eq!(case.blockers(SignAs::Final), ["required", "key_image_missing"]);
    assert!(case.sign(SignAs::Preliminary).is_ok());
    case.body.finding_blocks[0]
        .input
        .insert("side".to_owned(), json!("up"));
    assert_eq!(case.blockers(SignAs::Preliminary), ["unknown_option"]);
}

#[test]
fn unreadable_images_are_repeated_and_undecided_is_not_final() {
    let mut case = ready(Criticality::None);
    case.body.image_quality = Some("unreadable".to_owned());
    assert_eq!(
        case.blockers(SignAs::Preliminary),
        ["unreadable_needs_repeat_imaging"]
    );
    let mut case = ready(Criticality::None);
    let fields = json!({"missing": ["images"], "missing_text": "薄いスライス"})
        .as_object()
        .expect("object")
        .clone();
    case.body.disposition = vec![Disposition {
        code: "insufficient".to_owned(),
        fields,
    }];
    assert_eq!(case.blockers(SignAs::Final), ["insufficient_is_not_final"]);
    assert!(case.sign(SignAs::Preliminary).is_ok());
}
