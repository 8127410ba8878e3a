//! Reads what an object is without trusting it: identity, pixel geometry and where its bytes lie.
//!
//! The walk is iterative and forward only; values are skipped, not read, except the few that are indexed.
//! Faults that leave the bytes keepable become warnings; faults that make the object unusable (no identity,
//! lengths beyond the data, nesting beyond the limit) become errors, and the caller quarantines the bytes.

mod codestream;
mod collect;
mod identity;
mod pixels;
mod placement;

use std::io::{self, Cursor, Read, Seek};

use tancho_domain::dicom::{
    SeriesInstanceUid, SopClassUid, SopInstanceUid, StudyInstanceUid, TransferSyntaxUid,
};

pub(crate) use codestream::jpeg2000_codestream;

use crate::element::Tag;
use crate::limits::ScanLimits;
use crate::syntax::Syntax;
use crate::walk::{
    BoundedInflate, Event, ForwardInput, Input, SeekInput, Source, Walker, find_encoding, inflate_error, open,
};
use collect::{Collector, Readable};

pub use placement::Placement;

/// Longest UID in bytes, without padding (PS3.5 section 9.1).
const UID_BYTES_MAX: u64 = 64;

/// Reads a data set (no Part 10 header) from `src`, which stands at any position; the whole of it counts.
///
/// Iterative, with memory bounded by `limits`; values are skipped by seeking, after their lengths were
/// checked against the real total.
///
/// # Errors
/// When the object cannot be a valid instance; the caller quarantines the bytes.
pub fn scan<R: Read + Seek>(
    src: &mut R,
    transfer_syntax: &TransferSyntaxUid,
    limits: &ScanLimits,
) -> Result<DataSetScan, ScanError> {
    let (input, total) = SeekInput::new(src)?;
    scan_source(Source::new(input, Some(total)), total, transfer_syntax, limits)
}

fn scan_source<I: Input>(
    mut source: Source<I>,
    total: u64,
    transfer_syntax: &TransferSyntaxUid,
    limits: &ScanLimits,
) -> Result<DataSetScan, ScanError> {
    if total == 0 {
        return Err(ScanError::Empty);
    }
    if total > limits.max_object_bytes {
        return Err(ScanError::ObjectTooLarge(limits.max_object_bytes));
    }
    let syntax = Syntax::of(transfer_syntax);
    let found = find_encoding(&mut source, total, syntax)?;
    let mut collector = Collector::new(transfer_syntax, limits);
    if found.deflated {
        let inflated = ForwardInput(BoundedInflate::new(source.into_reader(), limits));
        let walker = Walker::new(Source::new(inflated, None), found.encoding, limits);
        return collector
            .run(walker, Readable::Opaque, total)
            .map_err(inflate_error);
    }
    let readable = match (found.mismatch, syntax.known) {
        (true, _) => Readable::Opaque,
        (false, false) => Readable::HeadOnly,
        (false, true) => Readable::Fully,
    };
    if found.mismatch {
        collector.warn(WarningKind::EncodingMismatch, None);
    }
    if !syntax.known {
        collector.warn(WarningKind::TransferSyntaxUnknown, None);
    }
    collector.run(Walker::new(source, found.encoding, limits), readable, total)
}

/// Reads identity and geometry from the head alone: the bytes of [`Layout::head_len`], as the container
/// gives them back before the frames have arrived.
///
/// # Errors
/// As [`scan`].
pub fn scan_head(
    head: &[u8],
    transfer_syntax: &TransferSyntaxUid,
    limits: &ScanLimits,
) -> Result<HeadScan, ScanError> {
    let (input, total) = SeekInput::new(Cursor::new(head))?;
    let source = Source::new(input, Some(total));
    let walker = Walker::new(source, Syntax::of(transfer_syntax).encoding, limits).stop_at_pixel_data();
    let scan = Collector::new(transfer_syntax, limits).run(walker, Readable::HeadOnly, total)?;
    Ok(HeadScan {
        identity: scan.identity,
        pixels: scan.pixels,
        warnings: scan.warnings,
    })
}

