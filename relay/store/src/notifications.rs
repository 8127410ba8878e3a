//! Notices to people: one row per notice and person, one delivery per channel.
//!
//! Sent (a mail server took it), delivered (the recipient's page fetched it), read and acknowledged are different
//! facts. The attempts of a delivery are those of its outbox job. A notice carries no patient data.

use tancho_domain::access::Scope;
use tancho_domain::ids::{NotificationId, ReadingRequestId, ReportId, UserId};

use crate::db::Tx;
use crate::error::{StoreError, one_row};
use crate::reading::site_of_reach;

/// Most notices one page gives.
pub const PAGE_ITEMS_MAX: i64 = 200;

/// A notice with its recipient.
#[derive(Debug, Clone, PartialEq, Eq, sqlx::FromRow)]
pub struct Notification {
    /// Its id.
    #[sqlx(try_from = "String")]
    pub id: NotificationId,
    /// What happened: `report_signed`, `late_images`.
    pub kind: String,
    /// To which request.
    #[sqlx(try_from = "String")]
    pub reading_request_id: ReadingRequestId,
    /// The report (a `ReportId`), when it is about one.
    pub report_id: Option<String>,
    /// Its version.
    pub version: Option<i64>,
    /// What people say on the phone.
    pub case_code: String,
    /// Criticality of the version.
    pub criticality: Option<String>,
    /// For whom.
    #[sqlx(try_from = "String")]
    pub recipient_id: UserId,
    /// The recipient's name.
    pub recipient_name: String,
    /// The recipient's role.
    pub recipient_role: String,
    /// The recipient's site, by code.
    pub recipient_site_code: String,
    /// The recipient's site, as people say it.
    pub recipient_site_name: String,
    /// The recipient's site.
    pub recipient_site_id: String,
    /// When it was made.
    pub created_at_ms: i64,
    /// When the recipient's page fetched it.
    pub delivered_at_ms: Option<i64>,
    /// When it was read.
    pub read_at_ms: Option<i64>,
    /// By whom (a `UserId`).
    pub read_by_id: Option<String>,
    /// The reader's name.
    pub read_by_name: Option<String>,
    /// When the version it is about was acknowledged.
    pub acknowledged_at_ms: Option<i64>,
    /// By whom (a `UserId`).
    pub acknowledged_by_id: Option<String>,
    /// That person's name.
    pub acknowledged_by_name: Option<String>,
}

macro_rules! notice_select {
    ($rest:literal) => {
        concat!(
            "select n.id, n.kind, n.reading_request_id, n.report_id, n.version, n.case_code, n.criticality, \
             n.recipient_id, u.name as recipient_name, u.role as recipient_role, s.code as recipient_site_code, \
             s.name as recipient_site_name, s.id as recipient_site_id, n.created_at_ms, n.delivered_at_ms, \
             n.read_at_ms, n.read_by_id, b.name as read_by_name, n.acknowledged_at_ms, n.acknowledged_by_id, \
             k.name as acknowledged_by_name \
             from notifications n join users u on u.id = n.recipient_id join sites s on s.id = u.site_id \
             left join users b on b.id = n.read_by_id left join users k on k.id = n.acknowledged_by_id \
             join reading_requests r on r.id = n.reading_request_id where n.network_id = $1 ",
            $rest
        )
    };
}

/// What a new notice is made of.
#[derive(Debug, Clone)]
pub struct NewNotification<'a> {
    /// Id made at the edge.
    pub id: &'a NotificationId,
    /// What happened.
    pub kind: &'a str,
    /// To which request.
    pub reading_request_id: &'a ReadingRequestId,
    /// The report and its version, when it is about one.
    pub report: Option<(&'a ReportId, i64)>,
    /// What people say on the phone.
    pub case_code: &'a str,
    /// Criticality of the version.
    pub criticality: Option<&'a str>,
    /// For whom.
    pub recipient_id: &'a UserId,
}

/// Stores a notice; it is in the recipient's list from the commit on.
pub async fn add_notification(
    tx: &mut Tx,
    scope: &Scope,
    new: &NewNotification<'_>,
    now_ms: i64,
) -> Result<(), StoreError> {
    execute!(
        tx,
        "insert into notifications (id, network_id, kind, reading_request_id, report_id, version, case_code, \
         criticality, recipient_id, created_at_ms) values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)",
        new.id.as_str(),
        scope.network_id.as_str(),
        new.kind,
        new.reading_request_id.as_str(),
        new.report.map(|(id, _)| id.as_str()),
        new.report.map(|(_, version)| version),
        new.case_code,
        new.criticality,
        new.recipient_id.as_str(),
        now_ms
    )?;
    add_delivery(tx, new.id, "in_app", None, now_ms).await
}

