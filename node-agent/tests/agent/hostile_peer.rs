//! A peer that breaks the rules of the connection: it is sent away with the right words, and nobody else notices.

use std::time::Duration;

use dicom_ul::pdu::Pdu;
use tancho_agent::config::{AllowedCaller, Config};

use crate::peer::{Peer, Proposal, echo_command, fragment, store_command};
use crate::support::{CT, TestAgent, slice};

/// An A-ABORT by the service provider with this reason.
fn abort(reason: u8) -> Vec<u8> {
    vec![7, 0, 0, 0, 0, 4, 0, 0, 2, reason]
}

fn dimse(config: &mut Config) -> &mut tancho_agent::config::DimseConfig {
    config.dimse.as_mut().unwrap()
}

/// The agent still takes an object from somebody else.
fn assert_serves(agent: &TestAgent, study: &str) {
    let mut peer = Peer::associate(agent.dimse, &Proposal::default());
    let (uid, data) = slice(study, 1);
    assert_eq!(peer.store(1, CT, &uid, &data), Some(0));
    peer.release();
}

#[test]
fn flt_003_a_connection_lost_in_an_object_leaves_only_what_was_acknowledged() {
    let agent = TestAgent::start();
    let (uid, data) = slice("2.25.30", 1);
    for ending in [None, Some([7, 0, 0, 0, 0, 4, 0, 0, 0, 0])] {
        let mut peer = Peer::associate(agent.dimse, &Proposal::default());
        assert_eq!(peer.store(1, CT, &uid, &data), Some(0));
        peer.write(&fragment(1, true, true, &store_command(CT, "2.25.30.1.2")));
        peer.write(&fragment(1, false, false, &data[..200]));
        match ending {
            // A-ABORT; the agent closes when it has seen it.
            Some(pdu) => {
                peer.write(&pdu);
                assert!(peer.read_to_close().is_empty());
            }
            None => {
                peer.0.shutdown(std::net::Shutdown::Write).unwrap();
                peer.read_to_close();
            }
        }
    }
    assert_serves(&agent, "2.25.31");
    assert_eq!(agent.outbound(2).len(), 2);
    assert_eq!(agent.object_files().len(), 2);
    assert!(agent.names("incoming").iter().all(|name| !name.contains(".obj.")));
}

#[test]
fn flt_015_malformed_pdus_are_aborted_with_the_right_reason() {
    let agent = TestAgent::start();
    let first_bytes: [(&str, Vec<u8>, Vec<u8>); 6] = [
        ("unknown type", vec![0x42, 0, 0, 0, 0, 4, 0, 0, 0, 0], abort(1)),
        ("zero length request", vec![1, 0, 0, 0, 0, 0], abort(6)),
        ("4 GiB request", vec![1, 0, 0xFF, 0xFF, 0xFF, 0xFF], abort(6)),
        (
            "data before association",
            fragment(1, true, true, &echo_command()),
            abort(2),
        ),
        (
            "release before association",
            vec![5, 0, 0, 0, 0, 4, 0, 0, 0, 0],
            abort(2),
        ),
        (
            "garbage of the right length",
            [vec![1, 0, 0, 0, 0, 80], vec![0xFF; 80]].concat(),
            abort(6),
        ),
    ];
    for (what, bytes, answer) in first_bytes {
        let mut peer = Peer::connect(agent.dimse);
        peer.write(&bytes);
        assert_eq!(peer.read_to_close(), answer, "{what}");
    }
    let whole = Proposal::default().bytes();
    for cut in [10, 80, whole.len() - 3] {
        let mut request = whole[..cut].to_vec();
        let len = u32::try_from(cut - 6).unwrap().to_be_bytes();
        request[2..6].copy_from_slice(&len);
        let mut peer = Peer::connect(agent.dimse);
        peer.write(&request);
        let answer = peer.read_to_close();
        assert!(
            answer == abort(6) || answer.first() == Some(&3),
            "cut at {cut}: {answer:?}"
        );
    }
    let in_association: [(&str, Vec<u8>, Vec<u8>); 9] = [
        ("second request", whole, abort(2)),
        (
            "an answer from the requestor",
            vec![6, 0, 0, 0, 0, 4, 0, 0, 0, 0],
            abort(2),
        ),
        ("empty data", vec![4, 0, 0, 0, 0, 0], abort(6)),
        ("data longer than agreed", vec![4, 0, 0, 2, 0, 7], abort(6)),
        (
            "fragment beyond its PDU",
            [vec![4, 0, 0, 0, 0, 6], vec![0, 0, 0xFF, 0, 1, 3]].concat(),
            abort(6),
        ),
        (
            "context that was not accepted",
            fragment(99, true, true, &echo_command()),
            abort(6),
        ),
        (
            "data set without a command",
            fragment(1, false, true, b"x"),
            abort(5),
        ),
        (
            "command that is none",
            fragment(3, true, true, b"not a command set"),
            abort(6),
        ),
        (
            "endless command",
            (0..20)
                .flat_map(|_| fragment(3, true, false, &[0; 1000]))
                .collect(),
            abort(6),
        ),
    ];
    for (what, bytes, answer) in in_association {
        let mut peer = Peer::associate(agent.dimse, &Proposal::default());
        peer.write(&bytes);
        assert_eq!(peer.read_to_close(), answer, "{what}");
    }
    assert_serves(&agent, "2.25.32");
}

