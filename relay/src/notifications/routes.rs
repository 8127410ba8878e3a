//! `/api/v1/notifications`.

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use serde_json::json;
use tancho_domain::access::Action;
use tancho_domain::ids::NotificationId;
use tancho_store::audit::{self, Entry};
use tancho_store::notifications;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::{dto, service};
use crate::error::ApiError;
use crate::events::{Audience, Event};
use crate::http::caller::Caller;
use crate::http::write::{Answered, NoBody, Write};
use crate::state::AppState;

/// The routes of this slice.
pub fn routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::new()
        .routes(routes!(list_notifications))
        .routes(routes!(mark_notification_read))
}

/// The notices to the person who asks, newest first. Fetching them is their delivery: the sender sees when.
#[utoipa::path(
    get, path = "/api/v1/notifications", tag = "notifications", operation_id = "list_notifications",
    responses((status = OK, body = dto::Notices))
)]
async fn list_notifications(
    State(app): State<AppState>,
    caller: Caller,
) -> Result<Json<dto::Notices>, ApiError> {
    caller.require(Action::UseNotifications)?;
    let me = &caller.principal.user_id;
    let mut tx = app.db.read().await?;
    let mut items = service::notices_of_user(&mut tx, &caller.scope, me).await?;
    drop(tx);
    if items.iter().any(|notice| notice.delivered_at_ms.is_none()) {
        let mut tx = app.db.write().await?;
        notifications::mark_delivered(&mut tx, &caller.scope, me, app.now_ms()).await?;
        items = service::notices_of_user(&mut tx, &caller.scope, me).await?;
        tx.commit().await?;
    }
    Ok(Json(dto::Notices { items }))
}

/// Says that the recipient has read a notice; the first time counts.
#[utoipa::path(
    post, path = "/api/v1/notifications/{notification_id}/read", tag = "notifications",
    operation_id = "mark_notification_read",
    params(("notification_id" = String, Path, description = "the notice")),
    request_body = NoBody, responses((status = OK, body = dto::Notice))
)]
async fn mark_notification_read(
    State(app): State<AppState>,
    Path(notification_id): Path<String>,
    write: Write<NoBody>,
) -> Result<Answered, ApiError> {
    write.caller.require(Action::UseNotifications)?;
    let id = NotificationId::parse(&notification_id).map_err(|_| ApiError::not_found())?;
    let now_ms = app.now_ms();
    let mut tx = app.db.write().await?;
    if let Some(answered) = write.begin(&mut tx, now_ms).await? {
        return Ok(answered);
    }
    let (scope, me) = (&write.caller.scope, &write.caller.principal);
    notifications::mark_read(&mut tx, scope, &id, &me.user_id, now_ms).await?;
    let notice = service::notices_of_user(&mut tx, scope, &me.user_id)
        .await?
        .into_iter()
        .find(|notice| notice.id == notification_id)
        .ok_or_else(ApiError::not_found)?;
    let entry = Entry::done(me, "mark_notification_read", "notification", id.as_str())
        .with_request_id(&write.caller.request_id);
    audit::append(&mut tx, &scope.network_id, entry, now_ms).await?;
    let answered = write.finish(tx, StatusCode::OK, &notice).await?;
    app.events.publish(Event {
        network_id: me.network_id.clone(),
        audience: Audience::User(me.user_id.clone()),
        name: "notification",
        data: json!({ "id": notification_id }),
    });
    Ok(answered)
}
