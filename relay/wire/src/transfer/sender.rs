//! The agent's end: what to offer, which range to send next, what a receipt settles.
//!
//! It lives as long as the process and outlasts connections. It never deletes anything: it reports receipts, the
//! spool decides. Instants are milliseconds of a monotonic clock.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::ops::Range;

use tancho_domain::dicom::{Priority, StudyInstanceUid};
use tancho_domain::ids::CommandId;

use super::outbound::{
    NextRange, Outbound, RangeToSend, SenderConfig, SenderEvent, new_offer, offer_item, same_group,
};
use super::pace::Pace;
use super::places::{Place, Places, Seq};
use super::ranges::RangeSet;
use super::schedule::Schedule;
use super::study_order::{PASSES, Pass};
use crate::close::Violation;
use crate::digest::Digest;
use crate::frame::{Focus, Frame, Offer, Receipt, Refusal, RefusalKind, RequestForm, StudyManifest, Want};
use crate::limits::{
    EARLY_BYTES_MAX, OFFER_ITEMS_MAX, RANGE_BYTES_MAX, REOFFER_AFTER_MS, REQUESTS_OPEN_MAX, WANT_ITEMS_MAX,
    WANT_RANGES_MAX,
};

const CLASSES: [Priority; 3] = [Priority::Stat, Priority::Urgent, Priority::Routine];

#[derive(Debug)]
struct Entry {
    outbound: Outbound,
    place: Place,
    phase: Phase,
    wanted: RangeSet,
    early: Early,
    ahead_bytes: u64,
    listed_in: u64,
}

/// What goes before the relay has answered the Offer: it saves a round trip. Only of an instance that was never offered,
/// for of any other the relay may hold bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Early {
    /// Never offered.
    May,
    /// Offered early and not answered: what was sent of it, and what its share of the limit is.
    Sent(RangeSet, u64),
    /// Whatever goes was asked for.
    No,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// May be offered.
    Waiting,
    /// May be offered again at this instant.
    Delayed { until_ms: u64 },
    /// Offered on this connection.
    Offered { active_at_ms: u64 },
    /// Answered for good; kept until the spool stops listing it.
    Settled,
}

/// State machine of the agent's end.
#[derive(Debug)]
pub struct Sender {
    config: SenderConfig,
    entries: HashMap<Digest, Entry>,
    by_study: HashMap<StudyInstanceUid, Places>,
    delayed: BTreeMap<(u64, Seq), Digest>,
    /// Offered and to be offered once more. They keep their place among the open ones: the relay counts them too.
    repeats: VecDeque<Digest>,
    schedule: Schedule,
    pace: Pace,
    next_seq: Seq,
    sync_round: u64,
    /// `None` while no connection stands.
    offers_open_max: Option<usize>,
    /// The relay takes bytes before it has asked for them.
    takes_early: bool,
    /// The most that may have been sent so and is not answered.
    early_bytes: u64,
    manifests: BTreeMap<StudyInstanceUid, StudyManifest>,
    manifests_due: VecDeque<StudyInstanceUid>,
    requests: BTreeMap<CommandId, RequestForm>,
    requests_due: VecDeque<CommandId>,
}

impl Sender {
    /// A sender without objects and without a connection.
    #[must_use]
    pub fn new(config: SenderConfig) -> Self {
        Self {
            schedule: Schedule::new(config.urgent_share_per_mille, config.routine_share_per_mille),
            pace: Pace::new(config.rate_cap_bytes_per_s),
            config,
            entries: HashMap::new(),
            by_study: HashMap::new(),
            delayed: BTreeMap::new(),
            repeats: VecDeque::new(),
            next_seq: 0,
            sync_round: 0,
            offers_open_max: None,
            takes_early: false,
            early_bytes: 0,
            manifests: BTreeMap::new(),
            manifests_due: VecDeque::new(),
            requests: BTreeMap::new(),
            requests_due: VecDeque::new(),
        }
    }

