//! One object while it is being received: bytes go to the disk and into the digest as they come, memory stays
//! the same however long it is. Finishing it is what C-STORE success rests on.

use std::fs::{self, File};
use std::io::{self, BufReader, BufWriter, Seek, SeekFrom, Write};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::Arc;

use sha2::{Digest, Sha256};
use tancho_domain::dicom::{AeTitle, Priority, TransferSyntaxUid};
use tancho_domain::ids::ObjectId;
use tancho_imaging::scan::{self, DataSetScan};
use tokio::sync::oneshot;

use super::activity::Activity;
use super::commit::{Change, Committer, Stored};
use super::filling::Place;
use super::index::{NewObject, QuarantineRow};
use super::object_file::{DataSet, HEADER_BYTES, ObjectHeader};
use super::studies::{ObjectState, StudyLabel};
use super::{Shared, SpoolError, crash_point};
use crate::durable;

/// Bytes gathered before they are written; larger pieces go to the file directly.
const WRITE_BUFFER_BYTES: usize = 64 * 1024;
/// Bytes received between two looks at the free space.
const SPACE_CHECK_BYTES: u64 = 8 * 1024 * 1024;
/// Longest object whose row is written while its file is made durable. A longer one would hold up the commits of others
/// for as long as its fsync takes.
const WRITTEN_TOGETHER_BYTES_MAX: u64 = 8 * 1024 * 1024;
/// Bytes read at once while scanning.
const SCAN_BUFFER_BYTES: usize = 64 * 1024;

/// What is known of an object before its first byte.
#[derive(Debug, Clone)]
pub struct Arrival {
    /// Who sends it.
    pub calling_ae: AeTitle,
    /// To which of our titles.
    pub called_ae: AeTitle,
    /// Network address of the sender.
    pub peer: String,
    /// Priority on the line.
    pub priority: Priority,
    /// Transfer syntax as negotiated, or as the file says.
    pub transfer_syntax: String,
    /// SOP Class UID and SOP Instance UID that were announced for it.
    pub announced: Option<(String, String)>,
}

/// Why an object was not stored as valid.
#[derive(Debug, thiserror::Error)]
pub enum IntakeError {
    /// The disk is at its reserve, or the spool at its quota.
    #[error("no room in the spool")]
    NoSpace,
    /// Longer than the largest object.
    #[error("object longer than the limit")]
    TooLarge,
    /// The announced UIDs are not those of the data set; a copy is in quarantine.
    #[error("data set does not match the announced SOP instance")]
    UidMismatch,
    /// The data set cannot be used; a copy is in quarantine.
    #[error("data set not usable: {0}")]
    Unusable(&'static str),
    /// Our own storage failed.
    #[error("spool storage failed: {0}")]
    Storage(#[from] SpoolError),
}

impl From<io::Error> for IntakeError {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::ReadOnlyFilesystem => {
                Self::NoSpace
            }
            _ => Self::Storage(SpoolError::Io(error)),
        }
    }
}

/// An object being received. Dropping it before it is finished leaves nothing behind.
pub struct Incoming {
    shared: Arc<Shared>,
    committer: Arc<Committer>,
    arrival: Arrival,
    object_id: ObjectId,
    /// Where its file is; removed unless the index has it.
    path: PathBuf,
    is_kept: bool,
    file: Option<BufWriter<File>>,
    digest: Sha256,
    len: u64,
    check_space_at: u64,
}

impl Incoming {
    /// Begins an object, when there is room.
    pub(super) fn begin(
        shared: Arc<Shared>,
        committer: Arc<Committer>,
        arrival: Arrival,
    ) -> Result<Self, IntakeError> {
        shared.check_room()?;
        shared.note_intake();
        let object_id = shared.new_object_id();
        let partial = shared.layout.partial_file(&object_id, "obj");
        let mut file = File::options()
            .read(true)
            .write(true)
            .create_new(true)
            .open(&partial)?;
        file.seek(SeekFrom::Start(HEADER_BYTES as u64))?;
        Ok(Self {
            shared,
            committer,
            arrival,
            object_id,
            path: partial,
            is_kept: false,
            file: Some(BufWriter::with_capacity(WRITE_BUFFER_BYTES, file)),
            digest: Sha256::new(),
            len: 0,
            check_space_at: SPACE_CHECK_BYTES,
        })
    }

    /// Takes the next bytes of the data set.
    pub fn write(&mut self, bytes: &[u8]) -> Result<(), IntakeError> {
        self.len += bytes.len() as u64;
        if self.len > self.shared.options.limits.max_object_bytes {
            return Err(IntakeError::TooLarge);
        }
        if self.len >= self.check_space_at {
            self.check_space_at = self.len + SPACE_CHECK_BYTES;
            self.shared.check_room()?;
        }
        self.digest.update(bytes);
        self.file_mut()?.write_all(bytes)?;
        Ok(())
    }

    /// Bytes taken so far.
    #[must_use]
    pub fn len(&self) -> u64 {
        self.len
    }

