//! What is wrong with one object, and with one series. Nothing here knows of files, counters or the time of day.

use jiff::civil::{Date, DateTime, Time};
use jiff::tz::{Offset, TimeZone};
use serde::{Deserialize, Serialize};
use tancho_imaging::scan::DataSetScan;
use tancho_imaging::syntax::{DEFLATED, EXPLICIT_BIG, EXPLICIT_LITTLE, IMPLICIT_LITTLE, RLE, Syntax};

use super::Seen;

/// A clock that is wrong by less is not worth a call.
const AHEAD_MS_MIN: i64 = 2 * 60_000;
/// Tilts below this are how a level gantry is told.
const TILT_DEGREES_MIN: f64 = 0.5;
/// Images of one series that are compared; a longer one is judged by its first.
const IMAGES_MAX: usize = 4096;
/// Fewer say nothing of a spacing.
const IMAGES_MIN: usize = 5;
/// Slices nearer than this are one place: phases of one stack.
const SAME_PLACE_MM: f64 = 0.01;
/// Share of the usual distance by which a slice may be off.
const OFF_MAX: f64 = 0.05;
/// No image of a patient lies further from the origin: what does is no place.
const PLACE_MM_MAX: f64 = 1e6;
/// Offsets of time zones are multiples of this, from [`ZONE_MS_MIN`] on.
const ZONE_STEP_MS: i64 = 30 * 60_000;
const ZONE_MS_MIN: i64 = 60 * 60_000;
/// An image in another time zone comes so much later than the difference of the zones says, by two clocks that may be a
/// little off.
const ZONE_DELAY_MS: std::ops::RangeInclusive<i64> = -2 * 60_000..=10 * 60_000;

/// What can be wrong. The codes are stable: the page's words hang on them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FaultCode {
    /// Text that the declared character sets do not explain.
    CharacterSetWrong,
    /// Text beyond ASCII, and no character set declared.
    CharacterSetUndeclared,
    /// Nothing says how large a pixel is, so nothing can be measured.
    PixelSpacingMissing,
    /// The gantry is tilted: a stack of these slices is no block.
    GantryTilt,
    /// Slices of one series at uneven distances.
    SliceSpacingIrregular,
    /// Instance numbers, or slices of an even stack, are missing.
    ImagesMissing,
    /// The modality's clock is ahead of this machine's.
    ClockAhead,
    /// The modality's clock is behind, or it sends late.
    ClockBehind,
    /// A transfer syntax that not every program reads, or that loses detail of diagnostic images.
    TransferSyntaxUnusual,
}

impl FaultCode {
    /// All of them.
    pub const ALL: [Self; 9] = [
        Self::CharacterSetWrong,
        Self::CharacterSetUndeclared,
        Self::PixelSpacingMissing,
        Self::GantryTilt,
        Self::SliceSpacingIrregular,
        Self::ImagesMissing,
        Self::ClockAhead,
        Self::ClockBehind,
        Self::TransferSyntaxUnusual,
    ];

    /// Whether it is counted by series; the others are by object.
    #[must_use]
    pub fn is_of_series(self) -> bool {
        matches!(self, Self::SliceSpacingIrregular | Self::ImagesMissing)
    }
}

/// One fault, with what shows it: tags, degrees, millimetres, a UID; never patient data.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Fault {
    pub(super) code: FaultCode,
    pub(super) detail: String,
}

fn fault(code: FaultCode, detail: impl Into<String>) -> Fault {
    Fault {
        code,
        detail: detail.into(),
    }
}

