//! Glasgow Coma Scale and pupils. JCS and GCS are never converted into each other.

use serde_json::json;

use super::{Given, Reason, Score, ScoreValue, shown};

/// Difference of pupil sizes from which they count as unequal, in mm; a network may set another.
pub const ANISOCORIA_MM: f64 = 1.0;

/// One item of the Glasgow Coma Scale from its code: a number, or `T`/`NT` for not testable.
///
/// # Errors
/// The reason why there is no number, naming `field`.
pub fn gcs_item(code: Option<&str>, field: &'static str, points_max: i32) -> Given<i32> {
    match code {
        None => Err(Reason::Missing(field)),
        Some("T" | "NT") => Err(Reason::NotTestable(field)),
        Some(text) => match text.parse::<i32>() {
            Ok(points) if (1..=points_max).contains(&points) => Ok(points),
            _ => Err(Reason::OutOfRange(field)),
        },
    }
}

/// GCS total, 3 to 15, only when eye, verbal and motor are all numbers.
#[must_use]
pub fn gcs_total(eye: Option<&str>, verbal: Option<&str>, motor: Option<&str>) -> Score {
    let value = (|| {
        let points =
            gcs_item(eye, "gcs_e", 4)? + gcs_item(verbal, "gcs_v", 5)? + gcs_item(motor, "gcs_m", 6)?;
        Ok(ScoreValue::Points(points))
    })();
    let inputs = vec![
        ("gcs_e", json!(eye)),
        ("gcs_v", json!(verbal)),
        ("gcs_m", json!(motor)),
    ];
    Score::new("gcs_total@1", value, inputs)
}

/// How the scale is written when an item is not a number: `E4VTM6`.
#[must_use]
pub fn gcs_text(eye: Option<&str>, verbal: Option<&str>, motor: Option<&str>) -> String {
    let item = |code: Option<&str>| code.unwrap_or("?").to_owned();
    format!("E{}V{}M{}", item(eye), item(verbal), item(motor))
}

/// Whether the pupils differ by at least `threshold_mm`.
#[must_use]
pub fn anisocoria(right_mm: Given<f64>, left_mm: Given<f64>, threshold_mm: f64) -> Score {
    let inputs = vec![
        ("pupil_right_size_mm", shown(&right_mm)),
        ("pupil_left_size_mm", shown(&left_mm)),
    ];
    // Sizes have one decimal; the sum of two roundings must not hide a difference of exactly the threshold.
    let value = (|| {
        Ok(ScoreValue::Flag(
            (right_mm? - left_mm?).abs() + 1e-9 >= threshold_mm,
        ))
    })();
    Score::new("anisocoria@1", value, inputs)
}
