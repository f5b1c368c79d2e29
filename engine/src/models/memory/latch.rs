//! All who hear of a failure hear of the first.

use std::io;
use std::sync::Arc;

use loom::sync::atomic::{AtomicUsize, Ordering};
use loom::thread;

use super::{Cells, check};
use crate::storage::IoError;
use crate::storage::latch::Latch;

fn trip(latch: &Latch, operation: &'static str) -> &'static str {
    latch.trip(IoError::new(operation, "0001.seg", io::ErrorKind::Other.into())).operation()
}

#[test]
fn all_who_trip_or_check_a_latch_hear_of_one_cause_from_then_on() {
    check(|| {
        let latch = Arc::new(Latch::new());
        let tripping = thread::spawn({
            let latch = Arc::clone(&latch);
            move || {
                let heard = trip(&latch, "sync");
                (heard, latch.check().unwrap_err().operation())
            }
        });
        let looking = thread::spawn({
            let latch = Arc::clone(&latch);
            move || latch.check().err().map(|cause| cause.operation())
        });
        let heard = trip(&latch, "append");
        let seen = latch.check().unwrap_err().operation();
        assert_eq!((tripping.join().unwrap(), seen), ((heard, heard), heard));
        let looked = looking.join().unwrap();
        assert!(looked.is_none_or(|cause| cause == heard), "{looked:?} and {heard}");
    });
}

#[test]
fn whoever_finds_a_latch_shut_sees_what_came_before_it_was_shut() {
    check(|| {
        let latch = Arc::new(Latch::new());
        let before = Cells::new(1);
        let looking = thread::spawn({
            let (latch, before) = (Arc::clone(&latch), Arc::clone(&before));
            move || {
                if latch.check().is_err() {
                    before.assert_filled_below(1, "stored before the latch was shut");
                }
            }
        });
        before.fill(0, 1);
        trip(&latch, "sync");
        looking.join().unwrap();
    });
}

#[test]
fn a_sync_that_fails_has_shut_the_latch_before_the_next_one_begins() {
    check(|| {
        let latch = Arc::new(Latch::new());
        let syncs = Arc::new(AtomicUsize::new(0));
        let sync = |latch: &Latch, syncs: &AtomicUsize| {
            let _turn = latch.turn();
            // The first sync fails; a second one would be told of success.
            if latch.check().is_ok() && syncs.fetch_add(1, Ordering::Relaxed) == 0 {
                trip(latch, "sync");
            }
        };
        let other = thread::spawn({
            let (latch, syncs) = (Arc::clone(&latch), Arc::clone(&syncs));
            move || sync(&latch, &syncs)
        });
        sync(&latch, &syncs);
        other.join().unwrap();
        assert_eq!(syncs.load(Ordering::Relaxed), 1, "synced again after a failure");
    });
}
