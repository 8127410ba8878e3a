//! What an address means: the rows behind `studies/{study}/series/{series}/instances/{instance}`.

use axum::http::StatusCode;
use tancho_domain::access::Action;
use tancho_domain::dicom::{SeriesInstanceUid, SopInstanceUid};
use tancho_store::StoreError;
use tancho_store::instances::{self, Instance, Study, StudyKey};

use super::access;
use crate::error::ApiError;
use crate::http::caller::Caller;
use crate::state::AppState;

/// The parts of an address, as they came.
#[derive(Debug, Clone, Default)]
pub(super) struct Address {
    /// Study Instance UID or our id.
    pub(super) study: String,
    pub(super) series: Option<String>,
    pub(super) instance: Option<String>,
}

impl Address {
    pub(super) fn of_study(study: String) -> Self {
        Self {
            study,
            ..Self::default()
        }
    }

    pub(super) fn of_series((study, series): (String, String)) -> Self {
        Self {
            study,
            series: Some(series),
            instance: None,
        }
    }

    pub(super) fn of_instance((study, series, instance): (String, String, String)) -> Self {
        Self {
            study,
            series: Some(series),
            instance: Some(instance),
        }
    }

    pub(super) fn series_uid(&self) -> Result<Option<SeriesInstanceUid>, ApiError> {
        self.series
            .as_deref()
            .map(|text| SeriesInstanceUid::parse(text).map_err(|_| ApiError::not_found()))
            .transpose()
    }

    pub(super) fn sop_uid(&self) -> Result<Option<SopInstanceUid>, ApiError> {
        self.instance
            .as_deref()
            .map(|text| SopInstanceUid::parse(text).map_err(|_| ApiError::not_found()))
            .transpose()
    }
}

/// The study of an address, for searches inside it.
pub(super) async fn find_study(
    app: &AppState,
    caller: &Caller,
    address: &Address,
) -> Result<Study, ApiError> {
    caller.require(Action::ViewImages)?;
    let key = StudyKey::parse(&address.study).ok_or_else(ApiError::not_found)?;
    let mut tx = app.db.read().await?;
    match instances::get_study(&mut tx, &caller.scope, &key).await {
        Ok(study) => Ok(study),
        Err(StoreError::Conflict) => Err(ApiError::conflict(
            "study_ambiguous",
            "two sites sent studies of this UID: name the one you mean by its own id",
        )),
        Err(other) => Err(other.into()),
    }
}

/// The instances of an address that are whole, in order; the view is on record. None at all is 404; one that is still arriving says so.
pub(super) async fn locate(
    app: &AppState,
    caller: &Caller,
    address: &Address,
) -> Result<Vec<Instance>, ApiError> {
    let study = find_study(app, caller, address).await?;
    let mut tx = app.db.read().await?;
    let all = instances::list_instances(
        &mut tx,
        &caller.scope,
        &study.id,
        address.series_uid()?.as_ref(),
        address.sop_uid()?.as_ref(),
    )
    .await?;
    drop(tx);
    let arriving = !all.is_empty();
    let instances: Vec<Instance> = all.into_iter().filter(Instance::is_verified).collect();
    if instances.is_empty() {
        return Err(if arriving {
            ApiError::new(
                StatusCode::NOT_FOUND,
                "instance_arriving",
                "it has not fully arrived yet: ask again later",
            )
        } else {
            ApiError::not_found()
        });
    }
    access::record_view(app, caller, &study.id).await?;
    Ok(instances)
}
