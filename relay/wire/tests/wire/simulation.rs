//! Sender and receiver joined in memory by a line that delays, reorders between streams, repeats frames and is cut at
//! any byte, with a modality that goes on scanning, technologists who change their minds, readers who look around, an
//! agent that forgets what it knew, and a relay that loses what was not yet on its disk.
//!
//! Each seed is one life of a small site under a clock of its own. A failure prints the seed; `TANCHO_SEED=n` replays
//! it alone, `TANCHO_SEEDS=n` sets how many run.

mod agent;
mod pipe;
mod referee;
mod relay;

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use tancho_wire::Frame;
use tancho_wire::frame::Focus;
use tancho_wire::transfer::{NextRange, RangeToSend, Receiver};

use agent::{Agent, Fate};
use pipe::{Pipe, Random};
use referee::Referee;
use relay::{Relay, data_frame};

/// Lives in an ordinary run.
const SEEDS: u64 = 3_200;
/// Steps of a life with faults; after them everything must come to rest.
const STEPS_WITH_FAULTS: u64 = 300;
/// Streams of one class: more than the reference agent opens, so that ranges overtake each other.
const STREAMS_PER_CLASS: usize = 2;

/// A connection.
struct Line {
    up: Pipe,
    down: Pipe,
    data: Vec<Pipe>,
    receiver: Receiver,
    offers_open_max: usize,
}

#[derive(Default)]
struct Tally {
    n_cuts: u64,
    n_restarts: u64,
    n_focus: u64,
    n_overtaken: u64,
    n_early: u64,
    n_over: u64,
    n_durable: u64,
    bytes_sent: u64,
}

struct World {
    random: Random,
    now_ms: u64,
    agent: Agent,
    relay: Relay,
    referee: Referee,
    line: Option<Line>,
    link_up_at_ms: u64,
    /// The cap lets nothing go before this.
    not_before_ms: u64,
    /// Nothing happened in the last step, so time may jump.
    is_idle: bool,
    has_faults: bool,
    /// The agent repeats itself on this seed, and the relay refuses in mid-transfer.
    is_rude: bool,
    bytes_repeated: u64,
    tally: Tally,
}

impl World {
    fn new(seed: u64) -> Self {
        let mut random = Random::new(seed);
        let agent = Agent::new(&mut random);
        let is_rude = random.one_in(3);
        let mut relay = Relay::default();
        relay.has_faults = true;
        relay.refuses_midway = is_rude;
        Self {
            random,
            now_ms: 0,
            agent,
            relay,
            referee: Referee::default(),
            line: None,
            link_up_at_ms: 0,
            not_before_ms: 0,
            is_idle: false,
            has_faults: true,
            is_rude,
            bytes_repeated: 0,
            tally: Tally::default(),
        }
    }

    fn end_faults(&mut self) {
        self.has_faults = false;
        self.relay.has_faults = false;
        self.agent.routine_allowed = true;
        self.agent.sender.set_routine_allowed(true);
    }

    fn step(&mut self) {
        let jump_ms = if self.is_idle { 2_000 } else { 10 };
        self.now_ms += 1 + self.random.below(jump_ms);
        if self.random.one_in(2) {
            self.now_ms = self.now_ms.max(self.not_before_ms);
        }
        if self.has_faults {
            self.people();
            if self.random.one_in(100) {
                self.fault();
            }
        }
        if self.line.is_none() && self.now_ms >= self.link_up_at_ms {
            self.connect();
        }
        if self.agent.list(self.now_ms) {
            self.referee.on_listed(&self.agent);
        }
        self.agent.sender.tick(self.now_ms);
        let has_sent = self.agent_writes();
        self.relay_works();
        self.agent_reads();
        self.is_idle = !has_sent && self.is_quiet();
    }

    fn is_quiet(&self) -> bool {
        let quiet = |line: &Line| {
            let mut pipes = line.data.iter().chain([&line.up, &line.down]);
            pipes.all(Pipe::is_empty)
        };
        self.relay.is_idle() && self.line.as_ref().is_none_or(quiet)
    }

    fn people(&mut self) {
        if self.random.one_in(60) {
            self.agent.change_priority(&mut self.random);
        }
        if self.random.one_in(40) {
            let allowed = self.random.one_in(2);
            self.agent.routine_allowed = allowed;
            self.agent.sender.set_routine_allowed(allowed);
        }
        if self.random.one_in(15)
            && let Some(line) = &mut self.line
        {
            let (study_instance_uid, series_instance_uid, sop_instance_uid) =
                self.agent.any_instance(&mut self.random);
            line.receiver.focus(Focus {
                study_instance_uid,
                series_instance_uid,
                sop_instance_uid,
            });
        }
    }

    fn fault(&mut self) {
        match self.random.below(5) {
            0 | 1 => {}
            2 => self.tally.n_restarts += 1,
            3 => {
                self.tally.n_restarts += 1;
                self.relay.lose_power();
            }
            _ => {
                self.tally.n_restarts += 1;
                self.cut();
                self.agent.restart();
                self.referee.restart(self.now_ms);
                return;
            }
        }
        self.cut();
    }

