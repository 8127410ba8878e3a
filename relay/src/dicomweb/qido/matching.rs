//! Attribute matching (PS3.4 section C.2.2.2) on the DICOM JSON model: single value, list of UIDs, universal, wildcard,
//! range, sequence, multiple values and empty value.

use serde_json::Value;
use tancho_imaging::element::{Tag, Vr};

/// Values of one list.
const LIST_MAX: usize = 1000;
/// UIDs of one list; each is looked up.
const UIDS_MAX: usize = 100;

/// What the client asked matching to understand besides the forms that always hold.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Options {
    /// Values separated by backslashes match one by one.
    pub(super) has_multiple: bool,
    /// Two quotation marks match what has no value.
    pub(super) has_empty: bool,
}

/// The values of an attribute that match.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Pattern {
    /// Every value and none.
    Any,
    /// No value.
    Empty,
    /// One of these, exactly.
    OneOf(Vec<String>),
    /// This number.
    Number(f64),
    /// Dates, times or both from the first to the second, each with what it leaves out.
    Between(Option<String>, Option<String>),
    /// One of these texts with `*` for any letters and `?` for one.
    Text(Vec<Vec<char>>),
    /// One of these names, each in groups; letters of either case.
    Name(Vec<[Vec<char>; 3]>),
    /// A sequence or binary value that only universal matching finds.
    Nothing,
}

impl Pattern {
    /// Reads a value for an attribute of this representation; `None` when it can be none.
    pub(super) fn parse(vr: Vr, value: &str, options: Options) -> Option<Self> {
        if value.is_empty() || (value.chars().all(|c| c == '*') && takes_wildcards(vr)) {
            return Some(Self::Any);
        }
        if options.has_empty && value == "\"\"" {
            return Some(Self::Empty);
        }
        match vr {
            Vr::UI => {
                let uids: Vec<String> = value
                    .split([',', '\\'])
                    .map(|uid| uid.trim().to_owned())
                    .collect();
                let is_uid = |uid: &String| {
                    (1..=64).contains(&uid.len())
                        && uid.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.')
                };
                (uids.len() <= UIDS_MAX && uids.iter().all(is_uid)).then_some(Self::OneOf(uids))
            }
            Vr::DA => between(value, |text| {
                (text.len() == 8 && text.bytes().all(|byte| byte.is_ascii_digit())).then(|| text.to_owned())
            }),
            Vr::TM => between(value, |text| padded(text, 2, 6)),
            Vr::DT => between(value, |text| padded(without_offset(text), 4, 14)),
            Vr::DS | Vr::FD | Vr::FL | Vr::IS | Vr::SL | Vr::SS | Vr::SV | Vr::UL | Vr::US | Vr::UV => {
                value.trim().parse().ok().map(Self::Number)
            }
            Vr::AT => Some(Self::OneOf(vec![value.to_ascii_uppercase()])),
            Vr::PN => {
                let names = listed(value, options.has_multiple).map(|name| groups(&name));
                Some(Self::Name(names.collect()))
            }
            Vr::CS => {
                // No code holds a comma, and clients write lists of modalities with it.
                let codes = value.split([',', '\\']).map(|code| code.trim().chars().collect());
                Some(Self::Text(codes.collect()))
            }
            _ if takes_wildcards(vr) => {
                let texts = listed(value, options.has_multiple).map(|text| text.trim_end().chars().collect());
                Some(Self::Text(texts.collect()))
            }
            _ => Some(Self::Nothing),
        }
        .filter(|pattern| pattern.len() <= LIST_MAX)
    }

    fn len(&self) -> usize {
        match self {
            Self::OneOf(values) => values.len(),
            Self::Text(texts) => texts.len(),
            Self::Name(names) => names.len(),
            _ => 1,
        }
    }
}

