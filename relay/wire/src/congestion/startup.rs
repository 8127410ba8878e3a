//! How long the window may double: until the queue grows, the rate doesn't any more, or too much is lost.
//!
//! The signs are HyStart++'s (RFC 9406: a rising round trip) and BBR's (a rate that has stopped growing), and
//! the first counts only together with a rate that grows less than the window, for jitter looks like a queue.
//! On a remembered path the window jumps to half of what it carried, as in RFC 9959 (careful resume): once the
//! round trip is found similar, without growth until the packets of the jump have arrived, back at once if
//! they build a queue or are lost.

use std::collections::VecDeque;

use super::Micros;
use super::delivery::bytes_in;
use super::path::{Path, PathMemory};
use super::round::Round;

/// The rise of the round trip that ends the start: an eighth of it, within these (RFC 9406, section 4.2).
const RISE_PARTS: Micros = 8;
const RISE_MIN: Micros = 4_000;
const RISE_MAX: Micros = 16_000;
/// Samples in the lowest recent round trip, and how far back it looks at most.
const RECENT_SAMPLES: usize = 8;
const RECENT_SAMPLES_MAX: usize = 1024;
const RECENT_TIME: Micros = 25_000;
/// Rounds before the first rise counts.
const ROUNDS_MIN: u64 = 2;
/// Rounds without a quarter more rate that end the start.
const FULL_ROUNDS: u32 = 3;
/// Rounds until the packets of a jump have arrived: that of the sample, that in flight, their own.
const JUMP_ROUNDS: u64 = 3;
/// The most that may leave in one round trip on trust, whatever is remembered: 384 KiB.
const JUMP_BYTES_MAX: u64 = 384 << 10;
/// By this part the window may exceed what the path is remembered to hold.
const LIMIT_PARTS: u64 = 10;
/// Packets of a slow start's first window in each of these times: a long round trip gives more of them.
const FIRST_PACKETS: u64 = 10;
const FIRST_TIME: Micros = 100_000;
const FIRST_PACKETS_MAX: u64 = 60;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Jump {
    None,
    Remembered(PathMemory),
    Unvalidated { until_round: u64 },
}

#[derive(Clone, Debug)]
pub(super) struct Startup {
    jump: Jump,
    /// After a jump no window above what was remembered: there the rate decides.
    limit: u64,
    full_rate: u64,
    full_rounds: u32,
    /// Highest spread of round trips within one round: jitter, not queue.
    pub spread_max: Micros,
    recent: VecDeque<(Micros, Micros)>,
}

impl Startup {
    pub fn new(memory: Option<PathMemory>) -> Self {
        Self {
            jump: memory.map_or(Jump::None, Jump::Remembered),
            limit: u64::MAX,
            full_rate: 0,
            full_rounds: 0,
            spread_max: 0,
            recent: VecDeque::new(),
        }
    }

    /// Bytes of the very first window.
    pub fn first_window(packet: u64) -> u64 {
        FIRST_PACKETS * packet
    }

    /// The window after so many bytes more were acknowledged.
    pub fn grown(&self, window: u64, bytes: u64) -> u64 {
        match self.jump {
            Jump::Unvalidated { .. } => window,
            _ => window.saturating_add(bytes).min(self.limit.max(window)),
        }
    }

    /// The least window now that the round trip is known, if it changes.
    pub fn window_for(&mut self, path: &Path, rounds: u64) -> Option<u64> {
        if let Jump::Remembered(memory) = self.jump {
            let remembered = u64::try_from(memory.min_rtt.as_micros()).unwrap_or(Micros::MAX);
            let similar = path.base >= remembered / 2 && path.base / 2 <= remembered;
            self.jump = Jump::None;
            if similar {
                self.jump = Jump::Unvalidated {
                    until_round: rounds.saturating_add(JUMP_ROUNDS),
                };
                let whole = bytes_in(memory.bandwidth_bytes_per_s, path.base);
                self.limit = whole.saturating_add(whole / LIMIT_PARTS);
                let half = bytes_in(memory.bandwidth_bytes_per_s / 2, path.base);
                return Some(half.min(JUMP_BYTES_MAX));
            }
        }
        let packets = (FIRST_PACKETS.saturating_mul(path.base) / FIRST_TIME).min(FIRST_PACKETS_MAX);
        (rounds == 0).then(|| packets * path.packet)
    }

    /// True when a sample shows that the queue grows.
    pub fn on_rtt(&mut self, now: Micros, rtt: Micros, path: &Path, round: &Round, rounds: u64) -> bool {
        let span = (path.base / 4).min(RECENT_TIME);
        self.recent.push_back((now, rtt));
        while self.recent.len() > RECENT_SAMPLES
            && (self.recent.len() > RECENT_SAMPLES_MAX
                || self
                    .recent
                    .front()
                    .is_some_and(|&(at, _)| at.saturating_add(span) < now))
        {
            self.recent.pop_front();
        }
        if rounds < ROUNDS_MIN || self.recent.len() < RECENT_SAMPLES {
            return false;
        }
        let lowest = self.recent.iter().map(|&(_, rtt)| rtt).min().unwrap_or(rtt);
        let rise = (path.base / RISE_PARTS)
            .clamp(RISE_MIN, RISE_MAX)
            .saturating_add(self.spread_max)
            .saturating_add(3 * path.packet_time());
        let slowing = round
            .rate_so_far(now, path.base / 4)
            .is_some_and(|rate| rate <= path.last_rate.saturating_add(path.last_rate / 2));
        lowest > path.base.saturating_add(rise) && slowing
    }

    /// True when a round shows that the line is full, or that the jump was too high.
    pub fn on_round(&mut self, round: &Round, rate: u64, queue: Micros, path: &Path, rounds: u64) -> bool {
        if let Jump::Unvalidated { until_round } = self.jump {
            if round.lost_share_percent() > 10 || queue > path.base / 2 {
                return true;
            }
            if rounds >= until_round {
                self.jump = Jump::None;
            }
            return false;
        }
        if let Some(spread) = round.spread() {
            self.spread_max = self.spread_max.max(spread);
        }
        if rate > self.full_rate.saturating_add(self.full_rate / 4) {
            self.full_rate = rate;
            self.full_rounds = 0;
        } else if round.is_limited_by_window() {
            self.full_rounds += 1;
        }
        self.full_rounds >= FULL_ROUNDS
    }
}
