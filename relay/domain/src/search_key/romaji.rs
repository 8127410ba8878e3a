//! The sound of kana and romaji in one spelling: Kunrei letters, long vowels short.
//!
//! Hepburn and Kunrei differ in consonants (shi/si, chi/ti, tsu/tu, fu/hu, ja/zya), and long vowels are written as
//! `ou`, `oo`, `oh`, `ō` or not at all. Both sides of a search go through here, so all of them meet.

/// The folded sound of a word that [`super::written`] gave; `None` when it holds anything but hiragana and Latin
/// letters.
pub(super) fn spoken(written: &str) -> Option<String> {
    let letters = letters(written)?;
    let folded = short_vowels(&one_spelling(&letters));
    (!folded.is_empty()).then_some(folded)
}

/// Kana as Kunrei letters, Latin letters as they are.
fn letters(written: &str) -> Option<String> {
    let mut out = String::new();
    let mut doubles_next = false;
    let mut before = None;
    for c in written.chars() {
        if c == 'っ' {
            doubles_next = true;
            continue;
        }
        let c = repeated(c, before).unwrap_or(c);
        if let Some(vowel) = small_vowel(c) {
            glide(&mut out, vowel, matches!(c, 'ゃ' | 'ゅ' | 'ょ'));
        } else if c == 'ー' {
            // The vowel before is long, and long vowels are short here.
        } else if c.is_ascii_lowercase() {
            out.push(c);
        } else {
            let syllable = syllable(c)?;
            let first = syllable.chars().next().filter(|first| !is_vowel(*first));
            out.extend(first.filter(|_| doubles_next));
            out.push_str(syllable);
        }
        doubles_next = false;
        before = Some(c);
    }
    Some(out)
}

/// What a repetition mark stands for: the kana before it, or that with its voiced sound, which is the next in the
/// table.
fn repeated(mark: char, before: Option<char>) -> Option<char> {
    match mark {
        'ゝ' => before,
        'ゞ' => char::from_u32(u32::from(before?) + 1),
        _ => None,
    }
}

/// A small vowel or a small ya, yu, yo takes the vowel of the syllable before it: ki + ya is kya, hu + a is ha.
fn glide(out: &mut String, vowel: char, has_y: bool) {
    let before = out.pop();
    let has_consonant = out.ends_with(|c| !is_vowel(c));
    match before {
        Some('i') if has_y && has_consonant => out.push('y'),
        Some('i') if vowel == 'e' && has_consonant => out.push('y'),
        Some('u') if !has_y && has_consonant => {}
        Some('u') if !has_y => out.push('w'),
        Some('e') if !has_y && vowel == 'i' && has_consonant => {}
        Some('o') if !has_y && vowel == 'u' && has_consonant => {}
        Some(before) => {
            out.push(before);
            out.extend(Some('y').filter(|_| has_y));
        }
        None => out.extend(Some('y').filter(|_| has_y)),
    }
    out.push(vowel);
}

fn small_vowel(c: char) -> Option<char> {
    Some(match c {
        'ゃ' | 'ぁ' => 'a',
        'ぃ' => 'i',
        'ゅ' | 'ぅ' => 'u',
        'ぇ' => 'e',
        'ょ' | 'ぉ' => 'o',
        _ => return None,
    })
}

fn is_vowel(c: char) -> bool {
    matches!(c, 'a' | 'i' | 'u' | 'e' | 'o')
}

