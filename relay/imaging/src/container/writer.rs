//! Writes a container: one pass over the source, every section proved by decoding it.
//!
//! Where the number of sections is known beforehand they stream straight into the output; HTJ2K frames are gathered
//! in a scratch file first, because the beginnings of all frames come before the rest of any.

use std::io::{self, Cursor, Read, Seek, SeekFrom, Write};
use std::sync::Arc;

use sha2::{Digest, Sha256};
use tancho_domain::dicom::TransferSyntaxUid;

use super::frames::{self, CodedFrame, CodedSection, FrameCoder, FrameForm};
use super::{
    CodingTurns, ContainerError, ContainerHeader, ContainerSummary, Dictionary, FrameGeometry, PIECE_BYTES,
    Section, SectionKind,
};
use super::{code, header, item_header};
use crate::limits::pieces;
use crate::scan::{Body, DataSetScan};

/// zstd level for chunks of frames, where speed matters most.
const CHUNK_LEVEL: i32 = 1;
/// zstd level for heads and tails, which travel first.
const HEAD_LEVEL: i32 = 9;
/// A dictionary must save at least so many bytes, and a fifth of the head.
const DICTIONARY_SAVES_BYTES_MIN: usize = 200;
/// Bytes of frames that one thread codes before it hands them over.
const THREAD_BYTES: u64 = 512 * 1024;
/// Bytes of frames read before any of them is coded, unless one alone is longer.
const BATCH_BYTES_MAX: u64 = 8 * 1024 * 1024;

/// How an object is to be coded.
#[derive(Debug, Clone, Copy, Default)]
pub struct Coding<'a> {
    /// The expanded head of an earlier instance of the series; used when it pays.
    pub dictionary: Option<&'a Dictionary>,
    /// Whether the head of this object may be the dictionary of later ones; only without a dictionary.
    pub is_dictionary: bool,
    /// Without HTJ2K: for a reader that could not rebuild the object.
    pub is_plain: bool,
    /// Goes before others that use the same [`CodingTurns`].
    pub is_urgent: bool,
}

/// Writes the container of the data set in `src`, whose scan and SHA-256 the caller already has.
///
/// Streams `src` once; every section is decoded again and compared before it counts. `out` is written from
/// its first byte. The caller hashes the finished file with [`super::digest`], makes it durable, and only
/// then offers it. Frames are gathered in memory; [`Encoder`] bounds it.
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
    let object = Object {
        scan,
        transfer_syntax,
        original_sha256,
    };
    let mut scratch = Cursor::new(Vec::new());
    Encoder::new(Arc::new(CodingTurns::new(1, u64::MAX)))?.encode(
        src,
        &object,
        &Coding::default(),
        &mut scratch,
        out,
    )
}

/// What is known of a data set before it is coded.
#[derive(Debug, Clone, Copy)]
pub struct Object<'a> {
    /// What it is.
    pub scan: &'a DataSetScan,
    /// Transfer syntax it was received in.
    pub transfer_syntax: &'a TransferSyntaxUid,
    /// SHA-256 over all of it.
    pub original_sha256: &'a [u8; 32],
}

/// A writer of containers that keeps its buffers from one object to the next.
pub struct Encoder {
    turns: Arc<CodingTurns>,
    frames: Vec<FrameCoder>,
    chunks: zstd::bulk::Compressor<'static>,
    heads: zstd::bulk::Compressor<'static>,
    raw: Vec<u8>,
    packed: Vec<u8>,
    proof: Vec<u8>,
    /// Frames as read, of one batch.
    raws: Vec<Vec<u8>>,
    /// Where the sections of an object with one frame wait for their place.
    gathered: Vec<u8>,
}

/// One section to be: how it is coded and how many bytes of the source it takes.
#[derive(Debug, Clone, Copy)]
struct Planned {
    kind: SectionKind,
    sample_bytes: u8,
    frame: u32,
    len: u64,
}

/// A section in the scratch file, by the row it will have; the offset is that in the scratch file.
type Gathered = Section;

/// Where gathered sections wait for their place.
trait Scratch: Read + Write + Seek {}

impl<S: Read + Write + Seek> Scratch for S {}

impl Encoder {
    /// An encoder with empty buffers.
    ///
    /// # Errors
    /// When zstd cannot allocate its state.
    pub fn new(turns: Arc<CodingTurns>) -> io::Result<Self> {
        Ok(Self {
            turns,
            frames: Vec::new(),
            chunks: zstd::bulk::Compressor::new(CHUNK_LEVEL)?,
            heads: zstd::bulk::Compressor::new(HEAD_LEVEL)?,
            raw: Vec::new(),
            packed: Vec::new(),
            proof: Vec::new(),
            raws: Vec::new(),
            gathered: Vec::new(),
        })
    }

