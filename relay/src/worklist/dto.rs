//! What the API says about one line of the worklist.

use serde::{Deserialize, Serialize};
use tancho_domain::dicom::japanese_era;
use tancho_domain::patient::{age_years, wall_clock};
use tancho_domain::reading::StateName;
use tancho_domain::turnaround::{TurnaroundPolicy, Urgency};
use tancho_store::StoreError;
use tancho_store::studies::UncertainElements;
use tancho_store::worklist::WorklistItem;
use utoipa::{IntoParams, ToSchema};

use crate::ingest::progress::Progress;
use crate::ingest::withheld::{self, WithheldInstances};
use crate::reading::stored::missing_context;

/// Which lines are asked for.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct WorklistQuery {
    /// `open` (default), `reported` (a final report is there, or closed), `closed` or `all`.
    pub state: Option<String>,
    /// Code of a site: sent by it or to it.
    pub site: Option<String>,
}

/// Which lines are searched. In a body, not in an address: what is searched for names a patient.
#[derive(Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct WorklistSearch {
    /// Up to four words, each a part of a name in kanji, kana or romaji, of a Patient ID, Accession Number or case
    /// code, or of the requesting site's name. All must be found; widths, cases and spellings of one sound are one.
    pub q: String,
    /// `open` (default), `reported`, `closed` or `all`.
    pub state: Option<String>,
    /// Code of a site: sent by it or to it.
    pub site: Option<String>,
}

impl From<WorklistQuery> for WorklistSearch {
    fn from(WorklistQuery { state, site }: WorklistQuery) -> Self {
        Self {
            q: String::new(),
            state,
            site,
        }
    }
}

/// The worklist.
#[derive(Debug, Serialize, ToSchema)]
pub struct Worklist {
    /// Open before closed, then most urgent, then longest waiting.
    pub items: Vec<ReadingRequestSummary>,
    /// The relay's time, for clocks on the page.
    pub server_time_ms: i64,
}

/// One line of the worklist.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct ReadingRequestSummary {
    /// Id.
    pub id: String,
    /// Grows with every change.
    pub version: i64,
    /// What people say on the phone.
    pub case_code: String,
    /// `requested`, `readable`, `claimed`, `preliminary`, `final`, `acknowledged`, `returned`, `reopened`,
    /// `cancelled`.
    pub state: String,
    /// `stroke_code`, `critical`, `urgent`, `routine` or `elective`.
    pub urgency: String,
    /// `stat`, `urgent` or `routine`.
    pub transfer_class: String,
    /// When it was asked.
    pub requested_at_ms: i64,
    /// Until when what is due.
    pub due: Due,
    /// Who asks.
    pub requesting_site: SiteName,
    /// Who reads.
    pub reading_site: SiteName,
    /// Whose images.
    pub patient: Patient,
    /// Which images.
    pub study: StudyOfRequest,
    /// How far the images are.
    pub arrival: Arrival,
    /// Who reads it now.
    pub claim: Option<Claim>,
    /// What the reader needs first; while the request is sent back for information.
    pub returned: Option<Returned>,
    /// Whether nothing required is missing in the clinical context.
    pub clinical_context_complete: bool,
    /// Ids of what is missing: required fields that are not answered, and `callback_number`.
    pub missing_context: Vec<String>,
    /// Number to call back.
    pub callback_number: Option<String>,
    /// Who answers there.
    pub callback_person: Option<String>,
    /// Physician responsible for the patient.
    pub responsible_physician: Option<String>,
    /// Criticality of the newest signed version; absent for those who may not read reports.
    pub criticality: Option<String>,
    /// Status of the newest signed version.
    pub report_status: Option<String>,
    /// When the newest version was signed.
    pub signed_at_ms: Option<i64>,
    /// When the newest version was acknowledged.
    pub acknowledged_at_ms: Option<i64>,
    /// `patient_mismatch_held`, `study_conflict`, `name_uncertain`, `text_uncertain`, `late_images`,
    /// `no_callback_number`.
    pub warnings: Vec<String>,
}

/// Until when what is due; absent where there is no target.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct Due {
    /// A reader opens it.
    pub open_by_ms: Option<i64>,
    /// First answer by voice.
    pub verbal_by_ms: Option<i64>,
    /// When it was given: a conversation on record, its read-back not a mismatch.
    pub verbal_answered_at_ms: Option<i64>,
    /// Written answer.
    pub written_by_ms: Option<i64>,
}

/// A site as shown beside something else.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct SiteName {
    /// Id.
    pub id: String,
    /// Short code.
    pub code: String,
    /// As people say it.
    pub name: String,
}

