//! What stands against a signature, each with a stable code and a sentence in both languages that says what to do.

use super::ImagesAtSigning;
use crate::critical_result::{Criticality, NotCommunicated};
use crate::findings::Problem;

/// One reason why a report cannot be signed now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Blocker {
    /// A final report is followed by a correction or an addendum only.
    AlreadyFinal,
    /// An addendum follows a final report only.
    NotFinalYet,
    /// A field of the report is empty.
    Missing {
        /// Its id.
        field: String,
    },
    /// An answer is missing or cannot be accepted.
    Invalid {
        /// Which and why.
        problem: Problem,
        /// In which finding block.
        template: Option<String>,
    },
    /// No findings at all.
    NoFindings,
    /// A finding is stated and no key image shows it.
    NoKeyImage,
    /// Too many key images.
    TooManyKeyImages,
    /// No disposition.
    NoDisposition,
    /// Unreadable images need a repeat.
    UnreadableNeedsRepeat,
    /// "Not enough to decide" is not a final answer.
    InsufficientIsNotFinal,
    /// No image has arrived.
    NoImages,
    /// Images are still missing and the reader has not said that this is known.
    ImagesIncomplete(ImagesAtSigning),
    /// The critical result was not communicated.
    NotCommunicated {
        /// How severe.
        criticality: Criticality,
        /// What is missing.
        missing: NotCommunicated,
    },
}

impl Blocker {
    /// The stable code.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::AlreadyFinal => "report_already_final",
            Self::NotFinalYet => "report_not_final",
            Self::Missing { .. } => "required",
            Self::Invalid { problem, .. } => problem.code,
            Self::NoFindings => "findings_missing",
            Self::NoKeyImage => "key_image_missing",
            Self::TooManyKeyImages => "too_many_key_images",
            Self::NoDisposition => "disposition_missing",
            Self::UnreadableNeedsRepeat => "unreadable_needs_repeat_imaging",
            Self::InsufficientIsNotFinal => "insufficient_is_not_final",
            Self::NoImages => "no_images",
            Self::ImagesIncomplete(_) => "images_incomplete",
            Self::NotCommunicated {
                criticality: Criticality::Red,
                ..
            } => "read_back_call_required",
            Self::NotCommunicated { .. } => "read_back_call_or_acknowledgement_required",
        }
    }

    /// The field it belongs to, if one.
    #[must_use]
    pub fn field(&self) -> Option<String> {
        match self {
            Self::Missing { field } => Some(field.clone()),
            Self::Invalid {
                problem,
                template: Some(template),
            } => Some(format!("{template}:{}", problem.field)),
            Self::Invalid {
                problem,
                template: None,
            } => Some(problem.field.clone()),
            Self::NoKeyImage | Self::TooManyKeyImages => Some("key_images".to_owned()),
            Self::NoDisposition | Self::UnreadableNeedsRepeat | Self::InsufficientIsNotFinal => {
                Some("disposition".to_owned())
            }
            Self::NoFindings => Some("findings_text".to_owned()),
            _ => None,
        }
    }

    /// What a person reads, in Japanese.
    #[must_use]
    pub fn message_ja(&self) -> String {
        match self {
            Self::AlreadyFinal => "確定済みです。訂正版の確定または追記のみ可能です".to_owned(),
            Self::NotFinalYet => "追記は確定後のみ可能です".to_owned(),
            Self::Missing { field } => format!(
                "「{}」が未入力です",
                label(field).map_or(field.as_str(), |label| &label.ja)
            ),
            Self::Invalid { problem, .. } => problem.message_ja.clone(),
            Self::NoFindings => "所見がありません。様式を選ぶか所見を記載してください".to_owned(),
            Self::NoKeyImage => "所見ありの場合はキー画像が1枚以上必要です".to_owned(),
            Self::TooManyKeyImages => "キー画像が多すぎます".to_owned(),
            Self::NoDisposition => "推奨方針を1つ以上選んでください".to_owned(),
            Self::UnreadableNeedsRepeat => "読影不能の場合は推奨方針「再検査」が必要です".to_owned(),
            Self::InsufficientIsNotFinal => {
                "「判断保留」では確定できません。暫定で署名するか差し戻してください".to_owned()
            }
            Self::NoImages => "画像が届いていません".to_owned(),
            Self::ImagesIncomplete(images) => format!(
                "画像が揃っていません(検証済み{}/受信{}/予告{}{})。読影条件に「全画像未着」を選ぶと確定できます",
                images.verified,
                images.received,
                announced(*images),
                match images.withheld {
                    0 => String::new(),
                    withheld => format!("、送信元で保留{withheld}"),
                }
            ),
            Self::NotCommunicated { criticality, missing } => not_communicated_ja(*criticality, missing),
        }
    }

    /// What a person reads, in English.
    #[must_use]
    pub fn message_en(&self) -> String {
        match self {
            Self::AlreadyFinal => {
                "the report is final; only a correction or an addendum can follow".to_owned()
            }
            Self::NotFinalYet => "an addendum follows a final report only".to_owned(),
            Self::Missing { field } => format!(
                "\"{}\" is not answered",
                label(field).map_or(field.as_str(), |label| &label.en)
            ),
            Self::Invalid { problem, .. } => problem.message_en.clone(),
            Self::NoFindings => "no findings: use a template or write the findings".to_owned(),
            Self::NoKeyImage => "a finding is present: attach at least one key image".to_owned(),
            Self::TooManyKeyImages => "too many key images".to_owned(),
            Self::NoDisposition => "choose at least one disposition".to_owned(),
            Self::UnreadableNeedsRepeat => "unreadable images need the disposition repeat_imaging".to_owned(),
            Self::InsufficientIsNotFinal => {
                "\"not enough to decide\" is not final: sign as preliminary or return the request".to_owned()
            }
            Self::NoImages => "no image has arrived".to_owned(),
            Self::ImagesIncomplete(images) => format!(
                "images are missing (verified {} of {} received, {} announced{}); state \"images still missing\" among \
                 the reading conditions to sign as final",
                images.verified,
                images.received,
                announced(*images),
                match images.withheld {
                    0 => String::new(),
                    withheld => format!(", {withheld} kept back at the sender"),
                }
            ),
            Self::NotCommunicated { criticality, missing } => not_communicated_en(*criticality, missing),
        }
    }
}

