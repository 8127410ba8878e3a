//! The report: what must be there before it is signed, which version follows which, and that nothing signed changes.
//!
//! A signature needs a [`Clearance`], which only [`clear`] gives; `reading.rs` takes nothing else.
//! Where the clinical reference leaves room: a preliminary report may lack what takes time (required findings, key
//! images, the call, the last images), never criticality, disposition, image quality and impression; a report
//! without any finding block is taken when its findings are written out, as the free-text template.

use crate::call::CallRecord;
use crate::critical_result::{
    CommunicatedBy, CommunicationEvidence, Criticality, EarlierAcknowledgement, FailurePolicy,
    NotCommunicated, assess,
};
use crate::disposition::{Disposition, check_dispositions};
use crate::findings::validate::Surroundings;
use crate::findings::{Answers, Evaluation, FindingBlock, Severity, check, report_definition};
use crate::ids::UserId;

mod blockers;

pub use blockers::Blocker;

/// Most key images of one report.
pub const KEY_IMAGES_MAX: usize = 64;

/// How a reader signs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SignAs {
    /// 暫定
    Preliminary,
    /// 確定
    Final,
}

impl SignAs {
    /// The stable text form.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Preliminary => "preliminary",
            Self::Final => "final",
        }
    }

    /// Parses the stable text form.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Preliminary, Self::Final]
            .into_iter()
            .find(|status| status.as_str() == text)
    }
}

/// What a signed version is. It never changes again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum VersionStatus {
    /// 暫定
    Preliminary,
    /// 確定
    Final,
    /// 追記あり
    Addended,
    /// 訂正
    Corrected,
}

impl VersionStatus {
    /// Every status.
    pub const ALL: [Self; 4] = [Self::Preliminary, Self::Final, Self::Addended, Self::Corrected];

    /// The stable text form.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Preliminary => "preliminary",
            Self::Final => "final",
            Self::Addended => "addended",
            Self::Corrected => "corrected",
        }
    }

    /// Parses the stable text form.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|status| status.as_str() == text)
    }

    /// Whether the reading is complete with it.
    #[must_use]
    pub fn is_final(self) -> bool {
        self != Self::Preliminary
    }
}

/// The body of a report as the reader writes it.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct ReportBody {
    /// Code of the image quality.
    pub image_quality: Option<String>,
    /// Codes of the reading conditions.
    pub limits: Vec<String>,
    /// Finding blocks as submitted.
    pub finding_blocks: Vec<FindingBlock>,
    /// 所見
    pub findings_text: String,
    /// 診断・結論
    pub impression_text: String,
    /// 推奨
    pub recommendation_text: String,
    /// 重要度
    pub criticality: Option<Criticality>,
    /// 推奨方針
    pub disposition: Vec<Disposition>,
    /// How many key images are attached.
    pub n_key_images: usize,
}

/// The images as they are at the moment of signing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ImagesAtSigning {
    /// Instances of which at least the head is here.
    pub received: i64,
    /// Instances that are whole and proven.
    pub verified: i64,
    /// Instances the sender has announced; `None` when how many there are is not known.
    pub announced: Option<i64>,
    /// The sender has said that nothing more comes.
    pub closed: bool,
    /// Instances that came to the sender and stay there.
    pub withheld: i64,
}

impl ImagesAtSigning {
    /// Whether every image has arrived, and it is known that there are no others.
    #[must_use]
    pub fn complete(&self) -> bool {
        self.closed
            && self.received > 0
            && self.withheld == 0
            && self.verified >= self.received
            && self.announced.is_some_and(|announced| self.verified >= announced)
    }
}

/// The signed version before this one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PreviousVersion {
    /// From 1.
    pub version: u32,
    /// What it was.
    pub status: VersionStatus,
    /// How severe it called the finding.
    pub criticality: Criticality,
    /// When it was signed.
    pub signed_at_ms: i64,
    /// Its acknowledgement by a named doctor: when, and by when it was due.
    pub acknowledged: Option<(i64, i64)>,
    /// Who signed.
    pub reader: UserId,
}

