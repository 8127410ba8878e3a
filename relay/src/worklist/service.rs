//! Makes the lines of the worklist.

use std::collections::HashMap;

use tancho_domain::access::{self, Action, Role, Scope};
use tancho_domain::ids::ReadingRequestId;
use tancho_domain::turnaround::TurnaroundPolicy;
use tancho_store::worklist::{self, Openness, SEARCH_CHARS_MAX, WorklistFilter};
use tancho_store::{StoreError, Tx};

use super::dto::{ReadingRequestSummary, WorklistQuery, summary_of};
use crate::error::ApiError;

/// The lines within reach that match. `role` decides whether criticality is shown.
pub async fn list(
    tx: &mut Tx,
    scope: &Scope,
    role: Role,
    policy: &TurnaroundPolicy,
    query: &WorklistQuery,
    now_ms: i64,
) -> Result<Vec<ReadingRequestSummary>, ApiError> {
    let openness = match query.state.as_deref() {
        None | Some("open") => Openness::Open,
        Some("reported") => Openness::Reported,
        Some("closed") => Openness::Closed,
        Some("all") => Openness::All,
        Some(_) => {
            return Err(ApiError::bad_request(
                "state_unknown",
                "state is one of open, reported, closed, all",
            ));
        }
    };
    let search = query
        .q
        .as_deref()
        .map(str::trim)
        .filter(|search| !search.is_empty());
    if search.is_some_and(|search| search.chars().count() > SEARCH_CHARS_MAX) {
        let detail = format!("a search text of at most {SEARCH_CHARS_MAX} characters expected");
        return Err(ApiError::bad_request("search_too_long", detail));
    }
    let site_code = query.site.as_deref().filter(|site| !site.is_empty());
    let filter = WorklistFilter {
        openness,
        site_code,
        search,
    };
    let items = worklist::list_worklist(tx, scope, &filter).await?;
    let mut modalities: HashMap<String, Vec<String>> = HashMap::new();
    for (study_id, modality) in worklist::list_modalities(tx, scope, None).await? {
        modalities.entry(study_id).or_default().push(modality);
    }
    let reads_reports = access::allows(role, Action::ViewReport);
    let line = |item: worklist::WorklistItem| {
        let modalities = item
            .request
            .study_id
            .as_ref()
            .and_then(|id| modalities.get(id))
            .cloned();
        summary_of(
            item,
            modalities.unwrap_or_default(),
            policy,
            now_ms,
            reads_reports,
        )
    };
    Ok(items.into_iter().map(line).collect())
}

/// One line within reach.
pub async fn get(
    tx: &mut Tx,
    scope: &Scope,
    role: Role,
    policy: &TurnaroundPolicy,
    id: &ReadingRequestId,
    now_ms: i64,
) -> Result<ReadingRequestSummary, StoreError> {
    let item = worklist::get_worklist_item(tx, scope, id).await?;
    let modalities = worklist::list_modalities(tx, scope, Some(id)).await?;
    let modalities = modalities.into_iter().map(|(_, modality)| modality).collect();
    Ok(summary_of(
        item,
        modalities,
        policy,
        now_ms,
        access::allows(role, Action::ViewReport),
    ))
}
