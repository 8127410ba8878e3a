//! What no committed file may hold: unfinished work, skipped tests, paths of one machine, download addresses.

use crate::tree::{assert_none, files};

/// Spelt in two parts, so that this file does not hold them either.
fn joined(parts: &[(&str, &str)]) -> Vec<String> {
    parts.iter().map(|(start, end)| format!("{start}{end}")).collect()
}

fn lines_with(words: &[String], wanted: impl Fn(&str) -> bool) -> Vec<String> {
    let mut found = Vec::new();
    for file in files(wanted) {
        for (number, line) in file.lines() {
            if words.iter().any(|word| line.contains(word.as_str())) {
                found.push(format!(
                    "{}:{number}: {}",
                    file.path,
                    line.trim().chars().take(120).collect::<String>()
                ));
            }
        }
    }
    found
}

#[test]
fn nothing_is_unfinished_or_skipped() {
    let words = joined(&[
        ("todo", "!("),
        ("unimplemented", "!("),
        ("dbg", "!("),
        ("#[ig", "nore"),
        ("test.sk", "ip("),
        ("it.sk", "ip("),
        ("describe.sk", "ip("),
        ("it.on", "ly("),
        ("FIX", "ME"),
        ("XX", "X "),
    ]);
    let found = lines_with(&words, |path| {
        [".rs", ".ts", ".tsx", ".mjs", ".py"]
            .iter()
            .any(|end| path.ends_with(end))
    });
    assert_none("unfinished work or a skipped test", &found);
}

#[test]
fn no_test_sleeps() {
    const WAITING: [&str; 3] = [
        "tests/harness/wait.rs",
        "tests/bench/wan/wait.py",
        "tests/sweep/wait.py",
    ];
    let words = joined(&[
        ("thread::sl", "eep("),
        ("time::sl", "eep("),
        ("time.sl", "eep("),
        ("waitForTim", "eout("),
    ]);
    let is_test = |path: &str| {
        let rust_or_script = path.ends_with(".rs") || path.ends_with(".mjs") || path.ends_with(".py");
        let testing = path.starts_with("tests/") || path.contains("/tests/") || path.ends_with("/tests.rs");
        // They let time pass with a deadline and a sentence for what is awaited.
        rust_or_script && testing && !WAITING.contains(&path)
    };
    assert_none(
        "a test waits for time instead of an event",
        &lines_with(&words, is_test),
    );
}

#[test]
fn no_path_of_one_machine_and_no_download_address() {
    let words = joined(&[
        ("/wo", "rk/"),
        ("/home", "/"),
        ("/roo", "t/"),
        ("registry.npm", "js"),
        ("static.crat", "es.io"),
        ("index.crat", "es.io"),
        ("files.python", "hosted"),
        ("pypi.", "org"),
        ("deb.debian", ".org"),
        ("proxy.gola", "ng.org"),
    ]);
    let found = lines_with(&words, |path| !path.ends_with(".wasm"));
    assert_none(
        "a path of one machine or an address of a package registry",
        &found,
    );
}

#[test]
fn unsafe_code_is_forbidden_everywhere() {
    let mut found = Vec::new();
    for file in files(|path| path.ends_with("Cargo.toml") && path != "Cargo.toml") {
        let text = file.text.unwrap_or_default();
        if !text.contains("[lints]\nworkspace = true") {
            found.push(format!("{} does not take the workspace's lints", file.path));
        }
    }
    assert_none("every package takes the lints of the workspace", &found);
}
