//! `tancho-relay serve`

use std::sync::Arc;

use clap::Args;

use super::Common;
use crate::clock::SystemClock;

/// Options of `serve`.
#[derive(Debug, Args)]
pub struct ServeArgs {
    #[command(flatten)]
    common: Common,
}

/// Runs until SIGINT or SIGTERM, then stops in order.
pub async fn run(args: &ServeArgs) -> anyhow::Result<()> {
    let config = args.common.load_config()?;
    let running = crate::run(config, Arc::new(SystemClock)).await?;
    let shutdown = running.app.shutdown.clone();
    tokio::spawn(async move {
        wait_for_signal().await;
        tracing::info!("stopping");
        shutdown.cancel();
    });
    running.stopped().await;
    Ok(())
}

#[cfg(unix)]
async fn wait_for_signal() {
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
async fn wait_for_signal() {
    let _ = tokio::signal::ctrl_c().await;
}
