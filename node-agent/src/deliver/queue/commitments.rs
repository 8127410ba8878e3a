//! Storage commitment that peers are asked for, and what they reported.

use rusqlite::{OptionalExtension as _, params};

use super::{Queue, QueueResult};
use crate::dimse::commitment::{Reference, Report, reason};

/// How often an instance is asked for before a person has to look at it.
const COMMIT_TRIES_MAX: i64 = 3;

impl Queue {
    /// Begins a transaction over delivered instances of a destination that were not asked for yet, at most `limit`; gives
    /// them.
    pub fn begin_commitment(
        &self,
        destination: &str,
        transaction_uid: &str,
        (now_ms, limit): (i64, usize),
    ) -> QueueResult<Vec<Reference>> {
        let mut db = self.db();
        let tx = db.transaction()?;
        tx.execute(
            "update deliveries set transaction_uid = ?2 where delivery_id in (
                 select delivery_id from deliveries where destination = ?1 and state = 'uncommitted'
                     and transaction_uid is null order by delivery_id limit ?3)",
            params![destination, transaction_uid, limit as i64],
        )?;
        let references: Vec<Reference> = tx
            .prepare_cached(
                "select sop_class_uid, sop_instance_uid from deliveries
                 where destination = ?1 and state = 'uncommitted' and transaction_uid = ?2",
            )?
            .query_map(params![destination, transaction_uid], |row| {
                Ok(Reference {
                    sop_class_uid: row.get(0)?,
                    sop_instance_uid: row.get(1)?,
                })
            })?
            .collect::<QueueResult<_>>()?;
        if !references.is_empty() {
            tx.execute(
                "insert into commitments (transaction_uid, destination, begun_at_ms) values (?1, ?2, ?3)",
                params![transaction_uid, destination, now_ms],
            )?;
        }
        tx.commit()?;
        Ok(references)
    }

    /// Whether delivered instances of a destination were not asked for yet.
    pub fn has_unasked(&self, destination: &str) -> QueueResult<bool> {
        let found: Option<i64> = self
            .db()
            .prepare_cached(
                "select 1 from deliveries where destination = ?1 and state = 'uncommitted'
                     and transaction_uid is null limit 1",
            )?
            .query_row(params![destination], |row| row.get(0))
            .optional()?;
        Ok(found.is_some())
    }

    /// The peer took the request; its report will come.
    pub fn commitment_asked(&self, transaction_uid: &str, now_ms: i64) -> QueueResult<()> {
        self.db().execute(
            "update commitments set asked_at_ms = ?2 where transaction_uid = ?1",
            params![transaction_uid, now_ms],
        )?;
        Ok(())
    }

    /// The peer did not take the request, or no report will come: its instances are asked for again, and given up in the
    /// end.
    pub fn commitment_failed(&self, transaction_uid: &str, code: &str, now_ms: i64) -> QueueResult<()> {
        {
            let mut db = self.db();
            let tx = db.transaction()?;
            tx.execute(
                "update deliveries set transaction_uid = null, code = ?2, n_commit_tries = n_commit_tries + 1,
                     state = iif(n_commit_tries + 1 >= ?3, 'not_committed', state), settled_at_ms = ?4
                 where transaction_uid = ?1 and state = 'uncommitted'",
                params![transaction_uid, code, COMMIT_TRIES_MAX, now_ms],
            )?;
            tx.execute(
                "update commitments set answered_at_ms = ?2 where transaction_uid = ?1",
                params![transaction_uid, now_ms],
            )?;
            tx.commit()?;
        }
        self.note_change();
        Ok(())
    }

    /// Transactions of a destination that were begun before an instant and have no report.
    pub fn list_overdue_commitments(&self, destination: &str, before_ms: i64) -> QueueResult<Vec<String>> {
        let db = self.db();
        let mut statement = db.prepare_cached(
            "select transaction_uid from commitments
             where destination = ?1 and answered_at_ms is null and begun_at_ms < ?2",
        )?;
        statement
            .query_map(params![destination, before_ms], |row| row.get(0))?
            .collect()
    }

    /// Records a report; `false` when no such transaction was begun with one of these destinations. A report that comes
    /// again changes nothing.
    pub fn take_report(&self, destinations: &[&str], report: &Report, now_ms: i64) -> QueueResult<bool> {
        {
            let mut db = self.db();
            let tx = db.transaction()?;
            let begun: Option<(String, Option<i64>)> = tx
                .query_row(
                    "select destination, answered_at_ms from commitments where transaction_uid = ?1",
                    params![report.transaction_uid],
                    |row| Ok((row.get(0)?, row.get(1)?)),
                )
                .optional()?;
            let Some((destination, answered_at_ms)) = begun else {
                return Ok(false);
            };
            if !destinations.contains(&destination.as_str()) {
                return Ok(false);
            }
            if answered_at_ms.is_some() {
                return Ok(true);
            }
            for one in &report.committed {
                tx.prepare_cached(
                    "update deliveries set state = 'committed', code = null, settled_at_ms = ?5
                     where destination = ?1 and sop_instance_uid = ?2 and sop_class_uid = ?3
                         and transaction_uid = ?4 and state = 'uncommitted'",
                )?
                .execute(params![
                    destination,
                    one.sop_instance_uid,
                    one.sop_class_uid,
                    report.transaction_uid,
                    now_ms
                ])?;
            }
            for (one, why) in &report.failed {
                let code = match *why {
                    reason::NO_SUCH_INSTANCE => "commitment_no_such_instance",
                    _ => "commitment_failed",
                };
                // What the peer does not have is delivered again.
                tx.prepare_cached(
                    "update deliveries set state = iif(n_commit_tries + 1 >= ?4, 'not_committed', 'waiting'),
                         code = ?5, n_commit_tries = n_commit_tries + 1, transaction_uid = null,
                         next_try_at_ms = 0, settled_at_ms = ?6
                     where destination = ?1 and sop_instance_uid = ?2 and transaction_uid = ?3
                         and state = 'uncommitted'",
                )?
                .execute(params![
                    destination,
                    one.sop_instance_uid,
                    report.transaction_uid,
                    COMMIT_TRIES_MAX,
                    code,
                    now_ms
                ])?;
                super::release_withheld(&tx, &destination, Some(&one.sop_instance_uid))?;
            }
            // Instances the report does not name.
            tx.execute(
                "update deliveries set transaction_uid = null, n_commit_tries = n_commit_tries + 1,
                     state = iif(n_commit_tries + 1 >= ?2, 'not_committed', state), code = 'commitment_incomplete'
                 where transaction_uid = ?1 and state = 'uncommitted'",
                params![report.transaction_uid, COMMIT_TRIES_MAX],
            )?;
            tx.execute(
                "update commitments set answered_at_ms = ?2 where transaction_uid = ?1",
                params![report.transaction_uid, now_ms],
            )?;
            tx.commit()?;
        }
        self.note_change();
        Ok(true)
    }

    /// At a start: what was begun and not asked is asked again.
    pub fn forget_unasked(&self, now_ms: i64) -> QueueResult<()> {
        let db = self.db();
        db.execute(
            "update deliveries set transaction_uid = null where state = 'uncommitted' and transaction_uid in
                 (select transaction_uid from commitments where asked_at_ms is null and answered_at_ms is null)",
            [],
        )?;
        db.execute(
            "update commitments set answered_at_ms = ?1 where asked_at_ms is null and answered_at_ms is null",
            params![now_ms],
        )?;
        Ok(())
    }

    /// Forgets transactions and promises that were answered before an instant.
    pub fn forget_answered(&self, before_ms: i64) -> QueueResult<()> {
        let db = self.db();
        for table in ["commitments", "promises"] {
            db.execute(
                &format!("delete from {table} where answered_at_ms < ?1"),
                params![before_ms],
            )?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{committing, delivered, queue};
    use super::super::{Figures, PromiseStanding};
    use super::*;

    const NOW: i64 = 1_700_000_000_000;

    fn figures(queue: &Queue) -> Figures {
        queue.figures("pacs").unwrap()
    }

    fn begin(queue: &Queue, uid: &str) -> Vec<Reference> {
        queue.begin_commitment("pacs", uid, (NOW, 100)).unwrap()
    }

    fn report(uid: &str, committed: &[Reference], failed: &[(Reference, u16)]) -> Report {
        Report {
            transaction_uid: uid.to_owned(),
            committed: committed.to_vec(),
            failed: failed.to_vec(),
        }
    }

    #[test]
    fn a_report_counts_once_and_only_from_the_peer_that_was_asked() {
        let (_folder, queue) = queue();
        delivered(&queue, &committing(), 3);
        assert!(queue.has_unasked("pacs").unwrap());
        let asked = begin(&queue, "2.25.1");
        assert_eq!(asked.len(), 3);
        assert!(!queue.has_unasked("pacs").unwrap());
        let all = report("2.25.1", &asked, &[]);
        for (names, uid) in [(&["other"][..], "2.25.1"), (&["pacs"], "2.25.2"), (&[], "2.25.1")] {
            assert!(!queue.take_report(names, &report(uid, &asked, &[]), NOW).unwrap());
        }
        assert_eq!(figures(&queue).n_committed, 0);
        for _ in 0..2 {
            assert!(queue.take_report(&["pacs"], &all, NOW).unwrap());
            assert_eq!(figures(&queue).n_committed, 3);
        }
        // A later word against it changes nothing.
        let against = report("2.25.1", &[], &[(asked[0].clone(), reason::NO_SUCH_INSTANCE)]);
        assert!(queue.take_report(&["pacs"], &against, NOW).unwrap());
        assert_eq!(figures(&queue).n_committed, 3);
        assert_eq!(
            queue.standing(&["pacs"], &asked[0]).unwrap(),
            PromiseStanding::Committed
        );
    }

    #[test]
    fn what_the_peer_lacks_is_delivered_again_and_given_up_in_the_end() {
        let (_folder, queue) = queue();
        for n in 0..3 {
            delivered(&queue, &committing(), 1);
            let asked = begin(&queue, &format!("2.25.{n}"));
            let lacking = report(
                &format!("2.25.{n}"),
                &[],
                &[(asked[0].clone(), reason::NO_SUCH_INSTANCE)],
            );
            assert!(queue.take_report(&["pacs"], &lacking, NOW).unwrap());
            let figures = figures(&queue);
            assert_eq!(
                (figures.n_waiting, figures.n_not_committed),
                if n < 2 { (1, 0) } else { (0, 1) }
            );
        }
        assert_eq!(
            figures(&queue).reason_lost.as_deref(),
            Some("commitment_no_such_instance")
        );
        assert_eq!(queue.try_again("pacs").unwrap(), 1);
        assert_eq!(figures(&queue).n_waiting, 1);
    }

    #[test]
    fn no_report_and_one_that_leaves_instances_out_have_them_asked_for_again() {
        let (_folder, queue) = queue();
        delivered(&queue, &committing(), 2);
        let asked = begin(&queue, "2.25.1");
        queue.commitment_asked("2.25.1", NOW).unwrap();
        assert!(queue.list_overdue_commitments("pacs", NOW).unwrap().is_empty());
        assert_eq!(
            queue.list_overdue_commitments("pacs", NOW + 1).unwrap(),
            ["2.25.1"]
        );
        queue.commitment_failed("2.25.1", "commitment_late", NOW).unwrap();
        assert_eq!(begin(&queue, "2.25.2"), asked);
        assert!(
            queue
                .take_report(&["pacs"], &report("2.25.2", &asked[..1], &[]), NOW)
                .unwrap()
        );
        assert_eq!(
            (figures(&queue).n_committed, figures(&queue).n_uncommitted),
            (1, 1)
        );
        assert_eq!(begin(&queue, "2.25.3"), asked[1..]);
        queue.forget_unasked(NOW).unwrap();
        assert_eq!(begin(&queue, "2.25.4"), asked[1..]);
        assert_eq!(
            queue.standing(&["pacs"], &asked[1]).unwrap(),
            PromiseStanding::Open
        );
    }

    #[test]
    fn nothing_is_promised_that_was_not_delivered_or_is_in_doubt() {
        let (_folder, queue) = queue();
        delivered(&queue, &committing(), 1);
        let asked = begin(&queue, "2.25.1");
        let standing = |reference: &Reference| queue.standing(&["pacs"], reference).unwrap();
        let other_class = Reference {
            sop_class_uid: "1.2.3".to_owned(),
            ..asked[0].clone()
        };
        let unknown = Reference {
            sop_instance_uid: "1.2.3".to_owned(),
            ..asked[0].clone()
        };
        assert_eq!(standing(&asked[0]), PromiseStanding::Open);
        assert_eq!(standing(&other_class), PromiseStanding::OtherClass);
        assert_eq!(standing(&unknown), PromiseStanding::Unknown);
        assert_eq!(queue.standing(&[], &asked[0]).unwrap(), PromiseStanding::Unknown);
        for _ in 0..3 {
            begin(&queue, "2.25.9");
            queue
                .commitment_failed("2.25.9", "commitment_refused", NOW)
                .unwrap();
            queue
                .commitment_failed("2.25.1", "commitment_refused", NOW)
                .unwrap();
            queue.forget_answered(NOW + 1).unwrap();
        }
        assert_eq!(standing(&asked[0]), PromiseStanding::Failed);
    }
}
