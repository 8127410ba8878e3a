//! What the API says about critical results: codes, names and times, no patient and no text.

use serde::Serialize;
use utoipa::ToSchema;

use crate::worklist::dto::PersonName;

/// Red findings that are not acknowledged, soonest target first; then those acknowledged within the last twelve hours.
#[derive(Debug, Serialize, ToSchema)]
pub struct CriticalResults {
    /// At most 500.
    pub items: Vec<CriticalResult>,
    /// The relay's time, for clocks on the page.
    pub server_time_ms: i64,
}

/// A signed version with a red finding.
#[derive(Debug, Serialize, ToSchema)]
pub struct CriticalResult {
    /// The report.
    pub report_id: String,
    /// The version.
    pub version: i64,
    /// The request it answers.
    pub reading_request_id: String,
    /// What people say on the phone.
    pub case_code: String,
    /// `crit_red`.
    pub criticality: String,
    /// Name of the site that asked.
    pub requesting_site: String,
    /// Name of the site that read.
    pub reading_site: String,
    /// Who signed it.
    pub reader: PersonName,
    /// When.
    pub signed_at_ms: i64,
    /// By when it should be acknowledged.
    pub acknowledge_by_ms: i64,
    /// Everybody who was told of this version, in the order of the first notice.
    pub told: Vec<Told>,
    /// When it was acknowledged.
    pub acknowledged_at_ms: Option<i64>,
    /// By whom.
    pub acknowledged_by: Option<PersonName>,
}

/// A person who was told.
#[derive(Debug, Serialize, ToSchema)]
pub struct Told {
    /// Who.
    pub person: PersonName,
    /// In which role.
    pub role: String,
    /// Name of the person's site.
    pub site: String,
    /// When the first notice was made.
    pub told_at_ms: i64,
    /// When the person's page first fetched one.
    pub delivered_at_ms: Option<i64>,
    /// When the person first read one.
    pub read_at_ms: Option<i64>,
}
