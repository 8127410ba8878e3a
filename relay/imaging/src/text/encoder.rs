//! Writes text in declared character sets, with the escapes and returns PS3.5 section 6.1.2.5.3 asks.

use super::CharacterSets;
use super::charset::{Charset, Half};
use crate::element::Vr;

/// Text that cannot be written in the character sets asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("text cannot be written in these character sets")]
pub struct Unencodable;

/// Encodes text for one element, with code extensions and their resets; no padding is added.
///
/// A backslash in `text` separates values where the VR has several.
///
/// # Errors
/// When a character is in none of the sets.
pub fn encode(text: &str, vr: Vr, sets: &CharacterSets) -> Result<Vec<u8>, Unencodable> {
    let initial = sets.initial();
    if let Some(encoding) = initial.whole_value() {
        let (bytes, _, lossy) = encoding.encode(text);
        return if lossy {
            Err(Unencodable)
        } else {
            Ok(bytes.into_owned())
        };
    }
    let mut encoder = Encoder::new(sets);
    for c in text.chars() {
        let delimiter = matches!(c, '\t' | '\n' | '\r' | '\u{C}')
            || (c == '\\' && vr.is_multi_valued_text())
            || (vr == Vr::PN && matches!(c, '^' | '='));
        if delimiter {
            encoder.delimiter(c as u8)
        } else {
            encoder.character(c, vr)?
        }
    }
    encoder.return_lower();
    Ok(encoder.out)
}

struct Encoder<'a> {
    sets: &'a CharacterSets,
    home: Charset,
    lower: Charset,
    upper: Option<Charset>,
    out: Vec<u8>,
}

impl<'a> Encoder<'a> {
    fn new(sets: &'a CharacterSets) -> Self {
        let home = if sets.initial() == Charset::JisX0201 {
            Charset::JisX0201
        } else {
            Charset::Ascii
        };
        let mut encoder = Self {
            sets,
            home,
            lower: home,
            upper: None,
            out: Vec::new(),
        };
        encoder.reset();
        encoder
    }

    fn reset(&mut self) {
        self.lower = self.home;
        self.upper = match self.sets.initial() {
            set @ (Charset::JisX0201 | Charset::Single(_) | Charset::KsX1001 | Charset::Gb2312) => Some(set),
            _ => None,
        };
    }

    fn delimiter(&mut self, byte: u8) {
        self.return_lower();
        self.out.push(byte);
        self.reset();
    }

    fn return_lower(&mut self) {
        if self.lower != self.home {
            self.switch_lower(self.home);
        }
    }

    fn switch_lower(&mut self, set: Charset) {
        self.out.extend(set.escape(Half::Lower).into_iter().flatten());
        self.lower = set;
    }

    fn character(&mut self, c: char, vr: Vr) -> Result<(), Unencodable> {
        if let Some(byte) = self.home_byte(c) {
            if byte == b'\\' && vr.is_multi_valued_text() {
                return Err(Unencodable);
            }
            self.return_lower();
            self.out.push(byte);
            return Ok(());
        }
        for set in &self.sets.sets {
            if set.is_two_byte_lower()
                && let Some((first, second)) = set.pair_of(c)
            {
                if self.lower != *set {
                    self.switch_lower(*set);
                }
                self.out.extend([first, second]);
                return Ok(());
            }
            let upper: Option<Vec<u8>> = if set.is_two_byte_upper() {
                set.pair_of(c)
                    .map(|(first, second)| vec![first | 0x80, second | 0x80])
            } else {
                set.upper_of(c).map(|byte| vec![byte])
            };
            if let Some(bytes) = upper {
                self.return_lower();
                if self.upper != Some(*set) {
                    self.out.extend(set.escape(Half::Upper).into_iter().flatten());
                    self.upper = Some(*set);
                }
                self.out.extend(bytes);
                return Ok(());
            }
        }
        Err(Unencodable)
    }

    /// The byte of a character in the lower half that is there without an escape.
    fn home_byte(&self, c: char) -> Option<u8> {
        match (self.home, c) {
            (Charset::JisX0201, '¥') => Some(0x5C),
            (Charset::JisX0201, '‾') => Some(0x7E),
            (Charset::JisX0201, '\\' | '~') => None,
            (_, ' '..='~') => Some(c as u8),
            _ => None,
        }
    }
}