/// Everything a signature depends on.
#[derive(Debug, Clone, Copy)]
pub struct SigningInput<'a> {
    /// What the reader wrote.
    pub body: &'a ReportBody,
    /// Its findings, evaluated now.
    pub evaluation: &'a Evaluation,
    /// The images, now.
    pub images: ImagesAtSigning,
    /// Calls of the case.
    pub calls: &'a [CallRecord],
    /// The version before, if any.
    pub previous: Option<&'a PreviousVersion>,
    /// Code of the signer's site.
    pub signer_site_code: &'a str,
    /// Now, in milliseconds UTC.
    pub now_ms: i64,
    /// What counts as a documented failure to reach someone.
    pub failure_policy: &'a FailurePolicy,
}

/// Permission to sign; made by [`clear`] and [`clear_addendum`] only.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Clearance {
    status: VersionStatus,
    criticality: Criticality,
    communicated_by: CommunicatedBy,
}

impl Clearance {
    /// What the new version will be.
    #[must_use]
    pub fn status(self) -> VersionStatus {
        self.status
    }

    /// How severe it calls the finding.
    #[must_use]
    pub fn criticality(self) -> Criticality {
        self.criticality
    }

    /// How a critical result was communicated.
    #[must_use]
    pub fn communicated_by(self) -> CommunicatedBy {
        self.communicated_by
    }

    #[cfg(test)]
    pub(crate) fn for_test(status: VersionStatus) -> Self {
        Self {
            status,
            criticality: Criticality::None,
            communicated_by: CommunicatedBy::NotNeeded,
        }
    }
}

/// Permission to sign, or everything that stands against it.
///
/// # Errors
/// Every blocker at once, in the order of the form.
pub fn clear(sign_as: SignAs, input: &SigningInput<'_>) -> Result<Clearance, Vec<Blocker>> {
    let mut found = Vec::new();
    let status = match (sign_as, input.previous.map(|previous| previous.status.is_final())) {
        (SignAs::Preliminary, Some(true)) => {
            found.push(Blocker::AlreadyFinal);
            VersionStatus::Preliminary
        }
        (SignAs::Preliminary, _) => VersionStatus::Preliminary,
        (SignAs::Final, Some(true)) => VersionStatus::Corrected,
        (SignAs::Final, _) => VersionStatus::Final,
    };
    frame(sign_as, input, &mut found);
    findings(sign_as, input, &mut found);
    dispositions(sign_as, input, &mut found);
    images(sign_as, input, &mut found);
    let mut communicated_by = CommunicatedBy::NotNeeded;
    if let (SignAs::Final, Some(criticality)) = (sign_as, input.body.criticality) {
        match communicated(criticality, input.calls, input.previous, input.failure_policy) {
            Ok(by) => communicated_by = by,
            Err(missing) => found.push(Blocker::NotCommunicated { criticality, missing }),
        }
    }
    match input.body.criticality {
        Some(criticality) if found.is_empty() => Ok(Clearance {
            status,
            criticality,
            communicated_by,
        }),
        _ => Err(found),
    }
}

/// Permission to add to a final report. Raising the criticality to one that needs a call needs that call first.
///
/// # Errors
/// The text is empty, there is no final version to add to, or the call is missing.
pub fn clear_addendum(
    text: &str,
    criticality: Option<Criticality>,
    previous: Option<&PreviousVersion>,
    calls: &[CallRecord],
    failure_policy: &FailurePolicy,
) -> Result<Clearance, Vec<Blocker>> {
    let Some(previous) = previous.filter(|previous| previous.status.is_final()) else {
        return Err(vec![Blocker::NotFinalYet]);
    };
    let criticality = criticality.unwrap_or(previous.criticality);
    let mut found = Vec::new();
    if text.trim().is_empty() {
        found.push(Blocker::Missing {
            field: "text".to_owned(),
        });
    }
    let mut communicated_by = CommunicatedBy::NotNeeded;
    if criticality > previous.criticality {
        match communicated(criticality, calls, Some(previous), failure_policy) {
            Ok(by) => communicated_by = by,
            Err(missing) => found.push(Blocker::NotCommunicated { criticality, missing }),
        }
    }
    if !found.is_empty() {
        return Err(found);
    }
    Ok(Clearance {
        status: VersionStatus::Addended,
        criticality,
        communicated_by,
    })
}

