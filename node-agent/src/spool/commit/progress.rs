//! Objects on their way to the relay: coded, set aside, receipted, and deleted after their retention.

use tancho_domain::ids::ObjectId;

use super::{Batch, Writer};
use crate::spool::SpoolError;
use crate::spool::index::{self, CodedObject};
use crate::spool::outbound::Receipt;
use crate::spool::picture::Effect;
use crate::spool::studies::ObjectState;

impl Writer {
    pub(super) fn coded(&mut self, objects: Vec<CodedObject>, batch: &mut Batch) -> Result<(), SpoolError> {
        for coded in objects {
            if !index::set_coded(&self.db, &coded)? {
                continue;
            }
            if let Some(queued) = index::get_outbound(&self.db, &coded.object_id)? {
                batch.effects.push(Effect::Coded {
                    study: queued.object.study_instance_uid.as_str().to_owned(),
                    original_bytes: queued.object.original_len,
                    queued: Box::new(queued),
                });
            }
        }
        Ok(())
    }

    pub(super) fn set_aside(
        &mut self,
        object_id: &ObjectId,
        state: ObjectState,
        code: &str,
        batch: &mut Batch,
    ) -> Result<(), SpoolError> {
        let object = index::find_object(&self.db, object_id)?.ok_or(SpoolError::NotFound)?;
        if object.state == ObjectState::Receipted {
            // The relay has it. That the copy here is damaged is remembered, so that the same bytes take its place.
            if state == ObjectState::Damaged {
                index::set_state(&self.db, object_id, object.state, Some(code), None)?;
            }
            return Ok(());
        }
        index::set_state(&self.db, object_id, state, Some(code), None)?;
        if state == ObjectState::Damaged {
            batch
                .effects
                .push(Effect::Count(|counters| counters.n_damaged += 1));
        }
        batch.effects.push(Effect::LeftLine(object_id.clone()));
        let study = object.study_instance_uid;
        batch.effects.push(Effect::Moved {
            study: study.clone(),
            from: object.state,
            to: Some(state),
            original_bytes: object.original_len,
            container_bytes: object.container_len,
        });
        if matches!(state, ObjectState::Refused | ObjectState::Damaged) {
            self.note_withheld(&study, batch)
        } else {
            self.note_resolved(&study, batch)
        }
    }

    pub(super) fn code_again(&mut self, object_id: &ObjectId, batch: &mut Batch) -> Result<(), SpoolError> {
        self.set_aside(object_id, ObjectState::Stored, "coded_again", batch)?;
        batch.wake_coder();
        Ok(())
    }

    pub(super) fn receipt(&mut self, receipt: &Receipt, batch: &mut Batch) -> Result<(), SpoolError> {
        let object = index::find_object(&self.db, &receipt.object_id)?.ok_or(SpoolError::NotFound)?;
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
            &self.db,
            &receipt.object_id,
            ObjectState::Receipted,
            None,
            Some(now_ms),
        )?;
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
        });
        Ok(())
    }

    pub(super) fn delete(&mut self, objects: &[ObjectId], batch: &mut Batch) -> Result<(), SpoolError> {
        let now_ms = self.shared.clock.now_ms();
        for object_id in objects {
            let Some(object) = index::find_object(&self.db, object_id)? else {
                continue;
            };
            index::remember_delivered(&self.db, &object, now_ms)?;
            self.undelivered.remove(&object.study_instance_uid);
            index::delete_object(&self.db, object_id)?;
            batch
                .effects
                .push(Effect::Count(|counters| counters.n_deleted += 1));
            batch.effects.push(Effect::Moved {
                study: object.study_instance_uid,
                from: object.state,
                to: None,
                original_bytes: object.original_len,
                container_bytes: object.container_len,
            });
        }
        self.forget_empty_studies(batch)
    }

    /// Forgets studies of which nothing is left to hold or to tell.
    fn forget_empty_studies(&mut self, batch: &mut Batch) -> Result<(), SpoolError> {
        let gone = index::delete_empty_studies(&self.db)?;
        for study in &gone {
            self.studies.remove(study);
        }
        batch.effects.push(Effect::Forgotten(gone));
        Ok(())
    }

    /// The relay has the manifest of a closed study.
    pub(super) fn manifest_confirmed(
        &mut self,
        study: &str,
        generation: u64,
        batch: &mut Batch,
    ) -> Result<(), SpoolError> {
        let mut row = self.studies.get(study).cloned().ok_or(SpoolError::NotFound)?;
        row.confirmed_generation = row.confirmed_generation.max(generation.min(row.generation));
        self.put_study(row, batch)?;
        // Its objects may have gone before.
        self.forget_empty_studies(batch)
    }

    pub(super) fn forget_delivered(&mut self, studies: &[i64]) -> Result<(), SpoolError> {
        for study_id in studies {
            index::forget_delivered(&self.db, *study_id)?;
        }
        Ok(())
    }
}
