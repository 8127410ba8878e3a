//! WADO-RS (PS3.18 section 10.4): metadata, frames, bulk data and whole instances, straight from the containers.

use std::fs::File;
use std::io::{self, Write};

use axum::extract::{Path, State};
use axum::http::header::{ACCEPT_RANGES, CONTENT_RANGE, CONTENT_TYPE, ETAG, RANGE};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use tancho_domain::dicom::TransferSyntaxUid;
use tancho_domain::ids::NetworkId;
use tancho_imaging::container::{Container, ContainerError};
use tancho_imaging::limits::ScanLimits;
use tancho_imaging::metadata::{self, Extent, MetadataError, MetadataOptions};
use tancho_imaging::part10;
use tancho_imaging::syntax::{self, Codestream, Syntax};
use tancho_store::instances::Instance;

use super::accept::{self, Wrapping};
use super::address::{Address, locate};
use super::ranges::{self, Asked};
use super::{DICOM_JSON, model, stream};
use crate::blobs::{BlobError, Blobs, parse_hex};
use crate::error::ApiError;
use crate::http::caller::Caller;
use crate::state::AppState;

/// Frames of one request.
const FRAMES_MAX: usize = 1000;
/// Longest binary value carried inside metadata, in bytes; palettes and short private blocks fit.
const INLINE_BYTES_MAX: u64 = 8 * 1024;
const OCTETS: &str = "application/octet-stream";
const DICOM: &str = "application/dicom";

/// Metadata of every whole instance of a study.
#[utoipa::path(
    get, path = "/dicom-web/studies/{study}/metadata", tag = "dicomweb", operation_id = "get_study_metadata",
    params(("study" = String, Path, description = "Study Instance UID or the relay's own study id")),
    responses((status = OK, content_type = "application/dicom+json"))
)]
pub(super) async fn study_metadata(
    State(app): State<AppState>,
    caller: Caller,
    Path(study): Path<String>,
) -> Result<Response, ApiError> {
    metadata_of(&app, &caller, &Address::of_study(study)).await
}

/// Metadata of every whole instance of a series.
#[utoipa::path(
    get, path = "/dicom-web/studies/{study}/series/{series}/metadata", tag = "dicomweb",
    operation_id = "get_series_metadata",
    params(("study" = String, Path), ("series" = String, Path)),
    responses((status = OK, content_type = "application/dicom+json"))
)]
pub(super) async fn series_metadata(
    State(app): State<AppState>,
    caller: Caller,
    Path(path): Path<(String, String)>,
) -> Result<Response, ApiError> {
    metadata_of(&app, &caller, &Address::of_series(path)).await
}

/// Metadata of one instance.
#[utoipa::path(
    get, path = "/dicom-web/studies/{study}/series/{series}/instances/{instance}/metadata", tag = "dicomweb",
    operation_id = "get_instance_metadata",
    params(("study" = String, Path), ("series" = String, Path), ("instance" = String, Path)),
    responses((status = OK, content_type = "application/dicom+json"))
)]
pub(super) async fn instance_metadata(
    State(app): State<AppState>,
    caller: Caller,
    Path(path): Path<(String, String, String)>,
) -> Result<Response, ApiError> {
    metadata_of(&app, &caller, &Address::of_instance(path)).await
}

async fn metadata_of(app: &AppState, caller: &Caller, address: &Address) -> Result<Response, ApiError> {
    let instances = locate(app, caller, address).await?;
    let reader = Reader::new(app, caller);
    let body = stream::body("metadata", move |out| {
        for (idx, instance) in instances.iter().enumerate() {
            out.write_all(if idx == 0 { b"[" } else { b"," })?;
            serde_json::to_writer(&mut *out, &reader.metadata(instance))?;
        }
        out.write_all(b"]")
    });
    Ok(([(CONTENT_TYPE, DICOM_JSON)], body).into_response())
}

/// Every whole instance of a study, as DICOM files.
#[utoipa::path(
    get, path = "/dicom-web/studies/{study}", tag = "dicomweb", operation_id = "retrieve_study",
    params(("study" = String, Path, description = "Study Instance UID or the relay's own study id")),
    responses((status = OK, content_type = "multipart/related"))
)]
pub(super) async fn retrieve_study(
    State(app): State<AppState>,
    caller: Caller,
    Path(study): Path<String>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    retrieve(&app, &caller, &Address::of_study(study), &headers).await
}

