//! The time of day and waiting, behind one trait, so that tests move time instead of sleeping.
//!
//! Instants that are stored or shown are milliseconds UTC from the wall clock. Waiting never depends on the wall
//! clock: a step of it makes no lease, session or retry endless.

use std::collections::BTreeMap;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Mutex, OnceLock};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use tokio::sync::oneshot;

/// Where code gets the time from.
pub trait Clock: Send + Sync + fmt::Debug {
    /// Milliseconds UTC since 1970.
    fn now_ms(&self) -> i64;

    /// Time since some instant, never set or stepped; it stands still while the machine sleeps.
    fn monotonic(&self) -> Duration;

    /// Waits for `duration`.
    fn sleep(&self, duration: Duration) -> Pin<Box<dyn Future<Output = ()> + Send + '_>>;
}

/// The machine's clock.
#[derive(Debug, Default, Clone, Copy)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now_ms(&self) -> i64 {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
    }

    fn monotonic(&self) -> Duration {
        static START: OnceLock<Instant> = OnceLock::new();
        START.get_or_init(Instant::now).elapsed()
    }

    fn sleep(&self, duration: Duration) -> Pin<Box<dyn Future<Output = ()> + Send + '_>> {
        Box::pin(tokio::time::sleep(duration))
    }
}

/// A clock that stands still until it is moved.
#[derive(Debug)]
pub struct ManualClock {
    inner: Mutex<Manual>,
}

#[derive(Debug)]
struct Manual {
    now_ms: i64,
    monotonic_ms: i64,
    /// By the monotonic time they wait for.
    sleepers: BTreeMap<i64, Vec<oneshot::Sender<()>>>,
}

impl ManualClock {
    /// A clock that shows `now_ms`.
    #[must_use]
    pub fn at(now_ms: i64) -> Self {
        Self {
            inner: Mutex::new(Manual {
                now_ms,
                monotonic_ms: 0,
                sleepers: BTreeMap::new(),
            }),
        }
    }

    /// Moves the clock forward and wakes whoever waited for an instant up to then.
    pub fn advance(&self, by: Duration) {
        let mut inner = self.lock();
        let by_ms = i64::try_from(by.as_millis()).unwrap_or(i64::MAX);
        inner.now_ms += by_ms;
        inner.monotonic_ms += by_ms;
        let later = inner.monotonic_ms + 1;
        let still_waiting = inner.sleepers.split_off(&later);
        let due = std::mem::replace(&mut inner.sleepers, still_waiting);
        for sleeper in due.into_values().flatten() {
            // A sleeper that was dropped meanwhile needs no waking.
            let _ = sleeper.send(());
        }
    }

    /// Sets the wall clock back or forward by `by_ms`, as an operator or a time server does. Nobody wakes from that.
    pub fn step(&self, by_ms: i64) {
        self.lock().now_ms += by_ms;
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Manual> {
        self.inner
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

impl Clock for ManualClock {
    fn now_ms(&self) -> i64 {
        self.lock().now_ms
    }

    fn monotonic(&self) -> Duration {
        Duration::from_millis(self.lock().monotonic_ms.unsigned_abs())
    }

    fn sleep(&self, duration: Duration) -> Pin<Box<dyn Future<Output = ()> + Send + '_>> {
        let mut inner = self.lock();
        let until = inner
            .monotonic_ms
            .saturating_add(i64::try_from(duration.as_millis()).unwrap_or(i64::MAX));
        let (wake, woken) = oneshot::channel();
        if duration.is_zero() {
            let _ = wake.send(());
        } else {
            inner.sleepers.entry(until).or_default().push(wake);
        }
        Box::pin(async move {
            let _ = woken.await;
        })
    }
}
