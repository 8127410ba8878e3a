//! Dictionaries at rest: expanded heads that other heads are coded with, named by their own SHA-256.
//!
//! They are made durable before the receipt of the first container that names them, and never deleted: they are few
//! (one for each series at most) and small, and a container without its dictionary could not be given back.

use std::fs::File;
use std::io::{self, Read, Seek, Write};
use std::path::PathBuf;

use tancho_domain::ids::NetworkId;
use tancho_imaging::container::{Container, Dictionary};
use tancho_imaging::limits::pieces;

use super::{BlobError, Blobs, hex};
use crate::durable;

/// Ending of a dictionary file.
const ENDING: &str = "head";

impl Blobs {
    /// The dictionary of this name; `None` when it is not there or has rotted.
    ///
    /// # Errors
    /// When the disk fails.
    pub fn dictionary(&self, network_id: &NetworkId, sha256: &[u8; 32]) -> io::Result<Option<Dictionary>> {
        let file = match File::open(self.dictionary_path(network_id, sha256)) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        let mut bytes = Vec::new();
        file.take(pieces::DICTIONARY_BYTES_MAX + 1)
            .read_to_end(&mut bytes)?;
        let dictionary = Dictionary::new(bytes).filter(|dictionary| dictionary.sha256() == sha256);
        if dictionary.is_none() {
            tracing::error!(dictionary = hex(sha256), "a dictionary is damaged");
        }
        Ok(dictionary)
    }

    /// Stores a dictionary durably, in place of a rotted one as well.
    ///
    /// # Errors
    /// When the disk fails: then no container may count on it.
    pub fn put_dictionary(&self, network_id: &NetworkId, dictionary: &Dictionary) -> Result<(), BlobError> {
        let target = self.dictionary_path(network_id, dictionary.sha256());
        let folder = self.make_folder(network_id, dictionary.sha256())?;
        if self.dictionary(network_id, dictionary.sha256())?.is_some() {
            // It may have been named just before a crash.
            durable::file(&File::open(&target)?).map_err(BlobError::NotDurable)?;
        } else {
            let mut beside = tempfile::NamedTempFile::new_in(&folder)?;
            beside.write_all(dictionary.bytes())?;
            durable::file(beside.as_file()).map_err(BlobError::NotDurable)?;
            beside.persist(&target).map_err(|error| error.error)?;
        }
        self.sync_folder(&folder)
    }

    /// Lets a stored container of this network find the dictionary of its head.
    #[must_use]
    pub fn resolve<R: Read + Seek>(&self, network_id: &NetworkId, container: Container<R>) -> Container<R> {
        let (blobs, network_id) = (self.clone(), network_id.clone());
        container.with_dictionaries(move |sha256| blobs.dictionary(&network_id, sha256))
    }

    fn dictionary_path(&self, network_id: &NetworkId, sha256: &[u8; 32]) -> PathBuf {
        let name = hex(sha256);
        let folder = self.root.join(network_id.as_str()).join(&name[..2]);
        folder.join(format!("{name}.{ENDING}"))
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::secrets::new_uuid;

    #[test]
    fn a_dictionary_is_found_in_its_network_and_never_when_it_has_rotted() {
        let dir = tempfile::tempdir().unwrap();
        let blobs = Blobs::open(dir.path()).unwrap();
        let (ours, theirs) = (NetworkId::new(new_uuid()), NetworkId::new(new_uuid()));
        let dictionary = Dictionary::new(b"elements of the first instance".to_vec()).unwrap();
        assert_eq!(blobs.dictionary(&ours, dictionary.sha256()).unwrap(), None);
        blobs.put_dictionary(&ours, &dictionary).unwrap();
        blobs.put_dictionary(&ours, &dictionary).unwrap();
        let found = || blobs.dictionary(&ours, dictionary.sha256()).unwrap();
        assert_eq!(found().as_ref(), Some(&dictionary));
        assert_eq!(blobs.dictionary(&theirs, dictionary.sha256()).unwrap(), None);

        let mut seen = 0;
        blobs
            .visit(|_| {
                seen += 1;
                true
            })
            .unwrap();
        assert_eq!(seen, 0, "a dictionary is no container");

        let path = blobs.dictionary_path(&ours, dictionary.sha256());
        for rot in [&b"Elements of the first instance"[..], b""] {
            fs::write(&path, rot).unwrap();
            assert_eq!(found(), None);
            blobs.put_dictionary(&ours, &dictionary).unwrap();
            assert_eq!(found().as_ref(), Some(&dictionary));
        }
    }
}
