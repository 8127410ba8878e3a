//! Quarantined objects once more: handed out as they came, or read again by the rules of the day.
//!
//! A release is an intake like any other: what is still not usable stays where it is. So the relay never gets an object
//! that a modality could not have sent it.

use std::collections::HashSet;
use std::fs::File;
use std::io::{self, BufReader, Read};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{MutexGuard, PoisonError};

use serde::Serialize;
use tancho_domain::dicom::{AeTitle, SopClassUid, SopInstanceUid, TransferSyntaxUid};
use tancho_domain::ids::ObjectId;
use tancho_imaging::limits::ScanLimits;
use tancho_imaging::{part10, scan};

use super::commit::{Change, Stored};
use super::object_file::{DataSet, HEADER_BYTES, ObjectHeader};
use super::receive::{Arrival, IntakeError};
use super::studies::ObjectState;
use super::{Shared, Spool, SpoolError, index};

/// Reason of objects that are not those announced.
const UID_MISMATCH: &str = "uid_mismatch";
/// Bytes read at once.
const CHUNK_BYTES: usize = 256 * 1024;

/// Why a quarantined object cannot be handed out or released; it stays as it is.
#[derive(Debug, thiserror::Error)]
pub enum QuarantinedError {
    /// Nothing on the list has this identifier.
    #[error("not in the quarantine")]
    NotFound,
    /// The quarantine was full when it came: only the fact was recorded.
    #[error("the bytes of the object were not kept")]
    NotKept,
    /// It is being released or taken off the list already.
    #[error("another act on the object is under way")]
    Busy,
    /// Its bytes here are no longer those received, or cannot be read.
    #[error("the bytes of the object are no longer those received")]
    Damaged,
    /// It still cannot be used; the code is that of the reason.
    #[error("still not usable: {0}")]
    Unusable(&'static str),
    /// It could be used, but was not taken in.
    #[error(transparent)]
    Intake(#[from] IntakeError),
}

impl QuarantinedError {
    /// The stable code. That of an object that cannot be used is the reason itself.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::NotFound => "quarantine_not_found",
            Self::NotKept => "quarantine_not_kept",
            Self::Busy => "quarantine_busy",
            Self::Damaged => "damaged_in_spool",
            Self::Unusable(reason) => reason,
            Self::Intake(_) => "spool_unavailable",
        }
    }
}

impl From<SpoolError> for QuarantinedError {
    fn from(error: SpoolError) -> Self {
        match error {
            SpoolError::NotFound => Self::NotFound,
            other => Self::Intake(other.into()),
        }
    }
}

/// What became of a quarantined object that can be used now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Released {
    /// It waits for the line.
    Queued,
    /// It names another patient than its study: held back until a person decides.
    Held,
    /// The same bytes were here already, or at the relay.
    Duplicate,
}

impl Released {
    /// The stable code.
    #[must_use]
    pub fn code(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Held => "held",
            Self::Duplicate => "duplicate",
        }
    }
}

/// One act on a quarantined object at a time: while this lives, others are refused.
struct Act<'a> {
    shared: &'a Shared,
    object_id: ObjectId,
}

impl<'a> Act<'a> {
    fn begin(shared: &'a Shared, object_id: &ObjectId) -> Result<Self, QuarantinedError> {
        let is_free = acts(shared).insert(object_id.clone());
        is_free
            .then(|| Self {
                shared,
                object_id: object_id.clone(),
            })
            .ok_or(QuarantinedError::Busy)
    }
}

impl Drop for Act<'_> {
    fn drop(&mut self) {
        acts(self.shared).remove(&self.object_id);
    }
}

fn acts(shared: &Shared) -> MutexGuard<'_, HashSet<ObjectId>> {
    shared
        .quarantine_acts
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
}

/// A quarantined object as it came.
#[derive(Debug)]
pub struct Quarantined {
    /// What was announced of it.
    pub header: ObjectHeader,
    /// Its data set.
    pub data: DataSet,
}

impl Quarantined {
    /// What makes a DICOM file of the data set (PS3.10 section 7.1); `None` when the announced UIDs are none: then only
    /// the bare data set can be given.
    #[must_use]
    pub fn file_header(&self) -> Option<Vec<u8>> {
        let transfer_syntax = TransferSyntaxUid::parse(&self.header.transfer_syntax).ok()?;
        let class = SopClassUid::parse(&self.header.sop_class_uid).ok()?;
        let instance = SopInstanceUid::parse(&self.header.sop_instance_uid).ok()?;
        Some(part10::header(&transfer_syntax, &class, &instance))
    }

