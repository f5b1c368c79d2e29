//! Goal: what a log counts and tells is what it has done.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)] // a test may panic

use std::io::{self, Write};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use quipu::sim::{Errno, FaultPlan, Operation, SimDisk, Survivors};
use quipu::{Batch, Durability, Event, ExpectedVersion, Log, Query};

fn one(stream: &str) -> Batch {
    Batch::new().event(stream, Event::new("T", "payload"))
}

/// Text that is written from anywhere.
#[derive(Clone, Default)]
struct Told(Arc<Mutex<Vec<u8>>>);

impl Write for Told {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// What is told while something is done on this thread.
fn told(act: impl FnOnce()) -> String {
    let told = Told::default();
    let writer = told.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(tracing_subscriber::filter::LevelFilter::DEBUG)
        .with_ansi(false)
        .with_writer(move || writer.clone())
        .finish();
    tracing::subscriber::with_default(subscriber, act);
    let bytes = told.0.lock().unwrap().clone();
    String::from_utf8(bytes).unwrap()
}

#[test]
fn batches_refusals_and_syncs_are_counted() {
    let directory = tempfile::tempdir().unwrap();
    let log = Log::options().segment_bytes(64 << 10).open(directory.path()).unwrap();
    for _ in 0..10 {
        log.append(one("a").event("b", Event::new("T", ""))).unwrap();
    }
    log.append(one("a").durability(Durability::Buffered)).unwrap();
    let refused = [
        one("a").expect("a", ExpectedVersion::NoStream),
        one("a").expect_none(Query::new().event_type("T"), 0.into()),
    ];
    for batch in refused {
        assert!(log.append(batch).is_err());
    }
    // Neither committed nor refused: it asks for nothing that could be.
    assert!(log.append(Batch::new()).is_err());
    let stats = log.stats();
    assert_eq!((stats.batches, stats.events, stats.refused), (11, 21, 2));
    // A refusal that speaks of what is only buffered is told when that is durable.
    assert_eq!(stats.sync_latency.count(), 11);
    assert_eq!((stats.groups, stats.group_batches_max), (11, 1));
    assert_eq!((stats.segments, stats.queue_depth), (1, 0));
    let used: u64 = log.batches(..).map(|batch| u64::from(batch.unwrap().frame_bytes())).sum();
    assert_eq!(stats.bytes, used);
    assert!(stats.sync_latency.longest() <= stats.sync_latency.total());
    assert!(stats.sync_latency.total() > Duration::ZERO);
    log.close().unwrap();
    assert_eq!(Log::open_read_only(directory.path()).unwrap().stats().batches, 0);
}

#[test]
fn groups_are_counted_with_the_size_of_the_largest() {
    let directory = tempfile::tempdir().unwrap();
    let log = Log::options().segment_bytes(1 << 20).open(directory.path()).unwrap();
    let tickets: Vec<_> = (0..500).map(|_| log.submit(one("a")).unwrap()).collect();
    for ticket in tickets {
        ticket.wait().unwrap();
    }
    let stats = log.stats();
    assert_eq!(stats.batches, 500);
    assert!(stats.groups <= 500 && stats.groups >= 1);
    assert!(stats.group_batches_max * stats.groups >= 500, "{stats:?}");
    assert_eq!(stats.sync_latency.count(), stats.groups);
    log.close().unwrap();
}

#[test]
fn an_opening_a_roll_over_and_a_torn_tail_are_told() {
    let disk = SimDisk::new(1);
    let options = || Log::options().segment_bytes(8 << 10);
    let text = told(|| {
        let log = Log::open_simulated(&disk, options()).unwrap();
        for _ in 0..5 {
            log.append(Batch::new().event("a", Event::new("T", vec![1; 1_000]))).unwrap();
        }
    });
    assert!(text.contains("INFO") && text.contains("opened"), "{text}");
    assert!(text.contains("rolled over from=00000000000000000000.seg to=0000"), "{text}");
    let log = Log::open_simulated(&disk.restart_process(), options()).unwrap();
    let large = Batch::new().event("a", Event::new("T", vec![1; 2_000]));
    log.append(large.durability(Durability::Buffered)).unwrap();
    let cut = (0..200).find_map(|_| {
        let disk = disk.if_rebooted(&Survivors::Random);
        let text = told(|| drop(Log::open_simulated(&disk, options())));
        text.contains("a torn tail").then_some(text)
    });
    let text = cut.expect("some crash leaves a part of the last batch");
    assert!(text.contains("WARN") && text.contains("bytes_cut="), "{text}");
}

#[test]
fn the_first_failure_is_told_once_with_its_cause() {
    let disk = SimDisk::new(1);
    let log = Log::open_simulated(&disk, Log::options().segment_bytes(8 << 10)).unwrap();
    disk.fail(FaultPlan::new(Operation::Sync, Errno::Io));
    let text = told(|| {
        assert!(log.append(one("a")).is_err());
        assert!(log.append(one("a")).is_err());
    });
    assert_eq!(text.matches("ERROR").count(), 1, "{text}");
    assert!(text.contains("cannot sync 00000000000000000000.seg: "), "{text}");
}
