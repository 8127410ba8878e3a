//! The character sets of PS3.5 section 6.1.2 and PS3.3 section C.12.1.1.2: their terms, their escape
//! sequences, and one character at a time from bytes and back.

use std::collections::HashMap;
use std::sync::OnceLock;

use encoding_rs::{Encoder, Encoding};

/// One character set, as a defined term names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Charset {
    /// ISO 646, the default repertoire.
    Ascii,
    /// A single-byte set of the ISO 8859 family with ISO 646 in the lower half; the number is the ISO-IR one.
    Single(u16),
    /// JIS X 0201: Romaji in the lower half, half-width katakana in the upper.
    JisX0201,
    /// JIS X 0208 in the lower half (kanji, kana).
    JisX0208,
    /// JIS X 0212 in the lower half (supplementary kanji).
    JisX0212,
    /// KS X 1001 in the upper half (Korean).
    KsX1001,
    /// GB 2312 in the upper half (simplified Chinese).
    Gb2312,
    /// UTF-8, no code extensions.
    Utf8,
    /// GB 18030, no code extensions.
    Gb18030,
    /// GBK, no code extensions.
    Gbk,
}

/// Which half of the code table an escape sequence changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Half {
    Lower,
    Upper,
}

/// An escape sequence after the ESC byte, what it brings in, and where.
const ESCAPES: &[(&[u8], Charset, Half)] = &[
    (b"(B", Charset::Ascii, Half::Lower),
    (b"(J", Charset::JisX0201, Half::Lower),
    (b")I", Charset::JisX0201, Half::Upper),
    (b"$B", Charset::JisX0208, Half::Lower),
    (b"$(D", Charset::JisX0212, Half::Lower),
    (b"$)C", Charset::KsX1001, Half::Upper),
    (b"$)A", Charset::Gb2312, Half::Upper),
    (b"-A", Charset::Single(100), Half::Upper),
    (b"-B", Charset::Single(101), Half::Upper),
    (b"-C", Charset::Single(109), Half::Upper),
    (b"-D", Charset::Single(110), Half::Upper),
    (b"-L", Charset::Single(144), Half::Upper),
    (b"-G", Charset::Single(127), Half::Upper),
    (b"-F", Charset::Single(126), Half::Upper),
    (b"-H", Charset::Single(138), Half::Upper),
    (b"-M", Charset::Single(148), Half::Upper),
    (b"-T", Charset::Single(166), Half::Upper),
    (b"-b", Charset::Single(203), Half::Upper),
];

impl Charset {
    /// The set a defined term names; underscores, hyphens and doubled spaces in the wrong place are taken
    /// for what they mean.
    pub(crate) fn of_term(term: &str) -> Option<Self> {
        let words: Vec<String> = term
            .split([' ', '_', '-'])
            .filter(|word| !word.is_empty())
            .map(str::to_ascii_uppercase)
            .collect();
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let number = match words.as_slice() {
            [] => return Some(Self::Ascii),
            ["GB18030"] => return Some(Self::Gb18030),
            ["GBK"] => return Some(Self::Gbk),
            ["ISO", "IR", number] | ["ISO", "2022", "IR", number] => *number,
            _ => return None,
        };
        Some(match number {
            "6" => Self::Ascii,
            "13" => Self::JisX0201,
            "87" => Self::JisX0208,
            "159" => Self::JisX0212,
            "149" => Self::KsX1001,
            "58" => Self::Gb2312,
            "192" => Self::Utf8,
            "100" => Self::Single(100),
            "101" => Self::Single(101),
            "109" => Self::Single(109),
            "110" => Self::Single(110),
            "126" => Self::Single(126),
            "127" => Self::Single(127),
            "138" => Self::Single(138),
            "144" => Self::Single(144),
            "148" => Self::Single(148),
            "166" => Self::Single(166),
            "203" => Self::Single(203),
            _ => return None,
        })
    }

