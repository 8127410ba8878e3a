use std::sync::LazyLock;

use proptest::prelude::*;

use super::super::encode;
use super::*;

fn shape(width: u32, height: u32, components: u8, precision: u8, signed: bool) -> ImageShape {
    ImageShape {
        width,
        height,
        components,
        precision,
        signed,
    }
}

/// A picture with smooth parts and steps, the same as the foreign codestreams below hold.
fn picture(shape: &ImageShape) -> Vec<i32> {
    let mut samples = Vec::new();
    for y in 0..shape.height as i32 {
        for x in 0..shape.width as i32 {
            let sample = |k| (x * x + (k + 1) * y * y + x * y * (k + 3) / 5) % (1 << shape.precision);
            samples.extend((0..i32::from(shape.components)).map(sample));
        }
    }
    samples
}

fn bytes_of(hexadecimal: &str) -> Vec<u8> {
    let digits: Vec<u32> = hexadecimal
        .chars()
        .filter_map(|digit| digit.to_digit(16))
        .collect();
    digits
        .chunks_exact(2)
        .map(|pair| (pair[0] << 4 | pair[1]) as u8)
        .collect()
}

/// 41 x 23, 12 bits: two decompositions, blocks of 8 x 8, precincts of 16 x 16; written by OpenJPH.
static GREY: LazyLock<(ImageShape, Vec<u8>)> =
    LazyLock::new(|| (shape(41, 23, 1, 12, false), bytes_of(GREY_DIGITS)));

/// 19 x 13, three components of 8 bits: one decomposition, blocks of 32 x 32; written by OpenJPH.
static COLOUR: LazyLock<(ImageShape, Vec<u8>)> =
    LazyLock::new(|| (shape(19, 13, 3, 8, false), bytes_of(COLOUR_DIGITS)));

/// 70 x 37, three components of 16 signed bits, written by our own encoder.
static OWN: LazyLock<(ImageShape, Vec<u8>)> = LazyLock::new(|| {
    let shape = shape(70, 37, 3, 16, true);
    let samples: Vec<i32> = picture(&shape).iter().map(|sample| 3000 - sample).collect();
    (
        shape,
        encode(&shape, &samples)
            .expect("the image is within limits")
            .bytes,
    )
});

#[test]
fn reads_what_openjph_writes() {
    let mut decoder = Decoder::default();
    let mut samples = Vec::new();
    for (shape, codestream) in [&*GREY, &*COLOUR, &*GREY] {
        decoder
            .decode(codestream, shape, &mut samples)
            .expect("the codestream is right");
        assert_eq!(samples, picture(shape));
    }
}

#[test]
fn padding_after_the_end_is_no_part_of_the_image() {
    let (shape, codestream) = &*GREY;
    let padded = [&codestream[..], &[0]].concat();
    let mut samples = Vec::new();
    decode(&padded, shape, &mut samples).expect("the codestream is right");
    assert_eq!(samples, picture(shape));
}

#[test]
fn refuses_every_prefix_as_an_image() {
    for (shape, codestream) in [&*GREY, &*COLOUR, &*OWN] {
        for length in 0..codestream.len() {
            let outcome = decode(&codestream[..length], shape, &mut Vec::new());
            assert_eq!(
                outcome,
                Err(DecodeError::Truncated),
                "{length} of {} bytes",
                codestream.len()
            );
        }
    }
}

/// A prefix either ends too early or gives exactly the preview that the whole codestream gives.
#[test]
fn previews_do_not_depend_on_where_the_prefix_ends() {
    for (shape, codestream) in [&*GREY, &*COLOUR, &*OWN] {
        for discard_levels in 0..=1 {
            let mut whole = Vec::new();
            let reduced = decode_prefix(codestream, shape, discard_levels, &mut whole)
                .expect("the codestream is right");
            assert_eq!(
                (reduced.width, reduced.height),
                (
                    side_at(shape.width, discard_levels),
                    side_at(shape.height, discard_levels)
                )
            );
            assert_eq!(whole.len(), reduced.n_samples());
            let mut enough = false;
            for length in 0..codestream.len() {
                let mut samples = Vec::new();
                match decode_prefix(&codestream[..length], shape, discard_levels, &mut samples) {
                    Ok(_) => {
                        assert_eq!(samples, whole);
                        enough = true;
                    }
                    Err(error) => assert!(!enough && error == DecodeError::Truncated, "{error} at {length}"),
                }
            }
            assert!(enough);
        }
    }
    let (shape, codestream) = &*GREY;
    let outcome = decode_prefix(codestream, shape, 3, &mut Vec::new());
    assert_eq!(outcome, Err(DecodeError::NoSuchResolution { levels: 2 }));
}

