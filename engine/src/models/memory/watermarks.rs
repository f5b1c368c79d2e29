//! Whoever sees a mark of the log finds what the mark promises.

use std::sync::Arc;

use loom::thread;
use quipu_format::Position;

use super::{Cells, check};
use crate::watermark::{Reach, Watermarks};

/// Two batches of one event each pass through two writers, who hand over through the written mark
/// alone: one stores, the other syncs and publishes what it sees written.
fn run(reader: impl Fn(&Watermarks, &Cells, &Cells) + Send + Sync + Copy + 'static) {
    check(move || {
        let marks = Arc::new(Watermarks::new(Position::ZERO, Position::ZERO));
        let (stored, durable) = (Cells::new(2), Cells::new(2));
        let publishing = thread::spawn({
            let (marks, stored, durable) =
                (Arc::clone(&marks), Arc::clone(&stored), Arc::clone(&durable));
            move || {
                let end = marks.written();
                stored.assert_filled_below(end.as_u64(), "written, seen by the publisher");
                durable.fill(0, end.as_u64());
                marks.sync(Reach { position: end, frames: end.as_u64() });
                marks.publish(end);
            }
        });
        let reading = thread::spawn({
            let (marks, stored, durable) =
                (Arc::clone(&marks), Arc::clone(&stored), Arc::clone(&durable));
            move || reader(&marks, &stored, &durable)
        });
        for event in 0..2 {
            stored.fill(event, event + 1);
            marks.write(Reach { position: Position::new(event + 1), frames: event + 1 });
        }
        publishing.join().unwrap();
        reading.join().unwrap();
        assert_eq!(marks.written(), Position::new(2));
    });
}

#[test]
fn all_below_the_published_end_is_seen_stored_and_durable() {
    run(|marks, stored, durable| {
        let published = marks.published();
        stored.assert_filled_below(published.as_u64(), "published");
        durable.assert_filled_below(published.as_u64(), "published after its sync");
    });
}

#[test]
fn the_marks_are_seen_in_the_order_in_which_they_rise() {
    run(|marks, _, _| {
        let published = marks.published();
        let synced = marks.synced();
        assert!(synced >= published, "seen published, but not synced");
        assert!(marks.written() >= synced, "seen synced, but not written");
    });
}

#[test]
fn all_below_the_synced_end_is_seen_stored_and_durable() {
    run(|marks, stored, durable| {
        let synced = marks.synced();
        stored.assert_filled_below(synced.as_u64(), "synced");
        durable.assert_filled_below(synced.as_u64(), "synced");
    });
}

#[test]
fn all_below_the_written_end_is_seen_stored() {
    run(|marks, stored, _| {
        let written = marks.written();
        stored.assert_filled_below(written.as_u64(), "written");
    });
}
