//! One lane of the coder: workers that take objects as they come, and a thread that makes their containers durable
//! while they go on.
//!
//! The fsyncs of a container's folder and of the index are shared by all containers that have become ready since the
//! last ones, so a quiet disk hands an object over at once and a slow one gets larger batches by itself.

use std::collections::{HashMap, VecDeque};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::Scope;
use std::time::{Duration, Instant};

use tancho_domain::ids::ObjectId;

use super::{Coder, Outcome, hand_over, lower_priority};
use crate::spool::SpoolError;
use crate::spool::index::{self, IndexDb, IndexResult, StoredObject};
use crate::spool::studies::ObjectState;

/// Objects listed at once, handed over at once, and coded and not yet handed over.
const OBJECTS_MAX: usize = 32;
/// What was listed before this is listed anew, so that something more urgent that came meanwhile goes first.
const LIST_AGE_MAX: Duration = Duration::from_millis(250);
/// Shortest time from the begin of a handover to the next while objects that are not stat arrive, so that the intake
/// has the disk for itself in between. The first object of a quiet agent does not wait.
const HANDOVER_INTERVAL: Duration = Duration::from_millis(100);
/// While objects that are not stat arrive, a worker rests so many times as long as it worked, and at most so long. What a
/// scanner makes in a second is coded in less all the same.
const RESTS_PER_WORK: u32 = 3;
const REST_MAX: Duration = Duration::from_millis(50);
/// How often an idle worker looks whether the intake leaves it a processor again.
const LOOK_EVERY: Duration = Duration::from_millis(50);
/// Reads of one object that may fail before it is set aside, so that bad sectors do not keep the others waiting.
const READS_FAILED_MAX: u32 = 5;

/// How often the pause doubles before an object whose container could not be written is tried again.
const PUT_OFF_DOUBLINGS_MAX: u32 = 5;

/// An object and what coding it came to.
type Finished = (StoredObject, Outcome);

/// The objects of stat priority, or all others.
pub(super) struct Lane<'a, 'c> {
    coder: &'a Coder<'c>,
    is_stat: bool,
    source: Mutex<Source>,
    /// Counts up whenever there may be work.
    rung: Mutex<u64>,
    ring: Condvar,
}

/// Where the workers of a lane take their objects.
struct Source {
    db: IndexDb,
    listed: VecDeque<StoredObject>,
    listed_at: Instant,
    /// Nothing is taken before this: the disk failed, or too many objects rest.
    rests_until: Instant,
    resting: HashMap<ObjectId, Resting>,
}

/// An object that could not be read, or whose container could not be written, and that is tried again.
struct Resting {
    n_reads_failed: u32,
    n_put_off: u32,
    rests_until: Instant,
}

impl<'a, 'c> Lane<'a, 'c> {
    /// `None` when the index cannot be read, which is said in the log.
    pub(super) fn open(coder: &'a Coder<'c>, is_stat: bool) -> Option<Self> {
        let opened = || -> IndexResult<Source> {
            let db = index::open_reader(&coder.shared.layout.index_file())?;
            let now = Instant::now();
            Ok(Source {
                db,
                listed: VecDeque::new(),
                listed_at: now,
                rests_until: now,
                resting: HashMap::new(),
            })
        };
        match opened() {
            Ok(source) => Some(Self {
                coder,
                is_stat,
                source: Mutex::new(source),
                rung: Mutex::new(0),
                ring: Condvar::new(),
            }),
            Err(error) => {
                tracing::error!(%error, "the coder cannot read the index");
                None
            }
        }
    }

