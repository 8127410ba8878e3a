//! What the API says about a report: its body as written, its evaluation as computed, its versions as signed.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use tancho_store::StoreError;
use tancho_store::reports as store;
use utoipa::ToSchema;

use crate::worklist::dto::PersonName;

/// What a reader writes. A draft may leave anything out; a signature may not.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ReportBody {
    /// `good`, `motion`, `artefact`, `incomplete_coverage` or `unreadable`.
    pub image_quality: Option<String>,
    /// What the images were read on: codes of the template `rpt`.
    pub limits: Vec<String>,
    /// One block per template.
    pub finding_blocks: Vec<FindingBlock>,
    /// Findings.
    pub findings_text: String,
    /// Impression.
    pub impression_text: String,
    /// Recommendation.
    pub recommendation_text: String,
    /// `crit_red`, `crit_orange`, `crit_yellow` or `none`.
    pub criticality: Option<String>,
    /// Recommended dispositions, each `{code, ...}` with the sub-fields of the template `disposition`.
    #[schema(value_type = Vec<Object>)]
    pub disposition: Vec<Map<String, Value>>,
    /// Images that show it.
    pub key_images: Vec<KeyImage>,
    /// Studies compared with; empty means none.
    pub prior_study_uids: Vec<String>,
}

/// Answers to one template.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct FindingBlock {
    /// `id@version`.
    pub template: String,
    /// Answers by field id.
    #[serde(rename = "in", default)]
    #[schema(value_type = Object)]
    pub input: Map<String, Value>,
}

/// An image that shows it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct KeyImage {
    /// The instance.
    pub sop_instance_uid: String,
    /// Its series.
    pub series_instance_uid: String,
    /// From 1.
    #[serde(default = "first_frame")]
    pub frame: u32,
    /// In the reader's words.
    #[serde(default)]
    pub caption: String,
    /// Window centre it was shown with.
    #[serde(default)]
    pub window_center: Option<f64>,
    /// Window width it was shown with.
    #[serde(default)]
    pub window_width: Option<f64>,
    /// What was drawn on it.
    #[serde(default)]
    pub annotations: Vec<Annotation>,
}

fn first_frame() -> u32 {
    1
}

/// Something drawn on an image, in pixel coordinates from the top left corner.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Annotation {
    /// `length` or `arrow`.
    pub kind: String,
    /// Column and row of each point.
    pub points: Vec<[f64; 2]>,
    /// Millimetres of a length.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mm: Option<f64>,
}

/// What was computed from a body.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Evaluation {
    /// One per finding block, in the same order.
    pub blocks: Vec<BlockEvaluation>,
    /// What is wrong outside the blocks.
    pub problems: Vec<Problem>,
    /// Whether it may be signed, and if not, why.
    pub can_sign: CanSign,
    /// Text made from the answers, as a proposal.
    pub narrative: Narrative,
}

/// What was computed from one block.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct BlockEvaluation {
    /// `id@version`.
    pub template: String,
    /// Computed fields by path: `{value, unit?, formula, raw?, inputs}` or `{value: null, reason}`.
    #[schema(value_type = Object)]
    pub calc: Map<String, Value>,
    /// What is wrong in the block.
    pub problems: Vec<Problem>,
}

/// What is wrong with one field.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Problem {
    /// Path of the field.
    pub field: String,
    /// Stable code.
    pub code: String,
    /// `warning` (confirm it), `missing` (answer it to sign) or `invalid`.
    pub severity: String,
    /// In Japanese.
    pub message_ja: String,
    /// In English.
    pub message_en: String,
}

/// Whether a body may be signed now.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct CanSign {
    /// As preliminary.
    pub preliminary: Signable,
    /// As final.
    #[serde(rename = "final")]
    pub final_report: Signable,
}

/// Whether one kind of signature is possible now.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Signable {
    /// Nothing stands against it.
    pub ok: bool,
    /// What stands against it.
    pub blockers: Vec<Blocker>,
}

/// What stands against a signature.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Blocker {
    /// Stable code.
    pub code: String,
    /// The field it belongs to, if one.
    pub field: Option<String>,
    /// In Japanese.
    pub message_ja: String,
    /// In English.
    pub message_en: String,
}

/// Text made from the answers.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Narrative {
    /// In Japanese.
    pub ja: String,
    /// In English.
    pub en: String,
}

