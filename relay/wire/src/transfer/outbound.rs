//! What the sender is given and what it gives: instances, choices of the site, ranges, events.

use tancho_domain::dicom::{
    Priority, SeriesInstanceUid, SopClassUid, SopInstanceUid, StudyInstanceUid, TransferSyntaxUid,
};

use crate::digest::Digest;
use crate::frame::{Offer, OfferItem, Receipt, Refusal};

/// An instance the agent holds, durable and immutable, and that has no receipt yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outbound {
    /// SHA-256 of the container file; names it here and on the line.
    pub container_sha256: Digest,
    /// Bytes in the container.
    pub container_len: u64,
    /// Bytes of header, table and coded head.
    pub head_end: u64,
    /// Bytes up to the end of the low-resolution parts of all frames; `None` when there are none.
    pub preview_end: Option<u64>,
    /// SHA-256 of the data set as received.
    pub original_sha256: Digest,
    /// Bytes of the data set as received.
    pub original_len: u64,
    /// Its study.
    pub study_instance_uid: StudyInstanceUid,
    /// Its series.
    pub series_instance_uid: SeriesInstanceUid,
    /// Its own identifier.
    pub sop_instance_uid: SopInstanceUid,
    /// Its kind.
    pub sop_class_uid: SopClassUid,
    /// How the data set came.
    pub transfer_syntax_uid: TransferSyntaxUid,
    /// Who sent it to the agent.
    pub calling_ae: String,
    /// Which title of the agent it was sent to.
    pub called_ae: String,
    /// How soon the relay needs it.
    pub priority: Priority,
    /// When it was durable at the agent, milliseconds UTC.
    pub received_at_ms: i64,
    /// It came in this run of the agent, so no earlier run can have sent bytes of it.
    pub is_new: bool,
}

/// Choices of the site.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SenderConfig {
    /// A new study of a class is offered only while fewer bytes of the class are offered and unsent.
    pub offer_ahead_bytes: u64,
    /// Thousandths of the line for urgent work while stat work is busy; taken as 1 to 1000.
    pub urgent_share_per_mille: u16,
    /// Thousandths of the line for routine work while higher work is busy; taken as 1 to 1000.
    pub routine_share_per_mille: u16,
    /// Payload bytes a second that this node may put on the line, for all classes together; at least
    /// `limits::RATE_CAP_BYTES_PER_S_MIN`. `None` for all that the line carries.
    pub rate_cap_bytes_per_s: Option<u64>,
}

impl Default for SenderConfig {
    fn default() -> Self {
        Self {
            offer_ahead_bytes: 32 << 20,
            urgent_share_per_mille: 100,
            routine_share_per_mille: 50,
            rate_cap_bytes_per_s: None,
        }
    }
}

/// What to do about the line now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NextRange {
    /// Put this on the line; it counts as sent.
    Send(RangeToSend),
    /// The node's cap is used up: ask again at this instant, or earlier if something changes.
    NotBefore(u64),
    /// Nothing to send: ask again when something changes.
    Nothing,
}

/// A range to put on the line now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RangeToSend {
    /// Which container.
    pub container_sha256: Digest,
    /// First byte.
    pub offset: u64,
    /// Number of bytes, at most `limits::RANGE_BYTES_MAX`.
    pub len: u64,
    /// Class it was chosen in.
    pub priority: Priority,
    /// Of the head or of the low-resolution parts.
    pub is_first_part: bool,
}

/// What the spool must record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SenderEvent {
    /// The relay holds it durably and rebuilt it to the right digest.
    Durable(Receipt),
    /// The relay did not take it; not offered again unless the kind is `Later`.
    Refused(Refusal),
    /// A receipt named another original digest than ours: never delete, tell a person.
    ReceiptDoubtful(Receipt),
}

/// Whether an instance may go into this Offer.
pub(super) fn same_group(offer: &Offer, outbound: &Outbound) -> bool {
    offer.study_instance_uid == outbound.study_instance_uid
        && offer.series_instance_uid == outbound.series_instance_uid
        && offer.sop_class_uid == outbound.sop_class_uid
        && offer.transfer_syntax_uid == outbound.transfer_syntax_uid
        && offer.calling_ae == outbound.calling_ae
        && offer.called_ae == outbound.called_ae
        && offer.priority == outbound.priority
}

/// An Offer of this instance alone.
pub(super) fn new_offer(outbound: &Outbound) -> Offer {
    Offer {
        study_instance_uid: outbound.study_instance_uid.clone(),
        series_instance_uid: outbound.series_instance_uid.clone(),
        sop_class_uid: outbound.sop_class_uid.clone(),
        transfer_syntax_uid: outbound.transfer_syntax_uid.clone(),
        calling_ae: outbound.calling_ae.clone(),
        called_ae: outbound.called_ae.clone(),
        priority: outbound.priority,
        items: vec![offer_item(outbound)],
    }
}

/// The part of an Offer that is about this instance alone.
pub(super) fn offer_item(outbound: &Outbound) -> OfferItem {
    OfferItem {
        container_sha256: outbound.container_sha256,
        container_len: outbound.container_len,
        head_end: outbound.head_end,
        preview_end: outbound.preview_end,
        sop_instance_uid: outbound.sop_instance_uid.clone(),
        original_sha256: outbound.original_sha256,
        original_len: outbound.original_len,
        received_at_ms: outbound.received_at_ms,
    }
}
