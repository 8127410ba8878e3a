//! Worklist, claims, drafts, clinical context, returning and withdrawing.

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use tancho_relay::secrets::new_uuid;
use tancho_store::sites::SiteKind;

use super::clinic::{Clinic, good, refused, report_body};
use crate::harness::{NOW_MS, Person};

#[tokio::test]
async fn a_stat_study_opens_a_request_by_itself_at_the_first_head() {
    let clinic = Clinic::new().await;
    let path = clinic.stat_request().await;
    let seen = clinic.get(&clinic.reader, &path).await;
    assert_eq!(seen["state"], "readable");
    assert_eq!(
        (seen["urgency"].as_str(), seen["transfer_class"].as_str()),
        (Some("critical"), Some("stat"))
    );
    assert_eq!(seen["case_code"].as_str().unwrap().len(), 4);
    assert_eq!(seen["callback_number"], "0153-00-0000", "the site's phone");
    assert_eq!(seen["clinical_context_complete"], false);
    assert_eq!(seen["clinical_context"]["sex"], "female");
    assert_eq!(seen["clinical_context"]["age_years"], 77);
    assert_eq!(seen["patient"]["name"]["ideographic"], "道東^花子");
    assert_eq!(seen["patient"]["age_years"], 77);
    assert_eq!(seen["arrival"]["verified"], 2);
    assert_eq!(seen["study"]["modalities"], json!(["CT"]));
    assert_eq!(seen["events"][0]["kind"], "opened");
    assert_eq!(seen["contacts"][0]["number"], "0153-00-0000");
    assert!(seen["due"]["verbal_by_ms"].as_i64().is_some());
    assert_eq!(seen["warnings"], json!([]));
    clinic.relay.stop().await;
}

#[tokio::test]
async fn a_routine_study_waits_for_someone_to_ask() {
    let clinic = Clinic::new().await;
    clinic.arrive(1, "TANCHO").await;
    let list = clinic.get(&clinic.reader, "/api/v1/reading-requests").await;
    assert_eq!(list["items"], json!([]));
    let form = json!({ "study_instance_uid": super::clinic::STUDY_UID, "urgency": "urgent",
                       "callback_number": "0153-00-1111" });
    let made = clinic
        .try_send(&clinic.referrer, Method::POST, "/api/v1/reading-requests", &form)
        .await;
    assert_eq!(made.status(), StatusCode::CREATED);
    let made = good(made).await;
    assert_eq!(
        (made["state"].as_str(), made["urgency"].as_str()),
        (Some("readable"), Some("urgent"))
    );
    let again = clinic
        .try_send(&clinic.referrer, Method::POST, "/api/v1/reading-requests", &form)
        .await;
    let again = refused(again, StatusCode::CONFLICT, "already_requested").await;
    assert_eq!(again["reading_request_id"], made["id"]);
    let unreachable =
        json!({ "study_instance_uid": "1.2.3", "urgency": "urgent", "callback_number": "医局" });
    let unreachable = clinic
        .try_send(
            &clinic.referrer,
            Method::POST,
            "/api/v1/reading-requests",
            &unreachable,
        )
        .await;
    refused(
        unreachable,
        StatusCode::UNPROCESSABLE_ENTITY,
        "callback_number_required",
    )
    .await;
    let theirs =
        json!({ "study_id": made["study"]["id"], "urgency": "urgent", "callback_number": "0153-00-1111" });
    let theirs = clinic
        .try_send(
            &clinic.stranger,
            Method::POST,
            "/api/v1/reading-requests",
            &theirs,
        )
        .await;
    refused(theirs, StatusCode::NOT_FOUND, "not_found").await;
    clinic.relay.stop().await;
}

#[tokio::test]
async fn a_request_may_come_before_its_study() {
    let clinic = Clinic::new().await;
    let form = json!({ "study_instance_uid": super::clinic::STUDY_UID, "urgency": "stroke_code",
                       "callback_number": "0153-00-1111" });
    let made = clinic
        .post(&clinic.technologist, "/api/v1/reading-requests", &form)
        .await;
    assert_eq!(made["state"], "requested");
    clinic.arrive(1, "TANCHO_STAT").await;
    let path = format!("/api/v1/reading-requests/{}", made["id"].as_str().unwrap());
    let seen = clinic.get(&clinic.reader, &path).await;
    assert_eq!(
        (seen["state"].as_str(), seen["urgency"].as_str()),
        (Some("readable"), Some("stroke_code"))
    );
    assert_eq!(seen["patient"]["patient_id"], "TN-000417");
    clinic.relay.stop().await;
}

