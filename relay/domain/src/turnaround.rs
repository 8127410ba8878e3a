//! Due times by urgency and by criticality; plain arithmetic on milliseconds UTC, every figure configurable.

use jiff::civil::{Date, Weekday};
use jiff::{Timestamp, ToSpan};

use crate::critical_result::Criticality;
use crate::dicom::Priority;
use crate::patient::wall_clock;

const MINUTE_MS: i64 = 60_000;
const HOUR_MS: i64 = 60 * MINUTE_MS;
const DAY_MS: i64 = 24 * HOUR_MS;

/// How urgent the sender calls a request (clinical reference 2.2); the order is the order on the worklist.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Urgency {
    /// 脳卒中コード
    StrokeCode,
    /// 緊急
    Critical,
    /// 準緊急
    Urgent,
    /// 通常
    Routine,
    /// 予約・意見伺い
    Elective,
}

impl Urgency {
    /// Every urgency, most urgent first.
    pub const ALL: [Self; 5] = [
        Self::StrokeCode,
        Self::Critical,
        Self::Urgent,
        Self::Routine,
        Self::Elective,
    ];

    /// The stable text form.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::StrokeCode => "stroke_code",
            Self::Critical => "critical",
            Self::Urgent => "urgent",
            Self::Routine => "routine",
            Self::Elective => "elective",
        }
    }

    /// Parses the stable text form.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|urgency| urgency.as_str() == text)
    }

    /// Position on the worklist, 0 first.
    #[must_use]
    pub fn rank(self) -> i64 {
        match self {
            Self::StrokeCode => 0,
            Self::Critical => 1,
            Self::Urgent => 2,
            Self::Routine => 3,
            Self::Elective => 4,
        }
    }

    /// How the images of such a request travel.
    #[must_use]
    pub fn transfer_class(self) -> Priority {
        match self {
            Self::StrokeCode | Self::Critical => Priority::Stat,
            Self::Urgent => Priority::Urgent,
            Self::Routine | Self::Elective => Priority::Routine,
        }
    }

    /// The urgency of a request that opens by itself when a study arrives with this priority.
    #[must_use]
    pub fn of_arrival(priority: Priority) -> Self {
        match priority {
            Priority::Stat => Self::Critical,
            Priority::Urgent => Self::Urgent,
            Priority::Routine => Self::Routine,
        }
    }
}

/// When something is due after an instant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Target {
    /// After so many milliseconds.
    Within(i64),
    /// By the end of the next clinic day.
    NextClinicDay,
}

/// Targets of one urgency.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UrgencyTargets {
    /// A reader has claimed the request.
    pub open: Option<Target>,
    /// The sender has a spoken answer, from the last image.
    pub verbal: Option<Target>,
    /// A signed report is there.
    pub written: Target,
}

/// Every due time of a network.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TurnaroundPolicy {
    /// 脳卒中コード
    pub stroke_code: UrgencyTargets,
    /// 緊急
    pub critical: UrgencyTargets,
    /// 準緊急
    pub urgent: UrgencyTargets,
    /// 通常
    pub routine: UrgencyTargets,
    /// 予約・意見伺い
    pub elective: UrgencyTargets,
    /// Acknowledgement of a red finding, in ms.
    pub red_ms: i64,
    /// Acknowledgement of an orange finding, in ms.
    pub orange_ms: i64,
    /// Acknowledgement of a yellow finding, in ms.
    pub yellow_ms: i64,
    /// Hour of the wall clock at which a clinic day ends.
    pub clinic_day_ends_h: i8,
    /// Days without clinic besides Saturdays and Sundays.
    pub holidays: Vec<Date>,
}

impl Default for TurnaroundPolicy {
    fn default() -> Self {
        let minutes = |n: i64| Target::Within(n * MINUTE_MS);
        let targets = |open, verbal, written| UrgencyTargets {
            open,
            verbal,
            written,
        };
        Self {
            stroke_code: targets(Some(minutes(5)), Some(minutes(15)), minutes(30)),
            critical: targets(Some(minutes(10)), Some(minutes(30)), minutes(60)),
            urgent: targets(Some(minutes(60)), None, minutes(180)),
            routine: targets(None, None, Target::NextClinicDay),
            elective: targets(None, None, Target::Within(3 * DAY_MS)),
            red_ms: 15 * MINUTE_MS,
            orange_ms: 3 * HOUR_MS,
            yellow_ms: 3 * DAY_MS,
            clinic_day_ends_h: 18,
            holidays: Vec::new(),
        }
    }
}

/// Due instants of one request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Due {
    /// By when a reader should have claimed it.
    pub open_by_ms: Option<i64>,
    /// By when the sender should have a spoken answer.
    pub verbal_by_ms: Option<i64>,
    /// By when a signed report should be there.
    pub written_by_ms: i64,
}

impl TurnaroundPolicy {
    fn targets(&self, urgency: Urgency) -> &UrgencyTargets {
        match urgency {
            Urgency::StrokeCode => &self.stroke_code,
            Urgency::Critical => &self.critical,
            Urgency::Urgent => &self.urgent,
            Urgency::Routine => &self.routine,
            Urgency::Elective => &self.elective,
        }
    }

    /// Due instants of a request. The spoken answer counts from the last image, or from the request if that came
    /// later: images sent ahead of the request do not use up the reader's minutes.
    #[must_use]
    pub fn due(&self, urgency: Urgency, requested_at_ms: i64, last_image_at_ms: Option<i64>) -> Due {
        let targets = self.targets(urgency);
        let images_at_ms = last_image_at_ms.unwrap_or(requested_at_ms).max(requested_at_ms);
        Due {
            open_by_ms: targets.open.map(|target| self.reached(target, requested_at_ms)),
            verbal_by_ms: targets.verbal.map(|target| self.reached(target, images_at_ms)),
            written_by_ms: self.reached(targets.written, requested_at_ms),
        }
    }

