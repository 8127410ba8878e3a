//! `tancho-relay blobs`

use anyhow::bail;
use clap::Subcommand;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tancho_store::instances;

use super::Common;
use crate::blobs::check::BlobName;
use crate::blobs::{BlobError, hex, parse_hex};
use crate::control::{self, Refusal, Reply, Request};
use crate::state::AppState;

/// Blobs looked up in the store at once.
const PAGE_BLOBS: i64 = 500;
/// Blobs named in the reply; further ones are only counted.
const NAMED_MAX: usize = 100;

/// Instance containers at rest.
#[derive(Debug, Subcommand)]
pub enum BlobsCommand {
    /// Read every container the store counts on, and prove that it gives its original back. One that rotted is set
    /// aside, so that its site can send it again.
    Verify(Common),
}

/// `blobs verify`, as it goes over the socket.
#[derive(Serialize, Deserialize)]
pub struct VerifyRequest {}

/// Asks for it. Fails when a container is missing or damaged.
pub async fn run(command: BlobsCommand) -> anyhow::Result<()> {
    let BlobsCommand::Verify(common) = command;
    let reply = control::ask(&common, Request::BlobsVerify(VerifyRequest {})).await?;
    let value = &reply.value;
    let mut sentence = format!(
        "{} intact, {} missing, {} damaged, {} that no instance refers to",
        value["n_intact"], value["n_missing"], value["n_damaged"], value["n_unreferenced"]
    );
    for fault in value["faults"].as_array().into_iter().flatten() {
        sentence.push_str(&format!(
            "\n{}: {} {}",
            fault["fault"], fault["instance_id"], fault["container_sha256"]
        ));
    }
    common.print(value, &sentence)?;
    if value["intact"] == true {
        Ok(())
    } else {
        bail!("containers are missing or damaged")
    }
}

/// Does it: from the store to the disk, then from the disk to the store.
pub async fn verify(app: &AppState, _request: VerifyRequest) -> Result<Reply, Refusal> {
    let (mut n_intact, mut n_missing, mut n_damaged) = (0u64, 0u64, 0u64);
    let mut faults: Vec<Value> = Vec::new();
    let mut after = None;
    loop {
        let mut tx = app.db.read().await?;
        let page = instances::list_expected_blobs(&mut tx, after.as_ref(), PAGE_BLOBS).await?;
        drop(tx);
        let Some(last) = page.last() else { break };
        after = Some(last.instance_id.clone());
        for expected in page {
            let blobs = app.blobs.clone();
            let (network_id, name) = (expected.network_id.clone(), expected.container_sha256.clone());
            let checked = tokio::task::spawn_blocking(move || match parse_hex(&name) {
                Some(digest) => blobs.verify(&network_id, &digest).or_else(|fault| {
                    if matches!(fault, BlobError::NotItsDigest) {
                        blobs.set_aside_damaged(&network_id, &digest)?;
                    }
                    Err(fault)
                }),
                None => Err(BlobError::Missing),
            });
            let fault = match checked.await.map_err(anyhow::Error::from)? {
                Ok(()) => {
                    n_intact += 1;
                    continue;
                }
                Err(BlobError::Missing) => {
                    n_missing += 1;
                    "missing"
                }
                Err(BlobError::Damaged(_) | BlobError::NotItsDigest) => {
                    n_damaged += 1;
                    "damaged"
                }
                Err(BlobError::Io(error) | BlobError::NotDurable(error)) => {
                    return Err(anyhow::Error::from(error).into());
                }
            };
            tracing::error!(instance.id = %expected.instance_id, fault, "a container is not what was stored");
            if faults.len() < NAMED_MAX {
                faults.push(json!({
                    "fault": fault,
                    "instance_id": expected.instance_id.as_str(),
                    "container_sha256": expected.container_sha256,
                }));
            }
        }
    }
    let n_unreferenced = count_unreferenced(app).await?;
    Ok(Reply::of(json!({
        "intact": n_missing + n_damaged == 0,
        "n_intact": n_intact,
        "n_missing": n_missing,
        "n_damaged": n_damaged,
        "n_unreferenced": n_unreferenced,
        "faults": faults,
    }))?)
}

/// Containers on disk that no instance refers to: a relay that stopped between disk and store leaves one behind until
/// the node offers it again.
async fn count_unreferenced(app: &AppState) -> Result<u64, Refusal> {
    let blobs = app.blobs.clone();
    let (sender, mut found) = tokio::sync::mpsc::channel::<BlobName>(64);
    let visiting =
        tokio::task::spawn_blocking(move || blobs.visit(|name| sender.blocking_send(name).is_ok()));
    let mut n_unreferenced = 0;
    while let Some(name) = found.recv().await {
        let mut tx = app.db.read().await?;
        if !instances::is_blob_expected(&mut tx, &name.network_id, &hex(&name.container_sha256)).await? {
            n_unreferenced += 1;
        }
    }
    visiting
        .await
        .map_err(anyhow::Error::from)?
        .map_err(anyhow::Error::from)?;
    Ok(n_unreferenced)
}
