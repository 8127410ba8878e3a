//! Our own identifiers: UUIDs in lower-case text form, made at the edge and never reused.
//!
//! Each kind is its own type so that a site can never be passed where a user is expected.
//! The text form is permanent: it is stored, sent and printed.

use std::fmt;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// A text that is not the canonical form of an identifier.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{kind} expected, as a lower-case UUID")]
pub struct InvalidId {
    kind: &'static str,
}

macro_rules! id {
    ($(#[doc = $doc:literal] $name:ident;)*) => {$(
        #[doc = $doc]
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(String);

        impl $name {
            /// Wraps a UUID made at the edge (version 7, so that ids sort by creation time).
            #[must_use]
            pub fn new(uuid: Uuid) -> Self {
                Self(uuid.hyphenated().to_string())
            }

            /// Parses the canonical text form: 36 characters, lower case, hyphenated.
            pub fn parse(text: &str) -> Result<Self, InvalidId> {
                match Uuid::try_parse(text) {
                    Ok(uuid) if uuid.hyphenated().to_string() == text => Ok(Self(text.to_owned())),
                    _ => Err(InvalidId { kind: stringify!($name) }),
                }
            }

            /// The canonical text form.
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
            type Error = InvalidId;

            fn try_from(text: String) -> Result<Self, InvalidId> {
                Self::parse(&text)
            }
        }

        impl From<$name> for String {
            fn from(id: $name) -> String {
                id.0
            }
        }
    )*};
}

id! {
    /// A network of sites, the tenant: nothing is ever joined across two networks.
    NetworkId;
    /// A hospital or reading centre inside a network.
    SiteId;
    /// A node-agent installed at a site.
    NodeId;
    /// A person with a login.
    UserId;
    /// A login session of a person.
    SessionId;
    /// A study as this relay stores it; two sites sending one Study Instance UID make two of these.
    StudyId;
    /// A series inside a stored study.
    SeriesId;
    /// A stored instance, one revision of one SOP Instance UID from one site.
    InstanceId;
    /// An object in a node's spool.
    ObjectId;
    /// A request for a reading.
    ReadingRequestId;
    /// A report with all its versions.
    ReportId;
    /// One signed, immutable version of a report.
    ReportVersionId;
    /// A phone-call handoff record.
    CallId;
    /// One notice to one person.
    NotificationId;
    /// A job in the outbox.
    JobId;
    /// A command, made where the person acted; repeating it changes nothing.
    CommandId;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_canonical_form_parses() {
        let id = SiteId::new(Uuid::from_u128(7));
        assert_eq!(SiteId::parse(id.as_str()), Ok(id.clone()));
        assert!(SiteId::parse(&id.as_str().replace('-', "")).is_err());
        assert!(SiteId::parse("00000000-0000-0000-0000-00000000000G").is_err());
        assert!(SiteId::parse("../../etc/passwd").is_err());
    }
}
