//! `GET /api/v1/events`: the live line to a page (HTML standard, server-sent events).

use std::convert::Infallible;
use std::time::Duration;

use axum::extract::State;
use axum::http::HeaderMap;
use axum::http::header::CACHE_CONTROL;
use axum::response::IntoResponse;
use axum::response::sse::{Event as Line, KeepAlive, Sse};
use tancho_domain::access::Action;
use tokio::sync::{broadcast, mpsc};
use tokio_stream::wrappers::ReceiverStream;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::{Following, Published};
use crate::error::ApiError;
use crate::http::caller::{Caller, Follower};
use crate::state::AppState;

/// How often a quiet line shows a sign of life, and how often its session is looked at again.
const KEEP_ALIVE: Duration = Duration::from_secs(15);
/// Lines waiting for a slow page; then the hub's own limit applies.
const LINES_WAITING_MAX: usize = 64;

/// The routes of this slice.
pub fn routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::new().routes(routes!(follow_events))
}

/// Follows what changes. Each event has an `id`; sent back as `Last-Event-ID` it resumes without a gap. `reset`
/// means that too much was missed: ask for everything again. The line ends when the session does, and following it does
/// not count as use of the session.
#[utoipa::path(
    get, path = "/api/v1/events", tag = "events", operation_id = "follow_events",
    params(("Last-Event-ID" = Option<String>, Header, description = "Where to resume")),
    responses((status = OK, description = "`worklist`, `study`, `notification`, `reading_request`, `reset`", body = String, content_type = "text/event-stream"))
)]
async fn follow_events(
    State(app): State<AppState>,
    Follower(caller): Follower,
    headers: HeaderMap,
) -> Result<impl IntoResponse, ApiError> {
    caller.require(Action::FollowEvents)?;
    let last_event_id = headers.get("last-event-id").and_then(|value| value.to_str().ok());
    let following = app.events.follow(last_event_id);
    let (lines, receiver) = mpsc::channel(LINES_WAITING_MAX);
    let feeding = app.clone();
    app.tasks
        .spawn(async move { feed(feeding, caller, following, lines).await });
    let line = Sse::new(ReceiverStream::new(receiver)).keep_alive(KeepAlive::new().interval(KEEP_ALIVE));
    Ok(([(CACHE_CONTROL, "no-store")], line))
}

async fn feed(
    app: AppState,
    caller: Caller,
    following: Following,
    lines: mpsc::Sender<Result<Line, Infallible>>,
) {
    let Following {
        missed,
        last_number,
        mut live,
    } = following;
    let mut first = Vec::new();
    for published in missed
        .iter()
        .flatten()
        .filter(|published| published.is_for(&caller.principal))
    {
        first.push(line_of(&app, published));
    }
    // Tells the page where it stands, so that even one that saw no event can resume.
    first.push(
        Line::default()
            .event("hello")
            .id(app.events.id_of(last_number))
            .data("{}"),
    );
    if missed.is_none() {
        first.push(Line::default().event("reset").data("{}"));
    }
    for line in first {
        if lines.send(Ok(line)).await.is_err() {
            return;
        }
    }
    let mut session_check = app.clock.sleep(KEEP_ALIVE);
    loop {
        let line = tokio::select! {
            () = app.shutdown.cancelled() => return,
            () = lines.closed() => return,
            () = &mut session_check => {
                if !caller.is_still_good(&app).await {
                    return;
                }
                session_check = app.clock.sleep(KEEP_ALIVE);
                continue;
            }
            published = live.recv() => match published {
                Ok(published) if published.is_for(&caller.principal) => line_of(&app, &published),
                Ok(_) => continue,
                // No id: a page that comes back from here is told about everything it may have missed.
                Err(broadcast::error::RecvError::Lagged(_)) => Line::default().event("reset").data("{}"),
                Err(broadcast::error::RecvError::Closed) => return,
            },
        };
        if lines.send(Ok(line)).await.is_err() {
            return;
        }
    }
}

fn line_of(app: &AppState, published: &Published) -> Line {
    let event = &published.event;
    Line::default()
        .event(event.name)
        .id(app.events.id_of(published.number))
        .data(event.data.to_string())
}