    /// As [`encode`]; the frames of an object with several are gathered in `scratch`, which is written from its first
    /// byte and worthless afterwards.
    ///
    /// # Errors
    /// As [`encode`].
    pub fn encode<R: Read + Seek, S: Read + Write + Seek, W: Write + Seek>(
        &mut self,
        src: &mut R,
        object: &Object<'_>,
        coding: &Coding<'_>,
        scratch: &mut S,
        out: &mut W,
    ) -> Result<ContainerSummary, ContainerError> {
        let mut header = header_of(object, coding);
        src.seek(SeekFrom::Start(0))?;
        out.seek(SeekFrom::Start(0))?;
        match frame_form(object.scan, coding) {
            Some((form, frames)) => {
                let mut memory = Cursor::new(std::mem::take(&mut self.gathered));
                memory.get_mut().clear();
                let scratch: &mut dyn Scratch = if frames == 1 { &mut memory } else { scratch };
                let gathered = self.gather(src, object, coding, &form, scratch, &mut header, out);
                self.gathered = memory.into_inner();
                self.trim();
                gathered?;
            }
            None => self.stream(src, object, coding, &mut header, out)?,
        }
        out.flush()?;
        Ok(ContainerSummary {
            container_len: header.container_len(),
            head_end: header.head_end(),
            header,
        })
    }

    /// Gives the memory back that more or larger frames took than one image has.
    fn trim(&mut self) {
        self.raws.truncate(1);
        for kept in self.raws.iter_mut().chain([&mut self.gathered]) {
            if kept.capacity() > frames::KEPT_FRAME_BYTES {
                *kept = Vec::new();
            }
        }
    }

    /// Section by section from the source into the output; the header is written over a gap at the end.
    fn stream<R: Read, W: Write + Seek>(
        &mut self,
        src: &mut R,
        object: &Object<'_>,
        coding: &Coding<'_>,
        header: &mut ContainerHeader,
        out: &mut W,
    ) -> Result<(), ContainerError> {
        let plan = plan(object.scan)?;
        header.header_len = header::header_len(&header.uids(), plan.len());
        io::copy(&mut io::repeat(0).take(header.header_len), out)?;
        let mut original = Sha256::new();
        let mut offset = header.header_len;
        for (idx, planned) in plan.iter().enumerate() {
            let section = if planned.kind == SectionKind::Fragment {
                let (stored_len, sha256) = fragment(src, planned.len, &mut original, out)?;
                planned.stored(stored_len, sha256)
            } else {
                let coded = self.code(src, planned, idx, coding, &mut original, header)?;
                out.write_all(&coded.bytes)?;
                coded.section(planned.frame)
            };
            header.sections.push(Section { offset, ..section });
            offset += section.stored_len;
        }
        check_source(src, original, object)?;
        let written = written(header)?;
        out.seek(SeekFrom::Start(0))?;
        Ok(out.write_all(&written)?)
    }

    /// Codes everything into `scratch`, then writes it in the order of the table.
    #[expect(clippy::too_many_arguments, reason = "one object's inputs and outputs")]
    fn gather<R: Read, W: Write>(
        &mut self,
        src: &mut R,
        object: &Object<'_>,
        coding: &Coding<'_>,
        form: &FrameForm,
        scratch: &mut dyn Scratch,
        header: &mut ContainerHeader,
        out: &mut W,
    ) -> Result<(), ContainerError> {
        let (of_frames, others): (Vec<Planned>, Vec<Planned>) = plan(object.scan)?
            .into_iter()
            .partition(|planned| planned.frame != 0);
        let mut original = Sha256::new();
        let mut gathering = Gathering { scratch, at: 0 };
        let (mut sections, mut rests) = (Vec::new(), Vec::new());
        let n_before = others.iter().filter(|planned| planned.kind.is_head()).count();
        for (idx, planned) in others[..n_before].iter().enumerate() {
            let coded = self.code(src, planned, idx, coding, &mut original, header)?;
            sections.push(gathering.add(&coded, 0)?);
        }
        self.gather_frames(src, &of_frames, coding, form, &mut original, |number, frame| {
            sections.push(gathering.add(&frame.first, number)?);
            for rest in &frame.rests {
                rests.push(gathering.add(rest, number)?);
            }
            Ok(())
        })?;
        let n_frames_coded = sections.len() + rests.len();
        sections.append(&mut rests);
        for (idx, planned) in others[n_before..].iter().enumerate() {
            let coded = self.code(src, planned, n_frames_coded + idx, coding, &mut original, header)?;
            sections.push(gathering.add(&coded, 0)?);
        }
        check_source(src, original, object)?;
        if !sections
            .iter()
            .any(|section| section.kind == SectionKind::Htj2kLow)
        {
            (header.geometry, header.low_halvings) = (None, 0);
        }
        header.header_len = header::header_len(&header.uids(), sections.len());
        let mut offset = header.header_len;
        for section in &sections {
            header.sections.push(Section { offset, ..*section });
            offset += section.stored_len;
        }
        out.write_all(&written(header)?)?;
        for (idx, section) in sections.iter().enumerate() {
            copy_gathered(gathering.scratch, section, idx, out)?;
        }
        Ok(())
    }

