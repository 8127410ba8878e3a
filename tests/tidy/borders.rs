//! Which files may speak of a subject: SQL, HTTP, QUIC, DIMSE, the time of day.

use crate::tree::{File, assert_none, files, rust_sources};

/// Lines of code in Rust files below `folder` that contain one of `words`, outside the files that `may` allows.
fn speaking_of(folder: &str, words: &[&str], may: impl Fn(&str) -> bool) -> Vec<String> {
    let mut found = Vec::new();
    for file in rust_sources(folder)
        .iter()
        .filter(|file| !is_test(&file.path) && !may(&file.path))
    {
        for (number, line) in file.code_lines() {
            if words.iter().any(|word| line.contains(word)) {
                found.push(format!("{}:{number}: {}", file.path, line.trim()));
            }
        }
    }
    found
}

fn is_test(path: &str) -> bool {
    path.contains("/tests/") || path.ends_with("/tests.rs") || path.starts_with("tests/")
}

#[test]
fn only_the_store_and_the_spool_index_know_sql() {
    let may = |path: &str| {
        path.starts_with("relay/store/")
            || path == "node-agent/src/spool/index.rs"
            || path.starts_with("node-agent/src/spool/index/")
            || path == "node-agent/src/deliver/queue.rs"
            || path.starts_with("node-agent/src/deliver/queue/")
    };
    let mut found = Vec::new();
    for folder in ["relay/", "node-agent/", "reader-ui/"] {
        let statements = [
            "sqlx::",
            "rusqlite::",
            "\"select ",
            "\"insert into ",
            "\"update ",
            "\"delete from ",
        ];
        found.extend(speaking_of(folder, &statements, may));
    }
    assert_none(
        "SQL outside tancho-store, the spool's index and the delivery queue",
        &found,
    );
}

#[test]
fn http_types_stay_in_http_and_routes() {
    let may = |path: &str| {
        path == "relay/src/http.rs"
            || path.starts_with("relay/src/http/")
            || path.ends_with("/routes.rs")
            || path.starts_with("relay/src/dicomweb")
            || path.starts_with("node-agent/src/page")
    };
    let mut found = speaking_of("relay/src/", &["axum::", "axum_extra::"], may);
    // A refusal may name its status: the number is part of what the API promises.
    found.retain(|line| !line.contains("axum::http::StatusCode"));
    found.extend(speaking_of("node-agent/src/", &["axum::"], may));
    assert_none("axum types outside http and routes", &found);
}

#[test]
fn quic_types_stay_at_the_line() {
    let may = |path: &str| path.starts_with("relay/src/ingest") || path.starts_with("node-agent/src/uplink");
    let mut found = speaking_of("relay/", &["quinn::"], may);
    found.extend(speaking_of("node-agent/", &["quinn::"], may));
    assert_none("quinn types outside ingest and uplink", &found);
}

#[test]
fn dimse_types_stay_in_dimse() {
    let may = |path: &str| path.starts_with("node-agent/src/dimse");
    let mut found = speaking_of("relay/", &["dicom_ul::", "dicom_object::"], |_| false);
    found.extend(speaking_of("node-agent/", &["dicom_ul::", "dicom_object::"], may));
    assert_none("dicom-ul types outside node-agent/src/dimse", &found);
}

#[test]
fn the_agent_knows_only_ids_and_dicom_names_of_the_domain() {
    let allowed = ["tancho_domain::ids", "tancho_domain::dicom", "tancho_domain::{"];
    let mut found = speaking_of("node-agent/", &["tancho_domain::"], |_| false);
    found.retain(|line| !allowed.iter().any(|start| line.contains(start)));
    let grouped = speaking_of("node-agent/", &["tancho_domain::{"], |_| false);
    let others = ["access", "reading", "report", "findings", "calls"];
    found.extend(
        grouped
            .into_iter()
            .filter(|line| others.iter().any(|module| line.contains(module))),
    );
    assert_none("the agent uses more of tancho-domain than ids and dicom", &found);
}

#[test]
fn the_time_of_day_comes_from_the_clock() {
    let may = |path: &str| path == "relay/src/clock.rs" || path == "node-agent/src/clock.rs";
    let words = ["SystemTime::now", "Timestamp::now", "Zoned::now", "Uuid::now_v7"];
    let mut found = speaking_of("relay/", &words[..3], may);
    found.extend(speaking_of("node-agent/", &words[..3], may));
    found.extend(speaking_of("relay/domain/", &words, |_| false));
    found.extend(speaking_of("relay/store/", &words, |_| false));
    assert_none("the time of day read outside clock.rs", &found);
}

#[test]
fn the_disk_is_asked_for_durability_in_one_place() {
    let may = |path: &str| path.ends_with("/src/durable.rs");
    let words = [".sync_all(", ".sync_data("];
    let mut found = speaking_of("relay/", &words, may);
    found.extend(speaking_of("node-agent/", &words, may));
    assert_none("an fsync outside durable.rs, which no broken build tries", &found);
}

#[test]
fn only_the_viewer_imports_cornerstone() {
    let mut found = Vec::new();
    for file in files(|path| path.starts_with("reader-ui/src/") && !path.starts_with("reader-ui/src/viewer/"))
    {
        found.extend(imports_of(&file, "@cornerstonejs/"));
    }
    assert_none("Cornerstone imported outside reader-ui/src/viewer", &found);
}

#[test]
fn presentation_and_helpers_of_the_page_import_no_features() {
    let mut found = Vec::new();
    for file in files(|path| path.starts_with("reader-ui/src/ui/") || path.starts_with("reader-ui/src/lib/"))
    {
        for folder in ["/features/", "/commands/", "/viewer/", "/api/"] {
            found.extend(imports_of(&file, folder));
        }
    }
    assert_none("ui and lib of the page import from folders above them", &found);
}

fn imports_of(file: &File, what: &str) -> Vec<String> {
    let imports = file.lines().filter(|(_, line)| {
        let line = line.trim_start();
        (line.starts_with("import ") || line.starts_with("} from ") || line.starts_with("export "))
            && line.contains(what)
    });
    imports
        .map(|(number, line)| format!("{}:{number}: {}", file.path, line.trim()))
        .collect()
}
