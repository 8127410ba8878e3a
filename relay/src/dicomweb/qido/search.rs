//! Looks for what a search asks: the store narrows by what it has in columns, and every key is compared with the rows or,
//! for attributes that no row has, with the header of an instance.
//!
//! A study matches when one of its series and instances matches the keys of their level; what is only in headers is
//! taken from the first whole instance. What the store narrows by itself is counted and paged there; otherwise the studies
//! and headers that one search looks through are limited, and an answer that ends there says so.

use std::collections::HashSet;
use std::io::{self, Write};
use std::ops::Range;

use serde_json::{Map, Value};
use tancho_domain::dicom::SeriesInstanceUid;
use tancho_domain::ids::StudyId;
use tancho_domain::search_key::{SEARCH_WORDS_MAX, SearchWord, search_words};
use tancho_imaging::element::Tag;
use tancho_store::Tx;
use tancho_store::instances::{self, Instance, STUDIES_PAGE_MAX, Series, Study, StudyFilter};
use tokio::sync::OwnedSemaphorePermit;

use super::matching::{self, Pattern};
use super::query::{Fields, Key, Search};
use crate::dicomweb::wado::{Reader, blocking};
use crate::dicomweb::{access, model};
use crate::error::ApiError;
use crate::http::caller::Caller;
use crate::state::AppState;

/// Most models of an answer with attributes that no row has.
const HEADERS_PAGE_MAX: usize = 500;

/// What one search may take.
#[derive(Debug, Clone)]
pub(in crate::dicomweb) struct Limits {
    /// Studies looked through.
    pub(in crate::dicomweb) n_studies: usize,
    /// Headers opened to compare keys with them.
    pub(in crate::dicomweb) n_headers: usize,
    /// Bytes of the models of the answer; the first is always in it.
    pub(in crate::dicomweb) answer_bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            n_studies: 20_000,
            n_headers: 2_000,
            answer_bytes: 32 << 20,
        }
    }
}

const PATIENT_NAME: Tag = Tag(0x0010, 0x0010);
const PATIENT_ID: Tag = Tag(0x0010, 0x0020);
const STUDY_DATE: Tag = Tag(0x0008, 0x0020);
const ACCESSION_NUMBER: Tag = Tag(0x0008, 0x0050);
const MODALITIES_IN_STUDY: Tag = Tag(0x0008, 0x0061);

/// Attributes of the rows of a study, series and instance.
const STUDY_ROW: [Tag; 14] = [
    STUDY_DATE,
    Tag(0x0008, 0x0030),
    ACCESSION_NUMBER,
    Tag(0x0008, 0x0056),
    MODALITIES_IN_STUDY,
    Tag(0x0008, 0x1030),
    PATIENT_NAME,
    PATIENT_ID,
    Tag(0x0010, 0x0021),
    Tag(0x0010, 0x0030),
    Tag(0x0010, 0x0040),
    Tag::STUDY_INSTANCE_UID,
    Tag(0x0020, 0x1206),
    Tag(0x0020, 0x1208),
];
const SERIES_ROW: [Tag; 6] = [
    Tag(0x0008, 0x0060),
    Tag(0x0008, 0x103E),
    Tag(0x0018, 0x0015),
    Tag::SERIES_INSTANCE_UID,
    Tag(0x0020, 0x0011),
    Tag(0x0020, 0x1209),
];
const INSTANCE_ROW: [Tag; 7] = [
    Tag::SOP_CLASS_UID,
    Tag::SOP_INSTANCE_UID,
    Tag(0x0008, 0x3002),
    Tag(0x0020, 0x0013),
    Tag(0x0028, 0x0008),
    Tag(0x0028, 0x0010),
    Tag(0x0028, 0x0011),
];

/// What every answer has besides the row (PS3.18 tables 10.6.3-3 to 10.6.3-5): Timezone Offset From UTC; Referring
/// Physician's Name and Study ID; start of the performed procedure step and Request Attributes Sequence; Bits Allocated.
const STUDY_HEADER: [Tag; 3] = [Tag(0x0008, 0x0090), Tag(0x0008, 0x0201), Tag(0x0020, 0x0010)];
const SERIES_HEADER: [Tag; 4] = [
    Tag(0x0008, 0x0201),
    Tag(0x0040, 0x0244),
    Tag(0x0040, 0x0245),
    Tag(0x0040, 0x0275),
];
const INSTANCE_HEADER: [Tag; 2] = [Tag(0x0008, 0x0201), Tag(0x0028, 0x0100)];

