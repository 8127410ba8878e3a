//! What the relay receipted and was deleted here since: a few bytes for each instance, so that late objects of such a
//! study are counted together with those that went before them.
//!
//! Holds no patient data but the Study Instance UID: instances are the first 16 bytes of the SHA-256 of their SOP
//! Instance UID, with the first 16 bytes of the SHA-256 of their data set. A study is forgotten whole or not at all.

use std::collections::HashMap;
use std::path::Path;

use sha2::{Digest, Sha256};
use sqlx::sqlite::SqliteConnection;
use sqlx::{Connection, Row};

use super::objects::IndexedObject;
use super::{signed, unsigned};

/// Studies looked at and forgotten at once.
const FORGET_BATCH: i64 = 50;

/// Tables of this part.
pub const SCHEMA: &str = "
create table delivered_studies (
    study_id integer primary key,
    study_instance_uid text not null unique,
    n_instances integer not null,
    last_deleted_at_ms integer not null
);
create index delivered_studies_by_age on delivered_studies (last_deleted_at_ms);
create table delivered_instances (
    study_id integer not null,
    sop_key blob not null,
    original_key blob not null,
    revision integer not null,
    original_len integer not null,
    primary key (study_id, sop_key, original_key)
) without rowid;
";

/// The number an object gets among those of its SOP Instance UID.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Numbering {
    /// The same bytes had this number before.
    Again(u64),
    /// One above this and above all that are here.
    Above(u64),
}

/// SOP Instance UIDs and the bytes that came first under each.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct InstanceSum {
    /// SOP Instance UIDs.
    pub n_instances: u64,
    /// Bytes of the data set that came first under each.
    pub original_len: u64,
}

pub(super) fn sop_key(sop_instance_uid: &str) -> Vec<u8> {
    Sha256::digest(sop_instance_uid.as_bytes())[..16].to_vec()
}

/// Remembers an object that is about to be deleted.
pub async fn remember_delivered(
    db: &mut SqliteConnection,
    object: &IndexedObject,
    at_ms: i64,
) -> sqlx::Result<()> {
    let study_id: i64 = sqlx::query_scalar(
        "insert into delivered_studies (study_instance_uid, n_instances, last_deleted_at_ms) values ($1, 0, $2)
         on conflict (study_instance_uid) do update set last_deleted_at_ms = excluded.last_deleted_at_ms
         returning study_id",
    )
    .bind(&object.study_instance_uid)
    .bind(at_ms)
    .fetch_one(&mut *db)
    .await?;
    let added = sqlx::query(
        "insert into delivered_instances (study_id, sop_key, original_key, revision, original_len)
         values ($1, $2, $3, $4, $5) on conflict do nothing",
    )
    .bind(study_id)
    .bind(sop_key(&object.sop_instance_uid))
    .bind(&object.original_sha256[..16])
    .bind(signed(object.revision))
    .bind(signed(object.original_len))
    .execute(&mut *db)
    .await?;
    sqlx::query("update delivered_studies set n_instances = n_instances + $2 where study_id = $1")
        .bind(study_id)
        .bind(signed(added.rows_affected()))
        .execute(db)
        .await
        .map(drop)
}

/// Whether deleted instances of the study are remembered.
pub async fn has_delivered(db: &mut SqliteConnection, study: &str) -> sqlx::Result<bool> {
    let found: Option<i64> =
        sqlx::query_scalar("select 1 from delivered_studies where study_instance_uid = $1")
            .bind(study)
            .fetch_optional(db)
            .await?;
    Ok(found.is_some())
}

/// The number of an object among the deleted ones of its SOP Instance UID; `None` when none of them is remembered.
pub async fn number_after_delivered(
    db: &mut SqliteConnection,
    study: &str,
    sop: &str,
    original_sha256: &[u8; 32],
) -> sqlx::Result<Option<Numbering>> {
    let rows = sqlx::query(
        "select original_key, revision from delivered_instances join delivered_studies using (study_id)
         where study_instance_uid = $1 and sop_key = $2",
    )
    .bind(study)
    .bind(sop_key(sop))
    .fetch_all(db)
    .await?;
    let mut highest = None;
    for row in rows {
        let revision = unsigned(row.try_get(1)?);
        if row.try_get::<Vec<u8>, _>(0)? == original_sha256[..16] {
            return Ok(Some(Numbering::Again(revision)));
        }
        highest = highest.max(Some(revision));
    }
    Ok(highest.map(Numbering::Above))
}

