//! How often a password may be tried: at the login, and again where a signature asks for it.

use std::net::IpAddr;
use std::time::Duration;

use sha2::{Digest, Sha256};
use tancho_domain::access::Principal;
use tancho_store::{StoreError, Tx, sessions};

use crate::error::ApiError;
use crate::http::StatusCode;
use crate::http::caller::millis;
use crate::state::AppState;

/// Failed attempts at one account within the window.
pub const ATTEMPTS_PER_ACCOUNT_MAX: i64 = 5;
/// Failed attempts from one address within the window.
pub const ATTEMPTS_PER_ADDRESS_MAX: i64 = 30;
/// The window of both.
pub const ATTEMPTS_WINDOW: Duration = Duration::from_secs(15 * 60);

/// The digests under which attempts are counted.
pub(super) struct LimitKeys {
    account: String,
    address: Option<String>,
}

impl LimitKeys {
    pub(super) fn of_login(network: &str, login: &str, address: Option<IpAddr>) -> Self {
        let account = digest(&["account", network, login]);
        let address = address.map(|address| digest(&["address", &network_part(address)]));
        Self { account, address }
    }

    /// Counted apart from logins: whoever fails at the login from outside must not keep a reader from signing.
    pub(super) fn of_signer(signer: &Principal) -> Self {
        Self {
            account: digest(&["signer", signer.network_id.as_str(), signer.user_id.as_str()]),
            address: None,
        }
    }

    /// Counts this attempt as failed until it turns out good, or refuses it.
    pub(super) async fn count_attempt(&self, app: &AppState, now_ms: i64) -> Result<(), ApiError> {
        let mut tx = app.db.write().await?;
        let limits = [
            (Some(&self.account), ATTEMPTS_PER_ACCOUNT_MAX),
            (self.address.as_ref(), ATTEMPTS_PER_ADDRESS_MAX),
        ];
        for (key, limit) in limits {
            let Some(key) = key else { continue };
            let window_ms = millis(ATTEMPTS_WINDOW);
            let (n_failed, oldest_ms) =
                sessions::count_login_failures(&mut tx, key, now_ms - window_ms, now_ms).await?;
            if n_failed >= limit {
                app.metrics.logins_refused.inc();
                return Err(too_many(oldest_ms.unwrap_or(now_ms) + window_ms - now_ms));
            }
        }
        for key in [Some(&self.account), self.address.as_ref()].into_iter().flatten() {
            sessions::record_login_failure(&mut tx, key, now_ms).await?;
        }
        tx.commit().await?;
        Ok(())
    }

    /// Takes the attempt back, with all failures at the account before it: it turned out good.
    pub(super) async fn forgive(&self, tx: &mut Tx, attempt_at_ms: i64) -> Result<(), StoreError> {
        sessions::clear_login_failures(tx, &self.account).await?;
        match &self.address {
            Some(address) => sessions::forgive_login_failure(tx, address, attempt_at_ms).await,
            None => Ok(()),
        }
    }
}

fn too_many(wait_ms: i64) -> ApiError {
    let detail = "too many attempts; wait, or ask your administrator";
    let mut error = ApiError::new(StatusCode::TOO_MANY_REQUESTS, "too_many_attempts", detail);
    error.retry_after_seconds = Some(u64::try_from(wait_ms.max(0) / 1000 + 1).unwrap_or(1));
    error
}

fn digest(parts: &[&str]) -> String {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part.as_bytes());
    }
    hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// One IPv6 customer has a whole /64.
fn network_part(address: IpAddr) -> String {
    match address {
        IpAddr::V4(address) => address.to_string(),
        IpAddr::V6(address) => address.segments()[..4]
            .iter()
            .map(|part| format!("{part:x}:"))
            .collect(),
    }
}
