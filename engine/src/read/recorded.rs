//! What a reader gets: batches and events, by reference into the log.
//!
//! Owns: [`RecordedBatch`], [`BatchEvent`] (borrowed from a batch), [`RecordedEvent`] (owned: it
//! keeps its segment's mapping alive). May call: segment, the format. Nothing is copied.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use quipu_format::{
    Body, BodyError, CommitTime, EventId, Events, FrameError, Position, RecordedEventRef,
    StreamTable, Tags, Version, layout,
};

use super::cursor::BatchPlace;
use crate::error::ReadError;
use crate::segment::reader::Segment;

/// One batch of the log, as [`Log::batches`](crate::Log::batches) gives it. Cheap to clone.
#[derive(Debug, Clone)]
pub struct RecordedBatch {
    place: BatchPlace,
}

impl RecordedBatch {
    /// Opens a batch; verifies it, if wanted.
    pub(crate) fn open(place: BatchPlace, verify: bool) -> Result<Self, ReadError> {
        if verify {
            place.segment.frame_at(place.offset, true).map_err(|fault| place.damaged(fault))?;
        }
        Ok(Self { place })
    }

    /// The position of its first event.
    #[must_use]
    pub fn first_position(&self) -> Position {
        self.place.header.first_position
    }

    /// The position of its last event.
    #[must_use]
    pub fn last_position(&self) -> Position {
        self.place.header.end_position().before().unwrap_or_default()
    }

    /// Number of events.
    #[must_use]
    pub fn event_count(&self) -> u32 {
        self.place.header.event_count
    }

    /// When it was committed.
    #[must_use]
    pub fn committed_at(&self) -> CommitTime {
        self.place.header.commit_time
    }

    /// Bytes that it takes on disk.
    #[must_use]
    pub fn frame_bytes(&self) -> u32 {
        self.place.header.frame_bytes
    }

    /// Its events in order, borrowed from the log.
    ///
    /// # Errors
    /// [`ReadError::Damaged`], if the batch's outline does not hold any more; the iterator gives
    /// the same for an event.
    pub fn events(&self) -> Result<BatchEvents<'_>, ReadError> {
        let damaged = |fault: FrameError| self.place.damaged(fault);
        let frame = self.place.segment.frame_at(self.place.offset, false).map_err(damaged)?;
        let frame = frame.ok_or_else(|| damaged(FrameError::TrailerMagic))?;
        let body = Body::decode(&frame).map_err(|error| damaged(error.into()))?;
        let streams = body.streams();
        let next_versions =
            (0..streams.len()).filter_map(|stream| frame.first_version(stream)).collect();
        Ok(BatchEvents {
            place: &self.place,
            streams,
            events: body.events(),
            next_versions,
            position: self.first_position(),
        })
    }

    pub(crate) fn place(&self) -> &BatchPlace {
        &self.place
    }
}

/// The events of a [`RecordedBatch`].
#[derive(Debug, Clone)]
pub struct BatchEvents<'a> {
    place: &'a BatchPlace,
    streams: StreamTable<'a>,
    events: Events<'a>,
    next_versions: Vec<Version>,
    position: Position,
}

impl<'a> Iterator for BatchEvents<'a> {
    type Item = Result<BatchEvent<'a>, ReadError>;

    fn next(&mut self) -> Option<Self::Item> {
        let event = match self.events.next()? {
            Ok(event) => event,
            Err(error) => return Some(Err(self.place.damaged(error.into()))),
        };
        let position = self.position;
        self.position = position.plus(1);
        Some(self.describe(event, position).map_err(|error| self.place.damaged(error.into())))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.events.size_hint()
    }
}

impl<'a> BatchEvents<'a> {
    fn describe(
        &mut self,
        event: RecordedEventRef<'a>,
        position: Position,
    ) -> Result<BatchEvent<'a>, BodyError> {
        let stream = self.streams.name(event.stream)?;
        let next = self.next_versions.get_mut(event.stream as usize);
        let version = next.as_deref().copied().unwrap_or_default();
        if let Some(next) = next {
            *next = version.plus(1);
        }
        let committed_at = self.place.header.commit_time;
        Ok(BatchEvent { event, stream, position, version, committed_at })
    }
}

/// One event, borrowed from its [`RecordedBatch`].
#[derive(Debug, Clone, Copy)]
pub struct BatchEvent<'a> {
    event: RecordedEventRef<'a>,
    stream: &'a str,
    position: Position,
    version: Version,
    committed_at: CommitTime,
}

impl<'a> BatchEvent<'a> {
    /// Its place in the global order.
    #[must_use]
    pub fn position(&self) -> Position {
        self.position
    }

    /// Its stream.
    #[must_use]
    pub fn stream(&self) -> &'a str {
        self.stream
    }

    /// Its place in its stream.
    #[must_use]
    pub fn version(&self) -> Version {
        self.version
    }

    /// Its type.
    #[must_use]
    pub fn event_type(&self) -> &'a str {
        self.event.event_type
    }

    /// The id that its caller gave it.
    #[must_use]
    pub fn id(&self) -> Option<EventId> {
        self.event.id
    }

    /// Its tags.
    #[must_use]
    pub fn tags(&self) -> Tags<'a> {
        self.event.tags
    }

    /// Its metadata; empty if it has none.
    #[must_use]
    pub fn metadata(&self) -> &'a [u8] {
        self.event.metadata
    }

    /// Its payload.
    #[must_use]
    pub fn payload(&self) -> &'a [u8] {
        self.event.payload
    }

    /// When its batch was committed.
    #[must_use]
    pub fn committed_at(&self) -> CommitTime {
        self.committed_at
    }
}

