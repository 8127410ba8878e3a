//! Killed at every step of the spool and started again: nothing acknowledged is lost, nothing half is shown.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use tancho_agent::StartError;
use tancho_agent::spool::ObjectState;

use crate::command_line::Served;
use crate::peer::{Peer, Proposal};
use crate::retention::{deliver_and_delete, receipt};
use crate::support::{CT, TestAgent, slice};

/// Every named point at which the agent can be ended, in the order of an object's life.
const POINTS: [&str; 7] = [
    "stored.received",
    "stored.fsynced",
    "stored.renamed",
    "stored.folder_synced",
    "stored.committed",
    "coded.renamed",
    "coded.committed",
];

#[test]
fn flt_001_flt_002_killed_at_each_step_nothing_acknowledged_is_lost() {
    for point in POINTS {
        for pass in 1..=2 {
            let folder = tempfile::tempdir().unwrap();
            let served = Served::start(
                folder.path(),
                &[("TANCHO_CRASH_POINT", &format!("{point}:{pass}"))],
            );
            let mut acknowledged = BTreeSet::new();
            let mut peer = Peer::associate(served.dimse, &Proposal::default());
            for n in 0..4 {
                let (uid, data) = slice("2.25.50", n);
                match peer.store(1, CT, &uid, &data) {
                    Some(0) => acknowledged.insert(uid),
                    Some(other) => panic!("{point}:{pass}: status {other:04X}"),
                    None => break,
                };
            }
            if point.starts_with("coded") && pass == 2 {
                // One round may have taken all objects; then there is no second pass.
                drop(served);
            } else {
                assert!(!served.wait().success(), "{point}:{pass} was not reached");
            }

            let mut agent = TestAgent::start_in(folder.path(), |_| {}).unwrap();
            assert!(
                agent
                    .names("incoming")
                    .iter()
                    .all(|name| !name.ends_with(".obj.part")),
                "{point}:{pass}"
            );
            let found = agent.until("the acknowledged objects", |spool| {
                let found: BTreeSet<String> = spool
                    .outbound()
                    .iter()
                    .map(|object| object.sop_instance_uid.as_str().to_owned())
                    .collect();
                found.is_superset(&acknowledged).then_some(found)
            });
            assert!(
                found.len() <= acknowledged.len() + 1,
                "{point}:{pass}: at most the object under way is extra"
            );
            let mut peer = Peer::associate(agent.dimse, &Proposal::default());
            for n in 0..4 {
                let (uid, data) = slice("2.25.50", n);
                assert_eq!(peer.store(1, CT, &uid, &data), Some(0), "{point}:{pass}");
            }
            peer.release();
            for object in agent.outbound(4) {
                agent.rebuilt(&object);
            }
            assert_eq!(agent.spool().studies()[0].n_revisions, 0, "{point}:{pass}");
            agent.stop();
        }
    }
}

/// Stores to a process that coding ends: the answer comes, or the end is faster, when the object is durable already.
fn store_before_the_end(peer: &mut Peer, uid: &str, data: &[u8]) {
    assert!(matches!(peer.store(1, CT, uid, data), Some(0) | None));
}

/// An object that ends the process whenever it is coded: after the first end it is tried twice on its own, the second
/// time without the coder of frames and when the process has lived for a while, then set aside.
#[test]
fn flt_067_an_object_that_ends_the_process_is_set_aside_and_the_queue_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let begun = [("TANCHO_CRASH_POINT", "coding.begun")];
    let (poison, data) = slice("2.25.67", 1);
    let served = Served::start(folder.path(), &begun);
    let mut peer = Peer::associate(served.dimse, &Proposal::default());
    store_before_the_end(&mut peer, &poison, &data);
    assert!(!served.wait().success(), "coding it ends the process");
    for start in 2..=3 {
        assert!(
            !Served::until_it_ends(folder.path(), &begun).success(),
            "start {start}"
        );
    }
    let attempts = folder.path().join("spool/coding");
    let count = fs::read_dir(&attempts).unwrap().next().unwrap().unwrap();
    assert_eq!(
        count.metadata().unwrap().len(),
        3,
        "written down before each attempt"
    );

    let agent = TestAgent::start_in(folder.path(), |_| {}).unwrap();
    agent.until("the object set aside", |spool| {
        (spool.studies()[0].tally(ObjectState::Refused).n_objects == 1).then_some(())
    });
    assert_eq!(
        agent.spool().study_manifests()[0].withheld.to_string(),
        "refused:1",
        "the relay is told"
    );
    let mut peer = Peer::associate(agent.dimse, &Proposal::default());
    let (healthy, data) = slice("2.25.67", 2);
    assert_eq!(peer.store(1, CT, &healthy, &data), Some(0));
    peer.release();
    let sent = agent.outbound(1);
    assert_eq!(sent[0].sop_instance_uid.as_str(), healthy);
    assert_eq!(fs::read_dir(&attempts).unwrap().count(), 0);
}

