//! C-MOVE and C-GET (PS3.4 sections C.4.2 and C.4.3): C-STORE sub-operations, counted, cancelled when asked.

use std::collections::{HashSet, VecDeque};
use std::io;
use std::time::Instant;

use super::keys::Keys;
use super::{Broken, Work, answer};
use crate::dimse::command::{WITH_DATA_SET, field};
use crate::dimse::fragments::{FragmentWriter, send_command, send_message};
use crate::dimse::negotiation::Context;
use crate::dimse::requestor::{Association, Callee};
use crate::dimse::status;
use crate::dimse::store_scu::{self, Originator, Outgoing, StoreError};
use crate::spool::onward::OnwardObject;
use tancho_imaging::element::{Tag, Vr};
use tancho_imaging::synthetic::ElementWriter;

const FAILED_INSTANCES: Tag = Tag(0x0008, 0x0058);
/// So many associations that a move destination breaks in a row end a retrieval.
const BROKEN_MAX: usize = 3;

/// How far a retrieval is.
#[derive(Debug, Default)]
struct Counts {
    remaining: usize,
    completed: usize,
    failed: Vec<String>,
    remarked: usize,
}

impl Counts {
    fn take(&mut self, object: &OnwardObject, status: Option<u16>) {
        self.remaining -= 1;
        match status {
            Some(status::SUCCESS) => self.completed += 1,
            Some(0x0001 | 0x0107 | 0x0116 | 0xB000..=0xBFFF) => self.remarked += 1,
            _ => self.failed.push(object.sop_instance_uid.clone()),
        }
    }

    fn fail<'a>(&mut self, objects: impl IntoIterator<Item = &'a OnwardObject>) {
        for object in objects {
            self.take(object, None);
        }
    }

    /// The status of the last response.
    fn outcome(&self, is_cancelled: bool) -> u16 {
        if is_cancelled {
            answer::CANCELLED
        } else if self.failed.is_empty() && self.remarked == 0 {
            status::SUCCESS
        } else if self.completed + self.remarked == 0 {
            answer::NO_SUB_OPERATIONS
        } else {
            answer::SOME_FAILED
        }
    }
}

/// Answers C-MOVE.
pub(super) fn move_to(work: &mut Work<'_>, keys: &Keys) -> Result<(), Broken> {
    let wanted = work.message.command.move_destination.as_str();
    let mut listed = work.desk.move_destinations.iter();
    let Some(callee) = listed.find(|callee| callee.ae_title.as_str() == wanted) else {
        return work.end(answer::DESTINATION_UNKNOWN, "move destination not configured");
    };
    let mut waiting: VecDeque<OnwardObject> = match work.select(keys) {
        Ok(objects) => objects.into(),
        Err((status, comment)) => return work.end(status, comment),
    };
    let mut counts = Counts {
        remaining: waiting.len(),
        ..Counts::default()
    };
    let mut n_broken = 0;
    while !waiting.is_empty() && !work.is_cancelled()? {
        // As many as one association has contexts for.
        let mut lot = next_lot(&mut waiting);
        let contexts = contexts(lot.make_contiguous());
        let opened = Association::request(callee, &contexts, work.pdus.stopping());
        let mut association = match opened {
            Ok(association) => association,
            Err(error) => {
                tracing::warn!(
                    association.called_ae = wanted,
                    code = error.code(),
                    "a move destination failed"
                );
                lot.extend(waiting.drain(..));
                counts.fail(&lot);
                break;
            }
        };
        let mut is_broken = false;
        while let Some(object) = lot.pop_front() {
            if work.is_cancelled()? {
                break;
            }
            match store(work, callee, &mut association, &object) {
                Ok(status) => {
                    n_broken = status.map_or(n_broken, |_| 0);
                    counts.take(&object, status);
                }
                Err(()) => {
                    counts.take(&object, None);
                    is_broken = true;
                }
            }
            pending(work, &counts)?;
            if is_broken {
                break;
            }
        }
        if !is_broken {
            association.release();
            continue;
        }
        association.abort();
        n_broken += 1;
        // Those behind the object go on another association, unless it is the peer that cannot bear any.
        lot.extend(waiting.drain(..));
        waiting = lot;
        if n_broken >= BROKEN_MAX {
            counts.fail(&waiting);
            break;
        }
    }
    finish(work, &counts)
}

