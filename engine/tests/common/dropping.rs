//! A log of which the front is dropped: how it is filled, and what must be left of it.
#![allow(dead_code)] // each test uses a part of it

use std::collections::BTreeSet;
use std::ops::Range;

use quipu::sim::SimDisk;
use quipu::{Batch, Event, Log, Options, Position, Truncation, Version};

pub(crate) fn options() -> Options {
    Log::options().segment_bytes(8 << 10)
}

/// Three events to a segment: a stream that goes on, streams of one event, and a checkpoint that
/// rises.
pub(crate) fn append(log: &Log, numbers: Range<u64>) {
    for number in numbers {
        let stream = if number % 3 == 0 { "often".to_owned() } else { format!("s-{number}") };
        let tag = format!("t:{}", number % 4);
        let event = Event::new("T", vec![number as u8; 1000]).tag(tag);
        let mut batch = Batch::new().event(stream, event);
        if number % 4 == 1 {
            batch = batch.checkpoint("p", Position::new(number));
        }
        log.append(batch).unwrap();
    }
}

pub(crate) fn at(position: u64) -> Position {
    Position::new(position)
}

/// A log with 60 events, of which those below 30 have been dropped.
pub(crate) fn truncated() -> (SimDisk, Log, Truncation) {
    let disk = SimDisk::new(7);
    let log = Log::open_simulated(&disk, options()).unwrap();
    append(&log, 0..60);
    let truncation = log.truncate_before(at(30)).unwrap();
    (disk, log, truncation)
}

/// Everything that must outlive the events.
pub(crate) type Known = (Vec<Option<u64>>, Vec<(String, Position)>, Position);

pub(crate) fn known(log: &Log) -> Known {
    let names = (0..80).map(|number| format!("s-{number}")).chain(["often".to_owned()]);
    let versions = names.map(|name| log.stream_version(name).map(Version::as_u64));
    (versions.collect(), log.checkpoints(), log.end())
}

/// All that is kept can be read, in every way, and is what was appended.
pub(crate) fn check_kept(log: &Log) {
    let (first, end) = (log.first_available().as_u64(), log.end().as_u64());
    let mut expected = first..end;
    for event in log.read(at(first)..) {
        let event = event.unwrap();
        assert_eq!(Some(event.position().as_u64()), expected.next());
        assert_eq!(event.payload()[0], event.position().as_u64() as u8);
    }
    assert_eq!(expected.next(), None);
    let tagged = log.read(at(first)..).tag("t:1").into_iter().map(|event| event.unwrap());
    assert!(tagged.map(|event| event.position().as_u64()).eq((first..end).filter(|n| n % 4 == 1)));
}

pub(crate) fn names(disk: &SimDisk) -> BTreeSet<String> {
    disk.files().into_iter().map(|entry| entry.name).collect()
}
