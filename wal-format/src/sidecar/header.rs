//! The header of a sidecar: which segment it indexes, and where its sections stand.
//!
//! Owns: [`SidecarHeader`], [`Section`]. May call: checksum, cursor, ids, layout.

use core::ops::Range;

use super::{SealedSegment, SidecarError, filter};
use crate::checksum::crc32c_append;
use crate::cursor::Cursor;
use crate::ids::{ByteOffset, LogId, Position, SegmentSeq};
use crate::layout::sidecar::{self, SECTION_COUNT, entry, section};
use crate::layout::{self, aligned};

/// A part of a sidecar under a checksum of its own. They stand in this order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Section {
    /// Which streams and tags may be there.
    Filter = 0,
    /// Hashes of the streams' names, sorted.
    StreamTable = 1,
    /// The streams' names and positions.
    StreamRecords = 2,
    /// Hashes of the tags, sorted.
    TagTable = 3,
    /// The tags and their positions.
    TagRecords = 4,
    /// Hashes of the event types, sorted.
    TypeTable = 5,
    /// The event types and their positions.
    TypeRecords = 6,
    /// Where the batches stand.
    Frames = 7,
    /// The named checkpoints that were set.
    Checkpoints = 8,
}

impl Section {
    /// All of them, in order.
    pub const ALL: [Self; SECTION_COUNT] = [
        Self::Filter,
        Self::StreamTable,
        Self::StreamRecords,
        Self::TagTable,
        Self::TagRecords,
        Self::TypeTable,
        Self::TypeRecords,
        Self::Frames,
        Self::Checkpoints,
    ];

    /// For messages.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Filter => "filter",
            Self::StreamTable => "stream table",
            Self::StreamRecords => "stream records",
            Self::TagTable => "tag table",
            Self::TagRecords => "tag records",
            Self::TypeTable => "type table",
            Self::TypeRecords => "type records",
            Self::Frames => "frames",
            Self::Checkpoints => "checkpoints",
        }
    }
}

/// The header of a sidecar.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SidecarHeader {
    /// The segment that it indexes.
    pub segment: SealedSegment,
    /// Number of batches.
    pub batch_count: u64,
    /// Number of distinct streams.
    pub stream_count: u64,
    /// Number of distinct tags.
    pub tag_count: u64,
    /// Number of distinct event types.
    pub type_count: u64,
    /// Number of distinct named checkpoints.
    pub checkpoint_count: u32,
    /// Where each section ends.
    pub(super) ends: [u64; SECTION_COUNT],
    /// The checksum of each.
    pub(super) checksums: [u32; SECTION_COUNT],
}

impl SidecarHeader {
    /// Reads the header at the front of `bytes`. Whether it belongs to a segment is for
    /// [`SidecarHeader::check_segment`].
    pub fn decode(bytes: &[u8]) -> Result<Self, SidecarError> {
        let mut cursor = Cursor::new(bytes);
        let magic: [u8; 8] = cursor.array("magic")?;
        if magic != sidecar::MAGIC_VALUE {
            return Err(SidecarError::Magic { found: magic });
        }
        let version = cursor.u32("format version")?;
        let stored = cursor.u32("header checksum")?;
        let header = Cursor::new(bytes).bytes(sidecar::BYTES, "index header")?;
        let computed = header_checksum(header, sidecar::CHECKSUM);
        if stored != computed {
            return Err(SidecarError::Checksum { section: "header", stored, computed });
        }
        if version != sidecar::FORMAT_VERSION {
            return Err(SidecarError::FormatVersion { found: version });
        }
        let segment = SealedSegment {
            log_id: LogId::from_bytes(cursor.array("log id")?),
            sequence: SegmentSeq::new(cursor.u64("sequence")?),
            base_position: Position::new(cursor.u64("base position")?),
            end_position: Position::new(cursor.u64("end position")?),
            seal_end: ByteOffset::new(cursor.u64("seal's end")?),
            seal_checksum: cursor.u32("seal's checksum")?,
        };
        let checkpoint_count = cursor.u32("checkpoint count")?;
        let batch_count = cursor.u64("batch count")?;
        let stream_count = cursor.u64("stream count")?;
        let tag_count = cursor.u64("tag count")?;
        let type_count = cursor.u64("type count")?;
        let (mut ends, mut checksums) = ([0; SECTION_COUNT], [0; SECTION_COUNT]);
        for (end, checksum) in ends.iter_mut().zip(&mut checksums) {
            (*end, *checksum) = (cursor.u64("section's end")?, cursor.u32("section's checksum")?);
            zero(cursor.u32("reserved bytes")?)?;
        }
        let header = Self {
            segment,
            batch_count,
            stream_count,
            tag_count,
            type_count,
            checkpoint_count,
            ends,
            checksums,
        };
        header.check()?;
        Ok(header)
    }

