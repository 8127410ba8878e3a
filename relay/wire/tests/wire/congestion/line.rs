//! A line shared by a bulk transfer, a telephone, a round-trip probe and perhaps a rival, in simulated time.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use super::link::{Fate, Link, LinkSpec, MILLISECOND, Nanos, SECOND};
use super::rival::{ACK_BYTES, PACKET_BYTES, Rival, RivalKind};
use super::transfer::{Factory, Side, Transfer};

/// IPv4 and UDP headers of a datagram.
const HEADERS_BYTES: u64 = 28;
const PHONE_BYTES: u64 = 200;
const PHONE_INTERVAL: Nanos = 20 * MILLISECOND;
const PING_BYTES: u64 = 64;
const PING_INTERVAL: Nanos = 23 * MILLISECOND;
const SIGN_OF_LIFE_BYTES: u64 = 40;
const SIGN_OF_LIFE_INTERVAL: Nanos = 5 * SECOND;

/// A line as hospitals have it, both directions; the bulk goes up.
#[derive(Clone, Copy)]
pub struct LineSpec {
    pub up: LinkSpec,
    pub down: LinkSpec,
}

impl LineSpec {
    /// The same both ways: Mbit/s, one-way delay in milliseconds, loss, queue in KiB.
    pub fn symmetric(megabits: f64, delay_ms: u64, loss: f64, queue_kib: u64) -> Self {
        let link = LinkSpec {
            rate_bits_per_s: megabits * 1e6,
            delay: delay_ms * MILLISECOND,
            jitter: 0,
            loss,
            queue_bytes: queue_kib << 10,
            duplicates: 0.0,
            overtaken: 0.0,
            mtu_bytes: u64::MAX,
        };
        Self { up: link, down: link }
    }

    /// A village ADSL line.
    pub fn adsl() -> Self {
        let mut line = Self::symmetric(1.5, 15, 0.005, 64);
        line.down.rate_bits_per_s = 8e6;
        line.down.queue_bytes = 256 << 10;
        line
    }

    /// A rural VPN.
    pub fn vpn() -> Self {
        Self::symmetric(10.0, 20, 0.01, 128)
    }

    /// Fibre.
    pub fn fibre() -> Self {
        Self::symmetric(100.0, 10, 0.001, 512)
    }

    /// The LTE fallback, with jitter.
    pub fn lte() -> Self {
        let mut line = Self::symmetric(20.0, 35, 0.02, 256);
        line.up.jitter = 10 * MILLISECOND;
        line.down.jitter = 10 * MILLISECOND;
        line
    }

    /// A geostationary satellite.
    pub fn satellite() -> Self {
        Self::symmetric(10.0, 300, 0.01, 512)
    }
}

/// Who else is on the line, and when what happens; times from the start of the simulation.
#[derive(Clone)]
pub struct Scenario {
    pub line: LineSpec,
    pub seed: u64,
    pub transfer_starts: Nanos,
    pub ends: Nanos,
    pub rival: Option<(RivalKind, Nanos, Nanos)>,
    /// The rate of the line upwards changes at this time to this many bits per second.
    pub rate_change: Option<(Nanos, f64)>,
    /// The one-way delay upwards changes at this time.
    pub delay_change: Option<(Nanos, Nanos)>,
    /// Longer packets than this disappear in both directions from this time on.
    pub mtu_change: Option<(Nanos, u64)>,
    /// Nothing arrives between these times.
    pub outage: Option<(Nanos, Nanos)>,
    /// What is to be sent, from when on, in bytes; between them the connection stands with a sign of life now and then.
    /// None: without end.
    pub studies: Vec<(Nanos, u64)>,
}

impl Scenario {
    /// A transfer from 2 s on, of `seconds`, alone with telephone and probe.
    pub fn alone(line: LineSpec, seconds: u64, seed: u64) -> Self {
        Self {
            line,
            seed,
            transfer_starts: 2 * SECOND,
            ends: (2 + seconds) * SECOND,
            rival: None,
            rate_change: None,
            delay_change: None,
            mtu_change: None,
            outage: None,
            studies: Vec::new(),
        }
    }

