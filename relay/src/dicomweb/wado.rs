//! WADO-RS (PS3.18 section 10.4): metadata, frames, bulk data and whole instances, straight from the containers.

use std::fs::File;
use std::io::{self, Write};

use axum::extract::{Path, State};
use axum::http::header::{
    ACCEPT, ACCEPT_RANGES, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, ETAG, RANGE, VARY,
};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use sha2::{Digest as _, Sha256};
use tancho_domain::dicom::{SopClassUid, SopInstanceUid, TransferSyntaxUid};
use tancho_domain::ids::NetworkId;
use tancho_imaging::codec::{DecodedFrame, FrameJob};
use tancho_imaging::container::{Container, ContainerError};
use tancho_imaging::limits::ScanLimits;
use tancho_imaging::metadata::{self, ElementsError, Extent, MetadataOptions};
use tancho_imaging::part10;
use tancho_imaging::syntax::{self, Codestream, Syntax};
use tancho_imaging::transcode::{self, Route, TranscodeError};
use tancho_store::instances::Instance;
use tokio::sync::OwnedSemaphorePermit;

use super::accept::{self, Origin, Rendition, Wrapping};
use super::address::{Address, locate};
use super::ranges::{self, Asked};
use super::{FrameMemory, JSON_MEDIA, model, stream};
use crate::blobs::{BlobError, Blobs, hex, parse_hex};
use crate::decoding::{DecodeFault, Subject};
use crate::error::ApiError;
use crate::http::caller::Caller;
use crate::state::AppState;

/// Frames of one request.
const FRAMES_MAX: usize = 1000;
/// Longest binary value carried inside metadata, in bytes; palettes and short private blocks fit.
const INLINE_BYTES_MAX: u64 = 8 * 1024;
const OCTETS: &str = "application/octet-stream";
const DICOM: &str = "application/dicom";
/// Path of Pixel Data among bulk data.
const PIXEL_DATA: &str = "7FE00010";

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
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    metadata_of(&app, &caller, &Address::of_study(study), &headers).await
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
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    metadata_of(&app, &caller, &Address::of_series(path), &headers).await
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
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    metadata_of(&app, &caller, &Address::of_instance(path), &headers).await
}

async fn metadata_of(
    app: &AppState,
    caller: &Caller,
    address: &Address,
    headers: &HeaderMap,
) -> Result<Response, ApiError> {
    let media = accept::choose_media(headers, &JSON_MEDIA).ok_or_else(not_acceptable)?;
    let instances = locate(app, caller, address).await?;
    // Weak: an encoding may be put over it, and another version of the relay may write the same in other bytes.
    let mut digest = Sha256::new();
    for instance in &instances {
        digest.update(instance.container_sha256.as_bytes());
    }
    digest.update(env!("CARGO_PKG_VERSION").as_bytes());
    digest.update(model::base_url(app).as_bytes());
    let etag = format!("W/\"{}\"", hex(&digest.finalize().into()));
    if ranges::is_known(headers, &etag) {
        return Ok((StatusCode::NOT_MODIFIED, [(ETAG, etag)]).into_response());
    }
    let reader = Reader::new(app, caller);
    let body = stream::body("metadata", move |out| {
        for (idx, instance) in instances.iter().enumerate() {
            out.write_all(if idx == 0 { b"[" } else { b"," })?;
            serde_json::to_writer(&mut *out, &reader.metadata(instance))?;
        }
        out.write_all(b"]")
    });
    let fixed = [
        (CONTENT_TYPE, media.to_owned()),
        (ETAG, etag),
        (VARY, "accept".to_owned()),
    ];
    Ok((fixed, body).into_response())
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

/// One instance as a DICOM file: its data set is the original, unless the Accept header names Explicit VR Little Endian.
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
    let mut files = Vec::with_capacity(instances.len());
    let mut wrapping = Wrapping::Multipart;
    for instance in instances {
        let renditions = file_renditions(&instance);
        let (at, wrapped) = accept::choose(headers, &renditions, several).ok_or_else(not_acceptable)?;
        // Nothing said about wrapping means the standard's form.
        if wrapped == Wrapping::Single && headers.contains_key(ACCEPT) && !several {
            wrapping = Wrapping::Single;
        }
        let is_transcoded = renditions[at].origin == Origin::Transcoded;
        files.push(InstanceFile {
            instance,
            is_transcoded,
        });
    }
    let reader = Reader::new(app, caller);
    let opening = reader.clone();
    // What is missing, damaged or not decodable at the start is an answer, not a broken connection.
    let opened = blocking(move || {
        opening.container(&files[0].instance)?;
        for file in files.iter().filter(|file| file.is_transcoded) {
            let mut container = opening.container(&file.instance)?;
            if Route::from(&container.header().transfer_syntax) == Some(Route::Decoded) {
                let _permit = opening.admission.wait(decoded_memory(&file.instance))?;
                let decoded = FrameJob::of(&mut container)
                    .and_then(|job| opening.decode(&file.instance, &job, &mut container, 1));
                if let Err(error) = decoded {
                    return Ok(Err(error));
                }
            }
        }
        Ok(Ok(files))
    });
    let files = opened.await?.map_err(undecoded)?;
    match <[InstanceFile; 1]>::try_from(files) {
        Ok([file]) if wrapping == Wrapping::Single => Ok(file_answer(headers, reader, file)),
        Ok([file]) => Ok(files_answer(reader, vec![file])),
        Err(files) => Ok(files_answer(reader, files)),
    }
}

