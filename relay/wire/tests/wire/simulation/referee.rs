//! Watches what the sender puts on the line, knowing only what the relay asked for, and judges each choice by the
//! plain sentences of the protocol, by trying everything instead of keeping order.

use std::collections::{HashMap, HashSet};

use tancho_domain::dicom::{Priority, SeriesInstanceUid, SopInstanceUid, StudyInstanceUid};
use tancho_wire::frame::{Focus, Offer, Want};
use tancho_wire::limits::{EARLY_BYTES_MAX, RANGE_BYTES_MAX, RATE_CAP_BYTES_PER_S_MIN};
use tancho_wire::transfer::{Outbound, RangeSet, RangeToSend};
use tancho_wire::{Digest, Frame};

use super::agent::Agent;

/// Two studies of a class that are both busy differ by no more than this.
const TURNS_BYTES_MAX: i64 = 3 * RANGE_BYTES_MAX as i64;

#[derive(Default)]
pub struct Referee {
    offered: HashSet<Digest>,
    /// Asked for on this connection, or allowed before that, and not sent.
    wanted: HashMap<Digest, RangeSet>,
    /// Whether the relay takes bytes before it has asked for them.
    takes_early: bool,
    /// Offered since the start of the sender.
    ever_offered: HashSet<Digest>,
    /// What was sent of instances that are not answered, and what may be sent of each.
    early: HashMap<Digest, (RangeSet, u64)>,
    /// Bytes that were sent so and then refused, or whose answer was lost: the relay may have dropped them.
    pub early_bytes_lost: u64,
    pub n_early: u64,
    /// Instances of each series in the order in which the sender heard of them.
    known: HashMap<StudyInstanceUid, HashMap<SeriesInstanceUid, Vec<SopInstanceUid>>>,
    /// Containers the sender knows.
    members: HashMap<Digest, StudyInstanceUid>,
    /// A focus that no range has followed yet.
    focus: HashMap<StudyInstanceUid, Focus>,
    /// What the first study of a pair has sent more than the second since both are busy.
    lead_bytes: HashMap<(StudyInstanceUid, StudyInstanceUid), i64>,
    bytes: HashMap<Priority, u64>,
    /// Sent by a class while a higher one was busy.
    contended_bytes: HashMap<Priority, u64>,
    /// Sent by higher classes since a class had its turn.
    patience_bytes: HashMap<Priority, u64>,
    since_ms: u64,
    pub n_focus_followed: u64,
    pub n_overtaken: u64,
}

/// A container with bytes to send.
struct Need<'a> {
    object: &'a Outbound,
    /// The lowest pass with wanted bytes.
    pass: usize,
}

fn passes(object: &Outbound) -> [std::ops::Range<u64>; 3] {
    let preview_end = object.preview_end.unwrap_or(object.head_end);
    [
        0..object.head_end,
        object.head_end..preview_end,
        preview_end..object.container_len,
    ]
}

impl Referee {
    /// A new sender, which knows nothing and owes nothing.
    pub fn restart(&mut self, now_ms: u64) {
        *self = Self {
            since_ms: now_ms,
            n_focus_followed: self.n_focus_followed,
            n_overtaken: self.n_overtaken,
            n_early: self.n_early,
            early_bytes_lost: self.early_bytes_lost,
            ..Self::default()
        };
    }

    pub fn disconnect(&mut self) {
        self.offered.clear();
        self.wanted.clear();
        let unanswered = std::mem::take(&mut self.early);
        self.early_bytes_lost += unanswered.values().map(|(sent, _)| sent.len()).sum::<u64>();
        self.takes_early = false;
    }

    pub fn set_takes_early(&mut self) {
        self.takes_early = true;
    }

    pub fn on_listed(&mut self, agent: &Agent) {
        let listed = agent.listed();
        self.members = (listed.iter())
            .map(|object| (object.container_sha256, object.study_instance_uid.clone()))
            .collect();
        self.forget_studies();
        for object in listed {
            let study = self.known.entry(object.study_instance_uid.clone()).or_default();
            let series = study.entry(object.series_instance_uid.clone()).or_default();
            if !series.contains(&object.sop_instance_uid) {
                series.push(object.sop_instance_uid.clone());
            }
        }
    }

    /// The sender was told to forget a container.
    pub fn on_forgotten(&mut self, digest: &Digest) {
        self.members.remove(digest);
        self.forget_studies();
    }

    fn forget_studies(&mut self) {
        let studies: HashSet<_> = self.members.values().collect();
        self.known.retain(|study, _| studies.contains(study));
        self.focus.retain(|study, _| studies.contains(study));
    }

