//! Where things lie in the data folder, the lock that keeps a second agent out, and the start-up self-test.
//!
//! Every name is our own identifier or a number; nothing a peer sent becomes part of a path.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use tancho_domain::ids::{CommandId, ObjectId};

use crate::durable;

/// Objects per numbered folder; a new folder is begun when the newest holds this many.
pub const OBJECTS_PER_FOLDER: u64 = 4096;

/// Why the data folder cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum LayoutError {
    /// Another agent holds the lock.
    #[error("data folder {0} is in use by another tancho-agent")]
    InUse(PathBuf),
    /// The folder cannot do what durability needs.
    #[error("data folder {folder} failed the self-test at step {step}: {source}")]
    SelfTest {
        /// The folder.
        folder: PathBuf,
        /// The step: write, fsync, rename, folder fsync, read back.
        step: &'static str,
        /// What the system said.
        source: io::Error,
    },
    /// Creating a folder failed.
    #[error("cannot prepare {folder}: {source}")]
    Prepare {
        /// The folder.
        folder: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

/// The data folder, locked for as long as this lives.
#[derive(Debug)]
pub struct Layout {
    root: PathBuf,
    _lock: File,
}

impl Layout {
    /// Creates missing folders, takes the lock, runs the self-test and discards partial files.
    pub fn open(data_dir: &Path) -> Result<Self, LayoutError> {
        let prepare = |folder: &Path| {
            fs::create_dir_all(folder).map_err(|source| LayoutError::Prepare {
                folder: folder.to_owned(),
                source,
            })
        };
        prepare(data_dir)?;
        restrict_to_owner(data_dir);
        let lock = lock(data_dir)?;
        let layout = Self {
            root: data_dir.to_owned(),
            _lock: lock,
        };
        for folder in [
            layout.incoming(),
            layout.objects(),
            layout.containers(),
            layout.quarantine(),
            layout.requests(),
            layout.aside(),
            layout.coding(),
        ] {
            prepare(&folder)?;
        }
        layout.self_test()?;
        let spool = layout.spool();
        layout
            .discard_partial_files()
            .map_err(|source| LayoutError::Prepare {
                folder: layout.incoming(),
                source,
            })?;
        // The numbered folders too: a run that was killed may have made one without the fsync that comes after.
        for folder in [&layout.root, &spool, &layout.objects(), &layout.containers()] {
            durable::folder(folder).map_err(|source| LayoutError::Prepare {
                folder: folder.clone(),
                source,
            })?;
        }
        Ok(layout)
    }

    /// Folder of everything the spool owns.
    #[must_use]
    pub fn spool(&self) -> PathBuf {
        self.root.join("spool")
    }

    /// Files being written; emptied at every start.
    #[must_use]
    pub fn incoming(&self) -> PathBuf {
        self.spool().join("incoming")
    }

    /// Received objects in numbered folders.
    #[must_use]
    pub fn objects(&self) -> PathBuf {
        self.spool().join("objects")
    }

    /// Containers made from them, in folders of the same numbers.
    #[must_use]
    pub fn containers(&self) -> PathBuf {
        self.spool().join("containers")
    }

    /// What was received and cannot be used.
    #[must_use]
    pub fn quarantine(&self) -> PathBuf {
        self.spool().join("quarantine")
    }

    /// Reading request forms that the relay has not answered.
    #[must_use]
    pub fn requests(&self) -> PathBuf {
        self.spool().join("requests")
    }

    /// How often objects were begun by the coder and never ended.
    #[must_use]
    pub fn coding(&self) -> PathBuf {
        self.spool().join("coding")
    }

    /// Damaged index files, kept for study.
    #[must_use]
    pub fn aside(&self) -> PathBuf {
        self.spool().join("aside")
    }

    /// The index.
    #[must_use]
    pub fn index_file(&self) -> PathBuf {
        self.spool().join("index.sqlite3")
    }

    /// A file being written.
    #[must_use]
    pub fn partial_file(&self, object_id: &ObjectId, kind: &str) -> PathBuf {
        self.incoming().join(format!("{object_id}.{kind}.part"))
    }

    /// Numbered folder of objects.
    #[must_use]
    pub fn object_folder(&self, folder: i64) -> PathBuf {
        self.objects().join(format!("{folder:06}"))
    }

    /// Numbered folder of containers.
    #[must_use]
    pub fn container_folder(&self, folder: i64) -> PathBuf {
        self.containers().join(format!("{folder:06}"))
    }

    /// A received object.
    #[must_use]
    pub fn object_file(&self, folder: i64, object_id: &ObjectId) -> PathBuf {
        self.object_folder(folder).join(format!("{object_id}.obj"))
    }

    /// A container.
    #[must_use]
    pub fn container_file(&self, folder: i64, object_id: &ObjectId) -> PathBuf {
        self.container_folder(folder).join(format!("{object_id}.tanc"))
    }

    /// A quarantined object.
    #[must_use]
    pub fn quarantine_file(&self, object_id: &ObjectId) -> PathBuf {
        self.quarantine().join(format!("{object_id}.obj"))
    }

    /// A reading request form.
    #[must_use]
    pub fn request_file(&self, command_id: &CommandId) -> PathBuf {
        self.requests().join(format!("{command_id}.json"))
    }

    /// Numbers of the folders of objects that exist, ascending.
    pub fn object_folders(&self) -> io::Result<Vec<i64>> {
        let mut numbers = Vec::new();
        for entry in fs::read_dir(self.objects())? {
            if let Some(number) = entry?.file_name().to_str().and_then(|name| name.parse().ok()) {
                numbers.push(number);
            }
        }
        numbers.sort_unstable();
        Ok(numbers)
    }

    /// Identifiers of the object files in a folder; anything else there is not ours and is left alone.
    pub fn object_ids(folder: &Path) -> io::Result<Vec<ObjectId>> {
        let mut ids = Vec::new();
        for entry in fs::read_dir(folder)? {
            let name = entry?.file_name();
            let id = name.to_str().and_then(|name| name.strip_suffix(".obj"));
            ids.extend(id.and_then(|id| ObjectId::parse(id).ok()));
        }
        Ok(ids)
    }

    /// Makes sure that a numbered folder exists durably.
    pub fn ensure_folder(folder: &Path) -> io::Result<()> {
        match fs::create_dir(folder) {
            Ok(()) => folder.parent().map_or(Ok(()), durable::folder),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Proves at start, on the real file system, every operation that durability rests on.
    fn self_test(&self) -> Result<(), LayoutError> {
        let failed = |step| {
            move |source| LayoutError::SelfTest {
                folder: self.root.clone(),
                step,
                source,
            }
        };
        let (before, after) = (
            self.incoming().join("self-test.part"),
            self.incoming().join("self-test"),
        );
        let probe = b"tancho self-test";
        let mut file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .open(&before)
            .map_err(failed("write"))?;
        file.write_all(probe).map_err(failed("write"))?;
        durable::file(&file).map_err(failed("fsync"))?;
        fs::rename(&before, &after).map_err(failed("rename"))?;
        durable::folder(&self.incoming()).map_err(failed("folder fsync"))?;
        let read_back = fs::read(&after).map_err(failed("read back"))?;
        if read_back != probe {
            return Err(failed("read back")(io::Error::other(
                "other bytes than were written",
            )));
        }
        Ok(())
    }

    fn discard_partial_files(&self) -> io::Result<()> {
        let mut n_discarded = 0_u64;
        for entry in fs::read_dir(self.incoming())? {
            let entry = entry?;
            match fs::remove_file(entry.path()) {
                Ok(()) => {
                    n_discarded += u64::from(entry.file_name().to_string_lossy().ends_with(".part"));
                }
                Err(error) => {
                    tracing::error!(file = %entry.path().display(), %error, "a partial file of the last run stays");
                }
            }
        }
        if n_discarded > 0 {
            tracing::info!(
                n_discarded,
                "partial files of the last run were discarded; none had been acknowledged"
            );
        }
        Ok(())
    }
}

fn lock(data_dir: &Path) -> Result<File, LayoutError> {
    let prepare = |source| LayoutError::Prepare {
        folder: data_dir.to_owned(),
        source,
    };
    let path = data_dir.join("lock");
    let mut file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .open(&path)
        .map_err(prepare)?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => return Err(LayoutError::InUse(data_dir.to_owned())),
        Err(TryLockError::Error(source)) => return Err(prepare(source)),
    }
    // The number is for the operator who looks into the folder; the lock itself is the kernel's.
    let mut written = String::new();
    file.read_to_string(&mut written).ok();
    file.set_len(0)
        .and_then(|()| file.seek(SeekFrom::Start(0)))
        .map_err(prepare)?;
    writeln!(file, "{}", std::process::id()).map_err(prepare)?;
    Ok(file)
}

/// Whether a file could not be opened because this process or the machine has too many open, whatever the file is like.
#[must_use]
pub fn is_out_of_handles(error: &io::Error) -> bool {
    use rustix::io::Errno;
    matches!(Errno::from_io_error(error), Some(Errno::MFILE | Errno::NFILE))
}

/// Writes a small file durably: fsync, rename, folder fsync.
pub fn write_durably(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let partial = path.with_extension("part");
    let mut file = File::create(&partial)?;
    file.write_all(bytes)?;
    durable::file(&file)?;
    fs::rename(&partial, path)?;
    path.parent().map_or(Ok(()), durable::folder)
}

/// Patient data rests here: other users of the machine have no business in the folder.
fn restrict_to_owner(folder: &Path) {
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        if let Err(error) = fs::set_permissions(folder, fs::Permissions::from_mode(0o700)) {
            tracing::warn!(%error, "the data folder could not be closed to other users");
        }
    }
    #[cfg(not(unix))]
    let _ = folder;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flt_030_a_second_agent_is_kept_out_while_the_first_lives() {
        let folder = tempfile::tempdir().unwrap();
        let first = Layout::open(folder.path()).unwrap();
        assert!(matches!(Layout::open(folder.path()), Err(LayoutError::InUse(_))));
        drop(first);
        assert!(Layout::open(folder.path()).is_ok());
    }

    #[test]
    fn partial_files_are_discarded_at_start() {
        let folder = tempfile::tempdir().unwrap();
        let incoming = Layout::open(folder.path()).unwrap().incoming();
        fs::write(incoming.join("x.obj.part"), b"half").unwrap();
        drop(Layout::open(folder.path()).unwrap());
        assert_eq!(fs::read_dir(incoming).unwrap().count(), 0);
    }

    #[test]
    fn flt_031_a_folder_that_cannot_be_written_fails_loudly() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("file");
        fs::write(&file, b"").unwrap();
        assert!(matches!(Layout::open(&file), Err(LayoutError::Prepare { .. })));
    }
}
