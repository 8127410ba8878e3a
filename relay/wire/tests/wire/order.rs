//! Which range comes next.

use std::collections::{HashMap, HashSet};

use tancho_domain::dicom::{
    Priority, SeriesInstanceUid, SopClassUid, SopInstanceUid, StudyInstanceUid, TransferSyntaxUid,
};
use tancho_wire::frame::{Offer, Receipt, Refusal, RefusalKind, Want, WantItem};
use tancho_wire::limits::{RANGE_BYTES_MAX, REOFFER_AFTER_MS};
use tancho_wire::transfer::{NextRange, Outbound, RangeToSend, Sender, SenderConfig, SenderEvent};
use tancho_wire::{Digest, Frame};

pub fn outbound(study: u64, instance: u64, priority: Priority, container_len: u64) -> Outbound {
    let name = format!("1.{study}.{instance}");
    Outbound {
        container_sha256: Digest::of(name.as_bytes()),
        container_len,
        head_end: 1_000.min(container_len),
        preview_end: None,
        original_sha256: Digest::of(format!("original {name}").as_bytes()),
        original_len: container_len * 2,
        study_instance_uid: StudyInstanceUid::parse(&format!("1.{study}")).unwrap(),
        series_instance_uid: SeriesInstanceUid::parse(&format!("1.{study}.0")).unwrap(),
        sop_instance_uid: SopInstanceUid::parse(&name).unwrap(),
        sop_class_uid: SopClassUid::parse("1.2.840.10008.5.1.4.1.1.2").unwrap(),
        transfer_syntax_uid: TransferSyntaxUid::parse("1.2.840.10008.1.2.1").unwrap(),
        calling_ae: "CT".into(),
        called_ae: "TANCHO".into(),
        priority,
        received_at_ms: 0,
        is_new: false,
    }
}

/// Takes every offer and asks for everything.
pub fn answer_offers(sender: &mut Sender) -> Vec<Offer> {
    let mut offers = Vec::new();
    while let Some(frame) = sender.poll_frame(0) {
        if let Frame::Offer(offer) = frame {
            let items = offer
                .items
                .iter()
                .map(|item| WantItem {
                    container_sha256: item.container_sha256,
                    ranges: vec![(0, item.container_len)],
                })
                .collect();
            sender.on_frame(Frame::Want(Want { items }), 0).unwrap();
            offers.push(offer);
        }
    }
    offers
}

/// The next range without a cap, at instant 0.
pub fn next(sender: &mut Sender) -> Option<RangeToSend> {
    match sender.next_range(0) {
        NextRange::Send(range) => Some(range),
        NextRange::NotBefore(at_ms) => panic!("nothing caps the line, but wait until {at_ms}"),
        NextRange::Nothing => None,
    }
}

#[test]
fn heads_of_the_whole_study_come_before_any_body() {
    let mut sender = Sender::new(SenderConfig::default());
    sender.sync((0..50).map(|idx| outbound(1, idx, Priority::Urgent, 200_000)));
    sender.connected(4096);
    let offers = answer_offers(&mut sender);
    assert_eq!(offers.len(), 1, "one group, one frame");
    let ranges: Vec<_> = std::iter::from_fn(|| next(&mut sender)).collect();
    assert!(
        ranges[..50]
            .iter()
            .all(|range| range.offset == 0 && range.len == 1_000)
    );
    assert!(
        ranges[50..]
            .iter()
            .all(|range| range.offset >= 1_000 && range.len <= RANGE_BYTES_MAX)
    );
    let bodies: Vec<_> = ranges[50..].iter().map(|range| range.container_sha256).collect();
    assert!(
        bodies.is_sorted_by_key(|digest| bodies.iter().position(|other| other == digest)),
        "one after another"
    );
    assert_eq!(ranges.iter().map(|range| range.len).sum::<u64>(), 50 * 200_000);
    assert!(!sender.has_ranges());
}

