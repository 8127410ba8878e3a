//! The narrative of a finding block, generated from its definition: one line for each answered field, in both
//! languages. It is a proposal for the reader's text and never hides an answer.

use std::fmt::Write as _;

use serde_json::Value;

use super::{Answers, FieldDefinition, FieldType, Label, TemplateDefinition};
use crate::scores::{Score, ScoreValue};

#[derive(Clone, Copy, PartialEq, Eq)]
enum Language {
    Ja,
    En,
}

/// The narrative of one block in both languages.
#[must_use]
pub fn narrate(template: &TemplateDefinition, answers: &Answers, computed: &[(String, Score)]) -> Label {
    let text = |language| {
        let mut lines = vec![format!("[{}]", pick(&template.title, language))];
        group(&template.fields, answers, computed, "", language, &mut lines);
        lines.join("\n")
    };
    Label {
        ja: text(Language::Ja),
        en: text(Language::En),
    }
}

fn pick(label: &Label, language: Language) -> &str {
    match language {
        Language::Ja => &label.ja,
        Language::En => &label.en,
    }
}

fn group(
    fields: &[FieldDefinition],
    answers: &Answers,
    computed: &[(String, Score)],
    path: &str,
    language: Language,
    lines: &mut Vec<String>,
) {
    for field in fields.iter().filter(|field| field.narrative) {
        let at = if path.is_empty() {
            field.id.clone()
        } else {
            format!("{path}.{}", field.id)
        };
        match (field.field_type, answers.get(&field.id)) {
            (FieldType::Group, Some(Value::Object(inner))) => {
                group(field.children(), inner, computed, &at, language, lines);
            }
            (FieldType::List, Some(Value::Array(entries))) => {
                for entry in entries.iter().filter_map(Value::as_object) {
                    group(field.children(), entry, computed, &at, language, lines);
                }
            }
            (FieldType::Calc, _) => {
                let score = computed.iter().find(|(id, _)| *id == at).map(|(_, score)| score);
                if let Some(text) = score.and_then(|score| computed_text(field, score, language)) {
                    lines.push(line(field, &text, language));
                }
            }
            (_, Some(value)) => lines.push(line(field, &answer_text(field, value, language), language)),
            (_, None) => {}
        }
    }
}

fn line(field: &FieldDefinition, text: &str, language: Language) -> String {
    let label = pick(&field.label, language);
    match language {
        Language::Ja => format!("{label}: {text}。"),
        Language::En => format!("{label}: {text}."),
    }
}

fn with_unit(mut text: String, field: &FieldDefinition) -> String {
    if let Some(unit) = field.unit.as_deref().filter(|unit| *unit != "1") {
        let _ = write!(text, " {unit}");
    }
    text
}

fn option_text(field: &FieldDefinition, code: &str, language: Language) -> String {
    field.option(code).map_or_else(
        || code.to_owned(),
        |option| pick(&option.label, language).to_owned(),
    )
}

fn yes_no(flag: bool, language: Language) -> String {
    match (flag, language) {
        (true, Language::Ja) => "はい",
        (false, Language::Ja) => "いいえ",
        (true, Language::En) => "yes",
        (false, Language::En) => "no",
    }
    .to_owned()
}

fn answer_text(field: &FieldDefinition, value: &Value, language: Language) -> String {
    match value {
        Value::Array(codes) => {
            let texts: Vec<_> = codes
                .iter()
                .filter_map(Value::as_str)
                .map(|code| option_text(field, code, language))
                .collect();
            texts.join(if language == Language::Ja { "、" } else { ", " })
        }
        Value::String(text) if field.field_type == FieldType::Enum => option_text(field, text, language),
        Value::String(text) => text.clone(),
        Value::Bool(flag) => yes_no(*flag, language),
        Value::Number(number) => {
            let decimals = usize::from(field.decimals.unwrap_or(0));
            let text = number
                .as_f64()
                .map_or_else(|| number.to_string(), |value| format!("{value:.decimals$}"));
            with_unit(text, field)
        }
        Value::Null | Value::Object(_) => String::new(),
    }
}

fn computed_text(field: &FieldDefinition, score: &Score, language: Language) -> Option<String> {
    match &score.value {
        Ok(ScoreValue::Points(points)) => Some(with_unit(points.to_string(), field)),
        Ok(ScoreValue::Amount(amount)) => {
            let decimals = usize::from(field.decimals.unwrap_or(1));
            Some(with_unit(format!("{amount:.decimals$}"), field))
        }
        Ok(ScoreValue::Code(code)) => Some(option_text(field, code, language)),
        Ok(ScoreValue::Flag(flag)) => Some(yes_no(*flag, language)),
        Err(_) => None,
    }
}
