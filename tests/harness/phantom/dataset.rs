//! Writes one slice as a Part 10 file (PS3.10) with an explicit little endian data set, elements in tag order.
//!
//! Only what a CT scanner sends for an axial head series is here; this is a fixture, not a DICOM library.

use super::anatomy::{PADDING, z_mm};
use super::{MATRIX, PIXEL_SPACING_MM, Phantom};

/// CT Image Storage (PS3.4 B.5).
pub const CT_IMAGE_STORAGE: &str = "1.2.840.10008.5.1.4.1.1.2";
const EXPLICIT_LITTLE_ENDIAN: &str = "1.2.840.10008.1.2.1";

/// A whole file and where its data set begins.
pub(super) struct SliceFile {
    pub(super) bytes: Vec<u8>,
    pub(super) data_set_offset: usize,
}

/// The slice at position `idx` of the series, `level` slices above the lowest one of the whole head.
pub(super) fn ct_slice(phantom: &Phantom, idx: usize, level: usize, pixels: &[i16]) -> SliceFile {
    let sop_instance_uid = phantom.uid(&format!("instance/{idx}"));
    let mut meta = Elements::default();
    meta.bytes_of(0x0002_0001, "OB", &[0, 1]);
    meta.text(0x0002_0002, "UI", CT_IMAGE_STORAGE);
    meta.text(0x0002_0003, "UI", &sop_instance_uid);
    meta.text(0x0002_0010, "UI", EXPLICIT_LITTLE_ENDIAN);
    meta.text(0x0002_0012, "UI", "2.25.98113645780823401928374650192837465");
    let mut length = Elements::default();
    length.bytes_of(0x0002_0000, "UL", &(meta.0.len() as u32).to_le_bytes());

    let mut bytes = vec![0_u8; 128];
    bytes.extend_from_slice(b"DICM");
    bytes.extend_from_slice(&length.0);
    bytes.extend_from_slice(&meta.0);
    let data_set_offset = bytes.len();
    bytes.extend_from_slice(&data_set(phantom, &sop_instance_uid, idx, level, pixels));
    SliceFile {
        bytes,
        data_set_offset,
    }
}

fn data_set(phantom: &Phantom, sop_instance_uid: &str, idx: usize, level: usize, pixels: &[i16]) -> Vec<u8> {
    let mut set = Elements::default();
    let (date, time) = (phantom.study_date.as_str(), phantom.study_time.as_str());
    let raw = phantom.raw_text.as_ref();
    let terms = raw.map_or("\\ISO 2022 IR 87", |raw| raw.character_sets);
    if !terms.is_empty() {
        set.text(0x0008_0005, "CS", terms);
    }
    set.text(0x0008_0008, "CS", "ORIGINAL\\PRIMARY\\AXIAL");
    set.text(0x0008_0016, "UI", CT_IMAGE_STORAGE);
    set.text(0x0008_0018, "UI", sop_instance_uid);
    for tag in [0x0008_0020, 0x0008_0021, 0x0008_0022, 0x0008_0023] {
        set.text(tag, "DA", date);
    }
    for tag in [0x0008_0030, 0x0008_0031, 0x0008_0032, 0x0008_0033] {
        set.text(tag, "TM", time);
    }
    set.text(0x0008_0050, "SH", &phantom.accession_number);
    set.text(0x0008_0060, "CS", "CT");
    set.text(0x0008_0070, "LO", "Tancho phantom");
    if let Some(raw) = raw {
        set.text(0x0008_1010, "SH", "CT01");
        set.bytes_of(0x0008_1030, "LO", &raw.study_description);
        set.bytes_of(0x0008_103e, "LO", &raw.series_description);
        set.text(0x0008_1090, "LO", "Generated head");
        set.bytes_of(0x0010_0010, "PN", &raw.patient_name);
    } else {
        set.japanese(0x0008_0080, "LO", &phantom.institution);
        set.japanese(0x0008_0090, "PN", "KITA^KENJI=北^健二=キタ^ケンジ");
        set.text(0x0008_1010, "SH", "CT01");
        set.text(0x0008_1030, "LO", "HEAD CT WITHOUT CONTRAST");
        set.japanese(
            0x0008_103e,
            "LO",
            &format!("頭部単純 {}mm", decimal(phantom.slice_spacing_mm)),
        );
        set.text(0x0008_1090, "LO", "Generated head");
        set.japanese(0x0010_0010, "PN", &phantom.patient_name);
    }
    set.text(0x0010_0020, "LO", &phantom.patient_id);
    set.text(0x0010_0030, "DA", &phantom.birth_date);
    set.text(0x0010_0040, "CS", &phantom.sex);
    set.text(0x0018_0015, "CS", "HEAD");
    set.text(0x0018_0050, "DS", &decimal(phantom.slice_spacing_mm));
    set.text(0x0018_0060, "DS", "120");
    set.text(0x0018_0088, "DS", &decimal(phantom.slice_spacing_mm));
    set.text(0x0018_1100, "DS", "230");
    set.text(0x0018_1120, "DS", "0");
    set.text(0x0018_1150, "IS", "1000");
    set.text(0x0018_1151, "IS", "250");
    set.text(0x0018_1210, "SH", "STANDARD");
    set.text(0x0018_5100, "CS", "HFS");
    set.text(0x0020_000d, "UI", &phantom.study_instance_uid());
    set.text(0x0020_000e, "UI", &phantom.uid("series"));
    set.text(0x0020_0010, "SH", "1");
    set.text(0x0020_0011, "IS", "2");
    set.text(0x0020_0012, "IS", "1");
    set.text(0x0020_0013, "IS", &(idx + 1).to_string());
    let corner = decimal(-PIXEL_SPACING_MM * (MATRIX as f64 - 1.0) / 2.0);
    set.text(
        0x0020_0032,
        "DS",
        &format!(
            "{corner}\\{corner}\\{}",
            decimal(z_mm(level, phantom.slice_spacing_mm))
        ),
    );
    set.text(0x0020_0037, "DS", "1\\0\\0\\0\\1\\0");
    set.text(0x0020_0052, "UI", &phantom.uid("frame of reference"));
    set.text(0x0020_1040, "LO", "");
    set.text(0x0020_1041, "DS", &decimal(z_mm(level, phantom.slice_spacing_mm)));
    set.number(0x0028_0002, 1);
    set.text(0x0028_0004, "CS", "MONOCHROME2");
    set.number(0x0028_0010, MATRIX as u16);
    set.number(0x0028_0011, MATRIX as u16);
    set.text(
        0x0028_0030,
        "DS",
        &format!("{PIXEL_SPACING_MM}\\{PIXEL_SPACING_MM}"),
    );
    set.number(0x0028_0100, 16);
    set.number(0x0028_0101, 16);
    set.number(0x0028_0102, 15);
    set.number(0x0028_0103, 1);
    set.bytes_of(0x0028_0120, "SS", &PADDING.to_le_bytes());
    set.text(0x0028_1050, "DS", "40");
    set.text(0x0028_1051, "DS", "80");
    set.text(0x0028_1052, "DS", "0");
    set.text(0x0028_1053, "DS", "1");
    set.text(0x0028_1054, "LO", "HU");
    let words: Vec<u8> = pixels.iter().flat_map(|pixel| pixel.to_le_bytes()).collect();
    set.bytes_of(0x7fe0_0010, "OW", &words);
    set.0
}