/// As [`scan`], over bytes that can only be read on; `total` is their real number.
///
/// # Errors
/// As [`scan`].
pub fn scan_forward<R: Read>(
    src: R,
    total: u64,
    transfer_syntax: &TransferSyntaxUid,
    limits: &ScanLimits,
) -> Result<HeadScan, ScanError> {
    let source = Source::new(ForwardInput(src), Some(total));
    let scan = scan_source(source, total, transfer_syntax, limits)?;
    Ok(HeadScan {
        identity: scan.identity,
        pixels: scan.pixels,
        warnings: scan.warnings,
    })
}

/// The study that a data set names, even one that [`scan`] refuses for what follows; `None` when it names none, or
/// cannot be read as far.
pub fn named_study<R: Read + Seek>(
    src: &mut R,
    transfer_syntax: &TransferSyntaxUid,
    limits: &ScanLimits,
) -> Option<StudyInstanceUid> {
    let mut walker = open(src, transfer_syntax, limits).ok()?.stop_at_pixel_data();
    loop {
        match walker.step().ok()? {
            Event::End => return None,
            Event::Element(element) if element.depth == 0 && element.tag == Tag::STUDY_INSTANCE_UID => {
                let value = walker.read_value(UID_BYTES_MAX + 1).ok()?;
                let text = std::str::from_utf8(&value).ok()?;
                return StudyInstanceUid::parse(text.trim_end_matches(['\0', ' '])).ok();
            }
            _ => {}
        }
    }
}

/// Everything the product needs to know about one data set.
#[derive(Debug, Clone, PartialEq)]
pub struct DataSetScan {
    /// Who and what it is, decoded for people and for the index.
    pub identity: InstanceIdentity,
    /// Where the image lies and when it was made, as the modality says.
    pub placement: Placement,
    /// The image, when there is one.
    pub pixels: Option<PixelDescription>,
    /// Where head, frames and tail lie in the bytes as received.
    pub layout: Layout,
    /// What is wrong with it and was tolerated; at most [`crate::limits::pieces::WARNINGS_MAX`].
    pub warnings: Vec<ScanWarning>,
    /// Length of the data set as received, in bytes.
    pub total_len: u64,
}

impl DataSetScan {
    /// Whether the frames may be decoded and shown. A data set that is kept but not displayable is
    /// offered as the original only.
    #[must_use]
    pub fn is_displayable(&self) -> bool {
        self.pixels.as_ref().is_some_and(|pixels| pixels.displayable)
    }

    /// Whether a warning of this kind was raised.
    #[must_use]
    pub fn has_warning(&self, kind: WarningKind) -> bool {
        self.warnings.iter().any(|warning| warning.kind == kind)
    }
}

/// What the bytes before Pixel Data tell, read from the head alone while the rest is still on its way.
#[derive(Debug, Clone, PartialEq)]
pub struct HeadScan {
    /// Who and what it is.
    pub identity: InstanceIdentity,
    /// The image as the head describes it; lengths are not checked yet.
    pub pixels: Option<PixelDescription>,
    /// What was tolerated so far.
    pub warnings: Vec<ScanWarning>,
}