    /// Whether the object can be used by today's rules; the code of the reason when it cannot.
    fn judge(&self, limits: &ScanLimits) -> Result<(), QuarantinedError> {
        // What was announced was another object; what is left of it in the header may be cut, or empty, and fit by chance.
        if self.header.reason == UID_MISMATCH {
            return Err(QuarantinedError::Unusable(UID_MISMATCH));
        }
        let transfer_syntax = TransferSyntaxUid::parse(&self.header.transfer_syntax)
            .map_err(|_| QuarantinedError::Unusable("transfer_syntax_malformed"))?;
        let mut source = BufReader::with_capacity(
            CHUNK_BYTES,
            self.data.again().map_err(|_| QuarantinedError::Damaged)?,
        );
        let scanned = catch_unwind(AssertUnwindSafe(|| {
            scan::scan(&mut source, &transfer_syntax, limits)
        }));
        let scan = match scanned {
            Ok(Ok(scan)) => scan,
            Ok(Err(error)) if error.is_peers_fault() => return Err(QuarantinedError::Unusable(error.code())),
            Ok(Err(_)) => return Err(QuarantinedError::Damaged),
            Err(_) => return Err(QuarantinedError::Unusable("scanner_panicked")),
        };
        let is_announced = |announced: &str, own: &str| announced.is_empty() || announced == own;
        if is_announced(&self.header.sop_class_uid, scan.identity.sop_class_uid.as_str())
            && is_announced(
                &self.header.sop_instance_uid,
                scan.identity.sop_instance_uid.as_str(),
            )
        {
            Ok(())
        } else {
            Err(QuarantinedError::Unusable(UID_MISMATCH))
        }
    }

    fn arrival(&self) -> Result<Arrival, QuarantinedError> {
        let title = |text: &str| AeTitle::parse(text).map_err(|_| QuarantinedError::Damaged);
        let announced = (
            self.header.sop_class_uid.clone(),
            self.header.sop_instance_uid.clone(),
        );
        Ok(Arrival {
            calling_ae: title(&self.header.calling_ae)?,
            called_ae: title(&self.header.called_ae)?,
            peer: self.header.peer.clone(),
            priority: self.header.priority,
            transfer_syntax: self.header.transfer_syntax.clone(),
            announced: Some(announced).filter(|(class, instance)| !class.is_empty() && !instance.is_empty()),
        })
    }
}

impl Spool {
    /// Opens an object on the quarantine list and proves that its bytes are those received.
    pub async fn open_quarantined(&self, object_id: &ObjectId) -> Result<Quarantined, QuarantinedError> {
        let is_listed = {
            let reader = self.shared.reader.lock().unwrap_or_else(PoisonError::into_inner);
            index::is_quarantined(&reader, object_id).map_err(SpoolError::from)?
        };
        if !is_listed {
            return Err(QuarantinedError::NotFound);
        }
        let path = self.shared.layout.quarantine_file(object_id);
        let opened = tokio::task::spawn_blocking(move || {
            let mut file = match File::open(&path) {
                Ok(file) => file,
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                    return Err(QuarantinedError::NotKept);
                }
                Err(_) => return Err(QuarantinedError::Damaged),
            };
            let header = ObjectHeader::read(&mut file).ok().flatten();
            let header = header.ok_or(QuarantinedError::Damaged)?;
            let mut data = DataSet::new(file, header.data_len).map_err(|_| QuarantinedError::Damaged)?;
            match data.sha256() {
                Ok(sha256) if sha256 == header.data_sha256 => Ok(()),
                _ => Err(QuarantinedError::Damaged),
            }?;
            let data = data.again().map_err(|_| QuarantinedError::Damaged)?;
            Ok(Quarantined { header, data })
        });
        opened.await.map_err(|_| SpoolError::Stopped)?
    }

    /// Reads an object on the quarantine list again and, when it can be used now, takes it in as if it had just come; it
    /// leaves the list and the quarantine then. Whatever fails, it stays there.
    pub async fn release_quarantined(&self, object_id: &ObjectId) -> Result<Released, QuarantinedError> {
        let _act = Act::begin(&self.shared, object_id)?;
        let quarantined = self.open_quarantined(object_id).await?;
        let data_len = quarantined.header.data_len;
        let spool = self.clone();
        let taken_in = tokio::task::spawn_blocking(move || spool.take_in_again(quarantined));
        let stored = taken_in.await.map_err(|_| SpoolError::Stopped)??;
        self.leave_quarantine(object_id).await?;
        self.remove_released(object_id, data_len).await;
        let Stored::New { object_id, .. } = stored else {
            return Ok(Released::Duplicate);
        };
        let standing = self.object_states(&[object_id]).await?;
        let is_held = |object: &super::ObjectStanding| object.state == ObjectState::Held;
        Ok(match standing.iter().flatten().any(is_held) {
            true => Released::Held,
            false => Released::Queued,
        })
    }

    /// Takes a quarantined object off the technologist's list; its bytes stay.
    pub async fn dismiss_quarantine(&self, object_id: &ObjectId) -> Result<(), QuarantinedError> {
        let _act = Act::begin(&self.shared, object_id)?;
        Ok(self.leave_quarantine(object_id).await?)
    }

    async fn leave_quarantine(&self, object_id: &ObjectId) -> Result<(), SpoolError> {
        let object_id = object_id.clone();
        self.change(|reply| Change::Dismiss { object_id, reply }).await
    }

    /// Removes the copy of an object whose bytes are durable in the spool by now. One that stays is listed again by a
    /// rebuilt index only, and released again it is a duplicate.
    async fn remove_released(&self, object_id: &ObjectId, data_len: u64) {
        match tokio::fs::remove_file(self.shared.layout.quarantine_file(object_id)).await {
            Ok(()) => self.shared.give_quarantine_room(HEADER_BYTES as u64 + data_len),
            Err(error) => {
                tracing::warn!(object.id = %object_id, %error, "a released object stays in the quarantine as well");
            }
        }
    }

    fn take_in_again(&self, quarantined: Quarantined) -> Result<Stored, QuarantinedError> {
        quarantined.judge(&self.shared.options.limits)?;
        let mut data = quarantined.data.again().map_err(|_| QuarantinedError::Damaged)?;
        let activity = self.activity();
        let mut incoming = self.receive(quarantined.arrival()?)?;
        let mut chunk = vec![0; CHUNK_BYTES];
        loop {
            match data.read(&mut chunk) {
                Ok(0) => break,
                Ok(n) => incoming.write(&chunk[..n])?,
                Err(_) => return Err(QuarantinedError::Damaged),
            }
        }
        Ok(incoming.finish(&activity)?)
    }
}