fn label(field: &str) -> Option<&'static crate::findings::Label> {
    crate::findings::report_definition()
        .field(field)
        .map(|field| &field.label)
}

fn announced(images: ImagesAtSigning) -> String {
    images
        .announced
        .map_or_else(|| "?".to_owned(), |announced| announced.to_string())
}

fn not_communicated_ja(criticality: Criticality, missing: &NotCommunicated) -> String {
    if missing.readback_not_closed {
        return "復唱の済んだ通話の記録を確定してください".to_owned();
    }
    if missing.exception_not_closed {
        return "代替経路で届けた通話の記録を確定してください".to_owned();
    }
    let mut ways = vec![
        "次のいずれかが必要です".to_owned(),
        "1. 復唱が一致した通話の記録".to_owned(),
        "2. 電話がつながらないときは、次の4つすべて".to_owned(),
        format!(
            "{} つながらなかった発信 3回以上(現在 {}回)",
            tick(missing.failed_attempts >= 3),
            missing.failed_attempts
        ),
        format!(
            "{} 異なる番号または役割 2つ以上(現在 {})",
            tick(missing.distinct >= 2),
            missing.distinct
        ),
        format!("{} エスカレーションの記録", tick(missing.escalated)),
        format!("{} 代替経路での伝達とその受領", tick(missing.delivered)),
    ];
    if criticality == Criticality::Orange {
        ways.push("3. 目標時間内の受領確認".to_owned());
    }
    ways.join("\n")
}

/// Ticked once done.
fn tick(done: bool) -> &'static str {
    if done { "☑" } else { "☐" }
}

fn not_communicated_en(criticality: Criticality, missing: &NotCommunicated) -> String {
    if missing.readback_not_closed {
        return "close the call record with the correct read-back".to_owned();
    }
    if missing.exception_not_closed {
        return "close the call record with the alternative delivery".to_owned();
    }
    let mut ways = vec![
        "one of these is needed".to_owned(),
        "1. a call on record with a matching read-back".to_owned(),
        "2. when nobody answers, all four of".to_owned(),
        format!(
            "{} 3 or more failed attempts (now {})",
            tick(missing.failed_attempts >= 3),
            missing.failed_attempts
        ),
        format!(
            "{} 2 or more numbers or roles (now {})",
            tick(missing.distinct >= 2),
            missing.distinct
        ),
        format!("{} the escalation on record", tick(missing.escalated)),
        format!(
            "{} delivery by another route, with its receipt",
            tick(missing.delivered)
        ),
    ];
    if criticality == Criticality::Orange {
        ways.push("3. an acknowledgement within the target".to_owned());
    }
    ways.join("\n")
}
