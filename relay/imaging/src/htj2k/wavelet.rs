//! Forward reversible 5/3 wavelet (ITU-T T.800 F.4, lifting steps of F.4.8.1), one level at a time.
//! Rows are lifted against rows, so every inner loop runs along memory; no column is ever walked.
//! The way back is in `inverse_wavelet`.

/// Where one level's results go; each band is stored row by row without gaps.
#[derive(Debug)]
pub struct LevelOutput<'a> {
    /// Low in both directions: `ceil(width / 2)` by `ceil(height / 2)`.
    pub ll: &'a mut [i32],
    /// High across columns: `floor(width / 2)` by `ceil(height / 2)`.
    pub hl: &'a mut [i32],
    /// High across rows: `ceil(width / 2)` by `floor(height / 2)`.
    pub lh: &'a mut [i32],
    /// High in both directions: `floor(width / 2)` by `floor(height / 2)`.
    pub hh: &'a mut [i32],
}

/// The few rows of working memory a level needs, kept between images.
#[derive(Debug, Default)]
pub struct ForwardWavelet {
    low: Vec<i32>,
    high: Vec<i32>,
    high_above: Vec<i32>,
    even: Vec<i32>,
    odd: Vec<i32>,
}

impl ForwardWavelet {
    /// Splits a picture of `width` columns, stored row by row without gaps, into four bands.
    ///
    /// `picture` holds at least one whole row, and its values lie within 2^29 of zero.
    pub fn decompose(&mut self, picture: &[i32], width: usize, output: LevelOutput<'_>) {
        let height = picture.len() / width;
        let (n_low, n_high) = (width.div_ceil(2), width / 2);
        for row in [&mut self.low, &mut self.high, &mut self.high_above] {
            row.clear();
            row.resize(width, 0);
        }
        let row = |y: usize| &picture[y * width..][..width];
        for k in 0..height.div_ceil(2) {
            let even = row(2 * k);
            if 2 * k + 1 < height {
                // Beyond the last row the picture is mirrored (T.800 F.4.7).
                let next = if 2 * k + 2 < height { row(2 * k + 2) } else { even };
                lift_high(&mut self.high, row(2 * k + 1), even, next);
                let above = if k == 0 { &self.high } else { &self.high_above };
                lift_low(&mut self.low, even, above, &self.high);
                let (low, high) = (
                    &mut output.lh[k * n_low..][..n_low],
                    &mut output.hh[k * n_high..][..n_high],
                );
                split_row(&self.high, &mut self.even, &mut self.odd, low, high);
            } else {
                // The row below the last is the mirror of the one above; of a single row there is
                // none, and `high_above` is still zero, which leaves the row as it is.
                lift_low(&mut self.low, even, &self.high_above, &self.high_above);
            }
            let (low, high) = (
                &mut output.ll[k * n_low..][..n_low],
                &mut output.hl[k * n_high..][..n_high],
            );
            split_row(&self.low, &mut self.even, &mut self.odd, low, high);
            std::mem::swap(&mut self.high, &mut self.high_above);
        }
    }
}

/// High-pass step: each odd value less the mean of its even neighbours, rounded down.
fn lift_high(high: &mut [i32], odd: &[i32], before: &[i32], after: &[i32]) {
    for (((high, odd), before), after) in high.iter_mut().zip(odd).zip(before).zip(after) {
        *high = odd - ((before + after) >> 1);
    }
}

/// Low-pass step: each even value plus a quarter of its high-pass neighbours, rounded.
fn lift_low(low: &mut [i32], even: &[i32], before: &[i32], after: &[i32]) {
    for (((low, even), before), after) in low.iter_mut().zip(even).zip(before).zip(after) {
        *low = even + ((before + after + 2) >> 2);
    }
}