/// Every whole instance of a series, as DICOM files.
#[utoipa::path(
    get, path = "/dicom-web/studies/{study}/series/{series}", tag = "dicomweb", operation_id = "retrieve_series",
    params(("study" = String, Path), ("series" = String, Path)),
    responses((status = OK, content_type = "multipart/related"))
)]
pub(super) async fn retrieve_series(
    State(app): State<AppState>,
    caller: Caller,
    Path(path): Path<(String, String)>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    retrieve(&app, &caller, &Address::of_series(path), &headers).await
}

/// One instance as a DICOM file, in the transfer syntax it was received in; its data set is the original.
#[utoipa::path(
    get, path = "/dicom-web/studies/{study}/series/{series}/instances/{instance}", tag = "dicomweb",
    operation_id = "retrieve_instance",
    params(("study" = String, Path), ("series" = String, Path), ("instance" = String, Path)),
    responses((status = OK, content_type = "multipart/related"))
)]
pub(super) async fn retrieve_instance(
    State(app): State<AppState>,
    caller: Caller,
    Path(path): Path<(String, String, String)>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    retrieve(&app, &caller, &Address::of_instance(path), &headers).await
}

async fn retrieve(
    app: &AppState,
    caller: &Caller,
    address: &Address,
    headers: &HeaderMap,
) -> Result<Response, ApiError> {
    let instances = locate(app, caller, address).await?;
    let several = address.instance.is_none();
    let acceptable =
        |instance: &Instance| accept::choose(headers, DICOM, &instance.transfer_syntax_uid, several);
    let wrappings: Option<Vec<Wrapping>> = instances.iter().map(acceptable).collect();
    // Nothing said about wrapping means the standard's form.
    let wrapping = match wrappings.as_deref() {
        Some([Wrapping::Single, ..]) if headers.contains_key(axum::http::header::ACCEPT) && !several => {
            Wrapping::Single
        }
        Some(_) => Wrapping::Multipart,
        None => return Err(not_acceptable()),
    };
    let reader = Reader::new(app, caller);
    let opened = reader.clone();
    let first = instances[0].clone();
    // What is missing or damaged at the start is an answer, not a broken connection.
    blocking(move || opened.container(&first).map(drop)).await?;
    if wrapping == Wrapping::Single {
        let instance = instances[0].clone();
        let body = stream::body("an instance", move |out| reader.write_file(&instance, out));
        return Ok(([(CONTENT_TYPE, DICOM)], body).into_response());
    }
    let boundary = boundary(&instances[0]);
    let content_type = format!("multipart/related; type=\"{DICOM}\"; boundary={boundary}");
    let body = stream::body("an instance", move |out| {
        for instance in &instances {
            let of_part = format!("{DICOM};transfer-syntax={}", instance.transfer_syntax_uid);
            stream::begin_part(out, &boundary, &of_part)?;
            reader.write_file(instance, out)?;
            stream::end_part(out)?;
        }
        stream::end_parts(out, &boundary)
    });
    Ok(([(CONTENT_TYPE, content_type)], body).into_response())
}

