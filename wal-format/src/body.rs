//! The body of a batch's frame, decoded in place: the stream table, the events, the checkpoints.
//!
//! Owns: [`Body`], [`StreamTable`], [`Events`] and [`Outlines`], [`RecordedEventRef`] and
//! [`EventOutline`], [`Tags`]. May call: cursor, ids, layout, named. All borrowed, nothing allocated.
//!
//! [`Body::decode`] is cheap and checks the table's outline only; each event is checked when it is
//! read, and [`Body::check`] checks all of it, once, when a frame is first met. Who reads a body
//! that has passed needs no more than [`Body::outlines`]: where the parts of each event stand.

use crate::cursor::{Cursor, Truncated};
use crate::frame::Frame;
use crate::ids::EventId;
use crate::layout::{self, event, streams};
use crate::named::NamedCheckpoints;

/// Why a body whose checksum is right is not a body: written by a faulty or hostile writer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BodyError {
    /// The bytes end before a field does.
    #[error(transparent)]
    Truncated(#[from] Truncated),
    /// A field breaks a rule.
    #[error("{field} is out of range: {found}")]
    Field {
        /// Which field.
        field: &'static str,
        /// Its value.
        found: u64,
    },
    /// A name, type or tag is not UTF-8.
    #[error("{field} is not UTF-8")]
    Utf8 {
        /// Which field.
        field: &'static str,
    },
    /// Bytes that must be zero are not, or bytes are left behind the last event.
    #[error("{field} must be zero or absent")]
    NotZero {
        /// Which bytes.
        field: &'static str,
    },
}

/// A body: the stream table, the events and the named checkpoints.
#[derive(Debug, Clone, Copy)]
pub struct Body<'a> {
    streams: StreamTable<'a>,
    /// The events, and the checkpoints behind them.
    events: &'a [u8],
    event_count: u32,
    checkpoint_count: u16,
}

impl<'a> Body<'a> {
    /// Outlines the body of `frame`. Control frames have none: they decode to no events.
    #[inline]
    pub fn decode(frame: &Frame<'a>) -> Result<Self, BodyError> {
        let header = &frame.header;
        let (streams, events) = StreamTable::decode(frame.body_bytes(), header.stream_count)?;
        let (event_count, checkpoint_count) = (header.event_count, header.checkpoint_count);
        Ok(Self { streams, events, event_count, checkpoint_count })
    }

    /// The distinct streams, in the order of their first events.
    #[must_use]
    pub const fn streams(&self) -> StreamTable<'a> {
        self.streams
    }

    /// The events in order.
    #[must_use]
    pub const fn events(&self) -> Events<'a> {
        Events { outlines: self.outlines() }
    }

    /// The events in order, of each no more than where its parts stand.
    #[must_use]
    #[inline]
    pub const fn outlines(&self) -> Outlines<'a> {
        Outlines { rest: self.events, remaining: self.event_count }
    }

    /// The named checkpoints, in the order of their names. They stand behind the events, which are
    /// passed over on the way.
    pub fn checkpoints(&self) -> Result<NamedCheckpoints<'a>, BodyError> {
        if self.checkpoint_count == 0 {
            return Ok(NamedCheckpoints::new(&[], 0));
        }
        let mut outlines = self.outlines();
        for outline in &mut outlines {
            outline?;
        }
        Ok(NamedCheckpoints::new(outlines.rest(), self.checkpoint_count))
    }

    /// Checks every rule: names, order of first use, each event, each checkpoint, zeros between
    /// them, and that nothing is left behind the last. That the streams' names are distinct it takes
    /// on trust: telling would need memory or time out of proportion, and an index of streams finds
    /// it out anyway.
    pub fn check(&self) -> Result<(), BodyError> {
        self.streams.check()?;
        let mut used = 0;
        let mut events = self.events();
        for found in &mut events {
            let stream = found?.stream;
            if stream > used || stream >= self.streams.count {
                return Err(BodyError::Field { field: "stream index", found: u64::from(stream) });
            }
            used = used.max(stream.saturating_add(1));
        }
        if used != self.streams.count {
            return Err(BodyError::Field { field: "stream count", found: u64::from(used) });
        }
        let mut checkpoints = NamedCheckpoints::new(events.rest(), self.checkpoint_count);
        for found in &mut checkpoints {
            found?;
        }
        if !checkpoints.rest().is_empty() {
            return Err(BodyError::NotZero { field: "bytes behind the last event" });
        }
        Ok(())
    }
}

