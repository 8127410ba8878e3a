//! What a site says a study consists of, and how far it has come.

use tancho_domain::access::Scope;
use tancho_domain::dicom::{Priority, StudyInstanceUid};
use tancho_domain::ids::{NetworkId, SiteId, StudyId};

use super::Origin;
use crate::db::Tx;
use crate::error::StoreError;
use crate::reading::site_of_reach;

/// Most studies of one list of what sites withhold.
pub const WITHHOLDING_STUDIES_MAX: i64 = 500;

/// A node's statement about a study.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Manifest<'a> {
    /// The study.
    pub study_instance_uid: &'a StudyInstanceUid,
    /// Its priority now.
    pub priority: Priority,
    /// Whether no more instances are expected.
    pub closed: bool,
    /// Instances at the site.
    pub n_instances: i64,
    /// Bytes of their data sets.
    pub bytes_original: i64,
    /// A lower one than stored is old news.
    pub generation: i64,
    /// Instances that stay at the site.
    pub withheld: &'a Withheld,
}

/// Instances of a study that came to its site and stay there, by the code of the reason.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Withheld(Vec<(String, i64)>);

impl Withheld {
    /// Codes of lower-case letters and underscores with their numbers; the caller has checked them.
    #[must_use]
    pub fn new(reasons: Vec<(String, i64)>) -> Self {
        Self(reasons)
    }

    /// The codes with their numbers.
    #[must_use]
    pub fn reasons(&self) -> &[(String, i64)] {
        &self.0
    }

    /// How many instances in all.
    #[must_use]
    pub fn n_instances(&self) -> i64 {
        self.0.iter().fold(0, |sum, (_, n)| sum.saturating_add(*n))
    }

    /// As the row has it: `code:number`, separated by commas.
    fn to_text(&self) -> String {
        let entries: Vec<String> = self.0.iter().map(|(code, n)| format!("{code}:{n}")).collect();
        entries.join(",")
    }
}

impl TryFrom<String> for Withheld {
    type Error = StoreError;

    fn try_from(text: String) -> Result<Self, StoreError> {
        let entry = |entry: &str| {
            let (code, n) = entry.split_once(':')?;
            Some((code.to_owned(), n.parse().ok()?))
        };
        let entries = text.split(',').filter(|text| !text.is_empty()).map(entry);
        let entries: Option<Vec<_>> = entries.collect();
        entries
            .map(Self)
            .ok_or_else(|| StoreError::Corrupt("withheld instances".to_owned()))
    }
}

/// How far a study is.
#[derive(Debug, Clone, PartialEq, Eq, sqlx::FromRow)]
pub struct StudyArrival {
    /// The study's id.
    #[sqlx(try_from = "String")]
    pub id: StudyId,
    /// Displayed instances of which the head is there.
    pub n_received: i64,
    /// Displayed instances that are whole and durable.
    pub n_verified: i64,
    /// Instances the site says it has; `None` before it said so, and when it has forgotten some.
    pub announced_instances: Option<i64>,
    /// Generation of the manifest that said so; 0 without one.
    pub announced_generation: i64,
    /// When the site said that no more come.
    pub closed_at_ms: Option<i64>,
    /// When the last head came.
    pub last_arrival_at_ms: i64,
    /// When another version of an instance came.
    pub conflict_at_ms: Option<i64>,
    /// When an instance of another patient came.
    pub held_at_ms: Option<i64>,
    /// Instances that stay at the site.
    #[sqlx(try_from = "String")]
    pub withheld: Withheld,
}

/// Takes a manifest. Gives the study's id if it has arrived and the manifest changed something.
pub async fn record_manifest(
    tx: &mut Tx,
    origin: &Origin,
    manifest: &Manifest<'_>,
    now_ms: i64,
) -> Result<Option<StudyId>, StoreError> {
    let closed_at_ms = manifest.closed.then_some(now_ms);
    let changed = execute!(
        tx,
        "insert into study_manifests (network_id, site_id, study_instance_uid, priority, n_instances, \
         bytes_original, generation, closed_at_ms, updated_at_ms, withheld) \
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10) \
         on conflict (network_id, site_id, study_instance_uid) do update set priority = excluded.priority, \
         n_instances = excluded.n_instances, bytes_original = excluded.bytes_original, \
         generation = excluded.generation, updated_at_ms = excluded.updated_at_ms, withheld = excluded.withheld, \
         closed_at_ms = case when excluded.closed_at_ms is null then null \
         else coalesce(study_manifests.closed_at_ms, excluded.closed_at_ms) end \
         where excluded.generation >= study_manifests.generation and (\
         excluded.generation <> study_manifests.generation or excluded.priority <> study_manifests.priority or \
         excluded.n_instances <> study_manifests.n_instances or \
         excluded.bytes_original <> study_manifests.bytes_original or \
         excluded.withheld <> study_manifests.withheld or \
         (excluded.closed_at_ms is null) <> (study_manifests.closed_at_ms is null))",
        origin.network_id.as_str(),
        origin.site_id.as_str(),
        manifest.study_instance_uid.as_str(),
        manifest.priority.as_str(),
        manifest.n_instances,
        manifest.bytes_original,
        manifest.generation,
        closed_at_ms,
        now_ms,
        manifest.withheld.to_text()
    )?;
    if changed == 0 {
        return Ok(None);
    }
    let row = fetch_optional!(
        tx,
        (String,),
        "select id from studies where network_id = $1 and site_id = $2 and study_instance_uid = $3",
        origin.network_id.as_str(),
        origin.site_id.as_str(),
        manifest.study_instance_uid.as_str()
    )?;
    let Some((id,)) = row else { return Ok(None) };
    let id = StudyId::parse(&id)?;
    copy_manifest(tx, &id).await?;
    Ok(Some(id))
}

