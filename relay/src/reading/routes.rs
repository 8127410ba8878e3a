//! `/api/v1/reading-requests/{id}` and what stands below it, `/api/v1/findings/evaluate`, `/api/v1/templates`.

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use serde_json::json;
use tancho_domain::access::Action;
use tancho_domain::clinical_context::{ClinicalContext, PhoneNumber};
use tancho_domain::dicom::StudyInstanceUid;
use tancho_domain::findings;
use tancho_domain::ids::{ReadingRequestId, StudyId};
use tancho_domain::reading::Command;
use tancho_domain::turnaround::Urgency;
use tancho_store::audit::{self, Entry};
use tancho_store::reading as store;
use tancho_store::{StoreError, users};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::evaluation::invalid;
use super::opening::{self, Asked, BesideContext, OpenFailure, Opening};
use super::service::{self, Applied, changed, publish};
use super::{detail, drafts, dto, stored};
use crate::error::ApiError;
use crate::http::caller::Caller;
use crate::http::write::{Answered, JsonBody, NoBody, Write};
use crate::reports::dto::Evaluation;
use crate::state::AppState;

/// The routes of this slice.
pub fn routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::new()
        .routes(routes!(create_reading_request))
        .routes(routes!(get_reading_request))
        .routes(routes!(complete_clinical_context))
        .routes(routes!(claim_reading_request))
        .routes(routes!(renew_claim))
        .routes(routes!(release_claim))
        .routes(routes!(return_reading_request))
        .routes(routes!(cancel_reading_request))
        .routes(routes!(save_draft))
        .routes(routes!(evaluate_findings))
        .routes(routes!(list_templates))
}

fn request_id(text: &str) -> Result<ReadingRequestId, ApiError> {
    ReadingRequestId::parse(text).map_err(|_| ApiError::not_found())
}

/// Everything about one request that the person may know. Looking at it is in the audit trail.
#[utoipa::path(
    get, path = "/api/v1/reading-requests/{reading_request_id}", tag = "reading", operation_id = "get_reading_request",
    params(("reading_request_id" = String, Path, description = "the request")),
    responses((status = OK, body = dto::ReadingRequestDetail))
)]
async fn get_reading_request(
    State(app): State<AppState>,
    caller: Caller,
    Path(id): Path<String>,
) -> Result<Json<dto::ReadingRequestDetail>, ApiError> {
    caller.require(Action::ViewReadingRequest)?;
    let id = request_id(&id)?;
    let mut tx = app.db.write().await?;
    let detail = detail::describe(&app, &mut tx, &caller, &id).await?;
    let entry = Entry::done(
        &caller.principal,
        "view_reading_request",
        "reading_request",
        id.as_str(),
    )
    .with_request_id(&caller.request_id);
    audit::append(&mut tx, &caller.scope.network_id, entry, app.now_ms()).await?;
    tx.commit().await?;
    Ok(Json(detail))
}

