//! Byte ranges of one answer (RFC 9110 section 14): one range, or the whole.

use std::ops::Range;

use axum::http::HeaderMap;
use axum::http::header::{IF_NONE_MATCH, IF_RANGE, RANGE};

/// What a Range header asks of a body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Asked {
    /// No range, or a form we may ignore: the whole body.
    Whole,
    /// One range that lies in the body.
    Part(Range<usize>),
    /// A range beyond the body.
    Unsatisfiable,
}

/// Reads the Range header for a body of `total` bytes with this strong entity tag. A range that goes on with another
/// body, by If-Range, is none.
pub(super) fn asked(headers: &HeaderMap, total: usize, etag: &str) -> Asked {
    if headers
        .get(IF_RANGE)
        .is_some_and(|goes_on_with| goes_on_with != etag)
    {
        return Asked::Whole;
    }
    let Some(spec) = headers
        .get(RANGE)
        .and_then(|value| value.to_str().ok())
        .and_then(|text| text.strip_prefix("bytes="))
    else {
        return Asked::Whole;
    };
    let Some((first, last)) = spec.trim().split_once('-') else {
        return Asked::Whole;
    };
    let number = |text: &str| text.trim().parse::<usize>().ok();
    let range = match (first.trim(), last.trim()) {
        ("", suffix) => match number(suffix) {
            Some(0) => return Asked::Unsatisfiable,
            Some(suffix) => total.saturating_sub(suffix)..total,
            None => return Asked::Whole,
        },
        (first, "") => match number(first) {
            Some(first) => first..total,
            None => return Asked::Whole,
        },
        (first, last) => match (number(first), number(last)) {
            (Some(first), Some(last)) if first <= last => first..last.saturating_add(1).min(total),
            _ => return Asked::Whole,
        },
    };
    if range.start >= total {
        Asked::Unsatisfiable
    } else {
        Asked::Part(range)
    }
}

/// Whether the client has the content with this entity tag already (If-None-Match, RFC 9110 section 13.1.2).
pub(super) fn is_known(headers: &HeaderMap, etag: &str) -> bool {
    let opaque = |tag: &str| tag.trim().trim_start_matches("W/").to_owned();
    headers
        .get_all(IF_NONE_MATCH)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .any(|known| known.trim() == "*" || opaque(known) == opaque(etag))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_cut_to_the_body_or_refused() {
        let of = |text: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(RANGE, text.parse().unwrap());
            asked(&headers, 10, "\"one\"")
        };
        assert_eq!(asked(&HeaderMap::new(), 10, "\"one\""), Asked::Whole);
        assert_eq!(of("bytes=0-3"), Asked::Part(0..4));
        assert_eq!(of("bytes=4-"), Asked::Part(4..10));
        assert_eq!(of("bytes=-3"), Asked::Part(7..10));
        assert_eq!(of("bytes=-99"), Asked::Part(0..10));
        assert_eq!(of("bytes=8-99"), Asked::Part(8..10));
        assert_eq!(of("bytes=10-"), Asked::Unsatisfiable);
        assert_eq!(of("bytes=-0"), Asked::Unsatisfiable);
        for ignored in [
            "bytes=5-3",
            "bytes=0-1,3-4",
            "items=0-1",
            "bytes=x-y",
            "bytes=99999999999999999999-",
        ] {
            assert_eq!(of(ignored), Asked::Whole, "{ignored}");
        }
    }

    #[test]
    fn a_range_goes_on_with_the_same_bytes_only() {
        let of = |goes_on_with: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(RANGE, "bytes=4-".parse().unwrap());
            headers.insert(IF_RANGE, goes_on_with.parse().unwrap());
            asked(&headers, 10, "\"one\"")
        };
        assert_eq!(of("\"one\""), Asked::Part(4..10));
        for other in ["\"two\"", "W/\"one\"", "one", "Sat, 29 Oct 1994 19:43:31 GMT", ""] {
            assert_eq!(of(other), Asked::Whole, "{other}");
        }
    }

    #[test]
    fn known_content_is_told_by_its_tag() {
        let of = |known: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(IF_NONE_MATCH, known.parse().unwrap());
            is_known(&headers, "\"one\"")
        };
        for known in ["\"one\"", "W/\"one\"", "\"two\", \"one\"", "*"] {
            assert!(of(known), "{known}");
        }
        assert!(!of("\"two\""));
        assert!(!is_known(&HeaderMap::new(), "\"one\""));
    }
}
