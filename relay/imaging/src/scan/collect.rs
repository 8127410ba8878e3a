//! Takes from the walk what a scan reports: identity, geometry, and where frames lie.

use tancho_domain::dicom::TransferSyntaxUid;

use super::codestream::{self, Start};
use super::identity::IdentityBuilder;
use super::pixels::PixelModule;
use super::placement::{self, Placement};
use super::{Body, DataSetScan, Fragment, Layout, ScanError, ScanWarning, WarningKind};
use crate::element::{Tag, Vr};
use crate::limits::{ScanLimits, pieces};
use crate::syntax::{Codestream, Encoding, Syntax, codestream_of};
use crate::walk::{Element, Event, Input, Walker, push_warning};

/// Extended Offset Table (7FE0,0001).
const EXTENDED_OFFSETS: Tag = Tag(0x7FE0, 0x0001);

/// How much of the object the container may take apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Readable {
    /// Head and frames.
    Fully,
    /// The head; what follows stays as it is.
    HeadOnly,
    /// Nothing: the whole object stays as it is.
    Opaque,
}

/// One fragment with what its first bytes say.
struct FragmentStart {
    offset: u64,
    len: u64,
    start: Start,
}

pub(super) struct Collector<'a> {
    limits: &'a ScanLimits,
    syntax: Syntax,
    codestream: Codestream,
    identity: IdentityBuilder,
    module: PixelModule,
    placement: Placement,
    warnings: Vec<ScanWarning>,
    /// Pixel Data at the top level.
    pixel_data: Option<Element>,
    native_len: u64,
    fragments: Vec<FragmentStart>,
    offset_table: Option<Vec<u8>>,
    extended_offsets: Option<Vec<u8>>,
    head_len: Option<u64>,
    in_main_fragments: bool,
}

impl<'a> Collector<'a> {
    pub(super) fn new(transfer_syntax: &TransferSyntaxUid, limits: &'a ScanLimits) -> Self {
        Self {
            limits,
            syntax: Syntax::of(transfer_syntax),
            codestream: codestream_of(transfer_syntax.as_str()),
            identity: IdentityBuilder::default(),
            module: PixelModule::default(),
            placement: Placement::default(),
            warnings: Vec::new(),
            pixel_data: None,
            native_len: 0,
            fragments: Vec::new(),
            offset_table: None,
            extended_offsets: None,
            head_len: None,
            in_main_fragments: false,
        }
    }

    pub(super) fn warn(&mut self, kind: WarningKind, tag: Option<Tag>) {
        push_warning(&mut self.warnings, kind, tag);
    }

    pub(super) fn run<I: Input>(
        mut self,
        mut walker: Walker<I>,
        readable: Readable,
        total: u64,
    ) -> Result<DataSetScan, ScanError> {
        loop {
            match walker.step()? {
                Event::End => break,
                Event::Element(element) if element.depth == 0 => self.element(&mut walker, element)?,
                Event::PixelDataHeader(element) => self.pixel_data = Some(element),
                Event::FragmentsStart(element) if element.depth == 0 && element.tag == Tag::PIXEL_DATA => {
                    self.pixel_data = Some(element);
                    self.in_main_fragments = true;
                }
                Event::Fragment { offset, len } if self.in_main_fragments => {
                    self.fragment(&mut walker, offset, len)?;
                }
                Event::FragmentsEnd if self.in_main_fragments => {
                    self.in_main_fragments = false;
                    self.head_len.get_or_insert(walker.position());
                }
                _ => {}
            }
        }
        let walk_warnings = std::mem::take(&mut walker.warnings);
        for warning in walk_warnings {
            self.warn(warning.kind, warning.tag);
        }
        self.finish(readable, total)
    }

    fn element<I: Input>(&mut self, walker: &mut Walker<I>, element: Element) -> Result<(), ScanError> {
        let tag = element.tag;
        if tag.is_pixel_data() {
            if self.pixel_data.is_some() {
                self.warn(WarningKind::ElementRepeated, Some(tag));
                return Ok(());
            }
            self.pixel_data = Some(element);
            self.native_len = element.len.unwrap_or(0);
            self.head_len = Some(element.value_offset);
            return Ok(());
        }
        if tag == EXTENDED_OFFSETS {
            self.extended_offsets = Some(walker.read_value(8 * pieces::SECTIONS_MAX)?);
            return Ok(());
        }
        if IdentityBuilder::wants(tag) {
            let value = walker.read_value(pieces::INDEXED_VALUE_BYTES_MAX)?;
            if element.len.is_some_and(|len| len > value.len() as u64) {
                self.warn(WarningKind::ValueCut, Some(tag));
            }
            if !self.identity.set(tag, value) {
                // Which value counts must be stated: the first one does.
                self.warn(WarningKind::ElementRepeated, Some(tag));
            }
        } else if Placement::wants(tag) {
            let value = walker.read_value(placement::VALUE_BYTES_MAX)?;
            self.placement.set(tag, &value);
        } else if PixelModule::wants(tag) {
            let value = walker.read_value(64)?;
            if self.module.set(tag, &value, element.encoding) && tag == Tag::PIXEL_REPRESENTATION {
                walker.set_signed(self.module.is_signed());
            }
        }
        Ok(())
    }

