//! What each fault is seen by, what is no fault, and what stays bounded.

use std::io::Cursor;

use tancho_domain::dicom::{SeriesInstanceUid, StudyInstanceUid, TransferSyntaxUid};
use tancho_imaging::limits::ScanLimits;
use tancho_imaging::scan::scan;
use tancho_imaging::syntax::{DEFLATED, EXPLICIT_BIG, EXPLICIT_LITTLE};
use tancho_imaging::synthetic::CtSlice;

use super::*;

/// 2026-01-23 02:14:00 UTC.
const NOW_MS: i64 = 1_769_134_440_000;
const DAY_MS: i64 = 24 * 3_600_000;

/// A slice without a fault, as the scanner read it.
fn slice(number: u32) -> DataSetScan {
    let slice = CtSlice {
        instance_number: number,
        ..CtSlice::default()
    };
    let syntax = TransferSyntaxUid::parse(EXPLICIT_LITTLE).unwrap();
    let bytes = slice.data_set(&syntax).unwrap();
    scan(&mut Cursor::new(bytes), &syntax, &ScanLimits::default()).unwrap()
}

fn seen<'a>(scan: &'a DataSetScan, syntax: &'a str, at_ms: i64) -> Seen<'a> {
    Seen {
        calling_ae: "CT1",
        received_at_ms: at_ms,
        noted_at_ms: at_ms,
        transfer_syntax: syntax,
        scan,
    }
}

fn opened(folder: &Path) -> Conformance {
    Conformance::open(folder, TimeZone::UTC)
}

/// The faults that one object shows, with their details.
fn faults_of(scan: &DataSetScan, syntax: &str) -> Vec<(FaultCode, String)> {
    let faults = judge::object(&seen(scan, syntax, NOW_MS), &TimeZone::UTC);
    faults
        .into_iter()
        .map(|fault| (fault.code, fault.detail))
        .collect()
}

/// The faults that a series of these instance numbers and places shows.
fn faults_of_stack(images: &[(i64, f64)]) -> Vec<(FaultCode, String)> {
    let mut series = SeriesSoFar::new("CT1", "2.25.7");
    for (number, place_mm) in images {
        let mut scan = slice(1);
        scan.identity.instance_number = Some(*number);
        scan.placement.position_mm = Some([-100.0, -100.0, *place_mm]);
        series.add(&seen(&scan, EXPLICIT_LITTLE, NOW_MS));
    }
    series
        .faults()
        .into_iter()
        .map(|fault| (fault.code, fault.detail))
        .collect()
}

#[test]
fn a_good_object_shows_no_fault() {
    assert_eq!(faults_of(&slice(1), EXPLICIT_LITTLE), []);
}

#[test]
fn each_fault_of_an_object_is_seen_with_what_shows_it() {
    let changed = |change: &dyn Fn(&mut DataSetScan)| {
        let mut scan = slice(1);
        change(&mut scan);
        faults_of(&scan, EXPLICIT_LITTLE)
    };
    let text = |sets: &[&str]| {
        let sets: Vec<String> = sets.iter().map(|set| (*set).to_owned()).collect();
        changed(&move |scan| {
            scan.identity.text_uncertain = true;
            scan.identity.character_sets.clone_from(&sets);
        })
    };
    assert_eq!(text(&[]), [(FaultCode::CharacterSetUndeclared, String::new())]);
    let declared = "ISO_IR 13".to_owned();
    assert_eq!(text(&["ISO_IR 13"]), [(FaultCode::CharacterSetWrong, declared)]);
    let spacing = changed(&|scan| scan.placement.pixel_spacing_mm = None);
    assert_eq!(
        spacing,
        [(FaultCode::PixelSpacingMissing, "(0028,0030)".to_owned())]
    );
    let tilt = changed(&|scan| scan.placement.gantry_tilt_degrees = Some(-17.5));
    assert_eq!(tilt, [(FaultCode::GantryTilt, "-17.5°".to_owned())]);
    let level = changed(&|scan| scan.placement.gantry_tilt_degrees = Some(0.2));
    assert_eq!(level, []);
    let localizer = changed(&|scan| {
        scan.placement.gantry_tilt_degrees = Some(-17.5);
        scan.placement.is_localizer = true;
    });
    assert_eq!(localizer, []);
    for (syntax, is_unusual) in [
        (EXPLICIT_BIG, true),
        (DEFLATED, true),
        ("1.2.840.113619.5.2", true),
        ("1.2.840.10008.1.2.4.50", true),
        ("1.2.840.10008.1.2.4.70", false),
        ("1.2.840.10008.1.2.4.90", false),
    ] {
        let expected = is_unusual.then(|| (FaultCode::TransferSyntaxUnusual, syntax.to_owned()));
        assert_eq!(faults_of(&slice(1), syntax), Vec::from_iter(expected), "{syntax}");
    }
}

