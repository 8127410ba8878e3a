//! The durable store between the modality and the relay: C-STORE success means that an object is here.
//!
//! Order of every intake: bytes, fsync, rename, directory fsync, database commit, answer. Nothing is deleted
//! before the relay's receipt and a retention time. `spool/README.md` gives the format on disk.

pub mod outbound;
pub mod onward;
pub mod studies;
pub mod withheld;
pub mod object_file;
pub mod layout;
pub mod space;
mod index;
mod picture;
mod waiting;
mod commit;
mod receive;
mod filling;
mod activity;
mod recover;
mod quarantined;
mod coder;
mod keeper;

use std::collections::{HashMap, HashSet};
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use jiff::tz::TimeZone;
use tancho_domain::dicom::Priority;
use tancho_domain::ids::{CommandId, ObjectId};
use tancho_imaging::limits::ScanLimits;
use tokio::sync::{Notify, mpsc, oneshot, watch};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::clock::Clock;
use crate::conformance::{Card, Conformance};
use commit::{COMMIT_QUEUE_MAX, Change, Committer};
use filling::Filling;
use index::{IndexDb, IndexError, IndexResult};
use layout::{Layout, LayoutError};
use onward::Wanted;
use picture::Picture;
use space::SpaceGauge;

pub use activity::Activity;
pub use commit::Stored;
pub use index::{InstanceSum, ObjectStanding, QuarantineRow};
pub use outbound::{OutboundObject, Receipt, RequestForm, RequestResult, StudyManifest, StudyUpdate};
pub use picture::{Counters, HeldPicture, QUARANTINE_SHOWN_MAX, RequestPicture};
pub use quarantined::{Quarantined, QuarantinedError, Released};
pub use receive::{Arrival, Incoming, IntakeError};
pub use space::Room;
pub use studies::{ObjectState, StudyPicture};
pub use waiting::Waiting;
pub use withheld::{Withheld, WithheldReason};

/// Most objects one call of [`Spool::outbound`] returns; the next ones move up as receipts come in.
pub const OUTBOUND_OBJECTS_MAX: usize = 4096;

/// How long after the last object began or ended the spool counts as receiving. Covers the pause between the objects of
/// one association.
const RECEIVING_LINGER: Duration = Duration::from_millis(100);

