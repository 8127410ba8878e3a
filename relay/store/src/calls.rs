//! Phone-call records (clinical.md section 3): the call, its attempts, and addenda after it was closed.
//!
//! A closed call, an ended attempt and an addendum never change; the database refuses it as well.
//! Documents (conversation, escalation, alternative delivery) are JSON text; their rules are in `tancho_domain::call`.

use tancho_domain::access::Scope;
use tancho_domain::ids::{CallId, ReadingRequestId, UserId};

use crate::db::Tx;
use crate::error::{StoreError, one_row};
use crate::reading::site_of_reach;

/// A phone-call record.
#[derive(Debug, Clone, PartialEq, Eq, sqlx::FromRow)]
pub struct Call {
    /// Its id.
    #[sqlx(try_from = "String")]
    pub id: CallId,
    /// What it is about.
    #[sqlx(try_from = "String")]
    pub reading_request_id: ReadingRequestId,
    /// Grows by one with every change.
    pub version: i64,
    /// State, as `tancho_domain::call` names it.
    pub state: String,
    /// `reader_to_referrer`, `referrer_to_reader` or `third_party`.
    pub direction: String,
    /// Whom it is for.
    pub callee_role: String,
    /// Under whose account it is written.
    #[sqlx(try_from = "String")]
    pub recorded_by_id: UserId,
    /// The name then.
    pub recorded_by_name: String,
    /// When the record was begun, later when it was closed.
    pub recorded_at_ms: i64,
    /// When the call began.
    pub started_at_ms: i64,
    /// When it ended.
    pub ended_at_ms: Option<i64>,
    /// The newest signed version when the other side was dialled.
    pub report_version_at_call: Option<i64>,
    /// JSON text.
    pub conversation: Option<String>,
    /// JSON text.
    pub escalation: Option<String>,
    /// JSON text.
    pub alternative_delivery: Option<String>,
    /// Since when it takes addenda only.
    pub closed_at_ms: Option<i64>,
}

/// One dial.
#[derive(Debug, Clone, PartialEq, Eq, sqlx::FromRow)]
pub struct CallAttempt {
    /// From 1.
    pub attempt_no: i64,
    /// As dialled.
    pub number_dialed: String,
    /// Kind of line.
    pub channel: String,
    /// Whom it was for.
    pub callee_role: String,
    /// Who that is.
    pub callee_name: Option<String>,
    /// When it was dialled.
    pub started_at_ms: i64,
    /// When it ended.
    pub ended_at_ms: Option<i64>,
    /// How it ended.
    pub outcome: Option<String>,
    /// Why nobody was reached.
    pub failure_reason: Option<String>,
    /// What is done next.
    pub next_action: Option<String>,
}

/// Words added to a closed call.
#[derive(Debug, Clone, PartialEq, Eq, sqlx::FromRow)]
pub struct CallAddendum {
    /// From 1.
    pub seq: i64,
    /// The words.
    pub text: String,
    /// Names of the fields it corrects, as a JSON list.
    pub corrects_fields: String,
    /// Who added it.
    #[sqlx(try_from = "String")]
    pub author_id: UserId,
    /// The name then.
    pub author_name: String,
    /// When.
    pub added_at_ms: i64,
}

macro_rules! call_columns {
    () => {
        "c.id, c.reading_request_id, c.version, c.state, c.direction, c.callee_role, c.recorded_by_id, \
         c.recorded_by_name, c.recorded_at_ms, c.started_at_ms, c.ended_at_ms, c.report_version_at_call, \
         c.conversation, c.escalation, c.alternative_delivery, c.closed_at_ms"
    };
}

/// Begins a record.
pub async fn start_call(tx: &mut Tx, scope: &Scope, call: &Call) -> Result<(), StoreError> {
    crate::reading::get_reading_request(tx, scope, &call.reading_request_id).await?;
    execute!(
        tx,
        "insert into calls (id, network_id, reading_request_id, version, state, direction, callee_role, \
         recorded_by_id, recorded_by_name, recorded_at_ms, started_at_ms, ended_at_ms, report_version_at_call, \
         conversation, escalation, alternative_delivery, closed_at_ms) \
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17)",
        call.id.as_str(),
        scope.network_id.as_str(),
        call.reading_request_id.as_str(),
        call.version,
        call.state.as_str(),
        call.direction.as_str(),
        call.callee_role.as_str(),
        call.recorded_by_id.as_str(),
        call.recorded_by_name.as_str(),
        call.recorded_at_ms,
        call.started_at_ms,
        call.ended_at_ms,
        call.report_version_at_call,
        call.conversation.as_deref(),
        call.escalation.as_deref(),
        call.alternative_delivery.as_deref(),
        call.closed_at_ms
    )?;
    Ok(())
}

/// One record within reach.
pub async fn get_call(tx: &mut Tx, scope: &Scope, id: &CallId) -> Result<Call, StoreError> {
    fetch_one!(
        tx,
        Call,
        concat!(
            "select ",
            call_columns!(),
            " from calls c join reading_requests r on r.id = c.reading_request_id \
             where r.network_id = $1 and c.id = $2 \
             and ($3 is null or r.requesting_site_id = $3 or r.reading_site_id = $3)"
        ),
        scope.network_id.as_str(),
        id.as_str(),
        site_of_reach(scope)
    )
}

