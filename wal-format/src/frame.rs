//! Frames: begin header, body, versions, commit trailer.
//!
//! Owns: [`FrameHeader`], [`Frame`] and its first half [`FrameFront`]. May call: checksum, cursor,
//! ids, layout. What is inside a body belongs to [`crate::body`], frames without one to
//! [`crate::control`], the versions to [`crate::versions`].
//!
//! Every decoder here takes the bytes from the frame's first one to the end of what may hold it
//! (the segment's capacity), together with the [`Salt`] and offset that the checksums are bound to.

use crate::body::BodyError;
use crate::checksum::{Salt, body_checksum, commit_checksum};
pub use crate::control::{ControlFields, ControlKind, FrameKind, control_frame};
use crate::cursor::{Cursor, Truncated};
use crate::ids::{ByteOffset, CommitTime, Position, Version};
use crate::layout::{self, event, header, named, trailer, versions};
use crate::versions::FirstVersions;

/// The begin header of a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FrameHeader {
    /// The whole frame's length in bytes.
    pub frame_bytes: u32,
    /// What the frame is.
    pub kind: FrameKind,
    /// When this frame was written, all in front of it was on the device: every frame, and every
    /// segment header that is not behind it. Never in a seal.
    pub settled: bool,
    /// Number of named checkpoints; 0 in a control frame.
    pub checkpoint_count: u16,
    /// Number of events; 0 in a frame that is no batch.
    pub event_count: u32,
    /// Number of distinct streams; 0 in a frame that is no batch.
    pub stream_count: u32,
    /// The first event's position; without events the position of the next one.
    pub first_position: Position,
    /// When the batch was committed.
    pub commit_time: CommitTime,
    /// All below was durable when this frame was written.
    pub synced_position: Position,
    /// The commit checksum of the frame before, or the checksum of the segment's header.
    pub previous: u32,
}

