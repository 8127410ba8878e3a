//! Heads at hand that other heads of their series are coded with, until a container that names one is whole.
//!
//! A head that may serve as dictionary is kept in memory when it has come. The first container that names it makes it
//! durable in the blob store, before its receipt. What memory has forgotten is found again in the containers of the
//! series (`session/work.rs`).

use std::collections::{HashMap, HashSet};
use std::io::{self, Read, Seek};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tancho_domain::ids::NetworkId;
use tancho_imaging::container::{Container, ContainerError, Dictionary};
use tancho_imaging::limits::pieces;

use crate::blobs::{BlobError, Blobs};

/// Heads kept in memory, of all nodes together. Bytes.
const AT_HAND_BYTES_MAX: usize = 32 << 20;
/// Dictionaries remembered as durable; more are looked at again.
const DURABLE_KNOWN_MAX: usize = 16_384;

/// SHA-256 of an expanded head.
pub type HeadDigest = [u8; 32];
type Name = (NetworkId, HeadDigest);

/// The dictionaries of a relay.
#[derive(Debug)]
pub struct Dictionaries {
    blobs: Blobs,
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    at_hand: HashMap<Name, (Dictionary, u64)>,
    bytes: usize,
    turn: u64,
    durable: HashSet<Name>,
}

impl Dictionaries {
    /// Those in the blob store, and none in memory.
    #[must_use]
    pub fn new(blobs: Blobs) -> Self {
        Self {
            blobs,
            inner: Mutex::default(),
        }
    }

    /// Keeps the head of a container at hand when it may serve as dictionary; gives its digest.
    ///
    /// # Errors
    /// When the head differs from its digest or the disk fails.
    pub fn note_head<R: Read + Seek>(
        &self,
        network_id: &NetworkId,
        container: &mut Container<R>,
    ) -> Result<Option<HeadDigest>, ContainerError> {
        if !container.header().is_dictionary {
            return Ok(None);
        }
        let head = container.head_bytes(pieces::DICTIONARY_BYTES_MAX)?;
        let Some(dictionary) = Dictionary::new(head) else {
            return Ok(None);
        };
        let sha256 = *dictionary.sha256();
        self.lock().keep((network_id.clone(), sha256), dictionary);
        Ok(Some(sha256))
    }

    /// Keeps the head of a container at hand when it is the one that is looked for, whatever way it is coded in; gives
    /// whether it is.
    ///
    /// # Errors
    /// When the head cannot be read.
    pub fn take_head<R: Read + Seek>(
        self: &Arc<Self>,
        network_id: &NetworkId,
        container: Container<R>,
        wanted: &HeadDigest,
    ) -> Result<bool, ContainerError> {
        let head = self
            .resolve(network_id, container)
            .head_bytes(pieces::DICTIONARY_BYTES_MAX)?;
        let head = Dictionary::new(head).filter(|head| head.sha256() == wanted);
        let is_it = head.is_some();
        if let Some(head) = head {
            self.lock().keep((network_id.clone(), *wanted), head);
        }
        Ok(is_it)
    }

    /// Lets a container that arrives find the dictionary of its head, in memory or in the blob store. Blocks on the disk
    /// when it is read.
    #[must_use]
    pub fn resolve<R: Read + Seek>(
        self: &Arc<Self>,
        network_id: &NetworkId,
        container: Container<R>,
    ) -> Container<R> {
        let (dictionaries, network_id) = (Arc::clone(self), network_id.clone());
        container.with_dictionaries(move |sha256| dictionaries.find(&network_id, sha256))
    }

    fn find(&self, network_id: &NetworkId, sha256: &HeadDigest) -> io::Result<Option<Dictionary>> {
        match self.lock().get(&(network_id.clone(), *sha256)) {
            Some(dictionary) => Ok(Some(dictionary)),
            None => self.blobs.dictionary(network_id, sha256),
        }
    }

    /// Makes a dictionary durable; false when it is not at hand. Blocks on the disk.
    ///
    /// # Errors
    /// When the disk fails.
    pub fn make_durable(&self, network_id: &NetworkId, sha256: &HeadDigest) -> Result<bool, BlobError> {
        let name = (network_id.clone(), *sha256);
        if self.lock().durable.contains(&name) {
            return Ok(true);
        }
        let Some(dictionary) = self.find(network_id, sha256)? else {
            return Ok(false);
        };
        self.blobs.put_dictionary(network_id, &dictionary)?;
        let mut inner = self.lock();
        if inner.durable.len() >= DURABLE_KNOWN_MAX {
            inner.durable.clear();
        }
        inner.durable.insert(name);
        Ok(true)
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn keep(&mut self, name: Name, dictionary: Dictionary) {
        self.turn += 1;
        self.bytes += dictionary.bytes().len();
        if let Some((before, _)) = self.at_hand.insert(name, (dictionary, self.turn)) {
            self.bytes -= before.bytes().len();
        }
        while self.bytes > AT_HAND_BYTES_MAX {
            let oldest = self.at_hand.iter().min_by_key(|(_, (_, used))| *used);
            let Some(oldest) = oldest.map(|(name, _)| name.clone()) else {
                return;
            };
            if let Some((gone, _)) = self.at_hand.remove(&oldest) {
                self.bytes -= gone.bytes().len();
            }
        }
    }

    fn get(&mut self, name: &Name) -> Option<Dictionary> {
        self.turn += 1;
        let (dictionary, used) = self.at_hand.get_mut(name)?;
        *used = self.turn;
        Some(dictionary.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::secrets::new_uuid;

    #[test]
    fn memory_is_bounded_and_what_is_durable_outlives_it() {
        let dir = tempfile::tempdir().unwrap();
        let blobs = Blobs::open(dir.path()).unwrap();
        let dictionaries = Dictionaries::new(blobs.clone());
        let network = NetworkId::new(new_uuid());
        let head = |n: u8| Dictionary::new(vec![n; 1 << 20]).unwrap();
        let keep = |n: u8| {
            let head = head(n);
            let name = (network.clone(), *head.sha256());
            dictionaries.lock().keep(name, head);
        };
        keep(0);
        assert!(dictionaries.make_durable(&network, head(0).sha256()).unwrap());
        (1..=33).for_each(keep);
        assert_eq!(dictionaries.lock().bytes, AT_HAND_BYTES_MAX);
        assert_eq!(
            dictionaries.find(&network, head(0).sha256()).unwrap(),
            Some(head(0))
        );
        assert_eq!(dictionaries.find(&network, head(1).sha256()).unwrap(), None);
        assert!(!dictionaries.make_durable(&network, head(1).sha256()).unwrap());
        assert_eq!(
            dictionaries.find(&network, head(33).sha256()).unwrap(),
            Some(head(33))
        );
        let again = Dictionaries::new(blobs);
        assert!(again.make_durable(&network, head(0).sha256()).unwrap());
        assert!(!again.make_durable(&network, head(33).sha256()).unwrap());
    }
}
