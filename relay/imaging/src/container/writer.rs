//! Writes a container: one pass over the source, every section proved by decoding it.

use std::io::{self, Read, Seek, SeekFrom, Write};

use sha2::{Digest, Sha256};
use tancho_domain::dicom::TransferSyntaxUid;

use super::{ContainerError, ContainerHeader, ContainerSummary, PIECE_BYTES, Section, SectionKind};
use super::{code, header, item_header};
use crate::limits::pieces;
use crate::scan::{Body, DataSetScan};

/// zstd level for frames, where speed matters most.
const FRAME_LEVEL: i32 = 1;
/// zstd level for heads and tails, which travel first.
const HEAD_LEVEL: i32 = 3;

/// Writes the container of the data set in `src`, whose scan and SHA-256 the caller already has.
///
/// Streams `src` once; every section is decoded again and compared before it counts. `out` is written from
/// its first byte. The caller hashes the finished file with [`super::digest`], makes it durable, and only
/// then offers it.
///
/// # Errors
/// When the source is not what was scanned, a section cannot be proved, or input or output fails; what was
/// written so far is worthless.
pub fn encode<R: Read + Seek, W: Write + Seek>(
    src: &mut R,
    scan: &DataSetScan,
    transfer_syntax: &TransferSyntaxUid,
    original_sha256: &[u8; 32],
    out: &mut W,
) -> Result<ContainerSummary, ContainerError> {
    Encoder::new()?.encode(src, scan, transfer_syntax, original_sha256, out)
}

/// A writer of containers that keeps its buffers from one object to the next.
pub struct Encoder {
    frames: zstd::bulk::Compressor<'static>,
    heads: zstd::bulk::Compressor<'static>,
    raw: Vec<u8>,
    planes: Vec<u8>,
    packed: Vec<u8>,
    proof: Vec<u8>,
    joined: Vec<u8>,
}

/// One section to be: how it is coded and how many bytes of the source it takes.
#[derive(Debug, Clone, Copy)]
struct Planned {
    kind: SectionKind,
    sample_bytes: u8,
    frame: u32,
    len: u64,
}

impl Encoder {
    /// An encoder with empty buffers.
    ///
    /// # Errors
    /// When zstd cannot allocate its state.
    pub fn new() -> io::Result<Self> {
        Ok(Self {
            frames: zstd::bulk::Compressor::new(FRAME_LEVEL)?,
            heads: zstd::bulk::Compressor::new(HEAD_LEVEL)?,
            raw: Vec::new(),
            planes: Vec::new(),
            packed: Vec::new(),
            proof: Vec::new(),
            joined: Vec::new(),
        })
    }

    /// As [`encode`].
    ///
    /// # Errors
    /// As [`encode`].
    pub fn encode<R: Read + Seek, W: Write + Seek>(
        &mut self,
        src: &mut R,
        scan: &DataSetScan,
        transfer_syntax: &TransferSyntaxUid,
        original_sha256: &[u8; 32],
        out: &mut W,
    ) -> Result<ContainerSummary, ContainerError> {
        let plan = plan(scan)?;
        let mut header = ContainerHeader {
            transfer_syntax: transfer_syntax.clone(),
            sop_class_uid: scan.identity.sop_class_uid.clone(),
            sop_instance_uid: scan.identity.sop_instance_uid.clone(),
            study_instance_uid: scan.identity.study_instance_uid.clone(),
            series_instance_uid: scan.identity.series_instance_uid.clone(),
            original_len: scan.total_len,
            original_sha256: *original_sha256,
            frame_count: match &scan.layout.body {
                Body::Opaque => 0,
                Body::Native { frames, .. } | Body::Fragments { frames, .. } => *frames,
            },
            swap_bytes: match &scan.layout.body {
                Body::Native { swap_bytes, .. } => *swap_bytes,
                _ => 1,
            },
            header_len: 0,
            sections: Vec::with_capacity(plan.len()),
        };
        header.header_len = header::header_len(&header.uids(), plan.len());
        src.seek(SeekFrom::Start(0))?;
        // The sections come first on the way out; the header is written over the gap at the end.
        out.seek(SeekFrom::Start(0))?;
        io::copy(&mut io::repeat(0).take(header.header_len), out)?;
        let mut original = Sha256::new();
        let mut offset = header.header_len;
        for (idx, planned) in plan.iter().enumerate() {
            let section = self.section(src, *planned, idx, &mut original, out)?;
            header.sections.push(Section { offset, ..section });
            offset += section.stored_len;
        }
        let more = src.read(&mut [0u8; 1])? > 0;
        if more || original.finalize()[..] != original_sha256[..] {
            return Err(ContainerError::SourceChanged);
        }
        let written = header::write(&header);
        match super::parse_header(&written) {
            Ok(Some(read)) if read == header => {}
            _ => return Err(ContainerError::Malformed("header does not read back")),
        }
        out.seek(SeekFrom::Start(0))?;
        out.write_all(&written)?;
        out.flush()?;
        Ok(ContainerSummary {
            container_len: header.container_len(),
            head_end: header.head_end(),
            header,
        })
    }

