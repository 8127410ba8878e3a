//! `GET /api/v1/studies/{study_id}`, what is listed of it, and where it is looked at.

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use tancho_domain::access::Action;
use tancho_domain::dicom::{SeriesInstanceUid, SopInstanceUid, StudyInstanceUid};
use tancho_domain::ids::StudyId;
use tancho_store::instances::{self, Instance, Study, StudyKey};
use tancho_wire::Digest;
use tancho_wire::frame::Focus;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::dto::{self, InstanceState};
use crate::error::ApiError;
use crate::http::caller::Caller;
use crate::http::write::JsonBody;
use crate::ingest::flow::Counts;
use crate::ingest::incoming::part_key;
use crate::ingest::progress::Progress;
use crate::state::AppState;

/// The routes of this slice.
pub fn routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::new()
        .routes(routes!(get_study))
        .routes(routes!(list_study_instances))
        .routes(routes!(report_focus))
}

/// A study within reach, with its series and instances.
#[utoipa::path(
    get, path = "/api/v1/studies/{study_id}", tag = "studies", operation_id = "get_study",
    params(("study_id" = String, Path)), responses((status = OK, body = dto::StudyDetail))
)]
async fn get_study(
    State(app): State<AppState>,
    caller: Caller,
    Path(study_id): Path<String>,
) -> Result<Json<dto::StudyDetail>, ApiError> {
    caller.require(Action::ViewStudy)?;
    let (study, series) = load(&app, &caller, &study_id).await?;
    let counts = Counts {
        announced: study.announced_instances,
        verified: study.n_verified,
    };
    let progress = Progress::of(&app, &study.id, counts);
    Ok(Json(dto::detail(study, series, progress)))
}

/// Every instance of a study that is listed, and which of them can be shown: in low resolution, or as they are.
#[utoipa::path(
    get, path = "/api/v1/studies/{study_id}/instances", tag = "studies", operation_id = "list_study_instances",
    params(("study_id" = String, Path)), responses((status = OK, body = dto::StudyInstances))
)]
async fn list_study_instances(
    State(app): State<AppState>,
    caller: Caller,
    Path(study_id): Path<String>,
) -> Result<Json<dto::StudyInstances>, ApiError> {
    caller.require(Action::ViewStudy)?;
    let (_, series) = load(&app, &caller, &study_id).await?;
    Ok(Json(dto::StudyInstances {
        series,
        server_time_ms: app.now_ms(),
    }))
}

/// A study within reach, and what is listed of it.
async fn load(
    app: &AppState,
    caller: &Caller,
    study_id: &str,
) -> Result<(Study, Vec<dto::StudySeries>), ApiError> {
    let id = StudyId::parse(study_id).map_err(|_| ApiError::not_found())?;
    let mut tx = app.db.read().await?;
    let study = instances::get_study(&mut tx, &caller.scope, &StudyKey::Id(id)).await?;
    let series = instances::list_series(&mut tx, &caller.scope, &study.id, None).await?;
    let shown = instances::list_instances(&mut tx, &caller.scope, &study.id, None, None).await?;
    let state_of = |instance: &Instance| {
        if instance.is_verified() {
            return InstanceState::Complete;
        }
        let key =
            Digest::parse_hex(&instance.container_sha256).map(|digest| part_key(&study.site_id, digest));
        match key.is_some_and(|key| app.readable.contains(&key)) {
            true => InstanceState::Preview,
            false => InstanceState::Listed,
        }
    };
    let series = dto::series_of(series, shown, state_of);
    Ok((study, series))
}

/// Tells the sending site where its study is looked at: while it arrives, the bytes near that instance come first. A
/// hint: it may be lost, and it may name what has arrived.
#[utoipa::path(
    post, path = "/api/v1/studies/{study_id}/focus", tag = "studies", operation_id = "report_focus",
    params(("study_id" = String, Path)), request_body = dto::FocusReport,
    responses((status = NO_CONTENT))
)]
async fn report_focus(
    State(app): State<AppState>,
    caller: Caller,
    Path(study_id): Path<String>,
    JsonBody(report): JsonBody<dto::FocusReport>,
) -> Result<StatusCode, ApiError> {
    caller.require(Action::ViewImages)?;
    let id = StudyId::parse(&study_id).map_err(|_| ApiError::not_found())?;
    let mut tx = app.db.read().await?;
    let study = instances::get_study(&mut tx, &caller.scope, &StudyKey::Id(id)).await?;
    drop(tx);
    let malformed =
        |_| ApiError::bad_request("uid_malformed", "the UIDs of a series and an instance expected");
    let focus = Focus {
        study_instance_uid: StudyInstanceUid::parse(&study.study_instance_uid).map_err(ApiError::internal)?,
        series_instance_uid: SeriesInstanceUid::parse(&report.series_instance_uid).map_err(malformed)?,
        sop_instance_uid: SopInstanceUid::parse(&report.sop_instance_uid).map_err(malformed)?,
    };
    app.focuses.look_at(study.site_id, focus);
    Ok(StatusCode::NO_CONTENT)
}
