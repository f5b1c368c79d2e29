//! What a store does beside appending and reading: named checkpoints, dropping the front of the log, backups.
#![allow(missing_docs)] // the macros of criterion make public items

use std::path::Path;
use std::time::Duration;

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use quipu::{BackupOptions, Batch, Durability, Event, Log, Position};
use quipu_bench::engine;

const SEGMENT_BYTES: u64 = 1 << 20;

fn buffered(directory: &Path) -> Log {
    let options = Log::options().durability(Durability::Buffered).segment_bytes(SEGMENT_BYTES);
    options.open(directory).expect("a new log")
}

fn checkpoints(criterion: &mut Criterion) {
    let root = tempfile::tempdir().expect("a directory to measure in");
    let log = buffered(root.path());
    let mut group = criterion.benchmark_group("checkpoint");
    group.throughput(Throughput::Elements(1)).measurement_time(Duration::from_secs(3));
    let mut at = 0_u64;
    let mut next = || {
        at += 1;
        Position::new(at)
    };
    group.bench_function("set alone, buffered", |bencher| {
        bencher.iter(|| log.append(Batch::new().checkpoint("p", next())).expect("it rises"));
    });
    group.bench_function("set with an event, buffered", |bencher| {
        bencher.iter(|| {
            let batch = Batch::new().event("s", Event::new("T", &[7; 64]));
            log.append(batch.checkpoint("p", next())).expect("it rises")
        });
    });
    group.bench_function("read back", |bencher| bencher.iter(|| log.checkpoint("p")));
    group.finish();
}

/// Appends until a segment more can be dropped.
fn fill_segment(log: &Log) {
    let payload = vec![7; 64 << 10];
    loop {
        let plan = log.would_truncate_before(log.end()).expect("open for writing");
        if plan.segments > 0 {
            return;
        }
        log.append(Batch::new().event("s", Event::new("T", &payload[..]))).expect("an append");
        log.sync().expect("a sync");
    }
}

fn retention(criterion: &mut Criterion) {
    let root = tempfile::tempdir().expect("a directory to measure in");
    let log = buffered(root.path());
    // The base has them all, each time.
    engine::fill(&log, 1_000).expect("appended");
    log.truncate_before(log.end()).expect("open for writing");
    let mut group = criterion.benchmark_group("retention");
    group.throughput(Throughput::Bytes(SEGMENT_BYTES)).sample_size(20);
    group.measurement_time(Duration::from_secs(3));
    group.bench_function("drop a segment, 1,000 streams in the base", |bencher| {
        let drop_one = |()| log.truncate_before(log.end()).expect("open for writing");
        bencher.iter_batched(|| fill_segment(&log), drop_one, BatchSize::PerIteration);
    });
    group.finish();
}

fn backup(criterion: &mut Criterion) {
    let root = tempfile::tempdir().expect("a directory to measure in");
    let log = buffered(&root.path().join("log"));
    engine::fill(&log, 500).expect("appended");
    let bytes = log.stats().segments as u64 * SEGMENT_BYTES;
    let mut group = criterion.benchmark_group("backup");
    group.throughput(Throughput::Bytes(bytes)).sample_size(10);
    group.measurement_time(Duration::from_secs(5));
    let new = || tempfile::tempdir_in(root.path()).expect("a directory");
    let make = |options: &BackupOptions, into: tempfile::TempDir| {
        log.backup_with(into.path(), options, |_| {}).expect("a backup");
        into
    };
    let (links, copies) = (BackupOptions::new(), BackupOptions::new().copies());
    group.bench_function("new, with links", |bencher| {
        bencher.iter_batched(new, |into| make(&links, into), BatchSize::PerIteration);
    });
    group.bench_function("new, with copies", |bencher| {
        bencher.iter_batched(new, |into| make(&copies, into), BatchSize::PerIteration);
    });
    let kept = make(&links, new());
    group.bench_function("again, with nothing new", |bencher| {
        bencher.iter(|| log.backup(kept.path()).expect("a backup"));
    });
    group.finish();
}

criterion_group!(benches, checkpoints, retention, backup);
criterion_main!(benches);
