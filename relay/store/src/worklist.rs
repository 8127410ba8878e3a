//! The reading worklist: requests within reach with their study, sites and claim, most urgent first.

use tancho_domain::access::Scope;
use tancho_domain::ids::ReadingRequestId;
use tancho_domain::search_key::{SEARCH_WORDS_MAX, SearchWord};

use crate::db::Tx;
use crate::error::StoreError;
use crate::reading::{ReadingRequest, request_columns, site_of_reach};
use crate::studies::{UncertainElements, Withheld};

/// Most items one page of the worklist gives.
pub const PAGE_ITEMS_MAX: i64 = 500;

/// Which requests are asked for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Openness {
    /// Something is still expected.
    #[default]
    Open,
    /// A final report is there, acknowledged or not, or nothing more is expected.
    Reported,
    /// Nothing more is expected.
    Closed,
    /// Both.
    All,
}

/// What is asked of the worklist.
#[derive(Debug, Clone, Default)]
pub struct WorklistFilter<'a> {
    /// Which of them.
    pub openness: Openness,
    /// Sent by or to the site with this code.
    pub site_code: Option<&'a str>,
    /// Each a part of the patient's name or id, of the accession number, of the requesting site's name, or of the case
    /// code; at most [`SEARCH_WORDS_MAX`] count. None asks for everything.
    pub words: &'a [SearchWord],
}

/// One request with everything a line of the worklist shows.
#[derive(Debug, Clone, PartialEq, Eq, sqlx::FromRow)]
pub struct WorklistItem {
    /// The request.
    #[sqlx(flatten)]
    pub request: ReadingRequest,
    /// Who asks.
    pub requesting_site_code: String,
    /// Who asks, as people say it.
    pub requesting_site_name: String,
    /// Who reads.
    pub reading_site_code: String,
    /// Who reads, as people say it.
    pub reading_site_name: String,
    /// Name of the claim's holder.
    pub claim_reader_name: Option<String>,
    /// When the first answer by voice was on record: a conversation that was closed, its read-back not a mismatch.
    pub verbal_answered_at_ms: Option<i64>,
    /// When it was last sent back for information, however it stands now.
    pub returned_at_ms: Option<i64>,
    /// Who sent it back then (a `UserId`).
    pub returned_by_id: Option<String>,
    /// Name of that person then.
    pub returned_by_name: Option<String>,
    /// The study; everything absent until its first head is here.
    #[sqlx(flatten)]
    pub study: StudyOfItem,
}

/// The study of a line; everything absent until its first head is here.
#[derive(Debug, Clone, Default, PartialEq, Eq, sqlx::FromRow)]
pub struct StudyOfItem {
    /// Patient ID (0010,0020).
    pub patient_id: Option<String>,
    /// Patient's Name, alphabetic group.
    pub patient_name_alphabetic: Option<String>,
    /// Patient's Name, ideographic group.
    pub patient_name_ideographic: Option<String>,
    /// Patient's Name, phonetic group.
    pub patient_name_phonetic: Option<String>,
    /// 1 when the decoder was not sure.
    pub patient_name_uncertain: Option<i64>,
    /// Texts that the declared character sets do not explain.
    #[sqlx(try_from = "String")]
    pub uncertain_elements: UncertainElements,
    /// `YYYYMMDD`.
    pub patient_birth_date: Option<String>,
    /// Patient's Sex (0010,0040).
    pub patient_sex: Option<String>,
    /// `YYYYMMDD`.
    pub study_date: Option<String>,
    /// `HHMMSS.FFFFFF`.
    pub study_time: Option<String>,
    /// Accession Number.
    pub accession_number: Option<String>,
    /// Study Description.
    pub study_description: Option<String>,
    /// Instances whose head is here.
    pub n_received: Option<i64>,
    /// Instances that are whole and durable.
    pub n_verified: Option<i64>,
    /// Bytes of them.
    pub bytes_received: Option<i64>,
    /// Instances the agent has announced.
    pub announced_instances: Option<i64>,
    /// When the agent closed the study.
    pub study_closed_at_ms: Option<i64>,
    /// First head.
    pub first_arrival_at_ms: Option<i64>,
    /// Newest head or commit.
    pub last_arrival_at_ms: Option<i64>,
    /// Since when the study holds two contents under one UID.
    pub conflict_at_ms: Option<i64>,
    /// Since when an instance of another patient is kept aside.
    pub held_at_ms: Option<i64>,
    /// Instances that are kept aside; they are in none of the other counts.
    pub n_held: Option<i64>,
    /// Instances that stay at the site.
    #[sqlx(try_from = "String")]
    pub withheld: Withheld,
}

