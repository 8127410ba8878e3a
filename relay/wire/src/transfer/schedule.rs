//! Whose range goes next: stat before urgent before routine, the studies of one class in turn by bytes, and a share
//! of the line for the lower classes so that nothing starves. Inside a study `study_order.rs` decides.

use std::collections::{BTreeMap, HashMap, VecDeque};

use tancho_domain::dicom::{Priority, StudyInstanceUid};

use super::places::{Place, Places, Seq};
use super::study_order::{Pass, StudyOrder};
use crate::digest::Digest;
use crate::limits::RANGE_BYTES_MAX;

/// Number of priority classes.
const CLASSES: usize = 3;

/// What one study may send before the next of its class has its turn.
const TURN_BYTES: i64 = RANGE_BYTES_MAX as i64;

fn idx(class: Priority) -> usize {
    match class {
        Priority::Stat => 0,
        Priority::Urgent => 1,
        Priority::Routine => 2,
    }
}

/// Objects waiting to be offered and objects with ranges to send, by class.
#[derive(Debug, Default)]
pub(super) struct Schedule {
    classes: [Class; CLASSES],
    /// Parts of a thousand that a lower class gets while a higher one is busy.
    shares_per_mille: [u64; CLASSES],
    routine_allowed: bool,
}

#[derive(Debug, Default)]
struct Class {
    /// Not offered; of a study that has been begun, and of one that has not.
    waiting_begun: BTreeMap<Seq, Digest>,
    waiting_new: BTreeMap<Seq, Digest>,
    studies: HashMap<StudyInstanceUid, Study>,
    /// Studies with ready ranges, in turn.
    turn: VecDeque<StudyInstanceUid>,
    /// Bytes offered and not yet sent.
    ahead_bytes: u64,
    n_offered: usize,
    /// Thousandths of bytes of the share that are due.
    share_due: u64,
}

#[derive(Debug, Default)]
struct Study {
    n_offered: usize,
    n_waiting: usize,
    ready: StudyOrder,
    in_turn: bool,
    /// What it may still send in its turn: deficit round robin, with the last range of a turn going over it and its
    /// excess taken off the next turn.
    turn_bytes: i64,
}

impl Schedule {
    pub(super) fn new(urgent_share_per_mille: u16, routine_share_per_mille: u16) -> Self {
        let share = |share: u16| u64::from(share.clamp(1, 1000));
        Self {
            classes: Default::default(),
            shares_per_mille: [0, share(urgent_share_per_mille), share(routine_share_per_mille)],
            routine_allowed: true,
        }
    }

    /// An object may be offered from now on.
    pub(super) fn add_waiting(&mut self, class: Priority, uid: &StudyInstanceUid, seq: Seq, digest: Digest) {
        let class = &mut self.classes[idx(class)];
        let study = class.studies.entry(uid.clone()).or_default();
        study.n_waiting += 1;
        if study.n_offered > 0 {
            &mut class.waiting_begun
        } else {
            &mut class.waiting_new
        }
        .insert(seq, digest);
    }

    /// An object that waited is gone.
    pub(super) fn remove_waiting(&mut self, class: Priority, uid: &StudyInstanceUid, seq: Seq) {
        self.take_waiting(class, uid, seq);
        self.classes[idx(class)].forget_if_idle(uid);
    }

    /// The object to offer next in this class: the rest of a study that has begun, else a new study as long as not
    /// too many bytes are ahead.
    pub(super) fn next_waiting(&self, class: Priority, ahead_bytes_max: u64) -> Option<Digest> {
        let class = &self.classes[idx(class)];
        let begun = class.waiting_begun.first_key_value();
        let new = || {
            class
                .waiting_new
                .first_key_value()
                .filter(|_| class.ahead_bytes < ahead_bytes_max)
        };
        begun.or_else(new).map(|(_, digest)| *digest)
    }

