//! `GET /api/v1/reading-requests`.

use axum::Json;
use axum::extract::{Query, State};
use tancho_domain::access::Action;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::{dto, service};
use crate::error::ApiError;
use crate::http::caller::Caller;
use crate::state::AppState;

/// The routes of this slice.
pub fn routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::new().routes(routes!(list_reading_requests))
}

/// The reading requests within reach: open before closed, then most urgent, then longest waiting; at most 500.
#[utoipa::path(
    get, path = "/api/v1/reading-requests", tag = "reading", operation_id = "list_reading_requests",
    params(dto::WorklistQuery), responses((status = OK, body = dto::Worklist))
)]
async fn list_reading_requests(
    State(app): State<AppState>,
    caller: Caller,
    Query(query): Query<dto::WorklistQuery>,
) -> Result<Json<dto::Worklist>, ApiError> {
    caller.require(Action::ListReadingRequests)?;
    let now_ms = app.now_ms();
    let mut tx = app.db.read().await?;
    let role = caller.principal.role;
    let items = service::list(&app, &mut tx, &caller.scope, role, &query, now_ms).await?;
    Ok(Json(dto::Worklist {
        items,
        server_time_ms: now_ms,
    }))
}