    /// Takes the spool's whole list of objects without receipt, most urgent and oldest first.
    pub fn sync(&mut self, objects: impl IntoIterator<Item = Outbound>) {
        self.sync_round += 1;
        for outbound in objects {
            self.list(outbound);
        }
        // The list may be cut at its end. What is on the line stays there until the relay answers: its place is
        // taken at the relay as well.
        let round = self.sync_round;
        let is_gone =
            |entry: &Entry| entry.listed_in != round && !matches!(entry.phase, Phase::Offered { .. });
        let gone: Vec<Digest> = self
            .entries
            .iter()
            .filter(|(_, entry)| is_gone(entry))
            .map(|(digest, _)| *digest)
            .collect();
        for digest in gone {
            self.remove(&digest);
        }
    }

    fn list(&mut self, outbound: Outbound) {
        let digest = outbound.container_sha256;
        let round = self.sync_round;
        if let Some(entry) = self.entries.get_mut(&digest) {
            entry.listed_in = round;
            if entry.outbound.priority != outbound.priority {
                self.change_priority(&digest, outbound.priority);
            }
            return;
        }
        let seq = self.next_seq;
        self.next_seq += 1;
        let places = self
            .by_study
            .entry(outbound.study_instance_uid.clone())
            .or_default();
        let place = places.add(
            seq,
            digest,
            &outbound.series_instance_uid,
            &outbound.sop_instance_uid,
        );
        self.schedule
            .add_waiting(outbound.priority, &outbound.study_instance_uid, seq, digest);
        let entry = Entry {
            early: if outbound.is_new { Early::May } else { Early::No },
            outbound,
            place,
            phase: Phase::Waiting,
            wanted: RangeSet::new(),
            ahead_bytes: 0,
            listed_in: round,
        };
        self.entries.insert(digest, entry);
    }

    fn change_priority(&mut self, digest: &Digest, priority: Priority) {
        let Some(mut entry) = self.detach(digest) else {
            return;
        };
        entry.outbound.priority = priority;
        let uid = entry.outbound.study_instance_uid.clone();
        match entry.phase {
            Phase::Waiting => self
                .schedule
                .add_waiting(priority, &uid, entry.place.seq, *digest),
            Phase::Offered { .. } => {
                self.schedule.offered(priority, &uid, entry.place.seq, &[]);
                self.schedule.change_ahead(priority, 0, entry.ahead_bytes);
            }
            Phase::Delayed { until_ms } => {
                self.delayed.insert((until_ms, entry.place.seq), *digest);
            }
            Phase::Settled => {}
        }
        self.entries.insert(*digest, entry);
        self.refresh_ready(digest);
    }

    /// Takes an entry out of the map and out of the schedule.
    fn detach(&mut self, digest: &Digest) -> Option<Entry> {
        let entry = self.entries.remove(digest)?;
        let (class, uid) = (entry.outbound.priority, &entry.outbound.study_instance_uid);
        for pass in PASSES {
            self.schedule.clear_ready(class, uid, pass, &entry.place);
        }
        match entry.phase {
            Phase::Waiting => self.schedule.remove_waiting(class, uid, entry.place.seq),
            Phase::Offered { .. } => {
                self.schedule.change_ahead(class, entry.ahead_bytes, 0);
                self.schedule.unoffered(class, uid);
            }
            Phase::Delayed { until_ms } => {
                self.delayed.remove(&(until_ms, entry.place.seq));
            }
            Phase::Settled => {}
        }
        Some(entry)
    }

    fn remove(&mut self, digest: &Digest) {
        let Some(entry) = self.detach(digest) else { return };
        let uid = &entry.outbound.study_instance_uid;
        if let Some(places) = self.by_study.get_mut(uid) {
            places.members.remove(&entry.place.seq);
            if places.members.is_empty() {
                self.by_study.remove(uid);
            }
        }
    }

