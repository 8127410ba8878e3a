//! What the top level holds, and how modules and tests are laid out.

use std::collections::BTreeSet;

use crate::tree::{assert_none, paths, rust_sources};

const TOP_LEVEL: [&str; 10] = [
    "Cargo.lock",
    "Cargo.toml",
    "LICENSE",
    "Makefile",
    "README.md",
    "deploy",
    "node-agent",
    "reader-ui",
    "relay",
    "tests",
];

#[test]
fn the_top_level_holds_what_it_should() {
    let visible: BTreeSet<String> = paths()
        .iter()
        .filter_map(|path| path.split('/').next())
        .filter(|name| !name.starts_with('.'))
        .map(str::to_owned)
        .collect();
    let found: Vec<String> = visible
        .into_iter()
        .filter(|name| !TOP_LEVEL.contains(&name.as_str()))
        .collect();
    assert_none(
        "the top level is fixed; put this beside what it belongs to",
        &found,
    );
}

#[test]
fn modules_are_named_after_themselves() {
    let found: Vec<String> = paths()
        .into_iter()
        .filter(|path| path.ends_with("/mod.rs"))
        .collect();
    assert_none("modules are name.rs beside name/, never mod.rs", &found);
    let vague = ["utils", "helpers", "common", "misc", "util"];
    let is_vague = |path: &String| {
        let name = path.rsplit('/').next().unwrap_or_default();
        let stem = name.split('.').next().unwrap_or_default();
        (name.ends_with(".rs") || name.ends_with(".ts") || name.ends_with(".tsx")) && vague.contains(&stem)
    };
    let found: Vec<String> = paths().into_iter().filter(is_vague).collect();
    assert_none("split by meaning: these names say nothing", &found);
}

#[test]
fn every_rust_module_says_what_it_is_for() {
    let mut found = Vec::new();
    // A file of unit tests is described by the module it tests.
    for file in rust_sources("")
        .into_iter()
        .filter(|file| !file.path.ends_with("/tests.rs"))
    {
        let first = file
            .lines()
            .map(|(_, line)| line.trim())
            .find(|line| !line.is_empty());
        if !first.is_some_and(|line| line.starts_with("//!")) {
            found.push(file.path);
        }
    }
    assert_none("a Rust file opens with a module comment", &found);
}
