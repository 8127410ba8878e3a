//! Query and retrieve of this site's objects that are still in the spool (PS3.4 annex C, study root), for workstations
//! that know nothing else.
//!
//! Only callers that are listed get it, and C-MOVE sends only to destinations that are listed. Nothing here parses more
//! than heads of objects, and no answer waits for the relay.

mod keys;
mod matching;
mod find;
mod retrieve;

use std::collections::{BTreeSet, HashSet};
use std::time::Instant;

use tancho_domain::dicom::TransferSyntaxUid;

use super::command::{CommandSet, Response, field};
use super::fragments::{Message, MessageReader, ReceiveError, send_command};
use super::negotiation::Accepted;
use super::pdu_stream::PduStream;
use super::requestor::Callee;
use crate::spool::onward::OnwardObject;
use crate::spool::{ObjectState, Spool, SpoolError};

use keys::{Keys, Level};

/// Study Root Query/Retrieve Information Model - FIND.
pub const FIND: &str = "1.2.840.10008.5.1.4.1.2.2.1";
/// Study Root Query/Retrieve Information Model - MOVE.
pub const MOVE: &str = "1.2.840.10008.5.1.4.1.2.2.2";
/// Study Root Query/Retrieve Information Model - GET.
pub const GET: &str = "1.2.840.10008.5.1.4.1.2.2.3";
/// Most answers to one query.
pub const MATCHES_MAX: usize = 5_000;
/// Most objects of one study that are looked at, and of one retrieval.
pub const OBJECTS_MAX: usize = 20_000;
/// Most studies of one retrieval.
pub const STUDIES_MAX: usize = 1_000;

/// Statuses (PS3.4 sections C.4.1.1.4, C.4.2.1.5 and C.4.3.1.4).
mod answer {
    /// Matches or sub-operations go on.
    pub const PENDING: u16 = 0xFF00;
    /// Ended by C-CANCEL.
    pub const CANCELLED: u16 = 0xFE00;
    /// More matches than are given.
    pub const OUT_OF_RESOURCES: u16 = 0xA700;
    /// The matches cannot be counted.
    pub const CANNOT_COUNT: u16 = 0xA701;
    /// None of the sub-operations could be done.
    pub const NO_SUB_OPERATIONS: u16 = 0xA702;
    /// Move destination unknown.
    pub const DESTINATION_UNKNOWN: u16 = 0xA801;
    /// Identifier does not match SOP class.
    pub const IDENTIFIER: u16 = 0xA900;
    /// Unable to process.
    pub const UNABLE: u16 = 0xC001;
    /// Some sub-operations failed or had something to remark.
    pub const SOME_FAILED: u16 = 0xB000;
}

/// Every last status with its case.
pub const STATUSES: [(&str, u16); 11] = [
    ("done", super::status::SUCCESS),
    ("going on", answer::PENDING),
    ("cancelled", answer::CANCELLED),
    ("more matches than are given", answer::OUT_OF_RESOURCES),
    (
        "the identifier has no level we know, or no unique key of it",
        answer::IDENTIFIER,
    ),
    ("C-FIND: the spool cannot be read", answer::UNABLE),
    ("C-MOVE, C-GET: the spool cannot be read", answer::CANNOT_COUNT),
    (
        "C-MOVE, C-GET: more studies or objects than are given; nothing is sent",
        answer::CANNOT_COUNT,
    ),
    (
        "some instances could not be sent (damaged here, or not taken), or the peer had a remark",
        answer::SOME_FAILED,
    ),
    ("no instance could be sent", answer::NO_SUB_OPERATIONS),
    (
        "the move destination is not configured",
        answer::DESTINATION_UNKNOWN,
    ),
];

/// What query and retrieve work with.
pub struct Desk<'a> {
    /// Where the objects are.
    pub spool: &'a Spool,
    /// The association.
    pub accepted: &'a Accepted,
    /// Whom C-MOVE may send to.
    pub move_destinations: &'a [Callee],
    /// Our own title, under which everything can be retrieved.
    pub ae_title: &'a str,
    /// How long a peer may take for an answer.
    pub patience: std::time::Duration,
    /// Longest PDU that the peer takes.
    pub pdu_bytes: usize,
}

/// Why the association cannot go on.
#[derive(Debug)]
pub enum Broken {
    /// The peer is gone.
    Gone,
    /// It said what has no place here.
    Violation,
}

impl From<std::io::Error> for Broken {
    fn from(_: std::io::Error) -> Self {
        Self::Gone
    }
}

impl From<ReceiveError> for Broken {
    fn from(error: ReceiveError) -> Self {
        match error {
            ReceiveError::Malformed | ReceiveError::TooLong | ReceiveError::Released => Self::Violation,
            ReceiveError::Pdu(_) | ReceiveError::Aborted => Self::Gone,
        }
    }
}

