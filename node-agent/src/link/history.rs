//! What the line was like in the last two days: bytes, rate, round trip and loss in bins of ten seconds and of a
//! minute. Memory is bounded; no figure says anything of a patient.
//!
//! A rate is only known while the line is what work waits for. A bin in which nothing waited has bytes, or none, but
//! no rate: an idle line is not a slow line.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

/// Length of a fine bin, and how many are kept: one hour.
pub const FINE_STEP_MS: i64 = 10_000;
/// See [`FINE_STEP_MS`].
pub const FINE_BINS_MAX: usize = 360;
/// Length of a coarse bin, and how many are kept: two days.
pub const COARSE_STEP_MS: i64 = 60_000;
/// See [`COARSE_STEP_MS`].
pub const COARSE_BINS_MAX: usize = 2_880;
/// A longer time without a look at the line, as of a computer that slept, is a time of which nothing is known.
const SPAN_MAX_MS: i64 = 60_000;
/// The line was waited for at least so long in a bin, or its rate is not stated.
const BUSY_MS_MIN: u64 = 100;
/// Packets sent, or the share of lost ones is chance and not stated.
const PACKETS_MIN: u64 = 100;

/// Sums of one span of time.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Bin {
    /// Start, milliseconds UTC, a multiple of the step.
    pub at_ms: i64,
    /// Time connected.
    #[serde(skip_serializing_if = "is_zero")]
    pub up_ms: u64,
    /// Time without a connection.
    #[serde(skip_serializing_if = "is_zero")]
    pub down_ms: u64,
    /// Of the time connected, that over TCP.
    #[serde(skip_serializing_if = "is_zero")]
    pub tcp_ms: u64,
    /// Time in which the site's cap held the line back.
    #[serde(skip_serializing_if = "is_zero")]
    pub capped_ms: u64,
    /// Container bytes put on the line.
    #[serde(skip_serializing_if = "is_zero")]
    pub bytes: u64,
    /// Time in which work waited for the line, and the bytes of that time.
    #[serde(skip_serializing_if = "is_zero")]
    pub busy_ms: u64,
    /// See `busy_ms`.
    #[serde(skip_serializing_if = "is_zero")]
    pub busy_bytes: u64,
    /// Sum of round trips measured, microseconds, and how many.
    #[serde(skip_serializing_if = "is_zero")]
    pub rtt_sum_us: u64,
    /// See `rtt_sum_us`.
    #[serde(skip_serializing_if = "is_zero")]
    pub n_rtts: u64,
    /// Packets sent and, of these, lost.
    #[serde(skip_serializing_if = "is_zero")]
    pub n_packets: u64,
    /// See `n_packets`.
    #[serde(skip_serializing_if = "is_zero")]
    pub n_lost: u64,
}

fn is_zero(n: &u64) -> bool {
    *n == 0
}

impl Bin {
    fn add(&mut self, other: &Self) {
        for (sum, more) in [
            (&mut self.up_ms, other.up_ms),
            (&mut self.down_ms, other.down_ms),
            (&mut self.tcp_ms, other.tcp_ms),
            (&mut self.capped_ms, other.capped_ms),
            (&mut self.bytes, other.bytes),
            (&mut self.busy_ms, other.busy_ms),
            (&mut self.busy_bytes, other.busy_bytes),
            (&mut self.rtt_sum_us, other.rtt_sum_us),
            (&mut self.n_rtts, other.n_rtts),
            (&mut self.n_packets, other.n_packets),
            (&mut self.n_lost, other.n_lost),
        ] {
            *sum = sum.saturating_add(more);
        }
    }

    /// Bytes per second while work waited for the line.
    fn bytes_per_second(&self) -> Option<u64> {
        (self.busy_ms >= BUSY_MS_MIN).then(|| self.busy_bytes.saturating_mul(1_000) / self.busy_ms)
    }

    fn rtt_ms(&self) -> Option<f64> {
        (self.n_rtts > 0).then(|| self.rtt_sum_us as f64 / self.n_rtts as f64 / 1_000.0)
    }
}

/// The share of packets lost; `None` when too few were sent to say.
#[must_use]
pub fn loss(n_packets: u64, n_lost: u64) -> Option<f64> {
    (n_packets >= PACKETS_MIN).then(|| (n_lost as f64 / n_packets as f64).min(1.0))
}

