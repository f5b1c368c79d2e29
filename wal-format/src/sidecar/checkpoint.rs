//! The checkpoint of the streams: all of them as they were at the end of a sealed segment, and the
//! named checkpoints of projections.
//!
//! Owns: [`StreamCheckpoint`], read in place, [`CheckpointHeader`] and [`CheckpointBuilder`]. May
//! call: checksum, cursor, header, names, projections, varint, layout.
//!
//! Sorted as the tables of sidecars are, so that a newer checkpoint is the older one merged with the
//! sidecars since, front to back, without a look at anything else.

use alloc::vec::Vec;

use super::hash::NameHash;
use super::header::{check_segment, header_checksum};
use super::names::{put_name, take_name};
use super::projections::{CheckpointsBuilder, SetCheckpoint, SetCheckpoints};
use super::{SealedSegment, SidecarError, varint};
use crate::checksum::crc32c_append;
use crate::cursor::{Cursor, Truncated};
use crate::ids::{ByteOffset, CommitTime, LogId, Position, SegmentSeq, Version};
use crate::layout::{ALIGNMENT, aligned, base, checkpoint};

/// What a file of streams is: they differ in the magic, and in what stands in front of the records.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Kind {
    pub(super) magic: [u8; 8],
    pub(super) version: u32,
    pub(super) header_bytes: usize,
}

/// The checkpoint of the streams.
const CHECKPOINT: Kind = Kind {
    magic: checkpoint::MAGIC_VALUE,
    version: checkpoint::FORMAT_VERSION,
    header_bytes: checkpoint::BYTES,
};

/// A stream as it stood at the checkpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StreamState<'a> {
    /// The hash of the name.
    pub hash: NameHash,
    /// The name.
    pub name: &'a str,
    /// The version of its last event.
    pub version: Version,
    /// The position of its last event.
    pub position: Position,
}

/// The header of a checkpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CheckpointHeader {
    /// The last segment that is covered; its base position is not stored, and 0 when read.
    pub segment: SealedSegment,
    /// Number of streams.
    pub stream_count: u64,
    /// The file's length.
    pub file_bytes: u64,
    /// Number of named checkpoints.
    pub checkpoint_count: u64,
    records_checksum: u32,
}

impl CheckpointHeader {
    /// Reads the header at the front of `bytes`.
    pub fn decode(bytes: &[u8]) -> Result<Self, SidecarError> {
        Self::decode_as(bytes, CHECKPOINT)
    }

    pub(super) fn decode_as(bytes: &[u8], kind: Kind) -> Result<Self, SidecarError> {
        let mut cursor = Cursor::new(bytes);
        let magic: [u8; 8] = cursor.array("magic")?;
        if magic != kind.magic {
            return Err(SidecarError::Magic { found: magic });
        }
        let version = cursor.u32("format version")?;
        let stored = cursor.u32("header checksum")?;
        let header = Cursor::new(bytes).bytes(kind.header_bytes, "checkpoint header")?;
        let computed = header_checksum(header, checkpoint::CHECKSUM);
        if stored != computed {
            return Err(SidecarError::Checksum { section: "header", stored, computed });
        }
        if version != kind.version {
            return Err(SidecarError::FormatVersion { found: version });
        }
        let segment = SealedSegment {
            log_id: LogId::from_bytes(cursor.array("log id")?),
            sequence: SegmentSeq::new(cursor.u64("sequence")?),
            base_position: Position::ZERO,
            end_position: Position::new(cursor.u64("end position")?),
            seal_end: ByteOffset::new(cursor.u64("seal's end")?),
            seal_checksum: cursor.u32("seal's checksum")?,
        };
        let records_checksum = cursor.u32("records' checksum")?;
        let stream_count = cursor.u64("stream count")?;
        let file_bytes = cursor.u64("file length")?;
        let checkpoint_count = cursor.u64("checkpoint count")?;
        if !file_bytes.is_multiple_of(ALIGNMENT as u64) || file_bytes < kind.header_bytes as u64 {
            return Err(SidecarError::Field { field: "file length", found: file_bytes });
        }
        if stream_count > segment.end_position.as_u64() {
            return Err(SidecarError::Field { field: "stream count", found: stream_count });
        }
        Ok(Self { segment, stream_count, file_bytes, checkpoint_count, records_checksum })
    }

