//! The watch over a signed version until the requesting site has acknowledged it, with its ladder of reminders.
//!
//! Each step of the ladder is a timed outbox job, stored with the step, so it survives a restart; closing the watch
//! takes back the steps that have not run. What the steps are is decided in `tancho_domain::critical_result`.

use tancho_domain::access::Scope;
use tancho_domain::ids::{JobId, ReadingRequestId, ReportId, UserId};

use crate::db::Tx;
use crate::error::{StoreError, one_row};
use crate::outbox::{self, NewJob};
use crate::reading::site_of_reach;

/// Most critical results one page gives.
pub const PAGE_ITEMS_MAX: i64 = 500;

/// The watch over one signed version.
#[derive(Debug, Clone, PartialEq, Eq, sqlx::FromRow)]
pub struct CriticalResult {
    /// The report.
    #[sqlx(try_from = "String")]
    pub report_id: ReportId,
    /// The version.
    pub version: i64,
    /// The request it answers.
    #[sqlx(try_from = "String")]
    pub reading_request_id: ReadingRequestId,
    /// Criticality the reader gave.
    pub criticality: String,
    /// Since when the clock runs: the signature.
    pub opened_at_ms: i64,
    /// The target.
    pub acknowledge_by_ms: i64,
    /// When it ended.
    pub closed_at_ms: Option<i64>,
    /// `acknowledged` or `superseded`.
    pub closed_as: Option<String>,
    /// Who ended it.
    pub closed_by_id: Option<String>,
}

/// A watch with what people call it by.
#[derive(Debug, Clone, PartialEq, Eq, sqlx::FromRow)]
pub struct WatchedResult {
    /// The watch.
    #[sqlx(flatten)]
    pub watch: CriticalResult,
    /// What people say on the phone.
    pub case_code: String,
    /// Who asked, as people say it.
    pub requesting_site_name: String,
    /// Who read, as people say it.
    pub reading_site_name: String,
    /// Who signed the version.
    #[sqlx(try_from = "String")]
    pub reader_id: UserId,
    /// The name then.
    pub reader_name: String,
    /// Name of whoever acknowledged it.
    pub closed_by_name: Option<String>,
}

/// A step of the ladder.
#[derive(Debug, Clone, PartialEq, Eq, sqlx::FromRow)]
pub struct LadderStep {
    /// From 1.
    pub step: i64,
    /// What it does, as `tancho_domain::critical_result` names it.
    pub kind: String,
    /// Share of the target at which it is due.
    pub percent: i64,
    /// When it is due.
    pub due_at_ms: i64,
    /// Its job in the outbox.
    #[sqlx(try_from = "String")]
    pub job_id: JobId,
    /// When it was taken or taken back.
    pub done_at_ms: Option<i64>,
    /// `taken`, `no_recipient` or `cancelled`.
    pub outcome: Option<String>,
    /// How many people it told.
    pub n_recipients: Option<i64>,
}

/// Starts the watch over a version, and enqueues every step of its ladder as a job of `job_kind`.
pub async fn open_critical_result(
    tx: &mut Tx,
    scope: &Scope,
    watch: &CriticalResult,
    steps: &[LadderStep],
    job_kind: &str,
    attempts_max: i64,
) -> Result<(), StoreError> {
    crate::reports::get_report(tx, scope, &watch.report_id).await?;
    execute!(
        tx,
        "insert into critical_results (report_id, version, network_id, reading_request_id, criticality, \
         opened_at_ms, acknowledge_by_ms) values ($1, $2, $3, $4, $5, $6, $7)",
        watch.report_id.as_str(),
        watch.version,
        scope.network_id.as_str(),
        watch.reading_request_id.as_str(),
        watch.criticality.as_str(),
        watch.opened_at_ms,
        watch.acknowledge_by_ms
    )?;
    for step in steps {
        let payload = serde_json::json!({
            "report_id": watch.report_id.as_str(),
            "version": watch.version,
            "step": step.step,
        })
        .to_string();
        let job = NewJob {
            id: &step.job_id,
            kind: job_kind,
            payload: &payload,
            run_at_ms: step.due_at_ms,
            attempts_max,
        };
        outbox::enqueue(tx, &scope.network_id, &job, watch.opened_at_ms).await?;
        execute!(
            tx,
            "insert into ladder_steps (report_id, version, step, network_id, kind, percent, due_at_ms, job_id) \
             values ($1, $2, $3, $4, $5, $6, $7, $8)",
            watch.report_id.as_str(),
            watch.version,
            step.step,
            scope.network_id.as_str(),
            step.kind.as_str(),
            step.percent,
            step.due_at_ms,
            step.job_id.as_str()
        )?;
    }
    Ok(())
}

