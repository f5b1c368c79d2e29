//! Goal: a subscription gives every event once and in order, history and live, says when it has
//! caught up, moves on where nothing matches, and ends when it is told to.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)] // a test may panic

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::thread;
use std::time::{Duration, Instant};

use futures_core::Stream;
use quipu::{Batch, Delivery, Durability, Event, Log, NothingYet, Position, Subscription, Version};

/// Longer than any of this takes; a test that waits so long has found something.
const LONG: Duration = Duration::from_secs(60);

fn open(directory: &tempfile::TempDir) -> Log {
    Log::options().segment_bytes(64 << 10).open(directory.path().join("log")).unwrap()
}

fn append(log: &Log, stream: &str, event_type: &str) {
    log.append(Batch::new().event(stream, Event::new(event_type, "payload"))).unwrap();
}

/// The next deliveries up to where it has caught up, as short words.
fn until_caught_up(subscription: &mut Subscription) -> Vec<String> {
    let mut words = Vec::new();
    for delivery in subscription {
        words.push(word(&delivery.unwrap()));
        if words.last().unwrap().starts_with("caught up") {
            break;
        }
    }
    words
}

fn word(delivery: &Delivery) -> String {
    match delivery {
        Delivery::Event(event) => format!("{} {}", event.position(), event.event_type()),
        Delivery::CaughtUp { position } => format!("caught up at {position}"),
        Delivery::Progress { position } => format!("progress to {position}"),
        _ => unreachable!("there is nothing else"),
    }
}

#[test]
fn history_comes_first_then_the_word_that_it_is_over_then_what_is_appended() {
    let directory = tempfile::tempdir().unwrap();
    let log = open(&directory);
    for name in ["A", "B", "C"] {
        append(&log, "s", name);
    }
    let mut subscription = log.subscribe(Position::new(1)).start();
    assert_eq!(until_caught_up(&mut subscription), ["1 B", "2 C", "caught up at 3"]);
    assert_eq!(subscription.next_timeout(Duration::ZERO).unwrap_err(), NothingYet);
    append(&log, "s", "D");
    let delivery = subscription.next().unwrap().unwrap();
    assert_eq!((word(&delivery), delivery.resume_from()), ("3 D".to_owned(), Position::new(4)));
    log.append(Batch::new().durability(Durability::Buffered).event("s", Event::new("E", "")))
        .unwrap();
    assert_eq!(word(&subscription.next().unwrap().unwrap()), "4 E", "buffered ones too");
}

#[test]
fn every_subscriber_sees_every_event_once_and_in_order_while_others_append() {
    const WRITERS: usize = 4;
    const EACH: usize = 400;
    let directory = tempfile::tempdir().unwrap();
    let log = open(&directory);
    thread::scope(|scope| {
        for writer in 0..WRITERS {
            let log = &log;
            scope.spawn(move || {
                for at in 0..EACH {
                    let durability =
                        if at % 7 == 0 { Durability::Sync } else { Durability::Buffered };
                    let event = Event::new("T", [b'x'; 100].as_slice());
                    let batch = Batch::new().event(format!("s-{writer}"), event);
                    log.append(batch.durability(durability)).unwrap();
                }
            });
        }
        for begin in [0, 10, 1_000] {
            let log = &log;
            scope.spawn(move || {
                let mut expected = begin;
                let mut versions = [None; WRITERS];
                for delivery in log.subscribe(Position::new(begin)) {
                    let Some(event) = delivery.unwrap().into_event() else { continue };
                    assert_eq!(event.position().as_u64(), expected, "subscribed from {begin}");
                    let writer: usize = event.stream()[2..].parse().unwrap();
                    if let Some(before) = versions[writer].replace(event.version().as_u64()) {
                        assert_eq!(event.version().as_u64(), before + 1);
                    }
                    expected += 1;
                    if expected == (WRITERS * EACH) as u64 {
                        break;
                    }
                }
                assert_eq!(expected, (WRITERS * EACH) as u64);
            });
        }
        scope.spawn(|| {
            let stream = log.subscribe_stream("s-2", Version::new(5));
            let versions = stream.filter_map(|one| one.unwrap().into_event());
            let versions = versions.map(|event| event.version().as_u64()).take(EACH - 5);
            assert!(versions.eq(5..EACH as u64));
        });
    });
}

#[test]
fn a_filter_lets_only_what_was_asked_for_pass_and_the_subscriber_moves_on_all_the_same() {
    let directory = tempfile::tempdir().unwrap();
    let log = open(&directory);
    for at in 0..40 {
        append(&log, if at == 17 { "wanted-1" } else { "other" }, "T");
    }
    let wanted = log.subscribe(Position::ZERO).stream_prefix("wanted-").progress_every(10);
    let mut wanted = wanted.start();
    let words = until_caught_up(&mut wanted);
    assert_eq!(words, ["progress to 10", "17 T", "progress to 30", "caught up at 40"]);
    for _ in 0..9 {
        append(&log, "other", "T");
    }
    assert_eq!(wanted.next_timeout(Duration::from_millis(1)).unwrap_err(), NothingYet);
    append(&log, "other", "T");
    assert_eq!(word(&wanted.next().unwrap().unwrap()), "progress to 50");
    let both = log.subscribe(Position::ZERO).event_type("T").event_type("U").start();
    assert_eq!(both.take(50).filter(|one| one.as_ref().unwrap().event().is_some()).count(), 50);
}

