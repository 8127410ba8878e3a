//! Jobs: leases, fencing, attempts.

use tancho_domain::ids::{JobId, NetworkId};
use tancho_store::outbox::{self, Job, JobState, NewJob, Outcome};
use tancho_store::{Db, StoreError};

use crate::harness::{NOW_MS, small_network, uuid, whole};

const LEASE_MS: i64 = 60_000;

async fn enqueue(db: &Db, network_id: &NetworkId, run_at_ms: i64, attempts_max: i64) -> JobId {
    let id = JobId::new(uuid());
    let job = NewJob {
        id: &id,
        kind: "email",
        payload: "{}",
        run_at_ms,
        attempts_max,
    };
    let mut tx = db.write().await.unwrap();
    outbox::enqueue(&mut tx, network_id, &job, NOW_MS).await.unwrap();
    tx.commit().await.unwrap();
    id
}

async fn claim(db: &Db, now_ms: i64) -> Option<Job> {
    let mut tx = db.write().await.unwrap();
    let job = outbox::claim_due_job(&mut tx, now_ms, now_ms + LEASE_MS)
        .await
        .unwrap();
    tx.commit().await.unwrap();
    job
}

async fn report(db: &Db, job: &Job, outcome: Outcome, now_ms: i64) -> Result<JobState, StoreError> {
    let mut tx = db.write().await.unwrap();
    let state = outbox::report_attempt(&mut tx, job, &outcome, now_ms).await?;
    tx.commit().await.unwrap();
    Ok(state)
}

on_both_databases! {
    async fn a_job_is_taken_once_when_it_is_due(db: &Db) {
        let (network, _, _) = small_network(db).await;
        let later = enqueue(db, &network.id, NOW_MS + 10, 3).await;
        let sooner = enqueue(db, &network.id, NOW_MS + 5, 3).await;
        assert_eq!(claim(db, NOW_MS).await, None);
        let mut tx = db.read().await.unwrap();
        assert_eq!(outbox::next_job_at(&mut tx).await.unwrap(), Some(NOW_MS + 5));
        drop(tx);
        let first = claim(db, NOW_MS + 10).await.unwrap();
        assert_eq!((first.id.clone(), first.attempts, first.fencing), (sooner, 1, 1));
        assert_eq!(claim(db, NOW_MS + 10).await.unwrap().id, later);
        assert_eq!(claim(db, NOW_MS + 10).await, None);
        let state = report(db, &first, Outcome::Done("250".to_owned()), NOW_MS + 11).await.unwrap();
        assert_eq!(state, JobState::Done);
        let mut tx = db.read().await.unwrap();
        let job = outbox::get_job(&mut tx, &whole(&network), &first.id).await.unwrap();
        assert_eq!((job.state, job.finished_at_ms, job.lease_until_ms), (JobState::Done, Some(NOW_MS + 11), None));
        assert_eq!(outbox::count_jobs(&mut tx, JobState::Done).await.unwrap(), 1);
        assert_eq!(outbox::count_jobs(&mut tx, JobState::Running).await.unwrap(), 1);
    }

    async fn flt_070_a_dead_workers_job_is_taken_again(db: &Db) {
        let (network, _, _) = small_network(db).await;
        let id = enqueue(db, &network.id, NOW_MS, 3).await;
        claim(db, NOW_MS).await.unwrap();
        assert_eq!(claim(db, NOW_MS + LEASE_MS - 1).await, None);
        let again = claim(db, NOW_MS + LEASE_MS).await.unwrap();
        assert_eq!((again.id.clone(), again.attempts, again.fencing), (id.clone(), 2, 2));
        let mut tx = db.read().await.unwrap();
        let attempts = outbox::list_attempts(&mut tx, &whole(&network), &id).await.unwrap();
        let outcomes: Vec<_> = attempts.iter().map(|one| (one.fencing, one.outcome.as_str())).collect();
        assert_eq!(outcomes, [(1, "lost"), (2, "running")]);
    }

    async fn flt_071_a_worker_that_was_away_longer_than_its_lease_cannot_report(db: &Db) {
        let (network, _, _) = small_network(db).await;
        enqueue(db, &network.id, NOW_MS, 3).await;
        let late = claim(db, NOW_MS).await.unwrap();
        let current = claim(db, NOW_MS + LEASE_MS).await.unwrap();
        let refused = report(db, &late, Outcome::Done("250".to_owned()), NOW_MS + LEASE_MS + 1).await;
        assert!(matches!(refused, Err(StoreError::Stale)), "{refused:?}");
        let state = report(db, &current, Outcome::Done("250".to_owned()), NOW_MS + LEASE_MS + 2).await.unwrap();
        assert_eq!(state, JobState::Done);
        let twice = report(db, &current, Outcome::Done("250".to_owned()), NOW_MS + LEASE_MS + 3).await;
        assert!(matches!(twice, Err(StoreError::Stale)), "{twice:?}");
    }

    async fn failed_attempts_are_repeated_up_to_their_limit(db: &Db) {
        let (network, _, _) = small_network(db).await;
        let id = enqueue(db, &network.id, NOW_MS, 2).await;
        let first = claim(db, NOW_MS).await.unwrap();
        let retry = |run_at_ms| Outcome::Retry { error: "no\nanswer".to_owned(), run_at_ms };
        assert_eq!(report(db, &first, retry(NOW_MS + 50), NOW_MS + 1).await.unwrap(), JobState::Queued);
        assert_eq!(claim(db, NOW_MS + 49).await, None);
        let second = claim(db, NOW_MS + 50).await.unwrap();
        assert_eq!(second.last_error.as_deref(), Some("noanswer"));
        assert_eq!(report(db, &second, retry(NOW_MS + 99), NOW_MS + 51).await.unwrap(), JobState::Failed);
        assert_eq!(claim(db, NOW_MS + 1_000_000).await, None);
        let mut tx = db.read().await.unwrap();
        let attempts = outbox::list_attempts(&mut tx, &whole(&network), &id).await.unwrap();
        let outcomes: Vec<_> = attempts.iter().map(|one| one.outcome.as_str()).collect();
        assert_eq!(outcomes, ["retry", "failed"]);
        assert_eq!(outbox::next_job_at(&mut tx).await.unwrap(), None);
    }

    async fn a_job_that_kills_its_worker_every_time_is_given_up(db: &Db) {
        let (network, _, _) = small_network(db).await;
        let id = enqueue(db, &network.id, NOW_MS, 2).await;
        claim(db, NOW_MS).await.unwrap();
        claim(db, NOW_MS + LEASE_MS).await.unwrap();
        assert_eq!(claim(db, NOW_MS + 2 * LEASE_MS).await, None);
        let mut tx = db.read().await.unwrap();
        let job = outbox::get_job(&mut tx, &whole(&network), &id).await.unwrap();
        assert_eq!((job.state, job.attempts), (JobState::Failed, 2));
    }

    async fn jobs_of_another_network_are_not_found(db: &Db) {
        let (network, _, _) = small_network(db).await;
        let id = enqueue(db, &network.id, NOW_MS, 2).await;
        let mut tx = db.write().await.unwrap();
        let other = crate::harness::network(&mut tx, "other").await;
        let found = outbox::get_job(&mut tx, &whole(&other), &id).await;
        assert!(matches!(found, Err(StoreError::NotFound)), "{found:?}");
        assert_eq!(outbox::list_attempts(&mut tx, &whole(&other), &id).await.unwrap(), []);
    }
}
