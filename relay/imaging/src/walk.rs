//! The element walk shared by scanner, metadata and comparison.
//!
//! One event after another, with an explicit stack in place of recursion. Lengths are checked against the
//! real end of the data before anything is read or skipped, and no buffer is sized from a stated length.
//! Faults that can be walked around become warnings, the others end the walk.

mod detect;
mod inflate;
mod opening;
mod source;

use crate::dictionary;
use crate::element::{Tag, Vr};
use crate::limits::{ScanLimits, pieces};
use crate::scan::{ScanError, ScanWarning, WarningKind};
use crate::syntax::Encoding;

pub(crate) use detect::plausible_elements;
pub(crate) use inflate::{BoundedInflate, scan_error as inflate_error};
pub(crate) use opening::{AnyWalker, find_encoding, open, open_input};
pub(crate) use source::{BUFFER_BYTES, ForwardInput, Input, SeekInput, Source};

const UNDEFINED: u32 = u32::MAX;

/// A data element whose value has not been read yet.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Element {
    pub(crate) tag: Tag,
    pub(crate) vr: Vr,
    /// Offset of the first byte of the value.
    pub(crate) value_offset: u64,
    /// Length of the value; `None` for undefined length.
    pub(crate) len: Option<u64>,
    /// Encoding the value is in.
    pub(crate) encoding: Encoding,
    /// Number of sequences around it.
    pub(crate) depth: usize,
}

/// One step of the walk.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Event {
    /// A primitive element; its value may be read before the next step.
    Element(Element),
    SequenceStart(Element),
    SequenceEnd,
    ItemStart,
    ItemEnd,
    /// Pixel data (or another binary value) of undefined length begins.
    FragmentsStart(Element),
    /// One fragment; its value may be read before the next step.
    Fragment {
        offset: u64,
        len: u64,
    },
    FragmentsEnd,
    /// Pixel Data at the top level, reported before its length is checked, when the walk ends there.
    PixelDataHeader(Element),
    End,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Kind {
    Top,
    Sequence,
    Item,
    Fragments,
}

#[derive(Debug, Clone, Copy)]
struct Level {
    kind: Kind,
    tag: Tag,
    /// End stated by a length; `None` when a delimiter ends the level.
    end: Option<u64>,
    /// The nearest stated end around here; nothing may reach beyond.
    bound: u64,
    /// Encoding to return to when the level closes.
    outer: Encoding,
    /// Greatest tag so far, for the order.
    last: Option<Tag>,
}

/// Walks one data set.
pub(crate) struct Walker<I> {
    src: Source<I>,
    encoding: Encoding,
    limits: ScanLimits,
    levels: Vec<Level>,
    depth: usize,
    elements: u64,
    /// Bytes of the current value that were not read yet.
    pending: u64,
    signed: bool,
    pixel_data_seen: bool,
    stop_at_pixel_data: bool,
    done: bool,
    pub(crate) warnings: Vec<ScanWarning>,
}

impl<I: Input> Walker<I> {
    pub(crate) fn new(src: Source<I>, encoding: Encoding, limits: &ScanLimits) -> Self {
        let bound = src.total().unwrap_or(u64::MAX);
        let top = Level {
            kind: Kind::Top,
            tag: Tag(0, 0),
            end: Some(bound),
            bound,
            outer: encoding,
            last: None,
        };
        Self {
            src,
            encoding,
            limits: limits.clone(),
            levels: vec![top],
            depth: 0,
            elements: 0,
            pending: 0,
            signed: false,
            pixel_data_seen: false,
            stop_at_pixel_data: false,
            done: false,
            warnings: Vec::new(),
        }
    }

    /// Ends the walk at the header of Pixel Data: the bytes are a head.
    pub(crate) fn stop_at_pixel_data(mut self) -> Self {
        self.stop_at_pixel_data = true;
        self
    }

    /// The bytes are those after Pixel Data: what is no element there does not spoil those before.
    pub(crate) fn after_pixel_data(mut self) -> Self {
        self.pixel_data_seen = true;
        self
    }