/// The patient as the images name it; empty until the first head is here.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct Patient {
    /// The three groups of Patient's Name.
    pub name: PatientName,
    /// Whether characters of the name could not be decoded for sure.
    pub name_uncertain: bool,
    /// Patient ID.
    pub patient_id: String,
    /// `YYYYMMDD`.
    pub birth_date: Option<String>,
    /// The same year by Japanese era, as in 昭和23年; absent before 1873.
    pub birth_date_era: Option<String>,
    /// Patient's Sex.
    pub sex: Option<String>,
    /// Whole years on the day of the study, or today.
    pub age_years: Option<i64>,
}

/// The three groups of Patient's Name (0010,0010).
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct PatientName {
    /// First group.
    pub alphabetic: String,
    /// Second group.
    pub ideographic: String,
    /// Third group.
    pub phonetic: String,
}

/// The study of a request.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct StudyOfRequest {
    /// Id; absent until the first head is here.
    pub id: Option<String>,
    /// Study Instance UID.
    pub study_instance_uid: String,
    /// `YYYYMMDD`.
    pub study_date: Option<String>,
    /// `HHMMSS`.
    pub study_time: Option<String>,
    /// Study Description.
    pub description: Option<String>,
    /// Whether characters of the description could not be decoded for sure.
    pub description_uncertain: bool,
    /// Modalities of its series.
    pub modalities: Vec<String>,
    /// Accession Number.
    pub accession_number: Option<String>,
}

/// How far the images are.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct Arrival {
    /// Instances the sender has announced.
    pub announced: Option<i64>,
    /// Instances whose head is here.
    pub received: i64,
    /// Instances that are whole and proven.
    pub verified: i64,
    /// Instances kept aside because they name another patient; in none of the other counts.
    pub held: i64,
    /// Instances that stay at the sender; while there are any, the study is not complete.
    pub withheld: Vec<WithheldInstances>,
    /// Whether the sender expects no more.
    pub closed: bool,
    /// First head.
    pub first_arrival_at_ms: Option<i64>,
    /// Newest arrival.
    pub last_arrival_at_ms: Option<i64>,
    /// Bytes of the instances that are here.
    pub bytes: i64,
    /// How it comes in.
    #[serde(flatten)]
    pub progress: Progress,
}

/// Who reads a request now.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct Claim {
    /// The reader.
    pub reader: PersonName,
    /// Since when.
    pub claimed_at_ms: i64,
    /// Until when, without a heartbeat.
    pub lease_until_ms: i64,
}

/// That a request was sent back for information.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct Returned {
    /// What is missing, in the reader's words.
    pub reason: String,
    /// When.
    pub at_ms: i64,
    /// The reader.
    pub by: PersonName,
}

/// A person as shown beside something else.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct PersonName {
    /// Id.
    pub id: String,
    /// Name.
    pub name: String,
}

