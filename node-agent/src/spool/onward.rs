//! What the spool gives to those who take objects onward from here. The calls wait for the disk: they are for threads
//! that may.

use std::fs::File;
use std::io;
use std::sync::{Arc, PoisonError};

use tancho_domain::dicom::Priority;
use tancho_domain::ids::ObjectId;
use tokio::sync::oneshot;

use super::commit::Change;
use super::object_file::ObjectHeader;
use super::studies::ObjectState;
use super::{Spool, SpoolError, index};

/// A received object, as the index knows it.
#[derive(Debug, Clone)]
pub struct OnwardObject {
    /// Grows with each object that comes; numbered anew when the index is rebuilt.
    pub seq: i64,
    /// Our identifier.
    pub object_id: ObjectId,
    /// Numbered folder.
    pub(crate) folder: i64,
    /// Study Instance UID.
    pub study_instance_uid: String,
    /// Series Instance UID.
    pub series_instance_uid: String,
    /// SOP Instance UID.
    pub sop_instance_uid: String,
    /// SOP Class UID.
    pub sop_class_uid: String,
    /// Transfer syntax it came in.
    pub transfer_syntax: String,
    /// Who sent it.
    pub calling_ae: String,
    /// To which of our titles.
    pub called_ae: String,
    /// Priority on the line.
    pub priority: Priority,
    /// When it was whole.
    pub received_at_ms: i64,
    /// Bytes of the data set.
    pub original_len: u64,
    /// SHA-256 of the data set.
    pub original_sha256: [u8; 32],
    /// 1, or more when the SOP Instance UID had come before with other bytes.
    pub revision: u64,
    /// State on the way to the relay.
    pub state: ObjectState,
}

impl OnwardObject {
    /// Whether it may leave: it is whole, and nobody has to decide first whose it is.
    #[must_use]
    pub fn may_leave(&self) -> bool {
        !matches!(self.state, ObjectState::Held | ObjectState::Damaged)
    }
}

/// Says which of these objects someone still has to take; they are not deleted then.
pub type Wanted = Arc<dyn Fn(&[ObjectId]) -> Vec<ObjectId> + Send + Sync>;

impl Spool {
    /// Objects after `seq`, in the order they came.
    pub fn objects_after(&self, seq: i64, limit: usize) -> Result<Vec<OnwardObject>, SpoolError> {
        Ok(index::list_after(&self.reader(), seq, limit)?)
    }

    /// One object; `None` when it is not here any more.
    pub fn onward_object(&self, object_id: &ObjectId) -> Result<Option<OnwardObject>, SpoolError> {
        Ok(index::find_onward(&self.reader(), object_id)?)
    }

    /// Objects of a study, in the order they came, at most `limit`.
    pub fn objects_of_study(&self, study: &str, limit: usize) -> Result<Vec<OnwardObject>, SpoolError> {
        Ok(index::list_of_study(&self.reader(), study, limit)?)
    }

    /// Opens an object's file after its header was checked; `InvalidData` when it is damaged.
    pub fn open_object(&self, object: &OnwardObject) -> io::Result<File> {
        let path = self.shared.layout.object_file(object.folder, &object.object_id);
        let mut file = File::open(path)?;
        let header = ObjectHeader::read(&mut file)?;
        let is_it = header.is_some_and(|header| {
            header.data_sha256 == object.original_sha256 && header.data_len == object.original_len
        });
        if is_it {
            Ok(file)
        } else {
            Err(io::ErrorKind::InvalidData.into())
        }
    }

    /// Records that the bytes of an object are no longer those received, unless the relay has them.
    pub fn record_damage(&self, object_id: &ObjectId) -> Result<(), SpoolError> {
        tracing::error!(object.id = %object_id, "an object in the spool is damaged: send it again from the modality");
        let (reply, answer) = oneshot::channel();
        self.shared.send_blocking(Change::SetAside {
            object_id: object_id.clone(),
            state: ObjectState::Damaged,
            code: "damaged_in_spool".to_owned(),
            reply,
        })?;
        answer.blocking_recv().map_err(|_| SpoolError::Stopped)?
    }

    /// Has the housekeeping ask before it deletes by itself. An operator's deletion does not ask.
    pub fn keep_wanted(&self, wanted: Wanted) {
        *self.shared.wanted.lock().unwrap_or_else(PoisonError::into_inner) = Some(wanted);
    }

    fn reader(&self) -> std::sync::MutexGuard<'_, index::IndexDb> {
        self.shared.reader.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
