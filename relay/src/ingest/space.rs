//! Room on the relay's disk: new containers are put off while there is still enough left to finish what has begun.

use std::io;
use std::path::Path;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Smallest reserve in bytes.
const RESERVE_BYTES_MIN: u64 = 2 << 30;
/// Share of the file system that is kept free: one in this many.
const RESERVE_SHARE: u64 = 20;

/// How long an answer of the file system counts before a write.
const ANSWER_AGE_MAX: Duration = Duration::from_secs(1);

/// Whether the reserve is untouched, asked of the file system at most once a second: for every write.
#[derive(Debug, Default)]
pub struct Room {
    answer: Mutex<Option<(Instant, bool)>>,
}

impl Room {
    /// Whether anything may be written. An error of the file system's answer is no reason to refuse.
    pub fn is_left(&self, dir: &Path) -> bool {
        let mut answer = self.answer.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, is_left)) = answer.filter(|(asked, _)| asked.elapsed() < ANSWER_AGE_MAX) {
            return is_left;
        }
        let is_left = has_room(dir, 0).unwrap_or(true);
        *answer = Some((Instant::now(), is_left));
        is_left
    }

    #[cfg(test)]
    pub(super) fn note(&self, is_left: bool) {
        *self.answer.lock().unwrap_or_else(PoisonError::into_inner) =
            Some((Instant::now() + Duration::from_secs(60), is_left));
    }
}

/// Whether a container of which `lacking_bytes` are still to come may be asked for.
pub fn has_room(dir: &Path, lacking_bytes: u64) -> io::Result<bool> {
    #[cfg(unix)]
    {
        let numbers = rustix::fs::statvfs(dir)?;
        let (free, total) = (
            numbers.f_bavail * numbers.f_frsize,
            numbers.f_blocks * numbers.f_frsize,
        );
        Ok(leaves_reserve(free, total, lacking_bytes))
    }
    #[cfg(not(unix))]
    {
        let _ = (dir, lacking_bytes);
        Ok(true)
    }
}

/// The reserve is 5 % of the file system or 2 GiB, the larger; a small file system keeps a quarter instead.
fn leaves_reserve(free_bytes: u64, total_bytes: u64, lacking_bytes: u64) -> bool {
    let reserve = (total_bytes / RESERVE_SHARE)
        .max(RESERVE_BYTES_MIN)
        .min(total_bytes / 4);
    free_bytes.saturating_sub(lacking_bytes) > reserve
}

#[cfg(test)]
mod tests {
    use super::*;

    const GIB: u64 = 1 << 30;

    #[test]
    fn the_reserve_is_kept_to_the_byte() {
        assert!(leaves_reserve(2 * GIB + 1, 20 * GIB, 0));
        assert!(!leaves_reserve(2 * GIB, 20 * GIB, 0));
        assert!(!leaves_reserve(3 * GIB, 20 * GIB, GIB));
        assert!(!leaves_reserve(50 * GIB, 1000 * GIB, 0), "5 % of a large disk");
        assert!(leaves_reserve(50 * GIB + 1, 1000 * GIB, 0));
        assert!(
            leaves_reserve(GIB + 1, 4 * GIB, 0),
            "a small disk is not refused for ever"
        );
        assert!(!leaves_reserve(0, 0, 1));
    }
}
