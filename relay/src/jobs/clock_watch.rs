//! Notices when the wall clock is set while the relay runs (FLT-074): by comparing it with the monotonic clock.
//!
//! Jobs are timed by the wall clock. Set back by an hour it would hold every escalation up for an hour, so queued jobs
//! are moved with it. Set forward, jobs come too early, which errs on the safe side.

use std::time::Duration;

use tancho_store::{Db, StoreError, outbox};

use crate::clock::Clock;
use crate::state::AppState;

/// How often.
const EVERY: Duration = Duration::from_secs(10);
/// Smaller differences are the doing of a time server that corrects the clock gently, or of a slow look.
const STEP_MS_MIN: i64 = 2_000;

/// How far the wall clock is ahead of the monotonic one, in milliseconds.
#[derive(Debug, Clone, Copy)]
pub struct Lead(i64);

impl Lead {
    /// As it is now.
    #[must_use]
    pub fn of(clock: &dyn Clock) -> Self {
        let monotonic_ms = i64::try_from(clock.monotonic().as_millis()).unwrap_or(i64::MAX);
        Self(clock.now_ms().saturating_sub(monotonic_ms))
    }
}

/// Runs until the relay stops.
pub async fn run(app: AppState) {
    let mut lead = Lead::of(&*app.clock);
    loop {
        tokio::select! {
            () = app.shutdown.cancelled() => return,
            () = app.clock.sleep(EVERY) => {}
        }
        // After a failure the old lead stays, so that the step is noticed again.
        match look(&app, lead).await {
            Ok(now) => lead = now,
            Err(error) => tracing::error!(%error, "jobs could not be timed anew after the clock was set"),
        }
    }
}

/// Compares the clocks once and gives the lead to compare with the next time.
///
/// # Errors
/// When the store fails; nothing is moved then.
pub async fn look(app: &AppState, before: Lead) -> Result<Lead, StoreError> {
    let now = Lead::of(&*app.clock);
    let step_ms = now.0 - before.0;
    if step_ms.abs() < STEP_MS_MIN {
        return Ok(now);
    }
    tracing::error!(
        alarm = "clock_stepped",
        step_ms,
        "the wall clock was set while the relay runs"
    );
    // Of several relays with one store, only one clock was set: the others' jobs are timed well.
    if step_ms < 0 && matches!(app.db, Db::Sqlite { .. }) {
        let mut tx = app.db.write().await?;
        let n_jobs = outbox::move_queued_jobs(&mut tx, step_ms, app.now_ms()).await?;
        tx.commit().await?;
        app.jobs_waiting.notify_one();
        tracing::warn!(n_jobs, "queued jobs were moved with the clock");
    }
    Ok(now)
}
