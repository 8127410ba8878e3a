//! The running agent: opens everything, starts the parts, and stops them in the order that loses nothing.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;

use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::clock::Clock;
use crate::config::Config;
use crate::control::{self, ControlPort, Desk};
use crate::deliver::Deliveries;
use crate::dimse::negotiation::Policy;
use crate::dimse::refusals::Refusals;
use crate::dimse::{DimseCounters, DimsePort, Surroundings};
use crate::link::{self, LinkBoard};
use crate::metrics::{DimseFigures, Metrics};
use crate::page::{self, Guard, PageParts, PagePort};
use crate::requests::automatic;
use crate::spool::{OpenError, Spool, SpoolWorkers};
use crate::uplink::{self, UplinkConfig};

/// Why the agent did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The spool did not open.
    #[error(transparent)]
    Spool(#[from] OpenError),
    /// The delivery queue did not open.
    #[error("delivery queue: {0}")]
    Deliveries(anyhow::Error),
    /// A port could not be opened.
    #[error("{key} = {address}: {source}")]
    Port {
        /// The configuration key.
        key: &'static str,
        /// What it says.
        address: String,
        /// What the system says.
        source: io::Error,
    },
}

/// A running agent.
pub struct Agent {
    /// The spool.
    pub spool: Spool,
    /// State of the line.
    pub board: LinkBoard,
    dimse_address: Option<SocketAddr>,
    page_address: Option<SocketAddr>,
    /// Stops intake and everything that people and programs ask of the agent.
    stopping: CancellationToken,
    tasks: JoinSet<()>,
    workers: SpoolWorkers,
}

impl Agent {
    /// Opens the spool and every port, then starts to serve. Nothing listens when this fails.
    pub async fn start(config: Config, clock: Clock) -> Result<Self, StartError> {
        let (spool, workers) = Spool::open(config.spool_options(), clock.clone()).await?;
        let board = LinkBoard::new(clock.clone());
        let refusals = Refusals::new(clock.clone());
        let stopping = CancellationToken::new();
        let mut tasks = JoinSet::new();
        let wanted = (config.deliver.clone(), config.promises.clone());
        let opened = match Deliveries::open(&config.data_dir, wanted, &spool, clock.clone()) {
            Ok(deliveries) => open_ports(&config, (&spool, &deliveries), &refusals, &stopping)
                .await
                .map(|ports| (deliveries, ports)),
            Err(error) => Err(StartError::Deliveries(error)),
        };
        let (deliveries, ports) = match opened {
            Ok(opened) => opened,
            Err(error) => {
                spool.stop();
                workers.join().await;
                return Err(error);
            }
        };
        let dimse_address = ports.dimse.as_ref().and_then(|port| port.address().ok());
        let page_address = ports.page.as_ref().and_then(|port| port.address().ok());
        let figures = ports.dimse.as_ref().map(|port| DimseFigures {
            counters: port.counters(),
            admission: port.admission(),
            refusals: refusals.counters(),
        });
        let metrics = Metrics::new(spool.clone(), board.clone(), figures);
        if let (Some(port), Some(page), Some(dimse)) = (ports.page, &config.page, &config.dimse) {
            let parts = PageParts {
                spool: spool.clone(),
                board: board.clone(),
                clock: clock.clone(),
                ae_title: dimse.ae_title.as_str().to_owned(),
                dimse_address: dimse_address.unwrap_or(dimse.listen),
                refusals,
                metrics,
                deliveries: deliveries.clone(),
            };
            let router = page::router(parts, Guard::new(page.password.as_deref()));
            tasks.spawn(port.run(router, stopping.clone()));
        }
        if let Some(port) = ports.control {
            let desk = Desk {
                spool: spool.clone(),
                board: board.clone(),
                deliveries: deliveries.clone(),
                clock: clock.clone(),
                stopping: stopping.clone(),
            };
            tasks.spawn(control::serve(port, desk));
        }
        tasks.spawn(deliveries.clone().run(spool.clone(), stopping.clone()));
        tasks.spawn(link::keeper::keep(
            board.clone(),
            config.data_dir.clone(),
            clock.clone(),
            stopping.clone(),
        ));
        tasks.spawn(automatic::run(
            spool.clone(),
            config.requests.clone(),
            clock.clone(),
            stopping.clone(),
        ));
        let line = UplinkConfig {
            sender: config.line.sender.clone(),
            routine_hours: config.line.routine_hours.clone(),
            ..UplinkConfig::new(config.data_dir.clone(), config.relay.address.clone())
        };
        tasks.spawn(uplink::run(
            line,
            spool.clone(),
            board.clone(),
            clock.clone(),
            stopping.clone(),
        ));
        if let Some(port) = ports.dimse {
            tasks.spawn(port.run());
        }
        tracing::info!(
            dimse.address = dimse_address.map(tracing::field::display),
            page.address = page_address.map(tracing::field::display),
            "the agent is ready"
        );
        Ok(Self {
            spool,
            board,
            dimse_address,
            page_address,
            stopping,
            tasks,
            workers,
        })
    }

