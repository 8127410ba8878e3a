//! The state of the line to the relay, as the uplink reports it and the page, the metrics and
//! `tancho-agent status` read it. Holds figures, and what the relay asks for about a request, which is a person's words:
//! only the page shows it.

pub mod certificate;
pub mod history;
pub mod keeper;
mod rate;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use serde::Serialize;
use tancho_domain::ids::ObjectId;
use tancho_wire::frame::{LeftOut, Returned};
use tokio::sync::watch;

use crate::clock::Clock;
use history::{Bin, History, Point, Span};
use rate::{RATE_WINDOW_MS, RateWindow};

pub use certificate::{Age, CertificateLife};

/// Studies of which it is remembered how they are on their way.
const STUDIES_MAX: usize = 1024;
/// What the buffers below us take at once when work begins says nothing about the line: it is left out of its rate.
const SETTLE_MS: i64 = 100;
/// Loss is stated of the packets of this time.
const LOSS_WINDOW_MS: i64 = 60_000;
/// Loss that people are told of is that of this time.
const HEAVY_LOSS_WINDOW_MS: i64 = 300_000;

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

impl LinkState {
    fn is_connected(&self) -> bool {
        matches!(self, Self::Connected { .. })
    }

    /// Whether it is connected over TCP.
    #[must_use]
    pub fn is_tcp(&self) -> bool {
        matches!(self, Self::Connected { transport, .. } if transport == "tcp")
    }
}

/// A reading of the board.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct LinkStatus {
    /// Connection state.
    #[serde(flatten)]
    pub link: LinkState,
    /// `host:port` of the relay, once it is known.
    pub relay_address: Option<String>,
    /// Container bytes put on the line since start.
    pub bytes_sent: u64,
    /// Mean over the last five seconds, bytes per second.
    pub bytes_per_second: u64,
    /// When the last container byte was put on the line, since start.
    pub last_sent_at_ms: Option<i64>,
    /// Round trip as last measured: by QUIC, or over TCP by the heartbeat, which waits behind what is being sent.
    pub rtt_ms: Option<f64>,
    /// Share of the packets of the last minute that was lost, 0 to 1; `None` when few were sent, and over TCP, whose
    /// losses the system keeps to itself.
    pub loss: Option<f64>,
    /// The same of the last five minutes.
    #[serde(skip)]
    pub lasting_loss: Option<f64>,
    /// The site's cap on the line, bytes per second.
    pub rate_cap_bytes_per_s: Option<u64>,
    /// Whether the cap holds work back now.
    pub is_capped: bool,
    /// When routine work may go again, while the site's hours keep it back.
    pub routine_waits_until_ms: Option<i64>,
    /// Why the relay takes nothing for now: a stable code such as `disk_full`.
    pub relay_defers: Option<String>,
    /// The relay's clock minus this computer's.
    pub clock_offset_ms: Option<i64>,
    /// End of the node's certificate.
    pub certificate_ends_at_ms: Option<i64>,
    /// How much of the certificate's life has passed.
    #[serde(skip)]
    pub certificate_age: Option<Age>,
}

/// What the uplink does with the line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flow {
    /// There is nothing to put on it.
    Idle,
    /// There is more than it carries.
    Sending,
    /// The site's cap keeps it back.
    Capped,
}

/// Counters of a QUIC connection, or what is known of one over TCP.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Measured {
    /// Round trip, microseconds.
    pub rtt_us: Option<u64>,
    /// Packets sent since the reading before.
    pub n_packets: u64,
    /// Packets found lost since the reading before.
    pub n_lost: u64,
}

/// A study on the line.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct StudyFlow {
    /// Instances that a reader can look at, as far as the relay has said.
    pub n_shown: u64,
    /// When the last byte of it was put on the line, since start.
    pub last_sent_at_ms: Option<i64>,
    /// Mean of its own bytes over the last five seconds.
    pub bytes_per_second: u64,
}

/// What the relay wants from the technologist about a study's request.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Asked {
    /// What the reader needs first.
    pub returned: Option<Returned>,
    /// Answers of the newest form that the relay did not take.
    pub left_out: Vec<LeftOut>,
}

