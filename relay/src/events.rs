//! What changed, told live to everyone who may see it: server-sent events with resume.
//!
//! An event carries ids only; the page asks again for what it needs. The last events are kept in a ring, so that a
//! page that was cut off for a moment misses nothing; one that was away longer gets `reset` and asks for everything.
//! Publish after the commit, never before: a page that asks at once must find the change.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use serde_json::Value;
use tancho_domain::access::{Principal, Reach};
use tancho_domain::ids::{NetworkId, SiteId, UserId};
use tokio::sync::broadcast;

pub mod routes;

/// Events kept for pages that come back.
pub const EVENTS_KEPT_MAX: usize = 4096;
/// Events one slow page may fall behind before it gets `reset`.
const EVENTS_BEHIND_MAX: usize = 1024;

/// Who may know about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Audience {
    /// People of these sites, and whoever sees the whole network.
    Sites(Vec<SiteId>),
    /// One person.
    User(UserId),
}

/// Something that changed.
#[derive(Debug, Clone, PartialEq)]
pub struct Event {
    /// In which network.
    pub network_id: NetworkId,
    /// Who may know.
    pub audience: Audience,
    /// `worklist`, `study`, `study_bytes`, `notification` or `reading_request`.
    pub name: &'static str,
    /// Ids and counts only.
    pub data: Value,
}

/// An event with its place in the order of this run of the relay.
#[derive(Debug)]
pub struct Published {
    /// From 1.
    pub number: u64,
    /// The event.
    pub event: Event,
}

impl Published {
    /// Whether this person may know.
    #[must_use]
    pub fn is_for(&self, person: &Principal) -> bool {
        if self.event.network_id != person.network_id {
            return false;
        }
        match (&self.event.audience, person.scope().reach) {
            (Audience::Sites(_), Reach::Network) => true,
            (Audience::Sites(sites), Reach::Site(site_id)) => sites.contains(&site_id),
            (Audience::User(user_id), _) => *user_id == person.user_id,
        }
    }
}

/// Where events are published and followed.
#[derive(Debug)]
pub struct EventHub {
    run: String,
    ring: Mutex<Ring>,
    live: broadcast::Sender<Arc<Published>>,
}

#[derive(Debug, Default)]
struct Ring {
    last_number: u64,
    kept: VecDeque<Arc<Published>>,
}

/// What a page gets when it starts to follow.
#[derive(Debug)]
pub struct Following {
    /// Events it missed, oldest first; `None` when they are no longer known.
    pub missed: Option<Vec<Arc<Published>>>,
    /// The newest event before the live ones.
    pub last_number: u64,
    /// Events from now on.
    pub live: broadcast::Receiver<Arc<Published>>,
}

impl EventHub {
    /// A hub with no events; `run` tells this run of the relay from the one before.
    #[must_use]
    pub fn new(run: String) -> Self {
        let (live, _) = broadcast::channel(EVENTS_BEHIND_MAX);
        Self {
            run,
            ring: Mutex::new(Ring::default()),
            live,
        }
    }

    /// Tells everyone who follows.
    pub fn publish(&self, event: Event) {
        let mut ring = self.lock();
        ring.last_number += 1;
        let published = Arc::new(Published {
            number: ring.last_number,
            event,
        });
        if ring.kept.len() == EVENTS_KEPT_MAX {
            ring.kept.pop_front();
        }
        ring.kept.push_back(Arc::clone(&published));
        // Sent under the lock, so that the ring and the live events are in one order. Nobody listening is fine.
        let _ = self.live.send(published);
    }

    /// The id a page sends back as `Last-Event-ID`.
    #[must_use]
    pub fn id_of(&self, number: u64) -> String {
        format!("{}-{number}", self.run)
    }

    /// Follows from now, or from just after `last_event_id`.
    #[must_use]
    pub fn follow(&self, last_event_id: Option<&str>) -> Following {
        let ring = self.lock();
        let live = self.live.subscribe();
        let last_number = ring.last_number;
        let Some(last_event_id) = last_event_id else {
            return Following {
                missed: Some(Vec::new()),
                last_number,
                live,
            };
        };
        let seen = last_event_id
            .rsplit_once('-')
            .filter(|(run, _)| *run == self.run)
            .and_then(|(_, number)| number.parse::<u64>().ok())
            .filter(|seen| *seen <= ring.last_number);
        let oldest_kept = ring
            .kept
            .front()
            .map_or(ring.last_number + 1, |published| published.number);
        let missed = seen.filter(|seen| seen + 1 >= oldest_kept).map(|seen| {
            ring.kept
                .iter()
                .filter(|published| published.number > seen)
                .map(Arc::clone)
                .collect()
        });
        Following {
            missed,
            last_number,
            live,
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Ring> {
        self.ring
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use tancho_domain::access::Role;
    use uuid::Uuid;

    use super::*;

    fn event(network: u128, audience: Audience) -> Event {
        Event {
            network_id: NetworkId::new(Uuid::from_u128(network)),
            audience,
            name: "worklist",
            data: serde_json::json!({}),
        }
    }

    fn site(n: u128) -> SiteId {
        SiteId::new(Uuid::from_u128(n))
    }

    fn person(network: u128, role: Role, at: u128) -> Principal {
        Principal {
            network_id: NetworkId::new(Uuid::from_u128(network)),
            user_id: UserId::new(Uuid::from_u128(9)),
            role,
            site_id: site(at),
        }
    }

    #[test]
    fn events_reach_the_sites_they_concern_and_nobody_else() {
        let to_site = Published {
            number: 1,
            event: event(1, Audience::Sites(vec![site(5)])),
        };
        assert!(to_site.is_for(&person(1, Role::Reader, 5)));
        assert!(to_site.is_for(&person(1, Role::Admin, 6)));
        assert!(!to_site.is_for(&person(1, Role::Reader, 6)));
        assert!(!to_site.is_for(&person(2, Role::Admin, 5)));
        let to_person = Published {
            number: 1,
            event: event(1, Audience::User(UserId::new(Uuid::from_u128(9)))),
        };
        assert!(to_person.is_for(&person(1, Role::Reader, 6)));
        assert!(!to_person.is_for(&person(2, Role::Reader, 6)));
    }

    #[test]
    fn a_page_that_was_cut_off_gets_what_it_missed_and_nothing_twice() {
        let hub = EventHub::new("a".to_owned());
        for _ in 0..5 {
            hub.publish(event(1, Audience::Sites(vec![])));
        }
        let numbers = |missed: Option<Vec<Arc<Published>>>| {
            missed.map(|events| events.iter().map(|event| event.number).collect::<Vec<_>>())
        };
        assert_eq!(numbers(hub.follow(None).missed), Some(vec![]));
        assert_eq!(numbers(hub.follow(Some("a-3")).missed), Some(vec![4, 5]));
        assert_eq!(numbers(hub.follow(Some("a-5")).missed), Some(vec![]));
        for unknown in ["a-6", "b-3", "nonsense", "a-", "-", ""] {
            assert_eq!(numbers(hub.follow(Some(unknown)).missed), None, "{unknown}");
        }
    }

    #[test]
    fn a_page_that_was_away_too_long_is_told_to_start_over() {
        let hub = EventHub::new("a".to_owned());
        for _ in 0..=EVENTS_KEPT_MAX {
            hub.publish(event(1, Audience::Sites(vec![])));
        }
        assert!(hub.follow(Some("a-0")).missed.is_none());
        assert_eq!(
            hub.follow(Some("a-1")).missed.map(|missed| missed.len()),
            Some(EVENTS_KEPT_MAX)
        );
    }
}
