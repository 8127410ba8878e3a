//! Tag tree: a small array of numbers, coded from the minimum of the whole down to each leaf
//! (ITU-T T.800 B.10.2). Packet headers use one for which blocks are present and one for their zero
//! bit planes.

use super::packet::HeaderBits;

/// A tag tree of one precinct and band; its memory is kept between uses.
#[derive(Debug, Default)]
pub struct TagTree {
    nodes: Vec<Node>,
    /// From the leaves to the root: first node and nodes across.
    levels: Vec<(usize, usize)>,
}

#[derive(Clone, Copy, Debug)]
struct Node {
    value: u32,
    /// What has been told: the value is at least this.
    told: u32,
    /// Whether the value itself has been told.
    known: bool,
}

impl TagTree {
    /// Sets up the tree over `leaves`, which are `columns` across, none told yet.
    ///
    /// There is at least one leaf.
    pub fn fill(&mut self, leaves: impl Iterator<Item = u32>, columns: usize) {
        let node = |value| Node {
            value,
            told: 0,
            known: false,
        };
        self.nodes.clear();
        self.levels.clear();
        self.nodes.extend(leaves.map(node));
        self.levels.push((0, columns));
        let (mut first, mut across, mut down) = (0, columns, self.nodes.len() / columns);
        while across * down > 1 {
            let start = self.nodes.len();
            for y in (0..down).step_by(2) {
                for x in (0..across).step_by(2) {
                    let children =
                        (y..(y + 2).min(down)).flat_map(|y| (x..(x + 2).min(across)).map(move |x| (x, y)));
                    let least = children
                        .map(|(x, y)| self.nodes[first + y * across + x].value)
                        .min()
                        .unwrap_or(0);
                    self.nodes.push(node(least));
                }
            }
            (first, across, down) = (start, across.div_ceil(2), down.div_ceil(2));
            self.levels.push((first, across));
        }
    }

    /// Tells whether the leaf at `column`, `row` is below `threshold`, and if so its value, as far as
    /// the reader does not know yet.
    pub fn tell(&mut self, column: usize, row: usize, threshold: u32, header: &mut HeaderBits) {
        let mut told = 0;
        for (level, &(first, across)) in self.levels.iter().enumerate().rev() {
            let node = &mut self.nodes[first + (row >> level) * across + (column >> level)];
            node.told = node.told.max(told);
            while !node.known && node.told < threshold {
                node.known = node.told == node.value;
                header.put_bit(node.known);
                node.told += u32::from(!node.known);
            }
            told = node.told;
        }
    }
}