    /// Puts an entry into another phase; whatever was wanted of it is forgotten.
    fn set_phase(&mut self, digest: &Digest, phase: Phase) {
        let Some(mut entry) = self.detach(digest) else {
            return;
        };
        entry.phase = phase;
        entry.wanted = RangeSet::new();
        entry.ahead_bytes = 0;
        if let Early::Sent(_, share) = std::mem::replace(&mut entry.early, Early::No) {
            self.early_bytes -= share;
        }
        let (class, uid) = (entry.outbound.priority, &entry.outbound.study_instance_uid);
        match phase {
            Phase::Waiting => self.schedule.add_waiting(class, uid, entry.place.seq, *digest),
            Phase::Delayed { until_ms } => {
                self.delayed.insert((until_ms, entry.place.seq), *digest);
            }
            Phase::Offered { .. } | Phase::Settled => {}
        }
        self.entries.insert(*digest, entry);
    }

    /// Takes the spool's list of manifests; those that are new or changed go out.
    pub fn set_manifests(&mut self, manifests: impl IntoIterator<Item = StudyManifest>) {
        let before = std::mem::take(&mut self.manifests);
        for manifest in manifests {
            let uid = manifest.study_instance_uid.clone();
            if before.get(&uid) != Some(&manifest) && !self.manifests_due.contains(&uid) {
                self.manifests_due.push_back(uid.clone());
            }
            self.manifests.insert(uid, manifest);
        }
    }

    /// Takes the reading requests without a result; new ones go out, at most `REQUESTS_OPEN_MAX` are kept.
    pub fn set_requests(&mut self, requests: impl IntoIterator<Item = RequestForm>) {
        let before = std::mem::take(&mut self.requests);
        for request in requests.into_iter().take(REQUESTS_OPEN_MAX) {
            let id = request.command_id.clone();
            if !before.contains_key(&id) {
                self.requests_due.push_back(id.clone());
            }
            self.requests.insert(id, request);
        }
    }

    /// A connection stands and its Welcome has come.
    pub fn connected(&mut self, offers_open_max: u32) {
        self.disconnected();
        self.offers_open_max = Some(offers_open_max as usize);
        self.takes_early = false;
        self.manifests_due = self.manifests.keys().cloned().collect();
        self.requests_due = self.requests.keys().cloned().collect();
    }

    /// The relay of this connection takes bytes of instances before it has asked for them: `handshake::FEATURE_EARLY`.
    pub fn set_takes_early(&mut self) {
        self.takes_early = true;
    }

    /// The connection is gone: everything unanswered will be offered again.
    pub fn disconnected(&mut self) {
        self.offers_open_max = None;
        self.repeats.clear();
        let mut offered: Vec<(Seq, Digest)> = self
            .entries
            .iter()
            .filter(|(_, entry)| matches!(entry.phase, Phase::Offered { .. }))
            .map(|(digest, entry)| (entry.place.seq, *digest))
            .collect();
        offered.sort_unstable();
        for (_, digest) in offered {
            self.set_phase(&digest, Phase::Waiting);
        }
    }

    /// The next control frame to write, if any: requests, manifests, then offers by class.
    pub fn poll_frame(&mut self, now_ms: u64) -> Option<Frame> {
        let offers_open_max = self.offers_open_max?;
        while let Some(id) = self.requests_due.pop_front() {
            if let Some(request) = self.requests.get(&id) {
                return Some(Frame::Request(request.clone()));
            }
        }
        while let Some(uid) = self.manifests_due.pop_front() {
            if let Some(manifest) = self.manifests.get(&uid) {
                return Some(Frame::Manifest(manifest.clone()));
            }
        }
        self.wake_delayed(now_ms);
        if let Some(offer) = self.repeat_offer() {
            return Some(Frame::Offer(offer));
        }
        // A higher class may use what a lower one must leave free, so that a backlog never blocks a stat study.
        let share = |quarters: usize| (offers_open_max * quarters / 4).max(1);
        let room = [offers_open_max, share(3), share(2)];
        let mut open: usize = CLASSES.iter().map(|class| self.schedule.n_offered(*class)).sum();
        for (class, room) in CLASSES.into_iter().zip(room) {
            let mut offer: Option<Offer> = None;
            while open < room
                && offer
                    .as_ref()
                    .is_none_or(|offer| offer.items.len() < OFFER_ITEMS_MAX)
            {
                let Some(digest) = self.schedule.next_waiting(class, self.config.offer_ahead_bytes) else {
                    break;
                };
                let Some(entry) = self.entries.get(&digest) else {
                    break;
                };
                match &mut offer {
                    Some(offer) if !same_group(offer, &entry.outbound) => break,
                    Some(offer) => offer.items.push(offer_item(&entry.outbound)),
                    None => offer = Some(new_offer(&entry.outbound)),
                }
                self.mark_offered(&digest, now_ms);
                open += 1;
            }
            if let Some(offer) = offer {
                return Some(Frame::Offer(offer));
            }
        }
        None
    }

