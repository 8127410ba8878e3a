//! Work that a committed change has caused: enqueued in the same transaction, done at least once afterwards.
//!
//! A job is taken with a lease and a fencing number. A worker that was away longer than its lease holds an old
//! number, and whatever it reports is refused as `Stale`. Every attempt leaves a row. No patient data in payloads.

use tancho_domain::access::Scope;
use tancho_domain::ids::{JobId, NetworkId};

use crate::db::Tx;
use crate::error::StoreError;

/// Longest error text kept with a job or an attempt, in characters.
pub const ERROR_CHARS_MAX: usize = 500;

/// Where a job stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum JobState {
    /// Waiting for its time, or for its next attempt.
    Queued,
    /// A worker holds it.
    Running,
    /// Done.
    Done,
    /// Given up after its last attempt.
    Failed,
}

impl JobState {
    /// The stable text form.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Running => "running",
            Self::Done => "done",
            Self::Failed => "failed",
        }
    }
}

impl TryFrom<String> for JobState {
    type Error = StoreError;

    fn try_from(text: String) -> Result<Self, StoreError> {
        [Self::Queued, Self::Running, Self::Done, Self::Failed]
            .into_iter()
            .find(|state| state.as_str() == text)
            .ok_or_else(|| StoreError::Corrupt("job state".to_owned()))
    }
}

/// A job to be done.
#[derive(Debug, Clone)]
pub struct NewJob<'a> {
    /// Id made at the edge.
    pub id: &'a JobId,
    /// Which kind of work, the name of the file under `jobs/`: `email`.
    pub kind: &'a str,
    /// What the kind needs, as JSON text. Ids only, no patient data.
    pub payload: &'a str,
    /// Not before this instant.
    pub run_at_ms: i64,
    /// Attempts before it is given up.
    pub attempts_max: i64,
}

/// A job as it stands.
#[derive(Debug, Clone, PartialEq, Eq, sqlx::FromRow)]
pub struct Job {
    /// Its id.
    #[sqlx(try_from = "String")]
    pub id: JobId,
    /// The network it acts for.
    #[sqlx(try_from = "String")]
    pub network_id: NetworkId,
    /// Which kind of work.
    pub kind: String,
    /// JSON text.
    pub payload: String,
    /// Where it stands.
    #[sqlx(try_from = "String")]
    pub state: JobState,
    /// Not before this instant.
    pub run_at_ms: i64,
    /// Attempts so far.
    pub attempts: i64,
    /// Attempts before it is given up.
    pub attempts_max: i64,
    /// Number of the latest taking.
    pub fencing: i64,
    /// Until when the worker holds it.
    pub lease_until_ms: Option<i64>,
    /// Why the last attempt failed.
    pub last_error: Option<String>,
    /// When it was enqueued.
    pub created_at_ms: i64,
    /// When it was done or given up.
    pub finished_at_ms: Option<i64>,
}

/// One attempt at a job.
#[derive(Debug, Clone, PartialEq, Eq, sqlx::FromRow)]
pub struct Attempt {
    /// Fencing number of the taking.
    pub fencing: i64,
    /// When the worker took it.
    pub started_at_ms: i64,
    /// When it reported, or when the loss was noticed.
    pub ended_at_ms: Option<i64>,
    /// `running`, `done`, `retry`, `failed` or `lost` (the worker never reported).
    pub outcome: String,
    /// What it reported.
    pub detail: Option<String>,
}

/// How an attempt ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// The effect happened; the text says how it was accepted.
    Done(String),
    /// It did not happen and may later; tried again at `run_at_ms` unless this was the last attempt.
    Retry {
        /// Why.
        error: String,
        /// Not before this instant.
        run_at_ms: i64,
    },
    /// It can never happen.
    Failed(String),
}

/// Enqueues a job in the transaction of the change that causes it.
pub async fn enqueue(
    tx: &mut Tx,
    network_id: &NetworkId,
    job: &NewJob<'_>,
    now_ms: i64,
) -> Result<(), StoreError> {
    execute!(
        tx,
        "insert into outbox (id, network_id, kind, payload, state, run_at_ms, attempts, attempts_max, fencing, \
         created_at_ms) values ($1, $2, $3, $4, 'queued', $5, 0, $6, 0, $7)",
        job.id.as_str(),
        network_id.as_str(),
        job.kind,
        job.payload,
        job.run_at_ms,
        job.attempts_max,
        now_ms
    )?;
    Ok(())
}

/// Takes the job that is due longest, if any: one that waits, or one whose worker let its lease run out. A job
/// whose last allowed attempt was lost is given up here instead.
pub async fn claim_due_job(tx: &mut Tx, now_ms: i64, lease_until_ms: i64) -> Result<Option<Job>, StoreError> {
    loop {
        let due = fetch_optional!(
            tx,
            Job,
            "select id, network_id, kind, payload, state, run_at_ms, attempts, attempts_max, fencing, \
             lease_until_ms, last_error, created_at_ms, finished_at_ms from outbox \
             where (state = 'queued' and run_at_ms <= $1) or (state = 'running' and lease_until_ms <= $1) \
             order by run_at_ms, id limit 1",
            now_ms
        )?;
        let Some(job) = due else { return Ok(None) };
        if job.state == JobState::Running {
            note_lost_attempt(tx, &job, now_ms).await?;
        }
        let last_was_lost = job.attempts >= job.attempts_max;
        let claimed = execute!(
            tx,
            "update outbox set state = $3, attempts = attempts + $4, fencing = fencing + 1, lease_until_ms = $5, \
             finished_at_ms = $6 where id = $1 and fencing = $2 and state in ('queued', 'running')",
            job.id.as_str(),
            job.fencing,
            if last_was_lost { "failed" } else { "running" },
            if last_was_lost { 0_i64 } else { 1 },
            if last_was_lost { None } else { Some(lease_until_ms) },
            if last_was_lost { Some(now_ms) } else { None }
        )?;
        if claimed == 0 || last_was_lost {
            continue;
        }
        let fencing = job.fencing + 1;
        execute!(
            tx,
            "insert into outbox_attempts (job_id, fencing, started_at_ms, outcome) values ($1, $2, $3, 'running')",
            job.id.as_str(),
            fencing,
            now_ms
        )?;
        return Ok(Some(Job {
            state: JobState::Running,
            attempts: job.attempts + 1,
            fencing,
            lease_until_ms: Some(lease_until_ms),
            ..job
        }));
    }
}

