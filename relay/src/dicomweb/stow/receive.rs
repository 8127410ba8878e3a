//! The parts of a request as files on the disk, one at a time; memory holds a few pieces.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::body::Body;
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use multer::{Constraints, Field, Multipart, SizeLimit};
use tancho_imaging::limits::ScanLimits;
use tempfile::NamedTempFile;
use tokio::io::AsyncWriteExt;

use super::between::{BETWEEN_PARTS_BYTES_MAX, BodyFault, OneByOne, Passed};
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
/// Slowest body on the average, in bytes for each millisecond that it is waited for: 128 kbit/s.
const BODY_BYTES_PER_MS_MIN: u64 = 16;
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
    pace: Pace,
    n_parts: usize,
}

impl Parts {
    pub(super) fn new(body: Body, boundary: String) -> Self {
        let limits = SizeLimit::new().whole_stream(REQUEST_BYTES_MAX);
        let passed = Arc::new(Passed::default());
        let pieces = OneByOne::new(body.into_data_stream(), Arc::clone(&passed));
        let constraints = Constraints::new().size_limit(limits);
        Self {
            multipart: Multipart::with_constraints(pieces, boundary, constraints),
            pace: Pace {
                passed,
                waited: Duration::ZERO,
            },
            n_parts: 0,
        }
    }

    /// The next part; what is wrong with the body itself ends the request.
    pub(super) async fn next(&mut self, dir: &Path) -> Result<Option<Received>, ApiError> {
        self.pace.passed.close_part();
        let field = self.pace.in_time(self.multipart.next_field()).await?;
        let Some(field) = field else { return Ok(None) };
        self.pace.passed.open_part();
        self.n_parts += 1;
        if self.n_parts > PARTS_MAX {
            return Err(too_large());
        }
        received(field, dir, &mut self.pace).await.map(Some)
    }
}

async fn received(mut field: Field<'static>, dir: &Path, pace: &mut Pace) -> Result<Received, ApiError> {
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
    while let Some(piece) = pace.in_time(field.chunk()).await? {
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

/// How long a body was waited for, which is not the time its parts took to be coded.
struct Pace {
    passed: Arc<Passed>,
    waited: Duration,
}

impl Pace {
    /// How long the next piece may be waited for.
    fn left(&self) -> Duration {
        let earned = Duration::from_millis(self.passed.n_bytes() / BODY_BYTES_PER_MS_MIN);
        (BODY_IDLE_MAX + earned)
            .saturating_sub(self.waited)
            .min(BODY_IDLE_MAX)
    }

    async fn in_time<T>(
        &mut self,
        step: impl Future<Output = Result<T, multer::Error>>,
    ) -> Result<T, ApiError> {
        let began = Instant::now();
        let done = tokio::time::timeout(self.left(), step).await;
        self.waited += began.elapsed();
        match done {
            Ok(Ok(done)) => Ok(done),
            Ok(Err(multer::Error::StreamSizeExceeded { .. })) => Err(too_large()),
            Ok(Err(multer::Error::StreamReadFailed(error)))
                if matches!(error.downcast_ref::<BodyFault>(), Some(BodyFault::NoPart)) =>
            {
                Err(ApiError::bad_request(
                    "part_header_too_large",
                    format!(
                        "at most {BETWEEN_PARTS_BYTES_MAX} bytes expected before and between the data of parts; \
                         what was stored before stays"
                    ),
                ))
            }
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

#[cfg(test)]
mod tests {
    use futures_util::StreamExt;
    use std::io;

    use super::*;

    #[test]
    fn a_body_that_trickles_has_its_time_and_a_steady_one_is_not_hurried() {
        let mut pace = Pace {
            passed: Arc::default(),
            waited: Duration::from_secs(59),
        };
        assert_eq!(pace.left(), Duration::from_secs(1));
        pace.waited = Duration::from_secs(3600);
        assert_eq!(pace.left(), Duration::ZERO, "a byte a minute holds no turn");
        pace.passed.count(3600 * 16_000);
        assert_eq!(pace.left(), BODY_IDLE_MAX);
        pace.waited += BODY_IDLE_MAX;
        assert_eq!(pace.left(), Duration::ZERO);
        pace.passed.count(usize::MAX / 2);
        assert_eq!(pace.left(), BODY_IDLE_MAX);
    }

    #[tokio::test]
    async fn a_body_of_single_bytes_is_waited_for_no_longer_than_it_earned() {
        let dir = tempfile::tempdir().unwrap();
        let head = b"--edge\r\n\r\n"
            .iter()
            .map(|byte| Ok::<_, io::Error>(vec![*byte]));
        let body = futures_util::stream::iter(head).chain(futures_util::stream::pending());
        let mut parts = Parts::new(Body::from_stream(body), "edge".to_owned());
        parts.pace.waited = BODY_IDLE_MAX + Duration::from_secs(1);
        let error = parts.next(dir.path()).await.err().unwrap();
        assert_eq!(error.code, "body_too_slow");
    }
}
