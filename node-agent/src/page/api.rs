//! The page's API: the picture once and as a stream, and what the technologist can do.

use std::convert::Infallible;
use std::io::{self, Read};

use axum::Json;
use axum::body::Body;
use axum::extract::State;
use axum::extract::rejection::JsonRejection;
use axum::http::StatusCode;
use axum::http::header::{CONTENT_DISPOSITION, CONTENT_LENGTH, CONTENT_TYPE};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures_util::stream::unfold;
use futures_util::{Stream, StreamExt};
use serde::{Deserialize, Serialize};
use tancho_domain::dicom::{Priority, StudyInstanceUid};
use tancho_domain::ids::{CommandId, ObjectId};

use super::problem::Problem;
use super::view::{PageState, picture};
use super::{KEEP_ALIVE, PICTURE_INTERVAL, PICTURE_INTERVAL_MAX, PageParts};
use crate::spool::object_file::DataSet;
use crate::spool::{QuarantinedError, Released, RequestForm, SpoolError};

/// Urgencies a form may ask for (`clinical.md` 2.2 of the network's rules).
const URGENCIES: [&str; 5] = ["stroke_code", "critical", "urgent", "routine", "elective"];
/// Digits that make a telephone number worth calling.
const TELEPHONE_DIGITS_MIN: usize = 3;
/// Longest name or number in bytes of UTF-8, as the line carries it: 85 Japanese characters.
const LINE_BYTES_MAX: usize = tancho_wire::limits::TEXT_BYTES_MAX;
/// Longest clinical context in bytes of JSON, as the line carries it.
const CONTEXT_BYTES_MAX: usize = tancho_wire::limits::CLINICAL_CONTEXT_BYTES_MAX;
/// How far ahead of this computer's clock an instant of the form may lie: clocks at a site differ. The relay allows as
/// much.
const CLOCK_TOLERANCE_MS: i64 = 300_000;
/// End of the names of the clinical context's instants, all of which have passed when the form is filled in.
const INSTANT_SUFFIX: &str = "_dt";
/// Bytes of a download read at once.
const PIECE_BYTES: usize = 256 * 1024;

/// `GET /api/state`
pub async fn state(State(parts): State<PageParts>) -> Json<PageState> {
    Json(picture(&parts))
}

/// `GET /api/events`: the whole picture at once and after every change, at most four times a second and at least every
/// ten seconds.
pub async fn events(State(parts): State<PageParts>) -> Sse<impl Stream<Item = Result<Event, Infallible>>> {
    let spool = parts.spool.subscribe();
    let board = parts.board.subscribe();
    let refusals = parts.refusals.subscribe();
    let deliveries = parts.deliveries.subscribe();
    let stream = unfold(
        (parts, spool, board, (refusals, deliveries), true),
        |(parts, mut spool, mut board, (mut refusals, mut deliveries), first)| async move {
            if !first {
                tokio::time::sleep(PICTURE_INTERVAL).await;
                let changed = tokio::select! {
                    changed = spool.changed() => changed,
                    changed = board.changed() => changed,
                    changed = refusals.changed() => changed,
                    changed = deliveries.changed() => changed,
                    () = tokio::time::sleep(PICTURE_INTERVAL_MAX) => Ok(()),
                };
                changed.ok()?;
                spool.mark_unchanged();
                board.mark_unchanged();
                refusals.mark_unchanged();
                deliveries.mark_unchanged();
            }
            let event = Event::default()
                .event("state")
                .json_data(picture(&parts))
                .unwrap_or_else(|error| {
                    tracing::error!(%error, "the page's picture could not be written");
                    Event::default().comment("no picture")
                });
            Some((Ok(event), (parts, spool, board, (refusals, deliveries), false)))
        },
    );
    Sse::new(stream).keep_alive(KeepAlive::new().interval(KEEP_ALIVE))
}

/// A reading request as the form sends it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RequestBody {
    command_id: CommandId,
    study_instance_uid: StudyInstanceUid,
    urgency: String,
    clinical_context: serde_json::Map<String, serde_json::Value>,
    callback_number: String,
    callback_person: Option<String>,
    responsible_physician: Option<String>,
}

