//! A reader's night in headless Chromium: this side plays the scanner, `journey.mjs` plays the people.
//!
//! The two meet over the script's output, one JSON object a line: `{"step": ...}` when something is done, and
//! `{"wants": "rest"}` when the other half of the images may come. Screenshots go to `tests/browser/screenshots`.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::Value;
use tancho_e2e::hospital::{Network, PASSWORD, assert_all_stored};
use tancho_e2e::phantom::Phantom;

#[test]
fn head_ct_is_read_called_signed_and_acknowledged() {
    let mut network = Network::temporary(1, true);
    let folder = tempfile::tempdir().expect("a temporary folder");
    let study = Phantom::stroke("browser journey")
        .write(&folder.path().join("study"))
        .expect("the phantom");
    let files: Vec<&Path> = study.files.iter().map(|file| file.path.as_path()).collect();
    let mut modality = network.node().modality();
    modality.called_ae_title = "TANCHO_STAT".to_owned();
    let (first_half, second_half) = files.split_at(files.len() / 2);
    assert_all_stored(
        &modality.send(first_half).expect("the sender runs"),
        first_half.len(),
    );

    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("browser/journey.mjs");
    let mut people = Command::new("node")
        .arg(script)
        .env("TANCHO_RELAY", network.relay.url())
        .env("TANCHO_AGENT", network.node().url())
        .env("TANCHO_PASSWORD", PASSWORD)
        .env("TANCHO_IMAGES", files.len().to_string())
        .stdout(Stdio::piped())
        .spawn()
        .expect("node runs");
    let output = people.stdout.take().expect("an output");
    let mut steps = Vec::new();
    for line in BufReader::new(output).lines() {
        let line = line.expect("UTF-8");
        println!("{line}");
        let said: Value = serde_json::from_str(&line).unwrap_or_default();
        if said["wants"] == "rest" {
            assert_all_stored(
                &modality.send(second_half).expect("the sender runs"),
                second_half.len(),
            );
        }
        if let Some(step) = said["step"].as_str() {
            steps.push(step.to_owned());
        }
    }
    assert!(
        people.wait().expect("the script ends").success(),
        "the journey failed after: {steps:?}"
    );
    assert_eq!(
        steps.last().map(String::as_str),
        Some("acknowledged"),
        "{steps:?}"
    );

    let mails = network.mail.as_ref().expect("a mail server").messages();
    assert!(
        mails.iter().any(|mail| mail["to"][0] == "referrer@doto.example"),
        "the mail went out"
    );
}
