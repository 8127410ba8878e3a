//! What was said on the phone, and what may not be missing from it (clinical reference 3.2).

use crate::critical_result::Criticality;
use crate::disposition::Disposition;
use crate::findings::validate::Surroundings;
use crate::findings::{Answers, Checked, Severity, check, context_definition};

mod read;

/// Someone who took part.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Party {
    /// Name.
    pub name: String,
    /// Where the person works.
    pub facility: String,
    /// What the person is.
    pub role: String,
    /// Number, for someone without a login.
    pub number: Option<String>,
}

/// An image both spoke about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ViewedImage {
    /// Series Instance UID.
    pub series_instance_uid: String,
    /// SOP Instance UID.
    pub sop_instance_uid: String,
    /// Frame, from 1.
    pub frame: u32,
    /// Both had it on the screen.
    pub both_viewing: bool,
}

/// What the reader told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Conveyed {
    /// Verbatim summary.
    pub text: String,
    /// How critical the reader called it.
    pub criticality: Option<Criticality>,
}

/// What both agreed to do; it may be that they disagree.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Plan {
    /// Dispositions by code; their sub-fields follow in the report.
    pub dispositions: Vec<Disposition>,
    /// In words.
    pub text: String,
    /// By when.
    pub due_at_ms: Option<i64>,
    /// Who does it.
    pub who: Option<String>,
}

impl Plan {
    fn is_empty(&self) -> bool {
        self.dispositions.is_empty() && self.text.trim().is_empty()
    }

    fn has(&self, codes: &[&str]) -> bool {
        self.dispositions
            .iter()
            .any(|disposition| codes.contains(&disposition.code.as_str()))
    }
}

/// Someone else who was told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Informed {
    /// Name.
    pub name: String,
    /// What the person is.
    pub role: String,
    /// Where the person works.
    pub facility: Option<String>,
    /// When.
    pub at_ms: Option<i64>,
    /// How.
    pub method: Option<String>,
}

/// How both made sure who the other is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Identity {
    /// They did not.
    NotConfirmed,
    /// They did, in a way not stated.
    Confirmed,
    /// 折り返し
    CalledBack,
    /// 登録番号
    RegisteredNumber,
    /// 施設代表経由
    MainNumber,
}

impl Identity {
    /// Whether they did.
    #[must_use]
    pub fn is_confirmed(self) -> bool {
        self != Self::NotConfirmed
    }
}

/// Whether the family was told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FamilyInformed {
    /// By this person.
    Done(String),
    /// Not yet.
    NotYet,
    /// Does not apply.
    NotApplicable,
}

/// What was said; every part may be missing until the record is closed.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Conversation {
    /// Who spoke, at least two.
    pub parties: Vec<Party>,
    /// How both made sure who the other is.
    pub identity_confirmed: Option<Identity>,
    /// How the patient was identified, at least two of name, birth_date, patient_id, study_time.
    pub patient_identified_by: Vec<String>,
    /// The patient's state as told, by the field ids of the clinical context.
    pub state_told: Answers,
    /// When the patient was examined.
    pub state_assessed_at_ms: Option<i64>,
    /// Images both spoke about.
    pub images_viewed: Vec<ViewedImage>,
    /// Why none.
    pub images_not_viewed_reason: Option<String>,
    /// What the reader told.
    pub findings_conveyed: Option<Conveyed>,
    /// Questions with their answers.
    pub questions_answers: Vec<(String, String)>,
    /// What both agreed to do.
    pub agreed_plan: Option<Plan>,
    /// What the listener repeated.
    pub readback_text: Option<String>,
    /// Whether it was right.
    pub readback_ok: Option<bool>,
    /// What stayed open or was disagreed on.
    pub uncertainty: Option<String>,
    /// Who else was told.
    pub others_informed: Vec<Informed>,
    /// Whether the family was told.
    pub family_informed: Option<FamilyInformed>,
    /// When they speak again.
    pub next_contact_at_ms: Option<i64>,
    /// Why the record was written late.
    pub late_entry_reason: Option<String>,
}

/// How a patient may be identified on the phone.
pub const IDENTIFIERS: [&str; 4] = ["name", "birth_date", "patient_id", "study_time"];

