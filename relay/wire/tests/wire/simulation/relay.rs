//! The relay's end: the receiver of one connection, a disk with a journal, and a database that outlive it.

use std::collections::{HashMap, HashSet};

use bytes::Bytes;
use tancho_domain::dicom::SopInstanceUid;
use tancho_wire::frame::{Data, Receipt, Refusal, RefusalKind};
use tancho_wire::transfer::{
    Action, DataVerdict, Finish, Holding, RangeSet, Receiver, refuse_final, refuse_later,
};
use tancho_wire::{Digest, Frame};

use super::agent::Agent;
use super::pipe::Random;

/// A partial container and the two kinds of its journal's entries.
#[derive(Default)]
struct Part {
    file: Vec<u8>,
    /// Survives a killed process.
    written: RangeSet,
    /// Survives a power cut.
    synced: RangeSet,
}

#[derive(Default)]
pub struct Relay {
    parts: HashMap<Digest, Part>,
    receipts: HashMap<Digest, Receipt>,
    instances: HashSet<SopInstanceUid>,
    verifying: Vec<(u64, Digest)>,
    /// Told on this connection.
    heads: HashSet<Digest>,
    previews: HashSet<Digest>,
    /// Bytes that came and were not needed.
    pub bytes_dropped: u64,
    /// Lies of the disk and refusals; none while this is false.
    pub has_faults: bool,
    /// Refusals in the middle of a transfer too: bytes under way are then sent twice.
    pub refuses_midway: bool,
}

impl Relay {
    /// The connection is gone. What it was verifying is verified again when it is offered again.
    pub fn disconnect(&mut self) {
        self.verifying.clear();
        self.heads.clear();
        self.previews.clear();
    }

    /// The machine loses power: what was not synced is rubbish now.
    pub fn lose_power(&mut self) {
        for part in self.parts.values_mut() {
            part.synced
                .gaps(0..part.file.len() as u64)
                .into_iter()
                .for_each(|gap| part.file[gap.start as usize..gap.end as usize].fill(0xee));
            part.written = part.synced.clone();
        }
    }

    pub fn is_durable(&self, digest: &Digest) -> bool {
        self.receipts.contains_key(digest)
    }

    /// Whether the range was taken; else the stream waits.
    pub fn on_data(&mut self, receiver: &mut Receiver, data: &Data, random: &mut Random) -> bool {
        let (digest, len) = (data.container_sha256, data.bytes.len() as u64);
        let verdict = receiver
            .on_data(&digest, data.offset, len)
            .expect("the agent keeps the protocol");
        let gaps = match verdict {
            DataVerdict::Store(gaps) => gaps,
            DataVerdict::Drop => {
                self.bytes_dropped += len;
                return true;
            }
            DataVerdict::Wait => return false,
        };
        if self.has_faults && self.refuses_midway && random.one_in(100) {
            self.heads.remove(&digest);
            self.previews.remove(&digest);
            receiver.refuse(refuse_later(digest, "disk_full", "", random.below(300)));
            return true;
        }
        let part = self.parts.entry(digest).or_default();
        let mut bytes_needed = 0;
        for gap in gaps {
            assert_eq!(
                part.written.gaps(gap.clone()),
                vec![gap.clone()],
                "a byte is written once"
            );
            write(&mut part.file, data, gap.start, gap.end);
            part.written.insert(gap.clone());
            bytes_needed += gap.end - gap.start;
            receiver.on_stored(&digest, gap);
        }
        self.bytes_dropped += len - bytes_needed;
        if random.one_in(4) {
            part.synced = part.written.clone();
        }
        true
    }

