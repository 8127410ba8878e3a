//! Attribute matching (PS3.4 section C.2.2.2): single values, lists of UIDs, wildcards, ranges. Names are compared
//! without regard to case, width and kind of kana, whichever of their groups a key is written in.

use serde_json::Value;
use tancho_imaging::element::Vr;

use super::keys::Key;

/// Whether a value fits a key. An empty key fits everything; of several values one is enough.
#[must_use]
pub fn fits(key: &Key, found: &Value) -> bool {
    let wanted: Vec<&Value> = key.values.as_array().into_iter().flatten().collect();
    if key.vr == Vr::SQ || wanted.iter().all(|value| is_empty(value)) {
        return true;
    }
    let found: Vec<&Value> = found.as_array().into_iter().flatten().collect();
    wanted.iter().filter(|value| !is_empty(value)).any(|wanted| {
        if key.vr == Vr::PN {
            return found.iter().any(|found| fits_name(wanted, found));
        }
        let wanted = text(wanted);
        found
            .iter()
            .any(|found| fits_text(key.vr, wanted.trim(), text(found).trim()))
            || (found.is_empty() && wanted.trim().chars().all(|c| c == '*'))
    })
}

fn is_empty(value: &Value) -> bool {
    value.is_null() || text(value).trim().is_empty() && !value.is_object()
}

/// A value as text.
#[must_use]
pub fn text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Number(number) => number.to_string(),
        _ => String::new(),
    }
}

/// The groups of a name in the DICOM JSON model.
#[must_use]
pub fn name_groups(name: &Value) -> [&str; 3] {
    ["Alphabetic", "Ideographic", "Phonetic"].map(|group| name[group].as_str().unwrap_or_default())
}

fn fits_name(wanted: &Value, found: &Value) -> bool {
    let found = name_groups(found).map(folded);
    let mut wanted = name_groups(wanted)
        .into_iter()
        .filter(|group| !group.trim().is_empty());
    wanted.all(|group| {
        let group = folded(group);
        let mut some = found.iter().filter(|found| !found.is_empty());
        some.any(|found| fits_wildcard(group.trim_end_matches('^'), found.trim_end_matches('^')))
    })
}

/// Without case and width, katakana for hiragana.
fn folded(text: &str) -> String {
    let fold = |c: char| match c {
        '\u{FF01}'..='\u{FF5E}' => char::from_u32(u32::from(c) - 0xFEE0).unwrap_or(c),
        '\u{3041}'..='\u{3096}' => char::from_u32(u32::from(c) + 0x60).unwrap_or(c),
        '\u{3000}' => ' ',
        _ => c,
    };
    text.trim()
        .chars()
        .map(fold)
        .flat_map(char::to_lowercase)
        .collect()
}

fn fits_text(vr: Vr, wanted: &str, found: &str) -> bool {
    match vr {
        Vr::DA | Vr::TM | Vr::DT => fits_range(wanted, found, vr),
        Vr::UI => wanted == found,
        _ => fits_wildcard(wanted, found),
    }
}

/// `a-b`, `a-` and `-b`, both ends included; else a single value.
fn fits_range(wanted: &str, found: &str, vr: Vr) -> bool {
    // Times are compared as far as both are written.
    let is_before = |a: &str, b: &str| {
        let len = a.len().min(b.len());
        a.as_bytes()[..len] <= b.as_bytes()[..len]
    };
    match wanted.split_once('-') {
        Some((from, to)) => {
            !found.is_empty()
                && (from.is_empty() || is_before(from, found))
                && (to.is_empty() || is_before(found, to))
        }
        None if vr == Vr::TM => !found.is_empty() && is_before(wanted, found) && is_before(found, wanted),
        None => wanted == found,
    }
}

/// `*` is any text, `?` any character. Takes time in proportion to the product of both lengths at most.
fn fits_wildcard(wanted: &str, found: &str) -> bool {
    let (wanted, found): (Vec<char>, Vec<char>) = (wanted.chars().collect(), found.chars().collect());
    let (mut w, mut f) = (0, 0);
    // The last star, and where in the found text it was tried to end.
    let mut star: Option<(usize, usize)> = None;
    while f < found.len() {
        if w < wanted.len() && wanted[w] == '*' {
            star = Some((w, f));
            w += 1;
        } else if w < wanted.len() && (wanted[w] == '?' || wanted[w] == found[f]) {
            (w, f) = (w + 1, f + 1);
        } else if let Some((at, tried)) = star {
            star = Some((at, tried + 1));
            (w, f) = (at + 1, tried + 1);
        } else {
            return false;
        }
    }
    wanted[w..].iter().all(|c| *c == '*')
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn key(vr: Vr, values: Value) -> Key {
        Key { vr, values }
    }

    #[test]
    fn wildcards_ranges_and_lists_fit_as_the_standard_says() {
        for (vr, wanted, found, expected) in [
            (Vr::LO, "A*", "ABC", true),
            (Vr::LO, "*B*", "ABC", true),
            (Vr::LO, "A?C", "ABC", true),
            (Vr::LO, "A?", "ABC", false),
            (Vr::LO, "abc", "ABC", false),
            (Vr::DA, "20260101-20260131", "20260123", true),
            (Vr::DA, "20260124-", "20260123", false),
            (Vr::DA, "-20260123", "20260123", true),
            (Vr::DA, "20260123", "20260123", true),
            (Vr::DA, "*", "20260123", false),
            (Vr::TM, "0200-0215", "021459", true),
            (Vr::TM, "0200-0213", "021459", false),
            (Vr::TM, "0214", "021459", true),
            (Vr::UI, "1.2", "1.2", true),
            (Vr::UI, "1.2*", "1.2.3", false),
        ] {
            let fits = fits(&key(vr, json!([wanted])), &json!([found]));
            assert_eq!(fits, expected, "{wanted} {found}");
        }
        assert!(fits(&key(Vr::UI, json!(["1.2", "1.3"])), &json!(["1.3"])));
        assert!(fits(&key(Vr::LO, Value::Null), &Value::Null));
        assert!(fits(&key(Vr::LO, json!([""])), &json!(["x"])));
        assert!(fits(&key(Vr::CS, json!(["MR", "CT"])), &json!(["SR", "CT"])));
        assert!(fits(&key(Vr::LO, json!(["*"])), &Value::Null));
        assert!(!fits(&key(Vr::LO, json!(["A*"])), &Value::Null));
        assert!(fits(&key(Vr::IS, json!([3])), &json!([3])));
        let long = "a".repeat(5_000);
        assert!(!fits_wildcard(
            &"a*".repeat(500),
            &(long + "b").replace("b", "c").replace('a', "b")
        ));
    }

    #[test]
    fn names_fit_in_whichever_group_and_writing_they_are_asked_for() {
        let name = json!([{ "Alphabetic": "DOTO^HANAKO", "Ideographic": "道東^花子", "Phonetic": "ドウトウ^ハナコ" }]);
        for (wanted, expected) in [
            (json!({ "Alphabetic": "doto*" }), true),
            (json!({ "Alphabetic": "ＤＯＴＯ^*" }), true),
            (json!({ "Alphabetic": "道東*" }), true),
            (json!({ "Ideographic": "道東^花子" }), true),
            (json!({ "Phonetic": "どうとう*" }), true),
            (json!({ "Alphabetic": "DOTO*", "Ideographic": "札幌*" }), false),
            (json!({ "Alphabetic": "DOTO" }), false),
            (json!({ "Alphabetic": "" }), true),
        ] {
            assert_eq!(fits(&key(Vr::PN, json!([wanted])), &name), expected, "{wanted}");
        }
    }
}
