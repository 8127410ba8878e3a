//! Objects in Explicit VR Little Endian, for those who do not take what was received: native ones with their elements
//! written anew, and encapsulated ones with their frames decoded by `codec`, wherever the caller has that done. Native
//! little endian ones also in Implicit VR.
//!
//! What was received is never changed; this is a copy for one answer, made piece by piece while it is sent.

use std::io::{self, Cursor, Read, Seek, SeekFrom, Write};

use crate::codec::{self, DecodedFrame, FrameJob};
use crate::container::{Container, ContainerError, ContainerHeader, FrameGeometry};
use crate::element::{Tag, Vr};
use crate::elements::{ElementsError, Visitor, behind_pixels, bounded, pixel_data, walk, walk_tail};
use crate::limits::ScanLimits;
use crate::scan::{PixelDescription, ScanError};
use crate::syntax::{self, Syntax};
use crate::walk::{AnyWalker, Element, Event, ForwardInput, Input, inflate_error, open, open_input};

/// Bytes of a value that are copied at once; a multiple of every number's size.
const PIECE_BYTES: usize = 64 * 1024;

const PHOTOMETRIC_INTERPRETATION: Tag = Tag(0x0028, 0x0004);
const PLANAR_CONFIGURATION: Tag = Tag(0x0028, 0x0006);
const LOSSY_IMAGE_COMPRESSION: Tag = Tag(0x0028, 0x2110);
const EXTENDED_OFFSET_TABLE: Tag = Tag(0x7FE0, 0x0001);
const EXTENDED_OFFSET_TABLE_LENGTHS: Tag = Tag(0x7FE0, 0x0002);

/// Why an object was not transcoded.
#[derive(Debug, thiserror::Error)]
pub enum TranscodeError {
    /// Its elements cannot be given.
    #[error(transparent)]
    Elements(#[from] ElementsError),
    /// Its frames are not those of its header, or coded in a way that is not read.
    #[error("frames cannot be decoded")]
    NotDecodable,
    /// Decoding did not come to an end, for a reason of this code.
    #[error("decoding came to no end: {0}")]
    Undone(&'static str),
    /// The answer cannot be written.
    #[error("writing failed")]
    Io(#[from] io::Error),
}

impl From<ScanError> for TranscodeError {
    fn from(error: ScanError) -> Self {
        Self::Elements(error.into())
    }
}

impl From<ContainerError> for TranscodeError {
    fn from(error: ContainerError) -> Self {
        Self::Elements(error.into())
    }
}

/// How an object in this transfer syntax becomes Explicit VR Little Endian.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Route {
    /// Its elements are written anew.
    Rewritten,
    /// Its frames are decoded as well.
    Decoded,
}

impl Route {
    /// The route from a transfer syntax; `None` when there is none.
    #[must_use]
    pub fn from(transfer_syntax: &tancho_domain::dicom::TransferSyntaxUid) -> Option<Self> {
        let syntax = Syntax::of(transfer_syntax);
        // Pixels behind a link (JPIP) are not here.
        let is_link = matches!(
            transfer_syntax.as_str().rsplit('.').next(),
            Some("94" | "95" | "204" | "205")
        ) && transfer_syntax.as_str().starts_with("1.2.840.10008.1.2.4.");
        if !syntax.known || is_link {
            return None;
        }
        if !syntax.encapsulated {
            return Some(Self::Rewritten);
        }
        codec::is_decodable(syntax::codestream_of(transfer_syntax.as_str())).then_some(Self::Decoded)
    }
}

/// How [`rewrite_native`] writes elements.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Written {
    /// Implicit VR Little Endian.
    Implicit,
    /// Explicit VR Little Endian.
    Explicit,
}

impl Written {
    /// The other native little endian transfer syntax of an object in `transfer_syntax`, with its UID; `None` for
    /// objects whose elements cannot be written anew without touching their pixels.
    #[must_use]
    pub fn other_than(transfer_syntax: &str) -> Option<(Self, &'static str)> {
        match transfer_syntax {
            syntax::EXPLICIT_LITTLE => Some((Self::Implicit, syntax::IMPLICIT_LITTLE)),
            syntax::IMPLICIT_LITTLE => Some((Self::Explicit, syntax::EXPLICIT_LITTLE)),
            _ => None,
        }
    }
}

/// Writes the data set `src`, native in little endian, with the same elements and values in the other encoding.
///
/// Sequences and items get delimiters, group lengths go. Memory does not grow with the object.
///
/// # Errors
/// When `transfer_syntax` is another, or the object cannot be read; what was written must then not be used.
pub fn rewrite_native<R: Read + Seek, W: Write>(
    mut src: R,
    transfer_syntax: &tancho_domain::dicom::TransferSyntaxUid,
    written: Written,
    out: &mut W,
) -> Result<(), TranscodeError> {
    if Written::other_than(transfer_syntax.as_str()).is_none_or(|(other, _)| other != written) {
        return Err(TranscodeError::NotDecodable);
    }
    let mut rewriter = Rewriter {
        out,
        written,
        pixel_unit: None,
        decoded: None,
        is_written: true,
    };
    let total = src.seek(SeekFrom::End(0))?;
    let mut walker = open(src, transfer_syntax, &ScanLimits::default())?;
    loop {
        match walker.step()? {
            // What is no element behind the pixels would be lost without a word.
            Event::End if walker.position() < total => return Err(TranscodeError::NotDecodable),
            Event::End => return Ok(()),
            event => rewriter.rewrite(&mut walker, event)?,
        }
    }
}

impl FrameJob {
    /// What decoding a frame of this container asks for; it must be displayable.
    ///
    /// # Errors
    /// [`TranscodeError::NotDecodable`] when its frames are of no family that is decoded, or of no shape that is.
    pub fn of<R: Read + Seek>(container: &mut Container<R>) -> Result<Self, TranscodeError> {
        let transfer_syntax = container.header().transfer_syntax.clone();
        if Route::from(&transfer_syntax) != Some(Route::Decoded) || container.frame_count() == 0 {
            return Err(TranscodeError::NotDecodable);
        }
        let pixels = container.scan_identity(&ScanLimits::default())??.pixels;
        let pixels = pixels.ok_or(TranscodeError::NotDecodable)?;
        let pixels = PixelDescription {
            planar_configuration: 0,
            ..pixels
        };
        let samples =
            u64::from(pixels.rows) * u64::from(pixels.columns) * u64::from(pixels.samples_per_pixel);
        let frame_len = samples * u64::from(pixels.bits_allocated / 8);
        let geometry = FrameGeometry::of(&pixels, frame_len).ok_or(TranscodeError::NotDecodable)?;
        Ok(Self {
            family: syntax::codestream_of(transfer_syntax.as_str()),
            geometry,
            photometric: pixels.photometric_interpretation,
        })
    }

