//! `[turnaround.URGENCY]`: how soon a request is to be opened, answered by voice, and answered in writing.

use super::source::Source;

/// Due times of one urgency, counted from the request; `None` means no target of that kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Targets {
    /// Until a reader opens it, in milliseconds.
    pub open_ms: Option<i64>,
    /// Until the first answer by voice, in milliseconds.
    pub verbal_ms: Option<i64>,
    /// Until the written preliminary or final, in milliseconds. For `routine` absent means the end of the next
    /// clinic day.
    pub written_ms: Option<i64>,
}

/// Due times by urgency.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TurnaroundConfig {
    /// Suspected stroke within 24 h, or falling consciousness.
    pub stroke_code: Targets,
    /// Suspected haemorrhage, herniation signs.
    pub critical: Targets,
    /// New deficit, symptomatic tumour.
    pub urgent: Targets,
    /// Follow-up, screening.
    pub routine: Targets,
    /// Second opinion.
    pub elective: Targets,
}

/// Longest target that makes sense, in minutes: 30 days.
const MINUTES_MAX: i64 = 30 * 24 * 60;

impl TurnaroundConfig {
    pub(super) fn read(source: &mut Source) -> Self {
        let mut targets = |urgency: &str, open: Option<i64>, verbal: Option<i64>, written: Option<i64>| {
            let mut section = source.section(&format!("turnaround.{urgency}"));
            let mut minutes = |key: &str, default: Option<i64>| {
                section
                    .integer(key, 1..=MINUTES_MAX)
                    .or(default)
                    .map(|minutes| minutes * 60_000)
            };
            Targets {
                open_ms: minutes("open_minutes", open),
                verbal_ms: minutes("verbal_minutes", verbal),
                written_ms: minutes("written_minutes", written),
            }
        };
        Self {
            stroke_code: targets("stroke_code", Some(5), Some(15), Some(30)),
            critical: targets("critical", Some(10), Some(30), Some(60)),
            urgent: targets("urgent", Some(60), None, Some(180)),
            routine: targets("routine", None, None, None),
            elective: targets("elective", None, None, Some(3 * 24 * 60)),
        }
    }
}
