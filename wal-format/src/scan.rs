//! Walking the frames of a segment, and searching what stands behind a bad one.
//!
//! Owns: [`Chain`] (what the next frame must continue), [`Step`], [`find_evidence`],
//! [`find_header`]. May call: body, checksum, frame, ids, layout, segment. Decides nothing: whether a
//! bad frame is a torn tail or damage is for whoever recovers.

use crate::body::Body;
use crate::checksum::Salt;
use crate::frame::{ControlFields, ControlKind, Frame, FrameError, FrameHeader, control_frame};
use crate::ids::{ByteOffset, CommitTime, Position};
use crate::layout::{self, header, segment};
use crate::segment::{Predecessor, SegmentHeader};

/// The state of the log at the end of a frame: what the next one must continue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Chain {
    /// The position of the next event.
    pub position: Position,
    /// The commit checksum of the last frame, or the checksum of the segment's header.
    pub previous: u32,
    /// The last frame's time; the next one's is not below it.
    pub time: CommitTime,
    /// The highest synced position read so far.
    pub synced_position: Position,
}

impl Chain {
    /// The state at the start of a segment. A log's first batch may be older than the log: history
    /// that is imported keeps its times.
    #[must_use]
    pub fn at_start_of(header: &SegmentHeader) -> Self {
        Self {
            position: header.base_position,
            previous: header.checksum(),
            time: if header.predecessor.is_some() { header.created_at } else { CommitTime::ZERO },
            synced_position: header.synced_position,
        }
    }

    /// The state behind `frame`, if the frame continues this one. Nothing continues a seal within
    /// its segment: whoever walks stops there, and goes on with [`Chain::leads_to`].
    pub fn follow(&self, frame: &Frame<'_>) -> Result<Self, FrameError> {
        let header = &frame.header;
        if header.previous != self.previous {
            return Err(FrameError::Previous { expected: self.previous, found: header.previous });
        }
        if header.first_position != self.position {
            return Err(FrameError::Position {
                expected: self.position,
                found: header.first_position,
            });
        }
        let backwards = |field, before, found| Err(FrameError::Backwards { field, before, found });
        if header.commit_time < self.time {
            let (before, found) = (self.time.as_u64(), header.commit_time.as_u64());
            return backwards("commit time", before, found);
        }
        if header.synced_position < self.synced_position {
            let (before, found) = (self.synced_position.as_u64(), header.synced_position.as_u64());
            return backwards("synced position", before, found);
        }
        Ok(Self {
            position: header.end_position(),
            previous: frame.commit_checksum(),
            time: header.commit_time,
            synced_position: header.synced_position,
        })
    }

    /// What stands at `offset` of a segment: a frame that verifies wholly and continues this state,
    /// nothing yet, or something else. `bytes` is the segment from that offset to its end.
    #[must_use]
    pub fn step<'a>(&self, bytes: &'a [u8], salt: Salt, offset: ByteOffset) -> Step<'a> {
        match self.try_step(bytes, salt, offset) {
            Ok(Some((frame, chain))) => Step::Frame { frame, chain },
            Ok(None) => Step::NeverWritten,
            Err(error) => Step::Bad(error),
        }
    }

    fn try_step<'a>(
        &self,
        bytes: &'a [u8],
        salt: Salt,
        offset: ByteOffset,
    ) -> Result<Option<(Frame<'a>, Self)>, FrameError> {
        let Some(frame) = Frame::decode(bytes, salt, offset)? else { return Ok(None) };
        let chain = self.follow(&frame)?;
        Body::decode(&frame)?.check()?;
        Ok(Some((frame, chain)))
    }

    /// Whether `next` heads the segment behind the one whose seal left this state and ended at
    /// `end`. Log id and sequence number are for the caller to compare.
    #[must_use]
    pub fn leads_to(&self, next: &SegmentHeader, end: ByteOffset) -> bool {
        next.predecessor == Some(Predecessor { end, checksum: self.previous })
            && next.base_position == self.position
            && next.created_at == self.time
            && next.synced_position == self.synced_position
    }

    /// The seal that the header of the next segment says stands at `offset`, if such a seal would
    /// continue this state. Its commit checksum is the one that the header names: then nothing is
    /// missing in front of it. Whether it fits into this segment is for the caller to look at.
    #[must_use]
    pub fn seal_named_by(
        &self,
        next: &SegmentHeader,
        salt: Salt,
        offset: ByteOffset,
    ) -> Option<[u8; layout::CONTROL_FRAME_BYTES]> {
        let Predecessor { end, checksum } = next.predecessor?;
        let continues = end == offset.plus(layout::CONTROL_FRAME_BYTES as u64)
            && next.base_position == self.position
            && next.created_at >= self.time
            && next.synced_position >= self.synced_position
            && next.synced_position <= self.position;
        if !continues {
            return None;
        }
        let fields = ControlFields {
            position: self.position,
            time: next.created_at,
            synced_position: next.synced_position,
            settled: false,
            previous: self.previous,
        };
        let (bytes, found) = control_frame(ControlKind::Seal, fields, salt, offset);
        (found == checksum).then_some(bytes)
    }
}