/// `POST /api/requests`: 202 when the form is durable here; the relay's answer shows in the picture.
pub async fn send_request(
    State(parts): State<PageParts>,
    body: Result<Json<RequestBody>, JsonRejection>,
) -> Result<StatusCode, Problem> {
    let body = taken(body)?;
    if !URGENCIES.contains(&body.urgency.as_str()) {
        return Err(invalid("urgency_invalid", "choose the urgency of the request"));
    }
    let digits = body.callback_number.chars().filter(char::is_ascii_digit).count();
    if digits < TELEPHONE_DIGITS_MIN || body.callback_number.len() > LINE_BYTES_MAX {
        return Err(invalid(
            "callback_number_invalid",
            "give a call-back number with digits that can be dialled",
        ));
    }
    let is_long = |name: &Option<String>| name.as_ref().is_some_and(|name| name.len() > LINE_BYTES_MAX);
    if is_long(&body.callback_person) {
        return Err(invalid(
            "callback_person_too_long",
            "shorten the name of the person to call back",
        ));
    }
    if is_long(&body.responsible_physician) {
        return Err(invalid(
            "responsible_physician_too_long",
            "shorten the name of the responsible physician",
        ));
    }
    let clinical_context = serde_json::Value::Object(body.clinical_context);
    if lies_ahead(&clinical_context, parts.clock.now_ms() + CLOCK_TOLERANCE_MS) {
        return Err(invalid(
            "time_in_future",
            "a time in the form lies in the future; correct it, or this computer's clock",
        ));
    }
    if clinical_context.to_string().len() > CONTEXT_BYTES_MAX {
        return Err(invalid(
            "clinical_context_too_long",
            "the clinical information is too long; shorten the free texts",
        ));
    }
    let form = RequestForm {
        command_id: body.command_id,
        study_instance_uid: body.study_instance_uid,
        urgency: body.urgency,
        clinical_context,
        callback_number: body.callback_number,
        callback_person: body.callback_person,
        responsible_physician: body.responsible_physician,
        created_at_ms: parts.clock.now_ms(),
    };
    let (study, urgency) = (form.study_instance_uid.clone(), form.urgency.clone());
    parts.spool.add_request(form).await?;
    if matches!(urgency.as_str(), "stroke_code" | "critical") {
        parts.spool.set_priority(study.as_str(), Priority::Stat).await?;
    }
    Ok(StatusCode::ACCEPTED)
}

/// Whether any instant in the answers is later than `now_ms`; the relay would leave it out.
fn lies_ahead(answers: &serde_json::Value, now_ms: i64) -> bool {
    let is_later = |name: &str, value: &serde_json::Value| {
        let at = value
            .as_str()
            .and_then(|text| text.parse::<jiff::Timestamp>().ok());
        name.ends_with(INSTANT_SUFFIX) && at.is_some_and(|at| at.as_millisecond() > now_ms)
    };
    match answers {
        serde_json::Value::Object(group) => group
            .iter()
            .any(|(name, value)| is_later(name, value) || lies_ahead(value, now_ms)),
        serde_json::Value::Array(list) => list.iter().any(|value| lies_ahead(value, now_ms)),
        _ => false,
    }
}

/// Which study, and how soon.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PriorityBody {
    study_instance_uid: StudyInstanceUid,
    priority: Priority,
}

