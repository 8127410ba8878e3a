//! What a text is worth: its findings evaluated, and whether it may be signed now, with everything that depends on.

use serde_json::{Map, Value, json};
use tancho_domain::access::Scope;
use tancho_domain::call::CallRecord;
use tancho_domain::critical_result::{Criticality, FailurePolicy};
use tancho_domain::disposition::Disposition;
use tancho_domain::findings::validate::Surroundings;
use tancho_domain::findings::{self, Answers, evaluate::rounded};
use tancho_domain::report::{
    self, Blocker, Clearance, ImagesAtSigning, PreviousVersion, SignAs, SigningInput, VersionStatus,
};
use tancho_store::reading::{self as store, ReadingRequest, StudyOfRequest};
use tancho_store::{StoreError, Tx, critical_results, reports, sites};

use super::stored;
use crate::calls::stored::{StoredCall, load_calls};
use crate::error::ApiError;
use crate::reports::dto;

/// Everything outside the text that a signature depends on, at one moment.
#[derive(Debug)]
pub struct Facts {
    /// The clinical context, with what was told on the phone in its place.
    pub context: Answers,
    /// What has arrived.
    pub images: ImagesAtSigning,
    /// Calls of the case with their ids, oldest first.
    pub calls: Vec<StoredCall>,
    /// The version before.
    pub previous: Option<PreviousVersion>,
    /// The stored version before.
    pub previous_row: Option<reports::ReportVersion>,
    /// Code of the signer's site.
    pub signer_site_code: String,
    /// SOP Instance UIDs a key image may name.
    pub instance_uids: Vec<String>,
    /// The study.
    pub study: Option<StudyOfRequest>,
}

/// Collects the facts about a request in one transaction.
pub async fn gather(
    tx: &mut Tx,
    scope: &Scope,
    request: &ReadingRequest,
    now_ms: i64,
) -> Result<Facts, StoreError> {
    let calls = load_calls(tx, scope, &request.id, now_ms).await?;
    let context = stored::context_of(request, now_ms)?;
    let told = calls.iter().rev().find_map(|call| {
        let said = call.record.conversation.as_ref()?;
        (!said.state_told.is_empty()).then_some(&said.state_told)
    });
    let context = told.map_or_else(|| context.answers().clone(), |told| context.overlaid(told));
    let study = match request.study()? {
        Some(id) => Some(store::get_study_of_request(tx, &request.network_id, &id).await?),
        None => None,
    };
    let instance_uids = match &study {
        Some(study) => store::list_instance_uids(tx, &request.network_id, &study.id).await?,
        None => Vec::new(),
    };
    let images = study
        .as_ref()
        .map_or_else(ImagesAtSigning::default, |study| ImagesAtSigning {
            received: study.n_received,
            verified: study.n_verified,
            announced: study.announced_instances,
            closed: study.closed_at_ms.is_some(),
            withheld: study.withheld.n_instances(),
        });
    let previous_row = match request.report()? {
        Some(id) => reports::list_report_versions(tx, scope, &id).await?.pop(),
        None => None,
    };
    let previous = match &previous_row {
        Some(row) => Some(previous_of(tx, scope, row).await?),
        None => None,
    };
    let signer_site_code = sites::get_site(tx, scope, &request.reading_site_id).await?.code;
    Ok(Facts {
        context,
        images,
        calls,
        previous,
        previous_row,
        signer_site_code,
        instance_uids,
        study,
    })
}

async fn previous_of(
    tx: &mut Tx,
    scope: &Scope,
    row: &reports::ReportVersion,
) -> Result<PreviousVersion, StoreError> {
    let corrupt = || StoreError::Corrupt("report version".to_owned());
    let acknowledged = reports::list_acknowledgements(tx, scope, &row.report_id)
        .await?
        .into_iter()
        .find(|given| given.version == row.version);
    let acknowledged = match acknowledged {
        Some(given) => {
            let watch = critical_results::get_critical_result(tx, scope, &row.report_id, row.version).await?;
            Some((given.acknowledged_at_ms, watch.acknowledge_by_ms))
        }
        None => None,
    };
    Ok(PreviousVersion {
        version: u32::try_from(row.version).map_err(|_| corrupt())?,
        status: VersionStatus::parse(&row.status).ok_or_else(corrupt)?,
        criticality: Criticality::parse(&row.criticality).ok_or_else(corrupt)?,
        signed_at_ms: row.signed_at_ms,
        acknowledged,
        reader: row.reader_id.clone(),
    })
}

