//! `[jobs]`: what committed changes have caused, mails above all.

use super::source::Section;

/// Workers by default.
const WORKERS_DEFAULT: i64 = 2;

/// The outbox.
#[derive(Debug, Clone, Copy)]
pub struct JobsConfig {
    /// Jobs done at once by this relay; none leaves the outbox to the other relays of the same store.
    pub workers: usize,
}

impl JobsConfig {
    pub(super) fn read(section: &mut Section<'_>) -> Self {
        let workers = section.integer("workers", 0..=64).unwrap_or(WORKERS_DEFAULT);
        Self {
            workers: usize::try_from(workers).unwrap_or(0),
        }
    }
}