#[tokio::test]
async fn without_a_number_a_request_opens_with_an_alarm() {
    let clinic = Clinic::with(None, |_| {}).await;
    let path = clinic.stat_request().await;
    let seen = clinic.get(&clinic.reader, &path).await;
    assert_eq!(seen["warnings"], json!(["no_callback_number"]));
    clinic.relay.stop().await;
}

#[tokio::test]
async fn flt_079_of_two_readers_one_has_the_claim() {
    let clinic = Clinic::new().await;
    let path = clinic.stat_request().await;
    let claim = format!("{path}/claim");
    let nothing = json!({});
    let (one, other) = tokio::join!(
        clinic.try_send(&clinic.reader, Method::POST, &claim, &nothing),
        clinic.try_send(&clinic.second_reader, Method::POST, &claim, &nothing)
    );
    let (won, lost) = if one.status() == StatusCode::OK {
        (one, other)
    } else {
        (other, one)
    };
    let won = good(won).await;
    assert_eq!(won["state"], "claimed");
    refused(lost, StatusCode::CONFLICT, "already_claimed").await;

    // A lapsed claim may be taken over, and the history says from whom.
    let first_is_reader = won["claim"]["reader"]["id"] == clinic.reader.id.as_str();
    let other = if first_is_reader {
        &clinic.second_reader
    } else {
        &clinic.reader
    };
    let mine = if first_is_reader {
        &clinic.reader
    } else {
        &clinic.second_reader
    };
    clinic.relay.advance(std::time::Duration::from_secs(9 * 60));
    clinic.post(mine, &format!("{path}/heartbeat"), &nothing).await;
    clinic.relay.advance(std::time::Duration::from_secs(9 * 60));
    let still = clinic.try_send(other, Method::POST, &claim, &nothing).await;
    refused(still, StatusCode::CONFLICT, "already_claimed").await;
    clinic.relay.advance(std::time::Duration::from_secs(2 * 60));
    let taken = clinic.post(other, &claim, &nothing).await;
    assert_eq!(taken["claim"]["reader"]["id"], other.id.as_str());
    let late = clinic
        .try_send(mine, Method::POST, &format!("{path}/heartbeat"), &nothing)
        .await;
    refused(late, StatusCode::CONFLICT, "not_claimed").await;
    clinic.relay.stop().await;
}

#[tokio::test]
async fn a_repeated_command_gives_the_first_answer_and_changes_nothing() {
    let clinic = Clinic::new().await;
    let path = clinic.stat_request().await;
    let key = new_uuid().to_string();
    let claim = async || {
        let request = clinic.relay.request(Method::POST, &format!("{path}/claim"));
        let request = request
            .bearer_auth(&clinic.reader.token)
            .header("Idempotency-Key", &key);
        good(request.json(&json!({})).send().await.unwrap()).await
    };
    let first = claim().await;
    clinic.relay.advance(std::time::Duration::from_secs(60));
    assert_eq!(claim().await, first);
    let seen = clinic.get(&clinic.reader, &path).await;
    assert_eq!(seen["version"], first["version"]);
    let claims = seen["events"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|event| event["kind"] == "claimed")
        .count();
    assert_eq!(claims, 1);
    clinic.relay.stop().await;
}

#[tokio::test]
async fn flt_079_the_second_save_of_a_draft_is_refused_with_both_texts_kept() {
    let clinic = Clinic::new().await;
    let path = clinic.claimed_request().await;
    let draft = format!("{path}/draft");
    let mut text = report_body("crit_yellow");
    let saved = clinic
        .send(&clinic.reader, Method::PUT, &draft, &json!({ "body": text }))
        .await;
    assert_eq!(saved["version"], 1);
    text["impression_text"] = json!("another tab");
    let form = json!({ "base_version": 0, "body": text });
    let stale = clinic.try_send(&clinic.reader, Method::PUT, &draft, &form).await;
    let stale = refused(stale, StatusCode::CONFLICT, "draft_stale").await;
    assert_eq!(stale["current"]["body"]["impression_text"], "左被殻出血。");
    let other = clinic
        .try_send(&clinic.second_reader, Method::PUT, &draft, &form)
        .await;
    refused(other, StatusCode::CONFLICT, "already_claimed").await;
    // Half a text is a draft too.
    let half = json!({ "base_version": 1, "body": { "findings_text": "左" } });
    let saved = clinic.send(&clinic.reader, Method::PUT, &draft, &half).await;
    assert_eq!(saved["version"], 2);
    assert_eq!(saved["evaluation"]["can_sign"]["preliminary"]["ok"], false);
    clinic.relay.stop().await;
}

