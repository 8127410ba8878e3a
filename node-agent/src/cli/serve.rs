//! `tancho-agent serve`

use tokio_util::sync::CancellationToken;

use super::Common;

/// Runs until SIGINT or SIGTERM, then stops in order.
pub async fn run(common: &Common) -> anyhow::Result<()> {
    let config = common.load()?;
    let shutdown = CancellationToken::new();
    let asked = shutdown.clone();
    tokio::spawn(async move {
        wait_for_signal().await;
        tracing::info!("stopping");
        asked.cancel();
    });
    crate::run(config, shutdown).await?;
    Ok(())
}

/// Ends when the process is asked to stop.
#[cfg(unix)]
pub(super) async fn wait_for_signal() {
    use tokio::signal::unix::{SignalKind, signal};
    match signal(SignalKind::terminate()) {
        Ok(mut terminate) => tokio::select! {
            _ = tokio::signal::ctrl_c() => {}
            _ = terminate.recv() => {}
        },
        Err(_) => {
            let _ = tokio::signal::ctrl_c().await;
        }
    }
}

#[cfg(not(unix))]
pub(super) async fn wait_for_signal() {
    let _ = tokio::signal::ctrl_c().await;
}