    /// Studies of `bytes` each, at these times, over one connection that was made 2 s before the first.
    pub fn studies(line: LineSpec, bytes: u64, at: &[Nanos], seed: u64) -> Self {
        let last = at.iter().max().copied().unwrap_or(0);
        Self {
            transfer_starts: at.iter().min().map_or(0, |first| first - 2 * SECOND),
            ends: last + 60 * SECOND,
            studies: at.iter().map(|at| (*at, bytes)).collect(),
            ..Self::alone(line, 0, seed)
        }
    }
}

#[derive(Clone, Copy, Default, Debug)]
pub struct Counters {
    pub offered: u64,
    pub dropped_by_queue: u64,
    pub lost: u64,
}

/// What a run showed.
pub struct Outcome {
    pub scenario: Scenario,
    pub transfer: Counters,
    pub phone_during: Counters,
    pub received_bytes: u64,
    /// Bytes received by the end of each tenth of a second.
    pub received_each_tenth: Vec<u64>,
    pub backlog_each_tenth: Vec<u64>,
    pub rival_each_tenth: Vec<u64>,
    pub ping_idle_median_ms: f64,
    pub ping_busy_median_ms: f64,
    pub phone_idle_jitter_ms: f64,
    pub phone_busy_jitter_ms: f64,
    /// How long each study took from when it could be sent until its last byte had come.
    pub study_times: Vec<Nanos>,
}

impl Outcome {
    /// Application bytes over the transfer's time.
    pub fn goodput_bits_per_s(&self) -> f64 {
        let time = (self.scenario.ends - self.scenario.transfer_starts) as f64 / 1e9;
        self.received_bytes as f64 * 8.0 / time
    }

    /// Share of what the line could carry beside telephone and probe: rate x (1 - loss) / 1.045 for headers.
    pub fn share_of_limit(&self) -> f64 {
        let up = &self.scenario.line.up;
        let others =
            (PHONE_BYTES * 8 * SECOND / PHONE_INTERVAL + PING_BYTES * 8 * SECOND / PING_INTERVAL) as f64;
        self.goodput_bits_per_s() / ((up.rate_bits_per_s - others) * (1.0 - up.loss) / 1.045)
    }

    /// Share of our packets that found the queue full.
    pub fn own_loss(&self) -> f64 {
        self.transfer.dropped_by_queue as f64 / self.transfer.offered.max(1) as f64
    }

    pub fn rtt_rise_ms(&self) -> f64 {
        self.ping_busy_median_ms - self.ping_idle_median_ms
    }

    /// The larger of 0.3 times the idle round trip and three packet times.
    pub fn rtt_rise_allowed_ms(&self) -> f64 {
        let packet_ms = 1500.0 * 8e3 / self.scenario.line.up.rate_bits_per_s;
        (0.3 * self.ping_idle_median_ms).max(3.0 * packet_ms)
    }

    pub fn phone_extra_jitter_ms(&self) -> f64 {
        self.phone_busy_jitter_ms - self.phone_idle_jitter_ms
    }

    /// Telephone packets that found the queue full: the loss that the line alone doesn't cause.
    pub fn phone_extra_loss(&self) -> f64 {
        self.phone_during.dropped_by_queue as f64 / self.phone_during.offered.max(1) as f64
    }

    /// Our share of what both sides received between two times.
    pub fn share_beside_rival(&self, from: Nanos, to: Nanos) -> f64 {
        let between = |series: &[u64]| {
            let at = |time: Nanos| series[((time / (100 * MILLISECOND)) as usize).min(series.len() - 1)];
            (at(to) - at(from)) as f64
        };
        let ours = between(&self.received_each_tenth);
        ours / (ours + between(&self.rival_each_tenth))
    }
}

#[derive(Clone)]
enum Payload {
    Quic(Vec<u8>),
    Rival(u64),
    RivalAck(u64),
    Phone(Nanos),
    Ping(Nanos),
    Pong(Nanos),
}