/// A state change that could not be made durable.
#[derive(Debug, thiserror::Error)]
pub enum SpoolError {
    /// Nothing in the spool has this identifier.
    #[error("not found in the spool")]
    NotFound,
    /// A receipt names digests that are not the object's: it must not lead to a deletion.
    #[error("receipt does not name the digests of the object")]
    ReceiptMismatch,
    /// The spool is shutting down.
    #[error("the spool is stopping")]
    Stopped,
    /// The file system failed.
    #[error("spool file system: {0}")]
    Io(#[from] io::Error),
    /// The index failed.
    #[error("spool index: {0}")]
    Index(String),
}

impl SpoolError {
    /// Another change of the same transaction failed.
    fn batch() -> Self {
        Self::Index("another change of the same transaction failed".to_owned())
    }
}

impl From<IndexError> for SpoolError {
    fn from(error: IndexError) -> Self {
        Self::Index(error.to_string())
    }
}

/// Why the spool did not open.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The data folder cannot be used.
    #[error(transparent)]
    Layout(#[from] LayoutError),
    /// The index cannot be used.
    #[error(transparent)]
    Spool(#[from] SpoolError),
}

/// How a spool works.
#[derive(Debug, Clone)]
pub struct SpoolOptions {
    /// Folder of everything the agent keeps.
    pub data_dir: PathBuf,
    /// How long objects stay after the relay's receipt.
    pub retention_ms: i64,
    /// How long objects stay after the relay's receipt when someone else still has to take them.
    pub undelivered_retention_ms: i64,
    /// Someone will say what is still to be taken (see [`Spool::keep_wanted`]); until then nothing is deleted that only
    /// the retention time is over of.
    pub asks_before_deleting: bool,
    /// How long deleted instances are remembered, so that late ones of their study are counted with them.
    pub delivered_memory_ms: i64,
    /// Bytes that intake leaves free on the disk; `None` for 5 % or 2 GiB, the larger.
    pub reserve_bytes: Option<u64>,
    /// Most bytes of objects and containers together; `None` for no limit but the disk.
    pub quota_bytes: Option<u64>,
    /// Most bytes kept in quarantine; beyond that only the fact is recorded.
    pub quarantine_bytes_max: u64,
    /// Quiet time after which a study counts as closed.
    pub quiet_ms: i64,
    /// The same for stat studies.
    pub quiet_stat_ms: i64,
    /// Frames that are coded at once, with low priority.
    pub coder_threads: usize,
    /// Pause of the coder after it could not write.
    pub coder_retry: Duration,
    /// What an object may ask of the scanner.
    pub limits: ScanLimits,
}

impl SpoolOptions {
    /// The defaults for a data folder.
    #[must_use]
    pub fn new(data_dir: &Path) -> Self {
        Self {
            data_dir: data_dir.to_owned(),
            retention_ms: 72 * 3_600_000,
            undelivered_retention_ms: 14 * 24 * 3_600_000,
            asks_before_deleting: false,
            delivered_memory_ms: 400 * 24 * 3_600_000,
            reserve_bytes: None,
            quota_bytes: None,
            quarantine_bytes_max: 2 * 1024 * 1024 * 1024,
            quiet_ms: 20_000,
            quiet_stat_ms: 3_000,
            coder_threads: std::thread::available_parallelism().map_or(1, |n| n.get()),
            coder_retry: Duration::from_secs(2),
            limits: ScanLimits::default(),
        }
    }
}

/// Rung when the coder has work.
#[derive(Default)]
struct CoderWake {
    /// With objects of stat priority.
    stat: Notify,
    /// With others.
    others: Notify,
}

/// Room on the disk that coding leaves to the index. Bytes.
const INDEX_ROOM_BYTES: u64 = 64 * 1024 * 1024;

/// What all parts of the spool share.
pub(crate) struct Shared {
    layout: Layout,
    options: SpoolOptions,
    clock: Clock,
    gauge: SpaceGauge,
    picture: Mutex<Picture>,
    /// Studies with open associations that brought objects of them, and how many.
    open_studies: Mutex<HashMap<String, usize>>,
    quarantine_bytes: AtomicU64,
    /// Quarantined objects on which a person acts now.
    quarantine_acts: Mutex<HashSet<ObjectId>>,
    /// When an object last began or ended.
    last_intake: Mutex<Option<Instant>>,
    filling: Filling,
    changes: mpsc::Sender<Change>,
    changed: watch::Sender<u64>,
    coder_wake: CoderWake,
    reader: Mutex<IndexDb>,
    /// What modalities get wrong.
    conformance: Conformance,
    /// Asked before the housekeeping deletes.
    wanted: Mutex<Option<Wanted>>,
    stopping: CancellationToken,
}

impl Shared {
    fn picture(&self) -> MutexGuard<'_, Picture> {
        self.picture.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn open_studies(&self) -> MutexGuard<'_, HashMap<String, usize>> {
        self.open_studies.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn note_intake(&self) {
        let mut last = self.last_intake.lock().unwrap_or_else(PoisonError::into_inner);
        *last = Some(Instant::now());
    }

    /// Whether objects are arriving just now.
    fn is_receiving(&self) -> bool {
        let last = self.last_intake.lock().unwrap_or_else(PoisonError::into_inner);
        last.is_some_and(|last| last.elapsed() < RECEIVING_LINGER)
    }

    fn new_object_id(&self) -> ObjectId {
        ObjectId::new(Uuid::now_v7())
    }

    /// Asks the index, on a thread that may wait for the disk.
    async fn read<T: Send + 'static>(
        self: &Arc<Self>,
        ask: impl FnOnce(&IndexDb) -> IndexResult<T> + Send + 'static,
    ) -> Result<T, SpoolError> {
        let shared = Arc::clone(self);
        let asked = tokio::task::spawn_blocking(move || {
            ask(&shared.reader.lock().unwrap_or_else(PoisonError::into_inner))
        });
        Ok(asked.await.map_err(|_| SpoolError::Stopped)??)
    }

    async fn send(&self, change: Change) -> Result<(), SpoolError> {
        self.changes.send(change).await.map_err(|_| SpoolError::Stopped)
    }

    fn send_blocking(&self, change: Change) -> Result<(), SpoolError> {
        self.changes
            .blocking_send(change)
            .map_err(|_| SpoolError::Stopped)
    }

    /// Refuses intake at the reserve or the quota, so that committing, sending and deleting still work.
    fn check_room(&self) -> Result<(), IntakeError> {
        let room = self.gauge.measure()?;
        let over_quota = self
            .options
            .quota_bytes
            .is_some_and(|quota| self.bytes_held() >= quota);
        if room.allows_intake() && !over_quota {
            return Ok(());
        }
        self.picture().counters.n_refused_no_space += 1;
        tracing::error!(
            free_bytes = room.free_bytes,
            reserve_bytes = room.reserve_bytes,
            over_quota,
            "intake refused: the spool is full"
        );
        Err(IntakeError::NoSpace)
    }

    /// Whether a container, with its frames beside it while they are coded, leaves room for the index: with a full disk
    /// receipts must still be written down and objects deleted. True when the disk does not say.
    fn has_room_to_code(&self, original_len: u64) -> bool {
        let needed = original_len.saturating_mul(2).saturating_add(INDEX_ROOM_BYTES);
        self.gauge
            .measure()
            .map_or(true, |room| room.free_bytes >= needed)
    }

    fn bytes_held(&self) -> u64 {
        let picture = self.picture();
        let states = |study: &StudyPicture| -> u64 {
            ObjectState::ALL
                .into_iter()
                .map(|state| study.tally(state))
                .map(|tally| tally.original_bytes + tally.container_bytes)
                .sum()
        };
        picture.studies.values().map(states).sum()
    }

    /// Gives room in the quarantine back.
    fn give_quarantine_room(&self, bytes: u64) {
        let left = |used: u64| Some(used.saturating_sub(bytes));
        self.quarantine_bytes
            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, left)
            .ok();
    }

