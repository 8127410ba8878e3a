//! What the API says about one reading request.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::ToSchema;

use crate::calls::dto::Call;
use crate::notifications::dto::Notice;
use crate::reports::dto::{Evaluation, FindingBlock, ReportBody, ReportVersion};
use crate::worklist::dto::ReadingRequestSummary;

/// Everything about one reading request that the person may know.
#[derive(Debug, Serialize, ToSchema)]
pub struct ReadingRequestDetail {
    /// As in the worklist.
    #[serde(flatten)]
    pub summary: ReadingRequestSummary,
    /// Clinical context by field id (template `ctx`).
    #[schema(value_type = Object)]
    pub clinical_context: Map<String, Value>,
    /// Phone-call records, oldest first.
    pub calls: Vec<Call>,
    /// The draft; for the reading site only.
    pub draft: Option<Draft>,
    /// Signed versions, oldest first.
    pub reports: Vec<ReportVersion>,
    /// What happened, oldest first.
    pub events: Vec<ReadingEvent>,
    /// Notices about it, oldest first.
    pub notices: Vec<Notice>,
    /// Whom to call, most likely first.
    pub contacts: Vec<Contact>,
}

/// A draft of a report.
#[derive(Debug, Serialize, ToSchema)]
pub struct Draft {
    /// Grows with every save.
    pub version: i64,
    /// What is written so far.
    pub body: ReportBody,
    /// Who saved it.
    pub author_id: String,
    /// When.
    pub saved_at_ms: i64,
    /// What it is worth now.
    pub evaluation: Evaluation,
}

/// Something that happened to a request.
#[derive(Debug, Serialize, ToSchema)]
pub struct ReadingEvent {
    /// From 1.
    pub seq: i64,
    /// What.
    pub kind: String,
    /// When.
    pub at_ms: i64,
    /// Who; absent for the relay's own acts.
    pub actor: Option<EventActor>,
    /// Ids and codes.
    #[schema(value_type = Object)]
    pub detail: Value,
}

/// Who did something.
#[derive(Debug, Serialize, ToSchema)]
pub struct EventActor {
    /// Name then.
    pub name: String,
    /// Role then.
    pub role: String,
    /// Name of the site then.
    pub site: String,
}

/// A number to call.
#[derive(Debug, Serialize, ToSchema)]
pub struct Contact {
    /// Who answers.
    pub name: String,
    /// `callback`, `site`, or the role of a person.
    pub role: String,
    /// The number.
    pub number: String,
    /// Name of the site.
    pub site: String,
}

/// A new request.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CreateReadingRequest {
    /// The stored study; or `study_instance_uid`.
    #[serde(default)]
    pub study_id: Option<String>,
    /// The study, which may still be on its way from the person's own site.
    #[serde(default)]
    pub study_instance_uid: Option<String>,
    /// `stroke_code`, `critical`, `urgent`, `routine` or `elective`.
    pub urgency: String,
    /// Clinical context by field id.
    #[serde(default)]
    #[schema(value_type = Object)]
    pub clinical_context: Map<String, Value>,
    /// Number to call back; absent: the one in the clinical context.
    #[serde(default)]
    pub callback_number: Option<String>,
    /// Who answers there.
    #[serde(default)]
    pub callback_person: Option<String>,
    /// Physician responsible for the patient.
    #[serde(default)]
    pub responsible_physician: Option<String>,
}

/// Clinical context by field id; what is not named stays, null takes an answer back.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(transparent)]
#[schema(value_type = Object)]
pub struct ClinicalContext(pub Map<String, Value>);

/// Why something is sent back or withdrawn.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Reason {
    /// In the person's words.
    pub reason: String,
}

/// A draft to be saved.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SaveDraft {
    /// The version it was written over; absent or 0 when there was none.
    #[serde(default)]
    pub base_version: Option<i64>,
    /// What is written so far.
    pub body: ReportBody,
}

/// That a draft was saved.
#[derive(Debug, Serialize, ToSchema)]
pub struct DraftSaved {
    /// The version to write over next.
    pub version: i64,
    /// When.
    pub saved_at_ms: i64,
    /// What was computed from it.
    pub evaluation: Evaluation,
}

/// Finding blocks to be evaluated without saving anything.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct EvaluateFindings {
    /// In the light of whose clinical context.
    pub reading_request_id: String,
    /// The blocks.
    #[serde(default)]
    pub finding_blocks: Vec<FindingBlock>,
}

/// The templates this relay knows.
#[derive(Debug, Serialize, ToSchema)]
pub struct Templates {
    /// Definitions: id, version, title, kind and fields.
    #[schema(value_type = Vec<Object>)]
    pub items: Vec<Value>,
}
