//! Bodies of the frames. Field numbers are permanent; new fields are optional and get new numbers.
//!
//! Identity is never a field: node, site and network follow from the certificate alone.

use minicbor::{Decode, Encode};
use tancho_domain::dicom::{
    Priority, SeriesInstanceUid, SopClassUid, SopInstanceUid, StudyInstanceUid, TransferSyntaxUid,
};
use tancho_domain::ids::CommandId;

use crate::digest::Digest;
use crate::{field, limits};

fn is_false(flag: &bool) -> bool {
    !flag
}

/// First frame of the agent.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Hello {
    /// Oldest version the agent speaks.
    #[n(0)]
    pub version_min: u16,
    /// Newest version the agent speaks.
    #[n(1)]
    pub version_max: u16,
    /// Random, new at each start of the agent: two at once under one certificate mean a copied machine.
    #[cbor(n(2), with = "minicbor::bytes")]
    pub boot_id: [u8; 16],
    /// Name and version of the program, for people.
    #[cbor(n(3), with = "field::text")]
    pub software: String,
    /// The agent's wall clock, milliseconds UTC. Shown and compared, never used for a decision.
    #[n(4)]
    pub now_ms: i64,
    /// Feature numbers the agent cannot do without.
    #[n(5)]
    pub features_required: Vec<u16>,
    /// Feature numbers the agent could use.
    #[n(6)]
    pub features_supported: Vec<u16>,
}

/// The relay's answer to Hello.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Welcome {
    /// The version both speak from here on.
    #[n(0)]
    pub version: u16,
    /// Name and version of the program, for people.
    #[cbor(n(1), with = "field::text")]
    pub software: String,
    /// The relay's wall clock, milliseconds UTC.
    #[n(2)]
    pub now_ms: i64,
    /// Features in use on this connection.
    #[n(3)]
    pub features: Vec<u16>,
    /// Instances that may be offered and unanswered at one time.
    #[n(4)]
    pub offers_open_max: u32,
    /// The node as the relay knows it.
    #[cbor(n(5), with = "field::text")]
    pub node_id: String,
    /// Short code of the node's site.
    #[cbor(n(6), with = "field::text")]
    pub site_code: String,
    /// Name of the node's site.
    #[cbor(n(7), with = "field::text")]
    pub site_name: String,
}

/// Why the connection ends.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Close {
    /// A `CloseCode`.
    #[n(0)]
    pub code: u32,
    /// For people.
    #[cbor(n(1), with = "field::reason")]
    pub reason: String,
}

/// Heartbeat and clock probe.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Ping {
    /// Counts up per connection and direction.
    #[n(0)]
    pub seq: u64,
    /// The sender's wall clock, milliseconds UTC.
    #[n(1)]
    pub now_ms: i64,
}

/// Answer to a Ping.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Pong {
    /// The Ping's number.
    #[n(0)]
    pub seq: u64,
    /// The Ping's clock, sent back so that the asker keeps nothing.
    #[n(1)]
    pub ping_now_ms: i64,
    /// The answerer's wall clock, milliseconds UTC.
    #[n(2)]
    pub now_ms: i64,
}

/// Instances of one series with one transfer syntax and one priority.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Offer {
    /// Study of all items.
    #[cbor(n(0), with = "field::id")]
    pub study_instance_uid: StudyInstanceUid,
    /// Series of all items.
    #[cbor(n(1), with = "field::id")]
    pub series_instance_uid: SeriesInstanceUid,
    /// SOP Class of all items.
    #[cbor(n(2), with = "field::id")]
    pub sop_class_uid: SopClassUid,
    /// Transfer syntax the original data sets came in.
    #[cbor(n(3), with = "field::id")]
    pub transfer_syntax_uid: TransferSyntaxUid,
    /// Calling AE title at the agent, or how else the objects came.
    #[cbor(n(4), with = "field::text")]
    pub calling_ae: String,
    /// Called AE title at the agent.
    #[cbor(n(5), with = "field::text")]
    pub called_ae: String,
    /// How soon they are needed.
    #[cbor(n(6), with = "field::priority")]
    pub priority: Priority,
    /// At least one and at most `limits::OFFER_ITEMS_MAX`.
    #[n(7)]
    pub items: Vec<OfferItem>,
}