/// The watch over one version within reach.
pub async fn get_critical_result(
    tx: &mut Tx,
    scope: &Scope,
    report_id: &ReportId,
    version: i64,
) -> Result<CriticalResult, StoreError> {
    fetch_one!(
        tx,
        CriticalResult,
        "select w.report_id, w.version, w.reading_request_id, w.criticality, w.opened_at_ms, w.acknowledge_by_ms, \
         w.closed_at_ms, w.closed_as, w.closed_by_id from critical_results w \
         join reading_requests r on r.id = w.reading_request_id \
         where r.network_id = $1 and w.report_id = $2 and w.version = $3 \
         and ($4 is null or r.requesting_site_id = $4 or r.reading_site_id = $4)",
        scope.network_id.as_str(),
        report_id.as_str(),
        version,
        site_of_reach(scope)
    )
}

/// The watches within reach over versions of this criticality that nobody has ended, soonest target first; then those
/// acknowledged since `acknowledged_since_ms`.
pub async fn list_watched_results(
    tx: &mut Tx,
    scope: &Scope,
    criticality: &str,
    acknowledged_since_ms: i64,
) -> Result<Vec<WatchedResult>, StoreError> {
    fetch_all!(
        tx,
        WatchedResult,
        "select w.report_id, w.version, w.reading_request_id, w.criticality, w.opened_at_ms, w.acknowledge_by_ms, \
         w.closed_at_ms, w.closed_as, w.closed_by_id, r.case_code, q.name as requesting_site_name, \
         d.name as reading_site_name, v.reader_id, v.reader_name, k.name as closed_by_name from critical_results w \
         join reading_requests r on r.id = w.reading_request_id \
         join sites q on q.id = r.requesting_site_id join sites d on d.id = r.reading_site_id \
         join report_versions v on v.report_id = w.report_id and v.version = w.version \
         left join users k on k.id = w.closed_by_id \
         where w.network_id = $1 and w.criticality = $3 \
         and (w.closed_at_ms is null or (w.closed_as = 'acknowledged' and w.closed_at_ms >= $4)) \
         and ($2 is null or r.requesting_site_id = $2 or r.reading_site_id = $2) \
         order by case when w.closed_at_ms is null then 0 else 1 end, w.acknowledge_by_ms, w.report_id limit $5",
        scope.network_id.as_str(),
        site_of_reach(scope),
        criticality,
        acknowledged_since_ms,
        PAGE_ITEMS_MAX
    )
}

/// The ladder of one version within reach, in order.
pub async fn list_ladder_steps(
    tx: &mut Tx,
    scope: &Scope,
    report_id: &ReportId,
    version: i64,
) -> Result<Vec<LadderStep>, StoreError> {
    get_critical_result(tx, scope, report_id, version).await?;
    fetch_all!(
        tx,
        LadderStep,
        "select step, kind, percent, due_at_ms, job_id, done_at_ms, outcome, n_recipients from ladder_steps \
         where network_id = $1 and report_id = $2 and version = $3 order by step",
        scope.network_id.as_str(),
        report_id.as_str(),
        version
    )
}

/// Records that a step was taken. `Stale` when it was taken or taken back before: its job then does nothing.
pub async fn finish_ladder_step(
    tx: &mut Tx,
    scope: &Scope,
    report_id: &ReportId,
    version: i64,
    step: &LadderStep,
) -> Result<(), StoreError> {
    let finished = execute!(
        tx,
        "update ladder_steps set done_at_ms = $5, outcome = $6, n_recipients = $7 \
         where network_id = $1 and report_id = $2 and version = $3 and step = $4 and done_at_ms is null",
        scope.network_id.as_str(),
        report_id.as_str(),
        version,
        step.step,
        step.done_at_ms,
        step.outcome.as_deref(),
        step.n_recipients
    )?;
    one_row(finished, StoreError::Stale)
}

/// Ends the watches over every version up to `version` and takes back the steps that have not run, with their
/// jobs. Gives how many watches were open.
pub async fn close_critical_results(
    tx: &mut Tx,
    scope: &Scope,
    report_id: &ReportId,
    version: i64,
    closed_as: &str,
    closed_by_id: Option<&str>,
    now_ms: i64,
) -> Result<u64, StoreError> {
    crate::reports::get_report(tx, scope, report_id).await?;
    let n_closed = execute!(
        tx,
        "update critical_results set closed_at_ms = $4, closed_as = $5, closed_by_id = $6 \
         where network_id = $1 and report_id = $2 and version <= $3 and closed_at_ms is null",
        scope.network_id.as_str(),
        report_id.as_str(),
        version,
        now_ms,
        closed_as,
        closed_by_id
    )?;
    execute!(
        tx,
        "update outbox set state = 'done', finished_at_ms = $4, last_error = 'taken back' \
         where network_id = $1 and state = 'queued' and id in (select job_id from ladder_steps \
           where report_id = $2 and version <= $3 and done_at_ms is null)",
        scope.network_id.as_str(),
        report_id.as_str(),
        version,
        now_ms
    )?;
    execute!(
        tx,
        "update ladder_steps set done_at_ms = $4, outcome = 'cancelled' \
         where network_id = $1 and report_id = $2 and version <= $3 and done_at_ms is null",
        scope.network_id.as_str(),
        report_id.as_str(),
        version,
        now_ms
    )?;
    Ok(n_closed)
}
