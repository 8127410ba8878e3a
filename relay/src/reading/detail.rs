//! Everything about one reading request that a person may know, in one answer.

use std::collections::HashMap;

use tancho_domain::access::{Action, Role, allows};
use tancho_domain::ids::ReadingRequestId;
use tancho_store::reading::{self as store, ReadingEvent, ReadingRequest};
use tancho_store::{StoreError, Tx, reports, sites, users};

use super::evaluation::gather;
use super::{dto, stored};
use crate::calls::service::most_severe;
use crate::calls::stored::load_calls;
use crate::error::ApiError;
use crate::http::caller::Caller;
use crate::notifications::service::notices_of_request;
use crate::reports::dto::ReportVersion;
use crate::state::AppState;
use crate::worklist;

/// Collects it. Calls, reports and drafts are for those who may read them.
pub async fn describe(
    app: &AppState,
    tx: &mut Tx,
    caller: &Caller,
    id: &ReadingRequestId,
) -> Result<dto::ReadingRequestDetail, ApiError> {
    let now_ms = app.now_ms();
    let (scope, role) = (&caller.scope, caller.principal.role);
    let summary = worklist::service::get(app, tx, scope, role, id, now_ms).await?;
    let request = store::get_reading_request(tx, scope, id).await?;
    let context = stored::context_of(&request, now_ms)?;
    let calls = if allows(role, Action::ViewCalls) {
        let calls = load_calls(tx, scope, id, now_ms).await?.into_iter();
        let criticality = most_severe(tx, scope, &request).await?;
        calls
            .map(|call| call.into_dto(criticality, now_ms))
            .collect::<Result<_, StoreError>>()?
    } else {
        Vec::new()
    };
    let (reports, notices) = if allows(role, Action::ViewReport) {
        (
            report_versions(tx, caller, &request).await?,
            notices_of_request(tx, scope, id).await?,
        )
    } else {
        (Vec::new(), Vec::new())
    };
    Ok(dto::ReadingRequestDetail {
        summary,
        clinical_context: context.answers().clone(),
        calls,
        draft: draft_of(tx, caller, &request, now_ms).await?,
        reports,
        events: events_of(tx, caller, id).await?,
        notices,
        contacts: contacts_of(tx, caller, &request).await?,
    })
}

async fn report_versions(
    tx: &mut Tx,
    caller: &Caller,
    request: &ReadingRequest,
) -> Result<Vec<ReportVersion>, StoreError> {
    let Some(report_id) = request.report()? else {
        return Ok(Vec::new());
    };
    let versions = reports::list_report_versions(tx, &caller.scope, &report_id).await?;
    versions
        .into_iter()
        .map(|version| ReportVersion::of(version, request.id.as_str()))
        .collect()
}

/// The draft is for readers of the site that reads.
async fn draft_of(
    tx: &mut Tx,
    caller: &Caller,
    request: &ReadingRequest,
    now_ms: i64,
) -> Result<Option<dto::Draft>, ApiError> {
    let me = &caller.principal;
    if !allows(me.role, Action::WriteDraft) || me.site_id != request.reading_site_id {
        return Ok(None);
    }
    let Some(draft) = store::get_draft(tx, &caller.scope, &request.id).await? else {
        return Ok(None);
    };
    let body = serde_json::from_str(&draft.body).map_err(ApiError::internal)?;
    let facts = gather(tx, &caller.scope, request, now_ms).await?;
    let evaluation = facts.evaluate(&body, now_ms);
    Ok(Some(dto::Draft {
        version: draft.version,
        body,
        author_id: draft.author_id.into(),
        saved_at_ms: draft.saved_at_ms,
        evaluation,
    }))
}

async fn events_of(
    tx: &mut Tx,
    caller: &Caller,
    id: &ReadingRequestId,
) -> Result<Vec<dto::ReadingEvent>, StoreError> {
    let sites: HashMap<String, String> = sites::list_sites(tx, &caller.scope)
        .await?
        .into_iter()
        .map(|site| (String::from(site.id), site.name))
        .collect();
    let event_of = |event: ReadingEvent| {
        let site = event
            .actor_site_id
            .as_ref()
            .and_then(|id| sites.get(id))
            .cloned()
            .unwrap_or_default();
        Ok(dto::ReadingEvent {
            seq: event.seq,
            kind: event.kind,
            at_ms: event.at_ms,
            actor: match (event.actor_name, event.actor_role) {
                (Some(name), Some(role)) => Some(dto::EventActor { name, role, site }),
                _ => None,
            },
            detail: serde_json::from_str(&event.detail)?,
        })
    };
    store::list_reading_events(tx, &caller.scope, id)
        .await?
        .into_iter()
        .map(event_of)
        .collect()
}

/// Whom to call: for the site that reads the number of the request and the people who asked, for the site that asked
/// the reading site and its readers.
async fn contacts_of(
    tx: &mut Tx,
    caller: &Caller,
    request: &ReadingRequest,
) -> Result<Vec<dto::Contact>, StoreError> {
    let mut contacts = Vec::new();
    let reads = caller.principal.site_id == request.reading_site_id;
    let (site_id, role) = if reads {
        (&request.requesting_site_id, Role::Referrer)
    } else {
        (&request.reading_site_id, Role::Reader)
    };
    let site = sites::get_site(tx, &caller.scope, site_id).await?;
    if let (true, Some(number)) = (reads, &request.callback_number) {
        let name = request
            .callback_person
            .clone()
            .unwrap_or_else(|| site.name.clone());
        contacts.push(dto::Contact {
            name,
            role: "callback".to_owned(),
            number: number.clone(),
            site: site.name.clone(),
        });
    }
    let people = users::list_users_at_site(tx, &request.network_id, site_id, role).await?;
    for person in people {
        if let Some(number) = person.phone {
            contacts.push(dto::Contact {
                name: person.name,
                role: person.role.as_str().to_owned(),
                number,
                site: site.name.clone(),
            });
        }
    }
    if let Some(number) = site.phone {
        contacts.push(dto::Contact {
            name: site.name.clone(),
            role: "site".to_owned(),
            number,
            site: site.name,
        });
    }
    Ok(contacts)
}
