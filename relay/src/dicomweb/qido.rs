//! QIDO-RS (PS3.18 section 10.6): searching by UID.
//!
//! Matching by patient is not offered: it would put patient data into addresses. An unknown parameter is an error,
//! not an unfiltered answer.

use axum::extract::{Path, Query, State};
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use serde_json::Value;
use tancho_domain::access::Action;
use tancho_domain::dicom::StudyInstanceUid;
use tancho_store::instances::{self, Instance, STUDIES_PAGE_MAX};

use super::address::{Address, find_study};
use super::{DICOM_JSON, model};
use crate::error::ApiError;
use crate::http::caller::Caller;
use crate::state::AppState;

type Parameters = Query<Vec<(String, String)>>;

/// What a search asks for.
#[derive(Debug, Default, PartialEq, Eq)]
struct Search {
    study_instance_uid: Option<StudyInstanceUid>,
    limit: Option<usize>,
    offset: usize,
}

/// Searches studies within reach, the latest arrival first.
#[utoipa::path(
    get, path = "/dicom-web/studies", tag = "dicomweb", operation_id = "search_studies",
    params(
        ("StudyInstanceUID" = Option<String>, Query, description = "only this study"),
        ("limit" = Option<u32>, Query, description = "at most 200"), ("offset" = Option<u32>, Query),
    ),
    responses((status = OK, content_type = "application/dicom+json"))
)]
pub(super) async fn search_studies(
    State(app): State<AppState>,
    caller: Caller,
    Query(parameters): Parameters,
) -> Result<Response, ApiError> {
    caller.require(Action::ViewImages)?;
    let search = Search::parse(&parameters)?;
    let limit = search.limit.map_or(STUDIES_PAGE_MAX, |limit| {
        i64::try_from(limit).unwrap_or(STUDIES_PAGE_MAX)
    });
    let offset = i64::try_from(search.offset).unwrap_or(i64::MAX);
    let uid = search.study_instance_uid.as_ref();
    let mut tx = app.db.read().await?;
    let mut found = Vec::new();
    for study in instances::list_studies(&mut tx, &caller.scope, uid, limit, offset).await? {
        let modalities = instances::list_modalities(&mut tx, &caller.scope, &study.id).await?;
        found.push(model::study(&study, &modalities));
    }
    Ok(answer(found))
}

/// The series of a study.
#[utoipa::path(
    get, path = "/dicom-web/studies/{study}/series", tag = "dicomweb", operation_id = "search_series",
    params(("study" = String, Path, description = "Study Instance UID or the relay's own study id")),
    responses((status = OK, content_type = "application/dicom+json"))
)]
pub(super) async fn search_series(
    State(app): State<AppState>,
    caller: Caller,
    Path(study): Path<String>,
    Query(parameters): Parameters,
) -> Result<Response, ApiError> {
    let study = find_study(&app, &caller, &Address::of_study(study)).await?;
    let search = Search::parse(&parameters)?;
    let mut tx = app.db.read().await?;
    let found = instances::list_series(&mut tx, &caller.scope, &study.id, None).await?;
    Ok(answer(
        search.page(found.iter().map(|series| model::series(&study, series))),
    ))
}

/// The instances of a study that are whole.
#[utoipa::path(
    get, path = "/dicom-web/studies/{study}/instances", tag = "dicomweb", operation_id = "search_study_instances",
    params(("study" = String, Path, description = "Study Instance UID or the relay's own study id")),
    responses((status = OK, content_type = "application/dicom+json"))
)]
pub(super) async fn search_study_instances(
    State(app): State<AppState>,
    caller: Caller,
    Path(study): Path<String>,
    Query(parameters): Parameters,
) -> Result<Response, ApiError> {
    search_instances(&app, &caller, &Address::of_study(study), &parameters).await
}

/// The instances of a series that are whole.
#[utoipa::path(
    get, path = "/dicom-web/studies/{study}/series/{series}/instances", tag = "dicomweb",
    operation_id = "search_series_instances",
    params(
        ("study" = String, Path, description = "Study Instance UID or the relay's own study id"),
        ("series" = String, Path, description = "Series Instance UID"),
    ),
    responses((status = OK, content_type = "application/dicom+json"))
)]
pub(super) async fn search_series_instances(
    State(app): State<AppState>,
    caller: Caller,
    Path(path): Path<(String, String)>,
    Query(parameters): Parameters,
) -> Result<Response, ApiError> {
    search_instances(&app, &caller, &Address::of_series(path), &parameters).await
}

async fn search_instances(
    app: &AppState,
    caller: &Caller,
    address: &Address,
    parameters: &[(String, String)],
) -> Result<Response, ApiError> {
    let study = find_study(app, caller, address).await?;
    let search = Search::parse(parameters)?;
    let series_uid = address.series_uid()?;
    let mut tx = app.db.read().await?;
    if let Some(uid) = &series_uid
        && instances::list_series(&mut tx, &caller.scope, &study.id, Some(uid))
            .await?
            .is_empty()
    {
        return Err(ApiError::not_found());
    }
    let found =
        instances::list_instances(&mut tx, &caller.scope, &study.id, series_uid.as_ref(), None).await?;
    Ok(answer(
        search.page(
            found
                .iter()
                .filter(|instance| instance.is_verified())
                .map(model_of),
        ),
    ))
}

fn model_of(instance: &Instance) -> Value {
    model::instance(instance)
}

fn answer(found: Vec<Value>) -> Response {
    ([(CONTENT_TYPE, DICOM_JSON)], Value::Array(found).to_string()).into_response()
}

impl Search {
    fn parse(parameters: &[(String, String)]) -> Result<Self, ApiError> {
        let mut search = Self::default();
        let malformed = |name: &str| ApiError::bad_request("query_malformed", format!("{name} is malformed"));
        for (name, value) in parameters {
            match name.as_str() {
                "StudyInstanceUID" | "0020000D" => {
                    let uid = StudyInstanceUid::parse(value).map_err(|_| malformed(name))?;
                    search.study_instance_uid = Some(uid);
                }
                "limit" => search.limit = Some(value.parse().map_err(|_| malformed(name))?),
                "offset" => search.offset = value.parse().map_err(|_| malformed(name))?,
                // All we have is returned anyway.
                "includefield" | "fuzzymatching" => {}
                _ => {
                    return Err(ApiError::bad_request(
                        "query_not_supported",
                        "matching is by StudyInstanceUID only: an address must not hold patient data",
                    ));
                }
            }
        }
        Ok(search)
    }

    fn page(&self, found: impl Iterator<Item = Value>) -> Vec<Value> {
        found
            .skip(self.offset)
            .take(self.limit.unwrap_or(usize::MAX))
            .collect()
    }
}
