//! Starts and ends the watch over a signed version, inside the transaction of the signature or acknowledgement.

use tancho_domain::access::Scope;
use tancho_domain::critical_result::Criticality;
use tancho_domain::ids::{JobId, ReportId, UserId};
use tancho_domain::turnaround::{LadderStep, Urgency, ladder};
use tancho_store::critical_results::{self as store, CriticalResult};
use tancho_store::reading::ReadingRequest;
use tancho_store::{StoreError, Tx};

use super::ladder::{ATTEMPTS_MAX, KIND};
use crate::reading::stored::policy_of;
use crate::secrets;
use crate::state::AppState;

/// Starts the watch over a version, in place of the watches over older ones.
pub async fn start(
    app: &AppState,
    tx: &mut Tx,
    scope: &Scope,
    request: &ReadingRequest,
    (report_id, version): (&ReportId, i64),
    criticality: Criticality,
    signed_at_ms: i64,
) -> Result<(), StoreError> {
    store::close_critical_results(tx, scope, report_id, version, "superseded", None, signed_at_ms).await?;
    let urgency =
        Urgency::parse(&request.urgency).ok_or_else(|| StoreError::Corrupt("urgency".to_owned()))?;
    let policy = policy_of(&app.config.turnaround);
    let acknowledge_by_ms = policy.acknowledge_by_ms(criticality, urgency, signed_at_ms);
    let watch = CriticalResult {
        report_id: report_id.clone(),
        version,
        reading_request_id: request.id.clone(),
        criticality: criticality.as_str().to_owned(),
        opened_at_ms: signed_at_ms,
        acknowledge_by_ms,
        closed_at_ms: None,
        closed_as: None,
        closed_by_id: None,
    };
    let steps: Vec<store::LadderStep> = ladder(signed_at_ms, acknowledge_by_ms)
        .into_iter()
        .zip(LadderStep::LADDER)
        .zip(1..)
        .map(|(((kind, due_at_ms), (_, percent)), step)| store::LadderStep {
            step,
            kind: kind.as_str().to_owned(),
            percent,
            due_at_ms,
            job_id: JobId::new(secrets::new_uuid()),
            done_at_ms: None,
            outcome: None,
            n_recipients: None,
        })
        .collect();
    store::open_critical_result(tx, scope, &watch, &steps, KIND, ATTEMPTS_MAX).await
}

/// Ends the watches over a version and older ones: somebody at the requesting site has acknowledged it.
pub async fn end(
    tx: &mut Tx,
    scope: &Scope,
    report_id: &ReportId,
    version: i64,
    by: &UserId,
    now_ms: i64,
) -> Result<(), StoreError> {
    store::close_critical_results(
        tx,
        scope,
        report_id,
        version,
        "acknowledged",
        Some(by.as_str()),
        now_ms,
    )
    .await?;
    Ok(())
}
