//! Studies as this agent holds them: who and what for the technologist's page, counts per state, and when
//! nothing more is expected.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use tancho_domain::dicom::{AeTitle, Priority};
use tancho_imaging::scan::InstanceIdentity;

use super::SpoolError;
use super::index::{InstanceSum, StudyRow};
use super::outbound::StudyUpdate;
use super::withheld::Withheld;

/// Where an object stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ObjectState {
    /// Durable here, its container not made yet.
    Stored,
    /// Container durable, waiting for the line.
    Coded,
    /// Durable at the relay.
    Receipted,
    /// The relay would not take it.
    Refused,
    /// Kept back until a person looks: another patient under the same Study Instance UID.
    Held,
    /// The bytes on our disk are no longer those received.
    Damaged,
}

impl ObjectState {
    /// All states, in the order of their tallies.
    pub const ALL: [Self; 6] = [
        Self::Stored,
        Self::Coded,
        Self::Receipted,
        Self::Refused,
        Self::Held,
        Self::Damaged,
    ];

    /// The stable text form.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Stored => "stored",
            Self::Coded => "coded",
            Self::Receipted => "receipted",
            Self::Refused => "refused",
            Self::Held => "held",
            Self::Damaged => "damaged",
        }
    }

    /// Parses the stable text form.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.as_str() == text)
    }
}

/// Patient as shown to the technologist; never printed in logs.
#[derive(Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct PatientLabel {
    /// Alphabetic group of the name.
    pub alphabetic: String,
    /// Ideographic group.
    pub ideographic: String,
    /// Phonetic group.
    pub phonetic: String,
    /// The name could not be read with certainty.
    pub name_uncertain: bool,
    /// Patient ID (0010,0020).
    pub patient_id: String,
    /// Birth date, YYYYMMDD.
    pub birth_date: String,
    /// Sex (0010,0040).
    pub sex: String,
}

impl std::fmt::Debug for PatientLabel {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("PatientLabel([redacted])")
    }
}

impl PatientLabel {
    /// The form that is kept with a held object.
    pub fn to_json(&self) -> Result<String, SpoolError> {
        serde_json::to_string(self).map_err(|error| SpoolError::Index(error.to_string()))
    }

    /// Whether the two cannot be the same patient: an identifier that both have differs.
    #[must_use]
    pub fn contradicts(&self, other: &Self) -> bool {
        let differ = |a: &str, b: &str| !a.is_empty() && !b.is_empty() && a != b;
        differ(&self.patient_id, &other.patient_id) || differ(&self.birth_date, &other.birth_date)
    }

    /// Takes identifiers from the same patient's further object; gives whether any was lacking.
    fn complete(&mut self, other: &Self) -> bool {
        let mut changed = false;
        for (own, others) in [
            (&mut self.patient_id, &other.patient_id),
            (&mut self.birth_date, &other.birth_date),
        ] {
            if own.is_empty() && !others.is_empty() {
                own.clone_from(others);
                changed = true;
            }
        }
        changed
    }
}

/// What the page shows about a study.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct StudyLabel {
    /// Patient of its first object.
    pub patient: PatientLabel,
    /// Study Date as sent.
    pub study_date: String,
    /// Study Time as sent.
    pub study_time: String,
    /// Study Description.
    pub description: String,
    /// Modalities of its series.
    pub modalities: Vec<String>,
    /// Text of its first such object that the declared character sets do not explain.
    pub text_doubt: Option<TextDoubt>,
}

/// Text that the declared character sets do not explain: shown with a mark, and told to whoever can have the sender
/// corrected.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct TextDoubt {
    /// Who sent it.
    pub calling_ae: String,
    /// Specific Character Set as declared, terms separated by backslashes; empty when nothing is declared.
    pub declared: String,
    /// Elements concerned, eight hexadecimal digits each; none when only a term of the declaration is unknown.
    pub elements: Vec<String>,
}

impl TextDoubt {
    fn of(identity: &InstanceIdentity, calling_ae: &AeTitle) -> Option<Self> {
        identity.text_uncertain.then(|| Self {
            calling_ae: calling_ae.as_str().to_owned(),
            declared: identity.character_sets.join("\\"),
            elements: identity
                .uncertain_elements
                .iter()
                .map(|tag| tag.to_hex())
                .collect(),
        })
    }
}

impl StudyLabel {
    /// The label from the identity of one object and who sent it.
    #[must_use]
    pub fn of(identity: &InstanceIdentity, calling_ae: &AeTitle) -> Self {
        let text = |value: &Option<String>| value.clone().unwrap_or_default();
        let name = identity.patient_name.clone().unwrap_or_default();
        Self {
            patient: PatientLabel {
                name_uncertain: name.uncertain,
                alphabetic: name.alphabetic,
                ideographic: name.ideographic,
                phonetic: name.phonetic,
                patient_id: text(&identity.patient_id),
                birth_date: text(&identity.birth_date),
                sex: text(&identity.sex),
            },
            study_date: text(&identity.study_date),
            study_time: text(&identity.study_time),
            description: text(&identity.study_description),
            modalities: identity.modality.iter().cloned().collect(),
            text_doubt: TextDoubt::of(identity, calling_ae),
        }
    }

