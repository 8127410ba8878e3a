//! `GET /api/v1/studies/{study_id}`.

use axum::Json;
use axum::extract::{Path, State};
use tancho_domain::access::Action;
use tancho_domain::ids::StudyId;
use tancho_store::instances::{self, StudyKey};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::dto;
use crate::error::ApiError;
use crate::http::caller::Caller;
use crate::state::AppState;

/// The routes of this slice.
pub fn routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::new().routes(routes!(get_study))
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
    let id = StudyId::parse(&study_id).map_err(|_| ApiError::not_found())?;
    let mut tx = app.db.read().await?;
    let study = instances::get_study(&mut tx, &caller.scope, &StudyKey::Id(id)).await?;
    let series = instances::list_series(&mut tx, &caller.scope, &study.id, None).await?;
    let shown = instances::list_instances(&mut tx, &caller.scope, &study.id, None, None).await?;
    Ok(Json(dto::detail(study, series, shown)))
}
