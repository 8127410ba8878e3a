//! Login sessions and failed logins. A session is known by the SHA-256 of its secret alone.
//!
//! A session ends by logout, by standing idle, at its absolute end, or when the login is closed or its password
//! changes; whichever comes first, it is gone for the next request.

use tancho_domain::access::{Principal, Role, Scope};
use tancho_domain::ids::{NetworkId, SessionId, SiteId, UserId};

use crate::db::Tx;
use crate::error::StoreError;

/// How far ahead of the clock a session's beginning may lie, in milliseconds: relays that share a store differ a little.
pub const CLOCK_SLACK_MS: i64 = 5 * 60 * 1000;

/// A new session.
#[derive(Debug, Clone)]
pub struct NewSession<'a> {
    /// Id made at the edge.
    pub id: &'a SessionId,
    /// Whose.
    pub user_id: &'a UserId,
    /// SHA-256 of the secret in the cookie.
    pub token_hash: [u8; 32],
    /// Absolute end.
    pub expires_at_ms: i64,
}

/// A session that is still good, and who it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LiveSession {
    /// The session.
    pub id: SessionId,
    /// Who logged in.
    pub principal: Principal,
    /// When it was last used; the caller extends it with [`touch_session`].
    pub last_used_at_ms: i64,
    /// Absolute end.
    pub expires_at_ms: i64,
}

/// Writes a session at login.
pub async fn start_session(
    tx: &mut Tx,
    network_id: &NetworkId,
    new: &NewSession<'_>,
    now_ms: i64,
) -> Result<(), StoreError> {
    execute!(
        tx,
        "insert into sessions (id, network_id, user_id, token_hash, created_at_ms, last_used_at_ms, expires_at_ms) \
         values ($1, $2, $3, $4, $5, $5, $6)",
        new.id.as_str(),
        network_id.as_str(),
        new.user_id.as_str(),
        new.token_hash.as_slice(),
        now_ms,
        new.expires_at_ms
    )?;
    Ok(())
}

#[derive(sqlx::FromRow)]
struct SessionRow {
    #[sqlx(try_from = "String")]
    id: SessionId,
    #[sqlx(try_from = "String")]
    network_id: NetworkId,
    #[sqlx(try_from = "String")]
    user_id: UserId,
    role: String,
    #[sqlx(try_from = "String")]
    site_id: SiteId,
    last_used_at_ms: i64,
    expires_at_ms: i64,
}

/// The session with this secret if it is neither ended, nor past its end, nor idle since before `idle_since_ms`,
/// and its login is open. Anything else is `NotFound`; so is a session that begins in the future: the clock stepped
/// back, and it would last longer than it may.
pub async fn find_live_session(
    tx: &mut Tx,
    token_hash: &[u8; 32],
    now_ms: i64,
    idle_since_ms: i64,
) -> Result<LiveSession, StoreError> {
    let row = fetch_one!(
        tx,
        SessionRow,
        "select s.id, s.network_id, s.user_id, u.role, u.site_id, s.last_used_at_ms, s.expires_at_ms \
         from sessions s join users u on u.id = s.user_id \
         where s.token_hash = $1 and s.ended_at_ms is null and s.expires_at_ms > $2 and s.last_used_at_ms >= $3 \
           and s.created_at_ms <= $4 and u.disabled_at_ms is null",
        token_hash.as_slice(),
        now_ms,
        idle_since_ms,
        now_ms + CLOCK_SLACK_MS
    )?;
    let role = Role::parse(&row.role).ok_or_else(|| StoreError::Corrupt("role".to_owned()))?;
    let principal = Principal {
        network_id: row.network_id,
        user_id: row.user_id,
        role,
        site_id: row.site_id,
    };
    Ok(LiveSession {
        id: row.id,
        principal,
        last_used_at_ms: row.last_used_at_ms,
        expires_at_ms: row.expires_at_ms,
    })
}

/// Notes a use, so that the idle time starts again. Never moves backwards.
pub async fn touch_session(tx: &mut Tx, id: &SessionId, now_ms: i64) -> Result<(), StoreError> {
    let text = "update sessions set last_used_at_ms = $2 where id = $1 and last_used_at_ms < $2 and ended_at_ms is null";
    execute!(tx, text, id.as_str(), now_ms)?;
    Ok(())
}

/// Ends one session; ending it twice changes nothing.
pub async fn end_session(tx: &mut Tx, id: &SessionId, now_ms: i64) -> Result<(), StoreError> {
    let text = "update sessions set ended_at_ms = $2 where id = $1 and ended_at_ms is null";
    execute!(tx, text, id.as_str(), now_ms)?;
    Ok(())
}

