//! Stored call records in the domain's terms, and back.

use serde::{Deserialize, Serialize};
use tancho_domain::access::Scope;
use tancho_domain::call::{
    AlternativeDelivery, AlternativeKind, Attempt, CallAddendum, CallRecord, CallState, CalleeRole, Channel,
    Conversation, Direction, Escalation, FailureReason, NextAction, Outcome,
};
use tancho_domain::critical_result::Criticality;
use tancho_domain::findings::Answers;
use tancho_domain::ids::{CallId, ReadingRequestId};
use tancho_store::{StoreError, Tx, calls as store};

use super::dto;

/// A record as stored and as the rules see it.
#[derive(Debug, Clone)]
pub struct StoredCall {
    /// As stored.
    pub row: store::Call,
    /// As stored, in order.
    pub attempts: Vec<store::CallAttempt>,
    /// As stored, in order.
    pub addenda: Vec<store::CallAddendum>,
    /// As the rules see it.
    pub record: CallRecord,
}

impl StoredCall {
    /// As the API says it. `criticality` is the most severe the reader has named.
    pub fn into_dto(self, criticality: Criticality, now_ms: i64) -> Result<dto::Call, StoreError> {
        let missing = if self.record.state.is_closed() {
            Vec::new()
        } else {
            self.record.missing_to_close(criticality, now_ms)
        };
        dto::Call::of(self, missing.into_iter().map(str::to_owned).collect())
    }
}

/// One record within reach.
pub async fn load_call(
    tx: &mut Tx,
    scope: &Scope,
    id: &CallId,
    now_ms: i64,
) -> Result<StoredCall, StoreError> {
    let row = store::get_call(tx, scope, id).await?;
    complete(tx, scope, row, now_ms).await
}

/// The records about a request within reach, oldest first.
pub async fn load_calls(
    tx: &mut Tx,
    scope: &Scope,
    id: &ReadingRequestId,
    now_ms: i64,
) -> Result<Vec<StoredCall>, StoreError> {
    let mut calls = Vec::new();
    for row in store::list_calls(tx, scope, id).await? {
        calls.push(complete(tx, scope, row, now_ms).await?);
    }
    Ok(calls)
}

async fn complete(
    tx: &mut Tx,
    scope: &Scope,
    row: store::Call,
    now_ms: i64,
) -> Result<StoredCall, StoreError> {
    let attempts = store::list_attempts(tx, scope, &row.id).await?;
    let addenda = store::list_call_addenda(tx, scope, &row.id).await?;
    let record = record_of(&row, &attempts, &addenda, now_ms)?;
    Ok(StoredCall {
        row,
        attempts,
        addenda,
        record,
    })
}

#[derive(Serialize, Deserialize)]
struct EscalationText {
    who: String,
    role: String,
    why: String,
    at_ms: i64,
}

#[derive(Serialize, Deserialize)]
struct DeliveryText {
    kind: String,
    to: String,
    sent_at_ms: i64,
    receipt_text: String,
    receipt_at_ms: i64,
}

fn corrupt() -> StoreError {
    StoreError::Corrupt("call record".to_owned())
}