    pub fn on_offer(&mut self, offer: &Offer, agent: &Agent) {
        for item in &offer.items {
            let digest = item.container_sha256;
            self.offered.insert(digest);
            let object = &agent.spooled(&digest).object;
            let first = 0..passes(object)[1].end;
            let room = EARLY_BYTES_MAX - self.early.values().map(|(_, share)| share).sum::<u64>();
            let is_first = self.ever_offered.insert(digest);
            if is_first && object.is_new && self.takes_early && first.end <= room {
                self.early.insert(digest, (RangeSet::new(), first.end));
                self.wanted.entry(digest).or_default().insert(first);
            }
        }
    }

    /// A frame that the sender takes now.
    pub fn on_frame(&mut self, frame: &Frame) {
        match frame {
            Frame::Want(want) => self.on_want(want),
            Frame::Receipt(receipt) => {
                let is_forgetful = self.early.contains_key(&receipt.container_sha256);
                self.takes_early &= !is_forgetful;
                self.settle(&receipt.container_sha256);
            }
            Frame::Refusal(refusal) => {
                let early = self.early.get(&refusal.container_sha256);
                self.early_bytes_lost += early.map_or(0, |(sent, _)| sent.len());
                self.settle(&refusal.container_sha256);
            }
            Frame::Focus(focus) => {
                let study = self.known.get(&focus.study_instance_uid);
                let series = study.and_then(|study| study.get(&focus.series_instance_uid));
                match series.map(|series| series.contains(&focus.sop_instance_uid)) {
                    Some(true) => {
                        self.focus.insert(focus.study_instance_uid.clone(), focus.clone());
                    }
                    // It looks at the series, but at no place of it that the sender knows.
                    Some(false) => {
                        self.focus.remove(&focus.study_instance_uid);
                    }
                    None => {}
                }
            }
            _ => {}
        }
    }

    fn on_want(&mut self, want: &Want) {
        for item in &want.items {
            if self.offered.contains(&item.container_sha256) {
                let wanted = self.wanted.entry(item.container_sha256).or_default();
                let early = self.early.remove(&item.container_sha256);
                if early.is_some() {
                    *wanted = RangeSet::new();
                }
                item.ranges
                    .iter()
                    .for_each(|(start, end)| wanted.insert(*start..*end));
                if let Some((sent, _)) = early {
                    sent.iter().for_each(|range| wanted.remove(range));
                }
            }
        }
    }

    /// Answered, or not readable any more.
    pub fn settle(&mut self, digest: &Digest) {
        self.offered.remove(digest);
        self.wanted.remove(digest);
        self.early.remove(digest);
    }

    pub fn set_unreadable(&mut self, digest: &Digest) {
        self.wanted.remove(digest);
    }

