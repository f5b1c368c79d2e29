//! Finding and walking the batches of a snapshot.
//!
//! Owns: [`BatchCursor`] (in order, forward or backward) and [`find_batch`] (by position). May
//! call: segment, the format. A frame that does not verify ends the walk with an error.

use std::ops::Range;
use std::sync::Arc;

use quipu_format::{ByteOffset, FrameError, FrameHeader, FrameKind, Position};

use super::snapshot::Snapshot;
use crate::error::ReadError;
use crate::segment::reader::Segment;
use crate::segment::set;

/// Where a batch stands.
#[derive(Debug, Clone)]
pub(crate) struct BatchPlace {
    pub(crate) segment: Arc<Segment>,
    pub(crate) offset: ByteOffset,
    pub(crate) header: FrameHeader,
}

impl BatchPlace {
    pub(crate) fn holds(&self, position: Position) -> bool {
        self.header.first_position <= position && position < self.header.end_position()
    }

    pub(crate) fn end(&self) -> ByteOffset {
        self.offset.plus(u64::from(self.header.frame_bytes))
    }

    pub(crate) fn damaged(&self, fault: FrameError) -> ReadError {
        self.segment.damaged(self.offset, self.header.first_position, fault)
    }
}

/// Finds the batch that holds `position`, which is below the snapshot's end. `near`, if given, is
/// a batch met before: the walk starts there if that is closer.
pub(crate) fn find_batch(
    snapshot: &Snapshot,
    position: Position,
    near: Option<&BatchPlace>,
) -> Result<BatchPlace, ReadError> {
    let segments = &snapshot.segments;
    let holding = set::holding(segments, position).and_then(|place| segments.get(place));
    let Some(segment) = holding else {
        let fault = FrameError::Field { field: "first position", found: position.as_u64() };
        return Err(ReadError::Damaged { file: String::new(), offset: 0, position, fault });
    };
    let mut offset = segment.landmarks().before(position);
    if let Some(near) = near
        && Arc::ptr_eq(&near.segment, segment)
        && near.header.first_position <= position
    {
        offset = offset.max(near.offset);
    }
    loop {
        let damaged = |fault| segment.damaged(offset, position, fault);
        let header = segment.header_at(offset).map_err(damaged)?;
        let missing = FrameError::Field { field: "first position", found: position.as_u64() };
        let header = header.ok_or_else(|| damaged(missing))?;
        let place = BatchPlace { segment: Arc::clone(segment), offset, header };
        if header.kind == FrameKind::Batch && place.holds(position) {
            return Ok(place);
        }
        if header.first_position > position {
            return Err(damaged(missing));
        }
        offset = place.end();
    }
}

/// Walks the batches that hold positions of a range, forward or backward.
#[derive(Debug, Clone)]
pub(crate) struct BatchCursor {
    snapshot: Snapshot,
    range: Range<Position>,
    backward: bool,
    state: State,
}

#[derive(Debug, Clone)]
enum State {
    Start,
    /// The batch given last.
    At {
        segment: usize,
        offset: ByteOffset,
        length: u32,
    },
    Done,
}

impl BatchCursor {
    /// A walk over the batches with positions in `range`, as far as the snapshot goes.
    pub(crate) fn new(snapshot: Snapshot, range: Range<u64>, backward: bool) -> Self {
        let end = Position::new(range.end).min(snapshot.end);
        let range = Position::new(range.start)..end;
        Self { snapshot, range, backward, state: State::Start }
    }

    /// The positions that are walked.
    pub(crate) fn range(&self) -> &Range<Position> {
        &self.range
    }

    pub(crate) fn snapshot(&self) -> &Snapshot {
        &self.snapshot
    }

    /// The next batch. Ends after the first error.
    pub(crate) fn next(&mut self) -> Option<Result<BatchPlace, ReadError>> {
        let found = match self.state {
            State::Done => return None,
            _ if self.range.start >= self.range.end => Ok(None),
            State::Start => self.first().map(Some),
            State::At { segment, offset, .. } if self.backward => self.before(segment, offset),
            State::At { segment, offset, length } => {
                self.after(segment, offset.plus(u64::from(length)))
            }
        };
        if !matches!(found, Ok(Some(_))) {
            self.state = State::Done;
        }
        found.transpose()
    }

    /// Ends the walk.
    pub(crate) fn stop(&mut self) {
        self.state = State::Done;
    }

    fn first(&mut self) -> Result<BatchPlace, ReadError> {
        let position = match self.backward {
            true => self.range.end.before().unwrap_or_default(),
            false => self.range.start,
        };
        let place = find_batch(&self.snapshot, position, None)?;
        let segment = set::holding(&self.snapshot.segments, position).unwrap_or_default();
        self.give(segment, place)
    }

    fn after(
        &mut self,
        mut segment: usize,
        mut offset: ByteOffset,
    ) -> Result<Option<BatchPlace>, ReadError> {
        while let Some(at) = self.snapshot.segments.get(segment) {
            let at = Arc::clone(at);
            let position = self.range.end;
            let header =
                at.header_at(offset).map_err(|fault| at.damaged(offset, position, fault))?;
            let Some(header) = header else {
                (segment, offset) = (segment + 1, Segment::FIRST_FRAME);
                continue;
            };
            if header.first_position >= self.range.end {
                return Ok(None);
            }
            let place = BatchPlace { segment: at, offset, header };
            if header.kind == FrameKind::Batch {
                return self.give(segment, place).map(Some);
            }
            offset = place.end();
        }
        Ok(None)
    }

    fn before(
        &mut self,
        mut segment: usize,
        mut offset: ByteOffset,
    ) -> Result<Option<BatchPlace>, ReadError> {
        loop {
            let Some(at) = self.snapshot.segments.get(segment).map(Arc::clone) else {
                return Ok(None);
            };
            let damaged = |fault| at.damaged(offset, self.range.start, fault);
            let Some(start) = at.frame_before(offset).map_err(damaged)? else {
                let Some(earlier) = segment.checked_sub(1) else { return Ok(None) };
                segment = earlier;
                let written = self.snapshot.segments.get(segment);
                offset = ByteOffset::new(written.map_or(0, |at| at.region().written()));
                continue;
            };
            let missing = FrameError::Field { field: "trailer length", found: offset.as_u64() };
            let header = at.header_at(start).map_err(damaged)?.ok_or_else(|| damaged(missing))?;
            let place = BatchPlace { segment: Arc::clone(&at), offset: start, header };
            if place.end() != offset {
                return Err(damaged(missing));
            }
            if header.kind == FrameKind::Batch {
                if header.end_position() <= self.range.start {
                    return Ok(None);
                }
                return self.give(segment, place).map(Some);
            }
            offset = start;
        }
    }

    fn give(&mut self, segment: usize, place: BatchPlace) -> Result<BatchPlace, ReadError> {
        let (offset, length) = (place.offset, place.header.frame_bytes);
        self.state = State::At { segment, offset, length };
        Ok(place)
    }
}
