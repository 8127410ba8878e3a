//! Reading requests: one row per request, changed only by compare-and-set on its version, with its events beside it.
//!
//! What a change may be is decided in `tancho_domain::reading`; this module keeps what was decided.
//! Whoever is at neither the requesting nor the reading site finds nothing here.

use tancho_domain::access::{Reach, Scope};
use tancho_domain::ids::{NetworkId, ReadingRequestId, ReportId, SiteId, StudyId, UserId};

use crate::db::Tx;
use crate::error::{StoreError, one_row};
use crate::studies::Withheld;

/// The site a person's reach is narrowed to; `None` means the whole network.
pub(crate) fn site_of_reach(scope: &Scope) -> Option<&str> {
    match &scope.reach {
        Reach::Network => None,
        Reach::Site(site_id) => Some(site_id.as_str()),
    }
}

macro_rules! request_columns {
    () => {
        "r.id, r.network_id, r.requesting_site_id, r.reading_site_id, r.study_id, r.study_instance_uid, r.version, \
         r.case_code, r.case_code_until_ms, r.state, r.urgency, r.origin, r.requested_at_ms, r.requested_by_id, \
         r.clinical_context, r.context_completed_at_ms, r.callback_number, r.callback_person, \
         r.responsible_physician, r.open_by_ms, r.verbal_by_ms, r.written_by_ms, r.claim_reader_id, \
         r.claimed_at_ms, r.claim_lease_until_ms, r.first_claimed_at_ms, r.reason, r.state_detail, r.criticality, \
         r.report_id, r.report_status, r.report_version, r.signed_at_ms, r.acknowledged_at_ms, \
         r.late_images_at_ms, r.closed_at_ms"
    };
}
pub(crate) use request_columns;

/// A reading request as stored. Documents are JSON text.
#[derive(Debug, Clone, PartialEq, Eq, sqlx::FromRow)]
pub struct ReadingRequest {
    /// Its id.
    #[sqlx(try_from = "String")]
    pub id: ReadingRequestId,
    /// The tenant.
    #[sqlx(try_from = "String")]
    pub network_id: NetworkId,
    /// Who asks.
    #[sqlx(try_from = "String")]
    pub requesting_site_id: SiteId,
    /// Who reads.
    #[sqlx(try_from = "String")]
    pub reading_site_id: SiteId,
    /// The stored study, once its first head is here (a `StudyId`).
    pub study_id: Option<String>,
    /// The study asked about.
    pub study_instance_uid: String,
    /// Grows by one with every change.
    pub version: i64,
    /// What people say on the phone.
    pub case_code: String,
    /// After closing: until when nobody else gets the code.
    pub case_code_until_ms: Option<i64>,
    /// State, as `tancho_domain::reading` names it.
    pub state: String,
    /// Urgency of the sender.
    pub urgency: String,
    /// `person`, `node` or `rule`.
    pub origin: String,
    /// When it was asked.
    pub requested_at_ms: i64,
    /// The person or node that asked.
    pub requested_by_id: Option<String>,
    /// Clinical context (clinical.md 1.1) as JSON text.
    pub clinical_context: String,
    /// Since when nothing required is missing in it.
    pub context_completed_at_ms: Option<i64>,
    /// Number to call back.
    pub callback_number: Option<String>,
    /// Who answers there.
    pub callback_person: Option<String>,
    /// The physician responsible for the patient.
    pub responsible_physician: Option<String>,
    /// A reader opens it until then.
    pub open_by_ms: Option<i64>,
    /// First answer by voice until then.
    pub verbal_by_ms: Option<i64>,
    /// Written answer until then.
    pub written_by_ms: Option<i64>,
    /// Who holds the claim (a `UserId`).
    pub claim_reader_id: Option<String>,
    /// Since when.
    pub claimed_at_ms: Option<i64>,
    /// Until when, without a further heartbeat.
    pub claim_lease_until_ms: Option<i64>,
    /// When a reader first opened it.
    pub first_claimed_at_ms: Option<i64>,
    /// Why it was returned or cancelled.
    pub reason: Option<String>,
    /// Data of the state that no query asks for, as JSON text.
    pub state_detail: String,
    /// Criticality of the newest signed version.
    pub criticality: Option<String>,
    /// The report (a `ReportId`).
    pub report_id: Option<String>,
    /// Status of the newest signed version.
    pub report_status: Option<String>,
    /// Number of the newest signed version.
    pub report_version: Option<i64>,
    /// When it was signed.
    pub signed_at_ms: Option<i64>,
    /// When the newest version was first acknowledged.
    pub acknowledged_at_ms: Option<i64>,
    /// When images came after a signature.
    pub late_images_at_ms: Option<i64>,
    /// Since when nothing more is expected.
    pub closed_at_ms: Option<i64>,
}