/// Whether the attribute at `path` of a data set matches; inside a sequence one item is enough.
pub(super) fn matches(model: &Value, path: &[Tag], pattern: &Pattern) -> bool {
    let Some((tag, inner)) = path.split_first() else {
        return false;
    };
    let values = model[tag.to_hex()]["Value"].as_array();
    let values = values.map(Vec::as_slice).unwrap_or_default();
    if !inner.is_empty() {
        let is_universal = matches!(pattern, Pattern::Any | Pattern::Empty) && values.is_empty();
        return is_universal || values.iter().any(|item| matches(item, inner, pattern));
    }
    match pattern {
        Pattern::Any => true,
        Pattern::Empty => values.iter().all(Value::is_null),
        Pattern::Nothing => false,
        Pattern::OneOf(wanted) => values
            .iter()
            .filter_map(Value::as_str)
            .any(|value| wanted.iter().any(|wanted| wanted == value)),
        Pattern::Number(wanted) => values.iter().any(|value| number(value) == Some(*wanted)),
        Pattern::Between(from, to) => values
            .iter()
            .filter_map(Value::as_str)
            .any(|value| is_between(value, from.as_deref(), to.as_deref())),
        Pattern::Text(wanted) => values.iter().filter_map(Value::as_str).any(|value| {
            let value: Vec<char> = value.chars().collect();
            wanted.iter().any(|wanted| is_like(&value, wanted))
        }),
        Pattern::Name(wanted) => values
            .iter()
            .any(|value| wanted.iter().any(|wanted| is_named(value, wanted))),
    }
}

fn takes_wildcards(vr: Vr) -> bool {
    matches!(
        vr,
        Vr::AE | Vr::AS | Vr::CS | Vr::LO | Vr::LT | Vr::PN | Vr::SH | Vr::ST | Vr::UC | Vr::UR | Vr::UT
    )
}

fn listed(value: &str, has_multiple: bool) -> impl Iterator<Item = String> {
    let separator = if has_multiple { '\\' } else { '\0' };
    value
        .split(separator)
        .map(str::to_owned)
        .collect::<Vec<_>>()
        .into_iter()
}

fn number(value: &Value) -> Option<f64> {
    value.as_f64().or_else(|| value.as_str()?.trim().parse().ok())
}

/// A single value, or a range of which one end may be left out.
fn between(value: &str, read: impl Fn(&str) -> Option<String>) -> Option<Pattern> {
    let value = value.trim();
    let ends = |from: &str, to: &str| {
        let end = |text: &str| {
            if text.is_empty() {
                Some(None)
            } else {
                read(text).map(Some)
            }
        };
        (!from.is_empty() || !to.is_empty())
            .then(|| Some(Pattern::Between(end(from)?, end(to)?)))
            .flatten()
    };
    if let Some(single) = read(value) {
        return Some(Pattern::Between(Some(single.clone()), Some(single)));
    }
    value
        .match_indices('-')
        .find_map(|(at, _)| ends(value[..at].trim(), value[at + 1..].trim()))
}

/// Digits of a time, or of a date with time: at least `least`, in pairs up to `whole`, then a fraction.
fn padded(text: &str, least: usize, whole: usize) -> Option<String> {
    let (digits, fraction) = text.split_once('.').unwrap_or((text, ""));
    let is_digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    let has_fraction = text.contains('.');
    let is_read = is_digits(digits)
        && is_digits(fraction)
        && (least..=whole).contains(&digits.len())
        && digits.len() % 2 == 0
        && (!has_fraction || (digits.len() == whole && (1..=6).contains(&fraction.len())));
    is_read.then(|| text.to_owned())
}

/// Without the offset from UTC that a date with time may end in; values are compared as they are written.
fn without_offset(text: &str) -> &str {
    match text.rfind(['+', '-']) {
        Some(at) if at >= 4 && text.len() - at == 5 && text[at + 1..] <= *"1400" => &text[..at],
        _ => text,
    }
}

