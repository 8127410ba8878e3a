//! The spool's housekeeping: closes studies after their quiet time and deletes what the relay has, after the
//! retention time. Nothing without a receipt is ever deleted.

use std::collections::HashSet;
use std::fs;
use std::io;
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

use tancho_domain::dicom::Priority;
use tancho_domain::ids::ObjectId;
use tokio::sync::oneshot;

use super::commit::Change;
use super::{Shared, Spool, SpoolError, index};

/// How often quiet studies are looked for.
const QUIET_CHECK: Duration = Duration::from_millis(250);
/// How often expired objects are looked for.
const RETENTION_CHECK: Duration = Duration::from_secs(60);
/// How far the clock may gain on the machine's uptime between two looks before it was set forward. Milliseconds.
const CLOCK_GAIN_MAX_MS: i64 = 10 * 60_000;
/// How long after a start, or after the clock was set forward, nothing is deleted that someone still has to take: a wrong
/// clock is set right by then.
const CLOCK_DOUBT: Duration = Duration::from_secs(3_600);
/// Objects deleted per look.
const DELETE_BATCH_MAX: usize = 500;
/// Most deleted instances that are remembered, about 60 bytes each; beyond that the oldest studies are forgotten early.
const DELIVERED_INSTANCES_MAX: u64 = 10_000_000;

/// Runs until the spool stops.
pub async fn run(spool: Spool) {
    let shared = Arc::clone(&spool.shared);
    let mut quiet = tokio::time::interval(QUIET_CHECK);
    let mut retention = tokio::time::interval(RETENTION_CHECK);
    for interval in [&mut quiet, &mut retention] {
        interval.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    }
    let started = Instant::now();
    let mut doubt = ClockDoubt::default();
    loop {
        tokio::select! {
            () = shared.stopping.cancelled() => return,
            _ = quiet.tick() => close_quiet_studies(&spool).await,
            _ = retention.tick() => {
                let is_sure = doubt.is_over(shared.clock.now_ms(), started.elapsed());
                if let Err(error) = delete_expired(&shared, is_sure).await {
                    tracing::warn!(%error, "expired objects could not be deleted; tried again in a minute");
                }
                let before_ms = shared.clock.now_ms() - shared.options.delivered_memory_ms;
                if let Err(error) = forget_delivered_before(&shared, before_ms).await {
                    tracing::warn!(%error, "instances deleted long ago could not be forgotten; tried again in a minute");
                }
            }
        }
    }
}

/// Whether the clock can be believed to have passed a long retention time.
#[derive(Debug, Default)]
struct ClockDoubt {
    /// What the clock said and how long this had run at the last look.
    last: Option<(i64, Duration)>,
    /// How long this had run when the clock was last set forward.
    since: Duration,
}

impl ClockDoubt {
    /// Looks at the clock after this has run for `uptime`.
    fn is_over(&mut self, now_ms: i64, uptime: Duration) -> bool {
        if let Some((last_ms, last_uptime)) = self.last.replace((now_ms, uptime)) {
            let passed_ms = i64::try_from((uptime - last_uptime).as_millis()).unwrap_or(i64::MAX);
            if now_ms - last_ms > passed_ms.saturating_add(CLOCK_GAIN_MAX_MS) {
                self.since = uptime;
            }
        }
        uptime - self.since >= CLOCK_DOUBT
    }
}

async fn close_quiet_studies(spool: &Spool) {
    let shared = &spool.shared;
    let now_ms = shared.clock.now_ms();
    let quiet: Vec<String> = {
        let open = shared.open_studies();
        let picture = shared.picture();
        let studies = picture
            .studies
            .values()
            .filter(|study| !open.contains_key(&study.study_instance_uid));
        studies
            .filter(|study| {
                let wait = match study.priority {
                    Priority::Stat => shared.options.quiet_stat_ms,
                    Priority::Urgent | Priority::Routine => shared.options.quiet_ms,
                };
                study.is_quiet(now_ms, wait)
            })
            .map(|study| study.study_instance_uid.clone())
            .collect()
    };
    for study in quiet {
        if let Err(error) = spool.close_study(&study).await {
            tracing::warn!(%error, "a quiet study could not be closed; tried again");
        }
    }
}

/// Deletes receipted objects past their retention, but those someone else still has to take; those, too, past a longer
/// one when the clock `is_sure`. Gives how many.
pub async fn delete_expired(shared: &Arc<Shared>, is_sure: bool) -> Result<usize, SpoolError> {
    let now_ms = shared.clock.now_ms();
    let options = &shared.options;
    let latest_ms = options.retention_ms.max(options.undelivered_retention_ms);
    let n_latest = match is_sure {
        true => delete_receipted_before(shared, now_ms - latest_ms).await?,
        false => 0,
    };
    let expired = list_unwanted(shared, now_ms - options.retention_ms).await?;
    Ok(n_latest + delete(shared, expired).await?)
}

