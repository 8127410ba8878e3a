//! `[blobs]`: instance containers at rest.

use super::source::Section;

/// Rate of the scrub by default: 20 TB in 12 days.
const SCRUB_BYTES_PER_SECOND_DEFAULT: i64 = 20_000_000;
/// Time from the start of one pass to the next by default: a week.
const SCRUB_EVERY_HOURS_DEFAULT: i64 = 168;

/// Instance containers at rest.
#[derive(Debug, Clone, Copy)]
pub struct BlobsConfig {
    /// Bytes per second that the scrub reads; 0 switches it off.
    pub scrub_bytes_per_second: u64,
    /// Time from the start of one pass of the scrub to the start of the next, in milliseconds.
    pub scrub_every_ms: i64,
}

impl BlobsConfig {
    pub(super) fn read(section: &mut Section<'_>) -> Self {
        let rate = section
            .integer("scrub_bytes_per_second", 0..=10_000_000_000)
            .unwrap_or(SCRUB_BYTES_PER_SECOND_DEFAULT);
        let every_hours = section
            .integer("scrub_every_hours", 1..=8_760)
            .unwrap_or(SCRUB_EVERY_HOURS_DEFAULT);
        Self {
            scrub_bytes_per_second: rate.unsigned_abs(),
            scrub_every_ms: every_hours * 3_600_000,
        }
    }
}
