//! The conformance card of each modality: what its objects lack or get wrong, how often, when last, and so what to ask its
//! vendor for.
//!
//! `judge` says what is wrong with one object or one series, from what the scanner read of their headers and from nothing
//! else. Here it is counted by calling AE title and kept in one small file. It is worth no fsync, and nothing else rests
//! on it: lost, it fills again with the next studies. Everything is bounded, whatever a modality sends.

mod judge;
mod tally;
mod words;

use std::collections::{BTreeMap, VecDeque};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::{fs, io};

use jiff::tz::TimeZone;
use tancho_imaging::scan::DataSetScan;

use judge::SeriesSoFar;
use tally::Tallies;

pub use judge::FaultCode;
pub use tally::{Card, CardFault, Words};

/// The file in the data folder.
const FILE: &str = "conformance.json";
/// A series without a new object for so long is looked at as a whole.
const SERIES_QUIET_MS: i64 = 10 * 60_000;
/// Series that grow at once; beyond that the quietest is looked at early.
const SERIES_MAX: usize = 128;
/// Series already looked at; what comes late for them says nothing of gaps.
const SETTLED_MAX: usize = 1024;
/// Shortest time between two writes of the file.
const WRITE_EVERY_MS: u64 = 30_000;

/// One object as it came.
#[derive(Debug, Clone, Copy)]
pub struct Seen<'a> {
    /// Who sent it.
    pub calling_ae: &'a str,
    /// When its last byte had come.
    pub received_at_ms: i64,
    /// When it is counted: later than it came by as much as the coder has to do.
    pub noted_at_ms: i64,
    /// In which transfer syntax.
    pub transfer_syntax: &'a str,
    /// What the scanner read of it.
    pub scan: &'a DataSetScan,
}

/// The cards of all modalities.
#[derive(Debug)]
pub struct Conformance {
    path: PathBuf,
    time_zone: TimeZone,
    state: Mutex<State>,
    /// Held while the file is written: one at a time, the newest last.
    writing: Mutex<()>,
}

#[derive(Debug, Default)]
struct State {
    tallies: Tallies,
    growing: BTreeMap<String, SeriesSoFar>,
    settled: VecDeque<String>,
    is_changed: bool,
    written_at_ms: i64,
}

impl Conformance {
    /// Opens what an earlier run kept. Modalities that name no time zone are taken to be in `time_zone`.
    #[must_use]
    pub fn open(data_dir: &Path, time_zone: TimeZone) -> Self {
        let path = data_dir.join(FILE);
        let tallies = Tallies::read(&path).unwrap_or_default();
        let state = State {
            tallies,
            ..State::default()
        };
        Self {
            path,
            time_zone,
            state: Mutex::new(state),
            writing: Mutex::default(),
        }
    }

    /// Counts one object.
    pub fn note(&self, seen: &Seen<'_>) {
        let faults = judge::object(seen, &self.time_zone);
        let mut state = self.state();
        state.tallies.note_object(seen, &faults);
        if let Some(delay_ms) = judge::delay_ms(seen, &self.time_zone) {
            let study = seen.scan.identity.study_instance_uid.as_str();
            state.tallies.note_delay(seen, study, delay_ms);
        }
        state.is_changed = true;
        let uid = seen.scan.identity.series_instance_uid.as_str();
        if !judge::is_stack(seen.scan) || state.settled.iter().any(|settled| settled == uid) {
            return;
        }
        if !state.growing.contains_key(uid) && state.growing.len() >= SERIES_MAX {
            let quietest = state
                .growing
                .iter()
                .min_by_key(|(_, series)| series.noted_at_ms());
            if let Some(uid) = quietest.map(|(uid, _)| uid.clone()) {
                state.settle(&uid);
            }
        }
        let series = state.growing.entry(uid.to_owned());
        series
            .or_insert_with(|| SeriesSoFar::new(seen.calling_ae, uid))
            .add(seen);
    }

    /// Looks at the series that have been quiet, and writes the file when something changed a while ago.
    pub fn settle(&self, now_ms: i64) {
        let _writing = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        let json = {
            let mut state = self.state();
            let is_quiet =
                |series: &SeriesSoFar| now_ms.saturating_sub(series.noted_at_ms()) >= SERIES_QUIET_MS;
            let quiet = state.growing.iter().filter(|(_, series)| is_quiet(series));
            for uid in quiet.map(|(uid, _)| uid.clone()).collect::<Vec<_>>() {
                state.settle(&uid);
            }
            if !state.is_changed || now_ms.abs_diff(state.written_at_ms) < WRITE_EVERY_MS {
                return;
            }
            state.written_at_ms = now_ms;
            state.take_bytes()
        };
        self.write(json);
    }

    /// Writes what is not written yet; for the end.
    pub fn flush(&self) {
        let _writing = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        let json = {
            let mut state = self.state();
            if !state.is_changed {
                return;
            }
            state.take_bytes()
        };
        self.write(json);
    }

    /// Puts the file in place of the one before. The page waits for the counts, so they are not locked meanwhile.
    fn write(&self, json: serde_json::Result<Vec<u8>>) {
        let written = json.map_err(io::Error::from).and_then(|json| {
            let fresh = self.path.with_extension("new");
            fs::write(&fresh, json)?;
            fs::rename(&fresh, &self.path)
        });
        if let Err(error) = written {
            tracing::warn!(%error, "the conformance cards could not be kept; they go on counting");
            self.state().is_changed = true;
        }
    }

    /// A card for each modality, those with faults first.
    #[must_use]
    pub fn cards(&self, now_ms: i64) -> Vec<Card> {
        self.state().tallies.cards(now_ms)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn settle(&mut self, uid: &str) {
        let Some(series) = self.growing.remove(uid) else {
            return;
        };
        self.tallies.note_series(&series, &series.faults());
        self.settled.push_back(uid.to_owned());
        if self.settled.len() > SETTLED_MAX {
            self.settled.pop_front();
        }
        self.is_changed = true;
    }

    fn take_bytes(&mut self) -> serde_json::Result<Vec<u8>> {
        self.is_changed = false;
        serde_json::to_vec(&self.tallies)
    }
}

#[cfg(test)]
mod tests;
