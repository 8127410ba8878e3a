//! What a modality's C-STORE comes to.

use std::fs;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use tancho_agent::spool::ObjectState;
use tancho_domain::dicom::{Priority, TransferSyntaxUid};
use tancho_imaging::part10;
use tancho_imaging::synthetic::CtSlice;

use crate::peer::{Peer, Proposal, echo_command, fragment, store_command};
use crate::support::{CT, EXPLICIT_LE, TestAgent, data_set_of, dicom_files, shared_data, slice};

#[test]
fn success_means_that_the_bytes_are_in_the_spool_as_they_came() {
    let agent = TestAgent::start();
    let mut peer = Peer::associate(agent.dimse, &Proposal::default());
    let (uid, data) = slice("2.25.10", 1);
    assert_eq!(peer.store(1, CT, &uid, &data), Some(0));
    let files = agent.object_files();
    assert_eq!(files.len(), 1);
    assert_eq!(data_set_of(&files[0]), data);
    peer.write(&fragment(3, true, true, &echo_command()));
    assert_eq!(peer.read_status(), Some(0));
    peer.release();
    let object = agent.outbound(1).remove(0);
    assert_eq!(agent.rebuilt(&object), data);
    assert_eq!(object.priority, Priority::Routine);
    assert_eq!(object.calling_ae.as_str(), "RAWPEER");
}

#[test]
fn flt_004_the_same_bytes_again_are_a_success_and_no_second_copy() {
    let agent = TestAgent::start();
    let (uid, data) = slice("2.25.11", 1);
    for _ in 0..3 {
        let mut peer = Peer::associate(agent.dimse, &Proposal::default());
        assert_eq!(peer.store(1, CT, &uid, &data), Some(0));
        assert_eq!(peer.store(1, CT, &uid, &data), Some(0));
        peer.release();
    }
    assert_eq!(agent.object_files().len(), 1);
    assert_eq!(agent.outbound(1).len(), 1);
    assert_eq!(agent.spool().counters().n_duplicates, 5);
    assert!(agent.names("incoming").is_empty());
}

#[test]
fn flt_004_the_same_bytes_on_two_associations_at_once_are_no_conflict() {
    let agent = TestAgent::start();
    let (uid, data) = slice("2.25.17", 1);
    // The first association is in the middle of the object while the second one brings all of it.
    let mut slow = Peer::associate(agent.dimse, &Proposal::default());
    let (begin, rest) = data.split_at(data.len() / 2);
    slow.write(&fragment(1, true, true, &store_command(CT, &uid)));
    for piece in begin.chunks(16_000) {
        slow.write(&fragment(1, false, false, piece));
    }
    let mut fast = Peer::associate(agent.dimse, &Proposal::default());
    assert_eq!(fast.store(1, CT, &uid, &data), Some(0));
    fast.release();
    for (n, piece) in rest.chunks(16_000).enumerate() {
        slow.write(&fragment(1, false, (n + 1) * 16_000 >= rest.len(), piece));
    }
    assert_eq!(slow.read_status(), Some(0));
    slow.release();
    // And all at the same moment.
    let address = agent.dimse;
    let (uid, other) = slice("2.25.17", 2);
    thread::scope(|scope| {
        for _ in 0..6 {
            scope.spawn(|| {
                let mut peer = Peer::associate(address, &Proposal::default());
                assert_eq!(peer.store(1, CT, &uid, &other), Some(0));
                peer.release();
            });
        }
    });
    assert_eq!(agent.outbound(2).len(), 2);
    assert_eq!(agent.object_files().len(), 2);
    let counters = agent.spool().counters();
    assert_eq!((counters.n_duplicates, counters.n_revisions), (6, 0));
    let study = agent.spool().studies().remove(0);
    assert_eq!((study.n_revisions, study.instances.n_instances), (0, 2));
}