/// The table of a batch's distinct streams.
#[derive(Debug, Clone, Copy)]
pub struct StreamTable<'a> {
    ends: &'a [u8],
    names: &'a [u8],
    padding: &'a [u8],
    count: u32,
}

impl<'a> StreamTable<'a> {
    /// Outlines a table of `count` streams at the front of `bytes`; gives what follows it, too.
    #[inline]
    pub fn decode(bytes: &'a [u8], count: u32) -> Result<(Self, &'a [u8]), BodyError> {
        let mut cursor = Cursor::new(bytes);
        let ends =
            cursor.bytes((count as usize).saturating_mul(streams::ENTRY_BYTES), "stream table")?;
        let names_bytes = match ends.last_chunk() {
            Some(end) => u32::from_le_bytes(*end) as usize,
            None => 0,
        };
        let names = cursor.bytes(names_bytes, "stream names")?;
        let table_bytes = ends.len().saturating_add(names_bytes);
        let padding =
            cursor.bytes(layout::aligned(table_bytes) - table_bytes, "stream table padding")?;
        Ok((Self { ends, names, padding, count }, cursor.rest()))
    }

    /// Number of streams.
    #[must_use]
    pub const fn len(&self) -> u32 {
        self.count
    }

    /// Whether there is no stream: the table of a control frame.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// The name of stream `index`.
    pub fn name(&self, index: u32) -> Result<&'a str, BodyError> {
        let out_of_range = BodyError::Field { field: "stream index", found: u64::from(index) };
        let start = match index.checked_sub(1) {
            Some(before) => self.end(before).ok_or(out_of_range)?,
            None => 0,
        };
        let end = self.end(index).ok_or(out_of_range)?;
        let name = self.names.get(start..end).ok_or(out_of_range)?;
        if name.is_empty() || name.len() > streams::NAME_BYTES_MAX {
            return Err(BodyError::Field { field: "stream name length", found: name.len() as u64 });
        }
        core::str::from_utf8(name).map_err(|_| BodyError::Utf8 { field: "stream name" })
    }

    /// All names, in order.
    pub fn names(&self) -> impl Iterator<Item = Result<&'a str, BodyError>> + use<'a> {
        let table = *self;
        (0..table.count).map(move |index| table.name(index))
    }

    fn end(&self, index: u32) -> Option<usize> {
        let at = (index as usize).checked_mul(streams::ENTRY_BYTES)?;
        Some(u32::from_le_bytes(*self.ends.get(at..)?.first_chunk()?) as usize)
    }

    fn check(&self) -> Result<(), BodyError> {
        for name in self.names() {
            name?;
        }
        zeros(self.padding, "stream table padding")
    }
}

/// Iterates over the events of a body, each of them checked. Ends after the first error.
#[derive(Debug, Clone)]
pub struct Events<'a> {
    outlines: Outlines<'a>,
}

impl<'a> Events<'a> {
    /// The bytes of the events that have not been read.
    #[must_use]
    pub const fn rest(&self) -> &'a [u8] {
        self.outlines.rest
    }
}

impl<'a> Iterator for Events<'a> {
    type Item = Result<RecordedEventRef<'a>, BodyError>;

    fn next(&mut self) -> Option<Self::Item> {
        let event = self.outlines.next()?.and_then(|outline| outline.check());
        if event.is_err() {
            self.outlines.remaining = 0;
        }
        Some(event)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (0, Some(self.outlines.remaining as usize))
    }
}

/// Iterates over the outlines of a body's events. Ends after the first error.
#[derive(Debug, Clone)]
pub struct Outlines<'a> {
    rest: &'a [u8],
    remaining: u32,
}

impl<'a> Outlines<'a> {
    /// The bytes of the events that have not been read.
    #[must_use]
    #[inline]
    pub const fn rest(&self) -> &'a [u8] {
        self.rest
    }
}

