//! How fast bytes arrive at the far end, from when they were sent and when they were acknowledged.
//!
//! The estimate of `draft-ietf-ccwg-bbr`, section "Delivery Rate Samples": with each packet goes a note of
//! how much had been delivered when it left; its acknowledgement gives bytes over the longer of the time
//! they took to send and the time they took to be acknowledged. Pure arithmetic; see `model.rs` for its use.

use std::collections::VecDeque;

use super::Micros;

/// Notes kept at most: a window of these many bursts; older ones are forgotten and give no sample.
const NOTES_MAX: usize = 8192;
/// A note this much older than the newest acknowledged packet is of no use any more.
const NOTE_AGE_MAX: Micros = 2_000_000;

/// What was known when packets left at one instant.
#[derive(Clone, Copy, Debug)]
struct Note {
    sent_at: Micros,
    delivered: u64,
    delivered_at: Micros,
    first_sent_at: Micros,
}

/// One measurement, from the newest packet of a batch of acknowledgements.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Sample {
    /// Round trip of the newest packet, the receiver's delay included.
    pub rtt: Micros,
    /// Delivery rate; none if the packet's note is gone or took no time.
    pub bytes_per_s: Option<u64>,
    /// Bytes that had been delivered when the packet left.
    pub delivered_at_send: u64,
}

#[derive(Clone, Debug, Default)]
pub(super) struct Delivery {
    notes: VecDeque<Note>,
    /// Bytes acknowledged since the start.
    pub delivered: u64,
    delivered_at: Micros,
    first_sent_at: Micros,
    in_flight: u64,
    newest: Option<Micros>,
}

impl Delivery {
    /// Bytes left; all packets of one instant share a note.
    pub fn on_sent(&mut self, now: Micros, bytes: u64) {
        if self.in_flight == 0 {
            self.delivered_at = now;
            self.first_sent_at = now;
        }
        self.in_flight = self.in_flight.saturating_add(bytes);
        if self.notes.back().is_some_and(|note| note.sent_at >= now) {
            return;
        }
        if self.notes.len() == NOTES_MAX {
            self.notes.pop_front();
        }
        self.notes.push_back(Note {
            sent_at: now,
            delivered: self.delivered,
            delivered_at: self.delivered_at,
            first_sent_at: self.first_sent_at,
        });
    }

    /// Bytes in flight as last counted.
    pub fn in_flight(&self) -> u64 {
        self.in_flight
    }

    /// One packet arrived.
    pub fn on_ack(&mut self, sent_at: Micros, bytes: u64) {
        self.delivered = self.delivered.saturating_add(bytes);
        self.newest = Some(self.newest.map_or(sent_at, |newest| newest.max(sent_at)));
    }

    /// The batch is complete; `in_flight` is what the connection counts after it.
    pub fn on_end_acks(&mut self, now: Micros, in_flight: u64) -> Option<Sample> {
        self.in_flight = in_flight;
        let newest = self.newest.take()?;
        self.delivered_at = now;
        let idx = self.notes.binary_search_by_key(&newest, |note| note.sent_at).ok();
        let note = idx.and_then(|idx| self.notes.get(idx)).copied();
        if note.is_some() {
            self.first_sent_at = newest;
        }
        while self
            .notes
            .front()
            .is_some_and(|note| note.sent_at.saturating_add(NOTE_AGE_MAX) < newest)
        {
            self.notes.pop_front();
        }
        let rate = note.and_then(|note| {
            let sending = newest.saturating_sub(note.first_sent_at);
            let acknowledging = now.saturating_sub(note.delivered_at);
            per_second(
                self.delivered.saturating_sub(note.delivered),
                sending.max(acknowledging),
            )
        });
        Some(Sample {
            rtt: now.saturating_sub(newest),
            bytes_per_s: rate,
            delivered_at_send: note.map_or(0, |note| note.delivered),
        })
    }
}

/// Bytes per second; none for no time.
pub(super) fn per_second(bytes: u64, time: Micros) -> Option<u64> {
    let rate = u128::from(bytes) * 1_000_000 / u128::from((time > 0).then_some(time)?);
    Some(u64::try_from(rate).unwrap_or(u64::MAX))
}

/// Bytes that `bytes_per_s` gives in `time`.
pub(super) fn bytes_in(bytes_per_s: u64, time: Micros) -> u64 {
    let bytes = u128::from(bytes_per_s) * u128::from(time) / 1_000_000;
    u64::try_from(bytes).unwrap_or(u64::MAX)
}