/// Notes a further channel of a notice, with the outbox job that carries it.
pub async fn add_delivery(
    tx: &mut Tx,
    id: &NotificationId,
    channel: &str,
    job_id: Option<&str>,
    now_ms: i64,
) -> Result<(), StoreError> {
    execute!(
        tx,
        "insert into notification_deliveries (notification_id, channel, job_id, created_at_ms) \
         values ($1, $2, $3, $4)",
        id.as_str(),
        channel,
        job_id,
        now_ms
    )?;
    Ok(())
}

/// The notices to one person, newest first.
pub async fn list_notifications_of_user(
    tx: &mut Tx,
    scope: &Scope,
    user_id: &UserId,
) -> Result<Vec<Notification>, StoreError> {
    fetch_all!(
        tx,
        Notification,
        notice_select!("and n.recipient_id = $2 order by n.created_at_ms desc, n.id desc limit $3"),
        scope.network_id.as_str(),
        user_id.as_str(),
        PAGE_ITEMS_MAX
    )
}

/// The notices about a request within reach, to whomever, oldest first.
pub async fn list_notifications_of_request(
    tx: &mut Tx,
    scope: &Scope,
    id: &ReadingRequestId,
) -> Result<Vec<Notification>, StoreError> {
    fetch_all!(
        tx,
        Notification,
        notice_select!(
            "and r.id = $2 and ($3 is null or r.requesting_site_id = $3 or r.reading_site_id = $3) \
             order by n.created_at_ms, n.id limit $4"
        ),
        scope.network_id.as_str(),
        id.as_str(),
        site_of_reach(scope),
        PAGE_ITEMS_MAX
    )
}

/// The notices about the versions that `critical_results::list_watched_results` gives, to whomever, oldest first.
pub async fn list_notifications_of_watched_results(
    tx: &mut Tx,
    scope: &Scope,
    criticality: &str,
    acknowledged_since_ms: i64,
) -> Result<Vec<Notification>, StoreError> {
    fetch_all!(
        tx,
        Notification,
        notice_select!(
            "and ($2 is null or r.requesting_site_id = $2 or r.reading_site_id = $2) \
             and exists (select 1 from critical_results w where w.report_id = n.report_id and w.version = n.version \
               and w.criticality = $3 \
               and (w.closed_at_ms is null or (w.closed_as = 'acknowledged' and w.closed_at_ms >= $4))) \
             order by n.created_at_ms, n.id"
        ),
        scope.network_id.as_str(),
        site_of_reach(scope),
        criticality,
        acknowledged_since_ms
    )
}

/// One notice of the network, for the job that carries it; not narrowed by reach.
pub async fn get_notification(
    tx: &mut Tx,
    scope: &Scope,
    id: &NotificationId,
) -> Result<Notification, StoreError> {
    fetch_one!(
        tx,
        Notification,
        notice_select!("and n.id = $2"),
        scope.network_id.as_str(),
        id.as_str()
    )
}

/// Notes that the recipient's page has fetched whatever it had not fetched yet. Gives how many notices that were.
pub async fn mark_delivered(
    tx: &mut Tx,
    scope: &Scope,
    user_id: &UserId,
    now_ms: i64,
) -> Result<u64, StoreError> {
    execute!(
        tx,
        "update notifications set delivered_at_ms = $3 \
         where network_id = $1 and recipient_id = $2 and delivered_at_ms is null",
        scope.network_id.as_str(),
        user_id.as_str(),
        now_ms
    )
}

/// Notes that the recipient has read a notice; the first reading counts. `NotFound` for anybody else's notice.
pub async fn mark_read(
    tx: &mut Tx,
    scope: &Scope,
    id: &NotificationId,
    user_id: &UserId,
    now_ms: i64,
) -> Result<(), StoreError> {
    let found = execute!(
        tx,
        "update notifications set read_at_ms = coalesce(read_at_ms, $4), read_by_id = coalesce(read_by_id, $3), \
         delivered_at_ms = coalesce(delivered_at_ms, $4) \
         where network_id = $1 and id = $2 and recipient_id = $3",
        scope.network_id.as_str(),
        id.as_str(),
        user_id.as_str(),
        now_ms
    )?;
    one_row(found, StoreError::NotFound)
}

