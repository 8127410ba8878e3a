//! What is to be delivered, to whom, and what became of it: a small database of its own beside the spool's index, so
//! that a slow peer never holds up a modality.
//!
//! It is safe to lose: everything in the spool is looked at again at each start, and what was delivered before is then
//! delivered once more. A peer knows an instance by its UID and keeps it once.

mod commitments;
mod promises;

use std::collections::HashSet;
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rusqlite::{Connection, OptionalExtension as _, Row, params};
use serde::Serialize;
use tancho_domain::ids::ObjectId;
use tokio::sync::watch;

use super::Destination;
use crate::spool::onward::OnwardObject;

pub use promises::{Promise, Standing as PromiseStanding};

/// What the queue fails with.
pub type QueueResult<T> = Result<T, rusqlite::Error>;

/// Version of the tables. A queue of another version is put aside.
const VERSION: i64 = 2;
const SCHEMA: &str = "
create table deliveries (
    delivery_id integer primary key,
    destination text not null,
    object_id text not null,
    study_instance_uid text not null,
    sop_class_uid text not null,
    sop_instance_uid text not null,
    original_sha256 blob not null,
    priority integer not null,
    received_at_ms integer not null,
    bytes integer not null,
    state text not null check (state in ('waiting', 'uncommitted', 'delivered', 'committed', 'not_committed',
        'failed', 'withheld', 'gone', 'dismissed')),
    code text,
    n_tries integer not null default 0,
    n_counted integer not null default 0,
    next_try_at_ms integer not null default 0,
    settled_at_ms integer,
    transaction_uid text,
    n_commit_tries integer not null default 0,
    unique (destination, sop_instance_uid, original_sha256)
);
create index deliveries_by_work on deliveries (destination, state, priority, n_tries, delivery_id);
create index deliveries_by_state on deliveries (destination, state, code, bytes, received_at_ms);
create index deliveries_by_object on deliveries (object_id, state);
create index deliveries_by_instance on deliveries (sop_instance_uid, destination);
create index deliveries_by_transaction on deliveries (transaction_uid) where transaction_uid is not null;
create table commitments (
    transaction_uid text primary key,
    destination text not null,
    begun_at_ms integer not null,
    asked_at_ms integer,
    answered_at_ms integer
);
create table promises (
    calling_ae text not null,
    transaction_uid text not null,
    asked_at_ms integer not null,
    instances text not null,
    n_tries integer not null default 0,
    next_try_at_ms integer not null default 0,
    code text,
    answered_at_ms integer,
    primary key (calling_ae, transaction_uid)
);
";
/// Whether a row says that the peer has its bytes, or is about to get them: no others go there under the same SOP
/// Instance UID then. A peer that would not commit has it, unless it said that it does not.
const HAS_OR_GETS: &str = "(state in ('waiting', 'uncommitted', 'delivered', 'committed')
    or (state = 'not_committed' and code <> 'commitment_no_such_instance'))";
/// How long a statement waits for another connection's lock.
const BUSY_TIMEOUT: Duration = Duration::from_secs(10);
/// Reasons shown of one destination, the most frequent first.
const REASONS_SHOWN_MAX: i64 = 8;

/// An object on its way to a destination.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delivery {
    /// Number of this row.
    pub delivery_id: i64,
    /// The object.
    pub object_id: ObjectId,
    /// How often it was tried and failed, whatever the reason.
    pub n_tries: u32,
    /// How many of these count towards giving it up.
    pub n_counted: u32,
}

/// What became of one try.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// The peer said that it has it; `code` when it had something to remark.
    Delivered {
        /// A remark of the peer.
        code: Option<&'static str>,
        /// Whether its storage commitment is to be asked for.
        is_to_be_committed: bool,
    },
    /// Tried again.
    Later {
        /// Why.
        code: String,
        /// When.
        at_ms: i64,
        /// Whether it was tried at all.
        is_tried: bool,
        /// Whether the try counts towards giving it up: the object itself is the reason, as far as can be told.
        counts: bool,
    },
    /// Given up until a person has it tried again.
    Failed {
        /// Why.
        code: String,
    },
    /// Deleted here before it could be delivered.
    Gone,
}

/// Why deliveries of one destination stand where they do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ReasonCount {
    /// Stable code.
    pub code: String,
    /// How many.
    pub n: u64,
}