enum Event {
    Arrive(Side, Payload),
    WakeTransfer,
    WakeRival,
    PhoneTick,
    PingTick,
    Sample,
    Change,
    Study(usize),
    SignOfLife,
}

struct Queued(Nanos, u64, Event);

impl PartialEq for Queued {
    fn eq(&self, other: &Self) -> bool {
        (self.0, self.1) == (other.0, other.1)
    }
}
impl Eq for Queued {}
impl PartialOrd for Queued {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for Queued {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.0, self.1).cmp(&(other.0, other.1))
    }
}

struct Simulation {
    scenario: Scenario,
    now: Nanos,
    order: u64,
    events: BinaryHeap<Reverse<Queued>>,
    up: Link,
    down: Link,
    transfer: Option<Transfer>,
    transfer_wake: Nanos,
    rival: Option<Rival>,
    rival_wake: Nanos,
    transfer_counters: Counters,
    phone_counters: Counters,
    rival_received_bytes: u64,
    pings: Vec<(Nanos, Nanos)>,
    phones: Vec<(Nanos, Nanos)>,
    samples: Vec<(u64, u64, u64)>,
    /// What the far end has received when each study is there.
    study_ends: Vec<u64>,
    allowed_bytes: u64,
    study_times: Vec<Nanos>,
}

/// Runs a scenario; `factory` decides the rate of the bulk transfer.
pub fn run(scenario: Scenario, factory: Factory) -> Outcome {
    run_and_keep(scenario, factory).0
}

/// As [`run`], with the transfer's end state, to look into its controller.
pub fn run_and_keep(scenario: Scenario, factory: Factory) -> (Outcome, Transfer) {
    let mut simulation = Simulation::new(scenario);
    simulation.run(factory);
    simulation.outcome()
}

impl Simulation {
    fn new(scenario: Scenario) -> Self {
        Self {
            now: 0,
            order: 0,
            events: BinaryHeap::new(),
            up: Link::new(scenario.line.up, scenario.seed * 2 + 1),
            down: Link::new(scenario.line.down, scenario.seed * 2 + 2),
            transfer: None,
            transfer_wake: Nanos::MAX,
            rival: None,
            rival_wake: Nanos::MAX,
            transfer_counters: Counters::default(),
            phone_counters: Counters::default(),
            rival_received_bytes: 0,
            pings: Vec::new(),
            phones: Vec::new(),
            samples: Vec::new(),
            study_ends: Vec::new(),
            allowed_bytes: 0,
            study_times: Vec::new(),
            scenario,
        }
    }

    fn at(&mut self, time: Nanos, event: Event) {
        self.order += 1;
        self.events.push(Reverse(Queued(time, self.order, event)));
    }

    fn run(&mut self, factory: Factory) {
        self.at(0, Event::Sample);
        self.at(0, Event::PhoneTick);
        self.at(7 * MILLISECOND, Event::PingTick);
        self.at(self.scenario.transfer_starts, Event::WakeTransfer);
        if let Some((_, starts, _)) = self.scenario.rival {
            self.at(starts, Event::WakeRival);
        }
        if let Some((at, _)) = self.scenario.rate_change {
            self.at(at, Event::Change);
        }
        if let Some((at, _)) = self.scenario.delay_change {
            self.at(at, Event::Change);
        }
        if let Some((at, _)) = self.scenario.mtu_change {
            self.at(at, Event::Change);
        }
        for (number, (at, _)) in self.scenario.studies.clone().into_iter().enumerate() {
            self.at(at, Event::Study(number));
        }
        if !self.scenario.studies.is_empty() {
            self.at(self.scenario.transfer_starts + SECOND, Event::SignOfLife);
        }
        while let Some(Reverse(Queued(time, _, event))) = self.events.pop() {
            let is_done =
                !self.scenario.studies.is_empty() && self.study_times.len() == self.scenario.studies.len();
            if time > self.scenario.ends || is_done {
                break;
            }
            self.now = time;
            self.handle(event, &factory);
        }
    }