/// Whether a date or time lies between two: the first begins with what it says, the second ends with it.
fn is_between(value: &str, from: Option<&str>, to: Option<&str>) -> bool {
    let value: String = if value.contains(':') {
        value.replace(':', "")
    } else {
        without_offset(value).to_owned()
    };
    let begins = |from: &str| fixed(&value, '0') >= fixed(from, '0');
    let ends = |to: &str| fixed(&value, '0') <= fixed(to, '9');
    from.is_none_or(begins) && to.is_none_or(ends)
}

/// The digits alone, filled up behind: lengths of dates and times differ by what they leave out only.
fn fixed(text: &str, filling: char) -> String {
    let digits = text.chars().filter(char::is_ascii_digit);
    digits.chain(std::iter::repeat(filling)).take(20).collect()
}

/// Groups of a name in one case, without the delimiters that stand for nothing.
fn groups(name: &str) -> [Vec<char>; 3] {
    let mut groups = name.splitn(3, '=');
    std::array::from_fn(|_| folded(groups.next().unwrap_or_default()))
}

fn folded(group: &str) -> Vec<char> {
    group
        .trim_end_matches(['^', ' '])
        .chars()
        .flat_map(char::to_lowercase)
        .collect()
}

/// A name asked for without groups is found in any of them.
fn is_named(value: &Value, wanted: &[Vec<char>; 3]) -> bool {
    let group = |key: &str| folded(value[key].as_str().unwrap_or_default());
    let has = [group("Alphabetic"), group("Ideographic"), group("Phonetic")];
    if wanted[1..].iter().all(Vec::is_empty) {
        return has.iter().any(|has| is_like(has, &wanted[0]));
    }
    has.iter()
        .zip(wanted)
        .all(|(has, wanted)| wanted.is_empty() || is_like(has, wanted))
}

