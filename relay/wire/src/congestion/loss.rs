//! Whose loss is it: the line's, which no rate avoids, or our own, from a queue that is full?
//!
//! Packets are counted in epochs. When more are lost than the line is known to lose, the window gets a ceiling
//! as a trial (after BBRv3's long-term bound on packets in flight, `draft-ietf-ccwg-bbr`). If the loss falls with
//! it, the loss was ours: the ceiling stays, and rises again step by step. If not, it is the line's and the
//! ceiling goes. So a line may lose one packet in ten at random and still be filled, while a short queue or a
//! policer is found without any rise of the round trip.

use super::Micros;

/// Packets in an epoch; twice as many tell whether a trial helped.
const EPOCH_PACKETS: u64 = 120;
/// A trial sets the ceiling to this share of what the line holds without a queue, in percent.
const TRIAL_PERCENT: u64 = 85;
/// Loss beyond the line's that starts a trial, in packets per 10 000.
const TOLERATED: u64 = 200;
/// A trial helped if less than this share of the additional loss is left, in percent.
const LEFT_PERCENT: u64 = 40;
/// Rounds after a cut whose losses still belong to the time before it.
const SETTLING_ROUNDS: u32 = 2;
/// How long a ceiling holds before it rises; doubled each time that rising brought loss.
const HOLD: Micros = 2_000_000;
const HOLD_MAX: Micros = 32_000_000;
/// A rising ceiling grows by one part in this many each round, and by a packet at least.
const RISE_PARTS: u64 = 50;

/// Packets per 10 000.
type Share = u64;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Watching,
    /// One epoch lost too much; chance does that once in a few thousand, twice in a row never.
    Suspecting,
    Settling {
        rounds: u32,
        before: Share,
    },
    Judging {
        before: Share,
    },
}

/// One round as the watch sees it.
#[derive(Clone, Copy, Debug)]
pub(super) struct RoundLoss {
    /// Packets that arrived and that were reported lost.
    pub arrived: u64,
    pub lost: u64,
    /// Bytes the line holds without a queue.
    pub pipe: u64,
    /// Bytes of a full packet.
    pub packet: u64,
}

#[derive(Clone, Debug)]
pub(super) struct LossWatch {
    stage: Stage,
    packets: u64,
    lost: u64,
    /// What the line itself loses.
    line: Share,
    ceiling: Option<u64>,
    held_since: Micros,
    hold: Micros,
}

impl LossWatch {
    pub fn new() -> Self {
        Self {
            stage: Stage::Watching,
            packets: 0,
            lost: 0,
            line: 0,
            ceiling: None,
            held_since: 0,
            hold: HOLD,
        }
    }

    /// No window above this many bytes.
    pub fn ceiling(&self) -> u64 {
        self.ceiling.unwrap_or(u64::MAX)
    }

    /// More than a quarter of a well filled count is lost: too much to go on doubling the window.
    pub fn is_overwhelming(&self) -> bool {
        self.packets >= EPOCH_PACKETS / 2 && self.lost.saturating_mul(4) > self.packets
    }

    pub fn on_round(&mut self, now: Micros, round: &RoundLoss) {
        if let Stage::Settling { rounds, before } = self.stage {
            self.stage = match rounds {
                0 | 1 => Stage::Judging { before },
                _ => Stage::Settling {
                    rounds: rounds - 1,
                    before,
                },
            };
            return;
        }
        self.packets = self
            .packets
            .saturating_add(round.arrived)
            .saturating_add(round.lost);
        self.lost = self.lost.saturating_add(round.lost);
        self.raise_ceiling(now, round.packet);
        let enough = match self.stage {
            Stage::Judging { .. } => 2 * EPOCH_PACKETS,
            _ => EPOCH_PACKETS,
        };
        if self.packets >= enough {
            self.end_epoch(now, round.pipe);
        }
    }

    fn end_epoch(&mut self, now: Micros, pipe: u64) {
        let share = self.lost.saturating_mul(10_000) / self.packets;
        // Two standard deviations of what chance does to a count of this size.
        let chance = 2 * (share.saturating_mul(10_000) / self.packets).isqrt();
        self.packets = 0;
        self.lost = 0;
        match self.stage {
            Stage::Judging { before } => {
                self.stage = Stage::Watching;
                self.held_since = now;
                let left = before.saturating_sub(self.line) * LEFT_PERCENT / 100;
                if share > self.line + left {
                    self.line = share;
                    self.ceiling = None;
                    self.hold = HOLD;
                }
            }
            Stage::Watching if share > self.line + TOLERATED + chance => self.stage = Stage::Suspecting,
            _ if share > self.line + TOLERATED + chance => {
                if self.ceiling.is_some() {
                    self.hold = (self.hold * 2).min(HOLD_MAX);
                }
                self.ceiling = Some(pipe.min(self.ceiling()) / 100 * TRIAL_PERCENT);
                self.held_since = now;
                self.stage = Stage::Settling {
                    rounds: SETTLING_ROUNDS,
                    before: share,
                };
            }
            _ => {
                self.stage = Stage::Watching;
                if share < self.line {
                    self.line = (self.line * 7 + share) / 8;
                } else if self.line < TOLERATED {
                    // No further up, or our own loss would pass for the line's bit by bit.
                    self.line = (self.line * 31 + share) / 32;
                }
            }
        }
    }

    fn raise_ceiling(&mut self, now: Micros, packet: u64) {
        if let Some(ceiling) = self.ceiling.as_mut()
            && self.stage == Stage::Watching
            && now.saturating_sub(self.held_since) > self.hold
        {
            *ceiling = ceiling.saturating_add(packet.max(*ceiling / RISE_PARTS));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PIPE: u64 = 100_000;

    /// Rounds of 60 packets on a line that loses `line` in a hundred, and half of what exceeds `fits` bytes.
    fn run(watch: &mut LossWatch, rounds: u64, line: u64, fits: u64) {
        for number in 0..rounds {
            let own = if watch.ceiling().min(PIPE * 2) > fits {
                12
            } else {
                0
            };
            let lost = 60 * line / 100 + own;
            let round = RoundLoss {
                arrived: 60 - lost,
                lost,
                pipe: PIPE,
                packet: 1452,
            };
            watch.on_round(number * 40_000, &round);
        }
    }

    #[test]
    fn random_loss_leaves_no_ceiling() {
        for line in [0, 2, 5, 10, 20] {
            let mut watch = LossWatch::new();
            run(&mut watch, 40, line, u64::MAX);
            assert_eq!(watch.ceiling(), u64::MAX, "{line} % of loss");
        }
    }

    #[test]
    fn own_loss_sets_a_ceiling_below_what_the_queue_takes() {
        for line in [0, 5] {
            let mut watch = LossWatch::new();
            run(&mut watch, 20, line, PIPE);
            assert!(watch.ceiling() <= PIPE, "{line} % of loss besides");
        }
    }

    #[test]
    fn a_ceiling_rises_again_after_its_holding_time() {
        let mut watch = LossWatch::new();
        run(&mut watch, 20, 0, PIPE);
        let held = watch.ceiling();
        run(&mut watch, 200, 0, u64::MAX);
        assert!(watch.ceiling() > held * 2);
    }
}
