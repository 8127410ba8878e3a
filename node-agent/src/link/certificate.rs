//! How much of the node's certificate has been lived.

use tancho_wire::limits::RENEW_AFTER_LIFE_DIVISOR;

/// Start and end of a certificate's life, milliseconds UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CertificateLife {
    /// First instant.
    pub not_before_ms: i64,
    /// Last instant.
    pub not_after_ms: i64,
}

/// How urgent a renewal is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Age {
    /// Less than a third of its life has passed.
    Fresh,
    /// Time to renew.
    Due,
    /// Half of its life has passed: people are told.
    Late,
    /// Three quarters have passed: people are told loudly.
    Critical,
    /// The relay takes it no more.
    Ended,
}

impl CertificateLife {
    /// Its age at an instant.
    #[must_use]
    pub fn age(self, now_ms: i64) -> Age {
        let life_ms = self.not_after_ms.saturating_sub(self.not_before_ms);
        let lived_ms = now_ms.saturating_sub(self.not_before_ms);
        if now_ms > self.not_after_ms {
            Age::Ended
        } else if lived_ms >= life_ms / 4 * 3 {
            Age::Critical
        } else if lived_ms >= life_ms / 2 {
            Age::Late
        } else if lived_ms >= life_ms / RENEW_AFTER_LIFE_DIVISOR {
            Age::Due
        } else {
            Age::Fresh
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn renewal_is_due_at_a_third_late_at_half_and_critical_at_three_quarters() {
        let life = CertificateLife {
            not_before_ms: 0,
            not_after_ms: 1200,
        };
        let ages = [0, 399, 400, 600, 900, 1200, 1201].map(|now_ms| life.age(now_ms));
        assert_eq!(
            ages,
            [
                Age::Fresh,
                Age::Fresh,
                Age::Due,
                Age::Late,
                Age::Critical,
                Age::Critical,
                Age::Ended
            ]
        );
    }
}