#[test]
fn refuses_another_shape_than_expected() {
    let (right, codestream) = &*GREY;
    let others = [
        ImageShape { width: 40, ..*right },
        ImageShape { height: 24, ..*right },
        ImageShape {
            components: 3,
            ..*right
        },
        ImageShape {
            precision: 11,
            ..*right
        },
        ImageShape {
            signed: true,
            ..*right
        },
    ];
    for other in others {
        assert_eq!(
            decode(codestream, &other, &mut Vec::new()),
            Err(DecodeError::OtherShape),
            "{other:?}"
        );
    }
    let none = ImageShape { width: 0, ..*right };
    assert!(matches!(
        decode(codestream, &none, &mut Vec::new()),
        Err(DecodeError::Shape(_))
    ));
}

/// Changes one byte of COD or QCD, counted from the marker.
#[test]
fn names_what_it_does_not_support() {
    let (shape, codestream) = &*GREY;
    let changes = [
        (COD, 4, 2, "SOP or EPH markers"),
        (COD, 5, 0, "a progression other than RPCL"),
        (COD, 7, 2, "several quality layers"),
        (COD, 8, 1, "this use of the colour transform"),
        (COD, 12, 0, "code blocks that are not plain HT blocks"),
        (COD, 13, 0, "a transform other than the reversible 5/3"),
        (COD, 15, 0x22, "precincts of less than four coefficients a side"),
        (QCD, 4, 0x21, "quantization"),
        (SIZ, 15, 1, "images or tiles off the origin"),
        (SIZ, 25, 7, "several tiles"),
        (SIZ, 41, 2, "subsampled components"),
    ];
    for (marker, offset, value, what) in changes {
        let mut changed = codestream.clone();
        let start = changed
            .windows(2)
            .position(|window| window == marker)
            .expect("the marker is there");
        changed[start + offset] = value;
        assert_eq!(
            decode(&changed, shape, &mut Vec::new()),
            Err(DecodeError::Unsupported(what))
        );
    }
}

const SIZ: [u8; 2] = [0xFF, 0x51];
const COD: [u8; 2] = [0xFF, 0x52];
const QCD: [u8; 2] = [0xFF, 0x5C];

/// A header that promises the largest image in a few bytes costs no memory for it.
#[test]
fn reserves_nothing_before_the_packets_are_there() {
    let small = shape(200, 150, 1, 12, false);
    let mut codestream = encode(&small, &picture(&small))
        .expect("the image is within limits")
        .bytes;
    for offset in [8, 12, 24, 28] {
        codestream[offset..offset + 4].copy_from_slice(&32_768_u32.to_be_bytes());
    }
    let expected = shape(32_768, 32_768, 1, 12, false);
    let mut samples = Vec::new();
    assert!(decode(&codestream, &expected, &mut samples).is_err());
    assert_eq!(samples.capacity(), 0);
}

/// What must hold whatever the bytes are: samples of the expected shape and range, or an error.
fn check_outcome(codestream: &[u8], shape: &ImageShape) -> Result<(), TestCaseError> {
    let mut samples = vec![i32::MIN];
    let whole = decode(codestream, shape, &mut samples).map(|()| shape.n_samples());
    prop_assert_eq!(samples.len(), whole.unwrap_or(0));
    prop_assert!(samples.iter().all(|sample| shape.sample_range().contains(sample)));
    let preview = decode_prefix(codestream, shape, 1, &mut samples).map(|reduced| reduced.n_samples());
    prop_assert_eq!(samples.len(), preview.unwrap_or(0));
    prop_assert!(samples.iter().all(|sample| shape.sample_range().contains(sample)));
    check_memory(codestream, shape)
}