/// The innocent neighbours of a death are coded at the next start.
#[test]
fn flt_067_an_object_that_was_only_under_way_travels() {
    let folder = tempfile::tempdir().unwrap();
    let served = Served::start(folder.path(), &[("TANCHO_CRASH_POINT", "coding.begun")]);
    let mut peer = Peer::associate(served.dimse, &Proposal::default());
    let (uid, data) = slice("2.25.68", 1);
    store_before_the_end(&mut peer, &uid, &data);
    assert!(!served.wait().success());
    let agent = TestAgent::start_in(folder.path(), |_| {}).unwrap();
    let sent = agent.outbound(1);
    assert_eq!(agent.rebuilt(&sent[0]), data);
}

/// Objects of these stations in the spool as a process leaves them that ended while all were coded for the first time.
fn leave_under_way(folder: &Path, called: &[&str]) {
    let mut agent = TestAgent::start_in(folder, |_| {}).unwrap();
    for (n, station) in (1..).zip(called) {
        let mut peer = Peer::associate(agent.dimse, &Proposal::to(station));
        let (uid, data) = slice("2.25.69", n);
        assert_eq!(peer.store(1, CT, &uid, &data), Some(0));
        peer.release();
    }
    agent.outbound(called.len());
    agent.stop();
    // Without an index all are coded again.
    for suffix in ["", "-wal", "-shm"] {
        fs::remove_file(folder.join(format!("spool/index.sqlite3{suffix}"))).ok();
    }
    for object in fs::read_dir(folder.join("spool/objects/000001")).unwrap() {
        let name = object.unwrap().file_name().into_string().unwrap();
        let object_id = name.strip_suffix(".obj").unwrap();
        fs::write(folder.join("spool/coding").join(object_id), "+").unwrap();
    }
}

/// How often each object was begun without an end.
fn begins(folder: &Path) -> Vec<u64> {
    let files = fs::read_dir(folder.join("spool/coding")).unwrap();
    let mut begins: Vec<u64> = files
        .map(|file| file.unwrap().metadata().unwrap().len())
        .collect();
    begins.sort_unstable();
    begins
}

/// A suspect that waits for its turn must not hold up the one whose turn it is, in whichever lane each of them is.
#[test]
fn suspects_of_both_lanes_all_travel() {
    let folder = tempfile::tempdir().unwrap();
    let stations: Vec<&str> = ["TANCHO", "TANCHO_STAT", "TANCHO_STAT"].repeat(5);
    leave_under_way(folder.path(), &stations);
    let agent = TestAgent::start_in(folder.path(), |_| {}).unwrap();
    agent.outbound(stations.len());
    assert!(begins(folder.path()).is_empty());
}

/// One death blames one of those that were under way, and the others do not wait for it to be judged.
#[test]
fn flt_067_only_the_object_whose_turn_it_was_is_blamed() {
    let folder = tempfile::tempdir().unwrap();
    leave_under_way(folder.path(), &["TANCHO", "TANCHO_STAT"].repeat(3));
    let begun = [("TANCHO_CRASH_POINT", "coding.begun")];
    assert!(!Served::until_it_ends(folder.path(), &begun).success());
    assert_eq!(begins(folder.path()), [1, 1, 1, 1, 1, 2]);
    let agent = TestAgent::start_in(folder.path(), |_| {}).unwrap();
    agent.outbound(5);
    assert_eq!(begins(folder.path()), [2], "its last try waits");
}