    /// The header's bytes.
    ///
    /// # Panics
    /// On fields that would not decode.
    pub(super) fn encode(&self) -> [u8; sidecar::BYTES] {
        assert_eq!(self.check(), Ok(()), "a header that would not decode");
        let mut bytes = [0; sidecar::BYTES];
        let mut put = |at: usize, field: &[u8]| {
            if let Some(place) = bytes.get_mut(at..at + field.len()) {
                place.copy_from_slice(field);
            }
        };
        let segment = &self.segment;
        put(sidecar::MAGIC, &sidecar::MAGIC_VALUE);
        put(sidecar::FORMAT_VERSION_AT, &sidecar::FORMAT_VERSION.to_le_bytes());
        put(sidecar::LOG_ID, segment.log_id.as_bytes());
        put(sidecar::SEQUENCE, &segment.sequence.as_u64().to_le_bytes());
        put(sidecar::BASE_POSITION, &segment.base_position.as_u64().to_le_bytes());
        put(sidecar::END_POSITION, &segment.end_position.as_u64().to_le_bytes());
        put(sidecar::SEAL_END, &segment.seal_end.as_u64().to_le_bytes());
        put(sidecar::SEAL_CHECKSUM, &segment.seal_checksum.to_le_bytes());
        put(sidecar::CHECKPOINT_COUNT, &self.checkpoint_count.to_le_bytes());
        put(sidecar::BATCH_COUNT, &self.batch_count.to_le_bytes());
        put(sidecar::STREAM_COUNT, &self.stream_count.to_le_bytes());
        put(sidecar::TAG_COUNT, &self.tag_count.to_le_bytes());
        put(sidecar::TYPE_COUNT, &self.type_count.to_le_bytes());
        for (index, (end, checksum)) in self.ends.iter().zip(&self.checksums).enumerate() {
            let at = sidecar::SECTIONS + index * section::BYTES;
            put(at + section::END, &end.to_le_bytes());
            put(at + section::CHECKSUM, &checksum.to_le_bytes());
        }
        let sum = header_checksum(&bytes, sidecar::CHECKSUM);
        if let Some(place) = bytes.get_mut(sidecar::CHECKSUM..sidecar::CHECKSUM + 4) {
            place.copy_from_slice(&sum.to_le_bytes());
        }
        bytes
    }

    /// Whether this is the index of `expected`, in the state that it is in.
    pub fn check_segment(&self, expected: &SealedSegment) -> Result<(), SidecarError> {
        check_segment(&self.segment, expected)?;
        same("base position", expected.base_position, self.segment.base_position)
    }

    /// The file's length.
    #[must_use]
    pub fn file_bytes(&self) -> u64 {
        let last = self.ends.last().copied().unwrap_or_default();
        last.next_multiple_of(layout::ALIGNMENT as u64)
    }

    /// Where a section stands in the file.
    #[must_use]
    pub fn range(&self, section: Section) -> Range<u64> {
        let end = |index: usize| self.ends.get(index).copied().unwrap_or_default();
        let index = section as usize;
        let before = index.checked_sub(1).map_or(sidecar::BYTES as u64, end);
        // The check has made sure that there is a next multiple, and that it is not above the end.
        before.next_multiple_of(layout::ALIGNMENT as u64)..end(index)
    }

