//! What is still to be sent, in sums.

use tancho_domain::dicom::Priority;

use super::picture::Picture;
use super::studies::ObjectState;

/// Objects that are to be sent: those the coder works on and those that wait for the line or are on it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Waiting {
    /// How many.
    pub n_objects: u64,
    /// Bytes that have to cross the line; data set bytes stand in until a container is made.
    pub bytes: u64,
    /// When the one came that waits longest.
    pub oldest_at_ms: Option<i64>,
    /// How many of each priority.
    by_priority: [u64; 3],
}

impl Waiting {
    /// How many of a priority.
    #[must_use]
    pub fn n_of(&self, priority: Priority) -> u64 {
        self.by_priority[slot(priority)]
    }

    /// Adds objects of one study.
    pub fn add(&mut self, priority: Priority, n_objects: u64, bytes: u64, oldest_at_ms: i64) {
        self.n_objects += n_objects;
        self.bytes += bytes;
        self.by_priority[slot(priority)] += n_objects;
        self.oldest_at_ms = Some(
            self.oldest_at_ms
                .map_or(oldest_at_ms, |at_ms| at_ms.min(oldest_at_ms)),
        );
    }

    /// The sums of a picture.
    pub(super) fn of(picture: &Picture) -> Self {
        let mut waiting = Self::default();
        for study in picture.studies.values() {
            let (stored, coded) = (study.tally(ObjectState::Stored), study.tally(ObjectState::Coded));
            let n_objects = stored.n_objects + coded.n_objects;
            if n_objects > 0 {
                let bytes = stored.original_bytes + coded.container_bytes;
                // The study's last object came no earlier than its oldest one that waits, which the line knows better.
                waiting.add(study.priority, n_objects, bytes, study.last_received_at_ms);
            }
        }
        let oldest_in_line = picture.in_line().map(|object| object.received_at_ms).min();
        waiting.oldest_at_ms = match (waiting.oldest_at_ms, oldest_in_line) {
            (Some(of_study), Some(in_line)) => Some(of_study.min(in_line)),
            (of_study, _) => of_study,
        };
        waiting
    }
}

fn slot(priority: Priority) -> usize {
    match priority {
        Priority::Stat => 0,
        Priority::Urgent => 1,
        Priority::Routine => 2,
    }
}