/// What is remembered of a study.
pub async fn sum_delivered(db: &mut SqliteConnection, study: &str) -> sqlx::Result<InstanceSum> {
    let firsts = delivered_firsts(db, study).await?;
    Ok(sum(firsts.into_values()))
}

/// Instances of the studies of which some objects are here and others were deleted, both counted together.
pub async fn sum_partly_delivered(db: &mut SqliteConnection) -> sqlx::Result<Vec<(String, InstanceSum)>> {
    let studies: Vec<String> = sqlx::query_scalar(
        "select study_instance_uid from delivered_studies
         where study_instance_uid in (select study_instance_uid from studies)",
    )
    .fetch_all(&mut *db)
    .await?;
    let mut sums = Vec::with_capacity(studies.len());
    for study in studies {
        let mut firsts = delivered_firsts(db, &study).await?;
        let rows = sqlx::query(
            "select sop_instance_uid, original_len, min(revision) from objects
             where study_instance_uid = $1 and state <> 'held' group by sop_instance_uid",
        )
        .bind(&study)
        .fetch_all(&mut *db)
        .await?;
        for row in rows {
            let held_here = (row.try_get(2)?, unsigned(row.try_get(1)?));
            let first = firsts.entry(sop_key(row.try_get(0)?)).or_insert(held_here);
            *first = (*first).min(held_here);
        }
        sums.push((study, sum(firsts.into_values())));
    }
    Ok(sums)
}

/// Revision and length of the first remembered bytes of each SOP Instance UID.
pub(super) async fn delivered_firsts(
    db: &mut SqliteConnection,
    study: &str,
) -> sqlx::Result<HashMap<Vec<u8>, (i64, u64)>> {
    // A bare column beside min() is that of the row with the minimum.
    let rows = sqlx::query(
        "select sop_key, original_len, min(revision) from delivered_instances
         join delivered_studies using (study_id) where study_instance_uid = $1 group by sop_key",
    )
    .bind(study)
    .fetch_all(db)
    .await?;
    rows.into_iter()
        .map(|row| Ok((row.try_get(0)?, (row.try_get(2)?, unsigned(row.try_get(1)?)))))
        .collect()
}

fn sum(firsts: impl Iterator<Item = (i64, u64)>) -> InstanceSum {
    firsts.fold(InstanceSum::default(), |sum, (_, len)| InstanceSum {
        n_instances: sum.n_instances + 1,
        original_len: sum.original_len + len,
    })
}

/// Studies to forget, a few at a time: those whose last object was deleted before an instant, the oldest of what is more
/// than `instances_max`, and none of which something is here.
pub async fn list_forgettable(
    db: &mut SqliteConnection,
    before_ms: i64,
    instances_max: u64,
) -> sqlx::Result<Vec<i64>> {
    let n_instances: i64 = sqlx::query_scalar("select coalesce(sum(n_instances), 0) from delivered_studies")
        .fetch_one(&mut *db)
        .await?;
    let mut beyond = unsigned(n_instances).saturating_sub(instances_max);
    let oldest = sqlx::query(
        "select study_id, n_instances, last_deleted_at_ms from delivered_studies
         where study_instance_uid not in (select study_instance_uid from studies)
         order by last_deleted_at_ms limit $1",
    )
    .bind(FORGET_BATCH)
    .fetch_all(db)
    .await?;
    let mut forgettable = Vec::new();
    for row in oldest {
        if beyond == 0 && row.try_get::<i64, _>(2)? >= before_ms {
            break;
        }
        beyond = beyond.saturating_sub(unsigned(row.try_get(1)?));
        forgettable.push(row.try_get(0)?);
    }
    Ok(forgettable)
}

/// Forgets a study, unless something of it came meanwhile.
pub async fn forget_delivered(db: &mut SqliteConnection, study_id: i64) -> sqlx::Result<()> {
    let forgotten = sqlx::query(
        "delete from delivered_studies where study_id = $1
         and study_instance_uid not in (select study_instance_uid from studies)",
    )
    .bind(study_id)
    .execute(&mut *db)
    .await?;
    if forgotten.rows_affected() > 0 {
        sqlx::query("delete from delivered_instances where study_id = $1")
            .bind(study_id)
            .execute(db)
            .await?;
    }
    Ok(())
}