#[test]
fn flt_048_a_stat_study_overtakes_at_the_next_range_and_routine_keeps_its_share() {
    let mut sender = Sender::new(SenderConfig::default());
    let mut spool: Vec<_> = (0..40)
        .map(|idx| outbound(1, idx, Priority::Routine, 10_000_000))
        .collect();
    sender.sync(spool.clone());
    sender.connected(4096);
    answer_offers(&mut sender);
    assert!((0..200).all(|_| next(&mut sender).unwrap().priority == Priority::Routine));
    spool.extend((0..30).map(|idx| outbound(2, idx, Priority::Stat, 1_000_000)));
    sender.sync(spool);
    answer_offers(&mut sender);
    let mut bytes: HashMap<Priority, u64> = HashMap::new();
    assert_eq!(
        next(&mut sender).unwrap().priority,
        Priority::Stat,
        "at the next range"
    );
    while bytes.get(&Priority::Stat).copied().unwrap_or(0) < 25_000_000 {
        let range = next(&mut sender).unwrap();
        *bytes.entry(range.priority).or_default() += range.len;
    }
    let share = bytes[&Priority::Routine] as f64 / bytes.values().sum::<u64>() as f64;
    assert!((0.02..=0.06).contains(&share), "routine got {share}");
}

#[test]
fn two_stat_studies_share_fairly() {
    let mut sender = Sender::new(SenderConfig::default());
    let objects =
        (1..=2).flat_map(|study| (0..20).map(move |idx| outbound(study, idx, Priority::Stat, 500_000)));
    let objects: Vec<_> = objects.collect();
    let study_of: HashMap<_, _> = objects
        .iter()
        .map(|object| (object.container_sha256, object.study_instance_uid.clone()))
        .collect();
    sender.sync(objects);
    sender.connected(4096);
    answer_offers(&mut sender);
    let mut bytes: HashMap<_, u64> = HashMap::new();
    for _ in 0..150 {
        let range = next(&mut sender).unwrap();
        *bytes
            .entry(study_of[&range.container_sha256].clone())
            .or_default() += range.len;
    }
    let (least, most) = (bytes.values().min().unwrap(), bytes.values().max().unwrap());
    assert_eq!(bytes.len(), 2);
    assert!(most - least <= 4 * RANGE_BYTES_MAX, "{bytes:?}");
}

#[test]
fn a_study_of_small_ranges_gets_as_many_bytes_as_one_of_large_ranges() {
    let mut sender = Sender::new(SenderConfig::default());
    let small = (0..2_000).map(|idx| outbound(1, idx, Priority::Stat, 1_500));
    let large = (0..10).map(|idx| outbound(2, idx, Priority::Stat, 1_000_000));
    let objects: Vec<_> = small.chain(large).collect();
    let of_small: HashSet<_> = objects[..2_000]
        .iter()
        .map(|object| object.container_sha256)
        .collect();
    sender.sync(objects);
    sender.connected(4096);
    answer_offers(&mut sender);
    let (mut small, mut large) = (0, 0);
    while small < 2_900_000 {
        let range = next(&mut sender).unwrap();
        if of_small.contains(&range.container_sha256) {
            small += range.len;
        } else {
            large += range.len;
        }
        assert!(
            small.abs_diff(large) <= 2 * RANGE_BYTES_MAX,
            "{small} and {large}"
        );
    }
}

#[test]
fn a_share_of_nothing_still_lets_routine_go_on() {
    let config = SenderConfig {
        urgent_share_per_mille: 0,
        routine_share_per_mille: 0,
        ..SenderConfig::default()
    };
    let mut sender = Sender::new(config);
    sender.sync([
        outbound(1, 0, Priority::Stat, 200_000_000),
        outbound(2, 0, Priority::Routine, 200_000),
    ]);
    sender.connected(4096);
    answer_offers(&mut sender);
    let mut bytes = 0;
    while let Some(range) = next(&mut sender).filter(|range| range.priority == Priority::Stat) {
        bytes += range.len;
    }
    assert!(bytes <= 66_000_000, "{bytes} bytes before routine had its turn");
}

#[test]
fn a_backlog_is_offered_study_by_study_and_leaves_room_for_stat() {
    let mut sender = Sender::new(SenderConfig::default());
    let mut spool: Vec<_> = (0..100)
        .flat_map(|study| (0..30).map(move |idx| outbound(study, idx, Priority::Routine, 2_000_000)))
        .collect();
    sender.sync(spool.clone());
    sender.connected(64);
    let offers = answer_offers(&mut sender);
    let n_offered: usize = offers.iter().map(|offer| offer.items.len()).sum();
    assert_eq!(n_offered, 30, "a whole study, then no more than is ahead");
    spool.extend((0..40).map(|idx| outbound(1000, idx, Priority::Stat, 2_000_000)));
    sender.sync(spool);
    let stat: usize = answer_offers(&mut sender)
        .iter()
        .map(|offer| offer.items.len())
        .sum();
    assert_eq!(stat, 34, "all that is open");
}