/// An instance on its way out as a DICOM file.
struct InstanceFile {
    instance: Instance,
    is_transcoded: bool,
}

impl InstanceFile {
    fn transfer_syntax(&self) -> &str {
        if self.is_transcoded {
            syntax::EXPLICIT_LITTLE
        } else {
            &self.instance.transfer_syntax_uid
        }
    }
}

/// The transfer syntaxes an instance can be given in as a file.
fn file_renditions(instance: &Instance) -> Vec<Rendition> {
    let received = instance.transfer_syntax_uid.clone();
    let route = TransferSyntaxUid::parse(&received).ok();
    let route = route.and_then(|uid| Route::from(&uid)).filter(|route| {
        received != syntax::EXPLICIT_LITTLE && (*route != Route::Decoded || instance.number_of_frames > 0)
    });
    let file = |transfer_syntax, origin| Rendition {
        media: DICOM,
        transfer_syntax,
        origin,
    };
    let mut renditions = vec![file(received, Origin::Received)];
    if route.is_some() {
        renditions.push(file(syntax::EXPLICIT_LITTLE.to_owned(), Origin::Transcoded));
    }
    renditions
}

/// One file alone. As it was received it is the same bytes each time, so a range of them can be had.
fn file_answer(headers: &HeaderMap, reader: Reader, file: InstanceFile) -> Response {
    let etag = format!(
        "\"{}-{}\"",
        file.instance.container_sha256,
        file.transfer_syntax()
    );
    if ranges::is_known(headers, &etag) {
        return (StatusCode::NOT_MODIFIED, [(ETAG, etag)]).into_response();
    }
    let fixed = [
        (CONTENT_TYPE, DICOM.to_owned()),
        (VARY, "accept".to_owned()),
        (ETAG, etag.clone()),
    ];
    let Some(total) = received_len(&file) else {
        let body = stream::body("an instance", move |out| reader.write_file(&file, out));
        return (fixed, [(ACCEPT_RANGES, "none")], body).into_response();
    };
    let (status, range) = match ranges::asked(headers, total, &etag) {
        Asked::Whole => (StatusCode::OK, 0..total),
        Asked::Part(range) => (StatusCode::PARTIAL_CONTENT, range),
        Asked::Unsatisfiable => return unsatisfiable(total),
    };
    let mut answer = (status, fixed, [(ACCEPT_RANGES, "bytes")]).into_response();
    let answered = answer.headers_mut();
    answered.insert(CONTENT_LENGTH, range.len().into());
    if status == StatusCode::PARTIAL_CONTENT {
        let content_range = format!("bytes {}-{}/{total}", range.start, range.end - 1);
        answered.extend(content_range.parse().map(|value| (CONTENT_RANGE, value)));
    }
    *answer.body_mut() = stream::body("an instance", move |out| {
        // Only what ends before the end can stop there; up to the end, the digest of the whole decides.
        let ends_early = range.end < total;
        let mut window = stream::Window::new(out, range);
        match reader.write_file(&file, &mut window) {
            Err(_) if ends_early && window.is_full() => Ok(()),
            written => written,
        }
    });
    answer
}

