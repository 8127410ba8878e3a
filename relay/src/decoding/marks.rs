//! Objects that ended two workers. They are marked in a folder, by an empty file named after the digest of their container,
//! and stay marked until an administrator removes that file and starts the relay again.

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
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
    deaths: HashMap<String, u32>,
    marked: HashSet<String>,
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

    /// Notes that the object ended a worker; whether it is marked now.
    pub(super) fn note_death(&self, container_sha256: &str) -> bool {
        let mut known = self.known();
        if known.deaths.len() >= DOUBTED_MAX && !known.deaths.contains_key(container_sha256) {
            known.deaths.clear();
        }
        let n_deaths = known.deaths.entry(container_sha256.to_owned()).or_default();
        *n_deaths += 1;
        if *n_deaths < DEATHS_MAX || known.marked.len() >= MARKS_MAX {
            return false;
        }
        known.deaths.remove(container_sha256);
        known.marked.insert(container_sha256.to_owned());
        drop(known);
        // Without the file it is marked until the relay is started again.
        if let Err(error) = state::write_private(&self.dir.join(container_sha256), &[]) {
            tracing::error!(%error, "an object that cannot be decoded was not marked durably");
        }
        true
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
        assert!(!marks.note_death("ab"));
        assert!(!marks.is_marked("ab"));
        assert!(!marks.note_death("cd"));
        assert!(marks.note_death("ab"));
        let again = Marks::open(dir.path()).unwrap();
        for marks in [marks, again] {
            assert!(marks.is_marked("ab"));
            assert!(!marks.is_marked("cd"));
        }
        fs::remove_file(dir.path().join(FOLDER).join("ab")).unwrap();
        assert!(!Marks::open(dir.path()).unwrap().is_marked("ab"));
    }

    #[test]
    fn doubt_is_bounded() {
        let dir = tempfile::tempdir().unwrap();
        let marks = Marks::open(dir.path()).unwrap();
        for n in 0..=DOUBTED_MAX {
            assert!(!marks.note_death(&n.to_string()));
        }
        assert_eq!(marks.known().deaths.len(), 1);
    }
}
