//! The steps of a commit by themselves: preconditions, refusals, groups, roll-over, checksums, and the
//! way to a subscriber. `QUIPU_BENCH_DIR` says on which disk; a directory in memory leaves the engine's
//! own work alone.
#![allow(missing_docs)] // the macros of criterion make public items

use std::hint::black_box;
use std::path::PathBuf;
use std::sync::mpsc;
use std::time::{Duration, Instant};

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use quipu::{Batch, Durability, Event, ExpectedVersion, Log, Ticket, Version};
use quipu_bench::{PAYLOAD_BYTES, engine};

const PAYLOAD: [u8; PAYLOAD_BYTES] = [7; PAYLOAD_BYTES];

fn root() -> tempfile::TempDir {
    let disk = std::env::var_os("QUIPU_BENCH_DIR").map_or_else(std::env::temp_dir, PathBuf::from);
    tempfile::tempdir_in(disk).expect("a directory to measure in")
}

fn buffered(root: &tempfile::TempDir) -> Log {
    let options = Log::options().durability(Durability::Buffered);
    options.open(root.path().join("log")).expect("a new log")
}

/// Checks that hold and checks that fail, on one stream of 10,000: neither takes a position.
fn preconditions(criterion: &mut Criterion) {
    let root = root();
    let log = buffered(&root);
    for at in 0..10_000 {
        let event = Event::new("T", &PAYLOAD);
        log.append(Batch::new().event(format!("stream-{at}"), event)).expect("an append");
    }
    let mut group = criterion.benchmark_group("precondition");
    group.throughput(Throughput::Elements(1));
    for (name, expected) in
        [("holds", ExpectedVersion::Exact(Version::ZERO)), ("fails", ExpectedVersion::NoStream)]
    {
        let mut at = 0;
        group.bench_function(name, |bencher| {
            bencher.iter(|| {
                at = (at + 7_919) % 10_000;
                log.append(Batch::new().expect(format!("stream-{at}"), expected)).is_ok()
            });
        });
    }
    group.finish();
}

/// So many batches handed over together, until all are answered.
fn groups(criterion: &mut Criterion) {
    let root = root();
    let log = buffered(&root);
    let mut group = criterion.benchmark_group("group");
    for batches in [1_usize, 16, 256] {
        group.throughput(Throughput::Elements(batches as u64));
        group.bench_function(BenchmarkId::from_parameter(batches), |bencher| {
            bencher.iter(|| {
                let submit = |at| log.submit(engine::single(at)).expect("a ticket");
                let tickets: Vec<Ticket> = (0..batches).map(submit).collect();
                tickets.into_iter().for_each(|ticket| drop(ticket.wait().expect("a receipt")));
            });
        });
    }
    group.finish();
}

/// Appends that fill a small segment each: what a roll-over costs, preparation ahead included.
fn roll_over(criterion: &mut Criterion) {
    let root = root();
    let options = Log::options().durability(Durability::Buffered).segment_bytes(64 << 10);
    let log = options.open(root.path().join("log")).expect("a new log");
    let payload = vec![7; 50 << 10];
    let mut group = criterion.benchmark_group("roll-over");
    group.throughput(Throughput::Elements(1)).sample_size(20);
    group.bench_function("engine", |bencher| {
        bencher.iter(|| log.append(Batch::new().event("s", Event::new("T", &payload))));
    });
    group.finish();
}

/// From the call of a buffered append to the thread of a subscriber, beside a bare hand-over between
/// two threads.
fn subscriber(criterion: &mut Criterion) {
    let root = root();
    let log = buffered(&root);
    let mut group = criterion.benchmark_group("to-subscriber");
    group.throughput(Throughput::Elements(1)).measurement_time(Duration::from_secs(3));
    group.bench_function("engine", |bencher| {
        bencher.iter_custom(|count| {
            let subscription = log.subscribe(log.end()).start();
            let canceller = subscription.canceller();
            let (heard, hears) = mpsc::channel();
            let listening = std::thread::spawn(move || {
                for delivery in subscription {
                    let _ = heard.send((Instant::now(), delivery.expect("a delivery")));
                }
            });
            let took = (0..count)
                .map(|_| {
                    let batch = engine::single(0);
                    let before = Instant::now();
                    log.append(batch).expect("an append");
                    loop {
                        let (at, delivery) = hears.recv().expect("a delivery");
                        if delivery.event().is_some() {
                            break at.saturating_duration_since(before);
                        }
                    }
                })
                .sum();
            canceller.cancel();
            listening.join().expect("the subscriber ends");
            took
        });
    });
    group.bench_function("floor", |bencher| {
        bencher.iter_custom(|count| {
            let (send, receive) = mpsc::channel();
            let (heard, hears) = mpsc::channel();
            let listening = std::thread::spawn(move || {
                while receive.recv().is_ok() {
                    let _ = heard.send(Instant::now());
                }
            });
            let took = (0..count)
                .map(|_| {
                    let before = Instant::now();
                    send.send(()).expect("a listener");
                    hears.recv().expect("an answer").saturating_duration_since(before)
                })
                .sum();
            drop(send);
            listening.join().expect("the listener ends");
            took
        });
    });
    group.finish();
}

/// The checksum of a body, beside summing its bytes.
fn checksum(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("checksum");
    for bytes in [64_usize, 127, 128, 256, 4 << 10, 256 << 10] {
        let body = vec![7_u8; bytes];
        group.throughput(Throughput::Bytes(bytes as u64));
        group.bench_function(BenchmarkId::new("engine", bytes), |bencher| {
            bencher.iter(|| quipu_format::checksum::body_checksum(&[black_box(&body)]));
        });
        group.bench_function(BenchmarkId::new("floor", bytes), |bencher| {
            bencher.iter(|| quipu_bench::sum(black_box(&body)));
        });
    }
    group.finish();
}

criterion_group!(benches, preconditions, groups, roll_over, subscriber, checksum);
criterion_main!(benches);
