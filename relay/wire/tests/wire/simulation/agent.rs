//! The site: a spool that survives, a sender that does not, and what the modality and the technologist do meanwhile.

use std::collections::HashMap;
use std::sync::LazyLock;

use tancho_domain::dicom::{Priority, SeriesInstanceUid, SopInstanceUid, StudyInstanceUid};
use tancho_wire::Digest;
use tancho_wire::frame::RefusalKind;
use tancho_wire::transfer::{Outbound, Sender, SenderConfig, SenderEvent};

use super::pipe::Random;
use crate::order::outbound;

const CLASSES: [Priority; 3] = [Priority::Stat, Priority::Urgent, Priority::Routine];

/// What containers hold; each begins somewhere else in it.
static NOISE: LazyLock<Vec<u8>> = LazyLock::new(|| {
    let mut random = Random::new(u64::MAX);
    let words = (0..NOISE_BYTES / 8).flat_map(|_| random.next().to_be_bytes());
    words.collect()
});
const NOISE_BYTES: usize = 512 << 10;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// Comes from the modality at this instant.
    Coming(u64),
    Listed,
    Durable,
    /// Refused for good, or replaced by a container coded again.
    Over,
}

pub struct Spooled {
    pub object: Outbound,
    pub bytes: Vec<u8>,
    pub fate: Fate,
}

pub struct Agent {
    pub spool: Vec<Spooled>,
    pub number_of: HashMap<Digest, usize>,
    pub sender: Sender,
    pub config: SenderConfig,
    pub routine_allowed: bool,
    /// The spool changed since the sender saw it.
    pub is_news: bool,
}

impl Agent {
    pub fn new(random: &mut Random) -> Self {
        let config = SenderConfig {
            offer_ahead_bytes: random.pick(&[1, 100_000, 32 << 20]),
            rate_cap_bytes_per_s: match random.below(4) {
                0 => Some(random.pick(&[0, 100_000, 3_000_000])),
                _ => None,
            },
            ..SenderConfig::default()
        };
        let mut agent = Self {
            spool: Vec::new(),
            number_of: HashMap::new(),
            sender: Sender::new(config.clone()),
            config,
            routine_allowed: true,
            is_news: true,
        };
        for study in 1..=1 + random.below(4) {
            let priority = random.pick(&CLASSES);
            let arrives_ms = random.below(2) * random.below(1_000);
            let gap_ms = random.below(30);
            let n_series = 1 + random.below(3);
            for instance in 0..1 + random.below(14) {
                let len_max = random.pick(&[300, 3_000, 20_000, 150_000]);
                let mut object = outbound(study, instance, priority, 1 + random.below(len_max));
                let series = format!("1.{study}.0.{}", 1 + random.below(n_series));
                object.series_instance_uid = SeriesInstanceUid::parse(&series).unwrap();
                object.head_end = object.container_len.min(1 + random.below(1_500));
                let room = object.container_len - object.head_end + 1;
                object.preview_end = (!random.one_in(4)).then(|| object.head_end + random.below(room));
                agent.add(object, Fate::Coming(arrives_ms + instance * gap_ms), random);
            }
        }
        agent.spool.sort_by_key(|spooled| match spooled.fate {
            Fate::Coming(at_ms) => (at_ms, spooled.object.priority),
            _ => (0, spooled.object.priority),
        });
        agent.number_of = (agent.spool.iter().enumerate())
            .map(|(number, spooled)| (spooled.object.container_sha256, number))
            .collect();
        agent
    }

    fn add(&mut self, object: Outbound, fate: Fate, random: &mut Random) {
        let skip = random.below(NOISE_BYTES as u64 / 2) as usize;
        let bytes = NOISE[skip..skip + object.container_len as usize].to_vec();
        self.number_of.insert(object.container_sha256, self.spool.len());
        self.spool.push(Spooled { object, bytes, fate });
    }

    pub fn spooled(&self, digest: &Digest) -> &Spooled {
        &self.spool[self.number_of[digest]]
    }

