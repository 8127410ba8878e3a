//! Studies, series and instances read back: for DICOMweb, exports and the scrub. Arrivals are written in `studies.rs`.
//!
//! Shown are instances of revision 1 that are not held; other revisions and held ones are kept beside them.
//! Every read is narrowed to the rows a person may see; what lies beyond does not exist.

use tancho_domain::access::Scope;
use tancho_domain::dicom::{SeriesInstanceUid, SopInstanceUid, StudyInstanceUid};
use tancho_domain::ids::{InstanceId, NetworkId, SiteId, StudyId};
use tancho_domain::search_key::{SEARCH_WORDS_MAX, SearchWord};

use crate::db::Tx;
use crate::error::StoreError;
use crate::reading::site_of_reach;
use crate::studies::{UncertainElements, Withheld};

/// Characters of the longest UID (PS3.5 section 9.1).
const UID_CHARS_MAX: usize = 64;
/// Most studies one page gives.
pub const STUDIES_PAGE_MAX: i64 = 500;
/// Most instances one answer gives.
pub const INSTANCES_MAX: i64 = 20_000;

/// A study as lists and viewers show it.
#[derive(Debug, Clone, PartialEq, Eq, sqlx::FromRow)]
pub struct Study {
    /// Our id.
    #[sqlx(try_from = "String")]
    pub id: StudyId,
    /// The site it came from.
    #[sqlx(try_from = "String")]
    pub site_id: SiteId,
    /// Study Instance UID (0020,000D).
    pub study_instance_uid: String,
    /// Patient ID (0010,0020).
    pub patient_id: String,
    /// Issuer of Patient ID (0010,0021).
    pub issuer_of_patient_id: Option<String>,
    /// Patient's Name, alphabetic group.
    pub patient_name_alphabetic: String,
    /// Patient's Name, ideographic group.
    pub patient_name_ideographic: String,
    /// Patient's Name, phonetic group.
    pub patient_name_phonetic: String,
    /// 1 when the decoder was not sure.
    pub patient_name_uncertain: i64,
    /// Texts that the declared character sets do not explain.
    #[sqlx(try_from = "String")]
    pub uncertain_elements: UncertainElements,
    /// Patient's Birth Date (0010,0030).
    pub patient_birth_date: Option<String>,
    /// Patient's Sex (0010,0040).
    pub patient_sex: Option<String>,
    /// Study Date (0008,0020).
    pub study_date: Option<String>,
    /// Study Time (0008,0030).
    pub study_time: Option<String>,
    /// Accession Number (0008,0050).
    pub accession_number: Option<String>,
    /// Study Description (0008,1030).
    pub study_description: Option<String>,
    /// Series of which the head of a displayed instance is there.
    pub n_series: i64,
    /// Displayed instances of which the head is there.
    pub n_received: i64,
    /// Displayed instances that are whole and durable.
    pub n_verified: i64,
    /// Instances the site says it has.
    pub announced_instances: Option<i64>,
    /// Bytes of the data sets received.
    pub bytes_received: i64,
    /// When the site said that no more come.
    pub closed_at_ms: Option<i64>,
    /// When the first head came.
    pub first_arrival_at_ms: i64,
    /// When the last head came.
    pub last_arrival_at_ms: i64,
    /// When another version of an instance came.
    pub conflict_at_ms: Option<i64>,
    /// When an instance of another patient came; it is kept aside.
    pub held_at_ms: Option<i64>,
    /// Instances that stay at the site.
    #[sqlx(try_from = "String")]
    pub withheld: Withheld,
}

/// A series of a study.
#[derive(Debug, Clone, PartialEq, Eq, sqlx::FromRow)]
pub struct Series {
    /// Series Instance UID (0020,000E).
    pub series_instance_uid: String,
    /// Modality (0008,0060).
    pub modality: String,
    /// Series Number (0020,0011).
    pub series_number: Option<i64>,
    /// Series Description (0008,103E).
    pub series_description: Option<String>,
    /// Body Part Examined (0018,0015).
    pub body_part: Option<String>,
    /// Texts that the declared character sets do not explain.
    #[sqlx(try_from = "String")]
    pub uncertain_elements: UncertainElements,
    /// Shown instances that are whole and durable.
    pub n_verified: i64,
}