    fn needs<'a>(&self, agent: &'a Agent) -> Vec<Need<'a>> {
        let need = |(digest, wanted): (&Digest, &RangeSet)| {
            let object = &agent.spooled(digest).object;
            let is_wanted = |within: &std::ops::Range<u64>| wanted.first_in(within.clone(), 1).is_some();
            let pass = passes(object).iter().position(is_wanted)?;
            let may = object.priority != Priority::Routine || agent.routine_allowed;
            may.then_some(Need { object, pass })
        };
        self.wanted.iter().filter_map(need).collect()
    }

    /// The sender says that there is nothing to send.
    pub fn on_nothing(&self, agent: &Agent) {
        assert!(
            self.needs(agent).is_empty(),
            "the line idles while bytes are wanted"
        );
    }

    /// The sender waits for its cap.
    pub fn on_wait(&self, agent: &Agent, now_ms: u64, until_ms: u64) {
        assert!(until_ms > now_ms);
        assert!(
            agent.config.rate_cap_bytes_per_s.is_some(),
            "nothing caps this line"
        );
        assert!(!self.needs(agent).is_empty());
    }

    pub fn on_range(&mut self, range: &RangeToSend, agent: &Agent, now_ms: u64) {
        let object = &agent.spooled(&range.container_sha256).object;
        let span = range.offset..range.offset + range.len;
        assert!(range.len > 0 && range.len <= RANGE_BYTES_MAX);
        assert_eq!(range.priority, object.priority);
        let wanted = self.wanted.get(&range.container_sha256);
        assert!(
            wanted.is_some_and(|wanted| wanted.contains(&span)),
            "a range goes once for each time it is asked for"
        );
        let needs = self.needs(agent);
        let pass = passes(object)
            .iter()
            .position(|within| within.start <= span.start && span.end <= within.end)
            .expect("a range lies in one pass");
        let of_study = |need: &&Need| need.object.study_instance_uid == object.study_instance_uid;
        let first = needs.iter().filter(of_study).map(|need| need.pass).min();
        assert_eq!(
            Some(pass),
            first,
            "heads, then low resolution, then the rest of a study"
        );
        if pass > 0 {
            self.judge_focus(object, pass, &needs);
        }
        self.judge_class(range, &needs, agent);
        self.judge_turns(range, object, &needs);
        if let Some(wanted) = self.wanted.get_mut(&range.container_sha256) {
            wanted.remove(span.clone());
        }
        if let Some((sent, _)) = self.early.get_mut(&range.container_sha256) {
            sent.insert(span);
            self.n_early += 1;
        }
        self.judge_rate(agent, now_ms);
    }

    fn judge_focus(&mut self, object: &Outbound, pass: usize, needs: &[Need]) {
        let Some(focus) = self.focus.remove(&object.study_instance_uid) else {
            return;
        };
        let on_screen: Vec<_> = needs
            .iter()
            .filter(|need| {
                need.pass == pass
                    && need.object.study_instance_uid == focus.study_instance_uid
                    && need.object.series_instance_uid == focus.series_instance_uid
            })
            .collect();
        if on_screen.is_empty() {
            return;
        }
        assert_eq!(object.series_instance_uid, focus.series_instance_uid);
        let series = &self.known[&focus.study_instance_uid][&focus.series_instance_uid];
        let position = |sop: &SopInstanceUid| series.iter().position(|known| known == sop);
        let centre = position(&focus.sop_instance_uid).unwrap();
        let distance = |sop: &SopInstanceUid| position(sop).unwrap().abs_diff(centre);
        let least = on_screen
            .iter()
            .map(|need| distance(&need.object.sop_instance_uid))
            .min();
        assert_eq!(
            Some(distance(&object.sop_instance_uid)),
            least,
            "the nearest goes first"
        );
        self.n_focus_followed += 1;
    }

    fn judge_class(&mut self, range: &RangeToSend, needs: &[Need], agent: &Agent) {
        let own = range.priority;
        let is_busy = |class: Priority| needs.iter().any(|need| need.object.priority == class);
        let share = |class: Priority| {
            u64::from(match class {
                Priority::Urgent => agent.config.urgent_share_per_mille,
                _ => agent.config.routine_share_per_mille,
            })
        };
        let higher_bytes = |class: Priority| -> u64 {
            let higher = self.bytes.iter().filter(|(other, _)| **other < class);
            higher.map(|(_, bytes)| bytes).sum()
        };
        if needs.iter().any(|need| need.object.priority < own) {
            let contended = self.contended_bytes.entry(own).or_default();
            *contended += range.len;
            assert!(
                *contended * 1000 <= higher_bytes(own) * share(own),
                "{own:?} took more than its share"
            );
        } else if needs.iter().any(|need| need.object.priority > own) {
            self.n_overtaken += 1;
        }
        for lower in [Priority::Urgent, Priority::Routine] {
            let patience = self.patience_bytes.entry(lower).or_default();
            if lower == own || !is_busy(lower) {
                *patience = 0;
            } else if own < lower {
                *patience += range.len;
                let most = RANGE_BYTES_MAX * 1000 / share(lower) + 3 * RANGE_BYTES_MAX;
                assert!(*patience <= most, "{lower:?} starves");
            }
        }
        *self.bytes.entry(own).or_default() += range.len;
    }

    fn judge_turns(&mut self, range: &RangeToSend, object: &Outbound, needs: &[Need]) {
        let busy: HashSet<_> = needs
            .iter()
            .filter(|need| need.object.priority == range.priority)
            .map(|need| &need.object.study_instance_uid)
            .collect();
        let is_busy = |study: &StudyInstanceUid| {
            let mut of_study = needs
                .iter()
                .filter(|need| need.object.study_instance_uid == *study);
            of_study.next().map(|need| need.object.priority)
        };
        self.lead_bytes
            .retain(|(a, b), _| is_busy(a).is_some() && is_busy(a) == is_busy(b));
        let own = &object.study_instance_uid;
        for other in busy.into_iter().filter(|other| *other != own) {
            let (pair, sign) = match own < other {
                true => ((own.clone(), other.clone()), 1),
                false => ((other.clone(), own.clone()), -1),
            };
            let lead = self.lead_bytes.entry(pair).or_default();
            *lead += sign * range.len as i64;
            assert!(
                lead.abs() <= TURNS_BYTES_MAX,
                "two studies of a class do not share fairly"
            );
        }
    }

    fn judge_rate(&self, agent: &Agent, now_ms: u64) {
        let Some(rate) = agent.config.rate_cap_bytes_per_s else {
            return;
        };
        let rate = rate.max(RATE_CAP_BYTES_PER_S_MIN);
        let burst = RANGE_BYTES_MAX.max(rate / 50);
        let most = rate * (now_ms - self.since_ms) / 1000 + burst + RANGE_BYTES_MAX;
        assert!(self.bytes.values().sum::<u64>() <= most, "over the cap");
    }
}
