//! How often the coder began an object and never came to an end with it, kept where the death of the process leaves it.
//!
//! An object that ends the process would do so again at every start. So each begin is written down before it, as one
//! byte in a file named after the object, and the file goes when coding has ended, however it ended. It is worth no
//! fsync: the death of a process loses nothing that was written. What a power cut loses is a count that was not the
//! object's fault.
//!
//! A process that ends leaves a byte for everything that was under way, most of it innocent. That first byte only makes
//! a suspect. Suspects are begun one at a time, and a byte is written when it is an object's turn, not while it waits:
//! only these tries count against it. After [`TRIES_MAX`] of them it is set aside. A process can also be ended from
//! outside, many times in a minute, so a suspect that was tried once rests until this one has lived for a while.

use std::collections::HashMap;
use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tancho_domain::ids::ObjectId;

/// Tries of a suspect on its own after which it is set aside; in the last one it travels as it is, without the coder of
/// frames.
const TRIES_MAX: u64 = 2;
/// How long this process must have lived before a suspect has its last try. A process that is ended at every start by
/// something else ends before.
const LAST_TRY_AFTER: Duration = Duration::from_secs(15);

/// What is to be done with an object that was begun now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Begun {
    /// Nothing is known against it.
    Fresh,
    /// It was under way when a process ended.
    Suspect,
    /// The same, for the last time: without the coder of frames.
    Last,
    /// It ended the process in each of its tries.
    Guilty,
}

/// The counts of one spool.
#[derive(Debug)]
pub(super) struct Attempts {
    folder: PathBuf,
    opened_at: Instant,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// Begins without an end, of earlier processes.
    suspects: HashMap<ObjectId, u64>,
    /// The one that is under way.
    turn: Option<ObjectId>,
}

impl Attempts {
    /// Reads what earlier processes left.
    pub(super) fn open(folder: PathBuf) -> Self {
        let suspects = read(&folder).unwrap_or_else(|error| {
            tracing::warn!(%error, "earlier attempts at coding cannot be read; they do not count");
            HashMap::new()
        });
        Self {
            folder,
            opened_at: Instant::now(),
            state: Mutex::new(State { suspects, turn: None }),
        }
    }

    /// Objects that were under way when a process ended, and have not come to an end since.
    pub(super) fn n_suspects(&self) -> usize {
        self.state().suspects.len()
    }

    /// Those of them that nothing is to be done with any more.
    pub(super) fn forget_unless(&self, is_waiting: impl Fn(&ObjectId) -> bool) {
        let mut state = self.state();
        let gone: Vec<ObjectId> = state
            .suspects
            .keys()
            .filter(|id| !is_waiting(id))
            .cloned()
            .collect();
        for object_id in gone {
            state.suspects.remove(&object_id);
            self.take_back(&object_id);
        }
    }

    /// Whether the object may be begun now. A suspect has the turn of suspects then, until [`Self::pass`] or
    /// [`Self::end`]: nobody ever waits for it, least of all somebody whom its coding waits for.
    pub(super) fn may_begin(&self, object_id: &ObjectId) -> bool {
        let mut state = self.state();
        let Some(n_begun) = state.suspects.get(object_id) else {
            return true;
        };
        let is_early = *n_begun == TRIES_MAX && self.opened_at.elapsed() < LAST_TRY_AFTER;
        if state.turn.is_some() || is_early {
            return false;
        }
        state.turn = Some(object_id.clone());
        true
    }

    /// Writes a begin down.
    pub(super) fn begin(&self, object_id: &ObjectId) -> io::Result<Begun> {
        let n_begun = self.state().suspects.get(object_id).copied().unwrap_or(0);
        if n_begun <= TRIES_MAX {
            let mut options = OpenOptions::new();
            let mut file = options.create(true).append(true).open(self.file(object_id))?;
            file.write_all(b"+")?;
        }
        Ok(match n_begun {
            0 => Begun::Fresh,
            TRIES_MAX => Begun::Last,
            n_begun if n_begun < TRIES_MAX => Begun::Suspect,
            _ => Begun::Guilty,
        })
    }

    /// The object did not end the process. True when another suspect may have its turn now.
    pub(super) fn end(&self, object_id: &ObjectId) -> bool {
        self.take_back(object_id);
        self.state().suspects.remove(object_id);
        self.pass(object_id)
    }