async fn note_lost_attempt(tx: &mut Tx, job: &Job, now_ms: i64) -> Result<(), StoreError> {
    execute!(
        tx,
        "update outbox_attempts set outcome = 'lost', ended_at_ms = $3, detail = 'the worker did not report' \
         where job_id = $1 and fencing = $2 and outcome = 'running'",
        job.id.as_str(),
        job.fencing,
        now_ms
    )?;
    Ok(())
}

/// Reports how an attempt ended. `Stale` when the lease ran out and someone else holds the job: the caller must
/// take back whatever it wrote in this transaction.
pub async fn report_attempt(
    tx: &mut Tx,
    job: &Job,
    outcome: &Outcome,
    now_ms: i64,
) -> Result<JobState, StoreError> {
    let (state, detail, run_at_ms) = match outcome {
        Outcome::Done(detail) => (JobState::Done, detail, job.run_at_ms),
        Outcome::Retry { error, run_at_ms } if job.attempts < job.attempts_max => {
            (JobState::Queued, error, *run_at_ms)
        }
        Outcome::Retry { error, .. } | Outcome::Failed(error) => (JobState::Failed, error, job.run_at_ms),
    };
    let detail: String = detail
        .chars()
        .filter(|c| !c.is_control())
        .take(ERROR_CHARS_MAX)
        .collect();
    let reported = execute!(
        tx,
        "update outbox set state = $3, run_at_ms = $4, lease_until_ms = null, last_error = $5, finished_at_ms = $6 \
         where id = $1 and fencing = $2 and state = 'running'",
        job.id.as_str(),
        job.fencing,
        state.as_str(),
        run_at_ms,
        if state == JobState::Done {
            None
        } else {
            Some(detail.as_str())
        },
        if state == JobState::Queued {
            None
        } else {
            Some(now_ms)
        }
    )?;
    if reported == 0 {
        return Err(StoreError::Stale);
    }
    let attempt_outcome = match state {
        JobState::Done => "done",
        JobState::Queued => "retry",
        JobState::Running | JobState::Failed => "failed",
    };
    execute!(
        tx,
        "update outbox_attempts set ended_at_ms = $3, outcome = $4, detail = $5 where job_id = $1 and fencing = $2",
        job.id.as_str(),
        job.fencing,
        now_ms,
        attempt_outcome,
        detail.as_str()
    )?;
    Ok(state)
}

/// One job of the network.
pub async fn get_job(tx: &mut Tx, scope: &Scope, id: &JobId) -> Result<Job, StoreError> {
    fetch_one!(
        tx,
        Job,
        "select id, network_id, kind, payload, state, run_at_ms, attempts, attempts_max, fencing, lease_until_ms, \
         last_error, created_at_ms, finished_at_ms from outbox where network_id = $1 and id = $2",
        scope.network_id.as_str(),
        id.as_str()
    )
}

/// The attempts at one job of the network, oldest first.
pub async fn list_attempts(tx: &mut Tx, scope: &Scope, id: &JobId) -> Result<Vec<Attempt>, StoreError> {
    fetch_all!(
        tx,
        Attempt,
        "select a.fencing, a.started_at_ms, a.ended_at_ms, a.outcome, a.detail \
         from outbox_attempts a join outbox o on o.id = a.job_id \
         where o.network_id = $1 and o.id = $2 order by a.fencing",
        scope.network_id.as_str(),
        id.as_str()
    )
}

/// When the next job is due, for a worker that wants to wait: the earliest start or end of a lease.
pub async fn next_job_at(tx: &mut Tx) -> Result<Option<i64>, StoreError> {
    let (at_ms,) = fetch_one!(
        tx,
        (Option<i64>,),
        "select min(case when state = 'queued' then run_at_ms else lease_until_ms end) from outbox \
         where state in ('queued', 'running')"
    )?;
    Ok(at_ms)
}

/// How many jobs are in each state, for metrics and for tests that must leave none behind.
pub async fn count_jobs(tx: &mut Tx, state: JobState) -> Result<i64, StoreError> {
    let (n_jobs,) = fetch_one!(
        tx,
        (i64,),
        "select count(*) from outbox where state = $1",
        state.as_str()
    )?;
    Ok(n_jobs)
}

/// Moves the time of every queued job that is not due by `by_ms`: the wall clock was set, and the jobs were timed by the
/// old one. Gives how many were moved. For the only relay of a store.
pub async fn move_queued_jobs(tx: &mut Tx, by_ms: i64, now_ms: i64) -> Result<u64, StoreError> {
    let text = "update outbox set run_at_ms = run_at_ms + $1 where state = 'queued' and run_at_ms > $2";
    execute!(tx, text, by_ms, now_ms)
}
