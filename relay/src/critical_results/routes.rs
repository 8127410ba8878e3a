//! `GET /api/v1/critical-results`.

use axum::Json;
use axum::extract::State;
use tancho_domain::access::Action;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::{dto, service};
use crate::error::ApiError;
use crate::http::caller::Caller;
use crate::state::AppState;

/// The routes of this slice.
pub fn routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::new().routes(routes!(list_critical_results))
}

/// The red findings within reach that nobody has acknowledged, soonest target first, with everybody who was told:
/// delivered and read with names and times. Those acknowledged within the last twelve hours follow, with by whom.
#[utoipa::path(
    get, path = "/api/v1/critical-results", tag = "reports", operation_id = "list_critical_results",
    responses((status = OK, body = dto::CriticalResults))
)]
async fn list_critical_results(
    State(app): State<AppState>,
    caller: Caller,
) -> Result<Json<dto::CriticalResults>, ApiError> {
    caller.require(Action::ViewCriticalResults)?;
    let now_ms = app.now_ms();
    let mut tx = app.db.read().await?;
    let items = service::list(&mut tx, &caller.scope, now_ms).await?;
    Ok(Json(dto::CriticalResults {
        items,
        server_time_ms: now_ms,
    }))
}
