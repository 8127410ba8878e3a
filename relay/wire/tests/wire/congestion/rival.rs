//! Models of other people's senders on the same line: TCP CUBIC (RFC 9438, RFC 9406) and TCP BBR version 1.
//!
//! Enough of each to compete as the real ones do: window and pacing, slow start, reaction to loss. Every
//! packet is acknowledged at once; bytes have no content.

use std::collections::VecDeque;

use super::link::{MILLISECOND, Nanos, SECOND};

pub const PACKET_BYTES: u64 = 1500;
pub const ACK_BYTES: u64 = 60;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum RivalKind {
    Cubic,
    Bbr,
}

struct Sent {
    number: u64,
    at: Nanos,
    delivered: u64,
    delivered_at: Nanos,
}

/// The sending end; packet numbers are never reused.
pub struct Rival {
    control: Control,
    in_flight: VecDeque<Sent>,
    next_number: u64,
    delivered: u64,
    delivered_at: Nanos,
    next_send: Nanos,
    last_progress: Nanos,
    recovery_until: u64,
    stops_at: Nanos,
}

enum Control {
    Cubic(Cubic),
    Bbr(Bbr),
}

impl Rival {
    pub fn new(kind: RivalKind, now: Nanos, stops_at: Nanos) -> Self {
        Self {
            control: match kind {
                RivalKind::Cubic => Control::Cubic(Cubic::default()),
                RivalKind::Bbr => Control::Bbr(Bbr::new(now)),
            },
            in_flight: VecDeque::new(),
            next_number: 0,
            delivered: 0,
            delivered_at: now,
            next_send: now,
            last_progress: now,
            recovery_until: 0,
            stops_at,
        }
    }

    /// Packet numbers to send now.
    pub fn send(&mut self, now: Nanos) -> Vec<u64> {
        self.forget_after_silence(now);
        let mut out = Vec::new();
        while now < self.stops_at && (self.in_flight.len() as f64) < self.control.window() {
            if let Some(rate) = self.control.packets_per_s() {
                if self.next_send > now {
                    break;
                }
                self.next_send = self.next_send.max(now.saturating_sub(MILLISECOND)) + (1e9 / rate) as Nanos;
            }
            if self.in_flight.is_empty() {
                self.delivered_at = now;
            }
            self.in_flight.push_back(Sent {
                number: self.next_number,
                at: now,
                delivered: self.delivered,
                delivered_at: self.delivered_at,
            });
            out.push(self.next_number);
            self.next_number += 1;
        }
        out
    }

    pub fn on_ack(&mut self, now: Nanos, number: u64) {
        let Some(position) = self.in_flight.iter().position(|sent| sent.number == number) else {
            return;
        };
        let sent = self.in_flight.remove(position).expect("the position was found");
        self.delivered += 1;
        self.delivered_at = now;
        self.last_progress = now;
        let elapsed = (now - sent.delivered_at).max(1);
        let rate = (self.delivered - sent.delivered) as f64 * 1e9 / elapsed as f64;
        let mut lost = 0;
        while self
            .in_flight
            .front()
            .is_some_and(|first| first.number + 3 < number)
        {
            let gone = self.in_flight.pop_front().expect("there is a first");
            if gone.number >= self.recovery_until {
                self.recovery_until = self.next_number;
                lost += 1;
            }
        }
        let ack = Ack {
            now,
            rtt: now - sent.at,
            rate,
            delivered_at_send: sent.delivered,
            delivered: self.delivered,
            in_flight: self.in_flight.len() as f64,
            loss_episode: lost > 0,
        };
        match &mut self.control {
            Control::Cubic(cubic) => cubic.on_ack(&ack),
            Control::Bbr(bbr) => bbr.on_ack(&ack),
        }
    }

    pub fn next_wake(&self, now: Nanos) -> Option<Nanos> {
        if now >= self.stops_at {
            return None;
        }
        let silence = self.last_progress + SECOND;
        let paced = (self.in_flight.len() as f64) < self.control.window();
        Some(if paced {
            self.next_send.max(now + 1).min(silence.max(now + 1))
        } else {
            silence.max(now + 1)
        })
    }