    /// Decodes frame `number` of a container here, in this process.
    ///
    /// # Errors
    /// When it is not there, damaged, or not decodable.
    pub fn decode_here<R: Read + Seek>(
        &self,
        container: &mut Container<R>,
        number: u32,
    ) -> Result<DecodedFrame, TranscodeError> {
        let codestream = container.frame(number)?;
        codec::decode(self, &codestream).map_err(|_| TranscodeError::NotDecodable)
    }
}

/// Writes the data set of a container in Explicit VR Little Endian; `decode` gives its frames, by their numbers from 1.
///
/// # Errors
/// When there is no [`Route`], or the object cannot be read; what was written must then not be used.
pub fn explicit_little<R: Read + Seek, W: Write>(
    container: &mut Container<R>,
    out: &mut W,
    decode: impl FnMut(&FrameJob, &mut Container<R>, u32) -> Result<DecodedFrame, TranscodeError>,
) -> Result<(), TranscodeError> {
    match Route::from(&container.header().transfer_syntax) {
        Some(Route::Rewritten) => rewritten(container, out),
        Some(Route::Decoded) => decoded(container, out, decode),
        None => Err(TranscodeError::NotDecodable),
    }
}

fn rewritten<R: Read + Seek, W: Write>(
    container: &mut Container<R>,
    out: &mut W,
) -> Result<(), TranscodeError> {
    let limits = ScanLimits::default();
    let ContainerHeader {
        transfer_syntax,
        original_len,
        swap_bytes,
        ..
    } = container.header().clone();
    let mut rewriter = Rewriter {
        out,
        written: Written::Explicit,
        pixel_unit: (swap_bytes > 1).then_some(usize::from(swap_bytes)),
        decoded: None,
        is_written: true,
    };
    let mut original = container.original();
    let input: Box<dyn Input + '_> = Box::new(ForwardInput(&mut original));
    let walked = open_input(input, original_len, &transfer_syntax, &limits)
        .and_then(|walker| walk(walker, &mut rewriter));
    if let Some(fault) = original.fault {
        return Err(fault.into());
    }
    walked?;
    Ok(())
}

fn decoded<R: Read + Seek, W: Write>(
    container: &mut Container<R>,
    out: &mut W,
    mut decode: impl FnMut(&FrameJob, &mut Container<R>, u32) -> Result<DecodedFrame, TranscodeError>,
) -> Result<(), TranscodeError> {
    let job = FrameJob::of(container)?;
    let n_frames = container.frame_count();
    let len = job.geometry.frame_len() * u64::from(n_frames);
    let padded = u32::try_from(len + len % 2).map_err(|_| TranscodeError::NotDecodable)?;
    let limits = bounded(&ScanLimits::default());
    let transfer_syntax = container.header().transfer_syntax.clone();
    // The header says what the frames are, so the first one is asked before it is written.
    let first = decode(&job, container, 1)?;
    let facts = first.facts;
    let head = container.head_bytes(limits.max_head_bytes)?;
    let mut rewriter = Rewriter {
        out,
        written: Written::Explicit,
        pixel_unit: None,
        decoded: Some(Decoded {
            photometric: facts.colours.photometric(job.photometric.trim()).to_owned(),
            is_loss_untold: facts.is_lossy,
        }),
        is_written: true,
    };
    let walker = open(Cursor::new(&head), &transfer_syntax, &limits)?.stop_at_pixel_data();
    let pixels = walk(walker, &mut rewriter)?.ok_or(TranscodeError::NotDecodable)?;
    rewriter.tell_loss(Tag::PIXEL_DATA)?;
    let vr = if job.geometry.bits_allocated > 8 {
        Vr::OW
    } else {
        Vr::OB
    };
    rewriter.header(Tag::PIXEL_DATA, vr, padded)?;
    rewriter.out.write_all(&first.samples)?;
    drop(first);
    for number in 2..=n_frames {
        let frame = decode(&job, container, number)?;
        if frame.facts.colours != facts.colours || frame.facts.is_lossy && !facts.is_lossy {
            return Err(TranscodeError::NotDecodable);
        }
        rewriter.out.write_all(&frame.samples)?;
    }
    if len % 2 == 1 {
        rewriter.out.write_all(&[0])?;
    }
    let tail = container.tail_bytes(limits.max_head_bytes)?;
    walk_tail(behind_pixels(&tail, pixels, 0), pixels, &limits, &mut rewriter)?;
    if rewriter.is_written {
        Ok(())
    } else {
        Err(io::Error::from(io::ErrorKind::BrokenPipe).into())
    }
}

/// Writes each element as it is walked, sequences and items with delimiters.
struct Rewriter<'a, W> {
    out: &'a mut W,
    written: Written,
    /// Bytes of one number of native Pixel Data in big endian, where the geometry tells.
    pixel_unit: Option<usize>,
    /// The frames are decoded, so the elements that describe how they were coded change or go.
    decoded: Option<Decoded>,
    /// Nothing failed to be written, also behind Pixel Data, where a walk that fails just ends.
    is_written: bool,
}

