//! The rate of the last seconds.

use std::collections::VecDeque;

/// Span over which the rate is averaged.
pub(super) const RATE_WINDOW_MS: i64 = 5_000;
/// Finest step that is remembered, so that memory is bounded.
const RATE_STEP_MS: i64 = 100;
/// A shorter span than this says nothing about a rate.
const RATE_SPAN_MIN_MS: i64 = 1_000;

/// Bytes of the last seconds, in steps.
#[derive(Debug, Default)]
pub(super) struct RateWindow {
    /// (instant, bytes in that step), oldest first.
    steps: VecDeque<(i64, u64)>,
}

impl RateWindow {
    /// Counts bytes.
    pub(super) fn add(&mut self, now_ms: i64, bytes: u64) {
        match self.steps.back_mut() {
            Some((at_ms, sum)) if (0..RATE_STEP_MS).contains(&(now_ms - *at_ms)) => *sum += bytes,
            _ => self.steps.push_back((now_ms, bytes)),
        }
        // A clock that was set back leaves steps of the future behind; they count no more than old ones.
        let is_lately = |at_ms: i64| (0..=RATE_WINDOW_MS).contains(&(now_ms - at_ms));
        while self.steps.front().is_some_and(|(at_ms, _)| !is_lately(*at_ms)) {
            self.steps.pop_front();
        }
    }

    /// Mean over the window, bytes per second; zero when nothing went.
    pub(super) fn bytes_per_second(&self, now_ms: i64) -> u64 {
        let (mut sum, mut oldest_ms) = (0, now_ms);
        for (at_ms, bytes) in &self.steps {
            if (0..=RATE_WINDOW_MS).contains(&(now_ms - at_ms)) {
                sum += bytes;
                oldest_ms = oldest_ms.min(*at_ms);
            }
        }
        let span_ms = (now_ms - oldest_ms).clamp(RATE_SPAN_MIN_MS, RATE_WINDOW_MS);
        sum * 1_000 / span_ms.unsigned_abs()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rate_is_a_mean_over_the_last_seconds_and_its_memory_is_bounded() {
        let mut window = RateWindow::default();
        for ms in 0..60_000 {
            window.add(ms, 2);
        }
        assert_eq!(window.bytes_per_second(60_000), 2_000);
        assert!(window.steps.len() <= 52, "{}", window.steps.len());
        assert_eq!(window.bytes_per_second(60_000 + 2 * RATE_WINDOW_MS), 0);
    }

    #[test]
    fn a_clock_that_is_set_back_leaves_no_bytes_of_the_future() {
        let mut window = RateWindow::default();
        window.add(1_000_000, 5_000);
        window.add(10_000, 700);
        assert_eq!(window.bytes_per_second(10_000), 700);
        assert_eq!(window.steps.len(), 1);
    }
}
