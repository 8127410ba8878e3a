//! Viewing images is on record: one audit row per login and study, renewed while the viewing goes on.
//!
//! The row is written before the first byte leaves; when it cannot be written, nothing leaves.

use std::collections::HashMap;
use std::sync::PoisonError;

use tancho_domain::ids::StudyId;
use tancho_store::audit::{self, Entry};

use crate::error::ApiError;
use crate::http::caller::{Caller, Credential};
use crate::state::AppState;

/// A view is recorded again when the last record is this old.
const RECORDED_EVERY_MS: i64 = 15 * 60 * 1000;
/// Views remembered; beyond, the oldest are forgotten and simply recorded again.
const REMEMBERED_MAX: usize = 10_000;

/// When a login's view of a study was last recorded.
#[derive(Debug, Default)]
pub(super) struct Noted(HashMap<(String, StudyId), i64>);

/// Records that the caller looks at a study, unless that is on record already.
pub(super) async fn record_view(app: &AppState, caller: &Caller, study_id: &StudyId) -> Result<(), ApiError> {
    let login = match &caller.credential {
        Credential::Session(id) | Credential::Token(id) => id.to_string(),
    };
    let key = (login, study_id.clone());
    let now_ms = app.now_ms();
    {
        let noted = app.dicomweb.noted.lock().unwrap_or_else(PoisonError::into_inner);
        if noted
            .0
            .get(&key)
            .is_some_and(|at_ms| (0..RECORDED_EVERY_MS).contains(&(now_ms - at_ms)))
        {
            return Ok(());
        }
    }
    let entry = Entry::done(&caller.principal, "view_images", "study", study_id.as_str())
        .with_request_id(&caller.request_id);
    let mut tx = app.db.write().await?;
    audit::append(&mut tx, &caller.scope.network_id, entry, now_ms).await?;
    tx.commit().await?;
    let mut noted = app.dicomweb.noted.lock().unwrap_or_else(PoisonError::into_inner);
    if noted.0.len() >= REMEMBERED_MAX {
        noted.0.retain(|_, at_ms| now_ms - *at_ms < RECORDED_EVERY_MS / 2);
        if noted.0.len() >= REMEMBERED_MAX {
            noted.0.clear();
        }
    }
    noted.0.insert(key, now_ms);
    Ok(())
}
