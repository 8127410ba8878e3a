//! Notes outside the database where every audit chain stands: at the start, every quarter of an hour, and at the end.

use std::time::Duration;

use tancho_store::{audit, networks};

use crate::state::AppState;

/// How often: entries younger than this can be cut off unseen.
const EVERY: Duration = Duration::from_secs(15 * 60);

/// Runs until the relay stops.
pub async fn run(app: AppState) {
    loop {
        let is_last = app.shutdown.is_cancelled();
        if let Err(error) = note(&app).await {
            tracing::error!(error = format!("{error:#}"), "the audit trail could not be noted");
        }
        if is_last {
            return;
        }
        tokio::select! {
            () = app.shutdown.cancelled() => {}
            () = app.clock.sleep(EVERY) => {}
        }
    }
}

/// Notes every chain once.
///
/// # Errors
/// When the store or the disk fails.
pub async fn note(app: &AppState) -> anyhow::Result<()> {
    let mut heads = Vec::new();
    let mut tx = app.db.read().await?;
    for network in networks::list_networks(&mut tx).await? {
        let (seq, hash) = audit::get_head(&mut tx, &network.id).await?;
        heads.push((network.id, seq, hash));
    }
    drop(tx);
    let (app, now_ms) = (app.clone(), app.now_ms());
    let noting = tokio::task::spawn_blocking(move || {
        heads
            .iter()
            .try_for_each(|(network_id, seq, hash)| app.checkpoints.note(network_id, *seq, hash, now_ms))
    });
    noting.await?
}
