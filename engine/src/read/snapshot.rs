//! What a read sees: the log as it was when the read started.
//!
//! Owns: [`Snapshot`]. May call: segment, watermark.

use std::sync::Arc;

use quipu_format::Position;

use crate::segment::reader::Segment;
use crate::segment::set::SegmentSet;
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
}
