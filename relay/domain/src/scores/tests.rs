use proptest::prelude::*;
use serde_json::Value;

use super::aspects::{ASPECTS_REGIONS, PC_ASPECTS_REGIONS};
use super::ich::IchScoreInputs;
use super::nihss::NIHSS_ITEMS;
use super::sah::SubarachnoidBlood;
use super::trauma::{Cisterns, MarshallInputs, RotterdamInputs};
use super::window::{Onset, OnsetKind, WindowPolicy};
use super::*;

fn number(input: &Value, key: &'static str) -> Given<f64> {
    input[key].as_f64().ok_or(Reason::Missing(key))
}

/// The vectors leave out what is absent; a client never may.
fn flag(input: &Value, key: &'static str) -> Given<bool> {
    Ok(input[key].as_bool().unwrap_or(false))
}

fn regions(input: &Value) -> impl Fn(&str) -> Option<Presence> {
    move |region| {
        let listed = |key: &str| {
            input[key]
                .as_array()
                .is_some_and(|list| list.iter().any(|item| item == region))
        };
        Some(match (listed("present"), listed("not_assessed")) {
            (true, _) => Presence::Present,
            (_, true) => Presence::NotAssessed,
            _ => Presence::Absent,
        })
    }
}

fn run(formula: &str, input: &Value) -> Score {
    let whole = |key| number(input, key).map(|value| value as i32);
    let cisterns = input["cisterns"]
        .as_str()
        .and_then(Cisterns::parse)
        .ok_or(Reason::Missing("cisterns"));
    let blood = SubarachnoidBlood {
        thick: flag(input, "thick"),
        thin: flag(input, "thin"),
        ivh: flag(input, "ivh"),
        ich: flag(input, "ich"),
    };
    match formula {
        "aspects" => aspects::aspects(regions(input)),
        "pc_aspects" => aspects::pc_aspects(regions(input)),
        "abc2" => abc2::abc2(
            number(input, "a_mm"),
            number(input, "b_mm"),
            number(input, "c_mm"),
        ),
        "ich_score" => ich::ich_score(
            "ich_score@1",
            &IchScoreInputs {
                gcs_total: whole("gcs"),
                age_years: whole("age"),
                volume_ml: number(input, "vol"),
                ivh: flag(input, "ivh"),
                infratentorial: flag(input, "infra"),
            },
        ),
        "wfns" => {
            let deficit = input["deficit"]
                .as_str()
                .and_then(Presence::parse)
                .expect("deficit");
            sah::wfns(whole("gcs"), deficit.known("focal_deficit_wfns"))
        }
        "fisher" => sah::fisher(&blood),
        "mfisher" => sah::modified_fisher(&blood),
        "marshall" => trauma::marshall(&MarshallInputs {
            evacuated: flag(input, "evacuated"),
            largest_lesion_ml: number(input, "lesion_ml"),
            mls_mm: number(input, "mls"),
            cisterns,
            pathology: flag(input, "pathology"),
        }),
        "rotterdam" => trauma::rotterdam(&RotterdamInputs {
            cisterns,
            mls_mm: number(input, "mls"),
            edh: flag(input, "edh"),
            ivh_or_tsah: flag(input, "ivh_tsah"),
        }),
        "nihss" => nihss::nihss(|item| match &input[item] {
            Value::String(text) => Some(text.clone()),
            Value::Number(points) => Some(points.to_string()),
            _ => None,
        }),
        other => panic!("no formula {other}"),
    }
}

#[test]
fn every_vector_of_the_clinical_reference_holds() {
    let vectors: Vec<Value> = serde_json::from_str(include_str!("vectors.json")).expect("vectors");
    assert_eq!(vectors.len(), 24);
    for vector in vectors {
        let score = run(vector["f"].as_str().expect("f"), &vector["in"]);
        if let Some(expected_ml) = vector["out_ml"].as_f64() {
            assert_eq!(score.value, Ok(ScoreValue::Amount(expected_ml)), "{vector}");
            continue;
        }
        match &vector["out"] {
            Value::Null => assert!(score.value.is_err(), "{vector}"),
            Value::String(grade) => assert_eq!(score.code(), Some(grade.as_str()), "{vector}"),
            points => assert_eq!(score.points().map(i64::from), points.as_i64(), "{vector}"),
        }
        if let Some(interval) = vector["interval"].as_array() {
            let expected = (
                interval[0].as_i64().unwrap() as i32,
                interval[1].as_i64().unwrap() as i32,
            );
            assert_eq!(score.interval, Some(expected), "{vector}");
        }
        if let Some(untestable) = vector["untestable"].as_array() {
            assert_eq!(
                serde_json::json!(score.excluded),
                Value::Array(untestable.clone())
            );
        }
    }
}

