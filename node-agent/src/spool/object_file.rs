//! One received object on disk: a fixed header of ours, then the data set exactly as it came.
//!
//! The header carries everything needed to rebuild the index, and its own SHA-256. `README.md` beside this
//! file gives the offsets; they never change within a magic number.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};

use sha2::{Digest, Sha256};
use tancho_domain::dicom::Priority;
use tancho_domain::ids::ObjectId;

/// First bytes of every object file of this version.
const MAGIC: &[u8; 8] = b"TNCHOBJ1";
/// Length of the header; the data set begins right after it.
pub const HEADER_BYTES: usize = 1024;
/// The header's own SHA-256 fills its end.
const SEAL_AT: usize = HEADER_BYTES - 32;

/// What the header says about an object. Texts are as received; a quarantined object may have UIDs that are
/// not valid, so they are plain text here and never part of a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObjectHeader {
    /// Our identifier, also the file's name.
    pub object_id: ObjectId,
    /// Priority it was received with.
    pub priority: Priority,
    /// When its last byte had arrived.
    pub received_at_ms: i64,
    /// Bytes of the data set.
    pub data_len: u64,
    /// SHA-256 over the data set.
    pub data_sha256: [u8; 32],
    /// Calling application entity title.
    pub calling_ae: String,
    /// Called application entity title.
    pub called_ae: String,
    /// SOP Class UID.
    pub sop_class_uid: String,
    /// SOP Instance UID.
    pub sop_instance_uid: String,
    /// Study Instance UID.
    pub study_instance_uid: String,
    /// Series Instance UID.
    pub series_instance_uid: String,
    /// Transfer Syntax UID.
    pub transfer_syntax: String,
    /// Network address of the sender.
    pub peer: String,
    /// Why it is in quarantine; empty for a valid object.
    pub reason: String,
}

/// Text fields: offset and length in bytes, padded with NUL.
mod field {
    pub const OBJECT_ID: (usize, usize) = (64, 36);
    pub const CALLING_AE: (usize, usize) = (100, 16);
    pub const CALLED_AE: (usize, usize) = (116, 16);
    pub const SOP_CLASS: (usize, usize) = (132, 64);
    pub const SOP_INSTANCE: (usize, usize) = (196, 64);
    pub const STUDY: (usize, usize) = (260, 64);
    pub const SERIES: (usize, usize) = (324, 64);
    pub const TRANSFER_SYNTAX: (usize, usize) = (388, 64);
    pub const PEER: (usize, usize) = (452, 48);
    pub const REASON: (usize, usize) = (500, 64);
}

impl ObjectHeader {
    /// The header's bytes. A text longer than its field is cut; valid UIDs and titles always fit.
    #[must_use]
    pub fn encode(&self) -> [u8; HEADER_BYTES] {
        let mut bytes = [0; HEADER_BYTES];
        bytes[..8].copy_from_slice(MAGIC);
        bytes[8] = self.priority as u8;
        bytes[16..24].copy_from_slice(&self.received_at_ms.to_le_bytes());
        bytes[24..32].copy_from_slice(&self.data_len.to_le_bytes());
        bytes[32..64].copy_from_slice(&self.data_sha256);
        let mut put = |(at, room): (usize, usize), text: &str| {
            let mut len = text.len().min(room);
            while !text.is_char_boundary(len) {
                len -= 1;
            }
            bytes[at..at + len].copy_from_slice(&text.as_bytes()[..len]);
        };
        put(field::OBJECT_ID, self.object_id.as_str());
        put(field::CALLING_AE, &self.calling_ae);
        put(field::CALLED_AE, &self.called_ae);
        put(field::SOP_CLASS, &self.sop_class_uid);
        put(field::SOP_INSTANCE, &self.sop_instance_uid);
        put(field::STUDY, &self.study_instance_uid);
        put(field::SERIES, &self.series_instance_uid);
        put(field::TRANSFER_SYNTAX, &self.transfer_syntax);
        put(field::PEER, &self.peer);
        put(field::REASON, &self.reason);
        let seal: [u8; 32] = Sha256::digest(&bytes[..SEAL_AT]).into();
        bytes[SEAL_AT..].copy_from_slice(&seal);
        bytes
    }

    /// Reads a header back; `None` when it is not one or was damaged.
    #[must_use]
    pub fn decode(bytes: &[u8; HEADER_BYTES]) -> Option<Self> {
        let seal: [u8; 32] = Sha256::digest(&bytes[..SEAL_AT]).into();
        if &bytes[..8] != MAGIC || bytes[SEAL_AT..] != seal {
            return None;
        }
        let text = |(at, room): (usize, usize)| {
            let field = &bytes[at..at + room];
            let len = field.iter().position(|byte| *byte == 0).unwrap_or(room);
            std::str::from_utf8(&field[..len]).ok().map(str::to_owned)
        };
        let number = |at: usize| -> Option<[u8; 8]> { bytes[at..at + 8].try_into().ok() };
        Some(Self {
            object_id: ObjectId::parse(&text(field::OBJECT_ID)?).ok()?,
            priority: match bytes[8] {
                0 => Priority::Stat,
                1 => Priority::Urgent,
                2 => Priority::Routine,
                _ => return None,
            },
            received_at_ms: i64::from_le_bytes(number(16)?),
            data_len: u64::from_le_bytes(number(24)?),
            data_sha256: bytes[32..64].try_into().ok()?,
            calling_ae: text(field::CALLING_AE)?,
            called_ae: text(field::CALLED_AE)?,
            sop_class_uid: text(field::SOP_CLASS)?,
            sop_instance_uid: text(field::SOP_INSTANCE)?,
            study_instance_uid: text(field::STUDY)?,
            series_instance_uid: text(field::SERIES)?,
            transfer_syntax: text(field::TRANSFER_SYNTAX)?,
            peer: text(field::PEER)?,
            reason: text(field::REASON)?,
        })
    }

