//! What the path to the relay was like, kept over connections and restarts, so that a long line need not be felt out
//! anew each time (RFC 9959).

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use quinn::Connection;
use serde::{Deserialize, Serialize};
use tancho_wire::congestion::{LineController, PathMemory};

use crate::clock::Clock;

/// File in the data folder; without it the first connection starts slowly.
const FILE: &str = "path.json";
/// How often a living connection is asked.
const LOOK_EVERY: Duration = Duration::from_secs(5);
/// A file that says a rate within one part in this of the present one, and is not much older, is not written again.
const NEWS_PARTS: u64 = 8;
const NEWS_AFTER_MS: u64 = 600_000;

/// The last path, and whose it was.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Remembered {
    /// `host:port` of the relay.
    address: String,
    bandwidth_bytes_per_s: u64,
    min_rtt_us: u64,
    measured_at_ms: u64,
}

impl Remembered {
    /// Whether it is worth a write.
    fn is_news_after(&self, before: &Self) -> bool {
        let differs = |now: u64, then: u64| now.abs_diff(then) > then / NEWS_PARTS;
        self.address != before.address
            || differs(self.bandwidth_bytes_per_s, before.bandwidth_bytes_per_s)
            || differs(self.min_rtt_us, before.min_rtt_us)
            || self.measured_at_ms.abs_diff(before.measured_at_ms) > NEWS_AFTER_MS
    }
}

/// What was measured last, and what of it is in the file.
#[derive(Default)]
struct Last {
    measured: Option<Remembered>,
    written: Option<Remembered>,
}

/// The memory of the line's path.
pub(super) struct PathMemories {
    file: PathBuf,
    last: Mutex<Last>,
}

impl PathMemories {
    /// Reads what an earlier run kept; a file that cannot be read is forgotten.
    pub(super) fn new(data_dir: &Path) -> Self {
        let file = data_dir.join(FILE);
        let read: Option<Remembered> = fs::read(&file)
            .ok()
            .and_then(|bytes| serde_json::from_slice(&bytes).ok());
        Self {
            file,
            last: Mutex::new(Last {
                measured: read.clone(),
                written: read,
            }),
        }
    }

    /// The path to `address`, if it was measured lately.
    pub(super) fn recall(&self, address: &str, now_ms: i64) -> Option<PathMemory> {
        let last = self.lock().measured.clone()?;
        let memory = PathMemory {
            bandwidth_bytes_per_s: last.bandwidth_bytes_per_s,
            min_rtt: Duration::from_micros(last.min_rtt_us),
            measured_at_ms: last.measured_at_ms,
        };
        (last.address == address)
            .then_some(memory)?
            .if_fresh(u64::try_from(now_ms).ok()?)
    }

    /// Keeps what a connection has measured.
    pub(super) fn remember(&self, address: &str, connection: Option<&Connection>, clock: &Clock) {
        let Some(measured) = connection.and_then(|connection| measured(connection, clock)) else {
            return;
        };
        let remembered = Remembered {
            address: address.to_owned(),
            bandwidth_bytes_per_s: measured.bandwidth_bytes_per_s,
            min_rtt_us: u64::try_from(measured.min_rtt.as_micros()).unwrap_or(u64::MAX),
            measured_at_ms: measured.measured_at_ms,
        };
        {
            let mut last = self.lock();
            last.measured = Some(remembered.clone());
            if last
                .written
                .as_ref()
                .is_some_and(|written| !remembered.is_news_after(written))
            {
                return;
            }
            last.written = Some(remembered.clone());
        }
        let written = serde_json::to_vec(&remembered)
            .map_err(std::io::Error::other)
            .and_then(|bytes| fs::write(&self.file, bytes));
        if let Err(error) = written {
            // Only speed is lost; a torn file is forgotten at the next start.
            tracing::debug!(%error, "the path could not be remembered");
        }
    }

    fn lock(&self) -> MutexGuard<'_, Last> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Remembers now and then for as long as the connection lives.
    pub(super) async fn watch(&self, address: &str, connection: Option<&Connection>, clock: &Clock) {
        let Some(connection) = connection else {
            return std::future::pending().await;
        };
        while connection.close_reason().is_none() {
            tokio::time::sleep(LOOK_EVERY).await;
            self.remember(address, Some(connection), clock);
        }
    }
}

fn measured(connection: &Connection, clock: &Clock) -> Option<PathMemory> {
    let controller = connection
        .congestion_state()
        .into_any()
        .downcast::<LineController>()
        .ok()?;
    controller.path_memory(Instant::now(), u64::try_from(clock.now_ms()).ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_remembered_for_its_relay_and_for_a_day() {
        let folder = tempfile::tempdir().unwrap();
        let kept = Remembered {
            address: "relay.example:4433".to_owned(),
            bandwidth_bytes_per_s: 1_250_000,
            min_rtt_us: 40_000,
            measured_at_ms: 1_000_000,
        };
        fs::write(folder.path().join(FILE), serde_json::to_vec(&kept).unwrap()).unwrap();
        let paths = PathMemories::new(folder.path());
        let recalled = paths.recall("relay.example:4433", 1_000_100).unwrap();
        assert_eq!(recalled.bandwidth_bytes_per_s, 1_250_000);
        assert_eq!(recalled.min_rtt, Duration::from_millis(40));
        assert!(paths.recall("other.example:4433", 1_000_100).is_none());
        assert!(
            paths
                .recall("relay.example:4433", 1_000_000 + 90_000_000)
                .is_none()
        );
        assert!(paths.recall("relay.example:4433", 999_000).is_none());
        fs::write(folder.path().join(FILE), b"{").unwrap();
        assert!(
            PathMemories::new(folder.path())
                .recall("relay.example:4433", 1_000_100)
                .is_none()
        );
    }
}
