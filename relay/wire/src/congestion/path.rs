//! What is known of the path: its round trip when empty, its delivery rate, its jitter, and how much queue suits it.

use std::time::Duration;

use super::Micros;
use super::delivery::bytes_in;

/// A round trip not seen for this long is looked for again.
const BASE_AGE_MAX: Micros = 10_000_000;
/// Beside a rival that hides it, only after this long.
const BASE_LOST: Micros = 60_000_000;
/// A sample this close to the round trip of the empty path, as one part of it, counts as having seen it.
const SEEN_PARTS: Micros = 64;
/// The delivery rate is the highest of so many rounds.
const RATE_ROUNDS: usize = 10;
/// The queue to keep: one packet and this part of what the path holds, and of this at least, so that timers of
/// a millisecond don't drain it on a short path.
const QUEUE_PARTS: u64 = 10;
const QUEUE_BASE_MIN: Micros = 20_000;
/// Jitter beyond a tenth of the round trip needs queue as well, up to a quarter of the round trip.
const JITTER_FREE_PARTS: Micros = 10;
const JITTER_MAX_PARTS: Micros = 4;
const JITTER_GAIN_PERCENT: u64 = 125;

/// What a path was like, to start fast on it the next time: RFC 9959 (careful resume).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PathMemory {
    /// Highest recent delivery rate, bytes per second.
    pub bandwidth_bytes_per_s: u64,
    /// Round trip of the empty path.
    pub min_rtt: Duration,
    /// When this was measured, milliseconds UTC; the caller's clock.
    pub measured_at_ms: u64,
}

/// A memory older than this, in milliseconds, is better not used: the line may have changed.
pub const PATH_MEMORY_AGE_MAX_MS: u64 = 24 * 3_600_000;

impl PathMemory {
    /// The memory, unless it is too old or from the future.
    pub fn if_fresh(self, now_ms: u64) -> Option<Self> {
        let age = now_ms.checked_sub(self.measured_at_ms)?;
        (age <= PATH_MEMORY_AGE_MAX_MS).then_some(self)
    }
}

#[derive(Clone, Debug)]
pub(super) struct Path {
    /// Bytes of a full packet.
    pub packet: u64,
    /// Round trip of the empty path; the largest number until one was measured.
    pub base: Micros,
    base_seen_at: Micros,
    /// Lowest in this slot of time and in the one before.
    lowest: [Micros; 2],
    slot_ends_at: Micros,
    rates: [u64; RATE_ROUNDS],
    rate_idx: usize,
    /// When the delivery rate was last measured.
    pub rate_at: Micros,
    /// Delivery rate of the last round, and its mean over about eight, bytes per second.
    pub last_rate: u64,
    pub mean_rate: u64,
    /// Mean of a round's round trips above its lowest.
    pub jitter: Micros,
    /// Rate of the whole line: ours when we had it alone, or as a test of the queue found.
    pub line_rate: u64,
}

impl Path {
    pub fn new(packet: u64) -> Self {
        Self {
            packet,
            base: Micros::MAX,
            base_seen_at: 0,
            lowest: [Micros::MAX; 2],
            slot_ends_at: 0,
            rates: [0; RATE_ROUNDS],
            rate_idx: 0,
            rate_at: 0,
            last_rate: 0,
            mean_rate: 0,
            jitter: 0,
            line_rate: 0,
        }
    }

    /// What is known of the path; when it was measured is for the caller to say.
    pub fn memory(&self) -> Option<PathMemory> {
        let known = self.base != Micros::MAX && self.rate() > 0;
        known.then(|| PathMemory {
            bandwidth_bytes_per_s: self.rate(),
            min_rtt: Duration::from_micros(self.base),
            measured_at_ms: 0,
        })
    }

    /// Highest delivery rate of the last rounds, bytes per second.
    pub fn rate(&self) -> u64 {
        self.rates.iter().copied().max().unwrap_or(0)
    }

    /// Bytes the path holds without a queue.
    pub fn pipe(&self) -> u64 {
        bytes_in(self.rate(), self.base)
    }

    pub fn packet_time(&self) -> Micros {
        self.packet.saturating_mul(1_000_000) / self.rate().max(self.last_rate).max(1)
    }

