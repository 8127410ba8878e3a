//! Heads that expand other heads: of one series they are nearly the same bytes.

use sha2::{Digest, Sha256};

use super::code;

/// The expanded head of an instance, named by its SHA-256. It is raw content for zstd, never a trained dictionary,
/// whatever its first bytes are.
#[derive(Clone, PartialEq, Eq)]
pub struct Dictionary {
    bytes: Vec<u8>,
    sha256: [u8; 32],
}

impl Dictionary {
    /// A dictionary of these bytes; `None` for none or more than [`DICTIONARY_BYTES_MAX`](crate::limits::pieces::DICTIONARY_BYTES_MAX).
    #[must_use]
    pub fn new(bytes: Vec<u8>) -> Option<Self> {
        if !code::fits_dictionary(bytes.len() as u64) {
            return None;
        }
        let sha256 = Sha256::digest(&bytes).into();
        Some(Self { bytes, sha256 })
    }

    /// The expanded head.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// SHA-256 of the expanded head.
    #[must_use]
    pub fn sha256(&self) -> &[u8; 32] {
        &self.sha256
    }
}

impl std::fmt::Debug for Dictionary {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // A head names a patient.
        write!(f, "Dictionary({} bytes)", self.bytes.len())
    }
}