/// Identity and index attributes, decoded with the object's character sets. Absent text is `None`,
/// and values are trimmed of padding, not otherwise changed.
#[derive(Clone, PartialEq)]
pub struct InstanceIdentity {
    /// SOP Class UID (0008,0016).
    pub sop_class_uid: SopClassUid,
    /// SOP Instance UID (0008,0018).
    pub sop_instance_uid: SopInstanceUid,
    /// Study Instance UID (0020,000D).
    pub study_instance_uid: StudyInstanceUid,
    /// Series Instance UID (0020,000E).
    pub series_instance_uid: SeriesInstanceUid,
    /// Patient ID (0010,0020).
    pub patient_id: Option<String>,
    /// Issuer of Patient ID (0010,0021).
    pub issuer_of_patient_id: Option<String>,
    /// Patient's Name (0010,0010).
    pub patient_name: Option<PersonName>,
    /// Patient's Birth Date (0010,0030), as sent.
    pub birth_date: Option<String>,
    /// Patient's Sex (0010,0040), as sent.
    pub sex: Option<String>,
    /// Study Date (0008,0020), as sent.
    pub study_date: Option<String>,
    /// Study Time (0008,0030), as sent.
    pub study_time: Option<String>,
    /// Accession Number (0008,0050).
    pub accession_number: Option<String>,
    /// Study Description (0008,1030).
    pub study_description: Option<String>,
    /// Series Description (0008,103E).
    pub series_description: Option<String>,
    /// Series Number (0020,0011).
    pub series_number: Option<i64>,
    /// Instance Number (0020,0013).
    pub instance_number: Option<i64>,
    /// Modality (0008,0060).
    pub modality: Option<String>,
    /// Body Part Examined (0018,0015).
    pub body_part: Option<String>,
    /// Institution Name (0008,0080).
    pub institution: Option<String>,
    /// Manufacturer (0008,0070).
    pub manufacturer: Option<String>,
    /// Station Name (0008,1010).
    pub station_name: Option<String>,
    /// Acquisition Date (0008,0022), as sent.
    pub acquisition_date: Option<String>,
    /// Acquisition Time (0008,0032), as sent.
    pub acquisition_time: Option<String>,
    /// Timezone Offset From UTC (0008,0201), as sent.
    pub timezone_offset: Option<String>,
    /// Specific Character Set (0008,0005), its defined terms as sent.
    pub character_sets: Vec<String>,
    /// Some text was not readable by the declared character sets and is shown with a mark.
    pub text_uncertain: bool,
    /// Which of the elements above hold such text.
    pub uncertain_elements: Vec<Tag>,
}

impl InstanceIdentity {
    /// Of these elements, those whose text the declared character sets do not explain, as eight hexadecimal digits
    /// each, separated by commas: the stable form for rows.
    #[must_use]
    pub fn uncertain_of(&self, elements: &[Tag]) -> String {
        let found: Vec<String> = elements
            .iter()
            .filter(|tag| self.uncertain_elements.contains(tag))
            .map(|tag| tag.to_hex())
            .collect();
        found.join(",")
    }
}

impl std::fmt::Debug for InstanceIdentity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Patient fields stay out of logs and test output; the UIDs are enough to find the object.
        f.debug_struct("InstanceIdentity")
            .field("sop_class_uid", &self.sop_class_uid)
            .field("sop_instance_uid", &self.sop_instance_uid)
            .field("modality", &self.modality)
            .field("character_sets", &self.character_sets)
            .field("text_uncertain", &self.text_uncertain)
            .finish_non_exhaustive()
    }
}

/// A person name in its three component groups (PS3.5 section 6.2.1); groups keep their `^`.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct PersonName {
    /// The alphabetic group.
    pub alphabetic: String,
    /// The ideographic group (kanji).
    pub ideographic: String,
    /// The phonetic group (kana).
    pub phonetic: String,
    /// The bytes did not fit the declared character sets; show the text with a mark and lead with ids.
    pub uncertain: bool,
}

impl std::fmt::Debug for PersonName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("PersonName([redacted])")
    }
}

impl PersonName {
    /// Whether all three groups are empty.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.alphabetic.is_empty() && self.ideographic.is_empty() && self.phonetic.is_empty()
    }
}

/// The Image Pixel module (PS3.3 section C.7.6.3) as far as bytes depend on it.
#[derive(Debug, Clone, PartialEq)]
pub struct PixelDescription {
    /// Rows (0028,0010).
    pub rows: u16,
    /// Columns (0028,0011).
    pub columns: u16,
    /// Samples per Pixel (0028,0002).
    pub samples_per_pixel: u16,
    /// Bits Allocated (0028,0100).
    pub bits_allocated: u16,
    /// Bits Stored (0028,0101).
    pub bits_stored: u16,
    /// High Bit (0028,0102).
    pub high_bit: u16,
    /// Pixel Representation (0028,0103): samples are two's complement.
    pub signed: bool,
    /// Photometric Interpretation (0028,0004).
    pub photometric_interpretation: String,
    /// Planar Configuration (0028,0006).
    pub planar_configuration: u16,
    /// Number of Frames (0028,0008), 1 when absent.
    pub number_of_frames: u32,
    /// Bytes of one frame when decoded; 0 when the geometry makes no sense.
    pub frame_bytes: u64,
    /// Whether frames may be decoded and shown.
    pub displayable: bool,
}