macro_rules! item_select {
    ($($rest:expr),+ $(,)?) => {
        concat!(
            "select ",
            request_columns!(),
            ", q.code as requesting_site_code, q.name as requesting_site_name, d.code as reading_site_code, \
             d.name as reading_site_name, u.name as claim_reader_name, \
             (select min(c.closed_at_ms) from calls c where c.network_id = r.network_id \
             and c.reading_request_id = r.id and c.state = 'closed' \
             and c.conversation not like '%\"readback_ok\":false%') as verbal_answered_at_ms, b.at_ms as returned_at_ms, \
             b.actor_id as returned_by_id, b.actor_name as returned_by_name, s.patient_id, s.patient_name_alphabetic, \
             s.patient_name_ideographic, s.patient_name_phonetic, s.patient_name_uncertain, \
             coalesce(s.uncertain_elements, '') as uncertain_elements, s.patient_birth_date, s.patient_sex, s.study_date, s.study_time, s.accession_number, \
             s.study_description, s.n_received, s.n_verified, s.bytes_received, s.announced_instances, \
             s.closed_at_ms as study_closed_at_ms, s.first_arrival_at_ms, s.last_arrival_at_ms, s.conflict_at_ms, s.held_at_ms, \
             coalesce(s.withheld, '') as withheld, case when s.held_at_ms is null then 0 else (select count(*) from instances i \
             where i.study_id = s.id and i.state = 'held') end as n_held \
             from reading_requests r join sites q on q.id = r.requesting_site_id \
             join sites d on d.id = r.reading_site_id left join studies s on s.id = r.study_id \
             left join users u on u.id = r.claim_reader_id \
             left join reading_events b on b.reading_request_id = r.id and b.seq = (select max(e.seq) \
             from reading_events e where e.reading_request_id = r.id and e.kind = 'returned') \
             where r.network_id = $1 and ($2 is null or r.requesting_site_id = $2 or r.reading_site_id = $2) ",
            $($rest),+
        )
    };
}

/// What a word is searched in, apart by spaces, which no word holds.
macro_rules! searched {
    ($written:literal, $spoken:literal) => {
        concat!(
            "and ($",
            $written,
            " is null or coalesce(s.search_key, '') || ' ' || r.case_code || ' ' || \
             coalesce(q.search_key, '') like $",
            $written,
            " or coalesce(s.search_key, '') || ' ' || \
             coalesce(q.search_key, '') like $",
            $spoken,
            ") "
        )
    };
}

/// The requests within reach that match, open before closed, then most urgent, then longest waiting.
pub async fn list_worklist(
    tx: &mut Tx,
    scope: &Scope,
    filter: &WorklistFilter<'_>,
) -> Result<Vec<WorklistItem>, StoreError> {
    let (from, to) = match filter.openness {
        Openness::Open => (0_i64, 1_i64),
        Openness::Reported => (1, 2),
        Openness::Closed => (2, 2),
        Openness::All => (0, 2),
    };
    let word = |n: usize| filter.words.get(n);
    let written = |n| word(n).map(|word| format!("%{}%", word.written));
    let spoken = |n| Some(format!("%{}%", word(n)?.spoken.as_ref()?));
    const { assert!(SEARCH_WORDS_MAX == 4, "the statement has a place for each word") };
    fetch_all!(
        tx,
        WorklistItem,
        item_select!(
            "and case when r.closed_at_ms is not null then 2 when r.state = 'final' then 1 else 0 end between $3 and $4 \
             and ($5 is null or q.code = $5 or d.code = $5) ",
            searched!("6", "7"),
            searched!("8", "9"),
            searched!("10", "11"),
            searched!("12", "13"),
            "order by case when r.closed_at_ms is null then 0 else 1 end, \
               case r.urgency when 'stroke_code' then 0 when 'critical' then 1 when 'urgent' then 2 \
                 when 'routine' then 3 else 4 end, \
               r.requested_at_ms, r.id limit $14"
        ),
        scope.network_id.as_str(),
        site_of_reach(scope),
        from,
        to,
        filter.site_code,
        written(0),
        spoken(0),
        written(1),
        spoken(1),
        written(2),
        spoken(2),
        written(3),
        spoken(3),
        PAGE_ITEMS_MAX
    )
}

/// One request within reach, as a line of the worklist.
pub async fn get_worklist_item(
    tx: &mut Tx,
    scope: &Scope,
    id: &ReadingRequestId,
) -> Result<WorklistItem, StoreError> {
    fetch_one!(
        tx,
        WorklistItem,
        item_select!("and r.id = $3"),
        scope.network_id.as_str(),
        site_of_reach(scope),
        id.as_str()
    )
}

/// The modalities of the studies behind the requests within reach, as (study id, modality), each pair once.
pub async fn list_modalities(
    tx: &mut Tx,
    scope: &Scope,
    id: Option<&ReadingRequestId>,
) -> Result<Vec<(String, String)>, StoreError> {
    fetch_all!(
        tx,
        (String, String),
        "select distinct e.study_id, e.modality from series e join reading_requests r on r.study_id = e.study_id \
         where r.network_id = $1 and ($2 is null or r.requesting_site_id = $2 or r.reading_site_id = $2) \
         and ($3 is null or r.id = $3) order by e.study_id, e.modality",
        scope.network_id.as_str(),
        site_of_reach(scope),
        id.map(ReadingRequestId::as_str)
    )
}
