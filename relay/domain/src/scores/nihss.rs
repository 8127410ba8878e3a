//! NIH Stroke Scale: fifteen items, 0 to 42. Items 5, 6, 7 and 10 may be untestable and are then left out of the sum.

use serde_json::json;

use super::{Reason, Score, ScoreValue};

/// Item, most points, whether `UN` is an answer.
pub const NIHSS_ITEMS: [(&str, i32, bool); 15] = [
    ("1a", 3, false),
    ("1b", 2, false),
    ("1c", 2, false),
    ("2", 2, false),
    ("3", 3, false),
    ("4", 3, false),
    ("5a", 4, true),
    ("5b", 4, true),
    ("6a", 4, true),
    ("6b", 4, true),
    ("7", 2, true),
    ("8", 2, false),
    ("9", 3, false),
    ("10", 2, true),
    ("11", 2, false),
];

/// The total of the items; `answer` gives an item's code, a number or `UN`.
#[must_use]
pub fn nihss(answer: impl Fn(&str) -> Option<String>) -> Score {
    let (mut total, mut untestable, mut inputs) = (0, Vec::new(), Vec::new());
    let mut reason = None;
    for (item, points_max, may_be_untestable) in NIHSS_ITEMS {
        let code = answer(item);
        inputs.push((item, json!(code)));
        match code.as_deref() {
            None => {
                reason.get_or_insert(Reason::Missing(item));
            }
            Some("UN") if may_be_untestable => untestable.push(item.to_owned()),
            Some(text) => match text.parse::<i32>() {
                Ok(points) if (0..=points_max).contains(&points) => total += points,
                _ => {
                    reason.get_or_insert(Reason::OutOfRange(item));
                }
            },
        }
    }
    let value = reason.map_or(Ok(ScoreValue::Points(total)), Err);
    Score {
        excluded: untestable,
        ..Score::new("nihss@1", value, inputs)
    }
}
