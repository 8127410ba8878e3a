//! Identifiers of the DICOM standard, checked when they enter.
//!
//! A peer's identifier that breaks the rules never becomes one of these types, so no path, key or URL
//! can be built from it.

mod era;

use std::fmt;

use serde::{Deserialize, Serialize};

pub use era::japanese_era;

/// Why a text is not a DICOM identifier. The text itself is not repeated: it may carry patient data.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidDicomId {
    /// PS3.5 section 9.1: 1 to 64 characters of digits and full stops, no component with a leading zero.
    #[error("{0} expected: 1 to 64 characters, digits and full stops, no empty component")]
    Uid(&'static str),
    /// PS3.5 section 6.2, VR AE: 1 to 16 characters of the default repertoire, no backslash, no control.
    #[error("application entity title expected: 1 to 16 printable ASCII characters without backslash")]
    AeTitle,
}

/// Longest unique identifier in characters (PS3.5 section 9.1).
pub const UID_CHARS_MAX: usize = 64;

/// Whether `text` is a unique identifier by PS3.5 section 9.1, with one relaxation: a leading zero in a
/// component is taken, since scanners in the field send it and it can do no harm.
#[must_use]
pub fn is_uid(text: &str) -> bool {
    !text.is_empty()
        && text.len() <= UID_CHARS_MAX
        && text
            .split('.')
            .all(|part| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit()))
}

macro_rules! uid {
    ($(#[doc = $doc:literal] $name:ident;)*) => {$(
        #[doc = $doc]
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(String);

        impl $name {
            /// Parses the text after trailing padding (NUL or space) was removed.
            pub fn parse(text: &str) -> Result<Self, InvalidDicomId> {
                let text = text.trim_end_matches(['\0', ' ']);
                if is_uid(text) { Ok(Self(text.to_owned())) } else { Err(InvalidDicomId::Uid(stringify!($name))) }
            }

            /// The identifier as text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl TryFrom<String> for $name {
            type Error = InvalidDicomId;

            fn try_from(text: String) -> Result<Self, InvalidDicomId> {
                Self::parse(&text)
            }
        }

        impl From<$name> for String {
            fn from(uid: $name) -> String {
                uid.0
            }
        }
    )*};
}

uid! {
    /// Study Instance UID (0020,000D).
    StudyInstanceUid;
    /// Series Instance UID (0020,000E).
    SeriesInstanceUid;
    /// SOP Instance UID (0008,0018).
    SopInstanceUid;
    /// SOP Class UID (0008,0016).
    SopClassUid;
    /// Transfer Syntax UID (PS3.5 annex A).
    TransferSyntaxUid;
}

/// Application entity title (PS3.5 section 6.2, VR AE), without the spaces around it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct AeTitle(String);

impl AeTitle {
    /// Parses a title; spaces before and after it do not count.
    pub fn parse(text: &str) -> Result<Self, InvalidDicomId> {
        let text = text.trim_matches(' ');
        let printable = text
            .bytes()
            .all(|byte| (b' '..=b'~').contains(&byte) && byte != b'\\');
        if (1..=16).contains(&text.len()) && printable {
            Ok(Self(text.to_owned()))
        } else {
            Err(InvalidDicomId::AeTitle)
        }
    }

    /// The title as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for AeTitle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl TryFrom<String> for AeTitle {
    type Error = InvalidDicomId;

    fn try_from(text: String) -> Result<Self, InvalidDicomId> {
        Self::parse(&text)
    }
}

impl From<AeTitle> for String {
    fn from(title: AeTitle) -> String {
        title.0
    }
}

/// How soon an object must be at the relay; the order of the variants is the order on the line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Priority {
    /// Stroke code and critical requests: overtakes everything at the next range.
    Stat,
    /// Urgent requests.
    Urgent,
    /// Everything else; keeps a configured share of the line.
    Routine,
}

impl Priority {
    /// The stable text form.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Stat => "stat",
            Self::Urgent => "urgent",
            Self::Routine => "routine",
        }
    }

    /// Parses the stable text form.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        match text {
            "stat" => Some(Self::Stat),
            "urgent" => Some(Self::Urgent),
            "routine" => Some(Self::Routine),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn uids_with_paths_letters_or_length_are_refused() {
        for bad in [
            "",
            "1..2",
            ".1",
            "1.",
            "../1",
            "1/2",
            "1.2a",
            "1.2\0.3",
            &"1".repeat(65),
        ] {
            assert!(StudyInstanceUid::parse(bad).is_err(), "{bad:?}");
        }
        assert_eq!(
            StudyInstanceUid::parse("1.2.840\0").map(String::from),
            Ok("1.2.840".to_owned())
        );
        assert!(StudyInstanceUid::parse(&"1".repeat(64)).is_ok());
    }

    #[test]
    fn ae_titles_lose_their_padding_only() {
        assert_eq!(AeTitle::parse(" CT 1  ").map(String::from), Ok("CT 1".to_owned()));
        assert!(AeTitle::parse("A\\B").is_err());
        assert!(AeTitle::parse("12345678901234567").is_err());
        assert!(AeTitle::parse("   ").is_err());
    }
}
