//! `/api/v1/session`.

use axum::Json;
use axum::extract::FromRequest;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::http::header::{HeaderName, SET_COOKIE};
use axum::response::{IntoResponse, Response};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::{dto, service};
use crate::error::ApiError;
use crate::http::caller::{
    Caller, Credential, SESSION_ABSOLUTE, client_ip, cookie_name, cookie_of, request_id_of,
};
use crate::http::write::JsonBody;
use crate::state::AppState;

const CLEAR_SITE_DATA: HeaderName = HeaderName::from_static("clear-site-data");

/// The routes of this slice.
pub fn routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::new().routes(routes!(log_in, get_session, log_out))
}

/// Logs in and sets the session cookie. Five failed attempts at an account, or thirty from an address, within a
/// quarter of an hour are answered 429.
#[utoipa::path(
    post, path = "/api/v1/session", tag = "session", operation_id = "log_in",
    request_body = dto::LogIn, responses((status = OK, body = dto::Session))
)]
async fn log_in(State(app): State<AppState>, request: Request) -> Result<Response, ApiError> {
    let address = client_ip(request.extensions(), request.headers(), &app);
    let old_secret = cookie_of(request.headers(), &app);
    let request_id = request_id_of(request.extensions());
    let JsonBody(form) = JsonBody::<dto::LogIn>::from_request(request, &app).await?;
    let logged_in = service::log_in(&app, form, address, old_secret.as_deref(), &request_id).await?;
    let session = service::describe(&app, &logged_in.principal, logged_in.expires_at_ms).await?;
    let cookie = set_cookie(&app, &logged_in.secret, SESSION_ABSOLUTE.as_secs());
    Ok(([(SET_COOKIE, cookie)], Json(session)).into_response())
}

/// Who is logged in.
#[utoipa::path(
    get, path = "/api/v1/session", tag = "session", operation_id = "get_session",
    responses((status = OK, body = dto::Session))
)]
async fn get_session(State(app): State<AppState>, caller: Caller) -> Result<Json<dto::Session>, ApiError> {
    service::describe(&app, &caller.principal, caller.expires_at_ms)
        .await
        .map(Json)
}

/// Logs out: the session is gone at once, and the browser forgets what it kept.
#[utoipa::path(
    delete, path = "/api/v1/session", tag = "session", operation_id = "log_out",
    responses((status = NO_CONTENT))
)]
async fn log_out(State(app): State<AppState>, caller: Caller) -> Result<Response, ApiError> {
    let Credential::Session(id) = &caller.credential else {
        return Err(ApiError::conflict(
            "not_a_session",
            "a bearer token ends by itself or is revoked",
        ));
    };
    service::log_out(&app, &caller.principal, id, &caller.request_id).await?;
    let headers = [
        (SET_COOKIE, set_cookie(&app, "", 0)),
        (CLEAR_SITE_DATA, "\"cache\", \"cookies\", \"storage\"".to_owned()),
    ];
    Ok((StatusCode::NO_CONTENT, headers).into_response())
}

fn set_cookie(app: &AppState, secret: &str, max_age_seconds: u64) -> String {
    let secure = if app.config.http.is_secure() {
        "; Secure"
    } else {
        ""
    };
    let name = cookie_name(app);
    format!("{name}={secret}; Path=/; HttpOnly; SameSite=Strict; Max-Age={max_age_seconds}{secure}")
}