/// Bytes of a file around what was received; `None` for one that is made while it is sent.
fn received_len(file: &InstanceFile) -> Option<usize> {
    if file.is_transcoded {
        return None;
    }
    let instance = &file.instance;
    let header = part10::header(
        &TransferSyntaxUid::parse(&instance.transfer_syntax_uid).ok()?,
        &SopClassUid::parse(&instance.sop_class_uid).ok()?,
        &SopInstanceUid::parse(&instance.sop_instance_uid).ok()?,
    );
    header
        .len()
        .checked_add(usize::try_from(instance.original_len).ok()?)
}

fn files_answer(reader: Reader, files: Vec<InstanceFile>) -> Response {
    let boundary = files
        .first()
        .map(|file| boundary(&file.instance))
        .unwrap_or_default();
    let content_type = format!("multipart/related; type=\"{DICOM}\"; boundary={boundary}");
    let body = stream::body("an instance", move |out| {
        for file in &files {
            let of_part = format!("{DICOM};transfer-syntax={}", file.transfer_syntax());
            stream::begin_part(out, &boundary, &of_part)?;
            reader.write_file(file, out)?;
            stream::end_part(out)?;
        }
        stream::end_parts(out, &boundary)
    });
    let fixed = [(CONTENT_TYPE, content_type), (VARY, "accept".to_owned())];
    (fixed, body).into_response()
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
    frames_of(&app, &caller, instance, numbers, &headers).await
}

async fn frames_of(
    app: &AppState,
    caller: &Caller,
    instance: Instance,
    numbers: Vec<u32>,
    headers: &HeaderMap,
) -> Result<Response, ApiError> {
    let reader = Reader::new(app, caller);
    let (opening, of) = (reader.clone(), instance.clone());
    let asked = numbers.clone();
    let (mut container, has_codestreams) = blocking(move || {
        let container = opening.container(&of)?;
        let has_codestreams = asked
            .iter()
            .all(|number| container.has_codestream(*number).unwrap_or(false));
        Ok((container, has_codestreams))
    })
    .await?;
    if numbers.iter().any(|number| *number > container.frame_count()) {
        return Err(not_displayable(&instance, container.frame_count()));
    }
    let several = numbers.len() > 1;
    let forms = FrameForm::all_of(&instance.transfer_syntax_uid, has_codestreams);
    let renditions: Vec<Rendition> = forms.iter().map(|form| form.0.clone()).collect();
    let chosen = accept::choose(headers, &renditions, several);
    // A range is of the frame's own bytes, so that the next one fits to it.
    let (at, wrapping) = match chosen {
        Some((at, _)) if headers.contains_key(RANGE) && !several => (at, Wrapping::Single),
        Some(chosen) => chosen,
        None if headers.contains_key(RANGE) && !several => {
            let received = renditions.iter().position(|one| one.origin == Origin::Received);
            (received.unwrap_or(0), Wrapping::Single)
        }
        None => return Err(not_acceptable()),
    };
    let form = forms[at].clone();
    let memory = match form.0.origin {
        Origin::Transcoded => decoded_memory(&instance),
        Origin::Received => received_memory(&container),
        Origin::Resting => FrameMemory::AtHand(frame_bytes(&container)),
    };
    let content_type = form.content_type();
    if wrapping == Wrapping::Single {
        let number = numbers[0];
        let etag = form.etag(&instance.container_sha256, number);
        if ranges::is_known(headers, &etag) {
            return Ok((StatusCode::NOT_MODIFIED, [(ETAG, etag)]).into_response());
        }
        let permit = app.dicomweb.frame_permit(memory).await?;
        let frame = blocking(move || {
            let _permit = permit;
            Ok(reader.frame(&instance, &mut container, &form, number))
        });
        let frame = frame.await?.map_err(undecoded)?;
        return Ok(frame_answer(headers, frame, &content_type, &etag));
    }
    let boundary = boundary(&instance);
    let outer = format!(
        "multipart/related; type=\"{}\"; boundary={boundary}",
        form.0.media
    );
    let first = numbers[0];
    // A frame that cannot be decoded is a refusal, not a broken connection.
    let (checking, of, wanted) = (reader.clone(), instance.clone(), form.clone());
    let permit = app.dicomweb.frame_permit(memory).await?;
    let opened = blocking(move || {
        let _permit = permit;
        if wanted.0.origin == Origin::Transcoded
            && let Err(error) = checking.frame(&of, &mut container, &wanted, first)
        {
            return Ok(Err(error));
        }
        Ok(Ok(container))
    });
    let mut container = opened.await?.map_err(undecoded)?;
    let body = stream::body("frames", move |out| {
        for number in numbers {
            stream::begin_part(out, &boundary, &content_type)?;
            let permit = reader.admission.wait(memory)?;
            let frame = reader.frame(&instance, &mut container, &form, number);
            drop(permit);
            out.write_all(&frame.map_err(io::Error::other)?)?;
            stream::end_part(out)?;
        }
        stream::end_parts(out, &boundary)
    });
    let fixed = [(CONTENT_TYPE, outer), (VARY, "accept".to_owned())];
    Ok((fixed, body).into_response())
}

