//! Writes the codestream: level shift and colour transform, wavelet, code blocks, packets.
//! What is written holds every sample exactly; a sample outside the declared range is refused, never
//! clipped. Geometry is in `layout`; the parts of the coder are the modules below.

mod bits;
mod block;
mod magsgn;
mod markers;
mod mel;
mod packet;
mod tagtree;
#[cfg(test)]
mod tests;
mod vlc;

use super::layout::{Band, ImageShape, Layout, ShapeError};
use super::wavelet::{ForwardWavelet, LevelOutput};
use block::BlockEncoder;
use packet::{PacketBand, PacketHeader};

/// A coded image.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Codestream {
    /// The whole, from SOC to EOC.
    pub bytes: Vec<u8>,
    /// Byte offset at which each resolution is complete, lowest first. `bytes[..offset]` can be
    /// decoded at that resolution; the last is the length of all.
    pub resolution_ends: Vec<u32>,
}

/// Why an image was not coded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EncodeError {
    /// The shape is beyond this coder.
    Shape(ShapeError),
    /// The number of samples is not that of the shape.
    SampleCount {
        /// Width times height times components.
        expected: usize,
        /// Length of the slice.
        found: usize,
    },
    /// A sample lies outside the range of the shape's precision.
    SampleRange {
        /// Lowest sample of the image.
        lowest: i32,
        /// Highest sample of the image.
        highest: i32,
    },
    /// A coefficient is larger than the header would declare. No image leads here.
    Magnitude {
        /// Bits of the largest coefficient in its band.
        bits: u32,
        /// Bits declared for that band.
        bits_max: u32,
    },
    /// The codestream would pass 2^32 bytes, which its offsets cannot express.
    Length,
}

impl std::fmt::Display for EncodeError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Shape(error) => error.fmt(f),
            Self::SampleCount { expected, found } => {
                write!(f, "{found} samples, expected {expected}")
            }
            Self::SampleRange { lowest, highest } => {
                write!(f, "samples from {lowest} to {highest} exceed the precision")
            }
            Self::Magnitude { bits, bits_max } => {
                write!(f, "coefficient of {bits} bits, expected at most {bits_max}")
            }
            Self::Length => write!(f, "codestream of 2^32 bytes or more"),
        }
    }
}

impl std::error::Error for EncodeError {}

impl From<ShapeError> for EncodeError {
    fn from(error: ShapeError) -> Self {
        Self::Shape(error)
    }
}

/// Codes one image. For many, an [`Encoder`] saves allocating its memory each time.
///
/// `samples` are pixel by pixel, row by row, components interleaved, each within
/// [`ImageShape::sample_range`].
pub fn encode(shape: &ImageShape, samples: &[i32]) -> Result<Codestream, EncodeError> {
    let mut codestream = Codestream::default();
    Encoder::default().encode(shape, &mut samples.to_vec(), &mut codestream)?;
    Ok(codestream)
}

/// Working memory is kept from image to image up to so many samples.
const KEPT_SAMPLES_MAX: usize = 512 * 1024;

/// Codes images one after the other; after the first of a size it allocates nothing, unless the image is large. It
/// takes nine bytes for each sample, those of the caller's samples among them.
#[derive(Debug, Default)]
pub struct Encoder {
    /// Geometry of the last image, for the next of the same shape.
    plan: Option<Plan>,
    /// Components one after the other; then the pictures between levels.
    planes: Vec<i32>,
    low: Vec<i32>,
    /// All bands of all components.
    coefficients: Vec<i32>,
    wavelet: ForwardWavelet,
    block: BlockEncoder,
    header: PacketHeader,
    /// Blocks of the packet at work, and their lengths band after band.
    body: Vec<u8>,
    lengths: Vec<u32>,
}

#[derive(Debug)]
struct Plan {
    shape: ImageShape,
    layout: Layout,
    /// First coefficient of each band within its component, in the order of the layout.
    offsets: Vec<Vec<usize>>,
}