    /// Whether no byte came yet.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Makes the object durable. Blocks for the file fsync and the shared commit; when it returns `Ok`, the
    /// sender may be told so.
    pub fn finish(mut self, activity: &Activity) -> Result<Stored, IntakeError> {
        crash_point("stored.received");
        let sha256: [u8; 32] = std::mem::take(&mut self.digest).finalize().into();
        let mut file = self.take_file()?;
        let judged = self.judge(&file);
        let mut header = ObjectHeader {
            object_id: self.object_id.clone(),
            priority: self.arrival.priority,
            received_at_ms: self.shared.clock.now_ms(),
            data_len: self.len,
            data_sha256: sha256,
            calling_ae: self.arrival.calling_ae.as_str().to_owned(),
            called_ae: self.arrival.called_ae.as_str().to_owned(),
            sop_class_uid: self
                .arrival
                .announced
                .as_ref()
                .map_or(String::new(), |(class, _)| class.clone()),
            sop_instance_uid: self
                .arrival
                .announced
                .as_ref()
                .map_or(String::new(), |(_, uid)| uid.clone()),
            study_instance_uid: String::new(),
            series_instance_uid: String::new(),
            transfer_syntax: self.arrival.transfer_syntax.clone(),
            peer: self.arrival.peer.clone(),
            reason: String::new(),
        };
        let (scan, transfer_syntax) = match judged {
            Ok(judged) => judged,
            Err(error @ (IntakeError::Unusable(_) | IntakeError::UidMismatch)) => {
                let code = match error {
                    IntakeError::Unusable(code) => code,
                    _ => "uid_mismatch",
                };
                header.study_instance_uid = self.study_of_unusable(&file, activity).unwrap_or_default();
                self.quarantine(file, header, code)?;
                return Err(error);
            }
            Err(error) => return Err(error),
        };
        let identity = &scan.identity;
        identity
            .sop_class_uid
            .as_str()
            .clone_into(&mut header.sop_class_uid);
        identity
            .sop_instance_uid
            .as_str()
            .clone_into(&mut header.sop_instance_uid);
        identity
            .study_instance_uid
            .as_str()
            .clone_into(&mut header.study_instance_uid);
        identity
            .series_instance_uid
            .as_str()
            .clone_into(&mut header.series_instance_uid);
        header.write(&mut file)?;
        let object = new_object(&header, &scan, transfer_syntax, &self.arrival);
        self.place_neighbours(activity, object.study_instance_uid.as_str())?;
        let place = self.shared.filling.take(&self.shared.layout)?;
        let (reply, answer) = oneshot::channel();
        let is_long = self.len > WRITTEN_TOGETHER_BYTES_MAX;
        if is_long {
            self.make_durable(&file, &place)?;
        }
        let committer = Arc::clone(&self.committer);
        let word = committer.await_file();
        activity.touch(object.study_instance_uid.as_str());
        // The index writes its row meanwhile; without word of the file nothing is committed.
        self.shared.send_blocking(Change::Store {
            object: Box::new(object),
            label: Box::new(StudyLabel::of(&scan.identity, &self.arrival.calling_ae)),
            folder: place.folder,
            file: word.state(),
            reply,
        })?;
        if !is_long {
            self.make_durable(&file, &place)?;
        }
        word.say_durable();
        let stored = answer.blocking_recv().map_err(|_| SpoolError::Stopped)??;
        if let Stored::New { revision, .. } = &stored {
            self.is_kept = true;
            if *revision > 1 {
                tracing::warn!(object.id = %self.object_id, revision, "same SOP Instance UID with other bytes: kept as a new revision");
            }
        }
        Ok(stored)
    }

    /// Fsync, the name in its folder, fsync of the folder.
    fn make_durable(&mut self, file: &File, place: &Place) -> Result<(), IntakeError> {
        // An fsync that failed once must not be tried again on the same descriptor: the pages may be gone.
        durable::file(file)?;
        crash_point("stored.fsynced");
        let target = self.shared.layout.object_file(place.folder, &self.object_id);
        fs::rename(&self.path, &target)?;
        self.path = target;
        crash_point("stored.renamed");
        durable::open_folder(&place.handle)?;
        crash_point("stored.folder_synced");
        Ok(())
    }