    fn repeat_offer(&mut self) -> Option<Offer> {
        let mut offer: Option<Offer> = None;
        while let Some(digest) = self.repeats.front() {
            let entry = self.entries.get(digest);
            if let Some(entry) = entry.filter(|entry| matches!(entry.phase, Phase::Offered { .. })) {
                match &mut offer {
                    Some(offer)
                        if offer.items.len() >= OFFER_ITEMS_MAX || !same_group(offer, &entry.outbound) =>
                    {
                        break;
                    }
                    Some(offer) => offer.items.push(offer_item(&entry.outbound)),
                    None => offer = Some(new_offer(&entry.outbound)),
                }
            }
            self.repeats.pop_front();
        }
        offer
    }

    fn mark_offered(&mut self, digest: &Digest, now_ms: u64) {
        let Some(entry) = self.entries.get_mut(digest) else {
            return;
        };
        entry.phase = Phase::Offered { active_at_ms: now_ms };
        entry.ahead_bytes = entry.outbound.container_len;
        let first = 0..pass_range(&entry.outbound, Pass::Preview).end;
        let is_early =
            entry.early == Early::May && self.takes_early && self.early_bytes + first.end <= EARLY_BYTES_MAX;
        entry.early = Early::No;
        if is_early {
            self.early_bytes += first.end;
            entry.early = Early::Sent(RangeSet::new(), first.end);
            entry.wanted.insert(first);
        }
        let (class, uid) = (entry.outbound.priority, entry.outbound.study_instance_uid.clone());
        let of_study: Vec<(Seq, Digest)> = match self.schedule.n_offered_of(class, &uid) {
            0 => self
                .by_study
                .get(&uid)
                .into_iter()
                .flat_map(|places| &places.members)
                .map(|(seq, digest)| (*seq, *digest))
                .collect(),
            _ => Vec::new(),
        };
        self.schedule.change_ahead(class, 0, entry.ahead_bytes);
        self.schedule.offered(class, &uid, entry.place.seq, &of_study);
        if is_early {
            self.make_ready(digest);
        }
    }

    /// The range to put on the line now, or when to ask again.
    pub fn next_range(&mut self, now_ms: u64) -> NextRange {
        if !self.has_ranges() {
            return NextRange::Nothing;
        }
        if let Some(at_ms) = self.pace.not_before(now_ms) {
            return NextRange::NotBefore(at_ms);
        }
        self.take_range(now_ms)
            .map_or(NextRange::Nothing, NextRange::Send)
    }

    fn take_range(&mut self, now_ms: u64) -> Option<RangeToSend> {
        let (pass, digest) = self.schedule.next_ready(&self.by_study)?;
        let entry = self.entries.get_mut(&digest)?;
        let range = entry
            .wanted
            .first_in(pass_range(&entry.outbound, pass), RANGE_BYTES_MAX)?;
        entry.wanted.remove(range.clone());
        let is_asked = match &mut entry.early {
            Early::Sent(sent, _) => {
                sent.insert(range.clone());
                false
            }
            Early::May | Early::No => true,
        };
        entry.phase = Phase::Offered { active_at_ms: now_ms };
        let priority = entry.outbound.priority;
        let len = range.end - range.start;
        self.schedule
            .sent(priority, &entry.outbound.study_instance_uid, len);
        self.pace.sent(len);
        if is_asked {
            self.refresh_ready(&digest);
        } else {
            self.make_ready(&digest);
        }
        Some(RangeToSend {
            container_sha256: digest,
            offset: range.start,
            len,
            priority,
            is_first_part: pass != Pass::Rest,
        })
    }