#[test]
fn a_projection_is_measured_by_either_spacing() {
    let mut scan = slice(1);
    scan.identity.sop_class_uid = "1.2.840.10008.5.1.4.1.1.1.1".to_owned().try_into().unwrap();
    scan.placement.pixel_spacing_mm = None;
    let missing = (FaultCode::PixelSpacingMissing, "(0018,1164)".to_owned());
    assert_eq!(faults_of(&scan, EXPLICIT_LITTLE), [missing]);
    scan.placement.imager_pixel_spacing_mm = Some([0.1, 0.1]);
    assert_eq!(faults_of(&scan, EXPLICIT_LITTLE), []);
}

#[test]
fn a_clock_that_is_ahead_is_told_in_the_time_zone_of_the_modality() {
    let mut scan = slice(1);
    let mut made = |date: &str, time: &str, zone: Option<&str>| {
        scan.placement.content_date = Some(date.to_owned());
        scan.placement.content_time = Some(time.to_owned());
        scan.identity.timezone_offset = zone.map(str::to_owned);
        (
            judge::delay_ms(&seen(&scan, EXPLICIT_LITTLE, NOW_MS), &TimeZone::UTC),
            faults_of(&scan, EXPLICIT_LITTLE),
        )
    };
    assert_eq!(made("20260123", "021300.5", None), (Some(60_000), Vec::new()));
    assert_eq!(
        made("20260123", "111300", Some("+0900")),
        (Some(60_000), Vec::new())
    );
    let ahead = vec![(FaultCode::ClockAhead, "5 min".to_owned())];
    assert_eq!(made("20260123", "021900", None), (Some(-300_000), ahead));
    // Japan's clock, on a machine in UTC: a difference of zones is no wrong clock, however long the image was on its way.
    for time in ["111400", "111300", "110500", "111500"] {
        assert_eq!(made("20260123", time, None), (None, Vec::new()), "{time}");
    }
    for (time, minutes) in [("105800", 524), ("031700", 63), ("113200", 558)] {
        let ahead = vec![(FaultCode::ClockAhead, format!("{minutes} min"))];
        assert_eq!(
            made("20260123", time, None),
            (Some(-minutes * 60_000), ahead),
            "{time}"
        );
    }
    let ahead = vec![(FaultCode::ClockAhead, "540 min".to_owned())];
    assert_eq!(
        made("20260123", "201400", Some("+0900")),
        (Some(-540 * 60_000), ahead)
    );
    for (date, time) in [
        ("2026", "021300"),
        ("20260199", "021300"),
        ("20260123", "2x"),
        ("２０２６", "021300"),
    ] {
        assert_eq!(made(date, time, None), (None, Vec::new()), "{date} {time}");
    }
}

#[test]
fn gaps_and_uneven_distances_of_a_stack_are_seen() {
    let even = |n: i64| (n, n as f64 * 5.0);
    assert_eq!(faults_of_stack(&(1..=10).map(even).collect::<Vec<_>>()), []);
    let gap: Vec<_> = (1..=10).filter(|n| *n != 4).map(even).collect();
    assert_eq!(
        faults_of_stack(&gap),
        [(FaultCode::ImagesMissing, "1, 2.25.7".to_owned())]
    );
    // Numbers by two, and a second phase of the same places, are how scanners count; the distances are even.
    let by_two: Vec<_> = (1..=10).map(|n| (n * 2, n as f64 * 5.0)).collect();
    assert_eq!(faults_of_stack(&by_two), []);
    let phases: Vec<_> = (1..=20).map(|n| (n, (n % 10) as f64 * 5.0)).collect();
    assert_eq!(faults_of_stack(&phases), []);
    let uneven: Vec<_> = (1..=10)
        .map(|n| (n, n as f64 * 5.0 + if n > 5 { 1.5 } else { 0.0 }))
        .collect();
    let expected = (FaultCode::SliceSpacingIrregular, "5.00–6.50 mm".to_owned());
    assert_eq!(faults_of_stack(&uneven), [expected]);
    assert_eq!(faults_of_stack(&uneven[..4]), [], "too few to say");
}

