//! What the spool and the uplink say to each other: objects ready for the line, receipts, manifests,
//! the technologist's requests, and what the relay answered.

use serde::{Deserialize, Serialize};
use tancho_domain::dicom::{
    AeTitle, Priority, SeriesInstanceUid, SopClassUid, SopInstanceUid, StudyInstanceUid, TransferSyntaxUid,
};
use tancho_domain::ids::{CommandId, ObjectId};

use super::withheld::Withheld;

/// An object whose container is durable and which the relay has not receipted yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutboundObject {
    /// The spool's own identifier; file names and receipts use it.
    pub object_id: ObjectId,
    /// Study Instance UID (0020,000D).
    pub study_instance_uid: StudyInstanceUid,
    /// Series Instance UID (0020,000E).
    pub series_instance_uid: SeriesInstanceUid,
    /// SOP Instance UID (0008,0018).
    pub sop_instance_uid: SopInstanceUid,
    /// SOP Class UID (0008,0016).
    pub sop_class_uid: SopClassUid,
    /// The transfer syntax the object was received in.
    pub transfer_syntax: TransferSyntaxUid,
    /// SHA-256 over the whole container file.
    pub container_sha256: [u8; 32],
    /// Length of the container file in bytes.
    pub container_len: u64,
    /// Bytes from the container's start that hold its header, table of contents and head section.
    pub head_end: u64,
    /// Bytes from the container's start that hold the low-resolution parts of all frames as well.
    pub preview_end: Option<u64>,
    /// SHA-256 over the data set as received.
    pub original_sha256: [u8; 32],
    /// Length of the data set as received, in bytes.
    pub original_len: u64,
    /// Application entity that sent it; `IMPORT` for files handed over by `tancho-agent send`.
    pub calling_ae: AeTitle,
    /// Application entity title it was sent to.
    pub called_ae: AeTitle,
    /// How soon it must be at the relay.
    pub priority: Priority,
    /// When its C-STORE was answered with success.
    pub received_at_ms: i64,
}

/// The relay's statement that an object is durable there, with the digests it computed itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Receipt {
    /// The object, by the spool's identifier.
    pub object_id: ObjectId,
    /// SHA-256 of the container that is answered; the relay may hold the object in another one.
    pub container_sha256: [u8; 32],
    /// SHA-256 of the data set the relay rebuilt from the container.
    pub original_sha256: [u8; 32],
    /// When the relay says it became durable.
    pub received_at_ms: i64,
}

/// One study as this agent holds it: what the relay compares its own count with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StudyManifest {
    /// Study Instance UID (0020,000D).
    pub study_instance_uid: StudyInstanceUid,
    /// The most urgent priority of its objects and requests.
    pub priority: Priority,
    /// Whether the quiet time passed or the technologist said that nothing more comes.
    pub closed: bool,
    /// SOP Instance UIDs received so far; one that came with other bytes again counts once, as at the relay.
    pub n_instances: u64,
    /// Bytes of the data set that came first under each.
    pub n_bytes_original: u64,
    /// Begins with the instant the study's row was made and grows by one each time a late instance reopens a closed
    /// study, or what is withheld of a closed one changes, so that it also grows when the study was forgotten in between.
    pub generation: u64,
    /// Instances that stay here. Those held back and those in quarantine are not among `n_instances`.
    pub withheld: Withheld,
}

/// A reading request the technologist filled in, waiting for the relay's answer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RequestForm {
    /// Made in the technologist's browser, so that repeating it changes nothing.
    pub command_id: CommandId,
    /// The study to read.
    pub study_instance_uid: StudyInstanceUid,
    /// `stroke_code`, `critical`, `urgent`, `routine` or `elective`.
    pub urgency: String,
    /// Clinical context fields by their stable ids; a field that was not answered is absent.
    pub clinical_context: serde_json::Value,
    /// Telephone number the reader calls.
    pub callback_number: String,
    /// Whom to ask for there.
    pub callback_person: Option<String>,
    /// Physician responsible for the patient at this site.
    pub responsible_physician: Option<String>,
    /// When the technologist sent the form.
    pub created_at_ms: i64,
}

/// The relay's answer to a [`RequestForm`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "outcome")]
pub enum RequestResult {
    /// The request is open, or was completed by the form when a rule had opened it before.
    Accepted {
        /// The relay's identifier of the reading request.
        reading_request_id: String,
        /// Four or six digits for the telephone.
        case_code: String,
    },
    /// The relay refused the form; the technologist corrects it and sends again.
    Refused {
        /// Stable code, such as `callback_number_invalid`.
        code: String,
        /// What to do about it, without patient data.
        text: String,
    },
}

/// What the relay knows about the reading of a study, for the technologist's page.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StudyUpdate {
    /// Study Instance UID (0020,000D).
    pub study_instance_uid: StudyInstanceUid,
    /// The relay's identifier of the reading request, once there is one.
    pub reading_request_id: Option<String>,
    /// Case code for the telephone.
    pub case_code: Option<String>,
    /// State of the reading request, such as `claimed`; empty while none exists.
    pub state: String,
    /// Name of the reader who claimed it.
    pub reader_name: Option<String>,
    /// Whether the clinical context is still incomplete at the relay.
    pub clinical_context_complete: bool,
    /// When the relay said so.
    pub at_ms: i64,
}