fn spool_three(folder: &Path) -> Vec<Vec<u8>> {
    let mut agent = TestAgent::start_in(folder, |_| {}).unwrap();
    let mut peer = Peer::associate(agent.dimse, &Proposal::to("TANCHO_STAT"));
    let mut sent = Vec::new();
    for n in 0..3 {
        let (uid, data) = slice("2.25.51", n);
        assert_eq!(peer.store(1, CT, &uid, &data), Some(0));
        sent.push(data);
    }
    assert_eq!(peer.store(1, CT, "2.25.51.9", &sent[0]), Some(0xA900));
    peer.release();
    agent.outbound(3);
    agent.stop();
    sent
}

fn assert_whole(folder: &Path, sent: &[Vec<u8>]) {
    let agent = TestAgent::start_in(folder, |_| {}).unwrap();
    let outbound = agent.outbound(3);
    for (object, data) in outbound.iter().zip(sent) {
        assert_eq!(&agent.rebuilt(object), data);
        assert_eq!(object.called_ae.as_str(), "TANCHO_STAT");
    }
    let study = agent.spool().studies().remove(0);
    assert_eq!(study.label.patient.ideographic, "道東^花子");
    assert_eq!(agent.spool().quarantine()[0].reason, "uid_mismatch");
}

#[test]
fn flt_029_a_missing_index_is_rebuilt_from_the_files() {
    let folder = tempfile::tempdir().unwrap();
    let sent = spool_three(folder.path());
    for suffix in ["", "-wal", "-shm"] {
        fs::remove_file(folder.path().join(format!("spool/index.sqlite3{suffix}"))).ok();
    }
    assert_whole(folder.path(), &sent);
}

#[test]
fn flt_029_a_damaged_index_is_kept_aside_and_rebuilt() {
    for damage in [
        &b"this is no database at all, but it is long enough to look"[..],
        &[0; 200],
        &[],
    ] {
        let folder = tempfile::tempdir().unwrap();
        let sent = spool_three(folder.path());
        let index = folder.path().join("spool/index.sqlite3");
        let mut bytes = fs::read(&index).unwrap();
        if damage.is_empty() {
            // Every page but the first is overwritten.
            bytes[4096..].fill(0xA5);
        } else {
            bytes[..damage.len()].copy_from_slice(damage);
        }
        fs::write(&index, bytes).unwrap();
        assert_whole(folder.path(), &sent);
        let aside = fs::read_dir(folder.path().join("spool/aside")).unwrap().count();
        assert!(aside >= 1, "the damaged index is kept");
    }
}

#[test]
fn a_damaged_index_still_says_what_was_delivered_and_a_missing_one_does_not() {
    for is_missing in [false, true] {
        let folder = tempfile::tempdir().unwrap();
        let mut agent = TestAgent::start_in(folder.path(), |_| {}).unwrap();
        deliver_and_delete(&agent, "2.25.53", 3);
        agent.stop();
        let index = folder.path().join("spool/index.sqlite3");
        if is_missing {
            fs::remove_file(&index).unwrap();
        } else {
            // One page of a table of version 1; those of what was delivered come after it.
            let mut bytes = fs::read(&index).unwrap();
            bytes[7 * 4096..8 * 4096].fill(0xA5);
            fs::write(&index, bytes).unwrap();
        }
        let agent = TestAgent::start_in(folder.path(), |_| {}).unwrap();
        let (uid, data) = slice("2.25.53", 4);
        let mut peer = Peer::associate(agent.dimse, &Proposal::default());
        assert_eq!(peer.store(1, CT, &uid, &data), Some(0));
        assert_eq!(agent.names("aside").is_empty(), is_missing);
        let n_counted = agent.spool().study_manifests()[0].n_instances;
        assert_eq!(n_counted, if is_missing { 1 } else { 4 });
    }
}