    /// Takes room in the quarantine; false when it is full.
    fn take_quarantine_room(&self, bytes: u64) -> bool {
        let room = |used: u64| Some(used + bytes).filter(|sum| *sum <= self.options.quarantine_bytes_max);
        self.quarantine_bytes
            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, room)
            .is_ok()
    }
}

/// Handle to the spool; clones share it.
#[derive(Clone)]
pub struct Spool {
    shared: Arc<Shared>,
    committer: Arc<Committer>,
}

/// Threads and tasks of a spool; join them after [`Spool::stop`].
pub struct SpoolWorkers {
    writer: std::thread::JoinHandle<()>,
    coder: std::thread::JoinHandle<()>,
    keeper: tokio::task::JoinHandle<()>,
}

impl SpoolWorkers {
    /// Waits until everything accepted is committed and the threads have ended.
    pub async fn join(self) {
        self.keeper.await.ok();
        let (coder, writer) = (self.coder, self.writer);
        tokio::task::spawn_blocking(move || {
            coder.join().ok();
            writer.join().ok();
        })
        .await
        .ok();
    }
}

impl Spool {
    /// Opens the spool in its data folder: lock, self-test, recovery, threads.
    pub async fn open(options: SpoolOptions, clock: Clock) -> Result<(Self, SpoolWorkers), OpenError> {
        let data_dir = options.data_dir.clone();
        let layout = Layout::open(&data_dir)?;
        let now_ms = clock.now_ms();
        let db = recover::open_index(&layout, &options.limits, now_ms)?;
        let picture = load_picture(&db, now_ms).map_err(SpoolError::from)?;
        let reader = index::open_reader(&layout.index_file()).map_err(SpoolError::from)?;
        let (folder, n_in_folder) = index::newest_folder(&db).map_err(SpoolError::from)?;
        let quarantine_bytes = folder_bytes(&layout.quarantine()).map_err(SpoolError::from)?;
        let (changes, waiting) = mpsc::channel(COMMIT_QUEUE_MAX);
        let shared = Arc::new(Shared {
            gauge: SpaceGauge::new(&layout.spool(), options.reserve_bytes),
            layout,
            options,
            clock,
            picture: Mutex::new(picture),
            open_studies: Mutex::default(),
            quarantine_bytes: AtomicU64::new(quarantine_bytes),
            quarantine_acts: Mutex::default(),
            last_intake: Mutex::default(),
            filling: Filling::new(folder, n_in_folder),
            changes,
            changed: watch::Sender::new(0),
            coder_wake: CoderWake::default(),
            reader: Mutex::new(reader),
            conformance: Conformance::open(&data_dir, TimeZone::system()),
            wanted: Mutex::default(),
            stopping: CancellationToken::new(),
        });
        let committer = Arc::new(Committer::new(Arc::clone(&shared), db).map_err(SpoolError::from)?);
        let for_writer = Arc::clone(&committer);
        let stopping = shared.stopping.clone();
        let writer = std::thread::Builder::new()
            .name("spool-commit".to_owned())
            .spawn(move || run_writer(&for_writer, waiting, &stopping))
            .map_err(SpoolError::from)?;
        let coder_shared = Arc::clone(&shared);
        let coder = std::thread::Builder::new()
            .name("spool-coder".to_owned())
            .spawn(move || coder::run(&coder_shared))
            .map_err(SpoolError::from)?;
        let spool = Self { shared, committer };
        let keeper = tokio::spawn(keeper::run(spool.clone()));
        Ok((
            spool,
            SpoolWorkers {
                writer,
                coder,
                keeper,
            },
        ))
    }

