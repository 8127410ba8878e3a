//! The cap on a node's line: a token bucket that may be overdrawn by one range.

use crate::limits::{RANGE_BYTES_MAX, RATE_CAP_BYTES_PER_S_MIN};

/// How much may go at once after a pause, in milliseconds of the cap: below this a timer's grain would eat the rate.
const BURST_MS: u64 = 20;

/// When the next range may go. Without a cap always now.
#[derive(Debug)]
pub(super) struct Pace {
    /// Bytes a second, which are thousandths of a byte a millisecond.
    rate: Option<u64>,
    /// Thousandths of a byte that may go now; below zero after the last range took more.
    tokens: i128,
    burst: i128,
    filled_at_ms: u64,
}

impl Pace {
    /// A full bucket for this many bytes a second.
    pub(super) fn new(rate_cap_bytes_per_s: Option<u64>) -> Self {
        let rate = rate_cap_bytes_per_s.map(|rate| rate.max(RATE_CAP_BYTES_PER_S_MIN));
        let of_rate = i128::from(rate.unwrap_or(0)) * i128::from(BURST_MS);
        let burst = of_rate.max(i128::from(RANGE_BYTES_MAX) * 1000);
        Self {
            rate,
            tokens: burst,
            burst,
            filled_at_ms: 0,
        }
    }

    /// The instant before which nothing may go; `None` when something may go now.
    pub(super) fn not_before(&mut self, now_ms: u64) -> Option<u64> {
        let rate = i128::from(self.rate?);
        let passed_ms = i128::from(now_ms.saturating_sub(self.filled_at_ms));
        self.filled_at_ms = self.filled_at_ms.max(now_ms);
        self.tokens = self
            .tokens
            .saturating_add(passed_ms.saturating_mul(rate))
            .min(self.burst);
        if self.tokens > 0 {
            return None;
        }
        let wait_ms = (1 - self.tokens + rate - 1) / rate;
        let wait_ms = u64::try_from(wait_ms).unwrap_or(u64::MAX).max(1);
        Some(self.filled_at_ms.saturating_add(wait_ms))
    }

    /// These bytes go now.
    pub(super) fn sent(&mut self, bytes: u64) {
        if self.rate.is_some() {
            self.tokens = self.tokens.saturating_sub(i128::from(bytes) * 1000);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn without_a_cap_nothing_waits() {
        let mut pace = Pace::new(None);
        for _ in 0..1000 {
            assert_eq!(pace.not_before(0), None);
            pace.sent(RANGE_BYTES_MAX);
        }
    }

    #[test]
    fn a_cap_of_nothing_still_lets_the_line_live() {
        let mut pace = Pace::new(Some(0));
        pace.sent(2 * RANGE_BYTES_MAX);
        let at_ms = pace.not_before(0).unwrap();
        assert!(at_ms <= RANGE_BYTES_MAX * 1000 / RATE_CAP_BYTES_PER_S_MIN + 1);
        assert_eq!(pace.not_before(at_ms - 1), Some(at_ms));
        assert_eq!(pace.not_before(at_ms), None);
    }

    #[test]
    fn no_instant_and_no_rate_overflows() {
        for rate in [1, u64::MAX] {
            let mut pace = Pace::new(Some(rate));
            for now_ms in [u64::MAX, 0, u64::MAX] {
                pace.not_before(now_ms);
                pace.sent(RANGE_BYTES_MAX);
            }
        }
    }

    proptest! {
        /// Asked whenever it says, a bucket gives its rate and never more than one burst and one range above it.
        #[test]
        fn the_rate_is_kept_and_used(
            rate in RATE_CAP_BYTES_PER_S_MIN..20_000_000,
            lens in prop::collection::vec(1..=RANGE_BYTES_MAX, 1..300),
        ) {
            let mut pace = Pace::new(Some(rate));
            let (mut now_ms, mut bytes, mut n_waits) = (0, 0, 0);
            for len in lens {
                while let Some(at_ms) = pace.not_before(now_ms) {
                    prop_assert!(at_ms > now_ms);
                    now_ms = at_ms;
                    n_waits += 1;
                }
                pace.sent(len);
                bytes += len;
                let burst = RANGE_BYTES_MAX.max(rate * BURST_MS / 1000);
                prop_assert!(bytes <= rate * now_ms / 1000 + burst + RANGE_BYTES_MAX);
                // Each wait may be a millisecond too long.
                prop_assert!(bytes + 1 + n_waits * (rate / 1000 + 1) >= rate * now_ms / 1000);
            }
        }
    }
}
