//! Which range goes next: stat before urgent before routine, heads of a study before its bodies, studies of one
//! class in turn, and a share of the line for the lower classes so that nothing starves.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};

use tancho_domain::dicom::{Priority, StudyInstanceUid};

use crate::digest::Digest;
use crate::limits::RANGE_BYTES_MAX;

/// Number of priority classes.
const CLASSES: usize = 3;

/// Ranges of a head go in pass 0, of the rest in pass 1.
pub(super) type Pass = u8;
/// The order in which objects became known.
pub(super) type Seq = u64;

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
    credit_bytes: u64,
}

#[derive(Debug, Default)]
struct Study {
    n_offered: usize,
    n_waiting: usize,
    ready: BTreeSet<(Pass, Seq, Digest)>,
    in_turn: bool,
}

impl Schedule {
    pub(super) fn new(urgent_share_per_mille: u16, routine_share_per_mille: u16) -> Self {
        let share = |share: u16| u64::from(share.min(1000));
        Self {
            classes: Default::default(),
            shares_per_mille: [0, share(urgent_share_per_mille), share(routine_share_per_mille)],
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
    pub(super) fn set_ready(&mut self, class: Priority, uid: &StudyInstanceUid, key: (Pass, Seq, Digest)) {
        let class = &mut self.classes[idx(class)];
        let study = class.studies.entry(uid.clone()).or_default();
        study.ready.insert(key);
        if !study.in_turn {
            study.in_turn = true;
            class.turn.push_back(uid.clone());
        }
    }

    /// An object has no more ranges to send in this pass.
    pub(super) fn clear_ready(&mut self, class: Priority, uid: &StudyInstanceUid, key: &(Pass, Seq, Digest)) {
        let class = &mut self.classes[idx(class)];
        if let Some(study) = class.studies.get_mut(uid) {
            study.ready.remove(key);
        }
        class.forget_if_idle(uid);
    }

    /// The object whose range goes next, and its pass; its study then waits for its next turn.
    pub(super) fn next_ready(&mut self) -> Option<(Pass, Digest)> {
        for class in &mut self.classes {
            class.drop_spent_turns();
        }
        let highest = self.classes.iter().position(|class| !class.turn.is_empty())?;
        let owed = (highest + 1..CLASSES).rev().find(|lower| {
            let class = &self.classes[*lower];
            !class.turn.is_empty() && class.credit_bytes >= RANGE_BYTES_MAX
        });
        let class = &mut self.classes[owed.unwrap_or(highest)];
        let uid = class.turn.pop_front()?;
        let study = class.studies.get(&uid)?;
        let (pass, _, digest) = *study.ready.first()?;
        class.turn.push_back(uid);
        Some((pass, digest))
    }

    /// Books a range that was chosen, so that the lower classes get their share.
    pub(super) fn sent(&mut self, class: Priority, bytes: u64) {
        let own = idx(class);
        self.classes[own].credit_bytes = self.classes[own].credit_bytes.saturating_sub(bytes);
        for lower in own + 1..CLASSES {
            let share = self.shares_per_mille[lower];
            let class = &mut self.classes[lower];
            if class.turn.is_empty() {
                class.credit_bytes = 0;
            } else {
                class.credit_bytes = (class.credit_bytes + bytes * share / 1000).min(4 * RANGE_BYTES_MAX);
            }
        }
    }

    /// Whether any range could go.
    pub(super) fn has_ready(&self) -> bool {
        self.classes
            .iter()
            .any(|class| class.studies.values().any(|study| !study.ready.is_empty()))
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
