//! Reads bytes that the declared character sets do not explain: undeclared UTF-8, Shift_JIS, EUC-JP.
//!
//! The result is always shown with the mark `uncertain`, and the original bytes stay as they came.
//! When two readings are possible and nothing declared decides between them, there is no reading.

use encoding_rs::{EUC_JP, SHIFT_JIS};

use super::CharacterSets;
use super::charset::Charset;

/// The one plausible reading, if there is one.
pub(super) fn read(bytes: &[u8], sets: &CharacterSets) -> Option<String> {
    if bytes.is_ascii() || bytes.contains(&0x1B) {
        return None;
    }
    if let Ok(text) = std::str::from_utf8(bytes) {
        return Some(text.to_owned());
    }
    // Western single-byte sets with stray bytes are not Japanese.
    if matches!(sets.initial(), Charset::Single(_)) {
        return None;
    }
    let shift_jis = decode(SHIFT_JIS, bytes);
    let euc_jp = decode(EUC_JP, bytes);
    match (shift_jis, euc_jp) {
        (Some(text), None) => has_two_byte_text(&text).then_some(text),
        (None, Some(text)) => has_two_byte_text(&text).then_some(text),
        // Half-width katakana in the one are kanji in the other: only a declared JIS X 0208 without
        // JIS X 0201 speaks for EUC-JP.
        (Some(kana), Some(kanji)) if kana.contains(|c| matches!(c, '｡'..='ﾟ')) => {
            let declared = sets.declares(Charset::JisX0208) && !sets.declares(Charset::JisX0201);
            (declared && has_two_byte_text(&kanji)).then_some(kanji)
        }
        _ => None,
    }
}

fn decode(encoding: &'static encoding_rs::Encoding, bytes: &[u8]) -> Option<String> {
    encoding
        .decode_without_bom_handling_and_without_replacement(bytes)
        .map(std::borrow::Cow::into_owned)
}

fn has_two_byte_text(text: &str) -> bool {
    text.chars()
        .any(|c| matches!(c as u32, 0x3000..=0x9FFF | 0xF900..=0xFAFF | 0xFF00..=0xFF60))
}
