//! Counts faults by modality, within fixed bounds, and keeps them in a file.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::Seen;
use super::judge::{Fault, FaultCode, SeriesSoFar, minutes};
use super::words;

/// Modalities that have a card; beyond that the one that was quiet longest loses its own.
const CARDS_MAX: usize = 64;
/// A fault that was not seen for so long is forgotten: it was corrected.
const FORGOTTEN_AFTER_MS: i64 = 90 * 24 * 3_600_000;
/// Bytes of the file that are read; ours are far fewer.
const FILE_BYTES_MAX: u64 = 1024 * 1024;
/// Bytes of a detail.
const DETAIL_BYTES_MAX: usize = 96;
/// Time over which the shortest delay is looked for.
const DELAY_WINDOW_MS: i64 = 24 * 3_600_000;
/// Studies that must all have come late.
const DELAYED_STUDIES_MIN: u64 = 3;
/// The shortest delay that shows a clock, and the longest that does not show an archive that sends old studies.
const BEHIND_MS: std::ops::Range<i64> = 15 * 60_000..DELAY_WINDOW_MS;

/// The counts of all modalities, by calling AE title.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Tallies(BTreeMap<String, Tally>);

#[derive(Debug, Default, Serialize, Deserialize)]
struct Tally {
    first_at_ms: i64,
    last_at_ms: i64,
    n_objects: u64,
    n_series: u64,
    faults: BTreeMap<FaultCode, Count>,
    #[serde(default)]
    delays: Delays,
}

#[derive(Debug, Default, Serialize, Deserialize)]
struct Count {
    n: u64,
    last_at_ms: i64,
    detail: String,
}

/// The shortest delay of a day.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Delays {
    since_ms: i64,
    shortest_ms: i64,
    n_studies: u64,
    /// The study counted last.
    #[serde(skip)]
    study: String,
}

/// What a person is shown of one modality.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Card {
    /// Its calling AE title.
    pub calling_ae: String,
    /// Since when it is counted.
    pub first_at_ms: i64,
    /// When its last object came.
    pub last_at_ms: i64,
    /// Objects looked at.
    pub n_objects: u64,
    /// Series looked at as a whole.
    pub n_series: u64,
    /// What is wrong, the most frequent first.
    pub faults: Vec<CardFault>,
}

/// A sentence in both languages of the page.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Words {
    /// Japanese.
    pub ja: String,
    /// English.
    pub en: String,
}

impl Words {
    fn of((ja, en): (&str, &str)) -> Self {
        Self {
            ja: ja.to_owned(),
            en: en.to_owned(),
        }
    }
}

/// One fault of a modality.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CardFault {
    /// What it is.
    pub code: FaultCode,
    /// How many objects or series showed it.
    pub n: u64,
    /// Of how many.
    pub of: u64,
    /// Whether series are counted, and not objects.
    pub is_of_series: bool,
    /// When it was seen last.
    pub last_at_ms: i64,
    /// What showed it then: tags, millimetres, a UID; never patient data.
    pub detail: String,
    /// What it is, in words.
    pub what: Words,
    /// What to ask of the vendor.
    pub fix: Words,
}

impl Tallies {
    /// Reads the file; `None` when there is none or it is not one.
    pub(super) fn read(path: &Path) -> Option<Self> {
        let mut bytes = Vec::new();
        File::open(path)
            .ok()?
            .take(FILE_BYTES_MAX)
            .read_to_end(&mut bytes)
            .ok()?;
        serde_json::from_slice(&bytes).ok()
    }

    pub(super) fn note_object(&mut self, seen: &Seen<'_>, faults: &[Fault]) {
        let tally = self.of(seen.calling_ae, seen.received_at_ms);
        tally.n_objects = tally.n_objects.saturating_add(1);
        tally.last_at_ms = tally.last_at_ms.max(seen.received_at_ms);
        faults
            .iter()
            .for_each(|fault| tally.count(fault, seen.received_at_ms));
    }

