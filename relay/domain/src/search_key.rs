//! What a patient is found by: names in kanji, kana or romaji and ids, brought into one written form.
//!
//! A key is made once when the study arrives; a search text is brought into the same form and must be a part of it.
//! Finding too much is a nuisance, finding nothing hides a patient: spellings of one sound are therefore one, and so
//! are the common forms of one kanji. A key is for finding only, never for display or for telling patients apart.

mod kanji;
mod romaji;

use unicode_normalization::UnicodeNormalization as _;

/// Most words of one search; every one of them must be found.
pub const SEARCH_WORDS_MAX: usize = 4;

/// One word of a search text.
#[derive(Clone, PartialEq, Eq)]
pub struct SearchWord {
    /// As written.
    pub written: String,
    /// As spoken, in folded romaji; `None` when the writing does not tell.
    pub spoken: Option<String>,
}

impl std::fmt::Debug for SearchWord {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SearchWord(redacted)")
    }
}

/// The key of a patient: the groups of the name, each as written and, where the writing tells, as spoken, then the
/// ids. Parts are separated by single spaces and hold letters and digits only.
#[must_use]
pub fn patient_key(name_groups: [&str; 3], ids: &[&str]) -> String {
    let mut parts: Vec<String> = Vec::new();
    for group in name_groups {
        let components: Vec<String> = components(group).map(written).collect();
        parts.push(components.concat());
        // The family name may be kanji and the given name kana: what can be spoken is found by its sound.
        parts.push(
            components
                .iter()
                .filter_map(|part| romaji::spoken(part))
                .collect(),
        );
    }
    parts.extend(ids.iter().map(|id| written(id)));
    joined(parts)
}

/// The key of a text that is not a person's name, such as the name of a site.
#[must_use]
pub fn text_key(text: &str) -> String {
    joined(components(text).map(written).collect())
}

/// The words of a search text, in their order; signs that no key holds are left out.
#[must_use]
pub fn search_words(text: &str) -> Vec<SearchWord> {
    components(text)
        .map(written)
        .filter(|word| !word.is_empty())
        .map(|written| SearchWord {
            spoken: romaji::spoken(&written),
            written,
        })
        .collect()
}

/// Parts of a name or a search text: separated as in DICOM, or by spaces or dots of any width.
fn components(text: &str) -> impl Iterator<Item = &str> {
    text.split(|c: char| {
        c.is_whitespace() || matches!(c, '^' | '=' | '\\' | '・' | '･' | '、' | ',' | '，' | '､')
    })
}

/// One writing for each letter: one width, small letters, hiragana for katakana, no accents, the usual form of a
/// kanji; letters and digits only.
fn written(text: &str) -> String {
    // Decomposed, so that accents of Latin letters can go; those of kana are other marks and come together again.
    let bare = text.nfkd().filter(|c| !matches!(c, '\u{300}'..='\u{36F}'));
    bare.nfc()
        .flat_map(char::to_lowercase)
        .map(hiragana)
        .map(kanji::usual_form)
        .filter(|c| c.is_alphanumeric())
        .collect()
}

fn hiragana(c: char) -> char {
    let offset = u32::from('ァ') - u32::from('ぁ');
    match c {
        'ァ'..='ヶ' | 'ヽ' | 'ヾ' => char::from_u32(u32::from(c) - offset).unwrap_or(c),
        c => c,
    }
}

fn joined(mut parts: Vec<String>) -> String {
    let mut seen = Vec::new();
    parts.retain(|part| {
        let is_new = !part.is_empty() && !seen.contains(part);
        if is_new {
            seen.push(part.clone());
        }
        is_new
    });
    parts.join(" ")
}

#[cfg(test)]
mod tests;
