//! Reads of everything and of one stream, beside summing the same bytes in a mapped file.
#![allow(missing_docs)] // the macros of criterion make public items

use std::hint::black_box;
use std::time::Duration;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use quipu::{Durability, Log, StoreMode};
use quipu_bench::prepared::PreparedFile;
use quipu_bench::{PAYLOAD_BYTES, STREAM_EVENTS, engine, sum};

const STREAMS: u64 = 500;
const EVENTS: u64 = STREAMS * STREAM_EVENTS;

/// A log and a bare file with the same payloads.
fn filled() -> (tempfile::TempDir, Log, PreparedFile) {
    let root = tempfile::tempdir().expect("a directory to measure in");
    let directory = root.path().join("log");
    let log = engine::open(&directory, StoreMode::Mapped, Durability::Buffered).expect("a new log");
    engine::fill(&log, STREAMS).expect("appended");
    let bytes = EVENTS as usize * PAYLOAD_BYTES;
    let mut file = PreparedFile::new(&root.path().join("bytes"), bytes).expect("a new file");
    (0..EVENTS).for_each(|_| file.copy(&[7; PAYLOAD_BYTES]).expect("stored"));
    (root, log, file)
}

fn throughput(events: u64) -> Throughput {
    Throughput::ElementsAndBytes { elements: events, bytes: events * PAYLOAD_BYTES as u64 }
}

fn scan(criterion: &mut Criterion) {
    let (_root, log, file) = filled();
    let mut group = criterion.benchmark_group("scan");
    group.throughput(throughput(EVENTS)).sample_size(20).measurement_time(Duration::from_secs(3));
    group.bench_function("engine/batches", |bencher| {
        bencher.iter(|| engine::scan_batches(&log).expect("read"));
    });
    group.bench_function("engine/events", |bencher| {
        bencher.iter(|| engine::scan_events(&log).expect("read"));
    });
    group.bench_function("floor", |bencher| bencher.iter(|| sum(black_box(file.bytes()))));
}

fn stream(criterion: &mut Criterion) {
    let (_root, log, file) = filled();
    let mut group = criterion.benchmark_group("stream-of-100");
    group.throughput(throughput(STREAM_EVENTS)).measurement_time(Duration::from_secs(3));
    // In an order that no cache foresees.
    let mut at = 0;
    let mut next = || {
        at = (at + 229) % STREAMS;
        at
    };
    group.bench_function("engine", |bencher| {
        bencher.iter(|| engine::read_stream(&log, next()).expect("read"));
    });
    group.bench_function("floor", |bencher| {
        bencher.iter(|| {
            let start = next() as usize * PAYLOAD_BYTES;
            let stride = STREAMS as usize * PAYLOAD_BYTES;
            (0..STREAM_EVENTS as usize).fold(0, |total: u64, event| {
                let from = start + event * stride;
                let bytes = file.bytes().get(from..from + PAYLOAD_BYTES).unwrap_or(&[]);
                total.wrapping_add(sum(bytes))
            })
        });
    });
}

criterion_group!(benches, scan, stream);
criterion_main!(benches);
