//! The technologist's form, as it comes from a node.

use serde_json::json;
use tancho_domain::dicom::StudyInstanceUid;
use tancho_domain::ids::CommandId;
use tancho_relay::reading::automatic::{FormOrigin, FormOutcome, NodeForm, open_from_node};
use tancho_relay::secrets::new_uuid;

use super::clinic::{Clinic, STUDY_UID};

async fn submit(clinic: &Clinic, command_id: &CommandId, urgency: &str, context: &str) -> FormOutcome {
    submit_by(clinic, command_id, urgency, context, false).await
}

async fn submit_by(
    clinic: &Clinic,
    command_id: &CommandId,
    urgency: &str,
    context: &str,
    automatic: bool,
) -> FormOutcome {
    let origin = clinic.origin();
    let from = FormOrigin {
        network_id: &origin.network_id,
        site_id: &origin.site_id,
        node_id: &origin.node_id,
    };
    let form = NodeForm {
        command_id,
        study_instance_uid: &StudyInstanceUid::parse(STUDY_UID).unwrap(),
        urgency,
        callback_number: "０１５３−００−１１１１",
        callback_person: "北 健二",
        responsible_physician: "佐藤 花子",
        clinical_context: context,
        requested_at_ms: 1,
        automatic,
    };
    open_from_node(clinic.relay.app(), from, form).await.unwrap()
}

#[tokio::test]
async fn a_form_opens_a_request_once_however_often_it_comes() {
    let clinic = Clinic::new().await;
    let command_id = CommandId::new(new_uuid());
    let first = submit(&clinic, &command_id, "stroke_code", "{}").await;
    assert_eq!(submit(&clinic, &command_id, "stroke_code", "{}").await, first);
    let FormOutcome::Accepted {
        reading_request_id,
        case_code,
    } = first
    else {
        panic!("{first:?}")
    };
    let other = submit(&clinic, &command_id, "urgent", "{}").await;
    assert!(matches!(other, FormOutcome::Refused { code, .. } if code == "command_id_reused"));
    clinic.arrive(1, "TANCHO").await;
    let seen = clinic
        .get(
            &clinic.reader,
            &format!("/api/v1/reading-requests/{reading_request_id}"),
        )
        .await;
    assert_eq!(
        (seen["state"].as_str(), seen["urgency"].as_str()),
        (Some("readable"), Some("stroke_code"))
    );
    assert_eq!(seen["case_code"], case_code);
    assert_eq!(seen["callback_number"], "0153-00-1111");
    clinic.relay.stop().await;
}

#[tokio::test]
async fn a_form_completes_the_request_that_opened_by_itself_and_loses_no_good_answer() {
    let clinic = Clinic::new().await;
    let path = clinic.stat_request().await;
    let context = json!({ "sbp": 180, "dbp": 999, "jcs": "II-20" }).to_string();
    let outcome = submit(&clinic, &CommandId::new(new_uuid()), "urgent", &context).await;
    let FormOutcome::Accepted {
        reading_request_id, ..
    } = outcome
    else {
        panic!("{outcome:?}")
    };
    assert!(path.ends_with(&reading_request_id));
    let seen = clinic.get(&clinic.reader, &path).await;
    assert_eq!(
        (&seen["clinical_context"]["sbp"], &seen["clinical_context"]["dbp"]),
        (&json!(180), &json!(null))
    );
    assert_eq!(
        seen["clinical_context"]["sex"], "female",
        "what the header knew stays"
    );
    assert_eq!(
        (seen["urgency"].as_str(), seen["callback_person"].as_str()),
        (Some("urgent"), Some("北 健二"))
    );
    let last = seen["events"].as_array().unwrap().last().unwrap().clone();
    assert_eq!(
        last["detail"],
        json!({ "left_out": [{ "field": "dbp", "code": "out_of_range" }] })
    );
    clinic.relay.stop().await;
}

/// The agent asks by rule for a study of which it has not heard yet that a person has asked for it.
#[tokio::test]
async fn a_form_made_by_a_rule_takes_nothing_back_that_a_person_has_set() {
    let clinic = Clinic::new().await;
    clinic.arrive(1, "TANCHO").await;
    let form =
        json!({ "study_instance_uid": STUDY_UID, "urgency": "urgent", "callback_number": "0153-00-9999" });
    let made = clinic
        .post(&clinic.referrer, "/api/v1/reading-requests", &form)
        .await;
    let path = format!("/api/v1/reading-requests/{}", made["id"].as_str().unwrap());
    clinic
        .post(&clinic.reader, &format!("{path}/claim"), &json!({}))
        .await;
    let reason = json!({ "reason": "GCS?" });
    clinic
        .post(&clinic.reader, &format!("{path}/return"), &reason)
        .await;
    let seen = async |urgency: &str, automatic: bool| {
        let id = CommandId::new(new_uuid());
        let outcome = submit_by(&clinic, &id, urgency, "{}", automatic).await;
        assert!(
            matches!(&outcome, FormOutcome::Accepted { reading_request_id, .. } if path.ends_with(reading_request_id))
        );
        let seen = clinic.get(&clinic.reader, &path).await;
        let text = |field: &str| seen[field].as_str().unwrap().to_owned();
        (text("urgency"), text("state"), text("callback_number"))
    };
    let expected =
        |urgency: &str, state: &str, number: &str| (urgency.to_owned(), state.to_owned(), number.to_owned());
    assert_eq!(
        seen("routine", true).await,
        expected("urgent", "returned", "0153-00-9999")
    );
    assert_eq!(
        seen("critical", true).await,
        expected("critical", "returned", "0153-00-9999"),
        "sent as stat"
    );
    assert_eq!(
        seen("routine", false).await,
        expected("routine", "readable", "0153-00-1111"),
        "a technologist decides"
    );
    clinic.relay.stop().await;
}