#[tokio::test]
async fn findings_are_evaluated_on_the_relay() {
    let clinic = Clinic::new().await;
    let path = clinic.claimed_request().await;
    let id = path.rsplit('/').next().unwrap();
    let form = json!({ "reading_request_id": id, "finding_blocks": report_body("none")["finding_blocks"] });
    let found = clinic
        .post(&clinic.reader, "/api/v1/findings/evaluate", &form)
        .await;
    let calc = &found["blocks"][0]["calc"];
    assert_eq!(calc["volume_ml"]["value"], 30.4, "{found}");
    assert_eq!(calc["ich_score"]["value"], serde_json::Value::Null);
    assert!(
        calc["ich_score"]["reason"]
            .as_str()
            .unwrap()
            .starts_with("missing:"),
        "{calc}"
    );
    let templates = clinic.get(&clinic.reader, "/api/v1/templates").await;
    let ids: Vec<_> = templates["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|item| item["id"].clone())
        .collect();
    assert!(
        ids.contains(&json!("ich")) && ids.contains(&json!("normal")),
        "{ids:?}"
    );
    clinic.relay.stop().await;
}

#[tokio::test]
async fn the_sender_completes_what_the_reader_sends_back() {
    let clinic = Clinic::new().await;
    let path = clinic.claimed_request().await;
    let empty = json!({ "reason": " " });
    let empty = clinic
        .try_send(&clinic.reader, Method::POST, &format!("{path}/return"), &empty)
        .await;
    refused(empty, StatusCode::UNPROCESSABLE_ENTITY, "reason_required").await;
    let returned = clinic
        .post(
            &clinic.reader,
            &format!("{path}/return"),
            &json!({ "reason": "GCS?" }),
        )
        .await;
    assert_eq!(returned["state"], "returned");
    let notices = clinic.get(&clinic.technologist, "/api/v1/notifications").await;
    assert_eq!(notices["items"][0]["kind"], "returned");
    let expected = json!({ "reason": "GCS?", "at_ms": NOW_MS,
                           "by": { "id": clinic.reader.id.as_str(), "name": "佐藤 花子" } });
    assert_eq!(returned["returned"], expected);
    for person in [&clinic.technologist, &clinic.referrer, &clinic.second_reader] {
        let list = clinic.get(person, "/api/v1/reading-requests").await;
        assert_eq!(list["items"][0]["returned"], expected);
        assert_eq!(clinic.get(person, &path).await["returned"], expected);
    }
    let wrong = json!({ "sbp": 999 });
    let context = format!("{path}/clinical-context");
    let wrong = clinic
        .try_send(&clinic.referrer, Method::PATCH, &context, &wrong)
        .await;
    let wrong = refused(
        wrong,
        StatusCode::UNPROCESSABLE_ENTITY,
        "clinical_context_invalid",
    )
    .await;
    assert_eq!(wrong["problems"][0]["field"], "sbp");
    let patch = json!({ "gcs_e": 2, "gcs_v": 2, "gcs_m": 5, "callback_number": "0153-00-1111",
                        "responsible_physician": "佐藤花子" });
    let seen = clinic
        .send(&clinic.referrer, Method::PATCH, &context, &patch)
        .await;
    assert_eq!(seen["state"], "readable");
    assert_eq!(seen["returned"], Value::Null, "what was missing is there");
    assert_eq!(seen["clinical_context"]["gcs_m"], "5");
    assert_eq!(seen["callback_number"], "0153-00-1111");
    assert!(
        !seen["missing_context"]
            .as_array()
            .unwrap()
            .contains(&json!("gcs_e"))
    );
    let reader = clinic
        .try_send(&clinic.reader, Method::PATCH, &context, &patch)
        .await;
    refused(reader, StatusCode::FORBIDDEN, "role_not_allowed").await;
    let cancelled = clinic
        .post(
            &clinic.referrer,
            &format!("{path}/cancel"),
            &json!({ "reason": "誤送信" }),
        )
        .await;
    assert_eq!(cancelled["state"], "cancelled");
    let open = clinic.get(&clinic.reader, "/api/v1/reading-requests").await;
    assert_eq!(open["items"], json!([]));
    let closed = clinic
        .get(&clinic.reader, "/api/v1/reading-requests?state=closed")
        .await;
    assert_eq!(closed["items"].as_array().unwrap().len(), 1);
    clinic.relay.stop().await;
}

#[tokio::test]
async fn the_worklist_is_searched_in_every_script_and_never_in_an_address() {
    let clinic = Clinic::new().await;
    clinic.stat_request().await;
    let path = "/api/v1/reading-requests/search";
    let n_found = async |person: &Person, search: Value| {
        let found = clinic.post(person, path, &search).await;
        found["items"].as_array().unwrap().len()
    };
    let reader = &clinic.reader;
    for text in [
        "花子",
        "道東 花子",
        "はなこ",
        "ﾊﾅｺ",
        "hanako",
        "Doutou^Hanako",
        "000417",
        "",
    ] {
        assert_eq!(n_found(reader, json!({ "q": text })).await, 1, "{text}");
    }
    for text in ["太郎", "花子 太郎", "・-%"] {
        assert_eq!(n_found(reader, json!({ "q": text })).await, 0, "{text}");
    }
    assert_eq!(
        n_found(reader, json!({ "q": "花子", "state": "closed" })).await,
        0
    );
    assert_eq!(n_found(reader, json!({ "q": "花子", "state": "all" })).await, 1);
    assert_eq!(
        n_found(&clinic.stranger, json!({ "q": "花子", "state": "all" })).await,
        0
    );
    let long = clinic
        .try_send(reader, Method::POST, path, &json!({ "q": "a b c d e" }))
        .await;
    refused(long, StatusCode::BAD_REQUEST, "search_too_long").await;
    // Addresses end up in logs and histories.
    let in_address = clinic
        .relay
        .get(reader, "/api/v1/reading-requests?q=hanako")
        .await;
    assert_eq!(in_address.status(), StatusCode::BAD_REQUEST);
    let born = &clinic.get(reader, "/api/v1/reading-requests").await["items"][0]["patient"];
    assert_eq!(
        (&born["birth_date"], &born["birth_date_era"]),
        (&json!("19480305"), &json!("昭和23年"))
    );
    clinic.relay.stop().await;
}

#[tokio::test]
async fn another_site_sees_nothing_of_it() {
    let clinic = Clinic::new().await;
    let path = clinic.claimed_request().await;
    let list = clinic
        .get(&clinic.stranger, "/api/v1/reading-requests?state=all")
        .await;
    assert_eq!(list["items"], json!([]));
    let seen = clinic.relay.get(&clinic.stranger, &path).await;
    refused(seen, StatusCode::NOT_FOUND, "not_found").await;
    let (scope, site) = clinic
        .relay
        .site("another network", "CENTRE", SiteKind::Both)
        .await;
    let reader = clinic
        .relay
        .person(&scope, &site, "reader", tancho_domain::access::Role::Reader)
        .await;
    let claim = clinic
        .try_send(&reader, Method::POST, &format!("{path}/claim"), &json!({}))
        .await;
    refused(claim, StatusCode::NOT_FOUND, "not_found").await;
    // A technologist sees that a report is there, never what it says.
    clinic.save_draft(&path, "crit_yellow").await;
    good(clinic.try_sign(&path, "preliminary").await).await;
    let seen = clinic.get(&clinic.technologist, &path).await;
    assert_eq!(
        (&seen["reports"], &seen["draft"], &seen["criticality"]),
        (&json!([]), &json!(null), &json!(null))
    );
    assert_eq!(seen["report_status"], "preliminary");
    let seen = clinic.get(&clinic.referrer, &path).await;
    let report_id = seen["reports"][0]["report_id"].as_str().unwrap();
    assert_eq!(seen["draft"], json!(null), "unsigned text is the reader's");
    let form = json!({ "version": 1, "action_taken": "observe" });
    clinic
        .post(
            &clinic.referrer,
            &format!("/api/v1/reports/{report_id}/acknowledgements"),
            &form,
        )
        .await;
    clinic.relay.stop().await;
}
