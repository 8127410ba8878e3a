//! One association from its request to its end, on a thread of its own (PS3.8 section 9).
//!
//! The thread reads a PDU, acts, answers; nothing of one association can hold up another but the disk.

use std::net::{IpAddr, TcpStream};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

use dicom_ul::pdu::{AssociationRQ, Pdu, read_pdu};
use tancho_domain::dicom::TransferSyntaxUid;
use tokio_util::sync::CancellationToken;

use super::admission::Slot;
use super::command::{COMMAND_BYTES_MAX, Command, Response, field};
use super::commitment::{self, Request};
use super::fragments::{self, DATA_SET_BYTES_MAX};
use super::negotiation::{self, Accepted, Policy, is_storage};
use super::pdu_stream::{PDU_BYTES_MAX, PDU_HEADER_BYTES, PduError, PduStream, pdu_type};
use super::query;
use super::refusals::Refusals;
use super::requestor::Callee;
use super::status::{self, Abort, Rejection};
use super::store_scp::Receiving;
use super::{DimseCounters, DimseLimits, echo_scp};
use crate::deliver::{Deliveries, commitment as commitments};
use crate::spool::{Activity, Spool};

/// A-RELEASE-RP (PS3.8 section 9.3.7).
const RELEASE_RP: [u8; 10] = [pdu_type::RELEASE_RP, 0, 0, 0, 0, 4, 0, 0, 0, 0];

/// What an association needs from its surroundings.
pub struct Surroundings {
    /// Where objects go.
    pub spool: Spool,
    /// Whom we accept.
    pub policy: Policy,
    /// Deadlines.
    pub limits: DimseLimits,
    /// Counts for the metrics.
    pub counters: DimseCounters,
    /// Where refused associations are recorded.
    pub refusals: Refusals,
    /// Who asks for storage commitment and reports it.
    pub deliveries: Deliveries,
    /// Whom C-MOVE may send to.
    pub move_destinations: Vec<Callee>,
    /// Set when the agent stops.
    pub stopping: CancellationToken,
}

/// How an association ended.
enum End {
    /// A-RELEASE.
    Released,
    /// A-ABORT or a close by the peer.
    ByPeer,
    /// A-ABORT by us.
    Aborted(Abort),
}

/// Serves one connection to its end.
pub fn serve(stream: TcpStream, peer: IpAddr, slot: Slot, around: &Surroundings) {
    let patience = around.limits.artim.min(around.limits.idle);
    let mut pdus = match PduStream::new(stream, patience, around.stopping.clone()) {
        Ok(pdus) => pdus,
        Err(error) => {
            tracing::debug!(%error, "a connection broke before its first byte");
            return;
        }
    };
    let accepted = match request(&mut pdus, peer, around) {
        Ok(accepted) => accepted,
        Err(refusal) => {
            drop(slot);
            refusal.act(pdus, peer, around);
            return;
        }
    };
    let calling = accepted.calling_ae.as_str();
    tracing::info!(association.calling_ae = calling, association.called_ae = %accepted.called_ae, "association accepted");
    around.counters.accepted.inc();
    let started = Instant::now();
    let mut served = Served {
        accepted: &accepted,
        around,
        peer: peer.to_string(),
        n_objects: 0,
    };
    let end = {
        let activity = around.spool.activity();
        served.exchange(&mut pdus, &activity)
    };
    let n_objects = served.n_objects;
    // The slot is free before the peer hears of the end: it may call again at once.
    drop(slot);
    let how = match end {
        End::Released => {
            pdus.send_and_close(&RELEASE_RP);
            "released"
        }
        End::ByPeer => "closed_by_peer",
        End::Aborted(abort) => {
            around.counters.aborted.inc();
            pdus.send_and_close(&abort.to_pdu());
            abort.code()
        }
    };
    let duration_ms = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
    tracing::info!(
        association.calling_ae = calling,
        n_objects,
        duration_ms,
        how,
        "association ended"
    );
}

/// Why there is no association.
enum Refusal {
    Reject(Rejection, Box<AssociationRQ>),
    Abort(Abort),
    Silent,
}

