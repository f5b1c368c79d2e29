//! The list of a log's segments.
//!
//! Owns: [`SegmentSet`]. Readers take the list as it is, without a lock; the one writer puts a
//! longer list in its place when it rolls over, and whoever drops segments a shorter one.
//!
//! Invariants:
//! - Segments stand in the order of their base positions, without gaps, and a segment is in the list
//!   before any of its events is published.
//! - The list is never empty once the log is open: the active segment is never dropped.

use std::sync::Arc;

use quipu_format::{Position, SegmentSeq};

use super::reader::Segment;
use crate::sync::{ArcSwap, Mutex};

/// All activated segments.
#[derive(Debug)]
pub(crate) struct SegmentSet {
    segments: ArcSwap<Vec<Arc<Segment>>>,
    /// Held by whoever makes a list of the one that is there.
    changing: Mutex<()>,
}

impl SegmentSet {
    pub(crate) fn new(segments: Vec<Arc<Segment>>) -> Self {
        Self { segments: ArcSwap::from_pointee(segments), changing: Mutex::new(()) }
    }

    /// Puts another list in its place. By recovery, before there are readers, and by one who follows a log
    /// and was left behind.
    pub(crate) fn put(&self, segments: Vec<Arc<Segment>>) {
        let _changing = self.changing.lock();
        self.segments.store(Arc::new(segments));
    }

    /// The list as it is now.
    pub(crate) fn snapshot(&self) -> Arc<Vec<Arc<Segment>>> {
        self.segments.load_full()
    }

    /// Adds a segment at the end. By the one writer.
    pub(crate) fn push(&self, segment: Arc<Segment>) {
        let _changing = self.changing.lock();
        let mut segments = Vec::clone(&self.segments.load());
        debug_assert!(
            segments.last().is_none_or(|last| last.base_position() <= segment.base_position())
        );
        segments.push(segment);
        self.segments.store(Arc::new(segments));
    }

    /// Takes all segments in front of `first` out of the list. Whoever has a snapshot keeps them.
    pub(crate) fn drop_before(&self, first: SegmentSeq) {
        let _changing = self.changing.lock();
        let mut segments = Vec::clone(&self.segments.load());
        segments.retain(|segment| segment.sequence() >= first);
        debug_assert!(!segments.is_empty(), "the active segment stays");
        self.segments.store(Arc::new(segments));
    }
}

/// The position of the first event that is kept.
pub(crate) fn start(segments: &[Arc<Segment>]) -> Position {
    segments.first().map_or(Position::ZERO, |first| first.base_position())
}

/// The index of the segment that holds `position`, or would if the log went so far. Of several
/// that begin at one position all but the last are without events.
pub(crate) fn holding(segments: &[Arc<Segment>], position: Position) -> Option<usize> {
    segments.partition_point(|segment| segment.base_position() <= position).checked_sub(1)
}
