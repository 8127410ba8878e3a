//! Which head serves the others of its series as dictionary: that of the object that came first.
//!
//! The choice follows from the index alone, so an object that is coded again after a restart becomes the same container,
//! and the relay answers with the receipt it gave before.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tancho_domain::dicom::SeriesInstanceUid;
use tancho_domain::ids::ObjectId;
use tancho_imaging::container::Dictionary;

use crate::spool::index::StoredObject;

/// Heads kept in memory, all series together. Bytes.
const HEADS_BYTES_MAX: usize = 8 * 1024 * 1024;
/// Series known at a time.
const SERIES_MAX: usize = 1024;

/// The first objects of the series being coded; what is forgotten is looked up again.
#[derive(Default)]
pub(super) struct Heads {
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    by_series: HashMap<SeriesInstanceUid, First>,
    turn: u64,
    /// Objects that are being set aside: the index may still name them.
    leaving: HashSet<ObjectId>,
    n_left: u64,
}

struct First {
    object: StoredObject,
    /// Its head, once an other object needed it; none when it cannot serve.
    head: Option<Option<Arc<Dictionary>>>,
    used: u64,
}

impl First {
    fn bytes(&self) -> usize {
        let head = self.head.as_ref().and_then(Option::as_ref);
        head.map_or(0, |head| head.bytes().len())
    }
}

