//! Which studies an association brought objects of: a study is not closed while one of them is open, and an object that
//! names no study belongs to the one its neighbours belong to.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};

use tancho_domain::ids::ObjectId;

use super::Shared;

/// Studies remembered for one association; beyond that the quiet time alone decides.
const STUDIES_PER_ASSOCIATION_MAX: usize = 256;

/// Objects of one association that wait for a neighbour that names its study.
const UNPLACED_MAX: usize = 1024;

/// Lives as long as an association or an import.
pub struct Activity {
    shared: Arc<Shared>,
    studies: Mutex<BTreeSet<String>>,
    neighbours: Mutex<Neighbours>,
}

#[derive(Default)]
struct Neighbours {
    /// Study of the last object that named one.
    study: Option<String>,
    /// Quarantined before any object named one.
    unplaced: Vec<ObjectId>,
}

impl Activity {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        Self {
            shared,
            studies: Mutex::default(),
            neighbours: Mutex::default(),
        }
    }

    /// Notes that an object of the study came.
    pub(super) fn touch(&self, study: &str) {
        let mut studies = self.studies.lock().unwrap_or_else(PoisonError::into_inner);
        if studies.len() < STUDIES_PER_ASSOCIATION_MAX && studies.insert(study.to_owned()) {
            *self.shared.open_studies().entry(study.to_owned()).or_default() += 1;
        }
    }

    /// Notes the study that an object named; gives the objects before it that named none.
    pub(super) fn note_study(&self, study: &str) -> Vec<ObjectId> {
        let mut neighbours = self.neighbours.lock().unwrap_or_else(PoisonError::into_inner);
        if neighbours.study.as_deref() != Some(study) {
            neighbours.study = Some(study.to_owned());
        }
        std::mem::take(&mut neighbours.unplaced)
    }

    /// The study of an object that names none: its neighbour's. Without one before it, the next one decides.
    pub(super) fn study_of_neighbour(&self, object_id: &ObjectId) -> Option<String> {
        let mut neighbours = self.neighbours.lock().unwrap_or_else(PoisonError::into_inner);
        if neighbours.study.is_none() && neighbours.unplaced.len() < UNPLACED_MAX {
            neighbours.unplaced.push(object_id.clone());
        }
        neighbours.study.clone()
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