/// A shown instance, and where its bytes are.
#[derive(Debug, Clone, PartialEq, Eq, sqlx::FromRow)]
pub struct Instance {
    /// Our id.
    #[sqlx(try_from = "String")]
    pub id: InstanceId,
    /// Its study.
    #[sqlx(try_from = "String")]
    pub study_id: StudyId,
    /// Study Instance UID (0020,000D).
    pub study_instance_uid: String,
    /// Series Instance UID (0020,000E).
    pub series_instance_uid: String,
    /// SOP Instance UID (0008,0018).
    pub sop_instance_uid: String,
    /// SOP Class UID (0008,0016).
    pub sop_class_uid: String,
    /// Modality (0008,0060) of its series.
    pub modality: String,
    /// Transfer syntax it was received in.
    pub transfer_syntax_uid: String,
    /// `arriving` or `verified`; only verified ones have their bytes in the blob store.
    pub state: String,
    /// Name of its blob: SHA-256 of the container, in hexadecimal digits.
    pub container_sha256: String,
    /// SHA-256 of the original data set, in hexadecimal digits.
    pub original_sha256: String,
    /// Bytes of the original data set.
    pub original_len: i64,
    /// Instance Number (0020,0013).
    pub instance_number: Option<i64>,
    /// Frames that can be shown; 0 for objects without.
    pub number_of_frames: i64,
    /// Rows (0028,0010).
    pub frame_rows: Option<i64>,
    /// Columns (0028,0011).
    pub frame_columns: Option<i64>,
    /// Codes of scan warnings, separated by commas.
    pub warnings: String,
}

impl Instance {
    /// Whether its bytes are whole and durable.
    #[must_use]
    pub fn is_verified(&self) -> bool {
        self.state == "verified"
    }
}

/// How a study is named in an address: by our id, or by its UID, which two sites may share.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StudyKey {
    /// Our id.
    Id(StudyId),
    /// Study Instance UID.
    Uid(StudyInstanceUid),
}

impl StudyKey {
    /// Reads either form; they cannot be taken for each other.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        match StudyId::parse(text) {
            Ok(id) => Some(Self::Id(id)),
            Err(_) => StudyInstanceUid::parse(text).ok().map(Self::Uid),
        }
    }

    fn id(&self) -> Option<&str> {
        match self {
            Self::Id(id) => Some(id.as_str()),
            Self::Uid(_) => None,
        }
    }

    fn uid(&self) -> Option<&str> {
        match self {
            Self::Id(_) => None,
            Self::Uid(uid) => Some(uid.as_str()),
        }
    }
}

/// A study is within reach of the site it came from and of every site asked to read it.
macro_rules! study_in_reach {
    () => {
        "s.network_id = $1 and ($2 is null or s.site_id = $2 or exists (select 1 from reading_requests r \
         where r.network_id = s.network_id and r.study_id = s.id and r.reading_site_id = $2))"
    };
}

/// A series is shown when one of its instances is; what is held aside shows nothing of itself.
macro_rules! series_is_shown {
    () => {
        "exists (select 1 from instances i where i.series_id = e.id and i.revision = 1 and i.state <> 'held')"
    };
}

macro_rules! study_columns {
    () => {
        concat!(
            "s.id, s.site_id, s.study_instance_uid, s.patient_id, s.issuer_of_patient_id, s.patient_name_alphabetic, \
             s.patient_name_ideographic, s.patient_name_phonetic, s.patient_name_uncertain, s.uncertain_elements, \
             s.patient_birth_date, s.patient_sex, s.study_date, s.study_time, s.accession_number, s.study_description, \
             (select count(*) from series e where e.study_id = s.id and ",
            series_is_shown!(),
            ") as n_series, s.n_received, s.n_verified, s.announced_instances, s.bytes_received, s.closed_at_ms, \
             s.first_arrival_at_ms, s.last_arrival_at_ms, s.conflict_at_ms, s.held_at_ms, s.withheld"
        )
    };
}

