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
use tancho_store::{StoreError, Tx, users};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::evaluation::invalid;
use super::opening::{self, Asked, BesideContext, OpenFailure, Opening};
use super::service::{self, Applied, changed};
use super::{detail, drafts, dto, stored};
use crate::error::ApiError;
use crate::events::Event;
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
    let act = async |tx: &mut Tx| create(&app, tx, &write.caller, &write.body).await;
    write
        .carry_out(&app, Action::CreateReadingRequest, StatusCode::CREATED, act)
        .await
}

async fn create(
    app: &AppState,
    tx: &mut Tx,
    caller: &Caller,
    form: &dto::CreateReadingRequest,
) -> Result<(dto::ReadingRequestDetail, Vec<Event>), ApiError> {
    let now_ms = app.now_ms();
    let (network_id, site_id) = (&caller.scope.network_id, &caller.principal.site_id);
    let uid = match (&form.study_id, &form.study_instance_uid) {
        (Some(id), _) => {
            let id = StudyId::parse(id).map_err(|_| ApiError::not_found())?;
            let study = store::get_study_of_request(tx, network_id, &id).await?;
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
    if let Some(open) = store::find_open_request_of_study(tx, network_id, site_id, &uid).await? {
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
    let me = users::get_user(tx, network_id, &caller.principal.user_id).await?;
    let requesting_site = opening::site_of(tx, &caller.scope, site_id).await?;
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
    let request = match opening::open(app, tx, &caller.scope, opening, now_ms).await {
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
    audit::append(tx, network_id, entry, now_ms).await?;
    let detail = detail::describe(app, tx, caller, &request.id).await?;
    Ok((detail, changed(&request)))
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
    let now_ms = app.now_ms();
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
    act(
        &app,
        &write,
        &id,
        Action::CompleteClinicalContext,
        async |tx, id| service::apply(&app, tx, &write.caller, id, &Command::CompleteContext, edit).await,
    )
    .await
}

/// Carries out a command on a request; the answer is the request as it is then.
async fn act<T>(
    app: &AppState,
    write: &Write<T>,
    id: &str,
    action: Action,
    command: impl AsyncFnOnce(&mut Tx, &ReadingRequestId) -> Result<Applied, ApiError>,
) -> Result<Answered, ApiError> {
    let act = async |tx: &mut Tx| {
        let id = request_id(id)?;
        let applied = command(tx, &id).await?;
        Ok((
            detail::describe(app, tx, &write.caller, &id).await?,
            applied.events,
        ))
    };
    write.carry_out(app, action, StatusCode::OK, act).await
}

/// Carries out a command that changes nothing besides the state.
async fn move_on<T>(
    app: &AppState,
    write: &Write<T>,
    id: &str,
    action: Action,
    command: Command,
) -> Result<Answered, ApiError> {
    act(app, write, id, action, async |tx, id| {
        service::apply(app, tx, &write.caller, id, &command, |_, _| Ok(())).await
    })
    .await
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
    move_on(&app, &write, &id, Action::ClaimReadingRequest, Command::Claim).await
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
    let act = async |tx: &mut Tx| {
        let id = request_id(&id)?;
        service::heartbeat(&app, tx, &write.caller, &id).await?;
        Ok((detail::describe(&app, tx, &write.caller, &id).await?, Vec::new()))
    };
    write
        .carry_out(&app, Action::ClaimReadingRequest, StatusCode::OK, act)
        .await
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
    move_on(&app, &write, &id, Action::ReleaseClaim, Command::Release).await
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
    act(&app, &write, &id, Action::ReturnReadingRequest, async |tx, id| {
        service::send_back(&app, tx, &write.caller, id, write.body.reason.clone()).await
    })
    .await
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
    move_on(&app, &write, &id, Action::CancelReadingRequest, command).await
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
    let act = async |tx: &mut Tx| {
        let saved = drafts::save(&app, tx, &write.caller, &request_id(&id)?, &write.body).await?;
        Ok((saved, Vec::new()))
    };
    write
        .carry_out(&app, Action::WriteDraft, StatusCode::OK, act)
        .await
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