/// A decoder that has just decoded the whole image gives no sample of it to a codestream that lacks it: the outcome is
/// that of a fresh decoder.
fn check_memory(codestream: &[u8], shape: &ImageShape) -> Result<(), TestCaseError> {
    let known = [&*GREY, &*COLOUR, &*OWN];
    let (mut kept, mut samples, mut fresh) = (Decoder::default(), Vec::new(), Vec::new());
    for (known_shape, whole) in known.iter().filter(|(known, _)| known == shape) {
        prop_assert_eq!(kept.decode(whole, known_shape, &mut samples), Ok(()));
        let outcome = kept.decode(codestream, shape, &mut samples);
        prop_assert_eq!(outcome, decode(codestream, shape, &mut fresh));
        prop_assert_eq!(&samples, &fresh);
        let preview = kept.decode_prefix(codestream, shape, 1, &mut samples);
        prop_assert_eq!(preview, decode_prefix(codestream, shape, 1, &mut fresh));
        prop_assert_eq!(&samples, &fresh);
    }
    Ok(())
}

proptest! {
    #[test]
    fn arbitrary_bytes_do_no_harm(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        check_outcome(&bytes, &GREY.0)?;
    }

    #[test]
    fn changed_bytes_do_no_harm(
        base in 0..3_usize,
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
        cut in prop::option::of(any::<prop::sample::Index>()),
    ) {
        let (shape, codestream) = [&*GREY, &*COLOUR, &*OWN][base];
        let mut changed = codestream.clone();
        for (at, value) in changes {
            let at = at.index(changed.len());
            changed[at] = value;
        }
        if let Some(cut) = cut {
            changed.truncate(cut.index(codestream.len()));
        }
        check_outcome(&changed, shape)?;
    }

    /// Straight into the block decoder, past the headers that would refuse most bytes.
    #[test]
    fn arbitrary_blocks_do_no_harm(
        mut segment in prop::collection::vec(prop_oneof![Just(0xFF_u8), Just(0), any::<u8>()], 2..600),
        suffix in prop::option::of(any::<prop::sample::Index>()),
        (width, height) in prop_oneof![(1..=64_usize, 1..=64_usize), (1..=1024_usize, 1..=4_usize), (1..=4_usize, 1..=1024_usize)],
        magnitude_bits in 1..=block::MAGNITUDE_BITS_MAX,
    ) {
        if let Some(suffix) = suffix {
            let length = suffix.index(segment.len() - 1) + 2;
            let [.., low, high] = &mut segment[..] else { unreachable!() };
            *high = (length >> 4) as u8;
            *low = *low & 0xF0 | (length & 15) as u8;
        }
        let stride = width + 3;
        let mut plane = vec![i32::MIN; stride * height];
        let target = Target { plane: &mut plane[..stride * height - 3], stride, width, height };
        let outcome = BlockDecoder::default().decode(&segment, magnitude_bits, target);
        for row in plane.chunks(stride) {
            prop_assert!(row[width..].iter().all(|&sample| sample == i32::MIN), "wrote outside the block");
            if outcome.is_ok() {
                prop_assert!(row[..width].iter().all(|sample| sample.unsigned_abs() <= 1 << magnitude_bits));
            }
        }
    }
}

