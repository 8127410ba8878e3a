//! The instance container of `CONTAINER.md`: how one data set travels and rests, byte for byte.
//!
//! Writing streams the source once, proves every section by decoding it, and holds at most one frame or
//! chunk in memory. Reading trusts nothing: every length is checked against the bytes, every section
//! against its SHA-256. Containers are immutable once written.

mod check;
mod code;
mod dictionary;
mod frames;
mod header;
mod reader;
mod samples;
mod turns;
mod writer;

use std::io::{self, Read, Seek, SeekFrom};

use sha2::{Digest, Sha256};

use tancho_domain::dicom::{
    SeriesInstanceUid, SopClassUid, SopInstanceUid, StudyInstanceUid, TransferSyntaxUid,
};

pub use dictionary::Dictionary;
pub use header::parse_header;
pub use reader::{Container, LowFrame, Scratch};
pub use samples::FrameGeometry;
pub use turns::{CodingTurns, Urgent};
pub use writer::{Coding, Encoder, Object, encode};

/// What a container holds, read from its first bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ContainerHeader {
    /// Version of the format.
    pub version: u16,
    /// Transfer syntax the data set was received in.
    pub transfer_syntax: TransferSyntaxUid,
    /// SOP Class UID of the data set.
    pub sop_class_uid: SopClassUid,
    /// SOP Instance UID of the data set.
    pub sop_instance_uid: SopInstanceUid,
    /// Study Instance UID of the data set.
    pub study_instance_uid: StudyInstanceUid,
    /// Series Instance UID of the data set.
    pub series_instance_uid: SeriesInstanceUid,
    /// Length of the original data set, in bytes.
    pub original_len: u64,
    /// SHA-256 of the original data set.
    pub original_sha256: [u8; 32],
    /// Frames that can be served one by one; 0 for opaque objects.
    pub frame_count: u32,
    /// Bytes to reverse in each unit of a native frame to get little endian; 1 for none.
    pub swap_bytes: u8,
    /// How the samples of HTJ2K frames lie in their bytes; none when no frame is HTJ2K.
    pub geometry: Option<FrameGeometry>,
    /// How often the sides of an HTJ2K image are halved in the section that begins a frame: 0 to 2.
    pub low_halvings: u8,
    /// SHA-256 of the expanded head that expands this one; none when the head stands for itself.
    pub dictionary_sha256: Option<[u8; 32]>,
    /// Whether the expanded head may be the dictionary of others.
    pub is_dictionary: bool,
    /// Length of this header with its table of sections: the offset of the first section. Bytes.
    pub header_len: u64,
    /// The sections in order; their expansions, one after the other, are the original.
    pub sections: Vec<Section>,
}

impl ContainerHeader {
    /// Length of the whole container, in bytes.
    #[must_use]
    pub fn container_len(&self) -> u64 {
        self.sections
            .last()
            .map_or(self.header_len, |last| last.offset + last.stored_len)
    }

    /// First byte after the header, table and head section: what must arrive for the instance to be listed.
    #[must_use]
    pub fn head_end(&self) -> u64 {
        self.sections
            .first()
            .filter(|section| section.kind.is_head())
            .map_or(self.header_len, |head| head.offset + head.stored_len)
    }

    /// First byte after the first sections of all frames, when they are HTJ2K: what must arrive for the whole stack
    /// to be readable at a quarter of its resolution.
    #[must_use]
    pub fn preview_end(&self) -> Option<u64> {
        let of_first = |section: &&Section| section.frame != 0 && !section.kind.is_rest();
        self.geometry.as_ref()?;
        let last = self.sections.iter().rfind(of_first)?;
        Some(last.offset + last.stored_len)
    }

    /// Whether a head section is there to read elements from.
    #[must_use]
    pub fn has_head(&self) -> bool {
        self.sections
            .first()
            .is_some_and(|section| section.kind.is_head())
    }
}

/// How a section is coded. The numbers are written to disk and sent; they are never reused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum SectionKind {
    /// Elements before the first frame, zstd.
    Head = 1,
    /// One native frame: its samples split into byte planes, then zstd.
    NativeFrame = 2,
    /// One fragment of an encapsulated frame, as it is; the 8 bytes of its item header are regenerated.
    Fragment = 3,
    /// Bytes after the last frame, zstd.
    Tail = 4,
    /// Bytes without structure, zstd; part of a frame when the frame number is not 0.
    Opaque = 5,
    /// The first bytes of a native frame's HTJ2K codestream, up to a quarter of its resolution; with the rest and the
    /// side bits it stands for the frame.
    Htj2kLow = 6,
    /// The rest of the codestream.
    Htj2kRest = 7,
    /// What the codestream does not hold of a native frame: its bytes XOR those rebuilt from the samples, split into
    /// byte planes, then zstd.
    SideBits = 8,
    /// Elements before the first frame, zstd with the dictionary that the header names.
    HeadWithDictionary = 9,
}

