//! What the site allows the node to use: a cap on the rate, and hours for routine work.

use std::collections::HashMap;

use tancho_domain::dicom::Priority;
use tancho_wire::limits::{RANGE_BYTES_MAX, RATE_CAP_BYTES_PER_S_MIN};
use tancho_wire::transfer::{NextRange, Sender, SenderConfig};

use crate::order::{answer_offers, next, outbound};

fn capped(rate_cap_bytes_per_s: u64) -> Sender {
    Sender::new(SenderConfig {
        rate_cap_bytes_per_s: Some(rate_cap_bytes_per_s),
        ..SenderConfig::default()
    })
}

/// Sends until nothing may go; gives the bytes of each class and the instant of the last range.
fn run(sender: &mut Sender) -> (HashMap<Priority, u64>, u64) {
    let (mut now_ms, mut bytes) = (0, HashMap::new());
    loop {
        match sender.next_range(now_ms) {
            NextRange::Send(range) => *bytes.entry(range.priority).or_default() += range.len,
            NextRange::NotBefore(at_ms) => {
                assert!(at_ms > now_ms);
                now_ms = at_ms;
            }
            NextRange::Nothing => return (bytes, now_ms),
        }
    }
}

#[test]
fn a_cap_holds_over_all_classes_together_and_is_used() {
    let mut sender = capped(500_000);
    sender.sync([
        outbound(1, 0, Priority::Stat, 2_000_000),
        outbound(2, 0, Priority::Urgent, 2_000_000),
        outbound(3, 0, Priority::Routine, 1_000_000),
    ]);
    sender.connected(100);
    answer_offers(&mut sender);
    let (bytes, ended_ms) = run(&mut sender);
    assert_eq!(bytes.values().sum::<u64>(), 5_000_000);
    // A burst at the start and the last range are not waited for.
    let least_ms = (5_000_000 - 2 * RANGE_BYTES_MAX) * 1000 / 500_000;
    assert!((least_ms..=10_100).contains(&ended_ms), "{ended_ms} ms");
}

#[test]
fn neither_a_cap_nor_closed_hours_stop_stat_work() {
    for cap in [0, 1, RATE_CAP_BYTES_PER_S_MIN] {
        let mut sender = capped(cap);
        sender.set_routine_allowed(false);
        let routine = || (0..20).map(|idx| outbound(1, idx, Priority::Routine, 1_000_000));
        sender.sync(routine());
        sender.connected(100);
        answer_offers(&mut sender);
        assert_eq!(sender.next_range(0), NextRange::Nothing);
        sender.sync(routine().chain([outbound(2, 0, Priority::Stat, 500_000)]));
        answer_offers(&mut sender);
        let (bytes, ended_ms) = run(&mut sender);
        assert_eq!(bytes, HashMap::from([(Priority::Stat, 500_000)]), "cap {cap}");
        assert!(ended_ms <= 500_000 * 1000 / RATE_CAP_BYTES_PER_S_MIN + 100);
    }
}

#[test]
fn stat_work_waits_for_at_most_one_range_of_routine_work_under_a_cap() {
    let mut sender = capped(100_000);
    let routine = || outbound(1, 0, Priority::Routine, 50_000_000);
    sender.sync([routine()]);
    sender.connected(100);
    answer_offers(&mut sender);
    let mut now_ms = 0;
    for _ in 0..20 {
        match sender.next_range(now_ms) {
            NextRange::Send(range) => assert_eq!(range.priority, Priority::Routine),
            NextRange::NotBefore(at_ms) => now_ms = at_ms,
            NextRange::Nothing => panic!("routine work is waiting"),
        }
    }
    sender.sync([routine(), outbound(2, 0, Priority::Stat, 10_000)]);
    answer_offers(&mut sender);
    let wait_ms = match sender.next_range(now_ms) {
        NextRange::NotBefore(at_ms) => at_ms - now_ms,
        NextRange::Send(range) => {
            assert_eq!(range.priority, Priority::Stat);
            return;
        }
        NextRange::Nothing => panic!("stat work is waiting"),
    };
    assert!(wait_ms <= RANGE_BYTES_MAX * 1000 / 100_000 + 1, "{wait_ms} ms");
    let NextRange::Send(range) = sender.next_range(now_ms + wait_ms) else {
        panic!("the wait is over");
    };
    assert_eq!(range.priority, Priority::Stat);
}

#[test]
fn routine_work_stops_at_the_end_of_its_hours_and_goes_on_at_their_beginning() {
    let mut sender = Sender::new(SenderConfig::default());
    sender.sync([
        outbound(1, 0, Priority::Routine, 300_000),
        outbound(2, 0, Priority::Urgent, 100_000),
    ]);
    sender.connected(100);
    answer_offers(&mut sender);
    sender.set_routine_allowed(false);
    let urgent: Vec<_> = std::iter::from_fn(|| next(&mut sender)).collect();
    assert!(urgent.iter().all(|range| range.priority == Priority::Urgent));
    assert_eq!(urgent.iter().map(|range| range.len).sum::<u64>(), 100_000);
    sender.set_routine_allowed(true);
    let first = next(&mut sender).unwrap();
    sender.set_routine_allowed(false);
    assert!(next(&mut sender).is_none());
    // A reading request makes the study urgent: its hours no longer matter.
    sender.sync([outbound(1, 0, Priority::Urgent, 300_000)]);
    let rest: Vec<_> = std::iter::from_fn(|| next(&mut sender)).collect();
    let bytes = first.len + rest.iter().map(|range| range.len).sum::<u64>();
    assert_eq!(bytes, 300_000);
}
