//! STOW-RS (PS3.18 section 10.5): a person's program stores instances at that person's own site.
//!
//! Each part is written to the disk as it comes, looked at by the bounded scanner, coded as a container and proved, as an
//! agent and the line would do together; it counts as stored when its blob is durable and its rows, with the audit row, are
//! committed in one transaction. Parts fail one by one, and the answer says which and why. The same instance again changes
//! nothing. What is kept but not shown, as other content under a UID that is known or as another patient's under a known
//! study, is answered with a Warning Reason and without an address.

mod between;
mod part;
mod receive;

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, PoisonError};

use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::header::{CONTENT_TYPE, LOCATION};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};
use tancho_domain::access::Action;
use tancho_domain::dicom::StudyInstanceUid;
use tancho_domain::ids::{NodeId, SiteId};
use tancho_store::nodes;
use tancho_store::studies::Origin;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::wado::not_acceptable;
use super::{JSON_MEDIA, accept, model};
use crate::error::ApiError;
use crate::http::caller::Caller;
use crate::http::problem::OwnDocument;
use crate::secrets;
use crate::state::AppState;
use part::{Failure, Request, Stored};
use receive::{Parts, Received};

/// Requests that store at once; more are put off.
pub(super) const REQUESTS_AT_ONCE_MAX: usize = 16;
/// Those of one site, so that slow uploads of one hospital do not lock out the others.
pub(super) const REQUESTS_PER_SITE_MAX: usize = 4;
/// Objects coded and proved at once. These turns are apart from those of the line, whose images wait for no upload.
pub(super) const CODINGS_AT_ONCE_MAX: usize = 2;
/// Seconds after which one that was put off may come again.
const RETRY_AFTER_SECONDS: u64 = 10;
/// Longest boundary between parts. RFC 2046 section 5.1.1 allows 70; Orthanc's has 73.
const BOUNDARY_BYTES_MAX: usize = 200;

/// What storing requests share.
#[derive(Debug)]
pub(super) struct Storing {
    /// One permit for each request.
    pub(super) requests: Arc<Semaphore>,
    /// Running requests of each site.
    of_sites: Arc<Mutex<HashMap<SiteId, usize>>>,
    /// One permit for each object.
    pub(super) codings: Semaphore,
}

impl Default for Storing {
    fn default() -> Self {
        Self {
            requests: Arc::new(Semaphore::new(REQUESTS_AT_ONCE_MAX)),
            of_sites: Arc::default(),
            codings: Semaphore::new(CODINGS_AT_ONCE_MAX),
        }
    }
}

impl Storing {
    /// A turn for a request of this site; none while too many run.
    fn turn(&self, site_id: &SiteId) -> Option<Turn> {
        let permit = Arc::clone(&self.requests).try_acquire_owned().ok()?;
        let mut of_sites = self.of_sites.lock().unwrap_or_else(PoisonError::into_inner);
        let n_running = of_sites.entry(site_id.clone()).or_default();
        if *n_running >= REQUESTS_PER_SITE_MAX {
            return None;
        }
        *n_running += 1;
        Some(Turn {
            _permit: permit,
            of_sites: Arc::clone(&self.of_sites),
            site_id: site_id.clone(),
        })
    }
}

/// A request that runs; given back when dropped.
#[derive(Debug)]
struct Turn {
    _permit: OwnedSemaphorePermit,
    of_sites: Arc<Mutex<HashMap<SiteId, usize>>>,
    site_id: SiteId,
}

impl Drop for Turn {
    fn drop(&mut self) {
        let mut of_sites = self.of_sites.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(n_running) = of_sites.get_mut(&self.site_id) {
            *n_running -= 1;
            if *n_running == 0 {
                of_sites.remove(&self.site_id);
            }
        }
    }
}