impl SectionKind {
    /// Whether it is the head, however coded.
    #[must_use]
    pub fn is_head(self) -> bool {
        matches!(self, Self::Head | Self::HeadWithDictionary)
    }

    /// Whether it completes a frame that an earlier section began.
    #[must_use]
    pub fn is_rest(self) -> bool {
        matches!(self, Self::Htj2kRest | Self::SideBits)
    }
}

/// One row of the table of sections.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Section {
    /// How it is coded.
    pub kind: SectionKind,
    /// Bytes of one sample in a native frame; 0 elsewhere.
    pub sample_bytes: u8,
    /// Frame it belongs to, counted from 1; 0 for none.
    pub frame: u32,
    /// Where its stored bytes begin in the container.
    pub offset: u64,
    /// Stored bytes.
    pub stored_len: u64,
    /// Bytes of the original data set it stands for.
    pub expanded_len: u64,
    /// SHA-256 of the stored bytes.
    pub sha256: [u8; 32],
}

/// What was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ContainerSummary {
    /// Length of the container, in bytes.
    pub container_len: u64,
    /// First byte after header, table and head section.
    pub head_end: u64,
    /// Its header, as a reader will see it.
    pub header: ContainerHeader,
}

/// Why a container was not written or not read.
#[derive(Debug, thiserror::Error)]
pub enum ContainerError {
    /// The bytes are not a container this version reads, or break its rules.
    #[error("container malformed: {0}")]
    Malformed(&'static str),
    /// Stored bytes differ from their SHA-256.
    #[error("section {0} differs from its digest")]
    DigestMismatch(usize),
    /// The rebuilt data set differs from the original's SHA-256.
    #[error("rebuilt data set differs from the original")]
    OriginalMismatch,
    /// The source does not have the digest or length it was scanned with.
    #[error("source changed since it was scanned")]
    SourceChanged,
    /// A section could not be proved by decoding it.
    #[error("section {0} could not be proved")]
    ProofFailed(usize),
    /// The head needs the expanded head of another instance, which is not at hand.
    #[error("dictionary of the head expected, found none")]
    DictionaryMissing([u8; 32]),
    /// There is no such frame.
    #[error("frame {0} expected between 1 and the number of frames")]
    NoSuchFrame(u32),
    /// The part asked for is larger than the caller allows.
    #[error("part larger than {0} bytes")]
    TooLarge(u64),
    /// Reading or writing failed.
    #[error("container input or output failed")]
    Io(#[from] io::Error),
}

impl ContainerError {
    /// The stable code for answers and rows.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Malformed(_) => "container_malformed",
            Self::DigestMismatch(_) => "section_digest_mismatch",
            Self::OriginalMismatch => "original_digest_mismatch",
            Self::SourceChanged => "source_changed",
            Self::ProofFailed(_) => "proof_failed",
            Self::DictionaryMissing(_) => "dictionary_missing",
            Self::NoSuchFrame(_) => "frame_not_found",
            Self::TooLarge(_) => "part_too_large",
            Self::Io(_) => "io_failed",
        }
    }
}

/// SHA-256 of everything in `src`, from its first byte.
///
/// # Errors
/// When reading fails.
pub fn digest<R: Read + Seek>(src: &mut R) -> io::Result<[u8; 32]> {
    src.seek(SeekFrom::Start(0))?;
    let mut sha = Sha256::new();
    let mut piece = vec![0u8; PIECE_BYTES];
    loop {
        match src.read(&mut piece) {
            Ok(0) => return Ok(sha.finalize().into()),
            Ok(got) => sha.update(&piece[..got]),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

/// Bytes moved at once when a part is streamed.
const PIECE_BYTES: usize = 64 * 1024;

/// The item header of a fragment (PS3.5 section A.4); encapsulated data sets are little endian.
fn item_header(len: u64) -> Result<[u8; 8], ContainerError> {
    let len = u32::try_from(len).map_err(|_| ContainerError::Malformed("fragment longer than 4 GiB"))?;
    let len = len.to_le_bytes();
    Ok([0xFE, 0xFF, 0x00, 0xE0, len[0], len[1], len[2], len[3]])
}
