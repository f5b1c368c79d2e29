//! Lists of the positions of events: of a stream, a tag, an event type.
//!
//! Owns: [`Positions`], read in place, and [`PositionsBuilder`]. May call: cursor, varint, layout.
//!
//! A list is its count, its first position less the base position, the way from the first to the
//! last, a skip table if it is long, and then the step from each event to the next, less one, as
//! varints. With the skip table the n-th of any number costs a walk over 127 steps at most.

use alloc::vec::Vec;

use super::{SidecarError, varint};
use crate::cursor::Cursor;
use crate::ids::Position;
use crate::layout::sidecar::skip::{self, EVERY};

/// A list of positions in place: ascending, at least one.
#[derive(Debug, Clone, Copy)]
pub struct Positions<'a> {
    base: Position,
    count: u64,
    first: u64,
    last: u64,
    skips: &'a [[u8; skip::BYTES]],
    steps: &'a [u8],
}

impl<'a> Positions<'a> {
    /// Outlines the list in front of `cursor` that fills what is left of it. The steps are read
    /// when they are asked for.
    pub(super) fn decode(
        cursor: &mut Cursor<'a>,
        base: Position,
        end: Position,
    ) -> Result<Self, SidecarError> {
        let events = end.as_u64().saturating_sub(base.as_u64());
        let count = varint::take(cursor, "event count")?;
        let first = varint::take(cursor, "first position")?;
        let span = varint::take(cursor, "last position")?;
        let last = first.saturating_add(span);
        if last >= events {
            return Err(SidecarError::Field { field: "last position", found: last });
        }
        // As many events as there are positions from the first to the last, at most.
        if count == 0 || count - 1 > span || (count == 1 && span != 0) {
            return Err(SidecarError::Field { field: "event count", found: count });
        }
        let skips = (count - 1) / EVERY as u64;
        let skips_bytes = usize::try_from(skips).unwrap_or(usize::MAX);
        let skips = cursor.bytes(skips_bytes.saturating_mul(skip::BYTES), "skip table")?;
        let steps = cursor.bytes(cursor.rest().len(), "steps")?;
        // A step is a byte or more.
        if count - 1 > steps.len() as u64 {
            return Err(SidecarError::Field { field: "event count", found: count });
        }
        Ok(Self { base, count, first, last, skips: skips.as_chunks().0, steps })
    }

    /// How many there are; at least one.
    #[must_use]
    #[allow(clippy::len_without_is_empty)] // never empty
    pub const fn len(&self) -> u64 {
        self.count
    }

    /// The first.
    #[must_use]
    pub const fn first(&self) -> Position {
        self.base.plus(self.first)
    }

    /// The last.
    #[must_use]
    pub const fn last(&self) -> Position {
        self.base.plus(self.last)
    }

    /// The one at `index`; `None` behind the last.
    pub fn get(&self, index: u64) -> Result<Option<Position>, SidecarError> {
        match index {
            0 => Ok(Some(self.first())),
            _ if index >= self.count => Ok(None),
            _ if index == self.count - 1 => Ok(Some(self.last())),
            _ => self.walk(index)?.next().transpose(),
        }
    }

