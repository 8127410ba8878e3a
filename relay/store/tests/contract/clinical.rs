//! Calls, reports, critical results and notices on both databases.

use tancho_domain::ids::{NotificationId, ReadingRequestId, ReportId};
use tancho_store::calls::{self, Call, CallAddendum, CallAttempt};
use tancho_store::critical_results::{self, CriticalResult, LadderStep};
use tancho_store::notifications::{self, NewNotification};
use tancho_store::outbox::{self, JobState};
use tancho_store::reading;
use tancho_store::reports::{self, Acknowledgement, ReportVersion};
use tancho_store::{Db, StoreError};

use crate::hospital::{Hospital, NOW_MS, id, request};

async fn with_request(db: &Db) -> (Hospital, ReadingRequestId) {
    let hospital = Hospital::new(db).await;
    let new = request(&hospital, 1, "4711");
    let mut tx = db.write().await.unwrap();
    reading::open_reading_request(&mut tx, &hospital.network_scope(), &new)
        .await
        .unwrap();
    tx.commit().await.unwrap();
    (hospital, new.id)
}

fn call(hospital: &Hospital, request_id: &ReadingRequestId) -> Call {
    Call {
        id: id(0x2000),
        reading_request_id: request_id.clone(),
        version: 1,
        state: "draft".to_owned(),
        direction: "reader_to_referrer".to_owned(),
        callee_role: "attending".to_owned(),
        recorded_by_id: hospital.reader.clone(),
        recorded_by_name: "reader".to_owned(),
        recorded_at_ms: NOW_MS,
        started_at_ms: NOW_MS,
        ended_at_ms: None,
        report_version_at_call: None,
        conversation: None,
        escalation: None,
        alternative_delivery: None,
        closed_at_ms: None,
    }
}

fn attempt(attempt_no: i64) -> CallAttempt {
    CallAttempt {
        attempt_no,
        number_dialed: "0153-00-1111".to_owned(),
        channel: "landline".to_owned(),
        callee_role: "attending".to_owned(),
        callee_name: None,
        started_at_ms: NOW_MS,
        ended_at_ms: None,
        outcome: None,
        failure_reason: None,
        next_action: None,
    }
}

fn version(hospital: &Hospital, report_id: &ReportId, number: i64) -> ReportVersion {
    ReportVersion {
        id: id(0x4000 + u128::try_from(number).unwrap()),
        report_id: report_id.clone(),
        version: number,
        status: "final".to_owned(),
        signed_at_ms: NOW_MS + number,
        reader_id: hospital.reader.clone(),
        reader_name: "reader".to_owned(),
        criticality: "crit_red".to_owned(),
        body: "{}".to_owned(),
        evaluation: "{}".to_owned(),
        templates: "[]".to_owned(),
        images_at_signing: "{}".to_owned(),
        calls: "[]".to_owned(),
        addendum_text: None,
        corrects_fields: "[]".to_owned(),
    }
}

async fn with_report(db: &Db) -> (Hospital, ReadingRequestId, ReportId) {
    let (hospital, request_id) = with_request(db).await;
    let report_id: ReportId = id(0x3000);
    let mut tx = db.write().await.unwrap();
    let first = version(&hospital, &report_id, 1);
    reports::add_report_version(&mut tx, &hospital.network_scope(), &request_id, &first)
        .await
        .unwrap();
    tx.commit().await.unwrap();
    (hospital, request_id, report_id)
}

