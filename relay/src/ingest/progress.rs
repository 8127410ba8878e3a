//! What people are told about a study that arrives, besides the store's counts: previews, rate, time left, last byte.

use serde::Serialize;
use tancho_domain::ids::StudyId;
use utoipa::ToSchema;

use super::flow::Counts;
use crate::state::AppState;

/// Measured by this run of the relay; nothing of it is a receipt.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, ToSchema)]
pub struct Progress {
    /// Instances that are not verified and can be looked at in low resolution.
    pub previews: i64,
    /// Bytes per second that come of it now; absent when nothing comes, or not for long enough to tell.
    pub bytes_per_s: Option<i64>,
    /// Milliseconds until everything announced is here, at this rate; absent when one of them is not known.
    pub remaining_ms: Option<i64>,
    /// When the last byte of it came.
    pub last_data_at_ms: Option<i64>,
}

impl Progress {
    /// Of a study, now.
    #[must_use]
    pub fn of(app: &AppState, study_id: &StudyId, counts: Counts) -> Self {
        let measured = app.flows.measure(study_id, counts, app.now_ms());
        let previews = app.readable.count_among(&app.flows.open(study_id));
        Self {
            previews: i64::try_from(previews).unwrap_or(i64::MAX),
            bytes_per_s: measured.bytes_per_s,
            remaining_ms: measured.remaining_ms,
            last_data_at_ms: measured.last_data_at_ms,
        }
    }
}
