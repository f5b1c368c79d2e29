//! Positions of events in segments that have no index of their own yet.
//!
//! Owns: [`Tails`], [`Tail`] (one segment's), [`List`] (one stream's events in it). May call:
//! arena, the number types of the format.
//!
//! There is one for the segment that is written, and one for each that is sealed and waits for its
//! index. A stream's lists are chained from the newest to the oldest, by the position of its event
//! in front of a list and the place of the list that holds it.

use std::collections::VecDeque;

use quipu_format::sidecar::NameHash;
use quipu_format::{Position, SegmentSeq};
use smallvec::SmallVec;

use super::arena::Chunks;
use super::tags::TagLists;

/// The segments without an index, in order.
#[derive(Debug, Default)]
pub(crate) struct Tails {
    tails: VecDeque<Tail>,
}

/// What a segment's index will say of its streams and tags.
#[derive(Debug)]
pub(crate) struct Tail {
    pub(crate) sequence: SegmentSeq,
    base: Position,
    /// Behind its last position; of the segment that is written: beyond all.
    end: Position,
    lists: Chunks<List>,
    tags: TagLists,
}

/// The events of a stream in a segment.
#[derive(Debug)]
pub(crate) struct List {
    /// The version of the first.
    pub(crate) first_version: u64,
    /// The position of the stream's event in front of the first.
    pub(crate) previous: Option<Position>,
    /// If that one's segment is here: the place of its list in it.
    pub(crate) older: u32,
    /// Ascending.
    pub(crate) positions: SmallVec<[Position; 2]>,
}

impl Tails {
    /// Begins the next segment.
    pub(crate) fn begin(&mut self, sequence: SegmentSeq, base: Position) {
        self.end(base);
        let end = Position::new(u64::MAX);
        let (lists, tags) = (Chunks::default(), TagLists::default());
        self.tails.push_back(Tail { sequence, base, end, lists, tags });
    }

    /// Ends the segment begun last, which goes on no further; the next one may have no tail.
    pub(crate) fn end(&mut self, end: Position) {
        if let Some(last) = self.tails.back_mut() {
            last.end = last.end.min(end);
        }
    }

    /// Takes a segment's tail away.
    pub(crate) fn take(&mut self, sequence: SegmentSeq) -> Option<Tail> {
        let place = self.tails.iter().position(|tail| tail.sequence == sequence)?;
        self.tails.remove(place)
    }

    /// The tail of the segment that holds `position`.
    pub(crate) fn holding(&self, position: Position) -> Option<&Tail> {
        // Nearly always the last one.
        self.tails.iter().rev().find(|tail| tail.base <= position && position < tail.end)
    }

    /// A segment's tail.
    pub(crate) fn of(&self, sequence: SegmentSeq) -> Option<&Tail> {
        self.tails.iter().find(|tail| tail.sequence == sequence)
    }

    /// Notes a tag of an event, which is in the last segment.
    pub(crate) fn push_tag(&mut self, tag: NameHash, position: Position) {
        if let Some(tail) = self.tails.back_mut() {
            tail.tags.push(tag, position);
        }
    }

    /// Notes a stream's next event, which is in the last segment. `last`: the stream's last event,
    /// if it has one, and the place of the list that holds it, if its segment is here. Gives the
    /// place of the list that holds the new one.
    pub(crate) fn push(
        &mut self,
        position: Position,
        last: Option<(Position, u32)>,
        version: u64,
    ) -> u32 {
        let Some(tail) = self.tails.back_mut() else { return 0 };
        if let Some((_, list)) = last.filter(|(at, _)| tail.base <= *at)
            && let Some(known) = tail.lists.get_mut(list as usize)
        {
            known.positions.push(position);
            return list;
        }
        let place = u32::try_from(tail.lists.len()).expect(
            "four thousand million lists and their entries do not fit into the memory of a machine",
        );
        let mut positions = SmallVec::new();
        positions.push(position);
        let (previous, older) = last.unzip();
        let older = older.unwrap_or_default();
        tail.lists.push(List { first_version: version, previous, older, positions });
        place
    }
}

impl Tail {
    /// Its events by their tags.
    pub(crate) fn tags(&self) -> &TagLists {
        &self.tags
    }

    /// The list at a place that the chain of a stream has led to.
    pub(crate) fn list(&self, place: u32) -> Option<&List> {
        self.lists.get(place as usize)
    }

    /// For each stream that goes on in this segment: the positions of its first event here and of
    /// the one in front. In the order of both.
    pub(crate) fn ways_back(&self) -> Vec<(Position, Position)> {
        self.lists
            .iter()
            .filter_map(|list| Some((*list.positions.first()?, list.previous?)))
            .collect()
    }
}
