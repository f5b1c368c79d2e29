//! One batch of the log, and its events, borrowed from it.
//!
//! Owns: [`RecordedBatch`], [`BatchEvents`], [`BatchEvent`]. May call: cursor, segment, the format.
//! Nothing is copied.
//!
//! Of an event no more is looked at than where its parts stand, and at what is asked for: its batch
//! was checked in full by whoever wrote it, or by recovery, and a read that verifies has seen that
//! its bytes are still the same.

use std::fmt;
use std::sync::Arc;

use quipu_format::{
    Body, BodyError, ByteOffset, CommitTime, EventId, EventOutline, FirstVersions, Frame,
    FrameError, FrameHeader, Outlines, Position, StreamTable, Tags, Version, layout,
};

use super::cursor::Found;
use crate::error::ReadError;
use crate::segment::reader::Segment;

/// One batch of the log, as [`Log::batches`](crate::Log::batches) gives it. Cheap to clone.
#[derive(Debug, Clone)]
pub struct RecordedBatch {
    segment: Arc<Segment>,
    offset: ByteOffset,
    header: FrameHeader,
}

impl RecordedBatch {
    /// Opens a batch; verifies it, if wanted.
    #[inline]
    pub(crate) fn open(found: &Found<'_>, verify: bool) -> Result<Self, ReadError> {
        found.check(verify)?;
        let (segment, header) = (Arc::clone(found.segment), *found.header());
        Ok(Self { segment, offset: found.offset, header })
    }

    /// As [`RecordedBatch::open`], in the place of `kept`, which nobody else needs to hold.
    pub(crate) fn open_into(
        kept: &mut Option<Arc<Self>>,
        found: &Found<'_>,
        verify: bool,
    ) -> Result<(), ReadError> {
        match kept.as_mut().and_then(Arc::get_mut) {
            Some(batch) if Arc::ptr_eq(&batch.segment, found.segment) => {
                found.check(verify)?;
                (batch.offset, batch.header) = (found.offset, *found.header());
            }
            _ => *kept = Some(Arc::new(Self::open(found, verify)?)),
        }
        Ok(())
    }

    /// The position of its first event.
    #[must_use]
    pub fn first_position(&self) -> Position {
        self.header.first_position
    }

    /// The position of its last event.
    #[must_use]
    pub fn last_position(&self) -> Position {
        self.header.end_position().before().unwrap_or_default()
    }

    /// Number of events.
    #[must_use]
    pub fn event_count(&self) -> u32 {
        self.header.event_count
    }

    /// When it was committed.
    #[must_use]
    pub fn committed_at(&self) -> CommitTime {
        self.header.commit_time
    }

    /// Bytes that it takes on disk.
    #[must_use]
    pub fn frame_bytes(&self) -> u32 {
        self.header.frame_bytes
    }

    /// Its events in order, borrowed from the log.
    ///
    /// # Errors
    /// [`ReadError::Damaged`], if the batch's outline does not hold any more; the iterator gives
    /// the same for an event.
    #[inline]
    pub fn events(&self) -> Result<BatchEvents<'_>, ReadError> {
        let frame = self.frame()?;
        let outlines = Body::decode(&frame).map_err(|error| self.damaged(error))?.outlines();
        let seen = Seen::none(self.header.stream_count);
        let (first_versions, position) = (frame.first_versions(), self.first_position());
        Ok(BatchEvents { batch: self, first_versions, outlines, seen, position })
    }

    /// Whether it has the event at `position`.
    pub(crate) fn holds(&self, position: Position) -> bool {
        self.header.first_position <= position && position < self.header.end_position()
    }

    /// Where in the segment the event at `position` begins, which the batch holds.
    pub(crate) fn place_of(&self, position: Position) -> Result<Option<u64>, ReadError> {
        let damaged = |error| self.damaged(error);
        let Some(before) = position.as_u64().checked_sub(self.first_position().as_u64()) else {
            return Ok(None);
        };
        let mut outlines = Body::decode(&self.frame()?).map_err(damaged)?.outlines();
        for _ in 0..before {
            outlines.next().transpose().map_err(damaged)?;
        }
        let place = self.place_before(outlines.rest());
        Ok(outlines.next().transpose().map_err(damaged)?.map(|_| place))
    }

    /// The event that begins at `place` in the segment.
    #[inline]
    pub(crate) fn event_at(
        &self,
        place: u64,
        position: Position,
        version: Version,
    ) -> Option<BatchEvent<'_>> {
        let bytes = self.segment.region().bytes(place..self.body_end())?;
        let (outline, _) = EventOutline::decode(bytes).ok()?;
        Some(BatchEvent { batch: self, outline, position, version })
    }

    /// What stands in the segment.
    pub(crate) fn segment(&self) -> &Arc<Segment> {
        &self.segment
    }

    /// Where in the segment something stands that has only `rest` of the body behind it.
    #[inline]
    fn place_before(&self, rest: &[u8]) -> u64 {
        self.body_end() - rest.len() as u64
    }

    /// Where its events end.
    #[inline]
    fn body_end(&self) -> u64 {
        let behind = u64::from(self.header.stream_count) * layout::versions::ENTRY_BYTES as u64
            + layout::trailer::BYTES as u64;
        // The header's check has made sure that the frame has room for that.
        self.offset.as_u64() + u64::from(self.header.frame_bytes) - behind
    }

    /// The batch's frame, whose header was verified when this was opened.
    #[inline]
    fn frame(&self) -> Result<Frame<'_>, ReadError> {
        let start = self.offset.as_u64();
        let end = start + u64::from(self.header.frame_bytes);
        let bytes = self.segment.region().bytes(start..end).unwrap_or(&[]);
        Frame::again(self.header, bytes).map_err(|error| self.damaged(error))
    }

    fn stream_name(&self, index: u32) -> Result<&str, BodyError> {
        let start = self.offset.plus(layout::header::BYTES as u64).as_u64();
        let body = self.segment.region().bytes(start..self.body_end()).unwrap_or(&[]);
        let (table, _) = StreamTable::decode(body, self.header.stream_count)?;
        table.name(index)
    }

    #[cold]
    fn damaged(&self, fault: impl Into<FrameError>) -> ReadError {
        self.segment.damaged(self.offset, self.header.first_position, fault.into())
    }
}