/// Frames of an instance: one alone or several as `multipart/related`; one takes a Range, with If-Range where it goes on
/// with bytes that were had before.
#[utoipa::path(
    get, path = "/dicom-web/studies/{study}/series/{series}/instances/{instance}/frames/{frames}", tag = "dicomweb",
    operation_id = "retrieve_frames",
    params(
        ("study" = String, Path), ("series" = String, Path), ("instance" = String, Path),
        ("frames" = String, Path, description = "numbers from 1, separated by commas"),
    ),
    responses((status = OK, content_type = "application/octet-stream"), (status = PARTIAL_CONTENT))
)]
pub(super) async fn retrieve_frames(
    State(app): State<AppState>,
    caller: Caller,
    Path((study, series, instance, frames)): Path<(String, String, String, String)>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let located = locate(&app, &caller, &Address::of_instance((study, series, instance))).await?;
    let numbers = frame_numbers(&frames)?;
    let instance = located.into_iter().next().ok_or_else(ApiError::not_found)?;
    let reader = Reader::new(&app, &caller);
    let (opening, of) = (reader.clone(), instance.clone());
    let asked = numbers.clone();
    let (mut container, frame_bytes, has_codestreams) = blocking(move || {
        let container = opening.container(&of)?;
        let header = container.header();
        let sections = header.sections.iter().filter(|section| section.frame == 1);
        let frame_bytes = sections.map(|section| section.expanded_len).sum::<u64>();
        let has_codestreams = asked
            .iter()
            .all(|number| container.has_codestream(*number).unwrap_or(false));
        Ok((container, frame_bytes, has_codestreams))
    })
    .await?;
    if numbers.iter().any(|number| *number > container.frame_count()) {
        return Err(if container.frame_count() == 0 && instance.frame_rows.is_some() {
            ApiError::new(
                StatusCode::NOT_FOUND,
                "not_displayable",
                "its frames cannot be shown safely; the original can be retrieved",
            )
        } else {
            ApiError::not_found()
        });
    }
    let several = numbers.len() > 1;
    let coded = FrameForm::htj2k();
    let wrapping_coded = if has_codestreams {
        accept::choose_named(&headers, coded.media, &coded.transfer_syntax, several)
    } else {
        None
    };
    let form = match wrapping_coded {
        Some(_) => coded,
        None => FrameForm::of(&instance.transfer_syntax_uid),
    };
    // A range is of the frame's own bytes, so that the next one fits to it.
    let wrapping = if headers.contains_key(RANGE) && numbers.len() == 1 {
        Wrapping::Single
    } else {
        wrapping_coded
            .or_else(|| accept::choose(&headers, form.media, &form.transfer_syntax, several))
            .ok_or_else(not_acceptable)?
    };
    // Decoding a codestream takes its samples and as much again for the wavelet.
    let memory = if container.header().geometry.is_some() && !form.is_stored_htj2k {
        frame_bytes * 5
    } else {
        frame_bytes
    };
    let permit = app.dicomweb.frame_permit(memory).await?;
    let content_type = form.content_type();
    if wrapping == Wrapping::Single {
        let number = numbers[0];
        let etag = form.etag(&instance.container_sha256, number);
        let frame = blocking(move || {
            let frame = form.read(&mut container, number);
            frame
                .inspect_err(|error| reader.suspect(&instance, error))
                .map_err(BlobError::from)
        })
        .await?;
        drop(permit);
        return Ok(frame_answer(&headers, frame, &content_type, &etag));
    }
    drop(permit);
    let boundary = boundary(&instance);
    let outer = format!("multipart/related; type=\"{}\"; boundary={boundary}", form.media);
    let body = stream::body("frames", move |out| {
        for number in numbers {
            stream::begin_part(out, &boundary, &content_type)?;
            let frame = form.read(&mut container, number);
            let frame = frame.inspect_err(|error| reader.suspect(&instance, error));
            out.write_all(&frame.map_err(io::Error::other)?)?;
            stream::end_part(out)?;
        }
        stream::end_parts(out, &boundary)
    });
    Ok(([(CONTENT_TYPE, outer)], body).into_response())
}

/// A long binary value that metadata names.
#[utoipa::path(
    get, path = "/dicom-web/studies/{study}/series/{series}/instances/{instance}/bulkdata/{path}", tag = "dicomweb",
    operation_id = "retrieve_bulk_data",
    params(
        ("study" = String, Path), ("series" = String, Path), ("instance" = String, Path),
        ("path" = String, Path, description = "as in BulkDataURI of the metadata"),
    ),
    responses((status = OK, content_type = "application/octet-stream"))
)]
pub(super) async fn retrieve_bulk_data(
    State(app): State<AppState>,
    caller: Caller,
    Path((study, series, instance, path)): Path<(String, String, String, String)>,
) -> Result<Response, ApiError> {
    let located = locate(&app, &caller, &Address::of_instance((study, series, instance))).await?;
    let instance = located.into_iter().next().ok_or_else(ApiError::not_found)?;
    let reader = Reader::new(&app, &caller);
    let value = blocking(move || {
        let mut container = reader.container(&instance)?;
        match metadata::bulk_value(&mut container, &path, &ScanLimits::default()) {
            Ok(value) => Ok(value),
            Err(MetadataError::Scan(_)) => Ok(None),
            Err(MetadataError::Container(error)) => {
                reader.suspect(&instance, &error);
                Err(error.into())
            }
        }
    })
    .await?;
    Ok(([(CONTENT_TYPE, OCTETS)], value.ok_or_else(ApiError::not_found)?).into_response())
}

