//! Is somebody else filling the queue? A sender that keeps the queue short starves beside one that fills it.
//!
//! Copa (Arun and Balakrishnan, NSDI 2018, section 2.2) competes as TCP does once the queue no longer empties.
//! Here a queue that stays long is first tested: the window is halved for two rounds. If the round trip falls by
//! the time that our own packets took in the queue, the queue was ours; if it falls by less, the ratio is our
//! share of the line and somebody else has the rest. Beside such a rival the window grows as long as we carry
//! less than two thirds of what the line carries, faster the less it is, and is cut when a long queue
//! overflows.

use super::Micros;

/// Rounds with a long queue before it is tested.
const PRESSED_ROUNDS: u32 = 5;
/// From this share of the line on, in percent, the queue counts as our own.
const OWN_SHARE_PERCENT: u64 = 75;
/// A test that found less than this, in percent, says nothing of how much the line carries.
const SHARE_MIN_PERCENT: u64 = 20;
/// So many rounds with the same round trip, while the window moved, mean a longer path.
const STEADY_ROUNDS: u32 = 16;
/// The window moved if its lowest was below this share of its highest, in percent.
const MOVED_PERCENT: u64 = 80;

/// The window is halved for two rounds to see whose queue it is.
#[derive(Clone, Copy, Debug)]
pub(super) struct Test {
    /// Window before and during the test, bytes.
    pub before: u64,
    pub during: u64,
    /// Lowest round trip of the round before the test, and that of the empty path.
    pub rtt: Micros,
    pub base: Micros,
    /// Delivery rate before the test.
    pub bytes_per_s: u64,
    /// The round that ends it.
    pub until_round: u64,
}

/// What a test showed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    OwnQueue,
    /// Somebody else's; the line carries about this many bytes a second in all.
    Rival {
        line_bytes_per_s: u64,
    },
}

impl Test {
    /// Judges by the lowest round trip of the test's last round.
    pub fn verdict(&self, rtt_after: Micros) -> Verdict {
        let freed = self.before.saturating_sub(self.during).saturating_mul(1_000_000);
        let alone = freed / self.bytes_per_s.max(1);
        let expected = alone.min(self.rtt.saturating_sub(self.base)).max(1);
        let share = self.rtt.saturating_sub(rtt_after).saturating_mul(100) / expected;
        if share >= OWN_SHARE_PERCENT {
            return Verdict::OwnQueue;
        }
        Verdict::Rival {
            line_bytes_per_s: self.bytes_per_s.saturating_mul(100) / share.max(SHARE_MIN_PERCENT),
        }
    }
}

/// Packets by which the window grows in a round beside a rival, for our share of the line in percent.
pub(super) fn packets_per_round(share_percent: u64) -> i64 {
    match share_percent {
        0..30 => 4,
        30..45 => 3,
        45..65 => 1,
        65..70 => 0,
        _ => -1,
    }
}

/// Counts rounds with a long queue.
#[derive(Clone, Debug, Default)]
pub(super) struct Pressure {
    rounds: u32,
}

impl Pressure {
    pub fn is_none(&self) -> bool {
        self.rounds == 0
    }

    /// True when the queue has been long for so many rounds that it must be tested.
    pub fn on_round(&mut self, long: bool) -> bool {
        self.rounds = if long { self.rounds.saturating_add(1) } else { 0 };
        self.rounds >= PRESSED_ROUNDS
    }
}

/// Recognises a path that has become longer: the round trip stays the same whatever the window.
#[derive(Clone, Debug, Default)]
pub(super) struct Steadiness {
    rounds: u32,
    rtt: (Micros, Micros),
    window: (u64, u64),
}

impl Steadiness {
    /// The new round trip of the empty path, if the last rounds showed one.
    pub fn on_round(&mut self, rtt: Micros, window: u64, tolerance: Micros) -> Option<Micros> {
        let range = (self.rtt.0.min(rtt), self.rtt.1.max(rtt));
        if self.rounds == 0 || range.1 - range.0 > tolerance {
            *self = Self {
                rounds: 1,
                rtt: (rtt, rtt),
                window: (window, window),
            };
            return None;
        }
        self.rounds = self.rounds.saturating_add(1);
        self.rtt = range;
        self.window = (self.window.0.min(window), self.window.1.max(window));
        let moved = self.window.1 / 100 * MOVED_PERCENT > self.window.0;
        (moved && self.rounds >= STEADY_ROUNDS).then_some(self.rtt.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 100 kB in flight at 1 MB/s of ours on a path of 40 ms.
    fn test(rtt: Micros) -> Test {
        Test {
            before: 100_000,
            during: 50_000,
            rtt,
            base: 40_000,
            bytes_per_s: 1_000_000,
            until_round: 2,
        }
    }

    #[test]
    fn a_queue_that_goes_with_our_window_is_ours() {
        assert_eq!(test(100_000).verdict(50_000), Verdict::OwnQueue);
        assert_eq!(
            test(60_000).verdict(40_000),
            Verdict::OwnQueue,
            "no more than the queue can go"
        );
    }

    #[test]
    fn a_queue_that_stays_is_a_rivals_and_tells_our_share() {
        let half = Verdict::Rival {
            line_bytes_per_s: 2_000_000,
        };
        assert_eq!(test(100_000).verdict(75_000), half);
        let unknown = Verdict::Rival {
            line_bytes_per_s: 5_000_000,
        };
        assert_eq!(test(100_000).verdict(110_000), unknown);
    }

    #[test]
    fn a_longer_path_is_recognised_by_a_round_trip_that_ignores_the_window() {
        let mut steadiness = Steadiness::default();
        let found = (0..STEADY_ROUNDS)
            .find_map(|n| steadiness.on_round(80_000, 90_000 - u64::from(n) * 4_000, 1_000));
        assert_eq!(found, Some(80_000));
        let mut steadiness = Steadiness::default();
        let sawtooth =
            (0..100).find_map(|n| steadiness.on_round(80_000 + n % 20 * 1_000, 90_000 - n * 500, 1_000));
        assert_eq!(sawtooth, None);
    }
}
