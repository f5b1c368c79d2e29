//! The segment header: who this segment is, where it begins, and what came before it.
//!
//! Owns: [`SegmentHeader`], encoded and decoded. May call: checksum, cursor, ids, layout.
//!
//! An all-zero block means "prepared, unused". Every other block is either a valid header or an
//! error that says which rule it breaks, so that a caller can tell a foreign file from a newer
//! format, and both from damage.

use crate::checksum::crc32c_append;
use crate::cursor::{Cursor, Truncated};
use crate::ids::{ByteOffset, CommitTime, LogId, Position, SegmentSeq};
use crate::layout::{self, FORMAT_VERSION, segment};

/// The header of an activated segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SegmentHeader {
    /// Which log the segment belongs to.
    pub log_id: LogId,
    /// Its place among the log's segments.
    pub sequence: SegmentSeq,
    /// The file's length in bytes.
    pub capacity: u64,
    /// The position of the first event in this segment.
    pub base_position: Position,
    /// When it became active; the commit time of the predecessor's seal too.
    pub created_at: CommitTime,
    /// All below was durable when this was written; the predecessor's seal says the same.
    pub synced_position: Position,
    /// The seal of the segment before; none in the first segment.
    pub predecessor: Option<Predecessor>,
    /// Optional feature flags. Unknown ones are kept and ignored.
    pub optional_features: u64,
}

/// Where the segment before ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Predecessor {
    /// The offset behind its seal.
    pub end: ByteOffset,
    /// The commit checksum of its seal.
    pub checksum: u32,
}

/// Why a block is not a segment header that this version may use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SegmentHeaderError {
    /// The block is shorter than a header.
    #[error(transparent)]
    Truncated(#[from] Truncated),
    /// The magic is another one: half written, decayed, or this is no segment.
    #[error("not a segment: the first eight bytes are {found:02x?}")]
    Magic {
        /// What stands there.
        found: [u8; 8],
    },
    /// The checksum does not match: half written, or damaged.
    #[error("header checksum is {stored:08x}, computed {computed:08x}")]
    Checksum {
        /// What stands there.
        stored: u32,
        /// What the block gives.
        computed: u32,
    },
    /// A format version that this release does not know.
    #[error("format version {found}, this release knows {FORMAT_VERSION}")]
    FormatVersion {
        /// The version found.
        found: u32,
    },
    /// Required feature flags that this release does not know.
    #[error("required feature flags {unknown:#x} are not known to this release")]
    RequiredFeatures {
        /// The unknown ones.
        unknown: u64,
    },
    /// The checksum is right and a field is not: written by a faulty writer.
    #[error("{field} is out of range: {found}")]
    Field {
        /// Which field.
        field: &'static str,
        /// Its value.
        found: u64,
    },
}

impl SegmentHeader {
    /// The header as a block.
    ///
    /// # Panics
    /// On fields that would not decode: a header that nobody can read must not reach the disk.
    #[must_use]
    pub fn encode(&self) -> [u8; segment::BYTES] {
        assert_eq!(self.check(), Ok(()), "a header that would not decode");
        let (end, checksum) = match self.predecessor {
            Some(before) => (before.end.as_u64(), before.checksum),
            None => (0, 0),
        };
        let mut block = [0; segment::BYTES];
        put(&mut block, segment::MAGIC, &segment::MAGIC_VALUE);
        put(&mut block, segment::FORMAT_VERSION, &FORMAT_VERSION.to_le_bytes());
        put(&mut block, segment::OPTIONAL_FEATURES, &self.optional_features.to_le_bytes());
        put(&mut block, segment::LOG_ID, self.log_id.as_bytes());
        put(&mut block, segment::SEQUENCE, &self.sequence.as_u64().to_le_bytes());
        put(&mut block, segment::CAPACITY, &self.capacity.to_le_bytes());
        put(&mut block, segment::BASE_POSITION, &self.base_position.as_u64().to_le_bytes());
        put(&mut block, segment::CREATED_AT, &self.created_at.as_u64().to_le_bytes());
        put(&mut block, segment::PREDECESSOR_END, &end.to_le_bytes());
        put(&mut block, segment::SYNCED_POSITION, &self.synced_position.as_u64().to_le_bytes());
        put(&mut block, segment::PREDECESSOR_CHECKSUM, &checksum.to_le_bytes());
        let sum = block_checksum(&block);
        put(&mut block, segment::CHECKSUM, &sum.to_le_bytes());
        block
    }

