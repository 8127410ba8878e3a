//! `tancho-relay node`

use clap::Subcommand;
use serde::{Deserialize, Serialize};
use serde_json::json;
use tancho_store::StoreError;
use tancho_store::audit::Actor;
use tancho_store::sites::{self, Site};
use tancho_wire::limits::INVITATION_MS_MAX;

use super::Common;
use super::table::{Column, Shown};
use crate::control::{self, ListRequest, Refusal, Reply, Request};
use crate::nodes::service::{self, INVITATION_MS_MIN};
use crate::state::AppState;

/// Most codes in a refusal.
const SITES_SHOWN: usize = 20;

/// Agents at the sites.
#[derive(Debug, Subcommand)]
pub enum NodeCommand {
    /// Print a one-time code with which one agent can be enrolled.
    Invite {
        /// Short code of the site the agent will belong to.
        #[arg(long)]
        site: String,
        /// Life of the code, such as `30m` or `24h`; at most 24 hours.
        #[arg(long, default_value = "24h", value_parser = parse_ttl)]
        ttl: i64,
        /// What every command takes.
        #[command(flatten)]
        common: Common,
    },
    /// List the agents of a network, the one enrolled first above.
    List(Common),
}

/// What `node list` shows.
const COLUMNS: [Column; 8] = [
    ("ID", "id", Shown::Plain),
    ("SITE", "site_code", Shown::Plain),
    ("STATE", "state", Shown::Plain),
    ("CONNECTED", "connected", Shown::Plain),
    ("LAST SEEN", "last_seen_at_ms", Shown::Instant),
    ("CERTIFICATE UNTIL", "certificate_not_after_ms", Shown::Instant),
    ("CLOCK OFF BY MS", "clock_offset_ms", Shown::Plain),
    ("AGENT", "agent_version", Shown::Plain),
];

/// `node invite`, as it goes over the socket.
#[derive(Serialize, Deserialize)]
pub struct InviteRequest {
    network: String,
    site: String,
    ttl_ms: i64,
}

/// Asks for it.
pub async fn run(command: NodeCommand) -> anyhow::Result<()> {
    let (site, ttl, common) = match command {
        NodeCommand::Invite { site, ttl, common } => (site, ttl, common),
        NodeCommand::List(common) => return common.print_list(Request::NodeList, &COLUMNS).await,
    };
    let request = InviteRequest {
        network: common.network.clone(),
        site,
        ttl_ms: ttl,
    };
    let reply = control::ask(&common, Request::NodeInvite(request)).await?;
    common.print(&reply.value, reply.value["code"].as_str().unwrap_or_default())
}

/// Does it.
pub async fn invite(app: &AppState, request: InviteRequest) -> Result<Reply, Refusal> {
    let scope = control::network_scope(app, &request.network).await?;
    let mut tx = app.db.write().await?;
    let site = match sites::find_site_by_code(&mut tx, &scope, &request.site).await {
        Err(StoreError::NotFound) => {
            let known = sites::list_sites(&mut tx, &scope).await?;
            return Err(unknown_site(&request, &known));
        }
        other => other?,
    };
    let invite = service::Invite {
        actor: Actor::Operator,
        ttl_ms: request.ttl_ms,
    };
    let invitation =
        service::invite_node(&mut tx, &app.authority, &scope, &site.id, invite, app.now_ms()).await?;
    tx.commit().await?;
    Ok(Reply::of(
        json!({ "code": invitation.code, "expires_at_ms": invitation.expires_at_ms }),
    )?)
}

/// Lists them.
pub async fn list(app: &AppState, request: &ListRequest) -> Result<Reply, Refusal> {
    let mut tx = app.db.read().await?;
    let scope = control::known_network_scope(&mut tx, &request.network).await?;
    Ok(Reply::of(service::list_nodes(app, &mut tx, &scope).await?)?)
}

/// Names what was asked for, what there is, and how to make another.
fn unknown_site(request: &InviteRequest, known: &[Site]) -> Refusal {
    let mut codes: Vec<&str> = known
        .iter()
        .map(|site| site.code.as_str())
        .take(SITES_SHOWN)
        .collect();
    if codes.is_empty() {
        codes.push("none yet");
    } else if known.len() > SITES_SHOWN {
        codes.push("...");
    }
    Refusal {
        code: "site_not_found".to_owned(),
        detail: format!(
            "no site has the code {}; the sites of network {} are: {}; make one with `tancho-relay site add --code \
             CODE --name NAME`",
            request.site,
            request.network,
            codes.join(", ")
        ),
    }
}

/// `90s`, `30m` or `24h` in milliseconds.
fn parse_ttl(text: &str) -> Result<i64, String> {
    let expected = || "a life between 1m and 24h expected, such as 30m or 24h".to_owned();
    let unit = text.chars().last().ok_or_else(expected)?;
    let per_unit_ms = match unit {
        's' => 1_000,
        'm' => 60_000,
        'h' => 3_600_000,
        _ => return Err(expected()),
    };
    let number: i64 = text.trim_end_matches(unit).parse().map_err(|_| expected())?;
    let ms = number.checked_mul(per_unit_ms).ok_or_else(expected)?;
    if (INVITATION_MS_MIN..=INVITATION_MS_MAX).contains(&ms) {
        Ok(ms)
    } else {
        Err(expected())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lives_of_codes_are_bounded() {
        assert_eq!(parse_ttl("24h"), Ok(INVITATION_MS_MAX));
        assert_eq!(parse_ttl("60s"), Ok(60_000));
        for bad in [
            "25h",
            "59s",
            "0m",
            "-5m",
            "h",
            "",
            "5",
            "5d",
            "9223372036854775807h",
        ] {
            assert!(parse_ttl(bad).is_err(), "{bad}");
        }
    }
}
