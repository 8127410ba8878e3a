//! The clinical context sent with a request (clinical reference 1.1), and the number to call back.
//!
//! The fields are data, `findings/definitions/ctx@*.json`. An incomplete context never stops a request or a report:
//! a scanner in the night may be all there is. What is missing is named on every screen, and the scores that need it
//! have no value.

use serde_json::{Value, json};

use crate::findings::validate::Surroundings;
use crate::findings::{Answers, Problem, Severity, check, context_definition};

/// Accepted answers about the patient's state and history.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct ClinicalContext {
    answers: Answers,
}

impl ClinicalContext {
    /// Takes a submitted context or says everything that cannot be accepted; missing answers are no reason.
    ///
    /// # Errors
    /// Every problem of severity [`Severity::Invalid`].
    pub fn submit(input: &Answers, now_ms: i64) -> Result<Self, Vec<Problem>> {
        let (context, problems) = Self::admit(input, now_ms);
        let invalid: Vec<_> = problems
            .into_iter()
            .filter(|problem| problem.severity == Severity::Invalid)
            .collect();
        if invalid.is_empty() {
            Ok(context)
        } else {
            Err(invalid)
        }
    }

    /// Takes what can be accepted of a form that must not be lost, with what could not.
    #[must_use]
    pub fn admit(input: &Answers, now_ms: i64) -> (Self, Vec<Problem>) {
        let none = Answers::new();
        let checked = check(
            &context_definition().fields,
            input,
            Surroundings {
                context: &none,
                now_ms,
            },
        );
        (
            Self {
                answers: checked.answers,
            },
            checked.problems,
        )
    }

    /// This context with some answers replaced; `null` takes an answer back.
    ///
    /// # Errors
    /// Every answer that cannot be accepted; nothing is changed then.
    pub fn completed(&self, patch: &Answers, now_ms: i64) -> Result<Self, Vec<Problem>> {
        let mut input = self.answers.clone();
        input.extend(patch.iter().map(|(id, value)| (id.clone(), value.clone())));
        Self::submit(&input, now_ms)
    }

    /// Fills in what the study's header knows, where nobody has answered.
    #[must_use]
    pub fn with_header(mut self, age_years: Option<i32>, sex: Option<&str>, scan_at_ms: Option<i64>) -> Self {
        let sex = match sex {
            Some("M") => Some("male"),
            Some("F") => Some("female"),
            Some("O") => Some("other"),
            _ => None,
        };
        let scan = scan_at_ms.and_then(|at_ms| jiff::Timestamp::from_millisecond(at_ms).ok());
        for (id, value) in [
            ("age_years", age_years.map(Value::from)),
            ("sex", sex.map(Value::from)),
            ("scan_dt", scan.map(|scan| json!(scan.to_string()))),
        ] {
            if let Some(value) = value {
                self.answers.entry(id).or_insert(value);
            }
        }
        self
    }

    /// Ids of required answers that are not there, in the order of the form.
    #[must_use]
    pub fn missing(&self) -> Vec<String> {
        // Whether something is missing does not depend on the time of day.
        let (_, problems) = Self::admit(&self.answers, i64::MAX / 2);
        let missing = problems
            .into_iter()
            .filter(|problem| problem.severity == Severity::Missing);
        missing.map(|problem| problem.field).collect()
    }

    /// The answers by field id.
    #[must_use]
    pub fn answers(&self) -> &Answers {
        &self.answers
    }

    /// The answers with those told on the phone in their place, where the phone told something.
    #[must_use]
    pub fn overlaid(&self, told: &Answers) -> Answers {
        let mut answers = self.answers.clone();
        answers.extend(told.iter().map(|(id, value)| (id.clone(), value.clone())));
        answers
    }
}

/// A phone number someone can be reached at: E.164, or Japan's national form, with an optional extension.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PhoneNumber(String);

/// A text that is not a phone number.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("phone number expected: +81... or 0..., 10 or 11 digits, extension as 内線123 or x123")]
pub struct NotAPhoneNumber;

impl PhoneNumber {
    /// Parses a number as people write it: full-width digits, hyphens, spaces and brackets are taken.
    ///
    /// # Errors
    /// [`NotAPhoneNumber`] when the digits are neither an international nor a Japanese number.
    pub fn parse(text: &str) -> Result<Self, NotAPhoneNumber> {
        let narrow = narrow(text);
        let lower = narrow.to_lowercase();
        let (main, extension) = ["内線", "ext.", "ext", "x"]
            .iter()
            .find_map(|mark| lower.split_once(mark))
            .unwrap_or((lower.as_str(), ""));
        let only_signs = |text: &str, extra: char| {
            text.chars()
                .all(|sign| sign.is_ascii_digit() || " -().".contains(sign) || sign == extra)
        };
        let main = main.trim();
        let digits = dialed_digits(main);
        let shape = if let Some(rest) = main.strip_prefix('+') {
            only_signs(rest, ' ') && (8..=15).contains(&dialed_digits(rest).len()) && !rest.starts_with('0')
        } else {
            only_signs(main, ' ') && digits.starts_with('0') && (10..=11).contains(&digits.len())
        };
        let extension_fits = only_signs(extension.trim(), ' ') && dialed_digits(extension).len() <= 8;
        if shape && extension_fits {
            Ok(Self(narrow.trim().to_owned()))
        } else {
            Err(NotAPhoneNumber)
        }
    }

