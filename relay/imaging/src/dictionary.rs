//! The standard's data dictionary (PS3.6), for encodings that leave the value representation out.

use dicom_core::Tag as CoreTag;
use dicom_core::dictionary::{DataDictionary, DataDictionaryEntry, VirtualVr};
use dicom_dictionary_std::StandardDataDictionary;

use crate::element::{Tag, Vr};

/// The value representation of a tag. Where the standard leaves a choice, `signed` (Pixel Representation)
/// decides between US and SS, and OW stands for pixel-like data, as implicit encodings demand.
pub(crate) fn vr_of(tag: Tag, signed: bool) -> Vr {
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
