//! How a reading request comes into being: its site, its case code, its due times, its first row of history.

use std::collections::HashSet;

use axum::http::StatusCode;
use serde_json::json;
use tancho_domain::access::Scope;
use tancho_domain::case_code;
use tancho_domain::clinical_context::ClinicalContext;
use tancho_domain::findings::Answers;
use tancho_domain::ids::{NetworkId, ReadingRequestId, SiteId};
use tancho_domain::patient::{age_years, wall_clock};
use tancho_domain::reading::StateName;
use tancho_domain::turnaround::Urgency;
use tancho_store::reading::{self as store, ReadingRequest, StudyOfRequest};
use tancho_store::sites::{self, Site};
use tancho_store::users::User;
use tancho_store::{StoreError, Tx};

use super::service::append_event;
use super::stored;
use crate::error::ApiError;
use crate::secrets;
use crate::state::AppState;

/// Who asked.
#[derive(Debug, Clone, Copy)]
pub enum Asked<'a> {
    /// A person in the browser.
    Person(&'a User),
    /// A technologist at a node; the node's id and when the button was pressed by its clock.
    Node(&'a str, i64),
    /// A rule, when the study arrived.
    Rule,
}

/// What a new request is made of.
#[derive(Debug)]
pub struct Opening<'a> {
    /// The site that asks.
    pub requesting_site: &'a Site,
    /// The study asked about.
    pub study_instance_uid: &'a str,
    /// Urgency of the sender.
    pub urgency: Urgency,
    /// Who asked.
    pub asked: Asked<'a>,
    /// What is known so far.
    pub context: ClinicalContext,
    /// Number to call back.
    pub callback_number: Option<String>,
    /// Who answers there.
    pub callback_person: Option<String>,
    /// Physician responsible for the patient.
    pub responsible_physician: Option<String>,
}

/// Why no request can be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenFailure {
    /// The network has no reading site, or several and none is the default.
    #[error("no reading site: set requests.default_reading_site to the code of one")]
    NoReadingSite,
    /// Every case code is held.
    #[error("every case code is in use")]
    NoCaseCode,
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<OpenFailure> for ApiError {
    fn from(failure: OpenFailure) -> Self {
        match failure {
            OpenFailure::Store(error) => error.into(),
            OpenFailure::NoReadingSite => Self::new(
                StatusCode::SERVICE_UNAVAILABLE,
                "no_reading_site",
                failure.to_string(),
            ),
            OpenFailure::NoCaseCode => Self::new(
                StatusCode::SERVICE_UNAVAILABLE,
                "no_case_code",
                failure.to_string(),
            ),
        }
    }
}

/// Stores the request. `Conflict` when the study has an open one; nothing is written then.
pub async fn open(
    app: &AppState,
    tx: &mut Tx,
    scope: &Scope,
    opening: Opening<'_>,
    now_ms: i64,
) -> Result<ReadingRequest, OpenFailure> {
    let network_id = &scope.network_id;
    let reading_site = reading_site_of(app, tx, scope).await?;
    let site_id = &opening.requesting_site.id;
    let study = store::find_study_of_site(tx, network_id, site_id, opening.study_instance_uid).await?;
    let (origin, requested_by_id) = match opening.asked {
        Asked::Person(user) => ("person", Some(user.id.as_str().to_owned())),
        Asked::Node(node_id, _) => ("node", Some(node_id.to_owned())),
        Asked::Rule => ("rule", None),
    };
    let mut request = ReadingRequest {
        id: ReadingRequestId::new(secrets::new_uuid()),
        network_id: network_id.clone(),
        requesting_site_id: site_id.clone(),
        reading_site_id: reading_site.id,
        study_id: None,
        study_instance_uid: opening.study_instance_uid.to_owned(),
        version: 1,
        case_code: free_code(tx, network_id, now_ms).await?,
        case_code_until_ms: None,
        state: StateName::Requested.as_str().to_owned(),
        urgency: opening.urgency.as_str().to_owned(),
        origin: origin.to_owned(),
        requested_at_ms: now_ms,
        requested_by_id,
        clinical_context: "{}".to_owned(),
        context_completed_at_ms: None,
        callback_number: opening.callback_number,
        callback_person: opening.callback_person,
        responsible_physician: opening.responsible_physician,
        open_by_ms: None,
        verbal_by_ms: None,
        written_by_ms: None,
        claim_reader_id: None,
        claimed_at_ms: None,
        claim_lease_until_ms: None,
        first_claimed_at_ms: None,
        reason: None,
        state_detail: "{}".to_owned(),
        criticality: None,
        report_id: None,
        report_status: None,
        report_version: None,
        signed_at_ms: None,
        acknowledged_at_ms: None,
        late_images_at_ms: None,
        closed_at_ms: None,
    };
    set_urgency(app, &mut request, opening.urgency);
    let mut context = opening.context;
    if let Some(study) = &study {
        context = join_study(&mut request, study, context, now_ms)?;
    }
    stored::write_context(&mut request, &context, now_ms)?;
    store::open_reading_request(tx, scope, &request).await?;
    let mut detail = json!({ "origin": origin, "urgency": request.urgency });
    let mut by = None;
    match opening.asked {
        Asked::Person(user) => by = Some(user),
        // The node's clock is a claim; the relay's is what counts.
        Asked::Node(_, pressed_at_ms) => detail["pressed_at_ms"] = json!(pressed_at_ms),
        Asked::Rule => {}
    }
    append_event(tx, scope, &request.id, "opened", by, detail, now_ms)
        .await
        .map_err(OpenFailure::from)?;
    Ok(request)
}