    /// Begins to stop: what waits for a commit is still committed, nothing new is taken.
    pub fn stop(&self) {
        self.shared.stopping.cancel();
        // Whoever is asked holds the spool, which would outlive its end.
        *self.shared.wanted.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// Notes an association or import that brings objects; studies stay open while it lives.
    #[must_use]
    pub fn activity(&self) -> Activity {
        Activity::new(Arc::clone(&self.shared))
    }

    /// Begins to receive an object.
    pub fn receive(&self, arrival: Arrival) -> Result<Incoming, IntakeError> {
        Incoming::begin(Arc::clone(&self.shared), Arc::clone(&self.committer), arrival)
    }

    /// Coded objects without a receipt, most urgent and longest waiting first, at most [`OUTBOUND_OBJECTS_MAX`].
    #[must_use]
    pub fn outbound(&self) -> Vec<OutboundObject> {
        self.shared.picture().outbound()
    }

    /// Bumps when outbound objects, study manifests or pending requests changed.
    #[must_use]
    pub fn subscribe(&self) -> watch::Receiver<u64> {
        self.shared.changed.subscribe()
    }

    /// Opens the object's container for positional reads; it is durable and never changes.
    pub async fn container_file(&self, object_id: &ObjectId) -> io::Result<File> {
        let in_line = self.shared.picture().folder_of(object_id);
        let folder = match in_line {
            Some(folder) => folder,
            None => {
                let wanted = object_id.clone();
                let find = move |db: &IndexDb| index::find_object(db, &wanted);
                let object = self.shared.read(find).await.map_err(io::Error::other)?;
                object.ok_or(io::ErrorKind::NotFound)?.folder
            }
        };
        File::open(self.shared.layout.container_file(folder, object_id))
    }

    /// Records the relay's receipt; both digests must be the object's own.
    pub async fn record_receipt(&self, receipt: Receipt) -> Result<(), SpoolError> {
        self.change(|reply| Change::Receipt { receipt, reply }).await
    }

    /// Records that the relay refused an object; it leaves the outbound list and shows on the page.
    /// Code `container_mismatch` has the container made again instead.
    pub async fn record_refusal(
        &self,
        object_id: &ObjectId,
        code: &str,
        text: &str,
    ) -> Result<(), SpoolError> {
        tracing::warn!(object.id = %object_id, code, text, "the relay refused an object");
        let (object_id, code) = (object_id.clone(), code.to_owned());
        if code == "container_mismatch" {
            return self.change(|reply| Change::CodeAgain { object_id, reply }).await;
        }
        self.change(|reply| Change::SetAside {
            object_id,
            state: ObjectState::Refused,
            code,
            reply,
        })
        .await
    }

    /// Studies that the relay has not confirmed whole at their current generation, open or closed.
    #[must_use]
    pub fn study_manifests(&self) -> Vec<StudyManifest> {
        let picture = self.shared.picture();
        let unconfirmed = picture
            .studies
            .values()
            .filter(|study| study.closed_at_ms.is_none() || study.confirmed_generation < study.generation);
        unconfirmed
            .filter_map(|study| {
                Some(StudyManifest {
                    study_instance_uid: study.study_instance_uid.clone().try_into().ok()?,
                    priority: study.priority,
                    closed: study.closed_at_ms.is_some(),
                    n_instances: study.instances.n_instances,
                    n_bytes_original: study.instances.original_len,
                    generation: study.generation,
                    withheld: study.withheld.clone(),
                })
            })
            .collect()
    }

    /// Records that the relay confirmed the manifest of a closed study at this generation.
    pub async fn record_manifest_confirmed(&self, study: &str, generation: u64) -> Result<(), SpoolError> {
        let study = study.to_owned();
        self.change(|reply| Change::ManifestConfirmed {
            study,
            generation,
            reply,
        })
        .await
    }

    /// The technologist's requests without an answer from the relay, oldest first.
    #[must_use]
    pub fn pending_requests(&self) -> Vec<RequestForm> {
        let picture = self.shared.picture();
        picture
            .requests
            .iter()
            .filter(|r| r.result.is_none())
            .map(|r| r.form.clone())
            .collect()
    }

    /// Records the relay's answer to a request.
    pub async fn record_request_result(
        &self,
        command_id: &CommandId,
        result: RequestResult,
    ) -> Result<(), SpoolError> {
        let command_id = command_id.clone();
        self.change(|reply| Change::RequestResult {
            command_id,
            result,
            reply,
        })
        .await
    }

    /// Records what the relay says about the reading of a study.
    pub async fn record_relay_update(&self, update: StudyUpdate) -> Result<(), SpoolError> {
        self.change(|reply| Change::RelayUpdate {
            update: Box::new(update),
            reply,
        })
        .await
    }

    /// Keeps a reading request form durably until the relay answers it. The same command again changes nothing.
    pub async fn add_request(&self, form: RequestForm) -> Result<(), SpoolError> {
        let path = self.shared.layout.request_file(&form.command_id);
        let json = serde_json::to_vec(&form).map_err(|error| SpoolError::Index(error.to_string()))?;
        let known = self
            .shared
            .picture()
            .requests
            .iter()
            .any(|r| r.form.command_id == form.command_id);
        if known {
            return Ok(());
        }
        tokio::task::spawn_blocking(move || layout::write_durably(&path, &json))
            .await
            .map_err(|_| SpoolError::Stopped)??;
        self.change(|reply| Change::Request {
            form: Box::new(form),
            reply,
        })
        .await
    }

    /// Closes a study: nothing more is expected of it. A later object reopens it.
    pub async fn close_study(&self, study: &str) -> Result<(), SpoolError> {
        let study = study.to_owned();
        self.change(|reply| Change::Close { study, reply }).await
    }

    /// Gives everything of a study that is still to be sent another priority.
    pub async fn set_priority(&self, study: &str, priority: Priority) -> Result<(), SpoolError> {
        let study = study.to_owned();
        self.change(|reply| Change::Prioritise {
            study,
            priority,
            reply,
        })
        .await
    }

    /// Held objects by study and the patient they name, the longest waiting first.
    #[must_use]
    pub fn held(&self) -> Vec<HeldPicture> {
        self.shared.picture().held.clone()
    }

    /// Lets held objects go to the relay after a person compared their patient with the study's; gives how many.
    /// `held_id` is that of one entry of [`Spool::held`]: objects that name yet another patient stay.
    pub async fn release_held(&self, held_id: &str) -> Result<u64, SpoolError> {
        let held = self.held().into_iter().find(|held| held.held_id == held_id);
        let held = held.ok_or(SpoolError::NotFound)?;
        self.change(|reply| Change::ReleaseHeld {
            study: held.study_instance_uid,
            patient: held.patient_json,
            reply,
        })
        .await
    }

    /// Takes held objects out of their study after a person found that they are of another patient; their bytes stay.
    /// Gives how many. `held_id` is that of one entry of [`Spool::held`].
    pub async fn dismiss_held(&self, held_id: &str) -> Result<u64, SpoolError> {
        let held = self.held().into_iter().find(|held| held.held_id == held_id);
        let held = held.ok_or(SpoolError::NotFound)?;
        self.change(|reply| Change::DismissHeld {
            study: held.study_instance_uid,
            patient: held.patient_json,
            reply,
        })
        .await
    }

    /// Deletes receipted objects past their retention now, but those someone else still has to take; gives how many.
    pub async fn delete_expired(&self) -> Result<usize, SpoolError> {
        keeper::delete_expired(&self.shared, true).await
    }

    /// Deletes objects receipted before an instant, whatever the retention time; gives how many. For an operator
    /// who needs room; an object without a receipt is never deleted.
    pub async fn delete_receipted_before(&self, before_ms: i64) -> Result<usize, SpoolError> {
        keeper::delete_receipted_before(&self.shared, before_ms).await
    }

    /// Forgets deleted instances of studies whose last object was deleted before an instant, and of which nothing is
    /// here; gives how many studies. The keeper does this by itself after [`SpoolOptions::delivered_memory_ms`].
    pub async fn forget_delivered_before(&self, before_ms: i64) -> Result<usize, SpoolError> {
        keeper::forget_delivered_before(&self.shared, before_ms).await
    }

    /// How far each object is; `None` for those that are gone. In the order of `ids`.
    pub async fn object_states(&self, ids: &[ObjectId]) -> Result<Vec<Option<ObjectStanding>>, SpoolError> {
        let ids = ids.to_vec();
        self.shared.read(move |db| index::list_states(db, &ids)).await
    }

    /// Instances of these studies, each SOP Instance UID once.
    #[must_use]
    pub fn count_instances<'a>(&self, study_instance_uids: impl IntoIterator<Item = &'a String>) -> u64 {
        let picture = self.shared.picture();
        let known = study_instance_uids
            .into_iter()
            .filter_map(|uid| picture.studies.get(uid));
        known.map(|study| study.instances.n_instances).sum()
    }