    /// The reader of a study looks here: of low-resolution parts and of the rest the nearest go next. A study or series
    /// without anything unanswered is ignored.
    pub fn focus(&mut self, focus: &Focus) {
        let Some(places) = self.by_study.get_mut(&focus.study_instance_uid) else {
            return;
        };
        places.focus(&focus.series_instance_uid, &focus.sop_instance_uid);
        self.schedule.look_again(&focus.study_instance_uid);
    }

    /// Whether routine work may go now, by the site's timetable; it may until this is called. Offers and answers are
    /// not held up, and a range that has gone is not called back.
    pub fn set_routine_allowed(&mut self, allowed: bool) {
        self.schedule.set_routine_allowed(allowed);
    }

    /// Brings the schedule in line with what is wanted of an object.
    fn refresh_ready(&mut self, digest: &Digest) {
        self.make_ready(digest);
        let Some(entry) = self.entries.get_mut(digest) else {
            return;
        };
        if let Phase::Offered { .. } = entry.phase {
            let ahead = entry.wanted.len();
            self.schedule
                .change_ahead(entry.outbound.priority, entry.ahead_bytes, ahead);
            entry.ahead_bytes = ahead;
        }
    }

    /// The same without a change of the bytes ahead: before its answer all of an instance counts.
    fn make_ready(&mut self, digest: &Digest) {
        let Some(entry) = self.entries.get(digest) else {
            return;
        };
        let Phase::Offered { .. } = entry.phase else {
            return;
        };
        let (class, uid) = (entry.outbound.priority, &entry.outbound.study_instance_uid);
        for pass in PASSES {
            match entry.wanted.first_in(pass_range(&entry.outbound, pass), 1) {
                Some(_) => self.schedule.set_ready(class, uid, pass, &entry.place),
                None => self.schedule.clear_ready(class, uid, pass, &entry.place),
            }
        }
    }

    /// Takes a transfer frame of the relay. Frames that are not about instances are refused here.
    pub fn on_frame(&mut self, frame: Frame, now_ms: u64) -> Result<Option<SenderEvent>, Violation> {
        match frame {
            Frame::Want(want) => self.on_want(&want, now_ms).map(|()| None),
            Frame::Receipt(receipt) => Ok(self.on_receipt(receipt)),
            Frame::Refusal(refusal) => Ok(self.on_refusal(refusal, now_ms)),
            Frame::Focus(focus) => {
                self.focus(&focus);
                Ok(None)
            }
            _ => Err(Violation::protocol(
                "the relay sent a frame that only an agent sends",
            )),
        }
    }

    fn on_want(&mut self, want: &Want, now_ms: u64) -> Result<(), Violation> {
        if want.items.len() > WANT_ITEMS_MAX {
            return Err(Violation::limit("a want names too many instances"));
        }
        for item in &want.items {
            let Some(entry) = self.entries.get_mut(&item.container_sha256) else {
                continue;
            };
            let Phase::Offered { .. } = entry.phase else {
                continue;
            };
            if item.ranges.len() > WANT_RANGES_MAX {
                return Err(Violation::limit("a want names too many ranges"));
            }
            if item
                .ranges
                .iter()
                .any(|(start, end)| start >= end || *end > entry.outbound.container_len)
            {
                return Err(Violation::protocol("a want names bytes outside the container"));
            }
            let early = std::mem::replace(&mut entry.early, Early::No);
            if matches!(early, Early::Sent(..)) {
                // What it holds from elsewhere need not go.
                entry.wanted = RangeSet::new();
            }
            item.ranges
                .iter()
                .for_each(|(start, end)| entry.wanted.insert(*start..*end));
            if let Early::Sent(sent, share) = early {
                sent.iter().for_each(|range| entry.wanted.remove(range));
                self.early_bytes -= share;
            }
            entry.phase = Phase::Offered { active_at_ms: now_ms };
            self.refresh_ready(&item.container_sha256);
        }
        Ok(())
    }

