//! Bodies of STOW-RS: whatever comes, in pieces of any size, the parser never holds more than may stand between parts,
//! and the parts of a well-formed body are what was put in.
//!
//! The first byte is the size of the pieces, the second how many KiB stand before the rest, the third whether the rest is
//! the body or the parts to make one of.

#![no_main]

use std::convert::Infallible;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use futures_util::stream;
use libfuzzer_sys::fuzz_target;
use multer::Multipart;

/// The relay's own source: it needs nothing else of it.
#[path = "../../../relay/src/dicomweb/stow/between.rs"]
mod between;

use between::{BETWEEN_PARTS_BYTES_MAX, OneByOne, Passed};

const BOUNDARY: &str = "edge";
/// Between the parts to make a body of.
const SEAM: u8 = 0xFF;

fuzz_target!(|input: &[u8]| {
    let Some((&[piece, before, kind], rest)) = input.split_first_chunk::<3>() else {
        return;
    };
    let piece_len = usize::from(piece) * 16 + 1;
    let filler = vec![b'.'; usize::from(before) * 1024];
    if kind & 1 == 0 {
        let body = [&filler[..], b"\r\n", rest].concat();
        parts_of(&body, piece_len);
        return;
    }
    let parts: Vec<&[u8]> = rest.split(|byte| *byte == SEAM).collect();
    let edge = format!("--{BOUNDARY}");
    if parts.iter().any(|part| contains(part, edge.as_bytes())) {
        return;
    }
    let mut body = Vec::new();
    for part in &parts {
        body.extend_from_slice(format!("{edge}\r\nContent-Type: application/dicom\r\n\r\n").as_bytes());
        body.extend_from_slice(part);
        body.extend_from_slice(b"\r\n");
    }
    body.extend_from_slice(format!("{edge}--").as_bytes());
    let found = parts_of(&body, piece_len).expect("a well-formed body");
    assert_eq!(found, parts);
});

/// The data of the parts; none when the body is malformed or a part does not begin in time.
fn parts_of(body: &[u8], piece_len: usize) -> Option<Vec<Vec<u8>>> {
    let pieces: Vec<_> = body
        .chunks(piece_len)
        .map(|piece| Ok::<_, Infallible>(Bytes::copy_from_slice(piece)))
        .collect();
    let passed = Arc::new(Passed::default());
    let pieces = OneByOne::new(stream::iter(pieces), Arc::clone(&passed));
    let mut multipart = Multipart::new(pieces, BOUNDARY);
    let mut parts: Vec<Vec<u8>> = Vec::new();
    run(async {
        loop {
            let given_before = passed.n_bytes();
            passed.close_part();
            let field = multipart.next_field().await;
            assert!(passed.n_bytes() - given_before <= BETWEEN_PARTS_BYTES_MAX);
            let Some(mut field) = field.ok()? else {
                return Some(parts);
            };
            passed.open_part();
            let mut data = Vec::new();
            while let Some(piece) = field.chunk().await.ok()? {
                data.extend_from_slice(&piece);
            }
            parts.push(data);
            let given: usize = parts.iter().map(Vec::len).sum();
            assert!(given <= body.len());
        }
    })
}

/// Polls until it is done: whatever waits here asks to be polled again.
fn run<T>(task: impl Future<Output = T>) -> T {
    let mut task = pin!(task);
    let mut context = Context::from_waker(Waker::noop());
    loop {
        if let Poll::Ready(done) = task.as_mut().poll(&mut context) {
            return done;
        }
    }
}

fn contains(part: &[u8], wanted: &[u8]) -> bool {
    part.windows(wanted.len()).any(|window| window == wanted)
}
