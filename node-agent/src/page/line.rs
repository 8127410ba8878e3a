//! What the line was like, for the page's graph.

use axum::Json;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};

use super::PageParts;
use super::problem::Problem;
use crate::link::history::{Point, Span};

/// How far back.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LineQuery {
    span: Span,
}

/// The graph's points. Where there is none, and in what a point leaves of its span, the agent did not run.
#[derive(Debug, Serialize)]
pub struct LineView {
    now_ms: i64,
    window_ms: i64,
    points: Vec<Point>,
}

/// `GET /api/line?span=1h`, `6h` or `48h`
pub async fn line(
    State(parts): State<PageParts>,
    query: Result<Query<LineQuery>, QueryRejection>,
) -> Result<Json<LineView>, Problem> {
    let Ok(Query(LineQuery { span })) = query else {
        return Err(Problem::new(
            StatusCode::UNPROCESSABLE_ENTITY,
            "span_invalid",
            "ask for a span of 1h, 6h or 48h",
        ));
    };
    Ok(Json(LineView {
        now_ms: parts.clock.now_ms(),
        window_ms: span.window_ms(),
        points: parts.board.points(span),
    }))
}
