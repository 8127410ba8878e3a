//! Objects that ended two workers. They are marked in a folder, by an empty file named after the digest of their container,
//! and stay marked until an administrator removes that file and starts the relay again.

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;
use std::{fs, io};

use crate::state;

/// Folder of the marks within the data folder.
const FOLDER: &str = "not-decodable";
/// Workers that one object may end.
pub(super) const DEATHS_MAX: u32 = 2;
/// Objects that are remembered with one death; when there are more, all are forgotten, which costs each another worker.
const DOUBTED_MAX: usize = 10_000;
/// Marks that are kept; beyond, the relay is attacked and an object costs a worker each time it is asked for.
const MARKS_MAX: usize = 100_000;

#[derive(Debug)]
pub(super) struct Marks {
    dir: PathBuf,
    known: Mutex<Known>,
}

#[derive(Debug, Default)]
struct Known {
    doubted: HashMap<String, Doubt>,
    marked: HashSet<String>,
}

/// Deaths of one object so far.
#[derive(Debug)]
struct Doubt {
    n_deaths: u32,
    last_at: Instant,
}

impl Marks {
    /// Those of the data folder.
    pub(super) fn open(data_dir: &Path) -> io::Result<Self> {
        let dir = data_dir.join(FOLDER);
        state::make_private_dir(&dir)?;
        let mut known = Known::default();
        for entry in fs::read_dir(&dir)?.take(MARKS_MAX) {
            if let Ok(name) = entry?.file_name().into_string() {
                known.marked.insert(name);
            }
        }
        Ok(Self {
            dir,
            known: Mutex::new(known),
        })
    }

    pub(super) fn is_marked(&self, container_sha256: &str) -> bool {
        self.known().marked.contains(container_sha256)
    }

    /// Notes that the object ended a worker, in a try that began at `began`; whether it is marked now. Tries that ran
    /// beside each other are one.
    pub(super) fn note_death(&self, container_sha256: &str, began: Instant) -> bool {
        let now = Instant::now();
        let mut known = self.known();
        if known.doubted.len() >= DOUBTED_MAX && !known.doubted.contains_key(container_sha256) {
            known.doubted.clear();
        }
        let doubt = known.doubted.entry(container_sha256.to_owned());
        let doubt = doubt
            .and_modify(|doubt| doubt.n_deaths += u32::from(began > doubt.last_at))
            .or_insert(Doubt {
                n_deaths: 1,
                last_at: now,
            });
        doubt.last_at = now;
        if doubt.n_deaths < DEATHS_MAX || known.marked.len() >= MARKS_MAX {
            return false;
        }
        known.doubted.remove(container_sha256);
        known.marked.insert(container_sha256.to_owned());
        drop(known);
        // Without the file it is marked until the relay is started again.
        if let Err(error) = state::write_private(&self.dir.join(container_sha256), &[]) {
            tracing::error!(%error, "an object that cannot be decoded was not marked durably");
        }
        true
    }

    /// A frame of the object was decoded: an earlier death was not its fault.
    pub(super) fn note_success(&self, container_sha256: &str) {
        self.known().doubted.remove(container_sha256);
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_object_is_marked_at_its_second_death_and_stays_so() {
        let dir = tempfile::tempdir().unwrap();
        let marks = Marks::open(dir.path()).unwrap();
        assert!(!marks.note_death("ab", Instant::now()));
        assert!(!marks.is_marked("ab"));
        assert!(!marks.note_death("cd", Instant::now()));
        assert!(marks.note_death("ab", Instant::now()));
        let again = Marks::open(dir.path()).unwrap();
        for marks in [marks, again] {
            assert!(marks.is_marked("ab"));
            assert!(!marks.is_marked("cd"));
        }
        fs::remove_file(dir.path().join(FOLDER).join("ab")).unwrap();
        assert!(!Marks::open(dir.path()).unwrap().is_marked("ab"));
    }

    #[test]
    fn tries_beside_each_other_are_one_and_a_success_clears_the_doubt() {
        let dir = tempfile::tempdir().unwrap();
        let marks = Marks::open(dir.path()).unwrap();
        let began = Instant::now();
        assert!(!marks.note_death("ab", began));
        assert!(!marks.note_death("ab", began), "both frames were under way");
        marks.note_success("ab");
        assert!(!marks.note_death("ab", Instant::now()));
        assert!(marks.note_death("ab", Instant::now()));
    }

    #[test]
    fn doubt_is_bounded() {
        let dir = tempfile::tempdir().unwrap();
        let marks = Marks::open(dir.path()).unwrap();
        for n in 0..=DOUBTED_MAX {
            assert!(!marks.note_death(&n.to_string(), Instant::now()));
        }
        assert_eq!(marks.known().doubted.len(), 1);
    }
}