/// One instance of an Offer.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct OfferItem {
    /// SHA-256 of the whole container; names the instance on this connection.
    #[n(0)]
    pub container_sha256: Digest,
    /// Bytes in the container.
    #[n(1)]
    pub container_len: u64,
    /// Bytes of its header, table and coded head: what the relay needs to list the instance.
    #[n(2)]
    pub head_end: u64,
    /// SOP Instance UID.
    #[cbor(n(3), with = "field::id")]
    pub sop_instance_uid: SopInstanceUid,
    /// SHA-256 of the data set as received by the agent.
    #[n(4)]
    pub original_sha256: Digest,
    /// Bytes of the data set as received by the agent.
    #[n(5)]
    pub original_len: u64,
    /// When the agent had it durable; the agent's clock, milliseconds UTC.
    #[n(6)]
    pub received_at_ms: i64,
    /// Bytes up to the end of the low-resolution parts of all frames, from `head_end` to `container_len`: what the
    /// relay needs to show the instance blurred. `None` when the container has no such parts.
    #[n(7)]
    pub preview_end: Option<u64>,
}

/// Bytes the relay lacks and asks for, in addition to earlier Wants of this connection.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Want {
    /// At most `limits::WANT_ITEMS_MAX`.
    #[n(0)]
    pub items: Vec<WantItem>,
}

/// What is lacking of one instance.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct WantItem {
    /// Which container.
    #[n(0)]
    pub container_sha256: Digest,
    /// Pairs of first byte and byte after the last, ascending, at most `limits::WANT_RANGES_MAX`.
    #[n(1)]
    pub ranges: Vec<(u64, u64)>,
}

/// The instance is whole, rebuilt to the original digest, and durable at the relay.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Receipt {
    /// Which container.
    #[n(0)]
    pub container_sha256: Digest,
    /// The digest the relay computed over the data set it rebuilt.
    #[n(1)]
    pub original_sha256: Digest,
    /// When it became durable; the relay's clock, milliseconds UTC.
    #[n(2)]
    pub durable_at_ms: i64,
}

/// What the agent should do about an instance that was not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
#[cbor(index_only)]
pub enum RefusalKind {
    /// Keep it, tell a person, do not offer it again.
    #[n(0)]
    Final,
    /// Keep it and offer it again after `retry_after_ms`.
    #[n(1)]
    Later,
    /// Code it again with plain zstd sections and offer that container.
    #[n(2)]
    Recode,
}

/// An instance was not taken.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Refusal {
    /// Which container.
    #[n(0)]
    pub container_sha256: Digest,
    /// What to do.
    #[n(1)]
    pub kind: RefusalKind,
    /// Stable code such as `original_digest_mismatch`.
    #[cbor(n(2), with = "field::text")]
    pub code: String,
    /// For people.
    #[cbor(n(3), with = "field::reason")]
    pub text: String,
    /// For `Later`.
    #[n(4)]
    pub retry_after_ms: u64,
}

/// What a study consists of as far as the site knows. A lower generation than one taken before is ignored.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct StudyManifest {
    /// The study.
    #[cbor(n(0), with = "field::id")]
    pub study_instance_uid: StudyInstanceUid,
    /// Its priority now.
    #[cbor(n(1), with = "field::priority")]
    pub priority: Priority,
    /// Whether the site believes that no more instances come. A late one makes this false again.
    #[n(2)]
    pub closed: bool,
    /// Instances spooled so far.
    #[n(3)]
    pub n_instances: u64,
    /// Sum of their original sizes in bytes.
    #[n(4)]
    pub bytes_original: u64,
    /// Counts up each time a late instance reopens a closed study, and when what is withheld of one changes.
    #[n(5)]
    pub generation: u64,
    /// Instances that came to the site and do not go to the relay, by reason; at most `limits::WITHHELD_REASONS_MAX`.
    /// Empty from an agent that does not say.
    #[cbor(n(6), default, skip_if = "Vec::is_empty")]
    pub withheld: Vec<WithheldInstances>,
}

/// Instances of a study that stay at the site.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct WithheldInstances {
    /// Stable code such as `patient_differs`: 1 to `limits::REASON_CODE_BYTES_MAX` lower-case letters and underscores.
    #[cbor(n(0), with = "field::text")]
    pub reason: String,
    /// How many; at least 1.
    #[n(1)]
    pub n_instances: u64,
}

impl StudyManifest {
    /// Whether what it says of withheld instances keeps to the protocol.
    #[must_use]
    pub fn has_fit_reasons(&self) -> bool {
        let is_code = |reason: &str| {
            (1..=limits::REASON_CODE_BYTES_MAX).contains(&reason.len())
                && reason
                    .bytes()
                    .all(|byte| byte.is_ascii_lowercase() || byte == b'_')
        };
        self.withheld.len() <= limits::WITHHELD_REASONS_MAX
            && self
                .withheld
                .iter()
                .all(|withheld| withheld.n_instances > 0 && is_code(&withheld.reason))
    }
}

