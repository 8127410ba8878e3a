//! Instances that came here and do not go to the relay: held back, refused, damaged, or not usable. The relay is told how
//! many of each study, so that no reader takes a study for complete while some of it stays here.

use std::collections::{BTreeMap, BTreeSet};

use sqlx::Row;
use sqlx::sqlite::SqliteConnection;

use super::delivered::{delivered_firsts, sop_key};
use crate::spool::withheld::{Withheld, WithheldReason};

/// Column of this part.
pub const SCHEMA: &str = "
alter table studies add column withheld text not null default '';
";

/// What is withheld of a study, each SOP Instance UID once for each reason. One of which another version is on its way
/// or at the relay counts only when it is held back: that is a person's decision still to come.
pub async fn sum_withheld(db: &mut SqliteConnection, study: &str) -> sqlx::Result<Withheld> {
    let rows = sqlx::query(
        "select o.state as kind, o.sop_instance_uid from objects o
         where o.study_instance_uid = $1 and (o.state = 'held' or (o.state in ('refused', 'damaged')
             and not exists (select 1 from objects p where p.sop_instance_uid = o.sop_instance_uid
                 and p.study_instance_uid = $1 and p.state in ('stored', 'coded', 'receipted'))))
         union all
         select case when q.reason in ('damaged_in_spool', 'unreadable_in_spool') then 'damaged' else 'unusable' end,
             case q.sop_instance_uid when '' then q.object_id else q.sop_instance_uid end
         from quarantine q
         where q.study_instance_uid = $1 and q.dismissed_at_ms is null
             and not exists (select 1 from objects p where p.sop_instance_uid = q.sop_instance_uid
                 and p.study_instance_uid = $1 and p.state in ('stored', 'coded', 'receipted'))",
    )
    .bind(study)
    .fetch_all(&mut *db)
    .await?;
    if rows.is_empty() {
        return Ok(Withheld::default());
    }
    let delivered = delivered_firsts(db, study).await?;
    let mut instances: BTreeMap<WithheldReason, BTreeSet<String>> = BTreeMap::new();
    for row in rows {
        let reason = match row.try_get(0)? {
            "held" => WithheldReason::PatientDiffers,
            "refused" => WithheldReason::Refused,
            "damaged" => WithheldReason::Damaged,
            _ => WithheldReason::Unusable,
        };
        let sop: String = row.try_get(1)?;
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
pub async fn list_withholding(db: &mut SqliteConnection) -> sqlx::Result<Vec<String>> {
    sqlx::query_scalar(
        "select study_instance_uid from studies where withheld <> ''
         union select study_instance_uid from objects where state in ('held', 'refused', 'damaged')
         union select study_instance_uid from quarantine
             where study_instance_uid is not null and dismissed_at_ms is null",
    )
    .fetch_all(db)
    .await
}