    /// Starts the lane's threads; they end after [`Lane::ring`] once the spool stops.
    pub(super) fn start<'s>(&'s self, scope: &'s Scope<'s, '_>) {
        let (ready, handed_over) = sync_channel(OBJECTS_MAX);
        let name = if self.is_stat {
            "spool-coder-stat"
        } else {
            "spool-coder"
        };
        let mut started = Ok(());
        for number in 0..self.coder.turns.n_threads() {
            let ready = ready.clone();
            let builder = std::thread::Builder::new().name(name.to_owned());
            started = started.and(
                builder
                    .spawn_scoped(scope, move || self.work(number, &ready))
                    .map(drop),
            );
        }
        let builder = std::thread::Builder::new().name(format!("{name}-out"));
        started = started.and(
            builder
                .spawn_scoped(scope, move || self.hand_over_all(&handed_over))
                .map(drop),
        );
        if let Err(error) = started {
            tracing::error!(%error, "the coder has fewer threads than it should");
        }
    }

    /// There may be work, or the spool stops.
    pub(super) fn ring(&self) {
        *lock(&self.rung) += 1;
        self.ring.notify_all();
    }

    fn work(&self, number: usize, ready: &SyncSender<Finished>) {
        lower_priority(self.is_stat);
        let stopping = &self.coder.shared.stopping;
        while !stopping.is_cancelled() {
            let heard = *lock(&self.rung);
            // Buffers are kept from one object to the next and not longer.
            let mut encoder = None;
            let mut urgent = None;
            while !self.must_leave_room(number)
                && let Some(object) = self.next()
            {
                if self.is_stat && urgent.is_none() {
                    urgent = Some(self.coder.turns.begin_urgent());
                }
                let begun = Instant::now();
                let outcome = self.coder.code_one(&object, self.is_stat, &mut encoder);
                let took = begun.elapsed();
                if ready.send((object, outcome)).is_err() {
                    return;
                }
                if !self.is_stat && self.coder.shared.is_receiving() {
                    std::thread::sleep((took * RESTS_PER_WORK).min(REST_MAX));
                }
            }
            drop((urgent, encoder));
            let is_quiet = |rung: &mut u64| *rung == heard && !stopping.is_cancelled();
            let rung = lock(&self.rung);
            if self.must_leave_room(number) {
                drop(self.ring.wait_timeout_while(rung, LOOK_EVERY, is_quiet));
            } else {
                drop(self.ring.wait_while(rung, is_quiet));
            }
        }
    }

    /// While objects arrive, one processor is left to the intake. Not by stat objects: somebody waits for those.
    fn must_leave_room(&self, number: usize) -> bool {
        let n_threads = self.coder.turns.n_threads();
        !self.is_stat && number > 0 && number + 1 == n_threads && self.coder.shared.is_receiving()
    }

    /// The object to code next; none when there is none now.
    fn next(&self) -> Option<StoredObject> {
        if self.coder.shared.stopping.is_cancelled() {
            return None;
        }
        let mut source = lock(&self.source);
        let now = Instant::now();
        if now < source.rests_until {
            return None;
        }
        let mut is_fresh = false;
        if now.duration_since(source.listed_at) > LIST_AGE_MAX {
            self.list(&mut source);
            is_fresh = true;
        }
        loop {
            let Some(object) = source.listed.pop_front() else {
                if is_fresh {
                    return None;
                }
                self.list(&mut source);
                is_fresh = true;
                continue;
            };
            let rests = |resting: &Resting| now < resting.rests_until;
            let is_free = !source.resting.get(&object.object_id).is_some_and(rests);
            if !is_free || !self.coder.in_work().insert(object.object_id.clone()) {
                continue;
            }
            if !self.coder.attempts.may_begin(&object.object_id) {
                self.coder.in_work().remove(&object.object_id);
                continue;
            }
            // It may have been coded and let go since it was listed: its container must not be written again.
            match index::find_stored(&source.db, &object.object_id) {
                Ok(Some(object)) => return Some(object),
                Ok(None) => {}
                Err(error) => tracing::error!(%error, "the coder cannot read the index"),
            }
            self.coder.pass(&object.object_id);
            self.coder.in_work().remove(&object.object_id);
        }
    }

    /// Whether an object still waits for the coder; also when that cannot be said.
    pub(super) fn is_stored(&self, object_id: &ObjectId) -> bool {
        !matches!(index::find_stored(&lock(&self.source).db, object_id), Ok(None))
    }

    fn list(&self, source: &mut Source) {
        let Source {
            db,
            listed,
            listed_at,
            resting,
            ..
        } = source;
        let n_taken = self.coder.in_work().len() + resting.len() + self.coder.attempts.n_suspects();
        let now = Instant::now();
        *listed_at = now;
        listed.clear();
        match index::list_stored(db, self.is_stat, OBJECTS_MAX + n_taken) {
            Ok(found) => listed.extend(found),
            Err(error) => tracing::error!(%error, "the coder cannot read the index"),
        }
        // One that is no longer listed was settled otherwise.
        let is_listed = |object_id: &ObjectId| listed.iter().any(|object| object.object_id == *object_id);
        resting.retain(|object_id, one| now < one.rests_until || is_listed(object_id));
        let heads = &self.coder.heads;
        let n_left = heads.n_left();
        for object in heads.unknown_series(listed.make_contiguous()) {
            let uids = (&object.study_instance_uid, &object.series_instance_uid);
            match index::find_first_of_series(db, uids.0, uids.1) {
                Ok(first) => first.into_iter().for_each(|first| heads.know(first, n_left)),
                Err(error) => tracing::error!(%error, "the coder cannot read the index"),
            }
        }
    }

    /// Makes containers durable as they become ready, until no worker is left.
    fn hand_over_all(&self, ready: &Receiver<Finished>) {
        lower_priority(self.is_stat);
        while let Ok(first) = ready.recv() {
            let begun = Instant::now();
            let mut batch = vec![first];
            batch.extend(ready.try_iter().take(OBJECTS_MAX - 1));
            self.hand_over(batch);
            if !self.is_stat && self.coder.shared.is_receiving() {
                std::thread::sleep(HANDOVER_INTERVAL.saturating_sub(begun.elapsed()));
            }
        }
    }

    fn hand_over(&self, mut batch: Vec<Finished>) {
        let mut must_rest = false;
        {
            let mut source = lock(&self.source);
            for (object, outcome) in &mut batch {
                source.count(&object.object_id, outcome, self.coder.shared.options.coder_retry);
                if matches!(outcome, Outcome::Aside(..)) {
                    self.coder.heads.leave(object);
                }
            }
            must_rest |= source.resting.len() >= OBJECTS_MAX;
        }
        let taken: Vec<ObjectId> = batch.iter().map(|(object, _)| object.object_id.clone()).collect();
        match hand_over(self.coder.shared, batch) {
            Ok(()) => {}
            // They are made again after the next start.
            Err(SpoolError::Stopped) => {}
            Err(error) => {
                tracing::error!(%error, "containers could not be handed over; they are made again");
                must_rest = true;
            }
        }
        if must_rest {
            lock(&self.source).rests_until = Instant::now() + self.coder.shared.options.coder_retry;
        }
        let mut in_work = self.coder.in_work();
        for object_id in taken {
            self.coder.heads.left(&object_id);
            in_work.remove(&object_id);
        }
    }
}

