//! Rendered pictures and thumbnails (PS3.18 sections 8.3.5 and 10.4.1.1.3), as JPEG or PNG.
//!
//! For programs that show no DICOM: a diagnosis is made on the original. Shown are native frames and what a decoding worker
//! gives back; what cannot be shown as it is meant is refused. One picture at a time is in memory, within the limit of all
//! frames.

use std::fs::File;
use std::io::{self, Write};

use axum::extract::{Path, Query, State};
use axum::http::header::{CONTENT_TYPE, ETAG, VARY};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use sha2::{Digest as _, Sha256};
use tancho_domain::dicom::TransferSyntaxUid;
use tancho_imaging::codec::{Colours, FrameJob};
use tancho_imaging::container::{Container, FrameGeometry};
use tancho_imaging::limits::ScanLimits;
use tancho_imaging::render::{self, Function, Look, Picture, Region, Window};
use tancho_imaging::scan::PixelDescription;
use tancho_imaging::syntax::Syntax;
use tancho_imaging::transcode::Route;
use tancho_store::instances::Instance;

use super::accept::{self, Origin, Rendition, Wrapping};
use super::address::{Address, locate};
use super::wado::{Reader, blocking, boundary, frame_numbers, not_acceptable, undecoded_or};
use super::{FrameMemory, ranges, stream};
use crate::blobs::hex;
use crate::error::ApiError;
use crate::http::caller::Caller;
use crate::state::AppState;

const JPEG: &str = "image/jpeg";
const PNG: &str = "image/png";
/// Quality of JPEG when none is asked for.
const QUALITY: u8 = 90;
/// Longest side of a picture that is made larger or smaller.
const VIEWPORT_SIDE_MAX: u32 = 4096;
/// Sides of a thumbnail when none are asked for.
const THUMBNAIL_SIDE: u32 = 128;
/// Pictures of one answer.
const PICTURES_MAX: usize = 1000;
/// Bytes that showing a frame takes for each of its pixels: samples, decoder, picture, file.
const BYTES_PER_PIXEL: u64 = 32;
/// Bytes that the header takes while a frame is shown.
const HEADER_BYTES: u64 = 16 << 20;

/// Windows by name for images in Hounsfield units, (center, width).
const PRESETS: [(&str, f64, f64); 5] = [
    ("brain", 40.0, 80.0),
    ("stroke", 35.0, 35.0),
    ("subdural", 75.0, 215.0),
    ("bone", 600.0, 2800.0),
    ("soft-tissue", 40.0, 400.0),
];

type Parameters = Query<Vec<(String, String)>>;

/// Every picture of a study.
#[utoipa::path(
    get, path = "/dicom-web/studies/{study}/rendered", tag = "dicomweb", operation_id = "render_study",
    params(("study" = String, Path, description = "Study Instance UID or the relay's own study id")),
    responses((status = OK, content_type = "multipart/related"))
)]
pub(super) async fn render_study(
    State(app): State<AppState>,
    caller: Caller,
    Path(study): Path<String>,
    Query(parameters): Parameters,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let asked = Asked::parse(&parameters, false)?;
    show(&app, &caller, &Address::of_study(study), None, asked, &headers).await
}

/// Every picture of a series.
#[utoipa::path(
    get, path = "/dicom-web/studies/{study}/series/{series}/rendered", tag = "dicomweb", operation_id = "render_series",
    params(("study" = String, Path), ("series" = String, Path)),
    responses((status = OK, content_type = "multipart/related"))
)]
pub(super) async fn render_series(
    State(app): State<AppState>,
    caller: Caller,
    Path(path): Path<(String, String)>,
    Query(parameters): Parameters,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let asked = Asked::parse(&parameters, false)?;
    show(&app, &caller, &Address::of_series(path), None, asked, &headers).await
}

