//! Switches between character sets inside one value (PS3.5 section 6.1.2.5).
//!
//! The lower half (G0) and the upper half (G1) are switched by escapes and fall back to the first term's
//! set at every delimiter. In a two-byte set bytes equal to a delimiter are half a character.

use super::charset::{Charset, Half};
use super::{CharacterSets, Values, recover};
use crate::element::Vr;

const ESC: u8 = 0x1B;

/// The declared reading; where that leaves bytes unexplained, the one plausible other reading, marked.
pub(super) fn decode(bytes: &[u8], vr: Vr, sets: &CharacterSets) -> Values {
    let (declared, suspicious) = read_declared(bytes, vr, sets);
    match recover::read(bytes, sets).filter(|_| suspicious) {
        Some(text) => split(&text, vr, true),
        None => declared,
    }
}

/// The declared reading alone, with U+FFFD for what it does not explain.
pub(super) fn decode_declared(bytes: &[u8], vr: Vr, sets: &CharacterSets) -> Values {
    read_declared(bytes, vr, sets).0
}

/// The declared reading, and whether the bytes speak for another.
fn read_declared(bytes: &[u8], vr: Vr, sets: &CharacterSets) -> (Values, bool) {
    if let Some(encoding) = sets.initial().whole_value() {
        let (text, unexplained) = encoding.decode_without_bom_handling(bytes);
        return (split(&text, vr, unexplained), unexplained);
    }
    let mut decoder = Decoder::new(bytes, vr, sets);
    decoder.run();
    let values = Values {
        values: decoder.values,
        uncertain: decoder.uncertain || decoder.unexplained,
    };
    (values, decoder.unexplained || is_utf8_in_disguise(bytes, sets))
}

/// Values of text that was decoded as a whole.
fn split(text: &str, vr: Vr, uncertain: bool) -> Values {
    let values = if vr.is_multi_valued_text() {
        text.split('\\').map(str::to_owned).collect()
    } else {
        vec![text.to_owned()]
    };
    Values { values, uncertain }
}

/// A single-byte set explains any byte, but a run of well-formed UTF-8 is no accident.
fn is_utf8_in_disguise(bytes: &[u8], sets: &CharacterSets) -> bool {
    matches!(sets.initial(), Charset::Single(_))
        && !bytes.is_ascii()
        && !bytes.contains(&ESC)
        && std::str::from_utf8(bytes).is_ok()
}

struct Decoder<'a> {
    bytes: &'a [u8],
    at: usize,
    vr: Vr,
    sets: &'a CharacterSets,
    lower: Charset,
    upper: Option<Charset>,
    values: Vec<String>,
    current: String,
    /// Readable, but not by the declared rules.
    uncertain: bool,
    /// Bytes that no declared set explains.
    unexplained: bool,
    /// Half a character since the last escape equals a delimiter: one, or a delimiter after a forgotten return?
    delimiter_in_pair: bool,
}

impl<'a> Decoder<'a> {
    fn new(bytes: &'a [u8], vr: Vr, sets: &'a CharacterSets) -> Self {
        let mut decoder = Self {
            bytes,
            at: 0,
            vr,
            sets,
            lower: Charset::Ascii,
            upper: None,
            values: Vec::new(),
            current: String::new(),
            uncertain: false,
            unexplained: false,
            delimiter_in_pair: false,
        };
        decoder.reset();
        decoder
    }

    /// Back to the first term's sets, as at the start of a value and after each delimiter.
    fn reset(&mut self) {
        let initial = self.sets.initial();
        self.lower = if initial == Charset::JisX0201 {
            initial
        } else {
            Charset::Ascii
        };
        self.upper = match initial {
            Charset::JisX0201 | Charset::Single(_) | Charset::KsX1001 | Charset::Gb2312 => Some(initial),
            _ => None,
        };
    }

    fn run(&mut self) {
        while let Some(&byte) = self.bytes.get(self.at) {
            match byte {
                ESC => self.escape(),
                0x80.. => self.upper_byte(byte),
                _ if self.lower.is_two_byte_lower() && byte > 0x20 => self.lower_pair(byte),
                _ => self.single(byte),
            }
        }
        // Who returns before a delimiter returns at the end too (PS3.5 section 6.1.2.5.3); who does not may have meant
        // the delimiter.
        self.uncertain |= self.lower.is_two_byte_lower() && self.delimiter_in_pair;
        self.values.push(std::mem::take(&mut self.current));
    }