impl Source {
    /// Lets an object rest that could not be read or written: others go on meanwhile. Gives it up when reading it failed
    /// too often.
    fn count(&mut self, object_id: &ObjectId, outcome: &mut Outcome, pause: Duration) {
        let now = Instant::now();
        let resting = self.resting.entry(object_id.clone()).or_insert(Resting {
            n_reads_failed: 0,
            n_put_off: 0,
            rests_until: now,
        });
        match outcome {
            Outcome::Unreadable(_) => {
                resting.n_reads_failed += 1;
                resting.rests_until = now + pause;
                if resting.n_reads_failed < READS_FAILED_MAX {
                    return;
                }
                *outcome = Outcome::Aside(ObjectState::Damaged, "unreadable_in_spool");
            }
            Outcome::Later(_) => {
                resting.n_reads_failed = 0;
                resting.rests_until = now + pause * (1 << resting.n_put_off.min(PUT_OFF_DOUBLINGS_MAX));
                resting.n_put_off += 1;
                return;
            }
            Outcome::Coded(..) | Outcome::Aside(..) => {}
        }
        self.resting.remove(object_id);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::sync::Arc;

    use uuid::Uuid;

    use super::*;
    use crate::clock::Clock;
    use crate::spool::{Spool, SpoolOptions};

    #[tokio::test]
    async fn an_object_that_cannot_be_read_is_set_aside_after_a_few_tries_and_a_full_disk_sets_nothing_aside()
    {
        let folder = tempfile::tempdir().unwrap();
        let options = SpoolOptions::new(folder.path());
        let (spool, workers) = Spool::open(options, Clock::system()).await.unwrap();
        let shared = Arc::clone(&spool.shared);
        let counting = std::thread::spawn(move || {
            let coder = Coder::new(&shared);
            let lane = Lane::open(&coder, false).unwrap();
            let object_id = ObjectId::new(Uuid::from_u128(1));
            let mut source = lock(&lane.source);
            let mut count = |mut outcome: Outcome| {
                source.count(&object_id, &mut outcome, Duration::ZERO);
                let is_aside = matches!(
                    outcome,
                    Outcome::Aside(ObjectState::Damaged, "unreadable_in_spool")
                );
                (is_aside, source.resting.len())
            };
            let bad_sector = || Outcome::Unreadable(io::Error::from_raw_os_error(5));
            for _ in 1..READS_FAILED_MAX {
                assert_eq!(count(bad_sector()), (false, 1));
            }
            let full = Outcome::Later(io::ErrorKind::StorageFull.into());
            assert_eq!(count(full), (false, 1), "reading went well");
            for _ in 1..READS_FAILED_MAX {
                assert_eq!(count(bad_sector()), (false, 1));
            }
            assert_eq!(count(bad_sector()), (true, 0));
            // The pause of one that cannot be written grows, so that it is not tried before all others for ever.
            let pause = Duration::from_secs(3600);
            let began = Instant::now();
            for doubled in [0, 1, 2, 3, 4, 5, 5] {
                let mut full = Outcome::Later(io::ErrorKind::StorageFull.into());
                source.count(&object_id, &mut full, pause);
                let rests = source.resting[&object_id].rests_until - began;
                assert!(rests >= pause * (1 << doubled) && rests < pause * (1 << doubled) + pause);
            }
        });
        tokio::task::spawn_blocking(|| counting.join().unwrap())
            .await
            .unwrap();
        spool.stop();
        workers.join().await;
    }

    #[tokio::test]
    async fn an_object_that_was_settled_since_it_was_listed_is_not_coded_again() {
        let folder = tempfile::tempdir().unwrap();
        let options = SpoolOptions::new(folder.path());
        let (spool, workers) = Spool::open(options, Clock::system()).await.unwrap();
        let shared = Arc::clone(&spool.shared);
        let taking = std::thread::spawn(move || {
            let coder = Coder::new(&shared);
            let lane = Lane::open(&coder, false).unwrap();
            let settled = StoredObject::fixture(1, "2.25.1.1");
            lock(&lane.source).listed.push_back(settled);
            assert!(lane.next().is_none());
            assert!(coder.in_work().is_empty());
        });
        tokio::task::spawn_blocking(|| taking.join().unwrap())
            .await
            .unwrap();
        spool.stop();
        workers.join().await;
    }
}
