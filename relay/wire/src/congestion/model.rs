//! The controller's state machine: pure, in microseconds and bytes, without clock, sockets or QUIC types.
//!
//! In steady state (`Cruise`) the window follows the law of FAST TCP (Wei, Jin, Low and Hegde, IEEE/ACM
//! Transactions on Networking 2006): in each round towards `window x base / round trip + target queue`, where
//! base is the round trip of the empty path. Loss doesn't enter, so random loss costs no rate; the queue settles
//! at the target, so the rate is found without filling anything. `startup.rs` says how it begins, `loss.rs` what
//! happens when the queue is too short for that, `rival.rs` when somebody else fills it.

use super::Micros;
use super::delivery::{Delivery, Sample};
use super::loss::{LossWatch, RoundLoss};
use super::path::{Path, PathMemory};
use super::rival::{Pressure, Steadiness, Test, Verdict, packets_per_round};
use super::round::Round;
use super::startup::{Remembered, Startup};

/// Smallest window but while testing, in packets: a lost one is noticed by the three behind it.
const WINDOW_PACKETS_MIN: u64 = 4;
/// Largest window; the pacer of quinn-proto stops pacing from 2^32 on.
const WINDOW_MAX: u64 = 1 << 30;
/// Smallest full packet QUIC knows.
const PACKET_MIN: u64 = 1200;
/// A round trip is looked for with this much of what the path holds, in percent, for so many rounds.
const PROBE_PERCENT: u64 = 75;
const PROBE_ROUNDS: u64 = 2;
const TEST_ROUNDS: u64 = 2;
/// Rounds after the start before losses are watched: those of the start are reported until then.
const AFTER_START_ROUNDS: u64 = 2;
/// Rounds of growth after which it doubles from round to round, and how far.
const UP_ROUNDS: u32 = 3;
const VELOCITY_MAX: u64 = 16;
/// A queue is long beyond this share of the usual delay in percent, and this on top.
const LONG_PERCENT: u64 = 160;
const LONG_MARGIN: Micros = 1_000;
/// Beside a rival: time between tests, the cut after an overflow in percent, rounds with nearly the whole line.
const CONTEST_TEST_INTERVAL: Micros = 10_000_000;
const CONTEST_CUT_PERCENT: u64 = 70;
const CONTEST_ALONE_ROUNDS: u32 = 4;
/// A connection that filled no window for so long begins anew with what it remembers of the path (RFC 9959).
const IDLE: Micros = 10_000_000;
/// What remains of the window after a mark of explicit congestion notification (RFC 8511), in percent.
const MARK_PERCENT: u64 = 85;

#[derive(Clone, Debug)]
enum State {
    /// The window doubles each round.
    Startup(Startup),
    /// The queue of the start empties.
    Drain,
    /// The steady state.
    Cruise { since_round: u64 },
    /// The queue is emptied to see the path's own round trip.
    ProbeRtt { until_round: u64 },
    /// The window is halved to see whose queue it is.
    TestQueue(Test),
    /// Somebody else fills the queue.
    Contest(Contest),
}

#[derive(Clone, Debug)]
struct Contest {
    tested_at: Micros,
    cut_at_round: u64,
    alone_rounds: u32,
    steadiness: Steadiness,
}

#[derive(Clone, Debug)]
pub(super) struct Model {
    state: State,
    window: u64,
    delivery: Delivery,
    path: Path,
    round: Round,
    rounds: u64,
    /// Lowest queueing delay of the last rounds, smoothed.
    queue: Micros,
    /// Highest lowest queueing delay of a round, since the rival came.
    queue_high: Micros,
    ups: u32,
    velocity: u64,
    /// The window when the queue was last as it should be.
    calm_window: u64,
    pressure: Pressure,
    loss: LossWatch,
    marked_at_round: Option<u64>,
    /// When a round last filled the window.
    busy_at: Micros,
}

impl Model {
    pub fn new(mtu: u16, memory: Option<PathMemory>) -> Self {
        let packet = u64::from(mtu).max(PACKET_MIN);
        let window = Startup::first_window(packet);
        let remembered = memory.map(|memory| Remembered {
            memory,
            measured_at: None,
        });
        Self {
            state: State::Startup(Startup::new(remembered, 0)),
            window,
            delivery: Delivery::default(),
            path: Path::new(packet),
            round: Round::new(0, 0, window, window),
            rounds: 0,
            queue: 0,
            queue_high: 0,
            ups: 0,
            velocity: 1,
            calm_window: window,
            pressure: Pressure::default(),
            loss: LossWatch::new(),
            marked_at_round: None,
            busy_at: 0,
        }
    }