    fn escape(&mut self) {
        let after = &self.bytes[self.at + 1..];
        if let Some((set, half, len)) = Charset::of_escape(after) {
            // A return to ISO 646 or JIS Romaji is always allowed; anything else must be declared.
            let always = matches!(set, Charset::Ascii) || (set == Charset::JisX0201 && half == Half::Lower);
            self.uncertain |= !always && !self.sets.declares(set);
            self.delimiter_in_pair = false;
            match half {
                Half::Lower => self.lower = set,
                Half::Upper => self.upper = Some(set),
            }
            self.at += 1 + len;
        } else if after.starts_with(b"$@") {
            // The 1978 edition of JIS X 0208, in DICOM under no term: read as the later one, with the mark.
            self.uncertain = true;
            self.lower = Charset::JisX0208;
            self.at += 3;
        } else {
            self.current.push('\u{FFFD}');
            self.uncertain = true;
            self.at += 1;
        }
    }

    fn lower_pair(&mut self, first: u8) {
        let second = self.bytes.get(self.at + 1).copied();
        let pair = second.and_then(|second| self.lower.pair(first, second));
        if let Some(pair) = pair {
            self.current.push(pair.character);
            self.uncertain |= pair.vendor;
            self.delimiter_in_pair |= [Some(first), second]
                .into_iter()
                .flatten()
                .any(|byte| self.is_delimiter(byte) || self.separates_values(byte));
            self.at += 2;
            return;
        }
        self.uncertain = true;
        if self.is_delimiter(first) && !second.is_some_and(|byte| matches!(byte, 0x21..=0x7E)) {
            // The return escape before a delimiter is missing.
            self.lower = Charset::Ascii;
            self.single(first);
            return;
        }
        self.current.push('\u{FFFD}');
        self.at += if second.is_some_and(|byte| matches!(byte, 0x21..=0x7E)) {
            2
        } else {
            1
        };
    }

    fn single(&mut self, byte: u8) {
        self.at += 1;
        if self.separates_values(byte) {
            self.values.push(std::mem::take(&mut self.current));
            self.reset();
            return;
        }
        self.current.push(if byte < 0x20 {
            byte as char
        } else {
            self.lower.lower(byte)
        });
        if self.is_delimiter(byte) {
            self.reset();
        }
    }

    fn upper_byte(&mut self, byte: u8) {
        let set = match self.upper {
            Some(set) => set,
            None => {
                // Some senders leave out the escape after a delimiter; with one candidate it is readable.
                let mut candidates = self.sets.sets.iter().filter(|set| set.is_two_byte_upper());
                match (candidates.next(), candidates.next()) {
                    (Some(set), None) => {
                        self.uncertain = true;
                        *set
                    }
                    _ => return self.unexplained_byte(),
                }
            }
        };
        if set.is_two_byte_upper() {
            let second = self
                .bytes
                .get(self.at + 1)
                .copied()
                .filter(|second| *second >= 0xA1);
            match second.and_then(|second| set.pair(byte & 0x7F, second & 0x7F)) {
                Some(pair) if byte >= 0xA1 => {
                    self.current.push(pair.character);
                    self.at += 2;
                }
                _ => self.unexplained_byte(),
            }
        } else if let Some(character) = set.upper(byte) {
            self.current.push(character);
            self.at += 1;
        } else {
            self.unexplained_byte();
        }
    }

    fn unexplained_byte(&mut self) {
        self.unexplained = true;
        self.current.push('\u{FFFD}');
        self.at += 1;
    }

    fn separates_values(&self, byte: u8) -> bool {
        byte == b'\\' && self.vr.is_multi_valued_text()
    }

    /// Delimiters of PS3.5 section 6.1.2.5.3, besides the backslash.
    fn is_delimiter(&self, byte: u8) -> bool {
        matches!(byte, b'\t' | b'\n' | b'\r' | 0x0C) || (self.vr == Vr::PN && matches!(byte, b'^' | b'='))
    }
}
