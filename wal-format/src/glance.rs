//! A look at a header without its checksum.
//!
//! Owns: [`HeaderGlance`]. May call: cursor, ids, layout.

use crate::cursor::Cursor;
use crate::ids::Position;
use crate::layout::{self, header};

/// What a header says of its frame, taken at its word: no checksum is computed.
///
/// For finding a frame among those that have been verified; what is found in the end must be
/// decoded before anything of it is used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HeaderGlance {
    /// The whole frame's length; a multiple of 8, at least that of a control frame.
    pub frame_bytes: u32,
    /// The first event's position; in a control frame that of the next event.
    pub first_position: Position,
    /// Number of events; 0 in a control frame.
    pub event_count: u32,
}

impl HeaderGlance {
    /// Looks at the header at the front of `bytes`. `None`: there is none, or its length is none.
    #[must_use]
    #[inline]
    pub fn at(bytes: &[u8]) -> Option<Self> {
        let header: &[u8; header::FIRST_POSITION + 8] = bytes.first_chunk()?;
        let mut cursor = Cursor::new(header);
        let frame_bytes = cursor.u32("frame length").ok()?;
        cursor.u32("kind, flags and reserved bytes").ok()?;
        let event_count = cursor.u32("event count").ok()?;
        cursor.u32("stream count").ok()?;
        let first_position = Position::new(cursor.u64("first position").ok()?);
        let length = frame_bytes as usize;
        let is_length =
            length >= layout::CONTROL_FRAME_BYTES && length.is_multiple_of(layout::ALIGNMENT);
        is_length.then_some(Self { frame_bytes, first_position, event_count })
    }

    /// Whether the frame would hold `position`.
    #[must_use]
    #[inline]
    pub fn holds(&self, position: Position) -> bool {
        let (first, position) = (self.first_position.as_u64(), position.as_u64());
        position.checked_sub(first).is_some_and(|at| at < u64::from(self.event_count))
    }
}
