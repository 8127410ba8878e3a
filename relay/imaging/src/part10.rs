//! DICOM files (PS3.10 section 7): finding the data set inside one, and writing the preamble and group 0002.

use std::io::{self, Read, Seek};

use tancho_domain::dicom::{SopClassUid, SopInstanceUid, TransferSyntaxUid};

/// What the front of a file says about the data set after it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileMeta {
    /// Transfer syntax of the data set: from group 0002, else detected from the bytes.
    pub transfer_syntax: TransferSyntaxUid,
    /// Media Storage SOP Class UID, when group 0002 is there and states a valid one.
    pub sop_class_uid: Option<SopClassUid>,
    /// Media Storage SOP Instance UID, when group 0002 is there and states a valid one.
    pub sop_instance_uid: Option<SopInstanceUid>,
    /// Offset of the data set's first byte in the file.
    pub data_set_offset: u64,
    /// The preamble begins like a program or a script; it must never be written out again as it is.
    pub suspicious_preamble: bool,
    /// The file has no group 0002; the transfer syntax was detected.
    pub bare: bool,
}

/// Why a file is no DICOM file.
#[derive(Debug, thiserror::Error)]
pub enum Part10Error {
    /// Neither a DICOM file nor a bare data set.
    #[error("DICOM file expected: preamble with DICM, or a bare data set")]
    NotDicom,
    /// Group 0002 is cut, lies about its length, or has no usable transfer syntax.
    #[error("file meta information malformed: {0}")]
    MetaMalformed(&'static str),
    /// Reading failed.
    #[error("reading the file failed")]
    Io(#[from] io::Error),
}

impl Part10Error {
    /// The stable code for answers and pages.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::NotDicom => "not_dicom",
            Self::MetaMalformed(_) => "file_meta_malformed",
            Self::Io(_) => "read_failed",
        }
    }
}

/// Reads the front of a file and finds its data set.
pub fn split<R: Read + Seek>(_src: &mut R) -> Result<FileMeta, Part10Error> {
    Err(Part10Error::NotDicom)
}

/// The 128 zero bytes, `DICM` and group 0002 for a data set, to be written in front of it.
#[must_use]
pub fn header(_ts: &TransferSyntaxUid, _class: &SopClassUid, _instance: &SopInstanceUid) -> Vec<u8> {
    Vec::new()
}