#[test]
fn a_missing_or_untestable_item_names_itself() {
    let total = consciousness::gcs_total(Some("4"), Some("T"), Some("6"));
    assert_eq!(total.value.unwrap_err().to_string(), "not_testable:gcs_v");
    assert_eq!(consciousness::gcs_text(Some("4"), Some("T"), Some("6")), "E4VTM6");
    let total = consciousness::gcs_total(Some("4"), None, Some("6"));
    assert_eq!(total.value.unwrap_err().to_string(), "missing:gcs_v");
    assert_eq!(
        consciousness::gcs_total(Some("3"), Some("4"), Some("5")).points(),
        Some(12)
    );
    let unanswered = aspects::aspects(|_| None);
    assert_eq!(unanswered.value.unwrap_err().to_string(), "missing:C");
    assert_eq!(unanswered.interval, Some((0, 10)));
    assert_eq!(
        nihss::nihss(|item| Some(if item == "2" { "UN" } else { "0" }.into())).value,
        Err(Reason::OutOfRange("2"))
    );
}

#[test]
fn slices_count_fully_half_or_not() {
    let c_mm = abc2::weighted_c_mm(&[10.0, 100.0, 80.0, 75.0, 25.0, 24.9], 5.0).expect("sound");
    assert!((c_mm - (1.0 + 1.0 + 0.5 + 0.5) * 5.0).abs() < 1e-12);
    assert_eq!(abc2::weighted_c_mm(&[], 5.0), None);
    assert_eq!(abc2::weighted_c_mm(&[0.0], 5.0), None);
    assert_eq!(abc2::weighted_c_mm(&[1.0, f64::NAN], 5.0), None);
    assert_eq!(abc2::weighted_c_mm(&[1.0], 0.0), None);
    assert!(abc2::abc2(Ok(150.0), Ok(150.0), Ok(150.0)).value.is_err());
}

#[test]
fn grades_with_modifiers_and_gaps() {
    let blood = |thick, thin, ivh| SubarachnoidBlood {
        thick: Ok(thick),
        thin: Ok(thin),
        ivh: Ok(ivh),
        ich: Ok(false),
    };
    assert_eq!(sah::fisher(&blood(false, false, false)).points(), Some(1));
    assert_eq!(sah::fisher(&blood(false, true, false)).points(), Some(2));
    assert_eq!(
        sah::modified_fisher(&blood(false, false, false)).points(),
        Some(0)
    );
    assert_eq!(
        sah::modified_fisher(&blood(false, false, true)).value,
        Err(Reason::Undefined("ivh_without_sah"))
    );
    assert_eq!(sah::modified_wfns(Ok(13)).code(), Some("III"));
    assert_eq!(sah::hunt_kosnik(Ok("Ia"), Ok(true)).code(), Some("II"));
    assert_eq!(sah::hunt_kosnik(Ok("V"), Ok(true)).code(), Some("V"));
    assert_eq!(sah::hunt_kosnik(Ok("III"), Ok(false)).code(), Some("III"));
    assert_eq!(
        sah::hunt_kosnik(Ok("VI"), Ok(false)).value,
        Err(Reason::OutOfRange("hk_base"))
    );
    assert_eq!(subdural::markwalder(Ok("comatose")).points(), Some(4));
    assert!(
        subdural::markwalder(Err(Reason::Missing("markwalder_state")))
            .value
            .is_err()
    );
    assert_eq!(
        consciousness::anisocoria(Ok(3.1), Ok(2.1), 1.0).value,
        Ok(ScoreValue::Flag(true))
    );
    assert_eq!(
        consciousness::anisocoria(Ok(3.0), Ok(2.1), 1.0).value,
        Ok(ScoreValue::Flag(false))
    );
}

#[test]
fn windows_open_and_close_on_the_minute() {
    let policy = WindowPolicy::default();
    let at = |kind, minutes: i64| {
        let onset = Onset {
            kind: Ok(kind),
            onset_at_ms: Ok(0),
            last_known_well_at_ms: Ok(0),
        };
        let now_ms = minutes * 60_000;
        let ivt = ivt(&onset, now_ms, &policy);
        (ivt, window::evt_window(&onset, now_ms, &policy).code())
    };
    fn ivt(onset: &Onset, now_ms: i64, policy: &WindowPolicy) -> (Option<&'static str>, Value) {
        let score = window::ivt_window(onset, Ok(true), now_ms, policy);
        (score.code(), score.inputs[1].1.clone())
    }
    assert_eq!(
        at(OnsetKind::Witnessed, 270),
        ((Some("open"), 0.into()), Some("standard"))
    );
    assert_eq!(
        at(OnsetKind::Witnessed, 271),
        ((Some("closed"), 0.into()), Some("standard"))
    );
    assert_eq!(
        at(OnsetKind::WakeUp, 300),
        ((Some("open_by_mismatch"), 0.into()), Some("standard"))
    );
    assert_eq!(at(OnsetKind::Reported, 100).0, (Some("open"), 170.into()));
    assert_eq!(at(OnsetKind::Reported, 1440).1, Some("selected"));
    assert_eq!(at(OnsetKind::Reported, 1441).1, Some("outside"));
    let unknown = Onset {
        kind: Ok(OnsetKind::WakeUp),
        onset_at_ms: Ok(0),
        last_known_well_at_ms: Err(Reason::Missing("lkw_dt")),
    };
    assert_eq!(
        window::evt_window(&unknown, 0, &policy).value,
        Err(Reason::Missing("lkw_dt"))
    );
    let future = Onset {
        kind: Ok(OnsetKind::Witnessed),
        onset_at_ms: Ok(1),
        last_known_well_at_ms: Ok(0),
    };
    assert_eq!(
        window::ivt_window(&future, Ok(false), 0, &policy).value,
        Err(Reason::OutOfRange("onset_dt"))
    );
}

