//! What the API says about a session.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Login and password; without a network the one called `default`.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct LogIn {
    /// Name of the network.
    #[serde(default = "default_network")]
    pub network: String,
    /// What the person types.
    pub login: String,
    /// Never logged, never stored.
    pub password: String,
}

fn default_network() -> String {
    crate::NETWORK_DEFAULT.to_owned()
}

/// Who is logged in.
#[derive(Debug, Serialize, ToSchema)]
pub struct Session {
    /// The person.
    pub user: SessionUser,
    /// The network.
    pub network: SessionNetwork,
    /// When the session ends however much it is used.
    pub expires_at_ms: i64,
    /// What the person may do, by the names of the access table.
    pub permissions: Vec<String>,
    /// Viewers beside the page's own.
    pub viewers: Viewers,
    /// The relay's time, for clocks on the page.
    pub server_time_ms: i64,
}

/// Viewers that are installed beside the page's own.
#[derive(Debug, Serialize, ToSchema)]
pub struct Viewers {
    /// Whether OHIF is there, under `/ohif/`.
    pub ohif: bool,
}

/// The person of a session.
#[derive(Debug, Serialize, ToSchema)]
pub struct SessionUser {
    /// Id.
    pub id: String,
    /// What the person types.
    pub login: String,
    /// Name.
    pub name: String,
    /// `technologist`, `referrer`, `reader`, `liaison`, `admin` or `auditor`.
    pub role: String,
    /// Where the person works.
    pub site: SessionSite,
}

/// The site of a session.
#[derive(Debug, Serialize, ToSchema)]
pub struct SessionSite {
    /// Id.
    pub id: String,
    /// Short code.
    pub code: String,
    /// Name.
    pub name: String,
    /// `requesting`, `reading` or `both`.
    pub kind: String,
}

/// The network of a session.
#[derive(Debug, Serialize, ToSchema)]
pub struct SessionNetwork {
    /// Id.
    pub id: String,
    /// Name.
    pub name: String,
}
