//! Nobody acknowledges: the ladder climbs to its end, survives a restart, and stops when somebody does.

use std::time::Duration;

use serde_json::{Value, json};

use super::clinic::Clinic;
use crate::harness::Person;

const MINUTE: Duration = Duration::from_secs(60);

/// The steps of the ladder in the history, as the reader sees it.
async fn steps(clinic: &Clinic, path: &str) -> Vec<String> {
    let seen = clinic.get(&clinic.reader, path).await;
    let events = seen["events"].as_array().unwrap().iter();
    let steps = events.filter(|event| event["kind"] == "ladder_step");
    steps
        .map(|event| event["detail"]["step"].as_str().unwrap().to_owned())
        .collect()
}

async fn wait_for_steps(clinic: &Clinic, path: &str, expected: &[&str]) {
    let waited_for = format!("{expected:?}");
    clinic
        .until(&waited_for, async || {
            (steps(clinic, path).await == expected).then_some(())
        })
        .await;
}

async fn reminders(clinic: &Clinic, person: &Person) -> usize {
    let notices = clinic.get(person, "/api/v1/notifications").await;
    let kinds = notices["items"].as_array().unwrap().iter();
    kinds
        .filter(|notice| notice["kind"] == "report_unacknowledged")
        .count()
}

#[tokio::test]
async fn flt_083_the_ladder_runs_to_its_end_and_survives_a_restart() {
    let clinic = Clinic::new().await;
    let path = clinic.claimed_request().await;
    let signed = clinic.signed_report(&path, "crit_red").await;
    clinic.relay.advance(MINUTE * 7);
    assert_eq!(steps(&clinic, &path).await, Vec::<String>::new());
    clinic.relay.advance(MINUTE);
    wait_for_steps(&clinic, &path, &["renotify"]).await;
    assert_eq!(
        (
            reminders(&clinic, &clinic.referrer).await,
            reminders(&clinic, &clinic.reader).await
        ),
        (1, 0)
    );

    let Clinic {
        relay,
        scope,
        site,
        centre,
        node,
        technologist,
        referrer,
        liaison,
        reader,
        second_reader,
        stranger,
        admin,
    } = clinic;
    let relay = relay.restart_with(|_| {}).await;
    let clinic = Clinic {
        relay,
        scope,
        site,
        centre,
        node,
        technologist,
        referrer,
        liaison,
        reader,
        second_reader,
        stranger,
        admin,
    };
    clinic.relay.advance(MINUTE * 8);
    wait_for_steps(&clinic, &path, &["renotify", "second_channel"]).await;
    assert_eq!(
        reminders(&clinic, &clinic.reader).await,
        1,
        "the voice is the other channel"
    );
    assert_eq!(reminders(&clinic, &clinic.liaison).await, 0);
    clinic.relay.advance(MINUTE * 15);
    wait_for_steps(
        &clinic,
        &path,
        &["renotify", "second_channel", "liaison", "coordinator"],
    )
    .await;
    assert_eq!(
        (
            reminders(&clinic, &clinic.liaison).await,
            reminders(&clinic, &clinic.admin).await
        ),
        (2, 1)
    );
    let seen = clinic.get(&clinic.reader, "/api/v1/reading-requests").await;
    assert_eq!(
        seen["items"].as_array().unwrap().len(),
        1,
        "it stays on every list until somebody acknowledges"
    );
    acknowledge(&clinic, &signed).await;
    clinic.relay.stop().await;
}

#[tokio::test]
async fn an_acknowledgement_stops_the_ladder() {
    let clinic = Clinic::new().await;
    let path = clinic.claimed_request().await;
    let signed = clinic.signed_report(&path, "crit_red").await;
    clinic.relay.advance(MINUTE * 8);
    wait_for_steps(&clinic, &path, &["renotify"]).await;
    acknowledge(&clinic, &signed).await;
    clinic.relay.advance(MINUTE * 60);
    let did_something = tancho_relay::jobs::run_due_job(clinic.relay.app()).await.unwrap();
    assert!(!did_something);
    assert_eq!(steps(&clinic, &path).await, ["renotify"]);
    clinic.relay.stop().await;
}

async fn acknowledge(clinic: &Clinic, version: &Value) {
    let path = format!(
        "/api/v1/reports/{}/acknowledgements",
        version["report_id"].as_str().unwrap()
    );
    let form = json!({ "version": version["version"], "action_taken": "transfer" });
    clinic.post(&clinic.referrer, &path, &form).await;
}
