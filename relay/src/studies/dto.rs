//! What the API says about a study.

use serde::{Deserialize, Serialize};
use tancho_domain::dicom::japanese_era;
use tancho_domain::patient::age_years;
use tancho_store::instances::{Instance, Series, Study};
use tancho_store::studies::UncertainElements;
use utoipa::ToSchema;

use crate::ingest::progress::Progress;
use crate::ingest::withheld::{self, WithheldInstances};

/// A study with everything of it that has arrived or is arriving.
#[derive(Debug, Serialize, ToSchema)]
pub struct StudyDetail {
    /// Id; the name of the study in addresses.
    pub id: String,
    /// Study Instance UID (0020,000D).
    pub study_instance_uid: String,
    /// Whose images.
    pub patient: StudyPatient,
    /// `YYYYMMDD`.
    pub study_date: Option<String>,
    /// `HHMMSS.FFFFFF`.
    pub study_time: Option<String>,
    /// Study Description (0008,1030).
    pub description: Option<String>,
    /// Whether characters of the description could not be decoded for sure.
    pub description_uncertain: bool,
    /// Accession Number (0008,0050).
    pub accession_number: Option<String>,
    /// By series number.
    pub series: Vec<StudySeries>,
    /// How far it is.
    pub arrival: StudyArrival,
    /// When another version of an instance came under this study.
    pub conflict_at_ms: Option<i64>,
    /// When an instance of another patient came under this study; it is kept aside and not shown.
    pub held_at_ms: Option<i64>,
}

/// The patient as the images name it.
#[derive(Debug, Serialize, ToSchema)]
pub struct StudyPatient {
    /// The three groups of Patient's Name (0010,0010).
    pub name: StudyPatientName,
    /// Whether characters of the name could not be decoded for sure.
    pub name_uncertain: bool,
    /// Patient ID (0010,0020).
    pub patient_id: String,
    /// `YYYYMMDD`.
    pub birth_date: Option<String>,
    /// The same year by Japanese era, as in 昭和23年; absent before 1873.
    pub birth_date_era: Option<String>,
    /// Patient's Sex (0010,0040).
    pub sex: Option<String>,
    /// Whole years when the first image arrived.
    pub age_years: Option<i32>,
}

/// The three groups of Patient's Name.
#[derive(Debug, Serialize, ToSchema)]
pub struct StudyPatientName {
    /// Alphabetic group.
    pub alphabetic: String,
    /// Ideographic group.
    pub ideographic: String,
    /// Phonetic group.
    pub phonetic: String,
}

/// A series of which at least one instance is listed.
#[derive(Debug, Serialize, ToSchema)]
pub struct StudySeries {
    /// Series Instance UID (0020,000E).
    pub series_instance_uid: String,
    /// Modality (0008,0060).
    pub modality: String,
    /// Series Number (0020,0011).
    pub number: Option<i64>,
    /// Series Description (0008,103E).
    pub description: Option<String>,
    /// Whether characters of the description could not be decoded for sure.
    pub description_uncertain: bool,
    /// By instance number.
    pub instances: Vec<StudyInstance>,
}

/// An instance of which at least the head is here.
#[derive(Debug, Serialize, ToSchema)]
pub struct StudyInstance {
    /// SOP Instance UID (0008,0018).
    pub sop_instance_uid: String,
    /// Instance Number (0020,0013).
    pub instance_number: Option<i64>,
    /// Frames; 0 for objects without.
    pub number_of_frames: i64,
    /// How far it is.
    pub state: InstanceState,
    /// Transfer syntax it was received in.
    pub transfer_syntax: String,
    /// Bytes of the original data set.
    pub bytes: i64,
    /// Codes of what is wrong with it.
    pub warnings: Vec<String>,
}

/// What is listed of a study.
#[derive(Debug, Serialize, ToSchema)]
pub struct StudyInstances {
    /// By series number; a series is there from its first listed instance on.
    pub series: Vec<StudySeries>,
    /// The relay's time.
    pub server_time_ms: i64,
}

/// How far an instance is. It only goes up, but a restart of the relay may take previews back until its node is
/// connected again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum InstanceState {
    /// Its head is here.
    Listed,
    /// Its frames can be looked at in low resolution.
    Preview,
    /// It is whole, proven and durable.
    Complete,
}

