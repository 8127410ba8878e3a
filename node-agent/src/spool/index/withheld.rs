//! Instances that came here and do not go to the relay: held back, refused, damaged, or not usable. The relay is told how
//! many of each study, so that no reader takes a study for complete while some of it stays here.

use rusqlite::params;
use std::collections::{BTreeMap, BTreeSet};

use super::delivered::{delivered_firsts, sop_key};
use super::{IndexDb, IndexResult, list};
use crate::spool::withheld::{Withheld, WithheldReason};

/// Column of this part.
pub const SCHEMA: &str = "
alter table studies add column withheld text not null default '';
";

/// What is withheld of a study, each SOP Instance UID once for each reason. One of which another version is on its way
/// or at the relay counts only when it is held back: that is a person's decision still to come.
pub fn sum_withheld(db: &IndexDb, study: &str) -> IndexResult<Withheld> {
    let rows = list(
        db,
        "select o.state as kind, o.sop_instance_uid from objects o
         where o.study_instance_uid = ?1 and (o.state = 'held' or (o.state in ('refused', 'damaged')
             and not exists (select 1 from objects p where p.sop_instance_uid = o.sop_instance_uid
                 and p.study_instance_uid = ?1 and p.state in ('stored', 'coded', 'receipted'))))
         union all
         select case when q.reason in ('damaged_in_spool', 'unreadable_in_spool') then 'damaged'
             else 'unusable' end,
             case q.sop_instance_uid when '' then q.object_id else q.sop_instance_uid end
         from quarantine q
         where q.study_instance_uid = ?1 and q.dismissed_at_ms is null
             and not exists (select 1 from objects p where p.sop_instance_uid = q.sop_instance_uid
                 and p.study_instance_uid = ?1 and p.state in ('stored', 'coded', 'receipted'))",
        params![study],
        |row| {
            let reason = match row.get_ref(0)?.as_str()? {
                "held" => WithheldReason::PatientDiffers,
                "refused" => WithheldReason::Refused,
                "damaged" => WithheldReason::Damaged,
                _ => WithheldReason::Unusable,
            };
            Ok((reason, row.get::<_, String>(1)?))
        },
    )?;
    if rows.is_empty() {
        return Ok(Withheld::default());
    }
    let delivered = delivered_firsts(db, study)?;
    let mut instances: BTreeMap<WithheldReason, BTreeSet<String>> = BTreeMap::new();
    for (reason, sop) in rows {
        if reason == WithheldReason::PatientDiffers || !delivered.contains_key(&sop_key(&sop)) {
            instances.entry(reason).or_default().insert(sop);
        }
    }
    Ok(instances
        .into_iter()
        .map(|(reason, instances)| (reason, instances.len() as u64))
        .collect())
}

/// Studies of which something may be withheld, or was when this was last written down.
pub fn list_withholding(db: &IndexDb) -> IndexResult<Vec<String>> {
    list(
        db,
        "select study_instance_uid from studies where withheld <> ''
         union select study_instance_uid from objects where state in ('held', 'refused', 'damaged')
         union select study_instance_uid from quarantine
             where study_instance_uid is not null and dismissed_at_ms is null",
        [],
        |row| Ok(row.get(0)?),
    )
}
