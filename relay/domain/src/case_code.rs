//! The spoken case code of a reading request: said on the phone, never an authorisation.
//!
//! Four digits, six above two thousand open requests; unique in a network among open requests and for a day after
//! closing. The relay draws a random number; this module turns it into a free code.

use std::collections::HashSet;

/// Open requests of a network above which codes have six digits.
pub const FOUR_DIGITS_OPEN_MAX: usize = 2_000;
/// How long a code stays taken after its request was closed, in ms.
pub const RESERVED_AFTER_CLOSING_MS: i64 = 24 * 60 * 60 * 1_000;

/// A code of four or six digits.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct CaseCode(String);

impl CaseCode {
    /// Parses the digits.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let digits = matches!(text.len(), 4 | 6) && text.bytes().all(|byte| byte.is_ascii_digit());
        digits.then(|| Self(text.to_owned()))
    }

    /// The digits.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// A code that is not taken, starting from a random number; `None` only when every code is taken.
///
/// The walk visits every code once: its stride shares no factor with a power of ten.
#[must_use]
pub fn free_code(draw: u32, n_open: usize, taken: &HashSet<String>) -> Option<CaseCode> {
    const STRIDE: u64 = 7_919;
    let (digits, space) = if n_open > FOUR_DIGITS_OPEN_MAX {
        (6, 1_000_000_u64)
    } else {
        (4, 10_000)
    };
    (0..space)
        .map(|step| format!("{:0digits$}", (u64::from(draw) + step * STRIDE) % space))
        .find(|code| !taken.contains(code))
        .map(CaseCode)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_is_found_before_giving_up() {
        let mut taken: HashSet<String> = (0..10_000).map(|code| format!("{code:04}")).collect();
        assert_eq!(free_code(17, 0, &taken), None);
        taken.remove("0427");
        assert_eq!(
            free_code(u32::MAX, 2_000, &taken).expect("one is free").as_str(),
            "0427"
        );
    }

    #[test]
    fn many_open_requests_get_six_digits() {
        let code = free_code(123, FOUR_DIGITS_OPEN_MAX + 1, &HashSet::new()).expect("free");
        assert_eq!(code.as_str(), "000123");
        assert_eq!(
            CaseCode::parse("0427").map(|code| code.0),
            Some("0427".to_owned())
        );
        assert!(CaseCode::parse("427").is_none() && CaseCode::parse("04a7").is_none());
    }
}
