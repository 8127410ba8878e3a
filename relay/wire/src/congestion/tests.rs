use std::time::Duration;

use proptest::prelude::*;

use super::model::Model;
use super::path::{PATH_MEMORY_AGE_MAX_MS, PathMemory};

const PACKET: u64 = 1200;
const RTT: u64 = 50_000;

/// What a connection may tell the controller, in any order, with any numbers.
#[derive(Clone, Debug)]
enum Call {
    Sent { wait: u64, bytes: u64 },
    Acked { ago: u64, bytes: u64 },
    BatchEnds { in_flight: u64, app_limited: bool },
    Lost { bytes: u64, persistent: bool },
    Marked,
    Mtu(u16),
    ClockJumps(u64),
}

fn any_call() -> impl Strategy<Value = Call> {
    let bytes = prop_oneof![0..3_000u64, Just(u64::MAX), any::<u64>()];
    let time = prop_oneof![0..200_000u64, Just(u64::MAX), any::<u64>()];
    prop_oneof![
        8 => (time.clone(), bytes.clone()).prop_map(|(wait, bytes)| Call::Sent { wait, bytes }),
        8 => (time.clone(), bytes.clone()).prop_map(|(ago, bytes)| Call::Acked { ago, bytes }),
        8 => (bytes.clone(), any::<bool>())
            .prop_map(|(in_flight, app_limited)| Call::BatchEnds { in_flight, app_limited }),
        4 => (bytes, prop::bool::weighted(0.1)).prop_map(|(bytes, persistent)| Call::Lost { bytes, persistent }),
        1 => Just(Call::Marked),
        1 => any::<u16>().prop_map(Call::Mtu),
        1 => time.prop_map(Call::ClockJumps),
    ]
}

fn any_memory() -> impl Strategy<Value = Option<PathMemory>> {
    let memory = (any::<u64>(), any::<u64>()).prop_map(|(bandwidth_bytes_per_s, micros)| PathMemory {
        bandwidth_bytes_per_s,
        min_rtt: Duration::from_micros(micros),
        measured_at_ms: 0,
    });
    prop::option::of(memory)
}