#[test]
fn flt_016_slow_peers_lose_their_slot() {
    let agent = TestAgent::start_with(|config| {
        let limits = &mut dimse(config).limits;
        limits.associations_max = 1;
        limits.artim = Duration::from_millis(150);
        limits.idle = Duration::from_millis(250);
        limits.rate_window = Duration::from_millis(300);
        limits.bytes_per_second_min = 1_000_000;
    });
    // Silence after connect: closed without a word.
    let mut peer = Peer::connect(agent.dimse);
    assert!(peer.read_to_close().is_empty());
    // Silence inside the request.
    let mut peer = Peer::connect(agent.dimse);
    peer.write(&Proposal::default().bytes()[..30]);
    assert!(peer.read_to_close().is_empty());
    // Silence between PDUs, inside a PDU, inside an object.
    let (_, data) = slice("2.25.33", 1);
    let command = fragment(1, true, true, &store_command(CT, "2.25.33.1.1"));
    let in_object = [command.clone(), fragment(1, false, false, &data[..100])].concat();
    for bytes in [&[][..], &command[..20], &in_object] {
        let mut peer = Peer::associate(agent.dimse, &Proposal::default());
        peer.write(bytes);
        assert_eq!(peer.read_to_close(), abort(0));
    }
    // Never idle, but far below the slowest rate: the agent ends it while the peer keeps on writing.
    let mut peer = Peer::associate(agent.dimse, &Proposal::default());
    peer.write(&command);
    let mut writing = peer.0.try_clone().unwrap();
    let (done, stop) = std::sync::mpsc::channel::<()>();
    let dripping = std::thread::spawn(move || {
        use std::io::Write;
        let pause = Duration::from_millis(20);
        while stop.recv_timeout(pause).is_err()
            && writing.write_all(&fragment(1, false, false, b"drip")).is_ok()
        {}
    });
    let answer = peer.read_to_close();
    drop(done);
    dripping.join().unwrap();
    assert!(answer == abort(0) || answer.is_empty(), "{answer:?}");
    assert!(agent.object_files().is_empty());
}

#[test]
fn flt_019_echoes_do_not_hold_a_slot() {
    let agent = TestAgent::start_with(|config| dimse(config).limits.idle = Duration::from_millis(300));
    let mut peer = Peer::associate(agent.dimse, &Proposal::default());
    let mut n_echoes = 0_u32;
    loop {
        peer.write(&fragment(3, true, true, &echo_command()));
        match peer.read_pdu() {
            Some(Pdu::PData { .. }) => n_echoes += 1,
            Some(Pdu::AbortRQ { .. }) | None => break,
            other => panic!("{other:?}"),
        }
    }
    assert!(n_echoes > 0);
}

