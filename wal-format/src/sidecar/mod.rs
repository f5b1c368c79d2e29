//! The index of a sealed segment, in a file beside it; the checkpoint of the streams; and the base of a
//! log whose first segments have been dropped.
//!
//! Owns: [`Sidecar`] (read in place), [`SidecarBuilder`], [`StreamCheckpoint`] and its builder,
//! [`LogBase`], and [`SidecarError`]. May call: body, checksum, cursor, frame, ids, layout, scan.
//! FORMAT.md, sections 13 to 15, is the normative description.
//!
//! The first two are derived from the segments and may be missing: whoever finds one wrong makes it
//! again. A base is not, and is kept twice. All are bound to a seal by its commit checksum, which covers the whole segment's chain.
//!
//! Promises, as the rest of this crate makes them: decoding any bytes never panics, never loops, and
//! allocates nothing. A section is not looked at before it is asked for, so that a mapped file costs
//! what is read of it.

mod base;
mod build;
mod checkpoint;
mod filter;
mod frames;
mod hash;
mod header;
mod names;
mod positions;
mod projections;
mod read;
mod varint;

pub use base::LogBase;
pub use build::SidecarBuilder;
pub use checkpoint::{
    CheckpointBuilder, CheckpointHeader, CheckpointStreams, StreamCheckpoint, StreamState,
};
pub use frames::FramePlace;
pub use hash::{NameHash, NameHasher};
pub use header::{Section, SidecarHeader};
pub use names::{NamedPositions, StreamPositions};
pub use positions::{Positions, PositionsIter};
pub use projections::{SetCheckpoint, SetCheckpoints};
pub use read::Sidecar;

use crate::body::BodyError;
use crate::cursor::Truncated;
use crate::ids::{ByteOffset, LogId, Position, SegmentSeq};

/// The sealed segment that a derived file is bound to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SealedSegment {
    /// The log.
    pub log_id: LogId,
    /// The segment's sequence number.
    pub sequence: SegmentSeq,
    /// The position of its first event.
    pub base_position: Position,
    /// The position behind its last event.
    pub end_position: Position,
    /// The offset behind its seal.
    pub seal_end: ByteOffset,
    /// The commit checksum of its seal.
    pub seal_checksum: u32,
}

/// Why a derived file, or something in it, is not what it should be. It is to be made again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SidecarError {
    /// The bytes end before a field does.
    #[error(transparent)]
    Truncated(#[from] Truncated),
    /// The magic is another one.
    #[error("not an index: the first eight bytes are {found:02x?}")]
    Magic {
        /// What stands there.
        found: [u8; 8],
    },
    /// A version that this release does not know.
    #[error("index format version {found} is not known to this release")]
    FormatVersion {
        /// The version found.
        found: u32,
    },
    /// The checksum of the header or of a section does not match.
    #[error("checksum of the {section} is {stored:08x}, computed {computed:08x}")]
    Checksum {
        /// Of what.
        section: &'static str,
        /// What stands there.
        stored: u32,
        /// What the bytes give.
        computed: u32,
    },
    /// It belongs to another segment, or to another state of this one.
    #[error("index of another segment: {field} is {found}, expected {expected}")]
    Stale {
        /// What differs.
        field: &'static str,
        /// What the segment has.
        expected: u64,
        /// What the file has.
        found: u64,
    },
    /// It belongs to another log.
    #[error("index of another log: {found}, expected {expected}")]
    ForeignLog {
        /// The log asked for.
        expected: LogId,
        /// The log that the file belongs to.
        found: LogId,
    },
    /// The checksum is right and a field is not: written by a faulty writer.
    #[error("{field} is out of range: {found}")]
    Field {
        /// Which field.
        field: &'static str,
        /// Its value.
        found: u64,
    },
    /// A name is not UTF-8.
    #[error("{field} is not UTF-8")]
    Utf8 {
        /// Which field.
        field: &'static str,
    },
    /// A frame that is to be indexed has a body that is none.
    #[error(transparent)]
    Body(#[from] BodyError),
}
