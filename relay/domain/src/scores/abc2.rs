//! Haematoma volume by ABC/2 (Kothari 1996, Stroke 27:1304), with weighted slices for C.

use super::{Given, Reason, Score, ScoreValue, shown};

/// Largest volume that is taken as an intracranial haematoma, in mL.
pub const VOLUME_ML_MAX: f64 = 300.0;

/// Volume in mL from three diameters in mm: `A * B * C / 2 / 1000`, unrounded.
#[must_use]
pub fn abc2(a_mm: Given<f64>, b_mm: Given<f64>, c_mm: Given<f64>) -> Score {
    let inputs = vec![
        ("a_mm", shown(&a_mm)),
        ("b_mm", shown(&b_mm)),
        ("c_mm", shown(&c_mm)),
    ];
    let value = (|| {
        let volume_ml = a_mm? * b_mm? * c_mm? / 2.0 / 1000.0;
        if (0.0..=VOLUME_ML_MAX).contains(&volume_ml) {
            Ok(ScoreValue::Amount(volume_ml))
        } else {
            Err(Reason::OutOfRange("volume_ml"))
        }
    })();
    Score {
        unit: Some("mL"),
        ..Score::new("abc2@1", value, inputs)
    }
}

/// C in mm from the haematoma's area on each slice (any unit, all the same) and the distance between slices in mm,
/// taken from the slices' positions. A slice counts fully above 75 % of the largest area, half from 25 to 75 %,
/// not below.
///
/// No slices, an area that is not a finite positive number, or a distance of zero gives none.
#[must_use]
pub fn weighted_c_mm(areas: &[f64], slice_distance_mm: f64) -> Option<f64> {
    let largest = areas.iter().copied().fold(0.0, f64::max);
    let sound = areas.iter().all(|area| area.is_finite() && *area >= 0.0)
        && largest > 0.0
        && slice_distance_mm.is_finite()
        && slice_distance_mm > 0.0;
    let weight = |area: &f64| match area / largest {
        share if share > 0.75 => 1.0,
        share if share >= 0.25 => 0.5,
        _ => 0.0,
    };
    sound.then(|| areas.iter().map(weight).sum::<f64>() * slice_distance_mm)
}
