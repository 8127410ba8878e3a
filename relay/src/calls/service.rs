//! Commands on a call record: load, let the domain decide, save, write history and audit.

use serde_json::{Value, json};
use tancho_domain::access::Scope;
use tancho_domain::call::{
    AlternativeDelivery, AlternativeKind, AttemptEnd, CallAddendum, CallRecord, CallRefusal, CalleeRole,
    Channel, Conversation, Direction, Escalation, FailureReason, NewAttempt, NextAction, Outcome,
};
use tancho_domain::critical_result::Criticality;
use tancho_domain::ids::{CallId, ReadingRequestId};
use tancho_store::audit::{self, Entry};
use tancho_store::reading::ReadingRequest;
use tancho_store::{StoreError, Tx, calls as store, reading, reports, users};

use super::dto;
use super::stored::{self, StoredCall, load_call};
use crate::error::ApiError;
use crate::events::Event;
use crate::http::caller::Caller;
use crate::reading::evaluation::invalid;
use crate::reading::service::{append_event, changed};
use crate::reports::dto::ReportBody;
use crate::secrets;

/// A record after a command, with what is to be published after the commit.
pub type Written = (dto::Call, Vec<Event>);

/// Begins a record under the caller's own account.
pub async fn start(
    tx: &mut Tx,
    caller: &Caller,
    id: &ReadingRequestId,
    form: &dto::StartCall,
    now_ms: i64,
) -> Result<Written, ApiError> {
    let request = reading::get_reading_request(tx, &caller.scope, id).await?;
    let direction = code("direction", &form.direction, Direction::parse)?;
    let callee_role = code("callee_role", &form.callee_role, CalleeRole::parse)?;
    let me = users::get_user(tx, &caller.scope.network_id, &caller.principal.user_id).await?;
    let mut row = store::Call {
        id: CallId::new(secrets::new_uuid()),
        reading_request_id: id.clone(),
        version: 1,
        state: String::new(),
        direction: direction.as_str().to_owned(),
        callee_role: callee_role.as_str().to_owned(),
        recorded_by_id: me.id.clone(),
        recorded_by_name: me.name.clone(),
        recorded_at_ms: now_ms,
        started_at_ms: now_ms,
        ended_at_ms: None,
        report_version_at_call: request.report_version,
        conversation: None,
        escalation: None,
        alternative_delivery: None,
        closed_at_ms: None,
    };
    stored::write_record(&mut row, &CallRecord::begin(direction, now_ms), now_ms)?;
    store::start_call(tx, &caller.scope, &row).await?;
    let detail = json!({ "call_id": row.id });
    append_event(tx, &caller.scope, id, "call_started", Some(&me), detail, now_ms).await?;
    finish(tx, caller, "start_call", &row.id, &request, now_ms).await
}

/// Notes a dial.
pub async fn start_attempt(
    tx: &mut Tx,
    caller: &Caller,
    id: &CallId,
    form: &dto::StartAttempt,
    now_ms: i64,
) -> Result<Written, ApiError> {
    let new = NewAttempt {
        number_dialed: form.number_dialed.clone(),
        callee_role: code("callee_role", &form.callee_role, CalleeRole::parse)?,
        callee_name: form.callee_name.clone(),
        channel: code("channel", &form.channel, Channel::parse)?,
        started_at_ms: form.started_at_ms.unwrap_or(now_ms),
    };
    let (mut call, request) = own(tx, caller, id, now_ms).await?;
    // The record says which version existed when they spoke, and not when the form was opened.
    if call.record.connected_at_ms().is_none() {
        call.row.report_version_at_call = version_at(tx, &caller.scope, &request, new.started_at_ms).await?;
    }
    call.record.start_attempt(new, now_ms).map_err(refused)?;
    save(tx, caller, "start_call_attempt", call, &request, now_ms).await
}

/// Notes how a dial ended.
pub async fn end_attempt(
    tx: &mut Tx,
    caller: &Caller,
    id: &CallId,
    attempt_no: u32,
    form: &dto::EndAttempt,
    now_ms: i64,
) -> Result<Written, ApiError> {
    let end = AttemptEnd {
        outcome: code("outcome", &form.outcome, Outcome::parse)?,
        failure_reason: given_code("failure_reason", &form.failure_reason, FailureReason::parse)?,
        next_action: given_code("next_action", &form.next_action, NextAction::parse)?,
        ended_at_ms: form.ended_at_ms.unwrap_or(now_ms),
    };
    let decide = |record: &mut CallRecord| record.end_attempt(attempt_no, &end, now_ms);
    change(tx, caller, id, "end_call_attempt", decide, now_ms).await
}