impl Heads {
    /// One object of each series whose first object is not known.
    pub(super) fn unknown_series<'o>(&self, objects: &'o [StoredObject]) -> Vec<&'o StoredObject> {
        let inner = self.lock();
        let mut unknown: HashMap<&SeriesInstanceUid, &StoredObject> = HashMap::new();
        for object in objects {
            if !inner.by_series.contains_key(&object.series_instance_uid) {
                unknown.insert(&object.series_instance_uid, object);
            }
        }
        unknown.into_values().collect()
    }

    /// How many objects were set aside so far: to be asked before the index is.
    pub(super) fn n_left(&self) -> u64 {
        self.lock().n_left
    }

    /// Takes the first object of a series, as the index named it after `n_left` objects had been set aside. One that leaves
    /// or may have left since is not taken.
    pub(super) fn know(&self, object: StoredObject, n_left: u64) {
        let mut inner = self.lock();
        if inner.n_left != n_left || inner.leaving.contains(&object.object_id) {
            return;
        }
        inner.turn += 1;
        let used = inner.turn;
        let first = First {
            object,
            head: None,
            used,
        };
        inner
            .by_series
            .insert(first.object.series_instance_uid.clone(), first);
        inner.forget_oldest();
    }

    /// The head that an object's is to be coded with: that of an object of its series that is sent before it, as `read`
    /// gives it; `None` for the first object, and for one that the relay could not rebuild.
    pub(super) fn dictionary_for(
        &self,
        object: &StoredObject,
        read: impl FnOnce(&StoredObject) -> Option<Dictionary>,
    ) -> Option<Arc<Dictionary>> {
        let mut inner = self.lock();
        inner.turn += 1;
        let turn = inner.turn;
        let first = inner.by_series.get_mut(&object.series_instance_uid)?;
        first.used = turn;
        let same_study = first.object.study_instance_uid == object.study_instance_uid;
        if object.is_coded_again || !same_study || first.object.seq >= object.seq {
            return None;
        }
        if let Some(head) = &first.head {
            return head.clone();
        }
        // Read without the lock: a thread of low priority must not keep the others from it while it waits for the disk.
        let source = first.object.clone();
        drop(inner);
        let head = read(&source).map(Arc::new);
        let mut inner = self.lock();
        if let Some(first) = inner.by_series.get_mut(&object.series_instance_uid)
            && first.object.object_id == source.object_id
        {
            first.head = Some(head.clone());
        }
        inner.forget_oldest();
        head
    }

    /// The object is about to be set aside: it is not sent, so its head cannot serve others.
    pub(super) fn leave(&self, object: &StoredObject) {
        let mut inner = self.lock();
        inner.leaving.insert(object.object_id.clone());
        let first = inner.by_series.get(&object.series_instance_uid);
        if first.is_some_and(|first| first.object.object_id == object.object_id) {
            inner.by_series.remove(&object.series_instance_uid);
        }
    }

    /// The index no longer names the object, or it was not set aside after all.
    pub(super) fn left(&self, object_id: &ObjectId) {
        let mut inner = self.lock();
        if inner.leaving.remove(object_id) {
            inner.n_left += 1;
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn forget_oldest(&mut self) {
        loop {
            let held: usize = self.by_series.values().map(First::bytes).sum();
            if held <= HEADS_BYTES_MAX && self.by_series.len() <= SERIES_MAX {
                return;
            }
            let oldest = self.by_series.iter().min_by_key(|(_, first)| first.used);
            let Some(oldest) = oldest.map(|(series, _)| series.clone()) else {
                return;
            };
            self.by_series.remove(&oldest);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head_of(object: &StoredObject) -> Option<Dictionary> {
        Dictionary::new(object.object_id.as_str().as_bytes().to_vec())
    }

    #[test]
    fn the_first_of_a_series_serves_those_after_it() {
        let heads = Heads::default();
        let objects = [
            StoredObject::fixture(6, "2.25.1.1"),
            StoredObject::fixture(7, "2.25.1.1"),
            StoredObject::fixture(8, "2.25.1.2"),
        ];
        assert_eq!(heads.unknown_series(&objects).len(), 2);
        heads.know(StoredObject::fixture(5, "2.25.1.1"), 0);
        assert_eq!(heads.unknown_series(&objects).len(), 1);
        let chosen = |object: &StoredObject| heads.dictionary_for(object, head_of);
        assert!(chosen(&StoredObject::fixture(5, "2.25.1.1")).is_none());
        let first = StoredObject::fixture(5, "2.25.1.1");
        assert_eq!(
            chosen(&objects[0]).unwrap().bytes(),
            first.object_id.as_str().as_bytes()
        );
        assert!(
            heads
                .dictionary_for(&objects[1], |_| panic!("read once"))
                .is_some()
        );
        assert!(
            chosen(&StoredObject::fixture(4, "2.25.1.1")).is_none(),
            "it is sent before"
        );
        let again = StoredObject {
            is_coded_again: true,
            ..StoredObject::fixture(6, "2.25.1.1")
        };
        assert!(chosen(&again).is_none());
        let other_study = StoredObject {
            study_instance_uid: "2.25.2".to_owned().try_into().unwrap(),
            ..StoredObject::fixture(9, "2.25.1.1")
        };
        assert!(chosen(&other_study).is_none());
        heads.leave(&objects[0]);
        assert!(chosen(&objects[0]).is_some());
        heads.leave(&first);
        assert!(chosen(&objects[0]).is_none());
    }

    #[test]
    fn an_object_that_is_set_aside_is_not_taken_from_an_index_read_before() {
        let heads = Heads::default();
        let first = StoredObject::fixture(5, "2.25.1.1");
        let next = StoredObject::fixture(6, "2.25.1.1");
        let is_served = || heads.dictionary_for(&next, head_of).is_some();
        heads.leave(&first);
        let n_left = heads.n_left();
        heads.know(first.clone(), n_left);
        assert!(!is_served(), "it is leaving");
        heads.left(&first.object_id);
        heads.know(first.clone(), n_left);
        assert!(!is_served(), "the index was read before it left");
        heads.know(StoredObject::fixture(4, "2.25.1.1"), heads.n_left());
        assert!(is_served());
        heads.left(&next.object_id);
        assert_eq!(heads.n_left(), 1, "only what was leaving counts");
    }

    #[test]
    fn a_head_that_cannot_serve_is_not_read_again() {
        let heads = Heads::default();
        heads.know(StoredObject::fixture(1, "2.25.1.1"), 0);
        assert!(
            heads
                .dictionary_for(&StoredObject::fixture(2, "2.25.1.1"), |_| None)
                .is_none()
        );
        assert!(
            heads
                .dictionary_for(&StoredObject::fixture(3, "2.25.1.1"), head_of)
                .is_none()
        );
    }

    #[test]
    fn heads_are_remembered_within_a_limit() {
        let heads = Heads::default();
        for n in 1..=20 {
            let series = format!("2.25.1.{n}");
            heads.know(StoredObject::fixture(n, &series), 0);
            let read = |_: &StoredObject| Dictionary::new(vec![7; 1024 * 1024]);
            assert!(
                heads
                    .dictionary_for(&StoredObject::fixture(n + 100, &series), read)
                    .is_some()
            );
        }
        assert_eq!(heads.lock().by_series.len(), 8);
        assert!(
            heads
                .unknown_series(&[StoredObject::fixture(200, "2.25.1.20")])
                .is_empty()
        );
        for n in 0..2000 {
            heads.know(StoredObject::fixture(n, &format!("2.25.2.{n}")), 0);
        }
        assert_eq!(heads.lock().by_series.len(), SERIES_MAX);
    }
}