/// Deletes objects receipted before an instant; gives how many.
pub async fn delete_receipted_before(shared: &Arc<Shared>, before_ms: i64) -> Result<usize, SpoolError> {
    let expired = shared
        .read(move |db| index::list_expired(db, before_ms, (0, DELETE_BATCH_MAX)))
        .await?;
    delete(shared, expired).await
}

/// Objects receipted before an instant that nobody else has to take.
async fn list_unwanted(shared: &Arc<Shared>, before_ms: i64) -> Result<Vec<(ObjectId, i64)>, SpoolError> {
    let asked = shared
        .wanted
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .clone();
    // At a start the spool is open before those who take from it are.
    if asked.is_none() && shared.options.asks_before_deleting {
        return Ok(Vec::new());
    }
    let mut unwanted = Vec::new();
    let mut n_seen = 0;
    loop {
        let page = shared
            .read(move |db| index::list_expired(db, before_ms, (n_seen, DELETE_BATCH_MAX)))
            .await?;
        n_seen += page.len();
        let is_last = page.len() < DELETE_BATCH_MAX;
        match &asked {
            None => unwanted.extend(page),
            Some(asked) => {
                let ids: Vec<ObjectId> = page.iter().map(|(object_id, _)| object_id.clone()).collect();
                let asked = Arc::clone(asked);
                let wanted = tokio::task::spawn_blocking(move || asked(&ids)).await;
                let wanted: HashSet<ObjectId> =
                    wanted.map_err(|_| SpoolError::Stopped)?.into_iter().collect();
                unwanted.extend(
                    page.into_iter()
                        .filter(|(object_id, _)| !wanted.contains(object_id)),
                );
            }
        }
        if is_last || unwanted.len() >= DELETE_BATCH_MAX {
            return Ok(unwanted);
        }
    }
}

async fn delete(shared: &Arc<Shared>, expired: Vec<(ObjectId, i64)>) -> Result<usize, SpoolError> {
    if expired.is_empty() {
        return Ok(0);
    }
    for (object_id, folder) in &expired {
        // The receipt is durable in the index; a crash between here and the commit only repeats this.
        for file in [
            shared.layout.container_file(*folder, object_id),
            shared.layout.object_file(*folder, object_id),
        ] {
            match fs::remove_file(file) {
                Ok(()) => {}
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(error.into()),
            }
        }
    }
    let n_deleted = expired.len();
    let objects = expired.into_iter().map(|(object_id, _)| object_id).collect();
    let (reply, answer) = oneshot::channel();
    shared.send(Change::Delete { objects, reply }).await?;
    answer.await.map_err(|_| SpoolError::Stopped)??;
    tracing::info!(
        n_deleted,
        "objects that the relay holds were deleted after their retention time"
    );
    Ok(n_deleted)
}

/// Forgets deleted instances of studies whose last object was deleted before an instant, and what is more than is
/// remembered; gives how many studies.
pub async fn forget_delivered_before(shared: &Arc<Shared>, before_ms: i64) -> Result<usize, SpoolError> {
    let studies = shared
        .read(move |db| index::list_forgettable(db, before_ms, DELIVERED_INSTANCES_MAX))
        .await?;
    let n_studies = studies.len();
    if n_studies > 0 {
        let (reply, answer) = oneshot::channel();
        shared.send(Change::ForgetDelivered { studies, reply }).await?;
        answer.await.map_err(|_| SpoolError::Stopped)??;
    }
    Ok(n_studies)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_is_in_doubt_after_a_start_and_after_it_was_set_forward() {
        let mut doubt = ClockDoubt::default();
        let minute = |n: u64| Duration::from_secs(60 * n);
        assert!(!doubt.is_over(0, minute(0)));
        assert!(!doubt.is_over(59 * 60_000, minute(59)));
        assert!(doubt.is_over(60 * 60_000, minute(60)));
        // Set back, and forward a little: no object is deleted for that.
        assert!(doubt.is_over(0, minute(61)));
        assert!(doubt.is_over(10 * 60_000, minute(62)));
        let year_ms = 365 * 24 * 3_600_000;
        assert!(!doubt.is_over(year_ms, minute(63)));
        assert!(!doubt.is_over(year_ms + 59 * 60_000, minute(122)));
        assert!(doubt.is_over(year_ms + 60 * 60_000, minute(123)));
    }
}