/// Why the bytes at an offset are not a frame that belongs there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FrameError {
    /// The bytes end before the frame does.
    #[error(transparent)]
    Truncated(#[from] Truncated),
    /// The header's checksum does not match; nothing in it may be used.
    #[error("frame header checksum is {stored:08x}, computed {computed:08x}")]
    HeaderChecksum {
        /// What stands there.
        stored: u32,
        /// What the header gives at this place.
        computed: u32,
    },
    /// A header field breaks a rule although the checksum is right.
    #[error("{field} is out of range: {found}")]
    Field {
        /// Which field.
        field: &'static str,
        /// Its value.
        found: u64,
    },
    /// The checksums are right and the body is not one: written by a faulty writer.
    #[error(transparent)]
    Body(#[from] BodyError),
    /// The trailer does not have its magic: the frame's end never reached the disk.
    #[error("commit trailer is missing")]
    TrailerMagic,
    /// The body's checksum does not match.
    #[error("body checksum is {stored:08x}, computed {computed:08x}")]
    BodyChecksum {
        /// What stands there.
        stored: u32,
        /// What the body gives.
        computed: u32,
    },
    /// The commit checksum does not match.
    #[error("commit checksum is {stored:08x}, computed {computed:08x}")]
    CommitChecksum {
        /// What stands there.
        stored: u32,
        /// What the frame gives.
        computed: u32,
    },
    /// The frame names another predecessor than the one in front of it.
    #[error("previous checksum is {found:08x}, expected {expected:08x}")]
    Previous {
        /// The checksum of the frame in front.
        expected: u32,
        /// The one that this frame names.
        found: u32,
    },
    /// The frame does not begin at the position where the one before ended.
    #[error("first position is {found}, expected {expected}")]
    Position {
        /// Where the log stands.
        expected: Position,
        /// Where the frame begins.
        found: Position,
    },
    /// Commit time or synced position ran backwards.
    #[error("{field} runs backwards: {found} after {before}")]
    Backwards {
        /// Which field.
        field: &'static str,
        /// Its value in the frame before.
        before: u64,
        /// Its value here.
        found: u64,
    },
}

impl FrameError {
    /// Whether the checksums that cover the fault were right, so that no torn write explains it:
    /// somebody has written what this version forbids.
    ///
    /// A valid frame that does not follow the one before it is none: it may be stale, of a tail
    /// that was cut off and whose zeros did not reach the disk. Synced positions decide there.
    #[must_use]
    pub const fn is_contradiction(&self) -> bool {
        match self {
            Self::Field { .. } | Self::Body(_) => true,
            Self::Previous { .. }
            | Self::Position { .. }
            | Self::Backwards { .. }
            | Self::Truncated(_)
            | Self::HeaderChecksum { .. }
            | Self::TrailerMagic
            | Self::BodyChecksum { .. }
            | Self::CommitChecksum { .. } => false,
        }
    }
}

impl FrameHeader {
    /// The header's bytes for a frame at `offset`, and the checksum that ends them.
    ///
    /// # Panics
    /// On fields that would not decode: a frame that nobody can read must not be acknowledged.
    #[must_use]
    pub fn encode(&self, salt: Salt, offset: ByteOffset) -> ([u8; header::BYTES], u32) {
        assert_eq!(self.check(), Ok(()), "a header that would not decode");
        let mut fields = [0; header::CHECKSUM];
        let mut put = |at: usize, bytes: &[u8]| {
            if let Some(place) = fields.get_mut(at..at + bytes.len()) {
                place.copy_from_slice(bytes);
            }
        };
        put(header::LENGTH, &self.frame_bytes.to_le_bytes());
        put(header::KIND, &[self.kind.as_u8()]);
        put(header::FLAGS, &[if self.settled { header::FLAG_SETTLED } else { 0 }]);
        put(header::CHECKPOINT_COUNT, &self.checkpoint_count.to_le_bytes());
        put(header::EVENT_COUNT, &self.event_count.to_le_bytes());
        put(header::STREAM_COUNT, &self.stream_count.to_le_bytes());
        put(header::FIRST_POSITION, &self.first_position.as_u64().to_le_bytes());
        put(header::COMMIT_TIME, &self.commit_time.as_u64().to_le_bytes());
        put(header::SYNCED_POSITION, &self.synced_position.as_u64().to_le_bytes());
        put(header::PREVIOUS, &self.previous.to_le_bytes());
        let checksum = salt.header_checksum(offset, &fields);
        let mut bytes = [0; header::BYTES];
        let (front, back) = bytes.split_at_mut(header::CHECKSUM);
        front.copy_from_slice(&fields);
        back.copy_from_slice(&checksum.to_le_bytes());
        (bytes, checksum)
    }

    /// Reads the header at `offset`. `Ok(None)`: length 0 and kind 0, never written.
    #[inline]
    pub fn decode(
        bytes: &[u8],
        salt: Salt,
        offset: ByteOffset,
    ) -> Result<Option<Self>, FrameError> {
        Self::decode_with_checksum(bytes, salt, offset).map(|found| found.map(|(header, _)| header))
    }

    #[inline(always)]
    fn decode_with_checksum(
        bytes: &[u8],
        salt: Salt,
        offset: ByteOffset,
    ) -> Result<Option<(Self, u32)>, FrameError> {
        // Before the bound of a whole header: the unwritten end of a segment may be shorter.
        let mut cursor = Cursor::new(bytes);
        let frame_bytes = cursor.u32("frame length")?;
        let kind_byte = cursor.u8("frame kind")?;
        if frame_bytes == 0 && kind_byte == 0 {
            return Ok(None);
        }
        let fields = Cursor::new(bytes).bytes(header::CHECKSUM, "frame header")?;
        let flags = cursor.u8("frame flags")?;
        let checkpoint_count = cursor.u16("checkpoint count")?;
        let event_count = cursor.u32("event count")?;
        let stream_count = cursor.u32("stream count")?;
        let first_position = Position::new(cursor.u64("first position")?);
        let commit_time = CommitTime::new(cursor.u64("commit time")?);
        let synced_position = Position::new(cursor.u64("synced position")?);
        let previous = cursor.u32("previous checksum")?;
        let stored = cursor.u32("header checksum")?;
        let computed = salt.header_checksum(offset, fields);
        if stored != computed {
            return Err(FrameError::HeaderChecksum { stored, computed });
        }
        let Some(kind) = FrameKind::from_u8(kind_byte) else {
            return Err(FrameError::Field { field: "frame kind", found: u64::from(kind_byte) });
        };
        if flags & !header::FLAG_SETTLED != 0 {
            return Err(FrameError::Field { field: "frame flags", found: u64::from(flags) });
        }
        let header = Self {
            frame_bytes,
            kind,
            settled: flags & header::FLAG_SETTLED != 0,
            checkpoint_count,
            event_count,
            stream_count,
            first_position,
            commit_time,
            synced_position,
            previous,
        };
        header.check()?;
        Ok(Some((header, stored)))
    }

    /// The rules between fields, for encoding and decoding alike.
    #[inline]
    fn check(&self) -> Result<(), FrameError> {
        let field = |field, found| Err(FrameError::Field { field, found });
        let length = self.frame_bytes as usize;
        let versions_bytes = u64::from(self.stream_count) * versions::ENTRY_BYTES as u64;
        let least = layout::CONTROL_FRAME_BYTES as u64 + versions_bytes;
        if length > layout::FRAME_BYTES_MAX
            || !length.is_multiple_of(layout::ALIGNMENT)
            || (length as u64) < least
        {
            return field("frame length", u64::from(self.frame_bytes));
        }
        let has_events = self.kind == FrameKind::Batch;
        if (self.event_count > 0) != has_events {
            return field("event count", u64::from(self.event_count));
        }
        if self.stream_count > self.event_count || (self.stream_count > 0) != has_events {
            return field("stream count", u64::from(self.stream_count));
        }
        // So that a reader may make room for that many.
        let room = length as u64 - least;
        let needed = u64::from(self.event_count) * event::BYTES_MIN as u64;
        if needed > room {
            return field("event count", u64::from(self.event_count));
        }
        let needed = u64::from(self.checkpoint_count) * named::BYTES_MIN as u64;
        let checkpoints_fit = match self.kind {
            FrameKind::Batch => true,
            FrameKind::Checkpoints => self.checkpoint_count > 0,
            FrameKind::Control(_) => self.checkpoint_count == 0,
        };
        if !checkpoints_fit || needed > room {
            return field("checkpoint count", u64::from(self.checkpoint_count));
        }
        if let FrameKind::Control(kind) = self.kind {
            if length != layout::CONTROL_FRAME_BYTES {
                return field("frame length", u64::from(self.frame_bytes));
            }
            if self.settled && kind == ControlKind::Seal {
                return field("frame flags", u64::from(header::FLAG_SETTLED));
            }
        }
        if self.first_position.as_u64().checked_add(u64::from(self.event_count)).is_none() {
            return field("first position", self.first_position.as_u64());
        }
        if self.synced_position > self.first_position {
            return field("synced position", self.synced_position.as_u64());
        }
        Ok(())
    }

    /// The position behind the frame's last event.
    #[must_use]
    #[inline]
    pub const fn end_position(&self) -> Position {
        self.first_position.plus(self.event_count as u64)
    }
}

/// A frame whose header has been read: the first of two steps, for whoever decides by the header
/// whether he wants the frame. [`FrameFront::verify`] is the second one.
///
/// ```
/// use quipu_format::frame::{ControlFields, ControlKind, FrameFront, control_frame};
/// use quipu_format::{ByteOffset, CommitTime, LogId, Position, Salt, SegmentSeq};
/// let salt = Salt::new(LogId::from_bytes([1; 16]), SegmentSeq::ZERO);
/// let (at, position) = (ByteOffset::new(4096), Position::new(7));
/// let fields = ControlFields {
///     position, time: CommitTime::ZERO, synced_position: position, settled: true, previous: 0,
/// };
/// let (bytes, _) = control_frame(ControlKind::Mark, fields, salt, at);
/// let front = FrameFront::decode(&bytes, salt, at)?.expect("a frame stands here");
/// assert_eq!(front.header().first_position, position);
/// assert!(front.verify().is_ok());
/// # Ok::<(), quipu_format::FrameError>(())
/// ```
#[derive(Debug, Clone, Copy)]
pub struct FrameFront<'a> {
    header: FrameHeader,
    header_checksum: u32,
    bytes: &'a [u8],
}

