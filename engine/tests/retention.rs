//! Dropping the front of the log: what goes, what stays, and what is told of what is gone.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)] // a test may panic

use quipu::sim::SimDisk;
use quipu::{
    AppendError, AppendErrorKind, Batch, Delivery, Durability, Event, EventId, ExpectedVersion,
    Log, Position, Query, ReadError, TruncateError, Version,
};

#[path = "common/dropping.rs"]
mod dropping;
use dropping::{append, at, check_kept, known, names, options, truncated};

fn is_truncated<T>(answer: Option<Result<T, ReadError>>, first: Position) -> bool {
    matches!(answer, Some(Err(ReadError::Truncated { first_available })) if first_available == first)
}

#[test]
fn whole_segments_below_the_position_go_and_everything_else_is_as_it_was() {
    let disk = SimDisk::new(7);
    let log = Log::open_simulated(&disk, options()).unwrap();
    append(&log, 0..60);
    let before = known(&log);
    assert_eq!(log.first_available(), Position::ZERO);
    let planned = log.would_truncate_before(at(31)).unwrap();
    let truncation = log.truncate_before(at(31)).unwrap();
    assert_eq!(truncation, planned);
    assert_eq!((truncation.segments, truncation.bytes), (10, 10 * 8192));
    assert_eq!((truncation.events, truncation.first_available), (30, at(30)));
    assert_eq!(log.first_available(), at(30));
    let listed = names(&disk);
    assert!(!listed.contains("00000000000000000009.seg"), "{listed:?}");
    assert!(!listed.contains("00000000000000000009.idx"), "{listed:?}");
    for name in ["10.seg", "10.base", "10.base2"] {
        assert!(listed.contains(&format!("000000000000000000{name}")), "{name} of {listed:?}");
    }
    assert_eq!(known(&log), before);
    check_kept(&log);
    // The same once more, and one in front of it, drop nothing.
    for position in [31, 3] {
        let again = log.truncate_before(at(position)).unwrap();
        assert_eq!((again.segments, again.events, again.first_available), (0, 0, at(30)));
    }
    log.close().unwrap();
    for verify in [false, true] {
        let log = Log::open_simulated(&disk, options().verify_on_open(verify)).unwrap();
        let report = log.recovery_report();
        assert_eq!((report.first_available, report.events), (at(30), 60));
        assert_eq!((report.base_copies_wrong, report.dropped_files_found), (0, 0));
        assert_eq!(known(&log), before);
        check_kept(&log);
        log.close().unwrap();
    }
}

#[test]
fn versions_of_streams_whose_events_are_gone_go_on() {
    let (disk, log, _) = truncated();
    let refused = |log: &Log| {
        let batch = Batch::new().expect("s-1", ExpectedVersion::NoStream);
        let answer = log.append(batch.event("s-1", Event::new("T", "")));
        let Err(AppendError::PreconditionFailed(failed)) = answer else { panic!("{answer:?}") };
        assert_eq!(failed[0].actual.unwrap().version, Version::ZERO);
        assert_eq!(failed[0].actual.unwrap().position, at(1));
    };
    refused(&log);
    log.close().unwrap();
    let log = Log::open_simulated(&disk, options()).unwrap();
    refused(&log);
    let batch = Batch::new().expect("s-1", ExpectedVersion::LastPosition(at(1)));
    let receipt = log.append(batch.event("s-1", Event::new("T", vec![60]))).unwrap();
    assert_eq!(receipt.version("s-1"), Some(Version::new(1)));
    assert_eq!(receipt.first_position(), at(60));
    let batch = Batch::new().checkpoint("p", at(57)).event("s-1", Event::new("T", ""));
    assert!(matches!(log.append(batch), Err(AppendError::CheckpointRefused { .. })));
}

