//! Checks answers against a definition: what does not fit is refused, what is missing is named, what is unusual is
//! asked back. Accepted answers come out in one normal form.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::{Answers, Condition, ConditionOf, FieldDefinition, FieldType, Required};

/// How much a problem weighs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// Possible but unusual: a person has to confirm.
    Warning,
    /// Not answered although required to sign.
    Missing,
    /// Cannot be accepted at all.
    Invalid,
}

impl Severity {
    /// The stable text form.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Warning => "warning",
            Self::Missing => "missing",
            Self::Invalid => "invalid",
        }
    }
}

/// What is wrong with one field. The answer itself is not repeated.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Path of the field, `mass.mls_mm`.
    pub field: String,
    /// Stable code.
    pub code: &'static str,
    /// How much it weighs.
    pub severity: Severity,
    /// What a person reads, in Japanese.
    pub message_ja: String,
    /// What a person reads, in English.
    pub message_en: String,
}

/// Deepest nesting of groups.
const DEPTH_MAX: usize = 4;
/// Most entries of a list.
pub const LIST_ENTRIES_MAX: usize = 50;

/// Accepted answers and everything that is wrong with the rest.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Checked {
    /// Accepted answers; unanswered fields are not in it.
    pub answers: Answers,
    /// Problems in the order of the definition.
    pub problems: Vec<Problem>,
}

impl Checked {
    /// Whether anything has to be refused.
    #[must_use]
    pub fn has_invalid(&self) -> bool {
        self.problems
            .iter()
            .any(|problem| problem.severity == Severity::Invalid)
    }
}

/// What answers are checked against besides their definition.
#[derive(Debug, Clone, Copy)]
pub struct Surroundings<'a> {
    /// The clinical context of the request, accepted form.
    pub context: &'a Answers,
    /// Now, in milliseconds UTC.
    pub now_ms: i64,
}

/// Checks answers. Null, an empty text and an empty set mean "not answered".
#[must_use]
pub fn check(fields: &[FieldDefinition], input: &Answers, around: Surroundings<'_>) -> Checked {
    let mut checker = Checker {
        around,
        problems: Vec::new(),
    };
    let answers = checker.group(fields, input, "", 0);
    Checked {
        answers,
        problems: checker.problems,
    }
}

/// Whether a field has to be answered, given the accepted answers beside it.
#[must_use]
pub fn is_required(field: &FieldDefinition, beside: &Answers, context: &Answers) -> bool {
    match (field.required, &field.condition) {
        (Required::Always, _) => true,
        (Required::Optional, _) => false,
        (Required::Conditional, Some(condition)) => holds(condition, beside, context),
        (Required::Conditional, None) => true,
    }
}

fn holds(condition: &Condition, beside: &Answers, context: &Answers) -> bool {
    match condition {
        Condition::Has { field, has, of } => {
            let answers = if *of == ConditionOf::Context {
                context
            } else {
                beside
            };
            let is_one = |value: &Value| {
                value
                    .as_str()
                    .is_some_and(|code| has.iter().any(|known| known == code))
            };
            match answers.get(field) {
                Some(Value::Array(codes)) => codes.iter().any(is_one),
                Some(value) => is_one(value),
                None => false,
            }
        }
        Condition::Above { field, above } => beside
            .get(field)
            .and_then(Value::as_f64)
            .is_some_and(|value| value > *above),
        Condition::Missing { missing } => missing.iter().all(|field| !beside.contains_key(field)),
    }
}

struct Checker<'a> {
    around: Surroundings<'a>,
    problems: Vec<Problem>,
}

