//! The page's files, inside the binary. No third-party content, no inline script or style.

use axum::extract::Path;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};

const FILES: [(&str, &str, &str); 11] = [
    ("", "text/html; charset=utf-8", include_str!("assets/index.html")),
    (
        "style.css",
        "text/css; charset=utf-8",
        include_str!("assets/style.css"),
    ),
    (
        "app.js",
        "text/javascript; charset=utf-8",
        include_str!("assets/app.js"),
    ),
    (
        "form.js",
        "text/javascript; charset=utf-8",
        include_str!("assets/form.js"),
    ),
    (
        "attention.js",
        "text/javascript; charset=utf-8",
        include_str!("assets/attention.js"),
    ),
    (
        "deliveries.js",
        "text/javascript; charset=utf-8",
        include_str!("assets/deliveries.js"),
    ),
    (
        "line.js",
        "text/javascript; charset=utf-8",
        include_str!("assets/line.js"),
    ),
    (
        "troubles.js",
        "text/javascript; charset=utf-8",
        include_str!("assets/troubles.js"),
    ),
    (
        "fields.js",
        "text/javascript; charset=utf-8",
        include_str!("assets/fields.js"),
    ),
    (
        "strings.js",
        "text/javascript; charset=utf-8",
        include_str!("assets/strings.js"),
    ),
    ("icon.svg", "image/svg+xml", include_str!("assets/icon.svg")),
];

/// `GET /`
pub async fn index() -> Response {
    file("")
}

/// `GET /{name}`
pub async fn named(Path(name): Path<String>) -> Response {
    file(&name)
}

