//! The one writer of the index: a thread that takes all changes waiting at a moment into one transaction.
//!
//! For received objects its order is insert, rename, folder fsync, commit, answer; the objects of eight
//! associations that wait at the same time share the folder fsync and the commit. Nobody is answered, and
//! the picture shows nothing, before the commit is durable.

use std::collections::{HashMap, HashSet};
use std::fs::{self, File};
use std::path::PathBuf;
use std::sync::Arc;

use tancho_domain::dicom::Priority;
use tancho_domain::ids::{CommandId, ObjectId};
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;

use super::index::{self, CodedObject, IndexDb, IndexResult, NewObject, QuarantineRow, StudyRow};
use super::layout::{self, Layout, OBJECTS_PER_FOLDER};
use super::outbound::{Receipt, RequestForm, RequestResult, StudyUpdate};
use super::picture::Effect;
use super::studies::{ObjectState, StudyLabel, first_generation};
use super::{OUTBOUND_OBJECTS_MAX, Shared, SpoolError, crash_point};

/// Changes that may wait for the writer; senders wait beyond that.
pub const COMMIT_QUEUE_MAX: usize = 1024;
/// Changes that share one transaction.
const COMMIT_BATCH_MAX: usize = 256;

/// Where an answer goes.
pub type Reply<T> = oneshot::Sender<Result<T, SpoolError>>;

/// What became of a received object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Stored {
    /// It is new.
    New {
        /// Our identifier.
        object_id: ObjectId,
        /// 1, or more when the SOP Instance UID was here with other bytes.
        revision: u64,
    },
    /// The same bytes were here already.
    Duplicate {
        /// Identifier of the copy that stays.
        object_id: ObjectId,
    },
}

impl Stored {
    /// Identifier under which the bytes are in the spool.
    #[must_use]
    pub fn object_id(&self) -> &ObjectId {
        match self {
            Self::New { object_id, .. } | Self::Duplicate { object_id } => object_id,
        }
    }
}

/// A change of the spool's state.
pub enum Change {
    /// A received object whose file is fsynced.
    Store {
        object: Box<NewObject>,
        label: Box<StudyLabel>,
        partial: PathBuf,
        reply: Reply<Stored>,
    },
    /// A received object that cannot be used; no file when there was no room for it.
    Quarantine {
        row: QuarantineRow,
        partial: Option<PathBuf>,
        reply: Reply<()>,
    },
    /// Containers that are durable.
    Coded {
        objects: Vec<CodedObject>,
        reply: Reply<()>,
    },
    /// An object that the coder or the relay had to give up.
    SetAside {
        object_id: ObjectId,
        state: ObjectState,
        code: String,
        reply: Reply<()>,
    },
    /// An object whose container must be made again.
    CodeAgain { object_id: ObjectId, reply: Reply<()> },
    /// The relay's receipt.
    Receipt { receipt: Receipt, reply: Reply<()> },
    /// The relay holds a closed study whole.
    ManifestConfirmed {
        study: String,
        generation: u64,
        reply: Reply<()>,
    },
    /// Nothing more is expected of a study.
    Close { study: String, reply: Reply<()> },
    /// Another priority for a study.
    Prioritise {
        study: String,
        priority: Priority,
        reply: Reply<()>,
    },
    /// A person looked at a study's held objects and lets them go.
    ReleaseHeld { study: String, reply: Reply<()> },
    /// A reading request form, its file already durable.
    Request {
        form: Box<RequestForm>,
        reply: Reply<()>,
    },
    /// The relay's answer to a form.
    RequestResult {
        command_id: CommandId,
        result: RequestResult,
        reply: Reply<()>,
    },
    /// News about the reading of a study.
    RelayUpdate {
        update: Box<StudyUpdate>,
        reply: Reply<()>,
    },
    /// Objects whose files were deleted after receipt and retention.
    Delete {
        objects: Vec<ObjectId>,
        reply: Reply<()>,
    },
    /// A quarantined object nobody needs to see any more.
    Dismiss { object_id: ObjectId, reply: Reply<()> },
}

