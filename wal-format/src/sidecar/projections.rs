//! Named checkpoints in derived files: of each name the last that was set.
//!
//! Owns: [`SetCheckpoint`], [`SetCheckpoints`] (read in place), [`CheckpointsBuilder`]. May call: cursor,
//! names, varint.

use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use super::names::{put_name, take_name};
use super::{SidecarError, varint};
use crate::cursor::Cursor;
use crate::ids::Position;

/// A named checkpoint as it was set last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SetCheckpoint<'a> {
    /// The name.
    pub name: &'a str,
    /// What it was set to.
    pub position: Position,
    /// The first position of the batch that set it; `None`: one without events.
    pub set_by: Option<Position>,
}

/// Iterates over the named checkpoints of a derived file, sorted by name. Ends after the first error.
#[derive(Debug, Clone)]
pub struct SetCheckpoints<'a> {
    cursor: Cursor<'a>,
    left: u64,
    end: Position,
    before: Option<&'a str>,
}

impl<'a> SetCheckpoints<'a> {
    /// `count` checkpoints at the front of `bytes`; `end` is behind all batches that set them.
    pub(super) const fn new(bytes: &'a [u8], count: u64, end: Position) -> Self {
        Self { cursor: Cursor::new(bytes), left: count, end, before: None }
    }

    /// The bytes that have not been read.
    pub(super) const fn rest(&self) -> &'a [u8] {
        self.cursor.rest()
    }

    fn take(&mut self) -> Result<SetCheckpoint<'a>, SidecarError> {
        let name = take_name(&mut self.cursor)?;
        let position = Position::new(varint::take(&mut self.cursor, "checkpoint position")?);
        let set_by = varint::take(&mut self.cursor, "checkpoint's batch")?;
        if self.before >= Some(name) {
            return Err(SidecarError::Field { field: "order of checkpoints", found: self.left });
        }
        if set_by > self.end.as_u64() {
            return Err(SidecarError::Field { field: "checkpoint's batch", found: set_by });
        }
        self.before = Some(name);
        let set_by = set_by.checked_sub(1).map(Position::new);
        Ok(SetCheckpoint { name, position, set_by })
    }
}

impl<'a> Iterator for SetCheckpoints<'a> {
    type Item = Result<SetCheckpoint<'a>, SidecarError>;

    fn next(&mut self) -> Option<Self::Item> {
        let left = self.left.checked_sub(1)?;
        let taken = self.take();
        self.left = if taken.is_ok() { left } else { 0 };
        Some(taken)
    }
}

/// Collects the named checkpoints that are set, one batch behind the other.
#[derive(Debug, Default)]
pub(super) struct CheckpointsBuilder {
    set: BTreeMap<Box<str>, (Position, Option<Position>)>,
}

impl CheckpointsBuilder {
    /// Notes one, in the place of what was set before.
    pub(super) fn set(&mut self, checkpoint: &SetCheckpoint<'_>) {
        let SetCheckpoint { name, position, set_by } = *checkpoint;
        match self.set.get_mut(name) {
            Some(known) => *known = (position, set_by),
            None => {
                self.set.insert(name.into(), (position, set_by));
            }
        }
    }

    pub(super) fn len(&self) -> u64 {
        self.set.len() as u64
    }

    pub(super) fn encode(&self, into: &mut Vec<u8>) {
        for (name, (position, set_by)) in &self.set {
            put_name(into, name);
            varint::put(into, position.as_u64());
            varint::put(into, set_by.map_or(0, |at| at.as_u64() + 1));
        }
    }
}
