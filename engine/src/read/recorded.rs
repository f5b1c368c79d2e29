//! Events that are kept: each holds on to its batch, and the batch to its segment's mapping.
//!
//! Owns: [`RecordedEvent`], and [`EventPlaces`], which makes them. May call: batch, cursor, the
//! format. Nothing is copied.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use quipu_format::{CommitTime, EventId, FrameError, Position, Tags, Version};

use super::batch::{BatchEvent, RecordedBatch};
use super::cursor::Found;
use crate::error::ReadError;

/// One event of the log. Holds on to its segment's mapping, and copies nothing.
#[derive(Clone)]
pub struct RecordedEvent {
    batch: Arc<RecordedBatch>,
    place: EventPlace,
    position: Position,
}

/// Where in its segment an event begins, and which of its stream it is.
#[derive(Debug, Clone, Copy)]
struct EventPlace {
    at: u64,
    version: Version,
}

impl RecordedEvent {
    /// Its place in the global order.
    #[must_use]
    pub fn position(&self) -> Position {
        self.position
    }

    /// Its stream.
    #[must_use]
    pub fn stream(&self) -> &str {
        self.look().map_or("", |event| event.stream())
    }

    /// Its place in its stream.
    #[must_use]
    pub fn version(&self) -> Version {
        self.place.version
    }

    /// Its type.
    #[must_use]
    pub fn event_type(&self) -> &str {
        self.look().map_or("", |event| event.event_type())
    }

    /// The id that its caller gave it.
    #[must_use]
    pub fn id(&self) -> Option<EventId> {
        self.look()?.id()
    }

    /// Its tags.
    #[must_use]
    pub fn tags(&self) -> Tags<'_> {
        self.look().map(|event| event.tags()).unwrap_or_default()
    }

    /// Its metadata; empty if it has none.
    #[must_use]
    #[inline]
    pub fn metadata(&self) -> &[u8] {
        self.look().map_or(&[], |event| event.metadata())
    }

    /// Its payload.
    #[must_use]
    #[inline]
    pub fn payload(&self) -> &[u8] {
        self.look().map_or(&[], |event| event.payload())
    }

    /// Its payload by reference count: lives as long as it is held, without a copy.
    #[must_use]
    pub fn payload_bytes(&self) -> Bytes {
        let Some(event) = self.look() else { return Bytes::new() };
        let end = event.payload_end(self.place.at);
        let start = end - event.payload().len() as u64;
        self.batch.segment().region().slice(start..end).unwrap_or_default()
    }

    /// When its batch was committed.
    #[must_use]
    pub fn committed_at(&self) -> CommitTime {
        self.batch.committed_at()
    }

    /// The error for an event that the index takes for another stream's.
    pub(crate) fn not_of(&self, version: Version) -> ReadError {
        let fault = FrameError::Field { field: "stream version", found: version.as_u64() };
        let (segment, base) = (self.batch.segment(), self.batch.first_position());
        segment.damaged(segment.before(base).offset, base, fault)
    }

    /// The event in place: outlined once before this was made, and what is mapped does not change.
    #[inline]
    fn look(&self) -> Option<BatchEvent<'_>> {
        self.batch.event_at(self.place.at, self.position, self.place.version)
    }
}

impl fmt::Debug for RecordedEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RecordedEvent")
            .field("position", &self.position)
            .field("stream", &self.stream())
            .field("version", &self.version())
            .field("event_type", &self.event_type())
            .field("payload_bytes", &self.payload().len())
            .finish_non_exhaustive()
    }
}

/// The batch at hand and where its events stand; kept and refilled from batch to batch.
#[derive(Debug, Clone, Default)]
pub(crate) struct EventPlaces {
    batch: Option<Arc<RecordedBatch>>,
    places: Vec<EventPlace>,
}

impl EventPlaces {
    /// Opens a batch and lists its events.
    pub(crate) fn fill(&mut self, found: &Found<'_>, verify: bool) -> Result<(), ReadError> {
        self.open(found, verify)?;
        let Some(batch) = &self.batch else { return Ok(()) };
        let mut events = batch.events()?;
        loop {
            let at = events.place();
            let Some(event) = events.next() else { return Ok(()) };
            self.places.push(EventPlace { at, version: event?.version() });
        }
    }

    /// Opens a batch without a list.
    pub(crate) fn open(&mut self, found: &Found<'_>, verify: bool) -> Result<(), ReadError> {
        self.places.clear();
        RecordedBatch::open_into(&mut self.batch, found, verify)
    }

    /// The batch at hand.
    pub(crate) fn batch(&self) -> Option<&RecordedBatch> {
        self.batch.as_deref()
    }

    /// A listed event.
    #[inline]
    pub(crate) fn event(&self, position: Position) -> Option<RecordedEvent> {
        let batch = self.batch.as_ref()?;
        let place = self.place(batch, position)?;
        Some(RecordedEvent { batch: Arc::clone(batch), place, position })
    }

    /// A look at a listed event.
    pub(crate) fn look(&self, position: Position) -> Option<BatchEvent<'_>> {
        let batch = self.batch.as_ref()?;
        let place = self.place(batch, position)?;
        batch.event_at(place.at, position, place.version)
    }

    /// An event of the batch at hand, listed or not, of which the version is known.
    pub(crate) fn event_of_version(
        &self,
        position: Position,
        version: Version,
    ) -> Result<Option<RecordedEvent>, ReadError> {
        let Some(batch) = &self.batch else { return Ok(None) };
        let Some(at) = batch.place_of(position)? else { return Ok(None) };
        let place = EventPlace { at, version };
        Ok(Some(RecordedEvent { batch: Arc::clone(batch), place, position }))
    }

    #[inline]
    fn place(&self, batch: &RecordedBatch, position: Position) -> Option<EventPlace> {
        let at = position.as_u64().checked_sub(batch.first_position().as_u64())?;
        self.places.get(usize::try_from(at).ok()?).copied()
    }
}
