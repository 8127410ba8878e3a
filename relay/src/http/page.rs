//! Serves the page embedded in the binary.
//!
//! Files under `/assets/` carry a digest in their name: kept for ever, and 404 when missing, because an old tab
//! that got HTML instead of WebAssembly would fail obscurely. Every other address outside the API is the page's own
//! and gives `index.html`, never kept without asking. The files of an installed OHIF viewer come after ours (`ohif.rs`).

use axum::extract::{Request, State};
use axum::http::header::{ACCEPT_ENCODING, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_TYPE, VARY};
use axum::http::{HeaderMap, Method, StatusCode};
use axum::response::{IntoResponse, Response};
use tancho_reader_ui::Asset;

use crate::http::ohif;
use crate::state::AppState;

/// Folders whose unknown addresses are errors, not pages.
const NOT_PAGES: [&str; 4] = ["api", "dicom-web", "fhir", "assets"];

/// The fallback of the router.
pub async fn serve_page(State(app): State<AppState>, request: Request) -> Response {
    if request.method() != Method::GET && request.method() != Method::HEAD {
        return StatusCode::METHOD_NOT_ALLOWED.into_response();
    }
    let path = request.uri().path().trim_start_matches('/').to_owned();
    let path = path.as_str();
    let accept_br = takes_brotli(request.headers());
    if let Some(asset) = tancho_reader_ui::asset(path, accept_br) {
        let cache = if path.starts_with("assets/") {
            "public, max-age=31536000, immutable"
        } else {
            "no-cache"
        };
        return answer(asset, cache);
    }
    if let Some(wanted) = app.ohif.as_ref().and_then(|ohif| ohif.find(path)) {
        return ohif::serve(&app, wanted, request).await;
    }
    let folder = path.split('/').next().unwrap_or("");
    if NOT_PAGES.contains(&folder) || (app.ohif.is_some() && folder == ohif::FOLDER) {
        return StatusCode::NOT_FOUND.into_response();
    }
    match tancho_reader_ui::asset("index.html", accept_br) {
        Some(asset) => answer(asset, "no-cache"),
        None => StatusCode::NOT_FOUND.into_response(),
    }
}

fn takes_brotli(headers: &HeaderMap) -> bool {
    headers
        .get_all(ACCEPT_ENCODING)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .any(|coding| {
            let mut parts = coding.split(';').map(str::trim);
            parts.next() == Some("br")
                && !parts.any(|part| matches!(part, "q=0" | "q=0.0" | "q=0.00" | "q=0.000"))
        })
}

fn answer(asset: Asset, cache: &'static str) -> Response {
    let mut response = (
        [
            (CONTENT_TYPE, asset.content_type),
            (CACHE_CONTROL, cache),
            (VARY, "accept-encoding"),
        ],
        asset.bytes.into_owned(),
    )
        .into_response();
    if asset.brotli {
        response
            .headers_mut()
            .insert(CONTENT_ENCODING, axum::http::HeaderValue::from_static("br"));
    }
    response
}
