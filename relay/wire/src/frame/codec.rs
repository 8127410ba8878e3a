//! Bytes to frames and back.

use bytes::{Buf, Bytes, BytesMut};

use super::{Data, Frame, IGNORABLE};
use crate::close::{CloseCode, Violation};
use crate::digest::Digest;
use crate::limits::{FRAME_BYTES_MAX, RANGE_BYTES_MAX};

/// Number of the Data frame's type.
pub(super) const DATA: u16 = 48;
const PREFIX_BYTES: usize = 4;
const TYPE_BYTES: usize = 2;
/// Bytes before the payload of a Data frame: length, type, digest, offset.
pub const DATA_HEADER_BYTES: usize = PREFIX_BYTES + TYPE_BYTES + 32 + 8;

/// Appends one frame to `out`.
pub fn encode(frame: &Frame, out: &mut Vec<u8>) {
    if let Frame::Data(data) = frame {
        out.extend_from_slice(&data_header(
            &data.container_sha256,
            data.offset,
            data.bytes.len(),
        ));
        out.extend_from_slice(&data.bytes);
        return;
    }
    let start = out.len();
    out.extend_from_slice(&[0; PREFIX_BYTES]);
    out.extend_from_slice(&frame.number().to_be_bytes());
    frame.encode_body(out);
    let len = out.len() - start - PREFIX_BYTES;
    debug_assert!(
        len <= FRAME_BYTES_MAX,
        "a frame of ours is too long: {}",
        frame.name()
    );
    out[start..start + PREFIX_BYTES].copy_from_slice(&(len as u32).to_be_bytes());
}

/// What goes before `len` payload bytes of a Data frame, so that the payload itself need not be copied.
#[must_use]
pub fn data_header(container_sha256: &Digest, offset: u64, len: usize) -> [u8; DATA_HEADER_BYTES] {
    let mut header = [0; DATA_HEADER_BYTES];
    header[..4].copy_from_slice(&((DATA_HEADER_BYTES - PREFIX_BYTES + len) as u32).to_be_bytes());
    header[4..6].copy_from_slice(&DATA.to_be_bytes());
    header[6..38].copy_from_slice(&container_sha256.0);
    header[38..].copy_from_slice(&offset.to_be_bytes());
    header
}

/// What a stream of frames yields.
#[expect(
    clippy::large_enum_variant,
    reason = "a frame is taken apart at once, and nearly all are frames this end knows"
)]
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decoded {
    /// A frame this end knows.
    Frame(Frame),
    /// An unknown frame that its sender marked as ignorable; the number is for the log.
    Ignored(u16),
}

/// Collects the bytes of one stream and cuts them into frames. Holds at most one frame and what came after it.
#[derive(Debug, Default)]
pub struct FrameDecoder {
    bytes: BytesMut,
}

impl FrameDecoder {
    /// An empty decoder.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes bytes as they came.
    pub fn push(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    /// Whether a frame has begun and is not whole: a stream that ends here was cut.
    #[must_use]
    pub fn is_mid_frame(&self) -> bool {
        !self.bytes.is_empty()
    }

    /// The next whole frame, or `None` until more bytes come. After an error the stream is unusable.
    pub fn next_frame(&mut self) -> Result<Option<Decoded>, Violation> {
        let Some(prefix) = self.bytes.first_chunk::<PREFIX_BYTES>() else {
            return Ok(None);
        };
        let len = u32::from_be_bytes(*prefix) as usize;
        if len > FRAME_BYTES_MAX {
            return Err(Violation {
                code: CloseCode::FRAME_TOO_LARGE,
                what: "a frame is longer than the limit",
            });
        }
        if len < TYPE_BYTES {
            return Err(Violation::protocol("a frame is too short to have a type"));
        }
        if self.bytes.len() < PREFIX_BYTES + len {
            return Ok(None);
        }
        self.bytes.advance(PREFIX_BYTES);
        let mut frame = self.bytes.split_to(len);
        let number = frame.get_u16();
        if number == DATA {
            return decode_data(frame.freeze()).map(|data| Some(Decoded::Frame(Frame::Data(data))));
        }
        match Frame::decode_body(number, &frame) {
            Some(Ok(frame)) => Ok(Some(Decoded::Frame(frame))),
            Some(Err(_)) => Err(Violation::protocol("a frame's body cannot be decoded")),
            None if number & IGNORABLE != 0 => Ok(Some(Decoded::Ignored(number))),
            None => Err(Violation {
                code: CloseCode::UNKNOWN_FRAME,
                what: "a frame type is unknown",
            }),
        }
    }
}

fn decode_data(mut body: Bytes) -> Result<Data, Violation> {
    if body.len() <= 40 {
        return Err(Violation::protocol("a data frame has no payload"));
    }
    let mut sha256 = [0; 32];
    body.copy_to_slice(&mut sha256);
    let offset = body.get_u64();
    if body.len() as u64 > RANGE_BYTES_MAX {
        return Err(Violation::limit("a data frame carries more than one range"));
    }
    Ok(Data {
        container_sha256: Digest(sha256),
        offset,
        bytes: body,
    })
}
