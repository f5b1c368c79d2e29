//! Finding and walking the batches of a snapshot.
//!
//! Owns: [`Found`] (a batch's frame, its header verified), [`BatchCursor`] (in order, forward or
//! backward), [`find_batch`] and [`locate`] (by position). May call: segment, the format. A frame
//! that does not verify ends the walk with an error.
//!
//! On the way to a position headers are taken at their word: what they lead to is verified, and
//! where they lead astray, the way is gone again with checksums, which find the one that is wrong.

use std::ops::Range;
use std::sync::Arc;

use quipu_format::sidecar::FramePlace;
use quipu_format::{ByteOffset, FrameError, FrameFront, FrameHeader, FrameKind, Position};

use super::snapshot::Snapshot;
use crate::error::ReadError;
use crate::segment::reader::Segment;
use crate::segment::set;

/// A batch's frame, of which the header has been verified.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Found<'a> {
    pub(crate) segment: &'a Arc<Segment>,
    pub(crate) offset: ByteOffset,
    front: FrameFront<'a>,
    /// What the segment's index has for it, where it has been asked already.
    indexed: Option<FramePlace>,
}

impl Found<'_> {
    #[inline]
    pub(crate) fn header(&self) -> &FrameHeader {
        self.front.header()
    }

    /// Verifies the rest of the frame; with `verify` false, its outline alone.
    #[inline]
    pub(crate) fn check(&self, verify: bool) -> Result<(), ReadError> {
        let checked = match verify {
            true => self.front.verify(),
            false => self.front.trust(),
        };
        let position = self.header().first_position;
        let damaged = |fault| self.segment.damaged(self.offset, position, fault);
        let frame = checked.map_err(damaged)?;
        match verify {
            // A frame that is whole may be one that stood here before, in a tail that was cut off.
            true => self.segment.check_sealed(&frame, self.offset, self.indexed),
            false => Ok(()),
        }
    }
}

/// Where a batch stands, by the word of the headers in front of it.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Place {
    segment: usize,
    /// `None`: they lead nowhere.
    offset: Option<ByteOffset>,
    /// What the segment's index has in front of the position, where it was asked for the way.
    indexed: Option<FramePlace>,
}

/// How many batches are looked for at once.
const LOCATED_MAX: usize = 8;

/// Where the batches stand that hold `positions`, of which at most [`LOCATED_MAX`] are looked for.
///
/// All at once: each step of each way waits for memory, and so they wait together.
pub(crate) fn locate(
    snapshot: &Snapshot,
    positions: impl Iterator<Item = Position>,
) -> impl Iterator<Item = (Position, Place)> {
    let mut ways = [(Position::ZERO, Place::default()); LOCATED_MAX];
    let mut under_way = 0;
    for (way, position) in ways.iter_mut().zip(positions) {
        let segment = set::holding(&snapshot.segments, position).unwrap_or_default();
        let start = snapshot.segments.get(segment).map(|at| {
            let start = at.before(position);
            at.touch(start.offset);
            start
        });
        let (offset, indexed) = (start.map(|at| at.offset), start.and_then(|at| at.indexed));
        *way = (position, Place { segment, offset, indexed });
        under_way += 1;
    }
    let wanted = under_way;
    let mut arrived = [false; LOCATED_MAX];
    while under_way > 0 {
        under_way = 0;
        for ((position, place), arrived) in ways.iter_mut().take(wanted).zip(&mut arrived) {
            if *arrived {
                continue;
            }
            let Place { segment, offset, .. } = place;
            let at = offset.zip(snapshot.segments.get(*segment));
            let glance = at.and_then(|(offset, segment)| segment.glance_at(offset));
            match glance.zip(*offset) {
                Some((glance, _)) if glance.holds(*position) => *arrived = true,
                Some((glance, at)) if glance.first_position <= *position => {
                    *offset = Some(at.plus(u64::from(glance.frame_bytes)));
                    under_way += 1;
                }
                _ => (*offset, *arrived) = (None, true),
            }
        }
    }
    ways.into_iter().take(wanted)
}

