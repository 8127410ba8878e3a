//! The standard's data dictionary (PS3.6), for encodings that leave the value representation out and for searches that
//! name attributes by keyword.

use dicom_core::Tag as CoreTag;
use dicom_core::dictionary::{DataDictionary, DataDictionaryEntry, TagRange, VirtualVr};
use dicom_dictionary_std::StandardDataDictionary;

use crate::element::{Tag, Vr};

/// The value representation of a tag. Where the standard leaves a choice, `signed` (Pixel Representation)
/// decides between US and SS, and OW stands for pixel-like data, as implicit encodings demand.
#[must_use]
pub fn vr_of(tag: Tag, signed: bool) -> Vr {
    if tag.is_group_length() {
        return Vr::UL;
    }
    if tag.is_private() {
        // Private creators (gggg,0010-00FF) are LO; everything else private is unknown here.
        return if matches!(tag.1, 0x0010..=0x00FF) {
            Vr::LO
        } else {
            Vr::UN
        };
    }
    match StandardDataDictionary
        .by_tag(CoreTag(tag.0, tag.1))
        .map(|entry| entry.vr())
    {
        Some(VirtualVr::Exact(vr)) => {
            let letters = vr.to_string().as_bytes();
            Vr([letters[0], letters[1]])
        }
        Some(VirtualVr::Xs) if signed => Vr::SS,
        Some(VirtualVr::Xs) => Vr::US,
        Some(VirtualVr::Ox | VirtualVr::Px | VirtualVr::Lt) => Vr::OW,
        _ => Vr::UN,
    }
}

/// The tag of a keyword of the standard, such as `PatientName`; none for attributes that repeat over groups.
#[must_use]
pub fn tag_of_keyword(keyword: &str) -> Option<Tag> {
    match StandardDataDictionary.by_name(keyword)?.tag_range() {
        TagRange::Single(CoreTag(group, element)) => Some(Tag(group, element)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keywords_are_the_standards() {
        assert_eq!(tag_of_keyword("PatientName"), Some(Tag(0x0010, 0x0010)));
        assert_eq!(tag_of_keyword("ModalitiesInStudy"), Some(Tag(0x0008, 0x0061)));
        for unknown in ["", "patientname", "Patient Name", "OverlayRows", "(0010,0010)"] {
            assert_eq!(tag_of_keyword(unknown), None, "{unknown}");
        }
    }
}