    /// All studies of which an object came that can be used, with their counts, the latest arrival first.
    #[must_use]
    pub fn studies(&self) -> Vec<StudyPicture> {
        let picture = self.shared.picture();
        let seen = picture.studies.values().filter(|study| !study.is_unseen());
        let mut studies: Vec<StudyPicture> = seen.cloned().collect();
        drop(picture);
        studies.sort_by_key(|study| std::cmp::Reverse(study.last_received_at_ms));
        studies
    }

    /// Requests with their answers, oldest first.
    #[must_use]
    pub fn requests(&self) -> Vec<RequestPicture> {
        self.shared.picture().requests.clone()
    }

    /// Quarantined objects nobody dismissed, newest first.
    #[must_use]
    pub fn quarantine(&self) -> Vec<QuarantineRow> {
        self.shared.picture().quarantine.iter().cloned().collect()
    }

    /// The conformance card of each modality, those with faults first.
    #[must_use]
    pub fn conformance(&self) -> Vec<Card> {
        self.shared.conformance.cards(self.shared.clock.now_ms())
    }

    /// Counts since start.
    #[must_use]
    pub fn counters(&self) -> Counters {
        self.shared.picture().counters
    }

    /// Studies with an open association that brought objects of them.
    #[must_use]
    pub fn receiving(&self) -> Vec<String> {
        self.shared.open_studies().keys().cloned().collect()
    }