#[derive(Default)]
struct Study {
    n_shown: u64,
    asked: Asked,
    last_sent_at_ms: Option<i64>,
    rate: RateWindow,
}

/// Work waits for the line, or for its cap, without a break.
#[derive(Debug, Clone, Copy)]
struct Run {
    began_ms: i64,
    /// When the last bytes were taken.
    last_ms: i64,
}

#[derive(Default)]
struct Figures {
    link: Option<LinkState>,
    relay_address: Option<String>,
    bytes_sent: u64,
    last_sent_at_ms: Option<i64>,
    /// Highest byte count reported for each object that has no receipt yet.
    in_flight: HashMap<ObjectId, u64>,
    studies: HashMap<String, Study>,
    rate: RateWindow,
    history: History,
    looked_at_ms: Option<i64>,
    run: Option<Run>,
    capped_from_ms: Option<i64>,
    last_capped_at_ms: Option<i64>,
    rtt_us: Option<u64>,
    rate_cap_bytes_per_s: Option<u64>,
    routine_waits_until_ms: Option<i64>,
    relay_defers: Option<String>,
    clock_offset_ms: Option<i64>,
    certificate: Option<CertificateLife>,
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
        Self {
            figures: Arc::default(),
            changed: watch::Sender::new(0),
            clock,
        }
    }

    /// Reports a change of the connection.
    pub fn set_link(&self, link: LinkState) {
        self.look();
        self.with(|figures| {
            if !link.is_connected() {
                figures.rtt_us = None;
                figures.clock_offset_ms = None;
                figures.relay_defers = None;
            }
            figures.link = Some(link);
        });
        self.bump();
    }

    /// Reports where the relay is and what the site allows on the line.
    pub fn set_relay(&self, address: String, rate_cap_bytes_per_s: Option<u64>) {
        self.with(|figures| {
            figures.relay_address = Some(address);
            figures.rate_cap_bytes_per_s = rate_cap_bytes_per_s;
        });
        self.bump();
    }

    /// Reports the life of the node's certificate.
    pub fn set_certificate(&self, life: CertificateLife) {
        self.with(|figures| figures.certificate = Some(life));
        self.bump();
    }

    /// Reports whether the site's hours keep routine work back, and until when.
    pub fn set_routine_waits_until(&self, until_ms: Option<i64>) {
        let was = self.with(|figures| std::mem::replace(&mut figures.routine_waits_until_ms, until_ms));
        if was != until_ms {
            self.bump();
        }
    }

    /// Reports that the relay takes an object later, or takes objects again.
    pub fn set_relay_defers(&self, code: Option<String>) {
        let is_news = self.with(|figures| {
            let is_news = figures.relay_defers != code;
            figures.relay_defers = code;
            is_news
        });
        if is_news {
            self.bump();
        }
    }

    /// Reports how far the relay's clock is ahead of this computer's.
    pub fn set_clock_offset(&self, offset_ms: i64) {
        self.with(|figures| figures.clock_offset_ms = Some(offset_ms));
    }

    /// Reports what was measured on the connection.
    pub fn measure(&self, measured: Measured) {
        let now_ms = self.clock.now_ms();
        self.with(|figures| {
            figures.rtt_us = measured.rtt_us.or(figures.rtt_us);
            figures.history.note(now_ms, |bin| {
                bin.n_packets += measured.n_packets;
                bin.n_lost += measured.n_lost;
                if let Some(rtt_us) = measured.rtt_us {
                    bin.rtt_sum_us += rtt_us;
                    bin.n_rtts += 1;
                }
            });
        });
    }

    /// Counts the time since the last look as connected or not. Called every few seconds and at each change.
    pub fn look(&self) {
        let now_ms = self.clock.now_ms();
        self.with(|figures| {
            let before_ms = figures.looked_at_ms.replace(now_ms).unwrap_or(now_ms);
            if now_ms < before_ms {
                figures.history.forget_after(now_ms);
                figures.run = None;
                return;
            }
            let (is_up, is_tcp) = match &figures.link {
                Some(link) => (link.is_connected(), link.is_tcp()),
                None => (false, false),
            };
            figures.history.note_span(before_ms, now_ms, |bin, ms| {
                let time = if is_up { &mut bin.up_ms } else { &mut bin.down_ms };
                *time += ms;
                bin.tcp_ms += if is_tcp { ms } else { 0 };
            });
        });
    }

    /// Reports what the uplink does with the line from now on.
    pub fn set_flow(&self, flow: Flow) {
        let now_ms = self.clock.now_ms();
        self.with(|figures| {
            if let Some(from_ms) = figures.capped_from_ms.take() {
                figures
                    .history
                    .note_span(from_ms, now_ms, |bin, ms| bin.capped_ms += ms);
                figures.last_capped_at_ms = Some(now_ms);
            }
            let begun = Run {
                began_ms: now_ms,
                last_ms: now_ms,
            };
            figures.run = match flow {
                Flow::Idle => None,
                Flow::Sending | Flow::Capped => Some(figures.run.unwrap_or(begun)),
            };
            figures.capped_from_ms = (flow == Flow::Capped).then_some(now_ms);
        });
    }

    /// Reports that `bytes` more container bytes of `object_id` were put on the line.
    pub fn add_sent(&self, object_id: &ObjectId, study_instance_uid: &str, bytes: u64) {
        let now_ms = self.clock.now_ms();
        self.with(|figures| {
            figures.bytes_sent += bytes;
            figures.last_sent_at_ms = Some(now_ms);
            *figures.in_flight.entry(object_id.clone()).or_default() += bytes;
            figures.rate.add(now_ms, bytes);
            let study = figures.study(study_instance_uid);
            study.last_sent_at_ms = Some(now_ms);
            study.rate.add(now_ms, bytes);
            figures.history.note(now_ms, |bin| bin.bytes += bytes);
            if let Some(run) = &mut figures.run {
                let (began_ms, from_ms) = (run.began_ms, std::mem::replace(&mut run.last_ms, now_ms));
                if from_ms - began_ms >= SETTLE_MS {
                    // Bytes within one millisecond are taken to have needed it.
                    let span_ms = (now_ms - from_ms).max(1);
                    figures.history.note_span(now_ms - span_ms, now_ms, |bin, ms| {
                        bin.busy_ms += ms;
                        bin.busy_bytes += bytes * ms / span_ms.unsigned_abs();
                    });
                }
            }
        });
        self.bump();
    }

    /// Forgets the progress of an object: it was receipted, or its connection ended.
    pub fn clear_sent(&self, object_id: &ObjectId) {
        self.with(|figures| figures.in_flight.remove(object_id));
        self.bump();
    }

    /// Reports how many instances of a study a reader can look at.
    pub fn set_shown(&self, study_instance_uid: &str, n_instances: u64) {
        self.with(|figures| figures.study(study_instance_uid).n_shown = n_instances);
        self.bump();
    }

    /// Instances of a study that a reader can look at, as far as the relay has said.
    #[must_use]
    pub fn shown(&self, study_instance_uid: &str) -> u64 {
        self.with(|figures| {
            let study = figures.studies.get(study_instance_uid);
            study.map_or(0, |study| study.n_shown)
        })
    }

    /// Notes what the relay wants to know about a study's request.
    pub fn set_asked(&self, study_instance_uid: &str, asked: Asked) {
        self.with(|figures| {
            // Most studies are asked nothing, and need no entry for it.
            if asked != Asked::default() || figures.studies.contains_key(study_instance_uid) {
                figures.study(study_instance_uid).asked = asked;
            }
        });
        self.bump();
    }

    /// What the relay wants to know about the requests of studies, of those it asks something.
    #[must_use]
    pub fn asked(&self) -> HashMap<String, Asked> {
        self.with(|figures| {
            let studies = figures.studies.iter();
            let asked = studies.filter(|(_, study)| study.asked != Asked::default());
            asked
                .map(|(uid, study)| (uid.clone(), study.asked.clone()))
                .collect()
        })
    }

    /// How studies are on their way, as far as they are remembered.
    #[must_use]
    pub fn study_flows(&self) -> HashMap<String, StudyFlow> {
        let now_ms = self.clock.now_ms();
        let flow = |study: &Study| StudyFlow {
            n_shown: study.n_shown,
            last_sent_at_ms: study.last_sent_at_ms,
            bytes_per_second: study.rate.bytes_per_second(now_ms),
        };
        self.with(|figures| {
            let studies = figures.studies.iter();
            studies.map(|(uid, study)| (uid.clone(), flow(study))).collect()
        })
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
        self.with(|figures| figures.status(now_ms))
    }

    /// What the line was like, for a graph.
    #[must_use]
    pub fn points(&self, span: Span) -> Vec<Point> {
        self.look();
        let now_ms = self.clock.now_ms();
        self.with(|figures| figures.history.points(span, now_ms))
    }

    /// What the line was like in each minute from an instant on.
    #[must_use]
    pub fn minutes_since(&self, at_ms: i64) -> Vec<Bin> {
        self.with(|figures| figures.history.coarse_since(at_ms))
    }

    /// Adds what an earlier run noted.
    pub fn restore(&self, minutes: Vec<Bin>) {
        let now_ms = self.clock.now_ms();
        self.with(|figures| figures.history.restore(minutes, now_ms));
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

impl Figures {
    /// A study's figures. When too many studies are known, the others are forgotten until they are spoken of again.
    fn study(&mut self, study_instance_uid: &str) -> &mut Study {
        if self.studies.len() >= STUDIES_MAX && !self.studies.contains_key(study_instance_uid) {
            self.studies.clear();
        }
        self.studies.entry(study_instance_uid.to_owned()).or_default()
    }

    fn status(&self, now_ms: i64) -> LinkStatus {
        let link = self.link.clone().unwrap_or(LinkState::Connecting);
        let loss = |window_ms| {
            let (n_packets, n_lost) = self.history.packets(now_ms, window_ms);
            let is_known = link.is_connected() && !link.is_tcp();
            history::loss(n_packets, n_lost).filter(|_| is_known)
        };
        let is_lately = |at_ms: i64| (0..=RATE_WINDOW_MS).contains(&(now_ms - at_ms));
        LinkStatus {
            relay_address: self.relay_address.clone(),
            bytes_sent: self.bytes_sent,
            bytes_per_second: self.rate.bytes_per_second(now_ms),
            last_sent_at_ms: self.last_sent_at_ms,
            rtt_ms: self.rtt_us.map(|us| us as f64 / 1_000.0),
            loss: loss(LOSS_WINDOW_MS),
            lasting_loss: loss(HEAVY_LOSS_WINDOW_MS),
            rate_cap_bytes_per_s: self.rate_cap_bytes_per_s,
            is_capped: self.capped_from_ms.is_some() || self.last_capped_at_ms.is_some_and(is_lately),
            routine_waits_until_ms: self.routine_waits_until_ms,
            relay_defers: self.relay_defers.clone(),
            clock_offset_ms: self.clock_offset_ms,
            certificate_ends_at_ms: self.certificate.map(|life| life.not_after_ms),
            certificate_age: self.certificate.map(|life| life.age(now_ms)),
            link,
        }
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    fn connected(transport: &str) -> LinkState {
        LinkState::Connected {
            since_ms: 0,
            transport: transport.to_owned(),
        }
    }

    #[test]
    fn what_can_be_looked_at_is_remembered_for_so_many_studies() {
        let (clock, _) = Clock::manual(1_000_000);
        let board = LinkBoard::new(clock);
        for study in 0..STUDIES_MAX as u64 {
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
            board.add_sent(&object, "1.2", 500);
            hand.advance_ms(1_000);
        }
        assert_eq!(board.status().bytes_per_second, 500);
        assert_eq!(board.study_flows()["1.2"].bytes_per_second, 500);
        assert_eq!(board.sent(&object), 2_000);
        hand.advance_ms(RATE_WINDOW_MS * 2);
        assert_eq!(board.status().bytes_per_second, 0);
        assert_eq!(board.status().bytes_sent, 2_000);
        assert_eq!(board.study_flows()["1.2"].last_sent_at_ms, Some(1_003_000));
        board.clear_sent(&object);
        assert_eq!(board.sent(&object), 0);
    }

    /// Sends for `n` steps of 100 ms, at 1 MB/s, after a buffer took a megabyte at once.
    fn send(board: &LinkBoard, hand: &crate::clock::ClockHand, n: u32) {
        let object = ObjectId::new(Uuid::from_u128(1));
        board.set_flow(Flow::Sending);
        board.add_sent(&object, "1.2", 1_000_000);
        for _ in 0..n {
            hand.advance_ms(100);
            board.set_flow(Flow::Sending);
            board.add_sent(&object, "1.2", 100_000);
        }
        board.set_flow(Flow::Idle);
    }

    #[test]
    fn what_a_buffer_takes_at_once_is_no_rate() {
        let (clock, hand) = Clock::manual(1_700_000_000_000);
        let board = LinkBoard::new(clock);
        board.set_link(connected("quic"));
        send(&board, &hand, 0);
        let point = |board: &LinkBoard| *board.points(Span::Hour).last().unwrap();
        assert_eq!(
            (point(&board).bytes, point(&board).bytes_per_second),
            (1_000_000, None)
        );
        send(&board, &hand, 20);
        assert_eq!(point(&board).bytes_per_second, Some(1_000_000));
        hand.advance_ms(4_000);
        send(&board, &hand, 20);
        assert_eq!(
            point(&board).bytes_per_second,
            Some(1_000_000),
            "the pause is not in it"
        );
    }

    #[test]
    fn a_capped_line_says_so_and_its_pauses_are_in_its_rate() {
        let (clock, hand) = Clock::manual(1_700_000_000_000);
        let board = LinkBoard::new(clock);
        board.set_relay("relay.example:4433".to_owned(), Some(100_000));
        board.set_link(connected("quic"));
        let object = ObjectId::new(Uuid::from_u128(1));
        for _ in 0..9 {
            board.set_flow(Flow::Sending);
            board.add_sent(&object, "1.2", 100_000);
            board.set_flow(Flow::Capped);
            hand.advance_ms(1_000);
        }
        assert!(board.status().is_capped);
        board.set_flow(Flow::Idle);
        let point = board.points(Span::Hour)[0];
        assert_eq!((point.bytes_per_second, point.capped_ms), (Some(100_000), 9_000));
        hand.advance_ms(RATE_WINDOW_MS + 1);
        assert!(!board.status().is_capped);
        assert_eq!(board.status().rate_cap_bytes_per_s, Some(100_000));
    }

    #[test]
    fn the_time_up_down_and_over_tcp_is_counted_and_loss_over_tcp_is_not_known() {
        let (clock, hand) = Clock::manual(1_700_000_000_000);
        let board = LinkBoard::new(clock);
        board.set_link(connected("quic"));
        hand.advance_ms(4_000);
        let measured = Measured {
            rtt_us: Some(42_000),
            n_packets: 200,
            n_lost: 4,
        };
        board.measure(measured);
        let status = board.status();
        assert_eq!((status.rtt_ms, status.loss), (Some(42.0), Some(0.02)));
        board.set_link(LinkState::Offline {
            since_ms: 0,
            code: "unreachable".to_owned(),
            next_attempt_at_ms: None,
        });
        assert_eq!((board.status().rtt_ms, board.status().loss), (None, None));
        hand.advance_ms(3_000);
        board.set_link(connected("tcp"));
        hand.advance_ms(2_000);
        assert_eq!(board.status().loss, None);
        let point = board.points(Span::Hour)[0];
        assert_eq!((point.up_ms, point.down_ms, point.tcp_ms), (6_000, 3_000, 2_000));
        assert_eq!((point.rtt_ms, point.loss), (Some(42.0), Some(0.02)));
    }

    #[test]
    fn a_clock_that_is_set_back_does_not_end_the_measuring() {
        let (clock, hand) = Clock::manual(1_700_000_000_000);
        let board = LinkBoard::new(clock);
        board.set_link(connected("quic"));
        hand.advance_ms(5_000);
        board.look();
        hand.advance_ms(-86_400_000);
        board.look();
        hand.advance_ms(5_000);
        let points = board.points(Span::Hour);
        assert_eq!(points.iter().map(|point| point.up_ms).sum::<u64>(), 5_000);
    }
}
