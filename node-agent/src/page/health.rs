//! `/healthz`, `/readyz` and `/metrics`, behind the same guard as the page.

use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};

use super::PageParts;

/// `GET /healthz`: the process answers.
pub async fn healthz() -> &'static str {
    "ok\n"
}

/// `GET /readyz`: objects can be taken now.
pub async fn readyz(State(parts): State<PageParts>) -> Response {
    match parts.spool.room() {
        Ok(room) if room.allows_intake() => (StatusCode::OK, "ready\n").into_response(),
        Ok(_) => (StatusCode::SERVICE_UNAVAILABLE, "the spool is full\n").into_response(),
        Err(_) => (
            StatusCode::SERVICE_UNAVAILABLE,
            "the spool's disk does not answer\n",
        )
            .into_response(),
    }
}

/// `GET /metrics`
pub async fn metrics(State(parts): State<PageParts>) -> Response {
    let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    ([(header::CONTENT_TYPE, kind)], parts.metrics.text()).into_response()
}
