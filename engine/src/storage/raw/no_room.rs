//! That bytes do not fit into a region.
//!
//! Owns: [`NoRoom`]. Calls nothing.

#![forbid(unsafe_code)]

use std::fmt;
use std::io;

/// The bytes do not fit into the rest of the region; none was stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct NoRoom {
    /// Bytes to append.
    pub needed: u64,
    /// Bytes that fit.
    pub room: u64,
}

impl fmt::Display for NoRoom {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} bytes do not fit into the {} left in the region", self.needed, self.room)
    }
}

impl std::error::Error for NoRoom {}

impl From<NoRoom> for io::Error {
    /// Not `StorageFull`: a caller that asks for more than the room makes a mistake.
    fn from(refusal: NoRoom) -> Self {
        io::Error::new(io::ErrorKind::InvalidInput, refusal)
    }
}
