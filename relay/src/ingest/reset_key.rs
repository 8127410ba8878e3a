//! The key that lets a relay end connections of its former runs: stateless resets (RFC 9000, section 10.3).
//!
//! After a kill the relay knows nothing of its connections any more. With the same key as before it can answer their
//! next packet in a way that convinces the node that they are gone, so that it dials again at once instead of waiting
//! for silence. Whoever has the key can end connections and do nothing else; losing it costs those seconds.

use std::io;
use std::path::Path;
use std::sync::Arc;

use anyhow::Context;
use aws_lc_rs::hmac;
use quinn::EndpointConfig;
use quinn::crypto::HmacKey;
use quinn_proto::HashedConnectionIdGenerator;

use crate::state::write_private;

/// File in the data folder.
const FILE: &str = "quic-reset.key";
/// The static key of the reset tokens, then the number by which connection IDs of ours are recognised. Bytes.
const TOKEN_KEY_BYTES: usize = 32;
const ID_KEY_BYTES: usize = 8;

/// Makes reset tokens out of connection IDs.
pub struct ResetKey {
    token_key: Arc<dyn HmacKey>,
    id_key: u64,
}

impl ResetKey {
    /// Reads the key in `data_dir`, or makes it there. A file that holds none is replaced.
    ///
    /// # Errors
    /// When the disk fails.
    pub fn open(data_dir: &Path) -> anyhow::Result<Self> {
        let path = data_dir.join(FILE);
        let held = match std::fs::read(&path) {
            Ok(bytes) => bytes.try_into().ok(),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => return Err(error).with_context(|| format!("reading {}", path.display())),
        };
        let bytes: [u8; TOKEN_KEY_BYTES + ID_KEY_BYTES] = match held {
            Some(bytes) => bytes,
            None => {
                let mut fresh = [0; TOKEN_KEY_BYTES + ID_KEY_BYTES];
                getrandom::fill(&mut fresh).context("making the key of stateless resets")?;
                write_private(&path, &fresh).with_context(|| format!("writing {}", path.display()))?;
                fresh
            }
        };
        let (token_key, id_key) = bytes.split_at(TOKEN_KEY_BYTES);
        Ok(Self {
            token_key: Arc::new(hmac::Key::new(hmac::HMAC_SHA256, token_key)),
            id_key: id_key
                .iter()
                .fold(0, |number, byte| number << 8 | u64::from(*byte)),
        })
    }

    /// An endpoint whose resets and connection IDs are those of every run with this key.
    #[must_use]
    pub fn endpoint_config(&self) -> EndpointConfig {
        let mut config = EndpointConfig::new(Arc::clone(&self.token_key));
        let id_key = self.id_key;
        config.cid_generator(move || Box::new(HashedConnectionIdGenerator::from_key(id_key)));
        config
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token(key: &ResetKey) -> [u8; 32] {
        let mut token = [0; 32];
        key.token_key.sign(b"connection id", &mut token);
        token
    }

    #[test]
    fn the_key_is_made_once_and_only_this_account_can_read_it() {
        let folder = tempfile::tempdir().unwrap();
        let first = ResetKey::open(folder.path()).unwrap();
        let second = ResetKey::open(folder.path()).unwrap();
        assert_eq!((token(&first), first.id_key), (token(&second), second.id_key));
        let path = folder.path().join(FILE);
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            let mode = std::fs::metadata(&path).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600);
        }
        std::fs::write(&path, b"not a key").unwrap();
        let third = ResetKey::open(folder.path()).unwrap();
        assert_ne!(token(&first), token(&third));
        assert_eq!(token(&third), token(&ResetKey::open(folder.path()).unwrap()));
    }
}
