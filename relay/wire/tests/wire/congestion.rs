//! The congestion controller over simulated lines, with real QUIC endpoints: goodput, own loss, round trip, telephone.

pub mod line;
pub mod link;
pub mod rival;
pub mod transfer;

use std::sync::Arc;
use std::time::Duration;

use quinn_proto::congestion::{BbrConfig, CubicConfig};
use tancho_wire::congestion::{LineController, LineControllerConfig, PathMemory};

use line::{LineSpec, Outcome, Scenario, run, run_and_keep};
use link::{MILLISECOND, SECOND};
use rival::RivalKind;
use transfer::Factory;

fn ours() -> Factory {
    Arc::new(LineControllerConfig::default())
}

fn remembering(bandwidth_bytes_per_s: u64, min_rtt_ms: u64) -> Factory {
    Arc::new(LineControllerConfig::remembering(Some(PathMemory {
        bandwidth_bytes_per_s,
        min_rtt: Duration::from_millis(min_rtt_ms),
        measured_at_ms: 0,
    })))
}

/// What is promised on every line: rate, own loss, round trip, telephone.
fn assert_good(name: &str, outcome: &Outcome, share_min: f64) {
    let seed = outcome.scenario.seed;
    let share = outcome.share_of_limit();
    assert!(share >= share_min, "{name}, seed {seed}: {share:.3} of the limit");
    let loss = outcome.own_loss();
    assert!(
        loss <= 0.02,
        "{name}, seed {seed}: {loss:.4} of our packets found the queue full"
    );
    let (rise, allowed) = (outcome.rtt_rise_ms(), outcome.rtt_rise_allowed_ms());
    assert!(
        rise <= allowed,
        "{name}, seed {seed}: round trip up by {rise:.1} of {allowed:.1} ms"
    );
    let loss = outcome.phone_extra_loss();
    assert!(loss < 0.01, "{name}, seed {seed}: telephone loses {loss:.4} more");
    let jitter = outcome.phone_extra_jitter_ms();
    assert!(
        jitter < 20.0,
        "{name}, seed {seed}: telephone has {jitter:.1} ms more jitter"
    );
}

/// The same over several seeds, each of so many seconds.
fn assert_good_over_seeds(name: &str, line: LineSpec, seconds: u64, seeds: u64, share_min: f64) {
    for seed in 1..=seeds {
        assert_good(
            name,
            &run(Scenario::alone(line, seconds, seed), ours()),
            share_min,
        );
    }
}

#[test]
fn fills_an_adsl_line() {
    assert_good_over_seeds("adsl", LineSpec::adsl(), 20, 3, 0.95);
}

#[test]
fn fills_a_vpn_that_loses_one_packet_in_a_hundred() {
    assert_good_over_seeds("vpn", LineSpec::vpn(), 12, 3, 0.95);
}

#[test]
fn fills_a_fibre() {
    assert_good_over_seeds("fibre", LineSpec::fibre(), 4, 1, 0.95);
}

#[test]
fn fills_lte_in_spite_of_its_jitter() {
    assert_good_over_seeds("lte", LineSpec::lte(), 20, 2, 0.95);
}

#[test]
fn fills_a_satellite() {
    assert_good_over_seeds("satellite", LineSpec::satellite(), 30, 2, 0.85);
}

#[test]
fn leaves_a_bloated_queue_empty() {
    let line = LineSpec::symmetric(10.0, 20, 0.01, 1024);
    assert_good_over_seeds("bloated", line, 12, 1, 0.95);
}

#[test]
fn fills_a_line_with_a_short_queue() {
    let line = LineSpec::symmetric(10.0, 20, 0.01, 16);
    assert_good_over_seeds("short queue", line, 20, 1, 0.95);
}

#[test]
fn fills_a_line_that_loses_one_packet_in_ten() {
    let line = LineSpec::symmetric(10.0, 20, 0.1, 128);
    assert_good_over_seeds("very lossy", line, 12, 2, 0.9);
}

#[test]
fn the_usual_controllers_fail_where_ours_does_not() {
    let vpn = Scenario::alone(LineSpec::vpn(), 12, 1);
    let cubic = run(vpn.clone(), Arc::new(CubicConfig::default()));
    assert!(cubic.share_of_limit() < 0.6);
    let bbr = run(vpn, Arc::new(BbrConfig::default()));
    assert!(bbr.rtt_rise_ms() > 2.0 * bbr.rtt_rise_allowed_ms());
}

