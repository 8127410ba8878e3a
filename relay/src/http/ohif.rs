//! The OHIF viewer as an optional page: the files of its npm package, as they were installed, beside our DICOMweb.
//!
//! The package asks for its files from the root of the host, so its page stands at `/ohif/` and its files at their own
//! names, after everything of ours. Only who is logged in and may see images gets any. The folder is listed once, when
//! the relay starts: nothing outside the list is ever opened, and no link is followed. What OHIF may load and where it
//! may connect is said by a policy of its own; no other address has it. Its service worker stays out: it would have a say over every
//! page of the relay.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use axum::body::{Body, Bytes};
use axum::extract::{FromRequestParts, Request};
use axum::http::HeaderValue;
use axum::http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderName};
use axum::response::{IntoResponse, Redirect, Response};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest, Sha256};
use tancho_domain::access::Action;
use tower::ServiceExt;
use tower_http::services::ServeFile;

use crate::http::StatusCode;
use crate::http::caller::Caller;
use crate::state::AppState;

/// Where its page stands.
pub const FOLDER: &str = "ohif";
/// Files of the folder that are listed; OHIF has some 250.
const FILES_MAX: usize = 4096;
/// Folders below the folder.
const DEPTH_MAX: usize = 8;
/// Bytes of `index.html`, which is held in memory.
const INDEX_BYTES_MAX: u64 = 256 * 1024;
/// What OHIF's files are called; other files of the folder are not given.
const KINDS: [&str; 13] = [
    "js", "mjs", "css", "wasm", "json", "jsonc", "woff2", "woff", "ttf", "png", "svg", "jpg", "ico",
];
/// Service worker and what loads it.
const SERVICE_WORKER: [&str; 2] = ["sw.js", "init-service-worker.js"];
/// Points OHIF at our DICOMweb and its pages below `/ohif/`. A session that has ended leads to the login.
const CONFIG: &str = include_str!("ohif/app-config.js");

/// The installed viewer.
#[derive(Debug)]
pub struct Ohif {
    files: BTreeMap<String, PathBuf>,
    index: Bytes,
    policy: HeaderValue,
}

/// What an address of the viewer leads to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Wanted {
    /// The page, with one study.
    Page,
    /// What would be the list of studies: the relay's own page has it.
    Start,
    /// Our configuration of it.
    Config,
    /// An empty script in place of the service worker.
    Nothing,
    /// One of its files.
    File(PathBuf),
}

impl Ohif {
    /// Lists the folder and reads its page.
    pub fn open(dir: &Path) -> anyhow::Result<Self> {
        let page = dir.join("index.html");
        let bytes = std::fs::metadata(&page)
            .with_context(|| page.display().to_string())?
            .len();
        if bytes > INDEX_BYTES_MAX {
            bail!("{}: at most {INDEX_BYTES_MAX} bytes expected", page.display());
        }
        let index = std::fs::read_to_string(&page).with_context(|| page.display().to_string())?;
        let policy = policy_of(&index);
        let mut files = BTreeMap::new();
        list(dir, "", 0, &mut files)?;
        Ok(Self {
            files,
            index: index.into(),
            policy: HeaderValue::from_str(&policy).context("the policy of OHIF's page")?,
        })
    }

    /// What a path without its leading slash leads to, if it is the viewer's.
    #[must_use]
    pub fn find(&self, path: &str) -> Option<Wanted> {
        let below = if path == "ohif" {
            Some("")
        } else {
            path.strip_prefix("ohif/")
        };
        if below == Some("") {
            return Some(Wanted::Start);
        }
        let name = below.unwrap_or(path);
        if name == "app-config.js" {
            return Some(Wanted::Config);
        }
        if SERVICE_WORKER.contains(&name) {
            return Some(Wanted::Nothing);
        }
        if let Some(file) = self.files.get(name) {
            return Some(Wanted::File(file.clone()));
        }
        // OHIF's own addresses have no dot; a file that is missing is an error and no page.
        (below.is_some() && !name.contains('.')).then_some(Wanted::Page)
    }
}

