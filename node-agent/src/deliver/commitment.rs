//! Storage commitment of what a destination took: asked after the delivery, on the same association; reported on it or,
//! as most do, on one that the peer opens.

use std::time::Duration;

use uuid::Uuid;

use super::{Deliveries, Destination};
use crate::dimse::command::{Command, CommandSet, Response};
use crate::dimse::commitment::{self, REFERENCES_MAX, Report, Request};
use crate::dimse::fragments::{Message, send_command};
use crate::dimse::requestor::{Association, CallError};
use crate::dimse::status;
use tancho_domain::dicom::{AeTitle, TransferSyntaxUid};

/// How long the association stays open for a report when nothing else is to be delivered.
const REPORT_WAIT: Duration = Duration::from_secs(1);

/// A UID of a UUID (PS3.5 annex B.2).
pub(super) fn new_uid() -> String {
    format!("2.25.{}", Uuid::new_v4().as_u128())
}

/// Asks the peer of an association for what it took and was not asked for. `false` when it refuses the service.
pub(super) fn ask(
    deliveries: &Deliveries,
    destination: &Destination,
    association: &mut Association,
) -> Result<bool, CallError> {
    let queue = &deliveries.0.queue;
    let transaction_uid = new_uid();
    let now_ms = deliveries.0.clock.now_ms();
    let begun = queue.begin_commitment(&destination.name, &transaction_uid, (now_ms, REFERENCES_MAX));
    let references = match begun {
        Ok(references) if references.is_empty() => return Ok(true),
        Ok(references) => references,
        Err(error) => {
            tracing::error!(%error, "the delivery queue cannot be written");
            return Ok(true);
        }
    };
    let request = Request {
        transaction_uid,
        references,
    };
    let asked = commitment::ask(association, &request);
    let now_ms = deliveries.0.clock.now_ms();
    let uid = &request.transaction_uid;
    let (recorded, is_taken) = match &asked {
        Ok(Some(status::SUCCESS)) => (queue.commitment_asked(uid, now_ms), true),
        Ok(Some(_)) => (queue.commitment_failed(uid, "commitment_refused", now_ms), false),
        Ok(None) => (
            queue.commitment_failed(uid, "commitment_unsupported", now_ms),
            false,
        ),
        // It may have come through; if not, it is asked again when no report comes.
        Err(_) => (Ok(()), true),
    };
    if let Err(error) = recorded {
        tracing::error!(%error, "the delivery queue cannot be written");
    }
    asked?;
    if is_taken {
        take_early_report(deliveries, destination, association)?;
    }
    Ok(is_taken)
}

/// Some peers report at once, on the same association.
fn take_early_report(
    deliveries: &Deliveries,
    destination: &Destination,
    association: &mut Association,
) -> Result<(), CallError> {
    let Some(message) = commitment::await_report(association, REPORT_WAIT)? else {
        return Ok(());
    };
    let syntax = association.transfer_syntax(message.context_id);
    let status = take(
        deliveries,
        &destination.callee.ae_title,
        &message,
        syntax.as_ref(),
    );
    let (pdus, pdu_bytes) = association.pdus();
    Ok(send_command(
        pdus,
        message.context_id,
        &answer(&message.command, status),
        pdu_bytes,
    )?)
}

/// The response to a report or to a request for storage commitment.
pub fn answer(request: &Command, status: u16) -> CommandSet {
    Response {
        request,
        status,
        comment: None,
    }
    .to_command()
    .number(
        match request.command_field {
            crate::dimse::command::field::N_ACTION_RQ => 0x1008,
            _ => 0x1002,
        },
        request.type_id,
    )
}

/// Takes a report from whoever has this title; gives the status to answer with.
pub fn take(
    deliveries: &Deliveries,
    from: &AeTitle,
    message: &Message,
    transfer_syntax: Option<&TransferSyntaxUid>,
) -> u16 {
    let report = transfer_syntax.and_then(|syntax| Report::parse(&message.data_set, syntax));
    let Some(report) = report else {
        return status::INVALID_ARGUMENT;
    };
    let destinations = deliveries.0.destinations.iter();
    let names: Vec<&str> = destinations
        .filter(|one| one.callee.ae_title == *from)
        .map(|one| one.name.as_str())
        .collect();
    match deliveries
        .0
        .queue
        .take_report(&names, &report, deliveries.0.clock.now_ms())
    {
        Ok(true) => {
            tracing::info!(
                association.calling_ae = from.as_str(),
                n_committed = report.committed.len(),
                n_failed = report.failed.len(),
                "storage commitment reported"
            );
            status::SUCCESS
        }
        Ok(false) => {
            tracing::warn!(
                association.calling_ae = from.as_str(),
                "storage commitment reported that was not asked of this peer"
            );
            status::PROCESSING_FAILURE
        }
        Err(error) => {
            tracing::error!(%error, "a report of storage commitment could not be kept");
            status::PROCESSING_FAILURE
        }
    }
}

/// Has asked again what no report came for.
pub(super) fn expire(deliveries: &Deliveries, destination: &Destination) {
    let queue = &deliveries.0.queue;
    let now_ms = deliveries.0.clock.now_ms();
    let timeout_ms = i64::try_from(destination.commitment_timeout.as_millis()).unwrap_or(i64::MAX);
    let overdue = queue.list_overdue_commitments(&destination.name, now_ms.saturating_sub(timeout_ms));
    let expired = overdue.and_then(|overdue| {
        overdue
            .iter()
            .try_for_each(|uid| queue.commitment_failed(uid, "commitment_late", now_ms))
    });
    if let Err(error) = expired {
        tracing::error!(%error, "the delivery queue cannot be written");
    }
}
