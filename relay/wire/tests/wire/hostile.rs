//! Bytes from a peer that means harm or runs another version.

use proptest::prelude::*;
use tancho_wire::frame::{Decoded, FrameDecoder, IGNORABLE, Ping, encode};
use tancho_wire::limits::{FRAME_BYTES_MAX, RANGE_BYTES_MAX};
use tancho_wire::{CloseCode, Frame};

fn raw(number: u16, body: &[u8]) -> Vec<u8> {
    let mut bytes = ((body.len() + 2) as u32).to_be_bytes().to_vec();
    bytes.extend_from_slice(&number.to_be_bytes());
    bytes.extend_from_slice(body);
    bytes
}

fn close_code(bytes: &[u8]) -> CloseCode {
    let mut decoder = FrameDecoder::new();
    decoder.push(bytes);
    decoder.next_frame().expect_err("must be refused").code
}

#[test]
fn unknown_types_close_unless_marked_as_ignorable() {
    assert_eq!(close_code(&raw(999, b"")), CloseCode::UNKNOWN_FRAME);
    let mut decoder = FrameDecoder::new();
    decoder.push(&raw(999 | IGNORABLE, b"anything"));
    assert_eq!(decoder.next_frame(), Ok(Some(Decoded::Ignored(999 | IGNORABLE))));
    assert_eq!(decoder.next_frame(), Ok(None));
}

#[test]
fn unknown_fields_are_ignored() {
    // {0: 1, 1: 2, 77: [[], {1: "x"}]}
    let body = [0xa3, 0, 1, 1, 2, 0x18, 77, 0x82, 0x80, 0xa1, 1, 0x61, b'x'];
    let mut decoder = FrameDecoder::new();
    decoder.push(&raw(4, &body));
    let ping = Frame::Ping(Ping { seq: 1, now_ms: 2 });
    assert_eq!(decoder.next_frame(), Ok(Some(Decoded::Frame(ping))));
}

#[test]
fn lengths_at_the_limit_pass_and_one_more_closes() {
    let mut decoder = FrameDecoder::new();
    decoder.push(&(FRAME_BYTES_MAX as u32).to_be_bytes());
    assert_eq!(decoder.next_frame(), Ok(None));
    assert_eq!(
        close_code(&(FRAME_BYTES_MAX as u32 + 1).to_be_bytes()),
        CloseCode::FRAME_TOO_LARGE
    );
    assert_eq!(close_code(&u32::MAX.to_be_bytes()), CloseCode::FRAME_TOO_LARGE);
    assert_eq!(close_code(&[0, 0, 0, 1, 0]), CloseCode::PROTOCOL);
    let range = |len: u64| raw(48, &vec![0; 40 + len as usize]);
    let mut decoder = FrameDecoder::new();
    decoder.push(&range(RANGE_BYTES_MAX));
    assert!(matches!(
        decoder.next_frame(),
        Ok(Some(Decoded::Frame(Frame::Data(_))))
    ));
    assert_eq!(close_code(&range(RANGE_BYTES_MAX + 1)), CloseCode::LIMIT);
    assert_eq!(close_code(&range(0)), CloseCode::PROTOCOL);
}

#[test]
fn deep_nesting_in_an_unknown_field_is_skipped_without_recursion() {
    let mut body = vec![0xa3, 0, 1, 1, 2, 0x18, 77];
    body.extend(std::iter::repeat_n(0x81, FRAME_BYTES_MAX - 20));
    body.push(0);
    let mut decoder = FrameDecoder::new();
    decoder.push(&raw(4, &body));
    assert!(decoder.next_frame().is_ok());
    // The same with indefinite lengths that never end.
    let mut body = vec![0xa3, 0, 1, 1, 2, 0x18, 77];
    body.extend(std::iter::repeat_n(0x9f, FRAME_BYTES_MAX - 20));
    assert_eq!(close_code(&raw(4, &body)), CloseCode::PROTOCOL);
}

proptest! {
    #[test]
    fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        let mut decoder = FrameDecoder::new();
        decoder.push(&bytes);
        while let Ok(Some(_)) = decoder.next_frame() {}
    }

    #[test]
    fn arbitrary_bodies_of_known_types_never_panic(
        number in prop::sample::select(vec![1u16, 2, 3, 4, 5, 16, 17, 18, 19, 20, 21, 24, 25, 32, 33, 34, 40, 41, 42, 48, 0x8016]),
        body in prop::collection::vec(any::<u8>(), 0..300),
    ) {
        let mut decoder = FrameDecoder::new();
        decoder.push(&raw(number, &body));
        if let Ok(Some(Decoded::Frame(frame))) = decoder.next_frame() {
            let mut again = Vec::new();
            encode(&frame, &mut again);
            let mut decoder = FrameDecoder::new();
            decoder.push(&again);
            prop_assert_eq!(decoder.next_frame(), Ok(Some(Decoded::Frame(frame))));
        }
    }
}
