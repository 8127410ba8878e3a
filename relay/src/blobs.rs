//! Instance containers at rest: files named by their own SHA-256, below their network. Written once, never changed.
//!
//! Putting is create-only and durable before it returns: file fsync, rename, directory fsync. Reading checks: a
//! header against its digest when a blob is opened, a section against its digest when it is given out, so rot is an
//! error and never a picture. All of it blocks; handlers call it through `spawn_blocking`.

use std::collections::HashSet;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use prometheus_client::metrics::counter::Counter;
use tancho_domain::ids::NetworkId;
use tancho_imaging::container::{self, Container, ContainerError};
use tokio::sync::Notify;

use crate::durable::{self, crash_point};
use crate::metrics::Metrics;
use crate::state::make_private_dir;

pub mod check;
mod dictionaries;

use check::BlobName;

/// Ending of a container file.
const ENDING: &str = "tic";

/// The blob store of a data folder; cheap to clone.
#[derive(Debug, Clone)]
pub struct Blobs {
    root: PathBuf,
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    folders: Mutex<Folders>,
    /// Held while a blob that is there is judged, and replaced or set aside.
    replacing: Mutex<()>,
    suspects: Mutex<HashSet<BlobName>>,
    suspected: Notify,
    /// Blobs set aside.
    damaged: Counter,
}

/// Blobs that wait to be checked because reading them failed; further ones are found by the scrub.
const SUSPECTS_MAX: usize = 1_000;
/// Added to the name of a blob that is not what was stored.
const DAMAGED_ENDING: &str = "damaged";

/// What this process knows of folders.
#[derive(Debug, Default)]
struct Folders {
    /// Their own names are durable in the folders above.
    durable: HashSet<PathBuf>,
    /// The disk did not confirm their entries. It says so once and would confirm the next time, so nothing in them
    /// counts as durable any more.
    lost: HashSet<PathBuf>,
}

/// What putting a file came to. In every case the blob is there, whole and durable, and the file handed over is gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Put {
    /// It was new.
    Created,
    /// The same container was there already.
    Existed,
    /// What was there had rotted and was replaced by the good copy.
    Repaired,
}

/// Why a blob was not written or not given out.
#[derive(Debug, thiserror::Error)]
pub enum BlobError {
    /// There is no such blob.
    #[error("blob expected, found none")]
    Missing,
    /// Its bytes are not what was stored; they are never given out.
    #[error("blob damaged: {0}")]
    Damaged(ContainerError),
    /// The bytes handed over do not have the digest they should be stored under.
    #[error("file does not have the digest it is to be stored under")]
    NotItsDigest,
    /// The disk failed.
    #[error("blob input or output failed")]
    Io(#[from] io::Error),
    /// The disk did not confirm the bytes. A later fsync of the same file would succeed over bytes that were never
    /// written, so the file handed over must be thrown away.
    #[error("blob not durable")]
    NotDurable(io::Error),
}

impl From<ContainerError> for BlobError {
    fn from(error: ContainerError) -> Self {
        match error {
            ContainerError::Io(error) => Self::Io(error),
            other => Self::Damaged(other),
        }
    }
}

impl Blobs {
    /// Opens `data_dir/blobs`, made when missing.
    ///
    /// # Errors
    /// When the folder cannot be made.
    pub fn open(data_dir: &Path) -> io::Result<Self> {
        let root = data_dir.join("blobs");
        make_private_dir(&root)?;
        durable::folder(data_dir)?;
        Ok(Self {
            root,
            shared: Arc::default(),
        })
    }

