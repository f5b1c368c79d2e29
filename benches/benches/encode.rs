//! Building batches on the caller's thread, beside copying their payloads.
#![allow(missing_docs)] // the macros of criterion make public items

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use quipu_bench::{BATCH_EVENTS, PAYLOAD_BYTES, engine};

fn encode(criterion: &mut Criterion) {
    for (name, events) in [("encode/1", 1), ("encode/1000", BATCH_EVENTS)] {
        let mut group = criterion.benchmark_group(name);
        let (elements, bytes) = (events as u64, (events * PAYLOAD_BYTES) as u64);
        group.throughput(Throughput::ElementsAndBytes { elements, bytes });
        group.bench_function("engine", |bencher| {
            bencher.iter(|| match events {
                1 => engine::single(0),
                _ => engine::large(),
            });
        });
        group.bench_function("floor", |bencher| {
            let payload = black_box([7_u8; PAYLOAD_BYTES]);
            bencher.iter(|| {
                let mut bytes = Vec::with_capacity(events * PAYLOAD_BYTES);
                (0..events).for_each(|_| bytes.extend_from_slice(black_box(&payload)));
                bytes
            });
        });
    }
}

criterion_group!(benches, encode);
criterion_main!(benches);