#[cfg(unix)]
#[test]
fn flt_029_a_file_that_cannot_be_opened_or_read_does_not_keep_the_agent_from_starting() {
    for opens in [true, false] {
        let folder = tempfile::tempdir().unwrap();
        let sent = spool_three(folder.path());
        for suffix in ["", "-wal", "-shm"] {
            fs::remove_file(folder.path().join(format!("spool/index.sqlite3{suffix}"))).ok();
        }
        let objects = folder.path().join("spool/objects");
        let numbered = fs::read_dir(objects).unwrap().next().unwrap().unwrap().path();
        let mut files: Vec<_> = fs::read_dir(numbered)
            .unwrap()
            .map(|file| file.unwrap().path())
            .collect();
        files.sort();
        fs::remove_file(&files[0]).unwrap();
        let stray = folder.path().join("spool/incoming/stray.part");
        if opens {
            // Opens like a file, and every read of it fails.
            fs::create_dir(&files[0]).unwrap();
            fs::create_dir(&stray).unwrap();
        } else {
            std::os::unix::fs::symlink(&files[0], &files[0]).unwrap();
        }
        for start in 1..=2 {
            let mut agent = TestAgent::start_in(folder.path(), |_| {}).unwrap();
            let outbound = agent.outbound(2);
            for (object, data) in outbound.iter().zip(&sent[1..]) {
                assert_eq!(&agent.rebuilt(object), data);
            }
            let quarantine = agent.spool().quarantine();
            let n_shown = quarantine
                .iter()
                .filter(|row| row.reason == "unreadable_in_spool")
                .count();
            assert_eq!(n_shown, 1, "opens: {opens}, start {start}");
            let mut peer = Peer::associate(agent.dimse, &Proposal::default());
            let (uid, data) = slice("2.25.54", start);
            assert_eq!(peer.store(1, CT, &uid, &data), Some(0));
            peer.release();
            let object = agent.until("the new object", |spool| {
                let found = spool.outbound();
                found
                    .into_iter()
                    .find(|object| object.sop_instance_uid.as_str() == uid)
            });
            let receipt = receipt(&object);
            agent.block_on(agent.spool().record_receipt(receipt)).unwrap();
            agent.stop();
        }
    }
}

#[test]
fn flt_028_a_damaged_object_is_found_before_sending_and_can_be_sent_again() {
    let folder = tempfile::tempdir().unwrap();
    let mut agent = TestAgent::start_in(folder.path(), |_| {}).unwrap();
    let mut peer = Peer::associate(agent.dimse, &Proposal::default());
    let (uid, data) = slice("2.25.52", 1);
    assert_eq!(peer.store(1, CT, &uid, &data), Some(0));
    peer.release();
    let object = agent.outbound(1).remove(0);
    let file = agent.object_files().remove(0);
    let mut bytes = fs::read(&file).unwrap();
    let last = bytes.len() - 5;
    bytes[last] ^= 1;
    fs::write(&file, bytes).unwrap();
    agent
        .block_on(
            agent
                .spool()
                .record_refusal(&object.object_id, "container_mismatch", ""),
        )
        .unwrap();
    agent.until("the damage is seen", |spool| {
        (spool.counters().n_damaged == 1).then_some(())
    });
    assert!(agent.spool().outbound().is_empty());
    let mut peer = Peer::associate(agent.dimse, &Proposal::default());
    assert_eq!(peer.store(1, CT, &uid, &data), Some(0));
    peer.release();
    assert_eq!(agent.rebuilt(&agent.outbound(1)[0]), data);
    agent.stop();
}

#[test]
fn flt_030_a_second_agent_on_the_same_folder_does_not_start() {
    let folder = tempfile::tempdir().unwrap();
    let mut first = TestAgent::start_in(folder.path(), |_| {}).unwrap();
    let second = TestAgent::start_in(folder.path(), |_| {});
    assert!(
        matches!(second.map(drop), Err(StartError::Spool(error)) if error.to_string().contains("in use"))
    );
    first.stop();
    assert!(TestAgent::start_in(folder.path(), |_| {}).is_ok());
}
