//! What the API says about a notice.

use serde::Serialize;
use tancho_store::notifications::{Delivery, DeliveryAttempt, Notification};
use utoipa::ToSchema;

use crate::worklist::dto::PersonName;

/// The notices to the person who asks, newest first.
#[derive(Debug, Serialize, ToSchema)]
pub struct Notices {
    /// At most 200.
    pub items: Vec<Notice>,
}

/// A notice to one person.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct Notice {
    /// Id.
    pub id: String,
    /// `report_signed`, `addendum`, `late_images`, `returned`, or a step of the ladder: `report_unacknowledged`.
    pub kind: String,
    /// Which request.
    pub reading_request_id: String,
    /// Which report, when it is about one.
    pub report_id: Option<String>,
    /// Which version of it.
    pub version: Option<i64>,
    /// What people say on the phone.
    pub case_code: String,
    /// Criticality of the version.
    pub criticality: Option<String>,
    /// For whom.
    pub recipient: Recipient,
    /// When it was made.
    pub created_at_ms: i64,
    /// How it travels.
    pub deliveries: Vec<NoticeDelivery>,
    /// When the recipient's page fetched it.
    pub delivered_at_ms: Option<i64>,
    /// When it was read.
    pub read_at_ms: Option<i64>,
    /// By whom.
    pub read_by: Option<PersonName>,
    /// When the version was acknowledged.
    pub acknowledged_at_ms: Option<i64>,
    /// By whom.
    pub acknowledged_by: Option<PersonName>,
}

/// For whom a notice is.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct Recipient {
    /// Id.
    pub id: String,
    /// Name.
    pub name: String,
    /// Role.
    pub role: String,
    /// Name of the site.
    pub site: String,
}

/// One channel of a notice.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct NoticeDelivery {
    /// `email` or `in_app`.
    pub channel: String,
    /// `queued`, `sent` (the mail server took it, or it is in the list) or `failed`.
    pub state: String,
    /// Every attempt.
    pub attempts: Vec<NoticeAttempt>,
}

/// One attempt at a delivery.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct NoticeAttempt {
    /// When it ended, or began while it runs.
    pub at_ms: i64,
    /// Whether it was taken.
    pub ok: bool,
    /// What the other side said.
    pub detail: Option<String>,
}

/// Joins notices with their deliveries and attempts.
#[must_use]
pub fn notices_of(
    notifications: Vec<Notification>,
    deliveries: &[Delivery],
    attempts: &[DeliveryAttempt],
) -> Vec<Notice> {
    notifications
        .into_iter()
        .map(|notification| {
            let deliveries = deliveries
                .iter()
                .filter(|delivery| delivery.notification_id == notification.id)
                .map(|delivery| delivery_of(delivery, attempts))
                .collect();
            notice_of(notification, deliveries)
        })
        .collect()
}

fn notice_of(notification: Notification, deliveries: Vec<NoticeDelivery>) -> Notice {
    Notice {
        id: notification.id.into(),
        kind: notification.kind,
        reading_request_id: notification.reading_request_id.into(),
        report_id: notification.report_id,
        version: notification.version,
        case_code: notification.case_code,
        criticality: notification.criticality,
        recipient: Recipient {
            id: notification.recipient_id.into(),
            name: notification.recipient_name,
            role: notification.recipient_role,
            site: notification.recipient_site_name,
        },
        created_at_ms: notification.created_at_ms,
        deliveries,
        delivered_at_ms: notification.delivered_at_ms,
        read_at_ms: notification.read_at_ms,
        read_by: person(notification.read_by_id, notification.read_by_name),
        acknowledged_at_ms: notification.acknowledged_at_ms,
        acknowledged_by: person(notification.acknowledged_by_id, notification.acknowledged_by_name),
    }
}

fn person(id: Option<String>, name: Option<String>) -> Option<PersonName> {
    Some(PersonName { id: id?, name: name? })
}

fn delivery_of(delivery: &Delivery, attempts: &[DeliveryAttempt]) -> NoticeDelivery {
    // The list in the application is the store itself: a notice is in it from its commit on.
    let Some(job_id) = delivery.job_id.as_deref() else {
        let attempt = NoticeAttempt {
            at_ms: delivery.created_at_ms,
            ok: true,
            detail: None,
        };
        return NoticeDelivery {
            channel: delivery.channel.clone(),
            state: "sent".to_owned(),
            attempts: vec![attempt],
        };
    };
    let state = match delivery.job_state.as_deref() {
        Some("done") => "sent",
        Some("failed") => "failed",
        _ => "queued",
    };
    let attempts = attempts
        .iter()
        .filter(|attempt| attempt.job_id == job_id)
        .map(|attempt| NoticeAttempt {
            at_ms: attempt.ended_at_ms.unwrap_or(attempt.started_at_ms),
            ok: attempt.outcome == "done",
            detail: attempt.detail.clone(),
        })
        .collect();
    NoticeDelivery {
        channel: delivery.channel.clone(),
        state: state.to_owned(),
        attempts,
    }
}
