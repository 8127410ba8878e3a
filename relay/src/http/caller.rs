//! Who sends a request: a person with a session cookie, or a program with a bearer token that acts as one.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use axum::extract::FromRequestParts;
use axum::http::header::{AUTHORIZATION, COOKIE};
use axum::http::request::Parts;
use axum::http::{Extensions, HeaderMap};
use tancho_domain::access::{self, Action, Principal, Scope};
use tancho_domain::ids::SessionId;
use tancho_store::{StoreError, sessions, tokens};

use crate::error::ApiError;
use crate::http::problem::RequestId;
use crate::secrets;
use crate::state::AppState;

/// A session that is not used this long is gone.
pub const SESSION_IDLE: Duration = Duration::from_secs(15 * 60);
/// A session lives no longer than this, however much it is used.
pub const SESSION_ABSOLUTE: Duration = Duration::from_secs(12 * 60 * 60);
/// A use is written down when the last one noted is this old, so that reading images does not write to the store.
const USE_NOTED_EVERY: Duration = Duration::from_secs(30);
/// A request with this header does not count as use: the page sets it when it asks again by itself.
pub const BACKGROUND_HEADER: &str = "tancho-background";

/// Cookie name where browsers reach us over TLS.
pub const COOKIE_SECURE: &str = "__Host-tancho";
/// Cookie name on plain HTTP over loopback, where `__Host-` is not possible.
pub const COOKIE_PLAIN: &str = "tancho";

/// How the caller proved who it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Credential {
    /// The session cookie.
    Session(SessionId),
    /// A bearer token.
    Token(SessionId),
}

/// Who sends this request. Taking it as a handler argument makes the route one that needs a login.
#[derive(Debug, Clone)]
pub struct Caller {
    /// The person.
    pub principal: Principal,
    /// The rows the person may touch at all; the first argument of store functions.
    pub scope: Scope,
    /// How it was proved.
    pub credential: Credential,
    /// Absolute end of the session or token.
    pub expires_at_ms: i64,
    /// For audit rows.
    pub request_id: String,
    token_hash: [u8; 32],
}

impl FromRequestParts<AppState> for Caller {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, app: &AppState) -> Result<Self, ApiError> {
        if let Some(known) = parts.extensions.get::<Self>() {
            return Ok(known.clone());
        }
        let is_use = !parts.headers.contains_key(BACKGROUND_HEADER);
        let caller = identify(parts, app, is_use).await?;
        parts.extensions.insert(caller.clone());
        Ok(caller)
    }
}

/// A caller whose request never counts as use: a browser opens a live line again by itself, for as long as the page is
/// open, and cannot set [`BACKGROUND_HEADER`] on it.
#[derive(Debug, Clone)]
pub struct Follower(pub Caller);

impl FromRequestParts<AppState> for Follower {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, app: &AppState) -> Result<Self, ApiError> {
        identify(parts, app, false).await.map(Self)
    }
}

async fn identify(parts: &Parts, app: &AppState, is_use: bool) -> Result<Caller, ApiError> {
    let request_id = request_id_of(&parts.extensions);
    match (bearer_of(&parts.headers), cookie_of(&parts.headers, app)) {
        (Some(token), _) => by_token(app, &token, request_id).await,
        (None, Some(secret)) => by_session(app, &secret, is_use, request_id).await,
        (None, None) => Err(ApiError::unauthenticated()),
    }
}

impl Caller {
    /// Refuses roles that the access table does not allow this act; the first line of every handler. What the table
    /// asks besides the role (own site, own claim) is checked by the slice and the store.
    pub fn require(&self, action: Action) -> Result<(), ApiError> {
        if access::allows(self.principal.role, action) {
            Ok(())
        } else {
            Err(ApiError::forbidden())
        }
    }

    /// Whether the session or token is still good, without counting as use; for long-lived answers.
    pub async fn is_still_good(&self, app: &AppState) -> bool {
        let now_ms = app.now_ms();
        let Ok(mut tx) = app.db.read().await else {
            return false;
        };
        match &self.credential {
            Credential::Token(_) => tokens::find_live_token(&mut tx, &self.token_hash, now_ms)
                .await
                .is_ok(),
            Credential::Session(_) => {
                let idle_since_ms = now_ms - millis(SESSION_IDLE);
                sessions::find_live_session(&mut tx, &self.token_hash, now_ms, idle_since_ms)
                    .await
                    .is_ok()
            }
        }
    }
}

