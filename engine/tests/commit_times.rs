//! Commit times: the caller's own where it brings them, one a batch, never running backwards.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)] // a test may panic

use std::time::Duration;

use quipu::{CommitTime, Durability, Log};

#[path = "common/support.rs"]
mod support;
use support::{one, options, poll_until};

fn times(log: &Log) -> Vec<u64> {
    log.batches(..).map(|batch| batch.unwrap().committed_at().as_u64()).collect()
}

#[test]
fn history_of_any_age_keeps_its_times_over_segments_marks_and_openings() {
    let dir = tempfile::tempdir().unwrap();
    let open = || {
        let quiet = Duration::from_millis(1);
        options().segment_bytes(8 << 10).idle_mark_after(quiet).open(dir.path()).unwrap()
    };
    let mut log = open();
    let mut expected = Vec::new();
    for time in 1..=90_u64 {
        let batch = one("s", "x".repeat(200)).committed_at(CommitTime::new(time));
        assert_eq!(log.append(batch).unwrap().committed_at(), CommitTime::new(time));
        expected.push(time);
        if time % 30 == 10 {
            // Quiet for as long as it takes the writer to note on disk that all is durable.
            poll_until("the idle mark", || {
                let proved = Log::open_read_only(dir.path()).unwrap();
                (proved.end() == log.end()).then_some(())
            });
        }
        if time % 30 == 20 {
            log.close().unwrap();
            log = open();
        }
    }
    assert_eq!(times(&log), expected);
    log.close().unwrap();
    let log = open();
    assert!(log.recovery_report().segments > 3);
    assert_eq!(times(&log), expected);
}

#[test]
fn a_time_below_that_of_the_batch_before_is_raised_to_it() {
    let dir = tempfile::tempdir().unwrap();
    let log = options().open(dir.path()).unwrap();
    for (given, expected) in [(50, 50), (40, 50), (50, 50), (60, 60), (0, 60)] {
        let batch = one("s", "").committed_at(CommitTime::new(given));
        assert_eq!(log.append(batch).unwrap().committed_at(), CommitTime::new(expected));
    }
    let by_the_clock = log.append(one("s", "")).unwrap().committed_at();
    assert!(by_the_clock > CommitTime::new(60));
    let far_ahead = CommitTime::new(u64::MAX);
    log.append(one("s", "").committed_at(far_ahead)).unwrap();
    for durability in [Durability::Sync, Durability::Buffered] {
        let later = log.append(one("s", "").durability(durability)).unwrap();
        assert_eq!(later.committed_at(), far_ahead, "the clock runs behind, and does not count");
    }
    log.close().unwrap();
    let all = times(&options().open(dir.path()).unwrap());
    assert!(all.is_sorted());
    assert_eq!(all.len(), 9);
}