    /// Offset of the next unread byte.
    pub(crate) fn position(&self) -> u64 {
        self.src.position()
    }

    pub(crate) fn warn(&mut self, kind: WarningKind, tag: Option<Tag>) {
        push_warning(&mut self.warnings, kind, tag);
    }

    /// Reads at most `max` bytes of the current value.
    pub(crate) fn read_value(&mut self, max: u64) -> Result<Vec<u8>, ScanError> {
        let wanted = self.pending.min(max);
        let mut value = Vec::new();
        self.src.read_into(&mut value, wanted)?;
        self.pending -= value.len() as u64;
        if (value.len() as u64) < wanted {
            return Err(self.value_cut());
        }
        Ok(value)
    }

    /// Looks at the first bytes of the current value, at most `max` and what the buffer holds, without reading.
    pub(crate) fn peek_value(&mut self, max: usize) -> Result<&[u8], ScanError> {
        let wanted = usize::try_from(self.pending).unwrap_or(usize::MAX).min(max);
        Ok(self.src.peek(wanted)?)
    }

    /// Reads the next bytes of the current value into `out` as far as they reach.
    pub(crate) fn read_some(&mut self, out: &mut [u8]) -> Result<usize, ScanError> {
        let wanted = usize::try_from(self.pending).unwrap_or(usize::MAX).min(out.len());
        let got = self.src.read_some(&mut out[..wanted])?;
        self.pending -= got as u64;
        if got == 0 && wanted > 0 {
            return Err(self.value_cut());
        }
        Ok(got)
    }

    /// The next step.
    pub(crate) fn step(&mut self) -> Result<Event, ScanError> {
        self.skip_pending()?;
        if self.done {
            return Ok(Event::End);
        }
        let level = self.level();
        if level.kind != Kind::Top && level.end == Some(self.position()) {
            return Ok(self.close());
        }
        match level.kind {
            Kind::Top | Kind::Item => self.step_element(level),
            Kind::Sequence => self.step_item(level),
            Kind::Fragments => self.step_fragment(level),
        }
    }

    fn level(&self) -> Level {
        *self.levels.last().expect("the top level is never closed")
    }

    fn skip_pending(&mut self) -> Result<(), ScanError> {
        let skipped = self.src.skip(self.pending)?;
        if skipped < self.pending {
            return Err(self.value_cut());
        }
        self.pending = 0;
        Ok(())
    }

    fn value_cut(&self) -> ScanError {
        ScanError::ValueBeyondObject {
            tag: self.level().last.unwrap_or(Tag(0, 0)),
            offset: self.position(),
        }
    }

    fn count(&mut self) -> Result<(), ScanError> {
        self.elements += 1;
        if self.elements > self.limits.max_elements {
            return Err(ScanError::TooManyElements(self.limits.max_elements));
        }
        Ok(())
    }

    fn close(&mut self) -> Event {
        let level = self.levels.pop().expect("only levels below the top are closed");
        self.encoding = level.outer;
        match level.kind {
            Kind::Sequence => {
                self.depth -= 1;
                Event::SequenceEnd
            }
            Kind::Fragments => {
                self.pixel_data_seen |= self.levels.len() == 1 && level.tag.is_pixel_data();
                Event::FragmentsEnd
            }
            Kind::Item | Kind::Top => Event::ItemEnd,
        }
    }

    /// Skips what is left of a level with a stated end, whose content cannot be walked.
    fn abandon(&mut self, level: Level) -> Result<Event, ScanError> {
        self.warn(WarningKind::SequenceMalformed, Some(level.tag));
        let left = level.bound.saturating_sub(self.position());
        self.src.skip(left)?;
        Ok(self.close())
    }

