//! Where the samples of an image lie in a codestream: resolutions, subbands, precincts and code
//! blocks (ITU-T T.800 Annex B), for one tile that starts at the origin and components of full size.
//! Both directions read their geometry here; nothing else in the coder may divide an image.

/// Longest side coded, in pixels: one default precinct (2^15) then covers any resolution.
pub const SIDE_MAX: u32 = 32_768;

/// Both sides of the lowest resolution are at most this long. PS3.5 section 10.18 asks for 64 or less; two more
/// decompositions make real head CT 1 % and MR 8 % smaller, and a third gains nothing.
pub const LOWEST_SIDE_MAX: u32 = 16;

/// Code blocks written are 2^6 by 2^6 samples.
pub const BLOCK_SIDE_LOG2: u8 = 6;

/// Exponent of the default precinct, which is never divided here.
pub const PRECINCT_SIDE_LOG2_DEFAULT: u8 = 15;

/// Guard bits written. With exponents of nominal range, bands then hold 4 (LL), 8 (HL, LH) and 16 (HH) times the
/// largest centred sample (T.800 equation E-2); the 5/3 filters reach less than 3, 5 and 8.1 times at any depth.
pub const GUARD_BITS: u8 = 2;
/// Guard bits of images of few bits: there the rounding of each step, of which those bounds know nothing, counts.
pub const GUARD_BITS_OF_FEW: u8 = 3;
/// Bits of a sample that are few.
pub const FEW_BITS_MAX: u8 = 4;

/// What an image is, apart from its samples.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ImageShape {
    /// Columns, 1 to `SIDE_MAX`.
    pub width: u32,
    /// Rows, 1 to `SIDE_MAX`.
    pub height: u32,
    /// Samples per pixel: 1, or 3 for red, green and blue.
    pub components: u8,
    /// Bits Stored of each sample, 1 to 16.
    pub precision: u8,
    /// Whether samples are two's complement (Pixel Representation 1).
    pub signed: bool,
}

/// A shape this coder cannot hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ShapeError {
    /// A side is 0 or above `SIDE_MAX`.
    Side {
        /// Columns.
        width: u32,
        /// Rows.
        height: u32,
    },
    /// Components are neither 1 nor 3.
    Components(u8),
    /// Precision is not 1 to 16.
    Precision(u8),
}

impl std::fmt::Display for ShapeError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Side { width, height } => {
                write!(
                    f,
                    "image of {width} x {height} pixels, expected sides of 1 to {SIDE_MAX}"
                )
            }
            Self::Components(n) => write!(f, "{n} components, expected 1 or 3"),
            Self::Precision(bits) => write!(f, "precision of {bits} bits, expected 1 to 16"),
        }
    }
}

impl std::error::Error for ShapeError {}

impl ImageShape {
    /// Refuses what the coder cannot hold.
    pub fn check(&self) -> Result<(), ShapeError> {
        let sides = 1..=SIDE_MAX;
        if !sides.contains(&self.width) || !sides.contains(&self.height) {
            return Err(ShapeError::Side {
                width: self.width,
                height: self.height,
            });
        }
        if !matches!(self.components, 1 | 3) {
            return Err(ShapeError::Components(self.components));
        }
        if !(1..=16).contains(&self.precision) {
            return Err(ShapeError::Precision(self.precision));
        }
        Ok(())
    }

    /// Pixels in the image.
    pub fn n_pixels(&self) -> usize {
        self.width as usize * self.height as usize
    }

    /// Samples in the image: pixels times components.
    pub fn n_samples(&self) -> usize {
        self.n_pixels() * usize::from(self.components)
    }

    /// Lowest and highest sample.
    pub fn sample_range(&self) -> std::ops::RangeInclusive<i32> {
        let span = 1_i32 << self.precision;
        if self.signed {
            -(span >> 1)..=(span >> 1) - 1
        } else {
            0..=span - 1
        }
    }

    /// What is taken from unsigned samples before coding (T.800 G.1): half the range.
    pub fn level_shift(&self) -> i32 {
        if self.signed { 0 } else { 1 << (self.precision - 1) }
    }

    /// Fewest decompositions that bring both sides of the lowest resolution to
    /// `LOWEST_SIDE_MAX`. PS3.5 asks it of 1.2.840.10008.1.2.4.202.
    pub fn decomposition_levels(&self) -> u8 {
        let longest = self.width.max(self.height);
        (0..32)
            .find(|&levels| side_at(longest, levels) <= LOWEST_SIDE_MAX)
            .unwrap_or(32)
    }

    /// Bits of the samples that enter the wavelet: the colour differences of the reversible
    /// transform need one more than the colours (T.800 G.2).
    pub fn transformed_precision(&self) -> u8 {
        self.precision + u8::from(self.components == 3)
    }

    /// How this coder divides the image when it writes.
    pub fn written_division(&self) -> Division {
        let levels = self.decomposition_levels();
        Division {
            levels,
            block_width_log2: BLOCK_SIDE_LOG2,
            block_height_log2: BLOCK_SIDE_LOG2,
            precincts_log2: vec![
                (PRECINCT_SIDE_LOG2_DEFAULT, PRECINCT_SIDE_LOG2_DEFAULT);
                usize::from(levels) + 1
            ],
        }
    }
}

