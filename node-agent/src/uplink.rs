//! The line to the relay: enrolment, one connection that is made again for ever, and what goes over it.
//!
//! It sends what the spool lists and records what the relay answers; it deletes nothing. Which bytes go next is
//! decided by `tancho_wire::transfer::Sender`; here are the sockets and the files. Start at `connection.rs`.

mod backoff;
mod carrier;
mod connection;
mod dial;
mod enroll;
mod hours;
mod identity;
mod path_memory;
mod recorder;
mod renewal;
mod sender;
mod tls;

use std::path::PathBuf;
use std::time::Duration;

use tancho_wire::transfer::SenderConfig;
use tokio_util::sync::CancellationToken;

use crate::clock::Clock;
use crate::link::{LinkBoard, LinkState};
use crate::spool::Spool;

pub use enroll::{EnrollError, Enrolled, enroll};
pub use hours::RoutineHours;
pub use identity::{Identity, IdentityError};

/// How often it is looked whether the agent has been enrolled meanwhile.
const ENROLLED_EVERY: Duration = Duration::from_secs(1);

/// What the line needs to know.
#[derive(Debug, Clone)]
pub struct UplinkConfig {
    /// Folder of the agent; the node's key and certificate are in it.
    pub data_dir: PathBuf,
    /// `host:port` of the relay; `None` for the address of the enrolment.
    pub relay_address: Option<String>,
    /// Shares and cap of the line, and how far ahead is offered.
    pub sender: SenderConfig,
    /// When routine work may go.
    pub routine_hours: RoutineHours,
}

impl UplinkConfig {
    /// The defaults for a data folder.
    #[must_use]
    pub fn new(data_dir: PathBuf, relay_address: Option<String>) -> Self {
        Self {
            data_dir,
            relay_address,
            sender: SenderConfig::default(),
            routine_hours: RoutineHours::default(),
        }
    }
}

/// Keeps the line for as long as the agent runs. Waits for an enrolment if there has been none.
pub async fn run(
    config: UplinkConfig,
    spool: Spool,
    board: LinkBoard,
    clock: Clock,
    shutdown: CancellationToken,
) {
    let line = async {
        loop {
            match Identity::load(&config.data_dir) {
                Ok(Some(identity)) => {
                    connection::keep_connected(&config, identity, &spool, &board, &clock).await;
                }
                Ok(None) => board.set_link(LinkState::NotEnrolled),
                Err(error) => {
                    tracing::error!(%error, "the node's certificate cannot be read");
                    let code = "identity_unreadable".to_owned();
                    board.set_link(LinkState::Offline {
                        since_ms: clock.now_ms(),
                        code,
                        next_attempt_at_ms: None,
                    });
                }
            }
            tokio::time::sleep(ENROLLED_EVERY).await;
        }
    };
    tokio::select! {
        () = shutdown.cancelled() => {}
        () = line => {}
    }
}