impl Refusal {
    fn act(self, pdus: PduStream, peer: IpAddr, around: &Surroundings) {
        match self {
            Self::Reject(rejection, request) => {
                let titles = (
                    request.calling_ae_title.as_str(),
                    request.called_ae_title.as_str(),
                );
                around.refusals.record(rejection, peer, Some(titles));
                pdus.send_and_close(&rejection.to_pdu());
            }
            Self::Abort(abort) => {
                around.counters.aborted.inc();
                tracing::warn!(%peer, code = abort.code(), "connection aborted before an association");
                pdus.send_and_close(&abort.to_pdu());
            }
            Self::Silent => tracing::debug!(%peer, "connection closed without a request"),
        }
    }
}

/// Reads the A-ASSOCIATE-RQ within ARTIM and answers it.
fn request(pdus: &mut PduStream, peer: IpAddr, around: &Surroundings) -> Result<Accepted, Refusal> {
    let deadline = Instant::now() + around.limits.artim;
    let request = match pdus.next(deadline) {
        Ok((pdu_type::ASSOCIATE_RQ, pdu)) => {
            parse_request(pdu).ok_or(Refusal::Abort(Abort::InvalidParameter))?
        }
        Ok((pdu_type::ABORT, _)) => return Err(Refusal::Silent),
        Ok(_) => return Err(Refusal::Abort(Abort::UnexpectedPdu)),
        // ARTIM expired: the connection is closed without a word (PS3.8 section 9.2.3, state 2, AA-2).
        Err(PduError::TimedOut) => return Err(Refusal::Silent),
        Err(error) => return Err(Abort::for_error(&error).map_or(Refusal::Silent, Refusal::Abort)),
    };
    let accepted = negotiation::negotiate(&request, peer, &around.policy)
        .map_err(|rejection| Refusal::Reject(rejection, Box::new(request)))?;
    pdus.send(&status::encode(&accepted.answer))
        .map_err(|_| Refusal::Silent)?;
    Ok(accepted)
}

/// Decodes a request whose length is bounded already. A fault in the decoder costs this connection only.
fn parse_request(pdu: &[u8]) -> Option<AssociationRQ> {
    let parsed = catch_unwind(AssertUnwindSafe(|| read_pdu(pdu, PDU_BYTES_MAX as u32, true)));
    match parsed {
        Ok(Ok(Some(Pdu::AssociationRQ(request)))) if !request.presentation_contexts.is_empty() => {
            Some(request)
        }
        _ => None,
    }
}

/// An accepted association at work.
struct Served<'a> {
    accepted: &'a Accepted,
    around: &'a Surroundings,
    peer: String,
    n_objects: u64,
}

/// The message being received.
enum Message {
    None,
    Command {
        context_id: u8,
        bytes: Vec<u8>,
    },
    DataSet(Box<Receiving>),
    /// A data set that is read here.
    Short(Box<fragments::Message>),
}

/// What follows from a message.
enum Answer {
    /// A PDU, and whether it ends the storing of an object.
    Pdu(Vec<u8>, bool),
    /// A query or retrieval that has to be answered.
    Query(Box<fragments::Message>),
}

fn is_query(command_field: u16) -> bool {
    matches!(
        command_field,
        field::C_FIND_RQ | field::C_MOVE_RQ | field::C_GET_RQ
    )
}

/// The class a query belongs to.
fn query_class(command_field: u16) -> &'static str {
    match command_field {
        field::C_FIND_RQ => query::FIND,
        field::C_MOVE_RQ => query::MOVE,
        _ => query::GET,
    }
}

/// Slowest transfer of an object, as a mean over a window.
struct Pace {
    since: Instant,
    bytes: u64,
}

impl Pace {
    fn start() -> Self {
        Self {
            since: Instant::now(),
            bytes: 0,
        }
    }

    /// Whether the peer kept up; a new window begins when one is full.
    fn keeps_up(&mut self, window: Duration, bytes_per_second_min: u64) -> bool {
        let passed = self.since.elapsed();
        if passed < window {
            return true;
        }
        let enough = self.bytes >= bytes_per_second_min.saturating_mul(passed.as_secs().max(1));
        *self = Self::start();
        enough
    }
}