/// Makes the line. `now_ms` tells whether a claim still holds, `reads_reports` whether the person may know what
/// was found, `progress` how its study comes in.
pub fn summary_of(
    item: WorklistItem,
    modalities: Vec<String>,
    policy: &TurnaroundPolicy,
    now_ms: i64,
    reads_reports: bool,
    progress: Progress,
) -> Result<ReadingRequestSummary, StoreError> {
    let warnings = warnings_of(&item);
    let missing_context = missing_context(&item.request, now_ms)?;
    let returned = returned_of(&item);
    let WorklistItem { request, study, .. } = item;
    let claim = match (
        request.claim_reader_id,
        item.claim_reader_name,
        request.claimed_at_ms,
    ) {
        (Some(id), Some(name), Some(claimed_at_ms)) => {
            let lease_until_ms = request.claim_lease_until_ms.unwrap_or(claimed_at_ms);
            (lease_until_ms > now_ms).then_some(Claim {
                reader: PersonName { id, name },
                claimed_at_ms,
                lease_until_ms,
            })
        }
        _ => None,
    };
    // The spoken answer is counted from the newest image, so it is not the one promised when the request was opened.
    let verbal_by_ms = Urgency::parse(&request.urgency).and_then(|urgency| {
        policy
            .due(urgency, request.requested_at_ms, study.last_arrival_at_ms)
            .verbal_by_ms
    });
    let due = Due {
        open_by_ms: request.open_by_ms,
        verbal_by_ms,
        verbal_answered_at_ms: item.verbal_answered_at_ms,
        written_by_ms: request.written_by_ms,
    };
    let age_years = age_of(
        study.patient_birth_date.as_deref(),
        study.study_date.as_deref(),
        now_ms,
    );
    Ok(ReadingRequestSummary {
        id: request.id.into(),
        version: request.version,
        case_code: request.case_code,
        state: request.state,
        transfer_class: transfer_class(&request.urgency).to_owned(),
        urgency: request.urgency,
        requested_at_ms: request.requested_at_ms,
        due,
        requesting_site: SiteName {
            id: request.requesting_site_id.into(),
            code: item.requesting_site_code,
            name: item.requesting_site_name,
        },
        reading_site: SiteName {
            id: request.reading_site_id.into(),
            code: item.reading_site_code,
            name: item.reading_site_name,
        },
        patient: Patient {
            name: PatientName {
                alphabetic: study.patient_name_alphabetic.unwrap_or_default(),
                ideographic: study.patient_name_ideographic.unwrap_or_default(),
                phonetic: study.patient_name_phonetic.unwrap_or_default(),
            },
            name_uncertain: study.patient_name_uncertain == Some(1),
            patient_id: study.patient_id.unwrap_or_default(),
            birth_date_era: study.patient_birth_date.as_deref().and_then(japanese_era),
            birth_date: study.patient_birth_date,
            sex: study.patient_sex,
            age_years,
        },
        study: StudyOfRequest {
            id: request.study_id,
            study_instance_uid: request.study_instance_uid,
            study_date: study.study_date,
            study_time: study.study_time,
            description_uncertain: study
                .uncertain_elements
                .holds(UncertainElements::STUDY_DESCRIPTION),
            description: study.study_description,
            modalities,
            accession_number: study.accession_number,
        },
        arrival: Arrival {
            announced: study.announced_instances,
            received: study.n_received.unwrap_or(0),
            verified: study.n_verified.unwrap_or(0),
            held: study.n_held.unwrap_or(0),
            withheld: withheld::of(&study.withheld),
            closed: study.study_closed_at_ms.is_some(),
            first_arrival_at_ms: study.first_arrival_at_ms,
            last_arrival_at_ms: study.last_arrival_at_ms,
            bytes: study.bytes_received.unwrap_or(0),
            progress,
        },
        claim,
        returned,
        clinical_context_complete: request.context_completed_at_ms.is_some(),
        missing_context,
        callback_number: request.callback_number,
        callback_person: request.callback_person,
        responsible_physician: request.responsible_physician,
        criticality: request.criticality.filter(|_| reads_reports),
        report_status: request.report_status,
        signed_at_ms: request.signed_at_ms,
        acknowledged_at_ms: request.acknowledged_at_ms,
        warnings,
    })
}

fn returned_of(item: &WorklistItem) -> Option<Returned> {
    if item.request.state != StateName::Returned.as_str() {
        return None;
    }
    Some(Returned {
        reason: item.request.reason.clone()?,
        at_ms: item.returned_at_ms?,
        by: PersonName {
            id: item.returned_by_id.clone()?,
            name: item.returned_by_name.clone()?,
        },
    })
}

/// How an urgency travels on the line.
fn transfer_class(urgency: &str) -> &'static str {
    Urgency::parse(urgency).map_or("routine", |urgency| urgency.transfer_class().as_str())
}

fn warnings_of(item: &WorklistItem) -> Vec<String> {
    let has_number = item
        .request
        .callback_number
        .as_deref()
        .is_some_and(|number| !number.trim().is_empty());
    let found = [
        ("patient_mismatch_held", item.study.held_at_ms.is_some()),
        ("study_conflict", item.study.conflict_at_ms.is_some()),
        ("name_uncertain", item.study.patient_name_uncertain == Some(1)),
        (
            "text_uncertain",
            item.study.uncertain_elements.holds_other_than_name(),
        ),
        ("late_images", item.request.late_images_at_ms.is_some()),
        ("no_callback_number", !has_number),
    ];
    found
        .into_iter()
        .filter(|(_, found)| *found)
        .map(|(code, _)| code.to_owned())
        .collect()
}

/// Age in whole years on the day of the study, or today when the study has no date.
fn age_of(birth_date: Option<&str>, study_date: Option<&str>, now_ms: i64) -> Option<i64> {
    let noon = |date: &str| {
        let date = jiff::civil::Date::strptime("%Y%m%d", date).ok()?;
        Some(
            date.at(12, 0, 0, 0)
                .to_zoned(wall_clock())
                .ok()?
                .timestamp()
                .as_millisecond(),
        )
    };
    let on_ms = study_date.and_then(noon).unwrap_or(now_ms);
    age_years(birth_date?, on_ms).map(i64::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages_are_whole_years_on_the_day_of_the_study() {
        let age = |born, on| age_of(Some(born), Some(on), 0);
        assert_eq!(age("19480305", "20260123"), Some(77));
        assert_eq!(age("19480305", "20260305"), Some(78));
        assert_eq!(age("not a day", "20260101"), None);
        assert_eq!(age_of(Some("20000101"), None, 1_767_225_600_000), Some(26));
    }
}
