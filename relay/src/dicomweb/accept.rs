//! What a client takes (PS3.18 sections 8.7.4 and 8.7.5): media types with their transfer syntaxes and quality values.

use axum::http::HeaderMap;
use axum::http::header::ACCEPT;
use tancho_imaging::syntax::EXPLICIT_LITTLE;

const OCTETS: &str = "application/octet-stream";

/// How an answer is wrapped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wrapping {
    /// The bytes alone.
    Single,
    /// `multipart/related`.
    Multipart,
}

/// Where the bytes of a rendition come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Origin {
    /// They are as they were received.
    Received,
    /// They are made for clients that do not take what was received.
    Transcoded,
    /// They are as they rest, in a transfer syntax that was not received: only for those who name it.
    Resting,
}

/// One form in which content can be given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Rendition {
    pub(super) media: &'static str,
    pub(super) transfer_syntax: String,
    pub(super) origin: Origin,
}

/// One entry of an Accept header.
#[derive(Debug, Clone, PartialEq)]
struct Offer {
    media: String,
    /// The `type` parameter of `multipart/related`.
    inner: Option<String>,
    transfer_syntax: Option<String>,
    quality: f32,
}

impl Offer {
    /// The media type of the content.
    fn content(&self) -> &str {
        match self.is_multipart() {
            true => self.inner.as_deref().unwrap_or("*/*"),
            false => &self.media,
        }
    }

    fn is_multipart(&self) -> bool {
        self.media == "multipart/related"
    }

    fn takes_syntax_of(&self, rendition: &Rendition) -> bool {
        match self.transfer_syntax.as_deref() {
            None | Some("*") => rendition.origin != Origin::Resting,
            Some(named) => named == rendition.transfer_syntax,
        }
    }

    /// The rendition this entry is best served with.
    fn pick(&self, renditions: &[Rendition]) -> Option<usize> {
        let find = |fits: &dyn Fn(&Rendition) -> bool| {
            renditions
                .iter()
                .position(|rendition| self.takes_syntax_of(rendition) && fits(rendition))
        };
        // Any transfer syntax: nothing needs to be transcoded.
        let received = |rendition: &Rendition| {
            rendition.origin == Origin::Received && covers(self.content(), rendition.media)
        };
        let found = (self.transfer_syntax.as_deref() == Some("*"))
            .then(|| find(&received).or_else(|| find(&|one| received(one) || is_octets_for(self, one))))
            .flatten();
        found
            .or_else(|| find(&|rendition| covers(self.content(), rendition.media)))
            .or_else(|| find(&|rendition| is_octets_for(self, rendition)))
    }
}

/// Octet streams stand for any frame: the content type says what it is.
fn is_octets_for(offer: &Offer, rendition: &Rendition) -> bool {
    offer.content() == OCTETS && rendition.media.starts_with("image/")
}

/// Chooses one of the renditions, listed as the relay likes best, and its wrapping; `None` when the client takes none.
///
/// A client that names a transfer syntax gets that or a refusal, never other pixels.
pub(super) fn choose(
    headers: &HeaderMap,
    renditions: &[Rendition],
    several: bool,
) -> Option<(usize, Wrapping)> {
    let offers = parse(headers);
    let alone = if several {
        Wrapping::Multipart
    } else {
        Wrapping::Single
    };
    if offers.is_empty() {
        let first = renditions.iter().position(|one| one.origin != Origin::Resting)?;
        return Some((first, alone));
    }
    let (refused, mut taken): (Vec<Offer>, Vec<Offer>) =
        offers.into_iter().partition(|offer| offer.quality <= 0.0);
    // The order of the header decides between entries of one quality.
    taken.sort_by(|a, b| b.quality.total_cmp(&a.quality));
    let is_refused = |rendition: &Rendition| {
        refused
            .iter()
            .any(|offer| offer.content() == rendition.media && offer.takes_syntax_of(rendition))
    };
    let left: Vec<Rendition> = renditions
        .iter()
        .filter(|one| !is_refused(one))
        .cloned()
        .collect();
    taken.iter().find_map(|offer| {
        let picked = offer.pick(&left)?;
        let at = renditions.iter().position(|one| *one == left[picked])?;
        let wrapping = if offer.is_multipart() {
            Wrapping::Multipart
        } else {
            alone
        };
        Some((at, wrapping))
    })
}