/// The batch at `place`, where it holds `position`; otherwise looks for it once more.
pub(crate) fn found_at<'a>(
    snapshot: &'a Snapshot,
    place: Place,
    position: Position,
) -> Result<Found<'a>, ReadError> {
    if let Some((offset, segment)) = place.offset.zip(snapshot.segments.get(place.segment))
        && let Ok(Some(front)) = segment.front_at(offset)
        && holds(front.header(), position)
    {
        return Ok(Found { segment, offset, front, indexed: place.indexed });
    }
    find_with_checksums(snapshot, position)
}

/// Finds the batch that holds `position`, which is below the snapshot's end.
pub(crate) fn find_batch(
    snapshot: &Snapshot,
    position: Position,
) -> Result<(usize, Found<'_>), ReadError> {
    let way = locate(snapshot, std::iter::once(position)).next();
    let place = way.map(|(_, place)| place).unwrap_or_default();
    found_at(snapshot, place, position).map(|found| (place.segment, found))
}

/// Finds it by verified headers alone, from the last landmark on, or the segment's start: not from
/// where its index says, which may have led here.
#[cold]
fn find_with_checksums(snapshot: &Snapshot, position: Position) -> Result<Found<'_>, ReadError> {
    let segments = &snapshot.segments;
    let missing = missing(position);
    let holding = set::holding(segments, position).and_then(|place| segments.get(place));
    let Some(segment) = holding else {
        return Err(ReadError::Damaged {
            file: String::new(),
            offset: 0,
            position,
            fault: missing,
        });
    };
    let mut offset = segment.landmarks().before(position);
    loop {
        let damaged = |fault| segment.damaged(offset, position, fault);
        let front = segment.front_at(offset).map_err(damaged)?.ok_or_else(|| damaged(missing))?;
        if holds(front.header(), position) {
            return Ok(Found { segment, offset, front, indexed: None });
        }
        if front.header().first_position > position {
            return Err(damaged(missing));
        }
        offset = offset.plus(u64::from(front.header().frame_bytes));
    }
}

fn holds(header: &FrameHeader, position: Position) -> bool {
    header.kind == FrameKind::Batch
        && header.first_position <= position
        && position < header.end_position()
}

/// Walks the batches that hold positions of a range, forward or backward.
#[derive(Debug, Clone)]
pub(crate) struct BatchCursor {
    snapshot: Snapshot,
    range: Range<Position>,
    backward: bool,
    state: State,
}

#[derive(Debug, Clone, Copy)]
enum State {
    Start,
    /// The batch given last.
    At {
        segment: usize,
        offset: ByteOffset,
        length: u32,
        /// Its first position, and the one behind its last.
        positions: (Position, Position),
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
    pub(crate) fn next(&mut self) -> Option<Result<Found<'_>, ReadError>> {
        let Self { snapshot, range, backward, state } = self;
        let found = match *state {
            State::Done => return None,
            _ if range.start >= range.end => Ok(None),
            State::Start => first(snapshot, range, *backward).map(Some),
            State::At { segment, offset, positions: (first, _), .. } if *backward => {
                before(snapshot, range, segment, offset, first)
            }
            State::At { segment, offset, length, positions: (_, end) } => {
                after(snapshot, range, segment, offset.plus(u64::from(length)), end)
            }
        };
        *state = match &found {
            Ok(Some((segment, found))) => {
                let header = found.header();
                // So that damage behind the range is no concern of this walk.
                let is_last = match *backward {
                    true => header.first_position <= range.start,
                    false => header.end_position() >= range.end,
                };
                match is_last {
                    true => State::Done,
                    false => State::At {
                        segment: *segment,
                        offset: found.offset,
                        length: header.frame_bytes,
                        positions: (header.first_position, header.end_position()),
                    },
                }
            }
            Ok(None) | Err(_) => State::Done,
        };
        found.transpose().map(|found| found.map(|(_, found)| found))
    }

