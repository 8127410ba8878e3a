//! Checkpoints of the audit trail: where each chain stood and when, signed, in a file outside the database (FLT-126).
//!
//! Whoever can write the database can write a whole new chain that holds in itself. It does not agree with what was
//! noted here, and without the key, which only the relay's account can read, nothing else can be noted. Copy the file
//! to another machine now and then: what is there cannot be changed by whoever takes this one over.

use std::collections::{BTreeMap, HashMap};
use std::fs::{self, File, OpenOptions};
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use anyhow::Context;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rcgen::{KeyPair, SigningKey};
use rustls_pki_types::alg_id;
use serde::{Deserialize, Serialize};
use tancho_domain::ids::NetworkId;

use crate::blobs::{hex, parse_hex};
use crate::durable;
use crate::state::write_private;

/// The checkpoints, one JSON object a line.
const FILE: &str = "audit-checkpoints.jsonl";
/// The key that signs them.
const KEY_FILE: &str = "audit-checkpoints.key";
/// Longest line that is read.
const LINE_BYTES_MAX: u64 = 4_096;

/// One line of the file.
#[derive(Debug, Serialize, Deserialize)]
struct Line {
    network_id: String,
    seq: i64,
    /// Digest of the entry, in hexadecimal digits.
    hash: String,
    at_ms: i64,
    /// Ed25519 over the fields before, in Base64.
    signature: String,
}

impl Line {
    fn message(&self) -> Vec<u8> {
        let Self {
            network_id,
            seq,
            hash,
            at_ms,
            ..
        } = self;
        format!("tancho audit checkpoint 1\n{network_id}\n{seq}\n{hash}\n{at_ms}").into_bytes()
    }
}

/// What the file says about every network.
#[derive(Debug, Default)]
pub struct Noted {
    /// Digests of entries by network and position; the first that was noted counts.
    pub by_network: HashMap<NetworkId, BTreeMap<i64, Vec<u8>>>,
    /// Lines that are not what the relay wrote.
    pub n_damaged: u64,
}

/// The file of checkpoints and its key.
#[derive(Debug)]
pub struct Checkpoints {
    path: PathBuf,
    key: KeyPair,
    /// Newest position noted by this process.
    newest: Mutex<HashMap<NetworkId, i64>>,
}

impl Checkpoints {
    /// Opens the file in `data_dir`, and makes the key when there is none.
    ///
    /// # Errors
    /// When the disk fails, or the key is damaged.
    pub fn open(data_dir: &Path) -> anyhow::Result<Self> {
        let key_path = data_dir.join(KEY_FILE);
        let key = match fs::read_to_string(&key_path) {
            Ok(pem) => KeyPair::from_pem(&pem)
                .with_context(|| format!("{} holds no private key", key_path.display()))?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let key = KeyPair::generate_for(&rcgen::PKCS_ED25519).context("making a key")?;
                write_private(&key_path, key.serialize_pem().as_bytes())?;
                key
            }
            Err(error) => return Err(error).with_context(|| format!("reading {}", key_path.display())),
        };
        let path = data_dir.join(FILE);
        drop_torn_end(&path)?;
        Ok(Self {
            path,
            key,
            newest: Mutex::default(),
        })
    }

    /// Notes durably where a chain stands; once for every position.
    ///
    /// # Errors
    /// When the disk fails.
    pub fn note(&self, network_id: &NetworkId, seq: i64, hash: &[u8; 32], at_ms: i64) -> anyhow::Result<()> {
        let mut newest = self.newest.lock().unwrap_or_else(PoisonError::into_inner);
        if seq == 0 || newest.get(network_id) == Some(&seq) {
            return Ok(());
        }
        let mut line = Line {
            network_id: network_id.as_str().to_owned(),
            seq,
            hash: hex(hash),
            at_ms,
            signature: String::new(),
        };
        line.signature = STANDARD.encode(self.key.sign(&line.message())?);
        let mut bytes = serde_json::to_vec(&line)?;
        bytes.push(b'\n');
        let mut options = OpenOptions::new();
        options.append(true).create(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let mut file = options.open(&self.path)?;
        file.write_all(&bytes)?;
        durable::file(&file)?;
        newest.insert(network_id.clone(), seq);
        Ok(())
    }

    /// Everything noted. Blocks on the disk.
    ///
    /// # Errors
    /// When the disk fails.
    pub fn read(&self) -> io::Result<Noted> {
        let mut noted = Noted::default();
        let mut file = match File::open(&self.path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(noted),
            other => BufReader::new(other?),
        };
        let provider = rustls::crypto::aws_lc_rs::default_provider();
        let ed25519 = provider
            .signature_verification_algorithms
            .all
            .iter()
            .find(|algorithm| algorithm.signature_alg_id() == alg_id::ED25519)
            .ok_or_else(|| io::Error::other("the crypto provider has no Ed25519"))?;
        let good = |bytes: &[u8]| -> Option<(NetworkId, i64, Vec<u8>)> {
            let line: Line = serde_json::from_slice(bytes).ok()?;
            let signature = STANDARD.decode(&line.signature).ok()?;
            let public_key = self.key.public_key_raw();
            ed25519
                .verify_signature(public_key, &line.message(), &signature)
                .ok()?;
            Some((
                NetworkId::parse(&line.network_id).ok()?,
                line.seq,
                parse_hex(&line.hash)?.to_vec(),
            ))
        };
        let mut bytes = Vec::new();
        while (&mut file).take(LINE_BYTES_MAX).read_until(b'\n', &mut bytes)? > 0 {
            match good(&bytes) {
                Some((network_id, seq, hash)) => {
                    noted
                        .by_network
                        .entry(network_id)
                        .or_default()
                        .entry(seq)
                        .or_insert(hash);
                }
                None => noted.n_damaged += 1,
            }
            bytes.clear();
        }
        Ok(noted)
    }
}

