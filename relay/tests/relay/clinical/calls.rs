//! Phone-call records.

use reqwest::{Method, StatusCode};
use serde_json::json;

use super::clinic::{Clinic, conversation, refused};

#[tokio::test]
async fn a_call_names_everything_that_is_missing_and_then_takes_addenda_only() {
    let clinic = Clinic::new().await;
    let path = clinic.claimed_request().await;
    clinic.save_draft(&path, "crit_red").await;
    let form = json!({ "direction": "reader_to_referrer", "callee_role": "attending" });
    let call = clinic.post(&clinic.reader, &format!("{path}/calls"), &form).await;
    assert_eq!(call["state"], "draft");
    let call_path = format!("/api/v1/calls/{}", call["id"].as_str().unwrap());
    let dial = json!({ "number_dialed": "0153-00-1111", "channel": "landline", "callee_role": "attending" });
    let ringing = clinic
        .post(&clinic.reader, &format!("{call_path}/attempts"), &dial)
        .await;
    assert_eq!(
        (
            ringing["state"].as_str(),
            ringing["attempts"][0]["attempt_no"].as_i64()
        ),
        (Some("attempted"), Some(1))
    );
    let second = clinic
        .try_send(
            &clinic.reader,
            Method::POST,
            &format!("{call_path}/attempts"),
            &dial,
        )
        .await;
    refused(second, StatusCode::CONFLICT, "attempt_open").await;
    let connected = json!({ "outcome": "connected" });
    clinic
        .post(&clinic.reader, &format!("{call_path}/attempts/1/end"), &connected)
        .await;
    let early = clinic
        .try_send(
            &clinic.reader,
            Method::POST,
            &format!("{call_path}/close"),
            &json!({}),
        )
        .await;
    let early = refused(early, StatusCode::UNPROCESSABLE_ENTITY, "call_incomplete").await;
    for field in ["parties", "agreed_plan", "readback_text", "readback_ok"] {
        assert!(
            early["missing"].as_array().unwrap().contains(&json!(field)),
            "{field}: {early}"
        );
    }
    let said = format!("{call_path}/conversation");
    let other = clinic
        .try_send(&clinic.second_reader, Method::PUT, &said, &json!({}))
        .await;
    refused(other, StatusCode::FORBIDDEN, "not_own_record").await;
    let said = clinic
        .send(
            &clinic.reader,
            Method::PUT,
            &format!("{call_path}/conversation"),
            &conversation(),
        )
        .await;
    assert_eq!(said["state"], "readback_ok");
    let closed = clinic
        .post(&clinic.reader, &format!("{call_path}/close"), &json!({}))
        .await;
    assert_eq!(closed["state"], "closed");
    let over = clinic
        .try_send(
            &clinic.reader,
            Method::PUT,
            &format!("{call_path}/conversation"),
            &json!({}),
        )
        .await;
    refused(over, StatusCode::CONFLICT, "call_closed").await;
    let words = json!({ "text": "時刻を訂正する", "corrects_fields": ["state_assessed_at_ms"] });
    let added = clinic
        .post(&clinic.reader, &format!("{call_path}/addenda"), &words)
        .await;
    assert_eq!(added["addenda"][0]["text"], "時刻を訂正する");
    assert_eq!(added["conversation"], conversation());
    let seen = clinic.get(&clinic.referrer, &path).await;
    assert_eq!(seen["calls"][0], added, "the sender reads what was said");
    let foreign = clinic
        .try_send(&clinic.stranger, Method::POST, &format!("{path}/calls"), &form)
        .await;
    refused(foreign, StatusCode::NOT_FOUND, "not_found").await;
    clinic.relay.stop().await;
}

#[tokio::test]
async fn what_the_phone_told_counts_in_the_scores() {
    let clinic = Clinic::new().await;
    let path = clinic.claimed_request().await;
    clinic.save_draft(&path, "crit_red").await;
    let form = json!({ "direction": "referrer_to_reader", "callee_role": "reader" });
    let call = clinic.post(&clinic.reader, &format!("{path}/calls"), &form).await;
    let call_path = format!("/api/v1/calls/{}", call["id"].as_str().unwrap());
    let dial = json!({ "number_dialed": "0153-00-1111", "channel": "mobile", "callee_role": "reader" });
    clinic
        .post(&clinic.reader, &format!("{call_path}/attempts"), &dial)
        .await;
    let mut said = conversation();
    said["state_told"] = json!({ "gcs_e": "2", "gcs_v": "2", "gcs_m": "5" });
    clinic
        .send(
            &clinic.reader,
            Method::PUT,
            &format!("{call_path}/conversation"),
            &said,
        )
        .await;
    let seen = clinic.get(&clinic.reader, &path).await;
    let score = &seen["draft"]["evaluation"]["blocks"][0]["calc"]["ich_score"];
    assert_eq!(score["value"], 2, "GCS 9 and 30 mL: {score}");
    clinic.relay.stop().await;
}
