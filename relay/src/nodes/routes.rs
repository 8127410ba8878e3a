//! `/api/v1/nodes`.

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use tancho_domain::access::Action;
use tancho_domain::ids::NodeId;
use tancho_store::audit::Actor;
use tancho_store::{Tx, sites, studies};
use tancho_wire::limits::INVITATION_MS_MAX;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::{dto, service};
use crate::error::ApiError;
use crate::http::caller::Caller;
use crate::http::write::{Answered, NoBody, Write};
use crate::state::AppState;

/// The routes of this slice.
pub fn routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::new()
        .routes(routes!(list_nodes))
        .routes(routes!(list_withholding_studies))
        .routes(routes!(invite_node))
        .routes(routes!(approve_node))
        .routes(routes!(deny_node))
}

/// The nodes of the network.
#[utoipa::path(
    get, path = "/api/v1/nodes", tag = "nodes", operation_id = "list_nodes",
    responses((status = OK, body = dto::NodeList))
)]
async fn list_nodes(State(app): State<AppState>, caller: Caller) -> Result<Json<dto::NodeList>, ApiError> {
    caller.require(Action::ManageNodes)?;
    let mut tx = app.db.read().await?;
    Ok(Json(service::list_nodes(&app, &mut tx, &caller.scope).await?))
}

/// Studies of which instances came to their site and stay there: held back, set aside, damaged, or refused.
#[utoipa::path(
    get, path = "/api/v1/nodes/withheld", tag = "nodes", operation_id = "list_withholding_studies",
    responses((status = OK, body = dto::WithholdingStudyList))
)]
async fn list_withholding_studies(
    State(app): State<AppState>,
    caller: Caller,
) -> Result<Json<dto::WithholdingStudyList>, ApiError> {
    caller.require(Action::ManageNodes)?;
    let mut tx = app.db.read().await?;
    let found = studies::list_withholding_studies(&mut tx, &caller.scope).await?;
    let items = found.into_iter().map(dto::WithholdingStudy::of).collect();
    Ok(Json(dto::WithholdingStudyList { items }))
}

/// Makes a one-time code with which one agent can be enrolled at a site. The code is shown in this answer only.
#[utoipa::path(
    post, path = "/api/v1/nodes/invitations", tag = "nodes", operation_id = "invite_node",
    request_body = dto::InviteNode, responses((status = CREATED, body = dto::Invitation))
)]
async fn invite_node(
    State(app): State<AppState>,
    write: Write<dto::InviteNode>,
) -> Result<Response, ApiError> {
    write.caller.require(Action::ManageNodes)?;
    let now_ms = app.now_ms();
    let mut tx = app.db.write().await?;
    if let Some(answered) = write.begin(&mut tx, now_ms).await? {
        return Ok(answered.into_response());
    }
    let scope = &write.caller.scope;
    let site = sites::find_site_by_code(&mut tx, scope, &write.body.site).await?;
    let invite = service::Invite {
        actor: Actor::User(write.caller.principal.clone()),
        ttl_ms: write.body.ttl_ms.unwrap_or(INVITATION_MS_MAX),
    };
    let invitation = service::invite_node(&mut tx, &app.authority, scope, &site.id, invite, now_ms).await?;
    // What is stored for a repeat of the command must not hold the secret.
    let stored = dto::Invitation {
        id: invitation.id,
        code: None,
        expires_at_ms: invitation.expires_at_ms,
    };
    write.finish(tx, StatusCode::CREATED, &stored).await?;
    let shown = dto::Invitation {
        code: Some(invitation.code),
        ..stored
    };
    Ok((StatusCode::CREATED, Json(shown)).into_response())
}

/// Lets a node in that waits for approval.
#[utoipa::path(
    post, path = "/api/v1/nodes/{id}/approve", tag = "nodes", operation_id = "approve_node",
    params(("id" = String, Path)), request_body = NoBody, responses((status = NO_CONTENT))
)]
async fn approve_node(
    State(app): State<AppState>,
    Path(id): Path<String>,
    write: Write<NoBody>,
) -> Result<Answered, ApiError> {
    change_state(&app, &id, &write, Change::Approve).await
}

/// Puts a node on the deny-list: its certificates are revoked and its live connections cut.
#[utoipa::path(
    post, path = "/api/v1/nodes/{id}/deny", tag = "nodes", operation_id = "deny_node",
    params(("id" = String, Path)), request_body = NoBody, responses((status = NO_CONTENT))
)]
async fn deny_node(
    State(app): State<AppState>,
    Path(id): Path<String>,
    write: Write<NoBody>,
) -> Result<Answered, ApiError> {
    change_state(&app, &id, &write, Change::Deny).await
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Change {
    Approve,
    Deny,
}

async fn change_state(
    app: &AppState,
    id: &str,
    write: &Write<NoBody>,
    change: Change,
) -> Result<Answered, ApiError> {
    write.caller.require(Action::ManageNodes)?;
    let id = NodeId::parse(id).map_err(|_| ApiError::not_found())?;
    let act = async |tx: &mut Tx| {
        let actor = Actor::User(write.caller.principal.clone());
        let (scope, now_ms) = (&write.caller.scope, app.now_ms());
        match change {
            Change::Approve => service::approve_node(tx, scope, &id, actor, now_ms).await?,
            Change::Deny => service::deny_node(tx, scope, &id, actor, now_ms).await?,
        }
        Ok(((), Vec::new()))
    };
    let answered = write
        .carry_out(app, Action::ManageNodes, StatusCode::NO_CONTENT, act)
        .await?;
    if change == Change::Deny {
        app.nodes_connected.cut_denied(&id);
    }
    Ok(answered)
}