macro_rules! instance_columns {
    () => {
        "i.id, i.study_id, s.study_instance_uid, e.series_instance_uid, i.sop_instance_uid, i.sop_class_uid, \
         e.modality, i.transfer_syntax_uid, i.state, i.container_sha256, i.original_sha256, i.original_len, \
         i.instance_number, i.number_of_frames, i.frame_rows, i.frame_columns, i.warnings"
    };
}

/// Which studies are asked for; what is left out asks for everything.
#[derive(Debug, Clone, Default)]
pub struct StudyFilter<'a> {
    /// Study Instance UIDs, separated by commas.
    pub study_instance_uids: Option<&'a str>,
    /// Series Instance UIDs of which the study has one, separated by commas.
    pub series_instance_uids: Option<&'a str>,
    /// SOP Instance UIDs of which the study shows one, separated by commas.
    pub sop_instance_uids: Option<&'a str>,
    /// Exactly this Patient ID.
    pub patient_id: Option<&'a str>,
    /// Exactly this Accession Number.
    pub accession_number: Option<&'a str>,
    /// `YYYYMMDD`, the first Study Date.
    pub study_date_from: Option<&'a str>,
    /// `YYYYMMDD`, the last Study Date.
    pub study_date_to: Option<&'a str>,
    /// Each a part of what the patient is found by; at most [`SEARCH_WORDS_MAX`] count.
    pub words: &'a [SearchWord],
}

/// A word of a search in a study's key, as written or as spoken.
macro_rules! study_has_word {
    ($written:literal, $spoken:literal) => {
        concat!(
            "and ($",
            $written,
            " is null or coalesce(s.search_key, '') like $",
            $written,
            " or coalesce(s.search_key, '') like $",
            $spoken,
            ") "
        )
    };
}

/// The UIDs of list `$n` as a relation: each takes 64 characters there, its longest, filled up with spaces.
macro_rules! listed_uids {
    ($list:literal) => {
        concat!(
            "(with recursive places(place) as (select 0 union all select place + 64 from places \
             where place + 64 < length($",
            $list,
            ")) select rtrim(substr($",
            $list,
            ", place + 1, 64)) from places)"
        )
    };
}

/// UIDs separated by commas as [`listed_uids!`] reads them, without what is longer than any UID.
fn uid_places(list: &str) -> String {
    let uids = list.split(',').filter(|uid| uid.len() <= UID_CHARS_MAX);
    uids.map(|uid| format!("{uid:<UID_CHARS_MAX$}")).collect()
}

/// The studies that a [`StudyFilter`] names, out of `$from`, where an index may narrow them.
macro_rules! studies_that_match {
    ($from:expr) => {
        concat!(
            " from ",
            $from,
            " where ",
            study_in_reach!(),
            " and ($3 is null or s.study_instance_uid in ",
            listed_uids!("3"),
            ") and ($4 is null or exists (select 1 from series e where e.study_id = s.id and ",
            series_is_shown!(),
            " and e.series_instance_uid in ",
            listed_uids!("4"),
            ")) and ($5 is null or exists (select 1 from instances i where i.study_id = s.id and i.revision = 1 \
             and i.state <> 'held' and i.sop_instance_uid in ",
            listed_uids!("5"),
            ")) and ($6 is null or s.patient_id = $6) and ($7 is null or s.accession_number = $7) \
             and ($8 is null or s.study_date >= $8) and ($9 is null or s.study_date <= $9) ",
            study_has_word!("10", "11"),
            study_has_word!("12", "13"),
            study_has_word!("14", "15"),
            study_has_word!("16", "17")
        )
    };
}