/// Notes that a person has opened a report: the notices to this person about it, up to this version, are read.
/// Gives how many that were.
pub async fn mark_report_read(
    tx: &mut Tx,
    scope: &Scope,
    report_id: &ReportId,
    version: i64,
    user_id: &UserId,
    now_ms: i64,
) -> Result<u64, StoreError> {
    execute!(
        tx,
        "update notifications set read_at_ms = $5, read_by_id = $4, \
         delivered_at_ms = coalesce(delivered_at_ms, $5) \
         where network_id = $1 and report_id = $2 and version <= $3 and recipient_id = $4 and read_at_ms is null",
        scope.network_id.as_str(),
        report_id.as_str(),
        version,
        user_id.as_str(),
        now_ms
    )
}

/// Notes that the site has acknowledged a version: every notice about that version is answered, whomever it went to.
/// One about another version is not: nobody has said that it was read.
pub async fn mark_acknowledged(
    tx: &mut Tx,
    scope: &Scope,
    report_id: &ReportId,
    version: i64,
    user_id: &UserId,
    now_ms: i64,
) -> Result<u64, StoreError> {
    execute!(
        tx,
        "update notifications set acknowledged_at_ms = $5, acknowledged_by_id = $4 \
         where network_id = $1 and report_id = $2 and version = $3 and acknowledged_at_ms is null",
        scope.network_id.as_str(),
        report_id.as_str(),
        version,
        user_id.as_str(),
        now_ms
    )
}

/// How one notice travels on one channel.
#[derive(Debug, Clone, PartialEq, Eq, sqlx::FromRow)]
pub struct Delivery {
    /// The notice.
    #[sqlx(try_from = "String")]
    pub notification_id: NotificationId,
    /// `email` or `in_app`.
    pub channel: String,
    /// When it was asked for.
    pub created_at_ms: i64,
    /// The job's id, for channels that need one.
    pub job_id: Option<String>,
    /// The job's state: `queued`, `running`, `done` or `failed`.
    pub job_state: Option<String>,
}

/// One attempt at a delivery.
#[derive(Debug, Clone, PartialEq, Eq, sqlx::FromRow)]
pub struct DeliveryAttempt {
    /// The job.
    pub job_id: String,
    /// When it began.
    pub started_at_ms: i64,
    /// When it was reported.
    pub ended_at_ms: Option<i64>,
    /// `running`, `done`, `retry`, `failed` or `lost`.
    pub outcome: String,
    /// What was reported.
    pub detail: Option<String>,
}

/// The deliveries of the notices about a request, or to a person; whichever is given.
pub async fn list_deliveries(
    tx: &mut Tx,
    scope: &Scope,
    reading_request_id: Option<&ReadingRequestId>,
    recipient_id: Option<&UserId>,
) -> Result<(Vec<Delivery>, Vec<DeliveryAttempt>), StoreError> {
    let request = reading_request_id.map(ReadingRequestId::as_str);
    let recipient = recipient_id.map(UserId::as_str);
    let deliveries = fetch_all!(
        tx,
        Delivery,
        "select d.notification_id, d.channel, d.created_at_ms, d.job_id, o.state as job_state \
         from notification_deliveries d join notifications n on n.id = d.notification_id \
         left join outbox o on o.id = d.job_id \
         where n.network_id = $1 and ($2 is null or n.reading_request_id = $2) \
         and ($3 is null or n.recipient_id = $3) order by d.notification_id, d.channel",
        scope.network_id.as_str(),
        request,
        recipient
    )?;
    let attempts = fetch_all!(
        tx,
        DeliveryAttempt,
        "select a.job_id, a.started_at_ms, a.ended_at_ms, a.outcome, a.detail \
         from outbox_attempts a join notification_deliveries d on d.job_id = a.job_id \
         join notifications n on n.id = d.notification_id \
         where n.network_id = $1 and ($2 is null or n.reading_request_id = $2) \
         and ($3 is null or n.recipient_id = $3) order by a.job_id, a.fencing",
        scope.network_id.as_str(),
        request,
        recipient
    )?;
    Ok((deliveries, attempts))
}
