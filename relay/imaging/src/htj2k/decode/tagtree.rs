//! Tag trees of packet headers (ITU-T T.800, B.10.2), for a single quality layer.

use super::super::DecodeError;
use super::packet::HeaderBits;

/// Levels of a tree over at most 2^32 leaves a side.
const LEVELS_MAX: usize = 33;

/// Smallest values of blocks, kept at each node of a quadtree over a grid of blocks. Reused from grid to grid.
#[derive(Default)]
pub struct TagTree {
    nodes: Vec<Node>,
    /// Columns and first node of each level, leaves first.
    levels: Vec<(usize, usize)>,
}

#[derive(Clone, Copy, Default)]
struct Node {
    /// The value is at least this.
    least: u8,
    /// The value is exactly `least`.
    exact: bool,
}

impl TagTree {
    /// Forgets everything and covers a grid of at least one block.
    pub fn reset(&mut self, columns: usize, rows: usize) {
        self.levels.clear();
        let (mut width, mut height, mut n_nodes) = (columns, rows, 0);
        for _ in 0..LEVELS_MAX {
            self.levels.push((width, n_nodes));
            n_nodes += width * height;
            if width <= 1 && height <= 1 {
                break;
            }
            (width, height) = (width.div_ceil(2), height.div_ceil(2));
        }
        self.nodes.clear();
        self.nodes.resize(n_nodes, Node::default());
    }

    /// Reads as much of one leaf as tells whether its value is below `threshold`; the value, if it is.
    pub fn read(
        &mut self,
        bits: &mut HeaderBits,
        (column, row): (usize, usize),
        threshold: u8,
    ) -> Result<Option<u8>, DecodeError> {
        let mut least = 0;
        for (level, &(columns, first)) in self.levels.iter().enumerate().rev() {
            let node = &mut self.nodes[first + (row >> level) * columns + (column >> level)];
            node.least = node.least.max(least);
            while !node.exact && node.least < threshold {
                if bits.read_bit()? {
                    node.exact = true;
                } else {
                    node.least += 1;
                }
            }
            least = node.least;
            if !node.exact {
                return Ok(None);
            }
        }
        Ok(Some(least).filter(|&value| value < threshold))
    }
}