/// Asks for a reading of a study of one's own site. A number to call back is required; a study that has an open
/// request is refused with 409 `already_requested` and that request's id.
#[utoipa::path(
    post, path = "/api/v1/reading-requests", tag = "reading", operation_id = "create_reading_request",
    request_body = dto::CreateReadingRequest, responses((status = CREATED, body = dto::ReadingRequestDetail))
)]
async fn create_reading_request(
    State(app): State<AppState>,
    write: Write<dto::CreateReadingRequest>,
) -> Result<Answered, ApiError> {
    write.caller.require(Action::CreateReadingRequest)?;
    let now_ms = app.now_ms();
    let mut tx = app.db.write().await?;
    if let Some(answered) = write.begin(&mut tx, now_ms).await? {
        return Ok(answered);
    }
    let (caller, form) = (&write.caller, &write.body);
    let (network_id, site_id) = (&caller.scope.network_id, &caller.principal.site_id);
    let uid = match (&form.study_id, &form.study_instance_uid) {
        (Some(id), _) => {
            let id = StudyId::parse(id).map_err(|_| ApiError::not_found())?;
            let study = store::get_study_of_request(&mut tx, network_id, &id).await?;
            // Another site's study is not found, whoever knows its id.
            if study.site_id != *site_id {
                return Err(ApiError::not_found());
            }
            study.study_instance_uid
        }
        (None, Some(uid)) => match StudyInstanceUid::parse(uid) {
            Ok(uid) => uid.into(),
            Err(error) => {
                return Err(ApiError::unprocessable(
                    "study_instance_uid_malformed",
                    error.to_string(),
                ));
            }
        },
        (None, None) => {
            return Err(ApiError::unprocessable(
                "study_missing",
                "study_id or study_instance_uid expected",
            ));
        }
    };
    if let Some(open) = store::find_open_request_of_study(&mut tx, network_id, site_id, &uid).await? {
        let detail = "the study has an open reading request; complete that one";
        return Err(
            ApiError::conflict("already_requested", detail).with("reading_request_id", json!(open.id))
        );
    }
    let mut answers = form.clinical_context.clone();
    let beside = BesideContext::take(&mut answers);
    let number = form
        .callback_number
        .clone()
        .or(beside.callback_number)
        .unwrap_or_default();
    let number = phone_number(&number)?;
    let context = ClinicalContext::submit(&answers, now_ms)
        .map_err(|problems| invalid("clinical_context_invalid", &problems))?;
    let me = users::get_user(&mut tx, network_id, &caller.principal.user_id).await?;
    let requesting_site = opening::site_of(&mut tx, &caller.scope, site_id).await?;
    let opening = Opening {
        requesting_site: &requesting_site,
        study_instance_uid: &uid,
        urgency: urgency(&form.urgency)?,
        asked: Asked::Person(&me),
        context,
        callback_number: Some(number),
        callback_person: form.callback_person.clone().or(beside.callback_person),
        responsible_physician: form
            .responsible_physician
            .clone()
            .or(beside.responsible_physician),
    };
    let request = match opening::open(&app, &mut tx, &caller.scope, opening, now_ms).await {
        Err(OpenFailure::Store(StoreError::Conflict)) => {
            return Err(ApiError::conflict(
                "already_requested",
                "the study has an open reading request",
            ));
        }
        opened => opened?,
    };
    let entry = Entry::done(
        &caller.principal,
        "create_reading_request",
        "reading_request",
        request.id.as_str(),
    )
    .with_detail(json!({ "origin": "person", "urgency": request.urgency }))
    .with_request_id(&caller.request_id);
    audit::append(&mut tx, network_id, entry, now_ms).await?;
    let detail = detail::describe(&app, &mut tx, caller, &request.id).await?;
    let answered = write.finish(tx, StatusCode::CREATED, &detail).await?;
    publish(&app, changed(&request));
    Ok(answered)
}

fn urgency(text: &str) -> Result<Urgency, ApiError> {
    Urgency::parse(text).ok_or_else(|| ApiError::unprocessable("urgency_unknown", "no such urgency"))
}

fn phone_number(text: &str) -> Result<String, ApiError> {
    match PhoneNumber::parse(text) {
        Ok(number) => Ok(number.as_str().to_owned()),
        Err(error) => Err(ApiError::unprocessable(
            "callback_number_required",
            error.to_string(),
        )),
    }
}

/// Fills in or corrects the clinical context, the number to call back and the responsible physician, by field id.
/// What is not named stays; null takes an answer back. A request that was sent back becomes readable again.
#[utoipa::path(
    patch, path = "/api/v1/reading-requests/{reading_request_id}/clinical-context", tag = "reading",
    operation_id = "complete_clinical_context",
    params(("reading_request_id" = String, Path, description = "the request")),
    request_body = dto::ClinicalContext, responses((status = OK, body = dto::ReadingRequestDetail))
)]
async fn complete_clinical_context(
    State(app): State<AppState>,
    Path(id): Path<String>,
    write: Write<dto::ClinicalContext>,
) -> Result<Answered, ApiError> {
    write.caller.require(Action::CompleteClinicalContext)?;
    let id = request_id(&id)?;
    let now_ms = app.now_ms();
    let mut tx = app.db.write().await?;
    if let Some(answered) = write.begin(&mut tx, now_ms).await? {
        return Ok(answered);
    }
    let mut answers = write.body.0.clone();
    let beside = BesideContext::take(&mut answers);
    let number = beside.callback_number.as_deref().map(phone_number).transpose()?;
    let new_urgency = beside.requested_urgency.as_deref().map(urgency).transpose()?;
    let edit = |request: &mut store::ReadingRequest, _: &tancho_domain::reading::Event| {
        let context = stored::context_of(request, now_ms)?;
        let context = context
            .completed(&answers, now_ms)
            .map_err(|problems| invalid("clinical_context_invalid", &problems))?;
        request.callback_number = number.clone().or(request.callback_number.take());
        request.callback_person = beside.callback_person.clone().or(request.callback_person.take());
        request.responsible_physician = beside
            .responsible_physician
            .clone()
            .or(request.responsible_physician.take());
        if let Some(new_urgency) = new_urgency {
            opening::set_urgency(&app, request, new_urgency);
        }
        Ok(stored::write_context(request, &context, now_ms)?)
    };
    let applied = service::apply(&app, &mut tx, &write.caller, &id, &Command::CompleteContext, edit).await?;
    answer(&app, &write, tx, applied).await
}

