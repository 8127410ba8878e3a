//! `/api/v1/reading-requests/{id}/sign` and `/api/v1/reports`.

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use tancho_domain::access::Action;
use tancho_domain::ids::{ReadingRequestId, ReportId};
use tancho_store::Tx;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::{dto, service, signing};
use crate::error::ApiError;
use crate::http::caller::Caller;
use crate::http::write::{Answered, Write};
use crate::reading::service::publish;
use crate::state::AppState;

/// The routes of this slice.
pub fn routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::new()
        .routes(routes!(sign_report))
        .routes(routes!(get_report))
        .routes(routes!(add_report_addendum))
        .routes(routes!(acknowledge_report))
}

fn report_id(text: &str) -> Result<ReportId, ApiError> {
    ReportId::parse(text).map_err(|_| ApiError::not_found())
}

/// Signs the draft as it was on the screen, with the signer's password: 422 `password_required`, 403 `password_wrong`,
/// and after five wrong ones within a quarter of an hour 429. 422 `cannot_sign` lists every blocker: among them a red
/// finding that was not communicated with a read-back, nor by a documented failure to reach anyone.
#[utoipa::path(
    post, path = "/api/v1/reading-requests/{reading_request_id}/sign", tag = "reports", operation_id = "sign_report",
    params(("reading_request_id" = String, Path, description = "the request")),
    request_body = dto::Sign, responses((status = CREATED, body = dto::ReportVersion))
)]
async fn sign_report(
    State(app): State<AppState>,
    Path(id): Path<String>,
    write: Write<dto::Sign>,
) -> Result<Answered, ApiError> {
    write.caller.require(Action::SignReport)?;
    let id = ReadingRequestId::parse(&id).map_err(|_| ApiError::not_found())?;
    signing::confirm_signer(&app, &write.caller, &id, write.body.password.as_deref()).await?;
    let act = async |tx: &mut Tx| signing::sign(&app, tx, &write.caller, &id, &write.body).await;
    write
        .carry_out(&app, Action::SignReport, StatusCode::CREATED, act)
        .await
}

/// A report with every signed version and every acknowledgement. Opening it marks the caller's notices as read.
#[utoipa::path(
    get, path = "/api/v1/reports/{report_id}", tag = "reports", operation_id = "get_report",
    params(("report_id" = String, Path, description = "the report")),
    responses((status = OK, body = dto::Report))
)]
async fn get_report(
    State(app): State<AppState>,
    caller: Caller,
    Path(id): Path<String>,
) -> Result<Json<dto::Report>, ApiError> {
    caller.require(Action::ViewReport)?;
    let id = report_id(&id)?;
    let mut tx = app.db.write().await?;
    let (report, events) = service::open(&mut tx, &caller, &id, app.now_ms()).await?;
    tx.commit().await?;
    publish(&app, events);
    Ok(Json(report))
}

/// Adds words to a final report: a new version, the signed ones stay as they are. The password is asked for as by a
/// signature.
#[utoipa::path(
    post, path = "/api/v1/reports/{report_id}/addenda", tag = "reports", operation_id = "add_report_addendum",
    params(("report_id" = String, Path, description = "the report")),
    request_body = dto::AddAddendum, responses((status = CREATED, body = dto::ReportVersion))
)]
async fn add_report_addendum(
    State(app): State<AppState>,
    Path(id): Path<String>,
    write: Write<dto::AddAddendum>,
) -> Result<Answered, ApiError> {
    write.caller.require(Action::AddReportAddendum)?;
    let id = report_id(&id)?;
    signing::confirm_author(&app, &write.caller, &id, write.body.password.as_deref()).await?;
    let act = async |tx: &mut Tx| signing::add(&app, tx, &write.caller, &id, &write.body).await;
    write
        .carry_out(&app, Action::AddReportAddendum, StatusCode::CREATED, act)
        .await
}

/// States which version was read and what is done about it. Only for referring physicians of the site that asked;
/// 409 `report_version_superseded` when there is a newer one. One that is refused is in the audit trail.
#[utoipa::path(
    post, path = "/api/v1/reports/{report_id}/acknowledgements", tag = "reports", operation_id = "acknowledge_report",
    params(("report_id" = String, Path, description = "the report")),
    request_body = dto::Acknowledge, responses((status = CREATED, body = dto::Acknowledgement))
)]
async fn acknowledge_report(
    State(app): State<AppState>,
    Path(id): Path<String>,
    write: Write<dto::Acknowledge>,
) -> Result<Answered, ApiError> {
    let id = report_id(&id)?;
    let act = async |tx: &mut Tx| service::acknowledge(&app, tx, &write.caller, &id, &write.body).await;
    let answered = write
        .carry_out(&app, Action::AcknowledgeReport, StatusCode::CREATED, act)
        .await;
    if let Err(refusal) = &answered {
        service::note_refused_acknowledgement(&app, &write.caller, &id, &write.body, refusal).await?;
    }
    answered
}
