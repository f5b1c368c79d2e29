//! Where in a segment a position may be found: one landmark every few KiB.
//!
//! Owns: [`Landmarks`]. Calls nothing but atomics. One writer adds, any number of readers look up,
//! nobody waits.
//!
//! Invariant: landmark n is final once `count` is above n; the writer stores it first and raises
//! `count` with `Release`, readers load `count` with `Acquire`.

use quipu_format::search::count_at_or_below;
use quipu_format::{ByteOffset, Position, layout};

use crate::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

/// Every landmark is at least this far from the one before: the most that a reader walks over, in
/// segments of up to 256 MiB.
const STRIDE_BYTES: u64 = 4 << 10;

/// Larger segments have landmarks further apart: a file of holes that calls itself a segment of a
/// TiB costs no memory to speak of.
const PLACES_MAX: u64 = 1 << 16;

/// A sparse table from positions to the offsets of frames.
#[derive(Debug)]
pub(crate) struct Landmarks {
    entries: Box<[Landmark]>,
    count: AtomicUsize,
    stride_bytes: u64,
}

#[derive(Debug, Default)]
struct Landmark {
    position: AtomicU64,
    offset: AtomicU64,
}

impl Landmarks {
    /// Room for the landmarks of a segment of `capacity` bytes.
    pub(crate) fn new(capacity: u64) -> Self {
        let stride_bytes = STRIDE_BYTES.max(capacity.div_ceil(PLACES_MAX));
        let places = capacity / stride_bytes + 1;
        let entries = (0..places).map(|_| Landmark::default()).collect();
        Self { entries, count: AtomicUsize::new(0), stride_bytes }
    }

    /// No room: for a segment whose index says where its frames stand.
    pub(crate) fn none() -> Self {
        Self { entries: Box::default(), count: AtomicUsize::new(0), stride_bytes: STRIDE_BYTES }
    }

    /// Notes that a frame whose first position is `position` stands at `offset`, if the last
    /// landmark is far enough away. By the one writer, in the order of offsets.
    pub(crate) fn note(&self, position: Position, offset: ByteOffset) {
        let count = self.count.load(Ordering::Relaxed);
        let last = count.checked_sub(1).and_then(|last| self.entries.get(last));
        let near = last.is_some_and(|last| {
            offset.as_u64() < last.offset.load(Ordering::Relaxed).saturating_add(self.stride_bytes)
        });
        if near {
            return;
        }
        // There is an entry for each stride of the capacity, and offsets are a stride apart.
        let Some(entry) = self.entries.get(count) else { return };
        entry.position.store(position.as_u64(), Ordering::Relaxed);
        entry.offset.store(offset.as_u64(), Ordering::Relaxed);
        self.count.store(count + 1, Ordering::Release);
    }

    /// The offset of a frame from which walking forward meets the one that holds `position`.
    pub(crate) fn before(&self, position: Position) -> ByteOffset {
        let count = self.count.load(Ordering::Acquire);
        let noted = self.entries.get(..count).unwrap_or(&[]);
        let at = |place: usize| noted.get(place).map_or(u64::MAX, Landmark::position);
        let at_or_before = count_at_or_below(noted.len(), position.as_u64(), at);
        match at_or_before.checked_sub(1).and_then(|last| noted.get(last)) {
            Some(landmark) => ByteOffset::new(landmark.offset.load(Ordering::Relaxed)),
            None => ByteOffset::new(layout::segment::BYTES as u64),
        }
    }
}

impl Landmark {
    fn position(&self) -> u64 {
        self.position.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
#[allow(clippy::indexing_slicing)] // a test may panic
mod tests {
    use super::*;

    #[test]
    fn a_position_is_found_from_the_last_landmark_at_or_before_it() {
        let landmarks = Landmarks::new(1 << 20);
        let start = layout::segment::BYTES as u64;
        assert_eq!(landmarks.before(Position::new(5)), ByteOffset::new(start));
        for (position, offset) in [(10, start), (11, start + 8), (20, start + STRIDE_BYTES)] {
            landmarks.note(Position::new(position), ByteOffset::new(offset));
        }
        let before = |position| landmarks.before(Position::new(position)).as_u64();
        assert_eq!(before(10), start);
        assert_eq!(before(11), start, "a near frame is no landmark");
        assert_eq!(before(19), start);
        assert_eq!(before(20), start + STRIDE_BYTES);
        assert_eq!(before(u64::MAX), start + STRIDE_BYTES);
    }

    #[test]
    fn the_largest_segment_has_no_more_landmarks_than_one_of_a_gibibyte() {
        let landmarks = Landmarks::new(layout::segment::CAPACITY_MAX);
        assert_eq!(landmarks.entries.len() as u64, PLACES_MAX + 1);
        assert_eq!(Landmarks::new(1 << 30).entries.len() as u64, PLACES_MAX + 1);
    }

    #[test]
    fn a_segment_full_of_small_frames_never_runs_out_of_landmarks() {
        let capacity = 1 << 20;
        let landmarks = Landmarks::new(capacity);
        let start = layout::segment::BYTES as u64;
        for offset in (start..capacity).step_by(104) {
            landmarks.note(Position::new(offset), ByteOffset::new(offset));
        }
        for offset in (start..capacity).step_by(104) {
            let found = landmarks.before(Position::new(offset)).as_u64();
            assert!(found <= offset && offset - found < STRIDE_BYTES + 104, "{found} for {offset}");
        }
    }
}