/// Carries out a command that changes nothing besides the state.
async fn act<T>(
    app: &AppState,
    write: &Write<T>,
    id: &str,
    action: Action,
    command: Command,
) -> Result<Answered, ApiError> {
    write.caller.require(action)?;
    let id = request_id(id)?;
    let mut tx = app.db.write().await?;
    if let Some(answered) = write.begin(&mut tx, app.now_ms()).await? {
        return Ok(answered);
    }
    let applied = service::apply(app, &mut tx, &write.caller, &id, &command, |_, _| Ok(())).await?;
    answer(app, write, tx, applied).await
}

async fn answer<T>(
    app: &AppState,
    write: &Write<T>,
    mut tx: tancho_store::Tx,
    applied: Applied,
) -> Result<Answered, ApiError> {
    let detail = detail::describe(app, &mut tx, &write.caller, &applied.request.id).await?;
    let answered = write.finish(tx, StatusCode::OK, &detail).await?;
    publish(app, applied.events);
    Ok(answered)
}

/// Takes a request to read it. 409 `already_claimed` when another reader has it; a claim whose lease ran out can be
/// taken over.
#[utoipa::path(
    post, path = "/api/v1/reading-requests/{reading_request_id}/claim", tag = "reading",
    operation_id = "claim_reading_request",
    params(("reading_request_id" = String, Path, description = "the request")),
    request_body = NoBody, responses((status = OK, body = dto::ReadingRequestDetail))
)]
async fn claim_reading_request(
    State(app): State<AppState>,
    Path(id): Path<String>,
    write: Write<NoBody>,
) -> Result<Answered, ApiError> {
    act(&app, &write, &id, Action::ClaimReadingRequest, Command::Claim).await
}

/// Keeps the claim: the reader is still there.
#[utoipa::path(
    post, path = "/api/v1/reading-requests/{reading_request_id}/heartbeat", tag = "reading",
    operation_id = "renew_claim",
    params(("reading_request_id" = String, Path, description = "the request")),
    request_body = NoBody, responses((status = OK, body = dto::ReadingRequestDetail))
)]
async fn renew_claim(
    State(app): State<AppState>,
    Path(id): Path<String>,
    write: Write<NoBody>,
) -> Result<Answered, ApiError> {
    write.caller.require(Action::ClaimReadingRequest)?;
    let id = request_id(&id)?;
    let mut tx = app.db.write().await?;
    if let Some(answered) = write.begin(&mut tx, app.now_ms()).await? {
        return Ok(answered);
    }
    service::heartbeat(&app, &mut tx, &write.caller, &id).await?;
    let detail = detail::describe(&app, &mut tx, &write.caller, &id).await?;
    write.finish(tx, StatusCode::OK, &detail).await
}

/// Gives the claim back; the draft stays for whoever reads next.
#[utoipa::path(
    post, path = "/api/v1/reading-requests/{reading_request_id}/release", tag = "reading",
    operation_id = "release_claim",
    params(("reading_request_id" = String, Path, description = "the request")),
    request_body = NoBody, responses((status = OK, body = dto::ReadingRequestDetail))
)]
async fn release_claim(
    State(app): State<AppState>,
    Path(id): Path<String>,
    write: Write<NoBody>,
) -> Result<Answered, ApiError> {
    act(&app, &write, &id, Action::ReleaseClaim, Command::Release).await
}