/// How frames of a transfer syntax leave.
pub(super) struct FrameForm {
    media: &'static str,
    transfer_syntax: String,
    /// Native frames leave as the codestreams they are stored as.
    is_stored_htj2k: bool,
}

impl FrameForm {
    fn of(transfer_syntax: &str) -> Self {
        let encapsulated =
            TransferSyntaxUid::parse(transfer_syntax).is_ok_and(|uid| Syntax::of(&uid).encapsulated);
        if !encapsulated || syntax::codestream_of(transfer_syntax) == Codestream::Uncompressed {
            return Self {
                media: OCTETS,
                transfer_syntax: syntax::EXPLICIT_LITTLE.to_owned(),
                is_stored_htj2k: false,
            };
        }
        Self {
            media: syntax::frame_media_type(transfer_syntax),
            transfer_syntax: transfer_syntax.to_owned(),
            is_stored_htj2k: false,
        }
    }

    /// Frames that were received uncompressed, in the form they travelled in.
    pub(super) fn htj2k() -> Self {
        Self {
            media: syntax::frame_media_type(syntax::HTJ2K_LOSSLESS_RPCL),
            transfer_syntax: syntax::HTJ2K_LOSSLESS_RPCL.to_owned(),
            is_stored_htj2k: true,
        }
    }

    fn read(&self, container: &mut Container<File>, number: u32) -> Result<Vec<u8>, ContainerError> {
        if self.is_stored_htj2k {
            let codestream = container.codestream(number)?;
            return codestream.ok_or(ContainerError::NoSuchFrame(number));
        }
        container.frame_little_endian(number)
    }

    /// Strong (RFC 9110 section 8.8.3): a container never changes, and a frame leaves it in each form as one sequence of
    /// bytes.
    pub(super) fn etag(&self, container_sha256: &str, number: u32) -> String {
        format!("\"{container_sha256}-{number}-{}\"", self.transfer_syntax)
    }

    /// The transfer syntax is always named: viewers guess wrongly without it.
    pub(super) fn content_type(&self) -> String {
        format!("{};transfer-syntax={}", self.media, self.transfer_syntax)
    }
}

fn frame_answer(headers: &HeaderMap, frame: Vec<u8>, content_type: &str, etag: &str) -> Response {
    let total = frame.len();
    let fixed = [
        (CONTENT_TYPE, content_type.to_owned()),
        (ACCEPT_RANGES, "bytes".to_owned()),
        (ETAG, etag.to_owned()),
    ];
    match ranges::asked(headers, total, etag) {
        Asked::Whole => (fixed, frame).into_response(),
        Asked::Part(range) => {
            let content_range = format!("bytes {}-{}/{total}", range.start, range.end - 1);
            let part = axum::body::Bytes::from(frame).slice(range);
            (
                StatusCode::PARTIAL_CONTENT,
                fixed,
                [(CONTENT_RANGE, content_range)],
                part,
            )
                .into_response()
        }
        Asked::Unsatisfiable => {
            let refusal = ApiError::new(
                StatusCode::RANGE_NOT_SATISFIABLE,
                "range_beyond_frame",
                format!("a range within {total} bytes expected"),
            );
            ([(CONTENT_RANGE, format!("bytes */{total}"))], refusal).into_response()
        }
    }
}

pub(super) fn frame_numbers(text: &str) -> Result<Vec<u32>, ApiError> {
    let numbers: Option<Vec<u32>> = text
        .split(',')
        .map(|number| number.parse().ok().filter(|number| *number > 0))
        .collect();
    match numbers {
        Some(numbers) if numbers.len() <= FRAMES_MAX => Ok(numbers),
        Some(_) => Err(ApiError::bad_request(
            "too_many_frames",
            format!("at most {FRAMES_MAX} frames expected"),
        )),
        None => Err(ApiError::bad_request(
            "frames_malformed",
            "frame numbers from 1, separated by commas, expected",
        )),
    }
}