impl Plan {
    fn new(shape: ImageShape) -> Self {
        let layout = Layout::new(shape.width, shape.height, &shape.written_division());
        let mut next = 0;
        let offsets = layout
            .resolutions
            .iter()
            .map(|resolution| {
                let bands = resolution.bands.iter();
                bands
                    .map(|band| {
                        let offset = next;
                        next += band.width as usize * band.height as usize;
                        offset
                    })
                    .collect()
            })
            .collect();
        Self {
            shape,
            layout,
            offsets,
        }
    }
}

impl Encoder {
    /// Codes one image into `codestream`, whose former content is lost; see [`encode`]. The memory of `samples` is
    /// worked in: what is there afterwards means nothing.
    ///
    /// After an error `codestream` holds nothing that can be decoded.
    pub fn encode(
        &mut self,
        shape: &ImageShape,
        samples: &mut Vec<i32>,
        codestream: &mut Codestream,
    ) -> Result<(), EncodeError> {
        shape.check()?;
        if samples.len() != shape.n_samples() {
            return Err(EncodeError::SampleCount {
                expected: shape.n_samples(),
                found: samples.len(),
            });
        }
        check_range(shape, samples)?;
        codestream.bytes.clear();
        codestream.resolution_ends.clear();
        let plan = match self.plan.take() {
            Some(plan) if plan.shape == *shape => plan,
            _ => Plan::new(*shape),
        };
        self.load(shape, samples);
        for component in 0..usize::from(shape.components) {
            self.transform(&plan, component);
        }
        let is_large = shape.n_samples() > KEPT_SAMPLES_MAX;
        if is_large {
            (self.planes, self.low) = (Vec::new(), Vec::new());
        }
        let outcome = self.write(&plan, codestream);
        if is_large {
            *self = Self::default();
        }
        self.plan = Some(plan);
        if outcome.is_err() {
            codestream.bytes.clear();
            codestream.resolution_ends.clear();
        }
        outcome
    }

    /// Centres the samples around 0 and parts the components; colours become one brightness and two
    /// differences (T.800 G.1, G.2).
    fn load(&mut self, shape: &ImageShape, samples: &mut Vec<i32>) {
        let (n_pixels, shift) = (shape.n_pixels(), shape.level_shift());
        if shape.components == 1 {
            std::mem::swap(&mut self.planes, samples);
            for value in &mut self.planes {
                *value -= shift;
            }
            return;
        }
        self.planes.resize(samples.len(), 0);
        let (brightness, differences) = self.planes.split_at_mut(n_pixels);
        let (blue, red) = differences.split_at_mut(n_pixels);
        let (pixels, _) = samples.as_chunks::<3>();
        for (((pixel, y), u), v) in pixels.iter().zip(brightness).zip(blue).zip(red) {
            let [r, g, b] = pixel.map(|sample| sample - shift);
            *y = (r + 2 * g + b) >> 2;
            *u = b - g;
            *v = r - g;
        }
    }

    /// Takes one component from its samples to the coefficients of all bands.
    fn transform(&mut self, plan: &Plan, component: usize) {
        let n_pixels = plan.shape.n_pixels();
        let picture = &mut self.planes[component * n_pixels..][..n_pixels];
        let coefficients = &mut self.coefficients;
        coefficients.resize(plan.shape.n_samples(), 0);
        let coefficients = &mut coefficients[component * n_pixels..][..n_pixels];
        let size = |r: usize| {
            let resolution = &plan.layout.resolutions[r];
            (resolution.width as usize, resolution.height as usize)
        };
        for r in (1..plan.layout.resolutions.len()).rev() {
            let (width, height) = size(r);
            let (low_width, low_height) = size(r - 1);
            self.low.resize((low_width * low_height).max(self.low.len()), 0);
            let low = &mut self.low[..low_width * low_height];
            // The three bands of a resolution lie one after the other.
            let [hl, lh, hh] = [0, 1, 2].map(|band| plan.offsets[r][band]);
            let bands = &mut coefficients[hl..];
            let (hl, bands) = bands.split_at_mut(lh - hl);
            let (lh, hh) = bands.split_at_mut(hh - lh);
            let output = LevelOutput {
                ll: &mut *low,
                hl,
                lh,
                hh,
            };
            self.wavelet.decompose(&picture[..width * height], width, output);
            picture[..low.len()].copy_from_slice(low);
        }
        let (width, height) = size(0);
        coefficients[..width * height].copy_from_slice(&picture[..width * height]);
    }

