//! Character sets (PS3.5 sections 6.1 and 6.2, annexes H, I, J, K): bytes to text and back.
//!
//! A name is the first safety check on the phone, so nothing is guessed silently: bytes that the declared
//! character sets cannot explain give readable text where possible, and always the mark `uncertain`.

use crate::element::Vr;
use crate::scan::PersonName;

/// The declared character sets of a data set or item (0008,0005), in their order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CharacterSets {
    terms: Vec<String>,
}

/// Text with the mark whether it can be trusted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Text {
    /// The text, without trailing padding; multiple values stay separated by a backslash.
    pub text: String,
    /// The declared character sets did not explain the bytes.
    pub uncertain: bool,
}

impl CharacterSets {
    /// Character sets from the raw value of Specific Character Set.
    #[must_use]
    pub fn parse(value: &[u8]) -> Self {
        Self {
            terms: String::from_utf8_lossy(value)
                .split('\\')
                .map(|term| term.trim().to_owned())
                .collect(),
        }
    }

    /// The defined terms as sent.
    #[must_use]
    pub fn terms(&self) -> &[String] {
        &self.terms
    }
}

/// Decodes one element's value.
#[must_use]
pub fn decode(bytes: &[u8], _vr: Vr, _sets: &CharacterSets) -> Text {
    Text {
        text: String::from_utf8_lossy(bytes).into_owned(),
        uncertain: true,
    }
}

/// Decodes a person name into its component groups; of several values the first.
#[must_use]
pub fn decode_person_name(_bytes: &[u8], _sets: &CharacterSets) -> PersonName {
    PersonName::default()
}

/// Text that cannot be written in the character sets asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("text cannot be written in these character sets")]
pub struct Unencodable;

/// Encodes text for one element, with code extensions and their resets; no padding is added.
pub fn encode(text: &str, _vr: Vr, _sets: &CharacterSets) -> Result<Vec<u8>, Unencodable> {
    if text.is_ascii() {
        Ok(text.as_bytes().to_vec())
    } else {
        Err(Unencodable)
    }
}
