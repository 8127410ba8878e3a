//! A new certificate over the live connection, from a third of the old one's life on.

use rcgen::{CertificateParams, KeyPair};
use rustls_pki_types::CertificateDer;
use tancho_wire::frame::{CertificateIssued, CertificateRequest};

use super::enroll::certifies;
use super::identity::{Identity, life_of};
use crate::link::Age;

/// A renewal under way: the key whose certificate was asked for.
#[derive(Default)]
pub(super) struct Renewal {
    asked: Option<KeyPair>,
}

impl Renewal {
    /// The request to send now, if it is time and none is under way on this connection.
    pub(super) fn request(&mut self, identity: &Identity, now_ms: i64) -> Option<CertificateRequest> {
        let age = identity.life().age(now_ms);
        if age == Age::Fresh || self.asked.is_some() {
            return None;
        }
        match age {
            Age::Critical | Age::Ended => {
                tracing::error!("the node's certificate ends soon and has not been renewed")
            }
            Age::Late => tracing::warn!("the node's certificate should have been renewed by now"),
            _ => tracing::info!("renewing the node's certificate"),
        }
        let key = KeyPair::generate().ok()?;
        let csr = CertificateParams::default().serialize_request(&key).ok()?;
        self.asked = Some(key);
        Some(CertificateRequest {
            csr_der: csr.der().to_vec(),
        })
    }

    /// A connection has begun or the relay refused: it may be asked again later.
    pub(super) fn reset(&mut self) {
        self.asked = None;
    }

    /// The identity with the new certificate; `None` if it is not for the key we asked for or not from our CA.
    pub(super) fn accept(&mut self, identity: &Identity, issued: CertificateIssued) -> Option<Identity> {
        let key = self.asked.take()?;
        let chain: Vec<CertificateDer<'static>> = issued
            .chain_der
            .into_iter()
            .map(|der| CertificateDer::from(Vec::from(der)))
            .collect();
        let leaf = chain.first()?;
        if !certifies(leaf, &key) || chain.last() != identity.authority() {
            return None;
        }
        let (not_before_ms, not_after_ms) = life_of(leaf)?;
        Some(Identity {
            chain,
            not_before_ms,
            not_after_ms,
            key: key.serialize_der(),
            ..identity.clone()
        })
    }
}
