//! What can be set: one TOML file, then environment variables `TANCHO_SECTION__KEY`, then the command line.
//!
//! Unknown keys are errors. Everything is checked before a port opens, and all problems are reported at once.

mod load;

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use tancho_domain::dicom::AeTitle;
use tancho_wire::transfer::SenderConfig;

use crate::deliver::{Destination, PromiseRule};
use crate::dimse::DimseLimits;
use crate::dimse::requestor::Callee;
use crate::spool::SpoolOptions;
use crate::uplink::RoutineHours;

pub use load::{ConfigError, load};

/// The whole configuration, checked.
#[derive(Debug, Clone)]
pub struct Config {
    /// Folder of key, spool and index.
    pub data_dir: PathBuf,
    /// The port for modalities; `None` opens none.
    pub dimse: Option<DimseConfig>,
    /// The technologist's page; `None` opens none.
    pub page: Option<PageConfig>,
    /// The relay.
    pub relay: RelayConfig,
    /// How the line to it is used.
    pub line: LineConfig,
    /// The spool.
    pub spool: SpoolConfig,
    /// When a reading request opens by itself.
    pub requests: RequestRule,
    /// Whom received objects are delivered to.
    pub deliver: Vec<Destination>,
    /// Who gets storage commitment from us.
    pub promises: PromiseRule,
}

/// Port for modalities.
#[derive(Debug, Clone)]
pub struct DimseConfig {
    /// Address to listen on.
    pub listen: SocketAddr,
    /// Our title; with `_STAT` it is the stat title.
    pub ae_title: AeTitle,
    /// Who may call; `None` lets everyone in and is possible on loopback only.
    pub allow: Option<Vec<AllowedCaller>>,
    /// Deadlines and limits.
    pub limits: DimseLimits,
    /// Who may query and retrieve; nobody by default.
    pub query_callers: Vec<AllowedCaller>,
    /// Whom C-MOVE may send to; nobody by default.
    pub move_destinations: Vec<Callee>,
}

/// A modality that may call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AllowedCaller {
    /// Its title.
    pub ae_title: AeTitle,
    /// Its address; `None` for any.
    pub ip: Option<IpAddr>,
}

impl AllowedCaller {
    /// Whether this entry admits a caller.
    #[must_use]
    pub fn admits(&self, calling_ae: &AeTitle, peer: IpAddr) -> bool {
        // A modality on a dual-stack port shows as an IPv4-mapped address.
        self.ae_title == *calling_ae && self.ip.is_none_or(|ip| ip.to_canonical() == peer.to_canonical())
    }
}

/// The technologist's page.
#[derive(Debug, Clone)]
pub struct PageConfig {
    /// Address to listen on.
    pub listen: SocketAddr,
    /// Password; required when the address is not loopback.
    pub password: Option<String>,
}

/// The relay.
#[derive(Debug, Clone)]
pub struct RelayConfig {
    /// `host:port` of its QUIC address; without one, the address of the enrolment is used.
    pub address: Option<String>,
}

/// How the line to the relay is used.
#[derive(Debug, Clone)]
pub struct LineConfig {
    /// Cap and shares.
    pub sender: SenderConfig,
    /// When routine work may go.
    pub routine_hours: RoutineHours,
}

/// The spool.
#[derive(Debug, Clone)]
pub struct SpoolConfig {
    /// How long objects stay after the relay's receipt.
    pub retention: Duration,
    /// How long objects stay after the relay's receipt when they are still to be delivered.
    pub undelivered_retention: Duration,
    /// How long deleted instances are remembered, so that late ones of their study are counted with them.
    pub delivered_memory: Duration,
    /// Most bytes of objects and containers together; `None` for no limit but the disk.
    pub quota_bytes: Option<u64>,
    /// Bytes that intake leaves free; `None` for 5 % of the disk or 2 GiB, the larger.
    pub reserve_bytes: Option<u64>,
    /// Most bytes kept in quarantine.
    pub quarantine_bytes_max: u64,
    /// Quiet time after which a study counts as closed.
    pub quiet: Duration,
    /// The same for stat studies.
    pub quiet_stat: Duration,
    /// Threads that make containers.
    pub coder_threads: usize,
}

/// When this agent opens a reading request by itself.
#[derive(Debug, Clone)]
pub struct RequestRule {
    /// Which studies.
    pub automatic: AutomaticRequests,
    /// Urgency of such a request when the study is not stat.
    pub urgency: String,
    /// Call-back number of such a request.
    pub callback_number: Option<String>,
}

/// Which studies open a reading request by themselves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AutomaticRequests {
    /// None here; the relay may have rules of its own.
    Off,
    /// Studies sent to the stat title.
    Stat,
    /// All studies.
    All,
}

impl Config {
    /// The spool's options.
    #[must_use]
    pub fn spool_options(&self) -> SpoolOptions {
        let ms = |duration: Duration| i64::try_from(duration.as_millis()).unwrap_or(i64::MAX);
        SpoolOptions {
            retention_ms: ms(self.spool.retention),
            undelivered_retention_ms: ms(self.spool.undelivered_retention),
            asks_before_deleting: !self.deliver.is_empty(),
            delivered_memory_ms: ms(self.spool.delivered_memory),
            reserve_bytes: self.spool.reserve_bytes,
            quota_bytes: self.spool.quota_bytes,
            quarantine_bytes_max: self.spool.quarantine_bytes_max,
            quiet_ms: ms(self.spool.quiet),
            quiet_stat_ms: ms(self.spool.quiet_stat),
            coder_threads: self.spool.coder_threads,
            ..SpoolOptions::new(&self.data_dir)
        }
    }
}
