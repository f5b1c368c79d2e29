//! Encoding a batch: body and body checksum by the caller, the rest by the writer.
//!
//! Owns: [`BatchEncoder`] (the caller's half) and [`EncodedBatch`] (what goes to the writer, and is
//! completed by [`EncodedBatch::commit`]). May call: checksum, frame, ids, layout, named.
//!
//! What only the commit decides (position, time, versions, chain) stands outside the body, so that
//! the writer's work does not grow with the payload. Until `commit` has run, the header is zero, the
//! versions are no versions and the trailer has no magic: a half-made encoding never decodes.

use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use crate::body::StreamTable;
use crate::checksum::{Salt, body_checksum};
use crate::frame::{FrameHeader, FrameKind, encode_trailer};
use crate::ids::{ByteOffset, CommitTime, EventId, Position, Version};
use crate::layout::{self, event, header, named, streams, trailer, versions};
use crate::named::{NamedCheckpoints, record_bytes};

/// One event as the caller gives it.
#[derive(Debug, Clone, Copy)]
pub struct EventFields<'a> {
    /// The type: 1 to 255 bytes.
    pub event_type: &'a str,
    /// The id; a nil one is none.
    pub id: Option<EventId>,
    /// The tags: 1 to 255 bytes each, at most 65,535 together with a length byte for each.
    pub tags: &'a [&'a str],
    /// The metadata.
    pub metadata: &'a [u8],
    /// The payload.
    pub payload: &'a [u8],
}

/// Why something cannot be put into a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EncodeError {
    /// A length is outside its limits.
    #[error("{field} is {found} bytes long, it must be {min} to {max}")]
    Length {
        /// Which field.
        field: &'static str,
        /// Its length.
        found: usize,
        /// The least that is allowed.
        min: usize,
        /// The most that is allowed.
        max: usize,
    },
    /// The batch would be longer than a frame may be.
    #[error("the batch is longer than a frame may be ({} bytes)", layout::FRAME_BYTES_MAX)]
    FrameTooLong,
    /// Streams are numbered in the order of their first events: an event may name one that has
    /// events already, or the first that has none.
    #[error("stream index {found} is out of order, the next new stream of the batch is {expected}")]
    StreamOrder {
        /// The event's stream.
        found: u32,
        /// The first stream without events.
        expected: u32,
    },
    /// A stream was added that no event belongs to.
    #[error("stream {index} of the batch has no events")]
    StreamUnused {
        /// The first such stream.
        index: u32,
    },
    /// A batch needs an event or a named checkpoint.
    #[error("the batch has neither events nor checkpoints")]
    Empty,
    /// One checkpoint was to be set to two positions.
    #[error("one checkpoint is given as {first} and as {second}")]
    CheckpointTwice {
        /// The position given first.
        first: Position,
        /// The one that differs.
        second: Position,
    },
    /// More checkpoints than a frame can have.
    #[error("the batch has more than {} checkpoints", u16::MAX)]
    CheckpointsTooMany,
}

/// Builds a body event by event.
///
/// The caller says which events share a stream: [`BatchEncoder::add_stream`] once for each distinct
/// name, right before the first event of that stream. That the names are distinct is not checked.
///
/// A batch of one stream is built in the bytes of its frame, in one allocation. The table of more
/// streams grows while events are there already, so that it is kept apart.
#[derive(Debug, Clone, Default)]
pub struct BatchEncoder {
    /// Room for the header, the table of a batch of one stream, then the events.
    frame: Vec<u8>,
    /// Where the events begin in `frame`.
    events_at: usize,
    /// The table of a batch of several streams.
    ends: Vec<u8>,
    names: Vec<u8>,
    stream_count: u32,
    event_count: u32,
    /// Number of streams with events.
    streams_used: u32,
    /// In the order in which they are written.
    checkpoints: BTreeMap<Box<str>, Position>,
    checkpoint_bytes: usize,
}

/// Room made for a batch at first: a small event fits, and a large one asks for its own.
const FIRST_BYTES: usize = 512;

impl BatchEncoder {
    /// Begins an empty batch.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Number of events so far.
    #[must_use]
    pub const fn event_count(&self) -> u32 {
        self.event_count
    }

    /// Number of streams so far.
    #[must_use]
    pub const fn stream_count(&self) -> u32 {
        self.stream_count
    }

