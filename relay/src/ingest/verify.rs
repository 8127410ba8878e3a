//! The proof before a receipt: the container's digest, every section's, and the original rebuilt to its own digest.
//!
//! Streaming: memory stays below the largest section however large the object is. Runs on blocking threads.

use std::fs::File;
use std::io::{self, Seek};
use std::path::Path;

use tancho_imaging::compare;
use tancho_imaging::container::{self, Container, ContainerError};
use tancho_imaging::limits::ScanLimits;
use tancho_store::studies::Relation;
use tancho_wire::frame::OfferItem;

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

/// Verifies a whole container against its offer; gives the dictionary that its head needs. Blocks.
pub fn verify_container(
    mut file: File,
    item: &OfferItem,
    heads: &Heads,
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
    let rebuilt = container.rebuild(&mut io::sink()).map_err(fault)?;
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