    fn step_element(&mut self, level: Level) -> Result<Event, ScanError> {
        let offset = self.position();
        let header = self.src.peek(12)?;
        if header.is_empty() && level.kind == Kind::Top {
            self.done = true;
            return Ok(Event::End);
        }
        let room = level.bound.saturating_sub(offset);
        if header.len() < 8 || room < 8 {
            return match level {
                Level { kind: Kind::Top, .. } => self.trailing(ScanError::HeaderCut(offset)),
                Level { end: Some(_), .. } => self.abandon(level),
                _ => Err(ScanError::SequenceUnterminated(level.tag)),
            };
        }
        let bytes: [u8; 12] = std::array::from_fn(|at| header.get(at).copied().unwrap_or(0));
        let tag = self.tag(&bytes);
        match (tag, level.kind) {
            (Tag::ITEM_DELIMITER, Kind::Item) => {
                self.src.skip(8)?;
                if level.end.is_some() {
                    return self.abandon(level);
                }
                return Ok(self.close());
            }
            (Tag::SEQUENCE_DELIMITER, Kind::Item) if level.end.is_none() => {
                // The item's own delimiter is missing; the sequence reads its delimiter itself.
                self.warn(WarningKind::SequenceMalformed, Some(level.tag));
                return Ok(self.close());
            }
            (Tag(0xFFFE, _), Kind::Top) => return self.trailing(ScanError::SequenceUnterminated(tag)),
            (Tag(0xFFFE, _), _) => {
                return if level.end.is_some() {
                    self.abandon(level)
                } else {
                    Err(ScanError::SequenceUnterminated(level.tag))
                };
            }
            (Tag(0, 0), Kind::Top) if self.elements > 0 && bytes == [0; 12] => {
                return self.trailing(ScanError::HeaderCut(offset));
            }
            _ => {}
        }
        self.element(level, tag, &bytes, offset)
    }

    /// Bytes after the last element that are no element: kept when the pixels are complete, else an error.
    fn trailing(&mut self, error: ScanError) -> Result<Event, ScanError> {
        if !self.pixel_data_seen {
            return Err(error);
        }
        self.warn(WarningKind::TrailingBytes, None);
        self.done = true;
        Ok(Event::End)
    }

    fn element(&mut self, level: Level, tag: Tag, bytes: &[u8; 12], offset: u64) -> Result<Event, ScanError> {
        self.count()?;
        let (vr, header_len, len) = self.header(level, tag, bytes, offset);
        if header_len > level.bound - offset {
            return self.trailing(ScanError::HeaderCut(offset));
        }
        let top = level.kind == Kind::Top;
        let value_offset = offset + header_len;
        let defined = (len != UNDEFINED).then_some(u64::from(len));
        let element = Element {
            tag,
            vr,
            value_offset,
            len: defined,
            encoding: self.encoding,
            depth: self.depth,
        };
        self.check_order(level, tag, top);
        let main_pixels = top && tag.is_pixel_data();
        if main_pixels && self.stop_at_pixel_data {
            self.src.skip(header_len)?;
            self.done = true;
            return Ok(Event::PixelDataHeader(element));
        }
        if let Some(len) = defined
            && len > level.bound - value_offset
        {
            return self.trailing(ScanError::ValueBeyondObject { tag, offset });
        }
        self.src.skip(header_len)?;
        match defined {
            Some(len) if vr == Vr::SQ => {
                let end = value_offset + len;
                self.open_sequence(tag, Some(end), end, self.encoding)?;
                Ok(Event::SequenceStart(element))
            }
            Some(len) => {
                if len > self.limits.max_value_bytes && !tag.is_pixel_data() {
                    return Err(ScanError::ValueTooLong(tag));
                }
                if len % 2 == 1 {
                    self.warn(WarningKind::OddLength, Some(tag));
                }
                self.pending = len;
                self.pixel_data_seen |= main_pixels;
                Ok(Event::Element(element))
            }
            None if tag.is_pixel_data() || matches!(vr, Vr::OB | Vr::OW) => {
                self.levels.push(Level {
                    kind: Kind::Fragments,
                    tag,
                    end: None,
                    bound: level.bound,
                    outer: self.encoding,
                    last: None,
                });
                Ok(Event::FragmentsStart(element))
            }
            None => {
                // UN of undefined length holds items in implicit little endian (PS3.5 section 6.2.2 note 2).
                let inner = if vr == Vr::UN {
                    Encoding::ImplicitLittle
                } else {
                    self.encoding
                };
                if !matches!(vr, Vr::SQ | Vr::UN) {
                    self.warn(WarningKind::VrUnknown, Some(tag));
                }
                self.open_sequence(tag, None, level.bound, inner)?;
                Ok(Event::SequenceStart(element))
            }
        }
    }

