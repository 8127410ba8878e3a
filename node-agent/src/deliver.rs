//! Objects of this site onward by C-STORE: to its own PACS, or whoever is configured under `[[deliver]]`.
//!
//! Storage commitment (`commitment`) is asked of those who have it, and passed on to modalities that ask for it
//! (`promises`).
//!
//! `feed` decides who wants an object, `queue` keeps it until the peer said that it has it, `worker` calls the peer,
//! again and again when need be. Nothing here can hold up a modality or the line to the relay.

mod queue;
mod feed;
mod worker;
mod backoff;
pub mod commitment;
mod promises;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde::Serialize;
use tancho_domain::dicom::AeTitle;
use tancho_domain::ids::ObjectId;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::clock::Clock;
use crate::dimse::requestor::Callee;
use crate::spool::Spool;
use crate::spool::onward::OnwardObject;

use feed::Feed;
use queue::Queue;
pub use queue::{Figures, ReasonCount};

/// Codes of deliveries that wait or were given up, besides those of a call; each is told in words.
pub const CODES: [&str; 19] = [
    "peer_out_of_resources",
    "peer_refuses_sop_class",
    "peer_refuses_transfer_syntax",
    "peer_refuses_us",
    "peer_data_set_mismatch",
    "peer_cannot_understand",
    "not_convertible",
    "held_for_patient",
    "deleted_before_delivery",
    "same_uid_other_bytes",
    "queue_unreadable",
    "queue_unwritable",
    "other_status",
    "commitment_refused",
    "commitment_unsupported",
    "commitment_late",
    "commitment_incomplete",
    "commitment_no_such_instance",
    "commitment_failed",
];

/// A peer that objects are delivered to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Destination {
    /// Its name here; the queue knows it by this name.
    pub name: String,
    /// Whom to call, and as whom.
    pub callee: Callee,
    /// What it wants.
    pub rule: Rule,
    /// Whether the peer is asked for storage commitment of what it took.
    pub storage_commitment: bool,
    /// How long a report of storage commitment may take before it is asked for again.
    pub commitment_timeout: Duration,
    /// Pauses between tries.
    pub retry: Retry,
}

/// Whether modalities get storage commitment from us.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PromiseRule {
    /// Who may ask, and where each gets its answer; none when it is switched off.
    pub callers: Vec<Callee>,
    /// How long the PACS may take before the answer is a failure.
    pub patience: Duration,
}

/// Pauses after a failure: the first, doubled each time, and never longer than the last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retry {
    /// First.
    pub min: Duration,
    /// Longest.
    pub max: Duration,
    /// Tries of one object that fails for a reason of its own, before it is given up.
    pub tries_max: u32,
}

impl Default for Retry {
    fn default() -> Self {
        Self {
            min: Duration::from_secs(5),
            max: Duration::from_secs(600),
            tries_max: 8,
        }
    }
}

/// Which received objects a destination wants; every list that is given must name the object.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Rule {
    /// Titles that objects came from.
    pub calling_ae: Option<Vec<AeTitle>>,
    /// Titles of ours that they were sent to.
    pub called_ae: Option<Vec<AeTitle>>,
    /// Modality (0008,0060) of the object.
    pub modalities: Option<Vec<String>>,
}

impl Rule {
    /// Whether the titles fit. What came from the destination itself never goes back.
    fn takes(&self, object: &OnwardObject, destination: &AeTitle) -> bool {
        let names = |list: &Option<Vec<AeTitle>>, title: &str| {
            list.as_ref()
                .is_none_or(|list| list.iter().any(|one| one.as_str() == title))
        };
        object.calling_ae != destination.as_str()
            && names(&self.calling_ae, &object.calling_ae)
            && names(&self.called_ae, &object.called_ae)
    }
}

/// The last thing that went wrong with a destination.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LastError {
    /// Stable code.
    pub code: String,
    /// When.
    pub at_ms: i64,
}

/// What a destination is doing.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Doing {
    /// Nothing waits.
    #[default]
    Idle,
    /// On an association, or about to be.
    Sending,
    /// Pausing after a failure.
    Pausing,
}

/// How a destination stands, apart from its figures.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Standing {
    /// What it is doing.
    pub doing: Doing,
    /// The last failure since the start; kept after things went well again.
    pub last_error: Option<LastError>,
    /// Since when every call failed; `None` when the last one went well.
    pub failing_since_ms: Option<i64>,
    /// When it is called again, while pausing.
    pub next_try_at_ms: Option<i64>,
    /// When it last said that it has an object, since the start.
    pub last_delivered_at_ms: Option<i64>,
}

/// A destination for page and status; no patient data.
#[derive(Debug, Clone, Serialize)]
pub struct DestinationPicture {
    /// Its name.
    pub name: String,
    /// Its title.
    pub ae_title: String,
    /// Where it is.
    pub address: String,
    /// Whether it is asked for storage commitment.
    pub storage_commitment: bool,
    /// How it stands.
    #[serde(flatten)]
    pub standing: Standing,
    /// Figures.
    #[serde(flatten)]
    pub figures: Figures,
}

/// Storage commitment that modalities asked for, for page and status.
#[derive(Debug, Clone, Default, Serialize)]
pub struct PromisePicture {
    /// Transactions without an answer.
    pub n_open: u64,
    /// Why the answer to the oldest could not be given.
    pub code: Option<String>,
}

struct Inner {
    destinations: Vec<Destination>,
    promises: PromiseRule,
    queue: Queue,
    feed: Mutex<Feed>,
    standings: Mutex<BTreeMap<String, Standing>>,
    /// Figures of all destinations, with the number of the change they were taken after.
    figures: Mutex<Option<(u64, Vec<Figures>)>>,
    clock: Clock,
}