/// The same two steps along one row, which leaves in two halves.
fn split_row(row: &[i32], even: &mut Vec<i32>, odd: &mut Vec<i32>, low: &mut [i32], high: &mut [i32]) {
    let n_high = high.len();
    if n_high == 0 {
        low.copy_from_slice(row);
        return;
    }
    even.resize(n_high + 1, 0);
    odd.resize(n_high, 0);
    let (pairs, rest) = row.as_chunks::<2>();
    for ((pair, even), odd) in pairs.iter().zip(even.iter_mut()).zip(odd.iter_mut()) {
        *even = pair[0];
        *odd = pair[1];
    }
    even[n_high] = rest.first().copied().unwrap_or(even[n_high - 1]);
    lift_high(high, odd, even, &even[1..]);
    low[0] = even[0] + ((2 * high[0] + 2) >> 2);
    lift_low(&mut low[1..n_high], &even[1..], high, &high[1..]);
    if let Some(last) = low.get_mut(n_high) {
        *last = even[n_high] + ((2 * high[n_high - 1] + 2) >> 2);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The formulas of T.800 F.4.8.1 along one line, with the mirror written out.
    fn split_line(line: &[i32]) -> (Vec<i32>, Vec<i32>) {
        let n = line.len() as i64;
        if n == 1 {
            return (line.to_vec(), vec![]);
        }
        let mirrored = |i: i64| {
            let period = 2 * (n - 1);
            let i = i.rem_euclid(period);
            if i < n { i } else { period - i }
        };
        let x = |i: i64| line[mirrored(i) as usize];
        let high = |i: i64| x(2 * i + 1) - (x(2 * i) + x(2 * i + 2)).div_euclid(2);
        let low = |i: i64| x(2 * i) + (high(i - 1) + high(i) + 2).div_euclid(4);
        (
            (0..(n + 1) / 2).map(low).collect(),
            (0..n / 2).map(high).collect(),
        )
    }

    fn transpose(picture: &[i32], width: usize) -> Vec<i32> {
        let height = picture.len() / width.max(1);
        (0..width)
            .flat_map(|x| (0..height).map(move |y| picture[y * width + x]))
            .collect()
    }

    /// Splits each row; returns both halves row by row.
    fn split_rows(picture: &[i32], width: usize) -> (Vec<i32>, Vec<i32>) {
        let mut halves = (vec![], vec![]);
        if width > 0 {
            for row in picture.chunks(width) {
                let (low, high) = split_line(row);
                halves.0.extend(low);
                halves.1.extend(high);
            }
        }
        halves
    }

    #[test]
    fn bands_follow_the_formulas_down_then_across() {
        let mut seed = 1_u32;
        for (width, height) in [
            (1, 1),
            (1, 2),
            (2, 1),
            (1, 7),
            (8, 1),
            (2, 2),
            (3, 5),
            (16, 9),
            (33, 34),
        ] {
            let picture: Vec<i32> = (0..width * height)
                .map(|_| {
                    seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                    (seed >> 16) as i32 - 32_768
                })
                .collect();
            let (low, high) = split_rows(&transpose(&picture, width), height);
            let (low, high) = (transpose(&low, height.div_ceil(2)), transpose(&high, height / 2));
            let (ll, hl) = split_rows(&low, width);
            let (lh, hh) = split_rows(&high, width);

            let mut bands = [
                vec![0; ll.len()],
                vec![0; hl.len()],
                vec![0; lh.len()],
                vec![0; hh.len()],
            ];
            let [a, b, c, d] = &mut bands;
            let mut wavelet = ForwardWavelet::default();
            // Rows left over from a wider picture must not show.
            let mut spare = [vec![0; 50], vec![0; 50], vec![0; 50], vec![0; 50]];
            let [p, q, r, s] = &mut spare;
            wavelet.decompose(
                &[77; 100],
                20,
                LevelOutput {
                    ll: p,
                    hl: q,
                    lh: r,
                    hh: s,
                },
            );
            wavelet.decompose(
                &picture,
                width,
                LevelOutput {
                    ll: a,
                    hl: b,
                    lh: c,
                    hh: d,
                },
            );
            assert_eq!(bands, [ll, hl, lh, hh], "{width} x {height}");
        }
    }
}
