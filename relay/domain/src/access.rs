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
    pub const ALL: [Self; 6] = [
        Self::Technologist,
        Self::Referrer,
        Self::Reader,
        Self::Liaison,
        Self::Admin,
        Self::Auditor,
    ];

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
            Role::Technologist | Role::Referrer | Role::Reader | Role::Liaison => {
                Reach::Site(self.site_id.clone())
            }
        };
        Scope {
            network_id: self.network_id.clone(),
            reach,
        }
    }
}

/// Something a person may be allowed to do. Every route names exactly one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Action {
    /// See, renew and end one's own session; read the API documents.
    UseOwnSession,
    /// Receive server-sent events; they carry ids only.
    FollowEvents,
    /// Read the finding templates.
    ViewTemplates,
    /// Read the names of the network's sites.
    ViewSites,
    /// List reading requests of one's own reach.
    ListReadingRequests,
    /// Open one reading request with its clinical context.
    ViewReadingRequest,
    /// Send a reading request.
    CreateReadingRequest,
    /// Fill in or correct the clinical context.
    CompleteClinicalContext,
    /// Withdraw a reading request before a report is signed.
    CancelReadingRequest,
    /// Claim a reading request and keep the lease alive.
    ClaimReadingRequest,
    /// Give a claim back.
    ReleaseClaim,
    /// Send a reading request back for missing information.
    ReturnReadingRequest,
    /// Write the draft of a report and have findings evaluated.
    WriteDraft,
    /// Sign a report.
    SignReport,
    /// Add to, or correct, a signed report.
    AddReportAddendum,
    /// Read signed reports.
    ViewReport,
    /// State which version was read and what was done about it.
    AcknowledgeReport,
    /// See which critical results are open, who was told, and who has acknowledged; no patient, no text.
    ViewCriticalResults,
    /// Start a phone-call record and fill it in.
    RecordCall,
    /// Read phone-call records.
    ViewCalls,
    /// Read one's own notices and mark them read.
    UseNotifications,
    /// Read a study's series and instances, and its arrival.
    ViewStudy,
    /// Fetch pixel data and metadata over DICOMweb.
    ViewImages,
    /// Store instances at one's own site over DICOMweb.
    StoreInstances,
    /// Read the audit trail.
    ViewAudit,
    /// Create and change sites.
    ManageSites,
    /// Create and change people.
    ManageUsers,
    /// Invite, list, approve and deny nodes.
    ManageNodes,
}

/// What must hold besides the role before an action is taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Condition {
    /// Nothing more.
    Always,
    /// The row lies in the person's reach (enforced by the store; anything else is "not found").
    InReach,
    /// The person works at the site that asked for the reading.
    RequestingSite,
    /// The person works at the site that reads.
    ReadingSite,
    /// The person holds the claim on the reading request.
    ClaimHolder,
    /// The record was made under the person's own account.
    OwnRecord,
    /// Only rows addressed to the person.
    Recipient,
}

/// One line of the access table: an action and everyone who may take it, under which condition.
/// Whoever is not named is refused.
#[derive(Debug, Clone, Copy)]
pub struct AccessRule {
    /// The action.
    pub action: Action,
    /// Stable name, used in `permissions` of a session and in audit rows.
    pub name: &'static str,
    /// Roles allowed, each with its condition.
    pub allowed: &'static [(Role, Condition)],
}

use Condition::{Always, ClaimHolder, InReach, OwnRecord, ReadingSite, Recipient, RequestingSite};
use Role::{Admin, Auditor, Liaison, Reader, Referrer, Technologist};

const EVERYONE: &[(Role, Condition)] = &[
    (Technologist, Always),
    (Referrer, Always),
    (Reader, Always),
    (Liaison, Always),
    (Admin, Always),
    (Auditor, Always),
];
const CLINICAL: &[(Role, Condition)] = &[
    (Technologist, InReach),
    (Referrer, InReach),
    (Reader, InReach),
    (Liaison, InReach),
];
const REQUESTER: &[(Role, Condition)] = &[(Technologist, RequestingSite), (Referrer, RequestingSite)];