    /// How full the disk is.
    pub fn room(&self) -> io::Result<Room> {
        self.shared.gauge.measure()
    }

    /// What is still to be sent.
    #[must_use]
    pub fn waiting(&self) -> Waiting {
        Waiting::of(&self.shared.picture())
    }

    /// Objects at the front of the line with the study each belongs to.
    #[must_use]
    pub fn line_by_study(&self) -> HashMap<String, Vec<ObjectId>> {
        let mut by_study: HashMap<String, Vec<ObjectId>> = HashMap::new();
        for object in self.shared.picture().in_line() {
            let study = object.study_instance_uid.as_str().to_owned();
            by_study.entry(study).or_default().push(object.object_id.clone());
        }
        by_study
    }

    async fn change<T>(&self, make: impl FnOnce(commit::Reply<T>) -> Change) -> Result<T, SpoolError> {
        let (reply, answer) = oneshot::channel();
        self.shared.send(make(reply)).await?;
        answer.await.map_err(|_| SpoolError::Stopped)?
    }
}

fn load_picture(db: &IndexDb, now_ms: i64) -> IndexResult<Picture> {
    let mut picture = Picture::default();
    for row in index::list_studies(db)? {
        picture.put_study(&row, now_ms);
    }
    for sum in index::sum_by_study(db)? {
        let Some(study) = picture.studies.get_mut(&sum.study_instance_uid) else {
            continue;
        };
        let is_first = ObjectState::ALL
            .iter()
            .all(|state| study.tally(*state).n_objects == 0);
        let tally = study.tally_mut(sum.state);
        tally.n_objects = sum.n_objects;
        tally.original_bytes = sum.original_len;
        tally.container_bytes = sum.container_len;
        study.n_revisions += sum.n_revisions;
        study.instances.n_instances += sum.n_instances;
        study.instances.original_len += sum.instance_len;
        if is_first {
            study.first_received_at_ms = sum.first_received_at_ms;
            study.last_received_at_ms = sum.last_received_at_ms;
        } else {
            study.first_received_at_ms = study.first_received_at_ms.min(sum.first_received_at_ms);
            study.last_received_at_ms = study.last_received_at_ms.max(sum.last_received_at_ms);
        }
    }
    for (study, instances) in index::sum_partly_delivered(db)? {
        if let Some(study) = picture.studies.get_mut(&study) {
            study.instances = instances;
        }
    }
    for row in index::list_requests(db)? {
        let Ok(form) = serde_json::from_str::<RequestForm>(&row.form) else {
            continue;
        };
        let result = row
            .result
            .as_deref()
            .and_then(|json| serde_json::from_str(json).ok());
        picture.requests.push(RequestPicture {
            form,
            result,
            answered_at_ms: row.answered_at_ms,
        });
    }
    picture.quarantine = index::list_quarantine(db, picture::QUARANTINE_SHOWN_MAX)?.into();
    picture.set_held(index::list_held_groups(db, picture::HELD_SHOWN_MAX)?);
    picture.set_line(index::list_outbound(db, OUTBOUND_OBJECTS_MAX)?);
    Ok(picture)
}