/// How far a study is at the relay, for the technologist's page.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct StudyStatus {
    /// The study.
    #[cbor(n(0), with = "field::id")]
    pub study_instance_uid: StudyInstanceUid,
    /// Instances of which the head is there.
    #[n(1)]
    pub n_received: u64,
    /// Instances that are whole and durable.
    #[n(2)]
    pub n_verified: u64,
    /// The generation of the manifest the relay has taken.
    #[n(3)]
    pub manifest_generation: u64,
    /// Whether that manifest said that the study is closed.
    #[n(4)]
    pub manifest_closed: bool,
    /// The relay's id of the reading request; empty without one.
    #[cbor(n(5), with = "field::text")]
    pub reading_request_id: String,
    /// State of the reading request (`requested`, `claimed`, `final`, ...); empty without one.
    #[cbor(n(6), with = "field::text")]
    pub reading_state: String,
    /// The code spoken on the phone; empty without a request.
    #[cbor(n(7), with = "field::text")]
    pub case_code: String,
    /// Name of the reader who claimed it; empty without one.
    #[cbor(n(8), with = "field::text")]
    pub reader_name: String,
    /// Whether the request's clinical context is complete.
    #[n(9)]
    pub clinical_context_complete: bool,
    /// When this became so; the relay's clock, milliseconds UTC.
    #[n(10)]
    pub at_ms: i64,
    /// Codes of warnings that concern the sender, such as `study_conflict`.
    #[n(11)]
    pub warnings: Vec<String>,
    /// Instances the relay lists because it has read their head; `None` from a relay that does not say.
    #[n(12)]
    pub n_listed: Option<u64>,
    /// Of these, the ones a reader can look at: low-resolution parts checked, or whole. `None` from a relay that does
    /// not say.
    #[n(13)]
    pub n_preview: Option<u64>,
    /// What the reader needs first; while the request is sent back for information.
    #[n(14)]
    pub returned: Option<Returned>,
    /// Answers of the newest form that the relay did not take, at most `limits::LEFT_OUT_MAX`: they are not part of the
    /// clinical context. Empty when it took all, and from a relay that does not say.
    #[cbor(n(15), default, skip_if = "Vec::is_empty")]
    pub left_out: Vec<LeftOut>,
}

/// That a reading request was sent back for information.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Returned {
    /// What is missing, in the reader's words.
    #[cbor(n(0), with = "field::return_reason")]
    pub reason: String,
    /// Name of the reader.
    #[cbor(n(1), with = "field::text")]
    pub by: String,
    /// When; the relay's clock, milliseconds UTC.
    #[n(2)]
    pub at_ms: i64,
}

/// An answer of a form that the relay did not take.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct LeftOut {
    /// Id of the field.
    #[cbor(n(0), with = "field::text")]
    pub field: String,
    /// Stable code of the reason, such as `in_future`.
    #[cbor(n(1), with = "field::text")]
    pub code: String,
}

/// Where the reader of a study looks: its bytes near here are needed first. A hint, never an order; the newest one of
/// a study counts.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Focus {
    /// The study.
    #[cbor(n(0), with = "field::id")]
    pub study_instance_uid: StudyInstanceUid,
    /// The series on the screen.
    #[cbor(n(1), with = "field::id")]
    pub series_instance_uid: SeriesInstanceUid,
    /// The instance on the screen.
    #[cbor(n(2), with = "field::id")]
    pub sop_instance_uid: SopInstanceUid,
}

/// A technologist's request for a reading. Repeating it with the same command id changes nothing.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct RequestForm {
    /// Made by the agent when the person pressed the button.
    #[cbor(n(0), with = "field::id")]
    pub command_id: CommandId,
    /// The study to read.
    #[cbor(n(1), with = "field::id")]
    pub study_instance_uid: StudyInstanceUid,
    /// Requested urgency, as its stable text.
    #[cbor(n(2), with = "field::text")]
    pub urgency: String,
    /// Number to call back.
    #[cbor(n(3), with = "field::text")]
    pub callback_number: String,
    /// Person to ask for at that number.
    #[cbor(n(4), with = "field::text")]
    pub callback_person: String,
    /// Responsible physician.
    #[cbor(n(5), with = "field::text")]
    pub responsible_physician: String,
    /// The clinical context, a JSON object with the field ids of the API.
    #[cbor(n(6), with = "field::context")]
    pub clinical_context: String,
    /// When the person pressed the button; the agent's clock, milliseconds UTC.
    #[n(7)]
    pub requested_at_ms: i64,
    /// Whether the agent made it by a rule and nobody filled it in: where a request is open already, such a form makes
    /// it no less urgent and answers nothing again.
    #[cbor(n(8), default, skip_if = "is_false")]
    pub automatic: bool,
}

