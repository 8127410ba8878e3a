//! The sequential processes (T.81 annexes A and F): blocks of eight by eight samples, transformed and quantized.
//!
//! The inverse transform is the integer one of Loeffler, Ligtenberg and Moschytz with 13 bits behind the point, and halved
//! components are interpolated linearly: what the toolkits of most senders do, bit for bit.

use super::super::CodecError;
use super::bits::{Bits, Huffman};
use super::headers::{Frame, Headers, ScanHeader};

/// Places of coefficients in the order in which they come (T.81 figure A.6).
const ZIGZAG: [usize; 64] = [
    0, 1, 8, 16, 9, 2, 3, 10, 17, 24, 32, 25, 18, 11, 4, 5, 12, 19, 26, 33, 40, 48, 41, 34, 27, 20, 13, 6, 7,
    14, 21, 28, 35, 42, 49, 56, 57, 50, 43, 36, 29, 22, 15, 23, 30, 37, 44, 51, 58, 59, 52, 45, 38, 31, 39,
    46, 53, 60, 61, 54, 47, 55, 62, 63,
];

/// The decoded samples of one component, in whole blocks.
struct Plane {
    samples: Vec<u16>,
    /// Samples of a line, with those that fill the last block.
    stride: usize,
    /// Samples that are of the image.
    width: usize,
    height: usize,
    is_decoded: bool,
}

/// The samples by pixel.
pub(super) fn decode(headers: &mut Headers<'_>, frame: &Frame) -> Result<Vec<u16>, CodecError> {
    let across_max = frame.components.iter().map(|one| one.across).max().unwrap_or(1);
    let down_max = frame.components.iter().map(|one| one.down).max().unwrap_or(1);
    let mcus = (
        frame.width.div_ceil(8 * across_max),
        frame.height.div_ceil(8 * down_max),
    );
    let mut planes: Vec<Plane> = frame
        .components
        .iter()
        .map(|one| {
            let (columns, rows) = (mcus.0 * one.across * 8, mcus.1 * one.down * 8);
            Plane {
                samples: vec![0; columns * rows],
                stride: columns,
                width: (frame.width * one.across).div_ceil(across_max),
                height: (frame.height * one.down).div_ceil(down_max),
                is_decoded: false,
            }
        })
        .collect();
    while planes.iter().any(|plane| !plane.is_decoded) {
        let scan = headers.read_scan(frame)?;
        if (scan.start, scan.end, scan.low) != (0, 63, 0) {
            return Err(CodecError::Unsupported("spectral selection"));
        }
        if scan.selected.iter().any(|one| planes[one.component].is_decoded) {
            return Err(CodecError::Malformed("a component twice"));
        }
        let len = Scan::new(headers, frame, &scan)?.decode(headers, mcus, &mut planes)?;
        headers.skip(len);
        scan.selected
            .iter()
            .for_each(|one| planes[one.component].is_decoded = true);
    }
    headers.end()?;
    if let [plane] = planes.as_slice() {
        let lines = plane.samples.chunks_exact(plane.stride).take(frame.height);
        return Ok(lines.flat_map(|line| &line[..frame.width]).copied().collect());
    }
    let mut samples = vec![0; frame.width * frame.height * planes.len()];
    for (at, (plane, one)) in planes.iter().zip(&frame.components).enumerate() {
        let factors = (across_max / one.across, down_max / one.down);
        if factors.0 * one.across != across_max || factors.1 * one.down != down_max {
            return Err(CodecError::Unsupported("sampling factors"));
        }
        let mut line = vec![0; frame.width];
        for (row, out) in samples.chunks_exact_mut(frame.width * planes.len()).enumerate() {
            plane.enlarged(row, factors, &mut line);
            let out = out.iter_mut().skip(at).step_by(planes.len());
            out.zip(&line).for_each(|(to, from)| *to = *from);
        }
    }
    Ok(samples)
}

impl Plane {
    fn line(&self, row: usize) -> &[u16] {
        &self.samples[row.min(self.height - 1) * self.stride..][..self.width]
    }