    /// Walks these positions next.
    pub(crate) fn restart(&mut self, range: Range<u64>) {
        let end = Position::new(range.end).min(self.snapshot.end);
        self.range = Position::new(range.start)..end;
        self.state = State::Start;
    }

    /// Ends the walk.
    pub(crate) fn stop(&mut self) {
        self.state = State::Done;
    }
}

/// A batch, and which segment it stands in.
type Step<'a> = Result<Option<(usize, Found<'a>)>, ReadError>;

fn first<'a>(
    snapshot: &'a Snapshot,
    range: &Range<Position>,
    backward: bool,
) -> Result<(usize, Found<'a>), ReadError> {
    let position = match backward {
        true => range.end.before().unwrap_or_default(),
        false => range.start,
    };
    find_batch(snapshot, position)
}

/// The next batch from the frame at `offset` on, which begins at `position`.
#[inline]
fn after<'a>(
    snapshot: &'a Snapshot,
    range: &Range<Position>,
    mut segment: usize,
    mut offset: ByteOffset,
    position: Position,
) -> Step<'a> {
    while let Some(at) = snapshot.segments.get(segment) {
        let damaged = |fault| at.damaged(offset, position, fault);
        let Some(front) = at.front_at(offset).map_err(damaged)? else {
            if offset.as_u64() < at.region().written() {
                // Something was stored here, and nothing is left of it.
                return Err(damaged(missing(position)));
            }
            (segment, offset) = (segment + 1, Segment::FIRST_FRAME);
            continue;
        };
        let header = front.header();
        if header.first_position != position {
            let (expected, found) = (position, header.first_position);
            return Err(damaged(FrameError::Position { expected, found }));
        }
        if header.first_position >= range.end {
            return Ok(None);
        }
        if header.kind == FrameKind::Batch {
            return Ok(Some((segment, Found { segment: at, offset, front, indexed: None })));
        }
        offset = offset.plus(u64::from(header.frame_bytes));
    }
    match (position < range.end, snapshot.segments.last()) {
        (true, Some(last)) => Err(last.damaged(offset, position, missing(position))),
        _ => Ok(None),
    }
}

/// The event with this position should be here.
fn missing(position: Position) -> FrameError {
    FrameError::Field { field: "first position", found: position.as_u64() }
}

/// The last batch in front of `offset`, which ends in front of `position`.
fn before<'a>(
    snapshot: &'a Snapshot,
    range: &Range<Position>,
    mut segment: usize,
    mut offset: ByteOffset,
    position: Position,
) -> Step<'a> {
    loop {
        let Some(at) = snapshot.segments.get(segment) else { return Ok(None) };
        let damaged = |fault| at.damaged(offset, range.start, fault);
        let Some(start) = at.frame_before(offset).map_err(damaged)? else {
            let Some(earlier) = segment.checked_sub(1) else { return Ok(None) };
            segment = earlier;
            let written = snapshot.segments.get(segment);
            offset = ByteOffset::new(written.map_or(0, |at| at.region().written()));
            continue;
        };
        let missing = FrameError::Field { field: "trailer length", found: offset.as_u64() };
        let front = at.front_at(start).map_err(damaged)?.ok_or_else(|| damaged(missing))?;
        let header = front.header();
        if start.plus(u64::from(header.frame_bytes)) != offset {
            return Err(damaged(missing));
        }
        if header.end_position() != position {
            let (expected, found) = (position, header.end_position());
            return Err(damaged(FrameError::Position { expected, found }));
        }
        if header.kind == FrameKind::Batch {
            let is_behind = header.end_position() <= range.start;
            let found = Found { segment: at, offset: start, front, indexed: None };
            return Ok((!is_behind).then_some((segment, found)));
        }
        offset = start;
    }
}