fn file(name: &str) -> Response {
    match FILES.iter().find(|(known, _, _)| *known == name) {
        Some((_, content_type, text)) => (
            [
                (header::CONTENT_TYPE, *content_type),
                (header::CACHE_CONTROL, "no-cache"),
            ],
            *text,
        )
            .into_response(),
        None => (StatusCode::NOT_FOUND, "not found").into_response(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_languages_have_the_same_words() {
        let text = FILES
            .iter()
            .find(|file| file.0 == "strings.js")
            .map(|file| file.2)
            .unwrap();
        let (ja, en) = text.split_once("export const en").unwrap();
        let ja = ja.split_once("export const ja").unwrap().1;
        let keys = |part: &str| -> Vec<String> {
            part.lines()
                .filter_map(|line| line.strip_prefix("  "))
                .filter(|line| line.starts_with(|first: char| first.is_ascii_lowercase()))
                .filter_map(|line| line.split_once(':').map(|(key, _)| key.to_owned()))
                .collect()
        };
        assert_eq!(keys(ja), keys(en));
        assert!(keys(ja).len() > 25, "{}", keys(ja).len());
    }

    #[test]
    fn nothing_on_the_page_comes_from_another_host() {
        for (name, _, text) in FILES {
            let text = text.replace("http://www.w3.org/2000/svg", "");
            assert!(!text.contains("http://") && !text.contains("https://"), "{name}");
        }
        let index = FILES[0].2;
        assert!(!index.contains("<style") && !index.contains(" style="));
    }

    /// Every reason for which an object or an association is turned away is told in words.
    #[test]
    fn every_reason_has_words() {
        let words = FILES
            .iter()
            .find(|file| file.0 == "strings.js")
            .map(|file| file.2)
            .unwrap();
        let scan = concat!(env!("CARGO_MANIFEST_DIR"), "/../relay/imaging/src/scan.rs");
        let scan = std::fs::read_to_string(scan).unwrap();
        let scan = scan.split_once("impl ScanError").unwrap().1;
        let scan = scan.split_once("is_peers_fault").unwrap().0;
        let mut codes: Vec<&str> = scan
            .split("=> \"")
            .skip(1)
            .filter_map(|rest| rest.split_once('"').map(|(code, _)| code))
            .filter(|code| *code != "read_failed")
            .collect();
        assert!(codes.len() > 10, "{codes:?}");
        codes.extend([
            "uid_mismatch",
            "transfer_syntax_malformed",
            "scanner_panicked",
            "damaged_in_spool",
            "unreadable_in_spool",
        ]);
        codes.extend(crate::dimse::status::Rejection::ALL.map(|rejection| rejection.code()));
        codes.extend(crate::dimse::requestor::CallError::CODES);
        codes.extend(crate::deliver::CODES);
        for code in codes {
            let n_languages = words.matches(&format!("{code}: '")).count();
            assert_eq!(n_languages, 2, "{code}");
        }
    }

    /// Every code with which an attempt or a connection can end is told in words, or says that it is a fault of ours.
    #[test]
    fn every_reason_why_the_line_is_down_has_words() {
        let read = |path: &str| {
            let path = format!("{}/{path}", env!("CARGO_MANIFEST_DIR"));
            std::fs::read_to_string(path).unwrap()
        };
        let mut codes: Vec<String> = Vec::new();
        let close = read("../relay/wire/src/close.rs");
        let named = close
            .split_once("codes! {\n")
            .unwrap()
            .1
            .split_once("\n}")
            .unwrap()
            .0;
        codes.extend(
            named
                .lines()
                .filter_map(|line| Some(line.split('"').nth(1)?.to_owned())),
        );
        for file in ["dial", "connection", "carrier", "sender"] {
            let source = read(&format!("src/uplink/{file}.rs"));
            let source = source.split("#[cfg(test)]").next().unwrap();
            for rest in source.split("LinkFault::new(").skip(1) {
                if let Some(code) = rest.trim_start().strip_prefix('"') {
                    codes.push(code.split('"').next().unwrap().to_owned());
                }
            }
            if file == "dial" {
                let of_ends = source.split("=> \"").skip(1);
                codes.extend(of_ends.map(|rest| rest.split('"').next().unwrap().to_owned()));
            }
        }
        codes.push("identity_unreadable".to_owned());
        codes.sort();
        codes.dedup();
        codes.retain(|code| code != "done" && code != "unknown");
        assert!(codes.len() > 20, "{codes:?}");
        let words = FILES.iter().find(|file| file.0 == "strings.js").unwrap().2;
        for code in codes {
            let n_languages = words.matches(&format!(" {code}: ")).count();
            assert!(n_languages >= 2, "{code}: {n_languages}");
        }
    }

    /// The relay would leave out a field or a code it does not know, so the form must not offer one.
    #[test]
    fn the_form_asks_for_the_relays_own_fields_and_codes() {
        let path = concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/../relay/domain/src/findings/definitions/ctx@1.0.0.json"
        );
        let definition: serde_json::Value =
            serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
        let form = FILES
            .iter()
            .find(|file| file.0 == "fields.js")
            .map(|file| file.2)
            .unwrap();
        let mut ids = vec![
            "requested_urgency",
            "callback_number",
            "callback_person",
            "responsible_physician",
        ];
        for field in definition["fields"].as_array().unwrap() {
            let id = field["id"].as_str().unwrap();
            // The sum alone may be sent; the single items of the NIHSS are the reader's page's business.
            if id == "nihss_items" {
                continue;
            }
            assert!(
                form.contains(&format!("{{ id: '{id}', ja")),
                "the form lacks {id}"
            );
            ids.push(id);
            for option in field["options"].as_array().into_iter().flatten() {
                let code = option["code"].as_str().unwrap();
                assert!(form.contains(&format!("o('{code}',")), "{id} lacks {code}");
            }
        }
        let offered = form
            .split("{ id: '")
            .skip(1)
            .filter_map(|rest| rest.split_once('\'').map(|(id, _)| id));
        let groups = ["request", "times", "state", "vitals", "background"];
        for id in offered.filter(|id| !groups.contains(id)) {
            assert!(ids.contains(&id), "the relay does not know {id}");
        }
    }
}
