//! Appends, durable and buffered, beside their floors. `QUIPU_BENCH_DIR` says on which disk.
#![allow(missing_docs)] // the macros of criterion make public items

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use criterion::{
    BenchmarkGroup, BenchmarkId, Criterion, Throughput, criterion_group, criterion_main,
    measurement::WallTime,
};
use quipu::{Durability, Log, StoreMode};
use quipu_bench::floor::{Floor, GroupCommit, Store, pipelined};
use quipu_bench::{BATCH_EVENTS, IN_FLIGHT_MAX, PAYLOAD_BYTES, engine};

const PAYLOAD: [u8; PAYLOAD_BYTES] = [7; PAYLOAD_BYTES];

const MODES: [(&str, StoreMode, Store); 2] = [
    ("mapped", StoreMode::Mapped, Store::Copy),
    ("positioned", StoreMode::Positioned, Store::Write),
];

fn root() -> tempfile::TempDir {
    let disk = std::env::var_os("QUIPU_BENCH_DIR").map_or_else(std::env::temp_dir, PathBuf::from);
    tempfile::tempdir_in(disk).expect("a directory to measure in")
}

fn group<'a>(
    criterion: &'a mut Criterion,
    name: &str,
    events: usize,
) -> BenchmarkGroup<'a, WallTime> {
    let mut group = criterion.benchmark_group(name);
    let (elements, bytes) = (events as u64, (events * PAYLOAD_BYTES) as u64);
    group.throughput(Throughput::ElementsAndBytes { elements, bytes });
    group.sample_size(20).measurement_time(Duration::from_secs(3));
    group
}

fn open(root: &Path, mode: StoreMode, durability: Durability) -> Log {
    engine::open(&root.join("log"), mode, durability).expect("a new log")
}

fn floor(root: &Path, store: Store) -> Floor {
    Floor::new(&root.join("floor"), store).expect("a new file")
}

/// Runs `once` so many times from so many threads together, and says how long it took.
fn together(threads: usize, count: u64, once: impl Fn(usize) + Sync) -> Duration {
    let started = Instant::now();
    std::thread::scope(|scope| {
        for thread in 0..threads {
            let share =
                count / threads as u64 + u64::from((thread as u64) < count % threads as u64);
            let once = &once;
            scope.spawn(move || (0..share).for_each(|_| once(thread)));
        }
    });
    started.elapsed()
}

fn durable_from_threads(criterion: &mut Criterion) {
    for threads in [1, 16, 64] {
        let mut group = group(criterion, &format!("durable/{threads}-threads"), 1);
        for (name, mode, store) in MODES {
            group.bench_function(BenchmarkId::new("engine", name), |bencher| {
                let root = root();
                let log = open(root.path(), mode, Durability::Sync);
                bencher.iter_custom(|count| {
                    together(threads, count, |thread| {
                        log.append(engine::single(thread)).expect("appended");
                    })
                });
            });
            group.bench_function(BenchmarkId::new("floor", name), |bencher| {
                let root = root();
                let floor = GroupCommit::new(&root.path().join("floor"), store).expect("a file");
                bencher.iter_custom(|count| {
                    together(threads, count, |_| floor.durable(&PAYLOAD).expect("stored"))
                });
            });
        }
    }
}

fn durable_in_flight(criterion: &mut Criterion) {
    let mut group = group(criterion, "durable/8192-in-flight", 1);
    group.bench_function("engine", |bencher| {
        let root = root();
        let log = open(root.path(), StoreMode::Mapped, Durability::Sync);
        bencher.iter_custom(|count| {
            let started = Instant::now();
            engine::pipelined(&log, count).expect("appended");
            started.elapsed()
        });
    });
    group.bench_function("floor", |bencher| {
        let root = root();
        let mut floor = floor(root.path(), Store::Copy);
        bencher.iter_custom(|count| {
            let started = Instant::now();
            pipelined(&mut floor, &PAYLOAD, IN_FLIGHT_MAX, count).expect("stored");
            started.elapsed()
        });
    });
}

fn durable_batches(criterion: &mut Criterion) {
    let mut group = group(criterion, "durable/batches-of-1000", BATCH_EVENTS);
    for (name, mode, store) in MODES {
        group.bench_function(BenchmarkId::new("engine", name), |bencher| {
            let root = root();
            let log = open(root.path(), mode, Durability::Sync);
            bencher.iter(|| log.append(engine::large()).expect("appended"));
        });
        group.bench_function(BenchmarkId::new("floor", name), |bencher| {
            let root = root();
            let mut floor = floor(root.path(), store);
            let bytes = vec![7; BATCH_EVENTS * PAYLOAD_BYTES];
            bencher.iter(|| floor.durable(&bytes).expect("stored"));
        });
    }
}

fn buffered(criterion: &mut Criterion) {
    let mut group = group(criterion, "buffered", 1);
    for (name, mode, store) in MODES {
        group.bench_function(BenchmarkId::new("engine", name), |bencher| {
            let root = root();
            let log = open(root.path(), mode, Durability::Buffered);
            bencher.iter(|| log.append(engine::single(0)).expect("appended"));
        });
        group.bench_function(BenchmarkId::new("floor", name), |bencher| {
            let root = root();
            let mut floor = floor(root.path(), store);
            bencher.iter(|| floor.buffered(&PAYLOAD).expect("stored"));
        });
    }
}

criterion_group!(benches, durable_from_threads, durable_in_flight, durable_batches, buffered);
criterion_main!(benches);