#[cfg(test)]
mod tests {
    use tancho_domain::dicom::Priority;
    use tancho_imaging::synthetic::CtSlice;

    use std::sync::atomic::Ordering;

    use super::*;
    use crate::clock::Clock;
    use crate::spool::layout::Layout;
    use crate::spool::{QUARANTINE_SHOWN_MAX, QuarantineRow};
    use crate::spool::{SpoolOptions, SpoolWorkers};

    const EXPLICIT_LE: &str = "1.2.840.10008.1.2.1";

    async fn open(folder: &std::path::Path, elements: u64) -> (Spool, SpoolWorkers) {
        let (clock, _) = Clock::manual(1_700_000_000_000);
        let mut options = SpoolOptions::new(folder);
        options.limits.max_elements = elements;
        Spool::open(options, clock).await.unwrap()
    }

    fn send(spool: &Spool, data_set: &[u8]) -> Result<(), IntakeError> {
        let arrival = Arrival {
            calling_ae: AeTitle::parse("CT1").unwrap(),
            called_ae: AeTitle::parse("TANCHO").unwrap(),
            peer: "127.0.0.1".to_owned(),
            priority: Priority::Routine,
            transfer_syntax: EXPLICIT_LE.to_owned(),
            announced: None,
        };
        let mut incoming = spool.receive(arrival)?;
        incoming.write(data_set)?;
        incoming.finish(&spool.activity()).map(drop)
    }