    /// Bytes that the finished frame takes in a segment.
    #[must_use]
    pub const fn frame_bytes(&self) -> usize {
        let table_bytes = match self.stream_count {
            0 => 0,
            1 => self.events_at - header::BYTES,
            _ => layout::aligned(self.ends.len() + self.names.len()),
        };
        layout::CONTROL_FRAME_BYTES
            + table_bytes
            + self.checkpoint_bytes
            + (self.frame.len() - self.events_at)
            + self.stream_count as usize * versions::ENTRY_BYTES
    }

    /// The names so far, in order.
    pub fn stream_names(&self) -> impl Iterator<Item = &str> {
        let only = self.only_name().into_iter();
        let mut start = 0;
        let several = self.ends.chunks_exact(streams::ENTRY_BYTES).map_while(move |entry| {
            let end = u32::from_le_bytes(*entry.first_chunk()?) as usize;
            let name = self.names.get(start..end)?;
            start = end;
            Some(name)
        });
        only.chain(several).map_while(|name| core::str::from_utf8(name).ok())
    }

    /// The name of a batch of one stream.
    fn only_name(&self) -> Option<&[u8]> {
        if self.stream_count != 1 {
            return None;
        }
        let entry = self.frame.get(header::BYTES..)?;
        let length = u32::from_le_bytes(*entry.first_chunk()?) as usize;
        entry.get(streams::ENTRY_BYTES..)?.get(..length)
    }

    /// Whether the stream with index `index` has this name.
    #[must_use]
    pub fn is_stream(&self, index: u32, name: &str) -> bool {
        let Some(before) = index.checked_sub(1) else {
            let first = self.only_name().or_else(|| self.names.get(..self.end_of_name(0)?));
            return first == Some(name.as_bytes());
        };
        let range = self.end_of_name(before).zip(self.end_of_name(index));
        let known = range.and_then(|(start, end)| self.names.get(start..end));
        known == Some(name.as_bytes())
    }

    fn end_of_name(&self, index: u32) -> Option<usize> {
        let entry = self.ends.get(index as usize * streams::ENTRY_BYTES..)?.first_chunk()?;
        Some(u32::from_le_bytes(*entry) as usize)
    }

    /// Adds a stream to the table and gives its index. The name must be a new one.
    pub fn add_stream(&mut self, name: &str) -> Result<u32, EncodeError> {
        check_length("stream name", name.len(), 1, streams::NAME_BYTES_MAX)?;
        let more = streams::ENTRY_BYTES + name.len() + versions::ENTRY_BYTES;
        self.check_room(more.saturating_add(layout::ALIGNMENT))?;
        let index = self.stream_count;
        match index {
            0 => self.add_first_stream(name),
            _ => {
                if let Some(first) = self.only_name() {
                    self.names = first.to_vec();
                    self.ends.extend_from_slice(&(self.names.len() as u32).to_le_bytes());
                }
                self.names.extend_from_slice(name.as_bytes());
                self.ends.extend_from_slice(&(self.names.len() as u32).to_le_bytes());
            }
        }
        self.stream_count += 1;
        Ok(index)
    }

    fn add_first_stream(&mut self, name: &str) {
        self.frame.reserve(FIRST_BYTES);
        self.frame.resize(header::BYTES, 0);
        self.frame.extend_from_slice(&(name.len() as u32).to_le_bytes());
        self.frame.extend_from_slice(name.as_bytes());
        self.frame.resize(layout::aligned(self.frame.len()), 0);
        self.events_at = self.frame.len();
    }