    /// The escape sequence at the start of `bytes`, which follow an ESC: set, half and length.
    pub(crate) fn of_escape(bytes: &[u8]) -> Option<(Self, Half, usize)> {
        ESCAPES
            .iter()
            .find(|(sequence, _, _)| bytes.starts_with(sequence))
            .map(|(sequence, set, half)| (*set, *half, sequence.len()))
    }

    /// The escape sequence, with ESC, that brings this set into `half`.
    pub(crate) fn escape(self, half: Half) -> Option<Vec<u8>> {
        ESCAPES
            .iter()
            .find(|(_, set, at)| *set == self && *at == half)
            .map(|(sequence, _, _)| [b"\x1b", *sequence].concat())
    }

    /// Whether two bytes of the lower half make one character.
    pub(crate) fn is_two_byte_lower(self) -> bool {
        matches!(self, Self::JisX0208 | Self::JisX0212)
    }

    /// Whether two bytes of the upper half make one character.
    pub(crate) fn is_two_byte_upper(self) -> bool {
        matches!(self, Self::KsX1001 | Self::Gb2312)
    }

    /// The encoding of a set that stands alone.
    pub(crate) fn whole_value(self) -> Option<&'static Encoding> {
        match self {
            Self::Utf8 => Some(encoding_rs::UTF_8),
            Self::Gb18030 => Some(encoding_rs::GB18030),
            Self::Gbk => Some(encoding_rs::GBK),
            _ => None,
        }
    }

    /// One character of the lower half from one byte (0x20 to 0x7F).
    pub(crate) fn lower(self, byte: u8) -> char {
        match (self, byte) {
            (Self::JisX0201, 0x5C) => '¥',
            (Self::JisX0201, 0x7E) => '‾',
            _ => byte as char,
        }
    }

    /// One character of the upper half from one byte (0x80 to 0xFF) of a single-byte set.
    pub(crate) fn upper(self, byte: u8) -> Option<char> {
        match self {
            Self::JisX0201 => matches!(byte, 0xA1..=0xDF)
                .then(|| char::from_u32(0xFF61 + u32::from(byte) - 0xA1))
                .flatten(),
            // C1 controls are in no repertoire DICOM allows: such bytes are evidence of another set.
            Self::Single(_) if byte < 0xA0 => None,
            Self::Single(100) => Some(byte as char),
            Self::Single(148) => Some(match byte {
                0xD0 => 'Ğ',
                0xDD => 'İ',
                0xDE => 'Ş',
                0xF0 => 'ğ',
                0xFD => 'ı',
                0xFE => 'ş',
                _ => byte as char,
            }),
            Self::Single(number) => {
                let encoding = match number {
                    101 => encoding_rs::ISO_8859_2,
                    109 => encoding_rs::ISO_8859_3,
                    110 => encoding_rs::ISO_8859_4,
                    126 => encoding_rs::ISO_8859_7,
                    127 => encoding_rs::ISO_8859_6,
                    138 => encoding_rs::ISO_8859_8,
                    144 => encoding_rs::ISO_8859_5,
                    166 => encoding_rs::WINDOWS_874,
                    203 => encoding_rs::ISO_8859_15,
                    _ => return None,
                };
                one_char(encoding, &[byte])
            }
            _ => None,
        }
    }

    /// One character from two bytes, given with their eighth bits off.
    pub(crate) fn pair(self, first: u8, second: u8) -> Option<Pair> {
        if !matches!(first, 0x21..=0x7E) || !matches!(second, 0x21..=0x7E) {
            return None;
        }
        let (a, b) = (first | 0x80, second | 0x80);
        let row = first - 0x20;
        match self {
            Self::JisX0208 => one_char(encoding_rs::EUC_JP, &[a, b]).map(|c| Pair {
                character: web_to_jis(c),
                // Rows 9 to 15 and above 84 are empty in JIS X 0208; makers put different kanji there.
                vendor: matches!(row, 9..=15 | 85..),
            }),
            Self::JisX0212 => one_char(encoding_rs::EUC_JP, &[0x8F, a, b]).map(|c| Pair {
                character: if c == '～' { '~' } else { c },
                vendor: false,
            }),
            Self::KsX1001 => one_char(encoding_rs::EUC_KR, &[a, b]).map(|c| Pair {
                character: c,
                vendor: false,
            }),
            Self::Gb2312 => one_char(encoding_rs::GBK, &[a, b]).map(|c| Pair {
                character: match c {
                    '·' if (a, b) == (0xA1, 0xA4) => '・',
                    '—' if (a, b) == (0xA1, 0xAA) => '―',
                    c => c,
                },
                vendor: false,
            }),
            _ => None,
        }
    }

    /// Two bytes with their eighth bits off for a character of a two-byte set.
    pub(crate) fn pair_of(self, c: char) -> Option<(u8, u8)> {
        let bytes = match self {
            Self::JisX0208 => through(encoding_rs::EUC_JP.new_encoder(), jis_to_web(c))?,
            Self::KsX1001 => through(encoding_rs::EUC_KR.new_encoder(), c)?,
            Self::Gb2312 => match c {
                '・' => [0xA1, 0xA4],
                '―' => [0xA1, 0xAA],
                c => through(encoding_rs::GBK.new_encoder(), c)?,
            },
            Self::JisX0212 => return supplementary().get(&c).copied(),
            _ => return None,
        };
        let (first, second) = (bytes[0] & 0x7F, bytes[1] & 0x7F);
        // Only what our own decoder reads back, and never a maker's row, is written.
        let back = self.pair(first, second)?;
        (bytes[0] >= 0xA1 && bytes[1] >= 0xA1 && back.character == c && !back.vendor)
            .then_some((first, second))
    }

    /// The byte of the upper half for a character of a single-byte set.
    pub(crate) fn upper_of(self, c: char) -> Option<u8> {
        (0x80..=0xFF).find(|byte| self.upper(*byte) == Some(c))
    }
}

