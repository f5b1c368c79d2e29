//! Queries: a check on a rare tag, an append that expects none of its kind, reads of a rare tag and a rare
//! type; over a million events, or as many as `QUIPU_BENCH_EVENTS` says. `QUIPU_BENCH_DIR` says on which
//! disk.
#![allow(missing_docs)] // the macros of criterion make public items

use std::path::PathBuf;
use std::time::Duration;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use quipu::{Batch, Durability, Event, Log, Position, Query};

/// Events of a batch.
const BATCH: u64 = 1_000;

/// One event in so many bears a rare tag and is of a rare type.
const RARE_EVERY: u64 = 100_000;

/// One event in so many bears the same tag of its own kind.
const GROUP: u64 = 10_000;

fn events() -> u64 {
    let given = std::env::var("QUIPU_BENCH_EVENTS").ok();
    given.and_then(|given| given.parse().ok()).unwrap_or(1_000_000)
}

/// Every event has a tag that one in 10,000 has, and a common one.
fn filled(count: u64) -> (tempfile::TempDir, Log) {
    let disk = std::env::var_os("QUIPU_BENCH_DIR").map_or_else(std::env::temp_dir, PathBuf::from);
    let root = tempfile::tempdir_in(disk).expect("a directory to measure in");
    let options = Log::options().durability(Durability::Buffered);
    let log = options.open(root.path().join("log")).expect("a new log");
    for first in (0..count).step_by(BATCH as usize) {
        let mut batch = Batch::new();
        for at in first..first + BATCH {
            let is_rare = at % RARE_EVERY == RARE_EVERY / 2;
            let event = Event::new(if is_rare { "Rare" } else { "Common" }, &[7; 64]);
            let event = event.tag(format!("group:{}", at % GROUP)).tag("all");
            batch.push("s", &if is_rare { event.tag("rare") } else { event });
        }
        log.append(batch).expect("an append");
    }
    log.sync().expect("a sync");
    (root, log)
}

fn queries(criterion: &mut Criterion) {
    let count = events();
    let (_root, log) = filled(count);
    let mut group = criterion.benchmark_group("query");
    group.throughput(Throughput::Elements(1)).measurement_time(Duration::from_secs(3));
    let recent = Position::new(count - BATCH);
    for (name, tag, after) in [
        ("check/no such tag, from the start", "no such tag", Position::ZERO),
        ("check/no such tag, from the last batch", "no such tag", recent),
        ("check/rare tag, behind its last event", "rare", Position::new(count - RARE_EVERY / 4)),
        ("check/rare tag, from the start: refused", "rare", Position::ZERO),
    ] {
        group.bench_function(name, |bencher| {
            bencher.iter(|| {
                let check = Batch::new().expect_none(Query::new().tag(tag), after);
                log.append(check).is_ok()
            });
        });
    }
    for (name, read) in [
        ("read/rare tag", Query::new().tag("rare")),
        ("read/rare type and tag of all", Query::new().event_type("Rare").tag("rare").tag("all")),
        ("read/last 10 of a group", Query::new().tag("group:77")),
    ] {
        group.bench_function(name, |bencher| {
            bencher.iter(|| {
                let read = log.read(..).matching(read.clone()).backward().limit(10);
                read.into_iter()
                    .map(|event| event.expect("an event").payload().len())
                    .sum::<usize>()
            });
        });
    }
    let mut at = 0_u64;
    group.bench_function("append/plain, buffered", |bencher| {
        bencher.iter(|| log.append(Batch::new().event("s", Event::new("T", &[7; 64]))).is_ok());
    });
    group.bench_function("append/tagged, buffered", |bencher| {
        bencher.iter(|| {
            at += 1;
            let event = Event::new("T", &[7; 64]).tag(format!("one:{at}"));
            log.append(Batch::new().event("s", event)).is_ok()
        });
    });
    group.bench_function("append/tagged, none expected from the start, buffered", |bencher| {
        bencher.iter(|| {
            at += 1;
            let tag = format!("one:{at}");
            let batch = Batch::new().expect_none(Query::new().tag(&*tag), Position::ZERO);
            log.append(batch.event("s", Event::new("T", &[7; 64]).tag(tag))).is_ok()
        });
    });
    group.finish();
}

criterion_group!(benches, queries);
criterion_main!(benches);