/// Where the pieces of the data set lie, as offsets from its first byte.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Layout {
    /// Bytes before the first frame: elements up to and with the Pixel Data header and, for encapsulated
    /// pixel data, the Basic Offset Table item. 0 when no part is readable on its own.
    pub head_len: u64,
    /// How the bytes after the head are stored.
    pub body: Body,
}

/// How the bytes after the head are stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Body {
    /// As they are, in chunks: no frames, or frames that must not be decoded.
    Opaque,
    /// Uncompressed frames one after the other; what follows the last is the tail.
    Native {
        /// Bytes of one frame.
        frame_len: u64,
        /// Number of frames.
        frames: u32,
        /// Bytes of one sample, for the byte split.
        sample_bytes: u8,
        /// Bytes to reverse in each unit to get little endian; 1 when the data set is little endian.
        swap_bytes: u8,
    },
    /// Fragments of encapsulated frames in order; what follows the last is the tail.
    Fragments {
        /// Every fragment, ascending by offset, each directly after the one before.
        fragments: Vec<Fragment>,
        /// Number of frames.
        frames: u32,
    },
}

/// One fragment item of encapsulated pixel data.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fragment {
    /// Frame it belongs to, counted from 1.
    pub frame: u32,
    /// Offset of its item header.
    pub offset: u64,
    /// Bytes of its value, without the 8 bytes of the item header.
    pub len: u64,
}

/// A fault that was tolerated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ScanWarning {
    /// What is wrong.
    pub kind: WarningKind,
    /// The element it was seen at.
    pub tag: Option<Tag>,
}

impl ScanWarning {
    /// The stable code for answers, rows and pages.
    #[must_use]
    pub fn code(&self) -> &'static str {
        self.kind.code()
    }
}

