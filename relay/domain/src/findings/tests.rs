use serde_json::{Value, json};

use super::validate::Surroundings;
use super::*;
use crate::scores::ScoreValue;

const NOW_MS: i64 = 1_800_000_000_000;

fn object(value: Value) -> Answers {
    value.as_object().expect("object").clone()
}

/// The example of the clinical reference, section 1.14.
fn ich_input() -> Answers {
    object(json!({
        "location": ["putamen"], "side": "left", "a_mm": 52.0, "b_mm": 41.0, "c_mm": 30.0, "ivh": "present",
        "ivh_extent": ["left_lateral"], "surrounding_oedema": "mild", "expansion_signs": ["blend"],
        "sah_component": "absent", "sdh_component": "absent", "secondary_cause": ["anticoagulant"],
        "mass": {"mls_mm": 6.0, "mls_to": "right", "cisterns": "compressed", "herniation": ["subfalcine"],
                 "hydrocephalus": "absent"}
    }))
}

fn context() -> Answers {
    object(json!({"gcs_e": "2", "gcs_v": "2", "gcs_m": "5", "age_years": 78}))
}

fn run(template: &str, input: Answers, context: &Answers) -> Evaluation {
    evaluate(
        &[FindingBlock {
            template: template.to_owned(),
            input,
        }],
        Surroundings {
            context,
            now_ms: NOW_MS,
        },
    )
}

fn score<'a>(evaluation: &'a Evaluation, path: &str) -> &'a crate::scores::Score {
    &evaluation.blocks[0]
        .computed
        .iter()
        .find(|(id, _)| id == path)
        .expect("computed")
        .1
}

fn codes(evaluation: &Evaluation) -> Vec<(String, &'static str)> {
    evaluation
        .all_problems()
        .map(|(_, problem)| (problem.field.clone(), problem.code))
        .collect()
}

#[test]
fn definitions_are_complete_and_consistent() {
    fn walk(fields: &[FieldDefinition], name: &str) {
        for field in fields {
            let at = format!("{name}.{}", field.id);
            assert_eq!(
                fields.iter().filter(|other| other.id == field.id).count(),
                1,
                "{at}"
            );
            assert_eq!(
                field.required == Required::Conditional,
                field.condition.is_some() && field.required != Required::Optional,
                "{at}"
            );
            let has_options = field.options.is_some();
            match field.field_type {
                FieldType::Enum | FieldType::Multi => assert!(has_options, "{at}"),
                FieldType::Group | FieldType::List => assert!(!field.children().is_empty(), "{at}"),
                FieldType::Int => assert!(field.min.is_some() && field.max.is_some(), "{at}"),
                FieldType::Dec => assert!(
                    field.min.is_some() && field.max.is_some() && field.decimals.is_some(),
                    "{at}"
                ),
                FieldType::Text => assert!(field.chars_max.is_some(), "{at}"),
                FieldType::Bool | FieldType::Dt | FieldType::Calc => {}
            }
            if let Some(Condition::Has {
                field: on,
                has,
                of: ConditionOf::Block,
            }) = &field.condition
            {
                let on = fields
                    .iter()
                    .find(|other| other.id == *on)
                    .expect("condition names a field beside it");
                assert!(has.iter().all(|code| on.option(code).is_some()), "{at}");
            }
            walk(field.children(), &at);
        }
    }
    assert_eq!(templates().len(), 6);
    for template in templates() {
        walk(&template.fields, &template.name());
    }
    assert_eq!(
        template("ich@1.0.0")
            .expect("ich")
            .field("mass")
            .expect("mass")
            .children()
            .len(),
        10
    );
    assert!(template("ich@9.9.9").is_none());
}

#[test]
fn the_example_of_the_reference_computes_as_printed() {
    let evaluation = run("ich@1.0.0", ich_input(), &context());
    assert_eq!(codes(&evaluation), []);
    assert_eq!(
        score(&evaluation, "infratentorial").value,
        Ok(ScoreValue::Flag(false))
    );
    let volume = score(&evaluation, "volume_ml");
    assert_eq!(
        evaluate::rounded(template("ich@1.0.0"), "volume_ml", volume),
        json!(32.0)
    );
    assert!(matches!(volume.value, Ok(ScoreValue::Amount(raw)) if (raw - 31.98).abs() < 1e-9));
    assert_eq!(
        score(&evaluation, "max_diameter_mm").value,
        Ok(ScoreValue::Amount(52.0))
    );
    assert_eq!(score(&evaluation, "ich_score").points(), Some(3));
    assert_eq!(
        score(&evaluation, "surgery_prompt").code(),
        Some("putamen_ge31_consider")
    );
    assert!(evaluation.has_finding());
    insta::assert_snapshot!(format!(
        "{}\n---\n{}",
        evaluation.narrative.ja, evaluation.narrative.en
    ));
}