fn presence() -> impl Strategy<Value = Presence> {
    prop_oneof![
        Just(Presence::Absent),
        Just(Presence::Present),
        Just(Presence::Indeterminate),
        Just(Presence::NotAssessed)
    ]
}

proptest! {
    #[test]
    fn deductions_stay_in_range_and_intervals_enclose(answers in proptest::collection::vec(presence(), 10)) {
        let region = |list: &[&str], name: &str| list.iter().position(|known| *known == name).map(|at| answers[at]);
        let pc: Vec<&str> = PC_ASPECTS_REGIONS.iter().map(|(name, _)| *name).collect();
        for score in [
            aspects::aspects(|name| region(&ASPECTS_REGIONS, name)),
            aspects::pc_aspects(|name| region(&pc, name)),
        ] {
            match (score.points(), score.interval) {
                (Some(points), None) => prop_assert!((0..=10).contains(&points)),
                (None, Some((low, high))) => prop_assert!(0 <= low && low < high && high <= 10),
                other => prop_assert!(false, "{other:?}"),
            }
        }
    }

    #[test]
    fn ich_score_never_falls_when_one_thing_gets_worse(
        gcs in 3..=15i32, age in 0..=120i32, volume in 0.0..300.0f64, ivh: bool, infra: bool,
    ) {
        let score = |gcs, age, volume, ivh, infra| {
            let given = IchScoreInputs {
                gcs_total: Ok(gcs), age_years: Ok(age), volume_ml: Ok(volume), ivh: Ok(ivh), infratentorial: Ok(infra),
            };
            ich::ich_score("ich_score@1", &given).points().expect("all given")
        };
        let base = score(gcs, age, volume, ivh, infra);
        prop_assert!((0..=6).contains(&base));
        prop_assert!(score((gcs - 1).max(3), age, volume, ivh, infra) >= base);
        prop_assert!(score(gcs, age + 1, volume, ivh, infra) >= base);
        prop_assert!(score(gcs, age, volume + 1.0, ivh, infra) >= base);
        prop_assert!(score(gcs, age, volume, true, infra) >= base);
        prop_assert!(score(gcs, age, volume, ivh, true) >= base);
    }

    #[test]
    fn volume_grows_with_every_diameter(a in 0.0..80.0f64, b in 0.0..80.0f64, c in 0.0..80.0f64, more in 0.0..5.0f64) {
        let volume = |a, b, c| match abc2::abc2(Ok(a), Ok(b), Ok(c)).value {
            Ok(ScoreValue::Amount(volume)) => volume,
            other => panic!("{other:?}"),
        };
        let base = volume(a, b, c);
        prop_assert!(volume(a + more, b, c) >= base && volume(a, b + more, c) >= base && volume(a, b, c + more) >= base);
    }

    #[test]
    fn rotterdam_and_marshall_stay_in_range(mls in 0.0..40.0f64, lesion in 0.0..200.0f64, bits in 0..64u8) {
        let bit = |at: u8| Ok(bits & (1 << at) != 0);
        let cisterns = Ok([Cisterns::Normal, Cisterns::Compressed, Cisterns::Absent][usize::from(bits % 3)]);
        let score = trauma::rotterdam(&RotterdamInputs { cisterns, mls_mm: Ok(mls), edh: bit(0), ivh_or_tsah: bit(1) });
        prop_assert!((1..=6).contains(&score.points().expect("all given")));
        let class = trauma::marshall(&MarshallInputs {
            evacuated: bit(2), largest_lesion_ml: Ok(lesion), mls_mm: Ok(mls), cisterns, pathology: bit(3),
        });
        prop_assert!(class.code().is_some());
    }

    #[test]
    fn nihss_sum_is_within_its_range(points in proptest::collection::vec(0..5i32, 15)) {
        let score = nihss::nihss(|item| {
            let at = NIHSS_ITEMS.iter().position(|(name, ..)| *name == item)?;
            Some(points[at].min(NIHSS_ITEMS[at].1).to_string())
        });
        prop_assert!((0..=42).contains(&score.points().expect("all given")));
    }
}
