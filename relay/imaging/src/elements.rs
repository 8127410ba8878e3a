//! Walks the elements of an object in a container, without its frames: what metadata, bulk data and transcoding share.

use std::io::{Cursor, Read, Seek};

use crate::container::{Container, ContainerError};
use crate::element::Tag;
use crate::limits::ScanLimits;
use crate::scan::ScanError;
use crate::walk::{
    AnyWalker, Element, Event, ForwardInput, Input, SeekInput, Source, Walker, inflate_error, open,
    open_input,
};

/// How much of a container is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Extent {
    /// All of it, with the elements behind Pixel Data.
    Whole,
    /// Its head, while the rest is on its way.
    Head,
}

/// Why the elements of an object cannot be given.
#[derive(Debug, thiserror::Error)]
pub enum ElementsError {
    /// They cannot be walked, or are too many or too long.
    #[error(transparent)]
    Scan(#[from] ScanError),
    /// The container cannot be read.
    #[error(transparent)]
    Container(#[from] ContainerError),
}

/// Takes the steps of a walk; whether it wants more.
pub(crate) trait Visitor {
    fn step(&mut self, walker: &mut AnyWalker<'_>, event: Event) -> Result<bool, ScanError>;
}

/// Walks to the end, to Pixel Data when the walker stops there, or as far as the visitor wants; gives the header of
/// Pixel Data the walk stopped at. What cannot be walked behind Pixel Data is left out.
pub(crate) fn walk(
    mut walker: AnyWalker<'_>,
    visitor: &mut dyn Visitor,
) -> Result<Option<Element>, ScanError> {
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
pub(crate) fn pixel_data(event: Event) -> Option<Element> {
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

/// Walks the object in a container: its head, then what lies behind the frames.
pub(crate) fn walk_container<R: Read + Seek>(
    container: &mut Container<R>,
    extent: Extent,
    limits: &ScanLimits,
    visitor: &mut dyn Visitor,
) -> Result<(), ElementsError> {
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
    walk_tail(behind_pixels(&tail, pixels, frames_len), pixels, &limits, visitor)
}

/// Walks the elements behind Pixel Data. What cannot be walked there is kept in the original and left out.
pub(crate) fn walk_tail(
    tail: &[u8],
    pixels: Element,
    limits: &ScanLimits,
    visitor: &mut dyn Visitor,
) -> Result<(), ElementsError> {
    let (input, total) = SeekInput::new(Cursor::new(tail)).map_err(ScanError::Io)?;
    let input: Box<dyn Input + '_> = Box::new(input);
    let walker = Walker::new(Source::new(input, Some(total)), pixels.encoding, limits).after_pixel_data();
    // What cannot be walked here is kept in the original and left out of the model.
    match walk(walker, visitor) {
        Ok(_) | Err(_) => Ok(()),
    }
}

/// What is left of `tail` after the value of Pixel Data, of which the frames took `frames_len` bytes.
pub(crate) fn behind_pixels(tail: &[u8], pixels: Element, frames_len: u64) -> &[u8] {
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
pub(crate) fn bounded(limits: &ScanLimits) -> ScanLimits {
    ScanLimits {
        max_inflated_bytes: limits.max_inflated_bytes.min(limits.max_value_bytes),
        ..limits.clone()
    }
}
