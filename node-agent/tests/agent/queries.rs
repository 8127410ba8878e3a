//! Queries, retrievals and reports from peers that do not keep to the rules: each gets its answer or its end, and the
//! agent goes on.

use std::time::Duration;

use dicom_ul::pdu::Pdu;
use tancho_agent::config::{AllowedCaller, Config};
use tancho_domain::dicom::{AeTitle, TransferSyntaxUid};
use tancho_imaging::element::{Tag, Vr};
use tancho_imaging::synthetic::ElementWriter;

use crate::deliveries::pacs;
use crate::peer::{Peer, Proposal, fragment};
use crate::support::{CT, EXPLICIT_LE, TestAgent, slice};

const FIND: &str = "1.2.840.10008.5.1.4.1.2.2.1";
const COMMITMENT: &str = "1.2.840.10008.1.20.1";

fn queried() -> TestAgent {
    TestAgent::start_with(|config: &mut Config| {
        let dimse = config.dimse.as_mut().unwrap();
        dimse.query_callers = vec![AllowedCaller {
            ae_title: AeTitle::parse("RAWPEER").unwrap(),
            ip: None,
        }];
    })
}

fn command(numbers: &[(u16, u16)], class: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut put = |element: u16, value: &[u8]| {
        bytes.extend([0, 0]);
        bytes.extend(element.to_le_bytes());
        bytes.extend(u32::try_from(value.len()).unwrap().to_le_bytes());
        bytes.extend(value);
    };
    let mut uid = class.as_bytes().to_vec();
    uid.resize(uid.len().next_multiple_of(2), 0);
    put(0x0002, &uid);
    for (element, value) in numbers {
        put(*element, &value.to_le_bytes());
    }
    bytes
}

fn find_command() -> Vec<u8> {
    command(&[(0x0100, 0x0020), (0x0110, 7), (0x0700, 0), (0x0800, 0)], FIND)
}

fn identifier(level: &str) -> Vec<u8> {
    let mut writer = ElementWriter::new(&TransferSyntaxUid::parse(EXPLICIT_LE).unwrap());
    writer
        .ascii(Tag(0x0008, 0x0052), Vr::CS, level)
        .ascii(Tag::STUDY_INSTANCE_UID, Vr::UI, "");
    writer.finish()
}

fn ask(peer: &mut Peer, data: &[u8]) -> Option<u16> {
    peer.write(&fragment(1, true, true, &find_command()));
    peer.write(&fragment(1, false, true, data));
    peer.read_status()
}

#[test]
fn an_identifier_that_cannot_be_read_is_answered_and_the_next_one_too() {
    let agent = queried();
    let mut peer = Peer::associate(agent.dimse, &Proposal::storing(FIND, EXPLICIT_LE));
    assert_eq!(ask(&mut peer, b"no data set"), Some(0xA900));
    assert_eq!(ask(&mut peer, &identifier("GALAXY")), Some(0xA900));
    assert_eq!(ask(&mut peer, &identifier("STUDY")), Some(0), "nothing is here");
    peer.release();
}

#[test]
fn an_endless_identifier_ends_the_association() {
    let agent = queried();
    let mut peer = Peer::associate(agent.dimse, &Proposal::storing(FIND, EXPLICIT_LE));
    peer.write(&fragment(1, true, true, &find_command()));
    let piece = fragment(1, false, false, &vec![0; 64 * 1024]);
    for _ in 0..20 {
        peer.write(&piece);
    }
    let bytes = peer.read_to_close();
    // Its end may be lost when it goes on writing; it gets no answer in any case.
    assert!(bytes.is_empty() || bytes[0] == 7, "{bytes:?}");
    let mut next = Peer::associate(agent.dimse, &Proposal::storing(FIND, EXPLICIT_LE));
    assert_eq!(ask(&mut next, &identifier("STUDY")), Some(0));
}

#[test]
fn who_is_not_listed_gets_no_context_for_queries() {
    let agent = TestAgent::start();
    let (uid, data) = slice("2.25.800", 1);
    let proposal = Proposal {
        contexts: vec![
            (FIND.to_owned(), vec![EXPLICIT_LE.to_owned()]),
            (CT.to_owned(), vec![EXPLICIT_LE.to_owned()]),
        ],
        ..Proposal::default()
    };
    let mut peer = Peer::associate(agent.dimse, &proposal);
    assert_eq!(peer.store(3, CT, &uid, &data), Some(0));
    peer.write(&fragment(1, true, true, &find_command()));
    assert!(matches!(peer.read_pdu(), Some(Pdu::AbortRQ { .. })));
}

#[test]
fn a_report_of_storage_commitment_that_was_not_asked_for_changes_nothing() {
    let mut destination = pacs("127.0.0.1:1".parse().unwrap());
    destination.storage_commitment = true;
    destination.callee.ae_title = AeTitle::parse("RAWPEER").unwrap();
    destination.callee.patience = Duration::from_secs(1);
    let agent = TestAgent::start_with(|config| config.deliver = vec![destination]);
    let mut peer = Peer::associate(agent.dimse, &Proposal::storing(COMMITMENT, EXPLICIT_LE));
    let report = command(
        &[(0x0100, 0x0100), (0x0110, 1), (0x0800, 0), (0x1002, 1)],
        COMMITMENT,
    );
    let mut writer = ElementWriter::new(&TransferSyntaxUid::parse(EXPLICIT_LE).unwrap());
    writer.ascii(Tag(0x0008, 0x1195), Vr::UI, "2.25.1");
    for (data, status) in [(writer.finish(), 0x0110), (b"no data set".to_vec(), 0x0115)] {
        peer.write(&fragment(1, true, true, &report));
        peer.write(&fragment(1, false, true, &data));
        assert_eq!(peer.read_status(), Some(status));
    }
    // It reports, and does not ask: storage commitment for modalities is off.
    let request = command(
        &[(0x0100, 0x0130), (0x0110, 2), (0x0800, 0), (0x1008, 1)],
        COMMITMENT,
    );
    peer.write(&fragment(1, true, true, &request));
    peer.write(&fragment(1, false, true, &writer.finish()));
    assert_eq!(peer.read_status(), Some(0x0124));
    peer.release();
}