    /// The object is not begun after all, or was not. True when another suspect may have its turn now.
    pub(super) fn pass(&self, object_id: &ObjectId) -> bool {
        let mut state = self.state();
        let had_turn = state.turn.as_ref() == Some(object_id);
        if had_turn {
            state.turn = None;
        }
        had_turn
    }

    fn take_back(&self, object_id: &ObjectId) {
        if let Err(error) = fs::remove_file(self.file(object_id)) {
            tracing::warn!(object.id = %object_id, %error, "an attempt at coding could not be taken back");
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn file(&self, object_id: &ObjectId) -> PathBuf {
        self.folder.join(object_id.as_str())
    }
}

/// How often each object was begun.
fn read(folder: &Path) -> io::Result<HashMap<ObjectId, u64>> {
    let mut begun = HashMap::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let object_id = entry
            .file_name()
            .to_str()
            .and_then(|name| ObjectId::parse(name).ok());
        let n_begun = entry.metadata()?.len();
        begun.extend(
            object_id
                .filter(|_| n_begun > 0)
                .map(|object_id| (object_id, n_begun)),
        );
    }
    Ok(begun)
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    fn id(n: u128) -> ObjectId {
        ObjectId::new(Uuid::from_u128(n))
    }

    fn n_bytes(folder: &Path, n: u128) -> u64 {
        fs::metadata(folder.join(id(n).as_str())).map_or(0, |file| file.len())
    }

    /// A process that lived for a while.
    fn old(folder: &Path) -> Attempts {
        let mut attempts = Attempts::open(folder.to_owned());
        attempts.opened_at = Instant::now().checked_sub(LAST_TRY_AFTER).unwrap();
        attempts
    }

    #[test]
    fn flt_067_only_the_tries_of_the_one_whose_turn_it_is_count() {
        let folder = tempfile::tempdir().unwrap();
        let (poison, innocent) = (id(1), id(2));
        let first = Attempts::open(folder.path().to_owned());
        for object in [&poison, &innocent] {
            assert!(first.may_begin(object));
            assert_eq!(first.begin(object).unwrap(), Begun::Fresh);
        }
        for (begun, n_begun) in [(Begun::Suspect, 2), (Begun::Last, 3)] {
            let process = old(folder.path());
            assert!(process.may_begin(&poison));
            assert!(!process.may_begin(&innocent), "one at a time");
            assert_eq!(process.begin(&poison).unwrap(), begun);
            assert_eq!(
                (n_bytes(folder.path(), 1), n_bytes(folder.path(), 2)),
                (n_begun, 1)
            );
        }
        let process = Attempts::open(folder.path().to_owned());
        assert!(process.may_begin(&poison), "there is nothing to wait for");
        assert_eq!(process.begin(&poison).unwrap(), Begun::Guilty);
        assert!(process.end(&poison));
        assert!(process.may_begin(&innocent));
        assert_eq!(process.begin(&innocent).unwrap(), Begun::Suspect);
        process.end(&innocent);
        assert_eq!(
            (process.n_suspects(), fs::read_dir(folder.path()).unwrap().count()),
            (0, 0)
        );
    }

    #[test]
    fn a_process_that_is_ended_again_and_again_within_seconds_condemns_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let object = id(1);
        for _ in 0..10 {
            let process = Attempts::open(folder.path().to_owned());
            if process.may_begin(&object) {
                assert_ne!(process.begin(&object).unwrap(), Begun::Guilty);
            }
        }
        assert_eq!(n_bytes(folder.path(), 1), TRIES_MAX);
        assert_eq!(old(folder.path()).begin(&object).unwrap(), Begun::Last);
    }

    #[test]
    fn one_that_is_not_begun_after_all_keeps_nobody_waiting() {
        let folder = tempfile::tempdir().unwrap();
        for n in 1..=3 {
            fs::write(folder.path().join(id(n).as_str()), "+").unwrap();
        }
        let attempts = Attempts::open(folder.path().to_owned());
        attempts.forget_unless(|object_id| *object_id != id(3));
        assert_eq!((attempts.n_suspects(), n_bytes(folder.path(), 3)), (2, 0));
        assert!(attempts.may_begin(&id(1)));
        assert!(!attempts.pass(&id(2)) && !attempts.may_begin(&id(2)));
        assert!(attempts.pass(&id(1)) && attempts.may_begin(&id(2)));
        assert_eq!(n_bytes(folder.path(), 1), 1);
    }
}
