//! What the relay receipted and was deleted here since: a few bytes for each instance, so that late objects of such a
//! study are counted together with those that went before them.
//!
//! Holds no patient data but the Study Instance UID: instances are the first 16 bytes of the SHA-256 of their SOP
//! Instance UID, with the first 16 bytes of the SHA-256 of their data set. A study is forgotten whole or not at all.

use rusqlite::params;
use std::collections::HashMap;
use std::path::Path;

use sha2::{Digest, Sha256};

use super::objects::IndexedObject;
use super::{IndexDb, IndexResult, execute, find, list, one, signed, unsigned};

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
pub fn remember_delivered(db: &IndexDb, object: &IndexedObject, at_ms: i64) -> IndexResult<()> {
    let study_id: i64 = one(
        db,
        "insert into delivered_studies (study_instance_uid, n_instances, last_deleted_at_ms)
         values (?1, 0, ?2)
         on conflict (study_instance_uid) do update set last_deleted_at_ms = excluded.last_deleted_at_ms
         returning study_id",
        params![&object.study_instance_uid, at_ms],
        |row| Ok(row.get(0)?),
    )?;
    let added = execute(
        db,
        "insert into delivered_instances (study_id, sop_key, original_key, revision, original_len)
         values (?1, ?2, ?3, ?4, ?5) on conflict do nothing",
        params![
            study_id,
            sop_key(&object.sop_instance_uid),
            &object.original_sha256[..16],
            signed(object.revision),
            signed(object.original_len)
        ],
    )?;
    execute(
        db,
        "update delivered_studies set n_instances = n_instances + ?2 where study_id = ?1",
        params![study_id, signed(added)],
    )
    .map(drop)
}

/// Whether deleted instances of the study are remembered.
pub fn has_delivered(db: &IndexDb, study: &str) -> IndexResult<bool> {
    let found: Option<i64> = find(
        db,
        "select 1 from delivered_studies where study_instance_uid = ?1",
        params![study],
        |row| Ok(row.get(0)?),
    )?;
    Ok(found.is_some())
}

/// The number of an object among the deleted ones of its SOP Instance UID; `None` when none of them is remembered.
pub fn number_after_delivered(
    db: &IndexDb,
    study: &str,
    sop: &str,
    original_sha256: &[u8; 32],
) -> IndexResult<Option<Numbering>> {
    let rows = list(
        db,
        "select original_key, revision from delivered_instances join delivered_studies using (study_id)
         where study_instance_uid = ?1 and sop_key = ?2",
        params![study, sop_key(sop)],
        |row| Ok((row.get::<_, Vec<u8>>(0)?, unsigned(row.get(1)?))),
    )?;
    let mut highest = None;
    for (original_key, revision) in rows {
        if original_key == original_sha256[..16] {
            return Ok(Some(Numbering::Again(revision)));
        }
        highest = highest.max(Some(revision));
    }
    Ok(highest.map(Numbering::Above))
}

/// What is remembered of a study.
pub fn sum_delivered(db: &IndexDb, study: &str) -> IndexResult<InstanceSum> {
    let firsts = delivered_firsts(db, study)?;
    Ok(sum(firsts.into_values()))
}

/// Instances of the studies of which some objects are here and others were deleted, both counted together.
pub fn sum_partly_delivered(db: &IndexDb) -> IndexResult<Vec<(String, InstanceSum)>> {
    let studies: Vec<String> = list(
        db,
        "select study_instance_uid from delivered_studies
         where study_instance_uid in (select study_instance_uid from studies)",
        [],
        |row| Ok(row.get(0)?),
    )?;
    let mut sums = Vec::with_capacity(studies.len());
    for study in studies {
        let mut firsts = delivered_firsts(db, &study)?;
        let rows = list(
            db,
            "select sop_instance_uid, original_len, min(revision) from objects
             where study_instance_uid = ?1 and state <> 'held' group by sop_instance_uid",
            params![&study],
            |row| {
                let key = sop_key(row.get_ref(0)?.as_str()?);
                Ok((key, (row.get(2)?, unsigned(row.get(1)?))))
            },
        )?;
        for (key, held_here) in rows {
            let first = firsts.entry(key).or_insert(held_here);
            *first = (*first).min(held_here);
        }
        sums.push((study, sum(firsts.into_values())));
    }
    Ok(sums)
}

/// Revision and length of the first remembered bytes of each SOP Instance UID.
pub(super) fn delivered_firsts(db: &IndexDb, study: &str) -> IndexResult<HashMap<Vec<u8>, (i64, u64)>> {
    // A bare column beside min() is that of the row with the minimum.
    let firsts = list(
        db,
        "select sop_key, original_len, min(revision) from delivered_instances
         join delivered_studies using (study_id) where study_instance_uid = ?1 group by sop_key",
        params![study],
        |row| Ok((row.get(0)?, (row.get(2)?, unsigned(row.get(1)?)))),
    )?;
    Ok(firsts.into_iter().collect())
}

fn sum(firsts: impl Iterator<Item = (i64, u64)>) -> InstanceSum {
    firsts.fold(InstanceSum::default(), |sum, (_, len)| InstanceSum {
        n_instances: sum.n_instances + 1,
        original_len: sum.original_len + len,
    })
}

