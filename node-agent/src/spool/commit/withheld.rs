//! Keeps each study's row up to date about what of it stays here, so that the relay hears of every change.

use tancho_domain::ids::ObjectId;

use super::{Batch, Writer};
use crate::spool::SpoolError;
use crate::spool::index::{self, QuarantineRow, StudyRow};
use crate::spool::picture::{Effect, QUARANTINE_SHOWN_MAX};

/// Reason of objects that name another patient than their study.
const PATIENT_DIFFERS: &str = "patient_differs";

impl Writer {
    /// Counts again what is withheld of a study. When that changed, a closed study is told to the relay once more.
    pub(super) fn note_withheld(&mut self, study: &str, batch: &mut Batch) -> Result<(), SpoolError> {
        let known = self.studies.get(study).cloned();
        let withheld = index::sum_withheld(&self.db, study)?;
        let (mut row, instances) = match known {
            Some(row) if row.withheld == withheld => return Ok(()),
            Some(row) => (row, None),
            None if withheld.is_empty() => return Ok(()),
            // All that came of it is in quarantine: the relay is told all the same.
            None => {
                let row = StudyRow::unseen(study, self.shared.clock.now_ms());
                (row, Some(index::sum_delivered(&self.db, study)?))
            }
        };
        row.withheld = withheld;
        if row.closed_at_ms.is_some() {
            row.generation += 1;
        } else if row.withheld.is_empty() && row.is_unseen() {
            // Nothing can become quiet: it closes now, so that the relay hears that nothing is withheld any more.
            row.closed_at_ms = Some(self.shared.clock.now_ms());
            row.generation += 1;
        }
        self.put_study(row, batch)?;
        batch.effects.extend(instances.map(|instances| Effect::Counted {
            study: study.to_owned(),
            instances,
        }));
        Ok(())
    }

    /// As [`Self::note_withheld`], when something is withheld that may now have come in a version that goes.
    pub(super) fn note_resolved(&mut self, study: &str, batch: &mut Batch) -> Result<(), SpoolError> {
        if self.studies.get(study).is_some_and(|row| row.withheld.is_empty()) {
            return Ok(());
        }
        self.note_withheld(study, batch)
    }

    /// Puts held objects into quarantine, off every list: they are not of this study. A corrected copy comes as what it
    /// is; the same bytes again are held again.
    pub(super) fn dismiss_held(
        &mut self,
        study: &str,
        patient: Option<&str>,
        batch: &mut Batch,
    ) -> Result<u64, SpoolError> {
        let held = index::list_held(&self.db, study, patient)?;
        let now_ms = self.shared.clock.now_ms();
        let mut n_dismissed = 0;
        for object_id in held {
            let Some(object) = index::find_object(&self.db, &object_id)? else {
                continue;
            };
            let row = QuarantineRow {
                object_id: object_id.clone(),
                reason: PATIENT_DIFFERS.to_owned(),
                received_at_ms: now_ms,
                calling_ae: String::new(),
                data_len: object.original_len,
                study_instance_uid: Some(study.to_owned()),
                sop_instance_uid: object.sop_instance_uid.clone(),
            };
            index::insert_quarantine(&self.db, &row)?;
            index::dismiss_quarantine(&self.db, &object_id, now_ms)?;
            index::delete_object(&self.db, &object_id)?;
            let layout = &self.shared.layout;
            batch.moves.push((
                layout.object_file(object.folder, &object_id),
                layout.quarantine_file(&object_id),
            ));
            batch.effects.push(Effect::Moved {
                study: study.to_owned(),
                from: object.state,
                to: None,
                original_bytes: object.original_len,
                container_bytes: object.container_len,
            });
            n_dismissed += 1;
        }
        if n_dismissed == 0 {
            return Err(SpoolError::NotFound);
        }
        self.note_withheld(study, batch)?;
        Ok(n_dismissed)
    }

    pub(super) fn place_quarantine(
        &mut self,
        objects: &[ObjectId],
        study: &str,
        batch: &mut Batch,
    ) -> Result<(), SpoolError> {
        index::place_quarantine(&self.db, objects, study)?;
        self.note_withheld(study, batch)
    }

    pub(super) fn dismiss_quarantine(
        &mut self,
        object_id: ObjectId,
        batch: &mut Batch,
    ) -> Result<(), SpoolError> {
        let now_ms = self.shared.clock.now_ms();
        let study = index::dismiss_quarantine(&self.db, &object_id, now_ms)?.ok_or(SpoolError::NotFound)?;
        // An older one may take its place on a list that is full.
        let list = index::list_quarantine(&self.db, QUARANTINE_SHOWN_MAX)?;
        batch.effects.push(Effect::Dismissed(list));
        match study {
            Some(study) => self.note_withheld(&study, batch),
            None => Ok(()),
        }
    }
}
