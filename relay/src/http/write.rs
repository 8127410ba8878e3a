//! Writes are commands: each carries an `Idempotency-Key`, and repeating one gives the first answer.
//!
//! ```ignore
//! async fn claim_reading_request(State(app): State<AppState>, Path(id): Path<ReadingRequestId>, write: Write<Claim>)
//!     -> Result<Answered, ApiError> {
//!     let act = async |tx: &mut Tx| service::claim(tx, &write.caller, &id, &write.body, app.now_ms()).await;
//!     write.carry_out(&app, Action::ClaimReadingRequest, StatusCode::OK, act).await // state, audit, outbox, answer
//! }
//! ```
//!
//! A refusal drops the transaction, so a refused command leaves nothing and may be repeated.

use std::time::Duration;

use axum::body::Bytes;
use axum::extract::{FromRequest, FromRequestParts, MatchedPath, Request};
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};
use tancho_domain::access::Action;
use tancho_domain::ids::CommandId;
use tancho_store::commands::{self, Answer, Begun, Command};
use tancho_store::{StoreError, Tx};

use crate::error::ApiError;
use crate::events::Event;
use crate::http::caller::Caller;
use crate::state::AppState;

/// Header with the command's id, a UUID made where the person acted.
pub const IDEMPOTENCY_KEY: &str = "idempotency-key";
/// Largest JSON body in bytes.
pub const JSON_BYTES_MAX: usize = 1 << 20;
/// Longest time a body may take to arrive.
const BODY_TIME_MAX: Duration = Duration::from_secs(30);

/// A write: who, which command, and what is asked.
#[derive(Debug)]
pub struct Write<T> {
    /// Who.
    pub caller: Caller,
    /// The command; `begin` and `finish` use it.
    pub command: Command,
    /// The JSON body; an empty one counts as `{}`.
    pub body: T,
}

/// A body with nothing in it, for acts that need no more than their address.
#[derive(Debug, Clone, Default, serde::Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NoBody {}

impl<T: DeserializeOwned> FromRequest<AppState> for Write<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request, app: &AppState) -> Result<Self, ApiError> {
        let (mut parts, body) = request.into_parts();
        // Who comes first: a stranger learns nothing about what a route expects.
        let caller = Caller::from_request_parts(&mut parts, app).await?;
        let id = command_id(&parts.headers)?;
        let route = parts
            .extensions
            .get::<MatchedPath>()
            .map_or("", MatchedPath::as_str);
        let name = format!("{} {route}", parts.method);
        let path = parts.uri.path().to_owned();
        let headers = parts.headers.clone();
        let bytes = read_body(Request::from_parts(parts, body), app).await?;
        let mut hash = Sha256::new();
        hash.update((path.len() as u64).to_be_bytes());
        hash.update(&path);
        hash.update(without_password(&bytes));
        let body = parse_json(&headers, &bytes)?;
        let actor_id = caller.principal.user_id.clone();
        Ok(Self {
            caller,
            command: Command {
                id,
                actor_id,
                name,
                request_hash: hash.finalize().into(),
            },
            body,
        })
    }
}

impl<T> Write<T> {
    /// Carries out an act of the access table in one transaction with its answer, and then tells everyone; an act
    /// carried out before is answered as the first time. `act` gives the answer and what is to be published.
    pub async fn carry_out<A: Serialize>(
        &self,
        app: &AppState,
        action: Action,
        status: StatusCode,
        act: impl AsyncFnOnce(&mut Tx) -> Result<(A, Vec<Event>), ApiError>,
    ) -> Result<Answered, ApiError> {
        self.caller.require(action)?;
        let mut tx = app.db.write().await?;
        if let Some(answered) = self.begin(&mut tx, app.now_ms()).await? {
            return Ok(answered);
        }
        let (answer, events) = act(&mut tx).await?;
        let answered = self.finish(tx, status, &answer).await?;
        // What waits in the outbox is always told as an event too; drafts and heartbeats leave neither.
        if !events.is_empty() {
            app.jobs_waiting.notify_one();
        }
        events.into_iter().for_each(|event| app.events.publish(event));
        Ok(answered)
    }

    /// Takes the command's id inside the transaction that carries it out. `Some` is the answer of the first time:
    /// return it and do nothing.
    pub async fn begin(&self, tx: &mut Tx, now_ms: i64) -> Result<Option<Answered>, ApiError> {
        match commands::begin(tx, &self.caller.scope, &self.command, now_ms).await {
            Ok(Begun::New) => Ok(None),
            Ok(Begun::Repeated(answer)) => Ok(Some(Answered(answer))),
            Err(StoreError::Conflict) => Err(ApiError::conflict(
                "idempotency_key_reused",
                "this Idempotency-Key was used for another request; make a new one for each act",
            )),
            Err(other) => Err(other.into()),
        }
    }