/// Kinds of image by SOP Class (PS3.4 annex B.5).
const CT: &str = "1.2.840.10008.5.1.4.1.1.2";
const STACKS: [&str; 3] = [CT, "1.2.840.10008.5.1.4.1.1.4", "1.2.840.10008.5.1.4.1.1.128"];
const PROJECTIONS: [&str; 5] = [
    "1.2.840.10008.5.1.4.1.1.1",
    "1.2.840.10008.5.1.4.1.1.1.1",
    "1.2.840.10008.5.1.4.1.1.1.1.1",
    "1.2.840.10008.5.1.4.1.1.1.2",
    "1.2.840.10008.5.1.4.1.1.1.3",
];
/// JPEG baseline and extended, near-lossless JPEG-LS, lossy JPEG 2000 in both codings, lossy JPEG XL.
const LOSSY: [&str; 6] = [
    "1.2.840.10008.1.2.4.50",
    "1.2.840.10008.1.2.4.51",
    "1.2.840.10008.1.2.4.81",
    "1.2.840.10008.1.2.4.91",
    "1.2.840.10008.1.2.4.203",
    "1.2.840.10008.1.2.4.112",
];
/// What scanners and archives have sent for years.
const USUAL: [&str; 9] = [
    IMPLICIT_LITTLE,
    EXPLICIT_LITTLE,
    RLE,
    "1.2.840.10008.1.2.4.57",
    "1.2.840.10008.1.2.4.70",
    "1.2.840.10008.1.2.4.80",
    "1.2.840.10008.1.2.4.90",
    "1.2.840.10008.1.2.4.201",
    "1.2.840.10008.1.2.4.202",
];

/// Whether the object is a slice of a stack by its class, and no localizer.
pub(super) fn is_stack(scan: &DataSetScan) -> bool {
    STACKS.contains(&scan.identity.sop_class_uid.as_str()) && !scan.placement.is_localizer
}

/// Everything that one object shows by itself.
pub(super) fn object(seen: &Seen<'_>, time_zone: &TimeZone) -> Vec<Fault> {
    let (identity, placement) = (&seen.scan.identity, &seen.scan.placement);
    let class = identity.sop_class_uid.as_str();
    let mut faults = Vec::new();
    if identity.text_uncertain {
        let declared = identity.character_sets.join("\\");
        let code = match declared.is_empty() {
            true => FaultCode::CharacterSetUndeclared,
            false => FaultCode::CharacterSetWrong,
        };
        faults.push(fault(code, declared));
    }
    let has_spacing = placement.pixel_spacing_mm.is_some();
    let lacks_spacing = (STACKS.contains(&class) && !has_spacing)
        || (PROJECTIONS.contains(&class) && !has_spacing && placement.imager_pixel_spacing_mm.is_none());
    if lacks_spacing && seen.scan.pixels.is_some() {
        let tag = if STACKS.contains(&class) {
            "(0028,0030)"
        } else {
            "(0018,1164)"
        };
        faults.push(fault(FaultCode::PixelSpacingMissing, tag));
    }
    let tilt = placement
        .gantry_tilt_degrees
        .filter(|tilt| tilt.abs() >= TILT_DEGREES_MIN);
    if let Some(tilt) = tilt.filter(|_| class == CT && !placement.is_localizer) {
        faults.push(fault(FaultCode::GantryTilt, format!("{tilt:.1}°")));
    }
    let syntax = seen.transfer_syntax;
    let is_lossy = LOSSY.contains(&syntax) && (STACKS.contains(&class) || PROJECTIONS.contains(&class));
    let is_odd = !USUAL.contains(&syntax) && !LOSSY.contains(&syntax) && is_odd_syntax(syntax);
    if is_lossy || is_odd {
        faults.push(fault(FaultCode::TransferSyntaxUnusual, syntax));
    }
    if let Some(ahead_ms) = delay_ms(seen, time_zone)
        .map(|delay| -delay)
        .filter(|ahead| *ahead >= AHEAD_MS_MIN)
    {
        faults.push(fault(FaultCode::ClockAhead, minutes(ahead_ms)));
    }
    faults
}

/// Big endian, deflated, and what the standard does not have; encapsulated documents, video and the like are as usual as
/// their class.
fn is_odd_syntax(uid: &str) -> bool {
    let known = tancho_domain::dicom::TransferSyntaxUid::parse(uid).map(|uid| Syntax::of(&uid).known);
    let is_private = !uid.starts_with("1.2.840.10008.");
    uid == EXPLICIT_BIG || uid == DEFLATED || is_private || !known.unwrap_or(false)
}

