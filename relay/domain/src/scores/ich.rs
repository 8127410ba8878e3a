//! ICH score (Hemphill 2001, Stroke 32:891). The mortality figures that belong to it are not shown by default.

use super::{Given, Score, ScoreValue, shown};

/// Volume from which one point is given, in mL.
pub const VOLUME_ML: f64 = 30.0;
/// Age from which one point is given, in years.
pub const AGE_YEARS: i32 = 80;

/// What the ICH score is made of.
#[derive(Debug, Clone)]
pub struct IchScoreInputs {
    /// Glasgow Coma Scale, 3 to 15.
    pub gcs_total: Given<i32>,
    /// Age in years.
    pub age_years: Given<i32>,
    /// Haematoma volume in mL, unrounded.
    pub volume_ml: Given<f64>,
    /// Blood in the ventricles.
    pub ivh: Given<bool>,
    /// Origin below the tentorium.
    pub infratentorial: Given<bool>,
}

/// ICH score, 0 to 6. `formula` tells a score with an estimated coma scale apart from a measured one.
#[must_use]
pub fn ich_score(formula: &'static str, given: &IchScoreInputs) -> Score {
    let inputs = vec![
        ("gcs_total", shown(&given.gcs_total)),
        ("age_years", shown(&given.age_years)),
        ("volume_ml", shown(&given.volume_ml)),
        ("ivh", shown(&given.ivh)),
        ("infratentorial", shown(&given.infratentorial)),
    ];
    let value = (|| {
        let coma = match given.gcs_total? {
            3..=4 => 2,
            5..=12 => 1,
            13..=15 => 0,
            _ => return Err(super::Reason::OutOfRange("gcs_total")),
        };
        let points = coma
            + i32::from(given.volume_ml? >= VOLUME_ML)
            + i32::from(given.ivh?)
            + i32::from(given.infratentorial?)
            + i32::from(given.age_years? >= AGE_YEARS);
        Ok(ScoreValue::Points(points))
    })();
    Score::new(formula, value, inputs)
}
