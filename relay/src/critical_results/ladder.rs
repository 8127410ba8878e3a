//! One step of the ladder, as a job: tells the next people that a report waits for its acknowledgement.
//!
//! 50 %: the referring physicians again. 100 %: they, and the reader who signed, since the other channel is the voice.
//! 150 %: the site's liaison office as well. 200 %: the network's coordinators, its administrators. A step that finds
//! nobody to tell is an alarm. Running it twice tells nobody twice.

use serde::Deserialize;
use serde_json::json;
use tancho_domain::access::{Reach, Role, Scope};
use tancho_domain::ids::ReportId;
use tancho_domain::turnaround::LadderStep;
use tancho_store::audit::{self, Actor, Entry};
use tancho_store::critical_results::{self as store, CriticalResult};
use tancho_store::outbox::{Job, Outcome};
use tancho_store::reading::{self, ReadingRequest};
use tancho_store::users::User;
use tancho_store::{StoreError, Tx, reports, users};

use crate::jobs::retry;
use crate::notifications::service::{About, notify};
use crate::reading::service::{append_event, changed, publish, referrers_of};
use crate::state::AppState;

/// Kind of these jobs in the outbox.
pub const KIND: &str = "critical_result_ladder";
/// Attempts before a step is given up: the store was away for about two hours.
pub const ATTEMPTS_MAX: i64 = 16;

#[derive(Debug, Deserialize)]
struct Payload {
    report_id: ReportId,
    version: i64,
    step: i64,
}

/// Takes one step.
pub async fn climb(app: &AppState, job: &Job) -> Outcome {
    let Ok(payload) = serde_json::from_str::<Payload>(&job.payload) else {
        return Outcome::Failed("the stored step cannot be read".to_owned());
    };
    match take_step(app, job, &payload).await {
        Ok(told) => Outcome::Done(told),
        Err(StoreError::Corrupt(reason)) => Outcome::Failed(reason),
        Err(error) => retry(app, job, error.to_string()),
    }
}

async fn take_step(app: &AppState, job: &Job, payload: &Payload) -> Result<String, StoreError> {
    let scope = Scope {
        network_id: job.network_id.clone(),
        reach: Reach::Network,
    };
    let now_ms = app.now_ms();
    let mut tx = app.db.write().await?;
    let (report_id, version) = (&payload.report_id, payload.version);
    let watch = store::get_critical_result(&mut tx, &scope, report_id, version).await?;
    let steps = store::list_ladder_steps(&mut tx, &scope, report_id, version).await?;
    let Some(mut step) = steps.into_iter().find(|step| step.step == payload.step) else {
        return Err(StoreError::Corrupt("no such step".to_owned()));
    };
    if watch.closed_at_ms.is_some() || step.done_at_ms.is_some() {
        return Ok("nothing left to do".to_owned());
    }
    let kind = LadderStep::parse(&step.kind).ok_or_else(|| StoreError::Corrupt("ladder step".to_owned()))?;
    let request = reading::get_reading_request(&mut tx, &scope, &watch.reading_request_id).await?;
    let recipients = recipients_of(&mut tx, &scope, kind, &request, &watch).await?;
    step.done_at_ms = Some(now_ms);
    step.n_recipients = i64::try_from(recipients.len()).ok();
    step.outcome = Some(
        if recipients.is_empty() {
            "no_recipient"
        } else {
            "taken"
        }
        .to_owned(),
    );
    store::finish_ladder_step(&mut tx, &scope, report_id, version, &step).await?;
    let about = About {
        kind: "report_unacknowledged",
        request: &request,
        report: Some((report_id, version)),
        criticality: Some(&watch.criticality),
    };
    let mut events = notify(app, &mut tx, &scope, about, &recipients, now_ms).await?;
    let detail = json!({
        "step": step.kind, "percent": step.percent, "version": version, "n_recipients": recipients.len(),
    });
    append_event(
        &mut tx,
        &scope,
        &request.id,
        "ladder_step",
        None,
        detail.clone(),
        now_ms,
    )
    .await?;
    let entry = Entry::by(Actor::Relay, "climb_ladder", "report", report_id.as_str()).with_detail(detail);
    audit::append(&mut tx, &scope.network_id, entry, now_ms).await?;
    tx.commit().await?;
    events.extend(changed(&request));
    publish(app, events);
    if recipients.is_empty() {
        tracing::error!(
            reading_request.id = %request.id, step = %step.kind,
            "a report waits for its acknowledgement and there is nobody to tell"
        );
    }
    Ok(format!("told {} people", recipients.len()))
}

async fn recipients_of(
    tx: &mut Tx,
    scope: &Scope,
    step: LadderStep,
    request: &ReadingRequest,
    watch: &CriticalResult,
) -> Result<Vec<User>, StoreError> {
    let mut people = referrers_of(tx, request).await?;
    if step >= LadderStep::SecondChannel {
        let versions = reports::list_report_versions(tx, scope, &watch.report_id).await?;
        if let Some(signed) = versions
            .into_iter()
            .find(|signed| signed.version == watch.version)
        {
            people.push(users::get_user(tx, &scope.network_id, &signed.reader_id).await?);
        }
    }
    if step >= LadderStep::Liaison {
        let site_id = &request.requesting_site_id;
        people.extend(users::list_users_at_site(tx, &scope.network_id, site_id, Role::Liaison).await?);
    }
    if step >= LadderStep::Coordinator {
        let everyone = users::list_users(tx, scope).await?.into_iter();
        people.extend(everyone.filter(|user| user.role == Role::Admin));
    }
    people.retain(|user| user.disabled_at_ms.is_none());
    Ok(people)
}
