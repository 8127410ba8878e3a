//! What the API says about a phone-call record (clinical.md section 3).

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use tancho_store::StoreError;
use tancho_store::calls as store;
use utoipa::ToSchema;

use super::stored::StoredCall;
use crate::worklist::dto::PersonName;

/// What beginning a record asks for.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct StartCall {
    /// `reader_to_referrer`, `referrer_to_reader` or `third_party`.
    pub direction: String,
    /// `attending`, `on_call`, `nurse`, `liaison` or `ambulance`.
    pub callee_role: String,
}

/// One dial, as it begins.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct StartAttempt {
    /// As dialled.
    pub number_dialed: String,
    /// `landline`, `mobile`, `extension`, `phs`, `video` or `app`.
    pub channel: String,
    /// Whom it is for.
    pub callee_role: String,
    /// Who that is.
    #[serde(default)]
    pub callee_name: Option<String>,
    /// Absent: now.
    #[serde(default)]
    pub started_at_ms: Option<i64>,
}

/// One dial, as it ends.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct EndAttempt {
    /// `connected`, `no_answer`, `busy`, `unreachable_number`, `wrong_party`, `left_message` or `refused`.
    pub outcome: String,
    /// Why nobody was reached; needed unless connected.
    #[serde(default)]
    pub failure_reason: Option<String>,
    /// What is done next; needed unless connected.
    #[serde(default)]
    pub next_action: Option<String>,
    /// Absent: now.
    #[serde(default)]
    pub ended_at_ms: Option<i64>,
}

/// What is said, over the version of the record its writer has seen.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SaveConversation {
    /// `version` of the call as the writer knows it.
    pub base_version: i64,
    /// `parties`, `identity_confirmed`, `patient_identified_by`, `state_told`, `state_assessed_at_ms`, `images_viewed`
    /// or `images_not_viewed_reason`, `findings_conveyed`, `questions_answers`, `agreed_plan`, `readback_text`,
    /// `readback_ok`, `uncertainty`, `others_informed`, `family_informed`, `next_contact_at_ms`, `late_entry_reason`.
    #[schema(value_type = Object)]
    pub conversation: Map<String, Value>,
}

/// Going to somebody else after attempts that failed.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Escalate {
    /// Name.
    pub who: String,
    /// Role.
    pub role: String,
    /// Why.
    pub why: String,
}

/// Another way than the voice, with its receipt.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct DeliverOtherwise {
    /// `fax` or `secure_message`.
    pub kind: String,
    /// To whom or where.
    pub to: String,
    /// When it was sent.
    pub sent_at_ms: i64,
    /// What the receipt says.
    pub receipt_text: String,
    /// When the receipt came.
    pub receipt_at_ms: i64,
}

/// Words added to a closed record.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct AddCallAddendum {
    /// The words.
    pub text: String,
    /// Fields it corrects.
    #[serde(default)]
    pub corrects_fields: Vec<String>,
}

/// A phone-call record.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct Call {
    /// Id.
    pub id: String,
    /// Grows by one with every change; a save of the conversation names the one it was written over.
    pub version: i64,
    /// What it is about.
    pub reading_request_id: String,
    /// `draft`, `attempted`, `connected`, `readback_ok`, `readback_mismatch`, `escalated`, `alternative_delivered`,
    /// `closed` or `closed_with_exception`.
    pub state: String,
    /// `reader_to_referrer`, `referrer_to_reader` or `third_party`.
    pub direction: String,
    /// Whom it is for.
    pub callee_role: String,
    /// Every dial.
    pub attempts: Vec<Attempt>,
    /// What was said.
    #[schema(value_type = Option<Object>)]
    pub conversation: Option<Map<String, Value>>,
    /// `{who, role, why, at_ms}`.
    #[schema(value_type = Option<Object>)]
    pub escalation: Option<Map<String, Value>>,
    /// `{kind, to, sent_at_ms, receipt_text, receipt_at_ms}`.
    #[schema(value_type = Option<Object>)]
    pub alternative_delivery: Option<Map<String, Value>>,
    /// Words added after it was closed.
    pub addenda: Vec<CallAddendum>,
    /// Under whose account it is written.
    pub recorded_by: PersonName,
    /// When it was last written.
    pub recorded_at_ms: i64,
    /// The newest signed version when the other side was dialled: at the dial that was answered, else at the last one.
    pub report_version_at_call: Option<i64>,
    /// When the record was begun, before the first dial.
    pub started_at_ms: i64,
    /// When the first dial began.
    pub dialed_at_ms: Option<i64>,
    /// When the other side first answered; the conversation runs from here.
    pub connected_at_ms: Option<i64>,
    /// When the call was over and its record closed.
    pub ended_at_ms: Option<i64>,
    /// Fields of the conversation that have to be there before the record can be closed, in the order of the form;
    /// none once it is closed.
    pub missing: Vec<String>,
}

