//! The QUIC streams that ranges leave on, and how much of them quinn may hold.
//!
//! A stream is finished after 64 KiB: what follows a lost packet on its stream waits at the relay until it has been sent
//! again, and should not be much.

use std::time::{Duration, Instant};

use bytes::Bytes;
use quinn::{Connection, SendStream, WriteError};
use tancho_domain::dicom::Priority;
use tancho_wire::frame::data_header;
use tancho_wire::limits::RANGE_BYTES_MAX;
use tancho_wire::transfer::RangeToSend;

/// A stream that has carried so many bytes is finished.
const STREAM_BYTES: u64 = RANGE_BYTES_MAX;
/// Streams of one connection that may differ in QUIC priority: all that a class can open before it comes to the next.
const STREAMS_MAX: i32 = 1 << 28;
/// A line that has lost a packet within this time is one that loses packets.
const LOSSY_FOR: Duration = Duration::from_secs(10);

/// The streams of one connection, at most one unfinished for each class and for what comes first in it.
pub(super) struct DataStreams<'c> {
    connection: &'c Connection,
    unfinished: [Option<Unfinished>; 6],
    n_opened: i32,
    loss: LossWatch,
}

struct Unfinished {
    stream: SendStream,
    bytes: u64,
}

impl<'c> DataStreams<'c> {
    pub(super) fn new(connection: &'c Connection) -> Self {
        Self {
            connection,
            unfinished: Default::default(),
            n_opened: 0,
            loss: LossWatch::default(),
        }
    }

    /// Writes a range; waits until quinn may hold it.
    pub(super) async fn write(&mut self, range: &RangeToSend, bytes: Bytes) -> Result<(), WriteError> {
        let path = self.connection.stats().path;
        let is_lossy = self.loss.is_lossy(path.lost_packets, Instant::now());
        self.connection.set_send_window(send_window(path.cwnd, is_lossy));
        let class = match range.priority {
            Priority::Stat => 0,
            Priority::Urgent => 1,
            Priority::Routine => 2,
        };
        let slot = 2 * class + usize::from(!range.is_first_part);
        let mut unfinished = match self.unfinished[slot].take() {
            Some(unfinished) => unfinished,
            None => self.open(slot).await?,
        };
        let header = data_header(&range.container_sha256, range.offset, bytes.len());
        let header = Bytes::copy_from_slice(&header);
        unfinished.stream.write_all_chunks(&mut [header, bytes]).await?;
        unfinished.bytes += range.len;
        if unfinished.bytes < STREAM_BYTES {
            self.unfinished[slot] = Some(unfinished);
        } else {
            // It fails only when the relay has stopped the stream, which the next write finds out.
            let _ = unfinished.stream.finish();
        }
        Ok(())
    }

    async fn open(&mut self, slot: usize) -> Result<Unfinished, WriteError> {
        let stream = self.connection.open_uni().await?;
        let _ = stream.set_priority(stream_priority(slot, self.n_opened));
        self.n_opened = (self.n_opened + 1) % STREAMS_MAX;
        Ok(Unfinished { stream, bytes: 0 })
    }
}

/// The more urgent stream has the higher priority, in a class the older one: so what was lost leaves before what is new.
fn stream_priority(slot: usize, n_opened: i32) -> i32 {
    let class = i32::try_from(slot).unwrap_or(0);
    (2 - class) * STREAMS_MAX - n_opened
}

/// What quinn may hold, in bytes: the window that the line carries and one range ready behind it. It also holds what has
/// arrived behind a lost packet until that has been sent again, so where packets are lost it needs a second window.
fn send_window(window: u64, is_lossy: bool) -> u64 {
    let windows = if is_lossy { 2 } else { 1 };
    window.saturating_mul(windows).saturating_add(RANGE_BYTES_MAX)
}

/// When a connection last lost a packet.
#[derive(Debug, Default)]
struct LossWatch {
    n_lost: u64,
    lost_at: Option<Instant>,
}

impl LossWatch {
    /// Whether packets were lost lately, of which there were `n_lost` so far.
    fn is_lossy(&mut self, n_lost: u64, now: Instant) -> bool {
        if n_lost != self.n_lost {
            self.n_lost = n_lost;
            self.lost_at = Some(now);
        }
        self.lost_at
            .is_some_and(|at| now.saturating_duration_since(at) < LOSSY_FOR)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::uplink::carrier::CONTROL_PRIORITY;

    #[test]
    fn urgent_before_less_urgent_and_old_before_new_and_control_frames_first() {
        let oldest_to_newest = [0, 1, 2, STREAMS_MAX - 1];
        let priorities: Vec<i32> = (0..6)
            .flat_map(|slot| oldest_to_newest.map(|n_opened| stream_priority(slot, n_opened)))
            .collect();
        assert!(
            priorities.is_sorted_by(|before, after| before > after),
            "{priorities:?}"
        );
        assert!(priorities.iter().all(|priority| *priority < CONTROL_PRIORITY));
    }

    #[test]
    fn a_line_that_loses_packets_is_given_two_windows_for_a_while() {
        let (mut loss, begun) = (LossWatch::default(), Instant::now());
        assert!(!loss.is_lossy(0, begun));
        assert!(loss.is_lossy(1, begun));
        assert!(loss.is_lossy(1, begun + LOSSY_FOR / 2));
        assert!(!loss.is_lossy(1, begun + LOSSY_FOR));
        assert!(loss.is_lossy(3, begun + LOSSY_FOR));
        assert_eq!(send_window(100_000, false), 100_000 + RANGE_BYTES_MAX);
        assert_eq!(send_window(100_000, true), 200_000 + RANGE_BYTES_MAX);
    }
}
