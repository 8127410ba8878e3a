//! DICOM files (PS3.10 section 7): finding the data set inside one, and writing the preamble and group 0002.
//!
//! Only the front of a file is read; the data set itself goes to `scan`. Files without preamble or without
//! group 0002 are met in the field and taken when their first elements read well in one encoding.

use std::io::{self, Read, Seek, SeekFrom};

use tancho_domain::dicom::{SopClassUid, SopInstanceUid, TransferSyntaxUid};

use crate::element::{Tag, Vr};
use crate::syntax::{self, Encoding};
use crate::walk::plausible_elements;

/// Longest front of a file that is read, in bytes: preamble and group 0002 with its private part.
const FRONT_BYTES_MAX: u64 = 256 * 1024;
const PREAMBLE_BYTES: usize = 128;
/// Names this product in the files it writes (PS3.7 annex D.3.3.2).
const IMPLEMENTATION_CLASS_UID: &str = "2.25.279817433214190312044706148211087261033";
const IMPLEMENTATION_VERSION: &str = "TANCHO_0_1";

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

/// Reads the front of a file and finds its data set. `src` is left at any position.
///
/// # Errors
/// When the file is not DICOM, or its group 0002 cannot be believed.
pub fn split<R: Read + Seek>(src: &mut R) -> Result<FileMeta, Part10Error> {
    let total = src.seek(SeekFrom::End(0))?;
    src.seek(SeekFrom::Start(0))?;
    let mut front = Vec::new();
    src.by_ref().take(FRONT_BYTES_MAX).read_to_end(&mut front)?;
    // The four letters count only in front of group 0002 or at the end: a bare data set may hold them by chance.
    let marked = front.get(PREAMBLE_BYTES..PREAMBLE_BYTES + 4) == Some(b"DICM".as_slice());
    let has_preamble = marked && bare_syntax(&front, total).is_none();
    let meta_start = if has_preamble {
        PREAMBLE_BYTES + 4
    } else if front.starts_with(b"DICM") {
        4
    } else {
        0
    };
    let suspicious_preamble = has_preamble && is_suspicious(&front[..PREAMBLE_BYTES]);
    if front.get(meta_start..meta_start + 2) == Some([0x02, 0x00].as_slice()) {
        let meta = read_meta(&front, meta_start, total)?;
        return Ok(FileMeta {
            suspicious_preamble,
            ..meta
        });
    }
    let bare = bare_syntax(
        front.get(meta_start..).unwrap_or_default(),
        total - meta_start as u64,
    );
    let transfer_syntax = match bare {
        Some(found) => found,
        None if has_preamble => return Err(Part10Error::MetaMalformed("group 0002 expected")),
        None => return Err(Part10Error::NotDicom),
    };
    Ok(FileMeta {
        transfer_syntax,
        sop_class_uid: None,
        sop_instance_uid: None,
        data_set_offset: meta_start as u64,
        suspicious_preamble,
        bare: true,
    })
}

/// The transfer syntax of a data set without group 0002, when its first elements leave no doubt.
fn bare_syntax(window: &[u8], total: u64) -> Option<TransferSyntaxUid> {
    let candidates = [
        (Encoding::ExplicitLittle, syntax::EXPLICIT_LITTLE),
        (Encoding::ExplicitBig, syntax::EXPLICIT_BIG),
        (Encoding::ImplicitLittle, syntax::IMPLICIT_LITTLE),
    ];
    candidates
        .into_iter()
        .find(|(encoding, _)| plausible_elements(window, total, *encoding) >= 2)
        .and_then(|(_, uid)| TransferSyntaxUid::parse(uid).ok())
}

/// Walks group 0002, which is always explicit little endian.
fn read_meta(front: &[u8], start: usize, total: u64) -> Result<FileMeta, Part10Error> {
    let mut at = start;
    let mut transfer_syntax = None;
    let mut sop_class_uid = None;
    let mut sop_instance_uid = None;
    while let Some(header) = front.get(at..at + 8) {
        if header[..2] != [0x02, 0x00] {
            break;
        }
        let tag = Tag(2, u16::from_le_bytes([header[2], header[3]]));
        let vr = Vr([header[4], header[5]]);
        if !vr.is_known() {
            return Err(Part10Error::MetaMalformed("value representation"));
        }
        let (value_at, len) = if vr.has_long_header() {
            let len = front
                .get(at + 8..at + 12)
                .ok_or(Part10Error::MetaMalformed("cut"))?;
            (
                at + 12,
                u64::from(u32::from_le_bytes([len[0], len[1], len[2], len[3]])),
            )
        } else {
            (at + 8, u64::from(u16::from_le_bytes([header[6], header[7]])))
        };
        let end = usize::try_from(value_at as u64 + len).map_err(|_| Part10Error::MetaMalformed("length"))?;
        let value = front
            .get(value_at..end)
            .ok_or(Part10Error::MetaMalformed("length beyond the file"))?;
        let text = || {
            String::from_utf8_lossy(value)
                .trim_matches(['\0', ' '])
                .to_owned()
        };
        match tag {
            Tag(2, 0x0000) => {
                let stated = value.try_into().map(u32::from_le_bytes);
                let stated = stated.map_err(|_| Part10Error::MetaMalformed("group length"))?;
                if end as u64 + u64::from(stated) > total {
                    return Err(Part10Error::MetaMalformed("group length beyond the file"));
                }
            }
            Tag(2, 0x0002) => sop_class_uid = SopClassUid::parse(&text()).ok(),
            Tag(2, 0x0003) => sop_instance_uid = SopInstanceUid::parse(&text()).ok(),
            Tag(2, 0x0010) => transfer_syntax = TransferSyntaxUid::parse(&text()).ok(),
            _ => {}
        }
        at = end;
    }
    Ok(FileMeta {
        transfer_syntax: transfer_syntax.ok_or(Part10Error::MetaMalformed("transfer syntax expected"))?,
        sop_class_uid,
        sop_instance_uid,
        data_set_offset: at as u64,
        suspicious_preamble: false,
        bare: false,
    })
}

