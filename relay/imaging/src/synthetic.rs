//! Small valid objects made by the project itself, for tests and for the demonstration.
//!
//! [`ElementWriter`] writes elements in the order they are given; the caller keeps tags ascending.
//! Nothing here reads a peer's bytes.

use tancho_domain::dicom::{SopClassUid, SopInstanceUid, TransferSyntaxUid};

use crate::element::{Tag, Vr};
use crate::part10;
use crate::syntax::{Encoding, Syntax};
use crate::text::{self, CharacterSets, Unencodable};

/// CT Image Storage.
pub const CT_IMAGE_STORAGE: &str = "1.2.840.10008.5.1.4.1.1.2";

/// Writes data elements in one encoding, with their padding to even length.
#[derive(Debug, Clone)]
pub struct ElementWriter {
    encoding: Encoding,
    sets: CharacterSets,
    out: Vec<u8>,
}

impl ElementWriter {
    /// A writer for the encoding of `transfer_syntax`, in the default character set.
    #[must_use]
    pub fn new(transfer_syntax: &TransferSyntaxUid) -> Self {
        Self {
            encoding: Syntax::of(transfer_syntax).encoding,
            sets: CharacterSets::parse(b""),
            out: Vec::new(),
        }
    }

    /// Writes Specific Character Set and encodes all text after it accordingly, for example
    /// `\ISO 2022 IR 87`.
    pub fn character_sets(&mut self, terms: &str) -> &mut Self {
        self.sets = CharacterSets::parse(terms.as_bytes());
        self.bytes(Tag::SPECIFIC_CHARACTER_SET, Vr::CS, terms.as_bytes())
    }

    /// Writes an element with a value as it is, padded to even length as the VR asks.
    pub fn bytes(&mut self, tag: Tag, vr: Vr, value: &[u8]) -> &mut Self {
        let padded = value.len() + value.len() % 2;
        self.header(tag, vr, padded as u32);
        self.out.extend_from_slice(value);
        if padded > value.len() {
            let zero_padded = matches!(vr, Vr::UI | Vr::OB | Vr::OW | Vr::UN);
            self.out.push(if zero_padded { 0 } else { b' ' });
        }
        self
    }

    /// Writes text in the writer's character sets.
    ///
    /// # Errors
    /// When a character is not in them.
    pub fn text(&mut self, tag: Tag, vr: Vr, value: &str) -> Result<&mut Self, Unencodable> {
        let encoded = text::encode(value, vr, &self.sets)?;
        Ok(self.bytes(tag, vr, &encoded))
    }

    /// Writes ASCII text (UI, CS, DA, TM, DS, IS and the like); a backslash separates values.
    pub fn ascii(&mut self, tag: Tag, vr: Vr, value: &str) -> &mut Self {
        debug_assert!(value.is_ascii(), "use text() for {tag}");
        self.bytes(tag, vr, value.as_bytes())
    }

    /// Writes US values.
    pub fn us(&mut self, tag: Tag, values: &[u16]) -> &mut Self {
        let value = self.samples(values);
        self.bytes(tag, Vr::US, &value)
    }

    /// Writes SS values.
    pub fn ss(&mut self, tag: Tag, values: &[i16]) -> &mut Self {
        let unsigned: Vec<u16> = values.iter().map(|value| *value as u16).collect();
        let value = self.samples(&unsigned);
        self.bytes(tag, Vr::SS, &value)
    }

    /// Opens a sequence of undefined length; close it with [`Self::end_sequence`].
    pub fn begin_sequence(&mut self, tag: Tag) -> &mut Self {
        self.header(tag, Vr::SQ, u32::MAX);
        self
    }

    /// Opens an item of undefined length; close it with [`Self::end_item`].
    pub fn begin_item(&mut self) -> &mut Self {
        self.delimiter(Tag::ITEM, u32::MAX)
    }

    /// Closes an item.
    pub fn end_item(&mut self) -> &mut Self {
        self.delimiter(Tag::ITEM_DELIMITER, 0)
    }

    /// Closes a sequence.
    pub fn end_sequence(&mut self) -> &mut Self {
        self.delimiter(Tag::SEQUENCE_DELIMITER, 0)
    }

    /// Writes native 16-bit pixel data as OW, in the writer's byte order.
    pub fn pixels_u16(&mut self, samples: &[u16]) -> &mut Self {
        let value = self.samples(samples);
        self.bytes(Tag::PIXEL_DATA, Vr::OW, &value)
    }