fn record_of(
    row: &store::Call,
    attempts: &[store::CallAttempt],
    addenda: &[store::CallAddendum],
    now_ms: i64,
) -> Result<CallRecord, StoreError> {
    let conversation = match &row.conversation {
        Some(text) => {
            let written: Answers = serde_json::from_str(text)?;
            Some(Conversation::read(&written, now_ms).map_err(|_| corrupt())?)
        }
        None => None,
    };
    let escalation = row
        .escalation
        .as_deref()
        .map(serde_json::from_str::<EscalationText>)
        .transpose()?;
    let delivery = row
        .alternative_delivery
        .as_deref()
        .map(serde_json::from_str::<DeliveryText>)
        .transpose()?;
    let addenda = addenda.iter().map(|addendum| {
        Ok(CallAddendum {
            text: addendum.text.clone(),
            corrects_fields: serde_json::from_str(&addendum.corrects_fields)?,
            at_ms: addendum.added_at_ms,
        })
    });
    Ok(CallRecord {
        state: CallState::parse(&row.state).ok_or_else(corrupt)?,
        direction: Direction::parse(&row.direction).ok_or_else(corrupt)?,
        started_at_ms: row.started_at_ms,
        attempts: attempts
            .iter()
            .map(attempt_of)
            .collect::<Option<_>>()
            .ok_or_else(corrupt)?,
        conversation,
        escalation: escalation.map(|text| Escalation {
            who: text.who,
            role: text.role,
            why: text.why,
            at_ms: text.at_ms,
        }),
        alternative_delivery: match delivery {
            Some(text) => Some(AlternativeDelivery {
                kind: AlternativeKind::parse(&text.kind).ok_or_else(corrupt)?,
                to: text.to,
                sent_at_ms: text.sent_at_ms,
                receipt_text: text.receipt_text,
                receipt_at_ms: text.receipt_at_ms,
            }),
            None => None,
        },
        closed_at_ms: row.closed_at_ms,
        addenda: addenda.collect::<Result<_, StoreError>>()?,
    })
}

fn attempt_of(row: &store::CallAttempt) -> Option<Attempt> {
    /// An absent text is fine, one that is no code is not.
    fn code<T>(text: Option<&str>, parse: fn(&str) -> Option<T>) -> Option<Option<T>> {
        match text {
            Some(text) => parse(text).map(Some),
            None => Some(None),
        }
    }
    Some(Attempt {
        attempt_no: u32::try_from(row.attempt_no).ok()?,
        number_dialed: row.number_dialed.clone(),
        callee_role: CalleeRole::parse(&row.callee_role)?,
        callee_name: row.callee_name.clone(),
        channel: Channel::parse(&row.channel)?,
        started_at_ms: row.started_at_ms,
        ended_at_ms: row.ended_at_ms,
        outcome: code(row.outcome.as_deref(), Outcome::parse)?,
        failure_reason: code(row.failure_reason.as_deref(), FailureReason::parse)?,
        next_action: code(row.next_action.as_deref(), NextAction::parse)?,
    })
}

/// An attempt as stored.
#[must_use]
pub fn row_of(attempt: &Attempt) -> store::CallAttempt {
    store::CallAttempt {
        attempt_no: i64::from(attempt.attempt_no),
        number_dialed: attempt.number_dialed.clone(),
        channel: attempt.channel.as_str().to_owned(),
        callee_role: attempt.callee_role.as_str().to_owned(),
        callee_name: attempt.callee_name.clone(),
        started_at_ms: attempt.started_at_ms,
        ended_at_ms: attempt.ended_at_ms,
        outcome: attempt.outcome.map(|outcome| outcome.as_str().to_owned()),
        failure_reason: attempt.failure_reason.map(|reason| reason.as_str().to_owned()),
        next_action: attempt.next_action.map(|action| action.as_str().to_owned()),
    }
}

/// Writes what the rules decided into the row; attempts, addenda and the conversation's text have their own way.
pub fn write_record(row: &mut store::Call, record: &CallRecord, now_ms: i64) -> Result<(), StoreError> {
    row.state = record.state.as_str().to_owned();
    row.recorded_at_ms = now_ms;
    row.ended_at_ms = record.ended_at_ms();
    row.closed_at_ms = record.closed_at_ms;
    let escalation = record.escalation.as_ref().map(|given| EscalationText {
        who: given.who.clone(),
        role: given.role.clone(),
        why: given.why.clone(),
        at_ms: given.at_ms,
    });
    row.escalation = escalation.map(|text| serde_json::to_string(&text)).transpose()?;
    let delivery = record.alternative_delivery.as_ref().map(|given| DeliveryText {
        kind: given.kind.as_str().to_owned(),
        to: given.to.clone(),
        sent_at_ms: given.sent_at_ms,
        receipt_text: given.receipt_text.clone(),
        receipt_at_ms: given.receipt_at_ms,
    });
    row.alternative_delivery = delivery.map(|text| serde_json::to_string(&text)).transpose()?;
    Ok(())
}
