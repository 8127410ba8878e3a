//! Signing and adding to a report: version, watch and notices in one transaction.

use serde_json::json;
use sha2::{Digest, Sha256};
use tancho_domain::critical_result::{Criticality, FailurePolicy};
use tancho_domain::findings;
use tancho_domain::ids::{ReadingRequestId, ReportId, ReportVersionId};
use tancho_domain::reading::Command;
use tancho_domain::report::{Clearance, SignAs, clear_addendum};
use tancho_store::audit::Entry;
use tancho_store::reading::{self as requests, ReadingRequest};
use tancho_store::reports as store;
use tancho_store::{Tx, users};

use super::dto;
use crate::critical_results::watch;
use crate::error::ApiError;
use crate::events::Event;
use crate::http::caller::Caller;
use crate::notifications::service::{About, notify};
use crate::reading::evaluation::{Facts, blocker_of, cannot_sign, gather};
use crate::reading::service::{Applied, apply, ensure_holder, referrers_of};
use crate::secrets;
use crate::sessions::service::confirm_password;
use crate::state::AppState;

/// A signed version, with what is to be published after the commit.
pub type Signed = (dto::ReportVersion, Vec<Event>);

/// Makes sure that whoever signs the draft of a request is the caller. Before the transaction of the signature:
/// checking a password takes long, and the store has one writer.
pub async fn confirm_signer(
    app: &AppState,
    caller: &Caller,
    id: &ReadingRequestId,
    password: Option<&str>,
) -> Result<(), ApiError> {
    let mut tx = app.db.read().await?;
    requests::get_reading_request(&mut tx, &caller.scope, id).await?;
    drop(tx);
    let act = Entry::done(&caller.principal, "sign_report", "reading_request", id.as_str());
    confirm_password(app, caller, password, act).await
}

/// The same for an addendum to a report.
pub async fn confirm_author(
    app: &AppState,
    caller: &Caller,
    id: &ReportId,
    password: Option<&str>,
) -> Result<(), ApiError> {
    let mut tx = app.db.read().await?;
    store::get_report(&mut tx, &caller.scope, id).await?;
    drop(tx);
    let act = Entry::done(&caller.principal, "add_report_addendum", "report", id.as_str());
    confirm_password(app, caller, password, act).await
}

/// Signs the draft as it was on the reader's screen.
pub async fn sign(
    app: &AppState,
    tx: &mut Tx,
    caller: &Caller,
    id: &ReadingRequestId,
    form: &dto::Sign,
) -> Result<Signed, ApiError> {
    let now_ms = app.now_ms();
    let sign_as = SignAs::parse(&form.status)
        .ok_or_else(|| ApiError::unprocessable("status_unknown", "`status` is preliminary or final"))?;
    let request = requests::get_reading_request(tx, &caller.scope, id).await?;
    ensure_holder(&request, &caller.principal.user_id, now_ms)?;
    let draft = requests::get_draft(tx, &caller.scope, id).await?;
    let draft = draft.ok_or_else(|| ApiError::unprocessable("draft_missing", "save a draft first"))?;
    if draft.version != form.draft_version {
        let detail = "the draft has changed since it was on your screen; read it again before signing";
        return Err(ApiError::conflict("draft_stale", detail).with("current_version", json!(draft.version)));
    }
    let body: dto::ReportBody = serde_json::from_str(&draft.body).map_err(ApiError::internal)?;
    let facts = gather(tx, &caller.scope, &request, now_ms).await?;
    let clearance = facts
        .clear(&body, sign_as, now_ms)
        .map_err(|blockers| cannot_sign(&blockers))?;
    let evaluation = facts.evaluate(&body, now_ms);
    let text = Text {
        body,
        evaluation,
        addendum_text: None,
        corrects_fields: Vec::new(),
    };
    let signing = Signing {
        command: Command::Sign(clearance),
        clearance,
        facts: &facts,
        text,
        notice: "report_signed",
    };
    store_version(app, tx, caller, &request, signing).await
}

/// Adds words to a final report; the text stays as it was signed.
pub async fn add(
    app: &AppState,
    tx: &mut Tx,
    caller: &Caller,
    id: &ReportId,
    form: &dto::AddAddendum,
) -> Result<Signed, ApiError> {
    let now_ms = app.now_ms();
    let report = store::get_report(tx, &caller.scope, id).await?;
    let request = requests::get_reading_request(tx, &caller.scope, &report.reading_request_id).await?;
    let facts = gather(tx, &caller.scope, &request, now_ms).await?;
    let criticality = match form.criticality.as_deref() {
        None => None,
        Some(code) => Some(
            Criticality::parse(code)
                .ok_or_else(|| ApiError::unprocessable("criticality_unknown", "no such criticality"))?,
        ),
    };
    let policy = FailurePolicy::default();
    let clearance = clear_addendum(
        &form.text,
        criticality,
        facts.previous.as_ref(),
        &facts.call_records(),
        &policy,
    )
    .map_err(|blockers| cannot_sign(&blockers.iter().map(blocker_of).collect::<Vec<_>>()))?;
    let before = facts.previous_row.as_ref().ok_or_else(ApiError::not_found)?;
    let mut body: dto::ReportBody = serde_json::from_str(&before.body).map_err(ApiError::internal)?;
    body.criticality = Some(clearance.criticality().as_str().to_owned());
    let text = Text {
        body,
        evaluation: serde_json::from_str(&before.evaluation).map_err(ApiError::internal)?,
        addendum_text: Some(form.text.clone()),
        corrects_fields: form.corrects_fields.clone(),
    };
    let signing = Signing {
        command: Command::Add(clearance),
        clearance,
        facts: &facts,
        text,
        notice: "addendum",
    };
    store_version(app, tx, caller, &request, signing).await
}