/// What is said of frames that are decoded.
struct Decoded {
    /// Photometric Interpretation.
    photometric: String,
    /// The codestream loses, and nothing has said so yet.
    is_loss_untold: bool,
}

impl<W: Write> Visitor for Rewriter<'_, W> {
    fn step(&mut self, walker: &mut AnyWalker<'_>, event: Event) -> Result<bool, ScanError> {
        let stepped = self.rewrite(walker, event);
        self.is_written &= stepped.is_ok();
        stepped.map(|()| true)
    }
}

impl<W: Write> Rewriter<'_, W> {
    fn rewrite(&mut self, walker: &mut AnyWalker<'_>, event: Event) -> Result<(), ScanError> {
        match event {
            Event::Element(element) => self.element(walker, element, pixel_data(event).is_some()),
            Event::SequenceStart(element) => {
                if element.depth == 0 {
                    self.tell_loss(element.tag)?;
                }
                self.header(element.tag, Vr::SQ, u32::MAX)
            }
            Event::SequenceEnd | Event::FragmentsEnd => self.delimiter(Tag::SEQUENCE_DELIMITER, 0),
            Event::ItemStart => self.delimiter(Tag::ITEM, u32::MAX),
            Event::ItemEnd => self.delimiter(Tag::ITEM_DELIMITER, 0),
            Event::FragmentsStart(element) => self.header(element.tag, Vr::OB, u32::MAX),
            Event::Fragment { len, .. } => {
                self.delimiter(Tag::ITEM, stated(len)?)?;
                self.copy(walker, 1)
            }
            Event::PixelDataHeader(_) | Event::End => Ok(()),
        }
    }

    fn element(
        &mut self,
        walker: &mut AnyWalker<'_>,
        element: Element,
        is_pixel_data: bool,
    ) -> Result<(), ScanError> {
        let Element { tag, vr, .. } = element;
        let len = element.len.unwrap_or(0);
        if tag.is_group_length() {
            return Ok(());
        }
        if tag == Tag::PIXEL_REPRESENTATION && element.depth == 0 && len == 2 {
            let mut value = walker.read_value(len).map_err(inflate_error)?;
            // Decides between US and SS for what follows in an implicit encoding.
            walker.set_signed(value.contains(&1));
            if element.encoding.is_big_endian() {
                value.reverse();
            }
            self.header(tag, Vr::US, 2)?;
            return Ok(self.out.write_all(&value)?);
        }
        if let Some(decoded) = &mut self.decoded
            && element.depth == 0
        {
            match tag {
                EXTENDED_OFFSET_TABLE | EXTENDED_OFFSET_TABLE_LENGTHS => return Ok(()),
                PHOTOMETRIC_INTERPRETATION => {
                    walker.read_value(u64::MAX).map_err(inflate_error)?;
                    let mut value = decoded.photometric.clone();
                    if value.len() % 2 == 1 {
                        value.push(' ');
                    }
                    self.header(tag, vr, stated(value.len() as u64)?)?;
                    return Ok(self.out.write_all(value.as_bytes())?);
                }
                PLANAR_CONFIGURATION => {
                    self.header(tag, Vr::US, 2)?;
                    return Ok(self.out.write_all(&[0, 0])?);
                }
                LOSSY_IMAGE_COMPRESSION if decoded.is_loss_untold => {
                    walker.read_value(u64::MAX).map_err(inflate_error)?;
                    return self.tell_loss(Tag(0xFFFF, 0xFFFF));
                }
                _ => self.tell_loss(tag)?,
            }
        }
        let padded = len + len % 2;
        // What a short header cannot say is of unknown representation (PS3.5 section 6.2.2).
        let is_long = padded > u64::from(u16::MAX) && !vr.has_long_header();
        let written = if is_long || !vr.is_known() { Vr::UN } else { vr };
        self.header(tag, written, stated(padded)?)?;
        let unit = match (element.encoding.is_big_endian(), self.pixel_unit) {
            (false, _) => 1,
            (true, Some(unit)) if is_pixel_data => unit,
            (true, _) => vr.number_bytes(),
        };
        self.copy(walker, unit)?;
        if len % 2 == 1 {
            let padding = if vr.is_bulk() || vr == Vr::UI { 0 } else { b' ' };
            self.out.write_all(&[padding])?;
        }
        Ok(())
    }

    /// Says that the frames have lost something, if nothing has, before an element that comes behind the place of it.
    fn tell_loss(&mut self, next: Tag) -> Result<(), ScanError> {
        let Some(decoded) = self.decoded.as_mut().filter(|decoded| decoded.is_loss_untold) else {
            return Ok(());
        };
        if (next.0, next.1) < (LOSSY_IMAGE_COMPRESSION.0, LOSSY_IMAGE_COMPRESSION.1) {
            return Ok(());
        }
        decoded.is_loss_untold = false;
        self.header(LOSSY_IMAGE_COMPRESSION, Vr::CS, 2)?;
        Ok(self.out.write_all(b"01")?)
    }

    /// Copies the current value, the bytes of each number turned round.
    fn copy(&mut self, walker: &mut AnyWalker<'_>, unit: usize) -> Result<(), ScanError> {
        let mut piece = vec![0; PIECE_BYTES];
        let mut n_held = 0;
        loop {
            let n_read = walker.read_some(&mut piece[n_held..]).map_err(inflate_error)?;
            n_held += n_read;
            if n_held < piece.len() && n_read > 0 {
                continue;
            }
            let held = &mut piece[..n_held];
            if unit > 1 {
                held.chunks_exact_mut(unit).for_each(<[u8]>::reverse);
            }
            self.out.write_all(held)?;
            if n_read == 0 {
                return Ok(());
            }
            n_held = 0;
        }
    }

    fn header(&mut self, tag: Tag, vr: Vr, len: u32) -> Result<(), ScanError> {
        let mut header = Vec::with_capacity(12);
        header.extend_from_slice(&tag.0.to_le_bytes());
        header.extend_from_slice(&tag.1.to_le_bytes());
        if self.written == Written::Implicit {
            header.extend_from_slice(&len.to_le_bytes());
            return Ok(self.out.write_all(&header)?);
        }
        header.extend_from_slice(&vr.0);
        if vr.has_long_header() {
            header.extend_from_slice(&[0, 0]);
            header.extend_from_slice(&len.to_le_bytes());
        } else {
            let len = u16::try_from(len).map_err(|_| io::Error::from(io::ErrorKind::InvalidData))?;
            header.extend_from_slice(&len.to_le_bytes());
        }
        Ok(self.out.write_all(&header)?)
    }

    fn delimiter(&mut self, tag: Tag, len: u32) -> Result<(), ScanError> {
        let mut header = Vec::with_capacity(8);
        header.extend_from_slice(&tag.0.to_le_bytes());
        header.extend_from_slice(&tag.1.to_le_bytes());
        header.extend_from_slice(&len.to_le_bytes());
        Ok(self.out.write_all(&header)?)
    }
}

