//! Reading a report and acknowledging it.

use serde_json::json;
use tancho_domain::ids::ReportId;
use tancho_domain::reading::{ActionTaken, Command};
use tancho_store::audit::{self, Entry};
use tancho_store::reading::{self as requests, ReadingRequest};
use tancho_store::reports::{self as store, Acknowledgement};
use tancho_store::{StoreError, Tx, notifications, users};

use super::dto;
use crate::critical_results::watch;
use crate::error::ApiError;
use crate::events::Event;
use crate::http::StatusCode;
use crate::http::caller::Caller;
use crate::reading::service::{Applied, apply, changed};
use crate::state::AppState;

/// Longest remark of an acknowledgement in characters.
const REMARK_CHARS_MAX: usize = 2_000;

/// A report with all its versions. Opening it is reading: the caller's notices about it become read, and the sender
/// sees when.
pub async fn open(
    tx: &mut Tx,
    caller: &Caller,
    id: &ReportId,
    now_ms: i64,
) -> Result<(dto::Report, Vec<Event>), ApiError> {
    let scope = &caller.scope;
    let report = store::get_report(tx, scope, id).await?;
    let request = requests::get_reading_request(tx, scope, &report.reading_request_id).await?;
    let me = &caller.principal.user_id;
    let n_read = notifications::mark_report_read(tx, scope, id, report.latest_version, me, now_ms).await?;
    let entry = Entry::done(&caller.principal, "view_report", "report", id.as_str())
        .with_detail(json!({ "version": report.latest_version }))
        .with_request_id(&caller.request_id);
    audit::append(tx, &scope.network_id, entry, now_ms).await?;
    let events = if n_read > 0 { changed(&request) } else { Vec::new() };
    Ok((describe(tx, caller, id, &request).await?, events))
}

async fn describe(
    tx: &mut Tx,
    caller: &Caller,
    id: &ReportId,
    request: &ReadingRequest,
) -> Result<dto::Report, ApiError> {
    let versions = store::list_report_versions(tx, &caller.scope, id)
        .await?
        .into_iter();
    let versions = versions.map(|version| dto::ReportVersion::of(version, request.id.as_str()));
    let acknowledgements = store::list_acknowledgements(tx, &caller.scope, id).await?;
    Ok(dto::Report {
        versions: versions.collect::<Result<_, StoreError>>()?,
        acknowledgements: acknowledgements
            .into_iter()
            .map(dto::Acknowledgement::from)
            .collect(),
    })
}

/// States which version was read and what is done about it; ends its watch, answers every notice about it.
pub async fn acknowledge(
    app: &AppState,
    tx: &mut Tx,
    caller: &Caller,
    id: &ReportId,
    form: &dto::Acknowledge,
) -> Result<(dto::Acknowledgement, Vec<Event>), ApiError> {
    let now_ms = app.now_ms();
    let (scope, me) = (&caller.scope, &caller.principal);
    let action = ActionTaken::parse(&form.action_taken).ok_or_else(|| {
        ApiError::unprocessable(
            "action_unknown",
            "`action_taken` is observe, transfer, treat or other",
        )
    })?;
    let remark = form.comment.clone().filter(|text| !text.trim().is_empty());
    if remark
        .as_ref()
        .is_some_and(|text| text.chars().count() > REMARK_CHARS_MAX)
    {
        let detail = format!("a comment of at most {REMARK_CHARS_MAX} characters expected");
        return Err(ApiError::unprocessable("comment_too_long", detail));
    }
    let report = store::get_report(tx, scope, id).await?;
    let version = u32::try_from(form.version).unwrap_or(0);
    let command = Command::Acknowledge { version, action };
    let edit = |next: &mut ReadingRequest, _: &tancho_domain::reading::Event| {
        next.acknowledged_at_ms = next.acknowledged_at_ms.or(Some(now_ms));
        Ok(())
    };
    let Applied {
        mut events, request, ..
    } = apply(app, tx, caller, &report.reading_request_id, &command, edit).await?;
    let person = users::get_user(tx, &scope.network_id, &me.user_id).await?;
    let acknowledgement = Acknowledgement {
        report_id: id.clone(),
        version: form.version,
        user_id: me.user_id.clone(),
        user_name: person.name,
        site_id: me.site_id.clone(),
        action_taken: action.as_str().to_owned(),
        remark,
        acknowledged_at_ms: now_ms,
    };
    match store::add_acknowledgement(tx, scope, &acknowledgement).await {
        Err(StoreError::Conflict) => {
            let detail = "you have acknowledged this version already";
            return Err(ApiError::conflict("already_acknowledged", detail));
        }
        added => added?,
    }
    watch::end(tx, scope, id, form.version, &me.user_id, now_ms).await?;
    notifications::mark_acknowledged(tx, scope, id, form.version, &me.user_id, now_ms).await?;
    events.push(notices_answered(&request));
    Ok((acknowledgement.into(), events))
}

/// Writes down that somebody wanted to acknowledge a report and was not allowed to: the wrong role or site, or a version
/// that is no longer the newest or was acknowledged before. In a transaction of its own: the refused one is gone.
pub async fn note_refused_acknowledgement(
    app: &AppState,
    caller: &Caller,
    id: &ReportId,
    form: &dto::Acknowledge,
    refusal: &ApiError,
) -> Result<(), ApiError> {
    if !matches!(
        refusal.status,
        StatusCode::FORBIDDEN | StatusCode::NOT_FOUND | StatusCode::CONFLICT
    ) {
        return Ok(());
    }
    tracing::warn!(
        report.id = %id, user.id = %caller.principal.user_id, code = %refusal.code, "an acknowledgement was refused"
    );
    let entry = Entry::done(&caller.principal, "acknowledge_report", "report", id.as_str())
        .refused()
        .with_detail(json!({ "code": refusal.code, "version": form.version }))
        .with_request_id(&caller.request_id);
    let mut tx = app.db.write().await?;
    audit::append(&mut tx, &caller.scope.network_id, entry, app.now_ms()).await?;
    tx.commit().await?;
    Ok(())
}

/// Everyone whose notices were answered by somebody else's acknowledgement looks again.
fn notices_answered(request: &ReadingRequest) -> Event {
    Event {
        network_id: request.network_id.clone(),
        audience: crate::events::Audience::Sites(vec![request.requesting_site_id.clone()]),
        name: "notification",
        data: json!({ "reading_request_id": request.id }),
    }
}