#[test]
fn places_and_numbers_that_nobody_means_say_nothing_and_break_nothing() {
    for nonsense in [1e300, -1e7, f64::NAN, f64::INFINITY, f64::MAX] {
        let images: Vec<_> = (1..=10)
            .map(|n| (n, if n == 4 { nonsense } else { n as f64 * 5.0 }))
            .collect();
        assert_eq!(faults_of_stack(&images), [], "{nonsense}");
    }
    let far: Vec<_> = (0..10)
        .map(|n| (n, if n == 9 { 1e6 } else { n as f64 * 0.01 }))
        .collect();
    assert!(faults_of_stack(&far).len() <= 1);
    let numbers: Vec<_> = (0..20)
        .map(|n| (if n == 19 { i64::MAX } else { i64::MIN + n }, n as f64 * 5.0))
        .collect();
    let missing = format!("{}, 2.25.7", u64::MAX - 19);
    assert_eq!(faults_of_stack(&numbers), [(FaultCode::ImagesMissing, missing)]);
}

#[test]
fn a_series_that_waited_long_for_the_coder_is_not_looked_at_while_it_is_counted() {
    let folder = tempfile::tempdir().unwrap();
    let conformance = opened(folder.path());
    for number in 1..=6 {
        let noted_at_ms = NOW_MS + 3 * SERIES_QUIET_MS + i64::from(number);
        conformance.note(&Seen {
            noted_at_ms,
            ..seen(
                &slice(if number == 6 {
                    4
                } else {
                    number + u32::from(number > 3)
                }),
                EXPLICIT_LITTLE,
                NOW_MS,
            )
        });
        conformance.settle(noted_at_ms);
    }
    conformance.settle(NOW_MS + 5 * SERIES_QUIET_MS);
    let card = &conformance.cards(NOW_MS)[0];
    assert_eq!((card.n_series, card.faults.len()), (1, 0), "{card:?}");
}

#[test]
fn what_cannot_be_written_is_written_later() {
    let folder = tempfile::tempdir().unwrap();
    let conformance = opened(folder.path());
    let in_the_way = folder.path().join("conformance.new");
    std::fs::create_dir(&in_the_way).unwrap();
    conformance.note(&seen(&slice(1), EXPLICIT_LITTLE, NOW_MS));
    conformance.flush();
    assert!(!folder.path().join(FILE).exists());
    std::fs::remove_dir(&in_the_way).unwrap();
    conformance.flush();
    assert_eq!(opened(folder.path()).cards(NOW_MS), conformance.cards(NOW_MS));
}

#[test]
fn cards_count_by_modality_and_survive_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let conformance = opened(folder.path());
    let mut tilted = slice(1);
    tilted.placement.gantry_tilt_degrees = Some(12.0);
    conformance.note(&seen(&tilted, EXPLICIT_LITTLE, NOW_MS));
    conformance.note(&seen(&slice(2), EXPLICIT_LITTLE, NOW_MS + 1));
    let other = slice(3);
    conformance.note(&Seen {
        calling_ae: "MR1",
        ..seen(&other, EXPLICIT_LITTLE, NOW_MS + 2)
    });
    let cards = conformance.cards(NOW_MS + 2);
    assert_eq!(cards.len(), 2);
    assert_eq!((cards[0].calling_ae.as_str(), cards[0].n_objects), ("CT1", 2));
    let [fault] = cards[0].faults.as_slice() else {
        panic!("one fault: {:?}", cards[0])
    };
    assert_eq!((fault.code, fault.n, fault.of), (FaultCode::GantryTilt, 1, 2));
    assert_eq!((fault.last_at_ms, fault.detail.as_str()), (NOW_MS, "12.0°"));
    assert!(
        fault.fix.ja.contains("装置") && fault.fix.en.contains("vendor"),
        "{:?}",
        fault.fix
    );
    assert!(cards[1].faults.is_empty());
    assert!(!folder.path().join(FILE).exists());
    conformance.settle(NOW_MS + 2);
    let kept = opened(folder.path());
    assert_eq!(kept.cards(NOW_MS + 2), cards);
    assert!(
        kept.cards(NOW_MS + 91 * DAY_MS)[0].faults.is_empty(),
        "corrected long ago"
    );
    // What is no file of ours is as good as none.
    std::fs::write(folder.path().join(FILE), "{\"CT1\":").unwrap();
    assert!(opened(folder.path()).cards(NOW_MS).is_empty());
}

