//! The outbox worker: once, whatever dies in between.

use std::time::Duration;

use tancho_domain::access::Role;
use tancho_relay::jobs;
use tancho_relay::jobs::clock_watch;
use tancho_relay::jobs::email::{self, Email};
use tancho_store::outbox::{self, JobState};

use crate::harness::{Person, TestRelay};
use crate::mail::{MailServer, python_with_aiosmtpd, smtp_config};

fn mail() -> Email {
    Email {
        to: "hanako@example.jp".to_owned(),
        subject: "Tancho 4711: report signed".to_owned(),
        text: "Case 4711 has a report.\nhttps://tancho.example.jp/\n".to_owned(),
    }
}

async fn enqueue(relay: &TestRelay, person: &Person) -> tancho_domain::ids::JobId {
    let mut tx = relay.app().db.write().await.unwrap();
    let id = email::enqueue(&mut tx, &person.scope.network_id, &mail(), relay.app().now_ms())
        .await
        .unwrap();
    tx.commit().await.unwrap();
    id
}

/// FLT-074: an hour that the clock is set back does not hold a job up for an hour.
#[tokio::test]
async fn flt_074_queued_jobs_follow_a_clock_that_is_set_back() {
    let relay = TestRelay::start_with(|config| config.jobs.workers = 0).await;
    let person = relay.someone(Role::Referrer).await;
    let app = relay.app();
    let due_ms = app.now_ms() + 600_000;
    let mut tx = app.db.write().await.unwrap();
    email::enqueue(&mut tx, &person.scope.network_id, &mail(), due_ms)
        .await
        .unwrap();
    tx.commit().await.unwrap();
    let next = async || {
        outbox::next_job_at(&mut app.db.read().await.unwrap())
            .await
            .unwrap()
    };
    let lead = clock_watch::Lead::of(&*app.clock);
    relay.step_clock(-1_000);
    let lead = clock_watch::look(app, lead).await.unwrap();
    assert_eq!(next().await, Some(due_ms), "a second is no step");
    relay.step_clock(-3_600_000);
    let lead = clock_watch::look(app, lead).await.unwrap();
    assert_eq!(next().await, Some(due_ms - 3_600_000));
    clock_watch::look(app, lead).await.unwrap();
    relay.step_clock(3_600_000);
    clock_watch::look(app, lead).await.unwrap();
    assert_eq!(
        next().await,
        Some(due_ms - 3_600_000),
        "rather too early than too late"
    );
}

#[tokio::test]
async fn flt_078_a_worker_that_dies_before_sending_leaves_the_mail_to_the_next() {
    let Some(python) = python_with_aiosmtpd() else {
        return;
    };
    let mut server = MailServer::start(&python, None).await;
    let relay = TestRelay::start_with(|config| {
        config.jobs.workers = 0;
        config.smtp = Some(smtp_config(&server, None));
    })
    .await;
    let person = relay.someone(Role::Referrer).await;
    // This worker takes the job and dies.
    let id = enqueue(&relay, &person).await;
    let taken = jobs::take_due_job(relay.app()).await.unwrap().unwrap();
    assert_eq!(taken.id, id);
    assert!(
        !jobs::run_due_job(relay.app()).await.unwrap(),
        "the lease still holds"
    );
    relay.advance(jobs::LEASE);
    assert!(jobs::run_due_job(relay.app()).await.unwrap());
    let message = server.next_message().await;
    assert_eq!(message["to"], serde_json::json!(["hanako@example.jp"]));
    let mut tx = relay.app().db.read().await.unwrap();
    let attempts = outbox::list_attempts(&mut tx, &person.scope, &id).await.unwrap();
    let outcomes: Vec<_> = attempts.iter().map(|one| one.outcome.as_str()).collect();
    assert_eq!(outcomes, ["lost", "done"]);
    drop(tx);
    let refused = {
        let mut tx = relay.app().db.write().await.unwrap();
        outbox::report_attempt(
            &mut tx,
            &taken,
            &outbox::Outcome::Done(String::new()),
            relay.app().now_ms(),
        )
        .await
    };
    assert!(
        matches!(refused, Err(tancho_store::StoreError::Stale)),
        "{refused:?}"
    );
    assert!(server.has_no_more());
    relay.stop().await;
}

