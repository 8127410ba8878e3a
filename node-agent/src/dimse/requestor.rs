//! An association that the agent asks for: to a PACS that images are delivered to, or a workstation that fetches some.
//!
//! Every wait has an end, nothing is sized by what the peer states, and every failure has a stable code that a person
//! gets in words.

use std::collections::{HashMap, HashSet};
use std::io;
use std::net::{TcpStream, ToSocketAddrs};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use dicom_ul::pdu::{
    AssociationAC, AssociationRQ, Pdu, PresentationContextProposed, PresentationContextResultReason,
    RequestorRoles, UserVariableItem, read_pdu,
};
use tancho_domain::dicom::{AeTitle, TransferSyntaxUid};
use tokio_util::sync::CancellationToken;

use super::fragments::{Message, MessageReader, ReceiveError, sent_pdu_bytes};
use super::negotiation::{
    APPLICATION_CONTEXT, CONTEXTS_MAX, Context, IMPLEMENTATION_CLASS, IMPLEMENTATION_VERSION,
};
use super::pdu_stream::{PDU_BYTES_MAX, PduError, PduStream, pdu_type};
use super::status::{self, Abort};

/// A-RELEASE-RQ (PS3.8 section 9.3.6).
const RELEASE_RQ: [u8; 10] = [pdu_type::RELEASE_RQ, 0, 0, 0, 0, 4, 0, 0, 0, 0];
/// How long the peer has for its A-RELEASE-RP: everything is done by then.
const RELEASE_TIME: Duration = Duration::from_secs(5);

/// How often a connection that is being made looks whether the agent stops.
const STOP_CHECK: Duration = Duration::from_millis(100);

/// Whom to call, and as whom.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Callee {
    /// `host:port`.
    pub address: String,
    /// Its title.
    pub ae_title: AeTitle,
    /// Our title.
    pub calling_ae: AeTitle,
    /// How long to wait for the connection and for each answer.
    pub patience: Duration,
}

/// Why there is no association, or none any more.
#[derive(Debug, thiserror::Error)]
pub enum CallError {
    /// The name of the peer has no address.
    #[error("the name has no address")]
    NameUnknown,
    /// Nobody listens, or there is no way.
    #[error("no connection: {0}")]
    Unreachable(io::Error),
    /// It connects but does not answer in time.
    #[error("no answer in time")]
    TimedOut,
    /// It does not know its own title.
    #[error("the called title was rejected")]
    CalledAeRejected,
    /// It does not know our title.
    #[error("the calling title was rejected")]
    CallingAeRejected,
    /// It has no room for now.
    #[error("rejected for now")]
    Busy,
    /// It rejected us for another reason.
    #[error("rejected with result {result}, source {source_of}, reason {reason}")]
    Rejected {
        /// Result (PS3.8 section 9.3.4).
        result: u8,
        /// Source.
        source_of: u8,
        /// Reason.
        reason: u8,
    },
    /// A-ABORT.
    #[error("aborted by the peer")]
    Aborted,
    /// The connection ended.
    #[error("connection lost")]
    Lost,
    /// It says what cannot be.
    #[error("protocol violated: {0}")]
    Violation(&'static str),
    /// The agent is stopping.
    #[error("the agent is stopping")]
    Stopping,
}

impl CallError {
    /// Stable code for page, status and log.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::NameUnknown => "peer_name_unknown",
            Self::Unreachable(_) => "peer_unreachable",
            Self::TimedOut => "peer_timeout",
            Self::CalledAeRejected => "peer_rejects_called_ae",
            Self::CallingAeRejected => "peer_rejects_calling_ae",
            Self::Busy => "peer_busy",
            Self::Rejected { .. } => "peer_rejects",
            Self::Aborted => "peer_aborts",
            Self::Lost => "peer_closes",
            Self::Violation(_) => "peer_violates_protocol",
            Self::Stopping => "stopping",
        }
    }

    /// All codes, for the tests of the words that go with them.
    pub const CODES: [&'static str; 10] = [
        "peer_name_unknown",
        "peer_unreachable",
        "peer_timeout",
        "peer_rejects_called_ae",
        "peer_rejects_calling_ae",
        "peer_busy",
        "peer_rejects",
        "peer_aborts",
        "peer_closes",
        "peer_violates_protocol",
    ];
}

