//! The DICOM JSON model (PS3.18 annex F) of an object, for WADO-RS metadata.
//!
//! Text is decoded with the object's character sets and leaves as UTF-8. Long binary values are left out
//! and named by an address below the instance; [`bulk_value`] finds them again. Pixel Data is only ever named.

mod build;
mod bulk;

use std::io::{self, Cursor, Read, Seek};

use serde_json::Value;
use tancho_domain::dicom::TransferSyntaxUid;

use crate::container::{Container, ContainerError};
use crate::element::Tag;
use crate::limits::ScanLimits;
use crate::scan::ScanError;
use crate::walk::{
    AnyWalker, Element, Event, ForwardInput, Input, SeekInput, Source, Walker, inflate_error, open,
    open_input,
};
use build::Builder;
use bulk::BulkFinder;

/// How metadata is made.
#[derive(Debug, Clone)]
pub struct MetadataOptions {
    /// Address of the instance, without a slash at its end; bulk data is below it as
    /// `/bulkdata/{path}`. Without one, long binary values are left out.
    pub bulk_data_base_url: Option<String>,
    /// Longest binary value carried inline, in bytes.
    pub inline_bytes_max: u64,
    /// Limits of the walk. All values carried inline are together no longer than `max_head_bytes`.
    pub limits: ScanLimits,
}

impl Default for MetadataOptions {
    fn default() -> Self {
        Self {
            bulk_data_base_url: None,
            inline_bytes_max: 1024,
            limits: ScanLimits::default(),
        }
    }
}

/// How much of a container is there to be described.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Extent {
    /// All of it, with the elements behind Pixel Data.
    Whole,
    /// Its head, while the rest is on its way.
    Head,
}