#[test]
fn a_series_is_looked_at_when_it_is_quiet_and_once() {
    let folder = tempfile::tempdir().unwrap();
    let conformance = opened(folder.path());
    let send = |numbers: &[u32], at_ms: i64| {
        for number in numbers {
            conformance.note(&seen(&slice(*number), EXPLICIT_LITTLE, at_ms));
        }
    };
    let faults = |at_ms: i64| {
        conformance.settle(at_ms);
        let cards = conformance.cards(at_ms);
        (
            cards[0].n_series,
            cards[0]
                .faults
                .iter()
                .map(|fault| (fault.code, fault.n))
                .collect::<Vec<_>>(),
        )
    };
    send(&[1, 2, 3, 5, 6], NOW_MS);
    assert_eq!(faults(NOW_MS + SERIES_QUIET_MS - 1), (0, Vec::new()));
    assert_eq!(
        faults(NOW_MS + SERIES_QUIET_MS),
        (1, vec![(FaultCode::ImagesMissing, 1)])
    );
    send(&[8, 10, 12, 14, 16], NOW_MS + SERIES_QUIET_MS);
    assert_eq!(
        faults(NOW_MS + 2 * SERIES_QUIET_MS).0,
        1,
        "late ones say nothing of gaps"
    );
}

#[test]
fn a_modality_whose_images_all_come_late_is_told_after_a_day() {
    let folder = tempfile::tempdir().unwrap();
    let conformance = opened(folder.path());
    let send = |study: u32, at_ms: i64, delay_ms: i64| {
        let mut scan = slice(1);
        scan.identity.study_instance_uid = StudyInstanceUid::parse(&format!("2.25.{study}")).unwrap();
        let made = jiff::Timestamp::from_millisecond(at_ms - delay_ms)
            .unwrap()
            .to_zoned(TimeZone::UTC);
        scan.placement.content_date = Some(made.strftime("%Y%m%d").to_string());
        scan.placement.content_time = Some(made.strftime("%H%M%S").to_string());
        conformance.note(&seen(&scan, EXPLICIT_LITTLE, at_ms));
    };
    let faults = |at_ms: i64| conformance.cards(at_ms)[0].faults.clone();
    for (study, delay_min) in [(1, 50), (2, 45), (3, 75)] {
        send(study, NOW_MS + i64::from(study), delay_min * 60_000);
    }
    assert!(faults(NOW_MS).is_empty(), "a day is not over");
    send(4, NOW_MS + DAY_MS + 1, 60_000);
    let behind = &faults(NOW_MS + DAY_MS)[0];
    assert_eq!(
        (behind.code, behind.detail.as_str()),
        (FaultCode::ClockBehind, "45 min")
    );
    // A day with one study that came at once shows a clock that is right.
    for study in 5..8 {
        send(study, NOW_MS + DAY_MS + 1 + i64::from(study), 3_600_000);
    }
    send(9, NOW_MS + 2 * DAY_MS + 2, 60_000);
    assert_eq!(faults(NOW_MS + 2 * DAY_MS)[0].n, 1);
}

#[test]
fn what_a_modality_sends_never_makes_the_cards_grow_without_bound() {
    let folder = tempfile::tempdir().unwrap();
    let conformance = opened(folder.path());
    let mut scan = slice(1);
    for n in 0..(2 * SERIES_MAX + SETTLED_MAX) {
        scan.identity.series_instance_uid = SeriesInstanceUid::parse(&format!("2.25.{n}")).unwrap();
        let calling_ae = format!("AE{}", n % 200);
        conformance.note(&Seen {
            calling_ae: &calling_ae,
            ..seen(&scan, EXPLICIT_LITTLE, NOW_MS + n as i64)
        });
    }
    let state = conformance.state();
    assert_eq!(
        (state.growing.len(), state.settled.len()),
        (SERIES_MAX, SETTLED_MAX)
    );
    drop(state);
    assert_eq!(conformance.cards(NOW_MS).len(), 64);
    conformance.flush();
    assert!(std::fs::metadata(folder.path().join(FILE)).unwrap().len() < 1024 * 1024);
}

#[test]
fn every_fault_has_words_and_something_to_ask_for() {
    for code in FaultCode::ALL {
        let told = [words::what(code), words::fix(code)];
        assert!(
            told.iter().all(|(ja, en)| !ja.is_ascii() && en.len() > 10),
            "{code:?}: {told:?}"
        );
    }
}