/// `POST /api/studies/priority`
pub async fn set_priority(
    State(parts): State<PageParts>,
    body: Result<Json<PriorityBody>, JsonRejection>,
) -> Result<StatusCode, Problem> {
    let body = taken(body)?;
    parts
        .spool
        .set_priority(body.study_instance_uid.as_str(), body.priority)
        .await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Which study.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StudyBody {
    study_instance_uid: StudyInstanceUid,
}

/// `POST /api/studies/close`
pub async fn close_study(
    State(parts): State<PageParts>,
    body: Result<Json<StudyBody>, JsonRejection>,
) -> Result<StatusCode, Problem> {
    let body = taken(body)?;
    parts.spool.close_study(body.study_instance_uid.as_str()).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Which held objects: an entry of the picture, so that exactly those go whose patient was shown.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HeldBody {
    held_id: String,
}

/// `POST /api/held/release`: the person has compared both patients.
pub async fn release_held(
    State(parts): State<PageParts>,
    body: Result<Json<HeldBody>, JsonRejection>,
) -> Result<StatusCode, Problem> {
    let HeldBody { held_id } = taken(body)?;
    let n_objects = parts.spool.release_held(&held_id).await.map_err(not_held)?;
    tracing::warn!(
        audit.action = "held_released",
        audit.subject = held_id,
        n_objects,
        "held objects were released on the page"
    );
    Ok(StatusCode::NO_CONTENT)
}

/// `POST /api/held/dismiss`: the person has found that they are of another patient.
pub async fn dismiss_held(
    State(parts): State<PageParts>,
    body: Result<Json<HeldBody>, JsonRejection>,
) -> Result<StatusCode, Problem> {
    let HeldBody { held_id } = taken(body)?;
    let n_objects = parts.spool.dismiss_held(&held_id).await.map_err(not_held)?;
    tracing::warn!(
        audit.action = "held_dismissed",
        audit.subject = held_id,
        n_objects,
        "held objects were taken out of their study on the page"
    );
    Ok(StatusCode::NO_CONTENT)
}

fn not_held(error: SpoolError) -> Problem {
    match error {
        SpoolError::NotFound => gone("held_not_found", "these images are no longer held back"),
        other => other.into(),
    }
}

/// Which quarantined object.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct QuarantineBody {
    object_id: ObjectId,
}

/// `POST /api/quarantine/dismiss`
pub async fn dismiss_quarantine(
    State(parts): State<PageParts>,
    body: Result<Json<QuarantineBody>, JsonRejection>,
) -> Result<StatusCode, Problem> {
    let QuarantineBody { object_id } = taken(body)?;
    parts
        .spool
        .dismiss_quarantine(&object_id)
        .await
        .map_err(not_given)?;
    tracing::warn!(
        audit.action = "quarantine_dismissed",
        audit.subject = %object_id,
        "a quarantined object was taken off the list on the page"
    );
    Ok(StatusCode::NO_CONTENT)
}

/// What became of an image that can be used now.
#[derive(Serialize)]
pub struct ReleaseAnswer {
    outcome: Released,
}

/// `POST /api/quarantine/release`: the object is read again by today's rules and taken in when it can be used.
pub async fn release_quarantine(
    State(parts): State<PageParts>,
    body: Result<Json<QuarantineBody>, JsonRejection>,
) -> Result<Json<ReleaseAnswer>, Problem> {
    let QuarantineBody { object_id } = taken(body)?;
    let released = parts.spool.release_quarantined(&object_id).await;
    tracing::warn!(
        audit.action = "quarantine_release",
        audit.subject = %object_id,
        audit.outcome = released.as_ref().map_or_else(QuarantinedError::code, |released| released.code()),
        "a quarantined object was read again on the page"
    );
    let outcome = released.map_err(not_given)?;
    Ok(Json(ReleaseAnswer { outcome }))
}

/// `POST /api/quarantine/file`: the object as it came, as a DICOM file where its announced UIDs allow one.
pub async fn download_quarantine(
    State(parts): State<PageParts>,
    body: Result<Json<QuarantineBody>, JsonRejection>,
) -> Result<Response, Problem> {
    let QuarantineBody { object_id } = taken(body)?;
    let opened = parts.spool.open_quarantined(&object_id).await;
    tracing::warn!(
        audit.action = "quarantine_downloaded",
        audit.subject = %object_id,
        audit.outcome = opened.as_ref().map_or_else(QuarantinedError::code, |_| "given"),
        "a quarantined object was downloaded on the page"
    );
    let quarantined = opened.map_err(not_given)?;
    let head = quarantined.file_header();
    let (kind, ending) = match head {
        Some(_) => ("application/dicom", "dcm"),
        None => ("application/octet-stream", "bin"),
    };
    let head = head.unwrap_or_default();
    let len = head.len() as u64 + quarantined.header.data_len;
    // Our own id: nothing that came from the modality is in the name.
    let name = format!("attachment; filename=\"quarantine-{object_id}.{ending}\"");
    let body = Body::from_stream(pieces(head, quarantined.data));
    let headers = [
        (CONTENT_TYPE, kind.to_owned()),
        (CONTENT_DISPOSITION, name),
        (CONTENT_LENGTH, len.to_string()),
    ];
    Ok((headers, body).into_response())
}

/// The head, then the data set piece by piece, read as the browser takes them.
fn pieces(head: Vec<u8>, data: DataSet) -> impl Stream<Item = io::Result<Vec<u8>>> {
    let rest = futures_util::stream::try_unfold(data, |mut data| async move {
        let read = tokio::task::spawn_blocking(move || {
            let mut piece = vec![0; PIECE_BYTES];
            let n = data.read(&mut piece)?;
            piece.truncate(n);
            Ok::<_, io::Error>((piece, data))
        });
        let (piece, data) = read.await.map_err(io::Error::other)??;
        Ok((!piece.is_empty()).then_some((piece, data)))
    });
    futures_util::stream::once(async { Ok(head) }).chain(rest)
}

/// Why a quarantined object stays where it is.
fn not_given(error: QuarantinedError) -> Problem {
    let (status, detail) = match &error {
        QuarantinedError::NotFound => (StatusCode::NOT_FOUND, "this image is no longer in the quarantine"),
        QuarantinedError::Busy => (
            StatusCode::CONFLICT,
            "this image is just being read again or taken off the list; look at the list again",
        ),
        QuarantinedError::NotKept => (
            StatusCode::NOT_FOUND,
            "the quarantine was full when this image came, so its bytes were not kept; send it again from the scanner",
        ),
        QuarantinedError::Damaged => (
            StatusCode::CONFLICT,
            "the bytes of this image on this machine's disk are no longer those received; send it again from the scanner",
        ),
        QuarantinedError::Unusable(_) => (
            StatusCode::CONFLICT,
            "this image still cannot be used; have it corrected at the scanner and sent again",
        ),
        QuarantinedError::Intake(error) => {
            tracing::error!(%error, "a quarantined object was not taken in");
            (
                StatusCode::SERVICE_UNAVAILABLE,
                "the node could not save it; check the disk, then try again",
            )
        }
    };
    Problem::new(status, error.code(), detail)
}

/// Which destination.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DestinationBody {
    destination: String,
}