/// One event of the log. Holds on to its segment's mapping, and copies nothing.
#[derive(Clone)]
pub struct RecordedEvent {
    segment: Arc<Segment>,
    /// Where the body of its batch begins, and how many streams its table has.
    body_at: u64,
    stream_count: u32,
    stream: u32,
    /// The event's bytes, without the zeros behind it.
    offset: u64,
    length: u64,
    position: Position,
    version: Version,
    committed_at: CommitTime,
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
        let bytes = self.bytes(self.body_at, self.offset - self.body_at);
        let table = StreamTable::decode(bytes, self.stream_count);
        // The name was read when this event was made, and what is mapped does not change.
        table.and_then(|(table, _)| table.name(self.stream)).unwrap_or_default()
    }

    /// Its place in its stream.
    #[must_use]
    pub fn version(&self) -> Version {
        self.version
    }

    /// Its type.
    #[must_use]
    pub fn event_type(&self) -> &str {
        self.event().map_or("", |event| event.event_type)
    }

    /// The id that its caller gave it.
    #[must_use]
    pub fn id(&self) -> Option<EventId> {
        self.event()?.id
    }

    /// Its tags.
    #[must_use]
    pub fn tags(&self) -> Tags<'_> {
        self.event().map(|event| event.tags).unwrap_or_default()
    }

    /// Its metadata; empty if it has none.
    #[must_use]
    pub fn metadata(&self) -> &[u8] {
        self.event().map_or(&[], |event| event.metadata)
    }

    /// Its payload.
    #[must_use]
    pub fn payload(&self) -> &[u8] {
        self.event().map_or(&[], |event| event.payload)
    }

    /// Its payload by reference count: lives as long as it is held, without a copy.
    #[must_use]
    pub fn payload_bytes(&self) -> Bytes {
        let end = self.offset + self.length;
        let start = end - self.payload().len() as u64;
        self.segment.region().slice(start..end).unwrap_or_default()
    }

    /// When its batch was committed.
    #[must_use]
    pub fn committed_at(&self) -> CommitTime {
        self.committed_at
    }

    fn event(&self) -> Option<RecordedEventRef<'_>> {
        // Decoded once when this event was made; what is mapped does not change.
        let padded = layout::aligned(usize::try_from(self.length).ok()?) as u64;
        RecordedEventRef::decode(self.bytes(self.offset, padded)).ok().map(|(event, _)| event)
    }

    fn bytes(&self, offset: u64, length: u64) -> &[u8] {
        self.segment.region().bytes(offset..offset + length).unwrap_or(&[])
    }
}

impl fmt::Debug for RecordedEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RecordedEvent")
            .field("position", &self.position)
            .field("stream", &self.stream())
            .field("version", &self.version)
            .field("event_type", &self.event_type())
            .field("payload_bytes", &self.payload().len())
            .finish_non_exhaustive()
    }
}

/// The events of one batch by their place in it; kept and refilled from batch to batch.
#[derive(Debug, Clone, Default)]
pub(crate) struct EventPlaces {
    batch: Option<RecordedBatch>,
    body_at: u64,
    places: Vec<EventPlace>,
}

#[derive(Debug, Clone, Copy)]
struct EventPlace {
    offset: u64,
    length: u64,
    stream: u32,
    version: Version,
}

impl EventPlaces {
    /// Lists the events of `batch`, each of them checked.
    pub(crate) fn fill(&mut self, batch: RecordedBatch) -> Result<(), ReadError> {
        self.places.clear();
        self.batch = None;
        self.body_at = batch.place.offset.plus(layout::header::BYTES as u64).as_u64();
        let mut events = batch.events()?;
        // Events stand one behind the other, each at a multiple of 8, behind the table.
        let mut rest = events.events.rest().len() as u64;
        let body_end = self.body_at + events.body_bytes();
        while let Some(event) = events.next() {
            let event = event?;
            let after = events.events.rest().len() as u64;
            let offset = body_end - rest;
            let padded = rest - after;
            rest = after;
            let stored = batch.place.segment.region().bytes(offset..offset + 4);
            let length = stored
                .and_then(<[u8]>::first_chunk)
                .map_or(padded, |length| u64::from(u32::from_le_bytes(*length)));
            let (stream, version) = (event.event.stream, event.version);
            self.places.push(EventPlace { offset, length, stream, version });
        }
        self.batch = Some(batch);
        Ok(())
    }

    /// The batch whose events these are.
    pub(crate) fn batch(&self) -> Option<&RecordedBatch> {
        self.batch.as_ref()
    }

    /// The event at a position of the batch.
    pub(crate) fn event(&self, position: Position) -> Option<RecordedEvent> {
        let batch = self.batch.as_ref()?;
        let header = &batch.place.header;
        let at = position.as_u64().checked_sub(header.first_position.as_u64())?;
        let place = self.places.get(usize::try_from(at).ok()?)?;
        Some(RecordedEvent {
            segment: Arc::clone(&batch.place.segment),
            body_at: self.body_at,
            stream_count: header.stream_count,
            stream: place.stream,
            offset: place.offset,
            length: place.length,
            position,
            version: place.version,
            committed_at: header.commit_time,
        })
    }
}

impl BatchEvents<'_> {
    /// The length of the batch's body.
    fn body_bytes(&self) -> u64 {
        let header = &self.place.header;
        let versions = u64::from(header.stream_count) * layout::versions::ENTRY_BYTES as u64;
        u64::from(header.frame_bytes) - layout::CONTROL_FRAME_BYTES as u64 - versions
    }
}