    /// What one version could not use and the next one can is taken in, once, byte for byte.
    #[tokio::test(flavor = "multi_thread")]
    async fn an_object_that_can_be_used_now_is_released() {
        let folder = tempfile::tempdir().unwrap();
        let data_set = CtSlice::default()
            .data_set(&TransferSyntaxUid::parse(EXPLICIT_LE).unwrap())
            .unwrap();
        let (spool, workers) = open(folder.path(), 3).await;
        let sending = spool.clone();
        let bytes = data_set.clone();
        let refused = tokio::task::spawn_blocking(move || send(&sending, &bytes))
            .await
            .unwrap();
        assert!(
            matches!(refused, Err(IntakeError::Unusable("too_many_elements"))),
            "{refused:?}"
        );
        let object_id = spool.quarantine()[0].object_id.clone();
        let still = spool.release_quarantined(&object_id).await.unwrap_err();
        assert_eq!(still.code(), "too_many_elements");
        spool.stop();
        drop(spool);
        workers.join().await;

        let (spool, workers) = open(folder.path(), ScanLimits::default().max_elements).await;
        {
            let _other = Act::begin(&spool.shared, &object_id).unwrap();
            let busy = [
                spool.release_quarantined(&object_id).await.err(),
                spool.dismiss_quarantine(&object_id).await.err(),
            ];
            assert!(
                busy.iter()
                    .all(|error| matches!(error, Some(QuarantinedError::Busy))),
                "{busy:?}"
            );
        }
        assert_eq!(
            spool.release_quarantined(&object_id).await.unwrap(),
            Released::Queued
        );
        assert!(spool.quarantine().is_empty());
        let file = spool.shared.layout.quarantine_file(&object_id);
        assert!(!file.exists(), "the bytes are in the spool now");
        assert_eq!(spool.shared.quarantine_bytes.load(Ordering::SeqCst), 0);
        let study = &spool.studies()[0];
        assert_eq!(
            (study.instances.n_instances, study.instances.original_len),
            (1, data_set.len() as u64)
        );
        assert!(study.withheld.is_empty());
        let again = spool.release_quarantined(&object_id).await.unwrap_err();
        assert_eq!(again.code(), "quarantine_not_found");
        spool.stop();
        drop(spool);
        workers.join().await;
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn what_a_full_list_does_not_show_follows_as_others_leave_it() {
        let folder = tempfile::tempdir().unwrap();
        let (spool, workers) = open(folder.path(), 3).await;
        spool.stop();
        drop(spool);
        workers.join().await;
        let layout = Layout::open(folder.path()).unwrap();
        let (db, _) = index::open_writer(&layout.index_file()).unwrap();
        let id = |n: usize| ObjectId::new(uuid::Uuid::from_u128(n as u128));
        index::begin(&db).unwrap();
        for n in 0..=QUARANTINE_SHOWN_MAX {
            let row = QuarantineRow {
                object_id: id(n),
                reason: "uid_missing".to_owned(),
                received_at_ms: n as i64,
                calling_ae: "CT01".to_owned(),
                data_len: 1,
                study_instance_uid: None,
                sop_instance_uid: String::new(),
            };
            index::insert_quarantine(&db, &row).unwrap();
        }
        index::commit(&db).unwrap();
        index::close(db);
        drop(layout);

        let (spool, workers) = open(folder.path(), 3).await;
        let is_shown = |n: usize| spool.quarantine().iter().any(|row| row.object_id == id(n));
        assert_eq!(spool.quarantine().len(), QUARANTINE_SHOWN_MAX);
        assert!(!is_shown(0));
        let hidden = spool.open_quarantined(&id(0)).await.err().unwrap();
        assert_eq!(
            hidden.code(),
            QuarantinedError::NotKept.code(),
            "it is known, its bytes are not here"
        );
        spool.dismiss_quarantine(&id(QUARANTINE_SHOWN_MAX)).await.unwrap();
        assert_eq!(spool.quarantine().len(), QUARANTINE_SHOWN_MAX);
        assert!(is_shown(0) && !is_shown(QUARANTINE_SHOWN_MAX));
        spool.stop();
        drop(spool);
        workers.join().await;
    }

    /// The same bytes again, and those of another patient, are taken in and not sent: that is said.
    #[tokio::test(flavor = "multi_thread")]
    async fn a_released_object_that_is_not_sent_is_not_said_to_be() {
        let folder = tempfile::tempdir().unwrap();
        let slice = |number: u32, patient: &str| {
            let slice = CtSlice {
                sop_instance_uid: format!("2.25.90.{number}"),
                instance_number: number,
                patient_id: patient.to_owned(),
                ..CtSlice::default()
            };
            slice
                .data_set(&TransferSyntaxUid::parse(EXPLICIT_LE).unwrap())
                .unwrap()
        };
        let same = slice(1, "1");
        let all = [same.clone(), slice(2, "2")];
        let sent = |spool: &Spool, objects: Vec<Vec<u8>>| {
            let spool = spool.clone();
            tokio::task::spawn_blocking(move || {
                objects
                    .iter()
                    .map(|object| send(&spool, object).is_ok())
                    .collect::<Vec<_>>()
            })
        };
        let (spool, workers) = open(folder.path(), 3).await;
        assert_eq!(sent(&spool, all.to_vec()).await.unwrap(), [false, false]);
        spool.stop();
        drop(spool);
        workers.join().await;

        let (spool, workers) = open(folder.path(), ScanLimits::default().max_elements).await;
        let rows = spool.quarantine();
        assert_eq!(sent(&spool, vec![same.clone()]).await.unwrap(), [true]);
        let mut outcomes = Vec::new();
        for row in &rows {
            outcomes.push((
                row.data_len,
                spool.release_quarantined(&row.object_id).await.unwrap(),
            ));
        }
        outcomes.sort_by_key(|(_, outcome)| outcome.code());
        let codes: Vec<_> = outcomes.iter().map(|(_, outcome)| outcome.code()).collect();
        assert_eq!(codes, ["duplicate", "held"]);
        assert_eq!(Layout::object_ids(&spool.shared.layout.quarantine()).unwrap(), []);
        spool.stop();
        drop(spool);
        workers.join().await;
    }
}