/// What `includefield=all` adds for a study: the other attributes of the patient and study modules (PS3.3 sections
/// C.7.1.1, C.7.2.1, C.7.2.2).
const STUDY_ALL: [Tag; 22] = [
    Tag(0x0008, 0x0051),
    Tag(0x0008, 0x0096),
    Tag(0x0008, 0x009C),
    Tag(0x0008, 0x1032),
    Tag(0x0008, 0x1048),
    Tag(0x0008, 0x1060),
    Tag(0x0008, 0x1080),
    Tag(0x0008, 0x1110),
    Tag(0x0010, 0x0022),
    Tag(0x0010, 0x0024),
    Tag(0x0010, 0x0032),
    Tag(0x0010, 0x1001),
    Tag(0x0010, 0x1002),
    Tag(0x0010, 0x1010),
    Tag(0x0010, 0x1020),
    Tag(0x0010, 0x1030),
    Tag(0x0010, 0x2160),
    Tag(0x0010, 0x2180),
    Tag(0x0010, 0x21B0),
    Tag(0x0010, 0x4000),
    Tag(0x0032, 0x1060),
    Tag(0x0040, 0x1012),
];
/// And for a series: those of the series and equipment modules (PS3.3 sections C.7.3.1, C.7.5.1).
const SERIES_ALL: [Tag; 18] = [
    Tag(0x0008, 0x0021),
    Tag(0x0008, 0x0031),
    Tag(0x0008, 0x0064),
    Tag(0x0008, 0x0070),
    Tag(0x0008, 0x0080),
    Tag(0x0008, 0x0081),
    Tag(0x0008, 0x1010),
    Tag(0x0008, 0x103F),
    Tag(0x0008, 0x1040),
    Tag(0x0008, 0x1050),
    Tag(0x0008, 0x1070),
    Tag(0x0008, 0x1090),
    Tag(0x0018, 0x1000),
    Tag(0x0018, 0x1020),
    Tag(0x0018, 0x1030),
    Tag(0x0018, 0x5100),
    Tag(0x0020, 0x0060),
    Tag(0x0040, 0x0254),
];

/// What is searched.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Level {
    Study,
    Series,
    Instance,
}

/// Where it is searched; everywhere within reach without a study.
#[derive(Debug, Default)]
pub(super) struct Within {
    pub(super) study: Option<Study>,
    pub(super) series: Option<SeriesInstanceUid>,
}

/// The part of an answer that was asked for.
#[derive(Debug, Default)]
pub(super) struct Found {
    pub(super) models: Vec<Value>,
    /// How many match; of an answer that is not complete, how many were found.
    pub(super) total: usize,
    /// Everything was looked through.
    pub(super) is_complete: bool,
}

/// Something that matches, with the instance its header is read from.
struct Hit {
    model: Map<String, Value>,
    study_id: StudyId,
    header_of: Option<Instance>,
}

/// Answers a search at a level; at most `page_max` models.
pub(super) async fn search(
    app: &AppState,
    caller: &Caller,
    level: Level,
    within: Within,
    search: &Search,
    page_max: usize,
) -> Result<Found, ApiError> {
    let mut run = Run::new(app, caller, level, search)?;
    let page_max = if run.reads_beyond_rows() {
        page_max.min(HEADERS_PAGE_MAX)
    } else {
        page_max
    };
    if !run.of_header.is_empty() {
        run.permit = Some(app.dicomweb.header_search_permit().await?);
    }
    let page = search.offset
        ..search
            .offset
            .saturating_add(search.limit.unwrap_or(page_max).min(page_max));
    let mut hits = Vec::new();
    let mut total = 0;
    let mut take = |total: &mut usize, found: Vec<Hit>| {
        for hit in found {
            if page.contains(total) {
                hits.push(hit);
            }
            *total += 1;
        }
    };
    if let Some(study) = &within.study {
        take(&mut total, run.hits_of(study, within.series.as_ref()).await?);
    } else if run.is_narrowed_by_store() {
        let words = fuzzy_words(search)?;
        for study in &run.list(&words, page.clone()).await? {
            hits.extend(run.hits_of(study, None).await?);
        }
        total = run.count(&words).await?;
    } else {
        let words = fuzzy_words(search)?;
        let mut n_examined = 0;
        let n_max = app.dicomweb.search_limits.n_studies;
        while !run.is_cut {
            let n_wanted = (n_max - n_examined).min(STUDIES_PAGE_MAX as usize);
            let studies = run.list(&words, n_examined..n_examined + n_wanted).await?;
            for study in &studies {
                take(&mut total, run.hits_of(study, None).await?);
                if run.is_cut {
                    break;
                }
            }
            n_examined += studies.len();
            if studies.len() < n_wanted {
                break;
            }
            if n_examined >= n_max {
                run.is_cut |= run.count(&words).await? > n_examined;
                break;
            }
        }
    }
    run.record_views(&hits).await?;
    let is_complete = !run.is_cut;
    let models = run.described(hits).await?;
    Ok(Found {
        models,
        total,
        is_complete,
    })
}

