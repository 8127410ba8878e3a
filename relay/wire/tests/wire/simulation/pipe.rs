//! Chance from a seed, and one direction of one stream: bytes in order, in pieces that come when they come.

use std::collections::VecDeque;

use tancho_wire::Frame;
use tancho_wire::frame::{DATA_HEADER_BYTES, Data, Decoded, FrameDecoder, encode};
use tancho_wire::limits::FRAME_BYTES_MAX;

/// xorshift64*: small, seeded, the same everywhere.
pub struct Random(u64);

impl Random {
    pub fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    pub fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    /// Below `n`, which is at least 1.
    pub fn below(&mut self, n: u64) -> u64 {
        (self.next() >> 11) % n
    }

    pub fn one_in(&mut self, n: u64) -> bool {
        self.below(n) == 0
    }

    pub fn pick<T: Copy>(&mut self, of: &[T]) -> T {
        of[self.below(of.len() as u64) as usize]
    }
}

/// One direction of one stream. Dropping it is the cut: what was not read is lost, at whatever byte.
#[derive(Default)]
pub struct Pipe {
    pieces: VecDeque<(u64, Vec<u8>)>,
    decoder: FrameDecoder,
    /// Bytes that came of a frame that is not whole.
    unfinished: usize,
    /// Read, and put back until its Offer is answered.
    pub held: Option<Data>,
}

impl Pipe {
    pub fn write(&mut self, frame: &Frame, now_ms: u64, random: &mut Random) {
        let mut bytes = Vec::new();
        encode(frame, &mut bytes);
        let mut at_ms = self.pieces.back().map_or(0, |(at_ms, _)| *at_ms);
        at_ms = at_ms.max(now_ms + 1 + random.below(40));
        while !bytes.is_empty() {
            let len = match random.one_in(3) {
                true => 1 + random.below(bytes.len() as u64) as usize,
                false => bytes.len(),
            };
            let rest = bytes.split_off(len);
            self.pieces.push_back((at_ms, bytes));
            bytes = rest;
            at_ms += random.below(20);
        }
    }

    pub fn read(&mut self, now_ms: u64) -> Option<Frame> {
        loop {
            match self.decoder.next_frame().expect("our own frames decode") {
                Some(Decoded::Frame(frame)) => {
                    self.unfinished -= len_of(&frame);
                    return Some(frame);
                }
                Some(Decoded::Ignored(_)) => {}
                None => {
                    let unfinished_max = FRAME_BYTES_MAX + 4;
                    assert!(self.unfinished < unfinished_max, "a cut costs one frame a stream");
                    let is_due = |(at_ms, _): &(u64, Vec<u8>)| *at_ms <= now_ms;
                    let (_, bytes) = self.pieces.pop_front_if(|piece| is_due(piece))?;
                    self.unfinished += bytes.len();
                    self.decoder.push(&bytes);
                }
            }
        }
    }

    /// Whether nothing is under way.
    pub fn is_empty(&self) -> bool {
        self.pieces.is_empty() && self.held.is_none()
    }
}

fn len_of(frame: &Frame) -> usize {
    if let Frame::Data(data) = frame {
        return DATA_HEADER_BYTES + data.bytes.len();
    }
    let mut bytes = Vec::new();
    encode(frame, &mut bytes);
    bytes.len()
}