/// One sub-operation of C-MOVE: the status, `None` when the object cannot go, `Err` when the association is lost.
fn store(
    work: &Work<'_>,
    callee: &Callee,
    association: &mut Association,
    object: &OnwardObject,
) -> Result<Option<u16>, ()> {
    let syntaxes = store_scu::transfer_syntaxes(&object.transfer_syntax);
    let Some((context_id, at)) = association.context(&object.sop_class_uid, &syntaxes) else {
        return Ok(None);
    };
    let originator = Originator {
        ae_title: work.desk.accepted.calling_ae.as_str().to_owned(),
        message_id: work.message.command.message_id,
    };
    let Some(outgoing) = checked(work, object, syntaxes[at], Some(originator)) else {
        return Ok(None);
    };
    match store_scu::store(association, (context_id, syntaxes[at]), outgoing) {
        Ok(status) => Ok(Some(status)),
        Err(error) => {
            tracing::warn!(association.called_ae = %callee.ae_title, ?error, "a sub-operation failed");
            Err(())
        }
    }
}

/// An object that can go in `transfer_syntax`; what is damaged is recorded.
fn checked(
    work: &Work<'_>,
    object: &OnwardObject,
    transfer_syntax: &str,
    originator: Option<Originator>,
) -> Option<Outgoing> {
    if !object.may_leave() {
        return None;
    }
    let spool = work.desk.spool;
    let error = match Outgoing::of(spool, object, originator).map_err(StoreError::Disk) {
        Ok(outgoing) => match outgoing.check(transfer_syntax) {
            Ok(()) => return Some(outgoing),
            Err(error) => error,
        },
        Err(error) => error,
    };
    tracing::error!(object.id = %object.object_id, ?error, "an object in the spool cannot be sent");
    let is_damaged = match &error {
        StoreError::Damaged => true,
        StoreError::Disk(error) => error.kind() == io::ErrorKind::InvalidData,
        StoreError::NotConvertible | StoreError::Call(_) => false,
    };
    if is_damaged && let Err(error) = spool.record_damage(&object.object_id) {
        tracing::error!(%error, "the spool's index cannot be written");
    }
    None
}

fn next_lot(waiting: &mut VecDeque<OnwardObject>) -> VecDeque<OnwardObject> {
    let mut lot: VecDeque<OnwardObject> = VecDeque::new();
    let mut kinds: HashSet<(String, String)> = HashSet::new();
    while let Some(object) = waiting.front() {
        kinds.insert((object.sop_class_uid.clone(), object.transfer_syntax.clone()));
        if 2 * kinds.len() > crate::dimse::negotiation::CONTEXTS_MAX {
            break;
        }
        lot.extend(waiting.pop_front());
    }
    lot
}

fn contexts(lot: &[OnwardObject]) -> Vec<Context> {
    let mut contexts: Vec<Context> = Vec::new();
    for object in lot {
        for syntax in store_scu::transfer_syntaxes(&object.transfer_syntax) {
            let context = Context {
                abstract_syntax: object.sop_class_uid.clone(),
                transfer_syntax: syntax.to_owned(),
            };
            if !contexts.contains(&context) {
                contexts.push(context);
            }
        }
    }
    contexts
}

/// Answers C-GET, on the association it came on.
pub(super) fn get(work: &mut Work<'_>, keys: &Keys) -> Result<(), Broken> {
    let objects = match work.select(keys) {
        Ok(objects) => objects,
        Err((status, comment)) => return work.end(status, comment),
    };
    let mut counts = Counts {
        remaining: objects.len(),
        ..Counts::default()
    };
    let mut message_id = work.message.command.message_id;
    for object in objects {
        if work.is_cancelled()? {
            break;
        }
        message_id = message_id.wrapping_add(1).max(1);
        let status = get_one(work, &object, message_id)?;
        counts.take(&object, status);
        pending(work, &counts)?;
    }
    finish(work, &counts)
}