fn stated(len: u64) -> Result<u32, ScanError> {
    let too_long = || io::Error::from(io::ErrorKind::InvalidData);
    Ok(u32::try_from(len)
        .ok()
        .filter(|len| *len < u32::MAX)
        .ok_or_else(too_long)?)
}

#[cfg(test)]
mod tests {
    use sha2::{Digest, Sha256};
    use tancho_domain::dicom::TransferSyntaxUid;

    use super::*;
    use crate::compare::same_elements;
    use crate::container::encode;
    use crate::htj2k::{self, ImageShape};
    use crate::scan::scan;
    use crate::synthetic::{CtSlice, ElementWriter};

    fn contained(transfer_syntax: &str, data_set: &[u8]) -> Container<Cursor<Vec<u8>>> {
        let transfer_syntax = TransferSyntaxUid::parse(transfer_syntax).unwrap();
        let mut src = Cursor::new(data_set);
        let scan = scan(&mut src, &transfer_syntax, &ScanLimits::default()).unwrap();
        let sha256 = Sha256::digest(data_set).into();
        let mut out = Cursor::new(Vec::new());
        encode(&mut src, &scan, &transfer_syntax, &sha256, &mut out).unwrap();
        Container::open(out).unwrap()
    }

    /// A slice with elements of several sizes in front of the pixels, and one behind.
    fn written(transfer_syntax: &str) -> Vec<u8> {
        let mut writer = ElementWriter::new(&TransferSyntaxUid::parse(transfer_syntax).unwrap());
        let slice = CtSlice::default();
        slice.write_head(&mut writer).unwrap();
        // US or SS, by Pixel Representation.
        writer.ss(Tag(0x0028, 0x1101), &[256, -200, 16]);
        writer.begin_sequence(Tag(0x0040, 0x0275)).begin_item();
        writer.ascii(Tag(0x0040, 0x0009), Vr::SH, "S1");
        writer.end_item().end_sequence();
        writer.pixels_i16(&slice.samples);
        writer.ascii(Tag(0x7FE1, 0x0010), Vr::LO, "MAKER");
        writer.finish()
    }

