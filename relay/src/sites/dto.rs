//! What the API says about sites.

use serde::{Deserialize, Serialize};
use tancho_store::sites as store;
use utoipa::ToSchema;

/// A hospital or reading centre.
#[derive(Debug, Serialize, ToSchema)]
pub struct Site {
    /// Id.
    pub id: String,
    /// Short code, unique in the network.
    pub code: String,
    /// Name.
    pub name: String,
    /// `requesting`, `reading` or `both`.
    pub kind: String,
    /// Call-back number for requests that open by themselves.
    pub phone: Option<String>,
    /// When it was made.
    pub created_at_ms: i64,
}

impl From<store::Site> for Site {
    fn from(site: store::Site) -> Self {
        Self {
            id: site.id.into(),
            code: site.code,
            name: site.name,
            kind: site.kind.as_str().to_owned(),
            phone: site.phone,
            created_at_ms: site.created_at_ms,
        }
    }
}

/// Every site.
#[derive(Debug, Serialize, ToSchema)]
pub struct SiteList {
    /// By code.
    pub items: Vec<Site>,
}

/// A site to be made.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct AddSite {
    /// Short code: 1 to 32 letters, digits, `-` and `_`.
    pub code: String,
    /// Name, up to 200 characters.
    pub name: String,
    /// `requesting` (when absent), `reading` or `both`.
    #[serde(default = "requesting")]
    pub kind: String,
    /// Call-back number.
    #[serde(default)]
    pub phone: Option<String>,
}

fn requesting() -> String {
    "requesting".to_owned()
}
