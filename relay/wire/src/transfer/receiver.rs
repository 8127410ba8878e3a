//! The relay's end of one connection: what is lacking, what came, when an instance is whole.
//!
//! It decides; the caller stores. A receipt leaves only after the caller said that the instance is durable
//! (`Finish::Durable`), and the state here dies with the connection: what outlives it is what the caller's journal
//! gives back as `Holding::Partial`.

use std::collections::{HashMap, HashSet, VecDeque};
use std::ops::Range;

use tancho_domain::dicom::{Priority, SeriesInstanceUid, SopClassUid, StudyInstanceUid, TransferSyntaxUid};

use super::ranges::RangeSet;
use crate::close::Violation;
use crate::digest::Digest;
use crate::frame::{Focus, Frame, Offer, OfferItem, Receipt, Refusal, RefusalKind, Want, WantItem};
use crate::limits::{
    CONTAINER_BYTES_MAX, DROPPED_BYTES_MAX, FOCUS_WAITING_MAX, HEAD_BYTES_MAX, OFFER_ITEMS_MAX, PIECES_MAX,
    SETTLED_REMEMBERED_MAX, WANT_ITEMS_MAX, WANT_RANGES_MAX,
};

/// An instance the agent offered, with what its Offer said about the whole group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OfferedInstance {
    /// Its study, by the agent's word until the head is read.
    pub study_instance_uid: StudyInstanceUid,
    /// Its series, by the agent's word.
    pub series_instance_uid: SeriesInstanceUid,
    /// Its kind, by the agent's word.
    pub sop_class_uid: SopClassUid,
    /// Transfer syntax of the original, by the agent's word.
    pub transfer_syntax_uid: TransferSyntaxUid,
    /// Who sent it to the agent.
    pub calling_ae: String,
    /// Which title of the agent it was sent to.
    pub called_ae: String,
    /// How soon it is needed.
    pub priority: Priority,
    /// Digests, sizes, SOP Instance UID.
    pub item: OfferItem,
}

/// What the caller has to do. An instance may have been settled since: then there is nothing left to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Find out what is held of this instance and call `Receiver::answer`.
    Lookup(Box<OfferedInstance>),
    /// Header, table and head are stored: the instance can be listed. Said once while the instance is unsettled on this
    /// connection.
    HeadComplete(Digest),
    /// The low-resolution parts of all frames are stored as well, all bytes up to `preview_end`: the instance can be
    /// looked at, once the caller has checked them. Said once, after `HeadComplete`.
    PreviewArrived(Digest),
    /// Every byte is stored: verify, make durable, call `Receiver::finish`.
    Complete(Digest),
}

/// What the relay holds of an offered instance.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Holding {
    /// All of it, durable since before; the same receipt again.
    Durable(Receipt),
    /// These bytes, durable from an earlier connection; none for a new instance.
    Partial(RangeSet),
    /// It is not taken.
    Refused(Refusal),
}

/// How the verification of a whole instance ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Finish {
    /// Verified and durable.
    Durable(Receipt),
    /// Not taken.
    Refused(Refusal),
    /// The bytes are not those of the digest and were thrown away: ask for all of them again.
    Again,
}

/// What to do with a range that came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DataVerdict {
    /// Write these parts (those not held), then call `Receiver::on_stored` for each.
    Store(Vec<Range<u64>>),
    /// Nothing of it is needed.
    Drop,
    /// It came before its Offer, or before the Offer was looked up: judge it again after `Receiver::on_offer` or
    /// `Receiver::answer`, and read the stream no further until then.
    Wait,
}

#[derive(Debug)]
struct Open {
    offered: OfferedInstance,
    phase: Phase,
    held: RangeSet,
    /// Asked for and not stored.
    expected: RangeSet,
    /// A Want for it waits to be written; what it names is decided then.
    wanting: bool,
    head_told: bool,
    preview_told: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    LookingUp,
    Receiving,
    Verifying,
}