    /// Writes native signed 16-bit pixel data as OW, in the writer's byte order.
    pub fn pixels_i16(&mut self, samples: &[i16]) -> &mut Self {
        let unsigned: Vec<u16> = samples.iter().map(|value| *value as u16).collect();
        self.pixels_u16(&unsigned)
    }

    /// Writes native 8-bit pixel data as OB (OW in implicit encodings, as the standard asks).
    pub fn pixels_u8(&mut self, samples: &[u8]) -> &mut Self {
        self.bytes(
            Tag::PIXEL_DATA,
            if self.encoding.is_explicit() {
                Vr::OB
            } else {
                Vr::OW
            },
            samples,
        )
    }

    /// Writes encapsulated pixel data: one Basic Offset Table item (empty when `offsets` is empty), then
    /// one fragment per element of `fragments`, each padded to even length.
    pub fn fragments(&mut self, offsets: &[u32], fragments: &[&[u8]]) -> &mut Self {
        self.header(Tag::PIXEL_DATA, Vr::OB, u32::MAX);
        self.delimiter(Tag::ITEM, (offsets.len() * 4) as u32);
        for offset in offsets {
            self.out.extend_from_slice(&offset.to_le_bytes());
        }
        for fragment in fragments {
            let padded = fragment.len() + fragment.len() % 2;
            self.delimiter(Tag::ITEM, padded as u32);
            self.out.extend_from_slice(fragment);
            self.out.resize(self.out.len() + padded - fragment.len(), 0);
        }
        self.end_sequence()
    }

    /// The data set written so far.
    #[must_use]
    pub fn finish(&self) -> Vec<u8> {
        self.out.clone()
    }

    fn samples(&self, values: &[u16]) -> Vec<u8> {
        let big = self.encoding.is_big_endian();
        values
            .iter()
            .flat_map(|value| {
                if big {
                    value.to_be_bytes()
                } else {
                    value.to_le_bytes()
                }
            })
            .collect()
    }

    fn header(&mut self, tag: Tag, vr: Vr, len: u32) {
        self.u16(tag.0);
        self.u16(tag.1);
        if !self.encoding.is_explicit() {
            self.u32(len);
            return;
        }
        self.out.extend_from_slice(&vr.0);
        if vr.has_long_header() {
            self.u16(0);
            self.u32(len);
        } else {
            self.u16(u16::try_from(len).expect("synthetic values of short VRs are short"));
        }
    }

    fn delimiter(&mut self, tag: Tag, len: u32) -> &mut Self {
        self.u16(tag.0);
        self.u16(tag.1);
        self.u32(len);
        self
    }

    fn u16(&mut self, value: u16) {
        let bytes = if self.encoding.is_big_endian() {
            value.to_be_bytes()
        } else {
            value.to_le_bytes()
        };
        self.out.extend_from_slice(&bytes);
    }

    fn u32(&mut self, value: u32) {
        let bytes = if self.encoding.is_big_endian() {
            value.to_be_bytes()
        } else {
            value.to_le_bytes()
        };
        self.out.extend_from_slice(&bytes);
    }
}

/// A DICOM file: preamble, group 0002 and the data set.
#[must_use]
pub fn part10_file(
    transfer_syntax: &TransferSyntaxUid,
    sop_class_uid: &SopClassUid,
    sop_instance_uid: &SopInstanceUid,
    data_set: &[u8],
) -> Vec<u8> {
    let mut file = part10::header(transfer_syntax, sop_class_uid, sop_instance_uid);
    file.extend_from_slice(data_set);
    file
}

/// A small CT slice, complete enough for every part of the product.
#[derive(Debug, Clone)]
pub struct CtSlice {
    /// Study Instance UID.
    pub study_instance_uid: String,
    /// Series Instance UID.
    pub series_instance_uid: String,
    /// SOP Instance UID.
    pub sop_instance_uid: String,
    /// Specific Character Set terms, separated by backslashes.
    pub character_sets: String,
    /// Patient's Name with its groups separated by `=`.
    pub patient_name: String,
    /// Patient ID.
    pub patient_id: String,
    /// Instance Number.
    pub instance_number: u32,
    /// Rows.
    pub rows: u16,
    /// Columns.
    pub columns: u16,
    /// Samples row by row, stored signed with Rescale Intercept 0; as many as rows times columns.
    pub samples: Vec<i16>,
}

