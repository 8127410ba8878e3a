//! Every failure of the HTTP API: one problem document (RFC 9457) with a stable code.
//!
//! A handler returns an [`ApiError`]; the outermost layer (`http/problem.rs`) adds the request id and writes the
//! document. What is unknown becomes a bare 500: its text goes to the log only. Details carry no patient data.

use std::borrow::Cow;
use std::fmt::Display;

use serde_json::{Map, Value};
use tancho_store::StoreError;

use crate::http::StatusCode;

/// Seconds a client should wait when the store is busy.
const RETRY_AFTER_SECONDS: u64 = 2;

/// A refusal or failure, on its way to the client.
#[derive(Debug, Clone)]
pub struct ApiError {
    /// HTTP status.
    pub status: StatusCode,
    /// Stable code: `already_claimed`.
    pub code: Cow<'static, str>,
    /// A sentence a person can act on, lower case, no full stop.
    pub detail: String,
    /// Further members of the document: `blockers`, `fields`.
    pub members: Map<String, Value>,
    /// Seconds until a repeat makes sense.
    pub retry_after_seconds: Option<u64>,
    /// What the log gets and the client does not.
    pub cause: Option<String>,
}

impl ApiError {
    /// Any status with a code of one's own.
    #[must_use]
    pub fn new(status: StatusCode, code: impl Into<Cow<'static, str>>, detail: impl Into<String>) -> Self {
        Self {
            status,
            code: code.into(),
            detail: detail.into(),
            members: Map::new(),
            retry_after_seconds: None,
            cause: None,
        }
    }

    /// 400: the request itself is malformed.
    #[must_use]
    pub fn bad_request(code: &'static str, detail: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, code, detail)
    }

    /// 401: nobody is logged in.
    #[must_use]
    pub fn unauthenticated() -> Self {
        Self::new(
            StatusCode::UNAUTHORIZED,
            "login_required",
            "log in first, or send a bearer token that is still good",
        )
    }

    /// 403: this role may not do this.
    #[must_use]
    pub fn forbidden() -> Self {
        Self::new(
            StatusCode::FORBIDDEN,
            "role_not_allowed",
            "this act is not open to your role",
        )
    }

    /// 404: no such thing, or none within reach.
    #[must_use]
    pub fn not_found() -> Self {
        Self::new(
            StatusCode::NOT_FOUND,
            "not_found",
            "no such thing, or none that you may see",
        )
    }

    /// 409: the thing is not in a state for this.
    #[must_use]
    pub fn conflict(code: impl Into<Cow<'static, str>>, detail: impl Into<String>) -> Self {
        Self::new(StatusCode::CONFLICT, code, detail)
    }

    /// 422: understood, but a rule forbids it.
    #[must_use]
    pub fn unprocessable(code: impl Into<Cow<'static, str>>, detail: impl Into<String>) -> Self {
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, code, detail)
    }

    /// 500: a defect; `cause` goes to the log.
    #[must_use]
    pub fn internal(cause: impl Display) -> Self {
        let detail = "the relay failed; nothing was changed, and the request id finds the cause in its log";
        let mut error = Self::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", detail);
        error.cause = Some(cause.to_string());
        error
    }

    /// 503: try again shortly.
    #[must_use]
    pub fn unavailable(cause: impl Display) -> Self {
        let detail = "the relay cannot reach its store right now; repeat with the same Idempotency-Key";
        let mut error = Self::new(StatusCode::SERVICE_UNAVAILABLE, "unavailable", detail);
        error.cause = Some(cause.to_string());
        error.retry_after_seconds = Some(RETRY_AFTER_SECONDS);
        error
    }

    /// The same with one more member in the document.
    #[must_use]
    pub fn with(mut self, member: &str, value: impl Into<Value>) -> Self {
        self.members.insert(member.to_owned(), value.into());
        self
    }
}

impl From<StoreError> for ApiError {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::NotFound => Self::not_found(),
            StoreError::Conflict => Self::conflict(
                "conflict",
                "something else has this identity already, or what it refers to is missing",
            ),
            StoreError::Stale => Self::conflict("stale", "it has changed since you read it; read again"),
            StoreError::Unavailable(cause) => Self::unavailable(cause),
            StoreError::Corrupt(cause) => Self::internal(cause),
        }
    }
}
