//! Storage commitment, push model (PS3.4 annex J): what is asked, what is reported, and both as messages.
//!
//! The agent asks its PACS for it after a delivery, and takes the PACS's report on an association of its own. A modality
//! that asks the agent is answered by `deliver`, and only with what the PACS has committed.

use std::time::Duration;

use serde_json::Value;
use tancho_domain::dicom::{TransferSyntaxUid, is_uid};
use tancho_imaging::element::{Tag, Vr};
use tancho_imaging::metadata::{MetadataOptions, dicom_json};
use tancho_imaging::syntax::{EXPLICIT_LITTLE, IMPLICIT_LITTLE};
use tancho_imaging::synthetic::ElementWriter;

use super::command::{CommandSet, field};
use super::fragments::{Message, send_message};
use super::requestor::{Association, CallError};

/// Storage Commitment Push Model SOP class.
pub const CLASS: &str = "1.2.840.10008.1.20.1";
/// Its one, well-known instance.
pub const INSTANCE: &str = "1.2.840.10008.1.20.1.1";
/// Transfer syntaxes of its messages, the preferred first.
pub const TRANSFER_SYNTAXES: [&str; 2] = [EXPLICIT_LITTLE, IMPLICIT_LITTLE];
/// Action type: request storage commitment.
pub const ACTION_REQUEST: u16 = 1;
/// Event type: everything is committed.
pub const EVENT_ALL: u16 = 1;
/// Event type: some failed.
pub const EVENT_FAILURES: u16 = 2;
/// Most instances of one transaction, asked or answered.
pub const REFERENCES_MAX: usize = 2000;

/// Failure reasons (PS3.3 section C.14.1.1).
pub mod reason {
    /// Processing failure.
    pub const PROCESSING_FAILURE: u16 = 0x0110;
    /// No such object instance.
    pub const NO_SUCH_INSTANCE: u16 = 0x0112;
    /// Class and instance do not belong together.
    pub const CLASS_INSTANCE_CONFLICT: u16 = 0x0119;
}

const TRANSACTION_UID: Tag = Tag(0x0008, 0x1195);
const REFERENCED: Tag = Tag(0x0008, 0x1199);
const FAILED: Tag = Tag(0x0008, 0x1198);
const REFERENCED_CLASS: Tag = Tag(0x0008, 0x1150);
const REFERENCED_INSTANCE: Tag = Tag(0x0008, 0x1155);
const FAILURE_REASON: Tag = Tag(0x0008, 0x1197);

/// An instance by class and UID.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Reference {
    /// SOP Class UID.
    pub sop_class_uid: String,
    /// SOP Instance UID.
    pub sop_instance_uid: String,
}

/// What is to be committed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// Transaction UID.
    pub transaction_uid: String,
    /// Instances.
    pub references: Vec<Reference>,
}

/// What was committed, and what was not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// Transaction UID.
    pub transaction_uid: String,
    /// Committed instances.
    pub committed: Vec<Reference>,
    /// The others with their failure reasons.
    pub failed: Vec<(Reference, u16)>,
}

impl Request {
    /// The data set.
    #[must_use]
    pub fn encode(&self, transfer_syntax: &TransferSyntaxUid) -> Vec<u8> {
        let mut writer = ElementWriter::new(transfer_syntax);
        writer.ascii(TRANSACTION_UID, Vr::UI, &self.transaction_uid);
        write_references(
            &mut writer,
            REFERENCED,
            self.references.iter().map(|one| (one, None)),
        );
        writer.finish()
    }

    /// Reads a data set; `None` when it is none, or too much.
    #[must_use]
    pub fn parse(data_set: &[u8], transfer_syntax: &TransferSyntaxUid) -> Option<Self> {
        let json = dicom_json(data_set, transfer_syntax, &MetadataOptions::default()).ok()?;
        let references = references(&json, REFERENCED)?.into_iter().map(|(one, _)| one);
        let references: Vec<Reference> = references.collect();
        let request = Self {
            transaction_uid: uid(&json, TRANSACTION_UID)?,
            references,
        };
        (!request.references.is_empty()).then_some(request)
    }
}

