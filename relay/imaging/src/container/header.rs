//! The header and table of sections as bytes; the rules between them are in `check.rs`.

use sha2::{Digest, Sha256};

use super::{ContainerError, ContainerHeader, FrameGeometry, Section, SectionKind, check};
use crate::limits::pieces;

pub(super) const MAGIC: &[u8; 8] = b"TanchoIC";
/// The version that is written.
pub(super) const VERSION: u16 = 2;
/// The oldest version that is read.
const VERSION_MIN: u16 = 1;
/// Bytes before the identifiers in version 1, and the first bytes of every version.
const FIXED_BYTES: usize = 64;
/// Bytes that version 2 has between those and the identifiers.
const FIXED_BYTES_V2: usize = 48;
/// Bytes of one row of the table.
const ROW_BYTES: usize = 56;
/// Bytes of the digest that ends the header.
const DIGEST_BYTES: usize = 32;
/// Flag: the head may be the dictionary of others.
const FLAG_IS_DICTIONARY: u8 = 1;

/// Length of the header for these identifiers and so many sections, in the version that is written.
pub(super) fn header_len(uids: &[&str; 5], sections: usize) -> u64 {
    let texts: usize = uids.iter().map(|uid| 1 + uid.len()).sum();
    (FIXED_BYTES + FIXED_BYTES_V2 + texts + sections * ROW_BYTES + DIGEST_BYTES) as u64
}

/// The header as bytes.
pub(super) fn write(header: &ContainerHeader) -> Vec<u8> {
    let mut out = Vec::with_capacity(header.header_len as usize);
    out.extend_from_slice(MAGIC);
    out.extend_from_slice(&VERSION.to_le_bytes());
    let flags = u8::from(header.is_dictionary) * FLAG_IS_DICTIONARY;
    out.extend_from_slice(&[header.swap_bytes, flags]);
    out.extend_from_slice(&(header.header_len as u32).to_le_bytes());
    out.extend_from_slice(&header.original_len.to_le_bytes());
    out.extend_from_slice(&header.original_sha256);
    out.extend_from_slice(&header.frame_count.to_le_bytes());
    out.extend_from_slice(&(header.sections.len() as u32).to_le_bytes());
    let geometry = header.geometry.as_ref();
    out.extend_from_slice(
        &geometry.map_or([0; 16], |geometry| geometry_bytes(geometry, header.low_halvings)),
    );
    out.extend_from_slice(&header.dictionary_sha256.unwrap_or_default());
    for uid in header.uids() {
        out.push(uid.len() as u8);
        out.extend_from_slice(uid.as_bytes());
    }
    for section in &header.sections {
        out.extend_from_slice(&[section.kind as u8, section.sample_bytes, 0, 0]);
        out.extend_from_slice(&section.frame.to_le_bytes());
        out.extend_from_slice(&section.stored_len.to_le_bytes());
        out.extend_from_slice(&section.expanded_len.to_le_bytes());
        out.extend_from_slice(&section.sha256);
    }
    let digest: [u8; 32] = Sha256::digest(&out).into();
    out.extend_from_slice(&digest);
    out
}

fn geometry_bytes(geometry: &FrameGeometry, low_halvings: u8) -> [u8; 16] {
    let ([r0, r1], [c0, c1]) = (geometry.rows.to_le_bytes(), geometry.columns.to_le_bytes());
    let mut bytes = [0; 16];
    bytes[..11].copy_from_slice(&[
        r0,
        r1,
        c0,
        c1,
        geometry.samples_per_pixel,
        geometry.bits_allocated,
        geometry.bits_stored,
        geometry.high_bit,
        u8::from(geometry.is_signed),
        u8::from(geometry.is_planar),
        low_halvings,
    ]);
    bytes
}

/// The geometry, and how often the sides are halved in the sections that begin frames.
fn read_geometry(bytes: [u8; 16]) -> Result<(Option<FrameGeometry>, u8), ContainerError> {
    if bytes == [0; 16] {
        return Ok((None, 0));
    }
    if bytes[8] > 1 || bytes[9] > 1 || bytes[11..] != [0; 5] {
        return Err(ContainerError::Malformed("frame geometry"));
    }
    let geometry = FrameGeometry {
        rows: u16::from_le_bytes([bytes[0], bytes[1]]),
        columns: u16::from_le_bytes([bytes[2], bytes[3]]),
        samples_per_pixel: bytes[4],
        bits_allocated: bytes[5],
        bits_stored: bytes[6],
        high_bit: bytes[7],
        is_signed: bytes[8] == 1,
        is_planar: bytes[9] == 1,
    };
    Ok((Some(geometry), bytes[10]))
}

/// Reads the header from the first bytes of a container; `None` when more bytes are needed.
///
/// # Errors
/// When the bytes can no longer become a container this version reads.
pub fn parse_header(bytes: &[u8]) -> Result<Option<ContainerHeader>, ContainerError> {
    let start = bytes.len().min(MAGIC.len());
    if bytes[..start] != MAGIC[..start] {
        return Err(ContainerError::Malformed("no container"));
    }
    let Some(front) = bytes.get(..16) else {
        return Ok(None);
    };
    let version = u16::from_le_bytes([front[8], front[9]]);
    if !(VERSION_MIN..=VERSION).contains(&version) {
        return Err(ContainerError::Malformed("version not known"));
    }
    let len = u32::from_le_bytes([front[12], front[13], front[14], front[15]]);
    let shortest = FIXED_BYTES + 5 + DIGEST_BYTES + if version == 1 { 0 } else { FIXED_BYTES_V2 };
    if u64::from(len) > pieces::CONTAINER_HEADER_BYTES_MAX || (len as usize) < shortest {
        return Err(ContainerError::Malformed("header length"));
    }
    let Some(all) = bytes.get(..len as usize) else {
        return Ok(None);
    };
    let (body, digest) = all.split_at(all.len() - DIGEST_BYTES);
    if Sha256::digest(body)[..] != *digest {
        return Err(ContainerError::Malformed("header differs from its digest"));
    }
    let header = read(body, version, u64::from(len))?;
    check::check(&header)?;
    Ok(Some(header))
}

