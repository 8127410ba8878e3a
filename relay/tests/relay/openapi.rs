//! The API document: made from the code, kept as a file, and true.

use std::collections::BTreeSet;
use std::path::Path;

use serde_json::Value;
use tancho_relay::http::openapi;

/// `relay/openapi.json` is what other programs generate their types from. To renew it:
/// `cargo run -p tancho-relay -- openapi > relay/openapi.json`.
#[test]
fn the_committed_document_is_the_one_the_code_makes() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("openapi.json");
    let committed: Value = serde_json::from_str(&std::fs::read_to_string(file).unwrap()).unwrap();
    let made = openapi::document();
    assert!(
        committed == made,
        "the API has changed: cargo run -p tancho-relay -- openapi > relay/openapi.json, and read the difference"
    );
}

#[test]
fn the_document_is_complete() {
    let document = openapi::document();
    assert_eq!(document["openapi"], "3.1.0");
    let mut ids = BTreeSet::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            let id = operation["operationId"].as_str().unwrap();
            assert!(ids.insert(id.to_owned()), "{id} twice");
            assert!(operation["tags"][0].is_string(), "{method} {path} has no tag");
            assert!(
                operation["summary"].is_string() || operation["description"].is_string(),
                "{id} says nothing"
            );
            for part in path.split('/').filter_map(|part| part.strip_prefix('{')) {
                let name = part.trim_end_matches('}');
                let named = |parameter: &Value| parameter["name"] == name && parameter["in"] == "path";
                let parameters = operation["parameters"].as_array();
                assert!(
                    parameters.is_some_and(|all| all.iter().any(named)),
                    "{id} does not describe {name}"
                );
            }
        }
    }
    let text = document.to_string();
    for reference in text.split("\"#/components/schemas/").skip(1) {
        let name = reference.split('"').next().unwrap();
        assert!(
            document["components"]["schemas"][name].is_object(),
            "{name} is referred to and not described"
        );
    }
}