/// Bytes of the first frame as it was received.
fn frame_bytes(container: &Container<File>) -> u64 {
    let sections = container.header().sections.iter();
    let of_first = sections.filter(|section| section.frame == 1);
    of_first.map(|section| section.expanded_len).sum()
}

/// Bytes that giving a frame as it was received takes; one that rests as HTJ2K is decoded.
fn received_memory(container: &Container<File>) -> FrameMemory {
    let is_decoded = container.header().geometry.is_some();
    FrameMemory::AtHand(frame_bytes(container) * if is_decoded { 5 } else { 1 })
}

/// Bytes that having a frame decoded takes here: its codestream and its samples. The decoder's own are the worker's.
fn decoded_memory(instance: &Instance) -> FrameMemory {
    let side = |pixels: Option<i64>| pixels.unwrap_or(0).clamp(0, i64::from(u16::MAX)) as u64;
    FrameMemory::Decoded(side(instance.frame_rows) * side(instance.frame_columns) * 3 * 4)
}

/// Lets a blocking thread wait until what it decodes fits into memory, and for what a worker decodes.
#[derive(Clone)]
struct Admission {
    app: AppState,
    runtime: tokio::runtime::Handle,
}

impl Admission {
    /// For the blocking threads of the current runtime.
    fn new(app: &AppState) -> Self {
        Self {
            app: app.clone(),
            runtime: tokio::runtime::Handle::current(),
        }
    }

    /// Blocks until the memory may be taken. Held while one frame is decoded, never while a client takes it: a slow
    /// one would keep the others waiting.
    fn wait(&self, memory: FrameMemory) -> io::Result<OwnedSemaphorePermit> {
        let permit = self.runtime.block_on(self.app.dicomweb.frame_permit(memory));
        permit.map_err(|_| io::Error::other("the relay is stopping"))
    }
}

fn not_displayable(instance: &Instance, frame_count: u32) -> ApiError {
    if frame_count == 0 && instance.frame_rows.is_some() {
        ApiError::new(
            StatusCode::NOT_FOUND,
            "not_displayable",
            "its frames cannot be shown safely; the original can be retrieved",
        )
    } else {
        ApiError::not_found()
    }
}

/// What a client hears of frames that were not decoded.
fn undecoded(error: TranscodeError) -> ApiError {
    undecoded_or(error, not_acceptable)
}

