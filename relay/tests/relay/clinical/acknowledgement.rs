//! Delivered, read, acknowledged; mails that say nothing of the patient.

use reqwest::{Method, StatusCode};
use serde_json::json;
use tancho_relay::config::MailTls;

use super::clinic::{Clinic, SECRETS, good, refused};
use crate::mail::{MailServer, python_with_aiosmtpd, smtp_config};

#[tokio::test]
async fn delivered_read_and_acknowledged_are_three_facts_with_names() {
    let clinic = Clinic::new().await;
    let path = clinic.claimed_request().await;
    let signed = clinic.signed_report(&path, "crit_red").await;
    let report_path = format!("/api/v1/reports/{}", signed["report_id"].as_str().unwrap());
    let facts = async || {
        let seen = clinic.get(&clinic.reader, &path).await;
        let notice = seen["notices"][0].clone();
        assert_eq!(
            (notice["kind"].as_str(), seen["notices"].as_array().unwrap().len()),
            (Some("report_signed"), 1)
        );
        let known = |field: &str| notice[field].as_i64().is_some();
        (
            known("delivered_at_ms"),
            known("read_at_ms"),
            known("acknowledged_at_ms"),
        )
    };
    assert_eq!(facts().await, (false, false, false));
    let mine = clinic.get(&clinic.referrer, "/api/v1/notifications").await;
    assert_eq!(mine["items"][0]["deliveries"][0]["channel"], "in_app");
    assert_eq!(facts().await, (true, false, false));
    clinic.get(&clinic.referrer, &report_path).await;
    assert_eq!(
        facts().await,
        (true, true, false),
        "opening the report is reading it"
    );
    let acknowledgements = format!("{report_path}/acknowledgements");
    let form = json!({ "version": 1, "action_taken": "transfer", "comment": "搬送手配中" });
    for (person, status, code) in [
        (&clinic.stranger, StatusCode::NOT_FOUND, "not_found"),
        (&clinic.reader, StatusCode::FORBIDDEN, "role_not_allowed"),
        (&clinic.technologist, StatusCode::FORBIDDEN, "role_not_allowed"),
    ] {
        let wrong = clinic
            .try_send(person, Method::POST, &acknowledgements, &form)
            .await;
        refused(wrong, status, code).await;
    }
    let done = clinic
        .try_send(&clinic.referrer, Method::POST, &acknowledgements, &form)
        .await;
    assert_eq!(done.status(), StatusCode::CREATED);
    assert_eq!(
        good(done).await["acknowledged_by"]["id"],
        clinic.referrer.id.as_str()
    );
    assert_eq!(facts().await, (true, true, true));
    let twice = clinic
        .try_send(&clinic.referrer, Method::POST, &acknowledgements, &form)
        .await;
    refused(twice, StatusCode::CONFLICT, "already_acknowledged").await;
    let seen = clinic.get(&clinic.reader, &path).await;
    assert_eq!(seen["state"], "acknowledged");
    assert!(seen["acknowledged_at_ms"].as_i64().is_some());
    let report = clinic.get(&clinic.reader, &report_path).await;
    assert_eq!(report["acknowledgements"][0]["comment"], "搬送手配中");
    clinic.relay.stop().await;
}

#[tokio::test]
async fn an_acknowledgement_answers_for_its_own_version_only() {
    let clinic = Clinic::new().await;
    let path = clinic.claimed_request().await;
    clinic.save_draft(&path, "crit_yellow").await;
    good(clinic.try_sign(&path, "preliminary").await).await;
    let signed = clinic.signed_report(&path, "crit_yellow").await;
    assert_eq!(signed["version"], 2);
    let acknowledgements = format!(
        "/api/v1/reports/{}/acknowledgements",
        signed["report_id"].as_str().unwrap()
    );
    let form = json!({ "version": 2, "action_taken": "observe" });
    clinic.post(&clinic.referrer, &acknowledgements, &form).await;
    let seen = clinic.get(&clinic.reader, &path).await;
    let notices = seen["notices"].as_array().unwrap().iter();
    let answered = notices.map(|notice| {
        (
            notice["version"].as_i64(),
            !notice["acknowledged_at_ms"].is_null(),
        )
    });
    assert_eq!(answered.collect::<Vec<_>>(), [(Some(1), false), (Some(2), true)]);
    clinic.relay.stop().await;
}

