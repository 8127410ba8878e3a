//! Commands on a reading request: load, let the domain decide, save, write history and audit.

use serde_json::{Value, json};
use tancho_domain::access::{Role, Scope};
use tancho_domain::ids::{ReadingRequestId, SiteId, UserId};
use tancho_domain::reading::{self as domain, Actor, Command, Context, Refusal};
use tancho_store::audit::{self, Entry};
use tancho_store::reading::{self as store, ReadingEvent, ReadingRequest};
use tancho_store::users::{self, User};
use tancho_store::{StoreError, Tx};

use super::{opening, stored};
use crate::error::ApiError;
use crate::events::{Audience, Event};
use crate::http::caller::Caller;
use crate::notifications::service::{About, notify};
use crate::state::AppState;

/// Times a command is decided anew when somebody else was faster.
const DECISIONS_MAX: u32 = 4;

/// A command that was carried out.
#[derive(Debug)]
pub struct Applied {
    /// The request as saved.
    pub request: ReadingRequest,
    /// What happened, in the domain's terms.
    pub event: domain::Event,
    /// To be published after the commit.
    pub events: Vec<Event>,
}

/// Carries out a command of a person. `edit` changes what the domain does not decide, once it has allowed the rest.
pub async fn apply(
    app: &AppState,
    tx: &mut Tx,
    caller: &Caller,
    id: &ReadingRequestId,
    command: &Command,
    mut edit: impl FnMut(&mut ReadingRequest, &domain::Event) -> Result<(), ApiError>,
) -> Result<Applied, ApiError> {
    let now_ms = app.now_ms();
    let actor = Actor::Person(&caller.principal);
    let mut decisions = 0;
    let (request, event) = loop {
        let row = store::get_reading_request(tx, &caller.scope, id).await?;
        let (mut next, event) = decide(app, &row, command, actor, now_ms).map_err(refused)?;
        edit(&mut next, &event)?;
        keep_code_free(tx, &row, &mut next, now_ms).await?;
        match store::save_reading_request(tx, &caller.scope, row.version, &next).await {
            Ok(version) => {
                next.version = version;
                break (next, event);
            }
            // Somebody else was faster: the rules decide again about what is there now.
            Err(StoreError::Stale) if decisions < DECISIONS_MAX => decisions += 1,
            Err(other) => return Err(other.into()),
        }
    };
    let detail = detail_of(&event);
    let me = users::get_user(tx, &caller.scope.network_id, &caller.principal.user_id).await?;
    let mut history = detail.clone();
    if let Command::Return { reason } | Command::Cancel { reason } = command {
        history["reason"] = json!(reason);
    }
    append_event(tx, &caller.scope, id, event.kind(), Some(&me), history, now_ms).await?;
    let entry = Entry::done(
        &caller.principal,
        action_name(command),
        "reading_request",
        id.as_str(),
    )
    .with_detail(detail)
    .with_request_id(&caller.request_id);
    audit::append(tx, &caller.scope.network_id, entry, now_ms).await?;
    let events = changed(&request);
    Ok(Applied {
        request,
        event,
        events,
    })
}

/// Lets the domain decide about a row; gives the row it becomes.
pub fn decide(
    app: &AppState,
    row: &ReadingRequest,
    command: &Command,
    actor: Actor<'_>,
    now_ms: i64,
) -> Result<(ReadingRequest, domain::Event), Decided> {
    let context = Context {
        actor,
        now_ms,
        lease_ms: app.config.requests.claim_lease_ms,
    };
    let (decided, event) = domain::apply(&stored::domain_of(row)?, command, &context)?;
    let mut next = row.clone();
    stored::write_state(&mut next, &decided, now_ms)?;
    Ok((next, event))
}