/// Takes over what a damaged index that was set aside still knows of deleted instances; gives how many.
pub async fn take_over_delivered(db: &mut SqliteConnection, from: &Path) -> sqlx::Result<u64> {
    sqlx::query("attach database $1 as aside")
        .bind(from.to_string_lossy())
        .execute(&mut *db)
        .await?;
    let copied = copy_from_aside(db).await;
    sqlx::query("detach database aside").execute(db).await?;
    copied
}

async fn copy_from_aside(db: &mut SqliteConnection) -> sqlx::Result<u64> {
    let mut tx = db.begin().await?;
    sqlx::query("insert into delivered_studies select * from aside.delivered_studies")
        .execute(&mut *tx)
        .await?;
    let copied = sqlx::query("insert into delivered_instances select * from aside.delivered_instances")
        .execute(&mut *tx)
        .await?;
    tx.commit().await?;
    Ok(copied.rows_affected())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spool::studies::ObjectState;

    async fn index(folder: &Path) -> SqliteConnection {
        crate::spool::index::open_writer(&folder.join("index.sqlite3"))
            .await
            .unwrap()
            .0
    }

    async fn deliver(db: &mut SqliteConnection, study: &str, n_instances: u8, at_ms: i64) {
        for n in 1..=n_instances {
            let object = IndexedObject {
                study_instance_uid: study.to_owned(),
                folder: 1,
                state: ObjectState::Receipted,
                original_sha256: [n; 32],
                container_sha256: None,
                original_len: 10,
                container_len: 5,
                sop_instance_uid: format!("{study}.{n}"),
                revision: 1,
            };
            remember_delivered(db, &object, at_ms).await.unwrap();
        }
    }

    async fn forget(db: &mut SqliteConnection, before_ms: i64, instances_max: u64) -> usize {
        let studies = list_forgettable(db, before_ms, instances_max).await.unwrap();
        for study_id in &studies {
            forget_delivered(db, *study_id).await.unwrap();
        }
        studies.len()
    }

    async fn n_remembered(db: &mut SqliteConnection, study: &str) -> u64 {
        sum_delivered(db, study).await.unwrap().n_instances
    }

    #[tokio::test]
    async fn the_oldest_studies_are_forgotten_when_there_are_too_many_and_never_half_of_one() {
        let folder = tempfile::tempdir().unwrap();
        let mut db = index(folder.path()).await;
        for (study, at_ms) in [("1.2", 20), ("1.3", 10), ("1.4", 30)] {
            deliver(&mut db, study, 4, at_ms).await;
            deliver(&mut db, study, 4, at_ms).await;
        }
        assert_eq!(forget(&mut db, 0, 12).await, 0);
        assert_eq!(forget(&mut db, 0, 11).await, 1);
        assert_eq!(n_remembered(&mut db, "1.3").await, 0);
        assert_eq!(n_remembered(&mut db, "1.2").await, 4);
        assert_eq!(forget(&mut db, 30, 12).await, 1);
        assert_eq!(n_remembered(&mut db, "1.2").await, 0);
        assert_eq!(n_remembered(&mut db, "1.4").await, 4);
    }

    #[tokio::test]
    async fn the_same_bytes_keep_their_number_and_others_get_the_next() {
        let folder = tempfile::tempdir().unwrap();
        let mut db = index(folder.path()).await;
        deliver(&mut db, "1.2", 1, 1).await;
        for (sop, original, expected) in [
            ("1.2.1", 1, Some(Numbering::Again(1))),
            ("1.2.1", 2, Some(Numbering::Above(1))),
            ("1.2.2", 1, None),
        ] {
            let numbering = number_after_delivered(&mut db, "1.2", sop, &[original; 32]).await;
            assert_eq!(numbering.unwrap(), expected, "{sop} {original}");
        }
        let elsewhere = number_after_delivered(&mut db, "1.3", "1.2.1", &[1; 32]).await;
        assert_eq!(elsewhere.unwrap(), None, "another study");
    }
}
