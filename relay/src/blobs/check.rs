//! The scrub: every blob read in full, its digest compared with its name, the original rebuilt and compared.

use std::fs;
use std::io;
use std::path::PathBuf;

use tancho_domain::ids::NetworkId;
use tancho_imaging::container;

use super::{BlobError, Blobs, parse_hex};

/// One blob on disk.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BlobName {
    /// The tenant it belongs to.
    pub network_id: NetworkId,
    /// Its name and digest.
    pub container_sha256: [u8; 32],
}

impl Blobs {
    /// Every blob, folder by folder, handed to `visit` until it answers `false`. Names that are not ours are passed
    /// over. Memory does not grow with their number.
    ///
    /// # Errors
    /// When a folder cannot be read.
    pub fn visit(&self, mut visit: impl FnMut(BlobName) -> bool) -> io::Result<()> {
        for network in folders(&self.root)? {
            let Some(name) = network.file_name().and_then(|name| name.to_str()) else {
                continue;
            };
            let Ok(network_id) = NetworkId::parse(name) else {
                continue;
            };
            for folder in folders(&network)? {
                for entry in fs::read_dir(&folder)? {
                    let path = entry?.path();
                    if path.extension().is_none_or(|ending| ending != super::ENDING) {
                        continue;
                    }
                    let stem = path.file_stem().and_then(|stem| stem.to_str());
                    let Some(container_sha256) = stem.and_then(parse_hex) else {
                        continue;
                    };
                    if !visit(BlobName {
                        network_id: network_id.clone(),
                        container_sha256,
                    }) {
                        return Ok(());
                    }
                }
            }
        }
        Ok(())
    }

    /// Reads a whole blob and proves that it gives its original back.
    ///
    /// # Errors
    /// [`BlobError::Missing`], [`BlobError::NotItsDigest`], [`BlobError::Damaged`], or when the disk fails.
    pub fn verify(&self, network_id: &NetworkId, container_sha256: &[u8; 32]) -> Result<(), BlobError> {
        let mut file = self.file(network_id, container_sha256)?;
        if container::digest(&mut file)? != *container_sha256 {
            return Err(BlobError::NotItsDigest);
        }
        let container = container::Container::open(file)?;
        self.resolve(network_id, container).rebuild(&mut io::sink())?;
        Ok(())
    }
}

fn folders(dir: &PathBuf) -> io::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            found.push(entry.path());
        }
    }
    found.sort();
    Ok(found)
}
