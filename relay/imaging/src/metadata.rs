//! The DICOM JSON model (PS3.18 annex F) of an object, for WADO-RS metadata.
//!
//! Text is decoded with the object's character sets and leaves as UTF-8. Long binary values are left out
//! and named by an address below the instance; [`bulk_value`] finds them again. Pixel Data is only ever named.

mod build;
mod bulk;

use std::io::{self, Cursor, Read, Seek};

use serde_json::Value;
use tancho_domain::dicom::TransferSyntaxUid;

use crate::container::Container;
pub use crate::elements::{ElementsError, Extent};
use crate::elements::{Visitor as _, bounded, walk, walk_container};
use crate::limits::ScanLimits;
use crate::scan::ScanError;
use crate::walk::{AnyWalker, Element, Event, inflate_error, open};
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

/// The DICOM JSON model of the elements of a whole data set `src` that are in no sequence, before its pixels. Binary values
/// and those longer than `value_bytes_max` are left out, so that memory does not grow with the object.
///
/// # Errors
/// When the bytes cannot be walked.
pub fn top_level_json<R: Read + Seek>(
    src: R,
    transfer_syntax: &TransferSyntaxUid,
    value_bytes_max: u64,
) -> Result<Value, ScanError> {
    let options = MetadataOptions::default();
    let mut builder = Builder::new(&options);
    let limits = bounded(&options.limits);
    let mut walker = open(src, transfer_syntax, &limits)?.stop_at_pixel_data();
    loop {
        let event = walker.step().map_err(inflate_error)?;
        match event {
            Event::End | Event::PixelDataHeader(_) => return Ok(builder.finish()),
            Event::Element(element)
                if element.depth == 0
                    && !element.vr.is_bulk()
                    && element.len.is_some_and(|len| len <= value_bytes_max) =>
            {
                builder.step(&mut walker, event)?;
            }
            _ => {}
        }
    }
}

/// The DICOM JSON model of the object in a container. Memory is bounded by the limits, not by the object.
///
/// # Errors
/// When the object cannot be walked, or a section differs from its digest.
pub fn of_container<R: Read + Seek>(
    container: &mut Container<R>,
    extent: Extent,
    options: &MetadataOptions,
) -> Result<Value, ElementsError> {
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
) -> Result<Option<Vec<u8>>, ElementsError> {
    let mut finder = BulkFinder::new(path, limits.max_value_bytes);
    walk_container(container, Extent::Whole, limits, &mut finder)?;
    Ok(finder.found)
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
    let stated = u32::try_from(len).map_err(|_| io::Error::from(io::ErrorKind::InvalidData))?;
    out.extend_from_slice(&[0xFE, 0xFF, 0x00, 0xE0]);
    out.extend_from_slice(&stated.to_le_bytes());
    out.extend_from_slice(&walker.read_value(u64::MAX).map_err(inflate_error)?);
    Ok(())
}

#[cfg(test)]
mod tests;
