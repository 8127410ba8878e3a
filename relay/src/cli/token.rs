//! `tancho-relay token`

use std::time::Duration;

use clap::Subcommand;
use serde::{Deserialize, Serialize};
use serde_json::json;
use tancho_domain::ids::SessionId;
use tancho_store::audit::{self, Actor, Entry};
use tancho_store::tokens::{self, NewToken};
use tancho_store::{StoreError, users};

use super::Common;
use super::table::{Column, Shown, table};
use crate::control::{self, Refusal, Reply, Request};
use crate::secrets;
use crate::state::AppState;

/// Longest life of a token.
const TTL_MAX: Duration = Duration::from_secs(366 * 24 * 60 * 60);

/// Bearer tokens for the HTTP API.
#[derive(Debug, Subcommand)]
pub enum TokenCommand {
    /// Make a token that acts as a person. It is shown once.
    Create {
        /// Whom it acts as.
        #[arg(long)]
        login: String,
        /// How long it is good: 45s, 30m, 24h, 7d.
        #[arg(long, default_value = "24h", value_parser = parse_duration)]
        ttl: Duration,
        /// What every command takes.
        #[command(flatten)]
        common: Common,
    },
    /// List the tokens that are good now, the newest first. Their secrets are nowhere.
    List {
        /// Those that have run out or were revoked as well.
        #[arg(long)]
        all: bool,
        /// What every command takes.
        #[command(flatten)]
        common: Common,
    },
    /// End a token at once.
    Revoke {
        /// Its id, as `token list` shows it.
        #[arg(long)]
        id: String,
        /// What every command takes.
        #[command(flatten)]
        common: Common,
    },
}

/// What `token list` shows.
const COLUMNS: [Column; 5] = [
    ("ID", "id", Shown::Plain),
    ("LOGIN", "login", Shown::Plain),
    ("MADE", "created_at_ms", Shown::Instant),
    ("GOOD UNTIL", "expires_at_ms", Shown::Instant),
    ("REVOKED", "revoked_at_ms", Shown::Instant),
];

/// Reads `45s`, `30m`, `24h` or `7d`.
pub fn parse_duration(text: &str) -> Result<Duration, String> {
    let expected = || format!("a duration such as 45s, 30m, 24h or 7d expected, found {text:?}");
    let unit = text.chars().last().ok_or_else(expected)?;
    let seconds = match unit {
        's' => 1,
        'm' => 60,
        'h' => 60 * 60,
        'd' => 24 * 60 * 60,
        _ => return Err(expected()),
    };
    let number: u64 = text[..text.len() - unit.len_utf8()]
        .parse()
        .map_err(|_| expected())?;
    let duration = Duration::from_secs(number.checked_mul(seconds).ok_or_else(expected)?);
    if duration.is_zero() || duration > TTL_MAX {
        Err(expected())
    } else {
        Ok(duration)
    }
}

/// `token create`, as it goes over the socket.
#[derive(Serialize, Deserialize)]
pub struct CreateRequest {
    network: String,
    login: String,
    ttl_ms: i64,
}

/// `token list`, as it goes over the socket.
#[derive(Serialize, Deserialize)]
pub struct ListRequest {
    network: String,
    all: bool,
}

/// `token revoke`, as it goes over the socket.
#[derive(Serialize, Deserialize)]
pub struct RevokeRequest {
    network: String,
    id: String,
}

/// A token in `token list`.
#[derive(Serialize)]
struct ListedToken {
    id: String,
    login: String,
    created_at_ms: i64,
    expires_at_ms: i64,
    revoked_at_ms: Option<i64>,
}

/// Asks for it.
pub async fn run(command: TokenCommand) -> anyhow::Result<()> {
    match command {
        TokenCommand::Create { login, ttl, common } => {
            let request = CreateRequest {
                network: common.network.clone(),
                login,
                ttl_ms: crate::http::caller::millis(ttl),
            };
            let reply = control::ask(&common, Request::TokenCreate(request)).await?;
            common.print(&reply.value, reply.value["token"].as_str().unwrap_or_default())
        }
        TokenCommand::List { all, common } => {
            let network = common.network.clone();
            let reply = control::ask(&common, Request::TokenList(ListRequest { network, all })).await?;
            common.print(&reply.value, &table(&reply.value, &COLUMNS))
        }
        TokenCommand::Revoke { id, common } => {
            let sentence = format!("token {id} revoked");
            let network = common.network.clone();
            let reply = control::ask(&common, Request::TokenRevoke(RevokeRequest { network, id })).await?;
            common.print(&reply.value, &sentence)
        }
    }
}