impl ReadingRequest {
    /// The stored study, once its first head is here.
    pub fn study(&self) -> Result<Option<StudyId>, StoreError> {
        Ok(self.study_id.as_deref().map(StudyId::parse).transpose()?)
    }

    /// Who holds the claim.
    pub fn claim_reader(&self) -> Result<Option<UserId>, StoreError> {
        Ok(self.claim_reader_id.as_deref().map(UserId::parse).transpose()?)
    }

    /// The report.
    pub fn report(&self) -> Result<Option<ReportId>, StoreError> {
        Ok(self.report_id.as_deref().map(ReportId::parse).transpose()?)
    }
}

/// Stores a new request. `Conflict` when its case code is held, or the study has an open request already.
pub async fn open_reading_request(
    tx: &mut Tx,
    scope: &Scope,
    new: &ReadingRequest,
) -> Result<(), StoreError> {
    let opened = execute!(
        tx,
        "insert into reading_requests (id, network_id, requesting_site_id, reading_site_id, study_id, \
         study_instance_uid, version, case_code, case_code_until_ms, state, urgency, origin, requested_at_ms, \
         requested_by_id, clinical_context, context_completed_at_ms, callback_number, callback_person, \
         responsible_physician, open_by_ms, verbal_by_ms, written_by_ms, claim_reader_id, claimed_at_ms, \
         claim_lease_until_ms, first_claimed_at_ms, reason, state_detail, criticality, report_id, report_status, \
         report_version, signed_at_ms, acknowledged_at_ms, late_images_at_ms, closed_at_ms) \
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21, \
         $22, $23, $24, $25, $26, $27, $28, $29, $30, $31, $32, $33, $34, $35, $36) on conflict do nothing",
        new.id.as_str(),
        scope.network_id.as_str(),
        new.requesting_site_id.as_str(),
        new.reading_site_id.as_str(),
        new.study_id.as_deref(),
        new.study_instance_uid.as_str(),
        new.version,
        new.case_code.as_str(),
        new.case_code_until_ms,
        new.state.as_str(),
        new.urgency.as_str(),
        new.origin.as_str(),
        new.requested_at_ms,
        new.requested_by_id.as_deref(),
        new.clinical_context.as_str(),
        new.context_completed_at_ms,
        new.callback_number.as_deref(),
        new.callback_person.as_deref(),
        new.responsible_physician.as_deref(),
        new.open_by_ms,
        new.verbal_by_ms,
        new.written_by_ms,
        new.claim_reader_id.as_deref(),
        new.claimed_at_ms,
        new.claim_lease_until_ms,
        new.first_claimed_at_ms,
        new.reason.as_deref(),
        new.state_detail.as_str(),
        new.criticality.as_deref(),
        new.report_id.as_deref(),
        new.report_status.as_deref(),
        new.report_version,
        new.signed_at_ms,
        new.acknowledged_at_ms,
        new.late_images_at_ms,
        new.closed_at_ms
    )?;
    // Told by the count and not by an error, which would end the whole transaction on PostgreSQL.
    one_row(opened, StoreError::Conflict)
}

/// One request within reach.
pub async fn get_reading_request(
    tx: &mut Tx,
    scope: &Scope,
    id: &ReadingRequestId,
) -> Result<ReadingRequest, StoreError> {
    fetch_one!(
        tx,
        ReadingRequest,
        concat!(
            "select ",
            request_columns!(),
            " from reading_requests r where r.network_id = $1 and r.id = $2 \
             and ($3 is null or r.requesting_site_id = $3 or r.reading_site_id = $3)"
        ),
        scope.network_id.as_str(),
        id.as_str(),
        site_of_reach(scope)
    )
}

