//! What a transfer syntax means for reading bytes (PS3.5 annex A): how elements are encoded, whether
//! pixel data is encapsulated, and which media type its frames have on the web (PS3.18 section 8.7.3).

use serde::{Deserialize, Serialize};
use tancho_domain::dicom::TransferSyntaxUid;

/// How the elements of a data set are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Encoding {
    /// Implicit VR Little Endian.
    ImplicitLittle,
    /// Explicit VR Little Endian.
    ExplicitLittle,
    /// Explicit VR Big Endian (retired, still met).
    ExplicitBig,
}

impl Encoding {
    /// Whether numbers have their most significant byte first.
    #[must_use]
    pub fn is_big_endian(self) -> bool {
        self == Self::ExplicitBig
    }

    /// Whether element headers carry the value representation.
    #[must_use]
    pub fn is_explicit(self) -> bool {
        self != Self::ImplicitLittle
    }
}

/// The properties of one transfer syntax.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Syntax {
    /// How elements are written (after inflating, where the data set is deflated).
    pub encoding: Encoding,
    /// Whether the whole data set is one deflate stream.
    pub deflated: bool,
    /// Whether pixel data is a sequence of fragments.
    pub encapsulated: bool,
    /// Whether the standard (or long practice) defines this identifier; unknown ones are read as explicit
    /// little endian, kept untouched and never decoded.
    pub known: bool,
}

/// Implicit VR Little Endian.
pub const IMPLICIT_LITTLE: &str = "1.2.840.10008.1.2";
/// Explicit VR Little Endian.
pub const EXPLICIT_LITTLE: &str = "1.2.840.10008.1.2.1";
/// Encapsulated Uncompressed Explicit VR Little Endian.
pub const ENCAPSULATED_UNCOMPRESSED: &str = "1.2.840.10008.1.2.1.98";
/// Deflated Explicit VR Little Endian.
pub const DEFLATED: &str = "1.2.840.10008.1.2.1.99";
/// Explicit VR Big Endian.
pub const EXPLICIT_BIG: &str = "1.2.840.10008.1.2.2";
/// High-Throughput JPEG 2000 with RPCL Options, lossless only: how native frames travel and rest.
pub const HTJ2K_LOSSLESS_RPCL: &str = "1.2.840.10008.1.2.4.202";
/// RLE Lossless.
pub const RLE: &str = "1.2.840.10008.1.2.5";
/// Deflated Image Frame Compression.
pub const DEFLATED_FRAME: &str = "1.2.840.10008.1.2.8.1";

impl Syntax {
    /// Looks a transfer syntax up.
    #[must_use]
    pub fn of(uid: &TransferSyntaxUid) -> Self {
        let native = |encoding| Self {
            encoding,
            deflated: false,
            encapsulated: false,
            known: true,
        };
        let encapsulated = Self {
            encoding: Encoding::ExplicitLittle,
            deflated: false,
            encapsulated: true,
            known: true,
        };
        match uid.as_str() {
            // The second one is a vendor's private syntax: implicit little endian, big endian pixels.
            IMPLICIT_LITTLE | "1.2.840.113619.5.2" => native(Encoding::ImplicitLittle),
            // JPIP references carry a link in place of pixels.
            EXPLICIT_LITTLE | "1.2.840.10008.1.2.4.94" | "1.2.840.10008.1.2.4.204" => {
                native(Encoding::ExplicitLittle)
            }
            DEFLATED | "1.2.840.10008.1.2.4.95" | "1.2.840.10008.1.2.4.205" => Self {
                deflated: true,
                ..native(Encoding::ExplicitLittle)
            },
            EXPLICIT_BIG => native(Encoding::ExplicitBig),
            ENCAPSULATED_UNCOMPRESSED | RLE | DEFLATED_FRAME => encapsulated,
            text => match codestream_of(text) {
                Codestream::Other if !text.starts_with("1.2.840.10008.1.2.4.") => Self {
                    known: false,
                    ..native(Encoding::ExplicitLittle)
                },
                _ => encapsulated,
            },
        }
    }
}

/// The family of codestream in the frames of an encapsulated transfer syntax.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Codestream {
    /// JPEG: baseline, extended, lossless.
    Jpeg,
    /// JPEG-LS.
    JpegLs,
    /// JPEG 2000 part 1 and 2.
    Jpeg2000,
    /// High-throughput JPEG 2000.
    Htj2k,
    /// JPEG XL.
    JpegXl,
    /// DICOM run length encoding.
    Rle,
    /// One deflate stream per frame.
    DeflatedFrame,
    /// Frames in fragments without compression.
    Uncompressed,
    /// Video, or not known.
    Other,
}

/// The codestream family of a transfer syntax identifier.
#[must_use]
pub fn codestream_of(uid: &str) -> Codestream {
    match uid {
        RLE => return Codestream::Rle,
        DEFLATED_FRAME => return Codestream::DeflatedFrame,
        ENCAPSULATED_UNCOMPRESSED => return Codestream::Uncompressed,
        _ => {}
    }
    match uid
        .strip_prefix("1.2.840.10008.1.2.4.")
        .and_then(|last| last.parse::<u16>().ok())
    {
        Some(50..=70) => Codestream::Jpeg,
        Some(80 | 81) => Codestream::JpegLs,
        Some(90..=93) => Codestream::Jpeg2000,
        Some(110..=112) => Codestream::JpegXl,
        Some(201..=203) => Codestream::Htj2k,
        _ => Codestream::Other,
    }
}

/// The media type of one frame as WADO-RS serves it (PS3.18 table 8.7.3-5).
#[must_use]
pub fn frame_media_type(uid: &str) -> &'static str {
    match codestream_of(uid) {
        Codestream::Jpeg => "image/jpeg",
        Codestream::JpegLs => "image/jls",
        Codestream::Jpeg2000 => match uid.rsplit('.').next() {
            Some("92" | "93") => "image/jpx",
            _ => "image/jp2",
        },
        Codestream::Htj2k => "image/jphc",
        Codestream::JpegXl => "image/jxl",
        Codestream::Rle => "image/dicom-rle",
        Codestream::DeflatedFrame | Codestream::Uncompressed | Codestream::Other => {
            "application/octet-stream"
        }
    }
}