/// Sends a request back for missing information; the people who can give it are told.
#[utoipa::path(
    post, path = "/api/v1/reading-requests/{reading_request_id}/return", tag = "reading",
    operation_id = "return_reading_request",
    params(("reading_request_id" = String, Path, description = "the request")),
    request_body = dto::Reason, responses((status = OK, body = dto::ReadingRequestDetail))
)]
async fn return_reading_request(
    State(app): State<AppState>,
    Path(id): Path<String>,
    write: Write<dto::Reason>,
) -> Result<Answered, ApiError> {
    write.caller.require(Action::ReturnReadingRequest)?;
    let id = request_id(&id)?;
    let mut tx = app.db.write().await?;
    if let Some(answered) = write.begin(&mut tx, app.now_ms()).await? {
        return Ok(answered);
    }
    let applied = service::send_back(&app, &mut tx, &write.caller, &id, write.body.reason.clone()).await?;
    answer(&app, &write, tx, applied).await
}

/// Withdraws a request before any report is signed.
#[utoipa::path(
    post, path = "/api/v1/reading-requests/{reading_request_id}/cancel", tag = "reading",
    operation_id = "cancel_reading_request",
    params(("reading_request_id" = String, Path, description = "the request")),
    request_body = dto::Reason, responses((status = OK, body = dto::ReadingRequestDetail))
)]
async fn cancel_reading_request(
    State(app): State<AppState>,
    Path(id): Path<String>,
    write: Write<dto::Reason>,
) -> Result<Answered, ApiError> {
    let command = Command::Cancel {
        reason: write.body.reason.clone(),
    };
    act(&app, &write, &id, Action::CancelReadingRequest, command).await
}

/// Saves the draft over the version its writer has seen. 409 `draft_stale` gives what is there instead.
#[utoipa::path(
    put, path = "/api/v1/reading-requests/{reading_request_id}/draft", tag = "reading", operation_id = "save_draft",
    params(("reading_request_id" = String, Path, description = "the request")),
    request_body = dto::SaveDraft, responses((status = OK, body = dto::DraftSaved))
)]
async fn save_draft(
    State(app): State<AppState>,
    Path(id): Path<String>,
    write: Write<dto::SaveDraft>,
) -> Result<Answered, ApiError> {
    write.caller.require(Action::WriteDraft)?;
    let id = request_id(&id)?;
    let mut tx = app.db.write().await?;
    if let Some(answered) = write.begin(&mut tx, app.now_ms()).await? {
        return Ok(answered);
    }
    let saved = drafts::save(&app, &mut tx, &write.caller, &id, &write.body).await?;
    write.finish(tx, StatusCode::OK, &saved).await
}

/// Evaluates finding blocks with the rest of the draft, without saving anything.
#[utoipa::path(
    post, path = "/api/v1/findings/evaluate", tag = "reading", operation_id = "evaluate_findings",
    request_body = dto::EvaluateFindings, responses((status = OK, body = Evaluation))
)]
async fn evaluate_findings(
    State(app): State<AppState>,
    caller: Caller,
    JsonBody(form): JsonBody<dto::EvaluateFindings>,
) -> Result<Json<Evaluation>, ApiError> {
    caller.require(Action::WriteDraft)?;
    let mut tx = app.db.read().await?;
    drafts::evaluate(&mut tx, &caller, form, app.now_ms())
        .await
        .map(Json)
}

/// The definitions of every template: findings, clinical context, report frame, dispositions.
#[utoipa::path(
    get, path = "/api/v1/templates", tag = "reading", operation_id = "list_templates",
    responses((status = OK, body = dto::Templates))
)]
async fn list_templates(caller: Caller) -> Result<Json<dto::Templates>, ApiError> {
    caller.require(Action::ViewTemplates)?;
    let items = findings::templates().iter().map(serde_json::to_value);
    Ok(Json(dto::Templates {
        items: items.collect::<Result<_, _>>().map_err(ApiError::internal)?,
    }))
}
