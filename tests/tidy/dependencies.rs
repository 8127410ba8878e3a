//! Who may depend on whom among the packages, and which foreign packages stay out of which of ours.

use std::collections::BTreeMap;

use cargo_metadata::{DependencyKind, MetadataCommand};

use crate::tree::{assert_none, top};

/// Package, the packages of ours that it may use, and foreign packages that would break what it is.
const RULES: [(&str, &[&str], &[&str]); 8] = [
    (
        "tancho-domain",
        &[],
        &[
            "tokio",
            "axum",
            "hyper",
            "sqlx",
            "quinn",
            "rustls",
            "reqwest",
            "lettre",
            "getrandom",
            "clap",
            "tracing",
        ],
    ),
    (
        "tancho-imaging",
        &["tancho-domain"],
        &["tokio", "axum", "hyper", "sqlx", "quinn", "rustls", "reqwest"],
    ),
    (
        "tancho-wire",
        &["tancho-domain", "tancho-imaging"],
        &[
            "tokio",
            "axum",
            "hyper",
            "sqlx",
            "quinn",
            "rustls",
            "reqwest",
            "getrandom",
        ],
    ),
    (
        "tancho-store",
        &["tancho-domain"],
        &["axum", "hyper", "quinn", "rustls", "reqwest", "lettre"],
    ),
    (
        "tancho-relay",
        &[
            "tancho-domain",
            "tancho-imaging",
            "tancho-wire",
            "tancho-store",
            "tancho-reader-ui",
        ],
        &["sqlx", "rusqlite", "dicom-ul", "dicom-object"],
    ),
    (
        "tancho-agent",
        &["tancho-domain", "tancho-imaging", "tancho-wire"],
        &["sqlx", "dicom-object", "dicom-parser", "lettre"],
    ),
    ("tancho-reader-ui", &[], &["tokio", "axum", "sqlx"]),
    // The bench measures the congestion controller of the wire alone.
    (
        "tancho-e2e",
        &["tancho-domain", "tancho-store", "tancho-wire"],
        &["dicom-object"],
    ),
];

/// Direct dependencies of every package of ours, those of its tests left out.
fn dependencies() -> BTreeMap<String, Vec<String>> {
    let metadata = MetadataCommand::new()
        .manifest_path(top().join("Cargo.toml"))
        .no_deps()
        .exec()
        .expect("cargo describes the workspace");
    let packages = metadata.packages.iter().map(|package| {
        let used = package
            .dependencies
            .iter()
            .filter(|used| used.kind == DependencyKind::Normal);
        (
            package.name.to_string(),
            used.map(|used| used.name.clone()).collect(),
        )
    });
    packages.collect()
}

#[test]
fn packages_depend_only_downwards() {
    let mut found = Vec::new();
    for (package, used) in dependencies() {
        let Some((_, allowed, _)) = RULES.iter().find(|(name, _, _)| *name == package) else {
            found.push(format!("{package} has no rule here"));
            continue;
        };
        let ours = used.iter().filter(|name| name.starts_with("tancho-"));
        for name in ours.filter(|name| !allowed.contains(&name.as_str())) {
            found.push(format!("{package} depends on {name}"));
        }
    }
    assert_none("a package uses another of ours that it must not know", &found);
}

#[test]
fn foreign_packages_stay_where_their_subject_is() {
    let dependencies = dependencies();
    let mut found = Vec::new();
    for (package, _, banned) in RULES {
        let used = dependencies
            .get(package)
            .unwrap_or_else(|| panic!("{package} is in the workspace"));
        for name in used.iter().filter(|name| banned.contains(&name.as_str())) {
            found.push(format!("{package} depends on {name}"));
        }
    }
    assert_none(
        "a package uses a foreign one that would make it something else",
        &found,
    );
}
