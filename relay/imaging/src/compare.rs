//! Whether two data sets are one and the same object, written differently.
//!
//! Many senders re-encode sequence lengths; such a copy is no conflict. Elements are compared in order,
//! without length forms, group lengths and padding. Both data sets are streamed; nothing is held.

use std::io::{Read, Seek};

use tancho_domain::dicom::TransferSyntaxUid;

use crate::element::{Tag, Vr};
use crate::limits::ScanLimits;
use crate::scan::ScanError;
use crate::walk::{AnyWalker, Element, Event, inflate_error, open};

/// Compares two data sets element by element.
///
/// # Errors
/// When one of them cannot be walked.
pub fn same_elements<A: Read + Seek, B: Read + Seek>(
    a: &mut A,
    ts_a: &TransferSyntaxUid,
    b: &mut B,
    ts_b: &TransferSyntaxUid,
    limits: &ScanLimits,
) -> Result<bool, ScanError> {
    let mut a = open(a, ts_a, limits)?;
    let mut b = open(b, ts_b, limits)?;
    same(&mut a, &mut b).map_err(inflate_error)
}

fn same(a: &mut AnyWalker<'_>, b: &mut AnyWalker<'_>) -> Result<bool, ScanError> {
    loop {
        let equal = match (meaningful(a)?, meaningful(b)?) {
            (Event::End, Event::End) => return Ok(true),
            (Event::Element(of_a), Event::Element(of_b)) => {
                of_a.tag == of_b.tag && same_value(a, of_a, b, of_b)?
            }
            (Event::SequenceStart(of_a), Event::SequenceStart(of_b))
            | (Event::FragmentsStart(of_a), Event::FragmentsStart(of_b)) => of_a.tag == of_b.tag,
            (Event::Fragment { .. }, Event::Fragment { .. }) => same_bytes(a, b, 1, 1)?,
            (Event::SequenceEnd, Event::SequenceEnd)
            | (Event::ItemStart, Event::ItemStart)
            | (Event::ItemEnd, Event::ItemEnd)
            | (Event::FragmentsEnd, Event::FragmentsEnd) => true,
            _ => false,
        };
        if !equal {
            return Ok(false);
        }
    }
}

/// The next step that says something about the object.
fn meaningful(walker: &mut AnyWalker<'_>) -> Result<Event, ScanError> {
    loop {
        match walker.step()? {
            Event::Element(element)
                if element.tag.is_group_length() || element.tag == Tag::TRAILING_PADDING => {}
            event => return Ok(event),
        }
    }
}

fn same_value(
    a: &mut AnyWalker<'_>,
    of_a: Element,
    b: &mut AnyWalker<'_>,
    of_b: Element,
) -> Result<bool, ScanError> {
    let vr = if of_a.encoding.is_explicit() {
        of_a.vr
    } else {
        of_b.vr
    };
    let swap = of_a.encoding.is_big_endian() != of_b.encoding.is_big_endian();
    let unit = if swap { vr.number_bytes() } else { 1 };
    let text = vr.uses_character_sets() || vr.is_multi_valued_text() || vr == Vr::UR;
    same_bytes(a, b, unit, if text { usize::MAX } else { 1 })
}

/// Compares the current values, reversing each `unit` bytes of the second; at most `padding_max` bytes of
/// padding may be on one side only.
fn same_bytes(
    a: &mut AnyWalker<'_>,
    b: &mut AnyWalker<'_>,
    unit: usize,
    padding_max: usize,
) -> Result<bool, ScanError> {
    let (mut piece_a, mut piece_b) = ([0u8; 4096], [0u8; 4096]);
    loop {
        let len_a = fill(a, &mut piece_a)?;
        let len_b = fill(b, &mut piece_b)?;
        if unit > 1 {
            piece_b[..len_b].chunks_exact_mut(unit).for_each(<[u8]>::reverse);
        }
        let common = len_a.min(len_b);
        if piece_a[..common] != piece_b[..common] {
            return Ok(false);
        }
        let longer = if len_a > len_b {
            &piece_a[common..len_a]
        } else {
            &piece_b[common..len_b]
        };
        if longer.len() > padding_max || !is_padding(longer) {
            return Ok(false);
        }
        if len_a < piece_a.len() || len_b < piece_b.len() {
            return if len_a > len_b {
                rest_is_padding(a, padding_max)
            } else {
                rest_is_padding(b, padding_max)
            };
        }
    }
}

