//! Makes the lines of the worklist.

use std::collections::HashMap;

use tancho_domain::access::{self, Action, Role, Scope};
use tancho_domain::ids::{ReadingRequestId, StudyId};
use tancho_domain::search_key::{SEARCH_WORDS_MAX, search_words};
use tancho_store::worklist::{self, Openness, WorklistFilter, WorklistItem};
use tancho_store::{StoreError, Tx};

use super::dto::{ReadingRequestSummary, WorklistSearch, summary_of};
use crate::error::ApiError;
use crate::ingest::flow::Counts;
use crate::ingest::progress::Progress;
use crate::reading::stored::policy_of;
use crate::state::AppState;

/// The lines within reach that match. `role` decides whether criticality is shown.
pub async fn list(
    app: &AppState,
    tx: &mut Tx,
    scope: &Scope,
    role: Role,
    search: &WorklistSearch,
    now_ms: i64,
) -> Result<Vec<ReadingRequestSummary>, ApiError> {
    let openness = match search.state.as_deref() {
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
    let words = search_words(&search.q);
    if words.len() > SEARCH_WORDS_MAX {
        let detail = format!("a search text of at most {SEARCH_WORDS_MAX} words expected");
        return Err(ApiError::bad_request("search_too_long", detail));
    }
    if words.is_empty() && !search.q.trim().is_empty() {
        // Signs alone are part of no name: an unfiltered list would look like an answer.
        return Ok(Vec::new());
    }
    let site_code = search.site.as_deref().filter(|site| !site.is_empty());
    let filter = WorklistFilter {
        openness,
        site_code,
        words: &words,
    };
    let items = worklist::list_worklist(tx, scope, &filter).await?;
    let mut modalities: HashMap<String, Vec<String>> = HashMap::new();
    for (study_id, modality) in worklist::list_modalities(tx, scope, None).await? {
        modalities.entry(study_id).or_default().push(modality);
    }
    let reads_reports = access::allows(role, Action::ViewReport);
    let policy = policy_of(&app.config.turnaround);
    let line = |item: WorklistItem| {
        let modalities = item
            .request
            .study_id
            .as_ref()
            .and_then(|id| modalities.get(id))
            .cloned();
        let progress = progress_of(app, &item);
        summary_of(
            item,
            modalities.unwrap_or_default(),
            &policy,
            now_ms,
            reads_reports,
            progress,
        )
    };
    Ok(items.into_iter().map(line).collect::<Result<_, StoreError>>()?)
}

/// One line within reach.
pub async fn get(
    app: &AppState,
    tx: &mut Tx,
    scope: &Scope,
    role: Role,
    id: &ReadingRequestId,
    now_ms: i64,
) -> Result<ReadingRequestSummary, StoreError> {
    let item = worklist::get_worklist_item(tx, scope, id).await?;
    let modalities = worklist::list_modalities(tx, scope, Some(id)).await?;
    let modalities = modalities.into_iter().map(|(_, modality)| modality).collect();
    let progress = progress_of(app, &item);
    summary_of(
        item,
        modalities,
        &policy_of(&app.config.turnaround),
        now_ms,
        access::allows(role, Action::ViewReport),
        progress,
    )
}

/// How the study of a line comes in; nothing before its first head is here.
fn progress_of(app: &AppState, item: &WorklistItem) -> Progress {
    let Some(Ok(study_id)) = item.request.study_id.as_deref().map(StudyId::parse) else {
        return Progress::default();
    };
    let counts = Counts {
        announced: item.study.announced_instances,
        verified: item.study.n_verified.unwrap_or(0),
    };
    Progress::of(app, &study_id, counts)
}
