//! What is said over the control socket.

use serde::{Deserialize, Serialize};
use tancho_domain::dicom::Priority;
use tancho_domain::ids::ObjectId;

use crate::conformance::Card;
use crate::deliver::{DestinationPicture, PromisePicture};
use crate::link::LinkStatus;
use crate::troubles::Trouble;

/// A request, one JSON line.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "op", rename_all = "snake_case")]
pub enum Request {
    /// Figures of the agent.
    Status,
    /// Objects follow, each announced by an [`ObjectLine`].
    Send {
        /// Priority on the line.
        priority: Priority,
    },
    /// Progress of objects until all are durable at the relay or given up.
    Watch {
        /// The objects.
        objects: Vec<ObjectId>,
    },
    /// Nothing more is expected of the studies of these objects.
    Close {
        /// Study Instance UIDs.
        studies: Vec<String>,
    },
}

/// Announces the frames of one object: a four-byte big-endian length and as many bytes, ended by length 0.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ObjectLine {
    /// Transfer syntax of the data set.
    pub transfer_syntax: String,
    /// SOP Class and SOP Instance UID of the file meta information, when there are any.
    pub announced: Option<(String, String)>,
}

/// The answer to one object.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "outcome", rename_all = "snake_case")]
pub enum ObjectAnswer {
    /// Durable in the spool.
    Stored {
        /// Its identifier there.
        object_id: ObjectId,
        /// It was there before.
        duplicate: bool,
        /// Bytes of its data set.
        bytes: u64,
    },
    /// Not stored.
    Failed {
        /// Stable code.
        code: String,
    },
}

/// Progress of watched objects.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Progress {
    /// Objects watched.
    pub n_objects: u64,
    /// Durable at the relay.
    pub n_durable: u64,
    /// Given up: refused, held back or damaged.
    pub n_failed: u64,
    /// Instances of their studies.
    pub n_instances: u64,
    /// Of these, the ones a reader can look at, at whatever resolution.
    pub n_preview: u64,
    /// Bytes of the data sets.
    pub bytes_original: u64,
    /// Bytes of the containers made so far.
    pub bytes_container: u64,
    /// Container bytes at the relay or on the line.
    pub bytes_sent: u64,
    /// Why the first one was given up.
    pub failure: Option<String>,
    /// Why nothing can travel now: the code of the line's state, or `not_enrolled`.
    pub offline: Option<String>,
}

/// Figures of the agent; no patient data.
#[derive(Debug, Clone, Serialize)]
pub struct Status {
    /// The line.
    pub link: LinkStatus,
    /// What a person has to know, the loudest first.
    pub troubles: Vec<Trouble>,
    /// Studies in the spool.
    pub n_studies: u64,
    /// Of these, still open.
    pub n_studies_open: u64,
    /// Objects waiting for the coder, and bytes of their data sets.
    pub n_waiting_coder: u64,
    /// Objects waiting for the line or on it.
    pub n_waiting_line: u64,
    /// Bytes of their containers.
    pub bytes_waiting_line: u64,
    /// When the object came that waits longest to be sent.
    pub oldest_waiting_at_ms: Option<i64>,
    /// Objects durable at the relay and not deleted yet.
    pub n_durable: u64,
    /// Objects refused by the relay.
    pub n_refused: u64,
    /// Objects held back.
    pub n_held: u64,
    /// Spool files found damaged.
    pub n_damaged: u64,
    /// Quarantined objects nobody dismissed.
    pub n_quarantined: u64,
    /// Reading requests without an answer of the relay.
    pub n_requests_pending: u64,
    /// The conformance card of each modality, those with faults first.
    pub conformance: Vec<Card>,
    /// Free bytes of the disk.
    pub disk_free_bytes: u64,
    /// Bytes that intake leaves free.
    pub disk_reserve_bytes: u64,
    /// Whether the technologist's page warns of little space.
    pub disk_low: bool,
    /// Whether intake is refused for want of space.
    pub disk_full: bool,
    /// Where received objects are delivered to.
    pub deliveries: Vec<DestinationPicture>,
    /// Storage commitment that modalities wait for.
    pub promises: PromisePicture,
    /// Version of the program.
    pub version: String,
}