/// Length of a side after so many halvings, rounded up.
pub fn side_at(side: u32, levels: u8) -> u32 {
    side.div_ceil(1_u32.checked_shl(u32::from(levels)).unwrap_or(u32::MAX))
}

/// What COD says about the division of the image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Division {
    /// Decompositions, 0 to 32.
    pub levels: u8,
    /// Exponent of the nominal code-block width, 2 to 10.
    pub block_width_log2: u8,
    /// Exponent of the nominal code-block height, 2 to 10; both together at most 12.
    pub block_height_log2: u8,
    /// Exponents of the precinct width and height, one pair per resolution, lowest first. They must
    /// be 1 or more above the lowest resolution.
    pub precincts_log2: Vec<(u8, u8)>,
}

/// Orientation of a subband: horizontal filter first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BandKind {
    /// Low in both directions.
    Ll,
    /// High across columns, low across rows.
    Hl,
    /// Low across columns, high across rows.
    Lh,
    /// High in both directions.
    Hh,
}

impl BandKind {
    /// Bits by which the nominal range grows over that of the samples (T.800 table E.1).
    pub fn gain_log2(self) -> u8 {
        match self {
            Self::Ll => 0,
            Self::Hl | Self::Lh => 1,
            Self::Hh => 2,
        }
    }
}

/// One component's geometry; all components are alike.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layout {
    /// Lowest first; `levels + 1` of them.
    pub resolutions: Vec<Resolution>,
}

/// One resolution: its picture, the bands it adds to the one below, and its precincts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resolution {
    /// Columns of the picture at this resolution.
    pub width: u32,
    /// Rows of the picture at this resolution.
    pub height: u32,
    /// LL for the lowest; HL, LH, HH above.
    pub bands: Vec<Band>,
    /// In raster order; each gives one packet per component.
    pub precincts: Vec<Precinct>,
}

/// One subband.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Band {
    pub kind: BandKind,
    /// Columns of coefficients; may be 0.
    pub width: u32,
    /// Rows of coefficients; may be 0.
    pub height: u32,
    /// Exponent of the code-block width used in this band.
    pub block_width_log2: u8,
    /// Exponent of the code-block height used in this band.
    pub block_height_log2: u8,
}

/// One precinct: for each band of its resolution, in the same order, the code blocks it holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Precinct {
    pub grids: Vec<BlockGrid>,
}

/// A rectangle of code blocks of one band, in units of blocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BlockGrid {
    /// Column of the first block in the band's grid of blocks.
    pub first_column: u32,
    /// Row of the first block in the band's grid of blocks.
    pub first_row: u32,
    /// Blocks across; 0 if the precinct has no coefficient in this band.
    pub columns: u32,
    /// Blocks down; 0 if the precinct has no coefficient in this band.
    pub rows: u32,
}

/// A rectangle of coefficients within a band.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rect {
    pub x: u32,
    pub y: u32,
    pub width: u32,
    pub height: u32,
}

impl Layout {
    /// Divides an image of `width` by `height` pixels.
    ///
    /// `division` must hold what its fields promise and the sides must be at least 1; the number of
    /// precincts is then at most the number of pixels, so a caller that reads untrusted precinct
    /// sizes checks [`Layout::n_precincts`] first.
    pub fn new(width: u32, height: u32, division: &Division) -> Self {
        let levels = division.levels;
        let resolutions = (0..=levels)
            .map(|r| {
                let below = levels - r;
                let (width, height) = (side_at(width, below), side_at(height, below));
                Resolution::new(r, width, height, division)
            })
            .collect();
        Self { resolutions }
    }

    /// How many precincts [`Layout::new`] would list, without listing them.
    pub fn n_precincts(width: u32, height: u32, division: &Division) -> u64 {
        (0..=division.levels)
            .zip(&division.precincts_log2)
            .map(|(r, &(log2_x, log2_y))| {
                let below = division.levels - r;
                u64::from(side_at(side_at(width, below), log2_x))
                    * u64::from(side_at(side_at(height, below), log2_y))
            })
            .sum()
    }
}

impl Resolution {
    fn new(r: u8, width: u32, height: u32, division: &Division) -> Self {
        let (precinct_x, precinct_y) = division.precincts_log2[usize::from(r)];
        // Above the lowest resolution a precinct covers half its side in each band (T.800 B.7).
        let halved = u8::from(r > 0);
        let in_band = (precinct_x - halved, precinct_y - halved);
        let band = |kind, width, height| Band {
            kind,
            width,
            height,
            block_width_log2: division.block_width_log2.min(in_band.0),
            block_height_log2: division.block_height_log2.min(in_band.1),
        };
        let bands = if r == 0 {
            vec![band(BandKind::Ll, width, height)]
        } else {
            let low = (width.div_ceil(2), height.div_ceil(2));
            let high = (width / 2, height / 2);
            vec![
                band(BandKind::Hl, high.0, low.1),
                band(BandKind::Lh, low.0, high.1),
                band(BandKind::Hh, high.0, high.1),
            ]
        };
        let (across, down) = (side_at(width, precinct_x), side_at(height, precinct_y));
        let precincts = (0..down)
            .flat_map(|y| (0..across).map(move |x| (x, y)))
            .map(|(x, y)| Precinct {
                grids: bands
                    .iter()
                    .map(|band| band.grid_of_precinct(x, y, in_band))
                    .collect(),
            })
            .collect();
        Self {
            width,
            height,
            bands,
            precincts,
        }
    }
}