    fn fragment<I: Input>(&mut self, walker: &mut Walker<I>, offset: u64, len: u64) -> Result<(), ScanError> {
        if self.offset_table.is_none() {
            self.offset_table = Some(walker.read_value(4 * pieces::SECTIONS_MAX)?);
            self.head_len = Some(offset + 8 + len);
            return Ok(());
        }
        if len % 2 == 1 {
            self.warn(WarningKind::FragmentsMalformed, Some(Tag::PIXEL_DATA));
        }
        let start = if self.codestream == Codestream::DeflatedFrame {
            let frame_bytes = self
                .module
                .describe(self.limits)
                .map_or(0, |(pixels, _)| pixels.frame_bytes);
            codestream::inflates_to(walker, frame_bytes)?
        } else {
            let expected = self.module.expected();
            let window = walker.peek_value(crate::walk::BUFFER_BYTES)?;
            codestream::start(self.codestream, window, len, &expected)
        };
        self.fragments.push(FragmentStart { offset, len, start });
        Ok(())
    }

    fn finish(mut self, readable: Readable, total: u64) -> Result<DataSetScan, ScanError> {
        let (identity, uncertain) = std::mem::take(&mut self.identity).finish()?;
        for (kind, tag) in uncertain {
            self.warn(kind, tag);
        }
        let described = match self.pixel_data {
            Some(element) if element.tag == Tag::PIXEL_DATA => self.module.describe(self.limits),
            _ => None,
        };
        let Some((mut pixels, faults)) = described else {
            // No image (a report, a waveform, a plan) or float pixels: one opaque run of bytes.
            let layout = Layout {
                head_len: 0,
                body: Body::Opaque,
            };
            return Ok(DataSetScan {
                identity,
                placement: self.placement,
                pixels: None,
                layout,
                warnings: self.warnings,
                total_len: total,
            });
        };
        for (kind, tag) in faults {
            self.warn(kind, Some(tag));
        }
        let mut head_len = self.head_len.unwrap_or(0);
        if head_len > self.limits.max_head_bytes {
            self.warn(WarningKind::HeadTooLarge, None);
            pixels.displayable = false;
            head_len = 0;
        }
        let body = match readable {
            Readable::Fully if pixels.displayable => self.body(&pixels),
            _ => Body::Opaque,
        };
        if readable == Readable::Opaque {
            head_len = 0;
        }
        pixels.displayable &= body != Body::Opaque || self.is_head_scan();
        let layout = Layout { head_len, body };
        Ok(DataSetScan {
            identity,
            placement: self.placement,
            pixels: Some(pixels),
            layout,
            warnings: self.warnings,
            total_len: total,
        })
    }

    /// Whether the walk ended at the Pixel Data header, so that nothing is known of the frames yet.
    fn is_head_scan(&self) -> bool {
        self.head_len.is_none()
    }

    fn body(&mut self, pixels: &super::PixelDescription) -> Body {
        let undefined = self.pixel_data.is_some_and(|element| element.len.is_none());
        match (undefined, self.syntax.encapsulated) {
            (false, false) => self.native_body(pixels),
            (true, true) => self.fragment_body(pixels),
            _ => {
                self.warn(WarningKind::EncodingMismatch, Some(Tag::PIXEL_DATA));
                Body::Opaque
            }
        }
    }

