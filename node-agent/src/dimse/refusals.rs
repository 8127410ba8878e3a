//! Associations that were not accepted: counted by reason, logged, and the latest kept for the page, so that a
//! modality with a wrong title is found at once.
//!
//! What a peer calls itself is untrusted: its title is kept short and printable. A peer that tries again and again is
//! one entry with a count.

use std::collections::VecDeque;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use serde::Serialize;
use tokio::sync::watch;

use super::status::Rejection;
use crate::clock::Clock;

/// Refusals kept for the page; the oldest make room.
pub const RECENT_MAX: usize = 50;
/// Longest title (PS3.8 section 9.3.2).
const TITLE_CHARS_MAX: usize = 16;

/// Refusals of one caller for one reason.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Refused {
    /// When it last happened.
    pub at_ms: i64,
    /// Calling application entity title; empty when it was not read.
    pub calling_ae: String,
    /// Called application entity title; empty when it was not read.
    pub called_ae: String,
    /// Network address.
    pub address: String,
    /// Stable code of the reason.
    pub code: &'static str,
    /// How often.
    pub n_times: u64,
}

/// Refusals by the label `reason`.
pub type RefusalCounters = Family<[(&'static str, &'static str); 1], Counter>;

/// All refusals since start; clones share them.
#[derive(Clone)]
pub struct Refusals {
    recent: Arc<Mutex<VecDeque<Refused>>>,
    counters: RefusalCounters,
    changed: watch::Sender<u64>,
    clock: Clock,
}

impl Refusals {
    /// None yet.
    #[must_use]
    pub fn new(clock: Clock) -> Self {
        let counters = RefusalCounters::default();
        for rejection in Rejection::ALL {
            drop(counters.get_or_create(&[("reason", rejection.code())]));
        }
        Self {
            recent: Arc::default(),
            counters,
            changed: watch::Sender::new(0),
            clock,
        }
    }

    /// Records a refusal; `titles` are the calling and the called title as far as they were read.
    pub fn record(&self, rejection: Rejection, peer: IpAddr, titles: Option<(&str, &str)>) {
        let (calling, called) = titles.unwrap_or_default();
        let refused = Refused {
            at_ms: self.clock.now_ms(),
            calling_ae: printable(calling),
            called_ae: printable(called),
            address: peer.to_canonical().to_string(),
            code: rejection.code(),
            n_times: 1,
        };
        self.counters.get_or_create(&[("reason", refused.code)]).inc();
        let refused = self.keep(refused);
        // A peer that tries all day long fills neither the page nor the log.
        if refused.n_times.is_power_of_two() {
            tracing::warn!(
                peer = refused.address,
                association.calling_ae = refused.calling_ae,
                association.called_ae = refused.called_ae,
                code = refused.code,
                n_times = refused.n_times,
                "association rejected"
            );
        }
        self.changed.send_modify(|version| *version += 1);
    }

    fn keep(&self, mut refused: Refused) -> Refused {
        let mut recent = self.recent.lock().unwrap_or_else(PoisonError::into_inner);
        let is_same = |old: &Refused| {
            (&old.calling_ae, &old.called_ae, &old.address, old.code)
                == (
                    &refused.calling_ae,
                    &refused.called_ae,
                    &refused.address,
                    refused.code,
                )
        };
        if let Some(old) = recent.iter().position(is_same).and_then(|at| recent.remove(at)) {
            refused.n_times += old.n_times;
        }
        recent.push_front(refused.clone());
        recent.truncate(RECENT_MAX);
        refused
    }

    /// The latest refusals, newest first.
    #[must_use]
    pub fn recent(&self) -> Vec<Refused> {
        self.recent
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .iter()
            .cloned()
            .collect()
    }

    /// Counts for the metrics.
    #[must_use]
    pub fn counters(&self) -> RefusalCounters {
        self.counters.clone()
    }

    /// Bumps at every refusal.
    #[must_use]
    pub fn subscribe(&self) -> watch::Receiver<u64> {
        self.changed.subscribe()
    }
}

fn printable(title: &str) -> String {
    title
        .trim_matches([' ', '\0'])
        .chars()
        .take(TITLE_CHARS_MAX)
        .map(|c| if c == ' ' || c.is_ascii_graphic() { c } else { '?' })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flt_018_refusals_are_kept_newest_first_counted_and_bounded() {
        let (clock, hand) = Clock::manual(1_000);
        let refusals = Refusals::new(clock);
        let peer = IpAddr::from([192, 0, 2, 7]);
        for _ in 0..3 {
            refusals.record(Rejection::CallingAeUnknown, peer, Some(("CT9 ", "TANCHO")));
            hand.advance_ms(1_000);
        }
        refusals.record(Rejection::LimitExceeded, peer, None);
        let recent = refusals.recent();
        assert_eq!(recent.len(), 2);
        assert_eq!(
            (recent[0].code, recent[0].calling_ae.as_str()),
            ("association_limit", "")
        );
        let expected = Refused {
            at_ms: 3_000,
            calling_ae: "CT9".to_owned(),
            called_ae: "TANCHO".to_owned(),
            address: "192.0.2.7".to_owned(),
            code: "calling_ae_unknown",
            n_times: 3,
        };
        assert_eq!(recent[1], expected);
        for n in 0..RECENT_MAX {
            refusals.record(
                Rejection::CalledAeUnknown,
                peer,
                Some((&format!("X{n}"), "OTHER")),
            );
        }
        assert_eq!(refusals.recent().len(), RECENT_MAX);
        let counter = refusals.counters();
        let n = |reason| counter.get_or_create(&[("reason", reason)]).get();
        assert_eq!(
            (n("calling_ae_unknown"), n("called_ae_unknown")),
            (3, RECENT_MAX as u64)
        );
    }

    #[test]
    fn flt_119_a_title_with_control_characters_cannot_forge_a_log_line() {
        assert_eq!(printable("CT\n\u{1b}[31m\u{202e}道"), "CT??[31m??");
        assert_eq!(printable("A TITLE THAT IS MUCH TOO LONG"), "A TITLE THAT IS ");
    }
}