#[test]
fn flt_005_other_bytes_are_a_revision_and_another_patient_is_held() {
    let agent = TestAgent::start();
    let mut peer = Peer::associate(agent.dimse, &Proposal::default());
    let (uid, first) = slice("2.25.12", 1);
    let mut second = first.clone();
    let last = second.len() - 1;
    second[last] ^= 0x40;
    assert_eq!(peer.store(1, CT, &uid, &first), Some(0));
    assert_eq!(peer.store(1, CT, &uid, &second), Some(0));
    let other_patient = CtSlice {
        study_instance_uid: "2.25.12".to_owned(),
        sop_instance_uid: "2.25.12.1.9".to_owned(),
        patient_id: "TEST-2".to_owned(),
        ..CtSlice::default()
    };
    let third = other_patient
        .data_set(&EXPLICIT_LE.to_owned().try_into().unwrap())
        .unwrap();
    assert_eq!(
        peer.store(1, CT, &other_patient.sop_instance_uid, &third),
        Some(0)
    );
    let outbound = agent.outbound(2);
    assert_eq!(agent.rebuilt(&outbound[0]), first, "the first stays the first");
    let study = agent.spool().studies().remove(0);
    assert_eq!(
        (study.n_revisions, study.tally(ObjectState::Held).n_objects),
        (1, 1)
    );
    assert_eq!(study.label.patient.patient_id, "TEST-1");
    let manifest = agent.spool().study_manifests().remove(0);
    assert_eq!(
        (manifest.n_instances, manifest.n_bytes_original),
        (1, first.len() as u64),
        "the relay counts SOP Instance UIDs"
    );
    let held_id = agent.spool().held().remove(0).held_id;
    assert_eq!(agent.block_on(agent.spool().release_held(&held_id)).unwrap(), 1);
    assert_eq!(agent.rebuilt(&agent.outbound(3)[2]), third);
}

#[test]
fn flt_012_unknown_transfer_syntaxes_and_private_classes_are_kept_untouched() {
    let agent = TestAgent::start();
    let class = "1.2.392.200036.9999.1.2";
    let proposal = Proposal::storing(class, "1.2.392.200036.9999.7");
    let mut peer = Peer::associate(agent.dimse, &proposal);
    let (uid, mut data) = slice("2.25.13", 1);
    // The class inside is the private one, too; the two texts are equally long when padded.
    let at = data
        .windows(CT.len())
        .position(|window| window == CT.as_bytes())
        .unwrap();
    let mut padded = class.as_bytes().to_vec();
    padded.resize(CT.len(), 0);
    data[at..at + CT.len()].copy_from_slice(&padded);
    assert_eq!(peer.store(1, class, &uid, &data), Some(0));
    let object = agent.outbound(1).remove(0);
    assert_eq!(object.transfer_syntax.as_str(), "1.2.392.200036.9999.7");
    assert_eq!(agent.rebuilt(&object), data);
}

#[test]
fn the_stat_title_means_stat_and_overtakes() {
    let agent = TestAgent::start();
    for (title, study) in [("TANCHO", "2.25.14"), ("TANCHO_STAT", "2.25.15")] {
        let mut peer = Peer::associate(agent.dimse, &Proposal::to(title));
        let (uid, data) = slice(study, 1);
        assert_eq!(peer.store(1, CT, &uid, &data), Some(0));
        peer.release();
    }
    let outbound = agent.outbound(2);
    assert_eq!(outbound[0].study_instance_uid.as_str(), "2.25.15");
    assert_eq!(outbound[0].priority, Priority::Stat);
    agent
        .block_on(agent.spool().set_priority("2.25.15", Priority::Routine))
        .unwrap();
    agent
        .block_on(agent.spool().set_priority("2.25.14", Priority::Urgent))
        .unwrap();
    assert_eq!(agent.outbound(2)[0].study_instance_uid.as_str(), "2.25.14");
}

