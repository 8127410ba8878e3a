//! The parts of a request as files on the disk, one at a time; memory holds a few pieces.

use std::io;
use std::path::Path;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::{Body, BodyDataStream, Bytes};
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use futures_util::{Stream, StreamExt};
use multer::{Constraints, Field, Multipart, SizeLimit};
use tancho_imaging::limits::ScanLimits;
use tempfile::NamedTempFile;
use tokio::io::AsyncWriteExt;

use super::part::{Failure, reason};
use crate::error::ApiError;
use crate::ingest::incoming::UPLOAD_PREFIX;
use crate::ingest::space;

/// Bytes of one request.
const REQUEST_BYTES_MAX: u64 = 64 << 30;
/// Parts of one request.
const PARTS_MAX: usize = 20_000;
/// Longest time until more of a body comes.
const BODY_IDLE_MAX: Duration = Duration::from_secs(60);
/// The disk's room is asked for again after so many bytes of a part.
const ROOM_ASKED_EVERY_BYTES: u64 = 64 << 20;

/// A part that has come.
pub(super) enum Received {
    /// Whole, in a file.
    File(NamedTempFile),
    /// Not taken.
    Refused(Failure),
}

/// The parts of a body, in their order.
pub(super) struct Parts {
    multipart: Multipart<'static>,
    n_parts: usize,
}

impl Parts {
    pub(super) fn new(body: Body, boundary: String) -> Self {
        let limits = SizeLimit::new().whole_stream(REQUEST_BYTES_MAX);
        let pieces = OneByOne {
            body: body.into_data_stream(),
            has_given: false,
        };
        let constraints = Constraints::new().size_limit(limits);
        Self {
            multipart: Multipart::with_constraints(pieces, boundary, constraints),
            n_parts: 0,
        }
    }

    /// The next part; what is wrong with the body itself ends the request.
    pub(super) async fn next(&mut self, dir: &Path) -> Result<Option<Received>, ApiError> {
        let field = in_time(self.multipart.next_field()).await?;
        let Some(field) = field else { return Ok(None) };
        self.n_parts += 1;
        if self.n_parts > PARTS_MAX {
            return Err(too_large());
        }
        received(field, dir).await.map(Some)
    }
}

async fn received(mut field: Field<'static>, dir: &Path) -> Result<Received, ApiError> {
    let content_type = field.headers().get(CONTENT_TYPE);
    let is_dicom = content_type.is_none_or(|value| {
        value
            .to_str()
            .is_ok_and(|media| media.to_ascii_lowercase().starts_with("application/dicom"))
    });
    let file = NamedTempFile::with_prefix_in(UPLOAD_PREFIX, dir).map_err(ApiError::unavailable)?;
    let mut out = tokio::fs::File::from_std(file.reopen().map_err(ApiError::unavailable)?);
    let (mut len, mut room_asked_at) = (0_u64, 0_u64);
    let mut refusal = (!is_dicom).then_some(reason::NOT_UNDERSTOOD);
    if !space::has_room(dir, 0).unwrap_or(true) {
        refusal = Some(reason::OUT_OF_RESOURCES);
    }
    while let Some(piece) = in_time(field.chunk()).await? {
        len += piece.len() as u64;
        if len > ScanLimits::default().max_object_bytes {
            refusal = refusal.or(Some(reason::PROCESSING_FAILED));
        }
        if len - room_asked_at > ROOM_ASKED_EVERY_BYTES {
            room_asked_at = len;
            if !space::has_room(dir, 0).unwrap_or(true) {
                refusal = refusal.or(Some(reason::OUT_OF_RESOURCES));
            }
        }
        if refusal.is_none() && out.write_all(&piece).await.is_err() {
            refusal = Some(reason::OUT_OF_RESOURCES);
        }
    }
    if refusal.is_none() && out.flush().await.is_err() {
        refusal = Some(reason::OUT_OF_RESOURCES);
    }
    Ok(match refusal {
        None => Received::File(file),
        Some(reason) => Received::Refused(Failure {
            identity: None,
            reason,
        }),
    })
}

async fn in_time<T>(step: impl Future<Output = Result<T, multer::Error>>) -> Result<T, ApiError> {
    match tokio::time::timeout(BODY_IDLE_MAX, step).await {
        Ok(Ok(done)) => Ok(done),
        Ok(Err(multer::Error::StreamSizeExceeded { .. })) => Err(too_large()),
        Ok(Err(error)) => {
            tracing::debug!(%error, "a body that stores instances is malformed");
            Err(ApiError::bad_request(
                "body_malformed",
                "the body is no multipart/related with this boundary, or was cut; what was stored before stays",
            ))
        }
        Err(_) => Err(ApiError::new(
            StatusCode::REQUEST_TIMEOUT,
            "body_too_slow",
            "the body did not come in time; what was stored before stays",
        )),
    }
}

fn too_large() -> ApiError {
    ApiError::new(
        StatusCode::PAYLOAD_TOO_LARGE,
        "body_too_large",
        format!(
            "at most {PARTS_MAX} parts and {REQUEST_BYTES_MAX} bytes expected; what was stored before stays"
        ),
    )
}

/// A body that gives one piece for each time it is asked: the parser would else gather all that has come in memory.
struct OneByOne {
    body: BodyDataStream,
    has_given: bool,
}

impl Stream for OneByOne {
    type Item = io::Result<Bytes>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if std::mem::take(&mut self.has_given) {
            context.waker().wake_by_ref();
            return Poll::Pending;
        }
        let piece = self.body.poll_next_unpin(context);
        self.has_given = matches!(piece, Poll::Ready(Some(_)));
        piece.map(|piece| piece.map(|piece| piece.map_err(io::Error::other)))
    }
}