    fn native_body(&mut self, pixels: &super::PixelDescription) -> Body {
        let frames = u64::from(pixels.number_of_frames);
        let wanted = pixels.frame_bytes.checked_mul(frames);
        let Some(wanted) = wanted.filter(|wanted| *wanted <= self.native_len) else {
            self.warn(WarningKind::PixelDataShort, Some(Tag::PIXEL_DATA));
            return Body::Opaque;
        };
        if self.native_len > wanted + 1 {
            self.warn(WarningKind::PixelDataLong, Some(Tag::PIXEL_DATA));
        }
        let chunks = pixels.frame_bytes.div_ceil(pieces::OPAQUE_CHUNK_BYTES).max(1);
        if frames.saturating_mul(chunks) > pieces::SECTIONS_MAX {
            return Body::Opaque;
        }
        let sample_bytes = pixels.bits_allocated.div_ceil(8).clamp(1, 8) as u8;
        let element = self.pixel_data.expect("native pixels come from an element");
        let swap_bytes = match (element.encoding, element.vr) {
            (Encoding::ExplicitBig, Vr::OB) => 1,
            (Encoding::ExplicitBig, _) => sample_bytes.max(2),
            _ => 1,
        };
        if swap_bytes > 1 && !pixels.frame_bytes.is_multiple_of(u64::from(swap_bytes)) {
            self.warn(WarningKind::FramesNotByteAligned, Some(Tag::PIXEL_DATA));
            return Body::Opaque;
        }
        Body::Native {
            frame_len: pixels.frame_bytes,
            frames: pixels.number_of_frames,
            sample_bytes,
            swap_bytes,
        }
    }

    fn fragment_body(&mut self, pixels: &super::PixelDescription) -> Body {
        let odd = self.fragments.iter().any(|fragment| fragment.len % 2 == 1);
        let frames = pixels.number_of_frames;
        let too_many = self.fragments.len() as u64 > pieces::SECTIONS_MAX - 2;
        let firsts = if odd || too_many || self.fragments.is_empty() {
            None
        } else {
            self.first_fragments(frames)
        };
        let Some(firsts) = firsts else {
            self.warn(WarningKind::FragmentsMalformed, Some(Tag::PIXEL_DATA));
            return Body::Opaque;
        };
        let mut fragments = Vec::with_capacity(self.fragments.len());
        let is_image = !matches!(self.codestream, Codestream::DeflatedFrame | Codestream::Other);
        let mut fits = true;
        for (idx, first) in firsts.iter().enumerate() {
            let end = firsts.get(idx + 1).copied().unwrap_or(self.fragments.len());
            let of_frame = &self.fragments[*first..end];
            let frame_len: u64 = of_frame.iter().map(|fragment| fragment.len).sum();
            fits &= of_frame
                .first()
                .is_some_and(|fragment| fragment.start.fits_frame(frame_len));
            // A frame goes on with what is no beginning: another one would not be shown, without a word.
            fits &= !is_image
                || of_frame[1..]
                    .iter()
                    .all(|fragment| fragment.start == Start::Inside);
            fragments.extend(of_frame.iter().map(|fragment| Fragment {
                frame: idx as u32 + 1,
                offset: fragment.offset,
                len: fragment.len,
            }));
        }
        if !fits {
            self.warn(WarningKind::CodestreamMismatch, Some(Tag::PIXEL_DATA));
            return Body::Opaque;
        }
        Body::Fragments { fragments, frames }
    }

    /// The index of each frame's first fragment (PS3.5 section A.4), or nothing when it cannot be told.
    fn first_fragments(&self, frames: u32) -> Option<Vec<usize>> {
        let frames = usize::try_from(frames).ok()?;
        if frames > self.fragments.len() {
            return None;
        }
        if let Some(table) = &self.extended_offsets {
            let offsets = table
                .chunks_exact(8)
                .map(|bytes| u64::from_le_bytes(bytes.try_into().unwrap_or_default()));
            return self.by_offsets(offsets.collect(), frames);
        }
        let table = self.offset_table.as_deref().unwrap_or_default();
        if !table.is_empty() {
            let offsets = table
                .chunks_exact(4)
                .map(|bytes| u64::from(u32::from_le_bytes(bytes.try_into().unwrap_or_default())));
            return self.by_offsets(offsets.collect(), frames);
        }
        if frames == 1 {
            return Some(vec![0]);
        }
        if frames == self.fragments.len() {
            return Some((0..frames).collect());
        }
        let starts: Vec<usize> = (0..self.fragments.len())
            .filter(|idx| !matches!(self.fragments[*idx].start, Start::Inside))
            .collect();
        (starts.len() == frames && starts[0] == 0).then_some(starts)
    }

    fn by_offsets(&self, offsets: Vec<u64>, frames: usize) -> Option<Vec<usize>> {
        if offsets.len() != frames || offsets.first() != Some(&0) {
            return None;
        }
        let base = self.fragments.first()?.offset;
        let mut firsts = Vec::with_capacity(frames);
        let mut from = 0;
        for offset in offsets {
            let wanted = base.checked_add(offset)?;
            let found = self.fragments[from..]
                .iter()
                .position(|fragment| fragment.offset == wanted)?;
            firsts.push(from + found);
            from += found + 1;
        }
        Some(firsts)
    }
}