/// The words of a name that is found by any of its writings.
fn fuzzy_words(search: &Search) -> Result<Vec<SearchWord>, ApiError> {
    let Some(name) = search.key(PATIENT_NAME).filter(|_| search.is_fuzzy) else {
        return Ok(Vec::new());
    };
    let words = search_words(&name.text.replace(['*', '?'], " "));
    if words.len() > SEARCH_WORDS_MAX {
        let detail = format!("a name of at most {SEARCH_WORDS_MAX} words expected");
        return Err(ApiError::bad_request("search_too_long", detail));
    }
    Ok(words)
}

/// One search at work.
struct Run<'a> {
    app: &'a AppState,
    caller: &'a Caller,
    level: Level,
    search: &'a Search,
    of_study: Vec<&'a Key>,
    of_series: Vec<&'a Key>,
    of_instance: Vec<&'a Key>,
    of_header: Vec<&'a Key>,
    n_headers: usize,
    /// A limit ended the search before everything was looked through.
    is_cut: bool,
    /// Held while headers are read.
    permit: Option<OwnedSemaphorePermit>,
}

impl<'a> Run<'a> {
    fn new(
        app: &'a AppState,
        caller: &'a Caller,
        level: Level,
        search: &'a Search,
    ) -> Result<Self, ApiError> {
        let mut run = Self {
            app,
            caller,
            level,
            search,
            of_study: Vec::new(),
            of_series: Vec::new(),
            of_instance: Vec::new(),
            of_header: Vec::new(),
            n_headers: 0,
            is_cut: false,
            permit: None,
        };
        for key in search.keys.iter().filter(|key| key.pattern != Pattern::Any) {
            if search.is_fuzzy && key.is(PATIENT_NAME) {
                // The store finds it by the study's key.
                if fuzzy_words(search)?.is_empty() {
                    // Signs alone are part of no name.
                    return Err(ApiError::bad_request(
                        "query_malformed",
                        "PatientName is malformed",
                    ));
                }
                continue;
            }
            let keys = match key.first() {
                tag if STUDY_ROW.contains(&tag) => &mut run.of_study,
                tag if SERIES_ROW.contains(&tag) => &mut run.of_series,
                tag if INSTANCE_ROW.contains(&tag) => &mut run.of_instance,
                _ => &mut run.of_header,
            };
            keys.push(key);
        }
        Ok(run)
    }

    /// A part of the studies that may match, the latest arrival first.
    async fn list(&self, words: &[SearchWord], part: Range<usize>) -> Result<Vec<Study>, ApiError> {
        let lists = self.uid_lists();
        let filter = self.filter(&lists, words);
        let [limit, offset] = [part.len(), part.start].map(|n| i64::try_from(n).unwrap_or(i64::MAX));
        let mut tx = self.app.db.read().await?;
        Ok(instances::list_studies(&mut tx, &self.caller.scope, &filter, limit, offset).await?)
    }

    /// How many studies may match.
    async fn count(&self, words: &[SearchWord]) -> Result<usize, ApiError> {
        let lists = self.uid_lists();
        let filter = self.filter(&lists, words);
        let mut tx = self.app.db.read().await?;
        let count = instances::count_studies(&mut tx, &self.caller.scope, &filter).await?;
        usize::try_from(count).map_err(ApiError::internal)
    }