    pub fn work(&mut self, receiver: &mut Receiver, agent: &Agent, now_ms: u64, random: &mut Random) {
        while let Some(action) = receiver.poll_action() {
            let (Action::HeadComplete(digest) | Action::PreviewArrived(digest) | Action::Complete(digest)) =
                action
            else {
                if let Action::Lookup(offered) = action {
                    let digest = offered.item.container_sha256;
                    let holding = self.look_up(&digest, random);
                    receiver.answer(&digest, holding);
                }
                continue;
            };
            // Refused since then.
            let Some(offered) = receiver.offered(&digest) else {
                continue;
            };
            let preview_end = offered.item.preview_end;
            match action {
                Action::HeadComplete(_) => {
                    assert!(self.heads.insert(digest), "said once");
                    self.assert_holds(agent, &digest, offered.item.head_end);
                }
                Action::PreviewArrived(_) => {
                    assert!(self.previews.insert(digest), "said once");
                    assert!(self.heads.contains(&digest), "listed before it is looked at");
                    self.assert_holds(agent, &digest, preview_end.unwrap());
                }
                _ => {
                    assert!(self.heads.contains(&digest));
                    assert_eq!(self.previews.contains(&digest), preview_end.is_some());
                    self.verifying.push((now_ms + random.below(100), digest));
                }
            }
        }
        let mut due = Vec::new();
        self.verifying.retain(|(at_ms, digest)| {
            let is_due = *at_ms <= now_ms;
            is_due.then(|| due.push(*digest));
            !is_due
        });
        for digest in due {
            let finish = self.verify(receiver, agent, &digest, now_ms, random);
            receiver.finish(&digest, finish);
        }
    }

    fn look_up(&self, digest: &Digest, random: &mut Random) -> Holding {
        if let Some(receipt) = self.receipts.get(digest) {
            return Holding::Durable(receipt.clone());
        }
        if self.has_faults && random.one_in(40) {
            return Holding::Refused(match random.one_in(8) {
                true => refuse_final(*digest, "head_unreadable", ""),
                false => refuse_later(*digest, "busy", "", random.below(500)),
            });
        }
        let part = self.parts.get(digest);
        Holding::Partial(part.map(|part| part.written.clone()).unwrap_or_default())
    }

    fn verify(
        &mut self,
        receiver: &Receiver,
        agent: &Agent,
        digest: &Digest,
        now_ms: u64,
        random: &mut Random,
    ) -> Finish {
        let item = receiver.offered(digest).unwrap().item.clone();
        if self.has_faults && random.one_in(30) {
            // The disk lied, or the container does not give the original back.
            self.parts.remove(digest);
            return match random.one_in(2) {
                true => Finish::Again,
                false => Finish::Refused(Refusal {
                    container_sha256: *digest,
                    kind: RefusalKind::Recode,
                    code: "original_digest_mismatch".into(),
                    text: String::new(),
                    retry_after_ms: 0,
                }),
            };
        }
        self.assert_holds(agent, digest, item.container_len);
        let receipt = Receipt {
            container_sha256: *digest,
            original_sha256: item.original_sha256,
            durable_at_ms: now_ms as i64,
        };
        assert!(self.instances.insert(item.sop_instance_uid), "stored once");
        self.parts.remove(digest);
        self.receipts.insert(*digest, receipt.clone());
        Finish::Durable(receipt)
    }

    /// The first bytes are there and they are the right ones.
    fn assert_holds(&self, agent: &Agent, digest: &Digest, end: u64) {
        let part = &self.parts[digest];
        assert!(part.written.contains(&(0..end)));
        let right = &agent.spooled(digest).bytes[..end as usize];
        assert!(part.file[..end as usize] == *right, "a wrong byte");
    }

    /// Nothing waits for a verification, and no part lies about whose container is durable.
    pub fn is_idle(&self) -> bool {
        self.verifying.is_empty() && self.parts.keys().all(|digest| !self.is_durable(digest))
    }
}

fn write(file: &mut Vec<u8>, data: &Data, start: u64, end: u64) {
    let (from, to) = ((start - data.offset) as usize, (end - data.offset) as usize);
    if file.len() < end as usize {
        file.resize(end as usize, 0xee);
    }
    file[start as usize..end as usize].copy_from_slice(&data.bytes[from..to]);
}

/// A range of a container as a frame.
pub fn data_frame(agent: &Agent, digest: &Digest, offset: u64, len: u64) -> Frame {
    let bytes = &agent.spooled(digest).bytes[offset as usize..(offset + len) as usize];
    Frame::Data(Data {
        container_sha256: *digest,
        offset,
        bytes: Bytes::copy_from_slice(bytes),
    })
}
