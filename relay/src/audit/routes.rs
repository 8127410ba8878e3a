//! `/api/v1/audit`.

use axum::Json;
use axum::extract::{Query, State};
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use tancho_domain::access::Action;
use tancho_store::audit::{self, AuditFilter, AuditRow, Verdict};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::error::ApiError;
use crate::http::caller::Caller;
use crate::state::AppState;

/// Rows of a page when the request does not say.
const PAGE_ROWS_DEFAULT: i64 = 100;

/// The routes of this slice.
pub fn routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::new()
        .routes(routes!(list_audit))
        .routes(routes!(verify_audit))
}

/// What is asked of the trail.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
struct AuditQuery {
    /// Rows before this position only.
    before_seq: Option<i64>,
    /// Done to this thing.
    subject_id: Option<String>,
    /// Done by this person or node.
    actor_id: Option<String>,
    /// Rows to give, at most 500.
    limit: Option<i64>,
}

/// One thing that happened.
#[derive(Debug, Serialize, ToSchema)]
struct AuditItem {
    /// Position in the network's chain.
    seq: i64,
    /// When.
    at_ms: i64,
    /// `user`, `node`, `relay` or `operator`.
    actor_kind: String,
    /// Which one.
    actor_id: Option<String>,
    /// In which role.
    actor_role: Option<String>,
    /// Of which site.
    actor_site_id: Option<String>,
    /// What.
    action: String,
    /// What kind of thing it was done to.
    subject_kind: String,
    /// Which one.
    subject_id: Option<String>,
    /// `done` or `refused`.
    outcome: String,
    /// Ids and codes.
    #[schema(value_type = Object)]
    detail: serde_json::Value,
    /// The HTTP request.
    request_id: Option<String>,
}

impl From<AuditRow> for AuditItem {
    fn from(row: AuditRow) -> Self {
        Self {
            seq: row.seq,
            at_ms: row.at_ms,
            actor_kind: row.actor_kind,
            actor_id: row.actor_id,
            actor_role: row.actor_role,
            actor_site_id: row.actor_site_id,
            action: row.action,
            subject_kind: row.subject_kind,
            subject_id: row.subject_id,
            outcome: row.outcome,
            detail: serde_json::from_str(&row.detail).unwrap_or_default(),
            request_id: row.request_id,
        }
    }
}

/// A page of the trail.
#[derive(Debug, Serialize, ToSchema)]
struct AuditPage {
    /// Newest first.
    items: Vec<AuditItem>,
    /// `before_seq` of the next page, when there is one.
    next_before_seq: Option<i64>,
}

/// The audit trail of the network, newest first.
#[utoipa::path(
    get, path = "/api/v1/audit", tag = "audit", operation_id = "list_audit",
    params(AuditQuery), responses((status = OK, body = AuditPage))
)]
async fn list_audit(
    State(app): State<AppState>,
    caller: Caller,
    Query(query): Query<AuditQuery>,
) -> Result<Json<AuditPage>, ApiError> {
    caller.require(Action::ViewAudit)?;
    let limit = query
        .limit
        .unwrap_or(PAGE_ROWS_DEFAULT)
        .clamp(1, audit::PAGE_ROWS_MAX);
    let filter = AuditFilter {
        before_seq: query.before_seq,
        subject_id: query.subject_id.as_deref(),
        actor_id: query.actor_id.as_deref(),
        limit,
    };
    let mut tx = app.db.read().await?;
    let rows = audit::list_audit(&mut tx, &caller.scope, &filter).await?;
    let is_full = i64::try_from(rows.len()).is_ok_and(|n_rows| n_rows == limit);
    let next_before_seq = rows.last().filter(|_| is_full).map(|row| row.seq);
    Ok(Json(AuditPage {
        items: rows.into_iter().map(AuditItem::from).collect(),
        next_before_seq,
    }))
}

/// Whether the chain holds.
#[derive(Debug, Serialize, ToSchema)]
struct AuditVerdict {
    /// Every row follows from the one before, and none is missing at the end.
    intact: bool,
    /// Rows checked, when intact.
    n_rows: Option<i64>,
    /// The first position where it does not hold.
    broken_at_seq: Option<i64>,
}

/// Walks the network's audit chain and compares it with what was noted outside the database.
#[utoipa::path(
    get, path = "/api/v1/audit/verification", tag = "audit", operation_id = "verify_audit",
    responses((status = OK, body = AuditVerdict))
)]
async fn verify_audit(State(app): State<AppState>, caller: Caller) -> Result<Json<AuditVerdict>, ApiError> {
    caller.require(Action::ViewAudit)?;
    let Ok(_turn) = app.audit_walks.try_acquire() else {
        let detail = "another verification is under way; ask again when it has ended";
        let code = "verification_under_way";
        return Err(ApiError::new(StatusCode::TOO_MANY_REQUESTS, code, detail));
    };
    let reading = app.clone();
    let noted = tokio::task::spawn_blocking(move || reading.checkpoints.read());
    let noted = noted
        .await
        .map_err(ApiError::internal)?
        .map_err(ApiError::unavailable)?;
    let network_id = &caller.scope.network_id;
    let known = noted.by_network.get(network_id).cloned().unwrap_or_default();
    let verdict = match audit::verify_audit(&app.db, network_id, &known).await? {
        Verdict::Intact { n_rows } => AuditVerdict {
            intact: true,
            n_rows: Some(n_rows),
            broken_at_seq: None,
        },
        Verdict::Broken { seq } => AuditVerdict {
            intact: false,
            n_rows: None,
            broken_at_seq: Some(seq),
        },
    };
    Ok(Json(verdict))
}