/// The same, with another answer for what is coded in a way that is not decoded here.
pub(super) fn undecoded_or(error: TranscodeError, not_decodable: impl FnOnce() -> ApiError) -> ApiError {
    match error {
        TranscodeError::NotDecodable | TranscodeError::Elements(ElementsError::Scan(_)) => not_decodable(),
        TranscodeError::Undone(code) if code == DecodeFault::Marked.code() => ApiError::new(
            StatusCode::NOT_ACCEPTABLE,
            code,
            "decoding it failed twice and is not tried again: retrieve the original, and ask the site to check what it sent",
        ),
        TranscodeError::Undone(code) => ApiError::new(
            StatusCode::SERVICE_UNAVAILABLE,
            code,
            "decoding it failed; ask again in a moment, or retrieve the original",
        ),
        TranscodeError::Elements(ElementsError::Container(error)) => refusal(error.into()),
        TranscodeError::Io(error) => ApiError::unavailable(error),
    }
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
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let located = locate(&app, &caller, &Address::of_instance((study, series, instance))).await?;
    let instance = located.into_iter().next().ok_or_else(ApiError::not_found)?;
    if path == PIXEL_DATA {
        return pixel_data(&app, &caller, instance, &headers).await;
    }
    let etag = format!("\"{}-{path}\"", instance.container_sha256);
    if ranges::is_known(&headers, &etag) {
        return Ok((StatusCode::NOT_MODIFIED, [(ETAG, etag)]).into_response());
    }
    let octets = [Rendition {
        media: OCTETS,
        transfer_syntax: syntax::EXPLICIT_LITTLE.to_owned(),
        origin: Origin::Received,
    }];
    let (_, wrapping) = accept::choose(&headers, &octets, false).ok_or_else(not_acceptable)?;
    let boundary = boundary(&instance);
    let permit = app
        .dicomweb
        .frame_permit(FrameMemory::AtHand(ScanLimits::default().max_value_bytes))
        .await?;
    let reader = Reader::new(&app, &caller);
    let value = blocking(move || {
        let _permit = permit;
        let mut container = reader.container(&instance)?;
        match metadata::bulk_value(&mut container, &path, &ScanLimits::default()) {
            Ok(value) => Ok(value),
            Err(ElementsError::Scan(_)) => Ok(None),
            Err(ElementsError::Container(error)) => {
                reader.suspect(&instance, &error);
                Err(error.into())
            }
        }
    })
    .await?;
    let value = value.ok_or_else(ApiError::not_found)?;
    if wrapping == Wrapping::Single {
        return Ok(frame_answer(&headers, value, OCTETS, &etag));
    }
    let mut body = Vec::new();
    stream::begin_part(&mut body, &boundary, OCTETS)
        .and_then(|()| body.write_all(&value))
        .and_then(|()| stream::end_part(&mut body))
        .and_then(|()| stream::end_parts(&mut body, &boundary))
        .map_err(ApiError::internal)?;
    let outer = format!("multipart/related; type=\"{OCTETS}\"; boundary={boundary}");
    Ok(([(CONTENT_TYPE, outer)], body).into_response())
}

/// All frames of an instance: native ones behind each other in one value, compressed ones each as a part.
async fn pixel_data(
    app: &AppState,
    caller: &Caller,
    instance: Instance,
    headers: &HeaderMap,
) -> Result<Response, ApiError> {
    let n_frames = u32::try_from(instance.number_of_frames).unwrap_or(0);
    if n_frames == 0 {
        return Err(not_displayable(&instance, 0));
    }
    let received = FrameForm::of(&instance.transfer_syntax_uid);
    if n_frames == 1 || received.0.media != OCTETS {
        return frames_of(app, caller, instance, (1..=n_frames).collect(), headers).await;
    }
    let (_, wrapping) =
        accept::choose(headers, std::slice::from_ref(&received.0), false).ok_or_else(not_acceptable)?;
    let reader = Reader::new(app, caller);
    let (opening, of) = (reader.clone(), instance.clone());
    let mut container = blocking(move || opening.container(&of)).await?;
    let memory = received_memory(&container);
    let (boundary, content_type) = (boundary(&instance), received.content_type());
    let outer = match wrapping {
        Wrapping::Single => content_type.clone(),
        Wrapping::Multipart => format!("multipart/related; type=\"{OCTETS}\"; boundary={boundary}"),
    };
    let body = stream::body("pixel data", move |out| {
        if wrapping == Wrapping::Multipart {
            stream::begin_part(out, &boundary, &content_type)?;
        }
        for number in 1..=n_frames {
            let permit = reader.admission.wait(memory)?;
            let frame = reader.frame(&instance, &mut container, &received, number);
            drop(permit);
            out.write_all(&frame.map_err(io::Error::other)?)?;
        }
        if wrapping == Wrapping::Multipart {
            stream::end_part(out)?;
            stream::end_parts(out, &boundary)?;
        }
        Ok(())
    });
    Ok(([(CONTENT_TYPE, outer)], body).into_response())
}