    fn handle(&mut self, event: Event, factory: &Factory) {
        match event {
            Event::Arrive(side, payload) => self.arrive(side, payload),
            Event::WakeTransfer => {
                if self.transfer.is_none() {
                    let is_endless = self.scenario.studies.is_empty();
                    let transfer = Transfer::new(self.now, factory.clone(), self.scenario.seed, is_endless);
                    self.transfer = Some(transfer);
                }
                self.transfer_wake = Nanos::MAX;
                self.drive_transfer();
            }
            Event::WakeRival => {
                if let (None, Some((kind, _, stops))) = (&self.rival, self.scenario.rival) {
                    self.rival = Some(Rival::new(kind, self.now, stops));
                }
                self.rival_wake = Nanos::MAX;
                self.drive_rival();
            }
            Event::PhoneTick => {
                let sent = self.now;
                self.send(Side::Near, PHONE_BYTES, Payload::Phone(sent));
                self.at(self.now + PHONE_INTERVAL, Event::PhoneTick);
            }
            Event::PingTick => {
                let sent = self.now;
                self.send(Side::Near, PING_BYTES, Payload::Ping(sent));
                self.at(self.now + PING_INTERVAL, Event::PingTick);
            }
            Event::Sample => {
                let received = self
                    .transfer
                    .as_ref()
                    .map_or(0, |transfer| transfer.received_bytes);
                let backlog = self.up.backlog_bytes(self.now);
                self.samples.push((received, backlog, self.rival_received_bytes));
                self.at(self.now + 100 * MILLISECOND, Event::Sample);
            }
            Event::Study(number) => {
                self.allow(self.scenario.studies[number].1);
                self.study_ends.push(self.allowed_bytes);
                self.drive_transfer();
            }
            Event::SignOfLife => {
                self.allow(SIGN_OF_LIFE_BYTES);
                self.drive_transfer();
                self.at(self.now + SIGN_OF_LIFE_INTERVAL, Event::SignOfLife);
            }
            Event::Change => {
                if let Some((_, rate)) = self.scenario.rate_change.filter(|&(at, _)| at <= self.now) {
                    self.up.spec.rate_bits_per_s = rate;
                }
                if let Some((_, delay)) = self.scenario.delay_change.filter(|&(at, _)| at <= self.now) {
                    self.up.spec.delay = delay;
                }
                if let Some((_, mtu_bytes)) = self.scenario.mtu_change.filter(|&(at, _)| at <= self.now) {
                    self.up.spec.mtu_bytes = mtu_bytes;
                    self.down.spec.mtu_bytes = mtu_bytes;
                }
            }
        }
    }

    fn arrive(&mut self, side: Side, payload: Payload) {
        match payload {
            Payload::Quic(data) => {
                let now = self.now;
                if let Some(transfer) = self.transfer.as_mut() {
                    transfer.on_datagram(now, side, &data);
                }
                self.drive_transfer();
                self.note_studies();
            }
            Payload::Rival(number) => {
                self.rival_received_bytes += PACKET_BYTES - 52;
                self.send(Side::Far, ACK_BYTES, Payload::RivalAck(number));
            }
            Payload::RivalAck(number) => {
                let now = self.now;
                if let Some(rival) = self.rival.as_mut() {
                    rival.on_ack(now, number);
                }
                self.drive_rival();
            }
            Payload::Phone(sent) => self.phones.push((sent, self.now)),
            Payload::Ping(sent) => self.send(Side::Far, PING_BYTES, Payload::Pong(sent)),
            Payload::Pong(sent) => self.pings.push((sent, self.now)),
        }
    }