    /// Time of a full packet if all of the line were ours.
    pub fn line_packet_time(&self) -> Micros {
        self.packet.saturating_mul(1_000_000) / self.line_rate.max(1)
    }

    pub fn on_rtt(&mut self, now: Micros, rtt: Micros) {
        if rtt <= self.base.saturating_add(self.base / SEEN_PARTS) {
            self.base = self.base.min(rtt);
            self.base_seen_at = now;
        }
        if now >= self.slot_ends_at {
            self.slot_ends_at = now.saturating_add(BASE_AGE_MAX);
            self.lowest = [Micros::MAX, self.lowest[0]];
        }
        self.lowest[0] = self.lowest[0].min(rtt);
    }

    pub fn base_is_stale(&self, now: Micros) -> bool {
        now.saturating_sub(self.base_seen_at) > BASE_AGE_MAX
    }

    /// Not seen for so long that a rival can hardly have hidden it all the time.
    pub fn base_is_lost(&self, now: Micros) -> bool {
        now.saturating_sub(self.base_seen_at) > BASE_LOST
    }

    /// The lowest of the last ten to twenty seconds, if there was one.
    pub fn recent_lowest(&self) -> Option<Micros> {
        let lowest = self.lowest[0].min(self.lowest[1]);
        (lowest != Micros::MAX).then_some(lowest)
    }

    /// The lowest of the last ten to twenty seconds becomes the base.
    pub fn renew_base(&mut self, now: Micros) {
        if let Some(lowest) = self.recent_lowest() {
            self.set_base(now, lowest);
        }
    }

    pub fn set_base(&mut self, now: Micros, base: Micros) {
        self.base = base.max(1);
        self.base_seen_at = now;
        // What came before may have been another path.
        self.lowest = [Micros::MAX; 2];
        self.slot_ends_at = now.saturating_add(BASE_AGE_MAX);
    }

    /// A round in which we filled the window delivered at this rate.
    pub fn on_rate(&mut self, now: Micros, rate: u64, in_startup: bool) {
        self.rate_at = now;
        // The mean of two rounds: jitter moves bytes from one round into the next.
        let filtered = if in_startup {
            rate
        } else {
            rate / 2 + self.last_rate / 2
        };
        self.rate_idx = (self.rate_idx + 1) % RATE_ROUNDS;
        self.rates[self.rate_idx] = filtered;
        self.mean_rate = if in_startup || self.mean_rate == 0 {
            rate
        } else {
            (self.mean_rate / 8 * 7).saturating_add(rate / 8)
        };
    }

    /// The rate found when the start is over.
    pub fn set_rate(&mut self, now: Micros, rate: u64) {
        self.rate_at = now;
        self.rates[self.rate_idx] = rate;
        self.mean_rate = rate;
    }

    pub fn on_spread(&mut self, spread: Micros) {
        self.jitter = match self.jitter {
            0 => spread,
            jitter => jitter - jitter / 16 + spread / 16,
        };
    }

    /// Bytes that should wait in the queue: enough to keep the line busy, too few for anybody to notice.
    pub fn target_queue(&self) -> u64 {
        let rate = self.rate();
        let own = bytes_in(rate, self.base.max(QUEUE_BASE_MIN)) / QUEUE_PARTS;
        let jitter = bytes_in(rate, self.jitter_allowance());
        self.packet.saturating_add(own).saturating_add(jitter)
    }

    /// What [`Path::target_queue`] adds to the round trip at our present rate.
    pub fn target_delay(&self) -> Micros {
        let time = u128::from(self.target_queue()) * 1_000_000 / u128::from(self.mean_rate.max(1));
        Micros::try_from(time).unwrap_or(Micros::MAX)
    }

    /// What the target would add to the round trip if we had the whole line.
    pub fn usual_delay(&self) -> Micros {
        self.line_packet_time()
            .saturating_mul(2)
            .saturating_add(self.base.max(QUEUE_BASE_MIN) / QUEUE_PARTS)
            .saturating_add(self.jitter_allowance())
    }

    fn jitter_allowance(&self) -> Micros {
        let excess = self.jitter.saturating_sub(self.base / JITTER_FREE_PARTS);
        excess.min(self.base / JITTER_MAX_PARTS) / 100 * JITTER_GAIN_PERCENT
    }
}