    fn forget_after_silence(&mut self, now: Nanos) {
        if !self.in_flight.is_empty() && now >= self.last_progress + SECOND {
            self.in_flight.clear();
            self.last_progress = now;
            if let Control::Cubic(cubic) = &mut self.control {
                cubic.threshold = cubic.window / 2.0;
                cubic.window = 1.0;
            }
        }
    }
}

struct Ack {
    now: Nanos,
    rtt: Nanos,
    rate: f64,
    delivered_at_send: u64,
    delivered: u64,
    in_flight: f64,
    loss_episode: bool,
}

impl Control {
    fn window(&self) -> f64 {
        match self {
            Self::Cubic(cubic) => cubic.window,
            Self::Bbr(bbr) => bbr.window(),
        }
    }

    fn packets_per_s(&self) -> Option<f64> {
        match self {
            Self::Cubic(_) => None,
            Self::Bbr(bbr) => Some(bbr.packets_per_s()),
        }
    }
}

struct Cubic {
    window: f64,
    threshold: f64,
    window_max: f64,
    reno: f64,
    epoch: Option<Nanos>,
    min_rtt: Nanos,
}

impl Default for Cubic {
    fn default() -> Self {
        Self {
            window: 10.0,
            threshold: f64::INFINITY,
            window_max: 0.0,
            reno: 0.0,
            epoch: None,
            min_rtt: Nanos::MAX,
        }
    }
}