    /// Whether this covers all up to `expected`, in the state that it is in.
    pub fn check_segment(&self, expected: &SealedSegment) -> Result<(), SidecarError> {
        check_segment(&self.segment, expected)
    }
}

/// A checkpoint, borrowed from its file's bytes.
#[derive(Debug, Clone, Copy)]
pub struct StreamCheckpoint<'a> {
    header: CheckpointHeader,
    records: &'a [u8],
    streams: &'a [u8],
}

impl<'a> StreamCheckpoint<'a> {
    /// Verifies every byte of a file. Which segment it is bound to is for the caller to compare.
    pub fn decode(bytes: &'a [u8]) -> Result<Self, SidecarError> {
        Self::decode_as(bytes, CHECKPOINT)
    }

    pub(super) fn decode_as(bytes: &'a [u8], kind: Kind) -> Result<Self, SidecarError> {
        let header = CheckpointHeader::decode_as(bytes, kind)?;
        let length = bytes.len() as u64;
        if length < header.file_bytes {
            let needed = usize::try_from(header.file_bytes).unwrap_or(usize::MAX);
            return Err(Truncated { field: "checkpoint", needed, had: bytes.len() }.into());
        }
        if length > header.file_bytes {
            return Err(SidecarError::Field { field: "file length", found: length });
        }
        let records = bytes.get(kind.header_bytes..).unwrap_or(&[]);
        let (stored, computed) = (header.records_checksum, crc32c_append(0, records));
        if stored != computed {
            return Err(SidecarError::Checksum { section: "streams", stored, computed });
        }
        let checkpoint = Self { header, records, streams: records };
        let mut checkpoints = checkpoint.checkpoints();
        for found in &mut checkpoints {
            found?;
        }
        Ok(Self { streams: checkpoints.rest(), ..checkpoint })
    }

    /// The named checkpoints, in the order of their names.
    #[must_use]
    pub fn checkpoints(&self) -> SetCheckpoints<'a> {
        let CheckpointHeader { segment, checkpoint_count, .. } = self.header;
        SetCheckpoints::new(self.records, checkpoint_count, segment.end_position)
    }

    /// The header.
    #[must_use]
    pub const fn header(&self) -> &CheckpointHeader {
        &self.header
    }

    /// The streams, in the order of hash and name. That they are sorted, and as many as the header
    /// says, is checked on the way.
    #[must_use]
    pub const fn streams(&self) -> CheckpointStreams<'a> {
        CheckpointStreams {
            cursor: Cursor::new(self.streams),
            left: self.header.stream_count,
            end: self.header.segment.end_position,
            before: None,
        }
    }
}

/// Iterates over a [`StreamCheckpoint`]. Ends after the first error.
#[derive(Debug, Clone)]
pub struct CheckpointStreams<'a> {
    cursor: Cursor<'a>,
    left: u64,
    end: Position,
    before: Option<(NameHash, &'a str)>,
}

impl<'a> Iterator for CheckpointStreams<'a> {
    type Item = Result<StreamState<'a>, SidecarError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.left == 0 {
            let rest = core::mem::replace(&mut self.cursor, Cursor::new(&[])).rest();
            let is_padding = rest.len() < ALIGNMENT && rest.iter().all(|at| *at == 0);
            let found = rest.len() as u64;
            return (!is_padding)
                .then_some(Err(SidecarError::Field { field: "bytes behind the streams", found }));
        }
        self.left -= 1;
        let found = self.take();
        if found.is_err() {
            (self.left, self.cursor) = (0, Cursor::new(&[]));
        }
        Some(found)
    }
}

impl<'a> CheckpointStreams<'a> {
    fn take(&mut self) -> Result<StreamState<'a>, SidecarError> {
        let hash = NameHash::new(self.cursor.u64("name hash")?);
        let name = take_name(&mut self.cursor)?;
        let version = varint::take(&mut self.cursor, "version")?;
        let position = varint::take(&mut self.cursor, "position")?;
        if self.before >= Some((hash, name)) {
            return Err(SidecarError::Field { field: "name hash", found: hash.as_u64() });
        }
        if position >= self.end.as_u64() {
            return Err(SidecarError::Field { field: "position", found: position });
        }
        if version > position {
            return Err(SidecarError::Field { field: "version", found: version });
        }
        self.before = Some((hash, name));
        let (version, position) = (Version::new(version), Position::new(position));
        Ok(StreamState { hash, name, version, position })
    }
}

