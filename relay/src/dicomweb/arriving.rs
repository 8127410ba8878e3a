//! What a viewer may have of instances that are still arriving: their metadata as soon as their head is here, and their
//! frames in low resolution. DICOMweb knows whole instances only, so these are routes of our own.

use std::fs::File;
use std::io::Write;

use axum::extract::{Path, State};
use axum::http::header::{CONTENT_TYPE, ETAG};
use axum::http::{HeaderName, StatusCode};
use axum::response::{IntoResponse, Response};
use sha2::{Digest as _, Sha256};
use tancho_domain::ids::SiteId;
use tancho_imaging::container::{Container, ContainerError};
use tancho_store::instances::{self, Instance, Study};
use tancho_wire::Digest;

use super::address::{Address, find_study};
use super::wado::{FrameForm, Reader, blocking, describe, frame_numbers};
use super::{DICOM_JSON, FrameMemory, access, model, stream};
use crate::blobs::{BlobError, hex};
use crate::error::ApiError;
use crate::http::caller::Caller;
use crate::ingest::incoming::part_key;
use crate::ingest::preview;
use crate::state::AppState;

/// Columns of the image that a preview holds.
const PREVIEW_COLUMNS: HeaderName = HeaderName::from_static("tancho-preview-columns");
/// Rows of it.
const PREVIEW_ROWS: HeaderName = HeaderName::from_static("tancho-preview-rows");
/// Entity tag that the whole frame has in this form: it begins with these bytes, and a range of it goes on with them.
const FRAME_ETAG: HeaderName = HeaderName::from_static("tancho-frame-etag");
/// How often the sides of the original were halved to get there.
const PREVIEW_HALVINGS: HeaderName = HeaderName::from_static("tancho-preview-halvings");

/// Metadata of every instance of a series whose head is here, whole or not.
#[utoipa::path(
    get, path = "/api/v1/studies/{study_id}/series/{series}/metadata", tag = "studies",
    operation_id = "get_listed_metadata",
    params(("study_id" = String, Path), ("series" = String, Path, description = "Series Instance UID")),
    responses((status = OK, content_type = "application/dicom+json"))
)]
pub(super) async fn listed_metadata(
    State(app): State<AppState>,
    caller: Caller,
    Path(path): Path<(String, String)>,
) -> Result<Response, ApiError> {
    let (study, instances) = listed(&app, &caller, &Address::of_series(path)).await?;
    let reader = Reader::new(&app, &caller);
    let network_id = caller.scope.network_id;
    let body = stream::body("metadata", move |out| {
        out.write_all(b"[")?;
        let mut is_first = true;
        for instance in &instances {
            let metadata = if instance.is_verified() {
                reader.metadata(instance)
            } else {
                let part = part_of(&app, &study.site_id, instance)
                    .map(|part| app.dictionaries.resolve(&network_id, part));
                // Moved to the blob store just now, or its head is not readable yet: the next answer has it.
                let read = part.or_else(|_| reader.container(instance));
                let read = read.map_err(anyhow::Error::from);
                match read.and_then(|part| describe(instance, part, model::base_url(&app))) {
                    Ok(metadata) => metadata,
                    Err(error) => {
                        tracing::warn!(instance.id = %instance.id, error = format!("{error:#}"),
                            "metadata of an arriving instance not readable");
                        continue;
                    }
                }
            };
            if !std::mem::take(&mut is_first) {
                out.write_all(b",")?;
            }
            serde_json::to_writer(&mut *out, &metadata)?;
        }
        out.write_all(b"]")
    });
    Ok(([(CONTENT_TYPE, DICOM_JSON)], body).into_response())
}