/// What stands at an offset.
#[derive(Debug, Clone, Copy)]
pub enum Step<'a> {
    /// A frame that verifies and continues the log.
    Frame {
        /// The frame.
        frame: Frame<'a>,
        /// The state behind it.
        chain: Chain,
    },
    /// Length 0 and kind 0. Not yet the end of the log: a lost page reads the same, so what stands
    /// behind it decides, as behind a bad frame.
    NeverWritten,
    /// Anything else.
    Bad(FrameError),
}

/// What the frame headers say that verify at a bad frame or somewhere behind it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Evidence {
    /// Where the one with the highest synced position stands.
    pub offset: ByteOffset,
    /// That: all below was durable when it was written.
    pub synced_position: Position,
    /// Where the last one stands that is settled: all in front of it was durable when it was
    /// written. It says nothing of what stands in its own place.
    pub settled_at: Option<ByteOffset>,
}

/// Searches `bytes`, a segment's contents from `from` on, for frame headers that verify at their
/// place, and gives the highest synced position and the last settled frame.
///
/// A header stands under a checksum of its own, so it is evidence whatever became of its body.
/// Reads every multiple of 8 once; the checksum is computed only where the first eight bytes could
/// begin a header.
#[must_use]
pub fn find_evidence(bytes: &[u8], salt: Salt, from: ByteOffset) -> Option<Evidence> {
    let mut best: Option<Evidence> = None;
    let (mut rest, mut from) = (bytes, from);
    while let Some((offset, found)) = find_header(rest, salt, from) {
        let before = best.and_then(|best| best.settled_at);
        let settled_at = if found.settled { Some(offset) } else { before };
        let synced_position = found.synced_position;
        let highest = best.filter(|best| best.synced_position >= synced_position);
        best = Some(match highest {
            Some(highest) => Evidence { settled_at, ..highest },
            None => Evidence { offset, synced_position, settled_at },
        });
        let behind = offset.plus(layout::ALIGNMENT as u64);
        let passed = usize::try_from(behind.as_u64() - from.as_u64()).unwrap_or(usize::MAX);
        rest = rest.get(passed..).unwrap_or(&[]);
        from = behind;
    }
    best
}

/// The first frame header in `bytes`, a segment's contents from `from` on, that verifies at its
/// place, and where it stands. Looks where [`find_evidence`] does, and as cheaply.
#[must_use]
pub fn find_header(
    bytes: &[u8],
    salt: Salt,
    from: ByteOffset,
) -> Option<(ByteOffset, FrameHeader)> {
    let start = from.as_u64().checked_next_multiple_of(layout::ALIGNMENT as u64)?;
    let start = start.max(segment::BYTES as u64);
    let skipped = usize::try_from(start - from.as_u64()).ok()?;
    let mut rest = bytes.get(skipped..)?;
    let mut offset = ByteOffset::new(start);
    while rest.len() >= header::BYTES {
        if could_begin_header(rest)
            && let Ok(Some(found)) = FrameHeader::decode(rest, salt, offset)
        {
            return Some((offset, found));
        }
        rest = rest.get(layout::ALIGNMENT..)?;
        offset = offset.plus(layout::ALIGNMENT as u64);
    }
    None
}

/// A cheap look at the first eight bytes: length, kind and flags.
fn could_begin_header(bytes: &[u8]) -> bool {
    let Some(word) = bytes.first_chunk().map(|word| u64::from_le_bytes(*word)) else {
        return false;
    };
    let length = word & 0xffff_ffff;
    let (kind, flags) = ((word >> 32) & 0xff, (word >> 40) & 0xff);
    let is_frame = (1..=5).contains(&kind) && flags & !u64::from(header::FLAG_SETTLED) == 0;
    is_frame && length != 0 && length.is_multiple_of(8)
}
