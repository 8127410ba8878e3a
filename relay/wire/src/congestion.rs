//! Congestion control for a hospital's line: fills it in spite of random loss, and leaves the telephone alone.
//!
//! CUBIC takes each lost packet for congestion and gets a third of a line that loses one in a hundred; BBR's
//! first version fills the line and its queue. This controller reads the round trip instead: it keeps a queue
//! of a few packets, whatever is lost at random. The parts and their sources:
//!
//! - `delivery.rs`: delivery rate samples, as BBRv3 takes them (`draft-ietf-ccwg-bbr`);
//! - `startup.rs`: doubling with the exits of HyStart++ (RFC 9406) and BBR, a jump on a remembered path after
//!   careful resume (RFC 9959);
//! - `model.rs`: the steady state, with the window of FAST TCP (Wei, Jin, Low and Hegde, 2006) and BBR's regular
//!   look for the path's own round trip;
//! - `loss.rs`: own loss told from the line's, with a bound on the window as in BBRv3;
//! - `rival.rs`: a fair share beside senders that fill the queue, after Copa (Arun and Balakrishnan, NSDI 2018).
//!
//! Everything but this file is pure arithmetic on microseconds and bytes. This file fits it to the
//! [`Controller`] trait of quinn-proto, which has no pacing rate: packets leave at 1.25 windows per smoothed
//! round trip, so the window is what is controlled.

use std::any::Any;
use std::sync::Arc;
use std::time::Instant;

use quinn_proto::RttEstimator;
use quinn_proto::congestion::{Controller, ControllerFactory, ControllerMetrics};

mod delivery;
mod loss;
mod model;
mod path;
mod rival;
mod round;
mod startup;
#[cfg(test)]
mod tests;

use model::Model;

pub use path::{PATH_MEMORY_AGE_MAX_MS, PathMemory};

/// Microseconds since the controller was made.
type Micros = u64;

/// Makes a [`LineController`] for each path of a connection.
#[derive(Clone, Copy, Debug, Default)]
pub struct LineControllerConfig {
    memory: Option<PathMemory>,
}

impl LineControllerConfig {
    /// Starts from `memory` on a path with a similar round trip, from ten packets on any other.
    ///
    /// Whether the memory is still fresh is for the caller to say: [`PathMemory::if_fresh`].
    pub fn remembering(memory: Option<PathMemory>) -> Self {
        Self { memory }
    }
}

impl ControllerFactory for LineControllerConfig {
    fn build(self: Arc<Self>, now: Instant, current_mtu: u16) -> Box<dyn Controller> {
        Box::new(LineController {
            epoch: now,
            model: Model::new(current_mtu, self.memory),
        })
    }
}

/// Decides how much may be in flight on one path.
#[derive(Clone, Debug)]
pub struct LineController {
    epoch: Instant,
    model: Model,
}

impl LineController {
    /// What the path was like so far, to be kept for the next connection; none before anything was measured.
    ///
    /// A connection hands out a copy of its controller as `congestion_state()`, and [`Controller::into_any`]
    /// makes this type of it. `now` is `now_ms` in milliseconds UTC; the memory is as old as its measurement.
    pub fn path_memory(&self, now: Instant, now_ms: u64) -> Option<PathMemory> {
        self.model.memory(self.micros(now), now_ms)
    }

    fn micros(&self, at: Instant) -> Micros {
        let elapsed = at.saturating_duration_since(self.epoch).as_micros();
        Micros::try_from(elapsed).unwrap_or(Micros::MAX)
    }
}

impl Controller for LineController {
    fn on_sent(&mut self, now: Instant, bytes: u64, _last_packet_number: u64) {
        self.model.on_sent(self.micros(now), bytes);
    }

    fn on_ack(&mut self, _now: Instant, sent: Instant, bytes: u64, _app_limited: bool, _rtt: &RttEstimator) {
        self.model.on_ack(self.micros(sent), bytes);
    }

    fn on_end_acks(
        &mut self,
        now: Instant,
        in_flight: u64,
        app_limited: bool,
        _largest_packet_num_acked: Option<u64>,
    ) {
        self.model.on_end_acks(self.micros(now), in_flight, app_limited);
    }

    fn on_congestion_event(
        &mut self,
        now: Instant,
        _sent: Instant,
        is_persistent_congestion: bool,
        lost_bytes: u64,
    ) {
        // No bytes are lost when a router marked a packet.
        if lost_bytes == 0 && !is_persistent_congestion {
            self.model.on_mark(self.micros(now));
        } else {
            let now = self.micros(now);
            self.model.on_loss(now, lost_bytes, is_persistent_congestion);
        }
    }

    fn on_mtu_update(&mut self, new_mtu: u16) {
        self.model.on_mtu(new_mtu);
    }

    fn window(&self) -> u64 {
        self.model.window()
    }

    fn metrics(&self) -> ControllerMetrics {
        let mut metrics = ControllerMetrics::default();
        metrics.congestion_window = self.window();
        metrics
    }

    fn clone_box(&self) -> Box<dyn Controller> {
        Box::new(self.clone())
    }

    fn initial_window(&self) -> u64 {
        self.model.first_window()
    }

    fn into_any(self: Box<Self>) -> Box<dyn Any> {
        self
    }
}
