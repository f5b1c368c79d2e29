//! Bits that change under an open log: a read that verifies gives an error or the event that was
//! written, never another one, whichever way it is read; a read that does not verify still never
//! panics and never goes astray.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)] // a test may panic

use std::fs::File;
use std::os::unix::fs::FileExt;

use quipu::{Batch, Event, Log, Position, ReadError, ReadErrorKind, RecordedEvent};

/// Streams, types, tags, metadata and payloads of all lengths; batches of one event and of several.
fn fill(log: &Log) -> u64 {
    for number in 0..6_u8 {
        let mut batch = Batch::new();
        for at in 0..number % 3 + 1 {
            let event = Event::new(format!("Type{at}"), vec![number; usize::from(number) * 9])
                .metadata(vec![at; usize::from(at)])
                .tag(format!("tag:{number}"));
            batch.push(format!("stream-{}", (number + at) % 3), &event);
        }
        batch.push("all", &Event::new("Last", vec![number; 3]));
        log.append(batch).unwrap();
    }
    log.end().as_u64()
}

#[derive(Debug, Clone, PartialEq)]
struct Plain {
    position: u64,
    stream: String,
    version: u64,
    event_type: String,
    tags: Vec<String>,
    metadata: Vec<u8>,
    payload: Vec<u8>,
}

/// Of an event that is kept or borrowed: both have the same names for the same things.
macro_rules! plain {
    ($event:expr) => {
        Plain {
            position: $event.position().as_u64(),
            stream: $event.stream().to_owned(),
            version: $event.version().as_u64(),
            event_type: $event.event_type().to_owned(),
            tags: $event.tags().iter().map(str::to_owned).collect(),
            metadata: $event.metadata().to_vec(),
            payload: $event.payload().to_vec(),
        }
    };
}

fn plain(event: &RecordedEvent) -> Plain {
    assert_eq!(event.payload_bytes(), event.payload());
    plain!(event)
}

/// What each way to read gives.
fn read_all_ways(log: &Log) -> Vec<Vec<Result<Plain, ReadError>>> {
    let each = |events: &mut dyn Iterator<Item = Result<RecordedEvent, ReadError>>| {
        events.map(|event| event.map(|event| plain(&event))).collect()
    };
    let mut ways: Vec<Vec<_>> = vec![
        each(&mut log.read(..).into_iter()),
        each(&mut log.read(..).backward().into_iter()),
        each(&mut log.read(Position::new(7)..Position::new(8)).into_iter()),
        each(&mut log.read_stream("all", ..).into_iter()),
        each(&mut log.read_stream("stream-1", ..).backward().into_iter()),
    ];
    let mut by_batch = Vec::new();
    for batch in log.batches(..) {
        let opened = batch.and_then(|batch| {
            batch
                .events()?
                .map(|event| event.map(|event| plain!(event)))
                .collect::<Result<Vec<_>, _>>()
        });
        match opened {
            Ok(events) => by_batch.extend(events.into_iter().map(Ok)),
            Err(error) => {
                by_batch.push(Err(error));
                break;
            }
        }
    }
    ways.push(by_batch);
    ways
}

/// A log of one small segment, what it gives, and the file beneath it.
fn filled(verify: bool) -> (tempfile::TempDir, Log, File) {
    let dir = tempfile::tempdir().unwrap();
    let log = Log::options().segment_bytes(16 << 10).verify_reads(verify).open(dir.path()).unwrap();
    fill(&log);
    let path = dir.path().join(format!("{:020}.seg", 0));
    let file = File::options().read(true).write(true).open(path).unwrap();
    (dir, log, file)
}

/// Changes each byte of the frames in turn, and looks.
fn with_each_byte_changed(file: &File, mut look: impl FnMut(u64)) {
    let mut segment = vec![0; 16 << 10];
    file.read_exact_at(&mut segment, 0).unwrap();
    let end = segment.iter().rposition(|byte| *byte != 0).unwrap() + 1;
    assert!(end > 4096 + 6 * 64, "there are frames");
    for at in 4096..end {
        file.write_all_at(&[segment[at] ^ 1 << (at % 8)], at as u64).unwrap();
        look(at as u64);
        file.write_all_at(&segment[at..=at], at as u64).unwrap();
    }
}

#[test]
fn a_bit_that_changed_since_the_log_was_opened_is_an_error_and_no_event() {
    let (_dir, log, file) = filled(true);
    let written = read_all_ways(&log);
    assert!(written.iter().flatten().all(Result::is_ok));
    assert_eq!(written[0].len() as u64, log.end().as_u64());
    with_each_byte_changed(&file, |at| {
        let found = read_all_ways(&log);
        for (way, (found, written)) in found.iter().zip(&written).enumerate() {
            let (last, before) = found.split_last().unwrap();
            for (found, written) in before.iter().zip(written) {
                assert_eq!(found.as_ref().ok(), written.as_ref().ok(), "byte {at}, way {way}");
            }
            match last {
                Ok(last) => {
                    assert_eq!(found.len(), written.len(), "byte {at}, way {way}");
                    assert_eq!(Some(last), written.last().unwrap().as_ref().ok(), "byte {at}");
                }
                Err(error) => assert_eq!(error.kind(), ReadErrorKind::Damage),
            }
        }
        let whole = [&found[0], &found[1], found.last().unwrap()];
        assert!(whole.iter().all(|way| way.last().unwrap().is_err()), "byte {at} is in a batch");
    });
    for (found, written) in read_all_ways(&log).iter().zip(&written) {
        assert_eq!(found.len(), written.len(), "all is as before");
    }
}

#[test]
fn without_verification_a_changed_bit_leads_nobody_astray() {
    let (_dir, log, file) = filled(false);
    let written = read_all_ways(&log);
    with_each_byte_changed(&file, |at| {
        for (found, written) in read_all_ways(&log).iter().zip(&written) {
            assert!(found.len() <= written.len(), "byte {at}");
            for (found, written) in found.iter().zip(written) {
                let (Ok(found), Ok(written)) = (found, written) else { continue };
                assert_eq!(found.position, written.position, "byte {at}");
            }
        }
    });
}
