//! How far the log is written, durable and visible.
//!
//! Owns: [`Watermarks`], three positions that only rise. Calls nothing.
//!
//! Invariants, asserted at each change:
//! - `written >= synced`: nothing is called durable that was not stored first;
//! - `written >= published`: nobody sees what was not stored first;
//! - a batch acknowledged under `Sync` is published after it is synced; only a `Buffered` one is
//!   published before.
//!
//! The fourth mark of the data path, how far room is allocated, is the active segment's own.

use quipu_format::Position;

use crate::sync::atomic::{AtomicU64, Ordering};

/// Three ends of the log, each the position behind the last event that has come so far.
#[derive(Debug)]
pub(crate) struct Watermarks {
    written: AtomicU64,
    synced: AtomicU64,
    published: AtomicU64,
}

impl Watermarks {
    /// The marks of a log just opened: all of it written and visible, `synced` of it durable.
    pub(crate) fn new(end: Position, synced: Position) -> Self {
        assert!(synced <= end, "what is durable has been written");
        Self {
            written: AtomicU64::new(end.as_u64()),
            synced: AtomicU64::new(synced.as_u64()),
            published: AtomicU64::new(end.as_u64()),
        }
    }

    pub(crate) fn written(&self) -> Position {
        Position::new(self.written.load(Ordering::Acquire))
    }

    pub(crate) fn synced(&self) -> Position {
        Position::new(self.synced.load(Ordering::Acquire))
    }

    /// The end that readers see. Everything that belongs below it was stored before it rose:
    /// segment list, landmarks, index.
    pub(crate) fn published(&self) -> Position {
        Position::new(self.published.load(Ordering::Acquire))
    }

    /// Frames up to `end` are stored. By the one that holds the committer only.
    pub(crate) fn write(&self, end: Position) {
        let before = self.written.swap(end.as_u64(), Ordering::AcqRel);
        assert!(before <= end.as_u64(), "the written end never falls");
    }

    /// All below `end` is durable. By the one that holds the publisher only.
    pub(crate) fn sync(&self, end: Position) {
        assert!(end <= self.written(), "what is durable has been written");
        let before = self.synced.swap(end.as_u64(), Ordering::AcqRel);
        assert!(before <= end.as_u64(), "the synced end never falls");
    }

    /// All below `end` is visible. By the one that holds the publisher only.
    pub(crate) fn publish(&self, end: Position) {
        assert!(end <= self.written(), "what is visible has been written");
        let before = self.published.swap(end.as_u64(), Ordering::AcqRel);
        assert!(before <= end.as_u64(), "the visible end never falls");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_marks_rise_in_the_order_of_the_data_path() {
        let marks = Watermarks::new(Position::new(5), Position::new(3));
        marks.write(Position::new(9));
        marks.sync(Position::new(9));
        marks.publish(Position::new(7));
        let all = [marks.written(), marks.synced(), marks.published()].map(Position::as_u64);
        assert_eq!(all, [9, 9, 7]);
    }

    #[test]
    #[should_panic(expected = "what is visible has been written")]
    fn nothing_is_visible_before_it_is_written() {
        Watermarks::new(Position::ZERO, Position::ZERO).publish(Position::new(1));
    }

    #[test]
    #[should_panic(expected = "the synced end never falls")]
    fn the_synced_end_never_falls() {
        let marks = Watermarks::new(Position::new(5), Position::new(5));
        marks.sync(Position::new(4));
    }
}