#[test]
fn what_is_asked_for_below_is_refused_and_says_where_the_log_begins() {
    let (_, log, truncation) = truncated();
    let first = truncation.first_available;
    assert!(is_truncated(log.read(..).into_iter().next(), first));
    assert!(is_truncated(log.read(at(29)..).into_iter().next(), first));
    assert!(is_truncated(log.read(at(2)..at(5)).into_iter().next(), first));
    assert!(is_truncated(log.read(..).tag("t:1").into_iter().next(), first));
    assert!(is_truncated(log.read(..).event_type("T").into_iter().next(), first));
    assert!(is_truncated(log.batches(..).next(), first));
    assert!(is_truncated(log.read_stream("often", ..).into_iter().next(), first));
    assert!(is_truncated(log.read_stream("s-1", ..).into_iter().next(), first));
    assert!(is_truncated(log.read_stream("s-1", ..).backward().into_iter().next(), first));
    assert!(is_truncated(log.subscribe(at(3)).start().next(), first));
    assert!(is_truncated(log.subscribe_stream("often", Version::ZERO).next(), first));
    let mut ended = log.subscribe(at(3)).start();
    assert!(is_truncated(ended.next(), first) && ended.next().is_none());
    let mut read = log.read(..).into_iter();
    assert!(is_truncated(read.next(), first) && read.next().is_none());
    assert_eq!(log.read(..).limit(0).into_iter().count(), 0);
    assert_eq!(log.read(at(3)..at(3)).into_iter().count(), 0);
    assert_eq!(log.read_stream("s-1", Version::new(1)..).into_iter().count(), 0);
    let asked = Batch::new().expect_none(Query::new().tag("nowhere"), at(29));
    let refused = log.append(asked.event("a", Event::new("T", ""))).unwrap_err();
    assert_eq!(refused.kind(), AppendErrorKind::Precondition);
    assert!(matches!(refused, AppendError::NotJudged(ReadError::Truncated { .. })));
    let asked = Batch::new().expect_none(Query::new().tag("nowhere"), first);
    log.append(asked.event("a", Event::new("T", vec![60]))).unwrap();
}

#[test]
fn backward_what_is_kept_comes_first_and_then_the_error() {
    let (_, log, truncation) = truncated();
    let first = truncation.first_available;
    let mut read = log.read(..).backward().into_iter();
    for position in (30..60).rev() {
        assert_eq!(read.next().unwrap().unwrap().position(), at(position));
    }
    assert!(is_truncated(read.next(), first) && read.next().is_none());
    let mut tagged = log.read(..).tag("t:1").backward().into_iter();
    assert_eq!(tagged.by_ref().take_while(|event| event.is_ok()).count(), 7);
    assert!(tagged.next().is_none());
    let last = |limit| log.read(..).backward().limit(limit).into_iter();
    assert!(last(30).all(|event| event.is_ok()));
    assert!(last(31).last().unwrap().is_err());
    assert!(log.read(first..).backward().into_iter().all(|event| event.is_ok()));
    let mut batches = log.batches(..).backward();
    assert_eq!(batches.by_ref().take(30).filter(|batch| batch.is_ok()).count(), 30);
    assert!(is_truncated(batches.next(), first) && batches.next().is_none());
    let mut stream = log.read_stream("often", ..).backward().into_iter();
    for position in (30..60).rev().filter(|position| position % 3 == 0) {
        assert_eq!(stream.next().unwrap().unwrap().position(), at(position));
    }
    assert!(is_truncated(stream.next(), first) && stream.next().is_none());
    let versions: Vec<_> = log.read_stream("often", Version::new(10)..).into_iter().collect();
    assert_eq!(versions.len(), 10);
    assert!(is_truncated(log.read(at(3)..at(9)).backward().into_iter().next(), first));
}

#[test]
fn a_read_by_time_that_begins_later_than_all_that_is_gone_is_answered() {
    let (_, log, truncation) = truncated();
    let kept: Vec<_> =
        log.read(truncation.first_available..).into_iter().map(|event| event.unwrap()).collect();
    let later = kept[4].committed_at();
    let read: Vec<_> = log.read(..).committed(later..).into_iter().collect();
    assert_eq!(read.len(), kept.len() - 4);
    assert!(read.iter().all(|event| event.is_ok()));
    let all = log.read(..).committed(quipu::CommitTime::ZERO..);
    assert!(is_truncated(all.into_iter().next(), truncation.first_available));
}