impl Default for CtSlice {
    fn default() -> Self {
        let (rows, columns) = (8u16, 8u16);
        Self {
            study_instance_uid: "2.25.1".to_owned(),
            series_instance_uid: "2.25.1.1".to_owned(),
            sop_instance_uid: "2.25.1.1.1".to_owned(),
            character_sets: "\\ISO 2022 IR 87".to_owned(),
            patient_name: "DOTO^HANAKO=道東^花子=ドウトウ^ハナコ".to_owned(),
            patient_id: "TEST-1".to_owned(),
            instance_number: 1,
            rows,
            columns,
            samples: (0..i32::from(rows) * i32::from(columns))
                .map(|n| (n * 7 - 200) as i16)
                .collect(),
        }
    }
}

impl CtSlice {
    /// The data set in `transfer_syntax`, which must be a native one.
    ///
    /// # Errors
    /// When the name does not fit the character sets.
    pub fn data_set(&self, transfer_syntax: &TransferSyntaxUid) -> Result<Vec<u8>, Unencodable> {
        let mut writer = ElementWriter::new(transfer_syntax);
        self.write_head(&mut writer)?;
        writer.pixels_i16(&self.samples);
        Ok(writer.finish())
    }

    /// Writes everything before Pixel Data.
    ///
    /// # Errors
    /// When the name does not fit the character sets.
    pub fn write_head(&self, writer: &mut ElementWriter) -> Result<(), Unencodable> {
        writer.character_sets(&self.character_sets);
        writer
            .ascii(Tag(0x0008, 0x0008), Vr::CS, "ORIGINAL\\PRIMARY\\AXIAL")
            .ascii(Tag::SOP_CLASS_UID, Vr::UI, CT_IMAGE_STORAGE)
            .ascii(Tag::SOP_INSTANCE_UID, Vr::UI, &self.sop_instance_uid)
            .ascii(Tag(0x0008, 0x0020), Vr::DA, "20260123")
            .ascii(Tag(0x0008, 0x0030), Vr::TM, "021400")
            .ascii(Tag(0x0008, 0x0060), Vr::CS, "CT")
            .ascii(Tag(0x0008, 0x0070), Vr::LO, "Tancho")
            .ascii(Tag(0x0008, 0x1030), Vr::LO, "HEAD CT")
            .text(Tag(0x0010, 0x0010), Vr::PN, &self.patient_name)?
            .ascii(Tag(0x0010, 0x0020), Vr::LO, &self.patient_id)
            .ascii(Tag(0x0010, 0x0030), Vr::DA, "19500101")
            .ascii(Tag(0x0010, 0x0040), Vr::CS, "F")
            .ascii(Tag(0x0018, 0x0015), Vr::CS, "HEAD")
            .ascii(Tag(0x0018, 0x0050), Vr::DS, "5")
            .ascii(Tag::STUDY_INSTANCE_UID, Vr::UI, &self.study_instance_uid)
            .ascii(Tag::SERIES_INSTANCE_UID, Vr::UI, &self.series_instance_uid)
            .ascii(Tag(0x0020, 0x0011), Vr::IS, "1")
            .ascii(Tag(0x0020, 0x0013), Vr::IS, &self.instance_number.to_string())
            .ascii(
                Tag(0x0020, 0x0032),
                Vr::DS,
                &format!("-100\\-100\\{}", self.instance_number * 5),
            )
            .ascii(Tag(0x0020, 0x0037), Vr::DS, "1\\0\\0\\0\\1\\0")
            .us(Tag(0x0028, 0x0002), &[1])
            .ascii(Tag(0x0028, 0x0004), Vr::CS, "MONOCHROME2")
            .us(Tag(0x0028, 0x0010), &[self.rows])
            .us(Tag(0x0028, 0x0011), &[self.columns])
            .ascii(Tag(0x0028, 0x0030), Vr::DS, "0.5\\0.5")
            .us(Tag(0x0028, 0x0100), &[16])
            .us(Tag(0x0028, 0x0101), &[16])
            .us(Tag(0x0028, 0x0102), &[15])
            .us(Tag(0x0028, 0x0103), &[1])
            .ascii(Tag(0x0028, 0x1050), Vr::DS, "40")
            .ascii(Tag(0x0028, 0x1051), Vr::DS, "80")
            .ascii(Tag(0x0028, 0x1052), Vr::DS, "0")
            .ascii(Tag(0x0028, 0x1053), Vr::DS, "1");
        Ok(())
    }
}
