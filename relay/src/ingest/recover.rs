//! What a start finds: partial files, the journal, rows and blobs are brought back into agreement.
//!
//! - A part whose instance is committed is removed: a crash came between commit and clean-up.
//! - Ranges whose file is gone are kept if the container is in the blob store: a crash came between blob and commit;
//!   the node's next offer finds it whole and it is verified and committed from there.
//! - Other ranges without a file, and parts that nobody has offered for a month, are forgotten.
//! - A row in state `arriving` without a part stays: its node offers it again.

use std::sync::Arc;
use std::time::Duration;

use tancho_domain::ids::SiteId;
use tancho_store::studies;
use uuid::Uuid;

use super::journal::PartKey;
use crate::state::AppState;

/// A part that did not grow for this long is given up; its node sends it again if it ever comes back.
const PART_AGE_MAX: Duration = Duration::from_secs(30 * 24 * 3600);

/// Puts the incoming folder in order. Before the first connection.
pub async fn recover(app: &AppState) -> anyhow::Result<()> {
    let (mut n_kept, mut n_forgotten) = (0_u64, 0_u64);
    for key in app.incoming.keys() {
        if is_worth_keeping(app, &key).await? {
            n_kept += 1;
        } else {
            n_forgotten += 1;
            let incoming = Arc::clone(&app.incoming);
            tokio::task::spawn_blocking(move || incoming.forget(&key)).await??;
        }
    }
    if n_kept + n_forgotten > 0 {
        tracing::info!(n_kept, n_forgotten, "partial containers of an earlier run");
    }
    Ok(())
}

async fn is_worth_keeping(app: &AppState, key: &PartKey) -> anyhow::Result<bool> {
    let site_id = SiteId::new(Uuid::from_bytes(key.site));
    let mut tx = app.db.read().await?;
    let row = studies::find_instance_of_site(&mut tx, &site_id, &key.container_sha256.hex()).await?;
    drop(tx);
    if matches!(row, Some((_, Some(_)))) {
        return Ok(false);
    }
    match tokio::fs::metadata(app.incoming.path(key)).await {
        Ok(metadata) => Ok(metadata.modified()?.elapsed().unwrap_or_default() < PART_AGE_MAX),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => match row {
            Some((network_id, _)) => Ok(app.blobs.exists(&network_id, &key.container_sha256.0)?),
            None => Ok(false),
        },
        Err(error) => Err(error.into()),
    }
}
