//! Which red findings wait for an acknowledgement, and who knows of them.

use std::time::Duration;

use tancho_domain::access::Scope;
use tancho_domain::critical_result::Criticality;
use tancho_store::critical_results::{self as store, WatchedResult};
use tancho_store::notifications::{self, Notification};
use tancho_store::{StoreError, Tx};

use super::dto::{CriticalResult, Told};
use crate::http::caller::millis;
use crate::worklist::dto::PersonName;

/// An acknowledgement stays in the list for a shift, so that whoever signed sees it arrive.
const ACKNOWLEDGED_SHOWN: Duration = Duration::from_secs(12 * 60 * 60);

/// The open ones within reach, and those acknowledged of late.
pub async fn list(tx: &mut Tx, scope: &Scope, now_ms: i64) -> Result<Vec<CriticalResult>, StoreError> {
    let since_ms = now_ms - millis(ACKNOWLEDGED_SHOWN);
    let red = Criticality::Red.as_str();
    let results = store::list_watched_results(tx, scope, red, since_ms).await?;
    let notices = notifications::list_notifications_of_watched_results(tx, scope, red, since_ms).await?;
    Ok(results
        .into_iter()
        .map(|result| describe(result, &notices))
        .collect())
}

fn describe(result: WatchedResult, notices: &[Notification]) -> CriticalResult {
    let watch = result.watch;
    let report_id = watch.report_id.as_str();
    let about = notices.iter().filter(|notice| {
        notice.report_id.as_deref() == Some(report_id) && notice.version == Some(watch.version)
    });
    let mut told: Vec<Told> = Vec::new();
    for notice in about {
        let known = told
            .iter_mut()
            .find(|told| told.person.id == notice.recipient_id.as_str());
        match known {
            // Told again by the ladder: the first time of each fact counts.
            Some(told) => {
                told.delivered_at_ms = earliest(told.delivered_at_ms, notice.delivered_at_ms);
                told.read_at_ms = earliest(told.read_at_ms, notice.read_at_ms);
            }
            None => told.push(told_by(notice)),
        }
    }
    let acknowledged_by = match (watch.closed_by_id, result.closed_by_name) {
        (Some(id), Some(name)) => Some(PersonName { id, name }),
        _ => None,
    };
    CriticalResult {
        report_id: report_id.to_owned(),
        version: watch.version,
        reading_request_id: watch.reading_request_id.into(),
        case_code: result.case_code,
        criticality: watch.criticality,
        requesting_site: result.requesting_site_name,
        reading_site: result.reading_site_name,
        reader: PersonName {
            id: result.reader_id.into(),
            name: result.reader_name,
        },
        signed_at_ms: watch.opened_at_ms,
        acknowledge_by_ms: watch.acknowledge_by_ms,
        told,
        acknowledged_at_ms: watch.closed_at_ms,
        acknowledged_by,
    }
}

fn told_by(notice: &Notification) -> Told {
    Told {
        person: PersonName {
            id: notice.recipient_id.as_str().to_owned(),
            name: notice.recipient_name.clone(),
        },
        role: notice.recipient_role.clone(),
        site: notice.recipient_site_name.clone(),
        told_at_ms: notice.created_at_ms,
        delivered_at_ms: notice.delivered_at_ms,
        read_at_ms: notice.read_at_ms,
    }
}

fn earliest(one: Option<i64>, other: Option<i64>) -> Option<i64> {
    one.into_iter().chain(other).min()
}
