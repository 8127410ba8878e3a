//! `/api/v1/sites`.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use tancho_domain::access::Action;
use tancho_store::audit::Actor;
use tancho_store::{Tx, sites};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::{dto, service};
use crate::error::ApiError;
use crate::http::caller::Caller;
use crate::http::write::{Answered, Write};
use crate::state::AppState;

/// The routes of this slice.
pub fn routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::new().routes(routes!(list_sites, add_site))
}

/// The sites of the network.
#[utoipa::path(
    get, path = "/api/v1/sites", tag = "sites", operation_id = "list_sites",
    responses((status = OK, body = dto::SiteList))
)]
async fn list_sites(State(app): State<AppState>, caller: Caller) -> Result<Json<dto::SiteList>, ApiError> {
    caller.require(Action::ViewSites)?;
    let mut tx = app.db.read().await?;
    let sites = sites::list_sites(&mut tx, &caller.scope).await?;
    Ok(Json(dto::SiteList {
        items: sites.into_iter().map(dto::Site::from).collect(),
    }))
}

/// Makes a site.
#[utoipa::path(
    post, path = "/api/v1/sites", tag = "sites", operation_id = "add_site",
    request_body = dto::AddSite, responses((status = CREATED, body = dto::Site))
)]
async fn add_site(State(app): State<AppState>, write: Write<dto::AddSite>) -> Result<Answered, ApiError> {
    let act = async |tx: &mut Tx| {
        let actor = Actor::User(write.caller.principal.clone());
        let site = service::add_site(tx, &write.caller.scope, actor, &write.body, app.now_ms()).await?;
        Ok((dto::Site::from(site), Vec::new()))
    };
    write
        .carry_out(&app, Action::ManageSites, StatusCode::CREATED, act)
        .await
}
