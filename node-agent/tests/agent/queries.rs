//! Queries, retrievals and reports from peers that do not keep to the rules: each gets its answer or its end, and the
//! agent goes on.

use std::time::Duration;

use dicom_ul::pdu::Pdu;
use tancho_agent::config::{AllowedCaller, Config};
use tancho_agent::dimse::requestor::Callee;
use tancho_domain::dicom::{AeTitle, TransferSyntaxUid};
use tancho_imaging::element::{Tag, Vr};
use tancho_imaging::synthetic::ElementWriter;

use crate::deliveries::pacs;
use crate::peer::{Peer, Proposal, fragment};
use crate::receiver::{Behaviour, Receiver};
use crate::support::{CT, EXPLICIT_LE, TestAgent, slice};

const FIND: &str = "1.2.840.10008.5.1.4.1.2.2.1";
const MOVE: &str = "1.2.840.10008.5.1.4.1.2.2.2";
const IMPLICIT_LE: &str = "1.2.840.10008.1.2";
const COMMITMENT: &str = "1.2.840.10008.1.20.1";

fn queried() -> TestAgent {
    queried_with(Vec::new())
}

/// An agent that may be queried, and sends to these.
fn queried_with(move_destinations: Vec<Callee>) -> TestAgent {
    TestAgent::start_with(queries(move_destinations))
}