    /// Adds what a further object brings: modalities, a first doubt about text, and of the same patient the identifiers
    /// that the first object lacked; gives whether there was anything.
    pub fn add(&mut self, other: &Self) -> bool {
        let identified = !self.patient.contradicts(&other.patient) && self.patient.complete(&other.patient);
        let all: BTreeSet<String> = self.modalities.iter().chain(&other.modalities).cloned().collect();
        let grown = all.len() > self.modalities.len();
        if grown {
            self.modalities = all.into_iter().collect();
        }
        let doubted = self.text_doubt.is_none() && other.text_doubt.is_some();
        if doubted {
            self.text_doubt.clone_from(&other.text_doubt);
        }
        grown || doubted || identified
    }
}

/// Objects in one state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct Tally {
    /// Objects.
    pub n_objects: u64,
    /// Bytes of their data sets as received.
    pub original_bytes: u64,
    /// Bytes of their containers, as far as they are made.
    pub container_bytes: u64,
}

/// A study with its counts.
#[derive(Debug, Clone)]
pub struct StudyPicture {
    /// Study Instance UID.
    pub study_instance_uid: String,
    /// Who and what.
    pub label: StudyLabel,
    /// Priority on the line.
    pub priority: Priority,
    /// Grows when a late object reopens the study.
    pub generation: u64,
    /// Last generation the relay confirmed whole.
    pub confirmed_generation: u64,
    /// When it was closed.
    pub closed_at_ms: Option<i64>,
    /// What the relay last said about its reading.
    pub relay_update: Option<StudyUpdate>,
    /// What of it does not go to the relay.
    pub withheld: Withheld,
    /// Counts in the order of [`ObjectState::ALL`].
    tallies: [Tally; 6],
    /// Objects whose SOP Instance UID had come before with other bytes.
    pub n_revisions: u64,
    /// SOP Instance UIDs of the study that came here, and the bytes that came first under each: those held back are not
    /// counted, those damaged here are, and those deleted after the relay's receipt are as long as they are remembered.
    pub instances: InstanceSum,
    /// First arrival.
    pub first_received_at_ms: i64,
    /// Last arrival.
    pub last_received_at_ms: i64,
    /// Last arrival or end of an association that brought objects of it, since start.
    pub last_activity_ms: i64,
}

impl StudyPicture {
    /// A study from its row, without objects.
    #[must_use]
    pub fn new(row: &StudyRow, now_ms: i64) -> Self {
        let mut picture = Self {
            study_instance_uid: row.study_instance_uid.clone(),
            label: StudyLabel::default(),
            priority: row.priority,
            generation: 0,
            confirmed_generation: 0,
            closed_at_ms: None,
            relay_update: None,
            withheld: Withheld::default(),
            tallies: [Tally::default(); 6],
            n_revisions: 0,
            instances: InstanceSum::default(),
            first_received_at_ms: now_ms,
            last_received_at_ms: now_ms,
            last_activity_ms: now_ms,
        };
        picture.take_row(row);
        picture
    }

    /// Takes over what a row says; counts stay.
    pub fn take_row(&mut self, row: &StudyRow) {
        self.label = row.label.clone();
        self.priority = row.priority;
        self.generation = row.generation;
        self.confirmed_generation = row.confirmed_generation;
        self.closed_at_ms = row.closed_at_ms;
        self.withheld = row.withheld.clone();
        self.relay_update = row
            .relay_update
            .as_deref()
            .and_then(|json| serde_json::from_str(json).ok());
    }

    /// Objects in one state.
    #[must_use]
    pub fn tally(&self, state: ObjectState) -> Tally {
        self.tallies[state as usize]
    }

    /// Access to change a count.
    pub fn tally_mut(&mut self, state: ObjectState) -> &mut Tally {
        &mut self.tallies[state as usize]
    }

    /// Whether nothing of the study came that can be used: it is told to the relay, and there is nothing to show.
    #[must_use]
    pub fn is_unseen(&self) -> bool {
        self.label == StudyLabel::default() && self.tallies.iter().all(|tally| tally.n_objects == 0)
    }

    /// Whether the study is open and nothing came for the quiet time.
    #[must_use]
    pub fn is_quiet(&self, now_ms: i64, quiet_ms: i64) -> bool {
        self.closed_at_ms.is_none()
            && now_ms - self.last_activity_ms >= quiet_ms
            && (self.instances.n_instances > 0 || self.is_unseen() && !self.withheld.is_empty())
    }
}

/// Generation that a study's new row begins with: above that of any row forgotten before it, so that the relay takes
/// its manifests for news. It then grows by one each time a late object reopens the study.
#[must_use]
pub fn first_generation(now_ms: i64) -> u64 {
    u64::try_from(now_ms).unwrap_or(1).max(1)
}
