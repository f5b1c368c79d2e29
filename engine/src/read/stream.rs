//! Reading one stream.
//!
//! Owns: [`ReadStream`] (what is to be read) and [`ReadStreamEvents`] (the iterator). May call:
//! cursor, recorded, index. The index says at which positions the stream's events stand, and nothing
//! else; the cost grows with the events asked for, and with the segments that hold the stream from
//! there to its end, not with the log. What the index of a sealed segment leads to is given only if
//! it is an event of the stream.

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::Arc;

use quipu_format::{Position, Version};

use super::cursor::{Place, found_at, locate};
use super::recorded::{EventPlaces, RecordedEvent};
use super::snapshot::Snapshot;
use crate::error::ReadError;
use crate::index::StreamIndex;
use crate::index::history::{History, Link};

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
    /// The iterator gives the error.
    history: Result<History, ReadError>,
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
        let history = History::open(&index, name, snapshot.end);
        let count = history.as_ref().map_or(0, History::len);
        let versions = range.start.min(count)..range.end.min(count);
        Self { snapshot, index, history, versions, backward: false, limit: u64::MAX }
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
        Some(self.history.as_ref().ok()?.head()?.version)
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
            links: Vec::new(),
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
    /// The stream's parts in segments: the one at hand last; forward, the newer ones in front.
    links: Vec<Link>,
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
        let event = self.try_next();
        if event.is_err() {
            self.positions.clear();
            self.read.versions = 0..0;
        }
        event.transpose()
    }
}

impl ReadStreamEvents {
    fn try_next(&mut self) -> Result<Option<RecordedEvent>, ReadError> {
        if self.positions.is_empty() {
            self.look_up()?;
        }
        let Some((position, version)) = self.positions.pop_front() else { return Ok(None) };
        self.open(position)?;
        let event = self.places.event_of_version(position, version)?;
        let name = self.links.last().filter(|link| link.is_indexed()).and(self.name());
        match (&event, name) {
            (Some(event), Some(name)) if event.stream() != name => Err(event.not_of(version)),
            _ => Ok(event),
        }
    }

    fn name(&self) -> Option<&str> {
        self.read.history.as_ref().ok()?.name()
    }

    /// Looks up the next positions.
    fn look_up(&mut self) -> Result<(), ReadError> {
        if let Err(error) = &self.read.history {
            let error = error.clone();
            self.read.history = Ok(History::default());
            return Err(error);
        }
        let Range { start, end } = self.read.versions;
        if start >= end {
            return Ok(());
        }
        self.seek(if self.read.backward { end - 1 } else { start })?;
        let Self { read, links, positions, .. } = self;
        let (Some(link), Ok(history)) = (links.last(), &read.history) else { return Ok(()) };
        let taken = match read.backward {
            true => end.saturating_sub(LOOKED_UP).max(start).max(link.versions.start)..end,
            false => start..start.saturating_add(LOOKED_UP).min(end).min(link.versions.end),
        };
        let mut found = Vec::with_capacity(LOOKED_UP as usize);
        history.positions(&read.index, link, taken.clone(), &mut found)?;
        read.versions = match read.backward {
            true => start..taken.start,
            false => taken.end..end,
        };
        let found = found.into_iter().zip(taken.map(Version::new));
        match read.backward {
            true => found.for_each(|one| positions.push_front(one)),
            false => positions.extend(found),
        }
        Ok(())
    }

    /// Makes the part that holds `version` the one at hand.
    fn seek(&mut self, version: u64) -> Result<(), ReadError> {
        let Self { read, links, .. } = self;
        let Ok(history) = &read.history else { return Ok(()) };
        if links.is_empty() {
            links.extend(history.newest(&read.index)?);
        }
        while let Some(link) = links.last() {
            if version >= link.versions.end {
                // Forward: on to the newer one.
                links.pop();
            } else if version >= link.versions.start {
                break;
            } else {
                let older = history.older(&read.index, link)?;
                if read.backward {
                    links.pop();
                }
                links.extend(older);
            }
        }
        Ok(())
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
