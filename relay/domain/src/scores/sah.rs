//! Grades of subarachnoid haemorrhage: WFNS, Fisher, modified Fisher, Hunt and Kosnik.

use serde_json::json;

use super::{Given, Reason, Score, ScoreValue, shown};

/// WFNS grade. A coma scale of 15 with a deficit has no grade and is asked back.
#[must_use]
pub fn wfns(gcs_total: Given<i32>, focal_deficit: Given<bool>) -> Score {
    let inputs = vec![
        ("gcs_total", shown(&gcs_total)),
        ("focal_deficit_wfns", shown(&focal_deficit)),
    ];
    let value = (|| {
        Ok(ScoreValue::Code(match gcs_total? {
            15 if focal_deficit? => return Err(Reason::Undefined("gcs_15_with_deficit")),
            15 => "I",
            13..=14 if focal_deficit? => "III",
            13..=14 => "II",
            7..=12 => "IV",
            3..=6 => "V",
            _ => return Err(Reason::OutOfRange("gcs_total")),
        }))
    })();
    Score::new("wfns@1", value, inputs)
}

/// Modified WFNS grade (Japan), from the coma scale alone.
#[must_use]
pub fn modified_wfns(gcs_total: Given<i32>) -> Score {
    let inputs = vec![("gcs_total", shown(&gcs_total))];
    let value = gcs_total.and_then(|total| {
        Ok(ScoreValue::Code(match total {
            15 => "I",
            14 => "II",
            13 => "III",
            7..=12 => "IV",
            3..=6 => "V",
            _ => return Err(Reason::OutOfRange("gcs_total")),
        }))
    });
    Score::new("modified_wfns@1", value, inputs)
}

/// Blood as seen on the scan.
#[derive(Debug, Clone)]
pub struct SubarachnoidBlood {
    /// Localised clot or vertical layer of 1 mm or more.
    pub thick: Given<bool>,
    /// Diffuse thin blood.
    pub thin: Given<bool>,
    /// Blood in the ventricles.
    pub ivh: Given<bool>,
    /// Blood in the brain.
    pub ich: Given<bool>,
}

impl SubarachnoidBlood {
    fn inputs(&self) -> Vec<(&'static str, serde_json::Value)> {
        vec![
            ("thick", shown(&self.thick)),
            ("thin", shown(&self.thin)),
            ("ivh", shown(&self.ivh)),
            ("ich", shown(&self.ich)),
        ]
    }
}

/// Fisher grade (1980): thick blood is 3 whatever else is there; then clot in brain or ventricle 4; then thin 2.
#[must_use]
pub fn fisher(blood: &SubarachnoidBlood) -> Score {
    let value = (|| {
        let grade = if blood.thick? {
            3
        } else if blood.ich? || blood.ivh? {
            4
        } else if blood.thin? {
            2
        } else {
            1
        };
        Ok(ScoreValue::Points(grade))
    })();
    Score::new("fisher@1", value, blood.inputs())
}

/// Modified Fisher grade (Claassen 2001, Frontera 2006). Ventricular blood alone has no grade and is asked back.
#[must_use]
pub fn modified_fisher(blood: &SubarachnoidBlood) -> Score {
    let value = (|| {
        let (thick, ivh) = (blood.thick?, blood.ivh?);
        let thin = !thick && blood.thin?;
        match (thick, thin, ivh) {
            (true, _, true) => Ok(ScoreValue::Points(4)),
            (true, _, false) => Ok(ScoreValue::Points(3)),
            (false, true, true) => Ok(ScoreValue::Points(2)),
            (false, true, false) => Ok(ScoreValue::Points(1)),
            (false, false, false) => Ok(ScoreValue::Points(0)),
            (false, false, true) => Err(Reason::Undefined("ivh_without_sah")),
        }
    })();
    Score::new("mfisher@1", value, blood.inputs())
}

/// Grades of Hunt and Kosnik (1974), mildest first. `Ia` is a fixed deficit without acute signs.
pub const HUNT_KOSNIK: [&str; 7] = ["0", "I", "Ia", "II", "III", "IV", "V"];

/// Hunt and Kosnik with its modifier: serious systemic disease or marked vasospasm makes it one grade worse, never
/// worse than V. Unruptured (0) stays 0; I and Ia both become II.
#[must_use]
pub fn hunt_kosnik(base: Given<&str>, modifier: Given<bool>) -> Score {
    let inputs = vec![
        (
            "hk_base",
            base.map_or(serde_json::Value::Null, |grade| json!(grade)),
        ),
        ("hk_modifier_applied", shown(&modifier)),
    ];
    let value = (|| {
        let grade = HUNT_KOSNIK.into_iter().find(|known| base == Ok(known));
        let grade = grade.ok_or(base.err().unwrap_or(Reason::OutOfRange("hk_base")))?;
        Ok(ScoreValue::Code(match (grade, modifier?) {
            (same, false) => same,
            ("0", true) => "0",
            ("I" | "Ia", true) => "II",
            ("II", true) => "III",
            ("III", true) => "IV",
            (_, true) => "V",
        }))
    })();
    Score::new("hunt_kosnik@1", value, inputs)
}