    /// The process ends and starts: what is on disk is all it knows.
    pub fn restart(&mut self) {
        self.sender = Sender::new(self.config.clone());
        self.sender.set_routine_allowed(self.routine_allowed);
        self.spool
            .iter_mut()
            .for_each(|spooled| spooled.object.is_new = false);
        self.is_news = true;
    }

    /// Takes what the modality brings, and gives the sender the list if it has changed; whether it did.
    pub fn list(&mut self, now_ms: u64) -> bool {
        for spooled in &mut self.spool {
            if matches!(spooled.fate, Fate::Coming(at_ms) if at_ms <= now_ms) {
                spooled.fate = Fate::Listed;
                spooled.object.is_new = true;
                self.is_news = true;
            }
        }
        if !std::mem::take(&mut self.is_news) {
            return false;
        }
        let listed: Vec<Outbound> = self.listed().into_iter().cloned().collect();
        self.sender.sync(listed);
        true
    }

    /// What waits for its receipt, most urgent and oldest first.
    pub fn listed(&self) -> Vec<&Outbound> {
        let listed = self.spool.iter().filter(|spooled| spooled.fate == Fate::Listed);
        let mut listed: Vec<&Outbound> = listed.map(|spooled| &spooled.object).collect();
        listed.sort_by_key(|object| object.priority);
        listed
    }

    /// A technologist makes a study more or less urgent.
    pub fn change_priority(&mut self, random: &mut Random) {
        let study = self.any_study(random);
        let priority = random.pick(&CLASSES);
        let of_study = self
            .spool
            .iter_mut()
            .filter(|spooled| spooled.object.study_instance_uid == study);
        of_study.for_each(|spooled| spooled.object.priority = priority);
        self.is_news = true;
    }

    fn any_study(&self, random: &mut Random) -> StudyInstanceUid {
        let number = random.below(self.spool.len() as u64) as usize;
        self.spool[number].object.study_instance_uid.clone()
    }

    /// Records an answer as the spool does: durable before the sender forgets. Gives what it was told to forget.
    pub fn record(&mut self, event: SenderEvent, random: &mut Random) -> Option<Digest> {
        self.is_news = true;
        match event {
            SenderEvent::Durable(receipt) => {
                let number = self.number_of[&receipt.container_sha256];
                let fate = &mut self.spool[number].fate;
                assert_eq!(*fate, Fate::Listed, "one receipt for each object");
                *fate = Fate::Durable;
                None
            }
            SenderEvent::Refused(refusal) => {
                let number = self.number_of[&refusal.container_sha256];
                match refusal.kind {
                    RefusalKind::Later => return None,
                    RefusalKind::Final => self.spool[number].fate = Fate::Over,
                    RefusalKind::Recode => self.code_again(number, random),
                }
                self.sender.forget(&refusal.container_sha256);
                Some(refusal.container_sha256)
            }
            SenderEvent::ReceiptDoubtful(_) => panic!("the digests are right"),
        }
    }

    /// The same instance in another container, without low-resolution parts.
    fn code_again(&mut self, number: usize, random: &mut Random) {
        self.spool[number].fate = Fate::Over;
        let mut object = self.spool[number].object.clone();
        object.container_sha256 = Digest::of(&object.container_sha256.0);
        object.container_len += random.below(1_000);
        object.preview_end = None;
        self.add(object, Fate::Listed, random);
    }

    pub fn is_done(&self) -> bool {
        self.spool
            .iter()
            .all(|spooled| matches!(spooled.fate, Fate::Durable | Fate::Over))
    }

    /// Series and instance of a study, any of those the agent has or had.
    pub fn any_instance(&self, random: &mut Random) -> (StudyInstanceUid, SeriesInstanceUid, SopInstanceUid) {
        let object = &self.spool[random.below(self.spool.len() as u64) as usize].object;
        (
            object.study_instance_uid.clone(),
            object.series_instance_uid.clone(),
            object.sop_instance_uid.clone(),
        )
    }
}