/// Generation of the manifest taken of one of a node's studies, and whether it said that no more come.
pub async fn find_manifest(
    tx: &mut Tx,
    origin: &Origin,
    uid: &StudyInstanceUid,
) -> Result<Option<(i64, bool)>, StoreError> {
    let row = fetch_optional!(
        tx,
        (i64, Option<i64>),
        "select generation, closed_at_ms from study_manifests \
         where network_id = $1 and site_id = $2 and study_instance_uid = $3",
        origin.network_id.as_str(),
        origin.site_id.as_str(),
        uid.as_str()
    )?;
    Ok(row.map(|(generation, closed_at_ms)| (generation, closed_at_ms.is_some())))
}

/// Copies the site's statement onto the study row, where the lists read it. A site that names fewer instances than are
/// here has forgotten the others after their retention: its number is of the late ones alone, so how many there are in
/// all is not known, and the study never counts as complete by it.
pub(super) async fn copy_manifest(tx: &mut Tx, study_id: &StudyId) -> Result<(), StoreError> {
    execute!(
        tx,
        "update studies set priority = m.priority, \
         announced_instances = case when m.n_instances < studies.n_received then null else m.n_instances end, \
         announced_bytes = case when m.n_instances < studies.n_received then null else m.bytes_original end, \
         announced_generation = m.generation, closed_at_ms = m.closed_at_ms, withheld = m.withheld \
         from study_manifests m where studies.id = $1 and m.network_id = studies.network_id \
         and m.site_id = studies.site_id and m.study_instance_uid = studies.study_instance_uid",
        study_id.as_str()
    )?;
    Ok(())
}

/// How far one of a node's studies is; `NotFound` before its first head.
pub async fn get_study_arrival(
    tx: &mut Tx,
    origin: &Origin,
    uid: &StudyInstanceUid,
) -> Result<StudyArrival, StoreError> {
    fetch_one!(
        tx,
        StudyArrival,
        "select id, n_received, n_verified, announced_instances, announced_generation, closed_at_ms, \
         last_arrival_at_ms, conflict_at_ms, held_at_ms, withheld from studies \
         where network_id = $1 and site_id = $2 and study_instance_uid = $3",
        origin.network_id.as_str(),
        origin.site_id.as_str(),
        uid.as_str()
    )
}

/// How far a study is, and whom it concerns.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StudyProgress {
    /// How far.
    pub arrival: StudyArrival,
    /// The site that sent it and every site that was asked to read it.
    pub sites: Vec<SiteId>,
}

/// How far a study is, and which sites may know. For the relay's own events: not narrowed by reach.
pub async fn get_study_progress(
    tx: &mut Tx,
    network_id: &NetworkId,
    study_id: &StudyId,
) -> Result<StudyProgress, StoreError> {
    let arrival = fetch_one!(
        tx,
        StudyArrival,
        "select id, n_received, n_verified, announced_instances, announced_generation, closed_at_ms, \
         last_arrival_at_ms, conflict_at_ms, held_at_ms, withheld from studies where network_id = $1 and id = $2",
        network_id.as_str(),
        study_id.as_str()
    )?;
    let rows = fetch_all!(
        tx,
        (String,),
        "select site_id from studies where network_id = $1 and id = $2 \
         union select reading_site_id from reading_requests where network_id = $1 and study_id = $2",
        network_id.as_str(),
        study_id.as_str()
    )?;
    let sites = rows
        .into_iter()
        .map(|(id,)| SiteId::parse(&id).map_err(StoreError::from))
        .collect::<Result<_, _>>()?;
    Ok(StudyProgress { arrival, sites })
}

/// The Study Instance UID of one of a node's studies.
pub async fn get_study_uid(
    tx: &mut Tx,
    origin: &Origin,
    study_id: &str,
) -> Result<StudyInstanceUid, StoreError> {
    let (uid,) = fetch_one!(
        tx,
        (String,),
        "select study_instance_uid from studies where network_id = $1 and site_id = $2 and id = $3",
        origin.network_id.as_str(),
        origin.site_id.as_str(),
        study_id
    )?;
    Ok(StudyInstanceUid::parse(&uid)?)
}

/// A study of which its site withholds instances.
#[derive(Debug, Clone, PartialEq, Eq, sqlx::FromRow)]
pub struct WithholdingStudy {
    /// Short code of the site.
    pub site_code: String,
    /// Its name.
    pub site_name: String,
    /// The study.
    pub study_instance_uid: String,
    /// What stays there.
    #[sqlx(try_from = "String")]
    pub withheld: Withheld,
    /// Instances of it that are here and verified.
    pub n_verified: i64,
    /// When the site last said something of the study.
    pub updated_at_ms: i64,
}

/// Studies within reach of which their site withholds instances, what was said last first; at most
/// [`WITHHOLDING_STUDIES_MAX`]. One of which nothing is here is among them.
pub async fn list_withholding_studies(
    tx: &mut Tx,
    scope: &Scope,
) -> Result<Vec<WithholdingStudy>, StoreError> {
    fetch_all!(
        tx,
        WithholdingStudy,
        "select i.code as site_code, i.name as site_name, m.study_instance_uid, m.withheld, \
         coalesce(s.n_verified, 0) as n_verified, m.updated_at_ms from study_manifests m \
         join sites i on i.id = m.site_id left join studies s on s.network_id = m.network_id \
         and s.site_id = m.site_id and s.study_instance_uid = m.study_instance_uid \
         where m.network_id = $1 and ($2 is null or m.site_id = $2) and m.withheld <> '' \
         order by m.updated_at_ms desc, m.study_instance_uid limit $3",
        scope.network_id.as_str(),
        site_of_reach(scope),
        WITHHOLDING_STUDIES_MAX
    )
}