    /// Codes the frames in batches, each on several threads, and hands them over in order.
    fn gather_frames<R: Read>(
        &mut self,
        src: &mut R,
        of_frames: &[Planned],
        coding: &Coding<'_>,
        form: &FrameForm,
        original: &mut Sha256,
        mut hand_over: impl FnMut(u32, CodedFrame) -> Result<(), ContainerError>,
    ) -> Result<(), ContainerError> {
        let frame_len = of_frames.first().map_or(1, |planned| planned.len.max(1));
        let n_threads = self.turns.n_threads().min(of_frames.len());
        let per_thread = usize::try_from(THREAD_BYTES / frame_len).unwrap_or(1).max(1);
        let per_batch = usize::try_from(BATCH_BYTES_MAX / frame_len).unwrap_or(1);
        let per_batch = per_batch.clamp(1, per_thread * n_threads);
        while self.frames.len() < n_threads {
            self.frames.push(FrameCoder::new()?);
        }
        let turns = Arc::clone(&self.turns);
        let n_raws = self.raws.len().max(per_batch.min(of_frames.len()));
        self.raws.resize_with(n_raws, Vec::new);
        for batch in of_frames.chunks(per_batch) {
            for (planned, raw) in batch.iter().zip(&mut self.raws) {
                read_exactly(src, planned.len, raw)?;
                original.update(&raw);
            }
            let work = |coder: &mut FrameCoder,
                        raws: &[Vec<u8>]|
             -> Vec<Result<Option<CodedFrame>, ContainerError>> {
                let one = |raw: &Vec<u8>| {
                    let _turn = turns.take(form.memory(raw.len()), coding.is_urgent);
                    coder.code(raw, form)
                };
                raws.iter().map(one).collect()
            };
            let mut shares: Vec<_> = self
                .frames
                .iter_mut()
                .zip(self.raws[..batch.len()].chunks(per_thread))
                .collect();
            let coded: Vec<_> = if shares.len() == 1 {
                let (coder, raws) = shares.remove(0);
                work(coder, raws)
            } else {
                std::thread::scope(|scope| {
                    let threads: Vec<_> = shares
                        .into_iter()
                        .map(|(coder, raws)| scope.spawn(move || work(coder, raws)))
                        .collect();
                    let joined = threads.into_iter().map(|thread| match thread.join() {
                        Ok(coded) => coded,
                        Err(panic) => std::panic::resume_unwind(panic),
                    });
                    joined.flatten().collect()
                })
            };
            for (planned, coded) in batch.iter().zip(coded) {
                let frame = coded?.ok_or(ContainerError::ProofFailed(planned.frame as usize))?;
                hand_over(planned.frame, frame)?;
            }
        }
        Ok(())
    }