/// One sub-operation of C-GET; `None` when the object cannot go.
fn get_one(work: &mut Work<'_>, object: &OnwardObject, message_id: u16) -> Result<Option<u16>, Broken> {
    let syntaxes = store_scu::transfer_syntaxes(&object.transfer_syntax);
    let accepted = work.desk.accepted;
    let found = syntaxes.iter().find_map(|syntax| {
        let mut contexts = accepted.contexts.iter();
        let context = contexts.find(|(_, context)| {
            context.abstract_syntax == object.sop_class_uid && context.transfer_syntax == *syntax
        });
        context.map(|(id, _)| (*id, *syntax))
    });
    let Some((context_id, syntax)) = found.filter(|_| accepted.storable.contains(&object.sop_class_uid))
    else {
        return Ok(None);
    };
    let Some(outgoing) = checked(work, object, syntax, None) else {
        return Ok(None);
    };
    let (pdu_bytes, patience) = (work.desk.pdu_bytes, work.desk.patience);
    let command = store_scu::request(&outgoing, message_id);
    send_command(work.pdus, context_id, &command, pdu_bytes)?;
    let writer = FragmentWriter::new(work.pdus, context_id, pdu_bytes, patience);
    match store_scu::send_data_set(outgoing, syntax, writer) {
        Ok(()) => {}
        // The data set was left in its middle: only the end of the association tells the peer.
        Err(StoreError::Call(_) | StoreError::Damaged | StoreError::NotConvertible | StoreError::Disk(_)) => {
            return Err(Broken::Violation);
        }
    }
    loop {
        let message = work.reader.next(work.pdus, Instant::now() + patience)?;
        if message.command.command_field == field::C_CANCEL_RQ {
            work.note_cancel(&message)?;
            continue;
        }
        let status = store_scu::status_of(&message, message_id, &object.sop_instance_uid);
        return status.map(Some).map_err(|_| Broken::Violation);
    }
}

fn pending(work: &mut Work<'_>, counts: &Counts) -> Result<(), Broken> {
    if counts.remaining == 0 {
        return Ok(());
    }
    let response = counted(work, answer::PENDING, counts).number(0x1020, short(counts.remaining));
    Ok(send_command(
        work.pdus,
        work.message.context_id,
        &response,
        work.desk.pdu_bytes,
    )?)
}

fn counted(work: &Work<'_>, status: u16, counts: &Counts) -> crate::dimse::command::CommandSet {
    work.response(status, None)
        .number(0x1021, short(counts.completed))
        .number(0x1022, short(counts.failed.len()))
        .number(0x1023, short(counts.remarked))
}

fn short(n: usize) -> u16 {
    u16::try_from(n).unwrap_or(u16::MAX)
}

/// The last response: counts, and the instances that failed.
fn finish(work: &mut Work<'_>, counts: &Counts) -> Result<(), Broken> {
    let mut response = counted(work, counts.outcome(work.cancelled), counts);
    if work.cancelled {
        response = response.number(0x1020, short(counts.remaining));
    }
    let (context_id, pdu_bytes) = (work.message.context_id, work.desk.pdu_bytes);
    if counts.failed.is_empty() {
        return Ok(send_command(work.pdus, context_id, &response, pdu_bytes)?);
    }
    let mut writer = ElementWriter::new(&work.syntax);
    // As many as a value with a short length holds.
    let mut list = counts.failed.join("\\");
    if list.len() > usize::from(u16::MAX) - 1 {
        list.truncate(usize::from(u16::MAX) - 1);
        list.truncate(list.rfind('\\').unwrap_or(0));
    }
    writer.ascii(FAILED_INSTANCES, Vr::UI, &list);
    let response = response.number(0x0800, WITH_DATA_SET);
    let message = (&response, writer.finish());
    Ok(send_message(
        work.pdus,
        context_id,
        (message.0, &message.1),
        pdu_bytes,
    )?)
}
