//! Reading requests as the technologist fills them in, and those the agent opens by rule.
//!
//! A field that was not answered is absent from the clinical context: unanswered is never "none". A request
//! without a number that can be called is refused here already.

pub mod automatic;

use tancho_domain::dicom::Priority;

/// Urgencies a request can have, most urgent first.
pub const URGENCIES: [&str; 5] = ["stroke_code", "critical", "urgent", "routine", "elective"];

/// How soon the images of a request of this urgency must be at the relay.
#[must_use]
pub fn transfer_priority(urgency: &str) -> Priority {
    match urgency {
        "stroke_code" | "critical" => Priority::Stat,
        "urgent" => Priority::Urgent,
        _ => Priority::Routine,
    }
}

/// Whether a text is a telephone number that a person can dial: E.164 or the Japanese form.
#[must_use]
pub fn is_callable(number: &str) -> bool {
    let text = number.trim();
    let digits = text.chars().filter(char::is_ascii_digit).count();
    let allowed = text
        .chars()
        .all(|c| c.is_ascii_digit() || matches!(c, '+' | '-' | '(' | ')' | ' '));
    let starts_well = text.starts_with('+') || text.starts_with('0') || text.starts_with('(');
    allowed && starts_well && (9..=15).contains(&digits) && !text[1..].contains('+')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_numbers_that_can_be_dialled_are_taken() {
        for good in ["011-123-4567", "+81 11 123 4567", "(011)123-4567", "09012345678"] {
            assert!(is_callable(good), "{good}");
        }
        for bad in [
            "",
            "119",
            "ext 5",
            "0111234",
            "1112345678",
            "+81+11 123 4567",
            "+1234567890123456",
        ] {
            assert!(!is_callable(bad), "{bad}");
        }
    }
}