    /// Adds an event of the stream with index `stream`. On an error the batch is as before.
    pub fn push(&mut self, stream: u32, fields: &EventFields<'_>) -> Result<(), EncodeError> {
        let expected = self.streams_used;
        if stream > expected || stream >= self.stream_count {
            return Err(EncodeError::StreamOrder { found: stream, expected });
        }
        check_length("event type", fields.event_type.len(), 1, event::TYPE_BYTES_MAX)?;
        for tag in fields.tags {
            check_length("tag", tag.len(), 1, event::TAG_BYTES_MAX)?;
        }
        let tags_bytes: usize = fields.tags.iter().map(|tag| 1 + tag.len()).sum();
        check_length("tags together", tags_bytes, 0, event::TAGS_BYTES_MAX)?;
        let id = fields.id.filter(|id| !id.is_nil());

        let id_bytes = if id.is_some() { event::ID_BYTES } else { 0 };
        let head_bytes = event::FIXED_BYTES + id_bytes + fields.event_type.len() + tags_bytes;
        let payload_at = layout::aligned(head_bytes.saturating_add(fields.metadata.len()));
        let length = payload_at.saturating_add(fields.payload.len());
        self.check_room(layout::aligned(length))?;

        let tail_bytes = self.stream_count as usize * versions::ENTRY_BYTES + trailer::BYTES;
        let into = &mut self.frame;
        let start = into.len();
        into.reserve(layout::aligned(length) + tail_bytes);
        into.extend_from_slice(&fixed_part(length, stream, tags_bytes, fields, id.is_some()));
        if let Some(id) = id {
            into.extend_from_slice(id.as_bytes());
        }
        into.extend_from_slice(fields.event_type.as_bytes());
        for tag in fields.tags {
            into.push(tag.len() as u8);
            into.extend_from_slice(tag.as_bytes());
        }
        into.extend_from_slice(fields.metadata);
        into.resize(start + payload_at, 0);
        into.extend_from_slice(fields.payload);
        into.resize(layout::aligned(into.len()), 0);
        self.event_count += 1;
        self.streams_used = self.streams_used.max(stream + 1);
        Ok(())
    }

    /// Sets the named checkpoint `name` to `position`. The same twice is one. On an error the batch is
    /// as before.
    pub fn checkpoint(&mut self, name: &str, position: Position) -> Result<(), EncodeError> {
        check_length("checkpoint name", name.len(), 1, named::NAME_BYTES_MAX)?;
        match self.checkpoints.get(name) {
            Some(first) if *first == position => return Ok(()),
            Some(first) => {
                return Err(EncodeError::CheckpointTwice { first: *first, second: position });
            }
            None => {}
        }
        if self.checkpoints.len() >= usize::from(u16::MAX) {
            return Err(EncodeError::CheckpointsTooMany);
        }
        let more = record_bytes(name.len());
        self.check_room(more)?;
        self.checkpoint_bytes += more;
        self.checkpoints.insert(name.into(), position);
        Ok(())
    }

    /// Number of named checkpoints so far.
    #[must_use]
    pub fn checkpoint_count(&self) -> usize {
        self.checkpoints.len()
    }

    /// Ends the body and computes its checksum.
    pub fn finish(self) -> Result<EncodedBatch, EncodeError> {
        if self.event_count == 0 && self.checkpoints.is_empty() {
            return Err(EncodeError::Empty);
        }
        if self.streams_used != self.stream_count {
            return Err(EncodeError::StreamUnused { index: self.streams_used });
        }
        let frame_bytes = self.frame_bytes() as u32;
        let checkpoint_count = self.checkpoints.len() as u16;
        let Self { mut frame, mut events_at, ends, names, stream_count, event_count, .. } = self;
        if stream_count == 0 {
            frame.resize(header::BYTES, 0);
            events_at = header::BYTES;
        }
        let checkpoints_at = frame.len();
        for (name, position) in &self.checkpoints {
            frame.extend_from_slice(&position.as_u64().to_le_bytes());
            frame.extend_from_slice(&(name.len() as u16).to_le_bytes());
            frame.extend_from_slice(name.as_bytes());
            frame.resize(checkpoints_at + layout::aligned(frame.len() - checkpoints_at), 0);
        }
        let (head, body_checksum) = match stream_count {
            0 | 1 => (Vec::new(), body_checksum(&[frame.get(header::BYTES..).unwrap_or(&[])])),
            _ => {
                let mut head =
                    Vec::with_capacity(header::BYTES + layout::aligned(ends.len() + names.len()));
                head.resize(header::BYTES, 0);
                head.extend_from_slice(&ends);
                head.extend_from_slice(&names);
                head.resize(layout::aligned(head.len()), 0);
                let table = head.get(header::BYTES..).unwrap_or(&[]);
                let events = frame.get(events_at..).unwrap_or(&[]);
                let checksum = body_checksum(&[table, events]);
                (head, checksum)
            }
        };
        let versions_at = frame.len();
        // No versions yet, and no trailer.
        frame.resize(versions_at + stream_count as usize * versions::ENTRY_BYTES, UNSET_BYTE);
        frame.resize(frame.len() + trailer::BYTES, 0);
        Ok(EncodedBatch {
            head,
            frame,
            events_at,
            checkpoints_at,
            versions_at,
            body_checksum,
            event_count,
            stream_count,
            checkpoint_count,
            frame_bytes,
        })
    }