/// What an applied change leads to once the commit is durable.
type Answer = Box<dyn FnOnce(Result<(), &str>) + Send>;

/// The writer's own state: a mirror of the study rows and the folder being filled.
pub struct Writer {
    shared: Arc<Shared>,
    db: IndexDb,
    studies: HashMap<String, StudyRow>,
    folder: i64,
    n_in_folder: u64,
    /// The folder being filled, open for its fsyncs.
    folder_handle: Option<File>,
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
    /// Objects were renamed into the folder being filled.
    fills_folder: bool,
    /// Files without use, removed after the commit.
    leftovers: Vec<PathBuf>,
    wakes_coder: bool,
}

impl Writer {
    /// Takes the index over from start-up.
    pub async fn new(shared: Arc<Shared>, mut db: IndexDb) -> IndexResult<Self> {
        let studies = index::list_studies(&mut db).await?;
        let (folder, n_in_folder) = index::newest_folder(&mut db).await?;
        let studies = studies
            .into_iter()
            .map(|row| (row.study_instance_uid.clone(), row))
            .collect();
        Ok(Self {
            shared,
            db,
            studies,
            folder,
            n_in_folder,
            folder_handle: None,
            begun: false,
        })
    }

    /// Works until the spool stops; what waits by then is still committed.
    pub async fn run(mut self, mut changes: mpsc::Receiver<Change>, stopping: &CancellationToken) {
        let mut waiting = Vec::new();
        loop {
            tokio::select! {
                biased;
                n = changes.recv_many(&mut waiting, COMMIT_BATCH_MAX) => if n == 0 { break },
                () = stopping.cancelled(), if !changes.is_closed() => {
                    changes.close();
                    continue;
                }
            }
            self.commit_together(std::mem::take(&mut waiting)).await;
            self.begun = index::begin(&mut self.db).await.is_ok();
        }
        if self.begun {
            index::rollback(&mut self.db).await.ok();
        }
        // Leaves the write-ahead log empty, so that the next start need not replay it.
        index::close(self.db).await;
    }

