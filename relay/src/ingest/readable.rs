//! Which instances can be looked at before they are whole: the low-resolution parts of all their frames are there and
//! have their digests. Counted for the sender's StudyStatus.
//!
//! Known only as long as the relay runs: after a restart the nodes offer again, and what the journal held is looked at
//! again.

use std::collections::{HashMap, HashSet};
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

use sha2::{Digest as _, Sha256};
use tancho_domain::dicom::StudyInstanceUid;
use tancho_domain::ids::SiteId;
use tancho_imaging::container::parse_header;
use tancho_wire::frame::OfferItem;

use super::journal::PartKey;

/// Containers remembered; what comes above is counted when it is whole.
const CONTAINERS_MAX: usize = 100_000;
/// Bytes read at once.
const READ_BYTES: usize = 64 * 1024;

/// Containers that arrive and can be looked at, by study.
#[derive(Debug, Default)]
pub struct Readable {
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    studies: HashMap<(SiteId, StudyInstanceUid), HashSet<PartKey>>,
    study_of: HashMap<PartKey, (SiteId, StudyInstanceUid)>,
}

impl Readable {
    /// An arriving container can be looked at.
    pub fn add(&self, site_id: &SiteId, uid: &StudyInstanceUid, key: PartKey) {
        let mut inner = self.lock();
        if inner.study_of.len() >= CONTAINERS_MAX || inner.study_of.contains_key(&key) {
            return;
        }
        let study = (site_id.clone(), uid.clone());
        inner.study_of.insert(key, study.clone());
        inner.studies.entry(study).or_default().insert(key);
    }

    /// The container is counted as whole from now on, or its bytes are gone.
    pub fn remove(&self, key: &PartKey) {
        let mut inner = self.lock();
        let Some(study) = inner.study_of.remove(key) else {
            return;
        };
        if let Some(of_study) = inner.studies.get_mut(&study) {
            of_study.remove(key);
            if of_study.is_empty() {
                inner.studies.remove(&study);
            }
        }
    }

    /// How many of these containers can be looked at and are not whole.
    #[must_use]
    pub fn count_among(&self, keys: &[PartKey]) -> usize {
        let inner = self.lock();
        keys.iter().filter(|key| inner.study_of.contains_key(key)).count()
    }

    /// Whether an arriving container can be looked at.
    #[must_use]
    pub fn contains(&self, key: &PartKey) -> bool {
        self.lock().study_of.contains_key(key)
    }

    /// Containers of a study that can be looked at and are not whole.
    #[must_use]
    pub fn count(&self, site_id: &SiteId, uid: &StudyInstanceUid) -> u64 {
        let study = (site_id.clone(), uid.clone());
        self.lock()
            .studies
            .get(&study)
            .map_or(0, |of_study| of_study.len() as u64)
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether the bytes of a part up to the offer's `preview_end` begin every frame of the instance and have the digests of
/// its sections. Blocks on the disk.
pub fn can_be_looked_at(path: &Path, item: &OfferItem) -> io::Result<bool> {
    let Some(preview_end) = item.preview_end else {
        return Ok(false);
    };
    let mut part = File::open(path)?;
    let mut bytes = Vec::new();
    part.by_ref().take(item.head_end).read_to_end(&mut bytes)?;
    let Ok(Some(header)) = parse_header(&bytes) else {
        return Ok(false);
    };
    let mut frames = HashSet::new();
    let parts = header.sections.iter().filter(|section| {
        // An empty section needs no bytes.
        section.offset >= item.head_end && section.offset < preview_end
    });
    for section in parts {
        if section.offset + section.stored_len > preview_end
            || !has_digest(&mut part, section.stored_len, &section.sha256)?
        {
            return Ok(false);
        }
        frames.insert(section.frame);
    }
    Ok(header.head_end() == item.head_end && (1..=header.frame_count).all(|frame| frames.contains(&frame)))
}

/// Whether the next `len` bytes have this digest.
fn has_digest(part: &mut File, len: u64, sha256: &[u8; 32]) -> io::Result<bool> {
    let mut hasher = Sha256::new();
    let mut buffer = vec![0; READ_BYTES];
    let mut left = len;
    while left > 0 {
        let n_bytes = usize::try_from(left).unwrap_or(READ_BYTES).min(READ_BYTES);
        let n_read = part.read(&mut buffer[..n_bytes])?;
        if n_read == 0 {
            return Ok(false);
        }
        hasher.update(&buffer[..n_read]);
        left -= n_read as u64;
    }
    Ok(<[u8; 32]>::from(hasher.finalize()) == *sha256)
}