fn communicated(
    criticality: Criticality,
    calls: &[CallRecord],
    previous: Option<&PreviousVersion>,
    policy: &FailurePolicy,
) -> Result<CommunicatedBy, NotCommunicated> {
    let worse = previous.filter(|previous| previous.criticality < criticality);
    let acknowledgement = previous
        .filter(|previous| previous.criticality >= criticality)
        .and_then(|previous| {
            let (acknowledged_at_ms, acknowledge_by_ms) = previous.acknowledged?;
            Some(EarlierAcknowledgement {
                signed_at_ms: previous.signed_at_ms,
                acknowledged_at_ms,
                acknowledge_by_ms,
            })
        });
    let evidence = CommunicationEvidence {
        calls,
        since_ms: worse.map(|previous| previous.signed_at_ms),
        acknowledgement,
    };
    assess(criticality, evidence, policy)
}

/// The fields of the report's frame. A preliminary report may lack the recommendation and the findings text.
fn frame(sign_as: SignAs, input: &SigningInput<'_>, found: &mut Vec<Blocker>) {
    let body = input.body;
    let mut answers = Answers::new();
    let texts = [
        ("findings_text", &body.findings_text),
        ("impression_text", &body.impression_text),
        ("recommendation_text", &body.recommendation_text),
    ];
    for (id, text) in texts {
        answers.insert(id.to_owned(), text.as_str().into());
    }
    answers.insert("image_quality".to_owned(), body.image_quality.clone().into());
    answers.insert("limits".to_owned(), body.limits.clone().into());
    answers.insert(
        "criticality".to_owned(),
        body.criticality.map(Criticality::as_str).into(),
    );
    let none = Answers::new();
    let checked = check(
        &report_definition().fields,
        &answers,
        Surroundings {
            context: &none,
            now_ms: input.now_ms,
        },
    );
    let may_wait = ["findings_text", "recommendation_text", "limits"];
    for problem in checked.problems {
        let waits = sign_as == SignAs::Preliminary && may_wait.contains(&problem.field.as_str());
        match problem.severity {
            Severity::Invalid => found.push(Blocker::Invalid {
                problem,
                template: None,
            }),
            Severity::Missing if !waits => found.push(Blocker::Missing { field: problem.field }),
            Severity::Missing | Severity::Warning => {}
        }
    }
}

fn findings(sign_as: SignAs, input: &SigningInput<'_>, found: &mut Vec<Blocker>) {
    for (template, problem) in input.evaluation.all_problems() {
        let blocks = match problem.severity {
            Severity::Invalid => true,
            Severity::Missing => sign_as == SignAs::Final || problem.code == "must_hold",
            Severity::Warning => false,
        };
        if blocks {
            found.push(Blocker::Invalid {
                problem: problem.clone(),
                template: template.map(str::to_owned),
            });
        }
    }
    let described = !input.evaluation.blocks.is_empty() || !input.body.findings_text.trim().is_empty();
    if !described {
        found.push(Blocker::NoFindings);
    }
    if input.body.n_key_images > KEY_IMAGES_MAX {
        found.push(Blocker::TooManyKeyImages);
    }
    if sign_as == SignAs::Final && input.body.n_key_images == 0 && input.evaluation.has_finding() {
        found.push(Blocker::NoKeyImage);
    }
}

fn dispositions(sign_as: SignAs, input: &SigningInput<'_>, found: &mut Vec<Blocker>) {
    let has = |code: &str| {
        input
            .body
            .disposition
            .iter()
            .any(|disposition| disposition.code == code)
    };
    if input.body.disposition.is_empty() {
        found.push(Blocker::NoDisposition);
    }
    for problem in check_dispositions(&input.body.disposition, input.signer_site_code, input.now_ms) {
        if problem.severity != Severity::Warning {
            found.push(Blocker::Invalid {
                problem,
                template: None,
            });
        }
    }
    if input.body.image_quality.as_deref() == Some("unreadable") && !has("repeat_imaging") {
        found.push(Blocker::UnreadableNeedsRepeat);
    }
    if sign_as == SignAs::Final && has("insufficient") {
        found.push(Blocker::InsufficientIsNotFinal);
    }
}

fn images(sign_as: SignAs, input: &SigningInput<'_>, found: &mut Vec<Blocker>) {
    if input.images.received == 0 {
        found.push(Blocker::NoImages);
        return;
    }
    // "Not all images have arrived" among the reading conditions is the reader's stated reason.
    let stated = input.body.limits.iter().any(|limit| limit == "images_incomplete");
    if sign_as == SignAs::Final && !input.images.complete() && !stated {
        found.push(Blocker::ImagesIncomplete(input.images));
    }
}

#[cfg(test)]
mod tests;