#[test]
fn a_subscription_in_what_is_dropped_ends_and_one_behind_it_goes_on() {
    let disk = SimDisk::new(7);
    let log = Log::open_simulated(&disk, options()).unwrap();
    append(&log, 0..30);
    let (mut slow, mut quick) = (log.subscribe(at(2)).start(), log.subscribe(at(0)).start());
    assert!(matches!(slow.next(), Some(Ok(Delivery::Event(event))) if event.position() == at(2)));
    for position in 0..30 {
        let next = quick.next();
        assert!(matches!(next, Some(Ok(Delivery::Event(it))) if it.position() == at(position)));
    }
    append(&log, 30..60);
    let first = log.truncate_before(at(50)).unwrap().first_available;
    // What its snapshot has it still gives.
    for position in 3..30 {
        let next = slow.next();
        assert!(matches!(next, Some(Ok(Delivery::Event(it))) if it.position() == at(position)));
    }
    assert!(is_truncated(slow.next(), first) && slow.next().is_none());
    assert!(is_truncated(quick.next(), first), "it lags behind too");
    let mut after = log.subscribe(first).start();
    assert!(matches!(after.next(), Some(Ok(Delivery::Event(it))) if it.position() == first));
}

#[test]
fn a_repeated_batch_whose_events_are_gone_is_not_recognised() {
    let disk = SimDisk::new(7);
    let log = Log::open_simulated(&disk, options()).unwrap();
    let batch = || {
        let event = Event::new("T", vec![0; 1000]).id(EventId::from(9));
        let expected = Batch::new().idempotent().expect("once", ExpectedVersion::NoStream);
        expected.event("once", event)
    };
    log.append(batch()).unwrap();
    append(&log, 1..30);
    assert!(log.append(batch()).unwrap().replayed());
    log.truncate_before(at(20)).unwrap();
    assert!(matches!(log.append(batch()), Err(AppendError::PreconditionFailed(_))));
}

#[test]
fn nothing_that_is_not_durable_or_is_still_written_is_dropped() {
    let disk = SimDisk::new(7);
    let log = Log::open_simulated(&disk, options().durability(Durability::Buffered)).unwrap();
    append(&log, 0..30);
    assert_eq!(log.truncate_before(at(1000)).unwrap().segments, 0, "nothing is durable");
    log.sync().unwrap();
    let dropped = log.truncate_before(at(1000)).unwrap();
    assert!(dropped.first_available < log.end() && dropped.segments > 5, "{dropped:?}");
    check_kept(&log);
    let reader = Log::open_simulated_read_only(&disk.beside(), options()).unwrap();
    assert!(matches!(reader.truncate_before(at(9)), Err(TruncateError::ReadOnly)));
    let other = log.clone();
    log.close().unwrap();
    assert!(matches!(other.truncate_before(at(9)), Err(TruncateError::Closed)));
}

#[test]
fn a_follower_lets_go_of_what_is_dropped_and_goes_on_behind_it_if_it_was_left_behind() {
    let disk = SimDisk::new(7);
    let log = Log::open_simulated(&disk, options()).unwrap();
    append(&log, 0..30);
    let near = Log::open_simulated_read_only(&disk.beside(), options()).unwrap();
    assert_eq!(near.end(), at(30));
    append(&log, 30..33);
    assert_eq!(near.end(), at(33));
    let (all, first) = (near.read(..), log.truncate_before(at(20)).unwrap().first_available);
    assert_eq!(near.first_available(), first);
    assert!(is_truncated(near.read(..).into_iter().next(), first));
    assert_eq!(all.into_iter().filter(|event| event.is_ok()).count(), 33, "begun before");
    assert_eq!(known(&near), known(&log));
    check_kept(&near);
    // Left behind: it goes on where the log begins now.
    let far = Log::open_simulated_read_only(&disk.beside(), options()).unwrap();
    let mut subscription = far.subscribe(at(33)).start();
    let (begun, streams) = (far.read(at(20)..), far.read_stream("often", Version::new(8)..));
    append(&log, 33..60);
    let first = log.truncate_before(at(50)).unwrap().first_available;
    assert_eq!((far.end(), far.first_available()), (at(60), first));
    assert!(is_truncated(subscription.next(), first) && subscription.next().is_none());
    assert_eq!(known(&far), known(&log));
    check_kept(&far);
    assert_eq!(begun.into_iter().filter(|event| event.is_ok()).count(), 13, "begun before");
    let begun = streams.into_iter().next().unwrap();
    assert!(begun.is_ok() || is_truncated(Some(begun), first));
    append(&log, 60..64);
    assert_eq!(known(&far), known(&log));
    check_kept(&far);
}