impl<'a> FrameFront<'a> {
    /// Reads and verifies the header at the front of `bytes`. `Ok(None)`: never written.
    #[inline(always)]
    pub fn decode(
        bytes: &'a [u8],
        salt: Salt,
        offset: ByteOffset,
    ) -> Result<Option<Self>, FrameError> {
        let found = FrameHeader::decode_with_checksum(bytes, salt, offset)?;
        Ok(found.map(|(header, header_checksum)| Self { header, header_checksum, bytes }))
    }

    /// The begin header.
    #[must_use]
    #[inline]
    pub const fn header(&self) -> &FrameHeader {
        &self.header
    }

    /// Verifies the rest of the frame, every byte of it.
    #[inline]
    pub fn verify(self) -> Result<Frame<'a>, FrameError> {
        let parts = FrameParts::cut(&self.header, self.bytes)?;
        parts.check_magic()?;
        let computed = parts.commit_checksum_after(self.header_checksum);
        let stored = parts.commit_checksum();
        if stored != computed {
            return Err(FrameError::CommitChecksum { stored, computed });
        }
        let (stored, computed) = (parts.body_checksum(), body_checksum(&[parts.body]));
        if stored != computed {
            return Err(FrameError::BodyChecksum { stored, computed });
        }
        let (versions, _) = parts.versions.as_chunks();
        if versions.iter().any(|entry| u64::from_le_bytes(*entry) == versions::UNSET) {
            let found = versions::UNSET;
            return Err(FrameError::Field { field: "stream version", found });
        }
        parts.finish(self.header)
    }

    /// Takes body and versions on trust: for frames that this process has stored, or verified,
    /// itself. The trailer's shape is checked.
    #[inline]
    pub fn trust(self) -> Result<Frame<'a>, FrameError> {
        let parts = FrameParts::cut(&self.header, self.bytes)?;
        parts.check_magic()?;
        parts.finish(self.header)
    }
}

