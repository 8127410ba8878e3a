//! Where the instances of a study stand: in which series, at which position by order of arrival, and at which of
//! them the reader looks.
//!
//! Positions stay when an instance is answered and leaves, so that a reader who looks at what has already arrived
//! still draws its neighbours near. All of it is forgotten with the last unanswered instance of the study.

use std::collections::{BTreeMap, HashMap};

use tancho_domain::dicom::{SeriesInstanceUid, SopInstanceUid};

use crate::digest::Digest;

/// The order in which objects became known.
pub(super) type Seq = u64;
/// A series of a study, counted from 0 as they became known.
pub(super) type SeriesNo = usize;
/// An instance of a series, counted from 0 as they became known.
pub(super) type Position = usize;

/// One container's place in its study.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) seq: Seq,
    pub(super) series: SeriesNo,
    pub(super) position: Position,
    pub(super) digest: Digest,
}

/// The places of one study.
#[derive(Debug, Default)]
pub(super) struct Places {
    /// Containers that are listed or on the line.
    pub(super) members: BTreeMap<Seq, Digest>,
    numbers: HashMap<SeriesInstanceUid, SeriesNo>,
    series: Vec<Series>,
    focused: Option<SeriesNo>,
}

#[derive(Debug, Default)]
struct Series {
    positions: HashMap<SopInstanceUid, Position>,
    looked_at: Option<Position>,
}

impl Places {
    /// Gives a container its place. An instance that comes in another container keeps its position.
    pub(super) fn add(
        &mut self,
        seq: Seq,
        digest: Digest,
        series_uid: &SeriesInstanceUid,
        sop_uid: &SopInstanceUid,
    ) -> Place {
        self.members.insert(seq, digest);
        let n_series = self.series.len();
        let number = *self.numbers.entry(series_uid.clone()).or_insert(n_series);
        if number == n_series {
            self.series.push(Series::default());
        }
        let positions = &mut self.series[number].positions;
        let n_positions = positions.len();
        let position = *positions.entry(sop_uid.clone()).or_insert(n_positions);
        Place {
            seq,
            series: number,
            position,
            digest,
        }
    }

    /// The reader looks here from now on. An unknown series changes nothing, an unknown instance only the series.
    pub(super) fn focus(&mut self, series_uid: &SeriesInstanceUid, sop_uid: &SopInstanceUid) {
        let Some(number) = self.numbers.get(series_uid) else {
            return;
        };
        self.focused = Some(*number);
        let series = &mut self.series[*number];
        if let Some(position) = series.positions.get(sop_uid) {
            series.looked_at = Some(*position);
        }
    }

    /// The series the reader looks at.
    pub(super) fn focused(&self) -> Option<SeriesNo> {
        self.focused
    }

    /// The position from which a series goes outward: where the reader looks or looked last, else the middle of what
    /// is known.
    pub(super) fn centre(&self, number: SeriesNo) -> Position {
        self.series.get(number).map_or(0, |series| {
            series
                .looked_at
                .unwrap_or(series.positions.len().saturating_sub(1) / 2)
        })
    }
}