impl Cubic {
    fn on_ack(&mut self, ack: &Ack) {
        const SCALE: f64 = 0.4;
        const DECREASE: f64 = 0.7;
        self.min_rtt = self.min_rtt.min(ack.rtt);
        if ack.loss_episode {
            let converging = self.window < self.window_max;
            self.window_max = if converging {
                self.window * (1.0 + DECREASE) / 2.0
            } else {
                self.window
            };
            self.window = (self.window * DECREASE).max(2.0);
            self.threshold = self.window;
            self.reno = self.window;
            self.epoch = None;
            return;
        }
        if ack.in_flight + 2.0 < self.window {
            return;
        }
        if self.window < self.threshold {
            self.window += 1.0;
            // HyStart: slow start ends when the round trip has grown by an eighth.
            let eighth = (self.min_rtt / 8).clamp(4 * MILLISECOND, 16 * MILLISECOND);
            if self.window > 16.0 && ack.rtt > self.min_rtt + eighth {
                self.threshold = self.window;
            }
            return;
        }
        let epoch = *self.epoch.get_or_insert(ack.now);
        if self.window_max < self.window {
            self.window_max = self.window;
        }
        if self.reno == 0.0 {
            self.reno = self.window;
        }
        let start = (self.window_max * (1.0 - DECREASE) / SCALE).cbrt();
        let t = (ack.now - epoch + ack.rtt) as f64 / 1e9;
        let target = (SCALE * (t - start).powi(3) + self.window_max).clamp(self.window, 1.5 * self.window);
        self.reno += 3.0 * (1.0 - DECREASE) / (1.0 + DECREASE) / self.reno;
        self.window += (target - self.window) / self.window;
        self.window = self.window.max(self.reno);
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Phase {
    Startup,
    Drain,
    Cycle(usize),
    ProbeRtt,
}

struct Bbr {
    phase: Phase,
    samples: VecDeque<(u64, f64)>,
    round: u64,
    round_ends: u64,
    min_rtt: Nanos,
    min_rtt_at: Nanos,
    phase_since: Nanos,
    probe_done_at: Option<Nanos>,
    full_rate: f64,
    full_rounds: u32,
}

const CYCLE: [f64; 8] = [1.25, 0.75, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0];

impl Bbr {
    fn new(now: Nanos) -> Self {
        Self {
            phase: Phase::Startup,
            samples: VecDeque::new(),
            round: 0,
            round_ends: 0,
            min_rtt: Nanos::MAX,
            min_rtt_at: now,
            phase_since: now,
            probe_done_at: None,
            full_rate: 0.0,
            full_rounds: 0,
        }
    }

    fn rate(&self) -> f64 {
        self.samples.iter().map(|&(_, rate)| rate).fold(0.0, f64::max)
    }

    fn pipe(&self) -> f64 {
        if self.min_rtt == Nanos::MAX {
            10.0
        } else {
            self.rate() * self.min_rtt as f64 / 1e9
        }
    }

    fn window(&self) -> f64 {
        match self.phase {
            Phase::ProbeRtt => 4.0,
            Phase::Startup | Phase::Drain => (2.89 * self.pipe()).max(10.0),
            Phase::Cycle(_) => (2.0 * self.pipe()).max(4.0),
        }
    }

    fn packets_per_s(&self) -> f64 {
        let gain = match self.phase {
            Phase::Startup => 2.89,
            Phase::Drain => 1.0 / 2.89,
            Phase::Cycle(idx) => CYCLE[idx],
            Phase::ProbeRtt => 1.0,
        };
        if self.samples.is_empty() {
            2000.0
        } else {
            (gain * self.rate()).max(10.0)
        }
    }

    fn on_ack(&mut self, ack: &Ack) {
        let new_round = ack.delivered_at_send >= self.round_ends;
        if new_round {
            self.round += 1;
            self.round_ends = ack.delivered;
        }
        self.samples.push_back((self.round, ack.rate));
        let oldest = self.round.saturating_sub(10);
        let best = self.rate();
        self.samples
            .retain(|&(round, rate)| round > oldest && (rate >= best || round + 10 > oldest));
        while self.samples.len() > 64 {
            // Keep the highest: a smaller sample in front of a larger one can never become the maximum.
            let smallest =
                (0..self.samples.len() - 1).min_by(|&a, &b| self.samples[a].1.total_cmp(&self.samples[b].1));
            self.samples.remove(smallest.unwrap_or(0));
        }
        let expired = ack.now > self.min_rtt_at + 10 * SECOND;
        if ack.rtt <= self.min_rtt || expired {
            self.min_rtt = ack.rtt;
            self.min_rtt_at = ack.now;
        }
        if expired && self.phase != Phase::ProbeRtt {
            self.enter(Phase::ProbeRtt, ack.now);
        }
        match self.phase {
            Phase::Startup if new_round => {
                if self.rate() > 1.25 * self.full_rate {
                    self.full_rate = self.rate();
                    self.full_rounds = 0;
                } else {
                    self.full_rounds += 1;
                }
                if self.full_rounds >= 3 {
                    self.enter(Phase::Drain, ack.now);
                }
            }
            Phase::Drain if ack.in_flight <= self.pipe() => self.enter(Phase::Cycle(2), ack.now),
            Phase::Cycle(idx) => {
                let elapsed = ack.now - self.phase_since > self.min_rtt;
                let done = match idx {
                    0 => elapsed && (ack.loss_episode || ack.in_flight >= 1.25 * self.pipe()),
                    1 => elapsed || ack.in_flight <= self.pipe(),
                    _ => elapsed,
                };
                if done {
                    self.enter(Phase::Cycle((idx + 1) % CYCLE.len()), ack.now);
                }
            }
            Phase::ProbeRtt => {
                if self.probe_done_at.is_none() && ack.in_flight <= 4.0 {
                    self.probe_done_at = Some(ack.now + 200 * MILLISECOND);
                }
                if self.probe_done_at.is_some_and(|done| ack.now > done) {
                    self.min_rtt_at = ack.now;
                    self.enter(Phase::Cycle(2), ack.now);
                }
            }
            Phase::Startup | Phase::Drain => {}
        }
    }

    fn enter(&mut self, phase: Phase, now: Nanos) {
        self.phase = phase;
        self.phase_since = now;
        self.probe_done_at = None;
    }
}