    /// Writes headers and tile-parts, lowest resolution first.
    fn write(&mut self, plan: &Plan, codestream: &mut Codestream) -> Result<(), EncodeError> {
        let output = &mut codestream.bytes;
        let tlm = markers::write_main_header(output, &plan.shape, &plan.layout);
        let n_resolutions = plan.layout.resolutions.len();
        for r in 0..n_resolutions {
            let start = markers::begin_tile_part(output, r, n_resolutions);
            for component in 0..usize::from(plan.shape.components) {
                self.write_packet(plan, r, component, output)?;
            }
            markers::end_tile_part(output, start, tlm + 6 * r);
            if r + 1 == n_resolutions {
                markers::write_end(output);
            }
            let end = u32::try_from(output.len()).map_err(|_| EncodeError::Length)?;
            codestream.resolution_ends.push(end);
        }
        Ok(())
    }

    /// Writes the packet of one component at one resolution: all its blocks, in one precinct.
    fn write_packet(
        &mut self,
        plan: &Plan,
        r: usize,
        component: usize,
        output: &mut Vec<u8>,
    ) -> Result<(), EncodeError> {
        let resolution = &plan.layout.resolutions[r];
        let base = component * plan.shape.n_pixels();
        self.body.clear();
        self.lengths.clear();
        for (band, offset) in resolution.bands.iter().zip(&plan.offsets[r]) {
            let bits_max = markers::magnitude_bits(&plan.shape, band.kind.gain_log2());
            self.encode_blocks(band, base + offset, u32::from(bits_max))?;
        }
        let mut first = 0;
        let lengths = &self.lengths;
        let grids = resolution.precincts[0].grids.iter();
        let bands: [_; 3] = {
            let mut bands = resolution.bands.iter().zip(grids).map(|(band, &grid)| {
                let n = (grid.columns * grid.rows) as usize;
                first += n;
                let bits = markers::magnitude_bits(&plan.shape, band.kind.gain_log2());
                PacketBand {
                    grid,
                    zero_planes: u32::from(bits) - 1,
                    lengths: &lengths[first - n..first],
                }
            });
            [bands.next(), bands.next(), bands.next()]
        };
        let header = self.header.write(bands.into_iter().flatten());
        output.extend_from_slice(header);
        output.extend_from_slice(&self.body);
        Ok(())
    }

    /// Codes the blocks of a band whose coefficients begin at `offset`.
    fn encode_blocks(&mut self, band: &Band, offset: usize, bits_max: u32) -> Result<(), EncodeError> {
        let stride = band.width as usize;
        let coefficients = &self.coefficients[offset..][..stride * band.height as usize];
        let bits = block::magnitude_bits(coefficients);
        if bits > bits_max.min(block::MAGNITUDE_BITS_MAX) {
            return Err(EncodeError::Magnitude { bits, bits_max });
        }
        for row in 0..band.block_rows() {
            for column in 0..band.block_columns() {
                let block = band.block(column, row);
                let first = block.y as usize * stride + block.x as usize;
                let size = (block.width as usize, block.height as usize);
                let length = self
                    .block
                    .encode(&coefficients[first..], stride, size, &mut self.body);
                self.lengths.push(length as u32);
            }
        }
        Ok(())
    }
}

/// Refuses samples that the precision does not hold.
fn check_range(shape: &ImageShape, samples: &[i32]) -> Result<(), EncodeError> {
    let (lowest, highest) = samples
        .iter()
        .fold((i32::MAX, i32::MIN), |(lowest, highest), &sample| {
            (lowest.min(sample), highest.max(sample))
        });
    let range = shape.sample_range();
    if range.contains(&lowest) && range.contains(&highest) {
        Ok(())
    } else {
        Err(EncodeError::SampleRange { lowest, highest })
    }
}
