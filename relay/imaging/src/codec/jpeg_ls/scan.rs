//! The samples of a scan: predicted from their neighbours, corrected by what each context has seen, or runs of one value
//! (T.87 annexes A and B).

use super::super::CodecError;
use super::bits::Bits;

/// Contexts of regular samples; two more are for samples that end a run.
const N_CONTEXTS: usize = 365;
/// Most components.
pub(super) const COMPONENTS_MAX: usize = 3;
/// Bits of the lengths of runs (T.87 section A.2.1).
const RUN_BITS: [u32; 32] = [
    0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3, 4, 4, 5, 5, 6, 6, 7, 7, 8, 9, 10, 11, 12, 13, 14, 15,
];

/// What LSE may set (T.87 section C.2.4.1.1); 0 stands for the default.
#[derive(Clone, Copy, Default)]
pub(super) struct Preset {
    pub(super) max_value: i32,
    pub(super) thresholds: [i32; 3],
    pub(super) reset: i32,
}

/// How the components of a scan follow each other.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Interleave {
    None,
    Line,
    Sample,
}

/// Where the samples of a scan lie.
pub(super) struct Layout<'a> {
    pub(super) width: usize,
    pub(super) height: usize,
    /// Samples from one pixel to the next.
    pub(super) stride: usize,
    /// Places of the scan's components within a pixel.
    pub(super) components: &'a [usize],
}

/// Statistics of one context (T.87 section A.2.1).
#[derive(Clone, Copy)]
struct Context {
    a: i32,
    b: i32,
    c: i32,
    n: i32,
}

/// Statistics of a context of samples that end a run.
#[derive(Clone, Copy)]
struct RunContext {
    a: i32,
    n: i32,
    n_negative: i32,
}

/// The variables of one scan.
pub(super) struct Scan {
    near: i32,
    max_value: i32,
    range: i32,
    /// Bits of a mapped error that is not Golomb coded.
    error_bits: u32,
    limit: u32,
    thresholds: [i32; 3],
    reset: i32,
    contexts: Vec<Context>,
    run_contexts: [RunContext; 2],
}

impl Scan {
    pub(super) fn new(precision: u8, near: i32, preset: &Preset) -> Result<Self, CodecError> {
        let most = (1_i32 << precision) - 1;
        let max_value = if preset.max_value == 0 {
            most
        } else {
            preset.max_value
        };
        if max_value > most || max_value < 1 || near > (max_value / 2).min(255) {
            return Err(CodecError::Malformed("largest value or allowed error"));
        }
        let defaults = default_thresholds(max_value, near);
        let mut thresholds = defaults;
        for (threshold, set) in thresholds.iter_mut().zip(preset.thresholds) {
            if set != 0 {
                *threshold = set;
            }
        }
        let [t1, t2, t3] = thresholds;
        let reset = if preset.reset == 0 { 64 } else { preset.reset };
        if !(near < t1 && t1 <= t2 && t2 <= t3 && t3 <= max_value) || reset < 3 {
            return Err(CodecError::Malformed("thresholds"));
        }
        let range = (max_value + 2 * near) / (2 * near + 1) + 1;
        let bits_of = |n_values: i32| 32 - (n_values - 1).leading_zeros();
        let value_bits = bits_of(max_value + 1).max(2);
        let a = ((range + 32) / 64).max(2);
        Ok(Self {
            near,
            max_value,
            range,
            error_bits: bits_of(range),
            limit: 2 * (value_bits + value_bits.max(8)),
            thresholds,
            reset,
            contexts: vec![Context { a, b: 0, c: 0, n: 1 }; N_CONTEXTS],
            run_contexts: [RunContext {
                a,
                n: 1,
                n_negative: 0,
            }; 2],
        })
    }

    /// Decodes the scan at the beginning of `bytes`; gives its length.
    pub(super) fn decode(
        mut self,
        bytes: &[u8],
        interleave: Interleave,
        layout: &Layout<'_>,
        samples: &mut [u16],
    ) -> Result<usize, CodecError> {
        let Layout { width, height, .. } = *layout;
        let n = layout.components.len();
        let mut bits = Bits::new(bytes);
        // A sample more on each side: what stands in for neighbours outside.
        let mut lines = vec![[vec![0_i32; width + 2], vec![0_i32; width + 2]]; n];
        let mut run_idx = [0_usize; COMPONENTS_MAX];
        for row in 0..height {
            for line in &mut lines {
                line.swap(0, 1);
                let [above, current] = line;
                above[width + 1] = above[width];
                current[0] = above[1];
            }
            if interleave == Interleave::Sample {
                self.joint_line(&mut bits, &mut lines, &mut run_idx[0])?;
            } else {
                for (line, run_idx) in lines.iter_mut().zip(&mut run_idx) {
                    self.line(&mut bits, line, run_idx)?;
                }
            }
            for (line, component) in lines.iter().zip(layout.components) {
                let out = samples[row * width * layout.stride..][..width * layout.stride].iter_mut();
                let out = out.skip(*component).step_by(layout.stride);
                out.zip(&line[1][1..=width])
                    .for_each(|(to, from)| *to = *from as u16);
            }
        }
        bits.end()
    }