#[test]
fn a_late_priority_change_moves_the_study() {
    let no_shares = SenderConfig {
        urgent_share_per_mille: 0,
        routine_share_per_mille: 0,
        ..SenderConfig::default()
    };
    let mut sender = Sender::new(no_shares);
    let a = |priority| (0..3).map(move |idx| outbound(1, idx, priority, 300_000));
    let b = || (0..3).map(|idx| outbound(2, idx, Priority::Urgent, 300_000));
    sender.sync(a(Priority::Routine).chain(b()));
    sender.connected(100);
    answer_offers(&mut sender);
    assert_eq!(next(&mut sender).unwrap().priority, Priority::Urgent);
    sender.sync(a(Priority::Stat).chain(b()));
    for _ in 0..3 * 6 {
        assert_eq!(next(&mut sender).unwrap().priority, Priority::Stat);
    }
    assert_eq!(next(&mut sender).unwrap().priority, Priority::Urgent);
}

#[test]
fn a_receipt_with_another_original_digest_is_never_a_receipt() {
    let mut sender = Sender::new(SenderConfig::default());
    let object = outbound(1, 1, Priority::Stat, 10);
    sender.sync([object.clone()]);
    sender.connected(100);
    answer_offers(&mut sender);
    let receipt = Receipt {
        container_sha256: object.container_sha256,
        original_sha256: Digest([9; 32]),
        durable_at_ms: 0,
    };
    let event = sender.on_frame(Frame::Receipt(receipt.clone()), 0).unwrap();
    assert_eq!(event, Some(SenderEvent::ReceiptDoubtful(receipt)));
}

#[test]
fn refusals_say_when_to_try_again() {
    let mut sender = Sender::new(SenderConfig::default());
    let object = outbound(1, 1, Priority::Stat, 10);
    sender.sync([object.clone()]);
    sender.connected(100);
    answer_offers(&mut sender);
    let refusal = |kind| Refusal {
        container_sha256: object.container_sha256,
        kind,
        code: "disk_full".into(),
        text: String::new(),
        retry_after_ms: 5_000,
    };
    sender
        .on_frame(Frame::Refusal(refusal(RefusalKind::Later)), 1_000)
        .unwrap();
    assert_eq!(sender.next_range(1_000), NextRange::Nothing);
    sender.forget(&object.container_sha256);
    sender.sync([object.clone()]);
    assert!(sender.poll_frame(5_999).is_none());
    assert!(matches!(sender.poll_frame(6_000), Some(Frame::Offer(_))));
    // Nothing heard: offered again after a while.
    sender.tick(6_000 + REOFFER_AFTER_MS - 1);
    assert!(sender.poll_frame(0).is_none());
    sender.tick(6_000 + REOFFER_AFTER_MS);
    assert!(matches!(sender.poll_frame(0), Some(Frame::Offer(_))));
    sender
        .on_frame(Frame::Refusal(refusal(RefusalKind::Final)), 0)
        .unwrap();
    sender.tick(u64::MAX);
    sender.sync([object.clone()]);
    assert!(sender.poll_frame(u64::MAX).is_none());
    assert_eq!(sender.n_unsettled(), 0);
    // The spool makes it anew, with the same bytes as it happens.
    sender.forget(&object.container_sha256);
    sender.sync([object]);
    assert!(matches!(sender.poll_frame(u64::MAX), Some(Frame::Offer(_))));
}

#[test]
fn a_want_outside_the_container_is_a_violation() {
    let mut sender = Sender::new(SenderConfig::default());
    let object = outbound(1, 1, Priority::Stat, 10);
    sender.sync([object.clone()]);
    sender.connected(100);
    answer_offers(&mut sender);
    for ranges in [vec![(0, 11)], vec![(5, 5)], vec![(7, 3)], vec![(0, 1); 1000]] {
        let want = Want {
            items: vec![WantItem {
                container_sha256: object.container_sha256,
                ranges,
            }],
        };
        assert!(sender.on_frame(Frame::Want(want), 0).is_err());
    }
}