    /// A line of the image, as wide as `out`.
    fn enlarged(&self, row: usize, factors: (usize, usize), out: &mut [u16]) {
        match factors {
            // Only what is three samples or wider is interpolated, as elsewhere.
            (2, 1) if self.width > 2 => {
                let line = self.line(row);
                let sum = |at: usize| u32::from(line[at]);
                widened(line.len(), sum, (2, [1, 2]), out);
            }
            (2, 2) if self.width > 2 => {
                let near = row / 2;
                let other = if row.is_multiple_of(2) {
                    near.saturating_sub(1)
                } else {
                    near + 1
                };
                let (near, other) = (self.line(near), self.line(other));
                let sum = |at: usize| 3 * u32::from(near[at]) + u32::from(other[at]);
                widened(near.len(), sum, (4, [8, 7]), out);
            }
            (across, down) => {
                let line = self.line(row / down);
                for (column, to) in out.iter_mut().enumerate() {
                    *to = line[column / across];
                }
            }
        }
    }
}

/// Twice as many samples: each is three parts of the nearer and one of the farther one, rounded down on the left and up on
/// the right side.
fn widened(n: usize, sum: impl Fn(usize) -> u32, (shift, rounding): (u32, [u32; 2]), out: &mut [u16]) {
    for (column, to) in out.iter_mut().enumerate() {
        let near = column / 2;
        let is_right = column % 2 == 1;
        let other = if is_right {
            (near + 1).min(n - 1)
        } else {
            near.saturating_sub(1)
        };
        *to = ((3 * sum(near) + sum(other) + rounding[usize::from(is_right)]) >> shift) as u16;
    }
}

/// One component of a scan.
struct Part<'a> {
    component: usize,
    /// Blocks across and down in each unit of the scan.
    blocks: (usize, usize),
    dc: &'a Huffman,
    ac: &'a Huffman,
    quantization: [i64; 64],
    /// The first coefficient of the block before.
    predicted: i32,
}

struct Scan<'a> {
    parts: Vec<Part<'a>>,
    precision: u8,
    restart_interval: usize,
}

impl<'a> Scan<'a> {
    fn new(headers: &'a Headers<'_>, frame: &Frame, scan: &ScanHeader) -> Result<Self, CodecError> {
        const MISSING: CodecError = CodecError::Malformed("missing table");
        let is_alone = scan.selected.len() == 1;
        let mut parts = Vec::new();
        for one in &scan.selected {
            let component = &frame.components[one.component];
            let table = headers.quantizations[component.quantization].ok_or(MISSING)?;
            parts.push(Part {
                component: one.component,
                blocks: if is_alone {
                    (1, 1)
                } else {
                    (component.across, component.down)
                },
                dc: headers.dc[one.dc].as_ref().ok_or(MISSING)?,
                ac: headers.ac[one.ac].as_ref().ok_or(MISSING)?,
                quantization: table.map(i64::from),
                predicted: 0,
            });
        }
        Ok(Self {
            parts,
            precision: frame.precision,
            restart_interval: headers.restart_interval,
        })
    }

    /// Decodes the scan; gives the length of its data.
    fn decode(
        mut self,
        headers: &Headers<'_>,
        mcus: (usize, usize),
        planes: &mut [Plane],
    ) -> Result<usize, CodecError> {
        let given = headers.rest();
        let mut bits = Bits::new(given);
        // A component alone in its scan has only the blocks that hold samples of the image (T.81 section A.2.2).
        let (across, down) = match self.parts.as_slice() {
            [part] => {
                let plane = &planes[part.component];
                (plane.width.div_ceil(8), plane.height.div_ceil(8))
            }
            _ => mcus,
        };
        let mut n_units = 0;
        for y in 0..down {
            for x in 0..across {
                if self.restart_interval > 0 && n_units > 0 && n_units % self.restart_interval == 0 {
                    bits.restart(n_units / self.restart_interval - 1)?;
                    self.parts.iter_mut().for_each(|part| part.predicted = 0);
                }
                n_units += 1;
                for part in &mut self.parts {
                    let plane = &mut planes[part.component];
                    for block in 0..part.blocks.0 * part.blocks.1 {
                        let column = 8 * (x * part.blocks.0 + block % part.blocks.0);
                        let row = 8 * (y * part.blocks.1 + block / part.blocks.0);
                        let mut coefficients = [0; 64];
                        part.read(&mut bits, self.precision, &mut coefficients)?;
                        let out = &mut plane.samples[row * plane.stride + column..];
                        inverse(&mut coefficients, self.precision, out, plane.stride);
                    }
                }
            }
        }
        bits.end(given)
    }
}

