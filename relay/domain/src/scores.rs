//! Clinical scores, computed from their primary definitions and never guessed.
//!
//! Every function gives a [`Score`]: the value, or none with the reason a machine can read, the formula with its
//! version, and the inputs used. An input that is missing or could not be assessed is never taken as absent.
//! The vectors in `scores/vectors.json` come from the clinical reference and are the test.

use std::fmt;

use serde_json::Value;

pub mod abc2;
pub mod aspects;
pub mod consciousness;
pub mod ich;
pub mod nihss;
pub mod sah;
pub mod subdural;
pub mod trauma;
pub mod window;

/// Whether something was seen: unanswered is not one of the answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Presence {
    /// なし
    Absent,
    /// あり
    Present,
    /// 判定困難
    Indeterminate,
    /// 未評価
    NotAssessed,
}

impl Presence {
    /// Parses the code of the `presence4` set.
    #[must_use]
    pub fn parse(code: &str) -> Option<Self> {
        match code {
            "absent" => Some(Self::Absent),
            "present" => Some(Self::Present),
            "indeterminate" => Some(Self::Indeterminate),
            "not_assessed" => Some(Self::NotAssessed),
            _ => None,
        }
    }

    /// Yes or no, or the reason why neither can be said about `field`.
    pub fn known(self, field: &'static str) -> Given<bool> {
        match self {
            Self::Absent => Ok(false),
            Self::Present => Ok(true),
            Self::Indeterminate => Err(Reason::Indeterminate(field)),
            Self::NotAssessed => Err(Reason::NotAssessed(field)),
        }
    }
}

/// Why a score has no value. The text form is stable: `kind:field`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Reason {
    /// The field was not answered.
    Missing(&'static str),
    /// The field was answered with "not assessed".
    NotAssessed(&'static str),
    /// The field was answered with "cannot be judged".
    Indeterminate(&'static str),
    /// The item cannot be tested in this patient (intubated, sedated, amputated).
    NotTestable(&'static str),
    /// The inputs do not say which way; a person has to.
    Ambiguous(&'static str),
    /// The published scale gives no grade for this combination; ask the reader.
    Undefined(&'static str),
    /// The result or an input lies outside what is accepted.
    OutOfRange(&'static str),
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (kind, field) = match self {
            Self::Missing(field) => ("missing", field),
            Self::NotAssessed(field) => ("not_assessed", field),
            Self::Indeterminate(field) => ("indeterminate", field),
            Self::NotTestable(field) => ("not_testable", field),
            Self::Ambiguous(field) => ("ambiguous", field),
            Self::Undefined(field) => ("undefined", field),
            Self::OutOfRange(field) => ("out_of_range", field),
        };
        write!(f, "{kind}:{field}")
    }
}

/// An input of a score: its value, or why there is none.
pub type Given<T> = Result<T, Reason>;

/// What a score says.
#[derive(Debug, Clone, PartialEq)]
pub enum ScoreValue {
    /// A whole number of points.
    Points(i32),
    /// A measured or computed amount, unrounded, in the score's unit.
    Amount(f64),
    /// A named grade or a code.
    Code(&'static str),
    /// Yes or no.
    Flag(bool),
}

/// A computed score with everything needed to check it later.
#[derive(Debug, Clone, PartialEq)]
pub struct Score {
    /// Formula and version, for example `abc2@1`; empty for a plain derivation.
    pub formula: &'static str,
    /// The value, or why there is none.
    pub value: Given<ScoreValue>,
    /// Unit in UCUM.
    pub unit: Option<&'static str>,
    /// Lowest and highest value still possible when some items are unknown.
    pub interval: Option<(i32, i32)>,
    /// Items left out because they cannot be tested, or are not known.
    pub excluded: Vec<String>,
    /// The inputs used, by field id.
    pub inputs: Vec<(&'static str, Value)>,
}

impl Score {
    /// A score without unit, interval and exclusions.
    #[must_use]
    pub fn new(formula: &'static str, value: Given<ScoreValue>, inputs: Vec<(&'static str, Value)>) -> Self {
        Self {
            formula,
            value,
            unit: None,
            interval: None,
            excluded: Vec::new(),
            inputs,
        }
    }

    /// The points, when there are any.
    #[must_use]
    pub fn points(&self) -> Option<i32> {
        match self.value {
            Ok(ScoreValue::Points(points)) => Some(points),
            _ => None,
        }
    }

    /// The grade or code, when there is one.
    #[must_use]
    pub fn code(&self) -> Option<&'static str> {
        match self.value {
            Ok(ScoreValue::Code(code)) => Some(code),
            _ => None,
        }
    }
}

/// Shows a given input in the record: its value, or null.
pub(crate) fn shown<T: Into<Value> + Clone>(given: &Given<T>) -> Value {
    given.as_ref().map_or(Value::Null, |value| value.clone().into())
}

#[cfg(test)]
mod tests;