/// As many associations as one address may have, each sending without a pause.
#[test]
fn flt_020_eight_associations_at_once_lose_nothing_and_are_answered_in_time() {
    let agent = TestAgent::start();
    let address = agent.dimse;
    let mut answered: Vec<Duration> = thread::scope(|scope| {
        let send = |association| {
            let mut peer = Peer::associate(address, &Proposal::default());
            let answered = (0..12).map(|n| {
                let (uid, data) = slice(&format!("2.25.16.{association}"), n);
                let sent = Instant::now();
                assert_eq!(peer.store(1, CT, &uid, &data), Some(0));
                sent.elapsed()
            });
            let answered: Vec<Duration> = answered.collect();
            peer.release();
            answered
        };
        let peers: Vec<_> = (0..8)
            .map(|association| scope.spawn(move || send(association)))
            .collect();
        peers.into_iter().flat_map(|peer| peer.join().unwrap()).collect()
    });
    assert_eq!(agent.outbound(96).len(), 96);
    assert_eq!(agent.spool().studies().len(), 8);
    answered.sort();
    let p99 = answered[answered.len() * 99 / 100];
    assert!(p99 <= Duration::from_secs(5), "99 of 100 answers within {p99:?}");
}

#[test]
fn an_object_that_cannot_be_made_durable_is_refused_and_may_come_again() {
    let agent = TestAgent::start();
    let mut peer = Peer::associate(agent.dimse, &Proposal::default());
    let (first_uid, first) = slice("2.25.161", 1);
    assert_eq!(peer.store(1, CT, &first_uid, &first), Some(0));
    let folder = agent.object_files()[0].parent().unwrap().to_owned();
    let away = folder.with_extension("away");
    let short = slice("2.25.161", 2);
    let long = CtSlice {
        study_instance_uid: "2.25.161".to_owned(),
        series_instance_uid: "2.25.161.1".to_owned(),
        sop_instance_uid: "2.25.161.1.3".to_owned(),
        rows: 2200,
        columns: 2200,
        samples: vec![40; 2200 * 2200],
        ..CtSlice::default()
    };
    let long = (
        long.sop_instance_uid.clone(),
        long.data_set(&TransferSyntaxUid::parse(EXPLICIT_LE).unwrap())
            .unwrap(),
    );
    for (n, (uid, data)) in [short, long].iter().enumerate() {
        // The coder has read what is there; this one's name cannot be put where it belongs.
        assert_eq!(agent.outbound(n + 1).len(), n + 1);
        fs::rename(&folder, &away).unwrap();
        assert_ne!(peer.store(1, CT, uid, data), Some(0));
        fs::rename(&away, &folder).unwrap();
        assert_eq!(agent.spool().counters().n_stored, n as u64 + 1);
        assert_eq!(peer.store(1, CT, uid, data), Some(0));
    }
    peer.release();
    assert_eq!(agent.object_files().len(), 3);
    assert_eq!(agent.outbound(3).len(), 3);
    assert!(agent.names("incoming").is_empty());
}

#[test]
fn flt_024_a_full_disk_refuses_and_leaves_nothing_behind() {
    let agent = TestAgent::start_with(|config| config.spool.reserve_bytes = Some(u64::MAX));
    let mut peer = Peer::associate(agent.dimse, &Proposal::default());
    let (uid, data) = slice("2.25.17", 1);
    assert_eq!(peer.store(1, CT, &uid, &data), Some(0xA700));
    assert_eq!(peer.store(1, CT, &uid, &data), Some(0xA700));
    peer.release();
    assert!(agent.object_files().is_empty() && agent.names("incoming").is_empty());
    assert_eq!(agent.spool().counters().n_refused_no_space, 2);
}