    fn open_sequence(
        &mut self,
        tag: Tag,
        end: Option<u64>,
        bound: u64,
        inner: Encoding,
    ) -> Result<(), ScanError> {
        self.depth += 1;
        if self.depth > self.limits.max_depth {
            return Err(ScanError::SequenceTooDeep(self.limits.max_depth));
        }
        let outer = self.encoding;
        self.encoding = inner;
        self.levels.push(Level {
            kind: Kind::Sequence,
            tag,
            end,
            bound,
            outer,
            last: None,
        });
        Ok(())
    }

    fn check_order(&mut self, level: Level, tag: Tag, top: bool) {
        match level.last {
            Some(last) if last == tag => self.warn(WarningKind::ElementRepeated, Some(tag)),
            Some(last) if last > tag => self.warn(WarningKind::OrderBroken, Some(tag)),
            _ => {
                self.levels
                    .last_mut()
                    .expect("the top level is never closed")
                    .last = Some(tag)
            }
        }
        if top && tag.0 < 0x0008 {
            self.warn(WarningKind::ForeignGroup, Some(tag));
        }
    }

    /// VR, header length and value length of the element that begins with `bytes`.
    fn header(&mut self, level: Level, tag: Tag, bytes: &[u8; 12], offset: u64) -> (Vr, u64, u32) {
        let implicit_len = self.u32([bytes[4], bytes[5], bytes[6], bytes[7]]);
        if !self.encoding.is_explicit() {
            return (dictionary::vr_of(tag, self.signed), 8, implicit_len);
        }
        let vr = Vr([bytes[4], bytes[5]]);
        let short_len = u32::from(self.u16([bytes[6], bytes[7]]));
        let long_len = self.u32([bytes[8], bytes[9], bytes[10], bytes[11]]);
        if vr.is_known() {
            return if vr.has_long_header() {
                (vr, 12, long_len)
            } else {
                (vr, 8, short_len)
            };
        }
        self.warn(WarningKind::VrUnknown, Some(tag));
        // A new VR has the long form (PS3.5 section 6.2); senders with no VR at all write the implicit form.
        let room = level.bound - offset;
        let candidates: [(bool, u64, u32); 3] = [
            (bytes[6] == 0 && bytes[7] == 0, 12, long_len),
            (true, 8, short_len),
            (true, 8, implicit_len),
        ];
        let fitting = candidates.into_iter().find(|(possible, header_len, len)| {
            let end = *header_len + u64::from(*len);
            *possible && end <= room && self.continues_after(end, room)
        });
        let (_, header_len, len) = fitting.unwrap_or((true, 8, short_len));
        (Vr::UN, header_len, len)
    }

    /// Whether an element header may begin `ahead` bytes from here; unknown counts as yes.
    fn continues_after(&mut self, ahead: u64, room: u64) -> bool {
        if ahead == room {
            return true;
        }
        let Ok(skip) = usize::try_from(ahead) else {
            return true;
        };
        if skip + 8 > source::BUFFER_BYTES {
            return true;
        }
        let explicit = self.encoding.is_explicit();
        match self.src.peek(skip + 8) {
            Ok(bytes) if bytes.len() == skip + 8 => {
                let next = &bytes[skip..];
                let delimiter = next[..2] == [0xFE, 0xFF] || next[..2] == [0xFF, 0xFE];
                !explicit || delimiter || Vr([next[4], next[5]]).is_known()
            }
            _ => false,
        }
    }

