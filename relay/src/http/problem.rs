//! The outermost layer: request id, problem documents (RFC 9457), the access log line, counters, and panics.

use std::any::Any;
use std::time::Instant;

use axum::body::Body;
use axum::extract::{MatchedPath, Request, State};
use axum::http::header::{CONTENT_LENGTH, CONTENT_TYPE, RETRY_AFTER};
use axum::http::{HeaderValue, Method, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

use crate::error::ApiError;
use crate::metrics::AnswerLabels;
use crate::secrets;
use crate::state::AppState;

/// Header that carries the request id back.
pub const REQUEST_ID_HEADER: &str = "x-request-id";

impl IntoResponse for ApiError {
    /// An empty answer that carries the error to [`describe`], which knows the request.
    fn into_response(self) -> Response {
        let mut response = self.status.into_response();
        response.extensions_mut().insert(self);
        response
    }
}

/// The id of a request: ours, never the client's, so that it can stand in logs and audit rows.
#[derive(Debug, Clone)]
pub struct RequestId(pub String);

/// A problem document, as the API document describes it.
#[derive(Debug, utoipa::ToSchema, serde::Serialize)]
pub struct Problem {
    /// `urn:tancho:problem:` and the code.
    pub r#type: String,
    /// What the status means.
    pub title: String,
    /// HTTP status.
    pub status: u16,
    /// Stable code; texts for people are chosen by it.
    pub code: String,
    /// A sentence a person can act on.
    pub detail: String,
    /// Finds the request in the relay's log.
    pub request_id: String,
}

/// Gives the request an id, and turns whatever comes back into what the API promises.
pub async fn describe(State(app): State<AppState>, mut request: Request, next: Next) -> Response {
    let started = Instant::now();
    let id = secrets::new_uuid().hyphenated().to_string();
    request.extensions_mut().insert(RequestId(id.clone()));
    let method = request.method().clone();
    let route = request
        .extensions()
        .get::<MatchedPath>()
        .map(|path| path.as_str().to_owned());
    let response = next.run(request).await;
    let response = if is_error(&response) {
        problem_of(response, &id)
    } else {
        response
    };
    let took = started.elapsed();
    let route = route.unwrap_or_else(|| "none".to_owned());
    tracing::debug!(
        request.id = %id, method = %method, route = %route, status = response.status().as_u16(),
        duration_ms = took.as_millis() as u64, "request answered"
    );
    let labels = AnswerLabels {
        method: method_label(&method),
        route,
        status: response.status().as_u16(),
    };
    app.metrics.note_answer(&labels, took);
    with_request_id(response, &id)
}

fn method_label(method: &Method) -> &'static str {
    match method.as_str() {
        "GET" => "GET",
        "HEAD" => "HEAD",
        "POST" => "POST",
        "PUT" => "PUT",
        "PATCH" => "PATCH",
        "DELETE" => "DELETE",
        _ => "other",
    }
}

/// Marks an answer with an error's status whose body another standard than RFC 9457 decides: it stays as it is.
#[derive(Debug, Clone, Copy)]
pub struct OwnDocument;

fn is_error(response: &Response) -> bool {
    let is_error = response.status().is_client_error() || response.status().is_server_error();
    is_error && response.extensions().get::<OwnDocument>().is_none()
}

fn with_request_id(mut response: Response, id: &str) -> Response {
    if let Ok(value) = HeaderValue::from_str(id) {
        response.headers_mut().insert(REQUEST_ID_HEADER, value);
    }
    response
}

fn problem_of(response: Response, request_id: &str) -> Response {
    let (mut parts, _) = response.into_parts();
    let error = parts
        .extensions
        .remove::<ApiError>()
        .unwrap_or_else(|| of_status(parts.status));
    if error.status.is_server_error() {
        tracing::error!(
            request.id = %request_id, code = %error.code, cause = error.cause.as_deref().unwrap_or(""),
            "request failed"
        );
    }
    let mut document = json!({
        "type": format!("urn:tancho:problem:{}", error.code),
        "title": error.status.canonical_reason().unwrap_or("Problem"),
        "status": error.status.as_u16(),
        "code": error.code,
        "detail": error.detail,
        "request_id": request_id,
    });
    if let Value::Object(document) = &mut document {
        for (member, value) in error.members {
            document.entry(member).or_insert(value);
        }
    }
    parts.headers.remove(CONTENT_LENGTH);
    parts
        .headers
        .insert(CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
    if let Some(seconds) = error.retry_after_seconds {
        parts.headers.insert(RETRY_AFTER, HeaderValue::from(seconds));
    }
    Response::from_parts(parts, Body::from(document.to_string()))
}

/// Refusals of the framework itself: no such route, wrong method, a path that does not parse.
fn of_status(status: StatusCode) -> ApiError {
    match status {
        StatusCode::NOT_FOUND => ApiError::new(status, "route_not_found", "no such address"),
        StatusCode::METHOD_NOT_ALLOWED => {
            ApiError::new(status, "method_not_allowed", "another method expected here")
        }
        StatusCode::BAD_REQUEST => ApiError::new(
            status,
            "request_malformed",
            "the address or a parameter is malformed",
        ),
        StatusCode::PAYLOAD_TOO_LARGE => ApiError::new(status, "body_not_taken", "the body is too large"),
        status if status.is_server_error() => ApiError {
            status,
            ..ApiError::internal("no cause given")
        },
        status => ApiError::new(status, "request_refused", "the request was refused"),
    }
}

/// What a handler that panicked answers. The panic's text is not used: it may carry anything.
pub fn after_panic(_payload: Box<dyn Any + Send + 'static>) -> Response {
    ApiError::internal("the handler panicked").into_response()
}