impl Report {
    /// The data set.
    #[must_use]
    pub fn encode(&self, transfer_syntax: &TransferSyntaxUid) -> Vec<u8> {
        let mut writer = ElementWriter::new(transfer_syntax);
        writer.ascii(TRANSACTION_UID, Vr::UI, &self.transaction_uid);
        if !self.failed.is_empty() {
            let failed = self.failed.iter().map(|(one, reason)| (one, Some(*reason)));
            write_references(&mut writer, FAILED, failed);
        }
        if !self.committed.is_empty() {
            write_references(
                &mut writer,
                REFERENCED,
                self.committed.iter().map(|one| (one, None)),
            );
        }
        writer.finish()
    }

    /// Reads a data set; `None` when it is none, or too much.
    #[must_use]
    pub fn parse(data_set: &[u8], transfer_syntax: &TransferSyntaxUid) -> Option<Self> {
        let json = dicom_json(data_set, transfer_syntax, &MetadataOptions::default()).ok()?;
        let committed = references(&json, REFERENCED)?.into_iter().map(|(one, _)| one);
        let failed = references(&json, FAILED)?.into_iter();
        Some(Self {
            transaction_uid: uid(&json, TRANSACTION_UID)?,
            committed: committed.collect(),
            failed: failed
                .map(|(one, reason)| (one, reason.unwrap_or(reason::PROCESSING_FAILURE)))
                .collect(),
        })
    }

    /// Its event type.
    #[must_use]
    pub fn event_type(&self) -> u16 {
        if self.failed.is_empty() {
            EVENT_ALL
        } else {
            EVENT_FAILURES
        }
    }
}

/// Sequence `tag` in the order of its tags: failure reason after class and instance.
fn write_references<'a>(
    writer: &mut ElementWriter,
    tag: Tag,
    references: impl Iterator<Item = (&'a Reference, Option<u16>)>,
) {
    writer.begin_sequence(tag);
    for (one, reason) in references {
        writer
            .begin_item()
            .ascii(REFERENCED_CLASS, Vr::UI, &one.sop_class_uid)
            .ascii(REFERENCED_INSTANCE, Vr::UI, &one.sop_instance_uid);
        if let Some(reason) = reason {
            writer.us(FAILURE_REASON, &[reason]);
        }
        writer.end_item();
    }
    writer.end_sequence();
}

/// Items of a sequence; `None` when one names no instance, or when there are too many.
fn references(json: &Value, tag: Tag) -> Option<Vec<(Reference, Option<u16>)>> {
    let Some(items) = json[tag.to_hex()]["Value"].as_array() else {
        return Some(Vec::new());
    };
    if items.len() > REFERENCES_MAX {
        return None;
    }
    let read = items.iter().map(|item| {
        let reference = Reference {
            sop_class_uid: uid(item, REFERENCED_CLASS)?,
            sop_instance_uid: uid(item, REFERENCED_INSTANCE)?,
        };
        let reason = item[FAILURE_REASON.to_hex()]["Value"][0].as_u64();
        Some((reference, reason.and_then(|reason| u16::try_from(reason).ok())))
    });
    read.collect()
}

fn uid(json: &Value, tag: Tag) -> Option<String> {
    let text = json[tag.to_hex()]["Value"][0].as_str()?;
    is_uid(text).then(|| text.to_owned())
}

/// Asks the peer of an association; gives the status of its answer, `None` when it does not know the service.
pub fn ask(association: &mut Association, request: &Request) -> Result<Option<u16>, CallError> {
    let Some((context_id, syntax)) = context(association) else {
        return Ok(None);
    };
    let message_id = association.next_message_id();
    let command = CommandSet::request(field::N_ACTION_RQ, message_id)
        .uid(0x0003, CLASS)
        .uid(0x1001, INSTANCE)
        .number(0x1008, ACTION_REQUEST);
    let data_set = request.encode(&syntax);
    exchange(association, context_id, (&command, &data_set), message_id).map(Some)
}

