//! Reading requests that come with the images: opened by rule at the first head, by a technologist's form from a
//! node, joined when a study arrives that was asked about before, reopened when images come after a signature.

use serde_json::{Value, json};
use tancho_domain::access::{Reach, Scope};
use tancho_domain::clinical_context::{ClinicalContext, PhoneNumber};
use tancho_domain::dicom::{Priority, StudyInstanceUid};
use tancho_domain::findings::Answers;
use tancho_domain::ids::{CommandId, NetworkId, NodeId, SiteId, StudyId, UserId};
use tancho_domain::reading::{Actor, Command};
use tancho_domain::turnaround::Urgency;
use tancho_store::audit::{self, Entry};
use tancho_store::commands::{self, Answer, Begun};
use tancho_store::reading::{self as store, ReadingRequest};
use tancho_store::{StoreError, Tx, reports, users};

use super::opening::{self, Asked, BesideContext, OpenFailure, Opening};
use super::service::{append_event, changed, decide, publish, referrers_of, refused};
use super::stored;
use crate::error::ApiError;
use crate::events::Event;
use crate::notifications::service::{About, notify};
use crate::state::AppState;

/// Suffix of the called AE title that means stat.
const STAT_SUFFIX: &str = "_STAT";

/// A head that has just come, as far as reading requests care.
#[derive(Debug, Clone, Copy)]
pub struct ArrivingHead<'a> {
    /// The tenant.
    pub network_id: &'a NetworkId,
    /// Who sent it.
    pub site_id: &'a SiteId,
    /// The stored study.
    pub study_id: &'a StudyId,
    /// Its UID.
    pub study_instance_uid: &'a StudyInstanceUid,
    /// Whether this head made the instance; a repeat changes nothing.
    pub instance_is_new: bool,
    /// How soon it is needed.
    pub priority: Priority,
    /// Who sent it to the node.
    pub calling_ae: &'a str,
    /// To which title of the node.
    pub called_ae: &'a str,
    /// (0008,0060).
    pub modality: &'a str,
    /// (0018,0015).
    pub body_part: Option<&'a str>,
}

/// What a head means for reading requests, inside the transaction that records it: it joins a request that waited for
/// the study, comes late to a signed one, or opens one by rule. Gives the events to publish after the commit.
pub async fn study_arrived(
    app: &AppState,
    tx: &mut Tx,
    head: &ArrivingHead<'_>,
    now_ms: i64,
) -> Result<Vec<Event>, StoreError> {
    let scope = Scope {
        network_id: head.network_id.clone(),
        reach: Reach::Network,
    };
    let uid = head.study_instance_uid.as_str();
    let open = store::find_open_request_of_study(tx, head.network_id, head.site_id, uid).await?;
    match open {
        Some(request) if request.study_id.is_none() => join(tx, &scope, request, now_ms).await,
        Some(request) if request.report_version.is_some() && head.instance_is_new => {
            late_images(app, tx, &scope, request, now_ms).await
        }
        Some(_) => Ok(Vec::new()),
        None => match store::find_latest_request_of_study(tx, head.network_id, head.site_id, uid).await? {
            Some(request) if request.report_version.is_some() && head.instance_is_new => {
                late_images(app, tx, &scope, request, now_ms).await
            }
            // Withdrawn by a person: the images alone do not ask again.
            Some(_) => Ok(Vec::new()),
            None => match urgency_by_rule(app, head) {
                Some(urgency) => open_automatically(app, tx, head, urgency, now_ms).await,
                None => Ok(Vec::new()),
            },
        },
    }
}

/// The urgency of an arriving study that opens a request by itself: of the first configured rule that matches, or stat
/// by title or priority, whichever is more urgent. A rule never makes less of what was sent as stat.
fn urgency_by_rule(app: &AppState, head: &ArrivingHead<'_>) -> Option<Urgency> {
    let fits = |wanted: &Option<String>, found: &str| {
        wanted
            .as_deref()
            .is_none_or(|wanted| wanted.eq_ignore_ascii_case(found.trim()))
    };
    let by_rule = app.config.requests.open_rules.iter().find(|rule| {
        fits(&rule.called_ae, head.called_ae)
            && fits(&rule.calling_ae, head.calling_ae)
            && fits(&rule.modality, head.modality)
            && fits(&rule.body_part, head.body_part.unwrap_or_default())
    });
    let by_rule = by_rule.and_then(|rule| Urgency::parse(&rule.urgency));
    let stat = head.priority == Priority::Stat || head.called_ae.trim().ends_with(STAT_SUFFIX);
    let by_title = stat.then(|| Urgency::of_arrival(Priority::Stat));
    by_rule.into_iter().chain(by_title).min()
}