    /// Stores the answer and commits. 204 has no body.
    pub async fn finish(
        &self,
        mut tx: Tx,
        status: StatusCode,
        body: &impl Serialize,
    ) -> Result<Answered, ApiError> {
        let body = serde_json::to_string(body).map_err(ApiError::internal)?;
        let answer = Answer {
            status: status.as_u16(),
            body,
        };
        commands::finish(&mut tx, &self.caller.scope, &self.command.id, &answer).await?;
        tx.commit().await?;
        Ok(Answered(answer))
    }
}

/// The answer to a write, now or the first time.
#[derive(Debug)]
pub struct Answered(pub Answer);

impl IntoResponse for Answered {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.0.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        if status == StatusCode::NO_CONTENT {
            return status.into_response();
        }
        (status, [(CONTENT_TYPE, "application/json")], self.0.body).into_response()
    }
}

fn command_id(headers: &HeaderMap) -> Result<CommandId, ApiError> {
    let key = headers.get(IDEMPOTENCY_KEY).ok_or_else(|| {
        ApiError::bad_request(
            "idempotency_key_missing",
            "an Idempotency-Key header with a fresh UUID expected",
        )
    })?;
    key.to_str()
        .ok()
        .and_then(|text| CommandId::parse(&text.to_lowercase()).ok())
        .ok_or_else(|| {
            ApiError::bad_request("idempotency_key_malformed", "a UUID expected as Idempotency-Key")
        })
}

/// What a command asks for, for its stored digest. A password is left out: a fast digest of one could be guessed.
fn without_password(body: &Bytes) -> Bytes {
    let Ok(mut asked) = serde_json::from_slice::<Map<String, Value>>(body) else {
        return body.clone();
    };
    match asked.remove("password") {
        Some(_) => Value::Object(asked).to_string().into(),
        None => body.clone(),
    }
}

async fn read_body(request: Request, app: &AppState) -> Result<Bytes, ApiError> {
    match tokio::time::timeout(BODY_TIME_MAX, Bytes::from_request(request, app)).await {
        Ok(Ok(bytes)) => Ok(bytes),
        Ok(Err(rejection)) => {
            let detail = format!("a body of at most {JSON_BYTES_MAX} bytes expected");
            Err(ApiError::new(rejection.status(), "body_not_taken", detail))
        }
        Err(_) => Err(ApiError::new(
            StatusCode::REQUEST_TIMEOUT,
            "body_too_slow",
            "the body did not arrive in time",
        )),
    }
}

fn parse_json<T: DeserializeOwned>(headers: &HeaderMap, bytes: &[u8]) -> Result<T, ApiError> {
    let is_json = headers
        .get(CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .is_some_and(|value| {
            value
                .split(';')
                .next()
                .is_some_and(|kind| kind.trim() == "application/json")
        });
    if !bytes.is_empty() && !is_json {
        let status = StatusCode::UNSUPPORTED_MEDIA_TYPE;
        return Err(ApiError::new(
            status,
            "json_expected",
            "Content-Type: application/json expected",
        ));
    }
    let bytes = if bytes.is_empty() { b"{}".as_slice() } else { bytes };
    // The error's own text repeats values; where it happened is enough, together with the API document.
    serde_json::from_slice(bytes).map_err(|error| {
        let what = match error.classify() {
            serde_json::error::Category::Data => "a field is missing, unknown or of another type",
            _ => "not JSON",
        };
        ApiError::bad_request(
            "body_malformed",
            format!("{what}, line {} column {}", error.line(), error.column()),
        )
    })
}

/// A JSON body without a command id, for acts that repeat harmlessly: login, evaluating findings.
#[derive(Debug)]
pub struct JsonBody<T>(pub T);

impl<T: DeserializeOwned> FromRequest<AppState> for JsonBody<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request, app: &AppState) -> Result<Self, ApiError> {
        let headers = request.headers().clone();
        let bytes = read_body(request, app).await?;
        parse_json(&headers, &bytes).map(Self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_stored_digest_of_a_command_knows_no_password() {
        let digested = |body: &'static str| without_password(&Bytes::from_static(body.as_bytes()));
        assert_eq!(
            digested(r#"{"password":"secret","status":"final"}"#),
            r#"{"status":"final"}"#
        );
        assert_eq!(digested(r#"{"p\u0061ssword":"secret"}"#), "{}");
        for body in [r#"{ "text": "password" }"#, "not JSON", "", "[1]"] {
            assert_eq!(digested(body), body);
        }
    }
}