/// What a signature asks for.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Sign {
    /// `preliminary` or `final`.
    pub status: String,
    /// The version of the draft that was on the screen.
    pub draft_version: i64,
    /// The signer's; never logged, never stored.
    #[serde(default)]
    #[schema(required = true, value_type = String)]
    pub password: Option<String>,
}

/// Words added to a signed report.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct AddAddendum {
    /// The words.
    pub text: String,
    /// Fields it corrects.
    #[serde(default)]
    pub corrects_fields: Vec<String>,
    /// Another criticality.
    #[serde(default)]
    pub criticality: Option<String>,
    /// The author's; never logged, never stored.
    #[serde(default)]
    #[schema(required = true, value_type = String)]
    pub password: Option<String>,
}

/// What had arrived when a version was signed.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct ImagesAtSigning {
    /// Instances whose head was here.
    pub received: i64,
    /// Instances the sender had announced.
    pub announced: Option<i64>,
    /// Instances that were whole and proven.
    pub verified: i64,
    /// Whether the sender expected no more.
    pub closed: bool,
    /// Instances that stayed at the sender.
    #[serde(default)]
    pub withheld: i64,
    /// SHA-256 over the SOP Instance UID and the SHA-256 of every whole instance, in order of UID.
    pub instance_sha256_digest: String,
}

/// One signed version.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct ReportVersion {
    /// Id of the version.
    pub id: String,
    /// Id of the report.
    pub report_id: String,
    /// The request it answers.
    pub reading_request_id: String,
    /// From 1.
    pub version: i64,
    /// `preliminary`, `final`, `addended` or `corrected`.
    pub status: String,
    /// When.
    pub signed_at_ms: i64,
    /// Who.
    pub reader: PersonName,
    /// What was written.
    pub body: ReportBody,
    /// What was computed from it.
    pub evaluation: Evaluation,
    /// What it was read on.
    pub images_at_signing: ImagesAtSigning,
    /// The calls there were.
    pub calls: Vec<String>,
    /// Words of an addendum.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub text_of_addendum: Option<String>,
    /// Fields the addendum corrects.
    pub corrects_fields: Vec<String>,
}

impl ReportVersion {
    /// Reads a stored version.
    pub fn of(version: store::ReportVersion, reading_request_id: &str) -> Result<Self, StoreError> {
        Ok(Self {
            id: version.id.into(),
            report_id: version.report_id.into(),
            reading_request_id: reading_request_id.to_owned(),
            version: version.version,
            status: version.status,
            signed_at_ms: version.signed_at_ms,
            reader: PersonName {
                id: version.reader_id.into(),
                name: version.reader_name,
            },
            body: serde_json::from_str(&version.body)?,
            evaluation: serde_json::from_str(&version.evaluation)?,
            images_at_signing: serde_json::from_str(&version.images_at_signing)?,
            calls: serde_json::from_str(&version.calls)?,
            text_of_addendum: version.addendum_text,
            corrects_fields: serde_json::from_str(&version.corrects_fields)?,
        })
    }
}

/// A report with everything that was signed, and everyone who has acknowledged it.
#[derive(Debug, Serialize, ToSchema)]
pub struct Report {
    /// Oldest first.
    pub versions: Vec<ReportVersion>,
    /// Oldest first.
    pub acknowledgements: Vec<Acknowledgement>,
}

/// What an acknowledgement asks for.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Acknowledge {
    /// The version that was read.
    pub version: i64,
    /// `observe`, `transfer`, `treat` or `other`.
    pub action_taken: String,
    /// In the person's words.
    #[serde(default)]
    pub comment: Option<String>,
}

/// That somebody has read a version and acted on it.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct Acknowledgement {
    /// The report.
    pub report_id: String,
    /// The version that was read.
    pub version: i64,
    /// Who.
    pub acknowledged_by: PersonName,
    /// At which site.
    pub site_id: String,
    /// `observe`, `transfer`, `treat` or `other`.
    pub action_taken: String,
    /// In the person's words.
    pub comment: Option<String>,
    /// When.
    pub acknowledged_at_ms: i64,
}

impl From<store::Acknowledgement> for Acknowledgement {
    fn from(stored: store::Acknowledgement) -> Self {
        Self {
            report_id: stored.report_id.into(),
            version: stored.version,
            acknowledged_by: PersonName {
                id: stored.user_id.into(),
                name: stored.user_name,
            },
            site_id: stored.site_id.into(),
            action_taken: stored.action_taken,
            comment: stored.remark,
            acknowledged_at_ms: stored.acknowledged_at_ms,
        }
    }
}