#[test]
fn shares_the_line_with_a_sender_that_fills_the_queue() {
    let line = LineSpec::symmetric(10.0, 20, 0.0, 128);
    for (kind, ours_first) in [
        (RivalKind::Cubic, true),
        (RivalKind::Cubic, false),
        (RivalKind::Bbr, true),
        (RivalKind::Bbr, false),
    ] {
        let mut scenario = Scenario::alone(line, 30, 1);
        scenario.rival = Some((kind, 7 * SECOND, u64::MAX));
        if !ours_first {
            scenario.rival = Some((kind, SECOND, u64::MAX));
            scenario.transfer_starts = 6 * SECOND;
        }
        let ends = scenario.ends;
        let outcome = run(scenario, ours());
        let share = outcome.share_beside_rival(10 * SECOND, ends);
        assert!(
            (0.3..=0.7).contains(&share),
            "{share:.3} beside {kind:?}, ours first: {ours_first}"
        );
    }
}

#[test]
fn takes_the_whole_line_again_when_the_rival_stops() {
    let mut scenario = Scenario::alone(LineSpec::symmetric(10.0, 20, 0.0, 128), 33, 1);
    scenario.rival = Some((RivalKind::Cubic, 5 * SECOND, 15 * SECOND));
    let outcome = run(scenario, ours());
    let late = |series: &[u64]| series[349] - series[249];
    let rate = late(&outcome.received_each_tenth) as f64 * 0.8 / 1e6;
    assert!(rate > 9.0, "{rate:.2} Mbit/s");
    let backlog = outcome.backlog_each_tenth[249..349].iter().sum::<u64>() / 100;
    assert!(backlog < 15_000, "{backlog} bytes in the queue");
}

#[test]
fn follows_the_line_when_it_becomes_slower_or_faster() {
    for (megabits, low, high) in [(3.0, 2.5, 2.9), (25.0, 22.0, 24.0)] {
        let mut scenario = Scenario::alone(LineSpec::vpn(), 12, 1);
        scenario.rate_change = Some((4 * SECOND, megabits * 1e6));
        let outcome = run(scenario, ours());
        let rate =
            (outcome.received_each_tenth[139] - outcome.received_each_tenth[79]) as f64 * 8.0 / 6.0 / 1e6;
        assert!((low..high).contains(&rate), "{rate:.2} of {megabits} Mbit/s");
        assert!(outcome.own_loss() < 0.02);
    }
}

#[test]
fn recognises_a_longer_path() {
    let mut scenario = Scenario::alone(LineSpec::vpn(), 20, 1);
    scenario.delay_change = Some((6 * SECOND, 60 * MILLISECOND));
    let outcome = run(scenario, ours());
    let rate = (outcome.received_each_tenth[219] - outcome.received_each_tenth[119]) as f64 * 0.8 / 1e6;
    assert!(rate > 8.9, "{rate:.2} Mbit/s");
    let backlog = outcome.backlog_each_tenth[119..219].iter().sum::<u64>() / 100;
    assert!(backlog < 25_000, "{backlog} bytes in the queue");
}

#[test]
fn goes_on_after_an_outage() {
    let mut scenario = Scenario::alone(LineSpec::vpn(), 20, 1);
    scenario.outage = Some((6 * SECOND, 10 * SECOND));
    let outcome = run(scenario, ours());
    let back = outcome
        .received_each_tenth
        .iter()
        .rposition(|&bytes| bytes <= outcome.received_each_tenth[90]);
    let back = back.expect("the transfer stood still") as f64 / 10.0;
    // What is left is the time to the next probe, which doubles during the outage.
    let rest = outcome.received_bytes - outcome.received_each_tenth[90];
    let rate = rest as f64 * 8e-6 / (22.0 - back - 0.5);
    assert!(
        rate > 8.0,
        "{rate:.2} Mbit/s after standing still until {back:.1} s"
    );
}

