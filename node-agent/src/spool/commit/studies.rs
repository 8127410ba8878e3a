//! Studies and reading requests: what people and the relay change about them.

use tancho_domain::ids::CommandId;

use super::{Batch, Writer};
use crate::spool::SpoolError;
use crate::spool::index::{self, StudyRow};
use crate::spool::outbound::{RequestForm, RequestResult};
use crate::spool::picture::Effect;

impl Writer {
    pub(super) async fn put_study(&mut self, row: StudyRow, batch: &mut Batch) -> Result<(), SpoolError> {
        index::put_study(&mut self.db, &row).await?;
        self.studies.insert(row.study_instance_uid.clone(), row.clone());
        batch.effects.push(Effect::Study(Box::new(row)));
        Ok(())
    }

    pub(super) async fn change_study(
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

    pub(super) async fn request(
        &mut self,
        form: Box<RequestForm>,
        batch: &mut Batch,
    ) -> Result<(), SpoolError> {
        let json = serde_json::to_string(&form).map_err(|error| SpoolError::Index(error.to_string()))?;
        let study = form.study_instance_uid.as_str();
        if index::insert_request(&mut self.db, &form.command_id, study, &json, form.created_at_ms).await? {
            batch.effects.push(Effect::Requested(form));
        }
        Ok(())
    }

    pub(super) async fn request_result(
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
}