/// Where a reader looks.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct FocusReport {
    /// Series on the screen.
    pub series_instance_uid: String,
    /// Instance on the screen.
    pub sop_instance_uid: String,
}

/// How far a study is.
#[derive(Debug, Serialize, ToSchema)]
pub struct StudyArrival {
    /// Instances the site says it has.
    pub announced: Option<i64>,
    /// Instances whose head is here.
    pub received: i64,
    /// Instances that are whole and proven.
    pub verified: i64,
    /// Instances that stay at the site; while there are any, the study is not complete.
    pub withheld: Vec<WithheldInstances>,
    /// Whether the site expects no more.
    pub closed: bool,
    /// First head.
    pub first_arrival_at_ms: i64,
    /// Newest arrival.
    pub last_arrival_at_ms: i64,
    /// Bytes of the instances that are here.
    pub bytes: i64,
    /// How it comes in.
    #[serde(flatten)]
    pub progress: Progress,
}

/// The study with its series from [`series_of`].
#[must_use]
pub fn detail(study: Study, series: Vec<StudySeries>, progress: Progress) -> StudyDetail {
    let born = study.patient_birth_date.as_deref();
    StudyDetail {
        id: study.id.into(),
        study_instance_uid: study.study_instance_uid,
        patient: StudyPatient {
            age_years: born.and_then(|born| age_years(born, study.first_arrival_at_ms)),
            name: StudyPatientName {
                alphabetic: study.patient_name_alphabetic,
                ideographic: study.patient_name_ideographic,
                phonetic: study.patient_name_phonetic,
            },
            name_uncertain: study.patient_name_uncertain != 0,
            patient_id: study.patient_id,
            birth_date_era: born.and_then(japanese_era),
            birth_date: study.patient_birth_date,
            sex: study.patient_sex,
        },
        study_date: study.study_date,
        study_time: study.study_time,
        description_uncertain: study
            .uncertain_elements
            .holds(UncertainElements::STUDY_DESCRIPTION),
        description: study.study_description,
        accession_number: study.accession_number,
        series,
        arrival: StudyArrival {
            announced: study.announced_instances,
            received: study.n_received,
            verified: study.n_verified,
            withheld: withheld::of(&study.withheld),
            closed: study.closed_at_ms.is_some(),
            first_arrival_at_ms: study.first_arrival_at_ms,
            last_arrival_at_ms: study.last_arrival_at_ms,
            bytes: study.bytes_received,
            progress,
        },
        conflict_at_ms: study.conflict_at_ms,
        held_at_ms: study.held_at_ms,
    }
}

/// Joins the rows; `instances` are in the order of `series`.
#[must_use]
pub fn series_of(
    series: Vec<Series>,
    instances: Vec<Instance>,
    state_of: impl Fn(&Instance) -> InstanceState,
) -> Vec<StudySeries> {
    let mut of_series: Vec<StudySeries> = series
        .into_iter()
        .map(|series| StudySeries {
            series_instance_uid: series.series_instance_uid,
            modality: series.modality,
            number: series.series_number,
            description_uncertain: series
                .uncertain_elements
                .holds(UncertainElements::SERIES_DESCRIPTION),
            description: series.series_description,
            instances: Vec::new(),
        })
        .collect();
    let mut at = 0;
    for instance in instances {
        let is_of = |series: &StudySeries| series.series_instance_uid == instance.series_instance_uid;
        let Some(beyond) = of_series[at..].iter().position(is_of) else {
            continue;
        };
        at += beyond;
        let state = state_of(&instance);
        of_series[at].instances.push(instance_of(instance, state));
    }
    // A series of held instances only has nothing to show.
    of_series.retain(|series| !series.instances.is_empty());
    of_series
}

fn instance_of(instance: Instance, state: InstanceState) -> StudyInstance {
    let warnings = instance.warnings.split(',').filter(|code| !code.is_empty());
    StudyInstance {
        warnings: warnings.map(str::to_owned).collect(),
        sop_instance_uid: instance.sop_instance_uid,
        instance_number: instance.instance_number,
        number_of_frames: instance.number_of_frames,
        state,
        transfer_syntax: instance.transfer_syntax_uid,
        bytes: instance.original_len,
    }
}
