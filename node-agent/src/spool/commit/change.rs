//! What can be asked of the writer, each with the place where its answer goes.

use std::path::PathBuf;

use tancho_domain::dicom::Priority;
use tancho_domain::ids::{CommandId, ObjectId};
use tokio::sync::oneshot;

use super::FileState;
use crate::spool::SpoolError;
use crate::spool::index::{CodedObject, NewObject, QuarantineRow};
use crate::spool::outbound::{Receipt, RequestForm, RequestResult, StudyUpdate};
use crate::spool::studies::{ObjectState, StudyLabel};

/// Where an answer goes.
pub type Reply<T> = oneshot::Sender<Result<T, SpoolError>>;

/// What became of a received object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Stored {
    /// It is new.
    New {
        /// Our identifier.
        object_id: ObjectId,
        /// 1, or more when the SOP Instance UID was here with other bytes.
        revision: u64,
    },
    /// The same bytes were here already.
    Duplicate {
        /// Identifier of the copy that stays.
        object_id: ObjectId,
    },
}

impl Stored {
    /// Identifier under which the bytes are in the spool.
    #[must_use]
    pub fn object_id(&self) -> &ObjectId {
        match self {
            Self::New { object_id, .. } | Self::Duplicate { object_id } => object_id,
        }
    }
}

/// A change of the spool's state.
pub enum Change {
    /// A received object. Its file is made durable in this numbered folder while the row is written; the commit waits
    /// for it.
    Store {
        object: Box<NewObject>,
        label: Box<StudyLabel>,
        folder: i64,
        file: FileState,
        reply: Reply<Stored>,
    },
    /// A received object that cannot be used; no file when there was no room for it.
    Quarantine {
        row: QuarantineRow,
        partial: Option<PathBuf>,
        reply: Reply<()>,
    },
    /// The study of quarantined objects that named none, by a neighbour's word.
    PlaceQuarantine {
        objects: Vec<ObjectId>,
        study: String,
        reply: Reply<()>,
    },
    /// Containers that are durable.
    Coded {
        objects: Vec<CodedObject>,
        reply: Reply<()>,
    },
    /// An object that the coder or the relay had to give up.
    SetAside {
        object_id: ObjectId,
        state: ObjectState,
        code: String,
        reply: Reply<()>,
    },
    /// An object whose container must be made again.
    CodeAgain { object_id: ObjectId, reply: Reply<()> },
    /// The relay's receipt.
    Receipt { receipt: Receipt, reply: Reply<()> },
    /// The relay holds a closed study whole.
    ManifestConfirmed {
        study: String,
        generation: u64,
        reply: Reply<()>,
    },
    /// Nothing more is expected of a study.
    Close { study: String, reply: Reply<()> },
    /// Another priority for a study.
    Prioritise {
        study: String,
        priority: Priority,
        reply: Reply<()>,
    },
    /// A person looked at the held objects of a study that name one patient and lets them go; gives how many.
    ReleaseHeld {
        study: String,
        patient: Option<String>,
        reply: Reply<u64>,
    },
    /// A person says that the held objects of a study that name one patient are not of it; gives how many.
    DismissHeld {
        study: String,
        patient: Option<String>,
        reply: Reply<u64>,
    },
    /// A reading request form, its file already durable.
    Request {
        form: Box<RequestForm>,
        reply: Reply<()>,
    },
    /// The relay's answer to a form.
    RequestResult {
        command_id: CommandId,
        result: RequestResult,
        reply: Reply<()>,
    },
    /// News about the reading of a study.
    RelayUpdate {
        update: Box<StudyUpdate>,
        reply: Reply<()>,
    },
    /// Objects whose files were deleted after receipt and retention.
    Delete {
        objects: Vec<ObjectId>,
        reply: Reply<()>,
    },
    /// Forgets which instances of studies were delivered and deleted, by the index's number of each study.
    ForgetDelivered { studies: Vec<i64>, reply: Reply<()> },
    /// A quarantined object nobody needs to see any more.
    Dismiss { object_id: ObjectId, reply: Reply<()> },
}
