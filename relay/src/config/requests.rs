//! `[requests]`: rules for reading requests.

use super::source::Section;

/// How long a claim holds without a sign of life, by default.
const CLAIM_LEASE_MINUTES_DEFAULT: i64 = 10;

/// Rules for reading requests.
#[derive(Debug, Clone)]
pub struct RequestsConfig {
    /// Code of the site that reads what names no reader; needed when the network has more than one reading site.
    pub default_reading_site: Option<String>,
    /// How long a claim holds without a heartbeat, in milliseconds.
    pub claim_lease_ms: i64,
    /// Rules that open a request when a study arrives; the first that matches decides.
    pub open_rules: Vec<OpenRule>,
}

/// Opens a request by itself when an arriving study matches everything that is set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpenRule {
    /// Called AE title.
    pub called_ae: Option<String>,
    /// Calling AE title.
    pub calling_ae: Option<String>,
    /// Modality (0008,0060).
    pub modality: Option<String>,
    /// Body Part Examined (0018,0015).
    pub body_part: Option<String>,
    /// Urgency the request gets: `stroke_code`, `critical`, `urgent`, `routine` or `elective`.
    pub urgency: String,
}

/// Urgencies a rule may give (clinical.md 2.2).
const URGENCIES: [(&str, &str); 5] = [
    ("stroke_code", "stroke_code"),
    ("critical", "critical"),
    ("urgent", "urgent"),
    ("routine", "routine"),
    ("elective", "elective"),
];

impl RequestsConfig {
    pub(super) fn read(section: &mut Section<'_>) -> Self {
        let minutes = section
            .integer("claim_lease_minutes", 1..=24 * 60)
            .unwrap_or(CLAIM_LEASE_MINUTES_DEFAULT);
        Self {
            default_reading_site: section.text("default_reading_site"),
            claim_lease_ms: minutes * 60_000,
            open_rules: section.list("open_rules", read_rule),
        }
    }
}

fn read_rule(rule: &mut Section<'_>) -> Option<OpenRule> {
    let called_ae = rule.text("called_ae");
    let calling_ae = rule.text("calling_ae");
    let modality = rule.text("modality");
    let body_part = rule.text("body_part");
    let urgency = rule.word("urgency", &URGENCIES);
    if urgency.is_none() {
        rule.problem("urgency", "missing");
    }
    Some(OpenRule {
        called_ae,
        calling_ae,
        modality,
        body_part,
        urgency: urgency?.to_owned(),
    })
}
