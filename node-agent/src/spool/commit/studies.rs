//! Studies and reading requests: what people and the relay change about them.

use tancho_domain::ids::CommandId;

use super::{Batch, Writer};
use crate::spool::SpoolError;
use crate::spool::index::{self, InstanceSum, StudyRow};
use crate::spool::outbound::{RequestForm, RequestResult};
use crate::spool::picture::Effect;
use crate::spool::studies::ObjectState;

impl Writer {
    pub(super) fn put_study(&mut self, row: StudyRow, batch: &mut Batch) -> Result<(), SpoolError> {
        index::put_study(&self.db, &row)?;
        self.studies.insert(row.study_instance_uid.clone(), row.clone());
        batch.effects.push(Effect::Study(Box::new(row)));
        Ok(())
    }

    pub(super) fn change_study(
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
        self.put_study(row, batch)
    }

    pub(super) fn request(&mut self, form: Box<RequestForm>, batch: &mut Batch) -> Result<(), SpoolError> {
        let json = serde_json::to_string(&form).map_err(|error| SpoolError::Index(error.to_string()))?;
        let study = form.study_instance_uid.as_str();
        if index::insert_request(&self.db, &form.command_id, study, &json, form.created_at_ms)? {
            batch.effects.push(Effect::Requested(form));
        }
        Ok(())
    }

    pub(super) fn request_result(
        &mut self,
        command_id: CommandId,
        result: RequestResult,
        batch: &mut Batch,
    ) -> Result<(), SpoolError> {
        let json = serde_json::to_string(&result).map_err(|error| SpoolError::Index(error.to_string()))?;
        let at_ms = self.shared.clock.now_ms();
        if !index::set_request_result(&self.db, &command_id, &json, at_ms)? {
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

    /// Lets held objects go as if they had come now: a closed study opens again.
    pub(super) fn release_held(
        &mut self,
        study: &str,
        patient: Option<&str>,
        batch: &mut Batch,
    ) -> Result<u64, SpoolError> {
        let held = index::list_held(&self.db, study, patient)?;
        let n_released = held.len() as u64;
        let mut row = self.studies.get(study).cloned().ok_or(SpoolError::NotFound)?;
        if held.is_empty() {
            return Err(SpoolError::NotFound);
        }
        let mut instances = InstanceSum::default();
        for object_id in held {
            let Some(object) = index::find_object(&self.db, &object_id)? else {
                continue;
            };
            let sop = object.sop_instance_uid.as_str();
            let is_counted = index::has_other(&self.db, study, sop, &object_id)?
                || index::number_after_delivered(&self.db, study, sop, &object.original_sha256)?.is_some();
            if !is_counted {
                instances.n_instances += 1;
                instances.original_len += object.original_len;
            }
            index::set_state(&self.db, &object_id, ObjectState::Stored, Some("released"), None)?;
            batch.effects.push(Effect::Moved {
                study: study.to_owned(),
                from: ObjectState::Held,
                to: Some(ObjectState::Stored),
                original_bytes: object.original_len,
                container_bytes: object.container_len,
            });
        }
        row.generation += u64::from(row.closed_at_ms.take().is_some());
        self.put_study(row, batch)?;
        batch.effects.push(Effect::Counted {
            study: study.to_owned(),
            instances,
        });
        self.note_withheld(study, batch)?;
        batch.wake_coder();
        Ok(n_released)
    }
}
