//! The web page of readers, referring physicians, liaison offices and administrators, as files inside the binary.
//!
//! `build.rs` runs Vite; this module only hands out what it made, and decides nothing about HTTP:
//! the relay sets headers and says 404. Files under `assets/` carry a digest in their name and never change.

use std::borrow::Cow;

use rust_embed::{EmbeddedFile, RustEmbed};

#[derive(RustEmbed)]
#[folder = "$TANCHO_READER_UI_DIST"]
struct Dist;

/// One file of the page, ready to be sent.
#[derive(Debug, Clone)]
pub struct Asset {
    /// The body, already Brotli-coded when `brotli` says so.
    pub bytes: Cow<'static, [u8]>,
    /// Value for `Content-Type`.
    pub content_type: &'static str,
    /// Whether `Content-Encoding: br` has to be sent.
    pub brotli: bool,
}

/// The file at `path`, without a leading slash (`index.html`, `assets/main-1a2b.js`).
///
/// With `accept_br` the Brotli form is returned where one exists. `None` means there is no such file: the caller
/// answers 404 for anything under `assets/`, because an old tab that got HTML instead of WASM would fail obscurely.
#[must_use]
pub fn asset(path: &str, accept_br: bool) -> Option<Asset> {
    if path.ends_with(".br") {
        return None;
    }
    let coded = if accept_br {
        Dist::get(&format!("{path}.br"))
    } else {
        None
    };
    let brotli = coded.is_some();
    let EmbeddedFile { data, .. } = coded.or_else(|| Dist::get(path))?;
    Some(Asset {
        bytes: data,
        content_type: content_type(path),
        brotli,
    })
}

fn content_type(path: &str) -> &'static str {
    match path.rsplit('.').next() {
        Some("html") => "text/html; charset=utf-8",
        Some("js") => "text/javascript; charset=utf-8",
        Some("css") => "text/css; charset=utf-8",
        Some("json") => "application/json",
        Some("svg") => "image/svg+xml",
        Some("wasm") => "application/wasm",
        Some("woff2") => "font/woff2",
        Some("png") => "image/png",
        _ => "application/octet-stream",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_is_embedded() {
        let page = asset("index.html", false).unwrap();
        assert_eq!(page.content_type, "text/html; charset=utf-8");
        assert!(!page.brotli);
        assert!(String::from_utf8_lossy(&page.bytes).contains("<div id=\"root\">"));
    }

    #[test]
    fn the_page_is_of_the_checkout_that_is_tested() {
        let checkout = std::env::var("CARGO_MANIFEST_DIR").expect("cargo runs the tests");
        assert_eq!(env!("TANCHO_READER_UI_SOURCE"), checkout);
    }

    #[test]
    fn scripts_of_the_page_are_there_in_both_forms() {
        let page = asset("index.html", false).unwrap();
        let html = String::from_utf8_lossy(&page.bytes).into_owned();
        let script = html
            .split("src=\"/")
            .nth(1)
            .and_then(|rest| rest.split('"').next())
            .unwrap();
        assert!(
            asset(script, false)
                .is_some_and(|file| !file.brotli && file.content_type.starts_with("text/javascript"))
        );
        assert!(
            asset(script, true)
                .is_some_and(|file| file.brotli && file.content_type.starts_with("text/javascript"))
        );
    }

    #[test]
    fn unknown_files_and_the_coded_forms_themselves_are_absent() {
        assert!(asset("assets/none.js", true).is_none());
        assert!(asset("index.html.br", false).is_none());
        assert!(asset("../Cargo.toml", false).is_none());
    }
}
