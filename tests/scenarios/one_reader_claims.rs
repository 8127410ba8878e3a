//! Two readers reach for the same request at the same moment: one has it, the other is told who.

use std::sync::Barrier;
use std::thread;

use reqwest::Method;
use serde_json::{Value, json};
use tancho_e2e::hospital::{Network, assert_all_stored};
use tancho_e2e::phantom::Phantom;

#[test]
fn one_of_two_claims_wins() {
    let mut network = Network::small();
    let folder = tempfile::tempdir().unwrap();
    let study = Phantom::stroke("two readers")
        .with_slices(1)
        .write(&folder.path().join("study"))
        .unwrap();
    let mut modality = network.node().modality();
    modality.called_ae_title = "TANCHO_STAT".to_owned();
    assert_all_stored(&modality.send(&[&study.folder]).unwrap(), 1);
    let request = network.wait_for_study(&study.study_instance_uid, 1);
    let path = format!("/api/v1/reading-requests/{}", request["id"].as_str().unwrap());

    let sessions = [network.session("reader"), network.session("reader2")];
    let start = Barrier::new(sessions.len());
    let replies: Vec<_> = thread::scope(|scope| {
        let claims: Vec<_> = sessions
            .iter()
            .map(|session| {
                scope.spawn(|| {
                    start.wait();
                    session
                        .try_send(Method::POST, &format!("{path}/claim"), &json!({}))
                        .unwrap()
                })
            })
            .collect();
        claims.into_iter().map(|claim| claim.join().unwrap()).collect()
    });
    let won = replies
        .iter()
        .position(|reply| reply.status.is_success())
        .expect("one claim succeeds");
    let lost = &replies[1 - won];
    assert_eq!(
        (lost.status.as_u16(), lost.code()),
        (409, "already_claimed"),
        "{}",
        lost.body
    );

    let seen = sessions[1 - won].get(&path).unwrap();
    let me = sessions[won].get("/api/v1/session").unwrap();
    assert_eq!(seen["claim"]["reader"]["id"], me["user"]["id"]);

    // The winner's retry with the same command id repeats the answer and changes nothing.
    sessions[won]
        .post(&format!("{path}/release"), &json!({}))
        .unwrap();
    let command = "01890000-0000-7000-8000-00000000c1a1";
    let claim = |session: usize| {
        sessions[session]
            .try_send_as(Method::POST, &format!("{path}/claim"), &json!({}), command)
            .unwrap()
    };
    let (first, again) = (claim(won), claim(won));
    assert!(first.status.is_success() && again.status.is_success());
    let claimed_at = |reply: &Value| reply["claim"]["claimed_at_ms"].clone();
    assert_eq!(claimed_at(&first.body), claimed_at(&again.body));
    assert_eq!(first.body["version"], again.body["version"]);
}
