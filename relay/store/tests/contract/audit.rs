//! The audit chain: every change of it shows.

use std::collections::BTreeMap;

use serde_json::json;
use sqlx::{PgPool, SqlitePool};
use tancho_store::Db;
use tancho_store::audit::{self, Actor, AuditFilter, Entry, Verdict};
use tancho_store::networks::Network;

use crate::harness::{NOW_MS, network, principal, small_network, whole};

async fn three_entries(db: &Db) -> Network {
    let (network, site, reader) = small_network(db).await;
    let person = principal(&network, &reader);
    let mut tx = db.write().await.unwrap();
    let first = Entry::done(&person, "log_in", "session", "s-1").with_request_id("r-1");
    let second =
        Entry::by(Actor::Operator, "add_site", "site", site.id.as_str()).with_detail(json!({ "a": 1 }));
    let third = Entry::by(Actor::Node("n-1".to_owned()), "offer", "study", "x").refused();
    for (n, entry) in [first, second, third].into_iter().enumerate() {
        let seq = audit::append(&mut tx, &network.id, entry, NOW_MS).await.unwrap();
        assert_eq!(seq, i64::try_from(n).unwrap() + 1);
    }
    tx.commit().await.unwrap();
    network
}

async fn verdict(db: &Db, network: &Network) -> Verdict {
    audit::verify_audit(db, &network.id, &BTreeMap::new())
        .await
        .unwrap()
}

/// Someone with every right in the database itself.
async fn tamper(db: &Db, text: &'static str) {
    match db {
        Db::Sqlite { writer, .. } => {
            for trigger in ["audit_no_update", "audit_no_delete", "audit_heads_no_update"] {
                let drop = format!("drop trigger if exists {trigger}");
                sqlx::query(sqlx::AssertSqlSafe(drop))
                    .execute(writer)
                    .await
                    .unwrap();
            }
            run_sqlite(writer, text).await;
        }
        Db::Postgres(pool) => {
            run_postgres(pool, "alter table audit disable trigger user").await;
            run_postgres(pool, "alter table audit_heads disable trigger user").await;
            run_postgres(pool, text).await;
        }
    }
}

async fn run_sqlite(pool: &SqlitePool, text: &'static str) {
    sqlx::query(text).execute(pool).await.unwrap();
}

async fn run_postgres(pool: &PgPool, text: &'static str) {
    sqlx::query(text).execute(pool).await.unwrap();
}

