//! Coding of one section: byte planes and zstd, with bounded decoding.

use std::io::{self, Read, Write};

use super::ContainerError;
use crate::limits::pieces;

/// Largest zstd window accepted when decoding, as a power of two: 8 MiB. Ours are smaller.
const WINDOW_LOG_MAX: u32 = 23;

/// Writes the samples of `raw` as byte planes: all first bytes, then all second bytes, and so on.
pub(super) fn split(raw: &[u8], sample_bytes: usize, out: &mut Vec<u8>) {
    out.clear();
    out.reserve(raw.len());
    if sample_bytes == 2 {
        out.extend(raw.chunks_exact(2).map(|sample| sample[0]));
        out.extend(raw.chunks_exact(2).map(|sample| sample[1]));
        return;
    }
    for plane in 0..sample_bytes {
        out.extend(raw.iter().skip(plane).step_by(sample_bytes));
    }
}

/// The inverse of [`split`]; `planes` holds whole samples only.
pub(super) fn join(planes: &[u8], sample_bytes: usize, out: &mut Vec<u8>) {
    out.clear();
    out.reserve(planes.len());
    let samples = planes.len() / sample_bytes;
    if sample_bytes == 2 {
        let (low, high) = planes.split_at(samples);
        out.extend(low.iter().zip(high).flat_map(|(low, high)| [*low, *high]));
        return;
    }
    for sample in 0..samples {
        out.extend((0..sample_bytes).map(|plane| planes[plane * samples + sample]));
    }
}

/// Whether a head of so many bytes may be a dictionary.
pub(super) fn fits_dictionary(len: u64) -> bool {
    (1..=pieces::DICTIONARY_BYTES_MAX).contains(&len)
}

/// Codes with zstd, given the bytes of a dictionary as if they had come just before.
pub(super) fn pack_with(dictionary: &[u8], plain: &[u8], level: i32) -> io::Result<Vec<u8>> {
    let mut encoder = zstd::stream::write::Encoder::with_ref_prefix(Vec::new(), level, dictionary)?;
    encoder.set_pledged_src_size(Some(plain.len() as u64))?;
    encoder.write_all(plain)?;
    encoder.finish()
}

/// Expands zstd to exactly `expanded_len` bytes; memory grows with what is decoded.
pub(super) fn unpack(packed: &[u8], expanded_len: u64, out: &mut Vec<u8>) -> Result<(), ContainerError> {
    expand(
        zstd::stream::read::Decoder::with_buffer(packed)?,
        expanded_len,
        out,
    )
}

/// As [`unpack`], for what [`pack_with`] coded with the same dictionary.
pub(super) fn unpack_with(
    dictionary: &[u8],
    packed: &[u8],
    expanded_len: u64,
    out: &mut Vec<u8>,
) -> Result<(), ContainerError> {
    let decoder = zstd::stream::read::Decoder::with_ref_prefix(packed, dictionary)?;
    expand(decoder, expanded_len, out)
}

fn expand(
    mut decoder: zstd::stream::read::Decoder<'_, &[u8]>,
    expanded_len: u64,
    out: &mut Vec<u8>,
) -> Result<(), ContainerError> {
    out.clear();
    decoder.window_log_max(WINDOW_LOG_MAX)?;
    let malformed = |_: io::Error| ContainerError::Malformed("section does not expand");
    decoder
        .by_ref()
        .take(expanded_len.saturating_add(1))
        .read_to_end(out)
        .map_err(malformed)?;
    if out.len() as u64 != expanded_len {
        return Err(ContainerError::Malformed("section expands to another length"));
    }
    Ok(())
}

/// Reverses the bytes of every unit, in place.
pub(super) fn swap(bytes: &mut [u8], unit: usize) {
    if unit > 1 {
        bytes.chunks_exact_mut(unit).for_each(<[u8]>::reverse);
    }
}
