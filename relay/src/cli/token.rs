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
}

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

/// Asks for it.
pub async fn run(command: TokenCommand) -> anyhow::Result<()> {
    let TokenCommand::Create { login, ttl, common } = command;
    let ttl_ms = crate::http::caller::millis(ttl);
    let request = CreateRequest {
        network: common.network.clone(),
        login,
        ttl_ms,
    };
    let reply = control::ask(&common, Request::TokenCreate(request)).await?;
    common.print(&reply.value, reply.value["token"].as_str().unwrap_or_default())
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