    #[test]
    fn native_objects_are_written_as_if_they_had_been_explicit_little_endian() {
        let explicit = written(syntax::EXPLICIT_LITTLE);
        for transfer_syntax in [
            syntax::EXPLICIT_LITTLE,
            syntax::IMPLICIT_LITTLE,
            syntax::EXPLICIT_BIG,
        ] {
            let mut container = contained(transfer_syntax, &written(transfer_syntax));
            let mut out = Vec::new();
            explicit_little(&mut container, &mut out, FrameJob::decode_here).unwrap();
            assert_eq!(out, explicit, "{transfer_syntax}");
        }
    }

    #[test]
    fn native_little_endian_objects_go_between_explicit_and_implicit() {
        let pair = [syntax::EXPLICIT_LITTLE, syntax::IMPLICIT_LITTLE];
        let [explicit, implicit] = pair.map(written);
        for (from, source, expected) in [(pair[0], &explicit, &implicit), (pair[1], &implicit, &explicit)] {
            let (written, other) = Written::other_than(from).unwrap();
            assert!(pair.contains(&other) && other != from);
            let mut out = Vec::new();
            let uid = TransferSyntaxUid::parse(from).unwrap();
            rewrite_native(Cursor::new(source), &uid, written, &mut out).unwrap();
            assert_eq!(&out, expected, "{from}");
            let cut = Cursor::new(&source[..source.len() - 3]);
            assert!(
                rewrite_native(cut, &uid, written, &mut Vec::new()).is_err(),
                "{from}"
            );
        }
        assert_eq!(Written::other_than(syntax::EXPLICIT_BIG), None);
        assert_eq!(Written::other_than(syntax::RLE), None);
    }

