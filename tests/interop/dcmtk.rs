//! DCMTK 3.6: the toolkit inside many modalities and scripts.

use std::process::Command;

use tancho_e2e::hospital::Network;
use tancho_e2e::modality::storescu;
use tancho_e2e::phantom::Phantom;
use tancho_e2e::program::run_command;
use tancho_e2e::samples::shared_data;
use tancho_e2e::wait::until;

use crate::assert_same_elements;

#[test]
fn echoscu_is_answered() {
    let mut network = Network::small();
    let agent = network.node().plan.dimse;
    let address = [agent.ip().to_string(), agent.port().to_string()];
    for title in ["TANCHO", "TANCHO_STAT"] {
        run_command(
            Command::new("echoscu").args(["--call", title]).args(&address),
            None,
        )
        .unwrap();
    }
    let wrong = Command::new("echoscu")
        .args(["--call", "SOMEBODY"])
        .args(&address)
        .output()
        .unwrap();
    assert!(!wrong.status.success(), "another called AE title is rejected");
    let said = String::from_utf8_lossy(&wrong.stderr).into_owned() + &String::from_utf8_lossy(&wrong.stdout);
    assert!(said.contains("Called AE Title Not Recognized"), "{said}");
}

#[test]
fn storescu_sends_a_head_ct() {
    let mut network = Network::small();
    let folder = tempfile::tempdir().unwrap();
    let study = Phantom::stroke("storescu")
        .with_slices(6)
        .write(&folder.path().join("study"))
        .unwrap();
    let mut command = storescu(network.node().plan.dimse, "TANCHO_STAT", &study.folder);
    run_command(&mut command, None).unwrap();
    let request = network.wait_for_study(&study.study_instance_uid, 6);
    assert_eq!(request["patient"]["name"]["ideographic"], "道東^花子");
    assert_same_elements(&network, &study);
}

#[test]
fn storescu_in_big_endian_and_implicit_is_kept_as_it_came() {
    let mut network = Network::small();
    let folder = tempfile::tempdir().unwrap();
    for (seed, option) in [
        ("implicit", "--propose-implicit"),
        ("big endian", "--propose-big"),
    ] {
        let study = Phantom::stroke(seed)
            .with_slices(1)
            .write(&folder.path().join(seed))
            .unwrap();
        let agent = network.node().plan.dimse;
        let mut command = Command::new("storescu");
        command.args([
            "--call",
            "TANCHO_STAT",
            option,
            &agent.ip().to_string(),
            &agent.port().to_string(),
        ]);
        run_command(command.arg(&study.files[0].path), None).unwrap();
        network.wait_for_study(&study.study_instance_uid, 1);
        assert_same_elements(&network, &study);
    }
}

#[test]
fn storescu_sends_the_real_head_ct() {
    let Some(folder) = shared_data("ct-head-ge") else {
        return;
    };
    let mut network = Network::small();
    run_command(
        &mut storescu(network.node().plan.dimse, "TANCHO_STAT", &folder),
        None,
    )
    .unwrap();
    let reader = network.session("reader");
    until("28 verified images", || {
        let requests = reader.items("/api/v1/reading-requests?state=all").ok()?;
        requests
            .into_iter()
            .find(|request| request["arrival"]["verified"] == 28)
    });
}
