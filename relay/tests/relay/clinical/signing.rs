//! What may be signed, and that nothing signed changes.

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use tancho_relay::secrets::new_uuid;

use super::clinic::{Clinic, good, refused, report_body};
use crate::harness::PASSWORD;

fn codes(blockers: &Value) -> Vec<&str> {
    blockers
        .as_array()
        .unwrap()
        .iter()
        .filter_map(|blocker| blocker["code"].as_str())
        .collect()
}

#[tokio::test]
async fn a_red_finding_is_not_final_without_a_read_back() {
    let clinic = Clinic::new().await;
    let path = clinic.claimed_request().await;
    let saved = clinic.save_draft(&path, "crit_red").await;
    assert_eq!(
        saved["evaluation"]["can_sign"]["preliminary"]["ok"], true,
        "{saved}"
    );
    assert_eq!(
        codes(&saved["evaluation"]["can_sign"]["final"]["blockers"]),
        ["read_back_call_required"]
    );
    let blocker = &saved["evaluation"]["can_sign"]["final"]["blockers"][0];
    for (language, none_yet) in [
        ("message_ja", "☐ つながらなかった発信 3回以上(現在 0回)"),
        ("message_en", "☐ 3 or more failed attempts (now 0)"),
    ] {
        let lines: Vec<_> = blocker[language].as_str().unwrap().lines().collect();
        assert_eq!(
            lines.iter().filter(|line| line.starts_with('☐')).count(),
            4,
            "{lines:?}"
        );
        assert!(lines.contains(&none_yet), "{lines:?}");
    }
    let answer = clinic.try_sign(&path, "final").await;
    let answer = refused(answer, StatusCode::UNPROCESSABLE_ENTITY, "cannot_sign").await;
    assert_eq!(codes(&answer["blockers"]), ["read_back_call_required"]);

    let call = clinic.call_with_readback(&path).await;
    let signed = good(clinic.try_sign(&path, "final").await).await;
    assert_eq!(
        (signed["version"].as_i64(), signed["status"].as_str()),
        (Some(1), Some("final"))
    );
    assert_eq!(signed["calls"], json!([call["id"]]));
    assert_eq!(signed["images_at_signing"]["verified"], 2);
    assert_eq!(
        signed["images_at_signing"]["instance_sha256_digest"]
            .as_str()
            .unwrap()
            .len(),
        64
    );
    let seen = clinic.get(&clinic.referrer, &path).await;
    assert_eq!(
        (seen["state"].as_str(), seen["criticality"].as_str()),
        (Some("final"), Some("crit_red"))
    );
    acknowledge(&clinic, &signed).await;
    clinic.relay.stop().await;
}

#[tokio::test]
async fn a_red_finding_is_final_with_a_documented_failure_to_reach_anyone() {
    let clinic = Clinic::new().await;
    let path = clinic.claimed_request().await;
    clinic.save_draft(&path, "crit_red").await;
    let form = json!({ "direction": "reader_to_referrer", "callee_role": "attending" });
    let call = clinic.post(&clinic.reader, &format!("{path}/calls"), &form).await;
    let call_path = format!("/api/v1/calls/{}", call["id"].as_str().unwrap());
    let dial_in_vain = async |n: u32, number: &str| {
        let dial = json!({ "number_dialed": number, "channel": "landline", "callee_role": "attending" });
        clinic
            .post(&clinic.reader, &format!("{call_path}/attempts"), &dial)
            .await;
        let nobody = json!({ "outcome": "no_answer", "failure_reason": "recipient-unavailable",
                             "next_action": "redial" });
        clinic
            .post(&clinic.reader, &format!("{call_path}/attempts/{n}/end"), &nobody)
            .await;
    };
    for n in 1..=3 {
        dial_in_vain(n, "0153-00-1111").await;
    }
    refused(
        clinic.try_sign(&path, "final").await,
        StatusCode::UNPROCESSABLE_ENTITY,
        "cannot_sign",
    )
    .await;
    let above = json!({ "who": "当直師長", "role": "nurse", "why": "主治医に連絡がつかない" });
    clinic
        .post(&clinic.reader, &format!("{call_path}/escalation"), &above)
        .await;
    let now_ms = clinic.relay.app().now_ms();
    let fax = json!({ "kind": "fax", "to": "0153-00-3333", "sent_at_ms": now_ms, "receipt_text": "受領 当直師長",
                      "receipt_at_ms": now_ms });
    clinic
        .post(&clinic.reader, &format!("{call_path}/alternative-delivery"), &fax)
        .await;
    refused(
        clinic.try_sign(&path, "final").await,
        StatusCode::UNPROCESSABLE_ENTITY,
        "cannot_sign",
    )
    .await;
    // Three failures at one number would be a record that counts for nothing: it stays open until another is tried.
    let close_path = format!("{call_path}/close");
    let early = clinic
        .try_send(&clinic.reader, Method::POST, &close_path, &json!({}))
        .await;
    let early = refused(early, StatusCode::UNPROCESSABLE_ENTITY, "failure_not_documented").await;
    assert_eq!(early["missing"], json!(["numbers_or_roles"]));
    dial_in_vain(4, "0153-00-2222").await;
    let closed = clinic.post(&clinic.reader, &close_path, &json!({})).await;
    assert_eq!(closed["state"], "closed_with_exception");
    let signed = good(clinic.try_sign(&path, "final").await).await;
    acknowledge(&clinic, &signed).await;
    clinic.relay.stop().await;
}