    async fn commit_together(&mut self, changes: Vec<Change>) {
        let mut batch = Batch::default();
        let outcome = self.try_commit(changes, &mut batch).await;
        match outcome {
            Ok(()) => {
                self.publish(batch.effects).await;
                for answer in batch.answers {
                    answer(Ok(()));
                }
                for file in batch.leftovers {
                    fs::remove_file(file).ok();
                }
                if batch.wakes_coder {
                    self.shared.coder_wake.notify_one();
                }
            }
            Err(error) => {
                let text = error.to_string();
                tracing::error!(error = %text, "a commit to the spool failed; nothing of it was acknowledged");
                index::rollback(&mut self.db).await.ok();
                for file in batch.renamed {
                    fs::remove_file(file).ok();
                }
                for answer in batch.answers {
                    answer(Err(&text));
                }
                match index::list_studies(&mut self.db).await {
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

    async fn try_commit(&mut self, changes: Vec<Change>, batch: &mut Batch) -> Result<(), SpoolError> {
        let mut failed = match self.begun {
            true => None,
            false => index::begin(&mut self.db).await.err().map(SpoolError::from),
        };
        self.begun = false;
        for change in changes {
            // After a failure the rest is still walked, so that every waiting caller gets its answer.
            if let Err(error) = self.apply(change, batch, failed.is_some()).await {
                failed.get_or_insert(error);
            }
        }
        if let Some(error) = failed {
            return Err(error);
        }
        crash_point("stored.renamed");
        if batch.fills_folder
            && let Some(folder) = &self.folder_handle
        {
            folder.sync_all()?;
        }
        for folder in &batch.dirty_folders {
            layout::sync_folder(folder)?;
        }
        crash_point("stored.folder_synced");
        index::commit(&mut self.db).await?;
        crash_point("stored.committed");
        Ok(())
    }

    /// Shows what is durable now.
    async fn publish(&mut self, effects: Vec<Effect>) {
        let now_ms = self.shared.clock.now_ms();
        let mut stale = false;
        {
            let mut picture = self.shared.picture();
            for effect in effects {
                stale |= picture.apply(effect, now_ms);
            }
        }
        if stale {
            match index::list_outbound(&mut self.db, OUTBOUND_OBJECTS_MAX).await {
                Ok(line) => self.shared.picture().set_line(line),
                Err(error) => tracing::error!(%error, "the line could not be read from the index"),
            }
        }
        self.shared.changed.send_modify(|version| *version += 1);
    }

    async fn apply(&mut self, change: Change, batch: &mut Batch, failed: bool) -> Result<(), SpoolError> {
        match change {
            Change::Store {
                object,
                label,
                partial,
                reply,
            } => {
                let stored = if failed {
                    Err(SpoolError::batch())
                } else {
                    self.store(&object, &label, &partial, batch).await
                };
                settle(stored, reply, batch)
            }
            Change::Quarantine { row, partial, reply } => {
                let done = if failed {
                    Err(SpoolError::batch())
                } else {
                    self.quarantine(row, partial, batch).await
                };
                settle(done, reply, batch)
            }
            Change::Coded { objects, reply } => {
                let done = if failed {
                    Err(SpoolError::batch())
                } else {
                    self.coded(objects, batch).await
                };
                settle(done, reply, batch)
            }
            Change::SetAside {
                object_id,
                state,
                code,
                reply,
            } => {
                let done = if failed {
                    Err(SpoolError::batch())
                } else {
                    self.set_aside(&object_id, state, &code, batch).await
                };
                settle(done, reply, batch)
            }
            Change::CodeAgain { object_id, reply } => {
                let done = if failed {
                    Err(SpoolError::batch())
                } else {
                    self.code_again(&object_id, batch).await
                };
                settle(done, reply, batch)
            }
            Change::Receipt { receipt, reply } => {
                let done = if failed {
                    Err(SpoolError::batch())
                } else {
                    self.receipt(&receipt, batch).await
                };
                settle(done, reply, batch)
            }
            Change::ManifestConfirmed {
                study,
                generation,
                reply,
            } => {
                let done = self
                    .change_study(&study, batch, failed, |row| {
                        row.confirmed_generation =
                            row.confirmed_generation.max(generation.min(row.generation));
                    })
                    .await;
                settle(done, reply, batch)
            }
            Change::Close { study, reply } => {
                let now_ms = self.shared.clock.now_ms();
                let done = self
                    .change_study(&study, batch, failed, |row| {
                        row.closed_at_ms.get_or_insert(now_ms);
                    })
                    .await;
                settle(done, reply, batch)
            }
            Change::Prioritise {
                study,
                priority,
                reply,
            } => {
                let done = self
                    .change_study(&study, batch, failed, |row| row.priority = priority)
                    .await;
                let done = match done {
                    Ok(()) => index::set_priority(&mut self.db, &study, priority)
                        .await
                        .map_err(SpoolError::from),
                    Err(error) => Err(error),
                };
                batch.effects.push(Effect::LineChanged);
                settle(done, reply, batch)
            }
            Change::ReleaseHeld { study, reply } => {
                let done = if failed {
                    Err(SpoolError::batch())
                } else {
                    index::release_held(&mut self.db, &study)
                        .await
                        .map_err(SpoolError::from)
                };
                batch.effects.push(Effect::Released { study });
                batch.wakes_coder = true;
                settle(done, reply, batch)
            }
            Change::Request { form, reply } => {
                let done = if failed {
                    Err(SpoolError::batch())
                } else {
                    self.request(form, batch).await
                };
                settle(done, reply, batch)
            }
            Change::RequestResult {
                command_id,
                result,
                reply,
            } => {
                let done = if failed {
                    Err(SpoolError::batch())
                } else {
                    self.request_result(command_id, result, batch).await
                };
                settle(done, reply, batch)
            }
            Change::RelayUpdate { update, reply } => {
                let json =
                    serde_json::to_string(&update).map_err(|error| SpoolError::Index(error.to_string()));
                let study = update.study_instance_uid.as_str().to_owned();
                let done = match json {
                    Ok(json) => {
                        self.change_study(&study, batch, failed, |row| row.relay_update = Some(json))
                            .await
                    }
                    Err(error) => Err(error),
                };
                settle(done, reply, batch)
            }
            Change::Delete { objects, reply } => {
                let done = if failed {
                    Err(SpoolError::batch())
                } else {
                    self.delete(&objects, batch).await
                };
                settle(done, reply, batch)
            }
            Change::Dismiss { object_id, reply } => {
                let now_ms = self.shared.clock.now_ms();
                let done = match index::dismiss_quarantine(&mut self.db, &object_id, now_ms).await {
                    Ok(true) => Ok(()),
                    Ok(false) => Err(SpoolError::NotFound),
                    Err(error) => Err(error.into()),
                };
                batch.effects.push(Effect::Dismissed(object_id));
                settle(done, reply, batch)
            }
        }
    }

    async fn store(
        &mut self,
        object: &NewObject,
        label: &StudyLabel,
        partial: &PathBuf,
        batch: &mut Batch,
    ) -> Result<Stored, SpoolError> {
        let mut object = object.clone();
        let known = self.studies.get(object.study_instance_uid.as_str()).cloned();
        if known
            .as_ref()
            .is_some_and(|known| known.label.patient.contradicts(&label.patient))
        {
            object.state = ObjectState::Held;
            object.reason = Some("patient_differs");
        }
        if let Some(known) = &known {
            object.priority = object.priority.min(known.priority);
        }
        self.choose_folder(batch)?;
        let mut inserted = index::insert_object(&mut self.db, &object, self.folder).await?;
        if inserted.is_none()
            && let Some(revision) = index::forget_damaged_copy(&mut self.db, &object).await?
        {
            batch.effects.push(Effect::Moved {
                study: object.study_instance_uid.as_str().to_owned(),
                from: ObjectState::Damaged,
                to: None,
                original_bytes: object.original_len,
                container_bytes: 0,
                is_revision: revision > 1,
            });
            inserted = index::insert_object(&mut self.db, &object, self.folder).await?;
        }
        let Some((_, revision)) = inserted else {
            batch.leftovers.push(partial.clone());
            batch
                .effects
                .push(Effect::Count(|counters| counters.n_duplicates += 1));
            let first = index::find_same_bytes(&mut self.db, &object)
                .await?
                .ok_or(SpoolError::NotFound)?;
            self.send_refused_again(&first, batch).await?;
            return Ok(Stored::Duplicate { object_id: first });
        };
        let file = self.shared.layout.object_file(self.folder, &object.object_id);
        fs::rename(partial, &file)?;
        self.n_in_folder += 1;
        batch.renamed.push(file);
        batch.fills_folder = true;
        self.note_arrival(known, &object, label, batch).await?;
        batch.effects.push(Effect::Arrived {
            study: object.study_instance_uid.as_str().to_owned(),
            state: object.state,
            original_bytes: object.original_len,
            is_revision: revision > 1,
            at_ms: object.received_at_ms,
        });
        batch.wakes_coder = true;
        Ok(Stored::New {
            object_id: object.object_id,
            revision,
        })
    }

    /// A person who sends a refused object again has mended why it was refused: it is offered again.
    async fn send_refused_again(
        &mut self,
        object_id: &ObjectId,
        batch: &mut Batch,
    ) -> Result<(), SpoolError> {
        let known = index::find_object(&mut self.db, object_id).await?;
        if known.is_some_and(|known| known.state == ObjectState::Refused) {
            self.set_aside(object_id, ObjectState::Stored, "sent_again", batch)
                .await?;
            batch.wakes_coder = true;
        }
        Ok(())
    }

    /// Moves on to the next numbered folder when this one is full.
    fn choose_folder(&mut self, batch: &mut Batch) -> Result<(), SpoolError> {
        if self.n_in_folder >= OBJECTS_PER_FOLDER || self.folder == 0 {
            if std::mem::take(&mut batch.fills_folder) {
                batch
                    .dirty_folders
                    .insert(self.shared.layout.object_folder(self.folder));
            }
            self.folder += 1;
            self.n_in_folder = 0;
            self.folder_handle = None;
        }
        if self.folder_handle.is_none() {
            let folder = self.shared.layout.object_folder(self.folder);
            Layout::ensure_folder(&folder)?;
            self.folder_handle = Some(File::open(folder)?);
        }
        Ok(())
    }

    /// Opens the study, or reopens it when it was closed; writes its row only when something changed.
    async fn note_arrival(
        &mut self,
        known: Option<StudyRow>,
        object: &NewObject,
        label: &StudyLabel,
        batch: &mut Batch,
    ) -> Result<(), SpoolError> {
        let study = object.study_instance_uid.as_str();
        let (row, changed) = match known {
            None => {
                let row = StudyRow {
                    study_instance_uid: study.to_owned(),
                    label: label.clone(),
                    priority: object.priority,
                    generation: first_generation(self.shared.clock.now_ms()),
                    confirmed_generation: 0,
                    closed_at_ms: None,
                    relay_update: None,
                };
                (row, true)
            }
            Some(mut row) => {
                let mut changed = row.label.add_modalities(&label.modalities);
                if row.closed_at_ms.take().is_some() {
                    row.generation += 1;
                    changed = true;
                }
                if object.priority < row.priority {
                    row.priority = object.priority;
                    index::set_priority(&mut self.db, study, object.priority).await?;
                    batch.effects.push(Effect::LineChanged);
                    changed = true;
                }
                (row, changed)
            }
        };
        if changed {
            self.put_study(row, batch).await?;
        }
        Ok(())
    }

    async fn put_study(&mut self, row: StudyRow, batch: &mut Batch) -> Result<(), SpoolError> {
        index::put_study(&mut self.db, &row).await?;
        self.studies.insert(row.study_instance_uid.clone(), row.clone());
        batch.effects.push(Effect::Study(Box::new(row)));
        Ok(())
    }

    async fn change_study(
        &mut self,
        study: &str,
        batch: &mut Batch,
        failed: bool,
        change: impl FnOnce(&mut StudyRow),
    ) -> Result<(), SpoolError> {
        if failed {
            return Err(SpoolError::batch());
        }
        let mut row = self.studies.get(study).cloned().ok_or(SpoolError::NotFound)?;
        change(&mut row);
        self.put_study(row, batch).await
    }

    async fn quarantine(
        &mut self,
        row: QuarantineRow,
        partial: Option<PathBuf>,
        batch: &mut Batch,
    ) -> Result<(), SpoolError> {
        index::insert_quarantine(&mut self.db, &row).await?;
        if let Some(partial) = partial {
            let file = self.shared.layout.quarantine_file(&row.object_id);
            fs::rename(partial, &file)?;
            batch.renamed.push(file);
            batch.dirty_folders.insert(self.shared.layout.quarantine());
        }
        batch.effects.push(Effect::Quarantined(row));
        Ok(())
    }

    async fn coded(&mut self, objects: Vec<CodedObject>, batch: &mut Batch) -> Result<(), SpoolError> {
        for coded in objects {
            if !index::set_coded(&mut self.db, &coded).await? {
                continue;
            }
            let known = index::find_object(&mut self.db, &coded.object_id).await?;
            if let Some(queued) = index::get_outbound(&mut self.db, &coded.object_id).await? {
                batch.effects.push(Effect::Coded {
                    is_revision: known.is_some_and(|known| known.is_revision),
                    study: queued.object.study_instance_uid.as_str().to_owned(),
                    original_bytes: queued.object.original_len,
                    queued: Box::new(queued),
                });
            }
        }
        Ok(())
    }

    async fn set_aside(
        &mut self,
        object_id: &ObjectId,
        state: ObjectState,
        code: &str,
        batch: &mut Batch,
    ) -> Result<(), SpoolError> {
        let object = index::find_object(&mut self.db, object_id)
            .await?
            .ok_or(SpoolError::NotFound)?;
        if object.state == ObjectState::Receipted {
            return Ok(());
        }
        index::set_state(&mut self.db, object_id, state, Some(code), None).await?;
        if state == ObjectState::Damaged {
            batch
                .effects
                .push(Effect::Count(|counters| counters.n_damaged += 1));
        }
        batch.effects.push(Effect::LeftLine(object_id.clone()));
        batch.effects.push(Effect::Moved {
            study: object.study_instance_uid,
            from: object.state,
            to: Some(state),
            original_bytes: object.original_len,
            container_bytes: object.container_len,
            is_revision: object.is_revision,
        });
        Ok(())
    }

    async fn code_again(&mut self, object_id: &ObjectId, batch: &mut Batch) -> Result<(), SpoolError> {
        self.set_aside(object_id, ObjectState::Stored, "coded_again", batch)
            .await?;
        batch.wakes_coder = true;
        Ok(())
    }

    async fn receipt(&mut self, receipt: &Receipt, batch: &mut Batch) -> Result<(), SpoolError> {
        let object = index::find_object(&mut self.db, &receipt.object_id)
            .await?
            .ok_or(SpoolError::NotFound)?;
        let names_it = object.original_sha256 == receipt.original_sha256
            && object.container_sha256 == Some(receipt.container_sha256);
        if !names_it {
            return Err(SpoolError::ReceiptMismatch);
        }
        if object.state == ObjectState::Receipted {
            return Ok(());
        }
        // Retention counts from our own clock: the relay's may be wrong.
        let now_ms = self.shared.clock.now_ms();
        index::set_state(
            &mut self.db,
            &receipt.object_id,
            ObjectState::Receipted,
            None,
            Some(now_ms),
        )
        .await?;
        batch
            .effects
            .push(Effect::Count(|counters| counters.n_receipts += 1));
        batch.effects.push(Effect::LeftLine(receipt.object_id.clone()));
        batch.effects.push(Effect::Moved {
            study: object.study_instance_uid,
            from: object.state,
            to: Some(ObjectState::Receipted),
            original_bytes: object.original_len,
            container_bytes: object.container_len,
            is_revision: object.is_revision,
        });
        Ok(())
    }

    async fn request(&mut self, form: Box<RequestForm>, batch: &mut Batch) -> Result<(), SpoolError> {
        let json = serde_json::to_string(&form).map_err(|error| SpoolError::Index(error.to_string()))?;
        let study = form.study_instance_uid.as_str();
        if index::insert_request(&mut self.db, &form.command_id, study, &json, form.created_at_ms).await? {
            batch.effects.push(Effect::Requested(form));
        }
        Ok(())
    }

    async fn request_result(
        &mut self,
        command_id: CommandId,
        result: RequestResult,
        batch: &mut Batch,
    ) -> Result<(), SpoolError> {
        let json = serde_json::to_string(&result).map_err(|error| SpoolError::Index(error.to_string()))?;
        let at_ms = self.shared.clock.now_ms();
        if !index::set_request_result(&mut self.db, &command_id, &json, at_ms).await? {
            return Err(SpoolError::NotFound);
        }
        batch.leftovers.push(self.shared.layout.request_file(&command_id));
        batch.effects.push(Effect::Answered {
            command_id,
            result,
            at_ms,
        });
        Ok(())
    }

    async fn delete(&mut self, objects: &[ObjectId], batch: &mut Batch) -> Result<(), SpoolError> {
        for object_id in objects {
            let Some(object) = index::find_object(&mut self.db, object_id).await? else {
                continue;
            };
            index::delete_object(&mut self.db, object_id).await?;
            batch
                .effects
                .push(Effect::Count(|counters| counters.n_deleted += 1));
            batch.effects.push(Effect::Moved {
                study: object.study_instance_uid,
                from: object.state,
                to: None,
                original_bytes: object.original_len,
                container_bytes: object.container_len,
                is_revision: object.is_revision,
            });
        }
        let gone = index::delete_empty_studies(&mut self.db).await?;
        for study in &gone {
            self.studies.remove(study);
        }
        batch.effects.push(Effect::Forgotten(gone));
        Ok(())
    }
}

/// Keeps an answer until the commit; refusals that leave the transaction whole do not stop it.
fn settle<T: Send + 'static>(
    done: Result<T, SpoolError>,
    reply: Reply<T>,
    batch: &mut Batch,
) -> Result<(), SpoolError> {
    match done {
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