    /// The line is gone at whatever byte it is at.
    fn cut(&mut self) {
        self.tally.n_cuts += 1;
        self.line = None;
        self.agent.sender.disconnected();
        self.referee.disconnect();
        self.relay.disconnect();
        self.link_up_at_ms = self.now_ms + self.random.below(3_000);
    }

    fn connect(&mut self) {
        let offers_open_max = 1 + self.random.below(60) as u32;
        let takes_early = self.random.one_in(2);
        let receiver = Receiver::new(offers_open_max);
        self.line = Some(Line {
            up: Pipe::default(),
            down: Pipe::default(),
            data: (0..3 * STREAMS_PER_CLASS).map(|_| Pipe::default()).collect(),
            receiver: if takes_early {
                receiver.taking_early()
            } else {
                receiver
            },
            offers_open_max: offers_open_max as usize,
        });
        self.agent.sender.connected(offers_open_max);
        if takes_early {
            self.agent.sender.set_takes_early();
            self.referee.set_takes_early();
        }
    }

    /// Whether anything went out.
    fn agent_writes(&mut self) -> bool {
        let Some(line) = &mut self.line else { return false };
        let mut has_sent = false;
        while let Some(frame) = self.agent.sender.poll_frame(self.now_ms) {
            let Frame::Offer(offer) = &frame else {
                panic!("unexpected {}", frame.name());
            };
            self.referee.on_offer(offer, &self.agent);
            line.up.write(&frame, self.now_ms, &mut self.random);
            if self.is_rude && self.has_faults && self.random.one_in(30) {
                line.up.write(&frame, self.now_ms, &mut self.random);
            }
            has_sent = true;
        }
        for _ in 0..self.random.below(4) {
            let range = match self.agent.sender.next_range(self.now_ms) {
                NextRange::Send(range) => range,
                NextRange::NotBefore(at_ms) => {
                    self.referee.on_wait(&self.agent, self.now_ms, at_ms);
                    self.not_before_ms = at_ms;
                    break;
                }
                NextRange::Nothing => {
                    self.referee.on_nothing(&self.agent);
                    break;
                }
            };
            self.referee.on_range(&range, &self.agent, self.now_ms);
            has_sent = true;
            self.send(&range);
        }
        has_sent
    }

    fn send(&mut self, range: &RangeToSend) {
        let Some(line) = &mut self.line else { return };
        let digest = range.container_sha256;
        if self.has_faults && self.random.one_in(300) {
            // The spool's disk fails: this range does not go, and the rest of the container not now.
            self.agent.sender.set_unreadable(&digest, self.now_ms);
            self.referee.set_unreadable(&digest);
            return;
        }
        self.tally.bytes_sent += range.len;
        let frame = data_frame(&self.agent, &digest, range.offset, range.len);
        let class = range.priority as usize * STREAMS_PER_CLASS;
        let stream = class + self.random.below(STREAMS_PER_CLASS as u64) as usize;
        line.data[stream].write(&frame, self.now_ms, &mut self.random);
        if self.has_faults && self.random.one_in(20) {
            // A part of it once more, on either stream.
            let skip = self.random.below(range.len);
            let len = 1 + self.random.below(range.len - skip);
            let again = data_frame(&self.agent, &digest, range.offset + skip, len);
            let stream = class + self.random.below(STREAMS_PER_CLASS as u64) as usize;
            line.data[stream].write(&again, self.now_ms, &mut self.random);
            self.bytes_repeated += len;
        }
    }

    fn relay_works(&mut self) {
        let Some(line) = &mut self.line else { return };
        while let Some(frame) = line.up.read(self.now_ms) {
            let Frame::Offer(offer) = frame else {
                panic!("unexpected {}", frame.name());
            };
            line.receiver.on_offer(offer).expect("our own offers are valid");
            assert!(line.receiver.n_open() <= 2 * line.offers_open_max);
            assert!(self.is_rude || line.receiver.n_open() <= line.offers_open_max);
        }
        let first = self.random.below(line.data.len() as u64) as usize;
        line.data.rotate_left(first);
        for pipe in &mut line.data {
            loop {
                let data = match pipe.held.take() {
                    Some(data) => data,
                    None => match pipe.read(self.now_ms) {
                        Some(Frame::Data(data)) => data,
                        Some(_) => panic!("only data on data streams"),
                        None => break,
                    },
                };
                if !self.relay.on_data(&mut line.receiver, &data, &mut self.random) {
                    pipe.held = Some(data);
                    break;
                }
            }
        }
        let n_streams = line.data.len();
        line.data.rotate_left(n_streams - first);
        self.relay
            .work(&mut line.receiver, &self.agent, self.now_ms, &mut self.random);
        while let Some(frame) = line.receiver.poll_frame() {
            line.down.write(&frame, self.now_ms, &mut self.random);
        }
    }