    /// The UIDs asked for of studies, series and instances, separated by commas.
    fn uid_lists(&self) -> [Option<String>; 3] {
        let uids = |tag| match self.search.key(tag).map(|key| &key.pattern) {
            Some(Pattern::OneOf(uids)) => Some(uids.join(",")),
            _ => None,
        };
        [
            Tag::STUDY_INSTANCE_UID,
            Tag::SERIES_INSTANCE_UID,
            Tag::SOP_INSTANCE_UID,
        ]
        .map(uids)
    }

    fn filter<'f>(&'f self, lists: &'f [Option<String>; 3], words: &'f [SearchWord]) -> StudyFilter<'f> {
        let plain = |tag| self.search.key(tag).and_then(plain_text);
        let (from, to) = match self.search.key(STUDY_DATE).map(|key| &key.pattern) {
            Some(Pattern::Between(from, to)) => (from.as_deref(), to.as_deref()),
            _ => (None, None),
        };
        StudyFilter {
            study_instance_uids: lists[0].as_deref(),
            series_instance_uids: lists[1].as_deref(),
            sop_instance_uids: lists[2].as_deref(),
            patient_id: plain(PATIENT_ID),
            accession_number: plain(ACCESSION_NUMBER),
            study_date_from: from,
            study_date_to: to,
            words,
        }
    }

    /// What of a study matches, at the level of the search.
    async fn hits_of(
        &mut self,
        study: &Study,
        series: Option<&SeriesInstanceUid>,
    ) -> Result<Vec<Hit>, ApiError> {
        let row = model::study(study, &[]);
        let of_row = self.of_study.iter().filter(|key| !key.is(MODALITIES_IN_STUDY));
        if !of_row
            .into_iter()
            .all(|key| matching::matches(&row, &key.path, &key.pattern))
        {
            return Ok(Vec::new());
        }
        let mut tx = self.app.db.read().await?;
        let scope = &self.caller.scope;
        let modalities = instances::list_modalities(&mut tx, scope, &study.id).await?;
        let of_study = model::study(study, &modalities);
        if !has_all(&of_study, &self.of_study) {
            return Ok(Vec::new());
        }
        let is_study = self.level == Level::Study;
        let needs_instances =
            self.level == Level::Instance || !self.of_instance.is_empty() || !self.of_header.is_empty();
        let listed = if is_study && self.of_series.is_empty() && !needs_instances {
            Vec::new()
        } else {
            self.list_series(&mut tx, study, series).await?
        };
        let mut whole = Vec::new();
        if needs_instances {
            let all = instances::list_instances(&mut tx, scope, &study.id, series, None).await?;
            whole = all.into_iter().filter(Instance::is_verified).collect::<Vec<_>>();
        } else if !is_study {
            whole = instances::list_first_instances(&mut tx, scope, &study.id, series).await?;
        }
        drop(tx);
        match self.level {
            Level::Study => self.study_hit(study, of_study, &listed, whole).await,
            Level::Series => self.series_hits(study, &listed, whole).await,
            Level::Instance => self.instance_hits(study, &listed, whole).await,
        }
    }

    async fn list_series(
        &self,
        tx: &mut Tx,
        study: &Study,
        series: Option<&SeriesInstanceUid>,
    ) -> Result<Vec<(String, Value)>, ApiError> {
        let listed: Vec<Series> = instances::list_series(tx, &self.caller.scope, &study.id, series).await?;
        Ok(listed
            .iter()
            .map(|series| (series.series_instance_uid.clone(), model::series(study, series)))
            .filter(|(_, model)| has_all(model, &self.of_series))
            .collect())
    }

    async fn study_hit(
        &mut self,
        study: &Study,
        model: Value,
        listed: &[(String, Value)],
        whole: Vec<Instance>,
    ) -> Result<Vec<Hit>, ApiError> {
        if !self.of_series.is_empty() && listed.is_empty() {
            return Ok(Vec::new());
        }
        let of_listed = |instance: &&Instance| {
            self.of_series.is_empty() || listed.iter().any(|(uid, _)| *uid == instance.series_instance_uid)
        };
        let is_found = self.of_instance.is_empty()
            || whole
                .iter()
                .filter(of_listed)
                .any(|instance| has_all(&model::instance(instance), &self.of_instance));
        let first = whole.into_iter().next();
        if !is_found || !self.header_matches(first.as_ref()).await? {
            return Ok(Vec::new());
        }
        Ok(vec![hit(study, model, first)])
    }

    async fn series_hits(
        &mut self,
        study: &Study,
        listed: &[(String, Value)],
        whole: Vec<Instance>,
    ) -> Result<Vec<Hit>, ApiError> {
        let mut hits = Vec::new();
        for (uid, model) in listed {
            let mut own = whole
                .iter()
                .filter(|instance| instance.series_instance_uid == *uid);
            let first = own.clone().next();
            let is_found = self.of_instance.is_empty()
                || own.any(|instance| has_all(&model::instance(instance), &self.of_instance));
            if is_found && self.header_matches(first).await? {
                hits.push(hit(study, model.clone(), first.cloned()));
            }
        }
        Ok(hits)
    }

    async fn instance_hits(
        &mut self,
        study: &Study,
        listed: &[(String, Value)],
        whole: Vec<Instance>,
    ) -> Result<Vec<Hit>, ApiError> {
        let mut hits = Vec::new();
        for instance in whole {
            let is_listed = listed.iter().any(|(uid, _)| *uid == instance.series_instance_uid);
            let model = model::instance(&instance);
            if is_listed && has_all(&model, &self.of_instance) && self.header_matches(Some(&instance)).await?
            {
                hits.push(hit(study, model, Some(instance)));
            }
        }
        Ok(hits)
    }

    /// Whether every study that the store gives matches.
    fn is_narrowed_by_store(&self) -> bool {
        let others = [&self.of_series, &self.of_instance, &self.of_header];
        // The store takes the first key of an attribute; a second one would be left out.
        let is_first = |key: &Key| {
            self.search
                .key(key.first())
                .is_some_and(|first| std::ptr::eq(first, key))
        };
        let is_found_there = |key: &&Key| match &key.pattern {
            Pattern::OneOf(_) => key.is(Tag::STUDY_INSTANCE_UID),
            Pattern::Between(..) => key.is(STUDY_DATE),
            Pattern::Text(_) => (key.is(PATIENT_ID) || key.is(ACCESSION_NUMBER)) && plain_text(key).is_some(),
            _ => false,
        };
        self.level == Level::Study
            && others.iter().all(|keys| keys.is_empty())
            && self.of_study.iter().all(is_found_there)
            && self.of_study.iter().all(|key| is_first(key))
    }

    /// Whether attributes are asked for that neither a row nor every answer has.
    fn reads_beyond_rows(&self) -> bool {
        let is_known = |tag: &Tag| {
            let known: [&[Tag]; 6] = [
                &STUDY_ROW,
                &SERIES_ROW,
                &INSTANCE_ROW,
                &STUDY_HEADER,
                &SERIES_HEADER,
                &INSTANCE_HEADER,
            ];
            known.iter().any(|tags| tags.contains(tag))
        };
        let is_beyond = match &self.search.fields {
            Fields::All => true,
            Fields::Listed(fields) => !fields.iter().all(is_known),
        };
        is_beyond || !self.of_header.is_empty()
    }

    /// Who reads headers looks into the study, as with its metadata.
    async fn record_views(&self, hits: &[Hit]) -> Result<(), ApiError> {
        if !self.reads_beyond_rows() {
            return Ok(());
        }
        let studies: HashSet<&StudyId> = hits.iter().map(|hit| &hit.study_id).collect();
        for study_id in studies {
            access::record_view(self.app, self.caller, study_id).await?;
        }
        Ok(())
    }

    /// Whether the header has what no row has. What has no header matches nothing but absence.
    async fn header_matches(&mut self, instance: Option<&Instance>) -> Result<bool, ApiError> {
        if self.of_header.is_empty() {
            return Ok(true);
        }
        let Some(instance) = instance else {
            return Ok(has_all(&Value::Null, &self.of_header));
        };
        self.n_headers += 1;
        if self.n_headers > self.app.dicomweb.search_limits.n_headers {
            self.is_cut = true;
            return Ok(false);
        }
        let (reader, instance) = (Reader::new(self.app, self.caller), instance.clone());
        let wanted: Vec<Tag> = self.of_header.iter().map(|key| key.first()).collect();
        let header = blocking(move || Ok(picked(&reader.metadata(&instance), &wanted))).await?;
        Ok(has_all(&Value::Object(header), &self.of_header))
    }

    /// The models of hits with the attributes of their headers.
    async fn described(&mut self, mut hits: Vec<Hit>) -> Result<Vec<Value>, ApiError> {
        if hits.is_empty() {
            return Ok(Vec::new());
        }
        let permit = match self.permit.take() {
            Some(permit) => permit,
            None => self.app.dicomweb.header_search_permit().await?,
        };
        let is_study = self.level == Level::Study;
        for hit in hits.iter_mut().filter(|hit| is_study && hit.header_of.is_none()) {
            // Found by its row alone, so far without an instance.
            let mut tx = self.app.db.read().await?;
            let first =
                instances::list_first_instances(&mut tx, &self.caller.scope, &hit.study_id, None).await?;
            hit.header_of = first.into_iter().next();
        }
        let reader = Reader::new(self.app, self.caller);
        let (tags, is_everything) = self.wanted();
        let bytes_max = self.app.dicomweb.search_limits.answer_bytes;
        blocking(move || {
            let _permit = permit;
            let described = |hit: Hit| {
                let mut model = hit.model;
                if let Some(instance) = hit.header_of {
                    let header = reader.metadata(&instance);
                    let added = if is_everything {
                        without_bulk(header)
                    } else {
                        picked(&header, &tags)
                    };
                    for (tag, value) in added {
                        model.entry(tag).or_insert(value);
                    }
                }
                Value::Object(model)
            };
            let mut models = Vec::with_capacity(hits.len());
            let mut len = 0;
            for hit in hits {
                let model = described(hit);
                len += json_len(&model)?;
                if len > bytes_max && !models.is_empty() {
                    break;
                }
                models.push(model);
            }
            Ok(models)
        })
        .await
    }

    /// Attributes taken from headers, and whether everything in them is.
    fn wanted(&self) -> (Vec<Tag>, bool) {
        let (always, all): (&[Tag], &[&[Tag]]) = match self.level {
            Level::Study => (&STUDY_HEADER, &[&STUDY_ALL]),
            Level::Series => (
                &SERIES_HEADER,
                &[&SERIES_ALL, &STUDY_HEADER, &STUDY_ALL, &STUDY_ROW],
            ),
            Level::Instance => (&INSTANCE_HEADER, &[]),
        };
        let mut tags = always.to_vec();
        match &self.search.fields {
            Fields::Listed(fields) => tags.extend(fields),
            Fields::All => tags.extend(all.iter().copied().flatten()),
        }
        let keys = self.search.keys.iter();
        tags.extend(keys.map(Key::first));
        (
            tags,
            self.level == Level::Instance && self.search.fields == Fields::All,
        )
    }
}