/// Stores DICOM files at the person's site; per-instance results are in the answer.
#[utoipa::path(
    post, path = "/dicom-web/studies", tag = "dicomweb", operation_id = "store_instances",
    request_body(content_type = "multipart/related", description = "DICOM files, each as a part of application/dicom"),
    responses(
        (status = OK, content_type = "application/dicom+json", description = "all are stored"),
        (status = ACCEPTED, content_type = "application/dicom+json", description = "some are stored, or some are kept and not shown"),
        (status = CONFLICT, content_type = "application/dicom+json", description = "none is stored"),
    )
)]
pub(super) async fn store_instances(
    State(app): State<AppState>,
    caller: Caller,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, ApiError> {
    caller.require(Action::StoreInstances)?;
    store(&app, &caller, None, &headers, body).await
}

/// As storing without a study; instances of other studies are refused.
#[utoipa::path(
    post, path = "/dicom-web/studies/{study}", tag = "dicomweb", operation_id = "store_instances_of_study",
    params(("study" = String, Path, description = "Study Instance UID; the study need not be there yet")),
    request_body(content_type = "multipart/related", description = "DICOM files, each as a part of application/dicom"),
    responses(
        (status = OK, content_type = "application/dicom+json", description = "all are stored"),
        (status = ACCEPTED, content_type = "application/dicom+json", description = "some are stored, or some are kept and not shown"),
        (status = CONFLICT, content_type = "application/dicom+json", description = "none is stored"),
    )
)]
pub(super) async fn store_instances_of_study(
    State(app): State<AppState>,
    caller: Caller,
    Path(study): Path<String>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, ApiError> {
    caller.require(Action::StoreInstances)?;
    let study = StudyInstanceUid::parse(&study).map_err(|_| ApiError::not_found())?;
    store(&app, &caller, Some(study), &headers, body).await
}

async fn store(
    app: &AppState,
    caller: &Caller,
    study: Option<StudyInstanceUid>,
    headers: &HeaderMap,
    body: Body,
) -> Result<Response, ApiError> {
    let media = accept::choose_media(headers, &JSON_MEDIA).ok_or_else(not_acceptable)?;
    let boundary = boundary_of(headers)?;
    let Some(turn) = app.dicomweb.storing.turn(&caller.principal.site_id) else {
        let mut busy = ApiError::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "storing_busy",
            "others are storing instances; send it again in a moment",
        );
        busy.retry_after_seconds = Some(RETRY_AFTER_SECONDS);
        return Err(busy);
    };
    let request = Arc::new(Request {
        caller: caller.clone(),
        origin: origin_of(app, caller).await?,
        study,
        _turn: turn,
    });
    let mut parts = Parts::new(body, boundary);
    let mut outcome = Outcome::default();
    while let Some(received) = parts.next(app.incoming.dir()).await? {
        match received {
            Received::File(file) => match part::store(app, &request, file).await? {
                Ok(stored) => outcome.stored.push(stored),
                Err(failure) => outcome.failed.push(failure),
            },
            Received::Refused(failure) => outcome.failed.push(failure),
        }
    }
    outcome.answer(media, model::base_url(app))
}

/// The site's place for what people store, as the line has nodes.
async fn origin_of(app: &AppState, caller: &Caller) -> Result<Origin, ApiError> {
    let site_id = caller.principal.site_id.clone();
    let new_id = NodeId::new(secrets::new_uuid());
    let mut tx = app.db.write().await?;
    let node_id = nodes::ensure_upload_node(&mut tx, &caller.scope, &site_id, &new_id, app.now_ms()).await?;
    tx.commit().await?;
    Ok(Origin {
        network_id: caller.scope.network_id.clone(),
        site_id,
        node_id,
    })
}