/// Whole minutes, for people.
pub(super) fn minutes(ms: i64) -> String {
    format!("{} min", ms / 60_000)
}

/// How long after it was made the object came, by the modality's clock and ours; `None` when it does not say when it was
/// made, or when it names no time zone and what is between the clocks looks like one. The latest of what it says counts:
/// an image may be made long after its acquisition.
pub(super) fn delay_ms(seen: &Seen<'_>, time_zone: &TimeZone) -> Option<i64> {
    let (identity, placement) = (&seen.scan.identity, &seen.scan.placement);
    let own_zone = identity.timezone_offset.as_deref().and_then(offset_of);
    let zone = own_zone.as_ref().unwrap_or(time_zone);
    let made = [
        (&identity.acquisition_date, &identity.acquisition_time),
        (&placement.content_date, &placement.content_time),
    ];
    let instants = made.into_iter().filter_map(|(date, time)| {
        let at = DateTime::from_parts(date_of(date.as_deref()?)?, time_of(time.as_deref()?)?);
        Some(at.to_zoned(zone.clone()).ok()?.timestamp().as_millisecond())
    });
    let delay_ms = seen.received_at_ms.saturating_sub(instants.max()?);
    (own_zone.is_some() || !may_be_zone(delay_ms)).then_some(delay_ms)
}

/// Whether a modality in another time zone than this machine shows such a delay.
fn may_be_zone(delay_ms: i64) -> bool {
    let after_ms = delay_ms.saturating_sub(*ZONE_DELAY_MS.start());
    let zone_ms = after_ms.div_euclid(ZONE_STEP_MS).saturating_mul(ZONE_STEP_MS);
    zone_ms.saturating_abs() >= ZONE_MS_MIN && ZONE_DELAY_MS.contains(&delay_ms.saturating_sub(zone_ms))
}

fn digits<T: std::str::FromStr>(text: &str, at: std::ops::Range<usize>) -> Option<T> {
    let part = text.get(at)?;
    part.bytes().all(|byte| byte.is_ascii_digit()).then_some(())?;
    part.parse().ok()
}

/// `YYYYMMDD`.
fn date_of(text: &str) -> Option<Date> {
    (text.len() == 8).then_some(())?;
    Date::new(digits(text, 0..4)?, digits(text, 4..6)?, digits(text, 6..8)?).ok()
}

/// `HHMMSS` with or without a fraction, which is not looked at.
fn time_of(text: &str) -> Option<Time> {
    Time::new(digits(text, 0..2)?, digits(text, 2..4)?, digits(text, 4..6)?, 0).ok()
}

/// `+0900`.
fn offset_of(text: &str) -> Option<TimeZone> {
    let sign = match text.as_bytes().first()? {
        b'+' => 1,
        b'-' => -1,
        _ => return None,
    };
    let seconds = digits::<i32>(text, 1..3)? * 3600 + digits::<i32>(text, 3..5)? * 60;
    Offset::from_seconds(sign * seconds).ok().map(TimeZone::fixed)
}

/// The images of one series, as far as its spacing and its gaps go.
#[derive(Debug)]
pub(super) struct SeriesSoFar {
    calling_ae: String,
    uid: String,
    last_at_ms: i64,
    noted_at_ms: i64,
    numbers: Vec<i64>,
    /// Places along the normal of the first image.
    places_mm: Vec<f64>,
    normal: Option<[f64; 3]>,
    /// Images in several directions are no stack.
    is_mixed: bool,
    n_images: usize,
}

impl SeriesSoFar {
    pub(super) fn new(calling_ae: &str, uid: &str) -> Self {
        Self {
            calling_ae: calling_ae.to_owned(),
            uid: uid.to_owned(),
            last_at_ms: 0,
            noted_at_ms: 0,
            numbers: Vec::new(),
            places_mm: Vec::new(),
            normal: None,
            is_mixed: false,
            n_images: 0,
        }
    }

    pub(super) fn calling_ae(&self) -> &str {
        &self.calling_ae
    }

    /// When its last object came.
    pub(super) fn last_at_ms(&self) -> i64 {
        self.last_at_ms
    }

