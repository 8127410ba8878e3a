//! What people see in headless Chromium: this side plays the scanner, the scripts play the people. `journey.mjs` is a
//! reader's night, `names.mjs` is about names in every script, `ohif.mjs` reads in a foreign viewer.
//!
//! The two meet over the script's output, one JSON object a line: `{"step": ...}` when something is done, and
//! `{"wants": "rest"}` when the other half of the images may come. Screenshots go to `tests/browser/screenshots`.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::Value;
use tancho_e2e::hospital::{Network, NetworkPlan, PASSWORD, assert_all_stored};
use tancho_e2e::phantom::{Phantom, names};
use tancho_e2e::program::ohif_dir;
use tancho_e2e::samples::shared_data;
use tancho_e2e::wait::until;

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

    let last = play(&mut network, "journey.mjs", files.len(), &[], || {
        assert_all_stored(
            &modality.send(second_half).expect("the sender runs"),
            second_half.len(),
        );
    });
    assert_eq!(last, "acknowledged");

    let mails = network.mail.as_ref().expect("a mail server").messages();
    assert!(
        mails.iter().any(|mail| mail["to"][0] == "referrer@doto.example"),
        "the mail went out"
    );
}

#[test]
fn names_in_every_script_are_shown_and_found() {
    let mut network = Network::small();
    let folder = tempfile::tempdir().expect("a temporary folder");
    let mut modality = network.node().modality();
    modality.called_ae_title = "TANCHO_STAT".to_owned();
    modality.raw = true;
    for named in names::studies() {
        let folder = folder.path().join(&named.phantom.patient_id);
        let study = named.phantom.write(&folder).expect("the phantom");
        assert_all_stored(&modality.send(&[&study.folder]).expect("the sender runs"), 1);
        network.wait_for_study(&study.study_instance_uid, 1);
    }
    let last = play(&mut network, "names.mjs", 0, &[], || {});
    assert_eq!(last, "referrer opens an uncertain name");
}

#[test]
fn flt_124_ohif_reads_a_head_ct_and_asks_no_other_host() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let study = Phantom::stroke("ohif")
        .write(&folder.path().join("study"))
        .expect("the phantom");
    assert_eq!(reads_in_ohif(&study.folder, "phantom", "even"), "three planes");
    // Of a real scanner: tilted, and thinner at the base of the skull.
    if let Some(real) = shared_data("ct-head-ge") {
        assert_eq!(
            reads_in_ohif(&real, "real", "uneven"),
            "no planes of uneven slices"
        );
    }
}

/// Sends a folder of one CT series and opens it in OHIF, which the relay serves beside our API; gives the last step.
fn reads_in_ohif(study: &Path, pictures: &str, slices: &str) -> String {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let mut network = with_ohif(folder.path());
    let answers = network.node().modality().send(&[study]).expect("the sender runs");
    assert_all_stored(&answers, answers.len());
    let reader = network.session("reader");
    let request = until("the whole study at the relay", || {
        let found = reader.items("/api/v1/reading-requests?state=all").ok()?;
        let whole = |request: &Value| request["arrival"]["verified"].as_u64() == Some(answers.len() as u64);
        found.into_iter().find(whole)
    });
    let uid = request["study"]["study_instance_uid"].as_str().expect("a UID");
    let told = [
        ("TANCHO_STUDY", uid),
        ("TANCHO_PICTURES", pictures),
        ("TANCHO_SLICES", slices),
    ];
    play(&mut network, "ohif.mjs", answers.len(), &told, || {})
}

/// A small network whose relay has the OHIF viewer.
fn with_ohif(folder: &Path) -> Network {
    let mut plan = NetworkPlan::in_folder(folder, 1);
    plan.relay.ohif = Some(ohif_dir());
    Network::start(plan).unwrap_or_else(|error| panic!("{error:#}"))
}

/// Runs a script to its end, calls `rest` when it wants the rest of the images, and gives its last step.
fn play(
    network: &mut Network,
    script: &str,
    n_images: usize,
    told: &[(&str, &str)],
    mut rest: impl FnMut(),
) -> String {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("browser").join(script);
    let mut people = Command::new("node")
        .arg(script)
        .env("TANCHO_RELAY", network.relay.url())
        .env("TANCHO_AGENT", network.node().url())
        .env("TANCHO_PASSWORD", PASSWORD)
        .env("TANCHO_IMAGES", n_images.to_string())
        .envs(told.iter().copied())
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
            rest();
        }
        if let Some(step) = said["step"].as_str() {
            steps.push(step.to_owned());
        }
    }
    assert!(
        people.wait().expect("the script ends").success(),
        "the script failed after: {steps:?}"
    );
    steps.pop().expect("a step")
}