/// `POST /api/deliveries/retry`: what was given up is tried again.
pub async fn retry_deliveries(
    State(parts): State<PageParts>,
    body: Result<Json<DestinationBody>, JsonRejection>,
) -> Result<StatusCode, Problem> {
    let DestinationBody { destination } = taken(body)?;
    let n_objects = acted(parts.deliveries.try_again(&destination))?;
    tracing::info!(destination, n_objects, "deliveries are tried again");
    Ok(StatusCode::NO_CONTENT)
}

/// `POST /api/deliveries/dismiss`: the person has seen what the destination does not have.
pub async fn dismiss_deliveries(
    State(parts): State<PageParts>,
    body: Result<Json<DestinationBody>, JsonRejection>,
) -> Result<StatusCode, Problem> {
    let DestinationBody { destination } = taken(body)?;
    let n_objects = acted(parts.deliveries.dismiss(&destination))?;
    tracing::warn!(
        audit.action = "deliveries_dismissed",
        audit.subject = destination,
        n_objects,
        "deliveries that were given up were taken off the list on the page"
    );
    Ok(StatusCode::NO_CONTENT)
}

fn acted(done: anyhow::Result<Option<u64>>) -> Result<u64, Problem> {
    match done {
        Ok(Some(n_objects)) => Ok(n_objects),
        Ok(None) => Err(gone(
            "destination_not_found",
            "there is no such destination; reload the page",
        )),
        Err(error) => {
            tracing::error!(%error, "the page could not change the delivery queue");
            Err(Problem::new(
                StatusCode::SERVICE_UNAVAILABLE,
                "queue_unavailable",
                "the node could not save it; check the disk, then try again",
            ))
        }
    }
}

fn gone(code: &'static str, detail: &'static str) -> Problem {
    Problem::new(StatusCode::NOT_FOUND, code, detail)
}

fn taken<T>(body: Result<Json<T>, JsonRejection>) -> Result<T, Problem> {
    // The rejection's text may repeat what was typed, so it goes no further.
    body.map(|Json(body)| body).map_err(|rejection| {
        Problem::new(
            rejection.status(),
            "body_invalid",
            "the request could not be read; reload the page and try again",
        )
    })
}

fn invalid(code: &'static str, detail: &'static str) -> Problem {
    Problem::new(StatusCode::UNPROCESSABLE_ENTITY, code, detail)
}
