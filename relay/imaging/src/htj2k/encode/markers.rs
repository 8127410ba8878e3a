//! Marker segments of the main header and tile-parts (ITU-T T.800 Annex A, T.814 Annex A), with the
//! lengths of all tile-parts in TLM as PS3.5 section 10.18.1 asks.

use super::super::layout::{
    BLOCK_SIDE_LOG2, FEW_BITS_MAX, GUARD_BITS, GUARD_BITS_OF_FEW, ImageShape, Layout,
};

const SOC: u16 = 0xFF4F;
const CAP: u16 = 0xFF50;
const SIZ: u16 = 0xFF51;
const COD: u16 = 0xFF52;
const TLM: u16 = 0xFF55;
const QCD: u16 = 0xFF5C;
const SOT: u16 = 0xFF90;
const SOD: u16 = 0xFF93;
const EOC: u16 = 0xFFD9;

/// Bytes of a tile-part before its packets: SOT with its segment, and SOD.
const TILE_PART_HEADER_BYTES: usize = 14;

/// Exponent of a band in QCD.
pub fn exponent(shape: &ImageShape, gain_log2: u8) -> u8 {
    shape.transformed_precision() + gain_log2
}

/// Magnitude bits of a band: what a coefficient may take (T.800 equation E-2).
pub fn magnitude_bits(shape: &ImageShape, gain_log2: u8) -> u8 {
    exponent(shape, gain_log2) + guard_bits(shape) - 1
}

fn guard_bits(shape: &ImageShape) -> u8 {
    if shape.precision <= FEW_BITS_MAX {
        GUARD_BITS_OF_FEW
    } else {
        GUARD_BITS
    }
}

fn put_u16(output: &mut Vec<u8>, value: u16) {
    output.extend_from_slice(&value.to_be_bytes());
}

fn put_u32(output: &mut Vec<u8>, value: u32) {
    output.extend_from_slice(&value.to_be_bytes());
}

/// SOC, SIZ, CAP, COD, QCD, and TLM with its lengths left at 0.
///
/// Returns where in `output` the first of those lengths is to be written.
pub fn write_main_header(output: &mut Vec<u8>, shape: &ImageShape, layout: &Layout) -> usize {
    let n_resolutions = layout.resolutions.len();
    put_u16(output, SOC);
    write_siz(output, shape);
    write_cap(output, shape, layout);
    write_cod(output, shape, n_resolutions);
    write_qcd(output, shape, layout);
    write_tlm(output, n_resolutions)
}

fn write_siz(output: &mut Vec<u8>, shape: &ImageShape) {
    put_u16(output, SIZ);
    put_u16(output, 38 + 3 * u16::from(shape.components));
    put_u16(output, 0x4000); // The codestream uses T.814.
    for value in [shape.width, shape.height, 0, 0, shape.width, shape.height, 0, 0] {
        put_u32(output, value);
    }
    put_u16(output, u16::from(shape.components));
    for _ in 0..shape.components {
        output.extend_from_slice(&[(shape.precision - 1) | u8::from(shape.signed) << 7, 1, 1]);
    }
}

fn write_cap(output: &mut Vec<u8>, shape: &ImageShape, layout: &Layout) {
    let magnitude_bits_max = layout
        .resolutions
        .iter()
        .flat_map(|resolution| &resolution.bands)
        .map(|band| magnitude_bits(shape, band.kind.gain_log2()))
        .max()
        .unwrap_or(0);
    put_u16(output, CAP);
    put_u16(output, 8);
    put_u32(output, 1 << (32 - 15)); // Only part 15 has a word.
    // All blocks HT, one set each, no region of interest, the same everywhere, reversible; then
    // the bound on magnitudes: 8 bits and fewer are 0 (T.814 A.3).
    put_u16(output, u16::from(magnitude_bits_max.saturating_sub(8)));
}

fn write_cod(output: &mut Vec<u8>, shape: &ImageShape, n_resolutions: usize) {
    put_u16(output, COD);
    put_u16(output, 12);
    output.push(0); // Default precincts, neither SOP nor EPH.
    output.push(2); // Resolution, position, component, layer.
    put_u16(output, 1); // Layers.
    output.push(u8::from(shape.components == 3));
    output.push((n_resolutions - 1) as u8);
    output.extend_from_slice(&[BLOCK_SIDE_LOG2 - 2, BLOCK_SIDE_LOG2 - 2]);
    output.push(0x40); // HT code blocks.
    output.push(1); // Reversible 5/3.
}

fn write_qcd(output: &mut Vec<u8>, shape: &ImageShape, layout: &Layout) {
    let n_bands: usize = layout.resolutions.iter().map(|r| r.bands.len()).sum();
    put_u16(output, QCD);
    put_u16(output, 3 + n_bands as u16);
    output.push(guard_bits(shape) << 5);
    for band in layout.resolutions.iter().flat_map(|r| &r.bands) {
        output.push(exponent(shape, band.kind.gain_log2()) << 3);
    }
}

/// Two bytes of tile index and four of length for each tile-part, filled in by [`write_tile_part`].
fn write_tlm(output: &mut Vec<u8>, n_tile_parts: usize) -> usize {
    put_u16(output, TLM);
    put_u16(output, 4 + 6 * n_tile_parts as u16);
    output.extend_from_slice(&[0, 0x60]);
    let first_length = output.len() + 2;
    for _ in 0..n_tile_parts {
        output.extend_from_slice(&[0; 6]);
    }
    first_length
}

/// Begins tile-part `index` of `n_tile_parts`; returns where it begins.
pub fn begin_tile_part(output: &mut Vec<u8>, index: usize, n_tile_parts: usize) -> usize {
    let start = output.len();
    put_u16(output, SOT);
    put_u16(output, 10);
    put_u16(output, 0); // Tile.
    put_u32(output, 0); // Length, known at the end.
    output.extend_from_slice(&[index as u8, n_tile_parts as u8]);
    put_u16(output, SOD);
    debug_assert_eq!(output.len() - start, TILE_PART_HEADER_BYTES);
    start
}

/// Ends the tile-part that began at `start`: writes its length there and in its place in TLM.
pub fn end_tile_part(output: &mut [u8], start: usize, tlm_length_at: usize) {
    let length = ((output.len() - start) as u32).to_be_bytes();
    output[start + 6..start + 10].copy_from_slice(&length);
    output[tlm_length_at..tlm_length_at + 4].copy_from_slice(&length);
}

pub fn write_end(output: &mut Vec<u8>) {
    put_u16(output, EOC);
}