/// An instance as a picture for each frame, by window, viewport and quality.
#[utoipa::path(
    get, path = "/dicom-web/studies/{study}/series/{series}/instances/{instance}/rendered", tag = "dicomweb",
    operation_id = "render_instance",
    params(
        ("study" = String, Path), ("series" = String, Path), ("instance" = String, Path),
        ("window" = Option<String>, Query, description = "center, width and `linear`, `linear-exact` or `sigmoid`"),
        ("preset" = Option<String>, Query,
            description = "a window of the header by its number or explanation; for CT also brain, stroke, subdural, bone, soft-tissue"),
        ("viewport" = Option<String>, Query, description = "width, height and the region shown: left, top, width, height"),
        ("quality" = Option<u8>, Query, description = "1 to 100, for JPEG"),
    ),
    responses((status = OK, content_type = "image/jpeg"), (status = NOT_ACCEPTABLE))
)]
pub(super) async fn render_instance(
    State(app): State<AppState>,
    caller: Caller,
    Path(path): Path<(String, String, String)>,
    Query(parameters): Parameters,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let asked = Asked::parse(&parameters, false)?;
    show(&app, &caller, &Address::of_instance(path), None, asked, &headers).await
}

/// Frames of an instance as pictures; as for instances.
#[utoipa::path(
    get, path = "/dicom-web/studies/{study}/series/{series}/instances/{instance}/frames/{frames}/rendered",
    tag = "dicomweb", operation_id = "render_frames",
    params(
        ("study" = String, Path), ("series" = String, Path), ("instance" = String, Path),
        ("frames" = String, Path, description = "numbers from 1, separated by commas"),
    ),
    responses((status = OK, content_type = "image/jpeg"), (status = NOT_ACCEPTABLE))
)]
pub(super) async fn render_frames(
    State(app): State<AppState>,
    caller: Caller,
    Path((study, series, instance, frames)): Path<(String, String, String, String)>,
    Query(parameters): Parameters,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let asked = Asked::parse(&parameters, false)?;
    let address = Address::of_instance((study, series, instance));
    show(&app, &caller, &address, Some(&frames), asked, &headers).await
}

/// A small picture that stands for a study: one from its middle.
#[utoipa::path(
    get, path = "/dicom-web/studies/{study}/thumbnail", tag = "dicomweb", operation_id = "study_thumbnail",
    params(("study" = String, Path, description = "Study Instance UID or the relay's own study id")),
    responses((status = OK, content_type = "image/jpeg"))
)]
pub(super) async fn study_thumbnail(
    State(app): State<AppState>,
    caller: Caller,
    Path(study): Path<String>,
    Query(parameters): Parameters,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let asked = Asked::parse(&parameters, true)?;
    show(&app, &caller, &Address::of_study(study), None, asked, &headers).await
}

/// A small picture that stands for a series: one from its middle.
#[utoipa::path(
    get, path = "/dicom-web/studies/{study}/series/{series}/thumbnail", tag = "dicomweb",
    operation_id = "series_thumbnail",
    params(("study" = String, Path), ("series" = String, Path)),
    responses((status = OK, content_type = "image/jpeg"))
)]
pub(super) async fn series_thumbnail(
    State(app): State<AppState>,
    caller: Caller,
    Path(path): Path<(String, String)>,
    Query(parameters): Parameters,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let asked = Asked::parse(&parameters, true)?;
    show(&app, &caller, &Address::of_series(path), None, asked, &headers).await
}

/// A small picture that stands for an instance: its middle frame.
#[utoipa::path(
    get, path = "/dicom-web/studies/{study}/series/{series}/instances/{instance}/thumbnail", tag = "dicomweb",
    operation_id = "instance_thumbnail",
    params(("study" = String, Path), ("series" = String, Path), ("instance" = String, Path)),
    responses((status = OK, content_type = "image/jpeg"))
)]
pub(super) async fn instance_thumbnail(
    State(app): State<AppState>,
    caller: Caller,
    Path(path): Path<(String, String, String)>,
    Query(parameters): Parameters,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let asked = Asked::parse(&parameters, true)?;
    show(&app, &caller, &Address::of_instance(path), None, asked, &headers).await
}