/// State machine of the relay's end of one connection.
#[derive(Debug)]
pub struct Receiver {
    offers_open_max: usize,
    open: HashMap<Digest, Open>,
    /// Instances whose Want waits to be written, each once however often it was offered.
    wants: VecDeque<Digest>,
    frames: VecDeque<Frame>,
    focus: VecDeque<Focus>,
    actions: VecDeque<Action>,
    dropped_bytes: u64,
    takes_early: bool,
    /// The last that were answered, so that their late bytes are known from early ones.
    settled: HashSet<Digest>,
    settled_order: VecDeque<Digest>,
}

impl Receiver {
    /// A receiver that allows this many open offers (also said in Welcome).
    #[must_use]
    pub fn new(offers_open_max: u32) -> Self {
        Self {
            offers_open_max: offers_open_max as usize,
            open: HashMap::new(),
            wants: VecDeque::new(),
            frames: VecDeque::new(),
            focus: VecDeque::new(),
            actions: VecDeque::new(),
            dropped_bytes: 0,
            takes_early: false,
            settled: HashSet::new(),
            settled_order: VecDeque::new(),
        }
    }

    /// Bytes may come before their Offer was answered: `handshake::FEATURE_EARLY`.
    #[must_use]
    pub fn taking_early(mut self) -> Self {
        self.takes_early = true;
        self
    }

    /// Takes an Offer. Repeating one is allowed at any time.
    pub fn on_offer(&mut self, offer: Offer) -> Result<(), Violation> {
        if offer.items.is_empty() || offer.items.len() > OFFER_ITEMS_MAX {
            return Err(Violation::limit("an offer names no or too many instances"));
        }
        let Offer {
            study_instance_uid,
            series_instance_uid,
            sop_class_uid,
            transfer_syntax_uid,
            calling_ae,
            called_ae,
            priority,
            items,
        } = offer;
        for item in items {
            self.on_item(OfferedInstance {
                study_instance_uid: study_instance_uid.clone(),
                series_instance_uid: series_instance_uid.clone(),
                sop_class_uid: sop_class_uid.clone(),
                transfer_syntax_uid: transfer_syntax_uid.clone(),
                calling_ae: calling_ae.clone(),
                called_ae: called_ae.clone(),
                priority,
                item,
            })?;
        }
        Ok(())
    }

    fn on_item(&mut self, offered: OfferedInstance) -> Result<(), Violation> {
        let item = &offered.item;
        if item.container_len == 0 || item.container_len > CONTAINER_BYTES_MAX {
            return Err(Violation::limit("a container is empty or too large"));
        }
        if item.head_end == 0 || item.head_end > item.container_len.min(HEAD_BYTES_MAX) {
            return Err(Violation::limit("the head of a container is empty or too large"));
        }
        if item
            .preview_end
            .is_some_and(|end| end < item.head_end || end > item.container_len)
        {
            return Err(Violation::protocol(
                "the low-resolution parts end outside the container",
            ));
        }
        let digest = item.container_sha256;
        if let Some(open) = self.open.get_mut(&digest) {
            if open.offered.item.container_len != item.container_len
                || open.offered.item.head_end != item.head_end
                || open.offered.item.preview_end != item.preview_end
            {
                return Err(Violation::protocol("an offer contradicts an earlier one"));
            }
            // The agent has sent all it was asked for and heard nothing: whatever was still expected is not coming.
            if open.phase == Phase::Receiving {
                open.expected = RangeSet::new();
                self.ask(&digest);
            }
            return Ok(());
        }
        // As many again as was said: an offer that is repeated may cross the answer that makes room for another. What
        // is answered counts until the answer is written: a peer that does not read its answers gets no more of them.
        if self.open.len() + self.frames.len() >= self.offers_open_max.saturating_mul(2) {
            return Err(Violation::limit(
                "more instances are offered than this connection may have open",
            ));
        }
        self.actions.push_back(Action::Lookup(Box::new(offered.clone())));
        let open = Open {
            offered,
            phase: Phase::LookingUp,
            held: RangeSet::new(),
            expected: RangeSet::new(),
            wanting: false,
            head_told: false,
            preview_told: false,
        };
        self.open.insert(digest, open);
        Ok(())
    }

