//! Which encoding the first bytes of a data set speak for, compared with what was negotiated.

use crate::dictionary;
use crate::element::{Tag, Vr};
use crate::syntax::Encoding;

/// What the first bytes say about the negotiated encoding.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// They fit, or say nothing else clearly.
    AsNegotiated,
    /// They clearly are another encoding.
    Other(Encoding),
}

/// Elements looked at.
const ELEMENTS: usize = 4;

/// Judges the first bytes (some KiB) of a data set of `total` bytes.
pub(crate) fn judge(window: &[u8], total: u64, negotiated: Encoding) -> Verdict {
    let count = |encoding| plausible_elements(window, total, encoding);
    let others: [(Encoding, usize); 2] = match negotiated {
        Encoding::ExplicitLittle if count(Encoding::ExplicitLittle) == 0 => {
            [(Encoding::ExplicitBig, 1), (Encoding::ImplicitLittle, 2)]
        }
        Encoding::ExplicitBig if count(Encoding::ExplicitBig) == 0 => {
            [(Encoding::ExplicitLittle, 1), (Encoding::ImplicitLittle, 2)]
        }
        // The two letters of a VR read as part of a length are a rare accident once, and none twice.
        Encoding::ImplicitLittle => [(Encoding::ExplicitLittle, 2), (Encoding::ExplicitBig, 2)],
        _ => return Verdict::AsNegotiated,
    };
    others
        .into_iter()
        .find(|(encoding, needed)| count(*encoding) >= *needed)
        .map_or(Verdict::AsNegotiated, |(encoding, _)| Verdict::Other(encoding))
}

/// How many elements at the start read well in `encoding`, up to [`ELEMENTS`] or the first that does not.
pub(crate) fn plausible_elements(window: &[u8], total: u64, encoding: Encoding) -> usize {
    let mut at = 0usize;
    let mut last = None;
    let mut count = 0;
    while count < ELEMENTS {
        if at as u64 == total && count > 0 {
            // The whole object was read without a fault.
            return ELEMENTS;
        }
        let Some(bytes) = window.get(at..at + 8) else {
            break;
        };
        let u16_at = |from: usize| {
            let pair = [bytes[from], bytes[from + 1]];
            if encoding.is_big_endian() {
                u16::from_be_bytes(pair)
            } else {
                u16::from_le_bytes(pair)
            }
        };
        let u32_of = |four: [u8; 4]| {
            if encoding.is_big_endian() {
                u32::from_be_bytes(four)
            } else {
                u32::from_le_bytes(four)
            }
        };
        let tag = Tag(u16_at(0), u16_at(2));
        let vr = Vr([bytes[4], bytes[5]]);
        let (known, header_len, len) = if !encoding.is_explicit() {
            let len = u32_of([bytes[4], bytes[5], bytes[6], bytes[7]]);
            (
                tag.is_private() || dictionary::vr_of(tag, false) != Vr::UN,
                8,
                len,
            )
        } else if !vr.is_known() {
            (false, 8, 0)
        } else if vr.has_long_header() {
            let Some(four) = window.get(at + 8..at + 12) else {
                break;
            };
            (true, 12, u32_of([four[0], four[1], four[2], four[3]]))
        } else {
            (true, 8, u32::from(u16_at(6)))
        };
        let undefined = len == u32::MAX;
        let end = at as u64 + header_len + u64::from(len);
        let in_order = last.is_none_or(|last| tag > last);
        // A data set begins in a low group; the other byte order shows as a high one.
        let groups = if count == 0 {
            0x0002..=0x00FF
        } else {
            0x0002..=0x7FE0
        };
        if !known || !in_order || !groups.contains(&tag.0) || (!undefined && end > total) {
            break;
        }
        count += 1;
        last = Some(tag);
        if undefined || end > window.len() as u64 {
            break;
        }
        at = end as usize;
    }
    count
}
