//! Evaluates the finding blocks of a report: validation, computed fields, rules between blocks, narrative.

use serde_json::Value;

use super::validate::Surroundings;
use super::{
    Answers, FieldDefinition, FieldType, Label, Problem, Severity, TemplateDefinition, TemplateKind, check,
    template,
};
use crate::scores::{Score, ScoreValue};

/// Most finding blocks of one report.
pub const BLOCKS_MAX: usize = 8;

/// One block as a client submits it.
#[derive(Debug, Clone, PartialEq)]
pub struct FindingBlock {
    /// `id@version`.
    pub template: String,
    /// Answers as submitted.
    pub input: Answers,
}

/// One block after evaluation.
#[derive(Debug, Clone, PartialEq)]
pub struct BlockEvaluation {
    /// `id@version` as submitted.
    pub template: String,
    /// The definition, when the template is known.
    pub definition: Option<&'static TemplateDefinition>,
    /// Accepted answers.
    pub answers: Answers,
    /// Computed fields by path.
    pub computed: Vec<(String, Score)>,
    /// What is wrong inside the block.
    pub problems: Vec<Problem>,
}

/// All blocks after evaluation.
#[derive(Debug, Clone, PartialEq)]
pub struct Evaluation {
    /// In the order submitted.
    pub blocks: Vec<BlockEvaluation>,
    /// What is wrong between the blocks.
    pub problems: Vec<Problem>,
    /// Text generated from the answers.
    pub narrative: Label,
}

impl Evaluation {
    /// Every problem with the template it belongs to, or none for those between blocks.
    pub fn all_problems(&self) -> impl Iterator<Item = (Option<&str>, &Problem)> {
        let between = self.problems.iter().map(|problem| (None, problem));
        let inside = self.blocks.iter().flat_map(|block| {
            block
                .problems
                .iter()
                .map(|problem| (Some(block.template.as_str()), problem))
        });
        between.chain(inside)
    }

    /// Whether any block states that something is there.
    #[must_use]
    pub fn has_finding(&self) -> bool {
        self.blocks.iter().any(|block| {
            let Some(definition) = block.definition else {
                return false;
            };
            definition.asserts_finding || says_present(&definition.fields, &block.answers)
        })
    }
}

fn says_present(fields: &[FieldDefinition], answers: &Answers) -> bool {
    fields
        .iter()
        .any(|field| match (field.field_type, answers.get(&field.id)) {
            (FieldType::Enum, Some(Value::String(code))) => code == "present",
            (FieldType::Group, Some(Value::Object(inner))) => says_present(field.children(), inner),
            _ => false,
        })
}

/// Evaluates finding blocks in the light of the request's clinical context.
#[must_use]
pub fn evaluate(blocks: &[FindingBlock], around: Surroundings<'_>) -> Evaluation {
    let blocks: Vec<_> = blocks.iter().map(|block| evaluate_block(block, around)).collect();
    let narrated: Vec<Label> = blocks
        .iter()
        .filter_map(|block| {
            Some(super::narrative::narrate(
                block.definition?,
                &block.answers,
                &block.computed,
            ))
        })
        .collect();
    let join = |pick: fn(&Label) -> &str| narrated.iter().map(pick).collect::<Vec<_>>().join("\n\n");
    let narrative = Label {
        ja: join(|label| &label.ja),
        en: join(|label| &label.en),
    };
    Evaluation {
        problems: between(&blocks),
        blocks,
        narrative,
    }
}

fn evaluate_block(block: &FindingBlock, around: Surroundings<'_>) -> BlockEvaluation {
    let Some(definition) = template(&block.template).filter(|found| found.kind == TemplateKind::Finding)
    else {
        return BlockEvaluation {
            template: block.template.chars().take(40).collect(),
            definition: None,
            answers: Answers::new(),
            computed: Vec::new(),
            problems: vec![problem(
                "template",
                "unknown_template",
                "この様式はありません",
                "no such template",
            )],
        };
    };
    let checked = check(&definition.fields, &block.input, around);
    let computed = super::compute::compute(&definition.id, &checked.answers, around.context);
    let mut problems = checked.problems;
    for (path, score) in &computed {
        if let (Err(crate::scores::Reason::OutOfRange(field)), true) =
            (&score.value, score.formula == "abc2@1")
        {
            problems.push(problem(
                path,
                "out_of_range",
                "計算値が範囲外です",
                &format!("computed {field} is out of range"),
            ));
        }
    }
    BlockEvaluation {
        template: block.template.clone(),
        definition: Some(definition),
        answers: checked.answers,
        computed,
        problems,
    }
}

fn between(blocks: &[BlockEvaluation]) -> Vec<Problem> {
    let mut problems = Vec::new();
    let excludes = blocks.iter().any(|block| {
        block
            .definition
            .is_some_and(|definition| definition.excludes_others)
    });
    if excludes && blocks.len() > 1 {
        let (ja, en) = (
            "「異常なし」は他の所見と併用できません",
            "the normal template excludes all others",
        );
        problems.push(problem("finding_blocks", "normal_excludes_others", ja, en));
    }
    let twice = |block: &BlockEvaluation| {
        blocks
            .iter()
            .filter(|other| other.template == block.template)
            .count()
            > 1
    };
    if blocks.iter().any(twice) {
        let (ja, en) = ("同じ様式が複数あります", "one template is used more than once");
        problems.push(problem("finding_blocks", "template_repeated", ja, en));
    }
    if blocks.len() > BLOCKS_MAX {
        problems.push(problem(
            "finding_blocks",
            "too_many_blocks",
            "所見ブロックが多すぎます",
            "too many finding blocks",
        ));
    }
    problems
}

fn problem(field: &str, code: &'static str, ja: &str, en: &str) -> Problem {
    Problem {
        field: field.to_owned(),
        code,
        severity: Severity::Invalid,
        message_ja: ja.to_owned(),
        message_en: en.to_owned(),
    }
}

/// A computed value as a client reads it, rounded to the field's decimals; the score keeps the unrounded one.
#[must_use]
pub fn rounded(definition: Option<&TemplateDefinition>, path: &str, score: &Score) -> Value {
    let decimals = definition
        .and_then(|definition| field_at(&definition.fields, path))
        .and_then(|field| field.decimals);
    match score.value {
        Ok(ScoreValue::Points(points)) => points.into(),
        Ok(ScoreValue::Code(code)) => code.into(),
        Ok(ScoreValue::Flag(flag)) => flag.into(),
        Ok(ScoreValue::Amount(amount)) => {
            let scale = 10f64.powi(i32::from(decimals.unwrap_or(1)));
            ((amount * scale).round() / scale).into()
        }
        Err(_) => Value::Null,
    }
}

fn field_at<'a>(fields: &'a [FieldDefinition], path: &str) -> Option<&'a FieldDefinition> {
    let (id, rest) = path
        .split_once('.')
        .map_or((path, None), |(id, rest)| (id, Some(rest)));
    let field = fields.iter().find(|field| field.id == id)?;
    rest.map_or(Some(field), |rest| field_at(field.children(), rest))
}