/// What follows a header.
struct FrameParts<'a> {
    body: &'a [u8],
    versions: &'a [u8],
    trailer: &'a [u8; trailer::BYTES],
    /// All from the versions on.
    behind: &'a [u8],
}

impl<'a> FrameParts<'a> {
    /// The parts of the frame at the front of `bytes`, whose header is `header`.
    #[inline]
    fn cut(header: &FrameHeader, bytes: &'a [u8]) -> Result<Self, Truncated> {
        let versions_bytes = header.stream_count as usize * versions::ENTRY_BYTES;
        // The header's check has made sure that the length holds all but the body.
        let body_bytes = (header.frame_bytes as usize)
            .saturating_sub(layout::CONTROL_FRAME_BYTES + versions_bytes);
        let mut cursor = Cursor::new(bytes);
        cursor.bytes(header::BYTES, "frame header")?;
        let body = cursor.bytes(body_bytes, "frame body")?;
        let behind = cursor.rest();
        let versions = cursor.bytes(versions_bytes, "stream versions")?;
        let trailer = cursor.chunk("trailer")?;
        Ok(Self { body, versions, trailer, behind })
    }

    /// Checks the last rule and gives the frame.
    #[inline]
    fn finish(self, header: FrameHeader) -> Result<Frame<'a>, FrameError> {
        // Behind the checksums, so that this error says that they were right.
        let length = self.word(trailer::LENGTH);
        if length != header.frame_bytes {
            return Err(FrameError::Field { field: "trailer length", found: u64::from(length) });
        }
        let commit_checksum = self.commit_checksum();
        Ok(Frame { header, body: self.body, versions: self.versions, commit_checksum })
    }

    #[inline]
    fn check_magic(&self) -> Result<(), FrameError> {
        let magic = u32::from_le_bytes(trailer::MAGIC_VALUE);
        if self.word(trailer::MAGIC) == magic { Ok(()) } else { Err(FrameError::TrailerMagic) }
    }

    /// The commit checksum that versions and trailer give; they stand one behind the other.
    #[inline]
    fn commit_checksum_after(&self, header_checksum: u32) -> u32 {
        let length = self.versions.len() + trailer::COMMIT_CHECKSUM;
        commit_checksum(header_checksum, &[], self.behind.get(..length).unwrap_or(&[]))
    }

    #[inline]
    fn body_checksum(&self) -> u32 {
        self.word(trailer::BODY_CHECKSUM)
    }

    #[inline]
    fn commit_checksum(&self) -> u32 {
        self.word(trailer::COMMIT_CHECKSUM)
    }

    /// The four bytes at an offset of the trailer.
    #[inline]
    fn word(&self, at: usize) -> u32 {
        let word = self.trailer.get(at..).and_then(<[u8]>::first_chunk);
        word.map_or(0, |word| u32::from_le_bytes(*word))
    }
}

