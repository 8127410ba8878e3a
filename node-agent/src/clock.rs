//! The one source of wall-clock time. Waiting is tokio's business; what a moment is called is ours, so that
//! tests can set it.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

/// Gives instants as milliseconds UTC. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Clock(Option<Arc<AtomicI64>>);

impl Clock {
    /// The machine's clock.
    #[must_use]
    pub fn system() -> Self {
        Self(None)
    }

    /// A clock that moves only when told to.
    #[must_use]
    pub fn manual(now_ms: i64) -> (Self, ClockHand) {
        let shared = Arc::new(AtomicI64::new(now_ms));
        (Self(Some(Arc::clone(&shared))), ClockHand(shared))
    }

    /// Milliseconds since 1970-01-01 UTC; a clock set before that reads as zero.
    #[must_use]
    pub fn now_ms(&self) -> i64 {
        match &self.0 {
            Some(manual) => manual.load(Ordering::SeqCst),
            None => SystemTime::now()
                .duration_since(UNIX_EPOCH)
                .map_or(0, |since| i64::try_from(since.as_millis()).unwrap_or(i64::MAX)),
        }
    }
}

/// Moves a manual clock.
#[derive(Debug, Clone)]
pub struct ClockHand(Arc<AtomicI64>);

impl ClockHand {
    /// Moves the clock forward, or back when negative.
    pub fn advance_ms(&self, by_ms: i64) {
        self.0.fetch_add(by_ms, Ordering::SeqCst);
    }
}