    /// Bytes that may be in flight: two packets at least, 1 GiB at most.
    pub fn window(&self) -> u64 {
        self.window
            .min(self.loss.ceiling())
            .clamp(self.window_min() / 2, WINDOW_MAX)
    }

    pub fn first_window(&self) -> u64 {
        Startup::first_window(self.path.packet)
    }

    pub fn memory(&self, now: Micros, now_ms: u64) -> Option<PathMemory> {
        self.remembered().map(|remembered| remembered.dated(now, now_ms))
    }

    fn remembered(&self) -> Option<Remembered> {
        let measured = self.path.memory().map(|memory| Remembered {
            memory,
            measured_at: Some(self.path.rate_at),
        });
        match &self.state {
            State::Startup(startup) => startup.remembered(measured),
            _ => measured,
        }
    }

    pub fn on_mtu(&mut self, mtu: u16) {
        self.path.packet = u64::from(mtu).max(PACKET_MIN);
    }

    pub fn on_sent(&mut self, now: Micros, bytes: u64) {
        let is_idle = self.delivery.in_flight() == 0 && now.saturating_sub(self.busy_at) > IDLE;
        if is_idle && !matches!(self.state, State::Startup(_)) {
            self.resume(now);
        }
        self.delivery.on_sent(now, bytes);
    }

    pub fn on_ack(&mut self, sent_at: Micros, bytes: u64) {
        self.delivery.on_ack(sent_at, bytes);
        if self.delivery.in_flight() < self.window() / 2 {
            return;
        }
        match &self.state {
            State::Startup(startup) => self.window = startup.grown(self.window, bytes).min(WINDOW_MAX),
            State::Contest(_) => {
                let share = self.path.mean_rate.saturating_mul(100) / self.path.line_rate.max(1);
                let step = self.path.packet.saturating_mul(bytes) / self.window.max(1);
                let step = i64::try_from(step).unwrap_or(0) * packets_per_round(share);
                self.window = self.window.saturating_add_signed(step).max(self.window_min());
            }
            _ => {}
        }
    }

    pub fn on_end_acks(&mut self, now: Micros, in_flight: u64, app_limited: bool) {
        let Some(sample) = self.delivery.on_end_acks(now, in_flight) else {
            return;
        };
        self.on_sample(now, &sample, app_limited);
        if sample.delivered_at_send >= self.round.ends_at {
            self.end_round(now);
        }
    }

    /// Packets were lost; `persistent` when all were for so long that the path may be another.
    pub fn on_loss(&mut self, now: Micros, lost_bytes: u64, persistent: bool) {
        self.round.lost = self.round.lost.saturating_add(lost_bytes);
        if persistent {
            return self.restart(self.window_min(), 0);
        }
        if let State::Startup(startup) = &self.state
            && startup.on_loss(self.round.lost, self.window, self.path.packet)
        {
            return self.leave_startup(now);
        }
        let queue = match self.round.samples {
            0 => self.queue_high,
            _ => self.round.rtt_min.saturating_sub(self.path.base),
        };
        let overflow = queue.saturating_mul(2) > self.queue_high;
        if let State::Contest(contest) = &mut self.state
            && overflow
            && self.rounds > contest.cut_at_round
        {
            contest.cut_at_round = self.rounds + 1;
            self.window = self.window / 100 * CONTEST_CUT_PERCENT;
        }
    }

    /// A router marked a packet instead of dropping it.
    pub fn on_mark(&mut self, now: Micros) {
        if matches!(self.state, State::Startup(_)) {
            self.leave_startup(now);
        }
        if self.marked_at_round.is_none_or(|round| self.rounds > round) {
            self.marked_at_round = Some(self.rounds + 1);
            self.window = (self.window / 100 * MARK_PERCENT).max(self.window_min());
            self.calm_window = self.calm_window.min(self.window);
        }
    }

    fn on_sample(&mut self, now: Micros, sample: &Sample, app_limited: bool) {
        let rtt = sample.rtt.max(1);
        self.path.on_rtt(now, rtt);
        self.round
            .on_sample(rtt, sample.bytes_per_s, self.delivery.delivered, app_limited);
        if let State::Startup(startup) = &mut self.state {
            if let Some(window) = startup.window_for(&self.path, self.rounds) {
                self.window = self.window.max(window);
            }
            if startup.on_rtt(now, rtt, &self.path, &self.round, self.rounds) {
                self.leave_startup(now);
            }
        }
    }