/// The open request of a site about a study, if there is one. For the relay's own rules: not narrowed by reach.
pub async fn find_open_request_of_study(
    tx: &mut Tx,
    network_id: &NetworkId,
    requesting_site_id: &SiteId,
    study_instance_uid: &str,
) -> Result<Option<ReadingRequest>, StoreError> {
    fetch_optional!(
        tx,
        ReadingRequest,
        concat!(
            "select ",
            request_columns!(),
            " from reading_requests r where r.network_id = $1 and r.requesting_site_id = $2 \
             and r.study_instance_uid = $3 and r.closed_at_ms is null"
        ),
        network_id.as_str(),
        requesting_site_id.as_str(),
        study_instance_uid
    )
}

/// The newest request of a site about a study, open or closed. For the relay's own rules: not narrowed by reach.
pub async fn find_latest_request_of_study(
    tx: &mut Tx,
    network_id: &NetworkId,
    requesting_site_id: &SiteId,
    study_instance_uid: &str,
) -> Result<Option<ReadingRequest>, StoreError> {
    fetch_optional!(
        tx,
        ReadingRequest,
        concat!(
            "select ",
            request_columns!(),
            " from reading_requests r where r.network_id = $1 and r.requesting_site_id = $2 \
             and r.study_instance_uid = $3 order by r.requested_at_ms desc, r.id desc limit 1"
        ),
        network_id.as_str(),
        requesting_site_id.as_str(),
        study_instance_uid
    )
}

/// Writes the new state of a request that was read at version `seen_version`, and gives it the next version.
/// `Stale` when somebody else was faster, `NotFound` out of reach, `Conflict` when it opens again and its case code is
/// held by another one. A request that is open holds its code.
pub async fn save_reading_request(
    tx: &mut Tx,
    scope: &Scope,
    seen_version: i64,
    new: &ReadingRequest,
) -> Result<i64, StoreError> {
    let saved = execute!(
        tx,
        "update reading_requests set version = version + 1, study_id = $5, state = $6, urgency = $7, \
         clinical_context = $8, context_completed_at_ms = $9, callback_number = $10, callback_person = $11, \
         responsible_physician = $12, open_by_ms = $13, verbal_by_ms = $14, written_by_ms = $15, \
         claim_reader_id = $16, claimed_at_ms = $17, claim_lease_until_ms = $18, first_claimed_at_ms = $19, \
         reason = $20, state_detail = $21, criticality = $22, report_id = $23, report_status = $24, \
         report_version = $25, signed_at_ms = $26, acknowledged_at_ms = $27, late_images_at_ms = $28, \
         closed_at_ms = $29, case_code_until_ms = $30, case_code = $31, \
         case_code_freed_at_ms = case when $29 is null then null else case_code_freed_at_ms end \
         where network_id = $1 and id = $2 and version = $3 \
         and ($4 is null or requesting_site_id = $4 or reading_site_id = $4)",
        scope.network_id.as_str(),
        new.id.as_str(),
        seen_version,
        site_of_reach(scope),
        new.study_id.as_deref(),
        new.state.as_str(),
        new.urgency.as_str(),
        new.clinical_context.as_str(),
        new.context_completed_at_ms,
        new.callback_number.as_deref(),
        new.callback_person.as_deref(),
        new.responsible_physician.as_deref(),
        new.open_by_ms,
        new.verbal_by_ms,
        new.written_by_ms,
        new.claim_reader_id.as_deref(),
        new.claimed_at_ms,
        new.claim_lease_until_ms,
        new.first_claimed_at_ms,
        new.reason.as_deref(),
        new.state_detail.as_str(),
        new.criticality.as_deref(),
        new.report_id.as_deref(),
        new.report_status.as_deref(),
        new.report_version,
        new.signed_at_ms,
        new.acknowledged_at_ms,
        new.late_images_at_ms,
        new.closed_at_ms,
        new.case_code_until_ms,
        new.case_code.as_str()
    )?;
    if saved == 1 {
        return Ok(seen_version + 1);
    }
    get_reading_request(tx, scope, &new.id).await?;
    Err(StoreError::Stale)
}