impl From<ReceiveError> for CallError {
    fn from(error: ReceiveError) -> Self {
        match error {
            ReceiveError::Pdu(PduError::TimedOut) => Self::TimedOut,
            ReceiveError::Pdu(PduError::Stopping) => Self::Stopping,
            ReceiveError::Pdu(PduError::UnknownType) => Self::Violation("unknown PDU type"),
            ReceiveError::Pdu(PduError::BadLength) => Self::Violation("PDU length"),
            ReceiveError::Pdu(PduError::Closed | PduError::Lost(_)) => Self::Lost,
            ReceiveError::Released => Self::Violation("released before the answer"),
            ReceiveError::Aborted => Self::Aborted,
            ReceiveError::Malformed => Self::Violation("malformed message"),
            ReceiveError::TooLong => Self::Violation("message too long"),
        }
    }
}

impl From<io::Error> for CallError {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => Self::TimedOut,
            _ => Self::Lost,
        }
    }
}

/// An accepted association.
pub struct Association {
    pdus: PduStream,
    reader: MessageReader,
    contexts: HashMap<u8, Context>,
    /// Classes that the peer takes, if in other transfer syntaxes than were proposed.
    known_classes: HashSet<String>,
    pdu_bytes: usize,
    patience: Duration,
    last_message_id: u16,
}

impl Association {
    /// Connects and proposes: each entry of `contexts` is one presentation context with one transfer syntax, so that
    /// the choice stays ours. At most [`CONTEXTS_MAX`] are proposed.
    pub fn request(
        callee: &Callee,
        contexts: &[Context],
        stopping: CancellationToken,
    ) -> Result<Self, CallError> {
        Self::request_with(callee, contexts, Role::User, stopping)
    }

    /// As [`Association::request`], for classes that we provide to the peer (PS3.7 annex D.3.3.4).
    pub fn request_as_provider(
        callee: &Callee,
        contexts: &[Context],
        stopping: CancellationToken,
    ) -> Result<Self, CallError> {
        Self::request_with(callee, contexts, Role::Provider, stopping)
    }

    fn request_with(
        callee: &Callee,
        contexts: &[Context],
        role: Role,
        stopping: CancellationToken,
    ) -> Result<Self, CallError> {
        let stream = connect(callee, &stopping)?;
        let mut pdus = PduStream::new(stream, callee.patience, stopping).map_err(CallError::Unreachable)?;
        pdus.send(&status::encode(&proposal(callee, contexts, role).into()))?;
        let accepted = match pdus.next(Instant::now() + callee.patience) {
            Ok((pdu_type::ASSOCIATE_AC, pdu)) => parse_accept(pdu),
            Ok((pdu_type::ASSOCIATE_RJ, pdu)) => return Err(rejection(pdu)),
            Ok((pdu_type::ABORT, _)) => return Err(CallError::Aborted),
            Ok(_) => None,
            Err(error) => {
                let failure = ReceiveError::from(error).into();
                if !matches!(failure, CallError::Lost) {
                    pdus.send_and_close(&Abort::NotSpecified.to_pdu());
                }
                return Err(failure);
            }
        };
        let Some(accepted) = accepted else {
            pdus.send_and_close(&Abort::UnexpectedPdu.to_pdu());
            return Err(CallError::Violation("answer to the association request"));
        };
        let max_length = accepted.user_variables.iter().find_map(|item| match item {
            UserVariableItem::MaxLength(bytes) => Some(*bytes),
            _ => None,
        });
        let Some(pdu_bytes) = sent_pdu_bytes(max_length.unwrap_or(0)) else {
            pdus.send_and_close(&Abort::InvalidParameter.to_pdu());
            return Err(CallError::Violation("maximum length of a PDU"));
        };
        Ok(Self {
            pdus,
            reader: MessageReader::default(),
            contexts: accepted_contexts(&accepted, contexts),
            known_classes: known_classes(&accepted, contexts),
            pdu_bytes,
            patience: callee.patience,
            last_message_id: 0,
        })
    }

