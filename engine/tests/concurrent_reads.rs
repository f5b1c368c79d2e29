//! Readers beside 1,000 writers: no part of a batch, nothing below what has been seen.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)] // a test may panic

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;

use quipu::{Batch, Event, ExpectedVersion, Log, Position};

#[path = "common/support.rs"]
mod support;
use support::{Plain, dense, options, plain};

const WRITERS: u64 = 1_000;
const STREAMS: u64 = 20;

/// Three events over two streams, whose payloads say what belongs together: who, which, of how many.
fn batch(writer: u64, stream: &str, other: &str, expected: ExpectedVersion) -> Batch {
    let event = |part: u32| Event::new("T", format!("{writer} {part} 3"));
    Batch::new()
        .expect(stream, expected)
        .event(stream, event(0))
        .event(other, event(1))
        .event(stream, event(2))
}

/// Creates the stream or appends to it as it is, again after a lost race, then reads its own write.
fn create_or_append_and_read(log: &Log, writer: u64, conflicts: &AtomicU64) {
    let stream = format!("shared-{}", writer % STREAMS);
    let other = format!("shared-{}", (writer + 7) % STREAMS);
    let receipt = loop {
        match log.append(batch(writer, &stream, &other, log.expect_unchanged(&stream))) {
            Ok(receipt) => break receipt,
            Err(error) => {
                let failed = error.failed_preconditions();
                assert_eq!(failed.len(), 1, "only the expected conflict: {error}");
                assert_eq!(failed[0].stream, stream);
                conflicts.fetch_add(1, Ordering::Relaxed);
            }
        }
    };
    let own = plain(log.read(receipt.first_position()..=receipt.last_position()));
    let expected: Vec<String> = (0..3).map(|part| format!("{writer} {part} 3")).collect();
    assert_eq!(
        own.iter().map(|event| &event.payload).collect::<Vec<_>>(),
        expected.iter().collect::<Vec<_>>()
    );
    let version = receipt.version(&stream).unwrap();
    let read = log.read_stream(&stream, version..=version);
    assert!(read.current_version() >= Some(version), "what is acknowledged can be read");
    assert_eq!(plain(read)[0].payload, expected[2]);
}

/// Fails unless the events are whole batches, one behind the other.
fn assert_whole(events: &[Plain]) {
    assert!(events.len().is_multiple_of(3), "part of a batch at the end: {} events", events.len());
    for batch in events.chunks(3) {
        let writer = batch[0].payload.split(' ').next().unwrap();
        for (part, event) in batch.iter().enumerate() {
            assert_eq!(event.payload, format!("{writer} {part} 3"));
        }
    }
}

fn read_everything(log: &Log, seen: &mut Vec<Plain>, random: &mut fastrand::Rng) {
    let whole = random.usize(..=seen.len() / 3) * 3;
    let read = plain(log.read(Position::new(whole as u64)..));
    let end = whole + read.len();
    assert!(end >= seen.len(), "what was seen is seen again");
    assert_eq!(read[..seen.len() - whole], seen[whole..], "nothing comes in below");
    assert!((whole as u64..).zip(&read).all(|(at, event)| event.position == at));
    assert_whole(&read);
    seen.truncate(whole);
    seen.extend(read);
    let backward = plain(log.read(..).backward().limit(3));
    assert!(
        backward
            .iter()
            .rev()
            .enumerate()
            .all(|(part, event)| { event.payload.ends_with(&format!(" {part} 3")) })
    );
}

fn read_one_stream(log: &Log, seen: &mut Vec<Plain>, stream: &str) {
    let read = log.read_stream(stream, ..);
    let current = read.current_version();
    let events = plain(read);
    assert_eq!(events.len() as u64, current.map_or(0, |version| version.as_u64() + 1));
    assert!(events.len() >= seen.len());
    assert_eq!(events[..seen.len()], seen[..], "nothing comes in below");
    assert!((0..).zip(&events).all(|(version, event)| event.version == version));
    let part = |part: &str| {
        let ending = format!(" {part} 3");
        events.iter().filter(|event| event.payload.ends_with(&ending)).count()
    };
    assert_eq!(part("0"), part("2"), "both events of a batch in this stream, or none");
    *seen = events;
}

fn read_batches(log: &Log, seen: &mut u64) {
    let mut next = Position::ZERO;
    for batch in log.batches(..) {
        let batch = batch.unwrap();
        assert_eq!((batch.first_position(), batch.event_count()), (next, 3));
        for (part, event) in batch.events().unwrap().enumerate() {
            let event = event.unwrap();
            assert_eq!(event.position(), next);
            let ending = format!(" {part} 3");
            assert!(event.payload().ends_with(ending.as_bytes()));
            next = next.plus(1);
        }
    }
    assert!(next.as_u64() >= *seen, "nothing vanishes");
    *seen = next.as_u64();
}

#[test]
fn a_thousand_create_append_and_read_at_once_while_readers_see_whole_batches_only() {
    let dir = tempfile::tempdir().unwrap();
    let log = options().open(dir.path()).unwrap();
    let (done, conflicts) = (AtomicBool::new(false), AtomicU64::new(0));
    thread::scope(|scope| {
        let (log, done, conflicts) = (&log, &done, &conflicts);
        let reading = move || !done.load(Ordering::SeqCst);
        scope.spawn(move || {
            let (mut seen, mut random) = (Vec::new(), fastrand::Rng::with_seed(1));
            while reading() {
                read_everything(log, &mut seen, &mut random);
            }
        });
        scope.spawn(move || {
            let mut seen = vec![Vec::new(); STREAMS as usize];
            while reading() {
                for (at, seen) in seen.iter_mut().enumerate() {
                    read_one_stream(log, seen, &format!("shared-{at}"));
                }
            }
        });
        scope.spawn(move || {
            let mut seen = 0;
            while reading() {
                read_batches(log, &mut seen);
            }
        });
        let writers: Vec<_> = (0..WRITERS)
            .map(|writer| {
                thread::Builder::new()
                    .stack_size(256 << 10)
                    .spawn_scoped(scope, move || create_or_append_and_read(log, writer, conflicts))
                    .unwrap()
            })
            .collect();
        let ended: Vec<_> = writers.into_iter().map(thread::ScopedJoinHandle::join).collect();
        done.store(true, Ordering::SeqCst);
        assert!(ended.iter().all(Result::is_ok), "a writer failed");
    });
    let events = dense(&log);
    assert_eq!(events.len() as u64, 3 * WRITERS, "{conflicts:?} conflicts took no position");
    assert_whole(&events);
    log.close().unwrap();
    assert_eq!(dense(&options().open(dir.path()).unwrap()), events, "and all is there again");
}
