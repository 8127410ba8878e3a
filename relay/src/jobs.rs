//! Does what committed changes have caused: takes jobs from the outbox, one file per kind of work under `jobs/`.
//!
//! A job may run twice (a worker can die after the effect and before its report), so each kind makes its effect
//! recognisable. A worker holds a job for a lease; the fencing number keeps a late one from reporting.

use std::time::Duration;

use tancho_domain::ids::JobId;
use tancho_store::outbox::{self, Job, NewJob, Outcome};
use tancho_store::{StoreError, Tx};

use crate::critical_results::ladder;
use crate::http::caller::millis;
use crate::metrics::JobLabels;
use crate::secrets;
use crate::state::AppState;

pub mod audit_checkpoints;
pub mod clock_watch;
pub mod email;
pub mod housekeeping;
pub mod scrub;

/// How long a worker holds a job. Every kind of work must end well before.
pub const LEASE: Duration = Duration::from_secs(120);
/// Longest sleep of an idle worker: another relay may have enqueued something.
const LOOK_AGAIN_AFTER: Duration = Duration::from_secs(30);
/// First and longest wait between attempts; it doubles in between.
const RETRY_AFTER_MIN: Duration = Duration::from_secs(10);
const RETRY_AFTER_MAX: Duration = Duration::from_secs(600);

/// Starts the workers and what runs beside them; they stop with the relay, after the job at hand.
pub fn start(app: &AppState) {
    for _ in 0..app.config.jobs.workers {
        app.tasks.spawn(work(app.clone()));
    }
    app.tasks.spawn(housekeeping::run(app.clone()));
    app.tasks.spawn(clock_watch::run(app.clone()));
    app.tasks.spawn(audit_checkpoints::run(app.clone()));
    app.tasks.spawn(scrub::run(app.clone()));
}

async fn work(app: AppState) {
    while !app.shutdown.is_cancelled() {
        let pause = match run_due_job(&app).await {
            Ok(true) => continue,
            Ok(false) => time_to_next_job(&app).await,
            Err(error) => {
                tracing::warn!(error = %error, "the outbox cannot be read");
                RETRY_AFTER_MIN
            }
        };
        tokio::select! {
            () = app.shutdown.cancelled() => return,
            () = app.jobs_waiting.notified() => {}
            () = app.clock.sleep(pause) => {}
        }
    }
}

async fn time_to_next_job(app: &AppState) -> Duration {
    let next = async {
        let mut tx = app.db.read().await?;
        outbox::next_job_at(&mut tx).await
    };
    match next.await {
        Ok(Some(at_ms)) => {
            let wait_ms = u64::try_from(at_ms - app.now_ms()).unwrap_or(0);
            Duration::from_millis(wait_ms.max(1)).min(LOOK_AGAIN_AFTER)
        }
        _ => LOOK_AGAIN_AFTER,
    }
}

/// Takes the job that is due longest and does it. `false` when none is due.
pub async fn run_due_job(app: &AppState) -> Result<bool, StoreError> {
    let Some(job) = take_due_job(app).await? else {
        return Ok(false);
    };
    let outcome = carry_out(app, &job).await;
    let mut tx = app.db.write().await?;
    match outbox::report_attempt(&mut tx, &job, &outcome, app.now_ms()).await {
        Ok(state) => {
            tx.commit().await?;
            app.metrics
                .job_attempts
                .get_or_create(&JobLabels {
                    kind: job.kind.clone(),
                    state: state.as_str(),
                })
                .inc();
            if state == outbox::JobState::Failed {
                tracing::error!(job.id = %job.id, job.kind = %job.kind, "a job was given up");
            }
        }
        Err(StoreError::Stale) => {
            tracing::warn!(job.id = %job.id, job.kind = %job.kind, "a job took longer than its lease");
        }
        Err(other) => return Err(other),
    }
    Ok(true)
}

/// Takes a job without doing it; for [`run_due_job`] and for tests of a worker that dies.
pub async fn take_due_job(app: &AppState) -> Result<Option<Job>, StoreError> {
    // Looked at first without the write lock: an idle relay writes nothing.
    let mut tx = app.db.read().await?;
    let next_ms = outbox::next_job_at(&mut tx).await?;
    drop(tx);
    let now_ms = app.now_ms();
    if next_ms.is_none_or(|next_ms| next_ms > now_ms) {
        return Ok(None);
    }
    let mut tx = app.db.write().await?;
    let job = outbox::claim_due_job(&mut tx, now_ms, now_ms + millis(LEASE)).await?;
    // Committed before the work starts: an attempt that kills the relay still counts.
    tx.commit().await?;
    Ok(job)
}

async fn carry_out(app: &AppState, job: &Job) -> Outcome {
    match job.kind.as_str() {
        email::KIND => email::send(app, job).await,
        ladder::KIND => ladder::climb(app, job).await,
        _ => Outcome::Failed("no such kind of job in this version".to_owned()),
    }
}

/// The next attempt after this one failed: doubling, up to a limit, with a spread so that many do not come at once.
pub fn retry(app: &AppState, job: &Job, error: impl Into<String>) -> Outcome {
    let doublings = u32::try_from(job.attempts.clamp(1, 16) - 1).unwrap_or(0);
    let wait = RETRY_AFTER_MIN
        .saturating_mul(1 << doublings)
        .min(RETRY_AFTER_MAX);
    let mut random = [0_u8; 1];
    let _ = getrandom::fill(&mut random);
    let spread = wait.mul_f64(f64::from(random[0]) / 1024.0);
    Outcome::Retry {
        error: error.into(),
        run_at_ms: app.now_ms() + millis(wait + spread),
    }
}

/// Enqueues a job to run at once; ring `app.jobs_waiting` after the commit.
pub async fn enqueue(
    tx: &mut Tx,
    network_id: &tancho_domain::ids::NetworkId,
    kind: &str,
    payload: &serde_json::Value,
    attempts_max: i64,
    now_ms: i64,
) -> Result<JobId, StoreError> {
    let id = JobId::new(secrets::new_uuid());
    let payload = payload.to_string();
    let job = NewJob {
        id: &id,
        kind,
        payload: &payload,
        run_at_ms: now_ms,
        attempts_max,
    };
    outbox::enqueue(tx, network_id, &job, now_ms).await?;
    Ok(id)
}