impl RequestForm {
    /// The first field that is longer than the protocol allows, by its name. Such a form must not be sent: it would
    /// be cut on the line, and a cut clinical context is no JSON any more.
    #[must_use]
    pub fn field_too_long(&self) -> Option<&'static str> {
        let fields = [
            ("urgency", &self.urgency, limits::TEXT_BYTES_MAX),
            ("callback_number", &self.callback_number, limits::TEXT_BYTES_MAX),
            ("callback_person", &self.callback_person, limits::TEXT_BYTES_MAX),
            (
                "responsible_physician",
                &self.responsible_physician,
                limits::TEXT_BYTES_MAX,
            ),
            (
                "clinical_context",
                &self.clinical_context,
                limits::CLINICAL_CONTEXT_BYTES_MAX,
            ),
        ];
        let too_long = |(_, text, max): &&(&str, &String, usize)| text.len() > *max;
        fields.iter().find(too_long).map(|(name, ..)| *name)
    }
}

/// What became of a RequestForm.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct RequestResult {
    /// The form's command id.
    #[cbor(n(0), with = "field::id")]
    pub command_id: CommandId,
    /// Accepted or refused.
    #[n(1)]
    pub outcome: RequestOutcome,
}

/// The two ends a RequestForm can come to.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub enum RequestOutcome {
    /// The request is open.
    #[n(0)]
    Accepted {
        /// The relay's id of the reading request.
        #[cbor(n(0), with = "field::text")]
        reading_request_id: String,
        /// The code spoken on the phone.
        #[cbor(n(1), with = "field::text")]
        case_code: String,
    },
    /// The request was not taken.
    #[n(1)]
    Refused {
        /// Stable code.
        #[cbor(n(0), with = "field::text")]
        code: String,
        /// For people.
        #[cbor(n(1), with = "field::reason")]
        text: String,
    },
}

/// A new key to certify over the live connection.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct CertificateRequest {
    /// PKCS#10, DER, signed by the new key. Its subject does not matter: the connection says who asks.
    #[cbor(n(0), with = "minicbor::bytes")]
    pub csr_der: Vec<u8>,
}

/// A new certificate.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct CertificateIssued {
    /// Leaf first, then the CA; each DER.
    #[n(0)]
    pub chain_der: Vec<minicbor::bytes::ByteVec>,
    /// End of the leaf's life, milliseconds UTC.
    #[n(1)]
    pub not_after_ms: i64,
}

/// No new certificate.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct CertificateRefused {
    /// Stable code.
    #[cbor(n(0), with = "field::text")]
    pub code: String,
    /// For people.
    #[cbor(n(1), with = "field::reason")]
    pub text: String,
}

/// First and only frame of the agent on an enrolment connection.
#[derive(Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct EnrollRequest {
    /// The 128-bit secret of the code.
    #[cbor(n(0), with = "minicbor::bytes")]
    pub secret: [u8; 16],
    /// PKCS#10, DER.
    #[cbor(n(1), with = "minicbor::bytes")]
    pub csr_der: Vec<u8>,
    /// Name and version of the program, for people.
    #[cbor(n(2), with = "field::text")]
    pub software: String,
}

impl std::fmt::Debug for EnrollRequest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("EnrollRequest")
            .field("software", &self.software)
            .finish_non_exhaustive()
    }
}

/// The node exists from now on.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct EnrollAccepted {
    /// The new node.
    #[cbor(n(0), with = "field::text")]
    pub node_id: String,
    /// Short code of its site.
    #[cbor(n(1), with = "field::text")]
    pub site_code: String,
    /// Name of its site.
    #[cbor(n(2), with = "field::text")]
    pub site_name: String,
    /// Leaf first, then the CA; each DER.
    #[n(3)]
    pub chain_der: Vec<minicbor::bytes::ByteVec>,
    /// End of the leaf's life, milliseconds UTC.
    #[n(4)]
    pub not_after_ms: i64,
}

/// The enrolment code was not taken.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct EnrollRefused {
    /// Stable code; the same for a wrong, used and expired secret, so that guessing teaches nothing.
    #[cbor(n(0), with = "field::text")]
    pub code: String,
    /// For people.
    #[cbor(n(1), with = "field::reason")]
    pub text: String,
}
