//! `tancho-agent send --wait --json` tells a program how far a study is, waits as long as the relay is away, and can be
//! interrupted without losing anything.

use std::io::{BufRead, BufReader, Lines};
use std::process::{Child, ChildStderr, Command, ExitStatus, Stdio};

use serde_json::Value;
use tancho_e2e::hospital::Network;
use tancho_e2e::phantom::{Phantom, PhantomStudy};

const N_SLICES: usize = 6;

/// A running `send`.
struct Sending {
    child: Child,
    errors: Lines<BufReader<ChildStderr>>,
}

impl Sending {
    fn start(mut command: Command) -> Self {
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let errors = BufReader::new(child.stderr.take().unwrap()).lines();
        Self { child, errors }
    }

    /// Reads what it says to people until a line holds `words`.
    fn wait_for_words(&mut self, words: &str) {
        let found = self
            .errors
            .by_ref()
            .map(Result::unwrap)
            .find(|line| line.contains(words));
        assert!(found.is_some(), "it ended without saying: {words}");
    }

    fn is_running(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    /// Its end, its JSON lines, and what else it said to people.
    fn end(self) -> (ExitStatus, Vec<Value>, String) {
        let rest: Vec<String> = self.errors.map(Result::unwrap).collect();
        let output = self.child.wait_with_output().unwrap();
        let events = String::from_utf8(output.stdout).unwrap();
        let events = events.lines().map(|line| serde_json::from_str(line).unwrap());
        (output.status, events.collect(), rest.join("\n"))
    }
}

fn study(seed: &str) -> (tempfile::TempDir, PhantomStudy) {
    let folder = tempfile::tempdir().unwrap();
    let study = Phantom::stroke(seed)
        .with_slices(N_SLICES)
        .write(&folder.path().join("study"))
        .unwrap();
    (folder, study)
}

fn send(network: &mut Network, study: &PhantomStudy) -> Sending {
    let folder = study.folder.to_str().unwrap();
    Sending::start(network.node().command(&["send", folder, "--wait", "--json"]))
}

/// The events in their order, with figures that fit the study.
fn assert_tells_the_whole_way(events: &[Value], study: &PhantomStudy) {
    let place = |name: &str| {
        let places = (0..events.len()).filter(|place| events[*place]["event"] == name);
        let places: Vec<usize> = places.collect();
        assert_eq!(places.len(), 1, "{name} is said once");
        places[0]
    };
    // A reader can look at an image before it is durable.
    let previews = ["spooled", "first_preview", "stack_preview", "study_durable"].map(place);
    assert!(previews.is_sorted(), "{events:?}");
    let durable = ["spooled", "first_instance_durable", "study_durable"].map(place);
    assert!(durable.is_sorted(), "{events:?}");
    assert_eq!(events[previews[2]]["instances"], N_SLICES);
    let events = durable.map(|place| &events[place]);
    let number = |event: usize, key: &str| {
        events[event][key]
            .as_u64()
            .unwrap_or_else(|| panic!("{event} {key}"))
    };
    assert_eq!(number(0, "instances"), N_SLICES as u64);
    assert!((1..=N_SLICES as u64).contains(&number(1, "instances")));
    assert_eq!(number(2, "instances"), N_SLICES as u64);
    let original: u64 = study.files.iter().map(|file| file.data_set_len).sum();
    assert_eq!(
        (number(0, "bytes_original"), number(2, "bytes_original")),
        (original, original)
    );
    assert!(number(2, "bytes_sent") >= number(1, "bytes_sent") && number(1, "bytes_sent") > 0);
    let times: Vec<u64> = (0..3).map(|event| number(event, "elapsed_ms")).collect();
    assert!(times.is_sorted(), "{times:?}");
}

#[test]
fn send_tells_how_far_a_study_is_with_and_without_a_running_agent() {
    let mut network = Network::small();
    let (_folder, first) = study("send through the agent");
    let (status, events, _) = send(&mut network, &first).end();
    assert_eq!(status.code(), Some(0));
    assert_tells_the_whole_way(&events, &first);
    network.wait_for_study(&first.study_instance_uid, N_SLICES);
    network.assert_byte_exact(&first);

    // Once more: everything is there already, and that is a success.
    let (status, events, _) = send(&mut network, &first).end();
    assert_eq!(status.code(), Some(0));
    assert_tells_the_whole_way(&events, &first);

    network.node().stop().unwrap();
    let (_folder, second) = study("send by itself");
    let (status, events, _) = send(&mut network, &second).end();
    assert_eq!(status.code(), Some(0));
    assert_tells_the_whole_way(&events, &second);
    network.assert_byte_exact(&second);
}

#[test]
fn send_waits_for_a_relay_that_is_away_and_says_so() {
    let mut network = Network::small();
    network.relay.kill();
    let (_folder, study) = study("relay away");
    let mut sending = send(&mut network, &study);
    sending.wait_for_words("no connection to the relay");
    assert!(sending.is_running());
    network.relay.start().unwrap();
    let (status, events, _) = sending.end();
    assert_eq!(status.code(), Some(0));
    assert_tells_the_whole_way(&events, &study);
    network.wait_for_study(&study.study_instance_uid, N_SLICES);
}

#[test]
fn an_interrupted_send_says_what_is_safe_and_the_agent_goes_on() {
    let mut network = Network::small();
    network.relay.kill();
    let (_folder, through_agent) = study("interrupted with an agent");
    let mut sending = send(&mut network, &through_agent);
    sending.wait_for_words("no connection to the relay");
    interrupt(&sending);
    let (status, events, said) = sending.end();
    assert_eq!(status.code(), Some(130));
    let told: Vec<&Value> = events.iter().map(|event| &event["event"]).collect();
    assert_eq!(told, ["spooled", "failed"], "{events:?}");
    assert_eq!(events[1]["code"], "interrupted");
    let safe = format!("{N_SLICES} instances are durable on this machine, 0 of them at the relay");
    assert!(
        said.contains(&safe) && said.contains("running agent goes on"),
        "{said}"
    );

    network.node().stop().unwrap();
    let (_folder, by_itself) = study("interrupted without an agent");
    let mut sending = send(&mut network, &by_itself);
    sending.wait_for_words("no connection to the relay");
    interrupt(&sending);
    let (status, _, said) = sending.end();
    assert_eq!(status.code(), Some(130));
    assert!(
        said.contains(&safe) && said.contains("tancho-agent serve"),
        "{said}"
    );

    network.relay.start().unwrap();
    network.node().start().unwrap();
    for study in [&through_agent, &by_itself] {
        network.wait_for_study(&study.study_instance_uid, N_SLICES);
        network.assert_byte_exact(study);
    }
}

/// Ctrl-C.
fn interrupt(sending: &Sending) {
    let id = sending.child.id().to_string();
    assert!(
        Command::new("kill")
            .args(["-INT", &id])
            .status()
            .unwrap()
            .success()
    );
}
