//! What a search asks for (PS3.18 sections 8.3.4 and 10.6.1): keys, fields, and the part of the answer.

use axum::http::StatusCode;
use tancho_imaging::dictionary;
use tancho_imaging::element::{Tag, Vr};

use super::matching::{self, Pattern};
use crate::error::ApiError;

/// Keys of one search.
const KEYS_MAX: usize = 32;
/// Tags and keywords below each other that name one attribute.
const PATH_TAGS_MAX: usize = 8;
/// Attributes that `includefield` names.
const FIELDS_MAX: usize = 256;

/// A search as it was asked.
#[derive(Debug, Default)]
pub(super) struct Search {
    pub(super) keys: Vec<Key>,
    pub(super) fields: Fields,
    /// Patient's Name is found by any of its writings.
    pub(super) is_fuzzy: bool,
    pub(super) limit: Option<usize>,
    pub(super) offset: usize,
}

/// One attribute with the values that match.
#[derive(Debug)]
pub(super) struct Key {
    /// Sequences around the attribute, then the attribute.
    pub(super) path: Vec<Tag>,
    pub(super) pattern: Pattern,
    /// The value as it came.
    pub(super) text: String,
}

impl Key {
    /// The attribute of the data set that decides.
    pub(super) fn first(&self) -> Tag {
        self.path.first().copied().unwrap_or(Tag(0, 0))
    }

    /// Whether it is this attribute of the data set itself.
    pub(super) fn is(&self, tag: Tag) -> bool {
        self.path == [tag]
    }
}

/// Attributes wanted besides those that every answer has.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Fields {
    /// All that are known at the level of the search.
    All,
    /// These.
    Listed(Vec<Tag>),
}

impl Default for Fields {
    fn default() -> Self {
        Self::Listed(Vec::new())
    }
}

impl Search {
    /// Reads the parameters of an address. An unknown one is an error, not an unfiltered answer.
    pub(super) fn parse(parameters: &[(String, String)]) -> Result<Self, ApiError> {
        let mut search = Self::default();
        let (mut has_multiple, mut has_empty) = (false, false);
        for (name, value) in parameters {
            match name.as_str() {
                "multiplevaluematching" => has_multiple = flag(name, value)?,
                "emptyvaluematching" => has_empty = flag(name, value)?,
                _ => {}
            }
        }
        let options = matching::Options {
            has_multiple,
            has_empty,
        };
        for (name, value) in parameters {
            match name.as_str() {
                "multiplevaluematching" | "emptyvaluematching" => {}
                "fuzzymatching" => search.is_fuzzy = flag(name, value)?,
                "limit" => search.limit = Some(value.parse().map_err(|_| malformed(name))?),
                "offset" => search.offset = value.parse().map_err(|_| malformed(name))?,
                "includefield" => search.include(value)?,
                _ => {
                    let path = path_of(name).ok_or_else(|| unknown(name))?;
                    let vr = path.last().map_or(Vr::UN, |tag| dictionary::vr_of(*tag, false));
                    let pattern = Pattern::parse(vr, value, options).ok_or_else(|| malformed(name))?;
                    if pattern == Pattern::Any {
                        // Universal matching asks for the attribute (PS3.4 section C.2.2.2.3).
                        search.include(name)?;
                    }
                    search.keys.push(Key {
                        path,
                        pattern,
                        text: value.clone(),
                    });
                }
            }
        }
        if search.keys.len() > KEYS_MAX {
            return Err(ApiError::bad_request(
                "query_malformed",
                format!("at most {KEYS_MAX} keys expected"),
            ));
        }
        Ok(search)
    }

    fn include(&mut self, value: &str) -> Result<(), ApiError> {
        for name in value.split(',').filter(|name| !name.is_empty()) {
            if name == "all" {
                self.fields = Fields::All;
                return Ok(());
            }
            let path = path_of(name).ok_or_else(|| unknown(name))?;
            let Fields::Listed(fields) = &mut self.fields else {
                return Ok(());
            };
            fields.extend(path.first());
            if fields.len() > FIELDS_MAX {
                return Err(malformed("includefield"));
            }
        }
        Ok(())
    }

