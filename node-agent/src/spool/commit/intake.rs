//! Objects that enter the spool: stored, held back, or put in quarantine, and the study they open or reopen.

use std::fs;
use std::path::PathBuf;

use tancho_domain::dicom::Priority;
use tancho_domain::ids::ObjectId;

use super::{Batch, Stored, Writer};
use crate::spool::SpoolError;
use crate::spool::index::{self, NewObject, Numbering, QuarantineRow, StudyRow};
use crate::spool::picture::Effect;
use crate::spool::studies::{ObjectState, StudyLabel};

/// Studies remembered as those of which nothing was delivered and deleted.
const UNDELIVERED_STUDIES_MAX: usize = 1024;

impl Writer {
    pub(super) fn store(
        &mut self,
        object: &NewObject,
        label: &StudyLabel,
        folder: i64,
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
            object.held_patient = Some(label.patient.to_json()?);
        }
        if let Some(known) = &known {
            object.priority = object.priority.min(known.priority);
        }
        let (study, sop) = (
            object.study_instance_uid.as_str(),
            object.sop_instance_uid.as_str(),
        );
        let delivered = if self.has_delivered(study)? {
            index::number_after_delivered(&self.db, study, sop, &object.original_sha256)?
        } else {
            None
        };
        let mut numbering = delivered.unwrap_or(Numbering::Above(0));
        let mut inserted = index::insert_object(&self.db, &object, folder, numbering)?;
        let mut replaces = false;
        if inserted.is_none()
            && let Some(copy) = index::forget_damaged_copy(&self.db, &object)?
        {
            let layout = &self.shared.layout;
            batch
                .leftovers
                .push(layout.container_file(copy.folder, &copy.object_id));
            batch
                .leftovers
                .push(layout.object_file(copy.folder, &copy.object_id));
            batch.effects.push(Effect::Moved {
                study: study.to_owned(),
                from: copy.state,
                to: None,
                original_bytes: object.original_len,
                container_bytes: copy.container_len,
            });
            replaces = true;
            numbering = Numbering::Again(copy.revision);
            inserted = index::insert_object(&self.db, &object, folder, numbering)?;
        }
        let Some(revision) = inserted else {
            batch
                .effects
                .push(Effect::Count(|counters| counters.n_duplicates += 1));
            let first = index::find_same_bytes(&self.db, &object)?.ok_or(SpoolError::NotFound)?;
            self.send_refused_again(&first, batch)?;
            return Ok(Stored::Duplicate { object_id: first });
        };
        // Numbered first after no other: the usual case needs no further look.
        let is_alone = numbering == Numbering::Above(0) && revision == 1;
        let is_counted = !is_alone && index::has_other(&self.db, study, sop, &object.object_id)?;
        let is_new_study = known.is_none();
        self.note_arrival(known, &object, label, batch)?;
        batch.effects.push(Effect::Arrived {
            study: object.study_instance_uid.as_str().to_owned(),
            state: object.state,
            original_bytes: object.original_len,
            is_revision: revision > 1,
            is_first: object.state != ObjectState::Held && !is_counted && !replaces && delivered.is_none(),
            at_ms: object.received_at_ms,
        });
        if is_new_study || object.state == ObjectState::Held {
            self.note_withheld(object.study_instance_uid.as_str(), batch)?;
        } else {
            self.note_resolved(object.study_instance_uid.as_str(), batch)?;
        }
        match object.priority {
            Priority::Stat => batch.wakes_stat_coder = true,
            Priority::Urgent | Priority::Routine => batch.wakes_coder = true,
        }
        Ok(Stored::New {
            object_id: object.object_id,
            revision,
        })
    }

    /// A person who sends a refused object again has mended why it was refused: it is offered again.
    fn send_refused_again(&mut self, object_id: &ObjectId, batch: &mut Batch) -> Result<(), SpoolError> {
        let known = index::find_object(&self.db, object_id)?;
        if known.is_some_and(|known| known.state == ObjectState::Refused) {
            self.set_aside(object_id, ObjectState::Stored, "sent_again", batch)?;
            batch.wake_coder();
        }
        Ok(())
    }

    /// Whether deleted instances of the study are remembered.
    fn has_delivered(&mut self, study: &str) -> Result<bool, SpoolError> {
        if self.undelivered.contains(study) {
            return Ok(false);
        }
        let has_some = index::has_delivered(&self.db, study)?;
        if !has_some {
            if self.undelivered.len() >= UNDELIVERED_STUDIES_MAX {
                self.undelivered.clear();
            }
            self.undelivered.insert(study.to_owned());
        }
        Ok(has_some)
    }

    /// Opens the study, or reopens it when it was closed; writes its row only when something changed.
    fn note_arrival(
        &mut self,
        known: Option<StudyRow>,
        object: &NewObject,
        label: &StudyLabel,
        batch: &mut Batch,
    ) -> Result<(), SpoolError> {
        let study = object.study_instance_uid.as_str();
        // Those of its instances that went to the relay and were deleted before the study was forgotten here.
        let mut counted = None;
        let (row, changed) = match known {
            None => {
                let instances = index::sum_delivered(&self.db, study)?;
                counted = Some(instances).filter(|instances| instances.n_instances > 0);
                let row = StudyRow {
                    study_instance_uid: study.to_owned(),
                    label: label.clone(),
                    priority: object.priority,
                    ..StudyRow::unseen(study, self.shared.clock.now_ms())
                };
                (row, true)
            }
            Some(mut row) => {
                let mut changed = match row.is_unseen() {
                    true => {
                        row.label = label.clone();
                        true
                    }
                    false => row.label.add(label),
                };
                if row.closed_at_ms.take().is_some() {
                    row.generation += 1;
                    changed = true;
                }
                if object.priority < row.priority {
                    row.priority = object.priority;
                    index::set_priority(&self.db, study, object.priority)?;
                    batch.effects.push(Effect::LineChanged);
                    batch.wake_coder();
                    changed = true;
                }
                (row, changed)
            }
        };
        if changed {
            self.put_study(row, batch)?;
        }
        batch.effects.extend(counted.map(|instances| Effect::Counted {
            study: study.to_owned(),
            instances,
        }));
        Ok(())
    }

    pub(super) fn quarantine(
        &mut self,
        row: QuarantineRow,
        partial: Option<PathBuf>,
        batch: &mut Batch,
    ) -> Result<(), SpoolError> {
        index::insert_quarantine(&self.db, &row)?;
        if let Some(partial) = partial {
            let file = self.shared.layout.quarantine_file(&row.object_id);
            fs::rename(partial, &file)?;
            batch.renamed.push(file);
            batch.dirty_folders.insert(self.shared.layout.quarantine());
        }
        let study = row.study_instance_uid.clone();
        batch.effects.push(Effect::Quarantined(row));
        match study {
            Some(study) => self.note_withheld(&study, batch),
            None => Ok(()),
        }
    }
}