/// A frame in low resolution: the beginning of its HTJ2K codestream, checked against its digest, while the rest is still
/// arriving. It is not the original; a diagnosis is made on that.
#[utoipa::path(
    get, path = "/api/v1/studies/{study_id}/instances/{instance}/frames/{frame}/preview", tag = "studies",
    operation_id = "get_frame_preview",
    params(
        ("study_id" = String, Path), ("instance" = String, Path, description = "SOP Instance UID"),
        ("frame" = String, Path, description = "number from 1"),
    ),
    responses((
        status = OK, content_type = "image/jphc",
        description = "first bytes of a codestream; `preview_not_there` (404) until they have come",
        headers(
            ("tancho-preview-columns" = u32, description = "columns of the image they hold"),
            ("tancho-preview-rows" = u32, description = "rows of the image they hold"),
            ("tancho-preview-halvings" = u8, description = "how often the sides of the original were halved"),
            ("tancho-frame-etag" = String, description = "entity tag of the frame that begins with these bytes"),
        ),
    ))
)]
pub(super) async fn frame_preview(
    State(app): State<AppState>,
    caller: Caller,
    Path((study, instance, frame)): Path<(String, String, String)>,
) -> Result<Response, ApiError> {
    let address = Address {
        study,
        series: None,
        instance: Some(instance),
    };
    let (study, instances) = listed(&app, &caller, &address).await?;
    let [number] = frame_numbers(&frame)?[..] else {
        return Err(ApiError::bad_request(
            "frames_malformed",
            "one frame number expected",
        ));
    };
    let instance = instances.into_iter().next().ok_or_else(ApiError::not_found)?;
    let digest = Digest::parse_hex(&instance.container_sha256).ok_or_else(not_there)?;
    // The beginning of a codestream is never longer than its frame.
    let side = |pixels: Option<i64>| pixels.unwrap_or(0).clamp(0, i64::from(u16::MAX)) as u64;
    let frame_bytes = side(instance.frame_rows) * side(instance.frame_columns) * 6;
    let permit = app
        .dicomweb
        .frame_permit(FrameMemory::AtHand(frame_bytes))
        .await?;
    let network_id = caller.scope.network_id;
    let reading = app.clone();
    let low = blocking(move || {
        let _permit = permit;
        let of = (&network_id, &study.site_id);
        match preview::low_frame(&reading.incoming, &reading.blobs, of, digest, number) {
            Err(BlobError::Missing | BlobError::Damaged(ContainerError::NoSuchFrame(_))) => Ok(None),
            read => read,
        }
    })
    .await?;
    let low = low.ok_or_else(not_there)?;
    let section_sha256: [u8; 32] = Sha256::digest(&low.codestream).into();
    let headers = [
        (CONTENT_TYPE, FrameForm::htj2k().content_type()),
        (ETAG, format!("\"{}\"", hex(&section_sha256))),
        (PREVIEW_COLUMNS, low.columns.to_string()),
        (PREVIEW_ROWS, low.rows.to_string()),
        (PREVIEW_HALVINGS, low.halvings.to_string()),
        (
            FRAME_ETAG,
            FrameForm::htj2k().etag(&instance.container_sha256, number),
        ),
    ];
    Ok((headers, low.codestream).into_response())
}

/// The instances of an address that are listed, in order; the view is on record. None at all is 404.
async fn listed(
    app: &AppState,
    caller: &Caller,
    address: &Address,
) -> Result<(Study, Vec<Instance>), ApiError> {
    let study = find_study(app, caller, address).await?;
    let mut tx = app.db.read().await?;
    let (series, sop) = (address.series_uid()?, address.sop_uid()?);
    let found =
        instances::list_instances(&mut tx, &caller.scope, &study.id, series.as_ref(), sop.as_ref()).await?;
    drop(tx);
    if found.is_empty() {
        return Err(ApiError::not_found());
    }
    access::record_view(app, caller, &study.id).await?;
    Ok((study, found))
}

fn part_of(app: &AppState, site_id: &SiteId, instance: &Instance) -> Result<Container<File>, BlobError> {
    let digest = Digest::parse_hex(&instance.container_sha256).ok_or(BlobError::Missing)?;
    let part = File::open(app.incoming.path(&part_key(site_id, digest)))?;
    Ok(Container::open_part(part)?)
}

fn not_there() -> ApiError {
    ApiError::new(
        StatusCode::NOT_FOUND,
        "preview_not_there",
        "it has not arrived yet, or this frame has no low-resolution beginning",
    )
}