    /// Takes a finished container file of the same file system into the store.
    ///
    /// The caller has compared the bytes with `container_sha256`; they are not read again unless a blob of that
    /// name exists.
    ///
    /// # Errors
    /// When the disk fails; `finished` is then still where it was, or the blob is already there. After
    /// [`BlobError::NotDurable`] it must not be put again.
    pub fn put_file(
        &self,
        network_id: &NetworkId,
        container_sha256: &[u8; 32],
        finished: &Path,
    ) -> Result<Put, BlobError> {
        durable::file(&File::open(finished)?).map_err(BlobError::NotDurable)?;
        crash_point("blob.synced");
        let target = self.path(network_id, container_sha256);
        let folder = self.make_folder(network_id, container_sha256)?;
        let put = match fs::hard_link(finished, &target) {
            // A link does not replace what is there, as a rename would.
            Ok(()) => Put::Created,
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                let _turn = lock(&self.shared.replacing);
                if container::digest(&mut File::open(&target)?)? == *container_sha256 {
                    Put::Existed
                } else if container::digest(&mut File::open(finished)?)? == *container_sha256 {
                    fs::rename(finished, &target)?;
                    Put::Repaired
                } else {
                    return Err(BlobError::NotItsDigest);
                }
            }
            // File systems without links: one relay owns the folder, and the digest names the content.
            Err(_) if !target.try_exists()? => {
                fs::rename(finished, &target)?;
                Put::Created
            }
            Err(error) => return Err(error.into()),
        };
        // What is published is never taken away again: another connection may have answered with a receipt for it.
        if put == Put::Existed {
            durable::file(&File::open(&target)?).map_err(BlobError::NotDurable)?;
        }
        crash_point("blob.linked");
        self.sync_folder(&folder)?;
        if finished.try_exists()? {
            fs::remove_file(finished)?;
        }
        crash_point("blob.stored");
        Ok(put)
    }

    /// Makes a blob that is there durable: bytes, name and the folders above. A run that was killed between the name and
    /// its fsync leaves one that a power cut would take away.
    ///
    /// # Errors
    /// [`BlobError::Missing`], or when the disk fails: then it must not be counted on.
    pub fn make_durable(&self, network_id: &NetworkId, container_sha256: &[u8; 32]) -> Result<(), BlobError> {
        let file = self.file(network_id, container_sha256)?;
        durable::file(&file).map_err(BlobError::NotDurable)?;
        let folder = self.make_folder(network_id, container_sha256)?;
        self.sync_folder(&folder)
    }

    /// Sets a blob aside whose bytes do not have its digest: it counts as missing from then on, so that the next offer
    /// of it is received again instead of answered with a receipt. `false` when it is what was stored, or gone.
    ///
    /// # Errors
    /// When the disk fails.
    pub fn set_aside_damaged(
        &self,
        network_id: &NetworkId,
        container_sha256: &[u8; 32],
    ) -> Result<bool, BlobError> {
        let _turn = lock(&self.shared.replacing);
        let mut file = match self.file(network_id, container_sha256) {
            Err(BlobError::Missing) => return Ok(false),
            other => other?,
        };
        if container::digest(&mut file)? == *container_sha256 {
            return Ok(false);
        }
        let path = self.path(network_id, container_sha256);
        fs::rename(&path, path.with_extension(format!("{ENDING}.{DAMAGED_ENDING}")))?;
        self.shared.damaged.inc();
        tracing::error!(alarm = "blob_damaged", network.id = %network_id, container = %hex(container_sha256),
            "a stored container rotted; it is set aside until its site sends it again");
        if let Some(folder) = path.parent() {
            durable::folder(folder)?;
        }
        Ok(true)
    }

    /// Notes that reading a blob failed; the scrub looks at it next.
    pub fn suspect(&self, network_id: &NetworkId, container_sha256: &[u8; 32]) {
        let mut suspects = lock(&self.shared.suspects);
        if suspects.len() < SUSPECTS_MAX {
            suspects.insert(BlobName {
                network_id: network_id.clone(),
                container_sha256: *container_sha256,
            });
        }
        self.shared.suspected.notify_one();
    }

    /// The blobs noted since the last call.
    #[must_use]
    pub fn take_suspects(&self) -> Vec<BlobName> {
        lock(&self.shared.suspects).drain().collect()
    }

    /// Waits until a blob is noted.
    pub async fn suspected(&self) {
        self.shared.suspected.notified().await;
    }

