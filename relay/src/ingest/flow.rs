//! How studies come in, measured: the rate, the last byte, and the time left.
//!
//! All of it is of this run of the relay and nothing of it is a receipt. A study is known from its first head on.

use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};

use tancho_domain::ids::StudyId;
use tancho_store::studies::StudyArrival;

use super::journal::PartKey;

/// The rate is that of the last bytes of so long.
pub const RATE_WINDOW_MS: i64 = 10_000;
/// A shorter time than this says nothing about a rate.
const RATE_SPAN_MIN_MS: i64 = 2_000;
/// Bytes are counted in slots of this length.
const SLOT_MS: i64 = 250;
/// Studies remembered; beyond, the one that was quiet longest is forgotten and simply has no estimate.
const STUDIES_MAX: usize = 4096;

/// What is measured of a study.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Measured {
    /// Bytes per second that come of it now; absent when nothing comes, or not for long enough.
    pub bytes_per_s: Option<i64>,
    /// Until everything announced is here, at this rate; absent when the rate or the number announced is not known.
    pub remaining_ms: Option<i64>,
    /// When the last byte of it came.
    pub last_data_at_ms: Option<i64>,
}

/// The studies that come in.
#[derive(Debug, Default)]
pub struct Flows(Mutex<Inner>);

#[derive(Debug, Default)]
struct Inner {
    parts: HashMap<PartKey, StudyId>,
    studies: HashMap<StudyId, Flow>,
}

#[derive(Debug, Default)]
struct Flow {
    open: HashMap<PartKey, Part>,
    /// Containers that were settled while we looked: for the mean length.
    n_done: u64,
    done_bytes: u64,
    /// Start of a slot, and the bytes that came in it.
    slots: VecDeque<(i64, u64)>,
    /// When the bytes began to come without a pause as long as the window.
    since_ms: i64,
    last_data_at_ms: Option<i64>,
    touched_at_ms: i64,
}

#[derive(Debug)]
struct Part {
    len: u64,
    held: u64,
}

impl Flows {
    /// An instance of a study is listed: its container has so many bytes, of which so many are held.
    pub fn on_listed(&self, study_id: &StudyId, key: PartKey, len: u64, held: u64, now_ms: i64) {
        let mut inner = self.lock();
        if inner.studies.len() >= STUDIES_MAX && !inner.studies.contains_key(study_id) {
            inner.forget_quietest();
        }
        inner.parts.insert(key, study_id.clone());
        let flow = inner.studies.entry(study_id.clone()).or_default();
        flow.touched_at_ms = now_ms;
        flow.open.insert(
            key,
            Part {
                len,
                held: held.min(len),
            },
        );
    }

    /// Bytes of a container were stored.
    pub fn on_bytes(&self, key: &PartKey, bytes: u64, now_ms: i64) {
        let mut inner = self.lock();
        if let Some(flow) = inner.flow_of(key) {
            flow.touched_at_ms = now_ms;
            if let Some(part) = flow.open.get_mut(key) {
                part.held = part.held.saturating_add(bytes).min(part.len);
            }
            flow.note_bytes(bytes, now_ms);
        }
    }

    /// The bytes of a container were thrown away; they come again.
    pub fn on_lost(&self, key: &PartKey) {
        if let Some(part) = self.lock().flow_of(key).and_then(|flow| flow.open.get_mut(key)) {
            part.held = 0;
        }
    }

    /// A container is verified and durable, or will never be.
    pub fn on_settled(&self, key: &PartKey, is_durable: bool) {
        let mut inner = self.lock();
        let Some(flow) = inner.flow_of(key) else { return };
        if let Some(part) = flow.open.remove(key)
            && is_durable
        {
            flow.n_done += 1;
            flow.done_bytes = flow.done_bytes.saturating_add(part.len);
        }
        inner.parts.remove(key);
    }

    /// The containers of a study that are listed and not settled.
    #[must_use]
    pub fn open(&self, study_id: &StudyId) -> Vec<PartKey> {
        let inner = self.lock();
        let flow = inner.studies.get(study_id);
        flow.map_or_else(Vec::new, |flow| flow.open.keys().copied().collect())
    }

