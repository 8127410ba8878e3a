//! Character sets (PS3.5 sections 6.1 and 6.2, annexes H, I, J, K): bytes to text and back.
//!
//! A name is the first safety check on the phone, so nothing is guessed silently: bytes that the declared
//! character sets cannot explain give readable text where possible, and always the mark `uncertain`.
//! `charset` knows the sets, `decoder` switches between them, `recover` reads undeclared bytes.

mod charset;
mod decoder;
mod encoder;
mod recover;

use std::borrow::Cow;

use crate::element::Vr;
use crate::scan::PersonName;
pub(crate) use charset::Charset;
pub use encoder::{Unencodable, encode};

/// The declared character sets of a data set or item (0008,0005), in their order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CharacterSets {
    terms: Vec<String>,
    sets: Vec<Charset>,
    unknown: bool,
}

/// Text with the mark whether it can be trusted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Text {
    /// The text, without trailing padding; multiple values stay separated by a backslash.
    pub text: String,
    /// The declared character sets did not explain the bytes.
    pub uncertain: bool,
}

/// Text of a multi-valued element, value by value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Values {
    /// The values, each without trailing padding.
    pub values: Vec<String>,
    /// The declared character sets did not explain the bytes.
    pub uncertain: bool,
}

impl Default for CharacterSets {
    fn default() -> Self {
        Self::parse(b"")
    }
}

impl CharacterSets {
    /// Most terms that are looked at; the standard defines fewer than 30.
    pub const TERMS_MAX: usize = 32;

    /// Character sets from the raw value of Specific Character Set. Never fails: unknown terms are kept as
    /// text and remembered by [`Self::has_unknown_term`].
    #[must_use]
    pub fn parse(value: &[u8]) -> Self {
        let text: String = value
            .iter()
            .map(|byte| if byte.is_ascii() { *byte as char } else { '?' })
            .collect();
        let terms: Vec<String> = text
            .split('\\')
            .take(Self::TERMS_MAX)
            .map(|term| term.trim_matches(['\0', ' ', '\t', '\r', '\n']).to_owned())
            .collect();
        let mut sets = Vec::new();
        let mut unknown = text.split('\\').count() > Self::TERMS_MAX;
        for (idx, term) in terms.iter().enumerate() {
            match Charset::of_term(term) {
                Some(set) => sets.push(set),
                None => {
                    unknown = true;
                    if idx == 0 {
                        sets.push(Charset::Ascii);
                    }
                }
            }
        }
        Self { terms, sets, unknown }
    }

    /// The defined terms as sent; one empty term when nothing was declared.
    #[must_use]
    pub fn terms(&self) -> &[String] {
        &self.terms
    }

    /// Whether a term is none the standard defines, so that text may not be what it seems.
    #[must_use]
    pub fn has_unknown_term(&self) -> bool {
        self.unknown
    }

    fn initial(&self) -> Charset {
        self.sets.first().copied().unwrap_or(Charset::Ascii)
    }

    fn declares(&self, set: Charset) -> bool {
        self.sets.contains(&set)
    }
}

/// Decodes one element's value to text; values stay separated by a backslash.
#[must_use]
pub fn decode(bytes: &[u8], vr: Vr, sets: &CharacterSets) -> Text {
    let Values { values, uncertain } = decode_values(bytes, vr, sets);
    Text {
        text: values.join("\\"),
        uncertain,
    }
}

/// Decodes one element's values. A byte that equals the delimiter inside a two-byte character is no
/// delimiter.
#[must_use]
pub fn decode_values(bytes: &[u8], vr: Vr, sets: &CharacterSets) -> Values {
    clean(decoder::decode(trim_padding(bytes), vr, &governing(vr, sets)), vr)
}

/// As [`decode_values`], but by the declared character sets alone: bytes they do not explain become U+FFFD. For
/// answers that have no place for a mark, where a likely reading would look like a certain one.
#[must_use]
pub fn decode_declared(bytes: &[u8], vr: Vr, sets: &CharacterSets) -> Values {
    clean(
        decoder::decode_declared(trim_padding(bytes), vr, &governing(vr, sets)),
        vr,
    )
}

/// The sets that govern a VR; those it does not concern hold the default repertoire.
fn governing(vr: Vr, sets: &CharacterSets) -> Cow<'_, CharacterSets> {
    if vr.uses_character_sets() {
        Cow::Borrowed(sets)
    } else {
        Cow::Owned(CharacterSets::default())
    }
}

/// Without trailing padding and without controls that the VR forbids.
fn clean(mut decoded: Values, vr: Vr) -> Values {
    for value in &mut decoded.values {
        let kept = value.trim_end_matches([' ', '\0']).len();
        value.truncate(kept);
        let unsafe_control = |c: char| is_unsafe_control(c, vr);
        if value.contains(unsafe_control) {
            *value = value.replace(unsafe_control, "\u{FFFD}");
            decoded.uncertain = true;
        }
    }
    decoded
}

/// Decodes a person name into its component groups; of several values the first.
#[must_use]
pub fn decode_person_name(bytes: &[u8], sets: &CharacterSets) -> PersonName {
    let Values { values, uncertain } = decode_values(bytes, Vr::PN, sets);
    person_name(values.first().map_or("", String::as_str), uncertain)
}

/// Splits the decoded text of one person name into its component groups.
#[must_use]
pub fn person_name(text: &str, uncertain: bool) -> PersonName {
    let mut groups = text
        .splitn(4, '=')
        .map(|group| group.trim_end_matches(' ').to_owned());
    PersonName {
        alphabetic: groups.next().unwrap_or_default(),
        ideographic: groups.next().unwrap_or_default(),
        phonetic: groups.next().unwrap_or_default(),
        uncertain,
    }
}

fn trim_padding(bytes: &[u8]) -> &[u8] {
    let kept = bytes
        .iter()
        .rposition(|byte| !matches!(byte, b' ' | 0))
        .map_or(0, |last| last + 1);
    // A trailing 0x20 can be the second half of no two-byte character, so it is always padding.
    &bytes[..kept]
}

/// Controls the VR does not allow (PS3.5 section 6.2: only LT, ST and UT may hold TAB, LF, FF and CR); they
/// would break rows, logs and terminals.
fn is_unsafe_control(c: char, vr: Vr) -> bool {
    let text_may_hold = matches!(vr, Vr::LT | Vr::ST | Vr::UT) && matches!(c, '\t' | '\n' | '\r' | '\u{C}');
    c.is_control() && !text_may_hold
}

#[cfg(test)]
mod tests;