/// Why a value is not accepted: code, Japanese, English.
type Refusal = (&'static str, String, String);

fn refusal(code: &'static str, ja: impl Into<String>, en: impl Into<String>) -> Refusal {
    (code, ja.into(), en.into())
}

impl Checker<'_> {
    fn note(&mut self, path: &str, severity: Severity, (code, ja, en): Refusal) {
        self.problems.push(Problem {
            field: path.to_owned(),
            code,
            severity,
            message_ja: ja,
            message_en: en,
        });
    }

    fn group(&mut self, fields: &[FieldDefinition], input: &Answers, path: &str, depth: usize) -> Answers {
        let at = |id: &str| {
            if path.is_empty() {
                id.to_owned()
            } else {
                format!("{path}.{id}")
            }
        };
        let mut answers = Answers::new();
        for field in fields {
            let Some(value) = input.get(&field.id).filter(|value| !is_unanswered(value)) else {
                continue;
            };
            if let Some(value) = self.value(field, value, &at(&field.id), depth) {
                answers.insert(field.id.clone(), value);
            }
        }
        for (id, value) in input {
            if !is_unanswered(value) && !fields.iter().any(|field| field.id == *id) {
                // The name comes from outside; only its head is repeated.
                let shown: String = id.chars().take(40).collect();
                self.note(
                    &at(&shown),
                    Severity::Invalid,
                    refusal("unknown_field", "この項目はありません", "no such field"),
                );
            }
        }
        for field in fields {
            self.relations(field, &answers, input, &at(&field.id));
        }
        answers
    }

    /// What concerns several answers: required, order of instants.
    fn relations(&mut self, field: &FieldDefinition, answers: &Answers, input: &Answers, path: &str) {
        let answered = answers.contains_key(&field.id);
        let refused = !answered && input.get(&field.id).is_some_and(|value| !is_unanswered(value));
        if !answered
            && !refused
            && field.field_type != FieldType::Calc
            && is_required(field, answers, self.around.context)
        {
            let (ja, en) = (&field.label.ja, &field.label.en);
            self.note(
                path,
                Severity::Missing,
                refusal(
                    "required",
                    format!("「{ja}」が未入力です"),
                    format!("\"{en}\" is not answered"),
                ),
            );
        }
        if let Some(other) = &field.not_after {
            let instant = |id: &str| answers.get(id).and_then(Value::as_str).and_then(instant_ms);
            if let (Some(this), Some(that)) = (instant(&field.id), instant(other))
                && this > that
            {
                self.note(
                    path,
                    Severity::Invalid,
                    refusal(
                        "out_of_order",
                        "時刻の前後関係が合いません",
                        "instants are in the wrong order",
                    ),
                );
            }
        }
        if let (Some(must), Some(Value::Bool(is))) = (field.must_be, answers.get(&field.id))
            && must != *is
        {
            let (ja, en) = (&field.label.ja, &field.label.en);
            self.note(
                path,
                Severity::Missing,
                refusal(
                    "must_hold",
                    format!("「{ja}」が成り立たない場合この様式は使えません"),
                    format!("this template needs \"{en}\""),
                ),
            );
        }
    }

    fn value(&mut self, field: &FieldDefinition, value: &Value, path: &str, depth: usize) -> Option<Value> {
        if depth >= DEPTH_MAX {
            self.note(
                path,
                Severity::Invalid,
                refusal("too_deep", "入れ子が深すぎます", "nested too deeply"),
            );
            return None;
        }
        let accepted = match field.field_type {
            FieldType::Group => match value {
                Value::Object(inner) => {
                    return Some(Value::Object(self.group(
                        field.children(),
                        inner,
                        path,
                        depth + 1,
                    )));
                }
                _ => Err(wrong_type("項目の組", "an object")),
            },
            FieldType::List => match value {
                Value::Array(entries) => return self.list(field, entries, path, depth),
                _ => Err(wrong_type("一覧", "a list")),
            },
            FieldType::Enum => code(field, value),
            FieldType::Multi => codes(field, value),
            FieldType::Int | FieldType::Dec => number(field, value),
            FieldType::Bool => value
                .as_bool()
                .map(Value::Bool)
                .ok_or_else(|| wrong_type("真偽値", "true or false")),
            FieldType::Text => text(field, value),
            FieldType::Dt => self.instant(field, value),
            FieldType::Calc => Err(refusal(
                "computed",
                "この項目は自動計算です",
                "this field is computed",
            )),
        };
        match accepted {
            Ok(value) => {
                if let (Some(limit), Some(found)) = (field.warn_above, value.as_f64())
                    && found > limit
                {
                    let (ja, en) = (
                        format!("通常は{limit}以下です。確認してください"),
                        format!("usually at most {limit}; please confirm"),
                    );
                    self.note(path, Severity::Warning, refusal("unusual_value", ja, en));
                }
                Some(value)
            }
            Err(why) => {
                self.note(path, Severity::Invalid, why);
                None
            }
        }
    }

    /// A list; an entry given as a bare code stands for its first field.
    fn list(
        &mut self,
        field: &FieldDefinition,
        entries: &[Value],
        path: &str,
        depth: usize,
    ) -> Option<Value> {
        if entries.len() > LIST_ENTRIES_MAX {
            self.note(
                path,
                Severity::Invalid,
                refusal("too_many", "件数が多すぎます", "too many entries"),
            );
            return None;
        }
        let mut accepted = Vec::new();
        for (position, entry) in entries.iter().enumerate() {
            let path = format!("{path}.{position}");
            let inner = match (entry, field.children().first()) {
                (Value::Object(inner), _) => inner.clone(),
                (Value::String(_), Some(first)) => Answers::from_iter([(first.id.clone(), entry.clone())]),
                _ => {
                    self.note(&path, Severity::Invalid, wrong_type("項目の組", "an object"));
                    continue;
                }
            };
            accepted.push(Value::Object(self.group(
                field.children(),
                &inner,
                &path,
                depth + 1,
            )));
        }
        Some(Value::Array(accepted))
    }

    fn instant(&self, field: &FieldDefinition, value: &Value) -> Result<Value, Refusal> {
        let parsed = match value {
            Value::String(text) => instant_ms(text).map(|at_ms| (at_ms, text.clone())),
            Value::Number(at_ms) => at_ms
                .as_i64()
                .and_then(|at_ms| Some((at_ms, Timestamp::from_millisecond(at_ms).ok()?.to_string()))),
            _ => None,
        };
        let Some((at_ms, text)) = parsed else {
            return Err(wrong_type("時刻(RFC 3339)", "an instant (RFC 3339 with offset)"));
        };
        // Clocks at a site may run a little ahead of the relay's.
        if field.not_future && at_ms > self.around.now_ms + CLOCK_TOLERANCE_MS {
            return Err(refusal(
                "in_future",
                "未来の時刻は入力できません",
                "the instant lies in the future",
            ));
        }
        Ok(Value::String(text))
    }
}

