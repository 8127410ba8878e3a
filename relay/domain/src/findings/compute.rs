//! Computed fields of the templates. Input is accepted answers; scores take unrounded values.

use serde_json::{Value, json};

use super::Answers;
use crate::scores::abc2::abc2;
use crate::scores::consciousness::gcs_total;
use crate::scores::ich::{IchScoreInputs, ich_score};
use crate::scores::{Given, Presence, Reason, Score, ScoreValue, shown};

/// Limits of the guideline sentences shown beside a haemorrhage; a network may set others.
#[derive(Debug, Clone, PartialEq)]
pub struct GuidelinePolicy {
    /// Where the sentences come from, stored with them.
    pub source: &'static str,
    /// Below this volume surgery is not recommended, in mL.
    pub volume_min_ml: f64,
    /// Putaminal volume from which surgery is considered, in mL.
    pub putamen_ml: f64,
    /// Depth up to which a lobar haemorrhage counts as close to the surface, in mm.
    pub lobar_depth_mm: f64,
    /// Diameter from which a cerebellar haemorrhage counts as large, in mm.
    pub cerebellum_mm: f64,
}

impl Default for GuidelinePolicy {
    fn default() -> Self {
        Self {
            source: "config:jp_guideline_2021",
            volume_min_ml: 10.0,
            putamen_ml: 31.0,
            lobar_depth_mm: 10.0,
            cerebellum_mm: 30.0,
        }
    }
}

/// The computed fields of a template, by path, in the order of its definition.
#[must_use]
pub fn compute(template_id: &str, answers: &Answers, context: &Answers) -> Vec<(String, Score)> {
    match template_id {
        "ich" => ich(answers, context, &GuidelinePolicy::default()),
        _ => Vec::new(),
    }
}

fn number(answers: &Answers, field: &'static str) -> Given<f64> {
    answers
        .get(field)
        .and_then(Value::as_f64)
        .ok_or(Reason::Missing(field))
}

fn codes<'a>(answers: &'a Answers, field: &str) -> Option<Vec<&'a str>> {
    let list = answers.get(field)?.as_array()?;
    Some(list.iter().filter_map(Value::as_str).collect())
}

fn presence(answers: &Answers, field: &'static str) -> Given<bool> {
    let code = answers
        .get(field)
        .and_then(Value::as_str)
        .and_then(Presence::parse);
    code.ok_or(Reason::Missing(field))?.known(field)
}

fn ich(answers: &Answers, context: &Answers, policy: &GuidelinePolicy) -> Vec<(String, Score)> {
    let infratentorial = infratentorial(answers);
    let [a, b, c] = ["a_mm", "b_mm", "c_mm"].map(|field| number(answers, field));
    let volume = abc2(a, b, c);
    let largest = (|| Ok(ScoreValue::Amount(a?.max(b?).max(c?))))();
    let largest = Score {
        unit: Some("mm"),
        ..Score::new(
            "max_diameter@1",
            largest,
            vec![("a_mm", shown(&a)), ("b_mm", shown(&b)), ("c_mm", shown(&c))],
        )
    };
    let (volume_ml, method) = match (number(answers, "volume_direct_ml"), &volume.value) {
        (Ok(direct), _) => (Ok(direct), "volume_direct"),
        (Err(_), Ok(ScoreValue::Amount(computed))) => (Ok(*computed), "abc2"),
        (Err(_), Ok(_)) => (Err(Reason::Undefined("volume_ml")), "abc2"),
        (Err(_), Err(reason)) => (Err(*reason), "abc2"),
    };
    let code = |field: &str| context.get(field).and_then(Value::as_str);
    let measured = gcs_total(code("gcs_e"), code("gcs_v"), code("gcs_m"));
    let mut given = IchScoreInputs {
        gcs_total: match measured.value {
            Ok(ScoreValue::Points(points)) => Ok(points),
            Ok(_) => Err(Reason::Undefined("gcs_total")),
            Err(reason) => Err(reason),
        },
        age_years: whole(context, "age_years"),
        volume_ml,
        ivh: presence(answers, "ivh"),
        infratentorial: match infratentorial.value {
            Ok(ScoreValue::Flag(flag)) => Ok(flag),
            Ok(_) => Err(Reason::Undefined("infratentorial")),
            Err(reason) => Err(reason),
        },
    };
    let with_method = |mut score: Score| {
        score.inputs.push(("volume_method", json!(method)));
        score
    };
    let score = with_method(ich_score("ich_score@1", &given));
    let mut fields = vec![("infratentorial".to_owned(), infratentorial)];
    fields.push(("volume_ml".to_owned(), volume));
    fields.push(("max_diameter_mm".to_owned(), largest.clone()));
    fields.push(("ich_score".to_owned(), score));
    if let Ok(estimated) = whole(answers, "gcs_total_estimated") {
        // An estimate never takes the place of the score; it stands beside it under its own name.
        given.gcs_total = Ok(estimated);
        fields.push((
            "ich_score_estimated".to_owned(),
            with_method(ich_score("ich_score_estimated@1", &given)),
        ));
    }
    fields.push((
        "surgery_prompt".to_owned(),
        surgery_prompt(answers, context, volume_ml, [a, b, c], &largest, policy),
    ));
    if let Some(mass) = answers.get("mass").and_then(Value::as_object) {
        fields.push(("mass.evans_index".to_owned(), evans_index(mass)));
    }
    fields
}

