//! What handlers, jobs and listeners share.
//!
//! `AppState` is opened once, by `serve` or by a command that works on a stopped relay, and is cheap to clone.
//! A subsystem that needs something shared adds a field to [`Shared`] and opens it in [`AppState::open`].

use std::fs::{File, OpenOptions};
use std::ops::Deref;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, bail};
use tancho_store::Db;
use tokio::sync::{Notify, Semaphore};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::audit::checkpoints::Checkpoints;
use crate::blobs::Blobs;
use crate::clock::Clock;
use crate::config::Config;
use crate::decoding::Decoders;
use crate::dicomweb;
use crate::durable;
use crate::events::EventHub;
use crate::http::ohif::Ohif;
use crate::ingest;
use crate::metrics::Metrics;
use crate::nodes::authority::Authority;
use crate::secrets;

/// File in the data folder that one process at a time holds locked.
const LOCK_FILE: &str = "relay.lock";

/// Shared by everything in the relay.
#[derive(Debug, Clone)]
pub struct AppState(Arc<Shared>);

/// What is behind [`AppState`].
#[derive(Debug)]
pub struct Shared {
    /// As read at the start.
    pub config: Config,
    /// The store.
    pub db: Db,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Instance containers.
    pub blobs: Blobs,
    /// The processes that decode what peers sent.
    pub decoders: Decoders,
    /// What the DICOMweb routes share.
    pub dicomweb: dicomweb::Serving,
    /// The relay's own certificate authority.
    pub authority: Arc<Authority>,
    /// Nodes connected now.
    pub nodes_connected: ingest::Registry,
    /// Partial containers.
    pub incoming: Arc<ingest::Incoming>,
    /// What of them can be looked at already.
    pub readable: ingest::Readable,
    /// How fast studies come in.
    pub flows: ingest::Flows,
    /// When their pages were told.
    pub tellings: ingest::Tellings,
    /// Where readers look.
    pub focuses: ingest::Focuses,
    /// Heads that other heads are coded with.
    pub dictionaries: Arc<ingest::Dictionaries>,
    /// Verified instances on their way to their transaction.
    pub commits: ingest::CommitQueue,
    /// Turns of verifications.
    pub verifications: ingest::Verifications,
    /// What is known of the audit trail outside the database.
    pub checkpoints: Checkpoints,
    /// The turn to walk an audit chain, which reads all of it.
    pub audit_walks: Semaphore,
    /// The OHIF viewer, when it is installed.
    pub ohif: Option<Ohif>,
    /// Live updates.
    pub events: EventHub,
    /// Counters for `/metrics`.
    pub metrics: Metrics,
    /// Rung after a commit that enqueued a job, so that it starts at once.
    pub jobs_waiting: Notify,
    /// Cancelled when the relay stops.
    pub shutdown: CancellationToken,
    /// Everything spawned; the relay waits for it when it stops.
    pub tasks: TaskTracker,
    _data_dir_lock: File,
}

impl Deref for AppState {
    type Target = Shared;

    fn deref(&self) -> &Shared {
        &self.0
    }
}

impl AppState {
    /// Takes the data folder, opens the store and brings its schema up to date. Fails when another process has the
    /// folder.
    pub async fn open(config: Config, clock: Arc<dyn Clock>) -> anyhow::Result<Self> {
        let lock = lock_data_dir(&config.data_dir)?;
        let db = Db::open(&config.database.url)
            .await
            .context("opening the store")?;
        db.migrate().await.context("bringing the schema up to date")?;
        let blobs = Blobs::open(&config.data_dir).context("opening the blob store")?;
        let authority = Authority::open(&config.data_dir, clock.now_ms())?;
        let incoming = ingest::Incoming::open(&config.data_dir).context("opening the incoming folder")?;
        let checkpoints =
            Checkpoints::open(&config.data_dir).context("opening the checkpoints of the audit trail")?;
        let ohif = config.ohif.as_ref().map(|ohif| Ohif::open(&ohif.dir));
        let ohif = ohif.transpose().context("reading the OHIF viewer")?;
        let metrics = Metrics::new();
        blobs.register(&metrics);
        let decoders = Decoders::open(&config.decoding, &config.data_dir, &metrics)
            .context("reading which objects cannot be decoded")?;
        Ok(Self(Arc::new(Shared {
            dictionaries: Arc::new(ingest::Dictionaries::new(blobs.clone())),
            blobs,
            decoders,
            dicomweb: dicomweb::Serving::default(),
            authority: Arc::new(authority),
            nodes_connected: ingest::Registry::default(),
            incoming: Arc::new(incoming),
            readable: ingest::Readable::default(),
            flows: ingest::Flows::default(),
            tellings: ingest::Tellings::default(),
            focuses: ingest::Focuses::default(),
            commits: ingest::CommitQueue::default(),
            verifications: ingest::Verifications::default(),
            checkpoints,
            audit_walks: Semaphore::new(1),
            ohif,
            events: EventHub::new(secrets::new_uuid().simple().to_string()),
            metrics,
            jobs_waiting: Notify::new(),
            shutdown: CancellationToken::new(),
            tasks: TaskTracker::new(),
            config,
            db,
            clock,
            _data_dir_lock: lock,
        })))
    }

    /// To set limits that a test can reach, while nothing else has the state.
    #[cfg(test)]
    pub fn dicomweb_mut(&mut self) -> &mut dicomweb::Serving {
        &mut Arc::get_mut(&mut self.0).expect("the only one").dicomweb
    }

    /// Milliseconds UTC since 1970.
    #[must_use]
    pub fn now_ms(&self) -> i64 {
        self.clock.now_ms()
    }
}

fn lock_data_dir(data_dir: &Path) -> anyhow::Result<File> {
    make_private_dir(data_dir).with_context(|| format!("making the data folder {}", data_dir.display()))?;
    let path = data_dir.join(LOCK_FILE);
    let file = OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .open(&path)
        .with_context(|| format!("opening {}", path.display()))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(std::fs::TryLockError::WouldBlock) => {
            bail!("another tancho-relay uses the data folder {}", data_dir.display())
        }
        Err(std::fs::TryLockError::Error(error)) => Err(error)
            .with_context(|| format!("locking {}: the file system must support locks", path.display())),
    }
}

/// Makes a folder that only this account can open; one that exists keeps its rights.
pub fn make_private_dir(dir: &Path) -> std::io::Result<()> {
    let mut builder = std::fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(dir)
}

/// Writes a file that only this account can read, durably: either the whole file is there or none.
pub fn write_private(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let mut temporary = path.as_os_str().to_owned();
    temporary.push(".new");
    let temporary = std::path::PathBuf::from(temporary);
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create(true).truncate(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(&temporary)?;
    std::io::Write::write_all(&mut file, bytes)?;
    durable::file(&file)?;
    std::fs::rename(&temporary, path)?;
    durable::folder(path.parent().unwrap_or(Path::new(".")))
}
