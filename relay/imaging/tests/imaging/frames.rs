//! Native frames as HTJ2K: every geometry and bit layout comes back, and a table that lies is refused.

use std::io::Cursor;
use std::sync::Arc;

use proptest::prelude::*;
use sha2::{Digest, Sha256};
use tancho_domain::dicom::TransferSyntaxUid;
use tancho_imaging::container::{
    Coding, CodingTurns, Container, ContainerError, Encoder, Object, SectionKind, encode, parse_header,
};
use tancho_imaging::element::{Tag, Vr};
use tancho_imaging::limits::ScanLimits;
use tancho_imaging::scan::scan;
use tancho_imaging::syntax;
use tancho_imaging::synthetic::ElementWriter;

#[derive(Debug, Clone)]
struct Image {
    rows: u16,
    columns: u16,
    samples: u16,
    allocated: u16,
    stored: u16,
    high_bit: u16,
    signed: bool,
    planar: bool,
    frames: usize,
    big_endian: bool,
    /// 0 for a smooth image, 255 for noise in all bits.
    noise: u8,
    /// Whether bits outside the stored ones are what a sign extension gives.
    clean: bool,
}

impl Image {
    fn syntax(&self) -> &'static str {
        if self.big_endian {
            syntax::EXPLICIT_BIG
        } else {
            syntax::EXPLICIT_LITTLE
        }
    }

    fn pixels(&self) -> Vec<u8> {
        let shift = self.high_bit + 1 - self.stored;
        let mut state = 1u32;
        let n_samples = usize::from(self.rows) * usize::from(self.columns) * usize::from(self.samples);
        let words = (0..n_samples * self.frames).map(|at| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let smooth =
                (at % usize::from(self.columns)) as u32 * 3 + (at / usize::from(self.columns)) as u32;
            let value = smooth.wrapping_add((state >> 16) & u32::from(self.noise));
            if !self.clean {
                return value.wrapping_mul(0x0101) as u16;
            }
            let up = 32 - u32::from(self.stored);
            let stored = value << up;
            let sample = if self.signed {
                stored.cast_signed() >> up
            } else {
                (stored >> up).cast_signed()
            };
            (sample << shift) as u16
        });
        if self.allocated == 8 {
            return words.map(|word| word as u8).collect();
        }
        words.flat_map(u16::to_le_bytes).collect()
    }

    fn data_set(&self) -> Vec<u8> {
        let mut writer = ElementWriter::new(&TransferSyntaxUid::parse(self.syntax()).unwrap());
        writer
            .ascii(Tag::SOP_CLASS_UID, Vr::UI, "1.2.840.10008.5.1.4.1.1.7.2")
            .ascii(Tag::SOP_INSTANCE_UID, Vr::UI, "2.25.9")
            .ascii(Tag::STUDY_INSTANCE_UID, Vr::UI, "2.25.7")
            .ascii(Tag::SERIES_INSTANCE_UID, Vr::UI, "2.25.8")
            .us(Tag(0x0028, 0x0002), &[self.samples])
            .ascii(
                Tag(0x0028, 0x0004),
                Vr::CS,
                if self.samples == 3 { "RGB" } else { "MONOCHROME2" },
            );
        if self.samples == 3 {
            writer.us(Tag(0x0028, 0x0006), &[u16::from(self.planar)]);
        }
        writer
            .ascii(Tag(0x0028, 0x0008), Vr::IS, &self.frames.to_string())
            .us(Tag(0x0028, 0x0010), &[self.rows])
            .us(Tag(0x0028, 0x0011), &[self.columns])
            .us(Tag(0x0028, 0x0100), &[self.allocated])
            .us(Tag(0x0028, 0x0101), &[self.stored])
            .us(Tag(0x0028, 0x0102), &[self.high_bit])
            .us(Tag(0x0028, 0x0103), &[u16::from(self.signed)])
            .bytes(Tag::PIXEL_DATA, Vr::OW, &self.pixels())
            .bytes(Tag::TRAILING_PADDING, Vr::OB, &[0; 32]);
        writer.finish()
    }

    fn contain(&self, data_set: &[u8], coding: &Coding<'_>, n_threads: usize) -> Vec<u8> {
        let ts = TransferSyntaxUid::parse(self.syntax()).unwrap();
        let scan = scan(&mut Cursor::new(data_set), &ts, &ScanLimits::default()).unwrap();
        let object = Object {
            scan: &scan,
            transfer_syntax: &ts,
            original_sha256: &Sha256::digest(data_set).into(),
        };
        let mut out = Cursor::new(Vec::new());
        let turns = Arc::new(CodingTurns::new(n_threads, 4 << 20));
        let (src, scratch) = (&mut Cursor::new(data_set), &mut Cursor::new(Vec::new()));
        let mut encoder = Encoder::new(turns).unwrap();
        encoder.encode(src, &object, coding, scratch, &mut out).unwrap();
        out.into_inner()
    }
}

