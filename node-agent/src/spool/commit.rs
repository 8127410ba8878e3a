//! The one writer of the index: all changes waiting at a moment go into one transaction.
//!
//! A thread writes the rows of received objects while the associations make their files durable. The association whose
//! file is the last of them commits, so that its answer waits for no other thread; the objects of eight associations
//! that wait at the same time share one commit. Nobody is answered, and the picture shows nothing, before the commit is
//! durable.

mod change;
mod intake;
mod progress;
mod studies;
mod withheld;

use std::collections::{HashMap, HashSet};
use std::fs;
use std::path::PathBuf;
use std::sync::{Arc, Condvar, Mutex, OnceLock};

use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::index::{self, IndexDb, IndexResult, StudyRow};
use super::picture::{Effect, HELD_SHOWN_MAX};
use super::{OUTBOUND_OBJECTS_MAX, Shared, SpoolError, crash_point};
use crate::durable;

pub use change::{Change, Reply, Stored};

/// Changes that may wait for the writer; senders wait beyond that.
pub const COMMIT_QUEUE_MAX: usize = 1024;
/// Changes that share one transaction.
const COMMIT_BATCH_MAX: usize = 256;

/// What an applied change leads to once the commit is durable.
type Answer = Box<dyn FnOnce(Result<(), &str>) + Send>;

/// The writer as its thread and the associations share it.
pub struct Committer {
    /// None once it has stopped.
    writer: Mutex<Option<Writer>>,
    /// Signalled when the open batch may have ended.
    ended: Condvar,
}

/// Whether a received object's file became durable; empty while it is on its way.
pub type FileState = Arc<OnceLock<bool>>;

/// The promise to say of a file whether it became durable. Dropped without a word, the file counts as lost.
pub struct FileWord<'a> {
    committer: &'a Committer,
    state: FileState,
}

impl FileWord<'_> {
    /// What the writer looks at.
    #[must_use]
    pub fn state(&self) -> FileState {
        Arc::clone(&self.state)
    }

    /// The file and its name are durable; when its transaction waits for nothing else, it is committed here and now.
    pub fn say_durable(self) {
        self.state.set(true).ok();
    }
}

impl Drop for FileWord<'_> {
    fn drop(&mut self) {
        // Does nothing to a word that was given.
        self.state.set(false).ok();
        self.committer.file_is_settled();
    }
}

/// Wakes the writer's thread even when a commit panics, so that it can stop.
struct Wake<'a>(&'a Condvar);

impl Drop for Wake<'_> {
    fn drop(&mut self) {
        self.0.notify_all();
    }
}

impl Committer {
    /// Takes the index over from start-up.
    pub fn new(shared: Arc<Shared>, db: IndexDb) -> IndexResult<Self> {
        Ok(Self {
            writer: Mutex::new(Some(Writer::new(shared, db)?)),
            ended: Condvar::new(),
        })
    }

    /// A file whose row is about to be sent to the writer.
    pub fn await_file(&self) -> FileWord<'_> {
        FileWord {
            committer: self,
            state: FileState::default(),
        }
    }

    fn file_is_settled(&self) {
        let _wake = Wake(&self.ended);
        // A poisoned lock is a writer that panicked: its thread stops and every waiting caller is told.
        if let Ok(mut writer) = self.writer.lock()
            && let Some(writer) = writer.as_mut()
        {
            writer.commit_when_durable();
        }
    }

    /// Works until the spool stops; what waits by then is still committed. The runtime only waits: each commit blocks
    /// this thread.
    pub fn run(
        &self,
        runtime: &tokio::runtime::Runtime,
        mut changes: mpsc::Receiver<Change>,
        stopping: &CancellationToken,
    ) {
        let mut waiting = Vec::new();
        loop {
            let n_waiting = runtime.block_on(async {
                tokio::select! {
                    biased;
                    n = changes.recv_many(&mut waiting, COMMIT_BATCH_MAX) => Some(n),
                    () = stopping.cancelled(), if !changes.is_closed() => None,
                }
            });
            match n_waiting {
                Some(0) => break,
                Some(_) => {}
                None => {
                    changes.close();
                    continue;
                }
            }
            if !self.commit_together(std::mem::take(&mut waiting)) {
                break;
            }
        }
        if let Ok(mut writer) = self.writer.lock()
            && let Some(writer) = writer.take()
        {
            writer.close();
        }
    }

    /// Writes the rows of these changes and waits until they are committed, here or by an association; false when the
    /// writer can do no more.
    fn commit_together(&self, changes: Vec<Change>) -> bool {
        let Ok(mut guard) = self.writer.lock() else {
            return false;
        };
        if let Some(writer) = guard.as_mut() {
            writer.take(changes);
            writer.commit_when_durable();
        }
        let is_open =
            |writer: &mut Option<Writer>| writer.as_ref().is_some_and(|writer| writer.open.is_some());
        let Ok(mut guard) = self.ended.wait_while(guard, is_open) else {
            return false;
        };
        if let Some(writer) = guard.as_mut() {
            writer.begun = index::begin(&writer.db).is_ok();
        }
        true
    }
}

