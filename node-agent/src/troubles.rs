//! What is wrong on the way to the relay and what a person has to know of it, as facts with stable codes. The page
//! and `tancho-agent status` put them into words; the rules when to say something are here.

use serde::Serialize;
use tancho_domain::dicom::Priority;
use tancho_wire::limits::CLOCK_OFFSET_ALARM_MS;

use crate::deliver::{Deliveries, DestinationPicture};
use crate::link::{Age, LinkBoard, LinkState, LinkStatus};
use crate::spool::{Room, Spool, Waiting};

/// An outage this long is an alarm; a shorter one usually ends by itself.
const OUTAGE_ALARM_MS: i64 = 60_000;
/// On TCP, QUIC is tried again after a few seconds; after this time UDP counts as blocked.
const UDP_BLOCKED_AFTER_MS: i64 = 15_000;
/// Lost packets of the last five minutes from which on people are told: the line still carries, but is not well.
const HEAVY_LOSS: f64 = 0.05;
/// A destination that does not take anything is spoken of after this time.
const DELIVERY_WARNING_MS: i64 = 60_000;
/// And is an alarm after this time.
const DELIVERY_ALARM_MS: i64 = 60 * 60_000;
/// Work on a line that works is spoken of when some of it waited so long.
const WAITING_LONG_MS: i64 = 15 * 60_000;

/// How loudly it is said.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Level {
    /// Somebody has to act now.
    Alarm,
    /// Somebody has to act in time.
    Warning,
    /// Good to know; nobody has to act.
    Info,
}

/// Something a person has to know.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Trouble {
    /// How loudly.
    pub level: Level,
    /// What.
    #[serde(flatten)]
    pub what: What,
}

/// What is wrong.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "snake_case", tag = "code")]
pub enum What {
    /// `tancho-agent enroll` was not run.
    NotEnrolled,
    /// There is no connection to the relay.
    RelayUnreachable {
        /// Since when.
        since_ms: i64,
        /// The code of the line's state.
        reason: String,
        /// When the next attempt starts.
        next_attempt_at_ms: Option<i64>,
    },
    /// The node's certificate should have been renewed by now.
    CertificateEnds {
        /// When.
        ends_at_ms: i64,
    },
    /// The relay takes the node's certificate no more.
    CertificateEnded {
        /// Since when.
        ended_at_ms: i64,
    },
    /// No new images are taken.
    DiskFull {
        /// Free bytes.
        free_bytes: u64,
        /// Bytes that intake leaves free.
        reserve_bytes: u64,
    },
    /// Soon no new images are taken.
    DiskLow {
        /// Free bytes.
        free_bytes: u64,
        /// Bytes that intake leaves free.
        reserve_bytes: u64,
    },
    /// The disk does not say how full it is.
    DiskUnknown,
    /// The line runs over TCP because UDP does not get through.
    UdpBlocked {
        /// Since when.
        since_ms: i64,
        /// Where UDP has to get through to.
        relay_address: Option<String>,
    },
    /// This computer's clock and the relay's differ.
    ClockOff {
        /// The relay's clock minus this computer's.
        offset_ms: i64,
    },
    /// The line loses much.
    HeavyLoss {
        /// Share of packets, 0 to 1.
        loss: f64,
    },
    /// The relay takes nothing for now.
    RelayDefers {
        /// Why, a stable code.
        reason: String,
    },
    /// A destination of deliveries does not answer or take anything.
    DeliveryFailing {
        /// Its name.
        destination: String,
        /// Why, a stable code.
        reason: String,
        /// Since when every call failed.
        since_ms: i64,
        /// Objects that wait for it.
        n_objects: u64,
    },
    /// Objects that a destination does not have, and that are not tried again by themselves.
    DeliveryLost {
        /// Its name.
        destination: String,
        /// Why most of them, a stable code.
        reason: String,
        /// How many.
        n_objects: u64,
    },
    /// Images wait to be sent.
    Waiting {
        /// How many.
        n_objects: u64,
        /// Bytes that have to cross the line.
        bytes: u64,
        /// When the one came that waits longest.
        oldest_at_ms: i64,
        /// What they wait for.
        reason: Reason,
        /// With `hours`, when routine work may go again.
        until_ms: Option<i64>,
        /// With `cap`, bytes per second that the site allows.
        cap_bytes_per_s: Option<u64>,
        /// How long the rest takes at the rate measured now.
        left_ms: Option<u64>,
    },
}