impl Served<'_> {
    fn exchange(&mut self, pdus: &mut PduStream, activity: &Activity) -> End {
        let limits = &self.around.limits;
        let mut message = Message::None;
        let mut pace = Pace::start();
        // C-ECHO does not move this: a slot is for storing.
        let mut last_storage = Instant::now();
        loop {
            let now = Instant::now();
            let deadline = match message {
                Message::DataSet(_) => now + limits.idle,
                _ => (now + limits.idle).min(last_storage + limits.idle),
            };
            // A peer that keeps talking is never waited for, so its time is looked at here, too.
            if now >= deadline {
                return End::Aborted(Abort::NotSpecified);
            }
            let pdu = match pdus.next(deadline) {
                Ok((pdu_type::P_DATA, pdu)) => &pdu[PDU_HEADER_BYTES..],
                Ok((pdu_type::RELEASE_RQ, _)) => match message {
                    Message::None => return End::Released,
                    _ => return End::Aborted(Abort::UnexpectedPdu),
                },
                Ok((pdu_type::ABORT, _)) => return End::ByPeer,
                Ok(_) => return End::Aborted(Abort::UnexpectedPdu),
                Err(error) => return Abort::for_error(&error).map_or(End::ByPeer, End::Aborted),
            };
            pace.bytes += pdu.len() as u64;
            let mut answers = Vec::new();
            message = match self.take_fragments(pdu, message, activity, &mut answers) {
                Ok(message) => message,
                Err(abort) => return End::Aborted(abort),
            };
            for answer in answers {
                match answer {
                    Answer::Pdu(answer, is_storage) => {
                        if pdus.send(&answer).is_err() {
                            return End::ByPeer;
                        }
                        if is_storage {
                            last_storage = Instant::now();
                        }
                    }
                    Answer::Query(request) => {
                        if let Err(end) = self.query(pdus, &request) {
                            return end;
                        }
                        last_storage = Instant::now();
                    }
                }
            }
            if let Message::DataSet(_) = message {
                last_storage = Instant::now();
                if !pace.keeps_up(limits.rate_window, limits.bytes_per_second_min) {
                    return End::Aborted(Abort::NotSpecified);
                }
            } else {
                pace = Pace::start();
            }
        }
    }

    /// Walks the presentation data values of one P-DATA-TF (PS3.8 section 9.3.5, annex E).
    fn take_fragments(
        &mut self,
        mut pdu: &[u8],
        mut message: Message,
        activity: &Activity,
        answers: &mut Vec<Answer>,
    ) -> Result<Message, Abort> {
        while !pdu.is_empty() {
            let header: &[u8; 4] = pdu.first_chunk().ok_or(Abort::InvalidParameter)?;
            let len = u32::from_be_bytes(*header) as usize;
            let value = pdu
                .get(4..4_usize.saturating_add(len))
                .filter(|value| value.len() >= 2);
            let value = value.ok_or(Abort::InvalidParameter)?;
            pdu = &pdu[4 + len..];
            let (context_id, is_command, is_last) = (value[0], value[1] & 1 != 0, value[1] & 2 != 0);
            let fragment = &value[2..];
            message = match (message, is_command) {
                (Message::None, true) => {
                    if !self.accepted.contexts.contains_key(&context_id) {
                        return Err(Abort::InvalidParameter);
                    }
                    let command = Message::Command {
                        context_id,
                        bytes: Vec::new(),
                    };
                    self.take_command(command, context_id, fragment, is_last, answers)?
                }
                (command @ Message::Command { .. }, true) => {
                    self.take_command(command, context_id, fragment, is_last, answers)?
                }
                (Message::DataSet(mut receiving), false) if receiving.context_id() == context_id => {
                    receiving.write(fragment);
                    if is_last {
                        let (outcome, pdu) = receiving.finish(activity);
                        self.n_objects += u64::from(outcome.is_ok());
                        self.around.counters.count_store(&outcome);
                        answers.push(Answer::Pdu(pdu, true));
                        Message::None
                    } else {
                        Message::DataSet(receiving)
                    }
                }
                (Message::Short(mut short), false) if short.context_id == context_id => {
                    if short.data_set.len() + fragment.len() > DATA_SET_BYTES_MAX {
                        return Err(Abort::InvalidParameter);
                    }
                    short.data_set.extend_from_slice(fragment);
                    if is_last {
                        answers.push(self.take_short(*short));
                        Message::None
                    } else {
                        Message::Short(short)
                    }
                }
                _ => return Err(Abort::UnexpectedParameter),
            };
        }
        Ok(message)
    }

    /// A query is answered when everything before it is; storage commitment, asked or reported, at once.
    fn take_short(&self, message: fragments::Message) -> Answer {
        if is_query(message.command.command_field) {
            return Answer::Query(Box::new(message));
        }
        let message = &message;
        let calling_ae = &self.accepted.calling_ae;
        let deliveries = &self.around.deliveries;
        let context = self.accepted.contexts.get(&message.context_id);
        let syntax = context.and_then(|context| TransferSyntaxUid::parse(&context.transfer_syntax).ok());
        let status = match message.command.command_field {
            field::N_EVENT_REPORT_RQ if deliveries.may_report(calling_ae) => {
                commitments::take(deliveries, calling_ae, message, syntax.as_ref())
            }
            field::N_ACTION_RQ if deliveries.may_ask(calling_ae) => {
                let request = syntax.and_then(|syntax| Request::parse(&message.data_set, &syntax));
                deliveries.promise(calling_ae, request)
            }
            _ => status::NOT_AUTHORISED,
        };
        let answer = commitments::answer(&message.command, status);
        Answer::Pdu(answer.to_pdu(message.context_id), false)
    }

    /// Answers a query or retrieval to its end.
    fn query(&self, pdus: &mut PduStream, request: &fragments::Message) -> Result<(), End> {
        let aborted = |abort| Err(End::Aborted(abort));
        let context = self.accepted.contexts.get(&request.context_id);
        let syntax = context.and_then(|context| TransferSyntaxUid::parse(&context.transfer_syntax).ok());
        let (Some(syntax), Some(pdu_bytes)) = (syntax, self.accepted.pdu_bytes) else {
            return aborted(Abort::InvalidParameter);
        };
        self.around.counters.queries.inc();
        let desk = query::Desk {
            spool: &self.around.spool,
            accepted: self.accepted,
            move_destinations: &self.around.move_destinations,
            ae_title: self.around.policy.ae_title.as_str(),
            patience: self.around.limits.idle,
            pdu_bytes,
        };
        match query::serve(&desk, pdus, request, syntax) {
            Ok(()) => Ok(()),
            Err(query::Broken::Gone) => Err(End::ByPeer),
            Err(query::Broken::Violation) => aborted(Abort::UnexpectedPdu),
        }
    }

    fn take_command(
        &self,
        command: Message,
        context_id: u8,
        fragment: &[u8],
        is_last: bool,
        answers: &mut Vec<Answer>,
    ) -> Result<Message, Abort> {
        let Message::Command {
            context_id: begun_in,
            mut bytes,
        } = command
        else {
            return Err(Abort::UnexpectedParameter);
        };
        if begun_in != context_id || bytes.len() + fragment.len() > COMMAND_BYTES_MAX {
            return Err(Abort::InvalidParameter);
        }
        bytes.extend_from_slice(fragment);
        if !is_last {
            return Ok(Message::Command { context_id, bytes });
        }
        let command = Command::parse(&bytes).ok_or(Abort::InvalidParameter)?;
        let context = self
            .accepted
            .contexts
            .get(&context_id)
            .ok_or(Abort::InvalidParameter)?;
        match command.command_field {
            field::N_EVENT_REPORT_RQ | field::N_ACTION_RQ
                if command.has_data_set && context.abstract_syntax == commitment::CLASS =>
            {
                Ok(Message::Short(Box::new(fragments::Message {
                    context_id,
                    command,
                    data_set: Vec::new(),
                })))
            }
            field::C_FIND_RQ | field::C_MOVE_RQ | field::C_GET_RQ
                if command.has_data_set && context.abstract_syntax == query_class(command.command_field) =>
            {
                Ok(Message::Short(Box::new(fragments::Message {
                    context_id,
                    command,
                    data_set: Vec::new(),
                })))
            }
            field::C_STORE_RQ if command.has_data_set && is_storage(&context.abstract_syntax) => {
                let at = (context_id, context);
                let receiving = Receiving::begin(&self.around.spool, self.accepted, &self.peer, command, at);
                Ok(Message::DataSet(Box::new(receiving)))
            }
            field::C_ECHO_RQ if !command.has_data_set => {
                self.around.counters.echoes.inc();
                answers.push(Answer::Pdu(echo_scp::answer(&command, context_id), false));
                Ok(Message::None)
            }
            field::C_CANCEL_RQ => Ok(Message::None),
            // A response from a requestor, or a data set where none may follow: the wrong role.
            code if code & field::RESPONSE != 0 || command.has_data_set => Err(Abort::UnexpectedParameter),
            _ => {
                let unknown = Response {
                    request: &command,
                    status: status::UNRECOGNISED_OPERATION,
                    comment: None,
                };
                answers.push(Answer::Pdu(unknown.to_pdu(context_id), false));
                Ok(Message::None)
            }
        }
    }
}