/// The writer's own state: a mirror of the study rows and the transaction that waits for files.
struct Writer {
    shared: Arc<Shared>,
    db: IndexDb,
    studies: HashMap<String, StudyRow>,
    /// Some of the studies of which no deleted instance is remembered.
    undelivered: HashSet<String>,
    /// The next transaction is begun while nobody waits for it.
    begun: bool,
    /// Rows that are written and wait for their files.
    open: Option<Batch>,
}

/// What one transaction collects.
#[derive(Default)]
struct Batch {
    effects: Vec<Effect>,
    answers: Vec<Answer>,
    /// Renamed files, removed again when the commit fails.
    renamed: Vec<PathBuf>,
    dirty_folders: HashSet<PathBuf>,
    /// Files of received objects that the commit waits for.
    files: Vec<FileState>,
    /// Files without use, removed after the commit.
    leftovers: Vec<PathBuf>,
    /// Files that change their place after the commit: where from, where to.
    moves: Vec<(PathBuf, PathBuf)>,
    /// There are new objects of stat priority for the coder.
    wakes_stat_coder: bool,
    /// There are others.
    wakes_coder: bool,
}

impl Batch {
    /// There may be new objects of any priority for the coder.
    fn wake_coder(&mut self) {
        (self.wakes_stat_coder, self.wakes_coder) = (true, true);
    }
}

impl Writer {
    fn new(shared: Arc<Shared>, db: IndexDb) -> IndexResult<Self> {
        let studies = index::list_studies(&db)?;
        let studies = studies
            .into_iter()
            .map(|row| (row.study_instance_uid.clone(), row))
            .collect();
        Ok(Self {
            shared,
            db,
            studies,
            undelivered: HashSet::new(),
            begun: false,
            open: None,
        })
    }

    /// Leaves the write-ahead log empty, so that the next start need not replay it.
    fn close(self) {
        if self.begun {
            index::rollback(&self.db).ok();
        }
        index::close(self.db);
    }

    /// Writes the rows of these changes; the transaction stays open until the files they speak of are durable.
    fn take(&mut self, changes: Vec<Change>) {
        let mut batch = Batch::default();
        match self.apply_all(changes, &mut batch) {
            Ok(()) => self.open = Some(batch),
            Err(error) => self.end(batch, Err(error)),
        }
    }

    fn apply_all(&mut self, changes: Vec<Change>, batch: &mut Batch) -> Result<(), SpoolError> {
        let mut failed = match self.begun {
            true => None,
            false => index::begin(&self.db).err().map(SpoolError::from),
        };
        self.begun = false;
        for change in changes {
            // After a failure the rest is still walked, so that every waiting caller gets its answer.
            if let Err(error) = self.apply(change, batch, failed.is_some()) {
                failed.get_or_insert(error);
            }
        }
        if let Some(error) = failed {
            return Err(error);
        }
        for folder in &batch.dirty_folders {
            durable::folder(folder)?;
        }
        Ok(())
    }

