//! The header and table of sections as bytes; every rule of `CONTAINER.md` is checked here.

use sha2::{Digest, Sha256};

use super::{ContainerError, ContainerHeader, Section, SectionKind};
use crate::limits::pieces;

pub(super) const MAGIC: &[u8; 8] = b"TanchoIC";
pub(super) const VERSION: u16 = 1;
/// Bytes before the identifiers.
const FIXED_BYTES: usize = 64;
/// Bytes of one row of the table.
const ROW_BYTES: usize = 56;
/// Bytes of the digest that ends the header.
const DIGEST_BYTES: usize = 32;
/// Longest head section when expanded.
const HEAD_EXPANDED_BYTES_MAX: u64 = 64 * 1024 * 1024;

/// Length of the header for these identifiers and so many sections.
pub(super) fn header_len(uids: &[&str; 5], sections: usize) -> u64 {
    let texts: usize = uids.iter().map(|uid| 1 + uid.len()).sum();
    (FIXED_BYTES + texts + sections * ROW_BYTES + DIGEST_BYTES) as u64
}

/// The header as bytes.
pub(super) fn write(header: &ContainerHeader) -> Vec<u8> {
    let mut out = Vec::with_capacity(header.header_len as usize);
    out.extend_from_slice(MAGIC);
    out.extend_from_slice(&VERSION.to_le_bytes());
    out.extend_from_slice(&[header.swap_bytes, 0]);
    out.extend_from_slice(&(header.header_len as u32).to_le_bytes());
    out.extend_from_slice(&header.original_len.to_le_bytes());
    out.extend_from_slice(&header.original_sha256);
    out.extend_from_slice(&header.frame_count.to_le_bytes());
    out.extend_from_slice(&(header.sections.len() as u32).to_le_bytes());
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
    if front[8..10] != VERSION.to_le_bytes() {
        return Err(ContainerError::Malformed("version not known"));
    }
    let len = u32::from_le_bytes([front[12], front[13], front[14], front[15]]);
    if u64::from(len) > pieces::CONTAINER_HEADER_BYTES_MAX || (len as usize) < FIXED_BYTES + 5 + DIGEST_BYTES
    {
        return Err(ContainerError::Malformed("header length"));
    }
    let Some(all) = bytes.get(..len as usize) else {
        return Ok(None);
    };
    let (body, digest) = all.split_at(all.len() - DIGEST_BYTES);
    if Sha256::digest(body)[..] != *digest {
        return Err(ContainerError::Malformed("header differs from its digest"));
    }
    let header = read(body, u64::from(len))?;
    check(&header)?;
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

fn read(body: &[u8], header_len: u64) -> Result<ContainerHeader, ContainerError> {
    let mut fields = Fields(body);
    fields.take(10)?;
    let swap_bytes = fields.take(2)?[0];
    fields.take(4)?;
    let original_len = fields.u64()?;
    let original_sha256 = fields.array()?;
    let frame_count = fields.u32()?;
    let section_count = fields.u32()? as usize;
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
        let kind = SectionKind::of(kind).ok_or(ContainerError::Malformed("section kind"))?;
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
        transfer_syntax,
        sop_class_uid,
        sop_instance_uid,
        study_instance_uid,
        series_instance_uid,
        original_len,
        original_sha256,
        frame_count,
        swap_bytes,
        header_len,
        sections,
    })
}

/// The rules that hold between the rows.
fn check(header: &ContainerHeader) -> Result<(), ContainerError> {
    let rule = |good: bool, what: &'static str| {
        if good {
            Ok(())
        } else {
            Err(ContainerError::Malformed(what))
        }
    };
    rule(!header.sections.is_empty(), "no sections")?;
    rule(
        header.sections.len() as u64 <= pieces::SECTIONS_MAX,
        "too many sections",
    )?;
    rule(matches!(header.swap_bytes, 1 | 2 | 4 | 8), "swap unit")?;
    let mut total = 0u64;
    let mut frame = 0u32;
    let mut in_tail = false;
    for (idx, section) in header.sections.iter().enumerate() {
        total = total
            .checked_add(section.expanded_len)
            .ok_or(ContainerError::Malformed("section lengths"))?;
        let expanded_max = match section.kind {
            SectionKind::Head => HEAD_EXPANDED_BYTES_MAX,
            SectionKind::NativeFrame => pieces::FRAME_SECTION_BYTES_MAX,
            SectionKind::Tail | SectionKind::Opaque => pieces::OPAQUE_CHUNK_BYTES,
            SectionKind::Fragment => 8 + u64::from(u32::MAX),
        };
        rule(section.expanded_len <= expanded_max, "section too long")?;
        if section.kind == SectionKind::Fragment {
            rule(
                section.stored_len.checked_add(8) == Some(section.expanded_len),
                "fragment length",
            )?;
        } else {
            // zstd never grows data by more than this.
            let stored_max = section.expanded_len + section.expanded_len / 128 + 1024;
            rule(
                section.stored_len <= stored_max,
                "section stored longer than it is",
            )?;
        }
        if section.kind == SectionKind::NativeFrame {
            let whole = section
                .expanded_len
                .is_multiple_of(u64::from(section.sample_bytes.max(1)));
            rule(
                matches!(section.sample_bytes, 1 | 2 | 4 | 8) && whole,
                "sample size",
            )?;
        } else {
            rule(section.sample_bytes == 0, "sample size")?;
        }
        rule(section.kind != SectionKind::Head || idx == 0, "head not first")?;
        let numbered = matches!(section.kind, SectionKind::NativeFrame | SectionKind::Fragment)
            || (section.kind == SectionKind::Opaque && section.frame != 0);
        if numbered {
            let next = section.frame == frame || Some(section.frame) == frame.checked_add(1);
            rule(section.frame >= 1 && next && !in_tail, "frame order")?;
            rule(
                section.kind != SectionKind::NativeFrame || section.frame != frame,
                "frame order",
            )?;
            frame = section.frame;
        } else {
            rule(section.frame == 0, "frame order")?;
            in_tail |= idx > 0;
        }
    }
    rule(frame == header.frame_count, "frame count")?;
    rule(total == header.original_len, "original length")
}

impl SectionKind {
    /// The kind written as this number.
    fn of(number: u8) -> Option<Self> {
        [
            Self::Head,
            Self::NativeFrame,
            Self::Fragment,
            Self::Tail,
            Self::Opaque,
        ]
        .into_iter()
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
