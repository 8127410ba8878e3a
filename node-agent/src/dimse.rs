//! What modalities see: a C-STORE and C-ECHO service class provider (PS3.4 annexes A and B, PS3.7, PS3.8); and the
//! other side, associations that the agent asks for (`requestor`).
//!
//! A listener with admission limits, and a thread per association. Object bytes are never parsed here; they go
//! to `spool` as they come.

pub mod pdu_stream;
pub mod command;
pub mod fragments;
pub mod status;
pub mod negotiation;
pub mod echo_scp;
pub mod store_scp;
pub mod association;
pub mod admission;
pub mod refusals;
pub mod requestor;
pub mod store_scu;
pub mod commitment;
pub mod query;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use prometheus_client::metrics::counter::Counter;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;

use crate::spool::{IntakeError, Stored};
use admission::Admission;
pub use association::Surroundings;
use status::Rejection;

/// Connections over the limit that are told so at the same time; more are closed without a word.
const REJECTING_MAX: usize = 128;
/// How long telling them may take.
const REJECT_TIME: Duration = Duration::from_secs(2);

/// Deadlines and limits of the port; defaults as in the fault requirements, section 2.
#[derive(Debug, Clone)]
pub struct DimseLimits {
    /// Associations in all.
    pub associations_max: usize,
    /// Associations from one address.
    pub associations_per_peer_max: usize,
    /// From connect to the whole A-ASSOCIATE-RQ.
    pub artim: Duration,
    /// Between PDUs, and for one PDU to become whole.
    pub idle: Duration,
    /// Window of the slowest accepted transfer.
    pub rate_window: Duration,
    /// Slowest accepted mean in that window.
    pub bytes_per_second_min: u64,
}

impl Default for DimseLimits {
    fn default() -> Self {
        Self {
            associations_max: 64,
            associations_per_peer_max: 8,
            artim: Duration::from_secs(30),
            idle: Duration::from_secs(30),
            rate_window: Duration::from_secs(60),
            bytes_per_second_min: 8 * 1024,
        }
    }
}

/// Counts for the metrics.
#[derive(Debug, Clone, Default)]
pub struct DimseCounters {
    /// Associations accepted.
    pub accepted: Counter,
    /// Connections aborted by us.
    pub aborted: Counter,
    /// C-ECHO requests answered.
    pub echoes: Counter,
    /// C-STORE requests answered with success.
    pub stored: Counter,
    /// C-STORE requests answered with failure.
    pub failed: Counter,
    /// Queries and retrievals answered.
    pub queries: Counter,
}

impl DimseCounters {
    fn count_store(&self, outcome: &Result<Stored, IntakeError>) {
        match outcome {
            Ok(_) => self.stored.inc(),
            Err(_) => self.failed.inc(),
        };
    }
}

/// The listening port.
pub struct DimsePort {
    listener: TcpListener,
    around: Arc<Surroundings>,
    admission: Admission,
}

impl DimsePort {
    /// Opens the port; nothing is accepted before [`DimsePort::run`].
    pub async fn bind(address: SocketAddr, around: Surroundings) -> io::Result<Self> {
        let listener = TcpListener::bind(address).await?;
        let limits = &around.limits;
        let admission = Admission::new(limits.associations_max, limits.associations_per_peer_max);
        Ok(Self {
            listener,
            around: Arc::new(around),
            admission,
        })
    }

    /// The address it listens on.
    pub fn address(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Counts for the metrics.
    #[must_use]
    pub fn counters(&self) -> DimseCounters {
        self.around.counters.clone()
    }

    /// Open associations, for the metrics.
    #[must_use]
    pub fn admission(&self) -> Admission {
        self.admission.clone()
    }

    /// Accepts until the agent stops, then waits for the associations to end.
    pub async fn run(self) {
        let rejecting = Arc::new(Semaphore::new(REJECTING_MAX));
        let mut associations = tokio::task::JoinSet::new();
        loop {
            let (stream, peer) = tokio::select! {
                () = self.around.stopping.cancelled() => break,
                accepted = self.listener.accept() => match accepted {
                    Ok(accepted) => accepted,
                    Err(error) => {
                        // Out of handles or memory: the next accept would fail at once, too.
                        tracing::warn!(%error, "a connection could not be accepted");
                        tokio::time::sleep(Duration::from_millis(100)).await;
                        continue;
                    }
                },
            };
            while associations.try_join_next().is_some() {}
            let Some(slot) = self.admission.admit(peer.ip()) else {
                self.around
                    .refusals
                    .record(Rejection::LimitExceeded, peer.ip(), None);
                if let Ok(permit) = Arc::clone(&rejecting).try_acquire_owned() {
                    tokio::spawn(async move {
                        tokio::time::timeout(REJECT_TIME, reject(stream)).await.ok();
                        drop(permit);
                    });
                }
                continue;
            };
            let stream = match stream.into_std() {
                Ok(stream) => stream,
                Err(error) => {
                    tracing::warn!(%error, "a connection could not be taken over");
                    continue;
                }
            };
            let around = Arc::clone(&self.around);
            let (done, ended) = tokio::sync::oneshot::channel::<()>();
            let thread = std::thread::Builder::new()
                .name("association".to_owned())
                .spawn(move || {
                    association::serve(stream, peer.ip(), slot, &around);
                    drop(done);
                });
            match thread {
                Ok(_) => {
                    associations.spawn(async move {
                        ended.await.ok();
                    });
                }
                Err(error) => tracing::error!(%error, "no thread for an association"),
            }
        }
        drop(self.listener);
        while associations.join_next().await.is_some() {}
    }
}

/// Tells a peer over the limit to come back later: reads its request, answers, waits for its close.
async fn reject(mut stream: TcpStream) {
    let mut header = [0; pdu_stream::PDU_HEADER_BYTES];
    if stream.read_exact(&mut header).await.is_err() {
        return;
    }
    if stream
        .write_all(&Rejection::LimitExceeded.to_pdu())
        .await
        .is_err()
        || stream.shutdown().await.is_err()
    {
        return;
    }
    let mut rest = [0; 4096];
    while matches!(stream.read(&mut rest).await, Ok(n) if n > 0) {}
}