    /// Answers an `Action::Lookup`.
    pub fn answer(&mut self, digest: &Digest, holding: Holding) {
        let Some(open) = self.open.get_mut(digest) else {
            return;
        };
        match holding {
            Holding::Durable(receipt) => self.settle(digest, Frame::Receipt(receipt)),
            Holding::Refused(refusal) => self.settle(digest, Frame::Refusal(refusal)),
            Holding::Partial(held) => {
                open.held = held;
                open.phase = Phase::Receiving;
                self.progress(digest);
            }
        }
    }

    /// Judges a range before it is written.
    pub fn on_data(&mut self, digest: &Digest, offset: u64, len: u64) -> Result<DataVerdict, Violation> {
        let is_early = match self.open.get(digest) {
            Some(open) => open.phase == Phase::LookingUp,
            None => !self.settled.contains(digest),
        };
        if is_early && self.takes_early {
            return Ok(DataVerdict::Wait);
        }
        let Some(open) = self
            .open
            .get_mut(digest)
            .filter(|open| open.phase == Phase::Receiving)
        else {
            return self.drop_bytes(len);
        };
        let end = offset
            .checked_add(len)
            .filter(|end| *end <= open.offered.item.container_len);
        let Some(end) = end else {
            return Err(Violation::protocol("a range lies outside its container"));
        };
        let gaps = open.held.gaps(offset..end);
        if gaps.is_empty() {
            return self.drop_bytes(len);
        }
        if open.held.pieces() + gaps.len() > PIECES_MAX {
            return Err(Violation::limit("a container comes in too many pieces"));
        }
        Ok(DataVerdict::Store(gaps))
    }

    /// Drops bytes that waited for too long.
    pub fn drop_early(&mut self, len: u64) -> Result<(), Violation> {
        self.drop_bytes(len).map(drop)
    }

    fn drop_bytes(&mut self, len: u64) -> Result<DataVerdict, Violation> {
        self.dropped_bytes = self.dropped_bytes.saturating_add(len);
        if self.dropped_bytes > DROPPED_BYTES_MAX {
            return Err(Violation::limit("too many bytes came that nobody asked for"));
        }
        Ok(DataVerdict::Drop)
    }

    /// These bytes are written and readable (they need not be durable).
    pub fn on_stored(&mut self, digest: &Digest, range: Range<u64>) {
        if let Some(open) = self.open.get_mut(digest) {
            // Not before: what is being written must not be asked for again.
            open.expected.remove(range.clone());
            open.held.insert(range);
            self.progress(digest);
        }
    }

    fn progress(&mut self, digest: &Digest) {
        let Some(open) = self
            .open
            .get_mut(digest)
            .filter(|open| open.phase == Phase::Receiving)
        else {
            return;
        };
        let item = &open.offered.item;
        if !open.head_told && open.held.contains(&(0..item.head_end)) {
            open.head_told = true;
            self.actions.push_back(Action::HeadComplete(*digest));
        }
        if let Some(preview_end) = item.preview_end
            && !open.preview_told
            && open.held.contains(&(0..preview_end))
        {
            open.preview_told = true;
            self.actions.push_back(Action::PreviewArrived(*digest));
        }
        if open.held.contains(&(0..item.container_len)) {
            open.phase = Phase::Verifying;
            self.actions.push_back(Action::Complete(*digest));
        } else if open.expected.is_empty() {
            self.ask(digest);
        }
    }

    /// Asks for what is lacking, once the Want can be written.
    fn ask(&mut self, digest: &Digest) {
        if let Some(open) = self.open.get_mut(digest)
            && !std::mem::replace(&mut open.wanting, true)
        {
            self.wants.push_back(*digest);
        }
    }

    /// What is lacking of an instance, the first gaps first; `None` when nothing is by now.
    fn want(&mut self, digest: Digest) -> Option<WantItem> {
        let open = self.open.get_mut(&digest)?;
        open.wanting = false;
        if open.phase != Phase::Receiving {
            return None;
        }
        let mut gaps = open.held.gaps(0..open.offered.item.container_len);
        gaps.truncate(WANT_RANGES_MAX);
        gaps.iter().for_each(|gap| open.expected.insert(gap.clone()));
        let ranges = gaps.into_iter().map(|gap| (gap.start, gap.end)).collect();
        Some(WantItem {
            container_sha256: digest,
            ranges,
        })
    }