/// Keeps a claim alive without a new version: a heartbeat is not a change anyone has to see. `Stale` when the
/// reader no longer holds the claim.
pub async fn extend_claim(
    tx: &mut Tx,
    scope: &Scope,
    id: &ReadingRequestId,
    reader_id: &UserId,
    lease_until_ms: i64,
) -> Result<(), StoreError> {
    let extended = execute!(
        tx,
        "update reading_requests set claim_lease_until_ms = $4 \
         where network_id = $1 and id = $2 and claim_reader_id = $3",
        scope.network_id.as_str(),
        id.as_str(),
        reader_id.as_str(),
        lease_until_ms
    )?;
    one_row(extended, StoreError::Stale)
}

/// The case codes nobody else may get now: those of open requests, and of requests closed less than a day ago. Codes
/// whose time has passed are freed first. `except` is a request whose own code does not count.
pub async fn list_held_case_codes(
    tx: &mut Tx,
    network_id: &NetworkId,
    except: Option<&ReadingRequestId>,
    now_ms: i64,
) -> Result<Vec<String>, StoreError> {
    execute!(
        tx,
        "update reading_requests set case_code_freed_at_ms = $2 \
         where network_id = $1 and case_code_freed_at_ms is null and case_code_until_ms <= $2",
        network_id.as_str(),
        now_ms
    )?;
    let codes = fetch_all!(
        tx,
        (String,),
        "select case_code from reading_requests where network_id = $1 and case_code_freed_at_ms is null \
         and ($2 is null or id <> $2)",
        network_id.as_str(),
        except.map(ReadingRequestId::as_str)
    )?;
    Ok(codes.into_iter().map(|(code,)| code).collect())
}

/// How many requests of the network are open, for the length of new case codes.
pub async fn count_open_requests(tx: &mut Tx, network_id: &NetworkId) -> Result<i64, StoreError> {
    let text = "select count(*) from reading_requests where network_id = $1 and closed_at_ms is null";
    let (n_open,) = fetch_one!(tx, (i64,), text, network_id.as_str())?;
    Ok(n_open)
}

/// Something that happened to a request. The detail holds ids and codes, as JSON text.
#[derive(Debug, Clone, PartialEq, Eq, sqlx::FromRow)]
pub struct ReadingEvent {
    /// Position, from 1.
    pub seq: i64,
    /// What: `claimed`, `report_signed`.
    pub kind: String,
    /// When.
    pub at_ms: i64,
    /// The person or node, absent for the relay's own acts.
    pub actor_id: Option<String>,
    /// Its name when it acted.
    pub actor_name: Option<String>,
    /// Its role when it acted.
    pub actor_role: Option<String>,
    /// Its site when it acted.
    pub actor_site_id: Option<String>,
    /// JSON text.
    pub detail: String,
}

/// Appends an event; its `seq` is given here.
pub async fn append_reading_event(
    tx: &mut Tx,
    scope: &Scope,
    id: &ReadingRequestId,
    event: &ReadingEvent,
) -> Result<i64, StoreError> {
    let (seq,) = fetch_one!(
        tx,
        (i64,),
        "insert into reading_events (reading_request_id, seq, network_id, kind, at_ms, actor_id, actor_name, \
         actor_role, actor_site_id, detail) \
         select $1, coalesce(max(seq), 0) + 1, $2, $3, $4, $5, $6, $7, $8, $9 from reading_events \
         where reading_request_id = $1 returning seq",
        id.as_str(),
        scope.network_id.as_str(),
        event.kind.as_str(),
        event.at_ms,
        event.actor_id.as_deref(),
        event.actor_name.as_deref(),
        event.actor_role.as_deref(),
        event.actor_site_id.as_deref(),
        event.detail.as_str()
    )?;
    Ok(seq)
}

/// Everything that happened to a request within reach, oldest first.
pub async fn list_reading_events(
    tx: &mut Tx,
    scope: &Scope,
    id: &ReadingRequestId,
) -> Result<Vec<ReadingEvent>, StoreError> {
    fetch_all!(
        tx,
        ReadingEvent,
        "select e.seq, e.kind, e.at_ms, e.actor_id, e.actor_name, e.actor_role, e.actor_site_id, e.detail \
         from reading_events e join reading_requests r on r.id = e.reading_request_id \
         where r.network_id = $1 and r.id = $2 \
         and ($3 is null or r.requesting_site_id = $3 or r.reading_site_id = $3) order by e.seq",
        scope.network_id.as_str(),
        id.as_str(),
        site_of_reach(scope)
    )
}