impl Part<'_> {
    /// The dequantized coefficients of the next block.
    #[inline]
    fn read(
        &mut self,
        bits: &mut Bits<'_>,
        precision: u8,
        coefficients: &mut [i64; 64],
    ) -> Result<(), CodecError> {
        let n_bits = u32::from(bits.code(self.dc)?);
        if n_bits > u32::from(precision) + 3 {
            return Err(CodecError::Malformed("size of a coefficient"));
        }
        self.predicted = self.predicted.wrapping_add(bits.signed(n_bits)?);
        coefficients[0] = i64::from(self.predicted as i16) * self.quantization[0];
        let mut at = 1;
        while at < 64 {
            let code = bits.code(self.ac)?;
            let (n_zeros, n_bits) = (usize::from(code >> 4), u32::from(code & 0x0F));
            if n_bits == 0 {
                if n_zeros < 15 {
                    break;
                }
                at += 16;
                continue;
            }
            at += n_zeros;
            let value = i64::from(bits.signed(n_bits)?);
            let place = ZIGZAG
                .get(at)
                .ok_or(CodecError::Malformed("too many coefficients"))?;
            coefficients[*place] = value * self.quantization[at];
            at += 1;
        }
        if at > 64 {
            return Err(CodecError::Malformed("too many coefficients"));
        }
        Ok(())
    }
}

/// Bits behind the point of the factors.
const POINT_BITS: u32 = 13;

/// The inverse transform of a block into samples.
fn inverse(coefficients: &mut [i64; 64], precision: u8, out: &mut [u16], stride: usize) {
    // Bits kept between the passes.
    let kept = if precision > 8 { 1 } else { 2 };
    for column in 0..8 {
        let line: [i64; 8] = std::array::from_fn(|row| coefficients[8 * row + column]);
        let line = if line[1..].iter().all(|value| *value == 0) {
            [line[0] << kept; 8]
        } else {
            transformed(line, POINT_BITS - kept)
        };
        for (row, value) in line.into_iter().enumerate() {
            coefficients[8 * row + column] = value;
        }
    }
    let (middle, most) = (1_i64 << (precision - 1), (1_i64 << precision) - 1);
    for (row, line) in coefficients.chunks_exact(8).enumerate() {
        let line: [i64; 8] = std::array::from_fn(|column| line[column]);
        let line = transformed(line, POINT_BITS + kept + 3);
        let out = &mut out[row * stride..][..8];
        for (to, value) in out.iter_mut().zip(line) {
            *to = (value + middle).clamp(0, most) as u16;
        }
    }
}

/// Eight values transformed; `shift` bits are rounded off.
#[inline]
fn transformed(values: [i64; 8], shift: u32) -> [i64; 8] {
    // Sums of cosines, times 2^13.
    const C_0_298: i64 = 2446;
    const C_0_390: i64 = 3196;
    const C_0_541: i64 = 4433;
    const C_0_765: i64 = 6270;
    const C_0_899: i64 = 7373;
    const C_1_175: i64 = 9633;
    const C_1_501: i64 = 12_299;
    const C_1_847: i64 = 15_137;
    const C_1_961: i64 = 16_069;
    const C_2_053: i64 = 16_819;
    const C_2_562: i64 = 20_995;
    const C_3_072: i64 = 25_172;

    let [v0, v1, v2, v3, v4, v5, v6, v7] = values;
    let turned = (v2 + v6) * C_0_541;
    let (low, high) = (turned - v6 * C_1_847, turned + v2 * C_0_765);
    let (sum, difference) = ((v0 + v4) << POINT_BITS, (v0 - v4) << POINT_BITS);
    let even = [sum + high, difference + low, difference - low, sum - high];

    let crossed = (v7 + v3 + v5 + v1) * C_1_175;
    let (outer, inner) = (-(v7 + v1) * C_0_899, -(v5 + v3) * C_2_562);
    let (first, second) = (crossed - (v7 + v3) * C_1_961, crossed - (v5 + v1) * C_0_390);
    let odd = [
        v1 * C_1_501 + outer + second,
        v3 * C_3_072 + inner + first,
        v5 * C_2_053 + inner + second,
        v7 * C_0_298 + outer + first,
    ];
    let rounded = |value: i64| (value + (1 << (shift - 1))) >> shift;
    std::array::from_fn(|at| match at {
        0..=3 => rounded(even[at] + odd[at]),
        _ => rounded(even[7 - at] - odd[7 - at]),
    })
}