/// Writes what is said over the version its writer has seen, never over another one.
pub async fn put_conversation(
    tx: &mut Tx,
    caller: &Caller,
    id: &CallId,
    form: &dto::SaveConversation,
    now_ms: i64,
) -> Result<Written, ApiError> {
    let (mut call, request) = own(tx, caller, id, now_ms).await?;
    let said = Conversation::read(&form.conversation, now_ms)
        .map_err(|problems| invalid("conversation_invalid", &problems))?;
    call.record.put_conversation(said).map_err(refused)?;
    if call.row.version != form.base_version {
        let current = load_call(tx, &caller.scope, id, now_ms).await?;
        return Err(stale(tx, caller, current, &request, now_ms).await?);
    }
    call.row.conversation = Some(Value::Object(form.conversation.clone()).to_string());
    save(tx, caller, "put_call_conversation", call, &request, now_ms).await
}

/// Notes who above was told that nobody answers.
pub async fn escalate(
    tx: &mut Tx,
    caller: &Caller,
    id: &CallId,
    form: &dto::Escalate,
    now_ms: i64,
) -> Result<Written, ApiError> {
    let escalation = Escalation {
        who: form.who.clone(),
        role: form.role.clone(),
        why: form.why.clone(),
        at_ms: now_ms,
    };
    let decide = |record: &mut CallRecord| record.escalate(escalation);
    change(tx, caller, id, "escalate_call", decide, now_ms).await
}

/// Notes another way than the voice, with its receipt.
pub async fn deliver_otherwise(
    tx: &mut Tx,
    caller: &Caller,
    id: &CallId,
    form: &dto::DeliverOtherwise,
    now_ms: i64,
) -> Result<Written, ApiError> {
    let delivery = AlternativeDelivery {
        kind: code("kind", &form.kind, AlternativeKind::parse)?,
        to: form.to.clone(),
        sent_at_ms: form.sent_at_ms,
        receipt_text: form.receipt_text.clone(),
        receipt_at_ms: form.receipt_at_ms,
    };
    let decide = |record: &mut CallRecord| record.deliver_otherwise(delivery, now_ms);
    change(tx, caller, id, "deliver_call_otherwise", decide, now_ms).await
}

/// Makes the record final; from here on it takes addenda only.
pub async fn close(tx: &mut Tx, caller: &Caller, id: &CallId, now_ms: i64) -> Result<Written, ApiError> {
    let (mut call, request) = own(tx, caller, id, now_ms).await?;
    let criticality = most_severe(tx, &caller.scope, &request).await?;
    let calls = stored::load_calls(tx, &caller.scope, &request.id, now_ms).await?;
    let others = calls.into_iter().filter(|other| other.row.id != *id);
    let others: Vec<CallRecord> = others.map(|other| other.record).collect();
    call.record.close(criticality, &others, now_ms).map_err(refused)?;
    let me = users::get_user(tx, &caller.scope.network_id, &caller.principal.user_id).await?;
    let detail = json!({ "call_id": id, "state": call.record.state.as_str() });
    append_event(
        tx,
        &caller.scope,
        &request.id,
        "call_closed",
        Some(&me),
        detail,
        now_ms,
    )
    .await?;
    save(tx, caller, "close_call", call, &request, now_ms).await
}

/// Adds words to a closed record.
pub async fn add_addendum(
    tx: &mut Tx,
    caller: &Caller,
    id: &CallId,
    form: &dto::AddCallAddendum,
    now_ms: i64,
) -> Result<Written, ApiError> {
    let (mut call, request) = own(tx, caller, id, now_ms).await?;
    let addendum = CallAddendum {
        text: form.text.clone(),
        corrects_fields: form.corrects_fields.clone(),
        at_ms: now_ms,
    };
    call.record.add(addendum).map_err(refused)?;
    let addendum = store::CallAddendum {
        seq: 0,
        text: form.text.clone(),
        corrects_fields: serde_json::to_string(&form.corrects_fields).map_err(ApiError::internal)?,
        author_id: call.row.recorded_by_id.clone(),
        author_name: call.row.recorded_by_name.clone(),
        added_at_ms: now_ms,
    };
    store::add_call_addendum(tx, &caller.scope, id, &addendum).await?;
    finish(tx, caller, "add_call_addendum", id, &request, now_ms).await
}

/// The newest version that was signed at an instant.
async fn version_at(
    tx: &mut Tx,
    scope: &Scope,
    request: &ReadingRequest,
    at_ms: i64,
) -> Result<Option<i64>, ApiError> {
    let Some(report_id) = request.report()? else {
        return Ok(None);
    };
    let versions = reports::list_report_versions(tx, scope, &report_id).await?;
    let signed = versions
        .iter()
        .rev()
        .find(|version| version.signed_at_ms <= at_ms);
    Ok(signed.map(|version| version.version))
}

/// Loads the caller's own record, lets the domain decide about a change of it, and saves it.
async fn change<T>(
    tx: &mut Tx,
    caller: &Caller,
    id: &CallId,
    action: &str,
    decide: impl FnOnce(&mut CallRecord) -> Result<T, CallRefusal>,
    now_ms: i64,
) -> Result<Written, ApiError> {
    let (mut call, request) = own(tx, caller, id, now_ms).await?;
    decide(&mut call.record).map_err(refused)?;
    save(tx, caller, action, call, &request, now_ms).await
}