    /// Reads the first block of a segment file. `Ok(None)`: all zero, prepared and unused.
    ///
    /// ```
    /// use quipu_format::SegmentHeader;
    /// assert_eq!(SegmentHeader::decode(&[0; 4096]), Ok(None));
    /// assert!(SegmentHeader::decode(b"PK\x03\x04 a zip archive, not a segment").is_err());
    /// ```
    pub fn decode(block: &[u8]) -> Result<Option<Self>, SegmentHeaderError> {
        let mut cursor = Cursor::new(block);
        let magic: [u8; 8] = cursor.array("magic")?;
        if magic != segment::MAGIC_VALUE && magic != [0; 8] {
            return Err(SegmentHeaderError::Magic { found: magic });
        }
        let block = Cursor::new(block).bytes(segment::BYTES, "segment header")?;
        if block.iter().all(|byte| *byte == 0) {
            return Ok(None);
        }
        let version = cursor.u32("format version")?;
        let stored = cursor.u32("header checksum")?;
        let computed = block_checksum(block);
        if magic != segment::MAGIC_VALUE || stored != computed {
            return Err(SegmentHeaderError::Checksum { stored, computed });
        }
        if version != FORMAT_VERSION {
            return Err(SegmentHeaderError::FormatVersion { found: version });
        }
        let required = cursor.u64("required features")?;
        if required != 0 {
            return Err(SegmentHeaderError::RequiredFeatures { unknown: required });
        }
        let optional_features = cursor.u64("optional features")?;
        let log_id = LogId::from_bytes(cursor.array("log id")?);
        let sequence = SegmentSeq::new(cursor.u64("sequence")?);
        let capacity = cursor.u64("capacity")?;
        let base_position = Position::new(cursor.u64("base position")?);
        let created_at = CommitTime::new(cursor.u64("creation time")?);
        let end = ByteOffset::new(cursor.u64("predecessor's end")?);
        let synced_position = Position::new(cursor.u64("synced position")?);
        let checksum = cursor.u32("predecessor's checksum")?;
        let predecessor = (end != ByteOffset::ZERO).then_some(Predecessor { end, checksum });
        let header = Self {
            log_id,
            sequence,
            capacity,
            base_position,
            created_at,
            synced_position,
            predecessor,
            optional_features,
        };
        header.check()?;
        if predecessor.is_none() && checksum != 0 {
            return Err(SegmentHeaderError::Field {
                field: "predecessor's checksum",
                found: u64::from(checksum),
            });
        }
        let reserved = cursor.bytes(segment::BYTES - segment::FIELDS_END, "reserved bytes")?;
        if let Some(byte) = reserved.iter().find(|byte| **byte != 0) {
            let found = u64::from(*byte);
            return Err(SegmentHeaderError::Field { field: "reserved bytes", found });
        }
        Ok(Some(header))
    }

    /// The checksum that the first frame of this segment names as its predecessor's: the header's
    /// own, as [`SegmentHeader::encode`] stores it.
    #[must_use]
    pub fn checksum(&self) -> u32 {
        block_checksum(&self.encode())
    }

    /// The rules between fields, for encoding and decoding alike.
    fn check(&self) -> Result<(), SegmentHeaderError> {
        let field = |field, found| Err(SegmentHeaderError::Field { field, found });
        let capacities = segment::CAPACITY_MIN..=segment::CAPACITY_MAX;
        if !capacities.contains(&self.capacity)
            || !self.capacity.is_multiple_of(segment::CAPACITY_STEP)
        {
            return field("capacity", self.capacity);
        }
        if self.synced_position > self.base_position {
            return field("synced position", self.synced_position.as_u64());
        }
        let first = self.sequence == SegmentSeq::ZERO;
        match self.predecessor {
            None if !first => field("predecessor's end", 0),
            Some(before) if first || !is_frame_boundary(before.end) => {
                field("predecessor's end", before.end.as_u64())
            }
            _ if first && self.base_position != Position::ZERO => {
                field("base position", self.base_position.as_u64())
            }
            _ => Ok(()),
        }
    }
}

/// Whether a seal can end at `offset`: aligned, behind a header and one control frame, and within
/// the largest segment.
fn is_frame_boundary(offset: ByteOffset) -> bool {
    let least = (segment::BYTES + layout::CONTROL_FRAME_BYTES) as u64;
    (least..=segment::CAPACITY_MAX).contains(&offset.as_u64())
        && offset.as_u64().is_multiple_of(layout::ALIGNMENT as u64)
}

/// CRC32C over the block with the checksum's own four bytes as zero.
fn block_checksum(block: &[u8]) -> u32 {
    let (before, from) = block.split_at_checked(segment::CHECKSUM).unwrap_or((block, &[]));
    let after = from.get(4..).unwrap_or(&[]);
    let state = crc32c_append(crc32c_append(0, before), &[0; 4]);
    crc32c_append(state, after)
}

/// Copies `bytes` to the offset `at` of `block`; both are constants of [`layout::segment`].
fn put(block: &mut [u8; segment::BYTES], at: usize, bytes: &[u8]) {
    if let Some(place) = block.get_mut(at..at + bytes.len()) {
        place.copy_from_slice(bytes);
    }
}