    /// Says what the object is, or why it cannot be used. A panic in the scanner costs this object only.
    fn judge(&self, file: &File) -> Result<(DataSetScan, TransferSyntaxUid), IntakeError> {
        let transfer_syntax = TransferSyntaxUid::parse(&self.arrival.transfer_syntax)
            .map_err(|_| IntakeError::Unusable("transfer_syntax_malformed"))?;
        let data = DataSet::new(file.try_clone()?, self.len)?;
        let mut source = BufReader::with_capacity(SCAN_BUFFER_BYTES, data);
        let scanned = catch_unwind(AssertUnwindSafe(|| {
            scan::scan(&mut source, &transfer_syntax, &self.shared.options.limits)
        }));
        let scan = match scanned {
            Ok(Ok(scan)) => scan,
            Ok(Err(error)) if error.is_peers_fault() => return Err(IntakeError::Unusable(error.code())),
            Ok(Err(error)) => return Err(SpoolError::Index(error.to_string()).into()),
            Err(_) => return Err(IntakeError::Unusable("scanner_panicked")),
        };
        if let Some((class, instance)) = &self.arrival.announced
            && (class != scan.identity.sop_class_uid.as_str()
                || instance != scan.identity.sop_instance_uid.as_str())
        {
            return Err(IntakeError::UidMismatch);
        }
        Ok((scan, transfer_syntax))
    }

    /// The study that an object belongs to which cannot be used: by its own word, else by its neighbours'.
    fn study_of_unusable(&self, file: &File, activity: &Activity) -> Option<String> {
        let named = TransferSyntaxUid::parse(&self.arrival.transfer_syntax)
            .ok()
            .and_then(|transfer_syntax| {
                let data = DataSet::new(file.try_clone().ok()?, self.len).ok()?;
                let mut source = BufReader::with_capacity(SCAN_BUFFER_BYTES, data);
                catch_unwind(AssertUnwindSafe(|| {
                    scan::named_study(&mut source, &transfer_syntax, &self.shared.options.limits)
                }))
                .ok()
                .flatten()
            });
        named
            .map(|study| study.as_str().to_owned())
            .or_else(|| activity.study_of_neighbour(&self.object_id))
    }

    /// Quarantined objects that named no study belong to that of the first object after them that does.
    fn place_neighbours(&self, activity: &Activity, study: &str) -> Result<(), SpoolError> {
        let objects = activity.note_study(study);
        if objects.is_empty() {
            return Ok(());
        }
        let (reply, answer) = oneshot::channel();
        self.shared.send_blocking(Change::PlaceQuarantine {
            objects,
            study: study.to_owned(),
            reply,
        })?;
        answer.blocking_recv().map_err(|_| SpoolError::Stopped)?
    }

    fn quarantine(
        &self,
        mut file: File,
        mut header: ObjectHeader,
        code: &'static str,
    ) -> Result<(), IntakeError> {
        tracing::warn!(object.id = %self.object_id, code, bytes = self.len, "object put in quarantine");
        code.clone_into(&mut header.reason);
        let keep = self.shared.take_quarantine_room(self.len);
        if keep {
            header.write(&mut file)?;
            durable::file(&file)?;
        }
        let row = QuarantineRow {
            object_id: self.object_id.clone(),
            reason: code.to_owned(),
            received_at_ms: header.received_at_ms,
            calling_ae: header.calling_ae,
            data_len: self.len,
            study_instance_uid: Some(header.study_instance_uid).filter(|study| !study.is_empty()),
            sop_instance_uid: header.sop_instance_uid,
        };
        let (reply, answer) = oneshot::channel();
        let partial = keep.then(|| self.path.clone());
        self.shared
            .send_blocking(Change::Quarantine { row, partial, reply })?;
        answer.blocking_recv().map_err(|_| SpoolError::Stopped)??;
        Ok(())
    }

    fn file_mut(&mut self) -> Result<&mut BufWriter<File>, IntakeError> {
        self.file
            .as_mut()
            .ok_or(IntakeError::Storage(SpoolError::Stopped))
    }

    fn take_file(&mut self) -> Result<File, IntakeError> {
        let writer = self.file.take().ok_or(SpoolError::Stopped)?;
        writer.into_inner().map_err(|error| error.into_error().into())
    }
}

impl Drop for Incoming {
    fn drop(&mut self) {
        self.shared.note_intake();
        if !self.is_kept {
            // Never acknowledged, or moved into the quarantine under another name.
            fs::remove_file(&self.path).ok();
        }
    }
}

fn new_object(
    header: &ObjectHeader,
    scan: &DataSetScan,
    transfer_syntax: TransferSyntaxUid,
    arrival: &Arrival,
) -> NewObject {
    let warnings: Vec<&str> = scan
        .warnings
        .iter()
        .map(tancho_imaging::scan::ScanWarning::code)
        .collect();
    NewObject {
        object_id: header.object_id.clone(),
        study_instance_uid: scan.identity.study_instance_uid.clone(),
        series_instance_uid: scan.identity.series_instance_uid.clone(),
        sop_instance_uid: scan.identity.sop_instance_uid.clone(),
        sop_class_uid: scan.identity.sop_class_uid.clone(),
        transfer_syntax,
        calling_ae: arrival.calling_ae.clone(),
        called_ae: arrival.called_ae.clone(),
        priority: header.priority,
        received_at_ms: header.received_at_ms,
        original_len: header.data_len,
        original_sha256: header.data_sha256,
        warnings: warnings.join(","),
        state: ObjectState::Stored,
        reason: None,
        held_patient: None,
    }
}