    /// From the one at `index` on, to the last.
    pub fn iter_from(&self, index: u64) -> Result<PositionsIter<'a>, SidecarError> {
        self.walk(index)
    }

    /// How many are below `end`.
    pub fn count_below(&self, end: Position) -> Result<u64, SidecarError> {
        if self.last() < end {
            return Ok(self.count);
        }
        let Some(end) = end.as_u64().checked_sub(self.base.as_u64()) else { return Ok(0) };
        let passed = self.skips.partition_point(|entry| skip_position(entry) < end);
        let from = passed as u64 * EVERY as u64;
        let mut count = from;
        for position in self.walk(from)? {
            if position?.as_u64() - self.base.as_u64() >= end {
                break;
            }
            count += 1;
        }
        Ok(count)
    }

    /// Whether `position` is among them, and if so at which index.
    pub fn index_of(&self, position: Position) -> Result<Option<u64>, SidecarError> {
        let index = self.count_below(position)?;
        Ok((self.get(index)? == Some(position)).then_some(index))
    }

    /// Starts at the last skip entry at or before `index`.
    fn walk(&self, index: u64) -> Result<PositionsIter<'a>, SidecarError> {
        let index = index.min(self.count);
        let block = usize::try_from(index / EVERY as u64).unwrap_or(usize::MAX);
        let block = block.min(self.skips.len());
        let (position, steps) = match block.checked_sub(1).and_then(|at| self.skips.get(at)) {
            Some(entry) => {
                let at = usize::try_from(skip_step(entry)).unwrap_or(usize::MAX);
                let Some(steps) = self.steps.get(at..) else {
                    return Err(SidecarError::Field { field: "skip entry", found: at as u64 });
                };
                (skip_position(entry), steps)
            }
            None => (self.first, self.steps),
        };
        let at = block as u64 * EVERY as u64;
        let mut walk = PositionsIter {
            base: self.base,
            position,
            last: self.last,
            left: self.count - at,
            steps: Cursor::new(steps),
        };
        for _ in at..index {
            walk.next().transpose()?;
        }
        Ok(walk)
    }

    /// Checks every step and every skip entry: what passes is what [`PositionsBuilder`] writes.
    pub(super) fn check(&self) -> Result<(), SidecarError> {
        let mut walk = self.walk(0)?;
        let mut index = 0_u64;
        loop {
            let read = self.steps.len() - walk.steps.rest().len();
            if index > 0 && index.is_multiple_of(EVERY as u64) {
                let entry = usize::try_from(index / EVERY as u64 - 1).unwrap_or(usize::MAX);
                let expected = self.skips.get(entry).map(|at| (skip_position(at), skip_step(at)));
                if index < self.count && expected != Some((walk.position, read as u64)) {
                    return Err(SidecarError::Field { field: "skip entry", found: entry as u64 });
                }
            }
            if walk.next().transpose()?.is_none() {
                break;
            }
            index += 1;
        }
        match walk.steps.rest() {
            [] if walk.position == self.last => Ok(()),
            rest => Err(SidecarError::Field { field: "steps", found: rest.len() as u64 }),
        }
    }
}

/// Iterates over [`Positions`]. Ends after the first error.
#[derive(Debug, Clone)]
pub struct PositionsIter<'a> {
    base: Position,
    /// The next one, less the base position.
    position: u64,
    last: u64,
    left: u64,
    steps: Cursor<'a>,
}

impl Iterator for PositionsIter<'_> {
    type Item = Result<Position, SidecarError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.left = self.left.checked_sub(1)?;
        let position = self.position;
        if self.left > 0 {
            match varint::take(&mut self.steps, "step") {
                // No step leads behind the last position, so that no sum overflows.
                Ok(step) if step < self.last.saturating_sub(position) => {
                    self.position = position + step + 1;
                }
                Ok(step) => {
                    self.left = 0;
                    return Some(Err(SidecarError::Field { field: "step", found: step }));
                }
                Err(error) => {
                    self.left = 0;
                    return Some(Err(error));
                }
            }
        }
        Some(Ok(self.base.plus(position)))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (0, usize::try_from(self.left).ok())
    }
}

fn skip_position(entry: &[u8; skip::BYTES]) -> u64 {
    word(entry, skip::POSITION)
}

fn skip_step(entry: &[u8; skip::BYTES]) -> u64 {
    word(entry, skip::STEP)
}

fn word(entry: &[u8; skip::BYTES], at: usize) -> u64 {
    entry.get(at..).and_then(<[u8]>::first_chunk).map_or(0, |word| u64::from_le_bytes(*word))
}

/// A list being written.
#[derive(Debug, Clone)]
pub(super) struct PositionsBuilder {
    count: u64,
    first: u64,
    last: u64,
    skips: Vec<u8>,
    steps: Vec<u8>,
}

impl PositionsBuilder {
    /// A list of one position, less the base position.
    pub(super) const fn new(first: u64) -> Self {
        Self { count: 1, first, last: first, skips: Vec::new(), steps: Vec::new() }
    }

    pub(super) const fn len(&self) -> u64 {
        self.count
    }

    /// The first, less the base position.
    pub(super) const fn first(&self) -> u64 {
        self.first
    }

    /// Adds a position, less the base position. One that is not above the last is already there:
    /// an event that bears a tag twice.
    pub(super) fn push(&mut self, position: u64) {
        let Some(step) = position.checked_sub(self.last).and_then(|way| way.checked_sub(1)) else {
            return;
        };
        varint::put(&mut self.steps, step);
        self.last = position;
        if self.count.is_multiple_of(EVERY as u64) {
            self.skips.extend_from_slice(&position.to_le_bytes());
            self.skips.extend_from_slice(&(self.steps.len() as u64).to_le_bytes());
        }
        self.count += 1;
    }

    /// Appends the list.
    pub(super) fn encode(&self, into: &mut Vec<u8>) {
        for number in [self.count, self.first, self.last - self.first] {
            varint::put(into, number);
        }
        into.extend_from_slice(&self.skips);
        into.extend_from_slice(&self.steps);
    }
}
