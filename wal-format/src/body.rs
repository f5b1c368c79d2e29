//! The body of a batch's frame, decoded in place: the stream table, then the events.
//!
//! Owns: [`Body`], [`StreamTable`], [`Events`], [`RecordedEventRef`], [`Tags`]. May call: cursor,
//! ids, layout. All borrowed, nothing allocated.
//!
//! [`Body::decode`] is cheap and checks the table's outline only; each event is checked when it is
//! read, and [`Body::check`] checks all of it, once, when a frame is first met.

use crate::cursor::{Cursor, Truncated};
use crate::frame::Frame;
use crate::ids::EventId;
use crate::layout::{self, event, streams};

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

/// A body: the stream table and the events.
#[derive(Debug, Clone, Copy)]
pub struct Body<'a> {
    streams: StreamTable<'a>,
    events: &'a [u8],
    event_count: u32,
}

impl<'a> Body<'a> {
    /// Outlines the body of `frame`. Control frames have none: they decode to no events.
    pub fn decode(frame: &Frame<'a>) -> Result<Self, BodyError> {
        let header = &frame.header;
        let (streams, events) = StreamTable::decode(frame.body_bytes(), header.stream_count)?;
        Ok(Self { streams, events, event_count: header.event_count })
    }

    /// The distinct streams, in the order of their first events.
    #[must_use]
    pub const fn streams(&self) -> StreamTable<'a> {
        self.streams
    }

    /// The events in order.
    #[must_use]
    pub const fn events(&self) -> Events<'a> {
        Events { rest: self.events, remaining: self.event_count }
    }

    /// Checks every rule: names, order of first use, each event, zeros between them, and that
    /// nothing is left behind the last. That the names are distinct it takes on trust: telling
    /// would need memory or time out of proportion, and an index of streams finds it out anyway.
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
        if !events.rest.is_empty() {
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

/// Iterates over the events of a body. Ends after the first error.
#[derive(Debug, Clone)]
pub struct Events<'a> {
    rest: &'a [u8],
    remaining: u32,
}

impl<'a> Events<'a> {
    /// The bytes of the events that have not been read.
    #[must_use]
    pub const fn rest(&self) -> &'a [u8] {
        self.rest
    }
}

impl<'a> Iterator for Events<'a> {
    type Item = Result<RecordedEventRef<'a>, BodyError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.remaining = self.remaining.checked_sub(1)?;
        match RecordedEventRef::decode(self.rest) {
            Ok((event, rest)) => {
                self.rest = rest;
                Some(Ok(event))
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
        let length = Cursor::new(bytes).u32("event length")? as usize;
        let mut outer = Cursor::new(bytes);
        let record = outer.bytes(length, "event")?;
        let padding = outer.bytes(layout::aligned(length) - length, "event padding")?;
        zeros(padding, "event padding")?;

        let mut cursor = Cursor::new(record);
        cursor.u32("event length")?;
        let stream = cursor.u32("stream index")?;
        let metadata_length = cursor.u32("metadata length")? as usize;
        let tags_length = usize::from(cursor.u16("tags length")?);
        let type_length = usize::from(cursor.u8("type length")?);
        let flags = cursor.u8("event flags")?;
        if flags & !event::FLAG_ID != 0 {
            return Err(BodyError::Field { field: "event flags", found: u64::from(flags) });
        }
        let id = if flags & event::FLAG_ID == 0 {
            None
        } else {
            let id = EventId::from_bytes(cursor.array("event id")?);
            if id.is_nil() {
                return Err(BodyError::Field { field: "event id", found: 0 });
            }
            Some(id)
        };
        if type_length == 0 {
            return Err(BodyError::Field { field: "type length", found: 0 });
        }
        let event_type = core::str::from_utf8(cursor.bytes(type_length, "event type")?)
            .map_err(|_| BodyError::Utf8 { field: "event type" })?;
        let tags = Tags::decode(cursor.bytes(tags_length, "tags")?)?;
        let metadata = cursor.bytes(metadata_length, "metadata")?;
        let read = record.len() - cursor.rest().len();
        let gap = cursor.bytes(layout::aligned(read) - read, "metadata padding")?;
        zeros(gap, "metadata padding")?;
        let payload = cursor.rest();
        Ok((Self { stream, event_type, id, tags, metadata, payload }, outer.rest()))
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
        // `Tags::decode` has read the same bytes to their end, so that no step here fails.
        let length = self.cursor.u8("tag length").ok()?;
        core::str::from_utf8(self.cursor.bytes(usize::from(length), "tag").ok()?).ok()
    }
}

fn zeros(bytes: &[u8], field: &'static str) -> Result<(), BodyError> {
    if bytes.iter().all(|byte| *byte == 0) { Ok(()) } else { Err(BodyError::NotZero { field }) }
}
