//! The node's key, certificate and CA: one file that only this account can read, replaced as a whole.
//!
//! The key is made here and never leaves the machine. `pending-key.pem` keeps the key of an enrolment whose answer
//! has not come, so that the same code can be tried again.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rcgen::KeyPair;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use serde::{Deserialize, Serialize};

use crate::durable;
use crate::link::CertificateLife;

/// Folder inside the data folder.
const FOLDER: &str = "node";
const IDENTITY_FILE: &str = "identity.json";
const PENDING_KEY_FILE: &str = "pending-key.pem";

/// Who this node is at its relay.
#[derive(Clone)]
pub struct Identity {
    /// The relay's id of the node.
    pub node_id: String,
    /// Short code of the site.
    pub site_code: String,
    /// Name of the site.
    pub site_name: String,
    /// `host:port` the enrolment went to.
    pub relay_address: String,
    /// Leaf first, then the CA.
    pub chain: Vec<CertificateDer<'static>>,
    /// Start of the leaf's life, milliseconds UTC.
    pub not_before_ms: i64,
    /// End of the leaf's life, milliseconds UTC.
    pub not_after_ms: i64,
    pub(super) key: Vec<u8>,
}

/// What is in the file.
#[derive(Serialize, Deserialize)]
struct Stored {
    node_id: String,
    site_code: String,
    site_name: String,
    relay_address: String,
    chain_base64: Vec<String>,
    key_base64: String,
}

/// The file is there and cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    /// Reading or writing failed.
    #[error("{path}: {source}")]
    Io {
        /// Which file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// It does not hold a key and a certificate with its CA.
    #[error("{0}: key and certificate expected; enrol this node again")]
    Damaged(PathBuf),
}

impl Identity {
    /// Reads the identity of a data folder; `None` before the enrolment.
    pub fn load(data_dir: &Path) -> Result<Option<Self>, IdentityError> {
        let path = data_dir.join(FOLDER).join(IDENTITY_FILE);
        let json = match fs::read(&path) {
            Ok(json) => json,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(source) => return Err(IdentityError::Io { path, source }),
        };
        let damaged = || IdentityError::Damaged(path.clone());
        let stored: Stored = serde_json::from_slice(&json).map_err(|_| damaged())?;
        let decode = |text: &String| STANDARD.decode(text).map_err(|_| damaged());
        let chain: Vec<CertificateDer<'static>> = stored
            .chain_base64
            .iter()
            .map(decode)
            .map(|der| der.map(CertificateDer::from))
            .collect::<Result<_, _>>()?;
        let (not_before_ms, not_after_ms) =
            chain.first().and_then(|leaf| life_of(leaf)).ok_or_else(damaged)?;
        if chain.len() < 2 {
            return Err(damaged());
        }
        Ok(Some(Self {
            node_id: stored.node_id,
            site_code: stored.site_code,
            site_name: stored.site_name,
            relay_address: stored.relay_address,
            chain,
            not_before_ms,
            not_after_ms,
            key: decode(&stored.key_base64)?,
        }))
    }

    /// Replaces the identity of a data folder durably.
    pub(super) fn save(&self, data_dir: &Path) -> Result<(), IdentityError> {
        let stored = Stored {
            node_id: self.node_id.clone(),
            site_code: self.site_code.clone(),
            site_name: self.site_name.clone(),
            relay_address: self.relay_address.clone(),
            chain_base64: self.chain.iter().map(|der| STANDARD.encode(der)).collect(),
            key_base64: STANDARD.encode(&self.key),
        };
        let json = serde_json::to_vec_pretty(&stored).unwrap_or_default();
        write_private(&data_dir.join(FOLDER).join(IDENTITY_FILE), &json)
    }

    /// How long the certificate is good.
    pub(super) fn life(&self) -> CertificateLife {
        CertificateLife {
            not_before_ms: self.not_before_ms,
            not_after_ms: self.not_after_ms,
        }
    }