/// Fits the 16 characters of a DS.
fn decimal(value: f64) -> String {
    let text = format!("{value:.4}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// Explicit little endian elements (PS3.5 7.1.2) in the order they are added.
#[derive(Default)]
struct Elements(Vec<u8>);

impl Elements {
    fn text(&mut self, tag: u32, vr: &str, value: &str) {
        self.bytes_of(tag, vr, value.as_bytes());
    }

    fn number(&mut self, tag: u32, value: u16) {
        self.bytes_of(tag, "US", &value.to_le_bytes());
    }

    /// Text in the default repertoire with JIS X 0208 by escape sequence; every part between the delimiters `^` and
    /// `=` ends in the default repertoire again (PS3.5 6.1.2.5.3).
    fn japanese(&mut self, tag: u32, vr: &str, value: &str) {
        let mut coded = Vec::new();
        for part in value.split_inclusive(['^', '=']) {
            let (text, delimiter) = match part.strip_suffix(['^', '=']) {
                Some(text) => (text, &part.as_bytes()[part.len() - 1..]),
                None => (part, &[][..]),
            };
            let (bytes, _, failed) = encoding_rs::ISO_2022_JP.encode(text);
            assert!(!failed, "phantom text must be in JIS X 0208");
            coded.extend_from_slice(&bytes);
            coded.extend_from_slice(delimiter);
        }
        self.bytes_of(tag, vr, &coded);
    }

    fn bytes_of(&mut self, tag: u32, vr: &str, value: &[u8]) {
        let padded = value.len() + value.len() % 2;
        self.0.extend_from_slice(&((tag >> 16) as u16).to_le_bytes());
        self.0.extend_from_slice(&(tag as u16).to_le_bytes());
        self.0.extend_from_slice(vr.as_bytes());
        if matches!(vr, "OB" | "OW" | "SQ" | "UN" | "UT") {
            self.0.extend_from_slice(&[0, 0]);
            self.0.extend_from_slice(&(padded as u32).to_le_bytes());
        } else {
            self.0.extend_from_slice(&(padded as u16).to_le_bytes());
        }
        self.0.extend_from_slice(value);
        if value.len() % 2 == 1 {
            self.0.push(if matches!(vr, "UI" | "OB") { 0 } else { b' ' });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The value that clinical practice in Japan writes for this name, byte for byte.
    #[test]
    fn names_are_coded_as_the_standard_shows() {
        let mut set = Elements::default();
        set.japanese(0x0010_0010, "PN", "DOTO^HANAKO=道東^花子=ドウトウ^ハナコ");
        let hexadecimal = "444f544f5e48414e414b4f3d1b2442463b456c1b28425e1b244232563b521b2842\
                           3d1b244225492526254825261b28425e1b2442254f254a25331b2842";
        let expected: Vec<u8> = hexadecimal
            .as_bytes()
            .chunks(2)
            .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap())
            .collect();
        assert_eq!(expected.len(), 61);
        let after_tag_vr_and_length = 8;
        assert_eq!(
            set.0[after_tag_vr_and_length..after_tag_vr_and_length + 61],
            expected[..]
        );
    }
}
