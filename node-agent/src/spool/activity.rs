//! Which studies an association brought objects of: a study is not closed while one of them is open.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};

use super::Shared;

/// Studies remembered for one association; beyond that the quiet time alone decides.
const STUDIES_PER_ASSOCIATION_MAX: usize = 256;

/// Lives as long as an association or an import.
pub struct Activity {
    shared: Arc<Shared>,
    studies: Mutex<BTreeSet<String>>,
}

impl Activity {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        Self {
            shared,
            studies: Mutex::default(),
        }
    }

    /// Notes that an object of the study came.
    pub(super) fn touch(&self, study: &str) {
        let mut studies = self.studies.lock().unwrap_or_else(PoisonError::into_inner);
        if studies.len() < STUDIES_PER_ASSOCIATION_MAX && studies.insert(study.to_owned()) {
            *self.shared.open_studies().entry(study.to_owned()).or_default() += 1;
        }
    }
}

impl Drop for Activity {
    fn drop(&mut self) {
        let studies = std::mem::take(self.studies.get_mut().unwrap_or_else(PoisonError::into_inner));
        let now_ms = self.shared.clock.now_ms();
        let mut open = self.shared.open_studies();
        let mut picture = self.shared.picture();
        for study in studies {
            if let Some(n_open) = open.get_mut(&study) {
                *n_open -= 1;
                if *n_open == 0 {
                    open.remove(&study);
                }
            }
            if let Some(study) = picture.studies.get_mut(&study) {
                study.last_activity_ms = now_ms;
            }
        }
    }
}
