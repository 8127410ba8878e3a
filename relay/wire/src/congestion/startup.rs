//! How long the window may double: until the queue grows, the rate doesn't any more, or too much is lost.
//!
//! The signs are HyStart++'s (RFC 9406: a rising round trip) and BBR's (a rate that has stopped growing), and
//! the first counts only together with a rate that grows less than the window, for jitter looks like a queue.
//! On a remembered path the window jumps to half of what it carried, as in RFC 9959 (careful resume): once the
//! round trip is found similar. From there it grows by what arrives, to what is remembered and little more, and falls
//! back at once if the packets of the jump build a queue or are lost.

use std::collections::VecDeque;
use std::time::Duration;

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
/// Rounds that fill the window until the packets of a jump have arrived: that of the sample, that in flight, their own.
const JUMP_ROUNDS: u64 = 3;
/// A path is the remembered one if its round trip is no less than one part in this of that remembered, and no more than
/// so many times (RFC 9959, section 4.2): a single packet's acknowledgement may be late.
const SIMILAR_PARTS_MIN: Micros = 2;
const SIMILAR_TIMES_MAX: Micros = 10;
/// The most that may leave in one round trip on trust, whatever is remembered: 384 KiB.
const JUMP_BYTES_MAX: u64 = 384 << 10;
/// A larger window than this, or than a path is remembered to hold, grows by half in a round instead of doubling
/// (limited slow start, RFC 3742): on a long path what leaves until the full queue is seen would not fit into it. 384 KiB.
const DOUBLING_BYTES_MAX: u64 = 384 << 10;
/// By this part the window may exceed what the path is remembered to hold: with jitter it holds more than its shortest
/// round trip says.
const LIMIT_PARTS: u64 = 2;
/// A round trip longer than the path's by this part shows that the packets of a jump build a queue.
const JUMP_QUEUE_PARTS: Micros = 2;
/// Loss in a round, in percent, that shows that the jump was too high.
const JUMP_LOST_PERCENT: u64 = 10;
/// As does, at once, the loss of this part of the window, and of so many packets at least.
const JUMP_LOST_PARTS: u64 = 8;
const JUMP_LOST_PACKETS: u64 = 8;
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

/// What the path was like before this start.
#[derive(Clone, Copy, Debug)]
pub(super) struct Remembered {
    pub memory: PathMemory,
    /// When it was measured, if on this connection; else the memory itself says it by the caller's clock.
    pub measured_at: Option<Micros>,
}

impl Remembered {
    /// With the instant of its measurement, `now` being `now_ms` of the caller's clock.
    pub fn dated(&self, now: Micros, now_ms: u64) -> PathMemory {
        let measured_at_ms = self.measured_at.map_or(self.memory.measured_at_ms, |at| {
            now_ms.saturating_sub(now.saturating_sub(at) / 1000)
        });
        PathMemory {
            measured_at_ms,
            ..self.memory
        }
    }
}

#[derive(Clone, Debug)]
pub(super) struct Startup {
    jump: Jump,
    remembered: Option<Remembered>,
    /// After a jump no window above what was remembered: there the rate decides.
    limit: u64,
    /// From this window on it grows by half in a round.
    doubling_max: u64,
    full_rate: u64,
    full_rounds: u32,
    /// The last round trip was too long for packets of a jump.
    is_queue_seen: bool,
    /// Highest spread of round trips within one round: jitter, not queue.
    pub spread_max: Micros,
    recent: VecDeque<(Micros, Micros)>,
}

impl Startup {
    /// `spread` is what is known of the path's jitter.
    pub fn new(remembered: Option<Remembered>, spread: Micros) -> Self {
        Self {
            jump: remembered.map_or(Jump::None, |remembered| Jump::Remembered(remembered.memory)),
            remembered,
            limit: u64::MAX,
            doubling_max: DOUBLING_BYTES_MAX,
            full_rate: 0,
            full_rounds: 0,
            is_queue_seen: false,
            spread_max: spread,
            recent: VecDeque::new(),
        }
    }

