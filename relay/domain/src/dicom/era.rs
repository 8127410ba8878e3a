//! Japanese era years (和暦) of DICOM dates: older patients give their birth date in no other way.

use jiff::civil::{Date, date};

/// First day of each era as the laws and ordinances fix it, the newest first, with the western year its first year is.
///
/// Meiji begins where Japan took over the Gregorian calendar, 1 January of its sixth year: an earlier date of that
/// calendar has no certain era date, and nobody alive was born then.
const ERAS: [(Date, &str, i16); 5] = [
    (date(2019, 5, 1), "令和", 2019),
    (date(1989, 1, 8), "平成", 1989),
    (date(1926, 12, 25), "昭和", 1926),
    (date(1912, 7, 30), "大正", 1912),
    (date(1873, 1, 1), "明治", 1868),
];

/// The era and year of a DICOM date (`YYYYMMDD`), as in 昭和23年; the first year of an era is 元年. `None` for what is
/// no date or lies before Meiji 6 (1873).
#[must_use]
pub fn japanese_era(da: &str) -> Option<String> {
    if da.len() != 8 || !da.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let day = Date::strptime("%Y%m%d", da).ok()?;
    let (_, era, first_year) = ERAS.iter().find(|(first_day, _, _)| day >= *first_day)?;
    Some(match day.year() - first_year + 1 {
        1 => format!("{era}元年"),
        year => format!("{era}{year}年"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn eras_turn_on_their_first_day() {
        for (da, expected) in [
            ("18730101", "明治6年"),
            ("19120729", "明治45年"),
            ("19120730", "大正元年"),
            ("19121231", "大正元年"),
            ("19130101", "大正2年"),
            ("19261224", "大正15年"),
            ("19261225", "昭和元年"),
            ("19261231", "昭和元年"),
            ("19270101", "昭和2年"),
            ("19480312", "昭和23年"),
            ("19890107", "昭和64年"),
            ("19890108", "平成元年"),
            ("19900101", "平成2年"),
            ("20190430", "平成31年"),
            ("20190501", "令和元年"),
            ("20191231", "令和元年"),
            ("20200101", "令和2年"),
            ("20260228", "令和8年"),
        ] {
            assert_eq!(japanese_era(da).as_deref(), Some(expected), "{da}");
        }
    }

    #[test]
    fn what_is_no_date_or_before_the_calendar_has_no_era() {
        for da in [
            "",
            "1948",
            "19480230",
            "00000000",
            "XXXXXXXX",
            "1948-3-1",
            "１９４８０３１２",
            "18721231",
            "18680125",
            "194803120",
        ] {
            assert_eq!(japanese_era(da), None, "{da}");
        }
    }
}
