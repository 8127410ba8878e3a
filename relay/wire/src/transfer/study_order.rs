//! What of one study goes next: heads in order of arrival, then low-resolution parts, then the rest, both outward
//! from where the reader looks, the series in turn and the one on the screen first.

use std::collections::{BTreeMap, BTreeSet};

use super::places::{Place, Places, Position, Seq, SeriesNo};
use crate::digest::Digest;

/// A part of a container; earlier parts of a whole study go before later ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Pass {
    /// Header, table and coded head.
    Head,
    /// The low-resolution parts of all frames.
    Preview,
    /// What is left.
    Rest,
}

pub(super) const PASSES: [Pass; 3] = [Pass::Head, Pass::Preview, Pass::Rest];

/// The containers of a study that have bytes to send, by pass.
#[derive(Debug, Default)]
pub(super) struct StudyOrder {
    heads: BTreeSet<(Seq, Digest)>,
    preview: Outward,
    rest: Outward,
}

impl StudyOrder {
    /// A container has bytes to send in this pass.
    pub(super) fn insert(&mut self, pass: Pass, place: &Place) {
        match pass {
            Pass::Head => {
                self.heads.insert((place.seq, place.digest));
            }
            Pass::Preview => self.preview.insert(place),
            Pass::Rest => self.rest.insert(place),
        }
    }

    /// A container has no more bytes to send in this pass.
    pub(super) fn remove(&mut self, pass: Pass, place: &Place) {
        match pass {
            Pass::Head => {
                self.heads.remove(&(place.seq, place.digest));
            }
            Pass::Preview => self.preview.remove(place),
            Pass::Rest => self.rest.remove(place),
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.heads.is_empty() && self.preview.by_series.is_empty() && self.rest.by_series.is_empty()
    }

    /// The container whose bytes go next. It takes the logarithm of the number of containers.
    pub(super) fn next(&mut self, places: &Places) -> Option<(Pass, Digest)> {
        if let Some((_, digest)) = self.heads.first() {
            return Some((Pass::Head, *digest));
        }
        let preview = self.preview.next(places).map(|digest| (Pass::Preview, digest));
        preview.or_else(|| self.rest.next(places).map(|digest| (Pass::Rest, digest)))
    }

    /// The reader looks elsewhere: what was begun need not be finished first.
    pub(super) fn look_again(&mut self) {
        self.preview.begun = None;
        self.rest.begun = None;
    }
}

/// The containers of one pass.
#[derive(Debug, Default)]
struct Outward {
    /// Without empty sets.
    by_series: BTreeMap<SeriesNo, BTreeSet<(Position, Digest)>>,
    /// What was chosen last goes on until its pass is through, so that instances become whole one by one although the
    /// middle of a growing series moves.
    begun: Option<(SeriesNo, Position, Digest)>,
    last_series: Option<SeriesNo>,
}

impl Outward {
    fn insert(&mut self, place: &Place) {
        let of_series = self.by_series.entry(place.series).or_default();
        of_series.insert((place.position, place.digest));
    }

    fn remove(&mut self, place: &Place) {
        if let Some(of_series) = self.by_series.get_mut(&place.series) {
            of_series.remove(&(place.position, place.digest));
            if of_series.is_empty() {
                self.by_series.remove(&place.series);
            }
        }
        if self.begun == Some((place.series, place.position, place.digest)) {
            self.begun = None;
        }
    }

    fn next(&mut self, places: &Places) -> Option<Digest> {
        if let Some((_, _, digest)) = self.begun {
            return Some(digest);
        }
        let on_screen = places
            .focused()
            .filter(|series| self.by_series.contains_key(series));
        let series = on_screen.or_else(|| self.series_after_last())?;
        let of_series = self.by_series.get(&series)?;
        let (position, digest) = nearest(of_series, places.centre(series))?;
        self.begun = Some((series, position, digest));
        self.last_series = Some(series);
        Some(digest)
    }