/// Fields of the clinical context that are told on the phone.
pub const TOLD_FIELDS: [&str; 24] = [
    "jcs",
    "jcs_modifiers",
    "gcs_e",
    "gcs_v",
    "gcs_m",
    "pupil_right_size_mm",
    "pupil_right_light_reflex",
    "pupil_left_size_mm",
    "pupil_left_light_reflex",
    "sbp",
    "dbp",
    "hr",
    "rr",
    "spo2",
    "temp",
    "nihss_total",
    "nihss_items",
    "deficits",
    "onset_kind",
    "onset_dt",
    "lkw_dt",
    "antithrombotics",
    "labs",
    "mrs_pre",
];

/// Checks a state told on the phone against the fields of the clinical context; nothing in it is required.
#[must_use]
pub fn check_told(told: &Answers, now_ms: i64) -> Checked {
    let fields: Vec<_> = context_definition()
        .fields
        .iter()
        .filter(|field| TOLD_FIELDS.contains(&field.id.as_str()))
        .cloned()
        .collect();
    let none = Answers::new();
    let mut checked = check(
        &fields,
        told,
        Surroundings {
            context: &none,
            now_ms,
        },
    );
    checked
        .problems
        .retain(|problem| problem.severity != Severity::Missing);
    checked
}

impl Conversation {
    /// Required fields that are not there, in the order of the form.
    ///
    /// Of the patient's state one measure of consciousness is required and the rest may stay untold: the caller
    /// may not know more, and a record that cannot be closed helps nobody.
    #[must_use]
    pub fn missing(&self, criticality: Criticality) -> Vec<&'static str> {
        let mut missing = Vec::new();
        let mut need = |there: bool, field: &'static str| {
            if !there {
                missing.push(field);
            }
        };
        let text = |text: &Option<String>| text.as_deref().is_some_and(|text| !text.trim().is_empty());
        let named = self
            .parties
            .iter()
            .filter(|party| !party.name.trim().is_empty() && !party.role.trim().is_empty());
        need(named.count() >= 2, "parties");
        need(self.identity_confirmed.is_some(), "identity_confirmed");
        let identified = IDENTIFIERS
            .iter()
            .filter(|code| self.patient_identified_by.iter().any(|given| given == *code));
        need(identified.count() >= 2, "patient_identified_by");
        let conscious = self.state_told.contains_key("jcs")
            || ["gcs_e", "gcs_v", "gcs_m"]
                .iter()
                .all(|item| self.state_told.contains_key(*item));
        need(conscious, "state_told");
        need(self.state_assessed_at_ms.is_some(), "state_assessed_at_ms");
        need(
            !self.images_viewed.is_empty() || text(&self.images_not_viewed_reason),
            "images_viewed",
        );
        need(
            self.findings_conveyed
                .as_ref()
                .is_some_and(|told| !told.text.trim().is_empty()),
            "findings_conveyed",
        );
        need(
            self.agreed_plan.as_ref().is_some_and(|plan| !plan.is_empty()),
            "agreed_plan",
        );
        let readback = criticality.needs_readback();
        need(!readback || text(&self.readback_text), "readback_text");
        need(
            !(readback || text(&self.readback_text)) || self.readback_ok.is_some(),
            "readback_ok",
        );
        need(
            self.readback_ok != Some(false) || text(&self.uncertainty),
            "uncertainty",
        );
        let plan = |codes: &[&str]| self.agreed_plan.as_ref().is_some_and(|plan| plan.has(codes));
        need(
            !plan(&["transfer_requested", "transfer_accepted"]) || self.family_informed.is_some(),
            "family_informed",
        );
        need(
            !plan(&["observe_local", "repeat_imaging"]) || self.next_contact_at_ms.is_some(),
            "next_contact_at_ms",
        );
        missing
    }

    /// Whether the listener was told a finding at least this critical. A record that names no criticality is taken
    /// at its text; one that names a lower one told of something else.
    #[must_use]
    pub fn conveyed_as_bad_as(&self, criticality: Criticality) -> bool {
        let conveyed = self.findings_conveyed.as_ref();
        conveyed.is_some_and(|told| told.criticality.is_none_or(|told| told >= criticality))
    }

    /// Whether the finding was repeated correctly by someone whose identity was made sure of.
    #[must_use]
    pub fn proves_readback(&self) -> bool {
        self.readback_ok == Some(true)
            && self.identity_confirmed.is_some_and(Identity::is_confirmed)
            && self
                .readback_text
                .as_deref()
                .is_some_and(|text| !text.trim().is_empty())
    }
}