#[test]
fn appends_reads_and_subscriptions_go_on_while_the_front_is_dropped() {
    use std::sync::atomic::{AtomicBool, Ordering};
    const EVENTS: u64 = 6_000;
    let folder = tempfile::tempdir().unwrap();
    let log = options().segment_bytes(32 << 10).open(folder.path()).unwrap();
    let reader = Log::open_read_only(folder.path()).unwrap();
    let is_done = AtomicBool::new(false);
    let event = |number: u64| Event::new("T", number.to_le_bytes().repeat(20));
    std::thread::scope(|scope| {
        let log = &log;
        let writers: Vec<_> = (0..3_u64)
            .map(|writer| {
                scope.spawn(move || {
                    for number in 0..EVENTS / 3 {
                        // The stream's version is right however much of it is gone.
                        let stream = format!("s-{writer}");
                        let expected = number.checked_sub(1).map(Version::new);
                        let expected = expected.map_or(ExpectedVersion::NoStream, |version| {
                            ExpectedVersion::Exact(version)
                        });
                        let batch = Batch::new().durability(Durability::Buffered);
                        let batch = batch.expect(&*stream, expected).event(&*stream, event(number));
                        log.append(batch).unwrap();
                        if number % 300 == 299 {
                            log.sync().unwrap();
                        }
                    }
                })
            })
            .collect();
        // Whoever reads is given what is there, in order, or told where the log begins.
        let read_on = |log: &Log| {
            let mut next = log.first_available();
            while !is_done.load(Ordering::Relaxed) || next < log.end() {
                for read in log.read(next..) {
                    match read {
                        Ok(event) => {
                            assert_eq!(event.position(), next);
                            next = next.plus(1);
                        }
                        Err(ReadError::Truncated { first_available }) => {
                            assert!(first_available > next);
                            next = first_available;
                        }
                        Err(error) => panic!("{error}"),
                    }
                }
            }
            next
        };
        let reading = scope.spawn(move || read_on(log));
        let subscribed = scope.spawn(move || {
            let mut next = Position::ZERO;
            while next < at(EVENTS) {
                let mut subscription = log.subscribe(next).start();
                while next < at(EVENTS) {
                    match subscription.next().unwrap() {
                        Ok(Delivery::Event(event)) => {
                            assert_eq!(event.position(), next);
                            next = next.plus(1);
                        }
                        Ok(_) => {}
                        Err(ReadError::Truncated { first_available }) => {
                            next = first_available;
                            break;
                        }
                        Err(error) => panic!("{error}"),
                    }
                }
            }
        });
        let truncating = scope.spawn(|| {
            let mut dropped = 0;
            while !is_done.load(Ordering::Relaxed) {
                let position = log.end().as_u64().saturating_sub(500);
                let answer = log.truncate_before(at(position)).unwrap();
                assert!(answer.first_available <= at(position).max(log.first_available()));
                dropped += answer.segments;
            }
            dropped
        });
        writers.into_iter().for_each(|writer| writer.join().unwrap());
        log.sync().unwrap();
        is_done.store(true, Ordering::Relaxed);
        assert_eq!(reading.join().unwrap(), at(EVENTS));
        subscribed.join().unwrap();
        assert!(truncating.join().unwrap() > 5);
    });
    let first = log.first_available();
    assert!(first > at(EVENTS / 2), "{first}");
    assert_eq!(reader.end(), at(EVENTS));
    log.close().unwrap();
    let log = options().open(folder.path()).unwrap();
    assert_eq!((log.first_available(), log.end()), (first, at(EVENTS)));
    let versions = (0..3).map(|writer| log.stream_version(format!("s-{writer}")).unwrap());
    assert!(versions.into_iter().all(|version| version.as_u64() == EVENTS / 3 - 1));
    assert_eq!(
        log.read(first..).into_iter().filter(|event| event.is_ok()).count() as u64,
        EVENTS - first.as_u64()
    );
}