    /// The key of this attribute of the data set itself.
    pub(super) fn key(&self, tag: Tag) -> Option<&Key> {
        self.keys.iter().find(|key| key.is(tag))
    }
}

/// Tags or keywords, joined by full stops where one is inside the other.
fn path_of(name: &str) -> Option<Vec<Tag>> {
    let path: Option<Vec<Tag>> = name
        .split('.')
        .map(|part| Tag::parse_hex(part).or_else(|| dictionary::tag_of_keyword(part)))
        .collect();
    path.filter(|path| path.len() <= PATH_TAGS_MAX)
}

fn flag(name: &str, value: &str) -> Result<bool, ApiError> {
    match value {
        "true" => Ok(true),
        "false" => Ok(false),
        _ => Err(malformed(name)),
    }
}

fn malformed(name: &str) -> ApiError {
    ApiError::bad_request("query_malformed", format!("{} is malformed", printable(name)))
}

fn unknown(name: &str) -> ApiError {
    ApiError::new(
        StatusCode::BAD_REQUEST,
        "query_not_supported",
        format!("{} is no attribute of the standard", printable(name)),
    )
}

/// Only the letters and digits a keyword may have: the name may hold what a person typed.
fn printable(name: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || c == '.';
    name.chars().filter(|c| is_plain(*c)).take(64).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(query: &[(&str, &str)]) -> Result<Search, String> {
        let owned: Vec<(String, String)> = query
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect();
        Search::parse(&owned).map_err(|error| error.code.into_owned())
    }

    #[test]
    fn keys_are_keywords_tags_and_paths() {
        let search = parse(&[
            ("PatientName", "YAMADA*"),
            ("00080060", "CT"),
            ("RequestAttributesSequence.00400009", "S1"),
            ("includefield", "00081030,StudyID"),
            ("includefield", "SeriesDescription"),
            ("StudyTime", ""),
            ("limit", "5"),
            ("offset", "2"),
            ("fuzzymatching", "true"),
        ])
        .unwrap();
        let paths: Vec<&[Tag]> = search.keys.iter().map(|key| key.path.as_slice()).collect();
        assert_eq!(
            paths,
            [
                &[Tag(0x0010, 0x0010)][..],
                &[Tag(0x0008, 0x0060)],
                &[Tag(0x0040, 0x0275), Tag(0x0040, 0x0009)],
                &[Tag(0x0008, 0x0030)],
            ]
        );
        let wanted = [
            Tag(0x0008, 0x1030),
            Tag(0x0020, 0x0010),
            Tag(0x0008, 0x103E),
            Tag(0x0008, 0x0030),
        ];
        assert_eq!(search.fields, Fields::Listed(wanted.to_vec()));
        assert_eq!((search.limit, search.offset, search.is_fuzzy), (Some(5), 2, true));
        let all = parse(&[("includefield", "all"), ("includefield", "StudyID")]).unwrap();
        assert_eq!(all.fields, Fields::All);
    }

    #[test]
    fn what_is_not_understood_is_refused() {
        for (query, code) in [
            (("PatientNames", "x"), "query_not_supported"),
            (("PatientName.", "x"), "query_not_supported"),
            (("includefield", "Nothing"), "query_not_supported"),
            (("fuzzymatching", "yes"), "query_malformed"),
            (("limit", "-1"), "query_malformed"),
            (("offset", "x"), "query_malformed"),
            (("StudyDate", "2026"), "query_malformed"),
            (("StudyInstanceUID", "1.2.x"), "query_malformed"),
            (("SeriesNumber", "one"), "query_malformed"),
        ] {
            assert_eq!(parse(&[query]).err().as_deref(), Some(code), "{query:?}");
        }
        let listed = |n: usize| vec!["1.2.3"; n].join(",");
        assert!(parse(&[("StudyInstanceUID", &listed(100))]).is_ok());
        let too_long = parse(&[("StudyInstanceUID", &listed(101))]);
        assert_eq!(too_long.err().as_deref(), Some("query_malformed"));
        let many = [("PatientID", "1"); KEYS_MAX + 1];
        assert_eq!(parse(&many).err().as_deref(), Some("query_malformed"));
    }
}