/// A power cut may have left half a line.
fn drop_torn_end(path: &Path) -> io::Result<()> {
    let mut file = match OpenOptions::new().read(true).write(true).open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        other => other?,
    };
    let len = file.metadata()?.len();
    let from = len.saturating_sub(LINE_BYTES_MAX);
    file.seek(SeekFrom::Start(from))?;
    let mut end = Vec::new();
    (&mut file).take(LINE_BYTES_MAX).read_to_end(&mut end)?;
    let whole = end
        .iter()
        .rposition(|byte| *byte == b'\n')
        .map_or(0, |at| at as u64 + 1);
    if from + whole < len && (from == 0 || whole > 0) {
        file.set_len(from + whole)?;
        durable::file(&file)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::secrets::new_uuid;

    #[test]
    fn what_was_noted_is_read_back_and_nothing_else() {
        let dir = tempfile::tempdir().unwrap();
        let network = NetworkId::new(new_uuid());
        let checkpoints = Checkpoints::open(dir.path()).unwrap();
        assert!(checkpoints.read().unwrap().by_network.is_empty());
        for (seq, hash) in [(0, [0; 32]), (3, [3; 32]), (3, [4; 32]), (9, [9; 32])] {
            checkpoints.note(&network, seq, &hash, 1).unwrap();
        }
        let path = dir.path().join(FILE);
        let whole = fs::read_to_string(&path).unwrap();
        fs::write(&path, format!("{whole}{{\"network_id\":")).unwrap();
        let checkpoints = Checkpoints::open(dir.path()).unwrap();
        let noted = checkpoints.read().unwrap();
        let expected = BTreeMap::from([(3, vec![3; 32]), (9, vec![9; 32])]);
        assert_eq!(
            (noted.by_network.get(&network), noted.n_damaged),
            (Some(&expected), 0)
        );

        fs::write(&path, whole.replace("\"seq\":9", "\"seq\":8")).unwrap();
        let noted = checkpoints.read().unwrap();
        assert_eq!((noted.by_network[&network].len(), noted.n_damaged), (1, 1));
        fs::remove_file(dir.path().join(KEY_FILE)).unwrap();
        let another_key = Checkpoints::open(dir.path()).unwrap();
        assert_eq!(another_key.read().unwrap().n_damaged, 2);
    }
}