on_both_databases! {
    /// A call grows while it is open; once closed it takes addenda only, and an ended dial never changes.
    async fn closed_calls_take_addenda_only(db: &Db) {
        let (hospital, request_id) = with_request(db).await;
        let scope = hospital.scope_of(&hospital.centre);
        let foreign = hospital.scope_of(&hospital.other_site);
        let mut record = call(&hospital, &request_id);
        let mut tx = db.write().await.unwrap();
        assert!(matches!(calls::start_call(&mut tx, &foreign, &record).await, Err(StoreError::NotFound)));
        calls::start_call(&mut tx, &scope, &record).await.unwrap();
        calls::add_attempt(&mut tx, &scope, &record.id, &attempt(1)).await.unwrap();
        let ended = CallAttempt {
            ended_at_ms: Some(NOW_MS + 5),
            outcome: Some("connected".to_owned()),
            ..attempt(1)
        };
        calls::end_attempt(&mut tx, &scope, &record.id, &ended).await.unwrap();
        let again = calls::end_attempt(&mut tx, &scope, &record.id, &ended).await;
        assert!(matches!(again, Err(StoreError::Stale)));
        assert_eq!(calls::list_attempts(&mut tx, &scope, &record.id).await.unwrap(), [ended]);
        record.conversation = Some("{}".to_owned());
        record.state = "connected".to_owned();
        assert_eq!(calls::save_call(&mut tx, &scope, 1, &record).await.unwrap(), 2);
        assert!(matches!(calls::save_call(&mut tx, &scope, 1, &record).await, Err(StoreError::Stale)));
        record.state = "closed".to_owned();
        record.closed_at_ms = Some(NOW_MS + 9);
        assert_eq!(calls::save_call(&mut tx, &scope, 2, &record).await.unwrap(), 3);
        assert!(matches!(calls::save_call(&mut tx, &scope, 3, &record).await, Err(StoreError::Stale)));
        let addendum = CallAddendum {
            seq: 0,
            text: "later".to_owned(),
            corrects_fields: "[]".to_owned(),
            author_id: hospital.reader.clone(),
            author_name: "reader".to_owned(),
            added_at_ms: NOW_MS + 20,
        };
        assert_eq!(calls::add_call_addendum(&mut tx, &scope, &record.id, &addendum).await.unwrap(), 1);
        assert_eq!(calls::add_call_addendum(&mut tx, &scope, &record.id, &addendum).await.unwrap(), 2);
        tx.commit().await.unwrap();

        let mut tx = db.read().await.unwrap();
        let stored = calls::get_call(&mut tx, &scope, &record.id).await.unwrap();
        assert_eq!((stored.version, stored.state.as_str()), (3, "closed"));
        assert_eq!(calls::list_calls(&mut tx, &scope, &request_id).await.unwrap(), [stored]);
        assert_eq!(calls::list_call_addenda(&mut tx, &scope, &record.id).await.unwrap().len(), 2);
        assert!(matches!(calls::get_call(&mut tx, &foreign, &record.id).await, Err(StoreError::NotFound)));
        assert!(calls::list_calls(&mut tx, &foreign, &request_id).await.unwrap().is_empty());
    }

    /// Versions follow each other without a gap; the signed ones stay, and each is acknowledged once by a person.
    async fn report_versions_follow_each_other(db: &Db) {
        let (hospital, request_id) = with_request(db).await;
        let scope = hospital.scope_of(&hospital.centre);
        let foreign = hospital.scope_of(&hospital.other_site);
        let report_id: ReportId = id(0x3000);
        let mut tx = db.write().await.unwrap();
        assert_eq!(reports::find_report_of_request(&mut tx, &scope, &request_id).await.unwrap(), None);
        let early = reports::add_report_version(&mut tx, &scope, &request_id, &version(&hospital, &report_id, 2)).await;
        assert!(matches!(early, Err(StoreError::Stale)));
        for number in 1..=2 {
            let new = version(&hospital, &report_id, number);
            reports::add_report_version(&mut tx, &scope, &request_id, &new).await.unwrap();
        }
        for number in [1, 2] {
            let again = version(&hospital, &report_id, number);
            let result = reports::add_report_version(&mut tx, &scope, &request_id, &again).await;
            assert!(matches!(result, Err(StoreError::Stale)), "{number}");
        }
        let own = hospital.scope_of(&hospital.site);
        let acknowledgement = Acknowledgement {
            report_id: report_id.clone(),
            version: 2,
            user_id: hospital.referrer.clone(),
            user_name: "referrer".to_owned(),
            site_id: hospital.site.clone(),
            action_taken: "transfer".to_owned(),
            remark: None,
            acknowledged_at_ms: NOW_MS + 30,
        };
        reports::add_acknowledgement(&mut tx, &own, &acknowledgement).await.unwrap();
        let twice = reports::add_acknowledgement(&mut tx, &own, &acknowledgement).await;
        assert!(matches!(twice, Err(StoreError::Conflict)));
        let hidden = reports::add_acknowledgement(&mut tx, &foreign, &acknowledgement).await;
        assert!(matches!(hidden, Err(StoreError::NotFound)));
        tx.commit().await.unwrap();

        let mut tx = db.read().await.unwrap();
        let report = reports::get_report(&mut tx, &own, &report_id).await.unwrap();
        assert_eq!((report.latest_version, report.status.as_str()), (2, "final"));
        assert_eq!(reports::find_report_of_request(&mut tx, &own, &request_id).await.unwrap(), Some(report));
        let versions = reports::list_report_versions(&mut tx, &own, &report_id).await.unwrap();
        assert_eq!(versions, [version(&hospital, &report_id, 1), version(&hospital, &report_id, 2)]);
        let seen = reports::list_acknowledgements(&mut tx, &scope, &report_id).await.unwrap();
        assert_eq!(seen, [acknowledgement]);
        assert!(matches!(reports::get_report(&mut tx, &foreign, &report_id).await, Err(StoreError::NotFound)));
        assert!(reports::list_report_versions(&mut tx, &foreign, &report_id).await.unwrap().is_empty());
        assert!(reports::list_acknowledgements(&mut tx, &foreign, &report_id).await.unwrap().is_empty());
    }

    /// Every field of a version changes its digest.
    async fn the_digest_covers_every_field(db: &Db) {
        let hospital = Hospital::new(db).await;
        let report_id: ReportId = id(0x3000);
        let signed = version(&hospital, &report_id, 1);
        let changes: [fn(&mut ReportVersion); 8] = [
            |version| version.version = 2,
            |version| version.status = "preliminary".to_owned(),
            |version| version.signed_at_ms += 1,
            |version| version.reader_name.push('x'),
            |version| version.criticality = "none".to_owned(),
            |version| version.body.push(' '),
            |version| version.addendum_text = Some(String::new()),
            |version| version.images_at_signing.push(' '),
        ];
        for (n, change) in changes.into_iter().enumerate() {
            let mut other = signed.clone();
            change(&mut other);
            assert_ne!(other.digest(), signed.digest(), "change {n}");
        }
        assert_eq!(signed.digest().len(), 64);
    }

    /// Steps are jobs with a time; an acknowledgement takes back those that have not run.
    async fn an_acknowledgement_takes_the_ladder_back(db: &Db) {
        let (hospital, request_id, report_id) = with_report(db).await;
        let scope = hospital.network_scope();
        let watch = CriticalResult {
            report_id: report_id.clone(),
            version: 1,
            reading_request_id: request_id,
            criticality: "crit_red".to_owned(),
            opened_at_ms: NOW_MS,
            acknowledge_by_ms: NOW_MS + 900,
            closed_at_ms: None,
            closed_as: None,
            closed_by_id: None,
        };
        let step = |step: i64, percent: i64| LadderStep {
            step,
            kind: "renotify".to_owned(),
            percent,
            due_at_ms: NOW_MS + 9 * percent,
            job_id: id(0x5000 + u128::try_from(step).unwrap()),
            done_at_ms: None,
            outcome: None,
            n_recipients: None,
        };
        let steps = [step(1, 50), step(2, 100), step(3, 150), step(4, 200)];
        let mut tx = db.write().await.unwrap();
        critical_results::open_critical_result(&mut tx, &scope, &watch, &steps, "ladder", 5).await.unwrap();
        let near = hospital.scope_of(&hospital.site);
        let foreign = hospital.scope_of(&hospital.other_site);
        let red = critical_results::list_watched_results(&mut tx, &near, "crit_red", NOW_MS).await.unwrap();
        assert_eq!(red.len(), 1);
        assert_eq!((&red[0].watch, red[0].reader_name.as_str(), red[0].closed_by_name.as_deref()), (&watch, "reader", None));
        for (scope, criticality) in [(&near, "crit_orange"), (&foreign, "crit_red")] {
            let none = critical_results::list_watched_results(&mut tx, scope, criticality, NOW_MS).await;
            assert!(none.unwrap().is_empty(), "{criticality}");
        }
        let notice = NewNotification {
            id: &id(0x6001),
            kind: "report_signed",
            reading_request_id: &watch.reading_request_id,
            report: Some((&report_id, 1)),
            case_code: "4711",
            criticality: Some("crit_red"),
            recipient_id: &hospital.referrer,
        };
        notifications::add_notification(&mut tx, &scope, &notice, NOW_MS).await.unwrap();
        let told = async |tx: &mut tancho_store::Tx, scope: &_, since_ms| {
            let list = notifications::list_notifications_of_watched_results(tx, scope, "crit_red", since_ms).await;
            list.unwrap().into_iter().map(|notice| notice.id).collect::<Vec<_>>()
        };
        assert_eq!(told(&mut tx, &near, NOW_MS).await, std::slice::from_ref(notice.id));
        assert!(told(&mut tx, &foreign, NOW_MS).await.is_empty());
        assert_eq!(outbox::count_jobs(&mut tx, JobState::Queued).await.unwrap(), 4);
        assert_eq!(outbox::next_job_at(&mut tx).await.unwrap(), Some(NOW_MS + 450));

        let job = outbox::claim_due_job(&mut tx, NOW_MS + 450, NOW_MS + 999).await.unwrap().unwrap();
        assert_eq!(job.id, steps[0].job_id);
        let taken = LadderStep {
            done_at_ms: Some(NOW_MS + 450),
            outcome: Some("taken".to_owned()),
            n_recipients: Some(1),
            ..steps[0].clone()
        };
        critical_results::finish_ladder_step(&mut tx, &scope, &report_id, 1, &taken).await.unwrap();
        let twice = critical_results::finish_ladder_step(&mut tx, &scope, &report_id, 1, &taken).await;
        assert!(matches!(twice, Err(StoreError::Stale)));
        outbox::report_attempt(&mut tx, &job, &outbox::Outcome::Done("taken".to_owned()), NOW_MS + 451).await.unwrap();

        let by = Some(hospital.referrer.as_str());
        let close = async |tx: &mut tancho_store::Tx| {
            critical_results::close_critical_results(tx, &scope, &report_id, 1, "acknowledged", by, NOW_MS + 500).await
        };
        assert_eq!(close(&mut tx).await.unwrap(), 1);
        assert_eq!(close(&mut tx).await.unwrap(), 0);
        assert_eq!(outbox::count_jobs(&mut tx, JobState::Queued).await.unwrap(), 0);
        let ladder = critical_results::list_ladder_steps(&mut tx, &scope, &report_id, 1).await.unwrap();
        let outcomes: Vec<_> = ladder.iter().filter_map(|step| step.outcome.as_deref()).collect();
        assert_eq!(outcomes, ["taken", "cancelled", "cancelled", "cancelled"]);
        let closed = critical_results::get_critical_result(&mut tx, &scope, &report_id, 1).await.unwrap();
        assert_eq!((closed.closed_at_ms, closed.closed_as.as_deref()), (Some(NOW_MS + 500), Some("acknowledged")));
        assert_eq!(closed.closed_by_id.as_deref(), by);
        for (since_ms, n_shown) in [(NOW_MS + 500, 1), (NOW_MS + 501, 0)] {
            let red = critical_results::list_watched_results(&mut tx, &near, "crit_red", since_ms).await.unwrap();
            assert_eq!(red.iter().filter(|one| one.closed_by_name.as_deref() == Some("referrer")).count(), n_shown);
            assert_eq!(told(&mut tx, &near, since_ms).await.len(), n_shown);
        }
        let hidden = critical_results::get_critical_result(&mut tx, &foreign, &report_id, 1).await;
        assert!(matches!(hidden, Err(StoreError::NotFound)));
    }

    /// Delivered, read and acknowledged are three facts; only the recipient reads a notice.
    async fn notices_keep_three_facts_apart(db: &Db) {
        let (hospital, request_id, report_id) = with_report(db).await;
        let scope = hospital.scope_of(&hospital.site);
        let notice_id: NotificationId = id(0x6000);
        let new = NewNotification {
            id: &notice_id,
            kind: "report_signed",
            reading_request_id: &request_id,
            report: Some((&report_id, 1)),
            case_code: "4711",
            criticality: Some("crit_red"),
            recipient_id: &hospital.referrer,
        };
        let mut tx = db.write().await.unwrap();
        notifications::add_notification(&mut tx, &scope, &new, NOW_MS).await.unwrap();
        let job = outbox::NewJob { id: &id(0x7000), kind: "email", payload: "{}", run_at_ms: NOW_MS, attempts_max: 3 };
        outbox::enqueue(&mut tx, &hospital.network_id, &job, NOW_MS).await.unwrap();
        notifications::add_delivery(&mut tx, &notice_id, "email", Some(job.id.as_str()), NOW_MS).await.unwrap();
        let claimed = outbox::claim_due_job(&mut tx, NOW_MS, NOW_MS + 99).await.unwrap().unwrap();
        let accepted = outbox::Outcome::Done("accepted with 250".to_owned());
        outbox::report_attempt(&mut tx, &claimed, &accepted, NOW_MS + 1).await.unwrap();

        let (me, other) = (&hospital.referrer, &hospital.reader);
        let facts = async |tx: &mut tancho_store::Tx| {
            let notice = notifications::get_notification(tx, &scope, &notice_id).await.unwrap();
            (notice.delivered_at_ms, notice.read_at_ms, notice.acknowledged_at_ms)
        };
        assert_eq!(facts(&mut tx).await, (None, None, None));
        assert_eq!(notifications::mark_delivered(&mut tx, &scope, me, NOW_MS + 2).await.unwrap(), 1);
        assert_eq!(notifications::mark_delivered(&mut tx, &scope, me, NOW_MS + 3).await.unwrap(), 0);
        let not_mine = notifications::mark_read(&mut tx, &scope, &notice_id, other, NOW_MS + 3).await;
        assert!(matches!(not_mine, Err(StoreError::NotFound)));
        notifications::mark_read(&mut tx, &scope, &notice_id, me, NOW_MS + 4).await.unwrap();
        notifications::mark_read(&mut tx, &scope, &notice_id, me, NOW_MS + 5).await.unwrap();
        let read = notifications::mark_report_read(&mut tx, &scope, &report_id, 1, me, NOW_MS + 6).await.unwrap();
        assert_eq!(read, 0, "it was read already");
        let by = notifications::mark_acknowledged(&mut tx, &scope, &report_id, 1, me, NOW_MS + 7).await.unwrap();
        assert_eq!(by, 1);
        assert_eq!(facts(&mut tx).await, (Some(NOW_MS + 2), Some(NOW_MS + 4), Some(NOW_MS + 7)));
        tx.commit().await.unwrap();

        let mut tx = db.read().await.unwrap();
        let mine = notifications::list_notifications_of_user(&mut tx, &scope, me).await.unwrap();
        assert_eq!(mine.len(), 1);
        assert_eq!(mine[0].recipient_site_code, "doto");
        assert_eq!(mine[0].read_by_name.as_deref(), Some("referrer"));
        let about = notifications::list_notifications_of_request(&mut tx, &scope, &request_id).await.unwrap();
        assert_eq!(about, mine);
        let foreign = hospital.scope_of(&hospital.other_site);
        let hidden = notifications::list_notifications_of_request(&mut tx, &foreign, &request_id).await.unwrap();
        assert!(hidden.is_empty());
        let (deliveries, attempts) =
            notifications::list_deliveries(&mut tx, &scope, Some(&request_id), None).await.unwrap();
        let channels: Vec<_> =
            deliveries.iter().map(|delivery| (delivery.channel.as_str(), delivery.job_state.as_deref())).collect();
        assert_eq!(channels, [("email", Some("done")), ("in_app", None)]);
        assert_eq!(attempts.len(), 1);
        assert_eq!(attempts[0].detail.as_deref(), Some("accepted with 250"));
    }

    /// What is final is refused by the database itself, whatever a program tries.
    async fn the_database_refuses_to_change_what_is_final(db: &Db) {
        let (_hospital, _request_id, _report_id) = with_report(db).await;
        for text in [
            "update report_versions set body = 'x'",
            "delete from report_versions",
        ] {
            let changed = match db {
                Db::Sqlite { writer, .. } => sqlx::query(text).execute(writer).await.map(|_| ()),
                Db::Postgres(pool) => sqlx::query(text).execute(pool).await.map(|_| ()),
            };
            assert!(changed.is_err(), "{text}");
        }
    }
}
