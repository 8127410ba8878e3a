//! The proof before a receipt: the container's digest, every section's, and the original rebuilt to its own digest.
//!
//! Streaming: memory stays below the largest section however large the object is. Runs on blocking threads.

use std::fmt;
use std::fs::File;
use std::io::{self, Seek};
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tancho_imaging::compare;
use tancho_imaging::container::{self, Container, ContainerError, Scratch};
use tancho_imaging::limits::ScanLimits;
use tancho_store::studies::Relation;
use tancho_wire::frame::OfferItem;
use tokio::sync::{Semaphore, SemaphorePermit};

use super::dictionaries::HeadDigest;
use super::head::Heads;

/// Why a whole container is not taken.
#[derive(Debug, thiserror::Error)]
pub enum VerifyFault {
    /// The bytes are not those of the container's digest: transfer or disk lied.
    #[error("the bytes do not have the container's digest")]
    ContainerDigest,
    /// The container is what was sent, but does not give the original back.
    #[error("the container does not rebuild the original: {0}")]
    NotTheOriginal(&'static str),
    /// Its head is coded with another head, which is not at hand.
    #[error("the head of another instance is missing")]
    DictionaryMissing(HeadDigest),
    /// The disk failed.
    #[error("reading a container failed")]
    Io(#[from] io::Error),
}

/// Verifications at once: each hashes and unpacks a whole container, so more would only wait for the processor, and
/// some wait for the disk meanwhile.
pub const AT_ONCE_MAX: usize = 4;

/// Turns of verifications, which cost processor time and memory, and the memory they work in.
pub struct Verifications {
    turns: Semaphore,
    scratch: Mutex<Vec<Scratch>>,
}

impl Default for Verifications {
    fn default() -> Self {
        Self {
            turns: Semaphore::new(AT_ONCE_MAX),
            scratch: Mutex::default(),
        }
    }
}

impl fmt::Debug for Verifications {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Verifications")
            .field("turns", &self.turns)
            .finish_non_exhaustive()
    }
}

impl Verifications {
    /// One of the turns, free again when it is dropped.
    pub async fn turn(&self) -> SemaphorePermit<'_> {
        self.turns.acquire().await.expect("the turns are never closed")
    }

    /// Verifies a whole container against its offer; gives the dictionary that its head needs. Blocks.
    ///
    /// # Errors
    /// When it is not taken.
    pub fn verify(
        &self,
        file: File,
        item: &OfferItem,
        heads: &Heads,
    ) -> Result<Option<HeadDigest>, VerifyFault> {
        let mut scratch = self.scratch().pop().unwrap_or_default();
        let verified = verify_container(file, item, heads, &mut scratch);
        let mut kept = self.scratch();
        if kept.len() < AT_ONCE_MAX {
            kept.push(scratch);
        }
        verified
    }

    fn scratch(&self) -> MutexGuard<'_, Vec<Scratch>> {
        self.scratch.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn verify_container(
    mut file: File,
    item: &OfferItem,
    heads: &Heads,
    scratch: &mut Scratch,
) -> Result<Option<HeadDigest>, VerifyFault> {
    if file.metadata()?.len() != item.container_len {
        return Err(VerifyFault::ContainerDigest);
    }
    if container::digest(&mut file)? != item.container_sha256.0 {
        return Err(VerifyFault::ContainerDigest);
    }
    file.rewind()?;
    let container = Container::open(file).map_err(fault)?;
    let mut container = heads.dictionaries.resolve(&heads.network_id, container);
    let header = container.header();
    if header.original_sha256 != item.original_sha256.0 || header.sop_instance_uid != item.sop_instance_uid {
        return Err(VerifyFault::NotTheOriginal("offer_contradicts_head"));
    }
    let dictionary_sha256 = header.dictionary_sha256;
    // Rebuilding reads every section against its digest, then compares the whole.
    let rebuilt = container.rebuild_with(&mut io::sink(), scratch).map_err(fault)?;
    if rebuilt == item.original_sha256.0 {
        Ok(dictionary_sha256)
    } else {
        Err(VerifyFault::NotTheOriginal("original_digest_mismatch"))
    }
}

fn fault(error: ContainerError) -> VerifyFault {
    match error {
        ContainerError::Io(error) => VerifyFault::Io(error),
        ContainerError::DictionaryMissing(sha256) => VerifyFault::DictionaryMissing(sha256),
        other => VerifyFault::NotTheOriginal(other.code()),
    }
}

/// What `second` is to `first`, two containers of one SOP Instance UID with different originals: the same elements
/// written in another way, or other content. Rebuilds both into files in `scratch`. Blocks.
pub fn relation_between(
    first: File,
    second: File,
    scratch: &Path,
    heads: &Heads,
) -> Result<Relation, VerifyFault> {
    let open = |file| -> Result<Container<File>, VerifyFault> {
        let container = Container::open(file).map_err(fault)?;
        Ok(heads.dictionaries.resolve(&heads.network_id, container))
    };
    let (mut first, mut second) = (open(first)?, open(second)?);
    if first.header().original_sha256 == second.header().original_sha256 {
        return Ok(Relation::Reencoding);
    }
    let (mut a, mut b) = (tempfile::tempfile_in(scratch)?, tempfile::tempfile_in(scratch)?);
    first.rebuild(&mut a).map_err(fault)?;
    second.rebuild(&mut b).map_err(fault)?;
    a.rewind()?;
    b.rewind()?;
    let syntax = (
        first.header().transfer_syntax.clone(),
        second.header().transfer_syntax.clone(),
    );
    // Content that cannot be compared counts as another content: both are kept, and people are told.
    let same =
        compare::same_elements(&mut a, &syntax.0, &mut b, &syntax.1, &ScanLimits::default()).unwrap_or(false);
    Ok(if same {
        Relation::Reencoding
    } else {
        Relation::Conflict
    })
}
