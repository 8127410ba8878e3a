//! How far a study is: told to the pages as an event, and to the node as a StudyStatus frame.

use std::time::Instant;

use tancho_domain::dicom::StudyInstanceUid;
use tancho_domain::ids::{NetworkId, StudyId};
use tancho_domain::reading::StateName;
use tancho_store::reading as reading_store;
use tancho_store::studies::{self, Origin};
use tancho_store::{StoreError, Tx, users};
use tancho_wire::frame::{LeftOut, Returned, StudyStatus};
use tancho_wire::limits::LEFT_OUT_MAX;

use super::flow::Counts;
use super::progress::Progress;
use super::telling::Turn;
use super::withheld;
use crate::events::{Audience, Event};
use crate::state::AppState;

/// Tells the pages of everyone who may see the study that instances of it were listed, can be looked at or are
/// verified: soon, and not too often. After the commit.
pub async fn publish_study(app: &AppState, network_id: &NetworkId, study_id: &StudyId) {
    match app.tellings.ask(study_id, Instant::now()) {
        Turn::Now => publish(app, network_id, study_id, "study").await,
        Turn::After(wait) => {
            let (app, network_id, study_id) = (app.clone(), network_id.clone(), study_id.clone());
            app.clone().tasks.spawn(async move {
                tokio::time::sleep(wait).await;
                app.tellings.begin(&study_id, Instant::now());
                publish(&app, &network_id, &study_id, "study").await;
            });
        }
        Turn::Never => {}
    }
}

/// Tells the pages that bytes of the study have come, when they have not been told of it for a while.
pub fn publish_bytes(app: &AppState, network_id: &NetworkId, study_id: &StudyId) {
    if !app.tellings.may_tell_bytes(study_id, Instant::now()) {
        return;
    }
    let (app, network_id, study_id) = (app.clone(), network_id.clone(), study_id.clone());
    app.clone()
        .tasks
        .spawn(async move { publish(&app, &network_id, &study_id, "study_bytes").await });
}

async fn publish(app: &AppState, network_id: &NetworkId, study_id: &StudyId, name: &'static str) {
    let progress =
        async { studies::get_study_progress(&mut app.db.read().await?, network_id, study_id).await };
    match progress.await {
        Ok(progress) => {
            let arrival = &progress.arrival;
            let counts = Counts::from(arrival);
            let now = Progress::of(app, study_id, counts);
            app.events.publish(Event {
                network_id: network_id.clone(),
                data: serde_json::json!({
                    "study_id": study_id.as_str(),
                    "received": arrival.n_received,
                    "verified": arrival.n_verified,
                    "announced": arrival.announced_instances,
                    "closed": arrival.closed_at_ms.is_some(),
                    "withheld": withheld::of(&arrival.withheld),
                    "previews": now.previews,
                    "bytes_per_s": now.bytes_per_s,
                    "remaining_ms": now.remaining_ms,
                    "last_data_at_ms": now.last_data_at_ms,
                }),
                audience: Audience::Sites(progress.sites),
                name,
            });
        }
        Err(error) => tracing::warn!(%error, "a study's progress could not be told"),
    }
}

/// What a node is told about one of its site's studies; `None` when neither an image, a manifest nor a request of it
/// has come. A study of which everything stays at its site is known by its manifest alone: the node hears that it was
/// taken, and need not say it again on every connection.
pub async fn study_status(
    app: &AppState,
    origin: &Origin,
    uid: &StudyInstanceUid,
) -> Result<Option<StudyStatus>, StoreError> {
    let mut tx = app.db.read().await?;
    let arrival = match studies::get_study_arrival(&mut tx, origin, uid).await {
        Ok(arrival) => Some(arrival),
        Err(StoreError::NotFound) => None,
        Err(other) => return Err(other),
    };
    let request = reading_store::find_latest_request_of_study(
        &mut tx,
        &origin.network_id,
        &origin.site_id,
        uid.as_str(),
    )
    .await?;
    let manifest = studies::find_manifest(&mut tx, origin, uid).await?;
    if arrival.is_none() && request.is_none() && manifest.is_none() {
        return Ok(None);
    }
    let (manifest_generation, manifest_closed) = manifest.unwrap_or_default();
    let reader_name = match request
        .as_ref()
        .and_then(|request| request.claim_reader().ok().flatten())
    {
        Some(reader_id) => users::get_user(&mut tx, &origin.network_id, &reader_id)
            .await
            .map(|user| user.name)
            .unwrap_or_default(),
        None => String::new(),
    };
    let mut warnings = Vec::new();
    let mut status = StudyStatus {
        study_instance_uid: uid.clone(),
        n_received: 0,
        n_verified: 0,
        manifest_generation: manifest_generation.max(0).unsigned_abs(),
        manifest_closed,
        reading_request_id: String::new(),
        reading_state: String::new(),
        case_code: String::new(),
        reader_name,
        clinical_context_complete: false,
        at_ms: app.now_ms(),
        warnings: Vec::new(),
        n_listed: Some(0),
        n_preview: Some(0),
        returned: None,
        left_out: Vec::new(),
    };
    if let Some(arrival) = arrival {
        status.n_received = arrival.n_received.max(0).unsigned_abs();
        status.n_verified = arrival.n_verified.max(0).unsigned_abs();
        status.n_listed = Some(status.n_received);
        let n_preview = status.n_verified + app.readable.count(&origin.site_id, uid);
        status.n_preview = Some(n_preview.min(status.n_received));
        let codes = [
            (arrival.conflict_at_ms, "study_conflict"),
            (arrival.held_at_ms, "patient_mismatch_held"),
        ];
        warnings.extend(
            codes
                .iter()
                .filter(|(at_ms, _)| at_ms.is_some())
                .map(|(_, code)| (*code).to_owned()),
        );
    }
    if let Some(request) = request {
        status.reading_request_id = request.id.to_string();
        status.reading_state = request.state.clone();
        status.case_code = request.case_code.clone();
        status.clinical_context_complete = request.context_completed_at_ms.is_some();
        if request.closed_at_ms.is_none() {
            status.returned = returned_of(&mut tx, &request).await?;
            status.left_out = left_out_of(&mut tx, &request).await?;
        }
    }
    status.warnings = warnings;
    Ok(Some(status))
}

/// What the reader needs first, while the request is sent back.
async fn returned_of(
    tx: &mut Tx,
    request: &reading_store::ReadingRequest,
) -> Result<Option<Returned>, StoreError> {
    if request.state != StateName::Returned.as_str() {
        return Ok(None);
    }
    let returned = reading_store::find_last_return(tx, &request.id).await?;
    Ok(returned.map(|returned| Returned {
        reason: request.reason.clone().unwrap_or_default(),
        by: returned.by,
        at_ms: returned.at_ms,
    }))
}

/// Answers of the newest form that could not be accepted.
async fn left_out_of(
    tx: &mut Tx,
    request: &reading_store::ReadingRequest,
) -> Result<Vec<LeftOut>, StoreError> {
    let Some(detail) = reading_store::find_left_out(tx, &request.id).await? else {
        return Ok(Vec::new());
    };
    let detail: serde_json::Value = serde_json::from_str(&detail)?;
    let left_out = detail["left_out"].as_array().into_iter().flatten();
    let text = |value: &serde_json::Value| value.as_str().unwrap_or_default().to_owned();
    let left_out = left_out.map(|answer| LeftOut {
        field: text(&answer["field"]),
        code: text(&answer["code"]),
    });
    Ok(left_out.take(LEFT_OUT_MAX).collect())
}