/// How far back the page looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub enum Span {
    /// One hour in points of ten seconds.
    #[serde(rename = "1h")]
    Hour,
    /// Six hours in points of a minute.
    #[serde(rename = "6h")]
    SixHours,
    /// Two days in points of five minutes.
    #[serde(rename = "48h")]
    TwoDays,
}

impl Span {
    /// Its length.
    #[must_use]
    pub fn window_ms(self) -> i64 {
        match self {
            Self::Hour => FINE_STEP_MS * FINE_BINS_MAX as i64,
            Self::SixHours => 6 * 3_600_000,
            Self::TwoDays => COARSE_STEP_MS * COARSE_BINS_MAX as i64,
        }
    }
}

/// Points of the two-day view are so long.
const TWO_DAYS_STEP_MS: i64 = 5 * COARSE_STEP_MS;

/// One point of the graph.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Point {
    /// Start, milliseconds UTC.
    pub at_ms: i64,
    /// Length.
    pub span_ms: i64,
    /// Time connected.
    pub up_ms: u64,
    /// Time without a connection; what is left was not looked at, as when the agent did not run.
    pub down_ms: u64,
    /// Of the time connected, that over TCP.
    pub tcp_ms: u64,
    /// Time in which the site's cap held the line back.
    pub capped_ms: u64,
    /// Container bytes put on the line.
    pub bytes: u64,
    /// Rate while work waited for the line; `None` when none did.
    pub bytes_per_second: Option<u64>,
    /// Mean round trip.
    pub rtt_ms: Option<f64>,
    /// Share of the packets that was lost, 0 to 1; `None` when too few were sent, and over TCP.
    pub loss: Option<f64>,
}

impl Point {
    fn new(bin: &Bin, span_ms: i64) -> Self {
        Self {
            at_ms: bin.at_ms,
            span_ms,
            up_ms: bin.up_ms,
            down_ms: bin.down_ms,
            tcp_ms: bin.tcp_ms,
            capped_ms: bin.capped_ms,
            bytes: bin.bytes,
            bytes_per_second: bin.bytes_per_second(),
            rtt_ms: bin.rtt_ms(),
            loss: loss(bin.n_packets, bin.n_lost),
        }
    }
}

/// Bins of one length, oldest first, without those in which nothing was noted.
#[derive(Debug)]
struct Ring {
    step_ms: i64,
    bins_max: usize,
    bins: VecDeque<Bin>,
}

impl Ring {
    fn new(step_ms: i64, bins_max: usize) -> Self {
        Self {
            step_ms,
            bins_max,
            bins: VecDeque::new(),
        }
    }

    fn start_of(&self, at_ms: i64) -> i64 {
        at_ms - at_ms.rem_euclid(self.step_ms)
    }

    /// The bin that holds an instant; made when there is none.
    fn bin_mut(&mut self, at_ms: i64) -> &mut Bin {
        let at_ms = self.start_of(at_ms);
        let place = match self.bins.binary_search_by_key(&at_ms, |bin| bin.at_ms) {
            Ok(place) => place,
            Err(place) => {
                let bin = Bin {
                    at_ms,
                    ..Bin::default()
                };
                self.bins.insert(place, bin);
                if self.bins.len() > self.bins_max {
                    self.bins.pop_front();
                    // Older than everything kept: it was itself the front, and is counted with what is now.
                    place.saturating_sub(1)
                } else {
                    place
                }
            }
        };
        &mut self.bins[place]
    }

    /// Notes something that took the time from `from_ms` to `to_ms`, in each bin with the milliseconds that fall into it.
    fn spread(&mut self, from_ms: i64, to_ms: i64, note: impl Fn(&mut Bin, u64)) {
        let mut at_ms = from_ms;
        while at_ms < to_ms {
            let end_ms = (self.start_of(at_ms) + self.step_ms).min(to_ms);
            note(self.bin_mut(at_ms), (end_ms - at_ms).unsigned_abs());
            at_ms = end_ms;
        }
    }

    /// The clock was set back: what lies in its future is of no known time.
    fn forget_after(&mut self, now_ms: i64) {
        while self.bins.back().is_some_and(|bin| bin.at_ms > now_ms) {
            self.bins.pop_back();
        }
    }

