//! Hours of the local day in which routine work may go over the line.

use jiff::Timestamp;
use jiff::tz::TimeZone;

const MINUTES_OF_DAY: u16 = 24 * 60;
const MINUTE_MS: i64 = 60_000;

/// Spans of the local day; none for the whole day.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RoutineHours(Vec<(u16, u16)>);

impl RoutineHours {
    /// Parses spans such as `19:00-07:00`, which may go over midnight. The end is not in it; `24:00` is an end.
    ///
    /// # Errors
    /// The first text that is no span.
    pub fn parse<'a>(spans: impl IntoIterator<Item = &'a str>) -> Result<Self, &'a str> {
        let parsed: Result<Vec<_>, _> = spans.into_iter().map(|text| span(text).ok_or(text)).collect();
        parsed.map(Self)
    }

    /// Whether routine work may go at this instant, milliseconds UTC, by the machine's time zone.
    #[must_use]
    pub fn allow(&self, now_ms: i64) -> bool {
        if self.0.is_empty() {
            return true;
        }
        // Without a time that means anything the line is better used than idle.
        let Ok(now) = Timestamp::from_millisecond(now_ms) else {
            return true;
        };
        let now = now.to_zoned(TimeZone::system());
        let minute = u16::from(now.hour().unsigned_abs()) * 60 + u16::from(now.minute().unsigned_abs());
        self.allow_at(minute)
    }

    /// When routine work may go again, on the minute; `None` while it may.
    #[must_use]
    pub fn waits_until(&self, now_ms: i64) -> Option<i64> {
        if self.allow(now_ms) {
            return None;
        }
        let minute_ms = now_ms - now_ms.rem_euclid(MINUTE_MS);
        // Two days: a span that the change to summer time skips comes the day after.
        (1..=2 * i64::from(MINUTES_OF_DAY))
            .map(|n| minute_ms + n * MINUTE_MS)
            .find(|at_ms| self.allow(*at_ms))
    }

    fn allow_at(&self, minute: u16) -> bool {
        self.0.iter().any(|(start, end)| match start < end {
            true => (*start..*end).contains(&minute),
            false => minute >= *start || minute < *end,
        })
    }
}

fn span(text: &str) -> Option<(u16, u16)> {
    let (start, end) = text.split_once('-')?;
    let (start, end) = (minute_of_day(start)?, minute_of_day(end)?);
    (start != end && start < MINUTES_OF_DAY).then_some((start, end))
}

fn minute_of_day(text: &str) -> Option<u16> {
    let (hour, minute) = text.trim().split_once(':')?;
    let number = |text: &str| {
        let is_number = text.len() == 2 && text.bytes().all(|byte| byte.is_ascii_digit());
        is_number.then(|| text.parse::<u16>().ok())?
    };
    let (hour, minute) = (number(hour)?, number(minute)?);
    let at = hour * 60 + minute;
    (minute < 60 && at <= MINUTES_OF_DAY).then_some(at)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_span_may_go_over_midnight_and_does_not_hold_its_end() {
        let hours = RoutineHours::parse(["12:00-13:00", "19:30-07:00"]).unwrap();
        let at = |hour: u16, minute: u16| hours.allow_at(hour * 60 + minute);
        assert!(at(12, 0) && at(12, 59) && at(19, 30) && at(23, 59) && at(0, 0) && at(6, 59));
        assert!(!at(11, 59) && !at(13, 0) && !at(19, 29) && !at(7, 0));
        let day = RoutineHours::parse(["00:00-24:00"]).unwrap();
        assert!((0..MINUTES_OF_DAY).all(|minute| day.allow_at(minute)));
        assert!(RoutineHours::default().allow(0));
    }

    #[test]
    fn work_that_waits_knows_until_when() {
        let now_ms = 1_700_000_012_345;
        let zoned = Timestamp::from_millisecond(now_ms)
            .unwrap()
            .to_zoned(TimeZone::system());
        let in_two_hours = zoned.checked_add(jiff::Span::new().hours(2)).unwrap();
        let span = format!("{0:02}:{1:02}-{0:02}:{2:02}", in_two_hours.hour(), 7, 9);
        let hours = RoutineHours::parse([span.as_str()]).unwrap();
        let until_ms = hours.waits_until(now_ms).unwrap();
        assert!(until_ms > now_ms && hours.allow(until_ms) && !hours.allow(until_ms - 1));
        assert_eq!(hours.waits_until(until_ms), None);
        assert_eq!(RoutineHours::default().waits_until(now_ms), None);
    }

    #[test]
    fn what_is_no_span_is_named() {
        for wrong in [
            "",
            "19-7",
            "19:00",
            "19:00-19:00",
            "25:00-07:00",
            "19:60-07:00",
            "24:00-07:00",
            "1:00-2:00",
            "+1:00-02:00",
        ] {
            assert_eq!(RoutineHours::parse(["01:00-02:00", wrong]), Err(wrong));
        }
    }
}
