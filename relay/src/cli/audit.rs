//! `tancho-relay audit`

use anyhow::bail;
use clap::Subcommand;
use serde::{Deserialize, Serialize};
use serde_json::json;
use tancho_store::audit::{self, Verdict};
use tancho_store::networks;

use super::Common;
use crate::control::{self, Refusal, Reply, Request};
use crate::state::AppState;

/// The audit trail.
#[derive(Debug, Subcommand)]
pub enum AuditCommand {
    /// Walk every network's chain and name the first entry that does not hold.
    Verify(Common),
}

/// `audit verify`, as it goes over the socket.
#[derive(Serialize, Deserialize)]
pub struct VerifyRequest {}

/// Asks for it. Fails when a chain is broken.
pub async fn run(command: AuditCommand) -> anyhow::Result<()> {
    let AuditCommand::Verify(common) = command;
    let reply = control::ask(&common, Request::AuditVerify(VerifyRequest {})).await?;
    let lines: Vec<String> = reply.value["networks"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|network| match network["broken_at_seq"].as_i64() {
            Some(seq) => format!("{}: broken at entry {seq}", network["network"]),
            None => format!("{}: {} entries, intact", network["network"], network["n_rows"]),
        })
        .collect();
    common.print(&reply.value, &lines.join("\n"))?;
    if reply.value["intact"] == true {
        Ok(())
    } else {
        bail!("the audit trail was changed")
    }
}

/// Does it.
pub async fn verify(app: &AppState, _request: VerifyRequest) -> Result<Reply, Refusal> {
    let _turn = app.audit_walks.acquire().await.map_err(anyhow::Error::from)?;
    let networks = networks::list_networks(&mut app.db.read().await?).await?;
    let mut intact = true;
    let mut checked = Vec::new();
    for network in networks {
        let (n_rows, broken_at_seq) = match audit::verify_audit(&app.db, &network.id).await? {
            Verdict::Intact { n_rows } => (Some(n_rows), None),
            Verdict::Broken { seq } => (None, Some(seq)),
        };
        intact &= broken_at_seq.is_none();
        checked.push(json!({ "network": network.name, "n_rows": n_rows, "broken_at_seq": broken_at_seq }));
    }
    Ok(Reply::of(json!({ "intact": intact, "networks": checked }))?)
}