    fn step_item(&mut self, level: Level) -> Result<Event, ScanError> {
        let offset = self.position();
        let header = self.src.peek(8)?;
        if header.len() < 8 || level.bound.saturating_sub(offset) < 8 {
            return if level.end.is_some() {
                self.abandon(level)
            } else {
                Err(ScanError::SequenceUnterminated(level.tag))
            };
        }
        let bytes: [u8; 12] = std::array::from_fn(|at| header.get(at).copied().unwrap_or(0));
        let len = self.u32([bytes[4], bytes[5], bytes[6], bytes[7]]);
        match self.tag(&bytes) {
            Tag::ITEM => {
                self.count()?;
                self.src.skip(8)?;
                let start = offset + 8;
                let (end, bound) = if len == UNDEFINED {
                    (None, level.bound)
                } else if u64::from(len) > level.bound - start {
                    return Err(ScanError::ItemBeyondSequence(offset));
                } else {
                    let end = start + u64::from(len);
                    (Some(end), end)
                };
                let outer = self.encoding;
                self.levels.push(Level {
                    kind: Kind::Item,
                    tag: level.tag,
                    end,
                    bound,
                    outer,
                    last: None,
                });
                Ok(Event::ItemStart)
            }
            Tag::SEQUENCE_DELIMITER if level.end.is_none() => {
                self.src.skip(8)?;
                Ok(self.close())
            }
            _ if level.end.is_some() => self.abandon(level),
            _ => Err(ScanError::SequenceUnterminated(level.tag)),
        }
    }

    fn step_fragment(&mut self, level: Level) -> Result<Event, ScanError> {
        let offset = self.position();
        let header = self.src.peek(8)?;
        if header.is_empty() {
            // The delimiter is missing, the fragments are whole: the bytes can be kept.
            self.warn(WarningKind::FragmentsMalformed, Some(level.tag));
            return Ok(self.close());
        }
        if header.len() < 8 {
            return Err(ScanError::HeaderCut(offset));
        }
        let bytes: [u8; 12] = std::array::from_fn(|at| header.get(at).copied().unwrap_or(0));
        let len = self.u32([bytes[4], bytes[5], bytes[6], bytes[7]]);
        match self.tag(&bytes) {
            Tag::ITEM if len != UNDEFINED => {
                self.count()?;
                if u64::from(len) > level.bound - offset - 8 {
                    return Err(ScanError::ValueBeyondObject {
                        tag: level.tag,
                        offset,
                    });
                }
                self.src.skip(8)?;
                self.pending = u64::from(len);
                Ok(Event::Fragment {
                    offset,
                    len: u64::from(len),
                })
            }
            Tag::SEQUENCE_DELIMITER => {
                self.src.skip(8)?;
                Ok(self.close())
            }
            _ => Err(ScanError::FragmentsMalformed),
        }
    }

    /// Tells the walk how US-or-SS elements of implicit encodings are signed.
    pub(crate) fn set_signed(&mut self, signed: bool) {
        self.signed = signed;
    }

    fn tag(&self, bytes: &[u8; 12]) -> Tag {
        Tag(self.u16([bytes[0], bytes[1]]), self.u16([bytes[2], bytes[3]]))
    }

    fn u16(&self, bytes: [u8; 2]) -> u16 {
        if self.encoding.is_big_endian() {
            u16::from_be_bytes(bytes)
        } else {
            u16::from_le_bytes(bytes)
        }
    }

    fn u32(&self, bytes: [u8; 4]) -> u32 {
        if self.encoding.is_big_endian() {
            u32::from_be_bytes(bytes)
        } else {
            u32::from_le_bytes(bytes)
        }
    }
}

/// Adds a warning, once per kind and tag, up to the limit.
pub(crate) fn push_warning(warnings: &mut Vec<ScanWarning>, kind: WarningKind, tag: Option<Tag>) {
    let warning = ScanWarning { kind, tag };
    if warnings.len() >= pieces::WARNINGS_MAX || warnings.contains(&warning) {
        return;
    }
    if warnings.len() == pieces::WARNINGS_MAX - 1 {
        warnings.push(ScanWarning {
            kind: WarningKind::More,
            tag: None,
        });
    } else {
        warnings.push(warning);
    }
}
