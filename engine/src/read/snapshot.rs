//! What a read sees: the log as it was when the read started.
//!
//! Owns: [`Snapshot`]. May call: segment, watermark.

use std::ops::Range;
use std::sync::Arc;

use quipu_format::Position;

use crate::segment::reader::Segment;
use crate::segment::set::{self, SegmentSet};
use crate::watermark::Watermarks;

/// The segments and the end of the log at one moment.
#[derive(Debug, Clone)]
pub(crate) struct Snapshot {
    pub(crate) segments: Arc<Vec<Arc<Segment>>>,
    /// Nothing at or behind this position is seen.
    pub(crate) end: Position,
    /// Whether checksums are verified.
    pub(crate) verify: bool,
}

impl Snapshot {
    /// Takes the end first: a segment is listed before its events are published, so that the list
    /// taken afterwards has all that is needed.
    pub(crate) fn take(segments: &SegmentSet, watermarks: &Watermarks, verify: bool) -> Self {
        let end = watermarks.published();
        Self { end, segments: segments.snapshot(), verify }
    }

    /// The position of the first event that is kept.
    pub(crate) fn start(&self) -> Position {
        set::start(&self.segments)
    }

    /// What is kept of a range of positions that is walked in one direction, and if it is not all of it
    /// where that begins. Forward nothing is walked then: its first event is gone.
    pub(crate) fn kept(&self, range: Range<u64>, backward: bool) -> (Range<u64>, Option<Position>) {
        let start = self.start().as_u64();
        if range.start >= start || range.start >= range.end.min(self.end.as_u64()) {
            return (range, None);
        }
        let kept = if backward { start.min(range.end)..range.end } else { 0..0 };
        (kept, Some(self.start()))
    }
}