/// Everything that is delivered from here; clones share it.
#[derive(Clone)]
pub struct Deliveries(Arc<Inner>);

impl Deliveries {
    /// Opens the queue in the data folder, and has the spool keep what is still to be delivered.
    pub fn open(
        data_dir: &Path,
        (destinations, promises): (Vec<Destination>, PromiseRule),
        spool: &Spool,
        clock: Clock,
    ) -> anyhow::Result<Self> {
        let folder = data_dir.join("spool");
        let queue = Queue::open(&folder.join("deliveries.sqlite3"), &folder.join("aside"))?;
        let names: Vec<&str> = destinations.iter().map(|one| one.name.as_str()).collect();
        queue.forget_others(&names)?;
        queue.forget_unasked(clock.now_ms())?;
        let inner = Inner {
            feed: Mutex::new(Feed::default()),
            standings: Mutex::default(),
            figures: Mutex::default(),
            promises,
            destinations,
            queue,
            clock,
        };
        let deliveries = Self(Arc::new(inner));
        if !deliveries.0.destinations.is_empty() {
            let (asked, of) = (deliveries.clone(), spool.clone());
            spool.keep_wanted(Arc::new(move |objects| asked.wanted(&of, objects)));
        }
        Ok(deliveries)
    }

    /// Delivers until the agent stops.
    pub async fn run(self, spool: Spool, stopping: CancellationToken) {
        if self.0.destinations.is_empty() {
            return;
        }
        let mut tasks = JoinSet::new();
        tasks.spawn(feed::run(self.clone(), spool.clone(), stopping.clone()));
        if !self.0.promises.callers.is_empty() {
            tasks.spawn(promises::run(self.clone(), spool.clone(), stopping.clone()));
        }
        for at in 0..self.0.destinations.len() {
            tasks.spawn(worker::run(self.clone(), at, spool.clone(), stopping.clone()));
        }
        while tasks.join_next().await.is_some() {}
    }

    /// Every destination as it stands.
    #[must_use]
    pub fn picture(&self) -> Vec<DestinationPicture> {
        let destinations = self.0.destinations.iter().zip(self.figures());
        let pictures = destinations.map(|(one, figures)| DestinationPicture {
            name: one.name.clone(),
            ae_title: one.callee.ae_title.as_str().to_owned(),
            address: one.callee.address.clone(),
            storage_commitment: one.storage_commitment,
            standing: self.standing(&one.name),
            figures,
        });
        pictures.collect()
    }

    /// Counted anew only after something changed.
    fn figures(&self) -> Vec<Figures> {
        let version = *self.0.queue.subscribe().borrow();
        let mut kept = self.0.figures.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((at, figures)) = &*kept
            && *at == version
        {
            return figures.clone();
        }
        let counted = self.0.destinations.iter().map(|one| {
            self.0.queue.figures(&one.name).unwrap_or_else(|error| {
                tracing::error!(%error, "the delivery queue cannot be read");
                Figures::default()
            })
        });
        let figures: Vec<Figures> = counted.collect();
        *kept = Some((version, figures.clone()));
        figures
    }

    /// Storage commitment that modalities wait for.
    #[must_use]
    pub fn promises(&self) -> PromisePicture {
        if self.0.promises.callers.is_empty() {
            return PromisePicture::default();
        }
        let (n_open, code) = self.0.queue.count_promises().unwrap_or_else(|error| {
            tracing::error!(%error, "the delivery queue cannot be read");
            Default::default()
        });
        PromisePicture { n_open, code }
    }

    /// Bumps when something changed.
    #[must_use]
    pub fn subscribe(&self) -> watch::Receiver<u64> {
        self.0.queue.subscribe()
    }

    /// Has everything of a destination that was given up tried again; `None` when there is no such destination.
    pub fn try_again(&self, name: &str) -> anyhow::Result<Option<u64>> {
        if !self.knows(name) {
            return Ok(None);
        }
        Ok(Some(self.0.queue.try_again(name)?))
    }

    /// Takes everything of a destination that was given up off the list; `None` when there is no such destination.
    pub fn dismiss(&self, name: &str) -> anyhow::Result<Option<u64>> {
        if !self.knows(name) {
            return Ok(None);
        }
        Ok(Some(self.0.queue.dismiss(name)?))
    }

    fn knows(&self, name: &str) -> bool {
        self.0.destinations.iter().any(|one| one.name == name)
    }

    fn standing(&self, name: &str) -> Standing {
        let standings = self.0.standings.lock().unwrap_or_else(PoisonError::into_inner);
        standings.get(name).cloned().unwrap_or_default()
    }

    fn note(&self, name: &str, change: impl FnOnce(&mut Standing)) {
        let mut standings = self.0.standings.lock().unwrap_or_else(PoisonError::into_inner);
        let standing = standings.entry(name.to_owned()).or_default();
        let before = standing.clone();
        change(standing);
        if *standing != before {
            self.0.queue.note_change();
        }
    }

    /// Objects that are still to be delivered. When that cannot be told, all of them.
    fn wanted(&self, spool: &Spool, objects: &[ObjectId]) -> Vec<ObjectId> {
        let fed = feed::take(self, spool);
        let wanted = fed.and_then(|()| Ok(self.0.queue.wanted(objects)?));
        wanted.unwrap_or_else(|error| {
            tracing::error!(%error, "the delivery queue cannot be asked, so nothing is deleted");
            objects.to_vec()
        })
    }
}