    fn on_receipt(&mut self, receipt: Receipt) -> Option<SenderEvent> {
        let entry = self.entries.get(&receipt.container_sha256)?;
        if entry.phase == Phase::Settled {
            return None;
        }
        let right = entry.outbound.original_sha256 == receipt.original_sha256;
        if matches!(entry.early, Early::Sent(..)) {
            // It had it before: this agent has forgotten what it sent, and more may follow.
            self.takes_early = false;
        }
        self.set_phase(&receipt.container_sha256, Phase::Settled);
        Some(if right {
            SenderEvent::Durable(receipt)
        } else {
            SenderEvent::ReceiptDoubtful(receipt)
        })
    }

    fn on_refusal(&mut self, refusal: Refusal, now_ms: u64) -> Option<SenderEvent> {
        let entry = self.entries.get(&refusal.container_sha256)?;
        if entry.phase == Phase::Settled {
            return None;
        }
        let phase = match refusal.kind {
            RefusalKind::Later => Phase::Delayed {
                until_ms: now_ms.saturating_add(refusal.retry_after_ms),
            },
            RefusalKind::Final | RefusalKind::Recode => Phase::Settled,
        };
        self.set_phase(&refusal.container_sha256, phase);
        Some(SenderEvent::Refused(refusal))
    }

    /// The object's bytes cannot be read now: nothing more of it is sent, and it is offered again after a while.
    pub fn set_unreadable(&mut self, digest: &Digest, now_ms: u64) {
        if let Some(entry) = self.entries.get_mut(digest) {
            entry.wanted = RangeSet::new();
            entry.phase = Phase::Offered { active_at_ms: now_ms };
            self.refresh_ready(digest);
        }
    }

    /// Forgets an object that was refused for good: if the spool lists it again, it is offered again. One that is to be
    /// offered later by itself stays.
    pub fn forget(&mut self, digest: &Digest) {
        if self
            .entries
            .get(digest)
            .is_some_and(|entry| entry.phase == Phase::Settled)
        {
            self.remove(digest);
        }
    }

    /// Whether the object is known here, listed or still on the line.
    #[must_use]
    pub fn knows(&self, digest: &Digest) -> bool {
        self.entries.contains_key(digest)
    }

    /// Offers again what was refused for a while or what the relay seems to have forgotten. Call it once in a while.
    pub fn tick(&mut self, now_ms: u64) {
        self.wake_delayed(now_ms);
        let mut silent: Vec<(Seq, Digest)> = Vec::new();
        for (digest, entry) in &mut self.entries {
            let Phase::Offered { active_at_ms } = &mut entry.phase else {
                continue;
            };
            if entry.wanted.is_empty() && now_ms.saturating_sub(*active_at_ms) >= REOFFER_AFTER_MS {
                *active_at_ms = now_ms;
                silent.push((entry.place.seq, *digest));
            }
        }
        silent.sort_unstable();
        self.repeats.extend(silent.into_iter().map(|(_, digest)| digest));
    }

    fn wake_delayed(&mut self, now_ms: u64) {
        while let Some((&(until_ms, _), &digest)) = self.delayed.first_key_value() {
            if until_ms > now_ms {
                return;
            }
            self.set_phase(&digest, Phase::Waiting);
        }
    }

    /// Instances that have no receipt and no final refusal.
    #[must_use]
    pub fn n_unsettled(&self) -> usize {
        self.entries
            .values()
            .filter(|entry| entry.phase != Phase::Settled)
            .count()
    }

    /// Whether a range could be sent now.
    #[must_use]
    pub fn has_ranges(&self) -> bool {
        self.offers_open_max.is_some() && self.schedule.has_ready()
    }
}

fn pass_range(outbound: &Outbound, pass: Pass) -> Range<u64> {
    let len = outbound.container_len;
    let head_end = outbound.head_end.min(len);
    let preview_end = outbound.preview_end.unwrap_or(head_end).clamp(head_end, len);
    match pass {
        Pass::Head => 0..head_end,
        Pass::Preview => head_end..preview_end,
        Pass::Rest => preview_end..len,
    }
}