/// Ends every session of a person.
pub async fn end_sessions_of_user(
    tx: &mut Tx,
    scope: &Scope,
    user_id: &UserId,
    now_ms: i64,
) -> Result<(), StoreError> {
    let text =
        "update sessions set ended_at_ms = $3 where network_id = $1 and user_id = $2 and ended_at_ms is null";
    execute!(tx, text, scope.network_id.as_str(), user_id.as_str(), now_ms)?;
    Ok(())
}

/// Removes sessions whose absolute end is before `before_ms`; the audit trail keeps what they did.
pub async fn remove_old_sessions(tx: &mut Tx, before_ms: i64) -> Result<u64, StoreError> {
    execute!(tx, "delete from sessions where expires_at_ms < $1", before_ms)
}

/// Failed logins under `limit_key` after `since_ms` and not after `now_ms`, and when the oldest of them was. Later ones
/// come from a clock that stepped back; they would lock the login for as long as it stepped.
pub async fn count_login_failures(
    tx: &mut Tx,
    limit_key: &str,
    since_ms: i64,
    now_ms: i64,
) -> Result<(i64, Option<i64>), StoreError> {
    let text = "select count(*), min(failed_at_ms) from login_failures \
                where limit_key = $1 and failed_at_ms > $2 and failed_at_ms <= $3";
    fetch_one!(tx, (i64, Option<i64>), text, limit_key, since_ms, now_ms)
}

/// Notes a failed login under `limit_key`, which names a digest of account or address. The rows of one attempt share
/// `attempt_id`.
pub async fn record_login_failure(
    tx: &mut Tx,
    limit_key: &str,
    attempt_id: &str,
    now_ms: i64,
) -> Result<(), StoreError> {
    execute!(
        tx,
        "insert into login_failures (limit_key, attempt_id, failed_at_ms) values ($1, $2, $3)",
        limit_key,
        attempt_id,
        now_ms
    )?;
    Ok(())
}

/// Forgets the failures under `limit_key`.
pub async fn clear_login_failures(tx: &mut Tx, limit_key: &str) -> Result<(), StoreError> {
    execute!(tx, "delete from login_failures where limit_key = $1", limit_key)?;
    Ok(())
}

/// Forgets the failures of every attempt under `limit_key`, and with them those under keys that begin with `prefix`.
pub async fn clear_login_attempts(tx: &mut Tx, limit_key: &str, prefix: &str) -> Result<(), StoreError> {
    execute!(
        tx,
        "delete from login_failures where limit_key like $2 || '%' \
         and attempt_id in (select attempt_id from login_failures where limit_key = $1)",
        limit_key,
        prefix
    )?;
    clear_login_failures(tx, limit_key).await
}

/// Notes a good login under `limit_key`.
pub async fn record_login_success(tx: &mut Tx, limit_key: &str, now_ms: i64) -> Result<(), StoreError> {
    execute!(
        tx,
        "insert into login_successes (limit_key, succeeded_at_ms) values ($1, $2) \
         on conflict (limit_key) do update set succeeded_at_ms = excluded.succeeded_at_ms",
        limit_key,
        now_ms
    )?;
    Ok(())
}

/// Whether there was a good login under `limit_key` after `since_ms`.
pub async fn has_login_success(tx: &mut Tx, limit_key: &str, since_ms: i64) -> Result<bool, StoreError> {
    let text = "select limit_key from login_successes where limit_key = $1 and succeeded_at_ms > $2";
    Ok(fetch_optional!(tx, (String,), text, limit_key, since_ms)?.is_some())
}

/// Removes good logins older than `before_ms`.
pub async fn remove_old_login_successes(tx: &mut Tx, before_ms: i64) -> Result<u64, StoreError> {
    execute!(
        tx,
        "delete from login_successes where succeeded_at_ms < $1",
        before_ms
    )
}

/// Removes failures older than `before_ms`.
pub async fn remove_old_login_failures(tx: &mut Tx, before_ms: i64) -> Result<u64, StoreError> {
    execute!(
        tx,
        "delete from login_failures where failed_at_ms < $1",
        before_ms
    )
}

/// Takes an attempt back under every key: it turned out good, or was not let through.
pub async fn forgive_login_attempt(tx: &mut Tx, attempt_id: &str) -> Result<(), StoreError> {
    let text = "delete from login_failures where attempt_id = $1";
    execute!(tx, text, attempt_id)?;
    Ok(())
}