    /// Commits the open transaction unless it still waits for a file.
    fn commit_when_durable(&mut self) {
        let is_settled = |batch: &mut Batch| batch.files.iter().all(|file| file.get().is_some());
        let Some(batch) = self.open.take_if(is_settled) else {
            return;
        };
        let outcome = if batch.files.iter().all(|file| file.get() == Some(&true)) {
            index::commit(&self.db).map_err(SpoolError::from)
        } else {
            let lost = "a received file could not be made durable";
            Err(SpoolError::Io(std::io::Error::other(lost)))
        };
        if outcome.is_ok() {
            crash_point("stored.committed");
        }
        self.end(batch, outcome);
    }

    /// Shows and answers what became of a transaction.
    fn end(&mut self, batch: Batch, outcome: Result<(), SpoolError>) {
        match outcome {
            Ok(()) => {
                self.publish(batch.effects);
                for (from, to) in batch.moves {
                    // Where it is, it is found by a rebuilt index either way.
                    if let Err(error) = fs::rename(from, to) {
                        tracing::warn!(%error, "a file of the spool stays in its old place");
                    }
                }
                for answer in batch.answers {
                    answer(Ok(()));
                }
                for file in batch.leftovers {
                    fs::remove_file(file).ok();
                }
                if batch.wakes_stat_coder {
                    self.shared.coder_wake.stat.notify_one();
                }
                if batch.wakes_coder {
                    self.shared.coder_wake.others.notify_one();
                }
            }
            Err(error) => {
                let text = error.to_string();
                tracing::error!(error = %text, "a commit to the spool failed; nothing of it was acknowledged");
                index::rollback(&self.db).ok();
                for file in batch.renamed {
                    fs::remove_file(file).ok();
                }
                for answer in batch.answers {
                    answer(Err(&text));
                }
                self.undelivered.clear();
                match index::list_studies(&self.db) {
                    Ok(rows) => {
                        self.studies = rows
                            .into_iter()
                            .map(|row| (row.study_instance_uid.clone(), row))
                            .collect();
                    }
                    Err(error) => tracing::error!(%error, "the index cannot be read"),
                }
            }
        }
    }

    /// Shows what is durable now.
    fn publish(&mut self, effects: Vec<Effect>) {
        let now_ms = self.shared.clock.now_ms();
        let mut stale = false;
        let held_changed = effects.iter().any(Effect::changes_held);
        {
            let mut picture = self.shared.picture();
            for effect in effects {
                stale |= picture.apply(effect, now_ms);
            }
        }
        if stale {
            match index::list_outbound(&self.db, OUTBOUND_OBJECTS_MAX) {
                Ok(line) => self.shared.picture().set_line(line),
                Err(error) => tracing::error!(%error, "the line could not be read from the index"),
            }
        }
        if held_changed {
            match index::list_held_groups(&self.db, HELD_SHOWN_MAX) {
                Ok(rows) => self.shared.picture().set_held(rows),
                Err(error) => tracing::error!(%error, "the held objects could not be read from the index"),
            }
        }
        self.shared.changed.send_modify(|version| *version += 1);
    }

