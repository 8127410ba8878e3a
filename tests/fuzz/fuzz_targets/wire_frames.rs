//! Frames of the agent-relay protocol: any bytes, in any pieces, never panic; what is read can be written and read
//! again; and neither end's state machine breaks on frames that a peer may send in any order.
//!
//! The first byte says in what pieces the rest comes, and whether ranges may come before they were asked for.

#![no_main]

use libfuzzer_sys::fuzz_target;
use tancho_wire::Frame;
use tancho_wire::frame::{Decoded, FrameDecoder, encode};
use tancho_wire::transfer::{Action, DataVerdict, Finish, Holding, RangeSet, Receiver, Sender, SenderConfig};

const OFFERS_OPEN_MAX: u32 = 16;

fuzz_target!(|input: &[u8]| {
    let Some((pieces, bytes)) = input.split_first() else {
        return;
    };
    let mut decoder = FrameDecoder::new();
    let mut receiver = Receiver::new(OFFERS_OPEN_MAX);
    let mut sender = Sender::new(SenderConfig::default());
    sender.connected(OFFERS_OPEN_MAX);
    if pieces % 2 == 0 {
        receiver = receiver.taking_early();
        sender.set_takes_early();
    }
    let mut now_ms = 0;
    for piece in bytes.chunks(usize::from(*pieces).max(1)) {
        decoder.push(piece);
        loop {
            let frame = match decoder.next_frame() {
                Ok(Some(Decoded::Frame(frame))) => frame,
                Ok(Some(Decoded::Ignored(_))) => continue,
                Ok(None) => break,
                Err(_) => return,
            };
            assert_reads_back(&frame);
            now_ms += 100;
            if is_refused(&mut receiver, &mut sender, frame, now_ms) {
                return;
            }
        }
    }
});

fn assert_reads_back(frame: &Frame) {
    let mut written = Vec::new();
    encode(frame, &mut written);
    let mut decoder = FrameDecoder::new();
    decoder.push(&written);
    assert_eq!(decoder.next_frame(), Ok(Some(Decoded::Frame(frame.clone()))));
}

/// Gives the frame to the end that takes it; whether that closes the connection.
fn is_refused(receiver: &mut Receiver, sender: &mut Sender, frame: Frame, now_ms: u64) -> bool {
    let is_refused = match frame {
        Frame::Offer(offer) => receiver.on_offer(offer).is_err(),
        Frame::Data(data) => {
            let len = data.bytes.len() as u64;
            match receiver.on_data(&data.container_sha256, data.offset, len) {
                Ok(DataVerdict::Store(gaps)) => {
                    for gap in gaps {
                        assert!(data.offset <= gap.start && gap.end - data.offset <= len);
                        receiver.on_stored(&data.container_sha256, gap);
                    }
                    false
                }
                Ok(DataVerdict::Drop | DataVerdict::Wait) => false,
                Err(_) => true,
            }
        }
        other => sender.on_frame(other, now_ms).is_err(),
    };
    while let Some(action) = receiver.poll_action() {
        match action {
            Action::Lookup(offered) => {
                let digest = offered.item.container_sha256;
                receiver.answer(&digest, Holding::Partial(RangeSet::new()));
            }
            Action::Complete(digest) => receiver.finish(&digest, Finish::Again),
            Action::HeadComplete(_) | Action::PreviewArrived(_) => {}
        }
    }
    while receiver.poll_frame().is_some() {}
    sender.tick(now_ms);
    while sender.poll_frame(now_ms).is_some() {}
    assert!(receiver.n_open() <= 2 * OFFERS_OPEN_MAX as usize);
    is_refused
}
