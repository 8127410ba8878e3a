//! QIDO-RS (PS3.18 section 10.6): searching studies, series and instances by any attribute.
//!
//! `query` reads the address, `matching` compares, `search` looks. An unknown parameter is an error, not an unfiltered
//! answer. How many match is in `X-Total-Count`, whatever part of them was asked for; it is left out, with a warning, where
//! a search ended at its limit.

mod matching;
mod query;
mod search;

use axum::extract::{Path, Query, State};
use axum::http::header::{CONTENT_TYPE, WARNING};
use axum::http::{HeaderMap, HeaderName, HeaderValue};
use axum::response::{IntoResponse, Response};
use serde_json::Value;
use tancho_domain::access::Action;
use tancho_store::instances;

use super::JSON_MEDIA;
use super::accept;
use super::address::{Address, find_study};
use super::model;
use super::wado::not_acceptable;
use crate::error::ApiError;
use crate::http::caller::Caller;
use crate::state::AppState;
use query::Search;
pub(super) use search::Limits;
use search::{Level, Within};

/// How many match.
const TOTAL_COUNT: HeaderName = HeaderName::from_static("x-total-count");

type Parameters = Query<Vec<(String, String)>>;

impl Level {
    /// Most models of one answer.
    fn page_max(self) -> usize {
        match self {
            Self::Study => 200,
            Self::Series => 500,
            Self::Instance => 5_000,
        }
    }
}

/// Searches studies within reach, the latest arrival first. Any attribute may be a key, by keyword or tag; `StudyDate`
/// and its like take ranges, text takes `*` and `?`, UIDs may be a list, and an attribute of a sequence is written behind
/// it and a full stop.
#[utoipa::path(
    get, path = "/dicom-web/studies", tag = "dicomweb", operation_id = "search_studies",
    params(
        ("StudyInstanceUID" = Option<String>, Query, description = "only these studies, separated by commas"),
        ("PatientID" = Option<String>, Query), ("PatientName" = Option<String>, Query),
        ("StudyDate" = Option<String>, Query, description = "`YYYYMMDD`, or a range with `-`"),
        ("AccessionNumber" = Option<String>, Query), ("ModalitiesInStudy" = Option<String>, Query),
        ("fuzzymatching" = Option<bool>, Query, description = "a name is found by kanji, kana or romaji"),
        ("includefield" = Option<String>, Query, description = "`all`, or attributes separated by commas"),
        ("limit" = Option<u32>, Query, description = "at most 200"), ("offset" = Option<u32>, Query),
    ),
    responses((
        status = OK, content_type = "application/dicom+json",
        headers(("x-total-count" = u32, description = "how many match"))
    ))
)]
pub(super) async fn search_studies(
    State(app): State<AppState>,
    caller: Caller,
    Query(parameters): Parameters,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    caller.require(Action::ViewImages)?;
    answer(
        &app,
        &caller,
        Level::Study,
        Within::default(),
        (&parameters, &headers),
    )
    .await
}

/// Searches the series of all studies within reach; as for studies.
#[utoipa::path(
    get, path = "/dicom-web/series", tag = "dicomweb", operation_id = "search_all_series",
    params(
        ("Modality" = Option<String>, Query), ("limit" = Option<u32>, Query, description = "at most 500"),
        ("offset" = Option<u32>, Query),
    ),
    responses((status = OK, content_type = "application/dicom+json"))
)]
pub(super) async fn search_all_series(
    State(app): State<AppState>,
    caller: Caller,
    Query(parameters): Parameters,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    caller.require(Action::ViewImages)?;
    answer(
        &app,
        &caller,
        Level::Series,
        Within::default(),
        (&parameters, &headers),
    )
    .await
}

/// Searches the whole instances of all studies within reach; as for studies.
#[utoipa::path(
    get, path = "/dicom-web/instances", tag = "dicomweb", operation_id = "search_all_instances",
    params(
        ("SOPInstanceUID" = Option<String>, Query),
        ("limit" = Option<u32>, Query, description = "at most 5000; 500 with attributes that only headers have"),
        ("offset" = Option<u32>, Query),
    ),
    responses((status = OK, content_type = "application/dicom+json"))
)]
pub(super) async fn search_all_instances(
    State(app): State<AppState>,
    caller: Caller,
    Query(parameters): Parameters,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    caller.require(Action::ViewImages)?;
    answer(
        &app,
        &caller,
        Level::Instance,
        Within::default(),
        (&parameters, &headers),
    )
    .await
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
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let within = within(&app, &caller, &Address::of_study(study)).await?;
    answer(&app, &caller, Level::Series, within, (&parameters, &headers)).await
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
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let within = within(&app, &caller, &Address::of_study(study)).await?;
    answer(&app, &caller, Level::Instance, within, (&parameters, &headers)).await
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
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let within = within(&app, &caller, &Address::of_series(path)).await?;
    answer(&app, &caller, Level::Instance, within, (&parameters, &headers)).await
}

async fn within(app: &AppState, caller: &Caller, address: &Address) -> Result<Within, ApiError> {
    let study = find_study(app, caller, address).await?;
    let series = address.series_uid()?;
    if series.is_some() {
        let mut tx = app.db.read().await?;
        let found = instances::list_series(&mut tx, &caller.scope, &study.id, series.as_ref()).await?;
        if found.is_empty() {
            return Err(ApiError::not_found());
        }
    }
    Ok(Within {
        study: Some(study),
        series,
    })
}

async fn answer(
    app: &AppState,
    caller: &Caller,
    level: Level,
    within: Within,
    (parameters, headers): (&[(String, String)], &HeaderMap),
) -> Result<Response, ApiError> {
    let media = accept::choose_media(headers, &JSON_MEDIA).ok_or_else(not_acceptable)?;
    let asked = Search::parse(parameters)?;
    let mut found = search::search(app, caller, level, within, &asked, level.page_max()).await?;
    let base = model::base_url(app);
    found
        .models
        .iter_mut()
        .for_each(|found| model::complete_addresses(found, base));
    let n_left = found
        .total
        .saturating_sub(asked.offset)
        .saturating_sub(found.models.len());
    let is_cut = n_left > 0 && asked.limit.is_none_or(|limit| limit > found.models.len());
    let body = Value::Array(found.models).to_string();
    let mut response = ([(CONTENT_TYPE, media)], body).into_response();
    let headers = response.headers_mut();
    if !found.is_complete {
        // How many match is not known.
        let text = "299 tancho \"The search ended at the limit of what one search looks through: \
                    more may match, narrow it by date, patient or UID\"";
        headers.insert(WARNING, HeaderValue::from_static(text));
        return Ok(response);
    }
    headers.insert(TOTAL_COUNT, HeaderValue::from(found.total));
    if is_cut {
        // PS3.18 section 10.6.3.
        let text = format!("299 tancho \"There are {n_left} additional results that can be requested\"");
        headers.insert(WARNING, HeaderValue::from_str(&text).map_err(ApiError::internal)?);
    }
    Ok(response)
}