/// Figures of one destination.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Figures {
    /// Objects to be delivered.
    pub n_waiting: u64,
    /// Bytes of their data sets.
    pub bytes_waiting: u64,
    /// When the one came that waits longest.
    pub oldest_waiting_at_ms: Option<i64>,
    /// Objects the peer said it has, those waiting for its commitment and those committed included.
    pub n_delivered: u64,
    /// Of these, waiting for the peer's storage commitment.
    pub n_uncommitted: u64,
    /// Of these, committed by the peer.
    pub n_committed: u64,
    /// Delivered, but the peer would not commit them.
    pub n_not_committed: u64,
    /// Given up.
    pub n_failed: u64,
    /// Not delivered, because the same SOP Instance UID is there or on its way with other bytes.
    pub n_withheld: u64,
    /// Deleted here before they could be delivered.
    pub n_gone: u64,
    /// Why objects wait or were given up, the most frequent first.
    pub reasons: Vec<ReasonCount>,
    /// Why most of those were given up or withheld that were.
    pub reason_lost: Option<String>,
}

impl Figures {
    /// What a person has to look at.
    #[must_use]
    pub fn n_lost(&self) -> u64 {
        self.n_failed + self.n_not_committed + self.n_gone + self.n_withheld
    }
}

/// The queue.
pub struct Queue {
    db: Mutex<Connection>,
    changed: watch::Sender<u64>,
}

impl Queue {
    /// Opens it; what cannot be used goes to `aside` and a new one is begun.
    pub fn open(path: &Path, aside: &Path) -> anyhow::Result<Self> {
        let db = match connect(path) {
            Ok(Some(db)) => db,
            Ok(None) | Err(_) => {
                tracing::warn!(
                    "the delivery queue could not be used and is begun anew; objects may be delivered again"
                );
                std::fs::create_dir_all(aside)?;
                for ending in ["", "-wal", "-shm"] {
                    let file = sibling(path, ending);
                    if file.exists()
                        && let Some(name) = file.file_name()
                    {
                        std::fs::rename(&file, aside.join(name))?;
                    }
                }
                connect(path)?.ok_or_else(|| anyhow::anyhow!("a new delivery queue cannot be used"))?
            }
        };
        Ok(Self {
            db: Mutex::new(db),
            changed: watch::Sender::new(0),
        })
    }

    /// Bumps when something changed.
    #[must_use]
    pub fn subscribe(&self) -> watch::Receiver<u64> {
        self.changed.subscribe()
    }

    /// Tells everyone who looks.
    pub fn note_change(&self) {
        self.changed.send_modify(|version| *version += 1);
    }

