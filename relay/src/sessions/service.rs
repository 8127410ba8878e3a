//! The rules of logging in.

use std::net::IpAddr;

use serde_json::json;
use tancho_domain::access::{self, Action, Principal};
use tancho_domain::ids::SessionId;
use tancho_store::audit::{self, Actor, Entry};
use tancho_store::sessions::{self, NewSession};
use tancho_store::users::LoginRecord;
use tancho_store::{StoreError, Tx, networks, sites, users};

use super::dto;
use super::limits::LimitKeys;
use crate::error::ApiError;
use crate::http::StatusCode;
use crate::http::caller::{Caller, SESSION_ABSOLUTE, millis};
use crate::secrets;
use crate::state::AppState;

/// A new session and the secret for its cookie.
#[derive(Debug)]
pub struct LoggedIn {
    /// Who.
    pub principal: Principal,
    /// For the cookie.
    pub secret: String,
    /// Absolute end.
    pub expires_at_ms: i64,
}

/// Checks login and password and starts a session. `old_secret` is the session the browser had: it ends.
pub async fn log_in(
    app: &AppState,
    form: dto::LogIn,
    address: Option<IpAddr>,
    old_secret: Option<&str>,
    request_id: &str,
) -> Result<LoggedIn, ApiError> {
    let keys = LimitKeys::of_login(&form.network, &form.login, address);
    let attempt = keys.count_attempt(app, app.now_ms()).await?;
    let found = find(app, &form).await?;
    let hash = found
        .as_ref()
        .filter(|record| record.user.disabled_at_ms.is_none())
        .and_then(|record| record.password_hash.clone());
    if !secrets::verify_password(form.password, hash).await {
        app.metrics.logins_refused.inc();
        note_refusal(app, &form.network, found.as_ref(), request_id).await?;
        return Err(refused());
    }
    let record = found.ok_or_else(refused)?;
    let now_ms = app.now_ms();
    let mut tx = app.db.write().await?;
    let network = networks::find_network_by_name(&mut tx, &form.network).await?;
    let principal = Principal {
        network_id: network.id,
        user_id: record.user.id,
        role: record.user.role,
        site_id: record.user.site_id,
    };
    keys.forgive(&mut tx, &attempt, app.now_ms()).await?;
    end_old_session(&mut tx, old_secret, now_ms).await?;
    let (secret, token_hash) = secrets::new_secret();
    let id = SessionId::new(secrets::new_uuid());
    let expires_at_ms = now_ms + millis(SESSION_ABSOLUTE);
    let new = NewSession {
        id: &id,
        user_id: &principal.user_id,
        token_hash,
        expires_at_ms,
    };
    sessions::start_session(&mut tx, &principal.network_id, &new, now_ms).await?;
    let entry = Entry::done(&principal, "log_in", "session", id.as_str()).with_request_id(request_id);
    audit::append(&mut tx, &principal.network_id, entry, now_ms).await?;
    tx.commit().await?;
    Ok(LoggedIn {
        principal,
        secret,
        expires_at_ms,
    })
}

fn refused() -> ApiError {
    ApiError::new(
        StatusCode::UNAUTHORIZED,
        "login_refused",
        "login or password is not right",
    )
}

async fn find(app: &AppState, form: &dto::LogIn) -> Result<Option<LoginRecord>, ApiError> {
    let mut tx = app.db.read().await?;
    let found = match networks::find_network_by_name(&mut tx, &form.network).await {
        Ok(network) => users::find_login(&mut tx, &network.id, &form.login).await,
        Err(error) => Err(error),
    };
    match found {
        Ok(record) => Ok(Some(record)),
        Err(StoreError::NotFound) => Ok(None),
        Err(other) => Err(other.into()),
    }
}

/// The session a browser still had when it logs in again: an id must never survive a login.
async fn end_old_session(tx: &mut Tx, old_secret: Option<&str>, now_ms: i64) -> Result<(), StoreError> {
    let Some(old_secret) = old_secret else {
        return Ok(());
    };
    match sessions::find_live_session(tx, &secrets::digest_of(old_secret), now_ms, 0).await {
        Ok(old) => sessions::end_session(tx, &old.id, now_ms).await,
        Err(StoreError::NotFound) => Ok(()),
        Err(other) => Err(other),
    }
}