impl Band {
    /// Blocks across the whole band.
    pub fn block_columns(&self) -> u32 {
        side_at(self.width, self.block_width_log2)
    }

    /// Blocks down the whole band.
    pub fn block_rows(&self) -> u32 {
        side_at(self.height, self.block_height_log2)
    }

    /// Coefficients of the block at this column and row of the band's grid of blocks.
    pub fn block(&self, column: u32, row: u32) -> Rect {
        let (x, y) = (column << self.block_width_log2, row << self.block_height_log2);
        Rect {
            x,
            y,
            width: (self.width - x).min(1 << self.block_width_log2),
            height: (self.height - y).min(1 << self.block_height_log2),
        }
    }

    fn grid_of_precinct(&self, x: u32, y: u32, side_log2: (u8, u8)) -> BlockGrid {
        let (first_column, columns) = blocks_of_precinct(self.width, x, side_log2.0, self.block_width_log2);
        let (first_row, rows) = blocks_of_precinct(self.height, y, side_log2.1, self.block_height_log2);
        BlockGrid {
            first_column,
            first_row,
            columns,
            rows,
        }
    }
}

/// First block and number of blocks along one side of precinct number `index`.
fn blocks_of_precinct(side: u32, index: u32, precinct_log2: u8, block_log2: u8) -> (u32, u32) {
    let start = u64::from(index) << precinct_log2;
    let end = (u64::from(index + 1) << precinct_log2).min(u64::from(side));
    if start >= end {
        return (0, 0);
    }
    let first = (start >> block_log2) as u32;
    (first, end.div_ceil(1 << block_log2) as u32 - first)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shape(width: u32, height: u32) -> ImageShape {
        ImageShape {
            width,
            height,
            components: 1,
            precision: 16,
            signed: false,
        }
    }

    #[test]
    fn levels_bring_both_sides_to_16_and_no_further() {
        for (width, height, levels) in [
            (1, 1, 0),
            (16, 16, 0),
            (17, 1, 1),
            (1, 33, 2),
            (512, 512, 5),
            (512, 513, 6),
            (32_768, 5, 11),
        ] {
            assert_eq!(shape(width, height).decomposition_levels(), levels);
        }
    }

    #[test]
    fn bands_of_a_resolution_and_the_picture_below_tile_its_picture() {
        for (width, height) in [(1, 65), (65, 1), (513, 511), (130, 77)] {
            let image = shape(width, height);
            let layout = Layout::new(width, height, &image.written_division());
            for pair in layout.resolutions.windows(2) {
                let [below, this] = pair else { unreachable!() };
                let area = |w: u32, h: u32| w * h;
                let added: u32 = this.bands.iter().map(|b| area(b.width, b.height)).sum();
                assert_eq!(
                    area(below.width, below.height) + added,
                    area(this.width, this.height)
                );
            }
        }
    }

    #[test]
    fn precincts_hold_every_block_once() {
        let division = Division {
            levels: 2,
            block_width_log2: 5,
            block_height_log2: 4,
            precincts_log2: vec![(4, 5), (7, 6), (8, 8)],
        };
        let layout = Layout::new(701, 333, &division);
        assert_eq!(
            layout
                .resolutions
                .iter()
                .map(|r| r.precincts.len() as u64)
                .sum::<u64>(),
            Layout::n_precincts(701, 333, &division)
        );
        for resolution in &layout.resolutions {
            for (index, band) in resolution.bands.iter().enumerate() {
                let mut seen = vec![0; (band.block_columns() * band.block_rows()) as usize];
                for precinct in &resolution.precincts {
                    let grid = precinct.grids[index];
                    for row in grid.first_row..grid.first_row + grid.rows {
                        for column in grid.first_column..grid.first_column + grid.columns {
                            seen[(row * band.block_columns() + column) as usize] += 1;
                        }
                    }
                }
                assert!(seen.iter().all(|&n| n == 1), "{:?}", band.kind);
            }
        }
    }

    #[test]
    fn refuses_shapes_it_cannot_hold() {
        assert!(shape(0, 4).check().is_err());
        assert!(shape(4, SIDE_MAX + 1).check().is_err());
        assert!(
            ImageShape {
                components: 2,
                ..shape(4, 4)
            }
            .check()
            .is_err()
        );
        assert!(
            ImageShape {
                precision: 17,
                ..shape(4, 4)
            }
            .check()
            .is_err()
        );
        assert!(shape(SIDE_MAX, SIDE_MAX).check().is_ok());
    }
}