    /// By when a report has to be acknowledged: by criticality, and without one by the urgency's written target.
    #[must_use]
    pub fn acknowledge_by_ms(&self, criticality: Criticality, urgency: Urgency, signed_at_ms: i64) -> i64 {
        match criticality {
            Criticality::Red => signed_at_ms + self.red_ms,
            Criticality::Orange => signed_at_ms + self.orange_ms,
            Criticality::Yellow => signed_at_ms + self.yellow_ms,
            Criticality::None => self.reached(self.targets(urgency).written, signed_at_ms),
        }
    }

    fn reached(&self, target: Target, from_ms: i64) -> i64 {
        match target {
            Target::Within(ms) => from_ms + ms,
            Target::NextClinicDay => self.next_clinic_day_end_ms(from_ms).unwrap_or(from_ms + DAY_MS),
        }
    }

    fn next_clinic_day_end_ms(&self, from_ms: i64) -> Option<i64> {
        let mut day = Timestamp::from_millisecond(from_ms)
            .ok()?
            .to_zoned(wall_clock())
            .date();
        loop {
            day = day.checked_add(1.day()).ok()?;
            let weekend = matches!(day.weekday(), Weekday::Saturday | Weekday::Sunday);
            if !weekend && !self.holidays.contains(&day) {
                break;
            }
        }
        let end = day
            .at(self.clinic_day_ends_h, 0, 0, 0)
            .to_zoned(wall_clock())
            .ok()?;
        Some(end.timestamp().as_millisecond())
    }
}

/// What happens while nobody acknowledges (clinical reference 3.3 rule 6).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum LadderStep {
    /// The same people are told again.
    Renotify,
    /// They are told on a second channel.
    SecondChannel,
    /// The site's on-call and its liaison office are told.
    Liaison,
    /// The network's coordinator is told.
    Coordinator,
}

impl LadderStep {
    /// The steps in order, each with the share of the target after which it is taken, in percent.
    pub const LADDER: [(Self, i64); 4] = [
        (Self::Renotify, 50),
        (Self::SecondChannel, 100),
        (Self::Liaison, 150),
        (Self::Coordinator, 200),
    ];

    /// The stable text form.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Renotify => "renotify",
            Self::SecondChannel => "second_channel",
            Self::Liaison => "liaison",
            Self::Coordinator => "coordinator",
        }
    }

    /// Parses the stable text form.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Self::LADDER
            .into_iter()
            .map(|(step, _)| step)
            .find(|step| step.as_str() == text)
    }
}

/// The instants of the ladder for a report signed and due to be acknowledged at these instants.
#[must_use]
pub fn ladder(signed_at_ms: i64, acknowledge_by_ms: i64) -> [(LadderStep, i64); 4] {
    let target_ms = acknowledge_by_ms - signed_at_ms;
    LadderStep::LADDER.map(|(step, percent)| (step, signed_at_ms + target_ms * percent / 100))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> i64 {
        text.parse::<Timestamp>().expect("instant").as_millisecond()
    }

    #[test]
    fn the_spoken_answer_counts_from_the_last_image() {
        let policy = TurnaroundPolicy::default();
        let due = policy.due(Urgency::StrokeCode, 0, Some(60_000));
        assert_eq!(
            due,
            Due {
                open_by_ms: Some(300_000),
                verbal_by_ms: Some(960_000),
                written_by_ms: 1_800_000
            }
        );
        let due = policy.due(Urgency::Critical, 60_000, Some(0));
        assert_eq!(due.verbal_by_ms, Some(60_000 + 1_800_000));
        assert_eq!(policy.due(Urgency::Elective, 0, None).open_by_ms, None);
    }

    #[test]
    fn routine_is_due_on_the_next_clinic_day() {
        let mut policy = TurnaroundPolicy::default();
        let friday_night = at("2026-03-06T23:30:00+09:00");
        let written =
            |policy: &TurnaroundPolicy| policy.due(Urgency::Routine, friday_night, None).written_by_ms;
        assert_eq!(written(&policy), at("2026-03-09T18:00:00+09:00"));
        policy.holidays = vec![jiff::civil::date(2026, 3, 9)];
        assert_eq!(written(&policy), at("2026-03-10T18:00:00+09:00"));
    }

    #[test]
    fn the_ladder_climbs_by_halves_of_the_target() {
        let policy = TurnaroundPolicy::default();
        let by = policy.acknowledge_by_ms(Criticality::Red, Urgency::Routine, 1_000);
        let steps: Vec<_> = ladder(1_000, by)
            .into_iter()
            .map(|(step, at_ms)| (step.as_str(), (at_ms - 1_000) / 1_000))
            .collect();
        assert_eq!(
            steps,
            [
                ("renotify", 450),
                ("second_channel", 900),
                ("liaison", 1350),
                ("coordinator", 1800)
            ]
        );
        assert_eq!(
            policy.acknowledge_by_ms(Criticality::None, Urgency::Urgent, 0),
            3 * HOUR_MS
        );
    }

    #[test]
    fn urgencies_map_to_transfer_classes() {
        let classes = Urgency::ALL.map(|urgency| urgency.transfer_class().as_str());
        assert_eq!(classes, ["stat", "stat", "urgent", "routine", "routine"]);
        for urgency in Urgency::ALL {
            assert_eq!(Urgency::parse(urgency.as_str()), Some(urgency));
        }
        assert_eq!(Urgency::of_arrival(Priority::Stat), Urgency::Critical);
    }
}