fn is_padding(bytes: &[u8]) -> bool {
    bytes.iter().all(|byte| matches!(byte, 0 | b' '))
}

/// Whether a value that goes on has nothing but padding left.
fn rest_is_padding(walker: &mut AnyWalker<'_>, padding_max: usize) -> Result<bool, ScanError> {
    let mut piece = [0u8; 4096];
    loop {
        let len = fill(walker, &mut piece)?;
        if len == 0 {
            return Ok(true);
        }
        if len > padding_max || !is_padding(&piece[..len]) {
            return Ok(false);
        }
    }
}

/// Fills `piece` as far as the value reaches.
fn fill(walker: &mut AnyWalker<'_>, piece: &mut [u8]) -> Result<usize, ScanError> {
    let mut len = 0;
    while len < piece.len() {
        match walker.read_some(&mut piece[len..])? {
            0 => break,
            got => len += got,
        }
    }
    Ok(len)
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use super::*;
    use crate::syntax;
    use crate::synthetic::{CtSlice, ElementWriter};

    fn ts(uid: &str) -> TransferSyntaxUid {
        TransferSyntaxUid::parse(uid).unwrap()
    }

    fn same(a: &[u8], ts_a: &str, b: &[u8], ts_b: &str) -> bool {
        let limits = ScanLimits::default();
        same_elements(
            &mut Cursor::new(a),
            &ts(ts_a),
            &mut Cursor::new(b),
            &ts(ts_b),
            &limits,
        )
        .unwrap()
    }

    #[test]
    fn encodings_and_length_forms_do_not_matter_but_values_do() {
        let slice = CtSlice::default();
        let [le, implicit, be] = [
            syntax::EXPLICIT_LITTLE,
            syntax::IMPLICIT_LITTLE,
            syntax::EXPLICIT_BIG,
        ]
        .map(|uid| (slice.data_set(&ts(uid)).unwrap(), uid));
        assert!(same(&le.0, le.1, &implicit.0, implicit.1));
        assert!(same(&le.0, le.1, &be.0, be.1));
        let mut other = slice.clone();
        other.samples[3] += 1;
        assert!(!same(&le.0, le.1, &other.data_set(&ts(le.1)).unwrap(), le.1));
        other = slice;
        other.patient_id = "TEST-2".to_owned();
        assert!(!same(&le.0, le.1, &other.data_set(&ts(le.1)).unwrap(), le.1));
    }

    #[test]
    fn stated_and_undefined_lengths_are_the_same_sequence() {
        let le = ts(syntax::EXPLICIT_LITTLE);
        let mut item = ElementWriter::new(&le);
        item.ascii(Tag::SOP_INSTANCE_UID, Vr::UI, "1.2.3");
        let item = item.finish();
        let mut undefined = ElementWriter::new(&le);
        undefined.begin_sequence(Tag(0x0008, 0x1140)).begin_item();
        let mut undefined = undefined.finish();
        undefined.extend_from_slice(&item);
        undefined.extend_from_slice(&[
            0xFE, 0xFF, 0x0D, 0xE0, 0, 0, 0, 0, 0xFE, 0xFF, 0xDD, 0xE0, 0, 0, 0, 0,
        ]);
        let mut stated = vec![
            0x08,
            0x00,
            0x40,
            0x11,
            b'S',
            b'Q',
            0,
            0,
            item.len() as u8 + 8,
            0,
            0,
            0,
        ];
        stated.extend_from_slice(&[0xFE, 0xFF, 0x00, 0xE0, item.len() as u8, 0, 0, 0]);
        stated.extend_from_slice(&item);
        assert!(same(&undefined, le.as_str(), &stated, le.as_str()));
        // A group length in front changes nothing.
        let mut with_group_length = vec![0x08, 0x00, 0x00, 0x00, b'U', b'L', 4, 0, 9, 9, 9, 9];
        with_group_length.extend_from_slice(&stated);
        assert!(same(&undefined, le.as_str(), &with_group_length, le.as_str()));
    }
}