/// What images wait for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// For a connection.
    Offline,
    /// For the hours in which routine work may go.
    Hours,
    /// For the relay to take them.
    Relay,
    /// For their turn under the site's cap.
    Cap,
    /// For their turn on the line.
    Line,
}

/// What the rules look at.
#[derive(Debug)]
pub struct Facts {
    /// Now, milliseconds UTC.
    pub now_ms: i64,
    /// The line.
    pub link: LinkStatus,
    /// The disk; `None` when it could not be measured.
    pub room: Option<Room>,
    /// Images that are to be sent.
    pub waiting: Waiting,
    /// Where received objects are delivered to.
    pub deliveries: Vec<DestinationPicture>,
}

impl Facts {
    /// The facts of a running agent at this moment.
    #[must_use]
    pub fn gather(spool: &Spool, board: &LinkBoard, deliveries: &Deliveries, now_ms: i64) -> Self {
        Self {
            now_ms,
            link: board.status(),
            room: spool.room().ok(),
            waiting: spool.waiting(),
            deliveries: deliveries.picture(),
        }
    }
}

/// Everything a person has to know, the loudest first.
#[must_use]
pub fn troubles(facts: &Facts) -> Vec<Trouble> {
    let found = [line(facts), disk(facts), certificate(facts), waiting(facts)];
    let told = [udp(facts), clock(facts), loss(facts), relay_defers(facts)];
    let mut all: Vec<Trouble> = found.into_iter().chain(told).flatten().collect();
    let destinations = facts.deliveries.iter();
    all.extend(destinations.flat_map(|one| delivery(one, facts.now_ms)).flatten());
    all.sort_by_key(|trouble| trouble.level);
    all
}

fn trouble(level: Level, what: What) -> Option<Trouble> {
    Some(Trouble { level, what })
}

fn line(facts: &Facts) -> Option<Trouble> {
    match &facts.link.link {
        LinkState::NotEnrolled => trouble(Level::Alarm, What::NotEnrolled),
        LinkState::Offline {
            since_ms,
            code,
            next_attempt_at_ms,
        } => {
            let passes = matches!(
                code.as_str(),
                "unreachable" | "line_failed" | "closed" | "shutting_down" | "timeout" | "replaced"
            );
            let is_short = facts.now_ms - since_ms < OUTAGE_ALARM_MS;
            let level = if passes && is_short {
                Level::Warning
            } else {
                Level::Alarm
            };
            let what = What::RelayUnreachable {
                since_ms: *since_ms,
                reason: code.clone(),
                next_attempt_at_ms: *next_attempt_at_ms,
            };
            trouble(level, what)
        }
        LinkState::Connecting | LinkState::Connected { .. } => None,
    }
}

fn disk(facts: &Facts) -> Option<Trouble> {
    let Some(room) = facts.room else {
        return trouble(Level::Alarm, What::DiskUnknown);
    };
    let (free_bytes, reserve_bytes) = (room.free_bytes, room.reserve_bytes);
    if !room.allows_intake() {
        let what = What::DiskFull {
            free_bytes,
            reserve_bytes,
        };
        trouble(Level::Alarm, what)
    } else if room.is_short() {
        let what = What::DiskLow {
            free_bytes,
            reserve_bytes,
        };
        trouble(Level::Warning, what)
    } else {
        None
    }
}

fn certificate(facts: &Facts) -> Option<Trouble> {
    let ends_at_ms = facts.link.certificate_ends_at_ms?;
    match facts.link.certificate_age? {
        Age::Fresh | Age::Due => None,
        Age::Late => trouble(Level::Warning, What::CertificateEnds { ends_at_ms }),
        Age::Critical => trouble(Level::Alarm, What::CertificateEnds { ends_at_ms }),
        Age::Ended => trouble(
            Level::Alarm,
            What::CertificateEnded {
                ended_at_ms: ends_at_ms,
            },
        ),
    }
}

fn udp(facts: &Facts) -> Option<Trouble> {
    let LinkState::Connected { since_ms, .. } = &facts.link.link else {
        return None;
    };
    if !facts.link.link.is_tcp() || facts.now_ms - since_ms < UDP_BLOCKED_AFTER_MS {
        return None;
    }
    let what = What::UdpBlocked {
        since_ms: *since_ms,
        relay_address: facts.link.relay_address.clone(),
    };
    trouble(Level::Warning, what)
}