    /// Adds the counter of blobs set aside.
    pub fn register(&self, metrics: &Metrics) {
        metrics.register(|registry| {
            let help = "Stored containers that rotted and were set aside";
            registry.register("blobs_damaged", help, self.shared.damaged.clone());
        });
    }

    /// Whether a blob of this name is there; its bytes are not looked at.
    ///
    /// # Errors
    /// When the disk fails.
    pub fn exists(&self, network_id: &NetworkId, container_sha256: &[u8; 32]) -> io::Result<bool> {
        self.path(network_id, container_sha256).try_exists()
    }

    /// The file of a blob, at its first byte.
    ///
    /// # Errors
    /// [`BlobError::Missing`] when there is none.
    pub fn file(&self, network_id: &NetworkId, container_sha256: &[u8; 32]) -> Result<File, BlobError> {
        match File::open(self.path(network_id, container_sha256)) {
            Ok(file) => Ok(file),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Err(BlobError::Missing),
            Err(error) => Err(error.into()),
        }
    }

    /// Opens a blob as a container; its header is checked, and the dictionary of its head is found when it is needed.
    ///
    /// # Errors
    /// [`BlobError::Missing`], or [`BlobError::Damaged`] when the header does not hold.
    pub fn container(
        &self,
        network_id: &NetworkId,
        container_sha256: &[u8; 32],
    ) -> Result<Container<File>, BlobError> {
        let opened = Container::open(self.file(network_id, container_sha256)?);
        if !matches!(opened, Ok(_) | Err(ContainerError::Io(_))) {
            self.suspect(network_id, container_sha256);
        }
        Ok(self.resolve(network_id, opened?))
    }

    fn path(&self, network_id: &NetworkId, container_sha256: &[u8; 32]) -> PathBuf {
        let name = hex(container_sha256);
        self.root
            .join(network_id.as_str())
            .join(&name[..2])
            .join(format!("{name}.{ENDING}"))
    }

    /// The folder of a blob. It and the folders above are made durable once per process, made by it or not: the one
    /// that made them may have been killed before their fsync.
    fn make_folder(&self, network_id: &NetworkId, container_sha256: &[u8; 32]) -> Result<PathBuf, BlobError> {
        let network = self.root.join(network_id.as_str());
        let folder = network.join(&hex(container_sha256)[..2]);
        if self.folders().durable.contains(&folder) {
            return Ok(folder);
        }
        make_private_dir(&folder)?;
        self.sync_folder(&network)?;
        if !self.folders().durable.contains(&network) {
            self.sync_folder(&self.root)?;
            self.folders().durable.insert(network);
        }
        self.folders().durable.insert(folder.clone());
        Ok(folder)
    }

    fn sync_folder(&self, folder: &Path) -> Result<(), BlobError> {
        if self.folders().lost.contains(folder) {
            let text = "the disk lost entries of the folder; restart the relay when the disk is sound";
            return Err(BlobError::NotDurable(io::Error::other(text)));
        }
        durable::folder(folder).map_err(|error| {
            self.folders().lost.insert(folder.to_owned());
            BlobError::NotDurable(error)
        })
    }

    fn folders(&self) -> MutexGuard<'_, Folders> {
        lock(&self.shared.folders)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A digest as 64 lower-case hexadecimal digits.
#[must_use]
pub fn hex(digest: &[u8; 32]) -> String {
    use std::fmt::Write as _;
    digest.iter().fold(String::with_capacity(64), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// Reads [`hex`] back.
#[must_use]
pub fn parse_hex(text: &str) -> Option<[u8; 32]> {
    if text.len() != 64 || !text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f')) {
        return None;
    }
    let mut digest = [0u8; 32];
    for (at, byte) in digest.iter_mut().enumerate() {
        *byte = u8::from_str_radix(&text[2 * at..2 * at + 2], 16).ok()?;
    }
    Some(digest)
}

#[cfg(test)]
mod tests;