#[test]
fn carries_every_byte_once_over_a_line_that_doubles_and_swaps_packets() {
    for seed in 1..=8 {
        let mut line = LineSpec::vpn();
        for link in [&mut line.up, &mut line.down] {
            (link.duplicates, link.overtaken) = (0.02, 0.02);
        }
        // That the bytes are the right ones is seen where they come in.
        let outcome = run(Scenario::alone(line, 8, seed), ours());
        // An overtaken packet counts as lost for a while, so the start is slower.
        let share = outcome.share_of_limit();
        assert!(share > 0.75, "seed {seed}: {share:.3} of the limit");
    }
}

#[test]
fn works_with_packets_of_1280_bytes_and_when_the_path_shrinks_to_them() {
    const SMALLEST_MTU_BYTES: u64 = 1280;
    let mut line = LineSpec::vpn();
    (line.up.mtu_bytes, line.down.mtu_bytes) = (SMALLEST_MTU_BYTES, SMALLEST_MTU_BYTES);
    let outcome = run(Scenario::alone(line, 12, 1), ours());
    // 1.045 reckons with packets of 1,500 bytes.
    assert!(outcome.share_of_limit() > 0.93, "{:.3}", outcome.share_of_limit());

    let mut scenario = Scenario::alone(LineSpec::vpn(), 20, 1);
    scenario.mtu_change = Some((8 * SECOND, SMALLEST_MTU_BYTES));
    let outcome = run(scenario, ours());
    let late = outcome.received_each_tenth[219] - outcome.received_each_tenth[139];
    let rate = late as f64 * 8.0 / 8.0 / 1e6;
    assert!(
        rate > 8.5,
        "{rate:.2} of 10 Mbit/s six seconds after the path shrank"
    );
}

#[test]
fn starts_fast_on_a_remembered_path() {
    let scenario = || Scenario::alone(LineSpec::satellite(), 4, 1);
    let (_, transfer) = run_and_keep(Scenario::alone(LineSpec::satellite(), 12, 2), ours());
    let state = transfer.near_connection().congestion_state().clone_box();
    let controller = state
        .into_any()
        .downcast::<LineController>()
        .expect("our controller");
    let memory = controller
        .path_memory(std::time::Instant::now(), 0)
        .expect("something was measured");
    assert!(
        (1_000_000..1_400_000).contains(&memory.bandwidth_bytes_per_s),
        "{memory:?}"
    );
    let warm_factory = Arc::new(LineControllerConfig::remembering(Some(memory)));
    let (cold, warm) = (run(scenario(), ours()), run(scenario(), warm_factory));
    assert!(
        warm.received_bytes > 2 * cold.received_bytes,
        "{} bytes with memory, {} without",
        warm.received_bytes,
        cold.received_bytes
    );
    assert!(warm.own_loss() < 0.02);
}

#[test]
fn a_memory_that_is_no_longer_true_does_little_harm() {
    for (bandwidth, min_rtt_ms) in [
        (125_000_000, 40),
        (12_500_000, 40),
        (12_500_000, 400),
        (10_000, 40),
    ] {
        let outcome = run(
            Scenario::alone(LineSpec::vpn(), 15, 1),
            remembering(bandwidth, min_rtt_ms),
        );
        assert_good(&format!("{bandwidth} bytes/s at {min_rtt_ms} ms"), &outcome, 0.93);
    }
}

#[test]
fn the_next_study_on_a_standing_connection_starts_fast() {
    // Twice the line's own time for a study would be a slow start at each.
    for (name, line, seconds_max) in [
        ("vpn", LineSpec::vpn(), 3.2),
        ("lte", LineSpec::lte(), 2.3),
        ("satellite", LineSpec::satellite(), 5.2),
    ] {
        // A pause of ten seconds and more, and a short one.
        let at = [4 * SECOND, 22 * SECOND, 29 * SECOND];
        let outcome = run(Scenario::studies(line, 3_320_000, &at, 1), ours());
        assert_eq!(outcome.study_times.len(), 3, "{name}");
        let loss = outcome.own_loss();
        assert!(
            loss < 0.005,
            "{name}: {loss:.4} of our packets found the queue full"
        );
        for time in &outcome.study_times[1..] {
            let seconds = *time as f64 / 1e9;
            assert!(seconds < seconds_max, "{name}: {seconds:.2} s");
        }
    }
}
