//! Reads a container: sections on demand, each against its digest before it is given out.

use std::io::{self, Read, Seek, SeekFrom, Write};
use std::ops::Range;

use sha2::{Digest, Sha256};

use super::{ContainerError, ContainerHeader, Dictionary, PIECE_BYTES, SectionKind};
use super::{code, frames, header, item_header};
use crate::limits::{ScanLimits, pieces};
use crate::scan::{self, HeadScan, ScanError};

/// Gives the expanded head that has this SHA-256, when it is at hand.
type FindDictionary = Box<dyn Fn(&[u8; 32]) -> io::Result<Option<Dictionary>> + Send>;

/// A container open for reading.
pub struct Container<R> {
    src: R,
    header: ContainerHeader,
    /// Which sections begin frames, and which complete them; both in the order of the frames.
    firsts: Range<usize>,
    rests: Range<usize>,
    find_dictionary: Option<FindDictionary>,
}

/// The beginning of an HTJ2K frame: its image at a quarter of the resolution, or the nearest that it has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LowFrame {
    /// First bytes of the codestream.
    pub codestream: Vec<u8>,
    /// Columns of the image they hold.
    pub columns: u32,
    /// Rows of the image they hold.
    pub rows: u32,
    /// How often the sides were halved: 0 to 2.
    pub halvings: u8,
}

impl<R: Read + Seek> Container<R> {
    /// Opens a container: reads and checks its header and table, and the length of the whole.
    ///
    /// # Errors
    /// When it is none, is cut or has bytes too many.
    pub fn open(mut src: R) -> Result<Self, ContainerError> {
        let total = src.seek(SeekFrom::End(0))?;
        let container = Self::open_part(src)?;
        if container.header.container_len() != total {
            return Err(ContainerError::Malformed("container length"));
        }
        Ok(container)
    }

    /// As [`Self::open`], for a container of which only some bytes have come: what is lacking may be cut off or
    /// filled with anything, because no byte is given out that does not have its section's digest.
    ///
    /// # Errors
    /// When the header is not there or is none.
    pub fn open_part(mut src: R) -> Result<Self, ContainerError> {
        src.seek(SeekFrom::Start(0))?;
        let mut bytes = Vec::new();
        src.by_ref().take(16).read_to_end(&mut bytes)?;
        let Ok(front) = <[u8; 16]>::try_from(bytes.as_slice()) else {
            return Err(ContainerError::Malformed("header cut"));
        };
        super::parse_header(&bytes)?;
        let rest = header::stated_len(&front)
            .min(pieces::CONTAINER_HEADER_BYTES_MAX)
            .saturating_sub(16);
        src.by_ref().take(rest).read_to_end(&mut bytes)?;
        let header = super::parse_header(&bytes)?.ok_or(ContainerError::Malformed("header cut"))?;
        let sections = &header.sections;
        let first = usize::from(header.has_head());
        let end_of = |from: usize, belongs: fn(&super::Section) -> bool| {
            let n = sections[from..].iter().take_while(|section| belongs(section));
            from + n.count()
        };
        let firsts = first..end_of(first, |section| section.frame != 0 && !section.kind.is_rest());
        let rests = firsts.end..end_of(firsts.end, |section| section.kind.is_rest());
        Ok(Self {
            src,
            firsts,
            rests,
            header,
            find_dictionary: None,
        })
    }

    /// Says where the dictionary of the head is found, should it need one.
    #[must_use]
    pub fn with_dictionaries(
        mut self,
        find: impl Fn(&[u8; 32]) -> io::Result<Option<Dictionary>> + Send + 'static,
    ) -> Self {
        self.find_dictionary = Some(Box::new(find));
        self
    }

    /// The header.
    #[must_use]
    pub fn header(&self) -> &ContainerHeader {
        &self.header
    }

    /// Number of frames that [`Self::frame`] gives.
    #[must_use]
    pub fn frame_count(&self) -> u32 {
        self.header.frame_count
    }

