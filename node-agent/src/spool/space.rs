//! Room on the disk: intake is refused while there is still enough left to commit, send and delete.

use std::io;
use std::path::{Path, PathBuf};

/// Smallest reserve that is kept free when none is configured: bytes.
const RESERVE_BYTES_MIN: u64 = 2 * 1024 * 1024 * 1024;
/// Share of the file system kept free when none is configured: one in this many.
const RESERVE_SHARE: u64 = 20;
/// The technologist is warned below this many times the reserve.
const WARNING_RESERVES: u64 = 2;

/// How full the disk is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
pub struct Room {
    /// Bytes this process may still write.
    pub free_bytes: u64,
    /// Size of the file system.
    pub total_bytes: u64,
    /// Bytes that intake leaves free.
    pub reserve_bytes: u64,
}

impl Room {
    /// Whether intake may go on.
    #[must_use]
    pub fn allows_intake(self) -> bool {
        self.free_bytes > self.reserve_bytes
    }

    /// Whether someone should look after the disk, while intake still goes on: less than twice the reserve is free.
    #[must_use]
    pub fn is_short(self) -> bool {
        self.free_bytes < self.reserve_bytes.saturating_mul(WARNING_RESERVES)
    }
}

/// Measures the file system of the data folder.
#[derive(Debug, Clone)]
pub struct SpaceGauge {
    folder: PathBuf,
    reserve_bytes: Option<u64>,
}

impl SpaceGauge {
    /// A gauge; without a configured reserve it is 5 % of the file system or 2 GiB, the larger.
    #[must_use]
    pub fn new(folder: &Path, reserve_bytes: Option<u64>) -> Self {
        Self {
            folder: folder.to_owned(),
            reserve_bytes,
        }
    }

    /// How full the disk is now: one system call.
    pub fn measure(&self) -> io::Result<Room> {
        #[cfg(unix)]
        let (free_bytes, total_bytes) = {
            let numbers = rustix::fs::statvfs(&self.folder)?;
            (
                numbers.f_bavail * numbers.f_frsize,
                numbers.f_blocks * numbers.f_frsize,
            )
        };
        #[cfg(not(unix))]
        let (free_bytes, total_bytes) = (u64::MAX, u64::MAX);
        let usual = (total_bytes / RESERVE_SHARE).max(RESERVE_BYTES_MIN);
        Ok(Room {
            free_bytes,
            total_bytes,
            reserve_bytes: self.reserve_bytes.unwrap_or(usual),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn intake_stops_at_the_reserve_and_the_warning_comes_before() {
        let room = Room {
            free_bytes: 101,
            total_bytes: 1_000,
            reserve_bytes: 100,
        };
        assert!(room.allows_intake() && room.is_short());
        assert!(
            !Room {
                free_bytes: 100,
                ..room
            }
            .allows_intake()
        );
        assert!(
            !Room {
                free_bytes: 200,
                ..room
            }
            .is_short()
        );
    }

    #[test]
    fn a_usual_disk_with_a_seventh_free_is_no_alarm() {
        const GB: u64 = 1_000_000_000;
        let total_bytes = 252 * GB;
        let room = Room {
            free_bytes: 38 * GB,
            total_bytes,
            reserve_bytes: total_bytes / RESERVE_SHARE,
        };
        assert!(!room.is_short() && room.allows_intake());
    }

    #[test]
    fn the_real_file_system_can_be_measured() {
        let folder = tempfile::tempdir().unwrap();
        let room = SpaceGauge::new(folder.path(), None).measure().unwrap();
        assert!(room.total_bytes >= room.free_bytes && room.reserve_bytes >= RESERVE_BYTES_MIN);
    }
}