#[test]
fn flt_017_over_the_limit_is_told_to_come_back() {
    let agent = TestAgent::start_with(|config| dimse(config).limits.associations_per_peer_max = 2);
    let first = Peer::associate(agent.dimse, &Proposal::default());
    let _second = Peer::associate(agent.dimse, &Proposal::default());
    for _ in 0..50 {
        let mut peer = Peer::connect(agent.dimse);
        peer.write(&Proposal::default().bytes());
        // Rejected transient, by the presentation provider: local limit exceeded.
        assert_eq!(peer.read_to_close(), [3, 0, 0, 0, 0, 4, 0, 2, 3, 2]);
    }
    first.release();
    assert_serves(&agent, "2.25.34");
}

#[test]
fn flt_018_unknown_titles_and_addresses_are_rejected() {
    let agent = TestAgent::start_with(|config| {
        let caller = |title: &str, ip: Option<&str>| AllowedCaller {
            ae_title: title.to_owned().try_into().unwrap(),
            ip: ip.map(|ip| ip.parse().unwrap()),
        };
        dimse(config).allow = Some(vec![
            caller("CT1", Some("127.0.0.1")),
            caller("MR1", Some("192.0.2.9")),
        ]);
    });
    let answer = |called: &str, calling: &str| {
        let mut peer = Peer::connect(agent.dimse);
        let calling = calling.to_owned();
        peer.write(
            &Proposal {
                calling,
                ..Proposal::to(called)
            }
            .bytes(),
        );
        peer.read_pdu().unwrap()
    };
    let rejected = |reason: u8| vec![3, 0, 0, 0, 0, 4, 0, 1, 1, reason];
    let bytes = |pdu: &Pdu| {
        let mut bytes = Vec::new();
        dicom_ul::pdu::write_pdu(&mut bytes, pdu).unwrap();
        bytes
    };
    assert_eq!(bytes(&answer("TANCHO", "RAWPEER")), rejected(3));
    assert_eq!(
        bytes(&answer("TANCHO", "MR1")),
        rejected(3),
        "from another address than listed"
    );
    assert_eq!(bytes(&answer("ELSEWHERE", "CT1")), rejected(7));
    assert!(matches!(answer("TANCHO", "CT1"), Pdu::AssociationAC(_)));
    assert!(matches!(answer("TANCHO_STAT", "CT1"), Pdu::AssociationAC(_)));

    let refusals = agent.state()["refusals"].clone();
    let shown = |n: usize| {
        let one = &refusals[n];
        let text = |key: &str| one[key].as_str().unwrap_or_default().to_owned();
        [
            text("code"),
            text("calling_ae"),
            text("called_ae"),
            text("address"),
        ]
    };
    assert_eq!(refusals.as_array().unwrap().len(), 3);
    assert_eq!(shown(0), ["called_ae_unknown", "CT1", "ELSEWHERE", "127.0.0.1"]);
    assert_eq!(shown(1), ["calling_ae_unknown", "MR1", "TANCHO", "127.0.0.1"]);
    assert_eq!(shown(2), ["calling_ae_unknown", "RAWPEER", "TANCHO", "127.0.0.1"]);
    assert!(refusals[0]["at_ms"].as_i64() >= refusals[2]["at_ms"].as_i64());
    let metrics = agent.get("/metrics").1;
    for line in [
        "tancho_agent_associations_rejected_total{reason=\"calling_ae_unknown\"} 2",
        "tancho_agent_associations_rejected_total{reason=\"called_ae_unknown\"} 1",
        "tancho_agent_associations_rejected_total{reason=\"congested\"} 0",
    ] {
        assert!(metrics.contains(line), "{line} is not in\n{metrics}");
    }
    assert!(!metrics.contains("RAWPEER"), "no label carries what a peer sent");
}

#[test]
fn what_is_not_storage_is_not_accepted() {
    let agent = TestAgent::start();
    let mut proposal = Proposal::default();
    proposal.contexts.push((
        "1.2.840.10008.5.1.4.1.2.2.1".to_owned(),
        vec!["1.2.840.10008.1.2".to_owned()],
    ));
    let mut peer = Peer::connect(agent.dimse);
    peer.write(&proposal.bytes());
    let Some(Pdu::AssociationAC(accepted)) = peer.read_pdu() else {
        panic!("not accepted")
    };
    let reasons: Vec<u8> = accepted
        .presentation_contexts
        .iter()
        .map(|context| context.reason.clone() as u8)
        .collect();
    assert_eq!(reasons, [0, 0, 3]);
}