    /// A slice as data set, in Explicit VR Little Endian and in HTJ2K.
    fn native_and_htj2k(slice: &CtSlice) -> (Vec<u8>, Vec<u8>) {
        let explicit = TransferSyntaxUid::parse(syntax::EXPLICIT_LITTLE).unwrap();
        let native = slice.data_set(&explicit).unwrap();
        let codestream = contained(syntax::EXPLICIT_LITTLE, &native)
            .codestream(1)
            .unwrap()
            .unwrap();
        let htj2k = TransferSyntaxUid::parse(syntax::HTJ2K_LOSSLESS_RPCL).unwrap();
        let mut writer = ElementWriter::new(&htj2k);
        slice.write_head(&mut writer).unwrap();
        writer.fragments(&[], &[&codestream]);
        (native, writer.finish())
    }

    #[test]
    fn htj2k_objects_are_decoded() {
        let slice = CtSlice {
            rows: 48,
            columns: 40,
            samples: (0..48 * 40)
                .map(|n: i32| (n % 40 * 13 - n / 40 * 7) as i16)
                .collect(),
            ..CtSlice::default()
        };
        let explicit = TransferSyntaxUid::parse(syntax::EXPLICIT_LITTLE).unwrap();
        let (native, coded) = native_and_htj2k(&slice);
        let mut container = contained(syntax::HTJ2K_LOSSLESS_RPCL, &coded);
        let mut out = Vec::new();
        let mut n_decoded = 0;
        let decode = |job: &FrameJob, container: &mut Container<_>, number| {
            n_decoded += 1;
            job.decode_here(container, number)
        };
        explicit_little(&mut container, &mut out, decode).unwrap();
        assert_eq!(n_decoded, 1);
        assert_eq!(out, native);
        let job = FrameJob::of(&mut container).unwrap();
        let frame = job.decode_here(&mut container, 1).unwrap().samples;
        assert_eq!(frame.len() as u64, job.geometry.frame_len());
        assert!(native.ends_with(&frame));
        let limits = ScanLimits::default();
        let (mut a, mut b) = (Cursor::new(&out), Cursor::new(&native));
        assert!(same_elements(&mut a, &explicit, &mut b, &explicit, &limits).unwrap());
    }

    #[test]
    fn a_codestream_may_state_more_bits_than_are_stored() {
        let slice = CtSlice {
            rows: 48,
            columns: 40,
            samples: (0..48 * 40).map(|n: i32| (n % 40 - 20) as i16).collect(),
            ..CtSlice::default()
        };
        let (native, coded) = native_and_htj2k(&slice);
        let with_bits = |bits_stored: u8| {
            let mut data_set = coded.clone();
            for (element, value) in [(0x01, bits_stored), (0x02, bits_stored - 1)] {
                let header = [0x28, 0, element, 0x01, b'U', b'S', 2, 0];
                let at = data_set.windows(8).position(|window| window == header).unwrap();
                data_set[at + 8] = value;
            }
            contained(syntax::HTJ2K_LOSSLESS_RPCL, &data_set)
        };
        let mut container = with_bits(6);
        let job = FrameJob::of(&mut container).unwrap();
        let frame = job.decode_here(&mut container, 1).unwrap();
        assert!(native.ends_with(&frame.samples));
        // 20 does not fit into five bits with a sign.
        let mut container = with_bits(5);
        let job = FrameJob::of(&mut container).unwrap();
        let refused = job.decode_here(&mut container, 1);
        assert!(matches!(refused, Err(TranscodeError::NotDecodable)));
    }