    fn end_round(&mut self, now: Micros) {
        let round = self.round;
        self.rounds += 1;
        let rate = round.rate(now);
        let in_startup = matches!(self.state, State::Startup(_));
        if round.is_limited_by_window() {
            let rate = if in_startup { round.rate_max } else { rate };
            self.path.on_rate(now, rate, in_startup);
            self.busy_at = now;
        }
        if let Some(spread) = round.spread()
            && !in_startup
        {
            self.path.on_spread(spread);
        }
        let queue = round.rtt_min.saturating_sub(self.path.base);
        self.queue_high = self.queue_high.max(queue);
        self.watch_loss(now, &round);
        self.step(now, &round, rate, queue);
        self.path.last_rate = rate;
        self.round = Round::new(now, self.delivery.delivered, self.window(), round.window);
    }

    fn step(&mut self, now: Micros, round: &Round, rate: u64, queue: Micros) {
        match &mut self.state {
            State::Startup(startup) => {
                let full = startup.on_round(round, rate, queue, &self.path, self.rounds);
                if full || self.loss.is_overwhelming() {
                    self.leave_startup(now);
                }
            }
            State::Drain => {
                self.loss = LossWatch::new();
                self.path.line_rate = self.path.rate();
                self.cruise();
            }
            State::Cruise { .. } => self.cruise_round(now, round, rate, queue),
            State::ProbeRtt { until_round } => {
                if self.rounds >= *until_round {
                    self.path.renew_base(now);
                    self.window = self.calm_window;
                    self.cruise();
                }
            }
            State::TestQueue(test) => {
                let test = *test;
                if self.rounds >= test.until_round {
                    self.end_test(now, &test, round.rtt_min);
                }
            }
            State::Contest(_) => self.contest_round(now, round, rate, queue),
        }
    }

    fn watch_loss(&mut self, now: Micros, round: &Round) {
        let watched = match &self.state {
            State::Startup(_) | State::ProbeRtt { .. } => true,
            State::Cruise { since_round } => self.rounds > since_round + AFTER_START_ROUNDS,
            // Beside a rival loss has an answer of its own.
            State::Drain | State::TestQueue(_) | State::Contest(_) => false,
        };
        if watched {
            let packet = self.path.packet;
            let round = RoundLoss {
                arrived: round.arrived() / packet,
                lost: round.lost.div_ceil(packet),
                pipe: self.path.pipe().max(self.window_min()),
                packet,
            };
            self.loss.on_round(now, &round);
        }
    }

    fn cruise(&mut self) {
        self.queue = 0;
        self.queue_high = 0;
        self.ups = 0;
        self.velocity = 1;
        self.pressure = Pressure::default();
        self.state = State::Cruise {
            since_round: self.rounds,
        };
    }

    fn cruise_round(&mut self, now: Micros, round: &Round, rate: u64, queue: Micros) {
        // A round that didn't fill the window says nothing about it: few packets are acknowledged late.
        if round.samples == 0 || !round.is_limited_by_window() {
            return;
        }
        self.approach(round, queue);
        let usual = self.path.usual_delay();
        let long = queue
            > (usual / 100)
                .saturating_mul(LONG_PERCENT)
                .saturating_add(LONG_MARGIN);
        if !long {
            self.calm_window = self.window;
            self.path.line_rate = self.path.line_rate.max(rate.min(self.path.last_rate));
        }
        if self.pressure.on_round(long) {
            self.queue_high = queue;
            self.test_queue(round.rtt_min, rate);
        } else if self.pressure.is_none() && self.path.base_is_stale(now) {
            self.state = State::ProbeRtt {
                until_round: self.rounds + PROBE_ROUNDS,
            };
            self.calm_window = self.window;
            self.window = (self.path.pipe() / 100 * PROBE_PERCENT).max(self.window_min());
        }
    }

    /// One step towards the window that leaves the target queue.
    fn approach(&mut self, round: &Round, queue: Micros) {
        let delay = self.path.target_delay();
        let far = queue > delay.saturating_mul(2);
        self.queue = if far { queue } else { (self.queue + queue) / 2 };
        // The round trips of this round are those of packets sent under the window of the round before.
        let used = round.window_before.min(self.window.max(round.window));
        let empty = u128::from(used) * u128::from(self.path.base)
            / u128::from(self.path.base.saturating_add(self.queue).max(1));
        let target = u64::try_from(empty)
            .unwrap_or(WINDOW_MAX)
            .saturating_add(self.path.target_queue());
        if target <= self.window {
            self.velocity = 1;
            self.ups = 0;
            let gap = self.window - target;
            self.window -= if far { gap / 4 * 3 } else { gap / 2 };
        } else {
            self.ups = self.ups.saturating_add(1);
            let unhindered = queue < delay / 2 || self.ups > UP_ROUNDS;
            self.velocity = if unhindered {
                (self.velocity * 2).min(VELOCITY_MAX)
            } else {
                1
            };
            let step = (target - self.window) / 4 * self.velocity;
            self.window += step.min(self.window / 2);
        }
        let highest = self.loss.ceiling().clamp(self.window_min(), WINDOW_MAX);
        self.window = self.window.clamp(self.window_min(), highest);
    }

