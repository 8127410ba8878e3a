//! Reads a conversation as a client writes it. Short forms are taken, since someone types while speaking: a sentence
//! for what was conveyed or agreed, a code for a disposition, true for a confirmed identity.

use serde_json::Value;

use super::{
    Conversation, Conveyed, FamilyInformed, IDENTIFIERS, Identity, Informed, Party, Plan, ViewedImage,
    check_told,
};
use crate::critical_result::Criticality;
use crate::dicom::is_uid;
use crate::disposition::Disposition;
use crate::findings::validate::{CLOCK_TOLERANCE_MS, LIST_ENTRIES_MAX};
use crate::findings::{Answers, Problem, Severity, disposition_definition};

/// Longest text of one field in characters.
const TEXT_CHARS_MAX: usize = 4_000;

impl Conversation {
    /// Reads a conversation; whatever is absent, null or empty is not filled in yet.
    ///
    /// # Errors
    /// Every field that cannot be accepted, by name.
    pub fn read(input: &Answers, now_ms: i64) -> Result<Self, Vec<Problem>> {
        let mut reader = Reader {
            input,
            now_ms,
            problems: Vec::new(),
        };
        let conversation = reader.conversation();
        if reader.problems.is_empty() {
            Ok(conversation)
        } else {
            Err(reader.problems)
        }
    }
}

struct Reader<'a> {
    input: &'a Answers,
    now_ms: i64,
    problems: Vec<Problem>,
}

const FIELDS: [&str; 17] = [
    "parties",
    "identity_confirmed",
    "patient_identified_by",
    "state_told",
    "state_assessed_at_ms",
    "images_viewed",
    "images_not_viewed_reason",
    "findings_conveyed",
    "questions_answers",
    "agreed_plan",
    "readback_text",
    "readback_ok",
    "uncertainty",
    "others_informed",
    "family_informed",
    "next_contact_at_ms",
    "late_entry_reason",
];

impl Reader<'_> {
    fn conversation(&mut self) -> Conversation {
        for id in self.input.keys().filter(|id| !FIELDS.contains(&id.as_str())) {
            let shown: String = id.chars().take(40).collect();
            self.problems.push(problem(
                &shown,
                "unknown_field",
                "この項目はありません",
                "no such field",
            ));
        }
        Conversation {
            parties: self.list("parties", party),
            identity_confirmed: self.one("identity_confirmed", identity),
            patient_identified_by: self.list("patient_identified_by", identifier),
            state_told: self.told(),
            state_assessed_at_ms: self.assessed_at_ms(),
            images_viewed: self.list("images_viewed", viewed),
            images_not_viewed_reason: self.one("images_not_viewed_reason", text),
            findings_conveyed: self.one("findings_conveyed", conveyed),
            questions_answers: self.list("questions_answers", question),
            agreed_plan: self.one("agreed_plan", plan),
            readback_text: self.one("readback_text", text),
            readback_ok: self.one("readback_ok", Value::as_bool),
            uncertainty: self.one("uncertainty", text),
            others_informed: self.list("others_informed", informed),
            family_informed: self.one("family_informed", family),
            next_contact_at_ms: self.one("next_contact_at_ms", Value::as_i64),
            late_entry_reason: self.one("late_entry_reason", text),
        }
    }

    fn given(&self, field: &str) -> Option<Value> {
        let value = self.input.get(field)?;
        let empty = match value {
            Value::Null => true,
            Value::String(text) => text.trim().is_empty(),
            Value::Array(list) => list.is_empty(),
            Value::Object(group) => group.is_empty(),
            _ => false,
        };
        (!empty).then(|| value.clone())
    }

    fn one<T>(&mut self, field: &str, read: impl Fn(&Value) -> Option<T>) -> Option<T> {
        let value = self.given(field)?;
        let read = read(&value);
        if read.is_none() {
            self.refuse(field);
        }
        read
    }

    fn list<T>(&mut self, field: &str, read: impl Fn(&Value) -> Option<T>) -> Vec<T> {
        let Some(value) = self.given(field) else {
            return Vec::new();
        };
        let entries = value
            .as_array()
            .filter(|entries| entries.len() <= LIST_ENTRIES_MAX);
        let read: Option<Vec<T>> = entries.and_then(|entries| entries.iter().map(read).collect());
        if read.is_none() {
            self.refuse(field);
        }
        read.unwrap_or_default()
    }

    fn told(&mut self) -> Answers {
        let Some(value) = self.given("state_told") else {
            return Answers::new();
        };
        let Some(told) = value.as_object() else {
            self.refuse("state_told");
            return Answers::new();
        };
        let checked = check_told(told, self.now_ms);
        self.problems.extend(
            checked
                .problems
                .into_iter()
                .filter(|found| found.severity == Severity::Invalid)
                .map(|mut found| {
                    found.field = format!("state_told.{}", found.field);
                    found
                }),
        );
        checked.answers
    }

    fn assessed_at_ms(&mut self) -> Option<i64> {
        let at_ms = self.one("state_assessed_at_ms", Value::as_i64)?;
        if at_ms > self.now_ms + CLOCK_TOLERANCE_MS {
            let (ja, en) = ("未来の時刻は入力できません", "the instant lies in the future");
            self.problems
                .push(problem("state_assessed_at_ms", "in_future", ja, en));
            return None;
        }
        Some(at_ms)
    }

    fn refuse(&mut self, field: &str) {
        self.problems.push(problem(
            field,
            "wrong_type",
            "入力の形式が正しくありません",
            "not in the form expected",
        ));
    }
}