/// The boundary of `multipart/related; type="application/dicom"`.
fn boundary_of(headers: &HeaderMap) -> Result<String, ApiError> {
    let refused = || {
        ApiError::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "media_type_not_supported",
            "multipart/related with type=\"application/dicom\" and a boundary expected",
        )
    };
    let content_type = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let (media, parameters) = accept::media_type(content_type.unwrap_or_default());
    let parameter = |wanted: &str| {
        let found = parameters.iter().find(|(name, _)| name == wanted);
        found.map(|(_, value)| value.as_str())
    };
    let is_dicom = parameter("type").is_none_or(|inner| inner.eq_ignore_ascii_case("application/dicom"));
    let boundary =
        parameter("boundary").filter(|boundary| (1..=BOUNDARY_BYTES_MAX).contains(&boundary.len()));
    match boundary {
        Some(boundary) if media == "multipart/related" && is_dicom => Ok(boundary.to_owned()),
        _ => Err(refused()),
    }
}

/// What became of the parts of a request.
#[derive(Debug, Default)]
struct Outcome {
    stored: Vec<Stored>,
    failed: Vec<Failure>,
}

impl Outcome {
    /// The response of PS3.18 section 10.5.3 with the model of table 10.5.3-2.
    fn answer(self, media: &'static str, base: &str) -> Result<Response, ApiError> {
        let status = match (self.stored.is_empty(), self.failed.is_empty()) {
            (true, true) => {
                return Err(ApiError::bad_request(
                    "nothing_to_store",
                    "at least one part with a DICOM file expected",
                ));
            }
            (false, true) if self.stored.iter().all(Stored::is_shown) => StatusCode::OK,
            (false, _) => StatusCode::ACCEPTED,
            (true, false) => StatusCode::CONFLICT,
        };
        let mut results = serde_json::Map::new();
        let studies: BTreeSet<&str> = self
            .stored
            .iter()
            .filter(|stored| stored.is_shown())
            .map(|stored| stored.study_id.as_str())
            .collect();
        let study = studies.first().filter(|_| studies.len() == 1);
        let address = study.map(|id| format!("/dicom-web/studies/{id}"));
        if let Some(address) = &address {
            results.insert("00081190".to_owned(), json!({ "vr": "UR", "Value": [address] }));
        }
        let sequence = |items: Vec<Value>| json!({ "vr": "SQ", "Value": items });
        if !self.stored.is_empty() {
            let items = self.stored.iter().map(Stored::item).collect();
            results.insert("00081199".to_owned(), sequence(items));
        }
        let (named, others): (Vec<&Failure>, Vec<&Failure>) =
            self.failed.iter().partition(|failure| failure.identity.is_some());
        if !named.is_empty() {
            let items = named.into_iter().map(Failure::item).collect();
            results.insert("00081198".to_owned(), sequence(items));
        }
        if !others.is_empty() {
            let items = others.into_iter().map(Failure::item).collect();
            results.insert("0008119A".to_owned(), sequence(items));
        }
        let mut results = Value::Object(results);
        model::complete_addresses(&mut results, base);
        let body = results.to_string();
        let mut response = (status, [(CONTENT_TYPE, media)], body).into_response();
        response.extensions_mut().insert(OwnDocument);
        let location = address.map(|address| format!("{base}{address}"));
        if let Some(location) = location.and_then(|address| address.parse().ok()) {
            response.headers_mut().insert(LOCATION, location);
        }
        Ok(response)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_site_leaves_turns_to_the_others() {
        let storing = Storing::default();
        let site = |n: u128| SiteId::new(uuid::Uuid::from_u128(n));
        let slow: Vec<Turn> = (0..REQUESTS_PER_SITE_MAX)
            .map(|_| storing.turn(&site(1)).unwrap())
            .collect();
        assert!(storing.turn(&site(1)).is_none());
        assert!(storing.turn(&site(2)).is_some());
        drop(slow);
        assert!(storing.turn(&site(1)).is_some());
        assert!(storing.of_sites.lock().unwrap().is_empty());
        let all: Vec<Option<Turn>> = (0..=REQUESTS_AT_ONCE_MAX)
            .map(|n| storing.turn(&site(n as u128 + 10)))
            .collect();
        assert_eq!(all.iter().flatten().count(), REQUESTS_AT_ONCE_MAX);
    }
}
