//! ASPECTS (Barber 2000, Lancet 355:1670) and pc-ASPECTS (Puetz 2008, Stroke 39:2485).

use serde_json::json;

use super::{Presence, Reason, Score, ScoreValue};

/// The ten regions of one hemisphere's middle cerebral artery territory, by code.
pub const ASPECTS_REGIONS: [&str; 10] = ["C", "L", "IC", "I", "M1", "M2", "M3", "M4", "M5", "M6"];

/// The regions of the posterior circulation with the points each takes away.
pub const PC_ASPECTS_REGIONS: [(&str, i32); 8] = [
    ("midbrain", 2),
    ("pons", 2),
    ("thalamus_l", 1),
    ("thalamus_r", 1),
    ("cerebellum_l", 1),
    ("cerebellum_r", 1),
    ("pca_l", 1),
    ("pca_r", 1),
];

/// ASPECTS of one hemisphere: ten less the affected regions. `answer` gives what was said about a region.
#[must_use]
pub fn aspects(answer: impl Fn(&str) -> Option<Presence>) -> Score {
    deduct("aspects@1", &ASPECTS_REGIONS.map(|region| (region, 1)), answer)
}

/// pc-ASPECTS: ten less two for midbrain and pons each, less one for every other region.
#[must_use]
pub fn pc_aspects(answer: impl Fn(&str) -> Option<Presence>) -> Score {
    deduct("pc_aspects@1", &PC_ASPECTS_REGIONS, answer)
}

fn deduct(
    formula: &'static str,
    regions: &[(&'static str, i32)],
    answer: impl Fn(&str) -> Option<Presence>,
) -> Score {
    let (mut affected, mut unknown, mut excluded, mut present) = (0, 0, Vec::new(), Vec::new());
    let mut first_unknown = None;
    for (region, points) in regions {
        match answer(region) {
            Some(Presence::Absent) => {}
            Some(Presence::Present) => {
                affected += points;
                present.push(*region);
            }
            other => {
                unknown += points;
                excluded.push((*region).to_owned());
                first_unknown.get_or_insert(match other {
                    Some(Presence::Indeterminate) => Reason::Indeterminate(region),
                    Some(_) => Reason::NotAssessed(region),
                    None => Reason::Missing(region),
                });
            }
        }
    }
    let value = match first_unknown {
        None => Ok(ScoreValue::Points(10 - affected)),
        Some(reason) => Err(reason),
    };
    let interval = (unknown > 0).then_some((10 - affected - unknown, 10 - affected));
    Score {
        interval,
        excluded,
        ..Score::new(formula, value, vec![("present", json!(present))])
    }
}