on_both_databases! {
    async fn an_untouched_chain_is_intact(db: &Db) {
        let network = three_entries(db).await;
        assert_eq!(verdict(db, &network).await, Verdict::Intact { n_rows: 3 });
    }

    async fn an_empty_chain_is_intact(db: &Db) {
        let (network, _, _) = small_network(db).await;
        assert_eq!(verdict(db, &network).await, Verdict::Intact { n_rows: 0 });
    }

    async fn flt_126_a_changed_entry_is_named(db: &Db) {
        let network = three_entries(db).await;
        tamper(db, "update audit set action = 'nothing' where seq = 2").await;
        assert_eq!(verdict(db, &network).await, Verdict::Broken { seq: 2 });
    }

    async fn flt_126_a_removed_entry_is_named(db: &Db) {
        let network = three_entries(db).await;
        tamper(db, "delete from audit where seq = 2").await;
        assert_eq!(verdict(db, &network).await, Verdict::Broken { seq: 2 });
    }

    async fn flt_126_a_cut_end_is_named(db: &Db) {
        let network = three_entries(db).await;
        tamper(db, "delete from audit where seq = 3").await;
        assert_eq!(verdict(db, &network).await, Verdict::Broken { seq: 3 });
    }

    async fn flt_126_a_head_that_was_put_back_is_named(db: &Db) {
        let network = three_entries(db).await;
        tamper(db, "update audit_heads set seq = 2, hash = (select hash from audit where seq = 2)").await;
        assert_eq!(verdict(db, &network).await, Verdict::Broken { seq: 3 });
    }

    /// A chain that was written anew holds in itself; what is known from elsewhere shows it.
    async fn flt_126_a_chain_that_disagrees_with_what_was_noted_is_broken(db: &Db) {
        let network = three_entries(db).await;
        let (seq, hash) = audit::get_head(&mut db.read().await.unwrap(), &network.id).await.unwrap();
        assert_eq!(seq, 3);
        let verdict = async |noted: &[(i64, Vec<u8>)]| {
            let noted = noted.iter().cloned().collect();
            audit::verify_audit(db, &network.id, &noted).await.unwrap()
        };
        assert_eq!(verdict(&[(3, hash.to_vec())]).await, Verdict::Intact { n_rows: 3 });
        assert_eq!(verdict(&[(2, hash.to_vec())]).await, Verdict::Broken { seq: 2 });
        assert_eq!(verdict(&[(4, hash.to_vec())]).await, Verdict::Broken { seq: 4 });
    }

    /// A chain longer than a page, which grows meanwhile, is judged up to where it ended.
    async fn a_chain_of_several_pages_is_walked_to_its_end(db: &Db) {
        let (network, _, _) = small_network(db).await;
        let n_rows = audit::PAGE_ROWS_MAX + 2;
        let mut tx = db.write().await.unwrap();
        for n in 0..n_rows {
            let entry = Entry::by(Actor::Relay, "x", "y", &n.to_string());
            audit::append(&mut tx, &network.id, entry, NOW_MS).await.unwrap();
        }
        tx.commit().await.unwrap();
        assert_eq!(verdict(db, &network).await, Verdict::Intact { n_rows });
        tamper(db, "update audit set action = 'nothing' where seq = 502").await;
        assert_eq!(verdict(db, &network).await, Verdict::Broken { seq: 502 });
    }

    async fn flt_126_swapped_entries_are_named(db: &Db) {
        let network = three_entries(db).await;
        tamper(db, "update audit set seq = case seq when 1 then -2 when 2 then -1 else seq end").await;
        tamper(db, "update audit set seq = abs(seq)").await;
        assert_eq!(verdict(db, &network).await, Verdict::Broken { seq: 1 });
    }

    async fn flt_127_an_act_that_was_taken_back_leaves_no_entry(db: &Db) {
        let network = three_entries(db).await;
        let mut tx = db.write().await.unwrap();
        audit::append(&mut tx, &network.id, Entry::by(Actor::Relay, "x", "y", "z"), NOW_MS).await.unwrap();
        drop(tx);
        assert_eq!(verdict(db, &network).await, Verdict::Intact { n_rows: 3 });
    }

    async fn the_trail_is_read_backwards_with_filters_within_the_network(db: &Db) {
        let north = three_entries(db).await;
        let mut tx = db.write().await.unwrap();
        let south = network(&mut tx, "south").await;
        audit::append(&mut tx, &south.id, Entry::by(Actor::Relay, "x", "y", "s-1"), NOW_MS).await.unwrap();
        tx.commit().await.unwrap();
        let mut tx = db.read().await.unwrap();
        let seqs = |rows: Vec<audit::AuditRow>| rows.into_iter().map(|row| row.seq).collect::<Vec<_>>();
        let all = AuditFilter { limit: 2, ..AuditFilter::default() };
        assert_eq!(seqs(audit::list_audit(&mut tx, &whole(&north), &all).await.unwrap()), [3, 2]);
        let older = AuditFilter { limit: 9, before_seq: Some(2), ..AuditFilter::default() };
        assert_eq!(seqs(audit::list_audit(&mut tx, &whole(&north), &older).await.unwrap()), [1]);
        let about = AuditFilter { limit: 9, subject_id: Some("s-1"), ..AuditFilter::default() };
        let rows = audit::list_audit(&mut tx, &whole(&north), &about).await.unwrap();
        assert_eq!(rows.len(), 1);
        assert_eq!((rows[0].actor_kind.as_str(), rows[0].actor_role.as_deref()), ("user", Some("reader")));
        assert_eq!((rows[0].request_id.as_deref(), rows[0].outcome.as_str()), (Some("r-1"), "done"));
        let by = AuditFilter { limit: 9, actor_id: Some("n-1"), ..AuditFilter::default() };
        assert_eq!(seqs(audit::list_audit(&mut tx, &whole(&north), &by).await.unwrap()), [3]);
    }

    async fn entries_written_at_once_make_one_chain(db: &Db) {
        let (network, _, _) = small_network(db).await;
        let writers: Vec<_> = (0..8)
            .map(|n| {
                let (db, network) = (db.clone(), network.clone());
                tokio::spawn(async move {
                    let mut tx = db.write().await.unwrap();
                    let entry = Entry::by(Actor::Relay, "x", "y", &n.to_string());
                    audit::append(&mut tx, &network.id, entry, NOW_MS).await.unwrap();
                    tx.commit().await.unwrap();
                })
            })
            .collect();
        for writer in writers {
            writer.await.unwrap();
        }
        assert_eq!(verdict(db, &network).await, Verdict::Intact { n_rows: 8 });
    }
}
