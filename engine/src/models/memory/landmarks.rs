//! A reader takes a landmark only when all of it is there.

use std::sync::Arc;

use loom::thread;
use quipu_format::{ByteOffset, Position, layout};

use super::check;
use crate::segment::landmarks::Landmarks;

const START: u64 = layout::segment::BYTES as u64;
const FIRST: u64 = START + 64;
const SECOND: u64 = FIRST + (64 << 10);

/// Positions 10 and 20 are noted; a reader looks for what lies at, before and between them.
#[test]
fn a_reader_that_sees_a_landmark_counted_sees_it_whole() {
    check(|| {
        let landmarks = Arc::new(Landmarks::new(32 << 10));
        let reader = thread::spawn({
            let landmarks = Arc::clone(&landmarks);
            move || {
                let before = |position| landmarks.before(Position::new(position)).as_u64();
                assert_eq!(before(9), START, "no landmark is at or below position 9");
                assert!([START, FIRST].contains(&before(19)), "position 20 counts for 19");
                let first = before(20);
                assert!([START, FIRST, SECOND].contains(&first), "half a landmark: offset {first}");
                assert!(before(20) >= first, "a landmark that was seen is gone");
            }
        });
        landmarks.note(Position::new(10), ByteOffset::new(FIRST));
        landmarks.note(Position::new(20), ByteOffset::new(SECOND));
        reader.join().unwrap();
        let before = |position| landmarks.before(Position::new(position)).as_u64();
        assert_eq!([before(19), before(20)], [FIRST, SECOND]);
    });
}