const GREY_DIGITS: &str = "
    ff4fff5100294000000000290000001700000000000000000000002900000017000000000000000000010b0101ff50000800
    0200000007ff52000f01020001000201014001444444ff5c000a2070787878707078ff64001600014f70656e4a5048205665
    7220302e392e302eff90000a0000000002000001ff93e000dea7ba000770fee75ffb870ffab91f7de0cd9ef38c87abd77982
    52f8730ffa47ef7abef3dde83b0378ba5385e8215b98f9817379b36ff8cebb05704ed58ac9595ebffbf53e777d10afd65f57
    afd65c8400c621403330010778fa79377af8d4941b7d20d8c34a08fdb49ab0b1abf9073d5d9c4400fb3900c000b720005d44
    000aa0ff5fff7fd7ff7febff7bf5ff5dfe63d7afd65fd7afd65e8c6a31be00f7ff7dff6f7b7577d7c174701d7407e18179b0
    1ebc07f5604200208420031fd7afd65e8c6a31b10188f00012c969e1480800c000a8800169c00090ff7fef12f2f1b500f77f
    ef75901ff8070641040ce37fe5e8f9ba00fc811300c00169c00169c000abff7fff7fff7f0cc7318a31d10b4d2e541dbd00ff
    7fff7fff7f19dad70015aaec762e541dbd0088e2c802dfd8543b5a0900c0016ac00169c000abff7fff7fff7fff7f00726d0c
    42b16e852a0cadbd00ff7fff7fff7f0b5b670015bb1cb62a0cadbd002010505fc3101dae904900c00155000574000940ff7f
    1af029c555357800ff7fff7f00779c345aba2d357a00ca9b114400c00159000554000940ff7fff7f05a19abe9fddb800ff7f
    0b5ace2a4d5fb800fc3c086400c00159000554000940ff7fff7f000c1a4fecafb800ff7f0b5ace26acafb800fc9e086400c0
    013c001500ff7f00236f1500ff7f559d7f6db600ffd9";

const COLOUR_DIGITS: &str = "
    ff4fff51002f4000000000130000000d0000000000000000000000130000000d000000000000000000030701010701010701
    01ff500008000200000004ff52000c00020001010103034001ff5c00072058585860ff64001600014f70656e4a5048205665
    7220302e392e302eff90000a0000000002f50001ff93c00bd40001f1f9e3e162ee12c8e6121c2a1797cae663c1b9d635919a
    8a225c2841b85aa7e3342298a220c846e959b2382d6a0090ce487e8e336413885965fc02d9ff73f98022118a58b388280001
    600040333501c00bd34028d1969b580f11191316e52291f23b9c27ee20a097bdf5beb17aa1381ff4d9f03775b33f22799c73
    d37a04a32817e6e29d9ab0203b007dfdf7f7395ea12874749324a408928e004a69a7a75801c00bd4404c0882a150cd1d054c
    5d1126e3734ea970a919c82b7f75eff9d75732d81959968cd1810b5c6ba828bb320e16bf99081c1e72c34d785c29b3fe43ee
    7c7ff73487542492872c08152e4063846558490b9801c00bb880176d001756ff0720e03afb1c5ef8403089c74b3cc6065f14
    65319be467eec419c3078f134791eb00c2f1f3f3eeff8168ad79823924fda8a3114ebdb601ff7f2194527b840f84404a565a
    e1a26c088345ad6e365e5759bb99c8869aba4dcba66b6bb02214430ce0c39208ca100000acd731b30140beaf8007d8f100be
    ff47f33e209fdff3fe9ee7fbf3fe3e5eafdf4423c2199f7d9b25bc10adb210764001c00bb880177500175800f8787ec7e3ed
    fdfd3eefe7f9af3fc00ffaf87d7f9faf17e8eb03fe7e00403efe002058e1ed7fdcece9cf0233f7678be00cea0216c01701ff
    7e0282f80770047085fcf3848770f1718584f0f2fd05fbfef307fb78040708e0f6ed2f0fbe6fbf046c9e04483f7b05c18968
    01f8c1c4d78201e0df1ffcfebf7f3f3f7f007eff7efbf703f803d8e707d0eff7eff70ff00e0ca66bd9f9ce109f2d1835416f
    00c00bb780177100175800f1e7c9c7f3e9f2f8f7e8fec707e401eae5fdf7e5f3e505fa7dc0cff70306f8fdfd00c175efb3ee
    ff020805ae111b15098a430cc01501002010f5f6bd0b0100d880ba5d71b70bda0284007d00c21d70b7470010acaf6bbb0b00
    0c5070ef692a90a3821843152e51c0004299e2b101c1ff7fc33f3f00fe7d7e81ff00fe7f7fff7fdfdf1f00ff3fff7ffb3be4
    2287378c46483fed5dbe219d8ac101ffd9";