    fn agent_reads(&mut self) {
        let Some(line) = &mut self.line else { return };
        while let Some(frame) = line.down.read(self.now_ms) {
            if let Frame::Receipt(receipt) = &frame {
                let digest = &receipt.container_sha256;
                assert!(self.relay.is_durable(digest), "a receipt only after durable");
            }
            self.referee.on_frame(&frame);
            let event = self
                .agent
                .sender
                .on_frame(frame, self.now_ms)
                .expect("the relay's frames are valid");
            if let Some(event) = event {
                let forgotten = self.agent.record(event, &mut self.random);
                forgotten.inspect(|digest| self.referee.on_forgotten(digest));
            }
        }
    }
}

fn live(seed: u64) -> World {
    let mut world = World::new(seed);
    for _ in 0..STEPS_WITH_FAULTS {
        world.step();
    }
    world.end_faults();
    rest(&mut world);
    world
}

/// Without faults everything must come to rest, in a number of steps that follows from what there is to do.
fn rest(world: &mut World) {
    let n_objects = world.agent.spool.len() as u64;
    let limit = 3_000 + 100 * n_objects;
    let mut n_steps = 0;
    while !(world.agent.is_done() && world.is_idle && world.line.is_some()) {
        world.step();
        n_steps += 1;
        assert!(
            n_steps < limit,
            "no progress: {} objects are unsettled",
            world.agent.listed().len()
        );
    }
    world.step();
    for spooled in &world.agent.spool {
        let is_durable = world.relay.is_durable(&spooled.object.container_sha256);
        assert_eq!(is_durable, spooled.fate == Fate::Durable);
    }
    if !world.is_rude {
        assert!(
            world.relay.bytes_dropped <= world.bytes_repeated + world.referee.early_bytes_lost,
            "{} bytes came for nothing",
            world.relay.bytes_dropped
        );
    }
    // Whoever has nothing to do holds nothing.
    let sender = format!("{:?}", world.agent.sender);
    assert!(sender.len() < 3_000, "the sender holds {sender}");
    let line = world.line.as_ref().expect("the line stands");
    assert_eq!(line.receiver.n_open(), 0);
    let receiver = format!("{:?}", line.receiver);
    // Of what it answered it remembers the digests.
    let receiver_max = 1_000 + 300 * world.agent.spool.len();
    assert!(receiver.len() < receiver_max, "the receiver holds {receiver}");
    let of = |fate| {
        world
            .agent
            .spool
            .iter()
            .filter(|spooled| spooled.fate == fate)
            .count() as u64
    };
    world.tally.n_over = of(Fate::Over);
    world.tally.n_durable = of(Fate::Durable);
}

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

#[test]
fn every_byte_arrives_once_in_order_of_need_whatever_the_line_and_the_ends_do() {
    let seeds = match number("TANCHO_SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..number("TANCHO_SEEDS").unwrap_or(SEEDS),
    };
    let next = AtomicU64::new(seeds.start);
    let total = Mutex::new(Tally::default());
    let work = || loop {
        let seed = next.fetch_add(1, Ordering::Relaxed);
        if seed >= seeds.end {
            return;
        }
        let world = std::panic::catch_unwind(|| live(seed)).unwrap_or_else(|panic| {
            eprintln!("seed {seed} failed; TANCHO_SEED={seed} replays it");
            next.store(seeds.end, Ordering::Relaxed);
            std::panic::resume_unwind(panic)
        });
        let mut total = total.lock().unwrap();
        total.add(&world);
    };
    let n_threads = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..n_threads).map(|_| scope.spawn(work)).collect();
        for thread in threads {
            if let Err(panic) = thread.join() {
                std::panic::resume_unwind(panic);
            }
        }
    });
    let total = total.into_inner().unwrap();
    println!(
        "{} lives: {} cuts, {} of them with a restart; {} containers durable, {} refused or coded again; \
         {} MiB sent; {} ranges went before they were asked for, {} followed a reader, {} went before waiting lower work",
        seeds.end - seeds.start,
        total.n_cuts,
        total.n_restarts,
        total.n_durable,
        total.n_over,
        total.bytes_sent >> 20,
        total.n_early,
        total.n_focus,
        total.n_overtaken
    );
}

impl Tally {
    fn add(&mut self, world: &World) {
        let tally = &world.tally;
        self.n_cuts += tally.n_cuts;
        self.n_restarts += tally.n_restarts;
        self.n_over += tally.n_over;
        self.n_durable += tally.n_durable;
        self.bytes_sent += tally.bytes_sent;
        self.n_focus += world.referee.n_focus_followed;
        self.n_overtaken += world.referee.n_overtaken;
        self.n_early += world.referee.n_early;
    }
}

#[test]
fn without_faults_not_one_byte_goes_twice() {
    for seed in 0..200 {
        let mut world = World::new(seed);
        world.end_faults();
        rest(&mut world);
        let total: u64 = (world.agent.spool.iter())
            .map(|spooled| spooled.object.container_len)
            .sum();
        assert_eq!(world.tally.bytes_sent, total, "seed {seed}");
        assert_eq!(world.relay.bytes_dropped, 0, "seed {seed}");
    }
}