    pub(super) fn db(&self) -> MutexGuard<'_, Connection> {
        self.db.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds objects that destinations want; those it has already stay as they are. The same bytes under another
    /// identifier came again, because the first copy was damaged or deleted: they take its place. An object whose SOP
    /// Instance UID is on its way there or delivered with other bytes is withheld.
    pub fn add(&self, wanted: &[(&Destination, &OnwardObject)]) -> QueueResult<u64> {
        if wanted.is_empty() {
            return Ok(0);
        }
        let mut n_added = 0;
        {
            let mut db = self.db();
            let tx = db.transaction()?;
            for (destination, object) in wanted {
                // A row that is replaced gets a new number: what is still under way for the old one settles nothing.
                n_added += tx
                    .prepare_cached(&format!(
                        "insert into deliveries (destination, object_id, study_instance_uid, sop_class_uid,
                             sop_instance_uid, priority, received_at_ms, bytes, original_sha256, state, code)
                         select ?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, iif(other, 'withheld', 'waiting'),
                             iif(other, 'same_uid_other_bytes', null)
                         from (select exists (select 1 from deliveries where destination = ?1
                             and sop_instance_uid = ?5 and original_sha256 <> ?9 and {HAS_OR_GETS}) as other)
                         where true on conflict (destination, sop_instance_uid, original_sha256) do update set
                             delivery_id = (select max(delivery_id) + 1 from deliveries),
                             object_id = excluded.object_id, priority = excluded.priority,
                             received_at_ms = excluded.received_at_ms, n_tries = 0, n_counted = 0,
                             next_try_at_ms = 0,
                             code = iif(state in ('uncommitted', 'delivered', 'committed'), code, excluded.code),
                             n_commit_tries = iif(state = 'uncommitted', n_commit_tries, 0),
                             transaction_uid = iif(state = 'uncommitted', transaction_uid, null),
                             state = iif(state in ('uncommitted', 'delivered', 'committed'), state, excluded.state)
                         where object_id <> excluded.object_id"
                    ))?
                    .execute(params![
                        destination.name,
                        object.object_id.as_str(),
                        object.study_instance_uid,
                        object.sop_class_uid,
                        object.sop_instance_uid,
                        object.priority as i64,
                        object.received_at_ms,
                        i64::try_from(object.original_len).unwrap_or(i64::MAX),
                        object.original_sha256.as_slice(),
                    ])?;
            }
            tx.commit()?;
        }
        if n_added > 0 {
            self.note_change();
        }
        Ok(n_added as u64)
    }

    /// The next objects for a destination: the most urgent first, of these those that failed least, of these the longest
    /// waiting. What is put off until after `latest_ms` was so by a clock that went wrong, and is due as well.
    pub fn due(
        &self,
        destination: &str,
        (now_ms, latest_ms): (i64, i64),
        limit: usize,
    ) -> QueueResult<Vec<Delivery>> {
        let db = self.db();
        let mut statement = db.prepare_cached(
            "select delivery_id, object_id, n_tries, n_counted from deliveries
             where destination = ?1 and state = 'waiting' and (next_try_at_ms <= ?2 or next_try_at_ms > ?3)
             order by priority, n_tries, delivery_id limit ?4",
        )?;
        let rows = statement.query_map(params![destination, now_ms, latest_ms, limit as i64], |row| {
            Ok(Delivery {
                delivery_id: row.get(0)?,
                object_id: object_id(row, 1)?,
                n_tries: row.get(2)?,
                n_counted: row.get(3)?,
            })
        })?;
        rows.collect()
    }

    /// When the next object of a destination is due.
    pub fn next_due_ms(&self, destination: &str) -> QueueResult<Option<i64>> {
        self.db()
            .prepare_cached(
                "select min(next_try_at_ms) from deliveries where destination = ?1 and state = 'waiting'",
            )?
            .query_row(params![destination], |row| row.get(0))
    }

    /// Whether an object of a destination waits that was tried before.
    pub fn has_tried(&self, destination: &str) -> QueueResult<bool> {
        self.db()
            .prepare_cached(
                "select exists (select 1 from deliveries
                     where destination = ?1 and state = 'waiting' and n_tries > 0)",
            )?
            .query_row(params![destination], |row| row.get(0))
    }

    /// Records what became of tries, all or none.
    pub fn settle(&self, outcomes: &[(i64, Outcome)], now_ms: i64) -> QueueResult<()> {
        if outcomes.is_empty() {
            return Ok(());
        }
        {
            let mut db = self.db();
            let tx = db.transaction()?;
            for (delivery_id, outcome) in outcomes {
                let (state, code, next_ms, is_tried, counts) = match outcome {
                    Outcome::Delivered {
                        code,
                        is_to_be_committed,
                    } => {
                        let state = if *is_to_be_committed {
                            "uncommitted"
                        } else {
                            "delivered"
                        };
                        (state, *code, 0, false, false)
                    }
                    Outcome::Later {
                        code,
                        at_ms,
                        is_tried,
                        counts,
                    } => ("waiting", Some(code.as_str()), *at_ms, *is_tried, *counts),
                    Outcome::Failed { code } => ("failed", Some(code.as_str()), 0, true, true),
                    Outcome::Gone => ("gone", Some("deleted_before_delivery"), 0, false, false),
                };
                tx.prepare_cached(
                    "update deliveries set state = ?2, code = ?3, next_try_at_ms = ?4,
                         n_tries = n_tries + ?5, n_counted = n_counted + ?6, settled_at_ms = ?7
                     where delivery_id = ?1 and state = 'waiting'",
                )?
                .execute(params![
                    delivery_id,
                    state,
                    code,
                    next_ms,
                    i64::from(is_tried),
                    i64::from(counts),
                    now_ms
                ])?;
                if matches!(outcome, Outcome::Failed { .. } | Outcome::Gone) {
                    let of: Option<(String, String)> = tx
                        .prepare_cached(
                            "select destination, sop_instance_uid from deliveries where delivery_id = ?1",
                        )?
                        .query_row(params![delivery_id], |row| Ok((row.get(0)?, row.get(1)?)))
                        .optional()?;
                    if let Some((destination, sop)) = of {
                        release_withheld(&tx, &destination, Some(&sop))?;
                    }
                }
            }
            tx.commit()?;
        }
        self.note_change();
        Ok(())
    }

    /// Makes what waits for this reason due now.
    pub fn wake(&self, code: &str) -> QueueResult<()> {
        let n = self.db().execute(
            "update deliveries set next_try_at_ms = 0 where state = 'waiting' and code = ?1",
            params![code],
        )?;
        if n > 0 {
            self.note_change();
        }
        Ok(())
    }

    /// Has everything of a destination that was given up or withheld tried again, but what would go over other bytes that
    /// the peer has; gives how many.
    pub fn try_again(&self, destination: &str) -> QueueResult<u64> {
        let n_released = {
            let mut db = self.db();
            let tx = db.transaction()?;
            tx.execute(
                &format!(
                    "update deliveries set state = 'withheld', code = 'same_uid_other_bytes', n_tries = 0, n_counted = 0,
                         next_try_at_ms = 0, n_commit_tries = 0, transaction_uid = null
                     where destination = ?1
                         and (state = 'failed' or (state = 'not_committed' and not {HAS_OR_GETS}))"
                ),
                params![destination],
            )?;
            let n_uncommitted = tx.execute(
                "update deliveries set state = 'waiting', code = null, n_tries = 0, n_counted = 0, next_try_at_ms = 0,
                     n_commit_tries = 0, transaction_uid = null
                 where destination = ?1 and state = 'not_committed'",
                params![destination],
            )?;
            let n_others = release_withheld(&tx, destination, None)?;
            tx.commit()?;
            n_uncommitted + n_others
        };
        self.note_change();
        Ok(n_released as u64)
    }

    /// Takes everything of a destination that was given up, withheld or is gone off the list; gives how many.
    pub fn dismiss(&self, destination: &str) -> QueueResult<u64> {
        let n = self.db().execute(
            "update deliveries set state = 'dismissed'
             where destination = ?1 and state in ('failed', 'not_committed', 'withheld', 'gone')",
            params![destination],
        )?;
        self.note_change();
        Ok(n as u64)
    }

    /// Forgets destinations that are no longer configured.
    pub fn forget_others(&self, names: &[&str]) -> QueueResult<()> {
        let names: HashSet<&str> = names.iter().copied().collect();
        let db = self.db();
        let known: Vec<String> = db
            .prepare("select distinct destination from deliveries")?
            .query_map([], |row| row.get(0))?
            .collect::<QueueResult<_>>()?;
        for gone in known.iter().filter(|name| !names.contains(name.as_str())) {
            db.execute("delete from deliveries where destination = ?1", params![gone])?;
        }
        Ok(())
    }

    /// Which of these objects a destination still waits for or has not committed yet, or a person has to look at.
    pub fn wanted(&self, objects: &[ObjectId]) -> QueueResult<Vec<ObjectId>> {
        let db = self.db();
        let mut statement = db.prepare_cached(
            "select 1 from deliveries where object_id = ?1
                 and state in ('waiting', 'uncommitted', 'failed', 'not_committed', 'withheld') limit 1",
        )?;
        let mut wanted = Vec::new();
        for object in objects {
            let found: Option<i64> = statement
                .query_row(params![object.as_str()], |row| row.get(0))
                .optional()?;
            wanted.extend(found.map(|_| object.clone()));
        }
        Ok(wanted)
    }

    /// Objects whose deliveries need no one any more and hold back no other, at most `limit` after `after`: candidates for
    /// [`Queue::forget_objects`] when they left the spool.
    pub fn list_settled(&self, after: &str, limit: usize) -> QueueResult<Vec<ObjectId>> {
        let db = self.db();
        let mut statement = db.prepare_cached(
            "select distinct object_id from deliveries d where object_id > ?1
             and not exists (select 1 from deliveries o where o.object_id = d.object_id
                 and (o.state in ('waiting', 'uncommitted', 'failed', 'not_committed', 'gone')
                     or exists (select 1 from deliveries w where w.sop_instance_uid = o.sop_instance_uid
                         and w.destination = o.destination and w.state = 'withheld')))
             order by object_id limit ?2",
        )?;
        statement
            .query_map(params![after, limit as i64], |row| object_id(row, 0))?
            .collect()
    }

    /// Forgets the deliveries of objects.
    pub fn forget_objects(&self, objects: &[ObjectId]) -> QueueResult<()> {
        let mut db = self.db();
        let tx = db.transaction()?;
        for object in objects {
            tx.prepare_cached("delete from deliveries where object_id = ?1")?
                .execute(params![object.as_str()])?;
        }
        tx.commit()
    }

    /// Figures of a destination.
    pub fn figures(&self, destination: &str) -> QueueResult<Figures> {
        let db = self.db();
        let mut figures = Figures::default();
        let mut statement = db.prepare_cached(
            "select state, count(*), sum(bytes), min(received_at_ms) from deliveries where destination = ?1
             group by state",
        )?;
        let mut rows = statement.query(params![destination])?;
        while let Some(row) = rows.next()? {
            let n = unsigned(row.get(1)?);
            match row.get_ref(0)?.as_str()? {
                "waiting" => {
                    figures.n_waiting = n;
                    figures.bytes_waiting = unsigned(row.get(2)?);
                    figures.oldest_waiting_at_ms = row.get(3)?;
                }
                "delivered" => figures.n_delivered += n,
                "uncommitted" => (figures.n_uncommitted, figures.n_delivered) = (n, figures.n_delivered + n),
                "committed" => (figures.n_committed, figures.n_delivered) = (n, figures.n_delivered + n),
                "not_committed" => figures.n_not_committed = n,
                "failed" => figures.n_failed = n,
                "withheld" => figures.n_withheld = n,
                "gone" => figures.n_gone = n,
                _ => {}
            }
        }
        let mut statement = db.prepare_cached(
            "select code, count(*) from deliveries where destination = ?1 and code is not null
                 and state in ('waiting', 'failed', 'withheld', 'gone', 'not_committed')
             group by code order by count(*) desc, code limit ?2",
        )?;
        let reasons = statement.query_map(params![destination, REASONS_SHOWN_MAX], |row| {
            Ok(ReasonCount {
                code: row.get(0)?,
                n: unsigned(row.get(1)?),
            })
        })?;
        figures.reasons = reasons.collect::<QueueResult<_>>()?;
        figures.reason_lost = db
            .prepare_cached(
                "select code from deliveries where destination = ?1 and code is not null
                     and state in ('failed', 'gone', 'not_committed', 'withheld')
                 group by code order by count(*) desc, code limit 1",
            )?
            .query_row(params![destination], |row| row.get(0))
            .optional()?;
        Ok(figures)
    }
}