    /// A picture of 64 by 64 colours in HTJ2K, with or without the reversible colour transform.
    fn coloured(photometric: &str, is_transformed: bool) -> Container<Cursor<Vec<u8>>> {
        let shape = ImageShape {
            width: 64,
            height: 64,
            components: 3,
            precision: 8,
            signed: false,
        };
        let samples: Vec<i32> = (0..64 * 64 * 3).map(|n| n * 7 % 251).collect();
        let mut codestream = htj2k::encode(&shape, &samples).unwrap().bytes;
        // The multiple component transformation of COD (T.800 table A.14).
        let cod = codestream
            .windows(2)
            .position(|pair| pair == [0xFF, 0x52])
            .unwrap();
        assert_eq!(codestream[cod + 8], 1);
        codestream[cod + 8] = u8::from(is_transformed);
        let slice = CtSlice::default();
        let mut writer = ElementWriter::new(&TransferSyntaxUid::parse(syntax::HTJ2K_LOSSLESS_RPCL).unwrap());
        writer
            .ascii(Tag::SOP_CLASS_UID, Vr::UI, "1.2.840.10008.5.1.4.1.1.7")
            .ascii(Tag::SOP_INSTANCE_UID, Vr::UI, &slice.sop_instance_uid)
            .ascii(Tag::STUDY_INSTANCE_UID, Vr::UI, &slice.study_instance_uid)
            .ascii(Tag::SERIES_INSTANCE_UID, Vr::UI, &slice.series_instance_uid)
            .us(Tag(0x0028, 0x0002), &[3])
            .ascii(PHOTOMETRIC_INTERPRETATION, Vr::CS, photometric)
            .us(PLANAR_CONFIGURATION, &[0])
            .us(Tag(0x0028, 0x0010), &[64])
            .us(Tag(0x0028, 0x0011), &[64])
            .us(Tag(0x0028, 0x0100), &[8])
            .us(Tag(0x0028, 0x0101), &[8])
            .us(Tag(0x0028, 0x0102), &[7])
            .us(Tag::PIXEL_REPRESENTATION, &[0])
            .fragments(&[], &[&codestream]);
        contained(syntax::HTJ2K_LOSSLESS_RPCL, &writer.finish())
    }

    #[test]
    fn colours_are_those_of_the_header_or_refused() {
        for (photometric, is_transformed, written) in [
            ("YBR_RCT", true, Some("RGB ")),
            ("RGB", true, Some("RGB ")),
            ("RGB", false, Some("RGB ")),
            ("YBR_FULL", false, Some("YBR_FULL")),
            ("YBR_RCT", false, None),
            ("YBR_FULL", true, None),
            ("YBR_ICT", true, None),
            ("YBR_FULL_422", false, None),
        ] {
            let mut container = coloured(photometric, is_transformed);
            let mut out = Vec::new();
            let outcome = explicit_little(&mut container, &mut out, FrameJob::decode_here);
            let Some(written) = written else {
                assert!(
                    matches!(outcome, Err(TranscodeError::NotDecodable)),
                    "{photometric} {is_transformed}"
                );
                continue;
            };
            outcome.unwrap();
            let header = [0x28, 0, 0x04, 0, b'C', b'S', written.len() as u8, 0];
            let at = out.windows(8).position(|window| window == header).unwrap();
            assert_eq!(&out[at + 8..at + 8 + written.len()], written.as_bytes());
        }
    }

    #[test]
    fn other_codestreams_are_refused() {
        let jls: &[u8] = &[
            0xFF, 0xD8, 0xFF, 0xF7, 0, 11, 16, 0, 8, 0, 8, 1, 1, 0x11, 0, 0xFF, 0xD9, 0,
        ];
        let jpeg_ls = "1.2.840.10008.1.2.4.80";
        let mut writer = ElementWriter::new(&TransferSyntaxUid::parse(jpeg_ls).unwrap());
        CtSlice::default().write_head(&mut writer).unwrap();
        writer.fragments(&[], &[jls]);
        let mut container = contained(jpeg_ls, &writer.finish());
        let refused = explicit_little(&mut container, &mut io::sink(), FrameJob::decode_here);
        assert!(matches!(refused, Err(TranscodeError::NotDecodable)));
        for link in ["1.2.840.10008.1.2.4.94", "1.2.840.10008.1.2.4.205", "1.2.3"] {
            assert_eq!(
                Route::from(&TransferSyntaxUid::parse(link).unwrap()),
                None,
                "{link}"
            );
        }
    }
}