#[tokio::test]
async fn flt_077_a_repeated_signature_is_the_same_signature() {
    let clinic = Clinic::new().await;
    let path = clinic.claimed_request().await;
    clinic.save_draft(&path, "crit_yellow").await;
    let key = new_uuid().to_string();
    let sign = async || {
        let request = clinic.relay.request(Method::POST, &format!("{path}/sign"));
        let request = request
            .bearer_auth(&clinic.reader.token)
            .header("Idempotency-Key", &key);
        good(
            request
                .json(&json!({ "status": "final", "draft_version": 1, "password": PASSWORD }))
                .send()
                .await
                .unwrap(),
        )
        .await
    };
    let first = sign().await;
    clinic.relay.advance(std::time::Duration::from_secs(5));
    assert_eq!(sign().await, first);
    let seen = clinic.get(&clinic.reader, &path).await;
    assert_eq!(seen["reports"], json!([first]));
    acknowledge(&clinic, &first).await;
    clinic.relay.stop().await;
}

#[tokio::test]
async fn only_the_text_on_the_screen_is_signed_and_only_by_its_reader() {
    let clinic = Clinic::new().await;
    let path = clinic.claimed_request().await;
    let sign = format!("{path}/sign");
    let form = json!({ "status": "preliminary", "draft_version": 1, "password": PASSWORD });
    let none = clinic.try_send(&clinic.reader, Method::POST, &sign, &form).await;
    refused(none, StatusCode::UNPROCESSABLE_ENTITY, "draft_missing").await;
    clinic.save_draft(&path, "crit_yellow").await;
    clinic.save_draft(&path, "crit_yellow").await;
    let old = clinic.try_send(&clinic.reader, Method::POST, &sign, &form).await;
    refused(old, StatusCode::CONFLICT, "draft_stale").await;
    let form = json!({ "status": "preliminary", "draft_version": 2, "password": PASSWORD });
    clinic.relay.give_password(&clinic.second_reader).await;
    let other = clinic
        .try_send(&clinic.second_reader, Method::POST, &sign, &form)
        .await;
    refused(other, StatusCode::CONFLICT, "already_claimed").await;
    let referrer = clinic
        .try_send(&clinic.referrer, Method::POST, &sign, &form)
        .await;
    refused(referrer, StatusCode::FORBIDDEN, "role_not_allowed").await;
    // A key image of another study is never bound to this patient's text.
    let mut text = report_body("crit_yellow");
    text["key_images"][0]["sop_instance_uid"] = json!("1.2.3.4.5");
    let draft = json!({ "base_version": 2, "body": text });
    let saved = clinic
        .send(&clinic.reader, Method::PUT, &format!("{path}/draft"), &draft)
        .await;
    let blockers = &saved["evaluation"]["can_sign"]["preliminary"]["blockers"];
    assert_eq!(codes(blockers), ["key_image_of_another_study"]);
    clinic.relay.stop().await;
}

