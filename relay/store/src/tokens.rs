//! Bearer tokens for programs that act as a person. Known by the SHA-256 of the secret alone.

use tancho_domain::access::{Principal, Role, Scope};
use tancho_domain::ids::{NetworkId, SessionId, SiteId, UserId};

use crate::db::Tx;
use crate::error::StoreError;

/// A new token; it shares the id space of sessions.
#[derive(Debug, Clone)]
pub struct NewToken<'a> {
    /// Id made at the edge.
    pub id: &'a SessionId,
    /// Whom it acts as.
    pub user_id: &'a UserId,
    /// SHA-256 of the secret.
    pub token_hash: [u8; 32],
    /// Its end.
    pub expires_at_ms: i64,
}

/// Writes a token; `Conflict` when the person is not of this network.
pub async fn create_token(
    tx: &mut Tx,
    scope: &Scope,
    new: &NewToken<'_>,
    now_ms: i64,
) -> Result<(), StoreError> {
    execute!(
        tx,
        "insert into api_tokens (id, network_id, user_id, token_hash, created_at_ms, expires_at_ms) \
         values ($1, $2, $3, $4, $5, $6)",
        new.id.as_str(),
        scope.network_id.as_str(),
        new.user_id.as_str(),
        new.token_hash.as_slice(),
        now_ms,
        new.expires_at_ms
    )?;
    Ok(())
}

#[derive(sqlx::FromRow)]
struct TokenRow {
    #[sqlx(try_from = "String")]
    id: SessionId,
    #[sqlx(try_from = "String")]
    network_id: NetworkId,
    #[sqlx(try_from = "String")]
    user_id: UserId,
    role: String,
    #[sqlx(try_from = "String")]
    site_id: SiteId,
    expires_at_ms: i64,
}

/// A token that is still good: its id, whom it acts as, and its end.
pub async fn find_live_token(
    tx: &mut Tx,
    token_hash: &[u8; 32],
    now_ms: i64,
) -> Result<(SessionId, Principal, i64), StoreError> {
    let row = fetch_one!(
        tx,
        TokenRow,
        "select t.id, t.network_id, t.user_id, u.role, u.site_id, t.expires_at_ms \
         from api_tokens t join users u on u.id = t.user_id \
         where t.token_hash = $1 and t.revoked_at_ms is null and t.expires_at_ms > $2 and u.disabled_at_ms is null",
        token_hash.as_slice(),
        now_ms
    )?;
    let role = Role::parse(&row.role).ok_or_else(|| StoreError::Corrupt("role".to_owned()))?;
    let principal = Principal {
        network_id: row.network_id,
        user_id: row.user_id,
        role,
        site_id: row.site_id,
    };
    Ok((row.id, principal, row.expires_at_ms))
}

/// A token as administrators see it; its secret is nowhere.
#[derive(Debug, Clone, PartialEq, Eq, sqlx::FromRow)]
pub struct Token {
    /// Its id.
    #[sqlx(try_from = "String")]
    pub id: SessionId,
    /// Login of the person it acts as.
    pub login: String,
    /// When it was made.
    pub created_at_ms: i64,
    /// Its end.
    pub expires_at_ms: i64,
    /// When it was revoked.
    pub revoked_at_ms: Option<i64>,
}

/// The tokens of the network, the newest first: all of them, or those that are good at an instant.
pub async fn list_tokens(
    tx: &mut Tx,
    scope: &Scope,
    good_at_ms: Option<i64>,
) -> Result<Vec<Token>, StoreError> {
    fetch_all!(
        tx,
        Token,
        "select t.id, u.login, t.created_at_ms, t.expires_at_ms, t.revoked_at_ms from api_tokens t \
         join users u on u.id = t.user_id where t.network_id = $1 and ($2 is null or \
         (t.expires_at_ms > $2 and t.revoked_at_ms is null and u.disabled_at_ms is null)) \
         order by t.created_at_ms desc, t.id",
        scope.network_id.as_str(),
        good_at_ms
    )
}

/// Revokes one token and gives since when it is revoked; revoking it twice changes nothing.
pub async fn revoke_token(
    tx: &mut Tx,
    scope: &Scope,
    id: &SessionId,
    now_ms: i64,
) -> Result<i64, StoreError> {
    let (revoked_at_ms,) = fetch_one!(
        tx,
        (i64,),
        "update api_tokens set revoked_at_ms = coalesce(revoked_at_ms, $3) where network_id = $1 and id = $2 \
         returning revoked_at_ms",
        scope.network_id.as_str(),
        id.as_str(),
        now_ms
    )?;
    Ok(revoked_at_ms)
}

/// Revokes every token of a person.
pub async fn revoke_tokens_of_user(
    tx: &mut Tx,
    scope: &Scope,
    user_id: &UserId,
    now_ms: i64,
) -> Result<(), StoreError> {
    let text = "update api_tokens set revoked_at_ms = $3 where network_id = $1 and user_id = $2 and revoked_at_ms is null";
    execute!(tx, text, scope.network_id.as_str(), user_id.as_str(), now_ms)?;
    Ok(())
}