fn whole(answers: &Answers, field: &'static str) -> Given<i32> {
    let value = answers
        .get(field)
        .and_then(Value::as_i64)
        .and_then(|value| i32::try_from(value).ok());
    value.ok_or(Reason::Missing(field))
}

/// Below the tentorium when cerebellum or brain stem is named. `mixed` and `multiple` do not say where the bleeding
/// began once both sides of the tentorium, or none, are named; then the reader has to.
fn infratentorial(answers: &Answers) -> Score {
    let locations = codes(answers, "location");
    let value = (|| {
        let locations = locations.clone().ok_or(Reason::Missing("location"))?;
        let below = |code: &&str| matches!(*code, "cerebellum" | "pons" | "midbrain" | "medulla");
        let several = locations.iter().any(|code| matches!(*code, "mixed" | "multiple"));
        if several && let Some(judged) = answers.get("infratentorial_override").and_then(Value::as_bool) {
            return Ok(ScoreValue::Flag(judged));
        }
        let named = locations
            .iter()
            .filter(|code| !matches!(**code, "mixed" | "multiple"));
        let n_below = named.clone().filter(|code| below(code)).count();
        let n_above = named.count() - n_below;
        if several && (n_below > 0) == (n_above > 0) {
            return Err(Reason::Ambiguous("location"));
        }
        Ok(ScoreValue::Flag(n_below > 0))
    })();
    Score::new("infratentorial@1", value, vec![("location", json!(locations))])
}

fn surgery_prompt(
    answers: &Answers,
    context: &Answers,
    volume_ml: Given<f64>,
    diameters: [Given<f64>; 3],
    largest: &Score,
    policy: &GuidelinePolicy,
) -> Score {
    let locations = codes(answers, "location").unwrap_or_default();
    let at = |code: &str| locations.contains(&code);
    let jcs = context.get("jcs").and_then(Value::as_str);
    let depth_mm = number(answers, "depth_from_cortex_mm");
    let value = (|| {
        if locations.is_empty() {
            return Err(Reason::Missing("location"));
        }
        if jcs == Some("III-300") {
            return Ok(ScoreValue::Code("jcs300_evacuation_not_recommended"));
        }
        if volume_ml? < policy.volume_min_ml {
            return Ok(ScoreValue::Code("volume_lt10_not_recommended"));
        }
        // One diameter that is long enough says it; that none is can be said only when all three are known.
        let any_large = diameters.iter().flatten().any(|mm| *mm >= policy.cerebellum_mm);
        let large = if any_large {
            Ok(true)
        } else {
            largest.value.clone().map(|_| false)
        };
        let shallow = depth_mm.map(|mm| mm <= policy.lobar_depth_mm);
        let sentences = [
            ("cerebellum", large, "cerebellum_ge30mm_consider"),
            (
                "putamen",
                Ok(volume_ml? >= policy.putamen_ml),
                "putamen_ge31_consider",
            ),
            ("lobar", shallow, "lobar_le10mm_may_consider"),
        ];
        let of_these = sentences.into_iter().filter(|(location, ..)| at(location));
        let mut unknown = None;
        for (_, fits, code) in of_these {
            match fits {
                Ok(true) => return Ok(ScoreValue::Code(code)),
                Ok(false) => {}
                Err(reason) => unknown = unknown.or(Some(reason)),
            }
        }
        match unknown {
            // Whether a sentence fits is not known: that is not the same as none.
            Some(reason) => Err(reason),
            None if ["thalamus", "pons", "midbrain", "medulla"].into_iter().any(at) => {
                Ok(ScoreValue::Code("deep_evacuation_not_recommended"))
            }
            None => Err(Reason::Undefined("no_matching_sentence")),
        }
    })();
    let inputs = vec![
        ("location", json!(locations)),
        ("volume_ml", shown(&volume_ml)),
        ("jcs", json!(jcs)),
        ("depth_from_cortex_mm", shown(&depth_mm)),
        ("source", json!(policy.source)),
    ];
    Score::new("surgery_prompt@2", value, inputs)
}

fn evans_index(mass: &Answers) -> Score {
    let (horns, skull) = (
        number(mass, "frontal_horn_width_mm"),
        number(mass, "inner_skull_width_mm"),
    );
    let value = (|| {
        let index = horns? / skull?;
        if (0.0..=1.0).contains(&index) {
            Ok(ScoreValue::Amount(index))
        } else {
            Err(Reason::OutOfRange("evans_index"))
        }
    })();
    let inputs = vec![
        ("frontal_horn_width_mm", shown(&horns)),
        ("inner_skull_width_mm", shown(&skull)),
    ];
    Score {
        unit: Some("1"),
        ..Score::new("evans_index@1", value, inputs)
    }
}
