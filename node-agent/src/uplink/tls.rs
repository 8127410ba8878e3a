//! Whom the agent trusts: the project's own CA for one fixed relay name, never a public root, never "accept anyway".

use std::sync::Arc;
use std::time::Duration;

use quinn::crypto::rustls::QuicClientConfig;
use quinn::{ClientConfig, TransportConfig, VarInt};
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::CryptoProvider;
use rustls::time_provider::TimeProvider;
use rustls::{CertificateError, DigitallySignedStruct, RootCertStore, SignatureScheme};
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};
use tancho_wire::congestion::{LineControllerConfig, PathMemory};
use tancho_wire::enrollment::EnrollmentCode;
use tancho_wire::limits::{ALPN, ALPN_ENROLL, RANGE_BYTES_MAX};
use tokio_rustls::TlsConnector;

use super::identity::Identity;
use crate::clock::Clock;

/// A connection without any packet for this long is dead; the relay allows more.
const IDLE_TIMEOUT_MS: u32 = 10_000;
/// Packets are sent at least this often, so that a changed address is noticed by the relay at once.
const KEEP_ALIVE: Duration = Duration::from_millis(2_500);
/// Most bytes the relay may send ahead on one stream; its frames are small.
const STREAM_WINDOW_BYTES: u32 = 1 << 20;

/// How to speak TLS to the relay, over either transport.
#[derive(Debug, Clone)]
pub(super) struct TlsConfig(rustls::ClientConfig);

/// For `tancho/1`: our certificate, our CA.
pub(super) fn session_config(identity: &Identity, clock: &Clock) -> Result<TlsConfig, rustls::Error> {
    let provider = provider();
    let mut roots = RootCertStore::empty();
    let authority = identity
        .authority()
        .ok_or(rustls::Error::InvalidCertificate(CertificateError::UnknownIssuer))?;
    roots.add(authority.clone())?;
    let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider))
        .build()
        .map_err(|_| rustls::Error::InvalidCertificate(CertificateError::UnknownIssuer))?;
    let time = Arc::new(ClockTime(clock.clone()));
    let tls = rustls::ClientConfig::builder_with_details(provider, time)
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .dangerous()
        .with_custom_certificate_verifier(verifier)
        .with_client_auth_cert(identity.chain.clone(), identity.private_key())?;
    Ok(TlsConfig::new(tls, ALPN))
}

/// For `tancho-enroll/1`: no certificate yet; trust comes from the fingerprint in the code.
pub(super) fn enrollment_config(ca_fingerprint: [u8; 16]) -> Result<TlsConfig, rustls::Error> {
    let provider = provider();
    let verifier = Arc::new(FingerprintVerifier {
        ca_fingerprint,
        provider: Arc::clone(&provider),
    });
    let tls = rustls::ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .dangerous()
        .with_custom_certificate_verifier(verifier)
        .with_no_client_auth();
    Ok(TlsConfig::new(tls, ALPN_ENROLL))
}

/// Certificates are judged by the agent's clock, like everything else.
#[derive(Debug)]
struct ClockTime(Clock);

impl TimeProvider for ClockTime {
    fn current_time(&self) -> Option<UnixTime> {
        let since = Duration::from_millis(u64::try_from(self.0.now_ms()).ok()?);
        Some(UnixTime::since_unix_epoch(since))
    }
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::aws_lc_rs::default_provider())
}

impl TlsConfig {
    fn new(mut tls: rustls::ClientConfig, alpn: &[u8]) -> Self {
        tls.alpn_protocols = vec![alpn.to_vec()];
        tls.enable_early_data = false;
        tls.resumption = rustls::client::Resumption::disabled();
        Self(tls)
    }

    /// For TLS over TCP.
    pub(super) fn tcp(&self) -> TlsConnector {
        TlsConnector::from(Arc::new(self.0.clone()))
    }

    /// For QUIC; `memory` is what the path was like last time.
    pub(super) fn quic(&self, memory: Option<PathMemory>) -> Result<ClientConfig, rustls::Error> {
        let crypto = QuicClientConfig::try_from(self.0.clone()).map_err(|_| {
            rustls::Error::General("the cipher suite of QUIC's first packets is missing".to_owned())
        })?;
        Ok(quic_config(crypto, memory))
    }
}

fn quic_config(crypto: QuicClientConfig, memory: Option<PathMemory>) -> ClientConfig {
    let mut config = ClientConfig::new(Arc::new(crypto));
    let mut transport = TransportConfig::default();
    transport
        .max_idle_timeout(Some(VarInt::from_u32(IDLE_TIMEOUT_MS).into()))
        .keep_alive_interval(Some(KEEP_ALIVE))
        .stream_receive_window(VarInt::from_u32(STREAM_WINDOW_BYTES))
        .max_concurrent_bidi_streams(VarInt::from_u32(0))
        .max_concurrent_uni_streams(VarInt::from_u32(0))
        .datagram_receive_buffer_size(None)
        .congestion_controller_factory(Arc::new(LineControllerConfig::remembering(memory)))
        // Grows with the congestion window while data is sent, see `sender/streams.rs`.
        .send_window(4 * RANGE_BYTES_MAX);
    config.transport_config(Arc::new(transport));
    config
}

/// Takes a relay whose chain holds the CA with the code's fingerprint, and only under that CA.
#[derive(Debug)]
struct FingerprintVerifier {
    ca_fingerprint: [u8; 16],
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for FingerprintVerifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let authority = intermediates
            .iter()
            .find(|certificate| EnrollmentCode::fingerprint(certificate) == self.ca_fingerprint)
            .ok_or(rustls::Error::InvalidCertificate(CertificateError::UnknownIssuer))?;
        let mut roots = RootCertStore::empty();
        roots.add(authority.clone().into_owned())?;
        WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&self.provider))
            .build()
            .map_err(|_| rustls::Error::InvalidCertificate(CertificateError::UnknownIssuer))?
            .verify_server_cert(end_entity, &[], server_name, ocsp_response, now)
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Err(rustls::Error::General("TLS 1.3 only".to_owned()))
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, certificate, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider
            .signature_verification_algorithms
            .supported_schemes()
    }
}