/// Opens a request with the site's defaults: its phone as the number to call back. A network that nobody reads for is
/// an alarm in the log, and the images stay.
pub async fn open_automatically(
    app: &AppState,
    tx: &mut Tx,
    head: &ArrivingHead<'_>,
    urgency: Urgency,
    now_ms: i64,
) -> Result<Vec<Event>, StoreError> {
    let scope = Scope {
        network_id: head.network_id.clone(),
        reach: Reach::Network,
    };
    let requesting_site = opening::site_of(tx, &scope, head.site_id).await?;
    let opening = Opening {
        requesting_site: &requesting_site,
        study_instance_uid: head.study_instance_uid.as_str(),
        urgency,
        asked: Asked::Rule,
        context: ClinicalContext::default(),
        callback_number: requesting_site.phone.clone(),
        callback_person: None,
        responsible_physician: None,
    };
    let request = match opening::open(app, tx, &scope, opening, now_ms).await {
        Ok(request) => request,
        Err(OpenFailure::Store(StoreError::Conflict)) => return Ok(Vec::new()),
        Err(OpenFailure::Store(error)) => return Err(error),
        Err(failure) => {
            tracing::error!(site.id = %head.site_id, %failure, "a study waits and no request can be opened for it");
            return Ok(Vec::new());
        }
    };
    if request.callback_number.is_none() {
        tracing::error!(
            reading_request.id = %request.id, site.id = %head.site_id,
            "a reading request was opened without a number to call back; set one with `site add --phone`"
        );
    }
    record(
        tx,
        &request,
        "open_reading_request",
        json!({ "origin": "rule", "urgency": request.urgency }),
        now_ms,
    )
    .await?;
    Ok(changed(&request))
}

/// Joins a request with the study it waited for.
async fn join(
    tx: &mut Tx,
    scope: &Scope,
    mut request: ReadingRequest,
    now_ms: i64,
) -> Result<Vec<Event>, StoreError> {
    let site_id = request.requesting_site_id.clone();
    let uid = request.study_instance_uid.clone();
    let Some(study) = store::find_study_of_site(tx, &scope.network_id, &site_id, &uid).await? else {
        return Ok(Vec::new());
    };
    let context = stored::context_of(&request, now_ms)?;
    let context = opening::join_study(&mut request, &study, context, now_ms)?;
    stored::write_context(&mut request, &context, now_ms)?;
    request.version = store::save_reading_request(tx, scope, request.version, &request).await?;
    append_event(
        tx,
        scope,
        &request.id,
        "first_image_arrived",
        None,
        json!({}),
        now_ms,
    )
    .await?;
    record(tx, &request, "record_arrival", json!({}), now_ms).await?;
    Ok(changed(&request))
}

/// Notes that images came after a signature, once per signature: a final report opens again, and whoever signed it
/// and whoever asked for it is told.
async fn late_images(
    app: &AppState,
    tx: &mut Tx,
    scope: &Scope,
    request: ReadingRequest,
    now_ms: i64,
) -> Result<Vec<Event>, StoreError> {
    if request.late_images_at_ms.is_some() {
        return Ok(Vec::new());
    }
    let (mut next, event) = match decide(app, &request, &Command::LateImages, Actor::Relay, now_ms) {
        Ok(decided) => decided,
        Err(super::service::Decided::Refused(_)) => return Ok(Vec::new()),
        Err(super::service::Decided::Store(error)) => return Err(error),
    };
    next.late_images_at_ms = Some(now_ms);
    if request.closed_at_ms.is_some() {
        let held = store::list_held_case_codes(tx, &scope.network_id, Some(&request.id), now_ms).await?;
        if held.contains(&next.case_code) {
            next.case_code = match opening::free_code(tx, &scope.network_id, now_ms).await {
                Ok(code) => code,
                Err(OpenFailure::Store(error)) => return Err(error),
                Err(failure) => return Err(StoreError::Unavailable(failure.to_string())),
            };
        }
    }
    next.version = store::save_reading_request(tx, scope, request.version, &next).await?;
    append_event(tx, scope, &next.id, event.kind(), None, json!({}), now_ms).await?;
    record(
        tx,
        &next,
        "record_arrival",
        json!({ "late_images": true }),
        now_ms,
    )
    .await?;
    let mut recipients = referrers_of(tx, &next).await?;
    if let Some(report_id) = next.report()? {
        let newest = reports::list_report_versions(tx, scope, &report_id).await?.pop();
        if let Some(version) = newest {
            recipients.insert(
                0,
                users::get_user(tx, &scope.network_id, &version.reader_id).await?,
            );
        }
    }
    let about = About {
        kind: "late_images",
        request: &next,
        report: None,
        criticality: next.criticality.as_deref(),
    };
    let mut events = changed(&next);
    events.extend(notify(app, tx, scope, about, &recipients, now_ms).await?);
    Ok(events)
}