    fn check_room(&self, more: usize) -> Result<(), EncodeError> {
        match self.frame_bytes().checked_add(more) {
            Some(bytes) if bytes <= layout::FRAME_BYTES_MAX => Ok(()),
            _ => Err(EncodeError::FrameTooLong),
        }
    }
}

/// [`versions::UNSET`] is this byte eight times.
const UNSET_BYTE: u8 = 0xff;
const _: () = assert!(versions::UNSET == u64::from_le_bytes([UNSET_BYTE; 8]));

/// The part of an event that every event has.
fn fixed_part(
    length: usize,
    stream: u32,
    tags_bytes: usize,
    fields: &EventFields<'_>,
    has_id: bool,
) -> [u8; event::FIXED_BYTES] {
    let [l0, l1, l2, l3] = (length as u32).to_le_bytes();
    let [s0, s1, s2, s3] = stream.to_le_bytes();
    let [m0, m1, m2, m3] = (fields.metadata.len() as u32).to_le_bytes();
    let [t0, t1] = (tags_bytes as u16).to_le_bytes();
    let flags = if has_id { event::FLAG_ID } else { 0 };
    let type_bytes = fields.event_type.len() as u8;
    [l0, l1, l2, l3, s0, s1, s2, s3, m0, m1, m2, m3, t0, t1, type_bytes, flags]
}

/// A batch whose body is final, and whose header and trailer only the commit can fill in.
#[derive(Debug, Clone)]
pub struct EncodedBatch {
    /// Of several streams: room for the header, then their table. Else: empty.
    head: Vec<u8>,
    /// Of several streams: what `events_at` says, then the rest. Else: the whole frame.
    frame: Vec<u8>,
    /// Where the events begin in `frame`; behind them the checkpoints, and room for versions and
    /// trailer.
    events_at: usize,
    checkpoints_at: usize,
    versions_at: usize,
    body_checksum: u32,
    event_count: u32,
    stream_count: u32,
    checkpoint_count: u16,
    frame_bytes: u32,
}

/// What only the commit decides.
#[derive(Debug, Clone, Copy)]
pub struct CommitFields {
    /// Where the frame will stand.
    pub offset: ByteOffset,
    /// The first event's position.
    pub first_position: Position,
    /// The batch's time.
    pub commit_time: CommitTime,
    /// All below is durable.
    pub synced_position: Position,
    /// All in front is durable: every frame, and the header of this segment.
    pub settled: bool,
    /// The commit checksum of the frame before, or the checksum of the segment's header.
    pub previous: u32,
}

impl EncodedBatch {
    /// Bytes that the frame takes in a segment.
    #[must_use]
    pub const fn frame_bytes(&self) -> u32 {
        self.frame_bytes
    }

    /// Number of events.
    #[must_use]
    pub const fn event_count(&self) -> u32 {
        self.event_count
    }

    /// Number of distinct streams.
    #[must_use]
    pub const fn stream_count(&self) -> u32 {
        self.stream_count
    }

    /// Number of named checkpoints.
    #[must_use]
    pub const fn checkpoint_count(&self) -> u16 {
        self.checkpoint_count
    }