impl<'a> Iterator for Outlines<'a> {
    type Item = Result<EventOutline<'a>, BodyError>;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        self.remaining = self.remaining.checked_sub(1)?;
        match EventOutline::decode(self.rest) {
            Ok((outline, rest)) => {
                self.rest = rest;
                Some(Ok(outline))
            }
            Err(error) => {
                self.remaining = 0;
                Some(Err(error))
            }
        }
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (0, Some(self.remaining as usize))
    }
}

/// Where the parts of one event stand: all of them within its bytes. What they say is not looked
/// at: that is [`EventOutline::check`], or has been done before.
#[derive(Debug, Clone, Copy)]
pub struct EventOutline<'a> {
    /// The event's bytes, with the zeros behind it.
    padded: &'a [u8],
    length: u32,
    stream: u32,
    metadata_bytes: u32,
    tags_bytes: u16,
    type_bytes: u8,
    flags: u8,
}

impl<'a> EventOutline<'a> {
    /// Outlines the event at the front of `bytes`; gives what follows it, too.
    #[inline]
    pub fn decode(bytes: &'a [u8]) -> Result<(Self, &'a [u8]), BodyError> {
        let head: &[u8; event::FIXED_BYTES] = Cursor::new(bytes).chunk("event")?;
        let mut cursor = Cursor::new(head);
        let length = cursor.u32("event length")?;
        let stream = cursor.u32("stream index")?;
        let metadata_bytes = cursor.u32("metadata length")?;
        let tags_bytes = cursor.u16("tags length")?;
        let type_bytes = cursor.u8("type length")?;
        let flags = cursor.u8("event flags")?;
        let mut outer = Cursor::new(bytes);
        let padded = outer.bytes(layout::aligned(length as usize), "event")?;
        let outline =
            Self { padded, length, stream, metadata_bytes, tags_bytes, type_bytes, flags };
        let needed = outline.payload_at();
        if needed > length as usize {
            return Err(Truncated { field: "event", needed, had: length as usize }.into());
        }
        Ok((outline, outer.rest()))
    }

    /// The event's length, without the zeros behind it.
    #[must_use]
    #[inline]
    pub const fn length(&self) -> u32 {
        self.length
    }

    /// Index into the frame's stream table.
    #[must_use]
    #[inline]
    pub const fn stream(&self) -> u32 {
        self.stream
    }

    /// The caller's id, if it gave one.
    #[must_use]
    pub fn id(&self) -> Option<EventId> {
        let id = self.part(event::FIXED_BYTES, self.id_bytes()).first_chunk()?;
        Some(EventId::from_bytes(*id))
    }

    /// The type, if it is UTF-8.
    pub fn event_type(&self) -> Result<&'a str, BodyError> {
        let bytes = self.part(self.type_at(), usize::from(self.type_bytes));
        core::str::from_utf8(bytes).map_err(|_| BodyError::Utf8 { field: "event type" })
    }

    /// The tags, as far as they are tags.
    #[must_use]
    pub fn tags(&self) -> Tags<'a> {
        Tags { bytes: self.part(self.tags_at(), usize::from(self.tags_bytes)) }
    }

    /// The metadata; empty if there is none.
    #[must_use]
    #[inline]
    pub fn metadata(&self) -> &'a [u8] {
        self.part(self.metadata_at(), self.metadata_bytes as usize)
    }

    /// The payload; may be empty.
    #[must_use]
    #[inline]
    pub fn payload(&self) -> &'a [u8] {
        self.padded.get(self.payload_at()..self.length as usize).unwrap_or(&[])
    }

    /// Checks every rule for an event that can be told without its frame.
    pub fn check(&self) -> Result<RecordedEventRef<'a>, BodyError> {
        let record = self.length as usize;
        zeros(self.part(record, self.padded.len() - record), "event padding")?;
        if self.flags & !event::FLAG_ID != 0 {
            return Err(BodyError::Field { field: "event flags", found: u64::from(self.flags) });
        }
        let id = self.id();
        if id.is_some_and(|id| id.is_nil()) {
            return Err(BodyError::Field { field: "event id", found: 0 });
        }
        if self.type_bytes == 0 {
            return Err(BodyError::Field { field: "type length", found: 0 });
        }
        let event_type = self.event_type()?;
        let tags = Tags::decode(self.tags().bytes)?;
        let end = self.metadata_at() + self.metadata_bytes as usize;
        zeros(self.part(end, self.payload_at() - end), "metadata padding")?;
        let (metadata, payload) = (self.metadata(), self.payload());
        Ok(RecordedEventRef { stream: self.stream, event_type, id, tags, metadata, payload })
    }

    #[inline]
    const fn id_bytes(&self) -> usize {
        if self.flags & event::FLAG_ID == 0 { 0 } else { event::ID_BYTES }
    }

    #[inline]
    const fn type_at(&self) -> usize {
        event::FIXED_BYTES + self.id_bytes()
    }

    #[inline]
    const fn tags_at(&self) -> usize {
        self.type_at() + self.type_bytes as usize
    }

    #[inline]
    const fn metadata_at(&self) -> usize {
        self.tags_at() + self.tags_bytes as usize
    }

    #[inline]
    const fn payload_at(&self) -> usize {
        layout::aligned(self.metadata_at().saturating_add(self.metadata_bytes as usize))
    }

    /// A part that stands within the event, as `decode` has seen.
    #[inline]
    fn part(&self, at: usize, length: usize) -> &'a [u8] {
        self.padded.get(at..).and_then(|rest| rest.get(..length)).unwrap_or(&[])
    }
}

