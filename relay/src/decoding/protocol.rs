//! What relay and worker say to each other: a length of four bytes in little endian, that much JSON, and after it the bytes
//! that the JSON announces.
//!
//! The relay believes a worker nothing: a decoder that was taken over may answer anything, so lengths are compared with
//! what was asked for.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use tancho_domain::dicom::TransferSyntaxUid;
use tancho_imaging::codec::{FrameFacts, FrameJob};

/// Longest JSON of a message, in bytes.
pub(super) const MESSAGE_BYTES_MAX: usize = 4096;
/// Bytes of the length in front of it.
pub(super) const LENGTH_BYTES: usize = 4;

/// The first message of a worker.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Ready {
    /// Everything but reading, writing and memory was taken from it.
    pub(super) is_confined: bool,
}

/// What a worker is to do; the bytes it is to do it with follow, `len` of them.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Ask {
    /// Decode the codestream of a frame.
    Frame { job: FrameJob, len: u64 },
    /// Go through a data set as the scanner does.
    Scan {
        transfer_syntax: TransferSyntaxUid,
        len: u64,
    },
}

/// What came of it.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Answer {
    /// The samples follow, as many as the job's geometry says.
    Decoded(FrameFacts),
    /// The scanner came to the end of the data set.
    Scanned,
    /// The codestream is not decodable, or the data set not readable; why, for the log.
    Refused(String),
}

/// A message as it is sent; `None` when it would be too long.
pub(super) fn message(content: &impl Serialize) -> Option<Vec<u8>> {
    let json = serde_json::to_vec(content).ok()?;
    if json.len() > MESSAGE_BYTES_MAX {
        return None;
    }
    let len = u32::try_from(json.len()).ok()?;
    Some([&len.to_le_bytes()[..], &json].concat())
}

/// The length of a message; `None` when it is too long.
pub(super) fn length(bytes: [u8; LENGTH_BYTES]) -> Option<usize> {
    let len = u32::from_le_bytes(bytes) as usize;
    (len <= MESSAGE_BYTES_MAX).then_some(len)
}

/// The content of a message.
pub(super) fn content<T: DeserializeOwned>(json: &[u8]) -> Option<T> {
    serde_json::from_slice(json).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_end_at_their_limit() {
        let refused = |n| Answer::Refused("x".repeat(n));
        let frame = serde_json::to_vec(&refused(0)).unwrap().len();
        let most = message(&refused(MESSAGE_BYTES_MAX - frame)).unwrap();
        let (len, json) = most.split_at(LENGTH_BYTES);
        assert_eq!(length(len.try_into().unwrap()), Some(MESSAGE_BYTES_MAX));
        assert_eq!(content(json), Some(refused(MESSAGE_BYTES_MAX - frame)));
        assert_eq!(message(&refused(MESSAGE_BYTES_MAX - frame + 1)), None);
        assert_eq!(length((MESSAGE_BYTES_MAX as u32 + 1).to_le_bytes()), None);
        assert_eq!(content::<Answer>(b"{\"decoded\":{}}"), None);
    }
}
