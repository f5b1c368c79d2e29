//! Reading one stream.
//!
//! Owns: [`ReadStream`] (what is to be read) and [`ReadStreamEvents`] (the iterator). May call:
//! cursor, recorded, index. The index says at which positions the stream's events stand, and nothing
//! else; the cost grows with the events asked for, not with the log.

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::Arc;

use quipu_format::{Position, Version};

use super::cursor::{Place, found_at, locate};
use super::recorded::{EventPlaces, RecordedEvent};
use super::snapshot::Snapshot;
use crate::error::ReadError;
use crate::index::{StreamIndex, StreamNumber};

/// A read of one stream, to be narrowed down and then iterated over.
///
/// Sees the stream as it was when [`Log::read_stream`](crate::Log::read_stream) was called.
///
/// ```
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let dir = tempfile::tempdir()?;
/// # let log = quipu::Log::options().segment_bytes(1 << 20).open(dir.path())?;
/// use quipu::{Batch, Event, Version};
/// log.append(Batch::new().event("order-1", Event::new("Placed", "")))?;
/// log.append(Batch::new().event("order-1", Event::new("Paid", "")))?;
/// let stream = log.read_stream("order-1", Version::new(1)..);
/// assert_eq!(stream.current_version(), Some(Version::new(1)));
/// let events: Result<Vec<_>, _> = stream.into_iter().collect();
/// assert_eq!(events?[0].event_type(), "Paid");
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
#[must_use = "a read does nothing until it is iterated over"]
pub struct ReadStream {
    snapshot: Snapshot,
    index: Arc<StreamIndex>,
    /// `None`: no such stream.
    stream: Option<StreamNumber>,
    current_version: Option<Version>,
    versions: Range<u64>,
    backward: bool,
    limit: u64,
}

impl ReadStream {
    pub(crate) fn new(
        snapshot: Snapshot,
        index: Arc<StreamIndex>,
        name: &str,
        range: Range<u64>,
    ) -> Self {
        let (stream, count) = {
            let streams = index.read();
            let stream = streams.find(index.hash(name), name);
            let count = stream.map_or(0, |stream| streams.count_below(stream, snapshot.end));
            (stream, count)
        };
        let current_version = Version::new(count).before();
        let versions = range.start.min(count)..range.end.min(count);
        Self {
            snapshot,
            index,
            stream,
            current_version,
            versions,
            backward: false,
            limit: u64::MAX,
        }
    }

    /// From the last event to the first.
    pub fn backward(mut self) -> Self {
        self.backward = true;
        self
    }

    /// At most so many events.
    pub fn limit(mut self, events: u64) -> Self {
        self.limit = events;
        self
    }

    /// The stream's version when the read was made; `None`: it has no events.
    #[must_use]
    pub fn current_version(&self) -> Option<Version> {
        self.current_version
    }
}

impl IntoIterator for ReadStream {
    type Item = Result<RecordedEvent, ReadError>;
    type IntoIter = ReadStreamEvents;

    fn into_iter(mut self) -> ReadStreamEvents {
        let Range { start, end } = self.versions;
        self.versions = match self.backward {
            true => end.saturating_sub(self.limit).max(start)..end,
            false => start..start.saturating_add(self.limit).min(end),
        };
        ReadStreamEvents {
            read: self,
            positions: VecDeque::new(),
            ways: VecDeque::new(),
            places: EventPlaces::default(),
        }
    }
}

/// The events of a [`ReadStream`]. Ends after the first error.
#[derive(Debug, Clone)]
pub struct ReadStreamEvents {
    read: ReadStream,
    /// Positions looked up ahead, with their versions, the next one first.
    positions: VecDeque<(Position, Version)>,
    /// Where the batches of the next positions stand.
    ways: VecDeque<(Position, Place)>,
    places: EventPlaces,
}

/// How many positions are looked up at a time: the index is held for this many copies.
const LOOKED_UP: u64 = 256;

impl Iterator for ReadStreamEvents {
    type Item = Result<RecordedEvent, ReadError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.positions.is_empty() {
            self.look_up();
        }
        let (position, version) = self.positions.pop_front()?;
        let opened = self.open(position);
        let event = opened.and_then(|()| self.places.event_of_version(position, version));
        if event.is_err() {
            self.positions.clear();
            self.read.versions = 0..0;
        }
        event.transpose()
    }
}

impl ReadStreamEvents {
    /// Looks up the next positions.
    fn look_up(&mut self) {
        let Self { read, positions, .. } = self;
        let Some(stream) = read.stream else { return };
        let Range { start, end } = read.versions;
        let count = (end - start).min(LOOKED_UP);
        let taken = match read.backward {
            true => end - count..end,
            false => start..start + count,
        };
        read.versions = match read.backward {
            true => start..taken.start,
            false => taken.end..end,
        };
        let streams = read.index.read();
        for version in taken.map(Version::new) {
            let Some(position) = streams.position(stream, version) else { return };
            match read.backward {
                true => positions.push_front((position, version)),
                false => positions.push_back((position, version)),
            }
        }
    }

    /// Makes the batch that holds `position` the one at hand.
    fn open(&mut self, position: Position) -> Result<(), ReadError> {
        if self.places.batch().is_some_and(|batch| batch.holds(position)) {
            return Ok(());
        }
        let snapshot = &self.read.snapshot;
        let place = loop {
            match self.ways.pop_front() {
                Some((known, place)) if known == position => break place,
                // Of a batch that held several.
                Some(_) => {}
                None => {
                    let next = self.positions.iter().map(|(position, _)| *position);
                    let wanted = std::iter::once(position).chain(next);
                    self.ways.extend(locate(snapshot, wanted));
                }
            }
        };
        let found = found_at(snapshot, place, position)?;
        self.places.open(&found, snapshot.verify)
    }
}
