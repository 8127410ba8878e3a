//! On a slow line a reader scrolls through the whole stack, blurred, before the first image is there in full.

use std::process::Stdio;

use serde_json::Value;
use tancho_e2e::hospital::Network;
use tancho_e2e::phantom::Phantom;

const N_SLICES: usize = 6;

#[test]
fn the_whole_stack_can_be_looked_at_long_before_it_is_durable() {
    let mut network = Network::small();
    network.node().stop().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let study = Phantom::stroke("slow line")
        .with_slices(N_SLICES)
        .write(&folder.path().join("study"))
        .unwrap();
    let path = study.folder.to_str().unwrap();
    let mut command = network.node().command(&["send", path, "--wait", "--json"]);
    // The cap of the site makes the line slower than any machine codes.
    command.env("TANCHO_LINE__BYTES_PER_SECOND_MAX", "80000");
    let output = command.stdin(Stdio::null()).output().unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let said = String::from_utf8(output.stdout).unwrap();
    let events: Vec<Value> = said
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let first = |name: &str| events.iter().position(|event| event["event"] == name).unwrap();
    // When the first instance is durable depends on how fast the others are coded.
    let places = ["first_preview", "stack_preview", "study_durable"].map(first);
    assert!(places.is_sorted(), "{said}");
    let [_, stack, whole] = places.map(|place| &events[place]);
    assert_eq!(stack["instances"], N_SLICES);
    let bytes = |event: &Value| event["bytes_sent"].as_u64().unwrap();
    assert!(3 * bytes(stack) < bytes(whole), "{said}");
    network.assert_byte_exact(&study);
}