#[tokio::test]
async fn flt_083_an_open_red_finding_is_listed_with_who_was_told_until_it_is_acknowledged() {
    let clinic = Clinic::new().await;
    let path = clinic.claimed_request().await;
    let list = async |person| clinic.get(person, "/api/v1/critical-results").await["items"].clone();
    assert_eq!(list(&clinic.reader).await, json!([]));
    let signed = clinic.signed_report(&path, "crit_red").await;
    let report_path = format!("/api/v1/reports/{}", signed["report_id"].as_str().unwrap());
    let open = list(&clinic.reader).await;
    let one = &open[0];
    assert_eq!(open.as_array().unwrap().len(), 1);
    assert_eq!(
        (&one["report_id"], &one["version"]),
        (&signed["report_id"], &json!(1))
    );
    assert_eq!(one["reader"], signed["reader"]);
    assert_eq!(
        (&one["requesting_site"], &one["acknowledged_at_ms"]),
        (&json!("道東診療所"), &json!(null))
    );
    assert!(one["acknowledge_by_ms"].as_i64() > one["signed_at_ms"].as_i64());
    let told = async || {
        let told = list(&clinic.reader).await[0]["told"].as_array().unwrap().clone();
        let mine = told
            .iter()
            .find(|told| told["person"]["id"] == clinic.referrer.id.as_str());
        let mine = mine.expect("the referring physician was told").clone();
        (mine["delivered_at_ms"].is_i64(), mine["read_at_ms"].is_i64())
    };
    assert_eq!(told().await, (false, false));
    clinic.get(&clinic.referrer, "/api/v1/notifications").await;
    assert_eq!(told().await, (true, false));
    clinic.get(&clinic.referrer, &report_path).await;
    assert_eq!(told().await, (true, true));
    for person in [&clinic.liaison, &clinic.admin, &clinic.second_reader] {
        assert_eq!(list(person).await, list(&clinic.reader).await);
    }
    for secret in ["DOTO", "HANAKO", "TN-000417", "被殻", "出血"] {
        assert!(!open.to_string().contains(secret), "the list holds {secret}");
    }
    let acknowledgements = format!("{report_path}/acknowledgements");
    let form = json!({ "version": 1, "action_taken": "transfer" });
    clinic.post(&clinic.referrer, &acknowledgements, &form).await;
    let done = list(&clinic.reader).await;
    assert_eq!(done[0]["acknowledged_by"]["id"], clinic.referrer.id.as_str());
    assert_eq!(
        done[0]["acknowledged_at_ms"].as_i64(),
        Some(clinic.relay.app().now_ms())
    );
    clinic
        .relay
        .advance(std::time::Duration::from_secs(12 * 60 * 60 + 1));
    assert_eq!(list(&clinic.reader).await, json!([]));
    clinic.relay.stop().await;
}