/// Has what is withheld go after all when nothing is there or on its way under its SOP Instance UID any more: of several
/// the last that came. For one SOP Instance UID, or all of the destination; gives how many.
fn release_withheld(tx: &Connection, destination: &str, sop: Option<&str>) -> QueueResult<usize> {
    tx.prepare_cached(&format!(
        "update deliveries as d set state = 'waiting', code = null, next_try_at_ms = 0
         where destination = ?1 and state = 'withheld' and (?2 is null or sop_instance_uid = ?2)
             and not exists (select 1 from deliveries where destination = d.destination
                 and sop_instance_uid = d.sop_instance_uid and {HAS_OR_GETS})
             and delivery_id = (select max(delivery_id) from deliveries where destination = d.destination
                 and sop_instance_uid = d.sop_instance_uid and state = 'withheld')"
    ))?
    .execute(params![destination, sop])
}

/// `None` when it is of another version or damaged.
fn connect(path: &Path) -> QueueResult<Option<Connection>> {
    let db = Connection::open(path)?;
    db.busy_timeout(BUSY_TIMEOUT)?;
    db.pragma_update(None, "journal_mode", "wal")?;
    db.pragma_update(None, "synchronous", "full")?;
    let check: String = db.query_row("pragma quick_check(1)", [], |row| row.get(0))?;
    let version: i64 = db.query_row("pragma user_version", [], |row| row.get(0))?;
    if check != "ok" || ![0, VERSION].contains(&version) {
        return Ok(None);
    }
    if version == 0 {
        db.execute_batch(SCHEMA)?;
        db.pragma_update(None, "user_version", VERSION)?;
    }
    Ok(Some(db))
}

fn sibling(path: &Path, ending: &str) -> std::path::PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(ending);
    name.into()
}

pub(super) fn object_id(row: &Row<'_>, at: usize) -> QueueResult<ObjectId> {
    ObjectId::parse(row.get_ref(at)?.as_str()?).map_err(|_| rusqlite::Error::InvalidQuery)
}

fn unsigned(number: i64) -> u64 {
    u64::try_from(number).unwrap_or(0)
}

#[cfg(test)]
pub(super) mod tests;