#[tokio::test]
async fn a_signed_version_stays_and_an_addendum_makes_the_next() {
    let clinic = Clinic::new().await;
    let path = clinic.claimed_request().await;
    let first = clinic.signed_report(&path, "crit_yellow").await;
    let report_path = format!("/api/v1/reports/{}", first["report_id"].as_str().unwrap());
    let addenda = format!("{report_path}/addenda");
    let worse = json!({ "text": "増大あり", "criticality": "crit_red", "password": PASSWORD });
    let worse = clinic
        .try_send(&clinic.reader, Method::POST, &addenda, &worse)
        .await;
    refused(worse, StatusCode::UNPROCESSABLE_ENTITY, "cannot_sign").await;
    let words = json!({ "text": "計測値を訂正する。", "corrects_fields": ["a_mm"], "password": PASSWORD });
    let foreign = clinic
        .try_send(&clinic.stranger, Method::POST, &addenda, &words)
        .await;
    refused(foreign, StatusCode::FORBIDDEN, "role_not_allowed").await;
    let second = clinic.post(&clinic.reader, &addenda, &words).await;
    assert_eq!(
        (second["version"].as_i64(), second["status"].as_str()),
        (Some(2), Some("addended"))
    );
    let report = clinic.get(&clinic.referrer, &report_path).await;
    assert_eq!(report["versions"], json!([first, second]));
    assert_eq!(second["text_of_addendum"], "計測値を訂正する。");
    let old = json!({ "version": 1, "action_taken": "observe" });
    let old = clinic
        .try_send(
            &clinic.referrer,
            Method::POST,
            &format!("{report_path}/acknowledgements"),
            &old,
        )
        .await;
    refused(old, StatusCode::CONFLICT, "report_version_superseded").await;
    acknowledge(&clinic, &second).await;
    clinic.relay.stop().await;
}

#[tokio::test]
async fn a_preliminary_is_followed_by_a_final_and_a_final_by_a_correction() {
    let clinic = Clinic::new().await;
    let path = clinic.claimed_request().await;
    clinic.save_draft(&path, "crit_yellow").await;
    let preliminary = good(clinic.try_sign(&path, "preliminary").await).await;
    assert_eq!(preliminary["status"], "preliminary");
    let last = good(clinic.try_sign(&path, "final").await).await;
    assert_eq!(
        (last["version"].as_i64(), last["status"].as_str()),
        (Some(2), Some("final"))
    );
    assert_eq!(last["report_id"], preliminary["report_id"]);
    clinic
        .post(&clinic.reader, &format!("{path}/claim"), &json!({}))
        .await;
    let corrected = good(clinic.try_sign(&path, "final").await).await;
    assert_eq!(
        (corrected["version"].as_i64(), corrected["status"].as_str()),
        (Some(3), Some("corrected"))
    );
    acknowledge(&clinic, &corrected).await;
    clinic.relay.stop().await;
}

