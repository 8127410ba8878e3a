//! Quarantined objects once more: handed out as they came, or read again by the rules of the day.
//!
//! A release is an intake like any other: what is still not usable stays where it is. So the relay never gets an object
//! that a modality could not have sent it.

use std::fs::File;
use std::io::{self, BufReader, Read};
use std::panic::{AssertUnwindSafe, catch_unwind};

use tancho_domain::dicom::{AeTitle, SopClassUid, SopInstanceUid, TransferSyntaxUid};
use tancho_domain::ids::ObjectId;
use tancho_imaging::limits::ScanLimits;
use tancho_imaging::{part10, scan};

use super::object_file::{DataSet, ObjectHeader};
use super::receive::{Arrival, IntakeError};
use super::{Spool, SpoolError};

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
            Err(QuarantinedError::Unusable("uid_mismatch"))
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
        if !self.quarantine().iter().any(|row| row.object_id == *object_id) {
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
    /// leaves the list then. Whatever fails, it stays there.
    pub async fn release_quarantined(&self, object_id: &ObjectId) -> Result<(), QuarantinedError> {
        let quarantined = self.open_quarantined(object_id).await?;
        let spool = self.clone();
        let taken_in = tokio::task::spawn_blocking(move || spool.take_in_again(quarantined));
        taken_in.await.map_err(|_| SpoolError::Stopped)??;
        Ok(self.dismiss_quarantine(object_id).await?)
    }

    fn take_in_again(&self, quarantined: Quarantined) -> Result<(), QuarantinedError> {
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
        incoming.finish(&activity)?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use tancho_domain::dicom::Priority;
    use tancho_imaging::synthetic::CtSlice;

    use super::*;
    use crate::clock::Clock;
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
        spool.release_quarantined(&object_id).await.unwrap();
        assert!(spool.quarantine().is_empty());
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
}
