//! Telling people, inside the transaction of what they are told about.

use serde_json::json;
use tancho_domain::access::Scope;
use tancho_domain::ids::{NotificationId, ReadingRequestId, ReportId, UserId};
use tancho_store::notifications::{self, NewNotification};
use tancho_store::reading::ReadingRequest;
use tancho_store::users::User;
use tancho_store::{StoreError, Tx};

use super::dto::{Notice, notices_of};
use super::mail::{self, MailFacts};
use crate::events::{Audience, Event};
use crate::jobs::email;
use crate::secrets;
use crate::state::AppState;

/// What people are told about.
#[derive(Debug, Clone, Copy)]
pub struct About<'a> {
    /// `report_signed`, `addendum`, `late_images`, `returned`, `report_unacknowledged`.
    pub kind: &'a str,
    /// The request.
    pub request: &'a ReadingRequest,
    /// The report and its version.
    pub report: Option<(&'a ReportId, i64)>,
    /// Criticality of the version.
    pub criticality: Option<&'a str>,
}

/// Puts a notice into each person's list and, where there is a mail server and an address, a mail into the outbox.
/// Publish the events, and ring `app.jobs_waiting`, after the commit.
pub async fn notify(
    app: &AppState,
    tx: &mut Tx,
    scope: &Scope,
    about: About<'_>,
    recipients: &[User],
    now_ms: i64,
) -> Result<Vec<Event>, StoreError> {
    let mut events = Vec::with_capacity(recipients.len());
    for recipient in recipients {
        let id = NotificationId::new(secrets::new_uuid());
        let new = NewNotification {
            id: &id,
            kind: about.kind,
            reading_request_id: &about.request.id,
            report: about.report,
            case_code: &about.request.case_code,
            criticality: about.criticality,
            recipient_id: &recipient.id,
        };
        notifications::add_notification(tx, scope, &new, now_ms).await?;
        if let (Some(address), true) = (&recipient.email, app.config.smtp.is_some()) {
            let facts = MailFacts {
                kind: about.kind,
                case_code: &about.request.case_code,
                criticality: about.criticality,
                reading_request_id: about.request.id.as_str(),
            };
            let mail = mail::compose(&app.config.http, address, facts);
            let job_id = email::enqueue(tx, &scope.network_id, &mail, now_ms).await?;
            notifications::add_delivery(tx, &id, "email", Some(job_id.as_str()), now_ms).await?;
        }
        events.push(Event {
            network_id: scope.network_id.clone(),
            audience: Audience::User(recipient.id.clone()),
            name: "notification",
            data: json!({ "id": id }),
        });
    }
    Ok(events)
}

/// The notices about a request, to whomever.
pub async fn notices_of_request(
    tx: &mut Tx,
    scope: &Scope,
    id: &ReadingRequestId,
) -> Result<Vec<Notice>, StoreError> {
    let list = notifications::list_notifications_of_request(tx, scope, id).await?;
    let (deliveries, attempts) = notifications::list_deliveries(tx, scope, Some(id), None).await?;
    Ok(notices_of(list, &deliveries, &attempts))
}

/// The notices to one person.
pub async fn notices_of_user(
    tx: &mut Tx,
    scope: &Scope,
    user_id: &UserId,
) -> Result<Vec<Notice>, StoreError> {
    let list = notifications::list_notifications_of_user(tx, scope, user_id).await?;
    let (deliveries, attempts) = notifications::list_deliveries(tx, scope, None, Some(user_id)).await?;
    Ok(notices_of(list, &deliveries, &attempts))
}