    fn send(&mut self, from: Side, bytes: u64, payload: Payload) {
        let (link, to) = match from {
            Side::Near => (&mut self.up, Side::Far),
            Side::Far => (&mut self.down, Side::Near),
        };
        let mut fate = link.offer(self.now, bytes);
        if self
            .scenario
            .outage
            .is_some_and(|(from, to)| (from..to).contains(&self.now))
        {
            fate = Fate::Lost;
        }
        if from == Side::Near {
            let counters = match payload {
                Payload::Quic(_) => Some(&mut self.transfer_counters),
                Payload::Phone(sent) if sent >= self.scenario.transfer_starts => {
                    Some(&mut self.phone_counters)
                }
                _ => None,
            };
            if let Some(counters) = counters {
                counters.offered += 1;
                counters.dropped_by_queue += u64::from(fate == Fate::QueueFull);
                counters.lost += u64::from(fate == Fate::Lost);
            }
        }
        if let Fate::ArrivesAt(time) = fate {
            let link = if from == Side::Near {
                &mut self.up
            } else {
                &mut self.down
            };
            if let Some(again) = link.second_copy(time) {
                self.at(again, Event::Arrive(to, payload.clone()));
            }
            self.at(time, Event::Arrive(to, payload));
        }
    }

    fn allow(&mut self, bytes: u64) {
        self.allowed_bytes += bytes;
        if let Some(transfer) = self.transfer.as_mut() {
            transfer.allow(bytes);
        }
    }

    fn note_studies(&mut self) {
        let received = self
            .transfer
            .as_ref()
            .map_or(0, |transfer| transfer.received_bytes);
        while let Some(end) = self.study_ends.get(self.study_times.len())
            && received >= *end
        {
            let begun = self.scenario.studies[self.study_times.len()].0;
            self.study_times.push(self.now - begun);
        }
    }

    fn drive_transfer(&mut self) {
        let now = self.now;
        let Some(transfer) = self.transfer.as_mut() else {
            return;
        };
        let datagrams = transfer.drive(now);
        let wake = transfer.next_wake();
        for (side, data) in datagrams {
            self.send(side, data.len() as u64 + HEADERS_BYTES, Payload::Quic(data));
        }
        if let Some(wake) = wake
            .map(|wake| wake.max(now + 1))
            .filter(|&wake| wake < self.transfer_wake)
        {
            self.transfer_wake = wake;
            self.at(wake, Event::WakeTransfer);
        }
    }

    fn drive_rival(&mut self) {
        let now = self.now;
        let Some(rival) = self.rival.as_mut() else { return };
        let numbers = rival.send(now);
        let wake = rival.next_wake(now);
        for number in numbers {
            self.send(Side::Near, PACKET_BYTES, Payload::Rival(number));
        }
        if let Some(wake) = wake.filter(|&wake| wake < self.rival_wake) {
            self.rival_wake = wake;
            self.at(wake, Event::WakeRival);
        }
    }

    fn outcome(self) -> (Outcome, Transfer) {
        let starts = self.scenario.transfer_starts;
        let split = |pairs: &[(Nanos, Nanos)]| {
            let delays = |busy: bool| -> Vec<f64> {
                let chosen = pairs.iter().filter(|&&(sent, _)| (sent >= starts) == busy);
                chosen.map(|&(sent, got)| (got - sent) as f64 / 1e6).collect()
            };
            (delays(false), delays(true))
        };
        let (ping_idle, ping_busy) = split(&self.pings);
        let (phone_idle, phone_busy) = split(&self.phones);
        let transfer = self.transfer.expect("the transfer started");
        let outcome = Outcome {
            transfer: self.transfer_counters,
            phone_during: self.phone_counters,
            received_bytes: transfer.received_bytes,
            received_each_tenth: self.samples.iter().map(|sample| sample.0).collect(),
            backlog_each_tenth: self.samples.iter().map(|sample| sample.1).collect(),
            rival_each_tenth: self.samples.iter().map(|sample| sample.2).collect(),
            ping_idle_median_ms: median(ping_idle),
            ping_busy_median_ms: median(ping_busy),
            phone_idle_jitter_ms: mean_step(&phone_idle),
            phone_busy_jitter_ms: mean_step(&phone_busy),
            study_times: self.study_times,
            scenario: self.scenario,
        };
        (outcome, transfer)
    }
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

/// Mean difference of neighbouring delays, what RFC 3550's jitter converges to.
fn mean_step(delays: &[f64]) -> f64 {
    let steps: Vec<f64> = delays.windows(2).map(|pair| (pair[1] - pair[0]).abs()).collect();
    steps.iter().sum::<f64>() / steps.len().max(1) as f64
}