/// Why an object cannot be described.
#[derive(Debug, thiserror::Error)]
pub enum MetadataError {
    /// Its elements cannot be walked, or are too many or too long.
    #[error(transparent)]
    Scan(#[from] ScanError),
    /// Its container cannot be read.
    #[error(transparent)]
    Container(#[from] ContainerError),
}

/// The DICOM JSON model of the elements in `head`: the bytes before the first frame, or a data set without frames.
///
/// # Errors
/// When the bytes cannot be walked.
pub fn dicom_json(
    head: &[u8],
    transfer_syntax: &TransferSyntaxUid,
    options: &MetadataOptions,
) -> Result<Value, ScanError> {
    let mut builder = Builder::new(options);
    let limits = bounded(&options.limits);
    let walker = open(Cursor::new(head), transfer_syntax, &limits)?.stop_at_pixel_data();
    walk(walker, &mut builder)?;
    Ok(builder.finish())
}

/// The DICOM JSON model of the object in a container. Memory is bounded by the limits, not by the object.
///
/// # Errors
/// When the object cannot be walked, or a section differs from its digest.
pub fn of_container<R: Read + Seek>(
    container: &mut Container<R>,
    extent: Extent,
    options: &MetadataOptions,
) -> Result<Value, MetadataError> {
    let mut builder = Builder::new(options);
    walk_container(container, extent, &options.limits, &mut builder)?;
    Ok(builder.finish())
}

/// The binary value at `path`, as metadata names it: tags and item numbers from 1, joined by full stops
/// (`00291010`, `00081140.1.00291010`), little endian whatever it came in. `None` when there is none; Pixel Data of the
/// object itself is none: it is given frame by frame.
///
/// # Errors
/// When the object cannot be walked as far, or a section differs from its digest.
pub fn bulk_value<R: Read + Seek>(
    container: &mut Container<R>,
    path: &str,
    limits: &ScanLimits,
) -> Result<Option<Vec<u8>>, MetadataError> {
    let mut finder = BulkFinder::new(path, limits.max_value_bytes);
    walk_container(container, Extent::Whole, limits, &mut finder)?;
    Ok(finder.found)
}

/// Takes the steps of a walk; whether it wants more.
trait Visitor {
    fn step(&mut self, walker: &mut AnyWalker<'_>, event: Event) -> Result<bool, ScanError>;
}

/// Walks to the end, to Pixel Data when the walker stops there, or as far as the visitor wants; gives the header of
/// Pixel Data the walk stopped at. What cannot be walked behind Pixel Data is left out.
fn walk(mut walker: AnyWalker<'_>, visitor: &mut dyn Visitor) -> Result<Option<Element>, ScanError> {
    let mut is_behind_pixels = false;
    loop {
        let event = match walker.step() {
            Ok(Event::End) => return Ok(None),
            Ok(event) => event,
            Err(_) if is_behind_pixels => return Ok(None),
            Err(error) => return Err(inflate_error(error)),
        };
        is_behind_pixels |= pixel_data(event).is_some();
        if !visitor.step(&mut walker, event)? {
            return Ok(None);
        }
        if let Event::PixelDataHeader(pixels) = event {
            return Ok(Some(pixels));
        }
    }
}

/// The element, when the event is the object's own Pixel Data.
fn pixel_data(event: Event) -> Option<Element> {
    match event {
        Event::PixelDataHeader(element) => Some(element),
        Event::Element(element) | Event::FragmentsStart(element)
            if element.depth == 0 && element.tag.is_pixel_data() =>
        {
            Some(element)
        }
        _ => None,
    }
}

fn walk_container<R: Read + Seek>(
    container: &mut Container<R>,
    extent: Extent,
    limits: &ScanLimits,
    visitor: &mut dyn Visitor,
) -> Result<(), MetadataError> {
    let transfer_syntax = container.header().transfer_syntax.clone();
    let limits = bounded(limits);
    if !container.header().has_head() {
        let total = container.header().original_len;
        let mut original = container.original();
        let input: Box<dyn Input + '_> = Box::new(ForwardInput(&mut original));
        let walked =
            open_input(input, total, &transfer_syntax, &limits).and_then(|walker| walk(walker, visitor));
        return match original.fault {
            Some(fault) => Err(fault.into()),
            None => Ok(walked.map(drop)?),
        };
    }
    let head = container.head_bytes(limits.max_head_bytes)?;
    let walker = open(Cursor::new(&head), &transfer_syntax, &limits)?.stop_at_pixel_data();
    let Some(pixels) = walk(walker, visitor)?.filter(|_| extent == Extent::Whole) else {
        return Ok(());
    };
    let frames = container
        .header()
        .sections
        .iter()
        .filter(|section| section.frame != 0);
    let frames_len = frames.map(|section| section.expanded_len).sum();
    let tail = container.tail_bytes(limits.max_head_bytes)?;
    let (input, total) =
        SeekInput::new(Cursor::new(behind_pixels(&tail, pixels, frames_len))).map_err(ScanError::Io)?;
    let input: Box<dyn Input + '_> = Box::new(input);
    let walker = Walker::new(Source::new(input, Some(total)), pixels.encoding, &limits).after_pixel_data();
    // What cannot be walked here is kept in the original and left out of the model.
    match walk(walker, visitor) {
        Ok(_) | Err(_) => Ok(()),
    }
}

/// What is left of `tail` after the value of Pixel Data, of which the frames took `frames_len` bytes.
fn behind_pixels(tail: &[u8], pixels: Element, frames_len: u64) -> &[u8] {
    if let Some(len) = pixels.len {
        let padding = usize::try_from(len.saturating_sub(frames_len)).unwrap_or(usize::MAX);
        return tail.get(padding..).unwrap_or_default();
    }
    // Fragments that belong to no frame, then the delimiter.
    let mut rest = tail;
    while let Some((header, after)) = rest.split_first_chunk::<8>() {
        let len = u32::from_le_bytes([header[4], header[5], header[6], header[7]]);
        let tag = Tag(
            u16::from_le_bytes([header[0], header[1]]),
            u16::from_le_bytes([header[2], header[3]]),
        );
        match tag {
            Tag::ITEM => rest = after.get(len as usize..).unwrap_or_default(),
            Tag::SEQUENCE_DELIMITER => return after,
            _ => break,
        }
    }
    rest
}

/// What inflates is looked through for each answer, so no more than one long value of it.
fn bounded(limits: &ScanLimits) -> ScanLimits {
    ScanLimits {
        max_inflated_bytes: limits.max_inflated_bytes.min(limits.max_value_bytes),
        ..limits.clone()
    }
}

/// Reads the rest of the current value, the bytes of each number in little endian order.
fn little_endian_value(walker: &mut AnyWalker<'_>, element: Element) -> Result<Vec<u8>, ScanError> {
    let mut value = walker.read_value(u64::MAX).map_err(inflate_error)?;
    if element.encoding.is_big_endian() {
        let unit = element.vr.number_bytes();
        value.chunks_exact_mut(unit).for_each(<[u8]>::reverse);
    }
    Ok(value)
}

/// A fragment with its item header, as compressed values that are not the object's frames are carried.
fn append_fragment(walker: &mut AnyWalker<'_>, out: &mut Vec<u8>, len: u64) -> Result<(), ScanError> {
    let stated = u32::try_from(len).map_err(|_| ScanError::Io(io::ErrorKind::InvalidData.into()))?;
    out.extend_from_slice(&[0xFE, 0xFF, 0x00, 0xE0]);
    out.extend_from_slice(&stated.to_le_bytes());
    out.extend_from_slice(&walker.read_value(u64::MAX).map_err(inflate_error)?);
    Ok(())
}

#[cfg(test)]
mod tests;