/// A small picture of a frame.
#[utoipa::path(
    get, path = "/dicom-web/studies/{study}/series/{series}/instances/{instance}/frames/{frames}/thumbnail",
    tag = "dicomweb", operation_id = "frame_thumbnail",
    params(
        ("study" = String, Path), ("series" = String, Path), ("instance" = String, Path),
        ("frames" = String, Path, description = "a number from 1"),
    ),
    responses((status = OK, content_type = "image/jpeg"))
)]
pub(super) async fn frame_thumbnail(
    State(app): State<AppState>,
    caller: Caller,
    Path((study, series, instance, frames)): Path<(String, String, String, String)>,
    Query(parameters): Parameters,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let asked = Asked::parse(&parameters, true)?;
    let address = Address::of_instance((study, series, instance));
    show(&app, &caller, &address, Some(&frames), asked, &headers).await
}

/// How pictures are to be.
#[derive(Debug, Clone, Default, PartialEq)]
struct Asked {
    is_thumbnail: bool,
    window: Option<Window>,
    preset: Option<String>,
    viewport: Option<(u32, u32)>,
    region: Option<Region>,
    quality: Option<u8>,
}

impl Asked {
    fn parse(parameters: &[(String, String)], is_thumbnail: bool) -> Result<Self, ApiError> {
        let mut asked = Self {
            is_thumbnail,
            viewport: is_thumbnail.then_some((THUMBNAIL_SIDE, THUMBNAIL_SIDE)),
            ..Self::default()
        };
        for (name, value) in parameters {
            let is_read = match name.as_str() {
                "window" => {
                    asked.window = window(value);
                    asked.window.is_some()
                }
                "preset" => {
                    asked.preset = Some(value.clone());
                    true
                }
                "viewport" => asked.read_viewport(value).is_some(),
                "quality" => {
                    asked.quality = value.parse().ok().filter(|quality| (1..=100).contains(quality));
                    asked.quality.is_some()
                }
                _ => false,
            };
            if !is_read {
                return Err(ApiError::bad_request(
                    "query_malformed",
                    "window, preset, viewport and quality as PS3.18 section 8.3.5 has them expected",
                ));
            }
        }
        Ok(asked)
    }

    fn read_viewport(&mut self, text: &str) -> Option<()> {
        let parts: Vec<&str> = text.split(',').map(str::trim).collect();
        let number = |at: usize| parts.get(at)?.parse::<u32>().ok();
        let sides = (number(0)?, number(1)?);
        let is_side = |side: u32| (1..=VIEWPORT_SIDE_MAX).contains(&side);
        if !is_side(sides.0) || !is_side(sides.1) {
            return None;
        }
        self.viewport = Some(sides);
        self.region = match parts.len() {
            2 => None,
            6 => Some(Region {
                left: number(2)?,
                top: number(3)?,
                width: number(4)?,
                height: number(5)?,
            }),
            _ => return None,
        };
        Some(())
    }
}

fn window(text: &str) -> Option<Window> {
    let parts: Vec<&str> = text.split(',').map(str::trim).collect();
    let [center, width, rest @ ..] = parts.as_slice() else {
        return None;
    };
    let function = match rest {
        [] | ["linear"] => Function::Linear,
        ["linear-exact"] => Function::LinearExact,
        ["sigmoid"] => Function::Sigmoid,
        _ => return None,
    };
    let window = Window {
        center: center.parse().ok()?,
        width: width.parse().ok()?,
        function,
    };
    let is_right = window.center.is_finite() && window.width.is_finite() && window.width > 0.0;
    is_right.then_some(window)
}

/// A frame to be shown.
#[derive(Debug, Clone)]
struct Shown {
    instance: Instance,
    frame: u32,
}

impl Shown {
    /// Bytes that showing it takes: the frame, its header, and the picture in its new size with its file.
    fn memory(&self, asked: &Asked) -> FrameMemory {
        let side = |pixels: Option<i64>| pixels.unwrap_or(0).clamp(0, i64::from(u16::MAX)) as u64;
        let frame = side(self.instance.frame_rows) * side(self.instance.frame_columns) * BYTES_PER_PIXEL;
        let (width, height) = asked.viewport.unwrap_or_default();
        let bytes = frame + HEADER_BYTES + u64::from(width) * u64::from(height) * 3 * 2;
        match self.is_decoded_by_worker() {
            true => FrameMemory::Decoded(bytes),
            false => FrameMemory::AtHand(bytes),
        }
    }

