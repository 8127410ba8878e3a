//! A set of byte positions as sorted, disjoint, non-touching half-open ranges.

use std::ops::Range;

/// Which bytes of a container are held, wanted or sent. Memory grows with the number of gaps only.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RangeSet {
    ranges: Vec<Range<u64>>,
}

impl RangeSet {
    /// No bytes.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The bytes from 0 to `len`.
    #[must_use]
    pub fn whole(len: u64) -> Self {
        let mut set = Self::new();
        set.insert(0..len);
        set
    }

    /// Adds a range; an empty one changes nothing.
    pub fn insert(&mut self, range: Range<u64>) {
        if range.start >= range.end {
            return;
        }
        let first = self.ranges.partition_point(|held| held.end < range.start);
        let after = self.ranges.partition_point(|held| held.start <= range.end);
        let mut merged = range;
        if first < after {
            merged.start = merged.start.min(self.ranges[first].start);
            merged.end = merged.end.max(self.ranges[after - 1].end);
        }
        self.ranges.splice(first..after, [merged]);
    }

    /// Takes a range out.
    pub fn remove(&mut self, range: Range<u64>) {
        if range.start >= range.end {
            return;
        }
        let first = self.ranges.partition_point(|held| held.end <= range.start);
        let after = self.ranges.partition_point(|held| held.start < range.end);
        let mut left = Vec::new();
        if first < after {
            let (head, tail) = (self.ranges[first].start, self.ranges[after - 1].end);
            if head < range.start {
                left.push(head..range.start);
            }
            if range.end < tail {
                left.push(range.end..tail);
            }
        }
        self.ranges.splice(first..after, left);
    }

    /// Whether every byte of `range` is in the set.
    #[must_use]
    pub fn contains(&self, range: &Range<u64>) -> bool {
        let idx = self.ranges.partition_point(|held| held.end < range.end);
        range.start >= range.end || self.ranges.get(idx).is_some_and(|held| held.start <= range.start)
    }

    /// The parts of `within` that are not in the set, ascending.
    #[must_use]
    pub fn gaps(&self, within: Range<u64>) -> Vec<Range<u64>> {
        let mut gaps = Vec::new();
        let mut at = within.start;
        let first = self.ranges.partition_point(|held| held.end <= within.start);
        for held in self.ranges[first..]
            .iter()
            .take_while(|held| held.start < within.end)
        {
            if held.start > at {
                gaps.push(at..held.start);
            }
            at = at.max(held.end);
        }
        if at < within.end {
            gaps.push(at..within.end);
        }
        gaps
    }

    /// The first part of the set inside `within`, at most `len_max` bytes long.
    #[must_use]
    pub fn first_in(&self, within: Range<u64>, len_max: u64) -> Option<Range<u64>> {
        let idx = self.ranges.partition_point(|held| held.end <= within.start);
        let held = self.ranges.get(idx)?;
        let start = held.start.max(within.start);
        let end = held.end.min(within.end).min(start.saturating_add(len_max));
        (start < end).then_some(start..end)
    }

    /// Number of bytes in the set.
    #[must_use]
    pub fn len(&self) -> u64 {
        self.ranges.iter().map(|range| range.end - range.start).sum()
    }

    /// Whether no byte is in the set.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.ranges.is_empty()
    }

    /// Number of separate pieces.
    #[must_use]
    pub fn pieces(&self) -> usize {
        self.ranges.len()
    }

    /// The pieces, ascending.
    pub fn iter(&self) -> impl Iterator<Item = Range<u64>> + '_ {
        self.ranges.iter().cloned()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn behaves_like_a_table_of_bits(
            steps in prop::collection::vec((any::<bool>(), 0u64..60, 0u64..20), 0..40),
            probe in 0u64..60, probe_len in 0u64..20,
        ) {
            let mut set = RangeSet::new();
            let mut bits = [false; 100];
            for (add, start, len) in steps {
                let range = start..start + len;
                bits[start as usize..(start + len) as usize].fill(add);
                if add { set.insert(range) } else { set.remove(range) }
                prop_assert_eq!(set.len(), bits.iter().filter(|bit| **bit).count() as u64);
                let pieces: Vec<_> = set.iter().collect();
                prop_assert!(pieces.windows(2).all(|pair| pair[0].end < pair[1].start));
            }
            let within = probe..probe + probe_len;
            let slice = &bits[probe as usize..(probe + probe_len) as usize];
            prop_assert_eq!(set.contains(&within), slice.iter().all(|bit| *bit));
            let missing: u64 = set.gaps(within.clone()).iter().map(|gap| gap.end - gap.start).sum();
            prop_assert_eq!(missing, slice.iter().filter(|bit| !**bit).count() as u64);
            let first = slice.iter().position(|bit| *bit).map(|idx| probe + idx as u64);
            prop_assert_eq!(set.first_in(within, 3).map(|range| range.start), first);
        }
    }
}
