//! Sites: the hospitals and reading centres of a network.
//!
//! Codes and names of the sites of one network are known to everyone in it; what belongs to a site is not.

use tancho_domain::access::Scope;
use tancho_domain::ids::SiteId;
use tancho_domain::search_key::text_key;

use crate::db::Tx;
use crate::error::StoreError;

/// What a site does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SiteKind {
    /// Sends studies and asks for readings.
    Requesting,
    /// Reads.
    Reading,
    /// Does both.
    Both,
}

impl SiteKind {
    /// The stable text form.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Requesting => "requesting",
            Self::Reading => "reading",
            Self::Both => "both",
        }
    }

    /// Parses the stable text form.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Requesting, Self::Reading, Self::Both]
            .into_iter()
            .find(|kind| kind.as_str() == text)
    }

    /// Whether readings can be asked from it.
    #[must_use]
    pub fn reads(self) -> bool {
        matches!(self, Self::Reading | Self::Both)
    }
}

impl TryFrom<String> for SiteKind {
    type Error = StoreError;

    fn try_from(text: String) -> Result<Self, StoreError> {
        Self::parse(&text).ok_or_else(|| StoreError::Corrupt("site kind".to_owned()))
    }
}

/// A hospital or reading centre.
#[derive(Debug, Clone, PartialEq, Eq, sqlx::FromRow)]
pub struct Site {
    /// Its id.
    #[sqlx(try_from = "String")]
    pub id: SiteId,
    /// Short code, unique in the network.
    pub code: String,
    /// Name as people say it.
    pub name: String,
    /// What it does.
    #[sqlx(try_from = "String")]
    pub kind: SiteKind,
    /// Number the reader calls back when a request opens by itself.
    pub phone: Option<String>,
    /// When it was made.
    pub created_at_ms: i64,
}

/// What a new site is made of.
#[derive(Debug, Clone)]
pub struct NewSite<'a> {
    /// Id made at the edge.
    pub id: &'a SiteId,
    /// Short code, unique in the network.
    pub code: &'a str,
    /// Name as people say it.
    pub name: &'a str,
    /// What it does.
    pub kind: SiteKind,
    /// Call-back number.
    pub phone: Option<&'a str>,
}

/// Adds a site; `Conflict` when the code is taken.
pub async fn add_site(
    tx: &mut Tx,
    scope: &Scope,
    new: &NewSite<'_>,
    now_ms: i64,
) -> Result<Site, StoreError> {
    fetch_one!(
        tx,
        Site,
        "insert into sites (id, network_id, code, name, kind, phone, created_at_ms, search_key) \
         values ($1, $2, $3, $4, $5, $6, $7, $8) returning id, code, name, kind, phone, created_at_ms",
        new.id.as_str(),
        scope.network_id.as_str(),
        new.code,
        new.name,
        new.kind.as_str(),
        new.phone,
        now_ms,
        text_key(new.name)
    )
}

/// The sites of the network, by code.
pub async fn list_sites(tx: &mut Tx, scope: &Scope) -> Result<Vec<Site>, StoreError> {
    let text =
        "select id, code, name, kind, phone, created_at_ms from sites where network_id = $1 order by code";
    fetch_all!(tx, Site, text, scope.network_id.as_str())
}

/// One site of the network.
pub async fn get_site(tx: &mut Tx, scope: &Scope, id: &SiteId) -> Result<Site, StoreError> {
    let text =
        "select id, code, name, kind, phone, created_at_ms from sites where network_id = $1 and id = $2";
    fetch_one!(tx, Site, text, scope.network_id.as_str(), id.as_str())
}

/// The site with this code.
pub async fn find_site_by_code(tx: &mut Tx, scope: &Scope, code: &str) -> Result<Site, StoreError> {
    let text =
        "select id, code, name, kind, phone, created_at_ms from sites where network_id = $1 and code = $2";
    fetch_one!(tx, Site, text, scope.network_id.as_str(), code)
}
