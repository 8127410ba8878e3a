//! A new certificate over the live connection, from a third of the old one's life on.

use rcgen::{CertificateParams, KeyPair};
use rustls_pki_types::CertificateDer;
use tancho_wire::frame::{CertificateIssued, CertificateRequest};
use tancho_wire::limits::RENEW_AFTER_LIFE_DIVISOR;

use super::enroll::certifies;
use super::identity::{Identity, life_of};

/// A renewal under way: the key whose certificate was asked for.
#[derive(Default)]
pub(super) struct Renewal {
    asked: Option<KeyPair>,
}

/// How urgent a renewal is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Age {
    /// Less than a third of its life has passed.
    Fresh,
    /// Time to renew.
    Due,
    /// Half of its life has passed: people are told.
    Late,
    /// Three quarters have passed: people are told loudly.
    Critical,
}

pub(super) fn age(identity: &Identity, now_ms: i64) -> Age {
    let life_ms = identity.not_after_ms - identity.not_before_ms;
    let lived_ms = now_ms - identity.not_before_ms;
    if lived_ms >= life_ms / 4 * 3 {
        Age::Critical
    } else if lived_ms >= life_ms / 2 {
        Age::Late
    } else if lived_ms >= life_ms / RENEW_AFTER_LIFE_DIVISOR {
        Age::Due
    } else {
        Age::Fresh
    }
}

impl Renewal {
    /// The request to send now, if it is time and none is under way on this connection.
    pub(super) fn request(&mut self, identity: &Identity, now_ms: i64) -> Option<CertificateRequest> {
        let age = age(identity, now_ms);
        if age == Age::Fresh || self.asked.is_some() {
            return None;
        }
        match age {
            Age::Critical => tracing::error!("the node's certificate ends soon and has not been renewed"),
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn renewal_is_due_at_a_third_late_at_half_and_critical_at_three_quarters() {
        let identity = Identity {
            node_id: String::new(),
            site_code: String::new(),
            site_name: String::new(),
            relay_address: String::new(),
            chain: vec![],
            not_before_ms: 0,
            not_after_ms: 1200,
            key: vec![],
        };
        let ages = [0, 399, 400, 600, 900, 5000].map(|now_ms| age(&identity, now_ms));
        assert_eq!(
            ages,
            [
                Age::Fresh,
                Age::Fresh,
                Age::Due,
                Age::Late,
                Age::Critical,
                Age::Critical
            ]
        );
    }
}
