//! Refusals of the page's API as problem documents (RFC 9457) with a stable code.

use axum::Json;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};

use crate::spool::SpoolError;

/// A refusal: what is wrong and what to do, without patient data.
#[derive(Debug)]
pub struct Problem {
    status: StatusCode,
    code: &'static str,
    detail: String,
}

impl Problem {
    /// A refusal.
    #[must_use]
    pub fn new(status: StatusCode, code: &'static str, detail: impl Into<String>) -> Self {
        Self {
            status,
            code,
            detail: detail.into(),
        }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let body = serde_json::json!({
            "type": "about:blank", "title": self.status.canonical_reason(), "status": self.status.as_u16(),
            "code": self.code, "detail": self.detail,
        });
        (
            self.status,
            [(header::CONTENT_TYPE, "application/problem+json")],
            Json(body),
        )
            .into_response()
    }
}

impl From<SpoolError> for Problem {
    fn from(error: SpoolError) -> Self {
        match error {
            SpoolError::NotFound => Self::new(
                StatusCode::NOT_FOUND,
                "study_not_found",
                "the study is no longer in this node's spool",
            ),
            other => {
                tracing::error!(error = %other, "the page could not change the spool");
                Self::new(
                    StatusCode::SERVICE_UNAVAILABLE,
                    "spool_unavailable",
                    "the node could not save it; check the disk, then try again",
                )
            }
        }
    }
}
