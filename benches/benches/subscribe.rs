//! Subscriptions: through history, live, and from a log that another handle writes.
#![allow(missing_docs)] // the macros of criterion make public items

use std::path::Path;
use std::time::Duration;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use quipu::{Batch, Delivery, Durability, Event, Log, Position, Subscription};
use quipu_bench::{PAYLOAD_BYTES, STREAM_EVENTS, engine};

const STREAMS: u64 = 500;
const EVENTS: u64 = STREAMS * STREAM_EVENTS;

fn buffered(directory: &Path) -> Log {
    let options = Log::options().durability(Durability::Buffered);
    options.open(directory).expect("a new log")
}

fn single() -> Batch {
    Batch::new().event("s", Event::new("T", &[7; PAYLOAD_BYTES]))
}

/// Takes all that is there; gives how many events.
fn caught_up(subscription: Subscription) -> usize {
    let delivered = subscription.map(|delivery| delivery.expect("a delivery"));
    let history = delivered.take_while(|delivery| !matches!(delivery, Delivery::CaughtUp { .. }));
    history.filter(|delivery| delivery.event().is_some()).count()
}

fn next_event(subscription: &mut Subscription) -> Position {
    let mut delivered = subscription.map(|delivery| delivery.expect("a delivery"));
    let event = delivered.find_map(Delivery::into_event);
    event.expect("the log is open").position()
}

fn history(criterion: &mut Criterion) {
    let root = tempfile::tempdir().expect("a directory to measure in");
    let log = buffered(root.path());
    engine::fill(&log, STREAMS).expect("appended");
    let mut group = criterion.benchmark_group("subscribe");
    group.sample_size(20).measurement_time(Duration::from_secs(3));
    group.throughput(Throughput::Elements(EVENTS));
    group.bench_function("history", |bencher| {
        bencher.iter(|| caught_up(log.subscribe(Position::ZERO).start()));
    });
    group.bench_function("history, one stream in a hundred", |bencher| {
        let one = || log.subscribe(Position::ZERO).stream_prefix("stream-49");
        bencher.iter(|| caught_up(one().start()));
    });
    group.finish();
}

fn live(criterion: &mut Criterion) {
    let root = tempfile::tempdir().expect("a directory to measure in");
    let log = buffered(root.path());
    let mut group = criterion.benchmark_group("subscribe");
    group.throughput(Throughput::Elements(1)).measurement_time(Duration::from_secs(3));
    let mut subscription = log.subscribe(Position::ZERO).start();
    group.bench_function("live, append and take it", |bencher| {
        bencher.iter(|| {
            log.append(single()).expect("an append");
            next_event(&mut subscription)
        });
    });
    group.finish();
}

fn follow(criterion: &mut Criterion) {
    let root = tempfile::tempdir().expect("a directory to measure in");
    let log = buffered(root.path());
    log.append(single().durability(Durability::Sync)).expect("an append");
    // As another process would have it open: it knows nothing of the writer but its files.
    let reader = Log::open_read_only(root.path()).expect("a log to follow");
    let mut group = criterion.benchmark_group("follow");
    group.throughput(Throughput::Elements(1)).measurement_time(Duration::from_secs(3));
    group.bench_function("a look in vain", |bencher| bencher.iter(|| reader.end()));
    let mut subscription = reader.subscribe(reader.end()).start();
    group.bench_function("append durably and be given it", |bencher| {
        bencher.iter(|| {
            log.append(single().durability(Durability::Sync)).expect("an append");
            next_event(&mut subscription)
        });
    });
    group.finish();
}

criterion_group!(benches, history, live, follow);
criterion_main!(benches);
