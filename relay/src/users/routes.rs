//! `/api/v1/users`.

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use tancho_domain::access::Action;
use tancho_domain::ids::UserId;
use tancho_store::audit::Actor;
use tancho_store::{Tx, users};
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
        .routes(routes!(list_users, add_user))
        .routes(routes!(set_password))
        .routes(routes!(disable_user))
}

/// The people of the network.
#[utoipa::path(
    get, path = "/api/v1/users", tag = "users", operation_id = "list_users",
    responses((status = OK, body = dto::UserList))
)]
async fn list_users(State(app): State<AppState>, caller: Caller) -> Result<Json<dto::UserList>, ApiError> {
    caller.require(Action::ManageUsers)?;
    let mut tx = app.db.read().await?;
    let users = users::list_users(&mut tx, &caller.scope).await?;
    Ok(Json(dto::UserList {
        items: users.into_iter().map(dto::User::from).collect(),
    }))
}

/// Makes a login.
#[utoipa::path(
    post, path = "/api/v1/users", tag = "users", operation_id = "add_user",
    request_body = dto::AddUser, responses((status = CREATED, body = dto::User))
)]
async fn add_user(State(app): State<AppState>, write: Write<dto::AddUser>) -> Result<Answered, ApiError> {
    write.caller.require(Action::ManageUsers)?;
    let password_hash = service::hash(&write.body.password).await?;
    let act = async |tx: &mut Tx| {
        let actor = Actor::User(write.caller.principal.clone());
        let scope = &write.caller.scope;
        let user = service::add_user(tx, scope, actor, &write.body, &password_hash, app.now_ms()).await?;
        Ok((dto::User::from(user), Vec::new()))
    };
    write
        .carry_out(&app, Action::ManageUsers, StatusCode::CREATED, act)
        .await
}

/// Sets another password; the person's sessions end.
#[utoipa::path(
    put, path = "/api/v1/users/{user_id}/password", tag = "users", operation_id = "set_password",
    params(("user_id" = String, Path, description = "the person")),
    request_body = dto::SetPassword, responses((status = NO_CONTENT))
)]
async fn set_password(
    State(app): State<AppState>,
    Path(user_id): Path<String>,
    write: Write<dto::SetPassword>,
) -> Result<Answered, ApiError> {
    write.caller.require(Action::ManageUsers)?;
    let user_id = UserId::parse(&user_id).map_err(|_| ApiError::not_found())?;
    let password_hash = service::hash(&write.body.password).await?;
    let act = async |tx: &mut Tx| {
        let actor = Actor::User(write.caller.principal.clone());
        let scope = &write.caller.scope;
        service::set_password(tx, scope, actor, &user_id, &password_hash, app.now_ms()).await?;
        Ok(((), Vec::new()))
    };
    write
        .carry_out(&app, Action::ManageUsers, StatusCode::NO_CONTENT, act)
        .await
}

/// Closes a login; its sessions and tokens end at once.
#[utoipa::path(
    post, path = "/api/v1/users/{user_id}/disable", tag = "users", operation_id = "disable_user",
    params(("user_id" = String, Path, description = "the person")),
    request_body = NoBody, responses((status = OK, body = dto::User))
)]
async fn disable_user(
    State(app): State<AppState>,
    Path(user_id): Path<String>,
    write: Write<NoBody>,
) -> Result<Answered, ApiError> {
    let act = async |tx: &mut Tx| {
        let user_id = UserId::parse(&user_id).map_err(|_| ApiError::not_found())?;
        let actor = Actor::User(write.caller.principal.clone());
        let user = service::disable_user(tx, &write.caller.scope, actor, &user_id, app.now_ms()).await?;
        Ok((dto::User::from(user), Vec::new()))
    };
    write
        .carry_out(&app, Action::ManageUsers, StatusCode::OK, act)
        .await
}
