//! Hello and Welcome: which version and features a connection uses, and how far the clocks are apart.

use crate::close::{CloseCode, Violation};
use crate::frame::{Hello, Pong};
use crate::limits::{FEATURES_MAX, VERSION_MAX, VERSION_MIN};

/// The relay keeps bytes of an offered instance that come before it has answered the Offer, and the agent counts what it
/// sent so: it saves a round trip.
pub const FEATURE_EARLY: u16 = 1;

/// Optional parts of the protocol this build has, by number.
pub const FEATURES: &[u16] = &[FEATURE_EARLY];

/// What the two ends agreed on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Agreed {
    /// The highest version both speak.
    pub version: u16,
    /// Features both have.
    pub features: Vec<u16>,
}

/// The relay's decision about a Hello.
pub fn negotiate(hello: &Hello) -> Result<Agreed, Violation> {
    if hello.features_required.len() > FEATURES_MAX || hello.features_supported.len() > FEATURES_MAX {
        return Err(Violation::limit("a hello names too many features"));
    }
    let version = hello.version_max.min(VERSION_MAX);
    if version < hello.version_min.max(VERSION_MIN) {
        return Err(Violation {
            code: CloseCode::VERSION,
            what: "no common protocol version",
        });
    }
    if hello
        .features_required
        .iter()
        .any(|feature| !FEATURES.contains(feature))
    {
        return Err(Violation {
            code: CloseCode::FEATURE,
            what: "a required feature is not supported",
        });
    }
    let features = hello
        .features_supported
        .iter()
        .copied()
        .filter(|feature| FEATURES.contains(feature))
        .collect();
    Ok(Agreed { version, features })
}

/// How far the peer's wall clock is ahead of ours, from one Ping and its Pong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClockOffset {
    /// Peer's clock minus ours in milliseconds; wrong by at most half of `round_trip_ms`.
    pub offset_ms: i64,
    /// Time from Ping to Pong in milliseconds.
    pub round_trip_ms: i64,
}

impl ClockOffset {
    /// From a Pong and our own clock when it came.
    #[must_use]
    pub fn measure(pong: &Pong, now_ms: i64) -> Self {
        let round_trip_ms = now_ms.saturating_sub(pong.ping_now_ms).max(0);
        let middle_ms = pong.ping_now_ms.saturating_add(round_trip_ms / 2);
        Self {
            offset_ms: pong.now_ms.saturating_sub(middle_ms),
            round_trip_ms,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hello(version_min: u16, version_max: u16) -> Hello {
        Hello {
            version_min,
            version_max,
            boot_id: [0; 16],
            software: "test".into(),
            now_ms: 0,
            features_required: vec![],
            features_supported: vec![],
        }
    }

    #[test]
    fn the_highest_common_version_is_used() {
        assert_eq!(
            negotiate(&hello(1, 9)).map(|agreed| agreed.version),
            Ok(VERSION_MAX)
        );
        let refused = negotiate(&hello(VERSION_MAX + 1, VERSION_MAX + 2)).expect_err("too new");
        assert_eq!(refused.code, CloseCode::VERSION);
    }

    #[test]
    fn unknown_features_are_ignored_unless_required() {
        let optional = Hello {
            features_supported: vec![999, FEATURE_EARLY],
            ..hello(1, 1)
        };
        assert_eq!(
            negotiate(&optional).map(|agreed| agreed.features),
            Ok(vec![FEATURE_EARLY])
        );
        let required = Hello {
            features_required: vec![999],
            ..hello(1, 1)
        };
        assert_eq!(
            negotiate(&required).expect_err("required").code,
            CloseCode::FEATURE
        );
    }

    #[test]
    fn the_clock_offset_takes_the_middle_of_the_round_trip() {
        let pong = Pong {
            seq: 1,
            ping_now_ms: 1_000,
            now_ms: 61_050,
        };
        assert_eq!(
            ClockOffset::measure(&pong, 1_100),
            ClockOffset {
                offset_ms: 60_000,
                round_trip_ms: 100
            }
        );
        let stepped_back = Pong {
            seq: 1,
            ping_now_ms: i64::MAX,
            now_ms: i64::MIN,
        };
        assert_eq!(ClockOffset::measure(&stepped_back, 0).round_trip_ms, 0);
    }
}