/// The first of these media types that the client takes, by its quality values; without an Accept header the first.
pub(super) fn choose_media(headers: &HeaderMap, media: &[&'static str]) -> Option<&'static str> {
    let renditions: Vec<Rendition> = media
        .iter()
        .map(|media| Rendition {
            media,
            transfer_syntax: EXPLICIT_LITTLE.to_owned(),
            origin: Origin::Received,
        })
        .collect();
    let (at, _) = choose(headers, &renditions, false)?;
    Some(media[at])
}

/// Whether `pattern` covers `media`.
fn covers(pattern: &str, media: &str) -> bool {
    let wildcard = pattern
        .strip_suffix("/*")
        .is_some_and(|kind| kind == "*" || media.starts_with(&format!("{kind}/")));
    pattern == media || wildcard
}

fn parse(headers: &HeaderMap) -> Vec<Offer> {
    headers
        .get_all(ACCEPT)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| split_outside_quotes(value, ','))
        .filter(|entry| !entry.is_empty())
        .map(|entry| {
            let (media, parameters) = media_type(entry);
            let mut offer = Offer {
                media,
                inner: None,
                transfer_syntax: None,
                quality: 1.0,
            };
            for (name, value) in parameters {
                match name.as_str() {
                    "type" => offer.inner = Some(value.to_ascii_lowercase()),
                    "transfer-syntax" => offer.transfer_syntax = Some(value),
                    // What is no number says nothing.
                    "q" => offer.quality = value.parse().map_or(1.0, |q: f32| q.clamp(0.0, 1.0)),
                    _ => {}
                }
            }
            offer
        })
        .collect()
}

/// A media type and its parameters, names in lower case.
pub(super) fn media_type(text: &str) -> (String, Vec<(String, String)>) {
    let mut parts = split_outside_quotes(text, ';').into_iter();
    let media = parts.next().unwrap_or_default().to_ascii_lowercase();
    let parameters = parts
        .filter_map(|part| part.split_once('='))
        .map(|(name, value)| {
            let value = value.trim().trim_matches('"');
            (name.trim().to_ascii_lowercase(), value.to_owned())
        });
    (media, parameters.collect())
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

    const HTJ2K: &str = "1.2.840.10008.1.2.4.202";

    fn rendition(media: &'static str, transfer_syntax: &str, origin: Origin) -> Rendition {
        Rendition {
            media,
            transfer_syntax: transfer_syntax.to_owned(),
            origin,
        }
    }

    fn headers(accept: &str) -> HeaderMap {
        let mut headers = HeaderMap::new();
        if !accept.is_empty() {
            headers.insert(ACCEPT, accept.parse().unwrap());
        }
        headers
    }

    #[test]
    fn a_transfer_syntax_that_was_not_received_is_for_those_who_name_it() {
        let renditions = [
            rendition("image/jphc", HTJ2K, Origin::Resting),
            rendition(OCTETS, EXPLICIT_LITTLE, Origin::Received),
        ];
        for (accept, several, expected) in [
            ("*/*", false, Some((1, Wrapping::Single))),
            ("image/jphc", false, None),
            (
                "multipart/related; type=application/octet-stream; transfer-syntax=*",
                false,
                Some((1, Wrapping::Multipart)),
            ),
            (
                "image/jphc; transfer-syntax=1.2.840.10008.1.2.4.202, */*",
                false,
                Some((0, Wrapping::Single)),
            ),
            (
                "image/jphc; transfer-syntax=1.2.840.10008.1.2.4.202, */*",
                true,
                Some((0, Wrapping::Multipart)),
            ),
            (
                "multipart/related; type=\"application/octet-stream\"; transfer-syntax=1.2.840.10008.1.2.4.202",
                false,
                Some((0, Wrapping::Multipart)),
            ),
            ("", false, Some((1, Wrapping::Single))),
        ] {
            assert_eq!(
                choose(&headers(accept), &renditions, several),
                expected,
                "{accept}"
            );
        }
    }

    #[test]
    fn clients_get_what_they_can_take_or_a_refusal() {
        use Wrapping::{Multipart, Single};
        let jls = rendition("image/jls", "1.2.840.10008.1.2.4.80", Origin::Received);
        let raw = rendition(OCTETS, EXPLICIT_LITTLE, Origin::Received);
        for (accept, content, several, expected) in [
            ("", &raw, false, Some(Single)),
            ("", &raw, true, Some(Multipart)),
            ("*/*", &jls, false, Some(Single)),
            ("*/*", &jls, true, Some(Multipart)),
            (
                "multipart/related; type=application/octet-stream; transfer-syntax=*",
                &jls,
                false,
                Some(Multipart),
            ),
            (
                "multipart/related; type=\"image/jls\"",
                &jls,
                false,
                Some(Multipart),
            ),
            (
                "multipart/related; type=\"image/jp2\", image/jls",
                &jls,
                false,
                Some(Single),
            ),
            (
                "application/octet-stream; transfer-syntax=1.2.840.10008.1.2.1",
                &raw,
                false,
                Some(Single),
            ),
            (
                "application/octet-stream; transfer-syntax=1.2.840.10008.1.2.1",
                &jls,
                false,
                None,
            ),
            ("image/jpeg", &raw, false, None),
            ("text/html,*/*;q=0.8", &raw, false, Some(Single)),
            ("*/*;q=0", &raw, false, None),
            ("application/octet-stream;q=0, */*", &raw, false, None),
        ] {
            let chosen = choose(&headers(accept), std::slice::from_ref(content), several);
            assert_eq!(
                chosen.map(|(_, wrapping)| wrapping),
                expected,
                "{accept} {content:?}"
            );
        }
    }

    #[test]
    fn what_was_received_is_decoded_for_those_who_do_not_take_it() {
        let renditions = [
            rendition("image/jphc", HTJ2K, Origin::Received),
            rendition(OCTETS, EXPLICIT_LITTLE, Origin::Transcoded),
        ];
        for (accept, expected) in [
            ("", Some(0)),
            ("*/*", Some(0)),
            ("image/*", Some(0)),
            ("application/octet-stream", Some(1)),
            ("application/octet-stream; transfer-syntax=*", Some(0)),
            (
                "application/octet-stream; transfer-syntax=1.2.840.10008.1.2.1",
                Some(1),
            ),
            (
                "application/octet-stream; transfer-syntax=1.2.840.10008.1.2.4.202",
                Some(0),
            ),
            ("image/jphc;q=0.1, application/octet-stream;q=0.2", Some(1)),
            ("image/jphc;q=0.2, application/octet-stream;q=0.1", Some(0)),
            ("image/jphc;q=0, */*", Some(1)),
            ("image/jls", None),
        ] {
            let chosen = choose(&headers(accept), &renditions, false);
            assert_eq!(chosen.map(|(at, _)| at), expected, "{accept}");
        }
    }

    #[test]
    fn the_better_quality_wins_and_then_the_first() {
        let media = ["application/dicom+json", "application/json"];
        for (accept, expected) in [
            ("", Some("application/dicom+json")),
            ("*/*", Some("application/dicom+json")),
            ("application/json", Some("application/json")),
            (
                "application/dicom+json;q=0.5, application/json",
                Some("application/json"),
            ),
            ("application/dicom+xml", None),
            ("application/dicom+xml, */*;q=0.1", Some("application/dicom+json")),
        ] {
            assert_eq!(choose_media(&headers(accept), &media), expected, "{accept}");
        }
    }
}
