//! Ranges of positions and versions.
//!
//! Owns: [`half_open`]. Calls nothing.

use std::ops::{Bound, Range, RangeBounds};

/// The range as plain numbers, from the first that is in it to the first that is not any more. A
/// range that ends before it starts is empty.
pub(crate) fn half_open<T: Copy + Into<u64>>(range: &impl RangeBounds<T>) -> Range<u64> {
    let start = match range.start_bound() {
        Bound::Included(start) => (*start).into(),
        Bound::Excluded(start) => (*start).into().saturating_add(1),
        Bound::Unbounded => 0,
    };
    let end = match range.end_bound() {
        Bound::Included(end) => (*end).into().saturating_add(1),
        Bound::Excluded(end) => (*end).into(),
        Bound::Unbounded => u64::MAX,
    };
    start..end.max(start)
}

#[cfg(test)]
mod tests {
    use quipu_format::Position;

    use super::*;

    #[test]
    fn every_kind_of_range_becomes_half_open() {
        let at = Position::new;
        assert_eq!(half_open::<Position>(&(..)), 0..u64::MAX);
        assert_eq!(half_open(&(at(3)..)), 3..u64::MAX);
        assert_eq!(half_open(&(at(3)..at(5))), 3..5);
        assert_eq!(half_open(&(at(3)..=at(5))), 3..6);
        assert_eq!(half_open(&(..=at(5))), 0..6);
        assert_eq!(half_open(&(Bound::Excluded(at(3)), Bound::Unbounded)), 4..u64::MAX);
        assert_eq!(half_open(&(at(5)..at(3))), 5..5);
        assert_eq!(half_open(&(..=at(u64::MAX))), 0..u64::MAX);
    }
}