/// A character read from two bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Pair {
    pub(crate) character: char,
    /// The code is outside the standard's table: a maker's extension.
    pub(crate) vendor: bool,
}

/// The web's table for JIS X 0208 follows one maker for six signs; the standard's own mapping is used.
const WEB_AND_JIS: [(char, char); 6] = [
    ('～', '〜'),
    ('∥', '‖'),
    ('－', '−'),
    ('￠', '¢'),
    ('￡', '£'),
    ('￢', '¬'),
];

fn web_to_jis(c: char) -> char {
    WEB_AND_JIS
        .iter()
        .find(|(web, _)| *web == c)
        .map_or(c, |(_, jis)| *jis)
}

fn jis_to_web(c: char) -> char {
    WEB_AND_JIS
        .iter()
        .find(|(_, jis)| *jis == c)
        .map_or(c, |(web, _)| *web)
}

fn one_char(encoding: &'static Encoding, bytes: &[u8]) -> Option<char> {
    let text = encoding.decode_without_bom_handling_and_without_replacement(bytes)?;
    let mut chars = text.chars();
    chars.next().filter(|_| chars.next().is_none())
}

fn through(mut encoder: Encoder, c: char) -> Option<[u8; 2]> {
    let mut utf8 = [0u8; 4];
    let mut out = [0u8; 8];
    let (result, _, written) =
        encoder.encode_from_utf8_without_replacement(c.encode_utf8(&mut utf8), &mut out, true);
    match (result, written) {
        (encoding_rs::EncoderResult::InputEmpty, 2) => Some([out[0], out[1]]),
        _ => None,
    }
}

/// JIS X 0212 by character; the decoder's table turned around once.
fn supplementary() -> &'static HashMap<char, (u8, u8)> {
    static TABLE: OnceLock<HashMap<char, (u8, u8)>> = OnceLock::new();
    TABLE.get_or_init(|| {
        let codes = (0x21..=0x7E).flat_map(|first| (0x21..=0x7E).map(move |second| (first, second)));
        codes
            .filter_map(|(first, second)| {
                let pair = Charset::JisX0212.pair(first, second)?;
                Some((pair.character, (first, second)))
            })
            .collect()
    })
}