/// One event, borrowed from its frame.
#[derive(Debug, Clone, Copy)]
pub struct RecordedEventRef<'a> {
    /// Index into the frame's stream table.
    pub stream: u32,
    /// The type: 1 to 255 bytes.
    pub event_type: &'a str,
    /// The caller's id, if it gave one.
    pub id: Option<EventId>,
    /// The tags.
    pub tags: Tags<'a>,
    /// The metadata; empty if there is none.
    pub metadata: &'a [u8],
    /// The payload; may be empty. Starts at a multiple of 8 from the segment's start.
    pub payload: &'a [u8],
}

impl<'a> RecordedEventRef<'a> {
    /// Reads the event at the front of `bytes`; gives what follows it, too.
    pub fn decode(bytes: &'a [u8]) -> Result<(Self, &'a [u8]), BodyError> {
        let (outline, rest) = EventOutline::decode(bytes)?;
        Ok((outline.check()?, rest))
    }
}

/// The tags of one event, in the order given.
#[derive(Debug, Clone, Copy, Default)]
pub struct Tags<'a> {
    bytes: &'a [u8],
}

impl<'a> Tags<'a> {
    /// Checks a list of tags.
    pub fn decode(bytes: &'a [u8]) -> Result<Self, BodyError> {
        let mut cursor = Cursor::new(bytes);
        while !cursor.rest().is_empty() {
            let length = cursor.u8("tag length")?;
            if length == 0 {
                return Err(BodyError::Field { field: "tag length", found: 0 });
            }
            let tag = cursor.bytes(usize::from(length), "tag")?;
            core::str::from_utf8(tag).map_err(|_| BodyError::Utf8 { field: "tag" })?;
        }
        Ok(Self { bytes })
    }

    /// Whether there is none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// Whether `tag` is among them.
    #[must_use]
    pub fn contains(&self, tag: &str) -> bool {
        self.iter().any(|found| found == tag)
    }

    /// The tags, one after the other.
    #[must_use]
    pub const fn iter(&self) -> TagIter<'a> {
        TagIter { cursor: Cursor::new(self.bytes) }
    }
}

impl<'a> IntoIterator for Tags<'a> {
    type Item = &'a str;
    type IntoIter = TagIter<'a>;

    fn into_iter(self) -> TagIter<'a> {
        self.iter()
    }
}

/// Iterates over [`Tags`].
#[derive(Debug, Clone)]
pub struct TagIter<'a> {
    cursor: Cursor<'a>,
}

impl<'a> Iterator for TagIter<'a> {
    type Item = &'a str;

    fn next(&mut self) -> Option<&'a str> {
        // Where `Tags::decode` has read the same bytes to their end, no step here fails.
        let length = self.cursor.u8("tag length").ok()?;
        core::str::from_utf8(self.cursor.bytes(usize::from(length), "tag").ok()?).ok()
    }
}

pub(crate) fn zeros(bytes: &[u8], field: &'static str) -> Result<(), BodyError> {
    if bytes.iter().all(|byte| *byte == 0) { Ok(()) } else { Err(BodyError::NotZero { field }) }
}