/// That a request was sent back for information.
#[derive(Debug, Clone, PartialEq, Eq, sqlx::FromRow)]
pub struct Return {
    /// When.
    pub at_ms: i64,
    /// Name then of who did.
    pub by: String,
}

/// When a request was last sent back, and by whom. For the relay's own telling: not narrowed by reach.
pub async fn find_last_return(tx: &mut Tx, id: &ReadingRequestId) -> Result<Option<Return>, StoreError> {
    fetch_optional!(
        tx,
        Return,
        "select at_ms, coalesce(actor_name, '') as by from reading_events \
         where reading_request_id = $1 and kind = 'returned' order by seq desc limit 1",
        id.as_str()
    )
}

/// The detail of the event that names what was left out of the newest answers of a request, if some was. For the
/// relay's own telling: not narrowed by reach.
pub async fn find_left_out(tx: &mut Tx, id: &ReadingRequestId) -> Result<Option<String>, StoreError> {
    let newest = fetch_optional!(
        tx,
        (String, String),
        "select kind, detail from reading_events where reading_request_id = $1 \
         and kind in ('opened', 'context_completed', 'answers_left_out') order by seq desc limit 1",
        id.as_str()
    )?;
    Ok(newest
        .filter(|(kind, _)| kind == "answers_left_out")
        .map(|(_, detail)| detail))
}

/// The studies a site has asked about, the newest request first. For the relay's own telling: not narrowed by reach.
pub async fn list_requested_studies(
    tx: &mut Tx,
    network_id: &NetworkId,
    requesting_site_id: &SiteId,
    limit: i64,
) -> Result<Vec<String>, StoreError> {
    let rows = fetch_all!(
        tx,
        (String,),
        "select study_instance_uid from reading_requests where network_id = $1 and requesting_site_id = $2 \
         group by study_instance_uid order by max(requested_at_ms) desc, study_instance_uid limit $3",
        network_id.as_str(),
        requesting_site_id.as_str(),
        limit
    )?;
    Ok(rows.into_iter().map(|(uid,)| uid).collect())
}

/// What a request needs to know of its study.
#[derive(Debug, Clone, PartialEq, Eq, sqlx::FromRow)]
pub struct StudyOfRequest {
    /// The stored study.
    #[sqlx(try_from = "String")]
    pub id: StudyId,
    /// Who sent it.
    #[sqlx(try_from = "String")]
    pub site_id: SiteId,
    /// Its UID.
    pub study_instance_uid: String,
    /// Instances whose head is here.
    pub n_received: i64,
    /// Instances that are whole and durable.
    pub n_verified: i64,
    /// Instances the agent has announced.
    pub announced_instances: Option<i64>,
    /// When the agent closed it.
    pub closed_at_ms: Option<i64>,
    /// Instances that stay at the site.
    #[sqlx(try_from = "String")]
    pub withheld: Withheld,
    /// When the newest head came.
    pub last_arrival_at_ms: i64,
    /// `YYYYMMDD`.
    pub patient_birth_date: Option<String>,
    /// Patient's Sex (0010,0040).
    pub patient_sex: Option<String>,
    /// `YYYYMMDD`.
    pub study_date: Option<String>,
    /// `HHMMSS.FFFFFF`.
    pub study_time: Option<String>,
}

/// The study of a site with this UID. For the relay's own rules and the requesting site: the site is part of the
/// question, reach is not asked again.
pub async fn find_study_of_site(
    tx: &mut Tx,
    network_id: &NetworkId,
    site_id: &SiteId,
    study_instance_uid: &str,
) -> Result<Option<StudyOfRequest>, StoreError> {
    fetch_optional!(
        tx,
        StudyOfRequest,
        "select id, site_id, study_instance_uid, n_received, n_verified, announced_instances, closed_at_ms, \
         withheld, last_arrival_at_ms, patient_birth_date, patient_sex, study_date, study_time from studies where network_id = $1 and site_id = $2 and study_instance_uid = $3",
        network_id.as_str(),
        site_id.as_str(),
        study_instance_uid
    )
}

