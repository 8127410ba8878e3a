//! `tancho-agent enroll`: one code, one connection, one certificate.

use std::path::Path;

use quinn::{Connection, VarInt};
use rcgen::{CertificateParams, KeyPair};
use rustls_pki_types::CertificateDer;
use tancho_wire::enrollment::{EnrollmentCode, InvalidEnrollmentCode};
use tancho_wire::frame::{Decoded, EnrollAccepted, EnrollRefused, EnrollRequest, FrameDecoder, encode};
use tancho_wire::{CloseCode, Frame};

use super::dial::{LinkFault, dial, fault_of};
use super::identity::{Identity, IdentityError, life_of, pending_key, remove_pending_key};
use super::tls;

/// Largest piece read at once.
const READ_BYTES: usize = 64 * 1024;

/// What an enrolment gave.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Enrolled {
    /// The relay's id of this node.
    pub node_id: String,
    /// Short code of the site.
    pub site_code: String,
    /// Name of the site.
    pub site_name: String,
    /// End of the first certificate; it is renewed by itself while the agent is connected.
    pub not_after_ms: i64,
}

/// Why an enrolment failed. Nothing is changed; the same code may be tried again while it lives.
#[derive(Debug, thiserror::Error)]
pub enum EnrollError {
    /// The text is no code.
    #[error(transparent)]
    Code(#[from] InvalidEnrollmentCode),
    /// The relay was not reached, or is not the one of the code.
    #[error("the relay at {address} was not reached: {fault}")]
    Link {
        /// Where.
        address: String,
        /// Why.
        fault: LinkFault,
    },
    /// The relay did not take the code.
    #[error("{text} ({code})")]
    Refused {
        /// Stable code.
        code: String,
        /// What to do.
        text: String,
    },
    /// The key or the certificate could not be kept.
    #[error(transparent)]
    Identity(#[from] IdentityError),
    /// The relay answered with something that is not a certificate for our key.
    #[error("the relay's answer is no certificate for this node's key")]
    BadAnswer,
}

/// Makes this agent a node: `relay` is the relay's QUIC address, `code` the one-time code it printed.
pub async fn enroll(relay: &str, code: &str, data_dir: &Path) -> Result<Enrolled, EnrollError> {
    let code = EnrollmentCode::parse(code)?;
    let key = pending_key(data_dir)?;
    let csr = CertificateParams::default()
        .serialize_request(&key)
        .map_err(|_| EnrollError::BadAnswer)?;
    let link = |fault| EnrollError::Link {
        address: relay.to_owned(),
        fault,
    };
    let config = tls::enrollment_config(code.ca_fingerprint)
        .map_err(|error| link(LinkFault::new("tls_failed", error.to_string())))?;
    let connection = dial(relay, config).await.map_err(link)?;
    let request = EnrollRequest {
        secret: code.secret,
        csr_der: csr.der().to_vec(),
        software: concat!("tancho-agent ", env!("CARGO_PKG_VERSION")).to_owned(),
    };
    let answer = ask(&connection, request).await.map_err(link)?;
    let accepted = match answer {
        Ok(accepted) => accepted,
        Err(refused) => {
            return Err(EnrollError::Refused {
                code: refused.code,
                text: refused.text,
            });
        }
    };
    let identity = identity_of(relay, accepted, &key)?;
    identity.save(data_dir)?;
    remove_pending_key(data_dir);
    connection.close(VarInt::from_u32(CloseCode::DONE.0), b"");
    Ok(Enrolled {
        node_id: identity.node_id,
        site_code: identity.site_code,
        site_name: identity.site_name,
        not_after_ms: identity.not_after_ms,
    })
}

async fn ask(
    connection: &Connection,
    request: EnrollRequest,
) -> Result<Result<EnrollAccepted, EnrollRefused>, LinkFault> {
    let gone = |_| {
        connection
            .close_reason()
            .map_or(LinkFault::new("line_failed", "cut"), |error| fault_of(&error))
    };
    let (mut send, mut receive) = connection.open_bi().await.map_err(|error| fault_of(&error))?;
    let mut bytes = Vec::new();
    encode(&Frame::EnrollRequest(request), &mut bytes);
    send.write_all(&bytes).await.map_err(|_| gone(()))?;
    let mut decoder = FrameDecoder::new();
    loop {
        let decoded = decoder
            .next_frame()
            .map_err(|error| LinkFault::new("protocol_violation", error.to_string()))?;
        match decoded {
            Some(Decoded::Frame(Frame::EnrollAccepted(accepted))) => return Ok(Ok(accepted)),
            Some(Decoded::Frame(Frame::EnrollRefused(refused))) => return Ok(Err(refused)),
            Some(_) => {}
            None => match receive.read_chunk(READ_BYTES, true).await {
                Ok(Some(chunk)) => decoder.push(&chunk.bytes),
                _ => return Err(gone(())),
            },
        }
    }
}

fn identity_of(relay: &str, accepted: EnrollAccepted, key: &KeyPair) -> Result<Identity, EnrollError> {
    let chain: Vec<CertificateDer<'static>> = accepted
        .chain_der
        .into_iter()
        .map(|der| CertificateDer::from(Vec::from(der)))
        .collect();
    let leaf = chain
        .first()
        .filter(|_| chain.len() >= 2)
        .ok_or(EnrollError::BadAnswer)?;
    if !certifies(leaf, key) {
        return Err(EnrollError::BadAnswer);
    }
    let (not_before_ms, not_after_ms) = life_of(leaf).ok_or(EnrollError::BadAnswer)?;
    Ok(Identity {
        node_id: accepted.node_id,
        site_code: accepted.site_code,
        site_name: accepted.site_name,
        relay_address: relay.to_owned(),
        chain,
        not_before_ms,
        not_after_ms,
        key: key.serialize_der(),
    })
}

/// Whether a certificate is for this key.
pub(super) fn certifies(certificate: &CertificateDer<'_>, key: &KeyPair) -> bool {
    x509_parser::parse_x509_certificate(certificate)
        .is_ok_and(|(_, parsed)| parsed.public_key().subject_public_key.data.as_ref() == key.public_key_raw())
}