    fn line(
        &mut self,
        bits: &mut Bits<'_>,
        [above, current]: &mut [Vec<i32>; 2],
        run_idx: &mut usize,
    ) -> Result<(), CodecError> {
        let width = current.len() - 2;
        let mut at = 1;
        while at <= width {
            let (a, b, c, d) = (current[at - 1], above[at], above[at - 1], above[at + 1]);
            let gradients = self.gradients(a, b, c, d);
            if gradients != 0 {
                current[at] = self.regular(bits, gradients, (a, b, c))?;
                at += 1;
                continue;
            }
            let n_run = run_len(bits, run_idx, width + 1 - at)?;
            current[at..at + n_run].fill(a);
            at += n_run;
            if at > width {
                break;
            }
            let b = above[at];
            let is_flat = (a - b).abs() <= self.near;
            let error = self.run_end_error(bits, usize::from(is_flat), *run_idx)?;
            current[at] = if is_flat {
                self.reconstructed(a, error)
            } else {
                self.reconstructed(b, if b < a { -error } else { error })
            };
            at += 1;
            *run_idx = run_idx.saturating_sub(1);
        }
        Ok(())
    }

    /// A line of pixels whose samples come together (T.87 section B.4): a run is one of all of them.
    fn joint_line(
        &mut self,
        bits: &mut Bits<'_>,
        lines: &mut [[Vec<i32>; 2]],
        run_idx: &mut usize,
    ) -> Result<(), CodecError> {
        let width = lines[0][1].len() - 2;
        let mut at = 1;
        while at <= width {
            let mut gradients = [0; COMPONENTS_MAX];
            for (found, [above, current]) in gradients.iter_mut().zip(lines.iter()) {
                *found = self.gradients(current[at - 1], above[at], above[at - 1], above[at + 1]);
            }
            if gradients.iter().any(|found| *found != 0) {
                for ([above, current], found) in lines.iter_mut().zip(gradients) {
                    let neighbours = (current[at - 1], above[at], above[at - 1]);
                    current[at] = self.regular(bits, found, neighbours)?;
                }
                at += 1;
                continue;
            }
            let n_run = run_len(bits, run_idx, width + 1 - at)?;
            for [_, current] in lines.iter_mut() {
                let a = current[at - 1];
                current[at..at + n_run].fill(a);
            }
            at += n_run;
            if at > width {
                break;
            }
            for [above, current] in lines.iter_mut() {
                let (a, b) = (current[at - 1], above[at]);
                let error = self.run_end_error(bits, 0, *run_idx)?;
                current[at] = self.reconstructed(b, if b < a { -error } else { error });
            }
            at += 1;
            *run_idx = run_idx.saturating_sub(1);
        }
        Ok(())
    }

    /// The context number of the local gradients with its sign (T.87 section A.3.3 and A.3.4).
    fn gradients(&self, a: i32, b: i32, c: i32, d: i32) -> i32 {
        (self.quantised(d - b) * 9 + self.quantised(b - c)) * 9 + self.quantised(c - a)
    }

    fn quantised(&self, gradient: i32) -> i32 {
        let [t1, t2, t3] = self.thresholds;
        let size = gradient.abs();
        let level = if size <= self.near {
            0
        } else if size < t1 {
            1
        } else if size < t2 {
            2
        } else if size < t3 {
            3
        } else {
            4
        };
        level * gradient.signum()
    }