/// Answers a request that [`Ohif::find`] knows.
pub async fn serve(app: &AppState, wanted: Wanted, request: Request) -> Response {
    let Some(ohif) = &app.ohif else {
        return StatusCode::NOT_FOUND.into_response();
    };
    if wanted == Wanted::Start {
        return Redirect::to("/").into_response();
    }
    let (mut parts, _) = request.into_parts();
    let allowed = match Caller::from_request_parts(&mut parts, app).await {
        Ok(caller) => caller.require(Action::ViewImages),
        // A person is led to the login, not told a code.
        Err(refused) if wanted == Wanted::Page && refused.status == StatusCode::UNAUTHORIZED => {
            return Redirect::to("/").into_response();
        }
        Err(refused) => Err(refused),
    };
    if let Err(refused) = allowed {
        return refused.into_response();
    }
    let mut response = match wanted {
        Wanted::Page | Wanted::Start => text("text/html; charset=utf-8", ohif.index.clone()),
        Wanted::Config => text("text/javascript", CONFIG),
        Wanted::Nothing => text("text/javascript", ""),
        Wanted::File(file) => {
            let named_by_digest = is_named_by_digest(&file);
            let files = ServeFile::new(file).precompressed_br().precompressed_gzip();
            match files.oneshot(Request::from_parts(parts, Body::empty())).await {
                Ok(answer) => {
                    let mut answer = answer.map(Body::new);
                    if named_by_digest && answer.status().is_success() {
                        let kept = HeaderValue::from_static("private, max-age=31536000, immutable");
                        answer.headers_mut().insert(CACHE_CONTROL, kept);
                    }
                    answer
                }
                Err(never) => match never {},
            }
        }
    };
    let headers = response.headers_mut();
    headers.insert(CONTENT_SECURITY_POLICY, ohif.policy.clone());
    // Its workers share memory where the browser lets them, which it does only with this.
    headers.insert(
        HeaderName::from_static("cross-origin-embedder-policy"),
        HeaderValue::from_static("require-corp"),
    );
    headers
        .entry(CACHE_CONTROL)
        .or_insert(HeaderValue::from_static("private, no-cache"));
    response
}

fn text(kind: &'static str, body: impl Into<Body>) -> Response {
    ([(CONTENT_TYPE, kind)], body.into()).into_response()
}

/// `app.bundle.0f6159c501addfe9.js` and `37fa160cc3a47cfd.wasm` never change under their name.
fn is_named_by_digest(file: &Path) -> bool {
    let name = file.file_name().and_then(|name| name.to_str()).unwrap_or("");
    name.split('.')
        .any(|part| part.len() == 16 && part.bytes().all(|byte| byte.is_ascii_hexdigit()))
}

/// Nothing from elsewhere; inline scripts only those of the page itself, by digest. OHIF styles elements as it goes and
/// makes workers and pictures from memory, so it is allowed more than our pages; no text becomes a script.
fn policy_of(index: &str) -> String {
    let mut scripts = String::new();
    for script in inline_scripts(index) {
        let digest = STANDARD.encode(Sha256::digest(script));
        let _ = write!(scripts, " 'sha256-{digest}'");
    }
    format!(
        "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'{scripts}; \
         style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:; font-src 'self' data:; \
         connect-src 'self' data: blob:; worker-src 'self' blob:; manifest-src 'self'; object-src 'none'; base-uri 'none'; \
         form-action 'none'; frame-ancestors 'none'"
    )
}

/// Texts between `<script>` and `</script>` of scripts that have no `src`.
fn inline_scripts(page: &str) -> impl Iterator<Item = &str> {
    page.split("<script").skip(1).filter_map(|rest| {
        let (attributes, rest) = rest.split_once('>')?;
        let (script, _) = rest.split_once("</script>")?;
        (!attributes.contains("src=")).then_some(script)
    })
}

fn list(dir: &Path, below: &str, depth: usize, files: &mut BTreeMap<String, PathBuf>) -> anyhow::Result<()> {
    let entries = std::fs::read_dir(dir).with_context(|| dir.display().to_string())?;
    for entry in entries {
        let entry = entry.with_context(|| dir.display().to_string())?;
        let file_name = entry.file_name();
        let Some(name) = file_name.to_str() else { continue };
        let path = format!("{below}{name}");
        let kind = entry.file_type().with_context(|| path.clone())?;
        if kind.is_dir() && depth < DEPTH_MAX {
            list(&entry.path(), &format!("{path}/"), depth + 1, files)?;
        } else if kind.is_file() && is_served(&path) {
            if files.len() == FILES_MAX {
                bail!("{}: at most {FILES_MAX} files expected", dir.display());
            }
            files.insert(path, entry.path());
        }
    }
    Ok(())
}

fn is_served(path: &str) -> bool {
    let kind = path.rsplit_once('.').map_or("", |(_, kind)| kind);
    KINDS.contains(&kind) && !SERVICE_WORKER.contains(&path)
}
