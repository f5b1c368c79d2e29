//! Goal: a thousand subscribers, half of them slow, see every event once and in order while 64 threads
//! append, and none of them holds up another or an append.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)] // a test may panic

use std::sync::Barrier;
use std::thread;
use std::time::Duration;

use quipu::{Batch, Delivery, Event, Log, Position};

const SUBSCRIBERS: u64 = 1_000;
const THREADS: u64 = 64;
const BATCHES: u64 = 6;
const EVENTS: u64 = THREADS * BATCHES * 2;

/// Small: there are a thousand of them.
const STACK_BYTES: usize = 256 << 10;

/// Reads to the last event; the payload of each says who has appended it, and as the how manieth.
fn follow(log: &Log, number: u64) {
    let from = number % 7;
    let mut expected = from;
    let mut next_of = [0; THREADS as usize];
    for delivery in log.subscribe(Position::new(from)) {
        let Delivery::Event(event) = delivery.unwrap() else { continue };
        assert_eq!(event.position().as_u64(), expected, "subscriber {number}");
        let payload: [u8; 16] = event.payload().try_into().unwrap();
        let (thread, count) = payload.split_at(8);
        let thread = u64::from_le_bytes(thread.try_into().unwrap()) as usize;
        let count = u64::from_le_bytes(count.try_into().unwrap());
        assert!(count >= next_of[thread], "subscriber {number}: thread {thread} runs backwards");
        next_of[thread] = count + 1;
        expected += 1;
        if expected == EVENTS {
            return;
        }
        if number % 2 == 1 && expected.is_multiple_of(64) {
            thread::sleep(Duration::from_millis(number % 20));
        }
    }
    panic!("subscriber {number} was given {expected} events of {EVENTS}");
}

fn append(log: &Log, thread: u64) {
    for batch in 0..BATCHES {
        let event =
            |count: u64| Event::new("T", [thread.to_le_bytes(), count.to_le_bytes()].concat());
        let batch = Batch::new()
            .event(format!("s-{thread}"), event(batch * 2))
            .event("all", event(batch * 2 + 1));
        log.append(batch).unwrap();
    }
}

#[test]
fn a_thousand_subscribers_see_every_event_once_in_order_while_64_threads_append() {
    let dir = tempfile::tempdir().unwrap();
    let log = Log::options().segment_bytes(64 << 10).open(dir.path()).unwrap();
    let started = Barrier::new(SUBSCRIBERS as usize + THREADS as usize);
    thread::scope(|scope| {
        let spawn = |name: &str| thread::Builder::new().name(name.into()).stack_size(STACK_BYTES);
        for number in 0..SUBSCRIBERS {
            let (log, started) = (&log, &started);
            let subscriber = move || {
                started.wait();
                follow(log, number);
            };
            spawn("subscriber").spawn_scoped(scope, subscriber).unwrap();
        }
        for number in 0..THREADS {
            let (log, started) = (&log, &started);
            let appender = move || {
                started.wait();
                append(log, number);
            };
            spawn("appender").spawn_scoped(scope, appender).unwrap();
        }
    });
    assert_eq!(log.end(), Position::new(EVENTS));
}