#[test]
fn a_full_spool_takes_objects_again_when_there_is_room() {
    let agent = TestAgent::start_with(|config| config.spool.quota_bytes = Some(1));
    let mut peer = Peer::associate(agent.dimse, &Proposal::default());
    let ((uid, data), (next_uid, next)) = (slice("2.25.18", 1), slice("2.25.18", 2));
    assert_eq!(peer.store(1, CT, &uid, &data), Some(0));
    assert_eq!(peer.store(1, CT, &next_uid, &next), Some(0xA700));
    let object = agent.outbound(1).remove(0);
    crate::retention::receipt_and_delete(&agent, &object);
    assert_eq!(peer.store(1, CT, &next_uid, &next), Some(0));
}

#[test]
fn flt_064_a_study_closes_after_its_quiet_time_and_a_late_object_reopens_it() {
    let agent = TestAgent::start_with(|config| config.spool.quiet = Duration::from_millis(1));
    let mut peer = Peer::associate(agent.dimse, &Proposal::default());
    let (uid, data) = slice("2.25.19", 1);
    assert_eq!(peer.store(1, CT, &uid, &data), Some(0));
    let manifest = agent.spool().study_manifests().remove(0);
    assert!(
        !manifest.closed,
        "an association that brought objects of it is open"
    );
    peer.release();
    let closed = |agent: &TestAgent, n| {
        agent.until("the study closes", |spool| {
            spool
                .study_manifests()
                .into_iter()
                .find(|study| study.closed && study.n_instances == n)
        })
    };
    let manifest = closed(&agent, 1);
    assert_eq!(manifest.n_bytes_original, data.len() as u64);
    let generation = manifest.generation;
    assert!(
        generation > 1_700_000_000_000,
        "above any that a forgotten study had"
    );
    agent
        .block_on(agent.spool().record_manifest_confirmed("2.25.19", generation))
        .unwrap();
    assert!(agent.spool().study_manifests().is_empty());
    let mut peer = Peer::associate(agent.dimse, &Proposal::default());
    let (uid, data) = slice("2.25.19", 2);
    assert_eq!(peer.store(1, CT, &uid, &data), Some(0));
    peer.release();
    assert_eq!(closed(&agent, 2).generation, generation + 1);
}

#[test]
fn every_transfer_syntax_of_the_test_data_comes_back_byte_for_byte() {
    let Some(folder) = shared_data("syntaxes") else {
        return;
    };
    let agent = TestAgent::start();
    let mut sent = std::collections::HashMap::new();
    for path in dicom_files(&folder) {
        let bytes = std::fs::read(&path).unwrap();
        let meta = part10::split(&mut std::io::Cursor::new(&bytes)).unwrap();
        let data = bytes[usize::try_from(meta.data_set_offset).unwrap()..].to_vec();
        let (class, instance) = (meta.sop_class_uid.unwrap(), meta.sop_instance_uid.unwrap());
        let proposal = Proposal::storing(class.as_str(), meta.transfer_syntax.as_str());
        let mut peer = Peer::associate(agent.dimse, &proposal);
        assert_eq!(
            peer.store(1, class.as_str(), instance.as_str(), &data),
            Some(0),
            "{}",
            path.display()
        );
        peer.release();
        sent.insert(data, path);
    }
    let outbound = agent.outbound(sent.len());
    for object in outbound {
        assert!(sent.contains_key(&agent.rebuilt(&object)));
    }
}

#[test]
fn dcmtk_sends_a_real_series() {
    let Some(folder) = shared_data("ct-head-ge") else {
        return;
    };
    if Command::new("storescu").arg("--version").output().is_err() {
        println!("skipped: storescu is not installed");
        return;
    }
    let agent = TestAgent::start();
    let port = agent.dimse.port().to_string();
    let status = Command::new("storescu")
        .args(["-aec", "TANCHO", "127.0.0.1", &port, "+sd"])
        .arg(&folder)
        .status()
        .unwrap();
    assert!(status.success());
    assert_eq!(agent.outbound(dicom_files(&folder).len()).len(), 28);
}
