//! How often a password may be tried: at the login, and again where a signature asks for it.

use std::net::IpAddr;
use std::time::Duration;

use sha2::{Digest, Sha256};
use tancho_domain::access::Principal;
use tancho_store::{StoreError, Tx, sessions};

use crate::error::ApiError;
use crate::http::StatusCode;
use crate::http::caller::millis;
use crate::secrets;
use crate::state::AppState;

/// Failed attempts at one account from one address within the window; at a signature, by one signer.
pub const ATTEMPTS_PER_ACCOUNT_MAX: i64 = 5;
/// Failed attempts at one account from everywhere within the window. Much higher: nobody should be able to lock a
/// reader out by failing in the reader's name.
pub const ATTEMPTS_PER_ACCOUNT_EVERYWHERE_MAX: i64 = 100;
/// Failed attempts from one address within the window.
pub const ATTEMPTS_PER_ADDRESS_MAX: i64 = 30;
/// The window of all.
pub const ATTEMPTS_WINDOW: Duration = Duration::from_secs(15 * 60);
/// How long an address where the account has logged in well is spared the failures of others.
pub const KNOWN_FOR: Duration = Duration::from_secs(30 * 24 * 60 * 60);

/// Beginning of the keys that name an account together with an address.
const PAIR_PREFIX: &str = "pair:";

/// What attempts are counted under.
pub(super) struct LimitKeys {
    /// The account from this address, or the signer.
    pair: String,
    /// The account from everywhere, and the address with every account.
    wide: Vec<(String, i64)>,
}

impl LimitKeys {
    pub(super) fn of_login(network: &str, login: &str, address: Option<IpAddr>) -> Self {
        let from = address.map(network_part).unwrap_or_default();
        let mut wide = vec![(account_key(network, login), ATTEMPTS_PER_ACCOUNT_EVERYWHERE_MAX)];
        if address.is_some() {
            wide.push((digest(&["address", &from]), ATTEMPTS_PER_ADDRESS_MAX));
        }
        Self {
            pair: format!("{PAIR_PREFIX}{}", digest(&["pair", network, login, &from])),
            wide,
        }
    }

    /// Counted apart from logins: whoever fails at the login from outside must not keep a reader from signing.
    pub(super) fn of_signer(signer: &Principal) -> Self {
        Self {
            pair: digest(&["signer", signer.network_id.as_str(), signer.user_id.as_str()]),
            wide: Vec::new(),
        }
    }

    /// Counts this attempt as failed until it turns out good, or refuses it. It is written before it is counted, so
    /// that many at once see each other.
    pub(super) async fn count_attempt(&self, app: &AppState, now_ms: i64) -> Result<Attempt, ApiError> {
        let attempt = Attempt(secrets::new_uuid().to_string());
        let mut tx = app.db.write().await?;
        for (key, _) in self.limits() {
            sessions::record_login_failure(&mut tx, key, &attempt.0, now_ms).await?;
        }
        tx.commit().await?;
        let Some(wait_ms) = self.time_to_wait(app, now_ms).await? else {
            return Ok(attempt);
        };
        // What is not let through does not make the wait longer.
        let mut tx = app.db.write().await?;
        sessions::forgive_login_attempt(&mut tx, &attempt.0).await?;
        tx.commit().await?;
        app.metrics.logins_refused.inc();
        Err(too_many(wait_ms))
    }

    async fn time_to_wait(&self, app: &AppState, now_ms: i64) -> Result<Option<i64>, ApiError> {
        let mut tx = app.db.read().await?;
        let window_ms = millis(ATTEMPTS_WINDOW);
        let is_known = sessions::has_login_success(&mut tx, &self.pair, now_ms - millis(KNOWN_FOR)).await?;
        for (key, limit) in self.limits() {
            if is_known && key != self.pair {
                continue;
            }
            let (n_failed, oldest_ms) =
                sessions::count_login_failures(&mut tx, key, now_ms - window_ms, now_ms).await?;
            if n_failed > limit {
                return Ok(Some(oldest_ms.unwrap_or(now_ms) + window_ms - now_ms));
            }
        }
        Ok(None)
    }

    /// Takes the attempt back, with all failures of the account from this address: it turned out good.
    pub(super) async fn forgive(
        &self,
        tx: &mut Tx,
        attempt: &Attempt,
        now_ms: i64,
    ) -> Result<(), StoreError> {
        sessions::forgive_login_attempt(tx, &attempt.0).await?;
        sessions::clear_login_failures(tx, &self.pair).await?;
        sessions::record_login_success(tx, &self.pair, now_ms).await
    }

    fn limits(&self) -> impl Iterator<Item = (&str, i64)> {
        let wide = self.wide.iter().map(|(key, limit)| (key.as_str(), *limit));
        std::iter::once((self.pair.as_str(), ATTEMPTS_PER_ACCOUNT_MAX)).chain(wide)
    }
}

/// One attempt, counted as failed until it is forgiven.
pub(super) struct Attempt(String);

/// Opens an account that failures have locked: it has another password now.
pub async fn forget_failures(tx: &mut Tx, network: &str, login: &str) -> Result<(), StoreError> {
    sessions::clear_login_attempts(tx, &account_key(network, login), PAIR_PREFIX).await
}

fn account_key(network: &str, login: &str) -> String {
    digest(&["account", network, login])
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
