//! How far the log is written, durable and visible.
//!
//! Owns: [`Watermarks`], ends of the log that only rise, and [`Reach`]. Calls nothing.
//!
//! Invariants, asserted at each change:
//! - `written >= synced`: nothing is called durable that was not stored first;
//! - `written >= published`: nobody sees what was not stored first;
//! - a batch acknowledged under `Sync` is published after it is synced; only a `Buffered` one is
//!   published before.
//!
//! Not every frame takes a position: how far the log is durable is counted in frames too.
//!
//! The fourth mark of the data path, how far room is allocated, is the active segment's own.

use quipu_format::Position;

use crate::sync::atomic::{AtomicU64, Ordering};

/// How far the log has come.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Reach {
    /// Behind the last event.
    pub(crate) position: Position,
    /// So many frames and segment headers have been stored since the log was opened; seals do not
    /// count, as the header behind one says what it was.
    pub(crate) frames: u64,
}

/// Three ends of the log, each the position behind the last event that has come so far.
#[derive(Debug)]
pub(crate) struct Watermarks {
    written: AtomicU64,
    synced: AtomicU64,
    published: AtomicU64,
    written_frames: AtomicU64,
    synced_frames: AtomicU64,
}

impl Watermarks {
    /// The marks of a log just opened: all of it written and visible, `synced` of it durable.
    pub(crate) fn new(end: Position, synced: Position) -> Self {
        assert!(synced <= end, "what is durable has been written");
        Self {
            written: AtomicU64::new(end.as_u64()),
            synced: AtomicU64::new(synced.as_u64()),
            published: AtomicU64::new(end.as_u64()),
            written_frames: AtomicU64::new(0),
            synced_frames: AtomicU64::new(0),
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

    /// As [`Watermarks::written`], in frames.
    pub(crate) fn written_frames(&self) -> u64 {
        self.written_frames.load(Ordering::Acquire)
    }

    /// As [`Watermarks::synced`], in frames.
    pub(crate) fn synced_frames(&self) -> u64 {
        self.synced_frames.load(Ordering::Acquire)
    }

    /// Whether something is stored that is not known to be durable.
    pub(crate) fn is_behind(&self) -> bool {
        self.synced_frames() < self.written_frames()
    }

    /// Frames up to `end` are stored. By the one that holds the committer only.
    pub(crate) fn write(&self, end: Reach) {
        let Reach { position, frames } = end;
        let before = self.written_frames.swap(frames, Ordering::AcqRel);
        assert!(before <= frames, "the number of stored frames never falls");
        let before = self.written.swap(position.as_u64(), Ordering::AcqRel);
        assert!(before <= position.as_u64(), "the written end never falls");
    }

    /// All below `end` is durable. By the one that holds the publisher only.
    pub(crate) fn sync(&self, end: Reach) {
        let Reach { position, frames } = end;
        assert!(position <= self.written(), "what is durable has been written");
        let before = self.synced.swap(position.as_u64(), Ordering::AcqRel);
        assert!(before <= position.as_u64(), "the synced end never falls");
        assert!(frames <= self.written_frames(), "frames that are durable have been stored");
        let before = self.synced_frames.swap(frames, Ordering::AcqRel);
        assert!(before <= frames, "the number of durable frames never falls");
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

    fn reach(position: u64, frames: u64) -> Reach {
        Reach { position: Position::new(position), frames }
    }

    #[test]
    fn the_marks_rise_in_the_order_of_the_data_path() {
        let marks = Watermarks::new(Position::new(5), Position::new(3));
        assert!(!marks.is_behind(), "what recovery has accepted is not counted in frames");
        marks.write(reach(9, 2));
        assert!(marks.is_behind());
        marks.sync(reach(9, 2));
        marks.publish(Position::new(7));
        let all = [marks.written(), marks.synced(), marks.published()].map(Position::as_u64);
        assert_eq!(all, [9, 9, 7]);
        marks.write(reach(9, 3));
        assert!(marks.is_behind(), "a frame that takes no position");
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
        marks.sync(reach(4, 0));
    }

    #[test]
    #[should_panic(expected = "frames that are durable have been stored")]
    fn no_frame_is_durable_before_it_is_stored() {
        Watermarks::new(Position::ZERO, Position::ZERO).sync(reach(0, 1));
    }
}
