//! `tancho-agent enroll`: one code, one connection, one certificate.

use std::path::Path;

use rcgen::{CertificateParams, KeyPair};
use rustls_pki_types::CertificateDer;
use tancho_wire::Frame;
use tancho_wire::enrollment::{EnrollmentCode, InvalidEnrollmentCode};
use tancho_wire::frame::{EnrollAccepted, EnrollRefused, EnrollRequest, encode};
use tokio::io::AsyncWriteExt;

use super::carrier::{self, Carrier, line_fault};
use super::dial::{LinkFault, dial, dial_tcp};
use super::identity::{Identity, IdentityError, life_of, pending_key, remove_pending_key};
use super::tls;

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
    // Where UDP is blocked the code is taken over TCP.
    let carrier = match dial(relay, &config, None).await {
        Ok(connection) => Carrier::Quic(connection),
        Err(fault) if fault.needs_a_person() => return Err(link(fault)),
        Err(fault) => match dial_tcp(relay, &config).await {
            Ok(stream) => Carrier::Tcp(Box::new(stream)),
            Err(_) => return Err(link(fault)),
        },
    };
    let request = EnrollRequest {
        secret: code.secret,
        csr_der: csr.der().to_vec(),
        software: concat!("tancho-agent ", env!("CARGO_PKG_VERSION")).to_owned(),
    };
    let answer = ask(carrier, request).await.map_err(link)?;
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
    Ok(Enrolled {
        node_id: identity.node_id,
        site_code: identity.site_code,
        site_name: identity.site_name,
        not_after_ms: identity.not_after_ms,
    })
}

async fn ask(
    carrier: Carrier,
    request: EnrollRequest,
) -> Result<Result<EnrollAccepted, EnrollRefused>, LinkFault> {
    let (mut send, mut receive, connection) = carrier.open().await?;
    let mut bytes = Vec::new();
    encode(&Frame::EnrollRequest(request), &mut bytes);
    let sent = async {
        send.write_all(&bytes).await?;
        send.flush().await
    };
    let answer = async {
        sent.await.ok()?;
        loop {
            match receive.next().await {
                Ok(Some(Frame::EnrollAccepted(accepted))) => return Some(Ok(Ok(accepted))),
                Ok(Some(Frame::EnrollRefused(refused))) => return Some(Ok(Err(refused))),
                Ok(Some(Frame::Close(close))) => {
                    let code = tancho_wire::CloseCode(close.code).name();
                    return Some(Err(LinkFault::new(code, close.reason)));
                }
                Ok(Some(_)) => {}
                Ok(None) => return None,
                Err(violation) => {
                    return Some(Err(LinkFault::new("protocol_violation", violation.to_string())));
                }
            }
        }
    };
    let answer = answer.await;
    let answer = answer.unwrap_or_else(|| Err(line_fault(connection.as_ref())));
    carrier::close(connection.as_ref());
    answer
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
