//! Reading events in the global order.
//!
//! Owns: [`Read`] (what is to be read), [`ReadEvents`] (the iterator) and [`first_match`]. May call:
//! cursor, recorded, query, filter, finder.
//!
//! A filter that leads somewhere is followed ([`Finder`]); else every event is looked at. Either way an
//! event is given only if it matches itself.

use std::ops::{Range, RangeBounds};
use std::sync::Arc;

use quipu_format::{CommitTime, Position};

use super::cursor::{BatchCursor, find_batch};
use super::filter::Filter;
use super::finder::{Finder, Next};
use super::query::Query;
use super::recorded::{EventPlaces, RecordedEvent};
use super::snapshot::Snapshot;
use crate::error::ReadError;
use crate::index::StreamIndex;

/// A read of the log, to be narrowed down and then iterated over.
///
/// Sees the log as it was when [`Log::read`](crate::Log::read) was called.
///
/// ```
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let dir = tempfile::tempdir()?;
/// # let log = quipu::Log::options().segment_bytes(1 << 20).open(dir.path())?;
/// use quipu::{Batch, Event, Position};
/// log.append(Batch::new().event("a", Event::new("First", "1")).event("b", Event::new("Second", "2")))?;
/// let mut seen = Vec::new();
/// for event in log.read(Position::new(0)..).backward().limit(10) {
///     seen.push(event?.event_type().to_owned());
/// }
/// assert_eq!(seen, ["Second", "First"]);
/// # Ok(())
/// # }
/// ```
///
/// A read that asks for tags costs what it finds, and a look at the index of each segment, not a look at
/// every event; so does one that asks for types, in segments that are full. Where the index says that
/// more than one event in eight may match, all are looked at.
#[derive(Debug, Clone)]
#[must_use = "a read does nothing until it is iterated over"]
pub struct Read {
    snapshot: Snapshot,
    index: Arc<StreamIndex>,
    range: Range<u64>,
    backward: bool,
    limit: u64,
    query: Query,
}

impl Read {
    pub(crate) fn new(snapshot: Snapshot, index: Arc<StreamIndex>, range: Range<u64>) -> Self {
        let query = Query::default();
        Self { snapshot, index, range, backward: false, limit: u64::MAX, query }
    }

    /// From the last event to the first.
    pub fn backward(mut self) -> Self {
        self.backward = true;
        self
    }

    /// At most so many events, counted after the filters.
    pub fn limit(mut self, events: u64) -> Self {
        self.limit = events;
        self
    }

    /// Only events that match this query, which takes the place of all that was asked for before.
    pub fn matching(mut self, query: impl Into<Query>) -> Self {
        self.query = query.into();
        self
    }

    /// Only events of streams whose names begin so.
    pub fn stream_prefix(mut self, prefix: impl Into<String>) -> Self {
        self.query = self.query.stream_prefix(prefix);
        self
    }

    /// Only events of this type; said several times, of one of these types.
    pub fn event_type(mut self, event_type: impl Into<String>) -> Self {
        self.query = self.query.event_type(event_type);
        self
    }

    /// Only events with this tag; said several times, with all of these tags.
    pub fn tag(mut self, tag: impl Into<String>) -> Self {
        self.query = self.query.tag(tag);
        self
    }

    /// Only events committed at these times ([`Query::committed`]).
    pub fn committed(mut self, times: impl RangeBounds<CommitTime>) -> Self {
        self.query = self.query.committed(times);
        self
    }

    /// The position behind the last event that this read can see.
    #[must_use]
    pub fn end(&self) -> Position {
        self.snapshot.end
    }
}

impl IntoIterator for Read {
    type Item = Result<RecordedEvent, ReadError>;
    type IntoIter = ReadEvents;

    fn into_iter(self) -> ReadEvents {
        let Self { snapshot, index, range, backward, limit, query } = self;
        let filter = Filter::new(query, index.hasher());
        ReadEvents::new(snapshot, (&index, filter), range, backward, limit)
    }
}

/// The position of the first event of a range that passes a filter.
pub(crate) fn first_match(
    snapshot: Snapshot,
    index: &Arc<StreamIndex>,
    filter: &Arc<Filter>,
    range: Range<u64>,
) -> Result<Option<Position>, ReadError> {
    let filter = Some(Arc::clone(filter));
    let found = ReadEvents::new(snapshot, (index, filter), range, false, 1).next().transpose()?;
    Ok(found.map(|event| event.position()))
}

/// The events of a [`Read`]. Ends after the first error.
#[derive(Debug, Clone)]
pub struct ReadEvents {
    cursor: BatchCursor,
    backward: bool,
    limit: u64,
    /// `None`: all pass.
    filter: Option<Arc<Filter>>,
    /// `None`: every event is looked at.
    finder: Option<Box<Finder>>,
    places: EventPlaces,
    /// The positions of the batch at hand that are still to be given.
    positions: Range<u64>,
    /// What was asked for begins in front of this position, the first that is kept.
    truncated: Option<Position>,
}

