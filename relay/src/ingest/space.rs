//! Room on the relay's disk: new containers are put off while there is still enough left to finish what has begun.

use std::io;
use std::path::Path;

/// Smallest reserve in bytes.
const RESERVE_BYTES_MIN: u64 = 2 << 30;
/// Share of the file system that is kept free: one in this many.
const RESERVE_SHARE: u64 = 20;

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