#[test]
fn a_stream_that_is_not_there_yet_can_be_waited_for() {
    let directory = tempfile::tempdir().unwrap();
    let log = open(&directory);
    let mut subscription = log.subscribe_stream("later", Version::ZERO);
    assert_eq!(until_caught_up(&mut subscription), ["caught up at 0"]);
    thread::scope(|scope| {
        scope.spawn(|| {
            append(&log, "other", "X");
            append(&log, "later", "Y");
        });
        assert_eq!(word(&subscription.next().unwrap().unwrap()), "1 Y");
    });
}

#[test]
fn whoever_waits_is_freed_by_a_cancel_from_another_thread() {
    let directory = tempfile::tempdir().unwrap();
    let log = open(&directory);
    append(&log, "s", "A");
    let subscription = log.subscribe(Position::new(1)).start();
    let canceller = subscription.canceller();
    let waiting = thread::spawn(move || subscription.map(|one| word(&one.unwrap())).collect());
    while !waiting.is_finished() {
        canceller.cancel();
        thread::yield_now();
    }
    let seen: Vec<String> = waiting.join().unwrap();
    assert!(seen.len() <= 1, "at most that it had caught up: {seen:?}");
}

#[test]
fn what_was_committed_before_the_close_is_given_and_then_it_ends() {
    for closes in [true, false] {
        let directory = tempfile::tempdir().unwrap();
        let log = open(&directory);
        let subscription = log.subscribe(Position::ZERO).start();
        let waiting = thread::spawn(move || {
            let events = subscription.filter_map(|one| one.unwrap().into_event());
            events.map(|event| event.position().as_u64()).collect::<Vec<_>>()
        });
        for _ in 0..50 {
            append(&log, "s", "T");
        }
        match closes {
            true => log.close().unwrap(),
            false => drop(log),
        }
        assert!(waiting.join().unwrap().into_iter().eq(0..50));
    }
}

#[test]
fn a_timeout_is_kept_and_an_event_comes_before_it() {
    let directory = tempfile::tempdir().unwrap();
    let log = open(&directory);
    let mut subscription = log.subscribe(Position::ZERO).start();
    assert_eq!(until_caught_up(&mut subscription), ["caught up at 0"]);
    let before = Instant::now();
    assert_eq!(subscription.next_timeout(Duration::from_millis(20)).unwrap_err(), NothingYet);
    assert!(before.elapsed() >= Duration::from_millis(20));
    thread::scope(|scope| {
        scope.spawn(|| append(&log, "s", "A"));
        let delivery = subscription.next_timeout(LONG).unwrap().unwrap().unwrap();
        assert_eq!(word(&delivery), "0 A");
    });
}

/// Wakes a thread that runs a future.
struct Unpark(thread::Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let mut future = std::pin::pin!(future);
    loop {
        match future.as_mut().poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(value) => return value,
            Poll::Pending => thread::park(),
        }
    }
}

#[test]
fn a_stream_of_futures_gives_the_same_and_ends_the_same() {
    let directory = tempfile::tempdir().unwrap();
    let log = open(&directory);
    append(&log, "s", "A");
    let mut subscription = log.subscribe(Position::ZERO).start();
    let appending = thread::spawn(move || {
        for _ in 0..200 {
            append(&log, "s", "B");
        }
    });
    let mut words = Vec::new();
    block_on(async {
        while let Some(one) =
            poll_fn(|context| Pin::new(&mut subscription).poll_next(context)).await
        {
            words.push(word(&one.unwrap()));
        }
    });
    appending.join().unwrap();
    words.retain(|word| !word.starts_with("caught up"));
    assert_eq!(words.len(), 201);
    assert_eq!((&*words[0], &*words[1], &*words[200]), ("0 A", "1 B", "200 B"));
}

#[test]
fn a_subscription_that_is_dropped_leaves_no_waker_behind() {
    struct Count(std::sync::atomic::AtomicUsize);
    impl Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
        }
    }
    let directory = tempfile::tempdir().unwrap();
    let log = open(&directory);
    let count = Arc::new(Count(std::sync::atomic::AtomicUsize::new(0)));
    let waker = Waker::from(Arc::clone(&count));
    let mut subscription = log.subscribe(Position::ZERO).start();
    let mut poll = || Pin::new(&mut subscription).poll_next(&mut Context::from_waker(&waker));
    assert!(matches!(poll(), Poll::Ready(Some(Ok(Delivery::CaughtUp { .. })))));
    assert!(poll().is_pending());
    append(&log, "s", "A");
    assert_eq!(count.0.load(std::sync::atomic::Ordering::SeqCst), 1, "woken once");
    assert!(matches!(poll(), Poll::Ready(Some(Ok(Delivery::Event(_))))));
    assert!(poll().is_pending());
    drop(subscription);
    append(&log, "s", "B");
    assert_eq!(count.0.load(std::sync::atomic::Ordering::SeqCst), 1);
    assert_eq!(Arc::strong_count(&count), 2, "the waker here and the count itself");
}