fn not_acceptable() -> ApiError {
    ApiError::new(
        StatusCode::NOT_ACCEPTABLE,
        "not_acceptable",
        "nothing is transcoded: take the stored transfer syntax, or name none",
    )
}

/// The same for every answer about one instance, and in no content by chance.
fn boundary(instance: &Instance) -> String {
    format!(
        "tancho-{}",
        &instance.container_sha256[..40.min(instance.container_sha256.len())]
    )
}

pub(super) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, BlobError> + Send + 'static,
) -> Result<T, ApiError> {
    tokio::task::spawn_blocking(work)
        .await
        .map_err(ApiError::internal)?
        .map_err(refusal)
}

/// Damage is never shown: the client is told, the log names the cause, the scrub finds the blob.
fn refusal(error: BlobError) -> ApiError {
    match error {
        BlobError::Damaged(ContainerError::TooLarge(_)) => ApiError::not_found(),
        BlobError::Damaged(_) | BlobError::Missing | BlobError::NotItsDigest => {
            let mut refusal = ApiError::internal(error);
            refusal.code = "instance_damaged".into();
            refusal.detail =
                "the stored bytes are damaged and are not shown; the site can send them again".to_owned();
            refusal
        }
        BlobError::Io(_) | BlobError::NotDurable(_) => ApiError::unavailable(error),
    }
}

/// The metadata of an instance, from its container; while it arrives, from the head.
pub(super) fn describe(
    instance: &Instance,
    mut container: Container<File>,
) -> anyhow::Result<serde_json::Value> {
    let options = MetadataOptions {
        bulk_data_base_url: Some(model::instance_address(instance)),
        inline_bytes_max: INLINE_BYTES_MAX,
        limits: ScanLimits::default(),
    };
    let extent = if instance.is_verified() {
        Extent::Whole
    } else {
        Extent::Head
    };
    Ok(metadata::of_container(&mut container, extent, &options)?)
}

/// Opens the containers of one network.
#[derive(Clone)]
pub(super) struct Reader {
    blobs: Blobs,
    network_id: NetworkId,
}

impl Reader {
    pub(super) fn new(app: &AppState, caller: &Caller) -> Self {
        Self {
            blobs: app.blobs.clone(),
            network_id: caller.scope.network_id.clone(),
        }
    }

    pub(super) fn container(&self, instance: &Instance) -> Result<Container<File>, BlobError> {
        let digest = parse_hex(&instance.container_sha256).ok_or(BlobError::Missing)?;
        self.blobs.container(&self.network_id, &digest)
    }

    /// The metadata of an instance. One bad instance does not hide the others of its series: where its bytes cannot
    /// be read, what the index knows stands for it.
    pub(super) fn metadata(&self, instance: &Instance) -> serde_json::Value {
        let read = || -> anyhow::Result<serde_json::Value> { describe(instance, self.container(instance)?) };
        read().unwrap_or_else(|error| {
            tracing::error!(instance.id = %instance.id, error = format!("{error:#}"), "metadata not readable");
            model::instance(instance)
        })
    }

    /// The instance as a DICOM file. Every section is checked as it passes, the whole at the end.
    fn write_file(&self, instance: &Instance, out: &mut impl Write) -> io::Result<()> {
        let mut container = self.container(instance).map_err(io::Error::other)?;
        let header = container.header();
        out.write_all(&part10::header(
            &header.transfer_syntax,
            &header.sop_class_uid,
            &header.sop_instance_uid,
        ))?;
        let rebuilt = container.rebuild(out);
        rebuilt
            .inspect_err(|error| self.suspect(instance, error))
            .map_err(|error| match error {
                ContainerError::Io(error) => error,
                other => io::Error::other(other),
            })?;
        Ok(())
    }

    /// Has the scrub look at a container that could not be read.
    fn suspect(&self, instance: &Instance, error: &ContainerError) {
        if !matches!(error, ContainerError::Io(_) | ContainerError::TooLarge(_))
            && let Some(digest) = parse_hex(&instance.container_sha256)
        {
            self.blobs.suspect(&self.network_id, &digest);
        }
    }
}