/// A frame in place: its header, and its parts borrowed.
#[derive(Debug, Clone, Copy)]
pub struct Frame<'a> {
    /// The begin header.
    pub header: FrameHeader,
    body: &'a [u8],
    versions: &'a [u8],
    commit_checksum: u32,
}

impl<'a> Frame<'a> {
    /// Reads and verifies the frame at the front of `bytes`, every byte of it.
    /// `Ok(None)`: never written.
    pub fn decode(
        bytes: &'a [u8],
        salt: Salt,
        offset: ByteOffset,
    ) -> Result<Option<Self>, FrameError> {
        FrameFront::decode(bytes, salt, offset)?.map(FrameFront::verify).transpose()
    }

    /// As [`Frame::decode`], but takes the body and the versions on trust: for frames that this
    /// process has stored, or verified, itself. Header and trailer's shape are checked.
    pub fn decode_trusted(
        bytes: &'a [u8],
        salt: Salt,
        offset: ByteOffset,
    ) -> Result<Option<Self>, FrameError> {
        FrameFront::decode(bytes, salt, offset)?.map(FrameFront::trust).transpose()
    }

    /// Cuts a frame into its parts again, whose header has been decoded from the front of `bytes`
    /// before. Looks at nothing else.
    #[inline]
    pub fn again(header: FrameHeader, bytes: &'a [u8]) -> Result<Self, Truncated> {
        let parts = FrameParts::cut(&header, bytes)?;
        let commit_checksum = parts.commit_checksum();
        Ok(Self { header, body: parts.body, versions: parts.versions, commit_checksum })
    }

    /// Whether a segment of `capacity` bytes can still be sealed behind this frame, which stands at
    /// `offset`: one that cannot was written by a faulty writer.
    pub fn check_room(&self, offset: ByteOffset, capacity: u64) -> Result<(), FrameError> {
        let end = offset.as_u64().saturating_add(u64::from(self.header.frame_bytes));
        let room = capacity.saturating_sub(end);
        if self.header.kind == FrameKind::Control(ControlKind::Seal)
            || room >= layout::CONTROL_FRAME_BYTES as u64
        {
            return Ok(());
        }
        Err(FrameError::Field { field: "room for a seal", found: room })
    }

    /// The body's bytes; [`crate::Body::decode`] reads them.
    #[must_use]
    pub const fn body_bytes(&self) -> &'a [u8] {
        self.body
    }

    /// The commit checksum, which the next frame names as its predecessor's.
    #[must_use]
    pub const fn commit_checksum(&self) -> u32 {
        self.commit_checksum
    }

    /// The version that stream `index` of the table got at its first event in this frame.
    #[must_use]
    #[inline]
    pub fn first_version(&self, index: u32) -> Option<Version> {
        self.first_versions().of(index)
    }

    /// The versions that the streams of the table got at their first events in this frame.
    #[must_use]
    #[inline]
    pub const fn first_versions(&self) -> FirstVersions<'a> {
        FirstVersions::new(self.versions)
    }
}

/// The trailer's bytes, and the commit checksum that ends them.
pub(crate) fn encode_trailer(
    header_checksum: u32,
    body_checksum: u32,
    versions: &[u8],
    frame_bytes: u32,
) -> ([u8; trailer::BYTES], u32) {
    let mut bytes = [0; trailer::BYTES];
    let (fields, last) = bytes.split_at_mut(trailer::COMMIT_CHECKSUM);
    let (body, rest) = fields.split_at_mut(trailer::MAGIC);
    let (magic, length) = rest.split_at_mut(trailer::LENGTH - trailer::MAGIC);
    body.copy_from_slice(&body_checksum.to_le_bytes());
    magic.copy_from_slice(&trailer::MAGIC_VALUE);
    length.copy_from_slice(&frame_bytes.to_le_bytes());
    let checksum = commit_checksum(header_checksum, versions, fields);
    last.copy_from_slice(&checksum.to_le_bytes());
    (bytes, checksum)
}
