//! Drafts: saved at every pause over the version the writer has seen, never over another one.

use serde_json::json;
use tancho_domain::ids::ReadingRequestId;
use tancho_store::audit::{self, Entry};
use tancho_store::reading::{self as store, Draft};
use tancho_store::{StoreError, Tx};

use super::evaluation::gather;
use super::{dto, service};
use crate::error::ApiError;
use crate::http::caller::Caller;
use crate::reports::dto::{Evaluation, ReportBody};
use crate::state::AppState;

/// Most finding blocks, key images, dispositions, reading conditions or priors a draft may hold.
const ENTRIES_MAX: usize = 200;

/// Saves the caller's text and says what it is worth. A save is a sign of life: it renews the lease.
pub async fn save(
    app: &AppState,
    tx: &mut Tx,
    caller: &Caller,
    id: &ReadingRequestId,
    form: &dto::SaveDraft,
) -> Result<dto::DraftSaved, ApiError> {
    let now_ms = app.now_ms();
    let request = store::get_reading_request(tx, &caller.scope, id).await?;
    service::ensure_holder(&request, &caller.principal.user_id, now_ms)?;
    check_size(&form.body)?;
    let draft = Draft {
        version: 0,
        body: serde_json::to_string(&form.body).map_err(ApiError::internal)?,
        author_id: caller.principal.user_id.clone(),
        saved_at_ms: now_ms,
    };
    let base_version = form.base_version.unwrap_or(0);
    let version = match store::save_draft(tx, &caller.scope, id, base_version, &draft).await {
        Ok(version) => version,
        Err(StoreError::Stale) => return Err(stale(tx, caller, id).await?),
        Err(other) => return Err(other.into()),
    };
    let until_ms = now_ms + app.config.requests.claim_lease_ms;
    store::extend_claim(tx, &caller.scope, id, &caller.principal.user_id, until_ms).await?;
    let entry = Entry::done(&caller.principal, "write_draft", "reading_request", id.as_str())
        .with_detail(json!({ "version": version }))
        .with_request_id(&caller.request_id);
    let facts = gather(tx, &caller.scope, &request, now_ms).await?;
    audit::append(tx, &caller.scope.network_id, entry, now_ms).await?;
    let evaluation = facts.evaluate(&form.body, now_ms);
    Ok(dto::DraftSaved {
        version,
        saved_at_ms: now_ms,
        evaluation,
    })
}

/// The refusal of a save over another version, with the text that is there: both are kept.
async fn stale(tx: &mut Tx, caller: &Caller, id: &ReadingRequestId) -> Result<ApiError, ApiError> {
    let stored = store::get_draft(tx, &caller.scope, id).await?;
    let detail = "the draft was saved elsewhere meanwhile; `current` is what is there, yours was not saved";
    let refused = ApiError::conflict("draft_stale", detail);
    Ok(match stored {
        Some(draft) => {
            let body: serde_json::Value = serde_json::from_str(&draft.body).map_err(ApiError::internal)?;
            refused.with(
                "current",
                json!({ "version": draft.version, "body": body, "saved_at_ms": draft.saved_at_ms }),
            )
        }
        None => refused,
    })
}

/// Evaluates finding blocks without saving anything.
pub async fn evaluate(
    tx: &mut Tx,
    caller: &Caller,
    form: dto::EvaluateFindings,
    now_ms: i64,
) -> Result<Evaluation, ApiError> {
    let id = ReadingRequestId::parse(&form.reading_request_id).map_err(|_| ApiError::not_found())?;
    let request = store::get_reading_request(tx, &caller.scope, &id).await?;
    // The rest of the text comes from the draft, so that what stands against a signature is said in full.
    let mut body = match store::get_draft(tx, &caller.scope, &id).await? {
        Some(draft) => serde_json::from_str(&draft.body).map_err(ApiError::internal)?,
        None => ReportBody::default(),
    };
    body.finding_blocks = form.finding_blocks;
    check_size(&body)?;
    let facts = gather(tx, &caller.scope, &request, now_ms).await?;
    Ok(facts.evaluate(&body, now_ms))
}

fn check_size(body: &ReportBody) -> Result<(), ApiError> {
    let most = [
        body.finding_blocks.len(),
        body.key_images.len(),
        body.disposition.len(),
        body.limits.len(),
        body.prior_study_uids.len(),
    ];
    if most.into_iter().any(|n_entries| n_entries > ENTRIES_MAX) {
        let detail = format!("at most {ENTRIES_MAX} entries of each kind expected");
        return Err(ApiError::unprocessable("too_many_entries", detail));
    }
    Ok(())
}