/// The text of a key that the store compares as it is.
fn plain_text(key: &Key) -> Option<&str> {
    let Pattern::Text(texts) = &key.pattern else {
        return None;
    };
    let is_plain = texts.len() == 1 && !key.text.contains(['*', '?', '\u{FFFD}']) && key.text.is_ascii();
    is_plain.then(|| key.text.trim_end())
}

/// Bytes of a model as it is sent.
fn json_len(model: &Value) -> io::Result<usize> {
    struct Length(usize);
    impl Write for Length {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0 += bytes.len();
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let mut length = Length(0);
    serde_json::to_writer(&mut length, model)?;
    Ok(length.0)
}

fn hit(study: &Study, model: Value, header_of: Option<Instance>) -> Hit {
    let model = match model {
        Value::Object(model) => model,
        _ => Map::new(),
    };
    Hit {
        model,
        study_id: study.id.clone(),
        header_of,
    }
}

fn has_all(model: &Value, keys: &[&Key]) -> bool {
    keys.iter()
        .all(|key| matching::matches(model, &key.path, &key.pattern))
}

/// These attributes of a header.
fn picked(header: &Value, tags: &[Tag]) -> Map<String, Value> {
    tags.iter()
        .map(|tag| tag.to_hex())
        .filter_map(|tag| header.get(&tag).map(|value| (tag, value.clone())))
        .collect()
}

/// Everything but long and binary values, which a search does not give.
fn without_bulk(header: Value) -> Map<String, Value> {
    let Value::Object(header) = header else {
        return Map::new();
    };
    let is_short = |value: &Value| value.get("BulkDataURI").is_none() && value.get("InlineBinary").is_none();
    header.into_iter().filter(|(_, value)| is_short(value)).collect()
}