/// What was typed as login is not written down: it may be a password in the wrong field.
async fn note_refusal(
    app: &AppState,
    network: &str,
    found: Option<&LoginRecord>,
    request_id: &str,
) -> Result<(), ApiError> {
    let now_ms = app.now_ms();
    let mut tx = app.db.write().await?;
    let network = match networks::find_network_by_name(&mut tx, network).await {
        Ok(network) => network,
        Err(StoreError::NotFound) => return Ok(()),
        Err(other) => return Err(other.into()),
    };
    let mut entry = Entry::by(Actor::Relay, "log_in", "user", "")
        .refused()
        .with_request_id(request_id);
    entry.subject_id = found.map(|record| record.user.id.as_str().to_owned());
    audit::append(&mut tx, &network.id, entry, now_ms).await?;
    tx.commit().await?;
    Ok(())
}

/// Asks for the person's password again before `act`, which binds a name: on a shared screen the session alone may be
/// someone else's. 422 `password_required`, 403 `password_wrong`, 429 `too_many_attempts`; a wrong one is in the audit
/// trail as the act refused.
pub async fn confirm_password(
    app: &AppState,
    caller: &Caller,
    password: Option<&str>,
    act: Entry,
) -> Result<(), ApiError> {
    let Some(password) = password.filter(|password| !password.is_empty()) else {
        let detail = "give your password with the signature; nothing was signed";
        return Err(ApiError::unprocessable("password_required", detail));
    };
    let keys = LimitKeys::of_signer(&caller.principal);
    let attempt = keys.count_attempt(app, app.now_ms()).await?;
    let network_id = &caller.scope.network_id;
    let mut tx = app.db.read().await?;
    let me = users::get_user(&mut tx, network_id, &caller.principal.user_id).await?;
    let record = users::find_login(&mut tx, network_id, &me.login).await?;
    drop(tx);
    let is_right = secrets::verify_password(password.to_owned(), record.password_hash).await;
    let mut tx = app.db.write().await?;
    if is_right {
        keys.forgive(&mut tx, &attempt, app.now_ms()).await?;
        tx.commit().await?;
        return Ok(());
    }
    app.metrics.logins_refused.inc();
    let entry = act
        .refused()
        .with_detail(json!({ "code": "password_wrong" }))
        .with_request_id(&caller.request_id);
    audit::append(&mut tx, network_id, entry, app.now_ms()).await?;
    tx.commit().await?;
    let detail = "the password is not yours; nothing was signed";
    Err(ApiError::new(StatusCode::FORBIDDEN, "password_wrong", detail))
}

/// Ends the caller's session.
pub async fn log_out(
    app: &AppState,
    principal: &Principal,
    id: &SessionId,
    request_id: &str,
) -> Result<(), ApiError> {
    let now_ms = app.now_ms();
    let mut tx = app.db.write().await?;
    sessions::end_session(&mut tx, id, now_ms).await?;
    let entry = Entry::done(principal, "log_out", "session", id.as_str()).with_request_id(request_id);
    audit::append(&mut tx, &principal.network_id, entry, now_ms).await?;
    tx.commit().await?;
    Ok(())
}

/// What the API says about a session.
pub async fn describe(
    app: &AppState,
    principal: &Principal,
    expires_at_ms: i64,
) -> Result<dto::Session, ApiError> {
    let mut tx = app.db.read().await?;
    let user = users::get_user(&mut tx, &principal.network_id, &principal.user_id).await?;
    let site = sites::get_site(&mut tx, &principal.scope(), &principal.site_id).await?;
    let network = networks::get_network(&mut tx, &principal.network_id).await?;
    Ok(dto::Session {
        user: dto::SessionUser {
            id: user.id.into(),
            login: user.login,
            name: user.name,
            role: user.role.as_str().to_owned(),
            site: dto::SessionSite {
                id: site.id.into(),
                code: site.code,
                name: site.name,
                kind: site.kind.as_str().to_owned(),
            },
        },
        network: dto::SessionNetwork {
            id: network.id.into(),
            name: network.name,
        },
        expires_at_ms,
        permissions: permissions(principal),
        viewers: dto::Viewers {
            ohif: app.ohif.is_some(),
        },
        server_time_ms: app.now_ms(),
    })
}

fn permissions(principal: &Principal) -> Vec<String> {
    Action::all()
        .filter(|action| access::allows(principal.role, *action))
        .map(|action| action.as_str().to_owned())
        .collect()
}
