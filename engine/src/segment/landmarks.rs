//! Where in a segment a position may be found: one landmark every few KiB.
//!
//! Owns: [`Landmarks`]. Calls nothing but atomics. One writer adds, any number of readers look up,
//! nobody waits.
//!
//! Invariant: landmark n is final once `count` is above n; the writer stores it first and raises
//! `count` with `Release`, readers load `count` with `Acquire`.

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
        let at_or_before = search(noted, position.as_u64());
        match at_or_before.checked_sub(1).and_then(|last| noted.get(last)) {
            Some(landmark) => ByteOffset::new(landmark.offset.load(Ordering::Relaxed)),
            None => ByteOffset::new(layout::segment::BYTES as u64),
        }
    }
}

/// How many of `noted` are at or before `position`.
///
/// Frames of one log are much of a length, so that the place can be guessed from the ends, and a
/// wrong guess is left behind in steps that double: a search by halves alone would touch a dozen
/// cache lines each time.
fn search(noted: &[Landmark], position: u64) -> usize {
    let at = |place: usize| noted.get(place).map_or(u64::MAX, Landmark::position);
    let (Some(last), first) = (noted.len().checked_sub(1), at(0)) else { return 0 };
    let Some(above) = position.checked_sub(first) else { return 0 };
    let span = at(last).saturating_sub(first).max(1);
    let guess = (above as f64 / span as f64 * last as f64) as usize;
    // Of the places, `low` is at or before the position, and `high`, if there is one, behind it.
    let (mut low, mut high, mut step) = (guess.min(last), noted.len(), 1);
    while low > 0 && at(low) > position {
        (high, low) = (low, low.saturating_sub(step));
        step *= 2;
    }
    while low + step < high && at(low + step) <= position {
        low += step;
        step *= 2;
    }
    high = high.min(low + step);
    let between = noted.get(low + 1..high).unwrap_or(&[]);
    low + 1 + between.partition_point(|entry| entry.position() <= position)
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
    fn the_search_finds_what_halving_finds_however_uneven_the_frames() {
        let mut state = 1_u64;
        for spread in [1, 3, 1000, 1 << 40] {
            let mut position = 5;
            let noted: Vec<Landmark> = (0..300)
                .map(|_| {
                    state =
                        state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
                    position += 1 + (state >> 33) % spread;
                    Landmark { position: position.into(), offset: 0.into() }
                })
                .collect();
            for count in [0, 1, 2, 3, 299, 300] {
                let noted = &noted[..count];
                let near = noted
                    .iter()
                    .flat_map(|one| [one.position() - 1, one.position(), one.position() + 1]);
                for position in near.chain([0, 4, u64::MAX]) {
                    let halved = noted.partition_point(|one| one.position() <= position);
                    assert_eq!(
                        search(noted, position),
                        halved,
                        "{position} of {count}, spread {spread}"
                    );
                }
            }
        }
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
