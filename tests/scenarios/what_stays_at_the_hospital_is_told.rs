//! Images that the hospital has and the relay does not get: the reader sees how many and why, and no study of which
//! some are kept back is complete.

use std::fs;

use serde_json::{Value, json};
use tancho_e2e::hospital::Network;
use tancho_e2e::node::Node;
use tancho_e2e::phantom::{Phantom, PhantomFile};
use tancho_e2e::program::run_command;
use tancho_e2e::wait::until;

fn send(node: &Node, files: &[PhantomFile]) {
    let mut arguments = vec!["send", "--priority", "stat"];
    arguments.extend(files.iter().map(|file| file.path.to_str().unwrap()));
    // It says that some were not taken as valid; what matters here is what the reader is told.
    let _ = run_command(&mut node.command(&arguments), None);
}

#[test]
fn a_study_of_which_images_stay_at_the_hospital_is_never_complete_and_says_so() {
    let mut network = Network::small();
    let folder = tempfile::tempdir().unwrap();
    let own = Phantom::stroke("kept back").with_slices(4);
    let other = Phantom {
        patient_id: "TN-000999".to_owned(),
        ..own.clone()
    };
    let study = own.write(&folder.path().join("own")).unwrap();
    let wrong = other.with_slices(6).write(&folder.path().join("other")).unwrap();
    let whole = own.with_slices(8).write(&folder.path().join("more")).unwrap();
    let arrival = |network: &Network, withheld: Value| {
        until(format!("the study to say {withheld}"), || {
            let arrival = network.wait_for_study(&study.study_instance_uid, 4)["arrival"].clone();
            (arrival["closed"] == json!(true) && arrival["withheld"] == withheld).then_some(arrival)
        })
    };

    send(network.node(), &study.files);
    let seen = arrival(&network, json!([]));
    assert_eq!((&seen["announced"], &seen["verified"]), (&json!(4), &json!(4)));

    // Two that name another patient, under the same Study Instance UID.
    send(network.node(), &wrong.files[4..]);
    let patient_differs = json!({ "reason": "patient_differs", "n_instances": 2 });
    let seen = arrival(&network, json!([patient_differs]));
    assert_eq!((&seen["announced"], &seen["verified"]), (&json!(4), &json!(4)));

    // One that ends in the middle of its head, as a scanner that was switched off leaves it.
    let cut = &whole.files[7];
    let bytes = fs::read(&cut.path).unwrap();
    fs::write(&cut.path, &bytes[..bytes.len() - cut.data_set_len as usize + 900]).unwrap();
    send(network.node(), std::slice::from_ref(cut));
    let unusable = json!({ "reason": "unusable", "n_instances": 1 });
    arrival(&network, json!([patient_differs, unusable]));

    // The administrator sees it by site and without the patient; whoever does not run the network does not.
    let path = "/api/v1/nodes/withheld";
    let listed = network.session("admin").items(path).unwrap();
    assert_eq!(listed.len(), 1, "{listed:?}");
    assert_eq!(
        (
            &listed[0]["site_code"],
            &listed[0]["study_instance_uid"],
            &listed[0]["withheld"]
        ),
        (
            &json!("DOTO"),
            &json!(study.study_instance_uid),
            &json!([patient_differs, unusable])
        )
    );
    assert!(!listed[0].to_string().contains("TN-000"), "{listed:?}");
    let refused = network.session("technologist").try_get(path).unwrap();
    assert_eq!(
        (refused.status.as_u16(), refused.code()),
        (403, "role_not_allowed")
    );

    // It comes well: what was unusable is forgotten.
    fs::write(&cut.path, &bytes).unwrap();
    send(network.node(), std::slice::from_ref(cut));
    let seen = arrival(&network, json!([patient_differs]));
    assert_eq!((&seen["announced"], &seen["verified"]), (&json!(5), &json!(5)));
}
