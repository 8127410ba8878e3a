//! The state of the line to the relay, as the uplink reports it and the page, the metrics and
//! `tancho-agent status` read it. Holds figures only, never patient data.

use std::collections::HashMap;
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use serde::Serialize;
use tancho_domain::ids::ObjectId;
use tokio::sync::watch;

use crate::clock::Clock;

/// Span over which the rate of the line is averaged.
const RATE_WINDOW_MS: i64 = 5_000;
/// Finest step of the rate's history, so that its memory is bounded.
const RATE_STEP_MS: i64 = 100;

/// Studies of which it is remembered how much of them can be looked at.
const STUDIES_SHOWN_MAX: usize = 1024;

/// Whether there is a connection to the relay, and if not, since when and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case", tag = "state")]
pub enum LinkState {
    /// No certificate yet: `tancho-agent enroll` was not run.
    NotEnrolled,
    /// First attempt since start.
    Connecting,
    /// Connected and authenticated.
    Connected {
        /// Since when.
        since_ms: i64,
        /// `quic` or `tcp`.
        transport: String,
    },
    /// No connection; the uplink keeps trying.
    Offline {
        /// When the last connection ended, or the first attempt failed.
        since_ms: i64,
        /// Stable code, such as `unreachable` or `certificate_refused`.
        code: String,
        /// When the next attempt starts.
        next_attempt_at_ms: Option<i64>,
    },
}

/// A reading of the board.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct LinkStatus {
    /// Connection state.
    #[serde(flatten)]
    pub link: LinkState,
    /// Container bytes put on the line since start.
    pub bytes_sent: u64,
    /// Mean over the last five seconds, bytes per second.
    pub bytes_per_second: u64,
}

struct Figures {
    link: LinkState,
    bytes_sent: u64,
    /// Highest byte count reported for each object that has no receipt yet.
    in_flight: HashMap<ObjectId, u64>,
    /// Instances of each study that a reader can look at, as the relay last said.
    shown: HashMap<String, u64>,
    /// (instant, bytes sent in that step), oldest first.
    history: VecDeque<(i64, u64)>,
}

/// Shared board: the uplink writes, everyone else reads.
#[derive(Clone)]
pub struct LinkBoard {
    figures: Arc<Mutex<Figures>>,
    changed: watch::Sender<u64>,
    clock: Clock,
}

impl LinkBoard {
    /// A board that says `Connecting`.
    #[must_use]
    pub fn new(clock: Clock) -> Self {
        let figures = Figures {
            link: LinkState::Connecting,
            bytes_sent: 0,
            in_flight: HashMap::new(),
            shown: HashMap::new(),
            history: VecDeque::new(),
        };
        Self {
            figures: Arc::new(Mutex::new(figures)),
            changed: watch::Sender::new(0),
            clock,
        }
    }

    /// Reports a change of the connection.
    pub fn set_link(&self, link: LinkState) {
        self.with(|figures| figures.link = link);
        self.bump();
    }

    /// Reports that `bytes` more container bytes of `object_id` were put on the line.
    pub fn add_sent(&self, object_id: &ObjectId, bytes: u64) {
        let now_ms = self.clock.now_ms();
        self.with(|figures| {
            figures.bytes_sent += bytes;
            *figures.in_flight.entry(object_id.clone()).or_default() += bytes;
            match figures.history.back_mut() {
                Some((at_ms, sum)) if now_ms - *at_ms < RATE_STEP_MS => *sum += bytes,
                _ => figures.history.push_back((now_ms, bytes)),
            }
            while figures
                .history
                .front()
                .is_some_and(|(at_ms, _)| now_ms - at_ms > RATE_WINDOW_MS)
            {
                figures.history.pop_front();
            }
        });
        self.bump();
    }

    /// Forgets the progress of an object: it was receipted, or its connection ended.
    pub fn clear_sent(&self, object_id: &ObjectId) {
        self.with(|figures| figures.in_flight.remove(object_id));
        self.bump();
    }