    /// Reads and codes a section that is not a fragment, and proves it by decoding.
    fn code<R: Read>(
        &mut self,
        src: &mut R,
        planned: &Planned,
        idx: usize,
        coding: &Coding<'_>,
        original: &mut Sha256,
        header: &mut ContainerHeader,
    ) -> Result<CodedSection, ContainerError> {
        read_exactly(src, planned.len, &mut self.raw)?;
        original.update(&self.raw);
        if planned.kind == SectionKind::NativeFrame {
            if self.frames.is_empty() {
                self.frames.push(FrameCoder::new()?);
            }
            let form = FrameForm {
                geometry: None,
                sample_bytes: planned.sample_bytes,
                swap_bytes: 1,
            };
            let _turn = self.turns.take(form.memory(self.raw.len()), coding.is_urgent);
            let coded = self.frames[0].code(&self.raw, &form)?;
            return Ok(coded.ok_or(ContainerError::ProofFailed(idx))?.first);
        }
        let compressor = match planned.kind {
            SectionKind::Opaque => &mut self.chunks,
            _ => &mut self.heads,
        };
        self.packed.clear();
        self.packed
            .reserve(zstd::zstd_safe::compress_bound(self.raw.len()));
        compressor.compress_to_buffer(&self.raw[..], &mut self.packed)?;
        if planned.kind == SectionKind::Head
            && let Some(dictionary) = coding.dictionary
            && let Some(packed) = self.head_with(dictionary)?
        {
            header.dictionary_sha256 = Some(*dictionary.sha256());
            let kind = SectionKind::HeadWithDictionary;
            return Ok(CodedSection::new(kind, 0, self.raw.len(), packed));
        }
        let proved = code::unpack(&self.packed, planned.len, &mut self.proof);
        if proved.is_err() || self.proof != self.raw {
            return Err(ContainerError::ProofFailed(idx));
        }
        Ok(CodedSection::new(
            planned.kind,
            0,
            self.raw.len(),
            self.packed.clone(),
        ))
    }

    /// The head in `self.raw` coded with a dictionary, when that is proved and pays against `self.packed`.
    fn head_with(&mut self, dictionary: &Dictionary) -> io::Result<Option<Vec<u8>>> {
        let packed = code::pack_with(dictionary.bytes(), &self.raw, HEAD_LEVEL)?;
        let plain_len = self.packed.len();
        let pays = packed.len() + DICTIONARY_SAVES_BYTES_MIN <= plain_len && packed.len() * 5 < plain_len * 4;
        let len = self.raw.len() as u64;
        let proved = pays
            && code::unpack_with(dictionary.bytes(), &packed, len, &mut self.proof).is_ok()
            && self.proof == self.raw;
        Ok(proved.then_some(packed))
    }
}

/// Sections in the order they were coded.
struct Gathering<'a> {
    scratch: &'a mut dyn Scratch,
    at: u64,
}

impl Gathering<'_> {
    fn add(&mut self, coded: &CodedSection, frame: u32) -> Result<Gathered, ContainerError> {
        if self.at == 0 {
            self.scratch.seek(SeekFrom::Start(0))?;
        }
        self.scratch.write_all(&coded.bytes)?;
        let section = Section {
            offset: self.at,
            ..coded.section(frame)
        };
        self.at += section.stored_len;
        Ok(section)
    }
}

/// Moves a gathered section into its place; the scratch file is trusted no more than any other.
fn copy_gathered<W: Write>(
    scratch: &mut dyn Scratch,
    section: &Gathered,
    idx: usize,
    out: &mut W,
) -> Result<(), ContainerError> {
    scratch.seek(SeekFrom::Start(section.offset))?;
    let mut sha = Sha256::new();
    let copied = copy_hashing(scratch, section.stored_len, out, |piece| sha.update(piece))?;
    if copied != section.stored_len || sha.finalize()[..] != section.sha256 {
        return Err(ContainerError::ProofFailed(idx));
    }
    Ok(())
}

/// Copies `len` bytes, fewer at the end of the source, and shows each piece to `seen`.
fn copy_hashing<R: Read + ?Sized, W: Write>(
    src: &mut R,
    len: u64,
    out: &mut W,
    mut seen: impl FnMut(&[u8]),
) -> io::Result<u64> {
    let mut left = len;
    let mut piece = [0u8; PIECE_BYTES];
    while left > 0 {
        let want = usize::try_from(left).unwrap_or(usize::MAX).min(piece.len());
        let got = src.read(&mut piece[..want])?;
        if got == 0 {
            break;
        }
        seen(&piece[..got]);
        out.write_all(&piece[..got])?;
        left -= got as u64;
    }
    Ok(len - left)
}

fn read_exactly<R: Read>(src: &mut R, len: u64, raw: &mut Vec<u8>) -> Result<(), ContainerError> {
    raw.clear();
    let got = src.take(len).read_to_end(raw)?;
    if got as u64 != len {
        return Err(ContainerError::SourceChanged);
    }
    Ok(())
}

/// The source has ended, and was what its digest says.
fn check_source<R: Read>(src: &mut R, original: Sha256, object: &Object<'_>) -> Result<(), ContainerError> {
    let more = src.read(&mut [0u8; 1])? > 0;
    if more || original.finalize()[..] != object.original_sha256[..] {
        return Err(ContainerError::SourceChanged);
    }
    Ok(())
}