fn problem(field: &str, code: &'static str, ja: &str, en: &str) -> Problem {
    Problem {
        field: field.to_owned(),
        code,
        severity: Severity::Invalid,
        message_ja: ja.to_owned(),
        message_en: en.to_owned(),
    }
}

fn text(value: &Value) -> Option<String> {
    value
        .as_str()
        .filter(|text| text.chars().count() <= TEXT_CHARS_MAX)
        .map(str::to_owned)
}

fn optional(value: &Value, field: &str) -> Option<String> {
    value
        .get(field)
        .and_then(text)
        .filter(|text| !text.trim().is_empty())
}

fn party(value: &Value) -> Option<Party> {
    Some(Party {
        name: text(value.get("name")?)?,
        facility: optional(value, "facility").unwrap_or_default(),
        role: text(value.get("role")?)?,
        number: optional(value, "number"),
    })
}

fn identity(value: &Value) -> Option<Identity> {
    match value {
        Value::Bool(true) => Some(Identity::Confirmed),
        Value::Bool(false) => Some(Identity::NotConfirmed),
        Value::String(how) => match how.as_str() {
            "confirmed" => Some(Identity::Confirmed),
            "called_back" => Some(Identity::CalledBack),
            "registered_number" => Some(Identity::RegisteredNumber),
            "main_number" => Some(Identity::MainNumber),
            "not_confirmed" => Some(Identity::NotConfirmed),
            _ => None,
        },
        _ => None,
    }
}

fn identifier(value: &Value) -> Option<String> {
    value
        .as_str()
        .filter(|code| IDENTIFIERS.contains(code))
        .map(str::to_owned)
}

fn viewed(value: &Value) -> Option<ViewedImage> {
    let uid = |field: &str| {
        value
            .get(field)
            .and_then(Value::as_str)
            .filter(|uid| is_uid(uid))
            .map(str::to_owned)
    };
    let frame = value.get("frame").map_or(Some(1), Value::as_u64)?;
    Some(ViewedImage {
        series_instance_uid: uid("series_instance_uid")?,
        sop_instance_uid: uid("sop_instance_uid")?,
        frame: u32::try_from(frame).ok().filter(|frame| *frame > 0)?,
        both_viewing: value
            .get("both_viewing")
            .and_then(Value::as_bool)
            .unwrap_or(false),
    })
}

fn conveyed(value: &Value) -> Option<Conveyed> {
    if let Some(text) = text(value) {
        return Some(Conveyed {
            text,
            criticality: None,
        });
    }
    let criticality = match value.get("criticality").filter(|given| !given.is_null()) {
        Some(code) => Some(Criticality::parse(code.as_str()?)?),
        None => None,
    };
    Some(Conveyed {
        text: text(value.get("text")?)?,
        criticality,
    })
}

fn question(value: &Value) -> Option<(String, String)> {
    Some((text(value.get("q")?)?, text(value.get("a")?)?))
}

fn plan(value: &Value) -> Option<Plan> {
    match value {
        Value::String(_) => Some(Plan {
            text: text(value)?,
            ..Plan::default()
        }),
        Value::Array(entries) => Some(Plan {
            dispositions: dispositions(entries)?,
            ..Plan::default()
        }),
        Value::Object(group) => {
            let listed = group.get("dispositions").or_else(|| group.get("disposition"));
            Some(Plan {
                dispositions: match listed {
                    Some(Value::Array(entries)) => dispositions(entries)?,
                    None | Some(Value::Null) => Vec::new(),
                    Some(_) => return None,
                },
                text: optional(value, "text").unwrap_or_default(),
                due_at_ms: group.get("due_at_ms").and_then(Value::as_i64),
                who: optional(value, "who"),
            })
        }
        _ => None,
    }
}

fn dispositions(entries: &[Value]) -> Option<Vec<Disposition>> {
    let one = |entry: &Value| {
        let code = entry
            .as_str()
            .or_else(|| entry.get("code").and_then(Value::as_str))?;
        disposition_definition().field(code)?;
        let mut fields = entry.as_object().cloned().unwrap_or_default();
        fields.remove("code");
        Some(Disposition {
            code: code.to_owned(),
            fields,
        })
    };
    if entries.len() > LIST_ENTRIES_MAX {
        return None;
    }
    entries.iter().map(one).collect()
}

fn informed(value: &Value) -> Option<Informed> {
    Some(Informed {
        name: text(value.get("name")?)?,
        role: optional(value, "role").unwrap_or_default(),
        facility: optional(value, "facility"),
        at_ms: value.get("at_ms").and_then(Value::as_i64),
        method: optional(value, "method"),
    })
}

fn family(value: &Value) -> Option<FamilyInformed> {
    let state = value
        .as_str()
        .or_else(|| value.get("state").and_then(Value::as_str))?;
    match state {
        "done" => Some(FamilyInformed::Done(optional(value, "by").unwrap_or_default())),
        "not_yet" => Some(FamilyInformed::NotYet),
        "not_applicable" => Some(FamilyInformed::NotApplicable),
        _ => None,
    }
}