/// How frames of a transfer syntax leave.
#[derive(Debug, Clone)]
pub(super) struct FrameForm(Rendition);

impl FrameForm {
    /// As they were received; native ones in little endian.
    fn of(transfer_syntax: &str) -> Self {
        let encapsulated =
            TransferSyntaxUid::parse(transfer_syntax).is_ok_and(|uid| Syntax::of(&uid).encapsulated);
        let is_native = !encapsulated || syntax::codestream_of(transfer_syntax) == Codestream::Uncompressed;
        let (media, transfer_syntax) = if is_native {
            (OCTETS, syntax::EXPLICIT_LITTLE)
        } else {
            (syntax::frame_media_type(transfer_syntax), transfer_syntax)
        };
        Self(Rendition {
            media,
            transfer_syntax: transfer_syntax.to_owned(),
            origin: Origin::Received,
        })
    }

    /// Frames that were received uncompressed, in the form they travelled in.
    pub(super) fn htj2k() -> Self {
        Self(Rendition {
            media: syntax::frame_media_type(syntax::HTJ2K_LOSSLESS_RPCL),
            transfer_syntax: syntax::HTJ2K_LOSSLESS_RPCL.to_owned(),
            origin: Origin::Resting,
        })
    }

    /// Every form that frames of this transfer syntax can have.
    fn all_of(transfer_syntax: &str, has_codestreams: bool) -> Vec<Self> {
        let mut forms = Vec::new();
        if has_codestreams {
            forms.push(Self::htj2k());
        }
        forms.push(Self::of(transfer_syntax));
        if TransferSyntaxUid::parse(transfer_syntax)
            .is_ok_and(|uid| Route::from(&uid) == Some(Route::Decoded))
        {
            forms.push(Self(Rendition {
                media: OCTETS,
                transfer_syntax: syntax::EXPLICIT_LITTLE.to_owned(),
                origin: Origin::Transcoded,
            }));
        }
        forms
    }

    /// Strong (RFC 9110 section 8.8.3): a container never changes, and a frame leaves it in each form as one sequence of
    /// bytes.
    pub(super) fn etag(&self, container_sha256: &str, number: u32) -> String {
        format!("\"{container_sha256}-{number}-{}\"", self.0.transfer_syntax)
    }

    /// The transfer syntax is always named: viewers guess wrongly without it.
    pub(super) fn content_type(&self) -> String {
        format!("{};transfer-syntax={}", self.0.media, self.0.transfer_syntax)
    }
}

fn frame_answer(headers: &HeaderMap, frame: Vec<u8>, content_type: &str, etag: &str) -> Response {
    let total = frame.len();
    let fixed = [
        (CONTENT_TYPE, content_type.to_owned()),
        (ACCEPT_RANGES, "bytes".to_owned()),
        (ETAG, etag.to_owned()),
        (VARY, "accept".to_owned()),
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
        Asked::Unsatisfiable => unsatisfiable(total),
    }
}