macro_rules! codes {
    ($(#[$outer:meta])* $name:ident { $($(#[doc = $doc:literal])* $variant:ident = $code:literal,)* }) => {
        $(#[$outer])*
        pub enum $name { $($(#[doc = $doc])* $variant,)* }

        impl $name {
            /// The stable code for answers, rows and pages.
            #[must_use]
            pub fn code(self) -> &'static str {
                match self { $(Self::$variant => $code,)* }
            }

            /// Reads a stable code back.
            #[must_use]
            pub fn from_code(code: &str) -> Option<Self> {
                match code { $($code => Some(Self::$variant),)* _ => None }
            }
        }
    };
}

codes! {
    /// The kinds of tolerated fault.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
    WarningKind {
        /// The bytes are not encoded as the negotiated transfer syntax says; nothing was decoded blindly.
        EncodingMismatch = "encoding_mismatch",
        /// The transfer syntax is not one of PS3.5 annex A.
        TransferSyntaxUnknown = "transfer_syntax_unknown",
        /// A VR the standard does not define.
        VrUnknown = "vr_unknown",
        /// A tag that is not greater than the one before.
        OrderBroken = "order_broken",
        /// The same tag again; the first one counts.
        ElementRepeated = "element_repeated",
        /// A value of odd length.
        OddLength = "odd_length",
        /// A command or file meta element inside the data set.
        ForeignGroup = "foreign_group",
        /// A sequence of stated length whose content is not items.
        SequenceMalformed = "sequence_malformed",
        /// Bytes after the last element that are no element.
        TrailingBytes = "trailing_bytes",
        /// An indexed value was longer than the limit and is shown cut.
        ValueCut = "value_cut",
        /// Text that the declared character sets cannot explain.
        TextUncertain = "text_uncertain",
        /// A character set term that is not defined.
        CharacterSetUnknown = "character_set_unknown",
        /// The part before Pixel Data is longer than the limit; the object is kept unread.
        HeadTooLarge = "head_too_large",
        /// Rows, Columns, samples, bits or frames that make no sense or exceed the frame limit.
        PixelGeometry = "pixel_geometry",
        /// Fewer pixel bytes than the geometry asks.
        PixelDataShort = "pixel_data_short",
        /// More pixel bytes than the geometry asks.
        PixelDataLong = "pixel_data_long",
        /// Palette Color without its palettes.
        PaletteMissing = "palette_missing",
        /// Frames that do not begin at a byte border.
        FramesNotByteAligned = "frames_not_byte_aligned",
        /// Fragments or their tables are broken, or do not say which belongs to which frame.
        FragmentsMalformed = "fragments_malformed",
        /// A frame's codestream disagrees with the header, or has no readable header.
        CodestreamMismatch = "codestream_mismatch",
        /// Further warnings were dropped.
        More = "more_warnings",
    }
}

/// Why an object cannot be taken as a valid instance. Texts carry no patient data.
#[derive(Debug, thiserror::Error)]
pub enum ScanError {
    /// A required UID is absent or empty.
    #[error("{0} expected, found none")]
    UidMissing(Tag),
    /// A required UID breaks PS3.5 section 9.1.
    #[error("{0} expected as 1 to 64 digits and full stops")]
    UidMalformed(Tag),
    /// An element's length reaches beyond the end of the object, or of the sequence around it.
    #[error("length of {tag} at byte {offset} reaches beyond the data")]
    ValueBeyondObject {
        /// The element.
        tag: Tag,
        /// Where it begins.
        offset: u64,
    },
    /// An item's length reaches beyond its sequence.
    #[error("item at byte {0} reaches beyond its sequence")]
    ItemBeyondSequence(u64),
    /// The data ends inside an element header.
    #[error("data ends inside an element header at byte {0}")]
    HeaderCut(u64),
    /// A sequence of undefined length does not end.
    #[error("sequence {0} of undefined length does not end")]
    SequenceUnterminated(Tag),
    /// Pixel Data of undefined length that does not hold fragments.
    #[error("pixel data of undefined length holds no fragments")]
    FragmentsMalformed,
    /// Nesting beyond the limit.
    #[error("sequences nested deeper than {0}")]
    SequenceTooDeep(usize),
    /// Too many elements.
    #[error("more than {0} elements")]
    TooManyElements(u64),
    /// A value longer than the limit.
    #[error("value of {0} longer than the limit")]
    ValueTooLong(Tag),
    /// The object is larger than the limit.
    #[error("object larger than {0} bytes")]
    ObjectTooLarge(u64),
    /// Inflating would exceed the ratio or the absolute limit.
    #[error("deflated data set inflates beyond the limit")]
    InflateLimit,
    /// The deflate stream is broken.
    #[error("deflated data set cannot be inflated")]
    InflateMalformed,
    /// No bytes at all.
    #[error("data set is empty")]
    Empty,
    /// Reading our own file failed.
    #[error("reading the data set failed")]
    Io(#[from] io::Error),
}

impl ScanError {
    /// The stable code for answers, rows and pages.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::UidMissing(_) => "uid_missing",
            Self::UidMalformed(_) => "uid_malformed",
            Self::ValueBeyondObject { .. } => "value_beyond_object",
            Self::ItemBeyondSequence(_) => "item_beyond_sequence",
            Self::HeaderCut(_) => "header_cut",
            Self::SequenceUnterminated(_) => "sequence_unterminated",
            Self::FragmentsMalformed => "fragments_malformed",
            Self::SequenceTooDeep(_) => "sequence_too_deep",
            Self::TooManyElements(_) => "too_many_elements",
            Self::ValueTooLong(_) => "value_too_long",
            Self::ObjectTooLarge(_) => "object_too_large",
            Self::InflateLimit => "inflate_limit",
            Self::InflateMalformed => "inflate_malformed",
            Self::Empty => "empty",
            Self::Io(_) => "read_failed",
        }
    }

    /// Whether the fault lies in the peer's bytes; otherwise our own storage failed.
    #[must_use]
    pub fn is_peers_fault(&self) -> bool {
        !matches!(self, Self::Io(_))
    }
}