    /// Ends the verification that an `Action::Complete` began.
    pub fn finish(&mut self, digest: &Digest, finish: Finish) {
        let Some(open) = self.open.get_mut(digest) else {
            return;
        };
        match finish {
            Finish::Durable(receipt) => self.settle(digest, Frame::Receipt(receipt)),
            Finish::Refused(refusal) => self.settle(digest, Frame::Refusal(refusal)),
            Finish::Again => {
                open.phase = Phase::Receiving;
                open.held = RangeSet::new();
                open.expected = RangeSet::new();
                self.progress(digest);
            }
        }
    }

    /// Gives up an instance while it arrives, for example because the disk is full.
    pub fn refuse(&mut self, refusal: Refusal) {
        let digest = refusal.container_sha256;
        self.settle(&digest, Frame::Refusal(refusal));
    }

    fn settle(&mut self, digest: &Digest, frame: Frame) {
        if self.open.remove(digest).is_some() {
            self.frames.push_back(frame);
            self.remember_settled(digest);
        }
    }

    fn remember_settled(&mut self, digest: &Digest) {
        if !self.takes_early || !self.settled.insert(*digest) {
            return;
        }
        self.settled_order.push_back(*digest);
        if self.settled_order.len() > SETTLED_REMEMBERED_MAX
            && let Some(oldest) = self.settled_order.pop_front()
        {
            self.settled.remove(&oldest);
        }
    }

    /// The reader of a study looks here; the agent is told. A newer focus of a study takes the place of one that is not
    /// written yet, and of too many studies the one that waits longest is dropped: a focus is a hint.
    pub fn focus(&mut self, focus: Focus) {
        let waiting = self
            .focus
            .iter_mut()
            .find(|waiting| waiting.study_instance_uid == focus.study_instance_uid);
        if let Some(waiting) = waiting {
            *waiting = focus;
            return;
        }
        if self.focus.len() >= FOCUS_WAITING_MAX {
            self.focus.pop_front();
        }
        self.focus.push_back(focus);
    }

    /// The next frame to write: where readers look, then receipts and refusals, then wants, many in one frame.
    pub fn poll_frame(&mut self) -> Option<Frame> {
        if let Some(focus) = self.focus.pop_front() {
            return Some(Frame::Focus(focus));
        }
        if let Some(frame) = self.frames.pop_front() {
            return Some(frame);
        }
        let mut items = Vec::new();
        while items.len() < WANT_ITEMS_MAX
            && let Some(digest) = self.wants.pop_front()
        {
            items.extend(self.want(digest));
        }
        (!items.is_empty()).then_some(Frame::Want(Want { items }))
    }

    /// The next thing for the caller to do.
    pub fn poll_action(&mut self) -> Option<Action> {
        self.actions.pop_front()
    }

    /// An offered instance that is not settled.
    #[must_use]
    pub fn offered(&self, digest: &Digest) -> Option<&OfferedInstance> {
        self.open.get(digest).map(|open| &open.offered)
    }

    /// Offered and unsettled instances.
    #[must_use]
    pub fn n_open(&self) -> usize {
        self.open.len()
    }

    /// Answers and Wants that wait to be written: at most twice the offers that may be open of each.
    #[must_use]
    pub fn n_unwritten(&self) -> usize {
        self.frames.len() + self.wants.len()
    }

    /// Bytes held of an instance that is not settled.
    #[must_use]
    pub fn held(&self, digest: &Digest) -> Option<&RangeSet> {
        self.open.get(digest).map(|open| &open.held)
    }
}

/// A refusal for faults of the relay that pass: full disk, database away.
#[must_use]
pub fn refuse_later(container_sha256: Digest, code: &str, text: &str, retry_after_ms: u64) -> Refusal {
    Refusal {
        container_sha256,
        kind: RefusalKind::Later,
        code: code.into(),
        text: text.into(),
        retry_after_ms,
    }
}

/// A refusal for good.
#[must_use]
pub fn refuse_final(container_sha256: Digest, code: &str, text: &str) -> Refusal {
    Refusal {
        container_sha256,
        kind: RefusalKind::Final,
        code: code.into(),
        text: text.into(),
        retry_after_ms: 0,
    }
}