struct Text {
    body: dto::ReportBody,
    evaluation: dto::Evaluation,
    addendum_text: Option<String>,
    corrects_fields: Vec<String>,
}

struct Signing<'a> {
    command: Command,
    clearance: Clearance,
    facts: &'a Facts,
    text: Text,
    notice: &'a str,
}

async fn store_version(
    app: &AppState,
    tx: &mut Tx,
    caller: &Caller,
    request: &ReadingRequest,
    signing: Signing<'_>,
) -> Result<Signed, ApiError> {
    let now_ms = app.now_ms();
    let (clearance, scope) = (signing.clearance, &caller.scope);
    let report_id = request
        .report()?
        .unwrap_or_else(|| ReportId::new(secrets::new_uuid()));
    let seen_version = request.version;
    let edit = |next: &mut ReadingRequest, _: &tancho_domain::reading::Event| {
        // The facts belong to the request as it was read: whoever was faster makes this signature stale.
        if next.version != seen_version {
            return Err(ApiError::conflict(
                "stale",
                "the reading request has changed since you read it; read again",
            ));
        }
        next.report_id = Some(report_id.as_str().to_owned());
        next.report_status = Some(clearance.status().as_str().to_owned());
        next.criticality = Some(clearance.criticality().as_str().to_owned());
        next.signed_at_ms = Some(now_ms);
        next.acknowledged_at_ms = None;
        next.late_images_at_ms = None;
        Ok(())
    };
    let Applied {
        request, mut events, ..
    } = apply(app, tx, caller, &request.id, &signing.command, edit).await?;
    let number = request.report_version.unwrap_or(1);
    let me = users::get_user(tx, &scope.network_id, &caller.principal.user_id).await?;
    let images = images_at_signing(tx, signing.facts, &request).await?;
    let json = |value: Result<String, serde_json::Error>| value.map_err(ApiError::internal);
    let calls: Vec<&str> = signing
        .facts
        .calls
        .iter()
        .map(|call| call.row.id.as_str())
        .collect();
    let text = signing.text;
    let version = store::ReportVersion {
        id: ReportVersionId::new(secrets::new_uuid()),
        report_id: report_id.clone(),
        version: number,
        status: clearance.status().as_str().to_owned(),
        signed_at_ms: now_ms,
        reader_id: me.id.clone(),
        reader_name: me.name,
        criticality: clearance.criticality().as_str().to_owned(),
        templates: json(serde_json::to_string(&definitions_of(&text.body)))?,
        body: json(serde_json::to_string(&text.body))?,
        evaluation: json(serde_json::to_string(&text.evaluation))?,
        images_at_signing: json(serde_json::to_string(&images))?,
        calls: json(serde_json::to_string(&calls))?,
        addendum_text: text.addendum_text,
        corrects_fields: json(serde_json::to_string(&text.corrects_fields))?,
    };
    store::add_report_version(tx, scope, &request.id, &version).await?;
    let signed = (&report_id, number);
    watch::start(app, tx, scope, &request, signed, clearance.criticality(), now_ms).await?;
    let recipients = referrers_of(tx, &request).await?;
    let about = About {
        kind: signing.notice,
        request: &request,
        report: Some(signed),
        criticality: Some(&version.criticality),
    };
    events.extend(notify(app, tx, scope, about, &recipients, now_ms).await?);
    if recipients.is_empty() {
        tracing::error!(reading_request.id = %request.id, "a signed report has no referring physician to go to");
    }
    Ok((dto::ReportVersion::of(version, request.id.as_str())?, events))
}

/// The definitions a text was written with: those of its blocks, and of the frame.
fn definitions_of(body: &dto::ReportBody) -> Vec<&'static findings::TemplateDefinition> {
    let blocks = body
        .finding_blocks
        .iter()
        .filter_map(|block| findings::template(&block.template));
    blocks
        .chain([findings::report_definition(), findings::disposition_definition()])
        .collect()
}

async fn images_at_signing(
    tx: &mut Tx,
    facts: &Facts,
    request: &ReadingRequest,
) -> Result<dto::ImagesAtSigning, ApiError> {
    let mut hash = Sha256::new();
    if let Some(study) = &facts.study {
        for (uid, sha256) in requests::list_instance_digests(tx, &request.network_id, &study.id).await? {
            hash.update(uid.as_bytes());
            hash.update([0]);
            hash.update(sha256.as_bytes());
            hash.update([0]);
        }
    }
    Ok(dto::ImagesAtSigning {
        received: facts.images.received,
        announced: facts.images.announced,
        verified: facts.images.verified,
        closed: facts.images.closed,
        withheld: facts.images.withheld,
        instance_sha256_digest: hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect(),
    })
}
