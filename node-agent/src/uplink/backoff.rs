//! When to dial again, and over what: every second in the first ten minutes of an outage, then ever more rarely, never
//! later than every 30 s, with jitter so that many agents do not come back in one instant. No clock, no socket.

use std::time::Duration;

/// Pause in the first part of an outage.
const EAGER_PAUSE: Duration = Duration::from_secs(1);
/// Length of that part.
const EAGER_TIME: Duration = Duration::from_secs(600);
/// Longest pause, before jitter shortens it.
const PAUSE_MAX: Duration = Duration::from_secs(30);

/// Attempts under way at once over each transport.
const ATTEMPTS_MAX: usize = 6;
/// QUIC has this long alone before TCP is tried, too; none when the last connection was over TCP.
const TCP_AFTER: Duration = Duration::from_secs(3);

/// A transport to the relay.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Over {
    /// UDP.
    Quic,
    /// TLS over TCP.
    Tcp,
}

/// Pauses and attempts from the loss of a line until it stands again.
#[derive(Debug)]
pub(super) struct Backoff {
    pause: Duration,
    tcp_after: Duration,
}

impl Backoff {
    /// `was_tcp` when the last connection was over TCP.
    pub(super) fn new(was_tcp: bool) -> Self {
        Self {
            pause: EAGER_PAUSE,
            tcp_after: if was_tcp { Duration::ZERO } else { TCP_AFTER },
        }
    }

    /// What is dialled when a pause has passed: `dialling` since the first attempt, with `n_under_way` not ended.
    pub(super) fn after_pause(
        &self,
        dialling: Duration,
        mut n_under_way: usize,
    ) -> impl Iterator<Item = Over> + use<> {
        let quic = (n_under_way < ATTEMPTS_MAX).then_some(Over::Quic);
        n_under_way += usize::from(quic.is_some());
        let may_tcp = dialling >= self.tcp_after && n_under_way < 2 * ATTEMPTS_MAX;
        quic.into_iter().chain(may_tcp.then_some(Over::Tcp))
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
        let mut backoff = Backoff::new(false);
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

    /// One outage under a clock of its own: every attempt before `outage` runs into its time limit, later ones succeed.
    /// Gives when each began, and when the line stood.
    fn sit_out(outage: Duration, was_tcp: bool, random: u64) -> (Vec<(Duration, Over)>, Duration) {
        const ATTEMPT_TIME: Duration = Duration::from_secs(6);
        let mut backoff = Backoff::new(was_tcp);
        let mut begun = vec![(Duration::ZERO, Over::Quic)];
        let mut now = Duration::ZERO;
        loop {
            now += backoff.next_pause(now, random.wrapping_mul(begun.len() as u64));
            let n_under_way = (begun.iter().rev())
                .take_while(|(at, _)| now < *at + ATTEMPT_TIME)
                .count();
            begun.extend(backoff.after_pause(now, n_under_way).map(|over| (now, over)));
            if now >= outage {
                return (begun, now);
            }
        }
    }

    #[test]
    fn flt_037_after_an_outage_of_any_length_the_line_is_dialled_in_time() {
        let minute = Duration::from_secs(60);
        for (outage, late_max) in [
            (Duration::from_secs(10), EAGER_PAUSE),
            (9 * minute, EAGER_PAUSE),
            (60 * minute, PAUSE_MAX),
            (7 * 24 * 60 * minute, PAUSE_MAX),
        ] {
            for random in 1..=20 {
                let (begun, up) = sit_out(outage, random % 2 == 0, random * 7919);
                assert!(up - outage <= late_max, "{outage:?}: dialled at {up:?}");
                let n_attempts = begun.len() as u64;
                // Each second at first, each 15 s or more after that, over two transports.
                let expected_max = 2 * (600 + outage.as_secs().saturating_sub(600) / 15 + 10);
                assert!(n_attempts <= expected_max, "{outage:?}: {n_attempts} attempts");
                let busiest = begun.iter().map(|(from, _)| {
                    let window = *from..*from + Duration::from_secs(6);
                    begun.iter().filter(|(at, _)| window.contains(at)).count()
                });
                if outage <= 9 * minute {
                    assert!(busiest.max() <= Some(2 * ATTEMPTS_MAX), "{outage:?}");
                }
            }
        }
    }

    #[test]
    fn flt_040_tcp_is_tried_after_three_seconds_and_at_once_where_it_was_used_before() {
        let first_tcp = |was_tcp| {
            let (begun, _) = sit_out(Duration::from_secs(30), was_tcp, 1);
            begun.into_iter().find(|(_, over)| *over == Over::Tcp)
        };
        assert_eq!(first_tcp(false), Some((Duration::from_secs(3), Over::Tcp)));
        assert_eq!(first_tcp(true), Some((Duration::from_secs(1), Over::Tcp)));
    }
}