fn unsatisfiable(total: usize) -> Response {
    let refusal = ApiError::new(
        StatusCode::RANGE_NOT_SATISFIABLE,
        "range_beyond_frame",
        format!("a range within {total} bytes expected"),
    );
    ([(CONTENT_RANGE, format!("bytes */{total}"))], refusal).into_response()
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

pub(super) fn not_acceptable() -> ApiError {
    ApiError::new(
        StatusCode::NOT_ACCEPTABLE,
        "not_acceptable",
        "it cannot be given so: take what was received with transfer-syntax=*, or name no media type",
    )
}

/// The same for every answer about one instance, and in no content by chance.
pub(super) fn boundary(instance: &Instance) -> String {
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
pub(super) fn refusal(error: BlobError) -> ApiError {
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
    base_url: &str,
) -> anyhow::Result<serde_json::Value> {
    let options = MetadataOptions {
        bulk_data_base_url: Some(format!("{base_url}{}", model::instance_address(instance))),
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
    base_url: String,
    admission: Admission,
}

impl Reader {
    pub(super) fn new(app: &AppState, caller: &Caller) -> Self {
        Self {
            blobs: app.blobs.clone(),
            network_id: caller.scope.network_id.clone(),
            base_url: model::base_url(app).to_owned(),
            admission: Admission::new(app),
        }
    }

    pub(super) fn container(&self, instance: &Instance) -> Result<Container<File>, BlobError> {
        let digest = parse_hex(&instance.container_sha256).ok_or(BlobError::Missing)?;
        self.blobs.container(&self.network_id, &digest)
    }

    /// The metadata of an instance. One bad instance does not hide the others of its series: where its bytes cannot
    /// be read, what the index knows stands for it.
    pub(super) fn metadata(&self, instance: &Instance) -> serde_json::Value {
        let read = || -> anyhow::Result<serde_json::Value> {
            describe(instance, self.container(instance)?, &self.base_url)
        };
        read().unwrap_or_else(|error| {
            tracing::error!(instance.id = %instance.id, error = format!("{error:#}"), "metadata not readable");
            model::instance(instance)
        })
    }

    /// The instance as a DICOM file. Every section is checked as it passes, the whole at the end.
    fn write_file(&self, file: &InstanceFile, out: &mut impl Write) -> io::Result<()> {
        let mut container = self.container(&file.instance).map_err(io::Error::other)?;
        let header = container.header();
        let transfer_syntax = TransferSyntaxUid::parse(file.transfer_syntax()).map_err(io::Error::other)?;
        out.write_all(&part10::header(
            &transfer_syntax,
            &header.sop_class_uid,
            &header.sop_instance_uid,
        ))?;
        if file.is_transcoded {
            let memory = decoded_memory(&file.instance);
            let decode = |job: &FrameJob, container: &mut Container<File>, number| {
                let _permit = self.admission.wait(memory)?;
                self.decode(&file.instance, job, container, number)
            };
            return transcode::explicit_little(&mut container, out, decode)
                .inspect_err(|error| self.suspect_transcoded(&file.instance, error))
                .map_err(io::Error::other);
        }
        let memory = received_memory(&container);
        let rebuilt = container.rebuild_admitted(out, || self.admission.wait(memory));
        rebuilt
            .inspect_err(|error| self.suspect(&file.instance, error))
            .map_err(|error| match error {
                ContainerError::Io(error) => error,
                other => io::Error::other(other),
            })?;
        Ok(())
    }

    fn frame(
        &self,
        instance: &Instance,
        container: &mut Container<File>,
        form: &FrameForm,
        number: u32,
    ) -> Result<Vec<u8>, TranscodeError> {
        let read = match form.0.origin {
            Origin::Resting => container
                .codestream(number)
                .and_then(|codestream| codestream.ok_or(ContainerError::NoSuchFrame(number)))
                .map_err(TranscodeError::from),
            Origin::Transcoded => FrameJob::of(container)
                .and_then(|job| self.decode(instance, &job, container, number))
                .map(|frame| frame.samples),
            Origin::Received => container
                .frame_little_endian(number)
                .map_err(TranscodeError::from),
        };
        read.inspect_err(|error| self.suspect_transcoded(instance, error))
    }

    /// Has a worker decode a frame. The caller has the permit for its bytes.
    pub(super) fn decode(
        &self,
        instance: &Instance,
        job: &FrameJob,
        container: &mut Container<File>,
        number: u32,
    ) -> Result<DecodedFrame, TranscodeError> {
        let codestream = container.frame(number)?;
        let subject = Subject {
            network_id: self.network_id.clone(),
            instance_id: instance.id.to_string(),
            container_sha256: instance.container_sha256.clone(),
        };
        let Admission { app, runtime } = &self.admission;
        let decoded = runtime.block_on(app.decoders.decode(&subject, job, &codestream));
        decoded.map_err(|fault| match fault {
            DecodeFault::Refused => TranscodeError::NotDecodable,
            other => TranscodeError::Undone(other.code()),
        })
    }

    fn suspect_transcoded(&self, instance: &Instance, error: &TranscodeError) {
        if let TranscodeError::Elements(ElementsError::Container(error)) = error {
            self.suspect(instance, error);
        }
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