    fn since(&self, at_ms: i64) -> impl Iterator<Item = &Bin> {
        self.bins.iter().filter(move |bin| bin.at_ms >= at_ms)
    }
}

/// What is noted of the line, in both lengths of bins.
#[derive(Debug)]
pub struct History {
    fine: Ring,
    coarse: Ring,
}

impl Default for History {
    fn default() -> Self {
        Self {
            fine: Ring::new(FINE_STEP_MS, FINE_BINS_MAX),
            coarse: Ring::new(COARSE_STEP_MS, COARSE_BINS_MAX),
        }
    }
}

impl History {
    /// Adds the coarse bins of an earlier run; those of the future are left out.
    pub fn restore(&mut self, bins: impl IntoIterator<Item = Bin>, now_ms: i64) {
        for bin in bins {
            if bin.at_ms == self.coarse.start_of(bin.at_ms) && bin.at_ms <= now_ms {
                self.coarse.bin_mut(bin.at_ms).add(&bin);
            }
        }
    }

    /// Notes something of this instant.
    pub fn note(&mut self, now_ms: i64, note: impl Fn(&mut Bin)) {
        note(self.fine.bin_mut(now_ms));
        note(self.coarse.bin_mut(now_ms));
    }

    /// Notes something that took the time from `from_ms` to `to_ms`; nothing when the time is too long to be true.
    pub fn note_span(&mut self, from_ms: i64, to_ms: i64, note: impl Fn(&mut Bin, u64)) {
        if to_ms - from_ms <= SPAN_MAX_MS {
            self.fine.spread(from_ms, to_ms, &note);
            self.coarse.spread(from_ms, to_ms, &note);
        }
    }

    /// The clock was set back.
    pub fn forget_after(&mut self, now_ms: i64) {
        self.fine.forget_after(now_ms);
        self.coarse.forget_after(now_ms);
    }

    /// Coarse bins from an instant on, oldest first.
    #[must_use]
    pub fn coarse_since(&self, at_ms: i64) -> Vec<Bin> {
        self.coarse.since(at_ms).copied().collect()
    }

    /// Packets sent and lost in the last `window_ms`, which the fine bins hold.
    #[must_use]
    pub fn packets(&self, now_ms: i64, window_ms: i64) -> (u64, u64) {
        let mut sum = Bin::default();
        let recent = self.fine.since(now_ms - window_ms);
        recent.for_each(|bin| sum.add(bin));
        (sum.n_packets, sum.n_lost)
    }

