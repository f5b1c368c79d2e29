//! The base of a log whose first segments have been dropped: what must outlive them.
//!
//! Owns: [`LogBase`], read in place. May call: checkpoint, cursor, ids, layout. FORMAT.md, section 15.
//!
//! Laid out as the checkpoint of the streams is, but nothing is derived here: once the segments are gone,
//! no other file says what it says. So all of it is verified before any of it is believed, and each event
//! that is gone must be accounted for by the version of some stream.

use super::checkpoint::{CheckpointStreams, Kind, StreamCheckpoint};
use super::projections::SetCheckpoints;
use super::{CheckpointHeader, SidecarError};
use crate::cursor::Cursor;
use crate::ids::{ByteOffset, CommitTime, LogId, Position, SegmentSeq};
use crate::layout::{ALIGNMENT, CONTROL_FRAME_BYTES, base, segment};
use crate::scan::Chain;

/// A base.
pub(super) const BASE: Kind =
    Kind { magic: base::MAGIC_VALUE, version: base::FORMAT_VERSION, header_bytes: base::BYTES };

/// The base of a log, borrowed from its file's bytes.
#[derive(Debug, Clone, Copy)]
pub struct LogBase<'a> {
    table: StreamCheckpoint<'a>,
    time: CommitTime,
    synced_position: Position,
}

impl<'a> LogBase<'a> {
    /// Verifies every byte of a file. Which log and segment it belongs to is for the caller to compare.
    pub fn decode(bytes: &'a [u8]) -> Result<Self, SidecarError> {
        let table = StreamCheckpoint::decode_as(bytes, BASE)?;
        let mut more = Cursor::new(bytes.get(base::SEAL_TIME..).unwrap_or(&[]));
        let time = CommitTime::new(more.u64("seal's time")?);
        let synced_position = Position::new(more.u64("synced position")?);
        let found = Self { table, time, synced_position };
        found.check()?;
        Ok(found)
    }

    /// The length that a base of which these are the first bytes says that it has, its header's checksum
    /// being right.
    #[must_use]
    pub fn length_said(start: &[u8]) -> Option<u64> {
        CheckpointHeader::decode_as(start, BASE).ok().map(|header| header.file_bytes)
    }

    fn check(&self) -> Result<(), SidecarError> {
        let segment = &self.table.header().segment;
        let field = |field, found| Err(SidecarError::Field { field, found });
        if segment.sequence.as_u64() == u64::MAX {
            return field("sequence", u64::MAX);
        }
        let end = segment.seal_end.as_u64();
        let least = (segment::BYTES + CONTROL_FRAME_BYTES) as u64;
        if !(least..=segment::CAPACITY_MAX).contains(&end) || !end.is_multiple_of(ALIGNMENT as u64)
        {
            return field("seal's end", end);
        }
        if self.synced_position > segment.end_position {
            return field("synced position", self.synced_position.as_u64());
        }
        // A stream at version v has v + 1 events, and every event belongs to one.
        let mut events = 0_u64;
        for stream in self.streams() {
            events = events.saturating_add(stream?.version.as_u64()).saturating_add(1);
        }
        match events == segment.end_position.as_u64() {
            true => Ok(()),
            false => field("events of all streams", events),
        }
    }

    /// The log.
    #[must_use]
    pub const fn log_id(&self) -> LogId {
        self.table.header().segment.log_id
    }

    /// The first segment that is kept.
    #[must_use]
    pub const fn first_segment(&self) -> SegmentSeq {
        self.table.header().segment.sequence.plus(1)
    }

    /// Where the last dropped segment ended, behind its seal.
    #[must_use]
    pub const fn seal_end(&self) -> ByteOffset {
        self.table.header().segment.seal_end
    }

    /// The state of the log there, which the first kept segment must follow.
    #[must_use]
    pub const fn chain(&self) -> Chain {
        let segment = &self.table.header().segment;
        Chain {
            position: segment.end_position,
            previous: segment.seal_checksum,
            time: self.time,
            synced_position: self.synced_position,
        }
    }

    /// Its header, as far as it is one of a checkpoint.
    #[must_use]
    pub const fn header(&self) -> &CheckpointHeader {
        self.table.header()
    }

    /// As a table that later segments are merged with.
    #[must_use]
    pub const fn table(&self) -> &StreamCheckpoint<'a> {
        &self.table
    }

    /// Every stream that has had an event, those included of which all are gone.
    #[must_use]
    pub const fn streams(&self) -> CheckpointStreams<'a> {
        self.table.streams()
    }

    /// The named checkpoints, in the order of their names.
    #[must_use]
    pub fn checkpoints(&self) -> SetCheckpoints<'a> {
        self.table.checkpoints()
    }
}