/// The record, if it is the caller's own, with its request.
async fn own(
    tx: &mut Tx,
    caller: &Caller,
    id: &CallId,
    now_ms: i64,
) -> Result<(StoredCall, ReadingRequest), ApiError> {
    let call = load_call(tx, &caller.scope, id, now_ms).await?;
    if call.row.recorded_by_id != caller.principal.user_id {
        let detail = "only the person who began the call record writes in it";
        return Err(ApiError::new(
            axum::http::StatusCode::FORBIDDEN,
            "not_own_record",
            detail,
        ));
    }
    let request = reading::get_reading_request(tx, &caller.scope, &call.row.reading_request_id).await?;
    Ok((call, request))
}

/// The most severe the reader has named, in the draft or in the newest signed version.
pub async fn most_severe(
    tx: &mut Tx,
    scope: &Scope,
    request: &ReadingRequest,
) -> Result<Criticality, ApiError> {
    let drafted = match reading::get_draft(tx, scope, &request.id).await? {
        Some(draft) => {
            serde_json::from_str::<ReportBody>(&draft.body)
                .map_err(ApiError::internal)?
                .criticality
        }
        None => None,
    };
    let named = [drafted.as_deref(), request.criticality.as_deref()];
    let severities = named.into_iter().flatten().filter_map(Criticality::parse);
    Ok(severities.max().unwrap_or(Criticality::None))
}

/// Saves what the domain decided about the record as it was read, with every dial that is new or has ended.
async fn save(
    tx: &mut Tx,
    caller: &Caller,
    action: &str,
    mut call: StoredCall,
    request: &ReadingRequest,
    now_ms: i64,
) -> Result<Written, ApiError> {
    let (id, seen_version) = (call.row.id.clone(), call.row.version);
    stored::write_record(&mut call.row, &call.record, now_ms)?;
    match store::save_call(tx, &caller.scope, seen_version, &call.row).await {
        // Another writer has committed since the record was read here.
        Err(StoreError::Stale) => {
            let current = load_call(tx, &caller.scope, &id, now_ms).await?;
            return Err(stale(tx, caller, current, request, now_ms).await?);
        }
        saved => saved?,
    };
    for attempt in call.record.attempts.iter().map(stored::row_of) {
        let known = call
            .attempts
            .iter()
            .find(|known| known.attempt_no == attempt.attempt_no);
        match known {
            None => store::add_attempt(tx, &caller.scope, &id, &attempt).await?,
            Some(known) if *known == attempt => {}
            Some(_) => store::end_attempt(tx, &caller.scope, &id, &attempt).await?,
        }
    }
    finish(tx, caller, action, &id, request, now_ms).await
}

/// The refusal of a save over another version, with the record that is there: both texts are kept.
async fn stale(
    tx: &mut Tx,
    caller: &Caller,
    current: StoredCall,
    request: &ReadingRequest,
    now_ms: i64,
) -> Result<ApiError, ApiError> {
    let criticality = most_severe(tx, &caller.scope, request).await?;
    let current = serde_json::to_value(current.into_dto(criticality, now_ms)?).map_err(ApiError::internal)?;
    let detail = "the call was written elsewhere meanwhile; `current` is what is there, yours was not saved";
    Ok(ApiError::conflict("call_stale", detail).with("current", current))
}

async fn finish(
    tx: &mut Tx,
    caller: &Caller,
    action: &str,
    id: &CallId,
    request: &ReadingRequest,
    now_ms: i64,
) -> Result<Written, ApiError> {
    let call = load_call(tx, &caller.scope, id, now_ms).await?;
    let entry = Entry::done(&caller.principal, action, "call", id.as_str())
        .with_detail(json!({ "reading_request_id": request.id, "state": call.row.state }))
        .with_request_id(&caller.request_id);
    audit::append(tx, &caller.scope.network_id, entry, now_ms).await?;
    let criticality = most_severe(tx, &caller.scope, request).await?;
    Ok((call.into_dto(criticality, now_ms)?, changed(request)))
}

fn code<T>(field: &'static str, text: &str, parse: fn(&str) -> Option<T>) -> Result<T, ApiError> {
    parse(text).ok_or_else(|| {
        ApiError::unprocessable("unknown_code", format!("`{field}` is not one of its codes"))
            .with("field", field)
    })
}

/// The same for a code that may be left out.
fn given_code<T>(
    field: &'static str,
    text: &Option<String>,
    parse: fn(&str) -> Option<T>,
) -> Result<Option<T>, ApiError> {
    let given = text.as_deref().filter(|text| !text.is_empty());
    given.map(|text| code(field, text, parse)).transpose()
}

fn refused(refusal: CallRefusal) -> ApiError {
    let detail = refusal.to_string();
    match &refusal {
        CallRefusal::Missing(fields) | CallRefusal::FailureNotDocumented(fields) => {
            ApiError::unprocessable(refusal.code(), detail).with("missing", json!(fields))
        }
        CallRefusal::OutOfOrder | CallRefusal::TooMany => ApiError::unprocessable(refusal.code(), detail),
        _ => ApiError::conflict(refusal.code(), detail),
    }
}