/// Reports to the peer of an association; as [`ask`].
pub fn report(association: &mut Association, report: &Report) -> Result<Option<u16>, CallError> {
    let Some((context_id, syntax)) = context(association) else {
        return Ok(None);
    };
    let message_id = association.next_message_id();
    let command = CommandSet::request(field::N_EVENT_REPORT_RQ, message_id)
        .uid(0x0002, CLASS)
        .uid(0x1000, INSTANCE)
        .number(0x1002, report.event_type());
    let data_set = report.encode(&syntax);
    exchange(association, context_id, (&command, &data_set), message_id).map(Some)
}

/// The next report on an association that stays open, with the context it came in.
pub fn await_report(association: &mut Association, patience: Duration) -> Result<Option<Message>, CallError> {
    match association.receive(patience) {
        Ok(message) if message.command.command_field == field::N_EVENT_REPORT_RQ => Ok(Some(message)),
        Ok(_) => Err(CallError::Violation("message nobody asked for")),
        Err(CallError::TimedOut) => Ok(None),
        Err(error) => Err(error),
    }
}

fn context(association: &Association) -> Option<(u8, TransferSyntaxUid)> {
    let (context_id, at) = association.context(CLASS, &TRANSFER_SYNTAXES)?;
    Some((context_id, TransferSyntaxUid::parse(TRANSFER_SYNTAXES[at]).ok()?))
}

fn exchange(
    association: &mut Association,
    context_id: u8,
    message: (&CommandSet, &[u8]),
    message_id: u16,
) -> Result<u16, CallError> {
    let patience = association.patience();
    let (pdus, pdu_bytes) = association.pdus();
    send_message(pdus, context_id, message, pdu_bytes)?;
    let answer = association.receive(patience)?.command;
    match answer.status {
        Some(status) if answer.command_field & field::RESPONSE != 0 && answer.responds_to == message_id => {
            Ok(status)
        }
        _ => Err(CallError::Violation("answer to another request")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reference(n: u32) -> Reference {
        Reference {
            sop_class_uid: "1.2.840.10008.5.1.4.1.1.2".to_owned(),
            sop_instance_uid: format!("1.2.{n}"),
        }
    }

    #[test]
    fn requests_and_reports_read_back_in_both_encodings() {
        for syntax in TRANSFER_SYNTAXES {
            let syntax = TransferSyntaxUid::parse(syntax).unwrap();
            let request = Request {
                transaction_uid: "2.25.7".to_owned(),
                references: vec![reference(1), reference(2)],
            };
            assert_eq!(Request::parse(&request.encode(&syntax), &syntax), Some(request));
            let mut report = Report {
                transaction_uid: "2.25.7".to_owned(),
                committed: vec![reference(1)],
                failed: vec![(reference(2), reason::NO_SUCH_INSTANCE)],
            };
            assert_eq!(report.event_type(), EVENT_FAILURES);
            assert_eq!(
                Report::parse(&report.encode(&syntax), &syntax).as_ref(),
                Some(&report)
            );
            report.failed.clear();
            assert_eq!(report.event_type(), EVENT_ALL);
            assert_eq!(Report::parse(&report.encode(&syntax), &syntax), Some(report));
        }
    }

    #[test]
    fn what_names_no_instance_or_too_many_is_none() {
        let syntax = TransferSyntaxUid::parse(EXPLICIT_LITTLE).unwrap();
        let request = |references| Request {
            transaction_uid: "2.25.7".to_owned(),
            references,
        };
        for wrong in [
            request(Vec::new()),
            request((0..=REFERENCES_MAX as u32).map(reference).collect()),
            request(vec![Reference {
                sop_instance_uid: "../x".to_owned(),
                ..reference(1)
            }]),
        ] {
            assert_eq!(Request::parse(&wrong.encode(&syntax), &syntax), None);
        }
        assert_eq!(Request::parse(b"no data set", &syntax), None);
    }
}