#[tokio::test]
async fn flt_085_a_refused_acknowledgement_is_in_the_audit_trail() {
    let clinic = Clinic::new().await;
    let path = clinic.claimed_request().await;
    let signed = clinic.signed_report(&path, "crit_yellow").await;
    let report_id = signed["report_id"].as_str().unwrap();
    let acknowledgements = format!("/api/v1/reports/{report_id}/acknowledgements");
    let form = |version: i64| json!({ "version": version, "action_taken": "observe" });
    let mut expected = Vec::new();
    for (person, version, status, code) in [
        (&clinic.stranger, 1, StatusCode::NOT_FOUND, "not_found"),
        (&clinic.reader, 1, StatusCode::FORBIDDEN, "role_not_allowed"),
        (
            &clinic.referrer,
            2,
            StatusCode::CONFLICT,
            "report_version_superseded",
        ),
    ] {
        let wrong = clinic
            .try_send(person, Method::POST, &acknowledgements, &form(version))
            .await;
        refused(wrong, status, code).await;
        expected.push((
            person.id.as_str(),
            "refused",
            json!({ "code": code, "version": version }),
        ));
    }
    // A form that is no acknowledgement at all is not one that was refused.
    let malformed = json!({ "version": 1, "action_taken": "nothing known" });
    let malformed = clinic.try_send(&clinic.referrer, Method::POST, &acknowledgements, &malformed);
    refused(
        malformed.await,
        StatusCode::UNPROCESSABLE_ENTITY,
        "action_unknown",
    )
    .await;
    clinic.post(&clinic.referrer, &acknowledgements, &form(1)).await;
    let twice = clinic
        .try_send(&clinic.referrer, Method::POST, &acknowledgements, &form(1))
        .await;
    refused(twice, StatusCode::CONFLICT, "already_acknowledged").await;
    let trail = clinic.get(&clinic.admin, "/api/v1/audit").await;
    let rows = trail["items"].as_array().unwrap().iter().rev();
    let rows = rows.filter(|row| row["action"] == "acknowledge_report" && row["outcome"] == "refused");
    let rows: Vec<_> = rows
        .inspect(|row| {
            assert_eq!(
                (&row["subject_kind"], &row["subject_id"]),
                (&json!("report"), &json!(report_id))
            )
        })
        .map(|row| {
            (
                row["actor_id"].as_str().unwrap(),
                row["outcome"].as_str().unwrap(),
                row["detail"].clone(),
            )
        })
        .collect();
    let again = json!({ "code": "already_acknowledged", "version": 1 });
    expected.push((clinic.referrer.id.as_str(), "refused", again));
    assert_eq!(rows, expected);
    clinic.relay.stop().await;
}

#[tokio::test]
async fn flt_120_a_mail_holds_the_case_code_and_nothing_of_the_patient() {
    let Some(python) = python_with_aiosmtpd() else {
        return;
    };
    let mut server = MailServer::start(&python, None).await;
    let mut smtp = smtp_config(&server, None);
    smtp.tls = MailTls::None;
    let clinic = Clinic::with(None, |config| config.smtp = Some(smtp)).await;
    let path = clinic.claimed_request().await;
    let signed = clinic.signed_report(&path, "crit_red").await;
    let mail = server.next_message().await;
    let code = clinic.get(&clinic.reader, &path).await["case_code"]
        .as_str()
        .unwrap()
        .to_owned();
    let text = format!("{} {} {}", mail["subject"], mail["text"], mail["raw"]);
    assert!(
        text.contains(&code) && text.contains(&path.replace("/api/v1/reading-requests", "/requests")),
        "{text}"
    );
    for secret in SECRETS {
        assert!(!text.contains(secret), "the mail holds {secret}");
    }
    // What the mail server said is an attempt of the delivery, and no more than that.
    let sent = clinic
        .until("the delivery is reported", async || {
            let seen = clinic.get(&clinic.reader, &path).await;
            let deliveries = seen["notices"][0]["deliveries"].as_array().unwrap().clone();
            let mail = deliveries
                .into_iter()
                .find(|delivery| delivery["channel"] == "email")
                .unwrap();
            (mail["state"] == "sent").then_some(mail)
        })
        .await;
    assert_eq!(sent["attempts"][0]["ok"], true);
    let seen = clinic.get(&clinic.reader, &path).await;
    assert_eq!(seen["notices"][0]["delivered_at_ms"], json!(null));
    let report = format!(
        "/api/v1/reports/{}/acknowledgements",
        signed["report_id"].as_str().unwrap()
    );
    clinic
        .post(
            &clinic.referrer,
            &report,
            &json!({ "version": 1, "action_taken": "treat" }),
        )
        .await;
    clinic.relay.stop().await;
}