    fn is_decoded_by_worker(&self) -> bool {
        let transfer_syntax = TransferSyntaxUid::parse(&self.instance.transfer_syntax_uid);
        transfer_syntax.is_ok_and(|uid| Route::from(&uid) == Some(Route::Decoded))
    }
}

async fn show(
    app: &AppState,
    caller: &Caller,
    address: &Address,
    frames: Option<&str>,
    asked: Asked,
    headers: &HeaderMap,
) -> Result<Response, ApiError> {
    let numbers = frames.map(frame_numbers).transpose()?;
    let located = locate(app, caller, address).await?;
    let shown = chosen(located, numbers, &asked)?;
    let several = shown.len() > 1;
    let media = [JPEG, PNG].map(|media| Rendition {
        media,
        transfer_syntax: String::new(),
        origin: Origin::Received,
    });
    let (at, wrapping) = accept::choose(headers, &media, several).ok_or_else(not_acceptable)?;
    let media = media[at].media;
    let etag = tag_of(&shown, &asked, media);
    if ranges::is_known(headers, &etag) {
        return Ok((StatusCode::NOT_MODIFIED, [(ETAG, etag)]).into_response());
    }
    let reader = Reader::new(app, caller);
    let first = shown[0].clone();
    let permit = app.dicomweb.frame_permit(first.memory(&asked)).await?;
    let (rendering, how) = (reader.clone(), asked.clone());
    // What cannot be shown is a refusal, not a broken connection.
    let picture = blocking(move || {
        let _permit = permit;
        Ok(render(&rendering, &first, &how, media))
    });
    let picture = picture.await??;
    let boundary = boundary(&shown[0].instance);
    let vary = (VARY, "accept".to_owned());
    if wrapping == Wrapping::Single {
        let fixed = [(CONTENT_TYPE, media.to_owned()), (ETAG, etag), vary];
        return Ok((fixed, picture).into_response());
    }
    let outer = format!("multipart/related; type=\"{media}\"; boundary={boundary}");
    let app = app.clone();
    let body = stream::body("pictures", move |out| {
        let runtime = tokio::runtime::Handle::current();
        let mut next = Some(picture);
        for one in &shown {
            let picture = match next.take() {
                Some(first) => first,
                None => {
                    let permit = runtime.block_on(app.dicomweb.frame_permit(one.memory(&asked)));
                    let _permit = permit.map_err(|_| io::Error::other("the relay is stopping"))?;
                    render(&reader, one, &asked, media)
                        .map_err(|error| io::Error::other(error.code.into_owned()))?
                }
            };
            stream::begin_part(out, &boundary, media)?;
            out.write_all(&picture)?;
            stream::end_part(out)?;
        }
        stream::end_parts(out, &boundary)
    });
    Ok(([(CONTENT_TYPE, outer), (ETAG, etag), vary], body).into_response())
}

/// The frames that an address means, in order.
fn chosen(located: Vec<Instance>, numbers: Option<Vec<u32>>, asked: &Asked) -> Result<Vec<Shown>, ApiError> {
    let n_frames = |instance: &Instance| u32::try_from(instance.number_of_frames).unwrap_or(0);
    let mut displayable: Vec<Instance> = located.into_iter().filter(|one| n_frames(one) > 0).collect();
    if displayable.is_empty() {
        return Err(ApiError::new(
            StatusCode::NOT_FOUND,
            "not_displayable",
            "there are no frames that can be shown safely; the original can be retrieved",
        ));
    }
    if asked.is_thumbnail {
        let instance = displayable.swap_remove(displayable.len() / 2);
        let middle = n_frames(&instance) / 2 + 1;
        let frame = numbers
            .and_then(|numbers| numbers.first().copied())
            .unwrap_or(middle);
        if frame > n_frames(&instance) {
            return Err(ApiError::not_found());
        }
        return Ok(vec![Shown { instance, frame }]);
    }
    let mut shown = Vec::new();
    for instance in displayable {
        let frames = numbers
            .clone()
            .unwrap_or_else(|| (1..=n_frames(&instance)).collect());
        if frames.iter().any(|frame| *frame > n_frames(&instance)) {
            return Err(ApiError::not_found());
        }
        if shown.len() + frames.len() > PICTURES_MAX {
            return Err(ApiError::new(
                StatusCode::PAYLOAD_TOO_LARGE,
                "too_many_pictures",
                format!("at most {PICTURES_MAX} pictures expected: ask for a series, an instance or frames"),
            ));
        }
        shown.extend(frames.into_iter().map(|frame| Shown {
            instance: instance.clone(),
            frame,
        }));
    }
    Ok(shown)
}

