//! How often the coder began an object and never came to an end with it, kept where the death of the process leaves it.
//!
//! An object that ends the process would do so again at every start. So each begin is written down before it, as one
//! byte in a file named after the object, and the file goes when coding has ended, however it ended. It is worth no
//! fsync: the death of a process loses nothing that was written. What a power cut loses is a count that was not the
//! object's fault.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tancho_domain::ids::ObjectId;

/// Begins without an end after which an object travels as it is: the coder of frames is not asked any more.
pub(super) const PLAIN_AFTER: u64 = 2;
/// Begins without an end after which an object is set aside.
pub(super) const ASIDE_AFTER: u64 = 3;

/// The counts of one spool.
#[derive(Debug)]
pub(super) struct Attempts {
    folder: PathBuf,
    suspects: Mutex<()>,
}

impl Attempts {
    pub(super) fn new(folder: PathBuf) -> Self {
        Self {
            folder,
            suspects: Mutex::default(),
        }
    }

    /// Writes a begin down; gives how many before it had no end.
    pub(super) fn begin(&self, object_id: &ObjectId) -> io::Result<u64> {
        let mut options = OpenOptions::new();
        let mut file = options.create(true).append(true).open(self.file(object_id))?;
        let earlier = file.metadata()?.len();
        file.write_all(b"+")?;
        Ok(earlier)
    }

    /// The object did not end the process.
    pub(super) fn end(&self, object_id: &ObjectId) {
        if let Err(error) = fs::remove_file(self.file(object_id)) {
            tracing::warn!(object.id = %object_id, %error, "an attempt at coding could not be taken back");
        }
    }

    /// One object at a time of those that were under way when a process died, so that the next death blames the right one.
    pub(super) fn turn_of_suspects(&self) -> MutexGuard<'_, ()> {
        self.suspects.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn file(&self, object_id: &ObjectId) -> PathBuf {
        self.folder.join(object_id.as_str())
    }
}