    fn apply(&mut self, change: Change, batch: &mut Batch, failed: bool) -> Result<(), SpoolError> {
        match change {
            Change::Store {
                object,
                label,
                folder,
                file,
                reply,
            } => {
                batch.files.push(file);
                let stored = unless(failed, || self.store(&object, &label, folder, batch));
                settle(stored, reply, batch)
            }
            Change::Quarantine { row, partial, reply } => {
                let done = unless(failed, || self.quarantine(row, partial, batch));
                settle(done, reply, batch)
            }
            Change::PlaceQuarantine {
                objects,
                study,
                reply,
            } => {
                let done = unless(failed, || self.place_quarantine(&objects, &study, batch));
                settle(done, reply, batch)
            }
            Change::Coded { objects, reply } => {
                let done = unless(failed, || self.coded(objects, batch));
                settle(done, reply, batch)
            }
            Change::SetAside {
                object_id,
                state,
                code,
                reply,
            } => {
                let done = unless(failed, || self.set_aside(&object_id, state, &code, batch));
                settle(done, reply, batch)
            }
            Change::CodeAgain { object_id, reply } => {
                let done = unless(failed, || self.code_again(&object_id, batch));
                settle(done, reply, batch)
            }
            Change::Receipt { receipt, reply } => {
                let done = unless(failed, || self.receipt(&receipt, batch));
                settle(done, reply, batch)
            }
            Change::ManifestConfirmed {
                study,
                generation,
                reply,
            } => {
                let done = unless(failed, || self.manifest_confirmed(&study, generation, batch));
                settle(done, reply, batch)
            }
            Change::Close { study, reply } => {
                let now_ms = self.shared.clock.now_ms();
                let done = self.change_study(&study, batch, failed, |row| {
                    row.closed_at_ms.get_or_insert(now_ms);
                });
                settle(done, reply, batch)
            }
            Change::Prioritise {
                study,
                priority,
                reply,
            } => {
                let done = self
                    .change_study(&study, batch, failed, |row| row.priority = priority)
                    .and_then(|()| Ok(index::set_priority(&self.db, &study, priority)?));
                batch.effects.push(Effect::LineChanged);
                batch.wake_coder();
                settle(done, reply, batch)
            }
            Change::ReleaseHeld {
                study,
                patient,
                reply,
            } => {
                let done = unless(failed, || self.release_held(&study, patient.as_deref(), batch));
                settle(done, reply, batch)
            }
            Change::DismissHeld {
                study,
                patient,
                reply,
            } => {
                let done = unless(failed, || self.dismiss_held(&study, patient.as_deref(), batch));
                settle(done, reply, batch)
            }
            Change::Request { form, reply } => {
                let done = unless(failed, || self.request(form, batch));
                settle(done, reply, batch)
            }
            Change::RequestResult {
                command_id,
                result,
                reply,
            } => {
                let done = unless(failed, || self.request_result(command_id, result, batch));
                settle(done, reply, batch)
            }
            Change::RelayUpdate { update, reply } => {
                let json =
                    serde_json::to_string(&update).map_err(|error| SpoolError::Index(error.to_string()));
                let study = update.study_instance_uid.as_str().to_owned();
                let done = match json {
                    Ok(json) => self.change_study(&study, batch, failed, |row| row.relay_update = Some(json)),
                    Err(error) => Err(error),
                };
                settle(done, reply, batch)
            }
            Change::Delete { objects, reply } => {
                let done = unless(failed, || self.delete(&objects, batch));
                settle(done, reply, batch)
            }
            Change::ForgetDelivered { studies, reply } => {
                let done = unless(failed, || self.forget_delivered(&studies));
                settle(done, reply, batch)
            }
            Change::Dismiss { object_id, reply } => {
                let done = unless(failed, || self.dismiss_quarantine(object_id, batch));
                settle(done, reply, batch)
            }
        }
    }
}

/// Leaves a change out when another one of its transaction has failed.
fn unless<T>(failed: bool, apply: impl FnOnce() -> Result<T, SpoolError>) -> Result<T, SpoolError> {
    if failed { Err(SpoolError::batch()) } else { apply() }
}

/// Keeps an answer until the commit; refusals that leave the transaction whole do not stop it.
fn settle<T: Send + 'static>(
    done: Result<T, SpoolError>,
    reply: Reply<T>,
    batch: &mut Batch,
) -> Result<(), SpoolError> {
    match done {
        Ok(value) if durable::ANSWERS_EARLY => {
            reply.send(Ok(value)).ok();
            Ok(())
        }
        Ok(value) => {
            batch.answers.push(Box::new(move |committed| {
                reply
                    .send(
                        committed
                            .map(|()| value)
                            .map_err(|text| SpoolError::Index(text.to_owned())),
                    )
                    .ok();
            }));
            Ok(())
        }
        Err(refusal @ (SpoolError::NotFound | SpoolError::ReceiptMismatch)) => {
            reply.send(Err(refusal)).ok();
            Ok(())
        }
        Err(error) => {
            let text = error.to_string();
            reply.send(Err(error)).ok();
            Err(SpoolError::Index(text))
        }
    }
}