/// The access table. A technologist never reads a report, a liaison officer never sees an image, an
/// administrator sees neither; only the claim's holder writes and signs.
pub const ACCESS_TABLE: &[AccessRule] = &[
    AccessRule {
        action: Action::UseOwnSession,
        name: "use_own_session",
        allowed: EVERYONE,
    },
    AccessRule {
        action: Action::FollowEvents,
        name: "follow_events",
        allowed: &[
            (Technologist, InReach),
            (Referrer, InReach),
            (Reader, InReach),
            (Liaison, InReach),
            (Admin, Always),
        ],
    },
    AccessRule {
        action: Action::ViewTemplates,
        name: "view_templates",
        allowed: CLINICAL,
    },
    AccessRule {
        action: Action::ViewSites,
        name: "view_sites",
        allowed: EVERYONE,
    },
    AccessRule {
        action: Action::ListReadingRequests,
        name: "list_reading_requests",
        allowed: CLINICAL,
    },
    AccessRule {
        action: Action::ViewReadingRequest,
        name: "view_reading_request",
        allowed: CLINICAL,
    },
    AccessRule {
        action: Action::CreateReadingRequest,
        name: "create_reading_request",
        allowed: REQUESTER,
    },
    AccessRule {
        action: Action::CompleteClinicalContext,
        name: "complete_clinical_context",
        allowed: REQUESTER,
    },
    AccessRule {
        action: Action::CancelReadingRequest,
        name: "cancel_reading_request",
        allowed: REQUESTER,
    },
    AccessRule {
        action: Action::ClaimReadingRequest,
        name: "claim_reading_request",
        allowed: &[(Reader, ReadingSite)],
    },
    AccessRule {
        action: Action::ReleaseClaim,
        name: "release_claim",
        allowed: &[(Reader, ClaimHolder)],
    },
    AccessRule {
        action: Action::ReturnReadingRequest,
        name: "return_reading_request",
        allowed: &[(Reader, ClaimHolder)],
    },
    AccessRule {
        action: Action::WriteDraft,
        name: "write_draft",
        allowed: &[(Reader, ClaimHolder)],
    },
    AccessRule {
        action: Action::SignReport,
        name: "sign_report",
        allowed: &[(Reader, ClaimHolder)],
    },
    AccessRule {
        action: Action::AddReportAddendum,
        name: "add_report_addendum",
        allowed: &[(Reader, ReadingSite)],
    },
    AccessRule {
        action: Action::ViewReport,
        name: "view_report",
        allowed: &[(Referrer, InReach), (Reader, InReach), (Liaison, InReach)],
    },
    AccessRule {
        action: Action::AcknowledgeReport,
        name: "acknowledge_report",
        allowed: &[(Referrer, RequestingSite)],
    },
    AccessRule {
        action: Action::ViewCriticalResults,
        name: "view_critical_results",
        allowed: &[(Reader, InReach), (Liaison, InReach), (Admin, Always)],
    },
    AccessRule {
        action: Action::RecordCall,
        name: "record_call",
        allowed: &[(Reader, OwnRecord), (Referrer, OwnRecord)],
    },
    AccessRule {
        action: Action::ViewCalls,
        name: "view_calls",
        allowed: &[(Referrer, InReach), (Reader, InReach), (Liaison, InReach)],
    },
    AccessRule {
        action: Action::UseNotifications,
        name: "use_notifications",
        allowed: &[
            (Technologist, Recipient),
            (Referrer, Recipient),
            (Reader, Recipient),
            (Liaison, Recipient),
            (Admin, Recipient),
        ],
    },
    AccessRule {
        action: Action::ViewStudy,
        name: "view_study",
        allowed: &[(Technologist, InReach), (Referrer, InReach), (Reader, InReach)],
    },
    AccessRule {
        action: Action::ViewImages,
        name: "view_images",
        allowed: &[(Technologist, InReach), (Referrer, InReach), (Reader, InReach)],
    },
    AccessRule {
        action: Action::StoreInstances,
        name: "store_instances",
        allowed: REQUESTER,
    },
    AccessRule {
        action: Action::ViewAudit,
        name: "view_audit",
        allowed: &[(Admin, Always), (Auditor, Always)],
    },
    AccessRule {
        action: Action::ManageSites,
        name: "manage_sites",
        allowed: &[(Admin, Always)],
    },
    AccessRule {
        action: Action::ManageUsers,
        name: "manage_users",
        allowed: &[(Admin, Always)],
    },
    AccessRule {
        action: Action::ManageNodes,
        name: "manage_nodes",
        allowed: &[(Admin, Always)],
    },
];

impl Action {
    /// Every action, in the order of the table.
    pub fn all() -> impl Iterator<Item = Self> {
        ACCESS_TABLE.iter().map(|rule| rule.action)
    }

    /// The stable text form.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        line(self).name
    }
}

fn line(action: Action) -> &'static AccessRule {
    let found = ACCESS_TABLE.iter().find(|rule| rule.action == action);
    found.expect("every action has a line in the access table, see the test")
}

/// The condition under which a role may take an action, or `None` when it may not at all.
#[must_use]
pub fn condition(role: Role, action: Action) -> Option<Condition> {
    line(action)
        .allowed
        .iter()
        .find(|(allowed, _)| *allowed == role)
        .map(|(_, condition)| *condition)
}

/// Whether a role may take an action when the table's condition holds.
#[must_use]
pub fn allows(role: Role, action: Action) -> bool {
    condition(role, action).is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_complete_and_reads_as_reviewed() {
        let mut text = String::new();
        for rule in ACCESS_TABLE {
            let same = ACCESS_TABLE
                .iter()
                .filter(|other| other.action == rule.action || other.name == rule.name);
            assert_eq!(same.count(), 1, "{}", rule.name);
            assert_eq!(rule.action.as_str(), rule.name);
            let who: Vec<_> = rule
                .allowed
                .iter()
                .map(|(role, condition)| format!("{}:{condition:?}", role.as_str()))
                .collect();
            text.push_str(&format!("{:<26} {}\n", rule.name, who.join(" ")));
        }
        insta::assert_snapshot!(text);
    }

    #[test]
    fn only_readers_sign_and_only_referrers_acknowledge() {
        for role in Role::ALL {
            assert_eq!(allows(role, Action::SignReport), role == Role::Reader);
            assert_eq!(allows(role, Action::AcknowledgeReport), role == Role::Referrer);
        }
        assert!(!allows(Role::Admin, Action::ViewImages));
        assert!(!allows(Role::Technologist, Action::ViewReport));
        assert!(!allows(Role::Liaison, Action::ViewImages));
    }
}