fn ct() -> Image {
    Image {
        rows: 130,
        columns: 200,
        samples: 1,
        allocated: 16,
        stored: 12,
        high_bit: 11,
        signed: true,
        planar: false,
        frames: 1,
        big_endian: false,
        noise: 7,
        clean: true,
    }
}

fn kinds(container: &[u8]) -> Vec<(SectionKind, u32)> {
    let header = parse_header(container).unwrap().unwrap();
    let of = |section: &tancho_imaging::container::Section| (section.kind, section.frame);
    header.sections.iter().map(of).collect()
}

#[test]
fn the_beginnings_of_all_frames_come_before_the_rest_of_any() {
    use SectionKind::{Head, Htj2kLow, Htj2kRest, SideBits, Tail};
    let image = Image {
        frames: 3,
        clean: false,
        ..ct()
    };
    let data_set = image.data_set();
    for n_threads in [1, 2, 5] {
        let packed = image.contain(&data_set, &Coding::default(), n_threads);
        let rests = (1..=3).flat_map(|frame| [(Htj2kRest, frame), (SideBits, frame)]);
        let lows = (1..=3).map(|frame| (Htj2kLow, frame));
        let expected: Vec<_> = [(Head, 0)]
            .into_iter()
            .chain(lows)
            .chain(rests)
            .chain([(Tail, 0)])
            .collect();
        assert_eq!(kinds(&packed), expected);
        let header = parse_header(&packed).unwrap().unwrap();
        assert_eq!(header.preview_end(), Some(header.sections[4].offset));

        let mut container = Container::open(Cursor::new(&packed)).unwrap();
        let mut back = Vec::new();
        container.rebuild(&mut back).unwrap();
        assert!(back == data_set);
        let frame_len = image.pixels().len() / 3;
        for (idx, frame) in image.pixels().chunks(frame_len).enumerate() {
            assert!(container.frame(idx as u32 + 1).unwrap() == frame);
        }
        assert_eq!(
            container.codestream(1).unwrap(),
            None,
            "the side bits would be lost"
        );
        assert!(matches!(
            container.low_frame(4),
            Err(ContainerError::NoSuchFrame(4))
        ));
    }
}

#[test]
fn a_preview_is_read_from_the_first_bytes_and_never_from_wrong_ones() {
    let image = Image { frames: 2, ..ct() };
    let packed = image.contain(&image.data_set(), &Coding::default(), 1);
    let header = parse_header(&packed).unwrap().unwrap();
    let preview_end = usize::try_from(header.preview_end().unwrap()).unwrap();
    assert!(preview_end * 2 < packed.len());
    let mut arrived = packed.clone();
    arrived[preview_end..].fill(0);
    for part in [&packed[..preview_end], &arrived] {
        let mut container = Container::open_part(Cursor::new(part)).unwrap();
        for number in [1, 2] {
            let low = container.low_frame(number).unwrap().unwrap();
            assert_eq!((low.columns, low.rows, low.halvings), (50, 33, 2));
            let whole = Container::open(Cursor::new(&packed))
                .unwrap()
                .codestream(number)
                .unwrap()
                .unwrap();
            assert!(whole.starts_with(&low.codestream) && whole.len() > low.codestream.len());
        }
        assert!(container.frame(1).is_err(), "the rest has not come");
    }
    let at = usize::try_from(header.sections[2].offset).unwrap();
    let mut container = Container::open_part(Cursor::new(&packed[..at])).unwrap();
    assert!(container.low_frame(1).unwrap().is_some());
    assert!(matches!(
        container.low_frame(2),
        Err(ContainerError::DigestMismatch(_))
    ));
    let header_len = usize::try_from(header.header_len).unwrap();
    assert!(Container::open_part(Cursor::new(&packed[..header_len - 1])).is_err());
}