/// One spelling for each consonant.
fn one_spelling(letters: &str) -> String {
    let mut out = String::new();
    let mut rest = letters;
    while let Some(c) = rest.chars().next() {
        let after = |n: usize| rest[n..].chars().next().unwrap_or(' ');
        // Two letters that are one consonant: Kunrei writes `y` after it before a, u, e and o.
        let hepburn = [("sh", "s"), ("ch", "t"), ("j", "z")]
            .into_iter()
            .find(|(letters, _)| rest.starts_with(letters));
        if let Some((spelt, kunrei)) = hepburn {
            out.push_str(kunrei);
            if matches!(after(spelt.len()), 'a' | 'u' | 'e' | 'o') {
                out.push('y');
            }
            rest = &rest[spelt.len()..];
            continue;
        }
        let (len, folded) = match c {
            // A doubled `ch` is written tch or cch.
            't' | 'c' if rest[1..].starts_with("ch") => (1, "t"),
            'c' if rest.len() == 1 => (1, "t"),
            't' if after(1) == 's' => (2, "t"),
            'd' if after(1) == 'z' => (2, "z"),
            'd' if matches!(after(1), 'i' | 'u' | 'y') => (1, "z"),
            'm' if matches!(after(1), 'b' | 'p' | 'm') => (1, "n"),
            'w' if after(1) == 'o' => (1, ""),
            'f' => (1, "h"),
            'l' => (1, "r"),
            'v' => (1, "b"),
            _ => (1, &rest[..1]),
        };
        out.push_str(folded);
        rest = &rest[len..];
    }
    out
}

/// Long vowels as short ones, and no `h` that only made an `o` or `u` long. At the beginning (Ohta, Ohishi, Ohashi)
/// an `h` after `o` never counts: 大石 and 大橋 are written alike.
fn short_vowels(letters: &str) -> String {
    let letters: Vec<char> = letters.chars().collect();
    let mut out = String::new();
    for (at, c) in letters.iter().copied().enumerate() {
        let next = letters.get(at + 1).copied().unwrap_or(' ');
        let is_length = match (out.chars().last(), c) {
            (Some('o'), 'u') => true,
            (Some('o'), 'h') => out == "o" || !is_vowel(next),
            (Some('u'), 'h') => !is_vowel(next) && next != 'y',
            (Some(before), c) => is_vowel(c) && before == c,
            (None, _) => false,
        };
        if !is_length {
            out.push(c);
        }
    }
    out
}

fn syllable(c: char) -> Option<&'static str> {
    Some(match c {
        'あ' => "a",
        'い' | 'ゐ' => "i",
        'う' => "u",
        'え' | 'ゑ' => "e",
        'お' | 'を' => "o",
        'か' | 'ゕ' => "ka",
        'き' => "ki",
        'く' => "ku",
        'け' | 'ゖ' => "ke",
        'こ' => "ko",
        'が' => "ga",
        'ぎ' => "gi",
        'ぐ' => "gu",
        'げ' => "ge",
        'ご' => "go",
        'さ' => "sa",
        'し' => "si",
        'す' => "su",
        'せ' => "se",
        'そ' => "so",
        'ざ' => "za",
        'じ' | 'ぢ' => "zi",
        'ず' | 'づ' => "zu",
        'ぜ' => "ze",
        'ぞ' => "zo",
        'た' => "ta",
        'ち' => "ti",
        'つ' => "tu",
        'て' => "te",
        'と' => "to",
        'だ' => "da",
        'で' => "de",
        'ど' => "do",
        'な' => "na",
        'に' => "ni",
        'ぬ' => "nu",
        'ね' => "ne",
        'の' => "no",
        'は' => "ha",
        'ひ' => "hi",
        'ふ' => "hu",
        'へ' => "he",
        'ほ' => "ho",
        'ば' => "ba",
        'び' => "bi",
        'ぶ' | 'ゔ' => "bu",
        'べ' => "be",
        'ぼ' => "bo",
        'ぱ' => "pa",
        'ぴ' => "pi",
        'ぷ' => "pu",
        'ぺ' => "pe",
        'ぽ' => "po",
        'ま' => "ma",
        'み' => "mi",
        'む' => "mu",
        'め' => "me",
        'も' => "mo",
        'や' => "ya",
        'ゆ' => "yu",
        'よ' => "yo",
        'ら' => "ra",
        'り' => "ri",
        'る' => "ru",
        'れ' => "re",
        'ろ' => "ro",
        'わ' | 'ゎ' => "wa",
        'ん' => "n",
        _ => return None,
    })
}