/// The records about a request within reach, oldest first.
pub async fn list_calls(tx: &mut Tx, scope: &Scope, id: &ReadingRequestId) -> Result<Vec<Call>, StoreError> {
    fetch_all!(
        tx,
        Call,
        concat!(
            "select ",
            call_columns!(),
            " from calls c join reading_requests r on r.id = c.reading_request_id \
             where r.network_id = $1 and r.id = $2 \
             and ($3 is null or r.requesting_site_id = $3 or r.reading_site_id = $3) \
             order by c.started_at_ms, c.id"
        ),
        scope.network_id.as_str(),
        id.as_str(),
        site_of_reach(scope)
    )
}

/// Writes the new state of an open record that was read at `seen_version`. `Stale` when it has changed or is closed.
pub async fn save_call(
    tx: &mut Tx,
    scope: &Scope,
    seen_version: i64,
    call: &Call,
) -> Result<i64, StoreError> {
    let saved = execute!(
        tx,
        "update calls set version = version + 1, state = $4, recorded_at_ms = $5, ended_at_ms = $6, \
         conversation = $7, escalation = $8, alternative_delivery = $9, closed_at_ms = $10, \
         report_version_at_call = $11 where network_id = $1 and id = $2 and version = $3 and closed_at_ms is null",
        scope.network_id.as_str(),
        call.id.as_str(),
        seen_version,
        call.state.as_str(),
        call.recorded_at_ms,
        call.ended_at_ms,
        call.conversation.as_deref(),
        call.escalation.as_deref(),
        call.alternative_delivery.as_deref(),
        call.closed_at_ms,
        call.report_version_at_call
    )?;
    if saved == 1 {
        return Ok(seen_version + 1);
    }
    get_call(tx, scope, &call.id).await?;
    Err(StoreError::Stale)
}

/// Notes a dial. `Conflict` when its number is taken.
pub async fn add_attempt(
    tx: &mut Tx,
    scope: &Scope,
    id: &CallId,
    attempt: &CallAttempt,
) -> Result<(), StoreError> {
    get_call(tx, scope, id).await?;
    execute!(
        tx,
        "insert into call_attempts (call_id, attempt_no, network_id, number_dialed, channel, callee_role, \
         callee_name, started_at_ms, ended_at_ms, outcome, failure_reason, next_action) \
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)",
        id.as_str(),
        attempt.attempt_no,
        scope.network_id.as_str(),
        attempt.number_dialed.as_str(),
        attempt.channel.as_str(),
        attempt.callee_role.as_str(),
        attempt.callee_name.as_deref(),
        attempt.started_at_ms,
        attempt.ended_at_ms,
        attempt.outcome.as_deref(),
        attempt.failure_reason.as_deref(),
        attempt.next_action.as_deref()
    )?;
    Ok(())
}

/// Notes how a dial ended. `Stale` when it has ended already.
pub async fn end_attempt(
    tx: &mut Tx,
    scope: &Scope,
    id: &CallId,
    attempt: &CallAttempt,
) -> Result<(), StoreError> {
    get_call(tx, scope, id).await?;
    let ended = execute!(
        tx,
        "update call_attempts set ended_at_ms = $4, outcome = $5, failure_reason = $6, next_action = $7 \
         where network_id = $1 and call_id = $2 and attempt_no = $3 and ended_at_ms is null",
        scope.network_id.as_str(),
        id.as_str(),
        attempt.attempt_no,
        attempt.ended_at_ms,
        attempt.outcome.as_deref(),
        attempt.failure_reason.as_deref(),
        attempt.next_action.as_deref()
    )?;
    one_row(ended, StoreError::Stale)
}

/// The dials of a call within reach, in order.
pub async fn list_attempts(tx: &mut Tx, scope: &Scope, id: &CallId) -> Result<Vec<CallAttempt>, StoreError> {
    get_call(tx, scope, id).await?;
    fetch_all!(
        tx,
        CallAttempt,
        "select attempt_no, number_dialed, channel, callee_role, callee_name, started_at_ms, ended_at_ms, outcome, \
         failure_reason, next_action from call_attempts where network_id = $1 and call_id = $2 order by attempt_no",
        scope.network_id.as_str(),
        id.as_str()
    )
}

/// Adds words to a call; its `seq` is given here.
pub async fn add_call_addendum(
    tx: &mut Tx,
    scope: &Scope,
    id: &CallId,
    addendum: &CallAddendum,
) -> Result<i64, StoreError> {
    get_call(tx, scope, id).await?;
    let (seq,) = fetch_one!(
        tx,
        (i64,),
        "insert into call_addenda (call_id, seq, network_id, text, corrects_fields, author_id, author_name, \
         added_at_ms) select $1, coalesce(max(seq), 0) + 1, $2, $3, $4, $5, $6, $7 from call_addenda \
         where call_id = $1 returning seq",
        id.as_str(),
        scope.network_id.as_str(),
        addendum.text.as_str(),
        addendum.corrects_fields.as_str(),
        addendum.author_id.as_str(),
        addendum.author_name.as_str(),
        addendum.added_at_ms
    )?;
    Ok(seq)
}

/// The addenda to a call within reach, in order.
pub async fn list_call_addenda(
    tx: &mut Tx,
    scope: &Scope,
    id: &CallId,
) -> Result<Vec<CallAddendum>, StoreError> {
    get_call(tx, scope, id).await?;
    fetch_all!(
        tx,
        CallAddendum,
        "select seq, text, corrects_fields, author_id, author_name, added_at_ms from call_addenda \
         where network_id = $1 and call_id = $2 order by seq",
        scope.network_id.as_str(),
        id.as_str()
    )
}