fn clock(facts: &Facts) -> Option<Trouble> {
    let offset_ms = facts.link.clock_offset_ms?;
    if offset_ms.saturating_abs() <= CLOCK_OFFSET_ALARM_MS {
        return None;
    }
    trouble(Level::Warning, What::ClockOff { offset_ms })
}

fn loss(facts: &Facts) -> Option<Trouble> {
    let loss = facts.link.lasting_loss.filter(|loss| *loss >= HEAVY_LOSS)?;
    trouble(Level::Warning, What::HeavyLoss { loss })
}

fn relay_defers(facts: &Facts) -> Option<Trouble> {
    let reason = facts.link.relay_defers.clone()?;
    trouble(Level::Warning, What::RelayDefers { reason })
}

fn delivery(one: &DestinationPicture, now_ms: i64) -> [Option<Trouble>; 2] {
    let reason = |code: Option<&String>| code.cloned().unwrap_or_default();
    let failing = one.standing.failing_since_ms.and_then(|since_ms| {
        let lasts_ms = now_ms - since_ms;
        let level = match lasts_ms {
            DELIVERY_ALARM_MS.. => Level::Alarm,
            DELIVERY_WARNING_MS.. => Level::Warning,
            _ => return None,
        };
        let what = What::DeliveryFailing {
            destination: one.name.clone(),
            reason: reason(one.standing.last_error.as_ref().map(|error| &error.code)),
            since_ms,
            n_objects: one.figures.n_waiting,
        };
        trouble(level, what)
    });
    let lost = (one.figures.n_lost() > 0).then(|| What::DeliveryLost {
        destination: one.name.clone(),
        reason: reason(one.figures.reason_lost.as_ref()),
        n_objects: one.figures.n_lost(),
    });
    [failing, lost.and_then(|what| trouble(Level::Alarm, what))]
}

