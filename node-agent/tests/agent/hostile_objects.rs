//! Objects that are broken or malicious: each is answered, none stops its neighbours, nothing is lost.

use std::time::{Duration, Instant};

use tancho_imaging::part10;
use tancho_imaging::synthetic::CtSlice;

use crate::peer::{Peer, Proposal, fragment, store_command};
use crate::support::{CT, EXPLICIT_LE, TestAgent, data_set_of, dicom_files, shared_data, slice};

/// Sends one object alone and gives its status.
fn status_of(agent: &TestAgent, class: &str, uid: &str, transfer_syntax: &str, data: &[u8]) -> u16 {
    let mut peer = Peer::associate(agent.dimse, &Proposal::storing(class, transfer_syntax));
    let status = peer.store(1, class, uid, data).expect("an answer");
    // The association goes on after any object.
    let (good_uid, good) = slice("2.25.40", 1);
    if class == CT && transfer_syntax == EXPLICIT_LE {
        assert_eq!(peer.store(1, CT, &good_uid, &good), Some(0));
    }
    peer.release();
    status
}

#[test]
fn flt_007_bad_uids_are_quarantined_and_never_part_of_a_name() {
    let agent = TestAgent::start();
    let long = "1".repeat(200);
    let bad = [
        "../../../etc/cron.d/x",
        "1.2/../3",
        "1.2\0.3",
        "letters",
        "",
        &long,
    ];
    for (n, uid) in bad.iter().enumerate() {
        let object = CtSlice {
            sop_instance_uid: (*uid).to_owned(),
            ..CtSlice::default()
        };
        let data = object
            .data_set(&EXPLICIT_LE.to_owned().try_into().unwrap())
            .unwrap();
        let status = status_of(&agent, CT, uid, EXPLICIT_LE, &data);
        assert!(status == 0xA900 || status == 0xC000, "{uid:?}: {status:04X}");
        assert_eq!(agent.spool().quarantine().len(), n + 1);
    }
    let names = agent.names("quarantine");
    assert_eq!(names.len(), bad.len());
    assert!(
        names
            .iter()
            .all(|name| name.len() == 40 && name.ends_with(".obj"))
    );
}

#[test]
fn flt_008_command_and_data_set_must_name_the_same_instance() {
    let agent = TestAgent::start();
    let (_, data) = slice("2.25.41", 1);
    assert_eq!(status_of(&agent, CT, "2.25.41.1.2", EXPLICIT_LE, &data), 0xA900);
    let mr = "1.2.840.10008.5.1.4.1.1.4";
    assert_eq!(status_of(&agent, mr, "2.25.41.1.1", EXPLICIT_LE, &data), 0xA900);
    let quarantine = agent.spool().quarantine();
    assert_eq!(quarantine.len(), 2);
    assert!(quarantine.iter().all(|row| row.reason == "uid_mismatch"));
    let kept = agent
        .data_dir
        .join(format!("spool/quarantine/{}.obj", quarantine[0].object_id));
    assert_eq!(data_set_of(&kept), data);
    // A class that is not the context's is refused before any byte is kept.
    let mut peer = Peer::associate(agent.dimse, &Proposal::default());
    assert_eq!(peer.store(1, mr, "2.25.41.1.1", &data), Some(0xA900));
    assert!(
        agent
            .spool()
            .studies()
            .iter()
            .all(|study| study.study_instance_uid != "2.25.41")
    );
}

#[test]
fn flt_009_a_length_beyond_the_data_is_rejected_at_once() {
    let agent = TestAgent::start();
    let (uid, mut data) = slice("2.25.42", 1);
    let at = data
        .windows(4)
        .position(|window| window == [0x10, 0, 0x10, 0])
        .unwrap();
    // Patient's Name becomes an UN element of 4 GiB less 2.
    data.splice(at + 4..at + 8, [b'U', b'N', 0, 0, 0xFE, 0xFF, 0xFF, 0xFF]);
    data.truncate(300);
    let before = Instant::now();
    assert_eq!(status_of(&agent, CT, &uid, EXPLICIT_LE, &data), 0xC000);
    assert!(before.elapsed() < Duration::from_secs(1));
    assert_eq!(agent.spool().quarantine()[0].reason, "value_beyond_object");
}

