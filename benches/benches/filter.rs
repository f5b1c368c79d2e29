//! Reads with each kind of filter, over a log of 200,000 events: throughput is of all events, so that it
//! says how much of the log a filter lets one pass over in a second.
#![allow(missing_docs)] // the macros of criterion make public items

use std::time::Duration;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use quipu::{Batch, CommitTime, Durability, Event, Log, Query, QueryItem};

const EVENTS: u64 = 200_000;
/// Events of a batch.
const BATCH: u64 = 100;
/// So many streams, types and tags there are; each event has one of each.
const KINDS: u64 = 1_000;

/// A log in several segments, the first of which have their indexes, and the time at its middle.
fn filled() -> (tempfile::TempDir, Log, CommitTime) {
    let root = tempfile::tempdir().expect("a directory to measure in");
    let options = Log::options().durability(Durability::Buffered).segment_bytes(8 << 20);
    let log = options.open(root.path()).expect("a new log");
    let mut middle = CommitTime::ZERO;
    for first in (0..EVENTS).step_by(BATCH as usize) {
        let mut batch = Batch::new();
        for at in first..first + BATCH {
            let kind = at % KINDS;
            let event = Event::new(format!("type-{kind}"), &[7; 64]);
            batch.push(format!("stream-{kind}"), &event.tag(format!("tag-{kind}")).tag("all"));
        }
        let receipt = log.append(batch).expect("an append");
        if first <= EVENTS / 2 {
            middle = receipt.committed_at();
        }
    }
    (root, log, middle)
}

fn filters(criterion: &mut Criterion) {
    let (_root, log, middle) = filled();
    let mut group = criterion.benchmark_group("filter");
    group.throughput(Throughput::Elements(EVENTS));
    group.sample_size(20).measurement_time(Duration::from_secs(3));
    let either = Query::new()
        .item(QueryItem::new().tag("tag-7").tag("all"))
        .item(QueryItem::new().tag("tag-8").event_type("type-8"));
    for (name, query) in [
        ("stream prefix, one in 1,000", Query::new().stream_prefix("stream-777")),
        ("stream prefix, one in nine", Query::new().stream_prefix("stream-7")),
        ("type, one in 1,000", Query::new().event_type("type-7")),
        ("tag, one in 1,000", Query::new().tag("tag-7")),
        ("tag of all", Query::new().tag("all")),
        ("either of two sets of tags", either),
        ("the second half by time", Query::new().committed(middle..)),
        ("nothing", Query::new().tag("no such tag")),
    ] {
        group.bench_function(name, |bencher| {
            bencher.iter(|| {
                let read = log.read(..).matching(query.clone()).into_iter();
                read.map(|event| event.expect("an event").payload().len()).sum::<usize>()
            });
        });
    }
    group.finish();
}

criterion_group!(benches, filters);
criterion_main!(benches);
