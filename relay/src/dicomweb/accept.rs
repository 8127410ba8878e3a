//! What a client takes (PS3.18 sections 8.7.4 and 8.7.5): media types with their transfer syntaxes.

use axum::http::HeaderMap;
use axum::http::header::ACCEPT;

/// How an answer is wrapped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wrapping {
    /// The bytes alone.
    Single,
    /// `multipart/related`.
    Multipart,
}

/// One entry of an Accept header.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Offer {
    media: String,
    /// The `type` parameter of `multipart/related`.
    inner: Option<String>,
    transfer_syntax: Option<String>,
}

/// Chooses the wrapping for content of `media` in `transfer_syntax`; `None` when the client takes neither.
///
/// Nothing is transcoded, so a client that insists on another transfer syntax gets a refusal and not other pixels.
pub(super) fn choose(
    headers: &HeaderMap,
    media: &str,
    transfer_syntax: &str,
    several: bool,
) -> Option<Wrapping> {
    let offers = parse(headers);
    if offers.is_empty() {
        return Some(if several {
            Wrapping::Multipart
        } else {
            Wrapping::Single
        });
    }
    choose_of(offers.into_iter(), media, transfer_syntax, several)
}

fn choose_of(
    mut offers: impl Iterator<Item = Offer>,
    media: &str,
    transfer_syntax: &str,
    several: bool,
) -> Option<Wrapping> {
    offers.find_map(|offer| {
        let syntax = offer.transfer_syntax.as_deref();
        let syntax_fits = syntax.is_none_or(|syntax| syntax == "*" || syntax == transfer_syntax);
        if offer.media == "multipart/related" {
            let inner = offer.inner.as_deref().unwrap_or("*/*");
            return (syntax_fits && takes(inner, media)).then_some(Wrapping::Multipart);
        }
        let wrapping = if several {
            Wrapping::Multipart
        } else {
            Wrapping::Single
        };
        (syntax_fits && takes(&offer.media, media)).then_some(wrapping)
    })
}

/// As [`choose`], for content in a transfer syntax that only clients get who name it: the frames could also be given as
/// they were received.
pub(super) fn choose_named(
    headers: &HeaderMap,
    media: &str,
    transfer_syntax: &str,
    several: bool,
) -> Option<Wrapping> {
    let offers = parse(headers).into_iter();
    choose_of(
        offers.filter(|offer| offer.transfer_syntax.as_deref() == Some(transfer_syntax)),
        media,
        transfer_syntax,
        several,
    )
}

/// Whether `pattern` covers `media`. Octet streams stand for any frame: the content type says what it is.
fn takes(pattern: &str, media: &str) -> bool {
    let wildcard = pattern
        .strip_suffix("/*")
        .is_some_and(|kind| kind == "*" || media.starts_with(&format!("{kind}/")));
    let any_frame =
        pattern == "application/octet-stream" && (media.starts_with("image/") || media == pattern);
    pattern == media || wildcard || any_frame
}

fn parse(headers: &HeaderMap) -> Vec<Offer> {
    headers
        .get_all(ACCEPT)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| split_outside_quotes(value, ','))
        .filter(|entry| !entry.is_empty())
        .map(|entry| {
            let mut parts = split_outside_quotes(entry, ';').into_iter();
            let media = parts.next().unwrap_or_default().to_ascii_lowercase();
            let mut offer = Offer {
                media,
                inner: None,
                transfer_syntax: None,
            };
            for part in parts {
                let Some((name, value)) = part.split_once('=') else {
                    continue;
                };
                let value = value.trim().trim_matches('"');
                match name.trim().to_ascii_lowercase().as_str() {
                    "type" => offer.inner = Some(value.to_ascii_lowercase()),
                    "transfer-syntax" => offer.transfer_syntax = Some(value.to_owned()),
                    _ => {}
                }
            }
            offer
        })
        .collect()
}

fn split_outside_quotes(text: &str, separator: char) -> Vec<&str> {
    let mut quoted = false;
    text.split(move |c| {
        quoted ^= c == '"';
        c == separator && !quoted
    })
    .map(str::trim)
    .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chosen(accept: &str, media: &str, transfer_syntax: &str, several: bool) -> Option<Wrapping> {
        let mut headers = HeaderMap::new();
        if !accept.is_empty() {
            headers.insert(ACCEPT, accept.parse().unwrap());
        }
        choose(&headers, media, transfer_syntax, several)
    }

    #[test]
    fn a_transfer_syntax_that_was_not_received_is_for_those_who_name_it() {
        let htj2k = "1.2.840.10008.1.2.4.202";
        let named = |accept: &str, several| {
            let mut headers = HeaderMap::new();
            headers.insert(ACCEPT, accept.parse().unwrap());
            choose_named(&headers, "image/jphc", htj2k, several)
        };
        for accept in [
            "*/*",
            "image/jphc",
            "multipart/related; type=application/octet-stream; transfer-syntax=*",
        ] {
            assert_eq!(named(accept, false), None, "{accept}");
        }
        let single = "image/jphc; transfer-syntax=1.2.840.10008.1.2.4.202, */*";
        assert_eq!(named(single, false), Some(Wrapping::Single));
        assert_eq!(named(single, true), Some(Wrapping::Multipart));
        let multipart =
            "multipart/related; type=\"application/octet-stream\"; transfer-syntax=1.2.840.10008.1.2.4.202";
        assert_eq!(named(multipart, false), Some(Wrapping::Multipart));
        assert_eq!(choose_named(&HeaderMap::new(), "image/jphc", htj2k, false), None);
    }

    #[test]
    fn clients_get_what_they_can_take_or_a_refusal() {
        use Wrapping::{Multipart, Single};
        let jls = ("image/jls", "1.2.840.10008.1.2.4.80");
        let raw = ("application/octet-stream", "1.2.840.10008.1.2.1");
        for (accept, content, several, expected) in [
            ("", raw, false, Some(Single)),
            ("", raw, true, Some(Multipart)),
            ("*/*", jls, false, Some(Single)),
            ("*/*", jls, true, Some(Multipart)),
            (
                "multipart/related; type=application/octet-stream; transfer-syntax=*",
                jls,
                false,
                Some(Multipart),
            ),
            (
                "multipart/related; type=\"image/jls\"",
                jls,
                false,
                Some(Multipart),
            ),
            (
                "multipart/related; type=\"image/jp2\", image/jls",
                jls,
                false,
                Some(Single),
            ),
            (
                "application/octet-stream; transfer-syntax=1.2.840.10008.1.2.1",
                raw,
                false,
                Some(Single),
            ),
            (
                "application/octet-stream; transfer-syntax=1.2.840.10008.1.2.1",
                jls,
                false,
                None,
            ),
            ("image/jpeg", raw, false, None),
            ("text/html,*/*;q=0.8", raw, false, Some(Single)),
        ] {
            assert_eq!(
                chosen(accept, content.0, content.1, several),
                expected,
                "{accept} {content:?}"
            );
        }
    }
}