#[test]
fn the_sentence_on_surgery_is_null_with_its_reason_when_its_measure_misses() {
    let prompt = |location: &[&str], change: serde_json::Value| {
        let mut input = ich_input();
        for field in ["a_mm", "b_mm", "c_mm"] {
            input.remove(field);
        }
        input.insert("volume_direct_ml".into(), json!(18.0));
        input.insert("location".into(), json!(location));
        input.extend(change.as_object().expect("object").clone());
        let evaluation = run("ich@1.0.0", input, &context());
        let prompt = &score(&evaluation, "surgery_prompt").value;
        match prompt {
            Ok(ScoreValue::Code(code)) => (*code).to_owned(),
            Ok(other) => panic!("{other:?}"),
            Err(reason) => reason.to_string(),
        }
    };
    let none = json!({});
    assert_eq!(prompt(&["cerebellum"], none.clone()), "missing:a_mm");
    let hydrocephalus = json!({ "mass": { "mls_mm": 0.0, "cisterns": "compressed", "herniation": ["none"], "hydrocephalus": "present" } });
    assert_eq!(prompt(&["cerebellum"], hydrocephalus), "missing:a_mm");
    assert_eq!(prompt(&["cerebellum"], json!({ "a_mm": 20.0 })), "missing:b_mm");
    assert_eq!(
        prompt(&["cerebellum"], json!({ "a_mm": 31.0 })),
        "cerebellum_ge30mm_consider"
    );
    let small = json!({ "a_mm": 29.0, "b_mm": 20.0, "c_mm": 20.0 });
    assert_eq!(prompt(&["cerebellum"], small), "undefined:no_matching_sentence");
    assert_eq!(prompt(&["cerebellum", "pons"], none.clone()), "missing:a_mm");
    assert_eq!(prompt(&["lobar"], none.clone()), "missing:depth_from_cortex_mm");
    assert_eq!(
        prompt(&["lobar"], json!({ "depth_from_cortex_mm": 8.0 })),
        "lobar_le10mm_may_consider"
    );
    assert_eq!(
        prompt(&["lobar"], json!({ "depth_from_cortex_mm": 12.0 })),
        "undefined:no_matching_sentence"
    );
    let large = json!({ "volume_direct_ml": 40.0 });
    assert_eq!(prompt(&["cerebellum", "putamen"], large), "putamen_ge31_consider");
    assert_eq!(prompt(&["pons"], none), "deep_evacuation_not_recommended");
    let no_volume = json!({ "volume_direct_ml": null });
    assert_eq!(prompt(&["cerebellum"], no_volume), "missing:a_mm");
}

#[test]
fn a_score_is_null_with_its_reason_when_an_input_misses() {
    let reason = |input: Answers, context: &Answers, path: &str| {
        score(&run("ich@1.0.0", input, context), path)
            .value
            .clone()
            .unwrap_err()
            .to_string()
    };
    let mut intubated = context();
    intubated.insert("gcs_v".into(), json!("T"));
    assert_eq!(reason(ich_input(), &intubated, "ich_score"), "not_testable:gcs_v");
    assert_eq!(reason(ich_input(), &Answers::new(), "ich_score"), "missing:gcs_e");
    let mut unseen = ich_input();
    unseen.insert("ivh".into(), json!("not_assessed"));
    assert_eq!(reason(unseen, &context(), "ich_score"), "not_assessed:ivh");
    let mut no_c = ich_input();
    no_c.remove("c_mm");
    assert_eq!(reason(no_c.clone(), &context(), "volume_ml"), "missing:c_mm");
    assert_eq!(
        codes(&run("ich@1.0.0", no_c.clone(), &context())),
        [("c_mm".to_owned(), "required")]
    );
    no_c.insert("volume_direct_ml".into(), json!(44.5));
    let evaluation = run("ich@1.0.0", no_c, &context());
    assert_eq!(codes(&evaluation), []);
    assert_eq!(score(&evaluation, "ich_score").points(), Some(3));
    let mut estimated = ich_input();
    estimated.insert("gcs_total_estimated".into(), json!(4));
    let evaluation = run("ich@1.0.0", estimated, &intubated);
    assert!(score(&evaluation, "ich_score").value.is_err());
    assert_eq!(score(&evaluation, "ich_score_estimated").points(), Some(4));
}