/// One dial.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct Attempt {
    /// From 1.
    pub attempt_no: i64,
    /// As dialled.
    pub number_dialed: String,
    /// Whom it was for.
    pub callee_role: String,
    /// Who that is.
    pub callee_name: Option<String>,
    /// Kind of line.
    pub channel: String,
    /// When it was dialled.
    pub started_at_ms: i64,
    /// When it rang no longer: answered, or given up.
    pub ended_at_ms: Option<i64>,
    /// How it ended.
    pub outcome: Option<String>,
    /// Why nobody was reached.
    pub failure_reason: Option<String>,
    /// What is done next.
    pub next_action: Option<String>,
}

/// Words added to a closed record.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct CallAddendum {
    /// From 1.
    pub seq: i64,
    /// The words.
    pub text: String,
    /// Fields it corrects.
    pub corrects_fields: Vec<String>,
    /// Who added it.
    pub by: PersonName,
    /// When.
    pub at_ms: i64,
}

impl From<store::CallAttempt> for Attempt {
    fn from(stored: store::CallAttempt) -> Self {
        Self {
            attempt_no: stored.attempt_no,
            number_dialed: stored.number_dialed,
            callee_role: stored.callee_role,
            callee_name: stored.callee_name,
            channel: stored.channel,
            started_at_ms: stored.started_at_ms,
            ended_at_ms: stored.ended_at_ms,
            outcome: stored.outcome,
            failure_reason: stored.failure_reason,
            next_action: stored.next_action,
        }
    }
}

impl Call {
    /// Reads a stored record with its attempts and addenda; `missing` as the rules say.
    pub fn of(stored: StoredCall, missing: Vec<String>) -> Result<Self, StoreError> {
        let StoredCall {
            row: call,
            attempts,
            addenda,
            record,
        } = stored;
        let document = |text: Option<String>| -> Result<Option<Map<String, Value>>, StoreError> {
            Ok(text.as_deref().map(serde_json::from_str).transpose()?)
        };
        let addenda = addenda.into_iter().map(|stored| {
            Ok(CallAddendum {
                seq: stored.seq,
                text: stored.text,
                corrects_fields: serde_json::from_str(&stored.corrects_fields)?,
                by: PersonName {
                    id: stored.author_id.into(),
                    name: stored.author_name,
                },
                at_ms: stored.added_at_ms,
            })
        });
        Ok(Self {
            id: call.id.into(),
            version: call.version,
            reading_request_id: call.reading_request_id.into(),
            state: call.state,
            direction: call.direction,
            callee_role: call.callee_role,
            attempts: attempts.into_iter().map(Attempt::from).collect(),
            conversation: document(call.conversation)?,
            escalation: document(call.escalation)?,
            alternative_delivery: document(call.alternative_delivery)?,
            addenda: addenda.collect::<Result<_, StoreError>>()?,
            recorded_by: PersonName {
                id: call.recorded_by_id.into(),
                name: call.recorded_by_name,
            },
            recorded_at_ms: call.recorded_at_ms,
            report_version_at_call: call.report_version_at_call,
            started_at_ms: call.started_at_ms,
            dialed_at_ms: record.dialed_at_ms(),
            connected_at_ms: record.connected_at_ms(),
            ended_at_ms: record.ended_at_ms(),
            missing,
        })
    }
}
