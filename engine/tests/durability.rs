//! What is durable when: buffered and synced appends, explicit and timed syncs, the idle mark.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)] // a test may panic

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use quipu::{Durability, Log, Options, Position};

#[path = "common/support.rs"]
mod support;
use support::{dense, one, options, payloads, plain, poll_until};

use Durability::{Buffered, Sync};

/// Nothing happens by itself within a test's time.
fn quiet() -> Options {
    options().idle_mark_after(Duration::from_secs(3_600))
}

fn ends(log: &Log) -> (u64, u64) {
    (log.synced_end().as_u64(), log.end().as_u64())
}

#[test]
fn a_buffered_append_is_visible_and_not_yet_durable() {
    let dir = tempfile::tempdir().unwrap();
    let log = quiet().durability(Buffered).open(dir.path()).unwrap();
    for number in 0..10 {
        log.append(one("s", format!("{number}"))).unwrap();
        assert_eq!(ends(&log), (0, number + 1));
        assert_eq!(payloads(log.read_stream("s", ..)).len() as u64, number + 1);
    }
    // Handed over to the writer's threads it is the same.
    log.submit(one("s", "10")).unwrap().wait().unwrap();
    assert_eq!(ends(&log), (0, 11));
}

#[test]
fn a_synced_append_makes_all_before_it_durable_over_segments_too() {
    let dir = tempfile::tempdir().unwrap();
    let log = quiet().segment_bytes(8 << 10).durability(Buffered).open(dir.path()).unwrap();
    for number in 0..100 {
        log.append(one("s", "x".repeat(200))).unwrap();
        assert_eq!(ends(&log), (0, number + 1));
    }
    let receipt = log.append(one("s", "last").durability(Sync)).unwrap();
    assert_eq!(ends(&log), (receipt.last_position().as_u64() + 1, 101));
    log.append(one("s", "")).unwrap();
    assert_eq!(ends(&log), (101, 102));
}

#[test]
fn a_batchs_own_durability_goes_before_the_logs() {
    let dir = tempfile::tempdir().unwrap();
    let log = quiet().open(dir.path()).unwrap();
    log.append(one("s", "").durability(Buffered)).unwrap();
    assert_eq!(ends(&log), (0, 1));
    log.append(one("s", "")).unwrap();
    assert_eq!(ends(&log), (2, 2), "the log's default is Sync");
}

#[test]
fn a_sync_makes_everything_before_it_durable_and_says_how_far() {
    let dir = tempfile::tempdir().unwrap();
    let log = quiet().durability(Buffered).open(dir.path()).unwrap();
    assert_eq!(log.sync().unwrap(), Position::ZERO);
    for number in 1..20_u64 {
        log.append(one("s", "")).unwrap();
        if number.is_multiple_of(3) {
            let ticket = log.submit(one("s", "submitted before the sync")).unwrap();
            let end = log.sync().unwrap();
            assert!(end > ticket.wait().unwrap().last_position());
            assert_eq!(log.synced_end(), end);
        }
    }
}

#[test]
fn the_interval_syncs_what_is_buffered_by_itself() {
    let dir = tempfile::tempdir().unwrap();
    let log = quiet()
        .durability(Buffered)
        .sync_interval(Duration::from_millis(1))
        .open(dir.path())
        .unwrap();
    for round in 0..50 {
        // Both ways in: in place, and through the queue.
        let end = match round % 2 {
            0 => log.append(one("s", "")).unwrap(),
            _ => log.submit(one("s", "")).unwrap().wait().unwrap(),
        };
        let end = end.last_position().plus(1);
        poll_until("the interval's sync", || (log.synced_end() >= end).then_some(()));
    }
}

#[test]
fn the_interval_syncs_also_when_the_writer_waits_for_the_idle_mark_already() {
    let dir = tempfile::tempdir().unwrap();
    let log = quiet().sync_interval(Duration::from_millis(1)).open(dir.path()).unwrap();
    for _ in 0..30 {
        // From here on the writer waits, for an hour, to mark this one.
        log.append(one("s", "")).unwrap();
        thread::sleep(Duration::from_millis(2));
        let end = log.append(one("s", "").durability(Buffered)).unwrap().last_position().plus(1);
        poll_until("the interval's sync", || (log.synced_end() >= end).then_some(()));
    }
}

#[test]
fn what_is_durable_never_ends_behind_what_is_visible_nor_falls() {
    let dir = tempfile::tempdir().unwrap();
    let log = quiet().open(dir.path()).unwrap();
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        let (log, done) = (&log, &done);
        scope.spawn(move || {
            let (mut synced, mut end) = (Position::ZERO, Position::ZERO);
            while !done.load(Ordering::SeqCst) {
                // The first is asked first: it may not run ahead of what is asked later.
                let (synced_now, end_now) = (log.synced_end(), log.end());
                assert!(synced <= synced_now && end <= end_now, "no end ever falls");
                (synced, end) = (synced_now, end_now);
            }
        });
        for caller in 0..4 {
            scope.spawn(move || {
                for number in 0..200 {
                    let durability = if number % 3 == 0 { Sync } else { Buffered };
                    let batch = one(&format!("s{caller}"), "").durability(durability);
                    let receipt = log.append(batch).unwrap();
                    let last = receipt.last_position();
                    assert!(log.end() > last, "what is acknowledged is visible");
                    assert!(durability == Buffered || log.synced_end() > last, "and durable");
                }
            });
        }
        poll_until("all appends", || (log.end() == Position::new(800)).then_some(()));
        done.store(true, Ordering::SeqCst);
    });
    log.close().unwrap();
    let log = options().open(dir.path()).unwrap();
    assert_eq!(ends(&log), (800, 800));
}

#[test]
fn closing_makes_buffered_appends_durable() {
    let dir = tempfile::tempdir().unwrap();
    let log = quiet().durability(Buffered).open(dir.path()).unwrap();
    for number in 0..10 {
        log.append(one("s", format!("{number}"))).unwrap();
    }
    let other = log.clone();
    log.close().unwrap();
    assert_eq!(ends(&other), (10, 10));
    drop(other);
    let log = Log::open_read_only(dir.path()).unwrap();
    assert!(log.recovery_report().clean_close);
    assert_eq!(log.recovery_report().proved_durable, Position::new(10));
}

#[test]
fn beside_a_live_writer_a_reader_sees_what_is_proved_durable_and_all_after_the_idle_mark() {
    let dir = tempfile::tempdir().unwrap();
    let log = options().idle_mark_after(Duration::from_millis(1)).open(dir.path()).unwrap();
    for round in 1..=5_u64 {
        log.append(one("s", format!("{round}"))).unwrap();
        poll_until("the idle mark", || {
            let reader = Log::open_read_only(dir.path()).unwrap();
            let seen = plain(reader.read(..));
            assert!(seen.len() as u64 == round || seen.len() as u64 == round - 1);
            assert_eq!(seen.len() as u64, reader.end().as_u64());
            (seen.len() as u64 == round).then_some(())
        });
    }
    // What is only buffered is not served: a power cut may still take it back.
    log.append(one("s", "buffered").durability(Buffered)).unwrap();
    let reader = Log::open_read_only(dir.path()).unwrap();
    assert_eq!(plain(reader.read(..)).len(), 5);
    assert_eq!(reader.stream_version("s"), Some(4.into()));
    assert_eq!(plain(reader.read_stream("s", ..)).len(), 5);
    log.close().unwrap();
    assert_eq!(dense(&Log::open_read_only(dir.path()).unwrap()).len(), 6);
}