/// Audits an act of the relay itself.
async fn record(
    tx: &mut Tx,
    request: &ReadingRequest,
    action: &str,
    detail: Value,
    now_ms: i64,
) -> Result<(), StoreError> {
    let entry = Entry::by(
        audit::Actor::Relay,
        action,
        "reading_request",
        request.id.as_str(),
    )
    .with_detail(detail);
    audit::append(tx, &request.network_id, entry, now_ms).await?;
    Ok(())
}

/// The node a form comes from, by its certificate.
#[derive(Debug, Clone, Copy)]
pub struct FormOrigin<'a> {
    /// The tenant.
    pub network_id: &'a NetworkId,
    /// The site the node stands at.
    pub site_id: &'a SiteId,
    /// The node.
    pub node_id: &'a NodeId,
}

/// A technologist's form.
#[derive(Debug, Clone, Copy)]
pub struct NodeForm<'a> {
    /// Made by the node when the person pressed the button.
    pub command_id: &'a CommandId,
    /// The study to read.
    pub study_instance_uid: &'a StudyInstanceUid,
    /// Requested urgency.
    pub urgency: &'a str,
    /// Number to call back.
    pub callback_number: &'a str,
    /// Who answers there.
    pub callback_person: &'a str,
    /// Physician responsible for the patient.
    pub responsible_physician: &'a str,
    /// Clinical context, a JSON object by field id.
    pub clinical_context: &'a str,
    /// When the person pressed the button, by the node's clock.
    pub requested_at_ms: i64,
    /// Whether the node made it by a rule and nobody filled it in.
    pub automatic: bool,
}

/// What became of a form.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FormOutcome {
    /// The request is open.
    Accepted {
        /// Its id.
        reading_request_id: String,
        /// What people say on the phone.
        case_code: String,
    },
    /// It was not taken.
    Refused {
        /// Stable code.
        code: String,
        /// For people.
        text: String,
    },
}

/// Carries out a technologist's form in a transaction of its own; the same form again gives the same outcome. A form
/// about a study that has an open request completes that one. Answers that cannot be accepted are left out and named
/// in the history: a form must not be lost for one of them. An error means "not now": the node sends it again.
pub async fn open_from_node(
    app: &AppState,
    origin: FormOrigin<'_>,
    form: NodeForm<'_>,
) -> Result<FormOutcome, ApiError> {
    let now_ms = app.now_ms();
    // A node's form sees what its site sees, nothing of other sites.
    let scope = Scope {
        network_id: origin.network_id.clone(),
        reach: Reach::Site(origin.site_id.clone()),
    };
    let Some(urgency) = Urgency::parse(form.urgency) else {
        return Ok(FormOutcome::Refused {
            code: "urgency_unknown".to_owned(),
            text: "no such urgency".to_owned(),
        });
    };
    let command = commands::Command {
        id: form.command_id.clone(),
        // Commands are kept by who gave them; a node's id is as good as a person's there.
        actor_id: UserId::parse(origin.node_id.as_str()).map_err(ApiError::internal)?,
        name: "open_from_node".to_owned(),
        request_hash: digest_of(&form),
    };
    let mut tx = app.db.write().await?;
    match commands::begin(&mut tx, &scope, &command, now_ms).await {
        Ok(Begun::New) => {}
        Ok(Begun::Repeated(answer)) => return outcome_of(&answer.body),
        Err(StoreError::Conflict) => {
            return Ok(FormOutcome::Refused {
                code: "command_id_reused".to_owned(),
                text: "this command id was used for another form".to_owned(),
            });
        }
        Err(other) => return Err(other.into()),
    }
    let (request, events) = open_or_complete(app, &mut tx, &scope, origin, form, urgency, now_ms).await?;
    let body = json!({ "reading_request_id": request.id, "case_code": request.case_code }).to_string();
    let answer = Answer { status: 201, body };
    commands::finish(&mut tx, &scope, &command.id, &answer).await?;
    let actor = audit::Actor::Node(origin.node_id.as_str().to_owned());
    let entry = Entry::by(
        actor,
        "open_reading_request",
        "reading_request",
        request.id.as_str(),
    )
    .with_detail(json!({ "origin": "node", "urgency": request.urgency }));
    audit::append(&mut tx, origin.network_id, entry, now_ms).await?;
    tx.commit().await?;
    publish(app, events);
    outcome_of(&answer.body)
}

fn outcome_of(body: &str) -> Result<FormOutcome, ApiError> {
    let answer: Value = serde_json::from_str(body).map_err(ApiError::internal)?;
    let text = |field: &str| answer[field].as_str().unwrap_or_default().to_owned();
    Ok(FormOutcome::Accepted {
        reading_request_id: text("reading_request_id"),
        case_code: text("case_code"),
    })
}