fn run_writer(committer: &Committer, waiting: mpsc::Receiver<Change>, stopping: &CancellationToken) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build();
    match runtime {
        Ok(runtime) => committer.run(&runtime, waiting, stopping),
        Err(error) => tracing::error!(%error, "the spool's commit thread cannot start"),
    }
}

fn folder_bytes(folder: &Path) -> io::Result<u64> {
    let mut sum = 0;
    for entry in std::fs::read_dir(folder)? {
        // What cannot be looked at takes no room in the count, and keeps nothing from starting.
        sum += entry?.metadata().map_or(0, |metadata| metadata.len());
    }
    Ok(sum)
}

/// Ends the process like a power cut would, when a test asks for this point. Not part of a release build.
pub(crate) fn crash_point(name: &str) {
    #[cfg(debug_assertions)]
    {
        use std::sync::OnceLock;
        use std::sync::atomic::AtomicI64;
        static WANTED: OnceLock<Option<(String, AtomicI64)>> = OnceLock::new();
        let wanted = WANTED.get_or_init(|| {
            let text = std::env::var("TANCHO_CRASH_POINT").ok()?;
            let (point, pass) = text.split_once(':').unwrap_or((&text, "1"));
            Some((point.to_owned(), AtomicI64::new(pass.parse().unwrap_or(1))))
        });
        if let Some((point, passes)) = wanted
            && point == name
            && passes.fetch_sub(1, Ordering::SeqCst) == 1
        {
            std::process::abort();
        }
    }
    #[cfg(not(debug_assertions))]
    let _ = name;
}