impl Iterator for ReadEvents {
    type Item = Result<RecordedEvent, ReadError>;

    // What is done for each event is inlined into the caller's loop, what is done for each batch is not.
    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        while self.limit > 0 {
            let position = match self.backward {
                true => self.positions.next_back(),
                false => self.positions.next(),
            };
            let Some(position) = position else {
                match self.open_next() {
                    Some(Ok(())) => continue,
                    Some(Err(error)) => {
                        self.limit = 0;
                        return Some(Err(error));
                    }
                    None => return self.at_the_end(),
                }
            };
            let position = Position::new(position);
            if self.filter.is_none() || self.matches(position) {
                self.limit -= 1;
                return self.places.event(position).map(Ok);
            }
        }
        None
    }
}

impl ReadEvents {
    pub(crate) fn new(
        snapshot: Snapshot,
        (index, filter): (&Arc<StreamIndex>, Option<Arc<Filter>>),
        range: Range<u64>,
        backward: bool,
        limit: u64,
    ) -> Self {
        let mut range = range.start..range.end.min(snapshot.end.as_u64());
        let mut finder = None;
        let truncated;
        if let Some(filter) = &filter {
            range = filter.narrowed(range, &snapshot.segments);
            (range, truncated) = snapshot.kept(range, backward);
            if filter.leads().is_some() {
                let (index, filter) = (Arc::clone(index), Arc::clone(filter));
                finder = Some(Box::new(Finder::new(index, filter, range.clone(), backward)));
                // It says what is walked.
                range = 0..0;
            }
        } else {
            (range, truncated) = snapshot.kept(range, backward);
        }
        let cursor = BatchCursor::new(snapshot, range, backward);
        let places = EventPlaces::default();
        Self { cursor, backward, limit, filter, finder, places, positions: 0..0, truncated }
    }

    /// All that is kept has been given: says so, if more was asked for.
    fn at_the_end(&mut self) -> Option<Result<RecordedEvent, ReadError>> {
        let first_available = self.truncated.take()?;
        self.limit = 0;
        Some(Err(ReadError::Truncated { first_available }))
    }

    /// Whether a listed event passes the filter.
    fn matches(&self, position: Position) -> bool {
        let filter = self.filter.as_ref();
        let passes = |event: &_| filter.is_none_or(|filter| filter.matches(event));
        self.places.look(position).is_some_and(|event| passes(&event))
    }

    #[inline(never)]
    fn open_next(&mut self) -> Option<Result<(), ReadError>> {
        loop {
            if let Some(opened) = self.open_batch() {
                return Some(opened);
            }
            let Self { cursor, finder, .. } = self;
            match finder.as_mut()?.next(cursor.snapshot())? {
                Next::All(range) => cursor.restart(range),
                Next::One(position) => return Some(self.open_one(position)),
            }
        }
    }

    /// The next batch of those that are walked.
    fn open_batch(&mut self) -> Option<Result<(), ReadError>> {
        let verify = self.cursor.snapshot().verify;
        let opened = self.cursor.next()?.and_then(|found| {
            self.places.fill(&found, verify)?;
            Ok(*found.header())
        });
        Some(opened.map(|header| {
            let range = self.cursor.range();
            let start = header.first_position.max(range.start);
            let end = header.end_position().min(range.end);
            self.positions = start.as_u64()..end.as_u64();
        }))
    }

    /// The batch that holds `position`, for that event alone.
    fn open_one(&mut self, position: Position) -> Result<(), ReadError> {
        if !self.places.batch().is_some_and(|batch| batch.holds(position)) {
            let snapshot = self.cursor.snapshot();
            let (_, found) = find_batch(snapshot, position)?;
            self.places.fill(&found, snapshot.verify)?;
        }
        self.positions = position.as_u64()..position.as_u64() + 1;
        Ok(())
    }
}

#[cfg(all(test, feature = "sim"))]
mod tests {
    use super::*;
    use crate::storage::sim::SimDisk;
    use crate::{Batch, Event, Log};

    #[test]
    fn a_tag_that_shares_its_hash_with_another_is_told_from_it() {
        let log = Log::open_simulated(&SimDisk::new(1), Log::options()).unwrap();
        let tagged = |tag: &'static str| Batch::new().event("s", Event::new("T", "").tag(tag));
        log.append(tagged("other")).unwrap();
        log.append(tagged("tag")).unwrap();
        // As it would be if both had one hash.
        let index = log.read(..).index;
        let hash = index.hasher().tag("tag");
        index.update(|streams| streams.push_tag(hash, Position::new(2)));
        log.append(tagged("other")).unwrap();
        let positions = |tag: &str| -> Vec<u64> {
            let read = log.read(..).tag(tag).into_iter();
            read.map(|event| event.unwrap().position().as_u64()).collect()
        };
        assert_eq!((positions("tag"), positions("other")), (vec![1], vec![0, 2]));
        let since = tagged("tag").expect_none(Query::new().tag("tag"), Position::new(2));
        assert_eq!(log.append(since).unwrap().first_position(), Position::new(3));
    }
}
