//! How often a study's pages are told that it has changed: a study of many small instances changes many times a second.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tancho_domain::ids::StudyId;

/// A study is told this often at most; what comes in between is told at the end of it.
pub const TOLD_EVERY: Duration = Duration::from_millis(250);
/// That bytes have come, and nothing else, is told this often at most.
pub const BYTES_TOLD_EVERY: Duration = Duration::from_secs(1);
/// Studies remembered before those that are quiet are forgotten.
const STUDIES_KEPT: usize = 1024;

/// When a change may be told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Turn {
    /// At once.
    Now,
    /// After so long, by whoever asked; with everything that has changed until then.
    After(Duration),
    /// Somebody else is about to.
    Never,
}

/// When studies were told last.
#[derive(Debug, Default)]
pub struct Tellings(Mutex<HashMap<StudyId, Told>>);

#[derive(Debug)]
struct Told {
    at: Instant,
    somebody_waits: bool,
}

impl Tellings {
    /// Something of a study has changed.
    #[must_use]
    pub fn ask(&self, study_id: &StudyId, now: Instant) -> Turn {
        let mut studies = self.lock();
        match studies.get_mut(study_id) {
            Some(told) if told.somebody_waits => Turn::Never,
            Some(told) if now.duration_since(told.at) < TOLD_EVERY => {
                told.somebody_waits = true;
                Turn::After(TOLD_EVERY.saturating_sub(now.duration_since(told.at)))
            }
            _ => {
                remember(&mut studies, study_id, now);
                Turn::Now
            }
        }
    }

    /// The wait after [`Turn::After`] is over.
    pub fn begin(&self, study_id: &StudyId, now: Instant) {
        remember(&mut self.lock(), study_id, now);
    }

    /// Bytes of a study have come; whether that may be told now.
    #[must_use]
    pub fn may_tell_bytes(&self, study_id: &StudyId, now: Instant) -> bool {
        let mut studies = self.lock();
        let is_due = studies
            .get(study_id)
            .is_none_or(|told| !told.somebody_waits && now.duration_since(told.at) >= BYTES_TOLD_EVERY);
        if is_due {
            remember(&mut studies, study_id, now);
        }
        is_due
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<StudyId, Told>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn remember(studies: &mut HashMap<StudyId, Told>, study_id: &StudyId, now: Instant) {
    if studies.len() >= STUDIES_KEPT {
        studies.retain(|_, told| told.somebody_waits || now.duration_since(told.at) < BYTES_TOLD_EVERY);
    }
    let told = Told {
        at: now,
        somebody_waits: false,
    };
    studies.insert(study_id.clone(), told);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::secrets::new_uuid;

    #[test]
    fn a_study_that_changes_all_the_time_is_told_four_times_a_second_and_never_forgotten() {
        let tellings = Tellings::default();
        let (study, other) = (StudyId::new(new_uuid()), StudyId::new(new_uuid()));
        let start = Instant::now();
        let at = |ms| start + Duration::from_millis(ms);
        assert_eq!(tellings.ask(&study, start), Turn::Now);
        assert_eq!(tellings.ask(&other, start), Turn::Now);
        assert_eq!(
            tellings.ask(&study, at(100)),
            Turn::After(Duration::from_millis(150))
        );
        assert_eq!(tellings.ask(&study, at(200)), Turn::Never);
        tellings.begin(&study, at(250));
        assert_eq!(tellings.ask(&study, at(250)), Turn::After(TOLD_EVERY));
        assert_eq!(tellings.ask(&other, at(250)), Turn::Now);
    }

    #[test]
    fn bytes_alone_are_told_once_a_second() {
        let tellings = Tellings::default();
        let study = StudyId::new(new_uuid());
        let start = Instant::now();
        assert!(tellings.may_tell_bytes(&study, start));
        assert!(!tellings.may_tell_bytes(&study, start));
        let later = start + BYTES_TOLD_EVERY;
        assert_eq!(tellings.ask(&study, later), Turn::Now);
        assert!(
            !tellings.may_tell_bytes(&study, later),
            "the change told the bytes as well"
        );
        assert!(tellings.may_tell_bytes(&study, later + BYTES_TOLD_EVERY));
    }

    #[test]
    fn memory_is_bounded() {
        let tellings = Tellings::default();
        let start = Instant::now();
        for n in 0..3 * STUDIES_KEPT as u64 {
            let now = start + Duration::from_millis(n * 2);
            assert_eq!(tellings.ask(&StudyId::new(new_uuid()), now), Turn::Now);
        }
        assert!(tellings.lock().len() <= STUDIES_KEPT);
    }
}