/// Studies to forget, a few at a time: those whose last object was deleted before an instant, the oldest of what is more
/// than `instances_max`, and none of which something is here.
pub fn list_forgettable(db: &IndexDb, before_ms: i64, instances_max: u64) -> IndexResult<Vec<i64>> {
    let n_instances: i64 = one(
        db,
        "select coalesce(sum(n_instances), 0) from delivered_studies",
        [],
        |row| Ok(row.get(0)?),
    )?;
    let mut beyond = unsigned(n_instances).saturating_sub(instances_max);
    let oldest = list(
        db,
        "select study_id, n_instances, last_deleted_at_ms from delivered_studies
         where study_instance_uid not in (select study_instance_uid from studies)
         order by last_deleted_at_ms limit ?1",
        params![FORGET_BATCH],
        |row| Ok((row.get(0)?, unsigned(row.get(1)?), row.get::<_, i64>(2)?)),
    )?;
    let mut forgettable = Vec::new();
    for (study_id, n_instances, last_deleted_at_ms) in oldest {
        if beyond == 0 && last_deleted_at_ms >= before_ms {
            break;
        }
        beyond = beyond.saturating_sub(n_instances);
        forgettable.push(study_id);
    }
    Ok(forgettable)
}

/// Forgets a study, unless something of it came meanwhile.
pub fn forget_delivered(db: &IndexDb, study_id: i64) -> IndexResult<()> {
    let forgotten = execute(
        db,
        "delete from delivered_studies where study_id = ?1
         and study_instance_uid not in (select study_instance_uid from studies)",
        params![study_id],
    )?;
    if forgotten > 0 {
        execute(
            db,
            "delete from delivered_instances where study_id = ?1",
            params![study_id],
        )?;
    }
    Ok(())
}

/// Takes over what a damaged index that was set aside still knows of deleted instances; gives how many.
pub fn take_over_delivered(db: &IndexDb, from: &Path) -> IndexResult<u64> {
    execute(db, "attach database ?1 as aside", params![from.to_string_lossy()])?;
    let copied = copy_from_aside(db);
    execute(db, "detach database aside", [])?;
    copied
}

fn copy_from_aside(db: &IndexDb) -> IndexResult<u64> {
    let tx = db.unchecked_transaction()?;
    execute(
        &tx,
        "insert or ignore into delivered_studies select * from aside.delivered_studies",
        [],
    )?;
    let copied = execute(
        &tx,
        "insert or ignore into delivered_instances select * from aside.delivered_instances",
        [],
    )?;
    tx.commit()?;
    Ok(copied)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spool::studies::ObjectState;

    fn index(folder: &Path) -> IndexDb {
        crate::spool::index::open_writer(&folder.join("index.sqlite3"))
            .unwrap()
            .0
    }

    fn deliver(db: &IndexDb, study: &str, n_instances: u8, at_ms: i64) {
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
            remember_delivered(db, &object, at_ms).unwrap();
        }
    }

    fn forget(db: &IndexDb, before_ms: i64, instances_max: u64) -> usize {
        let studies = list_forgettable(db, before_ms, instances_max).unwrap();
        for study_id in &studies {
            forget_delivered(db, *study_id).unwrap();
        }
        studies.len()
    }

    fn n_remembered(db: &IndexDb, study: &str) -> u64 {
        sum_delivered(db, study).unwrap().n_instances
    }

    #[test]
    fn the_oldest_studies_are_forgotten_when_there_are_too_many_and_never_half_of_one() {
        let folder = tempfile::tempdir().unwrap();
        let db = index(folder.path());
        for (study, at_ms) in [("1.2", 20), ("1.3", 10), ("1.4", 30)] {
            deliver(&db, study, 4, at_ms);
            deliver(&db, study, 4, at_ms);
        }
        assert_eq!(forget(&db, 0, 12), 0);
        assert_eq!(forget(&db, 0, 11), 1);
        assert_eq!(n_remembered(&db, "1.3"), 0);
        assert_eq!(n_remembered(&db, "1.2"), 4);
        assert_eq!(forget(&db, 30, 12), 1);
        assert_eq!(n_remembered(&db, "1.2"), 0);
        assert_eq!(n_remembered(&db, "1.4"), 4);
    }

    #[test]
    fn the_same_bytes_keep_their_number_and_others_get_the_next() {
        let folder = tempfile::tempdir().unwrap();
        let db = index(folder.path());
        deliver(&db, "1.2", 1, 1);
        for (sop, original, expected) in [
            ("1.2.1", 1, Some(Numbering::Again(1))),
            ("1.2.1", 2, Some(Numbering::Above(1))),
            ("1.2.2", 1, None),
        ] {
            let numbering = number_after_delivered(&db, "1.2", sop, &[original; 32]);
            assert_eq!(numbering.unwrap(), expected, "{sop} {original}");
        }
        let elsewhere = number_after_delivered(&db, "1.3", "1.2.1", &[1; 32]);
        assert_eq!(elsewhere.unwrap(), None, "another study");
    }
}