    /// The named checkpoints, in the order of their names.
    pub fn checkpoints(&self) -> NamedCheckpoints<'_> {
        let bytes = self.frame.get(self.checkpoints_at..self.versions_at).unwrap_or(&[]);
        NamedCheckpoints::new(bytes, self.checkpoint_count)
    }

    /// The distinct streams' names.
    #[must_use]
    pub fn streams(&self) -> StreamTable<'_> {
        table_of(self.head(), self.stream_count)
    }

    /// For each event, the index of its stream.
    pub fn event_streams(&self) -> impl Iterator<Item = u32> {
        let mut rest = self.frame.get(self.events_at..self.checkpoints_at).unwrap_or(&[]);
        core::iter::from_fn(move || {
            let length = u32::from_le_bytes(*rest.first_chunk()?) as usize;
            let stream = u32::from_le_bytes(*rest.get(event::STREAM..)?.first_chunk()?);
            rest = rest.get(layout::aligned(length)..).unwrap_or(&[]);
            Some(stream)
        })
    }

    /// Notes the version that stream `index` gets at its first event here.
    ///
    /// # Panics
    /// If the table has no such stream.
    pub fn set_first_version(&mut self, index: u32, version: Version) {
        assert!(index < self.stream_count, "one version for each stream of the table");
        let at = self.versions_at + index as usize * versions::ENTRY_BYTES;
        if let Some(entry) = self.frame.get_mut(at..).and_then(<[u8]>::first_chunk_mut) {
            *entry = version.as_u64().to_le_bytes();
        }
    }

    /// The version that stream `index` gets at its first event here, once it has been noted.
    #[must_use]
    pub fn first_version(&self, index: u32) -> Option<Version> {
        let at = self.versions_at + index as usize * versions::ENTRY_BYTES;
        let entry = self.frame.get(at..)?.first_chunk()?;
        let version = u64::from_le_bytes(*entry);
        let noted = index < self.stream_count && version != versions::UNSET;
        noted.then(|| Version::new(version))
    }

    /// Fills in header and trailer; every stream's first version has been set before. Gives the
    /// commit checksum, which the next frame names. May be called again with other fields.
    ///
    /// # Panics
    /// If a stream's version was not set, or `fields` break a rule of [`FrameHeader`]: a frame that
    /// does not decode must not be acknowledged.
    pub fn commit(&mut self, fields: &CommitFields, salt: Salt) -> u32 {
        let header = FrameHeader {
            frame_bytes: self.frame_bytes,
            kind: if self.event_count > 0 { FrameKind::Batch } else { FrameKind::Checkpoints },
            settled: fields.settled,
            checkpoint_count: self.checkpoint_count,
            event_count: self.event_count,
            stream_count: self.stream_count,
            first_position: fields.first_position,
            commit_time: fields.commit_time,
            synced_position: fields.synced_position,
            previous: fields.previous,
        };
        let (front, header_checksum) = header.encode(salt, fields.offset);
        let head = if self.head.is_empty() { &mut self.frame } else { &mut self.head };
        if let Some(place) = head.first_chunk_mut() {
            *place = front;
        }
        let tail = self.frame.split_at_mut_checked(self.versions_at).map(|(_, tail)| tail);
        let Some((versions, place)) = tail.and_then(<[u8]>::split_last_chunk_mut) else {
            unreachable!("finish has made room for versions and trailer");
        };
        let unset = versions.as_chunks().0.contains(&versions::UNSET.to_le_bytes());
        assert!(!unset, "every stream's first version is set before the commit");
        let (trailer, checksum) =
            encode_trailer(header_checksum, self.body_checksum, versions, self.frame_bytes);
        *place = trailer;
        checksum
    }

    /// The frame's bytes, in two parts that stand one behind the other.
    #[must_use]
    pub fn parts(&self) -> [&[u8]; 2] {
        [self.head(), self.frame.get(self.events_at..).unwrap_or(&[])]
    }

    /// The bytes of header and table.
    fn head(&self) -> &[u8] {
        match self.head.is_empty() {
            true => self.frame.get(..self.events_at).unwrap_or(&[]),
            false => &self.head,
        }
    }

    /// Gives up the events and keeps the names, for whoever is told of the commit.
    #[must_use]
    pub fn into_stream_names(self) -> StreamNames {
        let head = match self.head.is_empty() {
            true if self.frame.capacity() > KEPT_BYTES_MAX => self.head().to_vec(),
            true => self.frame,
            false => self.head,
        };
        StreamNames { head, count: self.stream_count }
    }
}

/// A frame of one stream that is no longer is kept whole for its name: a copy costs more.
const KEPT_BYTES_MAX: usize = 1024;

/// The stream table of a batch, kept after the commit.
#[derive(Debug, Clone)]
pub struct StreamNames {
    head: Vec<u8>,
    count: u32,
}

impl StreamNames {
    /// The distinct streams' names, in the order of their first events.
    #[must_use]
    pub fn streams(&self) -> StreamTable<'_> {
        table_of(&self.head, self.count)
    }
}

/// The table behind the room for the header.
fn table_of(head: &[u8], count: u32) -> StreamTable<'_> {
    let decoded = StreamTable::decode(head.get(header::BYTES..).unwrap_or(&[]), count);
    decoded.map(|(table, _)| table).expect("the encoder wrote this table")
}

fn check_length(
    field: &'static str,
    found: usize,
    min: usize,
    max: usize,
) -> Result<(), EncodeError> {
    if (min..=max).contains(&found) {
        Ok(())
    } else {
        Err(EncodeError::Length { field, found, min, max })
    }
}
