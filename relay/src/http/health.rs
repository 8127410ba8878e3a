//! `/healthz`, `/readyz`, `/metrics`: for whoever watches the relay, over loopback, without a login.
//!
//! Behind a proxy on the same machine every connection is loopback: a request that was forwarded is refused.

use std::time::Duration;

use axum::Router;
use axum::extract::{Extension, Request, State};
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use tancho_store::networks;

use crate::error::ApiError;
use crate::http::caller::Peer;
use crate::state::AppState;

/// The store must answer within this to count as ready.
const READY_WITHIN: Duration = Duration::from_secs(2);

/// The routes.
pub fn routes() -> Router<AppState> {
    Router::new()
        .route("/healthz", get(|| async { "ok\n" }))
        .route("/readyz", get(check_ready))
        .route("/metrics", get(give_metrics))
        .route_layer(middleware::from_fn(over_loopback_only))
}

async fn over_loopback_only(peer: Option<Extension<Peer>>, request: Request, next: Next) -> Response {
    let forwarded = ["x-forwarded-for", "forwarded", "via"]
        .iter()
        .any(|name| request.headers().contains_key(*name));
    match peer {
        Some(Extension(peer)) if peer.loopback && !forwarded => next.run(request).await,
        // As if it did not exist.
        _ => StatusCode::NOT_FOUND.into_response(),
    }
}

async fn check_ready(State(app): State<AppState>) -> Result<&'static str, ApiError> {
    let answer = async {
        let mut tx = app.db.read().await?;
        networks::list_networks(&mut tx).await
    };
    match tokio::time::timeout(READY_WITHIN, answer).await {
        Ok(Ok(_)) if !app.shutdown.is_cancelled() => Ok("ready\n"),
        Ok(Ok(_)) => Err(ApiError::unavailable("the relay is stopping")),
        Ok(Err(error)) => Err(ApiError::unavailable(error)),
        Err(_) => Err(ApiError::unavailable("the store did not answer in time")),
    }
}

async fn give_metrics(State(app): State<AppState>) -> impl IntoResponse {
    let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    ([(CONTENT_TYPE, kind)], app.metrics.text())
}
