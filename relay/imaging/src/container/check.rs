//! The rules that hold between a header and the rows of its table, and between the rows.

use super::{ContainerError, ContainerHeader, Section, SectionKind, code};
use crate::limits::pieces;

/// Longest head section when expanded.
const HEAD_EXPANDED_BYTES_MAX: u64 = 64 * 1024 * 1024;

fn rule(good: bool, what: &'static str) -> Result<(), ContainerError> {
    if good {
        Ok(())
    } else {
        Err(ContainerError::Malformed(what))
    }
}

/// Checks everything that can be known before a section has come.
pub(super) fn check(header: &ContainerHeader) -> Result<(), ContainerError> {
    let n_sections = header.sections.len() as u64;
    rule(n_sections > 0, "no sections")?;
    rule(n_sections <= pieces::SECTIONS_MAX, "too many sections")?;
    rule(matches!(header.swap_bytes, 1 | 2 | 4 | 8), "swap unit")?;
    let mut total = 0u64;
    let mut order = Order::default();
    for (idx, section) in header.sections.iter().enumerate() {
        total = total
            .checked_add(section.expanded_len)
            .ok_or(ContainerError::Malformed("section lengths"))?;
        lengths(section)?;
        samples(section)?;
        rule(!section.kind.is_head() || idx == 0, "head not first")?;
        order.next(section)?;
    }
    rule(order.frame == header.frame_count, "frame count")?;
    rule(total == header.original_len, "original length")?;
    head(header)?;
    geometry(header)
}

fn lengths(section: &Section) -> Result<(), ContainerError> {
    let (stored, expanded) = (section.stored_len, section.expanded_len);
    let expanded_max = match section.kind {
        SectionKind::Head | SectionKind::HeadWithDictionary => HEAD_EXPANDED_BYTES_MAX,
        SectionKind::NativeFrame | SectionKind::Htj2kLow => pieces::FRAME_SECTION_BYTES_MAX,
        SectionKind::Tail | SectionKind::Opaque => pieces::OPAQUE_CHUNK_BYTES,
        SectionKind::Fragment => 8 + u64::from(u32::MAX),
        SectionKind::Htj2kRest | SectionKind::SideBits => 0,
    };
    rule(expanded <= expanded_max, "section too long")?;
    match section.kind {
        SectionKind::Fragment => rule(stored.checked_add(8) == Some(expanded), "fragment length"),
        // With the frame they belong to: `Order::rest`.
        SectionKind::Htj2kRest | SectionKind::SideBits => Ok(()),
        SectionKind::Htj2kLow => rule(stored <= expanded, "codestream longer than its frame"),
        _ => rule(stored <= zstd_max(expanded), "section stored longer than it is"),
    }
}

/// zstd never grows data by more than this.
fn zstd_max(expanded: u64) -> u64 {
    expanded + expanded / 128 + 1024
}

fn samples(section: &Section) -> Result<(), ContainerError> {
    if section.kind != SectionKind::NativeFrame {
        return rule(section.sample_bytes == 0, "sample size");
    }
    let whole = section
        .expanded_len
        .is_multiple_of(u64::from(section.sample_bytes.max(1)));
    rule(
        matches!(section.sample_bytes, 1 | 2 | 4 | 8) && whole,
        "sample size",
    )
}

/// Where in the order of sections the walk stands.
#[derive(Default)]
struct Order {
    part: Part,
    /// The last frame begun.
    frame: u32,
    /// How it is coded.
    kind: Option<SectionKind>,
    /// Frame number, stored and expanded length of every HTJ2K frame.
    low: Vec<(u32, u64, u64)>,
    /// The frame in `low` that the last rest belonged to, and how many of its rests came.
    at: usize,
    last_rest: Option<SectionKind>,
}

#[derive(Default, PartialEq, PartialOrd)]
enum Part {
    #[default]
    Firsts,
    Rests,
    Tail,
}