    /// One sample in regular mode (T.87 sections A.4 to A.6).
    fn regular(
        &mut self,
        bits: &mut Bits<'_>,
        gradients: i32,
        (a, b, c): (i32, i32, i32),
    ) -> Result<i32, CodecError> {
        let sign = if gradients < 0 { -1 } else { 1 };
        let predicted = if c >= a.max(b) {
            a.min(b)
        } else if c <= a.min(b) {
            a.max(b)
        } else {
            a + b - c
        };
        let context = &mut self.contexts[gradients.unsigned_abs() as usize];
        let predicted = (predicted + sign * context.c).clamp(0, self.max_value);
        let k = golomb_bits(context.n, context.a)?;
        let mapped = bits.golomb(k, self.limit, self.error_bits)?;
        let is_turned = self.near == 0 && k == 0 && 2 * context.b <= -context.n;
        let error = match (is_turned, mapped % 2 == 1) {
            (false, false) => mapped / 2,
            (false, true) => -((mapped + 1) / 2),
            (true, true) => (mapped - 1) / 2,
            (true, false) => -(mapped / 2) - 1,
        };
        context.b += error * (2 * self.near + 1);
        context.a += error.abs();
        if context.n == self.reset {
            context.a >>= 1;
            context.b = if context.b >= 0 {
                context.b >> 1
            } else {
                -((1 - context.b) >> 1)
            };
            context.n >>= 1;
        }
        context.n += 1;
        if context.b <= -context.n {
            context.b = (context.b + context.n).max(1 - context.n);
            context.c = (context.c - 1).max(-128);
        } else if context.b > 0 {
            context.b = (context.b - context.n).min(0);
            context.c = (context.c + 1).min(127);
        }
        Ok(self.reconstructed(predicted, sign * error))
    }

    /// The error of a sample that ends a run (T.87 section A.7.2).
    fn run_end_error(&mut self, bits: &mut Bits<'_>, kind: usize, run_idx: usize) -> Result<i32, CodecError> {
        let context = &mut self.run_contexts[kind];
        let is_flat = kind as i32;
        let k = golomb_bits(context.n, context.a + is_flat * (context.n >> 1))?;
        let limit = self.limit - RUN_BITS[run_idx] - 1;
        let mapped = bits.golomb(k, limit, self.error_bits)?;
        let sum = mapped + is_flat;
        let is_odd = sum % 2 == 1;
        let size = (sum + i32::from(is_odd)) / 2;
        let error = if (k != 0 || 2 * context.n_negative >= context.n) == is_odd {
            -size
        } else {
            size
        };
        if error < 0 {
            context.n_negative += 1;
        }
        context.a += (mapped + 1 - is_flat) >> 1;
        if context.n == self.reset {
            context.a >>= 1;
            context.n >>= 1;
            context.n_negative >>= 1;
        }
        context.n += 1;
        Ok(error)
    }

    fn reconstructed(&self, predicted: i32, error: i32) -> i32 {
        let step = 2 * self.near + 1;
        let mut value = predicted + error * step;
        if value < -self.near {
            value += self.range * step;
        } else if value > self.max_value + self.near {
            value -= self.range * step;
        }
        value.clamp(0, self.max_value)
    }
}

/// T.87 section C.2.4.1.1.1.
fn default_thresholds(max_value: i32, near: i32) -> [i32; 3] {
    let bounded = |value: i32, least: i32| {
        if value > max_value || value < least {
            least
        } else {
            value
        }
    };
    if max_value >= 128 {
        let factor = (max_value.min(4095) + 128) / 256;
        let t1 = bounded(factor + 2 + 3 * near, near + 1);
        let t2 = bounded(factor * 4 + 3 + 5 * near, t1);
        let t3 = bounded(factor * 17 + 4 + 7 * near, t2);
        return [t1, t2, t3];
    }
    let factor = 256 / (max_value + 1);
    let t1 = bounded((3 / factor + 3 * near).max(2), near + 1);
    let t2 = bounded((7 / factor + 5 * near).max(3), t1);
    let t3 = bounded((21 / factor + 7 * near).max(4), t2);
    [t1, t2, t3]
}

/// Samples of a run (T.87 section A.7.1), at most those left in the line.
fn run_len(bits: &mut Bits<'_>, run_idx: &mut usize, left: usize) -> Result<usize, CodecError> {
    let mut n_run = 0;
    while bits.bit()? {
        let whole = 1 << RUN_BITS[*run_idx];
        let taken = whole.min(left - n_run);
        n_run += taken;
        if taken == whole {
            *run_idx = (*run_idx + 1).min(31);
        }
        if n_run == left {
            return Ok(left);
        }
    }
    n_run += bits.take(RUN_BITS[*run_idx])? as usize;
    if n_run > left {
        return Err(CodecError::Malformed("a run beyond its line"));
    }
    Ok(n_run)
}

/// The smallest number of bits whose steps of `n` reach `a`.
fn golomb_bits(n: i32, a: i32) -> Result<u32, CodecError> {
    (0..24)
        .find(|k| i64::from(n) << k >= i64::from(a))
        .ok_or(CodecError::Malformed("errors without bound"))
}