impl Facts {
    /// The calls in the domain's terms.
    #[must_use]
    pub fn call_records(&self) -> Vec<CallRecord> {
        self.calls.iter().map(|call| call.record.clone()).collect()
    }

    fn around(&self, now_ms: i64) -> Surroundings<'_> {
        Surroundings {
            context: &self.context,
            now_ms,
        }
    }

    /// Permission to sign this text now, or everything that stands against it.
    pub fn clear(
        &self,
        body: &dto::ReportBody,
        sign_as: SignAs,
        now_ms: i64,
    ) -> Result<Clearance, Vec<dto::Blocker>> {
        let (text, unread) = body_of(body);
        let evaluation = findings::evaluate(&text.finding_blocks, self.around(now_ms));
        let calls = self.call_records();
        let input = SigningInput {
            body: &text,
            evaluation: &evaluation,
            images: self.images,
            calls: &calls,
            previous: self.previous.as_ref(),
            signer_site_code: &self.signer_site_code,
            now_ms,
            failure_policy: &FailurePolicy::default(),
        };
        let cleared = report::clear(sign_as, &input);
        let mut blockers: Vec<dto::Blocker> =
            unread.into_iter().chain(self.foreign_key_images(body)).collect();
        match cleared {
            Ok(clearance) if blockers.is_empty() => Ok(clearance),
            Ok(_) => Err(blockers),
            Err(found) => {
                blockers.extend(found.iter().map(blocker_of));
                Err(blockers)
            }
        }
    }

    /// A key image has to be one of this study: text must never be bound to another patient's image.
    fn foreign_key_images(&self, body: &dto::ReportBody) -> Option<dto::Blocker> {
        let foreign = body
            .key_images
            .iter()
            .any(|image| !self.instance_uids.contains(&image.sop_instance_uid));
        foreign.then(|| dto::Blocker {
            code: "key_image_of_another_study".to_owned(),
            field: Some("key_images".to_owned()),
            message_ja: "キー画像がこの検査の画像ではありません".to_owned(),
            message_en: "a key image is not of this study".to_owned(),
        })
    }

    /// The evaluation of a text, with what stands against each kind of signature.
    #[must_use]
    pub fn evaluate(&self, body: &dto::ReportBody, now_ms: i64) -> dto::Evaluation {
        let signable = |sign_as| match self.clear(body, sign_as, now_ms) {
            Ok(_) => dto::Signable {
                ok: true,
                blockers: Vec::new(),
            },
            Err(blockers) => dto::Signable { ok: false, blockers },
        };
        let can_sign = dto::CanSign {
            preliminary: signable(SignAs::Preliminary),
            final_report: signable(SignAs::Final),
        };
        let (text, _) = body_of(body);
        let evaluation = findings::evaluate(&text.finding_blocks, self.around(now_ms));
        dto::Evaluation {
            blocks: evaluation.blocks.iter().map(block_of).collect(),
            problems: evaluation.problems.iter().map(problem_of).collect(),
            can_sign,
            narrative: dto::Narrative {
                ja: evaluation.narrative.ja,
                en: evaluation.narrative.en,
            },
        }
    }
}