fn digest_of(form: &NodeForm<'_>) -> [u8; 32] {
    let text = json!([
        form.study_instance_uid,
        form.urgency,
        form.callback_number,
        form.callback_person,
        form.responsible_physician,
        form.clinical_context,
    ]);
    crate::secrets::digest_of(&text.to_string())
}

async fn open_or_complete(
    app: &AppState,
    tx: &mut Tx,
    scope: &Scope,
    origin: FormOrigin<'_>,
    form: NodeForm<'_>,
    urgency: Urgency,
    now_ms: i64,
) -> Result<(ReadingRequest, Vec<Event>), ApiError> {
    let mut answers: Answers = serde_json::from_str(form.clinical_context).unwrap_or_default();
    let beside = BesideContext::take(&mut answers);
    let site = opening::site_of(tx, scope, origin.site_id).await?;
    let given = |text: &str, other: Option<String>| {
        let text = text.trim();
        if text.is_empty() {
            other
        } else {
            Some(text.to_owned())
        }
    };
    let number = given(form.callback_number, beside.callback_number)
        .and_then(|number| PhoneNumber::parse(&number).ok())
        .map(|number| number.as_str().to_owned());
    let person = given(form.callback_person, beside.callback_person);
    let physician = given(form.responsible_physician, beside.responsible_physician);
    let uid = form.study_instance_uid.as_str();
    let open = store::find_open_request_of_study(tx, origin.network_id, origin.site_id, uid).await?;
    let Some(request) = open else {
        let (context, problems) = ClinicalContext::admit(&answers, now_ms);
        let opening = Opening {
            requesting_site: &site,
            study_instance_uid: uid,
            urgency,
            asked: Asked::Node(origin.node_id.as_str(), form.requested_at_ms),
            context,
            callback_number: number.or_else(|| site.phone.clone()),
            callback_person: person,
            responsible_physician: physician,
        };
        let request = opening::open(app, tx, scope, opening, now_ms).await?;
        name_left_out(tx, scope, &request, &problems, now_ms).await?;
        let events = changed(&request);
        return Ok((request, events));
    };
    if form.automatic {
        return urge_by_rule(app, tx, scope, request, urgency, number, now_ms).await;
    }
    let (mut next, event) =
        decide(app, &request, &Command::CompleteContext, Actor::Relay, now_ms).map_err(refused)?;
    let mut merged = stored::answers_of(&request)?;
    merged.extend(answers);
    let (context, problems) = ClinicalContext::admit(&merged, now_ms);
    opening::set_urgency(app, &mut next, urgency);
    next.callback_number = number.or(next.callback_number);
    next.callback_person = person.or(next.callback_person);
    next.responsible_physician = physician.or(next.responsible_physician);
    stored::write_context(&mut next, &context, now_ms)?;
    next.version = store::save_reading_request(tx, scope, request.version, &next).await?;
    let detail = json!({ "origin": "node", "pressed_at_ms": form.requested_at_ms });
    append_event(tx, scope, &next.id, event.kind(), None, detail, now_ms).await?;
    name_left_out(tx, scope, &next, &problems, now_ms).await?;
    let events = changed(&next);
    Ok((next, events))
}

/// A form that a node made by a rule meets an open request: it makes the request more urgent or gives it a number to
/// call, and takes nothing back that a person has set.
async fn urge_by_rule(
    app: &AppState,
    tx: &mut Tx,
    scope: &Scope,
    request: ReadingRequest,
    urgency: Urgency,
    number: Option<String>,
    now_ms: i64,
) -> Result<(ReadingRequest, Vec<Event>), ApiError> {
    let mut next = request.clone();
    if Urgency::parse(&request.urgency).is_none_or(|set| urgency < set) {
        opening::set_urgency(app, &mut next, urgency);
    }
    if next.callback_number.is_none() {
        next.callback_number = number;
        let context = stored::context_of(&next, now_ms)?;
        stored::write_context(&mut next, &context, now_ms)?;
    }
    if next == request {
        return Ok((request, Vec::new()));
    }
    next.version = store::save_reading_request(tx, scope, request.version, &next).await?;
    let events = changed(&next);
    Ok((next, events))
}

/// Notes in the history which answers of a form could not be accepted, by field and code.
async fn name_left_out(
    tx: &mut Tx,
    scope: &Scope,
    request: &ReadingRequest,
    problems: &[tancho_domain::findings::Problem],
    now_ms: i64,
) -> Result<(), ApiError> {
    let invalid = problems
        .iter()
        .filter(|problem| problem.severity == tancho_domain::findings::Severity::Invalid);
    let left_out: Vec<Value> = invalid
        .map(|problem| json!({ "field": problem.field, "code": problem.code }))
        .collect();
    if !left_out.is_empty() {
        let detail = json!({ "left_out": left_out });
        append_event(tx, scope, &request.id, "answers_left_out", None, detail, now_ms).await?;
    }
    Ok(())
}