    /// The points of a view, oldest first. Where fine bins do not reach back, coarse ones stand for them.
    #[must_use]
    pub fn points(&self, span: Span, now_ms: i64) -> Vec<Point> {
        let from_ms = now_ms - span.window_ms();
        match span {
            Span::Hour => {
                let fine_from_ms = self.fine.bins.front().map_or(i64::MAX, |bin| bin.at_ms);
                let coarse = self
                    .coarse
                    .since(from_ms)
                    .filter(|bin| bin.at_ms + COARSE_STEP_MS <= fine_from_ms)
                    .map(|bin| Point::new(bin, COARSE_STEP_MS));
                let fine = self.fine.since(from_ms).map(|bin| Point::new(bin, FINE_STEP_MS));
                coarse.chain(fine).collect()
            }
            Span::SixHours => {
                let bins = self.coarse.since(from_ms);
                bins.map(|bin| Point::new(bin, COARSE_STEP_MS)).collect()
            }
            Span::TwoDays => {
                let mut wide = Ring::new(TWO_DAYS_STEP_MS, COARSE_BINS_MAX);
                for bin in self.coarse.since(from_ms) {
                    wide.bin_mut(bin.at_ms).add(bin);
                }
                let bins = wide.bins.iter();
                bins.map(|bin| Point::new(bin, TWO_DAYS_STEP_MS)).collect()
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: i64 = 1_700_000_040_000;

    #[test]
    fn memory_is_bounded_and_the_newest_bins_are_kept() {
        let mut history = History::default();
        let n_steps = 40_000;
        for n in 0..n_steps {
            let at_ms = NOW + n * FINE_STEP_MS;
            history.note(at_ms, |bin| bin.bytes += 1);
        }
        assert_eq!(history.fine.bins.len(), FINE_BINS_MAX);
        assert_eq!(history.coarse.bins.len(), COARSE_BINS_MAX);
        let end_ms = NOW + n_steps * FINE_STEP_MS;
        assert_eq!(history.points(Span::Hour, end_ms).len(), FINE_BINS_MAX);
        assert_eq!(history.points(Span::SixHours, end_ms).len(), 360);
        let two_days = history.points(Span::TwoDays, end_ms);
        assert!((576..=577).contains(&two_days.len()), "{}", two_days.len());
        assert_eq!(two_days[1].bytes, 30);
    }

    #[test]
    fn an_idle_line_has_no_rate_and_a_busy_one_that_of_its_busy_time() {
        let mut history = History::default();
        history.note_span(NOW, NOW + 10_000, |bin, ms| bin.up_ms += ms);
        history.note(NOW, |bin| bin.bytes += 3_000);
        let idle = history.points(Span::Hour, NOW)[0];
        assert_eq!(
            (idle.up_ms, idle.bytes, idle.bytes_per_second),
            (10_000, 3_000, None)
        );
        history.note_span(NOW + 2_000, NOW + 4_000, |bin, ms| {
            bin.busy_ms += ms;
            bin.busy_bytes += 125 * ms;
        });
        let busy = history.points(Span::Hour, NOW)[0];
        assert_eq!(busy.bytes_per_second, Some(125_000));
    }

    #[test]
    fn a_span_goes_into_every_bin_it_touches_and_a_night_asleep_into_none() {
        let mut history = History::default();
        history.note_span(NOW + 5_000, NOW + 25_000, |bin, ms| bin.down_ms += ms);
        let down = |history: &History| -> Vec<u64> {
            let points = history.points(Span::Hour, NOW + 60_000);
            points.iter().map(|point| point.down_ms).collect()
        };
        assert_eq!(down(&history), [5_000, 10_000, 5_000]);
        history.note_span(NOW + 25_000, NOW + 25_000 + SPAN_MAX_MS + 1, |bin, ms| {
            bin.down_ms += ms
        });
        assert_eq!(down(&history), [5_000, 10_000, 5_000]);
    }

    #[test]
    fn loss_is_stated_only_of_enough_packets() {
        let mut history = History::default();
        let note = |history: &mut History, n_packets, n_lost| {
            history.note(NOW, |bin| {
                bin.n_packets += n_packets;
                bin.n_lost += n_lost;
            });
        };
        note(&mut history, 2, 1);
        assert_eq!(history.points(Span::Hour, NOW)[0].loss, None);
        note(&mut history, 98, 1);
        assert_eq!(history.points(Span::Hour, NOW)[0].loss, Some(0.02));
        assert_eq!(history.packets(NOW + 30_000, 60_000), (100, 2));
        assert_eq!(history.packets(NOW + 90_000, 60_000), (0, 0));
    }

    #[test]
    fn a_clock_that_is_set_back_takes_its_future_along() {
        let mut history = History::default();
        history.note(NOW, |bin| bin.bytes += 1);
        history.note(NOW + 7_200_000, |bin| bin.bytes += 1);
        history.forget_after(NOW + 60_000);
        assert_eq!(history.points(Span::SixHours, NOW + 60_000).len(), 1);
    }

    #[test]
    fn bins_of_an_earlier_run_stand_before_the_fine_ones_of_this() {
        let mut history = History::default();
        let minute = |n: i64, bytes| Bin {
            at_ms: NOW + n * COARSE_STEP_MS,
            bytes,
            ..Bin::default()
        };
        let crooked = Bin {
            at_ms: NOW + 1,
            ..Bin::default()
        };
        history.restore([minute(0, 1), minute(1, 2), crooked, minute(9, 9)], NOW + 120_000);
        history.note(NOW + 125_000, |bin| bin.bytes += 5);
        let points = history.points(Span::Hour, NOW + 130_000);
        let seen: Vec<_> = points.iter().map(|point| (point.span_ms, point.bytes)).collect();
        assert_eq!(
            seen,
            [(COARSE_STEP_MS, 1), (COARSE_STEP_MS, 2), (FINE_STEP_MS, 5)]
        );
    }
}
