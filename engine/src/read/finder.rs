//! Going from segment to segment after what a filter leads to.
//!
//! Owns: [`Finder`]. May call: filter, leads, index, segment. Segments in which nothing can match cost
//! a look at their index.

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::Arc;

use quipu_format::Position;

use super::filter::Filter;
use super::leads::Looked;
use super::snapshot::Snapshot;
use crate::index::StreamIndex;
use crate::segment::set;

/// Finds the events of a range that a filter may let pass.
#[derive(Debug, Clone)]
pub(crate) struct Finder {
    index: Arc<StreamIndex>,
    filter: Arc<Filter>,
    backward: bool,
    /// Positions that have not been looked up.
    left: Range<u64>,
    /// Positions that have, the next one first.
    listed: VecDeque<u64>,
}

/// What is to be looked at next.
pub(crate) enum Next {
    /// The event at this position.
    One(Position),
    /// All events of these.
    All(Range<u64>),
}

impl Finder {
    /// `range` ends where the snapshot does that is walked.
    pub(crate) fn new(
        index: Arc<StreamIndex>,
        filter: Arc<Filter>,
        range: Range<u64>,
        backward: bool,
    ) -> Self {
        Self { index, filter, backward, left: range, listed: VecDeque::new() }
    }

    /// What is to be looked at next; `None`: that was all.
    pub(crate) fn next(&mut self, snapshot: &Snapshot) -> Option<Next> {
        loop {
            if let Some(position) = self.listed.pop_front() {
                return Some(Next::One(Position::new(position)));
            }
            if self.left.start >= self.left.end {
                return None;
            }
            if let Some(range) = self.look_up(snapshot) {
                return Some(Next::All(range));
            }
        }
    }

    /// Looks up the next part of what is left. Gives it, if all of it is to be looked at.
    fn look_up(&mut self, snapshot: &Snapshot) -> Option<Range<u64>> {
        let Self { index, filter, backward, left, listed } = self;
        let at = if *backward { left.end - 1 } else { left.start };
        let segments = &snapshot.segments;
        let place = set::holding(segments, Position::new(at));
        let found = place.and_then(|place| Some((segments.get(place)?, segments.get(place + 1))));
        let (Some((segment, next)), Some(leads)) = (found, filter.leads()) else {
            return Some(std::mem::replace(left, 0..0));
        };
        let base = segment.base_position().as_u64();
        let end = next.map_or(u64::MAX, |next| next.base_position().as_u64());
        let part = left.start.max(base)..left.end.min(end);
        let mut positions = Vec::new();
        let looked = leads.look_up(index, segment, &part, *backward, &mut positions);
        let (covered, all) = match looked {
            Looked::Scan => (part.clone(), Some(part)),
            Looked::Listed(covered) => (covered, None),
        };
        match *backward {
            true => left.end = covered.start,
            false => left.start = covered.end,
        }
        match *backward {
            true => listed.extend(positions.into_iter().rev()),
            false => listed.extend(positions),
        }
        all
    }
}