    pub(super) fn note_series(&mut self, series: &SeriesSoFar, faults: &[Fault]) {
        let tally = self.of(series.calling_ae(), series.last_at_ms());
        tally.n_series = tally.n_series.saturating_add(1);
        faults
            .iter()
            .for_each(|fault| tally.count(fault, series.last_at_ms()));
    }

    /// Keeps the shortest delay of a day. When even that one is long, the clock is behind, or the modality sends late.
    pub(super) fn note_delay(&mut self, seen: &Seen<'_>, study: &str, delay_ms: i64) {
        let now_ms = seen.received_at_ms;
        let tally = self.of(seen.calling_ae, now_ms);
        let delays = &mut tally.delays;
        if delays.n_studies == 0 || now_ms.abs_diff(delays.since_ms) >= DELAY_WINDOW_MS.unsigned_abs() {
            let (shortest_ms, n_studies) = (delays.shortest_ms, delays.n_studies);
            *delays = Delays {
                since_ms: now_ms,
                shortest_ms: delay_ms,
                n_studies: 1,
                study: study.to_owned(),
            };
            if n_studies >= DELAYED_STUDIES_MIN && BEHIND_MS.contains(&shortest_ms) {
                let behind = Fault {
                    code: FaultCode::ClockBehind,
                    detail: minutes(shortest_ms),
                };
                tally.count(&behind, now_ms);
            }
            return;
        }
        delays.shortest_ms = delays.shortest_ms.min(delay_ms);
        if delays.study != study {
            study.clone_into(&mut delays.study);
            delays.n_studies = delays.n_studies.saturating_add(1);
        }
    }

    pub(super) fn cards(&self, now_ms: i64) -> Vec<Card> {
        let mut cards: Vec<Card> = self.0.iter().map(|(ae, tally)| tally.card(ae, now_ms)).collect();
        cards.sort_by_key(|card| (card.faults.is_empty(), std::cmp::Reverse(card.last_at_ms)));
        cards
    }

    fn of(&mut self, calling_ae: &str, now_ms: i64) -> &mut Tally {
        if !self.0.contains_key(calling_ae) && self.0.len() >= CARDS_MAX {
            let quietest = self.0.iter().min_by_key(|(_, tally)| tally.last_at_ms);
            if let Some(quietest) = quietest.map(|(ae, _)| ae.clone()) {
                self.0.remove(&quietest);
            }
        }
        self.0.entry(calling_ae.to_owned()).or_insert_with(|| Tally {
            first_at_ms: now_ms,
            last_at_ms: now_ms,
            ..Tally::default()
        })
    }
}

impl Tally {
    fn count(&mut self, fault: &Fault, at_ms: i64) {
        let count = self.faults.entry(fault.code).or_default();
        if at_ms.saturating_sub(count.last_at_ms) >= FORGOTTEN_AFTER_MS {
            count.n = 0;
        }
        count.n = count.n.saturating_add(1);
        count.last_at_ms = count.last_at_ms.max(at_ms);
        count.detail.clone_from(&fault.detail);
        let mut end = count.detail.len().min(DETAIL_BYTES_MAX);
        while !count.detail.is_char_boundary(end) {
            end -= 1;
        }
        count.detail.truncate(end);
    }

    fn card(&self, calling_ae: &str, now_ms: i64) -> Card {
        let live = self.faults.iter();
        let live = live.filter(|(_, count)| now_ms.saturating_sub(count.last_at_ms) < FORGOTTEN_AFTER_MS);
        let mut faults: Vec<CardFault> = live
            .map(|(code, count)| CardFault {
                code: *code,
                n: count.n,
                of: if code.is_of_series() {
                    self.n_series
                } else {
                    self.n_objects
                },
                is_of_series: code.is_of_series(),
                last_at_ms: count.last_at_ms,
                detail: count.detail.clone(),
                what: Words::of(words::what(*code)),
                fix: Words::of(words::fix(*code)),
            })
            .collect();
        faults.sort_by_key(|fault| std::cmp::Reverse(fault.n));
        Card {
            calling_ae: calling_ae.to_owned(),
            first_at_ms: self.first_at_ms,
            last_at_ms: self.last_at_ms,
            n_objects: self.n_objects,
            n_series: self.n_series,
            faults,
        }
    }
}