/// One request being answered.
struct Work<'a> {
    desk: &'a Desk<'a>,
    pdus: &'a mut PduStream,
    reader: MessageReader,
    message: &'a Message,
    syntax: TransferSyntaxUid,
    cancelled: bool,
}

/// Answers a request to its last response.
pub fn serve(
    desk: &Desk<'_>,
    pdus: &mut PduStream,
    message: &Message,
    syntax: TransferSyntaxUid,
) -> Result<(), Broken> {
    let mut work = Work {
        desk,
        pdus,
        reader: MessageReader::default(),
        message,
        syntax,
        cancelled: false,
    };
    let keys = match Keys::parse(&message.data_set, &work.syntax) {
        Some(keys) => keys,
        None => return work.end(answer::IDENTIFIER, "identifier not understood"),
    };
    match message.command.command_field {
        field::C_FIND_RQ => find::run(&mut work, &keys),
        field::C_MOVE_RQ => retrieve::move_to(&mut work, &keys),
        _ => retrieve::get(&mut work, &keys),
    }
}

impl Work<'_> {
    fn response(&self, status: u16, comment: Option<&str>) -> CommandSet {
        Response {
            request: &self.message.command,
            status,
            comment,
        }
        .to_command()
    }

    /// The last response, when it has nothing but a status.
    fn end(&mut self, status: u16, comment: &str) -> Result<(), Broken> {
        let response = self.response(status, Some(comment).filter(|text| !text.is_empty()));
        Ok(send_command(
            self.pdus,
            self.message.context_id,
            &response,
            self.desk.pdu_bytes,
        )?)
    }

    /// Whether the peer has cancelled the request, without waiting for it.
    fn is_cancelled(&mut self) -> Result<bool, Broken> {
        while !self.cancelled && self.pdus.has_pending() {
            let message = self.reader.next(self.pdus, Instant::now() + self.desk.patience)?;
            self.note_cancel(&message)?;
        }
        Ok(self.cancelled)
    }

    /// Takes a C-CANCEL; anything else has no place while a request is answered.
    fn note_cancel(&mut self, message: &Message) -> Result<(), Broken> {
        if message.command.command_field != field::C_CANCEL_RQ {
            return Err(Broken::Violation);
        }
        self.cancelled |= message.command.responds_to == self.message.command.message_id;
        Ok(())
    }

    /// Objects of a study that nobody has to decide about first, each SOP Instance UID once, those that came first before
    /// others and whole ones before damaged ones; one more than [`OBJECTS_MAX`] when there are more.
    fn objects_of(&self, study: &str) -> Result<Vec<OnwardObject>, SpoolError> {
        let mut objects = self.desk.spool.objects_of_study(study, OBJECTS_MAX + 1)?;
        objects.retain(|object| object.state != ObjectState::Held);
        objects.sort_by_key(|object| !object.may_leave());
        let mut seen = HashSet::new();
        objects.retain(|object| seen.insert(object.sop_instance_uid.clone()));
        Ok(objects)
    }

    /// The objects that unique keys name, down to their level; damaged ones are among them. Else the status and comment
    /// to answer with.
    fn select(&self, keys: &Keys) -> Result<Vec<OnwardObject>, (u16, &'static str)> {
        let missing = (answer::IDENTIFIER, "unique key missing");
        let too_many = (answer::CANNOT_COUNT, "too many objects: ask for less");
        let studies = keys.uids(keys::STUDY_UID).ok_or(missing)?;
        let mut series = None;
        let mut instances = None;
        if keys.level >= Level::Series {
            series = Some(keys.uids(keys::SERIES_UID).ok_or(missing)?);
        }
        if keys.level == Level::Image {
            instances = Some(keys.uids(keys::INSTANCE_UID).ok_or(missing)?);
        }
        if studies.len() > STUDIES_MAX {
            return Err(too_many);
        }
        let mut selected = Vec::new();
        for study in studies {
            let mut objects = self.objects_of(study).map_err(|error| {
                tracing::error!(%error, "the spool's index cannot be read");
                (answer::CANNOT_COUNT, "the spool cannot be read")
            })?;
            if objects.len() > OBJECTS_MAX {
                return Err(too_many);
            }
            objects.retain(|object| {
                let is_named = |uids: &Option<BTreeSet<&str>>, uid: &str| {
                    uids.as_ref().is_none_or(|uids| uids.contains(uid))
                };
                is_named(&series, &object.series_instance_uid)
                    && is_named(&instances, &object.sop_instance_uid)
            });
            selected.extend(objects);
            if selected.len() > OBJECTS_MAX {
                return Err(too_many);
            }
        }
        Ok(selected)
    }
}
