//! Time windows of stroke treatment, as a count-down for both doctors; limits are configuration.

use serde_json::json;

use super::{Given, Reason, Score, ScoreValue};

/// Limits in minutes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WindowPolicy {
    /// Intravenous thrombolysis.
    pub ivt_min: i64,
    /// Thrombectomy, standard window.
    pub evt_standard_min: i64,
    /// Thrombectomy with selection by imaging.
    pub evt_selected_min: i64,
}

impl Default for WindowPolicy {
    fn default() -> Self {
        Self {
            ivt_min: 270,
            evt_standard_min: 360,
            evt_selected_min: 1440,
        }
    }
}

/// How the onset is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnsetKind {
    /// 目撃
    Witnessed,
    /// 申告
    Reported,
    /// 起床時
    WakeUp,
    /// 不明
    Unknown,
}

impl OnsetKind {
    /// Parses the code of the request form.
    #[must_use]
    pub fn parse(code: &str) -> Option<Self> {
        match code {
            "witnessed" => Some(Self::Witnessed),
            "reported" => Some(Self::Reported),
            "wake_up" => Some(Self::WakeUp),
            "unknown" => Some(Self::Unknown),
            _ => None,
        }
    }
}

/// When it began, as far as is known. Instants are milliseconds UTC.
#[derive(Debug, Clone)]
pub struct Onset {
    /// How the onset is known.
    pub kind: Given<OnsetKind>,
    /// When symptoms began.
    pub onset_at_ms: Given<i64>,
    /// When the patient was last known well.
    pub last_known_well_at_ms: Given<i64>,
}

impl Onset {
    /// The instant the windows count from: the onset when someone saw or reported it, else last known well.
    pub fn zero_at_ms(&self) -> Given<i64> {
        match self.kind? {
            OnsetKind::Witnessed | OnsetKind::Reported => self.onset_at_ms,
            OnsetKind::WakeUp | OnsetKind::Unknown => self.last_known_well_at_ms,
        }
    }

    /// Minutes since then; an instant in the future is refused, not counted as zero. A part of a minute counts as
    /// a whole one, so that a window is never shown open too long.
    fn elapsed_min(&self, now_ms: i64) -> Given<i64> {
        let elapsed_ms = now_ms - self.zero_at_ms()?;
        if elapsed_ms < 0 {
            return Err(Reason::OutOfRange("onset_dt"));
        }
        Ok(elapsed_ms.div_euclid(60_000) + i64::from(elapsed_ms % 60_000 != 0))
    }
}

/// Window of thrombolysis: `open`, `open_by_mismatch`, `closed`; minutes left are the last input.
#[must_use]
pub fn ivt_window(
    onset: &Onset,
    dwi_flair_mismatch: Given<bool>,
    now_ms: i64,
    policy: &WindowPolicy,
) -> Score {
    let elapsed_min = onset.elapsed_min(now_ms);
    let by_mismatch =
        matches!(onset.kind, Ok(OnsetKind::WakeUp | OnsetKind::Unknown)) && dwi_flair_mismatch == Ok(true);
    let value = elapsed_min.map(|elapsed| {
        ScoreValue::Code(if elapsed <= policy.ivt_min {
            "open"
        } else if by_mismatch {
            "open_by_mismatch"
        } else {
            "closed"
        })
    });
    Score::new("ivt_window@1", value, window_inputs(elapsed_min, policy.ivt_min))
}

/// Window of thrombectomy: `standard`, `selected`, `outside`.
#[must_use]
pub fn evt_window(onset: &Onset, now_ms: i64, policy: &WindowPolicy) -> Score {
    let elapsed_min = onset.elapsed_min(now_ms);
    let value = elapsed_min.map(|elapsed| {
        ScoreValue::Code(if elapsed <= policy.evt_standard_min {
            "standard"
        } else if elapsed <= policy.evt_selected_min {
            "selected"
        } else {
            "outside"
        })
    });
    Score::new(
        "evt_window@1",
        value,
        window_inputs(elapsed_min, policy.evt_selected_min),
    )
}

fn window_inputs(elapsed_min: Given<i64>, limit_min: i64) -> Vec<(&'static str, serde_json::Value)> {
    let left = elapsed_min.ok().map(|elapsed| (limit_min - elapsed).max(0));
    vec![
        ("elapsed_min", json!(elapsed_min.ok())),
        ("minutes_left", json!(left)),
    ]
}
