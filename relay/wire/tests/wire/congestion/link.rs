//! One direction of a simulated line: rate, drop-tail queue in bytes, loss, delay and jitter; packets that come twice,
//! packets that are overtaken, and a longest packet.
//!
//! The same rules as a token-bucket emulator on a real machine: a packet that is lost has used its share
//! of the rate, jitter is drawn anew every 10 ms, and packets keep their order unless they are overtaken. A packet that
//! is too long disappears without a word, as on a path whose routers keep silent.

/// Nanoseconds since the start of the simulation.
pub type Nanos = u64;

pub const MILLISECOND: Nanos = 1_000_000;
pub const SECOND: Nanos = 1_000_000_000;

/// Small generator (xorshift64*), so that one seed gives one simulation.
pub struct Random(u64);

impl Random {
    pub fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1)
    }

    /// Uniform in 0..1.
    pub fn unit(&mut self) -> f64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 11) as f64 / (1u64 << 53) as f64
    }
}

/// What one direction does to packets.
#[derive(Clone, Copy)]
pub struct LinkSpec {
    pub rate_bits_per_s: f64,
    pub delay: Nanos,
    pub jitter: Nanos,
    pub loss: f64,
    pub queue_bytes: u64,
    /// Share of packets that come a second time.
    pub duplicates: f64,
    /// Share of packets that are overtaken by those sent up to [`OVERTAKEN_BY`] after them.
    pub overtaken: f64,
    /// Longest packet, with its headers.
    pub mtu_bytes: u64,
}

/// What became of a packet.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Fate {
    ArrivesAt(Nanos),
    QueueFull,
    Lost,
}

pub struct Link {
    pub spec: LinkSpec,
    free_at: i128,
    last_arrival: Nanos,
    jitter_now: i64,
    jitter_until: Nanos,
    random: Random,
}

/// Depth of the token bucket; a real emulator needs it because it can't wake for each packet.
const BURST_BYTES: f64 = 3000.0;
const JITTER_HOLD: Nanos = 10 * MILLISECOND;
/// How much later an overtaken packet, or the second copy of one, comes.
pub const OVERTAKEN_BY: Nanos = 4 * MILLISECOND;

impl Link {
    pub fn new(spec: LinkSpec, seed: u64) -> Self {
        Self {
            spec,
            free_at: 0,
            last_arrival: 0,
            jitter_now: 0,
            jitter_until: 0,
            random: Random::new(seed),
        }
    }

    /// Bytes that wait or are being sent.
    pub fn backlog_bytes(&self, now: Nanos) -> u64 {
        let waiting = (self.free_at - i128::from(now)).max(0) as f64;
        (waiting / self.nanos_per_byte()) as u64
    }

    pub fn offer(&mut self, now: Nanos, bytes: u64) -> Fate {
        let nanos_per_byte = self.nanos_per_byte();
        if self.backlog_bytes(now) + bytes > self.spec.queue_bytes {
            return Fate::QueueFull;
        }
        let burst = (self.spec.rate_bits_per_s / 8000.0).max(BURST_BYTES);
        let credit = i128::from(now) - (burst * nanos_per_byte) as i128;
        self.free_at = self.free_at.max(credit) + (bytes as f64 * nanos_per_byte) as i128;
        let departs = self.free_at.max(i128::from(now)) as Nanos;
        if self.random.unit() < self.spec.loss || bytes > self.spec.mtu_bytes {
            return Fate::Lost;
        }
        let mut arrives = departs + self.spec.delay;
        if self.spec.jitter > 0 {
            if departs >= self.jitter_until {
                self.jitter_now = ((2.0 * self.random.unit() - 1.0) * self.spec.jitter as f64) as i64;
                self.jitter_until = departs + JITTER_HOLD;
            }
            arrives = arrives.saturating_add_signed(self.jitter_now).max(departs);
        }
        if self.spec.overtaken > 0.0 && self.random.unit() < self.spec.overtaken {
            return Fate::ArrivesAt(self.last_arrival.max(arrives) + OVERTAKEN_BY);
        }
        self.last_arrival = self.last_arrival.max(arrives);
        Fate::ArrivesAt(self.last_arrival)
    }

    /// When a packet that arrives comes a second time, if it does.
    pub fn second_copy(&mut self, arrives: Nanos) -> Option<Nanos> {
        let comes_twice = self.spec.duplicates > 0.0 && self.random.unit() < self.spec.duplicates;
        comes_twice.then_some(arrives + OVERTAKEN_BY)
    }

    fn nanos_per_byte(&self) -> f64 {
        8e9 / self.spec.rate_bits_per_s
    }
}
