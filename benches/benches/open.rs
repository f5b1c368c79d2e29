//! Opening a log of 50,000 events, for writing and for reading, beside reading its files.
#![allow(missing_docs)] // the macros of criterion make public items

use std::fs;
use std::path::Path;
use std::time::Duration;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use quipu::{Durability, Log, StoreMode};
use quipu_bench::{STREAM_EVENTS, engine, sum};

const STREAMS: u64 = 500;

fn files_bytes(directory: &Path, mut each: impl FnMut(&[u8])) -> u64 {
    let mut total = 0;
    for entry in fs::read_dir(directory).expect("a directory") {
        let bytes = fs::read(entry.expect("an entry").path()).expect("a file");
        each(&bytes);
        total += bytes.len() as u64;
    }
    total
}

fn open(criterion: &mut Criterion) {
    let root = tempfile::tempdir().expect("a directory to measure in");
    let log = engine::open(root.path(), StoreMode::Mapped, Durability::Buffered).expect("a log");
    engine::fill(&log, STREAMS).expect("appended");
    log.close().expect("closed");
    let mut group = criterion.benchmark_group("open");
    let (elements, bytes) = (STREAMS * STREAM_EVENTS, files_bytes(root.path(), |_| ()));
    group.throughput(Throughput::ElementsAndBytes { elements, bytes });
    group.sample_size(10).measurement_time(Duration::from_secs(3));
    group.bench_function("engine/write", |bencher| {
        bencher.iter(|| {
            Log::open(root.path()).expect("opened").close().expect("closed");
        });
    });
    group.bench_function("engine/read", |bencher| {
        bencher.iter(|| Log::open_read_only(root.path()).expect("opened"));
    });
    group.bench_function("floor", |bencher| {
        bencher.iter(|| {
            let mut total: u64 = 0;
            files_bytes(root.path(), |bytes| total = total.wrapping_add(sum(bytes)));
            total
        });
    });
}

criterion_group!(benches, open);
criterion_main!(benches);
