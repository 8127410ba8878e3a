//! One round: from a packet's departure to its acknowledgement, and what was seen meanwhile.

use super::Micros;
use super::delivery::per_second;

/// Samples that a mean needs.
const SAMPLES_MIN: u64 = 4;

#[derive(Clone, Copy, Debug)]
pub(super) struct Round {
    /// The round ends with the first packet that left when this much had been delivered.
    pub ends_at: u64,
    started_at: Micros,
    started_delivered: u64,
    /// Bytes delivered so far, in all.
    delivered: u64,
    /// The window at its start and at the start of the round before.
    pub window: u64,
    pub window_before: u64,
    pub rtt_min: Micros,
    rtt_sum: u64,
    pub samples: u64,
    pub rate_max: u64,
    /// Bytes reported lost.
    pub lost: u64,
    /// The application had something to send all the time up to some sample.
    busy: bool,
}

impl Round {
    pub fn new(now: Micros, delivered: u64, window: u64, window_before: u64) -> Self {
        Self {
            ends_at: delivered,
            started_at: now,
            started_delivered: delivered,
            delivered,
            window,
            window_before,
            rtt_min: Micros::MAX,
            rtt_sum: 0,
            samples: 0,
            rate_max: 0,
            lost: 0,
            busy: false,
        }
    }

    pub fn on_sample(&mut self, rtt: Micros, rate: Option<u64>, delivered: u64, app_limited: bool) {
        self.rtt_min = self.rtt_min.min(rtt);
        self.rtt_sum = self.rtt_sum.saturating_add(rtt);
        self.samples += 1;
        self.rate_max = self.rate_max.max(rate.unwrap_or(0));
        self.delivered = delivered;
        self.busy |= !app_limited;
    }

    /// Bytes that arrived in this round.
    pub fn arrived(&self) -> u64 {
        self.delivered.saturating_sub(self.started_delivered)
    }

    /// Delivery rate of the whole round, bytes per second.
    pub fn rate(&self, now: Micros) -> u64 {
        per_second(self.arrived(), now.saturating_sub(self.started_at)).unwrap_or(0)
    }

    /// Delivery rate since the round began; none before `at_least` has passed.
    pub fn rate_so_far(&self, now: Micros, at_least: Micros) -> Option<u64> {
        let elapsed = now.saturating_sub(self.started_at);
        per_second(self.arrived(), elapsed).filter(|_| elapsed >= at_least)
    }

    /// Mean round trip above the lowest; none with too few samples.
    pub fn spread(&self) -> Option<Micros> {
        (self.samples >= SAMPLES_MIN).then(|| (self.rtt_sum / self.samples).saturating_sub(self.rtt_min))
    }

    /// The window held us back, not the application: what we saw says something about the line.
    pub fn is_limited_by_window(&self) -> bool {
        let window = self.window.min(self.window_before);
        self.busy && self.arrived().saturating_add(self.lost) >= window / 2
    }

    pub fn lost_share_percent(&self) -> u64 {
        self.lost.saturating_mul(100) / self.lost.saturating_add(self.arrived()).max(1)
    }
}