    /// Reads the header of an object file; `None` when it is damaged or the file is shorter than it says.
    pub fn read(file: &mut File) -> io::Result<Option<Self>> {
        let mut bytes = [0; HEADER_BYTES];
        file.seek(SeekFrom::Start(0))?;
        match file.read_exact(&mut bytes) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
            Err(error) => return Err(error),
        }
        let whole = file.metadata()?.len();
        Ok(Self::decode(&bytes).filter(|header| whole == HEADER_BYTES as u64 + header.data_len))
    }

    /// Writes the header into the room that was left for it.
    pub fn write(&self, file: &mut File) -> io::Result<()> {
        file.seek(SeekFrom::Start(0))?;
        file.write_all(&self.encode())
    }
}

/// The data set of an object file as a source of its own: byte 0 is the first byte after the header.
#[derive(Debug)]
pub struct DataSet {
    file: File,
    len: u64,
    position: u64,
}

impl DataSet {
    /// Opens the data set of `len` bytes in an object file.
    pub fn new(mut file: File, len: u64) -> io::Result<Self> {
        file.seek(SeekFrom::Start(HEADER_BYTES as u64))?;
        Ok(Self {
            file,
            len,
            position: 0,
        })
    }

    /// The same data set from its first byte, over a handle of the same position: one of the two is read at a time.
    pub fn again(&self) -> io::Result<Self> {
        Self::new(self.file.try_clone()?, self.len)
    }

    /// SHA-256 over the data set, read from its first byte; the position is at the end afterwards.
    pub fn sha256(&mut self) -> io::Result<[u8; 32]> {
        self.seek(SeekFrom::Start(0))?;
        let mut digest = Sha256::new();
        let mut chunk = vec![0; 256 * 1024];
        loop {
            match self.read(&mut chunk)? {
                0 => return Ok(digest.finalize().into()),
                n => digest.update(&chunk[..n]),
            }
        }
    }
}

impl Read for DataSet {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let left = usize::try_from(self.len - self.position).unwrap_or(usize::MAX);
        let room = buffer.len().min(left);
        let n = self.file.read(&mut buffer[..room])?;
        self.position += n as u64;
        Ok(n)
    }
}

impl Seek for DataSet {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let target = match to {
            SeekFrom::Start(offset) => Some(offset),
            SeekFrom::End(offset) => self.len.checked_add_signed(offset),
            SeekFrom::Current(offset) => self.position.checked_add_signed(offset),
        };
        let target = target.ok_or(io::ErrorKind::InvalidInput)?.min(self.len);
        self.file.seek(SeekFrom::Start(HEADER_BYTES as u64 + target))?;
        self.position = target;
        Ok(target)
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    fn header() -> ObjectHeader {
        ObjectHeader {
            object_id: ObjectId::new(Uuid::from_u128(5)),
            priority: Priority::Routine,
            received_at_ms: 1_700_000_000_123,
            data_len: 3,
            data_sha256: [7; 32],
            calling_ae: "CT1".to_owned(),
            called_ae: "TANCHO".to_owned(),
            sop_class_uid: "1.2.840.10008.5.1.4.1.1.2".to_owned(),
            sop_instance_uid: "1".repeat(64),
            study_instance_uid: "1.2".to_owned(),
            series_instance_uid: "1.3".to_owned(),
            transfer_syntax: "1.2.840.10008.1.2.1".to_owned(),
            peer: "127.0.0.1".to_owned(),
            reason: String::new(),
        }
    }

    #[test]
    fn a_header_reads_back_and_any_flipped_bit_is_seen() {
        let bytes = header().encode();
        assert_eq!(ObjectHeader::decode(&bytes), Some(header()));
        for at in 0..HEADER_BYTES {
            let mut broken = bytes;
            broken[at] ^= 1;
            assert_eq!(ObjectHeader::decode(&broken), None, "byte {at}");
        }
    }

    #[test]
    fn a_data_set_never_reads_beyond_its_length() {
        let mut file = tempfile::tempfile().unwrap();
        header().write(&mut file).unwrap();
        file.write_all(b"abcdef").unwrap();
        let mut data = DataSet::new(file, 3).unwrap();
        let mut text = String::new();
        data.read_to_string(&mut text).unwrap();
        assert_eq!(text, "abc");
        assert_eq!(data.seek(SeekFrom::End(-1)).unwrap(), 2);
        assert_eq!(data.sha256().unwrap(), <[u8; 32]>::from(Sha256::digest(b"abc")));
    }
}
