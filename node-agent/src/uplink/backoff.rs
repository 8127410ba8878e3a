//! When to dial again: every second in the first ten minutes of an outage, then ever more rarely, never later than
//! every 30 s, with jitter so that many agents do not come back in one instant.

use std::time::Duration;

/// Pause in the first part of an outage.
const EAGER_PAUSE: Duration = Duration::from_secs(1);
/// Length of that part.
const EAGER_TIME: Duration = Duration::from_secs(600);
/// Longest pause, before jitter shortens it.
const PAUSE_MAX: Duration = Duration::from_secs(30);

/// Pauses of one outage.
#[derive(Debug)]
pub(super) struct Backoff {
    pause: Duration,
}

impl Backoff {
    pub(super) fn new() -> Self {
        Self { pause: EAGER_PAUSE }
    }

    /// The pause before the next attempt, `outage` after the line was last up; `random` is any number.
    pub(super) fn next_pause(&mut self, outage: Duration, random: u64) -> Duration {
        if outage < EAGER_TIME {
            return EAGER_PAUSE;
        }
        self.pause = (self.pause * 2).min(PAUSE_MAX);
        let half = self.pause / 2;
        half + half.mul_f64((random % 1000) as f64 / 1000.0)
    }

    /// The pause after a refusal that only a person can end.
    pub(super) fn after_refusal(random: u64) -> Duration {
        let half = PAUSE_MAX / 2;
        half + half.mul_f64((random % 1000) as f64 / 1000.0)
    }
}

/// A number for jitter.
pub(super) fn random() -> u64 {
    let mut bytes = [0; 8];
    // Without randomness there is no jitter; nothing else depends on it.
    let _ = getrandom::fill(&mut bytes);
    u64::from_le_bytes(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn probes_every_second_for_ten_minutes_then_at_most_every_thirty() {
        let mut backoff = Backoff::new();
        let mut outage = Duration::ZERO;
        let mut pauses = Vec::new();
        for random in 0..2000 {
            let pause = backoff.next_pause(outage, random * 77);
            pauses.push((outage, pause));
            outage += pause;
        }
        for (outage, pause) in pauses {
            if outage < EAGER_TIME {
                assert_eq!(pause, EAGER_PAUSE);
            } else {
                assert!(pause >= EAGER_PAUSE && pause <= PAUSE_MAX, "{pause:?}");
            }
        }
        // 600 s of probes each second, then 1,400 pauses of 15 s at least.
        assert!(outage > Duration::from_secs(600 + 1_390 * 15), "{outage:?}");
    }
}