/// Writes a checkpoint.
#[derive(Debug)]
pub struct CheckpointBuilder {
    bytes: Vec<u8>,
    count: u64,
    checkpoint_count: u64,
}

impl CheckpointBuilder {
    /// Begins with the named checkpoints: of several with one name the last counts.
    #[must_use]
    pub fn new<'a>(checkpoints: impl IntoIterator<Item = SetCheckpoint<'a>>) -> Self {
        let mut collected = CheckpointsBuilder::default();
        checkpoints.into_iter().for_each(|checkpoint| collected.set(&checkpoint));
        let mut bytes = alloc::vec![0; checkpoint::BYTES];
        collected.encode(&mut bytes);
        Self { bytes, count: 0, checkpoint_count: collected.len() }
    }

    /// Adds a stream, in the order of hash and name.
    pub fn push(&mut self, stream: &StreamState<'_>) {
        self.bytes.extend_from_slice(&stream.hash.as_u64().to_le_bytes());
        put_name(&mut self.bytes, stream.name);
        varint::put(&mut self.bytes, stream.version.as_u64());
        varint::put(&mut self.bytes, stream.position.as_u64());
        self.count += 1;
    }

    /// Number of streams and named checkpoints so far.
    #[must_use]
    pub const fn entries(&self) -> u64 {
        self.count + self.checkpoint_count
    }

    /// The file's bytes.
    #[must_use]
    pub fn finish(self, segment: &SealedSegment) -> Vec<u8> {
        self.finish_as(segment, CHECKPOINT)
    }

    /// The bytes of a base in front of the segment behind this one. `time` and `synced_position` are those
    /// of this one's seal.
    #[must_use]
    pub fn finish_base(
        mut self,
        segment: &SealedSegment,
        time: CommitTime,
        synced_position: Position,
    ) -> Vec<u8> {
        let more = [time.as_u64().to_le_bytes(), synced_position.as_u64().to_le_bytes()].concat();
        debug_assert_eq!(checkpoint::BYTES + more.len(), base::BYTES);
        self.bytes.splice(checkpoint::BYTES..checkpoint::BYTES, more);
        self.finish_as(segment, super::base::BASE)
    }

    fn finish_as(mut self, segment: &SealedSegment, kind: Kind) -> Vec<u8> {
        self.bytes.resize(aligned(self.bytes.len()), 0);
        let records = self.bytes.get(kind.header_bytes..).unwrap_or(&[]);
        let records_checksum = crc32c_append(0, records);
        let length = self.bytes.len() as u64;
        let mut put = |at: usize, field: &[u8]| {
            if let Some(place) = self.bytes.get_mut(at..at + field.len()) {
                place.copy_from_slice(field);
            }
        };
        put(checkpoint::MAGIC, &kind.magic);
        put(checkpoint::FORMAT_VERSION_AT, &kind.version.to_le_bytes());
        put(checkpoint::LOG_ID, segment.log_id.as_bytes());
        put(checkpoint::SEQUENCE, &segment.sequence.as_u64().to_le_bytes());
        put(checkpoint::END_POSITION, &segment.end_position.as_u64().to_le_bytes());
        put(checkpoint::SEAL_END, &segment.seal_end.as_u64().to_le_bytes());
        put(checkpoint::SEAL_CHECKSUM, &segment.seal_checksum.to_le_bytes());
        put(checkpoint::RECORDS_CHECKSUM, &records_checksum.to_le_bytes());
        put(checkpoint::STREAM_COUNT, &self.count.to_le_bytes());
        put(checkpoint::LENGTH, &length.to_le_bytes());
        put(checkpoint::CHECKPOINT_COUNT, &self.checkpoint_count.to_le_bytes());
        let header = self.bytes.get(..kind.header_bytes).unwrap_or(&[]);
        let sum = header_checksum(header, checkpoint::CHECKSUM);
        if let Some(place) = self.bytes.get_mut(checkpoint::CHECKSUM..checkpoint::CHECKSUM + 4) {
            place.copy_from_slice(&sum.to_le_bytes());
        }
        self.bytes
    }
}