    /// Reports how many instances of a study a reader can look at. When too many studies are known, the others are
    /// forgotten until the relay speaks of them again.
    pub fn set_shown(&self, study_instance_uid: &str, n_instances: u64) {
        self.with(|figures| {
            let is_new = !figures.shown.contains_key(study_instance_uid);
            if is_new && figures.shown.len() >= STUDIES_SHOWN_MAX {
                figures.shown.clear();
            }
            figures.shown.insert(study_instance_uid.to_owned(), n_instances);
        });
        self.bump();
    }

    /// Instances of a study that a reader can look at, as far as the relay has said.
    #[must_use]
    pub fn shown(&self, study_instance_uid: &str) -> u64 {
        self.with(|figures| figures.shown.get(study_instance_uid).copied().unwrap_or(0))
    }

    /// Bytes of `object_id` put on the line and not yet receipted.
    #[must_use]
    pub fn sent(&self, object_id: &ObjectId) -> u64 {
        self.with(|figures| figures.in_flight.get(object_id).copied().unwrap_or(0))
    }

    /// Bytes on the line of all objects without a receipt.
    #[must_use]
    pub fn in_flight(&self) -> HashMap<ObjectId, u64> {
        self.with(|figures| figures.in_flight.clone())
    }

    /// The figures now.
    #[must_use]
    pub fn status(&self) -> LinkStatus {
        let now_ms = self.clock.now_ms();
        self.with(|figures| {
            let recent = figures
                .history
                .iter()
                .filter(|(at_ms, _)| now_ms - at_ms <= RATE_WINDOW_MS);
            let (mut sum, mut oldest_ms) = (0, now_ms);
            for (at_ms, bytes) in recent {
                sum += bytes;
                oldest_ms = oldest_ms.min(*at_ms);
            }
            let span_ms = (now_ms - oldest_ms).clamp(1_000, RATE_WINDOW_MS).unsigned_abs();
            LinkStatus {
                link: figures.link.clone(),
                bytes_sent: figures.bytes_sent,
                bytes_per_second: sum * 1_000 / span_ms,
            }
        })
    }

    /// Bumps whenever something on the board changed.
    #[must_use]
    pub fn subscribe(&self) -> watch::Receiver<u64> {
        self.changed.subscribe()
    }

    fn bump(&self) {
        self.changed.send_modify(|version| *version += 1);
    }

    fn with<T>(&self, act: impl FnOnce(&mut Figures) -> T) -> T {
        act(&mut self.figures.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    #[test]
    fn what_can_be_looked_at_is_remembered_for_so_many_studies() {
        let (clock, _) = Clock::manual(1_000_000);
        let board = LinkBoard::new(clock);
        for study in 0..STUDIES_SHOWN_MAX as u64 {
            board.set_shown(&format!("1.{study}"), study);
        }
        board.set_shown("1.7", 8);
        assert_eq!((board.shown("1.7"), board.shown("1.9")), (8, 9));
        board.set_shown("2.1", 5);
        assert_eq!((board.shown("2.1"), board.shown("1.9")), (5, 0));
    }

    #[test]
    fn the_rate_is_a_mean_over_the_last_seconds() {
        let (clock, hand) = Clock::manual(1_000_000);
        let board = LinkBoard::new(clock);
        let object = ObjectId::new(Uuid::from_u128(1));
        for _ in 0..4 {
            board.add_sent(&object, 500);
            hand.advance_ms(1_000);
        }
        assert_eq!(board.status().bytes_per_second, 500);
        assert_eq!(board.sent(&object), 2_000);
        hand.advance_ms(RATE_WINDOW_MS * 2);
        assert_eq!(board.status().bytes_per_second, 0);
        assert_eq!(board.status().bytes_sent, 2_000);
        board.clear_sent(&object);
        assert_eq!(board.sent(&object), 0);
    }
}