    /// What is measured of a study now.
    #[must_use]
    pub fn measure(&self, study_id: &StudyId, counts: Counts, now_ms: i64) -> Measured {
        let inner = self.lock();
        let Some(flow) = inner.studies.get(study_id) else {
            return Measured::default();
        };
        let rate = flow.bytes_per_s(now_ms);
        let remaining_ms = rate.zip(flow.remaining_bytes(counts)).map(|(rate, bytes)| {
            let ms = u128::from(bytes) * 1000 / u128::from(rate.max(1));
            i64::try_from(ms).unwrap_or(i64::MAX)
        });
        Measured {
            bytes_per_s: rate.map(|rate| i64::try_from(rate).unwrap_or(i64::MAX)),
            remaining_ms,
            last_data_at_ms: flow.last_data_at_ms,
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What the store knows of a study, as far as an estimate needs it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Counts {
    /// Instances the site says it has.
    pub announced: Option<i64>,
    /// Instances that are whole and durable.
    pub verified: i64,
}

impl From<&StudyArrival> for Counts {
    fn from(arrival: &StudyArrival) -> Self {
        Self {
            announced: arrival.announced_instances,
            verified: arrival.n_verified,
        }
    }
}

impl Inner {
    fn flow_of(&mut self, key: &PartKey) -> Option<&mut Flow> {
        let study_id = self.parts.get(key)?;
        self.studies.get_mut(study_id)
    }

    fn forget_quietest(&mut self) {
        let quietest = self.studies.iter().min_by_key(|(_, flow)| flow.touched_at_ms);
        if let Some(study_id) = quietest.map(|(study_id, _)| study_id.clone()) {
            self.studies.remove(&study_id);
            self.parts.retain(|_, of| *of != study_id);
        }
    }
}

impl Flow {
    fn note_bytes(&mut self, bytes: u64, now_ms: i64) {
        let was_quiet = self
            .last_data_at_ms
            .is_none_or(|last_ms| now_ms - last_ms >= RATE_WINDOW_MS);
        if was_quiet {
            self.slots.clear();
            self.since_ms = now_ms;
        }
        self.last_data_at_ms = Some(now_ms);
        let slot_ms = now_ms - now_ms.rem_euclid(SLOT_MS);
        match self.slots.back_mut() {
            Some((start_ms, sum)) if *start_ms >= slot_ms => *sum += bytes,
            _ => self.slots.push_back((slot_ms, bytes)),
        }
        while self
            .slots
            .front()
            .is_some_and(|(start_ms, _)| *start_ms <= now_ms - RATE_WINDOW_MS)
        {
            self.slots.pop_front();
        }
    }

    fn bytes_per_s(&self, now_ms: i64) -> Option<u64> {
        let from_ms = self.since_ms.max(now_ms - RATE_WINDOW_MS);
        let span_ms = u64::try_from(now_ms - from_ms).ok()?;
        let in_window = self
            .slots
            .iter()
            .filter(|(start_ms, _)| *start_ms > now_ms - RATE_WINDOW_MS);
        let bytes: u64 = in_window.map(|(_, bytes)| bytes).sum();
        (bytes > 0 && span_ms >= RATE_SPAN_MIN_MS as u64).then(|| bytes * 1000 / span_ms)
    }

    /// What is lacking of the instances that are listed, and for those that are not the mean of the others.
    fn remaining_bytes(&self, counts: Counts) -> Option<u64> {
        let lacking: u64 = self.open.values().map(|part| part.len - part.held).sum();
        let n_known = counts.verified.max(0).unsigned_abs() + self.open.len() as u64;
        let n_unseen = counts.announced?.max(0).unsigned_abs().saturating_sub(n_known);
        if n_unseen == 0 {
            return Some(lacking);
        }
        let n_seen = self.n_done + self.open.len() as u64;
        let seen_bytes = self.done_bytes + self.open.values().map(|part| part.len).sum::<u64>();
        let mean = seen_bytes.checked_div(n_seen)?;
        Some(lacking.saturating_add(mean.saturating_mul(n_unseen)))
    }
}

#[cfg(test)]
mod tests {
    use tancho_wire::Digest;

    use super::*;
    use crate::secrets::new_uuid;

    fn key(n: u8) -> PartKey {
        PartKey {
            site: [7; 16],
            container_sha256: Digest::of(&[n]),
        }
    }

    fn counts(announced: i64, verified: i64) -> Counts {
        Counts {
            announced: Some(announced),
            verified,
        }
    }

    #[test]
    fn the_time_left_comes_from_what_is_lacking_and_the_measured_rate() {
        let flows = Flows::default();
        let study = StudyId::new(new_uuid());
        flows.on_listed(&study, key(1), 100_000, 0, 0);
        flows.on_listed(&study, key(2), 300_000, 100_000, 0);
        assert_eq!(flows.measure(&study, counts(4, 0), 0), Measured::default());
        // 10,000 bytes each 100 ms: 100 kB/s.
        for n in 1..=10 {
            flows.on_bytes(&key(1), 10_000, n * 100);
        }
        assert_eq!(
            flows.measure(&study, counts(4, 0), 1_000).bytes_per_s,
            None,
            "too early to tell"
        );
        for n in 11..=30 {
            flows.on_bytes(&key(2), 10_000, n * 100);
        }
        let measured = flows.measure(&study, counts(4, 0), 3_100);
        // 300,000 bytes in the 3 s since the first; 0 of key(1) and 0 of key(2) are lacking, two more of 200,000 each come.
        assert_eq!(measured.bytes_per_s, Some(100_000));
        assert_eq!(measured.remaining_ms, Some(4_000));
        assert_eq!(measured.last_data_at_ms, Some(3_000));
        let unannounced = Counts {
            announced: None,
            verified: 0,
        };
        assert_eq!(flows.measure(&study, unannounced, 3_100).remaining_ms, None);
    }

    #[test]
    fn a_line_that_stands_still_has_no_rate_and_keeps_its_last_byte() {
        let flows = Flows::default();
        let study = StudyId::new(new_uuid());
        flows.on_listed(&study, key(1), 1_000_000, 0, 0);
        for n in 0..30 {
            flows.on_bytes(&key(1), 10_000, n * 100);
        }
        let later = flows.measure(&study, counts(1, 0), 2_900 + RATE_WINDOW_MS + SLOT_MS);
        assert_eq!((later.bytes_per_s, later.remaining_ms), (None, None));
        assert_eq!(later.last_data_at_ms, Some(2_900));
        // It begins again: the pause does not count.
        flows.on_bytes(&key(1), 50_000, 60_000);
        assert_eq!(flows.measure(&study, counts(1, 0), 61_000).bytes_per_s, None);
        flows.on_bytes(&key(1), 50_000, 62_000);
        assert_eq!(
            flows.measure(&study, counts(1, 0), 62_000).bytes_per_s,
            Some(50_000)
        );
    }

    #[test]
    fn what_is_settled_is_not_waited_for_and_counts_for_the_mean() {
        let flows = Flows::default();
        let study = StudyId::new(new_uuid());
        flows.on_listed(&study, key(1), 100_000, 0, 0);
        flows.on_listed(&study, key(2), 900_000, 0, 0);
        flows.on_bytes(&key(1), 50_000, 0);
        flows.on_bytes(&key(1), 50_000, 2_000);
        flows.on_settled(&key(1), true);
        // Withdrawn: nothing more of it comes.
        flows.on_settled(&key(2), false);
        let measured = flows.measure(&study, counts(3, 1), 2_000);
        assert_eq!(measured.bytes_per_s, Some(50_000));
        assert_eq!(
            measured.remaining_ms,
            Some(4_000),
            "two that are not listed yet, of 100,000 each"
        );
        assert_eq!(flows.measure(&study, counts(1, 1), 2_000).remaining_ms, Some(0));
        assert!(flows.lock().parts.is_empty());
    }

    #[test]
    fn memory_is_bounded() {
        let flows = Flows::default();
        let studies: Vec<StudyId> = (0..=STUDIES_MAX).map(|_| StudyId::new(new_uuid())).collect();
        for (n, study) in studies.iter().enumerate() {
            let key = PartKey {
                site: [7; 16],
                container_sha256: Digest::of(&n.to_be_bytes()),
            };
            flows.on_listed(study, key, 100, 0, n as i64);
        }
        let inner = flows.lock();
        assert_eq!(
            (inner.studies.len(), inner.parts.len()),
            (STUDIES_MAX, STUDIES_MAX)
        );
        assert!(!inner.studies.contains_key(&studies[0]));
    }

    #[test]
    fn slots_are_bounded_however_often_bytes_come() {
        let flows = Flows::default();
        let study = StudyId::new(new_uuid());
        flows.on_listed(&study, key(1), u64::MAX, 0, 0);
        for ms in 0..60_000 {
            flows.on_bytes(&key(1), 1, ms);
        }
        let inner = flows.lock();
        assert!(inner.studies[&study].slots.len() as i64 <= RATE_WINDOW_MS / SLOT_MS + 1);
    }
}
