//! `GET /api/v1/reading-requests`, and the search in them.

use axum::Json;
use axum::extract::{Query, State};
use tancho_domain::access::Action;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::{dto, service};
use crate::error::ApiError;
use crate::http::caller::Caller;
use crate::http::write::JsonBody;
use crate::state::AppState;

/// The routes of this slice.
pub fn routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::new()
        .routes(routes!(list_reading_requests))
        .routes(routes!(search_reading_requests))
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
    answer(&app, &caller, &query.into()).await
}

/// Those of the reading requests within reach that a search text finds, in the same order.
#[utoipa::path(
    post, path = "/api/v1/reading-requests/search", tag = "reading", operation_id = "search_reading_requests",
    request_body = dto::WorklistSearch, responses((status = OK, body = dto::Worklist))
)]
async fn search_reading_requests(
    State(app): State<AppState>,
    caller: Caller,
    JsonBody(search): JsonBody<dto::WorklistSearch>,
) -> Result<Json<dto::Worklist>, ApiError> {
    answer(&app, &caller, &search).await
}

async fn answer(
    app: &AppState,
    caller: &Caller,
    search: &dto::WorklistSearch,
) -> Result<Json<dto::Worklist>, ApiError> {
    caller.require(Action::ListReadingRequests)?;
    let now_ms = app.now_ms();
    let mut tx = app.db.read().await?;
    let role = caller.principal.role;
    let items = service::list(app, &mut tx, &caller.scope, role, search, now_ms).await?;
    Ok(Json(dto::Worklist {
        items,
        server_time_ms: now_ms,
    }))
}