fn queries(move_destinations: Vec<Callee>) -> impl FnOnce(&mut Config) {
    |config: &mut Config| {
        let dimse = config.dimse.as_mut().unwrap();
        dimse.move_destinations = move_destinations;
        dimse.query_callers = vec![AllowedCaller {
            ae_title: AeTitle::parse("RAWPEER").unwrap(),
            ip: None,
        }];
    }
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

/// Keys of one level, with the unique keys above it.
fn keys(level: &str, studies: &str, more: &[(Tag, Vr, &str)]) -> Vec<u8> {
    let mut writer = ElementWriter::new(&TransferSyntaxUid::parse(EXPLICIT_LE).unwrap());
    writer.ascii(Tag(0x0008, 0x0052), Vr::CS, level);
    let mut all = vec![(Tag::STUDY_INSTANCE_UID, Vr::UI, studies)];
    all.extend(more);
    all.sort_by_key(|(tag, ..)| *tag);
    for (tag, vr, value) in all {
        writer.ascii(tag, vr, value);
    }
    writer.finish()
}

/// The first answer to a query.
fn found(agent: &TestAgent, keys: &[u8]) -> Option<u16> {
    let mut peer = Peer::associate(agent.dimse, &Proposal::storing(FIND, EXPLICIT_LE));
    ask(&mut peer, keys)
}

/// The last answer to C-MOVE.
fn moved(agent: &TestAgent, keys: &[u8]) -> Option<u16> {
    let mut peer = Peer::associate(agent.dimse, &Proposal::storing(MOVE, EXPLICIT_LE));
    let mut request = command(&[(0x0100, 0x0021), (0x0110, 7)], MOVE);
    request.extend([0, 0, 0, 6, 4, 0, 0, 0]);
    request.extend(b"PACS");
    request.extend([0, 0, 0, 7, 2, 0, 0, 0, 0, 0, 0, 0, 0, 8, 2, 0, 0, 0, 0, 0]);
    peer.write(&fragment(1, true, true, &request));
    peer.write(&fragment(1, false, true, keys));
    loop {
        match peer.read_status() {
            Some(0xFF00) => {}
            last => return last,
        }
    }
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

/// Stores instance 7 of a study, in a class and transfer syntax, with so many bytes before its patient, and comments.
fn store_instance(
    agent: &TestAgent,
    (study, class, syntax): (&str, &str, &str),
    before: usize,
    comments: &str,
) {
    let mut writer = ElementWriter::new(&TransferSyntaxUid::parse(syntax).unwrap());
    let uid = format!("{study}.1.7");
    writer
        .ascii(Tag::SOP_CLASS_UID, Vr::UI, class)
        .ascii(Tag::SOP_INSTANCE_UID, Vr::UI, &uid)
        .ascii(Tag(0x0008, 0x0060), Vr::CS, "SR")
        .ascii(Tag(0x0009, 0x0010), Vr::LO, "TANCHO")
        .bytes(Tag(0x0009, 0x1010), Vr::OB, &vec![1; before])
        .ascii(Tag(0x0010, 0x0010), Vr::PN, "DOTO^HANAKO")
        .ascii(Tag::STUDY_INSTANCE_UID, Vr::UI, study)
        .ascii(Tag::SERIES_INSTANCE_UID, Vr::UI, &format!("{study}.1"))
        .ascii(Tag(0x0020, 0x0013), Vr::IS, "7")
        .ascii(Tag(0x0020, 0x4000), Vr::LT, comments);
    if class == CT {
        writer
            .us(Tag(0x0028, 0x0010), &[2])
            .us(Tag(0x0028, 0x0011), &[2])
            .us(Tag(0x0028, 0x0100), &[16])
            .pixels_u16(&[0; 4]);
    }
    let mut peer = Peer::associate(agent.dimse, &Proposal::storing(class, syntax));
    assert_eq!(peer.store(1, class, &uid, &writer.finish()), Some(0));
    peer.release();
}

#[test]
fn objects_without_pixels_and_with_long_heads_and_texts_are_found() {
    const REPORT: &str = "1.2.840.10008.5.1.4.1.1.88.11";
    let agent = queried();
    let long = "x".repeat(70_000);
    for (n, (class, syntax, before, comments)) in [
        (REPORT, EXPLICIT_LE, 16, ""),
        (CT, EXPLICIT_LE, 3 << 20, ""),
        (CT, IMPLICIT_LE, 16, long.as_str()),
    ]
    .into_iter()
    .enumerate()
    {
        let study = format!("2.25.81{n}");
        store_instance(&agent, (&study, class, syntax), before, comments);
        let series = format!("{study}.1");
        let number = |number| {
            let comments = (Tag(0x0020, 0x4000), Vr::LT, "");
            let series = (Tag::SERIES_INSTANCE_UID, Vr::UI, series.as_str());
            let number = (Tag(0x0020, 0x0013), Vr::IS, number);
            keys("IMAGE", &study, &[comments, series, number])
        };
        assert_eq!(found(&agent, &number("7")), Some(0xFF00), "{class} {syntax}");
        assert_eq!(found(&agent, &number("8")), Some(0), "{class} {syntax}");
        let name = [(Tag(0x0010, 0x0010), Vr::PN, "DOTO*")];
        assert_eq!(found(&agent, &keys("STUDY", &study, &name)), Some(0xFF00));
    }
}

#[test]
fn a_study_is_found_by_what_is_known_of_it_while_its_object_cannot_be_read() {
    let agent = queried();
    store_slices(&agent, "2.25.814", 1);
    agent.outbound(1);
    std::fs::write(agent.object_files().remove(0), b"nothing").unwrap();
    let name = [(Tag(0x0010, 0x0010), Vr::PN, "DOTO*")];
    assert_eq!(found(&agent, &keys("STUDY", "2.25.814", &name)), Some(0xFF00));
}

fn store_slices(agent: &TestAgent, study: &str, n_slices: u32) {
    let mut peer = Peer::associate(agent.dimse, &Proposal::storing(CT, EXPLICIT_LE));
    for n in 1..=n_slices {
        let (uid, data) = slice(study, n);
        assert_eq!(peer.store(1, CT, &uid, &data), Some(0));
    }
    peer.release();
}

#[test]
fn an_object_that_is_damaged_here_fails_alone_in_a_retrieval() {
    let receiver = Receiver::start(vec![Behaviour::Take(None)]);
    let agent = queried_with(vec![pacs(receiver.address).callee]);
    store_slices(&agent, "2.25.820", 3);
    let file = agent.object_files().remove(0);
    let mut bytes = std::fs::read(&file).unwrap();
    let last = bytes.len() - 1;
    bytes[last] ^= 1;
    std::fs::write(&file, bytes).unwrap();
    // The second time the damage is known.
    for n in 1..=2 {
        assert_eq!(moved(&agent, &keys("STUDY", "2.25.820", &[])), Some(0xB000));
        assert_eq!(receiver.taken().len(), 2 * n);
    }
}

#[test]
fn a_move_destination_that_aborts_at_one_object_gets_the_others() {
    let receiver = Receiver::start(vec![Behaviour::AbortAt(&["2.25.821.1.2"])]);
    let agent = queried_with(vec![pacs(receiver.address).callee]);
    store_slices(&agent, "2.25.821", 3);
    assert_eq!(moved(&agent, &keys("STUDY", "2.25.821", &[])), Some(0xB000));
    assert_eq!(receiver.taken().len(), 2);
}

#[test]
fn a_retrieval_names_each_study_once_and_not_too_many() {
    let receiver = Receiver::start(vec![Behaviour::Take(None)]);
    let agent = queried_with(vec![pacs(receiver.address).callee]);
    store_slices(&agent, "2.25.822", 2);
    let twice = "2.25.822\\2.25.822";
    assert_eq!(moved(&agent, &keys("STUDY", twice, &[])), Some(0));
    assert_eq!(receiver.taken().len(), 2);
    let many: Vec<String> = (0..=1_000).map(|n| format!("2.25.{n}")).collect();
    assert_eq!(moved(&agent, &keys("STUDY", &many.join("\\"), &[])), Some(0xA701));
}

#[test]
fn a_spool_that_cannot_be_read_is_no_empty_one() {
    let receiver = Receiver::start(vec![Behaviour::Take(None)]);
    let folder = tempfile::tempdir().unwrap();
    let mut agent = TestAgent::start_in(folder.path(), |_| {}).unwrap();
    store_slices(&agent, "2.25.823", 1);
    agent.stop();
    let index = rusqlite::Connection::open(folder.path().join("spool/index.sqlite3")).unwrap();
    let no_digest = "update objects set original_sha256 = x'00', state = 'receipted', receipted_at_ms = ?1";
    index.execute(no_digest, [i64::MAX]).unwrap();
    let destinations = vec![pacs(receiver.address).callee];
    let agent = TestAgent::start_in(folder.path(), queries(destinations)).unwrap();
    let study = keys("STUDY", "2.25.823", &[]);
    assert_eq!(found(&agent, &study), Some(0xC001));
    assert_eq!(moved(&agent, &study), Some(0xA701));
    assert!(receiver.taken().is_empty());
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