    /// Bytes of the very first window.
    pub fn first_window(packet: u64) -> u64 {
        FIRST_PACKETS * packet
    }

    /// The window after so many bytes more were acknowledged.
    pub fn grown(&self, window: u64, bytes: u64) -> u64 {
        if self.is_queue_seen && matches!(self.jump, Jump::Unvalidated { .. }) {
            return window;
        }
        let step = if window < self.doubling_max {
            bytes
        } else {
            bytes / 2
        };
        window.saturating_add(step).min(self.limit.max(window))
    }

    /// What to remember of the path while the start goes on: a little work says nothing against a higher rate that was
    /// measured before.
    pub fn remembered(&self, measured: Option<Remembered>) -> Option<Remembered> {
        let (Some(before), Some(measured)) = (self.remembered, measured) else {
            return measured.or(self.remembered);
        };
        let is_more = measured.memory.bandwidth_bytes_per_s >= before.memory.bandwidth_bytes_per_s;
        let is_same_path = is_similar(micros(measured.memory.min_rtt), micros(before.memory.min_rtt));
        Some(if is_more || !is_same_path {
            measured
        } else {
            before
        })
    }

    /// The least window now that the round trip is known, if it changes.
    pub fn window_for(&mut self, path: &Path, rounds: u64) -> Option<u64> {
        if let Jump::Remembered(memory) = self.jump {
            let remembered = micros(memory.min_rtt);
            self.jump = Jump::None;
            if is_similar(path.base, remembered) {
                self.jump = Jump::Unvalidated {
                    until_round: rounds.saturating_add(JUMP_ROUNDS),
                };
                let whole = bytes_in(memory.bandwidth_bytes_per_s, path.base.min(remembered));
                self.limit = whole.saturating_add(whole / LIMIT_PARTS);
                self.doubling_max = whole.max(DOUBLING_BYTES_MAX);
                return Some((whole / 2).min(JUMP_BYTES_MAX));
            }
        }
        let packets = (FIRST_PACKETS.saturating_mul(path.base) / FIRST_TIME).min(FIRST_PACKETS_MAX);
        (rounds == 0).then(|| packets * path.packet)
    }

    /// True when a sample shows that the queue grows.
    pub fn on_rtt(&mut self, now: Micros, rtt: Micros, path: &Path, round: &Round, rounds: u64) -> bool {
        let long = (path.base / JUMP_QUEUE_PARTS).saturating_add(self.spread_max);
        self.is_queue_seen = rtt > path.base.saturating_add(long);
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

    /// True when so much is lost that the jump was too high: what is sent again must not be lost as well.
    pub fn on_loss(&self, lost: u64, window: u64, packet: u64) -> bool {
        let is_much = lost > window / JUMP_LOST_PARTS && lost > JUMP_LOST_PACKETS * packet;
        is_much && matches!(self.jump, Jump::Unvalidated { .. })
    }

    /// True when a round shows that the line is full, or that the jump was too high.
    pub fn on_round(&mut self, round: &Round, rate: u64, queue: Micros, path: &Path, rounds: u64) -> bool {
        if let Jump::Unvalidated { until_round } = self.jump {
            // Not yet used, so nothing is known: few packets are acknowledged late.
            if !round.is_limited_by_window() {
                let until_round = rounds.saturating_add(JUMP_ROUNDS);
                self.jump = Jump::Unvalidated { until_round };
                return false;
            }
            let long = (path.base / JUMP_QUEUE_PARTS).saturating_add(self.spread_max);
            if round.lost_share_percent() > JUMP_LOST_PERCENT || queue > long {
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

fn micros(time: Duration) -> Micros {
    Micros::try_from(time.as_micros()).unwrap_or(Micros::MAX)
}

fn is_similar(rtt: Micros, remembered: Micros) -> bool {
    rtt >= remembered / SIMILAR_PARTS_MIN && rtt <= remembered.saturating_mul(SIMILAR_TIMES_MAX)
}