    /// When an object of it was last counted.
    pub(super) fn noted_at_ms(&self) -> i64 {
        self.noted_at_ms
    }

    pub(super) fn add(&mut self, seen: &Seen<'_>) {
        self.last_at_ms = self.last_at_ms.max(seen.received_at_ms);
        self.noted_at_ms = self.noted_at_ms.max(seen.noted_at_ms);
        if self.n_images == IMAGES_MAX {
            return;
        }
        self.n_images += 1;
        self.numbers.extend(seen.scan.identity.instance_number);
        let placement = &seen.scan.placement;
        let Some((normal, place)) = placement.normal().zip(placement.along_normal_mm()) else {
            return;
        };
        let first = *self.normal.get_or_insert(normal);
        let along: f64 = first.iter().zip(normal).map(|(one, other)| one * other).sum();
        self.is_mixed |= along < 0.999;
        // Without its place the series says nothing of distances.
        if place.abs() <= PLACE_MM_MAX {
            self.places_mm.push(place);
        }
    }

    /// What the series shows as a whole. Nothing of one that was longer than what is compared.
    pub(super) fn faults(&self) -> Vec<Fault> {
        if self.n_images == IMAGES_MAX || self.n_images < IMAGES_MIN {
            return Vec::new();
        }
        let spacing = self.spacing();
        let mut faults = Vec::new();
        if let Some(Spacing::Irregular { from_mm, to_mm }) = spacing {
            let detail = format!("{from_mm:.2}–{to_mm:.2} mm");
            faults.push(fault(FaultCode::SliceSpacingIrregular, detail));
        }
        let by_place = match spacing {
            Some(Spacing::Even { n_missing }) => n_missing,
            _ => 0,
        };
        let n_missing = by_place.max(self.n_numbers_missing());
        if n_missing > 0 {
            let detail = format!("{n_missing}, {}", self.uid);
            faults.push(fault(FaultCode::ImagesMissing, detail));
        }
        faults
    }

    /// Numbers left out of a run that counts by one. Scanners also count by two, or by place in the whole study: a run
    /// of which most neighbours are not next to each other says nothing.
    fn n_numbers_missing(&self) -> u64 {
        let mut numbers = self.numbers.clone();
        numbers.sort_unstable();
        numbers.dedup();
        let steps: Vec<u64> = numbers.windows(2).map(|pair| pair[1].abs_diff(pair[0])).collect();
        let n_by_one = steps.iter().filter(|step| **step == 1).count();
        if numbers.len() < self.n_images || n_by_one * 10 < steps.len() * 9 {
            return 0;
        }
        steps
            .iter()
            .map(|step| step.saturating_sub(1))
            .fold(0, u64::saturating_add)
    }

    fn spacing(&self) -> Option<Spacing> {
        if self.is_mixed || self.places_mm.len() < self.n_images {
            return None;
        }
        let mut places = self.places_mm.clone();
        places.sort_by(f64::total_cmp);
        places.dedup_by(|one, other| (*one - *other).abs() < SAME_PLACE_MM);
        let mut steps: Vec<f64> = places.windows(2).map(|pair| pair[1] - pair[0]).collect();
        if steps.len() + 1 < IMAGES_MIN {
            return None;
        }
        steps.sort_by(f64::total_cmp);
        let usual = steps[steps.len() / 2];
        let mut n_missing = 0u64;
        for step in &steps {
            let times = (step / usual).round();
            if times.is_nan() || times < 1.0 || (step - times * usual).abs() > usual * OFF_MAX {
                return Some(Spacing::Irregular {
                    from_mm: steps[0],
                    to_mm: steps[steps.len() - 1],
                });
            }
            n_missing = n_missing.saturating_add((times as u64).saturating_sub(1));
        }
        Some(Spacing::Even { n_missing })
    }
}

/// How the slices of a stack lie.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Spacing {
    /// At one distance, but for places where slices are missing.
    Even { n_missing: u64 },
    /// At distances between these.
    Irregular { from_mm: f64, to_mm: f64 },
}
