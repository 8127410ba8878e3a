//! The page's port.

use std::io;
use std::net::SocketAddr;

use axum::Router;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

/// An open port that does not answer yet.
pub struct PagePort(TcpListener);

impl PagePort {
    /// Opens the port.
    pub async fn bind(address: SocketAddr) -> io::Result<Self> {
        Ok(Self(TcpListener::bind(address).await?))
    }

    /// The address it listens on.
    pub fn address(&self) -> io::Result<SocketAddr> {
        self.0.local_addr()
    }

    /// Serves until the agent stops. Streams of events are cut: browsers come back to the next run by themselves.
    pub async fn run(self, router: Router, stopping: CancellationToken) {
        let serving = axum::serve(self.0, router);
        tokio::select! {
            served = serving => if let Err(error) = served {
                tracing::error!(%error, "the page's port failed");
            },
            () = stopping.cancelled() => {}
        }
    }
}
