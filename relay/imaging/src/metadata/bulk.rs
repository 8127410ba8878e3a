//! Finds the value that an address of metadata names.

use super::build::Place;
use super::{append_fragment, little_endian_value};
use crate::elements::{Visitor, pixel_data};
use crate::scan::ScanError;
use crate::walk::{AnyWalker, Event};

pub(super) struct BulkFinder<'a> {
    path: &'a str,
    bytes_max: u64,
    place: Place,
    /// Fragments of the value, while the walk is in them.
    fragments: Option<Vec<u8>>,
    pub(super) found: Option<Vec<u8>>,
}

impl<'a> BulkFinder<'a> {
    pub(super) fn new(path: &'a str, bytes_max: u64) -> Self {
        Self {
            path,
            bytes_max,
            place: Place::default(),
            fragments: None,
            found: None,
        }
    }
}

impl Visitor for BulkFinder<'_> {
    fn step(&mut self, walker: &mut AnyWalker<'_>, event: Event) -> Result<bool, ScanError> {
        if pixel_data(event).is_some() {
            return Ok(true);
        }
        match event {
            Event::Element(element)
                if element.vr.is_bulk() && self.place.path_of(element.tag) == self.path =>
            {
                self.found = Some(little_endian_value(walker, element)?);
                return Ok(false);
            }
            Event::FragmentsStart(element) if self.place.path_of(element.tag) == self.path => {
                self.fragments = Some(Vec::new());
            }
            Event::Fragment { len, .. } => {
                if let Some(fragments) = &mut self.fragments {
                    if fragments.len() as u64 + len > self.bytes_max {
                        return Ok(false);
                    }
                    append_fragment(walker, fragments, len)?;
                }
            }
            Event::FragmentsEnd => {
                self.found = self.fragments.take();
                return Ok(self.found.is_none());
            }
            Event::SequenceStart(element) => self.place.enter(element.tag),
            Event::ItemStart => self.place.next_item(),
            Event::SequenceEnd => self.place.leave(),
            _ => {}
        }
        Ok(true)
    }
}
