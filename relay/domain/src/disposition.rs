//! Recommended dispositions (clinical reference 2.1): each code with the sub-fields it cannot do without.
//!
//! The sub-fields are data, `findings/definitions/disposition@*.json`: one group for each code. A transfer always
//! carries a fallback mode, and only someone of the receiving facility may accept it.

use serde_json::Value;

use crate::findings::validate::Surroundings;
use crate::findings::{Answers, Label, Problem, Severity, check, disposition_definition};

/// Most dispositions of one report.
pub const DISPOSITIONS_MAX: usize = 10;

/// One recommended disposition.
#[derive(Debug, Clone, PartialEq)]
pub struct Disposition {
    /// Stable code.
    pub code: String,
    /// Sub-fields by id.
    pub fields: Answers,
}

impl Disposition {
    /// A disposition named by its code alone, as on the phone.
    #[must_use]
    pub fn named(code: &str) -> Self {
        Self {
            code: code.to_owned(),
            fields: Answers::new(),
        }
    }

    /// What a person reads for the code.
    #[must_use]
    pub fn label(&self) -> Option<&'static Label> {
        disposition_definition()
            .field(&self.code)
            .map(|group| &group.label)
    }
}

/// Checks the dispositions of a report signed by someone of the site with this code.
#[must_use]
pub fn check_dispositions(dispositions: &[Disposition], signer_site_code: &str, now_ms: i64) -> Vec<Problem> {
    let none = Answers::new();
    let mut problems = Vec::new();
    if dispositions.len() > DISPOSITIONS_MAX {
        problems.push(problem(
            "disposition",
            "too_many",
            "推奨方針が多すぎます",
            "too many dispositions",
        ));
    }
    for (position, disposition) in dispositions.iter().enumerate() {
        let at = format!("disposition.{position}");
        let Some(group) = disposition_definition().field(&disposition.code) else {
            problems.push(problem(
                &format!("{at}.code"),
                "unknown_option",
                "推奨方針の種別がありません",
                "no such disposition",
            ));
            continue;
        };
        let checked = check(
            group.children(),
            &disposition.fields,
            Surroundings {
                context: &none,
                now_ms,
            },
        );
        problems.extend(checked.problems.into_iter().map(|mut problem| {
            problem.field = format!("{at}.{}", problem.field);
            problem
        }));
        let receiving = checked.answers.get("receiving_site_code").and_then(Value::as_str);
        if receiving.is_some_and(|code| code != signer_site_code) {
            let (ja, en) = (
                "受入決定は受入施設の利用者のみ登録できます",
                "only someone of the receiving facility may accept",
            );
            problems.push(problem(
                &format!("{at}.receiving_site_code"),
                "not_receiving_site",
                ja,
                en,
            ));
        }
    }
    problems
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

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn problems(code: &str, fields: Value) -> Vec<(String, &'static str)> {
        let disposition = Disposition {
            code: code.to_owned(),
            fields: fields.as_object().expect("object").clone(),
        };
        let problems = check_dispositions(&[disposition], "KUSHIRO", 1_800_000_000_000);
        problems
            .into_iter()
            .map(|problem| (problem.field, problem.code))
            .collect()
    }

    #[test]
    fn every_code_demands_its_sub_fields() {
        let groups = &disposition_definition().fields;
        assert_eq!(groups.len(), 10);
        for group in groups {
            assert!(!problems(&group.id, json!({})).is_empty(), "{}", group.id);
        }
        let observe = json!({"interval_h": 6, "watch": ["consciousness"], "call_again_if": "JCSが1桁悪化"});
        assert_eq!(problems("observe_local", observe.clone()), []);
        let mut no_trigger = observe;
        no_trigger["call_again_if"] = json!(" ");
        assert_eq!(
            problems("observe_local", no_trigger),
            [("disposition.0.call_again_if".to_owned(), "required")]
        );
        assert_eq!(
            problems("cure", json!({})),
            [("disposition.0.code".to_owned(), "unknown_option")]
        );
    }

    #[test]
    fn a_transfer_carries_a_fallback_and_is_accepted_by_the_receiver_only() {
        let transfer = json!({"urgency": "now", "candidate_facilities": "釧路", "mode": "doctor_heli"});
        assert_eq!(
            problems("transfer_requested", transfer),
            [("disposition.0.fallback_mode".to_owned(), "required")]
        );
        let accepted = |site: &str| {
            json!({"receiving_site_code": site, "receiving_department": "脳神経外科", "receiving_bed": "SCU",
                "accepting_doctor": "受入", "accepted_dt": "2026-03-01T10:00:00+09:00", "mode": "ambulance",
                "fallback_mode": "ambulance", "etd_dt": "2026-03-01T10:30:00+09:00",
                "eta_dt": "2026-03-01T12:00:00+09:00", "escort": "physician", "monitoring": "A-line"})
        };
        assert_eq!(problems("transfer_accepted", accepted("KUSHIRO")), []);
        let refused = problems("transfer_accepted", accepted("ELSEWHERE"));
        assert_eq!(
            refused,
            [(
                "disposition.0.receiving_site_code".to_owned(),
                "not_receiving_site"
            )]
        );
    }
}
