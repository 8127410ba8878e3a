//! The durable store between the modality and the relay: C-STORE success means that an object is here.
//!
//! Order of every intake: bytes, fsync, rename, directory fsync, database commit, answer. Nothing is deleted
//! before the relay's receipt and a retention time. `spool/README.md` gives the format on disk.

pub mod outbound;

use std::fs::File;
use std::io;

use tancho_domain::ids::{CommandId, ObjectId};
use tokio::sync::watch;

pub use outbound::{OutboundObject, Receipt, RequestForm, RequestResult, StudyManifest, StudyUpdate};

/// Most objects one call of [`Spool::outbound`] returns; the next ones move up as receipts come in.
pub const OUTBOUND_OBJECTS_MAX: usize = 4096;

/// A state change that could not be made durable.
#[derive(Debug, thiserror::Error)]
pub enum SpoolError {
    /// Nothing in the spool has this identifier.
    #[error("object not found in the spool")]
    NotFound,
    /// A receipt names digests that are not the object's: it must not lead to a deletion.
    #[error("receipt does not name the digests of the object")]
    ReceiptMismatch,
    /// The file system failed.
    #[error("spool file system: {0}")]
    Io(#[from] io::Error),
    /// The index failed.
    #[error("spool index: {0}")]
    Index(String),
}

/// Handle to the spool; clones share it.
#[derive(Clone)]
pub struct Spool {
    changed: watch::Sender<u64>,
}

impl Spool {
    /// Coded objects without a receipt, most urgent and longest waiting first, at most [`OUTBOUND_OBJECTS_MAX`].
    #[must_use]
    pub fn outbound(&self) -> Vec<OutboundObject> {
        todo!()
    }

    /// Bumps when outbound objects, study manifests or pending requests changed.
    #[must_use]
    pub fn subscribe(&self) -> watch::Receiver<u64> {
        self.changed.subscribe()
    }

    /// Opens the object's container for positional reads; it is durable and never changes.
    pub async fn container_file(&self, object_id: &ObjectId) -> io::Result<File> {
        let _ = object_id;
        todo!()
    }

    /// Records the relay's receipt; both digests must be the object's own.
    pub async fn record_receipt(&self, receipt: Receipt) -> Result<(), SpoolError> {
        let _ = receipt;
        todo!()
    }

    /// Records that the relay refused an object; it leaves the outbound list and shows on the page.
    /// Code `container_mismatch` has the container made again in its plain form instead.
    pub async fn record_refusal(
        &self,
        object_id: &ObjectId,
        code: &str,
        text: &str,
    ) -> Result<(), SpoolError> {
        let _ = (object_id, code, text);
        todo!()
    }

    /// Studies that the relay has not confirmed whole at their current generation, open or closed.
    #[must_use]
    pub fn study_manifests(&self) -> Vec<StudyManifest> {
        todo!()
    }

    /// Records that the relay confirmed the manifest of a closed study at this generation.
    pub async fn record_manifest_confirmed(
        &self,
        study_instance_uid: &str,
        generation: u64,
    ) -> Result<(), SpoolError> {
        let _ = (study_instance_uid, generation);
        todo!()
    }

    /// The technologist's requests without an answer from the relay, oldest first.
    #[must_use]
    pub fn pending_requests(&self) -> Vec<RequestForm> {
        todo!()
    }

    /// Records the relay's answer to a request.
    pub async fn record_request_result(
        &self,
        command_id: &CommandId,
        result: RequestResult,
    ) -> Result<(), SpoolError> {
        let _ = (command_id, result);
        todo!()
    }

    /// Records what the relay says about the reading of a study.
    pub async fn record_relay_update(&self, update: StudyUpdate) -> Result<(), SpoolError> {
        let _ = update;
        todo!()
    }
}