/// Runs a statement over the studies that match, by the index that the filter's UIDs have: of instances, of studies, of
/// series, or, without any, in order of arrival. SQLite keeps the order of a cross join, so what the index gives comes
/// first and no study is walked.
macro_rules! over_studies {
    ($fetch:ident, $tx:expr, $row:ty, $head:expr, $end:literal, $scope:expr, $filter:expr $(, $bind:expr)*) => {{
        const { assert!(SEARCH_WORDS_MAX == 4, "the statement has a place for each word") };
        const BY_ARRIVAL: &str = concat!($head, studies_that_match!("studies s"), $end);
        const BY_STUDY: &str = concat!(
            $head,
            studies_that_match!(concat!(
                "(select distinct o.id as study_id from studies o where o.network_id = $1 and o.study_instance_uid in ",
                listed_uids!("3"),
                ") f cross join studies s"
            )),
            "and s.id = f.study_id",
            $end
        );
        const BY_SERIES: &str = concat!(
            $head,
            studies_that_match!(concat!(
                "(select distinct o.study_id as study_id from series o where o.network_id = $1 and o.series_instance_uid in ",
                listed_uids!("4"),
                ") f cross join studies s"
            )),
            "and s.id = f.study_id",
            $end
        );
        const BY_INSTANCE: &str = concat!(
            $head,
            studies_that_match!(concat!(
                "(select distinct o.study_id as study_id from instances o where o.network_id = $1 and o.sop_instance_uid in ",
                listed_uids!("5"),
                ") f cross join studies s"
            )),
            "and s.id = f.study_id",
            $end
        );
        let (scope, filter): (&Scope, &StudyFilter<'_>) = ($scope, $filter);
        let places = |list: Option<&str>| list.map(uid_places);
        let word = |n: usize| filter.words.get(n);
        let written = |n| word(n).map(|word| format!("%{}%", word.written));
        let spoken = |n| Some(format!("%{}%", word(n)?.spoken.as_ref()?));
        let text = match (
            filter.sop_instance_uids,
            filter.study_instance_uids,
            filter.series_instance_uids,
        ) {
            (Some(_), _, _) => BY_INSTANCE,
            (None, Some(_), _) => BY_STUDY,
            (None, None, Some(_)) => BY_SERIES,
            (None, None, None) => BY_ARRIVAL,
        };
        $fetch!(
            $tx,
            $row,
            text,
            scope.network_id.as_str(),
            site_of_reach(scope),
            places(filter.study_instance_uids),
            places(filter.series_instance_uids),
            places(filter.sop_instance_uids),
            filter.patient_id,
            filter.accession_number,
            filter.study_date_from,
            filter.study_date_to,
            written(0),
            spoken(0),
            written(1),
            spoken(1),
            written(2),
            spoken(2),
            written(3),
            spoken(3)
            $(, $bind)*
        )
    }};
}

/// A page of the studies within reach that match, the latest arrival first.
pub async fn list_studies(
    tx: &mut Tx,
    scope: &Scope,
    filter: &StudyFilter<'_>,
    limit: i64,
    offset: i64,
) -> Result<Vec<Study>, StoreError> {
    over_studies!(
        fetch_all,
        tx,
        Study,
        concat!("select ", study_columns!()),
        " order by s.last_arrival_at_ms desc, s.id limit $18 offset $19",
        scope,
        filter,
        limit.clamp(0, STUDIES_PAGE_MAX),
        offset.max(0)
    )
}

/// How many studies within reach match.
pub async fn count_studies(tx: &mut Tx, scope: &Scope, filter: &StudyFilter<'_>) -> Result<i64, StoreError> {
    let (count,) = over_studies!(fetch_one, tx, (i64,), "select count(*)", "", scope, filter)?;
    Ok(count)
}

/// How the database would find what [`list_studies`] gives, one step a line in its own words.
pub async fn explain_list_studies(
    tx: &mut Tx,
    scope: &Scope,
    filter: &StudyFilter<'_>,
) -> Result<Vec<String>, StoreError> {
    match tx {
        Tx::Sqlite(_) => {
            let steps = over_studies!(
                fetch_all,
                tx,
                (i64, i64, i64, String),
                concat!("explain query plan select ", study_columns!()),
                " order by s.last_arrival_at_ms desc, s.id limit 200",
                scope,
                filter
            )?;
            Ok(steps.into_iter().map(|(_, _, _, step)| step).collect())
        }
        Tx::Postgres(_) => {
            let steps = over_studies!(
                fetch_all,
                tx,
                (String,),
                concat!("explain select ", study_columns!()),
                " order by s.last_arrival_at_ms desc, s.id limit 200",
                scope,
                filter
            )?;
            Ok(steps.into_iter().map(|(step,)| step).collect())
        }
    }
}

/// The study of that name. `NotFound` beyond reach; `Conflict` when two sites sent studies of that UID and both are
/// within reach: then only our id names one.
pub async fn get_study(tx: &mut Tx, scope: &Scope, key: &StudyKey) -> Result<Study, StoreError> {
    let mut found = fetch_all!(
        tx,
        Study,
        concat!(
            "select ",
            study_columns!(),
            " from studies s where ",
            study_in_reach!(),
            " and ($3 is null or s.id = $3) and ($4 is null or s.study_instance_uid = $4) limit 2"
        ),
        scope.network_id.as_str(),
        site_of_reach(scope),
        key.id(),
        key.uid()
    )?;
    match (found.pop(), found.pop()) {
        (Some(study), None) => Ok(study),
        (Some(_), Some(_)) => Err(StoreError::Conflict),
        (None, _) => Err(StoreError::NotFound),
    }
}

/// The modalities of the shown series of a study, in order.
pub async fn list_modalities(tx: &mut Tx, scope: &Scope, study: &StudyId) -> Result<Vec<String>, StoreError> {
    let rows = fetch_all!(
        tx,
        (String,),
        concat!(
            "select distinct e.modality from series e join studies s on s.id = e.study_id where ",
            study_in_reach!(),
            " and s.id = $3 and e.modality <> '' and ",
            series_is_shown!(),
            " order by e.modality"
        ),
        scope.network_id.as_str(),
        site_of_reach(scope),
        study.as_str()
    )?;
    Ok(rows.into_iter().map(|(modality,)| modality).collect())
}

/// The shown series of a study, by number; with a UID only that one.
pub async fn list_series(
    tx: &mut Tx,
    scope: &Scope,
    study: &StudyId,
    uid: Option<&SeriesInstanceUid>,
) -> Result<Vec<Series>, StoreError> {
    fetch_all!(
        tx,
        Series,
        concat!(
            "select e.series_instance_uid, e.modality, e.series_number, e.series_description, e.body_part, e.uncertain_elements, \
             (select count(*) from instances i where i.series_id = e.id and i.revision = 1 \
             and i.state = 'verified') as n_verified \
             from series e join studies s on s.id = e.study_id where ",
            study_in_reach!(),
            " and s.id = $3 and ($4 is null or e.series_instance_uid = $4) and ",
            series_is_shown!(),
            " order by coalesce(e.series_number, 2147483647), e.series_instance_uid"
        ),
        scope.network_id.as_str(),
        site_of_reach(scope),
        study.as_str(),
        uid.map(SeriesInstanceUid::as_str)
    )
}

/// The first whole shown instance of each series of a study, by series; with a UID of that series only.
pub async fn list_first_instances(
    tx: &mut Tx,
    scope: &Scope,
    study: &StudyId,
    series_uid: Option<&SeriesInstanceUid>,
) -> Result<Vec<Instance>, StoreError> {
    fetch_all!(
        tx,
        Instance,
        concat!(
            "select ",
            instance_columns!(),
            " from (select n.*, row_number() over (partition by n.series_id \
             order by coalesce(n.instance_number, 2147483647), n.sop_instance_uid) as place from instances n \
             where n.study_id = $3 and n.revision = 1 and n.state = 'verified') i \
             join series e on e.id = i.series_id join studies s on s.id = i.study_id where ",
            study_in_reach!(),
            " and i.place = 1 and ($4 is null or e.series_instance_uid = $4) \
             order by coalesce(e.series_number, 2147483647), e.series_instance_uid limit $5"
        ),
        scope.network_id.as_str(),
        site_of_reach(scope),
        study.as_str(),
        series_uid.map(SeriesInstanceUid::as_str),
        INSTANCES_MAX
    )
}

/// The shown instances of a study, by series and number; with UIDs only those that have them.
pub async fn list_instances(
    tx: &mut Tx,
    scope: &Scope,
    study: &StudyId,
    series_uid: Option<&SeriesInstanceUid>,
    sop_uid: Option<&SopInstanceUid>,
) -> Result<Vec<Instance>, StoreError> {
    fetch_all!(
        tx,
        Instance,
        concat!(
            "select ",
            instance_columns!(),
            " from instances i join series e on e.id = i.series_id join studies s on s.id = i.study_id where ",
            study_in_reach!(),
            " and s.id = $3 and i.revision = 1 and i.state <> 'held' \
             and ($4 is null or e.series_instance_uid = $4) and ($5 is null or i.sop_instance_uid = $5) \
             order by coalesce(e.series_number, 2147483647), e.series_instance_uid, \
             coalesce(i.instance_number, 2147483647), i.sop_instance_uid limit $6"
        ),
        scope.network_id.as_str(),
        site_of_reach(scope),
        study.as_str(),
        series_uid.map(SeriesInstanceUid::as_str),
        sop_uid.map(SopInstanceUid::as_str),
        INSTANCES_MAX
    )
}

/// One stored version of an instance, for exports.
#[derive(Debug, Clone, PartialEq, Eq, sqlx::FromRow)]
pub struct StoredVersion {
    /// Our id.
    #[sqlx(try_from = "String")]
    pub id: InstanceId,
    /// Code of the site it came from.
    pub site_code: String,
    /// 1 is the one shown.
    pub revision: i64,
    /// `arriving`, `verified` or `held`.
    pub state: String,
    /// Name of its blob.
    pub container_sha256: String,
    /// When it was whole and durable.
    pub verified_at_ms: Option<i64>,
}

/// Every stored version of an instance within reach, of every site, the shown one of each first.
pub async fn list_versions(
    tx: &mut Tx,
    scope: &Scope,
    sop_uid: &SopInstanceUid,
) -> Result<Vec<StoredVersion>, StoreError> {
    fetch_all!(
        tx,
        StoredVersion,
        concat!(
            "select i.id, t.code as site_code, i.revision, i.state, i.container_sha256, i.verified_at_ms \
             from instances i join studies s on s.id = i.study_id join sites t on t.id = i.site_id where ",
            study_in_reach!(),
            " and i.sop_instance_uid = $3 order by t.code, i.revision limit $4"
        ),
        scope.network_id.as_str(),
        site_of_reach(scope),
        sop_uid.as_str(),
        INSTANCES_MAX
    )
}

/// A blob the store counts on.
#[derive(Debug, Clone, PartialEq, Eq, sqlx::FromRow)]
pub struct ExpectedBlob {
    /// Our id of the instance; also where the next page begins.
    #[sqlx(try_from = "String")]
    pub instance_id: InstanceId,
    /// The tenant.
    #[sqlx(try_from = "String")]
    pub network_id: NetworkId,
    /// Name of the blob.
    pub container_sha256: String,
}

/// A page of the blobs that must be there, of every network: for the relay's own scrub, not narrowed by reach.
pub async fn list_expected_blobs(
    tx: &mut Tx,
    after: Option<&InstanceId>,
    limit: i64,
) -> Result<Vec<ExpectedBlob>, StoreError> {
    fetch_all!(
        tx,
        ExpectedBlob,
        "select id as instance_id, network_id, container_sha256 from instances \
         where verified_at_ms is not null and id > $1 order by id limit $2",
        after.map_or("", InstanceId::as_str),
        limit
    )
}

/// Whether an instance refers to this blob, whatever its state: for the relay's own scrub.
pub async fn is_blob_expected(
    tx: &mut Tx,
    network_id: &NetworkId,
    container_sha256: &str,
) -> Result<bool, StoreError> {
    let found = fetch_optional!(
        tx,
        (String,),
        "select id from instances where network_id = $1 and container_sha256 = $2 limit 1",
        network_id.as_str(),
        container_sha256
    )?;
    Ok(found.is_some())
}