#[test]
fn several_origins_ask_the_reader_for_the_tentorium() {
    let mut input = ich_input();
    input.insert("location".into(), json!(["multiple", "putamen", "cerebellum"]));
    assert!(
        score(&run("ich@1.0.0", input.clone(), &context()), "infratentorial")
            .value
            .is_err()
    );
    input.insert("infratentorial_override".into(), json!(true));
    assert_eq!(
        score(&run("ich@1.0.0", input.clone(), &context()), "infratentorial").value,
        Ok(ScoreValue::Flag(true))
    );
    input.insert("location".into(), json!(["pons"]));
    input.remove("infratentorial_override");
    assert_eq!(
        score(&run("ich@1.0.0", input, &context()), "infratentorial").value,
        Ok(ScoreValue::Flag(true))
    );
}

#[test]
fn what_does_not_fit_is_refused_by_name() {
    let refused = |field: &str, value: Value| {
        let mut input = ich_input();
        input.insert(field.to_owned(), value);
        codes(&run("ich@1.0.0", input, &context()))
    };
    let only = |field: &str, code| vec![(field.to_owned(), code)];
    assert_eq!(refused("a_mm", json!(150.1)), only("a_mm", "out_of_range"));
    assert_eq!(refused("a_mm", json!(50.25)), only("a_mm", "too_many_decimals"));
    assert_eq!(refused("a_mm", json!("50")), only("a_mm", "wrong_type"));
    assert_eq!(refused("side", json!("up")), only("side", "unknown_option"));
    assert_eq!(
        refused("secondary_cause", json!(["none", "avm"])),
        only("secondary_cause", "exclusive_option")
    );
    assert_eq!(refused("volume_ml", json!(12)), only("volume_ml", "computed"));
    assert_eq!(refused("dose", json!(1)), only("dose", "unknown_field"));
    assert_eq!(refused("mass", json!(3)), only("mass", "wrong_type"));
    let mut shifted = ich_input();
    shifted["mass"]["mls_mm"] = json!(20.1);
    assert_eq!(
        codes(&run("ich@1.0.0", shifted, &context())),
        only("mass.mls_mm", "unusual_value")
    );
    let mut lobar = ich_input();
    lobar.insert("location".into(), json!(["lobar"]));
    let expected = vec![
        ("lobe".to_owned(), "required"),
        ("depth_from_cortex_mm".to_owned(), "required"),
    ];
    assert_eq!(codes(&run("ich@1.0.0", lobar, &context())), expected);
    let mut huge = ich_input();
    for field in ["a_mm", "b_mm", "c_mm"] {
        huge.insert(field.into(), json!(150));
    }
    assert_eq!(
        codes(&run("ich@1.0.0", huge, &context())),
        only("volume_ml", "out_of_range")
    );
}

#[test]
fn normal_is_an_active_statement_and_stands_alone() {
    let all = json!({"no_haemorrhage": true, "no_early_infarct": true, "no_mass": true, "no_midline_shift": true,
        "ventricles_cisterns_normal": true, "age_related_only": true, "ct_limit_note": "repeat_if_suspected"});
    let normal = |input: Value, context: &Answers| codes(&run("normal@1.0.0", object(input), context));
    assert_eq!(normal(all.clone(), &Answers::new()), []);
    assert_eq!(
        run("normal@1.0.0", Answers::new(), &Answers::new()).blocks[0]
            .problems
            .len(),
        7
    );
    let trauma = object(json!({"request_template": "trauma"}));
    assert_eq!(
        normal(all.clone(), &trauma),
        [("no_fracture".to_owned(), "required")]
    );
    let mut not_normal = all.clone();
    not_normal["no_mass"] = json!(false);
    assert_eq!(
        normal(not_normal, &Answers::new()),
        [("no_mass".to_owned(), "must_hold")]
    );
    let blocks = [
        FindingBlock {
            template: "normal@1.0.0".into(),
            input: object(all),
        },
        FindingBlock {
            template: "ich@1.0.0".into(),
            input: ich_input(),
        },
    ];
    let context = context();
    let both = evaluate(
        &blocks,
        Surroundings {
            context: &context,
            now_ms: NOW_MS,
        },
    );
    assert_eq!(both.problems[0].code, "normal_excludes_others");
    assert_eq!(
        codes(&run("mass@1.0.0", Answers::new(), &context)),
        [("template".to_owned(), "unknown_template")]
    );
}