/// Wildcard matching in time that grows with the product of both lengths at most.
fn is_like(text: &[char], pattern: &[char]) -> bool {
    let (mut at, mut of) = (0, 0);
    let mut retry = None;
    while at < text.len() {
        match pattern.get(of) {
            Some('*') => {
                retry = Some((at, of));
                of += 1;
            }
            Some(c) if *c == '?' || *c == text[at] => {
                at += 1;
                of += 1;
            }
            _ => match retry {
                Some((from, star)) => {
                    retry = Some((from + 1, star));
                    at = from + 1;
                    of = star + 1;
                }
                None => return false,
            },
        }
    }
    pattern[of..].iter().all(|c| *c == '*')
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn matched(vr: Vr, asked: &str, values: Value) -> bool {
        with_options(vr, asked, values, Options::default())
    }

    fn with_options(vr: Vr, asked: &str, values: Value, options: Options) -> bool {
        let tag = Tag(0x0008, 0x1030);
        let model = json!({ "00081030": { "vr": vr.as_str(), "Value": values } });
        let pattern = Pattern::parse(vr, asked, options).unwrap();
        matches(&model, &[tag], &pattern)
    }

    #[test]
    fn single_values_and_wildcards() {
        assert!(matched(Vr::LO, "CT head", json!(["CT head"])));
        assert!(!matched(Vr::LO, "ct head", json!(["CT head"])));
        assert!(matched(Vr::LO, "CT*", json!(["MR", "CT head"])));
        assert!(matched(Vr::LO, "*he?d", json!(["CT head"])));
        assert!(!matched(Vr::LO, "he?d", json!(["CT head"])));
        assert!(matched(Vr::LO, "頭?C*", json!(["頭部CT"])));
        assert!(matched(Vr::LO, "*", json!([])));
        assert!(matched(Vr::LO, "", json!([])));
        assert!(!matched(Vr::LO, "?", json!([])));
        assert!(matched(Vr::IS, "7", json!([7])));
        assert!(matched(Vr::DS, "0.50", json!([1.0, 0.5])));
        assert!(!matched(Vr::IS, "7", json!([17])));
        let hard: String = "a".repeat(2000);
        assert!(!matched(Vr::LO, "*a*a*a*a*b", json!([hard])));
    }

    #[test]
    fn lists() {
        assert!(matched(Vr::UI, "1.2,1.3", json!(["1.3"])));
        assert!(matched(Vr::UI, "1.2\\1.3", json!(["1.3"])));
        assert!(!matched(Vr::UI, "1.2,1.3", json!(["1.30"])));
        assert!(matched(Vr::CS, "CT,MR", json!(["SR", "MR"])));
        let multiple = Options {
            has_multiple: true,
            has_empty: true,
        };
        assert!(with_options(Vr::LO, "A\\B*", json!(["Bc"]), multiple));
        assert!(!matched(Vr::LO, "A\\B*", json!(["Bc"])));
        assert!(with_options(Vr::LO, "\"\"", json!([]), multiple));
        assert!(with_options(Vr::LO, "\"\"", json!([null]), multiple));
        assert!(!with_options(Vr::LO, "\"\"", json!(["x"]), multiple));
    }

    #[test]
    fn ranges() {
        for (asked, value, expected) in [
            ("20260131", "20260131", true),
            ("20260101-20260131", "20260131", true),
            ("20260101-", "20251231", false),
            ("-20260131", "20260131", true),
            ("-20260131", "20260201", false),
        ] {
            assert_eq!(
                matched(Vr::DA, asked, json!([value])),
                expected,
                "{asked} {value}"
            );
        }
        for (asked, value, expected) in [
            ("1030", "103059.999", true),
            ("1030", "103100", false),
            ("10-1130", "113059", true),
            ("10-1130", "1131", false),
            ("093000.5-", "093000.49", false),
            ("-0930", "093059.999999", true),
            ("10", "10:15:00", true),
        ] {
            assert_eq!(
                matched(Vr::TM, asked, json!([value])),
                expected,
                "{asked} {value}"
            );
        }
        for (asked, value, expected) in [
            ("2026", "20260131120000", true),
            ("20260131-202602", "20260228235959.5+0900", true),
            ("20260131120000+0900-", "20260131115959", false),
            ("-2025", "20260101", false),
        ] {
            assert_eq!(
                matched(Vr::DT, asked, json!([value])),
                expected,
                "{asked} {value}"
            );
        }
        assert!(!matched(Vr::DA, "20260131", json!([])));
        for (vr, bad) in [
            (Vr::DA, "2026-01-31"),
            (Vr::DA, "-"),
            (Vr::TM, "1:30"),
            (Vr::TM, "103"),
            (Vr::DT, "now"),
        ] {
            assert_eq!(Pattern::parse(vr, bad, Options::default()), None, "{bad}");
        }
    }

    #[test]
    fn names_are_found_in_every_group_and_case() {
        let name = json!([{ "Alphabetic": "Doto^Hanako", "Ideographic": "道東^花子", "Phonetic": "ドウトウ^ハナコ" }]);
        for (asked, expected) in [
            ("DOTO^HANAKO", true),
            ("doto^hanako^^", true),
            ("doto*", true),
            ("doto", false),
            ("道東^*", true),
            ("*ハナコ", true),
            ("doto*=道東*", true),
            ("doto*=山田*", false),
            ("=道東^花子", true),
        ] {
            assert_eq!(matched(Vr::PN, asked, name.clone()), expected, "{asked}");
        }
        assert!(!matched(Vr::PN, "doto", json!([])));
    }

    #[test]
    fn one_item_of_a_sequence_is_enough() {
        let model = json!({ "00400275": { "vr": "SQ", "Value": [
            { "00400009": { "vr": "SH", "Value": ["S1"] } },
            { "00400009": { "vr": "SH", "Value": ["S2"] } },
        ] } });
        let path = [Tag(0x0040, 0x0275), Tag(0x0040, 0x0009)];
        let pattern = |text| Pattern::parse(Vr::SH, text, Options::default()).unwrap();
        assert!(matches(&model, &path, &pattern("S2")));
        assert!(!matches(&model, &path, &pattern("S3")));
        assert!(matches(&json!({}), &path, &Pattern::Any));
        assert!(!matches(&json!({}), &path, &pattern("S1")));
        assert!(!matches(&model, &path[..1], &Pattern::Nothing));
    }
}