/// Does it.
pub async fn create(app: &AppState, request: CreateRequest) -> Result<Reply, Refusal> {
    let scope = control::network_scope(app, &request.network).await?;
    let now_ms = app.now_ms();
    let mut tx = app.db.write().await?;
    let record = users::find_login(&mut tx, &scope.network_id, &request.login).await;
    let user = match record {
        Ok(record) if record.user.disabled_at_ms.is_none() => record.user,
        Ok(_) | Err(StoreError::NotFound) => {
            let detail = "no open login of this name".to_owned();
            return Err(Refusal {
                code: "login_unknown".to_owned(),
                detail,
            });
        }
        Err(other) => return Err(other.into()),
    };
    let (token, token_hash) = secrets::new_secret();
    let id = SessionId::new(secrets::new_uuid());
    let expires_at_ms = now_ms.saturating_add(request.ttl_ms);
    let new = NewToken {
        id: &id,
        user_id: &user.id,
        token_hash,
        expires_at_ms,
    };
    tokens::create_token(&mut tx, &scope, &new, now_ms).await?;
    let detail = json!({ "user_id": user.id.as_str(), "expires_at_ms": expires_at_ms });
    let entry = Entry::by(Actor::Operator, "create_token", "token", id.as_str()).with_detail(detail);
    audit::append(&mut tx, &scope.network_id, entry, now_ms).await?;
    tx.commit().await?;
    Ok(Reply::of(
        json!({ "token": token, "expires_at_ms": expires_at_ms }),
    )?)
}

/// Lists them.
pub async fn list(app: &AppState, request: &ListRequest) -> Result<Reply, Refusal> {
    let mut tx = app.db.read().await?;
    let scope = control::known_network_scope(&mut tx, &request.network).await?;
    let good_at_ms = (!request.all).then(|| app.now_ms());
    let tokens = tokens::list_tokens(&mut tx, &scope, good_at_ms).await?;
    let items = tokens.into_iter().map(|token| ListedToken {
        id: token.id.into(),
        login: token.login,
        created_at_ms: token.created_at_ms,
        expires_at_ms: token.expires_at_ms,
        revoked_at_ms: token.revoked_at_ms,
    });
    Ok(Reply::of(json!({ "items": items.collect::<Vec<_>>() }))?)
}

/// Ends one; ending it again changes nothing.
pub async fn revoke(app: &AppState, request: &RevokeRequest) -> Result<Reply, Refusal> {
    let unknown = || Refusal {
        code: "token_not_found".to_owned(),
        detail: format!(
            "no token of this network has the id {}; see `tancho-relay token list`",
            request.id
        ),
    };
    let id = SessionId::parse(&request.id).map_err(|_| unknown())?;
    let now_ms = app.now_ms();
    let mut tx = app.db.write().await?;
    let scope = control::known_network_scope(&mut tx, &request.network).await?;
    let revoked_at_ms = match tokens::revoke_token(&mut tx, &scope, &id, now_ms).await {
        Ok(revoked_at_ms) => revoked_at_ms,
        Err(StoreError::NotFound) => return Err(unknown()),
        Err(other) => return Err(other.into()),
    };
    let entry = Entry::by(Actor::Operator, "revoke_token", "token", id.as_str());
    audit::append(&mut tx, &scope.network_id, entry, now_ms).await?;
    tx.commit().await?;
    Ok(Reply::of(
        json!({ "token_id": id.as_str(), "revoked_at_ms": revoked_at_ms }),
    )?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_a_number_and_a_unit() {
        assert_eq!(parse_duration("24h"), Ok(Duration::from_secs(86_400)));
        assert_eq!(parse_duration("7d"), Ok(Duration::from_secs(604_800)));
        for bad in [
            "",
            "h",
            "24",
            "0h",
            "-1h",
            "1w",
            "1時",
            "99999999999999999999d",
            "400d",
        ] {
            assert!(parse_duration(bad).is_err(), "{bad}");
        }
    }
}
