//! Who the patient is, as the study's header says. Nothing here can be printed by accident: `Debug` says "redacted".

use std::fmt;

use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{Span, Timestamp};

/// A text about a patient. Its `Debug` form never shows it.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Private(String);

impl Private {
    /// Wraps a text.
    #[must_use]
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text, for a screen or a file the patient's care needs.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Private {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("redacted")
    }
}

/// The three groups of a person name (PS3.5 section 6.2.1).
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PatientName {
    /// Single-byte group.
    pub alphabetic: Private,
    /// Ideographic group.
    pub ideographic: Private,
    /// Phonetic group.
    pub phonetic: Private,
    /// Some byte of the name could not be decoded with certainty.
    pub uncertain: bool,
}

/// The patient of a study.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Patient {
    /// Name.
    pub name: PatientName,
    /// Patient ID, meaningful only together with its issuer and site.
    pub patient_id: Private,
    /// Issuer of Patient ID.
    pub issuer: Option<Private>,
    /// Birth date, `YYYYMMDD` as in the header.
    pub birth_date: Option<Private>,
    /// Sex, `M`, `F` or `O` as in the header.
    pub sex: Option<Private>,
}

/// Offset of the clock on the wall, in hours: Japan has one zone and no summer time.
pub const WALL_CLOCK_OFFSET_H: i8 = 9;

/// The wall clock's zone.
#[must_use]
pub fn wall_clock() -> TimeZone {
    TimeZone::fixed(jiff::tz::offset(WALL_CLOCK_OFFSET_H))
}

impl Patient {
    /// Age in whole years at an instant, by the calendar of the wall clock; none without a usable birth date.
    #[must_use]
    pub fn age_years(&self, at_ms: i64) -> Option<i32> {
        age_years(self.birth_date.as_ref()?.reveal(), at_ms)
    }
}

/// Age in whole years at an instant of someone born on `YYYYMMDD`; none for a date that is not one, or in the future,
/// or more than 120 years back.
#[must_use]
pub fn age_years(birth_date: &str, at_ms: i64) -> Option<i32> {
    let born = Date::strptime("%Y%m%d", birth_date.trim()).ok()?;
    let today = Timestamp::from_millisecond(at_ms)
        .ok()?
        .to_zoned(wall_clock())
        .date();
    let years = born
        .until((jiff::Unit::Year, today))
        .ok()
        .map(|span: Span| i32::from(span.get_years()))?;
    (born <= today && (0..=120).contains(&years)).then_some(years)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_shows_nothing_of_the_patient() {
        let patient = Patient {
            name: PatientName {
                ideographic: Private::new("山田^太郎"),
                ..PatientName::default()
            },
            patient_id: Private::new("4711"),
            birth_date: Some(Private::new("19400229")),
            ..Patient::default()
        };
        let text = format!("{patient:?}");
        assert!(text.contains("redacted"));
        for secret in ["山田", "4711", "1940"] {
            assert!(!text.contains(secret), "{text}");
        }
    }

    #[test]
    fn age_changes_on_the_birthday_of_the_wall_clock() {
        let at = |text: &str| text.parse::<Timestamp>().expect("instant").as_millisecond();
        assert_eq!(age_years("19460310", at("2026-03-10T00:00:00+09:00")), Some(80));
        assert_eq!(age_years("19460310", at("2026-03-09T23:59:59+09:00")), Some(79));
        for unusable in ["", "1946", "19461301", "20990101", "18000101"] {
            assert_eq!(
                age_years(unusable, at("2026-03-10T00:00:00+09:00")),
                None,
                "{unusable}"
            );
        }
    }
}