/// Why a command was not carried out.
#[derive(Debug, thiserror::Error)]
pub enum Decided {
    /// A rule forbids it.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The row cannot be read.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// A refusal as the API says it.
#[must_use]
pub fn refused(decided: Decided) -> ApiError {
    let refusal = match decided {
        Decided::Store(error) => return error.into(),
        Decided::Refused(refusal) => refusal,
    };
    let detail = refusal.to_string();
    match refusal {
        Refusal::NotAllowed => ApiError::new(axum::http::StatusCode::FORBIDDEN, refusal.code(), detail),
        Refusal::ReasonRequired => ApiError::unprocessable(refusal.code(), detail),
        Refusal::AlreadyClaimed
        | Refusal::NotClaimed
        | Refusal::WrongState(_)
        | Refusal::NotNewestVersion => ApiError::conflict(refusal.code(), detail),
    }
}

/// A request that opens again after its code went to another one gets a new code.
async fn keep_code_free(
    tx: &mut Tx,
    row: &ReadingRequest,
    next: &mut ReadingRequest,
    now_ms: i64,
) -> Result<(), ApiError> {
    if row.closed_at_ms.is_some() && next.closed_at_ms.is_none() {
        let held = store::list_held_case_codes(tx, &row.network_id, Some(&row.id), now_ms).await?;
        if held.contains(&row.case_code) {
            next.case_code = opening::free_code(tx, &row.network_id, now_ms).await?;
        }
    }
    Ok(())
}

/// Renews the lease of the caller's claim; not a change anyone else has to see.
pub async fn heartbeat(
    app: &AppState,
    tx: &mut Tx,
    caller: &Caller,
    id: &ReadingRequestId,
) -> Result<(), ApiError> {
    let now_ms = app.now_ms();
    let row = store::get_reading_request(tx, &caller.scope, id).await?;
    let actor = Actor::Person(&caller.principal);
    let (next, _) = decide(app, &row, &Command::Heartbeat, actor, now_ms).map_err(refused)?;
    let until_ms = next.claim_lease_until_ms.unwrap_or(now_ms);
    store::extend_claim(tx, &caller.scope, id, &caller.principal.user_id, until_ms).await?;
    Ok(())
}

/// Sends a request back and tells the people who can complete it.
pub async fn send_back(
    app: &AppState,
    tx: &mut Tx,
    caller: &Caller,
    id: &ReadingRequestId,
    reason: String,
) -> Result<Applied, ApiError> {
    let mut applied = apply(app, tx, caller, id, &Command::Return { reason }, |_, _| Ok(())).await?;
    let network_id = &caller.scope.network_id;
    let site_id = &applied.request.requesting_site_id;
    let mut recipients = users::list_users_at_site(tx, network_id, site_id, Role::Technologist).await?;
    recipients.extend(users::list_users_at_site(tx, network_id, site_id, Role::Referrer).await?);
    let about = About {
        kind: "returned",
        request: &applied.request,
        report: None,
        criticality: None,
    };
    let told = notify(app, tx, &caller.scope, about, &recipients, app.now_ms()).await?;
    applied.events.extend(told);
    Ok(applied)
}

/// The referring physicians of a site; the one responsible for the patient first.
pub async fn referrers_of(tx: &mut Tx, request: &ReadingRequest) -> Result<Vec<User>, StoreError> {
    let site_id = &request.requesting_site_id;
    let mut users = users::list_users_at_site(tx, &request.network_id, site_id, Role::Referrer).await?;
    let responsible = request.responsible_physician.as_deref().map(without_spaces);
    users.sort_by_key(|user| responsible.as_deref() != Some(without_spaces(&user.name).as_str()));
    Ok(users)
}

/// A name as typed and the name of a login differ by spaces more often than not.
fn without_spaces(name: &str) -> String {
    name.chars().filter(|c| !c.is_whitespace()).collect()
}

/// Appends to the request's history. `by` is the person, none for the relay's own acts.
pub async fn append_event(
    tx: &mut Tx,
    scope: &Scope,
    id: &ReadingRequestId,
    kind: &str,
    by: Option<&User>,
    detail: Value,
    now_ms: i64,
) -> Result<(), StoreError> {
    let event = ReadingEvent {
        seq: 0,
        kind: kind.to_owned(),
        at_ms: now_ms,
        actor_id: by.map(|user| user.id.as_str().to_owned()),
        actor_name: by.map(|user| user.name.clone()),
        actor_role: by.map(|user| user.role.as_str().to_owned()),
        actor_site_id: by.map(|user| user.site_id.as_str().to_owned()),
        detail: detail.to_string(),
    };
    store::append_reading_event(tx, scope, id, &event).await?;
    Ok(())
}

/// Tells both sites that a request changed.
#[must_use]
pub fn changed(request: &ReadingRequest) -> Vec<Event> {
    let sites: Vec<SiteId> = vec![
        request.requesting_site_id.clone(),
        request.reading_site_id.clone(),
    ];
    let event = |name: &'static str, data: Value| Event {
        network_id: request.network_id.clone(),
        audience: Audience::Sites(sites.clone()),
        name,
        data,
    };
    vec![
        event("worklist", json!({ "reading_request_id": request.id })),
        event(
            "reading_request",
            json!({ "id": request.id, "version": request.version }),
        ),
    ]
}

/// Publishes after the commit, and wakes the workers of the outbox.
pub fn publish(app: &AppState, events: Vec<Event>) {
    events.into_iter().for_each(|event| app.events.publish(event));
    app.jobs_waiting.notify_one();
}

/// Whether the caller holds the claim on the request.
pub fn ensure_holder(request: &ReadingRequest, me: &UserId, now_ms: i64) -> Result<(), ApiError> {
    let domain = stored::domain_of(request)?;
    match domain.state.claim() {
        Some(claim) if claim.reader == *me => Ok(()),
        Some(claim) if claim.holds(now_ms) => Err(refused(Refusal::AlreadyClaimed.into())),
        _ => Err(refused(Refusal::NotClaimed.into())),
    }
}

fn action_name(command: &Command) -> &'static str {
    match domain::action_of(command) {
        Some(action) => action.as_str(),
        None => "record_arrival",
    }
}

/// Ids and codes only. A reason is free text and may name the patient: the history has it, the audit trail has not.
fn detail_of(event: &domain::Event) -> Value {
    match event {
        domain::Event::Claimed {
            instead_of: Some(user_id),
        } => json!({ "instead_of": user_id }),
        domain::Event::ReportSigned {
            version,
            status,
            criticality,
        } => {
            json!({ "version": version, "status": status.as_str(), "criticality": criticality.as_str() })
        }
        domain::Event::ReportAcknowledged { version, action } => {
            json!({ "version": version, "action_taken": action.as_str() })
        }
        domain::Event::LateImagesArrived { reopened } => json!({ "reopened": reopened }),
        _ => json!({}),
    }
}
