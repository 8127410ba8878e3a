//! The relay's own certificate authority: made at the first start, kept in `data_dir/ca`, trusted by its nodes alone.
//!
//! The key file is readable by this account only. A certificate without its key is never replaced silently: every
//! enrolled node would be locked out. Losing the folder means enrolling every node again.

use std::fs;
use std::path::Path;
use std::sync::{Arc, RwLock};
use std::time::Duration;

use anyhow::{Context, bail};
use rcgen::{
    BasicConstraints, CertificateParams, CertificateSigningRequestParams, DistinguishedName, DnType,
    ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose, SanType, SerialNumber,
};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls_pki_types::{CertificateDer, CertificateSigningRequestDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use sha2::{Digest as _, Sha256};
use tancho_domain::ids::NodeId;
use tancho_wire::limits::{CSR_BYTES_MAX, NODE_CERTIFICATE_MS, RELAY_NAME};

use crate::state::{make_private_dir, write_private};

const CERTIFICATE_FILE: &str = "ca-certificate.der";
const KEY_FILE: &str = "ca-key.pem";
const DAY_MS: i64 = 24 * 3600 * 1000;
const CA_LIFE_MS: i64 = 20 * 365 * DAY_MS;
/// Life of the relay's own certificate; it is made anew at each start and after a third of its life.
const RELAY_LIFE_MS: i64 = 30 * DAY_MS;
/// Certificates begin a little in the past, for nodes whose clock is behind.
const CLOCK_SLACK_MS: i64 = 3600 * 1000;

/// Signs certificates. Cheap to share.
#[derive(Debug)]
pub struct Authority {
    certificate: CertificateDer<'static>,
    issuer: Issuer<'static, KeyPair>,
    relay: RwLock<Option<RelayCertificate>>,
}

#[derive(Debug, Clone)]
struct RelayCertificate {
    certified: Arc<CertifiedKey>,
    made_at_ms: i64,
    renew_at_ms: i64,
}

/// A certificate for a node, with what the store records about it.
#[derive(Debug, Clone)]
pub struct IssuedCertificate {
    /// Leaf first, then the CA.
    pub chain: Vec<CertificateDer<'static>>,
    /// Serial number, lower-case hexadecimal.
    pub serial: String,
    /// SHA-256 of the public key, lower-case hexadecimal.
    pub public_key_sha256: String,
    /// Start of its life.
    pub not_before_ms: i64,
    /// End of its life.
    pub not_after_ms: i64,
}

/// What tells a certificate of a key from others of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CertificateLife {
    serial: [u8; 16],
    not_before_ms: i64,
    not_after_ms: i64,
}

impl CertificateLife {
    /// Of a new certificate.
    #[must_use]
    pub fn new(now_ms: i64) -> Self {
        Self {
            serial: new_serial(),
            not_before_ms: now_ms - CLOCK_SLACK_MS,
            not_after_ms: now_ms + NODE_CERTIFICATE_MS,
        }
    }

    /// Of one that was issued before; `None` when its serial number is none of ours.
    #[must_use]
    pub fn of(serial: &str, not_before_ms: i64, not_after_ms: i64) -> Option<Self> {
        let mut bytes = [0; 16];
        if serial.len() != 32 || !serial.is_ascii() {
            return None;
        }
        for (at, byte) in bytes.iter_mut().enumerate() {
            *byte = u8::from_str_radix(&serial[2 * at..2 * at + 2], 16).ok()?;
        }
        Some(Self {
            serial: bytes,
            not_before_ms,
            not_after_ms,
        })
    }
}

/// A certificate signing request that passed: the holder has the key.
#[derive(Debug)]
pub struct CheckedRequest {
    request: CertificateSigningRequestParams,
    /// SHA-256 of the public key, lower-case hexadecimal.
    pub public_key_sha256: String,
}

/// The request is malformed, not signed by its own key, or too long.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("certificate signing request signed by its own key expected")]
pub struct InvalidRequest;

impl Authority {
    /// Opens the authority in `data_dir/ca`, or makes it there.
    pub fn open(data_dir: &Path, now_ms: i64) -> anyhow::Result<Self> {
        let dir = data_dir.join("ca");
        make_private_dir(&dir).with_context(|| format!("making {}", dir.display()))?;
        let (certificate_path, key_path) = (dir.join(CERTIFICATE_FILE), dir.join(KEY_FILE));
        let key = match (certificate_path.exists(), key_path.exists()) {
            (_, true) => {
                let pem = fs::read_to_string(&key_path)
                    .with_context(|| format!("reading {}", key_path.display()))?;
                KeyPair::from_pem(&pem)
                    .with_context(|| format!("{} holds no private key", key_path.display()))?
            }
            (true, false) => bail!(
                "{} is there but its key {} is not: restore the folder from a backup, or remove it and enrol every node again",
                certificate_path.display(),
                key_path.display()
            ),
            (false, false) => {
                let key = KeyPair::generate().context("making the key of the certificate authority")?;
                write_private(&key_path, key.serialize_pem().as_bytes())
                    .with_context(|| format!("writing {}", key_path.display()))?;
                key
            }
        };
        // A crash between the two files leaves a key that has signed nothing yet.
        if !certificate_path.exists() {
            let certificate = ca_params(now_ms)
                .self_signed(&key)
                .context("signing the certificate authority")?;
            write_private(&certificate_path, certificate.der())
                .with_context(|| format!("writing {}", certificate_path.display()))?;
        }
        let der =
            fs::read(&certificate_path).with_context(|| format!("reading {}", certificate_path.display()))?;
        let certificate = CertificateDer::from(der);
        let issuer = Issuer::from_ca_cert_der(&certificate, key)
            .with_context(|| format!("{} holds no CA certificate", certificate_path.display()))?;
        Ok(Self {
            certificate,
            issuer,
            relay: RwLock::new(None),
        })
    }