    /// The accepted context for a class in one of these transfer syntaxes, the first that is accepted; with the index
    /// of the transfer syntax.
    #[must_use]
    pub fn context(&self, class: &str, transfer_syntaxes: &[&str]) -> Option<(u8, usize)> {
        transfer_syntaxes.iter().enumerate().find_map(|(at, syntax)| {
            let context = self
                .contexts
                .iter()
                .find(|(_, context)| context.abstract_syntax == class && context.transfer_syntax == *syntax);
            context.map(|(id, _)| (*id, at))
        })
    }

    /// Transfer syntax of an accepted context.
    #[must_use]
    pub fn transfer_syntax(&self, context_id: u8) -> Option<TransferSyntaxUid> {
        TransferSyntaxUid::parse(&self.contexts.get(&context_id)?.transfer_syntax).ok()
    }

    /// Whether the peer takes a class at all, as far as its answer says.
    #[must_use]
    pub fn knows_class(&self, class: &str) -> bool {
        self.known_classes.contains(class)
    }

    /// The next message identifier.
    pub fn next_message_id(&mut self) -> u16 {
        self.last_message_id = self.last_message_id.checked_add(1).unwrap_or(1);
        self.last_message_id
    }

    /// The socket, and the longest PDU that the peer takes.
    pub fn pdus(&mut self) -> (&mut PduStream, usize) {
        (&mut self.pdus, self.pdu_bytes)
    }

    /// How long each answer may take.
    #[must_use]
    pub fn patience(&self) -> Duration {
        self.patience
    }

    /// Waits for the next message.
    pub fn receive(&mut self, patience: Duration) -> Result<Message, CallError> {
        Ok(self.reader.next(&mut self.pdus, Instant::now() + patience)?)
    }

    /// Ends it in order. What was answered stays answered, whatever the peer does now.
    pub fn release(mut self) {
        let deadline = Instant::now() + RELEASE_TIME;
        if self.pdus.send(&RELEASE_RQ).is_err() {
            return;
        }
        loop {
            match self.pdus.next(deadline) {
                // A message that crossed the release on its way.
                Ok((pdu_type::P_DATA, _)) => {}
                _ => return,
            }
        }
    }

    /// Ends it because of what the peer did or we cannot finish.
    pub fn abort(self) {
        self.pdus.send_and_close(&Abort::NotSpecified.to_pdu());
    }
}

/// Connects on a thread of its own: names and far hosts take their time, and the agent must be able to stop meanwhile.
fn connect(callee: &Callee, stopping: &CancellationToken) -> Result<TcpStream, CallError> {
    let (sender, connected) = mpsc::channel();
    let (address, patience) = (callee.address.clone(), callee.patience);
    std::thread::Builder::new()
        .name("connect".to_owned())
        .spawn(move || {
            // Nobody waits any more when the agent stops.
            sender.send(connect_to(&address, patience)).ok();
        })
        .map_err(CallError::Unreachable)?;
    loop {
        match connected.recv_timeout(STOP_CHECK) {
            Ok(connected) => return connected,
            Err(mpsc::RecvTimeoutError::Timeout) if stopping.is_cancelled() => {
                return Err(CallError::Stopping);
            }
            Err(mpsc::RecvTimeoutError::Timeout) => {}
            Err(mpsc::RecvTimeoutError::Disconnected) => return Err(CallError::Lost),
        }
    }
}

fn connect_to(address: &str, patience: Duration) -> Result<TcpStream, CallError> {
    let addresses = address.to_socket_addrs().map_err(|_| CallError::NameUnknown)?;
    let mut last = None;
    for address in addresses {
        match TcpStream::connect_timeout(&address, patience) {
            Ok(stream) => return Ok(stream),
            Err(error) => last = Some(error),
        }
    }
    match last {
        Some(error) if error.kind() == io::ErrorKind::TimedOut => Err(CallError::TimedOut),
        Some(error) => Err(CallError::Unreachable(error)),
        None => Err(CallError::NameUnknown),
    }
}

/// What we are to the classes of an association.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Role {
    /// SCU, as who asks for an association is without a word.
    User,
    /// SCP.
    Provider,
}