/// Joins a request with its study, whose first head is here: it becomes readable and learns what the header knows.
pub fn join_study(
    request: &mut ReadingRequest,
    study: &StudyOfRequest,
    context: ClinicalContext,
    now_ms: i64,
) -> Result<ClinicalContext, StoreError> {
    request.study_id = Some(study.id.as_str().to_owned());
    let mut domain = stored::domain_of(request)?;
    if domain.first_image_at_ms.is_none() {
        domain.first_image_at_ms = Some(now_ms);
        if domain.state == tancho_domain::reading::State::Requested {
            domain.state = tancho_domain::reading::State::Readable;
        }
        stored::write_state(request, &domain, now_ms)?;
    }
    let scan_at_ms = scan_at_ms(study);
    let age = study
        .patient_birth_date
        .as_deref()
        .and_then(|born| age_years(born, scan_at_ms.unwrap_or(now_ms)));
    Ok(context.with_header(age, study.patient_sex.as_deref(), scan_at_ms))
}

/// Sets urgency and what is due by it.
pub fn set_urgency(app: &AppState, request: &mut ReadingRequest, urgency: Urgency) {
    let due = stored::policy_of(&app.config.turnaround).due(urgency, request.requested_at_ms, None);
    request.urgency = urgency.as_str().to_owned();
    request.open_by_ms = due.open_by_ms;
    request.verbal_by_ms = due.verbal_by_ms;
    request.written_by_ms = Some(due.written_by_ms);
}

/// The site that reads for the network: the configured one, or the only one.
async fn reading_site_of(app: &AppState, tx: &mut Tx, scope: &Scope) -> Result<Site, OpenFailure> {
    if let Some(code) = &app.config.requests.default_reading_site {
        return match sites::find_site_by_code(tx, scope, code).await {
            Ok(site) => Ok(site),
            Err(StoreError::NotFound) => Err(OpenFailure::NoReadingSite),
            Err(other) => Err(other.into()),
        };
    }
    let mut reading = sites::list_sites(tx, scope).await?;
    reading.retain(|site| site.kind.reads());
    match (reading.pop(), reading.is_empty()) {
        (Some(site), true) => Ok(site),
        _ => Err(OpenFailure::NoReadingSite),
    }
}

/// A case code nobody holds.
pub async fn free_code(tx: &mut Tx, network_id: &NetworkId, now_ms: i64) -> Result<String, OpenFailure> {
    let held: HashSet<String> = store::list_held_case_codes(tx, network_id, None, now_ms)
        .await?
        .into_iter()
        .collect();
    let n_open = store::count_open_requests(tx, network_id).await?;
    let mut draw = [0_u8; 4];
    getrandom::fill(&mut draw).map_err(|_| StoreError::Unavailable("no random bytes".to_owned()))?;
    let n_open = usize::try_from(n_open).unwrap_or(usize::MAX);
    let code =
        case_code::free_code(u32::from_be_bytes(draw), n_open, &held).ok_or(OpenFailure::NoCaseCode)?;
    Ok(code.as_str().to_owned())
}

/// When the study was made, by the clock on the wall.
fn scan_at_ms(study: &StudyOfRequest) -> Option<i64> {
    let date = jiff::civil::Date::strptime("%Y%m%d", study.study_date.as_deref()?.trim()).ok()?;
    let time = study.study_time.as_deref()?.get(..6)?;
    let time = jiff::civil::Time::strptime("%H%M%S", time).ok()?;
    Some(
        date.to_datetime(time)
            .to_zoned(wall_clock())
            .ok()?
            .timestamp()
            .as_millisecond(),
    )
}

/// Fields that stand in the form beside the clinical context; taken out of the answers they may come among.
#[derive(Debug, Default)]
pub struct BesideContext {
    /// Number to call back.
    pub callback_number: Option<String>,
    /// Who answers there.
    pub callback_person: Option<String>,
    /// Physician responsible for the patient.
    pub responsible_physician: Option<String>,
    /// Urgency of the sender.
    pub requested_urgency: Option<String>,
}

impl BesideContext {
    /// Takes them out of the answers; empty ones do not count.
    pub fn take(answers: &mut Answers) -> Self {
        let mut take = |id: &str| {
            let text = answers.remove(id)?.as_str()?.trim().to_owned();
            (!text.is_empty()).then_some(text)
        };
        Self {
            callback_number: take("callback_number"),
            callback_person: take("callback_person"),
            responsible_physician: take("responsible_physician"),
            requested_urgency: take("requested_urgency"),
        }
    }
}

/// The site, for those who know its id.
pub async fn site_of(tx: &mut Tx, scope: &Scope, id: &SiteId) -> Result<Site, StoreError> {
    sites::get_site(tx, scope, id).await
}