    fn section<R: Read, W: Write>(
        &mut self,
        src: &mut R,
        planned: Planned,
        idx: usize,
        original: &mut Sha256,
        out: &mut W,
    ) -> Result<Section, ContainerError> {
        let (stored_len, sha256) = if planned.kind == SectionKind::Fragment {
            fragment(src, planned.len, original, out)?
        } else {
            self.raw.clear();
            let got = src.take(planned.len).read_to_end(&mut self.raw)?;
            if got as u64 != planned.len {
                return Err(ContainerError::SourceChanged);
            }
            original.update(&self.raw);
            self.pack(planned, idx)?;
            out.write_all(&self.packed)?;
            (self.packed.len() as u64, Sha256::digest(&self.packed).into())
        };
        Ok(Section {
            kind: planned.kind,
            sample_bytes: planned.sample_bytes,
            frame: planned.frame,
            offset: 0,
            stored_len,
            expanded_len: planned.len,
            sha256,
        })
    }

    /// Codes `self.raw` into `self.packed` and proves it by decoding.
    fn pack(&mut self, planned: Planned, idx: usize) -> Result<(), ContainerError> {
        let sample_bytes = usize::from(planned.sample_bytes);
        let plain: &[u8] = if sample_bytes > 1 {
            code::split(&self.raw, sample_bytes, &mut self.planes);
            &self.planes
        } else {
            &self.raw
        };
        let compressor = match planned.kind {
            SectionKind::Head | SectionKind::Tail => &mut self.heads,
            _ => &mut self.frames,
        };
        self.packed.clear();
        self.packed.reserve(zstd::zstd_safe::compress_bound(plain.len()));
        compressor.compress_to_buffer(plain, &mut self.packed)?;
        code::unpack(&self.packed, planned.len, &mut self.proof)
            .map_err(|_| ContainerError::ProofFailed(idx))?;
        let back = if sample_bytes > 1 {
            code::join(&self.proof, sample_bytes, &mut self.joined);
            &self.joined
        } else {
            &self.proof
        };
        if *back != self.raw {
            return Err(ContainerError::ProofFailed(idx));
        }
        Ok(())
    }
}

/// Streams one fragment through; its item header must be what will be regenerated.
fn fragment<R: Read, W: Write>(
    src: &mut R,
    len: u64,
    original: &mut Sha256,
    out: &mut W,
) -> Result<(u64, [u8; 32]), ContainerError> {
    let value_len = len - 8;
    let mut item = [0u8; 8];
    src.read_exact(&mut item)
        .map_err(|_| ContainerError::SourceChanged)?;
    if item != item_header(value_len)? {
        return Err(ContainerError::SourceChanged);
    }
    original.update(item);
    let mut sha = Sha256::new();
    let mut left = value_len;
    let mut piece = [0u8; PIECE_BYTES];
    while left > 0 {
        let want = usize::try_from(left).unwrap_or(usize::MAX).min(piece.len());
        let got = src.read(&mut piece[..want])?;
        if got == 0 {
            return Err(ContainerError::SourceChanged);
        }
        original.update(&piece[..got]);
        sha.update(&piece[..got]);
        out.write_all(&piece[..got])?;
        left -= got as u64;
    }
    Ok((value_len, sha.finalize().into()))
}

/// The sections of an object, in order and without gaps.
fn plan(scan: &DataSetScan) -> Result<Vec<Planned>, ContainerError> {
    let mut plan = Vec::new();
    let opaque = |frame: u32, len: u64| Planned {
        kind: SectionKind::Opaque,
        sample_bytes: 0,
        frame,
        len,
    };
    let head_len = scan.layout.head_len;
    if head_len > 0 {
        plan.push(Planned {
            kind: SectionKind::Head,
            sample_bytes: 0,
            frame: 0,
            len: head_len,
        });
    }
    let mut at = head_len;
    match &scan.layout.body {
        Body::Opaque => {}
        Body::Native {
            frame_len,
            frames,
            sample_bytes,
            ..
        } => {
            for frame in 1..=*frames {
                if *frame_len <= pieces::FRAME_SECTION_BYTES_MAX {
                    let kind = SectionKind::NativeFrame;
                    plan.push(Planned {
                        kind,
                        sample_bytes: *sample_bytes,
                        frame,
                        len: *frame_len,
                    });
                } else {
                    plan.extend(chunks(*frame_len).map(|len| opaque(frame, len)));
                }
                at += frame_len;
            }
        }
        Body::Fragments { fragments, .. } => {
            for fragment in fragments {
                if fragment.offset != at {
                    return Err(ContainerError::Malformed("fragments with gaps"));
                }
                let len = fragment.len + 8;
                plan.push(Planned {
                    kind: SectionKind::Fragment,
                    sample_bytes: 0,
                    frame: fragment.frame,
                    len,
                });
                at += len;
            }
        }
    }
    let left = scan
        .total_len
        .checked_sub(at)
        .ok_or(ContainerError::SourceChanged)?;
    let tail = if scan.layout.body == Body::Opaque {
        SectionKind::Opaque
    } else {
        SectionKind::Tail
    };
    plan.extend(chunks(left).map(|len| Planned {
        kind: tail,
        ..opaque(0, len)
    }));
    Ok(plan)
}

/// Lengths of the chunks that `len` bytes are cut into.
fn chunks(len: u64) -> impl Iterator<Item = u64> {
    let full = len / pieces::OPAQUE_CHUNK_BYTES;
    let rest = len % pieces::OPAQUE_CHUNK_BYTES;
    (0..full)
        .map(|_| pieces::OPAQUE_CHUNK_BYTES)
        .chain((rest > 0).then_some(rest))
}
