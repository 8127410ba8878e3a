//! CT grades of head injury: Marshall (1991, J Neurosurg 75:S14) and Rotterdam (Maas 2005, Neurosurgery 57:1173).

use serde_json::json;

use super::{Given, Reason, Score, ScoreValue, shown};

/// Shift above which the midline counts as shifted, in mm.
pub const MIDLINE_SHIFT_MM: f64 = 5.0;
/// Volume above which a lesion counts as a mass, in mL.
pub const LESION_ML: f64 = 25.0;

/// The basal cisterns.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Cisterns {
    /// 開存
    Normal,
    /// 圧排
    Compressed,
    /// 消失
    Absent,
}

impl Cisterns {
    /// Parses the code of the `cistern3` set.
    #[must_use]
    pub fn parse(code: &str) -> Option<Self> {
        match code {
            "normal" => Some(Self::Normal),
            "compressed" => Some(Self::Compressed),
            "absent" => Some(Self::Absent),
            _ => None,
        }
    }

    fn as_str(self) -> &'static str {
        match self {
            Self::Normal => "normal",
            Self::Compressed => "compressed",
            Self::Absent => "absent",
        }
    }
}

fn cisterns_shown(cisterns: Given<Cisterns>) -> serde_json::Value {
    cisterns.map_or(serde_json::Value::Null, |found| json!(found.as_str()))
}

/// What the Marshall classification is made of.
#[derive(Debug, Clone)]
pub struct MarshallInputs {
    /// A mass lesion was evacuated.
    pub evacuated: Given<bool>,
    /// Largest lesion of high or mixed density that was not evacuated, in mL; zero when there is none.
    pub largest_lesion_ml: Given<f64>,
    /// Midline shift in mm.
    pub mls_mm: Given<f64>,
    /// Basal cisterns.
    pub cisterns: Given<Cisterns>,
    /// Any intracranial pathology is visible.
    pub pathology: Given<bool>,
}

/// Marshall class I to VI. A shift of exactly 5 mm belongs to II or III.
#[must_use]
pub fn marshall(given: &MarshallInputs) -> Score {
    let inputs = vec![
        ("evacuated", shown(&given.evacuated)),
        ("largest_lesion_ml", shown(&given.largest_lesion_ml)),
        ("mls_mm", shown(&given.mls_mm)),
        ("cisterns", cisterns_shown(given.cisterns)),
        ("pathology", shown(&given.pathology)),
    ];
    let value = (|| {
        let class = if given.evacuated? {
            "V"
        } else if given.largest_lesion_ml? > LESION_ML {
            "VI"
        } else if given.mls_mm? > MIDLINE_SHIFT_MM {
            "IV"
        } else if given.cisterns? != Cisterns::Normal {
            "III"
        } else if given.pathology? {
            "II"
        } else {
            "I"
        };
        Ok(ScoreValue::Code(class))
    })();
    Score::new("marshall@1", value, inputs)
}

/// What the Rotterdam score is made of.
#[derive(Debug, Clone)]
pub struct RotterdamInputs {
    /// Basal cisterns.
    pub cisterns: Given<Cisterns>,
    /// Midline shift in mm.
    pub mls_mm: Given<f64>,
    /// An epidural haematoma is there; it lowers the score.
    pub edh: Given<bool>,
    /// Intraventricular or traumatic subarachnoid blood.
    pub ivh_or_tsah: Given<bool>,
}

/// Rotterdam CT score, 1 to 6; a normal scan is 2, because the epidural item is inverted.
#[must_use]
pub fn rotterdam(given: &RotterdamInputs) -> Score {
    let inputs = vec![
        ("cisterns", cisterns_shown(given.cisterns)),
        ("mls_mm", shown(&given.mls_mm)),
        ("edh", shown(&given.edh)),
        ("ivh_or_tsah", shown(&given.ivh_or_tsah)),
    ];
    let value = (|| {
        if given.mls_mm? < 0.0 {
            return Err(Reason::OutOfRange("mls_mm"));
        }
        let cisterns = match given.cisterns? {
            Cisterns::Normal => 0,
            Cisterns::Compressed => 1,
            Cisterns::Absent => 2,
        };
        let points = 1
            + cisterns
            + i32::from(given.mls_mm? > MIDLINE_SHIFT_MM)
            + i32::from(!given.edh?)
            + i32::from(given.ivh_or_tsah?);
        Ok(ScoreValue::Points(points))
    })();
    Score::new("rotterdam@1", value, inputs)
}