proptest! {
    #[test]
    fn any_calls_leave_a_usable_window(
        mtu in any::<u16>(),
        memory in any_memory(),
        calls in prop::collection::vec(any_call(), 0..400),
    ) {
        let mut model = Model::new(mtu, memory);
        let (mut now, mut mtu) = (0u64, mtu);
        for call in calls {
            match call {
                Call::Sent { wait, bytes } => {
                    now = now.saturating_add(wait.min(1_000_000));
                    model.on_sent(now, bytes);
                }
                Call::Acked { ago, bytes } => model.on_ack(now.saturating_sub(ago), bytes),
                Call::BatchEnds { in_flight, app_limited } => model.on_end_acks(now, in_flight, app_limited),
                Call::Lost { bytes, persistent } => model.on_loss(now, bytes, persistent),
                Call::Marked => model.on_mark(now),
                Call::Mtu(new) => {
                    mtu = new;
                    model.on_mtu(new);
                }
                Call::ClockJumps(to) => now = to,
            }
            prop_assert!(model.window() >= 2 * u64::from(mtu));
            prop_assert!(model.window() <= 1 << 30);
            let _ = model.memory(now, 0);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    /// Whatever the line does for a while, the controller fills an honest line afterwards.
    #[test]
    fn recovers_from_any_calls(calls in prop::collection::vec(any_call(), 0..60)) {
        let mut model = Model::new(1200, None);
        let mut now = 1_000_000u64;
        for call in calls {
            match call {
                Call::Sent { wait, bytes } => {
                    now += wait.min(200_000);
                    model.on_sent(now, bytes.min(100_000));
                }
                // No packet can have been acknowledged sooner than the path allows.
                Call::Acked { ago, bytes } => model.on_ack(now - ago.clamp(RTT, 1_000_000), bytes.min(100_000)),
                Call::BatchEnds { in_flight, app_limited } => {
                    model.on_end_acks(now, in_flight.min(1_000_000), app_limited);
                }
                Call::Lost { bytes, persistent } => model.on_loss(now, bytes.min(100_000), persistent),
                Call::Marked => model.on_mark(now),
                Call::Mtu(_) | Call::ClockJumps(_) => {}
            }
        }
        let mut line = Line::new(now, 1_250_000);
        line.run(&mut model, 30_000_000);
        let (bytes, _) = line.run(&mut model, 10_000_000);
        prop_assert!(bytes > 11_500_000, "{bytes} of 12500000 bytes");
        let queue = line.longest_queue;
        prop_assert!(queue < 30_000, "{queue} microseconds of queue");
    }
}

/// A line without loss: packets leave when the window lets them, wait for the rate, and are acknowledged.
struct Line {
    now: u64,
    bytes_per_s: u64,
    free_at: u64,
    /// Sent at, acknowledged at.
    under_way: std::collections::VecDeque<(u64, u64)>,
    /// Longest wait of a packet since the last call of `run`.
    longest_queue: u64,
}

impl Line {
    fn new(now: u64, bytes_per_s: u64) -> Self {
        Self {
            now,
            bytes_per_s,
            free_at: now,
            under_way: std::collections::VecDeque::new(),
            longest_queue: 0,
        }
    }

    /// Sends for so many microseconds; gives the bytes that arrived and the highest window.
    fn run(&mut self, model: &mut Model, time: u64) -> (u64, u64) {
        let end = self.now + time;
        let (mut bytes, mut window) = (0, 0);
        self.longest_queue = 0;
        while self.now < end {
            while (self.under_way.len() as u64 + 1) * PACKET < model.window() && self.under_way.len() < 4000 {
                self.longest_queue = self.longest_queue.max(self.free_at.saturating_sub(self.now));
                self.free_at = self.free_at.max(self.now) + PACKET * 1_000_000 / self.bytes_per_s;
                self.under_way.push_back((self.now, self.free_at + RTT));
                model.on_sent(self.now, PACKET);
            }
            let (sent, acked) = self.under_way.pop_front().expect("something is under way");
            self.now = self.now.max(acked);
            model.on_ack(sent, PACKET);
            model.on_end_acks(self.now, self.under_way.len() as u64 * PACKET, false);
            bytes += PACKET;
            window = window.max(model.window());
        }
        (bytes, window)
    }
}

#[test]
fn fills_the_path_and_little_more() {
    for bytes_per_s in [100_000, 1_250_000, 12_500_000] {
        let mut model = Model::new(1200, None);
        let mut line = Line::new(0, bytes_per_s);
        line.run(&mut model, 15_000_000);
        let (_, window) = line.run(&mut model, 5_000_000);
        let pipe = bytes_per_s * RTT / 1_000_000;
        assert!(window >= pipe, "{window} of {pipe} bytes at {bytes_per_s}");
        assert!(
            window <= pipe * 12 / 10 + 6 * PACKET,
            "{window} for {pipe} bytes at {bytes_per_s}"
        );
        let memory = model.memory(line.now, 1_000_000).expect("something was measured");
        assert!(
            memory.bandwidth_bytes_per_s.abs_diff(bytes_per_s) < bytes_per_s / 20,
            "{memory:?}"
        );
        assert!(
            memory.min_rtt.as_micros().abs_diff(u128::from(RTT)) < 15_000,
            "{memory:?}"
        );
        assert!(
            (999_000..=1_000_000).contains(&memory.measured_at_ms),
            "{memory:?}"
        );
    }
}

#[test]
fn without_data_to_send_the_window_does_not_grow() {
    let mut model = Model::new(1200, None);
    Line::new(0, 1_250_000).run(&mut model, 5_000_000);
    let before = model.window();
    for number in 0..1000 {
        let now = 6_000_000 + number * 100_000;
        model.on_sent(now, 600);
        model.on_ack(now, 600);
        model.on_end_acks(now + RTT, 0, true);
    }
    assert!(model.window() <= before);
}

#[test]
fn a_mark_shrinks_the_window_once_a_round() {
    let mut model = Model::new(1200, None);
    Line::new(0, 1_250_000).run(&mut model, 5_000_000);
    let before = model.window();
    model.on_mark(5_000_000);
    model.on_mark(5_000_001);
    let after = model.window();
    assert!(
        after < before / 100 * 90 && after > before / 100 * 80,
        "{before} to {after}"
    );
}

#[test]
fn starts_at_half_of_a_remembered_rate_on_the_same_path_only() {
    let first_window = |min_rtt_ms| {
        let memory = PathMemory {
            bandwidth_bytes_per_s: 12_500_000,
            min_rtt: Duration::from_millis(min_rtt_ms),
            measured_at_ms: 0,
        };
        let mut model = Model::new(1200, Some(memory));
        model.on_sent(0, PACKET);
        model.on_ack(0, PACKET);
        model.on_end_acks(RTT, 0, false);
        model.window()
    };
    assert_eq!(first_window(50), 12_500_000 / 2 * RTT / 1_000_000);
    assert_eq!(first_window(80), 12_500_000 / 2 * RTT / 1_000_000);
    assert_eq!(first_window(300), Model::new(1200, None).first_window());
    // An acknowledgement that came late makes the path look longer; no more than was remembered goes then.
    assert_eq!(first_window(10), 12_500_000 / 2 * 10_000 / 1_000_000);
    assert_eq!(first_window(4), Model::new(1200, None).first_window());
}

/// Signs of life, each acknowledged late, for so many microseconds.
fn idle(model: &mut Model, line: &mut Line, time: u64) {
    let end = line.now + time;
    while let Some((sent, acked)) = line.under_way.pop_front() {
        line.now = line.now.max(acked);
        model.on_ack(sent, PACKET);
        model.on_end_acks(line.now, line.under_way.len() as u64 * PACKET, true);
    }
    while line.now < end {
        line.now += 5_000_000;
        model.on_sent(line.now, 60);
        model.on_ack(line.now, 60);
        model.on_end_acks(line.now + RTT + 25_000, 0, true);
    }
}

#[test]
fn a_standing_connection_resumes_carefully_and_remembers_how_old_its_measurement_is() {
    let mut model = Model::new(1200, None);
    let mut line = Line::new(0, 1_250_000);
    line.run(&mut model, 15_000_000);
    let (window, memory) = (model.window(), model.memory(line.now, 1_000_000).unwrap());
    idle(&mut model, &mut line, 4_000_000);
    assert!(
        model.window().abs_diff(window) < window / 50,
        "a short pause changes nothing"
    );
    idle(&mut model, &mut line, 600_000_000);
    let pipe = 1_250_000 * RTT / 1_000_000;
    assert!(
        (pipe * 4 / 10..=pipe * 6 / 10).contains(&model.window()),
        "{} of {pipe}",
        model.window()
    );
    let later = model.memory(line.now, 1_608_000).unwrap();
    assert_eq!(later.bandwidth_bytes_per_s, memory.bandwidth_bytes_per_s);
    assert!(
        later.measured_at_ms.abs_diff(1_000_000) < 10_000,
        "{later:?} was measured before the pause"
    );
    let (bytes, _) = line.run(&mut model, 2_000_000);
    assert!(bytes > 2_000_000, "{bytes} of 2500000 bytes");
    // The jump leaves at once here, where a connection spreads it over a round trip.
    let queue = line.longest_queue;
    assert!(queue < 26_000, "{queue} microseconds of queue");
}

#[test]
fn a_little_work_on_a_new_connection_does_not_make_it_forget() {
    let memory = PathMemory {
        bandwidth_bytes_per_s: 1_250_000,
        min_rtt: Duration::from_micros(RTT),
        measured_at_ms: 5,
    };
    let mut model = Model::new(1200, Some(memory));
    for number in 0..40 {
        let now = number * 100_000;
        model.on_sent(now, 600);
        model.on_ack(now, 600);
        model.on_end_acks(now + RTT, 0, false);
    }
    assert_eq!(model.memory(5_000_000, 1_000_000), Some(memory));
    // A path that is another one is remembered as it is.
    let mut model = Model::new(1200, Some(memory));
    let mut line = Line::new(0, 100_000);
    line.run(&mut model, 15_000_000);
    let measured = model.memory(line.now, 1_000_000).unwrap();
    assert!(
        measured.bandwidth_bytes_per_s.abs_diff(100_000) < 10_000,
        "{measured:?}"
    );
}

#[test]
fn a_memory_ages() {
    let memory = PathMemory {
        bandwidth_bytes_per_s: 1,
        min_rtt: Duration::from_millis(1),
        measured_at_ms: 1_000,
    };
    assert_eq!(memory.if_fresh(1_000), Some(memory));
    assert_eq!(memory.if_fresh(1_000 + PATH_MEMORY_AGE_MAX_MS), Some(memory));
    assert_eq!(memory.if_fresh(1_001 + PATH_MEMORY_AGE_MAX_MS), None);
    assert_eq!(memory.if_fresh(999), None);
}
