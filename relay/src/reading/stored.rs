//! Rows of the store in the domain's terms, and back. What no query asks for rests as JSON in `state_detail`.

use serde::{Deserialize, Serialize};
use tancho_domain::case_code::RESERVED_AFTER_CLOSING_MS;
use tancho_domain::clinical_context::ClinicalContext;
use tancho_domain::findings::Answers;
use tancho_domain::reading::{ActionTaken, Claim, ReadingRequest, State, StateName};
use tancho_domain::turnaround::{Target, TurnaroundPolicy, UrgencyTargets};
use tancho_store::{StoreError, reading as store};

use crate::config::{Targets, TurnaroundConfig};

#[derive(Debug, Default, Serialize, Deserialize)]
struct Detail {
    first_image_at_ms: Option<i64>,
    #[serde(default)]
    has_final: bool,
    action_taken: Option<String>,
}

/// The domain's view of a stored request.
pub fn domain_of(row: &store::ReadingRequest) -> Result<ReadingRequest, StoreError> {
    let corrupt = || StoreError::Corrupt("reading request state".to_owned());
    let detail: Detail = serde_json::from_str(&row.state_detail)?;
    let claim = match (row.claim_reader()?, row.claimed_at_ms, row.claim_lease_until_ms) {
        (Some(reader), Some(claimed_at_ms), Some(lease_until_ms)) => Some(Claim {
            reader,
            claimed_at_ms,
            lease_until_ms,
        }),
        _ => None,
    };
    let reason = || row.reason.clone().unwrap_or_default();
    let state = match StateName::parse(&row.state).ok_or_else(corrupt)? {
        StateName::Requested => State::Requested,
        StateName::Readable => State::Readable,
        StateName::Claimed => State::Claimed(claim.ok_or_else(corrupt)?),
        StateName::Returned => State::Returned { reason: reason() },
        StateName::Preliminary => State::Preliminary { claim },
        StateName::Final => State::Final,
        StateName::Acknowledged => {
            let action = detail.action_taken.as_deref().and_then(ActionTaken::parse);
            State::Acknowledged {
                action: action.ok_or_else(corrupt)?,
            }
        }
        StateName::Reopened => State::Reopened,
        StateName::Cancelled => State::Cancelled { reason: reason() },
    };
    Ok(ReadingRequest {
        requesting_site_id: row.requesting_site_id.clone(),
        reading_site_id: row.reading_site_id.clone(),
        state,
        first_image_at_ms: detail.first_image_at_ms,
        report_version: row
            .report_version
            .and_then(|version| u32::try_from(version).ok())
            .unwrap_or(0),
        has_final: detail.has_final,
    })
}

/// Writes what the domain decided into the row; a request that closes keeps its code for a day.
pub fn write_state(
    row: &mut store::ReadingRequest,
    next: &ReadingRequest,
    now_ms: i64,
) -> Result<(), StoreError> {
    row.state = next.state.name().as_str().to_owned();
    let claim = next.state.claim();
    row.claim_reader_id = claim.map(|claim| claim.reader.as_str().to_owned());
    row.claimed_at_ms = claim.map(|claim| claim.claimed_at_ms);
    row.claim_lease_until_ms = claim.map(|claim| claim.lease_until_ms);
    row.first_claimed_at_ms = row.first_claimed_at_ms.or(row.claimed_at_ms);
    row.reason = match &next.state {
        State::Returned { reason } | State::Cancelled { reason } => Some(reason.clone()),
        _ => None,
    };
    let action_taken = match &next.state {
        State::Acknowledged { action } => Some(action.as_str().to_owned()),
        _ => None,
    };
    let detail = Detail {
        first_image_at_ms: next.first_image_at_ms,
        has_final: next.has_final,
        action_taken,
    };
    row.state_detail = serde_json::to_string(&detail)?;
    row.report_version = (next.report_version > 0).then(|| i64::from(next.report_version));
    if next.state.name().is_open() {
        row.closed_at_ms = None;
        row.case_code_until_ms = None;
    } else if row.closed_at_ms.is_none() {
        row.closed_at_ms = Some(now_ms);
        row.case_code_until_ms = Some(now_ms + RESERVED_AFTER_CLOSING_MS);
    }
    Ok(())
}

/// The stored answers of the clinical context.
pub fn answers_of(row: &store::ReadingRequest) -> Result<Answers, StoreError> {
    Ok(serde_json::from_str(&row.clinical_context)?)
}

/// The stored clinical context. What a newer form no longer accepts is left out, never refused.
pub fn context_of(row: &store::ReadingRequest, now_ms: i64) -> Result<ClinicalContext, StoreError> {
    Ok(ClinicalContext::admit(&answers_of(row)?, now_ms).0)
}

/// Ids of what a complete request has and this one lacks: required answers in the order of the form, and a number to
/// call back.
pub fn missing_context(row: &store::ReadingRequest, now_ms: i64) -> Result<Vec<String>, StoreError> {
    if row.context_completed_at_ms.is_some() {
        return Ok(Vec::new());
    }
    let mut missing = context_of(row, now_ms)?.missing();
    if row.callback_number.is_none() {
        missing.push("callback_number".to_owned());
    }
    Ok(missing)
}

/// Writes the clinical context into the row and notes when it became complete.
pub fn write_context(
    row: &mut store::ReadingRequest,
    context: &ClinicalContext,
    now_ms: i64,
) -> Result<(), StoreError> {
    row.clinical_context = serde_json::to_string(context.answers())?;
    let complete = context.missing().is_empty() && row.callback_number.is_some();
    row.context_completed_at_ms = if complete {
        row.context_completed_at_ms.or(Some(now_ms))
    } else {
        None
    };
    Ok(())
}

/// The configured due times.
#[must_use]
pub fn policy_of(config: &TurnaroundConfig) -> TurnaroundPolicy {
    let targets = |configured: &Targets, default: UrgencyTargets| UrgencyTargets {
        open: configured.open_ms.map(Target::Within),
        verbal: configured.verbal_ms.map(Target::Within),
        written: configured.written_ms.map_or(default.written, Target::Within),
    };
    let default = TurnaroundPolicy::default();
    TurnaroundPolicy {
        stroke_code: targets(&config.stroke_code, default.stroke_code),
        critical: targets(&config.critical, default.critical),
        urgent: targets(&config.urgent, default.urgent),
        routine: targets(&config.routine, default.routine),
        elective: targets(&config.elective, default.elective),
        ..default
    }
}