fn waiting(facts: &Facts) -> Option<Trouble> {
    let Facts { link, waiting, .. } = facts;
    let oldest_at_ms = waiting.oldest_at_ms?;
    let is_up = matches!(link.link, LinkState::Connected { .. });
    let only_routine = waiting.n_objects == waiting.n_of(Priority::Routine);
    let is_old = facts.now_ms - oldest_at_ms >= WAITING_LONG_MS;
    let (level, reason) = if !is_up {
        // A start connects within seconds; there is nothing to say of it yet.
        if link.link == LinkState::Connecting {
            return None;
        }
        (Level::Warning, Reason::Offline)
    } else if link.routine_waits_until_ms.is_some() && only_routine {
        (Level::Info, Reason::Hours)
    } else if link.relay_defers.is_some() {
        (Level::Warning, Reason::Relay)
    } else if link.is_capped {
        (Level::Info, Reason::Cap)
    } else if is_old {
        (Level::Info, Reason::Line)
    } else {
        return None;
    };
    let rate = if is_up { link.bytes_per_second } else { 0 };
    let what = What::Waiting {
        n_objects: waiting.n_objects,
        bytes: waiting.bytes,
        oldest_at_ms,
        reason,
        until_ms: link.routine_waits_until_ms.filter(|_| reason == Reason::Hours),
        cap_bytes_per_s: link.rate_cap_bytes_per_s.filter(|_| reason == Reason::Cap),
        left_ms: (waiting.bytes.saturating_mul(1_000)).checked_div(rate),
    };
    trouble(level, what)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Clock;

    const NOW: i64 = 1_700_000_000_000;

    fn connected(transport: &str, since_ms: i64) -> LinkState {
        LinkState::Connected {
            since_ms,
            transport: transport.to_owned(),
        }
    }

    fn offline(code: &str, since_ms: i64) -> LinkState {
        LinkState::Offline {
            since_ms,
            code: code.to_owned(),
            next_attempt_at_ms: Some(NOW + 1_000),
        }
    }

    /// A node of which nothing has to be said.
    fn well() -> Facts {
        let (clock, _) = Clock::manual(NOW);
        let mut link = LinkBoard::new(clock).status();
        link.link = connected("quic", NOW - 3_600_000);
        Facts {
            now_ms: NOW,
            link,
            room: Some(Room {
                free_bytes: 100,
                total_bytes: 200,
                reserve_bytes: 10,
            }),
            deliveries: Vec::new(),
            waiting: Waiting::default(),
        }
    }

    fn images(n_objects: u64, priority: Priority, oldest_at_ms: i64) -> Waiting {
        let mut waiting = Waiting::default();
        for _ in 0..n_objects {
            waiting.add(priority, 1, 500_000, oldest_at_ms);
        }
        waiting
    }

    fn told(change: impl FnOnce(&mut Facts)) -> Vec<(Level, What)> {
        let mut facts = well();
        change(&mut facts);
        let all = troubles(&facts).into_iter();
        all.map(|trouble| (trouble.level, trouble.what)).collect()
    }

    fn levels(change: impl FnOnce(&mut Facts)) -> Vec<Level> {
        told(change).into_iter().map(|(level, _)| level).collect()
    }

    #[test]
    fn a_node_that_is_well_says_nothing() {
        assert_eq!(told(|_| {}), []);
        let busy = told(|facts| facts.waiting = images(245, Priority::Stat, NOW - 60_000));
        assert_eq!(busy, [], "images on their way are no trouble");
    }

    #[test]
    fn an_outage_is_an_alarm_when_it_lasts_or_only_a_person_can_end_it() {
        assert_eq!(
            levels(|facts| facts.link.link = offline("unreachable", NOW - 5_000)),
            [Level::Warning]
        );
        assert_eq!(
            levels(|facts| facts.link.link = offline("unreachable", NOW - 60_000)),
            [Level::Alarm]
        );
        for code in [
            "certificate_refused",
            "relay_not_trusted",
            "clock_wrong",
            "node_denied",
        ] {
            let found = told(|facts| facts.link.link = offline(code, NOW));
            let what = What::RelayUnreachable {
                since_ms: NOW,
                reason: code.to_owned(),
                next_attempt_at_ms: Some(NOW + 1_000),
            };
            assert_eq!(found, [(Level::Alarm, what)]);
        }
        assert_eq!(
            levels(|facts| facts.link.link = LinkState::NotEnrolled),
            [Level::Alarm]
        );
        assert_eq!(levels(|facts| facts.link.link = LinkState::Connecting), []);
    }

    #[test]
    fn a_certificate_is_spoken_of_from_half_its_life_on_and_loudly_from_three_quarters() {
        let with = |age| {
            levels(|facts| {
                facts.link.certificate_ends_at_ms = Some(NOW);
                facts.link.certificate_age = Some(age);
            })
        };
        assert_eq!(with(Age::Fresh), []);
        assert_eq!(with(Age::Due), []);
        assert_eq!(with(Age::Late), [Level::Warning]);
        assert_eq!(with(Age::Critical), [Level::Alarm]);
        assert_eq!(with(Age::Ended), [Level::Alarm]);
    }

    #[test]
    fn the_disk_warns_at_twice_the_reserve_and_alarms_at_it() {
        let with = |free_bytes| {
            levels(|facts| {
                facts.room = Some(Room {
                    free_bytes,
                    total_bytes: 200,
                    reserve_bytes: 10,
                });
            })
        };
        assert_eq!(with(20), []);
        assert_eq!(with(19), [Level::Warning]);
        assert_eq!(with(10), [Level::Alarm]);
        assert_eq!(
            told(|facts| facts.room = None),
            [(Level::Alarm, What::DiskUnknown)]
        );
    }

    #[test]
    fn udp_counts_as_blocked_when_the_line_stays_on_tcp() {
        let on_tcp = |for_ms| {
            told(|facts| {
                facts.link.link = connected("tcp", NOW - for_ms);
                facts.link.relay_address = Some("relay.example:4433".to_owned());
            })
        };
        assert_eq!(on_tcp(UDP_BLOCKED_AFTER_MS - 1), []);
        let what = What::UdpBlocked {
            since_ms: NOW - UDP_BLOCKED_AFTER_MS,
            relay_address: Some("relay.example:4433".to_owned()),
        };
        assert_eq!(on_tcp(UDP_BLOCKED_AFTER_MS), [(Level::Warning, what)]);
    }

    #[test]
    fn a_wrong_clock_and_a_lossy_line_are_spoken_of_beyond_their_limits() {
        let off = |offset_ms| levels(|facts| facts.link.clock_offset_ms = Some(offset_ms));
        assert_eq!(off(-CLOCK_OFFSET_ALARM_MS), []);
        assert_eq!(off(-CLOCK_OFFSET_ALARM_MS - 1), [Level::Warning]);
        assert_eq!(off(i64::MIN), [Level::Warning]);
        let lossy = |loss| levels(|facts| facts.link.lasting_loss = Some(loss));
        assert_eq!(lossy(0.02), []);
        assert_eq!(lossy(0.05), [Level::Warning]);
    }

    fn reason(change: impl FnOnce(&mut Facts)) -> Option<Reason> {
        let waits = |(_, what)| match what {
            What::Waiting { reason, .. } => Some(reason),
            _ => None,
        };
        told(change).into_iter().find_map(waits)
    }

    #[test]
    fn what_images_wait_for_is_named() {
        let old = NOW - WAITING_LONG_MS;
        assert_eq!(
            reason(|facts| facts.link.link = offline("unreachable", NOW)),
            None
        );
        let outage = reason(|facts| {
            facts.link.link = offline("unreachable", NOW);
            facts.waiting = images(3, Priority::Stat, NOW);
        });
        assert_eq!(outage, Some(Reason::Offline));
        let at_night = |priority| {
            reason(|facts| {
                facts.link.routine_waits_until_ms = Some(NOW + 3_600_000);
                facts.waiting = images(3, priority, NOW);
            })
        };
        assert_eq!(at_night(Priority::Routine), Some(Reason::Hours));
        assert_eq!(at_night(Priority::Stat), None, "hours keep no stat study back");
        let deferred = reason(|facts| {
            facts.link.relay_defers = Some("disk_full".to_owned());
            facts.waiting = images(3, Priority::Stat, NOW);
        });
        assert_eq!(deferred, Some(Reason::Relay));
        let on_line = |at_ms| reason(|facts| facts.waiting = images(3, Priority::Routine, at_ms));
        assert_eq!((on_line(old + 1), on_line(old)), (None, Some(Reason::Line)));
    }

    #[test]
    fn a_cap_that_keeps_images_back_is_named_with_the_time_left() {
        let found = told(|facts| {
            facts.link.rate_cap_bytes_per_s = Some(250_000);
            facts.link.is_capped = true;
            facts.link.bytes_per_second = 250_000;
            facts.waiting = images(4, Priority::Routine, NOW - 9_000);
        });
        let what = What::Waiting {
            n_objects: 4,
            bytes: 2_000_000,
            oldest_at_ms: NOW - 9_000,
            reason: Reason::Cap,
            until_ms: None,
            cap_bytes_per_s: Some(250_000),
            left_ms: Some(8_000),
        };
        assert_eq!(found, [(Level::Info, what)]);
    }

    #[test]
    fn the_loudest_comes_first_and_each_has_its_code() {
        let mut facts = well();
        facts.link.link = connected("tcp", 0);
        facts.room = None;
        facts.link.is_capped = true;
        facts.waiting = images(1, Priority::Routine, NOW);
        let json = serde_json::to_value(troubles(&facts)).unwrap();
        let codes: Vec<_> = (0..3).map(|n| json[n]["code"].as_str().unwrap()).collect();
        assert_eq!(codes, ["disk_unknown", "udp_blocked", "waiting"]);
        assert_eq!(json[2]["level"], "info");
        assert_eq!(json[2]["reason"], "cap");
    }

    #[test]
    fn a_destination_that_takes_nothing_grows_louder_and_what_it_lacks_is_an_alarm() {
        let mut facts = well();
        facts.deliveries = vec![DestinationPicture {
            name: "pacs".to_owned(),
            ae_title: "PACS".to_owned(),
            address: "192.0.2.9:104".to_owned(),
            storage_commitment: false,
            standing: crate::deliver::Standing {
                failing_since_ms: Some(NOW - 1_000),
                ..Default::default()
            },
            figures: crate::deliver::Figures::default(),
        }];
        assert_eq!(troubles(&facts), []);
        for (lasts_ms, level) in [(60_000, Level::Warning), (3_600_000, Level::Alarm)] {
            facts.deliveries[0].standing.failing_since_ms = Some(NOW - lasts_ms);
            assert_eq!(troubles(&facts)[0].level, level);
        }
        facts.deliveries[0].standing.failing_since_ms = None;
        facts.deliveries[0].figures.n_gone = 2;
        facts.deliveries[0].figures.reason_lost = Some("deleted_before_delivery".to_owned());
        let lost = What::DeliveryLost {
            destination: "pacs".to_owned(),
            reason: "deleted_before_delivery".to_owned(),
            n_objects: 2,
        };
        assert_eq!(
            troubles(&facts),
            [Trouble {
                level: Level::Alarm,
                what: lost
            }]
        );
    }
}