#[tokio::test]
async fn flt_082_a_mail_server_that_is_away_is_tried_again_and_each_attempt_is_kept() {
    let Some(python) = python_with_aiosmtpd() else {
        return;
    };
    let mut server = MailServer::start(&python, None).await;
    let relay = TestRelay::start_with(|config| {
        let mut smtp = smtp_config(&server, None);
        // Nobody listens on the discard port.
        smtp.port = 9;
        config.jobs.workers = 0;
        config.smtp = Some(smtp);
    })
    .await;
    let person = relay.someone(Role::Referrer).await;
    let id = enqueue(&relay, &person).await;
    assert!(jobs::run_due_job(relay.app()).await.unwrap());
    assert_eq!(relay.count_jobs(JobState::Queued).await, 1);
    let config = smtp_config(&server, None);
    let relay = relay
        .restart_with(|restarted| {
            restarted.jobs.workers = 0;
            restarted.smtp = Some(config);
        })
        .await;
    relay.advance(Duration::from_secs(60));
    assert!(jobs::run_due_job(relay.app()).await.unwrap());
    server.next_message().await;
    let mut tx = relay.app().db.read().await.unwrap();
    let attempts = outbox::list_attempts(&mut tx, &person.scope, &id).await.unwrap();
    assert_eq!(attempts.len(), 2);
    assert_eq!(
        attempts[0].detail.as_deref(),
        Some("the mail server cannot be reached")
    );
    assert_eq!(
        (attempts[1].outcome.as_str(), attempts[1].detail.as_deref()),
        ("done", Some("accepted with 250"))
    );
    drop(tx);
    relay.stop().await;
}

#[tokio::test]
async fn a_ring_starts_a_job_at_once() {
    let Some(python) = python_with_aiosmtpd() else {
        return;
    };
    let mut server = MailServer::start(&python, None).await;
    let relay = TestRelay::start_with(|config| config.smtp = Some(smtp_config(&server, None))).await;
    let person = relay.someone(Role::Referrer).await;
    enqueue(&relay, &person).await;
    relay.app().jobs_waiting.notify_one();
    let message = server.next_message().await;
    assert_eq!(message["subject"], "Tancho 4711: report signed");
    wait_until_done(&relay).await;
    relay.stop().await;
}

#[tokio::test]
async fn a_job_of_an_unknown_kind_is_given_up_and_says_why() {
    let relay = TestRelay::start_with(|config| config.jobs.workers = 0).await;
    let person = relay.someone(Role::Referrer).await;
    let mut tx = relay.app().db.write().await.unwrap();
    let now_ms = relay.app().now_ms();
    let id = jobs::enqueue(
        &mut tx,
        &person.scope.network_id,
        "fax",
        &serde_json::json!({}),
        3,
        now_ms,
    )
    .await
    .unwrap();
    tx.commit().await.unwrap();
    jobs::run_due_job(relay.app()).await.unwrap();
    let mut tx = relay.app().db.read().await.unwrap();
    let job = outbox::get_job(&mut tx, &person.scope, &id).await.unwrap();
    assert_eq!((job.state, job.attempts), (JobState::Failed, 1));
    assert_eq!(
        job.last_error.as_deref(),
        Some("no such kind of job in this version")
    );
    drop(tx);
    relay.stop().await;
}

/// A worker reports after the server has the message: the store says when.
async fn wait_until_done(relay: &TestRelay) {
    let reported = async {
        while relay.count_jobs(JobState::Done).await != 1 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), reported)
        .await
        .expect("the job is reported");
}