/// The events of a [`RecordedBatch`].
#[derive(Debug, Clone)]
pub struct BatchEvents<'a> {
    batch: &'a RecordedBatch,
    first_versions: FirstVersions<'a>,
    outlines: Outlines<'a>,
    seen: Seen,
    /// That of the next event.
    position: Position,
}

impl<'a> Iterator for BatchEvents<'a> {
    type Item = Result<BatchEvent<'a>, ReadError>;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        let batch = self.batch;
        let outline = match self.outlines.next()? {
            Ok(outline) => outline,
            Err(error) => return Some(Err(batch.damaged(error))),
        };
        let position = self.position;
        self.position = position.plus(1);
        let version = self.seen.version_of(&self.first_versions, outline.stream());
        Some(Ok(BatchEvent { batch, outline, position, version }))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.outlines.size_hint()
    }
}

impl BatchEvents<'_> {
    /// Where in the segment the next event begins.
    pub(crate) fn place(&self) -> u64 {
        self.batch.place_before(self.outlines.rest())
    }
}

/// How many events of each of a batch's streams have been met.
#[derive(Debug, Clone)]
struct Seen {
    few: [u32; Self::FEW],
    /// Of all streams, where there are more.
    many: Vec<u32>,
}

impl Seen {
    const FEW: usize = 16;

    #[inline]
    fn none(stream_count: u32) -> Self {
        // The header's check bounds the count by the frame's length.
        let streams = stream_count as usize;
        let many = if streams > Self::FEW { vec![0; streams] } else { Vec::new() };
        Self { few: [0; Self::FEW], many }
    }

    /// The version of the next event of a stream.
    #[inline]
    fn version_of(&mut self, first: &FirstVersions<'_>, stream: u32) -> Version {
        let first = first.of(stream).unwrap_or_default();
        let counts = if self.many.is_empty() { &mut self.few[..] } else { &mut self.many };
        let Some(count) = counts.get_mut(stream as usize) else { return first };
        let version = first.plus(u64::from(*count));
        *count += 1;
        version
    }
}

/// One event, borrowed from its [`RecordedBatch`].
#[derive(Clone, Copy)]
pub struct BatchEvent<'a> {
    batch: &'a RecordedBatch,
    outline: EventOutline<'a>,
    position: Position,
    version: Version,
}

// Names and types were checked before (see the head of this file): no answer below is made up,
// unless reads do not verify and bits have changed.
impl<'a> BatchEvent<'a> {
    /// Its place in the global order.
    #[must_use]
    #[inline]
    pub fn position(&self) -> Position {
        self.position
    }

    /// Its stream.
    #[must_use]
    pub fn stream(&self) -> &'a str {
        self.batch.stream_name(self.outline.stream()).unwrap_or_default()
    }

    /// Its place in its stream.
    #[must_use]
    #[inline]
    pub fn version(&self) -> Version {
        self.version
    }

    /// Its type.
    #[must_use]
    pub fn event_type(&self) -> &'a str {
        self.outline.event_type().unwrap_or_default()
    }

    /// The id that its caller gave it.
    #[must_use]
    pub fn id(&self) -> Option<EventId> {
        self.outline.id()
    }

    /// Its tags.
    #[must_use]
    pub fn tags(&self) -> Tags<'a> {
        self.outline.tags()
    }

    /// Its metadata; empty if it has none.
    #[must_use]
    #[inline]
    pub fn metadata(&self) -> &'a [u8] {
        self.outline.metadata()
    }

    /// Its payload.
    #[must_use]
    #[inline]
    pub fn payload(&self) -> &'a [u8] {
        self.outline.payload()
    }

    /// When its batch was committed.
    #[must_use]
    pub fn committed_at(&self) -> CommitTime {
        self.batch.header.commit_time
    }

    /// Where in the segment its payload ends, for an event that begins at `place`.
    pub(crate) fn payload_end(&self, place: u64) -> u64 {
        place + u64::from(self.outline.length())
    }
}

impl fmt::Debug for BatchEvent<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BatchEvent")
            .field("position", &self.position)
            .field("stream", &self.stream())
            .field("version", &self.version)
            .field("event_type", &self.event_type())
            .field("payload_bytes", &self.payload().len())
            .finish_non_exhaustive()
    }
}
