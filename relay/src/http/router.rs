//! Every route of the relay in one place, and what each request passes through.

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::middleware::{from_fn, from_fn_with_state};
use tower_http::catch_panic::CatchPanicLayer;
use utoipa_axum::router::OpenApiRouter;

use crate::http::{docs, headers, health, openapi, origin, page, problem, write};
use crate::state::AppState;
use crate::{
    audit, calls, critical_results, dicomweb, events, nodes, notifications, reading, reports, sessions,
    sites, studies, users, worklist,
};

/// The routes of every slice, with their part of the API document. A new slice adds a line here, and its routes to
/// the table of the authorisation test (`relay/tests/relay/access_matrix/routes.txt`).
pub fn slices() -> OpenApiRouter<AppState> {
    OpenApiRouter::with_openapi(openapi::base())
        .merge(sessions::routes::routes())
        .merge(sites::routes::routes())
        .merge(users::routes::routes())
        .merge(nodes::routes::routes())
        .merge(worklist::routes::routes())
        .merge(reading::routes::routes())
        .merge(calls::routes::routes())
        .merge(reports::routes::routes())
        .merge(critical_results::routes::routes())
        .merge(notifications::routes::routes())
        .merge(audit::routes::routes())
        .merge(events::routes::routes())
        .merge(dicomweb::routes())
        .merge(studies::routes::routes())
}

/// The whole HTTP side.
pub fn build(app: AppState) -> Router {
    let (api, document) = slices().split_for_parts();
    let document = openapi::completed(document);
    let router = api
        .merge(docs::routes(&document))
        .merge(health::routes())
        .fallback(page::serve_page);
    layered(router, app)
}

/// What every request passes through, outermost last.
pub fn layered(router: Router<AppState>, app: AppState) -> Router {
    let panics = app.metrics.http_panics.clone();
    let mut router = router
        .layer(DefaultBodyLimit::max(write::JSON_BYTES_MAX))
        .layer(from_fn_with_state(app.clone(), origin::check))
        .layer(CatchPanicLayer::custom(move |payload| {
            panics.inc();
            problem::after_panic(payload)
        }))
        .layer(from_fn_with_state(app.clone(), problem::describe))
        .layer(from_fn(headers::secure));
    if app.config.http.is_secure() {
        router = router.layer(from_fn(headers::strict_transport));
    }
    router.with_state(app)
}
