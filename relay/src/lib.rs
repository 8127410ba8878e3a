//! The relay: takes studies from node agents, serves readers and referring physicians.
//!
//! Reading order: `state.rs` (what is shared), `http/router.rs` (every route), then a slice, for example `sites`
//! (dto, service, routes). Rules live in `tancho-domain`, SQL in `tancho-store`; a slice joins them.

use std::net::SocketAddr;
use std::sync::Arc;

pub mod clock;
mod durable;
pub mod config;
pub mod error;
pub mod secrets;
pub mod metrics;
pub mod state;
pub mod http;
pub mod events;
pub mod sessions;
pub mod sites;
pub mod users;
pub mod audit;
pub mod jobs;
pub mod blobs;
pub mod decoding;
pub mod dicomweb;
pub mod studies;
pub mod nodes;
pub mod worklist;
pub mod reading;
pub mod calls;
pub mod reports;
pub mod critical_results;
pub mod notifications;
pub mod ingest;
pub mod control;
pub mod cli;
pub mod logging;

use clock::Clock;
use config::Config;
use state::AppState;

/// Network of commands and logins that name none.
pub const NETWORK_DEFAULT: &str = "default";

/// A relay that runs.
#[derive(Debug)]
pub struct Running {
    /// What its parts share; `app.shutdown.cancel()` stops it.
    pub app: AppState,
    /// Where the pages and the API are.
    pub http: SocketAddr,
    /// Where node agents connect, over UDP.
    pub quic: SocketAddr,
}

/// Starts everything and returns once every port is open.
pub async fn run(config: Config, clock: Arc<dyn Clock>) -> anyhow::Result<Running> {
    let app = AppState::open(config, clock).await?;
    match start(&app).await {
        Ok((http, quic)) => Ok(Running { app, http, quic }),
        Err(error) => {
            app.shutdown.cancel();
            app.db.close().await;
            Err(error)
        }
    }
}

async fn start(app: &AppState) -> anyhow::Result<(SocketAddr, SocketAddr)> {
    let tls = app
        .config
        .http
        .tls
        .as_ref()
        .map(http::server::tls_acceptor)
        .transpose()?;
    let (listener, http) = http::server::bind(app.config.http.listen).await?;
    // Listeners of other subsystems start here, before anything is announced.
    let quic = ingest::serve(app).await?;
    #[cfg(unix)]
    control::socket::listen(app)?;
    jobs::start(app);
    let warming = app.clone();
    app.tasks.spawn(async move { warming.decoders.warm().await });
    let router = http::router::build(app.clone());
    app.tasks
        .spawn(http::server::serve(app.clone(), listener, tls, router));
    tracing::info!(http = %http, quic = %quic, "relay started");
    Ok((http, quic))
}

impl Running {
    /// Asks it to stop and waits until everything running has ended and the store is closed.
    pub async fn stop(self) {
        self.app.shutdown.cancel();
        self.stopped().await;
    }

    /// Waits until it was asked to stop and has stopped.
    pub async fn stopped(self) {
        self.app.shutdown.cancelled().await;
        self.app.tasks.close();
        self.app.tasks.wait().await;
        self.app.db.close().await;
        tracing::info!("relay stopped");
    }
}