    /// The CA certificate, which nodes trust.
    #[must_use]
    pub fn certificate(&self) -> &CertificateDer<'static> {
        &self.certificate
    }

    /// Checks a request: bounded, well formed, and signed by the key it names. Its subject is ignored.
    pub fn check_request(csr_der: &[u8]) -> Result<CheckedRequest, InvalidRequest> {
        if csr_der.len() > CSR_BYTES_MAX {
            return Err(InvalidRequest);
        }
        let der = CertificateSigningRequestDer::from(csr_der.to_vec());
        let request = CertificateSigningRequestParams::from_der(&der).map_err(|_| InvalidRequest)?;
        let public_key_sha256 = hex(&Sha256::digest(rcgen::PublicKeyData::der_bytes(
            &request.public_key,
        )));
        Ok(CheckedRequest {
            request,
            public_key_sha256,
        })
    }

    /// Certifies a node's key. With the life of a certificate that was issued before for the same key it gives that
    /// one again.
    pub fn certify_node(
        &self,
        node_id: &NodeId,
        checked: CheckedRequest,
        life: CertificateLife,
    ) -> anyhow::Result<IssuedCertificate> {
        let CertificateLife {
            serial,
            not_before_ms,
            not_after_ms,
        } = life;
        let mut params = leaf_params(
            node_id.as_str(),
            ExtendedKeyUsagePurpose::ClientAuth,
            not_before_ms,
            not_after_ms,
        );
        params.serial_number = Some(SerialNumber::from_slice(&serial));
        let request = CertificateSigningRequestParams {
            params,
            ..checked.request
        };
        let certificate = request
            .signed_by(&self.issuer)
            .context("signing a node's certificate")?;
        Ok(IssuedCertificate {
            chain: vec![certificate.der().clone(), self.certificate.clone()],
            serial: hex(&serial),
            public_key_sha256: checked.public_key_sha256,
            not_before_ms,
            not_after_ms,
        })
    }

    /// Makes the relay's own certificate if there is none, a third of its life has passed, or the clock now shows a time
    /// before it was made: nodes would not take it for good yet.
    pub fn refresh_relay_certificate(&self, now_ms: i64) -> anyhow::Result<()> {
        let current = self.relay_certificate();
        if current.is_some_and(|current| (current.made_at_ms..current.renew_at_ms).contains(&now_ms)) {
            return Ok(());
        }
        let key = KeyPair::generate().context("making the relay's key")?;
        let not_after_ms = now_ms + RELAY_LIFE_MS;
        let purpose = ExtendedKeyUsagePurpose::ServerAuth;
        let mut params = leaf_params("relay", purpose, now_ms - CLOCK_SLACK_MS, not_after_ms);
        params.subject_alt_names = vec![SanType::DnsName(
            RELAY_NAME.try_into().context("the relay's name")?,
        )];
        let certificate = params
            .signed_by(&key, &self.issuer)
            .context("signing the relay's certificate")?;
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
        let key =
            rustls::crypto::aws_lc_rs::sign::any_supported_type(&key).context("loading the relay's key")?;
        let chain = vec![certificate.der().clone(), self.certificate.clone()];
        let relay = RelayCertificate {
            certified: Arc::new(CertifiedKey::new(chain, key)),
            made_at_ms: now_ms,
            renew_at_ms: now_ms + RELAY_LIFE_MS / 3,
        };
        *self
            .relay
            .write()
            .unwrap_or_else(std::sync::PoisonError::into_inner) = Some(relay);
        Ok(())
    }

    fn relay_certificate(&self) -> Option<RelayCertificate> {
        self.relay
            .read()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
            .clone()
    }
}

impl ResolvesServerCert for Authority {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        self.relay_certificate().map(|relay| relay.certified)
    }
}

fn ca_params(now_ms: i64) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = name("Tancho relay authority");
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    set_life(&mut params, now_ms - CLOCK_SLACK_MS, now_ms + CA_LIFE_MS);
    params
}