    /// Reads every section and compares it with its digest; nothing is expanded.
    ///
    /// # Errors
    /// [`ContainerError::DigestMismatch`] for the first section that differs.
    pub fn verify_sections(&mut self) -> Result<(), ContainerError> {
        for idx in 0..self.header.sections.len() {
            self.stream_stored(idx, &mut io::sink())?;
        }
        Ok(())
    }

    /// Writes the original data set, byte for byte, and returns its SHA-256 after comparing it with the
    /// header's. Memory stays below the largest section.
    ///
    /// # Errors
    /// When a section or the whole differs; what was written must then not be used.
    pub fn rebuild<W: Write>(&mut self, out: &mut W) -> Result<[u8; 32], ContainerError> {
        self.rebuild_with(out, &mut Scratch::default())
    }

    /// As [`Self::rebuild`], in memory that serves container after container.
    ///
    /// # Errors
    /// As [`Self::rebuild`].
    pub fn rebuild_with<W: Write>(
        &mut self,
        out: &mut W,
        scratch: &mut Scratch,
    ) -> Result<[u8; 32], ContainerError> {
        let rebuilt = self.rebuild_sections(out, scratch, || Ok(()));
        scratch.trim(rebuilt.is_ok());
        rebuilt
    }

    /// As [`Self::rebuild`]; what `admit` gives is held while a frame is decoded, so that it can wait for memory.
    ///
    /// # Errors
    /// As [`Self::rebuild`], and when nothing is admitted.
    pub fn rebuild_admitted<W: Write, A>(
        &mut self,
        out: &mut W,
        admit: impl FnMut() -> io::Result<A>,
    ) -> Result<[u8; 32], ContainerError> {
        self.rebuild_sections(out, &mut Scratch::default(), admit)
    }

    fn rebuild_sections<W: Write, A>(
        &mut self,
        out: &mut W,
        scratch: &mut Scratch,
        mut admit: impl FnMut() -> io::Result<A>,
    ) -> Result<[u8; 32], ContainerError> {
        let mut hashed = Hashed {
            out,
            sha: Sha256::new(),
        };
        for idx in 0..self.header.sections.len() {
            let section = self.header.sections[idx];
            if section.kind.is_rest() {
                // Read with the frame it completes.
            } else if section.kind == SectionKind::Fragment {
                hashed.write_all(&item_header(section.stored_len)?)?;
                self.stream_stored(idx, &mut hashed)?;
            } else {
                let admitted = if section.frame != 0 { Some(admit()?) } else { None };
                let expanded = self.expand(idx, scratch)?;
                drop(admitted);
                hashed.write_all(expanded)?;
            }
        }
        let sha256: [u8; 32] = hashed.sha.finalize().into();
        if sha256 != self.header.original_sha256 {
            return Err(ContainerError::OriginalMismatch);
        }
        Ok(sha256)
    }

    /// The elements before the first frame; for an object without a head section the whole data set, when
    /// it is no longer than `bytes_max`.
    ///
    /// # Errors
    /// [`ContainerError::TooLarge`] beyond `bytes_max`, or when a section differs from its digest.
    pub fn head_bytes(&mut self, bytes_max: u64) -> Result<Vec<u8>, ContainerError> {
        let sections = if self.header.has_head() {
            1
        } else {
            self.header.sections.len()
        };
        let len: u64 = self.header.sections[..sections]
            .iter()
            .map(|section| section.expanded_len)
            .sum();
        if len > bytes_max {
            return Err(ContainerError::TooLarge(bytes_max));
        }
        let mut head = Vec::new();
        let mut scratch = Scratch::default();
        for idx in 0..sections {
            head.extend_from_slice(self.expand(idx, &mut scratch)?);
        }
        Ok(head)
    }

    /// The bytes after the last frame: the rest of the Pixel Data value and the elements behind it. Empty for an object
    /// without frames, or when they are more than `bytes_max`.
    ///
    /// # Errors
    /// When a section differs from its digest.
    pub(crate) fn tail_bytes(&mut self, bytes_max: u64) -> Result<Vec<u8>, ContainerError> {
        let sections = &self.header.sections;
        let of_tail = |idx: &usize| sections[*idx].kind == SectionKind::Tail;
        let parts: Vec<usize> = (0..sections.len()).filter(of_tail).collect();
        let len: u64 = parts.iter().map(|idx| sections[*idx].expanded_len).sum();
        let mut tail = Vec::new();
        if len <= bytes_max {
            let mut scratch = Scratch::default();
            for idx in parts {
                tail.extend_from_slice(self.expand(idx, &mut scratch)?);
            }
        }
        Ok(tail)
    }

