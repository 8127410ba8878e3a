//! The inverse reversible 5/3 wavelet (ITU-T T.800, F.3): one resolution from the one below and three subbands.
//!
//! Rows first, then columns, as the rounding demands. The column filter runs along whole rows, so that it is
//! plain arithmetic on neighbouring slices. Arithmetic wraps: wrong coefficients give wrong samples, not panics.

/// The four subbands that make one picture of `width` by `height`, each in rows without gaps.
pub struct Bands<'a> {
    /// The picture at the resolution below: half of both sides, rounded up.
    pub ll: &'a [i32],
    /// High across columns: half the width rounded down, half the height rounded up.
    pub hl: &'a [i32],
    /// High across rows: half the width rounded up, half the height rounded down.
    pub lh: &'a [i32],
    /// High in both directions: half of both sides, rounded down.
    pub hh: &'a [i32],
}

/// Joins subbands into `picture`, whose rows are `width` long without gaps; its length and those of the bands
/// must agree. `evens` is scratch.
pub fn compose(bands: &Bands, width: usize, picture: &mut [i32], evens: &mut Vec<i32>) {
    let (low, high) = (width.div_ceil(2), width / 2);
    let height = picture.len() / width;
    evens.resize(low + 1, 0);
    let band_row =
        |band: &'_ [i32], length: usize, row: usize| row * length..row * length + length.min(band.len());
    for pair in 0..height.div_ceil(2) {
        let start = 2 * pair;
        let ll = &bands.ll[band_row(bands.ll, low, pair)];
        let hl = &bands.hl[band_row(bands.hl, high, pair)];
        compose_row(ll, hl, &mut picture[start * width..][..width], evens);
        if start + 1 < height {
            let lh = &bands.lh[band_row(bands.lh, low, pair)];
            let hh = &bands.hh[band_row(bands.hh, high, pair)];
            compose_row(lh, hh, &mut picture[(start + 1) * width..][..width], evens);
        }
        lift_rows(picture, width, start);
    }
    if height >= 2 && height.is_multiple_of(2) {
        let (even, odd) = picture[(height - 2) * width..].split_at_mut(width);
        add_mean(odd, even, even);
    }
}

/// Finishes row `start` (even) from the rows around it, then the row before it from the even rows around that.
fn lift_rows(picture: &mut [i32], width: usize, start: usize) {
    let (above, here) = picture.split_at_mut(start * width);
    let (even, below) = here.split_at_mut(width);
    let below = below.get(..width);
    let Some(odd_above) = start.checked_sub(1).map(|row| row * width) else {
        if let Some(below) = below {
            subtract_quarter(even, below, below);
        }
        return;
    };
    let (above, odd) = above.split_at_mut(odd_above);
    subtract_quarter(even, odd, below.unwrap_or(odd));
    add_mean(odd, &above[odd_above - width..], even);
}

/// Interleaves and filters one row.
fn compose_row(low: &[i32], high: &[i32], row: &mut [i32], evens: &mut [i32]) {
    let Some((&first, &last)) = high.first().zip(high.last()) else {
        row.copy_from_slice(low);
        return;
    };
    let n = high.len();
    evens[0] = low[0].wrapping_sub(quarter(first, first));
    for ((even, &low), high) in evens[1..n].iter_mut().zip(&low[1..n]).zip(high.windows(2)) {
        *even = low.wrapping_sub(quarter(high[0], high[1]));
    }
    // The signal goes on as its mirror image: an even sample past the end equals the one before it.
    evens[n] = match low.get(n) {
        Some(&low) => low.wrapping_sub(quarter(last, last)),
        None => evens[n - 1],
    };
    let around = evens[..n].iter().zip(&evens[1..=n]);
    for ((out, &high), (&before, &after)) in row.chunks_exact_mut(2).zip(high).zip(around) {
        out[0] = before;
        out[1] = high.wrapping_add(before.wrapping_add(after) >> 1);
    }
    if low.len() > n {
        row[2 * n] = evens[n];
    }
}

#[inline(always)]
fn quarter(a: i32, b: i32) -> i32 {
    a.wrapping_add(b).wrapping_add(2) >> 2
}

fn subtract_quarter(row: &mut [i32], above: &[i32], below: &[i32]) {
    for ((sample, &above), &below) in row.iter_mut().zip(above).zip(below) {
        *sample = sample.wrapping_sub(quarter(above, below));
    }
}

fn add_mean(row: &mut [i32], above: &[i32], below: &[i32]) {
    for ((sample, &above), &below) in row.iter_mut().zip(above).zip(below) {
        *sample = sample.wrapping_add(above.wrapping_add(below) >> 1);
    }
}

#[cfg(test)]
mod tests {
    use super::super::wavelet::{ForwardWavelet, LevelOutput};
    use super::*;

    /// Sides of 1 to 9 and 63 to 65 have every kind of edge.
    #[test]
    fn gives_back_what_was_decomposed() {
        let sides = || (1..=9_usize).chain(63..=65);
        for (width, height) in sides().flat_map(|width| sides().map(move |height| (width, height))) {
            let area = width * height;
            let picture: Vec<i32> = (0..area)
                .map(|n| (n * n * 7919 % 65_537) as i32 - 32_768)
                .collect();
            let (low, high) = ((width.div_ceil(2), height.div_ceil(2)), (width / 2, height / 2));
            let mut ll = vec![0; low.0 * low.1];
            let mut hl = vec![0; high.0 * low.1];
            let mut lh = vec![0; low.0 * high.1];
            let mut hh = vec![0; high.0 * high.1];
            let output = LevelOutput {
                ll: &mut ll,
                hl: &mut hl,
                lh: &mut lh,
                hh: &mut hh,
            };
            ForwardWavelet::default().decompose(&picture, width, output);
            let bands = Bands {
                ll: &ll,
                hl: &hl,
                lh: &lh,
                hh: &hh,
            };
            let mut composed = vec![0; area];
            compose(&bands, width, &mut composed, &mut Vec::new());
            assert_eq!(composed, picture, "{width} x {height}");
        }
    }

    #[test]
    fn wraps_on_coefficients_no_image_has() {
        let band = [i32::MAX, i32::MIN, i32::MIN, i32::MAX];
        let bands = Bands {
            ll: &band,
            hl: &band,
            lh: &band,
            hh: &band,
        };
        compose(&bands, 4, &mut [0; 16], &mut Vec::new());
    }
}