impl Order {
    fn next(&mut self, section: &Section) -> Result<(), ContainerError> {
        match section.kind {
            SectionKind::Head | SectionKind::HeadWithDictionary => rule(section.frame == 0, "frame order"),
            SectionKind::Htj2kRest | SectionKind::SideBits => self.rest(section),
            SectionKind::Tail => self.tail(section),
            SectionKind::Opaque if section.frame == 0 => self.tail(section),
            _ => self.first(section),
        }
    }

    fn tail(&mut self, section: &Section) -> Result<(), ContainerError> {
        self.part = Part::Tail;
        rule(section.frame == 0, "frame order")
    }

    /// A frame begins, or goes on in a further fragment or chunk.
    fn first(&mut self, section: &Section) -> Result<(), ContainerError> {
        rule(self.part == Part::Firsts, "frame order")?;
        let in_pieces = matches!(section.kind, SectionKind::Fragment | SectionKind::Opaque);
        let goes_on = section.frame == self.frame && in_pieces && self.kind == Some(section.kind);
        let begins = Some(section.frame) == self.frame.checked_add(1);
        rule(section.frame >= 1 && (goes_on || begins), "frame order")?;
        self.frame = section.frame;
        self.kind = Some(section.kind);
        if section.kind == SectionKind::Htj2kLow {
            self.low
                .push((section.frame, section.stored_len, section.expanded_len));
        }
        Ok(())
    }

    /// The rest of a codestream, then its side bits, each at most once, in the order of the frames.
    fn rest(&mut self, section: &Section) -> Result<(), ContainerError> {
        rule(self.part <= Part::Rests, "frame order")?;
        self.part = Part::Rests;
        while self.low.get(self.at).is_some_and(|low| low.0 < section.frame) {
            self.at += 1;
            self.last_rest = None;
        }
        let low = self.low.get(self.at).filter(|low| low.0 == section.frame);
        let (_, stored, expanded) = *low.ok_or(ContainerError::Malformed("frame order"))?;
        if section.kind == SectionKind::Htj2kRest {
            rule(self.last_rest.is_none(), "frame order")?;
            let fits = stored
                .checked_add(section.stored_len)
                .is_some_and(|codestream| codestream <= expanded);
            rule(fits, "codestream longer than its frame")?;
        } else {
            rule(self.last_rest != Some(SectionKind::SideBits), "frame order")?;
            rule(
                section.stored_len <= zstd_max(expanded),
                "section stored longer than it is",
            )?;
        }
        self.last_rest = Some(section.kind);
        Ok(())
    }
}

fn head(header: &ContainerHeader) -> Result<(), ContainerError> {
    let head = header.sections.first().filter(|section| section.kind.is_head());
    let needs = head.is_some_and(|head| head.kind == SectionKind::HeadWithDictionary);
    rule(needs == header.dictionary_sha256.is_some(), "dictionary")?;
    let may_serve =
        head.is_some_and(|head| head.kind == SectionKind::Head && code::fits_dictionary(head.expanded_len));
    rule(!header.is_dictionary || may_serve, "dictionary")
}

fn geometry(header: &ContainerHeader) -> Result<(), ContainerError> {
    let mut low = header
        .sections
        .iter()
        .filter(|section| section.kind == SectionKind::Htj2kLow)
        .peekable();
    let Some(geometry) = &header.geometry else {
        return rule(low.peek().is_none(), "frame geometry");
    };
    rule(header.low_halvings <= 2, "frame geometry")?;
    let frame_len = geometry.frame_len();
    let swaps = match header.swap_bytes {
        1 => true,
        2 => frame_len.is_multiple_of(2),
        _ => false,
    };
    rule(
        geometry.is_codable() && swaps && low.peek().is_some(),
        "frame geometry",
    )?;
    rule(low.all(|low| low.expanded_len == frame_len), "frame geometry")
}
