//! Named checkpoints in a body, behind the events, decoded in place.
//!
//! Owns: [`NamedCheckpoint`], [`NamedCheckpoints`]. May call: body's errors, cursor, ids, layout. All
//! borrowed, nothing allocated.
//!
//! They are sorted by name, so that one look tells that no name is there twice.

use crate::body::{BodyError, zeros};
use crate::cursor::Cursor;
use crate::ids::Position;
use crate::layout::{self, named};

/// A projection's checkpoint: how far it has come, under its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NamedCheckpoint<'a> {
    /// The name: 1 to 1024 bytes.
    pub name: &'a str,
    /// The position; it means what whoever sets it wants.
    pub position: Position,
}

impl<'a> NamedCheckpoint<'a> {
    /// Reads the one at the front of `bytes`; gives what follows it, too.
    pub fn decode(bytes: &'a [u8]) -> Result<(Self, &'a [u8]), BodyError> {
        let mut cursor = Cursor::new(bytes);
        let position = Position::new(cursor.u64("checkpoint position")?);
        let length = usize::from(cursor.u16("checkpoint name length")?);
        if length == 0 || length > named::NAME_BYTES_MAX {
            let found = length as u64;
            return Err(BodyError::Field { field: "checkpoint name length", found });
        }
        let name = cursor.bytes(length, "checkpoint name")?;
        let record = named::FIXED_BYTES + length;
        zeros(cursor.bytes(layout::aligned(record) - record, "checkpoint")?, "checkpoint padding")?;
        let name = core::str::from_utf8(name);
        let name = name.map_err(|_| BodyError::Utf8 { field: "checkpoint name" })?;
        Ok((Self { name, position }, cursor.rest()))
    }
}

/// Bytes that a checkpoint with a name of so many bytes takes in a body.
#[must_use]
pub(crate) const fn record_bytes(name_bytes: usize) -> usize {
    layout::aligned(named::FIXED_BYTES + name_bytes)
}

/// Iterates over the named checkpoints of a body, each checked, and that they are sorted. Ends after
/// the first error.
#[derive(Debug, Clone)]
pub struct NamedCheckpoints<'a> {
    rest: &'a [u8],
    remaining: u16,
    before: Option<&'a str>,
}

impl<'a> NamedCheckpoints<'a> {
    /// `count` checkpoints at the front of `bytes`.
    #[must_use]
    pub const fn new(bytes: &'a [u8], count: u16) -> Self {
        Self { rest: bytes, remaining: count, before: None }
    }

    /// The bytes that have not been read.
    #[must_use]
    pub const fn rest(&self) -> &'a [u8] {
        self.rest
    }
}

impl<'a> Iterator for NamedCheckpoints<'a> {
    type Item = Result<NamedCheckpoint<'a>, BodyError>;

    fn next(&mut self) -> Option<Self::Item> {
        let left = self.remaining.checked_sub(1)?;
        let taken = NamedCheckpoint::decode(self.rest).and_then(|(found, rest)| {
            // A name is never empty, so that nothing in front is below every name.
            if self.before >= Some(found.name) {
                let found = u64::from(self.remaining);
                return Err(BodyError::Field { field: "order of checkpoints", found });
            }
            Ok((found, rest))
        });
        match taken {
            Ok((found, rest)) => {
                (self.rest, self.remaining, self.before) = (rest, left, Some(found.name));
                Some(Ok(found))
            }
            Err(error) => {
                self.remaining = 0;
                Some(Err(error))
            }
        }
    }
}