async fn by_session(
    app: &AppState,
    secret: &str,
    is_use: bool,
    request_id: String,
) -> Result<Caller, ApiError> {
    let now_ms = app.now_ms();
    let token_hash = secrets::digest_of(secret);
    let mut tx = app.db.read().await?;
    let session = sessions::find_live_session(&mut tx, &token_hash, now_ms, now_ms - millis(SESSION_IDLE))
        .await
        .map_err(login_required)?;
    drop(tx);
    if is_use && now_ms - session.last_used_at_ms >= millis(USE_NOTED_EVERY) {
        let mut tx = app.db.write().await?;
        sessions::touch_session(&mut tx, &session.id, now_ms).await?;
        tx.commit().await?;
    }
    Ok(Caller {
        scope: session.principal.scope(),
        principal: session.principal,
        credential: Credential::Session(session.id),
        expires_at_ms: session.expires_at_ms,
        request_id,
        token_hash,
    })
}

async fn by_token(app: &AppState, secret: &str, request_id: String) -> Result<Caller, ApiError> {
    let token_hash = secrets::digest_of(secret);
    let mut tx = app.db.read().await?;
    let (id, principal, expires_at_ms) = tokens::find_live_token(&mut tx, &token_hash, app.now_ms())
        .await
        .map_err(login_required)?;
    Ok(Caller {
        scope: principal.scope(),
        principal,
        credential: Credential::Token(id),
        expires_at_ms,
        request_id,
        token_hash,
    })
}

fn login_required(error: StoreError) -> ApiError {
    match error {
        StoreError::NotFound => ApiError::unauthenticated(),
        other => other.into(),
    }
}

/// The request id given by the outermost layer.
#[must_use]
pub fn request_id_of(extensions: &Extensions) -> String {
    extensions
        .get::<RequestId>()
        .map(|id| id.0.clone())
        .unwrap_or_default()
}

fn bearer_of(headers: &HeaderMap) -> Option<String> {
    let value = headers.get(AUTHORIZATION)?.to_str().ok()?;
    let (scheme, token) = value.split_once(' ')?;
    scheme
        .eq_ignore_ascii_case("bearer")
        .then(|| token.trim().to_owned())
}

/// The secret in our session cookie.
#[must_use]
pub fn cookie_of(headers: &HeaderMap, app: &AppState) -> Option<String> {
    let name = cookie_name(app);
    headers
        .get_all(COOKIE)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(';'))
        .filter_map(|pair| pair.trim().split_once('='))
        .find(|(key, _)| *key == name)
        .map(|(_, value)| value.to_owned())
}

/// The name of our session cookie.
#[must_use]
pub fn cookie_name(app: &AppState) -> &'static str {
    if app.config.http.is_secure() {
        COOKIE_SECURE
    } else {
        COOKIE_PLAIN
    }
}

/// Milliseconds of one of our fixed durations.
#[must_use]
pub fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

/// Where a connection comes from; set by the listener.
#[derive(Debug, Clone, Copy)]
pub struct Peer {
    /// Address of the other end.
    pub address: SocketAddr,
    /// Whether the connection came over loopback.
    pub loopback: bool,
}

/// The client's address: of the connection, or the one the proxy in front reports.
#[must_use]
pub fn client_ip(extensions: &Extensions, headers: &HeaderMap, app: &AppState) -> Option<IpAddr> {
    let peer = extensions.get::<Peer>().map(|peer| peer.address.ip());
    if !app.config.http.behind_proxy {
        return peer;
    }
    // The proxy appends; whatever stands before the last entry was written by the client.
    let reported = headers
        .get_all("x-forwarded-for")
        .iter()
        .next_back()
        .and_then(|value| value.to_str().ok())
        .and_then(|list| list.rsplit(',').next())
        .and_then(|address| address.trim().parse().ok());
    reported.or(peer)
}
