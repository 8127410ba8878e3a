//! How long to wait after a failure: doubled each time up to a longest, with jitter so that many agents do not call one
//! PACS in one instant.

use std::time::Duration;

use super::Retry;

/// Pauses of one destination.
#[derive(Debug)]
pub(super) struct Backoff {
    retry: Retry,
    next: Duration,
}

impl Backoff {
    pub(super) fn new(retry: Retry) -> Self {
        Self {
            retry,
            next: retry.min,
        }
    }

    /// The pause after one more failure; `random` is any number.
    pub(super) fn failed(&mut self, random: u64) -> Duration {
        let pause = self.next.min(self.retry.max);
        self.next = (pause * 2).min(self.retry.max);
        jittered(pause, random)
    }

    /// All is well again.
    pub(super) fn succeeded(&mut self) {
        self.next = self.retry.min;
    }
}

/// The pause of one object after `n_tries` tries.
pub(super) fn of_object(retry: Retry, n_tries: u32, random: u64) -> Duration {
    let factor = 2_u32.saturating_pow(n_tries.min(16));
    jittered(retry.min.saturating_mul(factor).min(retry.max), random)
}

/// Three quarters to the whole of it.
fn jittered(pause: Duration, random: u64) -> Duration {
    pause - pause / 4 * (u32::try_from(random % 256).unwrap_or(0)) / 256
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_the_longest_and_begin_again_after_a_success() {
        let retry = Retry {
            min: Duration::from_secs(4),
            max: Duration::from_secs(10),
            tries_max: 3,
        };
        let mut backoff = Backoff::new(retry);
        let pauses: Vec<u64> = (0..3).map(|_| backoff.failed(0).as_secs()).collect();
        assert_eq!(pauses, [4, 8, 10]);
        backoff.succeeded();
        let pause = backoff.failed(255);
        assert!(
            pause >= Duration::from_secs(3) && pause < Duration::from_secs(4),
            "{pause:?}"
        );
        assert_eq!(of_object(retry, 40, 0), Duration::from_secs(10));
    }
}