    /// A waiting object was offered. The rest of its study now goes before other studies of the class.
    pub(super) fn offered(
        &mut self,
        class: Priority,
        uid: &StudyInstanceUid,
        seq: Seq,
        of_study: &[(Seq, Digest)],
    ) {
        self.take_waiting(class, uid, seq);
        let class = &mut self.classes[idx(class)];
        class.n_offered += 1;
        class.studies.entry(uid.clone()).or_default().n_offered += 1;
        for (seq, digest) in of_study {
            if class.waiting_new.remove(seq).is_some() {
                class.waiting_begun.insert(*seq, *digest);
            }
        }
    }

    fn take_waiting(&mut self, class: Priority, uid: &StudyInstanceUid, seq: Seq) {
        let class = &mut self.classes[idx(class)];
        let found = class
            .waiting_begun
            .remove(&seq)
            .or(class.waiting_new.remove(&seq))
            .is_some();
        if found && let Some(study) = class.studies.get_mut(uid) {
            study.n_waiting -= 1;
        }
    }

    /// An offered object was answered or taken back.
    pub(super) fn unoffered(&mut self, class: Priority, uid: &StudyInstanceUid) {
        let class = &mut self.classes[idx(class)];
        class.n_offered = class.n_offered.saturating_sub(1);
        if let Some(study) = class.studies.get_mut(uid) {
            study.n_offered = study.n_offered.saturating_sub(1);
        }
        class.forget_if_idle(uid);
    }

    /// Corrects the bytes ahead of a class when an object's share of them changes.
    pub(super) fn change_ahead(&mut self, class: Priority, before: u64, after: u64) {
        let ahead = &mut self.classes[idx(class)].ahead_bytes;
        *ahead = ahead.saturating_sub(before).saturating_add(after);
    }

    /// An object has ranges to send in this pass.
    pub(super) fn set_ready(&mut self, class: Priority, uid: &StudyInstanceUid, pass: Pass, place: &Place) {
        let class = &mut self.classes[idx(class)];
        let study = class.studies.entry(uid.clone()).or_default();
        study.ready.insert(pass, place);
        if !study.in_turn {
            study.in_turn = true;
            study.turn_bytes = TURN_BYTES;
            class.turn.push_back(uid.clone());
        }
    }

    /// An object has no more ranges to send in this pass.
    pub(super) fn clear_ready(&mut self, class: Priority, uid: &StudyInstanceUid, pass: Pass, place: &Place) {
        let class = &mut self.classes[idx(class)];
        if let Some(study) = class.studies.get_mut(uid) {
            study.ready.remove(pass, place);
        }
        class.forget_if_idle(uid);
    }

    /// The reader of a study looks elsewhere.
    pub(super) fn look_again(&mut self, uid: &StudyInstanceUid) {
        for class in &mut self.classes {
            if let Some(study) = class.studies.get_mut(uid) {
                study.ready.look_again();
            }
        }
    }

    /// Whether routine work may go now.
    pub(super) fn set_routine_allowed(&mut self, allowed: bool) {
        self.routine_allowed = allowed;
    }

    /// Whether this class has something to send and may.
    fn is_busy(&self, class: usize) -> bool {
        let may = class != idx(Priority::Routine) || self.routine_allowed;
        may && !self.classes[class].turn.is_empty()
    }

    /// The object whose range goes next, and its pass.
    pub(super) fn next_ready(
        &mut self,
        places: &HashMap<StudyInstanceUid, Places>,
    ) -> Option<(Pass, Digest)> {
        for class in &mut self.classes {
            class.drop_spent_turns();
        }
        let highest = (0..CLASSES).find(|class| self.is_busy(*class))?;
        let is_owed =
            |class: &usize| self.is_busy(*class) && self.classes[*class].share_due >= RANGE_BYTES_MAX * 1000;
        let owed = (highest + 1..CLASSES).rev().find(is_owed);
        let class = &mut self.classes[owed.unwrap_or(highest)];
        let uid = class.turn.front()?;
        class.studies.get_mut(uid)?.ready.next(places.get(uid)?)
    }