#[test]
fn plain_coding_has_no_codestream() {
    let image = ct();
    let plain = Coding {
        is_plain: true,
        ..Coding::default()
    };
    let packed = image.contain(&image.data_set(), &plain, 1);
    let kinds: Vec<_> = kinds(&packed).into_iter().map(|(kind, _)| kind).collect();
    assert_eq!(
        kinds,
        [SectionKind::Head, SectionKind::NativeFrame, SectionKind::Tail]
    );
    assert_eq!(parse_header(&packed).unwrap().unwrap().preview_end(), None);
}

/// A container whose header says something else, with a digest that fits.
fn forged(packed: &[u8], change: impl FnOnce(&mut [u8])) -> Vec<u8> {
    let header_len = usize::try_from(parse_header(packed).unwrap().unwrap().header_len).unwrap();
    let mut forged = packed.to_vec();
    change(&mut forged[..header_len - 32]);
    let digest: [u8; 32] = Sha256::digest(&forged[..header_len - 32]).into();
    forged[header_len - 32..header_len].copy_from_slice(&digest);
    forged
}

#[test]
fn headers_that_break_a_rule_are_refused() {
    let image = Image {
        frames: 2,
        clean: false,
        ..ct()
    };
    let packed = image.contain(&image.data_set(), &Coding::default(), 1);
    let header = parse_header(&packed).unwrap().unwrap();
    let n_sections = header.sections.len();
    // head, low 1, low 2, rest 1, side 1, rest 2, side 2, tail
    assert_eq!(n_sections, 8);
    let row = move |n: usize| usize::try_from(header.header_len).unwrap() - 32 - 56 * (n_sections - n);
    let refused = |what: &str, change: &dyn Fn(&mut [u8])| {
        let bytes = forged(&packed, change);
        assert!(parse_header(&bytes).is_err(), "{what}");
        assert!(Container::open(Cursor::new(&bytes)).is_err(), "{what}");
    };
    assert!(parse_header(&forged(&packed, |_| {})).is_ok());
    refused("unknown flag", &|header| header[11] = 2);
    refused("a dictionary without a head for it", &|header| header[80] = 1);
    refused("no geometry", &|header| header[64..80].fill(0));
    refused("other rows", &|header| header[64] += 1);
    refused("no rows", &|header| header[64..66].fill(0));
    refused("two samples", &|header| header[68] = 2);
    refused("bits allocated", &|header| header[69] = 12);
    refused("bits stored above allocated", &|header| header[70] = 17);
    refused("no bits stored", &|header| header[70] = 0);
    refused("high bit below bits stored", &|header| header[71] = 10);
    refused("high bit above bits allocated", &|header| header[71] = 16);
    refused("pixel representation", &|header| header[72] = 2);
    refused("planes of one sample", &|header| header[73] = 1);
    refused("three halvings", &|header| header[74] = 3);
    refused("reserved", &|header| header[75] = 1);
    refused("swap unit of four", &|header| header[10] = 4);
    refused("rest before low", &|header| header[row(1)] = 7);
    refused("side bits first", &|header| header[row(3)] = 8);
    refused("two rests", &|header| header[row(4)] = 7);
    refused("rest of another frame", &|header| header[row(5) + 4] = 1);
    refused("rest of no frame", &|header| header[row(5) + 4] = 3);
    refused("rest with a length", &|header| header[row(3) + 16] = 1);
    refused("rest with a sample size", &|header| header[row(3) + 1] = 2);
    refused("tail before the rests", &|header| {
        header.copy_within(row(7)..row(8), row(3));
    });
    refused("low twice", &|header| header[row(2) + 4] = 1);
    refused("low in version 1", &|header| header[8] = 1);
    refused("codestream longer than its frame", &|header| {
        header[row(1) + 8..row(1) + 16].copy_from_slice(&60_000u64.to_le_bytes());
    });
    refused("lengths that overflow", &|header| {
        header[row(3) + 8..row(3) + 16].copy_from_slice(&u64::MAX.to_le_bytes());
    });
}

