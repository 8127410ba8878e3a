//! What the API says about nodes.

use serde::{Deserialize, Serialize};
use tancho_store::nodes as store;
use tancho_store::studies;
use utoipa::ToSchema;

use crate::ingest::withheld::{self, WithheldInstances};

/// An agent at a site.
#[derive(Debug, Serialize, ToSchema)]
pub struct Node {
    /// Id; also the subject of its certificates.
    pub id: String,
    /// Short code of its site.
    pub site_code: String,
    /// Name of its site.
    pub site_name: String,
    /// `pending` (waits for approval), `active` or `denied`.
    pub state: String,
    /// Whether it is connected now.
    pub connected: bool,
    /// When it was enrolled.
    pub enrolled_at_ms: i64,
    /// When it last said something.
    pub last_seen_at_ms: Option<i64>,
    /// Name and version of its program.
    pub agent_version: Option<String>,
    /// Its clock minus the relay's; over a minute is alarming.
    pub clock_offset_ms: Option<i64>,
    /// End of its newest certificate.
    pub certificate_not_after_ms: Option<i64>,
}

impl Node {
    pub(super) fn of(node: store::Node, connected: bool) -> Self {
        Self {
            id: node.id.into(),
            site_code: node.site_code,
            site_name: node.site_name,
            state: node.state.as_str().to_owned(),
            connected,
            enrolled_at_ms: node.enrolled_at_ms,
            last_seen_at_ms: node.last_seen_at_ms,
            agent_version: node.agent_version,
            clock_offset_ms: node.clock_offset_ms,
            certificate_not_after_ms: node.certificate_not_after_ms,
        }
    }
}

/// Every node.
#[derive(Debug, Serialize, ToSchema)]
pub struct NodeList {
    /// Oldest first.
    pub items: Vec<Node>,
}

/// A study of which instances stay at its site. It says nothing of the patient: the site knows the study by its UID.
#[derive(Debug, Serialize, ToSchema)]
pub struct WithholdingStudy {
    /// Short code of the site.
    pub site_code: String,
    /// Name of the site.
    pub site_name: String,
    /// The study.
    pub study_instance_uid: String,
    /// What stays there, and why.
    pub withheld: Vec<WithheldInstances>,
    /// Instances of it that came.
    pub verified: i64,
    /// When the site last said something of the study.
    pub updated_at_ms: i64,
}

impl WithholdingStudy {
    pub(super) fn of(study: studies::WithholdingStudy) -> Self {
        Self {
            withheld: withheld::of(&study.withheld),
            site_code: study.site_code,
            site_name: study.site_name,
            study_instance_uid: study.study_instance_uid,
            verified: study.n_verified,
            updated_at_ms: study.updated_at_ms,
        }
    }
}

/// What stays at the sites.
#[derive(Debug, Serialize, ToSchema)]
pub struct WithholdingStudyList {
    /// What was said last first; at most 500.
    pub items: Vec<WithholdingStudy>,
}

/// A node to be invited.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct InviteNode {
    /// Short code of the site it will belong to.
    pub site: String,
    /// Life of the code in milliseconds, at most 24 hours; 24 hours when absent.
    #[serde(default)]
    pub ttl_ms: Option<i64>,
}

/// An invitation.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct Invitation {
    /// Id for the audit trail.
    pub id: String,
    /// The one-time code for `tancho-agent enroll`; shown once, absent when the command is repeated.
    pub code: Option<String>,
    /// From this instant it is worthless.
    pub expires_at_ms: i64,
}