    /// Verifies a section's bytes.
    pub fn verify(&self, section: Section, bytes: &[u8]) -> Result<(), SidecarError> {
        let stored = self.checksums.get(section as usize).copied().unwrap_or_default();
        let computed = crc32c_append(0, bytes);
        if stored != computed {
            return Err(SidecarError::Checksum { section: section.name(), stored, computed });
        }
        Ok(())
    }

    /// The rules between fields, for encoding and decoding alike.
    fn check(&self) -> Result<(), SidecarError> {
        let field = |field, found| Err(SidecarError::Field { field, found });
        let segment = &self.segment;
        let Some(events) =
            segment.end_position.as_u64().checked_sub(segment.base_position.as_u64())
        else {
            return field("end position", segment.end_position.as_u64());
        };
        if self.batch_count > events || (self.batch_count == 0) != (events == 0) {
            return field("batch count", self.batch_count);
        }
        for (name, count) in [("stream count", self.stream_count), ("type count", self.type_count)]
        {
            if count > events || (count == 0) != (events == 0) {
                return field(name, count);
            }
        }
        let mut before = sidecar::BYTES as u64;
        for end in self.ends {
            let start = before.next_multiple_of(layout::ALIGNMENT as u64);
            if end < start || end > MOST_BYTES {
                return field("section's end", end);
            }
            before = end;
        }
        let tables = [
            (Section::StreamTable, self.stream_count),
            (Section::TagTable, self.tag_count),
            (Section::TypeTable, self.type_count),
        ];
        for (section, count) in tables {
            let range = self.range(section);
            if count.checked_mul(entry::BYTES as u64) != Some(range.end - range.start) {
                return field("table length", range.end - range.start);
            }
        }
        let range = self.range(Section::Checkpoints);
        // Each has a name of a byte, and three lengths and numbers in front of and behind it.
        if u64::from(self.checkpoint_count).saturating_mul(4) > range.end - range.start {
            return field("checkpoint count", u64::from(self.checkpoint_count));
        }
        let names = self.stream_count.saturating_add(self.tag_count);
        let range = self.range(Section::Filter);
        if filter::bytes_for(names) != range.end - range.start {
            return field("filter length", range.end - range.start);
        }
        Ok(())
    }
}

/// No sidecar is longer: sums of lengths do not overflow.
const MOST_BYTES: u64 = 1 << 60;

/// Compares what all derived files are bound to.
pub(super) fn check_segment(
    found: &SealedSegment,
    expected: &SealedSegment,
) -> Result<(), SidecarError> {
    if found.log_id != expected.log_id {
        let (expected, found) = (expected.log_id, found.log_id);
        return Err(SidecarError::ForeignLog { expected, found });
    }
    same("sequence", expected.sequence, found.sequence)?;
    same("end position", expected.end_position, found.end_position)?;
    same("seal's end", expected.seal_end, found.seal_end)?;
    same("seal's checksum", u64::from(expected.seal_checksum), u64::from(found.seal_checksum))
}

fn same<T: Into<u64>>(field: &'static str, expected: T, found: T) -> Result<(), SidecarError> {
    let (expected, found) = (expected.into(), found.into());
    if expected == found { Ok(()) } else { Err(SidecarError::Stale { field, expected, found }) }
}

fn zero(found: u32) -> Result<(), SidecarError> {
    match found {
        0 => Ok(()),
        found => Err(SidecarError::Field { field: "reserved bytes", found: u64::from(found) }),
    }
}

/// CRC32C over a header with its own four bytes, which stand at `at`, as zero.
pub(super) fn header_checksum(header: &[u8], at: usize) -> u32 {
    let (before, from) = header.split_at_checked(at).unwrap_or((header, &[]));
    let state = crc32c_append(crc32c_append(0, before), &[0; 4]);
    crc32c_append(state, from.get(4..).unwrap_or(&[]))
}

/// How many zero bytes stand behind a section of so many bytes.
pub(super) const fn padding(length: usize) -> usize {
    aligned(length) - length
}