/// Whether the preamble is the start of something a computer would run or render.
fn is_suspicious(preamble: &[u8]) -> bool {
    let starts: [&[u8]; 8] = [
        b"MZ",
        b"\x7FELF",
        b"#!",
        b"<",
        b"\xFE\xED\xFA",
        b"\xCE\xFA\xED\xFE",
        b"\xCF\xFA\xED\xFE",
        b"\xCA\xFE\xBA\xBE",
    ];
    starts.iter().any(|start| preamble.starts_with(start))
}

/// The 128 zero bytes, `DICM` and group 0002 for a data set, to be written in front of it.
#[must_use]
pub fn header(
    transfer_syntax: &TransferSyntaxUid,
    sop_class_uid: &SopClassUid,
    sop_instance_uid: &SopInstanceUid,
) -> Vec<u8> {
    let mut group = Vec::new();
    let mut element = |number: u16, vr: Vr, value: &[u8]| {
        let padded = value.len() + value.len() % 2;
        group.extend_from_slice(&[0x02, 0x00]);
        group.extend_from_slice(&number.to_le_bytes());
        group.extend_from_slice(&vr.0);
        if vr.has_long_header() {
            group.extend_from_slice(&[0, 0]);
            group.extend_from_slice(&(padded as u32).to_le_bytes());
        } else {
            group.extend_from_slice(&(padded as u16).to_le_bytes());
        }
        group.extend_from_slice(value);
        if padded > value.len() {
            group.push(if vr == Vr::SH { b' ' } else { 0 });
        }
    };
    element(0x0001, Vr::OB, &[0, 1]);
    element(0x0002, Vr::UI, sop_class_uid.as_str().as_bytes());
    element(0x0003, Vr::UI, sop_instance_uid.as_str().as_bytes());
    element(0x0010, Vr::UI, transfer_syntax.as_str().as_bytes());
    element(0x0012, Vr::UI, IMPLEMENTATION_CLASS_UID.as_bytes());
    element(0x0013, Vr::SH, IMPLEMENTATION_VERSION.as_bytes());

    let mut file = vec![0u8; PREAMBLE_BYTES];
    file.extend_from_slice(b"DICM");
    file.extend_from_slice(&[0x02, 0x00, 0x00, 0x00]);
    file.extend_from_slice(b"UL");
    file.extend_from_slice(&4u16.to_le_bytes());
    file.extend_from_slice(&(group.len() as u32).to_le_bytes());
    file.extend_from_slice(&group);
    file
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use super::*;

    #[test]
    fn what_is_written_is_read_back() {
        let ts = TransferSyntaxUid::parse(syntax::EXPLICIT_BIG).unwrap();
        let class = SopClassUid::parse("1.2.840.10008.5.1.4.1.1.2").unwrap();
        let instance = SopInstanceUid::parse("2.25.1").unwrap();
        let front = header(&ts, &class, &instance);
        let meta = split(&mut Cursor::new(&front)).unwrap();
        assert_eq!(meta.transfer_syntax, ts);
        assert_eq!(meta.sop_class_uid, Some(class));
        assert_eq!(meta.sop_instance_uid, Some(instance));
        assert_eq!(meta.data_set_offset, front.len() as u64);
        assert!(!meta.bare && !meta.suspicious_preamble);
    }

    #[test]
    fn every_cut_is_an_answer() {
        let ts = TransferSyntaxUid::parse(syntax::EXPLICIT_LITTLE).unwrap();
        let class = SopClassUid::parse("1.2.3").unwrap();
        let mut front = header(&ts, &class, &SopInstanceUid::parse("2.25.1").unwrap());
        for len in 0..front.len() - 40 {
            assert!(split(&mut Cursor::new(&front[..len])).is_err(), "{len}");
        }
        front[..2].copy_from_slice(b"MZ");
        assert!(split(&mut Cursor::new(&front)).unwrap().suspicious_preamble);
    }
}
