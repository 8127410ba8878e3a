//! Images that come after the agent has deleted the others of their study, as the relay has them: the study is complete
//! at the relay when all are there, not before, and what the relay has does not travel again.

use serde_json::json;
use tancho_e2e::hospital::Network;
use tancho_e2e::node::Node;
use tancho_e2e::phantom::{Phantom, PhantomFile};
use tancho_e2e::program::{Program, run_command};
use tancho_e2e::wait::until;

fn send(node: &Node, files: &[PhantomFile]) {
    let mut arguments = vec!["send", "--wait", "--json", "--priority", "stat"];
    arguments.extend(files.iter().map(|file| file.path.to_str().unwrap()));
    run_command(&mut node.command(&arguments), None).unwrap();
}

fn bytes_sent(node: &Node) -> u64 {
    node.status().unwrap()["link"]["bytes_sent"].as_u64().unwrap()
}

#[test]
fn late_images_of_a_deleted_study_are_counted_with_it_and_the_others_do_not_travel_again() {
    let mut network = Network::small();
    let folder = tempfile::tempdir().unwrap();
    let study = Phantom::stroke("late images")
        .with_slices(6)
        .write(&folder.path().join("study"))
        .unwrap();
    let (early, late) = study.files.split_at(2);
    send(network.node(), early);
    network.wait_for_study(&study.study_instance_uid, 2);

    // Without a retention time the agent deletes at its start what the relay has.
    network.node().stop().unwrap();
    let mut command = network.node().command(&["serve"]);
    command.env("TANCHO_SPOOL__RETENTION_MS", "0");
    let log = folder.path().join("agent.log");
    let _agent = Program::start("tancho-agent", &mut command, &log).unwrap();
    until("the agent to forget the study", || {
        let status = network.node().status().ok()?;
        (status["n_studies"] == json!(0) && status["link"]["state"] == json!("connected")).then_some(())
    });

    send(network.node(), late);
    let arrival = until("the study to be closed and complete", || {
        let request = network.wait_for_study(&study.study_instance_uid, 6);
        (request["arrival"]["closed"] == json!(true)).then(|| request["arrival"].clone())
    });
    assert_eq!(
        (&arrival["announced"], &arrival["received"], &arrival["verified"]),
        (&json!(6), &json!(6), &json!(6))
    );

    let before = bytes_sent(network.node());
    assert!(before > 0);
    send(network.node(), early);
    // Heads and low-resolution parts go without being asked for; the images themselves do not.
    let again = bytes_sent(network.node()) - before;
    assert!(
        again < before / 8,
        "the relay had them, and {again} bytes were sent"
    );
    let arrival = network.wait_for_study(&study.study_instance_uid, 6)["arrival"].clone();
    assert_eq!(
        (&arrival["announced"], &arrival["received"]),
        (&json!(6), &json!(6))
    );
    network.assert_byte_exact(&study);
}