    /// The number as written, with narrow digits.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

fn narrow(text: &str) -> String {
    let narrow = |sign: char| match sign {
        '０'..='９' | '＋' | '（' | '）' => char::from_u32(u32::from(sign) - 0xFEE0).unwrap_or(sign),
        '－' | 'ー' | '−' | '‐' => '-',
        '\u{3000}' => ' ',
        other => other,
    };
    text.chars().map(narrow).collect()
}

/// The digits of a number in one form, to tell two numbers apart: `+81 90` and `090` are the same.
#[must_use]
pub fn dialed_digits(text: &str) -> String {
    let narrow = narrow(text);
    let digits: String = narrow.chars().filter(char::is_ascii_digit).collect();
    match digits.strip_prefix("81") {
        Some(national) if narrow.trim().starts_with('+') => format!("0{national}"),
        _ => digits,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW_MS: i64 = 1_800_000_000_000;

    fn answers(value: Value) -> Answers {
        value.as_object().expect("object").clone()
    }

    #[test]
    fn an_empty_context_names_what_is_missing_and_is_accepted() {
        let context = ClinicalContext::submit(&Answers::new(), NOW_MS).expect("accepted");
        let missing = context.missing();
        for id in [
            "request_template",
            "clinical_question",
            "jcs",
            "gcs_e",
            "pupil_left_size_mm",
            "local_capability",
        ] {
            assert!(missing.iter().any(|field| field == id), "{id}");
        }
        assert!(!missing.iter().any(|field| field == "lkw_dt"));
        let stroke =
            ClinicalContext::submit(&answers(json!({"request_template": "ais"})), NOW_MS).expect("accepted");
        assert!(stroke.missing().iter().any(|field| field == "lkw_dt"));
    }

    #[test]
    fn codes_may_come_as_numbers_and_lists_as_bare_codes() {
        let input =
            answers(json!({"gcs_e": 4, "antithrombotics": ["doac"], "onset_dt": 1_799_999_000_000_i64}));
        let context = ClinicalContext::submit(&input, NOW_MS).expect("accepted");
        assert_eq!(context.answers()["gcs_e"], "4");
        assert_eq!(context.answers()["antithrombotics"], json!([{"class": "doac"}]));
        assert_eq!(context.answers()["onset_dt"], "2027-01-15T07:43:20Z");
    }

    #[test]
    fn what_cannot_be_is_refused_strictly_and_left_out_leniently() {
        let input =
            answers(json!({"sbp": 400, "hr": 80, "door_dt": "2099-01-01T00:00:00+09:00", "name": "x"}));
        let problems = ClinicalContext::submit(&input, NOW_MS).expect_err("refused");
        let mut codes: Vec<_> = problems.iter().map(|problem| problem.code).collect();
        codes.sort_unstable();
        assert_eq!(codes, ["in_future", "out_of_range", "unknown_field"]);
        let (context, _) = ClinicalContext::admit(&input, NOW_MS);
        assert_eq!(context.answers().keys().collect::<Vec<_>>(), ["hr"]);
        let order =
            answers(json!({"lkw_dt": "2026-03-01T10:01:00+09:00", "onset_dt": "2026-03-01T10:00:00+09:00"}));
        assert_eq!(
            ClinicalContext::submit(&order, NOW_MS).expect_err("refused")[0].code,
            "out_of_order"
        );
    }

    #[test]
    fn a_patch_replaces_and_takes_back() {
        let first =
            ClinicalContext::submit(&answers(json!({"hr": 80, "sbp": 150})), NOW_MS).expect("accepted");
        let next = first
            .completed(&answers(json!({"hr": null, "sbp": 180})), NOW_MS)
            .expect("accepted");
        assert_eq!(next.answers(), &answers(json!({"sbp": 180})));
        let header = next
            .with_header(Some(80), Some("F"), None)
            .with_header(Some(3), None, None);
        assert_eq!(header.answers()["age_years"], 80);
        assert_eq!(header.answers()["sex"], "female");
    }

    #[test]
    fn numbers_are_taken_as_people_write_them() {
        for good in [
            "0154-12-3456",
            "０９０−１２３４−５６７８",
            "+81 154 12 3456",
            "(03)1234-5678 内線12",
            "0120123456 x9",
        ] {
            assert!(PhoneNumber::parse(good).is_ok(), "{good}");
        }
        for bad in [
            "",
            "123",
            "医局",
            "+0123456789",
            "0154-12-345",
            "090-1234-5678; rm",
            "+81",
            "x12",
        ] {
            assert!(PhoneNumber::parse(bad).is_err(), "{bad}");
        }
        assert_eq!(
            dialed_digits("+81-90-1234-5678"),
            dialed_digits("０９０ 1234 5678")
        );
    }
}