    fn series_after_last(&self) -> Option<SeriesNo> {
        let after = self
            .last_series
            .and_then(|last| self.by_series.range(last + 1..).next());
        after
            .or_else(|| self.by_series.first_key_value())
            .map(|(series, _)| *series)
    }
}

/// The member nearest to `centre`, the earlier one of two equally near.
fn nearest(of_series: &BTreeSet<(Position, Digest)>, centre: Position) -> Option<(Position, Digest)> {
    let from_centre = (centre, Digest([0; 32]));
    let after = of_series.range(from_centre..).next().copied();
    let before = of_series.range(..from_centre).next_back().copied();
    match (before, after) {
        (Some(before), Some(after)) if centre - before.0 <= after.0 - centre => Some(before),
        (before, after) => after.or(before),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use tancho_domain::dicom::{SeriesInstanceUid, SopInstanceUid};

    use super::*;

    fn series_uid(number: usize) -> SeriesInstanceUid {
        SeriesInstanceUid::parse(&format!("1.{}", number + 1)).unwrap()
    }

    fn sop_uid(series: usize, position: usize) -> SopInstanceUid {
        SopInstanceUid::parse(&format!("1.{}.{}", series + 1, position + 1)).unwrap()
    }

    /// A study of `sizes.len()` series, each with so many instances, in the order of the series.
    fn study(sizes: &[usize]) -> (Places, Vec<Place>) {
        let mut places = Places::default();
        let mut all = Vec::new();
        for (series, size) in sizes.iter().enumerate() {
            for position in 0..*size {
                let seq = all.len() as u64;
                let digest = Digest::of(&seq.to_be_bytes());
                all.push(places.add(seq, digest, &series_uid(series), &sop_uid(series, position)));
            }
        }
        (places, all)
    }

    /// Positions in the order in which they go, each needing one range.
    fn drain(order: &mut StudyOrder, places: &Places, all: &[Place], pass: Pass) -> Vec<(usize, usize)> {
        let mut went = Vec::new();
        while let Some((next, digest)) = order.next(places) {
            assert_eq!(next, pass);
            let place = all.iter().find(|place| place.digest == digest).unwrap();
            order.remove(pass, place);
            went.push((place.series, place.position));
        }
        went
    }

    #[test]
    fn a_series_goes_outward_from_its_middle_or_from_where_the_reader_looks() {
        let (mut places, all) = study(&[7]);
        let mut order = StudyOrder::default();
        all.iter().for_each(|place| order.insert(Pass::Preview, place));
        let positions = |went: Vec<(usize, usize)>| went.into_iter().map(|(_, at)| at).collect::<Vec<_>>();
        let went = drain(&mut order, &places, &all, Pass::Preview);
        assert_eq!(positions(went), [3, 2, 4, 1, 5, 0, 6]);
        places.focus(&series_uid(0), &sop_uid(0, 5));
        all.iter().for_each(|place| order.insert(Pass::Rest, place));
        let went = drain(&mut order, &places, &all, Pass::Rest);
        assert_eq!(positions(went), [5, 4, 6, 3, 2, 1, 0]);
    }

    #[test]
    fn series_go_in_turn_and_the_one_on_the_screen_first() {
        let (mut places, all) = study(&[3, 2, 3]);
        let mut order = StudyOrder::default();
        all.iter().for_each(|place| order.insert(Pass::Rest, place));
        let went = drain(&mut order, &places, &all, Pass::Rest);
        let series: Vec<_> = went.iter().map(|(series, _)| *series).collect();
        assert_eq!(series, [0, 1, 2, 0, 1, 2, 0, 2]);
        places.focus(&series_uid(2), &sop_uid(2, 0));
        all.iter().for_each(|place| order.insert(Pass::Rest, place));
        let went = drain(&mut order, &places, &all, Pass::Rest);
        assert_eq!(went[..3], [(2, 0), (2, 1), (2, 2)]);
    }

    #[test]
    fn what_was_begun_is_finished_unless_the_reader_looks_elsewhere() {
        let (mut places, all) = study(&[5]);
        let mut order = StudyOrder::default();
        all.iter().for_each(|place| order.insert(Pass::Rest, place));
        assert_eq!(order.next(&places), Some((Pass::Rest, all[2].digest)));
        // The series grows, so its middle moves.
        for position in 5..9 {
            let digest = Digest::of(&[position as u8; 3]);
            let place = places.add(
                position as u64,
                digest,
                &series_uid(0),
                &sop_uid(0, position as usize),
            );
            order.insert(Pass::Rest, &place);
        }
        assert_eq!(order.next(&places), Some((Pass::Rest, all[2].digest)));
        // A head or a low-resolution part overtakes, and afterwards it goes on where it was.
        order.insert(Pass::Preview, &all[0]);
        assert_eq!(order.next(&places), Some((Pass::Preview, all[0].digest)));
        order.remove(Pass::Preview, &all[0]);
        assert_eq!(order.next(&places), Some((Pass::Rest, all[2].digest)));
        places.focus(&series_uid(0), &sop_uid(0, 0));
        order.look_again();
        assert_eq!(order.next(&places), Some((Pass::Rest, all[0].digest)));
    }

    #[test]
    fn a_focus_on_something_unknown_is_harmless() {
        let (mut places, all) = study(&[3, 3]);
        places.focus(&series_uid(7), &sop_uid(7, 0));
        assert_eq!(places.focused(), None);
        places.focus(&series_uid(1), &sop_uid(1, 99));
        assert_eq!((places.focused(), places.centre(1)), (Some(1), 1));
        let mut order = StudyOrder::default();
        order.insert(Pass::Rest, &all[0]);
        assert_eq!(order.next(&places), Some((Pass::Rest, all[0].digest)));
    }

    proptest! {
        /// Against the plain sentence: the nearest of all, by trying each.
        #[test]
        fn the_nearest_is_what_trying_each_finds(
            members in prop::collection::btree_set(0usize..50, 0..30), centre in 0usize..50,
        ) {
            let set: BTreeSet<(Position, Digest)> =
                members.iter().map(|at| (*at, Digest::of(&[*at as u8]))).collect();
            let tried = members.iter().min_by_key(|at| (at.abs_diff(centre), **at));
            prop_assert_eq!(nearest(&set, centre).map(|(at, _)| at), tried.copied());
        }
    }
}