/// How far ahead of the relay's clock an instant may be and still count as "now": five minutes, as at an agent's form.
pub const CLOCK_TOLERANCE_MS: i64 = 300_000;

/// Milliseconds UTC of an RFC 3339 text with offset.
#[must_use]
pub fn instant_ms(text: &str) -> Option<i64> {
    text.parse::<Timestamp>().ok().map(Timestamp::as_millisecond)
}

fn is_unanswered(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::String(text) => text.trim().is_empty(),
        Value::Array(list) => list.is_empty(),
        Value::Object(group) => group.values().all(is_unanswered),
        _ => false,
    }
}

fn wrong_type(ja: &str, en: &str) -> Refusal {
    refusal(
        "wrong_type",
        format!("{ja}で入力してください"),
        format!("{en} expected"),
    )
}

/// One code; a number is taken for the code it reads as (`gcs_e: 4`).
fn code(field: &FieldDefinition, value: &Value) -> Result<Value, Refusal> {
    let text = match value {
        Value::String(text) => text.clone(),
        Value::Number(number) => number.to_string(),
        _ => return Err(wrong_type("選択肢", "one of the options")),
    };
    match field.option(&text) {
        Some(option) => Ok(json!(option.code)),
        None => Err(refusal(
            "unknown_option",
            "選択肢にありません",
            "not one of the options",
        )),
    }
}

fn codes(field: &FieldDefinition, value: &Value) -> Result<Value, Refusal> {
    let list = match value {
        Value::Array(list) => list.as_slice(),
        single => std::slice::from_ref(single),
    };
    let mut chosen: Vec<Value> = Vec::new();
    for value in list {
        let accepted = code(field, value)?;
        if !chosen.contains(&accepted) {
            chosen.push(accepted);
        }
    }
    let exclusive = |code: &Value| {
        code.as_str()
            .and_then(|code| field.option(code))
            .is_some_and(|option| option.exclusive)
    };
    if chosen.len() > 1 && chosen.iter().any(exclusive) {
        return Err(refusal(
            "exclusive_option",
            "「なし」などは他の選択肢と同時に選べません",
            "this option excludes the others",
        ));
    }
    Ok(Value::Array(chosen))
}

fn number(field: &FieldDefinition, value: &Value) -> Result<Value, Refusal> {
    let Some(number) = value.as_f64().filter(|number| number.is_finite()) else {
        return Err(wrong_type("数値", "a number"));
    };
    let (min, max) = (field.min.unwrap_or(f64::MIN), field.max.unwrap_or(f64::MAX));
    if !(min..=max).contains(&number) {
        return Err(refusal(
            "out_of_range",
            format!("{min}〜{max}の範囲で入力してください"),
            format!("{min} to {max} expected"),
        ));
    }
    let decimals = if field.field_type == FieldType::Int {
        0
    } else {
        field.decimals.unwrap_or(6)
    };
    let scaled = number * 10f64.powi(i32::from(decimals));
    if (scaled - scaled.round()).abs() > 1e-6 {
        let (ja, en) = (
            format!("小数点以下{decimals}桁までで入力してください"),
            format!("at most {decimals} decimals expected"),
        );
        return Err(refusal("too_many_decimals", ja, en));
    }
    if field.field_type == FieldType::Int {
        #[expect(
            clippy::cast_possible_truncation,
            reason = "whole and within the field's range, both checked above"
        )]
        return Ok(json!(number as i64));
    }
    Ok(json!(scaled.round() / 10f64.powi(i32::from(decimals))))
}

fn text(field: &FieldDefinition, value: &Value) -> Result<Value, Refusal> {
    let Some(text) = value.as_str() else {
        return Err(wrong_type("文字列", "text"));
    };
    let chars_max = field.chars_max.unwrap_or(2000);
    if text.chars().count() > chars_max {
        return Err(refusal(
            "too_long",
            format!("{chars_max}文字以内で入力してください"),
            format!("at most {chars_max} characters expected"),
        ));
    }
    Ok(json!(text))
}
