//! Structured findings: template definitions as data, their validation, computed fields and narrative.
//!
//! The definitions are the JSON files beside this module, versioned `id@semver`; a signed report keeps the whole
//! definition it was written with. What is unanswered stays unanswered: nothing here fills in "absent".

use std::sync::LazyLock;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

pub mod compute;
pub mod evaluate;
pub mod narrative;
pub mod validate;

pub use evaluate::{BlockEvaluation, Evaluation, FindingBlock, evaluate};
pub use validate::{Checked, Problem, Severity, check};

/// Answers by field id.
pub type Answers = Map<String, Value>;

/// A text in both languages of the product.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Label {
    /// Japanese.
    pub ja: String,
    /// English.
    pub en: String,
}

/// What a template is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TemplateKind {
    /// A finding block of a report.
    Finding,
    /// A block embedded in other templates.
    Block,
    /// The frame of every report.
    Report,
    /// The clinical context of a request.
    Context,
    /// Recommended dispositions: one group of sub-fields for each code.
    Disposition,
}

/// How a field is answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FieldType {
    /// One code of the options.
    Enum,
    /// A set of codes of the options.
    Multi,
    /// A whole number.
    Int,
    /// A number with at most the given decimals.
    Dec,
    /// True or false.
    Bool,
    /// Free text.
    Text,
    /// An instant, RFC 3339 with offset.
    Dt,
    /// An object of the group's fields.
    Group,
    /// Any number of objects of the group's fields.
    List,
    /// Computed by the relay, never typed.
    Calc,
}

/// Whether a field has to be answered before signing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Required {
    /// In every case.
    Always,
    /// When the field's condition holds.
    Conditional,
    /// Never.
    Optional,
}

/// One code a field may be answered with.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OptionDefinition {
    /// Stable code.
    pub code: String,
    /// What a person reads.
    pub label: Label,
    /// In a set: this answer excludes every other.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub exclusive: bool,
}

/// Where a condition looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ConditionOf {
    /// The answers beside the field.
    #[default]
    Block,
    /// The clinical context of the request.
    Context,
}

/// When a conditional field has to be answered.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged, deny_unknown_fields)]
pub enum Condition {
    /// The field was answered with one of these codes.
    Has {
        /// Field id.
        field: String,
        /// Codes.
        has: Vec<String>,
        /// Where the field is.
        #[serde(default, skip_serializing_if = "is_block")]
        of: ConditionOf,
    },
    /// The field is a number above this.
    Above {
        /// Field id.
        field: String,
        /// Limit, not included.
        above: f64,
    },
    /// None of these fields was answered.
    Missing {
        /// Field ids.
        missing: Vec<String>,
    },
}

fn is_block(of: &ConditionOf) -> bool {
    *of == ConditionOf::Block
}

/// One field of a template.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FieldDefinition {
    /// Stable id, unique in its group.
    pub id: String,
    /// What a person reads.
    pub label: Label,
    /// How it is answered.
    #[serde(rename = "type")]
    pub field_type: FieldType,
    /// Unit in UCUM.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unit: Option<String>,
    /// Smallest number accepted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min: Option<f64>,
    /// Largest number accepted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max: Option<f64>,
    /// Numbers above this are unusual and ask for confirmation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub warn_above: Option<f64>,
    /// Decimals accepted and shown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub decimals: Option<u8>,
    /// Longest text in characters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub chars_max: Option<usize>,
    /// Codes of `enum` and `multi`, texts of a computed code.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub options: Option<Vec<OptionDefinition>>,
    /// Whether it has to be answered.
    pub required: Required,
    /// When it has to be, if conditional.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub condition: Option<Condition>,
    /// Fields of a group or of each entry of a list.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group_fields: Option<Vec<FieldDefinition>>,
    /// The only answer with which the template may be signed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub must_be: Option<bool>,
    /// An instant that may not lie in the future.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub not_future: bool,
    /// An instant that may not lie after this other field.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_after: Option<String>,
    /// Whether the narrative mentions it.
    #[serde(default = "yes", skip_serializing_if = "Clone::clone")]
    pub narrative: bool,
    /// In the files only: the group is the fields of this block.
    #[serde(default, skip_serializing)]
    include: Option<String>,
}