/// Weak: another version of the relay may make other bytes of the same picture.
fn tag_of(shown: &[Shown], asked: &Asked, media: &str) -> String {
    let mut digest = Sha256::new();
    for one in shown {
        digest.update(format!("{} {}\n", one.instance.container_sha256, one.frame));
    }
    digest.update(format!("{asked:?} {media} {}", env!("CARGO_PKG_VERSION")));
    format!("W/\"{}\"", hex(&digest.finalize().into()))
}

fn not_renderable() -> ApiError {
    ApiError::new(
        StatusCode::NOT_ACCEPTABLE,
        "not_renderable",
        "it cannot be shown here as it is meant; retrieve the original",
    )
}

/// One picture as a file.
fn render(reader: &Reader, shown: &Shown, asked: &Asked, media: &str) -> Result<Vec<u8>, ApiError> {
    let instance = &shown.instance;
    let mut container = reader.container(instance).map_err(super::wado::refusal)?;
    let (frame, geometry, colours) = decoded(reader, instance, &mut container, shown.frame)?;
    let mut model = reader.metadata(instance);
    if colours != Colours::AsStated {
        model["00280004"] = serde_json::json!({ "vr": "CS", "Value": [colours.photometric("")] });
    }
    let look = Look::of(&model, shown.frame).map_err(|_| not_renderable())?;
    let window = asked_window(asked, &look, &instance.modality)?;
    let mut picture = render::picture(&frame, &geometry, &look, window).map_err(|_| not_renderable())?;
    drop(frame);
    if let Some(region) = asked.region {
        picture = picture
            .cut(region)
            .ok_or_else(|| ApiError::bad_request("query_malformed", "a region within the image expected"))?;
    }
    if let Some((width, height)) = asked.viewport {
        picture = picture.fitted(width, height);
    }
    encoded(&picture, asked.quality.unwrap_or(QUALITY), media)
}

fn asked_window(asked: &Asked, look: &Look, modality: &str) -> Result<Option<Window>, ApiError> {
    let Some(preset) = &asked.preset else {
        return Ok(asked.window);
    };
    let named = PRESETS
        .iter()
        .find(|(name, ..)| modality == "CT" && name.eq_ignore_ascii_case(preset));
    let built_in = named
        .filter(|_| look.is_hounsfield())
        .map(|(_, center, width)| Window {
            center: *center,
            width: *width,
            function: Function::Linear,
        });
    let window = built_in.or_else(|| look.preset(preset));
    window.map(Some).ok_or_else(|| {
        if named.is_some() {
            return ApiError::new(
                StatusCode::NOT_ACCEPTABLE,
                "preset_needs_hounsfield",
                "this window is in Hounsfield units, and the image does not say how its values become them",
            );
        }
        ApiError::bad_request(
            "preset_unknown",
            "a window of the image or a known preset expected",
        )
    })
}

