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
    /// Walk every network's chain, compare it with the checkpoints in the data folder, and name the first entry that
    /// does not hold.
    Verify(Common),
}

/// `audit verify`, as it goes over the socket.
#[derive(Serialize, Deserialize)]
pub struct VerifyRequest {}

/// Asks for it. Fails when a chain is broken.
pub async fn run(command: AuditCommand) -> anyhow::Result<()> {
    let AuditCommand::Verify(common) = command;
    let reply = control::ask(&common, Request::AuditVerify(VerifyRequest {})).await?;
    let mut lines: Vec<String> = reply.value["networks"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|network| match network["broken_at_seq"].as_i64() {
            Some(seq) => format!("{}: broken at entry {seq}", network["network"]),
            None => format!(
                "{}: {} entries, intact, {} checkpoints agree",
                network["network"], network["n_rows"], network["n_checkpoints"]
            ),
        })
        .collect();
    if let Some(n_damaged) = reply.value["n_checkpoints_damaged"].as_u64().filter(|n| *n > 0) {
        lines.push(format!("{n_damaged} checkpoints are not what the relay wrote"));
    }
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
    let reading = app.clone();
    let noted = tokio::task::spawn_blocking(move || reading.checkpoints.read());
    let noted = noted
        .await
        .map_err(anyhow::Error::from)?
        .map_err(anyhow::Error::from)?;
    let mut intact = noted.n_damaged == 0;
    let mut checked = Vec::new();
    for network in networks {
        let known = noted.by_network.get(&network.id).cloned().unwrap_or_default();
        let (n_rows, broken_at_seq) = match audit::verify_audit(&app.db, &network.id, &known).await? {
            Verdict::Intact { n_rows } => (Some(n_rows), None),
            Verdict::Broken { seq } => (None, Some(seq)),
        };
        intact &= broken_at_seq.is_none();
        checked.push(json!({
            "network": network.name,
            "n_rows": n_rows,
            "n_checkpoints": known.len(),
            "broken_at_seq": broken_at_seq,
        }));
    }
    let n_damaged = noted.n_damaged;
    Ok(Reply::of(
        json!({ "intact": intact, "n_checkpoints_damaged": n_damaged, "networks": checked }),
    )?)
}
