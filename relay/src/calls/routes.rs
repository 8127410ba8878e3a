//! `/api/v1/reading-requests/{id}/calls` and `/api/v1/calls`.

use axum::extract::{Path, State};
use axum::http::StatusCode;
use tancho_domain::access::Action;
use tancho_domain::ids::{CallId, ReadingRequestId};
use tancho_store::Tx;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::dto;
use super::service::{self, Written};
use crate::error::ApiError;
use crate::http::write::{Answered, NoBody, Write};
use crate::state::AppState;

/// The routes of this slice.
pub fn routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::new()
        .routes(routes!(start_call))
        .routes(routes!(start_call_attempt))
        .routes(routes!(end_call_attempt))
        .routes(routes!(put_call_conversation))
        .routes(routes!(close_call))
        .routes(routes!(add_call_addendum))
        .routes(routes!(escalate_call))
        .routes(routes!(deliver_call_otherwise))
}

async fn record<T>(
    app: &AppState,
    write: &Write<T>,
    status: StatusCode,
    act: impl AsyncFnOnce(&mut Tx) -> Result<Written, ApiError>,
) -> Result<Answered, ApiError> {
    write.carry_out(app, Action::RecordCall, status, act).await
}

fn call_id(text: &str) -> Result<CallId, ApiError> {
    CallId::parse(text).map_err(|_| ApiError::not_found())
}

/// Begins the record of a call: one key.
#[utoipa::path(
    post, path = "/api/v1/reading-requests/{reading_request_id}/calls", tag = "calls", operation_id = "start_call",
    params(("reading_request_id" = String, Path, description = "what it is about")),
    request_body = dto::StartCall, responses((status = CREATED, body = dto::Call))
)]
async fn start_call(
    State(app): State<AppState>,
    Path(reading_request_id): Path<String>,
    write: Write<dto::StartCall>,
) -> Result<Answered, ApiError> {
    let id = ReadingRequestId::parse(&reading_request_id).map_err(|_| ApiError::not_found())?;
    record(&app, &write, StatusCode::CREATED, async |tx| {
        service::start(tx, &write.caller, &id, &write.body, app.now_ms()).await
    })
    .await
}

/// Notes a dial.
#[utoipa::path(
    post, path = "/api/v1/calls/{call_id}/attempts", tag = "calls", operation_id = "start_call_attempt",
    params(("call_id" = String, Path, description = "the call")),
    request_body = dto::StartAttempt, responses((status = OK, body = dto::Call))
)]
async fn start_call_attempt(
    State(app): State<AppState>,
    Path(id): Path<String>,
    write: Write<dto::StartAttempt>,
) -> Result<Answered, ApiError> {
    record(&app, &write, StatusCode::OK, async |tx| {
        service::start_attempt(tx, &write.caller, &call_id(&id)?, &write.body, app.now_ms()).await
    })
    .await
}

/// Notes how a dial ended.
#[utoipa::path(
    post, path = "/api/v1/calls/{call_id}/attempts/{attempt_no}/end", tag = "calls", operation_id = "end_call_attempt",
    params(
        ("call_id" = String, Path, description = "the call"),
        ("attempt_no" = u32, Path, description = "which dial, from 1"),
    ),
    request_body = dto::EndAttempt, responses((status = OK, body = dto::Call))
)]
async fn end_call_attempt(
    State(app): State<AppState>,
    Path((id, attempt_no)): Path<(String, String)>,
    write: Write<dto::EndAttempt>,
) -> Result<Answered, ApiError> {
    let attempt_no = attempt_no.parse::<u32>().map_err(|_| ApiError::not_found())?;
    record(&app, &write, StatusCode::OK, async |tx| {
        service::end_attempt(
            tx,
            &write.caller,
            &call_id(&id)?,
            attempt_no,
            &write.body,
            app.now_ms(),
        )
        .await
    })
    .await
}

/// Writes what is said; may be written again until the record is closed. 409 `call_stale` when the record has changed
/// since `base_version`: nothing is saved, and `current` is the call as it is now.
#[utoipa::path(
    put, path = "/api/v1/calls/{call_id}/conversation", tag = "calls", operation_id = "put_call_conversation",
    params(("call_id" = String, Path, description = "the call")),
    request_body = dto::SaveConversation, responses((status = OK, body = dto::Call))
)]
async fn put_call_conversation(
    State(app): State<AppState>,
    Path(id): Path<String>,
    write: Write<dto::SaveConversation>,
) -> Result<Answered, ApiError> {
    record(&app, &write, StatusCode::OK, async |tx| {
        service::put_conversation(tx, &write.caller, &call_id(&id)?, &write.body, app.now_ms()).await
    })
    .await
}

/// Makes the record final. 422 `call_incomplete` names every field that is `missing`.
#[utoipa::path(
    post, path = "/api/v1/calls/{call_id}/close", tag = "calls", operation_id = "close_call",
    params(("call_id" = String, Path, description = "the call")),
    request_body = NoBody, responses((status = OK, body = dto::Call))
)]
async fn close_call(
    State(app): State<AppState>,
    Path(id): Path<String>,
    write: Write<NoBody>,
) -> Result<Answered, ApiError> {
    record(&app, &write, StatusCode::OK, async |tx| {
        service::close(tx, &write.caller, &call_id(&id)?, app.now_ms()).await
    })
    .await
}

/// Adds words to a closed record.
#[utoipa::path(
    post, path = "/api/v1/calls/{call_id}/addenda", tag = "calls", operation_id = "add_call_addendum",
    params(("call_id" = String, Path, description = "the call")),
    request_body = dto::AddCallAddendum, responses((status = OK, body = dto::Call))
)]
async fn add_call_addendum(
    State(app): State<AppState>,
    Path(id): Path<String>,
    write: Write<dto::AddCallAddendum>,
) -> Result<Answered, ApiError> {
    record(&app, &write, StatusCode::OK, async |tx| {
        service::add_addendum(tx, &write.caller, &call_id(&id)?, &write.body, app.now_ms()).await
    })
    .await
}

/// Notes who above was told that nobody answers.
#[utoipa::path(
    post, path = "/api/v1/calls/{call_id}/escalation", tag = "calls", operation_id = "escalate_call",
    params(("call_id" = String, Path, description = "the call")),
    request_body = dto::Escalate, responses((status = OK, body = dto::Call))
)]
async fn escalate_call(
    State(app): State<AppState>,
    Path(id): Path<String>,
    write: Write<dto::Escalate>,
) -> Result<Answered, ApiError> {
    record(&app, &write, StatusCode::OK, async |tx| {
        service::escalate(tx, &write.caller, &call_id(&id)?, &write.body, app.now_ms()).await
    })
    .await
}

/// Notes another way than the voice, with its receipt.
#[utoipa::path(
    post, path = "/api/v1/calls/{call_id}/alternative-delivery", tag = "calls",
    operation_id = "deliver_call_otherwise",
    params(("call_id" = String, Path, description = "the call")),
    request_body = dto::DeliverOtherwise, responses((status = OK, body = dto::Call))
)]
async fn deliver_call_otherwise(
    State(app): State<AppState>,
    Path(id): Path<String>,
    write: Write<dto::DeliverOtherwise>,
) -> Result<Answered, ApiError> {
    record(&app, &write, StatusCode::OK, async |tx| {
        service::deliver_otherwise(tx, &write.caller, &call_id(&id)?, &write.body, app.now_ms()).await
    })
    .await
}
