//! Frames at a quarter of their resolution, out of containers of which only the first bytes have come.

use std::fs::File;
use std::io;

use tancho_domain::ids::{NetworkId, SiteId};
use tancho_imaging::container::{Container, ContainerError, LowFrame};
use tancho_wire::Digest;

use super::incoming::{Incoming, part_key};
use crate::blobs::{BlobError, Blobs};

/// The beginning of frame `number` of a container that arrives or has arrived, checked against its digest; `None` when
/// it has not come yet, or when the frame has none (then only the whole frame can be shown). Blocks on the disk.
///
/// # Errors
/// [`BlobError::Missing`] for a container that is not known, [`BlobError::Damaged`] for a frame it does not have.
pub fn low_frame(
    incoming: &Incoming,
    blobs: &Blobs,
    (network_id, site_id): (&NetworkId, &SiteId),
    container_sha256: Digest,
    number: u32,
) -> Result<Option<LowFrame>, BlobError> {
    let key = part_key(site_id, container_sha256);
    let (file, is_whole) = match File::open(incoming.path(&key)) {
        Ok(part) => (part, false),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            (blobs.file(network_id, &container_sha256.0)?, true)
        }
        Err(error) => return Err(error.into()),
    };
    // A part is written in any order: before its first bytes have come they read as nothing or zeros.
    if !is_whole && !incoming.held(&key).contains(&(0..1)) {
        return Ok(None);
    }
    let read = Container::open_part(file).and_then(|mut container| container.low_frame(number));
    match read {
        Ok(low) => Ok(low),
        Err(ContainerError::DigestMismatch(_) | ContainerError::Malformed(_)) if !is_whole => Ok(None),
        Err(error) => Err(error.into()),
    }
}