    /// The original data set, section by section as it is read.
    pub(crate) fn original(&mut self) -> Expanding<'_, R> {
        Expanding {
            container: self,
            next: 0,
            scratch: Scratch::default(),
            at: 0,
            len: 0,
            fault: None,
        }
    }

    /// Identity and geometry of the object, from its head section or, without one, from the whole of it.
    ///
    /// # Errors
    /// The scan's own error inside the result; otherwise when a section differs from its digest.
    pub fn scan_identity(
        &mut self,
        limits: &ScanLimits,
    ) -> Result<Result<HeadScan, ScanError>, ContainerError> {
        let transfer_syntax = self.header.transfer_syntax.clone();
        if self.header.has_head() {
            let head = self.head_bytes(limits.max_head_bytes)?;
            return Ok(scan::scan_head(&head, &transfer_syntax, limits));
        }
        let total = self.header.original_len;
        let mut expanding = self.original();
        let scanned = scan::scan_forward(&mut expanding, total, &transfer_syntax, limits);
        match expanding.fault {
            Some(fault) => Err(fault),
            None => Ok(scanned),
        }
    }

    /// Frame `number`, counted from 1: native samples in the byte order received, or the codestream
    /// of an encapsulated frame with its fragments joined.
    ///
    /// # Errors
    /// [`ContainerError::NoSuchFrame`], or when a section differs from its digest.
    pub fn frame(&mut self, number: u32) -> Result<Vec<u8>, ContainerError> {
        let mut frame = Vec::new();
        let mut scratch = Scratch::default();
        for idx in self.firsts_of(number)? {
            if self.header.sections[idx].kind == SectionKind::Fragment {
                self.stream_stored(idx, &mut frame)?;
            } else if frame.is_empty() {
                self.expand(idx, &mut scratch)?;
                frame = std::mem::take(&mut scratch.expanded);
            } else {
                frame.extend_from_slice(self.expand(idx, &mut scratch)?);
            }
        }
        Ok(frame)
    }

    /// The sections that begin a frame.
    fn firsts_of(&self, number: u32) -> Result<Range<usize>, ContainerError> {
        if number == 0 || number > self.header.frame_count {
            return Err(ContainerError::NoSuchFrame(number));
        }
        Ok(self.of_frame(&self.firsts, number))
    }

    /// The sections of a frame in a part of the table that is in the order of the frames.
    fn of_frame(&self, part: &Range<usize>, number: u32) -> Range<usize> {
        let sections = &self.header.sections[part.clone()];
        let from = sections.partition_point(|section| section.frame < number);
        let to = sections.partition_point(|section| section.frame <= number);
        part.start + from..part.start + to
    }

    /// The HTJ2K section that begins a frame; `None` when the frame is coded otherwise.
    fn low_of(&self, number: u32) -> Result<Option<usize>, ContainerError> {
        let mut firsts = self.firsts_of(number)?;
        Ok(firsts.find(|idx| self.header.sections[*idx].kind == SectionKind::Htj2kLow))
    }

    /// Whether [`Self::codestream`] gives this frame.
    ///
    /// # Errors
    /// [`ContainerError::NoSuchFrame`].
    pub fn has_codestream(&self, number: u32) -> Result<bool, ContainerError> {
        let low = self.low_of(number)?;
        let by_pixel = self.header.geometry.is_some_and(|geometry| !geometry.is_planar);
        Ok(by_pixel && low.is_some_and(|low| self.rest_of(low, SectionKind::SideBits).is_none()))
    }

    /// Frame `number` as its HTJ2K codestream (1.2.840.10008.1.2.4.202); `None` when it is coded otherwise, or when
    /// the codestream alone would not give all bytes of the frame back in their order.
    ///
    /// # Errors
    /// [`ContainerError::NoSuchFrame`], or when a section differs from its digest.
    pub fn codestream(&mut self, number: u32) -> Result<Option<Vec<u8>>, ContainerError> {
        let Some(low) = self
            .low_of(number)?
            .filter(|_| self.has_codestream(number).unwrap_or(false))
        else {
            return Ok(None);
        };
        let mut codestream = Vec::new();
        self.read_codestream(low, &mut codestream)?;
        Ok(Some(codestream))
    }

    /// The beginning of frame `number`, for a preview; `None` when the frame is not HTJ2K. Also from a container of
    /// which only some bytes have come.
    ///
    /// # Errors
    /// [`ContainerError::NoSuchFrame`]; [`ContainerError::DigestMismatch`] when its bytes are not all there yet.
    pub fn low_frame(&mut self, number: u32) -> Result<Option<LowFrame>, ContainerError> {
        let (Some(low), Some(geometry)) = (self.low_of(number)?, self.header.geometry) else {
            return Ok(None);
        };
        let mut codestream = Vec::new();
        self.read_stored(low, &mut codestream)?;
        let halvings = self.header.low_halvings;
        Ok(Some(LowFrame {
            codestream,
            columns: u32::from(geometry.columns).div_ceil(1 << halvings),
            rows: u32::from(geometry.rows).div_ceil(1 << halvings),
            halvings,
        }))
    }

    /// As [`Self::frame`], with native samples in little endian order whatever they came in.
    ///
    /// # Errors
    /// As [`Self::frame`].
    pub fn frame_little_endian(&mut self, number: u32) -> Result<Vec<u8>, ContainerError> {
        let mut frame = self.frame(number)?;
        code::swap(&mut frame, usize::from(self.header.swap_bytes));
        Ok(frame)
    }

    /// Streams the stored bytes of a section to `out` and compares their digest.
    fn stream_stored<W: Write>(&mut self, idx: usize, out: &mut W) -> Result<(), ContainerError> {
        let section = self.header.sections[idx];
        self.src.seek(SeekFrom::Start(section.offset))?;
        let mut sha = Sha256::new();
        let mut left = section.stored_len;
        let mut piece = [0u8; PIECE_BYTES];
        while left > 0 {
            let want = usize::try_from(left).unwrap_or(usize::MAX).min(piece.len());
            let got = self.src.read(&mut piece[..want])?;
            if got == 0 {
                return Err(ContainerError::DigestMismatch(idx));
            }
            sha.update(&piece[..got]);
            out.write_all(&piece[..got])?;
            left -= got as u64;
        }
        if sha.finalize()[..] != section.sha256 {
            return Err(ContainerError::DigestMismatch(idx));
        }
        Ok(())
    }

    /// The original bytes of a section that is not a fragment; they are in `scratch.expanded` as well.
    fn expand<'b>(&mut self, idx: usize, scratch: &'b mut Scratch) -> Result<&'b [u8], ContainerError> {
        let section = self.header.sections[idx];
        scratch.expanded.clear();
        match section.kind {
            SectionKind::Fragment => return Err(ContainerError::Malformed("fragment without frame")),
            SectionKind::Htj2kRest | SectionKind::SideBits => {}
            SectionKind::Htj2kLow => self.expand_htj2k(idx, scratch)?,
            SectionKind::HeadWithDictionary => {
                let dictionary = self.dictionary()?;
                self.read_stored(idx, &mut scratch.packed)?;
                let expanded = &mut scratch.expanded;
                code::unpack_with(
                    dictionary.bytes(),
                    &scratch.packed,
                    section.expanded_len,
                    expanded,
                )?;
            }
            _ => {
                self.read_stored(idx, &mut scratch.packed)?;
                if section.sample_bytes > 1 {
                    code::unpack(&scratch.packed, section.expanded_len, &mut scratch.plain)?;
                    let sample_bytes = usize::from(section.sample_bytes);
                    code::join(&scratch.plain, sample_bytes, &mut scratch.expanded);
                } else {
                    code::unpack(&scratch.packed, section.expanded_len, &mut scratch.expanded)?;
                }
            }
        }
        Ok(&scratch.expanded)
    }

    fn expand_htj2k(&mut self, idx: usize, scratch: &mut Scratch) -> Result<(), ContainerError> {
        let geometry = self
            .header
            .geometry
            .ok_or(ContainerError::Malformed("frame geometry"))?;
        self.read_codestream(idx, &mut scratch.packed)?;
        let side = self.rest_of(idx, SectionKind::SideBits);
        let mut packed_side = Vec::new();
        if let Some(side) = side {
            self.read_stored(side, &mut packed_side)?;
        }
        let packed_side = side.map(|_| packed_side.as_slice());
        let (codestream, expanded) = (&scratch.packed, &mut scratch.expanded);
        scratch
            .frames
            .rebuild(&geometry, codestream, packed_side, expanded)?;
        code::swap(&mut scratch.expanded, usize::from(self.header.swap_bytes));
        Ok(())
    }

    /// The codestream of the HTJ2K frame that section `first` begins.
    fn read_codestream(&mut self, first: usize, out: &mut Vec<u8>) -> Result<(), ContainerError> {
        self.read_stored(first, out)?;
        match self.rest_of(first, SectionKind::Htj2kRest) {
            Some(rest) => self.stream_stored(rest, out),
            None => Ok(()),
        }
    }

    /// The section of this kind that completes the frame that section `first` begins.
    fn rest_of(&self, first: usize, kind: SectionKind) -> Option<usize> {
        let rests = self.of_frame(&self.rests, self.header.sections[first].frame);
        rests
            .into_iter()
            .find(|idx| self.header.sections[*idx].kind == kind)
    }

    fn read_stored(&mut self, idx: usize, packed: &mut Vec<u8>) -> Result<(), ContainerError> {
        packed.clear();
        self.stream_stored(idx, packed)
    }

    fn dictionary(&self) -> Result<Dictionary, ContainerError> {
        let sha256 = self
            .header
            .dictionary_sha256
            .ok_or(ContainerError::Malformed("dictionary"))?;
        let found = match &self.find_dictionary {
            Some(find) => find(&sha256)?,
            None => None,
        };
        found
            .filter(|dictionary| *dictionary.sha256() == sha256)
            .ok_or(ContainerError::DictionaryMissing(sha256))
    }
}