    /// Books a range that was chosen, so that the other studies get their turn and the lower classes their share.
    pub(super) fn sent(&mut self, class: Priority, uid: &StudyInstanceUid, bytes: u64) {
        let own = idx(class);
        self.classes[own].share_due = self.classes[own].share_due.saturating_sub(bytes * 1000);
        for lower in own + 1..CLASSES {
            let share = self.shares_per_mille[lower];
            let is_busy = self.is_busy(lower);
            let class = &mut self.classes[lower];
            class.share_due = match is_busy {
                true => (class.share_due + bytes * share).min(4 * RANGE_BYTES_MAX * 1000),
                false => 0,
            };
        }
        self.classes[own].book_turn(uid, bytes);
    }

    /// Whether any range could go.
    pub(super) fn has_ready(&self) -> bool {
        (0..CLASSES).any(|class| self.is_busy(class) && self.classes[class].has_ready())
    }

    /// Offered and unanswered objects of one study in this class.
    pub(super) fn n_offered_of(&self, class: Priority, uid: &StudyInstanceUid) -> usize {
        self.classes[idx(class)]
            .studies
            .get(uid)
            .map_or(0, |study| study.n_offered)
    }

    /// Offered and unanswered objects of this class.
    pub(super) fn n_offered(&self, class: Priority) -> usize {
        self.classes[idx(class)].n_offered
    }
}

impl Class {
    fn has_ready(&self) -> bool {
        let is_ready = |uid| self.studies.get(uid).is_some_and(|study| !study.ready.is_empty());
        self.turn.iter().any(is_ready)
    }

    fn book_turn(&mut self, uid: &StudyInstanceUid, bytes: u64) {
        let Some(study) = self.studies.get_mut(uid) else {
            return;
        };
        study.turn_bytes -= bytes.min(RANGE_BYTES_MAX) as i64;
        if study.turn_bytes <= 0 && self.turn.front() == Some(uid) {
            study.turn_bytes += TURN_BYTES;
            self.turn.rotate_left(1);
        }
    }

    fn drop_spent_turns(&mut self) {
        while let Some(uid) = self.turn.front() {
            match self.studies.get_mut(uid) {
                Some(study) if !study.ready.is_empty() => return,
                Some(study) => study.in_turn = false,
                None => {}
            }
            let spent = self.turn.pop_front();
            if let Some(uid) = spent {
                self.forget_if_idle(&uid);
            }
        }
    }

    fn forget_if_idle(&mut self, uid: &StudyInstanceUid) {
        let idle = |study: &Study| {
            study.n_offered == 0 && study.n_waiting == 0 && study.ready.is_empty() && !study.in_turn
        };
        if self.studies.get(uid).is_some_and(idle) {
            self.studies.remove(uid);
        }
    }
}

#[cfg(test)]
mod tests {
    use tancho_domain::dicom::{SeriesInstanceUid, SopInstanceUid};

    use super::*;

    #[test]
    fn a_share_of_tiny_ranges_is_still_a_share() {
        let mut schedule = Schedule::new(100, 50);
        let mut places = HashMap::new();
        let series = SeriesInstanceUid::parse("1.1").unwrap();
        let sop = SopInstanceUid::parse("1.1.1").unwrap();
        let uids = [Priority::Stat, Priority::Routine].map(|class| {
            let uid = StudyInstanceUid::parse(&format!("1.{}", idx(class))).unwrap();
            let of_study: &mut Places = places.entry(uid.clone()).or_default();
            let place = of_study.add(0, Digest::of(uid.as_str().as_bytes()), &series, &sop);
            schedule.set_ready(class, &uid, Pass::Rest, &place);
            uid
        });
        let routine = Digest::of(uids[1].as_str().as_bytes());
        let mut bytes = 0;
        // A twentieth of 19 bytes is less than one byte.
        while schedule.next_ready(&places) != Some((Pass::Rest, routine)) {
            schedule.sent(Priority::Stat, &uids[0], 19);
            bytes += 19;
            assert!(bytes <= RANGE_BYTES_MAX * 20 + 19, "routine starves");
        }
        assert!(bytes >= RANGE_BYTES_MAX * 20);
    }
}