fn proposal(callee: &Callee, contexts: &[Context], role: Role) -> AssociationRQ {
    let mut classes: Vec<&str> = contexts.iter().map(|one| one.abstract_syntax.as_str()).collect();
    classes.dedup();
    let roles = classes.into_iter().filter(|_| role == Role::Provider);
    let roles = roles.map(|class| {
        let roles = RequestorRoles {
            scu: false,
            scp: true,
        };
        UserVariableItem::ScuScpRoleSelectionSubItem(class.to_owned(), roles)
    });
    let proposed = contexts.iter().take(CONTEXTS_MAX).enumerate();
    AssociationRQ {
        protocol_version: 1,
        calling_ae_title: callee.calling_ae.as_str().to_owned(),
        called_ae_title: callee.ae_title.as_str().to_owned(),
        application_context_name: APPLICATION_CONTEXT.to_owned(),
        presentation_contexts: proposed
            .map(|(at, context)| PresentationContextProposed {
                id: context_id(at),
                abstract_syntax: context.abstract_syntax.clone(),
                transfer_syntaxes: vec![context.transfer_syntax.clone()],
            })
            .collect(),
        user_variables: vec![
            UserVariableItem::MaxLength(PDU_BYTES_MAX as u32),
            UserVariableItem::ImplementationClassUID(IMPLEMENTATION_CLASS.to_owned()),
            UserVariableItem::ImplementationVersionName(IMPLEMENTATION_VERSION.to_owned()),
        ]
        .into_iter()
        .chain(roles)
        .collect(),
    }
}

/// Identifiers are odd.
fn context_id(at: usize) -> u8 {
    u8::try_from(2 * at + 1).unwrap_or(u8::MAX)
}

/// Decodes an answer whose length is bounded already. A fault in the decoder costs this association only.
fn parse_accept(pdu: &[u8]) -> Option<AssociationAC> {
    let parsed = catch_unwind(AssertUnwindSafe(|| read_pdu(pdu, PDU_BYTES_MAX as u32, true)));
    match parsed {
        Ok(Ok(Some(Pdu::AssociationAC(accepted)))) => Some(accepted),
        _ => None,
    }
}

/// Contexts that were accepted as proposed; one in a transfer syntax that was not proposed is not used.
fn accepted_contexts(accepted: &AssociationAC, proposed: &[Context]) -> HashMap<u8, Context> {
    let results = accepted.presentation_contexts.iter();
    results
        .filter(|result| result.reason == PresentationContextResultReason::Acceptance)
        .filter_map(|result| {
            let at = usize::from(result.id.checked_sub(1)? / 2);
            let context = proposed.get(at).filter(|_| at < CONTEXTS_MAX)?;
            let is_ours = context_id(at) == result.id && result.transfer_syntax == context.transfer_syntax;
            is_ours.then(|| (result.id, context.clone()))
        })
        .collect()
}

/// Classes of contexts that were accepted, or refused for their transfer syntax alone.
fn known_classes(accepted: &AssociationAC, proposed: &[Context]) -> HashSet<String> {
    use PresentationContextResultReason::{Acceptance, TransferSyntaxesNotSupported};
    let results = accepted.presentation_contexts.iter();
    results
        .filter(|result| matches!(result.reason, Acceptance | TransferSyntaxesNotSupported))
        .filter_map(|result| proposed.get(usize::from(result.id / 2)))
        .map(|context| context.abstract_syntax.clone())
        .collect()
}

fn rejection(pdu: &[u8]) -> CallError {
    let [result, source, reason] = match pdu.get(7..10) {
        Some(&[result, source, reason]) => [result, source, reason],
        _ => return CallError::Violation("rejection"),
    };
    match (result, source, reason) {
        (_, 1, 7) => CallError::CalledAeRejected,
        (_, 1, 3) => CallError::CallingAeRejected,
        (2, _, _) => CallError::Busy,
        _ => CallError::Rejected {
            result,
            source_of: source,
            reason,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::super::status::Rejection;

    #[test]
    fn rejections_are_told_apart() {
        let code = |rejection: Rejection| super::rejection(&rejection.to_pdu()).code();
        assert_eq!(code(Rejection::CalledAeUnknown), "peer_rejects_called_ae");
        assert_eq!(code(Rejection::CallingAeUnknown), "peer_rejects_calling_ae");
        assert_eq!(code(Rejection::LimitExceeded), "peer_busy");
        assert_eq!(code(Rejection::ProtocolVersion), "peer_rejects");
    }
}