    pub(super) fn private_key(&self) -> PrivateKeyDer<'static> {
        PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(self.key.clone()))
    }

    /// The CA that the relay's certificate must come from.
    pub(super) fn authority(&self) -> Option<&CertificateDer<'static>> {
        self.chain.last()
    }
}

/// Start and end of a certificate's life in milliseconds UTC.
pub(super) fn life_of(certificate: &CertificateDer<'_>) -> Option<(i64, i64)> {
    let (_, parsed) = x509_parser::parse_x509_certificate(certificate).ok()?;
    let validity = parsed.validity();
    Some((
        validity.not_before.timestamp() * 1000,
        validity.not_after.timestamp() * 1000,
    ))
}

/// The key of an enrolment under way: made on first use, kept until it is certified.
pub(super) fn pending_key(data_dir: &Path) -> Result<KeyPair, IdentityError> {
    let path = data_dir.join(FOLDER).join(PENDING_KEY_FILE);
    let damaged = || IdentityError::Damaged(path.clone());
    match fs::read_to_string(&path) {
        Ok(pem) => KeyPair::from_pem(&pem).map_err(|_| damaged()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let key = KeyPair::generate().map_err(|_| damaged())?;
            write_private(&path, key.serialize_pem().as_bytes())?;
            Ok(key)
        }
        Err(source) => Err(IdentityError::Io { path, source }),
    }
}

/// The pending key has been certified: it lives in the identity now.
pub(super) fn remove_pending_key(data_dir: &Path) {
    // A key that stays behind is only used by the next enrolment.
    let _ = fs::remove_file(data_dir.join(FOLDER).join(PENDING_KEY_FILE));
}

fn write_private(path: &Path, bytes: &[u8]) -> Result<(), IdentityError> {
    let write = || -> io::Result<()> {
        let folder = path.parent().unwrap_or(Path::new("."));
        let mut builder = fs::DirBuilder::new();
        builder.recursive(true);
        #[cfg(unix)]
        std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
        builder.create(folder)?;
        let temporary = path.with_extension("new");
        let mut options = fs::OpenOptions::new();
        options.write(true).create(true).truncate(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let mut file = options.open(&temporary)?;
        file.write_all(bytes)?;
        durable::file(&file)?;
        fs::rename(&temporary, path)?;
        durable::folder(folder)
    };
    write().map_err(|source| IdentityError::Io {
        path: path.to_owned(),
        source,
    })
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, Issuer};

    use super::*;

    #[test]
    fn the_identity_survives_and_is_private() {
        let dir = tempfile::tempdir().unwrap();
        assert!(Identity::load(dir.path()).unwrap().is_none());
        let key = pending_key(dir.path()).unwrap();
        assert_eq!(
            pending_key(dir.path()).unwrap().serialize_der(),
            key.serialize_der(),
            "the same key again"
        );
        let ca_key = KeyPair::generate().unwrap();
        let ca = CertificateParams::default().self_signed(&ca_key).unwrap();
        let issuer = Issuer::from_ca_cert_der(ca.der(), ca_key).unwrap();
        let leaf = CertificateParams::default().signed_by(&key, &issuer).unwrap();
        let (not_before_ms, not_after_ms) = life_of(leaf.der()).unwrap();
        let identity = Identity {
            node_id: "n".into(),
            site_code: "S1".into(),
            site_name: "病院".into(),
            relay_address: "relay:4433".into(),
            chain: vec![leaf.der().clone(), ca.der().clone()],
            not_before_ms,
            not_after_ms,
            key: key.serialize_der(),
        };
        identity.save(dir.path()).unwrap();
        remove_pending_key(dir.path());
        let again = Identity::load(dir.path()).unwrap().unwrap();
        assert_eq!(
            (again.chain, again.key, again.site_name),
            (identity.chain, identity.key, identity.site_name)
        );
        let path = dir.path().join(FOLDER).join(IDENTITY_FILE);
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        }
        fs::write(&path, b"{}").unwrap();
        assert!(matches!(
            Identity::load(dir.path()),
            Err(IdentityError::Damaged(_))
        ));
    }
}
