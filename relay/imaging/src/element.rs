//! Tags and value representations (PS3.5 sections 6.2 and 7.1), as small copyable values.

use std::fmt;

/// A data element tag: group and element number.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Tag(pub u16, pub u16);

impl Tag {
    /// Item (FFFE,E000).
    pub const ITEM: Self = Self(0xFFFE, 0xE000);
    /// Item Delimitation Item (FFFE,E00D).
    pub const ITEM_DELIMITER: Self = Self(0xFFFE, 0xE00D);
    /// Sequence Delimitation Item (FFFE,E0DD).
    pub const SEQUENCE_DELIMITER: Self = Self(0xFFFE, 0xE0DD);
    /// Specific Character Set.
    pub const SPECIFIC_CHARACTER_SET: Self = Self(0x0008, 0x0005);
    /// SOP Class UID.
    pub const SOP_CLASS_UID: Self = Self(0x0008, 0x0016);
    /// SOP Instance UID.
    pub const SOP_INSTANCE_UID: Self = Self(0x0008, 0x0018);
    /// Study Instance UID.
    pub const STUDY_INSTANCE_UID: Self = Self(0x0020, 0x000D);
    /// Series Instance UID.
    pub const SERIES_INSTANCE_UID: Self = Self(0x0020, 0x000E);
    /// Pixel Representation.
    pub const PIXEL_REPRESENTATION: Self = Self(0x0028, 0x0103);
    /// Pixel Data.
    pub const PIXEL_DATA: Self = Self(0x7FE0, 0x0010);
    /// Data Set Trailing Padding.
    pub const TRAILING_PADDING: Self = Self(0xFFFC, 0xFFFC);

    /// Whether the value is a frame store: Pixel Data, Float Pixel Data or Double Float Pixel Data.
    #[must_use]
    pub fn is_pixel_data(self) -> bool {
        self.0 == 0x7FE0 && matches!(self.1, 0x0008..=0x0010)
    }

    /// Whether this is a group length element (gggg,0000).
    #[must_use]
    pub fn is_group_length(self) -> bool {
        self.1 == 0
    }

    /// Whether the group is odd, so that the meaning is private.
    #[must_use]
    pub fn is_private(self) -> bool {
        self.0 & 1 == 1
    }

    /// The eight upper-case hexadecimal digits used as a key in DICOM JSON (PS3.18 annex F.2).
    #[must_use]
    pub fn to_hex(self) -> String {
        format!("{:04X}{:04X}", self.0, self.1)
    }

    /// Reads the eight hexadecimal digits of DICOM JSON and query strings.
    #[must_use]
    pub fn parse_hex(text: &str) -> Option<Self> {
        if text.len() != 8 || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return None;
        }
        let number = u32::from_str_radix(text, 16).ok()?;
        Some(Self((number >> 16) as u16, number as u16))
    }
}

impl fmt::Display for Tag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "({:04X},{:04X})", self.0, self.1)
    }
}

impl fmt::Debug for Tag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A value representation: the two letters of explicit encodings, also when they are none the standard knows.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Vr(pub [u8; 2]);

macro_rules! vrs {
    ($($name:ident)*) => {
        impl Vr {
            $(
                #[doc = concat!("Value representation ", stringify!($name), ".")]
                pub const $name: Self = {
                    let letters = stringify!($name).as_bytes();
                    Self([letters[0], letters[1]])
                };
            )*

            /// Whether the standard defines these two letters.
            #[must_use]
            pub fn is_known(self) -> bool {
                matches!(self, $(Self::$name)|*)
            }
        }
    };
}

vrs! {
    AE AS AT CS DA DS DT FL FD IS LO LT OB OD OF OL OV OW PN SH SL SQ SS ST SV TM UC UI UL UN UR US UT UV
}

impl Vr {
    /// Whether explicit encodings use two reserved bytes and a 32-bit length (PS3.5 section 7.1.2).
    #[must_use]
    pub fn has_long_header(self) -> bool {
        matches!(
            self,
            Self::OB
                | Self::OD
                | Self::OF
                | Self::OL
                | Self::OV
                | Self::OW
                | Self::SQ
                | Self::SV
                | Self::UC
                | Self::UN
                | Self::UR
                | Self::UT
                | Self::UV
        )
    }

    /// Whether Specific Character Set governs the value (PS3.5 section 6.1.2.3).
    #[must_use]
    pub fn uses_character_sets(self) -> bool {
        matches!(
            self,
            Self::LO | Self::LT | Self::PN | Self::SH | Self::ST | Self::UC | Self::UT
        )
    }

    /// Whether a backslash separates values (LT, ST, UT and UR are one value whatever they hold).
    #[must_use]
    pub fn is_multi_valued_text(self) -> bool {
        matches!(
            self,
            Self::AE
                | Self::AS
                | Self::CS
                | Self::DA
                | Self::DS
                | Self::DT
                | Self::IS
                | Self::LO
                | Self::PN
                | Self::SH
                | Self::TM
                | Self::UC
                | Self::UI
        )
    }

    /// Whether the value is a run of bytes or numbers that DICOM JSON carries as bulk data.
    #[must_use]
    pub fn is_bulk(self) -> bool {
        matches!(
            self,
            Self::OB | Self::OD | Self::OF | Self::OL | Self::OV | Self::OW | Self::UN
        )
    }

    /// Bytes of one number in the value, for byte order; 1 where order does not matter.
    #[must_use]
    pub fn number_bytes(self) -> usize {
        match self {
            Self::AT | Self::OW | Self::SS | Self::US => 2,
            Self::FL | Self::OF | Self::OL | Self::SL | Self::UL => 4,
            Self::FD | Self::OD | Self::OV | Self::SV | Self::UV => 8,
            _ => 1,
        }
    }

    /// The letters as text; letters that are not ASCII print as question marks.
    #[must_use]
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).unwrap_or("??")
    }
}

impl fmt::Debug for Vr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Display for Vr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