/// A frame as native samples, how they lie, and what they are where decoding has changed it.
fn decoded(
    reader: &Reader,
    instance: &Instance,
    container: &mut Container<File>,
    number: u32,
) -> Result<(Vec<u8>, FrameGeometry, Colours), ApiError> {
    let failed = |error| super::wado::refusal(crate::blobs::BlobError::from(error));
    let transfer_syntax = container.header().transfer_syntax.clone();
    if Route::from(&transfer_syntax) == Some(Route::Decoded) {
        let decoded = FrameJob::of(container).and_then(|job| {
            let frame = reader.decode(instance, &job, container, number)?;
            Ok((frame.samples, job.geometry, frame.facts.colours))
        });
        return decoded.map_err(|error| undecoded_or(error, not_renderable));
    }
    if Syntax::of(&transfer_syntax).encapsulated {
        return Err(not_renderable());
    }
    let scanned = container.scan_identity(&ScanLimits::default()).map_err(failed)?;
    let pixels = scanned
        .ok()
        .and_then(|scan| scan.pixels)
        .ok_or_else(not_renderable)?;
    let geometry = geometry_of(&pixels)?;
    let frame = container.frame_little_endian(number).map_err(failed)?;
    Ok((frame, geometry, Colours::AsStated))
}

fn geometry_of(pixels: &PixelDescription) -> Result<FrameGeometry, ApiError> {
    let samples = u64::from(pixels.rows) * u64::from(pixels.columns) * u64::from(pixels.samples_per_pixel);
    let frame_len = samples * u64::from(pixels.bits_allocated / 8);
    FrameGeometry::of(pixels, frame_len).ok_or_else(not_renderable)
}

fn encoded(picture: &Picture, quality: u8, media: &str) -> Result<Vec<u8>, ApiError> {
    let mut file = Vec::new();
    if media == PNG {
        let mut encoder = png::Encoder::new(&mut file, picture.width, picture.height);
        encoder.set_color(match picture.channels {
            1 => png::ColorType::Grayscale,
            _ => png::ColorType::Rgb,
        });
        encoder.set_depth(png::BitDepth::Eight);
        let mut writer = encoder.write_header().map_err(ApiError::internal)?;
        writer
            .write_image_data(&picture.samples)
            .map_err(ApiError::internal)?;
        writer.finish().map_err(ApiError::internal)?;
        return Ok(file);
    }
    let colours = match picture.channels {
        1 => jpeg_encoder::ColorType::Luma,
        _ => jpeg_encoder::ColorType::Rgb,
    };
    let side = |side: u32| u16::try_from(side).map_err(ApiError::internal);
    let (width, height) = (side(picture.width)?, side(picture.height)?);
    jpeg_encoder::Encoder::new(&mut file, quality)
        .encode(&picture.samples, width, height, colours)
        .map_err(ApiError::internal)?;
    Ok(file)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(query: &[(&str, &str)], is_thumbnail: bool) -> Result<Asked, String> {
        let owned: Vec<(String, String)> = query
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect();
        Asked::parse(&owned, is_thumbnail).map_err(|error| error.code.into_owned())
    }

    #[test]
    fn pictures_are_asked_for_as_the_standard_says() {
        let asked = parse(
            &[
                ("window", "40,80,sigmoid"),
                ("viewport", "100,50,1,2,30,40"),
                ("quality", "70"),
            ],
            false,
        )
        .unwrap();
        let window = asked.window.unwrap();
        assert_eq!(
            (window.center, window.width, window.function),
            (40.0, 80.0, Function::Sigmoid)
        );
        assert_eq!((asked.viewport, asked.quality), (Some((100, 50)), Some(70)));
        let region = asked.region.unwrap();
        assert_eq!(
            (region.left, region.top, region.width, region.height),
            (1, 2, 30, 40)
        );
        assert_eq!(parse(&[], true).unwrap().viewport, Some((128, 128)));
        assert_eq!(
            parse(&[("viewport", "64,32")], true).unwrap().viewport,
            Some((64, 32))
        );
        for bad in [
            ("window", "40"),
            ("window", "40,0"),
            ("window", "40,NaN"),
            ("window", "40,80,cubic"),
            ("viewport", "0,10"),
            ("viewport", "5000,10"),
            ("viewport", "10,10,1"),
            ("viewport", "10,10,-1,0,5,5"),
            ("quality", "0"),
            ("quality", "101"),
            ("annotation", "patient"),
        ] {
            assert_eq!(
                parse(&[bad], false).err().as_deref(),
                Some("query_malformed"),
                "{bad:?}"
            );
        }
    }
}
