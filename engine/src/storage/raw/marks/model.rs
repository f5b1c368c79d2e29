//! Bytes below a region's mark are final: whoever sees the mark sees them, and nobody stores there.

#![allow(clippy::unwrap_used)] // a test may panic

use std::sync::Arc;

use loom::thread;

use super::{Access, Mark, Marks};
use crate::models::memory::{Cells, check};

/// The writer fills two bytes, promises them, and again; then it is gone. `other` runs beside it.
fn run(other: impl Fn(&Marks, &Mark, &Cells) + Send + Sync + Copy + 'static) {
    check(move || {
        let marks = Arc::new(Marks::default());
        let mark = marks.admit(0, Access::Write).unwrap();
        let bytes = Cells::new(4);
        let beside = thread::spawn({
            let (marks, mark, bytes) = (Arc::clone(&marks), Arc::clone(&mark), Arc::clone(&bytes));
            move || other(&marks, &mark, &bytes)
        });
        for end in [2, 4] {
            bytes.fill(end - 2, end);
            mark.publish(end);
        }
        mark.retire();
        beside.join().unwrap();
        assert_eq!(mark.written(), 4);
    });
}

#[test]
fn bytes_below_a_mark_are_never_seen_half_stored() {
    run(|_, mark, bytes| {
        let seen = mark.written();
        bytes.assert_filled_below(seen, "promised");
        assert!(mark.written() >= seen, "the mark fell");
    });
}

#[test]
fn a_reader_admitted_beside_a_writer_is_promised_only_what_is_stored() {
    run(|marks, _, bytes| {
        let mark = marks.admit(4, Access::Read).unwrap();
        bytes.assert_filled_below(mark.written(), "promised to a new reader");
    });
}

#[test]
fn a_reader_raised_beside_a_writer_is_promised_only_what_is_stored() {
    run(|marks, _, bytes| {
        let mark = marks.admit(0, Access::Read).unwrap();
        marks.raise(&mark, 4);
        bytes.assert_filled_below(mark.written(), "promised to a raised reader");
    });
}

#[test]
fn a_second_writer_comes_only_behind_the_first_and_behind_all_it_has_promised() {
    run(|marks, _, bytes| {
        if marks.admit(2, Access::Write).is_ok() {
            panic!("a writer at 2 would store over bytes promised up to 4");
        }
        if let Ok(second) = marks.admit(4, Access::Write) {
            bytes.assert_filled_below(second.written(), "promised by the first writer");
        }
    });
}

#[test]
fn a_store_past_the_regions_goes_in_only_where_nothing_is_promised() {
    run(|marks, _, bytes| {
        let stored = marks.store_alone(2, || ());
        assert!(
            stored.is_err(),
            "a store at 2, where bytes are being written and promised up to 4"
        );
        if marks.store_alone(4, || ()).is_ok() {
            bytes.assert_filled_below(4, "promised by a writer that is gone");
        }
    });
}