fn yes() -> bool {
    true
}

impl FieldDefinition {
    /// The option with this code.
    #[must_use]
    pub fn option(&self, code: &str) -> Option<&OptionDefinition> {
        self.options.iter().flatten().find(|option| option.code == code)
    }

    /// The fields of a group or list.
    #[must_use]
    pub fn children(&self) -> &[FieldDefinition] {
        self.group_fields.as_deref().unwrap_or_default()
    }
}

/// A template: what can be answered, and what must be.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TemplateDefinition {
    /// Stable id.
    pub id: String,
    /// Semantic version.
    pub version: String,
    /// What it is for.
    pub kind: TemplateKind,
    /// What a person reads.
    pub title: Label,
    /// Using the template states that something is there, so that a key image is due.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub asserts_finding: bool,
    /// May not stand beside any other finding block.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub excludes_others: bool,
    /// The fields in the order a person reads them.
    pub fields: Vec<FieldDefinition>,
}

impl TemplateDefinition {
    /// `id@version`, as clients name it.
    #[must_use]
    pub fn name(&self) -> String {
        format!("{}@{}", self.id, self.version)
    }

    /// The field with this id on the first level.
    #[must_use]
    pub fn field(&self, id: &str) -> Option<&FieldDefinition> {
        self.fields.iter().find(|field| field.id == id)
    }
}

const SOURCES: [&str; 6] = [
    include_str!("findings/definitions/mass@1.0.0.json"),
    include_str!("findings/definitions/ich@1.0.0.json"),
    include_str!("findings/definitions/normal@1.0.0.json"),
    include_str!("findings/definitions/rpt@1.0.0.json"),
    include_str!("findings/definitions/disposition@1.0.0.json"),
    include_str!("findings/definitions/ctx@1.0.0.json"),
];

static CATALOGUE: LazyLock<Vec<TemplateDefinition>> = LazyLock::new(|| {
    let parse = |text: &&str| -> TemplateDefinition {
        serde_json::from_str(text).expect("the definitions are part of the program and checked by a test")
    };
    let mut all: Vec<TemplateDefinition> = SOURCES.iter().map(parse).collect();
    let blocks: Vec<TemplateDefinition> = all
        .iter()
        .filter(|template| template.kind == TemplateKind::Block)
        .cloned()
        .collect();
    for field in all.iter_mut().flat_map(|template| &mut template.fields) {
        if let Some(block) = blocks
            .iter()
            .find(|block| field.include.as_ref() == Some(&block.name()))
        {
            field.group_fields = Some(block.fields.clone());
        }
    }
    all
});

/// Every template this program knows, embedded blocks resolved.
#[must_use]
pub fn templates() -> &'static [TemplateDefinition] {
    &CATALOGUE
}

/// The template with this name, `id@version`.
#[must_use]
pub fn template(name: &str) -> Option<&'static TemplateDefinition> {
    templates().iter().find(|template| template.name() == name)
}

fn of_kind(kind: TemplateKind) -> &'static TemplateDefinition {
    let found = templates().iter().find(|template| template.kind == kind);
    found.expect("the definitions are part of the program and checked by a test")
}

/// The fields of the clinical context.
#[must_use]
pub fn context_definition() -> &'static TemplateDefinition {
    of_kind(TemplateKind::Context)
}

/// The dispositions, one group field for each code.
#[must_use]
pub fn disposition_definition() -> &'static TemplateDefinition {
    of_kind(TemplateKind::Disposition)
}

/// The frame of every report.
#[must_use]
pub fn report_definition() -> &'static TemplateDefinition {
    of_kind(TemplateKind::Report)
}

#[cfg(test)]
mod tests;
