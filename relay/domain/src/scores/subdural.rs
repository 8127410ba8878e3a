//! Markwalder grade of chronic subdural haematoma (1981, J Neurosurg 55:390).

use serde_json::json;

use super::{Given, Reason, Score, ScoreValue};

/// The state of the patient that each grade names.
pub const MARKWALDER: [(&str, i32); 5] = [
    // Neurologically normal.
    ("normal", 0),
    // Alert and oriented, mild symptoms, no or mild deficit.
    ("alert_mild_symptoms", 1),
    // Drowsy or disoriented, or variable deficit such as hemiparesis.
    ("drowsy_or_variable_deficit", 2),
    // Stuporous but answering noxious stimuli, severe focal signs.
    ("stuporous_severe_deficit", 3),
    // Comatose, no motor answer to pain, decerebrate or decorticate.
    ("comatose", 4),
];

/// Markwalder grade, 0 to 4, from the code of the patient's state.
#[must_use]
pub fn markwalder(state: Given<&str>) -> Score {
    let value = state.and_then(|state| {
        let grade = MARKWALDER.iter().find(|(code, _)| *code == state);
        grade
            .map(|(_, grade)| ScoreValue::Points(*grade))
            .ok_or(Reason::OutOfRange("markwalder_state"))
    });
    let inputs = vec![(
        "markwalder_state",
        state.map_or(serde_json::Value::Null, |state| json!(state)),
    )];
    Score::new("markwalder@1", value, inputs)
}
