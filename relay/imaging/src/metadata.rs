//! The DICOM JSON model (PS3.18 annex F) of an object's head, for WADO-RS metadata.
//!
//! Text is decoded with the object's character sets and leaves as UTF-8. Long binary values are left out
//! and named by an address below the instance; [`bulk_value`] finds them again. Pixel data is never here.

mod build;

use std::io::Cursor;

use serde_json::Value;
use tancho_domain::dicom::TransferSyntaxUid;

use crate::element::Tag;
use crate::limits::ScanLimits;
use crate::scan::ScanError;
use crate::walk::{AnyWalker, Event, inflate_error, open};
use build::Builder;

/// How metadata is made.
#[derive(Debug, Clone)]
pub struct MetadataOptions {
    /// Address of the instance, without a slash at its end; bulk data is below it as
    /// `/bulkdata/{path}`. Without one, long binary values are left out.
    pub bulk_data_base_url: Option<String>,
    /// Longest binary value carried inline, in bytes.
    pub inline_bytes_max: u64,
    /// Limits of the walk.
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

/// The DICOM JSON model of the elements in `head`: the bytes before the first frame, or a whole data set.
///
/// # Errors
/// When the bytes cannot be walked.
pub fn dicom_json(
    head: &[u8],
    transfer_syntax: &TransferSyntaxUid,
    options: &MetadataOptions,
) -> Result<Value, ScanError> {
    let mut walker = open_head(head, transfer_syntax, &options.limits)?;
    let mut builder = Builder::new(options);
    loop {
        match walker.step().map_err(inflate_error)? {
            Event::End | Event::PixelDataHeader(_) => return Ok(builder.finish()),
            Event::Element(element) => {
                if builder.wants_value(element) {
                    let value = walker.read_value(u64::MAX).map_err(inflate_error)?;
                    if element.tag == Tag::PIXEL_REPRESENTATION && element.depth == 0 {
                        walker.set_signed(value.contains(&1));
                    }
                    builder.element(element, &value);
                } else {
                    builder.left_out(element);
                }
            }
            Event::SequenceStart(element) => builder.sequence_start(element.tag),
            Event::ItemStart => builder.item_start(),
            Event::ItemEnd => builder.item_end(),
            Event::SequenceEnd => builder.sequence_end(),
            Event::FragmentsStart(_) | Event::Fragment { .. } | Event::FragmentsEnd => {}
        }
    }
}

/// The binary value at `path`, as metadata names it: tags and item numbers from 1, joined by full stops
/// (`00291010`, `00081140.1.00291010`), little endian whatever it came in. `None` when there is none.
///
/// # Errors
/// When the bytes cannot be walked.
pub fn bulk_value(
    head: &[u8],
    transfer_syntax: &TransferSyntaxUid,
    path: &str,
    limits: &ScanLimits,
) -> Result<Option<Vec<u8>>, ScanError> {
    let mut walker = open_head(head, transfer_syntax, limits)?;
    let mut place = build::Place::default();
    loop {
        match walker.step().map_err(inflate_error)? {
            Event::End | Event::PixelDataHeader(_) => return Ok(None),
            Event::Element(element) if element.vr.is_bulk() && place.path_of(element.tag) == path => {
                let mut value = walker.read_value(u64::MAX).map_err(inflate_error)?;
                if element.encoding.is_big_endian() {
                    value
                        .chunks_exact_mut(element.vr.number_bytes())
                        .for_each(<[u8]>::reverse);
                }
                return Ok(Some(value));
            }
            Event::SequenceStart(element) => place.enter(element.tag),
            Event::ItemStart => place.next_item(),
            Event::SequenceEnd => place.leave(),
            _ => {}
        }
    }
}

fn open_head<'a>(
    head: &'a [u8],
    transfer_syntax: &TransferSyntaxUid,
    limits: &ScanLimits,
) -> Result<AnyWalker<'a>, ScanError> {
    // What inflates is held as JSON, so the head limit holds for it too.
    let limits = ScanLimits {
        max_inflated_bytes: limits.max_head_bytes,
        ..limits.clone()
    };
    Ok(open(Cursor::new(head), transfer_syntax, &limits)?.stop_at_pixel_data())
}

#[cfg(test)]
mod tests;
