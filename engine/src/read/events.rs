//! Reading events in the global order.
//!
//! Owns: [`Read`] (what is to be read) and [`ReadEvents`] (the iterator). May call: cursor,
//! recorded, filter.

use std::ops::Range;

use quipu_format::Position;

use super::cursor::BatchCursor;
use super::filter::Filter;
use super::recorded::{EventPlaces, RecordedEvent};
use super::snapshot::Snapshot;
use crate::error::ReadError;

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
#[derive(Debug, Clone)]
#[must_use = "a read does nothing until it is iterated over"]
pub struct Read {
    snapshot: Snapshot,
    range: Range<u64>,
    backward: bool,
    limit: u64,
    filter: Filter,
}

impl Read {
    pub(crate) fn new(snapshot: Snapshot, range: Range<u64>) -> Self {
        Self { snapshot, range, backward: false, limit: u64::MAX, filter: Filter::default() }
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

    /// Only events of streams whose names begin so.
    pub fn stream_prefix(mut self, prefix: impl Into<String>) -> Self {
        self.filter.stream_prefix = Some(prefix.into());
        self
    }

    /// Only events of this type; said several times, of one of these types.
    pub fn event_type(mut self, event_type: impl Into<String>) -> Self {
        self.filter.event_types.push(event_type.into());
        self
    }

    /// Only events with this tag; said several times, with all of these tags.
    pub fn tag(mut self, tag: impl Into<String>) -> Self {
        self.filter.tags.push(tag.into());
        self
    }

    /// Only events that pass a filter.
    pub(crate) fn with_filter(self, filter: Filter) -> Self {
        Self { filter, ..self }
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
        let Self { snapshot, range, backward, limit, filter } = self;
        ReadEvents {
            cursor: BatchCursor::new(snapshot, range, backward),
            backward,
            limit,
            takes_all: filter.is_open(),
            filter,
            places: EventPlaces::default(),
            positions: 0..0,
        }
    }
}

/// The events of a [`Read`]. Ends after the first error.
#[derive(Debug, Clone)]
pub struct ReadEvents {
    cursor: BatchCursor,
    backward: bool,
    limit: u64,
    filter: Filter,
    /// Whether the filter lets everything pass.
    takes_all: bool,
    places: EventPlaces,
    /// The positions of the batch at hand that are still to be given.
    positions: Range<u64>,
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
                match self.open_next()? {
                    Ok(()) => continue,
                    Err(error) => return Some(Err(error)),
                }
            };
            let position = Position::new(position);
            if self.takes_all || self.matches(position) {
                self.limit -= 1;
                return self.places.event(position).map(Ok);
            }
        }
        None
    }
}

impl ReadEvents {
    /// Whether a listed event passes the filter.
    fn matches(&self, position: Position) -> bool {
        self.places.look(position).is_some_and(|event| self.filter.matches(&event))
    }

    #[inline(never)]
    fn open_next(&mut self) -> Option<Result<(), ReadError>> {
        let verify = self.cursor.snapshot().verify;
        let opened = self.cursor.next()?.and_then(|found| {
            self.places.fill(&found, verify)?;
            Ok(*found.header())
        });
        if opened.is_err() {
            self.limit = 0;
        }
        Some(opened.map(|header| {
            let range = self.cursor.range();
            let start = header.first_position.max(range.start);
            let end = header.end_position().min(range.end);
            self.positions = start.as_u64()..end.as_u64();
        }))
    }
}
