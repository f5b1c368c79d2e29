//! The list of a log's segments.
//!
//! Owns: [`SegmentSet`]. Readers take the list as it is, without a lock; the one writer puts a
//! longer list in its place when it rolls over.
//!
//! Invariant: segments stand in the order of their base positions, without gaps, and a segment is
//! in the list before any of its events is published.

use std::sync::Arc;

use quipu_format::Position;

use super::reader::Segment;
use crate::sync::ArcSwap;

/// All activated segments.
#[derive(Debug)]
pub(crate) struct SegmentSet {
    segments: ArcSwap<Vec<Arc<Segment>>>,
}

impl SegmentSet {
    pub(crate) fn new(segments: Vec<Arc<Segment>>) -> Self {
        Self { segments: ArcSwap::from_pointee(segments) }
    }

    /// Puts another list in its place. By recovery, before there are readers.
    pub(crate) fn put(&self, segments: Vec<Arc<Segment>>) {
        self.segments.store(Arc::new(segments));
    }

    /// The list as it is now.
    pub(crate) fn snapshot(&self) -> Arc<Vec<Arc<Segment>>> {
        self.segments.load_full()
    }

    /// Adds a segment at the end. By the one writer.
    pub(crate) fn push(&self, segment: Arc<Segment>) {
        let mut segments = Vec::clone(&self.segments.load());
        debug_assert!(
            segments.last().is_none_or(|last| last.base_position() <= segment.base_position())
        );
        segments.push(segment);
        self.segments.store(Arc::new(segments));
    }
}

/// The index of the segment that holds `position`, or would if the log went so far. Of several
/// that begin at one position all but the last are without events.
pub(crate) fn holding(segments: &[Arc<Segment>], position: Position) -> Option<usize> {
    segments.partition_point(|segment| segment.base_position() <= position).checked_sub(1)
}
