//! The one writer of the index: a thread that takes all changes waiting at a moment into one transaction.
//!
//! Rows of received objects are written while their files are made durable; the commit waits for the last of them,
//! and the objects of eight associations that wait at the same time share it. Nobody is answered, and the picture
//! shows nothing, before the commit is durable.

mod change;
mod intake;
mod progress;
mod studies;
mod withheld;

use std::collections::{HashMap, HashSet};
use std::fs;
use std::path::PathBuf;
use std::sync::Arc;

use tokio::sync::{mpsc, oneshot};
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

/// The writer's own state: a mirror of the study rows and the folder being filled.
pub struct Writer {
    shared: Arc<Shared>,
    db: IndexDb,
    studies: HashMap<String, StudyRow>,
    /// Some of the studies of which no deleted instance is remembered.
    undelivered: HashSet<String>,
    /// The next transaction is begun while nobody waits for it.
    begun: bool,
}

/// What one transaction collects.
#[derive(Default)]
struct Batch {
    effects: Vec<Effect>,
    answers: Vec<Answer>,
    /// Renamed files, removed again when the commit fails.
    renamed: Vec<PathBuf>,
    dirty_folders: HashSet<PathBuf>,
    /// Files of received objects that are on their way to being durable.
    durables: Vec<oneshot::Receiver<()>>,
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
    /// Takes the index over from start-up.
    pub fn new(shared: Arc<Shared>, db: IndexDb) -> IndexResult<Self> {
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
        })
    }

    /// Works until the spool stops; what waits by then is still committed. The runtime only waits: each commit blocks
    /// this thread.
    pub fn run(
        mut self,
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
            self.commit_together(std::mem::take(&mut waiting));
            self.begun = index::begin(&self.db).is_ok();
        }
        if self.begun {
            index::rollback(&self.db).ok();
        }
        // Leaves the write-ahead log empty, so that the next start need not replay it.
        index::close(self.db);
    }

    fn commit_together(&mut self, changes: Vec<Change>) {
        let mut batch = Batch::default();
        let outcome = self.try_commit(changes, &mut batch);
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

    fn try_commit(&mut self, changes: Vec<Change>, batch: &mut Batch) -> Result<(), SpoolError> {
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
        for is_durable in batch.durables.drain(..) {
            let lost = || SpoolError::Io(std::io::Error::other("a received file could not be made durable"));
            is_durable.blocking_recv().map_err(|_| lost())?;
        }
        index::commit(&self.db)?;
        crash_point("stored.committed");
        Ok(())
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
                durable,
                reply,
            } => {
                batch.durables.push(durable);
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