#[tokio::test]
async fn flt_063_images_that_come_after_the_signature_open_the_request_again() {
    let clinic = Clinic::new().await;
    let path = clinic.claimed_request().await;
    let signed = clinic.signed_report(&path, "crit_yellow").await;
    acknowledge(&clinic, &signed).await;
    let closed = clinic
        .get(&clinic.reader, "/api/v1/reading-requests?state=closed")
        .await;
    assert_eq!(closed["items"].as_array().unwrap().len(), 1);
    clinic.arrive(3, "TANCHO_STAT").await;
    clinic.arrive(4, "TANCHO_STAT").await;
    let seen = clinic.get(&clinic.reader, &path).await;
    assert_eq!(seen["state"], "reopened");
    assert_eq!(seen["warnings"], json!(["late_images"]));
    assert_eq!(seen["reports"][0]["body"], signed["body"]);
    let notices = clinic.get(&clinic.reader, "/api/v1/notifications").await;
    let kinds: Vec<_> = notices["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|notice| notice["kind"].clone())
        .collect();
    assert_eq!(kinds, [json!("late_images")], "told once, whoever signed");
    let notices = clinic.get(&clinic.referrer, "/api/v1/notifications").await;
    let notices = notices["items"].as_array().unwrap().iter();
    assert_eq!(
        notices.filter(|notice| notice["kind"] == "late_images").count(),
        1,
        "and whoever asked"
    );
    assert_eq!(
        signed["images_at_signing"]["verified"], 2,
        "the report says what there was"
    );
    clinic
        .post(&clinic.reader, &format!("{path}/claim"), &json!({}))
        .await;
    let corrected = good(clinic.try_sign(&path, "final").await).await;
    assert_eq!(corrected["images_at_signing"]["verified"], 4);
    let seen = clinic.get(&clinic.reader, &path).await;
    assert_eq!(
        (seen["state"].as_str(), &seen["warnings"]),
        (Some("final"), &json!([]))
    );
    acknowledge(&clinic, &corrected).await;
    clinic.relay.stop().await;
}

#[tokio::test]
async fn flt_080_nothing_is_signed_without_the_signers_own_password() {
    let clinic = Clinic::new().await;
    let path = clinic.claimed_request().await;
    clinic.save_draft(&path, "crit_yellow").await;
    let sign = format!("{path}/sign");
    let with = |password: Value| json!({ "status": "preliminary", "draft_version": 1, "password": password });
    for none in [
        json!({ "status": "preliminary", "draft_version": 1 }),
        with(json!(null)),
        with(json!("")),
    ] {
        let none = clinic.try_send(&clinic.reader, Method::POST, &sign, &none).await;
        refused(none, StatusCode::UNPROCESSABLE_ENTITY, "password_required").await;
    }
    let wrong = async |n: u32| {
        let form = with(json!(format!("wrong {n}")));
        clinic.try_send(&clinic.reader, Method::POST, &sign, &form).await
    };
    refused(wrong(0).await, StatusCode::FORBIDDEN, "password_wrong").await;
    // The right one takes the failures before it back, and reaches the rules of signing.
    let signed = good(clinic.try_sign(&path, "preliminary").await).await;
    let addenda = format!(
        "/api/v1/reports/{}/addenda",
        signed["report_id"].as_str().unwrap()
    );
    let words = json!({ "text": "計測値を訂正する。" });
    let words = clinic.try_send(&clinic.reader, Method::POST, &addenda, &words);
    refused(words.await, StatusCode::UNPROCESSABLE_ENTITY, "password_required").await;
    for n in 1..=5 {
        refused(wrong(n).await, StatusCode::FORBIDDEN, "password_wrong").await;
    }
    let locked = clinic.try_sign(&path, "final").await;
    assert!(locked.headers().contains_key("retry-after"));
    refused(locked, StatusCode::TOO_MANY_REQUESTS, "too_many_attempts").await;
    // Someone who guesses at the signature keeps nobody from logging in, and the other way round.
    assert_eq!(
        clinic.relay.log_in("reader", PASSWORD).await.status(),
        StatusCode::OK
    );
    let trail = clinic.get(&clinic.admin, "/api/v1/audit").await;
    let refusals = trail["items"].as_array().unwrap().iter();
    let refusals = refusals.filter(|row| row["action"] == "sign_report" && row["outcome"] == "refused");
    let id = path.rsplit('/').next().unwrap();
    assert!(
        refusals
            .clone()
            .all(|row| row["subject_id"] == id && row["detail"]["code"] == "password_wrong")
    );
    assert_eq!(refusals.count(), 6);
    assert!(
        !trail.to_string().contains("wrong 1"),
        "what was typed is nowhere"
    );
    let seen = clinic.get(&clinic.reader, &path).await;
    assert_eq!(seen["reports"].as_array().unwrap().len(), 1);
    clinic.relay.advance(std::time::Duration::from_secs(16 * 60));
    clinic
        .post(&clinic.reader, &format!("{path}/claim"), &json!({}))
        .await;
    let last = good(clinic.try_sign(&path, "final").await).await;
    acknowledge(&clinic, &last).await;
    clinic.relay.stop().await;
}

/// Ends the ladder, so that no job is left behind.
async fn acknowledge(clinic: &Clinic, version: &Value) {
    let path = format!(
        "/api/v1/reports/{}/acknowledgements",
        version["report_id"].as_str().unwrap()
    );
    let form = json!({ "version": version["version"], "action_taken": "transfer" });
    clinic.post(&clinic.referrer, &path, &form).await;
}