/// The header's bytes, once they read back.
fn written(header: &ContainerHeader) -> Result<Vec<u8>, ContainerError> {
    let written = header::write(header);
    match super::parse_header(&written) {
        Ok(Some(read)) if read == *header => Ok(written),
        _ => Err(ContainerError::Malformed("header does not read back")),
    }
}

/// The header before anything is coded.
fn header_of(object: &Object<'_>, coding: &Coding<'_>) -> ContainerHeader {
    let Object { scan, .. } = object;
    let (frame_count, swap_bytes) = match &scan.layout.body {
        Body::Opaque => (0, 1),
        Body::Native {
            frames, swap_bytes, ..
        } => (*frames, *swap_bytes),
        Body::Fragments { frames, .. } => (*frames, 1),
    };
    let geometry = frame_form(scan, coding).and_then(|(form, _)| form.geometry);
    let may_serve = code::fits_dictionary(scan.layout.head_len) && coding.dictionary.is_none();
    ContainerHeader {
        version: header::VERSION,
        transfer_syntax: object.transfer_syntax.clone(),
        sop_class_uid: scan.identity.sop_class_uid.clone(),
        sop_instance_uid: scan.identity.sop_instance_uid.clone(),
        study_instance_uid: scan.identity.study_instance_uid.clone(),
        series_instance_uid: scan.identity.series_instance_uid.clone(),
        original_len: scan.total_len,
        original_sha256: *object.original_sha256,
        frame_count,
        swap_bytes,
        geometry,
        low_halvings: geometry.map_or(0, |geometry| frames::low_halvings(&geometry)),
        dictionary_sha256: None,
        is_dictionary: coding.is_dictionary && may_serve,
        header_len: 0,
        sections: Vec::new(),
    }
}

/// How the frames are coded, and how many there are; `None` when none of them can be HTJ2K.
fn frame_form(scan: &DataSetScan, coding: &Coding<'_>) -> Option<(FrameForm, u32)> {
    let Body::Native {
        frame_len,
        frames,
        sample_bytes,
        swap_bytes,
    } = &scan.layout.body
    else {
        return None;
    };
    if !is_whole(*frame_len, *sample_bytes) {
        return None;
    }
    let geometry = FrameGeometry::of(scan.pixels.as_ref()?, *frame_len)?;
    // A codestream, its rest and its side bits: three sections for each frame.
    let fits = u64::from(*frames) * 3 + 64 <= pieces::SECTIONS_MAX;
    let form = FrameForm {
        geometry: Some(geometry),
        sample_bytes: *sample_bytes,
        swap_bytes: *swap_bytes,
    };
    (!coding.is_plain && fits && *frames > 0).then_some((form, *frames))
}

impl Planned {
    fn stored(&self, stored_len: u64, sha256: [u8; 32]) -> Section {
        Section {
            kind: self.kind,
            sample_bytes: self.sample_bytes,
            frame: self.frame,
            offset: 0,
            stored_len,
            expanded_len: self.len,
            sha256,
        }
    }
}

impl CodedSection {
    fn section(&self, frame: u32) -> Section {
        Section {
            kind: self.kind,
            sample_bytes: self.sample_bytes,
            frame,
            offset: 0,
            stored_len: self.bytes.len() as u64,
            expanded_len: self.expanded_len,
            sha256: self.sha256,
        }
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
    let copied = copy_hashing(src, value_len, out, |piece| {
        original.update(piece);
        sha.update(piece);
    })?;
    if copied != value_len {
        return Err(ContainerError::SourceChanged);
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
                if is_whole(*frame_len, *sample_bytes) {
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

/// Whether a native frame becomes one section.
fn is_whole(frame_len: u64, sample_bytes: u8) -> bool {
    frame_len <= pieces::WHOLE_FRAME_BYTES_MAX
        && frame_len / u64::from(sample_bytes.max(1)) <= pieces::WHOLE_FRAME_SAMPLES_MAX
}

/// Lengths of the chunks that `len` bytes are cut into.
fn chunks(len: u64) -> impl Iterator<Item = u64> {
    let full = len / pieces::OPAQUE_CHUNK_BYTES;
    let rest = len % pieces::OPAQUE_CHUNK_BYTES;
    (0..full)
        .map(|_| pieces::OPAQUE_CHUNK_BYTES)
        .chain((rest > 0).then_some(rest))
}