/// A study by its id, whoever sent it inside the network.
pub async fn get_study_of_request(
    tx: &mut Tx,
    network_id: &NetworkId,
    study_id: &StudyId,
) -> Result<StudyOfRequest, StoreError> {
    fetch_one!(
        tx,
        StudyOfRequest,
        "select id, site_id, study_instance_uid, n_received, n_verified, announced_instances, closed_at_ms, \
         withheld, last_arrival_at_ms, patient_birth_date, patient_sex, study_date, study_time from studies where network_id = $1 and id = $2",
        network_id.as_str(),
        study_id.as_str()
    )
}

/// The digests of the displayed instances of a study that are whole, in order of SOP Instance UID: what a signature
/// is bound to.
pub async fn list_instance_digests(
    tx: &mut Tx,
    network_id: &NetworkId,
    study_id: &StudyId,
) -> Result<Vec<(String, String)>, StoreError> {
    fetch_all!(
        tx,
        (String, String),
        "select sop_instance_uid, original_sha256 from instances \
         where network_id = $1 and study_id = $2 and revision = 1 and state = 'verified' order by sop_instance_uid",
        network_id.as_str(),
        study_id.as_str()
    )
}

/// The SOP Instance UIDs of the displayed instances of a study, whole or not.
pub async fn list_instance_uids(
    tx: &mut Tx,
    network_id: &NetworkId,
    study_id: &StudyId,
) -> Result<Vec<String>, StoreError> {
    let rows = fetch_all!(
        tx,
        (String,),
        "select sop_instance_uid from instances \
         where network_id = $1 and study_id = $2 and revision = 1 and state <> 'held' order by sop_instance_uid",
        network_id.as_str(),
        study_id.as_str()
    )?;
    Ok(rows.into_iter().map(|(uid,)| uid).collect())
}

/// A draft of a report. The body is JSON text.
#[derive(Debug, Clone, PartialEq, Eq, sqlx::FromRow)]
pub struct Draft {
    /// Grows by one with every save.
    pub version: i64,
    /// JSON text.
    pub body: String,
    /// Who saved it.
    #[sqlx(try_from = "String")]
    pub author_id: UserId,
    /// When.
    pub saved_at_ms: i64,
}

/// The draft of a request within reach, if any.
pub async fn get_draft(
    tx: &mut Tx,
    scope: &Scope,
    id: &ReadingRequestId,
) -> Result<Option<Draft>, StoreError> {
    fetch_optional!(
        tx,
        Draft,
        "select d.version, d.body, d.author_id, d.saved_at_ms from drafts d \
         join reading_requests r on r.id = d.reading_request_id \
         where r.network_id = $1 and r.id = $2 \
         and ($3 is null or r.requesting_site_id = $3 or r.reading_site_id = $3)",
        scope.network_id.as_str(),
        id.as_str(),
        site_of_reach(scope)
    )
}

/// Saves a draft over version `base_version` (0 when there was none) and gives the new version. `Stale` when the
/// stored one is another: nothing is overwritten that the writer has not seen.
pub async fn save_draft(
    tx: &mut Tx,
    scope: &Scope,
    id: &ReadingRequestId,
    base_version: i64,
    draft: &Draft,
) -> Result<i64, StoreError> {
    get_reading_request(tx, scope, id).await?;
    let version = base_version + 1;
    let saved = if base_version == 0 {
        execute!(
            tx,
            "insert into drafts (reading_request_id, network_id, version, body, author_id, saved_at_ms) \
             values ($1, $2, $3, $4, $5, $6) on conflict (reading_request_id) do nothing",
            id.as_str(),
            scope.network_id.as_str(),
            version,
            draft.body.as_str(),
            draft.author_id.as_str(),
            draft.saved_at_ms
        )?
    } else {
        execute!(
            tx,
            "update drafts set version = $3, body = $4, author_id = $5, saved_at_ms = $6 \
             where reading_request_id = $1 and network_id = $2 and version = $7",
            id.as_str(),
            scope.network_id.as_str(),
            version,
            draft.body.as_str(),
            draft.author_id.as_str(),
            draft.saved_at_ms,
            base_version
        )?
    };
    one_row(saved, StoreError::Stale)?;
    Ok(version)
}
