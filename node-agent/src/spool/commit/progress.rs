//! Objects on their way to the relay: coded, set aside, receipted, and deleted after their retention.

use tancho_domain::ids::ObjectId;

use super::{Batch, Writer};
use crate::spool::SpoolError;
use crate::spool::index::{self, CodedObject};
use crate::spool::outbound::Receipt;
use crate::spool::picture::Effect;
use crate::spool::studies::ObjectState;

impl Writer {
    pub(super) async fn coded(
        &mut self,
        objects: Vec<CodedObject>,
        batch: &mut Batch,
    ) -> Result<(), SpoolError> {
        for coded in objects {
            if !index::set_coded(&mut self.db, &coded).await? {
                continue;
            }
            if let Some(queued) = index::get_outbound(&mut self.db, &coded.object_id).await? {
                batch.effects.push(Effect::Coded {
                    study: queued.object.study_instance_uid.as_str().to_owned(),
                    original_bytes: queued.object.original_len,
                    queued: Box::new(queued),
                });
            }
        }
        Ok(())
    }

    pub(super) async fn set_aside(
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
        let study = object.study_instance_uid;
        batch.effects.push(Effect::Moved {
            study: study.clone(),
            from: object.state,
            to: Some(state),
            original_bytes: object.original_len,
            container_bytes: object.container_len,
        });
        if matches!(state, ObjectState::Refused | ObjectState::Damaged) {
            self.note_withheld(&study, batch).await
        } else {
            self.note_resolved(&study, batch).await
        }
    }

    pub(super) async fn code_again(
        &mut self,
        object_id: &ObjectId,
        batch: &mut Batch,
    ) -> Result<(), SpoolError> {
        self.set_aside(object_id, ObjectState::Stored, "coded_again", batch)
            .await?;
        batch.wakes_coder = true;
        Ok(())
    }

    pub(super) async fn receipt(&mut self, receipt: &Receipt, batch: &mut Batch) -> Result<(), SpoolError> {
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
        });
        Ok(())
    }

    pub(super) async fn delete(&mut self, objects: &[ObjectId], batch: &mut Batch) -> Result<(), SpoolError> {
        let now_ms = self.shared.clock.now_ms();
        for object_id in objects {
            let Some(object) = index::find_object(&mut self.db, object_id).await? else {
                continue;
            };
            index::remember_delivered(&mut self.db, &object, now_ms).await?;
            self.undelivered.remove(&object.study_instance_uid);
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
            });
        }
        self.forget_empty_studies(batch).await
    }

    /// Forgets studies of which nothing is left to hold or to tell.
    async fn forget_empty_studies(&mut self, batch: &mut Batch) -> Result<(), SpoolError> {
        let gone = index::delete_empty_studies(&mut self.db).await?;
        for study in &gone {
            self.studies.remove(study);
        }
        batch.effects.push(Effect::Forgotten(gone));
        Ok(())
    }

    /// The relay has the manifest of a closed study.
    pub(super) async fn manifest_confirmed(
        &mut self,
        study: &str,
        generation: u64,
        batch: &mut Batch,
    ) -> Result<(), SpoolError> {
        let mut row = self.studies.get(study).cloned().ok_or(SpoolError::NotFound)?;
        row.confirmed_generation = row.confirmed_generation.max(generation.min(row.generation));
        self.put_study(row, batch).await?;
        // Its objects may have gone before.
        self.forget_empty_studies(batch).await
    }

    pub(super) async fn forget_delivered(&mut self, studies: &[i64]) -> Result<(), SpoolError> {
        for study_id in studies {
            index::forget_delivered(&mut self.db, *study_id).await?;
        }
        Ok(())
    }
}