    fn test_queue(&mut self, rtt: Micros, bytes_per_s: u64) {
        let before = self.window();
        let during = (before / 2).max(self.window_min() / 2);
        self.window = during;
        self.state = State::TestQueue(Test {
            before,
            during,
            rtt,
            base: self.path.base,
            bytes_per_s,
            until_round: self.rounds + TEST_ROUNDS,
        });
    }

    fn end_test(&mut self, now: Micros, test: &Test, rtt: Micros) {
        match test.verdict(rtt) {
            Verdict::OwnQueue => {
                // Perhaps the line is slower now; but one test beside a rival may err, so go down in steps.
                self.path.line_rate = test.bytes_per_s.max(self.path.line_rate / 4 * 3);
                self.window = test.during.max(self.window_min());
                if self.path.base_is_stale(now) {
                    self.path.renew_base(now);
                }
                self.cruise();
            }
            Verdict::Rival { line_bytes_per_s } => {
                self.path.line_rate = self.path.line_rate.max(line_bytes_per_s);
                self.window = test.before;
                self.loss = LossWatch::new();
                self.state = State::Contest(Contest {
                    tested_at: now,
                    cut_at_round: self.rounds,
                    alone_rounds: 0,
                    steadiness: Steadiness::default(),
                });
            }
        }
    }

    fn contest_round(&mut self, now: Micros, round: &Round, rate: u64, queue: Micros) {
        let State::Contest(contest) = &mut self.state else {
            return;
        };
        let nearly_all = rate > self.path.line_rate / 10 * 9;
        contest.alone_rounds = if nearly_all { contest.alone_rounds + 1 } else { 0 };
        let alone = contest.alone_rounds > CONTEST_ALONE_ROUNDS;
        let tolerance = self.path.base / 32 + self.path.line_packet_time();
        if let Some(base) = contest.steadiness.on_round(round.rtt_min, self.window, tolerance) {
            self.path.set_base(now, base);
            self.cruise();
        } else if self.path.base_is_lost(now) {
            self.path.renew_base(now);
            self.cruise();
        } else if alone || now.saturating_sub(contest.tested_at) > CONTEST_TEST_INTERVAL {
            self.test_queue(round.rtt_min, self.path.mean_rate);
        } else if queue < self.path.target_delay() / 2 {
            self.calm_window = self.window;
            self.cruise();
        }
    }

    fn leave_startup(&mut self, now: Micros) {
        let State::Startup(startup) = &self.state else {
            return;
        };
        if self.path.base == Micros::MAX {
            return;
        }
        self.path.jitter = startup.spread_max;
        let rate = self.round.rate_so_far(now, self.path.base / 4).unwrap_or(0);
        self.path.set_rate(now, rate.max(self.round.rate_max).max(1));
        let pipe = self.path.pipe().saturating_add(self.path.target_queue());
        self.window = pipe.clamp(self.window_min(), WINDOW_MAX);
        self.calm_window = self.window;
        self.state = State::Drain;
    }

    /// Begins anew with this window, and with what the path was like as a memory.
    fn restart(&mut self, window: u64, jitter: Micros) {
        let remembered = self.remembered();
        self.path = Path::new(self.path.packet);
        self.loss = LossWatch::new();
        self.window = window;
        self.marked_at_round = None;
        self.state = State::Startup(Startup::new(remembered, jitter));
    }

    /// Begins anew after a pause. Signs of life have shown the round trip meanwhile, so the first packet need not.
    fn resume(&mut self, now: Micros) {
        let (jitter, recent) = (self.path.jitter, self.path.recent_lowest());
        self.restart(Startup::first_window(self.path.packet), jitter);
        if let (State::Startup(startup), Some(rtt)) = (&mut self.state, recent) {
            self.path.set_base(now, rtt);
            let window = startup.window_for(&self.path, self.rounds);
            self.window = self.window.max(window.unwrap_or(0));
        }
    }

    fn window_min(&self) -> u64 {
        WINDOW_PACKETS_MIN * self.path.packet
    }
}
