//! Who may do what: roles, the reach of a person inside a network, and the access table as data.

use serde::{Deserialize, Serialize};

use crate::ids::{NetworkId, SiteId, UserId};

/// What a person is in the network; one role per login.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Radiographer who pushes studies (診療放射線技師).
    Technologist,
    /// Physician who asks for a reading and receives the findings (主治医).
    Referrer,
    /// Specialist who reads (読影医).
    Reader,
    /// Regional liaison office (地域連携室).
    Liaison,
    /// Runs the network; sees no images and no reports.
    Admin,
    /// Reads the audit trail.
    Auditor,
}

impl Role {
    /// Every role, for tables and tests.
    pub const ALL: [Self; 6] =
        [Self::Technologist, Self::Referrer, Self::Reader, Self::Liaison, Self::Admin, Self::Auditor];

    /// The stable text form.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Technologist => "technologist",
            Self::Referrer => "referrer",
            Self::Reader => "reader",
            Self::Liaison => "liaison",
            Self::Admin => "admin",
            Self::Auditor => "auditor",
        }
    }

    /// Parses the stable text form.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|role| role.as_str() == text)
    }
}

/// How far someone sees inside one network. The store applies it to every row it reads or writes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reach {
    /// Every site of the network: administrators, auditors and the relay's own jobs.
    Network,
    /// Reading requests sent by or to this site, and the studies behind them, and this site's own studies.
    Site(SiteId),
}

/// The tenant and the reach of whoever acts; the first parameter of every store function.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scope {
    /// The tenant.
    pub network_id: NetworkId,
    /// How far inside it.
    pub reach: Reach,
}

/// Someone who has logged in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Principal {
    /// The tenant.
    pub network_id: NetworkId,
    /// The person.
    pub user_id: UserId,
    /// What the person is.
    pub role: Role,
    /// The site the person works at.
    pub site_id: SiteId,
}

impl Principal {
    /// The rows this person may touch at all; the access table narrows it by act.
    #[must_use]
    pub fn scope(&self) -> Scope {
        let reach = match self.role {
            Role::Admin | Role::Auditor => Reach::Network,
            Role::Technologist | Role::Referrer | Role::Reader | Role::Liaison => Reach::Site(self.site_id.clone()),
        };
        Scope { network_id: self.network_id.clone(), reach }
    }
}
