use proptest::prelude::*;

use super::super::{decode, decode_prefix};
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

/// Samples over the whole range of the shape, from a seed.
fn noise(shape: &ImageShape, seed: u64) -> Vec<i32> {
    let mut state = seed;
    let lowest = *shape.sample_range().start();
    let mut next = || {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        lowest + ((state >> 40) as i32 & ((1 << shape.precision) - 1))
    };
    (0..shape.n_samples()).map(|_| next()).collect()
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Reads the packets of all tile-parts, between SOD and the next SOT.
fn tile_parts(codestream: &Codestream) -> Vec<&[u8]> {
    let bytes = &codestream.bytes;
    let mut start = bytes
        .windows(4)
        .position(|window| window == [0xFF, 0x90, 0, 10])
        .expect("a codestream has a tile-part");
    let last = codestream.resolution_ends.len() - 1;
    let ends = codestream.resolution_ends.iter().enumerate();
    ends.map(|(r, &end)| {
        let end = end as usize - if r == last { 2 } else { 0 };
        let length = u32::from_be_bytes(bytes[start + 6..start + 10].try_into().expect("four bytes"));
        assert_eq!(start + length as usize, end);
        assert_eq!(bytes[start + 12..start + 14], [0xFF, 0x93]);
        let packets = &bytes[start + 14..end];
        start = end;
        packets
    })
    .collect()
}

/// OpenJPH 0.26.3 and OpenJPEG 2.5.4 give back the samples of these.
#[test]
fn bytes_stay_as_other_decoders_have_read_them() {
    let grey = shape(5, 3, 1, 12, false);
    let samples = [
        0, 4095, 2048, 2047, 1, 100, 99, 98, 97, 96, 2000, 2001, 2003, 1999, 2000,
    ];
    let coded = encode(&grey, &samples).expect("the image is within limits");
    assert_eq!(hexadecimal(&coded.bytes), GREY);
    let colour = shape(66, 2, 3, 8, true);
    let samples: Vec<i32> = (0..396).map(|i| (i * 7) % 9 - 4).collect();
    let coded = encode(&colour, &samples).expect("the image is within limits");
    assert_eq!(hexadecimal(&coded.bytes), COLOUR);
    assert_eq!(coded.resolution_ends, COLOUR_ENDS);
}

const GREY: &str = "\
    ff4fff5100294000000000050000000300000000000000000000000500000003000000000000000000010b0101ff50000800\
    0200000005ff52000c00020001000004044001ff5c00044060ff55000a0060000000000030ff90000a0000000000300001ff\
    93c002dfff3ff3fc9ff39d07a0e7fdff792f74210b61f8fe00105d9c607c840069bb00ffd9\
";
const COLOUR: &str = "\
    ff4fff51002f4000000000420000000200000000000000000000004200000002000000000000000000038701018701018701\
    01ff500008000200000004ff52000c00020001010304044001ff5c000d4048505058505058505058ff55001c006000000000\
    002500000000002500000000003500000000006fff90000a0000000000250004ff9300c0152000c04bd8dad7f77700c01380\
    49fe04318ce500ff90000a0000000000250104ff9300c00a80bcdb6a6eab517600c00a808ab462b5376a3600ff90000a0000\
    000000350204ff9300c00b40a95a955a95f62a46ebd4d66b5cd17a00c00b401408190819f85b35aa46ebd4d66a3a00ff9000\
    0a00000000006f0304ff93c00b4849922449fe004318c6318c6318c6318ced00c00ba30070070f77f070070f77f070070f17\
    36467b91baad4de6b5c8dd56a6f35ae46eab517501c00ba1002880400c20100308c400023180408c0002b5376b5a6eab5376\
    b5a6eab5376a3201ffd9\
";
const COLOUR_ENDS: [u32; 4] = [157, 194, 247, 360];

#[test]
fn tells_the_lengths_of_all_tile_parts_before_the_first() {
    let image = shape(300, 140, 3, 16, false);
    let coded = encode(&image, &noise(&image, 4)).expect("the image is within limits");
    let at = coded
        .bytes
        .windows(2)
        .position(|window| window == [0xFF, 0x55])
        .expect("a codestream has TLM");
    assert_eq!(coded.bytes[at + 2..at + 6], [0, 4 + 6 * 6, 0, 0x60]);
    let mut end = at + 4 + 2 + 6 * 6;
    for (r, &resolution_end) in coded.resolution_ends.iter().enumerate() {
        let entry = &coded.bytes[at + 6 + 6 * r..][..6];
        assert_eq!(entry[..2], [0, 0]);
        end += u32::from_be_bytes([entry[2], entry[3], entry[4], entry[5]]) as usize;
        assert_eq!(resolution_end as usize, end + if r == 5 { 2 } else { 0 });
    }
    assert_eq!(coded.bytes.len(), end + 2);
    assert_eq!(tile_parts(&coded).len(), 6);
}

#[test]
fn refuses_what_it_could_not_give_back() {
    let image = shape(2, 2, 1, 8, true);
    assert_eq!(
        encode(&image, &[0; 3]),
        Err(EncodeError::SampleCount {
            expected: 4,
            found: 3
        })
    );
    for sample in [-129, 128, i32::MIN, i32::MAX] {
        let (lowest, highest) = (sample.min(0), sample.max(0));
        assert_eq!(
            encode(&image, &[0, 0, sample, 0]),
            Err(EncodeError::SampleRange { lowest, highest })
        );
    }
    assert!(matches!(
        encode(&shape(0, 2, 1, 8, true), &[]),
        Err(EncodeError::Shape(_))
    ));
}

#[test]
fn an_image_leaves_nothing_behind_for_the_next() {
    let mut encoder = Encoder::default();
    let mut reused = Codestream::default();
    let images = [
        shape(130, 90, 3, 16, false),
        shape(3, 200, 1, 5, true),
        shape(130, 90, 1, 16, false),
        shape(1, 1, 1, 1, false),
        shape(65, 65, 3, 1, true),
        shape(800, 700, 1, 12, true),
        shape(130, 90, 1, 16, false),
    ];
    for (seed, image) in images.iter().enumerate() {
        let samples = noise(image, seed as u64);
        let refused = encoder.encode(image, &mut samples[1..].to_vec(), &mut reused);
        assert!(refused.is_err());
        encoder
            .encode(image, &mut samples.clone(), &mut reused)
            .expect("the image is within limits");
        assert_eq!(Ok(&reused), encode(image, &samples).as_ref());
    }
}

/// How samples vary over the image, from calm to hostile.
#[derive(Clone, Copy, Debug)]
enum Texture {
    Constant,
    Noise,
    Extremes,
    Smooth,
    Sparse,
    SmallNoise,
}

fn textured(shape: &ImageShape, texture: Texture, seed: u64) -> Vec<i32> {
    let (lowest, highest) = (*shape.sample_range().start(), *shape.sample_range().end());
    let middle = lowest + (highest - lowest) / 2;
    let random = noise(shape, seed);
    let row = shape.width as usize * usize::from(shape.components);
    random
        .iter()
        .enumerate()
        .map(|(i, &sample)| match texture {
            Texture::Constant => random[0],
            Texture::Noise => sample,
            Texture::Extremes => {
                if sample > middle {
                    highest
                } else {
                    lowest
                }
            }
            Texture::Smooth => lowest + ((i % row + i / row) as i32 * 3) % (highest - lowest + 1),
            Texture::Sparse => {
                if i % 97 == 0 {
                    sample
                } else {
                    middle
                }
            }
            Texture::SmallNoise => (middle + sample.rem_euclid(5)).min(highest),
        })
        .collect()
}

fn any_texture() -> impl Strategy<Value = Texture> {
    prop_oneof![
        Just(Texture::Constant),
        Just(Texture::Noise),
        Just(Texture::Extremes),
        Just(Texture::Smooth),
        Just(Texture::Sparse),
        Just(Texture::SmallNoise),
    ]
}

/// At one bit the rounding of the filters takes a coefficient past what they reach without it.
#[test]
fn an_image_of_one_bit_comes_back_whatever_the_rounding() {
    let shape = shape(100, 129, 1, 1, false);
    let bytes = include_bytes!("../../../../../tests/fuzz/corpus/htj2k/one-bit-0");
    let bytes = &bytes[8..];
    let samples: Vec<i32> = (0..shape.n_samples())
        .map(|at| (i32::from(bytes[(at + 1) % bytes.len()]) + (at / bytes.len()) as i32) & 1)
        .collect();
    let coded = encode(&shape, &samples).expect("the image is within limits");
    let mut decoded = Vec::new();
    decode(&coded.bytes, &shape, &mut decoded).expect("our own codestream decodes");
    assert_eq!(decoded, samples);
}

fn any_shape() -> impl Strategy<Value = ImageShape> {
    let side = prop_oneof![1..6_u32, 60..70_u32, 1..150_u32];
    (
        side.clone(),
        side,
        prop_oneof![Just(1), Just(3)],
        1..=16_u8,
        any::<bool>(),
    )
        .prop_map(|(width, height, components, precision, signed)| {
            shape(width, height, components, precision, signed)
        })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn every_image_comes_back(shape in any_shape(), texture in any_texture(), seed in any::<u64>()) {
        let samples = textured(&shape, texture, seed);
        let coded = encode(&shape, &samples).expect("the image is within limits");
        let mut decoded = Vec::new();
        decode(&coded.bytes, &shape, &mut decoded).expect("our own codestream decodes");
        prop_assert!(decoded == samples);
    }

    /// A reader looks for markers byte by byte: packets hold none.
    #[test]
    fn no_marker_appears_within_packets(shape in any_shape(), texture in any_texture(), seed in any::<u64>()) {
        let coded = encode(&shape, &textured(&shape, texture, seed)).expect("the image is within limits");
        for packets in tile_parts(&coded) {
            prop_assert!(packets.windows(2).all(|pair| pair[0] != 0xFF || pair[1] <= 0x8F));
            prop_assert!(packets.last() != Some(&0xFF));
        }
    }

    #[test]
    fn a_prefix_holds_its_resolution(shape in any_shape(), texture in any_texture(), seed in any::<u64>()) {
        let coded = encode(&shape, &textured(&shape, texture, seed)).expect("the image is within limits");
        let levels = coded.resolution_ends.len() - 1;
        let (mut whole, mut prefix) = (Vec::new(), Vec::new());
        for (r, &end) in coded.resolution_ends.iter().enumerate() {
            let discarded = (levels - r) as u8;
            decode_prefix(&coded.bytes[..end as usize], &shape, discarded, &mut prefix).expect("the prefix suffices");
            decode_prefix(&coded.bytes, &shape, discarded, &mut whole).expect("our own codestream decodes");
            prop_assert!(prefix == whole);
        }
    }
}