fn leaf_params(
    common_name: &str,
    purpose: ExtendedKeyUsagePurpose,
    not_before_ms: i64,
    not_after_ms: i64,
) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = name(common_name);
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![purpose];
    params.use_authority_key_identifier_extension = true;
    set_life(&mut params, not_before_ms, not_after_ms);
    params
}

fn name(common_name: &str) -> DistinguishedName {
    let mut name = DistinguishedName::new();
    name.push(DnType::CommonName, common_name);
    name
}

fn set_life(params: &mut CertificateParams, not_before_ms: i64, not_after_ms: i64) {
    let at = |ms: i64| rcgen::date_time_ymd(1970, 1, 1) + Duration::from_millis(ms.max(0).unsigned_abs());
    params.not_before = at(not_before_ms);
    params.not_after = at(not_after_ms);
}

/// 126 random bits; the top bits make it positive and of fixed length.
fn new_serial() -> [u8; 16] {
    let mut serial = [0; 16];
    getrandom::fill(&mut serial).expect("the operating system gives random bytes");
    serial[0] = serial[0] & 0x3f | 0x40;
    serial
}

/// Lower-case hexadecimal.
#[must_use]
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The serial number of a certificate as the store keeps it; `None` when the bytes are no certificate.
#[must_use]
pub fn serial_of(certificate: &CertificateDer<'_>) -> Option<String> {
    let (_, parsed) = x509_parser::parse_x509_certificate(certificate).ok()?;
    Some(hex(parsed.raw_serial()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW_MS: i64 = 1_790_000_000_000;

    fn request() -> Vec<u8> {
        let key = KeyPair::generate().unwrap();
        CertificateParams::default()
            .serialize_request(&key)
            .unwrap()
            .der()
            .to_vec()
    }

    #[test]
    fn the_authority_survives_a_restart_and_keeps_its_key_private() {
        let dir = tempfile::tempdir().unwrap();
        let first = Authority::open(dir.path(), NOW_MS).unwrap();
        let second = Authority::open(dir.path(), NOW_MS + 1).unwrap();
        assert_eq!(first.certificate(), second.certificate());
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            let mode = fs::metadata(dir.path().join("ca").join(KEY_FILE))
                .unwrap()
                .permissions()
                .mode();
            assert_eq!(mode & 0o777, 0o600);
        }
        fs::remove_file(dir.path().join("ca").join(KEY_FILE)).unwrap();
        let error = Authority::open(dir.path(), NOW_MS).expect_err("a new key would lock every node out");
        assert!(error.to_string().contains("enrol every node again"), "{error}");
    }

    #[test]
    fn a_node_certificate_says_the_node_and_nothing_it_asked_for() {
        let dir = tempfile::tempdir().unwrap();
        let authority = Authority::open(dir.path(), NOW_MS).unwrap();
        let node_id = NodeId::new(uuid::Uuid::from_u128(5));
        let key = KeyPair::generate().unwrap();
        let mut greedy = CertificateParams::new(vec![RELAY_NAME.to_owned()]).unwrap();
        greedy.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let csr = greedy.serialize_request(&key).unwrap();
        let checked = Authority::check_request(csr.der()).unwrap();
        let issued = authority
            .certify_node(&node_id, checked, CertificateLife::new(NOW_MS))
            .unwrap();
        let (_, leaf) = x509_parser::parse_x509_certificate(&issued.chain[0]).unwrap();
        assert_eq!(leaf.subject().to_string(), format!("CN={node_id}"));
        assert!(!leaf.is_ca());
        assert!(leaf.subject_alternative_name().unwrap().is_none());
        let usage = leaf.extended_key_usage().unwrap().unwrap().value;
        assert!(usage.client_auth && !usage.server_auth);
        assert_eq!(
            leaf.validity().not_after.timestamp() * 1000,
            issued.not_after_ms / 1000 * 1000
        );
        assert_eq!(serial_of(&issued.chain[0]), Some(issued.serial));
    }

    #[test]
    fn requests_that_are_not_signed_by_their_own_key_are_refused() {
        let mut csr = request();
        assert!(Authority::check_request(&csr).is_ok());
        let last = csr.len() - 1;
        csr[last] ^= 1;
        assert!(Authority::check_request(&csr).is_err());
        assert!(Authority::check_request(&[]).is_err());
        assert!(Authority::check_request(&vec![0x30; CSR_BYTES_MAX + 1]).is_err());
    }

    #[test]
    fn flt_074_the_relays_certificate_follows_a_clock_that_stepped_back() {
        let dir = tempfile::tempdir().unwrap();
        let authority = Authority::open(dir.path(), NOW_MS).unwrap();
        let at = |now_ms| {
            authority.refresh_relay_certificate(now_ms).unwrap();
            authority.relay_certificate().unwrap().certified.cert[0].clone()
        };
        let first = at(NOW_MS);
        assert_eq!(at(NOW_MS + 1), first);
        let earlier = at(NOW_MS - 3_600_000);
        assert_ne!(earlier, first);
        assert_eq!(at(NOW_MS - 3_599_999), earlier);
    }
}