/// The text in the domain's terms, and what of it cannot be put into them.
fn body_of(body: &dto::ReportBody) -> (report::ReportBody, Option<dto::Blocker>) {
    let criticality = body.criticality.as_deref().and_then(Criticality::parse);
    let unknown = body.criticality.is_some() && criticality.is_none();
    let unread = unknown.then(|| dto::Blocker {
        code: "criticality_unknown".to_owned(),
        field: Some("criticality".to_owned()),
        message_ja: "重要度の値が正しくありません".to_owned(),
        message_en: "no such criticality".to_owned(),
    });
    let finding_blocks = body.finding_blocks.iter().map(|block| findings::FindingBlock {
        template: block.template.clone(),
        input: block.input.clone(),
    });
    let disposition = body.disposition.iter().map(|given| {
        let mut fields = given.clone();
        let code = fields
            .remove("code")
            .and_then(|code| code.as_str().map(str::to_owned));
        Disposition {
            code: code.unwrap_or_default(),
            fields,
        }
    });
    let text = report::ReportBody {
        image_quality: body.image_quality.clone(),
        limits: body.limits.clone(),
        finding_blocks: finding_blocks.collect(),
        findings_text: body.findings_text.clone(),
        impression_text: body.impression_text.clone(),
        recommendation_text: body.recommendation_text.clone(),
        criticality,
        disposition: disposition.collect(),
        n_key_images: body.key_images.len(),
    };
    (text, unread)
}

fn block_of(block: &findings::BlockEvaluation) -> dto::BlockEvaluation {
    let calc = block.computed.iter().map(|(path, score)| {
        let value = rounded(block.definition, path, score);
        let mut entry = Map::new();
        if let Err(reason) = &score.value {
            entry.insert("reason".to_owned(), json!(reason.to_string()));
        }
        if let Ok(tancho_domain::scores::ScoreValue::Amount(raw)) = score.value {
            entry.insert("raw".to_owned(), json!(raw));
        }
        if let Some(label) = label_of(block, path, &value) {
            entry.insert("text".to_owned(), label);
        }
        entry.insert("value".to_owned(), value);
        entry.insert("unit".to_owned(), json!(score.unit));
        entry.insert("formula".to_owned(), json!(score.formula));
        if let Some((lowest, highest)) = score.interval {
            entry.insert("interval".to_owned(), json!([lowest, highest]));
        }
        if !score.excluded.is_empty() {
            entry.insert("excluded".to_owned(), json!(score.excluded));
        }
        let inputs: Map<String, Value> = score
            .inputs
            .iter()
            .map(|(field, given)| ((*field).to_owned(), given.clone()))
            .collect();
        entry.insert("inputs".to_owned(), Value::Object(inputs));
        (path.clone(), Value::Object(entry))
    });
    dto::BlockEvaluation {
        template: block.template.clone(),
        calc: calc.collect(),
        problems: block.problems.iter().map(problem_of).collect(),
    }
}

/// What a person reads for a computed code.
fn label_of(block: &findings::BlockEvaluation, path: &str, value: &Value) -> Option<Value> {
    let option = block.definition?.field(path)?.option(value.as_str()?)?;
    Some(json!({ "ja": option.label.ja, "en": option.label.en }))
}

/// A problem as the API says it.
#[must_use]
pub fn problem_of(problem: &findings::Problem) -> dto::Problem {
    dto::Problem {
        field: problem.field.clone(),
        code: problem.code.to_owned(),
        severity: problem.severity.as_str().to_owned(),
        message_ja: problem.message_ja.clone(),
        message_en: problem.message_en.clone(),
    }
}

/// A blocker as the API says it.
#[must_use]
pub fn blocker_of(blocker: &Blocker) -> dto::Blocker {
    dto::Blocker {
        code: blocker.code().to_owned(),
        field: blocker.field(),
        message_ja: blocker.message_ja(),
        message_en: blocker.message_en(),
    }
}

/// 422 with everything that stands against it.
#[must_use]
pub fn cannot_sign(blockers: &[dto::Blocker]) -> ApiError {
    let detail = "the report cannot be signed now; `blockers` says why";
    ApiError::unprocessable("cannot_sign", detail).with("blockers", json!(blockers))
}

/// 422 with every field that cannot be accepted.
#[must_use]
pub fn invalid(code: &'static str, problems: &[findings::Problem]) -> ApiError {
    let problems: Vec<_> = problems.iter().map(problem_of).collect();
    ApiError::unprocessable(code, "some fields cannot be accepted; `problems` names them")
        .with("problems", json!(problems))
}