#[test]
fn a_codestream_that_is_none_is_an_error() {
    let image = ct();
    let data_set = image.data_set();
    let packed = image.contain(&data_set, &Coding::default(), 1);
    let header = parse_header(&packed).unwrap().unwrap();
    for idx in [1, 2] {
        let section = header.sections[idx];
        let from = usize::try_from(section.offset).unwrap();
        let to = from + usize::try_from(section.stored_len).unwrap();
        for at in [from, (from + to) / 2, to - 1] {
            let mut changed = packed.clone();
            changed[at] ^= 0x5A;
            let sha: [u8; 32] = Sha256::digest(&changed[from..to]).into();
            let row = usize::try_from(header.header_len).unwrap() - 32 - 56 * (header.sections.len() - idx);
            let changed = forged(&changed, |header| {
                header[row + 24..row + 56].copy_from_slice(&sha)
            });
            let mut container = Container::open(Cursor::new(&changed)).unwrap();
            let frame = container.frame(1);
            assert!(frame.is_err() || frame.is_ok_and(|frame| frame.len() == image.pixels().len()));
            assert!(container.rebuild(&mut Vec::new()).is_err());
        }
    }
}

prop_compose! {
    fn images()(
        rows in 1u16..150, columns in 1u16..150, colour in any::<bool>(), wide in any::<bool>(), stored in 1u16..=16,
        above in 0u16..16, signed in any::<bool>(), planar in any::<bool>(), frames in 1usize..4,
        big_endian in any::<bool>(), noise in prop::sample::select(vec![0u8, 3, 255]), clean in any::<bool>(),
    ) -> Image {
        let allocated = if wide { 16 } else { 8 };
        let stored = (stored - 1) % allocated + 1;
        let samples = if colour { 3 } else { 1 };
        let odd = !wide && (usize::from(rows) * usize::from(columns) * usize::from(samples)) % 2 == 1;
        Image {
            rows: if odd { rows + 1 } else { rows },
            columns,
            samples,
            allocated,
            stored,
            high_bit: stored - 1 + above % (allocated - stored + 1),
            signed,
            planar: planar && colour,
            frames,
            big_endian,
            noise,
            clean,
        }
    }
}

proptest! {
    #[test]
    fn every_geometry_and_bit_layout_comes_back(image in images()) {
        let data_set = image.data_set();
        let packed = image.contain(&data_set, &Coding::default(), 2);
        let mut container = Container::open(Cursor::new(&packed)).unwrap();
        let mut back = Vec::new();
        container.rebuild(&mut back).unwrap();
        prop_assert!(back == data_set);
        let plain = image.contain(&data_set, &Coding { is_plain: true, ..Coding::default() }, 1);
        let mut plain = Container::open(Cursor::new(&plain)).unwrap();
        for number in 1..=container.frame_count() {
            prop_assert!(container.frame(number).unwrap() == plain.frame(number).unwrap());
            prop_assert!(
                container.frame_little_endian(number).unwrap() == plain.frame_little_endian(number).unwrap()
            );
        }
    }

    #[test]
    fn a_lying_table_never_panics_and_never_gives_wrong_bytes(
        changes in prop::collection::vec((64usize..1000, any::<u8>()), 1..6)
    ) {
        let image = Image { rows: 70, columns: 70, frames: 2, clean: false, ..ct() };
        let data_set = image.data_set();
        let packed = image.contain(&data_set, &Coding::default(), 1);
        let lying = forged(&packed, |header| {
            for (at, value) in changes {
                header[at % header.len()] = value;
            }
        });
        if let Ok(mut container) = Container::open(Cursor::new(&lying)) {
            let mut back = Vec::new();
            if container.rebuild(&mut back).is_ok() {
                prop_assert!(back == data_set);
            }
            for number in 0..4 {
                let _ = container.frame(number);
                let _ = container.codestream(number);
                let _ = container.low_frame(number);
            }
            let _ = container.head_bytes(1 << 20);
            let _ = container.scan_identity(&ScanLimits::default());
        }
    }
}

#[test]
fn the_simple_call_codes_as_the_encoder_does() {
    let image = ct();
    let data_set = image.data_set();
    let ts = TransferSyntaxUid::parse(image.syntax()).unwrap();
    let scan = scan(&mut Cursor::new(&data_set), &ts, &ScanLimits::default()).unwrap();
    let mut out = Cursor::new(Vec::new());
    encode(
        &mut Cursor::new(&data_set),
        &scan,
        &ts,
        &Sha256::digest(&data_set).into(),
        &mut out,
    )
    .unwrap();
    assert_eq!(out.into_inner(), image.contain(&data_set, &Coding::default(), 2));
}