    /// Where modalities send to.
    #[must_use]
    pub fn dimse_address(&self) -> Option<SocketAddr> {
        self.dimse_address
    }

    /// Where the technologist's page is.
    #[must_use]
    pub fn page_address(&self) -> Option<SocketAddr> {
        self.page_address
    }

    /// Stops: open associations are aborted, what was received whole is still committed, then the spool ends.
    pub async fn stop(mut self) {
        self.stopping.cancel();
        while self.tasks.join_next().await.is_some() {}
        self.spool.stop();
        self.workers.join().await;
        tracing::info!("the agent has stopped");
    }
}

/// Runs an agent until `shutdown`.
pub async fn run(config: Config, shutdown: CancellationToken) -> Result<(), StartError> {
    let agent = Agent::start(config, Clock::system()).await?;
    shutdown.cancelled().await;
    agent.stop().await;
    Ok(())
}

struct Ports {
    dimse: Option<DimsePort>,
    page: Option<PagePort>,
    control: Option<ControlPort>,
}

async fn open_ports(
    config: &Config,
    (spool, deliveries): (&Spool, &Deliveries),
    refusals: &Refusals,
    stopping: &CancellationToken,
) -> Result<Ports, StartError> {
    let failed = |key, address: String| move |source| StartError::Port { key, address, source };
    let dimse = match &config.dimse {
        None => None,
        Some(dimse) => {
            let reporters = config.deliver.iter().filter(|one| one.storage_commitment);
            let askers = config.promises.callers.iter();
            let policy = Policy {
                reporters: reporters.map(|one| one.callee.ae_title.clone()).collect(),
                askers: askers.map(|caller| caller.ae_title.clone()).collect(),
                queriers: dimse.query_callers.clone(),
                ..Policy::storage_only(dimse.ae_title.clone(), dimse.allow.clone())
            };
            let around = Surroundings {
                spool: spool.clone(),
                policy,
                limits: dimse.limits.clone(),
                counters: DimseCounters::default(),
                refusals: refusals.clone(),
                deliveries: deliveries.clone(),
                move_destinations: dimse.move_destinations.clone(),
                stopping: stopping.clone(),
            };
            let port = DimsePort::bind(dimse.listen, around).await;
            Some(port.map_err(failed("dimse.listen", dimse.listen.to_string()))?)
        }
    };
    let page = match &config.page {
        None => None,
        Some(page) => {
            let port = PagePort::bind(page.listen).await;
            Some(port.map_err(failed("page.listen", page.listen.to_string()))?)
        }
    };
    let control = match ControlPort::bind(&config.data_dir) {
        Ok(port) => Some(port),
        Err(source) => {
            let path: PathBuf = control::socket_path(&config.data_dir);
            tracing::error!(path = %path.display(), %source, "tancho-agent send and status cannot reach this agent");
            None
        }
    };
    Ok(Ports { dimse, page, control })
}