#[test]
fn flt_010_deep_nesting_is_rejected_closed_or_not() {
    let agent = TestAgent::start();
    let (uid, data) = slice("2.25.43", 1);
    let open: &[u8] = &[
        0x40, 0, 0x75, 0xA2, b'S', b'Q', 0, 0, 0xFF, 0xFF, 0xFF, 0xFF, 0xFE, 0xFF, 0, 0xE0, 0xFF, 0xFF, 0xFF,
        0xFF,
    ];
    let close: &[u8] = &[
        0xFE, 0xFF, 0x0D, 0xE0, 0, 0, 0, 0, 0xFE, 0xFF, 0xDD, 0xE0, 0, 0, 0, 0,
    ];
    let pixels = data
        .windows(4)
        .position(|window| window == [0xE0, 0x7F, 0x10, 0])
        .unwrap();
    for n_closed in [0, 20_000] {
        let mut nested = data[..pixels].to_vec();
        nested.extend(open.repeat(20_000));
        nested.extend(close.repeat(n_closed));
        nested.extend(&data[pixels..]);
        assert_eq!(status_of(&agent, CT, &uid, EXPLICIT_LE, &nested), 0xC000);
    }
    assert!(
        agent
            .spool()
            .quarantine()
            .iter()
            .all(|row| row.reason == "sequence_too_deep")
    );
}

#[test]
fn flt_013_another_encoding_than_negotiated_is_kept_and_marked() {
    let agent = TestAgent::start();
    let (uid, data) = slice("2.25.44", 1);
    let implicit = "1.2.840.10008.1.2";
    assert_eq!(status_of(&agent, CT, &uid, implicit, &data), 0);
    let object = agent.outbound(1).remove(0);
    assert_eq!(object.transfer_syntax.as_str(), implicit);
    assert_eq!(agent.rebuilt(&object), data);
}

#[test]
fn flt_001_an_object_without_its_end_is_no_object() {
    let agent = TestAgent::start();
    let mut peer = Peer::associate(agent.dimse, &Proposal::default());
    let (uid, data) = slice("2.25.45", 1);
    peer.write(&fragment(1, true, true, &store_command(CT, &uid)));
    peer.write(&fragment(1, false, false, &data));
    // Release inside a message is not allowed.
    peer.write(&[5, 0, 0, 0, 0, 4, 0, 0, 0, 0]);
    assert_eq!(peer.read_to_close(), [7, 0, 0, 0, 0, 4, 0, 0, 2, 2]);
    assert!(agent.object_files().is_empty());
}

#[test]
fn every_hostile_file_is_answered_and_the_agent_lives() {
    let Some(folder) = shared_data("hostile") else {
        return;
    };
    let agent = TestAgent::start();
    let files = dicom_files(&folder);
    let mut n_stored = 0;
    for path in &files {
        let bytes = std::fs::read(path).unwrap();
        // What has no readable front is sent as it is: a modality could do that, too.
        let (data, syntax, class, uid) = match part10::split(&mut std::io::Cursor::new(&bytes)) {
            Ok(meta) => {
                let data = &bytes[usize::try_from(meta.data_set_offset).unwrap()..];
                let text = |uid: Option<String>, default: &str| uid.unwrap_or_else(|| default.to_owned());
                let class = text(meta.sop_class_uid.map(Into::into), CT);
                let uid = text(meta.sop_instance_uid.map(Into::into), "2.25.1");
                (data, meta.transfer_syntax.as_str().to_owned(), class, uid)
            }
            Err(_) => (
                &bytes[..],
                EXPLICIT_LE.to_owned(),
                CT.to_owned(),
                "2.25.1".to_owned(),
            ),
        };
        let before = Instant::now();
        let mut peer = Peer::associate(agent.dimse, &Proposal::storing(&class, &syntax));
        let status = peer.store(1, &class, &uid, data);
        let status = status.unwrap_or_else(|| panic!("{}: no answer", path.display()));
        assert!(before.elapsed() < Duration::from_secs(20), "{}", path.display());
        peer.release();
        n_stored += u32::from(status == 0);
    }
    assert!(n_stored > 0);
    let (uid, data) = slice("2.25.46", 1);
    assert_eq!(status_of(&agent, CT, &uid, EXPLICIT_LE, &data), 0);
}