/// Header length stated in the first 16 bytes; the caller has checked nothing yet.
pub(super) fn stated_len(front: &[u8; 16]) -> u64 {
    u64::from(u32::from_le_bytes([front[12], front[13], front[14], front[15]]))
}

struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    fn take(&mut self, n: usize) -> Result<&'a [u8], ContainerError> {
        let (field, rest) = self
            .0
            .split_at_checked(n)
            .ok_or(ContainerError::Malformed("header cut"))?;
        self.0 = rest;
        Ok(field)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], ContainerError> {
        Ok(self.take(N)?.try_into().expect("take gives N bytes"))
    }

    fn u32(&mut self) -> Result<u32, ContainerError> {
        Ok(u32::from_le_bytes(self.array()?))
    }

    fn u64(&mut self) -> Result<u64, ContainerError> {
        Ok(u64::from_le_bytes(self.array()?))
    }

    fn uid<T: TryFrom<String>>(&mut self) -> Result<T, ContainerError> {
        let len = self.take(1)?[0];
        let text = std::str::from_utf8(self.take(usize::from(len))?);
        let text = text.map_err(|_| ContainerError::Malformed("identifier"))?;
        T::try_from(text.to_owned()).map_err(|_| ContainerError::Malformed("identifier"))
    }
}

fn read(body: &[u8], version: u16, header_len: u64) -> Result<ContainerHeader, ContainerError> {
    let mut fields = Fields(body);
    fields.take(10)?;
    let [swap_bytes, flags] = fields.array()?;
    fields.take(4)?;
    let original_len = fields.u64()?;
    let original_sha256 = fields.array()?;
    let frame_count = fields.u32()?;
    let section_count = fields.u32()? as usize;
    let (mut geometry, mut low_halvings) = (None, 0);
    let (mut dictionary_sha256, mut is_dictionary) = (None, false);
    if version >= 2 {
        (geometry, low_halvings) = read_geometry(fields.array()?)?;
        dictionary_sha256 = Some(fields.array()?).filter(|sha256| *sha256 != [0; 32]);
        is_dictionary = flags == FLAG_IS_DICTIONARY;
        if flags & !FLAG_IS_DICTIONARY != 0 {
            return Err(ContainerError::Malformed("flags"));
        }
    }
    let transfer_syntax = fields.uid()?;
    let sop_class_uid = fields.uid()?;
    let sop_instance_uid = fields.uid()?;
    let study_instance_uid = fields.uid()?;
    let series_instance_uid = fields.uid()?;
    if fields.0.len() != section_count.saturating_mul(ROW_BYTES) {
        return Err(ContainerError::Malformed("table length"));
    }
    let mut sections = Vec::with_capacity(section_count);
    let mut offset = header_len;
    for row in fields.0.chunks_exact(ROW_BYTES) {
        let mut row = Fields(row);
        let [kind, sample_bytes, _, _] = row.array()?;
        let kind = SectionKind::of(kind, version).ok_or(ContainerError::Malformed("section kind"))?;
        let frame = row.u32()?;
        let stored_len = row.u64()?;
        let expanded_len = row.u64()?;
        let sha256 = row.array()?;
        sections.push(Section {
            kind,
            sample_bytes,
            frame,
            offset,
            stored_len,
            expanded_len,
            sha256,
        });
        offset = offset
            .checked_add(stored_len)
            .ok_or(ContainerError::Malformed("section lengths"))?;
    }
    Ok(ContainerHeader {
        version,
        transfer_syntax,
        sop_class_uid,
        sop_instance_uid,
        study_instance_uid,
        series_instance_uid,
        original_len,
        original_sha256,
        frame_count,
        swap_bytes,
        geometry,
        low_halvings,
        dictionary_sha256,
        is_dictionary,
        header_len,
        sections,
    })
}

impl SectionKind {
    /// The kind written as this number in this version.
    fn of(number: u8, version: u16) -> Option<Self> {
        let since_1 = [
            Self::Head,
            Self::NativeFrame,
            Self::Fragment,
            Self::Tail,
            Self::Opaque,
        ];
        let since_2 = [
            Self::Htj2kLow,
            Self::Htj2kRest,
            Self::SideBits,
            Self::HeadWithDictionary,
        ];
        let later = since_2.into_iter().filter(|_| version >= 2);
        since_1
            .into_iter()
            .chain(later)
            .find(|kind| *kind as u8 == number)
    }
}

impl ContainerHeader {
    /// The identifiers in the order they are written.
    pub(super) fn uids(&self) -> [&str; 5] {
        [
            self.transfer_syntax.as_str(),
            self.sop_class_uid.as_str(),
            self.sop_instance_uid.as_str(),
            self.study_instance_uid.as_str(),
            self.series_instance_uid.as_str(),
        ]
    }
}