/// Working memory of reading: about ten bytes for each sample of a frame. Kept between containers it saves the pages that
/// a fresh one would have to be given.
#[derive(Default)]
pub struct Scratch {
    packed: Vec<u8>,
    plain: Vec<u8>,
    expanded: Vec<u8>,
    frames: frames::FrameRebuilder,
}

impl Scratch {
    /// Gives the memory back that a large frame took. One that failed may have taken any.
    fn trim(&mut self, is_rebuilt: bool) {
        let largest = self
            .packed
            .capacity()
            .max(self.plain.capacity())
            .max(self.expanded.capacity());
        if !is_rebuilt || largest > frames::KEPT_FRAME_BYTES {
            *self = Self::default();
        }
    }
}

/// A writer that hashes what passes.
struct Hashed<'a, W> {
    out: &'a mut W,
    sha: Sha256,
}

impl<W: Write> Write for Hashed<'_, W> {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        let written = self.out.write(buf)?;
        self.sha.update(&buf[..written]);
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

/// The original bytes of an opaque object as a reader.
pub(crate) struct Expanding<'a, R> {
    container: &'a mut Container<R>,
    next: usize,
    scratch: Scratch,
    at: usize,
    len: usize,
    /// Why reading failed.
    pub(crate) fault: Option<ContainerError>,
}

impl<R: Read + Seek> Read for Expanding<'_, R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        if self.at == self.len && self.next < self.container.header.sections.len() {
            self.at = 0;
            self.len = match self.container.expand(self.next, &mut self.scratch) {
                Ok(expanded) => expanded.len(),
                Err(fault) => {
                    self.fault = Some(fault);
                    return Err(io::ErrorKind::InvalidData.into());
                }
            };
            self.next += 1;
        }
        let got = (self.len - self.at).min(buf.len());
        buf[..got].copy_from_slice(&self.scratch.expanded[self.at..self.at + got]);
        self.at += got;
        Ok(got)
    }
}
