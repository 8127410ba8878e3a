//! Phone-call records.

use std::time::Duration;

use reqwest::{Method, StatusCode};
use serde_json::json;

use super::clinic::{Clinic, conversation, good, refused};

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
    let talking = clinic
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
    assert_eq!(
        talking["missing"], early["missing"],
        "the marks and the refusal are one list"
    );
    assert_eq!(
        (
            &talking["dialed_at_ms"],
            &talking["connected_at_ms"],
            &talking["ended_at_ms"]
        ),
        (
            &talking["attempts"][0]["started_at_ms"],
            &talking["attempts"][0]["ended_at_ms"],
            &json!(null)
        )
    );
    let unanswered = clinic.get(&clinic.reader, &path).await;
    assert_eq!(unanswered["due"]["verbal_answered_at_ms"], json!(null));
    for field in ["parties", "agreed_plan", "readback_text", "readback_ok"] {
        assert!(
            early["missing"].as_array().unwrap().contains(&json!(field)),
            "{field}: {early}"
        );
    }
    let other = clinic
        .try_save_conversation(&clinic.second_reader, &talking, &json!({}))
        .await;
    refused(other, StatusCode::FORBIDDEN, "not_own_record").await;
    let said = clinic
        .try_save_conversation(&clinic.reader, &talking, &conversation())
        .await;
    assert_eq!(good(said).await["state"], "readback_ok");
    let closed = clinic
        .post(&clinic.reader, &format!("{call_path}/close"), &json!({}))
        .await;
    assert_eq!(
        (&closed["state"], &closed["missing"]),
        (&json!("closed"), &json!([]))
    );
    assert!(closed["ended_at_ms"].as_i64() >= closed["connected_at_ms"].as_i64());
    let answered = clinic.get(&clinic.reader, &path).await;
    assert_eq!(answered["due"]["verbal_answered_at_ms"], closed["ended_at_ms"]);
    let over = clinic
        .try_save_conversation(&clinic.reader, &talking, &json!({}))
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
    let call = clinic
        .post(&clinic.reader, &format!("{call_path}/attempts"), &dial)
        .await;
    let mut said = conversation();
    said["state_told"] = json!({ "gcs_e": "2", "gcs_v": "2", "gcs_m": "5" });
    good(clinic.try_save_conversation(&clinic.reader, &call, &said).await).await;
    let seen = clinic.get(&clinic.reader, &path).await;
    let score = &seen["draft"]["evaluation"]["blocks"][0]["calc"]["ich_score"];
    assert_eq!(score["value"], 2, "GCS 9 and 30 mL: {score}");
    clinic.relay.stop().await;
}

#[tokio::test]
async fn flt_079_a_conversation_is_saved_over_the_version_its_writer_has_seen_and_no_other() {
    let clinic = Clinic::new().await;
    let path = clinic.claimed_request().await;
    let form = json!({ "direction": "reader_to_referrer", "callee_role": "attending" });
    let call = clinic.post(&clinic.reader, &format!("{path}/calls"), &form).await;
    let dial = json!({ "number_dialed": "0153-00-1111", "channel": "landline", "callee_role": "attending" });
    let call_path = format!("/api/v1/calls/{}", call["id"].as_str().unwrap());
    let ringing = clinic
        .post(&clinic.reader, &format!("{call_path}/attempts"), &dial)
        .await;
    let first = json!({ "findings_conveyed": "左被殻出血" });
    let saved = clinic.try_save_conversation(&clinic.reader, &ringing, &first);
    let saved = good(saved.await).await;
    assert_eq!(
        saved["version"].as_i64(),
        ringing["version"].as_i64().map(|version| version + 1)
    );
    // The other screen still has the record as it was while it rang.
    let second = json!({ "readback_text": "左被殻" });
    let late = clinic.try_save_conversation(&clinic.reader, &ringing, &second);
    let late = refused(late.await, StatusCode::CONFLICT, "call_stale").await;
    assert_eq!(
        late["current"], saved,
        "what is there is told, and nothing was written"
    );
    assert_eq!(clinic.get(&clinic.reader, &path).await["calls"], json!([saved]));
    let both = json!({ "findings_conveyed": "左被殻出血", "readback_text": "左被殻" });
    let merged = clinic.try_save_conversation(&clinic.reader, &late["current"], &both);
    assert_eq!(good(merged.await).await["conversation"], both);
    let said = format!("{call_path}/conversation");
    let unversioned = json!({ "conversation": both });
    let unversioned = clinic
        .try_send(&clinic.reader, Method::PUT, &said, &unversioned)
        .await;
    refused(unversioned, StatusCode::BAD_REQUEST, "body_malformed").await;
    clinic.relay.stop().await;
}

/// The form was opened, then a preliminary report was signed, then the phone was taken up.
#[tokio::test]
async fn a_call_names_the_version_that_was_signed_when_it_was_dialled() {
    let clinic = Clinic::new().await;
    let path = clinic.claimed_request().await;
    clinic.save_draft(&path, "crit_red").await;
    let form = json!({ "direction": "reader_to_referrer", "callee_role": "attending" });
    let call = clinic.post(&clinic.reader, &format!("{path}/calls"), &form).await;
    let call_path = format!("/api/v1/calls/{}", call["id"].as_str().unwrap());
    let dial = json!({ "number_dialed": "0153-00-1111", "channel": "landline", "callee_role": "attending" });
    let dialled = async || {
        clinic
            .post(&clinic.reader, &format!("{call_path}/attempts"), &dial)
            .await["report_version_at_call"]
            .clone()
    };
    let ended = async |n: u32, outcome: &str| {
        let end = json!({ "outcome": outcome, "next_action": "redial" });
        clinic
            .post(&clinic.reader, &format!("{call_path}/attempts/{n}/end"), &end)
            .await
    };
    assert_eq!(dialled().await, json!(null));
    ended(1, "no_answer").await;
    clinic.relay.advance(Duration::from_secs(60));
    good(clinic.try_sign(&path, "preliminary").await).await;
    assert_eq!(dialled().await, 1);
    ended(2, "connected").await;
    // The line drops; what is signed meanwhile was not there when they spoke.
    clinic.relay.advance(Duration::from_secs(60));
    clinic.save_draft(&path, "crit_red").await;
    let signed = good(clinic.try_sign(&path, "preliminary").await).await;
    assert_eq!(dialled().await, 1);
    let call = ended(3, "no_answer").await;
    good(
        clinic
            .try_save_conversation(&clinic.reader, &call, &conversation())
            .await,
    )
    .await;
    let closed = clinic
        .post(&clinic.reader, &format!("{call_path}/close"), &json!({}))
        .await;
    assert_eq!(closed["report_version_at_call"], 1);
    let acknowledged = format!(
        "/api/v1/reports/{}/acknowledgements",
        signed["report_id"].as_str().unwrap()
    );
    let form = json!({ "version": 2, "action_taken": "transfer" });
    clinic.post(&clinic.referrer, &acknowledged, &form).await;
    clinic.relay.stop().await;
}
