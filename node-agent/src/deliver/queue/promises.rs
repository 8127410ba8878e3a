//! Storage commitment that modalities asked the agent for: kept until the answer was given.

use rusqlite::{OptionalExtension as _, params};

use super::{Queue, QueueResult};
use crate::dimse::commitment::Reference;

/// Most open promises of all modalities together.
const PROMISES_MAX: i64 = 10_000;

/// What a modality asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Promise {
    /// Who asked.
    pub calling_ae: String,
    /// Its Transaction UID.
    pub transaction_uid: String,
    /// When.
    pub asked_at_ms: i64,
    /// Its instances.
    pub references: Vec<Reference>,
    /// How often the answer could not be given.
    pub n_tries: u32,
}

/// How an instance stands with the site's PACS.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// Every PACS that was to commit it did.
    Committed,
    /// Not yet.
    Open,
    /// Never delivered to one, or no longer known here.
    Unknown,
    /// It is there with another SOP Class UID.
    OtherClass,
    /// It was given up.
    Failed,
}

impl Queue {
    /// Keeps what a modality asked for; `false` when there are too many. The same transaction again changes nothing.
    pub fn promise(&self, promise: &Promise) -> QueueResult<bool> {
        let instances = serde_json::to_string(&promise.references).unwrap_or_default();
        let db = self.db();
        let n_open: i64 = db.query_row(
            "select count(*) from promises where answered_at_ms is null",
            [],
            |row| row.get(0),
        )?;
        if n_open >= PROMISES_MAX {
            return Ok(false);
        }
        db.execute(
            "insert into promises (calling_ae, transaction_uid, asked_at_ms, instances)
             values (?1, ?2, ?3, ?4) on conflict do nothing",
            params![
                promise.calling_ae,
                promise.transaction_uid,
                promise.asked_at_ms,
                instances
            ],
        )?;
        drop(db);
        self.note_change();
        Ok(true)
    }

    /// Promises without an answer whose turn it is, those that waited longest for it first. What is put off until after
    /// `latest_ms` was so by a clock that went wrong, and is due as well.
    pub fn due_promises(&self, (now_ms, latest_ms): (i64, i64), limit: usize) -> QueueResult<Vec<Promise>> {
        let db = self.db();
        let mut statement = db.prepare_cached(
            "select calling_ae, transaction_uid, asked_at_ms, instances, n_tries from promises
             where answered_at_ms is null and (next_try_at_ms <= ?1 or next_try_at_ms > ?2)
             order by next_try_at_ms, asked_at_ms limit ?3",
        )?;
        statement
            .query_map(params![now_ms, latest_ms, limit as i64], |row| {
                Ok(Promise {
                    calling_ae: row.get(0)?,
                    transaction_uid: row.get(1)?,
                    asked_at_ms: row.get(2)?,
                    references: serde_json::from_str(row.get_ref(3)?.as_str()?).unwrap_or_default(),
                    n_tries: row.get(4)?,
                })
            })?
            .collect()
    }

    /// How an instance stands with these destinations: at each the version counts that came last.
    pub fn standing(&self, destinations: &[&str], reference: &Reference) -> QueueResult<Standing> {
        let db = self.db();
        let mut statement = db.prepare_cached(
            "select destination, state, sop_class_uid from deliveries d where sop_instance_uid = ?1
                 and delivery_id = (select max(delivery_id) from deliveries where sop_instance_uid = ?1
                     and destination = d.destination)",
        )?;
        let mut rows = statement.query(params![reference.sop_instance_uid])?;
        let (mut is_known, mut is_open) = (false, false);
        while let Some(row) = rows.next()? {
            if !destinations.contains(&row.get_ref(0)?.as_str()?) {
                continue;
            }
            is_known = true;
            if row.get_ref(2)?.as_str()? != reference.sop_class_uid {
                return Ok(Standing::OtherClass);
            }
            match row.get_ref(1)?.as_str()? {
                "committed" => {}
                "waiting" | "uncommitted" => is_open = true,
                _ => return Ok(Standing::Failed),
            }
        }
        Ok(match (is_known, is_open) {
            (false, _) => Standing::Unknown,
            (true, true) => Standing::Open,
            (true, false) => Standing::Committed,
        })
    }

    /// The answer to a promise was given: its instances are needed no more.
    pub fn keep_promise(&self, promise: &Promise, now_ms: i64) -> QueueResult<()> {
        self.db().execute(
            "update promises set answered_at_ms = ?3, instances = '[]' where calling_ae = ?1 and transaction_uid = ?2",
            params![promise.calling_ae, promise.transaction_uid, now_ms],
        )?;
        self.note_change();
        Ok(())
    }

    /// The answer could not be given, or is not known yet: it is looked at again at an instant.
    pub fn postpone_promise(
        &self,
        promise: &Promise,
        code: Option<&str>,
        next_try_at_ms: i64,
    ) -> QueueResult<()> {
        self.db().execute(
            "update promises set next_try_at_ms = ?3, code = ?4, n_tries = n_tries + ?5
             where calling_ae = ?1 and transaction_uid = ?2",
            params![
                promise.calling_ae,
                promise.transaction_uid,
                next_try_at_ms,
                code,
                i64::from(code.is_some())
            ],
        )?;
        Ok(())
    }

    /// Open promises, and the reason why the oldest that was tried could not be given.
    pub fn count_promises(&self) -> QueueResult<(u64, Option<String>)> {
        let db = self.db();
        let n: i64 = db.query_row(
            "select count(*) from promises where answered_at_ms is null",
            [],
            |row| row.get(0),
        )?;
        let code = db
            .query_row(
                "select code from promises where answered_at_ms is null and code is not null
                 order by asked_at_ms limit 1",
                [],
                |row| row.get(0),
            )
            .optional()?;
        Ok((u64::try_from(n).unwrap_or(0), code))
    }
}
